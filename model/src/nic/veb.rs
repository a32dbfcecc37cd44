// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The bridge of a wire port (VEB): which vports a frame goes to.
//!
//! One per wire port, owned by the device and made anew, when a frame next asks, after anything changed that it is made of.
//! It knows addresses only; VLANs and links are looked at for each receiver.

use super::frame::{BROADCAST, is_group};
use super::ids::VportId;
use super::vport::Vport;
use oxnic_abi::vport::vport_flags;
use std::collections::HashMap;

/// Receivers by address.
#[derive(Debug, Default)]
pub struct Veb {
    made: bool,
    by_address: HashMap<[u8; 6], Vec<VportId>>,
    broadcast: Vec<VportId>,
    all_multicast: Vec<VportId>,
    promiscuous: Vec<VportId>,
}

/// Where a frame comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the wire.
    Wire,
    /// From a vport.
    Vport(VportId),
}

impl Veb {
    /// Something changed.
    pub fn forget(&mut self) {
        self.made = false;
    }

    /// Whether [`Veb::make`] is needed.
    pub fn is_made(&self) -> bool {
        self.made
    }

    /// Makes the tables from the vports of the port whose functions work.
    pub fn make<'a>(&mut self, vports: impl Iterator<Item = &'a Vport>) {
        *self = Self {
            made: true,
            ..Self::default()
        };
        for vport in vports {
            let id = vport.id;
            self.by_address.entry(vport.mac).or_default().push(id);
            for address in vport
                .mac_list
                .iter()
                .filter(|address| **address != vport.mac)
            {
                self.by_address.entry(*address).or_default().push(id);
            }
            let sets = [
                (vport_flags::BROADCAST, &mut self.broadcast),
                (vport_flags::ALL_MULTICAST, &mut self.all_multicast),
                (vport_flags::PROMISCUOUS, &mut self.promiscuous),
            ];
            for (flag, set) in sets {
                if vport.has(flag) {
                    set.push(id);
                }
            }
        }
    }

    /// Puts the receivers of an address into `receivers`, each once and never the source; tells how many of them, from the
    /// front, the address names. The others receive everything.
    pub fn select(&self, source: Source, address: &[u8; 6], receivers: &mut Vec<VportId>) -> usize {
        receivers.clear();
        let add = |receivers: &mut Vec<VportId>, ids: &[VportId]| {
            for id in ids {
                if source != Source::Vport(*id) && !receivers.contains(id) {
                    receivers.push(*id);
                }
            }
        };
        if *address == BROADCAST {
            add(receivers, &self.broadcast);
        } else {
            add(
                receivers,
                self.by_address.get(address).map_or(&[], Vec::as_slice),
            );
            if is_group(address) {
                add(receivers, &self.all_multicast);
            }
        }
        let named = receivers.len();
        add(receivers, &self.promiscuous);
        named
    }
}
