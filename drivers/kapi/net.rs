// SPDX-License-Identifier: GPL-2.0-only

//! Network devices: what a driver of a multi-queue Ethernet function needs of the networking core.
//!
//! [`netdev`] has the device and its operations, [`queue`] the transmit queues as the core sees them, [`napi`] the poll
//! contexts. Packets are [`skb::SkBuff`]s; while the device works on them, [`tx_buffers`] and [`rx_buffers`] own them. [`xdp`] has programs that see packets before the stack does.

pub mod ethtool;
pub mod features;
pub mod flow;
pub mod moderation;
pub mod napi;
pub mod netdev;
pub mod queue;
pub mod rx_buffers;
pub mod skb;
pub mod stats;
pub mod timestamp;
pub mod tx_buffers;
pub mod underlay;
pub mod vf;
pub mod xdp;
