// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What commands do, by subject; here what they have in common: shape, privilege, buffers, failures.
//!
//! Each handler checks everything first and changes something only when nothing can fail any more.

mod clock;
mod eswitch;
mod firmware;
mod flow;
mod port;
mod queue;
mod rate;
mod rss;
mod sensor;
mod stats;
mod steering;
mod vf;
mod vport;

pub(super) use flow::reason as flow_reason;

use super::Nic;
use super::chaos::Fault;
use super::event::Notice;
use super::firmware::capability as firmware_capability;
use super::ids::{FunctionId, VportId};
use super::limits;
use super::rate::settings::capability as rate_capability;
use crate::host::Host;
use oxnic_abi::caps::{CapGet, CapabilityId};
use oxnic_abi::clock::StampFilter;
use oxnic_abi::command::{
    BUFFER_MAX, OFFSET_BUFFER, Opcode, PARAMETERS_OFFSET, Qualifier, Status, Submission,
};
use oxnic_abi::event::EventKind;

/// What a command answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// In the completion.
    pub result: [u64; 2],
    /// In the buffer.
    pub words: Vec<u64>,
}

impl Answer {
    /// An answer in the buffer.
    fn buffer(words: &[u64]) -> Self {
        Self {
            result: [0; 2],
            words: words.to_vec(),
        }
    }

    /// A list in the buffer, of entries of `N` words; how many there are and how long each is, is in the completion.
    fn list<const N: usize>(entries: impl Iterator<Item = [u64; N]>) -> Self {
        let words: Vec<u64> = entries.flatten().collect();
        let count = words.len() / N;
        Self {
            result: [count as u64, N as u64 * 8],
            words,
        }
    }
}

/// Why a command failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Kind of error.
    pub status: Status,
    /// Why.
    pub qualifier: Qualifier,
    /// Where.
    pub offset: u16,
}

impl Failure {
    fn new(status: Status, qualifier: Qualifier, offset: usize) -> Self {
        Self {
            status,
            qualifier,
            offset: offset.min(usize::from(u16::MAX)) as u16,
        }
    }

    /// Made to fail for a test.
    pub fn injected(status: Status) -> Self {
        Self::new(status, Qualifier::INJECTED, 0)
    }

    /// The buffer cannot be reached.
    pub fn dma() -> Self {
        Self::new(Status::EFAULT, Qualifier::DMA, BUFFER)
    }
}

/// Least time between two events VF_DENIED of a VF, in nanoseconds.
const DENIED_PERIOD: u64 = 1_000_000_000;

/// Result of a command.
type Outcome = Result<Answer, Failure>;

/// Offsets in a submission.
const VPORT: usize = 4;
const FUNCTION: usize = 6;
const BUFFER: usize = 8;
const BUFFER_LENGTH: usize = 16;

/// Offset in a submission of a parameter.
const fn parameter(offset: usize) -> usize {
    PARAMETERS_OFFSET + offset
}

/// Offset in the buffer.
const fn in_buffer(offset: usize) -> usize {
    OFFSET_BUFFER as usize + offset
}

fn field(offset: usize) -> Failure {
    Failure::new(Status::EINVAL, Qualifier::FIELD, offset)
}

fn limit(offset: usize) -> Failure {
    Failure::new(Status::EINVAL, Qualifier::LIMIT, offset)
}

fn no_space(offset: usize) -> Failure {
    Failure::new(Status::ENOSPC, Qualifier::LIMIT, offset)
}

fn no_object(offset: usize) -> Failure {
    Failure::new(Status::ENOENT, Qualifier::OBJECT, offset)
}

fn reserved(offset: usize) -> Failure {
    Failure::new(Status::EINVAL, Qualifier::RESERVED, offset)
}

fn privilege(offset: usize) -> Failure {
    Failure::new(Status::EPERM, Qualifier::PRIVILEGE, offset)
}

fn unsupported(offset: usize) -> Failure {
    Failure::new(Status::EOPNOTSUPP, Qualifier::FIELD, offset)
}

/// Fails unless a condition holds.
fn ensure(condition: bool, failure: Failure) -> Result<(), Failure> {
    if condition { Ok(()) } else { Err(failure) }
}

/// The parameters as the structure named, with reserved bytes zero.
macro_rules! parameters {
    ($t:ty, $submission:expr) => {{
        let words = &$submission.parameters;
        match <$t>::reserved_bits(words) {
            Some(offset) => Err($crate::nic::command::reserved(
                $crate::nic::command::parameter(offset),
            )),
            None => Ok(<$t>::from_words(words)),
        }
    }};
}
use parameters;

/// The request in the buffer as the structure named, with reserved bytes and what follows zero.
macro_rules! request {
    ($t:ty, $nic:expr, $host:expr, $function:expr, $submission:expr) => {{
        let words = $nic.request($host, $function, $submission, <$t>::BYTES);
        words.and_then(|words| match words.split_first_chunk::<{ <$t>::WORDS }>() {
            Some((own, surplus)) => match (
                <$t>::reserved_bits(own),
                surplus.iter().position(|word| *word != 0),
            ) {
                (Some(offset), _) => Err($crate::nic::command::reserved(
                    $crate::nic::command::in_buffer(offset),
                )),
                (None, Some(word)) => Err($crate::nic::command::reserved(
                    $crate::nic::command::in_buffer(<$t>::BYTES + word * 8),
                )),
                (None, None) => Ok(<$t>::from_words(own)),
            },
            None => Err($crate::nic::command::short_buffer()),
        })
    }};
}
use request;

/// The buffer is missing, too short or too long.
fn short_buffer() -> Failure {
    Failure::new(Status::EINVAL, Qualifier::BUFFER, BUFFER_LENGTH)
}

/// What a command's submission may contain.
#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    /// Only a PF may send it.
    pf_only: bool,
    /// It names a vport.
    vport: bool,
    /// It names a VF.
    vf: bool,
    /// It may name a VF.
    any: bool,
    /// It has a buffer.
    buffer: bool,
    /// It answers in the buffer.
    answer: bool,
    /// It has parameters.
    parameters: bool,
}

/// The shapes of commands, in letters: `p` PF only, `v` vport, `f` VF, `g` VF or none, `b` request in the
/// buffer, `a` answer in the buffer, `x` parameters.
const SHAPES: [(Opcode, &str); 67] = [
    (Opcode::NOP, "x"),
    (Opcode::CAP_LIST, "a"),
    (Opcode::CAP_GET, "ax"),
    (Opcode::ESWITCH_PORTS, "pa"),
    (Opcode::ESWITCH_SET, "px"),
    (Opcode::ESWITCH_QUERY, "pa"),
    (Opcode::CQ_CREATE, "x"),
    (Opcode::CQ_DESTROY, "x"),
    (Opcode::CQ_MODERATE, "x"),
    (Opcode::TX_CREATE, "vx"),
    (Opcode::TX_DESTROY, "x"),
    (Opcode::RX_CREATE, "vx"),
    (Opcode::RX_DESTROY, "x"),
    (Opcode::VPORT_QUERY, "va"),
    (Opcode::VPORT_SET, "vx"),
    (Opcode::MAC_LIST, "vb"),
    (Opcode::VLAN_SET, "vb"),
    (Opcode::RSS_SET, "vb"),
    (Opcode::RSS_GET, "vax"),
    (Opcode::RSS_DESTROY, "vx"),
    (Opcode::STEERING_SET, "vb"),
    (Opcode::STEERING_CLEAR, "vx"),
    (Opcode::VPORT_STATS, "va"),
    (Opcode::QUEUE_STATS, "ax"),
    (Opcode::STATS_DMA, "vgx"),
    (Opcode::PORT_QUERY, "va"),
    (Opcode::PORT_SET, "pvx"),
    (Opcode::PORT_STATS, "pva"),
    (Opcode::PORT_IDENTIFY, "pvx"),
    (Opcode::PORT_MODULE, "pvax"),
    (Opcode::VF_ENABLE, "px"),
    (Opcode::VF_DISABLE, "px"),
    (Opcode::VF_SET, "pfb"),
    (Opcode::VF_QUERY, "pfa"),
    (Opcode::VF_STATS, "pfa"),
    (Opcode::RATE_SET, "pb"),
    (Opcode::RATE_DESTROY, "px"),
    (Opcode::CLOCK_SET, "px"),
    (Opcode::CLOCK_QUERY, "a"),
    (Opcode::SENSORS, "pa"),
    (Opcode::TABLE_SET, "px"),
    (Opcode::TABLE_DESTROY, "px"),
    (Opcode::PORT_TABLE, "px"),
    (Opcode::MATCH_TEMPLATE_SET, "pbx"),
    (Opcode::MATCH_TEMPLATE_DESTROY, "px"),
    (Opcode::ACTION_TEMPLATE_SET, "pbx"),
    (Opcode::ACTION_TEMPLATE_DESTROY, "px"),
    (Opcode::ENCAP_SET, "pbx"),
    (Opcode::ENCAP_DESTROY, "px"),
    (Opcode::METER_SET, "px"),
    (Opcode::METER_DESTROY, "px"),
    (Opcode::METER_QUERY, "pax"),
    (Opcode::TUNNEL_PORT, "px"),
    (Opcode::COUNTER_MEMORY, "pbx"),
    (Opcode::FLOW_QUEUE_CREATE, "px"),
    (Opcode::FLOW_QUEUE_DESTROY, "px"),
    (Opcode::FLOW_INFO, "px"),
    (Opcode::FLOW_STATS, "pa"),
    (Opcode::FIRMWARE_QUERY, "pax"),
    (Opcode::FIRMWARE_BEGIN, "px"),
    (Opcode::FIRMWARE_WRITE, "pbx"),
    (Opcode::FIRMWARE_VERIFY, "px"),
    (Opcode::FIRMWARE_COMMIT, "px"),
    (Opcode::FIRMWARE_ABORT, "px"),
    (Opcode::FIRMWARE_ACTIVATE, "px"),
    (Opcode::FIRMWARE_CHECK, "pax"),
    (Opcode::FIRMWARE_READ, "pax"),
];

fn shape(opcode: Opcode) -> Option<Shape> {
    let (_, letters) = SHAPES.iter().find(|(known, _)| *known == opcode)?;
    let has = |letter| letters.contains(letter);
    Some(Shape {
        pf_only: has('p'),
        vport: has('v'),
        vf: has('f'),
        any: has('g'),
        buffer: has('b') || has('a'),
        answer: has('a'),
        parameters: has('x'),
    })
}

impl Nic {
    /// Carries a command out.
    pub(super) fn execute(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        submission: &Submission,
        words: &[u64; 8],
    ) -> Outcome {
        let opcode = submission.opcode;
        let shape = shape(opcode).ok_or(Failure::new(Status::EOPNOTSUPP, Qualifier::OPCODE, 0))?;
        if let Err(failure) = check(function, submission, words, shape) {
            if failure.status == Status::EPERM {
                self.denied(host, function, opcode);
            }
            return Err(failure);
        }
        let outcome = self.dispatch(host, function, submission);
        if outcome
            .as_ref()
            .is_err_and(|failure| failure.status == Status::EPERM)
        {
            self.denied(host, function, opcode);
        }
        outcome
    }

    /// Tells the PF that a VF tried something, at most once a second, so that a VF cannot flood its PF.
    fn denied(&mut self, host: &mut dyn Host, function: FunctionId, opcode: Opcode) {
        let now = self.now;
        let Some(vf) = function.vf_index() else {
            return;
        };
        let Some(settings) = self.vfs.get_mut(usize::from(vf)) else {
            return;
        };
        let quiet = settings
            .denied
            .is_some_and(|at| now.saturating_sub(at) < DENIED_PERIOD);
        if !quiet && !self.must_wait() {
            if let Some(settings) = self.vfs.get_mut(usize::from(vf)) {
                settings.denied = Some(now);
            }
            self.tell(
                host,
                FunctionId::PF,
                Notice::new(EventKind::VF_DENIED, vf, opcode.0),
            );
        }
    }

    fn dispatch(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        submission: &Submission,
    ) -> Outcome {
        match submission.opcode {
            Opcode::NOP => Ok(Answer::default()),
            Opcode::CAP_LIST => Ok(self.capability_list(function)),
            Opcode::CAP_GET => self.cap_get(function, submission),
            Opcode::ESWITCH_PORTS => Ok(self.eswitch_ports()),
            Opcode::ESWITCH_SET => self.eswitch_set(host, submission),
            Opcode::ESWITCH_QUERY => self.eswitch_query(),
            Opcode::CQ_CREATE => self.cq_create(host, function, submission),
            Opcode::CQ_DESTROY => self.cq_destroy(function, submission),
            Opcode::CQ_MODERATE => self.cq_moderate(function, submission),
            Opcode::TX_CREATE => self.tx_create(host, function, submission),
            Opcode::TX_DESTROY => self.tx_destroy(function, submission),
            Opcode::RX_CREATE => self.rx_create(host, function, submission),
            Opcode::RX_DESTROY => self.rx_destroy(function, submission),
            Opcode::VPORT_QUERY => self.vport_query(function, submission),
            Opcode::VPORT_SET => self.vport_set(host, function, submission),
            Opcode::MAC_LIST => self.mac_list(host, function, submission),
            Opcode::VLAN_SET => self.vlan_set(host, function, submission),
            Opcode::RSS_SET => self.rss_set(host, function, submission),
            Opcode::RSS_GET => self.rss_get(function, submission),
            Opcode::RSS_DESTROY => self.rss_destroy(function, submission),
            Opcode::STEERING_SET => self.steering_set(host, function, submission),
            Opcode::STEERING_CLEAR => self.steering_clear(function, submission),
            Opcode::VPORT_STATS => self.vport_stats(function, submission),
            Opcode::QUEUE_STATS => self.queue_stats(function, submission),
            Opcode::STATS_DMA => self.stats_dma(host, function, submission),
            Opcode::PORT_QUERY => self.port_query(function, submission),
            Opcode::PORT_SET => self.port_set(host, function, submission),
            Opcode::PORT_STATS => self.port_stats(function, submission),
            Opcode::PORT_IDENTIFY => self.port_identify(function, submission),
            Opcode::PORT_MODULE => self.port_module(function, submission),
            Opcode::VF_ENABLE => self.vf_enable(host, submission),
            Opcode::VF_DISABLE => self.vf_disable(host, submission),
            Opcode::VF_SET => self.vf_set(host, function, submission),
            Opcode::VF_QUERY => self.vf_query(submission),
            Opcode::VF_STATS => self.vf_stats(submission),
            Opcode::RATE_SET => self.rate_set(host, function, submission),
            Opcode::RATE_DESTROY => self.rate_destroy(submission),
            Opcode::CLOCK_SET => self.clock_set(submission),
            Opcode::CLOCK_QUERY => self.clock_query(),
            Opcode::FIRMWARE_QUERY => self.firmware_query(submission),
            Opcode::FIRMWARE_BEGIN => self.firmware_begin(submission),
            Opcode::FIRMWARE_WRITE => self.firmware_write(host, function, submission),
            Opcode::FIRMWARE_VERIFY => self.firmware_verify(submission),
            Opcode::FIRMWARE_COMMIT => self.firmware_commit(submission),
            Opcode::FIRMWARE_ABORT => self.firmware_abort(submission),
            Opcode::FIRMWARE_ACTIVATE => self.firmware_activate(host, submission),
            Opcode::FIRMWARE_CHECK => self.firmware_check(submission),
            Opcode::FIRMWARE_READ => self.firmware_read(submission),
            Opcode::SENSORS => Ok(self.read_sensors()),
            _ => self.dispatch_flow(host, submission),
        }
    }

    fn cap_get(&mut self, function: FunctionId, submission: &Submission) -> Outcome {
        let get = parameters!(CapGet, submission)?;
        let shares = self.state(function).shares;
        match get.id {
            CapabilityId::NIC => Ok(Answer::buffer(
                &shares.nic_caps(self.privileges(function)).to_words(),
            )),
            CapabilityId::CLOCK => {
                let mut caps = limits::clock_caps();
                if self.chaos.hit(Fault::ClockFilters) {
                    caps.filters &= !(1 << StampFilter::EVERY.0);
                }
                Ok(Answer::buffer(&caps.to_words()))
            }
            CapabilityId::STEERING => Ok(Answer::buffer(&shares.steering_caps().to_words())),
            CapabilityId::ESWITCH if function.is_pf() => {
                let caps = limits::eswitch_caps(self.config.ports, self.config.max_vfs);
                Ok(Answer::buffer(&caps.to_words()))
            }
            CapabilityId::FIRMWARE if function.is_pf() => {
                Ok(Answer::buffer(&firmware_capability().to_words()))
            }
            CapabilityId::RATE if self.has_rates(function) => {
                Ok(Answer::buffer(&rate_capability().to_words()))
            }
            CapabilityId::FLOW if function.is_pf() => {
                Ok(Answer::buffer(&self.flow.capability().to_words()))
            }
            _ => Err(no_object(parameter(0))),
        }
    }

    /// The vport that a submission names.
    fn named_vport(
        &self,
        function: FunctionId,
        submission: &Submission,
    ) -> Result<VportId, Failure> {
        self.vport_of(function, submission.vport)
            .ok_or(no_object(VPORT))
    }

    /// Representors have neither steering rules nor a wire port of their own.
    fn check_wired(&self, id: VportId) -> Result<(), Failure> {
        ensure(self.vport(id).represents.is_none(), unsupported(VPORT))
    }

    /// Reads a request from the buffer: at least `least` bytes, and all of it, with zeros up to a whole word.
    fn request(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        submission: &Submission,
        least: usize,
    ) -> Result<Vec<u64>, Failure> {
        let length = submission.buffer_length as usize;
        if length < least {
            return Err(short_buffer());
        }
        let mut bytes = vec![0; length.next_multiple_of(8)];
        if length != 0 {
            let bytes = bytes.get_mut(..length).unwrap_or_default();
            host.dma_read(function.bus(), submission.buffer, bytes)
                .map_err(|_| Failure::dma())?;
        }
        Ok(bytes
            .chunks_exact(8)
            .map(|chunk| super::words::<1>(chunk)[0])
            .collect())
    }

    /// Making an object may be made to fail.
    pub(super) fn allocate(&mut self) -> Result<(), Failure> {
        match self.chaos.hit(Fault::FailAllocation) {
            true => Err(Failure::new(Status::ENOSPC, Qualifier::INJECTED, 0)),
            false => Ok(()),
        }
    }
}

/// Checks what every submission has.
fn check(
    function: FunctionId,
    submission: &Submission,
    words: &[u64; 8],
    shape: Shape,
) -> Result<(), Failure> {
    ensure(function.is_pf() || !shape.pf_only, privilege(0))?;
    ensure(
        function.is_pf() || submission.function == 0,
        privilege(FUNCTION),
    )?;
    if let Some(offset) = Submission::reserved_bits(words) {
        return Err(reserved(offset));
    }
    ensure(submission.flags == 0, reserved(20))?;
    ensure(shape.vport || submission.vport == 0, field(VPORT))?;
    match (shape.vf, submission.function) {
        (true, 0) => return Err(field(FUNCTION)),
        (true, _) | (false, 0) => {}
        (false, _) if shape.any => {}
        (false, _) => return Err(field(FUNCTION)),
    }
    if shape.buffer {
        ensure(submission.buffer_length <= BUFFER_MAX, short_buffer())?;
        ensure(
            !shape.answer || submission.buffer_length != 0,
            short_buffer(),
        )?;
        let misplaced =
            submission.buffer % 8 != 0 || submission.buffer == 0 && submission.buffer_length != 0;
        ensure(
            !misplaced,
            Failure::new(Status::EINVAL, Qualifier::BUFFER, BUFFER),
        )?;
    } else {
        ensure(submission.buffer == 0, reserved(BUFFER))?;
        ensure(submission.buffer_length == 0, reserved(BUFFER_LENGTH))?;
    }
    let stray = submission.parameters.iter().position(|word| *word != 0);
    match stray {
        Some(word) if !shape.parameters => Err(reserved(parameter(8 * word))),
        _ => Ok(()),
    }
}

impl Nic {
    fn capability_list(&self, function: FunctionId) -> Answer {
        let has = |id: &&CapabilityId| match **id {
            CapabilityId::RATE => self.has_rates(function),
            id => function.is_pf() || !limits::PF_CAPABILITIES.contains(&id),
        };
        let mut ids: Vec<u16> = limits::CAPABILITIES
            .iter()
            .filter(has)
            .map(|id| id.0)
            .collect();
        ids.resize((ids.len() + 1).next_multiple_of(4), 0);
        let word = |chunk: &[u16]| {
            chunk
                .iter()
                .rev()
                .fold(0, |word, id| (word << 16) | u64::from(*id))
        };
        Answer::buffer(&ids.chunks(4).map(word).collect::<Vec<_>>())
    }

    /// Whether a function can set rates.
    fn has_rates(&self, function: FunctionId) -> bool {
        function.is_pf() && !self.without_rates
    }
}
