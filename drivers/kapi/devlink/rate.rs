// SPDX-License-Identifier: GPL-2.0-only

//! `devlink port function rate`: what functions may send, and groups of them.
//!
//! Devlink keeps what was set, and whom it was set of: a leaf goes with its [`Port`], nodes with the instance at the latest.
//! Leaves and nodes are known to the driver by their numbers, which stand in the place of a pointer to private data.

use super::{instance::Private, Instance, Port};
use crate::{callback::errno, extack::Extack};
use core::{ffi::c_void, ptr};
use kernel::{error::to_result, prelude::*};
use oxnic_bindings as bindings;

/// Traffic classes that devlink knows.
pub const RATE_CLASSES: usize = bindings::DEVLINK_RATE_TCS_MAX as usize;

/// Of what a rate is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateObject {
    /// A VF, by its number from 0.
    Leaf(u16),
    /// A node, by the number that the driver gave it.
    Node(u16),
}

/// What is set of a leaf or node. Rates are in bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateSetting {
    /// `tx_share`: the rate that it is promised; 0: none.
    Share(u64),
    /// `tx_max`: the rate that it may send at; 0: any.
    Max(u64),
    /// `tx_priority`: those with the highest go first.
    Priority(u32),
    /// `tx_weight`: its part among those of its priority.
    Weight(u32),
    /// `tc-bw`: parts of its traffic classes.
    Classes([u32; RATE_CLASSES]),
}

/// All that is set of a leaf, but for the node above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeafRates {
    /// See [`RateSetting::Share`].
    pub share: u64,
    /// See [`RateSetting::Max`].
    pub max: u64,
    /// See [`RateSetting::Priority`].
    pub priority: u32,
    /// See [`RateSetting::Weight`].
    pub weight: u32,
    /// See [`RateSetting::Classes`].
    pub classes: [u32; RATE_CLASSES],
}

/// A device that shares out what functions send. Called with the instance's lock held.
pub trait Rates: Send + Sync {
    /// Sets something of a leaf or node.
    ///
    /// # Errors
    ///
    /// It is as it was, and the text names the setting and says why.
    fn set(&self, object: RateObject, setting: RateSetting, extack: Option<&mut Extack>) -> Result;

    /// Puts a leaf or node below a node, or below none. Devlink has made sure that no node comes to be above itself.
    ///
    /// # Errors
    ///
    /// It is where it was, and the text says why.
    fn set_parent(
        &self,
        object: RateObject,
        parent: Option<u16>,
        extack: Option<&mut Extack>,
    ) -> Result;

    /// Makes a node, of which nothing is set, and gives it a number.
    ///
    /// # Errors
    ///
    /// There is none, and the text says why.
    fn add_node(&self, extack: Option<&mut Extack>) -> Result<u16>;

    /// A node that has nothing below it goes. This cannot be refused: devlink forgets it whatever is said.
    fn remove_node(&self, node: u16);
}

/// Adds the callbacks to the operations of an instance whose device has rates.
pub(super) const fn fill(ops: &mut bindings::devlink_ops) {
    ops.rate_leaf_tx_share_set = Some(share_callback::<false>);
    ops.rate_leaf_tx_max_set = Some(max_callback::<false>);
    ops.rate_leaf_tx_priority_set = Some(priority_callback::<false>);
    ops.rate_leaf_tx_weight_set = Some(weight_callback::<false>);
    ops.rate_leaf_tc_bw_set = Some(classes_callback::<false>);
    ops.rate_leaf_parent_set = Some(parent_callback::<false>);
    ops.rate_node_tx_share_set = Some(share_callback::<true>);
    ops.rate_node_tx_max_set = Some(max_callback::<true>);
    ops.rate_node_tx_priority_set = Some(priority_callback::<true>);
    ops.rate_node_tx_weight_set = Some(weight_callback::<true>);
    ops.rate_node_tc_bw_set = Some(classes_callback::<true>);
    ops.rate_node_parent_set = Some(parent_callback::<true>);
    ops.rate_node_new = Some(new_callback);
    ops.rate_node_del = Some(del_callback);
}

/// A number in the place of a pointer, and back.
fn into_private(number: u16) -> *mut c_void {
    ptr::without_provenance_mut(usize::from(number))
}

fn number(private: *mut c_void) -> u16 {
    private.addr() as u16
}

const fn object(node: bool, number: u16) -> RateObject {
    if node {
        RateObject::Node(number)
    } else {
        RateObject::Leaf(number)
    }
}

/// The driver's rates.
///
/// # Safety
///
/// `rate` is one of an instance of ours, whose lock is held, so that the instance lives for `'a`.
unsafe fn rates<'a>(rate: *mut bindings::devlink_rate) -> Result<&'a dyn Rates> {
    // SAFETY: By the contract; devlink sets the instance before it shows a rate to anybody.
    let private = unsafe { Private::from_raw((*rate).devlink) };
    private.operations.rates().ok_or(EOPNOTSUPP)
}

/// # Safety
///
/// As [`rates`]; `private` is what was given for this leaf or node, `extack` the caller's or null.
unsafe fn set(
    rate: *mut bindings::devlink_rate,
    object: RateObject,
    setting: RateSetting,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract.
    let (rates, extack) = unsafe { (rates(rate), Extack::from_raw(extack)) };
    errno(rates.and_then(|rates| rates.set(object, setting, extack)))
}

/// # Safety
///
/// Called by devlink with the lock of an instance of ours held, for a node of it, or a leaf; `extack` is the caller's or null.
unsafe extern "C" fn share_callback<const NODE: bool>(
    rate: *mut bindings::devlink_rate,
    private: *mut c_void,
    share: u64,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    let object = object(NODE, number(private));
    // SAFETY: By the contract.
    unsafe { set(rate, object, RateSetting::Share(share), extack) }
}

/// # Safety
///
/// As [`share_callback`].
unsafe extern "C" fn max_callback<const NODE: bool>(
    rate: *mut bindings::devlink_rate,
    private: *mut c_void,
    max: u64,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    let object = object(NODE, number(private));
    // SAFETY: By the contract.
    unsafe { set(rate, object, RateSetting::Max(max), extack) }
}

/// # Safety
///
/// As [`share_callback`].
unsafe extern "C" fn priority_callback<const NODE: bool>(
    rate: *mut bindings::devlink_rate,
    private: *mut c_void,
    priority: u32,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    let object = object(NODE, number(private));
    // SAFETY: By the contract.
    unsafe { set(rate, object, RateSetting::Priority(priority), extack) }
}

/// # Safety
///
/// As [`share_callback`].
unsafe extern "C" fn weight_callback<const NODE: bool>(
    rate: *mut bindings::devlink_rate,
    private: *mut c_void,
    weight: u32,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    let object = object(NODE, number(private));
    // SAFETY: By the contract.
    unsafe { set(rate, object, RateSetting::Weight(weight), extack) }
}

/// # Safety
///
/// As [`share_callback`]; `classes` is an array of [`RATE_CLASSES`] numbers.
unsafe extern "C" fn classes_callback<const NODE: bool>(
    rate: *mut bindings::devlink_rate,
    private: *mut c_void,
    classes: *mut u32,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    let object = object(NODE, number(private));
    // SAFETY: By the contract.
    let classes = unsafe { *classes.cast::<[u32; RATE_CLASSES]>() };
    // SAFETY: By the contract.
    unsafe { set(rate, object, RateSetting::Classes(classes), extack) }
}

/// # Safety
///
/// As [`share_callback`]; `parent` is null, or a node of the same instance with this private data.
unsafe extern "C" fn parent_callback<const NODE: bool>(
    child: *mut bindings::devlink_rate,
    parent: *mut bindings::devlink_rate,
    private: *mut c_void,
    private_of_parent: *mut c_void,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    let object = object(NODE, number(private));
    let parent = (!parent.is_null()).then(|| number(private_of_parent));
    // SAFETY: By the contract.
    let (rates, extack) = unsafe { (rates(child), Extack::from_raw(extack)) };
    errno(rates.and_then(|rates| rates.set_parent(object, parent, extack)))
}

/// # Safety
///
/// Called by devlink with the lock of an instance of ours held, for a node of it that is being made; `private` is the caller's,
/// `extack` too, or null.
unsafe extern "C" fn new_callback(
    node: *mut bindings::devlink_rate,
    private: *mut *mut c_void,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract.
    let (rates, extack) = unsafe { (rates(node), Extack::from_raw(extack)) };
    errno(
        rates
            .and_then(|rates| rates.add_node(extack))
            .map(|number| {
                // SAFETY: By the contract.
                unsafe { *private = into_private(number) };
            }),
    )
}

/// # Safety
///
/// As [`share_callback`], for a node that has nothing below it.
unsafe extern "C" fn del_callback(
    node: *mut bindings::devlink_rate,
    private: *mut c_void,
    _extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: By the contract.
    let rates = unsafe { rates(node) };
    errno(rates.map(|rates| rates.remove_node(number(private))))
}

impl Port {
    /// Makes the leaf of a VF's port, with what is set of it already. It goes with the port. The lock of the instance is held by
    /// the caller, through a guard or because devlink called.
    ///
    /// # Errors
    ///
    /// `EBUSY`: it has one, or the lock is not held; `ENOMEM`.
    pub fn add_leaf(&self, vf: u16, rates: &LeafRates) -> Result {
        if !self.instance().owner().is_current() {
            return Err(EBUSY);
        }
        let raw = self.raw();
        // SAFETY: The port is registered, and the lock is held.
        if !unsafe { (*raw).devlink_rate }.is_null() {
            return Err(EBUSY);
        }
        // SAFETY: The port is registered, it has no leaf, and the lock is held.
        to_result(unsafe {
            bindings::devl_rate_leaf_create(raw, into_private(vf), ptr::null_mut())
        })?;
        // There is no function for what was set before. Nobody has looked at it yet but who heard that it was made.
        // SAFETY: The leaf was made just now, and belongs to the port; the lock is held around all that read it.
        unsafe {
            let leaf = (*raw).devlink_rate;
            (*leaf).tx_share = rates.share;
            (*leaf).tx_max = rates.max;
            (*leaf).tx_priority = rates.priority;
            (*leaf).tx_weight = rates.weight;
            (*leaf).tc_bw = rates.classes;
        }
        Ok(())
    }
}

impl Instance {
    /// Removes all nodes; what lay below them lies below none. The lock is held by the caller, through a guard or because devlink
    /// called. Nothing happens where the device has no rates.
    pub fn remove_rate_nodes(&self) {
        // SAFETY: `raw` is our own.
        let private = unsafe { Private::from_raw(self.raw()) };
        if private.operations.rates().is_none() || !self.owner().is_current() {
            return;
        }
        // SAFETY: The lock is held, and the instance has all operations about rates, as they are filled in where there are rates.
        unsafe { bindings::devl_rate_nodes_destroy(self.raw()) }
    }
}

#[cfg(CONFIG_KUNIT)]
#[kunit_tests(oxnic_kapi_devlink_rate)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_from_where_pointers_stand() {
        for value in [0, 1, 127, u16::MAX] {
            assert_eq!(number(into_private(value)), value);
            assert_eq!(object(false, value), RateObject::Leaf(value));
            assert_eq!(object(true, value), RateObject::Node(value));
        }
    }
}
