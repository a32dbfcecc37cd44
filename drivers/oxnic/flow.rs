// SPDX-License-Identifier: GPL-2.0-only

//! The front end of the flow engine: rules of tc and nftables on interfaces of an eswitch.
//!
//! ```text
//!   block                  hears of the rules of an interface
//!   read, refusal, ports   what the kernel says, as a rule of oxnic_offload, or why not
//!   plan, desk             what oxnic_offload makes of it for the device, and room for that
//!   chain                  rules of nftables: as parts, in an order of their own
//!   install, take, tell    rules into the device and out of it: what they need, and what the device is told
//!   restore, on_way,
//!   outage                 back into the device after a reset, and when that is tried again
//!   missing, gap, gaps,
//!   interim                what the device has not taken back, and what stands in for it
//!   count                  what rules have seen
//!   engine, holder, tables,
//!   store, extras, place,
//!   holders, member,
//!   leftover, renumber     what is in the device: tables of a block, its rules, their order, and which bindings have them
//!   template, counters,
//!   meters, samplers,
//!   encaps, wanted         objects that rules name; ids: their numbers; there: whether the device has them
//!   shared, alone, kept,
//!   kept_rule, change,
//!   parts, single          actions that tc has by themselves; what they and rules with them do; and when that is changed
//!   upcall                 frames that come up, and where they go on
//!   tunnel, tunnels        tunnel devices, and how packets get to their tables: by guard (tables), own_rule, exactly (rules of the driver's
//!                          own), locals (addresses of the host)
//!   upper, uppers          VLAN devices, likewise
//!   occupancy              how full the device is, for users
//!   refused, reporter      rules that were refused, and why; these and missing ones, for users
//!   outside, follow        what the kernel says of devices of others, of routes and neighbours
//!   queues, queue, ticket,
//!   request                the rings by which the device is told of rules
//!   limits                 what of the device's limits is made use of
//!   modes                  what the modes of the eswitch mean for rules
//! ```

mod alone;
pub(crate) mod block;
mod chain;
mod change;
mod count;
mod counters;
mod desk;
mod encaps;
pub(crate) mod engine;
mod exactly;
mod extras;
pub(crate) mod follow;
mod gap;
mod gaps;
mod guard;
mod health;
pub(crate) mod holder;
mod holders;
mod ids;
mod install;
mod interim;
mod kept;
mod kept_rule;
mod leftover;
mod limits;
mod locals;
mod member;
mod meters;
mod missing;
mod mixed;
mod modes;
pub(crate) mod occupancy;
mod on_way;
mod outage;
pub(crate) mod outside;
mod own_rule;
mod parts;
mod place;
mod plan;
pub(crate) mod ports;
mod queue;
mod queues;
pub(crate) mod read;
pub(crate) mod refusal;
pub(crate) mod refused;
mod renumber;
pub(crate) mod reporter;
mod request;
mod restore;
mod samplers;
mod shared;
mod single;
mod store;
mod tables;
mod take;
mod tell;
mod template;
mod there;
mod ticket;
mod tunnel;
mod tunnels;
pub(crate) mod upcall;
mod upper;
mod uppers;
mod wanted;
