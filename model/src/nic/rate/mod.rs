// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What VFs send is shared out by a tree: who goes next, and when, without any I/O. Time is passed in.
//!
//! [`Shaper`] knows which queues of which VFs have packets, and says which one has its turn. Of what lies below a node, or below
//! none, and may send: first those that have got less than they are promised; then those of the highest priority; among these by
//! weight. Where traffic classes are told apart, the class is chosen first, by its part. Nothing here is asked while no VF has
//! anything set.

pub mod bucket;
pub mod settings;
#[cfg(test)]
mod tests;

use bucket::Bucket;
use oxnic_abi::rate::CLASSES;
use settings::{NODES, Name, Plan, has_classes};
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

/// Bytes after which a turn ends.
const TURN_BYTES: u64 = 8192;
/// Nanoseconds that a packet waits for its turn at most, so that no driver takes the device for dead.
pub const PATIENCE: u64 = 2_000_000_000;
/// Nanoseconds between two looks at who has waited for too long.
pub const LOOK: u64 = 250_000_000;
/// Units of virtual time for a byte at weight 1.
const SCALE: u64 = 1 << 10;
/// Above everything.
const ROOT: usize = 0;

/// Who has its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This queue of this VF.
    Turn(u16, u16),
    /// Nobody before this time.
    Wait(u64),
    /// Nobody has anything.
    Idle,
}

/// State of a leaf, node, or of what lies above all.
#[derive(Clone, Debug, Default)]
struct State {
    promise: Bucket,
    limit: Bucket,
    /// Virtual time among its siblings of the same priority.
    time: u64,
    /// Virtual time of what lies below it, by priority: when the last one began its turn.
    clocks: BTreeMap<u32, u64>,
    class_times: [u64; CLASSES],
    class_clock: u64,
    /// What lies below it and has packets, in the order in which it came to have some. Empty for a leaf.
    waiting: VecDeque<usize>,
    /// Of a leaf: queues whose next packet is of this class, and since when they wait.
    queues: [VecDeque<(u16, u64)>; CLASSES],
}

impl State {
    fn mask(&self) -> u8 {
        let there = self.queues.iter().enumerate();
        there.fold(0, |mask, (class, queues)| {
            mask | (u8::from(!queues.is_empty()) << class)
        })
    }
}

/// A turn that has begun.
#[derive(Clone, Debug, Default)]
struct Turn {
    /// From the leaf up: whether it is its promise that is kept, and the class that was chosen there.
    path: Vec<(usize, bool)>,
    classes: Vec<(usize, usize)>,
    bytes: u64,
    /// One packet only, since the next one may be of another class.
    single: bool,
}

/// Shares out what VFs send.
pub struct Shaper {
    plan: Plan,
    /// The root, nodes by number, then leaves.
    states: Vec<State>,
    turn: Turn,
    /// Before this time nobody may send.
    rest: u64,
    /// When to look next at who has waited for too long.
    look: u64,
    plain: bool,
    /// How often it was asked who is next.
    asked: u64,
}

fn index(name: Name) -> usize {
    match name {
        Name::Node(number) => usize::from(number),
        Name::Leaf(vf) => usize::from(NODES) + 1 + usize::from(vf),
    }
}

fn name(index: usize) -> Option<Name> {
    let nodes = usize::from(NODES);
    match index {
        ROOT => None,
        node if node <= nodes => Some(Name::Node(node as u16)),
        leaf => Some(Name::Leaf((leaf - nodes - 1) as u16)),
    }
}

impl Shaper {
    /// Nothing is set.
    pub fn new(vfs: u16) -> Self {
        let count = index(Name::Leaf(vfs));
        Self {
            plan: Plan::new(vfs),
            states: vec![State::default(); count],
            turn: Turn::default(),
            rest: 0,
            look: 0,
            plain: true,
            asked: 0,
        }
    }

    /// The tree as it is set.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether anything is set of any VF. If not, queues need not be added.
    pub fn shapes(&self) -> bool {
        !self.plain
    }

    /// How often it was asked who is next.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// Takes over a tree that was checked. Returns the queues that had been added, by VF: they are to be added again.
    pub fn change(&mut self, plan: Plan, now: u64) -> Vec<(u16, u16)> {
        let waiting = self.take_queues();
        self.plan = plan;
        self.plain = self.plan.is_plain();
        self.turn = Turn::default();
        self.rest = 0;
        for at in 1..self.states.len() {
            let Some(name) = name(at) else { continue };
            let settings = self.plan.get(name).copied().unwrap_or_default();
            let promised = self.plan.promised(name);
            let state = &mut self.states[at];
            if state.limit.rate() != settings.max {
                state.limit = Bucket::new(settings.max, now);
            }
            if state.promise.rate() != promised {
                state.promise = Bucket::new(promised, now);
            }
        }
        for state in &mut self.states {
            state.time = 0;
            state.clocks.clear();
            state.class_times = [0; CLASSES];
            state.class_clock = 0;
        }
        waiting
    }

    fn take_queues(&mut self) -> Vec<(u16, u16)> {
        let mut found = Vec::new();
        for (at, state) in self.states.iter_mut().enumerate() {
            state.waiting.clear();
            if let Some(Name::Leaf(vf)) = name(at) {
                let queues = state.queues.iter_mut().flat_map(|list| list.drain(..));
                found.extend(queues.map(|(queue, _)| (vf, queue)));
            }
        }
        found
    }

    /// A queue of a VF has packets; the next one is of this class, which is 0 unless they are told apart.
    pub fn add(&mut self, vf: u16, queue: u16, class: u8, now: u64) {
        let leaf = index(Name::Leaf(vf));
        let class = usize::from(class) % CLASSES;
        let Some(state) = self.states.get_mut(leaf) else {
            return;
        };
        state.queues[class].push_back((queue, now));
        self.rest = 0;
        let mut at = leaf;
        while at != ROOT {
            let parent = self.parent(at);
            let waiting = &mut self.states[parent].waiting;
            if waiting.contains(&at) {
                return;
            }
            waiting.push_back(at);
            at = parent;
        }
    }

    fn parent(&self, at: usize) -> usize {
        let settings = name(at).and_then(|name| self.plan.get(name));
        settings.map_or(ROOT, |settings| usize::from(settings.parent))
    }

    /// Takes one that has nothing left off the list of its parent, and so on up.
    fn leave(&mut self, leaf: usize) {
        let mut at = leaf;
        while at != ROOT {
            let state = &self.states[at];
            if state.mask() != 0 || !state.waiting.is_empty() {
                return;
            }
            let parent = self.parent(at);
            self.states[parent].waiting.retain(|other| *other != at);
            at = parent;
        }
    }

    /// The queues of a VF are gone.
    pub fn forget(&mut self, vf: u16) {
        self.forget_where(vf, |_| true);
    }

    /// A queue of a VF is gone.
    pub fn forget_queue(&mut self, vf: u16, queue: u16) {
        self.forget_where(vf, |other| other == queue);
    }

    fn forget_where(&mut self, vf: u16, gone: impl Fn(u16) -> bool) {
        let leaf = index(Name::Leaf(vf));
        if let Some(state) = self.states.get_mut(leaf) {
            for queues in &mut state.queues {
                queues.retain(|(queue, _)| !gone(*queue));
            }
            self.leave(leaf);
            self.rest = 0;
        }
    }

    /// Whether no queue has packets.
    pub fn is_empty(&self) -> bool {
        self.states[ROOT].waiting.is_empty()
    }

    /// Who has its turn now. Its queue is taken out, to be added again if it has packets left.
    pub fn next(&mut self, now: u64) -> Next {
        if self.is_empty() {
            return Next::Idle;
        }
        if now < self.rest {
            return Next::Wait(self.rest);
        }
        self.asked += 1;
        self.turn = Turn::default();
        let mut wake = u64::MAX;
        let Some((leaf, class)) = self.choose(ROOT, None, now, &mut wake) else {
            self.rest = wake;
            return Next::Wait(wake);
        };
        let Some(Name::Leaf(vf)) = name(leaf) else {
            return Next::Idle;
        };
        self.turn.single = self.plan.has_classes(vf);
        let queue = self.states[leaf].queues[class].pop_front();
        self.leave(leaf);
        queue.map_or(Next::Idle, |(queue, _)| Next::Turn(vf, queue))
    }

    /// A queue that has waited for longer than [`PATIENCE`], and its VF. It is taken out, to be added again if it has packets left.
    pub fn overdue(&mut self, now: u64) -> Option<(u16, u16)> {
        if now < self.look {
            return None;
        }
        let late = |queues: &VecDeque<(u16, u64)>| {
            queues
                .front()
                .is_some_and(|(_, since)| now.saturating_sub(*since) >= PATIENCE)
        };
        let mut found = self.states.iter().enumerate().filter_map(|(at, state)| {
            let class = state.queues.iter().position(late)?;
            Some((at, class))
        });
        let Some((at, class)) = found.next() else {
            self.look = now.saturating_add(LOOK);
            return None;
        };
        let (queue, _) = self.states[at].queues[class].pop_front()?;
        self.leave(at);
        match name(at) {
            Some(Name::Leaf(vf)) => Some((vf, queue)),
            _ => None,
        }
    }

    /// Classes of which something waits here or below.
    fn mask(&self, at: usize) -> u8 {
        let state = &self.states[at];
        let below = state.waiting.iter().map(|child| self.mask(*child));
        below.fold(state.mask(), |mask, other| mask | other)
    }

    /// Finds who sends next below one that may; notes the way there.
    fn choose(
        &mut self,
        at: usize,
        class: Option<usize>,
        now: u64,
        wake: &mut u64,
    ) -> Option<(usize, usize)> {
        let shares = match name(at).and_then(|name| self.plan.get(name)) {
            Some(settings) if class.is_none() && has_classes(settings) => settings.classes,
            _ => return self.choose_child(at, class, now, wake),
        };
        let mask = self.mask(at);
        let state = &self.states[at];
        let mut classes: Vec<usize> = (0..CLASSES).filter(|c| (mask >> c) & 1 != 0).collect();
        // One without a part has what the others leave.
        classes.sort_by_key(|c| {
            let time = state.class_times[*c].max(state.class_clock);
            (shares[*c] == 0, time)
        });
        for class in classes {
            if let Some(found) = self.choose_child(at, Some(class), now, wake) {
                self.turn.classes.push((at, class));
                return Some(found);
            }
        }
        None
    }

    fn choose_child(
        &mut self,
        at: usize,
        class: Option<usize>,
        now: u64,
        wake: &mut u64,
    ) -> Option<(usize, usize)> {
        if matches!(name(at), Some(Name::Leaf(_))) {
            let mask = self.states[at].mask();
            let first = (mask != 0).then(|| mask.trailing_zeros() as usize);
            let class = class.map_or(first, |class| ((mask >> class) & 1 != 0).then_some(class));
            return class.map(|class| (at, class));
        }
        let mut ranked = Vec::with_capacity(self.states[at].waiting.len());
        for place in 0..self.states[at].waiting.len() {
            let child = self.states[at].waiting[place];
            if let Err(when) = self.states[child].limit.ready(now) {
                *wake = (*wake).min(when);
                continue;
            }
            let owed = self.states[child].promise.owed(now);
            let priority = self.priority(child);
            let clock = self.states[at].clocks.get(&priority).copied();
            let time = self.states[child].time.max(clock.unwrap_or(0));
            let rank = match owed {
                0 => (1, Reverse(u64::from(priority)), time),
                owed => (0, Reverse(owed), 0),
            };
            ranked.push((rank, place, child, owed != 0));
        }
        ranked.sort_unstable();
        for (_, _, child, promised) in ranked {
            if let Some(found) = self.choose(child, class, now, wake) {
                self.turn.path.push((child, promised));
                return Some(found);
            }
        }
        None
    }

    fn priority(&self, at: usize) -> u32 {
        let settings = name(at).and_then(|name| self.plan.get(name));
        settings.map_or(0, |settings| settings.priority)
    }

    /// Pays for what was sent in the turn that has begun last.
    pub fn pay(&mut self, bytes: u64) {
        self.turn.bytes = self.turn.bytes.saturating_add(bytes);
        for place in 0..self.turn.path.len() {
            let (at, promised) = self.turn.path[place];
            let parent = self.parent(at);
            let settings = name(at).and_then(|name| self.plan.get(name));
            let settings = settings.copied().unwrap_or_default();
            let state = &mut self.states[at];
            state.limit.pay(bytes);
            state.promise.pay_promise(bytes);
            if promised {
                continue;
            }
            let time = state.time;
            let clocks = &mut self.states[parent].clocks;
            let clock = clocks.entry(settings.priority).or_default();
            let begin = time.max(*clock);
            *clock = begin;
            let weight = u64::from(settings.weight.max(1));
            self.states[at].time = begin.saturating_add(bytes.saturating_mul(SCALE) / weight);
        }
        for place in 0..self.turn.classes.len() {
            let (at, class) = self.turn.classes[place];
            let settings = name(at).and_then(|name| self.plan.get(name));
            let part = settings.map_or(0, |settings| settings.classes[class]);
            let state = &mut self.states[at];
            if part != 0 {
                let begin = state.class_times[class].max(state.class_clock);
                state.class_clock = begin;
                let cost = bytes.saturating_mul(SCALE) / u64::from(part);
                state.class_times[class] = begin.saturating_add(cost);
            }
        }
    }

    /// Whether the turn may go on with another packet.
    pub fn goes_on(&mut self, now: u64) -> bool {
        if self.turn.bytes == 0 {
            return true;
        }
        if self.turn.single || self.turn.bytes >= TURN_BYTES {
            return false;
        }
        let mut path = self.turn.path.iter();
        path.all(|(at, _)| self.states[*at].limit.ready(now).is_ok())
    }
}
