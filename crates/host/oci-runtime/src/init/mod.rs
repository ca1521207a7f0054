//! The first process, from the fork to the wait for `start`, and from there to its program: one step after the other.

mod cgroup_mounts;
mod copy_up;
mod devices;
mod masks;
mod mounts;
mod namespaces;
mod root;
mod sysctl;

pub(crate) use namespaces::{Joined, has_time_offsets, join_keyring, open_joined, personality};

use crate::channel::{ChildEnd, Go};
use crate::config::Namespaces;
use crate::failure::{During, Failure, Step};
use crate::mount_options::MountOptions;
use crate::process::{self as setup, Filter, Listener};
use crate::{CreateOptions, Error, Result, hooks};
use hull_cgroup::Cgroup;
use hull_sys::{InRoot, namespace, process, rustix, signal};
use hull_types::oci::runtime::{Hook, Linux, Process, Spec, State};
use std::cell::OnceCell;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// What the first process knows: all of it was made by its parent before the fork.
pub(crate) struct Init<'a> {
    pub spec: &'a Spec,
    pub linux: &'a Linux,
    pub process: &'a Process,
    pub namespaces: &'a Namespaces,
    pub joined: Vec<Joined>,
    /// What is id-mapped, at the mounts' indexes.
    pub id_mapped: Vec<Option<IdMapped>>,
    /// The root file system, where the parent had to mount it.
    pub mounted: Option<OwnedFd>,
    pub options: &'a CreateOptions,
    pub bundle: &'a Path,
    pub cgroup: &'a Cgroup,
    pub channel: ChildEnd,
    pub fifo: OwnedFd,
    /// What the parent says once the process is in its cgroup.
    pub go: OnceCell<Go>,
    pub state: State,
}

/// A mount that asks for an id mapping, as far as the parent can make it.
pub(crate) enum IdMapped {
    /// A detached copy of a bind mount's source, mapped: a mapping is set by those who own the file system, which a
    /// user namespace's root does not.
    Source(OwnedFd),
    /// The mapping, as a user namespace, for a file system that is yet to be made.
    Mapping(OwnedFd),
}

impl IdMapped {
    fn number(&self) -> i32 {
        let (Self::Source(fd) | Self::Mapping(fd)) = self;
        fd.as_raw_fd()
    }
}

/// What is to be mapped, in the order of the mounts.
pub(crate) fn id_mapped(spec: &Spec, linux: &Linux, bundle: &Path) -> Result<Vec<Option<IdMapped>>> {
    let mut all = Vec::with_capacity(spec.mounts.len());
    for mount in &spec.mounts {
        let named = mount.options.iter().any(|option| option == "idmap" || option == "ridmap");
        let own = !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty();
        if !named && !own {
            all.push(held_source(mount, bundle)?);
            continue;
        }
        let (uids, gids) = if own {
            (&mount.uid_mappings, &mount.gid_mappings)
        } else {
            (&linux.uid_mappings, &linux.gid_mappings)
        };
        let (uids, gids) = (crate::rootless::map_lines(uids), crate::rootless::map_lines(gids));
        let options = MountOptions::parse(&mount.options);
        let map = || {
            let namespace = hull_sys::mount::user_namespace(&uids, &gids)?;
            if mount.kind != "bind" && !options.bind {
                return Ok(IdMapped::Mapping(namespace));
            }
            let tree = hull_sys::mount::clone_tree(bundle.join(&mount.source), options.recursive_bind)?;
            hull_sys::mount::set_id_map(&tree, namespace, options.id_map.unwrap_or(false))?;
            Ok(IdMapped::Source(tree))
        };
        let made = map().map_err(|source| {
            let text = format!("cannot make an id-mapped mount at {:?}: ", mount.destination);
            Error::Init(text + &crate::failure::reason(&source))
        })?;
        all.push(Some(made));
    }
    Ok(all)
}

/// The source of a bind mount that the engine holds by descriptor: the container's own mount namespace would refuse
/// to copy it, as it is none of its mounts.
fn held_source(mount: &hull_types::oci::runtime::Mount, bundle: &Path) -> Result<Option<IdMapped>> {
    let mut parts = mount.source.strip_prefix("/proc/").unwrap_or_default().split('/');
    let of_process = parts.next().is_some_and(|part| part.parse::<u32>().is_ok());
    let is_held = of_process && parts.next() == Some("fd");
    let options = MountOptions::parse(&mount.options);
    if !is_held || (mount.kind != "bind" && !options.bind) {
        return Ok(None);
    }
    let tree = hull_sys::mount::clone_tree(bundle.join(&mount.source), options.recursive_bind);
    let tree = tree.map_err(|source| {
        Error::Init(format!("error mounting {:?}: {}", mount.destination, crate::failure::reason(&source)))
    })?;
    Ok(Some(IdMapped::Source(tree)))
}

/// Says on the container's own standard error, where the last words of a failed exec belong, what went wrong.
pub(crate) fn complain(failure: &Failure) -> ! {
    let _ = writeln!(std::io::stderr(), "{}", failure.0);
    process::exit(255)
}

impl Init<'_> {
    /// Never returns: it becomes the container's program, or ends.
    pub(crate) fn run(self) -> ! {
        match self.set_up() {
            Err(failure) => {
                self.channel.failed(&failure);
                process::exit(1)
            }
            Ok((settled, filter)) => complain(&self.wait_and_launch(settled, &filter)),
        }
    }

    fn set_up(&self) -> Step<(setup::Settled, Filter)> {
        self.leave_the_runtime()?;
        setup::before_root_changes(self.process)?;
        let label = setup::open_label(self.process)?;
        let stream =
            setup::connect(self.linux.seccomp.as_ref().map_or("", |seccomp| &seccomp.listener_path))?;
        if self.options.rootless && self.namespaces.makes(namespace::USER) {
            // The files in /proc of an undumpable process are root's: a maker who is not root could write no maps.
            self.channel.await_maps()?;
        }
        process::set_dumpable(false).during("cannot become undumpable")?;
        self.enter_namespaces()?;
        if !self.options.no_new_keyring {
            join_keyring(&self.options.id);
        }
        let root = self.attach_root()?;
        let mounts = self.mount_all(&root)?;
        let go = self.await_go()?;
        let listener = self.listener(stream, go.pid);
        self.unshare_cgroup()?;
        self.set_up_devices(&root, &mounts)?;
        self.run_hooks_before_pivot()?;
        root::change_root(&root, self.options.no_pivot)?;
        let root = InRoot::open_dir("/").during("cannot open the new root")?;
        self.open_console(&root)?;
        self.guard_paths(&root, &mounts)?;
        self.set_personality()?;
        setup::set_memory_policy(self.linux.memory_policy.as_ref())?;
        let flags = match &self.linux.seccomp {
            Some(seccomp) => hull_seccomp::flags(seccomp).map_err(|error| Failure(error.to_string()))?,
            None => 0,
        };
        let filter = Filter { instructions: go.filter.clone(), flags, listener };
        let filtered = !filter.instructions.is_empty();
        let settled = setup::settle(self.process, &root, label, self.options.preserve_fds, filtered)?;
        Ok((settled, filter))
    }

    /// Takes its streams, lets go of everything else of the runtime's, and begins a session.
    fn leave_the_runtime(&self) -> Step<()> {
        signal::reset_all();
        rustix::process::umask(rustix::fs::Mode::empty());
        setup::give_streams(&self.options.stdio)?;
        let mut keep = vec![self.channel.number(), self.fifo.as_raw_fd()];
        keep.extend(self.joined.iter().map(|joined| joined.fd.as_raw_fd()));
        keep.extend(self.id_mapped.iter().flatten().map(IdMapped::number));
        keep.extend(self.mounted.iter().map(AsRawFd::as_raw_fd));
        keep.extend(self.options.layers.iter().map(|(_, mount)| mount.as_raw_fd()));
        keep.extend((0..self.options.preserve_fds as i32).map(|n| 3 + n));
        process::close_all_except(&keep).during("cannot close descriptors")?;
        let _ = rustix::process::setsid();
        Ok(())
    }

    /// Waits until the process is in its cgroup.
    fn await_go(&self) -> Step<&Go> {
        if let Some(go) = self.go.get() {
            return Ok(go);
        }
        let go = self.channel.await_go()?;
        // In a user namespace the parent did it: it owns the groups.
        if !self.namespaces.has(namespace::USER) {
            self.cgroup.enter_version_1().map_err(|error| Failure(error.to_string()))?;
        }
        Ok(self.go.get_or_init(|| go))
    }

    fn listener(&self, stream: Option<UnixStream>, pid: i32) -> Option<Listener> {
        let metadata = &self.linux.seccomp.as_ref()?.listener_metadata;
        let state = State { pid, ..self.state.clone() };
        Some(Listener::new(stream?, metadata, &state, pid))
    }

    fn unshare_cgroup(&self) -> Step<()> {
        if !self.namespaces.makes(namespace::CGROUP) {
            return Ok(());
        }
        namespace::unshare(namespace::CGROUP).during("cannot make a cgroup namespace")
    }

    fn run_hooks_before_pivot(&self) -> Step<()> {
        let Some(hooks) = &self.spec.hooks else { return Ok(()) };
        if !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty() {
            self.channel.run_outer_hooks()?;
        }
        self.run_hooks("createContainer", &hooks.create_container, "creating")
    }

    fn run_hooks(&self, point: &str, list: &[Hook], status: &str) -> Step<()> {
        let state = State { status: status.into(), pid: std::process::id() as i32, ..self.state.clone() };
        hooks::run(list, &state).map_err(|failure| {
            Failure(format!("error running {point} hook #{}: {}", failure.index, failure.reason))
        })
    }

    fn open_console(&self, root: &InRoot) -> Step<()> {
        let Some(console) = setup::open_console(self.process, root)? else { return Ok(()) };
        devices::bind_console(root, &console.peer)?;
        self.channel.console(&console.master)
    }

    fn set_personality(&self) -> Step<()> {
        let Some(wanted) = &self.linux.personality else { return Ok(()) };
        let Some(domain) = personality(&wanted.domain) else {
            return Err(Failure(format!("invalid personality domain {:?}", wanted.domain)));
        };
        process::set_personality(domain).during("cannot set the personality")
    }

    /// Tells the parent, waits for `start`, and goes.
    fn wait_and_launch(&self, settled: setup::Settled, filter: &Filter) -> Failure {
        if let Err(failure) = self.channel.ready() {
            return failure;
        }
        let mut byte = [0_u8; 1];
        loop {
            match rustix::io::read(&self.fifo, &mut byte) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Failure(format!("cannot wait for the start: {error}")),
                Ok(_) => break,
            }
        }
        let hooks =
            self.spec.hooks.as_ref().map(|hooks| hooks.start_container.as_slice()).unwrap_or_default();
        if let Err(failure) = self.run_hooks("startContainer", hooks, "created") {
            return failure;
        }
        settled.launch(filter)
    }
}
