// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What is set of a leaf or node, and which trees are allowed.
//!
//! [`Plan`] is the tree as it is set, without any state of traffic; a change is tried on a copy.

use oxnic_abi::rate::{CLASS_SHARE_MAX, CLASSES, RateCaps, RateConfig};

/// Nodes that there can be.
pub const NODES: u16 = 64;
/// Nodes that may lie one above the other.
pub const DEPTH: u16 = 4;
/// Highest weight.
pub const WEIGHT_MAX: u32 = 1000;
/// Highest priority.
pub const PRIORITY_MAX: u32 = 7;
/// Highest rate in bytes a second.
pub const RATE_MAX: u64 = 1 << 50;

/// The capability.
pub fn capability() -> RateCaps {
    RateCaps {
        nodes: NODES,
        depth: DEPTH,
        weight_max: WEIGHT_MAX,
        rate_max: RATE_MAX,
        priority_max: PRIORITY_MAX,
    }
}

/// What is set of a leaf or node, which these say by their place: in `fields`, `kind` and `number` is nothing.
pub type Settings = RateConfig;

/// Whether traffic classes are told apart.
pub fn has_classes(settings: &Settings) -> bool {
    settings.classes != [0; CLASSES]
}

/// A leaf or node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// A VF, from 0.
    Leaf(u16),
    /// A node, from 1.
    Node(u16),
}

/// Why a tree is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A number is over a limit: the offset of the field in [`RateConfig`].
    Limit(usize),
    /// The node above does not exist.
    NoParent,
    /// A node would be above itself.
    Loop,
    /// Too many nodes above each other.
    Depth,
    /// It is promised more than it may send.
    ShareOverMax,
    /// What is promised below a node is more than that may send.
    SharesOverParent,
    /// What is promised is more than wire ports can do.
    SharesOverWire,
}

/// The tree as it is set.
#[derive(Clone, Debug)]
pub struct Plan {
    /// By VF.
    pub leaves: Vec<Settings>,
    /// By number less 1.
    pub nodes: Vec<Option<Settings>>,
}

impl Plan {
    /// Nothing is set.
    pub fn new(vfs: u16) -> Self {
        Self {
            leaves: vec![Settings::default(); usize::from(vfs)],
            nodes: vec![None; usize::from(NODES)],
        }
    }

    /// What is set of one that is there.
    pub fn get(&self, name: Name) -> Option<&Settings> {
        match name {
            Name::Leaf(vf) => self.leaves.get(usize::from(vf)),
            Name::Node(node) => self.node(node),
        }
    }

    /// A node that is there.
    pub fn node(&self, number: u16) -> Option<&Settings> {
        let index = usize::from(number).checked_sub(1)?;
        self.nodes.get(index)?.as_ref()
    }

    /// Sets one, and makes a node that is not there. Numbers are within limits.
    pub fn put(&mut self, name: Name, settings: Settings) {
        let place = match name {
            Name::Leaf(vf) => self.leaves.get_mut(usize::from(vf)),
            Name::Node(number) => usize::from(number)
                .checked_sub(1)
                .and_then(|index| self.nodes.get_mut(index))
                .map(|place| place.get_or_insert_default()),
        };
        if let Some(place) = place {
            *place = settings;
        }
    }

    /// Everything that lies right below a node; 0: below none.
    fn children(&self, parent: u16) -> impl Iterator<Item = (Name, &Settings)> {
        let leaves = (0u16..).zip(&self.leaves);
        let nodes = (1u16..).zip(&self.nodes);
        let nodes = nodes.filter_map(|(number, node)| Some((Name::Node(number), node.as_ref()?)));
        leaves
            .map(|(vf, leaf)| (Name::Leaf(vf), leaf))
            .chain(nodes)
            .filter(move |(_, settings)| settings.parent == parent)
    }

    /// Whether a node has something below it.
    pub fn has_children(&self, node: u16) -> bool {
        self.children(node).next().is_some()
    }

    /// What one is promised, by itself or by what lies below it.
    pub fn promised(&self, name: Name) -> u64 {
        let own = self.get(name).map_or(0, |settings| settings.share);
        match name {
            Name::Leaf(_) => own,
            Name::Node(number) => own.max(self.promised_below(number)),
        }
    }

    fn promised_below(&self, parent: u16) -> u64 {
        self.children(parent)
            .fold(0, |sum, (name, _)| sum.saturating_add(self.promised(name)))
    }

    /// Nodes above one, from below; ends at a loop.
    fn above(&self, name: Name) -> Result<Vec<u16>, Fault> {
        let mut found = Vec::new();
        let mut parent = self.get(name).map_or(0, |settings| settings.parent);
        while parent != 0 {
            if Name::Node(parent) == name || found.contains(&parent) {
                return Err(Fault::Loop);
            }
            found.push(parent);
            parent = self.node(parent).ok_or(Fault::NoParent)?.parent;
        }
        Ok(found)
    }

    /// Nodes on the longest way down from here, this one included.
    fn height(&self, node: u16) -> u16 {
        let below = self.children(node).filter_map(|(name, _)| match name {
            Name::Leaf(_) => None,
            Name::Node(number) => Some(self.height(number)),
        });
        1 + below.max().unwrap_or(0)
    }

    /// Whether the tree may be, after a change of this one.
    ///
    /// # Errors
    /// What stands against it.
    pub fn check(&self, name: Name) -> Result<(), Fault> {
        let settings = self.get(name).copied().unwrap_or_default();
        let limit = |condition: bool, offset| condition.then_some(()).ok_or(Fault::Limit(offset));
        limit(settings.parent <= NODES, 8)?;
        limit(settings.priority <= PRIORITY_MAX, 12)?;
        limit(settings.share <= RATE_MAX, 16)?;
        limit(settings.max <= RATE_MAX, 24)?;
        limit(settings.weight <= WEIGHT_MAX, 32)?;
        let classes = settings.classes.iter();
        limit(classes.max() <= Some(&CLASS_SHARE_MAX), 40)?;
        let above = self.above(name)?;
        let own = match name {
            Name::Leaf(_) => 0,
            Name::Node(number) => self.height(number),
        };
        if above.len() + usize::from(own) > usize::from(DEPTH) {
            return Err(Fault::Depth);
        }
        if settings.max != 0 && settings.share > settings.max {
            return Err(Fault::ShareOverMax);
        }
        let own = match name {
            Name::Leaf(_) => None,
            Name::Node(number) => Some(number),
        };
        for number in own.into_iter().chain(above) {
            let max = self.node(number).map_or(0, |node| node.max);
            if max != 0 && self.promised(Name::Node(number)) > max {
                return Err(Fault::SharesOverParent);
            }
        }
        Ok(())
    }

    /// What is promised altogether.
    pub fn promised_in_all(&self) -> u64 {
        self.promised_below(0)
    }

    /// Whether traffic classes of a VF are told apart, by itself or by a node above it.
    pub fn has_classes(&self, vf: u16) -> bool {
        let leaf = Name::Leaf(vf);
        let above = self.above(leaf).unwrap_or_default();
        let mut nodes = above.into_iter().filter_map(|number| self.node(number));
        self.get(leaf).is_some_and(has_classes) || nodes.any(has_classes)
    }

    /// Whether any VF is to be treated otherwise than the rest.
    pub fn is_plain(&self) -> bool {
        self.leaves.iter().all(|leaf| *leaf == Settings::default())
    }
}
