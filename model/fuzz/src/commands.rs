// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The input is admin commands. Half of each comes from the input as it is; ids, addresses and lengths are also brought
//! to where they mean something, since a command that is refused at its first field tests nothing behind it.

use crate::host::{Bench, FREE};
use arbitrary::{Arbitrary, Unstructured};
use oxnic_abi::command::{Opcode, Submission};
use oxnic_abi::doorbell::DoorbellKind;
use oxnic_abi::eswitch::{EswitchConfig, EswitchMode};
use oxnic_abi::flow::queue::FlowQueueCreate;
use oxnic_abi::queue::CqCreate;
use oxnic_model::host::Function;

/// Where the ring of the flow queue is, behind what buffers of commands can reach.
const FLOW_RING: u64 = FREE + 0x1_8000;
/// Where its results go.
pub const FLOW_CQ: u64 = FLOW_RING + 0x1000;

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
    /// Switchdev mode, with a flow queue of the PF.
    FlowQueue,
    /// Of the flow queue.
    Request([u8; 64]),
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
            if (0x60..0x90).contains(&opcode.0) {
                bring_near(&mut submission[24..]);
            }
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
        Step::FlowQueue => make_flow_queue(bench, id),
        Step::Request(bytes) => request(bench, bytes),
    }
}

/// Ids and flags of the flow engine's commands, which start with 32 bits of id, are small.
fn bring_near(parameters: &mut [u8]) {
    for at in [1, 2, 3, 5, 9, 10, 11] {
        parameters[at] = 0;
    }
    parameters[0] %= 8;
}

/// The mode, a completion queue, and the flow queue 0, as far as they are not there.
pub fn make_flow_queue(bench: &mut Bench, id: &mut u16) {
    let cq = CqCreate {
        id: 0,
        vector: 1,
        log2: 5,
        entry: 16,
        address: FLOW_CQ,
        ..CqCreate::ZERO
    };
    let queue = FlowQueueCreate {
        id: 0,
        cq: 0,
        log2: 5,
        address: FLOW_RING,
    };
    let mode = EswitchMode::SWITCHDEV;
    let commands = [
        (Opcode::ESWITCH_SET, EswitchConfig { mode }.to_words()),
        (Opcode::CQ_CREATE, cq.to_words()),
        (Opcode::FLOW_QUEUE_CREATE, queue.to_words()),
    ];
    for (opcode, parameters) in commands {
        *id = id.wrapping_add(1);
        let submission = Submission {
            opcode,
            id: *id,
            parameters,
            ..Submission::ZERO
        };
        let words = submission.to_words();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bench.submit(Function::Pf, &bytes);
    }
    bench.flow_index = 0;
}

/// Puts a request into the flow queue: one of the operations, small ids, and a length that can be.
pub fn request(bench: &mut Bench, mut bytes: [u8; 64]) {
    bytes[0] %= 6;
    bytes[1] = 1 + u8::from(bytes[1] > 0xf0);
    bytes[2..4].fill(0);
    for at in [4, 8, 16, 20, 32] {
        bytes[at] %= 8;
        bytes[at + 1..at + 4].fill(0);
    }
    for at in [28, 30] {
        bytes[at] %= 25;
        bytes[at + 1] = 0;
    }
    bytes[36..40].fill(0);
    let entry = u64::from(bench.flow_index % 32) * 64;
    bench.host.put(FLOW_RING + entry, &bytes);
    bench.flow_index = bench.flow_index.wrapping_add(1);
    let index = u32::from(bench.flow_index);
    bench.doorbell(Function::Pf, DoorbellKind::FLOW, 0, index);
}

/// Mostly the PF.
fn function(number: u8) -> Function {
    match number {
        0..=127 => Function::Pf,
        number => Function::Vf(u16::from(number) % 5),
    }
}
