// SPDX-License-Identifier: GPL-2.0-only

//! What a rule does.
//!
//! Each action of tc has a verdict of its own. Where that is not the usual one, it becomes an action of its own behind it: the
//! rule `vlan pop ok` is a `vlan pop` and an `ok`. What stands behind is never done, as in software.

use super::super::refusal::Refusal;
use super::{encap, Ports};
use kernel::prelude::*;
use oxnic_kapi::net::flow::{
    action::{Base, Mangle},
    police::Verdict as KernelVerdict,
    Action as KernelAction,
    Actions,
    Entry,
    HwStats,
    Listeners,
    Police as KernelPolice, //
};
use oxnic_kapi::net::netdev::Device as NetDevice;
use oxnic_offload::rule::{
    police::Rate, Action, Chain, Direction, Edit, Header, Operation, Police, Port, Verdict,
};

/// The entries do not fit the action any more that they were made of.
const CHANGED: Refusal = Refusal::Feature {
    action: "pedit",
    feature: "a change of it meanwhile",
};

/// Where an action of the rule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin<'a> {
    /// Name of tc's action, by which its statistics are asked for.
    pub(crate) cookie: usize,
    /// Its number among those of its kind.
    pub(crate) index: u32,
    /// How it is to be counted.
    pub(crate) hw_stats: HwStats,
    /// Where software can go on behind it; zero where it cannot.
    pub(crate) miss_cookie: u64,
    /// Who gets copies that it makes.
    pub(crate) listeners: Option<Listeners<'a>>,
}

/// The edits of all pedit actions, in their order.
pub(super) fn edits(actions: Actions<'_>) -> Result<KVec<Edit>, Refusal> {
    let mut edits = KVec::new();
    for entry in actions.iter() {
        if let KernelAction::Mangle(mangle) = entry.action() {
            edits.push(edit(&mangle)?, GFP_KERNEL)?;
        }
    }
    Ok(edits)
}

fn edit(mangle: &Mangle) -> Result<Edit, Refusal> {
    let no = |feature| Refusal::Feature {
        action: "pedit",
        feature,
    };
    if mangle.moving {
        return Err(no("an offset read from the packet"));
    }
    Ok(Edit {
        header: match mangle.base {
            Ok(Base::Network) => Header::Network,
            Ok(Base::Ethernet) => Header::Ethernet,
            Ok(Base::Ipv4) => Header::Ipv4,
            Ok(Base::Ipv6) => Header::Ipv6,
            Ok(Base::Tcp) => Header::Tcp,
            Ok(Base::Udp) => Header::Udp,
            Err(_) => return Err(no("another header")),
        },
        offset: mangle
            .offset
            .try_into()
            .map_err(|_| no("a negative offset"))?,
        operation: if mangle.add {
            Operation::Add
        } else {
            Operation::Set
        },
        keep: mangle.keep,
        value: mangle.value,
    })
}

/// Collects actions.
pub(super) struct Reader<'a> {
    /// Edits that no action has taken yet.
    edits: &'a [Edit],
    ports: &'a dyn Ports,
    /// All entries are made of actions of tc.
    of_tc: bool,
    actions: KVec<Action<'a>>,
    origins: KVec<Origin<'a>>,
}

impl<'a> Reader<'a> {
    /// With the edits of the rule that is to be read.
    pub(super) fn new(edits: &'a [Edit], ports: &'a dyn Ports, of_tc: bool) -> Self {
        Self {
            edits,
            ports,
            of_tc,
            actions: KVec::new(),
            origins: KVec::new(),
        }
    }

    /// What was read.
    pub(super) fn actions(&self) -> &[Action<'a>] {
        &self.actions
    }

    /// For each action, where it comes from.
    pub(super) fn origins(&self) -> &[Origin<'a>] {
        &self.origins
    }

    /// Reads the actions of a rule.
    pub(super) fn read(&mut self, actions: Actions<'a>) -> Result<(), Refusal> {
        let mut entries = actions.iter();
        let mut inserted = false;
        while let Some(entry) = entries.next() {
            // An accept of nftables looks the same, and nftables fills all entries.
            if self.of_tc && entry.is_unfilled() {
                return Err(CHANGED);
            }
            if entry.is_by_chance() {
                return Err(Refusal::Feature {
                    action: entry.id().name(),
                    feature: "random",
                });
            }
            let action = self.action(&entry)?;
            if let Action::Pedit(edits) = action {
                // The others of the same action are among its edits already.
                let others = entries.by_ref().take(edits.len() - 1);
                if others
                    .into_iter()
                    .any(|other| other.cookie() != entry.cookie())
                {
                    return Err(CHANGED);
                }
            }
            self.push(action, &entry)?;
            if let Some(verdict) = afterwards(&action, &entry)? {
                self.push(Action::Control(verdict), &entry)?;
                inserted = true;
            }
        }
        if inserted && self.actions.iter().any(jumps) {
            // The numbers of actions are not those that tc counts.
            return Err(Refusal::Verdict("police"));
        }
        Ok(())
    }

    fn push(&mut self, action: Action<'a>, entry: &Entry<'a>) -> Result<(), Refusal> {
        let origin = Origin {
            cookie: entry.cookie(),
            index: entry.index(),
            hw_stats: entry.hw_stats(),
            miss_cookie: entry.miss_cookie(),
            listeners: entry.listeners(),
        };
        self.origins.push(origin, GFP_KERNEL)?;
        self.actions.push(action, GFP_KERNEL)?;
        Ok(())
    }

    fn action(&mut self, entry: &Entry<'a>) -> Result<Action<'a>, Refusal> {
        use Direction::{Egress, Ingress};
        let port = |netdev: Option<&NetDevice>| -> Result<Port, Refusal> {
            netdev
                .and_then(|netdev| self.ports.port(netdev))
                .ok_or(Refusal::Interface(entry.id().name()))
        };
        Ok(match entry.action() {
            KernelAction::Accept => Action::Control(Verdict::Accept),
            KernelAction::Drop => Action::Control(Verdict::Drop),
            KernelAction::Trap => Action::Control(Verdict::Trap),
            KernelAction::Goto(chain) => Action::Control(Verdict::Goto(Chain(chain))),
            KernelAction::Redirect(netdev) => Action::Redirect(port(netdev)?, Egress),
            KernelAction::RedirectIngress(netdev) => Action::Redirect(port(netdev)?, Ingress),
            KernelAction::Mirror(netdev) => Action::Mirror(port(netdev)?, Egress),
            KernelAction::MirrorIngress(netdev) => Action::Mirror(port(netdev)?, Ingress),
            KernelAction::VlanPush(tag) => Action::VlanPush {
                tpid: tag.tpid,
                id: tag.id,
                priority: tag.priority.unwrap_or(0),
            },
            KernelAction::VlanPop => Action::VlanPop,
            KernelAction::VlanMangle(tag) => Action::VlanModify {
                tpid: tag.tpid,
                id: tag.id,
                priority: tag.priority,
            },
            KernelAction::Mangle(_) => Action::Pedit(self.take_edits(entry)?),
            KernelAction::Csum(what) => Action::Checksum(what.try_into().unwrap_or(u8::MAX)),
            KernelAction::Mark(mark) => Action::Mark(mark),
            KernelAction::Priority(priority) => Action::Priority(priority),
            KernelAction::Sample {
                group,
                rate,
                truncate,
            } => Action::Sample {
                group,
                rate,
                truncate,
            },
            KernelAction::Police(police) => Action::Police(read_police(&police, entry.index())?),
            KernelAction::TunnelEncap(tunnel) => Action::TunnelSet(encap::read(&tunnel)?),
            KernelAction::TunnelDecap => Action::TunnelUnset,
            KernelAction::Other(id) => return Err(Refusal::Action(id)),
        })
    }

    /// The edits of the action that an entry is the first of.
    fn take_edits(&mut self, entry: &Entry<'_>) -> Result<&'a [Edit], Refusal> {
        let count = entry.siblings().unwrap_or(1);
        let (mine, others) = self
            .edits
            .split_at_checked(count)
            .filter(|(mine, _)| !mine.is_empty())
            .ok_or(CHANGED)?;
        self.edits = others;
        Ok(mine)
    }
}

/// What becomes of the packet after an action, where that is not what usually does: an action of its own.
fn afterwards(action: &Action<'_>, entry: &Entry<'_>) -> Result<Option<Verdict>, Refusal> {
    let Some(verdict) = entry.verdict() else {
        return Ok(None);
    };
    match (action, verdict) {
        // Their verdicts are what they are.
        (Action::Control(_) | Action::Police(_), _) => Ok(None),
        (Action::Redirect(..), KernelVerdict::Stolen) => Ok(None),
        (Action::Redirect(..), _) => Err(Refusal::Verdict(action.name())),
        (_, KernelVerdict::Pipe) => Ok(None),
        (_, KernelVerdict::Accept) => Ok(Some(Verdict::Accept)),
        (_, KernelVerdict::Drop) => Ok(Some(Verdict::Drop)),
        (_, KernelVerdict::Trap) => Ok(Some(Verdict::Trap)),
        (_, KernelVerdict::Goto(chain)) => Ok(Some(Verdict::Goto(Chain(chain)))),
        _ => Err(Refusal::Verdict(action.name())),
    }
}

fn read_police(police: &KernelPolice, index: u32) -> Result<Police, Refusal> {
    let no = |feature| Refusal::Feature {
        action: "police",
        feature,
    };
    if police.peak_rate != 0 {
        return Err(no("peakrate"));
    }
    if police.average_rate != 0 {
        return Err(no("avrate"));
    }
    if police.overhead != 0 || police.odd_sizes {
        return Err(no("overhead, mpu or linklayer"));
    }
    let rate = match (police.rate, police.packet_rate) {
        (0, 0) => Rate::None,
        (rate, 0) => Rate::Bytes {
            rate,
            burst: police.burst_ns,
        },
        (0, rate) => Rate::Packets {
            rate,
            burst: police.packet_burst_ns,
        },
        _ => return Err(no("a rate of bytes and one of packets")),
    };
    Ok(Police {
        index,
        rate,
        mtu: police.mtu,
        conform: police_verdict(police.conform).ok_or(no("this conform verdict"))?,
        exceed: police_verdict(police.exceed).ok_or(no("this exceed verdict"))?,
    })
}

fn police_verdict(verdict: KernelVerdict) -> Option<Verdict> {
    Some(match verdict {
        KernelVerdict::Pipe => Verdict::Pipe,
        KernelVerdict::Accept => Verdict::Accept,
        KernelVerdict::Drop => Verdict::Drop,
        KernelVerdict::Continue => Verdict::Continue,
        KernelVerdict::Goto(chain) => Verdict::Goto(Chain(chain)),
        KernelVerdict::Jump(action) => Verdict::Jump(action),
        _ => return None,
    })
}

/// Whether an action goes on at one that it has the number of.
fn jumps(action: &Action<'_>) -> bool {
    match action {
        Action::Police(police) => [police.conform, police.exceed]
            .iter()
            .any(|verdict| matches!(verdict, Verdict::Jump(_))),
        _ => false,
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_read_action)]
mod tests {
    use super::*;
    use oxnic_kapi::net::flow::{
        action::{ActionId, Tag},
        fixture::{self, Fixture},
        key::OptionsKind, //
    };
    use oxnic_offload::packet::{tunnel::TunnelOptions, Address};
    use oxnic_offload::rule::Encap;

    /// One interface is port 7.
    struct One<'a>(&'a NetDevice);

    impl Ports for One<'_> {
        fn port(&self, netdev: &NetDevice) -> Option<Port> {
            core::ptr::eq(netdev, self.0).then_some(Port(7))
        }

        fn port_by_index(&self, _index: u32) -> Option<Port> {
            None
        }
    }

    /// Numbers of entries, as the kernel has them.
    mod id {
        pub(super) const DROP: u32 = 1;
        pub(super) const REDIRECT: u32 = 4;
        pub(super) const MIRROR_INGRESS: u32 = 7;
        pub(super) const VLAN_PUSH: u32 = 8;
        pub(super) const VLAN_POP: u32 = 9;
        pub(super) const VLAN_MANGLE: u32 = 10;
        pub(super) const CSUM: u32 = 15;
        pub(super) const CT: u32 = 24;
    }

    /// What becomes of the only action of a rule.
    fn only(
        fixture: &Fixture,
        netdev: &NetDevice,
        test: impl FnOnce(Result<&Action<'_>, Refusal>),
    ) {
        let edits = match edits(fixture.rule().actions()) {
            Ok(edits) => edits,
            Err(refusal) => return test(Err(refusal)),
        };
        let ports = One(netdev);
        let mut reader = Reader::new(&edits, &ports, true);
        match reader.read(fixture.rule().actions()) {
            Ok(()) => {
                assert_eq!(reader.actions().len(), 1);
                assert_eq!(reader.origins().len(), 1);
                test(Ok(&reader.actions()[0]));
            }
            Err(refusal) => test(Err(refusal)),
        }
    }

    #[test]
    fn interfaces_become_ports_and_others_are_refused() -> Result {
        let (ours, other) = (fixture::device()?, fixture::device()?);
        for (entry, action) in [
            (id::REDIRECT, Action::Redirect(Port(7), Direction::Egress)),
            (
                id::MIRROR_INGRESS,
                Action::Mirror(Port(7), Direction::Ingress),
            ),
        ] {
            for (netdev, ok) in [(Some(&*ours), true), (Some(&*other), false), (None, false)] {
                let mut fixture = Fixture::new(1)?;
                fixture.device(entry, netdev);
                only(&fixture, &ours, |result| match result {
                    Ok(read) => assert!(ok && *read == action),
                    Err(refusal) => {
                        assert!(!ok && refusal == Refusal::Interface(ActionId(entry).name()))
                    }
                });
            }
        }
        Ok(())
    }

    #[test]
    fn actions_come_in_their_order_each_with_its_origin() -> Result {
        let netdev = fixture::device()?;
        let mut fixture = Fixture::new(4)?;
        fixture
            .plain(id::VLAN_POP)
            .number(id::CSUM, 0x1f)
            .goto(12)
            .plain(id::DROP);
        let ports = One(&netdev);
        let mut reader = Reader::new(&[], &ports, true);
        assert_eq!(reader.read(fixture.rule().actions()), Ok(()));
        assert_eq!(
            reader.actions(),
            [
                Action::VlanPop,
                Action::Checksum(0x1f),
                Action::Control(Verdict::Goto(Chain(12))),
                Action::Control(Verdict::Drop),
            ]
        );
        assert_eq!(reader.origins().len(), 4);
        Ok(())
    }

    #[test]
    fn tags_are_pushed_and_changed() -> Result {
        let netdev = fixture::device()?;
        let tag = Tag {
            tpid: 0x88a8,
            id: 5,
            priority: Some(3),
        };
        for (entry, action) in [
            (
                id::VLAN_PUSH,
                Action::VlanPush {
                    tpid: 0x88a8,
                    id: 5,
                    priority: 3,
                },
            ),
            (
                id::VLAN_MANGLE,
                Action::VlanModify {
                    tpid: 0x88a8,
                    id: 5,
                    priority: Some(3),
                },
            ),
        ] {
            let mut fixture = Fixture::new(1)?;
            fixture.vlan(entry, tag);
            only(&fixture, &netdev, |read| assert_eq!(read, Ok(&action)));
        }
        Ok(())
    }

    #[test]
    fn edits_are_taken_over_byte_by_byte() -> Result {
        let netdev = fixture::device()?;
        let mangle = Mangle {
            base: Ok(Base::Ipv4),
            offset: 8,
            keep: [0, 0xff, 0xff, 0xff],
            value: [63, 0, 0, 0],
            add: false,
            moving: false,
        };
        let wanted = Edit {
            header: Header::Ipv4,
            offset: 8,
            operation: Operation::Set,
            keep: mangle.keep,
            value: mangle.value,
        };
        let mut fixture = Fixture::new(1)?;
        fixture.mangle(&mangle);
        only(&fixture, &netdev, |read| {
            assert!(matches!(read, Ok(Action::Pedit(edits)) if **edits == [wanted]))
        });
        for (wrong, feature) in [
            (
                Mangle {
                    offset: -4,
                    ..mangle
                },
                "a negative offset",
            ),
            (
                Mangle {
                    base: Err(9),
                    ..mangle
                },
                "another header",
            ),
        ] {
            let mut fixture = Fixture::new(1)?;
            fixture.mangle(&wrong);
            let refusal = Refusal::Feature {
                action: "pedit",
                feature,
            };
            only(&fixture, &netdev, |read| assert_eq!(read, Err(refusal)));
        }
        Ok(())
    }

    #[test]
    fn a_policer_must_be_one_that_the_engine_has() -> Result {
        let netdev = fixture::device()?;
        let plain = KernelPolice {
            rate: 1_000_000_000,
            burst_ns: 0,
            packet_rate: 0,
            packet_burst_ns: 0,
            mtu: 9000,
            peak_rate: 0,
            average_rate: 0,
            overhead: 0,
            odd_sizes: false,
            conform: KernelVerdict::Pipe,
            exceed: KernelVerdict::Goto(3),
        };
        let wanted = Police {
            index: 0,
            rate: Rate::Bytes {
                rate: 1_000_000_000,
                burst: 5000,
            },
            mtu: 9000,
            conform: Verdict::Pipe,
            exceed: Verdict::Goto(Chain(3)),
        };
        let mut fixture = Fixture::new(1)?;
        fixture.police(&plain, 5000, 0);
        only(&fixture, &netdev, |read| {
            assert_eq!(read, Ok(&Action::Police(wanted)))
        });
        for wrong in [
            KernelPolice {
                peak_rate: 1,
                ..plain
            },
            KernelPolice {
                average_rate: 1,
                ..plain
            },
            KernelPolice {
                overhead: 1,
                ..plain
            },
            KernelPolice {
                packet_rate: 1,
                ..plain
            },
            KernelPolice {
                exceed: KernelVerdict::Other(11),
                ..plain
            },
        ] {
            let mut fixture = Fixture::new(1)?;
            fixture.police(&wrong, 5000, 1);
            only(&fixture, &netdev, |read| {
                assert!(matches!(
                    read,
                    Err(Refusal::Feature {
                        action: "police",
                        ..
                    })
                ))
            });
        }
        Ok(())
    }

    #[test]
    fn a_tunnel_has_to_have_an_id_and_options_that_are_known() -> Result {
        let netdev = fixture::device()?;
        let addresses = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let options = [0, 1, 0x80, 1, 9, 9, 9, 9];
        let mut fixture = Fixture::new(1)?;
        fixture.encap(
            addresses,
            Some(5),
            4789,
            Some((OptionsKind::Geneve, &options)),
        )?;
        only(&fixture, &netdev, |read| {
            let wanted = Encap {
                address: Address::V4(addresses.0, addresses.1),
                key_id: 5,
                dst_port: 4789,
                csum: true,
                options: TunnelOptions::Geneve(&options),
                ..Encap::default()
            };
            assert_eq!(read, Ok(&Action::TunnelSet(wanted)));
        });
        for (id, options) in [
            (None, None),
            (Some(5), Some((OptionsKind::Other(14), &options[..]))),
        ] {
            let mut fixture = Fixture::new(1)?;
            fixture.encap(addresses, id, 4789, options)?;
            only(&fixture, &netdev, |read| {
                assert!(matches!(
                    read,
                    Err(Refusal::Feature {
                        action: "tunnel_key set",
                        ..
                    })
                ))
            });
        }
        Ok(())
    }

    #[test]
    fn an_action_that_the_engine_does_not_know_is_refused_by_name() -> Result {
        let netdev = fixture::device()?;
        let mut fixture = Fixture::new(1)?;
        fixture.plain(id::CT);
        only(&fixture, &netdev, |read| {
            assert_eq!(read, Err(Refusal::Action(ActionId(id::CT))))
        });
        Ok(())
    }

    #[test]
    fn an_entry_that_was_not_filled_is_not_taken_for_an_ok() -> Result {
        let netdev = fixture::device()?;
        let mut fixture = Fixture::new(2)?;
        fixture.plain(id::VLAN_POP);
        only(&fixture, &netdev, |read| assert_eq!(read, Err(CHANGED)));
        Ok(())
    }

    #[test]
    fn an_accept_of_nftables_is_one_though_it_looks_as_if_it_was_not_filled() -> Result {
        let netdev = fixture::device()?;
        let fixture = Fixture::new(1)?;
        only(&fixture, &netdev, |read| assert_eq!(read, Err(CHANGED)));
        let ports = One(&netdev);
        let mut reader = Reader::new(&[], &ports, false);
        assert_eq!(reader.read(fixture.rule().actions()), Ok(()));
        assert_eq!(reader.actions(), [Action::Control(Verdict::Accept)]);
        Ok(())
    }
}
