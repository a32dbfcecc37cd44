// SPDX-License-Identifier: GPL-2.0-only

//! Steering rules as users have put them. Part of [`crate::netdev::State`], and guarded with it.
//!
//! The rules are kept here, to be shown and to be told to the device whenever its queues were made.

use crate::cmd;
use crate::command::CommandError;
use crate::device::Device;
use crate::netdev::NetPort;
use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNode};
use kernel::sync::Arc;
use oxnic_abi::caps::SteeringCaps;
use oxnic_abi::steering::{keys, SteeringAction, SteeringRule};
use oxnic_kapi::net::ethtool::steering::{Action, Location, Masked, Match, Rule};

/// Why a rule cannot be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reject {
    /// What the rule itself says cannot be done.
    Rule(&'static str),
    /// The device cannot match a field.
    Field(&'static str),
    /// The device can match a field as a whole only.
    Mask(&'static str),
    /// A queue that is not used.
    Queue(u32),
    /// A place beyond the last.
    Location(u32),
    /// All places are taken.
    Full,
    /// No memory.
    Memory,
    /// The device said so.
    Device(CommandError),
}

impl From<Reject> for Error {
    fn from(reject: Reject) -> Self {
        match reject {
            Reject::Rule(_) | Reject::Field(_) | Reject::Mask(_) => EOPNOTSUPP,
            Reject::Queue(_) | Reject::Location(_) => EINVAL,
            Reject::Full => ENOSPC,
            Reject::Memory => ENOMEM,
            Reject::Device(error) => error.into(),
        }
    }
}

impl kernel::fmt::Display for Reject {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        match self {
            Self::Rule(text) => f.write_str(text),
            Self::Field(name) => f.write_fmt(fmt!("the device cannot match the {}", name)),
            Self::Mask(name) => {
                f.write_fmt(fmt!("the device can match the {} as a whole only", name))
            }
            Self::Queue(queue) => f.write_fmt(fmt!("queue {} is not used", queue)),
            Self::Location(location) => f.write_fmt(fmt!("place {} is beyond the last", location)),
            Self::Full => f.write_str("all places are taken"),
            Self::Memory => f.write_str("no memory"),
            Self::Device(error) => f.write_fmt(fmt!("{}", error)),
        }
    }
}

/// What limits the queues that a rule may name.
pub(crate) struct Queues<'a> {
    /// Number of channels.
    pub(crate) channels: u16,
    /// The highest queue that a hashing context names.
    pub(crate) highest_of: &'a dyn Fn(u32) -> Option<u16>,
}

impl Queues<'_> {
    /// The highest queue that an action leads to; none where it drops.
    fn reached(&self, action: Action) -> Result<Option<u32>, Reject> {
        Ok(match action {
            Action::Drop => None,
            Action::Queue(queue) => Some(queue),
            Action::Context { context, add } => {
                let highest = (self.highest_of)(context)
                    .ok_or(Reject::Rule("there is no such hashing context"))?;
                Some(add.saturating_add(highest.into()))
            }
        })
    }

    /// The queue, if it is beyond the last channel.
    fn beyond(&self, queue: Option<u32>) -> Option<u32> {
        queue.filter(|&queue| queue >= self.channels.into())
    }
}

/// A rule that keeps channels or a hashing context from being changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InTheWay {
    /// Its place.
    pub(crate) location: u32,
    /// The queue beyond the last channel that it would lead to.
    pub(crate) queue: u32,
}

impl kernel::fmt::Display for InTheWay {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        f.write_fmt(fmt!(
            "the steering rule at place {} would lead to unused queue {}",
            self.location,
            self.queue
        ))
    }
}

/// The rules of an interface.
pub(crate) struct Steering {
    caps: SteeringCaps,
    first_queue: u16,
    rules: RBTree<u32, Rule>,
}

/// What the device can match.
fn offered(device: &Arc<Device>) -> core::result::Result<SteeringCaps, CommandError> {
    let caps = cmd::caps::steering(device)?;
    Ok(SteeringCaps {
        // Flags of C's interface are above that.
        rules: caps.rules.min(1 << 20),
        ..caps
    })
}

impl Steering {
    /// None yet. Asks the device what it can match.
    pub(crate) fn new(device: &Arc<Device>, first_queue: u16) -> Self {
        Self {
            caps: offered(device).unwrap_or(SteeringCaps::ZERO),
            first_queue,
            rules: RBTree::new(),
        }
    }

    /// Asks the device again, which may have other firmware now. Rules at places that it does not have any more are lost.
    pub(crate) fn learn(&mut self, port: &NetPort) {
        if self.caps.rules == 0 {
            // What had none at first is not offered any.
            return;
        }
        let Ok(caps) = offered(&port.device) else {
            return;
        };
        let capacity = caps.rules;
        self.caps = caps;
        while let Some(last) = self.locations().last().filter(|last| *last >= capacity) {
            dev_warn!(
                port.device.binding(),
                "the steering rule at place {} is lost: there are {} places now\n",
                last,
                capacity
            );
            self.rules.remove(&last);
        }
    }

    /// For an interface that has no rules.
    pub(crate) fn none() -> Self {
        Self {
            caps: SteeringCaps::ZERO,
            first_queue: 0,
            rules: RBTree::new(),
        }
    }

    /// Number of places.
    pub(crate) fn capacity(&self) -> u32 {
        self.caps.rules
    }

    /// Places that are taken, in order.
    pub(crate) fn locations(&self) -> impl Iterator<Item = u32> + '_ {
        self.rules.keys().copied()
    }

    /// The rule at a place.
    pub(crate) fn get(&self, location: u32) -> Option<Rule> {
        self.rules.get(&location).copied()
    }

    /// Inserts a rule or replaces one; tells the device if it is `live`. Gives the place. Nothing changes where it fails.
    pub(crate) fn insert(
        &mut self,
        port: &NetPort,
        rule: Rule,
        queues: Queues<'_>,
        live: bool,
    ) -> Result<u32, Reject> {
        let location = self.place(rule.location())?;
        let told = self.lower(&rule, location, &queues)?;
        let node =
            RBTreeNode::new(location, rule.at(location), GFP_KERNEL).map_err(|_| Reject::Memory)?;
        if live {
            cmd::steering::set(&port.device, port.share.vport, &told).map_err(Reject::Device)?;
        }
        self.rules.insert(node);
        Ok(location)
    }

    /// Whether all rules lead to channels that there are, with these queues. Contexts that are not known do not count.
    pub(crate) fn fit(&self, queues: &Queues<'_>) -> Result<(), InTheWay> {
        for (&location, rule) in self.rules.iter() {
            let reached = rule.action().map(|action| queues.reached(action));
            let Ok(Ok(reached)) = reached else { continue };
            if let Some(queue) = queues.beyond(reached) {
                return Err(InTheWay { location, queue });
            }
        }
        Ok(())
    }

    /// Removes the rule at a place; from the device, too, if it can be `reached`.
    ///
    /// # Errors
    ///
    /// `ENOENT`: there is none; what the device says.
    pub(crate) fn remove(&mut self, port: &NetPort, location: u32, reached: bool) -> Result {
        self.rules.get(&location).ok_or(ENOENT)?;
        if reached {
            match cmd::steering::clear(&port.device, port.share.vport, location) {
                // It was put while the interface was down, and has never been told.
                Err(error) if Error::from(error) == ENOENT => {}
                result => result.map_err(|error| port.failed(error))?,
            }
        }
        self.rules.remove(&location);
        Ok(())
    }

    /// Removes all rules.
    ///
    /// # Errors
    ///
    /// What the device says; some rules are left.
    pub(crate) fn clear(&mut self, port: &NetPort, reached: bool) -> Result {
        loop {
            let first = self.locations().next();
            let Some(location) = first else { return Ok(()) };
            self.remove(port, location, reached)?;
        }
    }

    /// Tells the device all rules. Queues and hashing contexts exist.
    pub(crate) fn apply(&self, port: &NetPort) -> Result {
        for (&location, rule) in self.rules.iter() {
            // What was inserted can be told, and nothing that it names can go away, see `fit`.
            let (action, matches) = (rule.action(), rule.matches());
            let (Ok(action), Ok(matches)) = (action, matches) else {
                return Err(EINVAL);
            };
            let told = self.tell(location, action, &matches);
            cmd::steering::set(&port.device, port.share.vport, &told)
                .map_err(|error| port.failed(error))?;
        }
        Ok(())
    }

    fn place(&self, wanted: Location) -> Result<u32, Reject> {
        let capacity = self.caps.rules;
        match wanted {
            Location::At(location) if location < capacity => Ok(location),
            Location::At(location) => Err(Reject::Location(location)),
            Location::Any | Location::First => {
                // The first number that is missing among those that are taken.
                let free = self
                    .locations()
                    .zip(0..)
                    .find(|(taken, number)| taken != number)
                    .map(|(_, number)| number);
                let free = free.unwrap_or(self.locations().count() as u32);
                Some(free)
                    .filter(|&free| free < capacity)
                    .ok_or(Reject::Full)
            }
            Location::Last => (0..capacity)
                .rev()
                .find(|location| self.rules.get(location).is_none())
                .ok_or(Reject::Full),
        }
    }

    /// Checks a rule against what the device can do, and says it in the device's words.
    fn lower(
        &self,
        rule: &Rule,
        location: u32,
        queues: &Queues<'_>,
    ) -> Result<SteeringRule, Reject> {
        let action = rule.action().map_err(Reject::Rule)?;
        if let Some(queue) = queues.beyond(queues.reached(action)?) {
            return Err(Reject::Queue(queue));
        }
        let matches = rule.matches().map_err(Reject::Rule)?;
        self.check(&matches)?;
        Ok(self.tell(location, action, &matches))
    }

    fn check(&self, matches: &Match) -> Result<(), Reject> {
        // Whether a field is matched, and as a whole.
        fn of<const N: usize>(field: &Option<Masked<[u8; N]>>) -> Option<bool> {
            field.as_ref().map(Masked::is_exact)
        }
        let four = matches.ether_type.is_some_and(|kind| kind.value == [8, 0]);
        let address = |field: &Option<Masked<[u8; 16]>>| {
            let bytes = if four { 4 } else { 16 };
            field
                .as_ref()
                .map(|field| field.mask[..bytes].iter().all(|&byte| byte == 0xff))
        };
        let fields = [
            (keys::ETHER_TYPE, "Ethernet type", of(&matches.ether_type)),
            (
                keys::DESTINATION_MAC,
                "destination address of the frame",
                of(&matches.destination_mac),
            ),
            (
                keys::SOURCE_MAC,
                "source address of the frame",
                of(&matches.source_mac),
            ),
            (keys::VLAN, "VLAN tag", of(&matches.vlan)),
            (
                keys::PROTOCOL,
                "IP protocol",
                matches.protocol.map(|_| true),
            ),
            (keys::SOURCE, "source address", address(&matches.source)),
            (
                keys::DESTINATION,
                "destination address",
                address(&matches.destination),
            ),
            (keys::SOURCE_PORT, "source port", of(&matches.source_port)),
            (
                keys::DESTINATION_PORT,
                "destination port",
                of(&matches.destination_port),
            ),
            (keys::TOS, "type of service", of(&matches.tos)),
        ];
        for (key, name, matched) in fields {
            let Some(exact) = matched else { continue };
            if self.caps.keys & key == 0 {
                return Err(Reject::Field(name));
            }
            if !exact && self.caps.masks & key == 0 {
                return Err(Reject::Mask(name));
            }
        }
        Ok(())
    }

    fn tell(&self, location: u32, action: Action, matches: &Match) -> SteeringRule {
        let mut told = SteeringRule {
            location,
            ..SteeringRule::ZERO
        };
        match action {
            Action::Drop => told.action = SteeringAction::DROP,
            Action::Queue(queue) => {
                told.action = SteeringAction::QUEUE;
                told.queue = self.first_queue + queue as u16;
            }
            Action::Context { context, add } => {
                told.action = SteeringAction::CONTEXT;
                told.context = context as u16;
                told.queue = add as u16;
            }
        }
        macro_rules! fields {
            ($($key:ident: $from:ident => $value:ident, $mask:ident;)*) => {
                $(
                    if let Some(field) = matches.$from {
                        told.keys |= keys::$key;
                        told.$value = field.value;
                        told.$mask = field.mask;
                    }
                )*
            };
        }
        fields! {
            DESTINATION_MAC: destination_mac => destination_mac, destination_mac_mask;
            SOURCE_MAC: source_mac => source_mac, source_mac_mask;
            VLAN: vlan => vlan, vlan_mask;
            SOURCE: source => source, source_mask;
            DESTINATION: destination => destination, destination_mask;
            SOURCE_PORT: source_port => source_port, source_port_mask;
            DESTINATION_PORT: destination_port => destination_port, destination_port_mask;
        }
        if let Some(kind) = matches.ether_type {
            told.keys |= keys::ETHER_TYPE;
            told.ether_type = kind.value;
        }
        if let Some(protocol) = matches.protocol {
            told.keys |= keys::PROTOCOL;
            told.protocol = protocol;
        }
        if let Some(tos) = matches.tos {
            told.keys |= keys::TOS;
            [told.tos] = tos.value;
            [told.tos_mask] = tos.mask;
        }
        told
    }
}
