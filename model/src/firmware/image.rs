// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Images: a build with its head, signed.

use crate::nic::firmware::build::Build;
use crate::nic::firmware::image::{HEAD, SIGNED};
use crate::nic::limits::MODEL;
use ed25519_dalek::{Signer, SigningKey};
use oxnic_abi::firmware::{
    FirmwareComponent, FirmwareImage, IMAGE_FORMAT, IMAGE_MAGIC, VERSION_MAX, image_flags,
};
use oxnic_abi::pci::{PF_DEVICE_ID, VENDOR_ID};
use sha2::{Digest, Sha256};

/// What an image is made from.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// What it is.
    pub component: FirmwareComponent,
    /// Version, at most [`VERSION_MAX`] bytes.
    pub version: String,
    /// Security number.
    pub security: u32,
    /// PCI device of the PF that it is for.
    pub device: u16,
    /// It can take over while packets flow.
    pub live: bool,
    /// What it does.
    pub build: Build,
    /// Length of the content in bytes; at least that of the build's manifest.
    pub content: usize,
    /// Who signs it.
    pub key: Option<SigningKey>,
}

impl Recipe {
    /// A component of a version, as it is usual.
    pub fn new(component: FirmwareComponent, version: &str) -> Self {
        let content = match component {
            FirmwareComponent::BOOT => 60_000,
            FirmwareComponent::PIPELINE => 400_000,
            _ => 250_000,
        };
        Self {
            component,
            version: version.to_string(),
            security: 0,
            device: PF_DEVICE_ID,
            live: false,
            build: Build::FIXED,
            content,
            key: Some(super::keys::test_key()),
        }
    }

    /// The content: the manifest, and bytes that stand for code.
    fn content(&self) -> Vec<u8> {
        let mut bytes = self.build.to_bytes();
        let mut state = Sha256::digest(&self.version)
            .first_chunk()
            .map_or(1, |seed| u64::from_le_bytes(*seed) | 1);
        while bytes.len() < self.content {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend(state.to_le_bytes());
        }
        bytes.truncate(self.content.max(self.build.to_bytes().len()));
        bytes
    }

    /// The image.
    pub fn image(&self) -> Vec<u8> {
        let content = self.content();
        let mut version = [0; VERSION_MAX];
        for (to, from) in version.iter_mut().zip(self.version.bytes()) {
            *to = from;
        }
        let head = FirmwareImage {
            magic: IMAGE_MAGIC,
            format: IMAGE_FORMAT,
            component: self.component,
            vendor: VENDOR_ID,
            device: self.device,
            model: MODEL,
            security: self.security,
            content: content.len() as u32,
            flags: if self.live { image_flags::LIVE } else { 0 },
            version,
            hash: Sha256::digest(&content).into(),
            ..FirmwareImage::ZERO
        };
        match &self.key {
            Some(key) => seal(head, &content, key),
            None => [bytes_of(&head), content].concat(),
        }
    }
}

/// The image of a head and a content, whatever they are: the head gets length and hash of the content, and is signed.
pub fn seal(head: FirmwareImage, content: &[u8], key: &SigningKey) -> Vec<u8> {
    let mut head = FirmwareImage {
        content: content.len() as u32,
        hash: Sha256::digest(content).into(),
        key: key.verifying_key().to_bytes(),
        ..head
    };
    let bytes = bytes_of(&head);
    let signed = bytes.get(..SIGNED).unwrap_or_default();
    head.signature = key.sign(signed).to_bytes();
    [&bytes_of(&head), content].concat()
}

fn bytes_of(head: &FirmwareImage) -> Vec<u8> {
    let words = head.to_words();
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    debug_assert_eq!(bytes.len(), HEAD);
    bytes
}
