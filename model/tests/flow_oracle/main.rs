// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The device's flow engine against the oracle of `oxnic_offload`: two implementations, written apart, that have to agree about
//! any frame and any rules.
//!
//! `OXNIC_FLOW_CASES` multiplies the number of cases. A failure is shrunk, and its seed is noted beside this file.

mod case;
mod device;
mod fields;
mod frames;
mod oracle;
mod rules;

use proptest::test_runner::Config;

/// So many cases, times what the environment says.
pub fn config(cases: u32) -> Config {
    let times = std::env::var("OXNIC_FLOW_CASES").ok();
    let times = times.and_then(|times| times.parse().ok()).unwrap_or(1);
    Config {
        cases: cases.saturating_mul(times),
        ..Config::default()
    }
}
