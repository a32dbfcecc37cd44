// SPDX-License-Identifier: GPL-2.0-only

//! The life of a function with this driver: probe, remove, shutdown, and what the PCI core does to it in between.
//!
//! Probe of a PF and of a VF are the same. Steps that it has done are undone in reverse when a later one fails, by
//! [`release`], which is also what remove uses: every step of it is harmless where its counterpart has not happened.

use crate::{
    device::Device,
    devlink::Devlink,
    handshake,
    netdev,
    vf, //
};
use kernel::{
    prelude::*,
    sync::{Arc, ArcBorrow}, //
};
use oxnic_abi::{
    pci::{PF_DEVICE_ID, VENDOR_ID, VF_DEVICE_ID},
    regs::ResetReason, //
};
use oxnic_kapi::net::netdev::Registration;
use oxnic_kapi::pci::{self, Binding, Channel, Core, DeviceId, IdTable, Recovery};

kernel::module_device_table!(
    "pci",
    DeviceId,
    DEVICES,
    (),
    [
        (DeviceId::new(VENDOR_ID, PF_DEVICE_ID), ()),
        (DeviceId::new(VENDOR_ID, VF_DEVICE_ID), ())
    ]
);

/// Takes the function over and makes its interfaces.
fn start(device: &Arc<Device>) -> Result {
    device.request_irq()?;
    device.take_over(ResetReason::PROBE)?;
    device.start_clock();
    #[cfg(CONFIG_HWMON)]
    device.start_sensors();
    let devlink = Devlink::new(device)?;
    for vport in 0..device.port_count() {
        let port = devlink.port(device, vport)?;
        device.add_port(netdev::create(device, vport, netdev::Kind::Own, port)?)?;
    }
    *device.devlink.lock() = Some(devlink);
    device.watch_paths()?;
    device.begin_recovery();
    device.watch_health();
    Ok(())
}

/// Lets go of the function: the reverse of [`start`], of as much of it as has happened.
fn release(device: &Arc<Device>, reason: ResetReason) {
    device.end_recovery();
    device.leave_outside();
    device.stop_tasks();
    Registration::unregister_all(device.take_ports(0..u16::MAX));
    let devlink = device.devlink.lock().take();
    drop(devlink);
    device.stop_clock();
    #[cfg(CONFIG_HWMON)]
    device.stop_sensors();
    device.commands.stop(crate::command::Cause::Gone);
    if !device.is_gone() {
        if let Err(error) = handshake::reset(&device.registers, reason) {
            dev_err!(
                device.binding(),
                "the device does not let go: {:?}\n",
                error
            );
        }
    }
    device.free_irq();
}

impl pci::Driver for Device {
    type IdInfo = ();
    const ID_TABLE: IdTable<Self::IdInfo> = &DEVICES;

    fn probe(dev: &Core<'_>, binding: &Binding, _info: Option<&'static ()>) -> Result<Arc<Self>> {
        let device = Device::new(binding)?;
        match start(&device) {
            Ok(()) => {
                // What error recovery brings back after a slot reset.
                device.enabled.save(dev);
                Ok(device)
            }
            Err(error) => {
                dev_err!(binding, "probe failed: {:?}\n", error);
                release(&device, ResetReason::REMOVE);
                Err(error)
            }
        }
    }

    fn remove(self: Arc<Self>, dev: &Core<'_>) {
        if pci::is_unplugged(dev) {
            self.presence.set_gone();
            self.commands.stop(crate::command::Cause::Gone);
        }
        self.disable_vfs(dev);
        release(&self, ResetReason::REMOVE);
    }

    fn shutdown(this: ArcBorrow<'_, Self>, _dev: &Core<'_>) {
        let device: Arc<Self> = this.into();
        device.end_recovery();
        device.stop_tasks();
        device.commands.stop(crate::command::Cause::Gone);
        for port in device.ports() {
            port.prepare_reset();
        }
        if !device.is_gone() {
            // The next kernel must find no DMA under way.
            if let Err(error) = handshake::reset(&device.registers, ResetReason::SHUTDOWN) {
                dev_err!(
                    device.binding(),
                    "the device does not let go: {:?}\n",
                    error
                );
            }
        }
        device.enabled.clear_master();
    }

    fn sriov_configure(this: ArcBorrow<'_, Self>, dev: &Core<'_>, count: u16) -> Result {
        Arc::from(this).configure_vfs(dev, count)
    }

    fn sriov_vectors(this: ArcBorrow<'_, Self>) -> u32 {
        this.caps().vf_vectors_total.into()
    }

    fn sriov_set_vectors(this: ArcBorrow<'_, Self>, vf: u16, vectors: u32) -> Result {
        vf::set_vectors(&this.into(), vf, vectors)
    }

    fn reset_prepare(this: ArcBorrow<'_, Self>, _dev: &Core<'_>) {
        Arc::from(this).begin_external_reset();
    }

    fn reset_done(this: ArcBorrow<'_, Self>, _dev: &Core<'_>) {
        Arc::from(this).end_external_reset(ResetReason::USER);
    }

    fn error_detected(this: ArcBorrow<'_, Self>, _dev: &Core<'_>, channel: Channel) -> Recovery {
        let device: Arc<Self> = this.into();
        match channel {
            // Nothing was lost but a transaction; whether the function noticed is for the health check to find out.
            Channel::Normal => Recovery::CanRecover,
            Channel::Frozen => {
                device.presence.set_gone();
                device.begin_external_reset();
                Recovery::NeedReset
            }
            Channel::Dead => {
                device.note_gone();
                Recovery::Disconnect
            }
        }
    }

    fn mmio_enabled(this: ArcBorrow<'_, Self>, _dev: &Core<'_>) -> Recovery {
        if this.check_presence() {
            Recovery::Recovered
        } else {
            Recovery::NeedReset
        }
    }

    fn slot_reset(this: ArcBorrow<'_, Self>, _dev: &Core<'_>) -> Recovery {
        let device: Arc<Self> = this.into();
        device.begin_external_reset();
        device.presence.set_back();
        device.enabled.restore();
        if device.binding().is_present() && device.check_presence() {
            Recovery::Recovered
        } else {
            device.presence.set_gone();
            Recovery::Disconnect
        }
    }

    fn resume(this: ArcBorrow<'_, Self>, _dev: &Core<'_>) {
        Arc::from(this).end_external_reset(ResetReason::PCI_ERROR);
    }
}
