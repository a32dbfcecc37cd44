// SPDX-License-Identifier: GPL-2.0-only

//! A binding, as one of those of its block. Rules know by its number that it has them ([`super::holders`]).

use super::store::Store;
use kernel::{alloc::AllocError, prelude::*, sync::Arc};
use oxnic_kapi::net::flow::Cookie;

/// One of the bindings of a block. Its number is another one's when it is dropped.
pub(crate) struct Member {
    pub(crate) store: Arc<Store>,
    pub(crate) number: u32,
}

impl Member {
    /// Of a new binding.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub(crate) fn new(store: &Arc<Store>) -> Result<Self, AllocError> {
        let number = {
            let members = &mut store.inner.lock().members;
            let number = members.free();
            members.add(number)?;
            number
        };
        Ok(Self {
            store: store.clone(),
            number,
        })
    }

    /// Whether it has a rule, or what stands in for it.
    pub(crate) fn has(&self, cookie: Cookie) -> bool {
        let mut inner = self.store.inner.lock();
        let stored = inner.get(cookie);
        stored.is_some_and(|stored| stored.holders.has(self.number))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.store.inner.lock().members.remove(self.number);
    }
}
