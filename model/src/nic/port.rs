// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Wire ports: carrier, speed and counters.
//!
//! The device owns them; the PF sets them up.

use super::frame::{BROADCAST, is_group};
use oxnic_abi::port::{Fec, speeds};
use oxnic_abi::stats::PortStats;

/// Bytes of the frame check sequence, which is not in the frames that the device sees but is in counters.
const FCS: u64 = 4;
/// Shortest frame on a wire without FCS; shorter ones are padded.
pub const WIRE_MIN: usize = 60;
/// Speeds that a port can be set to.
pub const SUPPORTED: u32 = speeds::S1G
    | speeds::S10G
    | speeds::S25G
    | speeds::S40G
    | speeds::S50G
    | speeds::S100G
    | speeds::S200G
    | speeds::S400G;
/// Speed where none was set, in Mbit/s.
pub const FASTEST: u32 = 400_000;
/// Upper ends of the length classes of the counters, FCS included; the last class has none.
const LENGTHS: [u64; 9] = [64, 127, 255, 511, 1023, 1518, 2047, 4095, 8191];

/// How noisy a wire is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// Not at all.
    None,
    /// So that any forward error correction mends it.
    Some,
    /// So that the strongest does.
    Much,
}

/// A wire port.
#[derive(Clone, Debug)]
pub struct WirePort {
    /// Burnt-in address.
    pub mac: [u8; 6],
    /// The wire has a carrier.
    pub carrier: bool,
    /// Enabled by the driver.
    pub enabled: bool,
    /// Speed that was set; 0: the fastest.
    pub speed_set: u32,
    /// Forward error correction that was set.
    pub fec_set: Fec,
    /// How noisy the wire is.
    pub noise: Noise,
    /// Times that the link went down.
    pub link_downs: u32,
    /// It blinks.
    pub identify: bool,
    /// Counters.
    pub stats: PortStats,
}

impl WirePort {
    /// A port without carrier.
    pub fn new(mac: [u8; 6]) -> Self {
        Self {
            mac,
            carrier: false,
            enabled: true,
            speed_set: 0,
            fec_set: Fec::AUTO,
            noise: Noise::None,
            link_downs: 0,
            identify: false,
            stats: PortStats::ZERO,
        }
    }

    /// Whether the link is up.
    pub fn link(&self) -> bool {
        self.carrier && self.enabled
    }

    /// Speed in Mbit/s while the link is up.
    pub fn speed(&self) -> u32 {
        actual(self.speed_set)
    }

    /// As after power-on, but for the carrier and the counters.
    pub fn reset(&mut self) {
        self.enabled = true;
        self.speed_set = 0;
        self.fec_set = Fec::AUTO;
        self.identify = false;
    }

    /// Sets the speed; 0: the fastest. Error correction that it does not have is not set any more.
    pub fn set_speed(&mut self, speed: u32) {
        self.speed_set = speed;
        if fec_modes(speed) & self.fec_set.bit() == 0 {
            self.fec_set = Fec::AUTO;
        }
    }

    /// Forward error correction while the link is up.
    pub fn fec(&self) -> Fec {
        match self.fec_set {
            Fec::AUTO => *fec_of(self.speed()).last().unwrap_or(&Fec::OFF),
            set => set,
        }
    }

    /// Whether a frame gets through the noise, each of which damages a block of code.
    pub fn survives_noise(&mut self) -> bool {
        // Of every frame, so before anything else.
        if self.noise == Noise::None {
            return true;
        }
        let fec = self.fec();
        let mended = match self.noise {
            Noise::Much => fec == Fec::REED_SOLOMON,
            _ => fec != Fec::OFF,
        };
        let stats = &mut self.stats;
        match (mended, fec) {
            (true, _) => stats.fec_corrected += 1,
            (false, Fec::OFF) => stats.rx_fcs_errors += 1,
            (false, _) => stats.fec_uncorrectable += 1,
        }
        mended
    }

    /// Counts a frame that arrived.
    pub fn count_received(&mut self, frame: &[u8]) {
        let length = frame.len() as u64 + FCS;
        let stats = &mut self.stats;
        stats.rx_frames += 1;
        stats.rx_octets += length;
        stats.rx_lengths[class(length)] += 1;
        let (multicast, broadcast) = kind(frame);
        stats.rx_multicast += u64::from(multicast);
        stats.rx_broadcast += u64::from(broadcast);
        let (control, pause) = control(frame);
        stats.rx_control += u64::from(control);
        stats.rx_pause += u64::from(pause);
    }

    /// Counts a frame that was sent.
    pub fn count_sent(&mut self, frame: &[u8]) {
        let length = frame.len() as u64 + FCS;
        let stats = &mut self.stats;
        stats.tx_frames += 1;
        stats.tx_octets += length;
        stats.tx_lengths[class(length)] += 1;
        let (multicast, broadcast) = kind(frame);
        stats.tx_multicast += u64::from(multicast);
        stats.tx_broadcast += u64::from(broadcast);
        let (control, pause) = control(frame);
        stats.tx_control += u64::from(control);
        stats.tx_pause += u64::from(pause);
    }
}

/// A speed that was set, which 0 is not.
fn actual(speed: u32) -> u32 {
    match speed {
        0 => FASTEST,
        speed => speed,
    }
}

/// The forward error correction that can be set at a speed, 0 being the fastest: bit n for value n.
pub fn fec_modes(speed: u32) -> u8 {
    fec_of(actual(speed))
        .iter()
        .fold(Fec::AUTO.bit(), |all, one| all | one.bit())
}

/// The kinds of forward error correction that a speed has, the strongest last (IEEE 802.3, and the 25G/50G consortium's for 50G).
fn fec_of(speed: u32) -> &'static [Fec] {
    match speed {
        10_000 | 40_000 => &[Fec::OFF, Fec::BASE_R],
        25_000 | 50_000 => &[Fec::OFF, Fec::BASE_R, Fec::REED_SOLOMON],
        100_000 => &[Fec::OFF, Fec::REED_SOLOMON],
        200_000 | 400_000 => &[Fec::REED_SOLOMON],
        _ => &[Fec::OFF],
    }
}

fn class(length: u64) -> usize {
    LENGTHS.partition_point(|end| *end < length)
}

/// Whether a frame is multicast, and whether it is broadcast.
fn kind(frame: &[u8]) -> (bool, bool) {
    match frame.first_chunk::<6>() {
        Some(&BROADCAST) => (false, true),
        Some(address) => (is_group(address), false),
        None => (false, false),
    }
}

/// Whether a frame is one of MAC control, and whether it is a PAUSE.
fn control(frame: &[u8]) -> (bool, bool) {
    match frame.get(12..16) {
        Some([0x88, 0x08, 0, 1]) => (true, true),
        Some([0x88, 0x08, ..]) => (true, false),
        _ => (false, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_classes_end_where_the_interface_says() {
        let ends = [
            64, 65, 127, 128, 255, 256, 511, 512, 1023, 1024, 1518, 1519, 2047, 2048, 4095,
        ];
        let classes: Vec<usize> = ends.iter().map(|length| class(*length)).collect();
        assert_eq!(classes, [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]);
        assert_eq!(
            (class(4096), class(8191), class(8192), class(10_000)),
            (8, 8, 9, 9)
        );
    }

    #[test]
    fn counters_include_the_check_sequence() {
        let mut port = WirePort::new([0; 6]);
        port.count_received(&[0xff; 60]);
        port.count_sent(&[1, 0, 0x5e, 0, 0, 1]);
        assert_eq!((port.stats.rx_octets, port.stats.rx_broadcast), (64, 1));
        assert_eq!((port.stats.rx_multicast, port.stats.tx_multicast), (0, 1));
    }
}
