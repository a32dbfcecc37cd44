// SPDX-License-Identifier: GPL-2.0-only

//! The register blocks of a function.
//!
//! [`Registers::discover`] walks the list of blocks once, with every length and offset checked, and reads what the function
//! publishes about itself; nothing in it is believed beyond sane bounds. Registers need no lock.

use kernel::{prelude::*, sync::Arc};
use oxnic_abi::{
    pci,
    regs::{self, device, BlockHeader, BlockKind}, //
};
use oxnic_kapi::{
    mmio::{self, Presence},
    pci::Binding, //
};

/// More blocks than that are a loop that a broken device made, or nothing that this driver could use.
const BLOCKS_MAX: usize = 64;
/// Bounds of the times that a device may publish, in milliseconds.
const TIMEOUT_BOUNDS: core::ops::RangeInclusive<u32> = 10..=60_000;

/// What a function says of itself before the handshake.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// The longest that a reset takes, in milliseconds.
    pub(crate) reset_ms: u32,
    /// The longest that a command takes, in milliseconds.
    pub(crate) command_ms: u32,
    /// Deepest admin ring, log2 of entries.
    pub(crate) admin_log2: u8,
    /// Deepest event ring, log2 of entries.
    pub(crate) event_log2: u8,
    /// MSI-X vectors.
    pub(crate) vectors: u16,
    /// The implementation's model number.
    pub(crate) model: u32,
    /// Interface version of the device.
    pub(crate) version: u32,
}

/// The registers of a function.
pub(crate) struct Registers {
    bar: mmio::Registers,
    health: Option<u32>,
    /// The health block is of version 2 at least.
    has_dumps: bool,
    self_test: Option<u32>,
    clock: Option<u32>,
    limits: Limits,
    length: usize,
}

impl Registers {
    /// Finds the blocks of a function.
    ///
    /// # Errors
    ///
    /// `ENODEV`: not a device of this interface, or gone; `EPROTO`: a broken list; `EPROTONOSUPPORT`: another major version.
    pub(crate) fn discover(binding: &Binding, presence: &Arc<Presence>) -> Result<Self> {
        let bar = mmio::Registers::map(
            binding,
            pci::BAR_REGISTERS,
            regs::DEVICE_BLOCK_LENGTH.into(),
            presence,
        )?;
        let first = block(&bar, 0)?;
        if bar.read(device::MAGIC)? != regs::MAGIC {
            dev_err!(
                binding,
                "BAR 0 does not hold the registers of an Oxnic device\n"
            );
            return Err(ENODEV);
        }
        let version = bar.read(device::ABI_VERSION)?;
        if version >> 16 != regs::ABI_VERSION >> 16 {
            dev_err!(
                binding,
                "the device speaks interface version {}.{}, the driver {}.{}\n",
                version >> 16,
                version & 0xffff,
                regs::ABI_VERSION >> 16,
                regs::ABI_VERSION & 0xffff
            );
            return Err(EPROTONOSUPPORT);
        }
        if first.kind != BlockKind::DEVICE
            || first.version < 1
            || first.length < regs::DEVICE_BLOCK_LENGTH
        {
            dev_err!(binding, "the device block is too short or not the first\n");
            return Err(EPROTO);
        }
        let limits = Limits::read(&bar, version)?;
        let mut this = Self {
            bar,
            health: None,
            has_dumps: false,
            self_test: None,
            clock: None,
            limits,
            length: regs::DEVICE_BLOCK_LENGTH.into(),
        };
        this.find_blocks(binding, first)?;
        Ok(this)
    }

    fn find_blocks(&mut self, binding: &Binding, first: BlockHeader) -> Result {
        let (mut offset, mut header) = (0u32, first);
        for _ in 0..BLOCKS_MAX {
            let end = u64::from(offset) + u64::from(header.length);
            if header.length < 8 || end > self.bar.size() as u64 {
                dev_err!(
                    binding,
                    "the {} block at {:#x} does not fit BAR 0\n",
                    header.kind.text(),
                    offset
                );
                return Err(EPROTO);
            }
            self.length = self.length.max(end as usize & !3);
            match header.kind {
                BlockKind::HEALTH if header.length >= regs::HEALTH_BLOCK_LENGTH => {
                    self.health = Some(offset);
                    self.has_dumps =
                        header.version >= 2 && header.length >= regs::HEALTH_BLOCK_LENGTH_2;
                }
                BlockKind::SELF_TEST if header.length >= regs::SELF_TEST_BLOCK_LENGTH => {
                    self.self_test = Some(offset)
                }
                BlockKind::CLOCK if header.length >= regs::CLOCK_BLOCK_LENGTH => {
                    self.clock = Some(offset)
                }
                _ => {}
            }
            let next = u32::from(header.next);
            if next == 0 {
                return Ok(());
            }
            if next <= offset || next % 8 != 0 {
                break;
            }
            offset = next;
            header = block(&self.bar, offset)?;
        }
        dev_err!(
            binding,
            "the list of register blocks is broken at {:#x}\n",
            offset
        );
        Err(EPROTO)
    }

    /// What the function said of itself.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Where the last block that the driver knows ends, in bytes; a multiple of 4.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Reads a register of the device block.
    pub(crate) fn read(&self, register: u32) -> Result<u32> {
        self.bar.read(register)
    }

    /// Reads a word of any block, for somebody who only looks: one may hold all ones.
    pub(crate) fn peek(&self, offset: u32) -> Result<u32> {
        self.bar.peek(offset)
    }

    /// Writes a register of the device block.
    pub(crate) fn write(&self, register: u32, value: u32) -> Result {
        self.bar.write(register, value)
    }

    /// Writes a register of 64 bits of the device block.
    pub(crate) fn write64(&self, register: u32, value: u64) -> Result {
        self.bar.write(register, value as u32)?;
        self.bar.write(register + 4, (value >> 32) as u32)
    }

    /// Reads a register of the health block, if there is such a block.
    pub(crate) fn read_health(&self, register: u32) -> Result<Option<u32>> {
        self.health
            .map(|base| self.bar.read(base + register))
            .transpose()
    }

    /// Whether the function can be told what is known of its errors, and makes dumps.
    pub(crate) fn has_dumps(&self) -> bool {
        self.has_dumps
    }

    /// Writes a register of the health block.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: it has none that can be written.
    pub(crate) fn write_health(&self, register: u32, value: u32) -> Result {
        match self.health {
            Some(base) if self.has_dumps => self.bar.write(base + register, value),
            _ => Err(EOPNOTSUPP),
        }
    }

    /// Reads a register of the self-test block.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: the device has none.
    pub(crate) fn read_self_test(&self, register: u32) -> Result<u32> {
        self.bar.read(self.self_test.ok_or(EOPNOTSUPP)? + register)
    }

    /// Writes a register of the self-test block.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: the device has none.
    pub(crate) fn write_self_test(&self, register: u32, value: u32) -> Result {
        self.bar
            .write(self.self_test.ok_or(EOPNOTSUPP)? + register, value)
    }
}

impl Registers {
    /// The time of the device's clock, in nanoseconds.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: the device has none; `ENODEV`: it does not answer.
    pub(crate) fn read_clock(&self) -> Result<u64> {
        self.bar
            .read64(self.clock.ok_or(EOPNOTSUPP)? + regs::clock::TIME)
    }
}

impl Limits {
    fn read(bar: &mmio::Registers, version: u32) -> Result<Self> {
        let depth = bar.read(device::DEPTH_MAX)?;
        Ok(Self {
            reset_ms: bounded_ms(bar.read(device::RESET_TIMEOUT)?),
            command_ms: bounded_ms(bar.read(device::COMMAND_TIMEOUT)?),
            admin_log2: depth as u8,
            event_log2: (depth >> 8) as u8,
            vectors: u16::try_from(bar.read(device::VECTORS)?).unwrap_or(u16::MAX),
            model: bar.read(device::MODEL)?,
            version,
        })
    }
}

/// A time that a device publishes, in milliseconds, as far as it is waited for.
pub(crate) fn bounded_ms(ms: u32) -> u32 {
    ms.clamp(*TIMEOUT_BOUNDS.start(), *TIMEOUT_BOUNDS.end())
}

fn block(bar: &mmio::Registers, offset: u32) -> Result<BlockHeader> {
    let low = bar
        .read(offset)
        .map_err(|error| if error == ERANGE { EPROTO } else { error })?;
    let high = bar
        .read(offset + 4)
        .map_err(|error| if error == ERANGE { EPROTO } else { error })?;
    Ok(BlockHeader::from_words(&[
        u64::from(low) | u64::from(high) << 32
    ]))
}
