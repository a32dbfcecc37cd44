// SPDX-License-Identifier: GPL-2.0-only

//! `ethtool --show-fec`, `--set-fec`: forward error correction of the wire port. A VF has no wire.

use crate::cmd;
use crate::netdev::NetPort;
use kernel::prelude::*;
use oxnic_abi::port::{self, port_fields, PortConfig};
use oxnic_kapi::net::ethtool::fec::{Fec, FecMode, FecStats, Operations};
use oxnic_kapi::net::netdev::Locked;

/// The device's word and ethtool's for the same.
const MODES: [(port::Fec, FecMode); 4] = [
    (port::Fec::AUTO, FecMode::Auto),
    (port::Fec::OFF, FecMode::Off),
    (port::Fec::BASE_R, FecMode::BaseR),
    (port::Fec::REED_SOLOMON, FecMode::ReedSolomon),
];

fn mode(fec: port::Fec) -> Option<FecMode> {
    let mut known = MODES.into_iter();
    known.find(|(known, _)| *known == fec).map(|(_, mode)| mode)
}

#[vtable]
impl Operations for NetPort {
    fn fec(&self, _netdev: &Locked) -> Result<Fec> {
        if !self.has_wire() {
            return Err(EOPNOTSUPP);
        }
        let port =
            cmd::port::query(&self.device, self.share.vport).map_err(|error| self.failed(error))?;
        Ok(Fec {
            set: mode(port.fec_set).ok_or(EPROTO)?,
            active: mode(port.fec).filter(|_| port.link == 1),
        })
    }

    fn set_fec(&self, netdev: &Locked, mode: FecMode) -> Result {
        if !self.has_wire() {
            return Err(EOPNOTSUPP);
        }
        let mut known = MODES.into_iter();
        let (fec, _) = known.find(|(_, known)| *known == mode).ok_or(EINVAL)?;
        let port =
            cmd::port::query(&self.device, self.share.vport).map_err(|error| self.failed(error))?;
        if port.fec_modes & fec.bit() == 0 {
            // Ethtool's request has no place for a text.
            dev_info!(
                self.device.binding(),
                "{}: forward error correction refused: the port does not have {} at this speed\n",
                netdev.name(),
                fec.text()
            );
            return Err(EOPNOTSUPP);
        }
        let config = PortConfig {
            fields: port_fields::FEC,
            fec,
            ..PortConfig::ZERO
        };
        let mut state = self.state.lock();
        cmd::port::set(&self.device, self.share.vport, &config)
            .map_err(|error| self.failed(error))?;
        state.fec = fec;
        Ok(())
    }

    fn fec_stats(&self, _netdev: &Locked) -> Option<FecStats> {
        let stats = cmd::stats::port(&self.device, self.share.vport).ok()?;
        Some(FecStats {
            corrected: stats.fec_corrected,
            uncorrectable: stats.fec_uncorrectable,
        })
    }
}
