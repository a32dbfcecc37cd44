// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! How a structure of the interface lies in memory.
//!
//! Driver and device exchange arrays of little-endian 64-bit words. A structure is declared once, with [`wire!`](crate::wire!), as
//! fields at byte offsets; the macro makes the Rust struct, the conversions to and from words in CPU order, and checks at
//! build time that fields are naturally aligned, do not overlap and fill the size. Bytes that no field names are reserved:
//! they are written as zero, and `reserved_bits` lets the receiver insist on it.
//!
//! The caller converts each word with `u64::to_le`/`from_le` where it crosses memory, so nothing here is unsafe.

/// A value that can stand at a byte offset of a word array.
pub trait Field: Copy {
    /// Size in bytes.
    const BYTES: usize;
    /// Alignment in bytes that the offset must have.
    const ALIGN: usize;
    /// The all-zero value.
    const ZERO: Self;
    /// Reads the value that starts at byte `offset`; `words` are in CPU order, byte 0 is the least significant of word 0.
    fn get(words: &[u64], offset: usize) -> Self;
    /// Writes the value at byte `offset` into words whose bytes there are zero.
    fn put(self, words: &mut [u64], offset: usize);
}

macro_rules! integer_field {
    ($($t:ty),*) => { $(
        impl Field for $t {
            const BYTES: usize = core::mem::size_of::<$t>();
            const ALIGN: usize = Self::BYTES;
            const ZERO: Self = 0;
            #[inline(always)]
            fn get(words: &[u64], offset: usize) -> Self {
                (words[offset / 8] >> (offset % 8 * 8)) as $t
            }
            #[inline(always)]
            fn put(self, words: &mut [u64], offset: usize) {
                words[offset / 8] |= (self as u64) << (offset % 8 * 8);
            }
        }
    )* };
}
integer_field!(u8, u16, u32, u64);

impl<T: Field, const N: usize> Field for [T; N] {
    const BYTES: usize = T::BYTES * N;
    const ALIGN: usize = T::ALIGN;
    const ZERO: Self = [T::ZERO; N];
    #[inline]
    fn get(words: &[u64], offset: usize) -> Self {
        let mut out = Self::ZERO;
        for (i, item) in out.iter_mut().enumerate() {
            *item = T::get(words, offset + i * T::BYTES);
        }
        out
    }
    #[inline]
    fn put(self, words: &mut [u64], offset: usize) {
        for (i, item) in self.into_iter().enumerate() {
            item.put(words, offset + i * T::BYTES);
        }
    }
}

/// A structure of the interface: `N` words, declared with [`wire!`](crate::wire!).
pub trait Wire<const N: usize>: Copy {
    /// Size in bytes.
    const SIZE: usize = N * 8;
    /// From words in CPU order; reserved bytes are ignored.
    fn from_words(words: &[u64; N]) -> Self;
    /// To words in CPU order; reserved bytes are zero.
    fn to_words(&self) -> [u64; N];
}

/// Adds the bytes of a field at `offset` to those in use; fails the build if it overlaps another, is not aligned, or ends
/// beyond the structure.
pub const fn claim<T: Field, const N: usize>(mut used: [u64; N], offset: usize) -> [u64; N] {
    assert!(offset & (T::ALIGN - 1) == 0, "a field is not aligned");
    let mut i = offset;
    while i < offset + T::BYTES {
        let byte = 0xff << (i % 8 * 8);
        assert!(used[i / 8] & byte == 0, "two fields overlap");
        used[i / 8] |= byte;
        i += 1;
    }
    used
}

/// Declares a structure of the interface: its size in 64-bit words, then fields as `byte offset: name: type`.
#[macro_export]
macro_rules! wire {
    (
        $(#[$outer:meta])*
        pub struct $name:ident: $words:literal {
            $( $(#[$inner:meta])* $offset:literal: $field:ident: $t:ty ),* $(,)?
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name { $( $(#[$inner])* pub $field: $t, )* }

        impl $name {
            /// Number of 64-bit words.
            pub const WORDS: usize = $words;
            /// Size in bytes.
            pub const BYTES: usize = $words * 8;
            /// All fields zero.
            pub const ZERO: Self = Self { $( $field: <$t as $crate::wire::Field>::ZERO, )* };
            /// The bits that some field owns; all others are reserved.
            pub const USED: [u64; $words] = {
                let used = [0u64; $words];
                $(
                    let used = $crate::wire::claim::<$t, $words>(used, $offset);
                )*
                used
            };
            /// From words in CPU order; reserved bytes are ignored.
            #[inline]
            pub fn from_words(words: &[u64; $words]) -> Self {
                Self { $( $field: <$t as $crate::wire::Field>::get(words, $offset), )* }
            }
            /// To words in CPU order; reserved bytes are zero.
            #[inline]
            pub fn to_words(&self) -> [u64; $words] {
                let mut words = [0u64; $words];
                $( $crate::wire::Field::put(self.$field, &mut words, $offset); )*
                words
            }
            /// Offset of the first byte that is not zero though no field owns it, if there is one.
            pub fn reserved_bits(words: &[u64; $words]) -> Option<usize> {
                words.iter().zip(Self::USED).enumerate().find_map(|(i, (word, used))| {
                    let stray = word & !used;
                    (stray != 0).then(|| i * 8 + stray.trailing_zeros() as usize / 8)
                })
            }
        }

        const _: [u64; $words] = $name::USED;

        impl $crate::wire::Wire<$words> for $name {
            #[inline]
            fn from_words(words: &[u64; $words]) -> Self { <$name>::from_words(words) }
            #[inline]
            fn to_words(&self) -> [u64; $words] { <$name>::to_words(self) }
        }
    };
}

/// Declares the values of a field that may hold values unknown to the receiver: constants plus a name for messages.
#[macro_export]
macro_rules! open_enum {
    (
        $(#[$outer:meta])*
        pub enum $name:ident: $t:ty { $( $(#[$inner:meta])* $item:ident = $value:literal: $text:literal ),* $(,)? }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $t);
        #[allow(non_upper_case_globals)] // values read like the variants of an enum, which this is but for being open
        impl $name {
            $( $(#[$inner])* pub const $item: Self = Self($value); )*
            /// Every value that this version defines.
            pub const ALL: &'static [Self] = &[ $( Self::$item, )* ];
            /// A few words for a log line or extack; `"unknown"` for a value that this version does not define.
            pub const fn text(self) -> &'static str {
                match self.0 { $( $value => $text, )* _ => "unknown" }
            }
        }
        impl $crate::wire::Field for $name {
            const BYTES: usize = <$t as $crate::wire::Field>::BYTES;
            const ALIGN: usize = <$t as $crate::wire::Field>::ALIGN;
            const ZERO: Self = Self(0);
            #[inline(always)]
            fn get(words: &[u64], offset: usize) -> Self { Self(<$t as $crate::wire::Field>::get(words, offset)) }
            #[inline(always)]
            fn put(self, words: &mut [u64], offset: usize) { self.0.put(words, offset) }
        }
    };
}
