//! The Engine API without a client program: one keep-alive connection and what a container's life asks of it.

use crate::engines::Engine;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

/// Create, start, wait for the end, remove.
pub fn life(engine: &Engine) -> Result<()> {
    let mut connection = Connection::open(engine)?;
    let created =
        connection.call("POST", "/v1.41/containers/create", r#"{"Image":"busybox","Cmd":["true"]}"#)?;
    let id = serde_json::from_str::<serde_json::Value>(&created)?["Id"].as_str().context("no Id")?.to_owned();
    connection.call("POST", &format!("/v1.41/containers/{id}/start"), "")?;
    connection.call("POST", &format!("/v1.41/containers/{id}/wait"), "")?;
    connection.call("DELETE", &format!("/v1.41/containers/{id}"), "")?;
    Ok(())
}

struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    fn open(engine: &Engine) -> Result<Self> {
        Ok(Self { stream: BufReader::new(UnixStream::connect(&engine.socket)?) })
    }

    fn call(&mut self, method: &str, path: &str, body: &str) -> Result<String> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(head.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status: u16 = line.split(' ').nth(1).context("no status")?.parse()?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let mut header = String::new();
            self.stream.read_line(&mut header)?;
            let header = header.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length: ") {
                length = value.parse()?;
            }
            chunked |= header == "transfer-encoding: chunked";
        }
        let text = if status == 204 || status == 304 { String::new() } else { self.body(length, chunked)? };
        if status >= 400 {
            bail!("{method} {path}: {status} {text}");
        }
        Ok(text)
    }

    fn body(&mut self, length: usize, chunked: bool) -> Result<String> {
        let mut body = Vec::new();
        if !chunked {
            body.resize(length, 0);
            self.stream.read_exact(&mut body)?;
            return Ok(String::from_utf8(body)?);
        }
        loop {
            let mut size = String::new();
            self.stream.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16)?;
            let from = body.len();
            body.resize(from + size, 0);
            self.stream.read_exact(&mut body[from..])?;
            self.stream.read_line(&mut String::new())?;
            if size == 0 {
                return Ok(String::from_utf8(body)?);
            }
        }
    }
}
