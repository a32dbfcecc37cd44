// SPDX-License-Identifier: GPL-2.0-only

//! The two halves of a reset, [`Device::quiesce`] and [`Device::bring_up`], and what is between them: the function may not use memory, or is given up.

use super::Phase;
use crate::{
    cmd,
    command::Cause,
    device::Device,
    handshake,
    queue, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Full, Relaxed},
        Arc, //
    },
};
use oxnic_abi::regs::{device, status, ResetReason};

/// How often one reset is tried before the function is given up.
const ATTEMPTS: u32 = 3;

impl Device {
    /// The first half of a reset: no command is accepted, the interfaces are detached, their queues stopped.
    pub(super) fn quiesce(self: &Arc<Self>, cause: Cause) {
        self.commands.stop(cause);
        self.stop_flow();
        for port in self.ports() {
            port.prepare_reset();
        }
    }

    /// The second half, as often as it may take.
    pub(super) fn recover(self: &Arc<Self>, reason: ResetReason) -> Phase {
        for attempt in 1..=ATTEMPTS {
            match self.bring_up(reason).and_then(|()| self.settle()) {
                Ok(()) => {
                    self.recovery.count.add(1, Relaxed);
                    dev_info!(self.binding(), "works again\n");
                    // It may have to make representors.
                    self.reset_task.schedule(self);
                    return Phase::Running;
                }
                Err(_) if !self.is_usable() => {
                    dev_err!(
                        self.binding(),
                        "the function is gone, or not enabled by its PF\n"
                    );
                    self.presence.set_gone();
                    self.quiesce(Cause::Gone);
                    self.forbid_memory();
                    return Phase::Gone;
                }
                Err(error) => {
                    dev_err!(
                        self.binding(),
                        "attempt {} of {} failed: {:?}\n",
                        attempt,
                        ATTEMPTS,
                        error
                    );
                    self.quiesce(Cause::Unavailable);
                }
            }
        }
        self.fail()
    }

    /// The end of an attempt: a command that nobody has answered may have been one whose failure stopped nothing.
    pub(super) fn settle(&self) -> Result {
        self.commands.is_started().then_some(()).ok_or(ETIMEDOUT)
    }

    /// Whether the function is there and takes handshakes, if need be after a reset: it may have halted while it was brought back.
    pub(super) fn is_usable(&self) -> bool {
        self.check_presence()
            && self
                .registers
                .read(device::STATUS)
                .is_ok_and(|state| state & (status::READY | status::HALTED) != 0)
    }

    /// Gives the function up. It may not use memory any more.
    pub(super) fn fail(&self) -> Phase {
        dev_err!(
            self.binding(),
            "given up; a reset through sysfs or reloading the driver may help\n"
        );
        self.commands.stop(Cause::GivenUp);
        self.forbid_memory();
        Phase::Failed
    }

    /// Resets the function and brings everything back that it had.
    pub(super) fn bring_up(self: &Arc<Self>, reason: ResetReason) -> Result {
        self.take_over(reason)?;
        self.restore_vfs()?;
        self.restore_rates()?;
        // Before the VFs were back, the device did not know all of its ports.
        self.port_numbers.forget();
        self.restore_flow();
        for port in self.ports() {
            port.complete_reset()?;
        }
        Ok(())
    }

    /// Resets the function, makes the handshake, asks what it offers, and sets the eswitch's mode. Commands work afterwards.
    pub(crate) fn take_over(self: &Arc<Self>, reason: ResetReason) -> Result {
        self.reach(reason)?;
        let caps =
            cmd::caps::nic(self).inspect_err(|error| dev_err!(self.binding(), "{}\n", error))?;
        // Rings are made and lengths calculated by them.
        if let Some(field) = caps.out_of_bounds() {
            dev_err!(
                self.binding(),
                "the device publishes a {} that is out of bounds\n",
                field
            );
            return Err(EPROTO);
        }
        if let Some(field) = queue::lacks(&caps) {
            dev_err!(
                self.binding(),
                "this driver has no queues for the device's {}\n",
                field
            );
            return Err(EOPNOTSUPP);
        }
        self.set_caps(caps)
            .and_then(|()| self.discover_eswitch())
            .and_then(|()| self.discover_rates())
            .inspect_err(|_| {
                dev_err!(
                    self.binding(),
                    "the device changed its limits: reload the driver to use it\n"
                );
            })?;
        self.apply_eswitch_mode()
    }

    /// Resets the function and makes the handshake. Commands work afterwards.
    pub(super) fn reach(self: &Arc<Self>, reason: ResetReason) -> Result {
        if let Err(error) = handshake::reset(&self.registers, reason) {
            dev_err!(self.binding(), "reset does not end: {:?}\n", error);
            let state = self.registers.read(device::STATUS);
            if state.is_ok_and(|state| state & status::HALTED != 0) {
                // Its DMA has ended all the same, but for that of a dump.
                self.allow_memory();
            }
            return Err(error);
        }
        self.allow_memory();
        self.commands.rewind();
        self.events.rewind();
        // What was found wrong so far was of the state that is gone: queues are stopped, and the task that takes events has ended
        // with them. What is found from here on counts, also while the function is still being brought up: it may be a queue
        // that has stopped again, and nobody says so twice.
        self.recovery.requested.xchg(0, Full);
        self.recovery.noted.xchg(0, Full);
        self.recovery.wanted.store(false, Relaxed);
        let generation = handshake::offer(&self.registers, self.binding(), &self.rings())?;
        self.set_generation(generation);
        self.commands.start();
        Ok(())
    }

    /// The function may not use memory any more: for those who free what it could use, and cannot wait for it to be reset. RTNL is not
    /// held.
    pub(super) fn forbid_memory(&self) {
        self.silence();
        self.release_memory();
    }

    /// The function may not use memory until it is reset, which somebody has asked for. RTNL may be held.
    pub(crate) fn silence(&self) {
        // What has not answered once is taken for gone, and may be there all the same, and write.
        if !self.binding().is_disconnected() {
            self.enabled.clear_master();
        }
        self.recovery.silent.store(true, Relaxed);
    }

    /// The function may use memory again. It has just been reset: before that it would go on where it was when memory was forbidden, and
    /// what it used then is others' by now.
    fn allow_memory(&self) {
        self.recovery.silent.store(false, Relaxed);
        // A VF loses its configuration when its PF is reset, without being told.
        self.enabled.allow_master();
    }

    /// Whether the function cannot use memory until it is reset.
    pub(crate) fn is_silent(&self) -> bool {
        self.recovery.silent.load(Relaxed)
    }

    /// Whether nothing is to be expected of the function: it is gone, was given up, or waits for a reset.
    pub(crate) fn is_away(&self) -> bool {
        self.is_gone() || self.is_silent()
    }

    /// Lets the interfaces free what they keep for a device that may still use it.
    pub(super) fn release_memory(&self) {
        for port in self.ports() {
            port.release_memory();
        }
    }
}
