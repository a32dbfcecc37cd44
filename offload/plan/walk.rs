// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Which actions of a rule are ever reached, and where each one leads.

use crate::reject::Reject;
use crate::rule::{Action, Verdict};

/// What a verdict comes to at its place in the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To the action of that number.
    To(usize),
    /// Out of the rule: accepted.
    Accept,
    /// Out of the rule, with any other verdict.
    Out(Verdict),
}

/// Where a verdict of the action of that number leads, among so many.
///
/// # Errors
///
/// [`Reject::Jump`] for a jump backwards: a device goes through actions once.
pub(super) fn way(verdict: Verdict, at: usize, actions: usize) -> Result<Way, Reject> {
    let to = match verdict {
        Verdict::Pipe => at + 1,
        Verdict::Jump(0) => return Ok(Way::Accept),
        Verdict::Jump(to) => usize::try_from(to).unwrap_or(usize::MAX),
        Verdict::Accept => return Ok(Way::Accept),
        other => return Ok(Way::Out(other)),
    };
    if to >= actions {
        Ok(Way::Accept)
    } else if to <= at {
        Err(Reject::Jump { to })
    } else {
        Ok(Way::To(to))
    }
}

/// The verdicts that an action can end with.
pub(super) fn verdicts(action: &Action<'_>) -> [Option<Verdict>; 2] {
    match action {
        Action::Control(verdict) => [Some(*verdict), None],
        Action::Police(police) => [Some(police.conform), Some(police.exceed)],
        Action::Redirect(..) => [None, None],
        _ => [Some(Verdict::Pipe), None],
    }
}

/// What is known of a rule's actions once all ways through it were followed. Bit n stands for action n.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Walk {
    /// Those that some packet gets to.
    pub(super) reached: u64,
    /// Those that are jumped to.
    pub(super) landings: u64,
    /// Whether some packet is accepted.
    pub(super) accepts: bool,
    /// Whether some packet is trapped.
    pub(super) traps: bool,
}

impl Walk {
    /// Follows all ways through the actions, of which there are at most [`crate::rule::check::ACTIONS_MAX`].
    ///
    /// # Errors
    ///
    /// As [`way`].
    pub(super) fn new(actions: &[Action<'_>]) -> Result<Self, Reject> {
        let mut walk = Self {
            reached: 1,
            accepts: actions.is_empty(),
            ..Self::default()
        };
        for (at, action) in actions.iter().enumerate() {
            if !walk.reaches(at) {
                continue;
            }
            for verdict in verdicts(action).into_iter().flatten() {
                match way(verdict, at, actions.len())? {
                    Way::To(to) => {
                        walk.reached |= bit(to);
                        walk.landings |= if to == at + 1 { 0 } else { bit(to) };
                    }
                    Way::Accept => walk.accepts = true,
                    Way::Out(Verdict::Trap) => walk.traps = true,
                    Way::Out(_) => {}
                }
            }
        }
        Ok(walk)
    }

    /// Whether some packet gets to an action.
    pub(super) fn reaches(&self, at: usize) -> bool {
        self.reached & bit(at) != 0
    }

    /// Whether an action is jumped to.
    pub(super) fn lands(&self, at: usize) -> bool {
        self.landings & bit(at) != 0
    }
}

/// Which actions of a rule any packet gets to: bit n stands for action n. The others count nothing, whatever the rule takes. None for
/// a list that is refused for a jump backwards.
pub fn reached(actions: &[Action<'_>]) -> u64 {
    Walk::new(actions).map_or(0, |walk| walk.reached)
}

const fn bit(at: usize) -> u64 {
    if at < 64 {
        1 << at
    } else {
        0
    }
}
