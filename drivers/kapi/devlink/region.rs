// SPDX-License-Identifier: GPL-2.0-only

//! `devlink region`: memory of a device that users can look at, as it is and as it was.

use super::Instance;
use crate::{
    callback::errno,
    extack::{refuse, Extack}, //
};
use core::ffi::c_void;
use core::ptr::NonNull;
use kernel::{
    error::{from_err_ptr, to_result},
    prelude::*,
    str::as_char_ptr_in_const_context,
    sync::Arc, //
};
use oxnic_bindings as bindings;

/// What a region shows. Called with the instance's lock held; may sleep.
pub trait Content: Send + Sync + 'static {
    /// By which users name it, once in an instance.
    const NAME: &'static CStr;
    /// The most snapshots that are kept, at least 1.
    const SNAPSHOTS: u32;
    /// Whether it can be looked at without a snapshot, by [`Self::read`].
    const DIRECT: bool;

    /// Fills a snapshot, which is all zero, with what there is now.
    ///
    /// # Errors
    ///
    /// There is no snapshot, and the text says why.
    fn capture(&self, snapshot: &mut [u8], extack: Option<&mut Extack>) -> Result;

    /// Fills `data` with what there is now from `offset` on, which is within the region.
    ///
    /// # Errors
    ///
    /// It cannot be read, and the text says why.
    fn read(&self, offset: u64, data: &mut [u8], extack: Option<&mut Extack>) -> Result {
        let _ = (offset, data);
        Err(refuse(
            extack,
            EOPNOTSUPP,
            fmt!("the region has snapshots only"),
        ))
    }
}

/// What devlink knows a region of ours by: the operations are first, so that its pointer to them is one to the whole.
#[repr(C)]
struct Inner<T> {
    ops: bindings::devlink_region_ops,
    size: usize,
    content: T,
    instance: Arc<Instance>,
}

/// A region of an instance, which users see until it is dropped, its snapshots included.
///
/// # Invariants
///
/// `raw` was created with the operations in `inner`, and is not destroyed.
pub struct Region<T: Content> {
    raw: NonNull<bindings::devlink_region>,
    inner: KBox<Inner<T>>,
}

// SAFETY: Devlink locks by itself, and `Content` is `Send` and `Sync`.
unsafe impl<T: Content> Send for Region<T> {}
// SAFETY: As above.
unsafe impl<T: Content> Sync for Region<T> {}

impl<T: Content> Region<T> {
    /// Adds a region of so many bytes to an instance. The lock of the instance is held by the caller or not.
    ///
    /// # Errors
    ///
    /// `EEXIST`: the instance has one of that name; `ENOMEM`.
    pub fn new(instance: &Arc<Instance>, size: usize, content: T) -> Result<Self> {
        let ops = bindings::devlink_region_ops {
            name: as_char_ptr_in_const_context(T::NAME),
            destructor: Some(Self::destructor),
            snapshot: Some(Self::snapshot_callback),
            read: if T::DIRECT {
                Some(Self::read_callback)
            } else {
                None
            },
            priv_: core::ptr::null_mut(),
        };
        let inner = Inner {
            ops,
            size,
            content,
            instance: instance.clone(),
        };
        let inner = KBox::new(inner, GFP_KERNEL)?;
        let whole: *const Inner<T> = &*inner;
        let _locked = instance.lock_unless_held();
        // SAFETY: The instance is allocated and lives longer than this, and the operations stay where they are until after the region
        // is destroyed. The lock is held.
        let raw = from_err_ptr(unsafe {
            bindings::devl_region_create(instance.raw(), whole.cast(), T::SNAPSHOTS, size as u64)
        })?;
        // INVARIANT: As above.
        Ok(Self {
            raw: NonNull::new(raw).ok_or(ENOMEM)?,
            inner,
        })
    }

    /// Takes a snapshot, which gets a number of its own, and gives that. The lock of the instance is held.
    ///
    /// # Errors
    ///
    /// `ENOSPC`: there is no room for one more; `ENOMEM`; else as [`Content::capture`].
    pub fn take_snapshot(&self) -> Result<u32> {
        let mut data = KVVec::from_elem(0_u8, self.inner.size, GFP_KERNEL)?;
        self.inner.content.capture(&mut data, None)?;
        let devlink = self.inner.instance.raw();
        let mut id = 0;
        // SAFETY: The instance is allocated.
        to_result(unsafe { bindings::devlink_region_snapshot_id_get(devlink, &mut id) })?;
        let (data, length, capacity) = data.into_raw_parts();
        // SAFETY: The region exists by the invariants. The snapshot has its size, and where it is taken over, `destructor` frees it.
        let result = to_result(unsafe {
            bindings::devlink_region_snapshot_create(self.raw.as_ptr(), data, id)
        });
        if result.is_err() {
            // SAFETY: As taken apart above, and nobody has taken it over.
            drop(unsafe { KVVec::<u8>::from_raw_parts(data, length, capacity) });
        }
        // SAFETY: The number was had above; the snapshot has a reference of its own.
        unsafe { bindings::devlink_region_snapshot_id_put(devlink, id) };
        result.map(|()| id)
    }

    /// # Safety
    ///
    /// Called by devlink with what [`Self::take_snapshot`] or [`Self::snapshot_callback`] gave it, once.
    unsafe extern "C" fn destructor(data: *const c_void) {
        // SAFETY: The memory of a `KVVec`, whose elements need not be dropped.
        unsafe { bindings::kvfree(data) }
    }

    /// # Safety
    ///
    /// Called by devlink with the lock of the instance held, with the operations of a region of ours; `data` and `extack` are the caller's.
    unsafe extern "C" fn snapshot_callback(
        _devlink: *mut bindings::devlink,
        ops: *const bindings::devlink_region_ops,
        extack: *mut bindings::netlink_ext_ack,
        data: *mut *mut u8,
    ) -> c_int {
        // SAFETY: By the contract; the operations are the first field of what is alive as long as the region.
        let (inner, extack) = unsafe { (&*ops.cast::<Inner<T>>(), Extack::from_raw(extack)) };
        let Ok(mut snapshot) = KVVec::from_elem(0_u8, inner.size, GFP_KERNEL) else {
            return ENOMEM.to_errno();
        };
        if let Err(error) = inner.content.capture(&mut snapshot, extack) {
            return error.to_errno();
        }
        // SAFETY: By the contract. `destructor` frees it.
        unsafe { *data = snapshot.into_raw_parts().0 };
        0
    }

    /// # Safety
    ///
    /// As [`Self::snapshot_callback`]; `data` has `size` bytes, which are within the region.
    unsafe extern "C" fn read_callback(
        _devlink: *mut bindings::devlink,
        ops: *const bindings::devlink_region_ops,
        extack: *mut bindings::netlink_ext_ack,
        offset: u64,
        size: u32,
        data: *mut u8,
    ) -> c_int {
        // SAFETY: By the contract, as in `snapshot_callback`.
        let (inner, extack, data) = unsafe {
            core::ptr::write_bytes(data, 0, size as usize);
            (
                &*ops.cast::<Inner<T>>(),
                Extack::from_raw(extack),
                core::slice::from_raw_parts_mut(data, size as usize),
            )
        };
        errno(inner.content.read(offset, data, extack))
    }
}

impl<T: Content> Drop for Region<T> {
    fn drop(&mut self) {
        let _locked = self.inner.instance.lock_unless_held();
        // SAFETY: By the invariants. The lock is held.
        unsafe { bindings::devl_region_destroy(self.raw.as_ptr()) }
    }
}
