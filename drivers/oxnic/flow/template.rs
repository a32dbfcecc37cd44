// SPDX-License-Identifier: GPL-2.0-only

//! Templates in the device, of either kind, shared by all rules whose lists are the same, word for word.
//!
//! Rules hold their templates and count themselves in them without a lock. `known`, a mutex, is held to find a template, and while the
//! device is told of one that comes or goes; nothing is taken under it but the lock of the admin queue. While the device is reset, templates
//! are made here only, and [`Templates::put_back`] tells the device of them.

use super::{gaps::Gaps, ids::Ids, limits::Share, refusal::Refusal, there::There};
use crate::{
    cmd,
    command::{told, CommandError},
    device::Device, //
};
use kernel::{
    new_mutex,
    prelude::*,
    rbtree::{RBTree, RBTreeNode},
    sync::{
        atomic::{Atomic, Full, Relaxed},
        Arc,
        Mutex, //
    },
};
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
    fn name(self) -> &'static str {
        match self {
            Self::Match => "match template",
            Self::Action => "action template",
        }
    }

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

/// A template in the device. Whoever got it from [`Templates::get`] gives it to [`Templates::put`].
pub(crate) struct Template {
    set: TemplateSet,
    /// Rules that name it. It goes from none to one under the lock only, and with none leaves.
    rules: Atomic<i32>,
    there: There,
    hash: u64,
    list: KVec<u64>,
}

impl Template {
    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.set.id
    }

    /// By which it is found.
    fn key(&self) -> (u64, u32) {
        (self.hash, self.set.id)
    }
}

/// What keeps a template, by its hash and id.
type Node = RBTreeNode<(u64, u32), Arc<Template>>;

/// The templates of a kind.
#[pin_data]
pub(crate) struct Templates {
    kind: Kind,
    #[pin]
    ids: Ids,
    #[pin]
    known: Mutex<RBTree<(u64, u32), Arc<Template>>>,
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
    pub(crate) fn new(limit: u32, kind: Kind) -> impl PinInit<Self> {
        pin_init!(Self {
            kind,
            ids <- Ids::new(limit),
            known <- new_mutex!(RBTree::new()),
        })
    }

    /// The template with this list, of so many entries and with so many bytes behind them; makes it if there is none, in the device
    /// as well where that can be reached. One more rule names it.
    ///
    /// # Errors
    ///
    /// Nothing has changed then.
    pub(crate) fn get(
        &self,
        device: &Arc<Device>,
        list: &[u64],
        count: usize,
        options: usize,
        reached: bool,
        share: Share,
    ) -> Result<Arc<Template>, NoTemplate> {
        let hash = hash(list);
        let mut known = self.known.lock();
        let mut at = known.cursor_lower_bound_mut(&(hash, 0));
        while let Some(cursor) = at {
            let (key, template) = cursor.current();
            if key.0 != hash {
                break;
            }
            if *template.list == *list {
                if reached && !template.there.is() {
                    self.set(device, template).map_err(NoTemplate::Device)?;
                }
                template.rules.fetch_add(1, Relaxed);
                return Ok(template.clone());
            }
            at = cursor.move_next();
        }
        let mut kept = KVec::new();
        kept.extend_from_slice(list, GFP_KERNEL)
            .map_err(|_| NoTemplate::Memory)?;
        let others = share.leaves(self.ids.limit());
        let id = self.ids.take_but(others).map_err(|error| match error {
            ENOSPC => NoTemplate::Full(self.ids.limit() - others),
            _ => NoTemplate::Memory,
        })?;
        let template = Template {
            set: TemplateSet {
                id,
                count: count as u16,
                options: options as u16,
            },
            rules: Atomic::new(1),
            there: There::new(),
            hash,
            list: kept,
        };
        let (template, node) = self
            .make(device, template, reached)
            .inspect_err(|_| self.ids.give(id))?;
        known.insert(node);
        Ok(template)
    }

    /// Puts a new template into the device, if that can be reached; also gives what keeps it here.
    fn make(
        &self,
        device: &Arc<Device>,
        template: Template,
        reached: bool,
    ) -> Result<(Arc<Template>, Node), NoTemplate> {
        let key = template.key();
        let template = Arc::new(template, GFP_KERNEL).map_err(|_| NoTemplate::Memory)?;
        let node = RBTreeNode::new(key, template.clone(), GFP_KERNEL);
        let node = node.map_err(|_| NoTemplate::Memory)?;
        if reached {
            self.set(device, &template).map_err(NoTemplate::Device)?;
        }
        Ok((template, node))
    }

    /// Tells the device of a template that it does not have. Where it is being reset, it will be told.
    fn set(&self, device: &Arc<Device>, template: &Template) -> Result<(), CommandError> {
        let there = told(self.kind.set(device, &template.set, &template.list))?;
        template.there.set(there);
        Ok(())
    }

    /// A rule does not name it any more. Without rules it goes, from the device as well where that has it.
    pub(crate) fn put(&self, device: &Arc<Device>, template: &Template, reached: bool) {
        if template.rules.fetch_sub(1, Full) > 1 {
            return;
        }
        let mut known = self.known.lock();
        if !take_out(&mut known, template) {
            return;
        }
        let name = (self.kind.name(), template.id());
        let there = reached && template.there.is();
        let destroy = || self.kind.destroy(device, template.id());
        self.ids.end(device, name, there, destroy);
    }

    /// Takes all of them out of the device, and keeps them here. No rule in the device has any.
    ///
    /// # Errors
    ///
    /// Some are there still.
    pub(crate) fn park(&self, device: &Arc<Device>) -> Result<(), CommandError> {
        let known = self.known.lock();
        let mut there = known.values().filter(|template| template.there.is());
        there.try_for_each(|template| {
            self.kind.destroy(device, template.id())?;
            template.there.set(false);
            Ok(())
        })
    }

    /// The device was reset, and has none.
    pub(crate) fn forget(&self) {
        let known = self.known.lock();
        known
            .values()
            .for_each(|template| template.there.set(false));
        self.ids.reclaim();
    }

    /// Tells the device of all that it does not have.
    ///
    /// # Errors
    ///
    /// It cannot be reached.
    pub(crate) fn put_back(
        &self,
        device: &Arc<Device>,
        gaps: &mut Gaps<'_>,
    ) -> Result<(), Refusal> {
        let known = self.known.lock();
        let mut templates = known.values();
        templates.try_for_each(|template| {
            let name = (self.kind.name(), template.id());
            template.there.put_back(device, gaps, name, || {
                self.kind.set(device, &template.set, &template.list)
            })
        })
    }
}

/// Takes a template without rules out, if it is there still. Another rule may have got it meanwhile, or may have put it as well and be
/// done with it: what has its list and its id now is another template then.
fn take_out(known: &mut RBTree<(u64, u32), Arc<Template>>, template: &Template) -> bool {
    let key = template.key();
    let there = known.get(&key);
    let same = there.is_some_and(|there| core::ptr::eq::<Template>(&**there, template));
    same && template.rules.load(Relaxed) <= 0 && known.remove(&key).is_some()
}

/// FNV-1a over words; for a first comparison only.
fn hash(list: &[u64]) -> u64 {
    list.iter().fold(0xcbf2_9ce4_8422_2325, |hash, word| {
        (hash ^ word).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(CONFIG_KUNIT)]
#[allow(unsafe_code)] // What the macro makes of it.
#[kernel::macros::kunit_tests(oxnic_flow_template)]
mod tests {
    use super::*;

    fn template(rules: i32) -> Result<Arc<Template>> {
        let template = Template {
            set: TemplateSet {
                id: 7,
                count: 0,
                options: 0,
            },
            rules: Atomic::new(rules),
            there: There::new(),
            hash: hash(&[]),
            list: KVec::new(),
        };
        Ok(Arc::new(template, GFP_KERNEL)?)
    }

    #[test]
    fn one_that_has_gone_takes_none_along_that_has_its_list_and_id() -> Result {
        let (gone, other) = (template(0)?, template(0)?);
        let mut known = RBTree::new();
        known.try_create_and_insert(other.key(), other.clone(), GFP_KERNEL)?;
        assert!(!take_out(&mut known, &gone));
        assert!(take_out(&mut known, &other));
        assert!(!take_out(&mut known, &other));
        Ok(())
    }

    #[test]
    fn one_that_a_rule_has_got_stays() -> Result {
        let got = template(1)?;
        let mut known = RBTree::new();
        known.try_create_and_insert(got.key(), got.clone(), GFP_KERNEL)?;
        assert!(!take_out(&mut known, &got));
        assert!(known.get(&got.key()).is_some());
        Ok(())
    }
}
