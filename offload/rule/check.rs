// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Whether a rule can be meant: what tc's own front end, or the core before any driver, would not let through.

use super::action::{checksum, Action, Verdict};
use super::edit::{Edit, Header};
use super::field::{Field, Needs, TABLE};
use super::key::{Key, Range};
use super::options::OptionsMatch;
use super::police::{Police, Rate};
use super::{Classifier, Rule};
use crate::packet::tunnel::TunnelOptions;
use crate::packet::{ethernet, geneve, ports, vlan, vxlan};
use crate::reject::{Reject, TagPart};

/// The most actions, and so the most copies, that a rule can have (`TCA_ACT_MAX_PRIO`).
pub const ACTIONS_MAX: usize = 32;

/// Says why a rule cannot be meant.
///
/// # Errors
///
/// The first reason that was found: fields before ranges and options, then actions in their order.
pub fn check(rule: &Rule<'_>) -> Result<(), Reject> {
    if rule.classifier == Classifier::Matchall && !rule.key.equals(&Key::default()) {
        return Err(Reject::MatchallKey);
    }
    check_key(&rule.key)?;
    if rule.actions.len() > ACTIONS_MAX {
        return Err(Reject::TooManyActions { limit: ACTIONS_MAX });
    }
    rule.actions.iter().try_for_each(check_action)
}

fn check_key(key: &Key<'_>) -> Result<(), Reject> {
    for row in TABLE {
        if key.uses(row.field) && !has(key, row.needs) {
            return Err(Reject::Prerequisite {
                field: row.field,
                needs: row.needs,
            });
        }
    }
    let wants_family = |family: u8, v4: Field, v6: Field| {
        (family == super::field::family::V4 && key.uses(v6))
            || (family == super::field::family::V6 && key.uses(v4))
    };
    for (family, v4, v6) in [
        (Field::Family, Field::Ipv4Src, Field::Ipv6Src),
        (Field::Family, Field::Ipv4Dst, Field::Ipv6Dst),
        (Field::EncFamily, Field::EncIpv4Src, Field::EncIpv6Src),
        (Field::EncFamily, Field::EncIpv4Dst, Field::EncIpv6Dst),
    ] {
        let said = key.value(family).first().copied().unwrap_or(0);
        if wants_family(said, v4, v6) {
            return Err(Reject::MixedFamilies { field: v4 });
        }
    }
    check_range(key, Field::SrcPort, key.src_range)?;
    check_range(key, Field::DstPort, key.dst_range)?;
    match key.options {
        OptionsMatch::Any => Ok(()),
        OptionsMatch::Geneve { value, mask } if value.len() != mask.len() => {
            Err(Reject::GeneveOptions)
        }
        OptionsMatch::Geneve { value, .. } => check_geneve(value),
        OptionsMatch::Group { value, mask } => check_group(value | mask),
    }
}

fn check_range(key: &Key<'_>, field: Field, range: Option<Range>) -> Result<(), Reject> {
    match range {
        Some(_) if !has(key, Needs::Ports) => Err(Reject::Prerequisite {
            field,
            needs: Needs::Ports,
        }),
        Some(range) if range.min >= range.max => Err(Reject::EmptyRange { field, range }),
        _ => Ok(()),
    }
}

fn check_geneve(options: &[u8]) -> Result<(), Reject> {
    let whole =
        !options.is_empty() && options.len() % 4 == 0 && options.len() <= geneve::OPTIONS_MAX;
    if whole {
        Ok(())
    } else {
        Err(Reject::GeneveOptions)
    }
}

fn check_group(group: u32) -> Result<(), Reject> {
    if group & !vxlan::GROUP_MASK == 0 {
        Ok(())
    } else {
        Err(Reject::Group)
    }
}

/// Whether a key says what a field needs.
fn has(key: &Key<'_>, needs: Needs) -> bool {
    let eth_type = key.exactly(Field::EthType);
    let ip_proto = key.exactly(Field::IpProto).map(|proto| proto as u8);
    let tags = key.exactly(Field::NumOfVlans).unwrap_or(0);
    let tag = |field| key.exactly(field).is_some_and(vlan::is_tag);
    match needs {
        Needs::Nothing => true,
        Needs::Tag => tags >= 1 || tag(Field::VlanTpid),
        Needs::SecondTag => tags >= 2 || tag(Field::CvlanTpid) || tag(Field::VlanEthType),
        Needs::Ip => matches!(eth_type, Some(ethernet::IPV4 | ethernet::IPV6)),
        Needs::Ports => matches!(ip_proto, Some(ports::TCP | ports::UDP | ports::SCTP)),
        Needs::Tcp => ip_proto == Some(ports::TCP),
        Needs::Icmp => matches!(
            (eth_type, ip_proto),
            (Some(ethernet::IPV4), Some(ports::ICMP)) | (Some(ethernet::IPV6), Some(ports::ICMPV6))
        ),
        Needs::Arp => matches!(eth_type, Some(ethernet::ARP | ethernet::RARP)),
        Needs::Mpls => matches!(eth_type, Some(ethernet::MPLS | ethernet::MPLS_MULTICAST)),
    }
}

fn check_action(action: &Action<'_>) -> Result<(), Reject> {
    match action {
        Action::Control(Verdict::Accept | Verdict::Drop | Verdict::Trap | Verdict::Goto(_)) => {
            Ok(())
        }
        Action::Control(_) => Err(Reject::Control {
            action: action.name(),
        }),
        Action::VlanPush { tpid, id, priority } => check_tag(action.name(), *tpid, *id, *priority),
        Action::VlanModify { tpid, id, priority } => {
            check_tag(action.name(), *tpid, *id, priority.unwrap_or(0))
        }
        Action::Pedit(edits) => edits.iter().try_for_each(check_edit),
        Action::Checksum(what) if what & !checksum::ALL != 0 => Err(Reject::Checksum),
        Action::Sample { rate: 0, .. } => Err(Reject::SampleRate),
        Action::Police(police) => check_police(police),
        Action::TunnelSet(encap) => match encap.options {
            TunnelOptions::None => Ok(()),
            TunnelOptions::Geneve(options) => check_geneve(options),
            TunnelOptions::Group(group) => check_group(group),
        },
        _ => Ok(()),
    }
}

fn check_tag(action: &'static str, tpid: u16, id: u16, priority: u8) -> Result<(), Reject> {
    let part = if !vlan::is_tag(tpid) {
        TagPart::Protocol
    } else if id > vlan::ID_MASK {
        TagPart::Id
    } else if priority > 7 {
        TagPart::Priority
    } else {
        return Ok(());
    };
    Err(Reject::Tag { action, part })
}

fn check_edit(edit: &Edit) -> Result<(), Reject> {
    if edit.offset % 4 != 0
        || edit
            .value
            .iter()
            .zip(edit.keep)
            .any(|(value, keep)| value & keep != 0)
    {
        return Err(Reject::EditShape {
            header: edit.header,
            offset: edit.offset,
        });
    }
    let limit = match edit.header {
        Header::Ethernet => 14,
        Header::Ipv4 | Header::Network => 20,
        Header::Ipv6 => 40,
        Header::Tcp => 20,
        Header::Udp => 8,
    };
    let last = edit
        .keep
        .iter()
        .zip(edit.offset..)
        .filter(|(keep, _)| **keep != 0xff)
        .map(|(_, at)| at)
        .last();
    match last {
        Some(last) if last >= limit => Err(Reject::EditPlace {
            header: edit.header,
            offset: edit.offset,
        }),
        _ => Ok(()),
    }
}

fn check_police(police: &Police) -> Result<(), Reject> {
    if matches!(
        police.rate,
        Rate::Bytes { rate: 0, .. } | Rate::Packets { rate: 0, .. }
    ) {
        return Err(Reject::PoliceRate);
    }
    for (verdict, name) in [(police.conform, "conform"), (police.exceed, "exceed")] {
        if matches!(verdict, Verdict::Reclassify | Verdict::Trap) {
            return Err(Reject::PoliceVerdict { which: name });
        }
    }
    Ok(())
}
