// SPDX-License-Identifier: GPL-2.0-only

//! Where the packets of a tunnel device go: route and neighbour.

use super::{from_raw, to_raw};
use crate::net::netdev::{Address, Device, DeviceRef};
use core::net::IpAddr;
use core::ptr::NonNull;
use kernel::{error::to_result, prelude::*};
use oxnic_bindings as bindings;

/// What is asked of routes.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// Source address; none: that of the route.
    pub from: Option<IpAddr>,
    /// Destination.
    pub to: IpAddr,
    /// Number of the device that packets must leave by; 0: any.
    pub link: u32,
    /// IP protocol.
    pub protocol: u8,
    /// TOS or traffic class.
    pub tos: u8,
    /// The neighbour is in use: the kernel asks for it where it does not know it, and makes sure of it where that was long ago.
    pub solicit: bool,
}

/// Where packets go.
pub struct Path {
    /// The device that they leave by.
    pub device: DeviceRef,
    /// Their source address.
    pub from: Option<IpAddr>,
    /// The hardware address of who gets them; none while it is not known.
    pub neighbour: Option<Address>,
    /// TTL or hop limit of the route.
    pub hop_limit: u8,
}

impl Path {
    /// Looks for the way of a tunnel device's packets. Does not sleep.
    ///
    /// # Errors
    ///
    /// `ENETUNREACH` and others: there is no route, or it leads to the host itself, or to many; `EOPNOTSUPP`: IPsec is on it.
    pub fn find(tunnel: &Device, query: &Query) -> Result<Self> {
        let asked = bindings::oxnic_path_query {
            from: to_raw(query.from),
            to: to_raw(Some(query.to)),
            link: query.link as core::ffi::c_int,
            protocol: query.protocol,
            tos: query.tos,
            solicit: query.solicit,
        };
        let mut raw = bindings::oxnic_path::default();
        // SAFETY: The device is valid, and what is written to is ours.
        to_result(unsafe { bindings::oxnic_path(tunnel.as_raw(), &asked, &mut raw) })?;
        let device = NonNull::new(raw.dev).ok_or(ENETUNREACH)?;
        Ok(Self {
            // SAFETY: The reference is ours; the wrapper is transparent.
            device: unsafe { DeviceRef::from_raw(device.cast()) },
            from: from_raw(&raw.from),
            neighbour: raw.known.then_some(raw.neighbour),
            hop_limit: raw.hop_limit,
        })
    }
}

/// The device that has an address, in the namespace where the packets of a tunnel device are.
pub fn address_owner(tunnel: &Device, address: IpAddr) -> Option<DeviceRef> {
    let raw = to_raw(Some(address));
    // SAFETY: The device is valid.
    let found = NonNull::new(unsafe { bindings::oxnic_address_device(tunnel.as_raw(), &raw) })?;
    // SAFETY: The reference is ours; the wrapper is transparent.
    Some(unsafe { DeviceRef::from_raw(found.cast()) })
}
