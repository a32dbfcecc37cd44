// SPDX-License-Identifier: GPL-2.0-only

//! The reporter `rules` of devlink: rules that are not in the device.
//!
//! There are two kinds, in two lists. Some were *refused* when they came, and software has them ([`super::refused`]): as it should be. Others are
//! *missing*: the kernel was told that they are in the device, which has not taken them back ([`super::missing`]). That is a
//! failure of the device's. It is reported to devlink when it begins, with a dump of what is missing then, and it has recovered when the device
//! has everything.
//!
//! Devlink's lock comes before all others that are taken here, so a task reports, which holds none.

use super::{
    gap::{Missing, Whereabouts},
    missing::Lack, //
};
use crate::device::Device;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, //
    },
};
use oxnic_kapi::{
    devlink::{Abilities, Health, Instance, Message, Reporter},
    extack::Extack,
    time, //
};

/// Refused rules that one answer lists: with the next, as many as fit the room that a socket of netlink has, by two thirds.
const REFUSED_SHOWN: u32 = 256;
/// Missing rules that one answer lists.
const MISSING_SHOWN: usize = 128;

/// Says which rules of a device are not in it.
pub(crate) struct Rules {
    device: Arc<Device>,
    /// Devlink was told that something is missing. The task alone changes it.
    failing: Atomic<bool>,
}

impl Rules {
    fn lack(&self) -> Option<Lack> {
        let engine = self.device.flow.lock().engine();
        engine.and_then(|engine| engine.lack())
    }

    fn tell_refused(&self, message: &mut Message<'_>) -> Result {
        let (all, shown) = self.device.count_refused(REFUSED_SHOWN);
        message.number(c"refused", all);
        // Rules that come or go between the two rounds are not worth a lock over both.
        message.number(c"not_listed", all - u64::from(shown));
        if shown == 0 {
            return Ok(());
        }
        message.list(c"rules", |message| self.device.tell_refused(message, shown))
    }

    fn tell_missing(&self, message: &mut Message<'_>) -> Result {
        let engine = self.device.flow.lock().engine();
        let (list, all) = match &engine {
            Some(engine) => engine.missing_rules(MISSING_SHOWN)?,
            None => (KVec::new(), 0),
        };
        let lack = self.lack();
        message.number(c"missing", all.into());
        let unlisted = u64::from(all).saturating_sub(list.len() as u64);
        message.number(c"missing_not_listed", unlisted);
        let objects = lack.map_or(0, |lack| lack.objects);
        message.number(c"missing_objects", objects.into());
        if let Some(ms) = lack.and_then(|lack| lack.outage) {
            let seconds = ms.div_ceil(1000);
            message.text(
                c"outage",
                fmt!("the device has no rules since it stopped answering, tried again in {seconds} s"),
            )?;
        }
        if list.is_empty() {
            return Ok(());
        }
        message.list(c"missing_rules", |message| {
            list.iter()
                .try_for_each(|one| message.object(|message| self.tell_one(message, one)))
        })
    }

    fn tell_one(&self, message: &mut Message<'_>, missing: &Missing) -> Result {
        // It may have gone since.
        let (netdev, count) = self.device.bound_by(missing.block);
        if let Some(netdev) = netdev {
            message.text(c"netdev", fmt!("{}", netdev.name()))?;
            message.number(c"netdevs", count);
        }
        let side = match missing.block.is_egress() {
            true => "egress",
            false => "ingress",
        };
        message.text(c"side", fmt!("{side}"))?;
        match missing.place {
            Whereabouts::Tc { chain, priority } => {
                message.number(c"chain", chain.into());
                message.number(c"pref", priority.into());
                message.text(c"kind", fmt!("tc"))?;
            }
            Whereabouts::Nftables { rule, part } => {
                message.number(c"rule", rule.into());
                message.number(c"part", part as u64);
                message.text(c"kind", fmt!("nftables"))?;
            }
        }
        message.text(c"state", fmt!("{}", missing.lost.name()))?;
        message.text(c"reason", fmt!("{}", missing.why))?;
        message.text(c"in_its_place", fmt!("{}", missing.instead))?;
        let age = time::now_ms().saturating_sub(missing.since) / 1000;
        message.number(c"age_s", age);
        message.number(c"tries", missing.tries.into());
        Ok(())
    }
}

impl Reporter for Rules {
    const NAME: &'static CStr = c"rules";
    const ABILITIES: Abilities = Abilities::DUMP;
    type Error = ();

    fn diagnose(&self, message: &mut Message<'_>) -> Result {
        self.tell_refused(message)?;
        self.tell_missing(message)
    }

    fn dump(
        &self,
        message: &mut Message<'_>,
        _error: Option<&()>,
        _extack: Option<&mut Extack>,
    ) -> Result {
        self.tell_missing(message)
    }
}

/// Shows users which rules are not in the device.
pub(crate) fn reporter(device: &Arc<Device>, instance: &Arc<Instance>) -> Result<Health<Rules>> {
    let rules = Rules {
        device: device.clone(),
        failing: Atomic::new(false),
    };
    Health::new(instance.clone(), rules)
}

impl Device {
    /// The task that tells devlink when something begins to be missing, and when nothing is any more.
    pub(crate) fn report_rules(this: &Arc<Self>) {
        // Devlink's lock comes before this one.
        let health = this
            .devlink
            .lock()
            .as_ref()
            .and_then(|devlink| devlink.rules());
        let Some(health) = health else {
            return;
        };
        let rules = health.reporter();
        let failing = rules.lack().is_some();
        if rules.failing.xchg(failing, Relaxed) == failing {
            return;
        }
        match failing {
            // There is nothing to be recovered by devlink, and so nothing that could fail.
            true => drop(health.report(c"the device has not taken all rules back", &())),
            false => health.recovered(),
        }
    }
}
