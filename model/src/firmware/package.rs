// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Packages of images, as DMTF DSP0267 (PLDM for Firmware Update) 1.0 lays them out.

use super::image::Recipe;
use oxnic_abi::pci::VENDOR_ID;

/// PackageHeaderIdentifier of header format 1.
const IDENTIFIER: [u8; 16] = [
    0xf0, 0x18, 0x87, 0x8c, 0xcb, 0x7d, 0x49, 0x43, 0x98, 0x00, 0xa0, 0x2f, 0x05, 0x9a, 0xca, 0x02,
];
/// PackageHeaderFormatRevision.
const FORMAT: u8 = 1;
/// Bytes of the header before the version of the package.
const HEADER: usize = 36;
/// Bytes of a record before its bitmap.
const RECORD: usize = 11;
/// Bytes of a component's entry before its version.
const COMPONENT: usize = 22;
/// StringType: ASCII.
const ASCII: u8 = 1;
/// ComponentClassification: firmware.
const FIRMWARE: u16 = 0x000a;
/// ComponentOptions: the comparison stamp counts.
const COMPARE: u16 = 1 << 1;
/// RequestedComponentActivationMethod: self-contained, and medium-specific reset.
const SELF_CONTAINED: u16 = 1 << 1;
/// See [`SELF_CONTAINED`].
const RESET: u16 = 1 << 2;
/// Descriptors: PCI vendor and device.
const PCI_VENDOR: u16 = 0x0000;
/// See [`PCI_VENDOR`].
const PCI_DEVICE: u16 = 0x0100;
/// PackageReleaseDateTime (timestamp104) that says nothing.
const NO_TIME: [u8; 13] = [0; 13];

/// A component of a package.
pub struct Entry {
    /// What it was made from.
    pub recipe: Recipe,
    /// Its image, as it goes into the package.
    pub image: Vec<u8>,
}

/// CRC-32 of IEEE 802.3.
fn checksum(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    !crc
}

/// A text of at most 255 bytes with its type and length, and the text.
fn text(text: &str) -> ([u8; 2], &[u8]) {
    let bytes = text.as_bytes();
    let bytes = bytes.get(..usize::from(u8::MAX)).unwrap_or(bytes);
    ([ASCII, bytes.len() as u8], bytes)
}

/// The record of a device: all components are for it.
fn record(version: &str, device: u16, components: usize) -> Vec<u8> {
    let (kind, version) = text(version);
    let mut bitmap = vec![0u8; components.div_ceil(8)];
    for component in 0..components {
        if let Some(byte) = bitmap.get_mut(component / 8) {
            *byte |= 1 << (component % 8);
        }
    }
    let mut tail = bitmap;
    tail.extend(version);
    for (descriptor, value) in [(PCI_VENDOR, VENDOR_ID), (PCI_DEVICE, device)] {
        tail.extend(descriptor.to_le_bytes());
        tail.extend(2u16.to_le_bytes());
        tail.extend(value.to_le_bytes());
    }
    let mut record = ((RECORD + tail.len()) as u16).to_le_bytes().to_vec();
    record.push(2); // descriptors
    record.extend(0u32.to_le_bytes()); // update options
    record.extend(kind);
    record.extend(0u16.to_le_bytes()); // package data
    record.extend(tail);
    record
}

/// A package for a PCI device of ours. The order of components is kept.
pub fn package(version: &str, device: u16, entries: &[Entry]) -> Vec<u8> {
    let (kind, package_version) = text(version);
    let mut areas = package_version.to_vec();
    areas.push(1); // records
    areas.extend(record(version, device, entries.len()));
    areas.extend((entries.len() as u16).to_le_bytes());
    let lengths = entries
        .iter()
        .map(|entry| COMPONENT + entry.recipe.version.len());
    let header = HEADER + areas.len() + lengths.sum::<usize>() + 4;
    let mut at = header;
    for Entry { recipe, image } in entries {
        let (kind, version) = text(&recipe.version);
        areas.extend(FIRMWARE.to_le_bytes());
        areas.extend(u16::from(recipe.component.0).to_le_bytes());
        areas.extend(recipe.security.to_le_bytes());
        areas.extend(COMPARE.to_le_bytes());
        areas.extend(if recipe.live { SELF_CONTAINED } else { RESET }.to_le_bytes());
        areas.extend((at as u32).to_le_bytes());
        areas.extend((image.len() as u32).to_le_bytes());
        areas.extend(kind);
        areas.extend(version);
        at += image.len();
    }
    let mut package = IDENTIFIER.to_vec();
    package.push(FORMAT);
    package.extend((header as u16).to_le_bytes());
    package.extend(NO_TIME);
    package.extend((8 * entries.len().div_ceil(8) as u16).to_le_bytes());
    package.extend(kind);
    package.extend(areas);
    package.extend(checksum(&package).to_le_bytes());
    for entry in entries {
        package.extend(&entry.image);
    }
    package
}

#[cfg(test)]
mod tests {
    use super::*;
    use oxnic_abi::firmware::FirmwareComponent;
    use oxnic_abi::pci::PF_DEVICE_ID;

    fn entries() -> Vec<Entry> {
        [FirmwareComponent::MANAGEMENT, FirmwareComponent::PIPELINE]
            .into_iter()
            .map(|component| {
                let recipe = Recipe {
                    content: 100,
                    ..Recipe::new(component, "1.2.3")
                };
                let image = recipe.image();
                Entry { recipe, image }
            })
            .collect()
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_package_is_laid_out_as_it_says() {
        let entries = entries();
        let package = package("1.2.3", PF_DEVICE_ID, &entries);
        let word = |at: usize| usize::from(u16::from_le_bytes([package[at], package[at + 1]]));
        let header = word(17);
        let images: Vec<u8> = entries.iter().flat_map(|e| e.image.clone()).collect();
        assert_eq!(package[header..], images);
        let (covered, crc) = package[..header].split_at(header - 4);
        assert_eq!(checksum(covered).to_le_bytes(), crc);
        // One record of the length that it says, with a bit for each component.
        let record = HEADER + "1.2.3".len() + 1;
        assert_eq!((word(32), package[record - 1]), (8, 1));
        assert_eq!(package[record + RECORD], 0b11);
        let area = record + word(record);
        assert_eq!(word(area), entries.len());
        // Each component where it says.
        let mut at = area + 2;
        for entry in &entries {
            assert_eq!(word(at + 2), usize::from(entry.recipe.component.0));
            let place = word(at + 12) | (word(at + 14) << 16);
            let image = &package[place..place + entry.image.len()];
            assert_eq!(image, entry.image);
            at += COMPONENT + usize::from(package[at + COMPONENT - 1]);
        }
        assert_eq!(at + 4, header);
    }
}
