// SPDX-License-Identifier: GPL-2.0-only

//! Ports: what network devices of an instance stand for.

use super::Instance;
use crate::{
    callback::errno,
    extack::{refuse, Extack}, //
};
use kernel::{error::to_result, prelude::*, sync::Arc, types::Opaque};
use oxnic_bindings as bindings;

/// Bytes of the hardware address of an Ethernet function.
pub const HW_ADDR_LENGTH: usize = 6;

/// What all ports of one switch have in common.
pub type SwitchId = [u8; 8];

/// What a port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// A port that a cable is plugged into.
    Physical {
        /// Number on the device's face.
        number: u32,
        /// The switch that it belongs to, where it is one's.
        switch: Option<SwitchId>,
    },
    /// The port of an eswitch that leads to a VF of this host.
    PciVf {
        /// Number of the PF.
        pf: u16,
        /// Number of the VF, from 0.
        vf: u16,
        /// The switch that it belongs to.
        switch: SwitchId,
    },
    /// The port of a function that is not an eswitch.
    Virtual,
}

/// The function that a port leads to. Called with the instance's lock held.
pub trait Function: Send + Sync {
    /// Its hardware address; all zero: the function chooses.
    ///
    /// # Errors
    ///
    /// The text says why it is not known.
    fn hw_addr(&self, extack: Option<&mut Extack>) -> Result<[u8; HW_ADDR_LENGTH]>;

    /// Gives it an address.
    ///
    /// # Errors
    ///
    /// It keeps the old one, and the text says why.
    fn set_hw_addr(&self, address: &[u8; HW_ADDR_LENGTH], extack: Option<&mut Extack>) -> Result;

    /// Most event queues for its traffic that it can have.
    ///
    /// # Errors
    ///
    /// The text says why it is not known.
    fn max_io_eqs(&self, extack: Option<&mut Extack>) -> Result<u32>;

    /// Gives it so many.
    ///
    /// # Errors
    ///
    /// It keeps those that it has, and the text says why.
    fn set_max_io_eqs(&self, count: u32, extack: Option<&mut Extack>) -> Result;
}

/// A port of an instance, until dropped.
///
/// `raw` is first, so that devlink's pointer to it is one to the whole.
#[pin_data(PinnedDrop)]
#[repr(C)]
pub struct Port {
    #[pin]
    raw: Opaque<bindings::devlink_port>,
    function: Option<KBox<dyn Function>>,
    instance: Arc<Instance>,
}

// SAFETY: Devlink locks by itself, and a `Function` is `Send`.
unsafe impl Send for Port {}
// SAFETY: As above; a `Function` is `Sync`.
unsafe impl Sync for Port {}

impl Port {
    /// Of each port. Without them devlink refuses to split a port and does not say why; with them it does, since no port of ours
    /// says that it can be split.
    const OPS: bindings::devlink_port_ops = {
        // SAFETY: All zero is a valid set of operations: none.
        let mut ops: bindings::devlink_port_ops = unsafe { core::mem::zeroed() };
        ops.port_split = Some(Self::split_callback);
        ops.port_unsplit = Some(Self::unsplit_callback);
        ops
    };

    /// Of a port that leads to a function which users can set up.
    const FUNCTION_OPS: bindings::devlink_port_ops = {
        let mut ops = Self::OPS;
        ops.port_fn_hw_addr_get = Some(Self::hw_addr_get_callback);
        ops.port_fn_hw_addr_set = Some(Self::hw_addr_set_callback);
        ops.port_fn_max_io_eqs_get = Some(Self::max_io_eqs_get_callback);
        ops.port_fn_max_io_eqs_set = Some(Self::max_io_eqs_set_callback);
        ops
    };

    /// Adds a port with this index to an instance, with the function it leads to where users can set that up. The lock of
    /// the instance is held by the caller or not.
    ///
    /// # Errors
    ///
    /// `EBUSY`: the index is taken; `ENOMEM`.
    pub fn new(
        instance: &Arc<Instance>,
        index: u32,
        flavour: Flavour,
        function: Option<KBox<dyn Function>>,
    ) -> Result<Arc<Self>> {
        let owner = instance.clone();
        let ops: &'static bindings::devlink_port_ops = if function.is_some() {
            &Self::FUNCTION_OPS
        } else {
            &Self::OPS
        };
        Arc::pin_init(
            try_pin_init!(Self {
                // Before the port is registered, since devlink calls from then on.
                function,
                instance: instance.clone(),
                raw <- Opaque::try_ffi_init(move |slot: *mut bindings::devlink_port| {
                    // SAFETY: `slot` is valid for writing and pinned.
                    unsafe { core::ptr::write_bytes(slot, 0, 1) };
                    // SAFETY: `slot` is all zero, as a port that is not registered must be.
                    unsafe { describe(slot, flavour) };
                    let _locked = owner.lock_unless_held();
                    // SAFETY: The instance is kept alive by the field above, the operations are static. The lock is held.
                    to_result(unsafe {
                        bindings::devl_port_register_with_ops(owner.raw(), slot, index, ops)
                    })
                }),
            }),
            GFP_KERNEL,
        )
    }

    pub(super) fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    pub(crate) fn raw(&self) -> *mut bindings::devlink_port {
        self.raw.get()
    }

    /// # Safety
    ///
    /// As [`Self::unsplit_callback`]. Devlink refuses before it calls this.
    unsafe extern "C" fn split_callback(
        _devlink: *mut bindings::devlink,
        _port: *mut bindings::devlink_port,
        _count: c_uint,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: By the contract.
        let extack = unsafe { Extack::from_raw(extack) };
        refuse(extack, EOPNOTSUPP, fmt!("the port cannot be split")).to_errno()
    }

    /// # Safety
    ///
    /// Called by devlink with the lock of the instance held; `extack` is the caller's.
    unsafe extern "C" fn unsplit_callback(
        _devlink: *mut bindings::devlink,
        _port: *mut bindings::devlink_port,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: By the contract.
        let extack = unsafe { Extack::from_raw(extack) };
        refuse(
            extack,
            EINVAL,
            fmt!("the port is not part of one that was split"),
        )
        .to_errno()
    }

    /// # Safety
    ///
    /// Called by devlink with the lock of the instance held, for a port of ours; `address` has room for the longest
    /// address, and it, `length` and `extack` are the caller's.
    unsafe extern "C" fn hw_addr_get_callback(
        port: *mut bindings::devlink_port,
        address: *mut u8,
        length: *mut c_int,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: The port is the first field of one of ours, which lives until it is unregistered.
        let (port, extack) = unsafe { (&*port.cast::<Self>(), Extack::from_raw(extack)) };
        let Some(function) = &port.function else {
            return EOPNOTSUPP.to_errno();
        };
        errno(function.hw_addr(extack).map(|bytes| {
            // SAFETY: By the contract.
            unsafe {
                address.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
                *length = bytes.len() as c_int;
            }
        }))
    }

    /// # Safety
    ///
    /// As [`Self::hw_addr_get_callback`]; `address` has `length` bytes.
    unsafe extern "C" fn hw_addr_set_callback(
        port: *mut bindings::devlink_port,
        address: *const u8,
        length: c_int,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: As in `hw_addr_get_callback`.
        let (port, extack) = unsafe { (&*port.cast::<Self>(), Extack::from_raw(extack)) };
        let Some(function) = &port.function else {
            return EOPNOTSUPP.to_errno();
        };
        if length != HW_ADDR_LENGTH as c_int {
            return refuse(
                extack,
                EINVAL,
                fmt!("hw_addr has {} bytes, not {}", length, HW_ADDR_LENGTH),
            )
            .to_errno();
        }
        // SAFETY: By the contract, and the length was checked.
        let address = unsafe { &*address.cast::<[u8; HW_ADDR_LENGTH]>() };
        errno(function.set_hw_addr(address, extack))
    }

    /// # Safety
    ///
    /// As [`Self::hw_addr_get_callback`]; `count` is the caller's.
    unsafe extern "C" fn max_io_eqs_get_callback(
        port: *mut bindings::devlink_port,
        count: *mut u32,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: As in `hw_addr_get_callback`.
        let (port, extack) = unsafe { (&*port.cast::<Self>(), Extack::from_raw(extack)) };
        let Some(function) = &port.function else {
            return EOPNOTSUPP.to_errno();
        };
        errno(function.max_io_eqs(extack).map(|most| {
            // SAFETY: By the contract.
            unsafe { *count = most };
        }))
    }

    /// # Safety
    ///
    /// As [`Self::hw_addr_get_callback`].
    unsafe extern "C" fn max_io_eqs_set_callback(
        port: *mut bindings::devlink_port,
        count: u32,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: As in `hw_addr_get_callback`.
        let (port, extack) = unsafe { (&*port.cast::<Self>(), Extack::from_raw(extack)) };
        let Some(function) = &port.function else {
            return EOPNOTSUPP.to_errno();
        };
        errno(function.set_max_io_eqs(count, extack))
    }
}

/// Says what a port is.
///
/// # Safety
///
/// `slot` is valid, all zero, and not registered.
unsafe fn describe(slot: *mut bindings::devlink_port, flavour: Flavour) {
    let mut attributes = bindings::devlink_port_attrs::default();
    let switch = match flavour {
        Flavour::Physical { number, switch } => {
            attributes.flavour = bindings::devlink_port_flavour_DEVLINK_PORT_FLAVOUR_PHYSICAL;
            // SAFETY: The union is all zero, which each of its members may be.
            unsafe { attributes.__bindgen_anon_1.phys.as_mut() }.port_number = number;
            switch
        }
        Flavour::PciVf { switch, .. } => Some(switch),
        Flavour::Virtual => {
            attributes.flavour = bindings::devlink_port_flavour_DEVLINK_PORT_FLAVOUR_VIRTUAL;
            None
        }
    };
    if let Some(id) = switch {
        attributes.switch_id.id[..id.len()].copy_from_slice(&id);
        attributes.switch_id.id_len = id.len() as u8;
    }
    // SAFETY: By the contract; the attributes are copied. The second call replaces the flavour and its part of the union,
    // and leaves the rest.
    unsafe {
        bindings::devlink_port_attrs_set(slot, &attributes);
        if let Flavour::PciVf { pf, vf, .. } = flavour {
            bindings::devlink_port_attrs_pci_vf_set(slot, 0, pf, vf, false);
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Port {
    fn drop(self: Pin<&mut Self>) {
        let _locked = self.instance.lock_unless_held();
        // SAFETY: It was registered by `new`; the network device that showed it kept a reference, so it is gone. The lock is held. A
        // leaf, if there is one, goes before what it belongs to.
        unsafe {
            bindings::devl_rate_leaf_destroy(self.raw.get());
            bindings::devl_port_unregister(self.raw.get());
        }
    }
}
