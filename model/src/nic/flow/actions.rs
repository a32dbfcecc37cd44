// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Action templates: what rules do, and which objects that names.

use super::refused::{Place, Refused, Why, ensure};
use super::slots::Slots;
use oxnic_abi::flow::action::{
    FlowAction, FlowActionKind as Kind, FlowEdit, FlowHeader, FlowNote, FlowVerdict, NO_ENCAP,
    action_flags, decap_flags,
};
use oxnic_abi::flow::capability::FlowCaps;
use oxnic_abi::flow::port::FlowDirection;
use oxnic_abi::flow::table::NO_TABLE;

/// Something that an action names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A counter.
    Counter(u32),
    /// A meter.
    Meter(u32),
    /// A table.
    Table(u32),
    /// Headers.
    Encap(u32),
}

/// An action template.
#[derive(Debug)]
pub struct ActionTemplate {
    /// The list.
    pub actions: Vec<FlowAction>,
    /// Arguments of the rules that have it.
    pub arguments: Slots,
    /// Some action names headers.
    pub encaps: bool,
}

/// The operands of an action, with those that are the rule's.
pub fn operands(action: &FlowAction, arguments: &[u8]) -> [u32; 4] {
    let mut operands = action.operands;
    if action.flags & action_flags::ARGUMENT != 0 {
        let (first, count) = action.kind.arguments();
        let mut words = arguments
            .get(usize::from(action.argument)..)
            .unwrap_or_default()
            .chunks_exact(4);
        for operand in operands.iter_mut().skip(first).take(count) {
            let word = words.next().and_then(<[u8]>::first_chunk::<4>);
            *operand = word.copied().map_or(0, u32::from_le_bytes);
        }
    }
    // A value that is written into packets stays in the order of its bytes.
    operands
}

/// What an action names: the number of the operand, and the object.
pub fn named(kind: Kind, choice: [u8; 2], operands: &[u32; 4]) -> Vec<(usize, Named)> {
    let verdict = |choice: u8, at: usize| {
        (FlowVerdict(choice) == FlowVerdict::GOTO).then(|| (at, Named::Table(operands[at])))
    };
    match kind {
        Kind::COUNT => vec![(0, Named::Counter(operands[0]))],
        Kind::METER => [
            Some((0, Named::Meter(operands[0]))),
            verdict(choice[0], 1),
            verdict(choice[1], 2),
        ]
        .into_iter()
        .flatten()
        .collect(),
        Kind::GOTO => vec![(0, Named::Table(operands[0]))],
        Kind::MIRROR | Kind::REDIRECT if operands[1] != NO_ENCAP => {
            vec![(1, Named::Encap(operands[1]))]
        }
        _ => Vec::new(),
    }
}

/// Whether an operand of an action comes from the rule.
fn is_argument(action: &FlowAction, operand: usize) -> bool {
    let (first, count) = action.kind.arguments();
    action.flags & action_flags::ARGUMENT != 0 && (first..first + count).contains(&operand)
}

impl ActionTemplate {
    /// From the list of a command.
    ///
    /// # Errors
    /// The first action that this device cannot do, or that means nothing.
    pub fn new(caps: &FlowCaps, actions: &[FlowAction]) -> Result<Self, Refused> {
        let many = Place::Field(4);
        let fits = actions.len() <= usize::from(caps.actions_max);
        ensure(fits, Why::Limit, many)?;
        let copies = actions
            .iter()
            .filter(|action| matches!(action.kind, Kind::MIRROR | Kind::SAMPLE))
            .count();
        ensure(copies <= usize::from(caps.copies_max), Why::Limit, many)?;
        let mut width = 0;
        let mut before = None;
        for (number, action) in (0u16..).zip(actions) {
            let at = |byte| Place::Action(number, byte);
            check(caps, action, at)?;
            let continued = action.flags & action_flags::CONTINUED != 0;
            ensure(
                !continued || before == Some(Kind::EDIT),
                Why::Conflict,
                at(2),
            )?;
            before = Some(action.kind);
            if action.flags & action_flags::ARGUMENT != 0 {
                let end = usize::from(action.argument) + 4 * action.kind.arguments().1;
                ensure(end <= usize::from(caps.arguments_max), Why::Limit, at(4))?;
                width = width.max(end);
            }
        }
        let names_encap = |action: &FlowAction| {
            matches!(action.kind, Kind::MIRROR | Kind::REDIRECT)
                && (is_argument(action, 1) || action.operands[1] != NO_ENCAP)
        };
        Ok(Self {
            encaps: actions.iter().any(names_encap),
            actions: actions.to_vec(),
            arguments: Slots::new(width),
        })
    }

    /// What the template names by itself.
    pub fn own_names(&self) -> Vec<(Place, Named)> {
        let mut names = Vec::new();
        for (number, action) in (0u16..).zip(&self.actions) {
            for (operand, name) in named(action.kind, action.choice, &action.operands) {
                if !is_argument(action, operand) {
                    names.push((Place::Action(number, 8 + 4 * operand as u16), name));
                }
            }
        }
        names
    }

    /// What a rule with these arguments names.
    pub fn rule_names(&self, arguments: &[u8]) -> Vec<(Place, Named)> {
        let mut names = Vec::new();
        for action in &self.actions {
            if action.flags & action_flags::ARGUMENT == 0 {
                continue;
            }
            let (first, _) = action.kind.arguments();
            let operands = operands(action, arguments);
            for (operand, name) in named(action.kind, action.choice, &operands) {
                if is_argument(action, operand) {
                    let at = action.argument + 4 * (operand - first) as u16;
                    names.push((Place::Argument(at), name));
                }
            }
        }
        names
    }

    /// Checks a rule's arguments as far as they are no names.
    ///
    /// # Errors
    /// The first that means nothing.
    pub fn check_arguments(&self, arguments: &[u8]) -> Result<(), Refused> {
        for action in &self.actions {
            if action.flags & action_flags::ARGUMENT == 0 {
                continue;
            }
            let operands = operands(action, arguments);
            let bad = bad_operand(action.kind, &operands);
            if let Some(operand) = bad.filter(|operand| is_argument(action, *operand)) {
                let (first, _) = action.kind.arguments();
                let at = action.argument + 4 * (operand - first) as u16;
                return Err(Refused::new(Why::Invalid, Place::Argument(at)));
            }
        }
        Ok(())
    }
}

/// The operand whose value means nothing.
fn bad_operand(kind: Kind, operands: &[u32; 4]) -> Option<usize> {
    match kind {
        Kind::MIRROR | Kind::REDIRECT if operands[0] > u32::from(u16::MAX) => Some(0),
        Kind::VLAN_PUSH if operands[0] > 0xffff => Some(0),
        Kind::VLAN_MODIFY if operands[0] > 0xffff => Some(0),
        Kind::VLAN_MODIFY if operands[1] > 0xffff => Some(1),
        Kind::SAMPLE if operands[0] == 0 => Some(0),
        Kind::GOTO if operands[0] == NO_TABLE => Some(0),
        _ => None,
    }
}

/// How many operands an action has.
fn operand_count(kind: Kind) -> usize {
    match kind {
        Kind::COUNT
        | Kind::GOTO
        | Kind::VLAN_PUSH
        | Kind::CSUM
        | Kind::MARK
        | Kind::PRIORITY
        | Kind::DECAP => 1,
        Kind::MIRROR | Kind::REDIRECT | Kind::VLAN_MODIFY => 2,
        Kind::METER | Kind::EDIT | Kind::SAMPLE => 3,
        _ => 0,
    }
}

fn check(caps: &FlowCaps, action: &FlowAction, at: impl Fn(u16) -> Place) -> Result<(), Refused> {
    let kind = action.kind;
    ensure(Kind::ALL.contains(&kind), Why::Invalid, at(0))?;
    ensure(caps.actions & kind.bit() != 0, Why::Unsupported, at(0))?;
    let allowed = match kind {
        Kind::EDIT => action_flags::ALL,
        _ if kind.arguments().1 != 0 => action_flags::ARGUMENT,
        _ => 0,
    };
    ensure(action.flags & !allowed == 0, Why::Invalid, at(2))?;
    let argument = action.flags & action_flags::ARGUMENT != 0;
    let aligned = action.argument % 4 == 0 && (argument || action.argument == 0);
    ensure(aligned, Why::Invalid, at(4))?;
    for (number, operand) in action.operands.iter().enumerate() {
        let idle = number >= operand_count(kind) || is_argument(action, number);
        let byte = 8 + 4 * number as u16;
        ensure(!idle || *operand == 0, Why::Invalid, at(byte))?;
    }
    if let Some(operand) = bad_operand(kind, &action.operands) {
        let here = at(8 + 4 * operand as u16);
        ensure(is_argument(action, operand), Why::Invalid, here)?;
    }
    check_choice(caps, action, at)
}

fn check_choice(
    caps: &FlowCaps,
    action: &FlowAction,
    at: impl Fn(u16) -> Place,
) -> Result<(), Refused> {
    let [first, second] = action.choice;
    let known = match action.kind {
        Kind::METER => {
            for (byte, verdict, operand) in [(6, first, 1usize), (7, second, 2)] {
                let known = FlowVerdict::ALL.contains(&FlowVerdict(verdict));
                ensure(known, Why::Invalid, at(byte))?;
                let bit = 1u16.checked_shl(u32::from(verdict)).unwrap_or(0);
                ensure(caps.verdicts & bit != 0, Why::Unsupported, at(byte))?;
                let has = matches!(FlowVerdict(verdict), FlowVerdict::GOTO | FlowVerdict::SKIP);
                let place = at(8 + 4 * operand as u16);
                ensure(has || action.operands[operand] == 0, Why::Invalid, place)?;
            }
            return Ok(());
        }
        Kind::MIRROR | Kind::REDIRECT => {
            FlowDirection::ALL.contains(&FlowDirection(first)) && second == 0
        }
        Kind::ACCEPT | Kind::TRAP => FlowNote::ALL.contains(&FlowNote(first)) && second == 0,
        Kind::VLAN_PUSH | Kind::VLAN_MODIFY => {
            super::parse::is_tag(u16::from_be_bytes(action.choice))
        }
        Kind::EDIT => return check_edit(caps, action, at),
        _ => action.choice == [0, 0],
    };
    ensure(known, Why::Invalid, at(6))?;
    let bits = match action.kind {
        Kind::CSUM => u32::from(caps.checksums),
        Kind::DECAP => u32::from(caps.decap_flags) & decap_flags::ALL,
        _ => return Ok(()),
    };
    ensure(action.operands[0] & !bits == 0, Why::Unsupported, at(8))
}

/// The bytes that an edit changes have to be within those that the capability names.
fn check_edit(
    caps: &FlowCaps,
    action: &FlowAction,
    at: impl Fn(u16) -> Place,
) -> Result<(), Refused> {
    let [header, edit] = action.choice;
    let [offset, keep, ..] = action.operands;
    let bits = match FlowEdit(edit) {
        FlowEdit::SET => &caps.edit_set,
        FlowEdit::ADD => &caps.edit_add,
        _ => return Err(Refused::new(Why::Invalid, at(7))),
    };
    let known = FlowHeader::ALL.contains(&FlowHeader(header));
    let bits = bits.get(usize::from(header)).copied().filter(|_| known);
    let bits = bits.ok_or(Refused::new(Why::Invalid, at(6)))?;
    ensure(offset % 4 == 0, Why::Invalid, at(8))?;
    for (byte, kept) in (0u32..).zip(keep.to_le_bytes()) {
        let bit = offset
            .checked_add(byte)
            .and_then(|byte| 1u64.checked_shl(byte));
        let reached = bit.is_some_and(|bit| bits & bit != 0);
        ensure(kept == 0xff || reached, Why::Unsupported, at(8))?;
    }
    Ok(())
}
