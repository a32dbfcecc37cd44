// SPDX-License-Identifier: GPL-2.0-only

//! The operations of the networking core on a vport.

use super::NetPort;
use crate::features;
use crate::health::{Fault, Kind};
use crate::queue::tx::TxRing;
use crate::vf;
use kernel::prelude::*;
use oxnic_abi::vf::VfLink;
use oxnic_abi::vport::{vport_fields, vport_flags, VportConfig};
use oxnic_kapi::extack::Extack;
use oxnic_kapi::net::features as net_features;
use oxnic_kapi::net::flow::{Binding, Rules};
use oxnic_kapi::net::netdev::{self, Address, AddressList, Operations, Rtnl, SkBuffRef, Transmit};
use oxnic_kapi::net::skb::SkBuff;
use oxnic_kapi::net::stats::LinkStats;
use oxnic_kapi::net::timestamp::HwtstampConfig;
use oxnic_kapi::net::vf::{Config as VfConfig, Link, Stats as VfStats};
use oxnic_kapi::net::xdp::{Frames, Program};

#[vtable]
impl Operations for NetPort {
    type TxQueue = TxRing;

    fn open(&self, netdev: &Rtnl) -> Result {
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.resetting {
            return Err(EBUSY);
        }
        let mut queues = self.allocate(netdev, &state.config, netdev.mtu())?;
        if let Err(error) = self.bring_up(netdev, state, &mut queues, netdev.mtu()) {
            self.retire(netdev, state, queues);
            return Err(error);
        }
        state.queues = Some(queues);
        netdev.start_queues();
        Ok(())
    }

    fn stop(&self, netdev: &Rtnl) {
        let mut state = self.state.lock();
        netdev.disable_tx();
        netdev.carrier_off();
        let Some(mut queues) = state.queues.take() else {
            return;
        };
        if queues.is_started() {
            self.disable();
            if let Ok(slots) = self.slots(netdev) {
                queues.stop(netdev, slots);
            }
        }
        self.retire(netdev, &mut state, queues);
    }

    #[inline(always)]
    fn start_xmit(queue: &mut TxRing, skb: SkBuff) -> Transmit {
        queue.send(skb);
        Transmit::Taken
    }

    fn stats(&self, _netdev: &netdev::Device) -> LinkStats {
        self.link_stats()
    }

    fn cpu_hit_stats(&self) -> LinkStats {
        self.slow_path_stats()
    }

    fn set_rx_mode(
        &self,
        netdev: &Rtnl,
        unicast: AddressList<'_>,
        multicast: AddressList<'_>,
    ) -> Result {
        let mut state = self.state.lock();
        let state = &mut *state;
        state.filter.update(
            self.device.caps(),
            self.device.macs_allowed(),
            netdev,
            &unicast,
            &multicast,
        )?;
        if !state.is_live() {
            return Ok(());
        }
        state.filter.apply(self)?;
        self.set_flags(
            state,
            vport_flags::PROMISCUOUS | vport_flags::ALL_MULTICAST | vport_flags::VLAN_FILTER,
            0,
        )
    }

    fn set_mac_address(&self, _netdev: &Rtnl, address: &Address) -> Result {
        self.configure(&VportConfig {
            fields: vport_fields::MAC,
            mac: *address,
            ..VportConfig::ZERO
        })
    }

    fn change_mtu(&self, netdev: &Rtnl, mtu: u32) -> Result {
        self.check_mtu(netdev, mtu)?;
        let mut state = self.state.lock();
        let state = &mut *state;
        let config = state.config;
        if state.queues.is_some() {
            self.replace(netdev, state, config, mtu)?;
        }
        netdev.set_mtu(mtu);
        Ok(())
    }

    fn fix_features(&self, _netdev: &netdev::Device, features: u64) -> u64 {
        features::fix(features)
    }

    fn set_features(&self, netdev: &Rtnl, features: u64) -> Result {
        let rules_go = netdev.features() & !features & net_features::HW_TC != 0;
        if rules_go && self.has_flow_rules() {
            return Err(EBUSY);
        }
        let mut state = self.state.lock();
        let flags = features::vport_flags(features);
        let changed = (state.flags ^ flags) & features::VPORT_FLAGS;
        let told = changed != 0 && state.is_live();
        state.flags ^= changed;
        if told {
            if let Err(error) = self.set_flags(&state, changed, 0) {
                state.flags ^= changed;
                return Err(error);
            }
        }
        // After what may fail, since rules do not come back.
        if features & net_features::NTUPLE == 0 {
            let reached = !state.resetting;
            if let Err(error) = state.steering.clear(self, reached) {
                state.flags ^= changed;
                if told {
                    // It had them before.
                    let _ = self.set_flags(&state, changed, 0);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn features_check(skb: &SkBuffRef<'_>, features: u64) -> u64 {
        features::check(skb, features)
    }

    fn tx_timeout(&self, netdev: &netdev::Device, queue: u32) {
        dev_warn!(
            self.device.binding(),
            "{}: transmit queue {} makes no progress\n",
            netdev.name(),
            queue
        );
        let (vport, queue) = (self.share.vport, queue as u16);
        let fault = Fault::of_queue(Kind::NoProgress, vport, queue, 0);
        self.device.request_reset(fault);
    }

    fn vlan_add(&self, _netdev: &netdev::Device, protocol: u16, vid: u16) -> Result {
        self.change_vlan(protocol, vid, true)
    }

    fn vlan_remove(&self, _netdev: &netdev::Device, protocol: u16, vid: u16) -> Result {
        self.change_vlan(protocol, vid, false)
    }

    fn hwtstamp_get(&self, _netdev: &netdev::Device) -> Result<HwtstampConfig> {
        self.stamping()
    }

    fn hwtstamp_set(
        &self,
        _netdev: &netdev::Device,
        config: HwtstampConfig,
        extack: Option<&mut Extack>,
    ) -> Result<HwtstampConfig> {
        self.set_stamping(config, extack)
    }

    fn bind_block(
        &self,
        binding: &Binding<'_>,
        extack: Option<&mut Extack>,
    ) -> Result<KBox<dyn Rules>> {
        self.bind_flow_block(binding, extack)
    }

    fn set_xdp_program(
        &self,
        netdev: &Rtnl,
        program: Option<Program>,
        extack: Option<&mut Extack>,
    ) -> Result {
        match program {
            Some(program) => self.attach_program(netdev, program, extack),
            None => {
                self.detach_program(netdev);
                Ok(())
            }
        }
    }

    fn transmit_frames(queue: &mut TxRing, frames: Frames<'_>) -> u32 {
        queue.send_frames(frames)
    }

    fn set_vf_mac(&self, vf: u16, address: &Address) -> Result {
        vf::set_mac(&self.device, vf, *address)
    }

    fn set_vf_vlan(&self, vf: u16, vlan: u16, qos: u8, protocol: u16) -> Result {
        vf::set_vlan(&self.device, vf, vlan, qos, protocol)
    }

    fn set_vf_rate(&self, vf: u16, min: u32, max: u32) -> Result {
        vf::set_rate(&self.device, vf, min, max)
    }

    fn set_vf_spoof_check(&self, vf: u16, on: bool) -> Result {
        vf::set_spoof_check(&self.device, vf, on)
    }

    fn set_vf_trust(&self, vf: u16, on: bool) -> Result {
        vf::set_trust(&self.device, vf, on)
    }

    fn set_vf_link(&self, vf: u16, link: Link) -> Result {
        let link = match link {
            Link::Auto => VfLink::AUTO,
            Link::Enable => VfLink::ENABLE,
            Link::Disable => VfLink::DISABLE,
        };
        vf::set_link(&self.device, vf, link)
    }

    fn vf_config(&self, vf: u16) -> Result<VfConfig> {
        let info = self.device.vf_info(vf)?;
        Ok(VfConfig {
            mac: info.mac,
            vlan: info.vlan,
            qos: info.qos,
            vlan_protocol: info.vlan_proto,
            spoof_check: info.spoof_check != 0,
            trusted: info.trust != 0,
            link: match info.link {
                VfLink::ENABLE => Link::Enable,
                VfLink::DISABLE => Link::Disable,
                _ => Link::Auto,
            },
            rate_min: info.rate_min,
            rate_max: info.rate_max,
        })
    }

    fn vf_stats(&self, vf: u16) -> Result<VfStats> {
        let stats = self.device.vf_stats(vf)?;
        Ok(VfStats {
            rx_packets: stats.rx_frames(),
            rx_bytes: stats.rx_bytes,
            tx_packets: stats.tx_frames(),
            tx_bytes: stats.tx_bytes,
            broadcast: stats.rx_broadcast,
            multicast: stats.rx_multicast,
            rx_dropped: stats.rx_drops(),
            tx_dropped: stats.tx_drops(),
        })
    }
}

impl NetPort {
    fn change_vlan(&self, protocol: u16, vid: u16, on: bool) -> Result {
        let mut state = self.state.lock();
        if protocol != features::CTAG {
            return Ok(());
        }
        let running = state.is_live();
        if !state.filter.set_vlan(vid, on) || !running {
            return Ok(());
        }
        state.filter.apply_vlans(self).inspect_err(|_| {
            state.filter.set_vlan(vid, !on);
        })
    }
}
