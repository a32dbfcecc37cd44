// SPDX-License-Identifier: GPL-2.0-only

//! Packets for XDP, made of a ring's buffers.

use super::layout::{PAGE, TAILROOM};
use super::Buffers;
use crate::net::xdp::{self, Buff, RxInfo};
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
        let address = entry.address;
        let mut raw = MaybeUninit::<bindings::xdp_buff>::uninit();
        // SAFETY: The buffer is ours, and holds `length` bytes after the headroom. The registration lives as long as the
        // ring, in whose polls packets are used. C leaves only what it never reads uninitialised; all of it is plain data.
        Ok(unsafe {
            raw.as_mut_ptr().write_bytes(0, 1);
            bindings::oxnic_xdp_begin(raw.as_mut_ptr(), info, pool, memory.cast(), size, length);
            Buff::from_raw(raw.assume_init(), id, address)
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

    /// Takes a packet that is dropped back into the ring, as far as there is room. One of another ring goes back to that one's pool.
    #[inline(always)]
    pub fn keep(&mut self, packet: Buff) {
        let ours = self.xdp.as_ref().map(RxInfo::as_raw);
        if ours != Some(packet.queue()) {
            return;
        }
        let (memory, id, address) = packet.into_head();
        let (pool, size) = (self.pool.0.as_ptr(), self.layout.size);
        match self.entries.get_mut(usize::from(id)) {
            Some(entry) if entry.memory.is_null() => {
                // SAFETY: The buffer is ours, and the id has no memory.
                unsafe { bindings::oxnic_xdp_keep(pool, memory.cast(), size) };
                // INVARIANT: The address goes with the memory: the id may have been posted again meanwhile, and what it was posted
                // with may have become a part of a packet, too.
                entry.memory = memory;
                entry.address = address;
            }
            // SAFETY: The buffer is ours and given up.
            _ => unsafe { bindings::rx_put(pool, memory.cast(), false) },
        }
    }

    /// Bytes of a packet that fit into one buffer, where there is XDP.
    pub const fn packet_max() -> u32 {
        PAGE - xdp::HEADROOM - TAILROOM
    }
}

/// A ring for XDP without a device, for tests.
#[cfg(CONFIG_KUNIT)]
pub(in crate::net) mod fixture {
    use super::super::{Buffers, Layout};
    use crate::net::netdev::fixture::Dummy;
    use crate::net::xdp::{Buff, RxInfo};
    use kernel::prelude::*;
    use oxnic_bindings as bindings;

    pub(in crate::net) const SIZE: u32 = 32;

    /// The ring, and the net device that it belongs to, which goes last.
    pub(in crate::net) struct Rig {
        pub(in crate::net) buffers: Buffers,
        _device: Dummy,
    }

    impl Rig {
        /// All buffers are posted.
        pub(in crate::net) fn new() -> Result<Self> {
            let device = Dummy::new(1)?;
            let mut params = bindings::page_pool_params::default();
            // SAFETY: Both members of the union are the same, for C's `struct_group()`.
            let fast = unsafe { params.__bindgen_anon_1.fast.as_mut() };
            fast.pool_size = SIZE;
            fast.nid = -1;
            // SAFETY: The parameters are valid for a pool that maps nothing.
            let pool = kernel::error::from_err_ptr(unsafe { bindings::page_pool_create(&params) })?;
            let layout = Layout::for_xdp();
            let mut buffers = Buffers::with_pool(pool, SIZE, layout, 0, None)?;
            // SAFETY: The pool is valid, and the device outlives the ring.
            let info = unsafe { RxInfo::register(&device, 0, layout.size, pool) }?;
            buffers.xdp = Some(info);
            while buffers.post().is_some() {}
            Ok(Self {
                buffers,
                _device: device,
            })
        }

        /// A packet of so many buffers, those with ids from 0 on, each with 100 bytes.
        pub(in crate::net) fn packet(&mut self, parts: u16) -> Result<Buff> {
            let mut packet = self.buffers.begin_packet(0, 100)?;
            for id in 1..parts {
                if !self.buffers.append_packet(&mut packet, id, 100)? {
                    return Err(ENOSPC);
                }
            }
            Ok(packet)
        }
    }
}

#[cfg(CONFIG_KUNIT)]
#[kernel::macros::kunit_tests(oxnic_kapi_xdp_packets)]
mod tests {
    use super::fixture::{Rig, SIZE};
    use super::*;

    const FRAGS_MAX: u16 = bindings::MAX_SKB_FRAGS as u16;

    #[test]
    fn a_packet_owns_its_buffer() -> Result {
        let mut rig = Rig::new()?;
        let packet = rig.buffers.begin_packet(3, 100)?;
        assert_eq!((packet.length(), packet.has_frags()), (100, false));
        assert_eq!(rig.buffers.begin_packet(3, 100).err(), Some(EPROTO));
        assert_eq!(rig.buffers.unposted(), 1);
        Ok(())
    }

    #[test]
    fn what_the_device_says_is_checked() -> Result {
        let mut rig = Rig::new()?;
        let most = Buffers::packet_max();
        assert_eq!(rig.buffers.usable(), most);
        for (id, length) in [(SIZE as u16, 100), (u16::MAX, 100), (0, 13), (0, most + 1)] {
            let refused = rig.buffers.begin_packet(id, length).err();
            assert_eq!(refused, Some(EPROTO));
        }
        let packet = rig.buffers.begin_packet(0, most)?;
        assert_eq!(packet.length(), most);
        Ok(())
    }

    #[test]
    fn a_packet_that_is_kept_gives_its_buffer_back_to_the_ring() -> Result {
        let mut rig = Rig::new()?;
        let packet = rig.buffers.begin_packet(3, 100)?;
        rig.buffers.keep(packet);
        let first = rig.buffers.post();
        let packet = rig.buffers.begin_packet(3, 100)?;
        rig.buffers.keep(packet);
        assert_eq!(rig.buffers.post(), first);
        assert_eq!(first.map(|(id, _)| id), Some(3));
        Ok(())
    }

    #[test]
    fn a_packet_kept_after_its_id_was_posted_again_goes_to_the_pool() -> Result {
        let mut rig = Rig::new()?;
        let packet = rig.buffers.begin_packet(3, 100)?;
        let (id, _) = rig.buffers.post().ok_or(ENOMEM)?;
        assert_eq!(id, 3);
        rig.buffers.keep(packet);
        assert_eq!(rig.buffers.unposted(), 0);
        rig.buffers.skip(3, 100)
    }

    #[test]
    fn a_packet_kept_after_its_id_came_back_once_more_keeps_its_address() -> Result {
        let mut rig = Rig::new()?;
        // The pool maps nothing, so its buffers are told apart here.
        rig.buffers.entries[3].address = 1;
        let mut packet = rig.buffers.begin_packet(3, 100)?;
        rig.buffers.post().ok_or(ENOMEM)?;
        rig.buffers.entries[3].address = 2;
        assert!(rig.buffers.append_packet(&mut packet, 3, 100)?);
        rig.buffers.keep(packet);
        assert_eq!(rig.buffers.post(), Some((3, 1)));
        Ok(())
    }

    #[test]
    fn a_packet_of_another_ring_is_not_kept() -> Result {
        let (mut rig, mut other) = (Rig::new()?, Rig::new()?);
        drop(rig.buffers.begin_packet(4, 100)?);
        let packet = other.buffers.begin_packet(4, 100)?;
        rig.buffers.keep(packet);
        assert!(rig.buffers.entries[4].memory.is_null());
        Ok(())
    }

    #[test]
    fn a_packet_has_so_many_buffers_and_no_more() -> Result {
        let mut rig = Rig::new()?;
        let mut packet = rig.packet(1 + FRAGS_MAX)?;
        assert_eq!(packet.length(), 100 * (1 + u32::from(FRAGS_MAX)));
        assert!(packet.has_frags());
        let added = rig.buffers.append_packet(&mut packet, 1 + FRAGS_MAX, 100)?;
        assert!(!added);
        assert_eq!(packet.length(), 100 * (1 + u32::from(FRAGS_MAX)));
        Ok(())
    }

    #[test]
    fn a_frame_is_the_packet() -> Result {
        let mut rig = Rig::new()?;
        let Ok(mut frame) = rig.packet(3)?.into_frame() else {
            return Err(EINVAL);
        };
        assert_eq!((frame.length(), frame.fragments()), (300, 2));
        assert!(frame.pad_to(300));
        assert!(!frame.pad_to(301));
        let Ok(mut frame) = rig.buffers.begin_packet(9, 20)?.into_frame() else {
            return Err(EINVAL);
        };
        assert!(frame.pad_to(60));
        assert_eq!(frame.length(), 60);
        assert!(!frame.pad_to(5000));
        Ok(())
    }
}
