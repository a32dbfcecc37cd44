// SPDX-License-Identifier: GPL-2.0-only

//! What `devlink region` shows of a function: its registers, its configuration space, and core dumps.

use crate::{device::Device, health};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use oxnic_kapi::{
    devlink::{Content, Instance, Region},
    extack::{refuse, Extack},
    pci::CONFIG_SIZE, //
};

/// Room for a core dump in bytes. One that is longer is cut off; its header says how long it was.
const CORE_SIZE: usize = 256 << 10;
/// Dumps that are kept.
const CORES: u32 = 4;

/// `registers`: all register blocks of BAR 0.
struct Registers(Arc<Device>);

impl Content for Registers {
    const NAME: &'static CStr = c"registers";
    const SNAPSHOTS: u32 = 4;
    const DIRECT: bool = true;

    fn capture(&self, snapshot: &mut [u8], extack: Option<&mut Extack>) -> Result {
        self.read(0, snapshot, extack)
    }

    fn read(&self, offset: u64, data: &mut [u8], extack: Option<&mut Extack>) -> Result {
        let read = |word| self.0.registers.peek(word);
        fill(offset, data, read)
            .map_err(|error| refuse(extack, error, fmt!("the device does not answer")))
    }
}

/// `config`: the configuration space of the function.
struct Configuration(Arc<Device>);

impl Content for Configuration {
    const NAME: &'static CStr = c"config";
    const SNAPSHOTS: u32 = 4;
    const DIRECT: bool = true;

    fn capture(&self, snapshot: &mut [u8], extack: Option<&mut Extack>) -> Result {
        self.read(0, snapshot, extack)
    }

    fn read(&self, offset: u64, data: &mut [u8], extack: Option<&mut Extack>) -> Result {
        let read = |word| self.0.binding().read_config(word);
        fill(offset, data, read)
            .map_err(|error| refuse(extack, error, fmt!("the device does not answer")))
    }
}

/// Fills bytes from little-endian words of 32 bits at offsets that are multiples of 4.
fn fill(offset: u64, data: &mut [u8], read: impl Fn(u32) -> Result<u32>) -> Result {
    let mut at = u32::try_from(offset).map_err(|_| EINVAL)?;
    let mut rest = data;
    while !rest.is_empty() {
        let skip = (at % 4) as usize;
        let word = read(at - at % 4)?.to_le_bytes();
        let count = (4 - skip).min(rest.len());
        let (part, more) = rest.split_at_mut(count);
        part.copy_from_slice(&word[skip..skip + count]);
        at = at.checked_add(count as u32).ok_or(EINVAL)?;
        rest = more;
    }
    Ok(())
}

/// `core`: core dumps, see [`health`].
struct Core(Arc<Device>);

impl Content for Core {
    const NAME: &'static CStr = c"core";
    const SNAPSHOTS: u32 = CORES;
    const DIRECT: bool = false;

    fn capture(&self, snapshot: &mut [u8], extack: Option<&mut Extack>) -> Result {
        let core = health::core_dump(&self.0, extack)?;
        for (bytes, word) in snapshot.chunks_exact_mut(8).zip(&core) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Ok(())
    }
}

/// The regions of a function, until dropped.
pub(crate) struct Regions {
    _registers: Region<Registers>,
    _config: Region<Configuration>,
    core: Option<Region<Core>>,
}

impl Regions {
    /// Adds them to an instance. The function may not have been taken over yet.
    pub(crate) fn new(device: &Arc<Device>, instance: &Arc<Instance>) -> Result<Self> {
        let length = device.registers.length();
        let core = match device.registers.has_dumps() {
            true => Some(Region::new(instance, CORE_SIZE, Core(device.clone()))?),
            false => None,
        };
        Ok(Self {
            _registers: Region::new(instance, length, Registers(device.clone()))?,
            _config: Region::new(instance, CONFIG_SIZE, Configuration(device.clone()))?,
            core,
        })
    }

    /// A fatal fault is about to be told: takes a core dump, where the user wants that. The lock of the instance is held.
    pub(crate) fn take_core(&self, device: &Device) {
        let Some(core) = self
            .core
            .as_ref()
            .filter(|_| device.settings.takes_snapshots())
        else {
            return;
        };
        match core.take_snapshot() {
            Ok(number) => dev_info!(device.binding(), "core dump: snapshot {}\n", number),
            Err(error) => dev_warn!(device.binding(), "no core dump: {:?}\n", error),
        }
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_regions)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_words_that_they_are_in() -> Result {
        let word = |at: u32| {
            Ok(u32::from_le_bytes([
                at as u8,
                at as u8 + 1,
                at as u8 + 2,
                at as u8 + 3,
            ]))
        };
        for offset in 0..9 {
            for length in 0..9 {
                let mut data = [0xee; 9];
                fill(offset as u64, &mut data[..length], word)?;
                for (index, byte) in data.iter().enumerate() {
                    let wanted = if index < length {
                        (offset + index) as u8
                    } else {
                        0xee
                    };
                    assert_eq!(*byte, wanted);
                }
            }
        }
        assert_eq!(fill(1 << 32, &mut [0], word), Err(EINVAL));
        assert_eq!(fill(0, &mut [0], |_| Err(ENODEV)), Err(ENODEV));
        Ok(())
    }
}
