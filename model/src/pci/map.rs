// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Which function's BAR a bus address belongs to. Made anew when a BAR, a window or an enable bit changes, so that each
//! memory access costs a few comparisons, however many VFs there are.

use super::msix::MSIX_BAR_SIZE;
use super::physical::Physical;
use super::root_port::RootPort;
use crate::host::Function;
use oxnic_abi::pci::{PF_DOORBELLS_SIZE, PF_REGISTERS_SIZE, VF_DOORBELLS_SIZE, VF_REGISTERS_SIZE};

/// The BARs of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// BAR0.
    Registers,
    /// BAR2.
    Doorbells,
    /// BAR4.
    Msix,
}

/// A place in a BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose BAR.
    pub function: Function,
    /// Which.
    pub bar: Bar,
    /// Offset in bytes.
    pub offset: u64,
}

const BARS: [Bar; 3] = [Bar::Registers, Bar::Doorbells, Bar::Msix];
const PF_SIZES: [u64; 3] = [PF_REGISTERS_SIZE, PF_DOORBELLS_SIZE, MSIX_BAR_SIZE];
const VF_SIZES: [u64; 3] = [VF_REGISTERS_SIZE, VF_DOORBELLS_SIZE, MSIX_BAR_SIZE];

/// The memory map below the root port.
#[derive(Clone, Debug, Default)]
pub struct Map {
    windows: [(u64, u64); 2],
    pf: Option<[u64; 3]>,
    vf: Option<[u64; 3]>,
    vf_shift: u32,
    vf_count: u64,
}

impl Map {
    /// The map as root port and PF have it now, with `vf_count` VFs in existence.
    pub fn new(port: &RootPort, pf: &Physical, vf_count: usize) -> Self {
        Map {
            windows: port.windows(),
            pf: pf.bars(),
            vf: pf.vf_bars(),
            vf_shift: pf.vf_stride().trailing_zeros(),
            vf_count: vf_count as u64,
        }
    }

    /// Where an access of `len` bytes at `address` goes; None if nothing claims all of it.
    pub fn decode(&self, address: u64, len: usize) -> Option<Place> {
        let last = address.checked_add((len as u64).checked_sub(1)?)?;
        if !self
            .windows
            .iter()
            .any(|(base, limit)| *base <= address && last <= *limit)
        {
            return None;
        }
        self.decode_pf(address, last)
            .or_else(|| self.decode_vf(address, last))
    }

    fn decode_pf(&self, address: u64, last: u64) -> Option<Place> {
        let bases = self.pf?;
        (0..3).find_map(|index| {
            let offset = address.checked_sub(bases[index])?;
            (last - bases[index] < PF_SIZES[index]).then_some(Place {
                function: Function::Pf,
                bar: BARS[index],
                offset,
            })
        })
    }

    fn decode_vf(&self, address: u64, last: u64) -> Option<Place> {
        let bases = self.vf?;
        (0..3).find_map(|index| {
            let at = address.checked_sub(bases[index])?;
            let vf = at >> self.vf_shift;
            let start = bases[index] + (vf << self.vf_shift);
            (vf < self.vf_count && last - start < VF_SIZES[index]).then_some(Place {
                function: Function::Vf(vf as u16),
                bar: BARS[index],
                offset: address - start,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PF: [u64; 3] = [0x10_0000, 0x11_0000, 0x12_0000];
    const VF: [u64; 3] = [0x20_0000, 0x40_0000, 0x60_0000];

    fn map(vf_count: u64, vf_shift: u32) -> Map {
        Map {
            windows: [(1, 0), (0x10_0000, 0x8F_FFFF)],
            pf: Some(PF),
            vf: Some(VF),
            vf_shift,
            vf_count,
        }
    }

    #[test]
    fn the_last_vf_and_one_beyond() {
        let map = map(128, 14);
        let place = map.decode(VF[2] + 128 * MSIX_BAR_SIZE - 8, 8);
        assert_eq!(
            place,
            Some(Place {
                function: Function::Vf(127),
                bar: Bar::Msix,
                offset: MSIX_BAR_SIZE - 8
            })
        );
        assert_eq!(map.decode(VF[2] + 128 * MSIX_BAR_SIZE, 4), None);
        assert_eq!(map.decode(VF[2] + 128 * MSIX_BAR_SIZE - 4, 8), None);
    }

    #[test]
    fn an_access_across_two_vfs_belongs_to_neither() {
        assert_eq!(map(2, 14).decode(VF[0] + VF_REGISTERS_SIZE - 4, 8), None);
    }

    #[test]
    fn a_larger_page_spreads_the_vfs() {
        let map = map(2, 16);
        assert_eq!(map.decode(VF[0] + VF_REGISTERS_SIZE, 4), None);
        assert_eq!(
            map.decode(VF[0] + (1 << 16), 4).map(|place| place.function),
            Some(Function::Vf(1))
        );
    }

    #[test]
    fn outside_the_windows_is_nothing() {
        let mut map = map(8, 14);
        map.windows = [(1, 0), (1, 0)];
        assert_eq!(map.decode(PF[0], 4), None);
    }

    proptest! {
        /// The quick decode agrees with a search of all BARs of all functions.
        #[test]
        fn agrees_with_a_search(address in 0u64..0x100_0000, len in 0usize..32, count in 0u64..129) {
            let map = map(count, 14);
            let mut all = vec![(Function::Pf, PF, PF_SIZES)];
            for vf in 0..count {
                all.push((Function::Vf(vf as u16), VF.map(|base| base + vf * VF_REGISTERS_SIZE), VF_SIZES));
            }
            let found = all.iter().find_map(|(function, bases, sizes)| {
                (0..3).find_map(|index| {
                    let inside = len > 0
                        && address >= bases[index]
                        && address + len as u64 <= bases[index] + sizes[index]
                        && address + len as u64 <= 0x90_0000;
                    inside.then(|| Place { function: *function, bar: BARS[index], offset: address - bases[index] })
                })
            });
            prop_assert_eq!(map.decode(address, len), found);
        }
    }
}
