//! What the runtime specification requires of operations and of a container's life (runtime.md), state by state.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::json;
use std::fs;
use support::Bundle;

/// A container in a state of its life.
fn in_state(state: &str) -> Bundle {
    let bundle = Bundle::new("sleep 1000");
    match state {
        "created" => {
            bundle.save();
            bundle.create();
        }
        "running" => bundle.start(),
        "paused" => {
            bundle.start();
            bundle.ok(&["pause", "ID"]);
        }
        _ => {
            bundle.start();
            bundle.ok(&["kill", "ID", "KILL"]);
            bundle.wait_for("stopped");
        }
    }
    assert_eq!(bundle.state()["status"], state);
    bundle
}

const STATES: [&str; 4] = ["created", "running", "paused", "stopped"];

#[test]
fn spec_runtime_state_has_its_properties() {
    let mut bundle = Bundle::new("sleep 1000");
    bundle.spec["annotations"] = json!({"a": "b"});
    bundle.start();
    let state = bundle.state();
    assert!(state["ociVersion"].as_str().unwrap().starts_with("1."));
    assert_eq!(state["id"], bundle.id.as_str());
    assert_eq!(state["bundle"], bundle.directory.path().to_str().unwrap());
    assert_eq!(state["annotations"]["a"], "b");
    assert_eq!(state["pid"], bundle.wait_for_program("sleep"));
    bundle.ok(&["kill", "ID", "KILL"]);
    bundle.wait_for("stopped");
    // It is required for created and running only.
    assert_eq!(bundle.state()["pid"], 0);
}

/// Which operation is possible in which state; what is not must change nothing.
#[test]
fn spec_runtime_operations_fit_the_state() {
    let allowed: [(&[&str], [bool; 4]); 7] = [
        (&["state", "ID"], [true; 4]),
        (&["start", "ID"], [true, false, false, false]),
        (&["kill", "ID", "CONT"], [true, true, true, false]),
        (&["pause", "ID"], [true, true, false, false]),
        (&["resume", "ID"], [false, false, true, false]),
        (&["delete", "ID"], [false, false, false, true]),
        (&["exec", "ID", "true"], [true, true, false, false]),
    ];
    for (words, states) in allowed {
        for (state, allowed) in STATES.iter().zip(states) {
            let bundle = in_state(state);
            let output = bundle.call(words);
            assert_eq!(output.status.success(), allowed, "{words:?} while {state}: {output:?}");
            if !allowed {
                assert!(!output.stderr.is_empty(), "{words:?} while {state}");
                assert_eq!(bundle.state()["status"], *state, "{words:?} while {state}");
            }
        }
    }
}

#[test]
fn spec_runtime_operations_need_an_id_that_exists() {
    let bundle = Bundle::new("true");
    bundle.save();
    for words in
        [&["state"][..], &["start"], &["kill"], &["delete"], &["exec"], &["pause"], &["resume"], &["create"]]
    {
        assert!(!bundle.fails(words).is_empty());
        if words[0] != "create" {
            let words = [words, &["no-such-container", "TERM"]].concat();
            assert!(bundle.fails(&words).contains("does not exist"), "{words:?}");
        }
    }
    for id in ["", "a/b", "..", "a b", "a:b", &"x".repeat(1025)] {
        bundle.fails(&["create", id]);
        bundle.fails(&["state", id]);
    }
    assert!(!bundle.directory.path().join("b").exists());
}

#[test]
fn spec_runtime_create_does_not_run_the_program_and_refuses_a_taken_id() {
    let mut bundle = Bundle::new("touch /ran; sleep 1000");
    bundle.save();
    bundle.create();
    assert!(bundle.fails(&["create", "ID"]).contains("exists"));
    assert!(!bundle.root().join("ran").exists());
    // What is changed in the configuration now means nothing to this container.
    bundle.spec["process"]["args"] = json!(["sh", "-c", "touch /other"]);
    bundle.save();
    bundle.ok(&["start", "ID"]);
    for _ in 0..500 {
        if bundle.root().join("ran").exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(bundle.root().join("ran").exists() && !bundle.root().join("other").exists());
}

#[test]
fn spec_runtime_a_failed_create_leaves_nothing_and_frees_the_id() {
    let mut bundle = Bundle::new("echo ok");
    bundle.spec["mounts"][0]["type"] = json!("no-such-type");
    bundle.failure();
    bundle.spec["mounts"][0]["type"] = json!("proc");
    assert_eq!(bundle.output(), "ok\n");
    // An id may be used again once its container is deleted.
    assert_eq!(bundle.output(), "ok\n");
}

#[test]
fn spec_runtime_kill_sends_the_named_signal() {
    for signal in ["TERM", "SIGTERM", "15", "term"] {
        let bundle = Bundle::new("trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.02; done");
        bundle.start();
        let said = || fs::read_to_string(bundle.directory.path().join("stdout")).unwrap();
        for _ in 0..500 {
            if said().contains("ready") {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        bundle.ok(&["kill", "ID", signal]);
        bundle.wait_for("stopped");
        assert_eq!(said(), "ready\nasked\n", "{signal}");
    }
    let bundle = in_state("running");
    for signal in ["NOPE", "65", "-1", "SIG", ""] {
        bundle.fails(&["kill", "ID", signal]);
    }
    assert_eq!(bundle.state()["status"], "running");
}

#[test]
fn spec_runtime_delete_takes_what_create_made_and_nothing_else() {
    let mut bundle = Bundle::new("sleep 1000");
    let source = bundle.directory.path().join("kept");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "kept").unwrap();
    bundle.add_mount(json!({"destination": "/kept", "type": "bind", "source": source, "options": ["rbind"]}));
    bundle.start();
    bundle.ok(&["delete", "--force", "ID"]);
    bundle.assert_nothing_left();
    assert_eq!(fs::read_to_string(source.join("file")).unwrap(), "kept");
    assert!(bundle.root().join("bin/busybox").exists());
    assert!(bundle.fails(&["delete", "ID"]).contains("does not exist"));
    bundle.ok(&["delete", "--force", "ID"]);
}

#[test]
fn spec_runtime_a_container_that_ends_before_start_is_stopped() {
    let bundle = in_state("created");
    bundle.ok(&["kill", "ID", "KILL"]);
    bundle.wait_for("stopped");
    bundle.fails(&["start", "ID"]);
    bundle.ok(&["delete", "ID"]);
    bundle.assert_nothing_left();
}
