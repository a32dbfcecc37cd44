// SPDX-License-Identifier: GPL-2.0-only

//! Devlink instances and ports.
//!
//! An [`Instance`] is allocated for a bound device and given its ports; [`Registered`] shows it to user space. References
//! run from the port to the instance, and from the network device to the port, so that each goes before what it belongs to.
//! Devlink has its own lock, which is held around callbacks.

use crate::{extack::Extack, pci::Binding};
use kernel::{
    error::to_result,
    fmt,
    prelude::*,
    str::CString,
    sync::Arc,
    types::Opaque, //
};
use oxnic_bindings as bindings;

/// What a driver answers. Called with the instance's lock held.
pub trait Operations: Send + Sync + 'static {
    /// Versions and serial number, for `devlink dev info`.
    fn info(&self, request: &mut InfoRequest<'_>, extack: Option<&mut Extack>) -> Result;
}

/// An answer to `devlink dev info` that is being written.
pub struct InfoRequest<'a>(&'a mut bindings::devlink_info_req);

impl InfoRequest<'_> {
    /// A version that never changes.
    pub fn fixed(&mut self, name: &CStr, value: fmt::Arguments<'_>) -> Result {
        let value = CString::try_from_fmt(value)?;
        // SAFETY: The request is valid, and copies both strings.
        to_result(unsafe {
            bindings::devlink_info_version_fixed_put(
                self.0,
                name.as_char_ptr(),
                value.as_char_ptr(),
            )
        })
    }

    /// A version of what runs now.
    pub fn running(&mut self, name: &CStr, value: fmt::Arguments<'_>) -> Result {
        let value = CString::try_from_fmt(value)?;
        // SAFETY: The request is valid, and copies both strings.
        to_result(unsafe {
            bindings::devlink_info_version_running_put(
                self.0,
                name.as_char_ptr(),
                value.as_char_ptr(),
            )
        })
    }

    /// The serial number of the device.
    pub fn serial(&mut self, value: fmt::Arguments<'_>) -> Result {
        let value = CString::try_from_fmt(value)?;
        // SAFETY: The request is valid, and copies the string.
        to_result(unsafe { bindings::devlink_info_serial_number_put(self.0, value.as_char_ptr()) })
    }
}

/// What stands in the private part of a `struct devlink`.
struct Private {
    operations: KBox<dyn Operations>,
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
        ops
    };

    /// Allocates the instance of a device.
    pub fn new(binding: &Binding, operations: KBox<dyn Operations>) -> Result<Arc<Self>> {
        // SAFETY: The operations are static, and the device is bound.
        let raw = unsafe {
            bindings::devlink_alloc_ns(
                &Self::OPS,
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
                .write(Private { operations })
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

    /// # Safety
    ///
    /// Called by devlink with the lock of an instance of ours held; `request` and `extack` are the caller's.
    unsafe extern "C" fn info_callback(
        raw: *mut bindings::devlink,
        request: *mut bindings::devlink_info_req,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: By the contract; the private part lives as long as the instance.
        let private = unsafe { &*bindings::devlink_priv(raw).cast::<Private>() };
        // SAFETY: By the contract.
        let (mut request, extack) =
            unsafe { (InfoRequest(&mut *request), Extack::from_raw(extack)) };
        match private.operations.info(&mut request, extack) {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        }
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
        // SAFETY: It was registered by `new`.
        unsafe { bindings::devlink_unregister(self.0.raw) }
    }
}

/// What a port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// A port that a cable is plugged into, with its number on the device's face.
    Physical(u32),
    /// The port of a function that is not an eswitch.
    Virtual,
}

/// A port of an instance, until dropped.
#[pin_data(PinnedDrop)]
pub struct Port {
    #[pin]
    raw: Opaque<bindings::devlink_port>,
    _instance: Arc<Instance>,
}

// SAFETY: Devlink locks by itself.
unsafe impl Send for Port {}
// SAFETY: As above.
unsafe impl Sync for Port {}

impl Port {
    /// Adds a port with this index to an instance.
    ///
    /// # Errors
    ///
    /// `EBUSY`: the index is taken; `ENOMEM`.
    pub fn new(instance: &Arc<Instance>, index: u32, flavour: Flavour) -> Result<Arc<Self>> {
        let instance = instance.clone();
        let owner = instance.raw;
        Arc::pin_init(
            try_pin_init!(Self {
                raw <- Opaque::try_ffi_init(move |slot: *mut bindings::devlink_port| {
                    let mut attributes = bindings::devlink_port_attrs::default();
                    match flavour {
                        Flavour::Physical(number) => {
                            attributes.flavour = bindings::devlink_port_flavour_DEVLINK_PORT_FLAVOUR_PHYSICAL;
                            // SAFETY: The union is all zero, which each of its members may be.
                            unsafe { attributes.__bindgen_anon_1.phys.as_mut() }.port_number = number;
                        }
                        Flavour::Virtual => {
                            attributes.flavour = bindings::devlink_port_flavour_DEVLINK_PORT_FLAVOUR_VIRTUAL;
                        }
                    }
                    // SAFETY: `slot` is valid for writing and pinned; the instance is kept alive by the field below. The
                    // attributes are copied.
                    unsafe {
                        core::ptr::write_bytes(slot, 0, 1);
                        bindings::devlink_port_attrs_set(slot, &attributes);
                        to_result(bindings::devlink_port_register_with_ops(owner, slot, index, core::ptr::null()))
                    }
                }),
                _instance: instance,
            }),
            GFP_KERNEL,
        )
    }

    pub(crate) fn raw(&self) -> *mut bindings::devlink_port {
        self.raw.get()
    }
}

#[pinned_drop]
impl PinnedDrop for Port {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: It was registered by `new`; the network device that showed it kept a reference, so it is gone.
        unsafe { bindings::devlink_port_unregister(self.raw.get()) }
    }
}
