// SPDX-License-Identifier: GPL-2.0-only

//! An instance: what devlink knows of a device.

use super::{
    eswitch,
    flash,
    lock::{Guard, Owner},
    rate,
    reload,
    Eswitch,
    Firmware,
    InfoRequest,
    Rates,
    Reload,
    Values, //
};
use crate::{callback::errno, extack::Extack, pci::Binding};
use kernel::{prelude::*, sync::Arc};
use oxnic_bindings as bindings;

/// What a driver answers. Called with the instance's lock held.
pub trait Operations: Send + Sync + 'static {
    /// Versions and serial number, for `devlink dev info`.
    fn info(&self, request: &mut InfoRequest<'_>, extack: Option<&mut Extack>) -> Result;

    /// What can be set of the device, where anything can.
    fn parameters(&self) -> Option<&dyn Values>;

    /// Whether it is a physical function, which may have an embedded switch, and firmware that can be updated.
    fn is_pf(&self) -> bool;

    /// The embedded switch, where a physical function has one; it may be found later than the instance is made.
    fn eswitch(&self) -> Option<&dyn Eswitch>;

    /// Rates of functions, where a physical function may have any. It may always, or never.
    fn rates(&self) -> Option<&dyn Rates>;

    /// How the device is reloaded.
    fn reload(&self) -> &dyn Reload;

    /// The firmware, where that of a physical function can be updated; it may be found later than the instance is made.
    fn firmware(&self) -> Option<&dyn Firmware>;
}

/// What stands in the private part of a `struct devlink`.
pub(super) struct Private {
    pub(super) operations: KBox<dyn Operations>,
    pub(super) owner: Owner,
}

impl Private {
    /// The private part of an instance of ours.
    ///
    /// # Safety
    ///
    /// `raw` is the `raw` of an [`Instance`] that lives for `'a`.
    pub(super) unsafe fn from_raw<'a>(raw: *mut bindings::devlink) -> &'a Self {
        // SAFETY: By the contract, and the invariant of the instance.
        unsafe { &*bindings::devlink_priv(raw).cast::<Self>() }
    }
}

/// An instance, not necessarily visible.
///
/// # Invariants
///
/// `raw` is an allocated instance whose private part is an initialised [`Private`].
pub struct Instance {
    raw: *mut bindings::devlink,
    _binding: Binding,
}

// SAFETY: Devlink locks by itself, and `Operations` are `Send` and `Sync`.
unsafe impl Send for Instance {}
// SAFETY: As above.
unsafe impl Sync for Instance {}

impl Instance {
    const OPS: bindings::devlink_ops = {
        // SAFETY: All zero is a valid set of operations: none.
        let mut ops: bindings::devlink_ops = unsafe { core::mem::zeroed() };
        ops.info_get = Some(Self::info_callback);
        reload::fill(&mut ops);
        ops
    };
    const OPS_OF_PF: bindings::devlink_ops = {
        let mut ops = Self::OPS;
        eswitch::fill(&mut ops);
        flash::fill(&mut ops);
        reload::fill_firmware(&mut ops);
        ops
    };
    const OPS_WITH_RATES: bindings::devlink_ops = {
        let mut ops = Self::OPS_OF_PF;
        rate::fill(&mut ops);
        ops
    };

    /// Allocates the instance of a device.
    pub fn new(binding: &Binding, operations: KBox<dyn Operations>) -> Result<Arc<Self>> {
        let has = (operations.is_pf(), operations.rates().is_some());
        let ops: &'static bindings::devlink_ops = match has {
            (true, true) => &Self::OPS_WITH_RATES,
            (true, false) => &Self::OPS_OF_PF,
            (false, _) => &Self::OPS,
        };
        // SAFETY: The operations are static, and the device is bound.
        let raw = unsafe {
            bindings::devlink_alloc_ns(
                ops,
                size_of::<Private>(),
                (&raw mut bindings::init_net).cast(),
                binding.raw_device(),
            )
        };
        if raw.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: The private part is large enough, aligned for any pointer, and nobody has seen the instance yet.
        unsafe {
            bindings::devlink_priv(raw)
                .cast::<Private>()
                .write(Private {
                    operations,
                    owner: Owner::none(),
                })
        };
        // INVARIANT: As above.
        Ok(Arc::new(
            Self {
                raw,
                _binding: binding.clone(),
            },
            GFP_KERNEL,
        )?)
    }

    /// Takes the lock, under which devlink calls; not to be called where it is held already.
    pub fn lock(self: &Arc<Self>) -> Guard<'_> {
        Guard::new(self)
    }

    /// Takes the lock, unless the running task holds it.
    pub(super) fn lock_unless_held(self: &Arc<Self>) -> Option<Guard<'_>> {
        (!self.owner().is_current()).then(|| self.lock())
    }

    pub(super) fn raw(&self) -> *mut bindings::devlink {
        self.raw
    }

    pub(super) fn owner(&self) -> &Owner {
        // SAFETY: `raw` is our own.
        unsafe { &Private::from_raw(self.raw).owner }
    }

    /// # Safety
    ///
    /// Called by devlink with the lock of an instance of ours held; `request` and `extack` are the caller's.
    unsafe extern "C" fn info_callback(
        raw: *mut bindings::devlink,
        request: *mut bindings::devlink_info_req,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: By the contract.
        let private = unsafe { Private::from_raw(raw) };
        // SAFETY: By the contract.
        let (mut request, extack) =
            unsafe { (InfoRequest(&mut *request), Extack::from_raw(extack)) };
        errno(private.operations.info(&mut request, extack))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: Ports and the registration keep a reference, so none is left; nothing calls the operations any more.
        unsafe {
            core::ptr::drop_in_place(bindings::devlink_priv(self.raw).cast::<Private>());
            bindings::devlink_free(self.raw);
        }
    }
}

/// An instance that user space sees, until dropped.
pub struct Registered(Arc<Instance>);

impl Registered {
    /// Shows an instance, of which there is no [`Registered`] yet.
    pub fn new(instance: Arc<Instance>) -> Self {
        // SAFETY: The instance is allocated and was not registered before.
        unsafe { bindings::devlink_register(instance.raw) };
        Self(instance)
    }

    /// The instance.
    pub fn instance(&self) -> &Arc<Instance> {
        &self.0
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        {
            let _locked = self.0.lock();
            self.0.remove_rate_nodes();
        }
        // SAFETY: It was registered by `new`.
        unsafe { bindings::devlink_unregister(self.0.raw) }
    }
}
