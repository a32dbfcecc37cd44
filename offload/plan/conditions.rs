// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A rule's key into the conditions of a match template, and the packed key.
//!
//! Conditions come in one order: fields as in the table of [`crate::rule::field`], then protocol, kind of tunnel and length of options, then ranges, then
//! options. The key has the values of those with masks in the same order, without gaps. So rules with the same mask have the same
//! conditions.
//!
//! tc's `protocol` of a priority is a field to the device. Port ranges are part of the conditions, not of the key: rules of one mask with
//! different ranges have different templates, see [`super::order`].

use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::template::{ConditionKind, FlowCondition};
use oxnic_abi::flow::tunnel::TunnelKind;

use super::context::{Context, Destinations, Target};
use super::list::List;
use super::tunnels;
use crate::packet::ethernet;
use crate::reject::{Lack, Loss, Obstacle, Reject};
use crate::rule::field::TABLE;
use crate::rule::{Field, Key, OptionsMatch, Port, Range, Rule};

/// Whether the device must match just what the rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Yes, or the rule is refused.
    Exact,
    /// It may match more: what the device lacks is left out. For a rule that only sends packets up to software, which looks at
    /// them again.
    AtLeast,
}

/// Where conditions and keys are written.
#[derive(Debug)]
pub struct ConditionSpace<'s> {
    /// Conditions: as many as the device takes ([`oxnic_abi::flow::capability::FlowCaps::conditions_max`]); 50 are enough for any rule.
    pub conditions: &'s mut [FlowCondition],
    /// Masks of options: as many bytes as the device takes; 252 are enough.
    pub masks: &'s mut [u8],
    /// The key: as many bytes as the device takes; 512 are enough.
    pub key: &'s mut [u8],
}

/// What a rule matches, as the device has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions<'s> {
    /// The list of the match template.
    pub conditions: &'s [FlowCondition],
    /// The masks of options behind it.
    pub masks: &'s [u8],
    /// The rule's key.
    pub key: &'s [u8],
    /// Whether something was left out ([`Reach::AtLeast`]).
    pub wider: bool,
}

/// The device interface's number for a field.
pub const fn number(field: Field) -> FlowField {
    let number = field as u16;
    // The numbers between are of fields that are not tc's.
    if number <= FlowField::ENC_FLAGS.0 {
        FlowField(number)
    } else {
        FlowField(number - Field::MplsEntries as u16 + FlowField::MPLS_ENTRIES.0)
    }
}

/// Makes conditions and key of what a rule matches.
///
/// # Errors
///
/// [`Reject::Tunnel`], [`Reject::NoPort`], and with [`Reach::Exact`] what the device lacks.
pub fn pack<'s>(
    rule: &Rule<'_>,
    context: &Context<'_>,
    destinations: &impl Destinations,
    reach: Reach,
    space: ConditionSpace<'s>,
) -> Result<Conditions<'s>, Reject> {
    let device = context.device;
    let mut packing = Packing {
        context,
        reach,
        wider: false,
        conditions: List::new(space.conditions, usize::from(device.conditions_max)),
        masks: List::new(space.masks, usize::from(device.options_max)),
        key: List::new(space.key, usize::from(device.key_max)),
    };
    match context.tunnel {
        None => {
            if let Some(field) = tunnels::asked_note(&rule.key) {
                return Err(Reject::Tunnel(Obstacle::NoTunnel { field }));
            }
            packing.all(&rule.key, rule.protocol, TunnelKind::NONE, destinations)?;
        }
        Some(tunnel) => {
            let asked = match reach {
                Reach::Exact => rule.key,
                Reach::AtLeast => packing.without_marks(&rule.key)?,
            };
            let key = tunnels::complete(&asked, &tunnel, device, reach)?;
            let kind = tunnels::number(tunnel.kind);
            packing.all(&key, rule.protocol, kind, destinations)?;
        }
    }
    Ok(Conditions {
        conditions: packing.conditions.finish(),
        masks: packing.masks.finish(),
        key: packing.key.finish(),
        wider: packing.wider,
    })
}

struct Packing<'p, 's> {
    context: &'p Context<'p>,
    reach: Reach,
    wider: bool,
    conditions: List<'s, FlowCondition>,
    masks: List<'s, u8>,
    key: List<'s, u8>,
}

impl Packing<'_, '_> {
    fn all(
        &mut self,
        key: &Key<'_>,
        protocol: u16,
        kind: TunnelKind,
        destinations: &impl Destinations,
    ) -> Result<(), Reject> {
        for row in TABLE {
            if key.uses(row.field) {
                self.field(row.field, key, destinations)?;
            }
        }
        if protocol != ethernet::ALL {
            self.exact(FlowField::PROTOCOL, &protocol.to_be_bytes())?;
        }
        if kind != TunnelKind::NONE {
            self.exact(FlowField::TUNNEL_KIND, &[kind.0])?;
        }
        let group;
        let (value, mask, length) = match key.options {
            OptionsMatch::Any => (&[][..], &[][..], 0),
            // tc masks the length with itself.
            OptionsMatch::Geneve { value, mask } => (value, mask, value.len() as u8),
            OptionsMatch::Group { value, mask } => {
                group = ((value & mask).to_be_bytes(), mask.to_be_bytes());
                (&group.0[..], &group.1[..], 0xff)
            }
        };
        if !mask.is_empty() {
            let has = match key.options {
                OptionsMatch::Group { .. } => 4,
                _ => length,
            };
            self.masked(FlowField::ENC_OPTIONS_LENGTH, &[has], &[length])?;
        }
        self.range(FlowField::SRC_PORT, key.src_range)?;
        self.range(FlowField::DST_PORT, key.dst_range)?;
        self.options(value, mask)
    }

    fn field(
        &mut self,
        field: Field,
        key: &Key<'_>,
        destinations: &impl Destinations,
    ) -> Result<(), Reject> {
        if field != Field::IngressPort {
            return self.masked(number(field), key.value(field), key.mask(field));
        }
        if key.mask(field) != [0xff; 4] {
            let field = number(field);
            return self.refuse(Lack::Mask { field });
        }
        if self.context.upper.is_some() {
            // Software has the VLAN device there.
            let what = field.name();
            return self.widen(Reject::Lost(Loss::Upper { what }));
        }
        if self.context.egress {
            // Software has the port where the packet came in first, the device that which it leaves by.
            return Err(Reject::Lost(Loss::Egress { what: field.name() }));
        }
        let port = key.value(field);
        let port = port
            .iter()
            .fold(0, |all, byte| (all << 8) | u32::from(*byte));
        match destinations.target(Port(port)) {
            Some(Target::Port(port)) => self.exact(number(field), &u32::from(port).to_be_bytes()),
            _ => Err(Reject::NoPort { what: field.name() }),
        }
    }

    /// What the device lacks: a reason to refuse, or to match more.
    fn refuse(&mut self, lack: Lack) -> Result<(), Reject> {
        self.widen(Reject::Lacks(lack))
    }

    /// What cannot be matched: a reason to refuse, or to match more.
    fn widen(&mut self, reason: Reject) -> Result<(), Reject> {
        match self.reach {
            Reach::Exact => Err(reason),
            Reach::AtLeast => {
                self.wider = true;
                Ok(())
            }
        }
    }

    fn exact(&mut self, field: FlowField, value: &[u8]) -> Result<(), Reject> {
        let all = all_bits(field);
        self.masked(field, value, all.get(..field.width()).unwrap_or(&[]))
    }

    fn masked(&mut self, field: FlowField, value: &[u8], mask: &[u8]) -> Result<(), Reject> {
        let device = self.context.device;
        if device.fields & field.bit() == 0 {
            return self.refuse(Lack::Field { field });
        }
        let all = all_bits(field);
        if device.masks & field.bit() == 0 && all.get(..mask.len()) != Some(mask) {
            return self.refuse(Lack::Mask { field });
        }
        let mut condition = FlowCondition {
            field,
            kind: ConditionKind::MASK,
            ..FlowCondition::ZERO
        };
        for (place, byte) in condition.mask.iter_mut().zip(mask) {
            *place = *byte;
        }
        self.add(condition, value)
    }

    fn range(&mut self, field: FlowField, range: Option<Range>) -> Result<(), Reject> {
        let Some(range) = range else {
            return Ok(());
        };
        if self.context.device.ranges & field.bit() == 0 {
            return self.refuse(Lack::Range { field });
        }
        let condition = FlowCondition {
            field,
            kind: ConditionKind::RANGE,
            minimum: range.min,
            maximum: range.max,
            ..FlowCondition::ZERO
        };
        self.add(condition, &[])
    }

    fn options(&mut self, value: &[u8], mask: &[u8]) -> Result<(), Reject> {
        if mask.is_empty() {
            return Ok(());
        }
        let field = FlowField::ENC_OPTIONS;
        if self.context.device.fields & field.bit() == 0 {
            return self.refuse(Lack::Field { field });
        }
        let (length, limit) = (mask.len(), self.masks.limit());
        if !self.masks.has_room(length) {
            return self.refuse(Lack::Options { length, limit });
        }
        let condition = FlowCondition {
            field,
            kind: ConditionKind::OPTIONS,
            length: length as u16,
            ..FlowCondition::ZERO
        };
        let mut masked = [0; crate::packet::geneve::OPTIONS_MAX];
        for (place, (value, mask)) in masked.iter_mut().zip(value.iter().zip(mask)) {
            *place = value & mask;
        }
        let before = self.conditions.len();
        self.add(condition, masked.get(..length).unwrap_or(&[]))?;
        if self.conditions.len() > before {
            self.masks.extend(mask);
        }
        Ok(())
    }

    fn add(&mut self, condition: FlowCondition, value: &[u8]) -> Result<(), Reject> {
        let field = condition.field;
        if !self.key.has_room(value.len()) {
            let limit = self.key.limit();
            return self.refuse(Lack::KeyLength { field, limit });
        }
        if !self.conditions.push(condition) {
            let limit = self.conditions.limit();
            return self.refuse(Lack::Conditions { field, limit });
        }
        self.key.extend(value);
        Ok(())
    }

    /// The key without the congestion mark, which cannot be matched in a tunnel.
    fn without_marks<'r>(&mut self, key: &Key<'r>) -> Result<Key<'r>, Reject> {
        let mut key = *key;
        let mark = |bytes: &[u8]| [bytes.first().copied().unwrap_or(0) & 0xfc];
        let (value, mask) = (mark(key.value(Field::IpTos)), mark(key.mask(Field::IpTos)));
        self.wider |= key.mask(Field::IpTos) != mask;
        key.set(Field::IpTos, &value, &mask)?;
        Ok(key)
    }
}

/// All bits of a field.
fn all_bits(field: FlowField) -> [u8; 16] {
    let mut all = [0xff; 16];
    let spare = (field.width() * 8).saturating_sub(field.bits());
    if let Some(first) = all.first_mut() {
        *first = 0xffu8.checked_shr(spare as u32).unwrap_or(0);
    }
    all
}
