// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! VFs: life cycle, what their PF lays on them, what they may do.

use crate::mock::{Device, Driver, Port, frame, tagged};
use crate::packets::{Ip, payload, tcp};
use oxnic_abi::command::{Opcode, Qualifier, Status, Submission};
use oxnic_abi::event::{Event, EventKind};
use oxnic_abi::port::{PortConfig, port_fields};
use oxnic_abi::regs::{Reason, control, device, status};
use oxnic_abi::ring::{TxContext, TxData, completion_flags, rx_kind, tx_flags};
use oxnic_abi::vf::{VfConfig, VfInfo, VfLink, VfRange, vf_fields};
use oxnic_abi::vport::{VportConfig, vport_fields, vport_flags};
use oxnic_model::host::{Function, NicCore};

const PF: Function = Function::Pf;
const VF: Function = Function::Vf(0);
const PEER: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 1];
const READY: u32 = status::READY | status::RESET_DONE;

fn pf_and_vfs(count: u16) -> (Device, Port, Vec<Port>) {
    let mut dut = Device::new(2, count);
    let mut pf = Port::new(&mut dut, PF);
    let vfs = Port::vfs(&mut dut, &mut pf.driver, count);
    pf.driver.events(&mut dut);
    (dut, pf, vfs)
}

fn info(dut: &mut Device, pf: &mut Driver, vf: u16) -> VfInfo {
    let submission = Submission {
        function: vf + 1,
        ..pf.submission(Opcode::VF_QUERY)
    };
    VfInfo::from_words(&pf.query(dut, submission).unwrap())
}

fn kinds(events: &[Event]) -> Vec<(EventKind, u16, u16)> {
    events
        .iter()
        .map(|event| (event.kind, event.object, event.detail))
        .collect()
}

fn set_mac(dut: &mut Device, driver: &mut Driver, mac: [u8; 6]) -> (Status, Qualifier) {
    let config = VportConfig {
        fields: vport_fields::MAC,
        mac,
        ..VportConfig::ZERO
    };
    let completion = driver.set(dut, Opcode::VPORT_SET, 0, config.to_words());
    (completion.status, completion.qualifier)
}

#[test]
fn a_vf_works_between_enable_and_disable_only() {
    let mut dut = Device::new(1, 4);
    let mut pf = Driver::new(&mut dut, PF);
    dut.nic.set_vfs_enabled(&mut dut.host, 4);
    dut.nic.set_bus_master(VF, true);
    assert_eq!(dut.read(VF, device::STATUS), status::RESET_DONE);
    dut.write(VF, device::CONTROL, control::DRIVER_OK);
    assert_eq!(dut.read(VF, device::STATUS), status::RESET_DONE);
    pf.set_ok(
        &mut dut,
        Opcode::VF_ENABLE,
        0,
        VfRange { first: 0, count: 2 }.to_words(),
    );
    assert_eq!(dut.read(VF, device::STATUS), READY);
    assert_eq!(
        dut.read(Function::Vf(2), device::STATUS),
        status::RESET_DONE
    );
    let generation = dut.read(VF, device::GENERATION);
    let mut vf = Driver::new(&mut dut, VF);
    assert_eq!(kinds(&pf.events(&mut dut)), [(EventKind::VF_STATE, 0, 1)]);
    assert_eq!(info(&mut dut, &mut pf, 0).active, 1);
    vf.set_ok(&mut dut, Opcode::NOP, 0, [0; 5]);
    pf.set_ok(
        &mut dut,
        Opcode::VF_DISABLE,
        0,
        VfRange { first: 0, count: 4 }.to_words(),
    );
    assert_eq!(kinds(&pf.events(&mut dut)), [(EventKind::VF_STATE, 0, 0)]);
    assert_eq!(dut.read(VF, device::STATUS), status::RESET_DONE);
    assert_eq!(dut.read(VF, device::GENERATION), generation + 2);
    dut.host.allow(pf.cq, 1024);
    vf.submit(
        &mut dut,
        &Submission {
            opcode: Opcode::NOP,
            ..Submission::ZERO
        }
        .to_words(),
    );
    dut.settle();
}

#[test]
fn a_pf_is_told_that_a_vf_leaves_which_has_halted() {
    let mut dut = Device::new(1, 1);
    let mut pf = Driver::new(&mut dut, PF);
    pf.enable_vfs(&mut dut, 1);
    let halt = serde_json::json!({"cmd": "halt", "function": 1});
    // Without a driver there is nobody who leaves.
    dut.control(halt.clone());
    let _ = Driver::new(&mut dut, VF);
    assert_eq!(kinds(&pf.events(&mut dut)), [(EventKind::VF_STATE, 0, 1)]);
    dut.control(halt);
    dut.reset(VF);
    assert_eq!(kinds(&pf.events(&mut dut)), [(EventKind::VF_STATE, 0, 0)]);
}

#[test]
fn all_vfs_come_with_one_command_and_have_addresses_of_their_own() {
    let mut dut = Device::new(1, 128);
    let mut pf = Driver::new(&mut dut, PF);
    pf.enable_vfs(&mut dut, 128);
    let mut macs: Vec<_> = (0..128).map(|vf| info(&mut dut, &mut pf, vf).mac).collect();
    assert!(macs.iter().all(|mac| mac[0] & 3 == 2));
    macs.sort_unstable();
    macs.dedup();
    assert_eq!(macs.len(), 128);
    let submission = Submission {
        buffer: pf.buffer,
        buffer_length: 65536,
        ..pf.submission(Opcode::ESWITCH_PORTS)
    };
    let completion = pf.raw(&mut dut, &submission.to_words());
    assert_eq!(completion.result, [130, 16]);
    let other = NicCore::vectors(&Device::new(1, 128).nic, Function::Vf(127));
    assert_eq!(other, 9);
}

#[test]
fn settings_outlive_resets_and_end_with_disable() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(2);
    let mac = [0x02, 1, 2, 3, 4, 5];
    let config = VfConfig {
        fields: vf_fields::MAC | vf_fields::TRUST | vf_fields::VLAN | vf_fields::LINK,
        trust: 1,
        mac,
        vlan: 7,
        vlan_proto: 0x8100,
        link: VfLink::ENABLE,
        ..VfConfig::ZERO
    };
    pf.driver.vf_set(&mut dut, 0, config);
    assert_eq!(vfs[0].driver.info(&mut dut, 0).transparent_vlan, 7);
    dut.nic.function_reset(&mut dut.host, VF);
    let after = info(&mut dut, &mut pf.driver, 0);
    assert_eq!(
        (after.mac, after.trust, after.vlan, after.active),
        (mac, 1, 7, 0)
    );
    dut.nic.set_vfs_enabled(&mut dut.host, 0);
    dut.nic.set_vfs_enabled(&mut dut.host, 2);
    assert_eq!(info(&mut dut, &mut pf.driver, 0).mac, mac);
    let range = VfRange { first: 0, count: 2 }.to_words();
    pf.driver.set_ok(&mut dut, Opcode::VF_DISABLE, 0, range);
    pf.driver.set_ok(&mut dut, Opcode::VF_ENABLE, 0, range);
    let after = info(&mut dut, &mut pf.driver, 0);
    assert_ne!(after.mac, mac);
    assert_eq!(
        (after.trust, after.vlan, after.spoof_check, after.link),
        (0, 0, 1, VfLink::AUTO)
    );
}

#[test]
fn vfs_outlive_a_register_reset_of_their_pf_but_not_its_flr() {
    let (mut dut, _, mut vfs) = pf_and_vfs(2);
    dut.reset(PF);
    let (a, b) = vfs.split_at_mut(1);
    a[0].tx.send(&mut dut, &frame(b[0].mac, a[0].mac, 99));
    assert_eq!(b[0].rx.one(&mut dut).bytes.len(), 99);
    dut.nic.set_vfs_enabled(&mut dut.host, 0);
    dut.nic.function_reset(&mut dut.host, PF);
    dut.nic.set_vfs_enabled(&mut dut.host, 2);
    assert_eq!(dut.read(VF, device::STATUS), status::RESET_DONE);
}

#[test]
fn a_halted_pf_leaves_its_vfs_at_work() {
    let (mut dut, _, mut vfs) = pf_and_vfs(2);
    dut.control(serde_json::json!({"cmd": "halt", "function": 0, "reason": 8}));
    assert_eq!(dut.read(PF, device::STATUS), status::HALTED);
    assert_eq!(dut.read(PF, device::REASON), u32::from(Reason::INTERNAL.0));
    let (a, b) = vfs.split_at_mut(1);
    a[0].tx.send(&mut dut, &frame(b[0].mac, a[0].mac, 99));
    assert_eq!(b[0].rx.one(&mut dut).bytes.len(), 99);
}

#[test]
fn an_address_from_the_pf_is_fixed_unless_the_vf_is_trusted() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(1);
    let vf = &mut vfs[0].driver;
    assert_eq!(
        set_mac(&mut dut, vf, [2, 0, 0, 0, 0, 1]),
        (Status::OK, Qualifier::NONE)
    );
    let mac = [2, 0, 0, 0, 0, 2];
    let fixed = VfConfig {
        fields: vf_fields::MAC,
        mac,
        ..VfConfig::ZERO
    };
    pf.driver.vf_set(&mut dut, 0, fixed);
    assert_eq!(
        kinds(&vf.events(&mut dut)),
        [(EventKind::VPORT_CHANGED, 0, 0)]
    );
    let told = vf.info(&mut dut, 0);
    assert_eq!(
        (told.mac, told.permanent_mac, told.mac_fixed),
        (mac, mac, 1)
    );
    let denied = (Status::EPERM, Qualifier::MAC_FIXED);
    assert_eq!(set_mac(&mut dut, vf, [2, 0, 0, 0, 0, 3]), denied);
    assert_eq!(set_mac(&mut dut, vf, mac).0, Status::OK);
    assert_eq!(
        pf.driver.event(&mut dut).unwrap().kind,
        EventKind::VF_DENIED
    );
    let submission = vf.submission(Opcode::MAC_LIST);
    let completion = vf.run(&mut dut, submission, &[0x01, 0x02]);
    assert_eq!((completion.status, completion.offset), (Status::EPERM, 72));
    let trust = VfConfig {
        fields: vf_fields::TRUST,
        trust: 1,
        ..VfConfig::ZERO
    };
    pf.driver.vf_set(&mut dut, 0, trust);
    assert_eq!(vf.info(&mut dut, 0).mac_fixed, 0);
    assert_eq!(set_mac(&mut dut, vf, [2, 0, 0, 0, 0, 3]).0, Status::OK);
    assert_eq!(info(&mut dut, &mut pf.driver, 0).mac, [2, 0, 0, 0, 0, 3]);
    let free = VfConfig {
        fields: vf_fields::MAC,
        ..VfConfig::ZERO
    };
    pf.driver.vf_set(&mut dut, 0, free);
    let after = info(&mut dut, &mut pf.driver, 0);
    assert_eq!((after.mac, after.mac_fixed), (vfs[0].mac, 0));
}

#[test]
fn privileges_taken_away_take_their_use_with_them() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(1);
    let vf = &mut vfs[0].driver;
    let trust = |trust| VfConfig {
        fields: vf_fields::TRUST | vf_fields::MAC,
        trust,
        mac: [2, 0, 0, 0, 0, 2],
        ..VfConfig::ZERO
    };
    pf.driver.vf_set(&mut dut, 0, trust(1));
    let wide = vport_flags::PROMISCUOUS | vport_flags::ALL_MULTICAST;
    vf.flags(&mut dut, 0, wide, wide);
    vf.request_ok(
        &mut dut,
        Opcode::MAC_LIST,
        0,
        0,
        &[0x0200_0000_0902, 0x0200_0000_0903],
    );
    vf.events(&mut dut);
    pf.driver.vf_set(&mut dut, 0, trust(1));
    assert!(vf.events(&mut dut).is_empty(), "nothing changed");
    pf.driver.vf_set(&mut dut, 0, trust(0));
    assert_eq!(
        kinds(&vf.events(&mut dut)),
        [(EventKind::VPORT_CHANGED, 0, 0)]
    );
    assert_eq!(vf.info(&mut dut, 0).flags & wide, 0);
    for (address, received) in [([2, 9, 0, 0, 0, 2], 0), ([3, 9, 0, 0, 0, 2], 1)] {
        dut.receive(0, &frame(address, PEER, 60));
        assert_eq!(vfs[0].rx.take(&mut dut).len(), received, "{address:x?}");
    }
}

#[test]
fn spoofed_addresses_are_dropped_while_the_check_is_on() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(1);
    let vf = &mut vfs[0];
    let own = vf.mac;
    vf.driver
        .request_ok(&mut dut, Opcode::MAC_LIST, 0, 0, &[0x0200_0000_0902]);
    for (source, sent) in [(own, 1), ([2, 9, 0, 0, 0, 2], 1), (PEER, 0), (pf.mac, 0)] {
        vf.tx.send(&mut dut, &frame([6; 6], source, 60));
        assert_eq!(dut.host.take_wire().len(), sent, "{source:x?}");
    }
    let made = tcp((PEER, PEER), Ip::V4, &[], false, &payload(5000));
    let context = TxContext {
        flags: tx_flags::TSO,
        mss: 1000,
        l3_start: 7,
        l4_start: 17,
        header_length: 54,
        ..TxContext::ZERO
    };
    vf.tx
        .queue(&mut dut, &made.bytes, &[], Some(context), TxData::ZERO);
    vf.tx.ring(&mut dut);
    let stats = vf.driver.stats(&mut dut, 0);
    assert_eq!(
        (stats.tx_spoofed, stats.tx_unicast, vf.tx.errors),
        (3, 2, 3)
    );
    let off = VfConfig {
        fields: vf_fields::SPOOF_CHECK,
        ..VfConfig::ZERO
    };
    pf.driver.vf_set(&mut dut, 0, off);
    vf.tx.send(&mut dut, &frame([6; 6], PEER, 60));
    assert_eq!(dut.host.take_wire().len(), 1);
}

#[test]
fn a_transparent_vlan_is_invisible_to_the_vf() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(3);
    for (vf, vlan, proto) in [(0, 100, 0x8100), (1, 100, 0x8100), (2, 100, 0x88a8)] {
        let config = VfConfig {
            fields: vf_fields::VLAN,
            vlan,
            qos: 5,
            vlan_proto: proto,
            ..VfConfig::ZERO
        };
        pf.driver.vf_set(&mut dut, vf, config);
    }
    let macs: Vec<_> = vfs.iter().map(|vf| vf.mac).collect();
    let out = frame([6; 6], macs[0], 60);
    vfs[0].tx.send(&mut dut, &out);
    assert_eq!(
        dut.host.take_wire(),
        [(0, tagged(&out, 0x8100, (5 << 13) | 100))]
    );
    let across = frame(macs[1], macs[0], 80);
    vfs[0].tx.send(&mut dut, &across);
    assert_eq!(vfs[1].rx.one(&mut dut).bytes, across);
    let elsewhere = frame(macs[2], macs[0], 80);
    vfs[0].tx.send(&mut dut, &elsewhere);
    assert!(vfs[2].rx.take(&mut dut).is_empty());
    assert_eq!(dut.host.take_wire().len(), 1);
    let into = frame(macs[0], PEER, 90);
    dut.receive(0, &tagged(&into, 0x8100, (3 << 13) | 100));
    dut.receive(0, &tagged(&into, 0x8100, 101));
    dut.receive(0, &into);
    assert_eq!(vfs[0].rx.one(&mut dut).bytes, into);
    let stats = vfs[0].driver.stats(&mut dut, 0);
    assert_eq!((stats.rx_bytes, stats.tx_bytes), (90, 220));
    // A tag of its own is for a VF below an S-tag only.
    for (vf, tpid, sent) in [
        (0, 0x8100, 0),
        (0, 0x88a8, 0),
        (2, 0x8100, 1),
        (2, 0x88a8, 0),
    ] {
        vfs[vf]
            .tx
            .send(&mut dut, &tagged(&frame([6; 6], macs[vf], 60), tpid, 9));
        assert_eq!(dut.host.take_wire().len(), sent, "{vf} {tpid:#x}");
    }
    assert_eq!(vfs[0].driver.stats(&mut dut, 0).tx_vlan, 2);
    let inserted = TxData {
        flags: tx_flags::VLAN,
        vlan: 9,
        ..TxData::ZERO
    };
    vfs[0]
        .tx
        .queue(&mut dut, &frame([6; 6], macs[0], 60), &[], None, inserted);
    vfs[0].tx.ring(&mut dut);
    assert_eq!(vfs[0].driver.stats(&mut dut, 0).tx_vlan, 3);
}

fn transparent(vlan: u16, vlan_proto: u16) -> VfConfig {
    VfConfig {
        fields: vf_fields::VLAN,
        vlan,
        vlan_proto,
        ..VfConfig::ZERO
    }
}

#[test]
fn two_tags_below_a_transparent_one_are_stepped_over() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(2);
    let flags = vport_flags::RX_CSUM | vport_flags::PROMISCUOUS;
    pf.driver.flags(&mut dut, 0, flags, flags);
    for (vf, port) in (0..).zip(&mut vfs) {
        pf.driver.vf_set(&mut dut, vf, transparent(100, 0x88a8));
        let checked = vport_flags::RX_CSUM;
        port.driver.flags(&mut dut, 0, checked, checked);
    }
    let own = [(0x8100, 9), (0x8100, 8)];
    let made = tcp((vfs[1].mac, vfs[0].mac), Ip::V4, &own, false, &payload(300));
    let right = completion_flags::L3_OK | completion_flags::L4_OK;
    for from_wire in [false, true] {
        if from_wire {
            dut.receive(0, &tagged(&made.bytes, 0x88a8, 100));
        } else {
            vfs[0].tx.send(&mut dut, &made.bytes);
        }
        let received = vfs[1].rx.one(&mut dut);
        assert_eq!(received.bytes, made.bytes);
        assert_eq!(received.last.kind, rx_kind::IPV4 | rx_kind::TCP);
        assert_eq!(received.last.flags & right, right);
        assert_eq!(received.last.source_port == 1, from_wire);
        // With the third tag around it, it is nothing that anybody looks into.
        let outside = pf.rx.one(&mut dut);
        assert_eq!((outside.last.kind, outside.last.flags & right), (0, 0));
    }
}

#[test]
fn what_is_too_short_for_a_tag_is_not_for_a_vf_in_a_transparent_vlan() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(2);
    pf.driver.vf_set(&mut dut, 0, transparent(100, 0x8100));
    let all = vport_flags::RX_ALL;
    for vf in &mut vfs {
        vf.driver.flags(&mut dut, 0, all, all);
    }
    dut.receive(0, &[7; 13]);
    assert!(vfs[0].rx.take(&mut dut).is_empty());
    assert_eq!(vfs[1].rx.one(&mut dut).bytes, [7; 13]);
}

#[test]
fn a_vf_whose_link_is_off_receives_its_own_frames_only() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(1);
    let off = VfConfig {
        fields: vf_fields::LINK,
        link: VfLink::DISABLE,
        ..VfConfig::ZERO
    };
    pf.driver.vf_set(&mut dut, 0, off);
    let vf = &mut vfs[0];
    let looped = vport_flags::LOOPBACK;
    vf.driver.flags(&mut dut, 0, looped, looped);
    for to in [vf.mac, [0xff; 6]] {
        dut.receive(0, &frame(to, PEER, 60));
        pf.tx.send(&mut dut, &frame(to, pf.mac, 60));
    }
    assert!(vf.rx.take(&mut dut).is_empty());
    assert_eq!(vf.driver.stats(&mut dut, 0).rx_disabled, 4);
    let own = frame(PEER, vf.mac, 80);
    vf.tx.send(&mut dut, &own);
    assert_eq!(vf.rx.one(&mut dut).bytes, own);
}

#[test]
fn links_are_as_the_pf_sets_them() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(2);
    let link = |link| VfConfig {
        fields: vf_fields::LINK,
        link,
        ..VfConfig::ZERO
    };
    vfs.iter_mut()
        .for_each(|vf| drop(vf.driver.events(&mut dut)));
    pf.driver.vf_set(&mut dut, 0, link(VfLink::DISABLE));
    let told = kinds(&vfs[0].driver.events(&mut dut));
    assert!(told.contains(&(EventKind::LINK, 0, 0)), "{told:?}");
    let own = vfs[0].mac;
    vfs[0].tx.send(&mut dut, &frame(pf.mac, own, 60));
    dut.receive(0, &frame(own, PEER, 60));
    let stats = vfs[0].driver.stats(&mut dut, 0);
    assert_eq!((stats.tx_disabled, stats.rx_disabled), (1, 1));
    for vf in 0..2 {
        pf.driver.vf_set(&mut dut, vf, link(VfLink::ENABLE));
    }
    dut.carrier(0, false);
    assert_eq!(vfs[0].driver.info(&mut dut, 0).link, 1);
    let (a, b) = vfs.split_at_mut(1);
    a[0].tx.send(&mut dut, &frame(b[0].mac, a[0].mac, 60));
    assert_eq!(b[0].rx.take(&mut dut).len(), 1);
    a[0].tx.send(&mut dut, &frame(PEER, a[0].mac, 60));
    assert_eq!(pf.driver.port_stats(&mut dut).tx_dropped, 1);
}

#[test]
fn a_rate_is_kept_and_nothing_is_lost() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(2);
    let rate = |rate_max| VfConfig {
        fields: vf_fields::RATE,
        rate_max,
        ..VfConfig::ZERO
    };
    pf.driver.vf_set(&mut dut, 0, rate(100));
    dut.host.keep_frames = false;
    let (a, b) = vfs.split_at_mut(1);
    let own = a[0].mac;
    let start = dut.host.now;
    let mut sent = 0u64;
    while dut.host.now < start + 1_000_000_000 {
        while a[0].tx.producer.wrapping_sub(a[0].tx.head) < 250 {
            a[0].tx
                .queue(&mut dut, &frame(PEER, own, 1500), &[], None, TxData::ZERO);
            sent += 1;
        }
        a[0].tx.ring(&mut dut);
        dut.advance(1_000_000);
        a[0].tx.reap(&mut dut);
    }
    let bytes = a[0].driver.stats(&mut dut, 0).tx_bytes;
    assert!(
        (12_500_000..12_700_000).contains(&bytes),
        "{bytes} bytes in a second at 100 Mbit/s"
    );
    // The other one is not held up.
    let before = dut.host.sent;
    b[0].tx.send(&mut dut, &frame(PEER, b[0].mac, 1500));
    assert_eq!(dut.host.sent, before + 1);
    // Without a limit, the rest goes out at once.
    pf.driver.vf_set(&mut dut, 0, rate(0));
    dut.settle();
    assert_eq!(a[0].driver.stats(&mut dut, 0).tx_unicast, sent);
}

#[test]
fn vectors_can_be_changed_while_nobody_works_the_vf() {
    let (mut dut, mut pf, vfs) = pf_and_vfs(1);
    let config = VfConfig {
        fields: vf_fields::VECTORS,
        vectors: 33,
        ..VfConfig::ZERO
    };
    let submission = Submission {
        function: 1,
        ..pf.driver.submission(Opcode::VF_SET)
    };
    let completion = pf.driver.run(&mut dut, submission, &config.to_words());
    assert_eq!(
        (completion.status, completion.qualifier),
        (Status::EBUSY, Qualifier::STATE)
    );
    drop(vfs);
    dut.reset(VF);
    pf.driver.vf_set(&mut dut, 0, config);
    assert_eq!(dut.nic.vectors(VF), 33);
    assert_eq!(dut.read(VF, device::VECTORS), 33);
    let mut driver = Driver::new(&mut dut, VF);
    let _ = crate::mock::Tx::new(&mut dut, &mut driver, 0, 0, 32, 6);
}

#[test]
fn a_vf_that_vanishes_from_the_bus_is_told_to_the_pf() {
    let (mut dut, mut pf, _vfs) = pf_and_vfs(2);
    dut.nic.set_vfs_enabled(&mut dut.host, 0);
    let told = kinds(&pf.driver.events(&mut dut));
    assert_eq!(
        told,
        [(EventKind::VF_STATE, 0, 0), (EventKind::VF_STATE, 1, 0)]
    );
    pf.tx.send(&mut dut, &frame([0xff; 6], pf.mac, 60));
    assert_eq!(dut.host.take_wire().len(), 1);
}

#[test]
fn a_vf_does_not_fill_the_event_ring_of_its_pf() {
    let mut dut = Device::new(1, 2);
    let mut pf = Driver::with_depth(&mut dut, PF, 5, 4);
    pf.enable_vfs(&mut dut, 2);
    for _ in 0..20 {
        let _ = Driver::new(&mut dut, VF);
    }
    let _ = Driver::new(&mut dut, Function::Vf(1));
    // What is the PF's own still has room.
    dut.carrier(0, false);
    let told = kinds(&pf.events(&mut dut));
    let state = |vf, active| (EventKind::VF_STATE, vf, active);
    let mut wanted = [state(0, 1), state(0, 0)].repeat(4);
    wanted.push((EventKind::LINK, 0, 0));
    // As entries become free: what is so now.
    wanted.extend([state(0, 1), state(1, 1)]);
    assert_eq!(told, wanted);
}

#[test]
fn trust_taken_away_takes_the_address_that_a_vf_chose() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(1);
    let vf = &mut vfs[0].driver;
    let given = [2, 0, 0, 0, 0, 2];
    let config = |fields, trust| VfConfig {
        fields,
        trust,
        mac: given,
        ..VfConfig::ZERO
    };
    let both = vf_fields::TRUST | vf_fields::MAC;
    pf.driver.vf_set(&mut dut, 0, config(both, 1));
    assert_eq!(set_mac(&mut dut, vf, [2, 0, 0, 0, 0, 3]).0, Status::OK);
    vf.events(&mut dut);
    pf.driver.vf_set(&mut dut, 0, config(vf_fields::TRUST, 0));
    let told = kinds(&vf.events(&mut dut));
    assert_eq!(told, [(EventKind::VPORT_CHANGED, 0, 0)]);
    assert_eq!(info(&mut dut, &mut pf.driver, 0).mac, given);
}

#[test]
fn promises_that_a_slower_wire_cannot_hold_may_become_less() {
    let (mut dut, mut pf, _vfs) = pf_and_vfs(2);
    let promise = |rate_min| VfConfig {
        fields: vf_fields::RATE,
        rate_min,
        ..VfConfig::ZERO
    };
    pf.driver.vf_set(&mut dut, 0, promise(8000));
    pf.driver.vf_set(&mut dut, 1, promise(8000));
    let slow = PortConfig {
        fields: port_fields::SPEED,
        speed: 10_000,
        ..PortConfig::ZERO
    };
    pf.driver
        .set_ok(&mut dut, Opcode::PORT_SET, 0, slow.to_words());
    let more = Submission {
        function: 1,
        ..pf.driver.submission(Opcode::VF_SET)
    };
    let refused = pf.driver.run(&mut dut, more, &promise(8001).to_words());
    assert_eq!(refused.status, Status::ENOSPC);
    pf.driver.vf_set(&mut dut, 0, promise(7000));
    let refused = pf.driver.run(&mut dut, more, &promise(8000).to_words());
    assert_eq!(refused.status, Status::ENOSPC);
    pf.driver.vf_set(&mut dut, 1, promise(0));
    pf.driver.vf_set(&mut dut, 0, promise(10_000));
}

#[test]
fn counters_of_a_vf_are_seen_by_its_pf_and_end_with_disable() {
    let (mut dut, mut pf, mut vfs) = pf_and_vfs(1);
    let own = vfs[0].mac;
    dut.receive(0, &frame(own, PEER, 100));
    let stats = |dut: &mut Device, pf: &mut Driver| {
        let submission = Submission {
            function: 1,
            ..pf.submission(Opcode::VF_STATS)
        };
        oxnic_abi::stats::VportStats::from_words(&pf.query(dut, submission).unwrap())
    };
    let seen = stats(&mut dut, &mut pf.driver);
    assert_eq!((seen.rx_unicast, seen.rx_bytes), (1, 100));
    assert_eq!(seen, vfs[0].driver.stats(&mut dut, 0));
    dut.reset(VF);
    assert_eq!(stats(&mut dut, &mut pf.driver), seen);
    let range = VfRange { first: 0, count: 1 }.to_words();
    pf.driver.set_ok(&mut dut, Opcode::VF_DISABLE, 0, range);
    pf.driver.set_ok(&mut dut, Opcode::VF_ENABLE, 0, range);
    assert_eq!(stats(&mut dut, &mut pf.driver).rx_unicast, 0);
}
