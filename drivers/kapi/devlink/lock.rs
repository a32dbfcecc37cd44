// SPDX-License-Identifier: GPL-2.0-only

//! The lock of an instance, and who holds it.
//!
//! A port goes when the last that knows it lets go: a network device, which may happen with the lock held (a change of the
//! eswitch mode) or without (removal of the function). C has a function for either case. So that neither the driver nor its
//! types need to keep track, the instance notes the task that holds the lock by way of this module; only that task ever
//! finds its own name there, and [`Instance::lock_unless_held`] takes the lock for any other.

use super::Instance;
use core::{ffi::c_void, marker::PhantomData, ptr};
use kernel::{
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, //
    },
    task::Task,
};
use oxnic_bindings as bindings;

/// The task that holds the lock, as far as this module knows; null: none.
pub(super) struct Owner(Atomic<*mut c_void>);

impl Owner {
    pub(super) fn none() -> Self {
        Self(Atomic::new(ptr::null_mut()))
    }

    /// Whether the running task holds the lock.
    pub(super) fn is_current(&self) -> bool {
        // Only this task writes its own name and takes it away, so that no order is needed.
        self.0.load(Relaxed) == Task::current_raw().cast()
    }

    /// The running task holds the lock, which C has taken for it, until the result is dropped.
    pub(super) fn enter(&self) -> Held<'_> {
        self.0.store(Task::current_raw().cast(), Relaxed);
        Held(self, PhantomData)
    }
}

/// That the running task is noted as holding the lock. Stays in the task.
pub(super) struct Held<'a>(&'a Owner, PhantomData<*mut ()>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0 .0.store(ptr::null_mut(), Relaxed);
    }
}

/// The lock of an instance, held until dropped. Stays in the task that took it.
///
/// It is taken before RTNL, and with the lock of the bound device held or not.
pub struct Guard<'a> {
    instance: &'a Arc<Instance>,
    _not_send: PhantomData<*mut ()>,
}

impl<'a> Guard<'a> {
    pub(super) fn new(instance: &'a Arc<Instance>) -> Self {
        // SAFETY: The instance is allocated.
        unsafe { bindings::devl_lock(instance.raw()) };
        core::mem::forget(instance.owner().enter());
        Self {
            instance,
            _not_send: PhantomData,
        }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        drop(Held(self.instance.owner(), PhantomData));
        // SAFETY: `new` took the lock, in this task.
        unsafe { bindings::devl_unlock(self.instance.raw()) }
    }
}
