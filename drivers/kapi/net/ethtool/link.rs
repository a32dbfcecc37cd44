// SPDX-License-Identifier: GPL-2.0-only

//! Settings of the link (`ethtool <dev>`, `ethtool -s`) and its extended statistics (`ethtool -I`).

use super::{errno, locked};
use crate::net::netdev::{self, Locked};
use kernel::{bindings as raw, prelude::*};

/// What is plugged in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Port {
    /// Direct attach copper.
    DirectAttach,
    /// Fibre.
    Fibre,
    /// Twisted pair.
    TwistedPair,
    /// Nothing.
    None,
    /// Something else, or not known.
    Other,
    /// A connector that is no more: AUI, MII or BNC.
    Old,
}

impl Port {
    fn as_raw(self) -> u8 {
        (match self {
            Self::DirectAttach => raw::PORT_DA,
            Self::Fibre => raw::PORT_FIBRE,
            Self::TwistedPair => raw::PORT_TP,
            Self::None => raw::PORT_NONE,
            Self::Other => raw::PORT_OTHER,
            Self::Old => raw::PORT_MII,
        }) as u8
    }

    fn from_raw(raw: u8) -> Self {
        [
            Self::DirectAttach,
            Self::Fibre,
            Self::TwistedPair,
            Self::None,
            Self::Other,
        ]
        .into_iter()
        .find(|port| port.as_raw() == raw)
        .unwrap_or(Self::Old)
    }
}

macro_rules! modes {
    ($($(#[$doc:meta])* $name:ident = $bit:ident;)*) => {
        /// A link mode, or a kind of port among them.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct LinkMode(u32);

        impl LinkMode {
            $($(#[$doc])* pub const $name: Self = Self(raw::$bit);)*
        }
    };
}

modes! {
    /// Without forward error correction.
    FEC_NONE = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_FEC_NONE_BIT;
    /// With that of BASE-R.
    FEC_BASE_R = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_FEC_BASER_BIT;
    /// With Reed-Solomon's.
    FEC_REED_SOLOMON = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_FEC_RS_BIT;
    /// The port takes fibre.
    FIBRE = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_FIBRE_BIT;
    /// The port takes twisted pair.
    TP = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_TP_BIT;
    /// 1000BASE-T.
    BASE_T_1000 = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_1000baseT_Full_BIT;
    /// 10GBASE-T.
    BASE_T_10000 = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_10000baseT_Full_BIT;
    /// 1000BASE-X.
    BASE_X_1000 = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_1000baseX_Full_BIT;
    /// 10GBASE-CR.
    CR_10000 = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_10000baseCR_Full_BIT;
    /// 10GBASE-SR.
    SR_10000 = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_10000baseSR_Full_BIT;
    /// 25GBASE-CR.
    CR_25000 = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_25000baseCR_Full_BIT;
    /// 25GBASE-SR.
    SR_25000 = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_25000baseSR_Full_BIT;
    /// 40GBASE-CR4.
    CR4_40000 = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_40000baseCR4_Full_BIT;
    /// 40GBASE-SR4.
    SR4_40000 = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_40000baseSR4_Full_BIT;
    /// 50GBASE-CR.
    CR_50000 = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_50000baseCR_Full_BIT;
    /// 50GBASE-SR.
    SR_50000 = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_50000baseSR_Full_BIT;
    /// 100GBASE-CR4.
    CR4_100000 = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_100000baseCR4_Full_BIT;
    /// 100GBASE-SR4.
    SR4_100000 = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_100000baseSR4_Full_BIT;
    /// 200GBASE-CR4.
    CR4_200000 = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_200000baseCR4_Full_BIT;
    /// 200GBASE-SR4.
    SR4_200000 = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_200000baseSR4_Full_BIT;
    /// 400GBASE-CR4.
    CR4_400000 = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_400000baseCR4_Full_BIT;
    /// 400GBASE-SR4.
    SR4_400000 = ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_400000baseSR4_Full_BIT;
}

/// Why a link is down, as far as users are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DownReason {
    /// Nothing is plugged in.
    NoCable,
    /// What comes from the far end cannot be used.
    BadSignal,
}

/// A set of link modes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkModes([usize; 2]);

impl LinkModes {
    /// None.
    pub const fn new() -> Self {
        Self([0; 2])
    }

    /// Adds one.
    pub fn insert(&mut self, mode: LinkMode) {
        let (word, bit) = (mode.0 / usize::BITS, mode.0 % usize::BITS);
        if let Some(word) = self.0.get_mut(word as usize) {
            *word |= 1 << bit;
        }
    }

    /// Whether it has one.
    pub fn contains(&self, mode: LinkMode) -> bool {
        let (word, bit) = (mode.0 / usize::BITS, mode.0 % usize::BITS);
        self.0
            .get(word as usize)
            .is_some_and(|word| word >> bit & 1 != 0)
    }
}

/// Settings of a link. Without autonegotiation: what is not fixed is what the device chooses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkSettings {
    /// Speed in Mbit/s, where it is known.
    pub speed: Option<u32>,
    /// Full duplex or not, where it is known.
    pub full_duplex: Option<bool>,
    /// What is plugged in.
    pub port: Port,
    /// Number of the transceiver in use; 0 where there is none to choose.
    pub phy_address: u8,
    /// How the wires of a twisted pair cross (`ETH_TP_MDI_*`); 0 where that cannot be set.
    pub crossing: u8,
    /// Autonegotiation.
    pub autoneg: bool,
    /// Modes that could be.
    pub supported: LinkModes,
    /// Modes that may be, as it is set.
    pub advertising: LinkModes,
}

/// Link settings.
#[vtable]
pub trait Operations: Sized {
    /// The settings.
    ///
    /// # Errors
    ///
    /// They cannot be told.
    fn link_settings(&self, device: &Locked) -> Result<LinkSettings> {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Changes the settings; `supported` has no meaning. The core gives those of [`Self::link_settings`] with what is to
    /// change, and leaves it to the driver to refuse what it cannot set.
    ///
    /// # Errors
    ///
    /// They stay.
    fn set_link_settings(&self, device: &Locked, settings: &LinkSettings) -> Result {
        let _ = (device, settings);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Why the link of an interface that is up is down; where it can be told.
    fn link_down_reason(&self, device: &Locked) -> Option<DownReason> {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// How often the link went down at the medium, not by a setting here; where it can be told.
    fn link_down_events(&self, device: &Locked) -> Option<u64> {
        let _ = device;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

fn store(settings: &LinkSettings, out: &mut raw::ethtool_link_ksettings) {
    out.base.speed = settings.speed.unwrap_or(raw::SPEED_UNKNOWN as u32);
    out.base.duplex = match settings.full_duplex {
        Some(true) => raw::DUPLEX_FULL,
        Some(false) => raw::DUPLEX_HALF,
        None => raw::DUPLEX_UNKNOWN,
    } as u8;
    out.base.port = settings.port.as_raw();
    out.base.phy_address = settings.phy_address;
    out.base.eth_tp_mdix_ctrl = settings.crossing;
    out.base.autoneg = settings.autoneg.into();
    out.link_modes.supported = settings.supported.0;
    out.link_modes.advertising = settings.advertising.0;
}

fn load(raw: &raw::ethtool_link_ksettings) -> LinkSettings {
    let unknown = [0, raw::SPEED_UNKNOWN as u32];
    LinkSettings {
        speed: (!unknown.contains(&raw.base.speed)).then_some(raw.base.speed),
        full_duplex: match u32::from(raw.base.duplex) {
            raw::DUPLEX_FULL => Some(true),
            raw::DUPLEX_HALF => Some(false),
            _ => None,
        },
        port: Port::from_raw(raw.base.port),
        phy_address: raw.base.phy_address,
        crossing: raw.base.eth_tp_mdix_ctrl,
        autoneg: raw.base.autoneg != 0,
        supported: LinkModes(raw.link_modes.supported),
        advertising: LinkModes(raw.link_modes.advertising),
    }
}

/// # Safety
///
/// The core calls this with the instance lock held; `out` is the caller's, zeroed.
pub(super) unsafe extern "C" fn settings_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    out: *mut raw::ethtool_link_ksettings,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), out) = unsafe { (locked::<T>(dev), &mut *out) };
    errno(
        data.link_settings(device)
            .map(|settings| store(&settings, out)),
    )
}

/// # Safety
///
/// The core calls this with the instance lock held; `new` is the caller's.
pub(super) unsafe extern "C" fn set_settings_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    new: *const raw::ethtool_link_ksettings,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), new) = unsafe { (locked::<T>(dev), &*new) };
    errno(data.set_link_settings(device, &load(new)))
}

/// # Safety
///
/// The core calls this with the instance lock held; `out` is the caller's, zeroed.
pub(super) unsafe extern "C" fn reason_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    out: *mut raw::ethtool_link_ext_state_info,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ((data, device), out) = unsafe { (locked::<T>(dev), &mut *out) };
    out.link_ext_state = match data.link_down_reason(device) {
        Some(DownReason::NoCable) => raw::ethtool_link_ext_state_ETHTOOL_LINK_EXT_STATE_NO_CABLE,
        Some(DownReason::BadSignal) => {
            raw::ethtool_link_ext_state_ETHTOOL_LINK_EXT_STATE_BAD_SIGNAL_INTEGRITY
        }
        None => return ENODATA.to_errno(),
    };
    0
}

/// # Safety
///
/// The core calls this with the instance lock held; `out` is the caller's, with every counter marked as not reported.
pub(super) unsafe extern "C" fn stats_callback<T: netdev::Operations>(
    dev: *mut raw::net_device,
    out: *mut raw::ethtool_link_ext_stats,
) {
    // SAFETY: By the contract of this function.
    let ((data, device), out) = unsafe { (locked::<T>(dev), &mut *out) };
    if let Some(events) = data.link_down_events(device) {
        out.link_down_events = events;
    }
}

#[cfg(CONFIG_KUNIT)]
#[kunit_tests(oxnic_kapi_ethtool_link)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_the_way_to_c_and_back() {
        let mut supported = LinkModes::new();
        supported.insert(LinkMode::CR_25000);
        supported.insert(LinkMode::SR4_400000);
        assert!(
            supported.contains(LinkMode::SR4_400000) && !supported.contains(LinkMode::CR_10000)
        );
        for (speed, full_duplex) in [
            (Some(25_000), Some(true)),
            (None, None),
            (Some(1_000), Some(false)),
        ] {
            let settings = LinkSettings {
                speed,
                full_duplex,
                port: Port::Fibre,
                phy_address: 3,
                crossing: raw::ETH_TP_MDI_X as u8,
                autoneg: false,
                supported,
                advertising: LinkModes::new(),
            };
            let mut raw = pin_init::zeroed();
            store(&settings, &mut raw);
            assert_eq!(load(&raw), settings);
        }
    }

    #[test]
    fn every_mode_fits_the_set() {
        let mut modes = LinkModes::new();
        modes.insert(LinkMode(127));
        modes.insert(LinkMode(128));
        assert_eq!(modes.0, [0, 1 << 63]);
        assert!(!modes.contains(LinkMode(128)));
    }
}
