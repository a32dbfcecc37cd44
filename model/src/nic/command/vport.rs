// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands about vports: address, flags, lists, and the list of eswitch ports.

use super::{
    Answer, Failure, Outcome, ensure, field, in_buffer, limit, no_space, parameter, parameters,
    privilege, reserved, short_buffer,
};
use crate::host::Host;
use crate::nic::Nic;
use crate::nic::frame::is_group;
use crate::nic::ids::{FunctionId, VportId, wire_number};
use crate::nic::limits;
use crate::nic::vport::Vport;
use oxnic_abi::caps::privilege as privileges;
use oxnic_abi::command::{Qualifier, Status, Submission};
use oxnic_abi::vport::{
    EswitchPortKind, MacEntry, PortEntry, VportConfig, VportInfo, vport_fields, vport_flags,
};
use std::collections::BTreeSet;

/// Bytes of a VLAN set.
const VLAN_SET: usize = 512;

impl Nic {
    /// The ports of the eswitch that are there.
    pub(in crate::nic) fn port_entries(&self) -> impl Iterator<Item = PortEntry> + '_ {
        let wires = (0..self.ports.len() as u8).map(|port| PortEntry {
            eswitch_port: wire_number(port),
            kind: EswitchPortKind::WIRE,
            index: u16::from(port),
            port: u16::from(port),
        });
        let own = |vport: &&Vport| vport.represents.is_none();
        let vports = self.vports.iter().filter(own).filter_map(|vport| {
            let (kind, index) = match vport.function.vf_index() {
                None => (EswitchPortKind::PF, vport.number),
                Some(vf) => (EswitchPortKind::VF, vf),
            };
            let there = vport.function.is_pf() || self.vf(index).is_some_and(|vf| vf.prepared);
            there.then_some(PortEntry {
                eswitch_port: vport.eswitch_port,
                kind,
                index,
                port: u16::from(vport.port),
            })
        });
        wires.chain(vports)
    }

    pub(super) fn eswitch_ports(&self) -> Answer {
        Answer::list(self.port_entries().map(|entry| entry.to_words()))
    }

    pub(super) fn vport_query(&self, function: FunctionId, submission: &Submission) -> Outcome {
        let id = self.named_vport(function, submission)?;
        Ok(Answer::buffer(&self.vport_info(id).to_words()))
    }

    /// A vport as its function sees it.
    pub(super) fn vport_info(&self, id: VportId) -> VportInfo {
        let (link, speed) = self.vport_link(id);
        let vport = self.vport(id);
        let function = vport.function;
        let vf = function.vf_index().and_then(|vf| self.vf(vf));
        VportInfo {
            permanent_mac: vport.permanent_mac,
            eswitch_port: vport.eswitch_port,
            mac: vport.mac,
            frame_max: vport.frame_max,
            flags: vport.flags,
            speed: if link { speed } else { 0 },
            port: vport.port,
            link: u8::from(link),
            mac_fixed: u8::from(vf.is_some_and(|vf| vf.mac_fixed && !vf.trust)),
            stamps: vport.stamps,
            transparent_vlan: vf.and_then(|vf| vf.tag).map_or(0, |tag| tag.vid()),
            privileges: self.privileges(function),
        }
    }

    pub(super) fn vport_set(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        submission: &Submission,
    ) -> Outcome {
        let config = parameters!(VportConfig, submission)?;
        let id = self.named_vport(function, submission)?;
        let has = |bit| config.fields & bit != 0;
        ensure(config.fields & !vport_fields::ALL == 0, field(parameter(0)))?;
        if has(vport_fields::FLAGS) {
            self.check_flags(function, &config)?;
        }
        if has(vport_fields::MAC) {
            self.check_mac(function, id, &config.mac)?;
        }
        if has(vport_fields::FRAME_MAX) {
            let allowed = limits::VPORT_FRAME_MIN..=limits::FRAME_MAX;
            ensure(allowed.contains(&config.frame_max), limit(parameter(14)))?;
        }
        if has(vport_fields::STAMPS) {
            let offered = u32::from(limits::STAMP_FILTERS).checked_shr(config.stamps.0.into());
            ensure(
                offered.is_some_and(|bits| bits & 1 != 0),
                field(parameter(20)),
            )?;
        }
        let vport = self.vport_mut(id);
        if has(vport_fields::FLAGS) {
            vport.flags = vport.flags & !config.flags_mask | config.flags & config.flags_mask;
        }
        if has(vport_fields::MAC) {
            vport.mac = config.mac;
        }
        if has(vport_fields::FRAME_MAX) {
            vport.frame_max = config.frame_max;
        }
        if has(vport_fields::STAMPS) {
            vport.stamps = config.stamps;
        }
        self.forget_vebs();
        self.update_links(host);
        Ok(Answer::default())
    }

    fn check_flags(&self, function: FunctionId, config: &VportConfig) -> Result<(), Failure> {
        ensure(
            config.flags_mask & !vport_flags::ALL == 0,
            field(parameter(16)),
        )?;
        let wide = vport_flags::PROMISCUOUS | vport_flags::ALL_MULTICAST;
        let asks = config.flags & config.flags_mask & wide != 0;
        let allowed = self.privileges(function) & privileges::PROMISCUOUS != 0;
        ensure(allowed || !asks, privilege(parameter(4)))
    }

    fn check_mac(&self, function: FunctionId, id: VportId, mac: &[u8; 6]) -> Result<(), Failure> {
        ensure(*mac != [0; 6] && !is_group(mac), field(parameter(8)))?;
        if *mac == self.vport(id).mac {
            return Ok(());
        }
        let fixed = Failure::new(Status::EPERM, Qualifier::MAC_FIXED, parameter(8));
        ensure(self.privileges(function) & privileges::MAC != 0, fixed)
    }

    pub(super) fn mac_list(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        submission: &Submission,
    ) -> Outcome {
        let id = self.named_vport(function, submission)?;
        let longest = usize::from(limits::MAC_LIST) * MacEntry::BYTES;
        ensure(
            submission.buffer_length as usize <= longest,
            no_space(super::BUFFER_LENGTH),
        )?;
        let whole = submission.buffer_length as usize % MacEntry::BYTES == 0;
        ensure(whole, short_buffer())?;
        let words = self.request(host, function, submission, 0)?;
        let may_add = self.privileges(function) & privileges::MAC != 0;
        let mut list = BTreeSet::new();
        for (index, word) in words.into_iter().enumerate() {
            let offset = in_buffer(index * MacEntry::BYTES);
            if let Some(stray) = MacEntry::reserved_bits(&[word]) {
                return Err(reserved(offset + stray));
            }
            let MacEntry { mac } = MacEntry::from_words(&[word]);
            ensure(mac != [0; 6], field(offset))?;
            ensure(may_add || is_group(&mac), privilege(offset))?;
            list.insert(mac);
        }
        self.vport_mut(id).mac_list = list;
        self.forget_vebs();
        Ok(Answer::default())
    }

    pub(super) fn vlan_set(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        submission: &Submission,
    ) -> Outcome {
        let id = self.named_vport(function, submission)?;
        let words = self.request(host, function, submission, VLAN_SET)?;
        if let Some(word) = words.iter().skip(64).position(|word| *word != 0) {
            return Err(reserved(in_buffer(VLAN_SET + word * 8)));
        }
        let mut set = [0; 64];
        for (to, from) in set.iter_mut().zip(&words) {
            *to = *from;
        }
        set[63] &= !(1 << 63); // VLAN 4095 is none
        *self.vport_mut(id).vlans = set;
        Ok(Answer::default())
    }
}
