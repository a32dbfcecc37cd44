// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Why the engine refuses what a driver asks for, and which part of it.

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is one with this id.
    Exists,
    /// Something names it.
    Busy,
    /// There is none with this id.
    Missing,
    /// The value means nothing.
    Invalid,
    /// The value is beyond what the capability says.
    Limit,
    /// The value and another one exclude each other.
    Conflict,
    /// There is no room.
    Full,
    /// It means something that this device does not do.
    Unsupported,
}

/// Which part of a command or request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The object that it is about.
    Object,
    /// Byte offset in the parameters, or in the request.
    Field(u16),
    /// Which condition of the list, and the byte in it.
    Condition(u16, u16),
    /// Byte of the masks of options.
    OptionMask(u16),
    /// Which action of the list, and the byte in it.
    Action(u16, u16),
    /// Byte of an encap's headers.
    Header(u16),
    /// Byte of a rule's key.
    Key(u16),
    /// Byte of a rule's arguments.
    Argument(u16),
}

/// A refusal. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub why: Why,
    /// What.
    pub place: Place,
}

impl Refused {
    /// From both.
    pub fn new(why: Why, place: Place) -> Self {
        Self { why, place }
    }
}

/// A refusal where a condition does not hold.
pub fn ensure(holds: bool, why: Why, place: Place) -> Result<(), Refused> {
    match holds {
        true => Ok(()),
        false => Err(Refused::new(why, place)),
    }
}
