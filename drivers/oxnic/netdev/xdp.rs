// SPDX-License-Identifier: GPL-2.0-only

//! Attaching XDP programs to an interface, replacing and detaching them.
//!
//! Only the first one attached and the last one detached have the queues made anew, for buffers are laid out differently for
//! XDP. In between, programs are exchanged while packets are received.

use super::{Config, NetPort};
use crate::queue::xdp::MTU_MAX;
use kernel::prelude::*;
use oxnic_kapi::extack::{refuse, Extack};
use oxnic_kapi::net::netdev::Rtnl;
use oxnic_kapi::net::xdp::Program;

impl NetPort {
    /// Attaches a program in the place of the one in force, if there is one.
    pub(super) fn attach_program(
        &self,
        netdev: &Rtnl,
        program: Program,
        extack: Option<&mut Extack>,
    ) -> Result {
        let mtu = netdev.mtu();
        if mtu > MTU_MAX && !program.has_frags() {
            return Err(refuse(
                extack,
                EOPNOTSUPP,
                fmt!("program is not xdp.frags: MTU {} is over {}", mtu, MTU_MAX),
            ));
        }
        let mut state = self.state.lock();
        if !state.config.xdp {
            let config = Config {
                xdp: true,
                ..state.config
            };
            self.replace(netdev, &mut state, config, mtu)
                .map_err(|error| {
                    refuse(
                        extack,
                        error,
                        fmt!("queues for XDP cannot be had, the old ones stay"),
                    )
                })?;
        }
        self.program.replace(Some(program));
        Ok(())
    }

    /// Takes the program away. Where the queues cannot be made anew for it, they stay as they are, and do without a program.
    pub(super) fn detach_program(&self, netdev: &Rtnl) {
        self.program.replace(None);
        let mut state = self.state.lock();
        if !state.config.xdp {
            return;
        }
        let config = Config {
            xdp: false,
            ..state.config
        };
        if let Err(error) = self.replace(netdev, &mut state, config, netdev.mtu()) {
            dev_info!(
                self.device.binding(),
                "{}: queues stay laid out for XDP until they are made anew: {:?}\n",
                netdev.name(),
                error
            );
        }
    }

    /// Whether the program in force goes with an MTU.
    ///
    /// # Errors
    ///
    /// [`EINVAL`]: it does not, and the log says why: the core has no way to tell the user.
    pub(super) fn check_mtu(&self, netdev: &Rtnl, mtu: u32) -> Result {
        if mtu <= MTU_MAX || !self.program.wants_one_buffer(netdev) {
            return Ok(());
        }
        dev_info!(
            self.device.binding(),
            "{}: the XDP program is not xdp.frags, so that the MTU is at most {}\n",
            netdev.name(),
            MTU_MAX
        );
        Err(EINVAL)
    }
}
