// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The root port above the PF: bus numbers and windows, link, hot-plug slot, error reporting, and its MSI.
//!
//! The slot has a power controller and no indicators. The link is up when a device is present, its power is on, the link
//! is not disabled and the secondary bus is not in reset; each change of that is an event (data link layer state changed).

use super::aer;
use super::config::{ConfigSpace, Layout};
use super::msix::Message;
use super::pcie::{
    self, COMMAND, COMMAND_MASTER, COMMAND_MEMORY, COMMAND_WRITABLE, DEVICE_CONTROL_2,
    DEVICE_CONTROL_2_ARI, Kind, LINK_CONTROL, LINK_CONTROL_DISABLE, LINK_STATUS,
    LINK_STATUS_ACTIVE, SLOT_CONTROL, SLOT_STATUS,
};
use oxnic_abi::pci::VENDOR_ID;
use std::sync::Arc;

const ROOT_PORT_DEVICE: u16 = 0x0003;
const PRIMARY_BUS: usize = 0x18;
const SECONDARY_BUS: usize = 0x19;
const MEMORY_WINDOW: usize = 0x20;
const PREFETCHABLE_WINDOW: usize = 0x24;
const PREFETCHABLE_BASE_UPPER: usize = 0x28;
const PREFETCHABLE_LIMIT_UPPER: usize = 0x2C;
const BRIDGE_CONTROL: usize = 0x3E;
const BRIDGE_CONTROL_SERR: u16 = 1 << 1;
const BRIDGE_CONTROL_RESET: u16 = 1 << 6;

const MSI: usize = 0x50;
const MSI_CONTROL: usize = MSI + 2;
const MSI_CONTROL_ENABLE: u16 = 1;
const MSI_CONTROL_64BIT: u16 = 1 << 7;
const CAPABILITY_MSI: u8 = 0x05;

const CAPABILITY_ACS: u16 = 0x000D;
const ACS: usize = 0x148;

const SLOT_CONTROL_PRESENCE: u16 = 1 << 3;
const SLOT_CONTROL_HOT_PLUG: u16 = 1 << 5;
const SLOT_CONTROL_POWER_OFF: u16 = 1 << 10;
const SLOT_CONTROL_LINK: u16 = 1 << 12;
const SLOT_STATUS_PRESENCE_CHANGED: u16 = 1 << 3;
const SLOT_STATUS_PRESENT: u16 = 1 << 6;
const SLOT_STATUS_LINK_CHANGED: u16 = 1 << 8;

/// What a write to the root port has done to the bus below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkChange {
    /// The link is as it was.
    None,
    /// The functions below lose their state, and cannot be reached until the link is up.
    Down,
    /// The functions below can be reached.
    Up,
}

/// The root port.
#[derive(Debug)]
pub struct RootPort {
    config: ConfigSpace,
    present: bool,
    link: bool,
}

impl Default for RootPort {
    fn default() -> Self {
        Self::new()
    }
}

impl RootPort {
    /// As after power-on, with a device in its slot.
    pub fn new() -> Self {
        let mut layout = Layout::new();
        layout
            .u16(0x00, VENDOR_ID)
            .u16(0x02, ROOT_PORT_DEVICE)
            .writable(COMMAND, COMMAND_WRITABLE)
            .u32(0x08, 0x0604_0000)
            .u16(0x0E, 1)
            .writable(PRIMARY_BUS, 0x00FF_FFFF)
            .writable(MEMORY_WINDOW, 0xFFF0_FFF0)
            .u32(PREFETCHABLE_WINDOW, 0x0001_0001)
            .writable(PREFETCHABLE_WINDOW, 0xFFF0_FFF0)
            .writable(PREFETCHABLE_BASE_UPPER, u32::MAX)
            .writable(PREFETCHABLE_LIMIT_UPPER, u32::MAX)
            .writable(BRIDGE_CONTROL, 0x0043);
        pcie::add_power_management(&mut layout);
        layout
            .capability(CAPABILITY_MSI, MSI)
            .u16(MSI_CONTROL, MSI_CONTROL_64BIT)
            .writable(MSI_CONTROL, u32::from(MSI_CONTROL_ENABLE))
            .writable(MSI + 4, !3)
            .writable(MSI + 8, u32::MAX)
            .writable(MSI + 12, 0xFFFF);
        pcie::add_pcie(&mut layout, Kind::RootPort);
        aer::add_aer(&mut layout, true);
        // Functions below never reach each other through the port, whatever software chooses.
        layout
            .extended(CAPABILITY_ACS, 1, ACS)
            .u16(ACS + 4, 0x001D)
            .writable(ACS + 6, 0x001D);
        let mut port = RootPort {
            config: ConfigSpace::new(&Arc::new(layout)),
            present: true,
            link: true,
        };
        port.show_link();
        port
    }

    /// Configuration read.
    pub fn read(&self, offset: usize, data: &mut [u8]) {
        self.config.read(offset, data);
    }

    /// Configuration write; appends interrupts to `messages`.
    pub fn write(&mut self, offset: usize, data: &[u8], messages: &mut Vec<Message>) -> LinkChange {
        let waiting = (self.slot_interrupts(), aer::interrupts(&self.config));
        self.config.write(offset, data);
        let change = self.update_link(messages);
        // An enable that meets an event from before interrupts, too.
        if !waiting.0 && self.slot_interrupts() && change == LinkChange::None
            || !waiting.1 && aer::interrupts(&self.config)
        {
            self.interrupt(messages);
        }
        change
    }

    /// A device is put into the slot or pulled out of it.
    pub fn set_present(&mut self, present: bool, messages: &mut Vec<Message>) -> LinkChange {
        if present == self.present {
            return LinkChange::None;
        }
        self.present = present;
        self.slot_event(SLOT_STATUS_PRESENCE_CHANGED);
        let change = self.update_link(messages);
        if change == LinkChange::None && self.slot_interrupts() {
            self.interrupt(messages);
        }
        change
    }

    /// Whether a device is in the slot.
    pub fn is_present(&self) -> bool {
        self.present
    }

    /// Whether the functions below can be reached.
    pub fn has_link(&self) -> bool {
        self.link
    }

    /// Whether the functions below may master the bus.
    pub fn masters(&self) -> bool {
        self.link && self.config.u16(COMMAND) & COMMAND_MASTER != 0
    }

    /// The bus below, if software has given it a number.
    pub fn secondary_bus(&self) -> Option<u8> {
        let bus = self.config.u8(SECONDARY_BUS);
        (bus != 0).then_some(bus)
    }

    /// Whether devices below may use all 8 bits of the function number.
    pub fn forwards_ari(&self) -> bool {
        self.config.u16(DEVICE_CONTROL_2) & DEVICE_CONTROL_2_ARI != 0
    }

    /// The two windows (base, last address) that the port passes on; an empty one has its base above its end.
    pub fn windows(&self) -> [(u64, u64); 2] {
        if !self.link || self.config.u16(COMMAND) & COMMAND_MEMORY == 0 {
            return [(1, 0); 2];
        }
        let part = |offset: usize| u64::from(self.config.u16(offset) & 0xFFF0) << 16;
        let upper = |offset: usize| u64::from(self.config.u32(offset)) << 32;
        let end = 0xF_FFFF;
        [
            (part(MEMORY_WINDOW), part(MEMORY_WINDOW + 2) | end),
            (
                part(PREFETCHABLE_WINDOW) | upper(PREFETCHABLE_BASE_UPPER),
                part(PREFETCHABLE_WINDOW + 2) | upper(PREFETCHABLE_LIMIT_UPPER) | end,
            ),
        ]
    }

    /// An error message from function `devfn` below arrives.
    pub fn receive_error(
        &mut self,
        severity: aer::Severity,
        devfn: u8,
        messages: &mut Vec<Message>,
    ) {
        let Some(bus) = self.secondary_bus() else {
            return;
        };
        if self.config.u16(BRIDGE_CONTROL) & BRIDGE_CONTROL_SERR == 0 {
            return;
        }
        let source = (u16::from(bus) << 8) | u16::from(devfn);
        if aer::receive(&mut self.config, severity, source) {
            self.interrupt(messages);
        }
    }

    /// Brings the link to where presence, power, link disable and bus reset want it.
    fn update_link(&mut self, messages: &mut Vec<Message>) -> LinkChange {
        let up = self.present
            && self.config.u16(SLOT_CONTROL) & SLOT_CONTROL_POWER_OFF == 0
            && self.config.u16(LINK_CONTROL) & LINK_CONTROL_DISABLE == 0
            && self.config.u16(BRIDGE_CONTROL) & BRIDGE_CONTROL_RESET == 0;
        if up == self.link {
            self.show_link();
            return LinkChange::None;
        }
        self.link = up;
        self.show_link();
        self.slot_event(SLOT_STATUS_LINK_CHANGED);
        if self.slot_interrupts() {
            self.interrupt(messages);
        }
        if up { LinkChange::Up } else { LinkChange::Down }
    }

    /// Link and presence as the status registers show them.
    fn show_link(&mut self) {
        let set = |value: u16, bit: u16, on: bool| if on { value | bit } else { value & !bit };
        let link = set(self.config.u16(LINK_STATUS), LINK_STATUS_ACTIVE, self.link);
        self.config.set_u16(LINK_STATUS, link);
        let slot = set(
            self.config.u16(SLOT_STATUS),
            SLOT_STATUS_PRESENT,
            self.present,
        );
        self.config.set_u16(SLOT_STATUS, slot);
    }

    fn slot_event(&mut self, event: u16) {
        let status = self.config.u16(SLOT_STATUS);
        self.config.set_u16(SLOT_STATUS, status | event);
    }

    /// Whether the slot has an event that software wants an interrupt for.
    fn slot_interrupts(&self) -> bool {
        let control = self.config.u16(SLOT_CONTROL);
        let status = self.config.u16(SLOT_STATUS);
        control & SLOT_CONTROL_HOT_PLUG != 0
            && (control & SLOT_CONTROL_PRESENCE != 0 && status & SLOT_STATUS_PRESENCE_CHANGED != 0
                || control & SLOT_CONTROL_LINK != 0 && status & SLOT_STATUS_LINK_CHANGED != 0)
    }

    fn interrupt(&self, messages: &mut Vec<Message>) {
        if self.config.u16(MSI_CONTROL) & MSI_CONTROL_ENABLE == 0
            || self.config.u16(COMMAND) & COMMAND_MASTER == 0
        {
            return;
        }
        messages.push(Message {
            address: u64::from(self.config.u32(MSI + 4))
                | (u64::from(self.config.u32(MSI + 8)) << 32),
            data: u32::from(self.config.u16(MSI + 12)),
        });
    }
}
