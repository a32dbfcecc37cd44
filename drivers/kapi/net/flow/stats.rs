// SPDX-License-Identifier: GPL-2.0-only

//! How much a rule or an action has seen.

use oxnic_bindings as bindings;

/// How a user wants a rule counted (`hw_stats`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HwStats(pub(super) u32);

impl HwStats {
    /// Whether counters that are read from the device when somebody asks will do.
    pub fn allows_immediate(self) -> bool {
        self.0 & bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_IMMEDIATE != 0
    }

    /// Whether counters will do that the device hands over now and then.
    pub fn allows_delayed(self) -> bool {
        self.0 & bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DELAYED != 0
    }

    /// Whether it need not be counted. No counters at all is what the user wants if nothing else is allowed.
    pub fn allows_none(self) -> bool {
        self.0 & bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DISABLED != 0
    }
}

/// What was counted since the last time that somebody asked about this rule or action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packets.
    pub packets: u64,
    /// Their bytes, as software would count them.
    pub bytes: u64,
    /// Packets that were dropped, of those above.
    pub drops: u64,
    /// How long ago the last packet came, in milliseconds. Means nothing where none came.
    pub age_ms: u64,
    /// How it was counted.
    pub means: Means,
}

/// How something is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Means {
    /// Counters come from the device when somebody asks.
    Immediate,
    /// The device hands them over now and then.
    #[default]
    Delayed,
    /// Not at all.
    Disabled,
}

impl Statistics {
    /// Adds it to what the kernel keeps.
    pub(super) fn update(&self, stats: &mut bindings::flow_stats) {
        let kind = match self.means {
            Means::Immediate => bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_IMMEDIATE,
            Means::Delayed => bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DELAYED,
            Means::Disabled => bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DISABLED,
        };
        // SAFETY: The structure is ours while this runs.
        unsafe {
            bindings::oxnic_flow_stats_update(
                stats,
                self.bytes,
                self.packets,
                self.drops,
                self.age_ms,
                kind,
            )
        };
    }
}

#[cfg(CONFIG_KUNIT)]
#[kernel::macros::kunit_tests(oxnic_kapi_flow_stats)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_added_and_say_how_they_were_made() {
        let mut stats = bindings::flow_stats::default();
        let seen = Statistics {
            packets: 3,
            bytes: 180,
            drops: 1,
            age_ms: 0,
            means: Means::Delayed,
        };
        seen.update(&mut stats);
        seen.update(&mut stats);
        assert_eq!((stats.pkts, stats.bytes, stats.drops), (6, 360, 2));
        assert_eq!(
            stats.used_hw_stats,
            bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DELAYED
        );
        assert!(stats.used_hw_stats_valid && stats.lastused != 0);
    }

    #[test]
    fn where_nothing_came_the_time_of_the_last_packet_stays() {
        let mut stats = bindings::flow_stats::default();
        Statistics {
            means: Means::Immediate,
            ..Statistics::default()
        }
        .update(&mut stats);
        assert_eq!(stats.lastused, 0);
        assert_eq!(
            stats.used_hw_stats,
            bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_IMMEDIATE
        );
    }

    #[test]
    fn what_a_user_allows_is_three_bits() {
        let any = HwStats(3);
        assert!(any.allows_immediate() && any.allows_delayed() && !any.allows_none());
        let none = HwStats(4);
        assert!(!none.allows_immediate() && !none.allows_delayed() && none.allows_none());
    }
}
