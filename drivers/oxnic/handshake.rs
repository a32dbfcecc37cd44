// SPDX-License-Identifier: GPL-2.0-only

//! Resetting a function and taking it over. The caller keeps others away, see [`crate::reset`].

use crate::regs::Registers;
use kernel::prelude::*;
use oxnic_abi::regs::{control, device, driver_caps, status, Reason, ResetReason, ABI_VERSION};
use oxnic_kapi::{pci::Binding, time};

/// Where the control rings are, for the device.
pub(crate) struct Rings {
    /// Bus address of the admin submission ring.
    pub(crate) submissions: u64,
    /// Bus address of the admin completion ring.
    pub(crate) completions: u64,
    /// Bus address of the event ring.
    pub(crate) events: u64,
    /// log2 of entries of the admin rings.
    pub(crate) admin_log2: u8,
    /// log2 of entries of the event ring.
    pub(crate) event_log2: u8,
}

/// Resets the function and waits until its DMA has ended and it takes a handshake.
///
/// # Errors
///
/// `ENODEV`: gone; `ETIMEDOUT`: not within the time that the device publishes.
pub(crate) fn reset(registers: &Registers, reason: ResetReason) -> Result {
    let before = registers.read(device::GENERATION)?;
    registers.write(
        device::CONTROL,
        control::RESET | u32::from(reason.0) << control::REASON_SHIFT,
    )?;
    let wanted = status::READY | status::RESET_DONE;
    time::poll(registers.limits().reset_ms, || {
        let done = registers.read(device::GENERATION)? != before
            && registers.read(device::STATUS)? & wanted == wanted;
        Ok(done.then_some(()))
    })
}

/// Hands the control rings to a function that was reset, and waits until it has accepted them. Gives its generation.
///
/// # Errors
///
/// `ENODEV`: gone; `EPROTO`: rejected, the reason is logged; `ETIMEDOUT`.
pub(crate) fn offer(registers: &Registers, binding: &Binding, rings: &Rings) -> Result<u32> {
    registers.write(device::DRIVER_ABI_MIN, ABI_VERSION & 0xffff_0000)?;
    registers.write(device::DRIVER_ABI_MAX, ABI_VERSION)?;
    registers.write64(device::DRIVER_CAPS, driver_caps::ALL)?;
    registers.write64(device::ADMIN_SQ, rings.submissions)?;
    registers.write64(device::ADMIN_CQ, rings.completions)?;
    registers.write64(device::EVENT_RING, rings.events)?;
    registers.write(
        device::DEPTH,
        u32::from(rings.admin_log2) | u32::from(rings.event_log2) << 8,
    )?;
    registers.write(device::CONTROL, control::DRIVER_OK)?;
    let state = time::poll(registers.limits().reset_ms, || {
        let state = registers.read(device::STATUS)?;
        Ok((state & (status::ACCEPTED | status::REJECTED | status::HALTED) != 0).then_some(state))
    })?;
    if state & status::ACCEPTED == 0 {
        let reason = registers.read(device::REASON)?;
        dev_err!(
            binding,
            "the device rejects the driver: {}\n",
            Reason(reason as u16).text()
        );
        return Err(EPROTO);
    }
    registers.read(device::GENERATION)
}
