// SPDX-License-Identifier: GPL-2.0-only

//! The entries into which the kernel cuts the actions of a rule.
//!
//! An entry does not tell all that the action does, and most drivers do not know better: which verdict it ends with, whether
//! `vlan modify` sets the priority, whether pedit reads an offset from the packet, whether gact does something else by chance, how
//! large a policer's bucket exactly is. [`Entry`] finds that out from the action itself, which outlives the call.

use super::action::{Action, ActionId, Base, Mangle, Tag};
use super::police::{Police, Verdict};
use super::sample::Listeners;
use super::stats::HwStats;
use super::tunnel::Tunnel;
use crate::net::netdev::Device;
use core::marker::PhantomData;
use core::ptr::NonNull;
use oxnic_bindings as bindings;

/// What the action of tc knows better than the entry.
pub(super) struct Facts(pub(super) bindings::oxnic_action_facts);

/// An entry.
pub struct Entry<'a> {
    raw: &'a bindings::flow_action_entry,
    /// None where the entry was not made by tc.
    facts: Option<Facts>,
    _rule: PhantomData<&'a Device>,
}

impl<'a> Entry<'a> {
    pub(super) fn new(raw: &'a bindings::flow_action_entry) -> Self {
        let mut facts = bindings::oxnic_action_facts::default();
        // SAFETY: By the invariants of `Actions`, the entry's cookie is zero or an action that lives as long as the entry. The
        // facts are ours.
        let known = unsafe { bindings::oxnic_action_facts(raw, &mut facts) };
        Self {
            raw,
            facts: known.then_some(Facts(facts)),
            _rule: PhantomData,
        }
    }

    /// Whether the kernel has counted the entry and then not filled it, as where an action changed in between. It then looks like
    /// [`Action::Accept`].
    pub fn is_unfilled(&self) -> bool {
        self.raw.id == 0
            && self.raw.cookie == 0
            && self.raw.hw_stats == bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DONT_CARE
    }

    /// Its kind, for messages.
    pub fn id(&self) -> ActionId {
        ActionId(self.raw.id)
    }

    /// Name of the action that it is of, for [`Others::action_stats`](super::Others::action_stats); zero where it has none.
    pub fn cookie(&self) -> usize {
        self.raw.cookie
    }

    /// Number of the action among those of its kind. Rules that name the same one share it.
    pub fn index(&self) -> u32 {
        self.raw.hw_index
    }

    /// Where software can go on behind this action, see [`MISSES_CONTINUE`](super::MISSES_CONTINUE); zero where it cannot.
    pub fn miss_cookie(&self) -> u64 {
        self.raw.miss_cookie
    }

    /// How it is to be counted.
    pub fn hw_stats(&self) -> HwStats {
        HwStats(self.raw.hw_stats)
    }

    /// What happens behind it, where that is known. For a policer, see there.
    pub fn verdict(&self) -> Option<Verdict> {
        let facts = self.facts.as_ref()?;
        Some(Verdict::from_tc(facts.0.verdict))
    }

    /// How many entries were made of its action, this one and those behind it: more than one with pedit only. None where that is
    /// not known.
    pub fn siblings(&self) -> Option<usize> {
        let facts = self.facts.as_ref()?;
        Some(facts.0.entries as usize)
    }

    /// Who gets the copies of [`Action::Sample`]; none with other actions.
    pub fn listeners(&self) -> Option<Listeners<'a>> {
        if self.raw.id != bindings::flow_action_id_FLOW_ACTION_SAMPLE {
            return None;
        }
        // SAFETY: By the invariants of `Actions`; the entry is about samples.
        unsafe { Listeners::of_entry(self.raw) }
    }

    /// Whether a part of the packets, by chance, is treated otherwise.
    pub fn is_by_chance(&self) -> bool {
        self.has(|facts| facts.by_chance)
    }

    fn has(&self, fact: impl Fn(&bindings::oxnic_action_facts) -> bool) -> bool {
        self.facts.as_ref().is_some_and(|facts| fact(&facts.0))
    }

    /// What it does.
    pub fn action(&self) -> Action<'a> {
        // SAFETY: The kind of the entry says which member of the union is in use, and what it points to is valid, by the
        // invariants of `Actions`.
        unsafe {
            let with = &self.raw.__bindgen_anon_1;
            match self.raw.id {
                bindings::flow_action_id_FLOW_ACTION_ACCEPT => Action::Accept,
                bindings::flow_action_id_FLOW_ACTION_DROP => Action::Drop,
                bindings::flow_action_id_FLOW_ACTION_TRAP => Action::Trap,
                bindings::flow_action_id_FLOW_ACTION_GOTO => {
                    Action::Goto(*with.chain_index.as_ref())
                }
                bindings::flow_action_id_FLOW_ACTION_REDIRECT => Action::Redirect(device(with)),
                bindings::flow_action_id_FLOW_ACTION_MIRRED => Action::Mirror(device(with)),
                bindings::flow_action_id_FLOW_ACTION_REDIRECT_INGRESS => {
                    Action::RedirectIngress(device(with))
                }
                bindings::flow_action_id_FLOW_ACTION_MIRRED_INGRESS => {
                    Action::MirrorIngress(device(with))
                }
                bindings::flow_action_id_FLOW_ACTION_VLAN_PUSH => Action::VlanPush(self.tag(with)),
                bindings::flow_action_id_FLOW_ACTION_VLAN_POP => Action::VlanPop,
                bindings::flow_action_id_FLOW_ACTION_VLAN_MANGLE => {
                    Action::VlanMangle(self.tag(with))
                }
                bindings::flow_action_id_FLOW_ACTION_MANGLE => {
                    Action::Mangle(self.mangle(with, false))
                }
                bindings::flow_action_id_FLOW_ACTION_ADD => Action::Mangle(self.mangle(with, true)),
                bindings::flow_action_id_FLOW_ACTION_CSUM => {
                    Action::Csum(*with.csum_flags.as_ref())
                }
                bindings::flow_action_id_FLOW_ACTION_MARK => Action::Mark(*with.mark.as_ref()),
                bindings::flow_action_id_FLOW_ACTION_PRIORITY => {
                    Action::Priority(*with.priority.as_ref())
                }
                bindings::flow_action_id_FLOW_ACTION_SAMPLE => self.sample(with),
                bindings::flow_action_id_FLOW_ACTION_POLICE => {
                    Action::Police(Police::new(with.police.as_ref(), self.facts.as_ref()))
                }
                bindings::flow_action_id_FLOW_ACTION_TUNNEL_ENCAP => {
                    match with.tunnel.as_ref().as_ref() {
                        Some(info) => Action::TunnelEncap(Tunnel::new(info)),
                        None => Action::Other(self.id()),
                    }
                }
                bindings::flow_action_id_FLOW_ACTION_TUNNEL_DECAP => Action::TunnelDecap,
                other => Action::Other(ActionId(other)),
            }
        }
    }

    /// # Safety
    ///
    /// The entry is about a tag.
    unsafe fn tag(&self, with: &bindings::flow_action_entry__bindgen_ty_1) -> Tag {
        // SAFETY: By the contract.
        let vlan = unsafe { with.vlan.as_ref() };
        let keeps = self.has(|facts| facts.keeps_priority)
            && self.raw.id == bindings::flow_action_id_FLOW_ACTION_VLAN_MANGLE;
        Tag {
            tpid: u16::from_be(vlan.proto),
            id: vlan.vid,
            priority: (!keeps).then_some(vlan.prio),
        }
    }

    /// # Safety
    ///
    /// The entry is an edit.
    unsafe fn mangle(&self, with: &bindings::flow_action_entry__bindgen_ty_1, add: bool) -> Mangle {
        // SAFETY: By the contract.
        let mangle = unsafe { with.mangle.as_ref() };
        Mangle {
            base: match mangle.htype {
                bindings::flow_action_mangle_base_FLOW_ACT_MANGLE_UNSPEC => Ok(Base::Network),
                bindings::flow_action_mangle_base_FLOW_ACT_MANGLE_HDR_TYPE_ETH => {
                    Ok(Base::Ethernet)
                }
                bindings::flow_action_mangle_base_FLOW_ACT_MANGLE_HDR_TYPE_IP4 => Ok(Base::Ipv4),
                bindings::flow_action_mangle_base_FLOW_ACT_MANGLE_HDR_TYPE_IP6 => Ok(Base::Ipv6),
                bindings::flow_action_mangle_base_FLOW_ACT_MANGLE_HDR_TYPE_TCP => Ok(Base::Tcp),
                bindings::flow_action_mangle_base_FLOW_ACT_MANGLE_HDR_TYPE_UDP => Ok(Base::Udp),
                other => Err(other),
            },
            offset: mangle.offset as i32,
            keep: mangle.mask.to_ne_bytes(),
            value: mangle.val.to_ne_bytes(),
            add,
            moving: self.has(|facts| facts.moving_offset),
        }
    }

    /// # Safety
    ///
    /// The entry is about samples.
    unsafe fn sample(&self, with: &bindings::flow_action_entry__bindgen_ty_1) -> Action<'a> {
        // SAFETY: By the contract.
        let sample = unsafe { with.sample.as_ref() };
        // SAFETY: The group is valid where there is one.
        match unsafe { sample.psample_group.as_ref() } {
            Some(group) => Action::Sample {
                group: group.group_num,
                rate: sample.rate,
                truncate: sample.truncate.then_some(sample.trunc_size),
            },
            None => Action::Other(self.id()),
        }
    }
}

/// The interface of a redirect or mirror.
///
/// # Safety
///
/// The entry is one of these, and its interface is null or valid for `'a`.
unsafe fn device<'a>(with: &bindings::flow_action_entry__bindgen_ty_1) -> Option<&'a Device> {
    // SAFETY: By the contract.
    let device = NonNull::new(unsafe { *with.dev.as_ref() })?;
    // SAFETY: By the contract.
    Some(unsafe { Device::from_raw(device.as_ptr()) })
}

#[cfg(CONFIG_KUNIT)]
#[kernel::macros::kunit_tests(oxnic_kapi_flow_entries)]
mod tests {
    use super::super::fixture::{self, Fixture};
    use super::super::key::OptionsKind;
    use super::*;
    use core::net::{IpAddr, Ipv4Addr};
    use kernel::prelude::*;

    #[test]
    fn unknown_entries_come_by_number() -> Result {
        let mut fixture = Fixture::new(2)?;
        fixture
            .plain(bindings::flow_action_id_FLOW_ACTION_CT)
            .plain(77);
        let mut ids = fixture
            .rule()
            .actions()
            .iter()
            .map(|entry| match entry.action() {
                Action::Other(id) => Some(id.0),
                _ => None,
            });
        assert_eq!(
            ids.next(),
            Some(Some(bindings::flow_action_id_FLOW_ACTION_CT))
        );
        assert_eq!(ids.next(), Some(Some(77)));
        assert!(ids.next().is_none());
        Ok(())
    }

    #[test]
    fn entries_without_an_action_of_tc_have_no_verdict() -> Result {
        let mut fixture = Fixture::new(1)?;
        fixture.plain(bindings::flow_action_id_FLOW_ACTION_VLAN_POP);
        let entry = fixture.rule().actions().iter().next().unwrap();
        assert!(entry.verdict().is_none() && entry.siblings().is_none());
        assert!(!entry.is_by_chance() && entry.hw_stats().allows_delayed());
        Ok(())
    }

    #[test]
    fn interfaces_are_those_of_the_entry_or_none() -> Result {
        let device = fixture::device()?;
        let mut fixture = Fixture::new(2)?;
        fixture
            .device(
                bindings::flow_action_id_FLOW_ACTION_REDIRECT,
                Some(&*device),
            )
            .device(bindings::flow_action_id_FLOW_ACTION_MIRRED_INGRESS, None);
        let mut entries = fixture.rule().actions().iter();
        assert!(matches!(
            entries.next().unwrap().action(),
            Action::Redirect(Some(to)) if core::ptr::eq(to, &*device)
        ));
        assert!(matches!(
            entries.next().unwrap().action(),
            Action::MirrorIngress(None)
        ));
        Ok(())
    }

    #[test]
    fn an_edit_keeps_the_order_of_bytes() -> Result {
        let mut fixture = Fixture::new(1)?;
        fixture.entry(bindings::flow_action_id_FLOW_ACTION_ADD, |entry| {
            // SAFETY: All members of the union are plain data.
            let mangle = unsafe { entry.__bindgen_anon_1.mangle.as_mut() };
            mangle.htype = bindings::flow_action_mangle_base_FLOW_ACT_MANGLE_HDR_TYPE_TCP;
            mangle.offset = 0u32.wrapping_sub(4);
            // A port behind another one: pedit has both as the packet does.
            mangle.mask = u32::from_ne_bytes([0xff, 0xff, 0, 0]);
            mangle.val = u32::from_ne_bytes([0, 0, 0x1f, 0x90]);
        });
        let Action::Mangle(mangle) = fixture.rule().actions().iter().next().unwrap().action()
        else {
            return Err(EINVAL);
        };
        assert_eq!(
            mangle,
            Mangle {
                base: Ok(Base::Tcp),
                offset: -4,
                keep: [0xff, 0xff, 0, 0],
                value: [0, 0, 0x1f, 0x90],
                add: true,
                moving: false,
            }
        );
        Ok(())
    }

    #[test]
    fn a_tunnel_has_its_options_behind_it() -> Result {
        let options = [1, 2, 3, 4, 5, 6, 7, 8];
        let mut fixture = Fixture::new(1)?;
        let addresses = ([10, 0, 0, 1], [10, 0, 0, 2]);
        fixture.encap(
            addresses,
            Some(42),
            6081,
            Some((OptionsKind::Geneve, &options)),
        )?;
        let Action::TunnelEncap(tunnel) = fixture.rule().actions().iter().next().unwrap().action()
        else {
            return Err(EINVAL);
        };
        let address = |bytes: [u8; 4]| IpAddr::V4(Ipv4Addr::from(bytes));
        assert!(tunnel.addresses() == (address(addresses.0), address(addresses.1)));
        assert_eq!(tunnel.key_id(), Some(42));
        assert_eq!((tunnel.dst_port(), tunnel.src_port()), (6081, 0));
        assert!(tunnel.csum() && !tunnel.dont_fragment() && tunnel.is_plain());
        assert!(tunnel.options() == Some((OptionsKind::Geneve, &options[..])));
        Ok(())
    }

    #[test]
    fn a_tag_that_is_pushed_always_has_a_priority() -> Result {
        let tag = Tag {
            tpid: 0x88a8,
            id: 7,
            priority: Some(0),
        };
        let mut fixture = Fixture::new(1)?;
        fixture.vlan(bindings::flow_action_id_FLOW_ACTION_VLAN_PUSH, tag);
        assert!(matches!(
            fixture.rule().actions().iter().next().unwrap().action(),
            Action::VlanPush(pushed) if pushed == tag
        ));
        Ok(())
    }
}
