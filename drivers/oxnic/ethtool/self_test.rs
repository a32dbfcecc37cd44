// SPDX-License-Identifier: GPL-2.0-only

//! `ethtool -t`: registers and DMA at any time, since that disturbs nothing; the vectors of the queues only on demand, with the
//! interface closed for as long as it takes. A result is the number of things that were found wrong.
//!
//! RTNL keeps two interfaces of a function from using the self-test block at the same time.

use crate::netdev::NetPort;
use kernel::prelude::*;
use kernel::sync::Arc;
use oxnic_abi::regs::self_test as block;
use oxnic_kapi::dma::{self, Words};
use oxnic_kapi::irq::{Handler, Irq};
use oxnic_kapi::net::ethtool::self_test::Operations;
use oxnic_kapi::net::netdev::{Operations as _, Rtnl};
use oxnic_kapi::sync::Completion;
use oxnic_kapi::time;

/// The longest that an interrupt may take, in milliseconds.
const INTERRUPT_MS: u32 = 1000;
/// Words of the memory for the DMA test, and those behind it that have to stay as they are.
const DMA_WORDS: usize = 512;
const GUARD_WORDS: usize = 8;
/// What those hold.
const GUARD: u64 = 0x6f78_6e69_635f_6f6b;
/// Results in the block.
const IDLE: u32 = 0;
const PASSED: u32 = 1;
/// Tests of the block.
const FILL: u32 = 1;
const INVERT: u32 = 2;

/// Tells that a vector was raised.
struct Raised(Arc<Completion>);

impl Handler for Raised {
    fn handle(&self) {
        self.0.complete();
    }
}

impl NetPort {
    /// Patterns in the scratch register, which reads as the inverse; counts those that do not come back.
    fn test_registers(&self) -> Result<u64> {
        let registers = &self.device.registers;
        let mut wrong = 0;
        for bit in 0..u32::BITS {
            // One bit alone, and one among all others, so that each is seen at both values with its neighbours at both.
            for pattern in [1 << bit, !(1 << bit), 0x5a5a_5a5au32.rotate_left(bit)] {
                registers.write_self_test(block::SCRATCH, pattern)?;
                if registers.read_self_test(block::SCRATCH)? != !pattern {
                    wrong += 1;
                }
            }
        }
        Ok(wrong)
    }

    /// Lets the device run a DMA test, and waits for it.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT`: the device may still run it, and use the memory.
    fn run_dma(&self, test: u32) -> Result<bool> {
        let registers = &self.device.registers;
        registers.write_self_test(block::DMA_CONTROL, test)?;
        let result = time::poll(registers.limits().command_ms, || {
            Ok(Some(registers.read_self_test(block::DMA_RESULT)?).filter(|&result| result != IDLE))
        })?;
        Ok(result == PASSED)
    }

    /// Lets the device write, then read and write memory; counts words that are not as they have to be.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT`: the device has not said that it is done with a test; the next is not begun.
    fn test_dma(&self) -> Result<u64> {
        let registers = &self.device.registers;
        // It stays: a device that has not answered may still write there.
        let mut buffer = self.device.self_test_buffer.lock();
        let words = match &mut *buffer {
            Some(words) => words,
            empty => empty.insert(Words::new(self.device.binding(), DMA_WORDS + GUARD_WORDS)?),
        };
        for index in 0..words.len() {
            words.write(index, if index < DMA_WORDS { 0 } else { GUARD });
        }
        dma::wmb();
        registers.write_self_test(block::DMA_ADDRESS, words.address() as u32)?;
        registers.write_self_test(block::DMA_ADDRESS + 4, (words.address() >> 32) as u32)?;
        registers.write_self_test(block::DMA_LENGTH, 8 * DMA_WORDS as u32)?;
        let mut wrong = 0;
        for (test, expected) in [
            (FILL, 0x5a5a_5a5a_5a5a_5a5a),
            (INVERT, !0x5a5a_5a5a_5a5a_5a5a),
        ] {
            if !self.run_dma(test)? {
                wrong += 1;
            }
            dma::rmb();
            wrong += (0..DMA_WORDS)
                .filter(|&index| words.read(index) != expected)
                .count() as u64;
        }
        wrong += (DMA_WORDS..words.len())
            .filter(|&index| words.read(index) != GUARD)
            .count() as u64;
        Ok(wrong)
    }

    /// Lets the device raise each vector of the interface, none of which is in use; counts those that do not come.
    fn test_vectors(&self) -> Result<u64> {
        let share = self.share;
        let mut missing = 0;
        for vector in share.first_vector..share.first_vector + share.pairs {
            let raised = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
            let irq = Irq::request(
                &self.device.vector_set()?,
                vector,
                fmt!("oxnic-self-test"),
                Raised(raised.clone()),
            )?;
            self.device
                .registers
                .write_self_test(block::INTERRUPT, vector.into())?;
            if !raised.wait_timeout_ms(INTERRUPT_MS) {
                missing += 1;
            }
            drop(irq);
        }
        Ok(missing)
    }

    /// As [`Self::test_vectors`], with the interface closed meanwhile.
    fn test_vectors_closed(&self, netdev: &Rtnl) -> Result<u64> {
        let was_open = self.state.lock().queues.is_some();
        if !was_open {
            return self.test_vectors();
        }
        self.stop(netdev);
        // A function that is about to be reset raises none, and each would be waited for while RTNL is held.
        let result = match self.device.commands.is_started() {
            true => self.test_vectors(),
            false => Err(EIO),
        };
        let opened = self
            .open(netdev)
            .or_else(|error| self.open_later(netdev, error));
        opened.inspect_err(|error| {
            dev_err!(
                self.device.binding(),
                "{}: cannot be opened again: {:?}\n",
                netdev.name(),
                error
            );
            netdev.close();
        })?;
        result
    }

    /// Where the function does not take commands any more, and so is about to be reset: an interface that could not be opened has queues that
    /// start with it then. RTNL is held, so that the reset has not come to it yet.
    ///
    /// # Errors
    ///
    /// The one that is given, where commands work; there is no memory.
    fn open_later(&self, netdev: &Rtnl, error: Error) -> Result {
        if self.device.commands.is_started() {
            return Err(error);
        }
        let mut state = self.state.lock();
        let queues = self.allocate(netdev, &state.config, netdev.mtu())?;
        state.queues = Some(queues);
        Ok(())
    }
}

#[vtable]
impl Operations for NetPort {
    const TESTS: &'static [&'static str] = &[
        "Link (online)",
        "Registers (online)",
        "DMA (online)",
        "Vectors (offline)",
    ];

    fn self_test(&self, netdev: &Rtnl, offline: bool, results: &mut [u64]) -> bool {
        // The link of an interface that is down says nothing.
        let link = Ok(u64::from(netdev.is_running() && !netdev.has_carrier()));
        let mut outcomes = [link, self.test_registers(), self.test_dma(), Ok(0)];
        if offline {
            outcomes[3] = self.test_vectors_closed(netdev);
        }
        for ((name, outcome), result) in Self::TESTS.iter().zip(&outcomes).zip(results.iter_mut()) {
            *result = match outcome {
                Ok(wrong) => *wrong,
                Err(error) => {
                    dev_warn!(
                        self.device.binding(),
                        "{}: test '{}': {:?}\n",
                        netdev.name(),
                        name,
                        error
                    );
                    1
                }
            };
        }
        results.iter().all(|&result| result == 0)
    }
}
