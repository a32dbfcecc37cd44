// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Register blocks of a function: what BAR 0 holds, word by word.
//!
//! [`Registers`] belongs to its function and only stores; what a write sets in motion is told to the caller as an [`Action`].

use super::limits;
use oxnic_abi::regs::{
    self, BlockKind, DumpResult, Reason, clock, device, health, self_test, status,
};

/// Offset of the self-test block.
pub const SELF_TEST: u32 = 0x100;
/// Offset of the health block.
pub const HEALTH: u32 = 0x200;
/// Offset of the clock block.
pub const CLOCK: u32 = 0x300;
/// Where the last block ends.
pub const END: u32 = CLOCK + regs::CLOCK_BLOCK_LENGTH as u32;
/// Second word of the clock's time.
const CLOCK_HIGH: u32 = clock::TIME + 4;
/// Nanoseconds between two beats.
const BEAT: u64 = 100_000_000;

/// What is known only outside the registers.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Content of [`device::FUNCTION`].
    pub function: u32,
    /// Doorbell pages.
    pub doorbell_pages: u32,
    /// MSI-X vectors.
    pub vectors: u16,
    /// Wire ports below a PF.
    pub ports: u8,
    /// The host's clock in nanoseconds.
    pub now: u64,
    /// The host's clock when the device started.
    pub started: u64,
    /// What the device's clock shows.
    pub clock: u64,
}

/// What a write sets in motion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// A reset, with the driver's reason.
    Reset(u8),
    /// Take the handshake.
    DriverOk,
    /// Raise this vector.
    Interrupt(u32),
    /// Run this DMA test.
    DmaTest(u32),
    /// Do this with the function's dump.
    Dump(u32),
}

/// What the driver asks of the dump of its function, and what it is told.
#[derive(Clone, Copy, Debug)]
pub struct Dump {
    /// Where a piece goes.
    pub address: u64,
    /// Its length.
    pub length: u32,
    /// Where it begins.
    pub offset: u32,
    /// How the last action ended.
    pub result: DumpResult,
    /// Bytes that are held.
    pub size: u32,
    /// Of the last dump.
    pub number: u32,
}

impl Default for Dump {
    fn default() -> Self {
        Self {
            address: 0,
            length: 0,
            offset: 0,
            result: DumpResult::NONE,
            size: 0,
            number: 0,
        }
    }
}

/// What went wrong last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Health {
    /// 0: healthy to 3: fatal.
    pub severity: u32,
    /// See [`Reason`].
    pub syndrome: u16,
    /// Milliseconds since the device started.
    pub time: u64,
    /// Number of errors.
    pub count: u32,
    /// Reason of the last reset by the driver.
    pub last_reset: u8,
}

/// What the driver writes for the handshake.
#[derive(Clone, Copy, Debug, Default)]
pub struct Handshake {
    /// Oldest version.
    pub abi_min: u32,
    /// Newest version.
    pub abi_max: u32,
    /// Capabilities of the driver.
    pub driver_caps: u64,
    /// Admin submission ring.
    pub admin_sq: u64,
    /// Admin completion ring.
    pub admin_cq: u64,
    /// Event ring.
    pub event_ring: u64,
    /// log2 of entries.
    pub depth: u32,
}

/// Registers of a function.
#[derive(Clone, Debug)]
pub struct Registers {
    /// How often the function was reset.
    pub generation: u32,
    /// See [`status`].
    pub status: u32,
    /// Reason and detail.
    pub reason: u32,
    /// Version agreed on.
    pub agreed: u32,
    /// As the driver wrote it.
    pub handshake: Handshake,
    /// Health block.
    pub health: Health,
    /// The part of it about dumps.
    pub dump: Dump,
    /// The function does nothing any more, and does not know it.
    pub hung: bool,
    /// The heartbeat when the function stopped.
    stopped_beat: Option<u32>,
    scratch: u32,
    dma_address: u64,
    dma_length: u32,
    /// Result of the last DMA test.
    pub dma_result: u32,
}

impl Default for Registers {
    fn default() -> Self {
        Self {
            generation: 1,
            status: status::READY | status::RESET_DONE,
            reason: 0,
            agreed: 0,
            handshake: Handshake::default(),
            health: Health::default(),
            dump: Dump::default(),
            hung: false,
            stopped_beat: None,
            scratch: 0,
            dma_address: 0,
            dma_length: 0,
            dma_result: 0,
        }
    }
}

fn header(kind: BlockKind, version: u16, length: u16, next: u32) -> [u32; 2] {
    let words = regs::BlockHeader {
        kind,
        version,
        length,
        next: next as u16,
    }
    .to_words();
    [words[0] as u32, (words[0] >> 32) as u32]
}

fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

/// Puts a word into the low (`high` = 0) or high half of a register.
fn set_half(register: &mut u64, high: u32, value: u32) {
    let shift = 32 * high;
    *register = *register & !(0xffff_ffff << shift) | (u64::from(value) << shift);
}

/// The beat at a time; never all ones.
fn beat(view: &View) -> u32 {
    (view.now.saturating_sub(view.started) / BEAT % u64::from(u32::MAX)) as u32
}

fn read_clock(view: &View, offset: u32) -> u32 {
    let half = (offset / 4 % 2) as usize;
    match offset {
        0x0 | 0x4 => header(BlockKind::CLOCK, 1, regs::CLOCK_BLOCK_LENGTH, 0)[half],
        clock::TIME | CLOCK_HIGH => halves(view.clock)[half],
        _ => 0,
    }
}

impl Registers {
    /// Whether the admin queue works.
    pub fn accepted(&self) -> bool {
        self.status & (status::ACCEPTED | status::HALTED) == status::ACCEPTED
    }

    /// Whether a driver may work with it: it is enabled and has not stopped.
    pub fn ready(&self) -> bool {
        self.status & status::READY != 0
    }

    /// Whether the function has stopped.
    pub fn halted(&self) -> bool {
        self.status & status::HALTED != 0
    }

    /// The word at an offset that is a multiple of 4; 0 where there is no register.
    pub fn read(&self, view: &View, offset: u32) -> u32 {
        match offset {
            0..SELF_TEST => self.read_device(view, offset),
            SELF_TEST..HEALTH => self.read_self_test(offset - SELF_TEST),
            HEALTH..CLOCK => self.read_health(offset - HEALTH),
            _ => read_clock(view, offset - CLOCK),
        }
    }

    fn read_device(&self, view: &View, offset: u32) -> u32 {
        let half = (offset / 4 % 2) as usize;
        let driver = &self.handshake;
        match offset {
            0x0 | 0x4 => header(BlockKind::DEVICE, 1, regs::DEVICE_BLOCK_LENGTH, SELF_TEST)[half],
            device::MAGIC => regs::MAGIC,
            device::ABI_VERSION => regs::ABI_VERSION,
            device::FUNCTION => view.function,
            device::MODEL => limits::MODEL,
            device::GENERATION => self.generation,
            device::STATUS => self.status,
            device::REASON => self.reason,
            device::HEARTBEAT => self.heartbeat(view),
            device::RESET_TIMEOUT => limits::RESET_TIMEOUT,
            device::COMMAND_TIMEOUT => limits::COMMAND_TIMEOUT,
            device::DRIVER_ABI_MIN => driver.abi_min,
            device::DRIVER_ABI_MAX => driver.abi_max,
            device::DEPTH_MAX => {
                u32::from(limits::ADMIN_LOG2_MAX) | (u32::from(limits::EVENT_LOG2_MAX) << 8)
            }
            0x40 | 0x44 => halves(driver.driver_caps)[half],
            0x48 | 0x4c => halves(driver.admin_sq)[half],
            0x50 | 0x54 => halves(driver.admin_cq)[half],
            0x58 | 0x5c => halves(driver.event_ring)[half],
            device::DEPTH => driver.depth,
            device::DOORBELL_PAGES => view.doorbell_pages,
            device::VECTORS => u32::from(view.vectors),
            device::PORTS => u32::from(view.ports),
            device::AGREED_ABI => self.agreed,
            _ => 0,
        }
    }

    fn read_self_test(&self, offset: u32) -> u32 {
        let half = (offset / 4 % 2) as usize;
        match offset {
            0x0 | 0x4 => header(
                BlockKind::SELF_TEST,
                1,
                regs::SELF_TEST_BLOCK_LENGTH,
                HEALTH,
            )[half],
            self_test::SCRATCH => !self.scratch,
            0x10 | 0x14 => halves(self.dma_address)[half],
            self_test::DMA_LENGTH => self.dma_length,
            self_test::DMA_RESULT => self.dma_result,
            _ => 0,
        }
    }

    fn read_health(&self, offset: u32) -> u32 {
        let half = (offset / 4 % 2) as usize;
        match offset {
            0x0 | 0x4 => header(BlockKind::HEALTH, 2, regs::HEALTH_BLOCK_LENGTH_2, CLOCK)[half],
            health::SEVERITY => self.health.severity,
            health::SYNDROME => u32::from(self.health.syndrome),
            0x10 | 0x14 => halves(self.health.time)[half],
            health::COUNT => self.health.count,
            health::LAST_RESET => u32::from(self.health.last_reset),
            0x28 | 0x2c => halves(self.dump.address)[half],
            health::DUMP_LENGTH => self.dump.length,
            health::DUMP_OFFSET => self.dump.offset,
            health::DUMP_RESULT => self.dump.result.0,
            health::DUMP_SIZE => self.dump.size,
            health::DUMP_NUMBER => self.dump.number,
            _ => 0,
        }
    }

    /// Writes the word at an offset that is a multiple of 4.
    pub fn write(&mut self, offset: u32, value: u32) -> Action {
        let high = offset / 4 % 2;
        let driver = &mut self.handshake;
        match offset {
            device::CONTROL => return control(value),
            device::DRIVER_ABI_MIN => driver.abi_min = value,
            device::DRIVER_ABI_MAX => driver.abi_max = value,
            0x40 | 0x44 => set_half(&mut driver.driver_caps, high, value),
            0x48 | 0x4c => set_half(&mut driver.admin_sq, high, value),
            0x50 | 0x54 => set_half(&mut driver.admin_cq, high, value),
            0x58 | 0x5c => set_half(&mut driver.event_ring, high, value),
            device::DEPTH => driver.depth = value,
            SELF_TEST..HEALTH => return self.write_self_test(offset - SELF_TEST, value),
            HEALTH..CLOCK => return self.write_health(offset - HEALTH, value),
            _ => {}
        }
        Action::None
    }

    fn write_health(&mut self, offset: u32, value: u32) -> Action {
        match offset {
            health::ACKNOWLEDGE if value == self.health.count && !self.halted() => {
                self.health.severity = 0;
            }
            0x28 | 0x2c => set_half(&mut self.dump.address, offset / 4 % 2, value),
            health::DUMP_LENGTH => self.dump.length = value,
            health::DUMP_OFFSET => self.dump.offset = value,
            health::DUMP_CONTROL => return Action::Dump(value),
            _ => {}
        }
        Action::None
    }

    fn write_self_test(&mut self, offset: u32, value: u32) -> Action {
        match offset {
            self_test::SCRATCH => self.scratch = value,
            self_test::INTERRUPT => return Action::Interrupt(value),
            0x10 | 0x14 => set_half(&mut self.dma_address, offset / 4 % 2, value),
            self_test::DMA_LENGTH => self.dma_length = value,
            self_test::DMA_CONTROL => return Action::DmaTest(value),
            _ => {}
        }
        Action::None
    }

    /// Where the buffer of the DMA test is, if its length is allowed.
    pub fn dma_buffer(&self) -> Option<(u64, usize)> {
        let allowed = (8..=4096).contains(&self.dma_length) && self.dma_length % 8 == 0;
        allowed.then_some((self.dma_address, self.dma_length as usize))
    }

    /// Whether the handshake can be taken, and what is agreed on; the rings' memory is for the caller to try.
    ///
    /// # Errors
    /// Why not, with a detail.
    pub fn check_handshake(&self) -> Result<Agreement, (Reason, u16)> {
        let driver = &self.handshake;
        let newest = regs::ABI_VERSION.min(driver.abi_max);
        if driver.abi_min > driver.abi_max
            || driver.abi_min > regs::ABI_VERSION
            || driver.abi_max >> 16 != regs::ABI_VERSION >> 16
        {
            return Err((Reason::VERSION, 0));
        }
        let rings = [driver.admin_sq, driver.admin_cq, driver.event_ring];
        if let Some(ring) = rings.iter().position(|address| address % 4096 != 0) {
            return Err((Reason::ALIGNMENT, ring as u16));
        }
        let (admin, event) = (driver.depth as u8, (driver.depth >> 8) as u8);
        if !(limits::CONTROL_LOG2_MIN..=limits::ADMIN_LOG2_MAX).contains(&admin) {
            return Err((Reason::DEPTH, 0));
        }
        if !(limits::CONTROL_LOG2_MIN..=limits::EVENT_LOG2_MAX).contains(&event)
            || driver.depth >> 16 != 0
        {
            return Err((Reason::DEPTH, 1));
        }
        Ok(Agreement {
            abi: newest,
            admin_log2: admin,
            event_log2: event,
        })
    }

    /// A new try of the handshake begins.
    pub fn begin_handshake(&mut self) {
        self.reason = 0;
        self.status &= !status::REJECTED;
    }

    /// Accepts the handshake.
    pub fn accept(&mut self, agreement: Agreement) {
        self.agreed = agreement.abi;
        self.status |= status::ACCEPTED;
    }

    /// Rejects the handshake.
    pub fn reject(&mut self, reason: Reason, detail: u16) {
        self.reason = u32::from(reason.0) | (u32::from(detail) << 16);
        self.status |= status::REJECTED;
    }

    /// The heartbeat.
    pub fn heartbeat(&self, view: &View) -> u32 {
        self.stopped_beat.unwrap_or_else(|| beat(view))
    }

    /// The function does nothing from now on, until it is reset, and says so nowhere but by its heartbeat.
    pub fn hang(&mut self, view: &View) {
        self.hung = true;
        self.stopped_beat = Some(self.heartbeat(view));
    }

    /// Stops the function until it is reset.
    pub fn halt(&mut self, view: &View, reason: Reason, detail: u16) {
        self.reason = u32::from(reason.0) | (u32::from(detail) << 16);
        self.status = self.status & status::RESET_REQUESTED | status::HALTED;
        self.stopped_beat = Some(self.heartbeat(view));
        self.note_error(view, 3, reason);
    }

    /// Remembers an error in the health block. True if the severity has grown.
    pub fn note_error(&mut self, view: &View, severity: u32, reason: Reason) -> bool {
        let grown = severity > self.health.severity;
        self.health.severity = self.health.severity.max(severity);
        self.health.syndrome = reason.0;
        self.health.time = view.now.saturating_sub(view.started) / 1_000_000;
        self.health.count = self.health.count.saturating_add(1).min(u32::MAX - 1);
        grown
    }

    /// As after a reset: one more generation, no handshake. What the operator wants to know afterwards stays. A VF is
    /// `enabled` while its PF lets it work.
    pub fn reset(&mut self, enabled: bool) {
        let generation = match self.generation.wrapping_add(1) {
            0 | u32::MAX => 1,
            next => next,
        };
        let health = Health {
            severity: 0,
            ..self.health
        };
        let dump = Dump {
            size: self.dump.size,
            number: self.dump.number,
            ..Dump::default()
        };
        let status = if enabled {
            status::READY | status::RESET_DONE
        } else {
            status::RESET_DONE
        };
        *self = Self {
            generation,
            health,
            dump,
            status,
            ..Self::default()
        };
    }
}

/// What a handshake agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Version of the interface.
    pub abi: u32,
    /// Entries of the admin rings, log2.
    pub admin_log2: u8,
    /// Entries of the event ring, log2.
    pub event_log2: u8,
}

fn control(value: u32) -> Action {
    if value & regs::control::RESET != 0 {
        Action::Reset((value >> regs::control::REASON_SHIFT) as u8)
    } else if value & regs::control::DRIVER_OK != 0 {
        Action::DriverOk
    } else {
        Action::None
    }
}
