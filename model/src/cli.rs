// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The command line of `oxnic-device`, and how devices are built from it.

use crate::board::Board;
use crate::chaos::{Chaos, GRAMMAR};
use crate::command::COMMANDS;
use crate::control::Control;
use crate::flash::FileFlash;
use crate::host::{Function, MAX_PORTS, MAX_VFS, NicConfig, NicCore};
use crate::machine::{Device, Machine};
use crate::nic::firmware::flash::{Flash, MemoryFlash};
use crate::pci::hierarchy::{Hierarchy, Identity};
use crate::wire::Wire;
use crate::wire::capture::Capture;
use crate::wire::spec::{PortSpec, WireSpec};
use crate::wire::stream::bind;
use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use std::path::PathBuf;
use std::str::FromStr;

const EXAMPLES: &str = r#"Example, with a stock e1000e at the far end of the wire:
  oxnic-device --socket /run/ox/dev --port 0=listen:/run/ox/wire0 --control /run/ox/control &
  qemu-system-x86_64 -machine q35,memory-backend=m -object memory-backend-memfd,id=m,size=1G,share=on -m 1G ...
    -device '{"driver":"vfio-user-pci","socket":{"path":"/run/ox/dev","type":"unix"}}'
    -netdev stream,id=w0,server=off,addr.type=unix,addr.path=/run/ox/wire0 -device e1000e,netdev=w0
  The guest needs the vmd driver; PF and VFs are in the PCI domain that this makes (10000:01:00.0 and so on).
  For hot plug by the root port add -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off."#;

/// Oxnic reference device: a SmartNIC with SR-IOV for stock QEMU, over vfio-user.
///
/// QEMU's vfio-user-pci sees an Intel VMD endpoint; behind it the guest finds a root port with a hot-plug slot and
/// below that the NIC: one physical function and up to 128 virtual functions. Wire ports carry Ethernet frames over
/// UNIX sockets. Each device runs on a thread of its own and serves one client at a time; when that goes, the device
/// is reset and waits for the next.
#[derive(Clone, Debug, Parser)]
#[command(name = "oxnic-device", version, after_long_help = format!("{COMMANDS}\n\n{GRAMMAR}\n\n{EXAMPLES}"))]
pub struct Options {
    /// vfio-user socket to listen at; once for each device
    #[arg(long, value_name = "PATH", required = true)]
    pub socket: Vec<PathBuf>,

    /// Far end of wire port N (0 to 3) of device D (0 if left out): listen:PATH (a peer connects), connect:PATH (to a
    /// peer, tried until it is there), loopback, replay:FILE (a pcap file, started by the control channel). Frames go
    /// in QEMU's stream framing: length in 4 bytes, big-endian, then the frame
    #[arg(long, value_name = "[D.]N=SPEC")]
    pub port: Vec<PortSpec>,

    /// Number of wire ports of each device [default: up to the highest --port, at least 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_PORTS)))]
    pub ports: Option<u8>,

    /// Record each wire port to DIR/portN.pcap (device D from 1 on: DIR/deviceD-portN.pcap)
    #[arg(long, value_name = "DIR")]
    pub pcap: Option<PathBuf>,

    /// Most VFs (SR-IOV TotalVFs); 0 leaves SR-IOV away
    #[arg(long, value_name = "N", default_value_t = MAX_VFS, value_parser = clap::value_parser!(u16).range(0..=i64::from(MAX_VFS)))]
    pub max_vfs: u16,

    /// MAC address of the first device's PF; the fourth byte counts devices
    #[arg(long, value_name = "MAC", default_value = "02:6f:78:00:00:00")]
    pub mac: Mac,

    /// Control socket to listen at; the k-th belongs to the k-th --socket
    #[arg(long, value_name = "PATH")]
    pub control: Vec<PathBuf>,

    /// File that keeps the firmware, made if it is not there; the k-th belongs to the k-th --socket. A device without one is each
    /// time as it was made
    #[arg(long, value_name = "FILE")]
    pub flash: Vec<PathBuf>,

    /// Let chosen operations fail from the start (see Chaos below)
    #[arg(long, value_name = "SPEC")]
    pub chaos: Option<String>,

    /// Exit when the client disconnects
    #[arg(long)]
    pub once: bool,

    /// Log level: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log: log::LevelFilter,
}

/// A unicast MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut mac = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut mac {
            *byte = parts
                .next()
                .filter(|part| part.len() == 2)
                .and_then(|part| u8::from_str_radix(part, 16).ok())
                .ok_or("must be six bytes in hexadecimal with colons between them")?;
        }
        if parts.next().is_some() {
            return Err("more than six bytes".to_string());
        }
        if mac[0] & 1 != 0 || mac == [0; 6] {
            return Err("must be a unicast address".to_string());
        }
        Ok(Mac(mac))
    }
}

impl Options {
    /// Whether the options fit together.
    ///
    /// # Errors
    /// Which do not.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.control.len() <= self.socket.len(),
            "more --control than --socket"
        );
        ensure!(
            self.flash.len() <= self.socket.len(),
            "more --flash than --socket"
        );
        for spec in &self.port {
            ensure!(
                spec.device < self.socket.len(),
                "--port names device {}, but there are {}",
                spec.device,
                self.socket.len()
            );
        }
        for device in 0..self.socket.len() {
            self.wires(device)?;
        }
        self.chaos()?;
        Ok(())
    }

    /// What is at the far ends of a device's wire ports; None is nothing.
    fn wires(&self, device: usize) -> Result<Vec<Option<&WireSpec>>> {
        let specs = || self.port.iter().filter(|spec| spec.device == device);
        let highest = specs().map(|spec| spec.port + 1).max().unwrap_or(1);
        let count = self.ports.unwrap_or(highest);
        ensure!(
            highest <= count,
            "--port {} is beyond --ports {count}",
            highest - 1
        );
        let mut wires = vec![None; usize::from(count)];
        for spec in specs() {
            if wires[usize::from(spec.port)].replace(&spec.wire).is_some() {
                bail!("port {} of device {device} is named twice", spec.port);
            }
        }
        Ok(wires)
    }

    fn chaos(&self) -> Result<Chaos> {
        let spec = self.chaos.as_deref().unwrap_or("off");
        spec.parse()
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("--chaos {spec}"))
    }

    /// Builds the `number`-th device around a NIC core.
    fn machine(&self, number: usize, make: &Make<'_>) -> Result<Machine> {
        let specs = self.wires(number)?;
        let mut mac = self.mac.0;
        mac[3] = mac[3].wrapping_add(number as u8);
        let config = NicConfig {
            ports: specs.len() as u8,
            max_vfs: self.max_vfs,
            mac,
        };
        let core = make(&config, self.flash(number)?);
        let hierarchy = Hierarchy::new(Identity {
            vectors: core.vectors(Function::Pf),
            total_vfs: self.max_vfs,
            serial: serial(mac),
        });
        let mut wires = Vec::new();
        for (port, spec) in specs.into_iter().enumerate() {
            let capture = self.capture(number, port)?;
            wires.push(match spec {
                Some(spec) => {
                    Wire::new(spec, capture).with_context(|| format!("wire port {port}"))?
                }
                None => Wire::unconnected(),
            });
        }
        let mut device = Device {
            board: Board::new(hierarchy, wires),
            core,
            chaos: Chaos::default(),
        };
        device
            .install_chaos(self.chaos()?)
            .map_err(anyhow::Error::msg)?;
        let control = match self.control.get(number) {
            Some(path) => Some(Control::listen(path).context("control socket")?),
            None => None,
        };
        let listener = bind(&self.socket[number]).context("vfio-user socket")?;
        Ok(Machine::new(device, listener, control, self.once))
    }

    /// Where a device's firmware is kept.
    fn flash(&self, device: usize) -> Result<Box<dyn Flash>> {
        let Some(path) = self.flash.get(device) else {
            return Ok(Box::new(MemoryFlash::default()));
        };
        let flash = FileFlash::open(path).with_context(|| path.display().to_string())?;
        Ok(Box::new(flash))
    }

    fn capture(&self, device: usize, port: usize) -> Result<Option<Capture>> {
        let Some(folder) = &self.pcap else {
            return Ok(None);
        };
        std::fs::create_dir_all(folder)?;
        let name = match device {
            0 => format!("port{port}.pcap"),
            _ => format!("device{device}-port{port}.pcap"),
        };
        let path = folder.join(name);
        let capture = Capture::create(&path).with_context(|| path.display().to_string())?;
        Ok(Some(capture))
    }
}

/// What makes a core, with the flash that it has.
type Make<'a> = dyn Fn(&NicConfig, Box<dyn Flash>) -> Box<dyn NicCore> + 'a;

/// The device serial number that belongs to a MAC address (EUI-64).
fn serial(mac: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = mac;
    u64::from_be_bytes([a, b, c, 0xFF, 0xFE, d, e, f])
}

/// Runs all devices, each around the NIC core that `make` makes, until they end (with `--once`) or one fails.
///
/// # Errors
/// Options that do not fit, or a device that cannot be built or run.
pub fn run(
    options: &Options,
    make: impl Fn(&NicConfig, Box<dyn Flash>) -> Box<dyn NicCore> + Sync,
) -> Result<()> {
    options.check()?;
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for number in 0..options.socket.len() {
            let make = &make;
            let thread = std::thread::Builder::new()
                .name(format!("device{number}"))
                .spawn_scoped(scope, move || -> Result<()> {
                    let mut machine = options.machine(number, make)?;
                    log::info!(
                        "device {number} listens at {}",
                        options.socket[number].display()
                    );
                    Ok(machine.run()?)
                })?;
            threads.push(thread);
        }
        for (number, thread) in threads.into_iter().enumerate() {
            match thread.join() {
                Ok(result) => result.with_context(|| format!("device {number}"))?,
                Err(_) => bail!("device {number} has panicked"),
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &str) -> Result<Options> {
        let words = std::iter::once("oxnic-device").chain(arguments.split_whitespace());
        let options = Options::try_parse_from(words)?;
        options.check()?;
        Ok(options)
    }

    #[test]
    fn ports_are_as_many_as_are_named() {
        let one = options("--socket a").unwrap();
        assert_eq!(one.wires(0).unwrap().len(), 1);
        let three = options("--socket a --socket b --port 1.2=loopback").unwrap();
        assert_eq!(three.wires(0).unwrap().len(), 1);
        assert_eq!(three.wires(1).unwrap().len(), 3);
        let four = options("--socket a --ports 4 --port 0=loopback").unwrap();
        assert_eq!(four.wires(0).unwrap().len(), 4);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for arguments in [
            "",
            "--socket a --port 1.0=loopback",
            "--socket a --port 0=loopback --port 0=loopback",
            "--socket a --ports 1 --port 1=loopback",
            "--socket a --control b --control c",
            "--socket a --ports 5",
            "--socket a --max-vfs 129",
            "--socket a --mac 01:00:00:00:00:00",
            "--socket a --mac 02:00:00:00:00",
            "--socket a --chaos fire=1",
        ] {
            assert!(options(arguments).is_err(), "{arguments}");
        }
    }

    #[test]
    fn the_serial_number_is_the_macs() {
        assert_eq!(serial([2, 0x6F, 0x78, 1, 2, 3]), 0x026F_78FF_FE01_0203);
    }
}
