// SPDX-License-Identifier: GPL-2.0-only

//! Interrupt coalescing (`ethtool -c`, `-C`, `--per-queue`).

use super::{errno, locked};
use crate::extack::Extack;
use crate::net::netdev::{self, Locked};
use kernel::{bindings as raw, prelude::*};

/// Which settings a driver has.
pub mod parameters {
    use oxnic_bindings as bindings;

    /// A longest delay in microseconds, for each direction.
    pub const USECS: u32 =
        bindings::ETHTOOL_COALESCE_RX_USECS | bindings::ETHTOOL_COALESCE_TX_USECS;
    /// A number of frames that ends the delay, for each direction.
    pub const MAX_FRAMES: u32 =
        bindings::ETHTOOL_COALESCE_RX_MAX_FRAMES | bindings::ETHTOOL_COALESCE_TX_MAX_FRAMES;
    /// Receive coalescing that adapts to the traffic.
    pub const ADAPTIVE_RX: u32 = bindings::ETHTOOL_COALESCE_USE_ADAPTIVE_RX;
    /// Transmit coalescing that adapts to the traffic.
    pub const ADAPTIVE_TX: u32 = bindings::ETHTOOL_COALESCE_USE_ADAPTIVE_TX;
}

/// Settings of one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Direction {
    /// Longest delay in microseconds.
    pub usecs: u32,
    /// Frames that end the delay; 0: no number does.
    pub frames: u32,
    /// The driver chooses both by the traffic.
    pub adaptive: bool,
}

/// Settings of both directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Coalescing {
    /// Receive.
    pub rx: Direction,
    /// Transmit.
    pub tx: Direction,
}

impl Coalescing {
    fn load(raw: &raw::ethtool_coalesce) -> Self {
        Self {
            rx: Direction {
                usecs: raw.rx_coalesce_usecs,
                frames: raw.rx_max_coalesced_frames,
                adaptive: raw.use_adaptive_rx_coalesce != 0,
            },
            tx: Direction {
                usecs: raw.tx_coalesce_usecs,
                frames: raw.tx_max_coalesced_frames,
                adaptive: raw.use_adaptive_tx_coalesce != 0,
            },
        }
    }

    fn store(&self, raw: &mut raw::ethtool_coalesce) {
        raw.rx_coalesce_usecs = self.rx.usecs;
        raw.rx_max_coalesced_frames = self.rx.frames;
        raw.use_adaptive_rx_coalesce = self.rx.adaptive.into();
        raw.tx_coalesce_usecs = self.tx.usecs;
        raw.tx_max_coalesced_frames = self.tx.frames;
        raw.use_adaptive_tx_coalesce = self.tx.adaptive.into();
    }
}

/// Coalescing.
#[vtable]
pub trait Operations: Sized {
    /// Which settings there are, see [`parameters`]; the core refuses others.
    const PARAMETERS: u32;

    /// The settings for all queues.
    fn coalescing(&self, device: &Locked) -> Coalescing {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Changes the settings of all queues.
    ///
    /// # Errors
    ///
    /// Everything is as it was.
    fn set_coalescing(
        &self,
        device: &Locked,
        new: Coalescing,
        extack: Option<&mut Extack>,
    ) -> Result {
        let _ = (device, new, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// The settings of one channel.
    ///
    /// # Errors
    ///
    /// `EINVAL`: there is no such channel.
    fn queue_coalescing(&self, device: &Locked, queue: u32) -> Result<Coalescing> {
        let _ = (device, queue);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Changes the settings of one channel.
    ///
    /// # Errors
    ///
    /// `EINVAL`: there is no such channel. Everything is as it was.
    fn set_queue_coalescing(&self, device: &Locked, queue: u32, new: Coalescing) -> Result {
        let _ = (device, queue, new);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// # Safety
///
/// The core calls this with the instance lock held; `out` is the caller's.
pub(super) unsafe extern "C" fn get_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    out: *mut raw::ethtool_coalesce,
    _more: *mut raw::kernel_ethtool_coalesce,
    _extack: *mut raw::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), out) = unsafe { (locked::<T>(dev), &mut *out) };
    data.coalescing(device).store(out);
    0
}

/// # Safety
///
/// The core calls this with the instance lock held; `new` and `extack` are the caller's.
pub(super) unsafe extern "C" fn set_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    new: *mut raw::ethtool_coalesce,
    _more: *mut raw::kernel_ethtool_coalesce,
    extack: *mut raw::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), new) = unsafe { (locked::<T>(dev), &*new) };
    // SAFETY: As above.
    let extack = unsafe { Extack::from_raw(extack) };
    errno(data.set_coalescing(device, Coalescing::load(new), extack))
}

/// # Safety
///
/// The core calls this with the instance lock held; `out` is the caller's.
pub(super) unsafe extern "C" fn get_queue_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    queue: u32,
    out: *mut raw::ethtool_coalesce,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), out) = unsafe { (locked::<T>(dev), &mut *out) };
    errno(
        data.queue_coalescing(device, queue)
            .map(|now| now.store(out)),
    )
}

/// # Safety
///
/// The core calls this with the instance lock held; `new` is the caller's.
pub(super) unsafe extern "C" fn set_queue_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    queue: u32,
    new: *mut raw::ethtool_coalesce,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), new) = unsafe { (locked::<T>(dev), &*new) };
    errno(data.set_queue_coalescing(device, queue, Coalescing::load(new)))
}

#[cfg(CONFIG_KUNIT)]
#[kunit_tests(oxnic_kapi_ethtool_coalesce)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_loads_as_the_same() {
        let rx = Direction {
            usecs: 1,
            frames: 2,
            adaptive: true,
        };
        let tx = Direction {
            usecs: 3,
            frames: 4,
            adaptive: false,
        };
        let mut raw: raw::ethtool_coalesce = pin_init::zeroed();
        Coalescing { rx, tx }.store(&mut raw);
        assert_eq!((raw.rx_coalesce_usecs, raw.tx_max_coalesced_frames), (1, 4));
        assert_eq!(
            (raw.use_adaptive_rx_coalesce, raw.use_adaptive_tx_coalesce),
            (1, 0)
        );
        assert_eq!(Coalescing::load(&raw), Coalescing { rx, tx });
    }
}
