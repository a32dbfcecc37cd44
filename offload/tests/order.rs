// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Which rule takes a packet: chains, priorities, masks, verdicts.

#[path = "support/stage.rs"]
mod stage;
mod support;

use oxnic_offload::oracle::{Entry, Fate, Table};
use oxnic_offload::packet::{ethernet, Address, Tunnel};
use oxnic_offload::reject::Reject;
use oxnic_offload::rule::police::Rate;
use oxnic_offload::rule::{
    Action, Chain, Classifier, Cookie, Encap, Field, Key, Police, Range, Rule, Verdict,
};
use proptest::prelude::*;
use stage::Stage;
use support::{ethernet_frame, sample, tagged};

const DROP: &[Action<'static>] = &[Action::Control(Verdict::Drop)];

fn rule<'a>(
    cookie: u64,
    chain: u32,
    priority: u32,
    key: Key<'a>,
    actions: &'a [Action<'a>],
) -> Rule<'a> {
    Rule {
        cookie: Cookie(cookie),
        classifier: Classifier::Flower,
        chain: Chain(chain),
        priority,
        protocol: ethernet::ALL,
        key,
        actions,
    }
}

fn dst(mask: u8) -> Key<'static> {
    let mut key = Key::default();
    key.set(Field::EthDst, &[2; 6], &[mask, 0, 0, 0, 0, 0])
        .unwrap();
    key
}

fn ports(range: (u16, u16), src: &[u8; 6]) -> Key<'static> {
    let mut key = Key::default();
    key.dst_range = Some(Range {
        min: range.0,
        max: range.1,
    });
    key.exact(Field::EthSrc, src).unwrap();
    key
}

/// Which rules counted, in order.
fn takers(rules: &[Rule<'_>], frame: &[u8]) -> Vec<u64> {
    let mut stage = Stage::default();
    stage.play(rules, frame);
    stage.counts.iter().map(|count| count.0).collect()
}

fn verdict<'a>(conform: Verdict) -> Action<'a> {
    Action::Police(Police {
        index: 1,
        rate: Rate::None,
        mtu: u32::MAX,
        conform,
        exceed: Verdict::Drop,
    })
}

#[test]
fn lower_priority_number_comes_first_whatever_was_inserted_first() {
    let rules = [
        rule(1, 0, 2, dst(0xff), DROP),
        rule(2, 0, 1, dst(0xff), DROP),
    ];
    assert_eq!(takers(&rules, &sample(0)), [2]);
}

#[test]
fn within_a_priority_the_older_mask_wins_not_the_narrower() {
    let rules = [
        rule(1, 0, 1, dst(0x02), DROP),
        rule(2, 0, 1, dst(0xff), DROP),
    ];
    assert_eq!(takers(&rules, &sample(0)), [1]);
    assert_eq!(takers(&[rules[1], rules[0]], &sample(0)), [2]);
}

#[test]
fn mask_keeps_its_place_as_long_as_any_rule_has_it() {
    let mut other = Key::default();
    other
        .set(Field::EthDst, &[9; 6], &[0xff, 0, 0, 0, 0, 0])
        .unwrap();
    let mut slots: Vec<Option<Entry<'_>>> = vec![None; 4];
    let mut table = Table::new(&mut slots);
    table.insert(rule(1, 0, 1, other, DROP)).unwrap();
    table.insert(rule(2, 0, 1, dst(0x02), DROP)).unwrap();
    table.insert(rule(3, 0, 1, dst(0xff), DROP)).unwrap();
    table.remove(Cookie(1)).unwrap();
    let mut stage = Stage::default();
    stage.play_table(&table, &sample(0), None, Chain(0));
    assert_eq!(stage.counts[0].0, 3, "though rule 2 is older");
    // Without any rule the mask dies, and comes back as the youngest.
    table.remove(Cookie(3)).unwrap();
    table.insert(rule(4, 0, 1, dst(0xff), DROP)).unwrap();
    stage.play_table(&table, &sample(0), None, Chain(0));
    assert_eq!(stage.counts[1].0, 2);
}

#[test]
fn overlapping_ranges_take_the_older_rule() {
    let rules = [
        rule(1, 0, 1, ports((1500, 2500), &[1; 6]), DROP),
        rule(2, 0, 1, ports((1000, 3000), &[1; 6]), DROP),
    ];
    assert_eq!(takers(&rules, &sample(0)), [1]);
    assert_eq!(takers(&[rules[1], rules[0]], &sample(0)), [2]);
}

#[test]
fn older_range_of_another_rule_pulls_a_younger_rule_forward() {
    let rules = [
        rule(1, 0, 1, ports((1, 3000), &[7; 6]), DROP),
        rule(2, 0, 1, ports((1000, 4000), &[1; 6]), DROP),
        rule(3, 0, 1, ports((1, 3000), &[1; 6]), DROP),
    ];
    assert_eq!(
        takers(&rules, &sample(0)),
        [3],
        "though rule 2 matches and is older"
    );
    assert_eq!(takers(&rules[1..], &sample(0)), [2]);
}

#[test]
fn protocol_is_that_of_the_outermost_tag() {
    let mut ip = rule(1, 0, 1, Key::default(), DROP);
    ip.protocol = ethernet::IPV4;
    let mut vlan = rule(2, 0, 2, Key::default(), DROP);
    vlan.protocol = ethernet::VLAN;
    let rules = [ip, vlan];
    assert_eq!(takers(&rules, &sample(0)), [1]);
    assert_eq!(takers(&rules, &tagged(&sample(0), 0x8100, 1)), [2]);
    assert_eq!(
        takers(&rules, &tagged(&tagged(&sample(0), 0x8100, 1), 0x88a8, 1)),
        [0; 0]
    );
}

#[test]
fn nothing_matches_is_a_miss_in_the_last_chain() {
    let goto = [Action::Control(Verdict::Goto(Chain(7)))];
    let rules = [rule(1, 0, 1, dst(0xff), &goto)];
    assert_eq!(
        Stage::default().play(&rules, &sample(0)).fate,
        Fate::Miss(Chain(7)),
        "an empty chain"
    );
    assert_eq!(
        Stage::default().play(&[], &sample(0)).fate,
        Fate::Miss(Chain(0))
    );
    let end = Stage::default().play_from(&rules, &sample(0), None, Chain(9));
    assert_eq!(end.fate, Fate::Miss(Chain(9)), "where hardware left off");
}

#[test]
fn goto_goes_to_the_first_priority_of_the_chain() {
    let goto = [Action::Control(Verdict::Goto(Chain(7)))];
    let rules = [
        rule(1, 0, 5, dst(0xff), &goto),
        rule(2, 0, 6, dst(0xff), DROP),
        rule(3, 7, 1, dst(0xff), &[]),
    ];
    let mut stage = Stage::default();
    assert_eq!(
        stage.play(&rules, &sample(0)).fate,
        Fate::Accept,
        "no actions"
    );
    assert_eq!(
        stage.counts.iter().map(|count| count.0).collect::<Vec<_>>(),
        [1]
    );
}

#[test]
fn seventeenth_restart_drops() {
    let gotos: Vec<[Action<'_>; 1]> = (1..=17)
        .map(|to| [Action::Control(Verdict::Goto(Chain(to)))])
        .collect();
    let rules: Vec<Rule<'_>> = gotos
        .iter()
        .enumerate()
        .map(|(chain, goto)| rule(chain as u64, chain as u32, 1, dst(0xff), goto))
        .collect();
    assert_eq!(
        Stage::default().play(&rules[..16], &sample(0)).fate,
        Fate::Miss(Chain(16))
    );
    assert_eq!(Stage::default().play(&rules, &sample(0)).fate, Fate::Drop);
}

#[test]
fn continue_goes_to_the_next_priority_not_to_the_next_rule() {
    let on = [verdict(Verdict::Continue)];
    let rules = [
        rule(1, 0, 1, dst(0x02), &on),
        rule(2, 0, 1, dst(0xff), DROP),
        rule(3, 0, 2, dst(0xff), &[Action::Control(Verdict::Accept)]),
    ];
    assert_eq!(takers(&rules, &sample(0)), [1, 3]);
}

#[test]
fn reclassify_starts_all_over_in_chain_zero() {
    let again = [verdict(Verdict::Reclassify)];
    let goto = [Action::Mark(1), Action::Control(Verdict::Goto(Chain(3)))];
    let rules = [
        rule(1, 0, 1, dst(0xff), &goto),
        rule(2, 3, 1, dst(0xff), &again),
    ];
    let mut stage = Stage::default();
    assert_eq!(stage.play(&rules, &sample(0)).fate, Fate::Drop, "a loop");
    assert_eq!(stage.counts.iter().filter(|count| count.0 == 2).count(), 8);
}

#[test]
fn jump_counts_actions_from_the_start_of_the_rule() {
    let actions = [
        Action::Mark(1),
        verdict(Verdict::Jump(3)),
        Action::Control(Verdict::Drop),
        Action::Priority(9),
    ];
    let mut stage = Stage::default();
    let end = stage.play(&[rule(1, 0, 1, dst(0xff), &actions)], &sample(0));
    assert_eq!((end.fate, end.mark, end.priority), (Fate::Accept, 1, 9));
    assert_eq!(
        stage.counts.iter().map(|count| count.1).collect::<Vec<_>>(),
        [0, 1, 3]
    );
}

#[test]
fn jump_back_ends_after_thirty_one_times_and_beyond_the_end_at_once() {
    let back = [Action::Mark(1), verdict(Verdict::Jump(1))];
    let mut stage = Stage::default();
    assert_eq!(
        stage
            .play(&[rule(1, 0, 1, dst(0xff), &back)], &sample(0))
            .fate,
        Fate::Accept
    );
    assert_eq!(stage.counts.len(), 1 + 32);
    for to in [0, 3, u32::MAX] {
        let beyond = [verdict(Verdict::Jump(to)), Action::Control(Verdict::Drop)];
        assert_eq!(
            Stage::default()
                .play(&[rule(1, 0, 1, dst(0xff), &beyond)], &sample(0))
                .fate,
            Fate::Accept
        );
    }
}

#[test]
fn later_rules_see_what_earlier_ones_made() {
    let push = [
        Action::VlanPush {
            tpid: 0x8100,
            id: 5,
            priority: 0,
        },
        Action::Control(Verdict::Goto(Chain(1))),
    ];
    let mut tagged = Key::default();
    tagged.exact(Field::VlanId, &[0, 5]).unwrap();
    let mut after = rule(2, 1, 1, tagged, DROP);
    after.protocol = ethernet::VLAN;
    assert_eq!(
        takers(&[rule(1, 0, 1, dst(0xff), &push), after], &sample(0)),
        [1, 1, 2]
    );
}

#[test]
fn outer_keys_see_the_tunnel_until_it_is_unset_and_what_is_set() {
    let mut outer = Key::default();
    outer.exact(Field::EncKeyId, &[0, 0, 0, 5]).unwrap();
    outer.set(Field::EncIpv4Src, &[0; 4], &[0; 4]).unwrap();
    let address = Address::V4([1; 4], [2; 4]);
    let tunnel = Tunnel {
        address,
        key_id: 5,
        ..Tunnel::default()
    };
    let encap = Encap {
        address,
        key_id: 5,
        dst_port: 4789,
        ..Encap::default()
    };
    let unset = [
        Action::TunnelUnset,
        Action::Control(Verdict::Goto(Chain(1))),
    ];
    let set = [
        Action::TunnelSet(encap),
        Action::Control(Verdict::Goto(Chain(1))),
    ];
    let goto = [Action::Control(Verdict::Goto(Chain(1)))];
    for (actions, tunnel, expected) in [
        (&goto[..], Some(tunnel), Fate::Drop),
        (&goto[..], None, Fate::Miss(Chain(1))),
        (&unset[..], Some(tunnel), Fate::Miss(Chain(1))),
        (&set[..], None, Fate::Drop),
    ] {
        let rules = [
            rule(1, 0, 1, dst(0xff), actions),
            rule(2, 1, 1, outer, DROP),
        ];
        assert_eq!(
            Stage::default()
                .play_from(&rules, &sample(0), tunnel, Chain(0))
                .fate,
            expected
        );
    }
}

#[test]
fn priority_has_one_protocol_and_no_key_twice() {
    let mut slots: Vec<Option<Entry<'_>>> = vec![None; 3];
    let mut table = Table::new(&mut slots);
    table.insert(rule(1, 0, 1, dst(0xff), DROP)).unwrap();
    assert_eq!(
        table.insert(rule(1, 0, 9, dst(0xff), DROP)),
        Err(Reject::SameCookie)
    );
    assert_eq!(
        table.insert(rule(2, 0, 1, dst(0xff), &[])),
        Err(Reject::SameKey { other: Cookie(1) })
    );
    let mut other = rule(3, 0, 1, dst(0x0f), DROP);
    other.protocol = ethernet::IPV4;
    assert_eq!(
        table.insert(other),
        Err(Reject::OtherClassifier { priority: 1 })
    );
    table.insert(rule(4, 0, 2, dst(0xff), DROP)).unwrap();
    table.insert(rule(5, 1, 1, dst(0xff), DROP)).unwrap();
    assert_eq!(
        table.insert(rule(6, 2, 1, dst(0xff), DROP)),
        Err(Reject::Full { limit: 3 })
    );
    assert_eq!(table.entries().count(), 3);
    assert_eq!(table.remove(Cookie(6)), Err(Reject::NoSuchRule));
}

#[test]
fn replaced_rule_keeps_its_place_and_its_mask() {
    let mut slots: Vec<Option<Entry<'_>>> = vec![None; 3];
    let mut table = Table::new(&mut slots);
    table.insert(rule(1, 0, 1, dst(0xff), DROP)).unwrap();
    table.insert(rule(2, 0, 1, dst(0x0f), DROP)).unwrap();
    assert_eq!(
        table.replace(rule(1, 0, 1, dst(0x0f), &[])),
        Err(Reject::OtherMask)
    );
    assert_eq!(
        table.replace(rule(9, 0, 1, dst(0x0f), &[])),
        Err(Reject::NoSuchRule)
    );
    table
        .replace(rule(1, 0, 1, dst(0xff), &[Action::Mark(4)]))
        .unwrap();
    assert_eq!(
        Stage::default()
            .play_table(&table, &sample(0), None, Chain(0))
            .mark,
        4
    );
}

#[test]
fn matchall_takes_everything() {
    let mut all = rule(1, 0, 1, Key::default(), DROP);
    all.classifier = Classifier::Matchall;
    assert_eq!(takers(&[all], &ethernet_frame(0x1234, &[])), [1]);
    let mut slots: Vec<Option<Entry<'_>>> = vec![None; 2];
    let mut table = Table::new(&mut slots);
    table.insert(all).unwrap();
    all.cookie = Cookie(2);
    assert!(table.insert(all).is_err(), "one rule for a priority");
}

proptest! {
    /// Without ranges, the taker is the first of the matching rules by priority, then age of the mask: said here in one line.
    #[test]
    fn taker_is_the_first_by_priority_and_age_of_mask(
        said in proptest::collection::vec((1u32..4, 0u8..4, any::<u8>()), 0..12), frame in any::<[u8; 6]>(),
    ) {
        let mut slots: Vec<Option<Entry<'_>>> = vec![None; said.len()];
        let mut table = Table::new(&mut slots);
        let mut kept: Vec<(u32, u8, u8)> = Vec::new();
        for (index, (priority, mask, value)) in said.iter().enumerate() {
            let mut key = Key::default();
            let mask = [0x03, 0x0c, 0x0f, 0x00][usize::from(*mask)];
            key.set(Field::EthDst, &[*value, 0, 0, 0, 0, 0], &[mask, 0, 0, 0, 0, 0]).unwrap();
            if table.insert(rule(index as u64, 0, *priority, key, DROP)).is_ok() {
                kept.push((*priority, mask, value & mask));
            }
        }
        let masks: Vec<(u32, u8)> = kept.iter().map(|one| (one.0, one.1)).collect();
        let age = |one: &(u32, u8, u8)| (one.0, masks.iter().position(|mask| *mask == (one.0, one.1)));
        let expected = kept.iter().filter(|one| frame[0] & one.1 == one.2).min_by_key(|one| age(one));
        let bytes = [&frame[..], &[1; 6], &[0x12, 0x34]].concat();
        let end = Stage::default().play_table(&table, &bytes, None, Chain(0));
        prop_assert_eq!(end.fate == Fate::Drop, expected.is_some());
        let mut stage = Stage::default();
        stage.play_table(&table, &bytes, None, Chain(0));
        let taker = stage.counts.first().map(|count| said[count.0 as usize]);
        prop_assert_eq!(taker.map(|one| (one.0, [0x03, 0x0c, 0x0f, 0x00][usize::from(one.1)])), expected.map(|one| (one.0, one.1)));
    }
}
