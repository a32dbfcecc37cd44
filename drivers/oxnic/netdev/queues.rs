// SPDX-License-Identifier: GPL-2.0-only

//! The queues of an interface as a whole: started with all that the state holds, and put in the place of others.
//!
//! The instance lock and the state's mutex are held throughout.

use super::{show_link, Config, NetPort, State, FRAGMENTS_MAX, HEADER, TAGS};
use crate::cmd;
use crate::queue::pair::PairConfig;
use crate::queue::set::QueueSet;
use crate::queue::tx::TxLimits;
use kernel::prelude::*;
use oxnic_abi::port::{port_fields, Fec, PortConfig};
use oxnic_abi::vport::{vport_fields, vport_flags, VportConfig};
use oxnic_kapi::net::netdev::{Locked, Rtnl};

impl NetPort {
    /// What a pair is made with for an MTU.
    fn pair_config(&self, config: &Config, mtu: u32) -> PairConfig {
        let caps = self.device.caps();
        PairConfig {
            tx_log2: config.tx_log2,
            rx_log2: config.rx_log2,
            frame: mtu + HEADER + TAGS,
            xdp: config.xdp,
            limits: TxLimits {
                frame_min: caps.frame_min.into(),
                fragments: u32::from(caps.tx_fragments).min(FRAGMENTS_MAX),
            },
        }
    }

    /// Allocates queues for an MTU. The device knows nothing of them yet.
    pub(crate) fn allocate(&self, netdev: &Locked, config: &Config, mtu: u32) -> Result<QueueSet> {
        let pair = self.pair_config(config, mtu);
        QueueSet::new(&self.device, netdev, self.share, config.pairs, pair, self)
    }

    /// Starts queues, and sets all that the state holds. On failure the queues are stopped, and the device lets no frames in and
    /// writes no statistics.
    pub(super) fn bring_up(
        &self,
        netdev: &Locked,
        state: &mut State,
        queues: &mut QueueSet,
        mtu: u32,
    ) -> Result {
        let slots = self.slots(netdev)?;
        queues.start(netdev, slots, &state.config.coalesce())?;
        let result = self.apply(netdev, state, mtu);
        if result.is_err() {
            // It may have failed after the device was let loose, and the interface will not be closed, as it was not opened.
            self.disable();
            queues.stop(netdev, slots);
        }
        result
    }

    /// Sets all that the state holds, then lets frames in.
    fn apply(&self, netdev: &Locked, state: &mut State, mtu: u32) -> Result {
        self.apply_wire(state.speed, state.fec)?;
        state.hashing.apply(self)?;
        state.steering.apply(self)?;
        state.filter.apply(self)?;
        let mut info = self.query()?;
        let address = netdev.address();
        if info.mac != address && info.mac_fixed == 0 {
            // A reset brings back the permanent one.
            self.configure(&VportConfig {
                fields: vport_fields::MAC,
                mac: address,
                ..VportConfig::ZERO
            })?;
        }
        let frame_max = (mtu + HEADER) as u16;
        self.configure(&VportConfig {
            fields: vport_fields::FRAME_MAX,
            frame_max,
            ..VportConfig::ZERO
        })?;
        self.apply_stamping(state)?;
        self.set_flags(state, vport_flags::ALL, vport_flags::ENABLED)?;
        self.device_stats.start(self);
        if let Some(stats) = &self.function_stats {
            stats.start(self);
        }
        info = self.query()?;
        show_link(netdev, &self.device, info.link == 1, info.speed);
        Ok(())
    }

    /// Sets the speed and the error correction of the wire port, as far as the user has set any: a reset of the PF forgets them.
    pub(super) fn apply_wire(&self, speed: u32, fec: Fec) -> Result {
        let mut config = PortConfig {
            speed,
            fec,
            ..PortConfig::ZERO
        };
        if speed != 0 {
            config.fields |= port_fields::SPEED;
        }
        if fec != Fec::AUTO {
            config.fields |= port_fields::FEC;
        }
        if config.fields == 0 {
            return Ok(());
        }
        cmd::port::set(&self.device, self.share.vport, &config).map_err(|error| self.failed(error))
    }

    /// No frames are let in any more. Errors do not matter: the queues are destroyed next.
    pub(super) fn disable(&self) {
        let _ = cmd::vport::set(
            &self.device,
            self.share.vport,
            &VportConfig {
                fields: vport_fields::FLAGS,
                flags: 0,
                flags_mask: vport_flags::ENABLED,
                ..VportConfig::ZERO
            },
        );
        self.device_stats.stop(self);
        if let Some(stats) = &self.function_stats {
            stats.stop(self);
        }
    }

    /// Gives up stopped queues. Their memory goes at once if the device has let go of it. It stays until the end of a reset that is under
    /// way; where one is only to come, nobody knows when, so the device may not use memory until then.
    pub(super) fn retire(&self, netdev: &Locked, state: &mut State, mut queues: QueueSet) {
        queues.release(netdev);
        if !queues.is_held() || self.device.is_silent() {
            return;
        }
        if state.resetting {
            // Without room for it, it would have to be leaked; there is, as it was made in prepare_reset().
            let _ = state.defunct.push(queues, GFP_KERNEL);
        } else {
            self.device.silence();
        }
    }

    /// Puts other queues in the place of those in use: allocates all memory first; where the new ones cannot be started, the
    /// old ones are again.
    ///
    /// # Errors
    ///
    /// All is as before, but for the rare case that the old queues cannot be started again: then the interface has no
    /// queues until it is opened anew, and this is logged.
    pub(crate) fn replace(
        &self,
        netdev: &Rtnl,
        state: &mut State,
        config: Config,
        mtu: u32,
    ) -> Result {
        if state.resetting {
            return Err(EBUSY);
        }
        if state.queues.is_none() {
            self.set_pairs(netdev, state, config.pairs)?;
            state.config = config;
            return Ok(());
        }
        let mut new = self.allocate(netdev, &config, mtu)?;
        let slots = self.slots(netdev)?;
        let Some(mut old) = state.queues.take() else {
            return Err(EINVAL);
        };
        let before = state.config;
        // The watchdog does not look at a detached device.
        netdev.detach();
        netdev.disable_tx();
        self.disable();
        old.stop(netdev, slots);
        let result = match old.is_held() {
            // The device is about to be reset, and then they start again.
            true => Err(EIO),
            false => self.set_pairs(netdev, state, config.pairs).and_then(|()| {
                state.config = config;
                self.bring_up(netdev, state, &mut new, mtu)
            }),
        };
        if result.is_ok() {
            old.release(netdev);
            state.queues = Some(new);
        } else {
            self.retire(netdev, state, new);
            state.config = before;
            let again = match old.is_held() {
                true => Err(EIO),
                false => self
                    .set_pairs(netdev, state, before.pairs)
                    .and_then(|()| old.rewind(netdev))
                    .and_then(|()| self.bring_up(netdev, state, &mut old, netdev.mtu())),
            };
            if let Err(error) = again {
                dev_err!(
                    self.device.binding(),
                    "{}: the old queues do not start again: {:?}\n",
                    netdev.name(),
                    error
                );
                netdev.carrier_off();
            }
            state.queues = Some(old);
        }
        netdev.restart_watchdog();
        netdev.attach();
        result
    }

    /// Sets moderation, now and for queues to come. `config` differs from the present one in nothing else.
    ///
    /// # Errors
    ///
    /// What the device says; some queues may have the new setting then, the present one stays for those to come.
    pub(crate) fn set_moderation(&self, state: &mut State, config: Config) -> Result {
        if state.is_live() {
            if let Some(queues) = &state.queues {
                queues.moderate(&config.coalesce())?;
            }
        }
        state.config = config;
        Ok(())
    }

    /// So many pairs are used; the hashing table follows if the user has not set it.
    fn set_pairs(&self, netdev: &Rtnl, state: &mut State, pairs: u16) -> Result {
        netdev.set_queues(pairs, pairs)?;
        state.hashing.set_pairs(netdev, pairs);
        Ok(())
    }
}
