// SPDX-License-Identifier: GPL-2.0-only

//! What an eswitch hears of devices that are not its own: rules on tunnel and VLAN devices, actions that tc has by themselves, and changes of
//! routes and neighbours.

use super::block;
use crate::{
    device::Device,
    netdev::{Kind, NetPort}, //
};
use kernel::{
    prelude::*,
    sync::{Arc, Mutex}, //
};
use oxnic_kapi::{
    extack::{refuse, Extack},
    net::{
        flow::{
            Actions,
            Binder,
            Binding,
            Others,
            Registration,
            Rules,
            SharedAction,
            Statistics, //
        },
        netdev::{data_of, Device as NetDevice},
        underlay::{RouteWatch, TunnelDevice, Vlan, Watch, Watcher}, //
    },
};

/// What is heard of others.
pub(crate) struct Outside {
    /// Rules on their devices, and actions, in switchdev mode.
    blocks: Option<Registration>,
    /// Changes of what rules are made of.
    watch: Option<Watch>,
}

impl Outside {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            blocks: None,
            watch: None,
        }
    }
}

impl Device {
    /// Hears of changes from now on. Neither RTNL nor the lock of the devlink instance is held: the lock of the kernel's list of
    /// namespaces comes before both.
    /// Does nothing where it does already.
    pub(crate) fn watch_paths(self: &Arc<Self>) -> Result {
        if self.eswitch.is_there() && self.outside.lock().watch.is_none() {
            let watch = Watch::new(Arc::new(Notices(self.clone()), GFP_KERNEL)?)?;
            self.outside.lock().watch = Some(watch);
        }
        Ok(())
    }

    /// Hears of rules on devices of others from now on. RTNL is not held.
    pub(crate) fn open_outside(self: &Arc<Self>) -> Result {
        let blocks = Registration::new(KBox::new(Blocks(self.clone()), GFP_KERNEL)?)?;
        self.outside.lock().blocks = Some(blocks);
        Ok(())
    }

    /// Does not hear of rules on devices of others any more; those that there were are gone. RTNL is not held.
    pub(crate) fn close_outside(self: &Arc<Self>) {
        let blocks = self.outside.lock().blocks.take();
        drop(blocks);
        self.forget_actions();
    }

    /// Hears of nothing any more.
    pub(crate) fn leave_outside(self: &Arc<Self>) {
        self.close_outside();
        let watch = self.outside.lock().watch.take();
        drop(watch);
    }
}

/// Watches of the namespaces of wire ports, by the addresses of their interfaces.
pub(crate) type Routes = Mutex<KVec<(usize, RouteWatch)>>;

/// Rules on devices of others.
struct Blocks(Arc<Device>);

impl Others for Blocks {
    fn bind(&self, binding: &Binding<'_>, extack: Option<&mut Extack>) -> Result<KBox<dyn Rules>> {
        let ingress = binding.binder == Binder::Ingress;
        if !binding.of_tc || !ingress {
            return Err(EOPNOTSUPP);
        }
        let bound = match TunnelDevice::is(binding.device) {
            true => block::bind_tunnel(&self.0, binding).map(Some),
            false => block::bind_upper(&self.0, binding),
        };
        bound
            .map_err(|refusal| refuse(extack, EOPNOTSUPP, format_args!("{refusal}")))?
            .ok_or(EOPNOTSUPP)
    }

    fn replace_action(
        &self,
        action: &SharedAction,
        actions: Actions<'_>,
        extack: Option<&mut Extack>,
    ) -> Result {
        let replaced = self.0.replace_action(action, actions);
        replaced.map_err(|refusal| refusal.tell(extack))
    }

    fn destroy_action(&self, action: &SharedAction) -> Result {
        self.0.destroy_action(action)
    }

    fn action_stats(&self, action: &SharedAction) -> Result<Statistics> {
        self.0.action_stats(action)
    }
}

/// Changes of devices, routes and neighbours.
struct Notices(Arc<Device>);

impl Notices {
    /// Whether an interface is that of a wire port of this eswitch.
    fn is_wire(&self, netdev: &NetDevice) -> bool {
        data_of::<NetPort>(netdev).is_some_and(|port| {
            Arc::ptr_eq(&port.device, &self.0) && matches!(port.kind, Kind::Own)
        })
    }
}

impl Watcher for Notices {
    fn path_changed(&self) {
        self.0.follow.soon(&self.0);
    }

    fn device_came(&self, netdev: &NetDevice) {
        if !self.is_wire(netdev) {
            return;
        }
        let watch = Arc::new(Notices(self.0.clone()), GFP_KERNEL)
            .map_err(Error::from)
            .and_then(|notices| RouteWatch::new(netdev, notices));
        let place = core::ptr::from_ref(netdev).addr();
        let kept =
            watch.and_then(|watch| Ok(self.0.routes.lock().push((place, watch), GFP_KERNEL)?));
        if let Err(error) = kept {
            dev_err!(
                self.0.binding(),
                "changes of routes are noticed late: {:?}\n",
                error
            );
        }
    }

    fn device_goes(&self, netdev: &NetDevice) {
        if self.is_wire(netdev) {
            let place = core::ptr::from_ref(netdev).addr();
            self.0.routes.lock().retain(|(of, _)| *of != place);
        }
        if TunnelDevice::is(netdev) {
            let engine = self.0.flow.lock().engine();
            if let Some(engine) = engine {
                engine.forget_tunnel(&self.0, netdev);
            }
        }
        self.path_changed();
    }

    fn device_changed(&self, netdev: &NetDevice) {
        if TunnelDevice::is(netdev) {
            let engine = self.0.flow.lock().engine();
            if let Some(engine) = engine {
                engine.check_tunnel(&self.0, netdev);
            }
        }
        if Vlan::of(netdev).is_some() {
            let engine = self.0.flow.lock().engine();
            if let Some(engine) = engine {
                engine.check_upper(&self.0, netdev);
            }
        }
        self.path_changed();
    }
}
