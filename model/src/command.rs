// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The commands of the control channel that concern the board; all others are the NIC core's.

use crate::chaos::Chaos;
use crate::host::Host;
use crate::machine::Device;
use crate::pci::aer::Severity;
use crate::vfio::session;
use serde_json::{Value, json};

/// The commands, as `--help` prints them.
pub const COMMANDS: &str = r#"Control channel: one JSON object a line, one answer a line, {"ok":true,...} or {"ok":false,"error":"..."}.
  {"cmd":"stats"}                                     counters of the client, PCI, DMA, wires, chaos and NIC core
  {"cmd":"rings","function":0}                        where its rings and vectors stand
  {"cmd":"rules","first":0}                           rules in the flow engine, their counters, tables and ports; "next": go on there
  {"cmd":"flow-limits","rules":64,"tables":8}         most objects of the flow engine, which is not in use; what is left out is as at first
  {"cmd":"link","port":0,"up":false}                  pulls the cable of a wire port, or plugs it in
  {"cmd":"aer","kind":"correctable|nonfatal|fatal"}   the PF meets an error
  {"cmd":"remove"} {"cmd":"insert"}                   surprise removal and hot plug
  {"cmd":"replay","port":0,"times":1}                 a replay: port plays its recording
  {"cmd":"chaos","spec":"..."}                        see Chaos
  {"cmd":"halt","function":0,"reason":1}              and what else the NIC core knows"#;

impl Device {
    /// Executes a command. `session` has the counters of the client, if there is one.
    ///
    /// # Errors
    /// Why it was refused, for the one who asked.
    pub fn command(
        &mut self,
        request: &Value,
        session: Option<session::Counters>,
    ) -> Result<Value, String> {
        let result = match request["cmd"].as_str() {
            Some("stats") => return Ok(self.stats(request, session)),
            Some("link") => self.plug(request),
            Some("replay") => self.replay(request),
            Some("aer") => self.error(request),
            Some("chaos") => self.set_chaos(request),
            Some("remove") => {
                self.board.hierarchy.remove();
                Ok(Value::Null)
            }
            Some("insert") => {
                // What is not in its slot has no power.
                if !self.board.hierarchy.is_present() {
                    self.with_core(|core, host| core.power_on(host));
                }
                self.board.hierarchy.insert();
                Ok(Value::Null)
            }
            Some(name) => self
                .with_core(|core, host| core.control(host, request))
                .unwrap_or_else(|| Err(format!("unknown command '{name}'"))),
            None => Err("no command: \"cmd\" is missing".to_string()),
        };
        self.settle();
        result
    }

    fn stats(&mut self, request: &Value, session: Option<session::Counters>) -> Value {
        let nic = match self.with_core(|core, host| core.control(host, request)) {
            Some(Ok(value)) => value,
            Some(Err(error)) => json!({ "error": error }),
            None => Value::Null,
        };
        let board = &self.board;
        let wires: Vec<Value> = board
            .wires
            .iter()
            .map(|wire| json!({"carrier": wire.has_carrier(), "counters": wire.counters()}))
            .collect();
        json!({
            "client": session,
            "pci": board.hierarchy.counters(),
            "present": board.hierarchy.is_present(),
            "vfs": board.hierarchy.vf_count(),
            "dma": board.counters(),
            "dma_maps": board.memory.len(),
            "wires": wires,
            "chaos": self.chaos.report(),
            "nic": nic,
        })
    }

    fn plug(&mut self, request: &Value) -> Result<Value, String> {
        let port = self.port(request)?;
        let up = request["up"]
            .as_bool()
            .ok_or("\"up\" must be true or false")?;
        // The carrier follows in the next turn, as that of a peer that comes or goes.
        self.board.wires[port].set_plugged(up);
        Ok(Value::Null)
    }

    fn replay(&mut self, request: &Value) -> Result<Value, String> {
        let port = self.port(request)?;
        let times = request.get("times").map_or(Some(1), Value::as_u64);
        let times = times.ok_or("\"times\" must be a number")?;
        let now = self.board.now();
        self.board.wires[port].start_replay(now, times)?;
        Ok(Value::Null)
    }

    fn error(&mut self, request: &Value) -> Result<Value, String> {
        let kind = request["kind"]
            .as_str()
            .and_then(Severity::parse)
            .ok_or("\"kind\" must be correctable, nonfatal or fatal")?;
        self.board.hierarchy.inject_error(kind);
        Ok(Value::Null)
    }

    fn set_chaos(&mut self, request: &Value) -> Result<Value, String> {
        let spec = request["spec"].as_str().ok_or("\"spec\" is missing")?;
        let chaos: Chaos = spec.parse()?;
        self.install_chaos(chaos)?;
        Ok(Value::Null)
    }

    /// Puts rules in force in the place of those before, here and in the NIC core.
    ///
    /// # Errors
    /// If the core does not understand its part; nothing changes then.
    pub fn install_chaos(&mut self, chaos: Chaos) -> Result<(), String> {
        let spec = chaos.core_spec();
        // The core keeps what is set until it is told otherwise; here a new specification replaces the old one.
        let request = json!({"cmd": "chaos", "spec": format!("off,{spec}")});
        match self.with_core(|core, host| core.control(host, &request)) {
            Some(Err(error)) => return Err(error),
            None if !spec.is_empty() => {
                return Err(format!("the NIC core knows no chaos '{spec}'"));
            }
            _ => {}
        }
        self.chaos = chaos;
        Ok(())
    }

    fn port(&self, request: &Value) -> Result<usize, String> {
        request["port"]
            .as_u64()
            .and_then(|port| usize::try_from(port).ok())
            .filter(|port| *port < self.board.wires.len())
            .ok_or_else(|| format!("\"port\" must be below {}", self.board.wires.len()))
    }
}
