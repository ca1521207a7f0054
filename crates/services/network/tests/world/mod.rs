//! A host, an outside host, and a daemon's networks between them.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hull_api_types::{PortBinding, PortMap};
use hull_events::EventBus;
use hull_netlink::link::{self, Veth};
use hull_netlink::{RouteSocket, address, route};
use hull_network::{AttachRequest, Attachment, Networks, NetworksConfig};
use hull_store::Store;
use hull_sys::netns;

pub struct World {
    /// The test's own thread is in it.
    pub host: OwnedFd,
    /// 10.99.0.2, behind the host's 10.99.0.1, which it has as its default route.
    pub outside: OwnedFd,
    pub networks: Networks,
    pub events: EventBus,
    pub directory: tempfile::TempDir,
    pub store: Store,
}

impl World {
    /// Runs a test in a host of its own.
    pub fn run(test: impl FnOnce(&mut World) + Send) {
        Self::run_with(|_| {}, test);
    }

    pub fn run_with(
        configure: impl FnOnce(&mut NetworksConfig) + Send,
        test: impl FnOnce(&mut World) + Send,
    ) {
        netns::create(|| {
            // A new namespace forwards where the machine does.
            for path in ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"] {
                std::fs::write(path, "0").unwrap();
            }
            let mut route = RouteSocket::open().unwrap();
            let lo = route.link_by_name("lo").unwrap().unwrap().index;
            route.run(link::set_up(lo, true)).unwrap();
            let outside = outside_host(&mut route, "up0", "10.99.0.1", "10.99.0.2");
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join("resolv.conf"), "nameserver 10.99.0.2\n").unwrap();
            let store = Store::open(&directory.path().join("hull.db")).unwrap();
            let events = EventBus::new();
            let mut config = config(directory.path());
            configure(&mut config);
            let networks = Networks::open(config, &store, events.clone()).unwrap();
            let host = netns::current().unwrap();
            test(&mut World { host, outside, networks, events, directory, store });
            Ok(())
        })
        .unwrap();
    }

    /// The daemon dies, and another comes.
    pub fn restart(&mut self) {
        self.networks =
            Networks::open(config(self.directory.path()), &self.store, self.events.clone()).unwrap();
    }

    pub fn outside_host(&self, name: &str, host: &str, outside: &str) -> OwnedFd {
        outside_host(&mut RouteSocket::open().unwrap(), name, host, outside)
    }

    pub fn id(&self, name: &str) -> String {
        format!("{:0>64}", name.bytes().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    pub fn request(&self, name: &str, network: &str, ports: &[(&str, &str, &str)]) -> AttachRequest {
        let mut map = PortMap::new();
        for (key, host_ip, host_port) in ports {
            let binding = PortBinding {
                host_ip: (*host_ip).into(),
                host_port: (*host_port).into(),
                ..PortBinding::default()
            };
            map.entry((*key).into()).or_default().get_or_insert_default().push(binding);
        }
        AttachRequest {
            container_id: self.id(name),
            name: name.into(),
            hostname: format!("{name}-host"),
            network_mode: network.into(),
            ports: map,
            ..AttachRequest::default()
        }
    }

    pub fn attach(&self, name: &str, ports: &[(&str, &str, &str)]) -> Attachment {
        self.attach_to(name, "default", ports)
    }

    pub fn attach_to(&self, name: &str, network: &str, ports: &[(&str, &str, &str)]) -> Attachment {
        self.networks.attach(&self.request(name, network, ports)).unwrap()
    }
}

pub fn config(directory: &Path) -> NetworksConfig {
    NetworksConfig {
        resolv_conf: directory.join("resolv.conf"),
        ..NetworksConfig::new(directory.join("run"), "hull", "hull0")
    }
}

fn outside_host(route: &mut RouteSocket, name: &str, host: &str, outside: &str) -> OwnedFd {
    let (fd, mut there) = netns::create(|| Ok(RouteSocket::open().unwrap())).unwrap();
    // The pair is made at a bridge and taken off it: the host's end is no bridge's port, as a network card's isn't.
    route.run(link::create_bridge("scaffold", [2, 0, 0, 0, 0, 1], 0)).unwrap();
    let scaffold = route.link_by_name("scaffold").unwrap().unwrap().index;
    let veth = Veth {
        name,
        master: scaffold,
        mtu: 0,
        peer_netns: fd.as_fd(),
        peer_name: "eth0",
        peer_mac: [2, 0, 0, 0, 0, 2],
    };
    route.run(link::create_veth(&veth)).unwrap();
    let port = route.link_by_name(name).unwrap().unwrap().index;
    route.execute(&[link::set_master(port, 0), link::delete(scaffold)]).unwrap();
    route.run(address::add(port, host.parse().unwrap(), 24)).unwrap();
    let eth0 = there.link_by_name("eth0").unwrap().unwrap().index;
    let lo = there.link_by_name("lo").unwrap().unwrap().index;
    let setup = [
        link::set_up(lo, true),
        address::add(eth0, outside.parse().unwrap(), 24),
        link::set_up(eth0, true),
        route::add_default(0, host.parse().unwrap()),
    ];
    there.execute(&setup).unwrap();
    fd
}

/// Makes a namespace send what is for 127.0.0.0/8 to a neighbour, as an attacker would.
pub fn route_loopback_through(netns: BorrowedFd<'_>, gateway: &str) {
    let gateway = gateway.parse().unwrap();
    netns::within(netns, || {
        std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1")?;
        std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1")?;
        let mut route = RouteSocket::open().unwrap();
        let lo = route.link_by_name("lo").unwrap().unwrap().index;
        route.run(address::delete(lo, "127.0.0.1".parse().unwrap(), 8)).unwrap();
        let eth0 = route.link_by_name("eth0").unwrap().unwrap().index;
        // More specific than the default route, which would lead there as well.
        let on_link = route::add_on_link(eth0, "127.0.0.0".parse().unwrap(), 32);
        let _ = route.run(on_link);
        let routes = route.routes(false).unwrap();
        assert!(routes.iter().any(|r| r.destination.is_none() && r.gateway == Some(gateway)));
        Ok(())
    })
    .unwrap();
}

/// As on a host where br_netfilter isn't loaded: bridged packets don't pass the packet filter.
pub fn without_bridge_netfilter() {
    for name in ["iptables", "ip6tables"] {
        let setting = format!("/proc/sys/net/bridge/bridge-nf-call-{name}");
        let setting = Path::new(&setting);
        if setting.exists() {
            std::fs::write(setting, "0").unwrap();
        }
    }
}

pub fn address_of(attachment: &Attachment) -> String {
    attachment.endpoints[0].1.ip_address.clone()
}

pub fn port(attachment: &Attachment, key: &str) -> String {
    let binding = &attachment.ports[key].as_ref().unwrap()[0];
    format!("{}:{}", binding.host_ip, binding.host_port)
}

/// Answers each connection with the client's address.
pub fn serve(netns: BorrowedFd<'_>, address: &str) {
    let listener = netns::within(netns, || TcpListener::bind(address)).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, client)) = listener.accept() {
            let _ = stream.write_all(client.ip().to_string().as_bytes());
        }
    });
}

pub fn serve_udp(netns: BorrowedFd<'_>, address: &str) {
    let socket = netns::within(netns, || UdpSocket::bind(address)).unwrap();
    std::thread::spawn(move || {
        while let Ok((_, client)) = socket.recv_from(&mut [0; 16]) {
            let _ = socket.send_to(client.ip().to_string().as_bytes(), client);
        }
    });
}

/// The address under which the server sees a client in that namespace.
pub fn reach(netns: BorrowedFd<'_>, address: &str) -> std::io::Result<String> {
    let address: SocketAddr = address.parse().unwrap();
    netns::within(netns, || {
        // What is dropped is never answered; what gets through is answered at once, or after one lost packet.
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(1500))?;
        stream.set_read_timeout(Some(Duration::from_millis(1500)))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        if text.is_empty() { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(text) }
    })
}

pub fn udp_reach(netns: BorrowedFd<'_>, address: &str) -> std::io::Result<String> {
    let address: SocketAddr = address.parse().unwrap();
    netns::within(netns, || {
        let socket = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
        socket.set_read_timeout(Some(Duration::from_millis(1500)))?;
        socket.connect(address)?;
        socket.send(b"?")?;
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    })
}

pub fn ruleset() -> String {
    let output = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // Which table was made last says nothing: two daemons may both restore them.
    let mut tables: Vec<&str> = text.split_inclusive("\n}\n").collect();
    tables.sort();
    tables.concat()
}
