// SPDX-License-Identifier: GPL-2.0-only

//! Conditions that ask for whole fields, of rules of the driver's own.

use super::{
    refusal::Refusal,
    tunnel::{Tunnel, Underlay}, //
};
use core::net::IpAddr;
use kernel::prelude::*;
use oxnic_abi::flow::{
    field::FlowField,
    template::{ConditionKind, FlowCondition}, //
};
use oxnic_offload::plan::TunnelId;

/// Conditions on whole fields, and their key.
#[derive(Default)]
pub(super) struct Exactly {
    pub(super) words: KVec<u64>,
    pub(super) key: KVec<u8>,
    pub(super) count: usize,
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
    pub(super) fn of_tunnel(tunnel: &Tunnel) -> Result<Self, Refusal> {
        let port = tunnel.port();
        let mut exactly = Self::default();
        // Two that differ in nothing else have packets of their own each.
        if let Some(family) = tunnel.family() {
            exactly.add(FlowField::ENC_FAMILY, &[family])?;
        }
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
    pub(super) fn to_host(at: &Underlay, address: IpAddr) -> Result<Self, Refusal> {
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

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_exactly)]
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
