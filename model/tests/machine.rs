// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The whole device with a test core, over its sockets, as a client meets it.

mod support;

use clap::Parser;
use oxnic_model::cli::{Options, run};
use oxnic_model::host::Function;
use rustix::io::{pread, pwrite};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use support::Folder;
use support::client::{CONFIG, Client, Failure, MEMORY_SIZE, MEMORY64, access, bar, message};
use support::core::{
    CARRIERS, DMA_DATA, DMA_READ, DMA_WRITE, DOORBELLS, PATTERN, RAISE, RECEIVED, RESETS, TRANSMIT,
    TestCore, VF_VECTORS, VFS,
};

const PF: Function = Function::Pf;

/// Runs a device for the rest of the test process, with these arguments after its sockets.
fn start(folder: &Folder, arguments: &[&str]) {
    let mut words = vec![
        "oxnic-device".to_string(),
        "--socket".to_string(),
        folder.path("device").display().to_string(),
        "--control".to_string(),
        folder.path("control").display().to_string(),
    ];
    words.extend(arguments.iter().map(ToString::to_string));
    let options = Options::try_parse_from(words).unwrap();
    std::thread::spawn(move || run(&options, TestCore::make).unwrap());
}

fn booted(folder: &Folder) -> Client {
    let mut client = Client::connect(&folder.path("device"));
    client.boot();
    client
}

/// Sends a command to the control channel and returns the answer.
fn command(folder: &Folder, request: Value) -> Value {
    let mut socket = UnixStream::connect(folder.path("control")).unwrap();
    writeln!(socket, "{request}").unwrap();
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

#[test]
fn memory_that_is_mapped_is_read_and_written_and_nothing_else() {
    let folder = Folder::new();
    start(&folder, &[]);
    let mut client = booted(&folder);
    let memory = client.map_memory();
    pwrite(&memory, b"a driver", 0x1000).unwrap();
    client.set_register(PF, DMA_READ, 0x1000);
    assert_eq!(
        client.register(PF, DMA_DATA),
        u64::from_le_bytes(*b"a driver")
    );
    client.set_register(PF, DMA_WRITE, 0x2003);
    client.register(PF, 0);
    let mut found = [0; PATTERN.len()];
    pread(&memory, &mut found[..], 0x2003).unwrap();
    assert_eq!(found, PATTERN);
    for address in [MEMORY_SIZE, MEMORY_SIZE - 4, u64::MAX - 3, 0xFEE0_0000] {
        client.set_register(PF, DMA_READ, address);
        assert_eq!(client.register(PF, DMA_DATA), u64::MAX);
    }
    let stats = command(&folder, json!({"cmd": "stats"}));
    assert_eq!(stats["dma"]["dma_unmapped"], 4);
    assert_eq!(stats["nic"]["core"], "test");
}

#[test]
fn without_bus_mastering_there_is_no_dma() {
    let folder = Folder::new();
    start(&folder, &[]);
    let mut client = booted(&folder);
    let _memory = client.map_memory();
    client.set_config(1, 0, 0x04, &[0x02, 0]);
    client.set_register(PF, DMA_READ, 0);
    assert_eq!(client.register(PF, DMA_DATA), u64::MAX);
    client.set_config(1, 0, 0x04, &[0x06, 0]);
    client.set_register(PF, DMA_READ, 0);
    assert_eq!(client.register(PF, DMA_DATA), 0);
}

#[test]
fn each_function_interrupts_with_its_own_message() {
    let folder = Folder::new();
    start(&folder, &[]);
    let mut client = booted(&folder);
    client.enable_vfs(128);
    assert_eq!(client.register(PF, VFS), 128);
    for function in [PF, Function::Vf(0), Function::Vf(127)] {
        client.enable(function);
        client.set_register(function, RAISE, 0);
        assert_eq!(client.interrupt(), message(function));
    }
    client.set_register(Function::Vf(5), RAISE, 0); // not enabled
    client.set_register(PF, RAISE, 99); // no such vector
    client.register(PF, 0);
    assert!(client.interrupts.is_empty());
    let stats = command(&folder, json!({"cmd": "stats"}));
    assert_eq!(stats["pci"]["interrupts_dropped"], 2);
}

#[test]
fn vf_vectors_follow_the_core() {
    let folder = Folder::new();
    start(&folder, &[]);
    let mut client = booted(&folder);
    client.enable_vfs(2);
    assert_eq!(client.config32(1, 2, 0x70) >> 16, 3);
    client.set_register(PF, VF_VECTORS, 17);
    assert_eq!(client.config32(1, 2, 0x70) >> 16, 16);
}

#[test]
fn coalesced_writes_are_done_in_order() {
    let folder = Folder::new();
    start(&folder, &[]);
    let mut client = booted(&folder);
    let mut body = 3u64.to_le_bytes().to_vec();
    for value in [1u64, 2, 3] {
        body.extend_from_slice(&access(MEMORY64, bar(PF, 0) + 0x100, 8));
        body.extend_from_slice(&value.to_le_bytes());
    }
    client.send(15, 0x10, &body);
    assert_eq!(client.register(PF, 0x100), 3);
    body[0] = 200;
    assert_eq!(client.request(15, &body), Err(Failure(22)));
}

#[test]
fn doorbells_are_counted_and_read_as_zero() {
    let folder = Folder::new();
    start(&folder, &["--chaos", "doorbell=%2"]);
    let mut client = booted(&folder);
    for _ in 0..10 {
        client.post(MEMORY64, bar(PF, 1), &[0xFF; 8]);
    }
    assert_eq!(client.read(MEMORY64, bar(PF, 1), 8).unwrap(), [0; 8]);
    assert_eq!(client.register(PF, DOORBELLS), 5);
    let answer = command(&folder, json!({"cmd": "chaos", "spec": "mmio-read=1+"}));
    assert_eq!(answer, json!({"ok": true}));
    assert_eq!(client.register(PF, DOORBELLS), u64::MAX);
    let answer = command(&folder, json!({"cmd": "chaos", "spec": "nonsense"}));
    assert_eq!(answer["ok"], false);
}

#[test]
fn a_client_that_goes_leaves_a_fresh_device_behind() {
    let folder = Folder::new();
    start(&folder, &[]);
    let mut client = booted(&folder);
    client.map_memory();
    client.enable_vfs(4);
    assert_eq!(client.register(PF, RESETS), 0);
    drop(client);
    let mut client = Client::connect(&folder.path("device"));
    assert_eq!(client.config32(1, 0, 0), u32::MAX);
    client.boot();
    assert_eq!(client.register(PF, RESETS), 1);
    assert_eq!(client.register(PF, VFS), 0);
    client.set_register(PF, DMA_READ, 0);
    assert_eq!(client.register(PF, DMA_DATA), u64::MAX);
}

#[test]
fn removal_leaves_ones_and_insertion_a_new_device() {
    let folder = Folder::new();
    start(&folder, &[]);
    let mut client = booted(&folder);
    client.enable_vfs(4);
    client.register(PF, 0);
    assert_eq!(
        command(&folder, json!({"cmd": "remove"})),
        json!({"ok": true})
    );
    assert_eq!(client.register(PF, 0), u64::MAX);
    assert_eq!(client.config32(1, 0, 0), u32::MAX);
    command(&folder, json!({"cmd": "insert"}));
    client.boot();
    assert_eq!(client.register(PF, VFS), 0);
    assert_eq!(client.register(PF, RESETS), 1);
}

#[test]
fn frames_pass_the_wire_and_the_cable_can_be_pulled() {
    let folder = Folder::new();
    let wire = format!("0=listen:{}", folder.path("wire").display());
    start(&folder, &["--port", &wire, "--port", "1=loopback"]);
    let mut client = booted(&folder);
    let mut peer = UnixStream::connect(folder.path("wire")).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    wait(|| client.register(PF, CARRIERS) == 3);
    client.set_register(PF, TRANSMIT, 100);
    let mut bytes = [0; 104];
    peer.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes[..5], [0, 0, 0, 100, 0x42]);
    peer.write_all(&bytes).unwrap();
    peer.write_all(&bytes).unwrap();
    wait(|| client.register(PF, RECEIVED) == 2);
    let down = json!({"cmd": "link", "port": 0, "up": false});
    assert_eq!(command(&folder, down), json!({"ok": true}));
    wait(|| client.register(PF, CARRIERS) == 2);
    client.set_register(PF, TRANSMIT, 100);
    client.register(PF, 0);
    let stats = command(&folder, json!({"cmd": "stats"}));
    assert_eq!(stats["wires"][0]["counters"]["tx_no_carrier"], 1);
    assert_eq!(stats["wires"][0]["counters"]["tx_frames"], 1);
}

#[test]
fn wrong_requests_fail_and_the_connection_lives() {
    let folder = Folder::new();
    start(&folder, &[]);
    let mut client = Client::connect(&folder.path("device"));
    let invalid = Err(Failure(22));
    assert_eq!(client.read(CONFIG, 255, 2), invalid);
    assert_eq!(client.read(CONFIG, u64::MAX, 2), invalid);
    assert_eq!(client.read(1, 0, 1), invalid);
    assert_eq!(client.read(9, 0, 1), invalid);
    assert_eq!(client.request(9, &[0; 15]), Err(Failure(22)));
    assert_eq!(client.request(10, &access(CONFIG, 0, 8)), Err(Failure(22)));
    assert_eq!(client.request(3, &[0; 23]), Err(Failure(22)));
    assert_eq!(client.request(99, &[]), Err(Failure(95)));
    assert_eq!(
        client.read(CONFIG, 0, 4).unwrap(),
        0x28C0_8086u32.to_le_bytes()
    );
}

#[test]
fn a_stream_that_is_no_vfio_user_is_closed_and_the_next_client_served() {
    let folder = Folder::new();
    start(&folder, &[]);
    let mut rude = Client::connect_rude(&folder.path("device"));
    rude.send_raw(&[0xFF; 1000]);
    assert!(rude.is_closed());
    let mut hasty = Client::connect_rude(&folder.path("device"));
    assert_eq!(hasty.read(CONFIG, 0, 4), Err(Failure(22))); // before its greeting
    drop(hasty);
    booted(&folder).register(PF, 0);
}

#[test]
fn commands_that_nobody_knows_are_refused() {
    let folder = Folder::new();
    start(&folder, &[]);
    let _client = booted(&folder);
    for request in [
        json!({"cmd": "dance"}),
        json!({"cmd": "fail"}),
        json!({"cmd": "link", "port": 1, "up": true}),
        json!({"cmd": "link", "port": 0}),
        json!({"cmd": "aer", "kind": "mild"}),
        json!({"cmd": "replay", "port": 0}),
        json!({"cmd": "chaos", "spec": "nic.what=1"}),
        json!({}),
    ] {
        assert_eq!(command(&folder, request.clone())["ok"], false, "{request}");
    }
}

#[test]
fn devices_of_one_process_are_strangers() {
    let folder = Folder::new();
    let second = folder.path("second").display().to_string();
    start(&folder, &["--socket", &second]);
    let mut one = booted(&folder);
    let mut two = Client::connect(&folder.path("second"));
    two.boot();
    one.enable_vfs(3);
    assert_eq!(one.register(PF, VFS), 3);
    assert_eq!(two.register(PF, VFS), 0);
    drop(one);
    assert_eq!(two.register(PF, RESETS), 0);
}

#[test]
fn two_devices_may_be_joined_back_to_back() {
    let folder = Folder::new();
    let second = folder.path("second").display().to_string();
    let wire = folder.path("wire").display().to_string();
    let ends = [format!("0.0=listen:{wire}"), format!("1.0=connect:{wire}")];
    start(
        &folder,
        &["--socket", &second, "--port", &ends[0], "--port", &ends[1]],
    );
    let mut one = booted(&folder);
    let mut two = Client::connect(&folder.path("second"));
    two.boot();
    wait(|| one.register(PF, CARRIERS) == 1 && two.register(PF, CARRIERS) == 1);
    for _ in 0..1000 {
        one.set_register(PF, TRANSMIT, 1514);
        two.set_register(PF, TRANSMIT, 60);
    }
    wait(|| two.register(PF, RECEIVED) == 1000 && one.register(PF, RECEIVED) == 1000);
}

#[test]
fn unmapped_memory_is_out_of_reach_at_once() {
    let folder = Folder::new();
    start(&folder, &[]);
    let mut client = booted(&folder);
    let _memory = client.map_memory();
    client.set_register(PF, DMA_READ, 0);
    assert_eq!(client.register(PF, DMA_DATA), 0);
    let mut body = vec![24, 0, 0, 0, 0, 0, 0, 0];
    body.extend_from_slice(&0u64.to_le_bytes());
    body.extend_from_slice(&MEMORY_SIZE.to_le_bytes());
    assert_eq!(client.request(3, &body).unwrap(), body);
    client.set_register(PF, DMA_READ, 0);
    assert_eq!(client.register(PF, DMA_DATA), u64::MAX);
}

#[test]
fn a_reset_of_the_machine_forgets_all_but_its_memory() {
    let folder = Folder::new();
    start(&folder, &[]);
    let mut client = booted(&folder);
    let _memory = client.map_memory();
    client.enable_vfs(7);
    client.request(13, &[]).unwrap();
    assert_eq!(client.config32(1, 0, 0), u32::MAX);
    client.boot();
    assert_eq!(client.register(PF, RESETS), 1);
    assert_eq!(client.register(PF, VFS), 0);
    client.set_register(PF, DMA_READ, 0);
    assert_eq!(client.register(PF, DMA_DATA), 0);
}

#[test]
fn interrupts_that_nobody_reads_hold_nothing_up() {
    let folder = Folder::new();
    start(&folder, &[]);
    let mut client = booted(&folder);
    client.register(PF, 0);
    let count = 50_000;
    for _ in 0..count {
        client.set_register(PF, RAISE, 0);
    }
    for _ in 0..count {
        assert_eq!(client.interrupt(), message(PF));
    }
}

fn wait(mut condition: impl FnMut() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("what was waited for did not come");
}
