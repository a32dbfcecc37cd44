// SPDX-License-Identifier: GPL-2.0-only

//! What `devlink health` shows of the queues by which the device is told of rules.

use crate::device::Device;
use kernel::prelude::*;
use oxnic_kapi::devlink::Message;

impl Device {
    /// Says how the flow queues stand, and on demand what is in their rings. There are some while anybody has rules.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub(crate) fn tell_flow_queues(&self, memory: bool, message: &mut Message<'_>) -> Result {
        let engine = self.flow.lock().engine();
        let Some(engine) = engine else {
            message.flag(c"in_use", false);
            return Ok(());
        };
        message.flag(c"in_use", true);
        message.flag(c"working", engine.queues.is_started());
        message.list(c"queues", |message| engine.queues.tell(memory, message))
    }
}
