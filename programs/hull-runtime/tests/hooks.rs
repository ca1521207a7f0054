//! Hooks: all six, in their order and places, with the state on standard input.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use std::fs;
use support::Bundle;

const POINTS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A hook that keeps its input and says where it ran.
fn hook(point: &str, log: &str) -> Value {
    let script = format!(
        "(cat; echo; readlink /proc/self/ns/mnt; readlink /proc/self/ns/uts; echo \"$HOOK $0 $#\") >{log}/{point}.txt; \
         echo {point} >>{log}/order"
    );
    json!([{"path": "/bin/sh", "args": ["sh", "-c", script, "zero", "one"], "env": [format!("HOOK={point}")]}])
}

#[test]
fn all_six_run_in_their_order_with_the_state_on_standard_input() {
    let mut bundle =
        Bundle::new("echo program >>/tmp/order; readlink /proc/self/ns/mnt; readlink /proc/self/ns/uts; cat");
    bundle.spec["annotations"] = json!({"a.b": "c"});
    let log = bundle.root().join("tmp").display().to_string();
    for point in POINTS {
        // From startContainer on paths are the container's.
        let place = if point == "startContainer" { "/tmp" } else { &log };
        bundle.spec["hooks"][point] = hook(point, place);
    }
    bundle.save();
    bundle.create();
    let read = |name: &str| fs::read_to_string(bundle.root().join("tmp").join(name)).unwrap();
    assert_eq!(read("order"), "prestart\ncreateRuntime\ncreateContainer\n");
    bundle.ok(&["start", "ID"]);
    bundle.wait_for("stopped");
    bundle.ok(&["delete", "ID"]);
    let order = read("order");
    let order: Vec<&str> = order.lines().filter(|line| *line != "program").collect();
    assert_eq!(order, POINTS);

    let host = |kind: &str| fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string();
    let inside = fs::read_to_string(bundle.directory.path().join("stdout")).unwrap();
    for point in POINTS {
        let text = read(&format!("{point}.txt"));
        let mut lines = text.lines();
        let state: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        let status = match point {
            "prestart" | "createRuntime" | "createContainer" => "creating",
            "startContainer" => "created",
            "poststart" => "running",
            _ => "stopped",
        };
        assert_eq!(state["status"], status, "{point}");
        assert_eq!(state["id"], bundle.id.as_str());
        assert_eq!(state["ociVersion"], "1.3.0");
        assert_eq!(state["annotations"], json!({"a.b": "c"}));
        assert_eq!(state["bundle"], bundle.directory.path().to_str().unwrap());
        let is_inside = matches!(point, "createContainer" | "startContainer");
        let (mount, uts) = (lines.next().unwrap(), lines.next().unwrap());
        if is_inside {
            assert!(inside.contains(mount) && inside.contains(uts), "{point}: {text} in {inside}");
        } else {
            assert_eq!((mount, uts), (host("mnt").as_str(), host("uts").as_str()), "{point}");
        }
        assert_eq!(lines.next().unwrap(), format!("{point} zero 1"));
    }
}

#[test]
fn a_hook_that_fails_or_hangs_ends_the_container() {
    for (point, script) in
        [("prestart", "exit 3"), ("createRuntime", "sleep 60"), ("createContainer", "exit 3")]
    {
        let mut bundle = Bundle::new("echo ran");
        bundle.spec["hooks"][point] =
            json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 1}]);
        let said = bundle.failure();
        assert!(said.contains(&format!("{point} hook #0")), "{said}");
        assert!(
            said.contains(if script == "exit 3" { "exit status: 3" } else { "timed out after 1s" }),
            "{said}"
        );
    }
}

#[test]
fn after_the_start_a_failing_hook_stops_the_container() {
    let mut bundle = Bundle::new("sleep 100");
    bundle.spec["hooks"]["poststart"] = json!([{"path": "/bin/false"}]);
    bundle.save();
    bundle.create();
    assert!(bundle.fails(&["start", "ID"]).contains("poststart hook #0"));
    bundle.wait_for("stopped");
}

#[test]
fn after_the_end_a_failing_hook_is_warned_of_and_the_others_run() {
    let mut bundle = Bundle::new("true");
    let mark = bundle.directory.path().join("mark");
    bundle.spec["hooks"]["poststop"] = json!([{"path": "/bin/false"}, {"path": "/bin/sh", "args": ["sh", "-c", format!("echo x >{}", mark.display())]}]);
    let output = bundle.run();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("poststop hook #0"), "{output:?}");
    assert!(mark.exists());
    bundle.assert_nothing_left();
}

#[test]
fn hooks_are_checked_before_anything_is_made() {
    for (hook, word) in [
        (json!({"path": "true"}), "path must be absolute"),
        (json!({"path": "/bin/true", "timeout": -1}), "timeout"),
    ] {
        let mut bundle = Bundle::new("true");
        bundle.spec["hooks"] = json!({"poststop": [hook]});
        let said = bundle.failure();
        assert!(said.contains("hooks.poststop[0]") && said.contains(word), "{said}");
    }
}
