// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Device, then software from where the plan says, against software alone: packets, copies and counters, for random rules.

#[path = "support/device.rs"]
mod device;
#[path = "support/hybrid.rs"]
mod hybrid;
#[path = "support/planner.rs"]
mod planner;
#[path = "support/stage.rs"]
mod stage;
mod support;

use device::Device;
use hybrid::{around, compare, wish};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn device_and_then_software_do_what_software_alone_does(
        wishes in prop::collection::vec(wish(), 1..14),
        gone in prop::collection::vec(0..14usize, 0..3),
        around in around(),
    ) {
        compare::<Device<'_>>(&wishes, &gone, &around, &planner::everything())?;
    }
}
