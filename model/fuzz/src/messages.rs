// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The input is what a client sends, split into writes; the device must answer or hang up, and not fall over.

use crate::device::device;
use oxnic_model::vfio::session::Session;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// Most bytes that go into the socket before the device reads.
const PIECE: usize = 2000;

/// Runs the target.
pub fn run(data: &[u8]) {
    let Ok((mut client, server)) = UnixStream::pair() else {
        return;
    };
    let Ok(mut session) = Session::new(server) else {
        return;
    };
    if client.set_nonblocking(true).is_err() {
        return;
    }
    let mut device = device();
    let mut answers = vec![0; 1 << 16];
    for piece in data.chunks(PIECE) {
        if client.write_all(piece).is_err() || session.serve(&mut device).is_err() {
            return;
        }
        let _ = client.read(&mut answers);
    }
}
