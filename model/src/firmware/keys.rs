// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Keys that sign test builds. They are derived from what stands here, so they protect nothing.

use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};

/// The key whose builds the reference device trusts.
pub fn test_key() -> SigningKey {
    derive("Oxnic TEST key: signs builds of the reference device, and nothing else")
}

/// A key whose builds nobody trusts.
pub fn stranger_key() -> SigningKey {
    derive("Oxnic TEST key that no device trusts")
}

fn derive(text: &str) -> SigningKey {
    SigningKey::from_bytes(&Sha256::digest(text).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nic::firmware::image::TEST_KEY;

    #[test]
    fn the_device_trusts_the_test_key_alone() {
        assert_eq!(test_key().verifying_key().to_bytes(), TEST_KEY);
        assert_ne!(stranger_key().verifying_key().to_bytes(), TEST_KEY);
    }
}
