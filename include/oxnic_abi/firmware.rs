// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Firmware: what runs in the device, how it is updated, and how an update takes effect.
//!
//! A device with [`crate::caps::CapabilityId::FIRMWARE`] runs one build of each of its components. It has each component three
//! times: as it was made (slot 0, which nothing can write), and in two slots that can be written. The slots that run, and those
//! that would run after a failure, are never written; so an update that ends at any point leaves a device that starts.
//!
//! ```text
//! BEGIN -> WRITE... -> VERIFY -> COMMIT -> ACTIVATE -> trial -> proven
//!            |            |                   |          |
//!            +------------+---- refused ------+          +-> rolled back
//! ```
//!
//! All of it is the PF's. None of it but ACTIVATE has an effect on what the device does.

use crate::{open_enum, wire};

/// Length in bytes of a version: ASCII, with zeros behind it.
pub const VERSION_MAX: usize = 32;
/// Length in bytes of the head of an image, [`FirmwareImage`].
pub const IMAGE_HEAD: u32 = 256;
/// Bytes of the head that are signed: those before the signature.
pub const IMAGE_SIGNED: u32 = 192;
/// Value of [`FirmwareImage::magic`]: the letters "OXFW", first letter in the lowest byte.
pub const IMAGE_MAGIC: u32 = u32::from_le_bytes(*b"OXFW");
/// Value of [`FirmwareImage::format`].
pub const IMAGE_FORMAT: u16 = 1;

open_enum! {
    /// What is updated by itself. Also the component identifier in a package.
    pub enum FirmwareComponent: u8 {
        /// What answers commands.
        MANAGEMENT = 1: "management",
        /// What handles packets.
        PIPELINE = 2: "pipeline",
        /// What starts the others.
        BOOT = 3: "boot",
    }
}

impl FirmwareComponent {
    /// Its bit in a set of components; 0 for a number that no set can hold.
    pub const fn bit(self) -> u32 {
        if self.0 < 32 {
            1 << self.0
        } else {
            0
        }
    }
}

wire! {
    /// Capability [`crate::caps::CapabilityId::FIRMWARE`].
    pub struct FirmwareCaps: 4 {
        /// Components that there are: bit n for number n.
        0: components: u32,
        /// Longest image in bytes, its head included.
        4: image_max: u32,
        /// Longest block of WRITE and of READ in bytes, [`IMAGE_HEAD`] to [`crate::command::BUFFER_MAX`].
        8: block_max: u32,
        /// The longest that VERIFY takes, in milliseconds; no more than COMMAND_TIMEOUT.
        12: verify_ms: u32,
        /// How long new firmware is on trial after the handshake, in milliseconds.
        16: trial_ms: u32,
        /// The longest that packets rest for a live activation, in milliseconds.
        20: pause_ms: u32,
        /// Length in bytes of the memory that firmware is in, which READ reads; 0: there is no READ.
        24: flash: u32,
    }
}

wire! {
    /// Parameters of [`crate::command::Opcode::FIRMWARE_QUERY`], FIRMWARE_VERIFY and FIRMWARE_CHECK.
    pub struct FirmwareId: 5 {
        /// Which.
        0: component: FirmwareComponent,
    }
}

wire! {
    /// Parameters of [`crate::command::Opcode::FIRMWARE_COMMIT`] and FIRMWARE_ABORT.
    pub struct FirmwareSet: 5 {
        /// Which: bit n for number n; one or more.
        0: components: u32,
    }
}

wire! {
    /// Parameters of [`crate::command::Opcode::FIRMWARE_BEGIN`].
    pub struct FirmwareBegin: 5 {
        /// Which.
        0: component: FirmwareComponent,
        /// Length of the image in bytes, head included.
        4: length: u32,
    }
}

wire! {
    /// Parameters of [`crate::command::Opcode::FIRMWARE_WRITE`].
    pub struct FirmwareWrite: 5 {
        /// Which.
        0: component: FirmwareComponent,
        /// Where in the image the block belongs, in bytes: right behind the one before.
        4: offset: u32,
        /// Length of the block in bytes; the buffer may be longer.
        8: length: u32,
    }
}

wire! {
    /// Parameters of [`crate::command::Opcode::FIRMWARE_READ`].
    pub struct FirmwareRead: 5 {
        /// Where in flash the part begins, in bytes.
        0: offset: u32,
        /// Its length in bytes, 1 to [`FirmwareCaps::block_max`].
        4: length: u32,
    }
}

wire! {
    /// Parameters of [`crate::command::Opcode::FIRMWARE_ACTIVATE`].
    pub struct FirmwareActivate: 5 {
        /// How.
        0: how: FirmwareActivation,
    }
}

open_enum! {
    /// How committed firmware takes effect.
    pub enum FirmwareActivation: u8 {
        /// Not before the device is powered on the next time; takes RESET back.
        POWER_ON = 0: "power-on",
        /// In the next reset of the PF, whoever asks for it.
        RESET = 1: "reset",
        /// At once, without a reset.
        LIVE = 2: "live",
    }
}

wire! {
    /// Answer of [`crate::command::Opcode::FIRMWARE_QUERY`].
    pub struct FirmwareInfo: 18 {
        /// Slot that runs, 0 to 2.
        0: running: u8,
        /// Slot that is started next; the one that runs, unless something was committed since.
        1: stored: u8,
        /// Where the build that runs is in its life.
        2: state: FirmwareState,
        /// Why the last build that was tried does not run; NONE if it does.
        3: fault: FirmwareFault,
        /// See [`firmware_flags`].
        4: flags: u16,
        /// Least security number that an image must have.
        8: security: u32,
        /// Bytes of an image that were taken since BEGIN; 0 where no update is under way.
        12: written: u32,
        /// Version as the device was made.
        16: fixed: [u8; 32],
        /// Version that runs.
        48: running_version: [u8; 32],
        /// Version in the slot `stored`.
        80: stored_version: [u8; 32],
        /// Version that `fault` is about; zero with NONE.
        112: failed_version: [u8; 32],
    }
}

wire! {
    /// Answer of [`crate::command::Opcode::FIRMWARE_CHECK`]. Bit n of a field stands for slot n.
    pub struct FirmwareCheck: 1 {
        /// Slots that were read: all that the device runs, or might start.
        0: checked: u8,
        /// Those of them whose content is not what was committed, or cannot be read.
        1: damaged: u8,
    }
}

/// Bits of [`FirmwareInfo::flags`].
pub mod firmware_flags {
    /// What is stored can be activated LIVE.
    pub const LIVE: u16 = 1 << 0;
    /// It is activated in the next reset of the PF.
    pub const ARMED: u16 = 1 << 1;
}

open_enum! {
    /// Where a build is in its life.
    pub enum FirmwareState: u8 {
        /// It has proven itself, or is what the device was made with.
        PROVEN = 0: "proven",
        /// It has been started and is being watched.
        TRIAL = 1: "on trial",
    }
}

open_enum! {
    /// Why a build was given up for the one before.
    pub enum FirmwareFault: u8 {
        /// It was not.
        NONE = 0: "none",
        /// Its content in the slot is damaged.
        DAMAGED = 1: "damaged in its slot",
        /// Its self-test has failed.
        SELF_TEST = 2: "failed its self-test",
        /// It did not get ready in time.
        HANG = 3: "did not get ready in time",
        /// It stopped while it was on trial.
        CRASH = 4: "stopped while on trial",
        /// Power was lost during each of its trials.
        POWER = 5: "lost power in each of its trials",
    }
}

open_enum! {
    /// Detail of [`crate::event::EventKind::FIRMWARE`].
    pub enum FirmwareNews: u16 {
        /// The build on trial has proven itself.
        PROVEN = 1: "proven",
        /// The build on trial was given up; the one before runs.
        ROLLED_BACK = 2: "rolled back",
    }
}

wire! {
    /// Head of an image, which the content follows. All of an image but the signature is covered by it: it is of the bytes before it,
    /// and these have the hash of the content.
    pub struct FirmwareImage: 32 {
        /// [`IMAGE_MAGIC`].
        0: magic: u32,
        /// [`IMAGE_FORMAT`].
        4: format: u16,
        /// What it is.
        6: component: FirmwareComponent,
        /// PCI vendor of the PF that it is for.
        8: vendor: u16,
        /// PCI device of the PF that it is for.
        10: device: u16,
        /// [`crate::regs::device::MODEL`] of the device that it is for.
        12: model: u32,
        /// Grows with each build whose predecessors must not come back.
        16: security: u32,
        /// Length of the content in bytes.
        20: content: u32,
        /// See [`image_flags`].
        24: flags: u32,
        /// Version.
        32: version: [u8; 32],
        /// SHA-256 of the content.
        64: hash: [u8; 32],
        /// Public key (Ed25519) that the signature is of, for the device to choose among those that it trusts.
        96: key: [u8; 32],
        /// Ed25519 signature of the bytes before it; zero: not signed.
        192: signature: [u8; 64],
    }
}

/// Bits of [`FirmwareImage::flags`].
pub mod image_flags {
    /// The build can take over from the one before it while packets flow.
    pub const LIVE: u32 = 1 << 0;
}
