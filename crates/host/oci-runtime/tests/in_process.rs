//! The library as the shim uses it: in the caller's own process, which has one thread. Needs root.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use hull_oci_runtime::{CreateOptions, ExecOptions, Stdio};
use hull_sys::{process, rustix};
use hull_types::oci::runtime::{Process, Spec};
use hull_types::{Lower, Rootfs};
use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

const CONFIG: &str = r#"{"ociVersion":"1.2.0","process":{"user":{"uid":0,"gid":0},"cwd":"/",
    "args":["sh","-c","cat /greeting; echo new > /written; cat"],"env":["PATH=/bin"]},
    "root":{"path":"unused"},"mounts":[{"destination":"/proc","type":"proc","source":"proc"}],
    "linux":{"namespaces":[{"type":"mount"},{"type":"pid"},{"type":"ipc"},{"type":"uts"},{"type":"network"},{"type":"cgroup"}],
    "cgroupsPath":"/hull-in-process/ID"}}"#;

fn main() {
    // What test runners ask of every test binary.
    if std::env::args().any(|word| word == "--list") {
        if !std::env::args().any(|word| word == "--ignored") {
            println!("in_process: test");
        }
        return;
    }
    for (name, test) in [
        ("a snapshot's root", a_snapshots_root as fn(&Path)),
        ("layers that are images, in a user namespace", images_in_a_user_namespace),
        ("failures leave nothing", failures_leave_nothing),
        ("later children are born outside", later_children_are_born_outside),
    ] {
        // A file system on a disk: the kernel mounts no images of one in memory.
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        test(directory.path());
        println!("test {name} ... ok");
    }
    let cgroup = hull_cgroup::Cgroup::load("/hull-in-process/none").unwrap();
    for group in cgroup.directories().iter().map(|h| h.mount_point.as_path()).chain(cgroup.unified()) {
        fs::remove_dir(group.parent().unwrap()).unwrap();
    }
}

/// Two layers and an upper directory on a tmpfs-free host path.
fn rootfs(directory: &Path) -> Rootfs {
    let make = |name: &str| {
        let path = directory.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let (bottom, top) = (make("bottom"), make("top"));
    fs::create_dir_all(bottom.join("bin")).unwrap();
    for place in ["proc", "dev"] {
        fs::create_dir(bottom.join(place)).unwrap();
    }
    fs::copy("/bin/busybox", bottom.join("bin/busybox")).unwrap();
    for applet in ["sh", "cat", "sleep", "ls"] {
        std::os::unix::fs::symlink("busybox", bottom.join("bin").join(applet)).unwrap();
    }
    fs::write(bottom.join("greeting"), "from the bottom\n").unwrap();
    fs::write(top.join("greeting"), "from the top\n").unwrap();
    Rootfs {
        lowers: vec![Lower::Directory(top), Lower::Directory(bottom)],
        upper: Some(make("upper")),
        work: Some(make("work")),
    }
}

fn options(directory: &Path, rootfs: Option<Rootfs>, config: &str) -> CreateOptions {
    let id = directory.file_name().unwrap().to_str().unwrap().trim_start_matches('.').to_owned();
    fs::write(directory.join("config.json"), config.replace("/ID", &format!("/{id}"))).unwrap();
    CreateOptions {
        id,
        bundle: directory.into(),
        state_root: directory.join("state"),
        rootfs,
        ..Default::default()
    }
}

fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap()
}

fn read_all(fd: OwnedFd) -> String {
    let mut text = String::new();
    fs::File::from(fd).read_to_string(&mut text).unwrap();
    text
}

fn a_snapshots_root(directory: &Path) {
    let rootfs = rootfs(directory);
    let ((input, input_end), (output, output_end)) = (pipe(), pipe());
    let mut options = options(directory, Some(rootfs), CONFIG);
    options.stdio = Stdio { stdin: Some(input), stdout: Some(output_end), stderr: None };
    let (id, state) = (options.id.clone(), options.state_root.clone());
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let created = hull_oci_runtime::create(options).unwrap();
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before, "nothing is mounted on the host");
    hull_oci_runtime::start(&state, &id).unwrap();

    let (said, said_end) = pipe();
    let process = Process {
        args: vec!["sh".into(), "-c".into(), "ls /; exit 3".into()],
        env: vec!["PATH=/bin".into()],
        cwd: "/".into(),
        ..Process::default()
    };
    let made = hull_oci_runtime::exec(ExecOptions {
        id: id.clone(),
        state_root: state.clone(),
        process,
        stdio: Stdio { stdin: None, stdout: Some(said_end), stderr: None },
        ..Default::default()
    })
    .unwrap();
    assert_eq!(process::reap(&made.pidfd).unwrap(), 3, "it is this process's own child");
    assert!(read_all(said).contains("greeting"));

    // The first process reads to the end of its input: no copy of this end is in it or in another.
    drop(input_end);
    assert_eq!(read_all(output), "from the top\n");
    assert_eq!(process::reap(&created.pidfd).unwrap(), 0);
    assert_eq!(fs::read_to_string(directory.join("upper/written")).unwrap(), "new\n");
    hull_oci_runtime::delete(&state, &id, false).unwrap();
    assert!(!state.join(&id).exists());
}

/// The kernel lets no user namespace but the first mount an EROFS image, whoever has the descriptors.
fn images_in_a_user_namespace(directory: &Path) {
    let mut rootfs = rootfs(directory);
    let images = rootfs.lowers.iter().map(|lower| {
        let (tree, tar, index) =
            (lower.path(), lower.path().with_extension("tar"), lower.path().with_extension("erofs"));
        let packed =
            std::process::Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(tree).arg(".").status();
        assert!(packed.unwrap().success());
        let mut image = fs::File::create(&index).unwrap();
        hull_erofs::index(fs::File::open(&tar).unwrap(), &mut image, Default::default()).unwrap();
        Lower::Erofs { index, data: vec![tar] }
    });
    rootfs.lowers = images.collect();
    let mut spec: serde_json::Value = serde_json::from_str(CONFIG).unwrap();
    spec["linux"]["namespaces"].as_array_mut().unwrap().push(serde_json::json!({"type": "user"}));
    let map = serde_json::json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
    (spec["linux"]["uidMappings"], spec["linux"]["gidMappings"]) = (map.clone(), map);
    let ((input, input_end), (output, output_end)) = (pipe(), pipe());
    let mut options = options(directory, Some(rootfs), &spec.to_string());
    options.stdio = Stdio { stdin: Some(input), stdout: Some(output_end), stderr: None };
    let (id, state) = (options.id.clone(), options.state_root.clone());
    let created = hull_oci_runtime::create(options).unwrap();
    hull_oci_runtime::start(&state, &id).unwrap();
    drop(input_end);
    assert_eq!(read_all(output), "from the top\n");
    assert_eq!(process::reap(&created.pidfd).unwrap(), 0);
    // Its root is the host's, but may mount no more than any other.
    assert_eq!(fs::read_to_string(directory.join("upper/written")).unwrap(), "new\n");
    hull_oci_runtime::delete(&state, &id, false).unwrap();
}

fn failures_leave_nothing(directory: &Path) {
    let mut spec: Spec = hull_types::document::from_json(CONFIG.as_bytes()).unwrap();
    spec.process.as_mut().unwrap().args = vec!["nope".into()];
    let options = options(directory, Some(rootfs(directory)), &serde_json::to_string(&spec).unwrap());
    let (id, state) = (options.id.clone(), options.state_root.clone());
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    let error = hull_oci_runtime::create(options).unwrap_err();
    assert!(error.to_string().ends_with(r#"exec: "nope": executable file not found in $PATH"#), "{error}");
    assert_eq!(open(), before, "descriptors");
    assert!(!state.join(&id).exists());
    assert!(
        matches!(process::reap_any(), Err(error) if error.raw_os_error() == Some(10)),
        "no child is left"
    );
    let cgroup = hull_cgroup::Cgroup::load(&format!("/hull-in-process/{id}")).unwrap();
    assert!(!cgroup.unified().is_some_and(Path::exists));
}

/// `exec` gives this process's children another pid namespace, for one moment.
fn later_children_are_born_outside(directory: &Path) {
    let config = CONFIG.replace("cat /greeting; echo new > /written; cat", "sleep 1000");
    let options = options(directory, Some(rootfs(directory)), &config);
    let (id, state) = (options.id.clone(), options.state_root.clone());
    let created = hull_oci_runtime::create(options).unwrap();
    hull_oci_runtime::start(&state, &id).unwrap();
    for program in ["ls", "nope"] {
        let process = Process {
            args: vec![program.into(), "/bin/sh".into()],
            env: vec!["PATH=/bin".into()],
            cwd: "/".into(),
            ..Process::default()
        };
        let (said, said_end) = pipe();
        let made = hull_oci_runtime::exec(ExecOptions {
            id: id.clone(),
            state_root: state.clone(),
            process,
            stdio: Stdio { stdin: None, stdout: Some(said_end), stderr: None },
            ..Default::default()
        });
        assert_eq!(made.is_ok(), program == "ls");
        if let Ok(made) = made {
            process::reap(&made.pidfd).unwrap();
        }
        drop(said);
        let own = fs::read_link("/proc/self/ns/pid").unwrap();
        assert_eq!(fs::read_link("/proc/self/ns/pid_for_children").unwrap(), own);
    }
    hull_oci_runtime::delete(&state, &id, true).unwrap();
    assert_eq!(process::reap(&created.pidfd).unwrap(), 137);
}
