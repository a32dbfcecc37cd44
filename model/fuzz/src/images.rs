// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The input is an image of firmware, and what is done once it was offered. The device must store nothing that was not signed by whom it
//! trusts, and what it runs must be whole.

use oxnic_abi::command::Qualifier;
use oxnic_abi::firmware::{FirmwareActivation, FirmwareComponent, FirmwareFault, FirmwareImage};
use oxnic_model::firmware::image::{Recipe, seal};
use oxnic_model::firmware::keys::test_key;
use oxnic_model::nic::firmware::Firmware;
use oxnic_model::nic::firmware::flash::MemoryFlash;
use oxnic_model::nic::firmware::image::{HEAD, TEST_KEY};

const COMPONENT: FirmwareComponent = FirmwareComponent::PIPELINE;

/// How the image is made of the input.
enum Kind {
    /// It is the input.
    Raw,
    /// One that was signed, and changed afterwards.
    Tampered,
    /// One that was changed, and signed afterwards.
    Odd,
    /// The input is the content of one that was signed.
    Content,
}

impl Kind {
    fn new(byte: u8) -> Self {
        match byte % 4 {
            0 => Self::Raw,
            1 => Self::Tampered,
            2 => Self::Odd,
            _ => Self::Content,
        }
    }
}

/// Runs the target.
pub fn run(data: &[u8]) {
    let Some((&[kind, block, steps], rest)) = data.split_first_chunk::<3>() else {
        return;
    };
    let usual = usual();
    let (image, trusted) = match Kind::new(kind) {
        Kind::Raw => (rest.to_vec(), false),
        Kind::Tampered => {
            let image = changed(&usual, rest);
            let same = image == usual;
            (image, same)
        }
        Kind::Odd => (sign(&changed(&usual, rest), None), true),
        Kind::Content => (sign(&usual, Some(rest)), true),
    };
    let mut firmware = Firmware::new(Box::new(MemoryFlash::default()));
    let stored = offer(&mut firmware, &image, block).is_ok();
    assert!(trusted || !stored, "stored, though nobody has signed it");
    for step in 0..8 {
        take_step(&mut firmware, step, steps & (1 << step) != 0);
    }
    let info = firmware.info(COMPONENT);
    assert!(info.is_ok_and(|info| stored || info.running == 0));
    assert!(
        firmware
            .check(COMPONENT)
            .is_ok_and(|found| found.damaged == 0)
    );
}

/// An image that the device takes and runs.
pub fn usual() -> Vec<u8> {
    let recipe = Recipe {
        content: 300,
        ..Recipe::new(COMPONENT, "1.1.0")
    };
    recipe.image()
}

/// An image with bytes changed: of each three bytes two say which one, and one in what.
fn changed(image: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    let length = image.len();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % length;
        image[at] ^= change[2];
    }
    image
}

/// The image with its head signed anew, with its own content or another one.
fn sign(image: &[u8], content: Option<&[u8]>) -> Vec<u8> {
    let mut words = [0; FirmwareImage::WORDS];
    for (word, bytes) in words.iter_mut().zip(image.chunks_exact(8)) {
        *word = bytes
            .iter()
            .rev()
            .fold(0, |word, byte| (word << 8) | u64::from(*byte));
    }
    let head = FirmwareImage::from_words(&words);
    let own = image.get(HEAD..).unwrap_or_default();
    seal(head, content.unwrap_or(own), &test_key())
}

/// A whole update, in blocks of some length.
pub fn offer(firmware: &mut Firmware, image: &[u8], block: u8) -> Result<(), Qualifier> {
    let block = HEAD + usize::from(block);
    firmware.begin(COMPONENT, image.len() as u32)?;
    for (number, bytes) in image.chunks(block).enumerate() {
        firmware.write(COMPONENT, (number * block) as u32, bytes, &[TEST_KEY])?;
    }
    firmware.verify(COMPONENT)?;
    firmware.commit(COMPONENT.bit())
}

/// One of the things that can happen to a device then.
fn take_step(firmware: &mut Firmware, step: u8, wanted: bool) {
    if !wanted {
        return;
    }
    match step {
        // There may be nothing to activate.
        0 => _ = firmware.activate(FirmwareActivation::LIVE),
        1 => _ = firmware.activate(FirmwareActivation::RESET),
        2 => firmware.reset(false),
        3 => firmware.power_on(),
        4 => firmware.reset(true),
        5 => firmware.prove(),
        6 => firmware.roll_back_trials(FirmwareFault::HANG),
        _ => firmware.power_on(),
    }
}
