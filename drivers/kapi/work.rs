// SPDX-License-Identifier: GPL-2.0-only

//! Work that runs later, in a task of the kernel's work queues, and can be stopped for good.
//!
//! A [`Task`] belongs to an object (and is usually a field of it), and keeps a reference to it while it is scheduled or runs.
//! So there is no cycle when it is idle, and an object that schedules itself again and again lives until [`Task::stop`].

use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::{
    prelude::*,
    sync::Arc,
    types::Opaque, //
};
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
        let first = self.0.owner.compare_exchange(
            core::ptr::null_mut(),
            raw,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
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

#[cfg(CONFIG_KUNIT)]
#[kunit_tests(oxnic_kapi_work)]
mod tests {
    use super::*;
    use kernel::sync::atomic::{Atomic, Relaxed};

    struct Object {
        task: Task<Object>,
        runs: Atomic<u32>,
    }

    fn object(run: fn(&Arc<Object>)) -> Result<Arc<Object>> {
        Ok(Arc::new(
            Object {
                task: Task::new(run)?,
                runs: Atomic::new(0),
            },
            GFP_KERNEL,
        )?)
    }

    fn count(this: &Arc<Object>) {
        this.runs.add(1, Relaxed);
    }

    fn wait(object: &Object, runs: u32) -> Result {
        crate::time::poll(5000, || {
            Ok((object.runs.load(Relaxed) >= runs).then_some(()))
        })
    }

    #[test]
    fn a_task_runs_once_for_each_time_it_is_scheduled() -> Result {
        let object = object(count)?;
        object.task.schedule(&object);
        wait(&object, 1)?;
        object.task.schedule(&object);
        wait(&object, 2)?;
        object.task.stop();
        assert_eq!(object.runs.load(Relaxed), 2);
        Ok(())
    }

    #[test]
    fn a_stopped_task_never_runs_and_holds_no_reference() -> Result {
        let object = object(count)?;
        object.task.schedule_after(&object, 60_000);
        object.task.schedule_after(&object, 60_000);
        object.task.stop();
        object.task.schedule(&object);
        assert_eq!(object.runs.load(Relaxed), 0);
        assert!(Arc::into_unique_or_drop(object).is_some());
        Ok(())
    }

    #[test]
    fn a_task_that_schedules_itself_ends_when_it_is_stopped() -> Result {
        let object = object(|this| {
            this.runs.add(1, Relaxed);
            this.task.schedule_after(this, 1);
        })?;
        object.task.schedule(&object);
        wait(&object, 3)?;
        object.task.stop();
        let runs = object.runs.load(Relaxed);
        kernel::time::delay::fsleep(kernel::time::Delta::from_millis(10));
        assert_eq!(object.runs.load(Relaxed), runs);
        assert!(Arc::into_unique_or_drop(object).is_some());
        Ok(())
    }

    #[test]
    fn the_last_reference_may_be_the_tasks_own() -> Result {
        let object = object(count)?;
        object.task.schedule_after(&object, 5);
        drop(object);
        kernel::time::delay::fsleep(kernel::time::Delta::from_millis(50));
        Ok(())
    }

    #[test]
    fn a_task_serves_one_object_only() -> Result {
        let (object, other) = (object(count)?, self::object(count)?);
        object.task.schedule(&object);
        wait(&object, 1)?;
        object.task.schedule(&other);
        object.task.stop();
        assert_eq!(other.runs.load(Relaxed), 0);
        assert!(Arc::into_unique_or_drop(other).is_some());
        Ok(())
    }
}
