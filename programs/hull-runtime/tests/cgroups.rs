//! Groups: where `exec` puts a process, and what `update` takes.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::path::PathBuf;
use support::Bundle;

fn group(hierarchy: &str, bundle: &Bundle) -> PathBuf {
    PathBuf::from("/sys/fs/cgroup").join(hierarchy).join(&bundle.id)
}

#[test]
fn exec_puts_a_process_into_a_group_below() {
    let bundle = Bundle::new("sleep 100");
    bundle.start();
    let groups = |words: &[&str]| {
        let words = [&["exec"], words, &["ID", "cat", "/proc/self/cgroup"]].concat();
        bundle.ok(&words)
    };
    let line = |text: &str, controller: &str| {
        let line = text.lines().find(|line| line.split(':').nth(1) == Some(controller)).unwrap();
        line.rsplit(':').next().unwrap().to_owned()
    };
    assert!(bundle.fails(&["exec", "--cgroup", "below", "ID", "true"]).contains("below"));
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        let above = hierarchy.path().join(&bundle.id);
        std::fs::create_dir(above.join("below")).unwrap();
        // A new set of CPUs is empty and takes nobody.
        for file in ["cpuset.cpus", "cpuset.mems"].into_iter().filter(|file| above.join(file).exists()) {
            let value = std::fs::read(above.join(file)).unwrap();
            std::fs::write(above.join("below").join(file), value).unwrap();
        }
    }
    let all = groups(&["--cgroup", "/below"]);
    for controller in ["memory", "pids", ""] {
        assert!(line(&all, controller).ends_with("/below"), "{all}");
    }
    let one = groups(&["--cgroup", "memory:below"]);
    assert!(line(&one, "memory").ends_with("/below"), "{one}");
    assert!(!line(&one, "pids").ends_with("/below"), "{one}");
    for bad in ["../below", "memory:../../x", "nope:below"] {
        bundle.fails(&["exec", "--cgroup", bad, "ID", "true"]);
    }
}

#[test]
fn update_takes_sizes_as_people_write_them() {
    let bundle = Bundle::new("sleep 100");
    bundle.start();
    bundle.ok(&["update", "--memory", "32m", "--memory-swap", "64m", "ID"]);
    let number = |file: &str| std::fs::read_to_string(group("memory", &bundle).join(file)).unwrap();
    assert_eq!(number("memory.limit_in_bytes").trim(), "33554432");
    bundle.ok(&["update", "--memory", "-1", "ID"]);
    assert!(number("memory.limit_in_bytes").trim().parse::<u64>().unwrap() > 1 << 40);
    assert!(bundle.fails(&["update", "--memory", "much", "ID"]).contains("memory"));
    // No class of service on a host without resctrl.
    assert!(bundle.fails(&["update", "--l3-cache-schema", "L3:0=f", "ID"]).contains("Intel RDT"));
}

#[test]
fn ps_is_the_hosts() {
    let bundle = Bundle::new("sleep 12345");
    bundle.start();
    bundle.wait_for_program("sleep");
    let table = bundle.ok(&["ps", "ID"]);
    assert!(table.lines().next().unwrap().contains("PID") && table.contains("sleep 12345"), "{table}");
    let own = bundle.ok(&["ps", "ID", "-o", "pid,args"]);
    assert_eq!(own.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(), ["PID", "COMMAND"]);
    assert!(own.contains("sleep 12345") && own.lines().count() <= 3, "{own}");
    let pids: Vec<i32> = serde_json::from_str(&bundle.ok(&["ps", "-f", "json", "ID"])).unwrap();
    assert!(pids.contains(&(bundle.state()["pid"].as_i64().unwrap() as i32)));
}
