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

/// Sleeps for so many milliseconds, or a little longer.
pub fn sleep_ms(milliseconds: u32) {
    fsleep(Delta::from_millis(milliseconds.into()));
}

/// Milliseconds since the system was started; for intervals.
pub fn now_ms() -> u64 {
    // SAFETY: Reads a clock.
    unsafe { oxnic_bindings::ktime_get_mono_fast_ns() / 1_000_000 }
}

/// Nanoseconds since 1970 by the system's clock.
pub fn now_real_ns() -> u64 {
    // SAFETY: Reads a clock.
    unsafe { oxnic_bindings::ktime_get_real_fast_ns() }
}

#[cfg(CONFIG_KUNIT)]
#[kunit_tests(oxnic_kapi_time)]
mod tests {
    use super::*;

    #[test]
    fn polling_ends_with_the_answer_the_error_or_the_time() {
        let mut asked = 0;
        let answer = poll(1000, || {
            asked += 1;
            Ok((asked == 5).then_some(asked))
        });
        assert_eq!(answer, Ok(5));
        assert_eq!(poll::<()>(1000, || Err(ENODEV)), Err(ENODEV));
        let start = now_ms();
        assert_eq!(poll::<()>(20, || Ok(None)), Err(ETIMEDOUT));
        assert!(now_ms() - start >= 19);
    }

    #[test]
    fn an_answer_is_taken_even_without_time() {
        assert_eq!(poll(0, || Ok(Some(1))), Ok(1));
    }
}
