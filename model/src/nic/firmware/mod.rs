// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Firmware of the device: which build of each component runs, which one is started next, and updates that are under way.
//!
//! [`Firmware`] owns the flash. A slot that runs, or that would run after a failure, is never written; what becomes of a slot is one
//! change of the [`directory`]. When things happen (resets, handshakes, time that passes) is the business of `trial`.

pub mod build;
pub mod directory;
pub mod flash;
pub mod image;

use build::{Behaviour, Build, fixed_version};
use directory::{Directory, Entry, FirmwareFaultCode, Stored, Version};
use flash::{FLASH_LENGTH, Flash, FlashError, SLOT_LENGTH, slot_at};
use image::{Expected, HEAD, check_head};
use oxnic_abi::command::Qualifier;
use oxnic_abi::firmware::{
    FirmwareActivation, FirmwareCaps, FirmwareCheck, FirmwareComponent, FirmwareFault,
    FirmwareImage, FirmwareInfo, FirmwareNews, FirmwareState, VERSION_MAX, firmware_flags,
    image_flags,
};
use sha2::{Digest, Sha256};

/// The components that there are.
pub const COMPONENTS: [FirmwareComponent; 3] = [
    FirmwareComponent::MANAGEMENT,
    FirmwareComponent::PIPELINE,
    FirmwareComponent::BOOT,
];
/// Longest image.
pub const IMAGE_MAX: u32 = SLOT_LENGTH as u32;
/// Longest block.
pub const BLOCK_MAX: u32 = 32_768;
/// How long a build is on trial, in milliseconds.
pub const TRIAL_MS: u32 = 500;
/// How often a build is started that does not come as far as proving itself.
const TRIALS: u8 = 3;
/// Bytes that are read from flash at a time.
const CHUNK: usize = 4096;

/// What the device publishes.
pub fn capability() -> FirmwareCaps {
    FirmwareCaps {
        components: COMPONENTS.iter().fold(0, |all, one| all | one.bit()),
        image_max: IMAGE_MAX,
        block_max: BLOCK_MAX,
        verify_ms: 1000,
        trial_ms: TRIAL_MS,
        pause_ms: 10,
        flash: FLASH_LENGTH as u32,
    }
}

/// What a driver is told of its own accord.
pub type News = (FirmwareComponent, FirmwareNews);

/// An image that is coming in.
struct Update {
    length: u32,
    written: u32,
    /// Slot and head, once the head was accepted.
    accepted: Option<(u8, FirmwareImage)>,
    /// What the slot holds, once all of it was checked.
    verified: Option<Stored>,
}

/// A component.
struct Part {
    /// Slot that runs.
    running: u8,
    build: Build,
    /// It has been started and has not proven itself.
    trial: bool,
    update: Option<Update>,
}

/// The firmware of a device.
pub struct Firmware {
    flash: Box<dyn Flash>,
    directory: Directory,
    parts: [Part; COMPONENTS.len()],
    /// What was committed is started in the next reset of the PF.
    armed: bool,
    /// Not told yet.
    news: Vec<News>,
}

fn version(text: &str) -> Version {
    let mut version = [0; VERSION_MAX];
    for (to, from) in version.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    version
}

fn lost(_: FlashError) -> Qualifier {
    Qualifier::FLASH
}

impl Firmware {
    /// The firmware that is in flash, as after power-on.
    pub fn new(flash: Box<dyn Flash>) -> Self {
        let mut firmware = Self {
            flash,
            directory: Directory::default(),
            parts: COMPONENTS.map(|_| Part {
                running: 0,
                build: Build::FIXED,
                trial: false,
                update: None,
            }),
            armed: false,
            news: Vec::new(),
        };
        firmware.power_on();
        firmware
    }

    /// Starts what is in flash.
    pub fn power_on(&mut self) {
        self.armed = false;
        self.news.clear();
        self.abandon();
        self.directory = Directory::load(&mut *self.flash).unwrap_or_default();
        for place in 0..COMPONENTS.len() {
            self.start(place);
        }
    }

    /// The PF is being reset; `halted`: because it had stopped.
    pub fn reset(&mut self, halted: bool) {
        self.abandon();
        if halted {
            self.roll_back_trials(FirmwareFault::CRASH);
        }
        if std::mem::take(&mut self.armed) {
            for place in 0..COMPONENTS.len() {
                if self.is_waiting(place) {
                    self.start(place);
                }
            }
        }
    }

    /// Updates that are under way are forgotten.
    fn abandon(&mut self) {
        self.parts.iter_mut().for_each(|part| part.update = None);
    }

    /// How the builds that are on trial behave: as the worst of them.
    pub fn behaviour(&self) -> Option<Behaviour> {
        let trials = self.parts.iter().filter(|part| part.trial);
        let behaviours: Vec<Behaviour> = trials.map(|part| part.build.behaviour).collect();
        let has = |wanted: &Behaviour| behaviours.contains(wanted);
        [Behaviour::Hang, Behaviour::Crash, Behaviour::Healthy]
            .into_iter()
            .find(has)
    }

    /// The build of a component that runs.
    pub fn build(&self, component: FirmwareComponent) -> Build {
        place(component).map_or(Build::FIXED, |place| self.parts[place].build)
    }

    /// What has happened since the last call.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    fn entry(&self, place: usize) -> &Entry {
        &self.directory.entries[place]
    }

    fn is_waiting(&self, place: usize) -> bool {
        let pending = self.entry(place).pending;
        pending != 0 && self.parts[place].running != pending
    }

    /// Changes what is known of a component, for good.
    fn change(&mut self, place: usize, change: impl FnOnce(&mut Entry)) -> Result<(), FlashError> {
        let mut changed = self.directory.clone();
        change(&mut changed.entries[place]);
        self.directory.store(changed, &mut *self.flash)
    }

    /// Starts the build that comes next, or the one that is good if that cannot be.
    fn start(&mut self, place: usize) {
        let entry = *self.entry(place);
        if entry.pending != 0 {
            let result = if entry.trials >= TRIALS {
                Err(FirmwareFault::POWER)
            } else {
                // Counted before, so that a build that takes the device down with it is not tried for ever. Where that cannot be
                // noted, it is not tried at all.
                match self.change(place, |entry| entry.trials += 1) {
                    Ok(()) => self.load(place, entry.pending),
                    Err(_) => Err(FirmwareFault::NONE),
                }
            };
            match result {
                Ok(build) if build.behaviour != Behaviour::SelfTest => {
                    return self.run(place, entry.pending, build, true);
                }
                Ok(_) => self.give_up(place, FirmwareFault::SELF_TEST),
                Err(FirmwareFault::NONE) => {}
                Err(fault) => self.give_up(place, fault),
            }
        }
        self.run_good(place);
    }

    /// Runs the build that has proven itself; the one that the device was made with if that is damaged.
    fn run_good(&mut self, place: usize) {
        let good = self.entry(place).good;
        match self.load(place, good) {
            Ok(build) => self.run(place, good, build, false),
            Err(fault) => {
                let failed = self.entry(place).slot(good).map(|slot| slot.version);
                let stored = self.change(place, |entry| {
                    entry.good = 0;
                    entry.fault = FirmwareFaultCode(fault);
                    entry.failed = failed.unwrap_or_default();
                });
                log::warn!("{}: slot {good} is damaged", COMPONENTS[place].text());
                if stored.is_err() {
                    log::warn!("flash cannot be written");
                }
                self.run(place, 0, Build::FIXED, false);
            }
        }
    }

    fn run(&mut self, place: usize, slot: u8, build: Build, trial: bool) {
        log::info!("{}: slot {slot} runs", COMPONENTS[place].text());
        let part = &mut self.parts[place];
        (part.running, part.build, part.trial) = (slot, build, trial);
    }

    /// The build in a slot.
    fn load(&mut self, place: usize, slot: u8) -> Result<Build, FirmwareFault> {
        let Some(stored) = self.entry(place).slot(slot).copied() else {
            return Ok(Build::FIXED);
        };
        let mut head = Vec::new();
        let mut hash = Sha256::new();
        let read = self.read_slot(place, slot, stored.length, |bytes| {
            if head.len() < HEAD + CHUNK {
                head.extend_from_slice(bytes);
            }
            hash.update(bytes);
        });
        let whole = stored.length != 0 && read.is_ok() && hash.finalize()[..] == stored.hash;
        match whole {
            true => Ok(Build::from_bytes(head.get(HEAD..).unwrap_or_default())),
            false => Err(FirmwareFault::DAMAGED),
        }
    }

    /// Reads so many bytes of a slot, piece by piece.
    fn read_slot(
        &mut self,
        place: usize,
        slot: u8,
        length: u32,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), FlashError> {
        let mut chunk = [0; CHUNK];
        let length = length.min(IMAGE_MAX) as usize;
        for at in (0..length).step_by(CHUNK) {
            let part = chunk.get_mut(..CHUNK.min(length - at)).unwrap_or_default();
            self.flash.read(slot_at(place, slot) + at as u64, part)?;
            take(part);
        }
        Ok(())
    }

    /// What is pending is not started any more.
    fn give_up(&mut self, place: usize, fault: FirmwareFault) {
        let pending = self.entry(place).pending;
        let failed = self.entry(place).slot(pending).map(|slot| slot.version);
        log::warn!(
            "{}: slot {pending} is given up: {}",
            COMPONENTS[place].text(),
            fault.text()
        );
        let stored = self.change(place, |entry| {
            entry.pending = 0;
            entry.trials = 0;
            entry.fault = FirmwareFaultCode(fault);
            entry.failed = failed.unwrap_or_default();
        });
        if stored.is_err() {
            // It will be tried again at power-on, as often as it may be.
            log::warn!("flash cannot be written");
        }
        self.news
            .push((COMPONENTS[place], FirmwareNews::ROLLED_BACK));
    }

    /// What is on trial is given up, and what was good before runs.
    pub fn roll_back_trials(&mut self, fault: FirmwareFault) {
        for place in 0..COMPONENTS.len() {
            if self.parts[place].trial {
                self.give_up(place, fault);
                self.run_good(place);
            }
        }
    }

    /// What is on trial has proven itself. What may not come back any more is what its signer says.
    pub fn prove(&mut self) {
        let mut changed = self.directory.clone();
        let mut proven = Vec::new();
        for (place, part) in self.parts.iter().enumerate() {
            if !part.trial {
                continue;
            }
            let entry = &mut changed.entries[place];
            let security = entry.slot(part.running).map_or(0, |slot| slot.security);
            *entry = Entry {
                good: part.running,
                pending: 0,
                trials: 0,
                security: entry.security.max(security),
                fault: FirmwareFaultCode::default(),
                failed: Version::default(),
                ..*entry
            };
            proven.push(place);
        }
        if proven.is_empty() || self.directory.store(changed, &mut *self.flash).is_err() {
            return;
        }
        for place in proven {
            self.parts[place].trial = false;
            self.news.push((COMPONENTS[place], FirmwareNews::PROVEN));
        }
    }

    /// What a driver is told of a component.
    ///
    /// # Errors
    /// There is none.
    pub fn info(&self, component: FirmwareComponent) -> Result<FirmwareInfo, Qualifier> {
        let place = place(component)?;
        let (part, entry) = (&self.parts[place], self.entry(place));
        let fixed = version(fixed_version(component));
        let version_in = |slot: u8| entry.slot(slot).map_or(fixed, |stored| stored.version);
        let waiting = self.is_waiting(place);
        let live = entry.slot(entry.pending).is_some_and(|slot| slot.live);
        let flag = |set, bit| if waiting && set { bit } else { 0 };
        Ok(FirmwareInfo {
            running: part.running,
            stored: entry.next(),
            state: match part.trial {
                true => FirmwareState::TRIAL,
                false => FirmwareState::PROVEN,
            },
            fault: entry.fault.0,
            flags: flag(live, firmware_flags::LIVE) | flag(self.armed, firmware_flags::ARMED),
            security: entry.security,
            written: part.update.as_ref().map_or(0, |update| update.written),
            fixed,
            running_version: version_in(part.running),
            stored_version: version_in(entry.next()),
            failed_version: entry.failed,
        })
    }

    /// Reads again the slots of a component that run, or that would be started.
    ///
    /// # Errors
    /// There is none.
    pub fn check(&mut self, component: FirmwareComponent) -> Result<FirmwareCheck, Qualifier> {
        let place = place(component)?;
        let entry = *self.entry(place);
        let mut found = FirmwareCheck::ZERO;
        for slot in [self.parts[place].running, entry.good, entry.pending] {
            let bit = 1 << slot;
            found.checked |= bit;
            if self.load(place, slot).is_err() {
                found.damaged |= bit;
            }
        }
        Ok(found)
    }

    /// Reads a part of flash, which is within it.
    ///
    /// # Errors
    /// Flash cannot be read.
    pub fn read(&mut self, offset: u32, data: &mut [u8]) -> Result<(), Qualifier> {
        self.flash.read(offset.into(), data).map_err(lost)
    }

    /// Spoils a byte of the slot that a component is started from next, as age does.
    ///
    /// # Errors
    /// There is no such component, it is started from what nothing can write, or flash cannot be written.
    pub fn spoil(&mut self, component: FirmwareComponent) -> Result<(), Qualifier> {
        let place = place(component)?;
        let slot = self.entry(place).next();
        let stored = self.entry(place).slot(slot).ok_or(Qualifier::OBJECT)?;
        let at = slot_at(place, slot) + u64::from(stored.length / 2);
        let mut byte = [0];
        self.flash.read(at, &mut byte).map_err(lost)?;
        self.flash.write(at, &[!byte[0]]).map_err(lost)
    }

    /// An update begins.
    ///
    /// # Errors
    /// Why not.
    pub fn begin(&mut self, component: FirmwareComponent, length: u32) -> Result<(), Qualifier> {
        let place = place(component)?;
        if length > IMAGE_MAX {
            return Err(Qualifier::IMAGE_OVERSIZED);
        }
        if (length as usize) <= HEAD {
            return Err(Qualifier::IMAGE_TRUNCATED);
        }
        self.free_slot(place)?;
        self.parts[place].update = Some(Update {
            length,
            written: 0,
            accepted: None,
            verified: None,
        });
        Ok(())
    }

    /// A slot that neither runs nor would run after a failure; rather one that nobody has committed.
    fn free_slot(&self, place: usize) -> Result<u8, Qualifier> {
        let (entry, part) = (self.entry(place), &self.parts[place]);
        let is_free = |slot: &u8| *slot != entry.good && *slot != part.running;
        let other = [1, 2]
            .into_iter()
            .find(|slot| is_free(slot) && *slot != entry.pending);
        let any = || [1, 2].into_iter().find(is_free);
        other.or_else(any).ok_or(Qualifier::STATE)
    }

    /// Takes a block.
    ///
    /// # Errors
    /// Why not. After one about the image or flash the update is over.
    pub fn write(
        &mut self,
        component: FirmwareComponent,
        offset: u32,
        block: &[u8],
        trusted: &[[u8; 32]],
    ) -> Result<(), Qualifier> {
        let place = place(component)?;
        let update = self.parts[place].update.as_ref().ok_or(Qualifier::ORDER)?;
        let (length, written) = (update.length, update.written);
        if offset != written || update.verified.is_some() || block.is_empty() {
            return Err(Qualifier::ORDER);
        }
        let end = u32::try_from(block.len())
            .ok()
            .and_then(|block| written.checked_add(block));
        let end = end.filter(|end| *end <= length).ok_or(Qualifier::LIMIT)?;
        let result = match update.accepted {
            Some((slot, _)) => Ok(slot),
            None => self.accept(place, length, block, trusted),
        };
        let result = result.and_then(|slot| {
            let at = slot_at(place, slot) + u64::from(offset);
            self.flash.write(at, block).map_err(lost)
        });
        match (result, &mut self.parts[place].update) {
            (Ok(()), Some(update)) => update.written = end,
            (Ok(()), None) => {}
            (Err(Qualifier::ORDER | Qualifier::LIMIT | Qualifier::STATE), _) => {}
            (Err(_), update) => *update = None,
        }
        result
    }

    /// Checks the head of an image, and gets a slot ready for it: from then on nothing would start what is there.
    fn accept(
        &mut self,
        place: usize,
        length: u32,
        block: &[u8],
        trusted: &[[u8; 32]],
    ) -> Result<u8, Qualifier> {
        let bytes = block.first_chunk().ok_or(Qualifier::LIMIT)?;
        let expected = Expected {
            component: COMPONENTS[place],
            length,
            security: self.entry(place).security,
            keys: trusted,
        };
        let head = check_head(bytes, &expected)?;
        let slot = self.free_slot(place)?;
        let entry = self.entry(place);
        let is_used = entry.slot(slot).is_some_and(|stored| stored.length != 0);
        if is_used || entry.pending == slot {
            self.change(place, |entry| {
                if entry.pending == slot {
                    (entry.pending, entry.trials) = (0, 0);
                }
                entry.slots[usize::from(slot - 1)] = Stored::default();
            })
            .map_err(lost)?;
        }
        if let Some(update) = &mut self.parts[place].update {
            update.accepted = Some((slot, head));
        }
        Ok(slot)
    }

    /// All of the image is there: checks that it is what was signed, as it can be read from flash.
    ///
    /// # Errors
    /// Why not. After one about the image or flash the update is over.
    pub fn verify(&mut self, component: FirmwareComponent) -> Result<(), Qualifier> {
        let place = place(component)?;
        let update = self.parts[place].update.as_ref().ok_or(Qualifier::ORDER)?;
        let length = update.length;
        let result = match update.accepted {
            Some((slot, head)) if update.written == length => self
                .check_content(place, slot, length, &head)
                .map(|hash| (hash, head)),
            _ => Err(Qualifier::IMAGE_TRUNCATED),
        };
        let update = &mut self.parts[place].update;
        match (&result, update.as_mut()) {
            (Ok((hash, head)), Some(update)) => {
                update.verified = Some(Stored {
                    length,
                    hash: *hash,
                    security: head.security,
                    version: head.version,
                    live: head.flags & image_flags::LIVE != 0,
                });
            }
            _ => *update = None,
        }
        result.map(|_| ())
    }

    /// Compares the content with the hash that was signed. Gives the hash of the whole image.
    fn check_content(
        &mut self,
        place: usize,
        slot: u8,
        length: u32,
        head: &FirmwareImage,
    ) -> Result<[u8; 32], Qualifier> {
        let (mut whole, mut content) = (Sha256::new(), Sha256::new());
        let mut first = true;
        self.read_slot(place, slot, length, |bytes| {
            whole.update(bytes);
            let skip = if std::mem::take(&mut first) { HEAD } else { 0 };
            content.update(bytes.get(skip..).unwrap_or_default());
        })
        .map_err(lost)?;
        match content.finalize()[..] == head.hash {
            true => Ok(whole.finalize().into()),
            false => Err(Qualifier::IMAGE_CORRUPT),
        }
    }

    /// What was verified of these components is started next: all of it or nothing.
    ///
    /// # Errors
    /// Why not; nothing changes.
    pub fn commit(&mut self, components: u32) -> Result<(), Qualifier> {
        let mut changed = self.directory.clone();
        let places = places(components)?;
        for place in &places {
            let part = &self.parts[*place];
            let update = part.update.as_ref().ok_or(Qualifier::ORDER)?;
            let (Some((slot, _)), Some(stored)) = (update.accepted, update.verified) else {
                return Err(Qualifier::ORDER);
            };
            if part.trial {
                return Err(Qualifier::STATE);
            }
            let entry = &mut changed.entries[*place];
            // It may have grown since.
            if stored.security < entry.security {
                self.parts[*place].update = None;
                return Err(Qualifier::IMAGE_DOWNGRADE);
            }
            (entry.pending, entry.trials) = (slot, 0);
            entry.slots[usize::from(slot - 1)] = stored;
        }
        let stored = self.directory.store(changed, &mut *self.flash);
        for place in places {
            self.parts[place].update = None;
        }
        stored.map_err(lost)
    }

    /// Updates of these components are forgotten.
    ///
    /// # Errors
    /// There is no such component.
    pub fn abort(&mut self, components: u32) -> Result<(), Qualifier> {
        for place in places(components)? {
            self.parts[place].update = None;
        }
        Ok(())
    }

    /// When what was committed is started. True: something new runs.
    ///
    /// # Errors
    /// Why not. With UNHEALTHY, what was to run is given up; else nothing changes.
    pub fn activate(&mut self, how: FirmwareActivation) -> Result<bool, Qualifier> {
        let waiting: Vec<usize> = (0..COMPONENTS.len())
            .filter(|place| self.is_waiting(*place))
            .collect();
        if how != FirmwareActivation::POWER_ON && waiting.is_empty() {
            return Err(Qualifier::NOTHING_STORED);
        }
        if how != FirmwareActivation::LIVE {
            self.armed = how == FirmwareActivation::RESET;
            return Ok(false);
        }
        if self.parts.iter().any(|part| part.trial) {
            return Err(Qualifier::STATE);
        }
        for place in &waiting {
            let entry = *self.entry(*place);
            if !entry.slot(entry.pending).is_some_and(|slot| slot.live) {
                return Err(Qualifier::NOT_LIVE);
            }
        }
        for place in &waiting {
            match self.load(*place, self.entry(*place).pending) {
                Ok(build) => match build.behaviour {
                    Behaviour::SelfTest => self.give_up(*place, FirmwareFault::SELF_TEST),
                    Behaviour::Hang => self.give_up(*place, FirmwareFault::HANG),
                    // What is in use cannot be taken away while it works.
                    _ if build.rules < self.parts[*place].build.rules => {
                        return Err(Qualifier::NOT_LIVE);
                    }
                    _ => continue,
                },
                Err(fault) => self.give_up(*place, fault),
            }
            return Err(Qualifier::UNHEALTHY);
        }
        self.armed = false;
        for place in waiting {
            self.start(place);
        }
        Ok(true)
    }
}

/// The place of a component.
fn place(component: FirmwareComponent) -> Result<usize, Qualifier> {
    let mut known = COMPONENTS.iter();
    known
        .position(|known| *known == component)
        .ok_or(Qualifier::OBJECT)
}

/// The places of a set of components, which is not empty.
fn places(components: u32) -> Result<Vec<usize>, Qualifier> {
    if components == 0 || components & !capability().components != 0 {
        return Err(Qualifier::OBJECT);
    }
    let known = COMPONENTS.iter().enumerate();
    Ok(known
        .filter(|(_, component)| components & component.bit() != 0)
        .map(|(place, _)| place)
        .collect())
}
