// SPDX-License-Identifier: GPL-2.0-only

//! The firmware of a device: which builds there are, updates, and how they come to run.
//!
//! The device checks signatures, hashes and security numbers, and keeps what it needs to start; the driver takes packages apart, and
//! says what was refused. Everything here runs with the lock of the devlink instance held, so that there is one update at a time.

pub(crate) mod activate;
pub(crate) mod flash;
mod update;

use crate::{
    cmd,
    command::{Cause, CommandError},
    device::Device,
    regs::bounded_ms, //
};
use kernel::{
    fmt,
    prelude::*,
    sync::{atomic::Atomic, Arc}, //
};
use oxnic_abi::{
    command::BUFFER_MAX,
    event::Event,
    firmware::{FirmwareCaps, FirmwareComponent, FirmwareNews, IMAGE_HEAD},
};
use oxnic_kapi::{
    devlink::{InfoRequest, Update},
    extack::{refuse, Extack}, //
};

/// Components that users know by name, and these names: devlink's own.
const NAMES: [(FirmwareComponent, &CStr); 3] = [
    (FirmwareComponent::MANAGEMENT, c"fw.mgmt"),
    (FirmwareComponent::PIPELINE, c"fw.app"),
    (FirmwareComponent::BOOT, c"fw.bootloader"),
];

fn name(component: FirmwareComponent) -> Option<&'static CStr> {
    let mut known = NAMES.iter();
    known
        .find(|(known, _)| *known == component)
        .map(|(_, name)| *name)
}

/// A version as the device says it: what is printable of it.
struct Version([u8; 32]);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for byte in self.0.iter().take_while(|byte| **byte != 0) {
            f.write_char(if byte.is_ascii_graphic() {
                char::from(*byte)
            } else {
                '?'
            })?;
        }
        Ok(())
    }
}

/// Why the device has refused something about firmware, without the name of the command.
struct Why(CommandError);

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.cause {
            Cause::Refused { qualifier, .. } => f.write_str(qualifier.text()),
            _ => f.write_fmt(fmt!("{}", self.0)),
        }
    }
}

/// The firmware of a PF that has some.
pub(crate) struct Firmware {
    device: Arc<Device>,
    caps: FirmwareCaps,
    /// Components that a reload under way is to start: bit n for number n.
    starting: Atomic<u32>,
}

impl Firmware {
    /// Asks the device; none where it has no firmware that can be updated.
    pub(crate) fn discover(device: &Arc<Device>) -> Option<Self> {
        if device.is_vf() {
            return None;
        }
        let caps = cmd::caps::firmware(device).ok()?;
        // Blocks are sent as words.
        let caps = FirmwareCaps {
            block_max: caps.block_max.min(BUFFER_MAX) / 8 * 8,
            trial_ms: bounded_ms(caps.trial_ms),
            ..caps
        };
        if caps.block_max < IMAGE_HEAD {
            dev_warn!(
                device.binding(),
                "firmware cannot be updated in blocks of {} bytes\n",
                caps.block_max
            );
            return None;
        }
        Some(Self {
            device: device.clone(),
            caps,
            starting: Atomic::new(0),
        })
    }

    /// The components that the device has, and their names.
    fn components(&self) -> impl Iterator<Item = (FirmwareComponent, &'static CStr)> + '_ {
        NAMES
            .into_iter()
            .filter(move |(component, _)| self.caps.components & component.bit() != 0)
    }

    /// The versions of all components. None of one that the device does not tell of, as it is being reset.
    pub(crate) fn info(&self, request: &mut InfoRequest<'_>) -> Result {
        for (component, name) in self.components() {
            let Ok(info) = cmd::firmware::query(&self.device, component) else {
                continue;
            };
            request.fixed(name, fmt!("{}", Version(info.fixed)))?;
            request.running_component(name, fmt!("{}", Version(info.running_version)))?;
            request.stored_component(name, fmt!("{}", Version(info.stored_version)))?;
        }
        Ok(())
    }
}

impl oxnic_kapi::devlink::Firmware for Firmware {
    fn flash(&self, update: &Update<'_>, extack: Option<&mut Extack>) -> Result {
        update::flash(self, update, extack)
    }

    fn test(&self, mut extack: Option<&mut Extack>) -> Result<bool> {
        let mut whole = true;
        for (component, name) in self.components() {
            let found = cmd::firmware::check(&self.device, component)
                .map_err(|error| refused(extack.as_deref_mut(), name, error))?;
            if found.damaged != 0 {
                whole = false;
                dev_warn!(
                    self.device.binding(),
                    "{}: what is stored is damaged (slots {:#x} of {:#x})\n",
                    name,
                    found.damaged,
                    found.checked
                );
            }
        }
        Ok(whole)
    }
}

/// Gives the error that a command has failed with, and its text with what it is about before it.
fn refused(extack: Option<&mut Extack>, what: &CStr, error: CommandError) -> Error {
    refuse(extack, error.into(), fmt!("{}: {}", what, Why(error)))
}

impl Device {
    /// The device tells that a trial of firmware has ended.
    pub(crate) fn firmware_event(&self, event: &Event) {
        let component = u8::try_from(event.object).map(FirmwareComponent);
        let text = component.map_or("unknown", FirmwareComponent::text);
        match FirmwareNews(event.detail) {
            FirmwareNews::PROVEN => dev_info!(self.binding(), "new {} firmware works\n", text),
            news => dev_warn!(self.binding(), "{} firmware: {}\n", text, news.text()),
        }
    }
}
