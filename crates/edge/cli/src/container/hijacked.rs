//! A container's streams on this program's: copying, raw mode, detach keys, signals, the window's size.

use crate::detach::DetachKeys;
use crate::failure::Failure;
use crate::signals::{self, Caught};
use crate::streams::{self, Output, complain};
use crate::terminal::{self, RawMode};
use hull_client::{Client, FrameReader, Hijacked, HijackedReader, HijackedWriter, StreamKind};
use std::future::Future;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

/// How to connect the streams.
#[derive(Debug, Clone, Copy)]
pub struct Wiring<'a> {
    /// The container has a terminal: its output is one stream, not framed.
    pub tty: bool,
    /// Standard input is sent.
    pub stdin: bool,
    /// The keys that detach; empty for the usual ones.
    pub detach_keys: &'a str,
    /// Signals go to the container: one that would end this program doesn't.
    pub proxied: bool,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The container's output ended.
    Closed,
    /// The keys were typed.
    Detached,
}

/// The words for the keys having been typed where the program can't just end.
pub const DETACHED: &str = "read escape sequence";

/// Copies until the container's output ends or the keys are typed.
pub async fn stream(connection: Hijacked, wiring: Wiring<'_>) -> Result<Ended, Failure> {
    let raw = wiring.tty && wiring.stdin && streams::is_terminal(rustix::stdio::stdin());
    // The guard sets the terminal back on every way out of here.
    let _raw = raw
        .then(RawMode::enter)
        .transpose()
        .map_err(|error| Failure::new(format!("cannot set the terminal to raw mode: {error}")))?;
    let (reader, writer) = connection.split();
    let output = copy_output(reader, wiring.tty);
    let input = async {
        if !wiring.stdin {
            // Held open: nothing is sent and nothing is closed.
            let _writer = writer;
            return std::future::pending().await;
        }
        let keys = wiring.tty.then(|| DetachKeys::parse(wiring.detach_keys)).transpose();
        let keys = keys.unwrap_or_else(|why| {
            complain(&format!("WARNING: invalid detach escape keys, using default: {why}"));
            DetachKeys::parse("").ok()
        });
        copy_input(streams::input(), writer, keys).await
    };
    let killed = async {
        match raw && !wiring.proxied {
            true => Caught::deadly().next().await,
            false => std::future::pending().await,
        }
    };
    tokio::pin!(output, input, killed);
    let mut typing = true;
    loop {
        tokio::select! {
            ended = &mut output => return ended.map(|()| Ended::Closed),
            typed = &mut input, if typing => match typed? {
                Ended::Detached => return Ok(Ended::Detached),
                Ended::Closed => typing = false,
            },
            signal = &mut killed => return Err(Failure::silent(128 + signal)),
        }
    }
}

async fn copy_output(reader: HijackedReader, tty: bool) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if tty {
        return copy_raw(reader, &mut output).await;
    }
    copy_frames(FrameReader::new(reader), &mut output, &mut Output::stderr()).await
}

/// Copies framed output to where each frame belongs.
pub async fn copy_frames<R: tokio::io::AsyncRead + Unpin>(
    mut frames: FrameReader<R>,
    output: &mut Output,
    error: &mut Output,
) -> Result<(), Failure> {
    while let Some((kind, piece)) = frames.next().await? {
        let target = match kind {
            StreamKind::Stdout => &mut *output,
            StreamKind::Stderr => &mut *error,
        };
        target.write_all(piece).await.map_err(unwritable)?;
    }
    Ok(())
}

/// Copies a terminal's output.
pub async fn copy_raw<R: tokio::io::AsyncRead + Unpin>(
    mut reader: R,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut buffer = vec![0; 32 * 1024];
    loop {
        match reader.read(&mut buffer).await {
            Ok(0) => return Ok(()),
            Ok(length) => output.write_all(&buffer[..length]).await.map_err(unwritable)?,
            Err(error) => return Err(Failure::new(format!("error reading the container's output: {error}"))),
        }
    }
}

/// One who stopped reading is told nothing, as with any program in a pipe.
fn unwritable(error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::silent(128 + 13),
        _ => Failure::new(format!("cannot write the container's output: {error}")),
    }
}

async fn copy_input(
    mut pieces: mpsc::Receiver<std::io::Result<Vec<u8>>>,
    mut writer: HijackedWriter,
    mut keys: Option<DetachKeys>,
) -> Result<Ended, Failure> {
    while let Some(piece) = pieces.recv().await {
        let Ok(piece) = piece else { break };
        let (data, detached) = match &mut keys {
            Some(keys) => keys.filter(&piece),
            None => (piece, false),
        };
        // A container that ended doesn't read; its output says the rest.
        if writer.write_all(&data).await.is_err() {
            return Ok(Ended::Closed);
        }
        if detached {
            return Ok(Ended::Detached);
        }
    }
    let _ = writer.close().await;
    std::future::pending::<()>().await;
    Ok(Ended::Closed)
}

/// Does `work`; meanwhile signals are passed on to the container.
pub async fn with_signals<T>(
    client: &Client,
    id: &str,
    caught: Option<Caught>,
    work: impl Future<Output = T>,
) -> T {
    let Some(caught) = caught else { return work.await };
    tokio::select! {
        never = signals::proxy(client, id, caught) => match never {},
        result = work => result,
    }
}

/// What follows the window's size.
#[derive(Debug, Clone, Copy)]
pub enum Sized<'a> {
    /// A container's terminal.
    Container(&'a str),
    /// An exec's.
    Exec(&'a str),
}

/// Does `work`; meanwhile the container's terminal follows this one's size, from now on.
pub async fn with_window<T>(client: &Client, sized: Option<Sized<'_>>, work: impl Future<Output = T>) -> T {
    let Some(sized) = sized.filter(|_| streams::is_terminal(rustix::stdio::stdout())) else {
        return work.await;
    };
    tokio::select! {
        never = follow_window(client, sized) => match never {},
        result = work => result,
    }
}

async fn follow_window(client: &Client, sized: Sized<'_>) -> std::convert::Infallible {
    let mut changes = signals::window_changes();
    loop {
        if let Some((height, width)) = terminal::size() {
            // One that isn't up yet, or is gone, refuses; the next change tries again.
            let _ = match sized {
                Sized::Container(id) => client.container_resize(id, height, width).await,
                Sized::Exec(id) => client.exec_resize(id, height, width).await,
            };
        }
        let changed = match &mut changes {
            Some(changes) => changes.recv().await,
            None => None,
        };
        if changed.is_none() {
            return std::future::pending().await;
        }
    }
}

/// A terminal can be attached only where there is one.
pub fn check_terminal(stdin: bool, tty: bool) -> Result<(), Failure> {
    if stdin && tty && !streams::is_terminal(rustix::stdio::stdin()) {
        return Err("the input device is not a TTY".into());
    }
    Ok(())
}
