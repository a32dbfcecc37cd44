// SPDX-License-Identifier: GPL-2.0-only

//! Policers.

use super::entry::Facts;
use oxnic_bindings as bindings;

/// What happens to a packet behind a policer, or behind another action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The next action.
    Pipe,
    /// The packet goes on.
    Accept,
    /// It is dropped.
    Drop,
    /// It belongs to whoever the action gave it to.
    Stolen,
    /// It goes to the CPU.
    Trap,
    /// The next priority.
    Continue,
    /// All over again.
    Reclassify,
    /// Another chain.
    Goto(u32),
    /// The action of that number in the rule.
    Jump(u32),
    /// Another one, by its number of tc or of the flow interface.
    Other(u32),
}

impl Verdict {
    /// Of an action of tc (`TC_ACT_*`).
    pub(super) fn from_tc(raw: i32) -> Self {
        const UNSPEC: i32 = bindings::TC_ACT_UNSPEC;
        const OK: i32 = bindings::TC_ACT_OK as i32;
        const RECLASSIFY: i32 = bindings::TC_ACT_RECLASSIFY as i32;
        const SHOT: i32 = bindings::TC_ACT_SHOT as i32;
        const PIPE: i32 = bindings::TC_ACT_PIPE as i32;
        const STOLEN: i32 = bindings::TC_ACT_STOLEN as i32;
        const TRAP: i32 = bindings::TC_ACT_TRAP as i32;
        // The upper four bits are an operation where the lower ones are its operand.
        const SHIFT: u32 = 28;
        const JUMP: u32 = 1;
        const GOTO: u32 = 2;
        let raw_bits = raw as u32;
        let operand = raw_bits & ((1 << SHIFT) - 1);
        match raw {
            UNSPEC => Self::Continue,
            OK => Self::Accept,
            RECLASSIFY => Self::Reclassify,
            SHOT => Self::Drop,
            PIPE => Self::Pipe,
            STOLEN => Self::Stolen,
            TRAP => Self::Trap,
            _ => match raw_bits >> SHIFT {
                JUMP => Self::Jump(operand),
                GOTO => Self::Goto(operand),
                _ => Self::Other(raw_bits),
            },
        }
    }

    /// Of a policer.
    fn from_flow(raw: &bindings::flow_action_police__bindgen_ty_1) -> Self {
        match raw.act_id {
            bindings::flow_action_id_FLOW_ACTION_PIPE => Self::Pipe,
            bindings::flow_action_id_FLOW_ACTION_ACCEPT => Self::Accept,
            bindings::flow_action_id_FLOW_ACTION_DROP => Self::Drop,
            bindings::flow_action_id_FLOW_ACTION_CONTINUE => Self::Continue,
            bindings::flow_action_id_FLOW_ACTION_GOTO => Self::Goto(raw.extval),
            bindings::flow_action_id_FLOW_ACTION_JUMP => Self::Jump(raw.extval),
            other => Self::Other(other),
        }
    }
}

/// A policer. All of it must be understood: what is zero is not in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Police {
    /// Bytes a second.
    pub rate: u64,
    /// Bucket of bytes, in nanoseconds of the rate.
    pub burst_ns: u64,
    /// Packets a second.
    pub packet_rate: u64,
    /// Bucket of packets, in nanoseconds of that rate.
    pub packet_burst_ns: u64,
    /// Longer packets exceed, whatever the rate; counted with the Ethernet header. `u32::MAX`: none does.
    pub mtu: u32,
    /// Bytes a second that the second bucket has, which is as large as the MTU.
    pub peak_rate: u64,
    /// Bytes a second on average, by an estimator.
    pub average_rate: u32,
    /// Bytes that are added to the size of each packet.
    pub overhead: u16,
    /// Packets are counted otherwise than by their size and the overhead.
    pub odd_sizes: bool,
    /// For packets within.
    pub conform: Verdict,
    /// For packets beyond.
    pub exceed: Verdict,
}

impl Police {
    /// With the exact buckets where the action of tc is known; else those that have the number of bytes or packets, rounded up.
    pub(super) fn new(raw: &bindings::flow_action_police, facts: Option<&Facts>) -> Self {
        let nanoseconds = |size: u64, rate: u64| {
            const SECOND: u64 = 1_000_000_000;
            let rate = rate.max(1);
            let rest = (size % rate).saturating_mul(SECOND).div_ceil(rate);
            (size / rate).saturating_mul(SECOND).saturating_add(rest)
        };
        Self {
            rate: raw.rate_bytes_ps,
            burst_ns: facts.map_or_else(
                || nanoseconds(raw.burst.into(), raw.rate_bytes_ps),
                |facts| facts.0.burst_ns,
            ),
            packet_rate: raw.rate_pkt_ps,
            packet_burst_ns: facts.map_or_else(
                || nanoseconds(raw.burst_pkt, raw.rate_pkt_ps),
                |facts| facts.0.packet_burst_ns,
            ),
            mtu: raw.mtu,
            peak_rate: raw.peakrate_bytes_ps,
            average_rate: raw.avrate,
            overhead: raw.overhead,
            odd_sizes: facts.is_some_and(|facts| facts.0.odd_rate),
            conform: Verdict::from_flow(&raw.notexceed),
            exceed: Verdict::from_flow(&raw.exceed),
        }
    }
}

#[cfg(CONFIG_KUNIT)]
#[kernel::macros::kunit_tests(oxnic_kapi_flow_police)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_of_tc_have_their_operands() {
        for (raw, verdict) in [
            (-1, Verdict::Continue),
            (0, Verdict::Accept),
            (1, Verdict::Reclassify),
            (2, Verdict::Drop),
            (3, Verdict::Pipe),
            (4, Verdict::Stolen),
            (5, Verdict::Other(5)),
            (8, Verdict::Trap),
            (0x1000_0002, Verdict::Jump(2)),
            (0x2fff_ffff, Verdict::Goto(0x0fff_ffff)),
            (0x3000_0000, Verdict::Other(0x3000_0000)),
        ] {
            assert_eq!(Verdict::from_tc(raw), verdict);
        }
    }

    #[test]
    fn without_the_action_of_tc_a_bucket_is_rounded_up() {
        let raw = bindings::flow_action_police {
            rate_bytes_ps: 3,
            burst: 1,
            ..Default::default()
        };
        let police = Police::new(&raw, None);
        assert_eq!(police.burst_ns, 333_333_334);
        assert_eq!((police.packet_rate, police.packet_burst_ns), (0, 0));
        assert_eq!(police.conform, Verdict::Accept);
    }
}
