// SPDX-License-Identifier: GPL-2.0-only

//! Received packets for the stack.

use crate::net::flow::Onwards;
use crate::net::napi::Context;
use core::ptr::NonNull;
use oxnic_bindings as bindings;

/// What a frame's completion says besides its data.
#[derive(Clone, Copy, Default)]
pub struct Metadata {
    /// Hash of the flow, with its kind.
    pub hash: u32,
    /// What the hash covers.
    pub hash_kind: HashKind,
    /// Tag that was stripped: TPID in the upper half; 0 for none.
    pub tag: u32,
    /// The transport checksum is right.
    pub verified: bool,
}

impl Metadata {
    /// Writes it to a packet.
    ///
    /// # Safety
    ///
    /// The packet is ours. If it is `fresh`, it starts with its Ethernet header.
    pub(in crate::net) unsafe fn prepare(
        &self,
        context: Context<'_>,
        skb: NonNull<bindings::sk_buff>,
        fresh: bool,
    ) {
        // SAFETY: By the contract.
        unsafe {
            bindings::oxnic_rx_prepare(
                context.as_raw(),
                skb.as_ptr(),
                fresh,
                self.hash,
                self.hash_kind as u32,
                self.tag,
                self.verified,
            )
        };
    }
}

/// What a hash covers.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum HashKind {
    /// Nothing: there is none.
    #[default]
    None = 0,
    /// Addresses.
    Network = 2,
    /// Addresses and ports.
    Transport = 3,
}

const _: () = {
    assert!(HashKind::Network as u32 == bindings::pkt_hash_types_PKT_HASH_TYPE_L3);
    assert!(HashKind::Transport as u32 == bindings::pkt_hash_types_PKT_HASH_TYPE_L4);
};

/// A received packet in the making. It leaves by [`Frame::receive`], or is dropped as faulty.
pub struct Frame(pub(super) NonNull<bindings::sk_buff>);

// SAFETY: A packet belongs to no CPU.
unsafe impl Send for Frame {}

impl Frame {
    /// Bytes so far.
    #[inline(always)]
    pub fn length(&self) -> u32 {
        // SAFETY: The packet is ours.
        unsafe { self.0.as_ref().len }
    }

    /// Fragments so far.
    pub(super) fn parts(&self) -> usize {
        // SAFETY: The packet is ours; see `skb_shinfo()`.
        unsafe {
            let skb = self.0.as_ref();
            usize::from(
                (*skb
                    .head
                    .add(skb.end as usize)
                    .cast::<bindings::skb_shared_info>())
                .nr_frags,
            )
        }
    }

    /// The packet arrived at this time, in nanoseconds of the device's clock.
    #[cold]
    pub fn set_hw_timestamp(&mut self, time: u64) {
        // SAFETY: The packet is ours.
        unsafe {
            (*bindings::skb_hwtstamps(self.0.as_ptr()))
                .__bindgen_anon_1
                .hwtstamp = time as i64
        };
    }

    /// Hands the packet up, through GRO. It has at least an Ethernet header.
    #[inline(always)]
    pub fn receive(self, context: Context<'_>, metadata: Metadata) {
        let skb = core::mem::ManuallyDrop::new(self).0.as_ptr();
        // SAFETY: We are polling the instance; the packet is ours and given up.
        unsafe {
            bindings::rx_receive(
                context.as_raw(),
                skb,
                metadata.hash,
                metadata.hash_kind as u32,
                metadata.tag,
                metadata.verified,
            )
        };
    }

    /// Hands the packet on. It has at least an Ethernet header.
    #[cold]
    pub fn receive_onwards(self, context: Context<'_>, metadata: Metadata, onwards: Onwards<'_>) {
        let skb = core::mem::ManuallyDrop::new(self).0;
        // SAFETY: The packet is ours, nobody has looked at it yet, and it is given up.
        unsafe {
            metadata.prepare(context, skb, true);
            onwards.receive(context, skb);
        }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // SAFETY: The packet is ours and given up.
        unsafe {
            bindings::dev_kfree_skb_any_reason(
                self.0.as_ptr(),
                bindings::skb_drop_reason_SKB_DROP_REASON_DEV_HDR,
            )
        };
    }
}
