// SPDX-License-Identifier: GPL-2.0-only

//! What can go wrong with a function, and which reporter tells of it.

use kernel::{fmt, prelude::*};
use oxnic_abi::{
    event::QueueError,
    regs::{Reason, ResetReason}, //
};

/// The reporters of a function, by what they watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// `fw`: what the health block says while the function goes on.
    Firmware,
    /// `fw_fatal`: the function as a whole.
    Fatal,
    /// `tx` of a port.
    Transmit,
    /// `rx` of a port.
    Receive,
    /// `flow`: the queues of requests about rules.
    Flow,
}

/// Kinds of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The health block tells of an error that stops nothing; `number`: its severity, `detail`: its [`Reason`].
    Noted,
    /// The device asks for a reset.
    Requested,
    /// The function has halted; `detail`: its [`Reason`].
    Halted,
    /// The heartbeat stands still.
    StandsStill,
    /// The function was reset, and not by us.
    ForeignReset,
    /// The function was gone, and is there again.
    CameBack,
    /// A command was not answered; `detail`: its opcode.
    Unanswered,
    /// An answer to a command that nobody gave, or that makes no sense; `detail`: command or opcode.
    StrayAnswer,
    /// A queue was not destroyed, so that the device may still use its memory; `number`: its id.
    NotDestroyed,
    /// A rule is not deleted, or the device keeps what nothing names.
    NotDeleted,
    /// The completion of the oldest packet of a transmit queue does not come.
    NoCompletion,
    /// A transmit queue that is stopped makes no progress.
    NoProgress,
    /// The interrupt of a transmit queue did not come, or a doorbell was lost.
    LateTransmit,
    /// The interrupt of a receive queue did not come.
    LateReceive,
    /// A completion of a transmit queue breaks the rules.
    BadTransmit,
    /// A completion of a receive queue breaks the rules.
    BadReceive,
    /// The device has stopped a transmit queue; `detail`: [`QueueError`].
    StoppedTransmit,
    /// The device has stopped a receive queue; `detail`: [`QueueError`].
    StoppedReceive,
    /// The device has stopped a flow queue; `detail`: [`QueueError`].
    StoppedFlow,
    /// A request of a flow queue got no result.
    NoResult,
    /// A result of a flow queue is none to its request.
    BadResult,
    /// The function cannot be taken over, at probe.
    NotStarted,
    /// A user wants to see what happens; `detail`: which [`Part`].
    Test,
}

/// Every kind, in their order.
const KINDS: [Kind; 23] = [
    Kind::Noted,
    Kind::Requested,
    Kind::Halted,
    Kind::StandsStill,
    Kind::ForeignReset,
    Kind::CameBack,
    Kind::Unanswered,
    Kind::StrayAnswer,
    Kind::NotDestroyed,
    Kind::NotDeleted,
    Kind::NoCompletion,
    Kind::NoProgress,
    Kind::LateTransmit,
    Kind::LateReceive,
    Kind::BadTransmit,
    Kind::BadReceive,
    Kind::StoppedTransmit,
    Kind::StoppedReceive,
    Kind::StoppedFlow,
    Kind::NoResult,
    Kind::BadResult,
    Kind::NotStarted,
    Kind::Test,
];

const PARTS: [Part; 5] = [
    Part::Firmware,
    Part::Fatal,
    Part::Transmit,
    Part::Receive,
    Part::Flow,
];

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// Of faults of queues of an interface: its vport.
    pub(crate) vport: u16,
    /// Of faults of queues: the number of the queue, for interfaces as the network device counts. See [`Kind`].
    pub(crate) number: u16,
    /// See [`Kind`].
    pub(crate) detail: u16,
}

impl Fault {
    /// One of the whole function.
    pub(crate) const fn new(kind: Kind) -> Self {
        Self::with(kind, 0)
    }

    /// The same, with a detail.
    pub(crate) const fn with(kind: Kind, detail: u16) -> Self {
        Self {
            kind,
            vport: 0,
            number: 0,
            detail,
        }
    }

    /// One of a queue of an interface.
    pub(crate) const fn of_queue(kind: Kind, vport: u16, number: u16, detail: u16) -> Self {
        Self {
            kind,
            vport,
            number,
            detail,
        }
    }

    /// One of a flow queue.
    pub(crate) const fn of_flow(kind: Kind, number: u16, detail: u16) -> Self {
        Self::of_queue(kind, 0, number, detail)
    }

    /// Who tells of it.
    pub(crate) fn part(&self) -> Part {
        match self.kind {
            Kind::Noted | Kind::Requested => Part::Firmware,
            Kind::Halted
            | Kind::StandsStill
            | Kind::ForeignReset
            | Kind::CameBack
            | Kind::Unanswered
            | Kind::StrayAnswer
            | Kind::NotDestroyed
            | Kind::NotStarted => Part::Fatal,
            Kind::NoCompletion
            | Kind::NoProgress
            | Kind::LateTransmit
            | Kind::BadTransmit
            | Kind::StoppedTransmit => Part::Transmit,
            Kind::LateReceive | Kind::BadReceive | Kind::StoppedReceive => Part::Receive,
            Kind::NotDeleted | Kind::StoppedFlow | Kind::NoResult | Kind::BadResult => Part::Flow,
            Kind::Test => PARTS
                .get(usize::from(self.detail))
                .copied()
                .unwrap_or(Part::Fatal),
        }
    }

    /// Whether the function goes on working until it is recovered.
    pub(crate) fn is_bearable(&self) -> bool {
        match self.kind {
            Kind::Noted | Kind::Requested | Kind::LateTransmit | Kind::LateReceive => true,
            Kind::Test => self.part() == Part::Firmware,
            _ => false,
        }
    }

    /// What the device is told when it is reset for that.
    pub(crate) fn reason(&self) -> ResetReason {
        match self.kind {
            Kind::Requested => ResetReason::REQUESTED,
            Kind::Noted
            | Kind::Halted
            | Kind::StandsStill
            | Kind::ForeignReset
            | Kind::CameBack => ResetReason::HEALTH,
            Kind::Unanswered | Kind::NoResult => ResetReason::COMMAND_TIMEOUT,
            Kind::NoCompletion | Kind::NoProgress => ResetReason::TX_TIMEOUT,
            Kind::NotStarted => ResetReason::PROBE,
            Kind::Test => ResetReason::USER,
            _ => ResetReason::PROTOCOL,
        }
    }

    /// As a number, which is not 0, for those who may not lock.
    pub(crate) fn pack(&self) -> u64 {
        let low = u64::from(self.vport) | u64::from(self.number) << 16;
        let high = u64::from(self.detail) << 32 | u64::from(self.kind as u8) << 48;
        low | high | 1 << 63
    }

    /// From what [`Self::pack`] gave; 0: none.
    pub(crate) fn unpack(packed: u64) -> Option<Self> {
        if packed == 0 {
            return None;
        }
        let kind = KINDS.get((packed >> 48 & 0x7fff) as usize)?;
        let bare = packed & !(1 << 63);
        Some(Self {
            kind: *kind,
            vport: bare as u16,
            number: (bare >> 16) as u16,
            detail: (bare >> 32) as u16,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, detail) = (self.number, self.detail);
        let stopped = QueueError(detail).text();
        match self.kind {
            Kind::Noted => {
                let severity = severity(number.into());
                f.write_fmt(fmt!("{}: {}", severity, Reason(detail).text()))
            }
            Kind::Requested => f.write_str("the device asks for a reset"),
            Kind::Halted => f.write_fmt(fmt!("the function has halted: {}", Reason(detail).text())),
            Kind::StandsStill => f.write_str("the heartbeat stands still"),
            Kind::ForeignReset => f.write_str("the function was reset by somebody else"),
            Kind::CameBack => f.write_str("the function was gone and is back"),
            Kind::Unanswered => f.write_fmt(fmt!(
                "no answer to '{}' in time",
                oxnic_abi::command::Opcode(detail).text()
            )),
            Kind::StrayAnswer => f.write_fmt(fmt!("an answer that makes no sense ({})", detail)),
            Kind::NotDestroyed => f.write_fmt(fmt!("queue {} is not destroyed", number)),
            Kind::NotDeleted => f.write_str("the device does not let go of a rule or an object"),
            Kind::NoCompletion => f.write_fmt(fmt!("queue {}: a completion is missing", number)),
            Kind::NoProgress => f.write_fmt(fmt!("queue {} makes no progress", number)),
            Kind::LateTransmit => f.write_fmt(fmt!(
                "queue {}: an interrupt or a doorbell was lost",
                number
            )),
            Kind::LateReceive => f.write_fmt(fmt!("queue {}: an interrupt was lost", number)),
            Kind::BadTransmit | Kind::BadReceive => {
                f.write_fmt(fmt!("queue {}: a completion breaks the rules", number))
            }
            Kind::StoppedTransmit | Kind::StoppedReceive => {
                f.write_fmt(fmt!("queue {} was stopped: {}", number, stopped))
            }
            Kind::StoppedFlow => {
                f.write_fmt(fmt!("flow queue {} was stopped: {}", number, stopped))
            }
            Kind::NoResult => f.write_fmt(fmt!("flow queue {}: no result in time", number)),
            Kind::BadResult => f.write_fmt(fmt!(
                "flow queue {}: a result that is none to its request",
                number
            )),
            Kind::NotStarted => f.write_str("the function does not let itself be taken over"),
            Kind::Test => f.write_str("test by the user"),
        }
    }
}

/// What a number of the health block means.
pub(crate) fn severity(number: u32) -> &'static str {
    match number {
        0 => "healthy",
        1 => "warning",
        2 => "error",
        _ => "fatal",
    }
}

/// The fault that a user's test of a part is.
pub(crate) fn test(part: Part, vport: u16) -> Fault {
    let number = PARTS.iter().position(|known| *known == part).unwrap_or(0);
    Fault::of_queue(Kind::Test, vport, 0, number as u16)
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_health_fault)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_what_comes_out() {
        for (number, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
            for vport in [0, 3, u16::MAX] {
                let fault = Fault::of_queue(kind, vport, 0xffff, number as u16);
                assert_eq!(Fault::unpack(fault.pack()), Some(fault));
            }
        }
        assert_eq!(Fault::unpack(0), None);
        assert_eq!(Fault::unpack(1 << 63 | 0x7fff << 48), None);
    }

    #[test]
    fn a_test_is_of_the_part_that_is_tested() {
        for part in PARTS {
            assert_eq!(test(part, 2).part(), part);
        }
    }
}
