//! Another OCI runtime (runc, crun, youki …) by its command line.
//!
//! The shim is in a mount namespace of its own then, in which the container's root file system is mounted at
//! `<bundle>/rootfs` (the `root.path` of `config.json` must say `rootfs`), and what the daemon holds by descriptor
//! somewhere else in the bundle: it is busy for nobody else, and goes with the shim. Processes that the runtime leaves behind come to the shim, their reaper.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use hull_cgroup::Cgroup;
use hull_sys::program::{self, Program};
use hull_sys::{LayerMounts, mount, namespace, rustix};
use hull_task::protocol::{CreateOptions, Failure, MountSource};
use hull_types::Rootfs;
use hull_types::document;
use hull_types::document::{Field, from_json};
use hull_types::oci::runtime::{Process, Resources};
use rustix::fs::{Mode, OFlags};

use crate::runtime::{Made, failed};
use crate::streams::ProcessEnds;

const SIGKILL: i32 = 9;

pub(crate) struct Foreign {
    program: PathBuf,
    // Those before the verb, `--root` among them.
    options: Vec<std::ffi::OsString>,
    id: String,
    bundle: PathBuf,
    log: PathBuf,
    cgroup: Option<Cgroup>,
}

impl Foreign {
    pub(crate) fn new(
        create: &CreateOptions,
        layers: &LayerMounts,
        program: &Path,
        before: &[String],
        root: &Path,
    ) -> Result<Self, Failure> {
        if let Some(rootfs) = &create.rootfs {
            mount_root(rootfs, layers, &create.bundle.join("rootfs"), &create.sources)
                .map_err(|error| failed(format_args!("cannot mount the root file system: {error}")))?;
        }
        let log = create.bundle.join("runtime.log");
        let mut options: Vec<_> = before.iter().map(Into::into).collect();
        options.extend(["--root".into(), root.into(), "--log".into(), log.clone().into()]);
        options.extend(["--log-format".into(), "json".into()]);
        let (id, bundle) = (create.id.clone(), create.bundle.clone());
        Ok(Self { program: program.into(), options, id, bundle, log, cgroup: None })
    }

    pub(crate) fn create(&mut self, options: &CreateOptions, ends: ProcessEnds) -> Result<Made, Failure> {
        let pid_file = self.bundle.join("init.pid");
        let console = ends.terminal.then(|| Console::listen(&self.bundle)).transpose()?;
        let mut words: Vec<&OsStr> = vec!["create".as_ref(), "--bundle".as_ref(), self.bundle.as_ref()];
        words.extend(["--pid-file".as_ref(), pid_file.as_os_str()]);
        if options.no_pivot {
            words.push("--no-pivot".as_ref());
        }
        self.run_with(words, console.as_ref(), ends)?;
        let pid = read_pid(&pid_file)?;
        self.cgroup = memory_cgroup(pid);
        Ok(Made { pid, console: console.map(Console::receive).transpose()? })
    }

    pub(crate) fn exec(&self, exec_id: &str, process: &Process, ends: ProcessEnds) -> Result<Made, Failure> {
        // Not the exec's id: that comes from outside and need not be a file name.
        let _ = exec_id;
        let (spec, pid_file) = (self.bundle.join("exec.json"), self.bundle.join("exec.pid"));
        write_private(&spec, &serde_json::to_vec(process).map_err(failed)?)
            .map_err(|error| failed(format_args!("cannot write {}: {error}", spec.display())))?;
        let console = ends.terminal.then(|| Console::listen(&self.bundle)).transpose()?;
        let mut words: Vec<&OsStr> = vec!["exec".as_ref(), "--detach".as_ref()];
        words.extend(["--process".as_ref(), spec.as_os_str(), "--pid-file".as_ref(), pid_file.as_os_str()]);
        let run = self.run_with(words, console.as_ref(), ends);
        // It holds the environment, which may hold secrets.
        let _ = std::fs::remove_file(&spec);
        run?;
        Ok(Made { pid: read_pid(&pid_file)?, console: console.map(Console::receive).transpose()? })
    }

    /// Runs a verb on this container.
    pub(crate) fn run(&self, verb: &[&str]) -> Result<(), Failure> {
        let words = verb.iter().map(AsRef::as_ref).collect();
        self.run_with(words, None, ProcessEnds::default())
    }

    pub(crate) fn kill_all(&self, signal: i32) -> Result<(), Failure> {
        if signal == SIGKILL
            && let Some(cgroup) = &self.cgroup
        {
            return cgroup.kill_all().map_err(failed);
        }
        for pid in self.pids()? {
            // One that has just ended is as good as signalled.
            let _ = hull_sys::process::kill(pid, signal);
        }
        Ok(())
    }

    pub(crate) fn update(&self, resources: &Resources) -> Result<(), Failure> {
        let path = self.bundle.join("resources.json");
        write_private(&path, &serde_json::to_vec(resources).map_err(failed)?)
            .map_err(|error| failed(format_args!("cannot write {}: {error}", path.display())))?;
        let words = vec!["update".as_ref(), "--resources".as_ref(), path.as_os_str()];
        self.run_with(words, None, ProcessEnds::default())
    }

    pub(crate) fn pids(&self) -> Result<Vec<i32>, Failure> {
        let run = || {
            let mut program = self.program(&["ps".as_ref(), "--format".as_ref(), "json".as_ref()], None)?;
            let (output, complaint) = (program.record(1)?, program.record(2)?);
            Ok((program.run()?, program::said(output)?, program::said(complaint)?))
        };
        let (status, output, complaint) = run().map_err(|error| self.not_run(error))?;
        if !status.success() {
            return Err(self.complaint(&String::from_utf8_lossy(&complaint)));
        }
        let mut pids: Vec<i32> = Vec::new();
        document::read(pids.slot(), &output).map_err(failed)?;
        Ok(pids)
    }

    pub(crate) fn oom_killed(&self) -> bool {
        self.cgroup.as_ref().is_some_and(|cgroup| cgroup.oom_kills() > 0)
    }

    pub(crate) fn delete(&self) -> Result<(), Failure> {
        self.run(&["delete", "--force"])
    }

    /// The runtime, told to do that to this container.
    fn program(&self, words: &[&OsStr], console: Option<&Console>) -> io::Result<Program> {
        let mut program = Program::new(&self.program)?;
        for word in self.options.iter().map(AsRef::as_ref).chain(words.iter().copied()) {
            program.argument(word)?;
        }
        if let Some(console) = console {
            program.argument("--console-socket")?;
            program.argument(&console.path)?;
        }
        program.argument(&self.id)?;
        Ok(program)
    }

    fn run_with(
        &self,
        words: Vec<&OsStr>,
        console: Option<&Console>,
        ends: ProcessEnds,
    ) -> Result<(), Failure> {
        // Only the last complaint is of interest.
        let _ = std::fs::remove_file(&self.log);
        let run = || {
            let mut program = self.program(&words, console)?;
            for (number, end) in [ends.stdin, ends.stdout, ends.stderr].into_iter().enumerate() {
                end.into_iter().for_each(|end| program.stream(number, end));
            }
            program.run()
        };
        let status = run().map_err(|error| self.not_run(error))?;
        if status.success() { Ok(()) } else { Err(self.complaint(&status.to_string())) }
    }

    fn not_run(&self, error: io::Error) -> Failure {
        failed(format_args!("cannot run the runtime {}: {error}", self.program.display()))
    }

    // What the runtime wrote into its log last, as an error.
    fn complaint(&self, otherwise: &str) -> Failure {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let said = text.lines().rev().find_map(|line| {
            let entry: LogLine = from_json(line.as_bytes()).ok()?;
            matches!(entry.level.as_deref(), None | Some("error" | "fatal")).then_some(entry.msg).flatten()
        });
        failed(said.unwrap_or_else(|| otherwise.trim().to_owned()))
    }
}

/// A line of a runtime's log.
#[derive(Default)]
struct LogLine {
    level: Option<String>,
    msg: Option<String>,
}

document!(LogLine {
    "level" => level,
    "msg" => msg,
});

fn mount_root(
    rootfs: &Rootfs,
    layers: &LayerMounts,
    target: &Path,
    sources: &[MountSource],
) -> io::Result<()> {
    // A descriptor of the daemon's can be copied in the daemon's mount namespace only.
    let copies: Vec<OwnedFd> =
        sources.iter().map(|source| mount::clone_tree(&source.from, true)).collect::<Result<_, _>>()?;
    namespace::unshare(namespace::MOUNT)?;
    mount::set_root_propagation(mount::Propagation::Slave, true)?;
    match std::fs::create_dir(target) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let detached = hull_sys::mount_rootfs(rootfs, layers)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    mount::attach(detached, rustix::fs::open(target, flags, Mode::empty())?)?;
    sources.iter().zip(&copies).try_for_each(|(source, copy)| attach_at(copy, &source.at))
}

/// Attaches a file or directory at a place that is made for it.
fn attach_at(copy: &OwnedFd, place: &Path) -> io::Result<()> {
    if let Some(folder) = place.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let is_directory = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(copy)?.st_mode).is_dir();
    let made = if is_directory { std::fs::create_dir(place) } else { File::create_new(place).map(drop) };
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let target = rustix::fs::open(place, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    mount::attach(copy, target)
}

fn read_pid(path: &Path) -> Result<i32, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| failed(format_args!("cannot read {}: {error}", path.display())))?;
    text.trim().parse().map_err(|_| failed(format_args!("{} holds no process id: {text:?}", path.display())))
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}

// The runtime chose the cgroup; the process knows it.
fn memory_cgroup(pid: i32) -> Option<Cgroup> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let mut unified = None;
    for line in text.lines() {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        match controllers {
            "memory" => return Cgroup::load(path).ok(),
            "" => unified = Some(path),
            _ => {}
        }
    }
    Cgroup::load(unified?).ok()
}

// The socket over which the runtime sends a terminal's master.
struct Console {
    listener: UnixListener,
    path: PathBuf,
    file: PathBuf,
    _folder: OwnedFd,
}

impl Console {
    fn listen(bundle: &Path) -> Result<Self, Failure> {
        let file = bundle.join("console.sock");
        let listen = || -> io::Result<Self> {
            let _ = std::fs::remove_file(&file);
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder = rustix::fs::open(bundle, flags, Mode::empty())?;
            // Short enough for a socket wherever the bundle is.
            let path = format!("/proc/{}/fd/{}/console.sock", std::process::id(), folder.as_raw_fd());
            let listener = UnixListener::bind(&path)?;
            listener.set_nonblocking(true)?;
            Ok(Self { listener, path: path.into(), file: file.clone(), _folder: folder })
        };
        listen().map_err(|error| failed(format_args!("cannot listen for the terminal: {error}")))
    }

    // The runtime has ended well: what it sent is there.
    fn receive(self) -> Result<OwnedFd, Failure> {
        let received = self.listener.accept().and_then(|(stream, _)| {
            stream.set_nonblocking(false)?;
            hull_sys::socket::receive(&stream, 4096)
        });
        let _ = std::fs::remove_file(&self.file);
        let (_, mut descriptors) =
            received.map_err(|error| failed(format_args!("the runtime sent no terminal: {error}")))?;
        descriptors.pop().ok_or_else(|| failed("the runtime sent no terminal"))
    }
}
