// SPDX-License-Identifier: GPL-2.0-only

//! Receive hashing as users have set it. Part of [`crate::netdev::State`], and guarded with it.
//!
//! A context has its table in as many entries as there were when it was set; where the device's table has more, they repeat,
//! and where it has fewer, they are cut off. The number follows the number of channels. Context 0 is always there; while no
//! user has set its table, it spreads over all channels.

use crate::cmd;
use crate::command::CommandError;
use crate::netdev::NetPort;
use crate::steering::InTheWay;
use kernel::prelude::*;
use oxnic_abi::caps::{features, NicCaps};
use oxnic_abi::rss::{hash_types, RssConfig, KEY_MAX, TABLE_MAX};
use oxnic_abi::select::{self, Unselectable, ADDRESSES, TYPES};
use oxnic_kapi::net::netdev::Locked;

/// Entries of the table for each channel, as far as the device has so many: with fewer, the share of a channel differs much
/// from that of another.
const ENTRIES_PER_CHANNEL: u16 = 8;

/// Why hashing cannot be as asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reject {
    /// There is no such context.
    NoContext,
    /// There is no room for such a context.
    ContextLimit(u16),
    /// Frames of this kind are not told apart.
    Type,
    /// Ports of frames that have none.
    Ports,
    /// Single fields cannot be left out.
    Fields,
    /// Input cannot be transformed.
    Transform,
    /// Symmetric hashing of one end of a flow.
    OneEnd,
    /// A steering rule adds to the context's queues.
    Steered(InTheWay),
    /// No memory.
    Memory,
    /// The device said so.
    Device(CommandError),
}

impl From<Reject> for Error {
    fn from(reject: Reject) -> Self {
        match reject {
            Reject::NoContext => ENOENT,
            Reject::ContextLimit(_) => ENOSPC,
            Reject::Type | Reject::Ports | Reject::Fields | Reject::Transform => EOPNOTSUPP,
            Reject::OneEnd | Reject::Steered(_) => EINVAL,
            Reject::Memory => ENOMEM,
            Reject::Device(error) => error.into(),
        }
    }
}

impl From<Unselectable> for Reject {
    fn from(why: Unselectable) -> Self {
        match why {
            Unselectable::Ports => Self::Ports,
            Unselectable::Single => Self::Fields,
        }
    }
}

impl kernel::fmt::Display for Reject {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        f.write_str(match self {
            Self::NoContext => "there is no such hashing context",
            Self::ContextLimit(limit) => {
                return f.write_fmt(fmt!(
                    "the device has hashing contexts 0 to {} only",
                    limit.saturating_sub(1)
                ))
            }
            Self::Type => "the device does not hash this type of frame by itself",
            Self::Ports => "frames of this type have no ports to be hashed",
            Self::Fields => "the device hashes both addresses, or these and both ports",
            Self::Transform => "the device has no symmetric hashing",
            Self::OneEnd => "symmetric hashing takes fields of both ends of a flow only",
            Self::Steered(rule) => return f.write_fmt(fmt!("{}", rule)),
            Self::Memory => "no memory",
            Self::Device(error) => return f.write_fmt(fmt!("{}", error)),
        })
    }
}

/// A hashing context.
#[derive(Clone, Copy)]
pub(crate) struct Context {
    /// Queue numbers of the interface.
    table: [u16; TABLE_MAX],
    /// Entries of the table that were set.
    length: u16,
    /// Key.
    pub(crate) key: [u8; KEY_MAX],
    /// Fields that are hashed, by the bit of the type in [`hash_types`]; see [`oxnic_abi::select`].
    pub(crate) fields: [u8; TYPES],
    /// See [`oxnic_abi::rss::hash_input`].
    pub(crate) input: u16,
}

impl Context {
    /// The queue at an entry of a table of any size.
    pub(crate) fn queue(&self, entry: usize) -> u16 {
        let entry = entry.checked_rem(self.length.into()).unwrap_or(0);
        self.table.get(entry).copied().unwrap_or(0)
    }

    /// Sets the table.
    pub(crate) fn set_table(&mut self, queues: &[u32]) {
        self.length = queues.len().min(TABLE_MAX) as u16;
        for (entry, queue) in self.table.iter_mut().zip(queues) {
            *entry = *queue as u16;
        }
    }

    /// Spreads over so many channels evenly.
    fn spread(&mut self, channels: u16, entries: u16) {
        self.length = entries;
        for (index, entry) in self.table.iter_mut().enumerate() {
            *entry = (index as u16).checked_rem(channels).unwrap_or(0);
        }
    }

    /// The highest queue that a table of so many entries names.
    pub(crate) fn highest_queue(&self, entries: u16) -> u16 {
        (0..entries.into())
            .map(|entry| self.queue(entry))
            .max()
            .unwrap_or(0)
    }
}

/// All contexts of an interface.
pub(crate) struct Hashing {
    /// The device can hash.
    offered: bool,
    /// Single fields can be left out.
    single_fields: bool,
    symmetric: bool,
    /// Types that the device tells apart.
    types: u16,
    /// Entries of the device's largest table.
    entries_max: u16,
    key_size: u16,
    /// Entries of the tables now.
    entries: u16,
    channels: u16,
    /// Channels that are used unless somebody says otherwise: as many as there are CPUs, if there are so many.
    usual_channels: u16,
    first_queue: u16,
    contexts: KVec<Option<KBox<Context>>>,
}

impl Hashing {
    /// Context 0 with a random key, and a table that spreads over so many channels.
    pub(crate) fn new(caps: &NicCaps, first_queue: u16, channels: u16) -> Result<Self> {
        let largest = caps.rss_entries.min(TABLE_MAX as u16);
        let mut this = Self {
            offered: caps.features & features::RSS != 0 && largest.is_power_of_two(),
            single_fields: caps.features & features::RSS_FIELDS != 0,
            symmetric: caps.features & features::RSS_SYMMETRIC != 0,
            types: caps.rss_types & hash_types::ALL,
            entries_max: largest,
            key_size: caps.rss_key.min(KEY_MAX as u16),
            entries: 0,
            channels,
            usual_channels: channels,
            first_queue,
            contexts: KVec::with_capacity(caps.rss_contexts.max(1).into(), GFP_KERNEL)?,
        };
        for _ in 0..caps.rss_contexts.max(1) {
            this.contexts.push(None, GFP_KERNEL)?;
        }
        this.entries = this.entries_for(channels);
        let context = this.default_context()?;
        this.contexts[0] = Some(context);
        Ok(this)
    }

    /// A context as it is when nobody has set anything.
    pub(crate) fn default_context(&self) -> Result<KBox<Context>> {
        let mut context = KBox::new(
            Context {
                table: [0; TABLE_MAX],
                length: self.entries,
                key: [0; KEY_MAX],
                fields: [ADDRESSES; TYPES],
                input: 0,
            },
            GFP_KERNEL,
        )?;
        // More channels than usual help nobody who does not say which; and a context keeps the channels that it names from
        // being taken away.
        context.spread(self.channels.min(self.usual_channels), self.entries);
        oxnic_kapi::net::ethtool::fill_hash_key(&mut context.key);
        for (index, fields) in context
            .fields
            .iter_mut()
            .enumerate()
            .filter(|(index, _)| self.has_type(*index))
        {
            *fields = select::all_of(index);
        }
        Ok(context)
    }

    /// Entries of the tables while there are so many channels.
    pub(crate) fn entries_for(&self, channels: u16) -> u16 {
        if !self.offered {
            return 0;
        }
        let wanted = channels
            .max(1)
            .checked_mul(ENTRIES_PER_CHANNEL)
            .and_then(u16::checked_next_power_of_two);
        wanted.unwrap_or(self.entries_max).min(self.entries_max)
    }

    /// Entries of the tables now; 0 if the device does not hash.
    pub(crate) fn entries(&self) -> u16 {
        self.entries
    }

    /// Bytes of a key.
    pub(crate) fn key_size(&self) -> u16 {
        self.key_size
    }

    /// A context, if it is there.
    pub(crate) fn context(&self, id: u32) -> Result<&Context, Reject> {
        let place = self.contexts.get(id as usize);
        place
            .and_then(Option::as_deref)
            .filter(|_| self.offered)
            .ok_or(Reject::NoContext)
    }

    /// The highest queue that a context names while there are so many channels; none if it is not there.
    pub(crate) fn highest_queue(&self, netdev: &Locked, id: u32, channels: u16) -> Option<u16> {
        let entries = self.entries_for(channels);
        let context = self.context(id).ok()?;
        if id == 0 && !netdev.has_user_hash_table() {
            return Some(channels.min(entries).saturating_sub(1));
        }
        Some(context.highest_queue(entries))
    }

    /// Whether this type of frame has fields of its own.
    pub(crate) fn has_type(&self, index: usize) -> bool {
        self.types >> index & 1 != 0
    }

    /// The interface uses so many channels from now on. Until [`Self::settle`], that can be taken back without loss.
    pub(crate) fn set_pairs(&mut self, netdev: &Locked, channels: u16) {
        self.channels = channels;
        self.entries = self.entries_for(channels);
        let entries = self.entries;
        if let Some(Some(context)) = self.contexts.get_mut(0) {
            if !netdev.has_user_hash_table() {
                context.spread(channels, entries);
            }
        }
    }

    /// The number of channels stays: what was cut off is forgotten, as the core forgets it.
    pub(crate) fn settle(&mut self) {
        for context in self.contexts.iter_mut().flatten() {
            context.length = context.length.min(self.entries);
        }
    }

    /// What the device is told of a context.
    fn config(&self, id: u16, context: &Context) -> Result<RssConfig, Reject> {
        let mut config = RssConfig {
            context: id,
            entries: self.entries,
            input: context.input,
            key: context.key,
            ..RssConfig::ZERO
        };
        for (index, queue) in config
            .table
            .iter_mut()
            .take(self.entries.into())
            .enumerate()
        {
            *queue = self.first_queue + context.queue(index);
        }
        if context.input != 0 {
            if !self.symmetric {
                return Err(Reject::Transform);
            }
            // In most ways of asking the core looks at the fields of context 0 only, or of none.
            let mut fields = context.fields.iter().enumerate();
            if fields.any(|(index, &fields)| self.has_type(index) && !select::is_symmetric(fields))
            {
                return Err(Reject::OneEnd);
            }
        }
        let selection = select::select(&context.fields, self.types, self.single_fields)?;
        config.types = selection.types;
        config.omit = selection.omit;
        Ok(config)
    }

    /// Puts a context in place; tells the device if it is `live`. Nothing changes where that fails.
    pub(crate) fn put(
        &mut self,
        port: &NetPort,
        id: u32,
        context: KBox<Context>,
        live: bool,
    ) -> Result<(), Reject> {
        let limit = self.contexts.len() as u16;
        let id = u16::try_from(id)
            .ok()
            .filter(|&id| id < limit)
            .ok_or(Reject::ContextLimit(limit))?;
        let config = self.config(id, &context)?;
        if live {
            cmd::rss::set(&port.device, port.share.vport, &config).map_err(Reject::Device)?;
        }
        self.contexts[usize::from(id)] = Some(context);
        Ok(())
    }

    /// Takes a context away; from the device, too, if it can be `reached`.
    pub(crate) fn remove(&mut self, port: &NetPort, id: u32, reached: bool) -> Result<(), Reject> {
        self.context(id)?;
        if reached {
            match cmd::rss::destroy(&port.device, port.share.vport, id as u16) {
                // It was made while the interface was down, and has never been told.
                Err(error) if Error::from(error) == ENOENT => {}
                result => result.map_err(Reject::Device)?,
            }
        }
        self.contexts[id as usize] = None;
        Ok(())
    }

    /// Tells the device all contexts. The receive queues exist.
    pub(crate) fn apply(&self, port: &NetPort) -> Result {
        if !self.offered {
            return Ok(());
        }
        for (id, context) in self.contexts.iter().enumerate() {
            if let Some(context) = context {
                let config = self.config(id as u16, context)?;
                cmd::rss::set(&port.device, port.share.vport, &config)
                    .map_err(|error| port.failed(error))?;
            }
        }
        Ok(())
    }
}
