// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! police: a meter with two verdicts. The verdicts, and tables that they name, are the template's; the meter is the rule's.

use oxnic_abi::flow::action::{FlowAction, FlowActionKind, FlowVerdict};
use oxnic_abi::flow::meter::MeterUnit;

use super::actions::Lowering;
use super::context::Destinations;
use super::needs::Need;
use super::walk::{way, Way};
use crate::reject::{Lack, Reject};
use crate::rule::police::Rate;
use crate::rule::{Police, Verdict};

/// Stands for the end of the list in the operand of a SKIP that is not resolved yet; other operands there are actions of tc.
const END: u32 = u32::MAX;

/// The device interface's number for what a rate is of.
pub const fn unit(rate: Rate) -> MeterUnit {
    match rate {
        Rate::None => MeterUnit::NONE,
        Rate::Bytes { .. } => MeterUnit::BYTES,
        Rate::Packets { .. } => MeterUnit::PACKETS,
    }
}

/// Makes numbers of entries of the skips of a meter's entry. `entries` says how many entries are between the meter and an action of tc, or
/// the end.
pub(super) fn resolve(entry: &mut FlowAction, entries: impl Fn(Option<usize>) -> usize) {
    let [_, within, beyond, _] = &mut entry.operands;
    for (verdict, operand) in entry.choice.iter().zip([within, beyond]) {
        if FlowVerdict(*verdict) == FlowVerdict::SKIP {
            let to = (*operand != END).then_some(*operand as usize);
            *operand = u32::try_from(entries(to)).unwrap_or(u32::MAX);
        }
    }
}

/// Whether packets that are within a policer count as dropped by it, and those that are beyond. The former never do without a rate
/// (`tcf_police_act`).
pub(super) fn drops(police: &Police) -> [bool; 2] {
    let within = police.conform == Verdict::Drop && police.rate != Rate::None;
    [within, police.exceed == Verdict::Drop]
}

/// Makes verdicts of a meter's entry skips of so many entries.
pub(super) fn divert(entry: &mut FlowAction, verdicts: [bool; 2], entries: u32) {
    let [_, within, beyond, _] = &mut entry.operands;
    let places = entry.choice.iter_mut().zip([within, beyond]);
    for ((verdict, operand), _) in places.zip(verdicts).filter(|(_, diverted)| *diverted) {
        (*verdict, *operand) = (FlowVerdict::SKIP.0, entries);
    }
}

impl<D: Destinations> Lowering<'_, '_, '_, D> {
    pub(super) fn police(
        &mut self,
        police: &Police,
        at: usize,
        actions: usize,
    ) -> Result<(), Reject> {
        let unit = unit(police.rate);
        if self.context.device.meter_units & (1 << unit.0) == 0 {
            return Err(Reject::Lacks(Lack::Meter { unit }));
        }
        let mut choice = [0; 2];
        let mut operands = [0; 4];
        let [_, within, beyond, _] = &mut operands;
        for ((verdict, which), (choice, operand)) in
            [(police.conform, "conform"), (police.exceed, "exceed")]
                .into_iter()
                .zip(choice.iter_mut().zip([within, beyond]))
        {
            let (kind, value) = self.verdict(verdict, which, at, actions)?;
            *choice = kind.0;
            *operand = value;
        }
        let entry = FlowAction {
            kind: FlowActionKind::METER,
            choice,
            operands,
            ..FlowAction::ZERO
        };
        let at = self.add(entry, &[0])?;
        self.need(Need::Meter {
            at,
            police: *police,
        })
    }

    fn verdict(
        &self,
        verdict: Verdict,
        which: &'static str,
        at: usize,
        actions: usize,
    ) -> Result<(FlowVerdict, u32), Reject> {
        let found = match way(verdict, at, actions)? {
            // With the end of the list, which takes the mark along.
            Way::Accept if self.marks() => (FlowVerdict::SKIP, END),
            Way::Accept if at + 1 == actions && verdict == Verdict::Pipe => (FlowVerdict::PIPE, 0),
            Way::Accept => (FlowVerdict::ACCEPT, 0),
            Way::To(to) if to == at + 1 => (FlowVerdict::PIPE, 0),
            Way::To(to) => (FlowVerdict::SKIP, to as u32),
            Way::Out(Verdict::Drop) => (FlowVerdict::DROP, 0),
            Way::Out(Verdict::Goto(chain)) => (FlowVerdict::GOTO, self.table(chain)?),
            Way::Out(Verdict::Continue) => (FlowVerdict::CONTINUE, 0),
            Way::Out(_) => return Err(Reject::PoliceVerdict { which }),
        };
        if self.context.device.verdicts & (1 << found.0 .0) == 0 {
            let verdict = found.0;
            return Err(Reject::Lacks(Lack::Verdict { which, verdict }));
        }
        Ok(found)
    }
}
