// SPDX-License-Identifier: GPL-2.0-only

//! Addresses of the host that rules of tunnel devices are about, and the rules of the guard that let their packets in.

use super::{
    engine::Engine,
    exactly::Exactly,
    own_rule::OwnRule,
    refusal::Refusal,
    tunnel::{Tunnel, Underlay},
    tunnels::Tunnels, //
};
use crate::device::Device;
use core::net::IpAddr;
use kernel::{prelude::*, sync::Arc};
use oxnic_kapi::net::{netdev::Device as NetDevice, underlay::Path};

/// An address of the host that rules of a tunnel device are about.
pub(super) struct Local {
    id: u32,
    /// Rules that are about it, never 0.
    rules: u32,
    tunnel: Tunnel,
    address: IpAddr,
    /// Where the address is on no wire port: who sends to it. The route there says which port that is.
    peer: Option<IpAddr>,
    at: Option<Underlay>,
    pub(super) guard: Option<OwnRule>,
}

impl Engine {
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
