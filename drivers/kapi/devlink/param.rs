// SPDX-License-Identifier: GPL-2.0-only

//! `devlink dev param`: generic parameters that take effect when they are set (configuration mode `runtime`), or with the next
//! `devlink dev reload` (`driverinit`).

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
    /// `max_macs`, 32 bits: the most addresses that a port filters by itself. With a reload, like those that follow.
    MaxMacs,
    /// `event_eq_size`, 32 bits: entries of the queue of events.
    EventQueueSize,
    /// `msix_vec_per_pf_max`, 32 bits: the most interrupt vectors.
    VectorsMax,
    /// `msix_vec_per_pf_min`, 32 bits: the fewest that the driver is to start with.
    VectorsMin,
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
    /// What it is set to. Not asked of one that takes a reload.
    ///
    /// # Errors
    ///
    /// It is not known.
    fn get(&self, parameter: Parameter) -> Result<Value>;

    /// What it is set to where nobody has set it.
    fn default(&self, parameter: Parameter) -> Value;

    /// Sets it; the value is of the kind that the parameter has. Not asked of one that takes a reload.
    ///
    /// # Errors
    ///
    /// It is as it was, and the text says why.
    fn set(&self, parameter: Parameter, value: Value, extack: Option<&mut Extack>) -> Result;

    /// Whether a reload can bring a value into force, of a parameter that takes one.
    ///
    /// # Errors
    ///
    /// The text says why not.
    fn check(&self, parameter: Parameter, value: Value, extack: Option<&mut Extack>) -> Result;
}

use bindings::{
    devlink_param_cmode_DEVLINK_PARAM_CMODE_DRIVERINIT as RELOAD,
    devlink_param_cmode_DEVLINK_PARAM_CMODE_RUNTIME as RUNTIME,
    devlink_param_generic_id_DEVLINK_PARAM_GENERIC_ID_ENABLE_REMOTE_DEV_RESET as REMOTE_RESET,
    devlink_param_generic_id_DEVLINK_PARAM_GENERIC_ID_ENABLE_SRIOV as ENABLE_SRIOV,
    devlink_param_generic_id_DEVLINK_PARAM_GENERIC_ID_EVENT_EQ_SIZE as EVENT_QUEUE_SIZE,
    devlink_param_generic_id_DEVLINK_PARAM_GENERIC_ID_INT_ERR_RESET as INTERNAL_ERROR_RESET,
    devlink_param_generic_id_DEVLINK_PARAM_GENERIC_ID_MAX_MACS as MAX_MACS,
    devlink_param_generic_id_DEVLINK_PARAM_GENERIC_ID_MSIX_VEC_PER_PF_MAX as VECTORS_MAX,
    devlink_param_generic_id_DEVLINK_PARAM_GENERIC_ID_MSIX_VEC_PER_PF_MIN as VECTORS_MIN,
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
            Self::MaxMacs => (MAX_MACS, c"max_macs", U32),
            Self::EventQueueSize => (EVENT_QUEUE_SIZE, c"event_eq_size", U32),
            Self::VectorsMax => (VECTORS_MAX, c"msix_vec_per_pf_max", U32),
            Self::VectorsMin => (VECTORS_MIN, c"msix_vec_per_pf_min", U32),
        }
    }

    /// Whether a value is in force with the next reload only.
    const fn takes_reload(self) -> bool {
        matches!(
            self,
            Self::MaxMacs | Self::EventQueueSize | Self::VectorsMax | Self::VectorsMin
        )
    }

    fn from_raw(id: u32) -> Option<Self> {
        [
            Self::InternalErrorReset,
            Self::EnableSriov,
            Self::RegionSnapshot,
            Self::RemoteReset,
            Self::TotalVfs,
            Self::MaxMacs,
            Self::EventQueueSize,
            Self::VectorsMax,
            Self::VectorsMin,
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

/// A parameter as devlink is told of it.
fn describe(parameter: Parameter) -> bindings::devlink_param {
    let (id, name, kind) = parameter.describe();
    let common = bindings::devlink_param {
        id,
        name: name.as_char_ptr(),
        generic: true,
        type_: kind,
        supported_cmodes: 1 << RELOAD,
        get: None,
        set: None,
        validate: Some(validate_callback),
        get_default: None,
        reset_default: None,
    };
    if parameter.takes_reload() {
        return common;
    }
    bindings::devlink_param {
        supported_cmodes: 1 << RUNTIME,
        get: Some(get_callback),
        set: Some(set_callback),
        validate: None,
        get_default: Some(get_default_callback),
        reset_default: Some(reset_default_callback),
        ..common
    }
}

impl Parameters {
    /// Adds parameters to an instance whose operations have [`Values`]. The lock of the instance is held by the caller or not.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EEXIST`: one is there already.
    pub fn new(instance: &Arc<Instance>, parameters: &[Parameter]) -> Result<Self> {
        let mut list = KVec::with_capacity(parameters.len(), GFP_KERNEL)?;
        for parameter in parameters {
            list.push(describe(*parameter), GFP_KERNEL)?;
        }
        let _locked = instance.lock_unless_held();
        // SAFETY: The instance is allocated and lives longer than this, and the list stays where it is until after the parameters are
        // gone. The lock is held.
        to_result(unsafe {
            bindings::devl_params_register(instance.raw(), list.as_ptr(), list.len())
        })?;
        let this = Self {
            instance: instance.clone(),
            list,
        };
        for parameter in parameters.iter().filter(|one| one.takes_reload()) {
            // SAFETY: The instance lives.
            let private = unsafe { Private::from_raw(instance.raw()) };
            let values = private.operations.parameters().ok_or(EOPNOTSUPP)?;
            let mut raw = bindings::devlink_param_value::default();
            write(values.default(*parameter), &mut raw);
            // SAFETY: The parameter was registered with this mode. The lock is held.
            unsafe {
                bindings::devl_param_driverinit_value_set(
                    instance.raw(),
                    parameter.describe().0,
                    &raw mut raw,
                )
            };
        }
        Ok(this)
    }

    /// What a parameter of 32 bits that takes a reload is since the last one. The lock of the instance is held by the caller or not.
    ///
    /// # Errors
    ///
    /// `EINVAL`: it is not among these.
    pub fn number(&self, parameter: Parameter) -> Result<u32> {
        let id = parameter.describe().0;
        let known = |raw: &bindings::devlink_param| raw.id == id && raw.get.is_none();
        if !self.list.iter().any(known) {
            return Err(EINVAL);
        }
        let mut raw = bindings::devlink_param_value::default();
        let _locked = self.instance.lock_unless_held();
        // SAFETY: The parameter was registered by `new`, with this mode and a value. The lock is held.
        to_result(unsafe {
            bindings::devl_param_driverinit_value_get(self.instance.raw(), id, &raw mut raw)
        })?;
        match parameter.read(&raw) {
            Value::Number(number) => Ok(number),
            Value::Flag(_) => Err(EINVAL),
        }
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
/// Called by devlink with the lock of an instance of ours held; `value` has been filled as the type of the parameter wants, and `extack` is
/// the caller's.
unsafe extern "C" fn validate_callback(
    raw: *mut bindings::devlink,
    id: u32,
    value: *mut bindings::devlink_param_value,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract.
    let (found, value, extack) = unsafe { (find(raw, id), &*value, Extack::from_raw(extack)) };
    errno(
        found
            .and_then(|(values, parameter)| values.check(parameter, parameter.read(value), extack)),
    )
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
    if mode != RUNTIME {
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

#[cfg(CONFIG_KUNIT)]
#[kunit_tests(oxnic_kapi_devlink_param)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back_to_parameters() {
        for id in 0..64 {
            let Some(parameter) = Parameter::from_raw(id) else {
                continue;
            };
            assert_eq!(parameter.describe().0, id);
        }
        assert_eq!(Parameter::from_raw(TOTAL_VFS), Some(Parameter::TotalVfs));
        assert_eq!(
            Parameter::from_raw(VECTORS_MAX),
            Some(Parameter::VectorsMax)
        );
    }

    #[test]
    fn values_survive_the_way_to_c_and_back() {
        let mut raw = bindings::devlink_param_value::default();
        write(Value::Number(0x8000_0001), &mut raw);
        assert_eq!(Parameter::MaxMacs.read(&raw), Value::Number(0x8000_0001));
        write(Value::Flag(true), &mut raw);
        assert_eq!(Parameter::EnableSriov.read(&raw), Value::Flag(true));
    }

    #[test]
    fn what_takes_a_reload_is_only_checked() {
        let waits = describe(Parameter::EventQueueSize);
        assert!(waits.get.is_none() && waits.set.is_none() && waits.validate.is_some());
        assert_eq!(waits.supported_cmodes, 1 << RELOAD);
        let at_once = describe(Parameter::TotalVfs);
        assert!(at_once.get.is_some() && at_once.set.is_some());
        assert_eq!(at_once.supported_cmodes, 1 << RUNTIME);
    }
}
