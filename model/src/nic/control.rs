// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What the operator may ask of the core: counters, halts, requests for a reset, chaos.
//!
//! Functions of [`Nic`], which owns all that is touched. Requests and answers are those of the control channel.

use super::Nic;
use super::event::Notice;
use super::firmware::COMPONENTS;
use super::function::FunctionState;
use super::ids::FunctionId;
use super::port::Noise;
use super::sensors;
use crate::host::Host;
use oxnic_abi::event::EventKind;
use oxnic_abi::flow::info::{FlowObject, FlowStats};
use oxnic_abi::regs::{Reason, ResetReason, status};
use oxnic_abi::stats::{PortStats, QueueStats, VportStats};
use serde_json::{Map, Value, json};

/// A list of counters as an object of a JSON answer, named as in the interface.
macro_rules! counters {
    ($stats:expr, $($name:ident)*) => {{
        let mut map = Map::new();
        $( map.insert(stringify!($name).into(), json!($stats.$name)); )*
        Value::Object(map)
    }};
}

fn vport_counters(stats: &VportStats) -> Value {
    counters!(stats,
        rx_unicast rx_multicast rx_broadcast rx_bytes tx_unicast tx_multicast tx_broadcast tx_bytes
        rx_no_buffer rx_too_long rx_disabled rx_vlan rx_dma rx_steering rx_csum_bad rx_filtered
        tx_spoofed tx_vlan tx_rate tx_bad tx_disabled tx_too_long tx_inactive
        tx_segmented tx_csum tx_segmented_bytes)
}

fn port_counters(stats: &PortStats) -> Value {
    counters!(stats,
        rx_frames rx_octets rx_multicast rx_broadcast tx_frames tx_octets tx_multicast tx_broadcast
        rx_undersize rx_oversize rx_filtered tx_dropped rx_lengths tx_lengths
        rx_control tx_control rx_pause tx_pause
        rx_fcs_errors rx_alignment_errors rx_internal_errors rx_symbol_errors
        fec_corrected fec_uncorrectable)
}

fn flow_counters(stats: &FlowStats) -> Value {
    counters!(stats,
        lookups hits dropped_rule dropped_miss dropped_loop dropped_port dropped_action
        encap_not_ready edits_left_out mirrored sampled decapsulated)
}

fn queue_counters(stats: &QueueStats) -> Value {
    counters!(stats, frames bytes drops descriptors)
}

fn mac_text(mac: &[u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The objects of a list by their number.
fn numbered<'a, T: 'a>(
    list: &'a [Option<T>],
    report: impl Fn(&'a T) -> Value,
) -> Map<String, Value> {
    let there = list.iter().enumerate();
    there
        .filter_map(|(id, item)| Some((id.to_string(), report(item.as_ref()?))))
        .collect()
}

fn report_rings(state: &FunctionState) -> Value {
    let vectors = state.vectors.iter().enumerate();
    let used = vectors.filter(|(_, vector)| vector.slots.iter().any(Option::is_some));
    let vectors: Map<String, Value> = used
        .map(|(id, vector)| {
            let report =
                json!({ "armed": vector.armed, "rings": vector.slots, "seen": vector.seen });
            (id.to_string(), report)
        })
        .collect();
    json!({
        "vectors": vectors,
        "completion": numbered(&state.cqs, |cq| json!({ "producer": cq.producer() })),
        "tx": numbered(&state.tx, |tx| json!({
            "producer": tx.ring.producer(), "consumer": tx.ring.consumer(), "listed": tx.listed, "stopped": tx.stopped,
        })),
        "rx": numbered(&state.rx, |rx| json!({ "available": rx.ring.pending(), "stopped": rx.stopped })),
    })
}

impl Nic {
    /// Serves a request; none if it is not one of the core's.
    pub(super) fn operate(
        &mut self,
        host: &mut dyn Host,
        request: &Value,
    ) -> Option<Result<Value, String>> {
        match request.get("cmd")?.as_str()? {
            "stats" => Some(Ok(self.report())),
            "rings" => Some(self.operate_rings(request)),
            "rules" => Some(self.operate_rules(request)),
            "rates" => Some(self.operate_rates(request)),
            "flow-limits" => Some(self.operate_flow_limits(request)),
            "halt" => Some(self.operate_halt(request)),
            "sensor" => Some(self.operate_sensor(request)),
            "noise" => Some(self.operate_noise(request)),
            "hang" => Some(self.operate_hang(request)),
            "note" => Some(self.operate_note(host, request)),
            "broken" => Some(self.operate_broken(request)),
            "flash-spoil" => Some(self.operate_flash_spoil(request)),
            "reset-request" => Some(self.operate_reset_request(host, request)),
            "chaos" => {
                let spec = request.get("spec").and_then(Value::as_str);
                let spec = spec.ok_or_else(|| "chaos: \"spec\" is missing".to_string());
                Some(
                    spec.and_then(|spec| self.chaos.set(spec))
                        .map(|()| json!({})),
                )
            }
            _ => None,
        }
    }

    /// The function that a request names by number: 0 the PF, n VF n-1.
    fn asked_function(&self, request: &Value) -> Result<FunctionId, String> {
        let number = match request.get("function") {
            None => 0,
            Some(value) => value.as_u64().ok_or("\"function\" is not a number")?,
        };
        let id = u16::try_from(number).ok().map(FunctionId);
        let id = id.filter(|id| self.functions.get(id.index()).is_some_and(|f| f.exists));
        id.ok_or_else(|| format!("there is no function {number}"))
    }

    /// Where the rings of a function stand: what is missing when traffic does not move.
    fn operate_rings(&self, request: &Value) -> Result<Value, String> {
        let function = self.asked_function(request)?;
        let state = self.functions.get(function.index());
        state
            .map(report_rings)
            .ok_or_else(|| "there is no such function".into())
    }

    /// What a sensor, by its number, measures from now on.
    fn operate_sensor(&mut self, request: &Value) -> Result<Value, String> {
        let index = request.get("index").and_then(Value::as_u64);
        let index = index.and_then(|index| usize::try_from(index).ok());
        let sensor = index.and_then(|index| self.sensors.get_mut(index));
        let value = request.get("value").and_then(Value::as_i64);
        let value = value.and_then(|value| i32::try_from(value).ok());
        let value = value.ok_or("\"value\" is not a number of 32 bits")?;
        sensors::set(sensor.ok_or("there is no such sensor")?, value);
        Ok(json!({}))
    }

    /// How noisy the wire of a port is from now on: 0 not at all, 1 as any forward error correction mends, 2 as the strongest does.
    fn operate_noise(&mut self, request: &Value) -> Result<Value, String> {
        let number = |name: &str| request.get(name).and_then(Value::as_u64);
        let port = number("port").and_then(|port| usize::try_from(port).ok());
        let port = port.and_then(|port| self.ports.get_mut(port));
        let port = port.ok_or("noise: there is no such port")?;
        port.noise = match number("level") {
            Some(0) => Noise::None,
            Some(1) => Noise::Some,
            Some(2) => Noise::Much,
            _ => return Err("noise: \"level\" is 0 to 2".into()),
        };
        Ok(json!({}))
    }

    fn operate_halt(&mut self, request: &Value) -> Result<Value, String> {
        let function = self.asked_function(request)?;
        let reason = match request.get("reason") {
            None => Reason::OPERATOR,
            Some(value) => {
                let number = value.as_u64().and_then(|number| u16::try_from(number).ok());
                Reason(number.ok_or("\"reason\" is not a number")?)
            }
        };
        self.halt(function, reason, 0);
        Ok(json!({}))
    }

    fn operate_hang(&mut self, request: &Value) -> Result<Value, String> {
        let function = self.asked_function(request)?;
        let view = self.view(function);
        self.note_line(function, "stands still");
        self.state_mut(function).registers.hang(&view);
        Ok(json!({}))
    }

    fn operate_note(&mut self, host: &mut dyn Host, request: &Value) -> Result<Value, String> {
        let function = self.asked_function(request)?;
        let number = |name: &str| request.get(name).and_then(Value::as_u64);
        let severity = number("severity").filter(|severity| (1..=2).contains(severity));
        let severity = severity.ok_or("note: \"severity\" is 1 or 2")?;
        let reason = number("reason").and_then(|reason| u16::try_from(reason).ok());
        let reason = Reason(reason.ok_or("note: \"reason\" is missing")?);
        self.note(host, function, severity as u32, reason);
        Ok(json!({}))
    }

    fn operate_broken(&mut self, request: &Value) -> Result<Value, String> {
        let function = self.asked_function(request)?;
        let on = request.get("on").and_then(Value::as_bool);
        let on = on.ok_or("broken: \"on\" is missing")?;
        match request.get("part").and_then(Value::as_str) {
            None => self.state_mut(function).broken = on,
            Some("pipeline") => self.defective = self.pipeline_version().filter(|_| on),
            Some(part) => return Err(format!("broken: there is no part '{part}'")),
        }
        Ok(json!({}))
    }

    /// A bit of the firmware that is started next goes bad, of the component that is named.
    fn operate_flash_spoil(&mut self, request: &Value) -> Result<Value, String> {
        let name = request.get("component").and_then(Value::as_str);
        let mut known = COMPONENTS.iter();
        let component = known.find(|known| Some(known.text()) == name);
        let component = component.ok_or("flash-spoil: \"component\" is none of the device's")?;
        self.firmware
            .spoil(*component)
            .map(|()| json!({}))
            .map_err(|why| format!("flash-spoil: {}", why.text()))
    }

    fn operate_reset_request(
        &mut self,
        host: &mut dyn Host,
        request: &Value,
    ) -> Result<Value, String> {
        let function = self.asked_function(request)?;
        self.state_mut(function).registers.status |= status::RESET_REQUESTED;
        self.tell(
            host,
            function,
            Notice::new(EventKind::RESET_REQUESTED, 0, 0),
        );
        Ok(json!({}))
    }

    fn report(&self) -> Value {
        let functions: Map<String, Value> = self
            .functions
            .iter()
            .filter(|state| state.exists)
            .map(|state| (state.id.bus().to_string(), self.report_function(state)))
            .collect();
        let ports: Vec<Value> = self
            .ports
            .iter()
            .map(|port| {
                json!({
                    "link": port.link(), "carrier": port.carrier, "enabled": port.enabled,
                    "speed": port.speed(), "fec": port.fec().text(), "identify": port.identify,
                    "link_downs": port.link_downs, "counters": port_counters(&port.stats),
                })
            })
            .collect();
        json!({
            "eswitch": self.mode.text(), "functions": functions, "ports": ports, "flow": self.report_flow(),
            "firmware": self.report_firmware(), "chaos_hits": self.chaos.hits(),
        })
    }

    /// What runs, what is stored, and how much of an update has come.
    fn report_firmware(&self) -> Value {
        let text = |version: [u8; 32]| {
            String::from_utf8_lossy(&version)
                .trim_end_matches('\0')
                .to_string()
        };
        let known = COMPONENTS.iter().filter_map(|component| {
            let info = self.firmware.info(*component).ok()?;
            let report = json!({
                "running": text(info.running_version), "stored": text(info.stored_version), "written": info.written,
                "state": info.state.text(), "fault": info.fault.text(), "security": info.security,
            });
            Some((component.text().to_string(), report))
        });
        Value::Object(known.collect())
    }

    /// What there is of the flow engine, and what it did.
    fn report_flow(&self) -> Value {
        let kinds = FlowObject::ALL.iter();
        let objects: Map<String, Value> = kinds
            .filter_map(|kind| {
                let used = self.flow.usage(*kind)?.used;
                Some((kind.text().replace(' ', "_"), json!(used)))
            })
            .collect();
        let queues = numbered(&self.flow_queues, |queue| {
            json!({
                "producer": queue.ring.producer(), "consumer": queue.ring.consumer(), "listed": queue.listed,
                "stopped": queue.stopped, "done": queue.done, "refused": queue.refused,
            })
        });
        json!({ "objects": objects, "queues": queues, "counters": flow_counters(self.flow.stats()) })
    }

    fn report_function(&self, state: &FunctionState) -> Value {
        let registers = &state.registers;
        let vports: Vec<Value> = self
            .vports_of(state.id)
            .into_iter()
            .filter(|id| self.is_switchdev() || self.vport(*id).represents.is_none())
            .map(|id| self.report_vport(id))
            .collect();
        json!({
            "generation": registers.generation,
            "accepted": registers.accepted(),
            "halted": registers.halted(),
            "hung": registers.hung,
            "broken": state.broken,
            "severity": registers.health.severity,
            "dumps": registers.dump.number,
            "bus_master": state.bus_master,
            "reason": Reason(registers.reason as u16).text(),
            "errors": registers.health.count,
            "last_reset": ResetReason(registers.health.last_reset).text(),
            "vectors": state.vector_count(),
            "refused_commands": state.refused_commands,
            "stray_doorbells": state.stray_doorbells,
            "stray_writes": state.stray_writes,
            "events_entries": state.events.as_ref().map(|events| events.entries()),
            "events_outstanding": state.events.as_ref().map(|events| events.outstanding()),
            "events_dropped": state.events.as_ref().map(|events| events.dropped()),
            "completion_queues": state.cqs.iter().flatten().count(),
            "tx": numbered(&state.tx, |tx| queue_counters(&tx.stats)),
            "rx": numbered(&state.rx, |rx| queue_counters(&rx.stats)),
            "stopped": state.tx.iter().flatten().filter(|tx| tx.stopped).count()
                + state.rx.iter().flatten().filter(|rx| rx.stopped).count(),
            "vports": vports,
        })
    }

    fn report_vport(&self, id: super::ids::VportId) -> Value {
        let vport = self.vport(id);
        json!({
            "port": vport.port,
            "eswitch_port": vport.eswitch_port,
            "mac": mac_text(&vport.mac),
            "flags": format!("{:#x}", vport.flags),
            "link": self.vport_link(id).0,
            "frame_max": vport.frame_max,
            "mac_list": vport.mac_list.len(),
            "rules": vport.rules.count(),
            "counters": vport_counters(&vport.stats),
        })
    }
}
