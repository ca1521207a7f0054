//! `create`: the parent's side.
//!
//! While the new process builds its root, the parent makes the cgroup and compiles the filter; the two meet at "go".

use crate::channel::{self, ParentEnd, Report};
use crate::config::{self, Namespaces};
use crate::init::{self, Init};
use crate::process::Identity;
use crate::state::{self, Directory, Record};
use crate::{
    CreateOptions, Created, Error, Result, default_devices, hooks, intel_rdt, net_devices, rootless,
};
use hull_cgroup::{Cgroup, Host, Unit};
use hull_sys::filter::SockFilter;
use hull_sys::process::{self, Forked};
use hull_sys::rustix::fs::{CWD, Mode, OFlags};
use hull_sys::{namespace, rustix};
use hull_types::oci::runtime::{Linux, Seccomp, Spec, State, VERSION};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Makes a container whose process waits for [`start`](crate::start). On failure nothing is left of it.
///
/// The process is the caller's child. The caller must have one thread.
pub fn create(options: CreateOptions) -> Result<Created> {
    state::check_id(&options.id)?;
    let bundle = std::path::absolute(&options.bundle).unwrap_or_else(|_| options.bundle.clone());
    let spec = config::load(&bundle)?;
    let directory = Directory::of(&options.state_root, &options.id)?;
    directory.make(&options.id)?;
    let mut undo = Undo::default();
    undo.directory = Some(directory.clone());
    let created = build(options, &bundle, &spec, &directory, &mut undo)?;
    undo.keep();
    Ok(created)
}

/// What is taken back if a later step fails.
#[derive(Default)]
pub(crate) struct Undo {
    pub directory: Option<Directory>,
    pub cgroup: Option<Cgroup>,
    pub pidfd: Option<OwnedFd>,
    unit: Option<Unit>,
    classes: intel_rdt::Made,
}

impl Undo {
    pub(crate) fn keep(mut self) {
        (self.directory, self.cgroup, self.pidfd, self.unit) = (None, None, None, None);
        self.classes.directories.clear();
    }

    /// Ends the new process and takes its status.
    fn end_process(&mut self) -> Option<i32> {
        let pidfd = self.pidfd.take()?;
        let _ = process::pidfd_send_signal(&pidfd, 9);
        process::reap(&pidfd).ok()
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        self.end_process();
        // What fails here comes after an error that says more.
        if let Some(cgroup) = self.cgroup.take() {
            let _ = cgroup.kill_all();
            let _ = cgroup.remove();
        }
        if let Some(unit) = self.unit.take() {
            let _ = unit.stop();
        }
        self.classes.remove();
        if let Some(directory) = self.directory.take() {
            let _ = directory.remove();
        }
    }
}

fn prepare(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Prepare { what, source }
}

fn build(
    mut options: CreateOptions,
    bundle: &Path,
    spec: &Spec,
    directory: &Directory,
    undo: &mut Undo,
) -> Result<Created> {
    let default = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&default);
    let container_process = spec.process.clone().unwrap_or_default();
    let namespaces = Namespaces::of(linux)?;
    let host = Host::detect()?;
    let unit = unit(&options, linux)?;
    let cgroup_path = match &unit {
        Some(unit) => unit.path().to_owned(),
        None => cgroup_path(linux, &options.id)?,
    };
    let host = if options.rootless { host.permitted(&cgroup_path) } else { host };
    let cgroup = Cgroup::on(&host, &cgroup_path)?;
    let cgroup = if unit.is_some() { cgroup.given() } else { cgroup };
    let fifo = make_fifo(directory)?;
    let (parent, child) = channel::pair().map_err(prepare("cannot make a socket pair"))?;
    let joined = init::open_joined(&namespaces)?;
    let id_mapped = init::id_mapped(spec, linux, bundle)?;
    // A user namespace's own root may not mount an overlay of the host's directories.
    let mounted = match &options.rootfs {
        Some(rootfs) if namespaces.has(namespace::USER) => {
            let mounted = hull_sys::mount_rootfs(rootfs, &options.layers);
            Some(mounted.map_err(prepare("cannot mount the root file system"))?)
        }
        _ => None,
    };
    let mut record = record(&options, bundle, spec, linux, &namespaces, &cgroup_path);
    let state = record.state("creating");

    // From here on there may be something of the cgroup to remove.
    undo.cgroup = Some(cgroup.clone());
    let unified = match &unit {
        None => cgroup.prepare_unified(&host).inspect_err(|error| {
            // Another's group is not ours to remove.
            if matches!(error, hull_cgroup::Error::InUse(_)) {
                undo.cgroup = None;
            }
        })?,
        // systemd makes a scope for a process that is there.
        Some(_) => None,
    };
    undo.unit = unit.clone();
    let (forked, entered) = clone_into(&namespaces, &joined, unified.as_ref().map(AsFd::as_fd))?;
    match forked {
        Forked::Child => Init {
            spec,
            linux,
            process: &container_process,
            namespaces: &namespaces,
            joined,
            id_mapped,
            mounted,
            options: &options,
            bundle,
            cgroup: &cgroup,
            channel: child,
            fifo,
            go: std::cell::OnceCell::new(),
            state,
        }
        .run(),
        Forked::Parent { pid, pidfd } => {
            drop((child, fifo, id_mapped, mounted));
            options.stdio = crate::Stdio::default();
            options.layers = hull_sys::LayerMounts::default();
            undo.pidfd = Some(pidfd.try_clone().map_err(prepare("cannot copy a pidfd"))?);
            (record.pid, record.identity) = (pid, state::identity(pid, &pidfd));
            let helper = Helper {
                parent: &parent,
                host: &host,
                cgroup: &cgroup,
                linux,
                namespaces: &namespaces,
                unit: unit.as_ref(),
                entered: entered && unit.is_none(),
            };
            let given = helper.give_net_devices(&joined, record.pid);
            let classed = given.and_then(|()| join_class(linux, &mut record, &mut undo.classes));
            let seconded = classed.and_then(|()| helper.second(&mut record, directory));
            let console = match seconded.and_then(|()| attend(&parent, spec, &record)) {
                Ok(console) => console,
                Err(error) => return Err(explain(error, &parent, undo)),
            };
            directory.save(&record)?;
            let console = hand_out(&options, console, pid, &pidfd)?;
            let warnings = warnings(&Identity::unknown_capabilities(&container_process));
            Ok(Created { pid, pidfd, console, warnings })
        }
    }
}

/// Joining a pid namespace holds for children only, so it is the parent who joins, for one moment.
///
/// The second value says whether the process is in the cgroup's unified directory already.
fn clone_into(
    namespaces: &Namespaces,
    joined: &[init::Joined],
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<(Forked, bool)> {
    let later = namespace::CGROUP | if init::has_time_offsets(namespaces) { namespace::TIME } else { 0 };
    let flags = namespaces.made & !later;
    let pid_namespace = joined.iter().find(|joined| joined.flag == namespace::PID);
    let clone = || crate::exec::clone_in_cgroup(flags, cgroup);
    match pid_namespace {
        None => clone(),
        Some(target) => crate::exec::with_pid_namespace(&target.fd, namespace::PID, clone),
    }
    .map_err(Error::Clone)
}

pub(crate) fn record(
    options: &CreateOptions,
    bundle: &Path,
    spec: &Spec,
    linux: &Linux,
    namespaces: &Namespaces,
    cgroup: &str,
) -> Record {
    let root = spec.root.as_ref().map(|root| bundle.join(&root.path)).unwrap_or_default();
    let hooks = spec.hooks.clone().unwrap_or_default();
    let listener = linux.seccomp.as_ref().filter(|seccomp| !seccomp.listener_path.is_empty());
    Record {
        oci_version: VERSION.into(),
        id: options.id.clone(),
        bundle: bundle.into(),
        rootfs: root,
        created: hull_types::Timestamp::now().to_string(),
        cgroup: cgroup.into(),
        namespaces: namespaces.all(),
        rootless: options.rootless,
        has_filter: linux.seccomp.is_some(),
        listener_path: listener.map(|seccomp| seccomp.listener_path.clone()).unwrap_or_default(),
        listener_metadata: listener.map(|seccomp| seccomp.listener_metadata.clone()).unwrap_or_default(),
        personality: linux
            .personality
            .as_ref()
            .and_then(|personality| init::personality(&personality.domain)),
        keyring: !options.no_new_keyring,
        annotations: spec.annotations.clone(),
        poststart: hooks.poststart,
        poststop: hooks.poststop,
        ..Record::default()
    }
}

/// What a cgroup path may be.
pub(crate) fn cgroup_path(linux: &Linux, id: &str) -> Result<String> {
    let path = linux.cgroups_path.as_str();
    if path.is_empty() {
        return Ok(format!("/{id}"));
    }
    if !path.starts_with('/') && path.matches(':').count() == 2 {
        let text =
            format!("cgroupsPath {path:?} is for the systemd cgroup driver: it needs --systemd-cgroup");
        return Err(Error::InvalidConfig(text));
    }
    Ok(if path.starts_with('/') { path.into() } else { format!("/{path}") })
}

/// The unit that is to be the cgroup, where systemd makes it.
fn unit(options: &CreateOptions, linux: &Linux) -> Result<Option<Unit>> {
    if !options.systemd_cgroup {
        return Ok(None);
    }
    let path = match linux.cgroups_path.as_str() {
        "" => format!("system.slice:hull:{}", options.id),
        path => path.to_owned(),
    };
    Ok(Some(Unit::parse(&path)?))
}

/// The pipe that init waits at. Its own end is open for both directions, so that it never reads an end of file.
fn make_fifo(directory: &Directory) -> Result<OwnedFd> {
    let path = directory.fifo_path();
    let open = || -> rustix::io::Result<OwnedFd> {
        rustix::fs::mkfifoat(CWD, &path, Mode::from_raw_mode(0o600))?;
        rustix::fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
    };
    open().map_err(|error| Error::State { path: path.clone(), source: error.into() })
}

/// Puts the process into its class of service.
fn join_class(linux: &Linux, record: &mut Record, made: &mut intel_rdt::Made) -> Result<()> {
    let Some(wanted) = &linux.intel_rdt else { return Ok(()) };
    let root = intel_rdt::mount_point();
    intel_rdt::apply(root.as_deref(), wanted, &record.id, record.pid, made)?;
    record.classes = made.directories.clone();
    Ok(())
}

/// What the new process needs of its parent.
struct Helper<'a> {
    parent: &'a ParentEnd,
    host: &'a Host,
    cgroup: &'a Cgroup,
    linux: &'a Linux,
    namespaces: &'a Namespaces,
    unit: Option<&'a Unit>,
    /// Whether the process is in the unified hierarchy's group already.
    entered: bool,
}

impl Helper<'_> {
    fn give_net_devices(&self, joined: &[init::Joined], pid: i32) -> Result<()> {
        if self.linux.net_devices.is_empty() {
            return Ok(());
        }
        let given = joined.iter().find(|joined| joined.flag == namespace::NETWORK);
        let own;
        let target = match given {
            Some(joined) => &joined.fd,
            None => {
                own =
                    hull_sys::netns::of_process(pid).map_err(prepare("cannot open the network namespace"))?;
                &own
            }
        };
        net_devices::give(&self.linux.net_devices, target)
    }

    /// Maps, cgroup and filter.
    fn second(&self, record: &mut Record, directory: &Directory) -> Result<()> {
        let linux = self.linux;
        if self.namespaces.makes(namespace::USER) {
            rootless::write_maps(record.pid, linux)
                .and_then(|()| self.parent.maps_written())
                .map_err(prepare("cannot write the user namespace's maps"))?;
        }
        let mut resources = default_devices::with_rules(linux.resources.as_ref());
        if record.rootless {
            // It has no device that its maker does not have.
            resources.devices.clear();
        }
        if let Some(unit) = self.unit {
            unit.start(record.pid, &resources, self.cgroup.is_unified())?;
            record.unit = unit.name().into();
            self.cgroup.prepare_unified(self.host)?;
        }
        self.cgroup.complete(self.host, &resources)?;
        self.attach(record.pid)?;
        let mut filter = Vec::new();
        if let Some(seccomp) = &linux.seccomp {
            filter = keep_filter(seccomp, record, directory)?;
        }
        self.parent.go(record.pid, &filter).map_err(prepare("cannot talk to the container's init"))
    }

    /// What the process does not do itself: it enters version 1's hierarchies when it hears "go", which in a user
    /// namespace it may not.
    fn attach(&self, pid: i32) -> Result<()> {
        let itself = !self.namespaces.has(namespace::USER);
        match (self.entered, itself) {
            (true, true) => Ok(()),
            (true, false) => Ok(self.cgroup.add_pid_to_version_1(pid)?),
            (false, _) => Ok(self.cgroup.add_pid(pid)?),
        }
    }
}

/// Compiles the filter, and keeps it for `exec`.
pub(crate) fn keep_filter(
    seccomp: &Seccomp,
    record: &mut Record,
    directory: &Directory,
) -> Result<Vec<SockFilter>> {
    let filter = hull_seccomp::compile(seccomp)?;
    record.filter_flags = hull_seccomp::flags(seccomp)?;
    let path = directory.filter_path();
    std::fs::write(&path, channel::encode_filter(&filter)).map_err(|source| Error::State { path, source })?;
    Ok(filter)
}

/// Hears the new process out, until it is ready or has failed.
fn attend(parent: &ParentEnd, spec: &Spec, record: &Record) -> Result<Option<OwnedFd>> {
    let mut console = None;
    loop {
        match parent.next().map_err(prepare("cannot hear from the container's init"))? {
            Report::Console(master) => console = Some(master),
            Report::HooksWanted => {
                run_outer_hooks(spec, &record.state("creating"))?;
                parent.hooks_done().map_err(prepare("cannot talk to the container's init"))?;
            }
            Report::Ready => return Ok(console),
            Report::Failed(text) => return Err(Error::Init(text)),
            Report::Gone => return Err(Error::InitDied(0)),
        }
    }
}

fn run_outer_hooks(spec: &Spec, state: &State) -> Result<()> {
    let Some(all) = &spec.hooks else { return Ok(()) };
    for (point, list) in [("prestart", &all.prestart), ("createRuntime", &all.create_runtime)] {
        hooks::run(list, state).map_err(|failure| Error::Hook {
            point,
            index: failure.index,
            reason: failure.reason,
        })?;
    }
    Ok(())
}

/// Of two errors that belong together the new process's own says more; of its death, its status.
fn explain(error: Error, parent: &ParentEnd, undo: &mut Undo) -> Error {
    parent.give_up();
    match error {
        Error::Cgroup(hull_cgroup::Error::InUse(_)) => {
            // Another's group is not ours to empty and remove.
            undo.cgroup = None;
            error
        }
        Error::InitDied(_) => Error::InitDied(undo.end_process().unwrap_or(255)),
        Error::Prepare { .. } => match parent.next() {
            Ok(Report::Failed(text)) => Error::Init(text),
            _ => error,
        },
        error => error,
    }
}

/// Gives terminal, pid and pidfd to those who asked.
fn hand_out(
    options: &CreateOptions,
    console: Option<OwnedFd>,
    pid: i32,
    pidfd: &OwnedFd,
) -> Result<Option<OwnedFd>> {
    let targets = Targets {
        console_socket: options.console_socket.as_deref(),
        pid_file: options.pid_file.as_deref(),
        pidfd_socket: options.pidfd_socket.as_deref(),
    };
    targets.serve(console, pid, pidfd)
}

/// Who asked for what.
pub(crate) struct Targets<'a> {
    pub console_socket: Option<&'a Path>,
    pub pid_file: Option<&'a Path>,
    pub pidfd_socket: Option<&'a Path>,
}

impl Targets<'_> {
    pub(crate) fn serve(
        &self,
        console: Option<OwnedFd>,
        pid: i32,
        pidfd: &OwnedFd,
    ) -> Result<Option<OwnedFd>> {
        let failed = |what, path: &Path| {
            let path = PathBuf::from(path);
            move |source| Error::HandOut { what, path, source }
        };
        let mut console = console;
        if let (Some(path), Some(master)) = (self.console_socket, &console) {
            hull_sys::socket::send_fd_to(path, b"/dev/ptmx", master.as_fd())
                .map_err(failed("terminal", path))?;
            console = None;
        }
        if let Some(path) = self.pidfd_socket {
            hull_sys::socket::send_fd_to(path, b"pidfd", pidfd.as_fd()).map_err(failed("pidfd", path))?;
        }
        if let Some(path) = self.pid_file {
            // Whoever waits for the file must never see it half written.
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let new = path.with_file_name(format!(".{name}.new"));
            std::fs::write(&new, pid.to_string())
                .and_then(|()| std::fs::rename(&new, path))
                .map_err(failed("process id", path))?;
        }
        Ok(console)
    }
}

fn warnings(unknown: &[String]) -> Vec<String> {
    unknown.iter().map(|name| format!("ignoring unknown capability {name}")).collect()
}
