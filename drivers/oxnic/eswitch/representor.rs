// SPDX-License-Identifier: GPL-2.0-only

//! Representors: for each VF an interface of the PF that is the other end of the VF's cable. They come and go with the VFs and
//! with switchdev mode; the lock of the devlink instance is held around either.

use crate::{
    device::Device,
    devlink,
    netdev::{self, Kind, NetPort}, //
};
use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc},
};
use oxnic_kapi::{
    devlink::Instance,
    extack::{refuse, Extack},
    net::netdev::Registration, //
};

impl Device {
    /// The devlink instance, while there is one.
    pub(crate) fn instance(&self) -> Option<Arc<Instance>> {
        let devlink = self.devlink.lock();
        devlink.as_ref().map(|devlink| devlink.instance().clone())
    }

    /// So many VFs have been enabled: they get representors, in switchdev mode.
    ///
    /// # Errors
    ///
    /// There is none then, and the log says why.
    pub(crate) fn add_functions(self: &Arc<Self>, count: u16) -> Result {
        let instance = self.instance().ok_or(EBUSY)?;
        let _locked = instance.lock();
        if self.eswitch.is_switchdev() {
            let added = self.while_running(|| self.add_representors(count, None));
            added.unwrap_or(Err(EBUSY)).inspect_err(|error| {
                dev_err!(
                    self.binding(),
                    "{} VFs cannot have representors: {:?}\n",
                    count,
                    error
                );
            })?;
        }
        self.eswitch.functions.store(count.into(), Relaxed);
        Ok(())
    }

    /// All VFs are about to go: first their representors, together with other interfaces. Not in the middle of a reset: an interface
    /// that is closed then keeps its queues for a device that may still use their memory, and they keep it.
    pub(crate) fn remove_functions(self: &Arc<Self>, others: KVec<Registration<NetPort>>) {
        let instance = self.instance();
        let _locked = instance.as_ref().map(Instance::lock);
        self.eswitch.functions.store(0, Relaxed);
        self.eswitch.lost.store(false, Relaxed);
        self.between_resets(|| self.remove_representors(others));
    }

    /// Makes the representors of the first so many VFs.
    ///
    /// # Errors
    ///
    /// There is none then, and the text says why.
    pub(super) fn add_representors(
        self: &Arc<Self>,
        count: u16,
        extack: Option<&mut Extack>,
    ) -> Result {
        let instance = self.instance().ok_or(EBUSY)?;
        for vf in 0..count {
            if let Err(error) = self.add_representor(&instance, vf) {
                self.remove_representors(KVec::new());
                let text = if error == ENOSPC {
                    "no queue or vector is left"
                } else {
                    "it cannot be made, see the kernel log"
                };
                return Err(refuse(
                    extack,
                    error,
                    fmt!("representor of VF {}: {}", vf, text),
                ));
            }
        }
        Ok(())
    }

    fn add_representor(self: &Arc<Self>, instance: &Arc<Instance>, vf: u16) -> Result {
        let vport = self.eswitch.vport(vf).ok_or(ENOSPC)?;
        let port = devlink::vf_port(instance, self, vport, vf)?;
        self.add_port(netdev::create(self, vport, Kind::Representor(vf), port)?)
    }

    /// Removes all representors, together with other interfaces: the network core waits once for all.
    pub(super) fn remove_representors(&self, mut others: KVec<Registration<NetPort>>) {
        let first = self.eswitch.vport(0).unwrap_or(u16::MAX);
        let mut mine = self.take_ports(first..u16::MAX);
        while let Some(registration) = mine.pop() {
            // Without memory this one goes by itself.
            let _ = others.push(registration, GFP_KERNEL);
        }
        Registration::unregister_all(others);
    }
}
