// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The input is admin commands. Half of each comes from the input as it is; ids, addresses and lengths are also brought
//! to where they mean something, since a command that is refused at its first field tests nothing behind it.

use crate::host::{Bench, FREE};
use arbitrary::{Arbitrary, Unstructured};
use oxnic_abi::command::Opcode;
use oxnic_model::host::Function;

#[derive(Arbitrary, Debug)]
enum Step {
    Command {
        opcode: u8,
        vport: u8,
        function: u8,
        buffer_length: u16,
        parameters: [u8; 40],
    },
    Raw {
        function: u8,
        submission: [u8; 64],
    },
    Buffer {
        at: u16,
        data: Vec<u8>,
    },
    Frame {
        port: bool,
        data: Vec<u8>,
    },
    Doorbell {
        function: u8,
        value: u64,
    },
    Reset {
        function: u8,
    },
    Hands {
        function: u8,
    },
    Wait(u32),
    /// Of the eswitch, set by the PF.
    Mode(u8),
}

/// Runs the target.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut bench = Bench::new();
    assert!(bench.is_alive(Function::Pf));
    let mut id = 0u16;
    while let Ok(step) = Step::arbitrary(&mut input) {
        perform(&mut bench, step, &mut id);
        bench.run();
        if input.is_empty() {
            break;
        }
    }
    bench.wait(1_000_000_000);
}

fn perform(bench: &mut Bench, step: Step, id: &mut u16) {
    match step {
        Step::Command {
            opcode,
            vport,
            function,
            buffer_length,
            parameters,
        } => {
            *id = id.wrapping_add(1);
            let opcode = Opcode::ALL[usize::from(opcode) % Opcode::ALL.len()];
            let mut submission = [0; 64];
            submission[0..2].copy_from_slice(&opcode.0.to_le_bytes());
            submission[2..4].copy_from_slice(&id.to_le_bytes());
            submission[4..6].copy_from_slice(&u16::from(vport).to_le_bytes());
            submission[8..16].copy_from_slice(&FREE.to_le_bytes());
            submission[16..20].copy_from_slice(&u32::from(buffer_length).to_le_bytes());
            submission[24..].copy_from_slice(&parameters);
            bench.submit(self::function(function), &submission);
        }
        Step::Raw {
            function,
            submission,
        } => bench.submit(self::function(function), &submission),
        Step::Buffer { at, data } => bench.host.put(FREE + u64::from(at), &data),
        Step::Frame { port, data } => {
            oxnic_model::host::NicCore::wire_receive(
                &mut bench.nic,
                &mut bench.host,
                u8::from(port),
                &data,
            );
        }
        Step::Doorbell { function, value } => {
            oxnic_model::host::NicCore::doorbell_write(
                &mut bench.nic,
                &mut bench.host,
                self::function(function),
                0,
                &value.to_le_bytes(),
            );
        }
        Step::Reset { function } => {
            oxnic_model::host::NicCore::function_reset(
                &mut bench.nic,
                &mut bench.host,
                self::function(function),
            );
        }
        Step::Hands { function } => bench.shake_hands(self::function(function)),
        Step::Wait(time) => bench.wait(u64::from(time)),
        Step::Mode(mode) => {
            *id = id.wrapping_add(1);
            let mut submission = [0; 64];
            submission[0..2].copy_from_slice(&Opcode::ESWITCH_SET.0.to_le_bytes());
            submission[2..4].copy_from_slice(&id.to_le_bytes());
            submission[24] = mode % 3;
            bench.submit(Function::Pf, &submission);
        }
    }
}

/// Mostly the PF.
fn function(number: u8) -> Function {
    match number {
        0..=127 => Function::Pf,
        number => Function::Vf(u16::from(number) % 5),
    }
}
