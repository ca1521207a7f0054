//! The requests against the kernel, in network namespaces of the test's own.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;

use hull_netlink::link::{self, Veth};
use hull_netlink::{RouteSocket, address, neighbour, route};
use hull_sys::netns;

/// Runs in a fresh namespace.
fn fresh(body: impl FnOnce() + Send) {
    netns::create(|| {
        body();
        Ok(())
    })
    .unwrap();
}

const MAC: link::Mac = [2, 0x42, 10, 1, 0, 2];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_veth_pair_is_made_in_place_up_and_attached() {
    fresh(|| {
        let mut here = RouteSocket::open().unwrap();
        let (inner, mut there) = netns::create(|| Ok(RouteSocket::open().unwrap())).unwrap();
        here.run(link::create_bridge("hull0", [2, 0x42, 10, 1, 0, 1], 1400)).unwrap();
        let bridge = here.link_by_name("hull0").unwrap().unwrap();
        assert_eq!((bridge.kind.as_str(), bridge.up, bridge.mtu), ("bridge", true, 1400));
        here.run(address::add(bridge.index, ip("10.1.0.1"), 24)).unwrap();
        let veth = Veth {
            name: "veth0",
            master: bridge.index,
            mtu: 1400,
            peer_netns: inner.as_fd(),
            peer_name: "eth0",
            peer_mac: MAC,
        };
        here.run(link::create_veth(&veth)).unwrap();
        let port = here.link_by_name("veth0").unwrap().unwrap();
        assert_eq!((port.kind.as_str(), port.up, port.master, port.mtu), ("veth", true, bridge.index, 1400));
        let eth0 = there.link_by_name("eth0").unwrap().unwrap();
        assert_eq!((eth0.name.as_str(), eth0.up, eth0.mac, eth0.mtu), ("eth0", false, Some(MAC), 1400));
        assert!(there.link_by_name("veth0").unwrap().is_none());

        let settings = link::Port { hairpin: true, isolated: true };
        here.execute(&[neighbour::place_behind_port(port.index, MAC), link::set_port(port.index, settings)])
            .unwrap();
        let shown = std::process::Command::new("bridge")
            .args(["-d", "link", "show", "dev", "veth0"])
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.contains("hairpin on") && shown.contains("isolated on"), "{shown}");
        let inside = [
            address::add(eth0.index, ip("10.1.0.2"), 24),
            link::set_up(eth0.index, true),
            route::add_default(0, ip("10.1.0.1")),
        ];
        there.execute(&inside).unwrap();
        let listed = there.addresses().unwrap();
        assert!(
            listed.iter().any(|a| a.index == eth0.index && a.address == ip("10.1.0.2") && a.prefix == 24)
        );
        let routes = there.routes(false).unwrap();
        assert!(
            routes.iter().any(|r| r.destination.is_none()
                && r.gateway == Some(ip("10.1.0.1"))
                && r.index == eth0.index)
        );
        assert!(routes.iter().any(|r| r.destination == Some(ip("10.1.0.0")) && r.prefix == 24));

        // Dropping the namespace's last descriptors takes the pair away, a moment later.
        drop((inner, there));
        for _ in 0..500 {
            if here.link_by_name("veth0").unwrap().is_none() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the veth pair outlives its namespace");
    });
}

#[test]
fn links_are_changed_and_removed() {
    fresh(|| {
        let mut route = RouteSocket::open().unwrap();
        route
            .execute(&[link::create_bridge("a", MAC, 0), link::create_bridge("b", [2, 0, 0, 0, 0, 9], 0)])
            .unwrap();
        let a = route.link_by_name("a").unwrap().unwrap().index;
        route.execute(&[link::set_up(a, false), link::set_mtu(a, 1300)]).unwrap();
        let link = route.link_by_index(a).unwrap().unwrap();
        assert_eq!((link.up, link.mtu, link.mac), (false, 1300, Some(MAC)));
        let names: Vec<_> = route.links().unwrap().into_iter().map(|link| link.name).collect();
        assert!(["lo", "a", "b"].iter().all(|name| names.iter().any(|n| n == name)), "{names:?}");
        route.run(link::delete(a)).unwrap();
        assert_eq!(route.link_by_index(a).unwrap(), None);
    });
}

#[test]
fn ipv6_addresses_and_routes() {
    fresh(|| {
        let mut route = RouteSocket::open().unwrap();
        route.run(link::create_bridge("a", MAC, 0)).unwrap();
        let a = route.link_by_name("a").unwrap().unwrap().index;
        route.run(address::add(a, ip("fd00:1::2"), 64)).unwrap();
        assert!(route.addresses().unwrap().iter().any(|x| x.address == ip("fd00:1::2") && x.prefix == 64));
        route.run(route::add_default(a, ip("fd00:1::1"))).unwrap();
        assert!(route.routes(true).unwrap().iter().any(|r| r.gateway == Some(ip("fd00:1::1"))));
        route.run(route::delete_default(a, ip("fd00:1::1"))).unwrap();
    });
}

#[test]
fn errors_name_the_act_and_the_kernels_reason() {
    fresh(|| {
        let mut route = RouteSocket::open().unwrap();
        route.run(link::create_bridge("a", MAC, 0)).unwrap();
        let error = route.run(link::create_bridge("a", MAC, 0)).unwrap_err();
        assert!(error.is_exists(), "{error}");
        assert!(error.to_string().starts_with("cannot create the bridge a: File exists"), "{error}");
        let error = route.run(route::add_default(1, ip("10.0.0.1"))).unwrap_err();
        assert!(error.to_string().starts_with("cannot add the default route via 10.0.0.1: "), "{error}");
        // The kernel's own words.
        assert!(error.to_string().contains('('), "{error}");
        assert!(route.run(link::delete(99)).unwrap_err().is_missing());
        // Of several, the first that failed is told of.
        let several = [link::set_mtu(1, 65536), link::delete(98), link::delete(97)];
        assert!(route.execute(&several).unwrap_err().to_string().contains("link 98"));
        let gone = route.run(address::delete(1, Ipv4Addr::LOCALHOST.into(), 8)).unwrap_err();
        assert!(gone.is_missing(), "{gone}");
    });
}

#[test]
fn long_dumps_are_read_whole() {
    fresh(|| {
        let mut route = RouteSocket::open().unwrap();
        let bridges: Vec<_> =
            (0..100u8).map(|n| link::create_bridge(&format!("b{n}"), [2, 0, 0, 0, 1, n], 0)).collect();
        route.execute(&bridges).unwrap();
        assert!(route.links().unwrap().len() > 100);
    });
}
