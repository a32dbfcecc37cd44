// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Rules: where they are, and how they come, change and go.

use super::Engine;
use super::actions::Named;
use super::group::{Group, Member};
use super::refused::{Place, Refused, Why, ensure};
use oxnic_abi::flow::request::FlowRequest;

/// In no group.
const NONE: u32 = u32::MAX;

/// A rule.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    group: u32,
    key: u32,
    /// Its table.
    pub table: u32,
    /// Its priority; the upper 16 bits are its class.
    pub priority: u32,
    /// Goes along with frames that it sends up.
    pub cookie: u32,
    /// Its action template.
    pub actions: u32,
    /// Where its arguments are among those of the template.
    pub arguments: u32,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            group: NONE,
            key: 0,
            table: 0,
            priority: 0,
            cookie: 0,
            actions: 0,
            arguments: 0,
        }
    }
}

/// Offsets in [`FlowRequest`].
mod at {
    pub const RULE: u16 = 4;
    pub const TABLE: u16 = 8;
    pub const MATCH_TEMPLATE: u16 = 16;
    pub const ACTION_TEMPLATE: u16 = 20;
    pub const KEY_LENGTH: u16 = 28;
    pub const ARGUMENTS_LENGTH: u16 = 30;
}

/// A rule as an operator sees it.
#[derive(Debug)]
pub struct Shown<'a> {
    /// Its id.
    pub id: u32,
    /// What it is.
    pub rule: &'a Rule,
    /// Its match template.
    pub match_template: u32,
    /// What the template's conditions compare with.
    pub key: &'a [u8],
    /// What its action template leaves to it.
    pub arguments: &'a [u8],
    /// The counters that it names, or its action template.
    pub counters: Vec<u32>,
}

impl Engine {
    /// All rules, by their ids, from one on.
    pub fn rules(&self, first: u32) -> impl Iterator<Item = Shown<'_>> {
        let all = self.rules.from(first);
        all.filter_map(|(id, rule)| self.show(id, rule))
    }

    fn show<'a>(&'a self, id: u32, rule: &'a Rule) -> Option<Shown<'a>> {
        let group = self.groups.get(rule.group as usize)?.as_ref()?;
        let template = self.action_templates.get(rule.actions)?;
        let arguments = template.arguments.get(rule.arguments);
        let own = template.own_names().into_iter();
        let named = own.chain(template.rule_names(arguments));
        let counters = named.filter_map(|(_, name)| match name {
            Named::Counter(id) => Some(id),
            _ => None,
        });
        Some(Shown {
            id,
            rule,
            match_template: group.template,
            key: group.key(rule.key),
            arguments,
            counters: counters.collect(),
        })
    }

    /// A rule.
    pub(super) fn rule(&self, id: u32) -> Option<&Rule> {
        self.rules.get(id).filter(|rule| rule.group != NONE)
    }

    /// Puts a rule into a table.
    ///
    /// # Errors
    /// There is one with its id; it names what is not there; key or arguments do not fit.
    pub fn add_rule(
        &mut self,
        request: &FlowRequest,
        key: &[u8],
        arguments: &[u8],
    ) -> Result<(), Refused> {
        let id = request.rule;
        ensure(
            id < self.rule_usage.size,
            Why::Limit,
            Place::Field(at::RULE),
        )?;
        ensure(self.rule(id).is_none(), Why::Exists, Place::Field(at::RULE))?;
        self.tables.named(request.table, Place::Field(at::TABLE))?;
        let place = Place::Field(at::MATCH_TEMPLATE);
        let template = self.match_templates.named(request.match_template, place)?;
        let fits = key.len() == template.width();
        ensure(fits, Why::Invalid, Place::Field(at::KEY_LENGTH))?;
        template.check_key(key)?;
        let width = template.width();
        let names = self.check_actions(request.action_template, arguments)?;
        // All is well from here on.
        let by_template = self
            .by_template
            .get(&(request.table, request.match_template));
        let group = match by_template.copied() {
            Some(group) => group,
            None => self.make_group(request.table, request.match_template, width),
        };
        let member = Member {
            priority: request.priority,
            rule: id,
        };
        let key = self.change_group(request.table, group, |group| group.insert(key, member));
        self.hold(&names);
        self.action_templates.hold(request.action_template);
        let arguments = self
            .action_templates
            .get_mut(request.action_template)
            .map_or(0, |template| template.arguments.add(arguments));
        *self.rules.touch(id) = Rule {
            group,
            key: key.unwrap_or(0),
            table: request.table,
            priority: request.priority,
            cookie: request.cookie,
            actions: request.action_template,
            arguments,
        };
        self.tables.hold(request.table);
        if let Some(table) = self.tables.get_mut(request.table) {
            table.rules += 1;
        }
        self.rule_usage.add();
        Ok(())
    }

    /// Gives a rule other actions, arguments and another cookie. A frame sees either the old ones or the new ones.
    ///
    /// # Errors
    /// There is no such rule, or it would name what is not there; it is then as it was.
    pub fn update_rule(&mut self, request: &FlowRequest, arguments: &[u8]) -> Result<(), Refused> {
        let missing = Refused::new(Why::Missing, Place::Field(at::RULE));
        let old = *self.rule(request.rule).ok_or(missing)?;
        let names = self.check_actions(request.action_template, arguments)?;
        self.hold(&names);
        self.action_templates.hold(request.action_template);
        self.drop_actions(&old);
        let slot = self
            .action_templates
            .get_mut(request.action_template)
            .map_or(0, |template| template.arguments.add(arguments));
        if let Some(rule) = self.rules.get_mut(request.rule) {
            rule.actions = request.action_template;
            rule.arguments = slot;
            rule.cookie = request.cookie;
        }
        Ok(())
    }

    /// Takes a rule out.
    ///
    /// # Errors
    /// There is none.
    pub fn delete_rule(&mut self, id: u32) -> Result<(), Refused> {
        let missing = Refused::new(Why::Missing, Place::Field(at::RULE));
        let rule = *self.rule(id).ok_or(missing)?;
        let member = Member {
            priority: rule.priority,
            rule: id,
        };
        self.change_group(rule.table, rule.group, |group| {
            group.remove(rule.key, member)
        });
        self.drop_group_if_empty(rule.table, rule.group);
        self.drop_actions(&rule);
        if let Some(rule) = self.rules.get_mut(id) {
            rule.group = NONE;
        }
        self.tables.release(rule.table);
        if let Some(table) = self.tables.get_mut(rule.table) {
            table.rules = table.rules.saturating_sub(1);
        }
        self.rule_usage.sub();
        Ok(())
    }

    /// Checks actions and arguments of a rule; tells what it names.
    fn check_actions(
        &self,
        template: u32,
        arguments: &[u8],
    ) -> Result<Vec<(Place, Named)>, Refused> {
        let place = Place::Field(at::ACTION_TEMPLATE);
        let template = self.action_templates.named(template, place)?;
        let fits = arguments.len() == template.arguments.width();
        ensure(fits, Why::Invalid, Place::Field(at::ARGUMENTS_LENGTH))?;
        template.check_arguments(arguments)?;
        let names = template.rule_names(arguments);
        self.exist(&names)?;
        Ok(names)
    }

    /// A rule no longer has its actions.
    fn drop_actions(&mut self, rule: &Rule) {
        let names = self
            .action_templates
            .get(rule.actions)
            .map(|template| template.rule_names(template.arguments.get(rule.arguments)));
        self.release(&names.unwrap_or_default());
        if let Some(template) = self.action_templates.get_mut(rule.actions) {
            template.arguments.remove(rule.arguments);
        }
        self.action_templates.release(rule.actions);
    }

    fn make_group(&mut self, table: u32, template: u32, width: usize) -> u32 {
        let group = Some(Box::new(Group::new(template, self.seed, width)));
        let number = match self.free_groups.pop() {
            Some(number) => {
                if let Some(place) = self.groups.get_mut(number as usize) {
                    *place = group;
                }
                number
            }
            None => {
                self.groups.push(group);
                (self.groups.len() - 1) as u32
            }
        };
        self.by_template.insert((table, template), number);
        self.match_templates.hold(template);
        number
    }

    /// Changes a group and keeps the order of its table.
    fn change_group<T>(
        &mut self,
        table: u32,
        number: u32,
        change: impl FnOnce(&mut Group) -> T,
    ) -> Option<T> {
        let group = self.groups.get_mut(number as usize)?.as_mut()?;
        let old = group.lowest();
        let result = change(group);
        let new = group.lowest();
        if let Some(table) = self.tables.get_mut(table) {
            table.reorder(number, old, new);
        }
        Some(result)
    }

    fn drop_group_if_empty(&mut self, table: u32, number: u32) {
        let Some(place) = self.groups.get_mut(number as usize) else {
            return;
        };
        if let Some(group) = place.take_if(|group| group.lowest().is_none()) {
            self.free_groups.push(number);
            self.by_template.remove(&(table, group.template));
            self.match_templates.release(group.template);
        }
    }
}
