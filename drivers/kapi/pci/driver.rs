// SPDX-License-Identifier: GPL-2.0-only

//! Registration of a PCI driver.
//!
//! The kernel crate's adapter knows probe and unbind; this one fills in the rest of `struct pci_driver`. The driver's data is
//! an `Arc` that the device's drvdata owns from the end of probe to remove. Every callback that sees it runs under the
//! device's lock, which also excludes probe and remove.

use super::{Binding, IdTable};
use kernel::{
    device,
    error::{from_result, to_result},
    pci,
    prelude::*,
    sync::{Arc, ArcBorrow},
    types::Opaque, //
};
use oxnic_bindings as bindings;

/// A PCI device inside a callback of the bus, with the device's lock held.
pub type Core<'a> = pci::Device<device::Core<'a>>;

/// State of the channel to the device, as error handling found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// I/O works; a transaction was lost.
    Normal,
    /// I/O is blocked until the link was reset.
    Frozen,
    /// The device will not come back.
    Dead,
}

/// What error handling shall do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Go on; the device can be talked to.
    CanRecover,
    /// Reset the slot.
    NeedReset,
    /// The device works again.
    Recovered,
    /// Give the device up.
    Disconnect,
}

impl Recovery {
    fn raw(self) -> bindings::pci_ers_result_t {
        match self {
            Self::CanRecover => bindings::pci_ers_result_PCI_ERS_RESULT_CAN_RECOVER,
            Self::NeedReset => bindings::pci_ers_result_PCI_ERS_RESULT_NEED_RESET,
            Self::Recovered => bindings::pci_ers_result_PCI_ERS_RESULT_RECOVERED,
            Self::Disconnect => bindings::pci_ers_result_PCI_ERS_RESULT_DISCONNECT,
        }
    }
}

/// A PCI driver. `Self` is the data of one bound device. All callbacks may sleep.
pub trait Driver: Send + Sync + Sized + 'static {
    /// What the driver keeps for each entry of its device table.
    type IdInfo: 'static;

    /// Which devices it drives.
    const ID_TABLE: IdTable<Self::IdInfo>;

    /// A device appeared. `info` is of its entry in the table; `None` where user space added the id.
    fn probe(
        dev: &Core<'_>,
        binding: &Binding,
        info: Option<&'static Self::IdInfo>,
    ) -> Result<Arc<Self>>;

    /// The device is taken away, or the driver. Every [`Binding`] must be let go of.
    fn remove(self: Arc<Self>, dev: &Core<'_>);

    /// The machine goes down, or starts another kernel: the device must be silent afterwards.
    fn shutdown(this: ArcBorrow<'_, Self>, dev: &Core<'_>);

    /// The user wants so many VFs; 0: none. Only from 0 or to 0.
    fn sriov_configure(this: ArcBorrow<'_, Self>, dev: &Core<'_>, count: u16) -> Result;

    /// Interrupt vectors that there are for VFs.
    fn sriov_vectors(this: ArcBorrow<'_, Self>) -> u32;

    /// The user wants VF `vf` to have so many vectors; no driver is bound to it. 0: the default number.
    fn sriov_set_vectors(this: ArcBorrow<'_, Self>, vf: u16, vectors: u32) -> Result;

    /// The function is about to be reset by the PCI core.
    fn reset_prepare(this: ArcBorrow<'_, Self>, dev: &Core<'_>);

    /// The function was reset by the PCI core, or that failed.
    fn reset_done(this: ArcBorrow<'_, Self>, dev: &Core<'_>);

    /// An error was reported for the device or something above it.
    fn error_detected(this: ArcBorrow<'_, Self>, dev: &Core<'_>, channel: Channel) -> Recovery;

    /// The device can be talked to again, without a reset.
    fn mmio_enabled(this: ArcBorrow<'_, Self>, dev: &Core<'_>) -> Recovery;

    /// The link was reset.
    fn slot_reset(this: ArcBorrow<'_, Self>, dev: &Core<'_>) -> Recovery;

    /// Recovery has finished.
    fn resume(this: ArcBorrow<'_, Self>, dev: &Core<'_>);
}

/// What drvdata points to.
struct Bound<T> {
    data: Arc<T>,
    binding: Binding,
}

/// A registered driver; dropping it removes the driver from all its devices.
#[pin_data(PinnedDrop)]
pub struct Registration<T: Driver> {
    #[pin]
    driver: Opaque<bindings::pci_driver>,
    _data: core::marker::PhantomData<T>,
}

// SAFETY: Nothing can be done with a shared reference.
unsafe impl<T: Driver> Sync for Registration<T> {}
// SAFETY: A driver may be unregistered by any task.
unsafe impl<T: Driver> Send for Registration<T> {}

impl<T: Driver> Registration<T> {
    /// Registers the driver, and probes the devices that are there.
    pub fn new(name: &'static CStr, module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            driver <- Opaque::try_ffi_init(|slot: *mut bindings::pci_driver| {
                let driver = bindings::pci_driver {
                    name: name.as_char_ptr(),
                    id_table: T::ID_TABLE.as_ptr(),
                    probe: Some(Callbacks::<T>::probe_callback),
                    remove: Some(Callbacks::<T>::remove_callback),
                    shutdown: Some(Callbacks::<T>::shutdown_callback),
                    sriov_configure: Some(Callbacks::<T>::sriov_configure_callback),
                    sriov_set_msix_vec_count: Some(Callbacks::<T>::sriov_set_vectors_callback),
                    sriov_get_vf_total_msix: Some(Callbacks::<T>::sriov_vectors_callback),
                    err_handler: &Callbacks::<T>::ERROR_HANDLERS,
                    ..Default::default()
                };
                // SAFETY: `slot` is valid for writing and stays where it is until the driver is unregistered.
                unsafe {
                    slot.write(driver);
                    to_result(bindings::__pci_register_driver(slot, module.as_ptr(), name.as_char_ptr()))
                }
            }),
            _data: core::marker::PhantomData,
        })
    }
}

#[pinned_drop]
impl<T: Driver> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: It was registered, by construction.
        unsafe { bindings::pci_unregister_driver(self.driver.get()) }
    }
}

/// The data of a device, if its driver is `T`.
///
/// # Safety
///
/// `dev` is valid, and its lock is held.
pub(super) unsafe fn data_of<T: Driver>(dev: *mut bindings::pci_dev) -> Option<Arc<T>> {
    // SAFETY: By the caller's promise; the driver stays with the device while the lock is held.
    let probe = unsafe { (*dev).driver.as_ref()?.probe? };
    if probe as usize != Callbacks::<T>::probe_callback as usize {
        return None;
    }
    // SAFETY: The driver is ours, and the lock is held.
    unsafe { Callbacks::<T>::with(dev, None, |this, _| Some(this.into())) }
}

/// The callbacks as C calls them.
struct Callbacks<T>(T);

impl<T: Driver> Callbacks<T> {
    const ERROR_HANDLERS: bindings::pci_error_handlers = bindings::pci_error_handlers {
        error_detected: Some(Self::error_detected_callback),
        mmio_enabled: Some(Self::mmio_enabled_callback),
        slot_reset: Some(Self::slot_reset_callback),
        reset_prepare: Some(Self::reset_prepare_callback),
        reset_done: Some(Self::reset_done_callback),
        resume: Some(Self::resume_callback),
        // Called without the device's lock, so it could not see the driver's data; the core logs and counts by itself.
        cor_error_detected: None,
    };

    /// # Safety
    ///
    /// `dev` is valid, and its lock is held for `'a`.
    unsafe fn core<'a>(dev: *mut bindings::pci_dev) -> &'a Core<'a> {
        // SAFETY: The wrapper is transparent; the context is what the caller promises.
        unsafe { &*dev.cast() }
    }

    /// Calls `f` with the data of a bound device; gives `unbound` where there is none.
    ///
    /// # Safety
    ///
    /// `dev` is valid, its driver is this one or none, and its lock is held.
    unsafe fn with<R>(
        dev: *mut bindings::pci_dev,
        unbound: R,
        f: impl FnOnce(ArcBorrow<'_, T>, &Core<'_>) -> R,
    ) -> R {
        // SAFETY: The device is valid.
        let bound = unsafe { bindings::pci_get_drvdata(dev) }.cast::<Bound<T>>();
        // SAFETY: drvdata is null, or what `probe_callback` left there; `remove_callback` is kept out by the lock.
        match unsafe { bound.as_ref() } {
            // SAFETY: By the caller's promise.
            Some(bound) => f(bound.data.as_arc_borrow(), unsafe { Self::core(dev) }),
            None => unbound,
        }
    }

    /// # Safety
    ///
    /// Called by the PCI core with the device's lock held, for a device without a driver; `id` is of our table, or dynamic
    /// with null data or that of an entry.
    unsafe extern "C" fn probe_callback(
        dev: *mut bindings::pci_dev,
        id: *const bindings::pci_device_id,
    ) -> c_int {
        // SAFETY: By the contract.
        let core = unsafe { Self::core(dev) };
        // SAFETY: `driver_data` of our table's entries is a `&'static T::IdInfo`; that of dynamic ids is null or checked by
        // the core to be that of an entry.
        let info = unsafe { ((*id).driver_data as *const T::IdInfo).as_ref() };
        from_result(|| {
            // SAFETY: `wait_released` is called below when probe fails, and else by `remove_callback`.
            let binding = unsafe { Binding::new(core)? };
            let bound = T::probe(core, &binding, info).and_then(|data| {
                Ok(KBox::new(
                    Bound {
                        data,
                        binding: binding.clone(),
                    },
                    GFP_KERNEL,
                )?)
            });
            match bound {
                Ok(bound) => {
                    // SAFETY: The device is valid; `remove_callback` takes it back.
                    unsafe { bindings::pci_set_drvdata(dev, KBox::into_raw(bound).cast()) };
                    Ok(0)
                }
                Err(error) => {
                    binding.wait_released();
                    Err(error)
                }
            }
        })
    }

    /// # Safety
    ///
    /// Called by the PCI core with the device's lock held, after a successful probe.
    unsafe extern "C" fn remove_callback(dev: *mut bindings::pci_dev) {
        // SAFETY: The device is valid.
        let bound = unsafe { bindings::pci_get_drvdata(dev) }.cast::<Bound<T>>();
        if bound.is_null() {
            return;
        }
        // SAFETY: The device is valid.
        unsafe { bindings::pci_set_drvdata(dev, core::ptr::null_mut()) };
        // SAFETY: What `probe_callback` stored, taken back once.
        let bound = KBox::into_inner(unsafe { KBox::from_raw(bound) });
        // SAFETY: By the contract.
        T::remove(bound.data, unsafe { Self::core(dev) });
        bound.binding.wait_released();
    }

    /// # Safety
    ///
    /// Called by the PCI core with the device's lock held.
    unsafe extern "C" fn shutdown_callback(dev: *mut bindings::pci_dev) {
        // SAFETY: By the contract.
        unsafe { Self::with(dev, (), |this, core| T::shutdown(this, core)) }
    }

    /// # Safety
    ///
    /// Called by the PCI core with the device's lock held.
    unsafe extern "C" fn sriov_configure_callback(
        dev: *mut bindings::pci_dev,
        count: c_int,
    ) -> c_int {
        from_result(|| {
            let vfs = u16::try_from(count)?;
            // SAFETY: By the contract.
            unsafe {
                Self::with(dev, Err(ENODEV), |this, core| {
                    T::sriov_configure(this, core, vfs)
                })
            }?;
            Ok(count)
        })
    }

    /// # Safety
    ///
    /// Called by the PCI core with the device's lock held.
    unsafe extern "C" fn sriov_vectors_callback(dev: *mut bindings::pci_dev) -> u32 {
        // SAFETY: By the contract.
        unsafe { Self::with(dev, 0, |this, _| T::sriov_vectors(this)) }
    }

    /// # Safety
    ///
    /// Called by the PCI core for a VF without a driver, with the locks of the VF and of its PF held.
    unsafe extern "C" fn sriov_set_vectors_callback(
        vf: *mut bindings::pci_dev,
        vectors: c_int,
    ) -> c_int {
        from_result(|| {
            let vectors = u32::try_from(vectors)?;
            // SAFETY: The device is a VF.
            let index = u16::try_from(unsafe { bindings::pci_iov_vf_id(vf) })?;
            // SAFETY: The device is valid.
            let pf = unsafe { bindings::pci_physfn(vf) };
            // SAFETY: The core calls this function of the PF's driver, so that is us.
            unsafe {
                Self::with(pf, Err(ENODEV), |this, _| {
                    T::sriov_set_vectors(this, index, vectors)
                })
            }?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the PCI core with the device's lock held.
    unsafe extern "C" fn reset_prepare_callback(dev: *mut bindings::pci_dev) {
        // SAFETY: By the contract.
        unsafe { Self::with(dev, (), |this, core| T::reset_prepare(this, core)) }
    }

    /// # Safety
    ///
    /// Called by the PCI core with the device's lock held.
    unsafe extern "C" fn reset_done_callback(dev: *mut bindings::pci_dev) {
        // SAFETY: By the contract.
        unsafe { Self::with(dev, (), |this, core| T::reset_done(this, core)) }
    }

    /// # Safety
    ///
    /// Called by the PCI core with the device's lock held.
    unsafe extern "C" fn error_detected_callback(
        dev: *mut bindings::pci_dev,
        state: bindings::pci_channel_state_t,
    ) -> bindings::pci_ers_result_t {
        let channel = match state {
            bindings::pci_channel_io_normal => Channel::Normal,
            bindings::pci_channel_io_frozen => Channel::Frozen,
            _ => Channel::Dead,
        };
        // SAFETY: By the contract.
        unsafe {
            Self::with(dev, Recovery::Disconnect, |this, core| {
                T::error_detected(this, core, channel)
            })
        }
        .raw()
    }

    /// # Safety
    ///
    /// Called by the PCI core with the device's lock held.
    unsafe extern "C" fn mmio_enabled_callback(
        dev: *mut bindings::pci_dev,
    ) -> bindings::pci_ers_result_t {
        // SAFETY: By the contract.
        unsafe {
            Self::with(dev, Recovery::Disconnect, |this, core| {
                T::mmio_enabled(this, core)
            })
        }
        .raw()
    }

    /// # Safety
    ///
    /// Called by the PCI core with the device's lock held.
    unsafe extern "C" fn slot_reset_callback(
        dev: *mut bindings::pci_dev,
    ) -> bindings::pci_ers_result_t {
        // SAFETY: By the contract.
        unsafe {
            Self::with(dev, Recovery::Disconnect, |this, core| {
                T::slot_reset(this, core)
            })
        }
        .raw()
    }

    /// # Safety
    ///
    /// Called by the PCI core with the device's lock held.
    unsafe extern "C" fn resume_callback(dev: *mut bindings::pci_dev) {
        // SAFETY: By the contract.
        unsafe { Self::with(dev, (), |this, core| T::resume(this, core)) }
    }
}
