// SPDX-License-Identifier: GPL-2.0-only

//! Things by number that are looked at where nothing may sleep.

use core::marker::PhantomData;
use core::mem::align_of;
use core::ptr;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::rcu::Guard;
use kernel::types::Opaque;
use oxnic_bindings as bindings;

/// `struct xarray` of boxes. Readers are under RCU and take no lock; writers may sleep.
///
/// # Invariants
///
/// Each entry is null or was made by `KBox::into_raw`, and is the table's.
#[pin_data(PinnedDrop)]
pub struct RcuTable<T> {
    #[pin]
    raw: Opaque<bindings::xarray>,
    _items: PhantomData<KBox<T>>,
}

// SAFETY: The array locks by itself; items go to other tasks as boxes do, and are read by several at a time.
unsafe impl<T: Send + Sync> Send for RcuTable<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for RcuTable<T> {}

impl<T> RcuTable<T> {
    /// The array keeps notes of its own in the two lowest bits.
    const ALIGNED: () = assert!(align_of::<T>() >= 4 && size_of::<T>() > 0);

    /// An empty table.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            raw <- Opaque::ffi_init(|raw: *mut bindings::xarray| {
                // SAFETY: `raw` is valid for writing and pinned.
                unsafe { bindings::xa_init_flags(raw, 0) }
            }),
            _items: PhantomData,
        })
    }

    /// Puts an item at a number. What was there is gone when this returns. Sleeps.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]; nothing has changed then.
    pub fn store(&self, number: u32, item: KBox<T>) -> Result {
        let () = Self::ALIGNED;
        let item = KBox::into_raw(item);
        // SAFETY: The array was initialised; the item is a valid entry by its alignment.
        // INVARIANT: The entry was just made of a box, and is given to the table.
        let before = unsafe {
            bindings::xa_store(
                self.raw.get(),
                number as usize,
                item.cast(),
                bindings::GFP_KERNEL,
            )
        };
        // SAFETY: The result is one of `xa_store`.
        let stored = to_result(unsafe { bindings::xa_err(before) });
        if stored.is_err() {
            // SAFETY: The array has not taken it.
            drop(unsafe { KBox::from_raw(item) });
            return stored;
        }
        // SAFETY: By the invariants, it was the table's, and is no entry any more.
        drop(unsafe { Self::reclaim(before.cast()) });
        Ok(())
    }

    /// The item at a number, as long as the reader's side of RCU is held.
    pub fn get<'g>(&'g self, number: u32, _guard: &'g Guard) -> Option<&'g T> {
        // SAFETY: The array was initialised. By the invariants, the entry is null or an item, which is not freed before all have
        // left the reader's side of RCU that may have seen it.
        unsafe {
            bindings::xa_load(self.raw.get(), number as usize)
                .cast::<T>()
                .as_ref()
        }
    }

    /// Takes an item out, when nobody looks at it any more. Sleeps.
    pub fn remove(&self, number: u32) -> Option<KBox<T>> {
        // SAFETY: The array was initialised; what it gives back was the table's, and is no entry any more.
        unsafe { Self::reclaim(bindings::xa_erase(self.raw.get(), number as usize).cast()) }
    }

    /// Waits until nobody looks at an item any more.
    ///
    /// # Safety
    ///
    /// It is null, or was an entry until now, and is the caller's.
    unsafe fn reclaim(item: *mut T) -> Option<KBox<T>> {
        if item.is_null() {
            return None;
        }
        // SAFETY: The caller may sleep.
        unsafe { bindings::synchronize_rcu_expedited() };
        // SAFETY: By the contract and the invariants it was made by `KBox::into_raw`. Who has seen it has left.
        Some(unsafe { KBox::from_raw(item) })
    }
}

#[pinned_drop]
impl<T> PinnedDrop for RcuTable<T> {
    fn drop(self: Pin<&mut Self>) {
        let raw = self.raw.get();
        loop {
            let mut number = 0;
            // SAFETY: The array was initialised, and is ours alone.
            let item =
                unsafe { bindings::xa_find(raw, &mut number, usize::MAX, bindings::XA_PRESENT) };
            if ptr::eq(item, ptr::null_mut()) {
                break;
            }
            // SAFETY: As above; the item is the table's, and nobody has a reference to the table any more, so nobody reads.
            unsafe {
                bindings::xa_erase(raw, number);
                drop(KBox::from_raw(item.cast::<T>()));
            }
        }
        // SAFETY: As above.
        unsafe { bindings::xa_destroy(raw) };
    }
}

#[cfg(CONFIG_KUNIT)]
#[kernel::macros::kunit_tests(oxnic_kapi_rcu_table)]
mod tests {
    use super::*;
    use kernel::sync::{rcu, Arc};

    fn table() -> Result<Pin<KBox<RcuTable<Arc<u32>>>>> {
        KBox::pin_init(RcuTable::new(), GFP_KERNEL)
    }

    fn item(value: u32) -> Result<KBox<Arc<u32>>> {
        Ok(KBox::new(Arc::new(value, GFP_KERNEL)?, GFP_KERNEL)?)
    }

    #[test]
    fn items_are_found_by_their_number_until_they_are_removed() -> Result {
        let table = table()?;
        table.store(0, item(5)?)?;
        table.store(u32::MAX, item(6)?)?;
        {
            let guard = rcu::read_lock();
            let read = |number| table.get(number, &guard).map(|item| **item);
            assert_eq!((read(0), read(u32::MAX), read(1)), (Some(5), Some(6), None));
        }
        assert_eq!(table.remove(0).map(|item| **item), Some(5));
        assert!(table.remove(0).is_none());
        assert!(table.get(0, &rcu::read_lock()).is_none());
        Ok(())
    }

    #[test]
    fn what_is_replaced_or_left_behind_is_dropped() -> Result {
        let table = table()?;
        let (old, new) = (Arc::new(1, GFP_KERNEL)?, Arc::new(2, GFP_KERNEL)?);
        table.store(7, KBox::new(old.clone(), GFP_KERNEL)?)?;
        table.store(7, KBox::new(new.clone(), GFP_KERNEL)?)?;
        assert!(Arc::into_unique_or_drop(old).is_some());
        drop(table);
        assert!(Arc::into_unique_or_drop(new).is_some());
        Ok(())
    }
}
