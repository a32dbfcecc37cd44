// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Receive hashing by the published test vectors, and steering.

use crate::mock::{Device, Driver, Rx, tagged};
use crate::packets::{Ip, flow, tcp};
use etherparse::PacketBuilder;
use oxnic_abi::command::Opcode;
use oxnic_abi::ring::rx_kind;
use oxnic_abi::rss::{RssConfig, hash_fields, hash_input, hash_types};
use oxnic_abi::steering::{SteeringAction, SteeringId, SteeringRule, keys};
use oxnic_abi::vport::vport_flags;
use oxnic_model::host::Function;
use oxnic_model::nic::rss::Toeplitz;
use std::net::{Ipv4Addr, Ipv6Addr};

const PEER: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 1];

/// The key of the verification suite in Microsoft's specification of receive side scaling.
const KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
    0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
    0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

/// Destination, source, hash of addresses, hash with TCP ports; from the same suite.
const VECTORS4: [(&str, u16, &str, u16, u32, u32); 5] = [
    (
        "161.142.100.80",
        1766,
        "66.9.149.187",
        2794,
        0x323e_8fc2,
        0x51cc_c178,
    ),
    (
        "65.69.140.83",
        4739,
        "199.92.111.2",
        14230,
        0xd718_262a,
        0xc626_b0ea,
    ),
    (
        "12.22.207.184",
        38024,
        "24.19.198.95",
        12898,
        0xd2d0_a5de,
        0x5c2b_394a,
    ),
    (
        "209.142.163.6",
        2217,
        "38.27.205.30",
        48228,
        0x8298_9176,
        0xafc7_327f,
    ),
    (
        "202.188.127.2",
        1303,
        "153.39.163.191",
        44251,
        0x5d18_09c5,
        0x10e8_28a2,
    ),
];

const VECTORS6: [(&str, u16, &str, u16, u32, u32); 3] = [
    (
        "3ffe:2501:200:3::1",
        1766,
        "3ffe:2501:200:1fff::7",
        2794,
        0x2cc1_8cd5,
        0x4020_7d3d,
    ),
    (
        "ff02::1",
        4739,
        "3ffe:501:8::260:97ff:fe40:efab",
        14230,
        0x0f0c_461c,
        0xdde5_1bbf,
    ),
    (
        "fe80::200:f8ff:fe21:67cf",
        38024,
        "3ffe:1900:4545:3:200:f8ff:fe21:67cf",
        44251,
        0x4b61_e985,
        0x02d1_feef,
    ),
];

/// A PF with four receive queues and all of them in a table.
struct Bench {
    dut: Device,
    driver: Driver,
    queues: Vec<Rx>,
    mac: [u8; 6],
}

impl Bench {
    fn new(types: u16, input: u16) -> Self {
        let mut dut = Device::new(1, 0);
        let mut driver = Driver::new(&mut dut, Function::Pf);
        let queues = (0..4)
            .map(|id| Rx::new(&mut dut, &mut driver, 0, id, id + 1, 6, 2048))
            .collect();
        driver.enable(&mut dut, 0);
        driver.flags(&mut dut, 0, vport_flags::RX_HASH, vport_flags::RX_HASH);
        let mac = driver.info(&mut dut, 0).mac;
        let mut bench = Self {
            dut,
            driver,
            queues,
            mac,
        };
        bench.context(0, |config| (config.types, config.input) = (types, input));
        bench
    }

    fn context(&mut self, context: u16, change: impl FnOnce(&mut RssConfig)) {
        let mut config = RssConfig {
            context,
            entries: 128,
            key: KEY,
            ..RssConfig::ZERO
        };
        for (i, queue) in config.table.iter_mut().enumerate() {
            *queue = i as u16 % 4;
        }
        change(&mut config);
        self.driver
            .request_ok(&mut self.dut, Opcode::RSS_SET, 0, 0, &config.to_words());
        let get = oxnic_abi::command::Submission {
            parameters: [u64::from(context), 0, 0, 0, 0],
            ..self.driver.submission(Opcode::RSS_GET)
        };
        let told = RssConfig::from_words(&self.driver.query(&mut self.dut, get).unwrap());
        assert_eq!(
            (told.types, told.input, told.key),
            (config.types, config.input, config.key)
        );
        assert_eq!(told.table[..128], config.table[..128]);
        assert_eq!(told.omit, config.omit);
    }

    /// Queue, hash and kind that a frame gets; none if it was dropped.
    fn receive(&mut self, bytes: &[u8]) -> Option<(u16, u32, u16)> {
        self.dut.receive(0, bytes);
        let mut found = None;
        for queue in &mut self.queues {
            for frame in queue.take(&mut self.dut) {
                assert_eq!(frame.bytes, bytes);
                assert!(found.is_none());
                found = Some((queue.id, frame.last.hash, frame.last.kind));
            }
        }
        found
    }

    fn v4(&self, vector: &(&str, u16, &str, u16, u32, u32), tcp: bool) -> Vec<u8> {
        let (destination, dport, source, sport, ..) = *vector;
        let source: Ipv4Addr = source.parse().unwrap();
        let destination: Ipv4Addr = destination.parse().unwrap();
        let ip =
            PacketBuilder::ethernet2(PEER, self.mac).ipv4(source.octets(), destination.octets(), 9);
        let mut bytes = Vec::new();
        match tcp {
            true => ip
                .tcp(sport, dport, 1, 2)
                .write(&mut bytes, &[0; 30])
                .unwrap(),
            false => ip.udp(sport, dport).write(&mut bytes, &[0; 30]).unwrap(),
        }
        bytes
    }

    fn v6(&self, vector: &(&str, u16, &str, u16, u32, u32), tcp: bool) -> Vec<u8> {
        let (destination, dport, source, sport, ..) = *vector;
        let source: Ipv6Addr = source.parse().unwrap();
        let destination: Ipv6Addr = destination.parse().unwrap();
        let ip =
            PacketBuilder::ethernet2(PEER, self.mac).ipv6(source.octets(), destination.octets(), 9);
        let mut bytes = Vec::new();
        match tcp {
            true => ip
                .tcp(sport, dport, 1, 2)
                .write(&mut bytes, &[0; 30])
                .unwrap(),
            false => ip.udp(sport, dport).write(&mut bytes, &[0; 30]).unwrap(),
        }
        bytes
    }
}

#[test]
fn hashes_are_those_of_the_verification_suite() {
    let types = hash_types::IPV4 | hash_types::IPV6 | hash_types::TCP4 | hash_types::TCP6;
    let mut bench = Bench::new(types, 0);
    for (tcp, pick) in [(true, 5), (false, 4)] {
        let l4 = if tcp {
            rx_kind::TCP | rx_kind::HASH_L3 | rx_kind::HASH_L4
        } else {
            rx_kind::UDP | rx_kind::HASH_L3
        };
        for vector in &VECTORS4 {
            let hash = if pick == 5 { vector.5 } else { vector.4 };
            let bytes = bench.v4(vector, tcp);
            let expected = ((hash % 128 % 4) as u16, hash, rx_kind::IPV4 | l4);
            assert_eq!(bench.receive(&bytes), Some(expected), "{vector:?}");
        }
        for vector in &VECTORS6 {
            let hash = if pick == 5 { vector.5 } else { vector.4 };
            let bytes = bench.v6(vector, tcp);
            let expected = ((hash % 128 % 4) as u16, hash, rx_kind::IPV6 | l4);
            assert_eq!(bench.receive(&bytes), Some(expected), "{vector:?}");
        }
    }
}

#[test]
fn toeplitz_is_what_its_definition_says_bit_by_bit() {
    let toeplitz = Toeplitz::new(&KEY);
    let bit = |i: usize| (KEY[i / 8] >> (7 - i % 8)) & 1;
    for length in [1, 8, 12, 32, 36] {
        let input: Vec<u8> = (0..length).map(|i| (i * 73 + 5) as u8).collect();
        let mut expected = 0u32;
        for i in 0..length * 8 {
            if (input[i / 8] >> (7 - i % 8)) & 1 != 0 {
                expected ^= (0..32).fold(0, |word, j| (word << 1) | u32::from(bit(i + j)));
            }
        }
        assert_eq!(toeplitz.hash(&input), expected, "{length} bytes");
    }
}

#[test]
fn each_type_decides_about_its_own_frames() {
    for (bit, v6, tcp) in [
        (hash_types::TCP4, false, true),
        (hash_types::UDP4, false, false),
        (hash_types::TCP6, true, true),
        (hash_types::UDP6, true, false),
    ] {
        let mut with = Bench::new(bit, 0);
        let mut without = Bench::new(hash_types::ALL & !bit, 0);
        let mut none = Bench::new(
            hash_types::ALL & !(bit | hash_types::IPV4 | hash_types::IPV6),
            0,
        );
        let bytes = if v6 {
            with.v6(&VECTORS6[0], tcp)
        } else {
            with.v4(&VECTORS4[0], tcp)
        };
        let vector = if v6 { VECTORS6[0] } else { VECTORS4[0] };
        let kinds = rx_kind::HASH_L3 | rx_kind::HASH_L4;
        let got = with.receive(&bytes).unwrap();
        assert_eq!((got.1, got.2 & kinds), (vector.5, kinds));
        let got = without.receive(&bytes).unwrap();
        assert_eq!((got.1, got.2 & kinds), (vector.4, rx_kind::HASH_L3));
        let got = none.receive(&bytes).unwrap();
        assert_eq!((got.0, got.1, got.2 & kinds), (0, 0, 0));
    }
}

#[test]
fn symmetric_input_gives_both_directions_one_hash() {
    let mac = Bench::new(0, 0).mac;
    let forth = flow((mac, PEER), ([10, 0, 0, 1], 1000), ([10, 0, 0, 2], 2000));
    let back = flow((mac, PEER), ([10, 0, 0, 2], 2000), ([10, 0, 0, 1], 1000));
    let hash =
        |input: u16, bytes: &[u8]| Bench::new(hash_types::ALL, input).receive(bytes).unwrap().1;
    assert_ne!(hash(0, &forth), hash(0, &back));
    let toeplitz = Toeplitz::new(&KEY);
    let xor = [0, 0, 0, 3, 0, 0, 0, 3, 0x04, 0x38, 0x04, 0x38];
    assert_eq!(hash(hash_input::SYMMETRIC_XOR, &forth), toeplitz.hash(&xor));
    assert_eq!(hash(hash_input::SYMMETRIC_XOR, &back), toeplitz.hash(&xor));
    let or_xor = [10, 0, 0, 3, 0, 0, 0, 3, 0x07, 0xf8, 0x04, 0x38];
    assert_eq!(
        hash(hash_input::SYMMETRIC_OR_XOR, &forth),
        toeplitz.hash(&or_xor)
    );
    assert_eq!(
        hash(hash_input::SYMMETRIC_OR_XOR, &back),
        toeplitz.hash(&or_xor)
    );
}

#[test]
fn fields_that_are_left_out_count_as_zero() {
    let toeplitz = Toeplitz::new(&KEY);
    let input = [10, 0, 0, 1, 10, 0, 0, 2, 3, 0xe8, 7, 0xd0];
    let ranges = [
        (hash_fields::SOURCE, 0..4),
        (hash_fields::DESTINATION, 4..8),
        (hash_fields::SOURCE_PORT, 8..10),
        (hash_fields::DESTINATION_PORT, 10..12),
    ];
    for omit in 0..16u8 {
        let mut bench = Bench::new(0, 0);
        bench.context(0, |config| {
            config.types = hash_types::ALL;
            config.omit[4] = omit;
        });
        let bytes = flow(
            (bench.mac, PEER),
            ([10, 0, 0, 1], 1000),
            ([10, 0, 0, 2], 2000),
        );
        let mut expected = input;
        for (bit, range) in &ranges {
            if omit & bit != 0 {
                expected[range.clone()].fill(0);
            }
        }
        let (_, hash, kind) = bench.receive(&bytes).unwrap();
        assert_eq!(hash, toeplitz.hash(&expected), "{omit:#x}");
        assert_eq!(kind & rx_kind::HASH_L4 != 0, omit & 12 != 12, "{omit:#x}");
    }
}

#[test]
fn without_a_context_frames_go_to_the_first_queue() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, Function::Pf);
    let mut later = Rx::new(&mut dut, &mut driver, 0, 5, 1, 6, 2048);
    driver.enable(&mut dut, 0);
    let mac = driver.info(&mut dut, 0).mac;
    let bytes = flow((mac, PEER), ([10, 0, 0, 1], 1), ([10, 0, 0, 2], 2));
    dut.receive(0, &bytes);
    assert_eq!(later.take(&mut dut).len(), 1);
    let mut first = Rx::new(&mut dut, &mut driver, 0, 3, 2, 6, 2048);
    dut.receive(0, &bytes);
    assert_eq!(
        (first.take(&mut dut).len(), later.take(&mut dut).len()),
        (1, 0)
    );
}

#[test]
fn a_table_that_names_a_queue_that_is_gone_drops() {
    let mut bench = Bench::new(hash_types::ALL, 0);
    bench
        .driver
        .set_ok(&mut bench.dut, Opcode::RX_DESTROY, 0, [2, 0, 0, 0, 0]);
    let (mut taken, mut dropped) = (0, 0);
    for port in 0..64 {
        let bytes = flow((bench.mac, PEER), ([10, 0, 0, 1], port), ([10, 0, 0, 2], 2));
        match bench.receive(&bytes) {
            Some((queue, ..)) => {
                assert_ne!(queue, 2);
                taken += 1;
            }
            None => dropped += 1,
        }
    }
    assert!(taken > 0 && dropped > 0);
    assert_eq!(bench.driver.stats(&mut bench.dut, 0).rx_disabled, dropped);
}

fn rule(location: u32, keys: u16, queue: u16) -> SteeringRule {
    SteeringRule {
        location,
        keys,
        action: SteeringAction::QUEUE,
        queue,
        ether_type: if keys & keys::ETHER_TYPE != 0 {
            [8, 0]
        } else {
            [0; 2]
        },
        ..SteeringRule::ZERO
    }
}

impl Bench {
    fn set(&mut self, rule: SteeringRule) {
        self.driver
            .request_ok(&mut self.dut, Opcode::STEERING_SET, 0, 0, &rule.to_words());
    }

    fn clear(&mut self, location: u32) {
        let parameters = SteeringId { location }.to_words();
        self.driver
            .set_ok(&mut self.dut, Opcode::STEERING_CLEAR, 0, parameters);
    }
}

#[test]
fn each_key_decides_at_its_bits() {
    let mut bench = Bench::new(0, 0);
    let macs = (bench.mac, PEER);
    let bytes = flow(macs, ([192, 0, 2, 1], 0x1234), ([198, 51, 100, 7], 0x5678));
    let ip = keys::ETHER_TYPE;
    let address = |bytes: [u8; 4]| {
        let mut all = [0; 16];
        all[..4].copy_from_slice(&bytes);
        all
    };
    let tag = tagged(&bytes, 0x8100, 0xa123);
    let stag = tagged(&bytes, 0x88a8, 0xa123);
    let r = |keys| rule(1, keys, 3);
    let cases: Vec<(SteeringRule, &[u8], bool)> = vec![
        (r(ip), &bytes, true),
        (
            SteeringRule {
                ether_type: [0x86, 0xdd],
                ..r(ip)
            },
            &bytes,
            false,
        ),
        (
            SteeringRule {
                destination_mac: bench.mac,
                destination_mac_mask: [255; 6],
                ..r(keys::DESTINATION_MAC)
            },
            &bytes,
            true,
        ),
        (
            SteeringRule {
                source_mac: [0, 0xaa, 0, 0, 0, 0],
                source_mac_mask: [0, 255, 0, 0, 0, 0],
                ..r(keys::SOURCE_MAC)
            },
            &bytes,
            true,
        ),
        (
            SteeringRule {
                source_mac: [0, 0xab, 0, 0, 0, 0],
                source_mac_mask: [0, 255, 0, 0, 0, 0],
                ..r(keys::SOURCE_MAC)
            },
            &bytes,
            false,
        ),
        (
            SteeringRule {
                vlan: [1, 0x23],
                vlan_mask: [15, 255],
                ..r(keys::VLAN)
            },
            &tag,
            true,
        ),
        (
            SteeringRule {
                vlan: [0xa0, 0],
                vlan_mask: [0xe0, 0],
                ..r(keys::VLAN)
            },
            &tag,
            true,
        ),
        (
            SteeringRule {
                vlan: [1, 0x22],
                vlan_mask: [15, 255],
                ..r(keys::VLAN)
            },
            &tag,
            false,
        ),
        (
            SteeringRule {
                vlan: [1, 0x23],
                vlan_mask: [15, 255],
                ..r(keys::VLAN)
            },
            &stag,
            false,
        ),
        (r(keys::VLAN), &bytes, false),
        (
            SteeringRule {
                protocol: 17,
                ..r(ip | keys::PROTOCOL)
            },
            &bytes,
            true,
        ),
        (
            SteeringRule {
                protocol: 6,
                ..r(ip | keys::PROTOCOL)
            },
            &tag,
            false,
        ),
        (
            SteeringRule {
                source: address([192, 0, 2, 0]),
                source_mask: address([255, 255, 255, 0]),
                ..r(ip | keys::SOURCE)
            },
            &tag,
            true,
        ),
        (
            SteeringRule {
                source: address([192, 0, 2, 2]),
                source_mask: address([255; 4]),
                ..r(ip | keys::SOURCE)
            },
            &bytes,
            false,
        ),
        (
            SteeringRule {
                destination: address([0, 0, 0, 7]),
                destination_mask: address([0, 0, 0, 255]),
                ..r(ip | keys::DESTINATION)
            },
            &bytes,
            true,
        ),
        (
            SteeringRule {
                source_port: [0x12, 0x34],
                source_port_mask: [255; 2],
                ..r(ip | keys::SOURCE_PORT)
            },
            &bytes,
            true,
        ),
        (
            SteeringRule {
                source_port: [0x12, 0x35],
                source_port_mask: [255; 2],
                ..r(ip | keys::SOURCE_PORT)
            },
            &bytes,
            false,
        ),
        (
            SteeringRule {
                destination_port: [0x50, 0],
                destination_port_mask: [0xf0, 0],
                ..r(ip | keys::DESTINATION_PORT)
            },
            &bytes,
            true,
        ),
        (
            SteeringRule {
                tos: 0,
                tos_mask: 0xff,
                ..r(ip | keys::TOS)
            },
            &bytes,
            true,
        ),
        (
            SteeringRule {
                tos: 4,
                tos_mask: 4,
                ..r(ip | keys::TOS)
            },
            &bytes,
            false,
        ),
    ];
    for (rule, bytes, matches) in cases {
        bench.set(rule);
        let queue = bench.receive(bytes).unwrap().0;
        assert_eq!(queue == 3, matches, "{rule:?}");
        bench.clear(1);
    }
    let mut v6 = tcp(macs, Ip::V6Extensions, &[], false, &[1, 2, 3]);
    let mut all = rule(
        1,
        keys::ETHER_TYPE | keys::PROTOCOL | keys::DESTINATION_PORT | keys::TOS,
        2,
    );
    (all.ether_type, all.protocol, all.tos, all.tos_mask) = ([0x86, 0xdd], 6, 0x28, 0xfc);
    (all.destination_port, all.destination_port_mask) = ([0, 80], [255; 2]);
    bench.set(all);
    assert_eq!(bench.receive(&v6.bytes).unwrap().0, 2);
    v6.bytes[v6.l4 + 3] ^= 1;
    assert_eq!(bench.receive(&v6.bytes).unwrap().0, 0);
}

#[test]
fn the_first_location_wins_and_actions_do_what_they_say() {
    let mut bench = Bench::new(hash_types::ALL, 0);
    let bytes = flow((bench.mac, PEER), ([192, 0, 2, 1], 1), ([192, 0, 2, 2], 2));
    let hash = bench.receive(&bytes).unwrap().1;
    bench.set(rule(20, keys::ETHER_TYPE, 1));
    bench.set(rule(10, keys::ETHER_TYPE, 2));
    assert_eq!(bench.receive(&bytes).unwrap().0, 2);
    assert_eq!(bench.receive(&bytes).unwrap().1, hash);
    bench.set(SteeringRule {
        action: SteeringAction::DROP,
        queue: 0,
        ..rule(5, keys::ETHER_TYPE, 0)
    });
    assert_eq!(bench.receive(&bytes), None);
    assert_eq!(bench.driver.stats(&mut bench.dut, 0).rx_steering, 1);
    bench.clear(5);
    bench.clear(10);
    assert_eq!(bench.receive(&bytes).unwrap().0, 1);
    bench.context(6, |config| {
        config.types = hash_types::ALL;
        config.table = [1; 256];
    });
    let named = SteeringRule {
        action: SteeringAction::CONTEXT,
        context: 6,
        ..rule(3, keys::ETHER_TYPE, 2)
    };
    bench.set(named);
    assert_eq!(bench.receive(&bytes).unwrap().0, 3);
    bench.set(SteeringRule { queue: 3, ..named });
    assert_eq!(bench.receive(&bytes), None);
    assert_eq!(bench.driver.stats(&mut bench.dut, 0).rx_disabled, 1);
}

#[test]
fn without_the_flag_the_hash_steers_but_is_not_told() {
    let mut bench = Bench::new(hash_types::ALL, 0);
    let bytes = flow((bench.mac, PEER), ([192, 0, 2, 1], 1), ([192, 0, 2, 2], 2));
    let (queue, hash, _) = bench.receive(&bytes).unwrap();
    assert_ne!(hash, 0);
    bench
        .driver
        .flags(&mut bench.dut, 0, 0, vport_flags::RX_HASH);
    assert_eq!(
        bench.receive(&bytes),
        Some((queue, 0, rx_kind::IPV4 | rx_kind::UDP))
    );
}
