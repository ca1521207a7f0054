//! The transport of `ssh://`: an `ssh` whose far end pipes its standard streams to the engine's socket.

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A running `ssh`; dropping it closes the connection.
pub(crate) struct SshStream {
    // Held for its lifetime: the process is killed when the stream is dropped.
    _child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
}

impl SshStream {
    pub(crate) fn spawn(
        user: Option<&str>,
        host: &str,
        port: Option<u16>,
        socket: Option<&str>,
    ) -> io::Result<Self> {
        let mut command = Command::new("ssh");
        command.args(arguments(user, host, port, socket)).stdin(Stdio::piped()).stdout(Stdio::piped());
        // A signal from the terminal is for the command in the foreground, not for its transport.
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("ssh without standard output"))?;
        Ok(Self { _child: child, stdin, stdout })
    }
}

fn arguments(user: Option<&str>, host: &str, port: Option<u16>, socket: Option<&str>) -> Vec<String> {
    let mut list: Vec<String> = ["-o", "ConnectTimeout=30", "-T"].map(Into::into).into();
    if let Some(user) = user {
        list.extend(["-l".into(), user.into()]);
    }
    if let Some(port) = port {
        list.extend(["-p".into(), port.to_string()]);
    }
    let at = socket.map(|path| format!(" --host {}", quoted(&format!("unix://{path}")))).unwrap_or_default();
    // Whichever of the two commands the far machine has; `sh -c` as its login shell may be another.
    let script = format!(
        "if command -v hull >/dev/null 2>&1; then exec hull{at} system dial-stdio; else exec docker{at} system dial-stdio; fi"
    );
    list.extend(["--".into(), host.into(), "sh".into(), "-c".into(), quoted(&script)]);
    list
}

/// One word for the far shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

impl AsyncRead for SshStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(context, buffer)
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_write(context, data),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(context),
            None => Poll::Ready(Ok(())),
        }
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Closing the pipe is the half-close: the far end sees the end of its input.
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_far_command_is_one_word_for_its_shell() {
        let list = arguments(Some("u"), "h", Some(22), Some("/run/it's.sock"));
        assert_eq!(
            list[..8],
            ["-o", "ConnectTimeout=30", "-T", "-l", "u", "-p", "22", "--"].map(String::from)
        );
        let script = list.last().unwrap();
        assert!(script.starts_with('\'') && script.ends_with('\''));
        assert!(script.contains("system dial-stdio"));
    }
}
