// SPDX-License-Identifier: GPL-2.0-only

//! What the device says that its flow engine can do, and how much of that the driver makes use of.
//!
//! Memory is allocated by these numbers, and numbers are calculated from them, so none is taken as it comes.

use super::refusal::Refusal;
use oxnic_abi::{
    caps::NicCaps,
    flow::{capability::FlowCaps, counter::COUNTERS_IN_PAGE},
    ring::{RING_LOG2_MAX, RING_LOG2_MIN}, //
};

/// Most objects of a kind. Ids of as many take 64 MiB.
const OBJECTS: u32 = 1 << 24;
/// Longest keys and arguments, and masks of options, in bytes: more than any rule of tc has.
const BYTES: u16 = 1024;
/// Longest lists of a template: more than any rule of tc has.
const LIST: u16 = 256;
/// Deepest queue, log2 of slots.
const LOG2: u8 = 10;

/// Most objects of a kind that are kept back.
const KEPT_BACK: u32 = 4096;

/// Which of the device's rules and templates a rule may have. Rules are refused most of all when nothing is left, and then rules behind would
/// take packets for which one of software comes first; so some are kept back for what stands in for that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// All but those that are kept back.
    Common,
    /// All: it stands in for another rule, or is the driver's own.
    All,
}

impl Share {
    /// How many objects, of so many, it leaves to others.
    pub(crate) fn leaves(self, objects: u32) -> u32 {
        match self {
            Self::Common => (objects / 64).min(KEPT_BACK),
            Self::All => 0,
        }
    }
}

/// What the driver makes use of. A limit may be lower than the device's, and never higher.
///
/// # Errors
///
/// [`Refusal::Limit`]: the device cannot be used.
pub(crate) fn usable(said: &FlowCaps) -> Result<FlowCaps, Refusal> {
    let caps = FlowCaps {
        tables: said.tables.min(OBJECTS),
        match_templates: said.match_templates.min(OBJECTS),
        action_templates: said.action_templates.min(OBJECTS),
        rules: said.rules.min(OBJECTS),
        counters: said.counters.min(OBJECTS) / COUNTERS_IN_PAGE * COUNTERS_IN_PAGE,
        meters: said.meters.min(OBJECTS),
        encaps: said.encaps.min(OBJECTS),
        key_max: said.key_max.min(BYTES),
        arguments_max: said.arguments_max.min(BYTES),
        options_max: said.options_max.min(BYTES),
        encap_max: said.encap_max.min(BYTES),
        conditions_max: said.conditions_max.min(LIST),
        actions_max: said.actions_max.min(LIST),
        ..*said
    };
    let lacks = |what| Err(Refusal::Limit(what));
    match caps {
        FlowCaps { queues: 0, .. } => lacks("flow queues"),
        FlowCaps { tables: 0, .. } => lacks("tables"),
        FlowCaps { rules: 0, .. } => lacks("rules"),
        FlowCaps {
            request_slots_max: 0,
            ..
        } => lacks("slots of a request"),
        caps => Ok(caps),
    }
}

/// Size of a flow queue, and where it is among the queues of the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueSize {
    /// Its number among flow queues.
    pub(crate) id: u16,
    /// log2 of its slots, and of the entries of its completion ring.
    pub(crate) log2: u8,
    /// The completion queue: behind those of queue pairs.
    pub(crate) cq: u16,
    /// A vector that no queue pair has, and the slot of it.
    pub(crate) vector: u16,
    pub(crate) slot: u8,
}

/// Size and place of a flow queue by its number, which is less than [`FlowCaps::queues`].
///
/// # Errors
///
/// [`Refusal::Limit`]: there is no room for it, or it would not take a request of the longest kind and one for a counter.
pub(crate) fn queue_size(flow: &FlowCaps, nic: &NicCaps, id: u16) -> Result<QueueSize, Refusal> {
    let log2 = flow.queue_log2_max.min(nic.cq_log2_max);
    let pairs = nic.tx_queues.min(nic.rx_queues);
    let cq = pairs.checked_mul(2).and_then(|cq| cq.checked_add(id));
    let vector = pairs.checked_add(1).and_then(|v| v.checked_add(id / 2));
    let cq = cq.filter(|cq| *cq < nic.completion_queues);
    let (Some(cq), Some(vector)) = (cq, vector) else {
        return Err(Refusal::Limit("completion queues"));
    };
    let fits = log2 >= RING_LOG2_MIN && u32::from(flow.request_slots_max) < 1 << log2.min(LOG2);
    if !fits || log2 > RING_LOG2_MAX {
        return Err(Refusal::Limit("the depth of a flow queue"));
    }
    Ok(QueueSize {
        id,
        log2: log2.min(LOG2),
        cq,
        vector,
        slot: (id % 2) as u8,
    })
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_limits)]
mod tests {
    use super::*;

    fn flow() -> FlowCaps {
        FlowCaps {
            tables: 16,
            rules: 1000,
            counters: 1000,
            queues: 1,
            queue_log2_max: 8,
            request_slots_max: 17,
            ..FlowCaps::ZERO
        }
    }

    fn nic() -> NicCaps {
        NicCaps {
            tx_queues: 4,
            rx_queues: 8,
            completion_queues: 10,
            cq_log2_max: 15,
            ..NicCaps::ZERO
        }
    }

    #[test]
    fn limits_are_never_higher_than_the_device_says_nor_than_memory_bears() -> Result<(), Refusal> {
        let all = FlowCaps {
            rules: u32::MAX,
            counters: u32::MAX,
            key_max: u16::MAX,
            actions_max: u16::MAX,
            ..flow()
        };
        let caps = usable(&all)?;
        assert_eq!((caps.rules, caps.counters), (OBJECTS, OBJECTS));
        assert_eq!((caps.key_max, caps.actions_max), (BYTES, LIST));
        assert_eq!(caps.tables, 16);
        // Whole pages only.
        assert_eq!(usable(&flow())?.counters, 896);
        Ok(())
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let lacks = |caps: FlowCaps| matches!(usable(&caps), Err(Refusal::Limit(_)));
        assert!(lacks(FlowCaps {
            queues: 0,
            ..flow()
        }));
        assert!(lacks(FlowCaps { rules: 0, ..flow() }));
        assert!(lacks(FlowCaps {
            tables: 0,
            ..flow()
        }));
        assert!(lacks(FlowCaps {
            request_slots_max: 0,
            ..flow()
        }));
        assert!(!lacks(flow()));
    }

    #[test]
    fn a_flow_queue_stands_behind_the_queue_pairs_and_takes_the_longest_request_and_one_more() {
        let first = QueueSize {
            id: 0,
            log2: 8,
            cq: 8,
            vector: 5,
            slot: 0,
        };
        assert_eq!(queue_size(&flow(), &nic(), 0), Ok(first));
        let second = QueueSize {
            id: 1,
            cq: 9,
            slot: 1,
            ..first
        };
        assert_eq!(queue_size(&flow(), &nic(), 1), Ok(second));
        assert!(queue_size(&flow(), &nic(), 2).is_err());
        let refused = |flow: FlowCaps, nic: NicCaps| {
            matches!(queue_size(&flow, &nic, 0), Err(Refusal::Limit(_)))
        };
        assert!(refused(
            flow(),
            NicCaps {
                completion_queues: 8,
                ..nic()
            }
        ));
        let many = NicCaps {
            tx_queues: u16::MAX,
            rx_queues: u16::MAX,
            completion_queues: u16::MAX,
            ..nic()
        };
        assert!(refused(flow(), many));
        let depth = |log2, slots| FlowCaps {
            queue_log2_max: log2,
            request_slots_max: slots,
            ..flow()
        };
        assert!(refused(depth(0, 1), nic()));
        assert!(refused(depth(4, 1), nic()));
        assert!(refused(
            depth(16, 1),
            NicCaps {
                cq_log2_max: 16,
                ..nic()
            }
        ));
        assert!(refused(depth(5, 32), nic()));
        assert_eq!(
            queue_size(&depth(5, 31), &nic(), 0).map(|size| size.log2),
            Ok(5)
        );
        assert_eq!(
            queue_size(&depth(15, 17), &nic(), 0).map(|size| size.log2),
            Ok(10)
        );
    }
}
