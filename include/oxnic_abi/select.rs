// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! How a driver says which fields are hashed: by types, and by what is left out, if the device can do that.
//!
//! The fields are given by the number of the type's bit in [`hash_types`], as bits of [`hash_fields`]. A type that the device
//! does not offer has no fields of its own: such frames are hashed as their IP version is.

use crate::rss::{hash_fields, hash_types};

/// Number of types.
pub const TYPES: usize = 8;
const _: () = assert!(hash_types::ALL.count_ones() as usize == TYPES);
/// Fields of the types without ports.
pub const ADDRESSES: u8 = hash_fields::SOURCE | hash_fields::DESTINATION;

/// Why fields cannot be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unselectable {
    /// Ports of a type that has none.
    Ports,
    /// Single fields, which need [`crate::caps::features::RSS_FIELDS`].
    Single,
}

/// What goes into [`crate::rss::RssConfig`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// `types`.
    pub types: u16,
    /// `omit`.
    pub omit: [u8; TYPES],
}

/// Fields that frames of a type have.
pub const fn all_of(index: usize) -> u8 {
    if ((hash_types::IPV4 | hash_types::IPV6) >> index) & 1 != 0 {
        ADDRESSES
    } else {
        hash_fields::ALL
    }
}

/// Whether fields say the same of both ends of a flow: addresses and ports are of both or of none. Else symmetric hashing is
/// not symmetric.
pub const fn is_symmetric(fields: u8) -> bool {
    const PORTS: u8 = hash_fields::SOURCE_PORT | hash_fields::DESTINATION_PORT;
    matches!(fields & ADDRESSES, 0 | ADDRESSES) && matches!(fields & PORTS, 0 | PORTS)
}

/// The bit of the IP version of a type: those of IPv4 are even.
pub const fn version_of(index: usize) -> u16 {
    if index % 2 == 0 {
        hash_types::IPV4
    } else {
        hash_types::IPV6
    }
}

/// Says that `fields` are hashed to a device that offers some types, and leaving out `single` fields or not.
///
/// # Errors
///
/// The fields cannot be said so that exactly they are hashed.
pub fn select(fields: &[u8; TYPES], offered: u16, single: bool) -> Result<Selection, Unselectable> {
    let mut selection = Selection {
        types: offered & hash_types::ALL,
        omit: [0; TYPES],
    };
    for (index, &fields) in fields.iter().enumerate() {
        let (bit, all) = (1 << index, all_of(index));
        if fields & !all != 0 {
            return Err(Unselectable::Ports);
        }
        if offered & bit == 0 || fields == all {
            continue;
        }
        let by_version = selection.types & version_of(index) != 0;
        match fields {
            _ if single => selection.omit[index] = all & !fields,
            // Types of IP versions come first: what is decided of them here stays.
            0 if all == ADDRESSES || !by_version => selection.types &= !bit,
            ADDRESSES if by_version => selection.types &= !bit,
            _ => return Err(Unselectable::Single),
        }
    }
    Ok(selection)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a device hashes of frames of a type, as the specification has it.
    fn hashed(selection: &Selection, index: usize) -> u8 {
        let of = |index: usize| all_of(index) & !selection.omit[index];
        let version = version_of(index).trailing_zeros() as usize;
        if (selection.types >> index) & 1 != 0 {
            of(index)
        } else if (selection.types >> version) & 1 != 0 {
            of(version)
        } else {
            0
        }
    }

    /// All combinations for IPv4, and TCP and UDP over it; the other types as usual.
    fn combinations() -> impl Iterator<Item = [u8; TYPES]> {
        let usual: [u8; TYPES] = core::array::from_fn(all_of);
        (0..4 * 16 * 16).map(move |n: u32| {
            let mut fields = usual;
            fields[0] = (n & 3) as u8;
            fields[2] = ((n >> 2) & 15) as u8;
            fields[4] = (n >> 6) as u8;
            fields
        })
    }

    #[test]
    fn exactly_the_selected_fields_are_hashed() {
        let mut counts = [0; 2];
        for single in [false, true] {
            for fields in combinations() {
                let Ok(selection) = select(&fields, hash_types::ALL, single) else {
                    continue;
                };
                for (index, &wanted) in fields.iter().enumerate() {
                    assert_eq!(
                        hashed(&selection, index),
                        wanted,
                        "{fields:?} {selection:?}"
                    );
                }
                assert!(single || selection.omit == [0; TYPES]);
                counts[usize::from(single)] += 1;
            }
        }
        // Addresses (2 and 2 of TCP and UDP) or nothing (2 and 2); and everything.
        assert_eq!(counts, [8, 4 * 16 * 16]);
    }

    #[test]
    fn what_is_refused_cannot_be_said_otherwise() {
        for fields in combinations() {
            let possible = (0..=hash_types::ALL).any(|types| {
                let selection = Selection {
                    types,
                    omit: [0; TYPES],
                };
                (0..TYPES).all(|index| hashed(&selection, index) == fields[index])
            });
            assert_eq!(
                select(&fields, hash_types::ALL, false).is_ok(),
                possible,
                "{fields:?}"
            );
        }
    }

    #[test]
    fn symmetric_fields_are_of_both_ends() {
        let swapped = |fields: u8| {
            let swap = |one: u8, other: u8| {
                (u8::from(fields & one != 0) * other) | (u8::from(fields & other != 0) * one)
            };
            swap(hash_fields::SOURCE, hash_fields::DESTINATION)
                | swap(hash_fields::SOURCE_PORT, hash_fields::DESTINATION_PORT)
        };
        for fields in 0..=hash_fields::ALL {
            assert_eq!(is_symmetric(fields), swapped(fields) == fields, "{fields}");
        }
    }

    #[test]
    fn types_that_are_not_offered_are_not_named() {
        let offered = hash_types::IPV4 | hash_types::IPV6 | hash_types::TCP4;
        let mut fields: [u8; TYPES] = core::array::from_fn(all_of);
        fields[2] = hash_fields::SOURCE;
        let selection = select(&fields, offered, true).unwrap();
        assert_eq!(selection.types, offered);
        assert_eq!(selection.omit[2], hash_fields::ALL & !hash_fields::SOURCE);
        assert_eq!(selection.omit[4], 0);
    }

    #[test]
    fn ports_of_frames_without_ports_are_refused() {
        let mut fields: [u8; TYPES] = core::array::from_fn(all_of);
        fields[1] |= hash_fields::SOURCE_PORT;
        assert_eq!(
            select(&fields, hash_types::ALL, true),
            Err(Unselectable::Ports)
        );
    }
}
