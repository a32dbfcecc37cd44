// SPDX-License-Identifier: GPL-2.0-only

//! ethtool operations of a network device.
//!
//! The core holds the device's instance lock; for what needs RTNL as well, the table asks for it.

use super::netdev;
use core::marker::PhantomData;
use kernel::prelude::*;
use oxnic_bindings as bindings;

/// What a driver answers to ethtool; see [`netdev::Operations`] for the data it works on.
#[vtable]
pub trait Operations: Sized {
    /// Whether the link is up; by default, whether there is a carrier.
    fn link(&self, device: &netdev::Locked) -> bool {
        device.has_carrier()
    }
}

pub(super) struct VTable<T>(PhantomData<T>);

impl<T: netdev::Operations> VTable<T> {
    pub(super) const OPERATIONS: bindings::ethtool_ops = bindings::ethtool_ops {
        get_link: Some(bindings::ethtool_op_get_link),
        get_ts_info: Some(bindings::ethtool_op_get_ts_info),
        ..pin_init::zeroed()
    };
}

/// Fills a receive hash key with the machine's random one.
pub fn fill_hash_key(key: &mut [u8]) {
    // SAFETY: The buffer is as long as said.
    unsafe { bindings::netdev_rss_key_fill(key.as_mut_ptr().cast(), key.len()) };
}
