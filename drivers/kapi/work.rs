// SPDX-License-Identifier: GPL-2.0-only

//! Work that runs later, in a task of the kernel's work queues, and can be stopped for good.
//!
//! A [`Task`] belongs to an object (and is usually a field of it), and keeps a reference to it while it is scheduled or runs.
//! So there is no cycle when it is idle, and an object that schedules itself again and again lives until [`Task::stop`].

use kernel::{
    prelude::*,
    sync::Arc,
    types::Opaque, //
};
use core::sync::atomic::{AtomicPtr, Ordering};
use oxnic_bindings as bindings;

#[pin_data]
struct Inner<T: Send + Sync + 'static> {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    /// The object that the task was scheduled for first, and the only one it may be scheduled for.
    owner: AtomicPtr<T>,
    run: fn(&Arc<T>),
}

/// A function to be run on an object, at most once at a time.
pub struct Task<T: Send + Sync + 'static>(Pin<KBox<Inner<T>>>);

// SAFETY: Work items may be queued, run and cancelled by any task, and what is handed over is an `Arc` of a `Send + Sync` type.
unsafe impl<T: Send + Sync + 'static> Send for Task<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync + 'static> Sync for Task<T> {}

impl<T: Send + Sync + 'static> Task<T> {
    /// A task that runs `run`, which may sleep.
    pub fn new(run: fn(&Arc<T>)) -> Result<Self> {
        let inner = KBox::pin_init(
            pin_init!(Inner {
                work <- Opaque::ffi_init(|slot: *mut bindings::delayed_work| {
                    // SAFETY: `slot` is valid for writing and pinned; the callback expects work within an `Inner<T>`.
                    unsafe { bindings::oxnic_init_delayed_work(slot, Some(Self::callback)) }
                }),
                owner: AtomicPtr::new(core::ptr::null_mut()),
                run,
            }),
            GFP_KERNEL,
        )?;
        Ok(Self(inner))
    }

    /// Runs the task on `owner` soon. See [`Self::schedule_after`].
    pub fn schedule(&self, owner: &Arc<T>) {
        self.schedule_after(owner, 0);
    }

    /// Runs the task on `owner` in so many milliseconds. Does nothing if it is scheduled already (being under way does not
    /// count as that), or stopped. May be called in any context. All calls must name the same object; others are ignored.
    pub fn schedule_after(&self, owner: &Arc<T>, ms: u32) {
        let raw = Arc::into_raw(owner.clone()).cast_mut();
        let first = self.0.owner.compare_exchange(core::ptr::null_mut(), raw, Ordering::AcqRel, Ordering::Acquire);
        let ours = first.is_ok() || first == Err(raw);
        // SAFETY: The work was initialised; the reference that it takes, if it does, is `raw`'s.
        let taken = ours && unsafe { bindings::oxnic_queue_work(self.0.work.get(), ms) };
        if !taken {
            // SAFETY: Of `into_raw` above, and not handed over.
            drop(unsafe { Arc::from_raw(raw) });
        }
    }

    /// Cancels the task and waits until it does not run any more; it never runs again. Not to be called by the task itself.
    pub fn stop(&self) {
        // SAFETY: The work was initialised.
        if unsafe { bindings::disable_delayed_work_sync(self.0.work.get()) } {
            let raw = self.0.owner.load(Ordering::Acquire);
            // SAFETY: The work was pending, so the reference that was handed over to it is ours now.
            drop(unsafe { Arc::from_raw(raw) });
        }
    }

    /// # Safety
    ///
    /// Called by the work queue with the work of an `Inner<T>` that is alive, for which a reference was handed over.
    unsafe extern "C" fn callback(work: *mut bindings::work_struct) {
        // SAFETY: `work` is the field of a `delayed_work`, which is a field of an `Inner<T>`, by the contract.
        let inner = unsafe {
            let delayed = kernel::container_of!(work, bindings::delayed_work, work);
            &*kernel::container_of!(Opaque::cast_from(delayed), Inner<T>, work)
        };
        let raw = inner.owner.load(Ordering::Acquire);
        let run = inner.run;
        // SAFETY: The reference that was handed over by `schedule_after`. It may be the last one, and the task may be part
        // of the object: `inner` is not used after this.
        let owner = unsafe { Arc::from_raw(raw) };
        run(&owner);
    }
}

impl<T: Send + Sync + 'static> Drop for Task<T> {
    fn drop(&mut self) {
        // SAFETY: Asks only which work this task runs.
        let current = unsafe { bindings::current_work() };
        // The last reference to the object may be the one that the running task drops: it cannot wait for itself, and need
        // not, since it does not touch the work any more, and nobody is left who could have scheduled it.
        if current.cast() != self.0.work.get() {
            self.stop();
        }
    }
}
