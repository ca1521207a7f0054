//! `events`: the stream of statistics and shortages, against a container that runs out of memory.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use support::Bundle;

#[test]
fn the_stream_has_statistics_and_shortages_and_ends_with_the_container() {
    let mut bundle = Bundle::new(
        "while [ ! -e /tmp/go ]; do sleep 0.05; done; head -c 100000000 /dev/zero | tail -c 90000000 >/dev/null; \
         while [ ! -e /tmp/end ]; do sleep 0.05; done",
    );
    std::os::unix::fs::symlink("busybox", bundle.root().join("bin/tail")).unwrap();
    bundle.spec["linux"]["resources"] = json!({"memory": {"limit": 20_000_000, "swap": 20_000_000}});
    bundle.start();
    let mut events =
        bundle.command(&["events", "--interval", "100ms", "ID"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    let mut next = || -> Option<Value> { Some(serde_json::from_str(&lines.next()?.unwrap()).unwrap()) };
    let first = next().unwrap();
    assert_eq!((&first["type"], &first["id"]), (&json!("stats"), &json!(bundle.id)));
    assert!(first["data"]["memory"]["usage"]["usage"].as_u64().unwrap() > 0, "{first}");
    assert!(first["data"]["pids"]["current"].as_u64().unwrap() > 0, "{first}");
    let touch = |name: &str| std::fs::write(bundle.root().join("tmp").join(name), "").unwrap();
    touch("go");
    let shortage = std::iter::from_fn(&mut next).find(|event| event["type"] == "oom").unwrap();
    assert_eq!(shortage, json!({"type": "oom", "id": bundle.id}));
    touch("end");
    // The stream ends by itself.
    while next().is_some() {}
    assert!(events.wait().unwrap().success());
    assert!(bundle.fails(&["events", "ID"]).contains("is not running"));
}

#[test]
fn an_interval_is_a_time() {
    let bundle = Bundle::new("sleep 100");
    bundle.start();
    for bad in ["0s", "x", "5"] {
        assert!(bundle.fails(&["events", "--interval", bad, "ID"]).contains("interval"));
    }
    let once: Value = serde_json::from_str(&bundle.ok(&["events", "--stats", "ID"])).unwrap();
    assert_eq!(once["type"], "stats");
}
