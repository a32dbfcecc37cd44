// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What a rule matches: values under masks, port ranges, tunnel options.

use super::field::{family, Field, SIZE, TABLE};
use super::options::OptionsMatch;
use super::values::Values;
use crate::reject::Reject;

/// A range of ports, both ends included. tc wants `min < max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    /// The lowest port.
    pub min: u16,
    /// The highest port.
    pub max: u16,
}

impl Range {
    /// Whether a port is within. The port of a packet without ports is 0, which is in a range that starts there.
    pub fn has(self, port: u16) -> bool {
        (self.min..=self.max).contains(&port)
    }
}

/// A key. The default matches every packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    value: [u8; SIZE],
    mask: [u8; SIZE],
    /// The range of the source port.
    pub src_range: Option<Range>,
    /// The range of the destination port.
    pub dst_range: Option<Range>,
    /// Tunnel options.
    pub options: OptionsMatch<'a>,
}

impl Default for Key<'_> {
    fn default() -> Self {
        Self {
            value: [0; SIZE],
            mask: [0; SIZE],
            src_range: None,
            dst_range: None,
            options: OptionsMatch::Any,
        }
    }
}

impl<'a> Key<'a> {
    /// Sets a field's value and mask, in network byte order. Bits of the value outside of the mask are dropped. An address also
    /// sets the address family.
    ///
    /// # Errors
    ///
    /// [`Reject::Width`] where value or mask do not have the field's width, or have bits beyond it.
    pub fn set(&mut self, field: Field, value: &[u8], mask: &[u8]) -> Result<(), Reject> {
        let width = field.width();
        let spare = width * 8 - field.description().bits;
        let unused = !(0xffu8.checked_shr(spare as u32).unwrap_or(0));
        let fits = |bytes: &[u8]| {
            bytes.len() == width && bytes.first().is_some_and(|first| first & unused == 0)
        };
        if !fits(value) || !fits(mask) {
            return Err(Reject::Width { field });
        }
        for (at, (value, mask)) in field.range().zip(value.iter().zip(mask)) {
            if let (Some(v), Some(m)) = (self.value.get_mut(at), self.mask.get_mut(at)) {
                *v = value & mask;
                *m = *mask;
            }
        }
        match field {
            Field::Ipv4Src | Field::Ipv4Dst => self.exact(Field::Family, &[family::V4]),
            Field::Ipv6Src | Field::Ipv6Dst => self.exact(Field::Family, &[family::V6]),
            Field::EncIpv4Src | Field::EncIpv4Dst => self.exact(Field::EncFamily, &[family::V4]),
            Field::EncIpv6Src | Field::EncIpv6Dst => self.exact(Field::EncFamily, &[family::V6]),
            _ => Ok(()),
        }
    }

    /// Sets a field's value with all bits of the field as mask.
    ///
    /// # Errors
    ///
    /// As [`Key::set`].
    pub fn exact(&mut self, field: Field, value: &[u8]) -> Result<(), Reject> {
        let mut mask = [0xff; 16];
        let spare = field.width() * 8 - field.description().bits;
        mask[0] = 0xffu8.checked_shr(spare as u32).unwrap_or(0);
        let mask = mask.get(..field.width()).ok_or(Reject::Width { field })?;
        self.set(field, value, mask)
    }

    /// The value of a field, under its mask.
    pub fn value(&self, field: Field) -> &[u8] {
        self.value.get(field.range()).unwrap_or(&[])
    }

    /// The mask of a field.
    pub fn mask(&self, field: Field) -> &[u8] {
        self.mask.get(field.range()).unwrap_or(&[])
    }

    /// The values of all fields, under their masks.
    pub fn values(&self) -> &[u8; SIZE] {
        &self.value
    }

    /// The masks of all fields.
    pub fn masks(&self) -> &[u8; SIZE] {
        &self.mask
    }

    /// Whether any bit of a field is matched.
    pub fn uses(&self, field: Field) -> bool {
        self.mask(field).iter().any(|byte| *byte != 0)
    }

    /// The fields that are matched.
    pub fn fields(&self) -> impl Iterator<Item = Field> + use<'_, 'a> {
        TABLE
            .iter()
            .map(|row| row.field)
            .filter(|field| self.uses(*field))
    }

    /// The value of a field of at most 16 bits, if all its bits are matched.
    pub fn exactly(&self, field: Field) -> Option<u16> {
        let bits = field.description().bits;
        let full = self
            .mask(field)
            .iter()
            .map(|byte| byte.count_ones() as usize)
            .sum::<usize>()
            == bits;
        (full && bits <= 16).then(|| {
            self.value(field)
                .iter()
                .fold(0, |number, byte| (number << 8) | u16::from(*byte))
        })
    }

    /// Whether a packet matches.
    pub fn matches(&self, packet: &Values<'_>) -> bool {
        self.in_ranges(packet) && self.matches_but_ranges(packet)
    }

    /// Whether the packet's ports are in the ranges.
    pub fn in_ranges(&self, packet: &Values<'_>) -> bool {
        self.src_range
            .is_none_or(|range| range.has(packet.number(Field::SrcPort)))
            && self
                .dst_range
                .is_none_or(|range| range.has(packet.number(Field::DstPort)))
    }

    /// Whether all but the ranges matches.
    pub fn matches_but_ranges(&self, packet: &Values<'_>) -> bool {
        let fields = self.value.iter().zip(&self.mask).zip(&packet.bytes);
        fields
            .into_iter()
            .all(|((value, mask), byte)| byte & mask == *value)
            && self.options.matches(packet.options)
    }

    /// Whether two keys look at the same bits: for flower, whether they have the same mask.
    pub fn has_mask_of(&self, other: &Key<'_>) -> bool {
        self.mask == other.mask
            && self.src_range.is_some() == other.src_range.is_some()
            && self.dst_range.is_some() == other.dst_range.is_some()
            && self.options.has_mask_of(&other.options)
    }

    /// Whether two keys are the same: same bits, same values.
    pub fn equals(&self, other: &Key<'_>) -> bool {
        self.has_mask_of(other)
            && self.value == other.value
            && self.src_range == other.src_range
            && self.dst_range == other.dst_range
            && self.options.has_value_of(&other.options)
    }
}
