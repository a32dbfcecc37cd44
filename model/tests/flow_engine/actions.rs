// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What single actions do.

use crate::bench::{Bench, action, checksum, count, goto, mirror, out, plain, tagged, udp};
use oxnic_abi::flow::action::{
    FlowAction, FlowActionKind as Kind, FlowEdit, FlowHeader, FlowNote, FlowVerdict, action_flags,
    flow_checksum,
};
use oxnic_abi::flow::flow_set::CREATE;
use oxnic_abi::flow::meter::{MeterSet, MeterUnit};
use oxnic_abi::flow::port::FlowDirection;
use oxnic_abi::flow::request::FlowRequest;
use oxnic_model::nic::flow::{To, Up};

const EGRESS: FlowDirection = FlowDirection::EGRESS;

fn edit(header: FlowHeader, kind: FlowEdit, offset: u32, keep: u32, value: u32) -> FlowAction {
    action(Kind::EDIT, [header.0, kind.0], &[offset, keep, value])
}

fn after(actions: &[FlowAction], frame: &[u8]) -> Vec<u8> {
    let mut bench = Bench::new();
    bench.rule(0, 1 << 16, &[actions, &[out(2)]].concat());
    let mut sent = bench.run(frame);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].0, To::Out(2));
    sent.remove(0).1
}

#[test]
fn tags_go_on_and_off() {
    let push = |tpid: u16, tci| action(Kind::VLAN_PUSH, tpid.to_be_bytes(), &[tci]);
    let pop = plain(Kind::VLAN_POP);
    let modify = |tci, keep| action(Kind::VLAN_MODIFY, [0x81, 0], &[tci, keep]);
    let frame = udp();
    let one = tagged(&frame, 0x8100, 0x3005);
    let two = tagged(&one, 0x88a8, 0x0007);
    assert_eq!(after(&[push(0x8100, 0x3005)], &frame), one);
    assert_eq!(after(&[push(0x88a8, 7)], &one), two);
    assert_eq!(after(&[pop], &two), one);
    assert_eq!(after(&[pop, pop], &two), frame);
    assert_eq!(after(&[pop], &frame), frame);
    assert_eq!(
        after(&[modify(9, 0xf000)], &one),
        tagged(&frame, 0x8100, 0x3009)
    );
    assert_eq!(
        after(&[modify(0xe009, 0x1000)], &two),
        tagged(&one, 0x8100, 0xe009)
    );
    assert_eq!(after(&[modify(9, 0)], &frame), frame);
}

#[test]
fn a_tag_that_is_cut_off_drops() {
    let mut bench = Bench::new();
    bench.rule(0, 1 << 16, &[plain(Kind::VLAN_POP), out(2)]);
    let cut = [&udp()[..12], &[0x81, 0, 0, 5, 0x81, 0, 0, 1]].concat();
    assert_eq!(bench.ways(&cut), []);
    assert_eq!(bench.engine.stats().dropped_action, 1);
}

#[test]
fn many_tags_fit() {
    let push = action(Kind::VLAN_PUSH, [0x81, 0], &[5]);
    let mut expected = udp();
    for _ in 0..90 {
        expected = tagged(&expected, 0x8100, 5);
    }
    assert_eq!(after(&[push; 90], &udp()), expected);
}

#[test]
fn edits_write_and_add_and_leave_checksums() {
    let mut expected = udp();
    expected[30..34].copy_from_slice(&[192, 0, 2, 7]);
    let to = u32::from_le_bytes([192, 0, 2, 7]);
    let set = edit(FlowHeader::IPV4, FlowEdit::SET, 16, 0, to);
    assert_eq!(after(&[set], &udp()), expected);
    // The sum of a checksum's bytes is what the action is for.
    let csum = action(Kind::CSUM, [0; 2], &[flow_checksum::ALL]);
    expected[24..26].fill(0);
    let sum = checksum(&expected[14..34]);
    expected[24..26].copy_from_slice(&sum);
    assert_eq!(after(&[set, csum], &udp()), expected);
    // TTL minus one, as tc adds: 0xff to one byte.
    let mut expected = udp();
    expected[22] = 63;
    let add = edit(FlowHeader::IPV4, FlowEdit::ADD, 8, 0xffff_ff00, 0xff);
    assert_eq!(after(&[add], &udp()), expected);
    // The carry of 0x00ff plus 1 in a port runs the wrong way.
    let mut frame = udp();
    frame[34..36].copy_from_slice(&[0, 0xff]);
    let value = u32::from_le_bytes([0, 1, 0, 0]);
    let keep = u32::from_le_bytes([0, 0, 0xff, 0xff]);
    let add = edit(FlowHeader::UDP, FlowEdit::ADD, 0, keep, value);
    assert_eq!(after(&[add], &frame)[34..36], [0, 0]);
}

#[test]
fn an_edit_that_cannot_be_takes_those_with_it_that_continue_it() {
    let tcp = edit(FlowHeader::TCP, FlowEdit::SET, 0, 0, 0x0102_0304);
    let mac = edit(FlowHeader::ETHERNET, FlowEdit::SET, 0, 0, 0x0606_0606);
    let continued = FlowAction {
        flags: action_flags::CONTINUED,
        ..mac
    };
    let mut bench = Bench::new();
    bench.rule(0, 1 << 16, &[tcp, continued, out(2)]);
    assert_eq!(bench.run(&udp()), [(To::Out(2), udp())]);
    assert_eq!(bench.engine.stats().edits_left_out, 1);
    assert_eq!(after(&[tcp, mac], &udp())[..4], [6; 4]);
}

#[test]
fn ports_behind_more_than_twelve_extension_headers_are_not_edited() {
    let set = edit(FlowHeader::UDP, FlowEdit::SET, 0, 0, 0x0909_0909);
    for (count, changes) in [(12usize, true), (13, false)] {
        let mut frame = udp()[..14].to_vec();
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        let length = (8 * count + 8) as u8;
        frame.extend([0x60, 0, 0, 0, 0, length, 60, 64]);
        frame.extend([0xfd; 32]);
        for left in (0..count).rev() {
            frame.extend([if left == 0 { 17 } else { 60 }, 0, 1, 4, 0, 0, 0, 0]);
        }
        let at = frame.len();
        frame.extend([0x10, 0, 0x20, 0, 0, 8, 0, 0]);
        let mut expected = frame.clone();
        if changes {
            expected[at..at + 4].fill(9);
        }
        assert_eq!(after(&[set], &frame), expected, "{count}");
    }
}

#[test]
fn a_frame_that_lies_about_its_length_is_dropped_by_csum() {
    let mut frame = udp();
    frame[17] = 200;
    let mut bench = Bench::new();
    let csum = action(Kind::CSUM, [0; 2], &[flow_checksum::UDP]);
    bench.rule(0, 1 << 16, &[csum, out(2)]);
    assert_eq!(bench.ways(&frame), []);
    assert_eq!(bench.engine.stats().dropped_action, 1);
}

#[test]
fn a_checksum_of_udp_that_would_be_none_is_written_the_other_way() {
    let mut frame = udp();
    frame[40..42].copy_from_slice(&[1, 1]);
    frame[58..60].fill(0);
    let mut pseudo = [&frame[26..34], &[0, 17], &frame[38..40]].concat();
    pseudo.extend(&frame[34..40]);
    pseudo.extend(&frame[42..60]);
    // With this at the end the sum is all ones, and its inverse nothing.
    let rest = checksum(&pseudo);
    frame[58..60].copy_from_slice(&rest);
    let csum = action(Kind::CSUM, [0; 2], &[flow_checksum::UDP]);
    assert_eq!(after(&[csum], &frame)[40..42], [0xff, 0xff]);
}

#[test]
fn udp_lite_without_a_length_is_summed_to_its_end() {
    let mut frame = udp();
    frame[23] = 136;
    frame[38..40].fill(0);
    let pseudo = [&frame[26..34], &[0, 136, 0, 0], &frame[34..60]].concat();
    let sum = checksum(&pseudo);
    let csum = action(Kind::CSUM, [0; 2], &[flow_checksum::UDP_LITE]);
    assert_eq!(after(&[csum], &frame)[40..42], sum);
}

#[test]
fn counters_count_what_came() {
    let mut bench = Bench::new();
    let push = action(Kind::VLAN_PUSH, [0x81, 0], &[5]);
    bench.rule(0, 1 << 16, &[count(3), push, push, count(4), out(2)]);
    bench.run(&udp());
    bench.run(&tagged(&udp(), 0x8100, 7));
    bench.run(&tagged(&tagged(&udp(), 0x8100, 7), 0x8100, 8));
    assert_eq!(bench.counted(3), (3, 46 + 46 + 50));
    assert_eq!(bench.counted(4), bench.counted(3));
    assert_eq!(bench.engine.counters.value(3).last_use, 7);
    let mut changed = Vec::new();
    bench.engine.counters.take_changed(&mut changed, 10);
    assert_eq!(changed.len(), 2);
    bench.engine.reset_counter(3, 8).unwrap();
    let value = bench.engine.counters.value(3);
    assert_eq!((value.packets, value.generation), (0, 8));
}

#[test]
fn a_rule_that_is_updated_brings_new_actions_and_cookie() {
    let mut bench = Bench::new();
    bench.engine.set_match_template(0, &[], &[]).unwrap();
    let from_rule = |kind| FlowAction {
        flags: action_flags::ARGUMENT,
        ..plain(kind)
    };
    let accept = [from_rule(Kind::COUNT), plain(Kind::ACCEPT)];
    bench.engine.set_action_template(0, &accept).unwrap();
    bench
        .engine
        .set_action_template(1, &[plain(Kind::TRAP)])
        .unwrap();
    let mut request = FlowRequest {
        cookie: 5,
        ..FlowRequest::ZERO
    };
    bench.engine.add_rule(&request, &[], &[9, 0, 0, 0]).unwrap();
    assert_eq!(bench.ways(&udp()), [To::Up(1, Up::Rule(5))]);
    request.cookie = 6;
    bench.engine.update_rule(&request, &[10, 0, 0, 0]).unwrap();
    assert_eq!(bench.ways(&udp()), [To::Up(1, Up::Rule(6))]);
    request.action_template = 1;
    bench.engine.update_rule(&request, &[]).unwrap();
    bench.run(&udp());
    assert_eq!([9, 10].map(|id| bench.counted(id).0), [1, 1]);
    assert!(bench.engine.destroy_action_template(0).is_ok());
    assert!(bench.engine.destroy_action_template(1).is_err());
}

#[test]
fn marks_go_up_where_the_rule_says() {
    let mark = action(Kind::MARK, [0; 2], &[77]);
    let accept = action(Kind::ACCEPT, [FlowNote::MARK.0, 0], &[]);
    let trap = action(Kind::TRAP, [FlowNote::MARK.0, 0], &[]);
    for last in [accept, trap] {
        let mut bench = Bench::new();
        bench.rule(0, 1 << 16, &[mark, last]);
        assert_eq!(bench.ways(&udp()), [To::Up(1, Up::Mark(77))]);
        let mut bench = Bench::new();
        bench.rule(0, 1 << 16, &[last]);
        assert_eq!(bench.ways(&udp()), [To::Up(1, Up::Mark(0))]);
    }
    let mut bench = Bench::new();
    bench.rule(0, 1 << 16, &[mark]);
    assert_eq!(bench.ways(&udp()), [To::Up(1, Up::Rule(1))]);
}

#[test]
fn samples_are_cut_and_named() {
    let mut bench = Bench::new();
    bench.rule(
        0,
        1 << 16,
        &[action(Kind::SAMPLE, [0; 2], &[1, 20, 55]), out(2)],
    );
    let frame = tagged(&udp(), 0x8100, 5);
    let sent = bench.run(&frame);
    assert_eq!(sent[0].0, To::Up(1, Up::Sample(55, 60)));
    assert_eq!(sent[0].1, udp()[..20]);
    assert_eq!(sent[1], (To::Out(2), frame));
    // One in ten, about.
    let mut bench = Bench::new();
    bench.rule(
        0,
        1 << 16,
        &[action(Kind::SAMPLE, [0; 2], &[10, 0, 55]), out(2)],
    );
    for _ in 0..10_000 {
        bench.run(&udp());
    }
    assert!((700..1300).contains(&bench.engine.stats().sampled));
}

#[test]
fn a_meter_lets_pass_what_its_bucket_has() {
    let mut bench = Bench::new();
    bench.table(5);
    let set = MeterSet {
        id: 2,
        flags: CREATE,
        unit: MeterUnit::BYTES,
        rate: 46_000,
        burst: 2_500_000,
        mtu: u32::MAX,
    };
    bench.engine.set_meter(&set, 0).unwrap();
    let verdicts = [FlowVerdict::PIPE.0, FlowVerdict::GOTO.0];
    let meter = action(Kind::METER, verdicts, &[2, 0, 5]);
    bench.rule(0, 1 << 16, &[meter, out(2)]);
    // A frame of 46 bytes takes a millisecond.
    let within = To::Out(2);
    let beyond = To::Up(1, Up::Miss(1005));
    let mut ways = Vec::new();
    for now in [0, 0, 0, 400_000, 500_000, 500_000, 1_500_000] {
        bench.now = now;
        ways.extend(bench.ways(&udp()));
    }
    assert_eq!(
        ways,
        [within, within, beyond, beyond, within, beyond, within]
    );
    let stats = bench.engine.query_meter(2).unwrap();
    assert_eq!((stats.within_packets, stats.within_bytes), (4, 184));
    assert_eq!((stats.beyond_packets, stats.beyond_bytes), (3, 138));
    // One that is changed has a full bucket again, and goes on counting.
    let changed = MeterSet { flags: 0, ..set };
    bench.engine.set_meter(&changed, bench.now).unwrap();
    assert_eq!(bench.ways(&udp()), [within]);
    let stats = bench.engine.query_meter(2).unwrap();
    assert_eq!((stats.within_packets, stats.within_bytes), (5, 230));
    assert_eq!((stats.beyond_packets, stats.beyond_bytes), (3, 138));
}

#[test]
fn a_meter_of_frames_starts_empty_and_its_verdicts_skip() {
    let mut bench = Bench::new();
    let set = MeterSet {
        id: 2,
        flags: CREATE,
        unit: MeterUnit::PACKETS,
        rate: 1000,
        burst: 1_000_000,
        mtu: 60,
    };
    bench.engine.set_meter(&set, 0).unwrap();
    let verdicts = [FlowVerdict::SKIP.0, FlowVerdict::PIPE.0];
    let meter = action(Kind::METER, verdicts, &[2, 1, 0]);
    bench.rule(0, 1 << 16, &[meter, out(2), out(3)]);
    assert_eq!(bench.ways(&udp()), [To::Out(2)]);
    bench.now = 1_000_000;
    // Without the tag it is 60 bytes long, and one more is too long.
    assert_eq!(bench.ways(&tagged(&udp(), 0x8100, 1)), [To::Out(3)]);
    bench.now = 9_000_000;
    assert_eq!(bench.ways(&[udp(), vec![0]].concat()), [To::Out(2)]);
    let skip = action(Kind::METER, [FlowVerdict::SKIP.0; 2], &[2, 70, u32::MAX]);
    let mut bench = Bench::new();
    bench.engine.set_meter(&set, 0).unwrap();
    bench.rule(0, 1 << 16, &[skip, out(2)]);
    assert_eq!(bench.ways(&udp()), [To::Up(1, Up::Rule(1))]);
}

#[test]
fn what_goes_out_is_as_long_to_a_meter_as_to_a_counter() {
    let mut bench = Bench::new();
    bench.table(5);
    bench.bind(2, EGRESS, 5);
    let set = MeterSet {
        id: 2,
        flags: CREATE,
        mtu: 60,
        ..MeterSet::ZERO
    };
    bench.engine.set_meter(&set, 0).unwrap();
    bench.rule(0, 0, &[out(2)]);
    let verdicts = [FlowVerdict::PIPE.0, FlowVerdict::DROP.0];
    bench.rule(
        5,
        0,
        &[action(Kind::METER, verdicts, &[2]), plain(Kind::ACCEPT)],
    );
    assert_eq!(bench.ways(&udp()), [To::Out(2)]);
    assert_eq!(bench.ways(&[udp(), vec![0]].concat()), []);
    let stats = bench.engine.query_meter(2).unwrap();
    assert_eq!((stats.within_bytes, stats.beyond_bytes), (60, 61));
}

#[test]
fn a_copy_is_what_the_frame_is_then() {
    let mut bench = Bench::new();
    let push = action(Kind::VLAN_PUSH, [0x81, 0], &[5]);
    bench.rule(
        0,
        1 << 16,
        &[
            mirror(2, EGRESS),
            push,
            mirror(3, EGRESS),
            plain(Kind::VLAN_POP),
            goto(0),
        ],
    );
    // Round and round, until the seventeenth goto drops it.
    let sent = bench.run(&udp());
    assert_eq!(sent.len(), 34);
    assert_eq!(sent[0], (To::Out(2), udp()));
    assert_eq!(sent[33], (To::Out(3), tagged(&udp(), 0x8100, 5)));
    let stats = bench.engine.stats();
    assert_eq!(
        (stats.mirrored, stats.dropped_loop, stats.hits),
        (34, 1, 17)
    );
}
