// SPDX-License-Identifier: GPL-2.0-only

//! Outer headers that rules put around packets, shared by all rules that ask for the same.
//!
//! They are what `tunnel_key set` asks for, and what the kernel's routes and neighbours say at the moment. While these do not say
//! enough, the device has the headers as not ready, and packets go to software. Whenever something changes, everything is looked at
//! anew ([`Encaps::follow`]), and the device is told in one command, so that a packet gets the old headers or the new ones, and
//! from the moment on that the command is answered the new ones only.

use super::{
    gaps::Gaps,
    ids::Ids,
    refusal::Refusal,
    there::There,
    tunnel::{Tunnel, Underlay},
    wanted::Wanted, //
};
use crate::{
    cmd,
    command::{push_bytes, told, CommandError},
    device::Device, //
};
use core::net::IpAddr;
use kernel::{prelude::*, sync::Arc};
use oxnic_abi::{
    flow::{
        capability::FlowCaps,
        encap::{encap_flags, EncapSet},
        flow_set,
    },
    vport::EswitchPortKind,
};
use oxnic_kapi::net::{
    netdev::Device as NetDevice,
    underlay::{Path, Query, TunnelKind},
};
use oxnic_offload::{
    packet::Address,
    plan::{
        headers::{self, Way},
        tunnels, TunnelId,
    },
};

struct Encap {
    id: u32,
    /// Rules that name it, never 0.
    rules: u32,
    wanted: Wanted,
    /// The tunnel device; none once that is gone.
    tunnel: Option<Tunnel>,
    /// The eswitch port that rules have with it.
    port: u16,
    /// What the device has, if it has it.
    set: EncapSet,
    headers: KVec<u64>,
    there: There,
}

/// The outer headers of an engine.
pub(crate) struct Encaps {
    ids: Pin<KBox<Ids>>,
    longest: usize,
    encaps: KVec<Encap>,
}

impl Encaps {
    /// None.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(caps: &FlowCaps) -> Result<Self> {
        Ok(Self {
            ids: KBox::pin_init(Ids::new(caps.encaps), GFP_KERNEL)?,
            longest: caps.encap_max.into(),
            encaps: KVec::new(),
        })
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.encaps.is_empty()
    }

    /// The headers that a rule asks for, and the port where they lead to; makes them if there are none. One more rule names them.
    ///
    /// # Errors
    ///
    /// Nothing has changed then.
    pub(crate) fn get(
        &mut self,
        device: &Arc<Device>,
        wanted: Wanted,
        tunnel: &Tunnel,
        reached: bool,
    ) -> Result<(u32, u16), Refusal> {
        let same = |encap: &&mut Encap| {
            encap.wanted.is(&wanted)
                && encap.tunnel.as_ref().is_some_and(|has| {
                    core::ptr::eq::<NetDevice>(&*has.netdev, &*tunnel.netdev)
                        && has.configured == tunnel.configured
                })
        };
        if let Some(encap) = self.encaps.iter_mut().find(same) {
            if reached && !encap.there.is() {
                let there = told(encap.tell(device, flow_set::CREATE))?;
                encap.there.set(there);
            }
            encap.rules += 1;
            return Ok((encap.id, encap.port));
        }
        let port = port_of(device, &wanted, tunnel)?;
        self.encaps.reserve(1, GFP_KERNEL)?;
        let limit = self.ids.limit();
        let id = self.ids.take().map_err(|error| Refusal::Full {
            what: "encaps",
            limit,
            error,
        })?;
        let mut encap = Encap {
            id,
            rules: 1,
            wanted,
            tunnel: Some(tunnel.clone()),
            port,
            set: EncapSet::ZERO,
            headers: KVec::new(),
            there: There::new(),
        };
        let made = encap
            .look(device, self.longest, true)
            .and_then(|(set, headers)| {
                (encap.set, encap.headers) = (set, headers);
                // Where the device is being reset it will be told.
                let there = reached && told(encap.tell(device, flow_set::CREATE))?;
                encap.there.set(there);
                Ok(())
            });
        if let Err(refusal) = made {
            self.ids.give(id);
            return Err(refusal);
        }
        // There is room, see above.
        let _ = self.encaps.push(encap, GFP_KERNEL);
        Ok((id, port))
    }

    /// A rule does not name it any more. Without rules it goes, from the device as well where that has it.
    pub(crate) fn put(&mut self, device: &Arc<Device>, id: u32, reached: bool) {
        let Some(at) = self.encaps.iter().position(|encap| encap.id == id) else {
            return;
        };
        self.encaps[at].rules -= 1;
        if self.encaps[at].rules > 0 {
            return;
        }
        // `at` was found above.
        let there = self.encaps.remove(at).is_ok_and(|encap| encap.there.is());
        self.ids.end(device, ("encap", id), reached && there, || {
            cmd::flow::encap_destroy(device, id)
        });
    }

    /// Looks at routes and neighbours, and tells the device where they have changed. Those that `used` names are in use, and the kernel
    /// is asked to make sure of their neighbours; as it is for those that are not ready, with `again`.
    pub(crate) fn follow(&mut self, device: &Arc<Device>, again: bool, used: impl Fn(u32) -> bool) {
        let longest = self.longest;
        for encap in self.encaps.iter_mut() {
            let ready = encap.set.options & encap_flags::READY != 0;
            let solicit = again && (!ready || used(encap.id));
            let (set, headers) = match encap.look(device, longest, solicit) {
                Ok(now) => now,
                // What is not known is not ready.
                Err(_) => (encap.none(), KVec::new()),
            };
            if set == encap.set && *headers == *encap.headers {
                continue;
            }
            (encap.set, encap.headers) = (set, headers);
            encap.update(device);
        }
    }

    /// A device is going: no packet is put into its tunnel any more.
    pub(crate) fn forget(&mut self, device: &Arc<Device>, netdev: &NetDevice) {
        for encap in self.encaps.iter_mut() {
            let of = |tunnel: &Tunnel| core::ptr::eq::<NetDevice>(&*tunnel.netdev, netdev);
            if !encap.tunnel.as_ref().is_some_and(of) {
                continue;
            }
            encap.tunnel = None;
            (encap.set, encap.headers) = (encap.none(), KVec::new());
            encap.update(device);
        }
    }

    /// A tunnel device may have been changed; `now` is what it is, or none where it is nothing that is known.
    pub(crate) fn reread(&mut self, device: &Arc<Device>, netdev: &NetDevice, now: Option<Tunnel>) {
        let Some(now) = now.filter(|now| now.device.id == TunnelId::External) else {
            return self.forget(device, netdev);
        };
        for encap in self.encaps.iter_mut() {
            if let Some(tunnel) = encap.tunnel.as_mut() {
                // Another kind it cannot become.
                if core::ptr::eq::<NetDevice>(&*tunnel.netdev, netdev) {
                    *tunnel = now.clone();
                }
            }
        }
    }

    /// The device was reset, and has none.
    pub(crate) fn lose(&mut self) {
        self.encaps.iter().for_each(|encap| encap.there.set(false));
        self.ids.reclaim();
    }

    /// Tells the device of all that it does not have.
    ///
    /// # Errors
    ///
    /// It cannot be reached.
    pub(crate) fn put_back(
        &self,
        device: &Arc<Device>,
        gaps: &mut Gaps<'_>,
    ) -> Result<(), Refusal> {
        self.encaps.iter().try_for_each(|encap| {
            let name = ("encap", encap.id);
            encap
                .there
                .put_back(device, gaps, name, || encap.tell(device, flow_set::CREATE))
        })
    }
}

impl Encap {
    /// Not ready.
    fn none(&self) -> EncapSet {
        let kind = self.set.kind;
        EncapSet {
            kind,
            ..EncapSet::ZERO
        }
    }

    /// What the device should have.
    fn look(
        &self,
        device: &Arc<Device>,
        longest: usize,
        solicit: bool,
    ) -> Result<(EncapSet, KVec<u64>), Refusal> {
        let Some(tunnel) = &self.tunnel else {
            return Ok((self.none(), KVec::new()));
        };
        let none = EncapSet {
            kind: tunnels::number(tunnel.device.kind),
            ..EncapSet::ZERO
        };
        let mut room = KVec::from_elem(0u8, longest, GFP_KERNEL)?;
        match self.build(device, tunnel, solicit, &mut room) {
            Some(set) => {
                let headers = room.get(..set.length.into()).unwrap_or(&[]);
                let mut words = KVec::new();
                push_bytes(&mut words, headers)?;
                Ok((set, words))
            }
            None => Ok((none, KVec::new())),
        }
    }

    fn build(
        &self,
        device: &Arc<Device>,
        tunnel: &Tunnel,
        solicit: bool,
        room: &mut [u8],
    ) -> Option<EncapSet> {
        // What is sent to a closed one software drops.
        if !tunnel.netdev.is_running() {
            return None;
        }
        let (from, to) = self.wanted.ends()?;
        let query = Query {
            solicit,
            ..query(tunnel, from, to, &self.wanted)
        };
        let path = Path::find(&tunnel.netdev, &query).ok()?;
        let underlay = Underlay::of(device, &path.device).filter(|at| at.port == self.port)?;
        let address = match (path.from?, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => Address::V4(from.octets(), to.octets()),
            (IpAddr::V6(from), IpAddr::V6(to)) => Address::V6(from.octets(), to.octets()),
            _ => return None,
        };
        let way = Way {
            from: underlay.mac,
            to: path.neighbour?,
            tags: underlay.tags(),
            address,
            ttl: path.hop_limit,
            source_ports: tunnel.configured.source_ports,
        };
        headers::build(&self.wanted.asked(), &tunnel.device, &way, room)
    }

    fn tell(&self, device: &Arc<Device>, flags: u16) -> Result<(), CommandError> {
        let set = EncapSet {
            id: self.id,
            flags,
            ..self.set
        };
        cmd::flow::encap_set(device, &set, &self.headers)
    }

    /// Tells the device of a change. Where it does not take the headers, there are none.
    fn update(&mut self, device: &Arc<Device>) {
        if !self.there.is() {
            return;
        }
        let told = self.tell(device, 0).or_else(|error| {
            if !device.is_away() {
                dev_err!(device.binding(), "encap {}: {}\n", self.id, error);
            }
            (self.set, self.headers) = (self.none(), KVec::new());
            self.tell(device, 0)
        });
        if let Err(error) = told {
            // Looked at again, the difference is found again.
            self.set.id = u32::MAX;
            if !device.is_away() {
                dev_err!(device.binding(), "encap {}: {}\n", self.id, error);
            }
        }
    }
}

/// What is asked of routes for packets with these headers. ip6gretap does not look at the rule's source (`__gre6_xmit`).
fn query(tunnel: &Tunnel, from: Option<IpAddr>, to: IpAddr, wanted: &Wanted) -> Query {
    let from = from.filter(|_| tunnel.configured.kind != TunnelKind::Ip6Gretap);
    tunnel.query(from, to, wanted.asked.tos)
}

/// The port that the route leads to; that of the first wire port where there is no route yet.
fn port_of(device: &Arc<Device>, wanted: &Wanted, tunnel: &Tunnel) -> Result<u16, Refusal> {
    let (from, to) = wanted.ends().ok_or(Refusal::Tunnel("no address"))?;
    if !tunnel.has_family(to) {
        return Err(Refusal::Tunnel("an address of the other family"));
    }
    let query = query(tunnel, from, to, wanted);
    match Path::find(&tunnel.netdev, &query) {
        Ok(path) => {
            // One that is down now may be up later.
            let underlay = Underlay::below(device, &path.device);
            underlay.map(|at| at.port).ok_or(Refusal::Underlay)
        }
        Err(_) => {
            let first = device.port_numbers.find(device, EswitchPortKind::WIRE, 0);
            first?.ok_or(Refusal::Underlay)
        }
    }
}
