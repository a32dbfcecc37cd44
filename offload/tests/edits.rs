// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What actions do to packets, what leaves, and what is counted.

#[path = "support/stage.rs"]
mod stage;
mod support;

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use oxnic_offload::oracle::{Count, Fate};
use oxnic_offload::packet::checksum::crc32c;
use oxnic_offload::packet::{ethernet, Address};
use oxnic_offload::rule::action::checksum;
use oxnic_offload::rule::police::Rate;
use oxnic_offload::rule::{
    Action, Chain, Classifier, Cookie, Direction, Edit, Encap, Header, Key, Operation, Police,
    Port, Rule, Verdict,
};
use proptest::prelude::*;
use stage::{End, Event, Stage};
use support::{ethernet_frame, sample, tagged, udp};

fn play_on(stage: &mut Stage, actions: &[Action<'_>], frame: &[u8]) -> End {
    let rule = Rule {
        cookie: Cookie(1),
        classifier: Classifier::Matchall,
        chain: Chain(0),
        priority: 1,
        protocol: ethernet::ALL,
        key: Key::default(),
        actions,
    };
    stage.play(&[rule], frame)
}

fn play(actions: &[Action<'_>], frame: &[u8]) -> End {
    play_on(&mut Stage::default(), actions, frame)
}

/// A set of one to four bytes at an offset.
fn set(header: Header, at: u32, bytes: &[u8]) -> Edit {
    let skip = (at % 4) as usize;
    let mut edit = Edit {
        header,
        offset: at - at % 4,
        operation: Operation::Set,
        keep: [0xff; 4],
        value: [0; 4],
    };
    edit.keep[skip..skip + bytes.len()].fill(0);
    edit.value[skip..skip + bytes.len()].copy_from_slice(bytes);
    edit
}

#[test]
fn push_puts_a_tag_outside_of_all_others() {
    let push = |tpid, id, priority| Action::VlanPush { tpid, id, priority };
    let end = play(&[push(0x8100, 5, 3), push(0x88a8, 6, 0)], &sample(0));
    assert_eq!(
        end.bytes,
        tagged(&tagged(&sample(0), 0x8100, 0x6005), 0x88a8, 6)
    );
    let end = play(&[push(0x8100, 5, 0)], &tagged(&sample(0), 0x8100, 0xf001));
    assert_eq!(
        end.bytes,
        tagged(&tagged(&sample(0), 0x8100, 0xf001), 0x8100, 5)
    );
}

#[test]
fn pop_takes_the_outermost_and_does_nothing_without() {
    let two = tagged(&tagged(&sample(0), 0x8100, 1), 0x88a8, 2);
    assert_eq!(
        play(&[Action::VlanPop], &two).bytes,
        tagged(&sample(0), 0x8100, 1)
    );
    assert_eq!(
        play(&[Action::VlanPop, Action::VlanPop], &two).bytes,
        sample(0)
    );
    let end = play(
        &[
            Action::VlanPop,
            Action::VlanPop,
            Action::VlanPop,
            Action::Mark(1),
        ],
        &two,
    );
    assert_eq!((end.bytes, end.mark), (sample(0), 1));
}

#[test]
fn pop_of_a_packet_whose_next_tag_is_cut_drops() {
    let two = tagged(&tagged(&sample(0), 0x8100, 1), 0x88a8, 2);
    let mut stage = Stage::default();
    assert_eq!(
        play_on(&mut stage, &[Action::VlanPop, Action::Mark(1)], &two[..21]).fate,
        Fate::Drop
    );
    assert_eq!(
        stage.counts,
        [(
            1,
            0,
            Count {
                bytes: 3,
                drop: true,
                overlimit: false
            }
        )]
    );
}

#[test]
fn modify_sets_the_type_and_keeps_eligibility_and_unsaid_priority() {
    let frame = tagged(&sample(0), 0x88a8, 0xb007);
    let modify = |priority| {
        play(
            &[Action::VlanModify {
                tpid: 0x8100,
                id: 9,
                priority,
            }],
            &frame,
        )
        .bytes
    };
    assert_eq!(modify(None), tagged(&sample(0), 0x8100, 0xb009));
    assert_eq!(modify(Some(0)), tagged(&sample(0), 0x8100, 0x1009));
    let end = play(
        &[Action::VlanModify {
            tpid: 0x8100,
            id: 9,
            priority: None,
        }],
        &sample(0),
    );
    assert_eq!((end.fate, end.bytes), (Fate::Accept, sample(0)), "no tag");
}

#[test]
fn pedit_does_not_mend_checksums() {
    let end = play(
        &[Action::Pedit(&[set(Header::Ipv4, 16, &[9, 9, 9, 9])])],
        &sample(0),
    );
    let mut expected = sample(0);
    expected[30..34].fill(9);
    assert_eq!(end.bytes, expected);
}

#[test]
fn pedit_reaches_each_header() {
    for (edit, at) in [
        (set(Header::Ethernet, 0, &[9, 9]), 0),
        (set(Header::Ethernet, 10, &[9, 9]), 10),
        (set(Header::Ipv4, 8, &[9]), 22),
        (set(Header::Tcp, 2, &[9, 9]), 36),
    ] {
        let end = play(&[Action::Pedit(&[edit])], &sample(0));
        let changed: Vec<usize> = (0..end.bytes.len())
            .filter(|at| end.bytes[*at] != sample(0)[*at])
            .collect();
        assert_eq!(changed[0], at);
    }
    let end = play(
        &[Action::Pedit(&[set(Header::Udp, 2, &[9, 9])])],
        &sample(1),
    );
    assert_eq!(end.bytes[14 + 40 + 2..14 + 40 + 4], [9, 9]);
}

#[test]
fn pedit_of_a_missing_transport_header_ends_the_action_but_not_the_rule() {
    let edits = [
        set(Header::Ethernet, 0, &[9]),
        set(Header::Udp, 0, &[9, 9]),
        set(Header::Ethernet, 1, &[9]),
    ];
    let mut stage = Stage::default();
    let end = play_on(
        &mut stage,
        &[Action::Pedit(&edits), Action::Mark(1)],
        &sample(0),
    );
    assert_eq!(
        (end.fate, end.mark, end.bytes[0], end.bytes[1]),
        (Fate::Accept, 1, 9, 2)
    );
    assert!(stage.counts[0].2.overlimit && !stage.counts[0].2.drop);
}

#[test]
fn pedit_over_the_end_does_nothing() {
    let frame = ethernet_frame(0x1234, &[1, 2, 3]);
    assert_eq!(
        play(&[Action::Pedit(&[set(Header::Network, 0, &[9])])], &frame).bytes,
        frame
    );
    let frame = ethernet_frame(0x1234, &[1, 2, 3, 4]);
    assert_eq!(
        play(&[Action::Pedit(&[set(Header::Network, 0, &[9])])], &frame).bytes[14],
        9
    );
}

#[test]
fn network_header_of_two_tags_is_the_inner_tag() {
    let (edit, tcp) = (
        [set(Header::Ipv4, 0, &[0, 77])],
        [set(Header::Tcp, 2, &[9, 9])],
    );
    let (edit, tcp) = ([Action::Pedit(&edit)], [Action::Pedit(&tcp)]);
    let one = tagged(&sample(0), 0x8100, 1);
    assert_eq!(play(&edit, &one).bytes[18..20], [0, 77], "the IP header");
    let two = tagged(&one, 0x88a8, 2);
    assert_eq!(
        play(&edit, &two).bytes,
        tagged(&tagged(&sample(0), 0x8100, 77), 0x88a8, 2)
    );
    assert_ne!(play(&tcp, &one).bytes, one);
    assert_eq!(
        play(&tcp, &two).bytes,
        two,
        "TCP is not found behind two tags"
    );
}

#[test]
fn transport_edits_reach_first_fragments_but_no_later_ones() {
    let edits = [set(Header::Tcp, 2, &[9, 9])];
    for (fragment, changes) in [([0x20, 0], true), ([0, 1], false), ([0x20, 1], false)] {
        let mut frame = sample(0);
        frame[20..22].copy_from_slice(&fragment);
        assert_eq!(
            play(&[Action::Pedit(&edits)], &frame).bytes != frame,
            changes,
            "{fragment:?}"
        );
    }
}

#[test]
fn transport_edits_step_over_ipv6_authentication() {
    let mut frame = sample(1);
    let datagram = frame.split_off(54);
    frame[20] = 51;
    frame.extend_from_slice(&[17, 2, 0, 0]);
    frame.extend_from_slice(&[0; 12]);
    frame.extend_from_slice(&datagram);
    let edits = [set(Header::Udp, 2, &[9, 9])];
    let mut expected = frame.clone();
    expected[54 + 16 + 2..54 + 16 + 4].fill(9);
    assert_eq!(play(&[Action::Pedit(&edits)], &frame).bytes, expected);
}

#[test]
fn transport_edits_step_over_twelve_ipv6_headers() {
    let edits = [set(Header::Udp, 2, &[9, 9])];
    for (count, changes) in [(12, true), (13, false)] {
        let mut frame = sample(1);
        let datagram = frame.split_off(54);
        frame[20] = 60;
        for left in (0..count).rev() {
            let next = if left == 0 { 17 } else { 60 };
            frame.extend_from_slice(&[next, 0, 1, 4, 0, 0, 0, 0]);
        }
        frame.extend_from_slice(&datagram);
        let bytes = play(&[Action::Pedit(&edits)], &frame).bytes;
        assert_eq!(bytes != frame, changes, "{count}");
    }
}

#[test]
fn edit_of_the_type_does_not_change_what_the_packet_is() {
    let edits = [set(Header::Ethernet, 12, &[0x12, 0x34])];
    let tcp = [set(Header::Tcp, 2, &[9, 9])];
    let end = play(&[Action::Pedit(&edits), Action::Pedit(&tcp)], &sample(0));
    assert_eq!(
        (&end.bytes[12..14], &end.bytes[36..38]),
        (&[0x12, 0x34][..], &[9, 9][..])
    );
}

/// Whether etherparse finds the checksums right.
fn is_right(frame: &[u8]) -> bool {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let net = packet.net.unwrap();
    let ipv4 = net.ipv4_ref().map(|net| net.header().to_header());
    let header = ipv4
        .clone()
        .is_none_or(|header| header.calc_header_checksum() == header.header_checksum);
    let transport = match packet.transport.unwrap() {
        TransportSlice::Tcp(tcp) => {
            let calculated = tcp
                .to_header()
                .calc_checksum_ipv4(&ipv4.unwrap(), tcp.payload())
                .unwrap();
            tcp.checksum() == calculated
        }
        TransportSlice::Udp(udp) => {
            let ipv6 = net.ipv6_ref().unwrap().header().to_header();
            udp.checksum()
                == udp
                    .to_header()
                    .calc_checksum_ipv6(&ipv6, udp.payload())
                    .unwrap()
        }
        TransportSlice::Icmpv4(icmp) => {
            icmp.icmp_type().calc_checksum(icmp.payload()) == icmp.checksum()
        }
        _ => panic!("other transport"),
    };
    header && transport
}

#[test]
fn csum_mends_what_it_is_told_to() {
    for (kind, edit) in [
        (0, set(Header::Ipv4, 12, &[9, 8, 7, 6])),
        (1, set(Header::Ipv6, 24, &[9, 8, 7, 6])),
        (2, set(Header::Network, 24, &[1, 2])),
    ] {
        for tags in 0..3 {
            let frame = (0..tags).fold(sample(kind), |frame, id| tagged(&frame, 0x8100, id));
            let edits = [edit];
            let actions = [
                Action::VlanPop,
                Action::VlanPop,
                Action::Pedit(&edits),
                Action::Checksum(checksum::ALL),
            ];
            let end = play(&actions, &frame);
            assert!(is_right(&end.bytes), "kind {kind}, {tags} tags");
            assert_ne!(end.bytes, sample(kind));
            assert!(
                !is_right(&play(&actions[..3], &frame).bytes),
                "kind {kind} before"
            );
        }
    }
}

#[test]
fn csum_looks_behind_tags() {
    let mut wrong = sample(0);
    wrong[24] ^= 0x55;
    wrong[50] ^= 0x55;
    for tags in 0..4 {
        let tag = |frame: Vec<u8>| (0..tags).fold(frame, |frame, id| tagged(&frame, 0x8100, id));
        assert_eq!(
            play(&[Action::Checksum(checksum::ALL)], &tag(wrong.clone())).bytes,
            tag(sample(0))
        );
        assert_ne!(
            play(
                &[Action::Checksum(checksum::UDP | checksum::IPV4)],
                &tag(wrong.clone())
            )
            .bytes,
            tag(sample(0))
        );
    }
}

#[test]
fn csum_of_a_packet_that_claims_too_much_drops() {
    let mut frame = sample(0);
    let whole = frame.len();
    frame.truncate(whole - 1);
    let mut stage = Stage::default();
    assert_eq!(
        play_on(&mut stage, &[Action::Checksum(checksum::TCP)], &frame).fate,
        Fate::Drop
    );
    assert!(stage.counts[0].2.drop);
    assert_eq!(
        play(&[Action::Checksum(checksum::UDP)], &frame).fate,
        Fate::Accept,
        "not asked"
    );
}

/// A frame with a UDP datagram over IPv4 whose length field and checksum are given.
fn udp_frame(length: u16, sum: u16) -> Vec<u8> {
    let mut datagram = udp(1, 2, b"1234");
    datagram[4..6].copy_from_slice(&length.to_be_bytes());
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    builder.udp(1, 2).write(&mut frame, b"1234").unwrap();
    frame.truncate(34);
    frame.extend_from_slice(&datagram);
    frame
}

#[test]
fn udp_over_ipv4_without_a_checksum_stays_so() {
    let csum = [Action::Checksum(checksum::UDP)];
    assert_eq!(play(&csum, &udp_frame(12, 0)).bytes, udp_frame(12, 0));
    assert_ne!(play(&csum, &udp_frame(12, 1)).bytes, udp_frame(12, 1));
}

#[test]
fn udp_of_another_length_loses_its_checksum() {
    assert_eq!(
        play(&[Action::Checksum(checksum::UDP)], &udp_frame(11, 77)).bytes,
        udp_frame(11, 0)
    );
}

#[test]
fn later_fragment_gets_the_header_checksum_only() {
    let mut frame = sample(0);
    frame[21] = 1;
    frame[50] ^= 0x55;
    let end = play(&[Action::Checksum(checksum::ALL)], &frame);
    assert_ne!(end.bytes[24..26], frame[24..26]);
    assert_eq!(end.bytes[34..], frame[34..]);
}

#[test]
fn sctp_is_summed_to_the_end_of_the_frame() {
    let mut frame = udp_frame(0, 0);
    frame[23] = 132;
    let padded = [frame.clone(), vec![0; 6]].concat();
    let end = play(&[Action::Checksum(checksum::SCTP)], &padded);
    let mut zeroed = padded[34..].to_vec();
    zeroed[8..12].fill(0);
    assert_eq!(end.bytes[42..46], crc32c(&[&zeroed]));
    assert_eq!(
        crc32c(&[b"123456789"]),
        0xe306_9283u32.to_le_bytes(),
        "the known value of CRC32c"
    );
}

#[test]
fn mirror_sends_what_the_packet_is_at_that_point() {
    let edits = [set(Header::Ethernet, 0, &[9])];
    let mut stage = Stage::default();
    let actions = [
        Action::Mirror(Port(2), Direction::Egress),
        Action::VlanPush {
            tpid: 0x8100,
            id: 5,
            priority: 0,
        },
        Action::Pedit(&edits),
        Action::Mirror(Port(3), Direction::Ingress),
        Action::VlanPop,
        Action::Redirect(Port(4), Direction::Egress),
        Action::Mark(1),
    ];
    let end = play_on(&mut stage, &actions, &sample(0));
    assert_eq!(end.fate, Fate::Consumed);
    let mut edited = sample(0);
    edited[0] = 9;
    assert_eq!(
        stage.events,
        [
            Event::Sent(2, Direction::Egress, sample(0)),
            Event::Sent(3, Direction::Ingress, tagged(&edited, 0x8100, 5)),
            Event::Sent(4, Direction::Egress, edited),
        ]
    );
    assert_eq!(stage.counts.len(), 6, "nothing after a redirect");
}

#[test]
fn port_that_is_down_drops_redirects_and_gets_no_copies() {
    for (action, fate) in [
        (Action::Redirect(Port(2), Direction::Egress), Fate::Drop),
        (Action::Mirror(Port(2), Direction::Egress), Fate::Accept),
    ] {
        let mut stage = Stage {
            down: vec![2],
            ..Stage::default()
        };
        assert_eq!(play_on(&mut stage, &[action], &sample(0)).fate, fate);
        assert_eq!(stage.events, []);
        assert!(stage.counts[0].2.overlimit && !stage.counts[0].2.drop);
    }
}

#[test]
fn packet_can_go_back_out_but_not_back_in() {
    let mut stage = Stage::default();
    assert_eq!(
        play_on(
            &mut stage,
            &[Action::Redirect(Port(1), Direction::Egress)],
            &sample(0)
        )
        .fate,
        Fate::Consumed
    );
    assert_eq!(
        play_on(
            &mut stage,
            &[Action::Redirect(Port(1), Direction::Ingress)],
            &sample(0)
        )
        .fate,
        Fate::Drop
    );
    assert_eq!(stage.events.len(), 1);
}

#[test]
fn bytes_are_those_on_arrival_behind_ethernet_and_the_first_tag() {
    let mut stage = Stage::default();
    let push = Action::VlanPush {
        tpid: 0x8100,
        id: 5,
        priority: 0,
    };
    let frame = tagged(&tagged(&sample(0), 0x8100, 1), 0x88a8, 2);
    play_on(
        &mut stage,
        &[push, push, Action::Control(Verdict::Drop)],
        &frame,
    );
    let expected = frame.len() as u32 - 14 - 4;
    assert_eq!(
        stage
            .counts
            .iter()
            .map(|count| count.2.bytes)
            .collect::<Vec<_>>(),
        [expected; 3]
    );
    assert_eq!(
        stage
            .counts
            .iter()
            .map(|count| count.2.drop)
            .collect::<Vec<_>>(),
        [false, false, true]
    );
}

#[test]
fn trap_mark_and_priority_reach_the_cpu() {
    let end = play(
        &[
            Action::Mark(7),
            Action::Priority(8),
            Action::Control(Verdict::Trap),
        ],
        &sample(0),
    );
    assert_eq!((end.fate, end.mark, end.priority), (Fate::Trap, 7, 8));
}

#[test]
fn sample_is_cut_and_has_no_outermost_tag() {
    let mut stage = Stage {
        sampled: true,
        ..Stage::default()
    };
    let actions = [Action::Sample {
        group: 4,
        rate: 10,
        truncate: Some(20),
    }];
    let end = play_on(&mut stage, &actions, &tagged(&sample(0), 0x8100, 1));
    assert_eq!(stage.events, [Event::Sampled(4, sample(0)[..20].to_vec())]);
    assert_eq!(end.fate, Fate::Accept);
    assert_eq!(
        play_on(&mut Stage::default(), &actions, &sample(0)).fate,
        Fate::Accept
    );
}

#[test]
fn encap_goes_out_with_the_packet() {
    let encap = Encap {
        address: Address::V4([1; 4], [2; 4]),
        key_id: 5,
        dst_port: 4789,
        ..Encap::default()
    };
    let mut stage = Stage::default();
    let redirect = Action::Redirect(Port(2), Direction::Egress);
    play_on(
        &mut stage,
        &[Action::TunnelSet(encap), redirect],
        &sample(0),
    );
    assert_eq!(stage.encap, Some((5, 4789)));
    play_on(
        &mut stage,
        &[Action::TunnelSet(encap), Action::TunnelUnset, redirect],
        &sample(0),
    );
    assert_eq!(stage.encap, None);
}

fn police(rate: Rate, mtu: u32) -> Police {
    Police {
        index: 1,
        rate,
        mtu,
        conform: Verdict::Pipe,
        exceed: Verdict::Drop,
    }
}

/// Fates of packets of 100 accounted bytes at given times.
fn fates(police: Police, times: &[u64]) -> Vec<bool> {
    let mut stage = Stage::default();
    let frame = ethernet_frame(0x1234, &[0; 100]);
    let pass = |now: &u64| {
        stage.now = *now;
        play_on(&mut stage, &[Action::Police(police)], &frame).fate == Fate::Accept
    };
    times.iter().map(pass).collect()
}

#[test]
fn bucket_of_bytes_starts_full_and_fills_with_time() {
    // 100 bytes take 1000 ns; the burst is two packets.
    let limits = police(
        Rate::Bytes {
            rate: 100_000_000,
            burst: 2000,
        },
        u32::MAX,
    );
    assert_eq!(
        fates(limits, &[0, 0, 0, 999, 1000, 1999, 2000]),
        [true, true, false, false, true, false, true]
    );
    assert_eq!(
        fates(limits, &[0, 0, 100_000, 100_000, 100_000]),
        [true, true, true, true, false],
        "never more than the burst"
    );
}

#[test]
fn bucket_of_packets_starts_empty() {
    let limits = police(
        Rate::Packets {
            rate: 1_000_000,
            burst: 2000,
        },
        u32::MAX,
    );
    assert_eq!(
        fates(limits, &[0, 999, 1000, 1000, 5000, 5000, 5000]),
        [false, false, true, false, true, true, false]
    );
}

#[test]
fn largest_size_counts_the_ethernet_header() {
    assert_eq!(fates(police(Rate::None, 114), &[0]), [true]);
    assert_eq!(fates(police(Rate::None, 113), &[0]), [false]);
}

#[test]
fn policer_counts_what_is_beyond_and_what_it_drops() {
    let mut stage = Stage::default();
    let frame = ethernet_frame(0x1234, &[0; 100]);
    for (mtu, conform, exceed) in [
        (113, Verdict::Pipe, Verdict::Accept),
        (113, Verdict::Pipe, Verdict::Drop),
        (114, Verdict::Drop, Verdict::Pipe),
    ] {
        let limits = Police {
            index: 1,
            rate: Rate::None,
            mtu,
            conform,
            exceed,
        };
        play_on(&mut stage, &[Action::Police(limits)], &frame);
    }
    let counts: Vec<_> = stage
        .counts
        .iter()
        .map(|count| (count.2.overlimit, count.2.drop))
        .collect();
    assert_eq!(
        counts,
        [(true, false), (true, true), (false, false)],
        "no drop is counted without a rate"
    );
}

#[test]
fn policers_of_one_index_share_a_bucket() {
    let limits = police(
        Rate::Bytes {
            rate: 100_000_000,
            burst: 1000,
        },
        u32::MAX,
    );
    let other = Police { index: 2, ..limits };
    let frame = ethernet_frame(0x1234, &[0; 100]);
    assert_eq!(
        play(&[Action::Police(limits), Action::Police(other)], &frame).fate,
        Fate::Accept
    );
    assert_eq!(
        play(&[Action::Police(limits), Action::Police(limits)], &frame).fate,
        Fate::Drop
    );
}

fn any_action() -> impl Strategy<Value = Action<'static>> {
    let edit = (
        0usize..6,
        0u32..12,
        any::<[u8; 4]>(),
        any::<[u8; 4]>(),
        any::<bool>(),
    )
        .prop_map(|(header, word, keep, value, add)| Edit {
            header: [
                Header::Ethernet,
                Header::Network,
                Header::Ipv4,
                Header::Ipv6,
                Header::Tcp,
                Header::Udp,
            ][header],
            offset: word * 4,
            operation: if add { Operation::Add } else { Operation::Set },
            keep,
            value,
        });
    let edits = proptest::collection::vec(edit, 0..4).prop_map(|edits| &*edits.leak());
    prop_oneof![
        edits.prop_map(Action::Pedit),
        any::<u8>().prop_map(Action::Checksum),
        Just(Action::VlanPop),
        (any::<bool>(), 0u16..4096, 0u8..8).prop_map(|(ad, id, priority)| Action::VlanPush {
            tpid: if ad { 0x88a8 } else { 0x8100 },
            id,
            priority,
        }),
        (0u16..4096, proptest::option::of(0u8..8)).prop_map(|(id, priority)| Action::VlanModify {
            tpid: 0x8100,
            id,
            priority
        }),
        (0u32..9).prop_map(|to| Action::Police(Police {
            index: 0,
            rate: Rate::None,
            mtu: u32::MAX,
            conform: Verdict::Jump(to),
            exceed: Verdict::Drop,
        })),
        Just(Action::Mirror(Port(2), Direction::Egress)),
    ]
}

proptest! {
    #[test]
    fn no_actions_panic_on_any_packet(
        actions in proptest::collection::vec(any_action(), 0..8), frame in proptest::collection::vec(any::<u8>(), 20..200),
        kind in proptest::option::of(0usize..4), tags in 0u16..3, cut in 20usize..200,
    ) {
        let mut frame = kind.map_or(frame, sample);
        for id in 0..tags {
            frame = tagged(&frame, 0x8100, id);
        }
        frame.truncate(cut);
        play(&actions, &frame);
    }

    #[test]
    fn push_and_pop_is_nothing(kind in 0usize..4, tags in 0u16..3, id in 0u16..4096, times in 1usize..4) {
        let frame = (0..tags).fold(sample(kind), |frame, id| tagged(&frame, 0x88a8, id));
        let push = vec![Action::VlanPush { tpid: 0x8100, id, priority: 1 }; times];
        let actions = [push, vec![Action::VlanPop; times]].concat();
        prop_assert_eq!(play(&actions, &frame).bytes, frame);
    }

    #[test]
    fn csum_changes_nothing_in_a_right_packet(kind in 0usize..4, tags in 0u16..3) {
        let frame = (0..tags).fold(sample(kind), |frame, id| tagged(&frame, 0x8100, id));
        prop_assert_eq!(play(&[Action::Checksum(checksum::ALL)], &frame).bytes, frame);
    }
}
