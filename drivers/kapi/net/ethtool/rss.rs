// SPDX-License-Identifier: GPL-2.0-only

//! Receive hashing (`ethtool -x`, `-X`, `-N rx-flow-hash`): which queue a frame goes to.
//!
//! A device has one context for all frames, number 0, and may have more that steering rules send frames to. The hash function
//! is Toeplitz. Beside the instance lock, the core holds a lock of its own for hashing in all operations.

mod input;

pub use input::{Fields, Flow, Transform};

use super::{errno, locked};
use crate::extack::{refuse, Extack};
use crate::net::netdev::{self, Locked, Rtnl};
use core::ptr::NonNull;
use kernel::{bindings as raw, prelude::*};
use oxnic_bindings as bindings;

/// Changes to a context; what is `None` stays.
pub struct Change<'a> {
    /// Queues, as many entries as [`Operations::table_size`]; the core has checked that they exist. What steering rules add to
    /// them it has not.
    pub table: Option<&'a [u32]>,
    /// Key, as long as [`Operations::key_size`].
    pub key: Option<&'a [u8]>,
    /// Transformation of the input, one of [`Operations::TRANSFORMS`] or none.
    pub transform: Option<Transform>,
}

/// Where a context is to be shown; what is `None` is not wanted.
pub struct View<'a> {
    /// Queues.
    pub table: Option<&'a mut [u32]>,
    /// Key.
    pub key: Option<&'a mut [u8]>,
    /// Transformation of the input.
    pub transform: Transform,
}

/// Receive hashing.
#[vtable]
pub trait Operations: Sized {
    /// Which transformations there are, see [`Transform::set`].
    const TRANSFORMS: u8 = 0;
    /// Entries of the largest table, if the number changes while the device lives, else 0.
    const TABLE_SPACE: u32 = 0;

    /// Entries of the tables. 0: there are none.
    fn table_size(&self, device: &Locked) -> u32;

    /// Bytes of the keys.
    fn key_size(&self, device: &Locked) -> u32;

    /// Shows a context.
    ///
    /// # Errors
    ///
    /// `ENOENT`: there is no such context; `EOPNOTSUPP`: there is no hashing.
    fn hashing(&self, device: &Locked, context: u32, view: &mut View<'_>) -> Result {
        let _ = (device, context, view);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Changes a context.
    ///
    /// # Errors
    ///
    /// It is as it was.
    fn set_hashing(
        &self,
        device: &Locked,
        context: u32,
        change: &Change<'_>,
        extack: Option<&mut Extack>,
    ) -> Result {
        let _ = (device, context, change, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Which fields are hashed of a kind of frame.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: they are not told apart from other kinds; `ENOENT`: there is no such context.
    fn hash_fields(&self, device: &Locked, context: u32, flow: Flow) -> Result<Fields> {
        let _ = (device, context, flow);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Changes which fields are hashed of a kind of frame.
    ///
    /// # Errors
    ///
    /// They stay.
    fn set_hash_fields(
        &self,
        device: &Locked,
        context: u32,
        flow: Flow,
        fields: Fields,
        extack: Option<&mut Extack>,
    ) -> Result {
        let _ = (device, context, flow, fields, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Makes a context: what is not said is as a driver sees fit. Contexts are changed by [`Self::set_hashing`].
    ///
    /// # Errors
    ///
    /// There is none.
    fn create_context(
        &self,
        device: &Locked,
        context: u32,
        change: &Change<'_>,
        extack: Option<&mut Extack>,
    ) -> Result {
        let _ = (device, context, change, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Removes a context, which no steering rule names any more.
    ///
    /// # Errors
    ///
    /// It stays.
    fn remove_context(&self, device: &Locked, context: u32, extack: Option<&mut Extack>) -> Result {
        let _ = (device, context, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

impl Locked {
    /// Whether a user has set the table of context 0; else it spreads over all queues.
    pub fn has_user_hash_table(&self) -> bool {
        // SAFETY: The device is registered, for its lock is that of an operation, or is being so.
        unsafe { bindings::netif_is_rxfh_configured(self.as_raw()) }
    }
}

impl Rtnl {
    /// Whether all tables can have `size` entries without losing what users have set, `table` being that of context 0.
    /// Takes the core's lock for hashing.
    ///
    /// # Errors
    ///
    /// `EINVAL`: one of them cannot.
    pub fn check_hash_table_size(&self, table: &[u32], size: u32) -> Result {
        let length = u32::try_from(table.len())?;
        // SAFETY: The device is registered; the function reads `length` entries.
        let fits = unsafe {
            raw::ethtool_rxfh_indir_can_resize(self.as_raw().cast(), table.as_ptr(), length, size)
        };
        if !fits {
            return Err(EINVAL);
        }
        // SAFETY: The device is registered, its instance lock is held.
        kernel::error::to_result(unsafe {
            raw::ethtool_rxfh_ctxs_can_resize(self.as_raw().cast(), size)
        })
    }

    /// The tables of the contexts that users have made have `size` entries from now on: repeated, or cut off. Was
    /// checked by [`Self::check_hash_table_size`]. Takes the core's lock for hashing.
    pub fn resize_hash_tables(&self, size: u32) {
        // SAFETY: The device is registered, its instance lock is held; the size was checked before.
        unsafe { raw::ethtool_rxfh_ctxs_resize(self.as_raw().cast(), size) }
    }
}

/// Reads what a request changes.
///
/// # Safety
///
/// Pointers in `param` are null, or have as many elements as it says.
unsafe fn change<'a>(
    param: &'a raw::ethtool_rxfh_param,
    extack: Option<&mut Extack>,
) -> Result<Change<'a>> {
    let function = u32::from(param.hfunc);
    if function != raw::ETH_RSS_HASH_NO_CHANGE && function != bindings::ETH_RSS_HASH_TOP {
        return Err(refuse(
            extack,
            EOPNOTSUPP,
            fmt!("only the hash function toeplitz is supported"),
        ));
    }
    let transform = if u32::from(param.input_xfrm) == raw::RXH_XFRM_NO_CHANGE {
        None
    } else {
        Some(Transform::from_raw(param.input_xfrm).ok_or(EINVAL)?)
    };
    // SAFETY: By the contract of this function.
    let (table, key) = unsafe {
        (
            NonNull::new(param.indir)
                .map(|at| core::slice::from_raw_parts(at.as_ptr(), param.indir_size as usize)),
            NonNull::new(param.key)
                .map(|at| core::slice::from_raw_parts(at.as_ptr(), param.key_size as usize)),
        )
    };
    Ok(Change {
        table,
        key,
        transform,
    })
}

/// Asks the driver for a context. Also gives the transformation, as the core has it.
fn show<T: Operations>(
    data: &T,
    device: &Locked,
    context: u32,
    table: Option<&mut [u32]>,
    key: Option<&mut [u8]>,
) -> (u8, Result) {
    let mut view = View {
        table,
        key,
        transform: Transform::None,
    };
    let result = data.hashing(device, context, &mut view);
    (view.transform.as_raw(), result)
}

/// Lets the driver change a context that there is.
///
/// # Safety
///
/// As the core's callbacks: the instance lock is held, `param` and `extack` are the caller's, the core has filled in the sizes
/// of what it gives.
unsafe fn apply<T: netdev::Operations>(
    dev: *mut raw::net_device,
    context: u32,
    param: *const raw::ethtool_rxfh_param,
    extack: *mut raw::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), param, mut extack) =
        unsafe { (locked::<T>(dev), &*param, Extack::from_raw(extack)) };
    // SAFETY: By the contract of this function.
    let change = unsafe { change(param, extack.as_deref_mut()) };
    errno(change.and_then(|change| data.set_hashing(device, context, &change, extack)))
}

/// # Safety
///
/// The core calls this with the instance lock held.
pub(super) unsafe extern "C" fn ring_count_callback(dev: *mut raw::net_device) -> u32 {
    // SAFETY: The device is valid; the number changes under the instance lock.
    unsafe { (*dev.cast::<bindings::net_device>()).real_num_rx_queues }
}

/// # Safety
///
/// The core calls this with the instance lock held.
pub(super) unsafe extern "C" fn key_size_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
) -> u32 {
    // SAFETY: By the contract of this function.
    let (data, device) = unsafe { locked::<T>(dev) };
    data.key_size(device)
}

/// # Safety
///
/// The core calls this with the instance lock held.
pub(super) unsafe extern "C" fn table_size_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
) -> u32 {
    // SAFETY: By the contract of this function.
    let (data, device) = unsafe { locked::<T>(dev) };
    data.table_size(device)
}

/// # Safety
///
/// The core calls this with the instance lock held; `param` is the caller's, and its table and key have the sizes that the
/// driver has told, or are null.
pub(super) unsafe extern "C" fn get_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    param: *mut raw::ethtool_rxfh_param,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), param) = unsafe { (locked::<T>(dev), &mut *param) };
    // The sizes in `param` are not always filled in; those that the driver told always are what was allocated.
    let (entries, bytes) = (
        data.table_size(device) as usize,
        data.key_size(device) as usize,
    );
    // SAFETY: As above.
    let (table, key) = unsafe {
        (
            NonNull::new(param.indir)
                .map(|at| core::slice::from_raw_parts_mut(at.as_ptr(), entries)),
            NonNull::new(param.key).map(|at| core::slice::from_raw_parts_mut(at.as_ptr(), bytes)),
        )
    };
    let (transform, result) = show(data, device, 0, table, key);
    param.input_xfrm = transform;
    param.hfunc = bindings::ETH_RSS_HASH_TOP as u8;
    errno(result)
}

/// # Safety
///
/// The core calls this with the instance lock held; `param` and `extack` are the caller's.
pub(super) unsafe extern "C" fn set_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    param: *mut raw::ethtool_rxfh_param,
    extack: *mut raw::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract of this function, the same as that of `apply`.
    unsafe { apply::<T>(dev, 0, param, extack) }
}

/// # Safety
///
/// The core calls this with the instance lock held; `param` and `extack` are the caller's, `context` has room for table and
/// key of the sizes that the driver has told.
pub(super) unsafe extern "C" fn create_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    context: *mut raw::ethtool_rxfh_context,
    param: *const raw::ethtool_rxfh_param,
    extack: *mut raw::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), param, mut extack) =
        unsafe { (locked::<T>(dev), &*param, Extack::from_raw(extack)) };
    // SAFETY: The core has filled in the sizes of what it gives.
    let change = unsafe { change(param, extack.as_deref_mut()) };
    let result =
        change.and_then(|change| data.create_context(device, param.rss_context, &change, extack));
    if let Err(error) = result {
        return error.to_errno();
    }
    // What the core was not asked for it cannot know: it is told all.
    // SAFETY: The context is ours until we return, and has a table and a key of these sizes.
    let (shown, table, key) = unsafe {
        let sizes = ((*context).indir_size as usize, (*context).key_size as usize);
        (
            &mut *context,
            core::slice::from_raw_parts_mut(bindings::ethtool_rxfh_context_indir(context), sizes.0),
            core::slice::from_raw_parts_mut(bindings::ethtool_rxfh_context_key(context), sizes.1),
        )
    };
    let (transform, result) = show(data, device, param.rss_context, Some(table), Some(key));
    shown.input_xfrm = transform;
    shown.hfunc = bindings::ETH_RSS_HASH_TOP as u8;
    errno(result)
}

/// # Safety
///
/// The core calls this with the instance lock held; `param` and `extack` are the caller's.
pub(super) unsafe extern "C" fn modify_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    _context: *mut raw::ethtool_rxfh_context,
    param: *const raw::ethtool_rxfh_param,
    extack: *mut raw::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract of this function, which is that of `apply`.
    unsafe { apply::<T>(dev, (*param).rss_context, param, extack) }
}

/// # Safety
///
/// The core calls this with the instance lock held; `extack` is the caller's.
pub(super) unsafe extern "C" fn remove_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    _context: *mut raw::ethtool_rxfh_context,
    id: u32,
    extack: *mut raw::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), extack) = unsafe { (locked::<T>(dev), Extack::from_raw(extack)) };
    errno(data.remove_context(device, id, extack))
}

/// # Safety
///
/// The core calls this with the instance lock held; `fields` is the caller's.
pub(super) unsafe extern "C" fn fields_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    fields: *mut raw::ethtool_rxfh_fields,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), out) = unsafe { (locked::<T>(dev), &mut *fields) };
    let result = Flow::from_raw(out.flow_type)
        .ok_or(EOPNOTSUPP)
        .and_then(|flow| data.hash_fields(device, out.rss_context, flow))
        .map(|fields| out.data = fields.as_raw());
    errno(result)
}

/// # Safety
///
/// The core calls this with the instance lock held; `fields` and `extack` are the caller's.
pub(super) unsafe extern "C" fn set_fields_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    fields: *const raw::ethtool_rxfh_fields,
    extack: *mut raw::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), asked, extack) =
        unsafe { (locked::<T>(dev), &*fields, Extack::from_raw(extack)) };
    let Some(flow) = Flow::from_raw(asked.flow_type) else {
        return refuse(
            extack,
            EOPNOTSUPP,
            fmt!("frames of this type are not hashed by themselves"),
        )
        .to_errno();
    };
    match Fields::from_raw(asked.data) {
        Ok(fields) => errno(data.set_hash_fields(device, asked.rss_context, flow, fields, extack)),
        Err(text) => refuse(extack, EOPNOTSUPP, fmt!("{}", text)).to_errno(),
    }
}
