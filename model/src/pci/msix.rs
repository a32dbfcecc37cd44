// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! MSI-X of one function: table and pending bits as BAR4 shows them, masks, and when a vector becomes a message.
//!
//! ```text
//! BAR4   0x0000  table, 16 bytes a vector: address low, address high, data, control (bit 0 = masked)
//!        0x3000  pending bits, one a vector, read only
//! ```

use crate::host::MAX_VECTORS;
use oxnic_abi::pci;

/// Size of BAR4 of every function, in bytes.
pub const MSIX_BAR_SIZE: u64 = pci::MSIX_SIZE;
/// Where in BAR4 the pending bits start.
pub const PENDING_OFFSET: u64 = pci::MSIX_PBA_OFFSET;
/// Message control: MSI-X enable.
pub const CONTROL_ENABLE: u16 = 1 << 15;
/// Message control: all vectors masked.
pub const CONTROL_MASK: u16 = 1 << 14;

const ENTRY: usize = 16;
const ENTRY_CONTROL: usize = 12;
const ENTRY_MASKED: u8 = 1;

/// A message-signalled interrupt: a 4-byte write of `data` to bus address `address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Bus address.
    pub address: u64,
    /// Value, written little-endian.
    pub data: u32,
}

/// What became of a raised vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raised {
    /// To be sent now.
    Message(Message),
    /// Masked: its pending bit is set.
    Pending,
    /// MSI-X is off, or the function has no such vector.
    Dropped,
}

/// MSI-X state of one function.
#[derive(Clone, Debug)]
pub struct Msix {
    table: Vec<u8>,
    pending: Vec<u64>,
    vectors: u16,
    enabled: bool,
    /// Function mask, or the function may not master the bus.
    masked: bool,
}

impl Msix {
    /// As after reset, with `vectors` vectors (at most [`MAX_VECTORS`]).
    pub fn new(vectors: u16) -> Self {
        let vectors = vectors.clamp(1, MAX_VECTORS);
        let mut table = vec![0; usize::from(vectors) * ENTRY];
        for entry in table.chunks_exact_mut(ENTRY) {
            entry[ENTRY_CONTROL] = ENTRY_MASKED;
        }
        Msix {
            table,
            pending: vec![0; usize::from(vectors).div_ceil(64)],
            vectors,
            enabled: false,
            masked: true,
        }
    }

    /// Number of vectors.
    pub fn vectors(&self) -> u16 {
        self.vectors
    }

    /// Reads from BAR4; what is neither table nor pending bits is 0.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        for (at, byte) in (offset..).zip(data) {
            *byte = match at.checked_sub(PENDING_OFFSET) {
                None => self.table.get(at as usize).copied().unwrap_or(0),
                Some(at) => self
                    .pending
                    .get(at as usize / 8)
                    .map_or(0, |word| word.to_le_bytes()[at as usize % 8]),
            };
        }
    }

    /// Writes to BAR4 and appends what an unmask sets free to `messages`.
    pub fn write(&mut self, offset: u64, data: &[u8], messages: &mut Vec<Message>) {
        for (at, byte) in (offset..).zip(data) {
            if let Some(place) = self.table.get_mut(at as usize) {
                // Reserved bits of the control word stay 0.
                *place = match at as usize % ENTRY {
                    ENTRY_CONTROL => byte & ENTRY_MASKED,
                    13..=15 => 0,
                    _ => *byte,
                };
            }
        }
        let first = offset / ENTRY as u64;
        let last = (offset + data.len() as u64).saturating_sub(1) / ENTRY as u64;
        for vector in first..=last.min(u64::from(self.vectors) - 1) {
            self.deliver(vector as u16, messages);
        }
    }

    /// New message control word of the capability; `master` is the function's right to master the bus.
    pub fn set_control(&mut self, control: u16, master: bool, messages: &mut Vec<Message>) {
        self.enabled = control & CONTROL_ENABLE != 0;
        self.masked = control & CONTROL_MASK != 0 || !master;
        if !self.enabled {
            self.pending.fill(0);
        } else if !self.masked && self.pending.iter().any(|word| *word != 0) {
            for vector in 0..self.vectors {
                self.deliver(vector, messages);
            }
        }
    }

    /// Raises a vector.
    pub fn raise(&mut self, vector: u16) -> Raised {
        if !self.enabled || vector >= self.vectors {
            return Raised::Dropped;
        }
        if self.masked || self.is_masked(vector) {
            self.pending[usize::from(vector) / 64] |= 1 << (vector % 64);
            return Raised::Pending;
        }
        Raised::Message(self.message(vector))
    }

    /// Sends `vector` if it is pending and nothing masks it.
    fn deliver(&mut self, vector: u16, messages: &mut Vec<Message>) {
        let word = usize::from(vector) / 64;
        let bit = 1 << (vector % 64);
        if self.enabled && !self.masked && self.pending[word] & bit != 0 && !self.is_masked(vector)
        {
            self.pending[word] &= !bit;
            messages.push(self.message(vector));
        }
    }

    fn is_masked(&self, vector: u16) -> bool {
        self.table[usize::from(vector) * ENTRY + ENTRY_CONTROL] & ENTRY_MASKED != 0
    }

    fn message(&self, vector: u16) -> Message {
        let at = usize::from(vector) * ENTRY;
        let word = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&self.table[at..at + 4]);
            u32::from_le_bytes(bytes)
        };
        Message {
            address: u64::from(word(at)) | (u64::from(word(at + 4)) << 32),
            data: word(at + 8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(vector: u16) -> Message {
        Message {
            address: 0x1_FEE0_0000 + u64::from(vector),
            data: 0x4000 + u32::from(vector),
        }
    }

    fn set_up(vectors: u16) -> Msix {
        let mut msix = Msix::new(vectors);
        let mut sent = Vec::new();
        for vector in 0..vectors {
            let entry = message(vector);
            let at = u64::from(vector) * 16;
            msix.write(at, &entry.address.to_le_bytes(), &mut sent);
            msix.write(at + 8, &entry.data.to_le_bytes(), &mut sent);
            msix.write(at + 12, &[0; 4], &mut sent);
        }
        msix.set_control(CONTROL_ENABLE, true, &mut sent);
        assert_eq!(sent, []);
        msix
    }

    #[test]
    fn a_vector_becomes_its_message() {
        let mut msix = set_up(MAX_VECTORS);
        let last = MAX_VECTORS - 1;
        assert_eq!(msix.raise(last), Raised::Message(message(last)));
        assert_eq!(msix.raise(MAX_VECTORS), Raised::Dropped);
    }

    #[test]
    fn off_means_dropped() {
        let mut msix = Msix::new(4);
        assert_eq!(msix.raise(0), Raised::Dropped);
    }

    #[test]
    fn a_masked_vector_waits_for_its_unmask() {
        let mut msix = set_up(70);
        let mut sent = Vec::new();
        msix.write(65 * 16 + 12, &[1], &mut sent);
        assert_eq!(msix.raise(65), Raised::Pending);
        assert_eq!(msix.raise(65), Raised::Pending);
        let mut pending = [0; 16];
        msix.read(PENDING_OFFSET, &mut pending);
        assert_eq!(pending, (1u128 << 65).to_le_bytes());
        msix.write(65 * 16 + 12, &[0], &mut sent);
        assert_eq!(sent, [message(65)]);
        msix.read(PENDING_OFFSET, &mut pending);
        assert_eq!(pending, [0; 16]);
    }

    #[test]
    fn function_mask_and_bus_mastering_hold_all_back() {
        let mut msix = set_up(8);
        let mut sent = Vec::new();
        for (control, master) in [
            (CONTROL_ENABLE | CONTROL_MASK, true),
            (CONTROL_ENABLE, false),
        ] {
            msix.set_control(control, master, &mut sent);
            assert_eq!(msix.raise(3), Raised::Pending);
            assert_eq!(msix.raise(7), Raised::Pending);
            msix.set_control(CONTROL_ENABLE, true, &mut sent);
            assert_eq!(sent, [message(3), message(7)]);
            sent.clear();
        }
    }

    #[test]
    fn pending_bits_are_read_only_and_table_is_plain_memory() {
        let mut msix = set_up(8);
        let mut sent = Vec::new();
        msix.write(PENDING_OFFSET, &[0xFF; 8], &mut sent);
        let mut data = [0; 8];
        msix.read(PENDING_OFFSET, &mut data);
        assert_eq!(data, [0; 8]);
        msix.read(16, &mut data);
        assert_eq!(u64::from_le_bytes(data), message(1).address);
        msix.read(8 * 16, &mut data);
        assert_eq!(data, [0; 8]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Raise(u16),
        Mask(u16, bool),
        Control(bool, bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u16..12).prop_map(Step::Raise),
            (0u16..10, any::<bool>()).prop_map(|(vector, masked)| Step::Mask(vector, masked)),
            (any::<bool>(), any::<bool>())
                .prop_map(|(masked, master)| Step::Control(masked, master)),
        ]
    }

    proptest! {
        /// While enabled, no raised vector is lost: once all is unmasked, each raised vector has been sent since its last raise.
        #[test]
        fn nothing_is_lost(steps in prop::collection::vec(step(), 0..100)) {
            let mut msix = set_up(10);
            let mut owed = [false; 10];
            let mut sent = Vec::new();
            for step in steps {
                match step {
                    Step::Raise(vector) => match msix.raise(vector) {
                        Raised::Message(message) => sent.push(message),
                        Raised::Pending => owed[usize::from(vector)] = true,
                        Raised::Dropped => prop_assert!(vector >= 10),
                    },
                    Step::Mask(vector, masked) => {
                        msix.write(u64::from(vector) * 16 + 12, &[u8::from(masked), 0, 0, 0], &mut sent)
                    }
                    Step::Control(masked, master) => {
                        let mask = if masked { CONTROL_MASK } else { 0 };
                        msix.set_control(CONTROL_ENABLE | mask, master, &mut sent)
                    }
                }
                for message in sent.drain(..) {
                    owed[(message.data - 0x4000) as usize] = false;
                }
            }
            msix.set_control(CONTROL_ENABLE, true, &mut sent);
            for vector in 0..10 {
                msix.write(vector * 16 + 12, &[0; 4], &mut sent);
            }
            for message in sent {
                owed[(message.data - 0x4000) as usize] = false;
            }
            prop_assert_eq!(owed, [false; 10]);
        }

        /// No access panics, wherever it points.
        #[test]
        fn any_access_is_harmless(offset in 0..MSIX_BAR_SIZE, data in prop::collection::vec(any::<u8>(), 0..64), vectors in 0u16..900) {
            let mut msix = Msix::new(vectors);
            msix.set_control(CONTROL_ENABLE, true, &mut Vec::new());
            msix.write(offset, &data, &mut Vec::new());
            let mut back = data.clone();
            msix.read(offset, &mut back);
        }
    }
}
