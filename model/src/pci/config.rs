// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Configuration space of one function: a layout shared by all functions of a kind, and the bytes of this one.
//!
//! Owned by the function's own file (`root_port.rs`, `physical.rs`, `virtual_function.rs`); has no meaning of its own beyond
//! "these bits may be written, those are cleared by writing 1, and these survive a reset".

use std::sync::Arc;

/// Size of a PCI Express function's configuration space, in bytes.
pub const CONFIG_SIZE: usize = 4096;

const STATUS: usize = 0x06;
const STATUS_CAPABILITIES: u16 = 1 << 4;
const CAPABILITY_POINTER: usize = 0x34;
const FIRST_EXTENDED: usize = 0x100;

/// What a kind of function looks like after power-on, and which of its bits do what.
#[derive(Clone, Debug)]
pub struct Layout {
    initial: Vec<u8>,
    writable: Vec<u8>,
    clear: Vec<u8>,
    sticky: Vec<u8>,
    /// Where the pointer to the next capability goes.
    next: usize,
    /// Header of the last extended capability, if there is one.
    extended: Option<usize>,
}

impl Default for Layout {
    fn default() -> Self {
        Self::new()
    }
}

impl Layout {
    /// All zeros, nothing writable.
    pub fn new() -> Self {
        let zeros = vec![0; CONFIG_SIZE];
        Layout {
            initial: zeros.clone(),
            writable: zeros.clone(),
            clear: zeros.clone(),
            sticky: zeros,
            next: CAPABILITY_POINTER,
            extended: None,
        }
    }

    /// Puts little-endian `value` at `offset`.
    pub fn put<const N: usize>(&mut self, offset: usize, value: [u8; N]) -> &mut Self {
        self.initial[offset..offset + N].copy_from_slice(&value);
        self
    }

    /// Puts a 16-bit value.
    pub fn u16(&mut self, offset: usize, value: u16) -> &mut Self {
        self.put(offset, value.to_le_bytes())
    }

    /// Puts a 32-bit value.
    pub fn u32(&mut self, offset: usize, value: u32) -> &mut Self {
        self.put(offset, value.to_le_bytes())
    }

    /// The bits of `mask` can be written.
    pub fn writable(&mut self, offset: usize, mask: u32) -> &mut Self {
        or(&mut self.writable, offset, mask);
        self
    }

    /// The bits of `mask` are cleared by writing 1.
    pub fn clear_by_one(&mut self, offset: usize, mask: u32) -> &mut Self {
        or(&mut self.clear, offset, mask);
        self
    }

    /// The bits of `mask` survive FLR and bus reset (not loss of power).
    pub fn sticky(&mut self, offset: usize, mask: u32) -> &mut Self {
        or(&mut self.sticky, offset, mask);
        self
    }

    /// A 64-bit prefetchable BAR of `size` bytes, a power of two.
    pub fn bar64(&mut self, offset: usize, size: u64) -> &mut Self {
        let mask = !(size - 1);
        self.u32(offset, 0xC)
            .writable(offset, mask as u32 & !0xF)
            .writable(offset + 4, (mask >> 32) as u32)
    }

    /// Links capability `id` at `offset` into the list; the capability's own bytes start at `offset + 2`.
    pub fn capability(&mut self, id: u8, offset: usize) -> &mut Self {
        self.initial[self.next] = offset as u8;
        self.initial[offset] = id;
        self.next = offset + 1;
        let status = u16::from_le_bytes([self.initial[STATUS], self.initial[STATUS + 1]]);
        self.u16(STATUS, status | STATUS_CAPABILITIES)
    }

    /// Links extended capability `id` at `offset` into the list, the first of them at 0x100.
    pub fn extended(&mut self, id: u16, version: u8, offset: usize) -> &mut Self {
        debug_assert_eq!(self.extended.is_none(), offset == FIRST_EXTENDED);
        if let Some(previous) = self.extended {
            let upper = (offset as u16) << 4;
            self.initial[previous + 2] |= upper as u8;
            self.initial[previous + 3] = (upper >> 8) as u8;
        }
        self.extended = Some(offset);
        self.u32(offset, u32::from(id) | (u32::from(version) << 16))
    }
}

fn or(bytes: &mut [u8], offset: usize, mask: u32) {
    for (byte, bits) in bytes[offset..].iter_mut().zip(mask.to_le_bytes()) {
        *byte |= bits;
    }
}

/// The configuration space of one function.
#[derive(Clone, Debug)]
pub struct ConfigSpace {
    data: Vec<u8>,
    layout: Arc<Layout>,
}

impl ConfigSpace {
    /// A function as after power-on.
    pub fn new(layout: &Arc<Layout>) -> Self {
        ConfigSpace {
            data: layout.initial.clone(),
            layout: Arc::clone(layout),
        }
    }

    /// Back to power-on, but for the sticky bits.
    pub fn reset(&mut self) {
        let layout = &self.layout;
        for ((byte, initial), sticky) in self
            .data
            .iter_mut()
            .zip(&layout.initial)
            .zip(&layout.sticky)
        {
            *byte = *byte & sticky | initial & !sticky;
        }
    }

    /// Reads `data.len()` bytes at `offset`; what lies beyond the end reads as ones.
    pub fn read(&self, offset: usize, data: &mut [u8]) {
        match self.data.get(offset..offset + data.len()) {
            Some(bytes) => data.copy_from_slice(bytes),
            None => data.fill(0xFF),
        }
    }

    /// A write by software: only writable bits change. What lies beyond the end is ignored.
    pub fn write(&mut self, offset: usize, data: &[u8]) {
        for (at, byte) in (offset..CONFIG_SIZE).zip(data) {
            let writable = self.layout.writable[at];
            let clear = self.layout.clear[at];
            self.data[at] = (self.data[at] & !writable | byte & writable) & !(byte & clear);
        }
    }

    /// The 8-bit value at `offset`.
    pub fn u8(&self, offset: usize) -> u8 {
        self.data[offset]
    }

    /// The 16-bit value at `offset`.
    pub fn u16(&self, offset: usize) -> u16 {
        u16::from_le_bytes([self.data[offset], self.data[offset + 1]])
    }

    /// The 32-bit value at `offset`.
    pub fn u32(&self, offset: usize) -> u32 {
        u32::from(self.u16(offset)) | (u32::from(self.u16(offset + 2)) << 16)
    }

    /// The address in the 64-bit BAR at `offset`.
    pub fn bar64(&self, offset: usize) -> u64 {
        u64::from(self.u32(offset) & !0xF) | (u64::from(self.u32(offset + 4)) << 32)
    }

    /// The device itself changes a 16-bit value, writable or not.
    pub fn set_u16(&mut self, offset: usize, value: u16) {
        self.data[offset..offset + 2].copy_from_slice(&value.to_le_bytes());
    }

    /// The device itself changes a 32-bit value, writable or not.
    pub fn set_u32(&mut self, offset: usize, value: u32) {
        self.data[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Arc<Layout> {
        let mut layout = Layout::new();
        layout
            .u32(0x00, 0x1234_5678)
            .bar64(0x10, 64 << 10)
            .capability(0x10, 0x40)
            .capability(0x11, 0x80)
            .extended(1, 2, 0x100)
            .extended(0xE, 1, 0x150)
            .u16(0x60, 0x0F0F)
            .clear_by_one(0x60, 0xFFFF)
            .sticky(0x61, 0xFF);
        Arc::new(layout)
    }

    #[test]
    fn capabilities_are_linked_in_order() {
        let config = ConfigSpace::new(&sample());
        assert_eq!(config.u16(0x06), 0x10);
        assert_eq!(config.u8(0x34), 0x40);
        assert_eq!(config.u16(0x40), 0x8010);
        assert_eq!(config.u16(0x80), 0x0011);
        assert_eq!(config.u32(0x100), 0x1502_0001);
        assert_eq!(config.u32(0x150), 0x0001_000E);
    }

    #[test]
    fn bar_sizing_shows_size_and_kind() {
        let mut config = ConfigSpace::new(&sample());
        config.write(0x10, &[0xFF; 8]);
        assert_eq!(config.u32(0x10), 0xFFFF_000C);
        assert_eq!(config.u32(0x14), 0xFFFF_FFFF);
        config.write(0x10, &0x0000_0020_1234_5678u64.to_le_bytes());
        assert_eq!(config.bar64(0x10), 0x0000_0020_1234_0000);
    }

    #[test]
    fn ones_clear_and_sticky_bits_survive() {
        let mut config = ConfigSpace::new(&sample());
        config.write(0x60, &[0x03, 0x01]);
        assert_eq!(config.u16(0x60), 0x0E0C);
        config.reset();
        assert_eq!(config.u16(0x60), 0x0E0F);
    }

    #[test]
    fn the_end_is_the_end() {
        let mut config = ConfigSpace::new(&sample());
        let mut data = [0; 8];
        config.read(CONFIG_SIZE - 4, &mut data);
        assert_eq!(data, [0xFF; 8]);
        config.write(CONFIG_SIZE - 4, &[0xFF; 8]);
        config.write(CONFIG_SIZE, &[0xFF; 8]);
    }

    proptest! {
        /// Whatever software writes, in whatever pieces, bits that are neither writable nor cleared by 1 keep their value.
        #[test]
        fn read_only_bits_never_change(writes in prop::collection::vec((0usize..CONFIG_SIZE + 8, prop::collection::vec(any::<u8>(), 0..9)), 0..64)) {
            let layout = sample();
            let mut config = ConfigSpace::new(&layout);
            for (offset, data) in &writes {
                config.write(*offset, data);
            }
            for at in 0..CONFIG_SIZE {
                let fixed = !(layout.writable[at] | layout.clear[at]);
                prop_assert_eq!(config.data[at] & fixed, layout.initial[at] & fixed);
            }
        }
    }
}
