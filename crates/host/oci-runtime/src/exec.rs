//! `exec`: a further process in a container.
//!
//! One fork: the caller makes the container's pid namespace the one of its children, clones, and takes its own back.
//! The new process joins the other namespaces by the init's pidfd. So it is the caller's child, and no process of
//! the runtime stands between.

use crate::channel::{self, ChildEnd, ParentEnd, Report};
use crate::create::Targets;
use crate::failure::{During, Failure, Step};
use crate::process::{self as setup, Filter, Listener};
use crate::state::{self, Directory, Record};
use crate::{Error, ExecOptions, Process, Result, config};
use hull_cgroup::Cgroup;
use hull_sys::process::{self, Forked};
use hull_sys::{InRoot, namespace, signal};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Starts a process in a running container. It is the caller's child; the caller must have one thread.
pub fn exec(options: ExecOptions) -> Result<Process> {
    state::check_id(&options.id)?;
    config::check_process(&options.process)?;
    let directory = Directory::of(&options.state_root, &options.id)?;
    let record = directory.load(&options.id)?;
    let Some(init) = record.process() else { return Err(Error::NotRunning) };
    let cgroup = record.cgroup()?;
    if !options.ignore_paused && cgroup.is_frozen().unwrap_or(false) {
        return Err(Error::Paused);
    }
    let cgroup = if options.cgroups.is_empty() { cgroup } else { cgroup.below(&options.cgroups)? };
    let filter = load_filter(&directory, &record)?;
    let failed = |error: io::Error| Error::Exec(crate::failure::reason(&error));
    let (parent, child) = channel::pair().map_err(failed)?;
    let unified = cgroup.open_unified()?;
    let clone = || clone_in_cgroup(0, unified.as_ref().map(AsFd::as_fd));
    let new = if record.opens_from_inside() {
        from_inside(&init)
    } else if record.namespaces & namespace::PID != 0 {
        with_pid_namespace(&init, namespace::PID, clone)
    } else {
        clone()
    };
    let (forked, entered) = new.map_err(failed)?;
    match forked {
        Forked::Child => {
            Child { options: &options, record: &record, cgroup: &cgroup, init, channel: child }.run()
        }
        Forked::Parent { pid, pidfd } => {
            drop((child, init, unified));
            // Version 1's hierarchies the process enters itself.
            let attached = if entered { Ok(()) } else { cgroup.add_pid(pid) };
            let attended = attached
                .map_err(Error::from)
                .and_then(|()| parent.go(pid, &filter).map_err(failed))
                .and_then(|()| attend(&parent));
            let targets = Targets {
                console_socket: options.console_socket.as_deref(),
                pid_file: options.pid_file.as_deref(),
                pidfd_socket: options.pidfd_socket.as_deref(),
            };
            match attended.and_then(|console| targets.serve(console, pid, &pidfd)) {
                Ok(console) => Ok(Process { pid, pidfd, console }),
                Err(error) => {
                    let _ = process::pidfd_send_signal(&pidfd, 9);
                    let _ = process::reap(&pidfd);
                    Err(error)
                }
            }
        }
    }
}

/// Runs something that forks, with another pid namespace for children.
///
/// The own one is taken back before anything else happens. That it cannot be is not to be survived: later children
/// of the caller would be born in the container.
pub(crate) fn with_pid_namespace(
    target: &OwnedFd,
    flag: u64,
    fork: impl FnOnce() -> io::Result<(Forked, bool)>,
) -> io::Result<(Forked, bool)> {
    let own = fs::File::open("/proc/self/ns/pid")?;
    namespace::join(target, flag)?;
    let forked = fork();
    let child = matches!(forked, Ok((Forked::Child, _)));
    if !child && namespace::join(&own, namespace::PID).is_err() {
        process::exit(255);
    }
    forked
}

/// The pid namespace of one who is not root opens to a member of its user namespace only: a first process becomes
/// that, and makes the second, which is the caller's child all the same.
fn from_inside(init: &OwnedFd) -> io::Result<(Forked, bool)> {
    let (mut ours, mut theirs) = UnixStream::pair()?;
    if let Forked::Parent { pidfd, .. } = process::clone3(0, None)? {
        drop(theirs);
        let mut answer = [0; 4];
        let answered = ours.read_exact(&mut answer);
        process::reap(&pidfd)?;
        answered?;
        return match i32::from_ne_bytes(answer) {
            pid if pid > 0 => Ok((Forked::Parent { pid, pidfd: process::pidfd_open(pid)? }, false)),
            errno => Err(io::Error::from_raw_os_error(-errno)),
        };
    }
    drop(ours);
    let joined = namespace::join(init, namespace::USER).and_then(|()| namespace::join(init, namespace::PID));
    let answer = match joined.and_then(|()| process::clone3(process::SIBLING, None)) {
        Ok(Forked::Child) => return Ok((Forked::Child, false)),
        Ok(Forked::Parent { pid, .. }) => pid,
        Err(error) => -error.raw_os_error().unwrap_or(1),
    };
    let _ = theirs.write_all(&answer.to_ne_bytes());
    process::exit(0)
}

/// Clones into a cgroup of version 2, or where that cannot be (a group with controllers for groups below it takes
/// no process) outside of it. The second value says which.
pub(crate) fn clone_in_cgroup(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<(Forked, bool)> {
    if let Some(cgroup) = cgroup
        && let Ok(forked) = process::clone3(flags, Some(cgroup))
    {
        return Ok((forked, true));
    }
    process::clone3(flags, None).map(|forked| (forked, cgroup.is_none()))
}

fn load_filter(directory: &Directory, record: &Record) -> Result<Vec<hull_sys::filter::SockFilter>> {
    if !record.has_filter {
        return Ok(Vec::new());
    }
    let path = directory.filter_path();
    match fs::read(&path) {
        Ok(bytes) => Ok(channel::decode_filter(&bytes)),
        // Never without the filter that the container has.
        Err(source) => Err(Error::State { path, source }),
    }
}

fn attend(parent: &ParentEnd) -> Result<Option<OwnedFd>> {
    let mut console = None;
    loop {
        match parent.next().map_err(|error| Error::Exec(crate::failure::reason(&error)))? {
            Report::Console(master) => console = Some(master),
            Report::Ready => return Ok(console),
            Report::Failed(text) => return Err(Error::Exec(text)),
            Report::Gone | Report::HooksWanted => {
                return Err(Error::Exec("the new process ended unexpectedly".into()));
            }
        }
    }
}

/// The new process.
struct Child<'a> {
    options: &'a ExecOptions,
    record: &'a Record,
    cgroup: &'a Cgroup,
    init: OwnedFd,
    channel: ChildEnd,
}

impl Child<'_> {
    fn run(self) -> ! {
        match self.set_up() {
            Err(failure) => {
                self.channel.failed(&failure);
                process::exit(255)
            }
            Ok((settled, filter)) => {
                let failure = match self.channel.ready() {
                    Ok(()) => settled.launch(&filter),
                    Err(failure) => failure,
                };
                crate::init::complain(&failure)
            }
        }
    }

    fn set_up(&self) -> Step<(setup::Settled, Filter)> {
        let process = &self.options.process;
        signal::reset_all();
        setup::give_streams(&self.options.stdio)?;
        let mut keep = vec![self.init.as_raw_fd(), self.channel.number()];
        keep.extend((0..self.options.preserve_fds as i32).map(|n| 3 + n));
        process::close_all_except(&keep).during("cannot close descriptors")?;
        let _ = hull_sys::rustix::process::setsid();
        setup::before_root_changes(process)?;
        setup::set_initial_affinity(process)?;
        let label = setup::open_label(process)?;
        let stream = setup::connect(&self.record.listener_path)?;
        process::set_dumpable(false).during("cannot become undumpable")?;
        let go = self.channel.await_go()?;
        self.cgroup.enter_version_1().map_err(|error| Failure(error.to_string()))?;
        self.join_namespaces()?;
        if self.record.keyring {
            crate::init::join_keyring(&self.record.id);
        }
        if let Some(domain) = self.record.personality {
            process::set_personality(domain).during("cannot set the personality")?;
        }
        let root = InRoot::open_dir("/").during("cannot open the container's root")?;
        if let Some(console) = setup::open_console(process, &root)? {
            self.channel.console(&console.master)?;
        }
        let listener = stream.map(|stream| {
            let state = self.record.state("running");
            Listener::new(stream, &self.record.listener_metadata, &state, go.pid)
        });
        let filter = Filter { instructions: go.filter, flags: self.record.filter_flags, listener };
        let filtered = !filter.instructions.is_empty();
        let settled = setup::settle(process, &root, label, self.options.preserve_fds, filtered)?;
        Ok((settled, filter))
    }

    fn join_namespaces(&self) -> Step<()> {
        let flags = self.record.namespaces & !namespace::PID;
        if flags & namespace::USER != 0 && !self.record.opens_from_inside() {
            namespace::join(&self.init, namespace::USER).during("cannot join the user namespace")?;
        }
        let others = flags & !namespace::USER;
        if others != 0 {
            namespace::join(&self.init, others).during("cannot join the container's namespaces")?;
        }
        if flags & namespace::USER != 0 {
            process::set_group(0).during("cannot become the namespace's root")?;
            process::set_user(0).during("cannot become the namespace's root")?;
        }
        Ok(())
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Error::Init(failure.0)
    }
}
