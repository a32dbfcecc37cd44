// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Reading and writing packets: what runs over the end is not there.

/// `N` bytes from `at` on.
pub fn take<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..)?.first_chunk::<N>().copied()
}

/// 16 bits in network order.
pub fn word(data: &[u8], at: usize) -> Option<u16> {
    take(data, at).map(u16::from_be_bytes)
}

/// 32 bits in network order.
pub fn long(data: &[u8], at: usize) -> Option<u32> {
    take(data, at).map(u32::from_be_bytes)
}

/// Writes, if there is room for all of it.
#[must_use]
pub fn write(data: &mut [u8], at: usize, value: &[u8]) -> bool {
    let end = at.saturating_add(value.len());
    match data.get_mut(at..end) {
        Some(place) => {
            place.copy_from_slice(value);
            true
        }
        None => false,
    }
}
