// SPDX-License-Identifier: GPL-2.0-only

//! The front end of the flow engine: rules of tc on interfaces of an eswitch.
//!
//! [`block`] hears of the rules of an interface. [`read`] turns what the kernel says into the rules of `oxnic_offload`, or into a
//! [`refusal`] that the user sees; [`ports`] knows what the eswitch calls interfaces.

pub(crate) mod block;
pub(crate) mod ports;
pub(crate) mod read;
pub(crate) mod refusal;
