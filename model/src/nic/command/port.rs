// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands about wire ports.

use super::{Answer, Failure, Outcome, ensure, field, parameter, parameters};
use crate::host::Host;
use crate::nic::Nic;
use crate::nic::ids::{FunctionId, wire_number};
use crate::nic::module;
use crate::nic::port::{self, SUPPORTED, WirePort};
use oxnic_abi::command::{Qualifier, Status, Submission};
use oxnic_abi::port::{
    DownReason, Fec, MODULE_HALF, Medium, ModuleRead, PortConfig, PortIdentify, PortInfo,
    port_fields, speeds,
};

fn down_reason(port: &WirePort) -> DownReason {
    match (port.enabled, port.carrier) {
        (false, _) => DownReason::DISABLED,
        (true, false) => DownReason::NO_MODULE,
        (true, true) => DownReason::NONE,
    }
}

impl Nic {
    pub(super) fn port_query(&self, function: FunctionId, submission: &Submission) -> Outcome {
        let vport = self.named_vport(function, submission)?;
        let number = self.vport(vport).port;
        let port = self.port(number);
        let link = port.link();
        let info = PortInfo {
            speed: if link { port.speed() } else { 0 },
            supported: SUPPORTED,
            speed_set: port.speed_set,
            link: u8::from(link),
            enabled: u8::from(port.enabled),
            duplex: 1,
            medium: if port.carrier {
                Medium::DIRECT_ATTACH
            } else {
                Medium::NONE
            },
            link_downs: port.link_downs,
            mac: port.mac,
            eswitch_port: wire_number(number),
            switch_id: self.switch_id(),
            reason: down_reason(port),
            fec: if link { port.fec() } else { Fec::OFF },
            fec_set: port.fec_set,
            fec_modes: port::fec_modes(port.speed_set),
        };
        Ok(Answer::buffer(&info.to_words()))
    }

    pub(super) fn port_set(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        submission: &Submission,
    ) -> Outcome {
        let config = parameters!(PortConfig, submission)?;
        let vport = self.named_vport(function, submission)?;
        self.check_wired(vport)?;
        let has = |bit| config.fields & bit != 0;
        ensure(config.fields & !port_fields::ALL == 0, field(parameter(0)))?;
        if has(port_fields::SPEED) {
            let known = speeds::ALL
                .iter()
                .any(|(bit, speed)| *speed == config.speed && SUPPORTED & bit != 0);
            ensure(config.speed == 0 || known, field(parameter(4)))?;
        }
        if has(port_fields::ENABLED) {
            ensure(config.enabled <= 1, field(parameter(8)))?;
        }
        let number = self.vport(vport).port;
        let port = self.port_mut(number);
        let link = port.link();
        let speed = match has(port_fields::SPEED) {
            true => config.speed,
            false => port.speed_set,
        };
        if has(port_fields::FEC) {
            let known = port::fec_modes(speed) & config.fec.bit() != 0;
            ensure(known, field(parameter(9)))?;
            port.fec_set = config.fec;
        }
        port.set_speed(speed);
        if has(port_fields::ENABLED) {
            port.enabled = config.enabled != 0;
        }
        port.link_downs += u32::from(link && !port.link());
        self.update_links(host);
        Ok(Answer::default())
    }

    pub(super) fn port_stats(&self, function: FunctionId, submission: &Submission) -> Outcome {
        let vport = self.named_vport(function, submission)?;
        let number = self.vport(vport).port;
        Ok(Answer::buffer(&self.port(number).stats.to_words()))
    }

    pub(super) fn port_identify(
        &mut self,
        function: FunctionId,
        submission: &Submission,
    ) -> Outcome {
        let identify = parameters!(PortIdentify, submission)?;
        let vport = self.named_vport(function, submission)?;
        self.check_wired(vport)?;
        ensure(identify.on <= 1, field(parameter(0)))?;
        let number = self.vport(vport).port;
        self.port_mut(number).identify = identify.on != 0;
        log::info!(
            "port {number} {}",
            if identify.on != 0 {
                "blinks"
            } else {
                "stops blinking"
            }
        );
        Ok(Answer::default())
    }

    pub(super) fn port_module(&self, function: FunctionId, submission: &Submission) -> Outcome {
        let read = parameters!(ModuleRead, submission)?;
        let vport = self.named_vport(function, submission)?;
        self.check_wired(vport)?;
        let (offset, length) = (usize::from(read.offset), usize::from(read.length));
        let room = MODULE_HALF - offset % MODULE_HALF;
        ensure((1..=room).contains(&length), field(parameter(4)))?;
        let port = self.port(self.vport(vport).port);
        ensure(
            port.carrier,
            Failure::new(Status::ENOENT, Qualifier::STATE, 0),
        )?;
        ensure(read.page == 0, field(parameter(0)))?;
        ensure(read.bank == 0, field(parameter(1)))?;
        ensure(read.address == module::ADDRESS, field(parameter(2)))?;
        let mut words = [0; MODULE_HALF / 8];
        let memory = module::memory(&port.mac);
        let bytes = memory[offset..offset + length].chunks(8);
        for (word, bytes) in words.iter_mut().zip(bytes) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(whole);
        }
        Ok(Answer::buffer(&words[..length.div_ceil(8)]))
    }
}
