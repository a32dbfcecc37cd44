// SPDX-License-Identifier: GPL-2.0-only

//! The reporters `fw`, of what the health block notes while the function goes on, and `fw_fatal`, of the function as a whole.

use super::{
    core,
    fault::{severity, Fault, Kind, Part},
};
use crate::device::Device;
use kernel::{prelude::*, sync::Arc};
use oxnic_abi::regs::{device, health, status, Reason, ResetReason};
use oxnic_kapi::{
    devlink::{Abilities, Message, Reporter},
    extack::Extack,
    time,
};

/// `fw`.
pub(super) struct Firmware(pub(super) Arc<Device>);

/// `fw_fatal`.
pub(super) struct Fatal(pub(super) Arc<Device>);

fn dump(device: &Device, message: &mut Message<'_>, extack: Option<&mut Extack>) -> Result {
    core::tell(&core::core_dump(device, extack)?, message)
}

impl Reporter for Firmware {
    const NAME: &'static CStr = c"fw";
    const ABILITIES: Abilities = Abilities::ALL;
    type Error = Fault;

    fn diagnose(&self, message: &mut Message<'_>) -> Result {
        let registers = &self.0.registers;
        let Some(grade) = registers.read_health(health::SEVERITY)? else {
            return message.text(c"health_block", fmt!("none"));
        };
        let read = |register| Ok::<_, Error>(registers.read_health(register)?.unwrap_or(0));
        message.text(c"severity", fmt!("{}", severity(grade)))?;
        let syndrome = Reason(read(health::SYNDROME)? as u16);
        message.text(c"syndrome", fmt!("{}", syndrome.text()))?;
        let time = u64::from(read(health::TIME)?) | u64::from(read(health::TIME + 4)?) << 32;
        message.number(c"time_ms", time);
        message.number(c"errors", read(health::COUNT)?.into());
        let last = ResetReason(read(health::LAST_RESET)? as u8);
        message.text(c"last_reset", fmt!("{}", last.text()))?;
        let asked = registers.read(device::STATUS)? & status::RESET_REQUESTED != 0;
        message.flag(c"reset_requested", asked);
        Ok(())
    }

    fn recover(&self, error: Option<&Fault>, extack: Option<&mut Extack>) -> Result {
        if error.is_none_or(|fault| fault.kind == Kind::Requested) {
            self.0.revive(error, extack)?;
        }
        self.0.acknowledge_health()
    }

    fn dump(
        &self,
        message: &mut Message<'_>,
        _error: Option<&Fault>,
        extack: Option<&mut Extack>,
    ) -> Result {
        dump(&self.0, message, extack)
    }

    fn test(&self, extack: Option<&mut Extack>) -> Result {
        self.0.test_part(Part::Firmware, 0, extack)
    }
}

impl Reporter for Fatal {
    const NAME: &'static CStr = c"fw_fatal";
    const ABILITIES: Abilities = Abilities::ALL;
    type Error = Fault;

    fn diagnose(&self, message: &mut Message<'_>) -> Result {
        let summary = self.0.summary();
        message.text(c"state", fmt!("{}", summary.state))?;
        if let Ok(now) = self.0.registers.read(device::STATUS) {
            for (name, bit) in [
                (c"ready", status::READY),
                (c"accepted", status::ACCEPTED),
                (c"rejected", status::REJECTED),
                (c"halted", status::HALTED),
            ] {
                message.flag(name, now & bit != 0);
            }
            let reason = self.0.registers.read(device::REASON)?;
            message.text(c"reason", fmt!("{}", Reason(reason as u16).text()))?;
            message.number(c"detail", (reason >> 16).into());
            let heartbeat = self.0.registers.read(device::HEARTBEAT)?;
            message.number(c"heartbeat", heartbeat.into());
            let generation = self.0.registers.read(device::GENERATION)?;
            message.number(c"generation", generation.into());
        }
        message.number(c"recoveries", summary.recoveries.into());
        if let Some((fault, at)) = summary.last {
            message.text(c"last_fault", fmt!("{}", fault))?;
            let age = time::now_ms().saturating_sub(at) / 1000;
            message.number(c"last_fault_age_s", age);
        }
        if let Some(ms) = summary.outage_ms {
            message.number(c"last_outage_ms", ms);
        }
        Ok(())
    }

    fn recover(&self, error: Option<&Fault>, extack: Option<&mut Extack>) -> Result {
        self.0.revive(error, extack)
    }

    fn dump(
        &self,
        message: &mut Message<'_>,
        _error: Option<&Fault>,
        extack: Option<&mut Extack>,
    ) -> Result {
        dump(&self.0, message, extack)
    }

    fn test(&self, extack: Option<&mut Extack>) -> Result {
        self.0.test_part(Part::Fatal, 0, extack)
    }
}
