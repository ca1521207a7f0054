//! Real IPv6 traffic: what `traffic` shows of IPv4, and what only IPv6 has.
#![allow(clippy::unwrap_used)]

mod world;

use std::os::fd::{AsFd, BorrowedFd};

use hull_api_types::{EndpointSettings, IpamConfig, NetworkCreateRequest};
use hull_netlink::{RouteSocket, address, route};
use hull_network::{Attachment, BridgeAddresses, NetworksConfig};
use hull_sys::netns;
use world::{World, reach, serve, serve_udp, udp_reach};

const OUTSIDE: &str = "fd99::2";
const HOST: &str = "[fd99::1]";

/// Whether packet filters see bridged packets is the host's affair: here they don't.
fn run(test: impl FnOnce(&mut World) + Send) {
    run_on(|world| {
        world::without_bridge_netfilter();
        test(world);
    });
}

/// With br_netfilter, and without.
fn run_on_both(test: impl Fn(&mut World) + Send + Sync) {
    run(&test);
    run_on(&test);
}

/// A host whose default bridge has IPv6, and an outside host that reaches it so.
fn run_on(test: impl FnOnce(&mut World) + Send) {
    let configure = |config: &mut NetworksConfig| {
        config.ipv6 = true;
        config.ipv6_addresses =
            BridgeAddresses { fixed_cidr: Some("fd17::/64".into()), ..BridgeAddresses::default() };
    };
    World::run_with(configure, |world| {
        let give =
            |netns: BorrowedFd<'_>, name: &'static str, own: &'static str, gateway: Option<&'static str>| {
                netns::within(netns, move || {
                    let mut socket = RouteSocket::open().unwrap();
                    let index = socket.link_by_name(name).unwrap().unwrap().index;
                    socket.run(address::add(index, own.parse().unwrap(), 64)).unwrap();
                    if let Some(gateway) = gateway {
                        socket.run(route::add_default(index, gateway.parse().unwrap())).unwrap();
                    }
                    Ok(())
                })
                .unwrap();
            };
        give(world.host.as_fd(), "up0", "fd99::1", None);
        give(world.outside.as_fd(), "eth0", OUTSIDE, Some("fd99::1"));
        wait_for_link_local();
        test(world);
    });
}

/// The host asks its neighbours under that address, once it knows that nobody else has it.
fn wait_for_link_local() {
    const TENTATIVE: u8 = 0x40;
    let is_ready = |line: &str| {
        let mut words = line.split_whitespace();
        let (address, flags, name) = (words.next()?, words.nth(3)?, words.next()?);
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Some(name == "up0" && address.starts_with("fe80") && flags & TENTATIVE == 0)
    };
    while !std::fs::read_to_string("/proc/thread-self/net/if_inet6")
        .unwrap()
        .lines()
        .any(|line| is_ready(line).unwrap_or(false))
    {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn netns(attachment: &Attachment) -> BorrowedFd<'_> {
    attachment.netns.as_ref().unwrap().as_fd()
}

fn ipv6_of(attachment: &Attachment) -> String {
    attachment.endpoints[0].1.global_ipv6_address.clone()
}

#[test]
fn a_published_port_is_reached_by_ipv6_from_everywhere() {
    run_on_both(|world| {
        let ports = [("80/tcp", "", "8080"), ("53/udp", "", "5300"), ("81/tcp", "fd99::1", "8081")];
        let a = world.attach("aa", &ports);
        let b = world.attach("bb", &[]);
        assert_eq!(ipv6_of(&a), "fd17::2");
        let settings = &a.endpoints[0].1;
        assert_eq!((settings.ipv6_gateway.as_str(), settings.global_ipv6_prefix_len), ("fd17::1", 64));
        let shown = serde_json::to_string(&a.ports["80/tcp"]).unwrap();
        assert_eq!(shown, r#"[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}]"#);
        assert!(a.hosts.ends_with("172.17.0.2\taa-host\nfd17::2\taa-host\n"), "{}", a.hosts);
        serve(netns(&a), "[::]:80");
        serve(netns(&a), "[::]:81");
        serve_udp(netns(&a), "[::]:53");
        serve(world.outside.as_fd(), "[::]:80");
        let host = world.host.as_fd();
        // With the client's own address; IPv4 as before.
        assert_eq!(reach(world.outside.as_fd(), &format!("{HOST}:8080")).unwrap(), OUTSIDE);
        assert_eq!(reach(world.outside.as_fd(), "10.99.0.1:8080").unwrap(), "::ffff:10.99.0.2");
        assert_eq!(udp_reach(world.outside.as_fd(), &format!("{HOST}:5300")).unwrap(), OUTSIDE);
        assert_eq!(reach(world.outside.as_fd(), &format!("{HOST}:8081")).unwrap(), OUTSIDE);
        // By the host's loopback, by its address; by neighbours and by itself.
        assert_eq!(reach(host, "[::1]:8080").unwrap(), "fd17::1");
        assert_eq!(udp_reach(host, "[::1]:5300").unwrap(), "fd17::1");
        assert!(reach(host, &format!("{HOST}:8080")).is_ok());
        assert!(reach(host, "[::1]:8081").is_err());
        assert!(reach(netns(&b), &format!("{HOST}:8080")).is_ok());
        assert!(reach(netns(&a), &format!("{HOST}:8080")).is_ok());
        // Neighbours directly, the outside only what is published, and out behind the host's address.
        assert_eq!(reach(netns(&b), "[fd17::2]:80").unwrap(), "fd17::3");
        assert!(reach(world.outside.as_fd(), "[fd17::2]:80").is_err());
        assert_eq!(reach(netns(&b), &format!("[{OUTSIDE}]:80")).unwrap(), "fd99::1");
        world.networks.release(&world.id("aa")).unwrap();
        assert!(reach(world.outside.as_fd(), &format!("{HOST}:8080")).is_err());
    });
}

#[test]
fn ports_on_the_ipv6_loopback_are_the_hosts_alone() {
    run_on_both(|world| {
        let a = world.attach("aa", &[("80/tcp", "::1", "8080")]);
        serve(netns(&a), "[::]:80");
        assert_eq!(reach(world.host.as_fd(), "[::1]:8080").unwrap(), "fd17::1");
        for wrong in [format!("{HOST}:8080"), "10.99.0.1:8080".into(), "[fd17::2]:80".into()] {
            assert!(reach(world.outside.as_fd(), &wrong).is_err(), "{wrong}");
        }
        // The host's own services on ::1 are as they were.
        serve(world.host.as_fd(), "[::1]:9090");
        assert_eq!(reach(world.host.as_fd(), "[::1]:9090").unwrap(), "::1");
        // A neighbour that sends what is for ::1 to the host.
        for attacker in [world.outside.as_fd(), netns(&a)] {
            netns::within(attacker, || {
                let mut socket = RouteSocket::open().unwrap();
                let lo = socket.link_by_name("lo").unwrap().unwrap().index;
                socket.run(address::delete(lo, "::1".parse().unwrap(), 128)).unwrap();
                let eth0 = socket.link_by_name("eth0").unwrap().unwrap().index;
                socket.run(route::add_on_link(eth0, "::1".parse().unwrap(), 128)).unwrap();
                Ok(())
            })
            .unwrap();
            assert!(reach(attacker, "[::1]:8080").is_err());
            assert!(reach(attacker, "[::1]:9090").is_err());
        }
    });
}

#[test]
fn ports_of_several_networks_are_on_the_ipv6_loopback_and_no_container_comes_by_it() {
    run_on_both(|world| {
        for name in ["one", "two"] {
            let request = NetworkCreateRequest { name: name.into(), ..Default::default() };
            world.networks.create(&request).unwrap();
        }
        let a = world.attach_to(
            "aa",
            "one",
            &[("80/tcp", "", "8080"), ("80/tcp", "::1", "8090"), ("53/udp", "", "5300")],
        );
        let b = world.attach_to("bb", "two", &[("80/tcp", "", "8081")]);
        serve(netns(&a), "[::]:80");
        serve(netns(&b), "[::]:80");
        let host = world.host.as_fd();
        let gateway = a.endpoints[0].1.ipv6_gateway.clone();
        for _ in 0..2 {
            assert_eq!(reach(host, "[::1]:8080").unwrap(), gateway);
            assert_eq!(reach(host, "[::1]:8090").unwrap(), gateway);
            assert_eq!(reach(host, "[::1]:8081").unwrap(), b.endpoints[0].1.ipv6_gateway);
            assert_eq!(reach(host, &format!("[{}]:80", ipv6_of(&b))).unwrap(), b.endpoints[0].1.ipv6_gateway);
            // As after another network, or what another program flushed.
            world.networks.reconcile().unwrap();
        }
        // A host's own rules trust its loopback: from a published port, too, nothing gets in there but replies.
        serve_udp(host, "[::]:9053");
        assert!(udp_reach(netns(&a), &format!("[{gateway}]:9053")).is_ok());
        let attack = netns::within(netns(&a), || {
            let socket = std::net::UdpSocket::bind("[::]:53")?;
            socket.set_read_timeout(Some(std::time::Duration::from_millis(500)))?;
            socket.send_to(b"?", format!("[{gateway}]:9053"))?;
            socket.recv(&mut [0; 64])
        });
        assert!(attack.is_err());
        world.networks.release(&world.id("aa")).unwrap();
        assert!(reach(host, "[::1]:8080").is_err());
        assert!(reach(host, "[::1]:8081").is_ok());
    });
}

#[test]
fn user_networks_have_both_families_and_are_apart() {
    run(|world| {
        let create = |name: &str, ipv4: Option<bool>, ipv6: Option<bool>, internal| {
            let request = NetworkCreateRequest {
                name: name.into(),
                enable_ipv4: ipv4,
                enable_ipv6: ipv6,
                internal,
                ..Default::default()
            };
            world.networks.create(&request).unwrap();
            world.networks.inspect(name).unwrap()
        };
        let both = create("both", None, None, false);
        assert!(both.enable_ipv4 && both.enable_ipv6);
        let subnets: Vec<&str> = both.ipam.config.iter().map(|config| config.subnet.as_str()).collect();
        assert_eq!(subnets[0], "172.18.0.0/16");
        assert!(subnets[1].starts_with("fd") && subnets[1].ends_with("/64"), "{subnets:?}");
        let four = create("four", None, Some(false), false);
        assert!(!four.enable_ipv6 && four.ipam.config.len() == 1);
        let six = create("six", Some(false), Some(true), false);
        assert!(!six.enable_ipv4 && six.ipam.config.len() == 1);
        create("inner", None, None, true);
        let a = world.attach_to("aa", "both", &[]);
        let b = world.attach_to("bb", "six", &[("80/tcp", "", "8080")]);
        let c = world.attach_to("cc", "inner", &[]);
        let d = world.attach_to("dd", "inner", &[]);
        assert_eq!(b.endpoints[0].1.ip_address, "");
        assert_eq!(
            serde_json::to_string(&b.ports).unwrap(),
            r#"{"80/tcp":[{"HostIp":"::","HostPort":"8080"}]}"#
        );
        for each in [&a, &b, &c] {
            serve(netns(each), "[::]:80");
        }
        serve(world.outside.as_fd(), "[::]:80");
        assert!(reach(netns(&a), &format!("[{}]:80", ipv6_of(&b))).is_err());
        assert!(reach(netns(&a), &format!("{HOST}:8080")).is_ok());
        assert_eq!(reach(netns(&b), &format!("[{OUTSIDE}]:80")).unwrap(), "fd99::1");
        assert!(reach(netns(&d), &format!("[{}]:80", ipv6_of(&c))).is_ok());
        for beyond in [format!("[{OUTSIDE}]:80"), format!("[{}]:80", ipv6_of(&a)), format!("{HOST}:8080")] {
            assert!(reach(netns(&d), &beyond).is_err(), "{beyond}");
        }
        let refused = |ipv4, ipv6| {
            let (enable_ipv4, enable_ipv6) = (Some(ipv4), Some(ipv6));
            let request =
                NetworkCreateRequest { name: "x".into(), enable_ipv4, enable_ipv6, ..Default::default() };
            world.networks.create(&request).unwrap_err().to_string()
        };
        assert_eq!(refused(false, false), "IPv4 or IPv6 must be enabled");
        let bound = world.networks.attach(&world.request("ee", "four", &[("80/tcp", "::1", "8081")]));
        assert!(bound.unwrap_err().to_string().contains("the container has no IPv6 address"));
    });
}

/// CVE-2020-13401: what a container advertises configures neither other containers nor the host.
/// CVE-2024-32473: a network without IPv6 gives its containers none.
#[test]
fn cve_2020_13401_cve_2024_32473_containers_take_no_router_advertisements_and_no_stray_ipv6() {
    run(|world| {
        let request =
            NetworkCreateRequest { name: "four".into(), enable_ipv6: Some(false), ..Default::default() };
        world.networks.create(&request).unwrap();
        let (a, b) = (world.attach("aa", &[]), world.attach_to("bb", "four", &[]));
        let read = |netns: BorrowedFd<'_>, path: &str| {
            let path = path.to_owned();
            netns::within(netns, move || std::fs::read_to_string(path)).unwrap()
        };
        for (attachment, disabled) in [(&a, "0"), (&b, "1")] {
            let setting = |key| read(netns(attachment), &format!("/proc/sys/net/ipv6/conf/eth0/{key}"));
            assert_eq!(setting("accept_ra").trim(), "0");
            assert_eq!(setting("disable_ipv6").trim(), disabled);
        }
        let own = read(netns(&b), "/proc/thread-self/net/if_inet6");
        assert!(own.lines().all(|line| line.ends_with(" lo")), "{own}");
        let four = format!("br-{}", &world.networks.inspect("four").unwrap().id[..12]);
        for (interface, disabled) in [("hull0", "0"), (four.as_str(), "1")] {
            let setting =
                |key| read(world.host.as_fd(), &format!("/proc/sys/net/ipv6/conf/{interface}/{key}"));
            assert_eq!(setting("accept_ra").trim(), "0");
            assert_eq!(setting("disable_ipv6").trim(), disabled);
        }
        // What the host's own interfaces took of routers they go on taking, though it forwards now.
        assert_eq!(read(world.host.as_fd(), "/proc/sys/net/ipv6/conf/all/forwarding").trim(), "1");
        assert_eq!(read(world.host.as_fd(), "/proc/sys/net/ipv6/conf/up0/accept_ra").trim(), "2");
    });
}

#[test]
fn addresses_that_are_asked_for_and_links_own() {
    run(|world| {
        let config = |subnet: &str, range: &str| IpamConfig {
            subnet: subnet.into(),
            ip_range: range.into(),
            ..Default::default()
        };
        let mut request = NetworkCreateRequest { name: "web".into(), ..Default::default() };
        request.ipam.get_or_insert_default().config =
            vec![config("fd20::/64", "fd20::ff00/120"), config("10.20.0.0/24", "")];
        world.networks.create(&request).unwrap();
        let auto = world.attach_to("aa", "web", &[]);
        assert_eq!(ipv6_of(&auto), "fd20::ff00");
        let mut settings = EndpointSettings::default();
        let ipam = settings.ipam_config.get_or_insert_default();
        ipam.ipv6_address = "fd20::77".into();
        ipam.link_local_ips = vec!["169.254.8.8".into(), "fe80::8:8".into()];
        settings.driver_opts = Some(
            [
                ("com.docker.network.endpoint.ifname".to_owned(), "web0".to_owned()),
                (
                    "com.docker.network.endpoint.sysctls".to_owned(),
                    "net.ipv4.conf.IFNAME.log_martians=1".to_owned(),
                ),
            ]
            .into(),
        );
        let mut wanted = world.request("bb", "web", &[]);
        wanted.endpoints = vec![("web".into(), settings.clone())];
        let b = world.networks.attach(&wanted).unwrap();
        assert_eq!(ipv6_of(&b), "fd20::77");
        let (addresses, martians) = netns::within(netns(&b), || {
            let mut socket = RouteSocket::open().unwrap();
            let index = socket.link_by_name("web0").unwrap().unwrap().index;
            let own = socket.addresses().unwrap().into_iter().filter(|entry| entry.index == index);
            let own: Vec<String> = own.map(|entry| format!("{}/{}", entry.address, entry.prefix)).collect();
            Ok((own, std::fs::read_to_string("/proc/sys/net/ipv4/conf/web0/log_martians")?))
        })
        .unwrap();
        for expected in ["10.20.0.3/24", "fd20::77/64", "169.254.8.8/16", "fe80::8:8/64"] {
            assert!(addresses.iter().any(|own| own == expected), "{expected}: {addresses:?}");
        }
        assert_eq!(martians.trim(), "1");
        let refused = |change: &dyn Fn(&mut EndpointSettings)| {
            let mut settings = EndpointSettings::default();
            settings.ipam_config.get_or_insert_default();
            change(&mut settings);
            let mut wanted = world.request("cc", "web", &[]);
            wanted.endpoints = vec![("web".into(), settings)];
            world.networks.attach(&wanted).unwrap_err().to_string()
        };
        let ip6 = |text: &'static str| {
            move |settings: &mut EndpointSettings| {
                settings.ipam_config.as_mut().unwrap().ipv6_address = text.into();
            }
        };
        assert!(refused(&ip6("fd20::77")).contains("already in use"));
        assert!(refused(&ip6("fd21::77")).contains("no configured subnet contains it"));
        assert!(refused(&ip6("10.20.0.9")).contains("invalid IPv6 address"));
        let sysctl = |text: &'static str| {
            move |settings: &mut EndpointSettings| {
                let key = "com.docker.network.endpoint.sysctls".to_owned();
                settings.driver_opts = Some([(key, text.to_owned())].into());
            }
        };
        for wrong in
            ["net.ipv4.ip_forward=1", "net.ipv4.conf.all.forwarding=1", "net.ipv4.conf.IFNAME.../x=1"]
        {
            assert!(refused(&sysctl(wrong)).contains("invalid endpoint sysctl"), "{wrong}");
        }
        assert_eq!(world.networks.inspect("web").unwrap().containers.len(), 2);
    });
}
