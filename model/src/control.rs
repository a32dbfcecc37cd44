// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The control channel: a UNIX socket that takes one JSON object a line and answers each with one.
//!
//! Only lines are handled here; what the commands mean is the machine's. Several clients may be connected at once, and none
//! of them can hold the device up: what a client does not read in time is lost, and it with it.

use rustix::event::{PollFd, PollFlags};
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Longest line, in bytes.
const MAX_LINE: usize = 64 << 10;
/// Most bytes of answers that wait for a client.
const MAX_ANSWERS: usize = 4 << 20;
/// Most clients.
const MAX_CLIENTS: usize = 16;

struct Client {
    socket: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
}

/// The listening socket and its clients.
pub struct Control {
    listener: UnixListener,
    clients: Vec<Client>,
}

impl Control {
    /// Listens at `path`.
    ///
    /// # Errors
    /// If the socket cannot be bound.
    pub fn listen(path: &Path) -> io::Result<Self> {
        Ok(Control {
            listener: crate::wire::stream::bind(path)?,
            clients: Vec::new(),
        })
    }

    /// What to wait for.
    pub fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let clients = self.clients.iter().map(|client| {
            let waiting = if client.output.is_empty() {
                PollFlags::IN
            } else {
                PollFlags::IN | PollFlags::OUT
            };
            PollFd::new(&client.socket, waiting)
        });
        std::iter::once(PollFd::new(&self.listener, PollFlags::IN)).chain(clients)
    }

    /// Takes new clients and answers what has been asked, by `execute`.
    pub fn serve(&mut self, mut execute: impl FnMut(&Value) -> Result<Value, String>) {
        while let Ok((socket, _)) = self.listener.accept() {
            if self.clients.len() < MAX_CLIENTS && socket.set_nonblocking(true).is_ok() {
                self.clients.push(Client {
                    socket,
                    input: Vec::new(),
                    output: Vec::new(),
                });
            }
        }
        self.clients.retain_mut(|client| {
            let open = client.read();
            while let Some(line) = client.take_line() {
                let answer = answer(&line, &mut execute);
                client
                    .output
                    .extend_from_slice(answer.to_string().as_bytes());
                client.output.push(b'\n');
            }
            client.write() && open
        });
    }
}

/// Parses a line, lets it be executed, and makes the answer of what comes out.
fn answer(line: &[u8], execute: &mut dyn FnMut(&Value) -> Result<Value, String>) -> Value {
    let result = match serde_json::from_slice::<Value>(line) {
        Ok(request) if request.is_object() => execute(&request),
        Ok(_) => Err("a command is an object".to_string()),
        Err(error) => Err(format!("not JSON: {error}")),
    };
    match result {
        Ok(Value::Object(mut fields)) => {
            fields.insert("ok".to_string(), Value::Bool(true));
            Value::Object(fields)
        }
        Ok(Value::Null) => json!({"ok": true}),
        Ok(value) => json!({"ok": true, "value": value}),
        Err(error) => {
            log::warn!("control command refused: {error}");
            json!({"ok": false, "error": error})
        }
    }
}

impl Client {
    /// Reads what has arrived; false if the client is gone or sends no lines.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        while self.input.len() <= MAX_LINE {
            match self.socket.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        self.input.contains(&b'\n')
    }

    /// The next line that is not blank.
    fn take_line(&mut self) -> Option<Vec<u8>> {
        loop {
            let end = self.input.iter().position(|byte| *byte == b'\n')?;
            let line: Vec<u8> = self.input.drain(..=end).collect();
            if !line.trim_ascii().is_empty() {
                return Some(line);
            }
        }
    }

    /// Sends answers; false if the client is gone or does not read.
    fn write(&mut self) -> bool {
        while !self.output.is_empty() {
            match self.socket.write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        self.output.len() <= MAX_ANSWERS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    #[test]
    fn every_line_has_its_answer() {
        let path = std::env::temp_dir().join(format!("oxnic-control-{}", std::process::id()));
        let mut control = Control::listen(&path).unwrap();
        let mut client = UnixStream::connect(&path).unwrap();
        client
            .write_all(b"{\"cmd\":\"good\"}\n\n{\"cmd\":\"bad\"}\n[]\nnonsense\n{\"cmd\":")
            .unwrap();
        let mut seen = Vec::new();
        let mut serve = |control: &mut Control| {
            control.serve(|request| {
                seen.push(request["cmd"].clone());
                match request["cmd"].as_str() {
                    Some("good") => Ok(json!({"number": 1})),
                    _ => Err("no".to_string()),
                }
            });
        };
        serve(&mut control);
        client.write_all(b"\"good\"}\n").unwrap();
        serve(&mut control);
        let mut lines = BufReader::new(&client).lines();
        let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(next(), json!({"ok": true, "number": 1}));
        assert_eq!(next(), json!({"ok": false, "error": "no"}));
        assert_eq!(next()["ok"], false);
        assert_eq!(next()["ok"], false);
        assert_eq!(next(), json!({"ok": true, "number": 1}));
        assert_eq!(seen, ["good", "bad", "good"]);
        std::fs::remove_file(path).unwrap();
    }
}
