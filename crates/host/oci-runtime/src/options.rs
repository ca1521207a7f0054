//! What the verbs are given and give back.

use hull_types::oci::runtime as oci;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The three standard streams of a process. One that is `None` is the caller's own.
#[derive(Debug, Default)]
pub struct Stdio {
    /// Standard input.
    pub stdin: Option<OwnedFd>,
    /// Standard output.
    pub stdout: Option<OwnedFd>,
    /// Standard error.
    pub stderr: Option<OwnedFd>,
}

/// What [`create`](crate::create) needs.
#[derive(Debug, Default)]
pub struct CreateOptions {
    /// The container's id.
    pub id: String,
    /// The bundle's directory, which holds `config.json`.
    pub bundle: PathBuf,
    /// Where the runtime keeps its state: `<state_root>/<id>/`.
    pub state_root: PathBuf,
    /// Mounted as the root inside the container's mount namespace, in place of `root.path`.
    pub rootfs: Option<hull_types::Rootfs>,
    /// Mounts of layers of the root and of `hull.rootfs` mounts that are there already, to be shared with other
    /// containers. Layers that are not in here are mounted for this container alone.
    pub layers: hull_sys::LayerMounts,
    /// The process's streams; with a terminal they are that.
    pub stdio: Stdio,
    /// A unix socket that gets the terminal's master.
    pub console_socket: Option<PathBuf>,
    /// A file that gets the process's id.
    pub pid_file: Option<PathBuf>,
    /// A unix socket that gets the process's pidfd.
    pub pidfd_socket: Option<PathBuf>,
    /// Move the root over the old one instead of `pivot_root`, for an initramfs.
    pub no_pivot: bool,
    /// The cgroup is a scope of systemd's, and `cgroupsPath` names one.
    pub systemd_cgroup: bool,
    /// The caller is not the host's root: hierarchies where it may make no cgroup are left out, and what it may not
    /// map itself is mapped by newuidmap and newgidmap.
    pub rootless: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// How many descriptors from 3 on the process inherits.
    pub preserve_fds: u32,
}

/// A created container, whose process waits for [`start`](crate::start).
#[derive(Debug)]
pub struct Created {
    /// Its process: a child of the caller, who is to reap it.
    pub pid: i32,
    /// The same, as a descriptor.
    pub pidfd: OwnedFd,
    /// The terminal's master, if it has a terminal and no console socket was given.
    pub console: Option<OwnedFd>,
    /// What was asked for and left out, such as unknown capabilities.
    pub warnings: Vec<String>,
}

/// What [`exec`](crate::exec) needs.
#[derive(Debug, Default)]
pub struct ExecOptions {
    /// The container's id.
    pub id: String,
    /// Where the runtime keeps its state.
    pub state_root: PathBuf,
    /// What runs.
    pub process: oci::Process,
    /// Its streams; with a terminal they are that.
    pub stdio: Stdio,
    /// A unix socket that gets the terminal's master.
    pub console_socket: Option<PathBuf>,
    /// A file that gets the process's id.
    pub pid_file: Option<PathBuf>,
    /// A unix socket that gets the process's pidfd.
    pub pidfd_socket: Option<PathBuf>,
    /// How many descriptors from 3 on the process inherits.
    pub preserve_fds: u32,
    /// Whether the container may be paused; the process then waits with it.
    pub ignore_paused: bool,
    /// Groups below the container's own that the process is put into: `[<controller>,…:]<path>`.
    pub cgroups: Vec<String>,
}

/// A process started by [`exec`](crate::exec).
#[derive(Debug)]
pub struct Process {
    /// Its id: a child of the caller, who is to reap it.
    pub pid: i32,
    /// The same, as a descriptor.
    pub pidfd: OwnedFd,
    /// The terminal's master, if it has a terminal and no console socket was given.
    pub console: Option<OwnedFd>,
}
