// SPDX-License-Identifier: GPL-2.0-only

//! What is below tunnel devices: how these are configured ([`TunnelDevice`]), where their packets go ([`Path`]) and come in
//! ([`address_owner`]), and when that changes ([`Watch`]).
//!
//! A tunnel device has a namespace for its own packets, which can be another one than the device's. Addresses, routes and neighbours
//! are of that one. What is found is true at the moment only: whoever keeps it must [`Watch`], and look again.

mod device;
mod path;
mod watch;

pub use device::{TunnelDevice, TunnelKind, Vlan};
pub use path::{address_owner, Path, Query};
pub use watch::{RouteWatch, Watch, Watcher};

use core::net::IpAddr;
use oxnic_bindings as bindings;

/// An address as helpers have it; none is of no family.
fn to_raw(address: Option<IpAddr>) -> bindings::oxnic_ip {
    let mut raw = bindings::oxnic_ip::default();
    match address {
        None => {}
        Some(IpAddr::V4(address)) => {
            raw.family = 4;
            raw.bytes[..4].copy_from_slice(&address.octets());
        }
        Some(IpAddr::V6(address)) => {
            raw.family = 6;
            raw.bytes = address.octets();
        }
    }
    raw
}

/// The other way round.
fn from_raw(raw: &bindings::oxnic_ip) -> Option<IpAddr> {
    let [a, b, c, d, ..] = raw.bytes;
    match raw.family {
        4 => Some(IpAddr::from([a, b, c, d])),
        6 => Some(IpAddr::from(raw.bytes)),
        _ => None,
    }
}

#[cfg(CONFIG_KUNIT)]
#[kernel::macros::kunit_tests(oxnic_kapi_underlay)]
mod tests {
    use super::*;
    use crate::net::netdev::{Device, DeviceRef};
    use kernel::{
        new_mutex,
        prelude::*,
        sync::{
            atomic::{Atomic, Relaxed},
            Arc, Mutex,
        },
    };

    /// Counts what it is told, and keeps the first device.
    #[pin_data]
    struct Counting {
        came: Atomic<u32>,
        gone: Atomic<u32>,
        #[pin]
        first: Mutex<Option<DeviceRef>>,
    }

    impl Counting {
        fn new() -> Result<Arc<Self>> {
            Arc::pin_init(
                pin_init!(Self {
                    came: Atomic::new(0),
                    gone: Atomic::new(0),
                    first <- new_mutex!(None),
                }),
                GFP_KERNEL,
            )
        }
    }

    impl Watcher for Counting {
        fn path_changed(&self) {}

        fn device_came(&self, device: &Device) {
            self.came.add(1, Relaxed);
            self.first.lock().get_or_insert_with(|| device.into());
        }

        fn device_goes(&self, _device: &Device) {
            self.gone.add(1, Relaxed);
            *self.first.lock() = None;
        }

        fn device_changed(&self, _device: &Device) {}
    }

    #[test]
    fn addresses_of_both_families_and_none_come_back() {
        let v4 = IpAddr::from([192, 0, 2, 1]);
        let v6 = IpAddr::from([9; 16]);
        for address in [None, Some(v4), Some(v6)] {
            assert_eq!(from_raw(&to_raw(address)), address);
        }
    }

    #[test]
    fn a_watch_begins_with_all_devices_and_ends_with_them() -> Result {
        let counting = Counting::new()?;
        let watch = Watch::new(counting.clone())?;
        // The loopback device at least.
        assert!(counting.came.load(Relaxed) >= 1);
        drop(watch);
        assert_eq!(counting.came.load(Relaxed), counting.gone.load(Relaxed));
        assert!(Arc::into_unique_or_drop(counting).is_some());
        Ok(())
    }

    #[test]
    fn the_loopback_device_is_no_tunnel_and_leads_nowhere() -> Result {
        let counting = Counting::new()?;
        let _watch = Watch::new(counting.clone())?;
        let device = counting.first.lock().clone().ok_or(ENODEV)?;
        assert!(!TunnelDevice::is(&device));
        assert_eq!(TunnelDevice::read(&device), Err(EOPNOTSUPP));
        assert!(Vlan::of(&device).is_none());
        assert!(TunnelDevice::is_above(&device, &device));
        assert!(address_owner(&device, IpAddr::from([203, 0, 113, 99])).is_none());
        let query = Query {
            from: None,
            to: IpAddr::from([127, 0, 0, 1]),
            link: 0,
            protocol: 17,
            tos: 0,
            solicit: false,
        };
        // To the host itself, if there is a route at all.
        assert!(Path::find(&device, &query).is_err());
        let routes = RouteWatch::new(&device, counting.clone())?;
        drop(routes);
        Ok(())
    }
}
