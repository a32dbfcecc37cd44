// SPDX-License-Identifier: GPL-2.0-only

//! Meters: the policers of rules. Rules that name one police action of tc share its meter.

use super::{ids::Ids, refusal::Refusal};
use crate::{cmd, command::CommandError, device::Device};
use kernel::{prelude::*, sync::Arc};
use oxnic_abi::flow::{
    flow_set,
    meter::MeterSet, //
};
use oxnic_offload::plan::meters::unit;
use oxnic_offload::rule::{police::Rate, Police};

struct Meter {
    id: u32,
    /// Rules that name it, never 0.
    rules: u32,
    /// Name of tc's action.
    action: usize,
    rate: Rate,
    mtu: u32,
}

/// The meters of an engine.
pub(crate) struct Meters {
    ids: Ids,
    meters: KVec<Meter>,
}

impl Meters {
    /// None, of at most `limit`.
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            ids: Ids::new(limit),
            meters: KVec::new(),
        }
    }

    /// The meter of an action of tc; makes it if there is none. Where the action was changed since, the meter is. One more rule
    /// names it.
    ///
    /// # Errors
    ///
    /// Nothing has changed then.
    pub(crate) fn get(
        &mut self,
        device: &Arc<Device>,
        action: usize,
        police: &Police,
    ) -> Result<u32, Refusal> {
        let (rate, mtu) = (police.rate, police.mtu);
        if let Some(meter) = self.meters.iter_mut().find(|meter| meter.action == action) {
            if (meter.rate, meter.mtu) != (rate, mtu) {
                cmd::flow::meter_set(device, &set(meter.id, 0, rate, mtu))?;
                (meter.rate, meter.mtu) = (rate, mtu);
            }
            meter.rules += 1;
            return Ok(meter.id);
        }
        self.meters.reserve(1, GFP_KERNEL)?;
        let limit = self.ids.limit();
        let id = self.ids.take().map_err(|error| Refusal::Full {
            what: "meters",
            limit,
            error,
        })?;
        if let Err(error) = cmd::flow::meter_set(device, &set(id, flow_set::CREATE, rate, mtu)) {
            self.ids.give(id);
            return Err(error.into());
        }
        let meter = Meter {
            id,
            rules: 1,
            action,
            rate,
            mtu,
        };
        self.meters.push(meter, GFP_KERNEL)?;
        Ok(id)
    }

    /// Makes all of them anew in a device that was reset.
    pub(crate) fn restore(&self, device: &Arc<Device>) -> Result<(), CommandError> {
        self.meters.iter().try_for_each(|meter| {
            let set = set(meter.id, flow_set::CREATE, meter.rate, meter.mtu);
            cmd::flow::meter_set(device, &set)
        })
    }

    /// A rule does not name it any more. Without rules it goes, from the device as well where that has it.
    pub(crate) fn put(&mut self, device: &Arc<Device>, id: u32, reached: bool) {
        let Some(at) = self.meters.iter().position(|meter| meter.id == id) else {
            return;
        };
        self.meters[at].rules -= 1;
        if self.meters[at].rules > 0 {
            return;
        }
        // `at` was found above.
        let _ = self.meters.remove(at);
        if !reached {
            self.ids.give(id);
            return;
        }
        match cmd::flow::meter_destroy(device, id) {
            Ok(()) => self.ids.give(id),
            // The id is not used again, since the device may still have it.
            Err(error) => dev_err!(device.binding(), "meter {}: {}\n", id, error),
        }
    }
}

fn set(id: u32, flags: u16, rate: Rate, mtu: u32) -> MeterSet {
    let (value, burst) = match rate {
        Rate::None => (0, 0),
        Rate::Bytes { rate, burst } | Rate::Packets { rate, burst } => (rate, burst),
    };
    MeterSet {
        id,
        flags,
        unit: unit(rate),
        rate: value,
        burst,
        mtu,
    }
}
