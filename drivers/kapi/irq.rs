// SPDX-License-Identifier: GPL-2.0-only

//! MSI-X vectors and their handlers.

use crate::pci::Binding;
use kernel::{
    fmt,
    prelude::*,
    str::CString,
    sync::Arc, //
};
use oxnic_bindings as bindings;

/// The MSI-X vectors of a function, enabled until dropped.
pub struct Vectors {
    binding: Binding,
    count: u16,
}

impl Vectors {
    /// Enables between `least` and `most` vectors.
    ///
    /// # Errors
    ///
    /// `ENOSPC` and others: so many cannot be had.
    pub fn enable(binding: &Binding, least: u16, most: u16) -> Result<Arc<Self>> {
        // SAFETY: The device is bound, and has no vectors yet.
        let count = unsafe {
            bindings::pci_alloc_irq_vectors(
                binding.raw(),
                least.into(),
                most.into(),
                bindings::PCI_IRQ_MSIX,
            )
        };
        if count < 0 {
            return Err(Error::from_errno(count));
        }
        let count = u16::try_from(count)?;
        let vectors = Self {
            binding: binding.clone(),
            count,
        };
        Ok(Arc::new(vectors, GFP_KERNEL)?)
    }

    /// How many there are.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Linux interrupt number of a vector.
    ///
    /// # Errors
    ///
    /// `EINVAL`: no such vector.
    pub fn number(&self, index: u16) -> Result<u32> {
        if index >= self.count {
            return Err(EINVAL);
        }
        // SAFETY: The vectors are enabled.
        let number = unsafe { bindings::pci_irq_vector(self.binding.raw(), index.into()) };
        if number < 0 {
            return Err(Error::from_errno(number));
        }
        Ok(number.unsigned_abs())
    }
}

impl Drop for Vectors {
    fn drop(&mut self) {
        // SAFETY: Every `Irq` keeps a reference, so all handlers are gone; the device is still bound.
        unsafe { bindings::pci_free_irq_vectors(self.binding.raw()) }
    }
}

/// What is called when a vector is raised.
pub trait Handler: Send + Sync + 'static {
    /// Runs with interrupts off: must not sleep.
    fn handle(&self);
}

struct Action<H: Handler> {
    handler: H,
    name: CString,
}

/// A handler on a vector; dropping it waits for the handler to end and frees the vector.
pub struct Irq<H: Handler> {
    number: u32,
    action: Pin<KBox<Action<H>>>,
    _vectors: Arc<Vectors>,
}

impl<H: Handler> Irq<H> {
    /// Installs `handler`, shown as `name` in `/proc/interrupts`. It can run before this returns.
    ///
    /// # Errors
    ///
    /// `EINVAL`: no such vector; `ENOMEM` and what `request_irq` says.
    pub fn request(
        vectors: &Arc<Vectors>,
        index: u16,
        name: fmt::Arguments<'_>,
        handler: H,
    ) -> Result<Self> {
        let number = vectors.number(index)?;
        let name = CString::try_from_fmt(name)?;
        let action = KBox::pin(Action { handler, name }, GFP_KERNEL)?;
        let cookie: *const Action<H> = &*action;
        // SAFETY: `callback` takes a pointer to an `Action<H>`, which is pinned and outlives the registration: see `drop`.
        // The same holds for the name.
        kernel::error::to_result(unsafe {
            bindings::request_irq(
                number,
                Some(Self::callback),
                0,
                action.name.as_char_ptr().cast(),
                cookie.cast_mut().cast(),
            )
        })?;
        Ok(Self {
            number,
            action,
            _vectors: vectors.clone(),
        })
    }

    /// The handler.
    pub fn handler(&self) -> &H {
        &self.action.handler
    }

    /// Linux interrupt number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Waits until no handler of this vector is running. Sleeps.
    pub fn synchronize(&self) {
        // SAFETY: The interrupt is ours.
        unsafe { bindings::synchronize_irq(self.number) }
    }

    /// Moves the interrupt to the `nth` online CPU, counted near the device first, and tells user space so.
    pub fn spread(&self, nth: u32) {
        // SAFETY: The interrupt is ours. A failure leaves it where it was.
        unsafe { bindings::oxnic_irq_spread(self.number, nth) }
    }

    /// # Safety
    ///
    /// `cookie` is what `request` gave to `request_irq`; called only between `request_irq` and the end of `free_irq`.
    unsafe extern "C" fn callback(_number: c_int, cookie: *mut c_void) -> bindings::irqreturn_t {
        // SAFETY: By the contract the action is alive; handlers share it.
        let action = unsafe { &*cookie.cast::<Action<H>>() };
        action.handler.handle();
        bindings::irqreturn::IRQ_HANDLED
    }
}

impl<H: Handler> Drop for Irq<H> {
    fn drop(&mut self) {
        let cookie: *const Action<H> = &*self.action;
        // SAFETY: The interrupt was requested with this cookie and is freed once. `free_irq` returns after the last handler
        // has ended, so the action may die then.
        unsafe {
            bindings::oxnic_irq_unspread(self.number);
            bindings::free_irq(self.number, cookie.cast_mut().cast());
        }
    }
}
