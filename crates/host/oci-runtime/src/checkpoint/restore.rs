//! `restore`.

use super::{CriuOptions, DESCRIPTORS, NETWORK, bind_mounts, check_terminal, failure, joined_network};
use crate::config::{self, Namespaces};
use crate::create::{self, Targets, Undo};
use crate::failure::{During, Failure, Step};
use crate::state::{self, Directory};
use crate::{CreateOptions, Created, Error, Result, default_devices, process as setup};
use hull_cgroup::{Cgroup, Host};
use hull_sys::mount::{self, Change, Propagation};
use hull_sys::process::{self, Forked};
use hull_sys::rustix::fs::{CWD, Mode, OFlags};
use hull_sys::{namespace, rustix};
use hull_types::document::{self, Field};
use hull_types::oci::runtime::{Linux, Spec};
use std::ffi::{CString, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What [`restore`] needs.
#[derive(Debug, Default)]
pub struct RestoreOptions {
    /// As for `create`: id, bundle, state root, root file system, streams, pid file and pidfd socket count.
    pub create: CreateOptions,
    /// Where the image is, and how it is read.
    pub criu: CriuOptions,
}

/// Makes a container of an image; its processes go on where they were. Its first one is the caller's child. On failure
/// nothing is left.
pub fn restore(options: RestoreOptions) -> Result<Created> {
    let RestoreOptions { create: options, criu } = options;
    criu.check().map_err(Error::InvalidConfig)?;
    state::check_id(&options.id)?;
    let program = find(criu.program()).ok_or_else(|| Error::NoCriu(criu.program().into()))?;
    let bundle = std::path::absolute(&options.bundle).unwrap_or_else(|_| options.bundle.clone());
    let spec = config::load(&bundle)?;
    check_terminal(&spec)?;
    let directory = Directory::of(&options.state_root, &options.id)?;
    directory.make(&options.id)?;
    let mut undo = Undo::default();
    undo.directory = Some(directory.clone());
    let restored = Restore { options, criu, program, bundle, spec: &spec, directory }.run(&mut undo)?;
    undo.keep();
    Ok(restored)
}

/// The container's streams, out of the way: what criu itself says belongs into its log, not among them.
fn inherited_streams(names: Vec<String>) -> Step<Vec<(i32, String)>> {
    let mut inherited: Vec<(i32, String)> = Vec::new();
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let null = rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let null = null.during("cannot open /dev/null")?;
    for ((number, stream), name) in (0..).zip(streams).zip(names) {
        let above = stream.try_clone_to_owned().and_then(|copy| process::move_above(copy, 100));
        let above = above.during("cannot move a stream")?;
        process::set_stream(number, &null).during("cannot set a stream")?;
        // Two streams may be one.
        if !name.is_empty() && !inherited.iter().any(|(_, known)| *known == name) {
            process::set_inherited(&above, true).during("cannot give a stream on")?;
            // It is criu's from here on.
            inherited.push((std::os::fd::IntoRawFd::into_raw_fd(above), name));
        }
    }
    Ok(inherited)
}

fn find(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

struct Restore<'a> {
    options: CreateOptions,
    criu: CriuOptions,
    program: PathBuf,
    bundle: PathBuf,
    spec: &'a Spec,
    directory: Directory,
}

impl Restore<'_> {
    fn run(mut self, undo: &mut Undo) -> Result<Created> {
        let default = Linux::default();
        let linux = self.spec.linux.as_ref().unwrap_or(&default);
        let namespaces = Namespaces::of(linux)?;
        let failed = |what| move |source| Error::Prepare { what, source };
        let cgroup_path = create::cgroup_path(linux, &self.options.id)?;
        let host = Host::detect()?;
        let cgroup = Cgroup::on(&host, &cgroup_path)?;
        // Limits are as configured, not as they were. CRIU finds the groups and leaves them so.
        let resources = default_devices::with_rules(linux.resources.as_ref());
        undo.cgroup = Some(cgroup.clone());
        cgroup.prepare_unified(&host).and_then(|_| cgroup.complete(&host, &resources)).inspect_err(
            |error| {
                if matches!(error, hull_cgroup::Error::InUse(_)) {
                    undo.cgroup = None;
                }
            },
        )?;
        fs::create_dir_all(self.criu.work()).map_err(failed("cannot make criu's directory"))?;
        let network = joined_network(linux).map(fs::File::open).transpose();
        let network = network.map_err(failed("cannot open the network namespace"))?.map(OwnedFd::from);
        let root = self.directory.0.join("root");
        fs::create_dir(&root).map_err(failed("cannot make a place for the root"))?;
        let pid_file = self.directory.0.join("restored.pid");
        let streams = self.streams()?;
        let words = |inherited: &[(i32, String)]| {
            let external = self.external();
            self.criu.restore(&cgroup_path, &root, &pid_file, &external, inherited)
        };

        match process::clone3(namespace::MOUNT, None).map_err(Error::Clone)? {
            Forked::Child => match self.become_criu(&root, network.as_ref(), streams, words) {
                Err(Failure(text)) => {
                    use std::io::Write;
                    let _ = writeln!(io::stderr(), "{text}");
                    process::exit(127)
                }
                Ok(()) => process::exit(127),
            },
            Forked::Parent { pidfd, .. } => {
                let status = process::reap(&pidfd).map_err(failed("cannot wait for criu"))?;
                if status != 0 {
                    return Err(failure("restore", &self.criu.work().join("restore.log"), status));
                }
            }
        }
        let pid = fs::read_to_string(&pid_file).map_err(failed("cannot read what criu restored"))?;
        let pid: i32 = pid.trim().parse().unwrap_or(0);
        let pidfd = process::pidfd_open(pid).map_err(failed("cannot find what criu restored"))?;
        undo.pidfd = Some(pidfd.try_clone().map_err(failed("cannot copy a pidfd"))?);
        let _ = fs::remove_file(&pid_file);
        let _ = fs::remove_dir(&root);
        let mut record =
            create::record(&self.options, &self.bundle, self.spec, linux, &namespaces, &cgroup_path);
        (record.pid, record.identity) = (pid, state::identity(pid, &pidfd));
        self.keep_filter(linux, &mut record)?;
        self.directory.save(&record)?;
        self.options.stdio = crate::Stdio::default();
        let targets = Targets {
            console_socket: None,
            pid_file: self.options.pid_file.as_deref(),
            pidfd_socket: self.options.pidfd_socket.as_deref(),
        };
        targets.serve(None, pid, &pidfd)?;
        Ok(Created { pid, pidfd, console: None, warnings: Vec::new() })
    }

    /// The processes have their filters; those of `exec` get the configured one.
    fn keep_filter(&self, linux: &Linux, record: &mut crate::state::Record) -> Result<()> {
        let Some(seccomp) = &linux.seccomp else { return Ok(()) };
        create::keep_filter(seccomp, record, &self.directory).map(drop)
    }

    fn external(&self) -> Vec<String> {
        let name = |(destination, source)| format!("mnt[{destination}]:{source}");
        bind_mounts(self.spec, &self.bundle).into_iter().map(name).collect()
    }

    /// The names of the three streams in the image.
    fn streams(&self) -> Result<Vec<String>> {
        let path = self.criu.image_path.join(DESCRIPTORS);
        match fs::read(&path) {
            Ok(text) => {
                let mut names: Vec<String> = Vec::new();
                let read = document::read(names.slot(), &text);
                read.map(|()| names).map_err(|source| Error::ParseState { path, source })
            }
            Err(source) => Err(Error::State { path, source }),
        }
    }

    /// In a mount namespace of its own, where the root is mounted at a path: CRIU wants a path, and the host shall not
    /// see the mount.
    fn become_criu(
        &self,
        root: &Path,
        network: Option<&OwnedFd>,
        streams: Vec<String>,
        words: impl Fn(&[(i32, String)]) -> Vec<OsString>,
    ) -> Step<()> {
        setup::give_streams(&self.options.stdio)?;
        mount::set_root_propagation(Propagation::Slave, true).during("cannot leave the host's mounts")?;
        let tree = match &self.options.rootfs {
            Some(rootfs) => hull_sys::mount_rootfs(rootfs, &self.options.layers)
                .during("cannot mount the root file system")?,
            None => {
                let path =
                    self.spec.root.as_ref().map(|root| self.bundle.join(&root.path)).unwrap_or_default();
                let what = format_args!("cannot open the root {}", path.display());
                mount::clone_tree(&path, true).during(what)?
            }
        };
        let private = Change { propagation: Some(Propagation::Private), ..Change::default() };
        mount::change(&tree, private, true).during("cannot make the root private")?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let place =
            rustix::fs::openat(CWD, root, flags, Mode::empty()).during("cannot open the root's place")?;
        mount::attach(&tree, &place).during("cannot attach the root")?;
        let mut inherited = inherited_streams(streams)?;
        if let Some(network) = network {
            process::set_inherited(network, true).during("cannot give the network namespace on")?;
            inherited.push((network.as_raw_fd(), NETWORK.to_owned()));
        }
        let words = words(&inherited);
        let c_string =
            |text: &[u8]| CString::new(text).map_err(|_| Failure("an argument contains NUL".into()));
        let program = c_string(self.program.as_os_str().as_bytes())?;
        let mut arguments = vec![program.clone()];
        for word in words {
            arguments.push(c_string(&word.into_vec())?);
        }
        let variables = std::env::vars_os()
            .map(|(name, value)| c_string(&[name.as_bytes(), b"=", value.as_bytes()].concat()));
        let environment = variables.collect::<Step<Vec<_>>>()?;
        hull_sys::signal::reset_all();
        let error = process::execve(&program, &arguments, &environment);
        Err(error).during(format_args!("cannot run {}", self.program.display()))
    }
}
