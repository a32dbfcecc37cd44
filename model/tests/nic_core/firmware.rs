// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Firmware as a driver meets it: updates step by step, refusals, activation, trials and what follows them.

use crate::mock::{Device, Driver};
use oxnic_abi::caps::{CapGet, CapabilityId, SteeringCaps};
use oxnic_abi::command::{BUFFER_MAX, Completion, Opcode, Qualifier, Status, Submission};
use oxnic_abi::event::EventKind;
use oxnic_abi::firmware::{
    FirmwareActivate, FirmwareActivation, FirmwareBegin, FirmwareCaps, FirmwareCheck,
    FirmwareComponent, FirmwareFault, FirmwareId, FirmwareInfo, FirmwareNews, FirmwareRead,
    FirmwareSet, FirmwareState, FirmwareWrite, firmware_flags,
};
use oxnic_abi::regs::{control, device, status};
use oxnic_abi::vport::VportInfo;
use oxnic_model::firmware::image::Recipe;
use oxnic_model::firmware::keys::stranger_key;
use oxnic_model::host::{Function, NicCore};
use oxnic_model::nic::firmware::build::{Behaviour, Build};
use serde_json::json;

const PF: Function = Function::Pf;
const PIPELINE: FirmwareComponent = FirmwareComponent::PIPELINE;
const MILLISECOND: u64 = 1_000_000;
/// Longer than any trial.
const LONG: u64 = 2_000 * MILLISECOND;
const RULES: u32 = 1024;
const MORE_RULES: u32 = 2048;

fn recipe(version: &str, security: u32) -> Recipe {
    Recipe {
        security,
        content: 5000,
        build: Build {
            rules: MORE_RULES,
            ..Build::FIXED
        },
        ..Recipe::new(PIPELINE, version)
    }
}

fn behaving(behaviour: Behaviour) -> Recipe {
    let usual = recipe("9.9", 9);
    Recipe {
        build: Build {
            behaviour,
            ..usual.build
        },
        ..usual
    }
}

fn text(version: [u8; 32]) -> String {
    let bytes = version.iter().take_while(|byte| **byte != 0);
    bytes.map(|byte| char::from(*byte)).collect()
}

/// A device and the driver of its PF.
struct Bench {
    dut: Device,
    driver: Driver,
}

impl Bench {
    fn new() -> Self {
        let mut dut = Device::new(1, 2);
        let driver = Driver::new(&mut dut, PF);
        Self { dut, driver }
    }

    fn set(&mut self, opcode: Opcode, parameters: [u64; 5]) -> Completion {
        self.driver.set(&mut self.dut, opcode, 0, parameters)
    }

    fn caps(&mut self) -> FirmwareCaps {
        let get = CapGet {
            id: CapabilityId::FIRMWARE,
        };
        let submission = Submission {
            parameters: get.to_words(),
            ..self.driver.submission(Opcode::CAP_GET)
        };
        let words = self.driver.query(&mut self.dut, submission).unwrap();
        FirmwareCaps::from_words(&words)
    }

    fn begin(&mut self, component: FirmwareComponent, length: u32) -> Completion {
        let begin = FirmwareBegin { component, length };
        self.set(Opcode::FIRMWARE_BEGIN, begin.to_words())
    }

    fn write(&mut self, offset: u32, block: &[u8]) -> Completion {
        let write = FirmwareWrite {
            component: PIPELINE,
            offset,
            length: block.len() as u32,
        };
        self.dut.host.write(self.driver.buffer, block);
        let submission = Submission {
            parameters: write.to_words(),
            buffer: self.driver.buffer,
            buffer_length: block.len() as u32,
            ..self.driver.submission(Opcode::FIRMWARE_WRITE)
        };
        self.driver.raw(&mut self.dut, &submission.to_words())
    }

    fn verify(&mut self) -> Completion {
        let id = FirmwareId {
            component: PIPELINE,
        };
        self.set(Opcode::FIRMWARE_VERIFY, id.to_words())
    }

    fn commit(&mut self) -> Completion {
        let components = PIPELINE.bit();
        let set = FirmwareSet { components };
        self.set(Opcode::FIRMWARE_COMMIT, set.to_words())
    }

    fn check(&mut self, component: FirmwareComponent) -> Result<FirmwareCheck, Completion> {
        let id = FirmwareId { component };
        let submission = Submission {
            parameters: id.to_words(),
            ..self.driver.submission(Opcode::FIRMWARE_CHECK)
        };
        let words = self.driver.query(&mut self.dut, submission)?;
        Ok(FirmwareCheck::from_words(&words))
    }

    fn read(&mut self, offset: u32, length: u32) -> Result<Vec<u8>, Completion> {
        let read = FirmwareRead { offset, length };
        let submission = Submission {
            parameters: read.to_words(),
            buffer: self.driver.buffer,
            buffer_length: length.next_multiple_of(8).clamp(8, BUFFER_MAX),
            ..self.driver.submission(Opcode::FIRMWARE_READ)
        };
        let completion = self.driver.raw(&mut self.dut, &submission.to_words());
        match completion.status {
            Status::OK => Ok(self.dut.host.read(self.driver.buffer, length as usize)),
            _ => Err(completion),
        }
    }

    fn activate(&mut self, how: FirmwareActivation) -> Completion {
        let activate = FirmwareActivate { how };
        self.set(Opcode::FIRMWARE_ACTIVATE, activate.to_words())
    }

    /// All steps up to VERIFY. The first that is refused.
    fn put(&mut self, image: &[u8]) -> Result<(), Completion> {
        let check = |completion: Completion| match completion.status {
            Status::OK => Ok(()),
            _ => Err(completion),
        };
        check(self.begin(PIPELINE, image.len() as u32))?;
        for (number, block) in (0..).zip(image.chunks(1024)) {
            check(self.write(number * 1024, block))?;
        }
        check(self.verify())
    }

    fn install(&mut self, recipe: &Recipe) {
        self.put(&recipe.image()).unwrap();
        assert_eq!(self.commit().status, Status::OK);
    }

    fn info(&mut self) -> FirmwareInfo {
        let id = FirmwareId {
            component: PIPELINE,
        };
        let submission = Submission {
            parameters: id.to_words(),
            ..self.driver.submission(Opcode::FIRMWARE_QUERY)
        };
        FirmwareInfo::from_words(&self.driver.query(&mut self.dut, submission).unwrap())
    }

    /// What comes of a command that the pipeline has a part in.
    fn query_vport(&mut self) -> Status {
        let submission = self.driver.submission(Opcode::VPORT_QUERY);
        let answer = self
            .driver
            .query::<{ VportInfo::WORDS }>(&mut self.dut, submission);
        answer.map_or_else(|completion| completion.status, |_| Status::OK)
    }

    fn running(&mut self) -> String {
        text(self.info().running_version)
    }

    /// What the device offers for steering.
    fn rules(&mut self) -> u32 {
        let get = CapGet {
            id: CapabilityId::STEERING,
        };
        let submission = Submission {
            parameters: get.to_words(),
            ..self.driver.submission(Opcode::CAP_GET)
        };
        let words = self.driver.query(&mut self.dut, submission).unwrap();
        SteeringCaps::from_words(&words).rules
    }

    /// A reset of the PF and a new handshake.
    fn reset(&mut self) {
        self.driver = Driver::new(&mut self.dut, PF);
    }

    fn news(&mut self) -> Vec<(u16, u16)> {
        let events = self.driver.events(&mut self.dut);
        let firmware = events.iter().filter(|e| e.kind == EventKind::FIRMWARE);
        firmware.map(|e| (e.object, e.detail)).collect()
    }
}

fn news(news: FirmwareNews) -> (u16, u16) {
    (PIPELINE.0.into(), news.0)
}

#[test]
fn a_pf_has_the_capability_and_a_vf_has_not() {
    let mut bench = Bench::new();
    let caps = bench.caps();
    assert_eq!(caps.components, 0b1110);
    assert!(caps.block_max <= oxnic_abi::command::BUFFER_MAX && caps.image_max > caps.block_max);
}

#[test]
fn new_firmware_runs_after_the_reset_and_brings_what_it_has() {
    let mut bench = Bench::new();
    assert_eq!((bench.running().as_str(), bench.rules()), ("1.0.0", RULES));
    bench.install(&recipe("1.1.0", 3));
    let info = bench.info();
    assert_eq!(text(info.stored_version), "1.1.0");
    assert_eq!((info.running, info.stored, info.flags), (0, 1, 0));
    // A reset that nobody meant for that.
    bench.reset();
    assert_eq!((bench.running().as_str(), bench.rules()), ("1.0.0", RULES));
    assert_eq!(bench.activate(FirmwareActivation::RESET).status, Status::OK);
    assert_eq!(bench.info().flags, firmware_flags::ARMED);
    bench.reset();
    assert_eq!(
        (bench.running().as_str(), bench.rules()),
        ("1.1.0", MORE_RULES)
    );
    assert_eq!(bench.info().state, FirmwareState::TRIAL);
    assert_eq!(bench.info().security, 0);
    bench.dut.advance(LONG);
    assert_eq!(bench.news(), [news(FirmwareNews::PROVEN)]);
    let info = bench.info();
    assert_eq!(info.state, FirmwareState::PROVEN);
    assert_eq!((info.security, text(info.fixed).as_str()), (3, "1.0.0"));
}

#[test]
fn power_starts_what_is_stored() {
    let mut bench = Bench::new();
    bench.install(&recipe("1.1.0", 0));
    bench.dut.nic.function_reset(&mut bench.dut.host, PF);
    bench.dut.nic.power_on(&mut bench.dut.host);
    bench.reset();
    assert_eq!(bench.running(), "1.1.0");
}

#[test]
fn flash_is_read_as_it_is_up_to_its_end() {
    let mut bench = Bench::new();
    let caps = bench.caps();
    assert!(caps.flash > caps.image_max);
    let whole = |bench: &mut Bench| -> Vec<u8> {
        let blocks = (0..caps.flash).step_by(caps.block_max as usize);
        let read = |offset: u32| {
            let length = caps.block_max.min(caps.flash - offset);
            bench.read(offset, length).unwrap()
        };
        blocks.flat_map(read).collect()
    };
    let image = recipe("1.1.0", 0).image();
    let holds = |flash: &[u8]| flash.windows(image.len()).any(|part| part == image);
    assert!(!holds(&whole(&mut bench)));
    bench.install(&recipe("1.1.0", 0));
    let flash = whole(&mut bench);
    assert!(holds(&flash));
    // Any part of it, and reading changes nothing.
    assert_eq!(bench.read(4097, 11).unwrap(), flash[4097..4108]);
    assert_eq!(
        bench.read(caps.flash - 1, 1).unwrap(),
        flash[flash.len() - 1..]
    );
    assert_eq!(whole(&mut bench), flash);
    let refused = [
        (caps.flash, 1, 24),
        (u32::MAX, 1, 24),
        (0, 0, 28),
        (0, caps.block_max + 1, 28),
        (caps.flash - 1, 2, 28),
    ];
    for (offset, length, blamed) in refused {
        let completion = bench.read(offset, length).unwrap_err();
        let why = (completion.status, completion.qualifier, completion.offset);
        assert_eq!(why, (Status::EINVAL, Qualifier::LIMIT, blamed));
    }
}

#[test]
fn a_vf_does_not_read_flash() {
    let mut bench = Bench::new();
    bench.driver.enable_vfs(&mut bench.dut, 1);
    let mut vf = Driver::new(&mut bench.dut, Function::Vf(0));
    let submission = Submission {
        parameters: FirmwareRead {
            offset: 0,
            length: 8,
        }
        .to_words(),
        ..vf.submission(Opcode::FIRMWARE_READ)
    };
    let refused = vf.query::<1>(&mut bench.dut, submission).unwrap_err();
    assert_eq!(
        (refused.status, refused.qualifier),
        (Status::EPERM, Qualifier::PRIVILEGE)
    );
}

#[test]
fn a_check_finds_what_went_bad_in_its_slot() {
    let mut bench = Bench::new();
    let spoil = json!({"cmd": "flash-spoil", "component": "pipeline"});
    let found = |checked, damaged| FirmwareCheck { checked, damaged };
    // What nothing can write does not go bad.
    assert_eq!(bench.check(PIPELINE).unwrap(), found(0b001, 0));
    let host = &mut bench.dut.host;
    assert!(bench.dut.nic.control(host, &spoil).unwrap().is_err());
    bench.install(&recipe("1.1.0", 0));
    assert_eq!(bench.check(PIPELINE).unwrap(), found(0b011, 0));
    bench.dut.control(spoil);
    assert_eq!(bench.check(PIPELINE).unwrap(), found(0b011, 0b010));
    assert_eq!(
        bench.check(FirmwareComponent::BOOT).unwrap(),
        found(0b001, 0)
    );
    let refused = bench.check(FirmwareComponent(9)).unwrap_err();
    assert_eq!(
        (refused.status, refused.qualifier),
        (Status::ENOENT, Qualifier::OBJECT)
    );
    // It is not what the next start runs, either.
    assert_eq!(bench.activate(FirmwareActivation::RESET).status, Status::OK);
    bench.reset();
    assert_eq!(bench.running(), "1.0.0");
    assert_eq!(bench.info().fault, FirmwareFault::DAMAGED);
    assert_eq!(bench.check(PIPELINE).unwrap(), found(0b001, 0));
}

#[test]
fn each_refusal_has_its_reason_and_changes_nothing() {
    let mut bench = Bench::new();
    bench.install(&recipe("1.1.0", 3));
    bench.activate(FirmwareActivation::RESET);
    bench.reset();
    bench.dut.advance(LONG);
    let before = bench.info();
    let good = recipe("1.2.0", 3);
    let image = good.image();
    let flipped = |at: usize| {
        let mut image = image.clone();
        image[at] ^= 0x10;
        image
    };
    let with = |change: &dyn Fn(&mut Recipe)| {
        let mut recipe = good.clone();
        change(&mut recipe);
        recipe.image()
    };
    let cases = [
        (with(&|r| r.security = 2), Qualifier::IMAGE_DOWNGRADE),
        (with(&|r| r.device += 1), Qualifier::IMAGE_DEVICE),
        (with(&|r| r.key = None), Qualifier::IMAGE_UNSIGNED),
        (
            with(&|r| r.key = Some(stranger_key())),
            Qualifier::IMAGE_SIGNATURE,
        ),
        (
            with(&|r| r.component = FirmwareComponent::BOOT),
            Qualifier::IMAGE_COMPONENT,
        ),
        (with(&|r| r.content = 1 << 20), Qualifier::IMAGE_OVERSIZED),
        (
            image[..image.len() - 1].to_vec(),
            Qualifier::IMAGE_TRUNCATED,
        ),
        (image[..200].to_vec(), Qualifier::IMAGE_TRUNCATED),
        (vec![0; 4000], Qualifier::IMAGE_FORMAT),
        (flipped(0), Qualifier::IMAGE_FORMAT),
        (flipped(8), Qualifier::IMAGE_DEVICE),
        (flipped(16), Qualifier::IMAGE_SIGNATURE),
        (flipped(40), Qualifier::IMAGE_SIGNATURE),
        (flipped(255), Qualifier::IMAGE_SIGNATURE),
        (flipped(256), Qualifier::IMAGE_CORRUPT),
        (flipped(image.len() - 1), Qualifier::IMAGE_CORRUPT),
    ];
    for (image, expected) in cases {
        let refused = bench.put(&image).unwrap_err();
        assert_eq!(
            refused.qualifier.text(),
            expected.text(),
            "{} bytes",
            image.len()
        );
        assert_eq!(
            bench.commit().qualifier,
            Qualifier::ORDER,
            "{}",
            expected.text()
        );
        let now = bench.info();
        assert_eq!(FirmwareInfo { written: 0, ..now }, before);
    }
    bench.put(&image).unwrap();
}

#[test]
fn steps_out_of_order_are_refused() {
    let mut bench = Bench::new();
    let image = recipe("1.1.0", 0).image();
    let length = image.len() as u32;
    let order = Qualifier::ORDER;
    assert_eq!(bench.write(0, &image[..1024]).qualifier, order);
    assert_eq!(bench.verify().qualifier, order);
    assert_eq!(bench.commit().qualifier, order);
    let nothing = Qualifier::NOTHING_STORED;
    for how in [FirmwareActivation::RESET, FirmwareActivation::LIVE] {
        assert_eq!(bench.activate(how).qualifier, nothing);
    }
    assert_eq!(bench.begin(PIPELINE, length).status, Status::OK);
    assert_eq!(bench.write(1024, &image[1024..2048]).qualifier, order);
    // That one leaves the update as it was.
    assert_eq!(bench.write(0, &image[..100]).qualifier, Qualifier::LIMIT);
    assert_eq!(bench.write(0, &image[..1024]).status, Status::OK);
    assert_eq!(bench.info().written, 1024);
    assert_eq!(bench.write(0, &image[..1024]).qualifier, order);
    assert_eq!(bench.commit().qualifier, order);
    // Blocks are missing, all of them or some, which is the end of it.
    for written in [1024, 0] {
        assert_eq!(bench.verify().qualifier, Qualifier::IMAGE_TRUNCATED);
        assert_eq!(bench.verify().qualifier, order, "after {written} bytes");
        assert_eq!(bench.begin(PIPELINE, length).status, Status::OK);
    }
    assert_eq!(bench.write(0, &image[..1024]).status, Status::OK);
    // The rest and one byte more.
    let beyond = [&image[1024..], &[0]].concat();
    assert_eq!(bench.write(1024, &beyond).qualifier, Qualifier::LIMIT);
    assert_eq!(bench.write(1024, &image[1024..]).status, Status::OK);
    assert_eq!(bench.verify().status, Status::OK);
    assert_eq!(bench.write(length, &[0]).qualifier, order);
    // What is behind the block is zero.
    let write = FirmwareWrite {
        component: PIPELINE,
        offset: 0,
        length: 300,
    };
    bench.dut.host.write(bench.driver.buffer, &[1; 304]);
    let submission = Submission {
        parameters: write.to_words(),
        buffer: bench.driver.buffer,
        buffer_length: 304,
        ..bench.driver.submission(Opcode::FIRMWARE_WRITE)
    };
    let refused = bench.driver.raw(&mut bench.dut, &submission.to_words());
    assert_eq!(
        (refused.qualifier, refused.offset),
        (Qualifier::RESERVED, 64 + 300)
    );
    let unknown = FirmwareComponent(9);
    assert_eq!(bench.begin(unknown, length).status, Status::ENOENT);
    assert_eq!(bench.commit().status, Status::OK);
    assert_eq!(bench.commit().qualifier, order);
}

#[test]
fn an_update_ends_with_a_reset_and_with_abort() {
    let mut bench = Bench::new();
    let image = recipe("1.1.0", 0).image();
    for reset in [true, false] {
        bench.put(&image).unwrap();
        if reset {
            bench.reset();
        } else {
            let components = PIPELINE.bit();
            let set = FirmwareSet { components };
            let done = bench.set(Opcode::FIRMWARE_ABORT, set.to_words());
            assert_eq!(done.status, Status::OK);
        }
        assert_eq!(bench.commit().qualifier, Qualifier::ORDER);
    }
}

#[test]
fn what_fails_its_self_test_does_not_run() {
    let mut bench = Bench::new();
    bench.install(&behaving(Behaviour::SelfTest));
    bench.activate(FirmwareActivation::RESET);
    bench.reset();
    let info = bench.info();
    assert_eq!(text(info.running_version), "1.0.0");
    assert_eq!(text(info.failed_version), "9.9");
    assert_eq!(info.fault, FirmwareFault::SELF_TEST);
    assert_eq!((info.security, info.state), (0, FirmwareState::PROVEN));
    assert_eq!(bench.news(), [news(FirmwareNews::ROLLED_BACK)]);
    assert_eq!(bench.rules(), RULES);
}

#[test]
fn what_does_not_get_ready_makes_way_within_the_time_of_a_reset() {
    let mut bench = Bench::new();
    bench.install(&behaving(Behaviour::Hang));
    bench.activate(FirmwareActivation::RESET);
    bench.dut.write(PF, device::CONTROL, control::RESET);
    let ready = |dut: &mut Device| dut.read(PF, device::STATUS) & status::READY != 0;
    assert!(!ready(&mut bench.dut));
    // A driver that does not wait is not taken.
    bench.dut.write(PF, device::CONTROL, control::DRIVER_OK);
    assert_eq!(bench.dut.read(PF, device::STATUS) & status::ACCEPTED, 0);
    let limit = u64::from(bench.dut.read(PF, device::RESET_TIMEOUT));
    bench.dut.advance(limit * MILLISECOND / 2);
    assert!(ready(&mut bench.dut));
    bench.reset();
    assert_eq!(bench.info().fault, FirmwareFault::HANG);
    assert_eq!(bench.running(), "1.0.0");
    assert_eq!(bench.news(), [news(FirmwareNews::ROLLED_BACK)]);
}

#[test]
fn what_stops_while_on_trial_makes_way_at_the_next_reset() {
    for live in [false, true] {
        let mut bench = Bench::new();
        bench.install(&Recipe {
            live,
            ..behaving(Behaviour::Crash)
        });
        if live {
            assert_eq!(bench.activate(FirmwareActivation::LIVE).status, Status::OK);
        } else {
            bench.activate(FirmwareActivation::RESET);
            bench.reset();
        }
        assert_eq!(bench.running(), "9.9");
        bench.dut.advance(LONG);
        let halted = bench.dut.read(PF, device::STATUS) & status::HALTED;
        assert_ne!(halted, 0);
        bench.reset();
        assert_eq!(bench.running(), "1.0.0");
        assert_eq!(bench.info().fault, FirmwareFault::CRASH);
        bench.dut.advance(LONG);
        assert_eq!(bench.running(), "1.0.0");
    }
}

#[test]
fn a_halt_while_on_trial_proves_nothing_however_late_the_reset_comes() {
    let mut bench = Bench::new();
    bench.install(&recipe("1.1.0", 3));
    bench.activate(FirmwareActivation::RESET);
    bench.reset();
    assert_eq!(bench.running(), "1.1.0");
    bench.dut.advance(100 * MILLISECOND);
    bench.dut.control(json!({"cmd": "halt", "function": 0}));
    bench.dut.advance(LONG);
    bench.reset();
    assert_eq!(bench.running(), "1.0.0");
    let info = bench.info();
    assert_eq!((info.security, info.fault), (0, FirmwareFault::CRASH));
    assert_eq!(bench.news(), [news(FirmwareNews::ROLLED_BACK)]);
}

#[test]
fn live_activation_is_at_once_and_only_for_what_can() {
    let mut bench = Bench::new();
    bench.install(&recipe("1.1.0", 0));
    let refused = bench.activate(FirmwareActivation::LIVE);
    assert_eq!(refused.qualifier, Qualifier::NOT_LIVE);
    assert_eq!(bench.running(), "1.0.0");
    let live = |version: &str, rules: u32| Recipe {
        live: true,
        build: Build {
            rules,
            ..Build::FIXED
        },
        ..recipe(version, 0)
    };
    bench.install(&live("1.2.0", MORE_RULES));
    assert_eq!(bench.info().flags, firmware_flags::LIVE);
    let generation = bench.dut.read(PF, device::GENERATION);
    assert_eq!(bench.activate(FirmwareActivation::LIVE).status, Status::OK);
    assert_eq!(
        (bench.running().as_str(), bench.rules()),
        ("1.2.0", MORE_RULES)
    );
    bench.dut.advance(LONG);
    assert_eq!(bench.news(), [news(FirmwareNews::PROVEN)]);
    assert_eq!(bench.dut.read(PF, device::GENERATION), generation);
    // What is in use is not taken away.
    bench.install(&live("1.3.0", RULES));
    let refused = bench.activate(FirmwareActivation::LIVE);
    assert_eq!(refused.qualifier, Qualifier::NOT_LIVE);
    // What cannot run is given up before anything has changed.
    bench.install(&Recipe {
        live: true,
        ..behaving(Behaviour::Hang)
    });
    let refused = bench.activate(FirmwareActivation::LIVE);
    assert_eq!(refused.qualifier, Qualifier::UNHEALTHY);
    assert_eq!(bench.running(), "1.2.0");
    assert_eq!(bench.info().fault, FirmwareFault::HANG);
}

#[test]
fn while_one_is_on_trial_the_other_slots_stay() {
    let mut bench = Bench::new();
    bench.install(&recipe("1.1.0", 0));
    bench.activate(FirmwareActivation::RESET);
    bench.reset();
    bench.dut.advance(LONG);
    bench.install(&recipe("1.2.0", 0));
    bench.activate(FirmwareActivation::RESET);
    bench.reset();
    let refused = bench.put(&recipe("1.3.0", 0).image()).unwrap_err();
    assert_eq!(
        (refused.status, refused.qualifier),
        (Status::EBUSY, Qualifier::STATE)
    );
    bench.dut.advance(LONG);
    bench.put(&recipe("1.3.0", 0).image()).unwrap();
}

#[test]
fn flash_that_fails_ends_the_update_alone() {
    let mut bench = Bench::new();
    let chaos = |bench: &mut Bench, spec: &str| {
        let request = serde_json::json!({ "cmd": "chaos", "spec": spec });
        let done = bench.dut.nic.control(&mut bench.dut.host, &request);
        done.unwrap().unwrap();
    };
    let image = recipe("1.1.0", 0).image();
    chaos(&mut bench, "nic.firmware-write=3");
    assert_eq!(bench.put(&image).unwrap_err().qualifier, Qualifier::FLASH);
    assert_eq!(bench.verify().qualifier, Qualifier::ORDER);
    chaos(&mut bench, "nic.off,nic.firmware-corrupt=3");
    let refused = bench.put(&image).unwrap_err();
    assert_eq!(refused.qualifier, Qualifier::IMAGE_CORRUPT);
    chaos(&mut bench, "nic.off");
    bench.put(&image).unwrap();
}

#[test]
fn a_bad_build_of_the_pipeline_leaves_what_replaces_it() {
    let mut bench = Bench::new();
    let broken = |on| json!({"cmd": "broken", "part": "pipeline", "on": on});
    bench.dut.control(broken(true));
    assert_eq!(bench.query_vport(), Status::EIO);
    bench.install(&recipe("1.1", 0));
    assert_eq!(bench.activate(FirmwareActivation::RESET).status, Status::OK);
    bench.reset();
    assert_eq!(bench.query_vport(), Status::OK);
    // It is said of the build that runs.
    bench.dut.control(broken(true));
    bench.dut.control(broken(false));
    assert_eq!(bench.query_vport(), Status::OK);
}
