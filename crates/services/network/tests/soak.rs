//! Over many rounds of everything, nothing is left: no interface, rule, lease, port, record or file. 30 rounds here;
//! HULL_SOAK=10000 for the long run.
#![allow(clippy::unwrap_used)]

mod world;

use std::os::fd::AsFd;
use std::path::Path;

use hull_api_types::NetworkCreateRequest;
use hull_netlink::{Notice, RouteSocket, Watch};
use hull_sys::netlink_socket::NetlinkProtocol;
use hull_sys::rustix;
use world::{World, ruleset};

/// Interfaces of closed namespaces go a moment later.
fn interfaces_become(expected: &[String]) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let links = RouteSocket::open().unwrap().links().unwrap();
        let names: Vec<String> = links.into_iter().map(|link| link.name).collect();
        if names == expected {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{names:?} instead of {expected:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path().display().to_string());
        }
    }
    found.sort();
    found
}

#[test]
fn nothing_is_left_of_many_rounds() {
    let rounds: usize = std::env::var("HULL_SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    World::run(|world| {
        let networks = &world.networks;
        let named = |name: &str| NetworkCreateRequest { name: name.into(), ..Default::default() };
        networks.create(&named("web")).unwrap();
        let links = || RouteSocket::open().unwrap().links().unwrap().into_iter().map(|link| link.name);
        let run = world.directory.path().join("run");
        let before = (links().collect::<Vec<_>>(), ruleset(), files(&run));
        for round in 0..rounds {
            let (a, b) = (format!("a{round}"), format!("b{round}"));
            let published = [("80/tcp", "", ""), ("53/udp", "127.0.0.1", ""), ("81/tcp", "::1", "")];
            let first = world.attach_to(&a, "web", &published);
            assert_eq!(first.endpoints[0].1.ip_address, "172.18.0.2", "round {round}");
            let second = world.attach(&b, &[("80/tcp", "", "8080")]);
            let netns = second.netns.as_ref().unwrap().as_fd();
            let other = format!("n{round}");
            networks.create(&named(&other)).unwrap();
            for network in ["web", &other] {
                networks.connect(network, &world.id(&b), netns, &Default::default()).unwrap();
            }
            assert!(networks.connect("web", &world.id(&b), netns, &Default::default()).is_err());
            networks.disconnect("bridge", &world.id(&b), Some(netns)).unwrap();
            networks.disconnect(&other, &world.id(&b), Some(netns)).unwrap();
            networks.remove(&other).unwrap();
            networks.release(&world.id(&a)).unwrap();
            networks.release(&world.id(&b)).unwrap();
        }
        assert_eq!(ruleset(), before.1);
        interfaces_become(&before.0);
        assert!(networks.inspect("web").unwrap().containers.is_empty());
        networks.remove("web").unwrap();
        assert_eq!(files(&run), before.2);
    });
}

/// Nor with the networks there are: one more is the same elements of the same sets, no rule, and its packets meet no
/// more rules than the first one's.
#[test]
fn the_hundredth_network_costs_what_the_first_did() {
    const NFTABLES: u32 = 7;
    World::run(|world| {
        let watch = Watch::open(NetlinkProtocol::Netfilter, NFTABLES).unwrap();
        let (until, _open) = rustix::pipe::pipe().unwrap();
        let request = |number: usize| {
            let mut request = NetworkCreateRequest { name: format!("n{number}"), ..Default::default() };
            let subnet = format!("10.77.{number}.0/24");
            let config = hull_api_types::IpamConfig { subnet, ..Default::default() };
            request.ipam.get_or_insert_default().config.push(config);
            request
        };
        // The first with IPv6 makes the host forward it, which the rules tell of.
        world.networks.create(&request(0)).unwrap();
        let rules =
            || ruleset().lines().filter(|line| line.contains("masquerade") || line.contains("drop")).count();
        let before = rules();
        let seen = |what: &dyn Fn()| {
            let mut messages: Vec<(u16, usize)> = Vec::new();
            what();
            let visit = |notice: Notice<'_>| messages.push((notice.kind, notice.body.len()));
            assert!(watch.wait(until.as_fd(), visit, || panic!("too many")).unwrap());
            messages
        };
        seen(&|| ());
        let cost = |number: usize| {
            let made = seen(&|| drop(world.networks.create(&request(number)).unwrap()));
            (made, seen(&|| world.networks.remove(&format!("n{number}")).unwrap()))
        };
        let first = cost(1);
        assert!(!first.0.is_empty() && !first.1.is_empty());
        (2..100).for_each(|number| drop(seen(&|| drop(world.networks.create(&request(number)).unwrap()))));
        assert_eq!(cost(100), first);
        assert_eq!(rules(), before);
    });
}

/// What the kernel is asked to do for one container with a published port does not grow with the containers there
/// are: its own account of the changes is the same, message by message.
#[test]
fn the_thousandth_container_costs_what_the_first_did() {
    const NFTABLES: u32 = 7;
    let containers = if std::env::var_os("HULL_SOAK").is_some() { 1000 } else { 250 };
    World::run(|world| {
        let watch = Watch::open(NetlinkProtocol::Netfilter, NFTABLES).unwrap();
        let (until, _open) = rustix::pipe::pipe().unwrap();
        let mut attached = Vec::new();
        let mut cost = |number: usize| {
            attached.push(world.attach(&format!("c{number}"), &[("80/tcp", "", "")]));
            let mut messages: Vec<(u16, usize)> = Vec::new();
            let visit = |notice: Notice<'_>| messages.push((notice.kind, notice.body.len()));
            assert!(watch.wait(until.as_fd(), visit, || panic!("too many")).unwrap());
            messages
        };
        let first = cost(0);
        assert!(!first.is_empty());
        for number in 1..containers {
            assert_eq!(cost(number), first, "{number}");
        }
    });
}
