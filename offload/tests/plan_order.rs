// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Numbers for the order within a priority: against the oracle's table, and at their limits.

mod support;

use oxnic_offload::oracle::{Entry, Table};
use oxnic_offload::packet::{dissect, Frame, Tunnel};
use oxnic_offload::plan::order::{Entrant, Ranges, Slot, LOOSE, RANGES};
use oxnic_offload::plan::{Order, Place};
use oxnic_offload::reject::Reject;
use oxnic_offload::rule::{Chain, Classifier, Cookie, Field, Key, Port, Range, Rule, Seen, Values};
use proptest::prelude::*;
use support::{received, sample};

fn range(min: u16, max: u16) -> Ranges {
    Ranges {
        src: None,
        dst: Some(Range { min, max }),
    }
}

fn number(place: Place) -> u32 {
    place.priority & 0xffff
}

#[test]
fn younger_mask_comes_behind_all_there_are() {
    let mut slots = [Slot::default(); 4];
    let mut order = Order::new(7, &mut slots).unwrap();
    let first = order.enter(10, Ranges::default(), false).unwrap();
    let second = order.enter(11, Ranges::default(), false).unwrap();
    assert_eq!(first.priority >> 16, 7);
    assert!(first.priority < second.priority);
    assert_eq!(order.enter(10, Ranges::default(), false).unwrap(), first);
}

#[test]
fn mask_that_went_with_its_last_rule_comes_back_as_the_youngest() {
    let mut slots = [Slot::default(); 4];
    let mut order = Order::new(1, &mut slots).unwrap();
    let old = order.enter(10, Ranges::default(), false).unwrap();
    order.join(old.slot, false).unwrap();
    let other = order.enter(11, Ranges::default(), false).unwrap();
    assert!(!order.leave(old.slot), "one rule is left");
    let same = order.enter(10, Ranges::default(), false).unwrap();
    assert!(
        same.priority < other.priority,
        "the mask has kept its place"
    );
    assert!(!order.leave(old.slot));
    assert!(order.leave(old.slot));
    let back = order.enter(10, Ranges::default(), false).unwrap();
    assert!(back.priority > other.priority);
}

#[test]
fn ranges_that_do_not_meet_share_a_number_and_others_have_an_order() {
    let mut slots = [Slot::default(); 8];
    let mut order = Order::new(1, &mut slots).unwrap();
    let low = order.enter(1, range(1, 10), false).unwrap();
    let high = order.enter(1, range(11, 20), false).unwrap();
    let both = order.enter(1, range(10, 11), false).unwrap();
    assert_eq!(number(low), number(high));
    assert!(number(both) > number(low));
    let next = order.enter(2, Ranges::default(), false).unwrap();
    let again = order.enter(1, range(5, 6), false).unwrap();
    assert!(
        number(again) < number(next),
        "within its mask, though younger"
    );
}

#[test]
fn rule_of_a_range_that_another_one_has_followed_is_refused() {
    let mut slots = [Slot::default(); 8];
    let mut order = Order::new(1, &mut slots).unwrap();
    let (low, high) = (range(1, 100), range(50, 200));
    let first = order.enter(1, low, false).unwrap();
    let second = order.enter(1, high, false).unwrap();
    let refused = Err(Reject::RangeOrder {
        own: low,
        other: high,
    });
    assert_eq!(order.enter(1, low, false), refused);
    assert_eq!(order.enter(1, low, true), Ok(first), "only sent up");
    order.leave(first.slot);
    assert_eq!(order.enter(1, high, false), Ok(second), "the last one may");
    order.leave(second.slot);
    order.leave(second.slot);
    assert_eq!(order.enter(1, low, false), Ok(first), "no other is left");
}

#[test]
fn limits_of_numbers_are_told_and_change_nothing() {
    let full = Err(Reject::OrderFull { priority: 1 });
    let mut slots = [Slot::default(); 2];
    let mut order = Order::new(1, &mut slots).unwrap();
    for mask in 0..2 {
        order.enter(mask, range(1, 2), false).unwrap();
    }
    assert_eq!(order.enter(2, Ranges::default(), false), full, "slots");
    let mut slots = vec![Slot::default(); 2 << 10];
    let mut order = Order::new(1, &mut slots).unwrap();
    let mut fill = |masks: core::ops::Range<u32>, ranges| {
        let mut masks = masks.map(|mask| order.enter(mask, ranges, false));
        masks.position(|entered| entered == full)
    };
    // All numbers but the first.
    assert_eq!(fill(0..2000, range(1, 2)), Some(1023));
    assert_eq!(fill(2000..3000, Ranges::default()), Some(63));
    // That of the fourth is in the middle.
    order.leave(3);
    assert_eq!(order.enter(3000, Ranges::default(), false), full, "numbers");
    order.leave(1023 + 62);
    assert!(order.enter(3000, Ranges::default(), false).is_ok());
    let mut slots = vec![Slot::default(); 100];
    let mut order = Order::new(1, &mut slots).unwrap();
    for more in 0..RANGES {
        order.enter(1, range(1, 100 + more), false).unwrap();
    }
    assert_eq!(order.enter(1, range(1, 50), false), full, "overlaps");
    assert_eq!(
        Order::new(0x1_0000, &mut []).err(),
        Some(Reject::Priority { priority: 0x1_0000 })
    );
    assert!(Order::new(0xffff, &mut []).is_ok());
}

#[test]
fn numbers_of_masks_that_went_can_be_had_back_without_a_wrong_order() {
    let mut slots = vec![Slot::default(); 8];
    let mut order = Order::new(1, &mut slots).unwrap();
    let mut places = [1, 2].map(|mask| order.enter(mask, Ranges::default(), false).unwrap());
    // Two masks that go and come in turns eat up all numbers.
    for turn in 0.. {
        let at = turn % 2;
        order.leave(places[at].slot);
        match order.enter(1 + at as u32, Ranges::default(), false) {
            Ok(place) => places[at] = place,
            Err(reject) => {
                assert_eq!(reject, Reject::OrderFull { priority: 1 });
                break;
            }
        }
    }
    let ranged = order.enter(9, range(1, 2), false);
    assert_eq!(ranged, Err(Reject::OrderFull { priority: 1 }));
    assert!(order.is_used_up());
    let what = order.lowest_move().unwrap();
    assert_eq!((what.from, what.to), (0xffff, 1));
    let slots = [places[0].slot, places[1].slot];
    let mut after: Vec<_> = slots
        .iter()
        .filter_map(|slot| order.after(what, *slot))
        .collect();
    after.dedup();
    assert_eq!(after, [(1 << 16) | 1], "of the one that is left");
    order.moved(what);
    assert_eq!(order.lowest_move(), None);
    assert!(!order.is_used_up());
    assert_eq!(number(order.enter(9, range(1, 2), false).unwrap()), 2);
    assert_eq!(
        number(order.enter(5, Ranges::default(), false).unwrap()),
        66
    );
}

#[test]
fn mask_with_ranges_moves_only_where_old_and_new_numbers_do_not_mix() {
    let mut slots = vec![Slot::default(); 8];
    let mut order = Order::new(1, &mut slots).unwrap();
    let first = order.enter(1, Ranges::default(), false).unwrap();
    let ranged = order.enter(2, range(1, 5), false).unwrap();
    let last = order.enter(3, Ranges::default(), false).unwrap();
    order.leave(first.slot);
    assert_eq!(order.lowest_move(), None, "by one only");
    order.leave(ranged.slot);
    let what = order.lowest_move().unwrap();
    assert_eq!((what.mask, what.from, what.to), (3, number(last) as u16, 1));
}

fn played_back(mask: u32, ranges: Ranges, upwards: bool) -> Entrant {
    Entrant {
        mask,
        ranges,
        upwards,
        played_back: true,
    }
}

#[test]
fn of_rules_that_are_played_back_only_the_first_mask_is_placed_and_others_send_up_before_it() {
    let mut slots = [Slot::default(); 8];
    let mut order = Order::new(1, &mut slots).unwrap();
    let none = Ranges::default();
    let first = order.admit(&played_back(1, none, false)).unwrap();
    assert!(number(first) > u32::from(LOOSE));
    assert_eq!(order.admit(&played_back(1, none, false)), Ok(first));
    let unordered = Err(Reject::Unordered { priority: 1 });
    assert_eq!(order.admit(&played_back(2, none, false)), unordered);
    let loose = order.admit(&played_back(2, none, true)).unwrap();
    assert_eq!(number(loose), u32::from(LOOSE));
    assert_eq!(order.enter(2, none, false), unordered, "a later one");
    assert_eq!(order.join(loose.slot, false), unordered);
    assert_eq!(order.join(loose.slot, true), Ok(loose));
    let later = order.enter(3, none, false).unwrap();
    assert!(later.priority > first.priority);
    order.leave(loose.slot);
    order.leave(loose.slot);
    let back = order.enter(2, none, false).unwrap();
    assert!(back.priority > later.priority, "laid anew");
}

#[test]
fn of_ranges_that_are_played_back_those_that_overlap_are_loose() {
    let mut slots = [Slot::default(); 8];
    let mut order = Order::new(1, &mut slots).unwrap();
    let first = order.admit(&played_back(1, range(1, 10), false)).unwrap();
    let other = order.admit(&played_back(1, range(20, 30), false)).unwrap();
    assert_eq!(number(first), number(other), "they do not overlap");
    let unordered = Err(Reject::Unordered { priority: 1 });
    let meets = range(5, 15);
    assert_eq!(order.admit(&played_back(1, meets, false)), unordered);
    let loose = order.admit(&played_back(1, meets, true)).unwrap();
    assert_eq!(number(loose), u32::from(LOOSE));
    assert_eq!(order.enter(1, range(1, 10), false), Ok(first));
    let later = order.enter(1, range(7, 8), false).unwrap();
    assert!(later.priority > first.priority);
    // The mask is loose when only that range is left.
    for place in [first, first, other, later] {
        order.leave(place.slot);
    }
    assert_eq!(order.enter(1, range(40, 50), false), unordered);
}

/// A rule of a small world: four masks, two of them with ranges.
#[derive(Clone, Debug)]
struct Wish {
    mask: usize,
    value: u8,
    range: usize,
    remove: Option<usize>,
}

fn wish() -> impl Strategy<Value = Wish> {
    (
        0..4usize,
        0..2u8,
        0..4usize,
        prop::option::weighted(0.3, 0..4usize),
    )
        .prop_map(|(mask, value, range, remove)| Wish {
            mask,
            value,
            range,
            remove,
        })
}

const BOUNDS: [(u16, u16); 4] = [(1, 1500), (900, 1100), (1000, 3000), (1, 999)];

fn key_of(wish: &Wish) -> Key<'static> {
    let mut key = Key::default();
    // The sample has 0x01 in all bytes of its source address.
    let mask = [0x01, 0x02, 0x01, 0x01][wish.mask];
    let value = [wish.value; 6];
    let at = [0, 0, 4, 5][wish.mask];
    let mut masks = [0; 6];
    masks[at] = mask;
    key.set(Field::EthSrc, &value, &masks).unwrap();
    if wish.mask >= 2 {
        let (min, max) = BOUNDS[wish.range];
        key.src_range = Some(Range { min, max });
    }
    key
}

fn taker(
    table: &Table<'_, '_>,
    placed: &[(Rule<'static>, Place)],
    frame: &[u8],
) -> [Option<u64>; 2] {
    let (data, tag, protocol) = received(frame);
    let packet = dissect(&Frame {
        data: &data,
        tag,
        protocol,
    });
    let tunnel = Tunnel::default();
    let values = Values::new(&Seen {
        port: Port(1),
        packet: &packet,
        tunnel: &tunnel,
    });
    let oracle = table.lookup(Chain(0), 1, &values);
    let fits = placed.iter().filter(|(rule, _)| rule.key.matches(&values));
    let device = fits.min_by_key(|(_, place)| place.priority);
    [
        oracle.map(|rule| rule.cookie.0),
        device.map(|(rule, _)| rule.cookie.0),
    ]
}

/// A rule of flower with this key and nothing to do.
fn rule_of(cookie: usize, key: Key<'static>) -> Rule<'static> {
    Rule {
        cookie: Cookie(cookie as u64),
        classifier: Classifier::Flower,
        chain: Chain(0),
        priority: 1,
        protocol: 3,
        key,
        actions: &[],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Of accepted rules that come and go, the lowest number among those that fit is the kernel's choice; no two that fit share it.
    #[test]
    fn numbers_are_the_order_of_the_kernel(wishes in prop::collection::vec(wish(), 1..24), moves in any::<bool>()) {
        let mut entries: Vec<Option<Entry<'_>>> = vec![None; 32];
        let mut table = Table::new(&mut entries);
        let mut slots = [Slot::default(); 32];
        let mut placed: Vec<(Rule<'static>, Place)> = Vec::new();
        for (cookie, wish) in wishes.iter().enumerate() {
            let mut order = Order::new(1, &mut slots).unwrap();
            if let Some(at) = wish.remove.filter(|_| !placed.is_empty()) {
                let (rule, place) = placed.remove(at % placed.len());
                table.remove(rule.cookie).unwrap();
                order.leave(place.slot);
            }
            while let Some(what) = order.lowest_move().filter(|_| moves) {
                order.moved(what);
            }
            let key = key_of(wish);
            let rule = rule_of(cookie, key);
            if table.insert(rule).is_err() {
                continue;
            }
            let ranges = Ranges { src: key.src_range, dst: None };
            match order.enter(wish.mask as u32, ranges, false) {
                Ok(place) => placed.push((rule, place)),
                Err(reject) => {
                    let of_range = matches!(reject, Reject::RangeOrder { .. });
                    prop_assert!(of_range);
                    table.remove(rule.cookie).unwrap();
                }
            }
            for (_, place) in &mut placed {
                // A move gives all rules of a mask other numbers.
                let number = slots[place.slot].number();
                place.priority = (1 << 16) | u32::from(number);
            }
            for kind in 0..3 {
                let [oracle, device] = taker(&table, &placed, &sample(kind));
                prop_assert_eq!(oracle, device);
            }
        }
    }
}

/// What enters, or stands in for it where that is refused; whether it only sends up.
fn admit(order: &mut Order<'_>, rule: Entrant) -> (Place, bool) {
    let whole = order.admit(&rule).map(|place| (place, false));
    let instead = Entrant {
        upwards: true,
        ..rule
    };
    whole
        .or_else(|_| order.admit(&instead).map(|place| (place, true)))
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever order rules are played back in, and whatever comes and goes then, a rule that takes a frame is the kernel's choice.
    #[test]
    fn rules_that_are_played_back_take_no_packet_from_another(
        wishes in prop::collection::vec(wish(), 1..24),
        before in 0..12usize,
        forward in any::<bool>(),
    ) {
        let mut entries: Vec<Option<Entry<'_>>> = vec![None; 32];
        let mut table = Table::new(&mut entries);
        let mut slots = [Slot::default(); 32];
        let mut known: Vec<(Rule<'static>, Entrant)> = Vec::new();
        let mut placed: Vec<(Rule<'static>, Place, bool)> = Vec::new();
        for (cookie, wish) in wishes.iter().enumerate() {
            let mut order = Order::new(1, &mut slots).unwrap();
            if cookie == before {
                if !forward {
                    known.reverse();
                }
                placed.extend(known.drain(..).map(|(rule, entrant)| {
                    let (place, upwards) = admit(&mut order, entrant);
                    (rule, place, upwards)
                }));
            }
            if let Some(at) = wish.remove {
                if !known.is_empty() {
                    let (rule, _) = known.remove(at % known.len());
                    table.remove(rule.cookie).unwrap();
                } else if !placed.is_empty() {
                    let (rule, place, _) = placed.remove(at % placed.len());
                    table.remove(rule.cookie).unwrap();
                    order.leave(place.slot);
                }
            }
            let key = key_of(wish);
            let rule = rule_of(cookie, key);
            if table.insert(rule).is_err() {
                continue;
            }
            let entrant = Entrant {
                mask: wish.mask as u32,
                ranges: Ranges { src: key.src_range, dst: None },
                upwards: false,
                played_back: cookie < before,
            };
            if entrant.played_back {
                known.push((rule, entrant));
                continue;
            }
            let (place, upwards) = admit(&mut order, entrant);
            placed.push((rule, place, upwards));
            for kind in 0..3 {
                let frame = sample(kind);
                let up: Vec<_> = placed.iter().filter(|(_, _, upwards)| *upwards).collect();
                let all: Vec<_> = placed.iter().map(|(rule, place, _)| (*rule, *place)).collect();
                let [oracle, device] = taker(&table, &all, &frame);
                let is_up = up.iter().any(|(rule, _, _)| Some(rule.cookie.0) == device);
                prop_assert!(is_up || oracle == device);
            }
        }
    }
}
