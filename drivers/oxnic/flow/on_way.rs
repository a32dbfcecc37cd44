// SPDX-License-Identifier: GPL-2.0-only

//! Rules on their way back into the device, some at a time, and what comes of each.

use super::{
    engine::Engine,
    gap::{Instead, Missing},
    gaps::Gaps,
    queue::SLOT_WORDS,
    refusal::Refusal,
    request,
    store::{Inner, Presence, Store, Stored},
    ticket::Ticket, //
};
use crate::device::Device;
use kernel::{prelude::*, sync::Arc};
use oxnic_kapi::net::flow::Cookie;

/// Rules that are on their way at a time, as far as the queue has room for them.
const BATCH: usize = 32;
/// Most counters of a rule: one for each action, and its own.
const COUNTERS: usize = 65;

/// A rule that is on its way.
struct Sent {
    cookie: Cookie,
    counter: Option<Ticket>,
    /// Or why it was not sent.
    rule: Result<Ticket, Refusal>,
}

/// Rules that are on their way.
struct UnderWay {
    rules: KVec<Sent>,
    /// Slots that they take.
    slots: usize,
}

impl Engine {
    /// Puts back the rules of a block that are in such a state; with those that are absent, those for which something stands in. Suspicious
    /// ones go one by one.
    pub(super) fn put_rules_back(
        &self,
        device: &Arc<Device>,
        store: &Store,
        which: Presence,
        gaps: &mut Gaps<'_>,
    ) -> Result<(), Refusal> {
        let most = match which {
            Presence::Suspect => 1,
            _ => BATCH,
        };
        // Behind those that are on their way there has to be room for the longest one, its counters, one that takes a rule out, and what
        // stands in for it then.
        let longest = 2 * usize::from(self.caps.request_slots_max) + COUNTERS + 1;
        let room = self.queues.slots().saturating_sub(longest);
        let mut under_way = UnderWay {
            rules: KVec::with_capacity(most, GFP_KERNEL)?,
            slots: 0,
        };
        let mut inner = store.inner.lock();
        let mut from = Some(Cookie(0));
        while let Some(first) = from {
            let mut sent = Ok(());
            from = inner.walk(first, |cookie, rule| {
                let known = match rule.presence {
                    Presence::Interim => Presence::Absent,
                    presence => presence,
                };
                if known != which {
                    return true;
                }
                sent = self.send(device, cookie, rule, &mut under_way);
                sent.is_ok() && under_way.rules.len() < most && under_way.slots <= room
            });
            sent?;
            self.settle(device, store, &mut inner, &mut under_way, gaps)?;
        }
        Ok(())
    }

    fn send(
        &self,
        device: &Arc<Device>,
        cookie: Cookie,
        rule: &Stored,
        under_way: &mut UnderWay,
    ) -> Result<(), Refusal> {
        let mut counted = Ok(());
        for counter in rule.objects.more.counters() {
            under_way.slots += 1;
            counted = counted.and_then(|()| self.ask(device, &request::reset_counter(counter)));
        }
        if let Err(why) = counted {
            let sent = Sent {
                cookie,
                counter: None,
                rule: Err(why),
            };
            under_way.rules.push(sent, GFP_KERNEL)?;
            return Ok(());
        }
        let mut submit = |words: &[u64]| {
            under_way.slots += words.len() / SLOT_WORDS;
            let submitted = self.queues.submit(device, [words]);
            submitted.map(|[ticket]| ticket).map_err(Refusal::Unreached)
        };
        let counter = rule.objects.counter.as_ref();
        let counter = match counter.map(request::reset_counter) {
            Some(words) => Some(submit(&words)?),
            None => None,
        };
        let sent = Sent {
            cookie,
            counter,
            rule: Ok(match rule.presence {
                Presence::Interim => submit(&request::update(&rule.request)?)?,
                _ => submit(&rule.request)?,
            }),
        };
        under_way.rules.push(sent, GFP_KERNEL)?;
        Ok(())
    }

    /// Waits for all results.
    ///
    /// # Errors
    ///
    /// There is none. The rule that has none is suspicious, unless others have stopped the queue.
    fn settle(
        &self,
        device: &Arc<Device>,
        store: &Store,
        inner: &mut Inner,
        under_way: &mut UnderWay,
        gaps: &mut Gaps<'_>,
    ) -> Result<(), Refusal> {
        under_way.slots = 0;
        for sent in under_way.rules.drain_all() {
            let counter = sent.counter.map(|ticket| self.result(device, ticket));
            let rule = sent.rule.and_then(|ticket| self.result(device, ticket));
            let Some(stored) = inner.get(sent.cookie) else {
                continue;
            };
            let told = self.both(device, &stored.request, counter.unwrap_or(Ok(())), rule);
            let gap = match told {
                Ok(()) => {
                    stored.presence = Presence::There;
                    Ok(None)
                }
                // What stands in for it stays as it is.
                Err(why @ Refusal::Device { .. })
                    if stored.presence == Presence::Interim && rule.is_err() =>
                {
                    Ok(Some((why, Instead::Upwards)))
                }
                Err(why @ Refusal::Device { .. }) => {
                    stored.presence = Presence::Absent;
                    let instead = self.put_interim(device, store, stored);
                    instead.map(|instead| Some((why, instead)))
                }
                Err(unreached) => Err(unreached),
            };
            let gap = gap.inspect_err(|unreached| {
                if !matches!(unreached, Refusal::Unreached(EAGAIN | ENODEV)) {
                    stored.presence = Presence::Suspect;
                }
            })?;
            if let Some(gap) = gap {
                let place = stored.place;
                gaps.rule(device, Missing::new(store, inner, sent.cookie, &place, gap));
            }
        }
        Ok(())
    }

    /// Notes the rules of a block at which the device has stopped answering, and which are not tried now.
    pub(super) fn note_suspects(&self, device: &Arc<Device>, store: &Store, gaps: &mut Gaps<'_>) {
        let mut inner = store.inner.lock();
        let mut from = Some(Cookie(0));
        while let Some(first) = from {
            let mut suspect = None;
            from = inner.walk(first, |cookie, stored| {
                let is = stored.presence == Presence::Suspect;
                suspect = is.then_some((cookie, stored.place));
                !is
            });
            if let Some((cookie, place)) = suspect {
                let gap = (Refusal::Unreached(ETIMEDOUT), Instead::Suspect);
                gaps.rule(device, Missing::new(store, &inner, cookie, &place, gap));
            }
        }
    }
}

/// Whether a block has rules at which the device has stopped answering.
pub(super) fn has_suspects(store: &Store) -> bool {
    let mut found = false;
    store.inner.lock().walk(Cookie(0), |_, stored| {
        found |= stored.presence == Presence::Suspect;
        !found
    });
    found
}
