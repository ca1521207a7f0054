//! The configured mounts: each is made whole while it is detached, and then attached at a descriptor of its place.

use super::{IdMapped, Init};
use crate::failure::{During, Failure, Step};
use crate::mount_options::MountOptions;
use hull_sys::mount::{self, Attributes, Change, FileSystem};
use hull_sys::{InRoot, LayerMounts, Mode, OFlags, rustix};
use hull_types::Rootfs;
use hull_types::document::from_json;
use hull_types::oci::runtime::Mount;
use rustix::fs::FileType;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

const PROC_MAGIC: u32 = 0x9fa0;

/// Files of `/proc` that a file may be mounted over: what tools show as the container's own numbers.
const PROC_FILES: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// What later steps need to know of the mounts.
#[derive(Default)]
pub(super) struct Mounted {
    /// `/dev`, if it is to be read-only once it has its nodes.
    pub read_only_dev: Option<OwnedFd>,
    /// Whether `/dev` is one of the host's directories, whose nodes are there and are not ours to make.
    pub dev_is_bound: bool,
    /// What is mounted at `/proc` and `/sys`, in the order of mounting.
    kernels: Vec<(PathBuf, InRoot)>,
}

impl Mounted {
    /// Remembers the kernel's own file systems by their mounts.
    fn remember(&mut self, mount: &Mount, tree: &OwnedFd) -> Step<()> {
        let path = clean(&mount.destination);
        if path == Path::new("/proc") || path == Path::new("/sys") {
            self.kernels.push((path, InRoot::new(tree.try_clone().during("copy descriptor")?)));
        }
        Ok(())
    }

    /// A handle of a path that is to be guarded. One in `/proc` or `/sys` is looked for in what was mounted there:
    /// who can exchange names in the image could else lead the guard elsewhere, and take the exchange back later.
    pub fn open_guarded(&self, root: &InRoot, path: &str) -> io::Result<OwnedFd> {
        let clean = clean(path);
        let below = |(place, tree)| Some((clean.strip_prefix(place as &PathBuf).ok()?, tree as &InRoot));
        match self.kernels.iter().rev().map(|(place, tree)| (place, tree)).find_map(below) {
            Some((rest, tree)) if !rest.as_os_str().is_empty() => tree.open_path(rest),
            _ => root.open_path(path),
        }
    }
}

impl Init<'_> {
    /// Mounts everything but the kernel parameters' sake: those are written through a fresh `/proc` before anything
    /// can be mounted over it.
    pub(super) fn mount_all(&self, root: &InRoot) -> Step<Mounted> {
        let mut mounted = Mounted::default();
        let mut parameters_written = self.linux.sysctl.is_empty();
        // All sources are opened before the first mount: none can be led astray by a mount of the container's.
        let mut sources = Vec::with_capacity(self.spec.mounts.len());
        for mount in &self.spec.mounts {
            let options = MountOptions::parse(&mount.options);
            let source = self.open_source(sources.len(), mount, &options).during(label(mount))?;
            sources.push((options, source));
        }
        for ((mount, (options, source)), mapped) in self.spec.mounts.iter().zip(sources).zip(&self.id_mapped)
        {
            let mapping = match mapped {
                Some(IdMapped::Mapping(namespace)) => Some(namespace),
                _ => None,
            };
            let layers = &self.options.layers;
            let place = Place { mount, options: &options, mapping, label: &self.linux.mount_label, layers };
            match (mount.kind.as_str(), source) {
                (_, Some(source)) => place.bind(root, source, &mut mounted),
                ("cgroup" | "cgroup2", None) => self.mount_cgroup(root, mount, &options),
                ("proc", None) => place.proc(root, &self.linux.sysctl, &mut parameters_written, &mut mounted),
                (_, None) => place.file_system(root, &mut mounted),
            }
            .during(label(mount))?;
        }
        if !parameters_written {
            super::sysctl::write_privately(&self.linux.sysctl)?;
        }
        Ok(mounted)
    }

    /// A detached copy of a bind mount's source.
    fn open_source(&self, index: usize, mount: &Mount, options: &MountOptions) -> Step<Option<OwnedFd>> {
        if let Some(Some(IdMapped::Source(mapped))) = self.id_mapped.get(index) {
            return mapped.try_clone().during("copy descriptor").map(Some);
        }
        if mount.kind != "bind" && !options.bind {
            return Ok(None);
        }
        let path = self.bundle.join(&mount.source);
        let tree = mount::clone_tree(&path, options.recursive_bind);
        tree.during(format_args!("open source {}", path.display())).map(Some)
    }
}

/// What goes before a mount's error.
fn label(mount: &Mount) -> String {
    let source = if mount.source.is_empty() { &mount.kind } else { &mount.source };
    format!("error mounting {source:?} to rootfs at {:?}", mount.destination)
}

/// A mount on its way to its place.
struct Place<'a> {
    mount: &'a Mount,
    options: &'a MountOptions,
    /// Of images, mounted already.
    layers: &'a LayerMounts,
    /// The id mapping of a new file system.
    mapping: Option<&'a OwnedFd>,
    /// The security label of new file systems; empty for none.
    label: &'a str,
}

impl Place<'_> {
    fn bind(&self, root: &InRoot, source: OwnedFd, mounted: &mut Mounted) -> Step<()> {
        let stat = rustix::fs::fstat(&source).during("stat source")?;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let target = destination(root, &self.mount.destination, is_directory)?;
        self.refuse_inside_proc(&target, Some(&source))?;
        self.change(&source)?;
        let attached = mount::attach(&source, &target).map_err(|error| {
            let stat = rustix::fs::fstat(&target);
            let over_directory =
                stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
            // For a file over a directory the kernel has the least telling of its errors.
            if over_directory == is_directory { error } else { rustix::io::Errno::NOTDIR.into() }
        });
        attached.during("mount")?;
        mounted.remember(self.mount, &source)?;
        if clean(&self.mount.destination) == Path::new("/dev") {
            mounted.dev_is_bound = true;
        }
        Ok(())
    }

    fn file_system(&self, root: &InRoot, mounted: &mut Mounted) -> Step<()> {
        let is_dev = clean(&self.mount.destination) == Path::new("/dev");
        let mode = self.mode_of_place(root);
        let target = if self.mount.kind == "sysfs" {
            ordinary_directory(root, self.mount)?
        } else {
            destination(root, &self.mount.destination, true)?
        };
        self.refuse_inside_proc(&target, None)?;
        // Nodes of /dev are made later, and copies have to be written.
        let first = match self.options.own.set {
            all if is_dev || self.copies_up() => all - Attributes::MOUNT_ATTR_RDONLY,
            all => all,
        };
        let made = self.make(first, mode)?;
        if is_dev && self.options.is_read_only() {
            mounted.read_only_dev = Some(made.try_clone().during("copy descriptor")?);
        }
        if self.copies_up() {
            super::copy_up::copy(&target, &made).during("copy up")?;
            if self.options.is_read_only() && !is_dev {
                let change = Change { set: Attributes::MOUNT_ATTR_RDONLY, ..Change::default() };
                mount::change(&made, change, false).during("set read-only")?;
            }
        }
        if !self.options.recursive.is_empty() {
            mount::change(&made, self.options.recursive, true).during("set recursive attributes")?;
        }
        self.propagate(&made)?;
        mount::attach(&made, &target).during("mount")?;
        mounted.remember(self.mount, &made)
    }

    fn proc(
        &self,
        root: &InRoot,
        sysctl: &std::collections::BTreeMap<String, String>,
        written: &mut bool,
        mounted: &mut Mounted,
    ) -> Step<()> {
        let target = ordinary_directory(root, self.mount)?;
        let made = self.make(self.options.own.set, None)?;
        if !*written {
            super::sysctl::write(&made, sysctl)?;
            *written = true;
        }
        self.propagate(&made)?;
        mount::attach(&made, &target).during("mount")?;
        mounted.remember(self.mount, &made)
    }

    /// A new file system of the mount's type, detached.
    fn make(&self, attributes: Attributes, mode: Option<u32>) -> Step<OwnedFd> {
        if self.mount.kind == Rootfs::MOUNT_TYPE {
            return self.layers(attributes);
        }
        const VIRTUAL: [&str; 5] = ["proc", "sysfs", "tmpfs", "devpts", "mqueue"];
        let context = FileSystem::open(&self.mount.kind)
            .during(format_args!("file system type {:?}", self.mount.kind))?;
        let source = if self.mount.source.is_empty() { &self.mount.kind } else { &self.mount.source };
        context.set("source", source.as_str()).during("set source")?;
        if let Some(mode) = mode {
            context.set("mode", format!("{mode:o}").as_str()).during("set mode")?;
        }
        for flag in &self.options.file_system_flags {
            context.set_flag(flag).during(flag)?;
        }
        if self.options.is_read_only() && !VIRTUAL.contains(&self.mount.kind.as_str()) {
            context.set_flag("ro").during("ro")?;
        }
        for (key, value) in &self.options.data {
            match (key.as_str(), value) {
                // What is below is copied by the runtime, not the kernel.
                ("tmpcopyup" | "notmpcopyup", None) => {}
                (_, Some(value)) => {
                    context.set(key, value.as_str()).during(format_args!("option {key}={value}"))?
                }
                (_, None) => context.set_flag(key).during(format_args!("option {key}"))?,
            }
        }
        // Others have no labels of their own to set, or get them from the policy.
        if !self.label.is_empty() && matches!(self.mount.kind.as_str(), "tmpfs" | "devpts" | "mqueue") {
            context.set("context", self.label).during("set the security label")?;
        }
        let made = context.mount(attributes).during("create")?;
        if let Some(namespace) = self.mapping {
            mount::set_id_map(&made, namespace, false).during("map ids")?;
        }
        Ok(made)
    }

    /// The mode of the directory that a tmpfs covers, where the configuration has none: it would be writable for all.
    fn mode_of_place(&self, root: &InRoot) -> Option<u32> {
        let given = self.options.data.iter().any(|(key, _)| key == "mode");
        if self.mount.kind != "tmpfs" || given {
            return None;
        }
        root.metadata(&self.mount.destination).ok().map(|stat| stat.st_mode & 0o7777)
    }

    // An image's files, of layers that no option of a file system could name.
    fn layers(&self, attributes: Attributes) -> Step<OwnedFd> {
        let rootfs: Rootfs = from_json(self.mount.source.as_bytes()).map_err(|error| {
            Failure(format!(
                "the source of the {} mount at {}: {error}",
                Rootfs::MOUNT_TYPE,
                self.mount.destination
            ))
        })?;
        let made = hull_sys::mount_rootfs(&rootfs, self.layers).during("mount an image's layers")?;
        let change = Change { set: attributes, ..Change::default() };
        mount::change(&made, change, false).during("set an image mount's attributes")?;
        Ok(made)
    }

    /// Whether a new tmpfs begins with what the image has at its place.
    fn copies_up(&self) -> bool {
        let last = |(key, _): &&(String, Option<String>)| matches!(key.as_str(), "tmpcopyup" | "notmpcopyup");
        let word = self.options.data.iter().rev().find(last);
        self.mount.kind == "tmpfs" && word.is_some_and(|(key, _)| key == "tmpcopyup")
    }

    /// Attributes and propagation, before anyone can see the mount.
    fn change(&self, tree: &OwnedFd) -> Step<()> {
        if !self.options.recursive.is_empty() {
            mount::change(tree, self.options.recursive, true).during("set recursive attributes")?;
        }
        if !self.options.own.is_empty() {
            mount::change(tree, self.options.own, false).during("set attributes")?;
        }
        self.propagate(tree)
    }

    fn propagate(&self, tree: &OwnedFd) -> Step<()> {
        for (propagation, recursive) in &self.options.propagation {
            let change = Change { propagation: Some(*propagation), ..Change::default() };
            mount::change(tree, change, *recursive).during("set propagation")?;
        }
        Ok(())
    }

    /// Nothing is mounted into `/proc`, but over a few of its files: security labels and kernel parameters are
    /// written there, and a false `/proc` would swallow them (CVE-2019-16884, CVE-2023-27561).
    fn refuse_inside_proc(&self, target: &OwnedFd, source: Option<&OwnedFd>) -> Step<()> {
        let path = clean(&self.mount.destination);
        // Where nothing is mounted at `/proc` yet, the path alone tells.
        if !path.starts_with("/proc") && !is_proc(target)? {
            return Ok(());
        }
        if PROC_FILES.iter().any(|file| Path::new(file) == path) {
            return Ok(());
        }
        match source {
            Some(source) if path == Path::new("/proc") && is_proc(source)? => Ok(()),
            _ => Err(Failure(format!(
                "{:?} cannot be mounted because it is inside /proc",
                self.mount.destination
            ))),
        }
    }
}

fn is_proc(fd: &OwnedFd) -> Step<bool> {
    let file_system = rustix::fs::fstatfs(fd).during("statfs")?;
    Ok(file_system.f_type as u32 == PROC_MAGIC)
}

/// An absolute path without `.` and `..`.
fn clean(path: &str) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean
}

/// A descriptor of the place, which is made if nothing is there.
fn destination(root: &InRoot, path: &str, is_directory: bool) -> Step<OwnedFd> {
    let made = if is_directory {
        root.mkdir_all(path, Mode::from_raw_mode(0o755))
    } else {
        root.ensure_file(path, Mode::from_raw_mode(0o644))
    };
    made.during(if is_directory { "create mountpoint" } else { "create mountpoint file" })
}

/// `/proc` and `/sys` are trusted by what comes later: no symbolic link may lead them elsewhere.
fn ordinary_directory(root: &InRoot, mount: &Mount) -> Step<OwnedFd> {
    let open = || {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        root.open_no_symlinks(&mount.destination, flags, Mode::empty())
    };
    match open() {
        Ok(directory) => Ok(directory),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            root.mkdir_all(&mount.destination, Mode::from_raw_mode(0o755)).during("create mountpoint")?;
            open().during("open mountpoint")
        }
        Err(error) => {
            let text = format!("filesystem {:?} must be mounted on ordinary directory", mount.kind);
            Err(error).during(text)
        }
    }
}

/// A read-only copy of what is at a descriptor, attached over it.
pub(super) fn make_read_only(target: impl AsFd) -> io::Result<()> {
    let copy = mount::clone_tree_at(&target, true)?;
    let change = Change { set: Attributes::MOUNT_ATTR_RDONLY, ..Change::default() };
    mount::change(&copy, change, true)?;
    mount::attach(&copy, target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_inside_the_root() {
        for (path, wanted) in
            [("/a/./b", "/a/b"), ("../../x", "/x"), ("/dev/", "/dev"), ("/a/../../proc", "/proc")]
        {
            assert_eq!(clean(path), Path::new(wanted));
        }
    }
}
