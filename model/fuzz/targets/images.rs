// SPDX-License-Identifier: GPL-2.0-only OR MIT
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oxnic_fuzz::images::run(data));
