// SPDX-License-Identifier: GPL-2.0-only

//! Which frames an interface wants: addresses, modes, VLANs. Part of [`crate::netdev::State`], and guarded with it.

use crate::cmd;
use crate::netdev::NetPort;
use kernel::prelude::*;
use oxnic_abi::caps::NicCaps;
use oxnic_abi::vport::{vport_flags, MacEntry};
use oxnic_kapi::net::netdev::{AddressList, Rtnl};

/// Words of the set of VLANs.
const VLAN_WORDS: usize = 64;

/// What is wanted.
pub(crate) struct Filter {
    addresses: KVec<u64>,
    modes: u32,
    vlans: KBox<[u64; VLAN_WORDS]>,
}

impl Filter {
    /// The interface's own address and broadcast only.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            addresses: KVec::new(),
            modes: 0,
            vlans: KBox::new([0; VLAN_WORDS], GFP_KERNEL)?,
        })
    }

    /// Takes over the core's lists and modes. A list that is too long for the device, or one of more than `unicast_most` addresses, makes
    /// the interface promiscuous, or receive all multicast, as far as needed. The device is told of addresses besides the modes, as many as it has room
    /// for: it may refuse the modes, and then they are what is received.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]: all is as before.
    pub(crate) fn update(
        &mut self,
        caps: &NicCaps,
        unicast_most: usize,
        netdev: &Rtnl,
        unicast: &AddressList<'_>,
        multicast: &AddressList<'_>,
    ) -> Result {
        let room = usize::from(caps.mac_list);
        let left = if unicast.len() <= unicast_most {
            room.checked_sub(unicast.len())
        } else {
            None
        };
        let mut modes = 0;
        if netdev.is_promiscuous() || left.is_none() {
            modes |= vport_flags::PROMISCUOUS;
        }
        if netdev.is_all_multicast()
            || netdev.is_promiscuous()
            || multicast.len() > left.unwrap_or(room)
        {
            modes |= vport_flags::ALL_MULTICAST;
        }
        let mut addresses =
            KVec::with_capacity(room.min(unicast.len() + multicast.len()), GFP_KERNEL)?;
        let mut add = |mac| {
            let _ = addresses.push_within_capacity(MacEntry { mac }.to_words()[0]);
        };
        // First the list that is to fit.
        if left.is_some() {
            unicast.for_each(&mut add);
            multicast.for_each(&mut add);
        } else {
            multicast.for_each(&mut add);
            unicast.for_each(&mut add);
        }
        self.addresses = addresses;
        self.modes = modes;
        Ok(())
    }

    /// Flags of the vport for the modes.
    pub(crate) fn flags(&self) -> u32 {
        self.modes
    }

    /// Adds or removes a VLAN. False: nothing changed.
    pub(crate) fn set_vlan(&mut self, vid: u16, on: bool) -> bool {
        let bit = 1 << (vid % 64);
        let Some(word) = self.vlans.get_mut(usize::from(vid / 64)) else {
            return false;
        };
        let before = *word;
        *word = if on { before | bit } else { before & !bit };
        *word != before
    }

    /// Tells the device of addresses and VLANs. A VF that may not have further addresses gets the groups alone.
    pub(crate) fn apply(&self, port: &NetPort) -> Result {
        let set = |list: &[u64]| cmd::vport::mac_list(&port.device, port.share.vport, list);
        match set(&self.addresses) {
            Err(error) if Error::from(error) == EPERM => set(&self.groups()?),
            result => result,
        }
        .map_err(|error| port.failed(error))?;
        self.apply_vlans(port)
    }

    /// The multicast addresses among those that the device is told of.
    fn groups(&self) -> Result<KVec<u64>> {
        let mut groups = KVec::with_capacity(self.addresses.len(), GFP_KERNEL)?;
        for word in &self.addresses {
            if MacEntry::from_words(&[*word]).mac[0] & 1 != 0 {
                groups.push(*word, GFP_KERNEL)?;
            }
        }
        Ok(groups)
    }

    /// Tells the device of VLANs.
    pub(crate) fn apply_vlans(&self, port: &NetPort) -> Result {
        cmd::vport::vlan_set(&port.device, port.share.vport, &self.vlans)
            .map_err(|error| port.failed(error))
    }
}
