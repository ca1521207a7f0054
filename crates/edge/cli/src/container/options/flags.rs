//! The flags of `run` and `create`.

use super::{devices, mounts, names, networks, ulimits, variables};
use crate::check;
use crate::command::{Flag, FlagKind};

/// What both take.
const COMMON: [Flag; 103] = [
    Flag::list("add-host", "list", "Add a custom host-to-IP mapping (host:ip)").check(names::check_host),
    Flag::list("annotation", "map", "Add an annotation to the container (passed through to the OCI runtime)")
        .shown("map[]"),
    Flag::list("attach", "list", "Attach to STDIN, STDOUT or STDERR").short('a').check(names::check_stream),
    Flag::text("blkio-weight", "uint16", "Block IO (relative weight), between 10 and 1000, or 0 to disable")
        .check(check::uint16)
        .shown("0"),
    Flag::list("blkio-weight-device", "list", "Block IO weight (relative device weight)")
        .shown("[]")
        .check(devices::check_weight),
    Flag::list("cap-add", "list", "Add Linux capabilities"),
    Flag::list("cap-drop", "list", "Drop Linux capabilities"),
    Flag::text("cgroup-parent", "string", "Optional parent cgroup for the container"),
    Flag::text(
        "cgroupns",
        "string",
        "Cgroup namespace to use (host|private)\n'host':    Run the container in the Docker host's cgroup namespace\n'private': Run the container in its own private cgroup namespace\n'':        Use the cgroup namespace as configured by the\n           default-cgroupns-mode option on the daemon (default)",
    ),
    Flag::text("cidfile", "string", "Write the container ID to the file"),
    Flag::text("cpu-count", "int", "CPU count (Windows only)").check(check::integer),
    Flag::text("cpu-percent", "int", "CPU percent (Windows only)").check(check::integer),
    Flag::text("cpu-period", "int", "Limit CPU CFS (Completely Fair Scheduler) period").check(check::integer),
    Flag::text("cpu-quota", "int", "Limit CPU CFS (Completely Fair Scheduler) quota").check(check::integer),
    Flag::text("cpu-rt-period", "int", "Limit CPU real-time period in microseconds").check(check::integer),
    Flag::text("cpu-rt-runtime", "int", "Limit CPU real-time runtime in microseconds").check(check::integer),
    Flag::text("cpu-shares", "int", "CPU shares (relative weight)").short('c').check(check::integer),
    Flag::text("cpus", "decimal", "Number of CPUs").check(check::cpus),
    Flag::text("cpuset-cpus", "string", "CPUs in which to allow execution (0-3, 0,1)"),
    Flag::text("cpuset-mems", "string", "MEMs in which to allow execution (0-3, 0,1)"),
    Flag::list("device", "list", "Add a host device to the container"),
    Flag::list("device-cgroup-rule", "list", "Add a rule to the cgroup allowed devices list")
        .check(devices::check_rule),
    Flag::list("device-read-bps", "list", "Limit read rate (bytes per second) from a device")
        .shown("[]")
        .check(devices::check_bytes),
    Flag::list("device-read-iops", "list", "Limit read rate (IO per second) from a device")
        .shown("[]")
        .check(devices::check_operations),
    Flag::list("device-write-bps", "list", "Limit write rate (bytes per second) to a device")
        .shown("[]")
        .check(devices::check_bytes),
    Flag::list("device-write-iops", "list", "Limit write rate (IO per second) to a device")
        .shown("[]")
        .check(devices::check_operations),
    Flag::switch("disable-content-trust", "Skip image verification").default("true"),
    Flag::list("dns", "list", "Set custom DNS servers").check(names::check_address),
    Flag::list("dns-option", "list", "Set DNS options"),
    Flag::list("dns-search", "list", "Set custom DNS search domains").check(names::check_domain),
    Flag::text("domainname", "string", "Container NIS domain name"),
    Flag::text("entrypoint", "string", "Overwrite the default ENTRYPOINT of the image"),
    Flag::list("env", "list", "Set environment variables").short('e').check(variables::check),
    Flag::list("env-file", "list", "Read in a file of environment variables"),
    Flag::list("expose", "list", "Expose a port or a range of ports"),
    Flag::list("gpus", "gpu-request", "GPU devices to add to the container ('all' to pass all GPUs)")
        .check(devices::check_gpus),
    Flag::list("group-add", "list", "Add additional groups to join"),
    Flag::text("health-cmd", "string", "Command to run to check health"),
    Flag::text("health-interval", "duration", "Time between running the check (ms|s|m|h)")
        .check(check::duration)
        .shown("0s"),
    Flag::text("health-retries", "int", "Consecutive failures needed to report unhealthy")
        .check(check::integer),
    Flag::text(
        "health-start-interval",
        "duration",
        "Time between running the check during the start period (ms|s|m|h)",
    )
    .check(check::duration)
    .shown("0s"),
    Flag::text(
        "health-start-period",
        "duration",
        "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h)",
    )
    .check(check::duration)
    .shown("0s"),
    Flag::text("health-timeout", "duration", "Maximum time to allow one check to run (ms|s|m|h)")
        .check(check::duration)
        .shown("0s"),
    Flag::switch("help", "Print usage"),
    Flag::text("hostname", "string", "Container host name").short('h'),
    Flag::switch("init", "Run an init inside the container that forwards signals and reaps processes"),
    Flag::switch("interactive", "Keep STDIN open even if not attached").short('i'),
    Flag::text("io-maxbandwidth", "bytes", "Maximum IO bandwidth limit for the system drive (Windows only)")
        .check(check::bytes),
    Flag::text("io-maxiops", "uint", "Maximum IOps limit for the system drive (Windows only)")
        .check(check::unsigned),
    Flag::text("ip", "string", "IPv4 address (e.g., 172.30.100.104)"),
    Flag::text("ip6", "string", "IPv6 address (e.g., 2001:db8::33)"),
    Flag::text("ipc", "string", "IPC mode to use"),
    Flag::text("isolation", "string", "Container isolation technology"),
    Flag::text("kernel-memory", "bytes", "Kernel memory limit").check(check::bytes),
    Flag::list("label", "list", "Set meta data on a container").short('l').check(variables::check_label),
    Flag::list("label-file", "list", "Read in a line delimited file of labels"),
    Flag::list("link", "list", "Add link to another container").check(names::check_link),
    Flag::list("link-local-ip", "list", "Container IPv4/IPv6 link-local addresses"),
    Flag::text("log-driver", "string", "Logging driver for the container"),
    Flag::list("log-opt", "list", "Log driver options"),
    Flag::text("mac-address", "string", "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    Flag::text("memory", "bytes", "Memory limit").short('m').check(check::bytes),
    Flag::text("memory-reservation", "bytes", "Memory soft limit").check(check::bytes),
    Flag::text("memory-swap", "bytes", "Swap limit equal to memory plus swap: '-1' to enable unlimited swap")
        .check(check::memory_swap),
    Flag::text("memory-swappiness", "int", "Tune container memory swappiness (0 to 100)")
        .check(check::integer)
        .default("-1"),
    Flag::list("mount", "mount", "Attach a filesystem mount to the container").check(mounts::check),
    Flag::text("name", "string", "Assign a name to the container"),
    Flag::list("network", "network", "Connect a container to a network").check(networks::check),
    Flag::list("network-alias", "list", "Add network-scoped alias for the container"),
    Flag::switch("no-healthcheck", "Disable any container-specified HEALTHCHECK"),
    Flag::switch("oom-kill-disable", "Disable OOM Killer"),
    Flag::text("oom-score-adj", "int", "Tune host's OOM preferences (-1000 to 1000)").check(check::integer),
    Flag::text("pid", "string", "PID namespace to use"),
    Flag::text("pids-limit", "int", "Tune container pids limit (set -1 for unlimited)").check(check::integer),
    Flag::text("platform", "string", "Set platform if server is multi-platform capable"),
    Flag::switch("privileged", "Give extended privileges to this container"),
    Flag::list("publish", "list", "Publish a container's port(s) to the host").short('p'),
    Flag::switch("publish-all", "Publish all exposed ports to random ports").short('P'),
    Flag::switch("quiet", "Suppress the pull output").short('q'),
    Flag::switch("read-only", "Mount the container's root filesystem as read only"),
    Flag::text("restart", "string", "Restart policy to apply when a container exits").default("no"),
    Flag::switch(
        "rm",
        "Automatically remove the container and its associated anonymous volumes when it exits",
    ),
    Flag::text("runtime", "string", "Runtime to use for this container"),
    Flag::list("security-opt", "list", "Security Options"),
    Flag::text("shm-size", "bytes", "Size of /dev/shm").check(check::bytes),
    Flag::text("stop-signal", "string", "Signal to stop the container"),
    Flag::text("stop-timeout", "int", "Timeout (in seconds) to stop a container").check(check::integer),
    Flag::list("storage-opt", "list", "Storage driver options for the container"),
    Flag::list("sysctl", "map", "Sysctl options").shown("map[]").check(names::check_sysctl),
    Flag::list("tmpfs", "list", "Mount a tmpfs directory"),
    Flag::switch("tty", "Allocate a pseudo-TTY").short('t'),
    Flag::list("ulimit", "ulimit", "Ulimit options").shown("[]").check(ulimits::check),
    Flag::switch("use-api-socket", "Bind mount Docker API socket and required auth"),
    Flag::text("user", "string", "Username or UID (format: <name|uid>[:<group|gid>])").short('u'),
    Flag::text("userns", "string", "User namespace to use"),
    Flag::text("uts", "string", "UTS namespace to use"),
    Flag::list("volume", "list", "Bind mount a volume").short('v'),
    Flag::text("volume-driver", "string", "Optional volume driver for the container"),
    Flag::list("volumes-from", "list", "Mount volumes from the specified container(s)"),
    Flag::text("workdir", "string", "Working directory inside the container").short('w'),
    Flag::alias("dns-opt", "dns-option", FlagKind::List),
    Flag::alias("net", "network", FlagKind::List),
    Flag::alias("net-alias", "network-alias", FlagKind::List),
];

/// The flags of `create`.
pub const CREATE: [Flag; 104] = join(
    &COMMON,
    &[Flag::text("pull", "string", "Pull image before creating (\"always\", \"|missing\", \"never\")")
        .default("missing")],
);

/// The flags of `run`.
pub const RUN: [Flag; 107] = join(
    &COMMON,
    &[
        Flag::switch("detach", "Run container in background and print container ID").short('d'),
        Flag::text("detach-keys", "string", "Override the key sequence for detaching a container"),
        Flag::text("pull", "string", "Pull image before running (\"always\", \"missing\", \"never\")")
            .default("missing"),
        Flag::switch("sig-proxy", "Proxy received signals to the process").default("true"),
    ],
);

const fn join<const A: usize, const B: usize, const N: usize>(
    first: &[Flag; A],
    second: &[Flag; B],
) -> [Flag; N] {
    assert!(A + B == N, "the length of the joined table");
    let mut all = [first[0]; N];
    let mut index = 0;
    while index < N {
        all[index] = if index < A { first[index] } else { second[index - A] };
        index += 1;
    }
    all
}
