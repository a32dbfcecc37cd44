// SPDX-License-Identifier: GPL-2.0-only

//! `devlink dev param`: generic parameters that take effect when they are set (configuration mode `runtime`).

use super::{instance::Private, Instance};
use crate::{
    callback::errno,
    extack::{refuse, Extack}, //
};
use kernel::{error::to_result, prelude::*, sync::Arc};
use oxnic_bindings as bindings;

/// Parameters that this module knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// `internal_error_reset`, boolean: the driver resets the device after errors by itself.
    InternalErrorReset,
    /// `enable_sriov`, boolean: VFs can be enabled.
    EnableSriov,
    /// `region_snapshot_enable`, boolean: snapshots of regions are taken by themselves.
    RegionSnapshot,
    /// `enable_remote_dev_reset`, boolean: the driver follows where another one asks for a reset.
    RemoteReset,
    /// `total_vfs`, 32 bits: the most VFs that can be enabled.
    TotalVfs,
}

/// What a parameter is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of boolean ones.
    Flag(bool),
    /// Of those of 32 bits.
    Number(u32),
}

/// A driver's parameters. Called with the instance's lock held.
pub trait Values: Send + Sync {
    /// What it is set to.
    ///
    /// # Errors
    ///
    /// It is not known.
    fn get(&self, parameter: Parameter) -> Result<Value>;

    /// What it is set to where nobody has set it.
    fn default(&self, parameter: Parameter) -> Value;

    /// Sets it; the value is of the kind that the parameter has.
    ///
    /// # Errors
    ///
    /// It is as it was, and the text says why.
    fn set(&self, parameter: Parameter, value: Value, extack: Option<&mut Extack>) -> Result;
}

use bindings::{
    devlink_param_generic_id_DEVLINK_PARAM_GENERIC_ID_ENABLE_REMOTE_DEV_RESET as REMOTE_RESET,
    devlink_param_generic_id_DEVLINK_PARAM_GENERIC_ID_ENABLE_SRIOV as ENABLE_SRIOV,
    devlink_param_generic_id_DEVLINK_PARAM_GENERIC_ID_INT_ERR_RESET as INTERNAL_ERROR_RESET,
    devlink_param_generic_id_DEVLINK_PARAM_GENERIC_ID_REGION_SNAPSHOT as REGION_SNAPSHOT,
    devlink_param_generic_id_DEVLINK_PARAM_GENERIC_ID_TOTAL_VFS as TOTAL_VFS,
    devlink_param_type_DEVLINK_PARAM_TYPE_BOOL as BOOL,
    devlink_param_type_DEVLINK_PARAM_TYPE_U32 as U32,
};

impl Parameter {
    /// Its number, name and type for devlink.
    const fn describe(self) -> (u32, &'static CStr, bindings::devlink_param_type) {
        match self {
            Self::InternalErrorReset => (INTERNAL_ERROR_RESET, c"internal_error_reset", BOOL),
            Self::EnableSriov => (ENABLE_SRIOV, c"enable_sriov", BOOL),
            Self::RegionSnapshot => (REGION_SNAPSHOT, c"region_snapshot_enable", BOOL),
            Self::RemoteReset => (REMOTE_RESET, c"enable_remote_dev_reset", BOOL),
            Self::TotalVfs => (TOTAL_VFS, c"total_vfs", U32),
        }
    }

    fn from_raw(id: u32) -> Option<Self> {
        [
            Self::InternalErrorReset,
            Self::EnableSriov,
            Self::RegionSnapshot,
            Self::RemoteReset,
            Self::TotalVfs,
        ]
        .into_iter()
        .find(|parameter| parameter.describe().0 == id)
    }

    fn read(self, raw: &bindings::devlink_param_value) -> Value {
        if self.describe().2 == BOOL {
            // SAFETY: Devlink fills this member for a parameter of this type.
            Value::Flag(unsafe { *raw.vbool.as_ref() })
        } else {
            // SAFETY: As above.
            Value::Number(unsafe { *raw.vu32.as_ref() })
        }
    }
}

fn write(value: Value, raw: &mut bindings::devlink_param_value) {
    match value {
        // SAFETY: Any of the union's members may be written.
        Value::Flag(on) => unsafe { *raw.vbool.as_mut() = on },
        // SAFETY: As above.
        Value::Number(number) => unsafe { *raw.vu32.as_mut() = number },
    }
}

/// Parameters of an instance, which users see until this is dropped.
pub struct Parameters {
    instance: Arc<Instance>,
    /// Devlink has pointers to them.
    list: KVec<bindings::devlink_param>,
}

// SAFETY: The list is only read.
unsafe impl Send for Parameters {}
// SAFETY: As above.
unsafe impl Sync for Parameters {}

impl Parameters {
    /// Adds parameters to an instance whose operations have [`Values`]. The lock of the instance is held by the caller or not.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EEXIST`: one is there already.
    pub fn new(instance: &Arc<Instance>, parameters: &[Parameter]) -> Result<Self> {
        let mut list = KVec::with_capacity(parameters.len(), GFP_KERNEL)?;
        for parameter in parameters {
            let (id, name, kind) = parameter.describe();
            let raw = bindings::devlink_param {
                id,
                name: name.as_char_ptr(),
                generic: true,
                type_: kind,
                supported_cmodes: 1 << bindings::devlink_param_cmode_DEVLINK_PARAM_CMODE_RUNTIME,
                get: Some(get_callback),
                set: Some(set_callback),
                validate: None,
                get_default: Some(get_default_callback),
                reset_default: Some(reset_default_callback),
            };
            list.push(raw, GFP_KERNEL)?;
        }
        let _locked = instance.lock_unless_held();
        // SAFETY: The instance is allocated and lives longer than this, and the list stays where it is until after the parameters are
        // gone. The lock is held.
        to_result(unsafe {
            bindings::devl_params_register(instance.raw(), list.as_ptr(), list.len())
        })?;
        Ok(Self {
            instance: instance.clone(),
            list,
        })
    }
}

impl Drop for Parameters {
    fn drop(&mut self) {
        let _locked = self.instance.lock_unless_held();
        let (list, length) = (self.list.as_ptr(), self.list.len());
        // SAFETY: They were registered by `new`. The lock is held.
        unsafe { bindings::devl_params_unregister(self.instance.raw(), list, length) }
    }
}

/// The values of an instance, and which of them is meant.
///
/// # Safety
///
/// `raw` is an instance of ours that lives for `'a`.
unsafe fn find<'a>(raw: *mut bindings::devlink, id: u32) -> Result<(&'a dyn Values, Parameter)> {
    // SAFETY: By the contract.
    let private = unsafe { Private::from_raw::<'a>(raw) };
    let values = private.operations.parameters().ok_or(EOPNOTSUPP)?;
    Ok((values, Parameter::from_raw(id).ok_or(EINVAL)?))
}

/// # Safety
///
/// Called by devlink with the lock of an instance of ours held; `context` and `extack` are the caller's.
unsafe extern "C" fn get_callback(
    raw: *mut bindings::devlink,
    id: u32,
    context: *mut bindings::devlink_param_gset_ctx,
    _extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract.
    let (found, context) = unsafe { (find(raw, id), &mut *context) };
    errno(found.and_then(|(values, parameter)| {
        write(values.get(parameter)?, &mut context.val);
        Ok(())
    }))
}

/// # Safety
///
/// As [`get_callback`].
unsafe extern "C" fn get_default_callback(
    raw: *mut bindings::devlink,
    id: u32,
    context: *mut bindings::devlink_param_gset_ctx,
    _extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract.
    let (found, context) = unsafe { (find(raw, id), &mut *context) };
    errno(found.map(|(values, parameter)| write(values.default(parameter), &mut context.val)))
}

/// # Safety
///
/// As [`get_callback`]; devlink has filled the context's value as the type of the parameter wants.
unsafe extern "C" fn set_callback(
    raw: *mut bindings::devlink,
    id: u32,
    context: *mut bindings::devlink_param_gset_ctx,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract.
    let (found, context, extack) =
        unsafe { (find(raw, id), &mut *context, Extack::from_raw(extack)) };
    errno(found.and_then(|(values, parameter)| {
        values.set(parameter, parameter.read(&context.val), extack)
    }))
}

/// # Safety
///
/// As [`get_callback`].
unsafe extern "C" fn reset_default_callback(
    raw: *mut bindings::devlink,
    id: u32,
    mode: bindings::devlink_param_cmode,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract.
    let (found, extack) = unsafe { (find(raw, id), Extack::from_raw(extack)) };
    if mode != bindings::devlink_param_cmode_DEVLINK_PARAM_CMODE_RUNTIME {
        return refuse(
            extack,
            EOPNOTSUPP,
            fmt!("the parameter is set at run time only"),
        )
        .to_errno();
    }
    errno(
        found.and_then(|(values, parameter)| {
            values.set(parameter, values.default(parameter), extack)
        }),
    )
}
