// SPDX-License-Identifier: GPL-2.0-only

//! The Oxnic network driver, for physical and virtual functions.

use kernel::prelude::*;

struct OxnicModule;

impl kernel::Module for OxnicModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(OxnicModule)
    }
}

module! {
    type: OxnicModule,
    name: "oxnic",
    authors: ["The Oxnic authors"],
    description: "Oxnic SmartNIC network driver",
    license: "GPL v2",
}
