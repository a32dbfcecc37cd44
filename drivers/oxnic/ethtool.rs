// SPDX-License-Identifier: GPL-2.0-only

//! What interfaces answer to ethtool, by subject. All of it works on [`crate::netdev::NetPort`]; the rules of locking are
//! those of its state.

mod channels;
mod coalesce;
mod fec;
mod identify;
mod info;
mod link;
mod module;
mod pause;
mod registers;
mod rings;
mod rss;
mod self_test;
mod standard_stats;
mod stats;
mod steering;
mod timestamp;
