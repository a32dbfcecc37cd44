// SPDX-License-Identifier: GPL-2.0-only

//! The engine of a function: who starts it, and when it goes.

use super::{engine::Engine, refusal::Refusal};
use crate::{cmd, device::Device};
use kernel::{prelude::*, sync::Arc};
use oxnic_abi::flow::capability::FlowCaps;

/// The engine of a function, while it has one.
pub(crate) struct Holder {
    engine: Option<Arc<Engine>>,
    /// Bindings.
    users: u32,
    /// What the device may still write to.
    defunct: KVec<Arc<Engine>>,
    /// What the device has said of its engine.
    caps: Option<FlowCaps>,
}

impl Holder {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            engine: None,
            users: 0,
            defunct: KVec::new(),
            caps: None,
        }
    }

    /// The engine, if there is one.
    pub(crate) fn engine(&self) -> Option<Arc<Engine>> {
        self.engine.clone()
    }
}

impl Device {
    /// The engine, for one more binding; starts it for the first.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(crate) fn join_flow(self: &Arc<Self>) -> Result<Arc<Engine>, Refusal> {
        let mut holder = self.flow.lock();
        if !self.eswitch.takes_rules() {
            return Err(Refusal::Legacy);
        }
        holder.defunct.reserve(1, GFP_KERNEL)?;
        let engine = match holder.engine() {
            Some(engine) => {
                engine.check(self)?;
                engine
            }
            None => {
                let Holder { caps, defunct, .. } = &mut *holder;
                Engine::start(self, caps, defunct)?
            }
        };
        holder.engine = Some(engine.clone());
        holder.users += 1;
        Ok(engine)
    }

    /// A binding is gone. With the last one the engine goes.
    pub(crate) fn leave_flow(self: &Arc<Self>) {
        let mut holder = self.flow.lock();
        holder.users -= 1;
        if holder.users > 0 {
            return;
        }
        let Some(engine) = holder.engine.take() else {
            return;
        };
        self.report_task.schedule(self);
        if let Err(error) = engine.end(self) {
            if !self.is_away() {
                dev_err!(self.binding(), "flow engine: {}\n", error);
            }
            if !self.is_silent() {
                // There is room since it was joined.
                let _ = holder.defunct.push(engine, GFP_KERNEL);
            }
        }
    }

    /// Whether the engine has rules that a port has to do with.
    pub(crate) fn has_flow_rules(&self, port: u16) -> bool {
        let engine = self.flow.lock().engine.clone();
        engine.is_some_and(|engine| engine.has_rules(port))
    }

    /// The device is asked what its engine can do, for when it is needed first while it cannot be asked.
    pub(crate) fn learn_flow(self: &Arc<Self>) {
        let caps = cmd::caps::flow(self).ok();
        let mut holder = self.flow.lock();
        holder.caps = caps.or(holder.caps);
    }

    /// The function is about to be reset, or cannot be reached; commands are stopped. Nobody waits for results any more, and whoever was
    /// about to tell the device of something has ended.
    pub(crate) fn stop_flow(&self) {
        let engine = self.flow.lock().engine();
        if let Some(engine) = engine {
            engine.queues.stop();
            drop(engine.gate.write());
        }
    }

    /// The function was reset: it writes nothing any more, and has no objects.
    pub(crate) fn release_flow(&self) {
        self.flow.lock().defunct.clear();
    }
}
