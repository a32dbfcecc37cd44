// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Match templates: which bits of a frame rules compare, and in which order these make a key.

use super::refused::{Place, Refused, Why, ensure};
use super::values::{self, Values};
use oxnic_abi::flow::capability::FlowCaps;
use oxnic_abi::flow::field::FlowField;
use oxnic_abi::flow::template::{ConditionKind, FlowCondition};

/// Bytes of a key that come from one field.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    /// Where in the values.
    from: usize,
    /// Which bits.
    mask: Vec<u8>,
}

/// A field that has to be within a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    field: FlowField,
    minimum: u16,
    maximum: u16,
}

/// A match template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchTemplate {
    parts: Vec<Part>,
    ranges: Vec<Range>,
    /// Masks of tunnel options, and how many parts of the key are before each.
    options: Vec<(usize, Vec<u8>)>,
    width: usize,
}

impl MatchTemplate {
    /// From the list of a command.
    ///
    /// # Errors
    /// The first condition that this device cannot check, or that says nothing.
    pub fn new(
        caps: &FlowCaps,
        conditions: &[FlowCondition],
        masks: &[u8],
    ) -> Result<Self, Refused> {
        let many = Place::Field(4);
        ensure(
            conditions.len() <= usize::from(caps.conditions_max),
            Why::Limit,
            many,
        )?;
        let mut template = Self::default();
        let (mut ranged, mut masked) = (0u64, 0u64);
        for (number, condition) in (0u16..).zip(conditions) {
            let at = |byte| Place::Condition(number, byte);
            let bit = condition.field.bit();
            ensure(
                FlowField::ALL.contains(&condition.field),
                Why::Invalid,
                at(0),
            )?;
            ensure(caps.fields & bit != 0, Why::Unsupported, at(0))?;
            // A range and a mask of one field may stand together, two of a kind may not.
            let seen = match condition.kind {
                ConditionKind::RANGE => &mut ranged,
                _ => &mut masked,
            };
            ensure(*seen & bit == 0, Why::Conflict, at(0))?;
            *seen |= bit;
            match condition.kind {
                ConditionKind::MASK => template.mask(caps, condition, at)?,
                ConditionKind::RANGE => template.range(caps, condition, at)?,
                ConditionKind::OPTIONS => template.options(caps, condition, masks, at)?,
                _ => return Err(Refused::new(Why::Invalid, at(2))),
            }
        }
        ensure(
            template.width <= usize::from(caps.key_max),
            Why::Limit,
            many,
        )?;
        Ok(template)
    }

    fn mask(
        &mut self,
        caps: &FlowCaps,
        condition: &FlowCondition,
        at: impl Fn(u16) -> Place,
    ) -> Result<(), Refused> {
        let field = condition.field;
        let from = values::offset(field).ok_or(Refused::new(Why::Invalid, at(2)))?;
        let idle = [
            condition.offset,
            condition.length,
            condition.minimum,
            condition.maximum,
        ];
        for (byte, value) in (4..).step_by(2).zip(idle) {
            ensure(value == 0, Why::Invalid, at(byte))?;
        }
        let (mask, rest) = condition
            .mask
            .split_at_checked(field.width())
            .ok_or(Refused::new(Why::Invalid, at(0)))?;
        let full = full_mask(field);
        let pairs = (16u16..).zip(mask.iter().zip(&full));
        for (byte, (bits, all)) in pairs {
            ensure(bits & !all == 0, Why::Invalid, at(byte))?;
            ensure(
                bits == all || caps.masks & field.bit() != 0,
                Why::Unsupported,
                at(byte),
            )?;
        }
        let some = mask.iter().any(|byte| *byte != 0);
        ensure(some, Why::Invalid, at(16))?;
        let beyond = 16 + field.width() as u16;
        ensure(rest.iter().all(|byte| *byte == 0), Why::Invalid, at(beyond))?;
        self.width += mask.len();
        self.parts.push(Part {
            from,
            mask: mask.to_vec(),
        });
        Ok(())
    }

    fn range(
        &mut self,
        caps: &FlowCaps,
        condition: &FlowCondition,
        at: impl Fn(u16) -> Place,
    ) -> Result<(), Refused> {
        let FlowCondition {
            field,
            minimum,
            maximum,
            ..
        } = *condition;
        ensure(caps.ranges & field.bit() != 0, Why::Unsupported, at(0))?;
        ensure(condition.offset == 0, Why::Invalid, at(4))?;
        ensure(condition.length == 0, Why::Invalid, at(6))?;
        ensure(minimum <= maximum, Why::Invalid, at(8))?;
        ensure(condition.mask == [0; 16], Why::Invalid, at(16))?;
        self.ranges.push(Range {
            field,
            minimum,
            maximum,
        });
        Ok(())
    }

    fn options(
        &mut self,
        caps: &FlowCaps,
        condition: &FlowCondition,
        masks: &[u8],
        at: impl Fn(u16) -> Place,
    ) -> Result<(), Refused> {
        let FlowCondition { offset, length, .. } = *condition;
        let is_options = condition.field == FlowField::ENC_OPTIONS;
        ensure(is_options, Why::Invalid, at(2))?;
        ensure(length != 0 && length % 4 == 0, Why::Invalid, at(6))?;
        ensure(length <= caps.options_max, Why::Limit, at(6))?;
        ensure(condition.minimum == 0, Why::Invalid, at(8))?;
        ensure(condition.maximum == 0, Why::Invalid, at(10))?;
        ensure(condition.mask == [0; 16], Why::Invalid, at(16))?;
        let range = usize::from(offset)..usize::from(offset) + usize::from(length);
        let mask = masks.get(range).ok_or(Refused::new(Why::Invalid, at(4)))?;
        self.width += mask.len();
        self.options.push((self.parts.len(), mask.to_vec()));
        Ok(())
    }

    /// Bytes of a key.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Whether the fields are in their ranges.
    pub fn in_ranges(&self, values: &Values) -> bool {
        self.ranges
            .iter()
            .all(|range| (range.minimum..=range.maximum).contains(&values.number(range.field)))
    }

    /// Makes the key of a frame.
    pub fn key(&self, values: &Values, options: &[u8], key: &mut Vec<u8>) {
        key.clear();
        let mut masks = self.options.iter().peekable();
        for (number, part) in self.parts.iter().enumerate() {
            while let Some((_, mask)) = masks.next_if(|(before, _)| *before == number) {
                add_options(options, mask, key);
            }
            let value = values.bytes().get(part.from..).unwrap_or_default();
            key.extend(value.iter().zip(&part.mask).map(|(byte, mask)| byte & mask));
        }
        for (_, mask) in masks {
            add_options(options, mask, key);
        }
    }

    /// Checks the key of a rule.
    ///
    /// # Errors
    /// The first byte with bits that are not compared: no frame would ever match.
    pub fn check_key(&self, key: &[u8]) -> Result<(), Refused> {
        let mut masks = Vec::with_capacity(self.width);
        let mut options = self.options.iter().peekable();
        for (number, part) in self.parts.iter().enumerate() {
            while let Some((_, mask)) = options.next_if(|(before, _)| *before == number) {
                masks.extend_from_slice(mask);
            }
            masks.extend_from_slice(&part.mask);
        }
        for (_, mask) in options {
            masks.extend_from_slice(mask);
        }
        for (at, (byte, mask)) in (0u16..).zip(key.iter().zip(&masks)) {
            ensure(byte & !mask == 0, Why::Invalid, Place::Key(at))?;
        }
        Ok(())
    }
}

fn add_options(options: &[u8], mask: &[u8], key: &mut Vec<u8>) {
    let padded = options.iter().copied().chain(std::iter::repeat(0));
    key.extend(padded.zip(mask).map(|(byte, mask)| byte & mask));
}

/// All bits of a field.
fn full_mask(field: FlowField) -> Vec<u8> {
    let mut mask = vec![0xff; field.width()];
    if let Some(first) = mask.first_mut() {
        *first = 0xff >> (field.width() * 8 - field.bits());
    }
    mask
}
