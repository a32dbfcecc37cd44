// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Reads and writes that cannot run over the end: each answers `None` (or `false`) where bytes are missing.

/// `N` bytes at `offset`.
pub fn array<const N: usize>(data: &[u8], offset: usize) -> Option<[u8; N]> {
    data.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

/// The byte at `offset`.
pub fn u8_at(data: &[u8], offset: usize) -> Option<u8> {
    data.get(offset).copied()
}

/// The 16 bits at `offset`, of network byte order.
pub fn be16(data: &[u8], offset: usize) -> Option<u16> {
    array(data, offset).map(u16::from_be_bytes)
}

/// The 32 bits at `offset`, of network byte order.
pub fn be32(data: &[u8], offset: usize) -> Option<u32> {
    array(data, offset).map(u32::from_be_bytes)
}

/// Writes `bytes` at `offset`. Nothing is written where not all of them fit.
pub fn put(data: &mut [u8], offset: usize, bytes: &[u8]) -> bool {
    let place = offset
        .checked_add(bytes.len())
        .and_then(|end| data.get_mut(offset..end));
    match place {
        Some(place) => {
            place.copy_from_slice(bytes);
            true
        }
        None => false,
    }
}
