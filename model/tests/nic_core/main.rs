// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Tests of the NIC core from the driver's side, without a kernel: one subject a file.

mod bringup;
mod clock;
mod commands;
mod datapath;
mod eswitch;
mod firmware;
mod flow;
mod functions;
mod hashing;
mod health;
mod hostile;
mod interrupts;
mod lies;
mod mock;
mod offload;
mod packets;
mod rates;
mod statistics;
mod switch;
