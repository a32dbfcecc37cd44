// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! How the command line names the far end of a wire port.

use crate::host::MAX_PORTS;
use std::path::PathBuf;
use std::str::FromStr;

/// What is at the far end of a wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireSpec {
    /// A socket that a peer connects to.
    Listen(PathBuf),
    /// A peer's socket; tried again until it is there.
    Connect(PathBuf),
    /// What is sent comes back.
    Loopback,
    /// Frames of a pcap file come in when told; what is sent goes nowhere.
    Replay(PathBuf),
}

impl FromStr for WireSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = |path: &str| {
            if path.is_empty() {
                Err(format!("no path in '{text}'"))
            } else {
                Ok(PathBuf::from(path))
            }
        };
        match text.split_once(':') {
            Some(("listen", rest)) => path(rest).map(WireSpec::Listen),
            Some(("connect", rest)) => path(rest).map(WireSpec::Connect),
            Some(("replay", rest)) => path(rest).map(WireSpec::Replay),
            None if text == "loopback" => Ok(WireSpec::Loopback),
            _ => Err(format!(
                "'{text}' is none of listen:PATH, connect:PATH, loopback, replay:FILE"
            )),
        }
    }
}

/// A wire port of a device: `[DEVICE.]PORT=SPEC`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSpec {
    /// Which device of the process, in the order of `--socket`.
    pub device: usize,
    /// Which of its ports.
    pub port: u8,
    /// What is at its far end.
    pub wire: WireSpec,
}

impl FromStr for PortSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (place, wire) = text
            .split_once('=')
            .ok_or_else(|| format!("'{text}' has no '='"))?;
        let (device, port) = place.split_once('.').unwrap_or(("0", place));
        let device = device
            .parse()
            .map_err(|_| format!("'{device}' is no device number"))?;
        let port = port
            .parse()
            .ok()
            .filter(|port| *port < MAX_PORTS)
            .ok_or_else(|| format!("'{port}' is no port number from 0 to {}", MAX_PORTS - 1))?;
        Ok(PortSpec {
            device,
            port,
            wire: wire.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood() {
        let spec: PortSpec = "1.3=listen:/run/a:b".parse().unwrap();
        assert_eq!((spec.device, spec.port), (1, 3));
        assert_eq!(spec.wire, WireSpec::Listen("/run/a:b".into()));
        assert_eq!(
            "0=loopback".parse::<PortSpec>().unwrap().wire,
            WireSpec::Loopback
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "0",
            "4=loopback",
            "x=loopback",
            "0=listen:",
            "0=loopback:",
            "0=tap:x",
            "-1.0=loopback",
        ] {
            assert!(text.parse::<PortSpec>().is_err(), "{text}");
        }
    }
}
