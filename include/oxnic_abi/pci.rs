// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! PCI identity and base address registers.
//!
//! BARs are 64-bit and prefetchable. Each function has three, of the sizes below; none holds anything of another function.

/// Vendor id of the reference device. It is not assigned to anyone: an implementer uses its own and has the driver match it.
pub const VENDOR_ID: u16 = 0x6f78;
/// Device id of a physical function.
pub const PF_DEVICE_ID: u16 = 0x0001;
/// Device id of a virtual function.
pub const VF_DEVICE_ID: u16 = 0x0002;
/// Class code: network controller, Ethernet.
pub const CLASS: u32 = 0x02_00_00;

/// Register blocks, see [`crate::regs`].
pub const BAR_REGISTERS: u8 = 0;
/// Doorbell pages, see [`crate::doorbell`].
pub const BAR_DOORBELLS: u8 = 2;
/// MSI-X table at 0 and pending bit array at [`MSIX_PBA_OFFSET`].
pub const BAR_MSIX: u8 = 4;

/// Size of BAR 0 of a PF in bytes.
pub const PF_REGISTERS_SIZE: u64 = 0x1_0000;
/// Size of BAR 2 of a PF in bytes.
pub const PF_DOORBELLS_SIZE: u64 = 0x1_0000;
/// Size of BAR 0 of a VF in bytes.
pub const VF_REGISTERS_SIZE: u64 = 0x4000;
/// Size of BAR 2 of a VF in bytes.
pub const VF_DOORBELLS_SIZE: u64 = 0x4000;
/// Size of BAR 4 in bytes.
pub const MSIX_SIZE: u64 = 0x4000;
/// Offset of the pending bit array in BAR 4.
pub const MSIX_PBA_OFFSET: u64 = 0x3000;
/// The largest MSI-X table that fits before the pending bit array.
pub const MSIX_VECTORS_MAX: u16 = (MSIX_PBA_OFFSET / 16) as u16;

/// The most VFs a PF may have.
pub const VFS_MAX: u16 = 128;
/// The most wire ports a PF may have.
pub const PORTS_MAX: u8 = 4;
