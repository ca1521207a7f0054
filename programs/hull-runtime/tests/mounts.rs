//! Mounts: copies of what the image has, id mappings, recursive attributes.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use serde_json::json;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use support::Bundle;

#[test]
fn a_tmpfs_begins_with_what_the_image_has() {
    let mut bundle = Bundle::new(
        "cat /data/file; stat -c '%n %a %u:%g %Y' /data /data/file /data/sub /data/sub/set; readlink /data/link; \
         stat -c %F /data/pipe; echo new >/data/file && touch /data/more; grep ' /data ' /proc/self/mountinfo",
    );
    let data = bundle.root().join("data");
    fs::create_dir_all(data.join("sub")).unwrap();
    fs::write(data.join("file"), "from the image\n").unwrap();
    fs::write(data.join("sub/set"), "x").unwrap();
    chown(data.join("sub/set"), Some(1000), Some(7)).unwrap();
    fs::set_permissions(data.join("sub/set"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o1777)).unwrap();
    // Nobody follows it: it would lead to the host.
    symlink("/etc/hostname", data.join("link")).unwrap();
    let status = std::process::Command::new("mkfifo").arg(data.join("pipe")).status().unwrap();
    assert!(status.success());
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(data.join("file")).unwrap().set_modified(old).unwrap();
    bundle.add_mount(json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs",
        "options": ["nosuid", "nodev", "tmpcopyup"]}));
    let said = bundle.output();
    assert!(said.starts_with("from the image\n/data 1777 0:0 "), "{said}");
    assert!(said.contains("/data/file 644 0:0 1000000000\n"), "{said}");
    assert!(said.contains("/data/sub/set 4751 1000:7 "), "{said}");
    assert!(said.contains("\n/etc/hostname\nfifo\n"), "{said}");
    assert!(said.contains("tmpfs"), "{said}");
    // What is written stays in the tmpfs.
    assert_eq!(fs::read_to_string(data.join("file")).unwrap(), "from the image\n");
    assert!(!data.join("more").exists());
}

#[test]
fn a_copy_may_be_read_only_and_none_is_made_unasked() {
    let mut bundle = Bundle::new("cat /data/file; touch /data/more; ls /plain");
    for name in ["data", "plain"] {
        fs::create_dir(bundle.root().join(name)).unwrap();
        fs::write(bundle.root().join(name).join("file"), "x\n").unwrap();
    }
    let tmpfs =
        |place: &str, options: &[&str]| json!({"destination": place, "type": "tmpfs", "options": options});
    bundle.add_mount(tmpfs("/data", &["ro", "tmpcopyup"]));
    bundle.add_mount(tmpfs("/plain", &["tmpcopyup", "notmpcopyup"]));
    let output = bundle.run();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "x\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Read-only file system"), "{output:?}");
}

#[test]
fn new_and_bound_file_systems_are_id_mapped() {
    let mut bundle = Bundle::new("stat -c '%u:%g' /bound/file; touch /fresh/own; stat -c '%u:%g' /fresh/own");
    let source = bundle.directory.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "").unwrap();
    chown(source.join("file"), Some(5), Some(6)).unwrap();
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
    bundle.add_mount(json!({"destination": "/bound", "type": "bind", "source": source, "options": ["bind"],
        "uidMappings": map, "gidMappings": map}));
    let same = json!([{"containerID": 0, "hostID": 0, "size": 1000}]);
    bundle.add_mount(
        json!({"destination": "/fresh", "type": "tmpfs", "uidMappings": same, "gidMappings": same}),
    );
    assert_eq!(bundle.output(), "100005:100006\n0:0\n");
}

#[test]
fn recursive_attributes_reach_the_mounts_below() {
    let mut bundle = Bundle::new(
        "touch /bound/x; touch /bound/below/x; grep -c ' /bound/below ro,nosuid' /proc/self/mountinfo",
    );
    let source = bundle.directory.path().join("source");
    fs::create_dir_all(source.join("below")).unwrap();
    let mut holder = bundle.command(&["run", "ID"]);
    bundle.add_mount(json!({"destination": "/bound", "type": "bind", "source": source,
        "options": ["rbind", "rro", "rnosuid"]}));
    bundle.save();
    let script = format!(
        "mount -t tmpfs below {}/below && exec {} \"$@\"",
        source.display(),
        holder.get_program().display()
    );
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]).args(holder.get_args());
    command.current_dir(holder.stdin(std::process::Stdio::null()).get_current_dir().unwrap());
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n", "{output:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr).matches("Read-only file system").count(),
        2,
        "{output:?}"
    );
}
