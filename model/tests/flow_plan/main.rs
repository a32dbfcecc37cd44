// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The reference device, and then software from where the plan of `oxnic_offload` says, against software alone: for kernels that can go
//! on in a chain and for those that cannot, for devices that can take back what they did and those that cannot, in tunnels too.

mod engine;
#[rustfmt::skip]
#[path = "../../../offload/tests/support/hybrid.rs"]
mod hybrid;
#[rustfmt::skip]
#[path = "../../../offload/tests/support/planner.rs"]
mod planner;
#[rustfmt::skip]
#[path = "../../../offload/tests/support/stage.rs"]
mod stage;
#[rustfmt::skip]
#[path = "../../../offload/tests/support/mod.rs"]
mod support;

use engine::Reference;
use hybrid::{around, compare, wish};
use oxnic_model::nic::flow::limits;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn device_and_then_software_do_what_software_alone_does(
        wishes in prop::collection::vec(wish(), 1..14),
        gone in prop::collection::vec(0..14usize, 0..3),
        around in around(),
    ) {
        compare::<Reference>(&wishes, &gone, &around, &limits::capability())?;
    }
}
