// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The eswitch's mode: representors, what they and their VFs pass to each other, their links, and what stays in legacy mode.

use crate::mock::{Device, Driver, Port, Rx, Tx, frame, tagged};
use oxnic_abi::command::{Completion, Opcode, Qualifier, Status, Submission};
use oxnic_abi::eswitch::{EswitchConfig, EswitchInfo, EswitchMode};
use oxnic_abi::event::EventKind;
use oxnic_abi::ring::{TxContext, TxData, tx_flags};
use oxnic_abi::stats::{StatsDma, VportStats};
use oxnic_abi::vf::{VfConfig, VfLink, VfRange, vf_fields};
use oxnic_abi::vport::vport_flags;
use oxnic_model::host::{Function, NicCore};

const PF: Function = Function::Pf;
const PORTS: u16 = 2;
const PEER: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 1];
const BROADCAST: [u8; 6] = [0xff; 6];
const MULTICAST: [u8; 6] = [0x01, 0, 0x5e, 0, 0, 9];
const STRANGER: [u8; 6] = [0x06, 9, 9, 9, 9, 9];

/// A representor with its queues.
struct Representor {
    vport: u16,
    tx: Tx,
    rx: Rx,
}

impl Representor {
    fn new(dut: &mut Device, pf: &mut Driver, vf: u16) -> Self {
        let (vport, id) = (PORTS + vf, 10 + vf);
        let tx = Tx::new(dut, pf, vport, id, id, 6);
        let rx = Rx::new(dut, pf, vport, id, id, 6, 2048);
        pf.enable(dut, vport);
        Self { vport, tx, rx }
    }
}

fn why(completion: &Completion) -> (Status, Qualifier, u16) {
    (completion.status, completion.qualifier, completion.offset)
}

fn try_mode(dut: &mut Device, pf: &mut Driver, mode: EswitchMode) -> Completion {
    pf.set(
        dut,
        Opcode::ESWITCH_SET,
        0,
        EswitchConfig { mode }.to_words(),
    )
}

fn set_mode(dut: &mut Device, pf: &mut Driver, mode: EswitchMode) {
    assert_eq!(try_mode(dut, pf, mode).status, Status::OK);
    assert_eq!(mode_of(dut, pf), mode);
}

fn mode_of(dut: &mut Device, pf: &mut Driver) -> EswitchMode {
    let query = pf.submission(Opcode::ESWITCH_QUERY);
    EswitchInfo::from_words(&pf.query(dut, query).unwrap()).mode
}

struct Bench {
    dut: Device,
    pf: Port,
    vfs: Vec<Port>,
    representors: Vec<Representor>,
}

/// A PF with VFs in switchdev mode, all of it up, events read.
fn bench(count: u16) -> Bench {
    let mut dut = Device::with_memory(PORTS as u8, count, 128 << 20);
    let mut pf = Port::new(&mut dut, PF);
    let mut vfs = Port::vfs(&mut dut, &mut pf.driver, count);
    set_mode(&mut dut, &mut pf.driver, EswitchMode::SWITCHDEV);
    let representors = (0..count)
        .map(|vf| Representor::new(&mut dut, &mut pf.driver, vf))
        .collect();
    pf.driver.events(&mut dut);
    for vf in &mut vfs {
        vf.driver.events(&mut dut);
    }
    Bench {
        dut,
        pf,
        vfs,
        representors,
    }
}

impl Bench {
    /// What everybody received since the last time: (who, bytes, source port).
    fn received(&mut self) -> Vec<(String, Vec<u8>, u16)> {
        let mut all: Vec<(String, Vec<u8>, u16)> = Vec::new();
        let mut add = |dut: &mut Device, who: String, rx: &mut Rx| {
            let frames = rx.take(dut).into_iter();
            all.extend(frames.map(|frame| (who.clone(), frame.bytes, frame.last.source_port)));
        };
        add(&mut self.dut, "pf".into(), &mut self.pf.rx);
        for (index, vf) in self.vfs.iter_mut().enumerate() {
            add(&mut self.dut, format!("vf{index}"), &mut vf.rx);
        }
        for (index, representor) in self.representors.iter_mut().enumerate() {
            add(&mut self.dut, format!("rep{index}"), &mut representor.rx);
        }
        let wire = self.dut.host.take_wire().into_iter();
        all.extend(wire.map(|(port, bytes)| (format!("wire{port}"), bytes, 0)));
        all
    }

    fn links(&mut self, driver: impl Fn(&mut Self) -> &mut Driver) -> Vec<(u16, u16)> {
        let mut dut = std::mem::replace(&mut self.dut, Device::with_memory(1, 0, 1 << 20));
        let events = driver(self).events(&mut dut);
        self.dut = dut;
        let links = events.iter().filter(|event| event.kind == EventKind::LINK);
        links.map(|event| (event.object, event.detail)).collect()
    }
}

#[test]
fn in_legacy_mode_there_are_no_representors() {
    let mut dut = Device::new(PORTS as u8, 2);
    let mut pf = Driver::new(&mut dut, PF);
    assert_eq!(mode_of(&mut dut, &mut pf), EswitchMode::LEGACY);
    let query = |pf: &mut Driver, vport| Submission {
        vport,
        ..pf.submission(Opcode::VPORT_QUERY)
    };
    for vport in [PORTS, PORTS + 1] {
        let query = query(&mut pf, vport);
        let refused = pf.query::<8>(&mut dut, query).unwrap_err();
        assert_eq!(why(&refused), (Status::ENOENT, Qualifier::OBJECT, 4));
    }
    set_mode(&mut dut, &mut pf, EswitchMode::SWITCHDEV);
    let infos = [0, PORTS, PORTS + 1].map(|vport| pf.info(&mut dut, vport));
    assert!(infos.iter().all(|info| info.permanent_mac[0] & 1 == 0));
    assert!(infos[1..].iter().all(|info| info.mac[0] & 2 != 0));
    assert!(infos[0].mac != infos[1].mac && infos[1].mac != infos[2].mac);
    let beyond = query(&mut pf, PORTS + 2);
    let refused = pf.query::<8>(&mut dut, beyond).unwrap_err();
    assert_eq!(why(&refused), (Status::ENOENT, Qualifier::OBJECT, 4));
}

#[test]
fn the_mode_is_the_pfs_to_set_and_is_one_of_those_offered() {
    let mut bench = bench(1);
    let (dut, vf) = (&mut bench.dut, &mut bench.vfs[0].driver);
    let refused = try_mode(dut, vf, EswitchMode::LEGACY);
    assert_eq!(why(&refused), (Status::EPERM, Qualifier::PRIVILEGE, 0));
    let pf = &mut bench.pf.driver;
    for mode in [3, 0xffff] {
        let refused = try_mode(dut, pf, EswitchMode(mode));
        assert_eq!(why(&refused), (Status::EINVAL, Qualifier::FIELD, 24));
    }
    assert_eq!(mode_of(dut, pf), EswitchMode::SWITCHDEV);
}

#[test]
fn the_mode_does_not_become_legacy_while_a_representor_has_queues() {
    let mut bench = bench(2);
    let (dut, pf) = (&mut bench.dut, &mut bench.pf.driver);
    let busy = (Status::EBUSY, Qualifier::STATE, 24);
    for (opcode, id) in [
        (Opcode::RX_DESTROY, 10u64),
        (Opcode::TX_DESTROY, 10),
        (Opcode::TX_DESTROY, 11),
        (Opcode::RX_DESTROY, 11),
    ] {
        assert_eq!(why(&try_mode(dut, pf, EswitchMode::LEGACY)), busy);
        assert_eq!(mode_of(dut, pf), EswitchMode::SWITCHDEV);
        pf.set_ok(dut, opcode, 0, [id, 0, 0, 0, 0]);
    }
    set_mode(dut, pf, EswitchMode::LEGACY);
    set_mode(dut, pf, EswitchMode::SWITCHDEV);
    assert_eq!(pf.info(dut, PORTS).flags, 0, "it starts anew");
}

#[test]
fn a_change_that_fails_changes_nothing() {
    let mut bench = bench(1);
    bench
        .dut
        .control(serde_json::json!({"cmd": "chaos", "spec": "fail-allocation=1"}));
    let (dut, pf) = (&mut bench.dut, &mut bench.pf.driver);
    let failed = try_mode(dut, pf, EswitchMode::SWITCHDEV_INACTIVE);
    assert_eq!(failed.qualifier, Qualifier::INJECTED);
    assert_eq!(mode_of(dut, pf), EswitchMode::SWITCHDEV);
}

#[test]
fn every_frame_goes_to_the_other_end_and_to_nobody_else() {
    let mut bench = bench(3);
    let macs: Vec<[u8; 6]> = bench.vfs.iter().map(|vf| vf.mac).collect();
    let pf_mac = bench.pf.mac;
    let addresses = [
        macs[0], macs[1], macs[2], pf_mac, BROADCAST, MULTICAST, STRANGER,
    ];
    let mut dropped = [0; 3];
    for (length, to) in (60..).zip(addresses) {
        for n in 0..3 {
            // The source address is no matter: the spoof check belongs to legacy mode.
            let sent = frame(to, STRANGER, length);
            bench.vfs[n].tx.send(&mut bench.dut, &sent);
            let source = 0x100 + n as u16;
            assert_eq!(
                bench.received(),
                [(format!("rep{n}"), sent.clone(), source)]
            );

            bench.representors[n].tx.send(&mut bench.dut, &sent);
            let taken = to == macs[n] || to == BROADCAST;
            dropped[n] += u64::from(!taken);
            let expected = taken.then(|| (format!("vf{n}"), sent.clone(), 0x10));
            assert_eq!(bench.received(), Vec::from_iter(expected));
        }
        let sent = frame(to, pf_mac, length);
        bench.pf.tx.send(&mut bench.dut, &sent);
        assert_eq!(bench.received(), [("wire0".into(), sent.clone(), 0)]);
        bench.dut.receive(0, &sent);
        assert_eq!(bench.received(), [("pf".into(), sent, 1)]);
    }
    for (n, vf) in bench.vfs.iter_mut().enumerate() {
        let stats = vf.driver.stats(&mut bench.dut, 0);
        assert_eq!(stats.rx_filtered, dropped[n]);
        assert_eq!((stats.tx_spoofed, stats.tx_unicast), (0, 5));
    }
}

#[test]
fn a_vf_takes_what_its_filters_let_pass() {
    let mut bench = bench(1);
    let send = |bench: &mut Bench, sent: &[u8]| {
        bench.representors[0].tx.send(&mut bench.dut, sent);
        bench.received().len()
    };
    let plain = frame(MULTICAST, PEER, 60);
    assert_eq!(send(&mut bench, &plain), 0);
    let multicast = MULTICAST
        .iter()
        .rev()
        .fold(0, |w, b| (w << 8) | u64::from(*b));
    let vf = &mut bench.vfs[0].driver;
    vf.request_ok(&mut bench.dut, Opcode::MAC_LIST, 0, 0, &[multicast]);
    assert_eq!(send(&mut bench, &plain), 1);
    let filter = vport_flags::VLAN_FILTER;
    let vf = &mut bench.vfs[0].driver;
    vf.flags(&mut bench.dut, 0, filter, filter);
    assert_eq!(send(&mut bench, &tagged(&plain, 0x8100, 5)), 0);
    let vf = &mut bench.vfs[0].driver;
    assert_eq!(vf.stats(&mut bench.dut, 0).rx_vlan, 1);
    let trust = VfConfig {
        fields: vf_fields::TRUST,
        trust: 1,
        ..VfConfig::ZERO
    };
    bench.pf.driver.vf_set(&mut bench.dut, 0, trust);
    let stranger = frame(STRANGER, PEER, 60);
    assert_eq!(send(&mut bench, &stranger), 0);
    let all = vport_flags::PROMISCUOUS;
    let vf = &mut bench.vfs[0].driver;
    vf.flags(&mut bench.dut, 0, all, all);
    assert_eq!(send(&mut bench, &stranger), 1);
}

#[test]
fn the_pfs_vlan_filter_applies_to_what_the_wire_brings() {
    let mut bench = bench(1);
    let filter = vport_flags::VLAN_FILTER;
    bench.pf.driver.flags(&mut bench.dut, 0, filter, filter);
    let sent = frame(bench.pf.mac, PEER, 60);
    bench.dut.receive(0, &tagged(&sent, 0x8100, 5));
    assert!(bench.received().is_empty());
    assert_eq!(bench.pf.driver.stats(&mut bench.dut, 0).rx_vlan, 1);
    assert_eq!(bench.pf.driver.port_stats(&mut bench.dut).rx_filtered, 1);
    bench.dut.receive(0, &sent);
    assert_eq!(bench.received().len(), 1);
}

#[test]
fn what_the_pf_laid_on_a_vf_is_in_force_again_in_legacy_mode() {
    let mut bench = bench(1);
    let vlan = VfConfig {
        fields: vf_fields::VLAN,
        vlan: 7,
        vlan_proto: 0x8100,
        ..VfConfig::ZERO
    };
    bench.pf.driver.vf_set(&mut bench.dut, 0, vlan);
    let spoofed = frame(PEER, STRANGER, 60);
    bench.vfs[0].tx.send(&mut bench.dut, &spoofed);
    assert_eq!(bench.received(), [("rep0".into(), spoofed.clone(), 0x100)]);
    let own = frame(bench.vfs[0].mac, PEER, 60);
    bench.representors[0].tx.send(&mut bench.dut, &own);
    assert_eq!(bench.received(), [("vf0".into(), own.clone(), 0x10)]);
    for opcode in [Opcode::TX_DESTROY, Opcode::RX_DESTROY] {
        let pf = &mut bench.pf.driver;
        pf.set_ok(&mut bench.dut, opcode, 0, [10, 0, 0, 0, 0]);
    }
    set_mode(&mut bench.dut, &mut bench.pf.driver, EswitchMode::LEGACY);
    bench.representors.clear();
    bench.vfs[0].tx.send(&mut bench.dut, &spoofed);
    assert!(bench.received().is_empty());
    let honest = frame(PEER, bench.vfs[0].mac, 60);
    bench.vfs[0].tx.send(&mut bench.dut, &honest);
    let on_wire = ("wire0".into(), tagged(&honest, 0x8100, 7), 0);
    assert_eq!(bench.received(), [on_wire]);
    bench.dut.receive(0, &own);
    assert!(bench.received().is_empty());
    bench.dut.receive(0, &tagged(&own, 0x8100, 7));
    assert_eq!(bench.received(), [("vf0".into(), own, 1)]);
}

#[test]
fn an_inactive_eswitch_drops_and_counts_but_for_what_goes_past_it() {
    let mut bench = bench(1);
    let mode = EswitchMode::SWITCHDEV_INACTIVE;
    set_mode(&mut bench.dut, &mut bench.pf.driver, mode);
    let sent = frame(bench.vfs[0].mac, bench.pf.mac, 60);
    bench.vfs[0].tx.send(&mut bench.dut, &sent);
    bench.representors[0].tx.send(&mut bench.dut, &sent);
    bench.pf.tx.send(&mut bench.dut, &sent);
    bench.dut.receive(0, &sent);
    assert!(bench.received().is_empty());
    let pf = &mut bench.pf.driver;
    let counts = [0, PORTS].map(|vport| pf.stats(&mut bench.dut, vport));
    let vf = bench.vfs[0].driver.stats(&mut bench.dut, 0);
    for stats in [counts[0], counts[1], vf] {
        assert_eq!((stats.tx_inactive, stats.tx_unicast), (1, 0));
    }
    assert_eq!(bench.pf.driver.port_stats(&mut bench.dut).rx_filtered, 1);
    let context = TxContext {
        flags: tx_flags::DESTINATION,
        destination: 0x100,
        ..TxContext::ZERO
    };
    let tx = &mut bench.pf.tx;
    tx.queue(&mut bench.dut, &sent, &[], Some(context), TxData::ZERO);
    tx.ring(&mut bench.dut);
    assert_eq!(bench.received(), [("vf0".into(), sent.clone(), 0x10)]);
    let mode = EswitchMode::SWITCHDEV;
    set_mode(&mut bench.dut, &mut bench.pf.driver, mode);
    bench.vfs[0].tx.send(&mut bench.dut, &sent);
    assert_eq!(bench.received(), [("rep0".into(), sent, 0x100)]);
}

#[test]
fn links_follow_the_other_end() {
    let mut bench = bench(2);
    let representor = bench.representors[1].vport;
    let enabled = vport_flags::ENABLED;
    let pf = |bench: &mut Bench| bench.links(|bench| &mut bench.pf.driver);
    let vf = |bench: &mut Bench| bench.links(|bench| &mut bench.vfs[1].driver);
    assert_eq!(bench.pf.driver.info(&mut bench.dut, representor).link, 1);
    // The VF goes down, and the wire below it: that is no matter.
    bench.vfs[1].driver.flags(&mut bench.dut, 0, 0, enabled);
    assert_eq!(pf(&mut bench), [(representor, 0)]);
    bench.dut.carrier(0, false);
    assert_eq!((pf(&mut bench), vf(&mut bench)), (vec![(0, 0)], vec![]));
    bench.vfs[1].driver.enable(&mut bench.dut, 0);
    assert_eq!(pf(&mut bench), [(representor, 1)]);
    let info = bench.pf.driver.info(&mut bench.dut, representor);
    assert_eq!((info.link, info.speed), (1, 400_000));
    // The representor goes down.
    let driver = &mut bench.pf.driver;
    driver.flags(&mut bench.dut, representor, 0, enabled);
    assert_eq!((pf(&mut bench), vf(&mut bench)), (vec![], vec![(0, 0)]));
    let sent = frame(PEER, bench.vfs[1].mac, 60);
    bench.vfs[1].tx.send(&mut bench.dut, &sent);
    assert_eq!(bench.vfs[1].driver.stats(&mut bench.dut, 0).tx_disabled, 1);
    bench.pf.driver.enable(&mut bench.dut, representor);
    assert_eq!(vf(&mut bench), [(0, 1)]);
    // The PF decides.
    for (link, told_vf, told_pf) in [
        (VfLink::DISABLE, vec![(0, 0)], vec![(representor, 0)]),
        (VfLink::ENABLE, vec![(0, 1)], vec![(representor, 1)]),
        (VfLink::AUTO, vec![], vec![]),
    ] {
        let config = VfConfig {
            fields: vf_fields::LINK,
            link,
            ..VfConfig::ZERO
        };
        bench.pf.driver.vf_set(&mut bench.dut, 1, config);
        assert_eq!((vf(&mut bench), pf(&mut bench)), (told_vf, told_pf));
    }
    // Its driver goes, by a reset or because the VF halts.
    bench.dut.reset(Function::Vf(1));
    assert_eq!(pf(&mut bench), [(representor, 0)]);
    let halt = serde_json::json!({"cmd": "halt", "function": 1});
    bench.dut.control(halt);
    bench.dut.settle();
    assert_eq!(pf(&mut bench), [(bench.representors[0].vport, 0)]);
}

#[test]
fn a_change_of_mode_keeps_vfs_at_work() {
    let mut dut = Device::new(PORTS as u8, 1);
    let mut pf = Port::new(&mut dut, PF);
    let mut vf = Port::vfs(&mut dut, &mut pf.driver, 1).remove(0);
    vf.driver.events(&mut dut);
    let before = vf.driver.info(&mut dut, 0);
    set_mode(&mut dut, &mut pf.driver, EswitchMode::SWITCHDEV);
    assert_eq!(vf.driver.info(&mut dut, 0).link, 0, "no other end yet");
    set_mode(&mut dut, &mut pf.driver, EswitchMode::LEGACY);
    assert_eq!(vf.driver.info(&mut dut, 0), before);
    let events = vf.driver.events(&mut dut);
    let kinds: Vec<_> = events.iter().map(|e| (e.kind, e.detail)).collect();
    assert_eq!(kinds, [(EventKind::LINK, 0), (EventKind::LINK, 1)]);
    vf.tx.send(&mut dut, &frame(pf.mac, vf.mac, 60));
    assert_eq!(pf.rx.take(&mut dut).len(), 1);
}

#[test]
fn a_reset_of_the_pf_cuts_off_vfs_until_representors_are_back() {
    let mut bench = bench(2);
    bench.pf = Port::new(&mut bench.dut, PF);
    bench.representors.clear();
    let mode = mode_of(&mut bench.dut, &mut bench.pf.driver);
    assert_eq!(mode, EswitchMode::SWITCHDEV);
    for to in [bench.pf.mac, bench.vfs[1].mac, [0xff; 6]] {
        let sent = frame(to, bench.vfs[0].mac, 60);
        bench.vfs[0].tx.send(&mut bench.dut, &sent);
    }
    assert_eq!(bench.received(), []);
    set_mode(&mut bench.dut, &mut bench.pf.driver, EswitchMode::SWITCHDEV);
    let driver = &mut bench.pf.driver;
    bench.representors = vec![Representor::new(&mut bench.dut, driver, 0)];
    let sent = frame(bench.pf.mac, bench.vfs[0].mac, 60);
    bench.vfs[0].tx.send(&mut bench.dut, &sent);
    let received: Vec<_> = bench.received().into_iter().map(|(at, ..)| at).collect();
    assert_eq!(received.len(), 1, "its representor only: {received:?}");
}

#[test]
fn a_function_level_reset_of_the_pf_and_one_without_vfs_return_to_legacy_mode() {
    let mut bench = bench(1);
    bench.dut.function_level_reset(PF);
    bench.pf = Port::new(&mut bench.dut, PF);
    let mode = mode_of(&mut bench.dut, &mut bench.pf.driver);
    assert_eq!(mode, EswitchMode::LEGACY);
    set_mode(&mut bench.dut, &mut bench.pf.driver, EswitchMode::SWITCHDEV);
    bench.pf = Port::new(&mut bench.dut, PF);
    let mode = mode_of(&mut bench.dut, &mut bench.pf.driver);
    assert_eq!(mode, EswitchMode::LEGACY);
}

#[test]
fn statistics_of_vfs_end_with_a_reset_of_the_pf() {
    let mut bench = bench(1);
    let at = bench.dut.host.allocate(4096);
    let watch = Submission {
        function: 1,
        parameters: StatsDma {
            address: at,
            period: 10,
        }
        .to_words(),
        ..bench.pf.driver.submission(Opcode::STATS_DMA)
    };
    let done = bench.pf.driver.run(&mut bench.dut, watch, &[]);
    assert_eq!(done.status, Status::OK);
    bench.pf = Port::new(&mut bench.dut, PF);
    bench.dut.advance(50_000_000);
    assert_eq!(bench.dut.host.words::<1>(at), [2], "it is not written");
}

#[test]
fn statistics_of_a_vf_come_to_its_pf_beside_its_own() {
    let mut bench = bench(1);
    let (ours, theirs) = (bench.dut.host.allocate(4096), bench.dut.host.allocate(4096));
    let set = |address, period| StatsDma { address, period }.to_words();
    let vf = &mut bench.vfs[0].driver;
    vf.set_ok(&mut bench.dut, Opcode::STATS_DMA, 0, set(theirs, 20));
    let watch = |bench: &mut Bench, function, vport, parameters| {
        let submission = Submission {
            function,
            vport,
            parameters,
            ..bench.pf.driver.submission(Opcode::STATS_DMA)
        };
        why(&bench.pf.driver.run(&mut bench.dut, submission, &[]))
    };
    let none = (Status::ENOENT, Qualifier::OBJECT, 6);
    assert_eq!(watch(&mut bench, 2, 0, set(ours, 10)), none);
    let field = (Status::EINVAL, Qualifier::FIELD, 4);
    assert_eq!(watch(&mut bench, 1, 1, set(ours, 10)), field);
    let ok = (Status::OK, Qualifier::NONE, 0);
    assert_eq!(watch(&mut bench, 1, 0, set(ours, 10)), ok);
    let submission = Submission {
        function: 1,
        parameters: set(theirs, 10),
        ..bench.vfs[0].driver.submission(Opcode::STATS_DMA)
    };
    let refused = bench.vfs[0].driver.run(&mut bench.dut, submission, &[]);
    assert_eq!(why(&refused), (Status::EPERM, Qualifier::PRIVILEGE, 6));
    let sent = frame(PEER, bench.vfs[0].mac, 60);
    bench.vfs[0].tx.send(&mut bench.dut, &sent);
    bench.dut.advance(20_000_000);
    let at = |bench: &Bench, at| VportStats::from_words(&bench.dut.host.words(at));
    let (own, watched) = (at(&bench, theirs), at(&bench, ours));
    assert_eq!((own.sequence, watched.sequence), (4, 6));
    assert_eq!((own.tx_unicast, watched.tx_unicast), (1, 1));
    // The VF's reset ends its own, VF_DISABLE that of the PF.
    bench.dut.reset(Function::Vf(0));
    bench.dut.advance(20_000_000);
    assert_eq!(at(&bench, theirs).sequence, 4);
    assert_eq!(at(&bench, ours).sequence, 10);
    let range = VfRange { first: 0, count: 1 };
    let pf = &mut bench.pf.driver;
    pf.set_ok(&mut bench.dut, Opcode::VF_DISABLE, 0, range.to_words());
    bench.dut.advance(50_000_000);
    assert_eq!(at(&bench, ours).sequence, 10);
}

#[test]
fn a_representor_counts_its_own_frames() {
    let mut bench = bench(1);
    let to_vf = frame(bench.vfs[0].mac, PEER, 100);
    let from_vf = frame(PEER, bench.vfs[0].mac, 60);
    bench.representors[0].tx.send(&mut bench.dut, &to_vf);
    bench.vfs[0].tx.send(&mut bench.dut, &from_vf);
    let stats = bench.pf.driver.stats(&mut bench.dut, PORTS);
    assert_eq!((stats.tx_unicast, stats.tx_bytes), (1, 100));
    assert_eq!((stats.rx_unicast, stats.rx_bytes), (1, 60));
    let wire = bench.pf.driver.stats(&mut bench.dut, 0);
    assert_eq!((wire.tx_unicast, wire.rx_unicast), (0, 0));
}

#[test]
fn a_representor_is_on_its_vfs_wire_port_but_does_not_work_it() {
    let mut dut = Device::new(PORTS as u8, 1);
    let mut pf = Driver::new(&mut dut, PF);
    pf.enable_vfs(&mut dut, 1);
    set_mode(&mut dut, &mut pf, EswitchMode::SWITCHDEV);
    let config = VfConfig {
        fields: vf_fields::PORT,
        port: 1,
        ..VfConfig::ZERO
    };
    pf.vf_set(&mut dut, 0, config);
    let info = pf.info(&mut dut, PORTS);
    assert_eq!((info.port, info.eswitch_port), (1, 0x11));
    let refused = (Status::EOPNOTSUPP, Qualifier::FIELD, 4);
    for opcode in [
        Opcode::PORT_SET,
        Opcode::PORT_IDENTIFY,
        Opcode::STEERING_CLEAR,
    ] {
        let completion = pf.set(&mut dut, opcode, PORTS, [0; 5]);
        assert_eq!(why(&completion), refused, "{}", opcode.text());
    }
    let read = Submission {
        buffer: pf.buffer,
        buffer_length: 128,
        vport: PORTS,
        ..pf.submission(Opcode::PORT_MODULE)
    };
    let completion = pf.raw(&mut dut, &read.to_words());
    assert_eq!(why(&completion), refused);
}

#[test]
fn a_rate_limit_holds_in_switchdev_mode() {
    let mut bench = bench(1);
    let config = VfConfig {
        fields: vf_fields::RATE,
        rate_max: 1,
        ..VfConfig::ZERO
    };
    bench.pf.driver.vf_set(&mut bench.dut, 0, config);
    let sent = frame(PEER, bench.vfs[0].mac, 1500);
    let mut arrived = 0;
    for _ in 0..4 {
        for _ in 0..40 {
            let tx = &mut bench.vfs[0].tx;
            tx.queue(&mut bench.dut, &sent, &[], None, TxData::ZERO);
        }
        bench.vfs[0].tx.ring(&mut bench.dut);
        arrived += bench.received().len();
    }
    assert!((80..110).contains(&arrived), "{arrived} of 160 in no time");
}

#[test]
fn a_vf_that_leaves_the_bus_takes_the_link_down() {
    let mut bench = bench(1);
    bench.dut.nic.set_vfs_enabled(&mut bench.dut.host, 0);
    let links = bench.links(|bench| &mut bench.pf.driver);
    assert_eq!(links, [(PORTS, 0)]);
}

#[test]
fn frames_without_an_address_go_to_the_pf_alone() {
    let mut bench = bench(1);
    let all = vport_flags::RX_ALL;
    bench.pf.driver.flags(&mut bench.dut, 0, all, all);
    bench.pf.driver.flags(&mut bench.dut, PORTS, all, all);
    bench.vfs[0].driver.flags(&mut bench.dut, 0, all, all);
    bench.dut.receive(0, &[7; 10]);
    assert_eq!(bench.received(), [("pf".into(), vec![7; 10], 1)]);
    let mode = EswitchMode::SWITCHDEV_INACTIVE;
    set_mode(&mut bench.dut, &mut bench.pf.driver, mode);
    bench.dut.receive(0, &[7; 10]);
    assert!(bench.received().is_empty());
    assert_eq!(bench.pf.driver.port_stats(&mut bench.dut).rx_undersize, 2);
}
