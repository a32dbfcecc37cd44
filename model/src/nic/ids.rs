// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Names of functions and vports inside the device, and their numbers in the eswitch.

use crate::host::Function;

/// A function: 0 is the PF, n is VF n-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionId(pub u16);

impl FunctionId {
    /// The physical function.
    pub const PF: Self = Self(0);

    /// A virtual function.
    pub fn vf(index: u16) -> Self {
        Self(index.saturating_add(1))
    }

    /// As the bus calls it.
    pub fn bus(self) -> Function {
        match self.vf_index() {
            None => Function::Pf,
            Some(index) => Function::Vf(index),
        }
    }

    /// Whether it is the PF.
    pub fn is_pf(self) -> bool {
        self == Self::PF
    }

    /// Which VF it is.
    pub fn vf_index(self) -> Option<u16> {
        self.0.checked_sub(1)
    }

    /// Place in the device's list of functions.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl From<Function> for FunctionId {
    fn from(function: Function) -> Self {
        match function {
            Function::Pf => Self::PF,
            Function::Vf(index) => Self::vf(index),
        }
    }
}

/// A vport: first those of the PF, one a wire port, then those of the VFs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VportId(pub u16);

impl VportId {
    /// Place in the device's list of vports.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Number in the eswitch of a wire port.
pub fn wire_number(port: u8) -> u16 {
    1 + u16::from(port)
}

/// Number in the eswitch of the PF's vport on a wire port.
pub fn pf_number(port: u8) -> u16 {
    0x10 + u16::from(port)
}

/// Number in the eswitch of a VF.
pub fn vf_number(index: u16) -> u16 {
    0x100 + index
}

/// What has a number in the eswitch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EswitchPort {
    /// A wire port.
    Wire(u8),
    /// A vport.
    Vport(VportId),
}
