// SPDX-License-Identifier: GPL-2.0-only

//! `devlink dev reload action driver_reinit`: all interfaces go, the function is reset, and they are made anew as in probe.
//!
//! Devlink wants no port to be left in between, so net devices go, and with them what users have set on them: addresses, rules,
//! channels. What belongs to the function stays: VFs and their settings, the mode of the eswitch. The locks of the PCI device and of
//! the devlink instance are held; nothing resets the function meanwhile.

use crate::{
    command::Cause,
    device::Device,
    netdev, //
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
    /// Takes all interfaces away. Harmless where that has been done, so that a reload that has failed can be tried again.
    ///
    /// # Errors
    ///
    /// The function is being reset, or is gone; nothing has changed.
    pub(crate) fn take_down(self: &Arc<Self>, extack: Option<&mut Extack>) -> Result {
        if !self.hold_recovery() {
            return Err(refuse(
                extack,
                EBUSY,
                fmt!("driver_reinit: the function is being reset, or does not work"),
            ));
        }
        self.close_outside();
        Registration::unregister_all(self.take_ports(0..u16::MAX));
        Ok(())
    }

    /// Resets the function and makes its interfaces.
    ///
    /// # Errors
    ///
    /// It has none then, and the text says that; the log says why.
    pub(crate) fn bring_back(self: &Arc<Self>, extack: Option<&mut Extack>) -> Result {
        let result = self.start_again();
        if let Err(error) = result {
            // What there is of them would not work.
            Registration::unregister_all(self.take_ports(0..u16::MAX));
            self.commands.stop(Cause::Unavailable);
            return Err(refuse(
                extack,
                error,
                fmt!("driver_reinit: the function does not start, see the kernel log"),
            ));
        }
        self.begin_recovery();
        Ok(())
    }

    fn start_again(self: &Arc<Self>) -> Result {
        self.commands.stop(Cause::Unavailable);
        self.stop_flow();
        self.take_over(ResetReason::USER)?;
        self.restore_vfs()?;
        self.port_numbers.forget();
        self.restore_flow();
        for vport in 0..self.port_count() {
            let port = {
                let devlink = self.devlink.lock();
                devlink.as_ref().ok_or(EBUSY)?.port(self, vport)?
            };
            self.add_port(netdev::create(self, vport, netdev::Kind::Own, port)?)?;
        }
        self.return_representors()
    }
}
