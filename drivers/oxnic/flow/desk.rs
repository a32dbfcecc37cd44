// SPDX-License-Identifier: GPL-2.0-only

//! Room in which rules are planned: as much as the device's limits allow, allocated once and used again.

use kernel::{
    alloc::AllocError,
    new_spinlock,
    prelude::*,
    sync::SpinLock, //
};
use oxnic_abi::flow::{
    action::FlowAction,
    capability::FlowCaps,
    template::FlowCondition, //
};

/// Desks that are kept. More than that are in use only where as many rules are planned at once.
const KEPT: usize = 16;

/// Room for one rule.
pub(crate) struct Desk {
    pub(super) conditions: KVec<FlowCondition>,
    pub(super) masks: KVec<u8>,
    pub(super) key: KVec<u8>,
    pub(super) actions: KVec<FlowAction>,
    pub(super) arguments: KVec<u8>,
    /// The conditions as words, with masks behind them.
    pub(super) match_list: KVec<u64>,
    /// The actions as words.
    pub(super) action_list: KVec<u64>,
}

impl Desk {
    fn new(caps: &FlowCaps) -> Result<Self, AllocError> {
        Ok(Self {
            conditions: KVec::from_elem(
                FlowCondition::ZERO,
                caps.conditions_max.into(),
                GFP_KERNEL,
            )?,
            masks: KVec::from_elem(0, caps.options_max.into(), GFP_KERNEL)?,
            key: KVec::from_elem(0, caps.key_max.into(), GFP_KERNEL)?,
            actions: KVec::from_elem(FlowAction::ZERO, caps.actions_max.into(), GFP_KERNEL)?,
            arguments: KVec::from_elem(0, caps.arguments_max.into(), GFP_KERNEL)?,
            match_list: KVec::new(),
            action_list: KVec::new(),
        })
    }
}

/// The desks of an engine. A spinlock guards the list of those that nobody sits at.
#[pin_data]
pub(crate) struct Desks {
    #[pin]
    free: SpinLock<KVec<KBox<Desk>>>,
}

impl Desks {
    /// None yet.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub(crate) fn new() -> Result<impl PinInit<Self>, AllocError> {
        let free = KVec::with_capacity(KEPT, GFP_KERNEL)?;
        Ok(pin_init!(Self { free <- new_spinlock!(free) }))
    }

    /// Lends a desk.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub(crate) fn lend(&self, caps: &FlowCaps) -> Result<KBox<Desk>, AllocError> {
        let free = self.free.lock().pop();
        match free {
            Some(desk) => Ok(desk),
            None => KBox::new(Desk::new(caps)?, GFP_KERNEL),
        }
    }

    /// Takes a desk back.
    pub(crate) fn take_back(&self, desk: KBox<Desk>) {
        let mut free = self.free.lock();
        if free.len() < free.capacity() {
            // There is room.
            let _ = free.push(desk, GFP_NOWAIT);
            return;
        }
        drop(free);
        drop(desk);
    }
}
