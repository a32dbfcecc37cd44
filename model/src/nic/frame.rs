// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A frame in a buffer that is used over and over, with room in front for tags.
//!
//! Tags are put in and taken out by moving the two addresses, 12 bytes, so that what follows keeps its place in the buffer:
//! offsets of headers that were found once hold for every receiver.

/// Room in front of a frame: four tags.
pub const HEADROOM: usize = 16;
/// Bytes of the two addresses.
const ADDRESSES: usize = 12;
/// TPID of an 802.1Q tag.
pub const CTAG: u16 = 0x8100;
/// TPID of an 802.1ad tag.
pub const STAG: u16 = 0x88a8;

/// An 802.1Q or 802.1ad tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// [`CTAG`] or [`STAG`].
    pub tpid: u16,
    /// PCP, DEI and VID.
    pub tci: u16,
}

impl Tag {
    /// The VLAN.
    pub fn vid(self) -> u16 {
        self.tci & 0xfff
    }
}

/// A frame and the buffer around it.
#[derive(Debug, Default)]
pub struct Frame {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Frame {
    /// Makes room for a frame of `length` bytes, whose contents are unspecified, and gives it to be filled.
    pub fn prepare(&mut self, length: usize) -> &mut [u8] {
        self.start = HEADROOM;
        self.end = HEADROOM + length;
        if self.buffer.len() < self.end {
            self.buffer.resize(self.end, 0);
        }
        &mut self.buffer[self.start..self.end]
    }

    /// Takes a copy of `bytes`.
    pub fn copy_from(&mut self, bytes: &[u8]) {
        self.prepare(bytes.len()).copy_from_slice(bytes);
    }

    /// The frame.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// The frame, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer
            .get_mut(self.start..self.end)
            .unwrap_or_default()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where in the buffer the frame starts; offsets of headers count from the buffer's start.
    pub fn start(&self) -> usize {
        self.start
    }

    /// The buffer up to the frame's end, for offsets of headers.
    pub fn buffer(&self) -> &[u8] {
        self.buffer.get(..self.end).unwrap_or_default()
    }

    /// Makes the frame begin at `start` and end at `end` of the buffer, as far as there is one.
    pub fn set_window(&mut self, start: usize, end: usize) {
        self.end = end.min(self.buffer.len());
        self.start = start.min(self.end);
    }

    /// The outermost tag.
    pub fn tag(&self) -> Option<Tag> {
        match *self.bytes().get(ADDRESSES..ADDRESSES + 4)? {
            [a, b, c, d] => {
                let tpid = u16::from_be_bytes([a, b]);
                matches!(tpid, CTAG | STAG).then(|| Tag {
                    tpid,
                    tci: u16::from_be_bytes([c, d]),
                })
            }
            _ => None,
        }
    }

    /// Number of tags, up to two.
    pub fn tags(&self) -> usize {
        let is_tag = |at: usize| match self.bytes().get(at..at + 4) {
            Some(&[a, b, _, _]) => matches!(u16::from_be_bytes([a, b]), CTAG | STAG),
            _ => false,
        };
        match (is_tag(ADDRESSES), is_tag(ADDRESSES + 4)) {
            (true, true) => 2,
            (true, false) => 1,
            _ => 0,
        }
    }

    /// Puts a tag behind the addresses. False if there is no room, or no whole header: nothing was done.
    #[must_use]
    pub fn insert_tag(&mut self, tag: Tag) -> bool {
        if self.start < 4 || self.len() < ADDRESSES {
            return false;
        }
        self.buffer
            .copy_within(self.start..self.start + ADDRESSES, self.start - 4);
        self.start -= 4;
        let at = self.start + ADDRESSES;
        self.buffer[at..at + 2].copy_from_slice(&tag.tpid.to_be_bytes());
        self.buffer[at + 2..at + 4].copy_from_slice(&tag.tci.to_be_bytes());
        true
    }

    /// Takes the outermost tag out.
    pub fn remove_tag(&mut self) -> Option<Tag> {
        let tag = self.tag()?;
        self.buffer
            .copy_within(self.start..self.start + ADDRESSES, self.start + 4);
        self.start += 4;
        Some(tag)
    }

    /// Destination address.
    pub fn destination(&self) -> [u8; 6] {
        self.address(0)
    }

    /// Source address.
    pub fn source(&self) -> [u8; 6] {
        self.address(6)
    }

    fn address(&self, at: usize) -> [u8; 6] {
        let mut address = [0; 6];
        if let Some(bytes) = self.bytes().get(at..at + 6) {
            address.copy_from_slice(bytes);
        }
        address
    }
}

/// Whether an address is a group's: multicast or broadcast.
pub fn is_group(address: &[u8; 6]) -> bool {
    address[0] & 1 != 0
}

/// The broadcast address.
pub const BROADCAST: [u8; 6] = [0xff; 6];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_goes_in_and_comes_out() {
        let bytes: Vec<u8> = (0..64).collect();
        let mut frame = Frame::default();
        frame.copy_from(&bytes);
        let tag = Tag {
            tpid: STAG,
            tci: 0xe123,
        };
        assert!(frame.insert_tag(tag));
        assert_eq!(frame.bytes()[..12], bytes[..12]);
        assert_eq!(frame.bytes()[12..16], [0x88, 0xa8, 0xe1, 0x23]);
        assert_eq!(frame.bytes()[16..], bytes[12..]);
        assert_eq!((frame.tags(), frame.remove_tag()), (1, Some(tag)));
        assert_eq!(frame.bytes(), bytes);
        assert_eq!(frame.remove_tag(), None);
    }

    #[test]
    fn a_frame_without_whole_addresses_gets_no_tag() {
        let mut frame = Frame::default();
        frame.copy_from(&[1; 11]);
        assert!(!frame.insert_tag(Tag { tpid: CTAG, tci: 1 }));
        assert_eq!(frame.bytes(), [1; 11]);
    }

    #[test]
    fn tags_beyond_the_room_are_refused() {
        let mut frame = Frame::default();
        frame.copy_from(&[1; 14]);
        for _ in 0..HEADROOM / 4 {
            assert!(frame.insert_tag(Tag { tpid: CTAG, tci: 1 }));
        }
        assert!(!frame.insert_tag(Tag { tpid: CTAG, tci: 1 }));
    }
}
