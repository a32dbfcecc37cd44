// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Any rules over any frames: what leaves, in which order, with which bytes, and what is counted.

use crate::case::{Case, Spec, Step, case};
use crate::device::Device;
use crate::fields::{oracle_ports, received};
use crate::frames::{self, Outer};
use crate::oracle::{Event, Noted};
use oxnic_offload::oracle::{Entry, Table};
use oxnic_offload::packet::tunnel::{Opened, TunnelKind, TunnelOptions, flag, open};
use oxnic_offload::packet::{Frame, Tunnel, dissect, ethernet};
use oxnic_offload::plan::{TunnelDevice, TunnelId};
use oxnic_offload::rule::field::TABLE;
use oxnic_offload::rule::{
    Action, Chain, Classifier, Cookie, Field, Key, OptionsMatch, Police, Port, Range, Rule, Seen,
    Values, Verdict,
};
use proptest::prelude::*;

/// A frame that rules match by, as the oracle sees it.
struct Sample<'f> {
    values: Values<'f>,
    protocol: u16,
}

impl Spec {
    fn key<'r>(&'r self, sample: &Sample<'r>, mask: &'r [u8], external: bool) -> Key<'r> {
        let mut key = Key::default();
        for one in &self.fields {
            let field = TABLE[one.field.index(TABLE.len())].field;
            let width = field.width();
            let spare = width * 8 - field.description().bits;
            let mut bits = vec![0xffu8; width];
            match one.how {
                0 => {}
                1 => bits[width / 2..].fill(0),
                _ => bits.iter_mut().for_each(|byte| *byte = one.noise),
            }
            // Of ports no part can be matched, nor what is not in the packet at all.
            if field == Field::IngressPort {
                bits.fill(0xff);
            }
            bits[0] &= 0xff >> spare;
            let value: Vec<u8> = sample
                .values
                .get(field)
                .iter()
                .zip(&bits)
                .map(|(value, bits)| value & bits)
                .collect();
            if bits.iter().any(|byte| *byte != 0) {
                key.set(field, &value, &bits).unwrap();
            }
        }
        let range = |range: Option<(u16, u16)>| range.map(|(min, max)| Range { min, max });
        [key.src_range, key.dst_range] = self.ranges.map(range);
        if external {
            // Whose frames a rule of a tunnel device opens has to be said.
            let v6 = sample.values.get(Field::EncFamily) == [6];
            let field = if v6 {
                Field::EncIpv6Dst
            } else {
                Field::EncIpv4Dst
            };
            key.exact(field, sample.values.get(field)).unwrap();
            key.options = match (self.options, sample.values.options) {
                (Some(length), TunnelOptions::Geneve(options)) => {
                    let length = (usize::from(length % 8) * 4).min(options.len());
                    let value = &options[..length];
                    let mask = &mask[..length];
                    if length == 0 {
                        OptionsMatch::Any
                    } else {
                        OptionsMatch::Geneve { value, mask }
                    }
                }
                (Some(bits), TunnelOptions::Group(value)) => {
                    let mask = 0x0048_ff00 | u32::from(bits);
                    OptionsMatch::Group {
                        value: value & mask,
                        mask,
                    }
                }
                _ => OptionsMatch::Any,
            };
        }
        key
    }
}

/// What a tunnelled frame is, as the oracle has it. A gretap device without `icsum` drops what has a checksum.
fn opened<'a>(frame: &Frame<'a>, kind: TunnelKind) -> Option<Opened<'a>> {
    let checked =
        |opened: &Opened<'_>| kind == TunnelKind::Gretap && opened.tunnel.flags & flag::CSUM != 0;
    open(frame, &oracle_ports(true)).filter(|opened| opened.port.kind == kind && !checked(opened))
}

fn sample<'f>(bytes: &[u8], tunnel: &Tunnel<'f>) -> Option<Sample<'f>> {
    let (data, tag, protocol) = received(bytes)?;
    let frame = Frame {
        data: &data,
        tag,
        protocol,
    };
    let packet = dissect(&frame);
    let seen = Seen {
        port: Port(1),
        packet: &packet,
        tunnel,
    };
    let bytes = Values::new(&seen).bytes;
    Some(Sample {
        values: Values {
            bytes,
            options: tunnel.options,
        },
        protocol: frame.filter_protocol(),
    })
}

/// Plays a case on both. `outer` puts all frames into a tunnel, and the rules on the device of that.
fn play(case: &Case, outer: Option<&Outer>) {
    let kind = outer.map(|outer| match outer.kind {
        0 => TunnelKind::Vxlan {
            group_policy: false,
        },
        1 => TunnelKind::Vxlan { group_policy: true },
        2 => TunnelKind::Geneve,
        _ => TunnelKind::Gretap,
    });
    let wire: Vec<Vec<u8>> = case
        .frames
        .iter()
        .map(|(frame, _)| match outer {
            Some(outer) => outer.around(frame),
            None => frame.clone(),
        })
        .collect();
    let outers: Vec<_> = wire.iter().map(|bytes| received(bytes)).collect();
    let notes: Vec<Option<(Tunnel<'_>, &[u8])>> = outers
        .iter()
        .zip(&wire)
        .map(|(outer, bytes)| {
            let Some(kind) = kind else {
                return Some((Tunnel::default(), bytes.as_slice()));
            };
            let (data, tag, protocol) = outer.as_ref()?;
            let frame = Frame {
                data,
                tag: *tag,
                protocol: *protocol,
            };
            let opened = opened(&frame, kind)?;
            received(opened.inner)?;
            Some((opened.tunnel, opened.inner))
        })
        .collect();
    let samples: Vec<Sample<'_>> = notes
        .iter()
        .flatten()
        .filter_map(|(note, bytes)| sample(bytes, note))
        .collect();
    if samples.is_empty() {
        return;
    }
    let polices: Vec<Police> = case
        .polices
        .iter()
        .zip(0..)
        .map(|((rate, mtu), index)| Police {
            index,
            rate: *rate,
            mtu: *mtu,
            conform: Verdict::Pipe,
            exceed: Verdict::Drop,
        })
        .collect();
    let mask = [0xffu8; 252];
    let actions: Vec<Vec<Action<'_>>> = case
        .specs
        .iter()
        .map(|spec| {
            spec.steps
                .iter()
                .map(|step| match step {
                    Step::Plain(action) => *action,
                    Step::Edits(edits) => Action::Pedit(edits),
                    Step::Police(which, conform, exceed) => Action::Police(Police {
                        conform: *conform,
                        exceed: *exceed,
                        ..polices[*which]
                    }),
                })
                .collect()
        })
        .collect();
    let rules = case
        .specs
        .iter()
        .zip(&actions)
        .zip(0..)
        .map(|((spec, actions), number)| {
            let sample = &samples[spec.frame.index(samples.len())];
            let matchall = spec.matchall && kind.is_none();
            Rule {
                cookie: Cookie(number),
                classifier: if matchall {
                    Classifier::Matchall
                } else {
                    Classifier::Flower
                },
                chain: Chain(spec.chain),
                priority: spec.priority,
                protocol: spec.protocol.map_or(ethernet::ALL, |index| {
                    samples[index.index(samples.len())].protocol
                }),
                key: if matchall {
                    Key::default()
                } else {
                    spec.key(sample, &mask, kind.is_some())
                },
                actions,
            }
        });
    let device = kind.map(|kind| TunnelDevice {
        number: 1,
        kind,
        port: match kind {
            TunnelKind::Gretap => 0,
            _ => frames::PORTS[usize::from(outer.unwrap().kind)],
        },
        id: TunnelId::External,
        local: None,
        remote: None,
    });
    let mut slots: Vec<Option<Entry<'_>>> = vec![None; case.specs.len()];
    let mut table = Table::new(&mut slots);
    let mut device = Device::new(device);
    for police in &polices {
        device.meter(police);
    }
    let mut there = Vec::new();
    for rule in rules {
        // What tc itself refuses, or the plan, is on neither side.
        if table.insert(rule).is_err() {
            continue;
        }
        match device.add(&rule) {
            Ok(()) => there.push(rule),
            Err(_) => {
                table.remove(rule.cookie).unwrap();
            }
        }
    }
    let mut oracle = Noted::default();
    let half = case.frames.len() / 2;
    for (at, ((_, wait), (bytes, note))) in
        case.frames.iter().zip(wire.iter().zip(&notes)).enumerate()
    {
        if at == half {
            for gone in case.gone.iter().take(there.len()) {
                let rule = there.swap_remove(gone.index(there.len()));
                table.remove(rule.cookie).unwrap();
                device.remove(rule.cookie.0);
            }
        }
        oracle.now += wait;
        oracle.events.clear();
        match (note, kind) {
            (Some((note, inner)), Some(_)) => oracle.play(&table, inner, Some(*note)),
            (Some((_, bytes)), None) => oracle.play(&table, bytes, None),
            (None, _) => {}
        }
        let mut events = device.play(bytes, oracle.now);
        if kind.is_some() {
            // What goes up has its tunnel around it.
            for event in &mut events {
                if let Event::Up(_, up) = event {
                    assert_eq!(up, bytes);
                    up.clear();
                }
            }
            for event in &mut oracle.events {
                if let Event::Up(_, up) = event {
                    up.clear();
                }
            }
            if note.is_none() {
                events.clear();
            }
        }
        assert_eq!(events, oracle.events, "frame {at}");
    }
    for (rule, action, packets, bytes) in device.counts() {
        let expected = oracle
            .counts
            .get(&(rule, action))
            .copied()
            .unwrap_or_default();
        assert_eq!((packets, bytes), expected, "rule {rule} action {action:?}");
    }
}

proptest! {
    #![proptest_config(crate::config(3000))]

    #[test]
    fn over_frames(case in case()) {
        play(&case, None);
    }

    #[test]
    fn over_tunnels(case in case(), outer in frames::outer()) {
        // The oracle does not join congestion marks.
        let outer = Outer { tos: outer.tos & !3, fragment: outer.fragment & 0x4000, ..outer };
        play(&case, Some(&outer));
    }
}
