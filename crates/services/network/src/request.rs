//! What the container engine asks for, and gets.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use hull_api_types::{EndpointSettings, PortMap};

/// What a container that is about to be created needs of the networks.
#[derive(Debug, Clone, Default)]
pub struct AttachRequest {
    /// The container's full id.
    pub container_id: String,
    /// Its name, without the slash.
    pub name: String,
    /// Its host name.
    pub hostname: String,
    /// Its domain name, or empty.
    pub domainname: String,
    /// `HostConfig.NetworkMode`: ``, `default`, `bridge`, `none`, `host`, `container:…` or a network's name or id.
    pub network_mode: String,
    /// The networks to be in, by name or id, with what was asked of each. Where the network of `network_mode` is
    /// missing it is added.
    pub endpoints: Vec<(String, EndpointSettings)>,
    /// `HostConfig.PortBindings`.
    pub ports: PortMap,
    /// The ports that image and `--expose` name, as `80/tcp`.
    pub exposed: Vec<String>,
    /// Whether exposed ports are published on random host ports (`-P`).
    pub publish_all: bool,
    /// The ports (`80/tcp,443`, or `all`) that obey the host's own input rules whatever network and daemon say.
    pub obey: String,
    /// Those that don't.
    pub bypass: String,
    /// Name servers; the daemon's or the host's when empty.
    pub dns: Vec<String>,
    /// Search domains; the same. A single `.` is none.
    pub dns_search: Vec<String>,
    /// Resolver options; the same.
    pub dns_options: Vec<String>,
    /// `name:address` or `name=address`, where the address may be `host-gateway`.
    pub extra_hosts: Vec<String>,
    /// Other running containers that go into the hosts file.
    pub links: Vec<Link>,
}

/// A legacy link: another container under other names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// The linked container's full id; it has to be attached.
    pub container_id: String,
    /// The names that the hosts file gives to its address: alias, short id, name.
    pub names: Vec<String>,
}

/// A container's place in its networks.
#[derive(Debug, Default)]
pub struct Attachment {
    /// The network namespace, configured; `None` for the host's and another container's. It lives by this
    /// descriptor and by the processes in it: drop it once the container's process runs. When the last process
    /// ends, interfaces go with it.
    pub netns: Option<OwnedFd>,
    /// A random id for `NetworkSettings.SandboxID`; empty where there is no namespace of its own.
    pub sandbox_id: String,
    /// Each network's name with the settings filled in, in the order of the interfaces (`eth0`, `eth1`, …).
    pub endpoints: Vec<(String, EndpointSettings)>,
    /// Published ports with their actual host addresses and ports; null for a port that is only exposed.
    pub ports: PortMap,
    /// The content of the container's `/etc/hosts`.
    pub hosts: String,
    /// The content of the container's `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// The file of the resolver that it says to ask, for the container's shim; `None` where there is none.
    pub resolver: Option<PathBuf>,
}
