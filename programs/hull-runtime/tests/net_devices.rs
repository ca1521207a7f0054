//! `linux.netDevices`: interfaces of the host that move into the container.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use serde_json::json;
use std::process::{Child, Command};
use support::Bundle;

/// A network namespace that stands for the host's.
struct Host(Child);

impl Host {
    fn new() -> Self {
        let child = Command::new("unshare").args(["--net", "--", "sleep", "infinity"]).spawn().unwrap();
        let host = Self(child);
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let path = format!("/proc/{}/ns/net", host.0.id());
        while std::fs::read_link(&path).unwrap() == own {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        host
    }

    fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside
            .arg(format!("--net=/proc/{}/ns/net", self.0.id()))
            .arg(command.get_program())
            .args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            inside.current_dir(directory);
        }
        inside
    }

    fn ip(&self, line: &str) -> String {
        let mut command = Command::new("ip");
        command.args(line.split(' '));
        let output = self.inside(&command).output().unwrap();
        assert!(output.status.success(), "ip {line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_device_moves_with_its_addresses_under_its_new_name() {
    let host = Host::new();
    host.ip("link add one type veth peer name other");
    host.ip("addr add 10.99.1.2/24 dev one");
    host.ip("addr add fd00:99::2/64 dev one nodad");
    host.ip("link set one mtu 1400 up");
    let mut bundle = Bundle::new(
        "cat /sys/class/net/eth7/mtu /sys/class/net/eth7/flags; cat /proc/net/fib_trie /proc/net/if_inet6",
    );
    bundle.spec["linux"]["netDevices"] = json!({"one": {"name": "eth7"}});
    bundle.save();
    let output = host.inside(&bundle.command(&["run", "ID"])).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(said.starts_with("1400\n"), "{said}");
    let flags = said.lines().nth(1).unwrap().trim_start_matches("0x");
    assert_eq!(u32::from_str_radix(flags, 16).unwrap() & 1, 1, "it is up: {said}");
    assert!(said.contains("10.99.1.2"), "{said}");
    assert!(said.contains("fd000099000000000000000000000002"), "{said}");
    // It went with the container's namespace, for a veth is no hardware that comes back.
    assert!(!host.ip("-o link").contains(" one"));
}

#[test]
fn what_cannot_move_is_named_and_nothing_is_left() {
    let host = Host::new();
    let mut bundle = Bundle::new("true");
    bundle.spec["linux"]["netDevices"] = json!({"nowhere": {}});
    bundle.save();
    let output = host.inside(&bundle.command(&["run", "ID"])).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("\"nowhere\"") && said.contains("no such network device"),
        "{said}"
    );
    bundle.assert_nothing_left();
    bundle.remove_namespace("network");
    assert!(bundle.failure().contains("linux.netDevices need a network namespace"));
    bundle.spec["linux"]["netDevices"] = json!({"a/b": {}});
    bundle.spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "network"}));
    assert!(bundle.failure().contains("invalid name"));
}
