// SPDX-License-Identifier: GPL-2.0-only

//! Packages of firmware (PLDM, DMTF DSP0267), which the kernel takes apart (`pldmfw`).
//!
//! The kernel's errors are numbers; here they get words. It also takes the number of each component for a bit in the records'
//! bitmaps without looking how long these are; [`check`] does. And where it is asked for one component only, it loses the memory of
//! all others; so it is asked for all, and those that are not wanted are passed over here.

use crate::pci::Binding;
use core::{mem::offset_of, ptr::NonNull};
use kernel::{error::to_result, prelude::*};
use oxnic_bindings as bindings;

/// A component of a package that is for this device.
pub struct Component<'a> {
    /// Its number, the maker's choice.
    pub number: u16,
    /// Its image.
    pub image: &'a [u8],
}

/// Where components go.
pub trait Target {
    /// Takes a component.
    ///
    /// # Errors
    ///
    /// Ends the whole, and comes out of it as [`Failure::Target`].
    fn component(&mut self, component: &Component<'_>) -> Result;

    /// All components have been taken.
    ///
    /// # Errors
    ///
    /// As above.
    fn finish(&mut self) -> Result;
}

/// Why a package was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Something is wrong with it.
    Package(Error, &'static str),
    /// The target has refused it.
    Target(Error),
}

/// What the kernel's library has a pointer to. C sees `raw`, the rest is behind it.
#[repr(C)]
struct Context<'a> {
    raw: bindings::pldmfw,
    target: &'a mut dyn Target,
    /// The only component that is wanted.
    only: Option<u16>,
    /// The target was given a component.
    found: bool,
    /// The error is the target's.
    refused: bool,
}

impl Context<'_> {
    /// # Safety
    ///
    /// `raw` is the one in a context that nobody else uses for `'a`.
    unsafe fn from_raw<'a>(raw: *mut bindings::pldmfw) -> &'a mut Self {
        // SAFETY: By the contract. The pointer was made from one to the whole.
        unsafe { &mut *raw.byte_sub(offset_of!(Self, raw)).cast::<Self>() }
    }

    fn note(&mut self, result: Result) -> c_int {
        self.refused |= result.is_err();
        crate::callback::errno(result)
    }
}

const OPS: bindings::pldmfw_ops = {
    // SAFETY: All zero is a valid set of operations: none.
    let mut ops: bindings::pldmfw_ops = unsafe { core::mem::zeroed() };
    ops.match_record = Some(match_callback);
    ops.flash_component = Some(component_callback);
    ops.finalize_update = Some(finish_callback);
    ops
};

/// Takes a package apart. `bytes` are those of `file`.
pub(super) fn unpack(
    binding: &Binding,
    file: &bindings::firmware,
    bytes: &[u8],
    only: Option<u16>,
    target: &mut dyn Target,
) -> core::result::Result<(), Failure> {
    // SAFETY: Looks whether there is something.
    if !unsafe { bindings::oxnic_has_pldmfw() } {
        return Err(Failure::Package(
            EOPNOTSUPP,
            "this kernel has no library to read it with (CONFIG_PLDMFW)",
        ));
    }
    check(bytes).map_err(|text| Failure::Package(EINVAL, text))?;
    let mut context = Context {
        raw: bindings::pldmfw {
            ops: &OPS,
            dev: binding.raw_device(),
            component_identifier: 0,
            mode: bindings::pldmfw_update_mode_PLDMFW_UPDATE_MODE_FULL,
        },
        target,
        only,
        found: false,
        refused: false,
    };
    let whole: NonNull<Context<'_>> = NonNull::from(&mut context);
    // SAFETY: The context is whole and ours for the call, its device is a bound PCI device, and the file is not empty: it was looked at.
    // The library is there, and no component has a number beyond the bits of a record.
    let result = to_result(unsafe {
        bindings::oxnic_pldmfw_flash_image(
            &raw mut (*whole.as_ptr()).raw,
            core::ptr::from_ref(file),
        )
    });
    result.map_err(|error| {
        if context.refused {
            Failure::Target(error)
        } else if error == NOT_THERE {
            Failure::Package(ENOENT, "it does not have this component")
        } else {
            Failure::Package(error, describe(error))
        }
    })
}

/// First bytes of a package: the UUID of header format 1.
const IDENTIFIER: [u8; 16] = [
    0xf0, 0x18, 0x87, 0x8c, 0xcb, 0x7d, 0x49, 0x43, 0x98, 0x00, 0xa0, 0x2f, 0x05, 0x9a, 0xca, 0x02,
];
/// Where in a header the length of the bitmaps stands, in bits.
const BITMAP: usize = 32;
/// Where in a header the length of the package's version stands, which is behind it.
const VERSION: usize = 35;
/// Least length of a record.
const RECORD: usize = 11;
const TRUNCATED: &str = "it is truncated, or its lengths do not fit";

fn byte(package: &[u8], at: usize) -> core::result::Result<u8, &'static str> {
    package.get(at).copied().ok_or(TRUNCATED)
}

fn word(package: &[u8], at: usize) -> core::result::Result<u16, &'static str> {
    Ok(u16::from_le_bytes([
        byte(package, at)?,
        byte(package, at.saturating_add(1))?,
    ]))
}

/// Looks at the layout of a package as far as to the number of its components: each has a bit, and there are no more than the
/// library, which counts them in a byte, can count.
///
/// # Errors
///
/// What is wrong with it. The rest is for the library to look at.
fn check(package: &[u8]) -> core::result::Result<(), &'static str> {
    if !package.starts_with(&IDENTIFIER) {
        return Err("it is no PLDM firmware package");
    }
    let bits = word(package, BITMAP)?;
    let mut at = (VERSION + 1).saturating_add(byte(package, VERSION)?.into());
    let records = byte(package, at)?;
    at = at.saturating_add(1);
    for _ in 0..records {
        let length = usize::from(word(package, at)?);
        if length < RECORD {
            return Err(TRUNCATED);
        }
        at = at.saturating_add(length);
    }
    let components = word(package, at)?;
    if components > bits || components > u8::MAX.into() {
        return Err("it has more components than its records have bits");
    }
    Ok(())
}

/// What the library is told, and gives back, when it has come to the end and the component that is wanted was not there. No error of
/// its own is this one.
const NOT_THERE: Error = ENODATA;

/// What an error of the library means, by the step that it comes from.
fn describe(error: Error) -> &'static str {
    if error == ENOENT {
        "it is not for this device"
    } else if error == EFAULT {
        TRUNCATED
    } else if error == EBADMSG {
        "the checksum of its header is wrong"
    } else if error == EOPNOTSUPP {
        "its header has an unknown format"
    } else if error == ENOMEM {
        "no memory"
    } else {
        "its header makes no sense"
    }
}

/// # Safety
///
/// Called by the library with what [`unpack`] gave it.
unsafe extern "C" fn match_callback(
    raw: *mut bindings::pldmfw,
    record: *mut bindings::pldmfw_record,
) -> bool {
    // SAFETY: By the contract, and the device is a PCI device.
    unsafe { bindings::oxnic_pldmfw_match_record(raw, record) }
}

/// # Safety
///
/// Called by the library with what [`unpack`] gave it, and a component whose data is in the file.
unsafe extern "C" fn component_callback(
    raw: *mut bindings::pldmfw,
    component: *mut bindings::pldmfw_component,
) -> c_int {
    // SAFETY: By the contract; the file outlives the call.
    let (context, component) = unsafe {
        let component = &*component;
        let image = core::slice::from_raw_parts(
            component.component_data,
            component.component_size as usize,
        );
        let component = Component {
            number: component.identifier,
            image,
        };
        (Context::from_raw(raw), component)
    };
    if context.only.is_some_and(|only| only != component.number) {
        return 0;
    }
    context.found = true;
    let result = context.target.component(&component);
    context.note(result)
}

/// # Safety
///
/// Called by the library with what [`unpack`] gave it.
unsafe extern "C" fn finish_callback(raw: *mut bindings::pldmfw) -> c_int {
    // SAFETY: By the contract.
    let context = unsafe { Context::from_raw(raw) };
    if context.only.is_some() && !context.found {
        return NOT_THERE.to_errno();
    }
    let result = context.target.finish();
    context.note(result)
}

#[cfg(CONFIG_KUNIT)]
#[kunit_tests(oxnic_kapi_package)]
mod tests {
    use super::*;

    /// A package of one record and so many components, up to their number.
    fn package(bits: u16, components: u16) -> Result<KVec<u8>> {
        let mut bytes = KVec::new();
        bytes.extend_from_slice(&IDENTIFIER, GFP_KERNEL)?;
        bytes.extend_from_slice(&[1; 16], GFP_KERNEL)?;
        bytes.extend_from_slice(&bits.to_le_bytes(), GFP_KERNEL)?;
        // A version of three bytes, one record.
        bytes.extend_from_slice(&[1, 3, b'1', b'.', b'0', 1], GFP_KERNEL)?;
        bytes.extend_from_slice(&[12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff], GFP_KERNEL)?;
        bytes.extend_from_slice(&components.to_le_bytes(), GFP_KERNEL)?;
        Ok(bytes)
    }

    #[test]
    fn each_component_has_a_bit() -> Result {
        for (bits, components, fits) in [
            (8, 8, true),
            (8, 9, false),
            (0, 0, true),
            (0, 1, false),
            (256, 255, true),
            (256, 256, false),
            (65528, 65535, false),
        ] {
            let found = check(&package(bits, components)?);
            assert_eq!(found.is_ok(), fits);
        }
        Ok(())
    }

    #[test]
    fn a_package_that_ends_early_is_truncated() -> Result {
        let whole = package(8, 3)?;
        assert_eq!(check(&whole), Ok(()));
        for length in 0..whole.len() {
            assert!(check(&whole[..length]).is_err());
        }
        Ok(())
    }

    #[test]
    fn each_byte_may_be_anything() -> Result {
        for value in [0, 1, 10, 0x7f, 0xff] {
            for at in 0..package(8, 3)?.len() {
                let mut bytes = package(8, 3)?;
                bytes[at] = value;
                // What is said of it matters less than that something is.
                let _ = check(&bytes);
            }
        }
        Ok(())
    }
}
