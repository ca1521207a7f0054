//! Beside the firewalls that hosts have: ufw and firewalld, the real programs, each in a host of its own. Where one is
//! not installed its test says so and is done.
#![allow(clippy::unwrap_used)]

mod world;

use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use world::{World, reach, ruleset, serve};

const OUTSIDE: &str = "10.99.0.2";
/// Published past the host's own rules, and obeying them.
const BYPASSING: &str = "10.99.0.1:8080";
const OBEYING: &str = "10.99.0.1:9090";

fn is_installed(program: &str) -> bool {
    let is = Path::new("/usr/sbin").join(program).exists();
    if !is {
        eprintln!("{program} is not installed: not tried");
    }
    is
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{command:?}: {said:?}");
}

fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < deadline, "{what}: not within 30 seconds\n{}", ruleset());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A container with a port of each kind. Its namespace ends with what is returned.
fn published(world: &World) -> hull_network::Attachment {
    let mut request = world.request("a", "default", &[("80/tcp", "", "8080"), ("90/tcp", "", "9090")]);
    request.obey = "90".into();
    let attached = world.networks.attach(&request).unwrap();
    let netns = attached.netns.as_ref().unwrap().as_fd();
    ["0.0.0.0:80", "0.0.0.0:90"].into_iter().for_each(|address| serve(netns, address));
    attached
}

fn reached(world: &World, address: &str) -> bool {
    match reach(world.outside.as_fd(), address) {
        Ok(seen) => {
            assert_eq!(seen, OUTSIDE, "the client's own address");
            true
        }
        Err(_) => false,
    }
}

/// All that a firewall's owner may take away, at once.
fn everything_is_flushed(world: &World) {
    run(Command::new("iptables").arg("-F"));
    run(Command::new("nft").args(["flush", "ruleset"]));
    eventually("Hull's rules come back", || ruleset().contains("chain publish-obeying"));
    eventually("and with them the ports", || reached(world, BYPASSING) && reached(world, OBEYING));
}

/// ufw, with configuration and state of its own: it is started anew for each command.
const UFW: &str = r#"
    mount --bind "$1/ufw" /etc/ufw; mount --bind "$1/default" /etc/default/ufw; mount -t tmpfs run /run
    shift; exec ufw "$@""#;

#[test]
fn ufw() {
    if !is_installed("ufw") {
        return;
    }
    World::run(|world| {
        let folder = world.directory.path().to_owned();
        run(Command::new("cp").args(["-a", "/etc/ufw"]).arg(&folder));
        run(Command::new("cp").arg("/etc/default/ufw").arg(folder.join("default")));
        let ufw = |words: &str| {
            let mut command = Command::new("unshare");
            command.args(["--mount", "--propagation", "private", "sh", "-ec", UFW, "ufw"]).arg(&folder);
            run(command.args(words.split(' ')));
        };
        let _a = published(world);
        assert!(reached(world, BYPASSING) && reached(world, OBEYING), "no firewall yet");
        ufw("--force enable");
        // It drops what is forwarded, whatever Hull says: Hull names it, and its administrator lets the bridge through.
        let dropper = ["ForwardDroppedBy", "chain FORWARD of table ip filter"].map(str::to_owned);
        assert!(world.networks.firewall().info.contains(&dropper), "{:?}", world.networks.firewall());
        assert!(!reached(world, BYPASSING));
        ufw("route allow out on hull0");
        ufw("route allow in on hull0");
        let as_promised = |what: &str| {
            assert!(reached(world, BYPASSING), "{what}: it asks nobody");
            assert!(!reached(world, OBEYING), "{what}: nobody let it in");
        };
        as_promised("enabled");
        ufw("reload");
        as_promised("reloaded");
        ufw("allow 9090/tcp");
        assert!(reached(world, OBEYING));
        ufw("delete allow 9090/tcp");
        as_promised("forbidden again");
        everything_is_flushed(world);
        ufw("reload");
        as_promised("reloaded after all was flushed");
    });
}

/// Ends a program with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A bus for firewalld and its client alone.
const BUS: &str = r#"<busconfig><type>system</type><listen>unix:path=FOLDER/bus</listen><auth>EXTERNAL</auth>
    <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
    </policy></busconfig>"#;

#[test]
fn firewalld() {
    if !is_installed("firewalld") {
        return;
    }
    World::run(|world| {
        let folder = world.directory.path().to_owned();
        run(Command::new("cp").args(["-a", "/etc/firewalld"]).arg(&folder));
        std::fs::write(folder.join("bus.conf"), BUS.replace("FOLDER", folder.to_str().unwrap())).unwrap();
        let with_bus = |program: &str| {
            let mut command = Command::new(program);
            command.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", folder.join("bus").display()));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let config = format!("--config-file={}", folder.join("bus.conf").display());
        let _bus =
            Running(with_bus("dbus-daemon").args(["--nofork", "--nopidfile", &config]).spawn().unwrap());
        eventually("the bus is there", || folder.join("bus").exists());
        let _a = published(world);
        assert!(reached(world, BYPASSING) && reached(world, OBEYING), "no firewall yet");
        let mut firewalld = with_bus("firewalld");
        firewalld.args(["--nofork", "--nopid", "--log-target", "file"]);
        firewalld.arg("--log-file").arg(folder.join("firewalld.log"));
        firewalld.arg("--system-config").arg(folder.join("firewalld"));
        let _firewalld = Running(firewalld.spawn().unwrap());
        let is_said =
            |words: &str| with_bus("firewall-cmd").args(words.split(' ')).status().unwrap().success();
        eventually("firewalld runs", || is_said("--state"));
        let as_promised = |what: &str| {
            assert!(reached(world, BYPASSING), "{what}: it asks nobody\n{}", ruleset());
            assert!(!reached(world, OBEYING), "{what}: nobody let it in");
        };
        as_promised("started");
        assert!(is_said("--add-port=9090/tcp"));
        assert!(reached(world, OBEYING));
        assert!(is_said("--reload"));
        as_promised("reloaded");
        assert!(is_said("--add-port=9090/tcp") && is_said("--runtime-to-permanent") && is_said("--reload"));
        assert!(reached(world, BYPASSING) && reached(world, OBEYING), "for good");
        assert!(is_said("--complete-reload"));
        assert!(reached(world, BYPASSING) && reached(world, OBEYING), "reloaded with all its tables");
        everything_is_flushed(world);
    });
}
