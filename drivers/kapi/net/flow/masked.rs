// SPDX-License-Identifier: GPL-2.0-only

//! A value of which only some bits count.

/// A value and its mask, as the kernel has them: a bit counts where the mask has a one, and what the value has elsewhere means
/// nothing. Fields of packets are arrays of bytes in network order, all else numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Masked<T> {
    /// What it is.
    pub value: T,
    /// Which bits of it count.
    pub mask: T,
}

impl<T: Zero> Masked<T> {
    /// A value under a mask.
    pub const fn new(value: T, mask: T) -> Self {
        Self { value, mask }
    }

    /// Whether any bit counts.
    pub fn is_used(&self) -> bool {
        !self.mask.is_zero()
    }
}

/// What a mask can be made of.
pub trait Zero: Copy {
    /// Whether no bit is set.
    fn is_zero(&self) -> bool;
}

impl<const N: usize> Zero for [u8; N] {
    fn is_zero(&self) -> bool {
        self.iter().all(|byte| *byte == 0)
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {
        $(impl Zero for $number {
            fn is_zero(&self) -> bool {
                *self == 0
            }
        })*
    };
}
numbers!(u8 u16 u32);
