//! Batches against the kernel, in network namespaces of the test's own. `nft` shows what came of them.
#![allow(clippy::unwrap_used)]

use std::net::Ipv4Addr;
use std::process::Command;

use hull_nft::{
    BaseChain, Batch, Chain, ChainKind, Change, Datatype, Element, Family, Hook, NftSocket, Policy,
    RuleBuilder, Set, Value, Verdict, ct_state, ct_status,
};
use hull_sys::netns;

fn fresh(body: impl FnOnce() + Send) {
    netns::create(|| {
        body();
        Ok(())
    })
    .unwrap();
}

fn ruleset() -> String {
    let output = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn ports() -> Set {
    Set::map("ports", &[Datatype::Protocol, Datatype::Port], &[Datatype::Ipv4Address, Datatype::Port])
}

fn element(port: u16) -> Element {
    let value = Value::new().ipv4(Ipv4Addr::new(172, 17, 0, 2)).port(80);
    Element::with_value(&ports(), Value::new().protocol(6).port(port), value)
}

fn interval_sets() -> [Set; 2] {
    let own = Set::of_intervals("own", &[Datatype::Ipv4Address, Datatype::InterfaceName]);
    [own, Set::of_intervals("hidden", &[Datatype::Ipv4Address])]
}

/// `N.N.0.0/16`, with a bridge and without.
fn subnet(number: u8) -> [Change; 2] {
    let ends = [[number, number, 0, 0], [number, number, 255, 255]].map(|end| Value::new().ipv4(end.into()));
    let [own, hidden] = interval_sets();
    let [first, last] = ends.clone().map(|end| end.interface("hull0"));
    let with_bridge = Element::range(&own, first, last);
    let [first, last] = ends;
    let alone = Element::range(&hidden, first, last);
    [Change::AddElements(own, vec![with_bridge]), Change::AddElements(hidden, vec![alone])]
}

fn base(name: &str, kind: ChainKind, hook: Hook, priority: i32) -> Change {
    let base = BaseChain { kind, hook, priority, policy: Policy::Accept };
    Change::AddChain(Chain { name: name.into(), base: Some(base) })
}

fn example() -> Batch {
    let mut batch = Batch::new(Family::Inet, "hull");
    let addressed = Set::map(
        "addressed",
        &[Datatype::Protocol, Datatype::Ipv4Address, Datatype::Port],
        &[Datatype::Ipv4Address, Datatype::Port],
    );
    let bridges = Set::new("bridges", &[Datatype::InterfaceName]);
    let pairs = Set::new("pairs", &[Datatype::InterfaceName, Datatype::InterfaceName]);
    let verdicts = Set::verdict_map("verdicts", &[Datatype::InterfaceName]);
    let own_ipv6 = Set::of_intervals("own-ipv6", &[Datatype::Ipv6Address, Datatype::InterfaceName]);
    let [own, hidden] = interval_sets();
    batch.push(Change::AddTable);
    for set in [&ports(), &addressed, &bridges, &pairs, &verdicts, &own, &hidden, &own_ipv6] {
        batch.push(Change::AddSet(set.clone()));
    }
    batch.push(base("pre", ChainKind::Nat, Hook::Prerouting, -100));
    batch.push(base("fwd", ChainKind::Filter, Hook::Forward, 0));
    batch.push(base("post", ChainKind::Nat, Hook::Postrouting, 100));
    batch.push(Change::AddChain(Chain { name: "inner".into(), base: None }));
    let rule = RuleBuilder::new;
    batch.push(rule("pre").ipv4().destination_is_local().verdict(Verdict::Jump("inner".into())));
    batch.push(rule("inner").ipv4().dnat_by_address("addressed", false));
    batch.push(rule("inner").ipv4().dnat_by_port("ports", false));
    batch.push(rule("fwd").state(ct_state::ESTABLISHED | ct_state::RELATED).comment("replies").accept());
    batch.push(rule("fwd").status(ct_status::DNAT).accept());
    batch.push(rule("fwd").interfaces_in("pairs").accept());
    batch.push(rule("fwd").in_interface_kind_not("bridge").out_interface_in("bridges").drop());
    batch.push(
        rule("post")
            .ipv4()
            .source(Ipv4Addr::new(127, 0, 0, 0).into(), 8)
            .out_interface_in("bridges")
            .masquerade(),
    );
    batch.push(rule("post").ipv4().source_and_out_interface_in("own", false).verdict(Verdict::Return));
    batch.push(rule("post").ipv4().source_in("hidden", false).masquerade());
    batch.push(rule("post").ipv6().source_and_out_interface_in("own-ipv6", true).masquerade());
    for [own, hidden] in [17, 18, 255].map(subnet) {
        batch.push(own).push(hidden);
    }
    batch.push(Change::AddElements(ports(), vec![element(8080), element(8081)]));
    let key = Value::new().protocol(17).ipv4(Ipv4Addr::LOCALHOST).port(53);
    let value = Value::new().ipv4(Ipv4Addr::new(172, 17, 0, 3)).port(5353);
    let special = Element::with_value(&addressed, key, value);
    batch.push(Change::AddElements(addressed, vec![special]));
    let hull0 = Element::new(&bridges, Value::new().interface("hull0"));
    batch.push(Change::AddElements(bridges, vec![hull0]));
    let both = Element::new(&pairs, Value::new().interface("hull0").interface("br-1"));
    batch.push(Change::AddElements(pairs, vec![both]));
    let leads =
        Element::with_verdict(&verdicts, Value::new().interface("hull0"), Verdict::Goto("inner".into()));
    batch.push(Change::AddElements(verdicts, vec![leads]));
    batch
}

#[test]
fn the_kernel_holds_what_the_batch_says() {
    fresh(|| {
        NftSocket::open().unwrap().apply(&example()).unwrap();
        let listed = ruleset();
        for expected in [
            "table inet hull {",
            "type inet_proto . inet_service : ipv4_addr . inet_service",
            "elements = { tcp . 8080 : 172.17.0.2 . 80,",
            "udp . 127.0.0.1 . 53 : 172.17.0.3 . 5353",
            "elements = { \"hull0\" }",
            "\"hull0\" . \"br-1\"",
            "\"hull0\" : goto inner",
            "type nat hook prerouting priority dstnat; policy accept;",
            "type filter hook forward priority filter; policy accept;",
            "type nat hook postrouting priority srcnat; policy accept;",
            "meta nfproto ipv4 fib daddr type local jump inner",
            "dnat ip to meta l4proto . ip daddr . th dport map @addressed",
            "dnat ip to meta l4proto . th dport map @ports",
            "ct state established,related accept comment \"replies\"",
            "ct status dnat accept",
            "iifname . oifname @pairs accept",
            "meta iifkind != \"bridge\" oifname @bridges drop",
            "ip saddr 127.0.0.0/8 oifname @bridges masquerade",
            "ip saddr . oifname @own return",
            "ip saddr @hidden masquerade",
            "ip6 saddr . oifname @own-ipv6 masquerade",
            "elements = { 17.17.0.0/16 . \"hull0\",",
            "18.18.0.0/16 . \"hull0\",",
            "255.255.0.0/16 . \"hull0\" }",
            "elements = { 17.17.0.0/16, 18.18.0.0/16,",
            "255.255.0.0/16 }",
        ] {
            assert!(listed.contains(expected), "{expected}\nis not in\n{listed}");
        }
    });
}

#[test]
fn elements_come_and_go_and_an_element_may_be_added_twice() {
    fresh(|| {
        let mut socket = NftSocket::open().unwrap();
        socket.apply(&example()).unwrap();
        let change = |change| Batch { changes: vec![change], ..Batch::new(Family::Inet, "hull") };
        socket.apply(&change(Change::AddElements(ports(), vec![element(8080), element(9000)]))).unwrap();
        assert!(ruleset().contains("tcp . 9000"));
        socket.apply(&change(Change::DeleteElements(ports(), vec![element(8080), element(9000)]))).unwrap();
        let listed = ruleset();
        assert!(!listed.contains("8080") && !listed.contains("9000") && listed.contains("8081"), "{listed}");
        socket.apply(&change(Change::FlushSet("ports".into()))).unwrap();
        assert!(!ruleset().contains("8081"));
        socket.apply(&change(Change::FlushChain("fwd".into()))).unwrap();
        assert!(!ruleset().contains("replies"));
        for added in subnet(18).into_iter().chain(subnet(255)) {
            let Change::AddElements(set, elements) = added else { panic!("{added:?}") };
            socket.apply(&change(Change::DeleteElements(set, elements))).unwrap();
        }
        let listed = ruleset();
        assert!(listed.contains("elements = { 17.17.0.0/16 . \"hull0\" }"), "{listed}");
        assert!(listed.contains("elements = { 17.17.0.0/16 }"), "{listed}");
    });
}

#[test]
fn a_batch_is_made_wholly_or_not_at_all() {
    fresh(|| {
        let mut socket = NftSocket::open().unwrap();
        socket.apply(&example()).unwrap();
        let before = ruleset();
        let mut batch = Batch::new(Family::Inet, "hull");
        batch.push(Change::FlushChain("fwd".into()));
        batch.push(Change::AddElements(ports(), vec![element(9000)]));
        batch.push(RuleBuilder::new("nowhere").accept());
        let error = socket.apply(&batch).unwrap_err();
        assert_eq!(error.errno(), Some(2));
        assert!(
            error.to_string().starts_with("cannot add a rule to the chain nowhere of table hull"),
            "{error}"
        );
        assert_eq!(ruleset(), before);
        // The socket is usable after an error.
        batch.changes.pop();
        socket.apply(&batch).unwrap();
        assert!(ruleset().contains("tcp . 9000"));
    });
}

#[test]
fn a_table_is_replaced_in_one_batch() {
    fresh(|| {
        let mut socket = NftSocket::open().unwrap();
        let mut batch = Batch::new(Family::Inet, "hull");
        batch.push(Change::AddTable).push(Change::DeleteTable);
        batch.changes.extend(example().changes);
        socket.apply(&batch).unwrap();
        let once = ruleset();
        socket.apply(&batch).unwrap();
        assert_eq!(ruleset(), once);
    });
}

#[test]
fn thousands_of_elements_fit_one_batch() {
    fresh(|| {
        let mut socket = NftSocket::open().unwrap();
        let mut batch = example();
        batch.push(Change::AddElements(ports(), (10_000..30_000).map(element).collect()));
        socket.apply(&batch).unwrap();
        assert_eq!(ruleset().matches("tcp . ").count(), 20_002);
    });
}
