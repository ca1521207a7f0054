//! Messages as bytes.

use std::fmt::Display;

use serde::Serialize;

/// The longest message, in bytes.
pub const MESSAGE_LIMIT: usize = 4 << 20;

const PREFIX: usize = 4;

/// Appends a message to `out`.
///
/// # Errors
/// When it has no JSON form (a path that is no UTF-8) or is longer than [`MESSAGE_LIMIT`]; `out` is as before then.
pub fn encode<T: Serialize>(message: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    let written = serde_json::to_writer(&mut *out, message);
    let length = out.len() - start - PREFIX;
    if let Err(source) = written {
        out.truncate(start);
        return Err(EncodeError::Json(source));
    }
    if length > MESSAGE_LIMIT {
        out.truncate(start);
        return Err(EncodeError::TooLong(length));
    }
    out[start..start + PREFIX].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(())
}

/// Why a message cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// No JSON form.
    #[error("cannot write a message as JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// Longer than allowed.
    #[error("a message of {0} bytes is too long: {MESSAGE_LIMIT} are allowed")]
    TooLong(usize),
}

/// Why what was received is no message; the connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The length is over the limit.
    #[error("a message of {0} bytes was announced: {MESSAGE_LIMIT} are allowed")]
    TooLong(usize),
    /// The text is no message.
    #[error("malformed message: {0}")]
    Malformed(String),
}

/// Gathers bytes as they come and gives out messages.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    taken: usize,
}

impl Decoder {
    /// Adds received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message as `read` understands its text, `None` when it is not whole yet.
    pub fn decode<T, E: Display>(
        &mut self,
        read: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<Option<T>, DecodeError> {
        let rest = &self.bytes[self.taken..];
        let Some((prefix, rest)) = rest.split_first_chunk::<PREFIX>() else {
            self.release();
            return Ok(None);
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length > MESSAGE_LIMIT {
            return Err(DecodeError::TooLong(length));
        }
        let Some(text) = rest.get(..length) else { return Ok(None) };
        let message = read(text).map_err(|error| DecodeError::Malformed(error.to_string()))?;
        self.taken += PREFIX + length;
        Ok(Some(message))
    }

    /// What came after the last message given out: on an attached connection the stream's first bytes.
    pub fn into_rest(mut self) -> Vec<u8> {
        self.bytes.split_off(self.taken)
    }

    // An idle connection holds no buffer.
    fn release(&mut self) {
        if self.taken == self.bytes.len() {
            self.bytes = Vec::new();
            self.taken = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{
        Attach, Call, ConsoleSize, CreateOptions, ExecCreate, JsonLog, LogTarget, MountSource, Request,
        RuntimeKind,
    };
    use hull_types::oci::runtime::{Pids, Process, Resources};
    use hull_types::{Lower, Rootfs};
    use std::collections::BTreeMap;

    fn kill(id: u64) -> Call {
        Call { id, request: Request::Kill { signal: 9, all: false, exec_id: None } }
    }

    #[test]
    fn messages_come_through_in_any_pieces() {
        let mut bytes = Vec::new();
        for id in 0..20 {
            encode(&kill(id), &mut bytes).unwrap();
        }
        bytes.extend_from_slice(b"\x05\0");
        for size in [1, 2, 3, 7, 50, 4096] {
            let mut decoder = Decoder::default();
            let mut seen = 0;
            for piece in bytes.chunks(size) {
                decoder.push(piece);
                while let Some(call) = decoder.decode(Call::read).unwrap() {
                    assert_eq!(call.id, seen);
                    seen += 1;
                }
            }
            assert_eq!(seen, 20);
            assert_eq!(decoder.into_rest(), b"\x05\0");
        }
    }

    #[test]
    fn bad_messages_are_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&(MESSAGE_LIMIT as u32 + 1).to_le_bytes());
        assert!(matches!(decoder.decode(Call::read), Err(DecodeError::TooLong(_))));
        for text in
            ["null", "{}", r#"{"id":1}"#, r#"{"id":1,"request":"kill"}"#, r#"{"id":1,"request":{"x":1}}"#]
        {
            let mut decoder = Decoder::default();
            decoder.push(&(text.len() as u32).to_le_bytes());
            decoder.push(text.as_bytes());
            assert!(matches!(decoder.decode(Call::read), Err(DecodeError::Malformed(_))), "{text}");
        }
        let mut out = b"kept".to_vec();
        assert!(encode(&"x".repeat(MESSAGE_LIMIT), &mut out).is_err());
        assert_eq!(out, b"kept");
    }

    #[test]
    fn the_wire_form_is_stable() {
        let mut bytes = Vec::new();
        encode(&kill(7), &mut bytes).unwrap();
        assert_eq!(&bytes[4..], br#"{"id":7,"request":{"kill":{"signal":9,"all":false}}}"#);
        bytes.clear();
        encode(&Call { id: 1, request: Request::Start }, &mut bytes).unwrap();
        assert_eq!(&bytes[4..], br#"{"id":1,"request":"start"}"#);
    }
    /// What the daemon writes by serde the shim reads by tables.
    #[test]
    fn every_call_is_read_as_it_was_meant() {
        let exec = || Some("e".to_owned());
        let options = CreateOptions {
            id: "i".into(),
            bundle: "/b".into(),
            state_root: "/s".into(),
            rootfs: Some(Rootfs {
                lowers: vec![
                    Lower::Directory("/d".into()),
                    Lower::Erofs { index: "/i".into(), data: vec!["/t".into()] },
                ],
                upper: Some("/u".into()),
                work: Some("/w".into()),
            }),
            mounted: vec!["/m".into()],
            sources: vec![MountSource { from: "/f".into(), at: "/a".into() }],
            log: LogTarget::JsonFile(JsonLog {
                path: "/l".into(),
                max_size: Some(1),
                max_file: 2,
                attrs: BTreeMap::from([("k".into(), "v".into())]),
            }),
            runtime: RuntimeKind::Command {
                path: "runc".into(),
                options: vec!["--debug".into()],
                root: "/r".into(),
            },
            terminal: true,
            console_size: Some(ConsoleSize { width: 80, height: 24 }),
            stdin_open: true,
            stdin_once: true,
            own_pid_namespace: false,
            resolver: Some("/n".into()),
            no_pivot: true,
        };
        let small = CreateOptions {
            rootfs: None,
            log: LogTarget::None,
            runtime: RuntimeKind::Hull,
            resolver: None,
            ..options.clone()
        };
        let process = Process { terminal: true, args: vec!["sh".into()], ..Process::default() };
        let create = ExecCreate { exec_id: "e".into(), process, stdin: true, detach: true };
        let size = ConsoleSize { width: 1, height: 2 };
        let pids = Some(Pids { limit: 3 });
        let requests = [
            Request::Create(Box::new(options)),
            Request::Create(Box::new(small)),
            Request::Start,
            Request::State,
            Request::Subscribe,
            Request::Kill { signal: 9, all: true, exec_id: exec() },
            Request::ExecCreate(Box::new(create)),
            Request::ExecStart { exec_id: "e".into() },
            Request::ExecDelete { exec_id: "e".into() },
            Request::Resize { exec_id: exec(), size },
            Request::CloseStdin { exec_id: exec() },
            Request::Pause,
            Request::Resume,
            Request::Update { resources: Box::new(Resources { pids, ..Resources::default() }) },
            Request::Pids,
            Request::Resolve { settings: "/n".into() },
            Request::Attach(Attach { exec_id: exec(), stdin: true, stdout: true, stderr: true }),
            Request::Shutdown,
        ];
        for (id, request) in (1..).zip(requests) {
            let text = serde_json::to_string(&Call { id, request }).unwrap();
            let call = Call::read(text.as_bytes()).unwrap();
            assert_eq!(serde_json::to_string(&call).unwrap(), text);
        }
    }

    #[test]
    fn what_an_older_daemon_does_not_say_is_as_it_was() {
        let text = r#"{"id":1,"request":{"create":{"id":"i","bundle":"/b","state_root":"/s"}}}"#;
        let Request::Create(options) = Call::read(text.as_bytes()).unwrap().request else { panic!() };
        assert!(options.own_pid_namespace);
    }
}
