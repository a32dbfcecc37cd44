// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What a build of firmware does. In the place of code, the content of an image starts with a manifest that the device carries out.
//!
//! This is the reference device's own; the interface says nothing of what is in an image.

use crate::nic::limits::PF_RULES;
use oxnic_abi::firmware::FirmwareComponent;

/// First bytes of content.
const MAGIC: [u8; 8] = *b"OXBUILD1";
/// Most steering rules that a build of the pipeline can have.
const RULES_MAX: u32 = 1 << 16;

/// How a build behaves when it is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// As it should.
    #[default]
    Healthy,
    /// Its self-test fails.
    SelfTest,
    /// It never gets ready.
    Hang,
    /// It works for a while, and stops.
    Crash,
}

impl Behaviour {
    /// With the names that the tool knows them by.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Healthy, "healthy"),
        (Self::SelfTest, "self-test"),
        (Self::Hang, "hang"),
        (Self::Crash, "crash"),
    ];
}

/// A build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build {
    /// How it behaves.
    pub behaviour: Behaviour,
    /// Locations of steering rules of a PF's vport: what a build of the pipeline differs in.
    pub rules: u32,
}

impl Build {
    /// As the device was made.
    pub const FIXED: Self = Self {
        behaviour: Behaviour::Healthy,
        rules: PF_RULES,
    };

    /// The start of the content.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let known = Behaviour::ALL;
        let behaviour = known.iter().position(|(known, _)| *known == self.behaviour);
        bytes.extend((behaviour.unwrap_or(0) as u32).to_le_bytes());
        bytes.extend(self.rules.to_le_bytes());
        bytes
    }

    /// From content. One that says nothing that the device can do has failed its self-test before it began.
    pub fn from_bytes(content: &[u8]) -> Self {
        let number = |at: usize| -> Option<u32> {
            let bytes = content.get(at..)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes))
        };
        let known = || {
            let behaviour = usize::try_from(number(8)?).ok()?;
            let (behaviour, _) = Behaviour::ALL.get(behaviour)?;
            let rules = number(12).filter(|rules| (1..=RULES_MAX).contains(rules))?;
            content.starts_with(&MAGIC).then_some(Self {
                behaviour: *behaviour,
                rules,
            })
        };
        known().unwrap_or(Self {
            behaviour: Behaviour::SelfTest,
            ..Self::FIXED
        })
    }
}

/// Version of each component as the device was made.
pub fn fixed_version(component: FirmwareComponent) -> &'static str {
    match component {
        FirmwareComponent::BOOT => "0.9.0",
        _ => "1.0.0",
    }
}
