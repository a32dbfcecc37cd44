// SPDX-License-Identifier: GPL-2.0-only

//! Follows routes, neighbours and addresses for as long as the device has something that is made of them.
//!
//! Notices come where nothing may sleep, so a task looks at everything again. Another task does so at intervals: it asks for neighbours
//! that are not known, and tells the kernel which ones are in use, since packets that the device sends itself do not.

use super::{
    engine::Engine,
    refusal::Refusal, //
};
use crate::device::Device;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, //
    },
};
use oxnic_kapi::work::Task;

/// How often neighbours are made sure of, in milliseconds.
const PERIOD: u32 = 2000;

/// What looks at routes and neighbours again.
pub(crate) struct Follow {
    soon: Task<Device>,
    tick: Task<Device>,
    /// Not zero while there is something to look at.
    wanted: Atomic<u32>,
}

impl Follow {
    /// Nothing is followed yet.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            soon: Task::new(|device| run(device, false))?,
            tick: Task::new(|device| run(device, true))?,
            wanted: Atomic::new(0),
        })
    }

    /// There is something to follow.
    pub(crate) fn start(&self, device: &Arc<Device>) {
        self.wanted.store(1, Relaxed);
        self.soon.schedule(device);
        self.tick.schedule_after(device, PERIOD);
    }

    /// Something has changed. May be called in any context.
    pub(crate) fn soon(&self, device: &Arc<Device>) {
        if self.wanted.load(Relaxed) != 0 {
            self.soon.schedule(device);
        }
    }

    /// Ends it for good.
    pub(crate) fn stop(&self) {
        self.soon.stop();
        self.tick.stop();
    }
}

fn run(device: &Arc<Device>, again: bool) {
    let Some(engine) = device.flow.lock().engine() else {
        return;
    };
    if engine.follow(device, again) && again {
        device.follow.tick.schedule_after(device, PERIOD);
    }
}

impl Engine {
    /// Looks at all that is made of routes, neighbours and addresses. Says whether there is any.
    fn follow(&self, device: &Arc<Device>, again: bool) -> bool {
        let _going = self.gate.read();
        let nothing = self.encaps.lock().is_empty() && !self.tunnels.lock().has_locals();
        if nothing {
            // A rule that comes now starts it again, when it is in the device.
            device.follow.wanted.store(0, Relaxed);
            return false;
        }
        device.follow.wanted.store(1, Relaxed);
        // What a reset took away is put back as it was, and then looked at.
        if self.queues.is_started() {
            let used = match again {
                true => self.used_encaps(),
                false => Ok(KVec::new()),
            };
            // Without memory to tell, all are.
            self.encaps.lock().follow(device, again, |id| {
                used.as_ref().map_or(true, |used| used.contains(&id))
            });
            self.follow_locals(device);
        }
        true
    }

    /// Headers that packets got since the last time; those of rules that are not counted are among them.
    fn used_encaps(&self) -> Result<KVec<u32>, Refusal> {
        let mut used = KVec::new();
        let stores = self.stores.lock();
        for store in stores.iter() {
            for rule in store.inner.lock().rules() {
                let encaps = rule.objects.more.encaps();
                if encaps.is_empty() {
                    continue;
                }
                let counter = rule.objects.counter.as_ref();
                let moved = match counter.map(|counter| self.counters.read(counter)) {
                    None => true,
                    Some(now) => {
                        let now = now.map_or(0, |now| now.packets);
                        core::mem::replace(&mut rule.looked, now) != now
                    }
                };
                if moved {
                    used.extend_from_slice(encaps, GFP_KERNEL)?;
                }
            }
        }
        Ok(used)
    }
}
