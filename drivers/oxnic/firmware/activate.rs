// SPDX-License-Identifier: GPL-2.0-only

//! `devlink dev reload action fw_activate`: what is stored comes to run, by a reset or live, and proves itself or does not.
//!
//! The lock of recovery is not held while a trial is waited for: firmware that stops is reset like everything else that stops, by the one who
//! waits, since others would wait for the lock of the devlink instance.

use super::{refused, Firmware, Version};
use crate::cmd;
use kernel::{prelude::*, sync::atomic::Relaxed};
use oxnic_abi::{
    firmware::{FirmwareActivation, FirmwareFault, FirmwareInfo, FirmwareState},
    regs::ResetReason, //
};
use oxnic_kapi::{
    extack::{refuse, Extack},
    time, //
};

/// Until a halt is noticed and the function works again, in milliseconds, besides what the device says that a reset takes.
const NOTICE_MS: u32 = 10_000;
/// How often the device is asked meanwhile, in milliseconds.
const PERIOD_MS: u32 = 20;

/// Tells the device how. Live, the new firmware runs when this returns.
pub(crate) fn begin(firmware: &Firmware, live: bool, mut extack: Option<&mut Extack>) -> Result {
    let device = &firmware.device;
    let activation = match live {
        false => FirmwareActivation::RESET,
        true => FirmwareActivation::LIVE,
    };
    let mut starting = 0;
    for (component, _) in firmware.components() {
        let info = cmd::firmware::query(device, component)
            .map_err(|error| refused(extack.as_deref_mut(), c"fw_activate", error))?;
        if info.stored != info.running {
            starting |= component.bit();
        }
    }
    firmware.starting.store(starting, Relaxed);
    cmd::firmware::activate(device, activation)
        .map_err(|error| refused(extack, c"fw_activate", error))
}

/// Resets the device where that is how, and waits until the new firmware has proven itself.
pub(crate) fn finish(firmware: &Firmware, live: bool, mut extack: Option<&mut Extack>) -> Result {
    let device = &firmware.device;
    if device.is_dormant() {
        // The new firmware may be what makes it start.
        device.revive(None, extack.as_deref_mut())?;
    } else if !live {
        device.reset_now(ResetReason::USER).map_err(|error| {
            refuse(
                extack.as_deref_mut(),
                error,
                fmt!("fw_activate: the function does not work, or not again after its reset"),
            )
        })?;
    }
    let limit = firmware
        .caps
        .trial_ms
        .saturating_add(device.registers.limits().reset_ms)
        .saturating_add(NOTICE_MS);
    let ended = time::poll(limit, || {
        let ended = failed(firmware);
        if ended.is_none() {
            device.revive_if_down();
            time::sleep_ms(PERIOD_MS);
        }
        Ok(ended)
    });
    device.for_each_port(|port| port.firmware_changed());
    match ended {
        Ok(None) => Ok(()),
        Ok(Some((what, info))) => Err(refuse(
            extack,
            EIO,
            fmt!(
                "{} {} {}; {} runs",
                what,
                Version(info.failed_version),
                info.fault.text(),
                Version(info.running_version)
            ),
        )),
        Err(error) => Err(refuse(
            extack,
            error,
            fmt!("fw_activate: the device does not say what became of it"),
        )),
    }
}

/// Which component was rolled back, if one was. `None` while that is not known: one is on trial, or the device cannot be asked.
fn failed(firmware: &Firmware) -> Option<Option<(&'static CStr, FirmwareInfo)>> {
    let starting = firmware.starting.load(Relaxed);
    let mut found = None;
    for (component, name) in firmware.components() {
        if starting & component.bit() == 0 {
            continue;
        }
        let info = cmd::firmware::query(&firmware.device, component).ok()?;
        if info.state != FirmwareState::PROVEN {
            return None;
        }
        if info.fault != FirmwareFault::NONE {
            found = found.or(Some((name, info)));
        }
    }
    Some(found)
}
