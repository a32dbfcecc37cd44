// SPDX-License-Identifier: GPL-2.0-only

//! What `devlink port function rate` asks, and why it is refused. The lock of the devlink instance is held.

use super::RateError;
use crate::{
    command::{Cause, CommandError},
    device::Device, //
};
use kernel::{prelude::*, sync::Arc};
use oxnic_abi::{
    command::{Qualifier, Status},
    rate::{rate_fields, RateConfig, CLASS_SHARE_MAX}, //
};
use oxnic_kapi::{
    devlink::{RateObject, RateSetting, Rates, RATE_CLASSES},
    extack::{refuse, Extack}, //
};

/// Rates as devlink sees them, of a device that has some.
pub(crate) struct Verbs(pub(crate) Arc<Device>);

/// A setting as users know it.
fn name(setting: &RateSetting) -> &'static str {
    match setting {
        RateSetting::Share(_) => "tx_share",
        RateSetting::Max(_) => "tx_max",
        RateSetting::Priority(_) => "tx_priority",
        RateSetting::Weight(_) => "tx_weight",
        RateSetting::Classes(_) => "tc-bw",
    }
}

/// Says why the device did not take a setting. The kernel has room for 80 characters.
fn refused(extack: Option<&mut Extack>, name: &str, error: RateError) -> Error {
    let code = Error::from(error);
    let why = match error {
        RateError::Command(CommandError {
            cause: Cause::Refused {
                status, qualifier, ..
            },
            ..
        }) => reason(status, qualifier),
        _ => None,
    };
    match why {
        Some(why) => refuse(extack, code, fmt!("{}: {}", name, why)),
        None => refuse(extack, code, fmt!("{}: {}", name, error)),
    }
}

/// What an error of the device means for whoever sets a rate.
fn reason(status: Status, qualifier: Qualifier) -> Option<&'static str> {
    match (status, qualifier) {
        (Status::EINVAL, Qualifier::CONFLICT) => {
            Some("tx_share would be over tx_max, its own or that of a node above")
        }
        (Status::ENOSPC, Qualifier::LIMIT) => {
            Some("tx_share would be over the speed of the wire port, all in all")
        }
        _ => None,
    }
}

impl Verbs {
    /// A setting as a change of the device's, if it is within limits.
    fn change(&self, setting: RateSetting, extack: Option<&mut Extack>) -> Result<RateConfig> {
        let caps = self.0.rates.caps().ok_or(EOPNOTSUPP)?;
        let name = name(&setting);
        let limit = |extack, within: bool, most: u64| {
            within
                .then_some(())
                .ok_or_else(|| refuse(extack, EINVAL, fmt!("{}: at most {}", name, most)))
        };
        let change = RateConfig::ZERO;
        Ok(match setting {
            RateSetting::Share(share) => {
                limit(extack, share <= caps.rate_max, caps.rate_max)?;
                RateConfig {
                    fields: rate_fields::SHARE,
                    share,
                    ..change
                }
            }
            RateSetting::Max(max) => {
                limit(extack, max <= caps.rate_max, caps.rate_max)?;
                RateConfig {
                    fields: rate_fields::MAX,
                    max,
                    ..change
                }
            }
            RateSetting::Priority(priority) => {
                limit(
                    extack,
                    priority <= caps.priority_max,
                    caps.priority_max.into(),
                )?;
                RateConfig {
                    fields: rate_fields::PRIORITY,
                    priority,
                    ..change
                }
            }
            RateSetting::Weight(weight) => {
                limit(extack, weight <= caps.weight_max, caps.weight_max.into())?;
                RateConfig {
                    fields: rate_fields::WEIGHT,
                    weight,
                    ..change
                }
            }
            RateSetting::Classes(shares) => {
                let most = shares.iter().copied().max().unwrap_or(0);
                let within = most <= CLASS_SHARE_MAX.into();
                limit(extack, within, CLASS_SHARE_MAX.into())?;
                RateConfig {
                    fields: rate_fields::CLASSES,
                    classes: shares_of(&shares),
                    ..change
                }
            }
        })
    }
}

/// Shares within the limit, as the device has them.
fn shares_of(shares: &[u32; RATE_CLASSES]) -> [u8; RATE_CLASSES] {
    shares.map(|share| share.min(CLASS_SHARE_MAX.into()) as u8)
}

impl Rates for Verbs {
    fn set(
        &self,
        object: RateObject,
        setting: RateSetting,
        mut extack: Option<&mut Extack>,
    ) -> Result {
        let change = self.change(setting, extack.as_deref_mut())?;
        self.0
            .set_rate(object, change)
            .map_err(|error| refused(extack, name(&setting), error))
    }

    fn set_parent(
        &self,
        object: RateObject,
        parent: Option<u16>,
        extack: Option<&mut Extack>,
    ) -> Result {
        let change = RateConfig {
            fields: rate_fields::PARENT,
            parent: parent.unwrap_or(0),
            ..RateConfig::ZERO
        };
        let depth = self.0.rates.caps().map_or(0, |caps| caps.depth);
        self.0.set_rate(object, change).map_err(|error| {
            // The device has no other limit for it that is not one of what is promised.
            if Error::from(error) == ENOSPC {
                return refuse(
                    extack,
                    ENOSPC,
                    fmt!(
                        "parent: more than {} nodes in a row, or tx_share over the wire's speed",
                        depth
                    ),
                );
            }
            refused(extack, "parent", error)
        })
    }

    fn add_node(&self, extack: Option<&mut Extack>) -> Result<u16> {
        if !self.0.eswitch.is_switchdev() {
            return Err(refuse(
                extack,
                EOPNOTSUPP,
                fmt!("node: there are nodes in switchdev mode only"),
            ));
        }
        let most = self.0.rates.caps().map_or(0, |caps| caps.nodes);
        self.0.add_rate_node().map_err(|error| match error {
            RateError::Full => refuse(extack, ENOSPC, fmt!("node: all {} are in use", most)),
            error => refused(extack, "node", error),
        })
    }

    fn remove_node(&self, node: u16) {
        self.0.remove_rate_node(node);
    }
}
