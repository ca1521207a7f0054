//! The daemon's settings: one table for the flags and for the keys of daemon.json, with dockerd's names.

/// What a setting's value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// True or false.
    Flag,
    /// A text.
    Text,
    /// A whole number.
    Number,
    /// Texts; the flag may be repeated.
    List,
    /// `key=value` pairs; the flag may be repeated.
    Pairs,
    /// An object or list with a shape of its own, in the file only.
    Json,
}

/// What Hull makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It means what it means to dockerd.
    Full,
    /// It is taken and changes nothing, because what it steers does not exist here or always holds.
    Moot,
    /// Any other value than dockerd's default (nothing, or false) is refused until Hull has it.
    Missing,
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The long flag; empty where there is none.
    pub flag: &'static str,
    /// The short flag.
    pub short: Option<char>,
    /// The key in daemon.json; empty where there is none.
    pub key: &'static str,
    /// The value's shape.
    pub shape: Shape,
    /// What comes of it.
    pub support: Support,
    /// What `--help` says.
    pub help: &'static str,
}

use Shape::{Flag, Json, List, Number, Pairs, Text};
use Support::{Full, Missing, Moot};

const fn one(flag: &'static str, shape: Shape, support: Support, help: &'static str) -> Setting {
    Setting { flag, short: None, key: flag, shape, support, help }
}
const fn short(letter: char, flag: &'static str, shape: Shape, help: &'static str) -> Setting {
    Setting { flag, short: Some(letter), key: flag, shape, support: Full, help }
}
const fn named(
    flag: &'static str,
    key: &'static str,
    shape: Shape,
    support: Support,
    help: &'static str,
) -> Setting {
    Setting { flag, short: None, key, shape, support, help }
}

/// Every setting, by flag.
pub const SETTINGS: &[Setting] = &[
    named("add-runtime", "runtimes", Pairs, Full, "Register an additional OCI compatible runtime"),
    named(
        "allow-nondistributable-artifacts",
        "allow-nondistributable-artifacts",
        List,
        Moot,
        "Allow push of nondistributable artifacts to registry",
    ),
    one("api-cors-header", Text, Missing, "Set CORS headers in the Engine API"),
    named("authorization-plugin", "authorization-plugins", List, Missing, "Authorization plugins to load"),
    one("bip", Text, Full, "IPv4 address for the default bridge"),
    one("bip6", Text, Full, "IPv6 address for the default bridge"),
    short('b', "bridge", Text, "Attach containers to a network bridge"),
    one(
        "bridge-accept-fwmark",
        Text,
        Missing,
        "In bridge networks, accept packets with this firewall mark/mask",
    ),
    named("cdi-spec-dir", "cdi-spec-dirs", List, Full, "CDI specification directories to use"),
    one("cgroup-parent", Text, Full, "Set parent cgroup for all containers"),
    named("config-file", "", Text, Full, "Daemon configuration file (default \"/etc/hull/daemon.json\")"),
    one("containerd", Text, Moot, "containerd grpc address"),
    one("containerd-namespace", Text, Moot, "Containerd namespace to use"),
    named(
        "containerd-plugins-namespace",
        "containerd-plugin-namespace",
        Text,
        Moot,
        "Containerd namespace to use for plugins",
    ),
    one(
        "cpu-rt-period",
        Number,
        Missing,
        "Limit the CPU real-time period in microseconds for the parent cgroup for all containers",
    ),
    one(
        "cpu-rt-runtime",
        Number,
        Missing,
        "Limit the CPU real-time runtime in microseconds for the parent cgroup for all containers",
    ),
    named("cri-containerd", "", Flag, Moot, "start containerd with cri"),
    one("data-root", Text, Full, "Root directory of persistent state (default \"/var/lib/hull\")"),
    short('D', "debug", Flag, "Enable debug mode"),
    named(
        "default-address-pool",
        "default-address-pools",
        List,
        Full,
        "Default address pools for node specific local networks",
    ),
    one(
        "default-cgroupns-mode",
        Text,
        Full,
        "Default mode for containers cgroup namespace (\"host\" | \"private\")",
    ),
    one("default-gateway", Text, Full, "Default gateway IPv4 address for the default bridge network"),
    one("default-gateway-v6", Text, Full, "Default gateway IPv6 address for the default bridge network"),
    one("default-ipc-mode", Text, Full, "Default mode for containers ipc (\"shareable\" | \"private\")"),
    named("default-network-opt", "default-network-opts", Pairs, Missing, "Default network options"),
    one("default-runtime", Text, Full, "Default OCI runtime for containers (default \"hull\")"),
    one("default-shm-size", Text, Full, "Default shm size for containers (default 64MiB)"),
    named("default-ulimit", "default-ulimits", Pairs, Full, "Default ulimits for containers"),
    named("dns", "dns", List, Full, "DNS server to use"),
    named("dns-opt", "dns-opts", List, Full, "DNS options to use"),
    named("dns-search", "dns-search", List, Full, "DNS search domains to use"),
    named("exec-opt", "exec-opts", List, Full, "Runtime execution options"),
    one("exec-root", Text, Full, "Root directory for execution state files (default \"/run/hull\")"),
    one("experimental", Flag, Full, "Enable experimental features"),
    one("fixed-cidr", Text, Full, "IPv4 subnet for the default bridge network"),
    one("fixed-cidr-v6", Text, Full, "IPv6 subnet for the default bridge network"),
    short('G', "group", Text, "Group for the unix socket (default \"hull\" or \"docker\", where it exists)"),
    Setting {
        flag: "host",
        short: Some('H'),
        key: "hosts",
        shape: List,
        support: Full,
        help: "Daemon socket(s) to connect to",
    },
    one(
        "host-gateway-ip",
        Text,
        Full,
        "IP address that the special 'host-gateway' string in --add-host resolves to",
    ),
    one("http-proxy", Text, Full, "HTTP proxy URL to use for outgoing traffic"),
    one("https-proxy", Text, Full, "HTTPS proxy URL to use for outgoing traffic"),
    one(
        "icc",
        Flag,
        Full,
        "Enable inter-container communication for the default bridge network (default true)",
    ),
    one("init", Flag, Full, "Run an init in the container to forward signals and reap processes"),
    one("init-path", Text, Missing, "Path to the docker-init binary"),
    named("insecure-registry", "insecure-registries", List, Full, "Enable insecure registry communication"),
    one("ip", Text, Full, "Host IP for port publishing from the default bridge network (default 0.0.0.0)"),
    one("ip-forward", Flag, Full, "Enable IP forwarding in system configuration (default true)"),
    one(
        "ip-forward-no-drop",
        Flag,
        Full,
        "Do not set the filter-FORWARD policy to DROP when enabling IP forwarding",
    ),
    one("ip-masq", Flag, Full, "Enable IP masquerading for the default bridge network (default true)"),
    one("ip6tables", Flag, Moot, "Enable addition of ip6tables rules (default true)"),
    one(
        "iptables",
        Flag,
        Full,
        "Enable addition of packet filter rules, which Hull does by nftables (default true)",
    ),
    one("ipv6", Flag, Full, "Enable IPv6 networking for the default bridge network"),
    named("label", "labels", List, Full, "Set key=value labels to the daemon"),
    one("live-restore", Flag, Moot, "Keep containers alive when the daemon is not running (always so)"),
    one("log-driver", Text, Full, "Default driver for container logs (default \"json-file\")"),
    one("log-format", Text, Full, "Set the logging format (\"text\"|\"json\") (default \"text\")"),
    short(
        'l',
        "log-level",
        Text,
        "Set the logging level (\"debug\"|\"info\"|\"warn\"|\"error\"|\"fatal\") (default \"info\")",
    ),
    named("log-opt", "log-opts", Pairs, Full, "Default log driver options for containers"),
    one("max-concurrent-downloads", Number, Full, "Set the max concurrent downloads (default 3)"),
    one("max-concurrent-uploads", Number, Full, "Set the max concurrent uploads (default 5)"),
    one("max-download-attempts", Number, Full, "Set the max download attempts for each pull (default 5)"),
    one("metrics-addr", Text, Missing, "Set default address and port to serve the metrics api on"),
    one("mtu", Number, Full, "Set the MTU for the default \"bridge\" network (default 1500)"),
    one("network-control-plane-mtu", Number, Moot, "Network Control plane MTU"),
    one("no-new-privileges", Flag, Full, "Set no-new-privileges by default for new containers"),
    one(
        "no-proxy",
        Text,
        Full,
        "Comma-separated list of hosts or IP addresses for which the proxy is skipped",
    ),
    named(
        "node-generic-resource",
        "node-generic-resources",
        List,
        Missing,
        "Advertise user-defined resource",
    ),
    one(
        "obey-host-firewall",
        Flag,
        Full,
        "Let the host's own input rules (ufw, firewalld) decide on what comes to published ports",
    ),
    short('p', "pidfile", Text, "Path to use for daemon PID file (default \"<exec-root>/hulld.pid\")"),
    one("raw-logs", Flag, Full, "Full timestamps without ANSI coloring (always so)"),
    named("registry-mirror", "registry-mirrors", List, Full, "Preferred registry mirror"),
    named("rootless", "", Flag, Missing, "Enable rootless mode"),
    one(
        "seccomp-profile",
        Text,
        Full,
        "Path to seccomp profile, \"builtin\" or \"unconfined\" (default \"builtin\")",
    ),
    one("selinux-enabled", Flag, Missing, "Enable selinux support"),
    one("shutdown-timeout", Number, Full, "Set the default shutdown timeout (default 15)"),
    short('s', "storage-driver", Text, "Storage driver to use (\"erofs\" | \"overlay2\")"),
    named("storage-opt", "storage-opts", List, Missing, "Storage driver options"),
    one(
        "swarm-default-advertise-addr",
        Text,
        Moot,
        "Set default address or interface for swarm advertised address",
    ),
    one("tls", Flag, Full, "Use TLS; implied by --tlsverify"),
    one("tlscacert", Text, Full, "Trust certs signed only by this CA (default \"/etc/hull/ca.pem\")"),
    one("tlscert", Text, Full, "Path to TLS certificate file (default \"/etc/hull/cert.pem\")"),
    one("tlskey", Text, Full, "Path to TLS key file (default \"/etc/hull/key.pem\")"),
    one("tlsverify", Flag, Full, "Use TLS and verify the remote"),
    one("userland-proxy", Flag, Moot, "Use userland proxy for loopback traffic (never needed)"),
    one("userland-proxy-path", Text, Moot, "Path to the userland proxy binary"),
    one("userns-remap", Text, Missing, "User/Group setting for user namespaces"),
    named("validate", "", Flag, Full, "Validate daemon configuration and exit"),
    // Hidden, and those of the file alone.
    Setting { flag: "graph", short: Some('g'), key: "graph", shape: Text, support: Full, help: "" },
    named("runtime-binary", "", Text, Full, ""),
    named("", "proxies", Json, Full, ""),
    named("", "features", Json, Moot, ""),
    named("", "builder", Json, Moot, ""),
    named("", "min-api-version", Text, Moot, ""),
    named("", "deprecated-key-path", Text, Moot, ""),
    named("", "max-concurrent-builds", Number, Moot, ""),
];

/// The setting of a long flag.
pub fn by_flag(flag: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| !setting.flag.is_empty() && setting.flag == flag)
}

/// The setting of a short flag.
pub fn by_short(letter: char) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.short == Some(letter))
}

/// The setting of a key in daemon.json.
pub fn by_key(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| !setting.key.is_empty() && setting.key == key)
}

/// What `--help` prints.
pub fn help() -> String {
    let mut text =
        "Usage:  hulld [OPTIONS]\n\nHull's engine: serves the Docker Engine API.\n\nOptions:\n".to_owned();
    for setting in SETTINGS.iter().filter(|setting| !setting.help.is_empty()) {
        let value = match setting.shape {
            Flag => "",
            Text | Json => " string",
            Number => " int",
            List => " list",
            Pairs => " map",
        };
        let short = setting.short.map_or("    ".to_owned(), |letter| format!("-{letter}, "));
        let flag = format!("--{}{value}", setting.flag);
        let note = if setting.support == Missing { " (not available yet)" } else { "" };
        text.push_str(&format!("  {short}{flag:<40} {}{note}\n", setting.help));
    }
    text.push_str("      --help                                   Print usage\n");
    text.push_str("  -v, --version                                Print version information and quit\n");
    text
}
