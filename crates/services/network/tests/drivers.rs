//! Networks other than a bridge behind the host's address: routed ones, physical ones, configurations.
#![allow(clippy::unwrap_used)]

mod world;

use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use hull_api_types::{IpamConfig, NetworkCreateRequest};
use hull_errors::{HasKind, Kind};
use hull_netlink::RouteSocket;
use hull_network::Attachment;
use hull_sys::netns;
use world::{World, address_of, reach, serve, serve_udp};

fn request(name: &str, driver: &str, options: &[(&str, &str)]) -> NetworkCreateRequest {
    NetworkCreateRequest {
        name: name.into(),
        driver: driver.into(),
        options: options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        ..Default::default()
    }
}

fn with_subnet(mut request: NetworkCreateRequest, subnet: &str, gateway: &str) -> NetworkCreateRequest {
    let config = IpamConfig { subnet: subnet.into(), gateway: gateway.into(), ..Default::default() };
    request.ipam.get_or_insert_default().config.push(config);
    request
}

fn netns(attachment: &Attachment) -> BorrowedFd<'_> {
    attachment.netns.as_ref().unwrap().as_fd()
}

fn interfaces() -> Vec<String> {
    RouteSocket::open().unwrap().links().unwrap().into_iter().map(|link| link.name).collect()
}

#[test]
fn gateway_modes_open_what_they_say() {
    World::run(|world| {
        let mode = "com.docker.network.bridge.gateway_mode_ipv4";
        for (name, value) in [("routed", "routed"), ("open", "nat-unprotected")] {
            world.networks.create(&request(name, "bridge", &[(mode, value)])).unwrap();
        }
        let a = world.attach_to("aa", "routed", &[("80/tcp", "", "8080")]);
        let b = world.attach_to("bb", "open", &[("80/tcp", "", "8081")]);
        for each in [&a, &b] {
            serve(netns(each), "0.0.0.0:80");
            serve(netns(each), "0.0.0.0:81");
        }
        serve(world.outside.as_fd(), "0.0.0.0:80");
        let outside = world.outside.as_fd();
        // Routed: what is published is open at the container's own address, nothing at the host's. The outside
        // host's way to it is its default route.
        assert_eq!(reach(outside, &format!("{}:80", address_of(&a))).unwrap(), "10.99.0.2");
        assert!(reach(outside, &format!("{}:81", address_of(&a))).is_err());
        assert!(reach(outside, "10.99.0.1:8080").is_err());
        assert_eq!(reach(netns(&a), "10.99.0.2:80").unwrap(), address_of(&a));
        // Unprotected: published as ever, and everything open at its own address.
        for port in [80, 81] {
            assert_eq!(reach(outside, &format!("{}:{port}", address_of(&b))).unwrap(), "10.99.0.2");
        }
        assert_eq!(reach(outside, "10.99.0.1:8081").unwrap(), "10.99.0.2");
        // Isolated is for internal networks, and keeps the host out.
        let mut isolated = request("cut", "bridge", &[(mode, "isolated")]);
        assert!(world.networks.create(&isolated).unwrap_err().to_string().contains("internal network"));
        isolated.internal = true;
        isolated.enable_ipv6 = Some(false);
        world.networks.create(&isolated).unwrap();
        let (c, d) = (world.attach_to("cc", "cut", &[]), world.attach_to("dd", "cut", &[]));
        serve(netns(&c), "0.0.0.0:80");
        serve(world.host.as_fd(), "0.0.0.0:90");
        assert!(reach(netns(&d), &format!("{}:80", address_of(&c))).is_ok());
        assert!(reach(world.host.as_fd(), &format!("{}:80", address_of(&c))).is_err());
        assert!(reach(netns(&d), "10.99.0.1:90").is_err());
    });
}

#[test]
fn macvlan_containers_are_neighbours_of_the_outside() {
    World::run(|world| {
        let on_lan = |name: &str, options: &[(&str, &str)]| {
            let mut request = with_subnet(request(name, "macvlan", options), "10.99.0.0/24", "10.99.0.2");
            // The rest of the subnet is for others.
            request.ipam.as_mut().unwrap().config[0].ip_range = "10.99.0.16/28".into();
            world.networks.create(&request)
        };
        on_lan("lan", &[("parent", "up0")]).unwrap();
        assert!(on_lan("again", &[("parent", "up0")]).unwrap_err().to_string().contains("network lan"));
        let (a, b) =
            (world.attach_to("aa", "lan", &[("80/tcp", "", "8080")]), world.attach_to("bb", "lan", &[]));
        serve(netns(&a), "0.0.0.0:80");
        serve(world.outside.as_fd(), "0.0.0.0:80");
        assert_eq!((address_of(&a), address_of(&b)), ("10.99.0.16".into(), "10.99.0.17".into()));
        assert_eq!(reach(netns(&b), &format!("{}:80", address_of(&a))).unwrap(), address_of(&b));
        assert_eq!(reach(netns(&b), "10.99.0.2:80").unwrap(), address_of(&b));
        assert_eq!(reach(world.outside.as_fd(), &format!("{}:80", address_of(&a))).unwrap(), "10.99.0.2");
        // Nothing of it is on the host.
        assert!(a.ports["80/tcp"].is_none());
        let id = world.id("aa");
        world.networks.disconnect("lan", &id, Some(netns(&a))).unwrap();
        let links = netns::within(netns(&a), || Ok(interfaces())).unwrap();
        assert!(!links.contains(&"eth0".to_owned()), "{links:?}");
        let again = world.networks.connect("lan", &id, netns(&a), &Default::default()).unwrap();
        assert_eq!(again.1.ip_address, "10.99.0.16");
        assert!(reach(netns(&b), "10.99.0.16:80").is_ok());
        assert!(interfaces().contains(&"up0".to_owned()));
    });
}

#[test]
fn private_macvlan_containers_do_not_meet_and_parents_are_made_where_there_is_none() {
    World::run(|world| {
        let before = interfaces();
        let mut private = request("quiet", "macvlan", &[("parent", "up0"), ("macvlan_mode", "private")]);
        private = with_subnet(private, "10.50.0.0/24", "");
        world.networks.create(&private).unwrap();
        let (a, b) = (world.attach_to("aa", "quiet", &[]), world.attach_to("bb", "quiet", &[]));
        serve(netns(&a), "0.0.0.0:80");
        assert!(reach(netns(&b), &format!("{}:80", address_of(&a))).is_err());
        // Without a parent containers meet each other and nobody else.
        world.networks.create(&request("nowhere", "macvlan", &[])).unwrap();
        let (c, d) = (world.attach_to("cc", "nowhere", &[]), world.attach_to("dd", "nowhere", &[]));
        serve(netns(&c), "0.0.0.0:80");
        assert_eq!(reach(netns(&d), &format!("{}:80", address_of(&c))).unwrap(), address_of(&d));
        for name in ["aa", "bb", "cc", "dd"] {
            world.networks.release(&world.id(name)).unwrap();
        }
        for name in ["quiet", "nowhere"] {
            world.networks.remove(name).unwrap();
        }
        assert_eq!(interfaces(), before);
        let refused = |options: &[(&str, &str)]| {
            world.networks.create(&request("bad", "macvlan", options)).unwrap_err()
        };
        assert!(refused(&[("parent", "nope0")]).to_string().contains("nope0"));
        assert!(refused(&[("parent", "lo")]).to_string().contains("loopback"));
        assert!(refused(&[("macvlan_mode", "loud")]).to_string().contains("'loud' is not valid"));
        assert!(refused(&[("parent", "up0.5000")]).to_string().contains("up0.5000"));
    });
}

/// Where the kernel has no such interfaces, the error says which module is missing, and nothing is left.
#[test]
fn ipvlan_and_vlans_work_or_name_what_is_missing() {
    World::run(|world| {
        let before = interfaces();
        for (name, driver, options, module) in [
            ("ip", "ipvlan", [("parent", "up0"), ("ipvlan_mode", "l2")], "ipvlan"),
            ("vlan", "macvlan", [("parent", "up0.10"), ("macvlan_mode", "bridge")], "8021q"),
        ] {
            let wanted = with_subnet(request(name, driver, &options), "10.51.0.0/24", "");
            match world.networks.create(&wanted) {
                Ok(_) => {
                    let (a, b) = (world.attach_to("aa", name, &[]), world.attach_to("bb", name, &[]));
                    serve(netns(&a), "0.0.0.0:80");
                    assert!(reach(netns(&b), &format!("{}:80", address_of(&a))).is_ok());
                    for name in ["aa", "bb"] {
                        world.networks.release(&world.id(name)).unwrap();
                    }
                    world.networks.remove(name).unwrap();
                }
                Err(error) => {
                    assert_eq!(error.kind(), Kind::NotImplemented);
                    assert!(error.to_string().contains(&format!("modprobe {module}")), "{error}");
                }
            }
            assert_eq!(interfaces(), before);
        }
        let wrong = request("ip", "ipvlan", &[("parent", "up0"), ("ipvlan_mode", "l9")]);
        assert!(world.networks.create(&wrong).unwrap_err().to_string().contains("'l9' is not valid"));
    });
}

#[test]
fn configurations_are_for_other_networks() {
    World::run(|world| {
        let mut configuration = with_subnet(request("plan", "", &[]), "10.60.0.0/24", "10.60.0.9");
        configuration.config_only = true;
        configuration.labels = [("tier".to_owned(), "front".to_owned())].into();
        world.networks.create(&configuration).unwrap();
        let shown = world.networks.inspect("plan").unwrap();
        assert!(shown.config_only && shown.driver == "null");
        assert_eq!(shown.ipam.config[0].subnet, "10.60.0.0/24");
        assert!(world.networks.attach(&world.request("aa", "plan", &[])).is_err());
        let mut real = request("real", "", &[]);
        real.config_from = Some(hull_api_types::ConfigReference { network: "plan".into() });
        world.networks.create(&real).unwrap();
        let shown = world.networks.inspect("real").unwrap();
        assert_eq!((shown.config_from.network.as_str(), shown.labels["tier"].as_str()), ("plan", "front"));
        assert_eq!(shown.ipam.config[0].gateway, "10.60.0.9");
        assert_eq!(address_of(&world.attach_to("aa", "real", &[])), "10.60.0.1");
        let error = world.networks.remove("plan").unwrap_err().to_string();
        assert_eq!(error, "configuration network \"plan\" is in use by network real");
        real.name = "other".into();
        real.config_from = Some(hull_api_types::ConfigReference { network: "nope".into() });
        assert_eq!(world.networks.create(&real).unwrap_err().kind(), Kind::NotFound);
        real.config_from = Some(hull_api_types::ConfigReference { network: "plan".into() });
        real.labels = [("a".to_owned(), "b".to_owned())].into();
        assert_eq!(world.networks.create(&real).unwrap_err().kind(), Kind::Forbidden);
        world.networks.release(&world.id("aa")).unwrap();
        world.networks.remove("real").unwrap();
        world.networks.remove("plan").unwrap();
    });
}

/// A client that sends all the time keeps its connection tracked: it would go on talking to whom it reached first.
#[test]
fn packets_under_way_go_where_the_port_is_published_now() {
    World::run(|world| {
        let client = netns::within(world.outside.as_fd(), || {
            let socket = UdpSocket::bind("0.0.0.0:7777")?;
            socket.set_read_timeout(Some(Duration::from_millis(300)))?;
            socket.connect("10.99.0.1:5300")?;
            Ok(socket)
        })
        .unwrap();
        let ask = || {
            let mut buffer = [0; 64];
            (0..5).find_map(|_| {
                client.send(b"?").ok()?;
                client.recv(&mut buffer).ok()
            })
        };
        assert!(ask().is_none());
        for name in ["aa", "bb"] {
            let attachment = world.attach(name, &[("53/udp", "", "5300")]);
            // Another address each time: what was tracked leads to nobody.
            let holder = world.attach(&format!("{name}-holder"), &[]);
            serve_udp(netns(&attachment), "0.0.0.0:53");
            assert!(ask().is_some(), "{name}");
            world.networks.release(&world.id(name)).unwrap();
            drop(holder);
        }
    });
}

#[test]
fn a_container_that_comes_to_a_network_with_an_outside_gets_its_ports() {
    World::run(|world| {
        let mut inner = request("inner", "", &[]);
        inner.internal = true;
        world.networks.create(&inner).unwrap();
        let a = world.attach_to("aa", "inner", &[("80/tcp", "", "8080"), ("81/tcp", "", "")]);
        serve(netns(&a), "0.0.0.0:80");
        assert!(a.ports.is_empty());
        let id = world.id("aa");
        world.networks.connect("bridge", &id, netns(&a), &Default::default()).unwrap();
        let (_, ports) = world.networks.endpoints(&id).unwrap();
        assert_eq!(ports["80/tcp"].as_ref().unwrap()[0].host_port, "8080");
        assert!(reach(world.outside.as_fd(), "10.99.0.1:8080").is_ok());
        // Another network with an outside, of both families: the ports stay what they are, and IPv6 joins them.
        let random = ports["81/tcp"].as_ref().unwrap()[0].host_port.clone();
        world.networks.create(&request("web", "", &[])).unwrap();
        world.networks.connect("web", &id, netns(&a), &Default::default()).unwrap();
        let (_, ports) = world.networks.endpoints(&id).unwrap();
        let both: Vec<_> =
            ports["81/tcp"].iter().flatten().map(|b| (b.host_ip.as_str(), b.host_port.as_str())).collect();
        assert_eq!(both, [("0.0.0.0", random.as_str()), ("::", random.as_str())]);
        world.networks.disconnect("bridge", &id, Some(netns(&a))).unwrap();
        assert!(reach(world.outside.as_fd(), "10.99.0.1:8080").is_ok());
        world.networks.disconnect("web", &id, Some(netns(&a))).unwrap();
        assert!(world.networks.endpoints(&id).unwrap().1.is_empty());
        assert!(reach(world.outside.as_fd(), "10.99.0.1:8080").is_err());
    });
}
