// SPDX-License-Identifier: GPL-2.0-only

//! The life of a function with this driver: probe, remove, shutdown, and what the PCI core does to it in between.
//!
//! Probe of a PF and of a VF are the same. Steps that it has done are undone in reverse when a later one fails, by
//! [`release`], which is also what remove uses: every step of it is harmless where its counterpart has not happened.

use crate::{
    device::Device,
    devlink::{own_port, Devlink},
    handshake,
    health::Reporters,
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
use oxnic_kapi::devlink::Port;
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

/// Takes the function over and makes its interfaces. A PF that is there and does not let itself be taken over is shown in devlink, so
/// that users find out why, and can repair it, by new firmware if need be.
fn start(device: &Arc<Device>) -> Result {
    device.request_irq()?;
    let taken = device.take_over(ResetReason::PROBE);
    let worth_keeping = |device: &Device| !device.is_vf() && device.check_presence();
    if taken.is_err() && !worth_keeping(device) {
        return taken;
    }
    let devlink = Devlink::new(device)?;
    let reporters = Reporters::new(device, devlink.instance())?;
    *device.reporters.lock() = Some(reporters);
    *device.devlink.lock() = Some(devlink);
    match taken.and_then(|()| device.make_interfaces()) {
        Ok(()) => {
            device.keep_watch();
            device.begin_recovery();
            device.watch_health();
            Ok(())
        }
        Err(error) if error != ENOMEM && worth_keeping(device) => {
            device.stay_dormant(error);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

impl Device {
    /// Makes all that a function that was taken over has: clock, ports, interfaces, reporters of queues. The lock of the devlink
    /// instance is held, or not.
    ///
    /// # Errors
    ///
    /// There is none of it.
    pub(crate) fn make_interfaces(self: &Arc<Self>) -> Result {
        self.start_clock();
        #[cfg(CONFIG_HWMON)]
        self.start_sensors();
        let made = self.complete_devlink().and_then(|()| {
            let ports = self.add_own_ports()?;
            self.add_queue_reporters(&ports)
        });
        made.inspect_err(|_| {
            Registration::unregister_all(self.take_ports(0..u16::MAX));
            #[cfg(CONFIG_HWMON)]
            self.stop_sensors();
            self.stop_clock();
        })
    }

    fn complete_devlink(self: &Arc<Self>) -> Result {
        // Not under the mutex, which is taken with the lock of the instance held.
        let mut devlink = self.devlink.lock().take().ok_or(ENODEV)?;
        let completed = devlink.complete(self);
        *self.devlink.lock() = Some(devlink);
        completed
    }

    /// Makes the ports of the function itself, and their interfaces. The lock of the devlink instance is held, or not.
    ///
    /// # Errors
    ///
    /// There may be some of them.
    pub(crate) fn add_own_ports(self: &Arc<Self>) -> Result<KVec<Arc<Port>>> {
        let instance = self.instance().ok_or(ENODEV)?;
        let mut ports = KVec::new();
        for vport in 0..self.port_count() {
            let port = own_port(&instance, self, vport)?;
            ports.push(port.clone(), GFP_KERNEL)?;
            self.add_port(netdev::create(self, vport, netdev::Kind::Own, port)?)?;
        }
        Ok(ports)
    }

    /// Makes the reporters of the queues of a function that has its own ports, and nothing else to be made.
    ///
    /// # Errors
    ///
    /// There is none of them.
    pub(crate) fn add_queue_reporters(self: &Arc<Self>, ports: &[Arc<Port>]) -> Result {
        let (instance, reporters) = (self.instance(), self.reporters());
        let (instance, reporters) = instance.zip(reporters).ok_or(ENODEV)?;
        reporters.add_queues(self, &instance, ports)
    }
}

/// Lets go of the function: the reverse of [`start`], of as much of it as has happened.
fn release(device: &Arc<Device>, reason: ResetReason) {
    device.end_recovery();
    // It may begin to watch.
    device.health_task.stop();
    device.leave_outside();
    device.stop_tasks();
    // Nobody is left who could report.
    let reporters = device.reporters.lock().take();
    drop(reporters);
    Registration::unregister_all(device.take_ports(0..u16::MAX));
    let devlink = device.devlink.lock().take();
    drop(devlink);
    device.stop_clock();
    #[cfg(CONFIG_HWMON)]
    device.stop_sensors();
    device.commands.stop(crate::command::Cause::Gone);
    // What was taken for gone may be there, with all that it was told of.
    device.look_again();
    let reset = match device.is_gone() {
        true => Err(ENODEV),
        false => handshake::reset(&device.registers, reason).inspect_err(|error| {
            dev_err!(
                device.binding(),
                "the device does not let go: {:?}\n",
                error
            );
        }),
    };
    if reset.is_err() {
        // The control rings are freed next.
        device.silence();
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
        // Not as for one that is gone: what interfaces ask for now would have it taken for that, and not reset.
        device.commands.stop(crate::command::Cause::Unavailable);
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
                device.abandon_external_reset();
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
