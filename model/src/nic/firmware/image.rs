// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What the device checks of an image: its head when it comes in, and its content when it is complete.
//!
//! The signature is of the head, which has the hash of the content. So whatever is not for this device, too old, or not signed by
//! somebody whom it trusts is refused before anything in flash is touched.

use crate::nic::limits::MODEL;
use ed25519_dalek::{Signature, VerifyingKey};
use oxnic_abi::command::Qualifier;
use oxnic_abi::firmware::{
    FirmwareComponent, FirmwareImage, IMAGE_FORMAT, IMAGE_HEAD, IMAGE_MAGIC, IMAGE_SIGNED,
};
use oxnic_abi::pci::{PF_DEVICE_ID, VENDOR_ID};

/// Bytes of the head.
pub const HEAD: usize = IMAGE_HEAD as usize;
/// Bytes of it that are signed.
pub const SIGNED: usize = IMAGE_SIGNED as usize;

/// Public part of the key that signs test builds; its private part is derived in [`crate::firmware::keys`], for all to see.
pub const TEST_KEY: [u8; 32] = [
    0xcf, 0x70, 0x8f, 0xce, 0x32, 0x60, 0x4e, 0x3c, 0xf4, 0xd5, 0x66, 0x49, 0xfd, 0xc0, 0xd4, 0x8e,
    0x50, 0xd4, 0xc8, 0xe3, 0xdd, 0x22, 0xe9, 0xea, 0x3b, 0xc2, 0x70, 0xf9, 0xd0, 0x8c, 0xab, 0x23,
];

/// What an image is checked against.
pub struct Expected<'a> {
    /// As the driver has said.
    pub component: FirmwareComponent,
    /// As the driver has said, head included.
    pub length: u32,
    /// Least security number.
    pub security: u32,
    /// Keys that are trusted.
    pub keys: &'a [[u8; 32]],
}

/// Checks the head of an image.
///
/// # Errors
/// Why the image is refused.
pub fn check_head(bytes: &[u8; HEAD], expected: &Expected<'_>) -> Result<FirmwareImage, Qualifier> {
    let words = crate::nic::words::<{ FirmwareImage::WORDS }>(bytes);
    let head = FirmwareImage::from_words(&words);
    if head.magic != IMAGE_MAGIC
        || head.format != IMAGE_FORMAT
        || FirmwareImage::reserved_bits(&words).is_some()
    {
        return Err(Qualifier::IMAGE_FORMAT);
    }
    if (head.vendor, head.device, head.model) != (VENDOR_ID, PF_DEVICE_ID, MODEL) {
        return Err(Qualifier::IMAGE_DEVICE);
    }
    if head.component != expected.component {
        return Err(Qualifier::IMAGE_COMPONENT);
    }
    if head.signature == [0; 64] {
        return Err(Qualifier::IMAGE_UNSIGNED);
    }
    if !is_signed(bytes, &head, expected.keys) {
        return Err(Qualifier::IMAGE_SIGNATURE);
    }
    // From here on what the head says is what the signer meant.
    if head.security < expected.security {
        return Err(Qualifier::IMAGE_DOWNGRADE);
    }
    match head.content.checked_add(IMAGE_HEAD) {
        Some(length) if length > expected.length => Err(Qualifier::IMAGE_TRUNCATED),
        Some(length) if length == expected.length => Ok(head),
        _ => Err(Qualifier::IMAGE_FORMAT),
    }
}

fn is_signed(bytes: &[u8; HEAD], head: &FirmwareImage, keys: &[[u8; 32]]) -> bool {
    let trusted = keys.iter().find(|key| **key == head.key);
    let key = trusted.and_then(|key| VerifyingKey::from_bytes(key).ok());
    let signature = Signature::from_bytes(&head.signature);
    key.is_some_and(|key| {
        let signed = bytes.get(..SIGNED).unwrap_or_default();
        key.verify_strict(signed, &signature).is_ok()
    })
}
