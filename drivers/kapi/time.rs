// SPDX-License-Identifier: GPL-2.0-only

//! Waiting for a condition that nobody signals.

use kernel::{
    prelude::*,
    time::{delay::fsleep, Delta, Instant, Monotonic},
};

/// Asks `done` until it gives something, first at once, then at growing intervals of 20 µs to 2 ms; sleeps in between.
///
/// # Errors
///
/// `ETIMEDOUT`: nothing within so many milliseconds (asked once more after that); whatever `done` fails with.
pub fn poll<R>(timeout_ms: u32, mut done: impl FnMut() -> Result<Option<R>>) -> Result<R> {
    let start = Instant::<Monotonic>::now();
    let mut pause = 20;
    loop {
        let late = start.elapsed().as_millis() >= timeout_ms.into();
        if let Some(value) = done()? {
            return Ok(value);
        }
        if late {
            return Err(ETIMEDOUT);
        }
        fsleep(Delta::from_micros(pause));
        pause = (pause * 2).min(2000);
    }
}

/// Milliseconds since the system was started; for intervals.
pub fn now_ms() -> u64 {
    // SAFETY: Reads a clock.
    unsafe { oxnic_bindings::ktime_get_mono_fast_ns() / 1_000_000 }
}
