// SPDX-License-Identifier: GPL-2.0-only

//! An interface of the eswitch that is bound to a block of rules.

use super::{ports::Finder, read::with_rule, refusal::Refusal};
use crate::{device::Device, netdev::NetPort};
use kernel::{prelude::*, sync::Arc};
use oxnic_kapi::{
    extack::{refuse, Extack},
    net::{
        flow::{
            classifier::Counted,
            Binder,
            Binding,
            Cookie,
            NewRule,
            Rules, //
        },
        netdev::DeviceRef,
    },
};

/// Hears of the rules of a block, for one side of one interface.
struct Block {
    device: Arc<Device>,
    /// Keeps no interface from going: the kernel unbinds it first.
    netdev: DeviceRef,
}

impl NetPort {
    /// Binds the interface to a block. Only what is part of an eswitch, while that goes by rules, has any to take over.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: it has none to take over from this block, and the text says why.
    pub(crate) fn bind_flow_block(
        &self,
        binding: &Binding<'_>,
        extack: Option<&mut Extack>,
    ) -> Result<KBox<dyn Rules>> {
        let why = if !self.device.eswitch.is_switchdev() {
            "rules can be offloaded in eswitch mode switchdev only"
        } else if !matches!(binding.binder, Binder::Ingress | Binder::Egress) {
            "rules at ingress and egress can be offloaded only"
        } else if !binding.of_tc {
            "chains of nftables cannot be offloaded yet"
        } else {
            let block: KBox<dyn Rules> = KBox::new(
                Block {
                    device: self.device.clone(),
                    netdev: binding.device.into(),
                },
                GFP_KERNEL,
            )?;
            return Ok(block);
        };
        Err(refuse(extack, EOPNOTSUPP, fmt!("{}", why)))
    }
}

impl Rules for Block {
    fn replace(&self, rule: &NewRule<'_>, extack: Option<&mut Extack>) -> Result {
        let ports = Finder {
            device: &self.device,
            netdev: &self.netdev,
        };
        with_rule(rule, &ports, |_, _| Err(Refusal::NoPlan)).map_err(|refusal| refusal.tell(extack))
    }

    fn destroy(&self, _cookie: Cookie) {}

    fn stats(&self, _cookie: Cookie) -> Result<Counted> {
        Err(ENOENT)
    }
}
