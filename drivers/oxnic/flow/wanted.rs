// SPDX-License-Identifier: GPL-2.0-only

//! Outer headers as a rule asks for them.

use super::refusal::Refusal;
use core::net::IpAddr;
use kernel::prelude::*;
use oxnic_offload::{
    packet::{tunnel::TunnelOptions, Address},
    rule::Encap as Asked, //
};

/// Which options there are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OptionsKind {
    None,
    Geneve,
    Group(u32),
}

/// What `tunnel_key set` asks for, copied out of the rule.
pub(crate) struct Wanted {
    /// Without options.
    pub(super) asked: Asked<'static>,
    kind: OptionsKind,
    geneve: KVec<u8>,
    /// Number of the tunnel device among those of the rule.
    pub(crate) tunnel: u32,
}

impl Wanted {
    /// Copies it.
    pub(crate) fn new(asked: &Asked<'_>, tunnel: u32) -> Result<Self, Refusal> {
        let mut geneve = KVec::new();
        let kind = match asked.options {
            TunnelOptions::None => OptionsKind::None,
            TunnelOptions::Group(group) => OptionsKind::Group(group),
            TunnelOptions::Geneve(bytes) => {
                geneve.extend_from_slice(bytes, GFP_KERNEL)?;
                OptionsKind::Geneve
            }
        };
        Ok(Self {
            asked: Asked {
                address: asked.address,
                key_id: asked.key_id,
                dst_port: asked.dst_port,
                tos: asked.tos,
                ttl: asked.ttl,
                csum: asked.csum,
                dont_fragment: asked.dont_fragment,
                options: TunnelOptions::None,
            },
            kind,
            geneve,
            tunnel,
        })
    }

    /// As the rule had it.
    pub(super) fn asked(&self) -> Asked<'_> {
        Asked {
            options: match self.kind {
                OptionsKind::None => TunnelOptions::None,
                OptionsKind::Group(group) => TunnelOptions::Group(group),
                OptionsKind::Geneve => TunnelOptions::Geneve(&self.geneve),
            },
            ..self.asked
        }
    }

    /// Source, unless that is the route's, and destination.
    pub(super) fn ends(&self) -> Option<(Option<IpAddr>, IpAddr)> {
        let (from, to) = match self.asked.address {
            Address::V4(from, to) => (IpAddr::from(from), IpAddr::from(to)),
            Address::V6(from, to) => (IpAddr::from(from), IpAddr::from(to)),
            Address::None => return None,
        };
        Some(((!from.is_unspecified()).then_some(from), to))
    }

    /// Whether the same is asked for.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.asked == other.asked && self.kind == other.kind && *self.geneve == *other.geneve
    }
}
