//! A conversation with systemd's manager over the system bus.

use super::message::{self, Body, Reader, Received};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

const BUS: &str = "org.freedesktop.DBus";
const MANAGER: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER_INTERFACE: &str = "org.freedesktop.systemd1.Manager";
const JOBS: &str = "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved',path='/org/freedesktop/systemd1'";
/// How long systemd may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that has said who it is.
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Ends of jobs that came while something else was waited for.
    ended: Vec<(String, String)>,
}

/// Where the system bus is.
pub(super) fn address() -> PathBuf {
    let given = std::env::var("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_default();
    let path = given.split([';', ',']).find_map(|part| part.strip_prefix("unix:path="));
    PathBuf::from(path.unwrap_or("/run/dbus/system_bus_socket"))
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.to_owned())
}

impl Bus {
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut bus = Self { stream, serial: 0, ended: Vec::new() };
        bus.authenticate()?;
        bus.call(BUS, "/org/freedesktop/DBus", BUS, "Hello", &Body::default())?;
        Ok(bus)
    }

    /// The kernel says who is at the other end of a unix socket: that is what `EXTERNAL` means.
    fn authenticate(&mut self) -> io::Result<()> {
        let uid = hull_sys::rustix::process::geteuid().as_raw().to_string();
        let hex: String = uid.bytes().map(|digit| format!("{digit:02x}")).collect();
        write!(self.stream, "\0AUTH EXTERNAL {hex}\r\n")?;
        let mut answer = Vec::new();
        let mut byte = [0_u8; 1];
        while !answer.ends_with(b"\r\n") && answer.len() < 512 {
            self.stream.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        if !answer.starts_with(b"OK ") {
            return Err(invalid("the bus refuses this user"));
        }
        self.stream.write_all(b"BEGIN\r\n")
    }

    fn receive(&mut self) -> io::Result<Received> {
        let mut head = [0_u8; 16];
        self.stream.read_exact(&mut head)?;
        let length = message::length(&head).ok_or_else(|| invalid("the bus speaks strangely"))?;
        let mut bytes = head.to_vec();
        bytes.resize(length, 0);
        self.stream.read_exact(&mut bytes[16..])?;
        message::parse(&bytes).ok_or_else(|| invalid("the bus speaks strangely"))
    }

    /// Keeps the end of a job: `JobRemoved(id, job, unit, result)`.
    fn keep(&mut self, signal: &Received) {
        if signal.kind != 4 || signal.member != "JobRemoved" {
            return;
        }
        let mut reader = Reader { bytes: &signal.body, at: 0 };
        let ended = (|| {
            reader.u32()?;
            let job = reader.text()?;
            reader.text()?;
            Some((job, reader.text()?))
        })();
        self.ended.extend(ended);
    }

    fn call(
        &mut self,
        to: &str,
        path: &str,
        interface: &str,
        member: &str,
        body: &Body,
    ) -> io::Result<Received> {
        self.serial += 1;
        let serial = self.serial;
        self.stream.write_all(&message::call(serial, to, path, interface, member, body))?;
        loop {
            let received = self.receive()?;
            match received.kind {
                2 if received.answers == serial => return Ok(received),
                3 if received.answers == serial => {
                    let text = Reader { bytes: &received.body, at: 0 }.text().unwrap_or_default();
                    return Err(io::Error::other(format!("{member}: {} ({})", text, received.error)));
                }
                _ => self.keep(&received),
            }
        }
    }

    /// A call of the manager's that needs no waiting.
    pub(super) fn manage(&mut self, member: &str, body: &Body) -> io::Result<Received> {
        self.call(MANAGER, MANAGER_PATH, MANAGER_INTERFACE, member, body)
    }

    /// A call of the manager's that begins a job; waits for the job's end.
    pub(super) fn job(&mut self, member: &str, body: &Body) -> io::Result<()> {
        let rule = Body::default().text(JOBS);
        self.call(BUS, "/org/freedesktop/DBus", BUS, "AddMatch", &rule)?;
        // Refused where it was said before; what is wrong otherwise the call itself tells.
        let _ = self.manage("Subscribe", &Body::default());
        let begun = self.manage(member, body)?;
        let job =
            Reader { bytes: &begun.body, at: 0 }.text().ok_or_else(|| invalid("systemd names no job"))?;
        loop {
            if let Some((_, result)) = self.ended.iter().find(|(ended, _)| *ended == job) {
                return match result.as_str() {
                    "done" | "skipped" => Ok(()),
                    other => Err(io::Error::other(format!("{member}: the job ended as {other:?}"))),
                };
            }
            let received = self.receive()?;
            self.keep(&received);
        }
    }
}
