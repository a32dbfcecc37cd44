// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Whatever rules and frames say, the engine comes to an end, with bounded work, and never panics.

use crate::bench::{Bench, action, mirror, redirect, table, udp};
use oxnic_abi::flow::action::{FlowAction, FlowActionKind as Kind, NO_ENCAP};
use oxnic_abi::flow::encap::{EncapSet, encap_flags};
use oxnic_abi::flow::flow_set::CREATE;
use oxnic_abi::flow::port::FlowDirection;
use oxnic_abi::flow::table::{TableMiss, TableView};
use oxnic_abi::flow::tunnel::{TunnelKind, TunnelPort, tunnel_flags};
use oxnic_model::nic::flow::limits;
use proptest::prelude::*;

const INGRESS: FlowDirection = FlowDirection::INGRESS;

#[test]
fn copies_of_copies_are_bounded() {
    let mut bench = Bench::new();
    for port in 2..40 {
        bench.bind(port, INGRESS, 0);
    }
    let copies: Vec<FlowAction> = (2..34).map(|port| mirror(port, INGRESS)).collect();
    bench.rule(0, 0, &copies);
    let sent = bench.run(&udp()).len();
    assert!(sent <= limits::COPIES_PER_FRAME as usize + 1);
    let stats = bench.engine.stats();
    assert_eq!(stats.mirrored, u64::from(limits::COPIES_PER_FRAME));
    assert!(stats.lookups <= u64::from(limits::LOOKUPS_PER_FRAME));
    assert!(stats.dropped_loop > 0);
}

#[test]
fn more_copies_than_a_template_may_have_are_refused() {
    let mut bench = Bench::new();
    let copies = vec![mirror(2, FlowDirection::EGRESS); 33];
    assert!(bench.try_rule(0, 0, &[], &[], &copies).is_err());
}

#[test]
fn headers_around_headers_end_at_the_longest_frame() {
    let mut bench = Bench::new();
    bench.table(7);
    bench.bind(2, INGRESS, 7);
    let mut headers = vec![0; 12];
    headers.extend([
        8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 9, 47, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0x65, 0x58,
    ]);
    let set = EncapSet {
        id: 0,
        flags: CREATE,
        options: encap_flags::READY,
        length: headers.len() as u16,
        network: 14,
        transport: 34,
        kind: TunnelKind::GRETAP,
        ..EncapSet::ZERO
    };
    bench.engine.set_encap(&set, &headers).unwrap();
    let around = |port| action(Kind::REDIRECT, [INGRESS.0, 0], &[port, 0]);
    bench.rule(0, 0, &[around(2)]);
    bench.rule(7, 0, &[around(1)]);
    let mut long = udp();
    long.resize(16_300, 0);
    assert_eq!(bench.ways(&long), []);
    assert_eq!(bench.engine.stats().dropped_action, 1);
}

fn any_action() -> impl Strategy<Value = FlowAction> {
    let kinds: Vec<Kind> = Kind::ALL.to_vec();
    let small = || prop_oneof![4 => 0u32..5, 1 => any::<u32>(), 1 => Just(NO_ENCAP)];
    (
        proptest::sample::select(kinds),
        any::<[u8; 2]>(),
        [small(), small(), small()],
        any::<bool>(),
    )
        .prop_map(|(kind, mut choice, operands, tame)| {
            if tame {
                choice = match kind {
                    Kind::VLAN_PUSH | Kind::VLAN_MODIFY => [0x81, 0],
                    Kind::EDIT => [choice[0] % 6, choice[1] % 2],
                    Kind::METER => [choice[0] % 8, choice[1] % 8],
                    Kind::MIRROR | Kind::REDIRECT | Kind::ACCEPT | Kind::TRAP => [choice[0] % 2, 0],
                    _ => [0, 0],
                };
            }
            action(kind, choice, &operands)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Any actions that are taken at all, over any bytes, at ports that all have tables of both directions.
    #[test]
    fn nothing_that_rules_or_frames_say_hurts(
        rules in proptest::collection::vec((0u32..4, any::<u32>(), proptest::collection::vec(any_action(), 0..8)), 1..12),
        frames in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..90), 0usize..9, 0usize..4), 1..6),
    ) {
        let mut bench = Bench::new();
        bench.table(1);
        let views = [TableView::TUNNEL, TableView::PACKET];
        for (id, view) in (2..).zip(views) {
            bench.engine.set_table(&table(id, view, TableMiss::TABLE, id - 1, 9)).unwrap();
        }
        for port in 1..5 {
            bench.bind(port, INGRESS, [0, 1, 3][usize::from(port) % 3]);
            bench.bind(port, FlowDirection::EGRESS, [1, 3, 0][usize::from(port) % 3]);
        }
        let port = |kind, port: u16| TunnelPort { kind, port: port.to_be_bytes(), flags: tunnel_flags::ON };
        bench.engine.set_tunnel_port(&port(TunnelKind::VXLAN, 0x2000)).unwrap();
        bench.engine.set_tunnel_port(&port(TunnelKind::GRETAP, 0)).unwrap();
        for (table, priority, actions) in rules {
            // One that does not mean anything is refused.
            let _ = bench.try_rule(table, priority, &[], &[], &actions);
        }
        for (noise, kind, tags) in frames {
            let mut frame = udp();
            let kinds = [[8, 0], [0x86, 0xdd], [8, 6], [0x88, 0x64], [0x43, 0x05], [0x81, 0], [0, 9], [0x88, 0x47], [8, 0]];
            frame[12..14].copy_from_slice(&kinds[kind]);
            if kind != 8 {
                frame.truncate(14);
            }
            frame.extend(noise);
            for _ in 0..tags {
                frame = crate::bench::tagged(&frame, 0x8100, 1);
            }
            for port in 1..5 {
                let sent = bench.run_at(port, &frame);
                prop_assert!(sent.len() <= limits::COPIES_PER_FRAME as usize + 1);
            }
        }
        let stats = *bench.engine.stats();
        prop_assert!(stats.hits <= stats.lookups);
    }

    /// What is refused is refused for a reason, and does not panic; what is taken can be used and destroyed.
    #[test]
    fn any_headers(bytes in proptest::collection::vec(any::<u8>(), 0..90), words in any::<[u64; 5]>(), kind in 0u8..5) {
        let mut bench = Bench::new();
        let mut set = EncapSet::from_words(&words);
        set.flags = CREATE;
        set.id = 1;
        set.kind = TunnelKind(kind);
        set.length = bytes.len() as u16;
        if bench.engine.set_encap(&set, &bytes).is_ok() {
            bench.rule(0, 0, &[redirect(2, INGRESS)]);
            bench.run(&udp());
            bench.engine.destroy_encap(1).unwrap();
        }
    }
}
