//! A container's cgroup: its directories, and what is done with them.

use crate::host::{Hierarchy, Host};
use crate::plan::{Version, Write, plan};
use crate::stats::{self, Stats};
use crate::{Error, Result, devices};
use hull_types::oci::runtime::Resources;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// How long freezing, or emptying a group whose processes were killed, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A cgroup: the same path in every hierarchy of the host.
#[derive(Debug, Clone)]
pub struct Cgroup {
    path: String,
    /// Version 1's directories.
    pub(crate) directories: Vec<Hierarchy>,
    /// Version 2's directory, alone or beside them.
    pub(crate) unified: Option<PathBuf>,
    /// Whether someone else (systemd) may have made it and put processes in.
    is_given: bool,
}

impl Cgroup {
    /// Makes a cgroup with limits; it has no process yet. On failure nothing is left of it.
    pub fn create(path: &str, resources: &Resources) -> Result<Self> {
        Self::create_on(&Host::detect()?, path, resources)
    }

    /// As [`create`](Self::create), on a host whose mounts are known.
    pub fn create_on(host: &Host, path: &str, resources: &Resources) -> Result<Self> {
        let cgroup = Self::on(host, path)?;
        let made = cgroup.prepare_unified(host).and_then(|_| cgroup.complete(host, resources));
        if let Err(error) = made {
            // A group that was there before, with processes, stays: rmdir refuses it.
            let _ = cgroup.remove_now();
            return Err(error);
        }
        Ok(cgroup)
    }

    /// The cgroup of that path, whether it is there or not.
    pub fn load(path: &str) -> Result<Self> {
        Self::on(&Host::detect()?, path)
    }

    /// As [`load`](Self::load), on a host whose mounts are known.
    pub fn on(host: &Host, path: &str) -> Result<Self> {
        let relative = relative(path)?;
        let place = |mount_point: &Path| mount_point.join(&relative);
        let directories = host
            .hierarchies
            .iter()
            .map(|h| Hierarchy { controllers: h.controllers.clone(), mount_point: place(&h.mount_point) })
            .collect();
        Ok(Self {
            path: path.to_owned(),
            directories,
            unified: host.unified.as_deref().map(place),
            is_given: false,
        })
    }

    /// The same, where it may be there already with processes in it: systemd's.
    pub fn given(self) -> Self {
        Self { is_given: true, ..self }
    }

    /// The path below each hierarchy's mount point.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Version 2's directory, alone or beside version 1's.
    pub fn unified(&self) -> Option<&Path> {
        self.unified.as_deref()
    }

    /// Version 1's directories; each `mount_point` is the group's own directory there.
    pub fn directories(&self) -> &[Hierarchy] {
        &self.directories
    }

    /// Whether the host is of version 2 alone.
    pub fn is_unified(&self) -> bool {
        self.directories.is_empty()
    }

    pub(crate) fn directory(&self, controller: &str) -> Option<&Path> {
        let found = self.directories.iter().find(|h| h.controllers.iter().any(|name| name == controller));
        found.map(|hierarchy| hierarchy.mount_point.as_path())
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Path> {
        self.directories.iter().map(|h| h.mount_point.as_path()).chain(self.unified.as_deref())
    }

    /// Whether any of its directories is there.
    pub fn exists(&self) -> bool {
        self.all().any(Path::exists)
    }

    fn make_directory(&self, directory: &Path, root: &Path, cpuset: bool) -> Result<()> {
        match make_directory(directory, root, cpuset) {
            Err(Error::InUse(_)) if self.is_given => Ok(()),
            result => result,
        }
    }

    fn make_version_1(&self, host: &Host) -> Result<()> {
        for (group, hierarchy) in self.directories.iter().zip(&host.hierarchies) {
            let cpuset = hierarchy.controllers.iter().any(|name| name == "cpuset");
            self.make_directory(&group.mount_point, &hierarchy.mount_point, cpuset)?;
        }
        Ok(())
    }

    fn set(&self, resources: &Resources) -> Result<()> {
        if !self.is_unified() {
            for write in plan(resources, Version::V1) {
                self.write_v1(&write, resources)?;
            }
            return Ok(());
        }
        if let (Some(memory), Some(directory)) = (&resources.memory, &self.unified) {
            let (swap, limit) = (memory.swap.unwrap_or(0), memory.limit.unwrap_or(0));
            if swap > 0 && (limit <= 0 || swap < limit) {
                return Err(Error::Swap);
            }
            // A new limit below usage would kill: refuse it if that was asked for.
            if memory.check_before_update == Some(true) && limit > 0 {
                let usage = stats::number(&directory.join("memory.current")).unwrap_or(0);
                if usage > limit as u64 {
                    return Err(Error::MemoryBusy { limit: limit.to_string(), usage, peak: usage });
                }
            }
        }
        for write in plan(resources, Version::V2) {
            self.write_v2(&write)?;
        }
        if resources.devices.is_empty() {
            return Ok(());
        }
        self.unified.as_deref().map_or(Ok(()), |directory| set_device_program(directory, resources))
    }

    fn write_v1(&self, write: &Write, resources: &Resources) -> Result<()> {
        let Some(directory) = self.directory(write.controller) else {
            return self.write_hybrid(write);
        };
        let path = directory.join(&write.file);
        match put(&path, &write.value) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && write.file == "blkio.weight" => {
                put_named(&directory.join("blkio.bfq.weight"), &write.value)
            }
            // The new memory limit is above the old one of memory and swap: that one has to go up first.
            Err(error) if error.raw_os_error() == Some(EINVAL) && write.file == "memory.limit_in_bytes" => {
                let swap = resources.memory.as_ref().and_then(|memory| memory.swap).unwrap_or(-1);
                put_named(&directory.join("memory.memsw.limit_in_bytes"), &swap.to_string())?;
                put_named(&path, &write.value)
            }
            Err(error) if error.raw_os_error() == Some(EINVAL) && write.file == "cpu.cfs_period_us" => {
                // The old quota does not fit the new period.
                let quota = resources.cpu.as_ref().and_then(|cpu| cpu.quota).unwrap_or(-1);
                put_named(&directory.join("cpu.cfs_quota_us"), &quota.to_string())?;
                put_named(&path, &write.value)
            }
            Err(error) if error.raw_os_error() == Some(EBUSY) && write.controller == "memory" => {
                let number = |name: &str| stats::number(&directory.join(name)).unwrap_or(0);
                Err(Error::MemoryBusy {
                    limit: write.value.clone(),
                    usage: number("memory.usage_in_bytes"),
                    peak: number("memory.max_usage_in_bytes"),
                })
            }
            Err(source) => Err(Error::Write { path, value: write.value.clone(), source }),
        }
    }

    /// A controller that no version 1 hierarchy has may be in the hybrid unified one.
    fn write_hybrid(&self, write: &Write) -> Result<()> {
        let missing =
            || Error::NoController { controller: write.controller.into(), file: write.file.clone() };
        if write.controller == "devices" && write.value == "a" && write.file == "devices.allow" {
            return Ok(());
        }
        let directory = self.unified.as_deref().ok_or_else(missing)?;
        let file = write.file.replace(".limit_in_bytes", ".max");
        let parent = directory.parent().ok_or_else(missing)?;
        let _ = put(&parent.join("cgroup.subtree_control"), &format!("+{}", write.controller));
        let path = directory.join(file);
        if path.exists() { put_named(&path, &write.value) } else { Err(missing()) }
    }

    fn write_v2(&self, write: &Write) -> Result<()> {
        let Some(directory) = self.unified.as_deref() else { return Err(Error::NotMounted) };
        let unsafe_name = write.file.contains('/') || write.file.starts_with("cgroup.");
        if write.controller.is_empty() && unsafe_name {
            return Err(Error::InvalidPath(write.file.clone()));
        }
        let path = directory.join(&write.file);
        match put(&path, &write.value) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && write.file == "io.bfq.weight" => {
                // 10…1000 are 1…10000 there.
                let weight: u64 = write.value.parse().unwrap_or(100);
                put_named(&directory.join("io.weight"), &(1 + (weight.max(10) - 10) * 9999 / 990).to_string())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let controller = write.file.split('.').next().unwrap_or_default().to_owned();
                Err(Error::NoController { controller, file: write.file.clone() })
            }
            Err(source) => Err(Error::Write { path, value: write.value.clone(), source }),
        }
    }

    /// Changes limits; what is not said stays.
    pub fn update(&self, resources: &Resources) -> Result<()> {
        self.set(resources)
    }

    /// Moves a process in, in every hierarchy.
    pub fn add_pid(&self, pid: i32) -> Result<()> {
        self.all().try_for_each(|directory| add(directory, pid))
    }

    /// Moves a process in that was started in the unified hierarchy's group already (`CLONE_INTO_CGROUP`).
    pub fn add_pid_to_version_1(&self, pid: i32) -> Result<()> {
        self.directories.iter().try_for_each(|hierarchy| add(&hierarchy.mount_point, pid))
    }

    /// Moves the calling process, which has one thread, into version 1's hierarchies.
    ///
    /// A thread that moves itself alone needs no lock of the kernel's; moving another process takes one that waits
    /// for a grace period, some milliseconds on an idle host. Version 2 has no such way: there `CLONE_INTO_CGROUP`
    /// is what takes no lock.
    pub fn enter_version_1(&self) -> Result<()> {
        self.directories.iter().try_for_each(|hierarchy| {
            put(&hierarchy.mount_point.join("tasks"), "0").map_err(|source| Error::Attach {
                pid: std::process::id() as i32,
                path: hierarchy.mount_point.clone(),
                source,
            })
        })
    }

    /// Makes the unified hierarchy's directory alone, so that a process can be started in it; the rest follows by
    /// [`create_on`](Self::create_on). `None` where there is no such hierarchy.
    pub fn prepare_unified(&self, host: &Host) -> Result<Option<fs::File>> {
        let (Some(group), Some(root)) = (&self.unified, &host.unified) else { return Ok(None) };
        self.make_directory(group, root, false)?;
        self.open_unified()
    }

    /// A descriptor of the unified hierarchy's directory, for `CLONE_INTO_CGROUP`.
    pub fn open_unified(&self) -> Result<Option<fs::File>> {
        let Some(group) = &self.unified else { return Ok(None) };
        fs::File::open(group).map(Some).map_err(|source| Error::Read { path: group.clone(), source })
    }

    /// The second half of making it, after [`prepare_unified`](Self::prepare_unified): the other hierarchies and all
    /// limits. On failure the caller removes it.
    pub fn complete(&self, host: &Host, resources: &Resources) -> Result<()> {
        self.make_version_1(host)?;
        if self.is_unified()
            && let (Some(group), Some(root)) = (&self.unified, &host.unified)
        {
            enable_controllers(group, root)?;
        }
        self.set(resources)
    }

    /// The processes in it and in groups below it.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let directory = self.unified.as_deref().or(self.directories.first().map(|h| h.mount_point.as_path()));
        let mut pids = Vec::new();
        if let Some(directory) = directory {
            collect_pids(directory, &mut pids)?;
        }
        Ok(pids)
    }

    /// Stops all its processes where they are, and waits until they have.
    pub fn freeze(&self) -> Result<()> {
        self.set_frozen(true)
    }

    /// Lets its processes go on.
    pub fn thaw(&self) -> Result<()> {
        self.set_frozen(false)
    }

    fn set_frozen(&self, frozen: bool) -> Result<()> {
        let (path, value) = match (self.unified.as_deref(), self.directory("freezer")) {
            (Some(unified), _) => (unified.join("cgroup.freeze"), if frozen { "1" } else { "0" }),
            (None, Some(freezer)) => {
                (freezer.join("freezer.state"), if frozen { "FROZEN" } else { "THAWED" })
            }
            (None, None) => return Err(Error::NoFreezer),
        };
        put_named(&path, value)?;
        let done = wait_until(|| {
            // Version 1 may lose a race with a fork: it wants to be told again.
            if self.unified.is_none() {
                let _ = put(&path, value);
            }
            self.stands_still().is_ok_and(|now| now == frozen)
        });
        if done { Ok(()) } else { Err(Error::Freeze(path)) }
    }

    /// Whether it was told to stand still. Whether all its processes do may waver a moment while one is being born.
    pub fn is_frozen(&self) -> Result<bool> {
        let (path, moving) = match (self.unified.as_deref(), self.directory("freezer")) {
            (Some(unified), _) => (unified.join("cgroup.freeze"), "0"),
            (None, Some(freezer)) => (freezer.join("freezer.state"), "THAWED"),
            (None, None) => return Ok(false),
        };
        let text = fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
        Ok(text.trim() != moving)
    }

    fn stands_still(&self) -> Result<bool> {
        match (self.unified.as_deref(), self.directory("freezer")) {
            (Some(unified), _) => {
                let path = unified.join("cgroup.events");
                let text = fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
                Ok(text.lines().any(|line| line == "frozen 1"))
            }
            (None, Some(freezer)) => {
                let path = freezer.join("freezer.state");
                let text = fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
                Ok(text.trim() == "FROZEN")
            }
            (None, None) => Ok(false),
        }
    }

    /// Kills all processes in it and below it.
    pub fn kill_all(&self) -> Result<()> {
        if let Some(unified) = &self.unified {
            match put(&unified.join("cgroup.kill"), "1") {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound && !unified.exists() => return Ok(()),
                // Kernels before 5.14 have no such file.
                Err(_) => {}
            }
        }
        let empty = wait_until(|| {
            let pids = self.pids().unwrap_or_default();
            for pid in &pids {
                let _ = hull_sys::process::kill(*pid, 9);
            }
            pids.is_empty()
        });
        if empty { Ok(()) } else { Err(Error::InUse(PathBuf::from(&self.path))) }
    }

    /// What it uses.
    pub fn stats(&self) -> Result<Stats> {
        Ok(match (self.is_unified(), self.unified.as_deref()) {
            (true, Some(directory)) => stats::version_2(directory),
            _ => stats::version_1(&|controller| self.directory(controller)),
        })
    }

    /// How many of its processes were killed for want of memory.
    pub fn oom_kills(&self) -> u64 {
        match (self.is_unified(), self.unified.as_deref(), self.directory("memory")) {
            (true, Some(directory), _) => {
                stats::table(&directory.join("memory.events")).get("oom_kill").copied().unwrap_or(0)
            }
            (_, _, Some(memory)) => stats::oom_kills_v1(memory),
            _ => 0,
        }
    }

    /// Removes it and the groups below it; waits a little for dying processes to be gone.
    pub fn remove(&self) -> Result<()> {
        let mut last = Ok(());
        wait_until(|| {
            last = self.remove_now();
            last.is_ok()
        });
        last
    }

    /// Removes its own directories wherever nothing is in or below them; the others stay as they are.
    pub fn remove_if_empty(&self) {
        for directory in self.all() {
            // One that is not empty says so, and that is what was asked.
            let _ = fs::remove_dir(directory);
        }
    }

    fn remove_now(&self) -> Result<()> {
        // All are tried, whatever became of the ones before.
        let mut first = Ok(());
        for result in self.all().map(remove_tree) {
            first = first.and(result);
        }
        first
    }
}

const EBUSY: i32 = 16;
const EINVAL: i32 = 22;

/// The path without its leading slash; refused if it would leave the hierarchy, or is its root.
fn relative(path: &str) -> Result<PathBuf> {
    let invalid = || Error::InvalidPath(path.to_owned());
    let mut relative = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => relative.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(invalid()),
        }
    }
    if relative.as_os_str().is_empty() || path.contains(['\n', '\0']) { Err(invalid()) } else { Ok(relative) }
}

/// Writes without creating: cgroup files are there or the controller is not.
fn put(path: &Path, value: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

fn put_named(path: &Path, value: &str) -> Result<()> {
    put(path, value).map_err(|source| Error::Write { path: path.into(), value: value.into(), source })
}

fn add(directory: &Path, pid: i32) -> Result<()> {
    put(&directory.join("cgroup.procs"), &pid.to_string()).map_err(|source| Error::Attach {
        pid,
        path: directory.into(),
        source,
    })
}

/// Makes a group's directory and those above it, up to the hierarchy's root.
fn make_directory(directory: &Path, root: &Path, cpuset: bool) -> Result<()> {
    let failed = |source| Error::Create { path: directory.into(), source };
    match fs::create_dir(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return refuse_populated(directory),
        Err(error) if error.kind() == io::ErrorKind::NotFound && directory != root => {
            let parent = directory.parent().ok_or_else(|| failed(error))?;
            make_parents(parent, root, cpuset)?;
            fs::create_dir(directory).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    if cpuset { inherit_cpuset(directory) } else { Ok(()) }
}

fn make_parents(directory: &Path, root: &Path, cpuset: bool) -> Result<()> {
    if directory == root || directory.exists() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        make_parents(parent, root, cpuset)?;
    }
    match fs::create_dir(directory) {
        Ok(()) => {}
        // Another container was made at the same time.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(Error::Create { path: directory.into(), source }),
    }
    if cpuset { inherit_cpuset(directory) } else { Ok(()) }
}

fn refuse_populated(directory: &Path) -> Result<()> {
    let path = directory.join("cgroup.procs");
    match fs::read_to_string(&path) {
        Ok(pids) if pids.trim().is_empty() => Ok(()),
        Ok(_) => Err(Error::InUse(directory.into())),
        Err(source) => Err(Error::Read { path, source }),
    }
}

/// A new version 1 cpuset has no CPUs and no memory nodes, and takes no process: it gets its parent's.
fn inherit_cpuset(directory: &Path) -> Result<()> {
    let Some(parent) = directory.parent() else { return Ok(()) };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let path = directory.join(file);
        let own = fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        if !own.trim().is_empty() {
            continue;
        }
        let above = parent.join(file);
        let value = fs::read_to_string(&above).map_err(|source| Error::Read { path: above, source })?;
        put_named(&path, value.trim())?;
    }
    Ok(())
}

/// Lets the groups on the way down have the controllers that the root has.
fn enable_controllers(group: &Path, root: &Path) -> Result<()> {
    let path = root.join("cgroup.controllers");
    let available = fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
    let words: Vec<String> = available.split_whitespace().map(|name| format!("+{name}")).collect();
    let mut above: Vec<&Path> = group.ancestors().skip(1).take_while(|path| path.starts_with(root)).collect();
    above.reverse();
    for directory in above {
        let control = directory.join("cgroup.subtree_control");
        if put(&control, &words.join(" ")).is_err() {
            // One controller that cannot be had (a real-time task holds cpu) must not cost the others.
            for word in &words {
                let _ = put(&control, word);
            }
        }
    }
    Ok(())
}

fn set_device_program(directory: &Path, resources: &Resources) -> Result<()> {
    let set = || {
        let program = hull_sys::device_program::load(&devices::program(&resources.devices))?;
        hull_sys::device_program::attach(program, fs::File::open(directory)?)
    };
    set().map_err(|source: io::Error| Error::Devices { path: directory.into(), source })
}

fn collect_pids(directory: &Path, pids: &mut Vec<i32>) -> Result<()> {
    let path = directory.join("cgroup.procs");
    match fs::read_to_string(&path) {
        Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // A threaded group below lists no processes of its own.
        Err(error) if error.raw_os_error() == Some(95) => {}
        Err(source) => return Err(Error::Read { path, source }),
    }
    for child in children(directory) {
        collect_pids(&child, pids)?;
    }
    Ok(())
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let directories = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.path()).collect()
}

fn remove_tree(directory: &Path) -> Result<()> {
    match fs::remove_dir(directory) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(_) => {}
    }
    for child in children(directory) {
        remove_tree(&child)?;
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::Remove { path: directory.into(), source: error })
        }
        _ => Ok(()),
    }
}

/// Asks again and again, with growing pauses, until it holds or patience ends.
fn wait_until(mut holds: impl FnMut() -> bool) -> bool {
    let mut pause = Duration::from_micros(100);
    let mut waited = Duration::ZERO;
    loop {
        if holds() {
            return true;
        }
        if waited >= PATIENCE {
            return false;
        }
        sleep(pause);
        waited += pause;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
