// SPDX-License-Identifier: GPL-2.0-only

//! Binding devices to blocks of rules.
//!
//! The kernel keeps a list of callbacks for each block, ours with the [`Rules`] behind it. A block that is shared has one for each
//! device, and all of them hear of each rule. For tc the kernel asks with RTNL held to bind and to unbind; in between it calls back with
//! the block's lock held for reading. For a chain of nftables it holds neither, but the lock under which all chains of a namespace change,
//! which it takes with RTNL held where a device goes: RTNL must not be taken here. A binding is found again by who made it, the device
//! and the side of it.

use super::chain::Chain;
use super::classifier::{self, Rules, Way};
use crate::callback::errno;
use crate::extack::{refuse, Extack};
use crate::net::netdev::{data, Device, Operations};
use core::ffi::{c_int, c_void};
use core::iter;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use kernel::{container_of, error::from_err_ptr, prelude::*, sync::rcu};
use oxnic_bindings as bindings;

/// Which packets of a device a block sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binder {
    /// Those that come in.
    Ingress,
    /// Those that leave.
    Egress,
    /// Those that a queueing discipline drops early.
    EarlyDrop,
    /// Those that a queueing discipline marks.
    Mark,
    /// Others, by their number.
    Other(u32),
}

impl Binder {
    fn from_raw(raw: u32) -> Self {
        match raw {
            bindings::flow_block_binder_type_FLOW_BLOCK_BINDER_TYPE_CLSACT_INGRESS => Self::Ingress,
            bindings::flow_block_binder_type_FLOW_BLOCK_BINDER_TYPE_CLSACT_EGRESS => Self::Egress,
            bindings::flow_block_binder_type_FLOW_BLOCK_BINDER_TYPE_RED_EARLY_DROP => {
                Self::EarlyDrop
            }
            bindings::flow_block_binder_type_FLOW_BLOCK_BINDER_TYPE_RED_MARK => Self::Mark,
            other => Self::Other(other),
        }
    }
}

/// Name of a block: that of two devices is the same where they share one. Not used again as long as a device is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(pub usize);

/// A device is to be bound to a block.
pub struct Binding<'a> {
    /// The device.
    pub device: &'a Device,
    /// Which packets of it.
    pub binder: Binder,
    /// The block.
    pub block: BlockId,
    /// Other devices can be bound to it.
    pub shared: bool,
    /// It is one of tc; else a chain of nftables, whose rules come in the same way.
    pub of_tc: bool,
    /// No device is bound to it yet, of whichever driver.
    pub first: bool,
}

/// Who made a binding: a device of ours, or a registration for the devices of others.
pub(super) type Owner = *const c_void;

/// What the kernel keeps for us in each binding.
struct Bound {
    owner: Owner,
    device: *const bindings::net_device,
    binder: u32,
    /// The chain of nftables that the block is of.
    chain: Option<Chain>,
    /// The block, while rules of it may be played back; null where none are.
    block: *const bindings::flow_block,
    /// The kernel's callback, null at first.
    callback: *const bindings::flow_block_cb,
    /// The callback was found among those of the block. That stays so.
    listed: AtomicBool,
    rules: KBox<dyn Rules>,
}

impl Bound {
    /// Whether the kernel plays back the rules of the block: it puts the callback among those of the block only then.
    ///
    /// # Safety
    ///
    /// The kernel calls back, about a block of tc with the block's lock held.
    unsafe fn is_played_back(&self) -> bool {
        if self.block.is_null() || self.listed.load(Relaxed) {
            return false;
        }
        // SAFETY: By the contract the list does not change; the block is valid as long as the device is bound to it. No reference is made.
        let listed = unsafe {
            let head = &raw const (*self.block).cb_list;
            let own = &raw const (*self.callback).list;
            let next = |at: &*mut bindings::list_head| Some((**at).next);
            let mut all = iter::successors(Some((*head).next), next);
            all.find(|at| ptr::eq(*at, own) || ptr::eq(*at, head))
                .is_some_and(|at| ptr::eq(at, own))
        };
        self.listed.store(listed, Relaxed);
        !listed
    }
}

/// The request to bind or unbind, as the kernel passes it.
pub(super) struct Setup<'a> {
    raw: NonNull<bindings::flow_block_offload>,
    device: NonNull<bindings::net_device>,
    /// What comes along where the device is not ours.
    pub(super) indirect: Option<Indirect>,
    _request: PhantomData<&'a Device>,
}

/// What a request about the device of somebody else has besides.
pub(super) struct Indirect {
    pub(super) sch: *mut bindings::Qdisc,
    pub(super) data: *mut c_void,
    pub(super) cleanup: Option<unsafe extern "C" fn(*mut bindings::flow_block_cb)>,
}

impl Setup<'_> {
    /// # Safety
    ///
    /// Request and device are valid while this lives; the request is ours alone, and so are the lists that it is about. Where
    /// the device is not ours, what comes along is the kernel's.
    pub(super) unsafe fn new(
        raw: NonNull<bindings::flow_block_offload>,
        device: NonNull<bindings::net_device>,
        indirect: Option<Indirect>,
    ) -> Self {
        Self {
            raw,
            device,
            indirect,
            _request: PhantomData,
        }
    }

    /// Does what is asked; `bind` gives the rules of a new binding.
    pub(super) fn run(
        mut self,
        owner: Owner,
        bind: impl FnOnce(&Binding<'_>, Option<&mut Extack>) -> Result<KBox<dyn Rules>>,
    ) -> Result {
        // SAFETY: By the contract of `new`.
        let raw = unsafe { self.raw.as_mut() };
        // Rules come and go without RTNL. Has to be the same for binding and unbinding.
        raw.unlocked_driver_cb = true;
        match raw.command {
            bindings::flow_block_command_FLOW_BLOCK_BIND => self.bind(owner, bind),
            bindings::flow_block_command_FLOW_BLOCK_UNBIND => self.unbind(owner),
            _ => Err(EOPNOTSUPP),
        }
    }

    fn bind(
        mut self,
        owner: Owner,
        bind: impl FnOnce(&Binding<'_>, Option<&mut Extack>) -> Result<KBox<dyn Rules>>,
    ) -> Result {
        if self.find(owner).is_some() {
            return Err(EBUSY);
        }
        if self.is_played_back() {
            // SAFETY: As below.
            let extack = unsafe { Extack::from_raw(self.raw.as_ref().extack) };
            let why = fmt!("the block has rules in hardware already, by another device");
            return Err(refuse(extack, EOPNOTSUPP, why));
        }
        // SAFETY: By the contract of `new`.
        let (raw, device) = unsafe { (self.raw.as_mut(), Device::from_raw(self.device.as_ptr())) };
        let binding = Binding {
            device,
            binder: Binder::from_raw(raw.binder_type),
            block: BlockId(self.block()),
            shared: raw.block_shared,
            of_tc: self.is_of_tc(),
            first: self.is_first(),
        };
        // SAFETY: The extack is null or ours while this runs.
        let rules = bind(&binding, unsafe { Extack::from_raw(raw.extack) })?;
        let bound = KBox::new(
            Bound {
                owner,
                device: self.device.as_ptr(),
                binder: raw.binder_type,
                chain: self.of_chain(),
                block: match self.is_of_tc() {
                    // SAFETY: By the contract of `new`.
                    true => unsafe { (*self.raw.as_ptr()).block.cast_const() },
                    false => ptr::null(),
                },
                callback: ptr::null(),
                listed: AtomicBool::new(false),
                rules,
            },
            GFP_KERNEL,
        )?;
        let bound = KBox::into_raw(bound);
        match self.callback(owner, bound) {
            Ok(callback) => {
                // SAFETY: Nobody else knows of it yet.
                let bound = unsafe { &mut *bound };
                bound.callback = callback.as_ptr();
                // The later this is asked, the fewer rules come in between.
                if self.has_older() {
                    bound.rules.miss_older();
                }
                // SAFETY: The callback is new and in no list. Nobody but us looks at the driver's list, and the kernel takes the
                // callback from it: it is a list of its own.
                unsafe {
                    let list = &raw mut (*callback.as_ptr()).driver_list;
                    (*list).next = list;
                    (*list).prev = list;
                    bindings::flow_block_cb_add(callback.as_ptr(), self.raw.as_ptr());
                }
                Ok(())
            }
            Err(error) => {
                // SAFETY: The kernel has not taken it.
                drop(unsafe { KBox::from_raw(bound) });
                Err(error)
            }
        }
    }

    /// Whether tc would go on to play back rules of the block that are in hardware. Where one of them is refused, which is an error then,
    /// `tcf_block_bind()` frees the callback of a device of somebody else, and leaves it in the kernel's list of these.
    fn is_played_back(&self) -> bool {
        let Some(indirect) = self.indirect.as_ref().filter(|_| self.is_of_tc()) else {
            return false;
        };
        // SAFETY: By the contract of `new`, for a request of tc `data` is the block.
        unsafe {
            let block = indirect.data.cast::<bindings::tcf_block>();
            !(*self.raw.as_ptr()).block.is_null()
                && (&raw const (*block).offloadcnt.counter).read_volatile() != 0
        }
    }

    /// Whether the block has rules that the kernel does not play back: it does not where the device was bound before we registered.
    fn has_older(&self) -> bool {
        let Some(indirect) = self.indirect.as_ref().filter(|_| self.is_of_tc()) else {
            return false;
        };
        // SAFETY: By the contract of `new`, for a request of tc `data` is the block. Those who hold its lock take none that is held here.
        unsafe {
            (*self.raw.as_ptr()).block.is_null()
                && bindings::oxnic_block_has_chains(indirect.data.cast())
        }
    }

    fn unbind(self, owner: Owner) -> Result {
        let callback = self.find(owner).ok_or(ENOENT)?;
        // SAFETY: The callback is in the list of the block, and where it belongs to the device of somebody else, in that of the
        // kernel as well. The kernel removes all rules from it, and then frees it.
        unsafe {
            if self.indirect.is_some() {
                bindings::flow_indr_block_cb_remove(callback.as_ptr(), self.raw.as_ptr());
            } else {
                bindings::flow_block_cb_remove(callback.as_ptr(), self.raw.as_ptr());
            }
        }
        Ok(())
    }

    /// A callback of the kernel's, which owns `bound` from then on.
    fn callback(
        &self,
        owner: Owner,
        bound: *mut Bound,
    ) -> Result<NonNull<bindings::flow_block_cb>> {
        // SAFETY: The functions take what they are given here, and the rest is the kernel's own.
        let callback = from_err_ptr(unsafe {
            match &self.indirect {
                None => bindings::flow_block_cb_alloc(
                    Some(rules_callback),
                    bound.cast(),
                    bound.cast(),
                    Some(RELEASE),
                ),
                Some(indirect) => bindings::flow_indr_block_cb_alloc(
                    Some(rules_callback),
                    bound.cast(),
                    bound.cast(),
                    Some(RELEASE),
                    self.raw.as_ptr(),
                    self.device.as_ptr(),
                    indirect.sch,
                    indirect.data,
                    owner.cast_mut(),
                    indirect.cleanup,
                ),
            }
        })?;
        NonNull::new(callback).ok_or(ENOMEM)
    }

    /// The binding of this owner, device and side, in the block that the request is about.
    fn find(&self, owner: Owner) -> Option<NonNull<bindings::flow_block_cb>> {
        // SAFETY: By the contract of `new`. A device that was bound before we registered for those of others is bound without
        // naming the block, and then it is not bound yet.
        let (block, binder) =
            unsafe { ((*self.raw.as_ptr()).block, self.raw.as_ref().binder_type) };
        let head: *const bindings::list_head = if block.is_null() {
            return None;
        } else {
            // SAFETY: The block is valid.
            unsafe { &raw const (*block).cb_list }
        };
        // SAFETY: The list is ours while this runs; all its entries are callbacks.
        let mut at = unsafe { (*head).next };
        while !ptr::eq(at, head) {
            // SAFETY: As above.
            let callback = unsafe { container_of!(at, bindings::flow_block_cb, list) };
            // SAFETY: A callback with our function has a `Bound` of ours: no other function of this module is made into one, so
            // that it does not matter if the compiler joins it with one that does the same.
            let mine = unsafe {
                (*callback)
                    .release
                    .is_some_and(|release| ptr::fn_addr_eq(release, RELEASE))
                    && {
                        let bound = &*(*callback).cb_priv.cast::<Bound>();
                        ptr::eq(bound.owner, owner)
                            && ptr::eq(bound.device, self.device.as_ptr())
                            && bound.binder == binder
                    }
            };
            if mine {
                return NonNull::new(callback);
            }
            // SAFETY: As above.
            at = unsafe { (*at).next };
        }
        None
    }

    /// Whether the block is tc's. Nftables has no queueing discipline.
    fn is_of_tc(&self) -> bool {
        match &self.indirect {
            Some(indirect) => !indirect.sch.is_null(),
            // SAFETY: By the contract of `new`.
            None => unsafe { !self.raw.as_ref().sch.is_null() },
        }
    }

    /// The chain of nftables whose block this is. One on a device of somebody else has none that is known to be valid here.
    fn of_chain(&self) -> Option<Chain> {
        if self.indirect.is_some() || self.is_of_tc() {
            return None;
        }
        // SAFETY: By the contract of `new`; a block that is bound to a device of ours without a queueing discipline is of a chain of
        // nftables, which unbinds all devices before it goes.
        unsafe { Chain::of_block(NonNull::new(self.raw.as_ref().block)?) }
    }

    /// Whether nothing is bound to the block.
    fn is_first(&self) -> bool {
        // SAFETY: By the contract of `new`. No reference is made to the list.
        unsafe {
            let block = self.raw.as_ref().block;
            block.is_null() || {
                let head = &raw const (*block).cb_list;
                ptr::eq((*head).next, head)
            }
        }
    }

    /// The address of the block: the same one, whichever way the device came to it.
    fn block(&self) -> usize {
        match &self.indirect {
            Some(indirect) if self.is_of_tc() => {
                // SAFETY: What comes along with a block of tc's is a `struct tcf_block`.
                unsafe { &raw const (*indirect.data.cast::<bindings::tcf_block>()).flow_block }
                    .addr()
            }
            Some(indirect) => indirect.data.addr(),
            // SAFETY: By the contract of `new`.
            None => unsafe { self.raw.as_ref().block.addr() },
        }
    }
}

/// # Safety
///
/// The core calls this with RTNL held for a device that is registered with data of type `T`. Of a block, the request is its own and
/// valid, and the list of the block ours while this runs.
pub(in crate::net) unsafe extern "C" fn setup_callback<T: Operations>(
    device: *mut bindings::net_device,
    kind: bindings::tc_setup_type,
    request: *mut c_void,
) -> c_int {
    let result = match (
        kind,
        NonNull::new(device),
        NonNull::new(request.cast::<bindings::flow_block_offload>()),
    ) {
        (bindings::tc_setup_type_TC_SETUP_BLOCK, Some(device), Some(request)) => {
            // SAFETY: By the contract.
            let (data, setup) = unsafe {
                (
                    data::<T>(device.as_ptr()),
                    Setup::new(request, device, None),
                )
            };
            setup.run(device.as_ptr().cast(), |binding, extack| {
                data.bind_block(binding, extack)
            })
        }
        _ => Err(EOPNOTSUPP),
    };
    errno(result)
}

/// # Safety
///
/// The core calls this with what a binding of ours has, as long as it is not released.
unsafe extern "C" fn rules_callback(
    kind: bindings::tc_setup_type,
    data: *mut c_void,
    bound: *mut c_void,
) -> c_int {
    // SAFETY: By the contract.
    unsafe {
        let bound = &*bound.cast::<Bound>();
        let way = Way {
            chain: bound.chain,
            played_back: bound.is_played_back(),
        };
        classifier::request(&*bound.rules, way, kind, data)
    }
}

/// By which our callbacks are known among others.
pub(super) const RELEASE: unsafe extern "C" fn(*mut c_void) = release_callback;

/// # Safety
///
/// The core calls this once for a binding, when nothing else is called for it any more.
unsafe extern "C" fn release_callback(bound: *mut c_void) {
    // SAFETY: It was made by `KBox::into_raw`.
    let bound = unsafe { KBox::from_raw(bound.cast::<Bound>()) };
    if bound.chain.is_some() {
        // Nftables asks for what a rule has seen without its lock, as a reader of RCU.
        rcu::synchronize_rcu();
    }
    drop(bound);
}
