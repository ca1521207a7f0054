//! Standard input, output and error.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// Writes a line to standard error.
pub fn complain(text: &str) {
    let mut error = io::stderr().lock();
    // Where standard error is closed there is nobody to tell.
    let _ = error.write_all(text.as_bytes()).and_then(|()| error.write_all(b"\n"));
}

/// Writes text to standard output as it stands. One who reads no further ends the program, quietly.
pub fn print(text: &str) {
    print_bytes(text.as_bytes());
}

/// Writes a line to standard output.
pub fn print_line(text: &str) {
    let mut line = String::with_capacity(text.len() + 1);
    line.push_str(text);
    line.push('\n');
    print(&line);
}

/// Writes bytes to standard output.
pub fn print_bytes(bytes: &[u8]) {
    let mut output = io::stdout().lock();
    if output.write_all(bytes).and_then(|()| output.flush()).is_err() {
        std::process::exit(1);
    }
}

/// Whether the stream is a terminal.
pub fn is_terminal(stream: impl AsFd) -> bool {
    rustix::termios::isatty(stream)
}

/// Standard output or error for bytes that come from elsewhere: a slow reader holds back this stream, not the
/// program's other work.
pub struct Output {
    descriptor: BorrowedFd<'static>,
    /// A write to a file never waits for anyone.
    is_file: bool,
}

/// What a pipe takes without waiting once it says that it is writable.
const ATOMIC: usize = 4096;

impl Output {
    /// Standard output.
    pub fn stdout() -> Self {
        Self::of(rustix::stdio::stdout())
    }
    /// Standard error.
    pub fn stderr() -> Self {
        Self::of(rustix::stdio::stderr())
    }
    fn of(descriptor: BorrowedFd<'static>) -> Self {
        let is_file = rustix::fs::fstat(descriptor)
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file());
        Self { descriptor, is_file }
    }

    /// Writes all of `data`.
    pub async fn write_all(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let piece = if self.is_file {
                data
            } else {
                self.writable().await?;
                &data[..data.len().min(ATOMIC)]
            };
            match rustix::io::write(self.descriptor, piece) {
                Ok(written) => data = &data[written..],
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn writable(&self) -> io::Result<()> {
        if poll(self.descriptor, rustix::event::PollFlags::OUT, Some(0))? {
            return Ok(());
        }
        let descriptor = self.descriptor;
        let waited =
            tokio::task::spawn_blocking(move || poll(descriptor, rustix::event::PollFlags::OUT, None)).await;
        waited.map_err(io::Error::other)?.map(drop)
    }
}

fn poll(
    descriptor: BorrowedFd<'_>,
    flags: rustix::event::PollFlags,
    milliseconds: Option<i64>,
) -> io::Result<bool> {
    let mut list = [rustix::event::PollFd::from_borrowed_fd(descriptor, flags)];
    let timeout = milliseconds.map(|ms| rustix::event::Timespec { tv_sec: 0, tv_nsec: ms * 1_000_000 });
    loop {
        match rustix::event::poll(&mut list, timeout.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Standard input as pieces, read by a thread of its own: a terminal's input can't be polled without changing it
/// for the shell as well. The channel's end is the input's.
pub fn input() -> tokio::sync::mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let piece = match rustix::io::read(rustix::stdio::stdin(), &mut buffer[..]) {
                Ok(0) => return,
                Ok(length) => Ok(buffer[..length].to_vec()),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => Err(error.into()),
            };
            let failed = piece.is_err();
            if sender.blocking_send(piece).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// Asks on standard output and reads the answer; only `y` is yes.
pub fn confirm(question: &str) -> bool {
    print(&format!("{question} [y/N] "));
    let mut answer = String::new();
    let _ = io::stdin().read_line(&mut answer);
    matches!(answer.trim(), "y" | "Y")
}
