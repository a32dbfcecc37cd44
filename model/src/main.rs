// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! `oxnic-device`: the reference device as a process.

use clap::Parser;
use oxnic_model::cli::{Options, run};
use oxnic_model::nic::Nic;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = Options::parse();
    env_logger::Builder::new().filter_level(options.log).init();
    match run(&options, |config, flash| {
        Box::new(Nic::with_flash(config.clone(), flash))
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("oxnic-device: {error:#}");
            ExitCode::FAILURE
        }
    }
}
