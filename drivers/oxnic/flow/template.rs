// SPDX-License-Identifier: GPL-2.0-only

//! Templates in the device, of either kind, shared by all rules whose lists are the same, word for word.

use super::ids::Ids;
use crate::{cmd, command::CommandError, device::Device};
use kernel::{prelude::*, sync::Arc};
use oxnic_abi::flow::template::TemplateSet;

/// Kinds of templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Which bits are compared.
    Match,
    /// What is done.
    Action,
}

impl Kind {
    fn set(
        self,
        device: &Arc<Device>,
        template: &TemplateSet,
        list: &[u64],
    ) -> Result<(), CommandError> {
        match self {
            Self::Match => cmd::flow::match_template_set(device, template, list),
            Self::Action => cmd::flow::action_template_set(device, template, list),
        }
    }

    fn destroy(self, device: &Arc<Device>, id: u32) -> Result<(), CommandError> {
        match self {
            Self::Match => cmd::flow::match_template_destroy(device, id),
            Self::Action => cmd::flow::action_template_destroy(device, id),
        }
    }
}

struct Template {
    set: TemplateSet,
    /// Rules that name it, never 0.
    rules: u32,
    hash: u64,
    list: KVec<u64>,
}

/// The templates of a kind.
pub(crate) struct Templates {
    kind: Kind,
    ids: Ids,
    templates: KVec<Template>,
}

/// Why there is no template.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NoTemplate {
    /// There are as many as there can be.
    Full(u32),
    /// No memory.
    Memory,
    /// The device said no.
    Device(CommandError),
}

impl Templates {
    /// None yet, of at most `limit`.
    pub(crate) fn new(limit: u32, kind: Kind) -> Self {
        Self {
            kind,
            ids: Ids::new(limit),
            templates: KVec::new(),
        }
    }

    /// The template with this list, of so many entries and with so many bytes behind them; makes it if there is none. One more
    /// rule names it.
    ///
    /// # Errors
    ///
    /// Nothing has changed then.
    pub(crate) fn get(
        &mut self,
        device: &Arc<Device>,
        list: &[u64],
        count: usize,
        options: usize,
    ) -> Result<u32, NoTemplate> {
        let hash = hash(list);
        let same = |template: &&mut Template| template.hash == hash && *template.list == *list;
        if let Some(template) = self.templates.iter_mut().find(same) {
            template.rules += 1;
            return Ok(template.set.id);
        }
        let memory = |_| NoTemplate::Memory;
        self.templates.reserve(1, GFP_KERNEL).map_err(memory)?;
        let mut kept = KVec::new();
        kept.extend_from_slice(list, GFP_KERNEL).map_err(memory)?;
        let id = self.ids.take().map_err(|error| match error {
            ENOSPC => NoTemplate::Full(self.ids.limit()),
            _ => NoTemplate::Memory,
        })?;
        let set = TemplateSet {
            id,
            count: count as u16,
            options: options as u16,
        };
        if let Err(error) = self.kind.set(device, &set, list) {
            self.ids.give(id);
            return Err(NoTemplate::Device(error));
        }
        let template = Template {
            set,
            rules: 1,
            hash,
            list: kept,
        };
        // There is room, see above.
        let _ = self.templates.push(template, GFP_KERNEL);
        Ok(id)
    }

    /// A rule does not name it any more. Without rules it goes, from the device as well where that has it.
    pub(crate) fn put(&mut self, device: &Arc<Device>, id: u32, reached: bool) {
        let same = |template: &Template| template.set.id == id;
        let Some(at) = self.templates.iter().position(same) else {
            return;
        };
        let template = &mut self.templates[at];
        template.rules -= 1;
        if template.rules > 0 {
            return;
        }
        // `at` was found above.
        let _ = self.templates.remove(at);
        if !reached {
            self.ids.give(id);
            return;
        }
        match self.kind.destroy(device, id) {
            Ok(()) => self.ids.give(id),
            // The id is not used again, since the device may still have it.
            Err(error) => dev_err!(device.binding(), "template {}: {}\n", id, error),
        }
    }
}

impl Templates {
    /// Makes all of them anew in a device that was reset.
    pub(crate) fn restore(&self, device: &Arc<Device>) -> Result<(), CommandError> {
        self.templates
            .iter()
            .try_for_each(|template| self.kind.set(device, &template.set, &template.list))
    }
}

/// FNV-1a over words; for a first comparison only.
fn hash(list: &[u64]) -> u64 {
    list.iter().fold(0xcbf2_9ce4_8422_2325, |hash, word| {
        (hash ^ word).wrapping_mul(0x0100_0000_01b3)
    })
}
