// SPDX-License-Identifier: GPL-2.0-only

//! Virtual functions of a PF: how many there are, and what the administrator set for them.
//!
//! [`Vfs`] is the driver's own record, under [`Device::vfs`]: settings, to bring them back after a reset of the PF, and what
//! the device last said, so that listing VFs need not ask for those that cannot change their address themselves. The lock is
//! held over commands, and taken with RTNL held; so nothing that takes RTNL (as making VFs appear on the bus does) happens
//! under it.

use crate::{
    cmd,
    command::CommandError,
    device::{take_registration, Device},
    netdev::NetPort, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use oxnic_abi::{
    stats::VportStats,
    vf::{vf_fields, VfConfig, VfInfo, VfRange}, //
};
use oxnic_kapi::{
    net::netdev::Registration,
    pci::{sriov, Core},
    time, //
};

/// Statistics younger than this are not asked for again, in milliseconds.
const STATS_AGE_MS: u64 = 200;

/// What is known of a VF.
#[derive(Clone, Copy)]
pub(crate) struct Vf {
    /// What was set, with the fields that were.
    pub(crate) settings: VfConfig,
    /// What the device said, unless it may have changed since.
    info: Option<VfInfo>,
    stats: VportStats,
    /// When `stats` were asked for; 0: never.
    stats_at: u64,
}

impl Vf {
    const NEW: Self = Self {
        settings: VfConfig::ZERO,
        info: None,
        stats: VportStats::ZERO,
        stats_at: 0,
    };
}

/// The VFs that are enabled.
pub(crate) struct Vfs {
    records: KVec<Vf>,
    /// So many were, or may be, which the device could not be told to disable: it was down, or another driver's.
    left: u16,
}

impl Vfs {
    /// None.
    pub(crate) const fn new() -> Self {
        Self {
            records: KVec::new(),
            left: 0,
        }
    }

    /// So many may be enabled in the device, of which nothing is known.
    pub(crate) fn set_left(&mut self, count: u16) {
        self.left = count;
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u16 {
        self.records.len() as u16
    }

    /// What is known of a VF.
    ///
    /// # Errors
    ///
    /// `EINVAL`: no such VF.
    fn get(&mut self, vf: u16) -> Result<&mut Vf> {
        self.records.get_mut(usize::from(vf)).ok_or(EINVAL)
    }

    /// A driver took the VF over, or let go of it.
    pub(crate) fn set_active(&mut self, vf: u16, _active: bool) {
        if let Ok(vf) = self.get(vf) {
            vf.info = None;
        }
    }

    /// Forgets what the device said.
    pub(crate) fn forget_all(&mut self) {
        for vf in self.records.iter_mut() {
            vf.info = None;
        }
    }
}

impl Device {
    /// Enables so many VFs, or disables all with 0. The device's lock is held.
    ///
    /// # Errors
    ///
    /// `EBUSY`: there are VFs already; `EPERM`: some are in use by guests; what the device or the PCI core says.
    pub(crate) fn configure_vfs(self: &Arc<Self>, dev: &Core<'_>, count: u16) -> Result {
        if count == 0 {
            if sriov::any_assigned(dev) {
                dev_err!(
                    self.binding(),
                    "VFs are in use by guests and cannot be disabled\n"
                );
                return Err(EPERM);
            }
            self.disable_vfs(dev);
            return Ok(());
        }
        if self.vfs.lock().count() != 0 {
            return Err(EBUSY);
        }
        if count > self.caps().vfs {
            dev_err!(
                self.binding(),
                "{} VFs asked for, the device has {}\n",
                count,
                self.caps().vfs
            );
            return Err(EINVAL);
        }
        if count > self.vfs_allowed() {
            dev_err!(
                self.binding(),
                "{} VFs asked for, 'devlink dev param' allows {}\n",
                count,
                self.vfs_allowed()
            );
            return Err(EPERM);
        }
        let mut records = KVec::with_capacity(count.into(), GFP_KERNEL)?;
        for _ in 0..count {
            records.push(Vf::NEW, GFP_KERNEL)?;
        }
        // A reset that is under way brings VFs back, and disables those that are left, as soon as commands work.
        let enabled = self.while_running(|| self.enable_vfs(records));
        enabled.unwrap_or(Err(EAGAIN)).inspect_err(|error| {
            dev_err!(
                self.binding(),
                "{} VFs cannot be enabled: {:?}\n",
                count,
                error
            );
        })?;
        if let Err(error) = self.rates.start_leaves(count) {
            self.forget_vfs();
            return Err(error);
        }
        if let Err(error) = self.add_functions(count) {
            self.forget_vfs();
            return Err(error);
        }
        sriov::enable(dev, count).inspect_err(|error| {
            dev_err!(
                self.binding(),
                "{} VFs cannot be brought onto the bus: {:?}\n",
                count,
                error
            );
            self.remove_functions(KVec::new());
            self.forget_vfs();
        })
    }

    /// Enables VFs in the device, of which there are none, and notes that.
    fn enable_vfs(self: &Arc<Self>, records: KVec<Vf>) -> Result {
        let mut vfs = self.vfs.lock();
        let count = records.len() as u16;
        // Users change what is allowed at any time, but not while this is held.
        if count > self.vfs_allowed() {
            return Err(EPERM);
        }
        self.disable_left(&mut vfs)?;
        cmd::vf::enable(self, &VfRange { first: 0, count }).map_err(|error| {
            dev_err!(self.binding(), "{}\n", error);
            Error::from(error)
        })?;
        vfs.records = records;
        Ok(())
    }

    /// Disables VFs in the device that went while it could not be told.
    fn disable_left(self: &Arc<Self>, vfs: &mut Vfs) -> Result {
        let count = core::mem::take(&mut vfs.left);
        if count != 0 && vfs.count() == 0 {
            cmd::vf::disable(self, &VfRange { first: 0, count })
                .inspect_err(|_| vfs.left = count)?;
        }
        Ok(())
    }

    /// Takes all VFs from the bus and disables them. The device's lock is held.
    pub(crate) fn disable_vfs(self: &Arc<Self>, dev: &Core<'_>) {
        if self.vfs.lock().count() == 0 {
            return;
        }
        self.remove_functions(take_interfaces(dev));
        sriov::disable(dev);
        self.forget_vfs();
    }

    fn forget_vfs(self: &Arc<Self>) {
        let records = core::mem::replace(&mut *self.vfs.lock(), Vfs::new());
        self.rates.end_leaves();
        if let Err(error) = cmd::vf::disable(
            self,
            &VfRange {
                first: 0,
                count: records.count(),
            },
        ) {
            if !self.is_gone() {
                dev_err!(self.binding(), "VFs cannot be disabled: {}\n", error);
            }
            self.vfs.lock().left = records.count();
        }
    }

    /// Brings VFs and their settings back after a reset of the PF.
    pub(crate) fn restore_vfs(self: &Arc<Self>) -> Result {
        let mut vfs = self.vfs.lock();
        self.disable_left(&mut vfs)?;
        if vfs.count() == 0 {
            return Ok(());
        }
        let log = |error: CommandError| {
            dev_err!(self.binding(), "VFs cannot be brought back: {}\n", error);
            Error::from(error)
        };
        // Refused where VFs have outlived the reset and are worked by their drivers. They have their settings then, but for
        // what could not be set while the PF was away.
        let alive = match cmd::vf::enable(
            self,
            &VfRange {
                first: 0,
                count: vfs.count(),
            },
        ) {
            Ok(()) => false,
            Err(error) if matches!(Error::from(error), EBUSY | EEXIST) => true,
            Err(error) => return Err(log(error)),
        };
        vfs.forget_all();
        for (vf, record) in vfs.records.iter().enumerate() {
            let mut settings = record.settings;
            if alive {
                settings.fields &= !vf_fields::VECTORS;
            }
            if settings.fields != 0 {
                cmd::vf::set(self, vf as u16, &settings).map_err(log)?;
            }
        }
        Ok(())
    }

    /// Changes settings of a VF in the device, then in the record.
    pub(crate) fn set_vf(self: &Arc<Self>, vf: u16, config: &VfConfig) -> Result<(), VfError> {
        let mut vfs = self.vfs.lock();
        let record = vfs.get(vf).map_err(|_| VfError::NoSuchVf)?;
        cmd::vf::set(self, vf, config).map_err(VfError::Command)?;
        record.settings = merge(&record.settings, config);
        record.info = None;
        Ok(())
    }

    /// Settings of a VF, as the device has them; as it had them, if it cannot be asked now.
    ///
    /// # Errors
    ///
    /// `EINVAL`: no such VF; what the device says, where it has said nothing yet.
    pub(crate) fn vf_info(self: &Arc<Self>, vf: u16) -> Result<VfInfo> {
        let mut vfs = self.vfs.lock();
        let record = vfs.get(vf)?;
        if let Some(info) = record.info.filter(|info| !may_change(info)) {
            return Ok(info);
        }
        match cmd::vf::query(self, vf) {
            Ok(info) => {
                record.info = Some(info);
                Ok(info)
            }
            // During a reset there is nothing better.
            Err(error) => record.info.ok_or(error.into()),
        }
    }

    /// Statistics of a VF, at most [`STATS_AGE_MS`] old; those of before, if the device cannot be asked now.
    ///
    /// # Errors
    ///
    /// `EINVAL`: no such VF; what the device says, where it has said nothing yet.
    pub(crate) fn vf_stats(self: &Arc<Self>, vf: u16) -> Result<VportStats> {
        let mut vfs = self.vfs.lock();
        let record = vfs.get(vf)?;
        let now = time::now_ms();
        if record.stats_at == 0 || now.wrapping_sub(record.stats_at) > STATS_AGE_MS {
            match cmd::vf::stats(self, vf) {
                Ok(stats) => (record.stats, record.stats_at) = (stats, now),
                Err(error) if record.stats_at == 0 => return Err(error.into()),
                // The kernel shows zeros in place of an error.
                Err(_) => {}
            }
        }
        Ok(record.stats)
    }
}

/// Takes the interfaces of all VFs that this driver works, to be removed from the system all together: the network core waits
/// for grace periods, which is by far the longest part of removing a VF. The VFs are not reset any more, as an interface that
/// is removed in the middle of that would wait for its own queues.
fn take_interfaces(dev: &Core<'_>) -> KVec<Registration<NetPort>> {
    let mut registrations = KVec::new();
    sriov::for_each_bound(dev, |vf: Arc<Device>| {
        vf.end_recovery();
        for port in vf.ports() {
            take_registration(&*port, &mut registrations);
        }
    });
    registrations
}

/// Why a VF could not be set.
#[derive(Clone, Copy)]
pub(crate) enum VfError {
    /// There is no VF of that number.
    NoSuchVf,
    /// The device refused, or could not be asked.
    Command(CommandError),
}

impl kernel::fmt::Display for VfError {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        match self {
            Self::NoSuchVf => f.write_str("there is no such VF"),
            Self::Command(error) => error.fmt(f),
        }
    }
}

impl From<VfError> for Error {
    fn from(error: VfError) -> Self {
        match error {
            VfError::NoSuchVf => EINVAL,
            VfError::Command(error) => error.into(),
        }
    }
}

/// Whether a VF may change its address, of which its PF is not told.
fn may_change(info: &VfInfo) -> bool {
    info.trust != 0 || info.mac_fixed == 0
}

/// `old` with the fields that `new` means replaced.
fn merge(old: &VfConfig, new: &VfConfig) -> VfConfig {
    let mut out = *old;
    out.fields |= new.fields;
    let set = |field: u32| new.fields & field != 0;
    if set(vf_fields::LINK) {
        out.link = new.link;
    }
    if set(vf_fields::SPOOF_CHECK) {
        out.spoof_check = new.spoof_check;
    }
    if set(vf_fields::TRUST) {
        out.trust = new.trust;
    }
    if set(vf_fields::MAC) {
        out.mac = new.mac;
    }
    if set(vf_fields::VLAN) {
        out.vlan = new.vlan;
        out.qos = new.qos;
        out.vlan_proto = new.vlan_proto;
    }
    if set(vf_fields::VECTORS) {
        out.vectors = new.vectors;
    }
    if set(vf_fields::RATE) {
        out.rate_min = new.rate_min;
        out.rate_max = new.rate_max;
    }
    if set(vf_fields::PORT) {
        out.port = new.port;
    }
    out
}
