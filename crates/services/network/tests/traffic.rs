//! Real traffic through real networks: a daemon's host, containers and an outside host, each a network namespace of
//! the test's own.
#![allow(clippy::unwrap_used)]

mod world;

use std::os::fd::AsFd;

use hull_api_types::NetworkCreateRequest;
use hull_network::AttachRequest;
use world::{World, address_of, port, reach, serve, serve_udp, udp_reach};

const OUTSIDE: &str = "10.99.0.2";
const HOST: &str = "10.99.0.1";

#[test]
fn container_host_and_outside_reach_each_other_as_they_should() {
    World::run(|world| {
        let a = world.attach("a", &[]);
        let b = world.attach("b", &[]);
        let (a_fd, b_fd) = (a.netns.as_ref().unwrap(), b.netns.as_ref().unwrap());
        let (a_ip, b_ip) = (address_of(&a), address_of(&b));
        assert_eq!((a_ip.as_str(), b_ip.as_str()), ("172.17.0.2", "172.17.0.3"));
        serve(a_fd.as_fd(), "0.0.0.0:80");
        serve(world.host.as_fd(), "0.0.0.0:90");
        serve(world.outside.as_fd(), "0.0.0.0:80");
        // A port that is not published: the host and neighbours reach it, the outside doesn't.
        assert_eq!(reach(world.host.as_fd(), &format!("{a_ip}:80")).unwrap(), "172.17.0.1");
        assert_eq!(reach(b_fd.as_fd(), &format!("{a_ip}:80")).unwrap(), b_ip);
        assert!(reach(world.outside.as_fd(), &format!("{a_ip}:80")).is_err());
        // The gateway is the host; to the outside the container looks like the host.
        assert_eq!(reach(b_fd.as_fd(), "172.17.0.1:90").unwrap(), b_ip);
        assert_eq!(reach(b_fd.as_fd(), &format!("{OUTSIDE}:80")).unwrap(), HOST);
    });
}

#[test]
fn a_published_port_is_reached_from_everywhere() {
    World::run(published_port);
}

/// Whether br_netfilter is there, and so which way packets between containers take, is the host's affair.
#[test]
fn a_published_port_is_reached_from_everywhere_without_bridge_netfilter() {
    World::run(|world| {
        world::without_bridge_netfilter();
        published_port(world);
    });
}

fn published_port(world: &mut World) {
    let a = world.attach("a", &[("80/tcp", "", "8080"), ("53/udp", "", "5300"), ("81/tcp", HOST, "8081")]);
    let b = world.attach("b", &[]);
    let (a_fd, b_fd) = (a.netns.as_ref().unwrap().as_fd(), b.netns.as_ref().unwrap().as_fd());
    assert_eq!(port(&a, "80/tcp"), "0.0.0.0:8080");
    serve(a_fd, "0.0.0.0:80");
    serve(a_fd, "0.0.0.0:81");
    serve_udp(a_fd, "0.0.0.0:53");
    let host = world.host.as_fd();
    // From outside, with the client's own address.
    assert_eq!(reach(world.outside.as_fd(), &format!("{HOST}:8080")).unwrap(), OUTSIDE);
    assert_eq!(reach(world.outside.as_fd(), &format!("{HOST}:8081")).unwrap(), OUTSIDE);
    assert_eq!(udp_reach(world.outside.as_fd(), &format!("{HOST}:5300")).unwrap(), OUTSIDE);
    // From the host by its loopback and by its addresses.
    assert_eq!(reach(host, "127.0.0.1:8080").unwrap(), "172.17.0.1");
    assert_eq!(reach(host, "127.0.0.9:8080").unwrap(), "172.17.0.1");
    assert_eq!(reach(host, &format!("{HOST}:8080")).unwrap(), HOST);
    assert_eq!(udp_reach(host, "127.0.0.1:5300").unwrap(), "172.17.0.1");
    // One that is bound to one address is at that one only.
    assert!(reach(host, "127.0.0.1:8081").is_err());
    // From another container by the host's addresses, and from the container itself.
    assert!(reach(b_fd, &format!("{HOST}:8080")).is_ok());
    assert!(reach(b_fd, "172.17.0.1:8080").is_ok());
    assert!(reach(a_fd, &format!("{HOST}:8080")).is_ok());
    assert!(udp_reach(a_fd, &format!("{HOST}:5300")).is_ok());
    // And no longer when it is released.
    world.networks.release(&world.id("a")).unwrap();
    assert!(reach(world.outside.as_fd(), &format!("{HOST}:8080")).is_err());
}

#[test]
fn the_hosts_loopback_is_its_own() {
    World::run(|world| {
        let a = world.attach("a", &[("80/tcp", "127.0.0.1", "8080")]);
        let b = world.attach("b", &[]);
        let b_fd = b.netns.as_ref().unwrap();
        serve(a.netns.as_ref().unwrap().as_fd(), "0.0.0.0:80");
        serve(world.host.as_fd(), "127.0.0.1:9090");
        assert!(reach(world.host.as_fd(), "127.0.0.1:8080").is_ok());
        assert!(reach(world.outside.as_fd(), &format!("{HOST}:8080")).is_err());
        // A neighbour that sends what is for 127.0.0.1 to the host's interface, outside or in a container.
        world::route_loopback_through(world.outside.as_fd(), HOST);
        world::route_loopback_through(b_fd.as_fd(), "172.17.0.1");
        for attacker in [world.outside.as_fd(), b_fd.as_fd()] {
            assert!(reach(attacker, "127.0.0.1:8080").is_err());
            assert!(reach(attacker, "127.0.0.1:9090").is_err());
        }
    });
}

#[test]
fn networks_are_apart_but_for_published_ports() {
    World::run(apart);
}

#[test]
fn networks_are_apart_but_for_published_ports_without_bridge_netfilter() {
    World::run(|world| {
        world::without_bridge_netfilter();
        apart(world);
    });
}

fn apart(world: &mut World) {
    let create = |name: &str, internal, icc: &str| {
        let options = [("com.docker.network.bridge.enable_icc".to_owned(), icc.to_owned())].into();
        let request = NetworkCreateRequest { name: name.into(), internal, options, ..Default::default() };
        world.networks.create(&request).unwrap();
    };
    create("open", false, "true");
    create("shut", false, "false");
    create("inner", true, "true");
    let ports = [("80/tcp", "", "8080")];
    let a = world.attach_to("a", "open", &ports);
    let b = world.attach_to("b", "shut", &[("80/tcp", "", "8081")]);
    let c = world.attach_to("c", "shut", &[]);
    let d = world.attach_to("d", "inner", &[("80/tcp", "", "8082")]);
    let e = world.attach_to("e", "inner", &[]);
    let fd = |attachment: &hull_network::Attachment| attachment.netns.as_ref().unwrap().try_clone().unwrap();
    for each in [&a, &b, &c, &d] {
        serve(fd(each).as_fd(), "0.0.0.0:80");
    }
    serve(world.outside.as_fd(), "0.0.0.0:80");
    // From network to network: by published ports only.
    assert!(reach(fd(&a).as_fd(), &format!("{}:80", address_of(&b))).is_err());
    assert!(reach(fd(&a).as_fd(), &format!("{HOST}:8081")).is_ok());
    assert!(reach(fd(&b).as_fd(), &format!("{HOST}:8080")).is_ok());
    // Without inter-container communication, the same within a network.
    assert!(reach(fd(&b).as_fd(), &format!("{}:80", address_of(&c))).is_err());
    assert!(reach(fd(&c).as_fd(), &format!("{HOST}:8081")).is_ok());
    assert!(reach(fd(&c).as_fd(), &format!("{OUTSIDE}:80")).is_ok());
    // An internal network: its own containers, nothing beyond, and no published ports.
    assert!(reach(fd(&e).as_fd(), &format!("{}:80", address_of(&d))).is_ok());
    assert!(reach(fd(&e).as_fd(), &format!("{OUTSIDE}:80")).is_err());
    assert!(reach(fd(&e).as_fd(), &format!("{}:80", address_of(&a))).is_err());
    assert!(d.ports.is_empty());
    assert!(reach(world.host.as_fd(), "127.0.0.1:8082").is_err());
}

#[test]
fn hull_does_not_make_the_host_a_router() {
    World::run(|world| {
        // The second outside host is behind another interface of the host's.
        let far = world.outside_host("far0", "10.98.0.1", "10.98.0.2");
        serve(far.as_fd(), "0.0.0.0:80");
        assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap().trim(), "1");
        assert!(reach(world.host.as_fd(), "10.98.0.2:80").is_ok());
        assert!(reach(world.outside.as_fd(), "10.98.0.2:80").is_err());
        let a = world.attach("a", &[]);
        assert!(reach(a.netns.as_ref().unwrap().as_fd(), "10.98.0.2:80").is_ok());
    });
}

#[test]
fn a_container_has_no_ipv6_but_on_its_loopback() {
    World::run(|world| {
        let a = world.attach("a", &[]);
        let read = |path: &'static str| {
            let read = move || std::fs::read_to_string(path);
            hull_sys::netns::within(a.netns.as_ref().unwrap().as_fd(), read).unwrap()
        };
        let addresses = read("/proc/thread-self/net/if_inet6");
        assert_eq!(addresses.lines().count(), 1, "{addresses}");
        assert!(addresses.contains(" lo\n"), "{addresses}");
        assert_eq!(read("/proc/sys/net/ipv6/conf/eth0/accept_ra").trim(), "0");
        assert_eq!(read("/proc/sys/net/ipv6/conf/eth0/disable_ipv6").trim(), "1");
    });
}

#[test]
fn connecting_and_disconnecting_moves_default_route_and_ports() {
    World::run(|world| {
        world.networks.create(&NetworkCreateRequest { name: "n1".into(), ..Default::default() }).unwrap();
        let a = world.attach("a", &[("80/tcp", "", "8080")]);
        let fd = a.netns.as_ref().unwrap().as_fd();
        serve(fd, "0.0.0.0:80");
        serve(world.outside.as_fd(), "0.0.0.0:80");
        let id = world.id("a");
        let (name, settings) = world.networks.connect("n1", &id, fd, &Default::default()).unwrap();
        assert_eq!((name.as_str(), settings.ip_address.as_str()), ("n1", "172.18.0.2"));
        assert_eq!(settings.dns_names.unwrap()[0], "a");
        assert!(world.networks.connect("n1", &id, fd, &Default::default()).is_err());
        assert!(reach(world.host.as_fd(), "172.18.0.2:80").is_ok());
        assert_eq!(world.networks.disconnect("bridge", &id, Some(fd)).unwrap(), "bridge");
        assert!(reach(world.host.as_fd(), "172.17.0.2:80").is_err());
        assert_eq!(reach(world.outside.as_fd(), &format!("{HOST}:8080")).unwrap(), OUTSIDE);
        assert_eq!(reach(fd, &format!("{OUTSIDE}:80")).unwrap(), HOST);
        assert!(world.networks.disconnect("bridge", &id, Some(fd)).is_err());
        assert_eq!(world.networks.disconnect("n1", &id, Some(fd)).unwrap(), "n1");
        assert!(reach(fd, &format!("{OUTSIDE}:80")).is_err());
        let back = world.networks.connect("bridge", &id, fd, &Default::default()).unwrap();
        assert_eq!(back.1.ip_address, "172.17.0.2");
        assert_eq!(reach(world.outside.as_fd(), &format!("{HOST}:8080")).unwrap(), OUTSIDE);
    });
}

#[test]
fn an_address_that_is_given_out_again_is_reached_at_once() {
    World::run(|world| {
        for round in 0..20 {
            let name = format!("c{round}");
            let a = world.attach(&name, &[]);
            assert_eq!(address_of(&a), "172.17.0.2");
            serve(a.netns.as_ref().unwrap().as_fd(), "0.0.0.0:80");
            assert!(reach(world.host.as_fd(), "172.17.0.2:80").is_ok(), "round {round}");
            // The namespace lives on by the server's socket: the old port is still there for the next round.
            world.networks.release(&world.id(&name)).unwrap();
        }
    });
}

#[test]
fn several_networks_at_once_and_asked_for_addresses() {
    World::run(|world| {
        let request = NetworkCreateRequest { name: "n1".into(), ..Default::default() };
        world.networks.create(&request).unwrap();
        let mut settings = hull_api_types::EndpointSettings {
            mac_address: "02:42:00:00:00:99".into(),
            gw_priority: 10,
            ..Default::default()
        };
        settings.ipam_config.get_or_insert_default().ipv4_address = "172.18.7.7".into();
        let request = AttachRequest {
            endpoints: vec![("bridge".into(), Default::default()), ("n1".into(), settings)],
            ..world.request("a", "bridge", &[("80/tcp", "", "8080")])
        };
        let a = world.networks.attach(&request).unwrap();
        let n1 = &a.endpoints[1].1;
        assert_eq!((n1.ip_address.as_str(), n1.mac_address.as_str()), ("172.18.7.7", "02:42:00:00:00:99"));
        let fd = a.netns.as_ref().unwrap().as_fd();
        serve(fd, "0.0.0.0:80");
        serve(world.outside.as_fd(), "0.0.0.0:80");
        assert!(reach(world.host.as_fd(), "172.17.0.2:80").is_ok());
        assert!(reach(world.host.as_fd(), "172.18.7.7:80").is_ok());
        assert_eq!(reach(world.outside.as_fd(), &format!("{HOST}:8080")).unwrap(), OUTSIDE);
        assert_eq!(reach(fd, &format!("{OUTSIDE}:80")).unwrap(), HOST);
        assert!(
            a.hosts.ends_with("172.17.0.2\ta-host\n172.18.7.7\ta-host\n")
                || a.hosts.contains("172.18.7.7\ta-host\nfd"),
            "{}",
            a.hosts
        );
    });
}
