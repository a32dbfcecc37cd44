// SPDX-License-Identifier: GPL-2.0-only

//! An interface of the eswitch that is bound to a block of rules: one of tc, or a chain of nftables. What a chain is refused for goes to the
//! log, as nobody else gets it.

use super::{
    engine::{Engine, Side},
    install::{Asked, Stays, Unread},
    member::Member,
    ports::{self, Finder},
    read::{anything, with_rule, without_actions},
    refusal::Refusal,
    refused::Refused,
    store::{BlockSide, Store},
    tunnel::Tunnel,
    upper::Upper, //
};
use crate::{device::Device, netdev::NetPort};
use kernel::{prelude::*, sync::Arc};
use oxnic_abi::flow::port::FlowDirection;
use oxnic_kapi::{
    extack::{refuse, Extack},
    net::{
        features,
        flow::{
            classifier::Counted,
            Binder,
            Binding,
            Cookie,
            NewRule,
            Position,
            Rules, //
        },
        netdev::{Device as NetDevice, DeviceRef}, //
    },
};

/// Hears of the rules of a block, for one side of one interface. Unbinds the port when dropped.
struct Block {
    device: Arc<Device>,
    engine: Arc<Engine>,
    member: Member,
    /// Which packets of a port the rules are of; none: those of a tunnel or VLAN device.
    side: Option<Side>,
    /// Keeps no interface from going: the kernel unbinds it first.
    netdev: DeviceRef,
    /// What software does instead.
    refused: Arc<Refused>,
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
        let direction = match binding.binder {
            Binder::Ingress => Some(FlowDirection::INGRESS),
            Binder::Egress => Some(FlowDirection::EGRESS),
            _ => None,
        };
        if !self.device.eswitch.takes_rules() {
            // The user did not ask for it, and would get the text as a warning.
            return Err(EOPNOTSUPP);
        }
        let Some(direction) = direction else {
            let why = "rules at ingress and egress can be offloaded only";
            return Err(refuse(extack, EOPNOTSUPP, fmt!("{}", why)));
        };
        self.bind(binding, direction).map_err(|refusal| {
            // With both in software the device would have one of them, and be asked first whichever comes first there.
            let occupied = matches!(refusal, Refusal::Occupied { .. });
            let error = if occupied { EBUSY } else { EOPNOTSUPP };
            // Of any other error than EOPNOTSUPP tc says no more than that there was one.
            if !binding.of_tc || occupied {
                log(&self.device, binding.device, &refusal);
            }
            refuse(extack, error, format_args!("{refusal}"))
        })
    }

    /// Whether rules of this interface are in the device.
    pub(crate) fn has_flow_rules(&self) -> bool {
        let port = ports::number(&self.device, self);
        port.is_some_and(|port| self.device.has_flow_rules(port.0 as u16))
    }

    fn bind(
        &self,
        binding: &Binding<'_>,
        direction: FlowDirection,
    ) -> Result<KBox<dyn Rules>, Refusal> {
        let netdev: DeviceRef = binding.device.into();
        if !binding.of_tc && netdev.features() & features::HW_TC == 0 {
            return Err(Refusal::Off);
        }
        let port = ports::number(&self.device, self).ok_or(Refusal::Interface("block"))?;
        let side = Side {
            port: port.0 as u16,
            direction,
        };
        let block = BlockSide {
            block: binding.block,
            direction,
        };
        let engine = self.device.join_flow()?;
        let bound = engine.bind(&self.device, binding, block, side);
        let store = bound.inspect_err(|_| self.device.leave_flow())?;
        Block::hear(&self.device, engine, store, Some(side), netdev)
    }
}

/// Binds a tunnel device to a block.
///
/// # Errors
///
/// It has none to take over from this block.
pub(crate) fn bind_tunnel(
    device: &Arc<Device>,
    binding: &Binding<'_>,
) -> Result<KBox<dyn Rules>, Refusal> {
    let tunnel = Tunnel::read(binding.device, 0)?;
    bind_above(device, binding, |engine, block| {
        engine.bind_tunnel(device, block, tunnel)
    })
}

/// Binds a VLAN device to a block; none where it is none of this eswitch's.
///
/// # Errors
///
/// It has none to take over from this block.
pub(crate) fn bind_upper(
    device: &Arc<Device>,
    binding: &Binding<'_>,
) -> Result<Option<KBox<dyn Rules>>, Refusal> {
    let Some(upper) = Upper::read(device, binding.device)? else {
        return Ok(None);
    };
    let bound = bind_above(device, binding, |engine, block| {
        engine.bind_upper(device, block, upper)
    });
    bound.map(Some)
}

fn bind_above(
    device: &Arc<Device>,
    binding: &Binding<'_>,
    bind: impl FnOnce(&Engine, BlockSide) -> Result<Arc<Store>, Refusal>,
) -> Result<KBox<dyn Rules>, Refusal> {
    let block = BlockSide {
        block: binding.block,
        direction: FlowDirection::INGRESS,
    };
    let engine = device.join_flow()?;
    let bound = bind(&engine, block);
    let store = bound.inspect_err(|_| device.leave_flow())?;
    Block::hear(device, engine, store, None, binding.device.into())
}

impl Block {
    /// What hears of the rules of a binding that the engine has made. Where there is no memory for it, the binding is undone.
    fn hear(
        device: &Arc<Device>,
        engine: Arc<Engine>,
        store: Arc<Store>,
        side: Option<Side>,
        netdev: DeviceRef,
    ) -> Result<KBox<dyn Rules>, Refusal> {
        let member = Member::new(&store).map_err(Refusal::from);
        let heard = member.and_then(|member| {
            let refused = Refused::new(device, netdev.clone(), side, store.clone())?;
            Ok((member, refused))
        });
        let (member, refused) = heard.inspect_err(|_| undo(device, &engine, &store, side))?;
        let bound = Self {
            device: device.clone(),
            engine,
            member,
            side,
            netdev,
            refused,
        };
        Ok(KBox::new(bound, GFP_KERNEL)?)
    }

    /// Takes over a rule of a chain of nftables. Not one function with the next, whose frame is large, below which there is the depth of nftables.
    #[inline(never)]
    fn replace_in_chain(&self, new: &NewRule<'_>, position: &Position<'_>) -> Result {
        let ports = Finder::new(&self.device, &self.netdev);
        let inserted = with_rule(new, &ports, |rule, origins| {
            let rule = (rule, origins);
            let place = (position, position.is_return(&self.netdev));
            self.engine
                .insert_in_chain(&self.device, &self.member, rule, place)
        });
        inserted.map_err(|refusal| {
            let refusal = ports.why.take().unwrap_or(refusal);
            log(&self.device, &self.netdev, &refusal);
            refusal.error_in_chain()
        })
    }

    /// Takes over a rule of tc, or notes that software has it instead.
    fn replace_of_tc(&self, new: &NewRule<'_>, extack: Option<&mut Extack>) -> Result {
        self.take_over(new).map_err(|refusal| {
            if !new.skip_sw {
                let placed = refusal.takes_nothing() || self.member.has(new.cookie);
                self.refused.enter(&self.device, new, refusal, placed);
            }
            refusal.tell(extack)
        })
    }

    #[inline(never)]
    fn take_over(&self, new: &NewRule<'_>) -> Result<(), Refusal> {
        let ports = Finder::new(&self.device, &self.netdev);
        // A tunnel device is above no certain port.
        let port = match &self.member.store.upper {
            Some(upper) => Some(&upper.below),
            None => self.side.map(|_| &self.netdev),
        };
        if port.is_some_and(|port| port.features() & features::HW_TC == 0) {
            return Err(Refusal::Off);
        }
        let insert = |asked: &Asked<'_>| self.engine.insert(&self.device, &self.member, asked);
        let read = with_rule(new, &ports, |rule, origins| {
            // It was read.
            let tunnels = ports.tunnels.try_borrow();
            let tunnels = tunnels.map_err(|_| Refusal::Lost)?;
            let uppers = ports.uppers.try_borrow();
            let uppers = uppers.map_err(|_| Refusal::Lost)?;
            Ok(insert(&Asked {
                rule,
                skip_sw: new.skip_sw,
                origins,
                tunnels: &tunnels,
                uppers: &uppers,
                unread: None,
                number: None,
                played_back: new.played_back,
                stays: Stays::Refused,
            }))
        });
        let read = read.map_err(|refusal| ports.why.take().unwrap_or(refusal));
        match read {
            Err(refusal) if !new.skip_sw => {
                let known = without_actions(new, &ports);
                insert(&Asked {
                    rule: known.as_ref().unwrap_or(&anything(new)),
                    skip_sw: false,
                    origins: &[],
                    tunnels: &[],
                    uppers: &[],
                    unread: Some(Unread {
                        why: refusal,
                        key: known.is_none(),
                    }),
                    number: None,
                    played_back: new.played_back,
                    stays: Stays::Refused,
                })
            }
            read => read.and_then(|result| result),
        }
    }
}

impl Rules for Block {
    fn miss_older(&self) {
        self.member.store.miss_older();
    }

    fn replace(&self, new: &NewRule<'_>, extack: Option<&mut Extack>) -> Result {
        match &new.position {
            Some(position) => self.replace_in_chain(new, position),
            None => self.replace_of_tc(new, extack),
        }
    }

    fn destroy(&self, cookie: Cookie) -> Result {
        if !self.member.store.of_tc {
            self.engine
                .remove_from_chain(&self.device, &self.member, cookie);
            return Ok(());
        }
        self.refused.leave(&self.device, cookie);
        let was_there = self.engine.remove(&self.device, &self.member, cookie);
        was_there.then_some(()).ok_or(ENOENT)
    }

    fn stats(&self, cookie: Cookie) -> Result<Counted> {
        if self.member.store.of_tc {
            self.engine.count(&self.device, &self.member.store, cookie)
        } else {
            self.engine.count_now(&self.member.store, cookie)
        }
    }
}

/// Tells who looks into the log why a chain of nftables, or a rule of it, is refused, or a qdisc for its sake.
fn log(device: &Arc<Device>, netdev: &NetDevice, refusal: &Refusal) {
    dev_warn!(
        device.binding(),
        "{}: rules refused: {}\n",
        netdev.name(),
        refusal
    );
}

/// Unbinds what hears of the rules of a block.
fn undo(device: &Arc<Device>, engine: &Engine, store: &Arc<Store>, side: Option<Side>) {
    match side {
        Some(side) => engine.unbind(device, store, side),
        None if store.upper.is_some() => engine.unbind_upper(device, store),
        None => engine.unbind_tunnel(device, store),
    }
    device.leave_flow();
}

impl Drop for Block {
    fn drop(&mut self) {
        self.refused.end(&self.device);
        self.engine.remove_leftovers(&self.device, &self.member);
        undo(&self.device, &self.engine, &self.member.store, self.side);
    }
}
