// SPDX-License-Identifier: GPL-2.0-only

//! `devlink resource show`: how much of what a device has, and how much of it is in use.

use super::Instance;
use core::ffi::c_void;
use kernel::{error::to_result, prelude::*, sync::Arc};
use oxnic_bindings as bindings;

/// How much of a resource is in use. Called with the instance's lock held.
pub trait Occupancy: Send + Sync {
    /// In the resource's unit.
    fn occupied(&self) -> u64;
}

/// A resource of fixed size, in entries.
pub struct Resource {
    /// As users see it.
    pub name: &'static CStr,
    /// Its number within the instance, not 0.
    pub id: u64,
    /// The resource that it is shown with; 0: none.
    pub parent: u64,
    /// How much there is.
    pub size: u64,
}

/// All resources of an instance, until dropped.
pub struct Resources {
    instance: Arc<Instance>,
    /// What devlink has pointers to.
    entries: KVec<KBox<KBox<dyn Occupancy>>>,
}

impl Resources {
    /// None yet, of an instance that has no other [`Resources`].
    pub fn new(instance: Arc<Instance>) -> Self {
        Self {
            instance,
            entries: KVec::new(),
        }
    }

    /// Adds a resource, behind the one that it is shown with. The lock of the instance is held by the caller or not.
    ///
    /// # Errors
    ///
    /// `EEXIST`: the number is taken; `EINVAL`: there is no such parent; `ENOMEM`.
    pub fn add(&mut self, resource: &Resource, occupancy: KBox<dyn Occupancy>) -> Result {
        self.entries.reserve(1, GFP_KERNEL)?;
        let entry = KBox::new(occupancy, GFP_KERNEL)?;
        let private: *const KBox<dyn Occupancy> = &*entry;
        let sizes = bindings::devlink_resource_size_params {
            size_min: resource.size,
            size_max: resource.size,
            size_granularity: 1,
            unit: bindings::devlink_resource_unit_DEVLINK_RESOURCE_UNIT_ENTRY,
        };
        let _locked = self.instance.lock_unless_held();
        let raw = self.instance.raw();
        // SAFETY: The instance is allocated and locked, and lives longer than its resources. The name is static, the rest is copied.
        to_result(unsafe {
            bindings::devl_resource_register(
                raw,
                resource.name.as_char_ptr(),
                resource.size,
                resource.id,
                resource.parent,
                &sizes,
            )
        })?;
        // SAFETY: The resource was registered above and has no such function yet. What `private` points to stays where it is until
        // after the resource is gone.
        unsafe {
            bindings::devl_resource_occ_get_register(
                raw,
                resource.id,
                Some(occupied_callback),
                private.cast_mut().cast(),
            );
        }
        // There is room, see above.
        let _ = self.entries.push(entry, GFP_KERNEL);
        Ok(())
    }
}

impl Drop for Resources {
    fn drop(&mut self) {
        let _locked = self.instance.lock_unless_held();
        // SAFETY: The lock is held. All resources of the instance are ours, by the contract of `new`.
        unsafe { bindings::devl_resources_unregister(self.instance.raw()) }
    }
}

/// # Safety
///
/// Called by devlink with the lock of the instance held, with what [`Resources::add`] registered.
unsafe extern "C" fn occupied_callback(private: *mut c_void) -> u64 {
    // SAFETY: By the contract; the entry lives as long as the resource.
    unsafe { &*private.cast::<KBox<dyn Occupancy>>() }.occupied()
}
