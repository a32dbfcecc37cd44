// SPDX-License-Identifier: GPL-2.0-only

//! A packet that is to be sent.
//!
//! An [`SkBuff`] is owned by one holder at a time and can only leave by a named exit: into a transmit ring
//! ([`super::tx_buffers::Producer::commit`]), or dropped with a reason ([`SkBuff::drop_with`]). Letting one go out of scope
//! does not build. Received packets are made and handed up by [`super::rx_buffers`].

use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use kernel::prelude::*;
use oxnic_bindings as bindings;

/// Why a packet is dropped, as the kernel's drop monitors show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// No memory, or none that the device can reach.
    NoMemory,
    /// The device is not there, or its queue not set up.
    DeviceNotReady,
    /// The packet cannot be sent in this form.
    Unsupported,
}

impl DropReason {
    fn as_raw(self) -> bindings::skb_drop_reason {
        match self {
            Self::NoMemory => bindings::skb_drop_reason_SKB_DROP_REASON_NOMEM,
            Self::DeviceNotReady => bindings::skb_drop_reason_SKB_DROP_REASON_DEV_READY,
            Self::Unsupported => bindings::skb_drop_reason_SKB_DROP_REASON_NOT_SPECIFIED,
        }
    }
}

/// A packet to be sent. There is no lock: the owner has it alone, but for its data, which clones may read.
///
/// # Invariants
///
/// The pointer is to a valid `sk_buff`, of which this owns one reference.
#[repr(transparent)]
pub struct SkBuff(NonNull<bindings::sk_buff>);

// SAFETY: An skb belongs to no CPU or task.
unsafe impl Send for SkBuff {}

impl Drop for SkBuff {
    #[inline(always)]
    fn drop(&mut self) {
        // A packet that simply vanishes has no drop reason and leaves queue accounting wrong: see the module.
        kernel::build_error!("an SkBuff has to leave by one of its exits");
    }
}

/// How a packet is to be cut into segments.
#[derive(Clone, Copy)]
pub struct Segmentation {
    /// Payload bytes of a segment.
    pub size: u16,
    /// Number of segments.
    pub segments: u16,
    /// UDP rather than TCP.
    pub udp: bool,
    /// The IPv4 identification of all segments is the same.
    pub fixed_id: bool,
}

impl SkBuff {
    /// Takes over a packet.
    ///
    /// # Safety
    ///
    /// `raw` is valid, and the caller hands over its reference.
    #[inline(always)]
    pub(super) unsafe fn from_raw(raw: *mut bindings::sk_buff) -> Self {
        // SAFETY: A valid pointer is not null.
        // INVARIANT: The caller hands over its reference.
        Self(unsafe { NonNull::new_unchecked(raw) })
    }

    /// Gives up ownership.
    #[inline(always)]
    pub(super) fn into_raw(self) -> *mut bindings::sk_buff {
        ManuallyDrop::new(self).0.as_ptr()
    }

    #[inline(always)]
    pub(super) fn as_raw(&self) -> *mut bindings::sk_buff {
        self.0.as_ptr()
    }

    #[inline(always)]
    fn fields(&self) -> &bindings::sk_buff {
        // SAFETY: By the type invariant; the fields that are read here do not change while the skb has this owner.
        unsafe { self.0.as_ref() }
    }

    #[inline(always)]
    fn headers(&self) -> &bindings::sk_buff__bindgen_ty_4__bindgen_ty_1 {
        // SAFETY: Both members of the union are the same, for C's `struct_group()`.
        unsafe { self.fields().__bindgen_anon_4.__bindgen_anon_1.as_ref() }
    }

    #[inline(always)]
    fn shared_info(&self) -> &bindings::skb_shared_info {
        let fields = self.fields();
        // SAFETY: The shared info of an skb lies at the end of its head, see `skb_shinfo()`.
        unsafe { &*fields.head.add(fields.end as usize).cast() }
    }

    /// Length in bytes.
    #[inline(always)]
    pub fn length(&self) -> u32 {
        self.fields().len
    }

    /// Bytes in the linear part.
    #[inline(always)]
    pub fn head_len(&self) -> u32 {
        let fields = self.fields();
        fields.len.wrapping_sub(fields.data_len)
    }

    /// Whether all bytes are in the linear part.
    #[inline(always)]
    pub fn is_linear(&self) -> bool {
        self.fields().data_len == 0
    }

    /// Number of fragments after the linear part.
    #[inline(always)]
    pub fn fragments(&self) -> usize {
        self.shared_info().nr_frags.into()
    }

    /// Fragment `index` and its length, where there is one.
    #[inline(always)]
    pub(super) fn fragment(&self, index: usize) -> Option<(*const bindings::skb_frag_t, u32)> {
        let info = self.shared_info();
        if index >= usize::from(info.nr_frags) {
            return None;
        }
        let fragment = info.frags.get(index)?;
        Some((fragment, fragment.len))
    }

    /// The transmit queue that was chosen.
    #[inline(always)]
    pub fn queue(&self) -> u16 {
        self.fields().queue_mapping
    }

    /// Where the checksum to be computed starts, and where it stands after that, in bytes; `None` where there is none to
    /// compute. The start is from the first byte of the packet.
    #[inline(always)]
    pub fn checksum(&self) -> Option<(u32, u16)> {
        let headers = self.headers();
        if u32::from(headers.ip_summed()) != bindings::CHECKSUM_PARTIAL {
            return None;
        }
        // SAFETY: With CHECKSUM_PARTIAL these members hold.
        let (start, offset) = unsafe {
            let place = headers.__bindgen_anon_1.__bindgen_anon_1;
            (place.csum_start, place.csum_offset)
        };
        let fields = self.fields();
        let headroom = (fields.data as usize).wrapping_sub(fields.head as usize);
        Some((u32::from(start).wrapping_sub(headroom as u32), offset))
    }

    /// The VLAN tag to insert and its TPID, both in CPU order.
    #[inline(always)]
    pub fn vlan_tag(&self) -> Option<(u16, u16)> {
        let tag = &self.headers().__bindgen_anon_2;
        // SAFETY: Every member of the union holds for any bits.
        if unsafe { tag.vlan_all } == 0 {
            return None;
        }
        // SAFETY: As above.
        let tag = unsafe { tag.__bindgen_anon_1 };
        Some((u16::from_be(tag.vlan_proto), tag.vlan_tci))
    }

    /// How the packet is to be segmented; `None` where it is to be sent as it is.
    #[inline(always)]
    pub fn segmentation(&self) -> Option<Segmentation> {
        let info = self.shared_info();
        if info.gso_size == 0 {
            return None;
        }
        Some(Segmentation {
            size: info.gso_size,
            segments: info.gso_segs,
            udp: info.gso_type & bindings::SKB_GSO_UDP_L4 as u32 != 0,
            fixed_id: info.gso_type & bindings::SKB_GSO_TCP_FIXEDID as u32 != 0,
        })
    }

    /// Bytes of headers that each segment repeats. Only for a packet to be segmented.
    pub fn segment_headers(&self) -> u32 {
        // SAFETY: By the type invariant.
        unsafe { bindings::skb_segment_headers(self.as_raw()) }
    }

    /// Offset of the network header in bytes.
    pub fn network_offset(&self) -> u32 {
        // SAFETY: By the type invariant.
        unsafe { bindings::skb_network_offset(self.as_raw()) }
    }

    /// Whether the network header is known, and is one of IP behind the Ethernet header and up to so many tags. Who has pushed
    /// a tag over another one has left it at the inner tag.
    pub fn has_ip_behind_tags(&self, tags: u32) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::skb_has_ip_behind_tags(self.as_raw(), tags) }
    }

    /// Offset of the transport header in bytes.
    pub fn transport_offset(&self) -> u32 {
        // SAFETY: By the type invariant.
        unsafe { bindings::skb_transport_offset(self.as_raw()) }
    }

    /// Makes the packet linear.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]; the packet is as before.
    pub fn linearize(&mut self) -> Result {
        // SAFETY: By the type invariant; the packet is ours alone on the way to the device.
        kernel::error::to_result(unsafe { bindings::skb_linearize(self.as_raw()) })
    }

    /// Makes the packet at least `length` bytes long, with zeros.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]; the packet is as before.
    pub fn pad_to(&mut self, length: u32) -> Result {
        // SAFETY: By the type invariant; the helper does not free the skb on failure.
        kernel::error::to_result(unsafe { bindings::skb_put_padto(self.as_raw(), length) })
    }

    #[inline(always)]
    fn shared_info_mut(&mut self) -> &mut bindings::skb_shared_info {
        let fields = self.fields();
        // SAFETY: As in `shared_info()`; the sender alone changes it between the stack and the device.
        unsafe { &mut *fields.head.add(fields.end as usize).cast() }
    }

    /// Whether the sender asks when the packet leaves the device.
    #[inline(always)]
    pub fn wants_hw_timestamp(&self) -> bool {
        const ASKED: u32 = bindings::SKBTX_HW_TSTAMP_NOBPF | bindings::SKBTX_BPF;
        self.shared_info().tx_flags & ASKED as u8 != 0
    }

    /// The device will tell when the packet leaves, see [`super::tx_buffers::Consumer::timestamp`]: to be called before
    /// [`Self::timestamp`].
    pub fn begin_hw_timestamp(&mut self) {
        self.shared_info_mut().tx_flags |= bindings::SKBTX_IN_PROGRESS as u8;
    }

    /// Takes the software time stamp, if somebody asked for one. To be called right before the device sees the packet.
    #[inline(always)]
    pub fn timestamp(&self) {
        if self.shared_info().tx_flags & ((bindings::SKBTX_SW_TSTAMP | bindings::SKBTX_BPF) as u8)
            != 0
        {
            // SAFETY: By the type invariant.
            unsafe { bindings::skb_tx_timestamp(self.as_raw()) };
        }
    }

    /// The packet is dropped.
    #[cold]
    pub fn drop_with(self, reason: DropReason) {
        let raw = self.into_raw();
        // SAFETY: Ownership was just given up, and goes to the function.
        unsafe { bindings::dev_kfree_skb_any_reason(raw, reason.as_raw()) };
    }
}
