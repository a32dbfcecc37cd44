// SPDX-License-Identifier: GPL-2.0-only

//! What the device has in place of rules that it has not taken back.
//!
//! While a rule is missing, rules behind it would take its packets. So a rule comes into its place that only sends up what it takes, as for a
//! rule that was refused in the first place: software does the rest. It has the id, the key and the place of the missing one, and when that is
//! tried again it becomes it by one request (UPDATE), so that each packet is taken by the one or the other.
//!
//! That does not help where software does not have the rule (`skip_sw`), as rules of software behind it would take the packets instead; nor at
//! egress, where the device cannot send up. And a rule at which the device has stopped answering is not told of in any form, before it is due to
//! be tried again.

use super::{
    count::Ways,
    engine::Engine,
    gap::Instead,
    limits::Share,
    plan,
    refusal::Refusal,
    request,
    store::{Presence, Store, Stored},
    template::Template, //
};
use crate::device::Device;
use kernel::{prelude::*, sync::Arc};
use oxnic_offload::rule::Chain;

/// The lists of actions of such rules, held for all of them as long as there is any: one or two, as there are two ways up.
pub(crate) type Interims = KVec<Arc<Template>>;

impl Engine {
    /// Puts what stands in for a missing rule in its place, if that helps.
    ///
    /// # Errors
    ///
    /// The device cannot be reached, or has not answered.
    pub(super) fn put_interim(
        &self,
        device: &Arc<Device>,
        store: &Store,
        stored: &mut Stored,
    ) -> Result<Instead, Refusal> {
        if store.block.is_egress() {
            return Ok(Instead::Egress);
        }
        if stored.skip_sw {
            return Ok(Instead::SkipSw);
        }
        let (chain, _) = stored.place.of_tc();
        let put = self
            .interim(device, store, Chain(chain), &stored.request)
            .and_then(|request| match request::actions_of(&stored.request) {
                own if own == request::actions_of(&request) => Ok(Instead::Same),
                _ => self.ask(device, &request).map(|()| {
                    stored.presence = Presence::Interim;
                    Instead::Upwards
                }),
            });
        match put {
            Err(unreached @ Refusal::Unreached(_)) => Err(unreached),
            put => Ok(put.unwrap_or_else(Instead::Refused)),
        }
    }

    /// The request that puts a rule into the device which stands in for the one of another request.
    ///
    /// # Errors
    ///
    /// There is none: the device does not take its list of actions, or there is no memory.
    pub(super) fn interim(
        &self,
        device: &Arc<Device>,
        store: &Store,
        chain: Chain,
        request: &[u64],
    ) -> Result<KVec<u64>, Refusal> {
        let context = plan::context(&self.caps, store, false, Ways::OFF.statistics);
        let (list, cookie) = plan::upwards(chain, &context)?;
        let template = self.hold_interim(device, &list)?;
        Ok(request::with_actions(request, template, cookie, &[])?)
    }

    /// The template with this list, of one action.
    fn hold_interim(&self, device: &Arc<Device>, list: &[u64]) -> Result<u32, Refusal> {
        let mut interims = self.interims.lock();
        interims.reserve(1, GFP_KERNEL)?;
        let reached = self.is_reached();
        let template = self.actions.get(device, list, 1, 0, reached, Share::All)?;
        let id = template.id();
        match interims.iter().any(|held| held.id() == id) {
            true => self.actions.put(device, &template, reached),
            false => {
                // There is room.
                let _ = interims.push(template, GFP_KERNEL);
            }
        }
        Ok(id)
    }

    /// No rule is missing any more for which something stands in.
    pub(super) fn end_interims(&self, device: &Arc<Device>) {
        for template in self.interims.lock().drain_all() {
            self.actions.put(device, &template, self.is_reached());
        }
    }
}
