// SPDX-License-Identifier: GPL-2.0-only

//! The core dump of a function: read from the device by way of its health block, and said in words.

use crate::device::Device;
use kernel::prelude::*;
use oxnic_abi::{
    dump::{
        dump_queue_flags, dump_vector_flags, DumpHeader, DumpLine, DumpObject, DumpQueue,
        DumpRegister, DumpVector, SectionKind, DUMP_MAX,
    },
    regs::{device, health, status, DumpAction, DumpResult, Reason},
    sections::{self, Section},
};
use oxnic_kapi::{
    devlink::Message,
    dma::{self, Words},
    extack::{refuse, Extack},
    time, //
};

/// Words that are read at once.
const PIECE: usize = 512;
const PIECE_BYTES: u32 = PIECE as u32 * 8;

impl Device {
    /// Reads a dump of the function: the one that it made when it halted, or else one of it as it is now. No state of the
    /// function is needed, but it may have to master the bus.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: the device makes none; `ENODEV`: it is gone; `EPROTO`: what it says of it makes no sense; `EIO`: it cannot
    /// write to our memory; `ETIMEDOUT`.
    pub(crate) fn read_core(&self) -> Result<VVec<u64>> {
        if !self.registers.has_dumps() {
            return Err(EOPNOTSUPP);
        }
        // Held throughout, so that there is one reader. The buffer stays: a device that has not answered may still write there.
        let mut buffer = self.core_buffer.lock();
        let buffer = match &mut *buffer {
            Some(buffer) => buffer,
            empty => empty.insert(Words::new(self.binding(), PIECE)?),
        };
        let halted = self.registers.read(device::STATUS)? & status::HALTED != 0;
        if !halted || self.registers.read_health(health::DUMP_SIZE)? == Some(0) {
            self.act_on_dump(DumpAction::MAKE)?;
        }
        let size = self.registers.read_health(health::DUMP_SIZE)?.unwrap_or(0);
        if size < DumpHeader::BYTES as u32 || size > DUMP_MAX || size % 8 != 0 {
            return Err(EPROTO);
        }
        let words = size as usize / 8;
        let mut core = VVec::with_capacity(words, GFP_KERNEL)?;
        let registers = &self.registers;
        registers.write_health(health::DUMP_ADDRESS, buffer.address() as u32)?;
        registers.write_health(health::DUMP_ADDRESS + 4, (buffer.address() >> 32) as u32)?;
        registers.write_health(health::DUMP_LENGTH, PIECE_BYTES)?;
        for offset in (0..size).step_by(PIECE_BYTES as usize) {
            registers.write_health(health::DUMP_OFFSET, offset)?;
            self.act_on_dump(DumpAction::READ)?;
            dma::rmb();
            for index in 0..PIECE.min(words - core.len()) {
                core.push(buffer.read(index), GFP_KERNEL)?;
            }
        }
        Ok(core)
    }

    fn act_on_dump(&self, action: DumpAction) -> Result {
        self.registers
            .write_health(health::DUMP_CONTROL, action.0)?;
        let result = time::poll(self.registers.limits().command_ms, || {
            let result = self.registers.read_health(health::DUMP_RESULT)?;
            let result = DumpResult(result.ok_or(EOPNOTSUPP)?);
            Ok((result != DumpResult::NONE).then_some(result))
        })?;
        match result {
            DumpResult::DONE => Ok(()),
            DumpResult::DMA => Err(EIO),
            _ => Err(EPROTO),
        }
    }
}

/// Reads a dump of a function, and says why where there is none.
pub(crate) fn core_dump(device: &Device, extack: Option<&mut Extack>) -> Result<VVec<u64>> {
    if device.is_away() {
        return Err(refuse(
            extack,
            EBUSY,
            fmt!("core dump: the function is gone, or may not use memory until it is reset"),
        ));
    }
    device.read_core().map_err(|error| {
        let why = if error == EOPNOTSUPP {
            "the device makes none"
        } else {
            "the device does not give it"
        };
        refuse(extack, error, fmt!("core dump: {}", why))
    })
}

/// Says what a dump holds.
///
/// # Errors
///
/// `EPROTO`: it is none; `ENOMEM`.
pub(crate) fn tell(core: &[u64], message: &mut Message<'_>) -> Result {
    let (header, sections) = sections::read(core).ok_or(EPROTO)?;
    message.text(c"trigger", fmt!("{}", header.trigger.text()))?;
    message.number(c"number", header.number.into());
    message.number(c"time_ms", header.time);
    message.number(c"generation", header.generation.into());
    message.text(c"status", fmt!("{:#x}", header.status))?;
    message.text(c"reason", fmt!("{}", Reason(header.reason as u16).text()))?;
    message.number(c"heartbeat", header.heartbeat.into());
    for section in sections {
        match section.kind {
            SectionKind::REGISTERS => message.list(c"registers", |message| {
                each(&section, message, |message, register: DumpRegister| {
                    message.text(c"offset", fmt!("{:#05x}", register.offset))?;
                    message.text(c"value", fmt!("{:#010x}", register.value))
                })
            })?,
            SectionKind::QUEUES => {
                message.list(c"queues", |message| each(&section, message, tell_queue))?
            }
            SectionKind::VECTORS => message.list(c"vectors", |message| {
                each(&section, message, |message, vector: DumpVector| {
                    message.number(c"vector", vector.vector.into());
                    message.flag(c"armed", vector.flags & dump_vector_flags::ARMED != 0);
                    Ok(())
                })
            })?,
            SectionKind::OBJECTS => message.list(c"objects", |message| {
                each(&section, message, |message, object: DumpObject| {
                    message.text(c"kind", fmt!("{}", object.kind.text()))?;
                    message.number(c"used", object.used);
                    Ok(())
                })
            })?,
            SectionKind::LOG => message.list(c"log", |message| {
                each(&section, message, |message, line: DumpLine| {
                    message.number(c"time_ms", line.time);
                    message.text(c"text", fmt!("{}", Text(&line.text)))
                })
            })?,
            // Of a later version.
            _ => {}
        }
    }
    Ok(())
}

fn each<const N: usize, T: oxnic_abi::wire::Wire<N>>(
    section: &Section<'_>,
    message: &mut Message<'_>,
    tell: impl Fn(&mut Message<'_>, T) -> Result,
) -> Result {
    for entry in section.entries::<N, T>() {
        message.object(|message| tell(message, entry))?;
    }
    Ok(())
}

fn tell_queue(message: &mut Message<'_>, queue: DumpQueue) -> Result {
    message.text(c"kind", fmt!("{}", queue.kind.text()))?;
    message.number(c"id", queue.id.into());
    message.number(c"target", queue.target.into());
    message.number(c"vport", queue.vport.into());
    message.number(c"producer", queue.producer.into());
    message.number(c"consumer", queue.consumer.into());
    message.flag(c"stopped", queue.flags & dump_queue_flags::STOPPED != 0);
    message.number(c"done", queue.done);
    message.number(c"failed", queue.failed);
    Ok(())
}

/// What the device says is text: printable characters up to a zero, and dots for others.
struct Text<'a>(&'a [u8]);

impl kernel::fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        for byte in self.0.iter().take_while(|byte| **byte != 0) {
            let good = byte.is_ascii_graphic() || *byte == b' ';
            f.write_fmt(fmt!("{}", if good { char::from(*byte) } else { '.' }))?;
        }
        Ok(())
    }
}
