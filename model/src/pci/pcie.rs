// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The PCI Express capability (version 2) and the other standard capabilities that several kinds of function share.

use super::config::Layout;

/// Command register.
pub const COMMAND: usize = 0x04;
/// Command: memory space enable.
pub const COMMAND_MEMORY: u16 = 1 << 1;
/// Command: bus master enable.
pub const COMMAND_MASTER: u16 = 1 << 2;
/// Command bits that software may set in a type 0 or type 1 function: memory, master, parity, SERR, INTx disable.
pub const COMMAND_WRITABLE: u32 = 0x0546;

/// Where the power management capability lies in every function that has one.
pub const PM: usize = 0x40;
/// Power management control and status.
pub const PM_CONTROL: usize = PM + 4;
const PM_CONTROL_STATE: u16 = 3;
const PM_NO_SOFT_RESET: u16 = 1 << 3;

/// Where the PCI Express capability lies in every function.
pub const PCIE: usize = 0x80;
/// Device control.
pub const DEVICE_CONTROL: usize = PCIE + 0x08;
/// Device control: initiate function level reset.
pub const DEVICE_CONTROL_FLR: u16 = 1 << 15;
/// Device status.
pub const DEVICE_STATUS: usize = PCIE + 0x0A;
/// Link control.
pub const LINK_CONTROL: usize = PCIE + 0x10;
/// Link control: link disable (root port).
pub const LINK_CONTROL_DISABLE: u16 = 1 << 4;
/// Link status.
pub const LINK_STATUS: usize = PCIE + 0x12;
/// Link status: data link layer is active.
pub const LINK_STATUS_ACTIVE: u16 = 1 << 13;
/// Slot control (root port).
pub const SLOT_CONTROL: usize = PCIE + 0x18;
/// Slot status (root port).
pub const SLOT_STATUS: usize = PCIE + 0x1A;
/// Device control 2.
pub const DEVICE_CONTROL_2: usize = PCIE + 0x28;
/// Device control 2: ARI forwarding enable (root port).
pub const DEVICE_CONTROL_2_ARI: u16 = 1 << 5;

const CAPABILITY_PM: u8 = 0x01;
const CAPABILITY_PCIE: u8 = 0x10;
const DEVICE_ROLE_BASED_ERRORS: u32 = 1 << 15;
const DEVICE_EXTENDED_TAG: u32 = 1 << 5;
const DEVICE_PAYLOAD_512: u32 = 2;
const DEVICE_FLR: u32 = 1 << 28;
const DEVICE_CONTROL_DEFAULT: u16 = 0x2810; // 512-byte read requests, relaxed ordering, no snoop
const LINK_32GT_X16: u16 = 5 | (16 << 4);
const LINK_ACTIVE_REPORTING: u32 = 1 << 20;
const LINK_SPEEDS: u32 = 0x3E; // 2.5 to 32 GT/s
const SLOT_POWER_CONTROLLER: u32 = 1 << 1;
const SLOT_HOT_PLUG_SURPRISE: u32 = 1 << 5;
const SLOT_HOT_PLUG: u32 = 1 << 6;
const SLOT_NO_COMMAND_COMPLETED: u32 = 1 << 18;
const SLOT_NUMBER: u32 = 1;

/// Kind of function, as the PCI Express capability names it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Endpoint: PF or VF. `physical` functions have link registers and settings of their own.
    Endpoint {
        /// PF, not VF.
        physical: bool,
    },
    /// Root port with a hot-plug slot.
    RootPort,
}

/// Adds the PCI Express capability at [`PCIE`].
pub fn add_pcie(layout: &mut Layout, kind: Kind) {
    layout.capability(CAPABILITY_PCIE, PCIE);
    let device = DEVICE_ROLE_BASED_ERRORS | DEVICE_PAYLOAD_512;
    match kind {
        Kind::Endpoint { physical } => {
            layout
                .u16(PCIE + 2, 0x0002)
                .u32(PCIE + 4, device | DEVICE_EXTENDED_TAG | DEVICE_FLR);
            if physical {
                layout
                    .u16(DEVICE_CONTROL, DEVICE_CONTROL_DEFAULT)
                    .writable(DEVICE_CONTROL, 0x7FFF)
                    .u32(PCIE + 0x24, 0x1F) // completion time-out ranges and disable
                    .writable(DEVICE_CONTROL_2, 0x1F)
                    .writable(LINK_CONTROL, 0x01FB);
            }
        }
        Kind::RootPort => {
            layout
                .u16(PCIE + 2, 0x0142) // version 2, root port, slot
                .u32(PCIE + 4, device)
                .writable(DEVICE_CONTROL, 0x00FF)
                .writable(LINK_CONTROL, 0x0FDB)
                .u32(
                    PCIE + 0x14,
                    SLOT_POWER_CONTROLLER
                        | SLOT_HOT_PLUG
                        | SLOT_HOT_PLUG_SURPRISE
                        | SLOT_NO_COMMAND_COMPLETED
                        | (SLOT_NUMBER << 19),
                )
                .writable(SLOT_CONTROL, 0x1FFF)
                .clear_by_one(SLOT_STATUS, 0x011F)
                .writable(PCIE + 0x1C, 0x000F) // root control
                .clear_by_one(PCIE + 0x20, 1 << 16) // root status: PME
                .u32(PCIE + 0x24, 0x3F) // completion time-out ranges and disable, ARI forwarding
                .writable(DEVICE_CONTROL_2, 0x3F);
        }
    }
    let reporting = if kind == Kind::RootPort {
        LINK_ACTIVE_REPORTING
    } else {
        0
    };
    layout
        .clear_by_one(DEVICE_STATUS, 0x000F)
        .u32(PCIE + 0x0C, u32::from(LINK_32GT_X16) | reporting)
        .u16(LINK_STATUS, LINK_32GT_X16)
        .u32(PCIE + 0x2C, LINK_SPEEDS);
    if kind != (Kind::Endpoint { physical: false }) {
        layout.u16(PCIE + 0x30, 5).writable(PCIE + 0x30, 0xF); // target link speed
    } else {
        layout.u16(LINK_STATUS, 0); // link registers of a VF are the PF's
    }
}

/// Adds the power management capability at [`PM`]: D0 and D3hot, whose way back does not reset.
pub fn add_power_management(layout: &mut Layout) {
    layout
        .capability(CAPABILITY_PM, PM)
        .u16(PM + 2, 3)
        .u16(PM_CONTROL, PM_NO_SOFT_RESET)
        .writable(PM_CONTROL, u32::from(PM_CONTROL_STATE));
}

/// Whether a power management control word says D0.
pub fn is_d0(control: u16) -> bool {
    control & PM_CONTROL_STATE == 0
}
