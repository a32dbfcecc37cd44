// SPDX-License-Identifier: GPL-2.0-only

//! Tunnel devices that are bound to blocks, and how packets get to their tables.
//!
//! ```text
//!   wire port's own rules --miss--> guard (view PACKET) --> dispatch (view TUNNEL) --> chain 0 of a tunnel device (view TUNNEL)
//! ```
//!
//! The guard has a rule for each address of the host that rules of tunnel devices are about: packets to it that came in at the right
//! wire port, with the right hardware address and tags, are looked at further. So nothing is taken out of a tunnel that the host
//! itself would not have: when the address goes away, or moves, so does the rule. Dispatch has a rule for each tunnel device. What
//! misses anywhere goes up as it came. VLAN devices share the guard ([`super::uppers`]).
//!
//! [`Tunnels`] is behind a mutex, under that of the list of blocks; it is held while the device carries out requests about rules of the
//! driver's own, which are few.

use super::{
    engine::{new_store, port_table, Engine, Side},
    missing::Gaps,
    refusal::Refusal,
    request,
    store::{BlockSide, Objects, Presence, Store},
    template::Template,
    tunnel::{Tunnel, Underlay},
    uppers::BoundUpper, //
};
use crate::{
    cmd,
    command::{told, CommandError},
    device::Device, //
};
use core::net::IpAddr;
use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc}, //
};
use oxnic_abi::{
    flow::{
        action::{action_flags, FlowAction, FlowActionKind},
        field::FlowField,
        flow_set,
        port::FlowDirection,
        request::FlowRequest,
        table::{TableMiss, TableSet, TableView, NO_TABLE},
        template::{ConditionKind, FlowCondition},
        tunnel::{tunnel_flags, TunnelPort},
    },
    vport::EswitchPortKind,
};
use oxnic_kapi::net::{netdev::Device as NetDevice, underlay::Path};
use oxnic_offload::{plan::TunnelId, rule::Chain};

/// A rule of the driver's own.
pub(crate) struct OwnRule {
    rule: u32,
    matches: Arc<Template>,
    actions: Arc<Template>,
    /// What puts it into the device.
    pub(crate) request: KVec<u64>,
    /// It is in the device.
    pub(crate) there: bool,
}

/// An address of the host that rules of a tunnel device are about.
struct Local {
    id: u32,
    /// Rules that are about it, never 0.
    rules: u32,
    tunnel: Tunnel,
    address: IpAddr,
    /// Where the address is on no wire port: who sends to it. The route there says which port that is.
    peer: Option<IpAddr>,
    at: Option<Underlay>,
    guard: Option<OwnRule>,
}

/// What there is while a tunnel device is bound.
struct Tables {
    guard: u32,
    guard_there: bool,
    dispatch: u32,
    dispatch_there: bool,
    /// Numbers of wire ports.
    wires: KVec<u16>,
}

/// The tunnel devices of an engine.
pub(crate) struct Tunnels {
    tables: Option<Tables>,
    /// Ports that are on, and how many tunnel devices have them.
    ports: KVec<(TunnelPort, u32)>,
    bound: KVec<Bound>,
    /// VLAN devices that are bound.
    pub(super) uppers: KVec<BoundUpper>,
    locals: KVec<Local>,
    next: u32,
}

/// A tunnel device that is bound to a block.
struct Bound {
    block: BlockSide,
    tunnel: Tunnel,
    /// Brings packets to its table; none once the device was changed, so that all its rules were for another one.
    dispatch: Option<OwnRule>,
}

impl Tunnels {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            tables: None,
            ports: KVec::new(),
            bound: KVec::new(),
            uppers: KVec::new(),
            locals: KVec::new(),
            next: 0,
        }
    }

    /// Whether addresses are to be followed.
    pub(crate) fn has_locals(&self) -> bool {
        !self.locals.is_empty()
    }

    /// The table that a side of a port has without a block.
    pub(crate) fn resting(&self, side: Side) -> u32 {
        let ingress = side.direction == FlowDirection::INGRESS;
        match &self.tables {
            Some(tables) if ingress && self.watches(tables, side.port) => tables.guard,
            _ => NO_TABLE,
        }
    }

    /// Whether packets of a port may be those of a tunnel or VLAN device.
    fn watches(&self, tables: &Tables, port: u16) -> bool {
        tables.wires.contains(&port) || self.uppers.iter().any(|upper| upper.port() == port)
    }

    /// The table that packets go on in that no rule of a port takes.
    pub(super) fn guard(&self) -> Option<u32> {
        self.tables.as_ref().map(|tables| tables.guard)
    }

    /// The device was reset, and has nothing of this.
    pub(crate) fn lose(&mut self) {
        if let Some(tables) = &mut self.tables {
            (tables.guard_there, tables.dispatch_there) = (false, false);
        }
        self.own_rules().for_each(|own| own.there = false);
    }

    /// Tells the device of what all tunnel devices share, as far as it does not have it: before tables of blocks.
    ///
    /// # Errors
    ///
    /// It cannot be reached.
    pub(crate) fn put_back(
        &mut self,
        device: &Arc<Device>,
        gaps: &mut Gaps<'_>,
    ) -> Result<(), Refusal> {
        let Some(tables) = &mut self.tables else {
            return Ok(());
        };
        for (id, there, view) in [
            (
                tables.dispatch,
                &mut tables.dispatch_there,
                TableView::TUNNEL,
            ),
            (tables.guard, &mut tables.guard_there, TableView::PACKET),
        ] {
            if !*there {
                let set = cmd::flow::table_set(device, &table(id, view));
                *there = gaps.object(device, "table", id, set)?;
            }
        }
        for (port, _) in self.ports.iter() {
            let number = u16::from_be_bytes(port.port).into();
            gaps.object(
                device,
                "tunnel port",
                number,
                cmd::flow::tunnel_port(device, port),
            )?;
        }
        Ok(())
    }

    /// The rules of the driver's own.
    pub(crate) fn own_rules(&mut self) -> impl Iterator<Item = &mut OwnRule> {
        let bound = self.bound.iter_mut();
        let dispatch = bound.filter_map(|bound| bound.dispatch.as_mut());
        let locals = self.locals.iter_mut();
        let guard = locals.filter_map(|local| local.guard.as_mut());
        let uppers = self.uppers.iter_mut();
        let uppers = uppers.filter_map(|upper| upper.dispatch.as_mut());
        Iterator::chain(Iterator::chain(dispatch, guard), uppers)
    }

    /// Binds ports that have no block: behind all others.
    ///
    /// # Errors
    ///
    /// The device cannot be reached.
    pub(crate) fn put_ports_back(
        &self,
        device: &Arc<Device>,
        bound: impl Fn(u16) -> bool,
        gaps: &mut Gaps<'_>,
    ) -> Result<(), Refusal> {
        let Some(tables) = &self.tables else {
            return Ok(());
        };
        let wires = tables.wires.iter().copied();
        let ports = Iterator::chain(wires, self.uppers.iter().map(BoundUpper::port));
        for port in ports.filter(|port| !bound(*port)) {
            let set = cmd::flow::port_table(device, &ingress(port, tables.guard));
            gaps.object(device, "port", port.into(), set)?;
        }
        Ok(())
    }

    /// One more tunnel device has this port.
    fn open_port(
        &mut self,
        device: &Arc<Device>,
        port: TunnelPort,
        reached: bool,
    ) -> Result<(), Refusal> {
        let same = |(has, _): &&mut (TunnelPort, u32)| has.port == port.port;
        if let Some((has, users)) = self.ports.iter_mut().find(same) {
            if *has != port {
                return Err(Refusal::Tunnel(
                    "a port that another one has with other settings",
                ));
            }
            *users += 1;
            return Ok(());
        }
        self.ports.reserve(1, GFP_KERNEL)?;
        if reached {
            told(cmd::flow::tunnel_port(device, &port))?;
        }
        self.ports.push((port, 1), GFP_KERNEL)?;
        Ok(())
    }

    fn close_port(&mut self, device: &Arc<Device>, port: &TunnelPort, reached: bool) {
        let same = |(has, _): &(TunnelPort, u32)| has.port == port.port;
        let Some(at) = self.ports.iter().position(same) else {
            return;
        };
        self.ports[at].1 -= 1;
        if self.ports[at].1 > 0 {
            return;
        }
        let off = TunnelPort {
            flags: self.ports[at].0.flags & !tunnel_flags::ALL,
            ..self.ports[at].0
        };
        // `at` was found above.
        let _ = self.ports.remove(at);
        if reached {
            log(device, cmd::flow::tunnel_port(device, &off));
        }
    }
}

fn table(id: u32, view: TableView) -> TableSet {
    TableSet {
        id,
        flags: flow_set::CREATE,
        view,
        miss: TableMiss::DEFAULT,
        ..TableSet::ZERO
    }
}

fn ingress(port: u16, table: u32) -> oxnic_abi::flow::port::PortTable {
    let side = Side {
        port,
        direction: FlowDirection::INGRESS,
    };
    port_table(side, table)
}

fn log(device: &Arc<Device>, result: Result<(), CommandError>) {
    if let Err(error) = result {
        dev_err!(device.binding(), "tunnels: {}\n", error);
    }
}

/// Conditions on whole fields, and their key.
#[derive(Default)]
pub(super) struct Exactly {
    words: KVec<u64>,
    key: KVec<u8>,
    count: usize,
}

impl Exactly {
    /// A field, which comes behind those that were added before.
    pub(super) fn add(&mut self, field: FlowField, value: &[u8]) -> Result<(), Refusal> {
        let mut condition = FlowCondition {
            field,
            kind: ConditionKind::MASK,
            ..FlowCondition::ZERO
        };
        let width = field.width();
        let mask = condition.mask.get_mut(..width).ok_or(Refusal::Long)?;
        mask.fill(0xff);
        if let Some(first) = mask.first_mut() {
            *first >>= width * 8 - field.bits();
        }
        self.words
            .extend_from_slice(&condition.to_words(), GFP_KERNEL)?;
        self.key.extend_from_slice(value, GFP_KERNEL)?;
        self.count += 1;
        Ok(())
    }

    /// What packets of a tunnel device have.
    fn of_tunnel(tunnel: &Tunnel) -> Result<Self, Refusal> {
        let port = tunnel.port();
        let mut exactly = Self::default();
        if let TunnelId::Fixed(id) = tunnel.device.id {
            exactly.add(FlowField::ENC_KEY_ID, &id.to_be_bytes())?;
        }
        if port.port != [0, 0] {
            exactly.add(FlowField::ENC_DST_PORT, &port.port)?;
        }
        exactly.add(FlowField::TUNNEL_KIND, &[port.kind.0])?;
        Ok(exactly)
    }

    /// What packets have that come to an address of the host.
    fn to_host(at: &Underlay, address: IpAddr) -> Result<Self, Refusal> {
        const TAGS: [(FlowField, FlowField); 2] = [
            (FlowField::VLAN_ID, FlowField::VLAN_TPID),
            (FlowField::CVLAN_ID, FlowField::CVLAN_TPID),
        ];
        let mut exactly = Self::default();
        exactly.add(FlowField::INGRESS_PORT, &u32::from(at.port).to_be_bytes())?;
        exactly.add(FlowField::ETH_DST, &at.mac)?;
        exactly.add(FlowField::NUM_OF_VLANS, &[at.tags().len() as u8])?;
        for ((id, tpid), (has_tpid, tci)) in TAGS.iter().zip(at.tags()) {
            exactly.add(*id, &(tci & 0xfff).to_be_bytes())?;
            exactly.add(*tpid, &has_tpid.to_be_bytes())?;
        }
        match address {
            IpAddr::V4(address) => {
                exactly.add(FlowField::FAMILY, &[4])?;
                exactly.add(FlowField::IPV4_DST, &address.octets())?;
            }
            IpAddr::V6(address) => {
                exactly.add(FlowField::FAMILY, &[6])?;
                exactly.add(FlowField::IPV6_DST, &address.octets())?;
            }
        }
        Ok(exactly)
    }
}

impl Engine {
    /// Binds a tunnel device to a block, which nothing else is bound to. Answers what is kept of the block.
    ///
    /// # Errors
    ///
    /// It is not bound.
    pub(crate) fn bind_tunnel(
        &self,
        device: &Arc<Device>,
        block: BlockSide,
        tunnel: Tunnel,
    ) -> Result<Arc<Store>, Refusal> {
        let _going = self.gate.read();
        self.check(device)?;
        let reached = self.is_reached();
        let mut stores = self.stores.lock();
        if stores.iter().any(|store| store.block == block) {
            return Err(Refusal::Tunnel("a block that it shares"));
        }
        let mut tunnels = self.tunnels.lock();
        self.open_tables(device, &stores, &mut tunnels)?;
        let port = tunnel.port();
        let bound = tunnels.open_port(device, port, reached).and_then(|()| {
            let store = self.bind_store(device, &mut stores, &mut tunnels, block, tunnel);
            store.inspect_err(|_| tunnels.close_port(device, &port, self.is_reached()))
        });
        bound.inspect_err(|_| self.close_tables(device, &stores, &mut tunnels, self.is_reached()))
    }

    fn bind_store(
        &self,
        device: &Arc<Device>,
        stores: &mut KVec<Arc<Store>>,
        tunnels: &mut Tunnels,
        block: BlockSide,
        tunnel: Tunnel,
    ) -> Result<Arc<Store>, Refusal> {
        let exactly = Exactly::of_tunnel(&tunnel)?;
        // A device of its own identifier comes before one that takes all.
        let priority = u32::from(tunnel.device.id == TunnelId::External);
        let dispatch = tunnels.tables.as_ref().ok_or(Refusal::Lost)?.dispatch;
        tunnels.bound.reserve(1, GFP_KERNEL)?;
        let store = new_store(stores, block, true, Some(tunnel.clone()), None)?;
        let table = self.table(device, &store, &mut store.inner.lock(), Chain(0));
        let rule =
            table.and_then(|table| self.add_own(device, (dispatch, priority), &exactly, 0, table));
        match rule {
            Ok(rule) => {
                let bound = Bound {
                    block,
                    tunnel,
                    dispatch: Some(rule),
                };
                // There is room, see above.
                let _ = tunnels.bound.push(bound, GFP_KERNEL);
                Ok(store)
            }
            Err(refusal) => {
                self.forget(device, stores, &store, self.is_reached());
                Err(refusal)
            }
        }
    }

    /// Unbinds a tunnel device. Its rules were destroyed.
    pub(crate) fn unbind_tunnel(&self, device: &Arc<Device>, store: &Arc<Store>) {
        let _going = self.gate.read();
        let reached = self.is_reached();
        let mut stores = self.stores.lock();
        let mut tunnels = self.tunnels.lock();
        let at = tunnels
            .bound
            .iter()
            .position(|bound| bound.block == store.block);
        if let Some(Ok(bound)) = at.map(|at| tunnels.bound.remove(at)) {
            if let Some(rule) = bound.dispatch {
                self.remove_own(device, rule, reached);
            }
            tunnels.close_port(device, &bound.tunnel.port(), reached);
        }
        self.forget(device, &mut stores, store, reached);
        self.close_tables(device, &stores, &mut tunnels, reached);
    }

    /// A tunnel device may have been changed. Rules that were made for what it was are not used any more.
    pub(crate) fn check_tunnel(&self, device: &Arc<Device>, netdev: &NetDevice) {
        let now = Tunnel::read(netdev, 0);
        let _going = self.gate.read();
        let reached = self.is_reached();
        let mut tunnels = self.tunnels.lock();
        for bound in tunnels.bound.iter_mut() {
            let same = now
                .as_ref()
                .is_ok_and(|now| now.configured == bound.tunnel.configured);
            if !core::ptr::eq::<NetDevice>(&*bound.tunnel.netdev, netdev) || same {
                continue;
            }
            if let Some(rule) = bound.dispatch.take() {
                dev_warn!(
                    device.binding(),
                    "{}: it was changed, its rules are not used any more\n",
                    netdev.name()
                );
                self.remove_own(device, rule, reached);
            }
        }
        drop(tunnels);
        self.encaps.lock().reread(device, netdev, now.ok());
    }

    /// A tunnel device is going.
    pub(crate) fn forget_tunnel(&self, device: &Arc<Device>, netdev: &NetDevice) {
        let _going = self.gate.read();
        self.encaps.lock().forget(device, netdev);
    }

    /// Makes what all tunnel and VLAN devices share, for the first.
    pub(super) fn open_tables(
        &self,
        device: &Arc<Device>,
        stores: &[Arc<Store>],
        tunnels: &mut Tunnels,
    ) -> Result<(), Refusal> {
        if tunnels.tables.is_some() {
            return Ok(());
        }
        let mut wires = KVec::new();
        for index in 0..device.port_count() {
            let found = device
                .port_numbers
                .find(device, EswitchPortKind::WIRE, index)?;
            if let Some(port) = found {
                wires.push(port, GFP_KERNEL)?;
            }
        }
        let dispatch = self.new_table_id()?;
        let guard = self
            .new_table_id()
            .inspect_err(|_| self.tables.give(dispatch))?;
        let tables = tunnels.tables.insert(Tables {
            guard,
            guard_there: false,
            dispatch,
            dispatch_there: false,
            wires,
        });
        let made = self.make_tables(device, stores, tables);
        made.inspect_err(|_| self.close_tables(device, stores, tunnels, self.is_reached()))
    }

    /// Tells the device of the two tables. Where it is being reset it will be told.
    fn make_tables(
        &self,
        device: &Arc<Device>,
        stores: &[Arc<Store>],
        tables: &mut Tables,
    ) -> Result<(), Refusal> {
        if self.is_reached() {
            let make = |id, view| told(cmd::flow::table_set(device, &table(id, view)));
            tables.dispatch_there = make(tables.dispatch, TableView::TUNNEL)?;
            tables.guard_there = make(tables.guard, TableView::PACKET)?;
        }
        self.link(device, stores, &tables.wires, tables.guard)
    }

    /// Drops what all tunnel and VLAN devices share, if there is none of them.
    pub(super) fn close_tables(
        &self,
        device: &Arc<Device>,
        stores: &[Arc<Store>],
        tunnels: &mut Tunnels,
        reached: bool,
    ) {
        if !tunnels.bound.is_empty() || !tunnels.uppers.is_empty() {
            return;
        }
        let Some(tables) = tunnels.tables.take() else {
            return;
        };
        self.guard.store(NO_TABLE, Relaxed);
        if reached {
            if let Err(refusal) = self.link(device, stores, &tables.wires, NO_TABLE) {
                dev_err!(device.binding(), "tunnels: {}\n", refusal);
            }
        }
        for (id, there) in [
            (tables.guard, tables.guard_there),
            (tables.dispatch, tables.dispatch_there),
        ] {
            if !reached || !there {
                self.tables.give(id);
            } else {
                log(device, self.destroy_table(device, id));
            }
        }
    }

    /// Puts a rule of the driver's own into the device: what it takes goes on in another table, without so many of its tags.
    pub(super) fn add_own(
        &self,
        device: &Arc<Device>,
        (table, priority): (u32, u32),
        exactly: &Exactly,
        pops: usize,
        to: u32,
    ) -> Result<OwnRule, Refusal> {
        let pop = FlowAction {
            kind: FlowActionKind::VLAN_POP,
            ..FlowAction::ZERO
        };
        let action = FlowAction {
            kind: FlowActionKind::GOTO,
            flags: action_flags::ARGUMENT,
            ..FlowAction::ZERO
        };
        let mut list = KVec::new();
        for action in Iterator::chain(core::iter::repeat_n(pop, pops), [action]) {
            list.extend_from_slice(&action.to_words(), GFP_KERNEL)?;
        }
        let reached = self.is_reached();
        let words = &exactly.words;
        let matches = self.matches.get(device, words, exactly.count, 0, reached)?;
        let actions = self.actions.get(device, &list, pops + 1, 0, reached);
        let actions = actions.inspect_err(|_| {
            self.matches.put(device, &matches, self.is_reached());
        })?;
        let limit = self.rules.limit();
        let rule = self.rules.take().map_err(|error| Refusal::Full {
            what: "rules",
            limit,
            error,
        });
        let rule = rule.inspect_err(|_| {
            let reached = self.is_reached();
            self.actions.put(device, &actions, reached);
            self.matches.put(device, &matches, reached);
        })?;
        let header = FlowRequest {
            rule,
            table,
            priority,
            match_template: matches.id(),
            action_template: actions.id(),
            ..FlowRequest::ZERO
        };
        let mut own = OwnRule {
            rule,
            matches,
            actions,
            request: KVec::new(),
            there: false,
        };
        let added = request::add(&header, &exactly.key, &to.to_le_bytes())
            .map_err(Refusal::from)
            .and_then(|request| {
                own.request = request;
                self.tell(device, &Objects::default(), &own.request)
            });
        match added {
            Ok(presence) => {
                own.there = presence == Presence::There;
                Ok(own)
            }
            Err(refusal) => {
                self.give_own(device, &own, self.is_reached());
                Err(refusal)
            }
        }
    }

    fn give_own(&self, device: &Arc<Device>, own: &OwnRule, reached: bool) {
        self.rules.give(own.rule);
        self.actions.put(device, &own.actions, reached);
        self.matches.put(device, &own.matches, reached);
    }

    pub(super) fn remove_own(&self, device: &Arc<Device>, own: OwnRule, reached: bool) {
        if reached && own.there {
            self.take_out(device, own.rule);
        }
        self.give_own(device, &own, self.is_reached());
    }

    /// Lets packets to an address of the host into the tables of tunnel devices, for one more rule.
    ///
    /// # Errors
    ///
    /// It is on no wire port, and the route to the peer leads to none.
    pub(crate) fn add_local(
        &self,
        device: &Arc<Device>,
        tunnel: &Tunnel,
        address: IpAddr,
        peer: Option<IpAddr>,
    ) -> Result<u32, Refusal> {
        if !tunnel.has_family(address) {
            return Err(Refusal::Tunnel("an address of the other family"));
        }
        let owned = Underlay::with_address(device, &tunnel.netdev, address);
        let peer = peer.filter(|_| owned.is_none());
        let mut tunnels = self.tunnels.lock();
        let same = |local: &&mut Local| {
            core::ptr::eq::<NetDevice>(&*local.tunnel.netdev, &*tunnel.netdev)
                && (local.address, local.peer) == (address, peer)
        };
        if let Some(local) = tunnels.locals.iter_mut().find(same) {
            local.rules += 1;
            return Ok(local.id);
        }
        let at = locate(device, tunnel, address, peer).ok_or(Refusal::Underlay)?;
        tunnels.locals.reserve(1, GFP_KERNEL)?;
        let guard = self.add_guard(device, &tunnels, &at, address)?;
        let id = tunnels.next;
        tunnels.next = id.wrapping_add(1);
        let local = Local {
            id,
            rules: 1,
            tunnel: tunnel.clone(),
            address,
            peer,
            at: Some(at),
            guard: Some(guard),
        };
        // There is room, see above.
        let _ = tunnels.locals.push(local, GFP_KERNEL);
        Ok(id)
    }

    fn add_guard(
        &self,
        device: &Arc<Device>,
        tunnels: &Tunnels,
        at: &Underlay,
        address: IpAddr,
    ) -> Result<OwnRule, Refusal> {
        let tables = tunnels.tables.as_ref().ok_or(Refusal::Lost)?;
        let exactly = Exactly::to_host(at, address)?;
        // Behind those of VLAN devices.
        self.add_own(device, (tables.guard, 1), &exactly, 0, tables.dispatch)
    }

    /// A rule about an address of the host is gone.
    pub(crate) fn put_local(&self, device: &Arc<Device>, id: u32, reached: bool) {
        let mut tunnels = self.tunnels.lock();
        let locals = &mut tunnels.locals;
        let Some(at) = locals.iter().position(|local| local.id == id) else {
            return;
        };
        locals[at].rules -= 1;
        if locals[at].rules > 0 {
            return;
        }
        if let Ok(Local {
            guard: Some(guard), ..
        }) = locals.remove(at)
        {
            self.remove_own(device, guard, reached);
        }
    }

    /// Looks where addresses of the host are now, and lets their packets in there only.
    pub(crate) fn follow_locals(&self, device: &Arc<Device>) {
        let mut tunnels = self.tunnels.lock();
        for number in 0..tunnels.locals.len() {
            let local = &mut tunnels.locals[number];
            let address = local.address;
            let now = locate(device, &local.tunnel, address, local.peer);
            if now == local.at && now.is_some() == local.guard.is_some() {
                continue;
            }
            local.at = now;
            if let Some(guard) = local.guard.take() {
                self.remove_own(device, guard, true);
            }
            let Some(at) = now else {
                continue;
            };
            match self.add_guard(device, &tunnels, &at, address) {
                Ok(guard) => tunnels.locals[number].guard = Some(guard),
                Err(refusal) => dev_err!(device.binding(), "tunnels: {}\n", refusal),
            }
        }
    }
}

/// Where packets to an address of the host come in.
fn locate(
    device: &Arc<Device>,
    tunnel: &Tunnel,
    address: IpAddr,
    peer: Option<IpAddr>,
) -> Option<Underlay> {
    if let Some(at) = Underlay::with_address(device, &tunnel.netdev, address) {
        return Some(at);
    }
    // An address of no interface is none of the host's.
    oxnic_kapi::net::underlay::address_owner(&tunnel.netdev, address)?;
    let query = tunnel.query(Some(address), peer?, 0);
    let path = Path::find(&tunnel.netdev, &query).ok()?;
    Underlay::of(device, &path.device)
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_tunnels)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_asked_for_exactly_has_all_of_its_bits_and_no_others() -> Result<(), Refusal>
    {
        let mut exactly = Exactly::default();
        exactly.add(FlowField::ETH_DST, &[2, 0, 0, 0, 0, 1])?;
        exactly.add(FlowField::VLAN_ID, &7u16.to_be_bytes())?;
        assert_eq!(exactly.count, 2);
        assert_eq!(*exactly.key, [2, 0, 0, 0, 0, 1, 0, 7]);
        let condition = |number: usize| {
            let words = exactly.words.get(number * FlowCondition::WORDS..)?;
            words.first_chunk().map(FlowCondition::from_words)
        };
        let masks = [condition(0), condition(1)].map(|found| found.map(|found| found.mask));
        let mut address = [0; 16];
        address[..6].fill(0xff);
        let mut id = [0; 16];
        id[..2].copy_from_slice(&[0x0f, 0xff]);
        assert_eq!(masks, [Some(address), Some(id)]);
        Ok(())
    }
}
