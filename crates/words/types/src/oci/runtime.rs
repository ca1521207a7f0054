//! The OCI runtime specification 1.3: `config.json` and the state document.
//!
//! All fields are public and default to "not said"; what is not said is not written. A JSON `null` reads as "not
//! said" too, as it does in Go. Reading is by the tables at the end, not derived: see [`mod@document`]. Texts that the
//! specification enumerates (actions, namespace types) stay texts here: who acts on one says what is wrong with an unknown one.

use crate::document;
use serde::Serialize;
use std::collections::BTreeMap;

/// The version of the specification that these types hold.
pub const VERSION: &str = "1.3.0";

/// The configuration of a container: the bundle's `config.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The specification's version, such as `1.2.0`.
    #[serde(rename = "ociVersion")]
    pub oci_version: String,
    /// What runs in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// Its root file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    /// The host name of its UTS namespace; empty leaves it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// The NIS domain name of its UTS namespace; empty leaves it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domainname: String,
    /// What is mounted, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Programs that run at points of its life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,
    /// Free notes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What only Linux has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux: Option<Linux>,
}

/// What runs in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Whether it gets a pseudo-terminal.
    #[serde(skip_serializing_if = "is_default")]
    pub terminal: bool,
    /// The terminal's first size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<ConsoleSize>,
    /// Who it runs as.
    pub user: User,
    /// The program and its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Where it starts: an absolute path.
    pub cwd: String,
    /// Its capability sets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// Its resource limits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rlimits: Vec<Rlimit>,
    /// Whether set-user-id programs gain nothing.
    #[serde(skip_serializing_if = "is_default")]
    pub no_new_privileges: bool,
    /// An AppArmor profile.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub apparmor_profile: String,
    /// How ready the kernel is to kill it when memory runs out: -1000 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// An SELinux label.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub selinux_label: String,
    /// Its I/O priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_priority: Option<IoPriority>,
    /// Its scheduling policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
    /// The CPUs of an exec process.
    #[serde(rename = "execCPUAffinity", skip_serializing_if = "Option::is_none")]
    pub exec_cpu_affinity: Option<ExecCpuAffinity>,
}

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsoleSize {
    /// Rows.
    pub height: u64,
    /// Columns.
    pub width: u64,
}

/// Who a process runs as, inside the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// File mode creation mask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// Supplementary groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_gids: Vec<u32>,
    /// A name; not used on Linux.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
}

/// The five capability sets: names such as `CAP_CHOWN`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// What can ever be had.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bounding: Vec<String>,
    /// What is checked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub effective: Vec<String>,
    /// What survives execve through the file's inheritable set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inheritable: Vec<String>,
    /// What may become effective.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permitted: Vec<String>,
    /// What survives execve of an ordinary program.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ambient: Vec<String>,
}

/// A resource limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rlimit {
    /// `RLIMIT_NOFILE` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// The ceiling.
    pub hard: u64,
    /// The limit in force.
    pub soft: u64,
}

/// An I/O priority.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IoPriority {
    /// `IOPRIO_CLASS_RT`, `IOPRIO_CLASS_BE` or `IOPRIO_CLASS_IDLE`.
    pub class: String,
    /// 0 (highest) to 7.
    pub priority: i32,
}

/// A scheduling policy (`sched_setattr(2)`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scheduler {
    /// `SCHED_OTHER` and so on.
    pub policy: String,
    /// Nice value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nice: Option<i32>,
    /// Static priority of real-time policies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// `SCHED_FLAG_…`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// Deadline policy: run time in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<u64>,
    /// Deadline policy: deadline in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    /// Deadline policy: period in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<u64>,
}

/// The CPUs that an exec process may use, as lists such as `0-3,7`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecCpuAffinity {
    /// While it is being set up.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub initial: String,
    /// When it runs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub r#final: String,
}

/// The root file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Root {
    /// A directory, absolute or relative to the bundle.
    pub path: String,
    /// Whether it is mounted read-only.
    #[serde(skip_serializing_if = "is_default")]
    pub readonly: bool,
}

/// A mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Where, inside the container: an absolute path.
    pub destination: String,
    /// The file system's type; `bind` or empty for bind mounts.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// What: a device, a name or a path on the host (relative to the bundle for bind mounts).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// As `mount(8)` spells them in `fstab`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// User ids of an id-mapped mount.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdMapping>,
    /// Group ids of an id-mapped mount.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdMapping>,
}

/// A range of ids inside a user namespace and the range outside that it stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdMapping {
    /// First id inside.
    #[serde(rename = "containerID")]
    pub container_id: u32,
    /// First id outside.
    #[serde(rename = "hostID")]
    pub host_id: u32,
    /// How many.
    pub size: u32,
}

/// Programs that run at points of a container's life.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hooks {
    /// Deprecated: after the namespaces are made, before `pivot_root`, in the runtime's namespaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prestart: Vec<Hook>,
    /// As `prestart`, after it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub create_runtime: Vec<Hook>,
    /// Before `pivot_root`, in the container's namespaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub create_container: Vec<Hook>,
    /// At start, before the process, in the container.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub start_container: Vec<Hook>,
    /// After the process has started, in the runtime's namespaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub poststart: Vec<Hook>,
    /// After deletion, in the runtime's namespaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub poststop: Vec<Hook>,
}

/// A program; it gets the container's state as JSON on standard input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// The program's absolute path.
    pub path: String,
    /// Its arguments, its own name first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Seconds until it is killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
}

/// What only Linux has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Linux {
    /// User ids of the user namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdMapping>,
    /// Group ids of the user namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdMapping>,
    /// Kernel parameters, `net.ipv4.ip_forward` → `1`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctl: BTreeMap<String, String>,
    /// Limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// The cgroup's path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cgroups_path: String,
    /// Namespaces that are made or joined.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<Namespace>,
    /// Device nodes beside the default ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// Network interfaces moved in from the runtime's namespace.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub net_devices: BTreeMap<String, NetDevice>,
    /// The system call filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<Seccomp>,
    /// `private`, `slave`, `shared` or `unbindable`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rootfs_propagation: String,
    /// Paths that cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub masked_paths: Vec<String>,
    /// Paths that cannot be written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readonly_paths: Vec<String>,
    /// The SELinux label of mounts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mount_label: String,
    /// Cache and memory bandwidth allocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intel_rdt: Option<IntelRdt>,
    /// NUMA memory policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_policy: Option<MemoryPolicy>,
    /// The execution domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub personality: Option<Personality>,
    /// Clock offsets of the time namespace: `monotonic`, `boottime`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub time_offsets: BTreeMap<String, TimeOffset>,
}

/// A namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Namespace {
    /// `pid`, `network`, `mount`, `ipc`, `uts`, `user`, `cgroup` or `time`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The one to join; empty makes a new one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
}

/// A device node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// `c`, `b`, `u` or `p`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where, inside the container.
    pub path: String,
    /// Major number.
    #[serde(skip_serializing_if = "is_default")]
    pub major: i64,
    /// Minor number.
    #[serde(skip_serializing_if = "is_default")]
    pub minor: i64,
    /// Permissions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_mode: Option<u32>,
    /// Owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
}

/// A network interface that is moved into the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetDevice {
    /// Its name inside; empty keeps it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// Limits (cgroups).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What devices may be used: the last rule that fits counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceCgroup>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Processor time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Number of processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<Pids>,
    /// Block devices.
    #[serde(rename = "blockIO", skip_serializing_if = "Option::is_none")]
    pub block_io: Option<BlockIo>,
    /// Huge pages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hugepage_limits: Vec<HugepageLimit>,
    /// Traffic classes (cgroup v1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// RDMA handles per device.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rdma: BTreeMap<String, Rdma>,
    /// cgroup v2 files and what is written to them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unified: BTreeMap<String, String>,
}

/// A rule of the device list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceCgroup {
    /// Allow or deny.
    pub allow: bool,
    /// `a` (or empty), `c` or `b`.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Major number; none or -1 is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub major: Option<i64>,
    /// Minor number; none or -1 is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minor: Option<i64>,
    /// Letters of `rwm`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub access: String,
}

/// Memory limits, in bytes; -1 is unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// Soft limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation: Option<i64>,
    /// Limit of memory and swap together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<i64>,
    /// Kernel memory; ignored by newer kernels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<i64>,
    /// Kernel memory for TCP buffers.
    #[serde(rename = "kernelTCP", skip_serializing_if = "Option::is_none")]
    pub kernel_tcp: Option<i64>,
    /// 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swappiness: Option<u64>,
    /// Pause instead of killing.
    #[serde(rename = "disableOOMKiller", skip_serializing_if = "Option::is_none")]
    pub disable_oom_killer: Option<bool>,
    /// Account children.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_hierarchy: Option<bool>,
    /// Refuse a limit below present usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_before_update: Option<bool>,
}

/// Processor time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cpu {
    /// Relative weight, 1024 is usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shares: Option<u64>,
    /// Microseconds in every period; -1 is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<i64>,
    /// Microseconds that may be saved up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
    /// Microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<u64>,
    /// Microseconds of real-time scheduling in every period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realtime_runtime: Option<i64>,
    /// Microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realtime_period: Option<u64>,
    /// CPUs, `0-3,7`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cpus: String,
    /// Memory nodes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mems: String,
    /// 1 makes the group's weight idle (cgroup v2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<i64>,
}

/// Number of processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pids {
    /// The limit; 0 or -1 is unlimited.
    pub limit: i64,
}

/// Block devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockIo {
    /// 10 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// As against child groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf_weight: Option<u16>,
    /// Weight per device.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weight_device: Vec<WeightDevice>,
    /// Bytes read per second.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub throttle_read_bps_device: Vec<ThrottleDevice>,
    /// Bytes written per second.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub throttle_write_bps_device: Vec<ThrottleDevice>,
    /// Reads per second.
    #[serde(rename = "throttleReadIOPSDevice", skip_serializing_if = "Vec::is_empty")]
    pub throttle_read_iops_device: Vec<ThrottleDevice>,
    /// Writes per second.
    #[serde(rename = "throttleWriteIOPSDevice", skip_serializing_if = "Vec::is_empty")]
    pub throttle_write_iops_device: Vec<ThrottleDevice>,
}

/// A device's weight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightDevice {
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// 10 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// As against child groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf_weight: Option<u16>,
}

/// A device's rate limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ThrottleDevice {
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// Per second.
    pub rate: u64,
}

/// A limit of huge pages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HugepageLimit {
    /// `2MB`.
    pub page_size: String,
    /// Bytes.
    pub limit: u64,
}

/// Traffic classes (cgroup v1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// `net_cls.classid`.
    #[serde(rename = "classID", skip_serializing_if = "Option::is_none")]
    pub class_id: Option<u32>,
    /// `net_prio.ifpriomap`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub priorities: Vec<InterfacePriority>,
}

/// An interface's priority.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InterfacePriority {
    /// Its name.
    pub name: String,
    /// Its priority.
    pub priority: u32,
}

/// RDMA handles of a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rdma {
    /// Handles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hca_handles: Option<u32>,
    /// Objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hca_objects: Option<u32>,
}

/// A system call filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seccomp {
    /// What happens to calls that no rule names: `SCMP_ACT_ERRNO` and so on.
    pub default_action: String,
    /// The error number of a default `SCMP_ACT_ERRNO`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_errno_ret: Option<u32>,
    /// `SCMP_ARCH_X86_64` and so on; the native one is always meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub architectures: Vec<String>,
    /// `SECCOMP_FILTER_FLAG_…`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// A socket that gets the notification descriptor.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub listener_path: String,
    /// What is sent along with it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub listener_metadata: String,
    /// The rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub syscalls: Vec<Syscall>,
}

/// A rule of a system call filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Syscall {
    /// System calls; unknown names are ignored.
    pub names: Vec<String>,
    /// What happens.
    pub action: String,
    /// The error number of `SCMP_ACT_ERRNO` or `SCMP_ACT_TRACE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u32>,
    /// Conditions, which all must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<SyscallArg>,
}

/// A condition on an argument of a system call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SyscallArg {
    /// Which argument, from 0.
    pub index: u32,
    /// The value compared with; the mask of `SCMP_CMP_MASKED_EQ`.
    pub value: u64,
    /// The value after masking, of `SCMP_CMP_MASKED_EQ`.
    #[serde(skip_serializing_if = "is_default")]
    pub value_two: u64,
    /// `SCMP_CMP_EQ` and so on.
    pub op: String,
}

/// Cache and memory bandwidth allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IntelRdt {
    /// The group.
    #[serde(rename = "closID", skip_serializing_if = "String::is_empty")]
    pub clos_id: String,
    /// Lines for `schemata`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schemata: Vec<String>,
    /// L3 line.
    #[serde(rename = "l3CacheSchema", skip_serializing_if = "String::is_empty")]
    pub l3_cache_schema: String,
    /// Memory bandwidth line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mem_bw_schema: String,
    /// Whether a monitoring group is made.
    #[serde(skip_serializing_if = "is_default")]
    pub enable_monitoring: bool,
}

/// NUMA memory policy (`set_mempolicy(2)`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryPolicy {
    /// `MPOL_BIND` and so on.
    pub mode: String,
    /// Nodes, `0-3`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nodes: String,
    /// `MPOL_F_…`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

/// The execution domain (`personality(2)`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Personality {
    /// `LINUX` or `LINUX32`.
    pub domain: String,
    /// None are defined.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

/// An offset of a clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimeOffset {
    /// Seconds.
    #[serde(skip_serializing_if = "is_default")]
    pub secs: i64,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "is_default")]
    pub nanosecs: u32,
}

/// A container's state, as `state` prints it and hooks get it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The specification's version.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// `creating`, `created`, `running`, `paused` or `stopped`.
    pub status: String,
    /// The process's id on the host; 0 when stopped.
    pub pid: i32,
    /// The bundle's absolute path.
    pub bundle: String,
    /// Free notes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

document!(Spec {
    "ociVersion" => oci_version,
    "process" => process,
    "root" => root,
    "hostname" => hostname,
    "domainname" => domainname,
    "mounts" => mounts,
    "hooks" => hooks,
    "annotations" => annotations,
    "linux" => linux,
});

document!(Process {
    "terminal" => terminal,
    "consoleSize" => console_size,
    "user" => user,
    "args" => args,
    "env" => env,
    "cwd" => cwd,
    "capabilities" => capabilities,
    "rlimits" => rlimits,
    "noNewPrivileges" => no_new_privileges,
    "apparmorProfile" => apparmor_profile,
    "oomScoreAdj" => oom_score_adj,
    "selinuxLabel" => selinux_label,
    "ioPriority" => io_priority,
    "scheduler" => scheduler,
    "execCPUAffinity" => exec_cpu_affinity,
});

document!(ConsoleSize {
    "height" => height,
    "width" => width,
});

document!(User {
    "uid" => uid,
    "gid" => gid,
    "umask" => umask,
    "additionalGids" => additional_gids,
    "username" => username,
});

document!(Capabilities {
    "bounding" => bounding,
    "effective" => effective,
    "inheritable" => inheritable,
    "permitted" => permitted,
    "ambient" => ambient,
});

document!(Rlimit {
    "type" => kind,
    "hard" => hard,
    "soft" => soft,
});

document!(IoPriority {
    "class" => class,
    "priority" => priority,
});

document!(Scheduler {
    "policy" => policy,
    "nice" => nice,
    "priority" => priority,
    "flags" => flags,
    "runtime" => runtime,
    "deadline" => deadline,
    "period" => period,
});

document!(ExecCpuAffinity {
    "initial" => initial,
    "final" => r#final,
});

document!(Root {
    "path" => path,
    "readonly" => readonly,
});

document!(Mount {
    "destination" => destination,
    "type" => kind,
    "source" => source,
    "options" => options,
    "uidMappings" => uid_mappings,
    "gidMappings" => gid_mappings,
});

document!(IdMapping {
    "containerID" => container_id,
    "hostID" => host_id,
    "size" => size,
});

document!(Hooks {
    "prestart" => prestart,
    "createRuntime" => create_runtime,
    "createContainer" => create_container,
    "startContainer" => start_container,
    "poststart" => poststart,
    "poststop" => poststop,
});

document!(Hook {
    "path" => path,
    "args" => args,
    "env" => env,
    "timeout" => timeout,
});

document!(Linux {
    "uidMappings" => uid_mappings,
    "gidMappings" => gid_mappings,
    "sysctl" => sysctl,
    "resources" => resources,
    "cgroupsPath" => cgroups_path,
    "namespaces" => namespaces,
    "devices" => devices,
    "netDevices" => net_devices,
    "seccomp" => seccomp,
    "rootfsPropagation" => rootfs_propagation,
    "maskedPaths" => masked_paths,
    "readonlyPaths" => readonly_paths,
    "mountLabel" => mount_label,
    "intelRdt" => intel_rdt,
    "memoryPolicy" => memory_policy,
    "personality" => personality,
    "timeOffsets" => time_offsets,
});

document!(Namespace {
    "type" => kind,
    "path" => path,
});

document!(Device {
    "type" => kind,
    "path" => path,
    "major" => major,
    "minor" => minor,
    "fileMode" => file_mode,
    "uid" => uid,
    "gid" => gid,
});

document!(NetDevice {
    "name" => name,
});

document!(Resources {
    "devices" => devices,
    "memory" => memory,
    "cpu" => cpu,
    "pids" => pids,
    "blockIO" => block_io,
    "hugepageLimits" => hugepage_limits,
    "network" => network,
    "rdma" => rdma,
    "unified" => unified,
});

document!(DeviceCgroup {
    "allow" => allow,
    "type" => kind,
    "major" => major,
    "minor" => minor,
    "access" => access,
});

document!(Memory {
    "limit" => limit,
    "reservation" => reservation,
    "swap" => swap,
    "kernel" => kernel,
    "kernelTCP" => kernel_tcp,
    "swappiness" => swappiness,
    "disableOOMKiller" => disable_oom_killer,
    "useHierarchy" => use_hierarchy,
    "checkBeforeUpdate" => check_before_update,
});

document!(Cpu {
    "shares" => shares,
    "quota" => quota,
    "burst" => burst,
    "period" => period,
    "realtimeRuntime" => realtime_runtime,
    "realtimePeriod" => realtime_period,
    "cpus" => cpus,
    "mems" => mems,
    "idle" => idle,
});

document!(Pids {
    "limit" => limit,
});

document!(BlockIo {
    "weight" => weight,
    "leafWeight" => leaf_weight,
    "weightDevice" => weight_device,
    "throttleReadBpsDevice" => throttle_read_bps_device,
    "throttleWriteBpsDevice" => throttle_write_bps_device,
    "throttleReadIOPSDevice" => throttle_read_iops_device,
    "throttleWriteIOPSDevice" => throttle_write_iops_device,
});

document!(WeightDevice {
    "major" => major,
    "minor" => minor,
    "weight" => weight,
    "leafWeight" => leaf_weight,
});

document!(ThrottleDevice {
    "major" => major,
    "minor" => minor,
    "rate" => rate,
});

document!(HugepageLimit {
    "pageSize" => page_size,
    "limit" => limit,
});

document!(Network {
    "classID" => class_id,
    "priorities" => priorities,
});

document!(InterfacePriority {
    "name" => name,
    "priority" => priority,
});

document!(Rdma {
    "hcaHandles" => hca_handles,
    "hcaObjects" => hca_objects,
});

document!(Seccomp {
    "defaultAction" => default_action,
    "defaultErrnoRet" => default_errno_ret,
    "architectures" => architectures,
    "flags" => flags,
    "listenerPath" => listener_path,
    "listenerMetadata" => listener_metadata,
    "syscalls" => syscalls,
});

document!(Syscall {
    "names" => names,
    "action" => action,
    "errnoRet" => errno_ret,
    "args" => args,
});

document!(SyscallArg {
    "index" => index,
    "value" => value,
    "valueTwo" => value_two,
    "op" => op,
});

document!(IntelRdt {
    "closID" => clos_id,
    "schemata" => schemata,
    "l3CacheSchema" => l3_cache_schema,
    "memBwSchema" => mem_bw_schema,
    "enableMonitoring" => enable_monitoring,
});

document!(MemoryPolicy {
    "mode" => mode,
    "nodes" => nodes,
    "flags" => flags,
});

document!(Personality {
    "domain" => domain,
    "flags" => flags,
});

document!(TimeOffset {
    "secs" => secs,
    "nanosecs" => nanosecs,
});

document!(State {
    "ociVersion" => oci_version,
    "id" => id,
    "status" => status,
    "pid" => pid,
    "bundle" => bundle,
    "annotations" => annotations,
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::from_json;

    const SMALL: &str = r#"{"ociVersion":"1.2.0","process":{"user":{"uid":0,"gid":0},"args":["sh"],"cwd":"/","rlimits":[{"type":"RLIMIT_NOFILE","hard":1024,"soft":1024}],"execCPUAffinity":{"final":"0"}},"root":{"path":"rootfs"},"mounts":[{"destination":"/proc","type":"proc","source":"proc"}],"linux":{"resources":{"memory":{"limit":1,"disableOOMKiller":true},"blockIO":{"throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":9}]}},"namespaces":[{"type":"pid"}],"seccomp":{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}}}"#;

    #[test]
    fn what_is_read_is_written() {
        let spec: Spec = from_json(SMALL.as_bytes()).unwrap();
        let linux = spec.linux.as_ref().unwrap();
        assert_eq!(linux.namespaces[0].kind, "pid");
        assert_eq!(spec.process.as_ref().unwrap().exec_cpu_affinity.as_ref().unwrap().r#final, "0");
        assert_eq!(serde_json::to_string(&spec).unwrap(), SMALL);
    }

    /// Every field that is written is read: the tables at the end have no gap and no typing error.
    #[test]
    fn the_tables_are_complete() {
        let text = include_str!("../../tests/all-fields.json");
        let spec: Spec = from_json(text.as_bytes()).unwrap();
        let written: serde_json::Value = serde_json::to_value(&spec).unwrap();
        let given: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(written, given);
    }

    #[test]
    fn wrong_types_are_named_and_the_last_counts() {
        let read = |text: &str| from_json::<Spec>(text.as_bytes());
        for bad in [
            r#"{"process":{"args":"sh"}}"#,
            r#"{"process":{"user":{"uid":-1}}}"#,
            r#"{"process":{"user":{"uid":4294967296}}}"#,
            r#"{"mounts":{"destination":"/"}}"#,
            r#"{"linux":{"sysctl":[]}}"#,
            r#"{"hostname":1}"#,
            r#"{"root":{"readonly":"yes"}}"#,
            r#"[]"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read(r#"{"process":{"args":"sh"}}"#).unwrap_err().to_string().contains("process: args: "));
        let twice_said = r#"{"hostname":"a","mounts":[{"destination":"/a"}],"hostname":"b","mounts":[{"destination":"/b"}]}"#;
        let spec = read(twice_said).unwrap();
        assert_eq!((spec.hostname.as_str(), spec.mounts.len()), ("b", 1));
    }

    #[test]
    fn null_is_not_said() {
        let spec: Spec = from_json(
            br#"{"ociVersion":"1.0.0","process":null,"mounts":null,"hostname":null,"linux":{"sysctl":null,"devices":null}}"#,
        )
        .unwrap();
        assert_eq!(
            spec,
            Spec { oci_version: "1.0.0".into(), linux: Some(Linux::default()), ..Spec::default() }
        );
    }
}
