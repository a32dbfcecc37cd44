// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The values of a frame for all fields that rules can match, in one array.
//!
//! A match template picks its key out of this array. Only tunnel options, which have no fixed width, are elsewhere.

use oxnic_abi::flow::field::FlowField;

/// Numbers of fields. ENC_OPTIONS among them has no width, and so no place.
pub const FIELDS: usize = FlowField::MPLS_7.0 as usize + 1;

const OFFSETS: [usize; FIELDS + 1] = {
    let mut offsets = [0; FIELDS + 1];
    let mut number = 0;
    while number < FIELDS {
        offsets[number + 1] = offsets[number] + FlowField(number as u16).width();
        number += 1;
    }
    offsets
};

/// Bytes of all fields together.
pub const SIZE: usize = OFFSETS[FIELDS];

/// Where a field starts; none for one without a place.
pub fn offset(field: FlowField) -> Option<usize> {
    let number = usize::from(field.0);
    let has_place = number < FIELDS && field.width() != 0;
    OFFSETS.get(number).copied().filter(|_| has_place)
}

/// The values of a frame. A field that the frame does not have is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values([u8; SIZE]);

impl Default for Values {
    fn default() -> Self {
        Self([0; SIZE])
    }
}

impl Values {
    /// All bytes.
    pub fn bytes(&self) -> &[u8; SIZE] {
        &self.0
    }

    /// The bytes of a field; none for a field without a place.
    pub fn get(&self, field: FlowField) -> &[u8] {
        offset(field)
            .and_then(|at| self.0.get(at..at + field.width()))
            .unwrap_or_default()
    }

    /// The value of a field of at most 16 bits.
    pub fn number(&self, field: FlowField) -> u16 {
        let bytes = self.get(field).iter();
        bytes.fold(0, |number, byte| (number << 8) | u16::from(*byte))
    }

    /// Sets a field. A value of another width is a mistake in the caller.
    pub fn put(&mut self, field: FlowField, value: &[u8]) {
        debug_assert_eq!(value.len(), field.width());
        let place = offset(field).and_then(|at| self.0.get_mut(at..at + value.len()));
        if let Some(place) = place {
            place.copy_from_slice(value);
        }
    }

    /// Sets a field of 16 bits.
    pub fn put16(&mut self, field: FlowField, value: u16) {
        self.put(field, &value.to_be_bytes());
    }

    /// Sets a field of 32 bits.
    pub fn put32(&mut self, field: FlowField, value: u32) {
        self.put(field, &value.to_be_bytes());
    }

    /// Sets a field of 8 bits or less.
    pub fn put8(&mut self, field: FlowField, value: u8) {
        self.put(field, &[value]);
    }
}
