// SPDX-License-Identifier: GPL-2.0-only

//! What `devlink region` shows of flash: the memory that the device keeps its firmware in, as it is.

use super::{refused, Firmware};
use crate::{cmd, device::Device};
use kernel::{prelude::*, sync::Arc};
use oxnic_kapi::{
    devlink::{Content, Instance, Region},
    extack::Extack, //
};

/// The most bytes that are shown. What lies behind them is not.
const SHOWN_MAX: u32 = 16 << 20;
/// What the region is called, by users and in refusals.
const NAME: &CStr = c"flash";

/// `flash`: the device reads it by command, in blocks.
pub(crate) struct Flash {
    device: Arc<Device>,
    block: usize,
}

impl Content for Flash {
    const NAME: &'static CStr = NAME;
    const SNAPSHOTS: u32 = 1;
    const DIRECT: bool = true;

    fn capture(&self, snapshot: &mut [u8], extack: Option<&mut Extack>) -> Result {
        self.read(0, snapshot, extack)
    }

    fn read(&self, offset: u64, data: &mut [u8], extack: Option<&mut Extack>) -> Result {
        let mut at = u32::try_from(offset).map_err(|_| EINVAL)?;
        for block in data.chunks_mut(self.block) {
            if let Err(error) = cmd::firmware::read(&self.device, at, block) {
                return Err(refused(extack, NAME, error));
            }
            at = at.checked_add(block.len() as u32).ok_or(EINVAL)?;
        }
        Ok(())
    }
}

impl Firmware {
    /// Adds the region to an instance; none where the device does not let flash be read. The lock of the instance is held or not.
    pub(crate) fn region(&self, instance: &Arc<Instance>) -> Result<Option<Region<Flash>>> {
        let length = self.caps.flash.min(SHOWN_MAX);
        if length == 0 {
            return Ok(None);
        }
        let content = Flash {
            device: self.device.clone(),
            block: self.caps.block_max as usize,
        };
        Region::new(instance, length as usize, content).map(Some)
    }
}
