//! Faults that are won by being quick: while the runtime makes a container, someone else exchanges what its paths lead
//! to. Each goes on for a moment; `HULL_RACE_SECONDS=600 cargo nextest run -p hull-runtime race_` is the long form.
//!
//! In every case the container may be refused or be made right, but what is made, mounted or written must be inside.
#![allow(clippy::unwrap_used)]

#[path = "support/race.rs"]
mod race;
mod support;

use race::Swapper;
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use support::{Bundle, Canary};

/// Where the attacker's links lead: a directory of the host, by every way out.
fn ways_out(canary: &Canary) -> [String; 3] {
    let outside = canary.path().display().to_string();
    [
        outside.clone(),
        format!("../../../../../../../../../../../../..{outside}"),
        format!("/proc/self/root{outside}"),
    ]
}

/// A directory, and a link in its place now and then.
fn place(directory: &Path, name: &str, link: &str) -> Swapper {
    let (real, other) = (directory.join(name), directory.join(format!("{name}-other")));
    fs::create_dir_all(&real).unwrap();
    symlink(link, &other).unwrap();
    Swapper::start(&[(&real, &other)])
}

/// Runs it; if that works, it must have said this.
fn is_right_or_refused(bundle: &Bundle, wanted: &str, right: &mut u32) {
    let output = bundle.run();
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        *right += 1;
        assert_eq!(said.trim(), wanted, "{output:?}");
    } else {
        assert!(!output.stderr.is_empty(), "{output:?}");
    }
}

/// Two containers share a volume; one exchanges a mount's place while the other is made. A mount that is not in the
/// container's own list has landed on the host's tree.
#[test]
fn race_cve_2021_30465_the_place_of_a_mount_is_exchanged() {
    let mut bundle = Bundle::new("grep -c size=776k /proc/self/mountinfo");
    let canary = Canary::new(bundle.directory.path());
    let volume = bundle.directory.path().join("volume");
    fs::create_dir(&volume).unwrap();
    bundle
        .add_mount(json!({"destination": "/volume", "type": "bind", "source": volume, "options": ["rbind"]}));
    let mut attackers = Vec::new();
    for (name, link) in ["a", "b", "c"].iter().zip(ways_out(&canary)) {
        bundle
            .add_mount(json!({"destination": format!("/volume/{name}"), "type": "tmpfs", "source": "tmpfs",
            "options": ["size=776k"]}));
        attackers.push(place(&volume, name, &link));
    }
    let mut right = 0;
    let times = race::again_and_again(|| is_right_or_refused(&bundle, "3", &mut right));
    assert!(attackers.iter().all(|attacker| attacker.swaps() > 0) && right > 0, "{right} of {times}");
    drop(attackers);
    canary.assert_alive();
}

/// The directories above a mount's place are exchanged while they are made: nothing may be made on the host.
#[test]
fn race_cve_2024_45310_the_parents_of_a_place_are_exchanged() {
    let mut bundle = Bundle::new("test -d /volume && echo made");
    let canary = Canary::new(bundle.directory.path());
    let volume = bundle.directory.path().join("volume");
    let source = bundle.directory.path().join("source");
    fs::create_dir(&volume).unwrap();
    fs::write(&source, "").unwrap();
    bundle
        .add_mount(json!({"destination": "/volume", "type": "bind", "source": volume, "options": ["rbind"]}));
    let first = place(&volume, "a", &ways_out(&canary)[0]);
    let second = place(&volume, "b", &ways_out(&canary)[1]);
    let mounts = bundle.spec["mounts"].as_array().unwrap().len();
    let (mut right, mut number) = (0, 0);
    race::again_and_again(|| {
        // New names each time: what is there needs no making.
        number += 1;
        bundle.spec["mounts"].as_array_mut().unwrap().truncate(mounts);
        for place in ["a", "b"] {
            bundle.add_mount(
                json!({"destination": format!("/volume/{place}/d{number}/deeper/file"), "type": "bind",
                "source": source, "options": ["bind"]}),
            );
            bundle.add_mount(json!({"destination": format!("/volume/{place}/t{number}/x"), "type": "tmpfs", "source": "tmpfs"}));
        }
        is_right_or_refused(&bundle, "made", &mut right);
    });
    assert!(right > 0);
    drop((first, second));
    canary.assert_alive();
}

/// `/dev/null`, which is mounted over masked paths, is exchanged with a file of the container's: it could then write
/// what is masked.
#[test]
fn race_cve_2025_31133_the_null_device_is_exchanged() {
    let mut bundle =
        Bundle::new("for f in /masked1 /masked2 /masked3; do stat -c '%t %T' $f; echo evil >$f; done");
    // The image's own /dev, with no tmpfs over it, so that an attacker can reach it.
    bundle.spec["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|m| !m["destination"].as_str().unwrap().starts_with("/dev"));
    bundle.set_capabilities(&["MKNOD", "DAC_OVERRIDE"]);
    let canary = Canary::new(bundle.directory.path());
    let dev = bundle.root().join("dev");
    std::process::Command::new("mknod")
        .args([dev.join("null").to_str().unwrap(), "c", "1", "3"])
        .status()
        .unwrap();
    fs::write(bundle.root().join("secret"), "secret").unwrap();
    symlink("/secret", dev.join("link")).unwrap();
    fs::write(dev.join("file"), "").unwrap();
    let masked: Vec<String> = (1..4).map(|n| format!("/masked{n}")).collect();
    masked.iter().for_each(|path| fs::write(bundle.root().join(&path[1..]), "hidden").unwrap());
    bundle.spec["linux"]["maskedPaths"] = json!(masked);
    let attacker =
        Swapper::start(&[(&dev.join("null"), &dev.join("link")), (&dev.join("null"), &dev.join("file"))]);
    let mut right = 0;
    race::again_and_again(|| is_right_or_refused(&bundle, "1 3\n1 3\n1 3", &mut right));
    assert!(attacker.swaps() > 0);
    drop(attacker);
    canary.assert_alive();
    assert_eq!(fs::read_to_string(bundle.root().join("secret")).unwrap(), "secret");
}

/// `/dev/console`'s place is exchanged with a link while the terminal is mounted there.
#[test]
fn race_cve_2025_52565_the_consoles_place_is_exchanged() {
    let mut bundle = Bundle::new("tty; head -c 6 /secret");
    bundle.spec["mounts"].as_array_mut().unwrap().retain(|m| {
        let path = m["destination"].as_str().unwrap();
        !path.starts_with("/dev") || path == "/dev/pts"
    });
    bundle.spec["process"]["terminal"] = json!(true);
    let canary = Canary::new(bundle.directory.path());
    let dev = bundle.root().join("dev");
    fs::write(bundle.root().join("secret"), "secret").unwrap();
    fs::write(dev.join("console"), "").unwrap();
    symlink(canary.path().join("file"), dev.join("link")).unwrap();
    symlink("/proc/sysrq-trigger", dev.join("other")).unwrap();
    let console = dev.join("console");
    let attacker = Swapper::start(&[(&console, &dev.join("link")), (&console, &dev.join("other"))]);
    let mut right = 0;
    race::again_and_again(|| is_right_or_refused(&bundle, "/dev/pts/0\r\nsecret", &mut right));
    assert!(attacker.swaps() > 0 && right > 0);
    drop(attacker);
    canary.assert_alive();
}

/// A link to `/proc/sys` takes the place of a directory that something is mounted on: the kernel's parameters and
/// the security label would then be written into it.
#[test]
fn race_cve_2025_52881_a_mount_is_led_into_proc() {
    let script = "cat /proc/sys/net/ipv4/ip_forward; grep -c ' /proc/[^ ]* .*size=776k' /proc/self/mountinfo";
    let mut bundle = Bundle::new(&format!("{script}; true"));
    let volume = bundle.directory.path().join("volume");
    fs::create_dir(&volume).unwrap();
    bundle.spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    bundle
        .add_mount(json!({"destination": "/volume", "type": "bind", "source": volume, "options": ["rbind"]}));
    let mut attackers = Vec::new();
    for (name, target) in [("a", "/proc/sys"), ("b", "/proc/self/attr"), ("c", "/proc/sys/net/ipv4")] {
        bundle.add_mount(json!({"destination": format!("/volume/{name}"), "type": "tmpfs", "source": "tmpfs", "options": ["size=776k"]}));
        attackers.push(place(&volume, name, target));
    }
    let mut right = 0;
    race::again_and_again(|| is_right_or_refused(&bundle, "1\n0", &mut right));
    assert!(attackers.iter().all(|attacker| attacker.swaps() > 0) && right > 0);
}

/// `/dev` itself is a link to the host now and then, while nodes and links are made in it.
#[test]
fn race_cve_2026_41579_dev_is_exchanged() {
    let mut bundle = Bundle::new("echo ran");
    bundle.spec["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|m| !m["destination"].as_str().unwrap().starts_with("/dev"));
    let canary = Canary::new(bundle.directory.path());
    let dev = bundle.root().join("dev");
    symlink(&ways_out(&canary)[1], bundle.root().join("link")).unwrap();
    let link = bundle.root().join("link");
    let attacker = Swapper::start(&[(&dev, &link)]);
    let (mut right, mut number) = (0, 0);
    race::again_and_again(|| {
        // A new name each time: what is there needs no making.
        number += 1;
        let path = format!("/dev/null{number}");
        bundle.spec["linux"]["devices"] = json!([{"path": path, "type": "c", "major": 1, "minor": 3}]);
        is_right_or_refused(&bundle, "ran", &mut right);
    });
    assert!(attacker.swaps() > 0);
    drop(attacker);
    canary.assert_alive();
}

/// `/proc` is a link or a directory while it is mounted and guarded. Exchanging the names back later must not show what
/// is masked, or let the parameters be written: what was mounted is guarded, not what the name leads to by then.
#[test]
fn race_cve_2019_19921_proc_is_exchanged() {
    let script = "for d in /proc /link /elsewhere; do [ -d $d/sys/kernel ] || continue; \
        mkdir $d/sys/x && echo made; head -c 1 $d/timer_list; ls -A $d/acpi; done; echo end";
    let bundle = Bundle::new(script);
    let root = bundle.root();
    fs::create_dir(root.join("elsewhere")).unwrap();
    symlink("/elsewhere", root.join("link")).unwrap();
    let attacker = Swapper::start(&[(&root.join("proc"), &root.join("link"))]);
    let mut right = 0;
    race::again_and_again(|| is_right_or_refused(&bundle, "end", &mut right));
    assert!(attacker.swaps() > 0 && right > 0);
}
