// SPDX-License-Identifier: GPL-2.0-only

//! Copies of packets for listeners (`psample`).
//!
//! `psample` can be a module of its own. This one must not need it to be loaded, so its functions are looked up when a rule comes
//! that samples. The action of that rule needs it too, so it is there then, and it stays as long as a [`Sampler`] has them.

use core::ptr::NonNull;
use kernel::prelude::*;
use oxnic_bindings as bindings;

/// To whom the copies of a rule go, for as long as the kernel asks about it.
#[derive(Clone, Copy)]
pub struct Listeners<'a> {
    group: &'a bindings::psample_group,
    /// What the user has written to the action, and listeners find with each copy.
    cookie: &'a [u8],
}

impl<'a> Listeners<'a> {
    /// # Safety
    ///
    /// What the entry points to is valid for `'a`, and it is about samples.
    pub(super) unsafe fn of_entry(raw: &'a bindings::flow_action_entry) -> Option<Self> {
        // SAFETY: By the contract. A cookie has so many bytes as it says.
        unsafe {
            let group = raw
                .__bindgen_anon_1
                .sample
                .as_ref()
                .psample_group
                .as_ref()?;
            let cookie = match raw.user_cookie.as_ref() {
                Some(cookie) => cookie.cookie.as_slice(cookie.cookie_len as usize),
                None => &[],
            };
            Some(Self { group, cookie })
        }
    }
}

impl PartialEq for Listeners<'_> {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.group, other.group) && self.cookie == other.cookie
    }
}

impl Eq for Listeners<'_> {}

impl core::fmt::Debug for Listeners<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "group {}", self.group.group_num)
    }
}

/// Which copies go to whom.
#[derive(Clone, Copy)]
pub struct Samples<'a> {
    /// Who gets them.
    pub listeners: Listeners<'a>,
    /// One packet in so many is copied.
    pub rate: u32,
    /// Listeners get so many bytes of it at most.
    pub truncate: Option<u32>,
    /// They are of packets that leave by the interface at which the copies come up, and not of packets that came in there.
    pub egress: bool,
    /// The interface above that one which packets came in at, by its number in their network namespace; 0: that one itself.
    pub above: u32,
}

/// The functions of `psample`.
///
/// # Invariants
///
/// They are there, and one reference to each is ours.
struct Psample(bindings::oxnic_psample);

impl Psample {
    fn new() -> Result<Self> {
        let mut functions = bindings::oxnic_psample::default();
        // SAFETY: It is ours to fill.
        if !unsafe { bindings::oxnic_psample_get(&mut functions) } {
            return Err(ENOENT);
        }
        // INVARIANT: Just got.
        Ok(Self(functions))
    }
}

impl Drop for Psample {
    fn drop(&mut self) {
        // SAFETY: By the invariants.
        unsafe { bindings::oxnic_psample_put(&self.0) };
    }
}

/// Hands copies to listeners.
///
/// # Invariants
///
/// `group` is valid, and one reference to it is ours.
pub struct Sampler {
    psample: Psample,
    group: NonNull<bindings::psample_group>,
    cookie: KVec<u8>,
    rate: u32,
    /// Listeners get so many bytes at most.
    truncate: u32,
    egress: bool,
    above: u32,
}

// SAFETY: A group belongs to no task, and locks by itself.
unsafe impl Send for Sampler {}
// SAFETY: As above.
unsafe impl Sync for Sampler {}

impl Sampler {
    /// For these copies.
    ///
    /// # Errors
    ///
    /// [`ENOENT`]: there is no `psample`; [`ENOMEM`].
    pub fn new(samples: &Samples<'_>) -> Result<Self> {
        let listeners = samples.listeners;
        let mut cookie = KVec::new();
        cookie.extend_from_slice(listeners.cookie, GFP_KERNEL)?;
        let psample = Psample::new()?;
        let group = NonNull::from(listeners.group);
        if let Some(take) = psample.0.take {
            // SAFETY: The group is valid, and the function there.
            unsafe { take(group.as_ptr()) };
        }
        // INVARIANT: Just taken.
        Ok(Self {
            psample,
            group,
            cookie,
            rate: samples.rate,
            truncate: samples.truncate.unwrap_or(u32::MAX),
            egress: samples.egress,
            above: samples.above,
        })
    }

    /// Whether it is the one for these copies.
    pub fn is_for(&self, samples: &Samples<'_>) -> bool {
        let truncate = samples.truncate.unwrap_or(u32::MAX);
        core::ptr::eq(self.group.as_ptr(), samples.listeners.group)
            && *self.cookie == *samples.listeners.cookie
            && (self.rate, self.truncate) == (samples.rate, truncate)
            && (self.egress, self.above) == (samples.egress, samples.above)
    }

    /// Hands a copy to the listeners.
    ///
    /// # Safety
    ///
    /// The NAPI instance is being polled. The packet is valid, starts behind its Ethernet header, and is given up.
    pub(super) unsafe fn receive(
        &self,
        napi: *mut bindings::napi_struct,
        skb: *mut bindings::sk_buff,
    ) {
        // SAFETY: By the contract and the invariants.
        unsafe {
            bindings::oxnic_rx_sample(
                napi,
                skb,
                &self.psample.0,
                self.group.as_ptr(),
                self.rate,
                self.truncate,
                self.egress,
                self.above as c_int,
                self.cookie.as_ptr(),
                self.cookie.len() as u32,
            )
        };
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        if let Some(put) = self.psample.0.put {
            // SAFETY: By the invariants; the function is there.
            unsafe { put(self.group.as_ptr()) };
        }
    }
}
