// SPDX-License-Identifier: GPL-2.0-only

//! `devlink dev reload action driver_reinit`: all interfaces go, the function is reset, and they are made anew as in probe.
//!
//! Devlink wants no port to be left in between, so net devices go, and with them what users have set on them: addresses, rules,
//! channels. So do nodes of rates, which devlink does not want either. What belongs to the function stays: VFs and their settings, the
//! mode of the eswitch. The locks of the PCI device and of
//! the devlink instance are held; nothing resets the function meanwhile.

use crate::{
    command::Cause,
    device::Device, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use oxnic_abi::regs::ResetReason;
use oxnic_kapi::{
    extack::{refuse, Extack},
    net::netdev::Registration, //
};

impl Device {
    /// Takes all interfaces away. Harmless where that has been done, so that a reload that has failed can be tried again; where the function was
    /// never started, there is nothing to be taken away.
    ///
    /// # Errors
    ///
    /// The function is being reset, or is gone; nothing has changed.
    pub(crate) fn take_down(self: &Arc<Self>, extack: Option<&mut Extack>) -> Result {
        if self.is_dormant() {
            return Ok(());
        }
        let Some(held) = self.hold_recovery() else {
            return Err(refuse(
                extack,
                EBUSY,
                fmt!("driver_reinit: the function is being reset, or is gone"),
            ));
        };
        if let Some(Err(error)) = self.reporters().map(|reporters| reporters.remove_ports()) {
            self.release_recovery(held);
            return Err(refuse(
                extack,
                error,
                fmt!("driver_reinit: a fault of a queue is just being told, try again"),
            ));
        }
        self.close_outside();
        if let Some(instance) = self.instance() {
            instance.remove_rate_nodes();
        }
        Registration::unregister_all(self.take_ports(0..u16::MAX));
        Ok(())
    }

    /// Resets the function and makes its interfaces.
    ///
    /// # Errors
    ///
    /// It has none then, and the text says that; the log says why.
    pub(crate) fn bring_back(self: &Arc<Self>, mut extack: Option<&mut Extack>) -> Result {
        if self.is_dormant() {
            return self.revive(None, extack);
        }
        self.look_again();
        self.commands.stop(Cause::Unavailable);
        self.stop_flow();
        // What it says is more than what is said below.
        self.adopt(extack.as_deref_mut())?;
        if let Err(error) = self.start_again() {
            // What there is of them would not work.
            Registration::unregister_all(self.take_ports(0..u16::MAX));
            self.commands.stop(Cause::Unavailable);
            self.show_failed();
            return Err(refuse(
                extack,
                error,
                fmt!("driver_reinit: the function does not start, see the kernel log"),
            ));
        }
        self.begin_recovery();
        self.show_well();
        Ok(())
    }

    fn start_again(self: &Arc<Self>) -> Result {
        self.take_over(ResetReason::USER)?;
        self.restore_vfs()?;
        self.restore_rates()?;
        self.port_numbers.forget();
        self.restore_flow();
        let ports = self.add_own_ports()?;
        self.return_representors()?;
        self.add_queue_reporters(&ports)
    }
}
