// SPDX-License-Identifier: GPL-2.0-only

//! Health reporters: what `devlink health` shows of a part of a device, in names and values of its driver; when the part began to fail, how it
//! was then, and when it works again.

use super::Instance;
use crate::callback::errno;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::{
    error::from_err_ptr,
    fmt,
    prelude::*,
    str::{as_char_ptr_in_const_context, CString},
    sync::Arc, //
};
use oxnic_bindings as bindings;

/// What a driver knows of a part of its device.
pub trait Reporter: Send + Sync + 'static {
    /// By which users name it, once in an instance.
    const NAME: &'static CStr;

    /// Says how the part is. Called with the instance's lock held; may sleep. All that is said goes to the user at once, into the
    /// room that netlink has for a socket, which is some 150 KiB where nobody has changed that.
    ///
    /// # Errors
    ///
    /// The user gets the error and nothing of what was said.
    fn diagnose(&self, message: &mut Message<'_>) -> Result;

    /// Says what is worth keeping of a failure: devlink keeps the first after it was last cleared. Called as [`Self::diagnose`], when a
    /// failure is reported, or when a user asks and nothing is kept.
    ///
    /// # Errors
    ///
    /// Nothing is kept.
    fn dump(&self, message: &mut Message<'_>) -> Result;
}

/// What a reporter says: names with values. Where there is no memory for it, the kernel notes that, and tells the user in the end.
pub struct Message<'a> {
    raw: NonNull<bindings::devlink_fmsg>,
    _request: PhantomData<&'a mut bindings::devlink_fmsg>,
}

impl Message<'_> {
    /// A number.
    pub fn number(&mut self, name: &CStr, value: u64) {
        // SAFETY: The message is the kernel's and ours for the call; the name is copied.
        unsafe { bindings::devlink_fmsg_u64_pair_put(self.raw.as_ptr(), name.as_char_ptr(), value) }
    }

    /// A text.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn text(&mut self, name: &CStr, value: fmt::Arguments<'_>) -> Result {
        let value = CString::try_from_fmt(value)?;
        // SAFETY: The message is the kernel's and ours for the call; both strings are copied.
        unsafe {
            bindings::devlink_fmsg_string_pair_put(
                self.raw.as_ptr(),
                name.as_char_ptr(),
                value.as_char_ptr(),
            )
        }
        Ok(())
    }

    /// A list; `fill` adds an [`Self::object`] for each of its entries.
    ///
    /// # Errors
    ///
    /// As `fill`.
    pub fn list(&mut self, name: &CStr, fill: impl FnOnce(&mut Self) -> Result) -> Result {
        // SAFETY: The message is the kernel's and ours for the call; the name is copied.
        unsafe {
            bindings::devlink_fmsg_arr_pair_nest_start(self.raw.as_ptr(), name.as_char_ptr())
        };
        fill(self)?;
        // SAFETY: As above; the list was begun there.
        unsafe { bindings::devlink_fmsg_arr_pair_nest_end(self.raw.as_ptr()) };
        Ok(())
    }

    /// Names with values that belong together.
    ///
    /// # Errors
    ///
    /// As `fill`.
    pub fn object(&mut self, fill: impl FnOnce(&mut Self) -> Result) -> Result {
        // SAFETY: The message is the kernel's and ours for the call.
        unsafe { bindings::devlink_fmsg_obj_nest_start(self.raw.as_ptr()) };
        fill(self)?;
        // SAFETY: As above; the object was begun there.
        unsafe { bindings::devlink_fmsg_obj_nest_end(self.raw.as_ptr()) };
        Ok(())
    }
}

/// A reporter of an instance, which users see until it is dropped.
///
/// # Invariants
///
/// `raw` was created with a pointer to what `reporter` holds, and is not destroyed.
pub struct Health<T: Reporter> {
    raw: NonNull<bindings::devlink_health_reporter>,
    instance: Arc<Instance>,
    /// Devlink has a pointer to it.
    reporter: KBox<T>,
}

// SAFETY: Devlink locks by itself, and a `Reporter` is `Send` and `Sync`.
unsafe impl<T: Reporter> Send for Health<T> {}
// SAFETY: As above.
unsafe impl<T: Reporter> Sync for Health<T> {}

impl<T: Reporter> Health<T> {
    const OPS: bindings::devlink_health_reporter_ops = {
        // SAFETY: All zero is a valid set of operations: none.
        let mut ops: bindings::devlink_health_reporter_ops = unsafe { core::mem::zeroed() };
        // It is read only.
        ops.name = as_char_ptr_in_const_context(T::NAME).cast_mut();
        ops.diagnose = Some(Self::diagnose_callback);
        ops.dump = Some(Self::dump_callback);
        ops
    };

    /// Adds a reporter to an instance. The lock of the instance is not held.
    ///
    /// # Errors
    ///
    /// `EEXIST`: the instance has one of that name; `ENOMEM`.
    pub fn new(instance: Arc<Instance>, reporter: KBox<T>) -> Result<Self> {
        let private: *const T = &*reporter;
        // SAFETY: The instance is allocated and lives longer than this, the operations are static, and what `private` points to stays
        // where it is until after the reporter is destroyed.
        let raw = from_err_ptr(unsafe {
            bindings::devlink_health_reporter_create(
                instance.raw(),
                const { &Self::OPS },
                private.cast_mut().cast(),
            )
        })?;
        // INVARIANT: As above.
        Ok(Self {
            raw: NonNull::new(raw).ok_or(ENOMEM)?,
            instance,
            reporter,
        })
    }

    /// What the driver knows of the part.
    pub fn reporter(&self) -> &T {
        &self.reporter
    }

    /// The part has begun to fail: it is in error, one failure more is counted, and [`Reporter::dump`] is kept. The instance is
    /// registered, and its lock is not held.
    pub fn report(&self, what: &CStr) {
        // SAFETY: By the invariants; the text is used in the call only. The core does not use what is passed on to `dump`. Without
        // `recover` nothing can fail.
        unsafe {
            bindings::devlink_health_report(
                self.raw.as_ptr(),
                what.as_char_ptr(),
                core::ptr::null_mut(),
            )
        };
    }

    /// A part that was reported works again: it is healthy, and one recovery more is counted. The instance is registered, and its lock
    /// is not held.
    pub fn recovered(&self) {
        let _held = self.instance.lock();
        // SAFETY: By the invariants; the lock is held, under which users see both.
        unsafe {
            bindings::devlink_health_reporter_recovery_done(self.raw.as_ptr());
            bindings::devlink_health_reporter_state_update(
                self.raw.as_ptr(),
                bindings::devlink_health_reporter_state_DEVLINK_HEALTH_REPORTER_STATE_HEALTHY,
            );
        }
    }

    /// # Safety
    ///
    /// Called by devlink with the lock of the instance held, for a reporter of ours; the message is the caller's.
    unsafe extern "C" fn diagnose_callback(
        raw: *mut bindings::devlink_health_reporter,
        message: *mut bindings::devlink_fmsg,
        _extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: By the contract.
        unsafe { Self::say(raw, message, T::diagnose) }
    }

    /// # Safety
    ///
    /// As [`Self::diagnose_callback`].
    unsafe extern "C" fn dump_callback(
        raw: *mut bindings::devlink_health_reporter,
        message: *mut bindings::devlink_fmsg,
        _context: *mut c_void,
        _extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: By the contract.
        unsafe { Self::say(raw, message, T::dump) }
    }

    /// # Safety
    ///
    /// As [`Self::diagnose_callback`].
    unsafe fn say(
        raw: *mut bindings::devlink_health_reporter,
        message: *mut bindings::devlink_fmsg,
        what: impl FnOnce(&T, &mut Message<'_>) -> Result,
    ) -> c_int {
        // SAFETY: By the contract and the invariants; the reporter is destroyed with that lock held.
        let reporter = unsafe { &*bindings::devlink_health_reporter_priv(raw).cast::<T>() };
        let Some(raw) = NonNull::new(message) else {
            return EINVAL.to_errno();
        };
        let mut message = Message {
            raw,
            _request: PhantomData,
        };
        errno(what(reporter, &mut message))
    }
}

impl<T: Reporter> Drop for Health<T> {
    fn drop(&mut self) {
        let destroy = if self.instance.owner().is_current() {
            bindings::devl_health_reporter_destroy
        } else {
            bindings::devlink_health_reporter_destroy
        };
        // SAFETY: By the invariants. The lock is held where the first function wants it, and not held where the second takes it.
        unsafe { destroy(self.raw.as_ptr()) }
    }
}
