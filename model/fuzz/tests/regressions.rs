// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Each target on what it once failed on (regressions/TARGET-*), on random input, and on random input with the structure
//! that a target's setup promises. Runs with any compiler: `cargo test -p oxnic-fuzz`.

use oxnic_abi::doorbell::{DoorbellKind, arm_index};
use oxnic_abi::firmware::{FirmwareActivation, FirmwareComponent};
use oxnic_abi::flow::completion::FlowCompletion;
use oxnic_abi::flow::request::FlowOp;
use oxnic_abi::ring::completion_flags;
use oxnic_fuzz::host::{Bench, MEMORY_START};
use oxnic_fuzz::{TARGETS, commands, descriptors, flow, images};
use oxnic_model::host::{Function, NicCore};
use oxnic_model::nic::firmware::Firmware;
use oxnic_model::nic::firmware::flash::MemoryFlash;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[test]
fn what_once_failed_does_not() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().to_string();
        if let Some((_, run)) = TARGETS
            .iter()
            .find(|(target, _)| name.starts_with(&format!("{target}-")))
        {
            run(&std::fs::read(&path).unwrap());
        }
    }
}

/// `OXNIC_FUZZ_SECONDS` has it go on for so long, from another start each time.
#[test]
fn random_input_is_survived() {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    run_rounds(&mut state);
    let wanted = std::env::var("OXNIC_FUZZ_SECONDS").ok();
    let wanted = wanted.map_or(0, |text| text.parse().unwrap());
    let start = Instant::now();
    if wanted != 0 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        state ^= now.as_nanos() as u64;
        println!("OXNIC_FUZZ_SECONDS: random input from {state:#x} on");
    }
    while start.elapsed() < Duration::from_secs(wanted) {
        run_rounds(&mut state);
    }
}

/// All targets on input that grows.
fn run_rounds(state: &mut u64) {
    for round in 0..1000 {
        let data: Vec<u8> = (0..round * 2)
            .map(|_| {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                (*state >> 32) as u8
            })
            .collect();
        for (_, run) in TARGETS {
            run(&data);
        }
    }
}

#[test]
fn the_handshake_is_accepted() {
    assert!(Bench::new().is_alive(Function::Pf));
}

/// If this fails, no request of the target gets to the flow engine.
#[test]
fn the_flow_queue_takes_requests() {
    let mut bench = Bench::new();
    commands::make_flow_queue(&mut bench, &mut 0);
    let mut bytes = [0; 64];
    bytes[0] = FlowOp::COUNTER.0;
    commands::request(&mut bench, bytes);
    bench.run();
    let result = FlowCompletion {
        head: 1,
        flags: completion_flags::GENERATION,
        ..FlowCompletion::ZERO
    };
    let words = result.to_words();
    let expected: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let at = (commands::FLOW_CQ - MEMORY_START) as usize;
    assert_eq!(bench.host.memory[at..at + 16], expected);
}

/// If this fails, the target's images are all refused before they are looked at.
#[test]
fn an_image_that_was_signed_is_taken_and_runs() {
    let mut firmware = Firmware::new(Box::new(MemoryFlash::default()));
    images::offer(&mut firmware, &images::usual(), 44).unwrap();
    firmware.activate(FirmwareActivation::RESET).unwrap();
    firmware.reset(false);
    let info = firmware.info(FirmwareComponent::PIPELINE).unwrap();
    assert_eq!(
        (info.running, &info.running_version[..5]),
        (1, &b"1.1.0"[..])
    );
}

#[test]
fn images_that_are_almost_right_are_survived() {
    for kind in 0..4 {
        for at in 0..images::usual().len() as u16 {
            let [low, high] = at.to_le_bytes();
            images::run(&[kind, at as u8, (at % 255) as u8, low, high, 1 << (at % 8)]);
        }
    }
}

/// If this fails, the target's rules are not there or take nothing.
#[test]
fn frames_are_taken_out_of_tunnels_and_changed() {
    // Port 0; a tunnel over IPv4, VXLAN without a group; 60 bytes of a frame within.
    let mut bench = flow::bench();
    let within = [[2; 12].to_vec(), vec![8, 0], vec![0; 46]].concat();
    let frame = flow::vxlan(&within);
    bench.nic.wire_receive(&mut bench.host, 0, &frame);
    bench.run();
    let request = serde_json::json!({"cmd": "stats"});
    let stats = bench.nic.control(&mut bench.host, &request);
    let flow = &stats.unwrap().unwrap()["flow"];
    assert_eq!(flow["objects"]["rules"], 4);
    assert_eq!(flow["counters"]["decapsulated"], 1, "{flow}");
    assert!(flow["counters"]["mirrored"].as_u64() > Some(1), "{flow}");
    assert!(bench.host.frames >= 1, "{flow}");
}

/// If this fails, the target's queues do not work, and it tests nothing.
#[test]
fn the_queues_carry_frames_both_ways() {
    let mut driver = descriptors::Driver::new();
    driver.send(&[0x42; 100]);
    assert_eq!(driver.bench.host.frames, 1);
    // Vector 1: one transmit completion seen, no receive completion.
    let index = arm_index(1, 0);
    driver
        .bench
        .doorbell(Function::Pf, DoorbellKind::ARM, 1, index);
    driver.bench.run();
    driver.offer_buffer();
    let mut frame = [0xFF; 100];
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
    let before = driver.bench.host.interrupts;
    driver.arrive(&frame);
    assert!(driver.bench.host.interrupts > before);
}
