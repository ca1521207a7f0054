//! A client on a pseudo-terminal, as a person has it.

use crate::eventually;
use rustix::fd::OwnedFd;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::io::Read;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

/// The person's side of a pseudo-terminal on which a command runs.
pub struct Terminal {
    master: OwnedFd,
    /// The command; `setsid --wait --ctty` in front of it.
    pub child: Child,
    seen: Arc<Mutex<String>>,
}

impl Terminal {
    /// Runs `command` (its program and words) on a new terminal of this size.
    pub fn run(command: &Command, rows: u16, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = std::fs::OpenOptions::new().read(true).write(true).open(name).unwrap();
        tcsetwinsize(&master, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let mut child = Command::new("setsid");
        child.args(["--wait", "--ctty"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => child.env(key, value),
                None => child.env_remove(key),
            };
        }
        child.env("TERM", "xterm");
        child.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
        let child = child.spawn().unwrap();
        let seen = Arc::new(Mutex::new(String::new()));
        let mut reader = std::fs::File::from(master.try_clone().unwrap());
        let sink = seen.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                sink.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Self { master, child, seen }
    }

    /// Types.
    pub fn send(&self, text: &str) {
        rustix::io::write(&self.master, text.as_bytes()).unwrap();
    }
    /// Changes the window's size, as a terminal emulator does (the kernel sends SIGWINCH).
    pub fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.master, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })
            .unwrap();
    }
    /// All that was shown so far.
    pub fn screen(&self) -> String {
        self.seen.lock().unwrap().clone()
    }
    /// Waits until `text` was shown.
    #[track_caller]
    pub fn expect(&self, text: &str) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(15);
        while !self.screen().contains(text) {
            assert!(
                std::time::Instant::now() < deadline,
                "{text:?} is not on the screen:\n{}",
                self.screen()
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
    /// Waits for the command's end.
    pub fn wait(&mut self) -> i32 {
        let child = &mut self.child;
        eventually("the command on the terminal ends", 15, || child.try_wait().unwrap()).code().unwrap_or(-1)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
