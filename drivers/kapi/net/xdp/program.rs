// SPDX-License-Identifier: GPL-2.0-only

//! Programs, the place where a driver keeps the one in force, and what a program says of a packet.

use super::Buff;
use crate::net::napi::Context;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::{AcqRel, Acquire};
use oxnic_bindings as bindings;

/// A program, of which this owns a reference.
pub struct Program(NonNull<bindings::bpf_prog>);

// SAFETY: A program belongs to no task; it is not changed once it is loaded.
unsafe impl Send for Program {}
// SAFETY: As above.
unsafe impl Sync for Program {}

impl Program {
    /// A reference of our own to a program; `None` for null.
    ///
    /// # Safety
    ///
    /// `raw` is null or valid.
    pub(super) unsafe fn from_raw(raw: *mut bindings::bpf_prog) -> Option<Self> {
        let program = NonNull::new(raw)?;
        // SAFETY: The program is valid.
        unsafe { bindings::bpf_prog_inc(raw) };
        Some(Self(program))
    }

    /// Whether it can handle packets that consist of several buffers.
    pub fn has_frags(&self) -> bool {
        // SAFETY: The program is valid.
        unsafe { bindings::xdp_has_frags(self.0.as_ptr()) }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: The reference is ours and given up; the program is freed after an RCU grace period.
        unsafe { bindings::bpf_prog_put(self.0.as_ptr()) };
    }
}

/// Where the program in force is kept. It can be exchanged while packets are received.
///
/// # Invariants
///
/// The pointer is null or to a program of which this owns a reference.
#[derive(Default)]
pub struct ProgramSlot(AtomicPtr<bindings::bpf_prog>);

impl ProgramSlot {
    /// Puts another program, or none, in the place of the one in force. Polls that have it in use may end with it.
    pub fn replace(&self, program: Option<Program>) {
        let new = match program {
            Some(program) => core::mem::ManuallyDrop::new(program).0.as_ptr(),
            None => core::ptr::null_mut(),
        };
        // INVARIANT: The reference to the new one is the slot's now, that to the old one no more.
        let old = self.0.swap(new, AcqRel);
        drop(NonNull::new(old).map(Program));
    }

    /// Whether there is a program that cannot handle packets of several buffers. `_lock` is what keeps it from being replaced.
    pub fn wants_one_buffer(&self, _lock: &crate::net::netdev::Rtnl) -> bool {
        let program = self.0.load(Acquire);
        // SAFETY: The program is valid; it is replaced under this lock only.
        !program.is_null() && !unsafe { bindings::xdp_has_frags(program) }
    }

    /// The program in force, for as long as the poll lasts.
    #[inline(always)]
    pub fn get<'a>(&self, _context: Context<'a>) -> Option<ProgramRef<'a>> {
        NonNull::new(self.0.load(Acquire)).map(|program| ProgramRef(program, PhantomData))
    }
}

impl Drop for ProgramSlot {
    fn drop(&mut self) {
        self.replace(None);
    }
}

/// A program while a poll lasts, which is an RCU read-side critical section.
#[derive(Clone, Copy)]
pub struct ProgramRef<'a>(NonNull<bindings::bpf_prog>, PhantomData<&'a ()>);

/// What a program says of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Drop it.
    Drop,
    /// Hand it up.
    Pass,
    /// Send it back.
    Transmit,
    /// Send it to where the program has said.
    Redirect,
    /// The program failed, or said what does not exist: drop it, and say so by [`ProgramRef::exception`].
    Aborted(u32),
}

impl ProgramRef<'_> {
    /// Whether it can handle packets that consist of several buffers.
    pub fn has_frags(&self) -> bool {
        // SAFETY: The program is valid as long as the poll lasts.
        unsafe { bindings::xdp_has_frags(self.0.as_ptr()) }
    }

    /// Runs it.
    #[inline(always)]
    pub fn run(&self, packet: &mut Buff) -> Verdict {
        // SAFETY: The program is valid as long as the poll lasts, and the packet is ours.
        let action = unsafe { bindings::bpf_prog_run_xdp(self.0.as_ptr(), packet.as_raw()) };
        match action {
            bindings::xdp_action_XDP_PASS => Verdict::Pass,
            bindings::xdp_action_XDP_DROP => Verdict::Drop,
            bindings::xdp_action_XDP_TX => Verdict::Transmit,
            bindings::xdp_action_XDP_REDIRECT => Verdict::Redirect,
            action => Verdict::Aborted(action),
        }
    }

    /// Says, by a trace event, that a packet is dropped for this action of the program; of one that does not exist, the
    /// kernel's log speaks too.
    #[cold]
    pub fn exception(&self, packet: &mut Buff, action: u32) {
        // SAFETY: As above.
        unsafe { bindings::oxnic_xdp_exception(self.0.as_ptr(), packet.as_raw(), action) };
    }

    /// As [`Self::exception`], where a packet cannot be sent.
    #[cold]
    pub fn cannot_transmit(&self, packet: &mut Buff) {
        self.exception(packet, bindings::xdp_action_XDP_TX);
    }

    /// Sends the packet to where the program has said. [`super::flush`] has to follow.
    ///
    /// # Errors
    ///
    /// The packet, which stays the caller's: there is no such place, or it does not take it.
    #[inline]
    pub fn redirect(&self, packet: Buff) -> Result<(), Buff> {
        let mut packet = core::mem::ManuallyDrop::new(packet);
        let raw = packet.as_raw();
        // SAFETY: The packet is ours, and is given up unless there is an error; we are in a NAPI poll.
        let result = unsafe { bindings::xdp_do_redirect((*(*raw).rxq).dev, raw, self.0.as_ptr()) };
        if result != 0 {
            let mut packet = core::mem::ManuallyDrop::into_inner(packet);
            self.exception(&mut packet, bindings::xdp_action_XDP_REDIRECT);
            return Err(packet);
        }
        Ok(())
    }
}
