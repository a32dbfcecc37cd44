// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A frame as tc gets it on ingress.

use super::bytes;
use super::ethernet;
use super::vlan::{self, Tag};

/// Why Linux drops a frame before tc sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Shorter than an Ethernet header.
    Runt,
    /// A tag with fewer than six bytes behind the Ethernet header (`skb_vlan_untag`): the tag and the two that follow.
    CutTag,
}

/// A frame as tc gets it on ingress: the outermost VLAN tag is beside the data, and not in it.
///
/// Linux takes the tag out before classifiers run (`__netif_receive_skb_core`), also where no hardware did. So the network
/// header, which pedit counts from, is the IP header of a frame with one tag, and the **inner tag** of a frame with two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The bytes from the destination address on, without the outermost tag. At least [`ethernet::HEADER`] of them, or what is
    /// missing reads as zero.
    pub data: &'a [u8],
    /// The outermost tag.
    pub tag: Option<Tag>,
    /// The protocol behind the outermost tag (`skb->protocol`). Not read from the data again when these are edited.
    pub protocol: u16,
}

/// What reception does to the bytes of a frame: which tag it takes out, and what remains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The outermost tag. Its four bytes, behind the addresses, are to be left out of the data.
    pub tag: Option<Tag>,
    /// The protocol behind it.
    pub protocol: u16,
}

impl Received {
    /// Looks at a frame as it came from the wire or from a VF.
    ///
    /// # Errors
    ///
    /// [`Refused`] where Linux drops the frame before tc.
    pub fn new(frame: &[u8]) -> Result<Self, Refused> {
        let field = bytes::be16(frame, ethernet::ADDRESSES).ok_or(Refused::Runt)?;
        let behind = frame.get(ethernet::HEADER..).unwrap_or(&[]);
        let protocol = ethernet::protocol(field, behind);
        if !vlan::is_tag(protocol) {
            return Ok(Self {
                tag: None,
                protocol,
            });
        }
        let tci = bytes::be16(behind, 0).ok_or(Refused::CutTag)?;
        let field = bytes::be16(behind, 2).ok_or(Refused::CutTag)?;
        let behind = behind.get(vlan::LENGTH..).unwrap_or(&[]);
        if behind.len() < 2 {
            return Err(Refused::CutTag);
        }
        Ok(Self {
            tag: Some(Tag {
                tpid: protocol,
                tci,
            }),
            protocol: ethernet::protocol(field, behind),
        })
    }
}

impl Frame<'_> {
    /// The protocol that a tc filter's `protocol` is compared with (`skb_protocol` without skipping tags): the tag's type where
    /// there is one.
    pub fn filter_protocol(&self) -> u16 {
        self.tag.map_or(self.protocol, |tag| tag.tpid)
    }

    /// The two addresses: destination, source.
    pub fn addresses(&self) -> (ethernet::Mac, ethernet::Mac) {
        (
            bytes::array(self.data, 0).unwrap_or_default(),
            bytes::array(self.data, 6).unwrap_or_default(),
        )
    }
}
