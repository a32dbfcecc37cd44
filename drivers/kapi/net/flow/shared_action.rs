// SPDX-License-Identifier: GPL-2.0-only

//! Actions that tc creates for themselves, and that rules then name (`tc actions add`, `TC_SETUP_ACT`).

use super::action::{ActionId, Actions};
use super::indirect::Others;
use crate::extack::Extack;
use core::ffi::c_void;
use kernel::prelude::*;
use oxnic_bindings as bindings;

/// An action, by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedAction {
    /// Its kind. That of pedit is that of its first edit.
    pub id: ActionId,
    /// Its number among those of its kind.
    pub index: u32,
    /// Its name, as entries of rules have it.
    pub cookie: usize,
    bound: bool,
}

impl SharedAction {
    /// Whether rules name it.
    pub fn is_bound(&self) -> bool {
        self.bound
    }
}

/// A request about an action.
///
/// # Safety
///
/// `data` is a `struct flow_offload_action` of the core, and ours while this runs.
pub(super) unsafe fn request(others: &dyn Others, data: *mut c_void) -> Result {
    // SAFETY: By the contract.
    let raw = unsafe { &mut *data.cast::<bindings::flow_offload_action>() };
    let action = SharedAction {
        id: ActionId(raw.id),
        index: raw.index,
        cookie: raw.cookie,
        // SAFETY: The cookie is the action, which stays while the core asks about it.
        bound: unsafe { bindings::oxnic_action_bound(raw.cookie) },
    };
    match raw.command {
        bindings::offload_act_command_FLOW_ACT_REPLACE => {
            // SAFETY: The extack is null or ours while this runs, and the entries are made of the action.
            let (extack, actions) = unsafe {
                (
                    Extack::from_raw(raw.extack),
                    Actions::new(&raw const (*data.cast::<bindings::flow_offload_action>()).action),
                )
            };
            others.replace_action(&action, actions, extack)
        }
        bindings::offload_act_command_FLOW_ACT_DESTROY => others.destroy_action(&action),
        bindings::offload_act_command_FLOW_ACT_STATS => {
            others.action_stats(&action)?.update(&mut raw.stats);
            Ok(())
        }
        _ => Err(EOPNOTSUPP),
    }
}
