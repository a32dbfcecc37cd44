// SPDX-License-Identifier: GPL-2.0-only

//! `ethtool <dev>`, `-s speed`: the wire port, which the PF can set, and every function can look at. The device has no
//! autonegotiation: a port has the speed that it was set to, or its fastest.

use crate::cmd;
use crate::netdev::NetPort;
use kernel::prelude::*;
use oxnic_abi::port::{
    port_fields, speeds, DownReason as Reason, Fec, Medium, PortConfig, PortInfo,
};
use oxnic_kapi::net::ethtool::link::{
    DownReason, LinkMode, LinkModes, LinkSettings, Operations, Port,
};
use oxnic_kapi::net::netdev::Locked;

/// The link mode of a speed on a medium, if it has a name.
fn mode(medium: Medium, speed: u32) -> Option<LinkMode> {
    let fibre = medium == Medium::FIBRE;
    let of = |copper, fibre_mode| Some(if fibre { fibre_mode } else { copper });
    if medium == Medium::TWISTED_PAIR {
        return match speed {
            1_000 => Some(LinkMode::BASE_T_1000),
            10_000 => Some(LinkMode::BASE_T_10000),
            _ => None,
        };
    }
    match speed {
        1_000 => Some(LinkMode::BASE_X_1000),
        10_000 => of(LinkMode::CR_10000, LinkMode::SR_10000),
        25_000 => of(LinkMode::CR_25000, LinkMode::SR_25000),
        40_000 => of(LinkMode::CR4_40000, LinkMode::SR4_40000),
        50_000 => of(LinkMode::CR_50000, LinkMode::SR_50000),
        100_000 => of(LinkMode::CR4_100000, LinkMode::SR4_100000),
        200_000 => of(LinkMode::CR4_200000, LinkMode::SR4_200000),
        400_000 => of(LinkMode::CR4_400000, LinkMode::SR4_400000),
        _ => None,
    }
}

/// The modes of all speeds that a port can be set to.
fn modes(port: &PortInfo) -> LinkModes {
    let mut modes = LinkModes::new();
    let offered = speeds::ALL
        .iter()
        .filter(|(bit, _)| port.supported & bit != 0);
    for mode in offered.filter_map(|&(_, speed)| mode(port.medium, speed)) {
        modes.insert(mode);
    }
    for (fec, mode) in [
        (Fec::OFF, LinkMode::FEC_NONE),
        (Fec::BASE_R, LinkMode::FEC_BASE_R),
        (Fec::REED_SOLOMON, LinkMode::FEC_REED_SOLOMON),
    ] {
        if port.fec_modes & fec.bit() != 0 {
            modes.insert(mode);
        }
    }
    match port.medium {
        Medium::FIBRE => modes.insert(LinkMode::FIBRE),
        Medium::TWISTED_PAIR => modes.insert(LinkMode::TP),
        _ => {}
    }
    modes
}

fn port_kind(medium: Medium) -> Port {
    match medium {
        Medium::NONE => Port::None,
        Medium::DIRECT_ATTACH => Port::DirectAttach,
        Medium::FIBRE => Port::Fibre,
        Medium::TWISTED_PAIR => Port::TwistedPair,
        _ => Port::Other,
    }
}

/// Why settings cannot come out of the present ones: what nobody can choose here must be as it is.
fn refusal(now: &LinkSettings, wanted: &LinkSettings) -> Option<&'static str> {
    if wanted.autoneg {
        return Some("there is no autonegotiation");
    }
    if wanted.full_duplex == Some(false) {
        return Some("there is no half duplex");
    }
    if wanted.port != now.port {
        return Some("the port is what is plugged in");
    }
    if wanted.phy_address != now.phy_address {
        return Some("there is no PHY to choose");
    }
    if wanted.crossing != now.crossing {
        return Some("there is no MDI-X to set");
    }
    if wanted.advertising != now.advertising {
        return Some("modes are not advertised: set the speed");
    }
    None
}

#[vtable]
impl Operations for NetPort {
    fn link_settings(&self, netdev: &Locked) -> Result<LinkSettings> {
        let known = |speed: u32| Some(speed).filter(|&speed| speed != 0 && netdev.has_carrier());
        let mut settings = LinkSettings {
            speed: None,
            full_duplex: None,
            port: Port::Other,
            phy_address: 0,
            crossing: 0,
            autoneg: false,
            supported: LinkModes::new(),
            advertising: LinkModes::new(),
        };
        if !self.has_wire() {
            let info = cmd::vport::query(&self.device, self.share.vport)?;
            settings.speed = known(info.speed);
            settings.full_duplex = settings.speed.map(|_| true);
            return Ok(settings);
        }
        let port = cmd::port::query(&self.device, self.share.vport)?;
        settings.speed = known(port.speed);
        settings.full_duplex = settings.speed.map(|_| port.duplex == 1);
        settings.port = port_kind(port.medium);
        settings.supported = modes(&port);
        settings.advertising = settings.supported;
        Ok(settings)
    }

    fn set_link_settings(&self, netdev: &Locked, settings: &LinkSettings) -> Result {
        let refuse = |error, text: &str| {
            dev_info!(
                self.device.binding(),
                "{}: link settings refused: {}\n",
                netdev.name(),
                text
            );
            Err(error)
        };
        if !self.has_wire() {
            return refuse(EOPNOTSUPP, "they are the PF's to change");
        }
        let now = self.link_settings(netdev)?;
        if let Some(text) = refusal(&now, settings) {
            return refuse(EOPNOTSUPP, text);
        }
        // A link that is down shows no speed; then that of before is meant. A speed that is there already is not asked for: to
        // set it would keep a port from its fastest one later.
        let Some(speed) = settings.speed.filter(|&speed| Some(speed) != now.speed) else {
            return Ok(());
        };
        let port =
            cmd::port::query(&self.device, self.share.vport).map_err(|error| self.failed(error))?;
        if !speeds::ALL
            .iter()
            .any(|&(bit, known)| known == speed && port.supported & bit != 0)
        {
            return refuse(EINVAL, "the port does not have this speed");
        }
        let config = PortConfig {
            fields: port_fields::SPEED,
            speed,
            ..PortConfig::ZERO
        };
        let mut state = self.state.lock();
        cmd::port::set(&self.device, self.share.vport, &config)
            .map_err(|error| self.failed(error))?;
        state.speed = speed;
        // Which may not be one of this speed.
        if let Ok(port) = cmd::port::query(&self.device, self.share.vport) {
            state.fec = port.fec_set;
        }
        Ok(())
    }

    fn link_down_reason(&self, _netdev: &Locked) -> Option<DownReason> {
        if !self.has_wire() {
            return None;
        }
        let port = cmd::port::query(&self.device, self.share.vport).ok()?;
        match port.reason {
            Reason::NO_MODULE => Some(DownReason::NoCable),
            Reason::NO_SIGNAL => Some(DownReason::BadSignal),
            _ => None,
        }
    }

    fn link_down_events(&self, _netdev: &Locked) -> Option<u64> {
        if !self.has_wire() {
            return None;
        }
        let port = cmd::port::query(&self.device, self.share.vport).ok()?;
        Some(port.link_downs.into())
    }
}
