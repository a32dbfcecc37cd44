// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Chaos on purpose: a wrapper around [`Host`] that lets chosen operations fail, and the grammar that chooses them.
//!
//! The driver must survive a device and a bus that misbehave. Each rule names an operation and when it fails; what
//! "fails" means is listed in [`GRAMMAR`]. The random choices depend on the seed alone, so a run can be repeated.

use crate::host::{DmaFault, Function, Host};
use serde_json::{Value, json};
use std::str::FromStr;

/// The grammar, as `--help` prints it.
pub const GRAMMAR: &str = "\
Chaos: SPEC is a list of rules with commas between them; 'off' or nothing ends the chaos.
  OPERATION[@FUNCTION]=WHEN, FUNCTION being pf, vf0, vf1, ... (all functions without it)
  Operations, and what goes wrong with them:
    dma-read      fails as if the address were not mapped
    dma-write     fails as if the address were not mapped
    dma-corrupt   one bit of a write of at most 64 bytes (a completion or an event) flips
    dma-lose      a write vanishes silently
    interrupt     is lost
    transmit      a frame is lost on its way to the wire (no FUNCTION)
    receive       a frame from the wire is lost (no FUNCTION)
    mmio-read     of BAR0 or BAR2 reads as ones
    mmio-write    to BAR0 is lost
    doorbell      a write to BAR2 is lost
  WHEN, counted from when the rule is given:
    K             the K-th operation only (from 1)
    K+            the K-th and all later ones
    %K            each K-th
    P%            each with probability P percent
  seed=N          seed of the random choices (1)
  nic.KEY=VALUE   handed on to the NIC core
  Example: --chaos 'dma-corrupt@pf=1%,interrupt=%100,seed=7'";

/// Largest write that `dma-corrupt` touches, in bytes.
const CORRUPT_SIZE: usize = 64;

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operation {
    DmaRead,
    DmaWrite,
    DmaCorrupt,
    DmaLose,
    Interrupt,
    Transmit,
    Receive,
    MmioRead,
    MmioWrite,
    Doorbell,
}

const OPERATIONS: [(&str, Operation); 10] = [
    ("dma-read", Operation::DmaRead),
    ("dma-write", Operation::DmaWrite),
    ("dma-corrupt", Operation::DmaCorrupt),
    ("dma-lose", Operation::DmaLose),
    ("interrupt", Operation::Interrupt),
    ("transmit", Operation::Transmit),
    ("receive", Operation::Receive),
    ("mmio-read", Operation::MmioRead),
    ("mmio-write", Operation::MmioWrite),
    ("doorbell", Operation::Doorbell),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Once(u64),
    From(u64),
    Every(u64),
    Chance(f64),
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.parse::<u64>()
                .ok()
                .filter(|number| *number > 0)
                .ok_or_else(|| format!("'{text}' is no number from 1"))
        };
        if let Some(text) = text.strip_prefix('%') {
            return number(text).map(When::Every);
        }
        if let Some(text) = text.strip_suffix('+') {
            return number(text).map(When::From);
        }
        let Some(percent) = text.strip_suffix('%') else {
            return number(text).map(When::Once);
        };
        percent
            .parse::<f64>()
            .ok()
            .filter(|percent| (0.0..=100.0).contains(percent))
            .map(|percent| When::Chance(percent / 100.0))
            .ok_or_else(|| format!("'{percent}' is no percentage"))
    }
}

#[derive(Clone, Debug)]
struct Rule {
    operation: Operation,
    function: Option<Function>,
    when: When,
    seen: u64,
    done: u64,
}

/// The rules in force.
#[derive(Clone, Debug, Default)]
pub struct Chaos {
    rules: Vec<Rule>,
    random: u64,
    /// What is for the NIC core, without the `nic.`.
    core: Vec<String>,
}

impl FromStr for Chaos {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut chaos = Chaos {
            random: 1,
            ..Chaos::default()
        };
        if text == "off" {
            return Ok(chaos);
        }
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| format!("'{part}' has no '='"))?;
            if key == "seed" {
                let seed: u64 = value
                    .parse()
                    .map_err(|_| format!("'{value}' is no number"))?;
                chaos.random = seed.max(1);
            } else if let Some(key) = key.strip_prefix("nic.") {
                chaos.core.push(format!("{key}={value}"));
            } else {
                chaos.rules.push(rule(key, value)?);
            }
        }
        Ok(chaos)
    }
}

fn rule(key: &str, when: &str) -> Result<Rule, String> {
    let (name, function) = match key.split_once('@') {
        Some((name, function)) => (name, Some(parse_function(function)?)),
        None => (key, None),
    };
    let (_, operation) = OPERATIONS
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| format!("unknown operation '{name}'"))?;
    if function.is_some() && matches!(operation, Operation::Transmit | Operation::Receive) {
        return Err(format!("{name} takes no function"));
    }
    Ok(Rule {
        operation: *operation,
        function,
        when: when.parse()?,
        seen: 0,
        done: 0,
    })
}

fn parse_function(text: &str) -> Result<Function, String> {
    if text == "pf" {
        return Ok(Function::Pf);
    }
    text.strip_prefix("vf")
        .and_then(|index| index.parse().ok())
        .map(Function::Vf)
        .ok_or_else(|| format!("'{text}' is no function"))
}

impl Chaos {
    /// Whether any rule is in force.
    pub fn is_active(&self) -> bool {
        !self.rules.is_empty()
    }

    /// The part of the specification that is for the NIC core.
    pub fn core_spec(&self) -> String {
        self.core.join(",")
    }

    /// Whether this operation is to fail. Every rule for it sees it, also when an earlier one has spoken.
    pub fn strikes(&mut self, operation: Operation, function: Option<Function>) -> bool {
        let mut strikes = false;
        for index in 0..self.rules.len() {
            let rule = &self.rules[index];
            if rule.operation != operation || rule.function.is_some() && rule.function != function {
                continue;
            }
            let seen = rule.seen + 1;
            let now = match rule.when {
                When::Once(number) => seen == number,
                When::From(number) => seen >= number,
                When::Every(number) => seen % number == 0,
                When::Chance(chance) => self.chance() < chance,
            };
            let rule = &mut self.rules[index];
            rule.seen = seen;
            rule.done += u64::from(now);
            strikes |= now;
        }
        strikes
    }

    /// What has struck so far, for the control channel.
    pub fn report(&self) -> Value {
        let rules: Vec<Value> = self
            .rules
            .iter()
            .map(|rule| {
                let name = OPERATIONS
                    .iter()
                    .find(|(_, operation)| *operation == rule.operation)
                    .map_or("", |(name, _)| name);
                let function = rule.function.map(|function| function.to_string());
                json!({"operation": name, "function": function, "seen": rule.seen, "struck": rule.done})
            })
            .collect();
        Value::Array(rules)
    }

    /// xorshift64*: enough for choosing victims.
    fn next(&mut self) -> u64 {
        let mut x = self.random;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random = x;
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn chance(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A [`Host`] on which the rules fall.
pub struct ChaosHost<'a> {
    /// Where that happens which does not fail.
    pub inner: &'a mut dyn Host,
    /// The rules.
    pub chaos: &'a mut Chaos,
}

impl Host for ChaosHost<'_> {
    fn dma_read(&mut self, function: Function, addr: u64, data: &mut [u8]) -> Result<(), DmaFault> {
        if self.chaos.strikes(Operation::DmaRead, Some(function)) {
            return Err(DmaFault {
                addr,
                len: data.len(),
            });
        }
        self.inner.dma_read(function, addr, data)
    }

    fn dma_write(&mut self, function: Function, addr: u64, data: &[u8]) -> Result<(), DmaFault> {
        if self.chaos.strikes(Operation::DmaWrite, Some(function)) {
            return Err(DmaFault {
                addr,
                len: data.len(),
            });
        }
        if self.chaos.strikes(Operation::DmaLose, Some(function)) {
            return Ok(());
        }
        if (1..=CORRUPT_SIZE).contains(&data.len())
            && self.chaos.strikes(Operation::DmaCorrupt, Some(function))
        {
            let mut wrong = data.to_vec();
            let bit = self.chaos.next() as usize % (data.len() * 8);
            wrong[bit / 8] ^= 1 << (bit % 8);
            return self.inner.dma_write(function, addr, &wrong);
        }
        self.inner.dma_write(function, addr, data)
    }

    fn fence(&mut self) {
        self.inner.fence();
    }

    fn interrupt(&mut self, function: Function, vector: u16) {
        if !self.chaos.strikes(Operation::Interrupt, Some(function)) {
            self.inner.interrupt(function, vector);
        }
    }

    fn transmit(&mut self, port: u8, frame: &[u8]) -> bool {
        self.chaos.strikes(Operation::Transmit, None) || self.inner.transmit(port, frame)
    }

    fn now(&self) -> u64 {
        self.inner.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn which(spec: &str, operation: Operation, function: Option<Function>) -> Vec<u64> {
        let mut chaos: Chaos = spec.parse().unwrap();
        (1..=10)
            .filter(|_| chaos.strikes(operation, function))
            .collect()
    }

    #[test]
    fn rules_strike_when_they_say() {
        let pf = Some(Function::Pf);
        assert_eq!(which("dma-read=3", Operation::DmaRead, pf), [3]);
        assert_eq!(which("dma-read=9+", Operation::DmaRead, pf), [9, 10]);
        assert_eq!(which("interrupt=%4", Operation::Interrupt, pf), [4, 8]);
        assert_eq!(which("interrupt=0%", Operation::Interrupt, pf), [0; 0]);
        assert_eq!(which("doorbell=100%", Operation::Doorbell, pf).len(), 10);
        assert_eq!(which("dma-read=3", Operation::DmaWrite, pf), [0; 0]);
    }

    #[test]
    fn a_rule_may_single_out_a_function() {
        let spec = "dma-read@vf3=1+";
        assert_eq!(which(spec, Operation::DmaRead, Some(Function::Pf)), [0; 0]);
        assert_eq!(
            which(spec, Operation::DmaRead, Some(Function::Vf(3))).len(),
            10
        );
    }

    #[test]
    fn the_seed_alone_decides() {
        let spec = "dma-corrupt=30%,seed=5";
        let first = which(spec, Operation::DmaCorrupt, Some(Function::Pf));
        assert_eq!(
            first,
            which(spec, Operation::DmaCorrupt, Some(Function::Pf))
        );
        assert!(!first.is_empty() && first.len() < 10);
    }

    #[test]
    fn nonsense_is_refused() {
        for spec in [
            "dma-read",
            "dma-read=0",
            "dma-read=x",
            "fire=1",
            "interrupt@x=1",
            "transmit@pf=1",
            "dma-read=101%",
            "seed=x",
        ] {
            assert!(spec.parse::<Chaos>().is_err(), "{spec}");
        }
        assert!(!"off".parse::<Chaos>().unwrap().is_active());
        assert!(!"".parse::<Chaos>().unwrap().is_active());
    }

    #[test]
    fn the_cores_part_is_handed_on() {
        let chaos: Chaos = "nic.phase=1%,nic.len=2".parse().unwrap();
        assert_eq!(chaos.core_spec(), "phase=1%,len=2");
        assert!(!chaos.is_active());
    }
}
