// SPDX-License-Identifier: GPL-2.0-only

//! An update: the images of a package go to the device block by block, are verified there, and are committed together.

use super::{name, refused, Firmware};
use crate::{cmd, command::CommandError};
use kernel::prelude::*;
use oxnic_abi::firmware::FirmwareComponent;
use oxnic_kapi::{
    devlink::{Component, Failure, Target, Update},
    extack::{refuse, Extack}, //
};

/// What is under way.
struct Transfer<'a> {
    firmware: &'a Firmware,
    update: &'a Update<'a>,
    extack: Option<&'a mut Extack>,
    /// The components of which the device has verified an image.
    verified: u32,
}

/// Takes a package. Nothing that it leaves behind where it fails is ever started by the device.
pub(super) fn flash(
    firmware: &Firmware,
    update: &Update<'_>,
    mut extack: Option<&mut Extack>,
) -> Result {
    let only = match update.component() {
        None => None,
        Some(wanted) => {
            let found = firmware.components().find(|(_, name)| *name == wanted);
            let Some((component, _)) = found else {
                return Err(refuse(
                    extack,
                    EOPNOTSUPP,
                    fmt!("component: there is no firmware of this name"),
                ));
            };
            Some(u16::from(component.0))
        }
    };
    let mut transfer = Transfer {
        firmware,
        update,
        extack: extack.as_deref_mut(),
        verified: 0,
    };
    let result = update.unpack(firmware.device.binding(), only, &mut transfer);
    let verified = transfer.verified;
    if result.is_err() && verified != 0 {
        // A device that is being reset has forgotten them.
        let _ = cmd::firmware::abort(&firmware.device, verified);
    }
    result.map_err(|failure| match failure {
        Failure::Target(error) => error,
        Failure::Package(error, text) => refuse(extack, error, fmt!("package: {}", text)),
    })
}

impl Transfer<'_> {
    /// Sends the blocks of an image, and shows how far it has come.
    fn send(
        &self,
        component: FirmwareComponent,
        name: &CStr,
        image: &[u8],
    ) -> Result<(), CommandError> {
        let device = &self.firmware.device;
        let block = self.firmware.caps.block_max as usize;
        // Longer than any slot: the device says so.
        let length = u32::try_from(image.len()).unwrap_or(u32::MAX);
        cmd::firmware::begin(device, component, length)?;
        let mut words = KVec::new();
        let mut sent = 0;
        self.update
            .progress(c"Flashing", Some(name), 0, image.len());
        for bytes in image.chunks(block) {
            cmd::firmware::write(device, component, sent, bytes, &mut words)?;
            sent = sent.saturating_add(bytes.len() as u32);
            self.update
                .progress(c"Flashing", Some(name), sent as usize, image.len());
        }
        let seconds = self.firmware.caps.verify_ms.div_ceil(1000);
        self.update.waits(c"Verifying", Some(name), seconds);
        cmd::firmware::verify(device, component)
    }
}

impl Target for Transfer<'_> {
    fn component(&mut self, part: &Component<'_>) -> Result {
        let component = u8::try_from(part.number).map(FirmwareComponent);
        let known = component
            .ok()
            .filter(|component| self.firmware.caps.components & component.bit() != 0)
            .and_then(|component| Some((component, name(component)?)));
        let Some((component, name)) = known else {
            return Err(refuse(
                self.extack.as_deref_mut(),
                EOPNOTSUPP,
                fmt!(
                    "package: the device has no component {}, which it is for",
                    part.number
                ),
            ));
        };
        self.send(component, name, part.image)
            .map_err(|error| refused(self.extack.as_deref_mut(), name, error))?;
        self.verified |= component.bit();
        Ok(())
    }

    fn finish(&mut self) -> Result {
        if self.verified == 0 {
            return Err(refuse(
                self.extack.as_deref_mut(),
                ENOENT,
                fmt!("package: it has nothing for this device"),
            ));
        }
        self.update.progress(c"Committing", None, 0, 0);
        cmd::firmware::commit(&self.firmware.device, self.verified)
            .map_err(|error| refused(self.extack.as_deref_mut(), c"commit", error))
    }
}
