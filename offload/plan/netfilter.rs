// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Rules of nftables at the ingress hook of a port, as parts that the device can have.
//!
//! **A frame that goes up goes up as it came**, and there software runs its chain from the start. So whatever ends in the host's stack
//! (`accept`, no verdict) is left to software altogether, copies and counters included, and the device decides only what it drops
//! and what it sends elsewhere. And where it is not certain that the device and software see the same in a frame, the frame goes up: that
//! costs time, but is never wrong. A rule thus becomes parts of one place in the order: at most two for frames that it certainly takes
//! ([`Part::decides`]), and others that send up frames that it may take.
//!
//! What is not certain, and why:
//!
//! - The kernel hands `meta protocol` and `ether type` over as one. The first is about what is behind the first tag, if there is one,
//!   the second about the outermost type. Both are the same for frames without tags; what has one tag and the type behind it goes up.
//! - `vlan id` and its like come with the type of the tag. That type alone, without anything of the tag, can be `meta protocol`: what
//!   has such a tag goes up.
//! - Behind two tags or PPPoE, `meta protocol` and `meta l4proto` step over the second tag or PPPoE and move the network header for
//!   all that follows, in other rules too (`nft_meta_pktinfo_may_update`). Such frames go up unless a rule asks for nothing but tags.
//! - `meta l4proto`, `ip protocol` and `ip6 nexthdr` are one as well. The first is behind extension headers, and so are the device's
//!   ports and protocol; `ip6 nexthdr` before an extension header differs, and where the number is that of one, the frame goes up.
//! - Software knows the ports of a first fragment, the device does not: it goes up. Neither knows those of later ones, and the
//!   device sees port 0 where there is none, so that a match of port 0 sends up what it can match.
//! - Software steps over what is behind the fragment header of IPv6, the device ends there: where a rule asks for a protocol, all first
//!   fragments of IPv6 go up. Of later ones software knows no protocol if it is an extension header's, the authentication header among
//!   them.
//! - The type is the outermost one of the frame, not what the device's parser makes of PPPoE, BATMAN or MPLS within IP.

use crate::packet::{ethernet, ipv6, ports, vlan};
use crate::reject::Reject;
use crate::rule::field::{family, ip_flag, Layer};
use crate::rule::{Action, Chain, Field, Key, Rule, Verdict};

/// The most parts of a rule.
pub const PARTS_MAX: usize = 7;

/// A part of a rule.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Which of the rule's parts: 0 to [`PARTS_MAX`] - 1.
    pub number: usize,
    /// What it matches and does, as a rule of tc in chain 0.
    pub rule: Rule<'a>,
    /// Whether the device does what the rule says. If not, it sends up what the part matches.
    pub decides: bool,
}

/// Gives a rule's parts one by one. Key and actions are as the kernel has them; the outermost type (`protocol`), chain and priority of
/// the rule mean nothing.
///
/// # Errors
///
/// [`Reject::Unclear`], or the first one of `each`, behind which no other parts come.
pub fn parts<'a, E: From<Reject>>(
    rule: &Rule<'a>,
    each: impl FnMut(&Part<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let said = Said::of(&rule.key)?;
    let actions = deciding(rule.actions);
    let mut split = Split {
        rule,
        actions,
        said,
        each,
        number: 0,
    };
    split.all()
}

/// The actions up to the one that ends the rule, if that is one of the device's.
fn deciding<'a>(actions: &'a [Action<'a>]) -> Option<&'a [Action<'a>]> {
    let ends = |action: &Action<'_>| matches!(action, Action::Control(_) | Action::Redirect(..));
    let last = actions.iter().position(ends)?;
    let drops = Action::Control(Verdict::Drop);
    let action = actions.get(last)?;
    let device = *action == drops || matches!(action, Action::Redirect(..));
    actions.get(..=last).filter(|_| device)
}

/// What a key says of the types of a frame.
#[derive(Clone, Copy)]
struct Said {
    /// Type of the first tag.
    outer: Option<u16>,
    /// Type of the second tag.
    inner: Option<u16>,
    /// Type behind the tags that are spoken of.
    network: Option<u16>,
    /// Whether anything in a tag is matched.
    in_tags: bool,
    /// Whether anything behind the types is matched.
    deep: bool,
}

impl Said {
    fn of(key: &Key<'_>) -> Result<Self, Reject> {
        let said = Self {
            outer: whole(key, Field::VlanTpid)?,
            inner: whole(key, Field::CvlanTpid)?,
            network: whole(key, Field::EthType)?,
            in_tags: key.fields().any(is_in_tag),
            deep: key.fields().any(is_deep),
        };
        let unclear = |field| Err(Reject::Unclear { field });
        for (field, kind) in [
            (Field::VlanTpid, said.outer),
            (Field::CvlanTpid, said.inner),
        ] {
            if kind.is_some_and(|kind| !vlan::is_tag(kind)) {
                return unclear(field);
            }
        }
        if said.inner.is_some() && said.outer.is_none() {
            return unclear(Field::CvlanTpid);
        }
        // Below are lengths, which software keeps in the frame but not beside it.
        if (said.network).is_some_and(|kind| vlan::is_tag(kind) || kind < ethernet::FIRST_TYPE) {
            return unclear(Field::EthType);
        }
        for field in key.fields().filter(|field| is_in_tag(*field)) {
            let second = matches!(field, Field::CvlanId | Field::CvlanPriority);
            let tag = if second { said.inner } else { said.outer };
            if tag.is_none() {
                return unclear(field);
            }
        }
        said.check_network(key)?;
        Ok(said)
    }

    /// What is behind the types must belong to them: what the kernel has overwritten, because a rule says it twice, does not.
    fn check_network(&self, key: &Key<'_>) -> Result<(), Reject> {
        let wanted = match key.exactly(Field::Family).map(|family| family as u8) {
            Some(family::V4) => Some(ethernet::IPV4),
            Some(family::V6) => Some(ethernet::IPV6),
            _ => None,
        };
        if wanted.is_some() && wanted != self.network {
            return Err(Reject::Unclear {
                field: Field::EthType,
            });
        }
        let is_ip = matches!(self.network, None | Some(ethernet::IPV4 | ethernet::IPV6));
        let has_ports = key.uses(Field::SrcPort) || key.uses(Field::DstPort);
        let protocol = key.exactly(Field::IpProto).map(|number| number as u8);
        let protocol_has = matches!(protocol, Some(ports::TCP | ports::UDP));
        if key.uses(Field::IpProto) && !is_ip || has_ports && !protocol_has {
            return Err(Reject::Unclear {
                field: Field::IpProto,
            });
        }
        let known = |field| {
            matches!(field, Field::IngressPort | Field::IpProto | Field::SrcPort)
                || matches!(field, Field::DstPort | Field::EthType | Field::Family)
                || matches!(field, Field::Ipv4Src | Field::Ipv4Dst)
                || matches!(field, Field::Ipv6Src | Field::Ipv6Dst)
                || matches!(field, Field::EthSrc | Field::EthDst)
                || field.description().layer == Layer::Vlan
        };
        match key.fields().find(|field| !known(*field)) {
            Some(field) => Err(Reject::Unclear { field }),
            None => Ok(()),
        }
    }
}

/// A field that is matched with all its bits or not at all.
fn whole(key: &Key<'_>, field: Field) -> Result<Option<u16>, Reject> {
    match key.exactly(field) {
        None if key.uses(field) => Err(Reject::Unclear { field }),
        value => Ok(value),
    }
}

fn is_in_tag(field: Field) -> bool {
    matches!(field, Field::VlanId | Field::VlanPriority)
        || matches!(field, Field::CvlanId | Field::CvlanPriority)
}

fn is_port(field: Field) -> bool {
    matches!(field, Field::SrcPort | Field::DstPort)
}

fn is_type(field: Field) -> bool {
    matches!(field, Field::EthType | Field::VlanTpid | Field::CvlanTpid)
}

fn is_deep(field: Field) -> bool {
    let layer = field.description().layer;
    layer == Layer::Network || layer == Layer::Transport
}

struct Split<'r, 'a, F> {
    rule: &'r Rule<'a>,
    actions: Option<&'a [Action<'a>]>,
    said: Said,
    each: F,
    number: usize,
}

impl<'a, F, E> Split<'_, 'a, F>
where
    F: FnMut(&Part<'a>) -> Result<(), E>,
    E: From<Reject>,
{
    fn all(&mut self) -> Result<(), E> {
        match (self.said.outer, self.said.inner) {
            (Some(outer), Some(inner)) => self.two_tags(outer, inner),
            (Some(outer), None) if !self.said.in_tags && self.said.network.is_none() => {
                self.tag_alone(outer)
            }
            (outer, _) => self.behind(outer),
        }
    }

    /// The key without types and what else is not wanted.
    fn only(&self, wanted: impl Fn(Field) -> bool) -> Result<Key<'a>, Reject> {
        let mut key = Key::default();
        let from = &self.rule.key;
        for field in from
            .fields()
            .filter(|field| !is_type(*field) && wanted(*field))
        {
            key.set(field, from.value(field), from.mask(field))?;
        }
        Ok(key)
    }

    fn part(&mut self, protocol: u16, key: Key<'a>, certain: bool) -> Result<(), E> {
        const UP: &[Action<'static>] = &[Action::Control(Verdict::Accept)];
        let actions = self.actions.filter(|_| certain);
        let part = Part {
            number: self.number,
            rule: Rule {
                chain: Chain(0),
                protocol,
                key,
                actions: actions.unwrap_or(UP),
                ..*self.rule
            },
            decides: actions.is_some(),
        };
        self.number += 1;
        (self.each)(&part)
    }

    /// Two tags, and maybe a type behind them.
    fn two_tags(&mut self, outer: u16, inner: u16) -> Result<(), E> {
        let mut key = self.only(|field| !is_deep(field))?;
        key.exact(Field::VlanEthType, &inner.to_be_bytes())?;
        if let Some(network) = self.said.network {
            key.exact(Field::CvlanEthType, &network.to_be_bytes())?;
        }
        self.part(outer, key, !self.said.deep)
    }

    /// The type of a tag and nothing of the tag.
    fn tag_alone(&mut self, outer: u16) -> Result<(), E> {
        let mut key = self.only(|field| !is_deep(field))?;
        self.part(outer, key, false)?;
        key.exact(Field::CvlanTpid, &outer.to_be_bytes())?;
        self.part(ethernet::ALL, key, false)
    }

    /// No tag or one, and a type behind it, which can be that of either IP.
    fn behind(&mut self, outer: Option<u16>) -> Result<(), E> {
        match self.said.network {
            Some(network) => self.certain(outer, network)?,
            None if self.said.deep => {
                self.certain(outer, ethernet::IPV4)?;
                self.certain(outer, ethernet::IPV6)?;
            }
            None => {
                let key = self.only(|_| true)?;
                return self.part(outer.unwrap_or(ethernet::ALL), key, true);
            }
        }
        if outer.is_none() {
            let mut key = self.likely()?;
            key.exact(Field::NumOfVlans, &[1])?;
            about(&mut key, Field::VlanEthType, self.said.network)?;
            self.part(ethernet::ALL, key, false)?;
        }
        self.first_fragments(outer)?;
        match (outer, self.said.network) {
            (Some(_), Some(_)) => Ok(()),
            _ => self.shifted(outer),
        }
    }

    /// Frames whose type is this one, and in which software sees what the device does.
    fn certain(&mut self, outer: Option<u16>, network: u16) -> Result<(), E> {
        let mut key = self.likely()?;
        // `likely` has left out the protocol, of both IP where the rule does not say which.
        let steps_over = self.said.network != Some(ethernet::IPV4) && is_extension(&self.rule.key);
        let odd = steps_over || matches_no_port(&self.rule.key);
        // Of PPPoE without a tag, see `shifted`.
        let odd = odd || outer.is_none() && network == ethernet::PPPOE_SESSION;
        if outer.is_some() {
            key.exact(Field::VlanEthType, &network.to_be_bytes())?;
        }
        self.part(outer.unwrap_or(network), key, !odd)
    }

    /// The key without what may not be as the device has it.
    fn likely(&self) -> Result<Key<'a>, Reject> {
        let key = &self.rule.key;
        let no_port = matches_no_port(key);
        let extension = is_extension(key) && self.said.network != Some(ethernet::IPV4);
        let mut likely = self.only(|field| {
            !(no_port && is_port(field))
                && !(extension && (is_port(field) || field == Field::IpProto))
        })?;
        if likely.fields().any(is_port) {
            likely.set(Field::IpFlags, &[0], &[ip_flag::FRAGMENT])?;
        }
        Ok(likely)
    }

    /// First fragments that software takes for what they carry. Those that `likely` leaves in the key have gone up already.
    fn first_fragments(&mut self, outer: Option<u16>) -> Result<(), E> {
        let (asked, network) = (&self.rule.key, self.said.network);
        let v4 = network == Some(ethernet::IPV4);
        let by_ports = asked.fields().any(is_port) && !matches_no_port(asked);
        let by_protocol = asked.uses(Field::IpProto) && !v4 && !is_extension(asked);
        if !by_ports && !by_protocol {
            return Ok(());
        }
        let mut key = self.only(|field| !is_port(field) && (v4 || field != Field::IpProto))?;
        let flags = ip_flag::FRAGMENT | ip_flag::FIRST;
        key.set(Field::IpFlags, &[flags], &[flags])?;
        let field = match outer {
            Some(_) => Field::VlanEthType,
            None => Field::EthType,
        };
        // IPv4 has nothing between the fragment and its protocol.
        let v6 = Some(ethernet::IPV6).filter(|_| !by_ports);
        about(&mut key, field, network.or(v6))?;
        self.part(outer.unwrap_or(ethernet::ALL), key, false)
    }

    /// Frames whose network header moves while a chain looks at them.
    fn shifted(&mut self, outer: Option<u16>) -> Result<(), E> {
        let key = self.only(|field| !is_deep(field))?;
        for kind in [ethernet::VLAN, ethernet::PPPOE_SESSION] {
            let mut key = key;
            key.exact(Field::VlanEthType, &kind.to_be_bytes())?;
            self.part(outer.unwrap_or(ethernet::ALL), key, false)?;
        }
        match outer {
            Some(_) => Ok(()),
            None => self.part(ethernet::PPPOE_SESSION, key, false),
        }
    }
}

/// Matches a type in a field, if there is one to be matched.
fn about(key: &mut Key<'_>, field: Field, kind: Option<u16>) -> Result<(), Reject> {
    match kind {
        Some(kind) => key.exact(field, &kind.to_be_bytes()),
        None => Ok(()),
    }
}

/// Whether the protocol can be the number of an extension header of IPv6: the device or software steps over it.
fn is_extension(key: &Key<'_>) -> bool {
    let (value, mask) = (key.value(Field::IpProto), key.mask(Field::IpProto));
    let (value, mask) = (value.first().copied(), mask.first().copied());
    let mask = mask.unwrap_or(0);
    let mut numbers = ipv6::EXTENSIONS.iter();
    mask != 0 && numbers.any(|number| Some(number & mask) == value)
}

/// Whether the key takes ports that are 0, which packets without ports have for the device.
fn matches_no_port(key: &Key<'_>) -> bool {
    let zero = |field| !key.value(field).iter().any(|byte| *byte != 0);
    let used = || key.fields().filter(|field| is_port(*field));
    used().next().is_some() && used().all(zero)
}
