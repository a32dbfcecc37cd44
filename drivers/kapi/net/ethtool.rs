// SPDX-License-Identifier: GPL-2.0-only

//! ethtool operations of a network device.
//!
//! A trait for each subject; a driver implements all of them for the data of its device, and leaves out the operations that
//! it does not have. Where nothing else is said, an operation holds the device's instance lock and may sleep; the few that
//! change what the core guards by RTNL take a [`super::netdev::Rtnl`], and the table asks the core for RTNL on their behalf.
//!
//! Nothing here is called for a device that was detached.

pub mod channels;
pub mod coalesce;
pub mod fec;
pub mod identify;
pub mod info;
pub mod link;
pub mod module;
pub mod pause;
pub mod registers;
pub mod rings;
pub mod rss;
pub mod self_test;
pub mod standard_stats;
pub mod stats;
pub mod steering;
pub mod timestamp;

use super::netdev::{self, Locked, Rtnl};
use crate::callback::{errno, optional};
use core::marker::PhantomData;
use kernel::bindings as raw;
use oxnic_bindings as bindings;

/// Everything that a driver answers to ethtool.
pub trait Operations:
    channels::Operations
    + coalesce::Operations
    + fec::Operations
    + identify::Operations
    + info::Operations
    + link::Operations
    + module::Operations
    + pause::Operations
    + registers::Operations
    + rings::Operations
    + rss::Operations
    + self_test::Operations
    + standard_stats::Operations
    + stats::Operations
    + steering::Operations
    + timestamp::Operations
{
}

impl<T> Operations for T where
    T: channels::Operations
        + coalesce::Operations
        + fec::Operations
        + identify::Operations
        + info::Operations
        + link::Operations
        + module::Operations
        + pause::Operations
        + registers::Operations
        + rings::Operations
        + rss::Operations
        + self_test::Operations
        + standard_stats::Operations
        + stats::Operations
        + steering::Operations
        + timestamp::Operations
{
}

/// What the operations of a device work on.
///
/// # Safety
///
/// The core calls an operation of a device whose data is a `T`, with the instance lock held until the operation returns.
unsafe fn locked<'a, T: netdev::Operations>(dev: *mut raw::net_device) -> (&'a T, &'a Locked) {
    // SAFETY: By the contract of this function; the kernel crate only declares the type.
    unsafe { (netdev::data::<T>(dev.cast()), Locked::from_raw(dev.cast())) }
}

/// As [`locked`], with RTNL.
///
/// # Safety
///
/// As [`locked`], and RTNL is held as well.
unsafe fn rtnl<'a, T: netdev::Operations>(dev: *mut raw::net_device) -> (&'a T, &'a Rtnl) {
    // SAFETY: By the contract of this function; the kernel crate only declares the type.
    unsafe { (netdev::data::<T>(dev.cast()), Rtnl::from_raw(dev.cast())) }
}

/// First byte of the table's bit fields: which transformations of the hash's input there are. Second byte, from bit 0: lanes
/// can be set; contexts have hash fields, then keys of their own; a rule's queue is added to that of its context.
const fn bit_fields(input: u8) -> raw::__BindgenBitfieldUnit<[u8; 2]> {
    raw::__BindgenBitfieldUnit::new([input, 1 << 1 | 1 << 2 | 1 << 3])
}

pub(super) struct VTable<T>(PhantomData<T>);

impl<T: netdev::Operations> VTable<T> {
    pub(super) const OPERATIONS: raw::ethtool_ops = raw::ethtool_ops {
        _bitfield_1: bit_fields(<T as rss::Operations>::TRANSFORMS),
        rxfh_indir_space: <T as rss::Operations>::TABLE_SPACE,
        supported_coalesce_params: <T as coalesce::Operations>::PARAMETERS,
        // What the core wants RTNL for when it is told of it, and closing and opening in a self-test.
        op_needs_rtnl: bindings::ETHTOOL_OP_NEEDS_RTNL_SCHANNELS
            | bindings::ETHTOOL_OP_NEEDS_RTNL_SRINGPARAM
            | bindings::ETHTOOL_OP_NEEDS_RTNL_GLINK
            | bindings::ETHTOOL_OP_NEEDS_RTNL_TEST,
        get_drvinfo: optional!(T::HAS_DRIVER_INFO, info::driver_info_callback::<T>),
        get_regs_len: optional!(T::HAS_REGISTERS, registers::length_callback::<T>),
        get_regs: optional!(T::HAS_REGISTERS, registers::dump_callback::<T>),
        get_link: Some(raw::ethtool_op_get_link),
        get_link_ksettings: optional!(T::HAS_LINK_SETTINGS, link::settings_callback::<T>),
        set_link_ksettings: optional!(T::HAS_SET_LINK_SETTINGS, link::set_settings_callback::<T>),
        get_link_ext_state: optional!(T::HAS_LINK_DOWN_REASON, link::reason_callback::<T>),
        get_link_ext_stats: optional!(T::HAS_LINK_DOWN_EVENTS, link::stats_callback::<T>),
        get_ts_info: optional!(T::HAS_TS_INFO, timestamp::info_callback::<T>),
        get_ts_stats: optional!(T::HAS_TS_STATS, timestamp::stats_callback::<T>),
        get_ringparam: optional!(T::HAS_RINGS, rings::get_callback::<T>),
        set_ringparam: optional!(T::HAS_SET_RINGS, rings::set_callback::<T>),
        get_channels: optional!(T::HAS_CHANNELS, channels::get_callback::<T>),
        set_channels: optional!(T::HAS_SET_CHANNELS, channels::set_callback::<T>),
        get_coalesce: optional!(T::HAS_COALESCING, coalesce::get_callback::<T>),
        set_coalesce: optional!(T::HAS_SET_COALESCING, coalesce::set_callback::<T>),
        get_per_queue_coalesce: optional!(
            T::HAS_QUEUE_COALESCING,
            coalesce::get_queue_callback::<T>
        ),
        set_per_queue_coalesce: optional!(
            T::HAS_SET_QUEUE_COALESCING,
            coalesce::set_queue_callback::<T>
        ),
        get_pauseparam: optional!(T::HAS_PAUSE, pause::get_callback::<T>),
        set_pauseparam: optional!(T::HAS_SET_PAUSE, pause::set_callback::<T>),
        get_pause_stats: optional!(T::HAS_PAUSE_STATS, pause::stats_callback::<T>),
        get_fecparam: optional!(T::HAS_FEC, fec::get_callback::<T>),
        set_fecparam: optional!(T::HAS_SET_FEC, fec::set_callback::<T>),
        get_fec_stats: optional!(T::HAS_FEC_STATS, fec::stats_callback::<T>),
        get_rx_ring_count: Some(rss::ring_count_callback),
        get_rxfh_key_size: optional!(T::HAS_HASHING, rss::key_size_callback::<T>),
        get_rxfh_indir_size: optional!(T::HAS_HASHING, rss::table_size_callback::<T>),
        get_rxfh: optional!(T::HAS_HASHING, rss::get_callback::<T>),
        set_rxfh: optional!(T::HAS_SET_HASHING, rss::set_callback::<T>),
        get_rxfh_fields: optional!(T::HAS_HASH_FIELDS, rss::fields_callback::<T>),
        set_rxfh_fields: optional!(T::HAS_SET_HASH_FIELDS, rss::set_fields_callback::<T>),
        create_rxfh_context: optional!(T::HAS_CREATE_CONTEXT, rss::create_callback::<T>),
        modify_rxfh_context: optional!(T::HAS_CREATE_CONTEXT, rss::modify_callback::<T>),
        remove_rxfh_context: optional!(T::HAS_CREATE_CONTEXT, rss::remove_callback::<T>),
        get_rxnfc: optional!(T::HAS_RULE, steering::get_callback::<T>),
        set_rxnfc: optional!(T::HAS_INSERT_RULE, steering::set_callback::<T>),
        get_eth_mac_stats: optional!(T::HAS_MAC_STATS, standard_stats::mac_callback::<T>),
        get_eth_phy_stats: optional!(T::HAS_PHY_STATS, standard_stats::phy_callback::<T>),
        get_eth_ctrl_stats: optional!(T::HAS_CONTROL_STATS, standard_stats::control_callback::<T>),
        get_rmon_stats: optional!(T::HAS_RMON_STATS, standard_stats::rmon_callback::<T>),
        get_sset_count: Some(stats::count_callback::<T>),
        get_strings: Some(stats::names_callback::<T>),
        get_ethtool_stats: optional!(T::HAS_STATISTICS, stats::values_callback::<T>),
        get_module_eeprom_by_page: optional!(T::HAS_READ_MODULE, module::read_callback::<T>),
        self_test: optional!(T::HAS_SELF_TEST, self_test::run_callback::<T>),
        set_phys_id: optional!(T::HAS_IDENTIFY, identify::callback::<T>),
        ..pin_init::zeroed()
    };

    /// For a device that is no end of a wire, and so has no PAUSE frames to send, take or count.
    pub(super) const WITHOUT_PAUSE: raw::ethtool_ops = raw::ethtool_ops {
        get_pauseparam: None,
        set_pauseparam: None,
        get_pause_stats: None,
        ..Self::OPERATIONS
    };
}

/// Fills a receive hash key with the machine's random one.
pub fn fill_hash_key(key: &mut [u8]) {
    let length = key.len().min(bindings::NETDEV_RSS_KEY_LEN as usize);
    // SAFETY: The buffer is at least as long as said, and the length is within what the kernel has.
    unsafe { bindings::netdev_rss_key_fill(key.as_mut_ptr().cast(), length) };
}

#[cfg(CONFIG_KUNIT)]
#[kernel::macros::kunit_tests(oxnic_kapi_ethtool)]
mod tests {
    use super::*;

    #[test]
    fn the_bit_fields_are_where_c_has_them() {
        let ops = raw::ethtool_ops {
            _bitfield_1: bit_fields(0x5a),
            ..pin_init::zeroed()
        };
        assert_eq!(ops.supported_input_xfrm(), 0x5a);
        assert_eq!(ops.cap_link_lanes_supported(), 0);
        assert_eq!(ops.rxfh_per_ctx_fields(), 1);
        assert_eq!(ops.rxfh_per_ctx_key(), 1);
        assert_eq!(ops.cap_rss_rxnfc_adds(), 1);
    }

    #[test]
    fn a_key_is_filled_and_no_further_than_the_kernel_has_one() {
        let mut key = [0; 40];
        fill_hash_key(&mut key);
        assert!(key != [0; 40]);
        let mut long = [0; bindings::NETDEV_RSS_KEY_LEN as usize + 8];
        fill_hash_key(&mut long);
        assert!(long[long.len() - 8..] == [0; 8]);
    }
}
