// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Advanced error reporting: what a function that meets an error records, and what the root port records of it.
//!
//! Both lie at [`AER`]. The registers are sticky: they survive FLR and bus reset, so that software can read after the reset
//! what led to it.

use super::config::{ConfigSpace, Layout};
use super::pcie::{DEVICE_CONTROL, DEVICE_STATUS};

/// Where the AER capability lies in PF and root port.
pub const AER: usize = 0x100;

const CAPABILITY_AER: u16 = 0x0001;
const UNCORRECTABLE_STATUS: usize = AER + 0x04;
const UNCORRECTABLE_MASK: usize = AER + 0x08;
const UNCORRECTABLE_SEVERITY: usize = AER + 0x0C;
const CORRECTABLE_STATUS: usize = AER + 0x10;
const CORRECTABLE_MASK: usize = AER + 0x14;
const CONTROL: usize = AER + 0x18;
const CONTROL_FIRST_ERROR: u32 = 0x1F;
const HEADER_LOG: usize = AER + 0x1C;
const ROOT_COMMAND: usize = AER + 0x2C;
const ROOT_STATUS: usize = AER + 0x30;
const ROOT_SOURCE_CORRECTABLE: usize = AER + 0x34;
const ROOT_SOURCE_UNCORRECTABLE: usize = AER + 0x36;

const UNCORRECTABLE_BITS: u32 = 0x045F_F030;
const UNCORRECTABLE_SEVERITY_DEFAULT: u32 = 0x0046_2030;
const UNCORRECTABLE_MASK_DEFAULT: u32 = 0x0040_0000; // internal errors
const CORRECTABLE_BITS: u32 = 0x0000_F1C1;
const CORRECTABLE_MASK_DEFAULT: u32 = 0x0000_E000; // advisory non-fatal, internal, header log overflow

const ROOT_CORRECTABLE: u32 = 1 << 0;
const ROOT_MULTIPLE_CORRECTABLE: u32 = 1 << 1;
const ROOT_UNCORRECTABLE: u32 = 1 << 2;
const ROOT_MULTIPLE_UNCORRECTABLE: u32 = 1 << 3;
const ROOT_FIRST_FATAL: u32 = 1 << 4;
const ROOT_NONFATAL: u32 = 1 << 5;
const ROOT_FATAL: u32 = 1 << 6;

/// Severity of an error message on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Hardware has repaired it.
    Correctable,
    /// A transaction was lost; the link works.
    NonFatal,
    /// The link or the function cannot be relied on.
    Fatal,
}

impl Severity {
    /// The name that the control channel uses.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "correctable" => Some(Severity::Correctable),
            "nonfatal" => Some(Severity::NonFatal),
            "fatal" => Some(Severity::Fatal),
            _ => None,
        }
    }

    /// Status bit of a typical error of this severity: receiver error, completion time-out, malformed packet.
    fn bit(self) -> u32 {
        match self {
            Severity::Correctable => 1 << 0,
            Severity::NonFatal => 1 << 14,
            Severity::Fatal => 1 << 18,
        }
    }

    /// Bit in device control (reporting enable) and device status (detected).
    fn device_bit(self) -> u16 {
        match self {
            Severity::Correctable => 1 << 0,
            Severity::NonFatal => 1 << 1,
            Severity::Fatal => 1 << 2,
        }
    }
}

/// Adds the AER capability; `root` adds the root port's registers.
pub fn add_aer(layout: &mut Layout, root: bool) {
    layout
        .extended(CAPABILITY_AER, 2, AER)
        .clear_by_one(UNCORRECTABLE_STATUS, UNCORRECTABLE_BITS)
        .sticky(UNCORRECTABLE_STATUS, UNCORRECTABLE_BITS)
        .u32(UNCORRECTABLE_MASK, UNCORRECTABLE_MASK_DEFAULT)
        .writable(UNCORRECTABLE_MASK, UNCORRECTABLE_BITS)
        .sticky(UNCORRECTABLE_MASK, UNCORRECTABLE_BITS)
        .u32(UNCORRECTABLE_SEVERITY, UNCORRECTABLE_SEVERITY_DEFAULT)
        .writable(UNCORRECTABLE_SEVERITY, UNCORRECTABLE_BITS)
        .sticky(UNCORRECTABLE_SEVERITY, UNCORRECTABLE_BITS)
        .clear_by_one(CORRECTABLE_STATUS, CORRECTABLE_BITS)
        .sticky(CORRECTABLE_STATUS, CORRECTABLE_BITS)
        .u32(CORRECTABLE_MASK, CORRECTABLE_MASK_DEFAULT)
        .writable(CORRECTABLE_MASK, CORRECTABLE_BITS)
        .sticky(CORRECTABLE_MASK, CORRECTABLE_BITS)
        .sticky(CONTROL, CONTROL_FIRST_ERROR);
    for word in 0..4 {
        layout.sticky(HEADER_LOG + 4 * word, u32::MAX);
    }
    if root {
        layout
            .writable(ROOT_COMMAND, 0x7)
            .clear_by_one(ROOT_STATUS, 0x7F)
            .sticky(ROOT_STATUS, 0x7F)
            .sticky(ROOT_SOURCE_CORRECTABLE, u32::MAX);
    }
}

/// The function meets an error of the wanted severity: records it, and returns the message that it sends, if any.
///
/// What software has made of the error's severity and mask is honoured, so that the message may be another than wanted,
/// or none.
pub fn detect(config: &mut ConfigSpace, wanted: Severity) -> Option<Severity> {
    let bit = wanted.bit();
    let (status, mask, severity) = if wanted == Severity::Correctable {
        (CORRECTABLE_STATUS, CORRECTABLE_MASK, Severity::Correctable)
    } else if config.u32(UNCORRECTABLE_SEVERITY) & bit != 0 {
        (UNCORRECTABLE_STATUS, UNCORRECTABLE_MASK, Severity::Fatal)
    } else {
        (UNCORRECTABLE_STATUS, UNCORRECTABLE_MASK, Severity::NonFatal)
    };
    let masked = config.u32(mask) & bit != 0;
    let before = config.u32(status);
    config.set_u32(status, before | bit);
    if severity != Severity::Correctable && !masked && before & UNCORRECTABLE_BITS == 0 {
        log_header(config, bit);
    }
    config.set_u16(
        DEVICE_STATUS,
        config.u16(DEVICE_STATUS) | severity.device_bit(),
    );
    let reported = config.u16(DEVICE_CONTROL) & severity.device_bit() != 0;
    (reported && !masked).then_some(severity)
}

/// First error pointer, and the header of the packet that is to blame: a 4-byte memory write.
fn log_header(config: &mut ConfigSpace, bit: u32) {
    let control = config.u32(CONTROL) & !CONTROL_FIRST_ERROR;
    config.set_u32(CONTROL, control | bit.trailing_zeros());
    for (word, value) in [0x4000_0001, 0x0000_000F, 0xFEE0_0000, 0]
        .into_iter()
        .enumerate()
    {
        config.set_u32(HEADER_LOG + 4 * word, value);
    }
}

/// The root port receives an error message from `source` (its routing id); returns whether it interrupts.
pub fn receive(config: &mut ConfigSpace, severity: Severity, source: u16) -> bool {
    let mut status = config.u32(ROOT_STATUS);
    let (first, multiple, kind, at) = match severity {
        Severity::Correctable => (
            ROOT_CORRECTABLE,
            ROOT_MULTIPLE_CORRECTABLE,
            0,
            ROOT_SOURCE_CORRECTABLE,
        ),
        Severity::NonFatal => (
            ROOT_UNCORRECTABLE,
            ROOT_MULTIPLE_UNCORRECTABLE,
            ROOT_NONFATAL,
            ROOT_SOURCE_UNCORRECTABLE,
        ),
        Severity::Fatal => (
            ROOT_UNCORRECTABLE,
            ROOT_MULTIPLE_UNCORRECTABLE,
            ROOT_FATAL,
            ROOT_SOURCE_UNCORRECTABLE,
        ),
    };
    if status & first != 0 {
        status |= multiple;
    } else {
        status |= first;
        if severity == Severity::Fatal {
            status |= ROOT_FIRST_FATAL;
        }
        config.set_u16(at, source);
    }
    config.set_u32(ROOT_STATUS, status | kind);
    interrupts(config)
}

/// Whether the root port has an error to report and may interrupt for it.
pub fn interrupts(config: &ConfigSpace) -> bool {
    let status = config.u32(ROOT_STATUS);
    let command = config.u32(ROOT_COMMAND);
    [(1, ROOT_CORRECTABLE), (2, ROOT_NONFATAL), (4, ROOT_FATAL)]
        .into_iter()
        .any(|(enable, bit)| command & enable != 0 && status & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn function(root: bool) -> ConfigSpace {
        let mut layout = Layout::new();
        add_aer(&mut layout, root);
        layout
            .writable(DEVICE_CONTROL, 0xF)
            .clear_by_one(DEVICE_STATUS, 0xF);
        ConfigSpace::new(&Arc::new(layout))
    }

    #[test]
    fn an_error_is_recorded_even_if_not_reported() {
        let mut config = function(false);
        assert_eq!(detect(&mut config, Severity::Fatal), None);
        assert_eq!(config.u32(UNCORRECTABLE_STATUS), 1 << 18);
        assert_eq!(config.u32(CONTROL), 18);
        assert_eq!(config.u16(DEVICE_STATUS), 4);
    }

    #[test]
    fn mask_and_severity_are_softwares() {
        let mut config = function(false);
        config.write(DEVICE_CONTROL, &[7]);
        assert_eq!(
            detect(&mut config, Severity::NonFatal),
            Some(Severity::NonFatal)
        );
        config.write(UNCORRECTABLE_SEVERITY, &(1u32 << 14).to_le_bytes());
        assert_eq!(
            detect(&mut config, Severity::NonFatal),
            Some(Severity::Fatal)
        );
        config.write(UNCORRECTABLE_MASK, &(1u32 << 14).to_le_bytes());
        assert_eq!(detect(&mut config, Severity::NonFatal), None);
    }

    #[test]
    fn root_port_keeps_the_first_source_and_counts_up_to_many() {
        let mut config = function(true);
        assert!(!receive(&mut config, Severity::Correctable, 0x100));
        config.write(ROOT_COMMAND, &[7]);
        assert!(interrupts(&config));
        assert!(receive(&mut config, Severity::Correctable, 0x101));
        assert_eq!(config.u32(ROOT_STATUS), 3);
        assert_eq!(config.u16(ROOT_SOURCE_CORRECTABLE), 0x100);
        config.write(ROOT_STATUS, &[3]);
        assert!(!interrupts(&config));
        assert!(receive(&mut config, Severity::Fatal, 0x108));
        assert_eq!(
            config.u32(ROOT_STATUS),
            ROOT_UNCORRECTABLE | ROOT_FIRST_FATAL | ROOT_FATAL
        );
        assert_eq!(config.u16(ROOT_SOURCE_UNCORRECTABLE), 0x108);
    }

    #[test]
    fn what_led_to_a_reset_survives_it() {
        let mut config = function(false);
        detect(&mut config, Severity::Fatal);
        config.reset();
        assert_eq!(config.u32(UNCORRECTABLE_STATUS), 1 << 18);
        config.write(UNCORRECTABLE_STATUS, &(1u32 << 18).to_le_bytes());
        assert_eq!(config.u32(UNCORRECTABLE_STATUS), 0);
    }
}
