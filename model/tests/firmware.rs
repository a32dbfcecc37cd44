// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Firmware in flash: power that is lost at any point of an update, and images that are not what they should be.

use oxnic_abi::command::Qualifier;
use oxnic_abi::firmware::{FirmwareActivation, FirmwareComponent, FirmwareState};
use oxnic_model::firmware::image::Recipe;
use oxnic_model::firmware::keys::test_key;
use oxnic_model::flash::FileFlash;
use oxnic_model::nic::firmware::build::Build;
use oxnic_model::nic::firmware::flash::{Flash, FlashError};
use oxnic_model::nic::firmware::image::TEST_KEY;
use oxnic_model::nic::firmware::{COMPONENTS, Firmware};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const PAGE: u64 = 4096;

/// What is in flash, and what is on its way there.
#[derive(Default)]
struct Chip {
    pages: BTreeMap<u64, Vec<u8>>,
    /// Written and not synced.
    waiting: Vec<(u64, Vec<u8>)>,
    /// Operations until power is lost.
    left: Option<u32>,
}

impl Chip {
    fn put(pages: &mut BTreeMap<u64, Vec<u8>>, at: u64, data: &[u8]) {
        for (at, byte) in (at..).zip(data) {
            let page = pages
                .entry(at / PAGE)
                .or_insert_with(|| vec![0; PAGE as usize]);
            page[(at % PAGE) as usize] = *byte;
        }
    }

    fn get(pages: &BTreeMap<u64, Vec<u8>>, at: u64, data: &mut [u8]) {
        for (at, byte) in (at..).zip(data) {
            *byte = pages
                .get(&(at / PAGE))
                .map_or(0, |page| page[(at % PAGE) as usize]);
        }
    }

    /// Whether there is power for one more operation.
    fn spend(&mut self) -> Result<(), FlashError> {
        match &mut self.left {
            None => Ok(()),
            Some(0) => Err(FlashError),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    /// Power is lost: of what was not synced, parts have arrived, in any order.
    fn lose_power(&mut self, mut random: u64) {
        for (at, data) in std::mem::take(&mut self.waiting) {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let length = match (random >> 33) % 3 {
                0 => 0,
                1 => data.len(),
                _ => (random >> 40) as usize % data.len(),
            };
            Self::put(&mut self.pages, at, &data[..length]);
        }
        self.left = None;
    }
}

/// Flash whose content the test keeps.
#[derive(Clone, Default)]
struct Socket(Arc<Mutex<Chip>>);

impl Flash for Socket {
    fn read(&mut self, at: u64, data: &mut [u8]) -> Result<(), FlashError> {
        let chip = self.0.lock().unwrap();
        Chip::get(&chip.pages, at, data);
        for (start, written) in &chip.waiting {
            for (place, byte) in (*start..).zip(written) {
                if let Some(to) = place
                    .checked_sub(at)
                    .and_then(|index| data.get_mut(index as usize))
                {
                    *to = *byte;
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, at: u64, data: &[u8]) -> Result<(), FlashError> {
        let mut chip = self.0.lock().unwrap();
        let spent = chip.spend();
        // What is being written when power goes may be there, in part.
        chip.waiting.push((at, data.to_vec()));
        spent
    }

    fn sync(&mut self) -> Result<(), FlashError> {
        let mut chip = self.0.lock().unwrap();
        chip.spend()?;
        for (at, data) in std::mem::take(&mut chip.waiting) {
            Chip::put(&mut chip.pages, at, &data);
        }
        Ok(())
    }
}

impl Socket {
    fn start(&self) -> Firmware {
        Firmware::new(Box::new(self.clone()))
    }
}

fn recipe(component: FirmwareComponent, number: u32) -> Recipe {
    Recipe {
        security: number,
        content: 700,
        build: Build {
            rules: 1000 + number,
            ..Build::FIXED
        },
        ..Recipe::new(component, &format!("{number}.0"))
    }
}

fn put(
    firmware: &mut Firmware,
    component: FirmwareComponent,
    image: &[u8],
) -> Result<(), Qualifier> {
    firmware.begin(component, image.len() as u32)?;
    for (number, block) in (0..).zip(image.chunks(256)) {
        firmware.write(component, number * 256, block, &[TEST_KEY])?;
    }
    firmware.verify(component)
}

/// An update of all components, started and proven.
fn update(firmware: &mut Firmware, number: u32) -> Result<(), Qualifier> {
    for component in COMPONENTS {
        put(firmware, component, &recipe(component, number).image())?;
    }
    let all = COMPONENTS.iter().fold(0, |all, one| all | one.bit());
    firmware.commit(all)?;
    firmware.activate(FirmwareActivation::RESET)?;
    firmware.reset(false);
    firmware.prove();
    Ok(())
}

/// The number of the build of each component that runs; 0: as it was made.
fn running(firmware: &Firmware) -> Vec<u32> {
    COMPONENTS
        .iter()
        .map(|component| {
            let version = firmware.info(*component).unwrap().running_version;
            let said = String::from_utf8_lossy(&version).into_owned();
            let number = said.trim_end_matches('\0').strip_suffix(".0");
            let number = number.and_then(|text| text.parse().ok()).unwrap_or(0);
            // What it says and what it does are of the same build.
            let rules = firmware.build(*component).rules;
            assert!(rules == 1000 + number || rules == Build::FIXED.rules && number == 0);
            number
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Power is lost at a random point of a random number of updates: what runs afterwards is the build before or the new one, of all
    /// components, and an update finds its way.
    #[test]
    fn power_can_go_at_any_point(before in 0..3u32, operations in 0..60u32, random: u64) {
        let socket = Socket::default();
        let mut firmware = socket.start();
        for number in 2..2 + before {
            update(&mut firmware, number).unwrap();
        }
        let old = running(&firmware);
        let security: Vec<u32> = COMPONENTS.map(|c| firmware.info(c).unwrap().security).to_vec();
        socket.0.lock().unwrap().left = Some(operations);
        let ended = update(&mut firmware, 9);
        socket.0.lock().unwrap().lose_power(random);
        drop(firmware);
        let mut firmware = socket.start();
        let now = running(&firmware);
        let new = vec![9; COMPONENTS.len()];
        prop_assert!(now == old || now == new, "{old:?} -> {now:?}");
        if ended.is_ok() {
            prop_assert_eq!(&now, &new);
        }
        for (component, security) in COMPONENTS.iter().zip(security) {
            prop_assert!(firmware.info(*component).unwrap().security >= security);
        }
        // Whatever state that was, it is not the end.
        firmware.prove();
        update(&mut firmware, 12).unwrap();
        prop_assert_eq!(running(&firmware), vec![12; COMPONENTS.len()]);
        let state = firmware.info(COMPONENTS[0]).unwrap().state;
        prop_assert_eq!(state, FirmwareState::PROVEN);
        // And it is there when power comes again.
        prop_assert_eq!(running(&socket.start()), vec![12; COMPONENTS.len()]);
    }

    /// An image that differs in any way from what was signed is not committed, and nothing that runs changes.
    #[test]
    fn images_that_were_tampered_with_are_refused(at: prop::sample::Index, bit in 0..8u8, cut in 0..950usize, how in 0..3u8) {
        let socket = Socket::default();
        let mut firmware = socket.start();
        let component = FirmwareComponent::PIPELINE;
        let mut image = recipe(component, 5).image();
        match how {
            0 => image[at.index(956)] ^= 1 << bit,
            1 => image.truncate(cut),
            _ => image.extend([bit]),
        }
        prop_assert!(put(&mut firmware, component, &image).is_err());
        prop_assert_eq!(firmware.commit(component.bit()), Err(Qualifier::ORDER));
        prop_assert_eq!(running(&firmware), vec![0; COMPONENTS.len()]);
        prop_assert_eq!(firmware.activate(FirmwareActivation::RESET), Err(Qualifier::NOTHING_STORED));
    }

    /// Content that was signed and is no build of this device is given up; nothing panics.
    #[test]
    fn whatever_was_signed_is_either_run_or_given_up(content in prop::collection::vec(any::<u8>(), 1..100)) {
        use ed25519_dalek::Signer;
        use sha2::{Digest, Sha256};
        let component = FirmwareComponent::PIPELINE;
        let mut image = recipe(component, 5).image();
        image.truncate(256);
        image[20..24].copy_from_slice(&(content.len() as u32).to_le_bytes());
        image[64..96].copy_from_slice(&Sha256::digest(&content));
        let signature = test_key().sign(&image[..192]).to_bytes();
        image[192..256].copy_from_slice(&signature);
        image.extend(&content);
        let mut firmware = Socket::default().start();
        put(&mut firmware, component, &image).unwrap();
        firmware.commit(component.bit()).unwrap();
        firmware.activate(FirmwareActivation::RESET).unwrap();
        firmware.reset(false);
        prop_assert_eq!(running(&firmware), vec![0; COMPONENTS.len()]);
    }
}

#[test]
fn a_slot_that_rots_is_found_when_power_comes() {
    let socket = Socket::default();
    let mut firmware = socket.start();
    update(&mut firmware, 2).unwrap();
    let rot = |at: u64| {
        let mut chip = socket.0.lock().unwrap();
        let mut byte = [0];
        Chip::get(&chip.pages, at, &mut byte);
        Chip::put(&mut chip.pages, at, &[byte[0] ^ 1]);
    };
    // The first component's first slot lies behind the directory.
    rot(2 * 4096 + 300);
    let firmware = socket.start();
    assert_eq!(running(&firmware), [0, 2, 2]);
}

#[test]
fn a_build_that_takes_power_away_is_not_tried_for_ever() {
    let socket = Socket::default();
    let mut firmware = socket.start();
    let component = FirmwareComponent::PIPELINE;
    put(&mut firmware, component, &recipe(component, 4).image()).unwrap();
    firmware.commit(component.bit()).unwrap();
    let runs: Vec<u32> = (0..5).map(|_| running(&socket.start())[1]).collect();
    assert_eq!(runs, [4, 4, 4, 0, 0]);
}

#[test]
fn a_file_keeps_firmware_from_one_process_to_the_next() {
    let path = std::env::temp_dir().join(format!("oxnic-flash-{}", std::process::id()));
    let start = || Firmware::new(Box::new(FileFlash::open(&path).unwrap()));
    for (before, number) in [(0, 2), (2, 3), (3, 4)] {
        let mut firmware = start();
        assert_eq!(running(&firmware), vec![before; COMPONENTS.len()]);
        update(&mut firmware, number).unwrap();
    }
    assert_eq!(running(&start()), vec![4; COMPONENTS.len()]);
    std::fs::remove_file(&path).unwrap();
}
