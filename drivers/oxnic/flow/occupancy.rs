// SPDX-License-Identifier: GPL-2.0-only

//! What `devlink resource show` says of the flow engine: how many objects of each kind there can be and are, and the most that there
//! were since the last reset.

use crate::{cmd, device::Device};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, //
    },
};
use oxnic_abi::flow::info::FlowObject;
use oxnic_kapi::devlink::{Instance, Occupancy, Resource, Resources};

/// Kinds of objects and the names of their resources.
const KINDS: [(FlowObject, &CStr); 9] = [
    (FlowObject::TABLE, c"tables"),
    (FlowObject::MATCH_TEMPLATE, c"match_templates"),
    (FlowObject::ACTION_TEMPLATE, c"action_templates"),
    (FlowObject::RULE, c"rules"),
    (FlowObject::COUNTER, c"counters"),
    (FlowObject::METER, c"meters"),
    (FlowObject::ENCAP, c"encaps"),
    (FlowObject::TUNNEL_PORT, c"tunnel_ports"),
    (FlowObject::QUEUE, c"queues"),
];

/// Which of the numbers of a kind.
#[derive(Clone, Copy)]
enum Number {
    Used,
    Most,
}

/// A number that the device is asked for.
struct Asked {
    device: Arc<Device>,
    kind: FlowObject,
    number: Number,
    /// What it has said last, for when it cannot be asked.
    last: Atomic<u32>,
}

impl Occupancy for Asked {
    fn occupied(&self) -> u64 {
        if let Ok(info) = cmd::flow::info(&self.device, self.kind) {
            let now = match self.number {
                Number::Used => info.used,
                Number::Most => info.high_water,
            };
            self.last.store(now, Relaxed);
        }
        self.last.load(Relaxed).into()
    }
}

/// The resources of a function; none where it has no flow engine.
pub(crate) fn resources(device: &Arc<Device>, instance: &Arc<Instance>) -> Result<Resources> {
    let mut resources = Resources::new(instance.clone());
    for (id, (kind, name)) in (1..).zip(KINDS) {
        let Ok(info) = cmd::flow::info(device, kind) else {
            continue;
        };
        // The most is shown below what there is now.
        for (name, id, parent, number) in [
            (name, 2 * id, 0, Number::Used),
            (c"most_so_far", 2 * id + 1, 2 * id, Number::Most),
        ] {
            let asked = Asked {
                device: device.clone(),
                kind,
                number,
                last: Atomic::new(0),
            };
            let resource = Resource {
                name,
                id,
                parent,
                size: info.size.into(),
            };
            resources.add(&resource, KBox::new(asked, GFP_KERNEL)?)?;
        }
    }
    Ok(resources)
}
