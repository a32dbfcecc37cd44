// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What the tests put around the device: a client in the place of QEMU, and a NIC core that does what it is told.

pub mod client;
pub mod core;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder for a test's sockets and files, gone at its end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("oxnic-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
