// SPDX-License-Identifier: GPL-2.0-only

//! Synchronisation that the kernel crate has no wrapper for: a completion that can be waited for with a time limit and used again,
//! a semaphore with permits, and one for many readers or one writer.

use kernel::{
    prelude::*,
    types::{NotThreadSafe, Opaque}, //
};
use oxnic_bindings as bindings;

/// `struct completion`. Locks by itself.
#[pin_data]
pub struct Completion {
    #[pin]
    inner: Opaque<bindings::completion>,
}

// SAFETY: A `struct completion` may be used from any task.
unsafe impl Send for Completion {}
// SAFETY: A `struct completion` may be used by several tasks at the same time.
unsafe impl Sync for Completion {}

impl Completion {
    /// A completion that is not done.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- Opaque::ffi_init(|slot: *mut bindings::completion| {
                // SAFETY: `slot` is valid for writing and pinned.
                unsafe { bindings::init_completion(slot) }
            }),
        })
    }

    /// Makes it not done again. Nobody may be waiting.
    pub fn reinit(&self) {
        // SAFETY: The completion was initialised.
        unsafe { bindings::reinit_completion(self.inner.get()) }
    }

    /// Wakes one waiter, now or later. May be called in any context.
    pub fn complete(&self) {
        // SAFETY: The completion was initialised.
        unsafe { bindings::complete(self.inner.get()) }
    }

    /// Wakes all waiters, now and ever. May be called in any context.
    pub fn complete_all(&self) {
        // SAFETY: The completion was initialised.
        unsafe { bindings::complete_all(self.inner.get()) }
    }

    /// Sleeps until it is done, at most so many milliseconds; says whether it was done.
    pub fn wait_timeout_ms(&self, ms: u32) -> bool {
        // SAFETY: Conversion without side effects.
        let jiffies = unsafe { bindings::__msecs_to_jiffies(ms) }.max(1);
        // SAFETY: The completion was initialised.
        unsafe { bindings::wait_for_completion_timeout(self.inner.get(), jiffies) != 0 }
    }
}

/// `struct semaphore`: a number of permits. Locks by itself.
#[pin_data]
pub struct Semaphore {
    #[pin]
    inner: Opaque<bindings::semaphore>,
}

// SAFETY: A `struct semaphore` may be used from any task.
unsafe impl Send for Semaphore {}
// SAFETY: A `struct semaphore` may be used by several tasks at the same time.
unsafe impl Sync for Semaphore {}

impl Semaphore {
    /// A semaphore with so many permits.
    pub fn new(permits: u16) -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- Opaque::ffi_init(move |slot: *mut bindings::semaphore| {
                // SAFETY: `slot` is valid for writing and pinned.
                unsafe { bindings::sema_init(slot, permits.into()) }
            }),
        })
    }

    /// Takes a permit; sleeps until there is one, at most so many milliseconds. Says whether it got one.
    #[must_use]
    pub fn acquire_timeout_ms(&self, ms: u32) -> bool {
        // SAFETY: Conversion without side effects.
        let jiffies = unsafe { bindings::__msecs_to_jiffies(ms) }.clamp(1, i32::MAX as usize);
        // SAFETY: The semaphore was initialised.
        unsafe { bindings::down_timeout(self.inner.get(), jiffies as isize) == 0 }
    }

    /// Gives a permit back. May be called in any context.
    pub fn release(&self) {
        // SAFETY: The semaphore was initialised.
        unsafe { bindings::up(self.inner.get()) }
    }
}

/// `struct rw_semaphore`: many readers, or one writer that waits for them. Taken and given back by one task, which may sleep.
///
/// It guards no data of its own: it keeps what is done under it apart.
#[pin_data]
pub struct RwSemaphore {
    #[pin]
    inner: Opaque<bindings::rw_semaphore>,
}

// SAFETY: A `struct rw_semaphore` may be used from any task.
unsafe impl Send for RwSemaphore {}
// SAFETY: A `struct rw_semaphore` may be used by several tasks at the same time.
unsafe impl Sync for RwSemaphore {}

impl RwSemaphore {
    /// One that nobody has. All of them are one class to lockdep.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- Opaque::ffi_init(|slot: *mut bindings::rw_semaphore| {
                // SAFETY: `slot` is valid for writing and pinned.
                unsafe { bindings::init_rwsem(slot) }
            }),
        })
    }

    /// Takes it beside other readers, until the answer is dropped. Sleeps while a writer has it or waits for it.
    pub fn read(&self) -> Reading<'_> {
        // SAFETY: The semaphore was initialised.
        unsafe { bindings::down_read(self.inner.get()) };
        Reading(self, NotThreadSafe)
    }

    /// Takes it alone, until the answer is dropped. Sleeps while anybody has it.
    pub fn write(&self) -> Writing<'_> {
        // SAFETY: The semaphore was initialised.
        unsafe { bindings::down_write(self.inner.get()) };
        Writing(self, NotThreadSafe)
    }
}

/// Nobody writes meanwhile.
#[must_use = "it is given back at once otherwise"]
pub struct Reading<'a>(&'a RwSemaphore, NotThreadSafe);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        // SAFETY: It was taken by this task.
        unsafe { bindings::up_read(self.0.inner.get()) }
    }
}

/// Nobody else has it.
#[must_use = "it is given back at once otherwise"]
pub struct Writing<'a>(&'a RwSemaphore, NotThreadSafe);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // SAFETY: It was taken by this task.
        unsafe { bindings::up_write(self.0.inner.get()) }
    }
}

#[cfg(CONFIG_KUNIT)]
#[kunit_tests(oxnic_kapi_sync)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_wakes_once_and_can_be_used_again() -> Result {
        let done = KBox::pin_init(Completion::new(), GFP_KERNEL)?;
        assert!(!done.wait_timeout_ms(1));
        done.complete();
        assert!(done.wait_timeout_ms(1));
        assert!(!done.wait_timeout_ms(1));
        done.complete();
        done.reinit();
        assert!(!done.wait_timeout_ms(1));
        done.complete_all();
        assert!(done.wait_timeout_ms(1) && done.wait_timeout_ms(1));
        Ok(())
    }

    #[test]
    fn a_semaphore_gives_as_many_permits_as_it_has() -> Result {
        let permits = KBox::pin_init(Semaphore::new(2), GFP_KERNEL)?;
        assert!(permits.acquire_timeout_ms(1) && permits.acquire_timeout_ms(1));
        assert!(!permits.acquire_timeout_ms(1));
        permits.release();
        assert!(permits.acquire_timeout_ms(1));
        Ok(())
    }

    #[test]
    fn a_reader_keeps_writers_out_and_a_writer_is_alone() -> Result {
        let semaphore = KBox::pin_init(RwSemaphore::new(), GFP_KERNEL)?;
        let free = || {
            // SAFETY: The semaphore was initialised; it is given back where it was taken.
            unsafe {
                let taken = bindings::down_write_trylock(semaphore.inner.get()) == 1;
                if taken {
                    bindings::up_write(semaphore.inner.get());
                }
                taken
            }
        };
        // A second reader would have to be another task: lockdep forbids it to one.
        let reading = semaphore.read();
        assert!(!free());
        drop(reading);
        assert!(free());
        let alone = semaphore.write();
        assert!(!free());
        drop(alone);
        assert!(free());
        Ok(())
    }
}
