// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands by which a PF makes and configures VFs.

use super::rate::MEGABIT;
use super::{
    Answer, FUNCTION, Failure, Outcome, ensure, field, in_buffer, limit, no_object, no_space,
    parameter, parameters, request,
};
use crate::host::Host;
use crate::nic::Nic;
use crate::nic::event::Notice;
use crate::nic::frame::{CTAG, STAG, Tag, is_group};
use crate::nic::ids::FunctionId;
use crate::nic::limits;
use crate::nic::rate::settings::{Name, Plan};
use oxnic_abi::caps::privilege;
use oxnic_abi::command::{Qualifier, Status, Submission};
use oxnic_abi::event::EventKind;
use oxnic_abi::rate::{RateConfig, RateKind, rate_fields};
use oxnic_abi::vf::{VfConfig, VfInfo, VfLink, VfRange, vf_fields};
use oxnic_abi::vport::vport_flags;
use std::ops::Range;

/// Highest VLAN that can be used.
const VLAN_MAX: u16 = 4094;

impl Nic {
    /// The VFs that a range names.
    fn vf_range(&self, submission: &Submission) -> Result<Range<u16>, Failure> {
        let range = parameters!(VfRange, submission)?;
        let vfs = u32::from(self.config.max_vfs);
        let end = u32::from(range.first) + u32::from(range.count);
        ensure(range.count != 0 && end <= vfs, limit(parameter(2)))?;
        Ok(range.first..end as u16)
    }

    pub(super) fn vf_enable(&mut self, host: &mut dyn Host, submission: &Submission) -> Outcome {
        let range = self.vf_range(submission)?;
        let enabled = range
            .clone()
            .any(|vf| self.vf(vf).is_some_and(|vf| vf.prepared));
        let exists = Failure::new(Status::EEXIST, Qualifier::STATE, parameter(0));
        ensure(!enabled, exists)?;
        let needed = u32::from(limits::VF_VECTORS_DEFAULT) * range.len() as u32;
        ensure(needed <= self.vectors_left(None), no_space(parameter(2)))?;
        self.allocate()?;
        for vf in range {
            self.default_vf(host, vf, true);
        }
        Ok(Answer::default())
    }

    pub(super) fn vf_disable(&mut self, host: &mut dyn Host, submission: &Submission) -> Outcome {
        for vf in self.vf_range(submission)? {
            self.default_vf(host, vf, false);
        }
        Ok(Answer::default())
    }

    /// Vectors that no enabled VF has, but for one.
    fn vectors_left(&self, but: Option<u16>) -> u32 {
        let taken: u32 = (0u16..)
            .zip(&self.vfs)
            .filter(|(index, vf)| Some(*index) != but && vf.prepared)
            .map(|(_, vf)| u32::from(vf.vectors))
            .sum();
        let pool = u32::from(self.state(FunctionId::PF).shares.vector_pool());
        pool.saturating_sub(taken)
    }

    /// The VF that a submission names.
    pub(super) fn named_vf(&self, submission: &Submission) -> Result<u16, Failure> {
        let vf = submission.function.checked_sub(1).ok_or(field(FUNCTION))?;
        let prepared = self.vf(vf).is_some_and(|vf| vf.prepared);
        if prepared {
            Ok(vf)
        } else {
            Err(no_object(FUNCTION))
        }
    }

    pub(super) fn vf_query(&self, submission: &Submission) -> Outcome {
        let index = self.named_vf(submission)?;
        let (Some(vf), Some(vport)) = (self.vf(index), self.vf_vport(index)) else {
            return Err(no_object(FUNCTION));
        };
        let rates = self.shaper.plan().get(Name::Leaf(index));
        let rates = rates.copied().unwrap_or_default();
        let megabits = |rate: u64| u32::try_from(rate.div_ceil(MEGABIT)).unwrap_or(u32::MAX);
        let info = VfInfo {
            eswitch_port: vport.eswitch_port,
            active: u8::from(self.vf_active(index)),
            link: vf.link,
            spoof_check: u8::from(vf.spoof_check),
            trust: u8::from(vf.trust),
            port: vport.port,
            mac: vport.mac,
            vlan: vf.tag.map_or(0, |tag| tag.vid()),
            qos: vf.tag.map_or(0, |tag| (tag.tci >> 13) as u8),
            vlan_proto: vf.vlan_proto,
            vectors: vf.vectors,
            rate_min: megabits(rates.share),
            rate_max: megabits(rates.max),
            mac_fixed: u8::from(vf.mac_fixed),
        };
        Ok(Answer::buffer(&info.to_words()))
    }

    pub(super) fn vf_stats(&self, submission: &Submission) -> Outcome {
        let vf = self.named_vf(submission)?;
        let vport = self.vf_vport(vf).ok_or(no_object(FUNCTION))?;
        Ok(Answer::buffer(&vport.stats.to_words()))
    }

    pub(super) fn vf_set(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        submission: &Submission,
    ) -> Outcome {
        let vf = self.named_vf(submission)?;
        let config = request!(VfConfig, self, host, function, submission)?;
        self.check_vf(vf, &config)?;
        let rates = self.check_rate(vf, &config)?;
        let before = self.vport_info(self.vf_vport_id(vf));
        self.set_vf(vf, &config);
        if let Some(plan) = rates {
            self.set_rates(plan);
        }
        self.take_away(vf);
        self.forget_vebs();
        self.update_links(host);
        if self.vport_info(self.vf_vport_id(vf)) != before {
            let notice = Notice::new(EventKind::VPORT_CHANGED, 0, 0);
            self.tell(host, FunctionId::vf(vf), notice);
        }
        Ok(Answer::default())
    }

    fn check_vf(&self, vf: u16, config: &VfConfig) -> Result<(), Failure> {
        let has = |bit| config.fields & bit != 0;
        let check =
            |field_bit, condition: bool, failure| ensure(!has(field_bit) || condition, failure);
        ensure(config.fields & !vf_fields::ALL == 0, field(in_buffer(0)))?;
        let known = VfLink::ALL.contains(&config.link);
        check(vf_fields::LINK, known, field(in_buffer(4)))?;
        check(
            vf_fields::SPOOF_CHECK,
            config.spoof_check <= 1,
            field(in_buffer(5)),
        )?;
        check(vf_fields::TRUST, config.trust <= 1, field(in_buffer(6)))?;
        let port = usize::from(config.port) < self.ports.len();
        check(vf_fields::PORT, port, field(in_buffer(7)))?;
        let moves = self
            .vf_vport(vf)
            .is_some_and(|vport| vport.port != config.port);
        let busy = Failure::new(Status::EBUSY, Qualifier::STATE, in_buffer(7));
        check(vf_fields::PORT, !moves || !self.vf_active(vf), busy)?;
        check(vf_fields::MAC, !is_group(&config.mac), field(in_buffer(8)))?;
        check(
            vf_fields::VLAN,
            config.vlan <= VLAN_MAX,
            field(in_buffer(14)),
        )?;
        check(vf_fields::VLAN, config.qos <= 7, field(in_buffer(16)))?;
        let proto = matches!(config.vlan_proto, CTAG | STAG);
        check(vf_fields::VLAN, proto, field(in_buffer(18)))?;
        if has(vf_fields::VECTORS) {
            self.check_vectors(vf, config.vectors)?;
        }
        Ok(())
    }

    fn check_vectors(&self, vf: u16, vectors: u16) -> Result<(), Failure> {
        let allowed = limits::VF_VECTORS_MIN..=limits::VF_VECTORS_MAX;
        ensure(allowed.contains(&vectors), limit(in_buffer(20)))?;
        let busy = Failure::new(Status::EBUSY, Qualifier::STATE, in_buffer(20));
        ensure(!self.vf_active(vf), busy)?;
        let left = self.vectors_left(Some(vf));
        ensure(u32::from(vectors) <= left, no_space(in_buffer(20)))
    }

    /// The rates of all VFs with those that a command names, if they may be: they are those of the VF's leaf. What is promised has
    /// to fit the wire port that it is on afterwards.
    fn check_rate(&self, vf: u16, config: &VfConfig) -> Result<Option<Plan>, Failure> {
        let has = |bit| config.fields & bit != 0;
        let moved = has(vf_fields::PORT).then_some((vf, config.port));
        if !has(vf_fields::RATE) {
            return match self.check_promises(self.shaper.plan(), moved) {
                Err(_) if moved.is_some() => Err(no_space(in_buffer(7))),
                _ => Ok(None),
            };
        }
        let leaf = RateConfig {
            fields: rate_fields::SHARE | rate_fields::MAX,
            kind: RateKind::LEAF,
            number: vf,
            share: u64::from(config.rate_min) * MEGABIT,
            max: u64::from(config.rate_max) * MEGABIT,
            ..RateConfig::ZERO
        };
        let plan = self.rate_plan(Name::Leaf(vf), &leaf, moved);
        plan.map(Some).map_err(|failure| Failure {
            offset: in_buffer(24) as u16,
            ..failure
        })
    }

    fn set_vf(&mut self, index: u16, config: &VfConfig) {
        let has = |bit| config.fields & bit != 0;
        let id = self.vf_vport_id(index);
        let made = self.made_mac(index);
        let Some(vf) = self.vfs.get_mut(usize::from(index)) else {
            return;
        };
        let Some(vport) = self.vports.get_mut(id.index()) else {
            return;
        };
        if has(vf_fields::LINK) {
            vf.link = config.link;
        }
        if has(vf_fields::SPOOF_CHECK) {
            vf.spoof_check = config.spoof_check != 0;
        }
        if has(vf_fields::TRUST) {
            vf.trust = config.trust != 0;
        }
        if has(vf_fields::PORT) {
            vport.port = config.port;
        }
        if has(vf_fields::MAC) {
            vf.mac_fixed = config.mac != [0; 6];
            vport.permanent_mac = if vf.mac_fixed { config.mac } else { made };
            vport.mac = vport.permanent_mac;
        }
        if has(vf_fields::VLAN) {
            vf.vlan_proto = config.vlan_proto;
            let tci = (u16::from(config.qos) << 13) | config.vlan;
            vf.tag = (config.vlan != 0).then_some(Tag {
                tpid: config.vlan_proto,
                tci,
            });
        }
        if has(vf_fields::PORT) {
            self.follow_port(index, config.port);
        }
        if has(vf_fields::VECTORS) {
            self.set_vectors(index, config.vectors);
        }
    }

    /// What a VF uses without the privilege is taken from it.
    fn take_away(&mut self, index: u16) {
        let privileges = self.privileges(FunctionId::vf(index));
        let id = self.vf_vport_id(index);
        let vport = self.vport_mut(id);
        if privileges & privilege::PROMISCUOUS == 0 {
            vport.flags &= !(vport_flags::PROMISCUOUS | vport_flags::ALL_MULTICAST);
        }
        if privileges & privilege::MAC == 0 {
            vport.mac = vport.permanent_mac;
            vport.mac_list.retain(is_group);
        }
    }
}
