// SPDX-License-Identifier: GPL-2.0-only

//! Interrupt moderation that adapts to the traffic, by the kernel's own algorithm (net_dim).
//!
//! The NAPI poll gives it a sample when it is about to arm the interrupt; where the algorithm arrives at another setting, a
//! work item applies it, which may sleep. Sampling is for one context at a time; the work item runs beside it, and the
//! algorithm's own state says whose turn it is.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;
use oxnic_bindings as bindings;

/// What applies a setting; runs in a work item.
pub trait Apply: Send + Sync + 'static {
    /// At most so many microseconds of delay, none after so many packets.
    fn apply(&self, microseconds: u16, packets: u16);
}

/// Which direction's profiles are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Receive.
    Receive,
    /// Transmit.
    Transmit,
}

/// Adaptive moderation of one queue.
#[pin_data(PinnedDrop)]
pub struct Adaptive<T: Apply> {
    #[pin]
    dim: Opaque<bindings::dim>,
    enabled: AtomicBool,
    direction: Direction,
    // Of the sampler.
    events: UnsafeCell<u16>,
    target: T,
}

// SAFETY: The algorithm's state is handed between sampler and work item by itself; `events` belongs to the one [`Sampler`].
unsafe impl<T: Apply> Send for Adaptive<T> {}
// SAFETY: As above.
unsafe impl<T: Apply> Sync for Adaptive<T> {}

/// The right to give samples; there is one for each [`Adaptive`].
pub struct Sampler<T: Apply>(Arc<Adaptive<T>>);

impl<T: Apply> Adaptive<T> {
    /// Off at first.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub fn new(direction: Direction, target: T) -> Result<(Arc<Self>, Sampler<T>)> {
        let this = Arc::pin_init(
            pin_init!(Self {
                dim <- Opaque::ffi_init(|slot: *mut bindings::dim| {
                    // SAFETY: The slot is ours; all zero is the algorithm's state before its first sample, and the work
                    // item's function takes what is embedded in an `Adaptive<T>`.
                    unsafe {
                        slot.write_bytes(0, 1);
                        bindings::dim_init(slot, Some(Self::work_callback));
                    }
                }),
                enabled: AtomicBool::new(false),
                direction,
                events: UnsafeCell::new(0),
                target,
            }),
            GFP_KERNEL,
        )?;
        Ok((this.clone(), Sampler(this)))
    }

    /// Turns it on or off.
    pub fn set_enabled(&self, on: bool) {
        self.enabled.store(on, Relaxed);
    }

    /// Whether it is on.
    #[inline]
    pub fn is_enabled(&self) -> bool {
        self.enabled.load(Relaxed)
    }

    /// No setting is being applied when this returns, nor will one be until the next sample. Sleeps; not with a lock held
    /// that applying takes.
    pub fn cancel(&self) {
        // SAFETY: The work item was initialised.
        unsafe { bindings::cancel_work_sync(&raw mut (*self.dim.get()).work) };
        // SAFETY: The work item does not run, and the caller has stopped sampling; else at worst one change is missed.
        unsafe { bindings::dim_restart(self.dim.get()) };
    }

    /// # Safety
    ///
    /// `work` is that of the algorithm's state in an `Adaptive<T>`, which is alive until the work item has ended.
    unsafe extern "C" fn work_callback(work: *mut bindings::work_struct) {
        // SAFETY: By the contract.
        let dim = unsafe { kernel::container_of!(work, bindings::dim, work) };
        // SAFETY: By the contract.
        let this = unsafe { &*kernel::container_of!(Opaque::cast_from(dim), Self, dim) };
        // SAFETY: While the work item runs the algorithm does not change these.
        let (mode, index) = unsafe { ((*dim).mode, i32::from((*dim).profile_ix)) };
        // SAFETY: Mode and index are those that the algorithm keeps.
        let profile = unsafe {
            match this.direction {
                Direction::Receive => bindings::net_dim_get_rx_moderation(mode, index),
                Direction::Transmit => bindings::net_dim_get_tx_moderation(mode, index),
            }
        };
        if this.is_enabled() {
            this.target.apply(profile.usec, profile.pkts);
        }
        // SAFETY: This ends the work item's turn.
        unsafe { bindings::dim_restart(this.dim.get()) };
    }
}

impl<T: Apply> Sampler<T> {
    /// A poll has ended; these are the totals of the queue.
    #[inline]
    pub fn sample(&mut self, packets: u64, bytes: u64) {
        if self.0.is_enabled() {
            self.take(packets, bytes);
        }
    }

    fn take(&mut self, packets: u64, bytes: u64) {
        // SAFETY: There is one sampler, and it is ours exclusively.
        let events = unsafe { &mut *self.0.events.get() };
        *events = events.wrapping_add(1);
        // SAFETY: The state is initialised, and this is the only sampler.
        unsafe { bindings::dim_sample(self.0.dim.get(), *events, packets, bytes) };
    }
}

#[pinned_drop]
impl<T: Apply> PinnedDrop for Adaptive<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The work item was initialised; after this it does not run.
        unsafe { bindings::cancel_work_sync(&raw mut (*self.dim.get()).work) };
    }
}
