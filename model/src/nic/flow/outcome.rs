// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What comes of a frame: what is sent where, in order, and what is said with it.

/// Where something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Out of a port of the eswitch, to what is behind it.
    Out(u16),
    /// To the receive queues of the vport that represents a port.
    Up(u16, Up),
}

/// What is said with a frame that goes up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Up {
    /// Nothing.
    #[default]
    Plain,
    /// The cookie of the table that no rule of took it.
    Miss(u32),
    /// The cookie of the rule that sent it.
    Rule(u32),
    /// Its mark.
    Mark(u32),
    /// A sample: the action's cookie, and the length of the whole frame.
    Sample(u32, u16),
}

/// A frame that goes somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Where.
    pub to: To,
    /// The port whose rules sent it.
    pub source: u16,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What comes of a frame.
#[derive(Debug, Default)]
pub struct Outcome {
    /// In the order in which it happens.
    pub sent: Vec<Sent>,
    /// Lookups, puts into ports and copies so far: what one frame may cause is bounded.
    pub(super) lookups: u32,
    pub(super) copies: u32,
}

impl Outcome {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.sent.clear();
        self.lookups = 0;
        self.copies = 0;
    }
}
