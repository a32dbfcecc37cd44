// SPDX-License-Identifier: GPL-2.0-only

//! The Oxnic network driver, for physical and virtual functions.
//!
//! ```text
//!            driver           probe, remove, shutdown, PCI callbacks
//!   reset  health  sriov      control: recovery, watching, virtual functions
//!   device                    what the parts of a function share
//!   eswitch                  its mode, representors of VFs
//!   firmware                  updates, and how they come to run
//!   clock                     the device's clock as a PTP hardware clock
//!   sensors                   temperatures and power as hardware monitoring
//!   cmd -> command -> cmdq    commands; eventq: events; regs, handshake: registers
//!   netdev, queue             the interfaces and their datapath
//! ```

#![deny(unsafe_code)]

mod clock;
mod cmd;
mod cmdq;
mod command;
mod control;
mod device;
mod devlink;
mod driver;
mod eswitch;
mod ethtool;
mod eventq;
mod features;
mod filter;
mod firmware;
mod flow;
mod handshake;
mod health;
mod interface;
mod netdev;
mod parameters;
mod port;
mod queue;
mod rate;
mod regions;
mod regs;
mod reinit;
mod reset;
mod rss;
#[cfg(CONFIG_HWMON)]
mod sensors;
mod sriov;
mod stats;
mod steering;
mod vf;

use kernel::prelude::*;

#[pin_data]
struct OxnicModule {
    #[pin]
    _driver: oxnic_kapi::pci::Registration<device::Device>,
}

impl kernel::InPlaceModule for OxnicModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _driver <- oxnic_kapi::pci::Registration::new(c"oxnic", module),
        })
    }
}

module! {
    type: OxnicModule,
    name: "oxnic",
    authors: ["The Oxnic authors"],
    description: "Oxnic SmartNIC network driver",
    license: "GPL v2",
}
