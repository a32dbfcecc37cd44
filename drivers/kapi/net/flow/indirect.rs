// SPDX-License-Identifier: GPL-2.0-only

//! Rules on devices of others, such as tunnels, and actions by themselves (`flow_indr_dev_register()`).
//!
//! Only devices that take over no rules themselves are asked about. The kernel's count of blocks that need RTNL is wrong in two
//! cases, whichever a driver chooses: for devices that were bound before the registration, and for those that still are when it
//! ends. Rules of such blocks are then changed with RTNL held, which costs time and does no harm.

use super::action::Actions;
use super::block::{self, Binding, Indirect, Setup};
use super::classifier::Rules;
use super::shared_action::{self, SharedAction};
use super::stats::Statistics;
use crate::callback::errno;
use crate::extack::Extack;
use core::ffi::{c_int, c_void};
use core::ptr::NonNull;
use kernel::{error::to_result, prelude::*};
use oxnic_bindings as bindings;

/// What a driver does for devices of others. May sleep; calls come one at a time, with a lock of the kernel's held that
/// [`Registration`] takes too.
pub trait Others: Send + Sync + 'static {
    /// A device is bound to a block, or was before the registration. RTNL is held only in the former case.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: it is none of our business. It is not bound.
    fn bind(&self, binding: &Binding<'_>, extack: Option<&mut Extack>) -> Result<KBox<dyn Rules>>;

    /// Takes over an action by itself, or a change of one.
    ///
    /// # Errors
    ///
    /// It is not taken over.
    fn replace_action(
        &self,
        action: &SharedAction,
        actions: Actions<'_>,
        extack: Option<&mut Extack>,
    ) -> Result;

    /// Forgets an action by itself.
    ///
    /// # Errors
    ///
    /// `ENOENT`: it is unknown, and not one of ours.
    fn destroy_action(&self, action: &SharedAction) -> Result;

    /// What an action has seen, of a rule or by itself, since the last time.
    ///
    /// # Errors
    ///
    /// `ENOENT`: it is unknown, and not one of ours.
    fn action_stats(&self, action: &SharedAction) -> Result<Statistics>;
}

/// What the kernel hands back to the callback.
struct Inner(KBox<dyn Others>);

/// Hears of the devices of others, until dropped. That unbinds them, which takes RTNL: it must not be held then.
///
/// # Invariants
///
/// `inner` was made by `KBox::into_raw` and is registered.
pub struct Registration {
    inner: NonNull<Inner>,
}

// SAFETY: `Others` are `Send` and `Sync`, and registering locks by itself.
unsafe impl Send for Registration {}
// SAFETY: As above.
unsafe impl Sync for Registration {}

impl Registration {
    /// Registers. Devices that are bound to blocks already are heard of before this returns.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(others: KBox<dyn Others>) -> Result<Self> {
        let inner = KBox::into_raw(KBox::new(Inner(others), GFP_KERNEL)?);
        // SAFETY: The callback takes what it is given here, which stays until it is unregistered.
        let result = to_result(unsafe {
            bindings::flow_indr_dev_register(Some(setup_callback), inner.cast())
        });
        if let Err(error) = result {
            // SAFETY: It was made above and is not registered.
            drop(unsafe { KBox::from_raw(inner) });
            return Err(error);
        }
        // INVARIANT: As above.
        NonNull::new(inner)
            .map(|inner| Self { inner })
            .ok_or(EINVAL)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let inner = self.inner.as_ptr();
        // SAFETY: By the invariants. The kernel finds the bindings that came of it by the function that releases them and by
        // the pointer, unbinds and releases them. Afterwards nothing of it is called any more.
        unsafe {
            bindings::flow_indr_dev_unregister(
                Some(setup_callback),
                inner.cast(),
                Some(block::RELEASE),
            );
            drop(KBox::from_raw(inner));
        }
    }
}

/// # Safety
///
/// The core calls this with what was registered. For a block, device, request, block and the function that cleans up are its own
/// and valid; for an action there is only the request, in `data`.
unsafe extern "C" fn setup_callback(
    device: *mut bindings::net_device,
    sch: *mut bindings::Qdisc,
    inner: *mut c_void,
    kind: bindings::tc_setup_type,
    request: *mut c_void,
    data: *mut c_void,
    cleanup: Option<unsafe extern "C" fn(*mut bindings::flow_block_cb)>,
) -> c_int {
    // SAFETY: By the contract.
    let others = unsafe { &*(*inner.cast::<Inner>()).0 };
    let result = match (kind, NonNull::new(request.cast()), NonNull::new(device)) {
        (bindings::tc_setup_type_TC_SETUP_BLOCK, Some(request), Some(device)) => {
            let indirect = Indirect { sch, data, cleanup };
            // SAFETY: By the contract. The core holds a lock of its own, and RTNL where the block exists for others already.
            let setup = unsafe { Setup::new(request, device, Some(indirect)) };
            setup.run(inner, |binding, extack| others.bind(binding, extack))
        }
        // SAFETY: By the contract.
        (bindings::tc_setup_type_TC_SETUP_ACT, _, None) if !data.is_null() => unsafe {
            shared_action::request(others, data)
        },
        _ => Err(EOPNOTSUPP),
    };
    errno(result)
}
