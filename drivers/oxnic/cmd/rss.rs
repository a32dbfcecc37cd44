// SPDX-License-Identifier: GPL-2.0-only

//! Commands about receive hashing.

use super::run;
use crate::{
    command::{CommandError, Request},
    device::Device, //
};
use kernel::sync::Arc;
use oxnic_abi::{
    command::Opcode,
    rss::{RssConfig, RssId}, //
};

/// Sets a context; makes it if there is none.
pub(crate) fn set(
    device: &Arc<Device>,
    vport: u16,
    config: &RssConfig,
) -> Result<(), CommandError> {
    let words = config.to_words();
    run(
        device,
        Request::new(Opcode::RSS_SET).vport(vport).input(&words),
    )
}

/// Destroys a context other than 0.
pub(crate) fn destroy(device: &Arc<Device>, vport: u16, context: u16) -> Result<(), CommandError> {
    run(
        device,
        Request::new(Opcode::RSS_DESTROY)
            .vport(vport)
            .parameters(&RssId { context }),
    )
}
