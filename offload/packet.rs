// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Frames into header positions and values.
//!
//! [`Frame`] is a view: borrowed bytes in the shape in which tc gets them (the outermost VLAN tag beside the data, not in it).
//! [`Dissection`] is a value: what the kernel's flow dissector finds for `cls_flower`. [`Tunnel`] is a value too: what a
//! tunnel device of Linux notes about the outer headers (`enc_` keys), together with where the inner frame starts.
//!
//! What `cls_flower` sees
//! ----------------------
//!
//! - A field whose header is not there, or is cut off, is **zero**, and zero matches: a rule `dst_port 0/0x8000` takes packets
//!   without ports. Only the address family says "no such header" (`fl_classify` clears the key before each mask).
//! - Tunnels are not entered: for flower the dissector stops before GRE, IPIP and 6in4. The exceptions are MPLS in IP, which
//!   changes the type of the packet (see [`mod@dissect`]), and BATMAN.
//! - A first fragment has no ports, flags of TCP or ICMP type either: flower does not ask for them.
//! - Lengths in headers are not checked. A port may come from padding behind an IPv4 packet whose total length ends earlier.
//!
//! Panic contract
//! --------------
//!
//! No function here panics, whatever the bytes. Loops are bounded by [`dissect::MAX_HEADERS`] or by the number of bytes.

pub mod arp;
pub mod bytes;
pub mod checksum;
pub mod dissect;
pub mod ethernet;
pub mod frame;
pub mod geneve;
pub mod gre;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod mpls;
pub mod ports;
pub mod shim;
pub mod tcp;
pub mod tunnel;
pub mod vlan;
pub mod vxlan;

pub use dissect::{dissect, Address, Dissection, Fragment};
pub use frame::{Frame, Refused};
pub use tunnel::{Tunnel, TunnelKind, TunnelPort};
pub use vlan::Tag;
