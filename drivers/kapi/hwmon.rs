// SPDX-License-Identifier: GPL-2.0-only

//! Hardware monitoring: sensors that user space sees below `/sys/class/hwmon`, as the program `sensors` shows them.
//!
//! A [`Registration`] owns the driver's [`Operations`]. Dropping it takes the sensors from user space first, which waits for
//! operations under way.

use crate::callback::errno;
use crate::pci::Binding;
use core::ptr::NonNull;
use kernel::{error::from_err_ptr, prelude::*};
use oxnic_bindings as bindings;

/// Most sensors of a kind.
pub const CHANNELS: usize = 16;

/// What a sensor measures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Temperature in thousandths of a degree Celsius.
    Temp,
    /// Voltage in millivolt.
    In,
    /// Power in microwatt.
    Power,
}

/// What there is to know of a sensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attribute {
    /// What it measures.
    Input,
    /// Its name.
    Label,
    /// Highest value that is wanted.
    Max,
    /// Highest value that does no harm.
    Crit,
    /// Highest value that was measured.
    Highest,
}

/// Kinds, the core's number of each, and its numbers of the attributes, in the order of [`ATTRIBUTES`].
const KINDS: [(Kind, bindings::hwmon_sensor_types, [u32; 5]); 3] = [
    (
        Kind::Temp,
        bindings::hwmon_sensor_types_hwmon_temp,
        [
            bindings::hwmon_temp_attributes_hwmon_temp_input,
            bindings::hwmon_temp_attributes_hwmon_temp_label,
            bindings::hwmon_temp_attributes_hwmon_temp_max,
            bindings::hwmon_temp_attributes_hwmon_temp_crit,
            bindings::hwmon_temp_attributes_hwmon_temp_highest,
        ],
    ),
    (
        Kind::In,
        bindings::hwmon_sensor_types_hwmon_in,
        [
            bindings::hwmon_in_attributes_hwmon_in_input,
            bindings::hwmon_in_attributes_hwmon_in_label,
            bindings::hwmon_in_attributes_hwmon_in_max,
            bindings::hwmon_in_attributes_hwmon_in_crit,
            bindings::hwmon_in_attributes_hwmon_in_highest,
        ],
    ),
    (
        Kind::Power,
        bindings::hwmon_sensor_types_hwmon_power,
        [
            bindings::hwmon_power_attributes_hwmon_power_input,
            bindings::hwmon_power_attributes_hwmon_power_label,
            bindings::hwmon_power_attributes_hwmon_power_max,
            bindings::hwmon_power_attributes_hwmon_power_crit,
            bindings::hwmon_power_attributes_hwmon_power_input_highest,
        ],
    ),
];
const ATTRIBUTES: [Attribute; 5] = [
    Attribute::Input,
    Attribute::Label,
    Attribute::Max,
    Attribute::Crit,
    Attribute::Highest,
];

/// What the core's numbers mean; `None` for what was not asked of it.
fn known(kind: bindings::hwmon_sensor_types, attribute: u32) -> Option<(Kind, Attribute)> {
    let (kind, _, numbers) = KINDS.iter().find(|(_, number, _)| *number == kind)?;
    let at = numbers.iter().position(|number| *number == attribute)?;
    Some((*kind, *ATTRIBUTES.get(at)?))
}

/// For each of so many channels the bits of all attributes, ended by 0.
const fn channels(kind: usize) -> [u32; CHANNELS + 1] {
    let (mut bits, mut at) = (0, 0);
    while at < ATTRIBUTES.len() {
        bits |= 1 << KINDS[kind].2[at];
        at += 1;
    }
    let mut config = [bits; CHANNELS + 1];
    config[CHANNELS] = 0;
    config
}

static CONFIG: [[u32; CHANNELS + 1]; 3] = [channels(0), channels(1), channels(2)];

/// A table that the core only reads.
struct Table<T>(T);

// SAFETY: It is never changed, and what it points to is not either.
unsafe impl<T> Sync for Table<T> {}

static CHANNEL_INFO: Table<[bindings::hwmon_channel_info; 3]> = {
    const fn info(kind: usize) -> bindings::hwmon_channel_info {
        bindings::hwmon_channel_info {
            type_: KINDS[kind].1,
            config: CONFIG[kind].as_ptr(),
        }
    }
    Table([info(0), info(1), info(2)])
};

static CHIP_CHANNELS: Table<[*const bindings::hwmon_channel_info; 4]> = Table([
    &CHANNEL_INFO.0[0],
    &CHANNEL_INFO.0[1],
    &CHANNEL_INFO.0[2],
    core::ptr::null(),
]);

/// What a driver tells of its sensors. Sensors of a kind are numbered from 0. All of it is called from a task, at the same time
/// for several callers; it may sleep.
pub trait Operations: Send + Sync + 'static {
    /// Whether there is such a sensor, and such an attribute of it. It does not change.
    fn is_visible(&self, kind: Kind, channel: usize, attribute: Attribute) -> bool;

    /// A number, in the unit of the kind. Not called for [`Attribute::Label`].
    ///
    /// # Errors
    ///
    /// Shown to who reads it.
    fn read(&self, kind: Kind, channel: usize, attribute: Attribute) -> Result<i64>;

    /// The name of a sensor.
    fn label(&self, kind: Kind, channel: usize) -> Option<&CStr>;
}

struct Inner<T> {
    chip: bindings::hwmon_chip_info,
    operations: T,
}

/// Sensors that user space sees.
///
/// # Invariants
///
/// `device` was registered with `inner`'s table, and with its operations as data, and has not been unregistered.
pub struct Registration<T: Operations> {
    device: NonNull<bindings::device>,
    _inner: Pin<KBox<Inner<T>>>,
    // Keeps the parent bound.
    _binding: Binding,
}

// SAFETY: The core locks by itself, and `T` is `Send` and `Sync`.
unsafe impl<T: Operations> Send for Registration<T> {}
// SAFETY: As above.
unsafe impl<T: Operations> Sync for Registration<T> {}

impl<T: Operations> Registration<T> {
    const OPERATIONS: bindings::hwmon_ops = bindings::hwmon_ops {
        visible: 0,
        is_visible: Some(Self::visible_callback),
        read: Some(Self::read_callback),
        read_string: Some(Self::label_callback),
        write: None,
    };

    /// Registers the sensors of a bound device under a name without `-`, spaces and `*`. Operations may be called before this returns.
    /// Sleeps.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], and whatever else the core fails with.
    pub fn new(binding: &Binding, name: &'static CStr, operations: T) -> Result<Self> {
        let inner = Inner {
            chip: bindings::hwmon_chip_info {
                ops: &Self::OPERATIONS,
                info: CHIP_CHANNELS.0.as_ptr(),
            },
            operations,
        };
        let inner = KBox::pin(inner, GFP_KERNEL)?;
        let data: *const T = &inner.operations;
        // SAFETY: The table and the data stay where they are until the device is unregistered; the parent is bound for as long.
        let device = unsafe {
            bindings::hwmon_device_register_with_info(
                binding.raw_device(),
                name.as_char_ptr(),
                data.cast_mut().cast(),
                &inner.chip,
                core::ptr::null_mut(),
            )
        };
        let device = NonNull::new(from_err_ptr(device)?).ok_or(ENODEV)?;
        // INVARIANT: Just registered.
        Ok(Self {
            device,
            _inner: inner,
            _binding: binding.clone(),
        })
    }

    /// # Safety
    ///
    /// `device` is registered with data of type `T`, and stays so for `'a`.
    unsafe fn operations<'a>(device: *mut bindings::device) -> &'a T {
        // SAFETY: By the contract of this function.
        unsafe { &*(*device).driver_data.cast::<T>() }
    }

    /// # Safety
    ///
    /// The core calls this while it registers a device; `data` is what it was given.
    unsafe extern "C" fn visible_callback(
        data: *const c_void,
        kind: bindings::hwmon_sensor_types,
        attribute: u32,
        channel: c_int,
    ) -> bindings::umode_t {
        // SAFETY: By the contract of this function.
        let operations = unsafe { &*data.cast::<T>() };
        let is_there = known(kind, attribute).is_some_and(|(kind, attribute)| {
            operations.is_visible(kind, channel as usize, attribute)
        });
        if is_there {
            0o444
        } else {
            0
        }
    }

    /// # Safety
    ///
    /// The core calls this for a registered device, which is not unregistered before it returns; `out` is the caller's.
    unsafe extern "C" fn read_callback(
        device: *mut bindings::device,
        kind: bindings::hwmon_sensor_types,
        attribute: u32,
        channel: c_int,
        out: *mut c_long,
    ) -> c_int {
        // SAFETY: By the contract of this function.
        let (operations, out) = unsafe { (Self::operations(device), &mut *out) };
        let value = known(kind, attribute).ok_or(EOPNOTSUPP);
        let value =
            value.and_then(|(kind, attribute)| operations.read(kind, channel as usize, attribute));
        errno(value.map(|value| *out = value as c_long))
    }

    /// # Safety
    ///
    /// As [`Self::read_callback`].
    unsafe extern "C" fn label_callback(
        device: *mut bindings::device,
        kind: bindings::hwmon_sensor_types,
        attribute: u32,
        channel: c_int,
        out: *mut *const c_char,
    ) -> c_int {
        // SAFETY: By the contract of this function.
        let (operations, out) = unsafe { (Self::operations(device), &mut *out) };
        let label = match known(kind, attribute) {
            Some((kind, Attribute::Label)) => operations.label(kind, channel as usize),
            _ => None,
        };
        // The core copies the text before the callback's device can go.
        errno(
            label
                .ok_or(EOPNOTSUPP)
                .map(|label| *out = label.as_char_ptr()),
        )
    }
}

impl<T: Operations> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. No operation runs after this, so their owner can go.
        unsafe { bindings::hwmon_device_unregister(self.device.as_ptr()) };
    }
}

#[cfg(CONFIG_KUNIT)]
#[kunit_tests(oxnic_kapi_hwmon)]
mod tests {
    use super::*;

    #[test]
    fn each_attribute_has_a_number_of_its_own() {
        for (at, (kind, number, numbers)) in KINDS.iter().enumerate() {
            for (attribute, wanted) in numbers.iter().zip(ATTRIBUTES) {
                assert_eq!(known(*number, *attribute), Some((*kind, wanted)));
                assert!(CONFIG[at][0] >> attribute & 1 == 1);
            }
            assert_eq!(CONFIG[at][0].count_ones() as usize, ATTRIBUTES.len());
            assert_eq!(CONFIG[at][CHANNELS], 0);
        }
        let reset = bindings::hwmon_temp_attributes_hwmon_temp_reset_history;
        assert_eq!(known(KINDS[0].1, reset), None);
    }
}
