// SPDX-License-Identifier: GPL-2.0-only

//! What `ip link set dev <pf> vf N ...` asks, as commands. RTNL is held by the caller; a refusal is logged with its reason,
//! since these operations have no extack.

use crate::{
    device::Device,
    sriov::VfError, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use oxnic_abi::vf::{vf_fields, VfConfig, VfLink};

/// The TPID that a VLAN of a VF has unless another is named.
const DEFAULT_TPID: u16 = 0x8100;

fn set(device: &Arc<Device>, vf: u16, config: VfConfig) -> Result {
    device
        .set_vf(vf, &config)
        .map_err(|error| logged(device, vf, error))
}

fn logged(device: &Device, vf: u16, error: VfError) -> Error {
    if let VfError::Command(error) = error {
        dev_err!(device.binding(), "VF {}: {}\n", vf, error);
    }
    error.into()
}

/// Refuses what is the business of rules in switchdev mode, and would have no effect.
fn refuse_in_switchdev(device: &Device, vf: u16, setting: &str) -> Result {
    if !device.eswitch.is_switchdev() {
        return Ok(());
    }
    dev_err!(
        device.binding(),
        "VF {}: {} has no effect in switchdev mode, use rules on the representor\n",
        vf,
        setting
    );
    Err(EOPNOTSUPP)
}

/// Gives VF `vf` an address that it cannot change; all zero: it may choose.
///
/// # Errors
///
/// `EINVAL`: no such VF, or a multicast address; what the device says.
pub(crate) fn change_mac(device: &Arc<Device>, vf: u16, mac: [u8; 6]) -> Result<(), VfError> {
    let config = VfConfig {
        fields: vf_fields::MAC,
        mac,
        ..VfConfig::ZERO
    };
    device.set_vf(vf, &config)
}

/// As [`change_mac`], and logs a refusal.
///
/// # Errors
///
/// As [`change_mac`].
pub(crate) fn set_mac(device: &Arc<Device>, vf: u16, mac: [u8; 6]) -> Result {
    change_mac(device, vf, mac).map_err(|error| logged(device, vf, error))
}

/// Puts VF `vf` into a VLAN that it does not see; 0: takes it out. `protocol` is the TPID in CPU order.
///
/// # Errors
///
/// `EINVAL`: no such VF, or a value out of range; `EPROTONOSUPPORT`: another TPID; what the device says.
pub(crate) fn set_vlan(device: &Arc<Device>, vf: u16, vlan: u16, qos: u8, protocol: u16) -> Result {
    if !matches!(protocol, 0x8100 | 0x88a8) {
        return Err(EPROTONOSUPPORT);
    }
    if vlan > 4094 || qos > 7 {
        return Err(EINVAL);
    }
    refuse_in_switchdev(device, vf, "VLAN")?;
    let protocol = if vlan == 0 { DEFAULT_TPID } else { protocol };
    set(
        device,
        vf,
        VfConfig {
            fields: vf_fields::VLAN,
            vlan,
            qos,
            vlan_proto: protocol,
            ..VfConfig::ZERO
        },
    )
}

/// Bounds what VF `vf` may send, in Mbit/s; 0: not at all bounded.
///
/// # Errors
///
/// `EINVAL`: no such VF, or the least is over the highest; `EOPNOTSUPP`: in switchdev mode devlink sets them, if the device has rates
/// there; what the device says.
pub(crate) fn set_rate(device: &Arc<Device>, vf: u16, min: u32, max: u32) -> Result {
    if max != 0 && min > max {
        return Err(EINVAL);
    }
    if device.rates.caps().is_some() {
        if device.eswitch.is_switchdev() {
            dev_err!(
                device.binding(),
                "VF {}: in switchdev mode rates are set with 'devlink port function rate'\n",
                vf
            );
            return Err(EOPNOTSUPP);
        }
        return device.set_vf_rate(vf, min, max).map_err(|error| {
            dev_err!(device.binding(), "VF {}: {}\n", vf, error);
            error.into()
        });
    }
    set(
        device,
        vf,
        VfConfig {
            fields: vf_fields::RATE,
            rate_min: min,
            rate_max: max,
            ..VfConfig::ZERO
        },
    )
}

/// Whether source addresses of VF `vf` are checked.
///
/// # Errors
///
/// `EINVAL`: no such VF; what the device says.
pub(crate) fn set_spoof_check(device: &Arc<Device>, vf: u16, on: bool) -> Result {
    refuse_in_switchdev(device, vf, "spoof check")?;
    set(
        device,
        vf,
        VfConfig {
            fields: vf_fields::SPOOF_CHECK,
            spoof_check: on.into(),
            ..VfConfig::ZERO
        },
    )
}

/// Whether VF `vf` may be promiscuous and change its address.
///
/// # Errors
///
/// `EINVAL`: no such VF; what the device says.
pub(crate) fn set_trust(device: &Arc<Device>, vf: u16, on: bool) -> Result {
    set(
        device,
        vf,
        VfConfig {
            fields: vf_fields::TRUST,
            trust: on.into(),
            ..VfConfig::ZERO
        },
    )
}

/// What VF `vf` sees as its link.
///
/// # Errors
///
/// `EINVAL`: no such VF; what the device says.
pub(crate) fn set_link(device: &Arc<Device>, vf: u16, link: VfLink) -> Result {
    set(
        device,
        vf,
        VfConfig {
            fields: vf_fields::LINK,
            link,
            ..VfConfig::ZERO
        },
    )
}

/// Vectors of a VF that serve no queues of packets: the one for commands and events.
pub(crate) const CONTROL_VECTORS: u16 = 1;

/// How many MSI-X vectors VF `vf` has. No driver is bound to it.
///
/// # Errors
///
/// `EINVAL`: no such VF, or out of range; `ENOSPC`: not so many are left; what the device says.
pub(crate) fn change_vectors(device: &Arc<Device>, vf: u16, vectors: u16) -> Result<(), VfError> {
    let config = VfConfig {
        fields: vf_fields::VECTORS,
        vectors,
        ..VfConfig::ZERO
    };
    device.set_vf(vf, &config)
}

/// As [`change_vectors`], and logs a refusal; 0: the default number.
///
/// # Errors
///
/// As [`change_vectors`].
pub(crate) fn set_vectors(device: &Arc<Device>, vf: u16, vectors: u32) -> Result {
    let caps = device.caps();
    let vectors = if vectors == 0 {
        caps.vf_vectors_default
    } else {
        u16::try_from(vectors)?
    };
    change_vectors(device, vf, vectors).map_err(|error| logged(device, vf, error))
}
