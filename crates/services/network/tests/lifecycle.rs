//! Networks and endpoints over time: made, listed, taken over by another daemon, lost to other programs, removed.
#![allow(clippy::unwrap_used)]

mod world;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::fd::AsFd;

use hull_api_types::{Filters, NetworkCreateRequest};
use hull_errors::{HasKind, Kind};
use hull_netlink::RouteSocket;
use hull_sys::netns;
use world::{World, address_of, port, reach, ruleset, serve};

fn named(name: &str) -> NetworkCreateRequest {
    NetworkCreateRequest { name: name.into(), ..Default::default() }
}

fn filters(entries: &[(&str, &str)]) -> Filters {
    entries.iter().map(|(key, value)| ((*key).into(), vec![(*value).into()])).collect()
}

fn interfaces() -> Vec<String> {
    RouteSocket::open().unwrap().links().unwrap().into_iter().map(|link| link.name).collect()
}

#[test]
fn the_predefined_networks_are_shown_as_dockers() {
    World::run(|world| {
        let names: Vec<_> =
            world.networks.list(&Filters::new()).unwrap().into_iter().map(|n| (n.name, n.driver)).collect();
        let expected = [("host", "host"), ("none", "null"), ("bridge", "bridge")];
        for (name, driver) in expected {
            assert!(names.iter().any(|(n, d)| n == name && d == driver), "{names:?}");
        }
        world.attach("a", &[]);
        let bridge = serde_json::to_value(world.networks.inspect("bridge").unwrap()).unwrap();
        assert_eq!(bridge["IPAM"]["Config"][0]["Subnet"], "172.17.0.0/16");
        assert_eq!(bridge["IPAM"]["Config"][0]["Gateway"], "172.17.0.1");
        assert_eq!(bridge["Options"]["com.docker.network.bridge.name"], "hull0");
        assert_eq!(bridge["Options"]["com.docker.network.bridge.enable_icc"], "true");
        let row = &bridge["Containers"][world.id("a")];
        assert_eq!((row["Name"].as_str(), row["IPv4Address"].as_str()), (Some("a"), Some("172.17.0.2/16")));
        assert_eq!(row["MacAddress"], "02:42:ac:11:00:02");
        world.networks.rename(&world.id("a"), "b");
        assert_eq!(world.networks.inspect("bridge").unwrap().containers[&world.id("a")].name, "b");
        for name in ["bridge", "host", "none"] {
            let error = world.networks.remove(name).unwrap_err();
            assert_eq!(error.kind(), Kind::Forbidden);
            assert_eq!(error.to_string(), format!("{name} is a pre-defined network and cannot be removed"));
        }
    });
}

#[test]
fn networks_are_created_found_and_removed() {
    World::run(|world| {
        let networks = &world.networks;
        let mut request = named("web");
        request.labels = BTreeMap::from([("tier".to_owned(), "front".to_owned())]);
        let id = networks.create(&request).unwrap().id;
        for name in ["web", &id, &id[..4], &id[..12]] {
            assert_eq!(networks.inspect(name).unwrap().id, id);
        }
        assert_eq!(networks.inspect("nope").unwrap_err().to_string(), "network nope not found");
        let again = networks.create(&request).unwrap_err();
        assert_eq!(
            (again.kind(), again.to_string().as_str()),
            (Kind::Conflict, "network with name web already exists")
        );
        let listed = |entries: &[(&str, &str)]| -> Vec<String> {
            networks.list(&filters(entries)).unwrap().into_iter().map(|n| n.name).collect()
        };
        assert_eq!(listed(&[("type", "custom")]), ["web"]);
        assert_eq!(listed(&[("label", "tier=front")]), ["web"]);
        assert_eq!(listed(&[("label", "tier=back")]), [""; 0]);
        assert_eq!(listed(&[("name", "we"), ("driver", "bridge")]), ["web"]);
        assert_eq!(listed(&[("dangling", "true")]), ["web"]);
        assert!(networks.list(&filters(&[("colour", "red")])).is_err());
        let interface = format!("br-{}", &id[..12]);
        assert!(interfaces().contains(&interface));

        world.attach_to("a", "web", &[]);
        let busy = networks.remove("web").unwrap_err();
        assert_eq!(busy.kind(), Kind::Forbidden);
        assert!(busy.to_string().contains("network web has active endpoints (name:\"a\" id:"), "{busy}");
        networks.release(&world.id("a")).unwrap();
        networks.remove("web").unwrap();
        assert!(!interfaces().contains(&interface));
        assert!(!ruleset().contains(&interface));
        assert_eq!(networks.inspect("web").unwrap_err().kind(), Kind::NotFound);
        // Its subnet is free again.
        let id = networks.create(&named("next")).unwrap().id;
        assert_eq!(networks.inspect(&id).unwrap().ipam.config[0].subnet, "172.18.0.0/16");
    });
}

#[test]
fn what_was_asked_for_is_checked_and_clashes_are_named() {
    World::run(|world| {
        let with = |name: &str, subnet: &str, gateway: &str| {
            let mut request = named(name);
            let config = hull_api_types::IpamConfig {
                subnet: subnet.into(),
                gateway: gateway.into(),
                ..Default::default()
            };
            request.ipam.get_or_insert_default().config.push(config);
            world.networks.create(&request)
        };
        with("good", "10.20.0.0/24", "10.20.0.254").unwrap();
        for (subnet, gateway, text) in [
            ("10.20.0.0/16", "", "network good"),
            ("172.17.5.0/24", "", "network bridge"),
            ("10.99.0.0/16", "", "10.99.0.0/24 on up0"),
            ("10.21.0.0/24", "10.22.0.1", "10.22.0.1"),
            ("10.21.0.0/31", "", "10.21.0.0/31"),
            ("fd00::/127", "", "fd00::/127"),
            ("10.0.0", "", "10.0.0"),
            ("", "10.22.0.1", "needs a subnet"),
        ] {
            let error = with("bad", subnet, gateway).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
        for name in ["", "-a", "a/b", "a b", "bridge", "host"] {
            assert!(world.networks.create(&named(name)).is_err(), "{name}");
        }
        let driver = |driver: &str| {
            let request = NetworkCreateRequest { driver: driver.into(), ..named("x") };
            world.networks.create(&request).unwrap_err().kind()
        };
        assert_eq!(driver("overlay"), Kind::NotImplemented);
        assert_eq!(driver("host"), Kind::Forbidden);
        assert_eq!(driver("weave"), Kind::NotFound);
        // Nothing is left of what failed.
        assert_eq!(world.networks.list(&filters(&[("type", "custom")])).unwrap().len(), 1);
    });
}

#[test]
fn when_every_pool_is_taken_the_error_names_what_takes_them() {
    let configure = |config: &mut hull_network::NetworksConfig| {
        let pool = |base: &str, size| hull_network::AddressPool { base: base.parse().unwrap(), size };
        config.default_address_pools = vec![pool("10.98.0.0/23", 24), pool("10.99.0.0/24", 24)];
    };
    World::run_with(configure, |world| {
        assert_eq!(world.networks.inspect("bridge").unwrap().ipam.config[0].subnet, "10.98.0.0/24");
        world.networks.create(&named("a")).unwrap();
        let error = world.networks.create(&named("b")).unwrap_err().to_string();
        for text in
            ["10.98.0.0/24 by network bridge", "10.98.1.0/24 by network a", "route 10.99.0.0/24 on up0"]
        {
            assert!(error.contains(text), "{error}");
        }
    });
}

#[test]
fn pruning_takes_what_is_unused() {
    World::run(|world| {
        for name in ["idle", "stopped", "busy"] {
            world.networks.create(&named(name)).unwrap();
        }
        world.attach_to("a", "busy", &[]);
        let pruned = world.networks.prune(&Filters::new(), &["stopped".to_owned()]).unwrap();
        assert_eq!(pruned.networks_deleted, Some(vec!["idle".to_owned()]));
        assert_eq!(world.networks.prune(&filters(&[("until", "1h")]), &[]).unwrap().networks_deleted, None);
        assert!(world.networks.prune(&filters(&[("until", "soon")]), &[]).is_err());
    });
}

#[test]
fn another_daemon_takes_over_what_runs_and_lets_go_of_what_does_not() {
    World::run(|world| {
        world.networks.create(&named("web")).unwrap();
        let a = world.attach("a", &[("80/tcp", "", "8080"), ("81/tcp", "127.0.0.1", "")]);
        let b = world.attach_to("b", "web", &[("80/tcp", "", "8081")]);
        let random = port(&a, "81/tcp");
        for each in [&a, &b] {
            serve(each.netns.as_ref().unwrap().as_fd(), "0.0.0.0:80");
        }
        serve(a.netns.as_ref().unwrap().as_fd(), "0.0.0.0:81");
        let before = ruleset();
        world.restart();
        assert_eq!(ruleset(), before);
        // Before anything is claimed, nothing is given to others.
        let c = world.attach("c", &[]);
        assert_eq!(address_of(&c), "172.17.0.3");
        let again = world.networks.attach(&world.request("d", "bridge", &[("80/tcp", "", "8080")]));
        assert!(again.unwrap_err().to_string().contains("port is already allocated"));
        let claimed = world.networks.reattach(&world.id("a"), 1).unwrap().unwrap();
        assert_eq!((claimed.endpoints, claimed.ports), (a.endpoints.clone(), a.ports.clone()));
        assert!(world.networks.reattach(&world.id("nobody"), 1).unwrap().is_none());
        world.networks.reconcile().unwrap();
        for address in ["127.0.0.1:8080", &random] {
            assert!(reach(world.host.as_fd(), address).is_ok());
        }
        // b was not claimed: its port and its address are free.
        assert!(reach(world.host.as_fd(), "127.0.0.1:8081").is_err());
        assert!(world.networks.endpoints(&world.id("b")).is_none());
        let e = world.attach_to("e", "web", &[("80/tcp", "", "8081")]);
        assert_eq!(address_of(&e), address_of(&b));
        assert!(world.networks.endpoints(&world.id("c")).is_some());
    });
}

#[test]
fn a_rule_set_that_another_program_flushed_comes_back() {
    World::run(|world| {
        let a = world.attach("a", &[("80/tcp", "", "8080")]);
        serve(a.netns.as_ref().unwrap().as_fd(), "0.0.0.0:80");
        let before = ruleset();
        let flushed = std::process::Command::new("nft").args(["flush", "ruleset"]).status().unwrap();
        assert!(flushed.success());
        world.attach("b", &[("80/tcp", "", "8081")]);
        assert!(reach(world.host.as_fd(), "127.0.0.1:8080").is_ok());
        world.networks.release(&world.id("b")).unwrap();
        assert_eq!(ruleset(), before);
    });
}

#[test]
fn ports_that_are_taken_are_refused_in_dockers_words() {
    World::run(|world| {
        world.attach("a", &[("80/tcp", "127.0.0.1", "8080")]);
        let refused = |binding: (&str, &str)| {
            let request = world.request("b", "bridge", &[("80/tcp", binding.0, binding.1)]);
            world.networks.attach(&request).unwrap_err().to_string()
        };
        let error = refused(("", "8080"));
        assert!(
            error.starts_with("driver failed programming external connectivity on endpoint b ("),
            "{error}"
        );
        assert!(error.ends_with("): Bind for 0.0.0.0:8080 failed: port is already allocated"), "{error}");
        // A program of the host's.
        let _listener = TcpListener::bind("0.0.0.0:9000").unwrap();
        let error = refused(("", "9000"));
        let expected = "failed to bind host port for 0.0.0.0:9000:172.17.0.3:80/tcp: address already in use";
        assert!(error.ends_with(expected), "{error}");
        assert!(refused(("10.1.2.3", "9001")).ends_with("cannot assign requested address"));
        // What is published is held against programs of the host's.
        assert!(TcpListener::bind("127.0.0.1:8080").is_err());
        // Another address of the same port, the same port of another protocol, a range with room.
        let b = world.attach(
            "b",
            &[("80/tcp", "10.99.0.1", "8080"), ("80/udp", "", "8080"), ("81/tcp", "", "9000-9001")],
        );
        assert_eq!(port(&b, "81/tcp"), "0.0.0.0:9001");
        // Random ports are from the range of ephemeral ones, each another.
        let c = world.attach("c", &[("80/tcp", "", ""), ("81/tcp", "", "0")]);
        assert_eq!(
            (port(&c, "80/tcp").as_str(), port(&c, "81/tcp").as_str()),
            ("0.0.0.0:32768", "0.0.0.0:32769")
        );
        world.networks.release(&world.id("a")).unwrap();
        assert!(TcpListener::bind("127.0.0.1:8080").is_ok());
    });
}

#[test]
fn nothing_is_left_of_an_attachment_that_failed() {
    World::run(|world| {
        let before = (ruleset(), interfaces());
        let mut request = world.request("a", "bridge", &[("80/tcp", "", "8080")]);
        request.extra_hosts = vec!["nonsense".into()];
        assert!(world.networks.attach(&request).is_err());
        request.extra_hosts.clear();
        request.endpoints = vec![("nope".into(), Default::default())];
        assert_eq!(world.networks.attach(&request).unwrap_err().to_string(), "network nope not found");
        assert_eq!((ruleset(), interfaces()), before);
        let records = world.directory.path().join("run/network/endpoints");
        assert_eq!(std::fs::read_dir(&records).unwrap().count(), 0);
        let a = world.attach("a", &[("80/tcp", "", "8080")]);
        assert_eq!(address_of(&a), "172.17.0.2");
        assert_eq!(std::fs::read_dir(&records).unwrap().count(), 1);
        // The bridge vanishes: the attachment says so, and gives everything back.
        world.networks.teardown().unwrap();
        let error = world.networks.attach(&world.request("b", "bridge", &[])).unwrap_err();
        assert!(error.to_string().contains("hull0"), "{error}");
        assert!(world.networks.endpoints(&world.id("b")).is_none());
    });
}

#[test]
fn modes_without_a_bridge() {
    World::run(|world| {
        let host = world.attach_to("a", "host", &[("80/tcp", "", "8080")]);
        assert!(host.netns.is_none() && host.ports.is_empty());
        assert_eq!(host.endpoints[0].0, "host");
        assert_eq!(host.resolv_conf, "nameserver 10.99.0.2\n");
        let none = world.attach_to("b", "none", &[("80/tcp", "", "8080")]);
        let links = netns::within(none.netns.as_ref().unwrap().as_fd(), || Ok(interfaces())).unwrap();
        assert_eq!(links.iter().filter(|name| name.starts_with("eth")).count(), 0, "{links:?}");
        assert!(none.hosts.starts_with("127.0.0.1\tlocalhost\n") && !none.hosts.contains("b-host"));
        assert_eq!(world.networks.inspect("none").unwrap().containers[&world.id("b")].ipv4_address, "");
        let shared = world.attach_to("c", &format!("container:{}", world.id("a")), &[]);
        assert!(shared.netns.is_none() && shared.endpoints.is_empty() && shared.hosts.is_empty());
        assert_eq!(
            world.networks.attach(&world.request("d", "nope", &[])).unwrap_err().kind(),
            Kind::NotFound
        );
        assert!(
            world
                .networks
                .connect("bridge", &world.id("a"), world.host.as_fd(), &Default::default())
                .is_err()
        );
    });
}

#[test]
fn events_tell_of_networks_and_endpoints() {
    World::run(|world| {
        world.networks.create(&named("web")).unwrap();
        world.attach_to("a", "web", &[]);
        world.networks.release(&world.id("a")).unwrap();
        world.networks.remove("web").unwrap();
        let events = world.events.backlog(None, None);
        let told: Vec<_> = events.iter().map(|event| (event.kind.as_str(), event.action.as_str())).collect();
        let network = |action| ("network", action);
        assert_eq!(told, ["create", "connect", "disconnect", "destroy"].map(network));
        let attributes = &events[1].actor.attributes;
        assert_eq!(
            (attributes["container"].as_str(), attributes["name"].as_str()),
            (world.id("a").as_str(), "web")
        );
        assert_eq!(attributes["type"], "bridge");
    });
}

#[test]
fn two_hundred_containers_with_published_ports() {
    World::run(|world| {
        let mut attachments = Vec::new();
        let started = std::time::Instant::now();
        for number in 0..200 {
            attachments.push(world.attach(&format!("c{number}"), &[("80/tcp", "", "")]));
            if [0, 20, 180, 199].contains(&number) {
                eprintln!("{} attached after {:?}", number + 1, started.elapsed());
            }
        }
        let addresses: std::collections::HashSet<_> = attachments.iter().map(address_of).collect();
        assert_eq!(addresses.len(), 200);
        serve(attachments[150].netns.as_ref().unwrap().as_fd(), "0.0.0.0:80");
        let published = port(&attachments[150], "80/tcp").replace("0.0.0.0", "127.0.0.1");
        assert!(reach(world.host.as_fd(), &published).is_ok());
        drop(attachments);
        for number in 0..200 {
            world.networks.release(&world.id(&format!("c{number}"))).unwrap();
        }
        assert!(!ruleset().contains("tcp . 32"));
        assert_eq!(address_of(&world.attach("last", &[])), "172.17.0.2");
    });
}

#[test]
fn the_bridge_is_what_the_configuration_says() {
    let configure = |config: &mut hull_network::NetworksConfig| {
        config.ipv4_addresses.address = Some("10.200.0.5/24".into());
        config.ipv4_addresses.fixed_cidr = Some("10.200.0.128/25".into());
        config.mtu = 1400;
        config.host_gateway = vec!["192.0.2.9".parse().unwrap()];
    };
    World::run_with(configure, |world| {
        let request = hull_network::AttachRequest {
            extra_hosts: vec!["gateway:host-gateway".into()],
            ..world.request("a", "default", &[])
        };
        let a = world.networks.attach(&request).unwrap();
        assert_eq!(address_of(&a), "10.200.0.128");
        assert_eq!(a.endpoints[0].1.gateway, "10.200.0.5");
        assert!(a.hosts.contains("192.0.2.9\tgateway\n"));
        let mtu = || Ok(RouteSocket::open().unwrap().link_by_name("eth0").unwrap().unwrap().mtu);
        assert_eq!(netns::within(a.netns.as_ref().unwrap().as_fd(), mtu).unwrap(), 1400);
    });
}

#[test]
fn who_is_in_a_network_is_told_with_every_change() {
    World::run(|world| {
        let mut web = named("web");
        let ipv6 = hull_api_types::IpamConfig { subnet: "fd20::/64".into(), ..Default::default() };
        web.ipam.get_or_insert_default().config.push(ipv6);
        let id = world.networks.create(&web).unwrap().id;
        let file = world.directory.path().join("run/network/names").join(&id);
        let told = |expected: &[&str]| {
            let text = std::fs::read_to_string(&file).unwrap();
            let mut live = std::collections::BTreeSet::new();
            for line in text.strip_prefix("hull-names 2\n").unwrap().lines() {
                let changed = match line.split_at(1) {
                    ("+", record) => live.insert(record),
                    (_, record) => live.remove(record),
                };
                assert!(changed, "{text}");
            }
            assert_eq!(live.into_iter().collect::<Vec<_>>(), expected);
        };
        let mut request = world.request("aa", "web", &[]);
        let settings = hull_api_types::EndpointSettings {
            aliases: Some(vec!["db".into(), "store".into()]),
            ..Default::default()
        };
        request.endpoints = vec![("web".into(), settings)];
        world.networks.attach(&request).unwrap();
        let b = world.attach("bb", &[]);
        let b_id = world.id("bb");
        let netns = b.netns.as_ref().unwrap().as_fd();
        world.networks.connect("web", &b_id, netns, &Default::default()).unwrap();
        let members = world.networks.members(&id);
        assert_eq!(members.len(), 2);
        let a = members.iter().find(|member| member.name == "aa").unwrap();
        assert_eq!(a.names, ["aa", "db", "store", &world.id("aa")[..12], "aa-host"]);
        assert_eq!(a.ipv4, Some("172.18.0.2".parse().unwrap()));
        assert_eq!(world.networks.named_networks(&b_id).join(" "), id);
        assert!(world.networks.reaches_outside(&b_id));
        let (a_line, b_short) =
            (format!("172.18.0.2,fd20::2 aa db store {} aa-host", &world.id("aa")[..12]), &b_id[..12]);
        told(&[&a_line, &format!("172.18.0.3,fd20::3 bb {b_short} bb-host")]);
        let resolver = std::fs::read_to_string(world.networks.resolver(&b_id).unwrap()).unwrap();
        assert!(resolver.contains(&format!("network 0 {id} web\n")), "{resolver}");
        world.networks.rename(&b_id, "cc");
        told(&[&a_line, &format!("172.18.0.3,fd20::3 cc {b_short} bb-host")]);
        world.networks.disconnect("web", &b_id, Some(netns)).unwrap();
        told(&[&a_line]);
        assert_eq!(world.networks.resolver(&b_id), None);
        world.networks.release(&world.id("aa")).unwrap();
        told(&[]);
        world.networks.remove("web").unwrap();
        assert!(!file.exists());
    });
}

#[test]
fn cve_2025_54388_rules_that_another_program_flushes_come_back_by_themselves() {
    World::run(|world| {
        let a = world.attach("a", &[("80/tcp", "", "8080"), ("81/tcp", "127.0.0.1", "8081")]);
        serve(a.netns.as_ref().unwrap().as_fd(), "0.0.0.0:80");
        let before = ruleset();
        let removals: [&[&str]; 4] = [
            &["flush", "ruleset"],
            &["delete", "table", "inet", "hull"],
            &["flush", "chain", "inet", "hull", "into-bridge"],
            &["flush", "map", "inet", "hull", "published"],
        ];
        for arguments in removals {
            assert!(std::process::Command::new("nft").args(arguments).status().unwrap().success());
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
            while ruleset() != before {
                assert!(std::time::Instant::now() < deadline, "{arguments:?}: {}", ruleset());
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            assert!(reach(world.outside.as_fd(), "10.99.0.1:8080").is_ok());
            // CVE-2025-54410: networks are apart again, and containers are closed.
            assert!(reach(world.outside.as_fd(), &format!("{}:80", address_of(&a))).is_err());
        }
    });
}
