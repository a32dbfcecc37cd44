// SPDX-License-Identifier: GPL-2.0-only

//! The flow engine of an eswitch, from the first interface that is bound to a block until the last one is unbound.
//!
//! Rules come and go in parallel. Each block has a lock of its own ([`super::store`]), and so has each kind of object; requests go to the
//! device under none of them. `gate` is held for reading by whoever changes anything, with RTNL held or not, and for
//! writing by a reset that puts everything back and by the end, so that nothing is under way then. It is the outermost lock; `stores`,
//! those of blocks and those of objects are taken under it, in this order, and under them that of the admin queue.
//!
//! A reset takes all objects away; [`super::restore`] puts them back. It stops the queues and the commands, and waits at the gate until
//! whoever was under way has noticed, before the device is reset. Whoever comes then finds the queues stopped, and changes what is
//! kept here only: blocks are bound, rules come and go as at any other time, and the device gets all of it in the end. So nobody
//! tells a device that was reset of anything before it has got back what it had.

use super::{
    counters::Counters,
    desk::Desks,
    encaps::Encaps,
    ids::Ids,
    interim::Interims,
    limits,
    meters::Meters,
    missing::MissingRules,
    outage::Outage,
    queues::FlowQueues,
    refusal::Refusal,
    samplers::Samplers,
    shared::SharedActions,
    store::{BlockSide, Inner, Store},
    template::{Kind, Templates},
    tunnel::Tunnel,
    tunnels::Tunnels,
    upper::Upper,
};
use crate::{
    cmd,
    command::{insist, told, Cause, CommandError},
    device::Device, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
        Mutex, //
    },
};
use oxnic_abi::flow::{
    capability::FlowCaps,
    port::{FlowDirection, PortTable},
    table::NO_TABLE, //
};
use oxnic_kapi::{
    net::flow::{Binding, ChainRestore},
    sync::RwSemaphore, //
};
use oxnic_offload::rule::Chain;

/// A side of a port of the eswitch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Side {
    /// The port's number.
    pub(crate) port: u16,
    /// Which way frames pass it.
    pub(crate) direction: FlowDirection,
}

/// The flow engine.
#[pin_data]
pub(crate) struct Engine {
    pub(crate) caps: FlowCaps,
    pub(crate) queues: FlowQueues,
    #[pin]
    pub(crate) gate: RwSemaphore,
    /// Blocks that something is bound to.
    #[pin]
    pub(super) stores: Mutex<KVec<Arc<Store>>>,
    #[pin]
    pub(super) counters: Counters,
    #[pin]
    pub(super) matches: Templates,
    #[pin]
    pub(super) actions: Templates,
    #[pin]
    pub(super) meters: Meters,
    #[pin]
    pub(super) samplers: Samplers,
    #[pin]
    pub(super) shared: SharedActions,
    #[pin]
    pub(super) encaps: Mutex<Encaps>,
    #[pin]
    pub(super) tunnels: Mutex<Tunnels>,
    /// The device has nothing of it, as the eswitch is in legacy mode. Changes with `gate` held for writing.
    pub(super) parked: Atomic<bool>,
    /// The table that packets go on in that no rule of a port takes, or `NO_TABLE`: the guard of tunnel and VLAN devices. Changes with `stores` held.
    pub(super) guard: Atomic<u32>,
    #[pin]
    pub(super) rules: Ids,
    #[pin]
    pub(super) tables: Ids,
    #[pin]
    pub(super) desks: Desks,
    /// Nothing else is taken under it, nor under the next one.
    #[pin]
    pub(super) missing: Mutex<MissingRules>,
    #[pin]
    pub(super) outage: Mutex<Outage>,
    /// Comes before the locks of templates.
    #[pin]
    pub(super) interims: Mutex<Interims>,
    _chains: ChainRestore,
}

impl Engine {
    /// Starts the engine. `known`: what the device has said of it before, for when it is being reset; `defunct` has room for one that does not
    /// start, and that the device may still write to.
    ///
    /// # Errors
    ///
    /// The device has none, or not what it takes.
    pub(super) fn start(
        device: &Arc<Device>,
        known: &mut Option<FlowCaps>,
        defunct: &mut KVec<Arc<Self>>,
    ) -> Result<Arc<Self>, Refusal> {
        let caps = match (cmd::caps::flow(device), *known) {
            (Ok(caps), _) => caps,
            (Err(error), Some(caps)) if matches!(error.cause, Cause::Unavailable) => caps,
            (Err(error), _) if error.is_refusal() => return Err(Refusal::NoEngine),
            (Err(error), _) => return Err(error.into()),
        };
        *known = Some(caps);
        let caps = limits::usable(&caps)?;
        let queues = FlowQueues::new(device, &caps)?;
        let counters = Counters::new(caps.counters, caps.counter_period_min)?;
        let desks = Desks::new()?;
        let engine = Arc::pin_init(
            try_pin_init!(Self {
                queues,
                gate <- RwSemaphore::new(),
                stores <- new_mutex!(KVec::new()),
                counters <- counters,
                matches <- Templates::new(caps.match_templates, Kind::Match),
                actions <- Templates::new(caps.action_templates, Kind::Action),
                meters <- Meters::new(caps.meters),
                samplers <- Samplers::new(),
                shared <- SharedActions::new(),
                encaps <- new_mutex!(Encaps::new(&caps)?),
                tunnels <- new_mutex!(Tunnels::new()),
                parked: Atomic::new(false),
                guard: Atomic::new(NO_TABLE),
                rules <- Ids::new(caps.rules),
                tables <- Ids::new(caps.tables),
                desks <- desks,
                missing <- new_mutex!(MissingRules::new()),
                outage <- new_mutex!(Outage::default()),
                interims <- new_mutex!(Interims::new()),
                _chains: ChainRestore::new(),
                caps,
            }),
            GFP_KERNEL,
        )
        .map_err(|_| Refusal::Memory)?;
        match engine.open(device) {
            // A reset is under way, and opens it.
            Ok(()) | Err(Refusal::Unreached(EAGAIN)) => Ok(engine),
            Err(refusal) => {
                if !engine.queues.are_gone() && !device.is_silent() {
                    let _ = defunct.push(engine, GFP_KERNEL);
                }
                Err(refusal)
            }
        }
    }

    /// Whether the device is told of what changes. Once it is not, that stays so as long as the gate is held.
    pub(super) fn is_reached(&self) -> bool {
        self.queues.is_started()
    }

    /// Whether anything can be taken over: the device is told of it now, or when it was reset.
    ///
    /// # Errors
    ///
    /// It is gone, or does not take back what it had.
    pub(super) fn check(&self, device: &Arc<Device>) -> Result<(), Refusal> {
        if self.is_reached() {
            return Ok(());
        }
        if device.is_gone() {
            return Err(Refusal::Unreached(ENODEV));
        }
        let comes_back = matches!(device.commands.stopped(), None | Some(Cause::Unavailable));
        match comes_back && self.outage.lock().is_short() {
            true => Ok(()),
            false => Err(Refusal::Lost),
        }
    }

    /// Takes from the device what it writes to. Nothing is bound any more.
    ///
    /// # Errors
    ///
    /// It may still write.
    pub(super) fn end(&self, device: &Arc<Device>) -> Result<(), CommandError> {
        let _alone = self.gate.write();
        if self.parked.load(Relaxed) {
            return Ok(());
        }
        let queues = self.queues.destroy(device);
        self.counters.withdraw(device)?;
        queues
    }

    /// Binds a side of a port to a block. Answers what is kept of the block. A side can be bound to one block: what a block of tc and a
    /// chain of nftables do to the same packets, or two chains, has an order in software that the tables of the device do not have.
    ///
    /// # Errors
    ///
    /// It is not bound.
    pub(crate) fn bind(
        &self,
        device: &Arc<Device>,
        binding: &Binding<'_>,
        block: BlockSide,
        side: Side,
    ) -> Result<Arc<Store>, Refusal> {
        let _going = self.gate.read();
        self.check(device)?;
        let mut stores = self.stores.lock();
        let mut others = stores.iter().filter(|store| store.block != block);
        if let Some(other) = others.find(|store| store.inner.lock().sides.contains(&side)) {
            return Err(Refusal::Occupied { by_tc: other.of_tc });
        }
        let known = stores.iter().find(|store| store.block == block);
        let store = match known.cloned() {
            Some(store) if store.tunnel.is_some() => {
                return Err(Refusal::Tunnel("a block that it shares"))
            }
            Some(store) if store.upper.is_some() => {
                return Err(Refusal::Vlan("a block that it shares"))
            }
            Some(store) => store,
            // Where one of two bindings fails the kernel leaves a rule with the other, so both have to be ours.
            None if !binding.of_tc && !binding.first => return Err(Refusal::Foreign),
            None => new_store(&mut stores, block, binding.of_tc, None, None)?,
        };
        let bound = self.bind_side(device, &store, side);
        if bound.is_err() {
            self.forget(device, &mut stores, &store, self.is_reached());
        }
        bound.map(|()| store)
    }

    fn bind_side(&self, device: &Arc<Device>, store: &Store, side: Side) -> Result<(), Refusal> {
        let mut inner = store.inner.lock();
        let table = self.table(device, store, &mut inner, Chain(0))?;
        inner.sides.reserve(1, GFP_KERNEL)?;
        if self.is_reached() {
            told(cmd::flow::port_table(device, &port_table(side, table)))?;
        }
        inner.sides.push(side, GFP_KERNEL)?;
        Ok(())
    }

    /// Unbinds a side of a port. Its rules were destroyed.
    pub(crate) fn unbind(&self, device: &Arc<Device>, store: &Arc<Store>, side: Side) {
        let _going = self.gate.read();
        let reached = self.is_reached();
        let mut stores = self.stores.lock();
        if reached {
            let resting = self.tunnels.lock().resting(side);
            let unbound = insist(
                || told(cmd::flow::port_table(device, &port_table(side, resting))).map(drop),
                CommandError::is_refusal,
            );
            if let Err(error) = unbound {
                dev_err!(device.binding(), "{}\n", error);
            }
        }
        store.inner.lock().sides.retain(|bound| *bound != side);
        self.forget(device, &mut stores, store, reached);
    }

    /// Whether there are rules that a port has to do with, or can be: a chain of nftables is asked about the port once.
    pub(super) fn has_rules(&self, port: u16) -> bool {
        let above = |store: &Arc<Store>| {
            let upper = store.upper.as_ref();
            upper.is_some_and(|upper| upper.device.port == port) && !store.inner.lock().is_empty()
        };
        self.any_side(port, |store, inner| !store.of_tc || !inner.is_empty())
            || self.stores.lock().iter().any(above)
    }

    /// Whether a port is bound to a block of which this is true.
    pub(super) fn any_side(&self, port: u16, what: impl Fn(&Store, &Inner) -> bool) -> bool {
        self.stores.lock().iter().any(|store| {
            let inner = store.inner.lock();
            inner.sides.iter().any(|side| side.port == port) && what(store, &inner)
        })
    }
}

/// A side that is bound to a table.
pub(super) fn port_table(side: Side, table: u32) -> PortTable {
    PortTable {
        port: side.port,
        direction: side.direction,
        table,
    }
}

/// Whether what comes in at a port is bound to a block.
pub(super) fn has_ingress(stores: &[Arc<Store>], port: u16) -> bool {
    let side = Side {
        port,
        direction: FlowDirection::INGRESS,
    };
    stores
        .iter()
        .any(|store| store.inner.lock().sides.contains(&side))
}

/// A block that was not known.
pub(super) fn new_store(
    stores: &mut KVec<Arc<Store>>,
    block: BlockSide,
    of_tc: bool,
    tunnel: Option<Tunnel>,
    upper: Option<Upper>,
) -> Result<Arc<Store>, Refusal> {
    let store = Store::new(block, of_tc, tunnel, upper);
    let store = Arc::pin_init(store, GFP_KERNEL).map_err(|_| Refusal::Memory)?;
    stores.push(store.clone(), GFP_KERNEL)?;
    Ok(store)
}
