//! Published ports that the host's own input rules decide on: hosts with a firewall, clients in namespaces.
#![allow(clippy::unwrap_used)]

mod world;

use std::os::fd::AsFd;
use std::process::Command;

use hull_netlink::{RouteSocket, address};
use hull_network::{Networks, NetworksConfig};
use hull_store::Store;
use hull_sys::netns;
use world::{World, address_of, reach, ruleset, serve, serve_udp, udp_reach};

const OUTSIDE: &str = "10.99.0.2";

/// A host that lets in what it lists: ports 8080 (TCP and UDP) and 8053 from one address of each family.
const FIREWALL: &str = "
    table inet firewall {
        chain input {
            type filter hook input priority 0; policy drop;
            ct state established,related accept
            iifname lo accept
            meta l4proto ipv6-icmp accept
            ip saddr 10.99.0.2 th dport { 8080, 8053 } accept
            ip6 saddr fd99::2 tcp dport 8080 accept
            ip saddr 10.98.0.2 tcp dport 8080 reject with tcp reset
        }
    }";

fn nft(text: &str) {
    let status = Command::new("nft").arg(text).status().unwrap();
    assert!(status.success(), "nft {text}");
}

fn obeying(config: &mut NetworksConfig) {
    config.obey_host_rules = true;
}

#[test]
fn published_ports_obey_the_hosts_input_rules() {
    World::run_with(obeying, |world| {
        // As administrators harden hosts: what comes in by the wrong interface is dropped.
        std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1").unwrap();
        nft(FIREWALL);
        let other = world.outside_host("up1", "10.98.0.1", "10.98.0.2");
        let ports = [
            ("80/tcp", "", "8080"),
            ("80/tcp", "10.99.0.1", "8053"),
            ("80/tcp", "", "9090"),
            ("53/udp", "", "8053"),
        ];
        let a = world.attach("a", &ports);
        let a_fd = a.netns.as_ref().unwrap().as_fd();
        serve(a_fd, "0.0.0.0:80");
        serve_udp(a_fd, "0.0.0.0:53");
        let (outside, other) = (world.outside.as_fd(), other.as_fd());
        // Who is let in is let in at once, and the container sees who it is.
        assert_eq!(reach(outside, "10.99.0.1:8080").unwrap(), OUTSIDE);
        assert_eq!(reach(outside, "10.99.0.1:8053").unwrap(), OUTSIDE);
        assert_eq!(udp_reach(outside, "10.99.0.1:8053").unwrap(), OUTSIDE);
        // Who isn't, isn't, in the host's manner: refused, or never answered.
        assert_eq!(reach(other, "10.98.0.1:8080").unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
        assert_eq!(udp_reach(other, "10.98.0.1:8053").unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        assert!(reach(outside, "10.99.0.1:9090").is_err());
        // A port published at one address is not at another that the rules would allow.
        assert!(reach(outside, "10.98.0.1:8053").is_err());
        // The host's own connections were never the input rules' affair.
        let host = world.host.as_fd();
        assert_eq!(reach(host, "127.0.0.1:9090").unwrap(), "172.17.0.1");
        assert!(reach(host, "10.98.0.1:9090").is_ok());
        // To the host, a container is one more client.
        let b = world.attach("b", &[]);
        let b_fd = b.netns.as_ref().unwrap().as_fd();
        assert!(reach(b_fd, "10.99.0.1:8080").is_err());
        nft("insert rule inet firewall input iifname hull0 tcp dport 8080 accept");
        assert!(reach(b_fd, "10.99.0.1:8080").is_ok());
        assert_eq!(reach(b_fd, &format!("{}:80", address_of(&a))).unwrap(), address_of(&b));
        // A rule that is withdrawn counts for the next connection.
        nft("flush chain inet firewall input");
        assert!(reach(outside, "10.99.0.1:8080").is_err());
    });
}

#[test]
fn a_flushed_ruleset_comes_back_with_both_parts() {
    World::run_with(obeying, |world| {
        let a = world.attach("a", &[("80/tcp", "", "8080")]);
        serve(a.netns.as_ref().unwrap().as_fd(), "0.0.0.0:80");
        assert_eq!(reach(world.outside.as_fd(), "10.99.0.1:8080").unwrap(), OUTSIDE);
        nft("delete table ip hull");
        nft("flush ruleset");
        for _ in 0..100 {
            let rules = ruleset();
            if rules.contains("chain loop") && rules.contains("published") {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(reach(world.outside.as_fd(), "10.99.0.1:8080").unwrap(), OUTSIDE);
    });
}

#[test]
fn ipv6_obeys_as_well() {
    World::run_with(obeying, |world| {
        // With it, ports on ::1 are not reached, whatever is obeyed.
        world::without_bridge_netfilter();
        let outside = world.outside.as_fd();
        add(world.host.as_fd(), "up0", "fd99::1");
        add(outside, "eth0", "fd99::2");
        add(outside, "eth0", "fd99::3");
        nft(FIREWALL);
        let network = hull_api_types::NetworkCreateRequest { name: "six".into(), ..Default::default() };
        world.networks.create(&network).unwrap();
        let a = world.attach_to("a", "six", &[("80/tcp", "", "8080"), ("80/tcp", "", "9090")]);
        serve(a.netns.as_ref().unwrap().as_fd(), "[::]:80");
        assert_eq!(reach_from(outside, "fd99::2", "[fd99::1]:8080").unwrap(), "fd99::2");
        assert!(reach_from(outside, "fd99::3", "[fd99::1]:8080").is_err());
        assert!(reach_from(outside, "fd99::2", "[fd99::1]:9090").is_err());
        assert!(reach(world.host.as_fd(), "[::1]:9090").is_ok());
    });
}

#[test]
fn an_internal_network_reaches_nothing_by_the_way_round() {
    World::run_with(obeying, |world| {
        let network =
            hull_api_types::NetworkCreateRequest { name: "in".into(), internal: true, ..Default::default() };
        world.networks.create(&network).unwrap();
        let a = world.attach("a", &[("80/tcp", "", "8080")]);
        serve(a.netns.as_ref().unwrap().as_fd(), "0.0.0.0:80");
        let shut = world.attach_to("shut", "in", &[]);
        let shut_fd = shut.netns.as_ref().unwrap().as_fd();
        let gateway = shut.endpoints[0].1.ip_address.rsplit_once('.').unwrap().0.to_owned() + ".1";
        assert!(reach(shut_fd, &format!("{gateway}:8080")).is_err());
        assert!(reach(world.outside.as_fd(), "10.99.0.1:8080").is_ok());
    });
}

/// The same host and the same containers, where single ports, or those of a network, are the ones that obey.
#[test]
fn ports_obey_one_by_one() {
    World::run(|world| {
        nft(FIREWALL);
        let is_there = || RouteSocket::open().unwrap().link_by_name("hull-i").unwrap().is_some();
        let plain = world.attach("plain", &[("80/tcp", "", "7070")]);
        serve(plain.netns.as_ref().unwrap().as_fd(), "0.0.0.0:80");
        assert!(!is_there() && !ruleset().contains("chain accepted"), "nobody obeys yet");

        let ports = [("80/tcp", "", "8080"), ("81/tcp", "", "9090"), ("82/tcp", "", "9191")];
        let mut request = world.request("a", "default", &ports);
        request.obey = "80,81/tcp".into();
        let a = world.networks.attach(&request).unwrap();
        let a_fd = a.netns.as_ref().unwrap().as_fd();
        for address in ["0.0.0.0:80", "0.0.0.0:81", "0.0.0.0:82"] {
            serve(a_fd, address);
        }
        let obeying = |port: &str| a.ports[port].as_ref().unwrap()[0].obeys_host_firewall;
        assert_eq!(["80/tcp", "81/tcp", "82/tcp"].map(obeying), [true, true, false]);
        let outside = world.outside.try_clone().unwrap();
        let outside = outside.as_fd();
        assert_eq!(reach(outside, "10.99.0.1:8080").unwrap(), OUTSIDE, "let in by a rule");
        assert!(reach(outside, "10.99.0.1:9090").is_err(), "not let in");
        assert_eq!(reach(outside, "10.99.0.1:9191").unwrap(), OUTSIDE, "asks nobody");
        assert_eq!(reach(outside, "10.99.0.1:7070").unwrap(), OUTSIDE, "nor does another container");
        assert!(reach(world.host.as_fd(), "127.0.0.1:9090").is_ok());

        // A network says it for all, a container may say otherwise.
        let option = |text: &str| hull_api_types::NetworkCreateRequest {
            name: "strict".into(),
            options: [("hull.host-firewall".to_owned(), text.to_owned())].into(),
            ..Default::default()
        };
        let wrong = world.networks.create(&option("maybe")).unwrap_err().to_string();
        assert_eq!(wrong, "invalid value \"maybe\" for hull.host-firewall: obey or bypass");
        world.networks.create(&option("obey")).unwrap();
        let mut request = world.request("b", "strict", &[("80/tcp", "", "6060"), ("81/tcp", "", "6161")]);
        request.bypass = "81".into();
        let b = world.networks.attach(&request).unwrap();
        let b_fd = b.netns.as_ref().unwrap().as_fd();
        for address in ["0.0.0.0:80", "0.0.0.0:81"] {
            serve(b_fd, address);
        }
        assert!(reach(outside, "10.99.0.1:6060").is_err());
        assert_eq!(reach(outside, "10.99.0.1:6161").unwrap(), OUTSIDE);
        // It is so for the next daemon; ports that move to another network do as that one says.
        world.restart();
        assert!(reach(outside, "10.99.0.1:6060").is_err() && reach(outside, "10.99.0.1:9090").is_err());
        assert!(reach(outside, "10.99.0.1:6161").is_ok() && reach(outside, "10.99.0.1:9191").is_ok());
        world.networks.connect("bridge", &world.id("b"), b_fd, &Default::default()).unwrap();
        world.networks.disconnect("strict", &world.id("b"), Some(b_fd)).unwrap();
        assert_eq!(reach(outside, "10.99.0.1:6060").unwrap(), OUTSIDE);

        let mut request = world.request("c", "default", &[("80/tcp", "", "5050")]);
        request.obey = "5050".into();
        for tried in [world.networks.validate(&request), world.networks.attach(&request).map(drop)] {
            let error = tried.unwrap_err().to_string();
            assert!(error.contains("5050/tcp, which is none of the container's published ports"), "{error}");
        }
        for name in ["a", "b"] {
            world.networks.release(&world.id(name)).unwrap();
        }
        assert!(!is_there() && !ruleset().contains("chain accepted"), "nobody obeys any more");
    });
}

#[test]
fn a_daemon_that_does_not_obey_leaves_nothing_of_it() {
    World::run(|world| {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("hull.db")).unwrap();
        let open = |obey_host_rules| {
            let root = directory.path().join("run");
            let config = NetworksConfig { obey_host_rules, ..NetworksConfig::new(root, "other", "other0") };
            Networks::open(config, &store, world.events.clone()).unwrap()
        };
        let is_there = || RouteSocket::open().unwrap().link_by_name("other-i").unwrap().is_some();
        drop(open(true));
        assert!(is_there() && ruleset().contains("chain loop"));
        drop(open(false));
        assert!(!is_there() && !ruleset().contains("chain loop"), "{}", ruleset());
        let networks = open(true);
        networks.teardown().unwrap();
        assert!(!is_there() && !ruleset().contains("table ip other"), "{}", ruleset());
    });
}

#[test]
fn chains_of_others_that_drop_what_is_forwarded_are_named() {
    World::run(|world| {
        let told = |world: &World| world.networks.firewall().info;
        let pair = |label: &str, value: &str| [label.to_owned(), value.to_owned()];
        assert_eq!(told(world), [pair("HostInputRules", "bypassed")]);
        nft("add table ip filter");
        nft("add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }");
        nft("add chain ip filter OTHER { type filter hook input priority 0; policy drop; }");
        nft("add chain ip filter FREE { type filter hook forward priority 1; policy accept; }");
        assert_eq!(told(world)[1..], [pair("ForwardDroppedBy", "chain FORWARD of table ip filter")]);
        // And it is so.
        let a = world.attach("a", &[("80/tcp", "", "8080")]);
        serve(a.netns.as_ref().unwrap().as_fd(), "0.0.0.0:80");
        assert!(reach(world.outside.as_fd(), "10.99.0.1:8080").is_err());
        nft("add rule ip filter FORWARD ct status dnat accept");
        nft("add rule ip filter FORWARD ct state established accept");
        assert!(reach(world.outside.as_fd(), "10.99.0.1:8080").is_ok());
    });
}

fn add(netns: std::os::fd::BorrowedFd<'_>, interface: &str, text: &str) {
    netns::within(netns, || {
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/accept_dad"), "0")?;
        let mut route = RouteSocket::open().unwrap();
        let index = route.link_by_name(interface).unwrap().unwrap().index;
        route.run(address::add(index, text.parse().unwrap(), 64)).unwrap();
        Ok(())
    })
    .unwrap();
}

/// As [`reach`], from one of several addresses of that namespace.
fn reach_from(netns: std::os::fd::BorrowedFd<'_>, own: &str, address: &str) -> std::io::Result<String> {
    netns::within(netns, || {
        let command =
            ["-T2", "-", &format!("TCP6:{address},bind=[{own}],connect-timeout=1.5")].map(str::to_owned);
        let output = Command::new("socat").args(command).stdin(std::process::Stdio::null()).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.is_empty() { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(text) }
    })
}
