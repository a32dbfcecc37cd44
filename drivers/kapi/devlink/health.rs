// SPDX-License-Identifier: GPL-2.0-only

//! Health reporters: what `devlink health` shows of a device in names and values of its driver, and how the driver tells of errors,
//! so that they are counted, dumped and recovered from as the user has set.

use super::{Instance, Port};
use crate::{
    callback::errno,
    extack::{refuse, Extack}, //
};
use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::{
    error::{from_err_ptr, to_result},
    fmt,
    prelude::*,
    str::{as_char_ptr_in_const_context, CString},
    sync::Arc, //
};
use oxnic_bindings as bindings;

/// Which of the user's requests a reporter answers. What it does not answer is refused by devlink.
#[derive(Clone, Copy)]
pub struct Abilities {
    /// [`Reporter::recover`].
    pub recover: bool,
    /// [`Reporter::dump`].
    pub dump: bool,
    /// [`Reporter::test`].
    pub test: bool,
}

impl Abilities {
    /// All of them.
    pub const ALL: Self = Self {
        recover: true,
        dump: true,
        test: true,
    };
    /// [`Reporter::dump`] only.
    pub const DUMP: Self = Self {
        recover: false,
        dump: true,
        test: false,
    };
}

/// What a driver knows of a part of its device, and does for it. All is called with the instance's lock held, and may sleep.
pub trait Reporter: Send + Sync + 'static {
    /// By which users name it, once in an instance or a port.
    const NAME: &'static CStr;
    /// What it answers beside [`Self::diagnose`].
    const ABILITIES: Abilities;
    /// What the driver says of an error that it reports.
    type Error: Sync;

    /// Says how the part is. All that is said goes to the user at once, into the
    /// room that netlink has for a socket, which is some 150 KiB where nobody has changed that.
    ///
    /// # Errors
    ///
    /// The user gets the error and nothing of what was said.
    fn diagnose(&self, message: &mut Message<'_>) -> Result;

    /// Repairs the part, after the error that is given, or after whatever there was where a user asks for it.
    ///
    /// # Errors
    ///
    /// It does not work, and the text says why.
    fn recover(&self, error: Option<&Self::Error>, extack: Option<&mut Extack>) -> Result {
        let _ = error;
        Err(refuse(
            extack,
            EOPNOTSUPP,
            fmt!("there is nothing to recover"),
        ))
    }

    /// Says all that may help to find out why there was an error. Devlink keeps it until the user has it deleted.
    ///
    /// # Errors
    ///
    /// There is no dump, and the text says why.
    fn dump(
        &self,
        message: &mut Message<'_>,
        error: Option<&Self::Error>,
        extack: Option<&mut Extack>,
    ) -> Result {
        let _ = (message, error);
        Err(refuse(extack, EOPNOTSUPP, fmt!("there is nothing to dump")))
    }

    /// Has an error happen, which is reported soon.
    ///
    /// # Errors
    ///
    /// None will be, and the text says why.
    fn test(&self, extack: Option<&mut Extack>) -> Result {
        Err(refuse(extack, EOPNOTSUPP, fmt!("there is no test")))
    }
}

/// What a reporter says: names with values. Where there is no memory for it, the kernel notes that, and tells the user in the end.
pub struct Message<'a> {
    raw: NonNull<bindings::devlink_fmsg>,
    _request: PhantomData<&'a mut bindings::devlink_fmsg>,
}

impl Message<'_> {
    fn new(raw: *mut bindings::devlink_fmsg) -> Option<Self> {
        Some(Self {
            raw: NonNull::new(raw)?,
            _request: PhantomData,
        })
    }

    /// Whether something is so.
    pub fn flag(&mut self, name: &CStr, value: bool) {
        // SAFETY: As in `number`.
        unsafe {
            bindings::devlink_fmsg_bool_pair_put(self.raw.as_ptr(), name.as_char_ptr(), value)
        }
    }

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

    /// A text without a name, in a list.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn item(&mut self, value: fmt::Arguments<'_>) -> Result {
        let value = CString::try_from_fmt(value)?;
        // SAFETY: The message is the kernel's and ours for the call; the text is copied.
        unsafe { bindings::devlink_fmsg_string_put(self.raw.as_ptr(), value.as_char_ptr()) };
        Ok(())
    }

    /// A list; `fill` adds an [`Self::object`] or an [`Self::item`] for each of its entries.
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

/// A reporter of an instance or one of its ports, which users see until it is dropped.
///
/// # Invariants
///
/// `raw` was created with a pointer to what `inner` holds, and is not destroyed.
pub struct Health<T: Reporter> {
    raw: NonNull<bindings::devlink_health_reporter>,
    /// Devlink has a pointer to it.
    inner: KBox<Inner<T>>,
    /// The port that it is of, which outlives it.
    _port: Option<Arc<Port>>,
}

/// What devlink knows a reporter of ours by.
struct Inner<T> {
    reporter: T,
    instance: Arc<Instance>,
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
        if T::ABILITIES.recover {
            ops.recover = Some(Self::recover_callback);
        }
        if T::ABILITIES.dump {
            ops.dump = Some(Self::dump_callback);
        }
        if T::ABILITIES.test {
            ops.test = Some(Self::test_callback);
        }
        ops
    };

    /// Adds a reporter to an instance. The lock of the instance is held by the caller or not.
    ///
    /// # Errors
    ///
    /// `EEXIST`: the instance has one of that name; `ENOMEM`.
    pub fn new(instance: Arc<Instance>, reporter: T) -> Result<Self> {
        let inner = KBox::new(Inner { reporter, instance }, GFP_KERNEL)?;
        let private: *const Inner<T> = &*inner;
        let locked = inner.instance.lock_unless_held();
        // SAFETY: The instance is allocated and lives longer than this, the operations are static, and what `private` points to stays
        // where it is until after the reporter is destroyed. The lock is held.
        let raw = from_err_ptr(unsafe {
            bindings::devl_health_reporter_create(
                inner.instance.raw(),
                const { &Self::OPS },
                private.cast_mut().cast(),
            )
        })?;
        drop(locked);
        // INVARIANT: As above.
        Ok(Self {
            raw: NonNull::new(raw).ok_or(ENOMEM)?,
            inner,
            _port: None,
        })
    }

    /// Adds a reporter to a port. The lock of the instance is held by the caller or not.
    ///
    /// # Errors
    ///
    /// `EEXIST`: the port has one of that name; `ENOMEM`.
    pub fn of_port(port: Arc<Port>, reporter: T) -> Result<Self> {
        let instance = port.instance().clone();
        let inner = KBox::new(Inner { reporter, instance }, GFP_KERNEL)?;
        let private: *const Inner<T> = &*inner;
        let locked = inner.instance.lock_unless_held();
        // SAFETY: The port is registered and lives longer than this; for the rest see `new`.
        let raw = from_err_ptr(unsafe {
            bindings::devl_port_health_reporter_create(
                port.raw(),
                const { &Self::OPS },
                private.cast_mut().cast(),
            )
        })?;
        drop(locked);
        // INVARIANT: As above.
        Ok(Self {
            raw: NonNull::new(raw).ok_or(ENOMEM)?,
            inner,
            _port: Some(port),
        })
    }

    /// Tells of an error: devlink counts it, and dumps and recovers where the user has not turned that off and the grace period
    /// allows it. The instance is registered, and its lock is not held.
    ///
    /// # Errors
    ///
    /// `ECANCELED`: the error before was not recovered from, or was so just now, and this one will not be; else what recovering gives.
    pub fn report(&self, text: &CStr, error: &T::Error) -> Result {
        let context: *const T::Error = error;
        // SAFETY: The reporter exists by the invariants. What the context points to lives for the call, and is only read.
        to_result(unsafe {
            bindings::devlink_health_report(
                self.raw.as_ptr(),
                text.as_char_ptr(),
                context.cast_mut().cast(),
            )
        })
    }

    /// The part does not work, which is no news to be counted: users see it in the state. The instance is registered.
    pub fn set_failed(&self) {
        let state = bindings::devlink_health_reporter_state_DEVLINK_HEALTH_REPORTER_STATE_ERROR;
        // SAFETY: The reporter exists by the invariants.
        unsafe { bindings::devlink_health_reporter_state_update(self.raw.as_ptr(), state) }
    }

    /// The part works, by whatever means. The instance is registered.
    pub fn set_well(&self) {
        let state = bindings::devlink_health_reporter_state_DEVLINK_HEALTH_REPORTER_STATE_HEALTHY;
        // SAFETY: The reporter exists by the invariants.
        unsafe { bindings::devlink_health_reporter_state_update(self.raw.as_ptr(), state) }
    }

    /// What the driver knows of the part.
    pub fn reporter(&self) -> &T {
        &self.inner.reporter
    }

    /// A part that was reported, and that [`Reporter::recover`] does not repair, works again: it is healthy, and one recovery more is
    /// counted. The instance is registered, and its lock is not held.
    pub fn recovered(&self) {
        let _held = self.inner.instance.lock();
        // SAFETY: By the invariants; the lock is held, under which users see both this and the state.
        unsafe { bindings::devlink_health_reporter_recovery_done(self.raw.as_ptr()) };
        self.set_well();
    }

    /// What devlink knows a reporter by.
    ///
    /// # Safety
    ///
    /// `raw` is a reporter of ours that is not destroyed for `'a`.
    unsafe fn inner<'a>(raw: *mut bindings::devlink_health_reporter) -> &'a Inner<T> {
        // SAFETY: By the contract and the invariants.
        unsafe { &*bindings::devlink_health_reporter_priv(raw).cast::<Inner<T>>() }
    }

    /// # Safety
    ///
    /// Called by devlink with the lock of the instance held, for a reporter of ours; the message is the caller's.
    unsafe extern "C" fn diagnose_callback(
        raw: *mut bindings::devlink_health_reporter,
        message: *mut bindings::devlink_fmsg,
        _extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: By the contract; the reporter is destroyed with that lock held.
        let inner = unsafe { Self::inner(raw) };
        match Message::new(message) {
            Some(mut message) => errno(inner.reporter.diagnose(&mut message)),
            None => EINVAL.to_errno(),
        }
    }

    /// # Safety
    ///
    /// As [`Self::diagnose_callback`]; the context is null or what [`Self::report`] was given, and `extack` the caller's or null.
    unsafe extern "C" fn dump_callback(
        raw: *mut bindings::devlink_health_reporter,
        message: *mut bindings::devlink_fmsg,
        context: *mut c_void,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: By the contract, as in `diagnose_callback`.
        let (inner, error, extack) = unsafe {
            (
                Self::inner(raw),
                context.cast::<T::Error>().as_ref(),
                Extack::from_raw(extack),
            )
        };
        match Message::new(message) {
            Some(mut message) => errno(inner.reporter.dump(&mut message, error, extack)),
            None => EINVAL.to_errno(),
        }
    }

    /// # Safety
    ///
    /// As [`Self::dump_callback`].
    unsafe extern "C" fn recover_callback(
        raw: *mut bindings::devlink_health_reporter,
        context: *mut c_void,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: By the contract, as in `diagnose_callback`.
        let (inner, error, extack) = unsafe {
            (
                Self::inner(raw),
                context.cast::<T::Error>().as_ref(),
                Extack::from_raw(extack),
            )
        };
        // Interfaces, and with them ports, may come or go.
        let _held = inner.instance.owner().enter();
        errno(inner.reporter.recover(error, extack))
    }

    /// # Safety
    ///
    /// As [`Self::diagnose_callback`]; `extack` is the caller's or null.
    unsafe extern "C" fn test_callback(
        raw: *mut bindings::devlink_health_reporter,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: By the contract, as in `diagnose_callback`.
        let (inner, extack) = unsafe { (Self::inner(raw), Extack::from_raw(extack)) };
        errno(inner.reporter.test(extack))
    }
}

impl<T: Reporter> Drop for Health<T> {
    fn drop(&mut self) {
        let _locked = self.inner.instance.lock_unless_held();
        // SAFETY: By the invariants. The lock is held.
        unsafe { bindings::devl_health_reporter_destroy(self.raw.as_ptr()) }
    }
}
