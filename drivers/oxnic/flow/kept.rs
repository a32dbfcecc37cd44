// SPDX-License-Identifier: GPL-2.0-only

//! What a rule, or an action by itself, does: a copy, as what the kernel has said is gone once it was read. It is kept of actions that are
//! there by themselves, and of rules that name them, so that these can do what the action does when that is changed.

use super::{
    count::{means, OfAction},
    ports::UPPERS,
    read::Origin,
    shared::Named, //
};
use kernel::{alloc::AllocError, prelude::*};
use oxnic_kapi::net::flow::HwStats;
use oxnic_offload::{
    plan::UpperDevice,
    rule::{police::Rate, Action, Edit, Police, Port, Verdict},
};

/// An action, and where it comes from.
struct Piece {
    /// Without its edits, if it has any.
    action: Action<'static>,
    edits: KVec<Edit>,
    cookie: usize,
    index: u32,
    hw_stats: HwStats,
    miss_cookie: u64,
}

impl Piece {
    fn clone(&self) -> Result<Self, AllocError> {
        let mut edits = KVec::new();
        edits.extend_from_slice(&self.edits, GFP_KERNEL)?;
        Ok(Self { edits, ..*self })
    }
}

/// Actions, and the VLAN devices that they name.
pub(crate) struct Kept {
    pieces: KVec<Piece>,
    uppers: KVec<UpperDevice>,
}

impl Kept {
    /// Copies actions. None where one of them cannot be kept: headers of a tunnel, which are followed elsewhere.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub(crate) fn new(
        actions: &[Action<'_>],
        origins: &[Origin<'_>],
        uppers: &[UpperDevice],
    ) -> Result<Option<Self>, AllocError> {
        let mut kept = Self {
            pieces: KVec::with_capacity(actions.len(), GFP_KERNEL)?,
            uppers: KVec::new(),
        };
        kept.uppers.extend_from_slice(uppers, GFP_KERNEL)?;
        for (action, origin) in actions.iter().zip(origins) {
            let apart = match action {
                Action::TunnelUnset => None,
                action => action.apart(),
            };
            let Some((action, borrowed)) = apart else {
                return Ok(None);
            };
            let mut edits = KVec::new();
            edits.extend_from_slice(borrowed, GFP_KERNEL)?;
            let piece = Piece {
                action,
                edits,
                cookie: origin.cookie,
                index: origin.index,
                hw_stats: origin.hw_stats,
                miss_cookie: origin.miss_cookie,
            };
            kept.pieces.push(piece, GFP_KERNEL)?;
        }
        Ok(Some(kept))
    }

    /// The VLAN devices.
    pub(crate) fn uppers(&self) -> &[UpperDevice] {
        &self.uppers
    }

    /// The actions.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub(crate) fn actions(&self) -> Result<KVec<Action<'_>>, AllocError> {
        let mut actions = KVec::with_capacity(self.pieces.len(), GFP_KERNEL)?;
        for piece in &self.pieces {
            let action = match piece.action {
                Action::Pedit(_) => Action::Pedit(&piece.edits),
                action => action,
            };
            actions.push(action, GFP_KERNEL)?;
        }
        Ok(actions)
    }

    /// Where they come from. Nobody gets copies of samples.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub(crate) fn origins(&self) -> Result<KVec<Origin<'static>>, AllocError> {
        let mut origins = KVec::with_capacity(self.pieces.len(), GFP_KERNEL)?;
        for piece in &self.pieces {
            let origin = Origin {
                cookie: piece.cookie,
                index: piece.index,
                hw_stats: piece.hw_stats,
                miss_cookie: piece.miss_cookie,
                listeners: None,
            };
            origins.push(origin, GFP_KERNEL)?;
        }
        Ok(origins)
    }

    /// The names of the actions.
    pub(crate) fn cookies(&self) -> impl Iterator<Item = usize> + '_ {
        self.pieces.iter().map(|piece| piece.cookie)
    }

    /// Each action once, with the counters that `counters` gives for its place among these.
    pub(crate) fn named<'a>(
        &'a self,
        counters: impl Fn(usize) -> OfAction<'a> + 'a,
    ) -> impl Iterator<Item = Named<'a>> + 'a {
        let first = |(at, piece): &(usize, &Piece)| {
            let mut before = self.pieces.iter().take(*at);
            before.all(|other| other.cookie != piece.cookie)
        };
        let all = self.pieces.iter().enumerate().filter(first);
        all.map(move |(at, piece)| Named {
            cookie: piece.cookie,
            means: means(piece.hw_stats),
            counters: counters(at),
        })
    }

    /// What an action by itself does.
    fn does(&self, piece: &Piece) -> (Action<'static>, Option<UpperDevice>) {
        let (port, direction) = match piece.action {
            Action::Redirect(port, direction) | Action::Mirror(port, direction) => {
                (port, direction)
            }
            // What else it is, is its meter's.
            Action::Police(police) => {
                let police = Police {
                    rate: Rate::None,
                    mtu: 0,
                    ..police
                };
                return (Action::Police(police), None);
            }
            action => return (action, None),
        };
        let upper = port.0.checked_sub(UPPERS);
        let upper = upper.and_then(|number| self.uppers.get(number as usize));
        let port = if upper.is_some() { Port(UPPERS) } else { port };
        let action = match piece.action {
            Action::Mirror(..) => Action::Mirror(port, direction),
            _ => Action::Redirect(port, direction),
        };
        (action, upper.copied())
    }

    /// The pieces that stand together and are of the same action, which may be named several times in a row.
    fn runs(&self) -> impl Iterator<Item = (usize, &[Piece])> {
        let runs = self.pieces.chunk_by(|one, next| one.cookie == next.cookie);
        runs.filter_map(|run| Some((run.first()?.cookie, run)))
    }

    /// For each time that an action is named in a run of its pieces, these, by how many it has.
    fn times<'a>(&self, run: &'a [Piece]) -> impl Iterator<Item = &'a [Piece]> {
        run.chunks(self.pieces.len().max(1))
    }

    /// Whether an action by itself does here what it does there, wherever it is named. How it is to be counted does not matter: the
    /// kernel has of that what was said last, also where a rule that names it says nothing.
    pub(crate) fn agrees(&self, cookie: usize, alone: &Self) -> bool {
        let runs = self.runs().filter(|(of, _)| *of == cookie);
        let mut times = runs.flat_map(|(_, run)| alone.times(run));
        times.all(|mine| {
            let mut both = mine.iter().zip(&alone.pieces);
            mine.len() == alone.pieces.len()
                && both.all(|(mine, theirs)| {
                    self.does(mine) == alone.does(theirs) && *mine.edits == *theirs.edits
                })
        })
    }

    /// The same with another version of an action; none where that cannot be told apart from what stands around it.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub(crate) fn with(
        &self,
        cookie: usize,
        before: &Self,
        now: &Self,
    ) -> Result<Option<Self>, AllocError> {
        let jumps = |piece: &Piece| match piece.action {
            Action::Police(police) => [police.conform, police.exceed]
                .iter()
                .any(|verdict| matches!(verdict, Verdict::Jump(_))),
            _ => false,
        };
        // A jump has the number of an action, and those would change.
        let moves = before.pieces.len() != now.pieces.len();
        let any_jumps = self.pieces.iter().any(jumps) || now.pieces.iter().any(jumps);
        if !self.agrees(cookie, before) || (moves && any_jumps) {
            return Ok(None);
        }
        let mut with = Self {
            pieces: KVec::new(),
            uppers: KVec::new(),
        };
        with.uppers.extend_from_slice(&self.uppers, GFP_KERNEL)?;
        let first = with.uppers.len() as u32;
        with.uppers.extend_from_slice(&now.uppers, GFP_KERNEL)?;
        for (of, run) in self.runs() {
            if of != cookie {
                for piece in run {
                    with.pieces.push(piece.clone()?, GFP_KERNEL)?;
                }
                continue;
            }
            for piece in before.times(run).flat_map(|_| &now.pieces) {
                let mut piece = piece.clone()?;
                piece.action = moved(piece.action, first);
                with.pieces.push(piece, GFP_KERNEL)?;
            }
        }
        Ok(Some(with))
    }
}

/// An action whose VLAN devices are further back in the list.
fn moved(action: Action<'static>, by: u32) -> Action<'static> {
    let to = |port: Port| match port.0.checked_sub(UPPERS) {
        Some(_) => Port(port.0.saturating_add(by)),
        None => port,
    };
    match action {
        Action::Redirect(port, direction) => Action::Redirect(to(port), direction),
        Action::Mirror(port, direction) => Action::Mirror(to(port), direction),
        other => other,
    }
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_kept)]
mod tests {
    use super::*;
    use oxnic_kapi::net::flow::fixture::Fixture;
    use oxnic_offload::rule::{Direction, Header, Operation};

    const EDIT: Edit = Edit {
        header: Header::Ipv4,
        offset: 8,
        operation: Operation::Set,
        keep: [0, 0xff, 0xff, 0xff],
        value: [9, 0, 0, 0],
    };

    fn origin(cookie: usize) -> Origin<'static> {
        let fixture = Fixture::new(1).unwrap();
        let hw_stats = fixture.rule().actions().iter().next().unwrap().hw_stats();
        Origin {
            cookie,
            index: 0,
            hw_stats,
            miss_cookie: 0,
            listeners: None,
        }
    }

    fn kept(actions: &[(Action<'_>, usize)], uppers: &[UpperDevice]) -> Result<Kept> {
        let mut all = KVec::new();
        let mut origins = KVec::new();
        for (action, cookie) in actions {
            all.push(*action, GFP_KERNEL)?;
            origins.push(origin(*cookie), GFP_KERNEL)?;
        }
        Kept::new(&all, &origins, uppers)?.ok_or(EINVAL)
    }

    #[test]
    fn another_version_of_an_action_stands_where_the_one_before_stood() -> Result {
        let edits = [EDIT];
        let out = Action::Redirect(Port(3), Direction::Egress);
        let rule = kept(
            &[(Action::Pedit(&edits), 1), (Action::VlanPop, 2), (out, 3)],
            &[],
        )?;
        let before = kept(&[(Action::VlanPop, 2)], &[])?;
        let ok = Action::Control(Verdict::Accept);
        let now = kept(&[(Action::Mark(5), 2), (ok, 2)], &[])?;
        assert!(rule.agrees(2, &before) && !rule.agrees(2, &now));
        let with = rule.with(2, &before, &now)?.ok_or(EINVAL)?;
        assert_eq!(
            *with.actions()?,
            [Action::Pedit(&edits), Action::Mark(5), ok, out]
        );
        assert!(with.agrees(2, &now) && !with.agrees(2, &before));
        // It does not do what it should do before: what it does now is not known to be newer.
        assert!(rule.with(2, &now, &before)?.is_none());
        Ok(())
    }

    #[test]
    fn an_action_may_be_named_several_times_in_a_row() -> Result {
        let out = Action::Redirect(Port(3), Direction::Egress);
        let pop = (Action::VlanPop, 2);
        let rule = kept(&[pop, pop, (out, 3), pop], &[])?;
        let before = kept(&[pop], &[])?;
        let mark = Action::Mark(5);
        let now = kept(&[(mark, 2), pop], &[])?;
        assert!(rule.agrees(2, &before) && !rule.agrees(2, &now));
        let with = rule.with(2, &before, &now)?.ok_or(EINVAL)?;
        let popped = Action::VlanPop;
        assert_eq!(
            *with.actions()?,
            [mark, popped, mark, popped, out, mark, popped]
        );
        let again = with.with(2, &now, &before)?.ok_or(EINVAL)?;
        assert_eq!(*again.actions()?, [popped, popped, out, popped]);
        // A part of it is not the whole.
        let part = kept(&[(mark, 2), pop, (mark, 2), (out, 3)], &[])?;
        assert!(!part.agrees(2, &now));
        Ok(())
    }

    #[test]
    fn vlan_devices_are_told_apart_by_what_they_are() -> Result {
        let upper = |id| UpperDevice::new(7, &[(0x8100, id)]).ok_or(EINVAL);
        let (five, six) = (upper(5)?, upper(6)?);
        let to = |number| Action::Redirect(Port(UPPERS + number), Direction::Egress);
        let copy = Action::Mirror(Port(UPPERS), Direction::Egress);
        let rule = kept(&[(copy, 1), (to(1), 2)], &[six, five])?;
        let before = kept(&[(to(0), 2)], &[five])?;
        let now = kept(&[(to(0), 2)], &[six])?;
        assert!(rule.agrees(2, &before) && !rule.agrees(2, &now));
        let with = rule.with(2, &before, &now)?.ok_or(EINVAL)?;
        assert_eq!(*with.actions()?, [copy, to(2)]);
        assert_eq!(with.uppers(), [six, five, six]);
        Ok(())
    }

    #[test]
    fn headers_of_a_tunnel_are_not_kept() -> Result {
        let actions = [Action::TunnelUnset];
        assert!(Kept::new(&actions, &[origin(1)], &[])?.is_none());
        Ok(())
    }
}
