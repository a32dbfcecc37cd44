// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Wires of each kind, with a peer of the test's own.

use super::capture::Capture;
use super::frames::Frames;
use super::spec::WireSpec;
use super::stream::bind;
use super::{MAX_FRAME, Wire};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of its own for each test, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("oxnic-wire-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn framed(frame: &[u8]) -> Vec<u8> {
    let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(frame);
    bytes
}

fn received(wire: &mut Wire) -> Vec<Vec<u8>> {
    let mut frames = Frames::default();
    wire.receive(0, &mut frames);
    frames.iter().map(<[u8]>::to_vec).collect()
}

#[test]
fn a_listener_takes_one_peer_after_another() {
    let folder = Folder::new();
    let path = folder.path("wire");
    let mut wire = Wire::new(&WireSpec::Listen(path.clone()), None).unwrap();
    assert!(!wire.transmit(&[1; 60]));
    assert_eq!(wire.counters().tx_no_carrier, 1);
    for round in 0..2u8 {
        let mut peer = UnixStream::connect(&path).unwrap();
        assert!(received(&mut wire).is_empty());
        assert!(wire.has_carrier());
        assert!(wire.transmit(&[round; 60]));
        wire.flush();
        let mut bytes = [0; 64];
        peer.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes.to_vec(), framed(&[round; 60]));
        drop(peer);
        received(&mut wire);
        assert!(!wire.has_carrier());
    }
}

#[test]
fn a_connector_finds_its_peer_when_that_comes() {
    let folder = Folder::new();
    let path = folder.path("wire");
    let mut wire = Wire::new(&WireSpec::Connect(path.clone()), None).unwrap();
    let mut frames = Frames::default();
    wire.receive(1, &mut frames);
    assert!(!wire.has_carrier());
    let _listener = bind(&path).unwrap();
    let retry = wire.deadline().unwrap();
    wire.receive(retry, &mut frames);
    assert!(wire.has_carrier());
}

#[test]
fn frames_may_come_in_any_pieces() {
    let folder = Folder::new();
    let path = folder.path("wire");
    let mut wire = Wire::new(&WireSpec::Listen(path.clone()), None).unwrap();
    let mut peer = UnixStream::connect(&path).unwrap();
    let sent: Vec<Vec<u8>> = (1..50u8).map(|n| vec![n; usize::from(n) * 13]).collect();
    let stream: Vec<u8> = sent.iter().flat_map(|frame| framed(frame)).collect();
    let mut got = Vec::new();
    for piece in stream.chunks(97) {
        peer.write_all(piece).unwrap();
        got.extend(received(&mut wire));
    }
    assert_eq!(got, sent);
}

#[test]
fn a_stream_out_of_step_is_cut() {
    let folder = Folder::new();
    let path = folder.path("wire");
    let mut wire = Wire::new(&WireSpec::Listen(path.clone()), None).unwrap();
    let mut peer = UnixStream::connect(&path).unwrap();
    peer.write_all(&[0xFF; 100]).unwrap();
    received(&mut wire);
    assert!(!wire.has_carrier());
}

#[test]
fn the_longest_frame_passes_and_one_byte_more_does_not() {
    let folder = Folder::new();
    let path = folder.path("wire");
    let mut wire = Wire::new(&WireSpec::Listen(path.clone()), None).unwrap();
    let mut peer = UnixStream::connect(&path).unwrap();
    peer.write_all(&framed(&vec![1; MAX_FRAME])).unwrap();
    peer.write_all(&framed(&vec![2; MAX_FRAME + 1])).unwrap();
    peer.write_all(&framed(&[3; 60])).unwrap();
    assert_eq!(received(&mut wire), [vec![1; MAX_FRAME], vec![3; 60]]);
    assert_eq!(wire.counters().rx_oversize, 1);
}

#[test]
fn a_peer_that_does_not_read_costs_frames_and_nothing_else() {
    let folder = Folder::new();
    let path = folder.path("wire");
    let mut wire = Wire::new(&WireSpec::Listen(path.clone()), None).unwrap();
    let mut peer = UnixStream::connect(&path).unwrap();
    received(&mut wire);
    let mut sent = 0u32;
    while wire.transmit(&sent.to_be_bytes().repeat(250)) {
        sent += 1;
        wire.flush();
    }
    assert_eq!(wire.counters().tx_full, 1);
    assert_eq!(wire.counters().tx_frames, u64::from(sent));
    let mut bytes = [0; 1004];
    for number in 0..sent {
        wire.flush();
        peer.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes[4..8], number.to_be_bytes());
    }
}

#[test]
fn a_pulled_cable_passes_nothing_either_way() {
    let mut wire = Wire::new(&WireSpec::Loopback, None).unwrap();
    assert!(wire.transmit(&[1; 60]));
    wire.set_plugged(false);
    assert!(!wire.has_carrier());
    assert!(received(&mut wire).is_empty());
    assert!(!wire.transmit(&[2; 60]));
    wire.set_plugged(true);
    assert!(wire.transmit(&[3; 60]));
    assert_eq!(received(&mut wire), [vec![3; 60]]);
    assert_eq!(wire.counters().rx_unplugged, 1);
}

#[test]
fn what_is_recorded_can_be_replayed() {
    let folder = Folder::new();
    let path = folder.path("port0.pcap");
    let frames: Vec<Vec<u8>> = (0..5u8).map(|n| vec![n; 60 + usize::from(n)]).collect();
    let capture = Capture::create(&path).unwrap();
    let mut wire = Wire::new(&WireSpec::Loopback, Some(capture)).unwrap();
    for frame in &frames {
        wire.transmit(frame);
    }
    wire.flush();
    let mut replay = Wire::new(&WireSpec::Replay(path), None).unwrap();
    assert!(received(&mut replay).is_empty());
    replay.start_replay(0, 2).unwrap();
    let mut got = Vec::new();
    let mut batch = Frames::default();
    while let Some(due) = replay.deadline() {
        replay.receive(due, &mut batch);
        got.extend(batch.iter().map(<[u8]>::to_vec));
    }
    assert_eq!(got, [frames.clone(), frames].concat());
    assert!(wire.start_replay(0, 1).is_err());
}
