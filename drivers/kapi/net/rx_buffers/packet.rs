// SPDX-License-Identifier: GPL-2.0-only

//! Packets for XDP, made of a ring's buffers.

use super::Buffers;
use crate::net::xdp::{self, Buff};
use core::mem::MaybeUninit;
use kernel::prelude::*;
use oxnic_bindings as bindings;

impl Buffers {
    /// Begins a packet with what the device put into buffer `id`, which the packet owns from now on.
    ///
    /// # Errors
    ///
    /// As [`Self::begin`]; [`EINVAL`]: the ring was not made for XDP.
    #[inline]
    pub fn begin_packet(&mut self, id: u16, length: u32) -> Result<Buff> {
        if length < bindings::ETH_HLEN {
            return Err(EPROTO);
        }
        let (pool, size) = (self.pool.0.as_ptr(), self.layout.size);
        let info = self.xdp.as_ref().ok_or(EINVAL)?.as_raw();
        let entry = self.take(id, length)?;
        let memory = core::mem::replace(&mut entry.memory, core::ptr::null_mut());
        let mut raw = MaybeUninit::<bindings::xdp_buff>::uninit();
        // SAFETY: The buffer is ours, and holds `length` bytes after the headroom. The registration lives as long as the
        // ring, in whose polls packets are used. C leaves only what it never reads uninitialised; all of it is plain data.
        Ok(unsafe {
            raw.as_mut_ptr().write_bytes(0, 1);
            bindings::oxnic_xdp_begin(raw.as_mut_ptr(), info, pool, memory.cast(), size, length);
            Buff::from_raw(raw.assume_init(), id)
        })
    }

    /// Adds what the device put into buffer `id` to a packet. False: it has too many parts, and has to be dropped.
    ///
    /// # Errors
    ///
    /// As [`Self::begin`].
    pub fn append_packet(&mut self, packet: &mut Buff, id: u16, length: u32) -> Result<bool> {
        let (pool, size) = (self.pool.0.as_ptr(), self.layout.size);
        let entry = self.take(id, length)?;
        // SAFETY: The packet and the buffer are ours; on success the packet owns the buffer.
        let added = unsafe {
            bindings::oxnic_xdp_add(packet.as_raw(), pool, entry.memory.cast(), size, length)
        };
        if added {
            entry.memory = core::ptr::null_mut();
        }
        Ok(added)
    }

    /// Takes a packet that is dropped back into the ring, as far as there is room.
    #[inline(always)]
    pub fn keep(&mut self, packet: Buff) {
        let (memory, id) = packet.into_head();
        let (pool, size) = (self.pool.0.as_ptr(), self.layout.size);
        match self.entries.get_mut(usize::from(id)) {
            Some(entry) if entry.memory.is_null() => {
                // SAFETY: The buffer is ours. The id has no memory, so that this one's address, which is still there, is that
                // of no other buffer.
                unsafe { bindings::oxnic_xdp_keep(pool, memory.cast(), size) };
                entry.memory = memory;
            }
            // SAFETY: The buffer is ours and given up.
            _ => unsafe { bindings::rx_put(pool, memory.cast(), false) },
        }
    }

    /// Bytes of a packet that fit into one buffer, where there is XDP.
    pub const fn packet_max() -> u32 {
        super::PAGE - xdp::HEADROOM - super::TAILROOM
    }
}
