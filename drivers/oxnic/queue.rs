// SPDX-License-Identifier: GPL-2.0-only

//! Queues of an interface: a pair of a transmit and a receive queue for each vector, with one NAPI instance.
//!
//! [`tx`] and [`rx`] are the rings and what is done for each packet, [`pair`] joins them with vector and NAPI (`poll`),
//! [`coalesce`] is how long interrupts wait, [`set`] is what an open interface has. [`xdp`] is the path of packets that a
//! program sees first.

pub(crate) mod coalesce;
pub(crate) mod pair;
mod poll;
pub(crate) mod rx;
pub(crate) mod set;
pub(crate) mod stamps;
pub(crate) mod stats;
mod tell;
pub(crate) mod tx;
pub(crate) mod xdp;
