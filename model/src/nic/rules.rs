// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What is in the flow engine, for the operator: rules, their tables, and the ports that lead to these.
//!
//! A function of [`Nic`], which owns all that is shown. What a driver believes to be in the device can be compared with it.

use super::Nic;
use super::flow::{self, Shown};
use oxnic_abi::flow::counter::COUNTERS_IN_PAGE;
use serde_json::{Map, Value, json};

/// Most rules of one answer, which has an end.
const MOST: usize = 64 * COUNTERS_IN_PAGE as usize;

fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

impl Nic {
    /// Answers `{"cmd":"rules","first":N}`: rules from that id on, `next` being where to go on if there are more.
    pub(super) fn operate_rules(&self, request: &Value) -> Result<Value, String> {
        let first = match request.get("first") {
            None => 0,
            Some(value) => {
                let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
                id.ok_or("\"first\" is not a number of a rule")?
            }
        };
        let mut rules = self.flow.rules(first);
        let shown: Vec<Value> = rules
            .by_ref()
            .take(MOST)
            .map(|rule| self.report_rule(&rule))
            .collect();
        let next = rules.next().map(|rule| rule.id);
        let tables: Map<String, Value> = self
            .flow
            .tables()
            .map(|(id, table)| {
                let report = json!({
                    "view": table.view.text(), "miss": table.miss.text(), "miss_table": table.miss_table, "rules": table.rules,
                });
                (id.to_string(), report)
            })
            .collect();
        Ok(json!({ "rules": shown, "next": next, "tables": tables, "ports": self.report_bound() }))
    }

    /// Answers `{"cmd":"flow-limits","rules":64}`: the flow engine, which must not be in use, has this many of these kinds of
    /// objects at most. A driver asks for limits when it starts to use the engine.
    pub(super) fn operate_flow_limits(&mut self, request: &Value) -> Result<Value, String> {
        if self.flow_in_use() {
            return Err("the flow engine is in use".into());
        }
        let mut caps = flow::limits::capability();
        let kinds = [
            ("tables", &mut caps.tables),
            ("match_templates", &mut caps.match_templates),
            ("action_templates", &mut caps.action_templates),
            ("rules", &mut caps.rules),
            ("counters", &mut caps.counters),
            ("meters", &mut caps.meters),
            ("encaps", &mut caps.encaps),
        ];
        for (name, limit) in kinds {
            if let Some(value) = request.get(name) {
                let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
                let fits = number.filter(|number| (1..=*limit).contains(number));
                *limit = fits.ok_or_else(|| format!("\"{name}\" must be from 1 to {limit}"))?;
            }
        }
        self.flow = flow::Engine::new(caps);
        Ok(json!({}))
    }

    fn report_rule(&self, shown: &Shown<'_>) -> Value {
        let rule = shown.rule;
        let counters = shown.counters.iter().map(|id| {
            let value = self.flow.counters.value(*id);
            json!({ "id": id, "packets": value.packets, "bytes": value.bytes })
        });
        json!({
            "rule": shown.id, "table": rule.table, "priority": rule.priority, "cookie": rule.cookie,
            "match_template": shown.match_template, "key": hexadecimal(shown.key),
            "action_template": rule.actions, "arguments": hexadecimal(shown.arguments),
            "counters": counters.collect::<Vec<Value>>(),
        })
    }

    /// Ports of the eswitch and the tables that they are bound to.
    fn report_bound(&self) -> Vec<Value> {
        let mut bound: Vec<_> = self.flow.bound().collect();
        bound.sort_unstable_by_key(|(port, direction, _)| (*port, direction.0));
        let report = bound.into_iter().map(|(port, direction, table)| {
            let entry = self.port_entries().find(|entry| entry.eswitch_port == port);
            json!({
                "port": port, "direction": direction.text(), "table": table,
                "kind": entry.map(|entry| entry.kind.text()), "index": entry.map(|entry| entry.index),
            })
        });
        report.collect()
    }
}
