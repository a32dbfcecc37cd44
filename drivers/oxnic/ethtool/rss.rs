// SPDX-License-Identifier: GPL-2.0-only

//! `ethtool -x`, `-X`, `-N rx-flow-hash`: receive hashing, see [`crate::rss`].

use crate::netdev::NetPort;
use crate::rss::{Context, Reject};
use crate::steering::Queues;
use kernel::prelude::*;
use oxnic_abi::rss::{hash_fields, hash_input, TABLE_MAX};
use oxnic_kapi::extack::{refuse, Extack};
use oxnic_kapi::net::ethtool::rss::{Change, Fields, Flow, Operations, Transform, View};
use oxnic_kapi::net::netdev::Locked;

/// The number of a type's bit in [`oxnic_abi::rss::hash_types`].
fn type_index(flow: Flow) -> usize {
    match flow {
        Flow::Ipv4 => 0,
        Flow::Ipv6 => 1,
        Flow::Tcp4 => 2,
        Flow::Tcp6 => 3,
        Flow::Udp4 => 4,
        Flow::Udp6 => 5,
        Flow::Sctp4 => 6,
        Flow::Sctp6 => 7,
    }
}

fn fields_to_bits(fields: Fields) -> u8 {
    let bit = |on: bool, bit: u8| if on { bit } else { 0 };
    bit(fields.source, hash_fields::SOURCE)
        | bit(fields.destination, hash_fields::DESTINATION)
        | bit(fields.source_port, hash_fields::SOURCE_PORT)
        | bit(fields.destination_port, hash_fields::DESTINATION_PORT)
}

fn bits_to_fields(bits: u8) -> Fields {
    Fields {
        source: bits & hash_fields::SOURCE != 0,
        destination: bits & hash_fields::DESTINATION != 0,
        source_port: bits & hash_fields::SOURCE_PORT != 0,
        destination_port: bits & hash_fields::DESTINATION_PORT != 0,
    }
}

impl Context {
    fn change(&mut self, change: &Change<'_>) {
        if let Some(table) = change.table {
            self.set_table(table);
        }
        if let Some(key) = change.key {
            for (to, from) in self.key.iter_mut().zip(key) {
                *to = *from;
            }
        }
        match change.transform {
            Some(Transform::None) => self.input = 0,
            Some(Transform::SymmetricXor) => self.input = hash_input::SYMMETRIC_XOR,
            Some(Transform::SymmetricOrXor) => self.input = hash_input::SYMMETRIC_OR_XOR,
            None => {}
        }
    }
}

fn rejected(extack: Option<&mut Extack>, reject: Reject) -> Error {
    refuse(extack, reject.into(), fmt!("{}", reject))
}

impl NetPort {
    /// Changes a context that is there.
    fn change_context(
        &self,
        id: u32,
        change: impl FnOnce(&mut Context) -> Result<(), Reject>,
    ) -> Result<(), Reject> {
        let mut state = self.state.lock();
        let mut context =
            KBox::new(*state.hashing.context(id)?, GFP_KERNEL).map_err(|_| Reject::Memory)?;
        change(&mut context)?;
        // The core checks what the table itself names, not what rules add to that.
        let highest = context.highest_queue(state.hashing.entries());
        let queues = Queues {
            channels: state.config.pairs,
            highest_of: &|other| (other == id).then_some(highest),
        };
        state.steering.fit(&queues).map_err(Reject::Steered)?;
        let live = state.is_live();
        state.hashing.put(self, id, context, live)
    }
}

#[vtable]
impl Operations for NetPort {
    const TRANSFORMS: u8 = Transform::set(&[Transform::SymmetricXor, Transform::SymmetricOrXor]);
    const TABLE_SPACE: u32 = TABLE_MAX as u32;

    fn table_size(&self, _netdev: &Locked) -> u32 {
        self.state.lock().hashing.entries().into()
    }

    fn key_size(&self, _netdev: &Locked) -> u32 {
        self.state.lock().hashing.key_size().into()
    }

    fn hashing(&self, _netdev: &Locked, context: u32, view: &mut View<'_>) -> Result {
        let state = self.state.lock();
        if state.hashing.entries() == 0 {
            return Err(EOPNOTSUPP);
        }
        let context = state.hashing.context(context)?;
        if let Some(table) = &mut view.table {
            for (index, entry) in table.iter_mut().enumerate() {
                *entry = context.queue(index).into();
            }
        }
        if let Some(key) = &mut view.key {
            for (to, from) in key.iter_mut().zip(&context.key) {
                *to = *from;
            }
        }
        view.transform = match context.input {
            hash_input::SYMMETRIC_XOR => Transform::SymmetricXor,
            hash_input::SYMMETRIC_OR_XOR => Transform::SymmetricOrXor,
            _ => Transform::None,
        };
        Ok(())
    }

    fn set_hashing(
        &self,
        _netdev: &Locked,
        context: u32,
        change: &Change<'_>,
        extack: Option<&mut Extack>,
    ) -> Result {
        let result = self.change_context(context, |context| {
            context.change(change);
            Ok(())
        });
        result.map_err(|reject| rejected(extack, reject))
    }

    fn hash_fields(&self, _netdev: &Locked, context: u32, flow: Flow) -> Result<Fields> {
        let state = self.state.lock();
        let index = type_index(flow);
        if !state.hashing.has_type(index) {
            return Err(EOPNOTSUPP);
        }
        Ok(bits_to_fields(
            state.hashing.context(context)?.fields[index],
        ))
    }

    fn set_hash_fields(
        &self,
        _netdev: &Locked,
        context: u32,
        flow: Flow,
        fields: Fields,
        extack: Option<&mut Extack>,
    ) -> Result {
        let index = type_index(flow);
        if !self.state.lock().hashing.has_type(index) {
            return Err(rejected(extack, Reject::Type));
        }
        let result = self.change_context(context, |context| {
            context.fields[index] = fields_to_bits(fields);
            Ok(())
        });
        result.map_err(|reject| rejected(extack, reject))
    }

    fn create_context(
        &self,
        _netdev: &Locked,
        context: u32,
        change: &Change<'_>,
        extack: Option<&mut Extack>,
    ) -> Result {
        let mut state = self.state.lock();
        let mut new = state.hashing.default_context()?;
        new.change(change);
        let live = state.is_live();
        state
            .hashing
            .put(self, context, new, live)
            .map_err(|reject| rejected(extack, reject))
    }

    fn remove_context(
        &self,
        _netdev: &Locked,
        context: u32,
        extack: Option<&mut Extack>,
    ) -> Result {
        let mut state = self.state.lock();
        let reached = !state.resetting;
        state
            .hashing
            .remove(self, context, reached)
            .map_err(|reject| rejected(extack, reject))
    }
}
