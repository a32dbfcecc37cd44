// SPDX-License-Identifier: GPL-2.0-only

//! What the control side asks of a network interface; implemented by [`crate::netdev`].

use crate::health::{Fault, Part};
use crate::netdev::NetPort;
use kernel::prelude::*;
use oxnic_abi::event::QueueError;
use oxnic_kapi::devlink::Message;
use oxnic_kapi::net::netdev::Registration;

/// Kinds of queue that can stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueKind {
    /// Transmit.
    Transmit,
    /// Receive.
    Receive,
    /// Completion.
    Completion,
}

/// What a look at the queues of an interface found: of each kind the first.
#[derive(Clone, Copy, Default)]
pub(crate) struct Look {
    /// A completion is missing, which only a reset can help.
    pub(crate) stalled: Option<Fault>,
    /// Something that was sent has no completion yet, and nobody has looked.
    pub(crate) late_transmit: Option<Fault>,
    /// Something that was received waits, and nobody has looked.
    pub(crate) late_receive: Option<Fault>,
}

/// A network interface of the function. Methods may sleep and take RTNL; none is called with RTNL held.
pub(crate) trait Port: Send + Sync {
    /// Its vport, from 0.
    fn vport(&self) -> u16;

    /// The link of the vport changed. `speed` is in Mbit/s, 0 if not known.
    fn link_changed(&self, up: bool, speed: u32);

    /// The PF changed settings of the vport, or events were lost: everything is to be queried.
    fn vport_changed(&self);

    /// A queue of the function stopped. The interface that has this queue asks for a reset or remakes the queue.
    fn queue_error(&self, kind: QueueKind, id: u16, error: QueueError);

    /// Looks for queues that have waited too long. Does not wait for anything: nothing is found, if it cannot be looked at now.
    fn look(&self) -> Look;

    /// Polls those that were found late.
    fn poll_late(&self);

    /// Says how the queues stand, those of [`Part::Transmit`] or of [`Part::Receive`], and on demand what is in their rings.
    ///
    /// # Errors
    ///
    /// There is no memory.
    fn tell_queues(&self, part: Part, memory: bool, message: &mut Message<'_>) -> Result;

    /// The function is about to be reset, or is gone: detach the interface and stop its queues. Commands fail from before
    /// this is called until [`Self::complete_reset`] is.
    fn prepare_reset(&self);

    /// The function cannot use memory any more, and may never be reset: what is kept for it can be freed.
    fn release_memory(&self);

    /// The function was reset and takes commands again: make the queues anew, set everything as it was, attach the
    /// interface. Where this fails the reset is tried again, with [`Self::prepare_reset`] first.
    fn complete_reset(&self) -> Result;

    /// Other firmware runs: what the device can do may have changed.
    fn firmware_changed(&self);

    /// Gives its registration away, to be ended together with others. The interface is as if [`Self::unregister`] had been
    /// called.
    fn take(&self) -> Option<Registration<NetPort>>;

    /// Removes the interface from the system. Commands still work, where the device does. Nothing is called afterwards.
    fn unregister(&self);
}
