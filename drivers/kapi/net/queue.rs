// SPDX-License-Identifier: GPL-2.0-only

//! Transmit queues of the networking core: the driver's state of each ([`TxSlots`]), flow control and byte queue limits
//! ([`TxQueue`]), and statistics by queue ([`Stats`]).

use super::napi::Context;
use super::netdev::{data, Device, DeviceRef, Locked, Operations};
use super::stats::{RxQueueStats, TxQueueStats};
use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::prelude::*;
use oxnic_bindings as bindings;

/// The driver's state of each transmit queue of a device.
///
/// Slot `i` is guarded by the lock of transmit queue `i`, which the core holds while it calls the transmit operation; so the
/// operation has the state to itself, and changing a slot waits for an operation under way.
pub struct TxSlots<Q> {
    slots: KVec<Cell<*mut Q>>,
    /// The device whose locks guard them, and to whose queues they belong; only compared.
    device: *const bindings::net_device,
}

// SAFETY: What the slots own is `Send`, and is only reached under the lock of the queue of the device that they belong to. A slot
// itself is only changed with that device's instance lock held, too.
unsafe impl<Q: Send> Send for TxSlots<Q> {}
// SAFETY: As above.
unsafe impl<Q: Send> Sync for TxSlots<Q> {}

impl<Q> TxSlots<Q> {
    /// So many slots, guarded by the locks of this device.
    pub(super) fn new(device: *const bindings::net_device, count: usize) -> Result<Self> {
        let mut slots = KVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            slots.push(Cell::new(core::ptr::null_mut()), GFP_KERNEL)?;
        }
        Ok(Self { slots, device })
    }

    /// The state in slot `index`, if there is one.
    ///
    /// # Safety
    ///
    /// The lock of transmit queue `index` is held for the lifetime of the result.
    #[inline(always)]
    pub(super) unsafe fn get(&self, index: usize) -> Option<&mut Q> {
        // SAFETY: The slot owns what it points to, and the lock makes access exclusive.
        unsafe { self.slots.get(index)?.get().as_mut() }
    }

    /// Works on the state in slot `index` under its lock, beside the core's own senders. `None`: there is no state.
    ///
    /// # Safety
    ///
    /// Bottom halves are disabled, and no lock of a transmit queue is held. The slots are those of `device`.
    #[inline]
    pub(super) unsafe fn with<R>(
        &self,
        device: &Device,
        index: u16,
        f: impl FnOnce(&mut Q) -> R,
    ) -> Option<R> {
        let queue = device.tx_queue(index).ok()?;
        // SAFETY: The queue is valid, bottom halves are disabled.
        unsafe { bindings::oxnic_xdp_tx_lock(queue.as_ptr()) };
        // SAFETY: The lock was just taken.
        let result = unsafe { self.get(index.into()) }.map(f);
        // SAFETY: As above.
        unsafe { bindings::oxnic_xdp_tx_unlock(queue.as_ptr()) };
        result
    }

    /// A slot, and the transmit queue whose lock guards it.
    fn slot(
        &self,
        device: &Locked,
        index: u16,
    ) -> Result<(&Cell<*mut Q>, NonNull<bindings::netdev_queue>)> {
        if !core::ptr::eq(device.as_raw(), self.device) {
            return Err(EINVAL);
        }
        let slot = self.slots.get(usize::from(index)).ok_or(EINVAL)?;
        Ok((slot, device.tx_queue(index)?))
    }

    fn exchange(&self, device: &Locked, index: u16, new: *mut Q) -> Result<*mut Q> {
        let (slot, queue) = self.slot(device, index)?;
        // SAFETY: The queue is valid as long as the device is.
        unsafe { bindings::netif_tx_lock_bh(queue.as_ptr()) };
        let old = slot.replace(new);
        // SAFETY: The lock was taken above.
        unsafe { bindings::netif_tx_unlock_bh(queue.as_ptr()) };
        Ok(old)
    }

    /// Puts a queue's state in place.
    ///
    /// # Errors
    ///
    /// [`EINVAL`]: no such queue, or another device's; the state is dropped.
    pub fn install(&self, device: &Locked, index: u16, state: KBox<Q>) -> Result {
        let new = KBox::into_raw(state);
        match self.exchange(device, index, new) {
            Ok(old) => drop(Self::own(old)),
            Err(error) => {
                drop(Self::own(new));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes a queue's state out. No transmit operation uses it any more.
    pub fn remove(&self, device: &Locked, index: u16) -> Option<KBox<Q>> {
        Self::own(self.exchange(device, index, core::ptr::null_mut()).ok()?)
    }

    /// Byte queue limits of a queue without state start afresh: what was queued and not completed will never be. If they had stopped
    /// it, it would stay so until it is used again, and the core's watchdog looks at all queues, used or not. To be called once no
    /// poll completes packets of the queue any more, as the core ends the system where more is completed than was sent.
    pub fn settle(&self, device: &Locked, index: u16) {
        let Ok((slot, queue)) = self.slot(device, index) else {
            return;
        };
        if slot.get().is_null() {
            // SAFETY: The queue is valid as long as the device is. Without state nothing is queued, and slots do not change while the
            // instance lock is held.
            unsafe { bindings::netdev_tx_reset_queue(queue.as_ptr()) };
        }
    }

    /// Takes over what a slot held.
    fn own(raw: *mut Q) -> Option<KBox<Q>> {
        // SAFETY: Slots are filled from boxes only, and this one is no longer in a slot.
        (!raw.is_null()).then(|| unsafe { KBox::from_raw(raw) })
    }
}

impl<Q> Drop for TxSlots<Q> {
    fn drop(&mut self) {
        for slot in &self.slots {
            drop(Self::own(slot.replace(core::ptr::null_mut())));
        }
    }
}

/// A transmit queue: stopping and waking it, and byte queue limits.
///
/// Stopping is for the transmit operation, waking for the NAPI poll that completes; the two may run at the same time.
pub struct TxQueue {
    queue: NonNull<bindings::netdev_queue>,
    _device: DeviceRef,
}

// SAFETY: All operations on a queue are safe from any CPU; the device is kept by a reference.
unsafe impl Send for TxQueue {}
// SAFETY: As above.
unsafe impl Sync for TxQueue {}

impl TxQueue {
    /// Transmit queue `index` of the device.
    ///
    /// # Errors
    ///
    /// [`EINVAL`]: there is none.
    pub fn new(device: &Device, index: u16) -> Result<Self> {
        Ok(Self {
            queue: device.tx_queue(index)?,
            _device: device.into(),
        })
    }

    /// Accounts for a packet of so many bytes that was queued. True: the doorbell has to be rung now, since no other packet
    /// follows at once, or the queue is stopped.
    #[inline(always)]
    pub fn sent(&self, bytes: u32) -> bool {
        // SAFETY: The queue is valid; the caller is the transmit operation.
        unsafe { bindings::tx_sent(self.queue.as_ptr(), bytes) }
    }

    /// Whether another packet follows at once. For the transmit operation.
    pub fn more_follows(&self) -> bool {
        // SAFETY: No requirements.
        unsafe { bindings::netdev_xmit_more() }
    }

    /// Stops the queue unless there is `room` after all, which is looked at once more after stopping.
    #[cold]
    pub fn stop_unless(&self, room: impl FnOnce() -> bool) -> bool {
        // SAFETY: The queue is valid; the helper ends with a full barrier, so that either we see the room that a completion
        // makes, or the completion sees the stop.
        unsafe { bindings::tx_stop(self.queue.as_ptr()) };
        if room() {
            // Not only started: who sends for XDP is not the one that runs the queue for the stack, which may have found it stopped
            // meanwhile and gone. No completion would run it, as it is not stopped any more.
            // SAFETY: The queue is valid; waking it takes no lock that is held with that of the queue.
            unsafe { bindings::netif_tx_wake_queue(self.queue.as_ptr()) };
            return false;
        }
        true
    }

    /// Accounts for completed packets; wakes the queue if it was stopped and there is `room`.
    #[inline]
    pub fn completed(&self, packets: u32, bytes: u32, room: impl FnOnce() -> bool) -> bool {
        if packets == 0 {
            return false;
        }
        // SAFETY: The queue is valid; a full barrier is part of this.
        unsafe { bindings::netdev_txq_completed_mb(self.queue.as_ptr(), packets, bytes) };
        self.wake(room)
    }

    /// As [`Self::completed`], of what the queue does not account for.
    pub fn completed_frames(&self, room: impl FnOnce() -> bool) -> bool {
        // SAFETY: No requirements. Pairs with that in `stop_unless()`.
        unsafe { bindings::smp_mb() };
        self.wake(room)
    }

    /// Wakes the queue if it was stopped and there is `room`. A full barrier comes before.
    #[inline(always)]
    fn wake(&self, room: impl FnOnce() -> bool) -> bool {
        // SAFETY: The queue is valid.
        let state = unsafe { (&raw const (*self.queue.as_ptr()).state).read_volatile() };
        if state & (1 << bindings::netdev_queue_state_t___QUEUE_STATE_DRV_XOFF) != 0 && room() {
            // SAFETY: The queue is valid.
            unsafe { bindings::netif_tx_wake_queue(self.queue.as_ptr()) };
            return true;
        }
        false
    }
}

/// Access to the state of a transmit queue for NAPI polls, which send what XDP programs send back.
///
/// # Invariants
///
/// The slots are those in the private area of `device`. They are there as long as the reference to the device is, for which
/// unregistration waits before the area is dropped.
pub struct TxAccess<T: Operations> {
    slots: NonNull<TxSlots<T::TxQueue>>,
    device: DeviceRef,
    index: u16,
}

// SAFETY: The slots can be used by any CPU, under the lock of the queue.
unsafe impl<T: Operations> Send for TxAccess<T> {}

impl<T: Operations> TxAccess<T> {
    /// Access to transmit queue `index` of the device that `data` belongs to.
    ///
    /// # Errors
    ///
    /// [`EINVAL`]: it is another device's, or there is no such queue.
    pub fn new(device: &Device, data: &T, index: u16) -> Result<Self> {
        device.tx_queue(index)?;
        let slots = super::netdev::tx_slots(device, data)?;
        Ok(Self {
            slots: slots.into(),
            device: device.into(),
            index,
        })
    }

    /// Works on the state under the queue's lock. `None`: the queue is not set up.
    #[inline]
    pub fn with<R>(
        &self,
        _context: Context<'_>,
        f: impl FnOnce(&mut T::TxQueue) -> R,
    ) -> Option<R> {
        // SAFETY: The slots are valid by the type invariant. In a poll bottom halves are disabled; nobody polls with the lock of
        // a transmit queue held, but for netpoll, which has no context for drivers' receive side.
        unsafe { self.slots.as_ref().with(&self.device, self.index, f) }
    }
}

/// Statistics by queue, which together with what went before make those of the device. The instance lock is held.
pub trait Stats: Sized {
    /// Of receive queue `index`.
    fn rx_queue(&self, device: &Locked, index: u16) -> RxQueueStats;
    /// Of transmit queue `index`.
    fn tx_queue(&self, device: &Locked, index: u16) -> TxQueueStats;
    /// What no queue that is used now counts.
    fn base(&self, device: &Locked) -> (RxQueueStats, TxQueueStats);
}

pub(super) struct StatsVTable<T>(PhantomData<T>);

impl<T: Operations> StatsVTable<T> {
    pub(super) const OPERATIONS: bindings::netdev_stat_ops = bindings::netdev_stat_ops {
        get_queue_stats_rx: Some(Self::rx_callback),
        get_queue_stats_tx: Some(Self::tx_callback),
        get_base_stats: Some(Self::base_callback),
    };

    /// # Safety
    ///
    /// The core calls this with the instance lock held for a registered device; `stats` is the caller's.
    unsafe extern "C" fn rx_callback(
        dev: *mut bindings::net_device,
        index: core::ffi::c_int,
        stats: *mut bindings::netdev_queue_stats_rx,
    ) {
        // SAFETY: By the contract of this function.
        let (data, device, stats) = unsafe { (data::<T>(dev), Locked::from_raw(dev), &mut *stats) };
        data.rx_queue(device, index as u16).store(stats);
    }

    /// # Safety
    ///
    /// As [`Self::rx_callback`].
    unsafe extern "C" fn tx_callback(
        dev: *mut bindings::net_device,
        index: core::ffi::c_int,
        stats: *mut bindings::netdev_queue_stats_tx,
    ) {
        // SAFETY: By the contract of this function.
        let (data, device, stats) = unsafe { (data::<T>(dev), Locked::from_raw(dev), &mut *stats) };
        data.tx_queue(device, index as u16).store(stats);
    }

    /// # Safety
    ///
    /// As [`Self::rx_callback`].
    unsafe extern "C" fn base_callback(
        dev: *mut bindings::net_device,
        rx: *mut bindings::netdev_queue_stats_rx,
        tx: *mut bindings::netdev_queue_stats_tx,
    ) {
        // SAFETY: By the contract of this function.
        let (data, device, rx, tx) =
            unsafe { (data::<T>(dev), Locked::from_raw(dev), &mut *rx, &mut *tx) };
        let (base_rx, base_tx) = data.base(device);
        base_rx.store(rx);
        base_tx.store(tx);
    }
}

#[cfg(CONFIG_KUNIT)]
#[kernel::macros::kunit_tests(oxnic_kapi_tx_queues)]
mod tests {
    use super::*;
    use crate::net::netdev::fixture::Dummy;

    const STACK_XOFF: usize = 1 << bindings::netdev_queue_state_t___QUEUE_STATE_STACK_XOFF;
    const DRV_XOFF: usize = 1 << bindings::netdev_queue_state_t___QUEUE_STATE_DRV_XOFF;
    const SCHEDULED: usize = 1 << bindings::qdisc_state_t___QDISC_STATE_SCHED;

    fn is_stopped(queue: &TxQueue, by: usize) -> bool {
        // SAFETY: The queue is valid.
        let state = unsafe { (&raw const (*queue.queue.as_ptr()).state).read_volatile() };
        state & by != 0
    }

    /// As the core calls the transmit operation.
    fn transmit<R>(queue: &TxQueue, f: impl FnOnce() -> R) -> R {
        // SAFETY: The queue is valid, and the lock is not held.
        unsafe { bindings::netif_tx_lock_bh(queue.queue.as_ptr()) };
        let result = f();
        // SAFETY: It was taken above.
        unsafe { bindings::netif_tx_unlock_bh(queue.queue.as_ptr()) };
        result
    }

    #[test]
    fn a_slot_is_changed_under_the_lock_of_its_own_device() -> Result {
        let (device, other) = (Dummy::new(2)?, Dummy::new(2)?);
        let slots = TxSlots::new(device.as_raw(), 2)?;
        let (seven, eight) = (KBox::new(7, GFP_KERNEL)?, KBox::new(8, GFP_KERNEL)?);
        device.with_lock(|locked| slots.install(locked, 1, seven))?;
        let refused = other.with_lock(|locked| slots.install(locked, 1, eight));
        assert_eq!(refused, Err(EINVAL));
        assert!(other.with_lock(|locked| slots.remove(locked, 1)).is_none());
        let taken = device.with_lock(|locked| slots.remove(locked, 1));
        assert_eq!(taken.map(KBox::into_inner), Some(7));
        Ok(())
    }

    #[test]
    fn limits_do_not_stop_a_queue_that_has_no_state() -> Result {
        let device = Dummy::new(2)?;
        let slots = TxSlots::new(device.as_raw(), 2)?;
        let queue = TxQueue::new(&device, 1)?;
        let state = KBox::new(7, GFP_KERNEL)?;
        device.with_lock(|locked| slots.install(locked, 1, state))?;
        transmit(&queue, || queue.sent(1000));
        device.with_lock(|locked| slots.settle(locked, 1));
        assert!(is_stopped(&queue, STACK_XOFF));
        device.with_lock(|locked| drop(slots.remove(locked, 1)));
        assert!(is_stopped(&queue, STACK_XOFF));
        device.with_lock(|locked| slots.settle(locked, 1));
        assert!(!is_stopped(&queue, STACK_XOFF));
        Ok(())
    }

    #[test]
    fn a_queue_that_finds_room_after_all_is_run() -> Result {
        let device = Dummy::new(1)?;
        let queue = TxQueue::new(&device, 0)?;
        let qdisc = &raw mut bindings::noop_qdisc;
        // SAFETY: The device is ours alone, and the core's discipline that does nothing is always there.
        unsafe { (*queue.queue.as_ptr()).qdisc = qdisc };
        let (stopped, scheduled) = transmit(&queue, || {
            let stopped = queue.stop_unless(|| true);
            // SAFETY: As above. It runs once bottom halves do.
            let state = unsafe { (&raw const (*qdisc).state).read_volatile() };
            (stopped, state & SCHEDULED != 0)
        });
        assert!(!stopped && !is_stopped(&queue, DRV_XOFF));
        assert!(scheduled);
        assert!(queue.stop_unless(|| false));
        assert!(is_stopped(&queue, DRV_XOFF));
        Ok(())
    }
}
