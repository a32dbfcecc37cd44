// SPDX-License-Identifier: GPL-2.0-only

//! PTP hardware clocks: what user space sees as `/dev/ptpN`.
//!
//! A [`Registration`] owns the driver's [`Operations`] and the table that the core keeps a pointer to. Dropping it takes the
//! clock from user space first, which waits for operations under way; who still has it open gets `ENODEV`.

use crate::callback::errno;
use crate::pci::Binding;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::{error::from_err_ptr, prelude::*, types::Opaque};
use oxnic_bindings as bindings;

/// Nanoseconds of a second.
const NSEC_PER_SEC: u64 = 1_000_000_000;

/// What a driver does for its clock. The core calls all of it from a task, at the same time for several callers; it may
/// sleep. Times are in nanoseconds.
pub trait Operations: Send + Sync + 'static {
    /// The time. The access that reads it is to be passed to [`SystemTimestamps::around`].
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn gettimex64(&self, system: SystemTimestamps<'_>) -> Result<u64>;

    /// Sets the time.
    ///
    /// # Errors
    ///
    /// As for the next two: the clock is as before. [`EOPNOTSUPP`]: it can only be read.
    fn settime64(&self, time: u64) -> Result;

    /// Adds to the time.
    ///
    /// # Errors
    ///
    /// See [`Self::settime64`].
    fn adjtime(&self, delta: i64) -> Result;

    /// Lets it run faster than nominal by so many parts in 10^6, times 2^16. The core has checked it against
    /// [`Parameters::max_adj`].
    ///
    /// # Errors
    ///
    /// See [`Self::settime64`].
    fn adjfine(&self, scaled_ppm: i64) -> Result;
}

/// The host's time before and after the clock is read, if the caller wants to know.
pub struct SystemTimestamps<'a>(
    *mut bindings::ptp_system_timestamp,
    PhantomData<&'a mut bindings::ptp_system_timestamp>,
);

impl SystemTimestamps<'_> {
    /// Runs `read`, which is to be the one access to the clock, with the host's time taken right before and after.
    pub fn around<R>(self, read: impl FnOnce() -> R) -> R {
        // SAFETY: Null, or the caller's for as long as `self` lives; the helper looks.
        unsafe { bindings::ptp_read_system_prets(self.0) };
        let result = read();
        // SAFETY: As above.
        unsafe { bindings::ptp_read_system_postts(self.0) };
        result
    }
}

/// What a clock is registered with.
pub struct Parameters<'a> {
    /// Its name, for people; cut at 31 bytes.
    pub name: &'a CStr,
    /// Furthest that its rate can be set off the nominal one, in parts in 10^9.
    pub max_adj: i32,
}

/// What the core has a pointer to.
#[repr(C)]
struct Inner<T> {
    // First, so that a pointer to it is one to the whole.
    info: Opaque<bindings::ptp_clock_info>,
    operations: T,
}

/// A clock that user space sees.
///
/// # Invariants
///
/// `clock` was registered with `inner.info`, and has not been unregistered.
pub struct Registration<T: Operations> {
    clock: NonNull<bindings::ptp_clock>,
    _inner: Pin<KBox<Inner<T>>>,
    // Keeps the parent bound.
    _binding: Binding,
}

// SAFETY: The core locks by itself, and `T` is `Send` and `Sync`.
unsafe impl<T: Operations> Send for Registration<T> {}
// SAFETY: As above.
unsafe impl<T: Operations> Sync for Registration<T> {}

impl<T: Operations> Registration<T> {
    /// Registers a clock below the bound device. Operations may be called before this returns. Sleeps.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], and whatever else the core fails with; [`EOPNOTSUPP`]: the kernel has no clocks.
    pub fn new(binding: &Binding, parameters: &Parameters<'_>, operations: T) -> Result<Self> {
        let inner = Inner {
            info: Opaque::new(Self::info(parameters)),
            operations,
        };
        let inner = KBox::pin(inner, GFP_KERNEL)?;
        // SAFETY: The table is complete and stays where it is; the parent is bound for as long as the clock lives.
        let clock = unsafe { bindings::ptp_clock_register(inner.info.get(), binding.raw_device()) };
        let clock = NonNull::new(from_err_ptr(clock)?).ok_or(EOPNOTSUPP)?;
        // INVARIANT: Just registered.
        Ok(Self {
            clock,
            _inner: inner,
            _binding: binding.clone(),
        })
    }

    fn info(parameters: &Parameters<'_>) -> bindings::ptp_clock_info {
        let mut info = bindings::ptp_clock_info {
            max_adj: parameters.max_adj,
            gettimex64: Some(Self::gettimex64_callback),
            settime64: Some(Self::settime64_callback),
            adjtime: Some(Self::adjtime_callback),
            adjfine: Some(Self::adjfine_callback),
            ..Default::default()
        };
        let room = info.name.len() - 1;
        for (to, from) in info.name[..room].iter_mut().zip(parameters.name.to_bytes()) {
            *to = *from as c_char;
        }
        info
    }

    /// The N of `/dev/ptpN`.
    pub fn index(&self) -> i32 {
        // SAFETY: By the type invariant.
        unsafe { bindings::ptp_clock_index(self.clock.as_ptr()) }
    }

    /// # Safety
    ///
    /// `info` is that of a registered clock with operations of type `T`, and stays so for `'a`.
    unsafe fn operations<'a>(info: *mut bindings::ptp_clock_info) -> &'a T {
        // SAFETY: The table is the first member of `Inner<T>`, which is not changed while the clock is registered.
        unsafe { &(*info.cast::<Inner<T>>()).operations }
    }

    /// # Safety
    ///
    /// The core calls this for a registered clock, which is not unregistered before it returns; `time` and, where it is
    /// not null, `system` are the caller's.
    unsafe extern "C" fn gettimex64_callback(
        info: *mut bindings::ptp_clock_info,
        time: *mut bindings::timespec64,
        system: *mut bindings::ptp_system_timestamp,
    ) -> c_int {
        // SAFETY: By the contract of this function.
        let operations = unsafe { Self::operations(info) };
        match operations.gettimex64(SystemTimestamps(system, PhantomData)) {
            Ok(now) => {
                // SAFETY: By the contract of this function.
                unsafe {
                    (*time).tv_sec = (now / NSEC_PER_SEC) as i64;
                    (*time).tv_nsec = (now % NSEC_PER_SEC) as c_long;
                }
                0
            }
            Err(error) => error.to_errno(),
        }
    }

    /// # Safety
    ///
    /// As [`Self::gettimex64_callback`].
    unsafe extern "C" fn settime64_callback(
        info: *mut bindings::ptp_clock_info,
        time: *const bindings::timespec64,
    ) -> c_int {
        // SAFETY: By the contract of this function.
        let (operations, time) = unsafe { (Self::operations(info), &*time) };
        errno(nanoseconds(time.tv_sec, time.tv_nsec).and_then(|time| operations.settime64(time)))
    }

    /// # Safety
    ///
    /// As [`Self::gettimex64_callback`].
    unsafe extern "C" fn adjtime_callback(
        info: *mut bindings::ptp_clock_info,
        delta: i64,
    ) -> c_int {
        // SAFETY: By the contract of this function.
        errno(unsafe { Self::operations(info) }.adjtime(delta))
    }

    /// # Safety
    ///
    /// As [`Self::gettimex64_callback`].
    unsafe extern "C" fn adjfine_callback(
        info: *mut bindings::ptp_clock_info,
        scaled_ppm: c_long,
    ) -> c_int {
        // SAFETY: By the contract of this function.
        errno(unsafe { Self::operations(info) }.adjfine(scaled_ppm as i64))
    }
}

impl<T: Operations> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. No operation runs after this, so the table and its owner can go.
        unsafe { bindings::ptp_clock_unregister(self.clock.as_ptr()) };
    }
}

/// A time in nanoseconds.
///
/// # Errors
///
/// [`ERANGE`]: before 0, or later than 64 bits hold; no time of day.
fn nanoseconds(seconds: i64, nanoseconds: c_long) -> Result<u64> {
    let part = u64::try_from(nanoseconds).map_err(|_| ERANGE)?;
    let whole = u64::try_from(seconds).map_err(|_| ERANGE)?;
    if part >= NSEC_PER_SEC {
        return Err(ERANGE);
    }
    whole
        .checked_mul(NSEC_PER_SEC)
        .and_then(|whole| whole.checked_add(part))
        .ok_or(ERANGE)
}

#[cfg(CONFIG_KUNIT)]
#[kunit_tests(oxnic_kapi_ptp)]
mod tests {
    use super::*;

    #[test]
    fn times_before_zero_and_beyond_64_bits_are_refused() {
        assert_eq!(nanoseconds(2, 5), Ok(2_000_000_005));
        assert_eq!(nanoseconds(-1, 5), Err(ERANGE));
        assert_eq!(nanoseconds(1, -5), Err(ERANGE));
        assert_eq!(nanoseconds(1, 1_000_000_000), Err(ERANGE));
        assert_eq!(nanoseconds(18_446_744_073, 709_551_615), Ok(u64::MAX));
        assert_eq!(nanoseconds(18_446_744_073, 709_551_616), Err(ERANGE));
    }

    #[test]
    fn without_a_place_for_system_time_the_clock_is_read_all_the_same() {
        let system = SystemTimestamps(core::ptr::null_mut(), PhantomData);
        assert_eq!(system.around(|| 7), 7);
    }

    #[test]
    fn system_times_enclose_the_read() {
        let mut raw = bindings::ptp_system_timestamp::default();
        let system = SystemTimestamps(&mut raw, PhantomData);
        system.around(|| ());
        assert!(raw.post_sts.systime >= raw.pre_sts.systime);
        assert!(raw.pre_sts.systime != 0);
    }
}
