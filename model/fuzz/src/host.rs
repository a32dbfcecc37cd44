// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A host of a few arrays for the NIC core, and the driver's part of the handshake.

use oxnic_abi::doorbell::{self, DoorbellKind};
use oxnic_abi::regs::{control, device, driver_caps, status};
use oxnic_abi::wire::Wire;
use oxnic_model::host::{DmaFault, Function, Host, NicConfig, NicCore};
use oxnic_model::nic::Nic;

/// Size of memory, in bytes; it starts at bus address [`MEMORY_START`].
pub const MEMORY_SIZE: usize = 1 << 18;
/// Where memory starts.
pub const MEMORY_START: u64 = 0x1_0000;

/// Memory, time, and counts of the rest.
pub struct ArrayHost {
    /// Guest memory.
    pub memory: Vec<u8>,
    /// Nanoseconds.
    pub time: u64,
    /// Interrupts raised.
    pub interrupts: u64,
    /// Frames sent.
    pub frames: u64,
}

impl ArrayHost {
    /// Zeros everywhere.
    pub fn new() -> Self {
        ArrayHost {
            memory: vec![0; MEMORY_SIZE],
            time: 0,
            interrupts: 0,
            frames: 0,
        }
    }

    /// Copies `data` to bus address `address`, cut off at the end of memory.
    pub fn put(&mut self, address: u64, data: &[u8]) {
        let at = (address - MEMORY_START) as usize;
        let count = data.len().min(self.memory.len().saturating_sub(at));
        self.memory[at..at + count].copy_from_slice(&data[..count]);
    }

    /// Copies words to bus address `address`.
    pub fn put_words<const N: usize>(&mut self, address: u64, value: &impl Wire<N>) {
        for (index, word) in value.to_words().iter().enumerate() {
            self.put(address + 8 * index as u64, &word.to_le_bytes());
        }
    }

    fn place(&self, addr: u64, len: usize) -> Result<usize, DmaFault> {
        let fault = DmaFault { addr, len };
        let at = addr.checked_sub(MEMORY_START).ok_or(fault)?;
        let at = usize::try_from(at).map_err(|_| fault)?;
        let end = at.checked_add(len).ok_or(fault)?;
        if end > self.memory.len() {
            return Err(fault);
        }
        Ok(at)
    }
}

impl Default for ArrayHost {
    fn default() -> Self {
        Self::new()
    }
}

impl Host for ArrayHost {
    fn dma_read(&mut self, _: Function, addr: u64, data: &mut [u8]) -> Result<(), DmaFault> {
        let at = self.place(addr, data.len())?;
        data.copy_from_slice(&self.memory[at..at + data.len()]);
        Ok(())
    }

    fn dma_write(&mut self, _: Function, addr: u64, data: &[u8]) -> Result<(), DmaFault> {
        let at = self.place(addr, data.len())?;
        self.memory[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn interrupt(&mut self, _: Function, _: u16) {
        self.interrupts += 1;
    }

    fn transmit(&mut self, _: u8, frame: &[u8]) -> bool {
        assert!(!frame.is_empty() && frame.len() <= oxnic_model::host::MAX_FRAME);
        self.frames += 1;
        true
    }

    fn now(&self) -> u64 {
        self.time
    }
}

/// Where the admin submission ring is.
pub const ADMIN_SQ: u64 = MEMORY_START;
/// Where the admin completion ring is.
pub const ADMIN_CQ: u64 = MEMORY_START + 0x2000;
/// Where the event ring is.
pub const EVENT_RING: u64 = MEMORY_START + 0x4000;
/// Where nothing is that the handshake needs.
pub const FREE: u64 = MEMORY_START + 0x8000;
/// Binary logarithm of the depth of the control rings.
pub const LOG2: u32 = 5;

/// A NIC core with two ports and four VFs, and a driver's hand on it.
pub struct Bench {
    /// The core.
    pub nic: Nic,
    /// Its host.
    pub host: ArrayHost,
    admin_index: [u32; 5],
    /// Slots put into the PF's flow queue 0, modulo 2^16.
    pub flow_index: u16,
}

impl Bench {
    /// A core with carriers on both ports, bus mastering, VFs enabled on the bus, and the PF's handshake accepted.
    pub fn new() -> Self {
        let mut bench = Bench {
            nic: Nic::new(NicConfig {
                ports: 2,
                max_vfs: 4,
                mac: [2, 0x6F, 0x78, 0, 0, 0],
            }),
            host: ArrayHost::new(),
            admin_index: [0; 5],
            flow_index: 0,
        };
        bench.nic.set_bus_master(Function::Pf, true);
        bench.nic.wire_carrier(&mut bench.host, 0, true);
        bench.nic.wire_carrier(&mut bench.host, 1, true);
        bench.nic.set_vfs_enabled(&mut bench.host, 4);
        bench.shake_hands(Function::Pf);
        bench
    }

    /// The driver's part of the handshake; the rings are the PF's.
    pub fn shake_hands(&mut self, function: Function) {
        self.nic.set_bus_master(function, true);
        let ring = |address: u64| [address as u32, (address >> 32) as u32];
        let pairs = [
            (device::DRIVER_ABI_MIN, [1 << 16, 1 << 16]),
            (device::DRIVER_CAPS, [driver_caps::ALL as u32, 0]),
            (device::ADMIN_SQ, ring(ADMIN_SQ)),
            (device::ADMIN_CQ, ring(ADMIN_CQ)),
            (device::EVENT_RING, ring(EVENT_RING)),
        ];
        for (register, [low, high]) in pairs {
            self.set_register(function, register, low);
            self.set_register(function, register + 4, high);
        }
        self.set_register(function, device::DEPTH, LOG2 | (LOG2 << 8));
        self.set_register(function, device::CONTROL, control::DRIVER_OK);
        self.run();
    }

    /// Whether the function's handshake was accepted and it is not halted.
    pub fn is_alive(&mut self, function: Function) -> bool {
        let mut data = [0; 4];
        self.nic.register_read(
            &mut self.host,
            function,
            u64::from(device::STATUS),
            &mut data,
        );
        u32::from_le_bytes(data) & (status::ACCEPTED | status::HALTED) == status::ACCEPTED
    }

    /// Writes a 32-bit register.
    pub fn set_register(&mut self, function: Function, register: u32, value: u32) {
        self.nic.register_write(
            &mut self.host,
            function,
            u64::from(register),
            &value.to_le_bytes(),
        );
    }

    /// Rings a doorbell.
    pub fn doorbell(&mut self, function: Function, kind: DoorbellKind, queue: u32, index: u32) {
        let value = doorbell::encode(kind, queue, index);
        self.nic
            .doorbell_write(&mut self.host, function, 0, &value.to_le_bytes());
    }

    /// Puts a submission of 64 bytes into the admin ring and rings.
    pub fn submit(&mut self, function: Function, submission: &[u8]) {
        let slot = match function {
            Function::Pf => 0,
            Function::Vf(vf) => 1 + usize::from(vf) % 4,
        };
        let index = self.admin_index[slot];
        let place = u64::from(index & ((1 << LOG2) - 1)) * 64;
        self.host.put(ADMIN_SQ + place, submission);
        self.admin_index[slot] = index.wrapping_add(1);
        self.doorbell(function, DoorbellKind::ADMIN, 0, index.wrapping_add(1));
        self.run();
    }

    /// Lets the core run until it waits for something, but not for ever.
    pub fn run(&mut self) {
        for _ in 0..16 {
            match self.nic.poll(&mut self.host) {
                Some(due) if due <= self.host.time => {}
                _ => break,
            }
        }
    }

    /// Lets time pass.
    pub fn wait(&mut self, nanoseconds: u64) {
        self.host.time += nanoseconds;
        self.run();
    }
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}
