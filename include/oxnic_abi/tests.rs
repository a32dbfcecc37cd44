// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Layout tests: conversions are inverse, reserved bytes are found, and sizes are those of the specification.

extern crate std;

use crate::wire::Wire;
use crate::{
    caps, clock, command, doorbell, dump, eswitch, event, firmware, flow, port, queue, rate, regs,
    ring, rss, sensor, stats, steering, vf, vport,
};
use proptest::prelude::*;
use std::vec::Vec;

/// For any words: what a structure keeps of them is exactly its used bits, and reading back gives the same value.
fn round_trip<T: Wire<N> + PartialEq + core::fmt::Debug, const N: usize>(
    used: [u64; N],
    words: [u64; N],
) {
    let value = T::from_words(&words);
    let back = value.to_words();
    for i in 0..N {
        assert_eq!(back[i], words[i] & used[i]);
    }
    assert_eq!(T::from_words(&back), value);
}

macro_rules! layouts {
    ($($test:ident: $t:ty, $bytes:literal;)*) => { $(
        proptest! {
            #[test]
            fn $test(words in proptest::collection::vec(any::<u64>(), <$t>::WORDS)) {
                assert_eq!(<$t>::BYTES, $bytes);
                let words = <[u64; <$t>::WORDS]>::try_from(words).unwrap();
                round_trip::<$t, { <$t>::WORDS }>(<$t>::USED, words);
                let first = words.iter().zip(<$t>::USED).flat_map(|(w, u)| (w & !u).to_le_bytes()).position(|b| b != 0);
                assert_eq!(<$t>::reserved_bits(&words), first);
            }
        }
    )* };
}

layouts! {
    dump_header: dump::DumpHeader, 48;
    dump_section: dump::SectionHeader, 8;
    dump_register: dump::DumpRegister, 8;
    dump_queue: dump::DumpQueue, 32;
    dump_vector: dump::DumpVector, 8;
    dump_object: dump::DumpObject, 16;
    dump_line: dump::DumpLine, 64;
    block_header: regs::BlockHeader, 8;
    submission: command::Submission, 64;
    completion: command::Completion, 32;
    nic_caps: caps::NicCaps, 128;
    steering_caps: caps::SteeringCaps, 16;
    eswitch_caps: eswitch::EswitchCaps, 16;
    eswitch_config: eswitch::EswitchConfig, 40;
    eswitch_info: eswitch::EswitchInfo, 16;
    cq_create: queue::CqCreate, 40;
    cq_moderate: queue::CqModerate, 40;
    tx_create: queue::TxCreate, 40;
    rx_create: queue::RxCreate, 40;
    tx_data: ring::TxData, 16;
    tx_context: ring::TxContext, 16;
    tx_completion: ring::TxCompletion, 16;
    rx_descriptor: ring::RxDescriptor, 16;
    rx_completion: ring::RxCompletion, 32;
    vport_info: vport::VportInfo, 64;
    vport_config: vport::VportConfig, 40;
    port_entry: vport::PortEntry, 16;
    rss_config: rss::RssConfig, 568;
    steering_rule: steering::SteeringRule, 160;
    port_info: port::PortInfo, 48;
    port_config: port::PortConfig, 40;
    module_read: port::ModuleRead, 40;
    sensor_entry: sensor::SensorEntry, 40;
    rate_caps: rate::RateCaps, 32;
    rate_config: rate::RateConfig, 48;
    rate_id: rate::RateId, 40;
    vf_config: vf::VfConfig, 48;
    vf_info: vf::VfInfo, 48;
    event: event::Event, 64;
    vport_stats: stats::VportStats, 256;
    port_stats: stats::PortStats, 384;
    queue_stats: stats::QueueStats, 32;
    clock_caps: clock::ClockCaps, 16;
    clock_config: clock::ClockConfig, 40;
    clock_info: clock::ClockInfo, 24;
    firmware_caps: firmware::FirmwareCaps, 32;
    firmware_id: firmware::FirmwareId, 40;
    firmware_set: firmware::FirmwareSet, 40;
    firmware_begin: firmware::FirmwareBegin, 40;
    firmware_write: firmware::FirmwareWrite, 40;
    firmware_activate: firmware::FirmwareActivate, 40;
    firmware_info: firmware::FirmwareInfo, 144;
    firmware_image: firmware::FirmwareImage, 256;
    flow_caps: flow::capability::FlowCaps, 216;
    flow_id: flow::FlowId, 40;
    table_set: flow::table::TableSet, 40;
    port_table: flow::port::PortTable, 40;
    template_set: flow::template::TemplateSet, 40;
    flow_condition: flow::template::FlowCondition, 32;
    flow_action: flow::action::FlowAction, 24;
    encap_set: flow::encap::EncapSet, 40;
    tunnel_port: flow::tunnel::TunnelPort, 40;
    meter_set: flow::meter::MeterSet, 40;
    meter_stats: flow::meter::MeterStats, 32;
    counter_memory: flow::counter::CounterMemory, 40;
    counter_record: flow::counter::CounterRecord, 32;
    flow_queue_create: flow::queue::FlowQueueCreate, 40;
    flow_request: flow::request::FlowRequest, 40;
    flow_completion: flow::completion::FlowCompletion, 16;
    flow_info_get: flow::info::FlowInfoGet, 40;
    flow_info: flow::info::FlowInfo, 16;
    flow_stats: flow::info::FlowStats, 96;
}

proptest! {
    #[test]
    fn doorbell_round_trip(kind: u8, queue in 0u32..1 << 24, index: u32) {
        let value = doorbell::encode(doorbell::DoorbellKind(kind), queue, index);
        assert_eq!(doorbell::decode(value), (doorbell::DoorbellKind(kind), queue, index));
    }
}

#[test]
fn queue_beyond_24_bits_does_not_reach_the_kind() {
    assert_eq!(
        doorbell::decode(doorbell::encode(doorbell::DoorbellKind::TX, u32::MAX, 0)).0,
        doorbell::DoorbellKind::TX
    );
}

#[test]
fn first_field_is_the_lowest_byte() {
    let data = ring::TxData {
        address: 0x0102_0304_0506_0708,
        length: 0x0a0b,
        csum_offset: 0xee,
        ..ring::TxData::ZERO
    };
    let bytes: Vec<u8> = data
        .to_words()
        .iter()
        .flat_map(|w| w.to_le_bytes())
        .collect();
    assert_eq!(
        bytes,
        [8, 7, 6, 5, 4, 3, 2, 1, 0x0b, 0x0a, 0, 0, 0, 0, 0, 0xee]
    );
}

#[test]
fn no_two_opcodes_share_a_number() {
    let mut seen = std::collections::BTreeSet::new();
    for opcode in command::Opcode::ALL {
        assert!(seen.insert(opcode.0), "{} twice", opcode.text());
    }
}

#[test]
fn unknown_values_are_kept_and_named_so() {
    let status = command::Status(0x7777);
    assert_eq!(status.text(), "unknown");
    let words = command::Completion {
        status,
        ..command::Completion::ZERO
    }
    .to_words();
    assert_eq!(command::Completion::from_words(&words).status, status);
}

#[test]
fn sums_of_counters_do_not_overflow() {
    let honest = stats::VportStats {
        rx_unicast: 1,
        rx_multicast: 2,
        rx_broadcast: 3,
        tx_unicast: 4,
        rx_filtered: 5,
        rx_steering: 6,
        tx_inactive: 7,
        rx_too_long: 8,
        rx_dma: 9,
        ..stats::VportStats::ZERO
    };
    let sums = |stats: stats::VportStats| {
        (
            stats.rx_frames(),
            stats.tx_frames(),
            stats.rx_drops(),
            stats.tx_drops(),
            stats.rx_errors(10),
            stats.rx_length_errors(10),
        )
    };
    assert_eq!(sums(honest), (6, 4, 22, 7, 27, 18));
    let lies = stats::VportStats::from_words(&[u64::MAX; stats::VportStats::WORDS]);
    let most = u64::MAX;
    assert_eq!(sums(lies), (most, most, most, most, most, most));
}

#[test]
fn capabilities_are_within_the_bounds_of_the_specification_or_the_field_is_named() {
    let least = caps::NicCaps {
        features: caps::features::TSO6,
        tx_log2_max: 5,
        rx_log2_max: 5,
        cq_log2_max: 5,
        tx_fragments: 18,
        frame_max: 1514,
        frame_min: 60,
        tso_max: 1514,
        ..caps::NicCaps::ZERO
    };
    assert_eq!(least.out_of_bounds(), None);
    let deepest = caps::NicCaps {
        tx_log2_max: 15,
        rx_log2_max: 15,
        cq_log2_max: 15,
        ..least
    };
    assert_eq!(deepest.out_of_bounds(), None);
    let without = caps::NicCaps {
        features: 0,
        tso_max: 0,
        ..least
    };
    assert_eq!(without.out_of_bounds(), None);
    macro_rules! beyond {
        ($($field:ident: $($value:literal)*;)*) => {
            $($(
                let caps = caps::NicCaps { $field: $value, ..least };
                assert_eq!(caps.out_of_bounds(), Some(stringify!($field)));
            )*)*
        };
    }
    beyond! {
        tx_log2_max: 0 4 16;
        rx_log2_max: 0 4 16;
        cq_log2_max: 0 4 16;
        tx_fragments: 0 17;
        frame_max: 0 14 1513;
        frame_min: 61;
        tso_max: 0 1513;
    }
}

#[test]
fn every_flow_field_has_a_width_that_fits_a_condition_and_a_bit_of_its_own() {
    use flow::field::FlowField;
    let mut seen = 0;
    for field in FlowField::ALL {
        let variable = *field == FlowField::ENC_OPTIONS;
        assert_eq!(field.width() == 0, variable, "{}", field.text());
        assert!(field.width() <= flow::template::FlowCondition::ZERO.mask.len());
        assert_ne!(field.bit(), 0);
        assert_eq!(seen & field.bit(), 0);
        seen |= field.bit();
    }
    assert_eq!(FlowField(64).bit(), 0);
    assert_eq!(FlowField(64).width(), 0);
}

#[test]
fn arguments_of_every_action_are_operands_that_there_are() {
    use flow::action::{FlowAction, FlowActionKind};
    for kind in FlowActionKind::ALL {
        let (first, count) = kind.arguments();
        assert!(
            first + count <= FlowAction::ZERO.operands.len(),
            "{}",
            kind.text()
        );
        assert_ne!(kind.bit(), 0);
    }
}

#[test]
fn bytes_of_edits_have_bits_in_the_capability() {
    use flow::action::FlowHeader;
    assert_eq!(
        FlowHeader::ALL.len(),
        flow::capability::FlowCaps::ZERO.edit_set.len()
    );
    for (index, header) in FlowHeader::ALL.iter().enumerate() {
        assert_eq!(usize::from(header.0), index);
        assert!((1..=64).contains(&header.length()), "{}", header.text());
    }
}

#[test]
fn flow_request_ends_where_its_body_starts() {
    use flow::request::{FlowRequest, REQUEST_BODY, REQUEST_INLINE};
    assert_eq!(FlowRequest::BYTES, REQUEST_BODY);
    assert_eq!(REQUEST_BODY + REQUEST_INLINE, flow::queue::SLOT_BYTES);
}

#[test]
fn the_example_of_the_specification_is_a_request() {
    use flow::request::{FlowOp, FlowRequest};
    let request = FlowRequest {
        op: FlowOp::ADD,
        slots: 1,
        rule: 5,
        table: 1,
        priority: 0x1_0000,
        match_template: 2,
        action_template: 3,
        key_length: 9,
        arguments_length: 8,
        ..FlowRequest::ZERO
    };
    let words = request.to_words();
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let expected: [u8; 40] = [
        0x01, 0x01, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
        0x00, 0x02, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0x00,
        0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ];
    assert_eq!(bytes, expected);
}

#[test]
fn a_page_is_full_of_counters() {
    use flow::counter::{CounterRecord, COUNTERS_IN_PAGE, COUNTER_PAGE};
    assert_eq!(CounterRecord::BYTES as u32 * COUNTERS_IN_PAGE, COUNTER_PAGE);
}

proptest! {
    /// Whatever a dump holds, reading it ends, stays within it, and gives no more than it says.
    #[test]
    fn any_words_can_be_read_as_a_dump(mut words in proptest::collection::vec(prop_oneof![any::<u64>(), 0u64..0x40_0010], 0..200), magic: bool) {
        if magic && !words.is_empty() {
            words[0] = u64::from(dump::DUMP_MAGIC) | ((words.len() as u64 * 8) << 32);
        }
        let Some((header, sections)) = crate::sections::read(&words) else {
            return Ok(());
        };
        prop_assert_eq!(header.magic, dump::DUMP_MAGIC);
        let mut seen = 0;
        for section in sections {
            seen += 1;
            let entries = section.entries::<{ dump::DumpQueue::WORDS }, dump::DumpQueue>().count();
            prop_assert!(entries <= words.len());
        }
        prop_assert!(seen <= usize::from(header.sections));
    }
}

#[test]
fn sections_that_are_not_known_are_stepped_over_and_longer_entries_read() {
    let header = dump::DumpHeader {
        magic: dump::DUMP_MAGIC,
        sections: 3,
        ..dump::DumpHeader::ZERO
    };
    let section = |kind, entry, count| dump::SectionHeader { kind, entry, count }.to_words()[0];
    let mut words = Vec::from(header.to_words());
    words.extend([section(dump::SectionKind(99), 16, 2), 1, 2, 3, 4]);
    words.extend([
        section(dump::SectionKind::REGISTERS, 16, 2),
        0x5_0000_0010,
        7,
        0x6_0000_0014,
        8,
    ]);
    words.extend([section(dump::SectionKind::QUEUES, 8, 1), 9]);
    let (_, sections) = crate::sections::read(&words).unwrap();
    let registers: Vec<_> = sections
        .clone()
        .filter(|section| section.kind == dump::SectionKind::REGISTERS)
        .flat_map(|section| section.entries::<1, dump::DumpRegister>())
        .map(|register| (register.offset, register.value))
        .collect();
    assert_eq!(registers, [(0x10, 5), (0x14, 6)]);
    // Entries that are shorter than we know them are not guessed at.
    assert_eq!(
        sections
            .last()
            .unwrap()
            .entries::<4, dump::DumpQueue>()
            .count(),
        0
    );
}
