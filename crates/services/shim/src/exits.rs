//! Children that ended, up to the end of the container.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use hull_task::protocol::{EXIT_FILE, Event, Exit, Status};
use hull_types::Timestamp;

use crate::server::Server;

const SIGKILL: i32 = 9;
// How many exits of execs are kept for a daemon that is not there now.
const UNREPORTED: usize = 256;

impl Server {
    /// Takes every child that has ended: the container's processes, and orphans that came to this reaper.
    pub(crate) fn reap(&mut self) {
        // All that is pending is one readiness: it is taken before the children are looked at, so that one that
        // ends in between is told again.
        while let Ok(Some(_)) = hull_sys::signal::read(&self.children) {}
        let none_left = loop {
            match hull_sys::process::reap_any() {
                Ok(Some((pid, code))) => self.ended(pid, code),
                Ok(None) => break false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break true,
            }
        };
        // With a pid namespace of its own the container is gone when its first process is. Otherwise the rest
        // has been killed, and is waited for: the cgroup must be empty to be removed.
        if let Some(code) = self.ending
            && (none_left || self.options.own_pid_namespace)
            && self.exit.is_none()
        {
            self.finish(code);
        }
    }

    fn ended(&mut self, pid: i32, code: i32) {
        let found =
            self.processes.iter().position(|process| process.pid == Some(pid) && process.is_running());
        match found {
            Some(0) => self.init_ended(code),
            Some(index) => self.exec_ended(index, code),
            None => {}
        }
    }

    fn init_ended(&mut self, code: i32) {
        self.ending = Some(code);
        if self.options.own_pid_namespace {
            return;
        }
        if self.status == Status::Paused {
            let _ = self.runtime.resume();
        }
        if let Err(failure) = self.runtime.kill_all(SIGKILL) {
            eprintln!("cannot kill what is left of the container: {}", failure.message);
        }
    }

    fn exec_ended(&mut self, index: usize, code: i32) {
        let exit = Exit { code, at: Timestamp::now(), oom_killed: false, lost: false };
        let process = &mut self.processes[index];
        process.exit = Some(exit);
        process.streams.end(&mut self.buffer);
        let exec_id = process.exec_id.clone().unwrap_or_default();
        let reported = self.has_subscribers();
        self.processes[index].reported = reported;
        self.tell(&Event::ExecExit { exec_id, exit });
        if !reported {
            self.forget_oldest();
        }
    }

    // Health checks go on while no daemon is there.
    fn forget_oldest(&mut self) {
        let waiting = |process: &&mut crate::process::Process| {
            process.exec_id.is_some() && process.exit.is_some() && !process.reported
        };
        let count = self.processes.iter_mut().filter(waiting).count();
        if count > UNREPORTED
            && let Some(oldest) = self.processes.iter_mut().find(waiting)
        {
            oldest.reported = true;
        }
    }

    // The container is gone: its output is complete, its exit is recorded, told, and then all of it removed.
    fn finish(&mut self, code: i32) {
        // Its sockets would keep the network namespace, and with it the interfaces.
        self.resolver = None;
        for process in &mut self.processes {
            process.streams.end(&mut self.buffer);
        }
        let oom_killed = self.runtime.oom_killed();
        let exit = Exit { code, at: Timestamp::now(), oom_killed, lost: false };
        if let Err(error) = record(&self.options.bundle, &exit) {
            eprintln!("cannot record the exit in {}: {error}", self.options.bundle.display());
        }
        self.exit = Some(exit);
        self.processes[0].exit = Some(exit);
        self.status = Status::Stopped;
        if oom_killed {
            self.tell(&Event::OutOfMemory);
        }
        self.tell(&Event::Exit(exit));
        if let Err(failure) = self.runtime.delete() {
            eprintln!("cannot remove the runtime's state: {}", failure.message);
        }
        self.tell(&Event::Deleted);
    }
}

// Whole or not at all, whenever this process or the machine is stopped: the run directory is a tmpfs, so there is
// nothing to be synced.
fn record(bundle: &Path, exit: &Exit) -> io::Result<()> {
    let temporary = bundle.join(".exit.json");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&serde_json::to_vec(exit)?)?;
    drop(file);
    std::fs::rename(&temporary, bundle.join(EXIT_FILE))
}
