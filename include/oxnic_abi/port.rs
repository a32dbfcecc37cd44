// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Wire ports.

use crate::{open_enum, wire};

wire! {
    /// Answer of [`crate::command::Opcode::PORT_QUERY`].
    pub struct PortInfo: 6 {
        /// Speed in force in Mbit/s; 0 while the link is down.
        0: speed: u32,
        /// Speeds that the port can be set to, see [`speeds`].
        4: supported: u32,
        /// Speed that was set in Mbit/s; 0: the port's fastest.
        8: speed_set: u32,
        /// 1: the link is up (enabled here, and a carrier on the wire).
        12: link: u8,
        /// 1: enabled by the driver.
        13: enabled: u8,
        /// 1: full duplex, 0: half.
        14: duplex: u8,
        /// What is plugged in.
        15: medium: Medium,
        /// Times that the link went down since the device started.
        16: link_downs: u32,
        /// Burnt-in address in transmission order.
        24: mac: [u8; 6],
        /// Number of the port in the eswitch.
        30: eswitch_port: u16,
        /// Identifies the eswitch: the same for all its ports, different for any other. 8 bytes.
        32: switch_id: [u8; 8],
        /// Why the link is down.
        40: reason: DownReason,
        /// Forward error correction in force; OFF while the link is down.
        41: fec: Fec,
        /// The one that was set.
        42: fec_set: Fec,
        /// What can be set at the speed that is set: bit n for value n of [`Fec`].
        43: fec_modes: u8,
    }
}

open_enum! {
    /// Forward error correction of a wire port.
    pub enum Fec: u8 {
        /// The strongest that the speed has.
        AUTO = 0: "auto",
        /// None.
        OFF = 1: "off",
        /// BASE-R, IEEE 802.3 clause 74.
        BASE_R = 2: "BASE-R",
        /// Reed-Solomon, IEEE 802.3 clauses 91, 108, 119 and 134.
        REED_SOLOMON = 3: "Reed-Solomon",
    }
}

impl Fec {
    /// Its bit in [`PortInfo::fec_modes`]; 0 for a value that no set can hold.
    pub const fn bit(self) -> u8 {
        if self.0 < 8 {
            1 << self.0
        } else {
            0
        }
    }
}

open_enum! {
    /// Why the link of a wire port is down.
    pub enum DownReason: u8 {
        /// It is up, or the reason is not known.
        NONE = 0: "no reason",
        /// Nothing is plugged in.
        NO_MODULE = 1: "nothing is plugged in",
        /// Disabled by the driver.
        DISABLED = 2: "disabled by the driver",
        /// The far end cannot be heard.
        NO_SIGNAL = 3: "no signal from the far end",
    }
}

wire! {
    /// Parameters of [`crate::command::Opcode::PORT_MODULE`]. Addresses are those of SFF-8472, SFF-8636 and CMIS.
    pub struct ModuleRead: 5 {
        /// Page of the upper half.
        0: page: u8,
        /// Bank of the page; 0 where the module has no banks.
        1: bank: u8,
        /// Address on the two-wire bus, without the bit for reading: 0x50, or 0x51 of SFF-8472.
        2: address: u8,
        /// First byte; from [`MODULE_HALF`] on it is in the page.
        3: offset: u8,
        /// Bytes to read, 1 to [`MODULE_HALF`]; all in one half.
        4: length: u8,
    }
}

/// Bytes of each half of what can be seen of a module's memory at a time.
pub const MODULE_HALF: usize = 128;

open_enum! {
    /// What is plugged into a wire port.
    pub enum Medium: u8 {
        /// Not known.
        UNKNOWN = 0: "unknown",
        /// Nothing.
        NONE = 1: "none",
        /// Direct attach copper.
        DIRECT_ATTACH = 2: "direct attach copper",
        /// Fibre.
        FIBRE = 3: "fibre",
        /// Twisted pair.
        TWISTED_PAIR = 4: "twisted pair",
    }
}

wire! {
    /// Parameters of [`crate::command::Opcode::PORT_SET`].
    pub struct PortConfig: 5 {
        /// Which fields are meant, see [`port_fields`].
        0: fields: u32,
        /// Speed in Mbit/s, one of the supported ones; 0: the fastest.
        4: speed: u32,
        /// 1: enabled.
        8: enabled: u8,
        /// Forward error correction, one of those that the speed has.
        9: fec: Fec,
    }
}

/// Bits of [`PortConfig::fields`].
pub mod port_fields {
    /// `speed`.
    pub const SPEED: u32 = 1 << 0;
    /// `enabled`.
    pub const ENABLED: u32 = 1 << 1;
    /// `fec`.
    pub const FEC: u32 = 1 << 2;
    /// All of them.
    pub const ALL: u32 = 7;
}

wire! {
    /// Parameters of [`crate::command::Opcode::PORT_IDENTIFY`].
    pub struct PortIdentify: 5 {
        /// 1: blink, 0: stop.
        0: on: u8,
    }
}

/// Bits of [`PortInfo::supported`].
pub mod speeds {
    /// 1 Gbit/s.
    pub const S1G: u32 = 1 << 0;
    /// 10 Gbit/s.
    pub const S10G: u32 = 1 << 1;
    /// 25 Gbit/s.
    pub const S25G: u32 = 1 << 2;
    /// 40 Gbit/s.
    pub const S40G: u32 = 1 << 3;
    /// 50 Gbit/s.
    pub const S50G: u32 = 1 << 4;
    /// 100 Gbit/s.
    pub const S100G: u32 = 1 << 5;
    /// 200 Gbit/s.
    pub const S200G: u32 = 1 << 6;
    /// 400 Gbit/s.
    pub const S400G: u32 = 1 << 7;
    /// Bit and Mbit/s of every speed, slowest first.
    pub const ALL: [(u32, u32); 8] = [
        (S1G, 1_000),
        (S10G, 10_000),
        (S25G, 25_000),
        (S40G, 40_000),
        (S50G, 50_000),
        (S100G, 100_000),
        (S200G, 200_000),
        (S400G, 400_000),
    ];
}
