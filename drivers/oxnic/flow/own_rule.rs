// SPDX-License-Identifier: GPL-2.0-only

//! Rules of the driver's own, by which packets get to the tables of tunnel and VLAN devices.

use super::{
    engine::Engine,
    exactly::Exactly,
    limits::Share,
    refusal::Refusal,
    request,
    store::{Objects, Presence},
    template::Template, //
};
use crate::device::Device;
use kernel::{prelude::*, sync::Arc};
use oxnic_abi::flow::{
    action::{action_flags, FlowAction, FlowActionKind},
    request::FlowRequest, //
};

/// A rule of the driver's own.
pub(crate) struct OwnRule {
    rule: u32,
    matches: Arc<Template>,
    actions: Arc<Template>,
    /// What puts it into the device.
    pub(crate) request: KVec<u64>,
    /// It is in the device.
    pub(crate) there: bool,
}

impl Engine {
    /// Puts a rule of the driver's own into the device: what it takes goes on in another table, without so many of its tags.
    pub(super) fn add_own(
        &self,
        device: &Arc<Device>,
        (table, priority): (u32, u32),
        exactly: &Exactly,
        pops: usize,
        to: u32,
    ) -> Result<OwnRule, Refusal> {
        let pop = FlowAction {
            kind: FlowActionKind::VLAN_POP,
            ..FlowAction::ZERO
        };
        let action = FlowAction {
            kind: FlowActionKind::GOTO,
            flags: action_flags::ARGUMENT,
            ..FlowAction::ZERO
        };
        let mut list = KVec::new();
        for action in Iterator::chain(core::iter::repeat_n(pop, pops), [action]) {
            list.extend_from_slice(&action.to_words(), GFP_KERNEL)?;
        }
        let reached = self.is_reached();
        let words = &exactly.words;
        let matches = self
            .matches
            .get(device, words, exactly.count, 0, reached, Share::All)?;
        let actions = self
            .actions
            .get(device, &list, pops + 1, 0, reached, Share::All);
        let actions = actions.inspect_err(|_| {
            self.matches.put(device, &matches, self.is_reached());
        })?;
        let limit = self.rules.limit();
        let rule = self.rules.take().map_err(|error| Refusal::Full {
            what: "rules",
            limit,
            error,
        });
        let rule = rule.inspect_err(|_| {
            let reached = self.is_reached();
            self.actions.put(device, &actions, reached);
            self.matches.put(device, &matches, reached);
        })?;
        let header = FlowRequest {
            rule,
            table,
            priority,
            match_template: matches.id(),
            action_template: actions.id(),
            ..FlowRequest::ZERO
        };
        let mut own = OwnRule {
            rule,
            matches,
            actions,
            request: KVec::new(),
            there: false,
        };
        let added = request::add(&header, &exactly.key, &to.to_le_bytes())
            .map_err(Refusal::from)
            .and_then(|request| {
                own.request = request;
                self.tell(device, &Objects::default(), &own.request)
            });
        match added {
            Ok(presence) => {
                own.there = presence == Presence::There;
                Ok(own)
            }
            Err(refusal) => {
                self.give_own(device, &own, self.is_reached());
                Err(refusal)
            }
        }
    }

    fn give_own(&self, device: &Arc<Device>, own: &OwnRule, reached: bool) {
        self.rules.give(own.rule);
        self.actions.put(device, &own.actions, reached);
        self.matches.put(device, &own.matches, reached);
    }

    pub(super) fn remove_own(&self, device: &Arc<Device>, own: OwnRule, reached: bool) {
        if reached && own.there {
            self.take_out(device, own.rule);
        }
        self.give_own(device, &own, self.is_reached());
    }
}
