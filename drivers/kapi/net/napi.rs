// SPDX-License-Identifier: GPL-2.0-only

//! NAPI: the contexts in which received packets are handed up and sent ones completed.
//!
//! While an instance is scheduled, whoever polls it has its data alone (NAPI_STATE_SCHED); while it is disabled, the owner
//! has. Enabling and disabling need the device's instance lock.

use super::netdev::{Device, DeviceRef, Locked};
use core::cell::{Cell, UnsafeCell};
use core::ffi::c_int;
use core::marker::PhantomData;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;
use oxnic_bindings as bindings;

/// What a poll did.
pub struct Polled {
    /// Packets received: below the budget, unless there is more to do.
    pub work: u32,
    /// What [`Poll::arm`] is called with if polling ends here.
    pub arm: u64,
}

/// The data of a NAPI instance and what is done with it.
pub trait Poll: Send + 'static {
    /// What arms the interrupt; can be used by several at once.
    type Arm: Send + Sync + 'static;

    /// Receives at most `budget` packets and completes what was sent. With a budget of 0 (netconsole) only the latter, and
    /// the work is 0. Returns the whole budget where there is more to do.
    fn poll(&mut self, context: Context<'_>, budget: u32) -> Polled;

    /// Arms the interrupt after polling has ended. Another poll may be under way already; so this has no access to the data.
    fn arm(arm: &Self::Arm, value: u64);
}

/// The NAPI instance that is being polled.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    napi: &'a Opaque<bindings::napi_struct>,
    budget: u32,
}

impl Context<'_> {
    #[inline(always)]
    pub(super) fn as_raw(&self) -> *mut bindings::napi_struct {
        self.napi.get()
    }

    /// A context that is no poll, for tests of what is used in polls.
    #[cfg(CONFIG_KUNIT)]
    pub(super) fn for_test<'a>(
        napi: &'a Opaque<bindings::napi_struct>,
        budget: u32,
    ) -> Context<'a> {
        Context { napi, budget }
    }

    /// The budget of the poll, for functions of the core that ask for it.
    #[inline(always)]
    pub(super) fn budget(&self) -> c_int {
        self.budget as c_int
    }
}

/// Where an instance will be, for data that refers to it and lives in it.
pub struct Place<'a> {
    pub(super) napi: *mut bindings::napi_struct,
    pub(super) device: &'a Device,
    pub(super) index: u16,
    /// A page pool that refers to the instance, as which it is entered here with a reference of its own; null: there is none.
    pub(super) pool: &'a Cell<*mut bindings::page_pool>,
    _napi: PhantomData<&'a ()>,
}

/// A NAPI instance with its data.
///
/// # Invariants
///
/// - `napi` was added to `device` and is removed before `self` is dropped.
/// - `data` is accessed by the poll, or under the instance lock while `enabled` is false.
/// - `pool` is null, or a page pool of which a reference is ours.
#[pin_data(PinnedDrop)]
pub struct Napi<T: Poll> {
    #[pin]
    napi: Opaque<bindings::napi_struct>,
    device: DeviceRef,
    // Under the instance lock.
    enabled: Cell<bool>,
    added: Cell<bool>,
    // Under the instance lock, or ours alone.
    pool: Cell<*mut bindings::page_pool>,
    arm: T::Arm,
    data: UnsafeCell<T>,
}

// SAFETY: Access to the data is exclusive as described, and `T` is `Send`; the rest is guarded by the instance lock or is
// made for concurrent use.
unsafe impl<T: Poll> Send for Napi<T> {}
// SAFETY: As above.
unsafe impl<T: Poll> Sync for Napi<T> {}

impl<T: Poll> Napi<T> {
    /// Adds an instance to the device, disabled, with what `data` makes. What the user sets for instance `index` outlives it. The instance has to be
    /// removed by [`Self::remove`].
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], and what `data` fails with.
    pub fn new(
        device: &Locked,
        index: u16,
        arm: T::Arm,
        data: impl FnOnce(Place<'_>) -> Result<T>,
    ) -> Result<Arc<Self>> {
        let reference: &Device = device;
        let pool = Cell::new(core::ptr::null_mut::<bindings::page_pool>());
        let pool = &pool;
        // The instance is still zeroed, in which case the core does not look whether it is disabled. It has to be there, though.
        let give_up_pool = || {
            if !pool.get().is_null() {
                // SAFETY: The reference was entered, and nobody has it any more. The pool's instance is valid memory until
                // initialisation has failed, and if this reference was the last, the pool forgets the instance here.
                unsafe { bindings::page_pool_destroy(pool.get()) };
            }
        };
        let this = Arc::pin_init(
            try_pin_init!(Self {
                napi <- Opaque::ffi_init(|slot: *mut bindings::napi_struct| {
                    // SAFETY: The slot is ours; C wants it zeroed.
                    unsafe { slot.write_bytes(0, 1) };
                }),
                device: reference.into(),
                enabled: Cell::new(false),
                added: Cell::new(false),
                arm: arm,
                data: UnsafeCell::new(
                    data(Place { napi: napi.get(), device: reference, index, pool, _napi: PhantomData })
                        .inspect_err(|_| give_up_pool())?
                ),
                // INVARIANT: `data` has entered it with a reference.
                pool: Cell::new(pool.replace(core::ptr::null_mut())),
            }? Error),
            GFP_KERNEL,
        )?;
        // SAFETY: The device is valid and its lock held; the instance is pinned by the Arc and zeroed.
        // INVARIANT: It is removed by `remove()`, at the latest when `this` is dropped.
        unsafe {
            bindings::netif_napi_add_config_locked(
                device.as_raw(),
                this.napi.get(),
                Some(Self::poll_callback),
                index.into(),
            )
        };
        this.added.set(true);
        Ok(this)
    }

    /// Whether the instance is this device's, and added. The lock of any other guards nothing here: what asks for it does nothing then.
    fn is_of(&self, device: &Locked) -> bool {
        core::ptr::eq(self.device.as_raw(), device.as_raw()) && self.added.get()
    }

    /// Number of the interrupt, for those who look at the relation of queues, instances and interrupts.
    pub fn set_irq(&self, device: &Locked, irq: u32) {
        if self.is_of(device) {
            // SAFETY: The instance is added, its device's instance lock is held.
            unsafe { bindings::netif_napi_set_irq_locked(self.napi.get(), irq as c_int) };
        }
    }

    /// No interrupt any more; before it is freed.
    pub fn clear_irq(&self, device: &Locked) {
        if self.is_of(device) {
            // SAFETY: As above.
            unsafe { bindings::netif_napi_set_irq_locked(self.napi.get(), -1) };
        }
    }

    /// Says that the instance serves these queues of the device.
    pub fn link_queues(&self, device: &Locked, index: u16) {
        if !self.is_of(device) {
            return;
        }
        for kind in [
            bindings::netdev_queue_type_NETDEV_QUEUE_TYPE_RX,
            bindings::netdev_queue_type_NETDEV_QUEUE_TYPE_TX,
        ] {
            // SAFETY: The instance is added, its device's instance lock is held, the core checks the index.
            unsafe {
                bindings::netif_queue_set_napi(device.as_raw(), index.into(), kind, self.napi.get())
            };
        }
    }

    /// Takes back [`Self::link_queues`].
    pub fn unlink_queues(&self, device: &Locked, index: u16) {
        if !self.is_of(device) {
            return;
        }
        for kind in [
            bindings::netdev_queue_type_NETDEV_QUEUE_TYPE_RX,
            bindings::netdev_queue_type_NETDEV_QUEUE_TYPE_TX,
        ] {
            // SAFETY: As above.
            unsafe {
                bindings::netif_queue_set_napi(
                    device.as_raw(),
                    index.into(),
                    kind,
                    core::ptr::null_mut(),
                );
            };
        }
    }

    /// Polling may begin.
    pub fn enable(&self, device: &Locked) {
        if self.is_of(device) && !self.enabled.replace(true) {
            // SAFETY: The instance is added and disabled, its device's instance lock is held.
            unsafe { bindings::napi_enable_locked(self.napi.get()) };
        }
    }

    /// Waits for a poll under way; there is none after that.
    pub fn disable(&self, device: &Locked) {
        if self.is_of(device) && self.enabled.get() {
            // SAFETY: The instance is enabled, its device's instance lock is held.
            unsafe { bindings::napi_disable_locked(self.napi.get()) };
            self.enabled.set(false);
        }
    }

    /// Works on the data while the instance is disabled.
    ///
    /// # Errors
    ///
    /// [`EBUSY`]: it is enabled; [`EINVAL`]: it is another device's, or removed.
    pub fn with_data<R>(&self, device: &Locked, f: impl FnOnce(&mut T) -> R) -> Result<R> {
        if !self.is_of(device) {
            return Err(EINVAL);
        }
        if self.enabled.replace(true) {
            return Err(EBUSY);
        }
        // SAFETY: Disabled instances are not polled, and their device's instance lock keeps others from this place; `enabled` is set
        // meanwhile, so `f` cannot come here again.
        let result = f(unsafe { &mut *self.data.get() });
        self.enabled.set(false);
        Ok(result)
    }

    /// Schedules a poll. From an interrupt handler.
    #[inline]
    pub fn schedule(&self) {
        // SAFETY: The instance is added; a disabled one ignores this.
        unsafe { bindings::napi_schedule_irqoff(self.napi.get()) };
    }

    /// Schedules a poll. From anywhere else.
    pub fn schedule_bh(&self) {
        // SAFETY: As above.
        unsafe { bindings::napi_schedule_bh(self.napi.get()) };
    }

    /// What arms the interrupt.
    pub fn arm(&self) -> &T::Arm {
        &self.arm
    }

    /// Removes the instance from the device. Waits for readers of the list of instances, and for those who have found it by its page pool.
    pub fn remove(&self, device: &Locked) {
        if !self.is_of(device) {
            return;
        }
        self.disable(device);
        let pool = self.pool.replace(core::ptr::null_mut());
        if !pool.is_null() {
            // SAFETY: The reference was ours and the instance is disabled. Whoever gives back a page from now on does not look at it, and
            // for those who do the removal below waits.
            unsafe {
                bindings::page_pool_disable_direct_recycling(pool);
                bindings::page_pool_destroy(pool);
            }
        }
        // SAFETY: The instance was added and is disabled, its device's instance lock is held.
        unsafe { bindings::netif_napi_del_locked(self.napi.get()) };
        self.added.set(false);
    }

    /// # Safety
    ///
    /// The core calls this for an instance that was added and not removed, with NAPI_STATE_SCHED held.
    unsafe extern "C" fn poll_callback(napi: *mut bindings::napi_struct, budget: c_int) -> c_int {
        // SAFETY: All instances with this callback are the field of a `Napi<T>`.
        let this = unsafe { &*kernel::container_of!(Opaque::cast_from(napi), Self, napi) };
        // SAFETY: NAPI_STATE_SCHED is held, so we are alone.
        let data = unsafe { &mut *this.data.get() };
        let budget = budget as u32;
        let Polled { work, arm } = data.poll(
            Context {
                napi: &this.napi,
                budget,
            },
            budget,
        );
        if budget == 0 {
            return 0;
        }
        if work >= budget {
            return budget as c_int;
        }
        // From here on another CPU may poll: no use of `data`.
        // SAFETY: The instance is being polled by us.
        if unsafe { bindings::napi_complete_done(napi, work as c_int) } {
            T::arm(&this.arm, arm);
        }
        work as c_int
    }
}

#[pinned_drop]
impl<T: Poll> PinnedDrop for Napi<T> {
    fn drop(self: Pin<&mut Self>) {
        if self.added.get() {
            // Only on paths where setting up failed; the owner is told by the missing `remove()` in review, not by a WARN.
            self.device.with_lock(|device| self.remove(device));
        }
    }
}

#[cfg(CONFIG_KUNIT)]
#[kernel::macros::kunit_tests(oxnic_kapi_napi)]
mod tests {
    use super::*;
    use crate::net::netdev::fixture::Dummy;

    struct Idle;

    impl Poll for Idle {
        type Arm = ();

        fn poll(&mut self, _context: Context<'_>, _budget: u32) -> Polled {
            Polled { work: 0, arm: 0 }
        }

        fn arm(_arm: &(), _value: u64) {}
    }

    #[test]
    fn an_instance_is_opened_by_the_lock_of_its_own_device() -> Result {
        let (device, other) = (Dummy::new(1)?, Dummy::new(1)?);
        let napi = device.with_lock(|locked| Napi::new(locked, 0, (), |_| Ok(Idle)))?;
        other.with_lock(|locked| {
            assert_eq!(napi.with_data(locked, |_| ()), Err(EINVAL));
            napi.enable(locked);
            napi.remove(locked);
        });
        device.with_lock(|locked| {
            assert_eq!(napi.with_data(locked, |_| ()), Ok(()));
            napi.enable(locked);
            assert_eq!(napi.with_data(locked, |_| ()), Err(EBUSY));
            napi.remove(locked);
            assert_eq!(napi.with_data(locked, |_| ()), Err(EINVAL));
        });
        Ok(())
    }
}
