// SPDX-License-Identifier: GPL-2.0-only

//! Devlink instances and ports, the mode of an embedded switch, firmware, reload, resources, and health reporters.
//!
//! An [`Instance`] is allocated for a bound device and given its ports; [`Registered`] shows it to user space. References
//! run from the port to the instance, and from the network device to the port, so that each goes before what it belongs to.
//! Devlink has its own lock, which is held around callbacks, and which a driver takes with [`Instance::lock`].

mod eswitch;
mod flash;
mod health;
mod info;
mod instance;
mod lock;
mod package;
mod param;
mod port;
mod rate;
mod region;
mod reload;
mod resource;

pub use eswitch::{Eswitch, Mode};
pub use flash::{Firmware, Update};
pub use health::{Abilities, Health, Message, Reporter};
pub use info::InfoRequest;
pub use instance::{Instance, Operations, Registered};
pub use lock::Guard;
pub use package::{Component, Failure, Target};
pub use param::{Parameter, Parameters, Value, Values};
pub use port::{Flavour, Function, Port, SwitchId, HW_ADDR_LENGTH};
pub use rate::{LeafRates, RateObject, RateSetting, Rates, RATE_CLASSES};
pub use region::{Content, Region};
pub use reload::{Action, Reload};
pub use resource::{Occupancy, Resource, Resources};
