//! The daemon, a client or the shim itself dies, stalls or talks nonsense.
#![allow(clippy::unwrap_used)] // helpers of tests

mod world;

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use hull_task::protocol::{ExecCreate, MESSAGE_LIMIT, SOCKET, Status};
use hull_task::{AttachOptions, Error, Task};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::{World, all, process, runtimes};

const BUNDLE: &str = "HULL_SHIM_TEST_BUNDLE";

#[tokio::test]
async fn a_later_daemon_finds_the_container_and_what_happened_meanwhile() {
    for runtime in runtimes() {
        let world = World::new(&runtime, "read a; echo $a; exit 6").with_stdin(false);
        let task = world.spawn().await;
        task.start().await.unwrap();
        let pid = task.pid();
        let exec = |id: &str, script: &str| ExecCreate {
            exec_id: id.into(),
            process: process(script),
            stdin: false,
            detach: true,
        };
        task.exec_create(exec("check", "exit 8")).await.unwrap();
        task.exec_start("check").await.unwrap();
        drop(task);
        let task = Task::connect(world.bundle()).await.unwrap();
        assert_eq!((task.pid(), task.id()), (pid, world.id.as_str()));
        // Whether it ended before or after: the code is known.
        if let Ok(exit) = task.exec_wait("check").await {
            assert_eq!(exit.code, 8, "{runtime}");
        }
        let mut stream = task.attach(all()).await.unwrap();
        stream.write_all(b"line\n").await.unwrap();
        assert_eq!(task.wait().await.code, 6);
        world.assert_clean(&task).await;
    }
}

// Not a test: the daemon that is killed. It attaches, and says so by one byte.
#[tokio::test]
#[ignore = "started by a test"]
async fn doomed_daemon() {
    let Some(bundle) = std::env::var_os(BUNDLE) else { return };
    let task = Task::connect(bundle.as_ref()).await.unwrap();
    let mut stream = task.attach(AttachOptions { stdin: false, ..all() }).await.unwrap();
    let mut buffer = [0; 512];
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        if read == 0 {
            return;
        }
        std::io::Write::write_all(&mut std::io::stderr(), b".").unwrap();
    }
}

#[tokio::test]
async fn no_line_is_lost_while_daemons_are_killed() {
    for runtime in runtimes() {
        let script = "i=0; while [ $i -lt 60000 ]; do echo line $i; i=$((i+1)); done";
        let world = World::new(&runtime, script);
        let task = world.spawn().await;
        task.start().await.unwrap();
        drop(task);
        for _ in 0..8 {
            let mut daemon = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "doomed_daemon", "--ignored", "--nocapture"])
                .env(BUNDLE, world.bundle())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            // Killed while it reads; or it found the container gone.
            let _ = daemon.stderr.take().unwrap().read(&mut [0]);
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
        let exit = match Task::connect(world.bundle()).await {
            Ok(task) => task.wait().await,
            Err(Error::Gone { exit, .. }) => exit.unwrap(),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(exit.code, 0);
        let log = world.log();
        assert_eq!(log.len(), 60_000, "{runtime}");
        for (number, (_, text)) in log.iter().enumerate() {
            assert_eq!(*text, format!("line {number}\n"));
        }
    }
}

#[tokio::test]
async fn a_stalled_client_slows_the_container_and_costs_no_memory() {
    for runtime in runtimes() {
        let world = World::new(&runtime, "yes 0123456789 | head -c 20000000");
        let task = world.spawn().await;
        let stalled = task.attach(AttachOptions { stdin: false, ..all() }).await.unwrap();
        task.start().await.unwrap();
        let shim = shim_of(task.pid());
        // It goes on until all buffers are full, and no further.
        let log = world.folder.path().join("log");
        let mut size = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = std::fs::metadata(&log).unwrap().len();
            if now == size && now > 0 {
                break;
            }
            size = now;
        }
        assert_eq!(task.exit(), None, "{runtime}");
        let resident = kib(shim, "Private_Dirty");
        assert!(resident < 1500, "{runtime}: {resident} KiB");
        // Other business goes on.
        assert_eq!(task.state().await.unwrap().status, Status::Running);
        drop(stalled);
        assert_eq!(task.wait().await.code, 0);
        let total: usize = world.log().iter().map(|(_, text)| text.len()).sum();
        assert_eq!(total, 20_000_000);
        world.assert_clean(&task).await;
    }
}

#[tokio::test]
async fn nonsense_costs_its_own_connection_only() {
    for runtime in runtimes() {
        let world = World::new(&runtime, "read a").with_stdin(true);
        let task = world.spawn().await;
        task.start().await.unwrap();
        let announced = (MESSAGE_LIMIT as u32 + 1).to_le_bytes();
        for nonsense in [&announced[..], b"\x05\0\0\0{{{{{", b"\x04\0\0\0null"] {
            let mut stream = UnixStream::connect(world.bundle().join(SOCKET)).unwrap();
            std::io::Write::write_all(&mut stream, nonsense).unwrap();
            assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
        }
        // A message that never becomes whole waits for ever, and hurts nobody.
        let mut unfinished = UnixStream::connect(world.bundle().join(SOCKET)).unwrap();
        std::io::Write::write_all(&mut unfinished, b"\x05\0\0\0{").unwrap();
        assert_eq!(task.state().await.unwrap().status, Status::Running, "{runtime}");
        task.close_stdin(None).await.unwrap();
        assert_eq!(task.wait().await.code, 1);
    }
}

#[tokio::test]
async fn only_the_owner_may_open_the_socket() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new(&runtimes()[0], "read a").with_stdin(true);
    let task = world.spawn().await;
    let mode = std::fs::metadata(world.bundle().join(SOCKET)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    task.shutdown().await.unwrap();
    task.wait().await;
    world.assert_clean(&task).await;
}

#[tokio::test]
async fn a_killed_shim_is_told_from_an_exit() {
    let world = World::new(&runtimes()[0], "while :; do sleep 0.05; done");
    let task = world.spawn().await;
    task.start().await.unwrap();
    let (init, shim) = (task.pid(), shim_of(task.pid()));
    hull_sys::process::kill(shim, 9).unwrap();
    let exit = task.wait().await;
    assert_eq!((exit.code, exit.lost), (255, true));
    task.deleted().await;
    assert!(task.state().await.is_err());
    assert!(matches!(Task::connect(world.bundle()).await, Err(Error::Gone { exit: None, .. })));
    // The container itself goes on; the engine would remove it by `hull-runtime delete --force`.
    assert!(std::path::Path::new(&format!("/proc/{init}")).exists());
    hull_sys::process::kill(init, 9).unwrap();
}

#[tokio::test]
async fn an_idle_shim_costs_little() {
    for runtime in runtimes() {
        let world = World::new(&runtime, "echo x; read a").with_stdin(true);
        let task = world.spawn().await;
        let mut stream = task.attach(all()).await.unwrap();
        task.start().await.unwrap();
        stream.read_u8().await.unwrap();
        let shim = shim_of(task.pid());
        let (private, proportional) = (kib(shim, "Private_Dirty"), kib(shim, "Pss"));
        println!("{runtime}: {private} KiB private, {proportional} KiB proportional");
        assert!(private < 600, "{runtime}: {private} KiB");
        stream.shutdown().await.unwrap();
        task.wait().await;
        world.assert_clean(&task).await;
    }
}

fn shim_of(pid: i32) -> i32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("PPid:")).unwrap();
    line["PPid:".len()..].trim().parse().unwrap()
}

// A figure of what a process costs; `Private_Dirty` is what it alone does.
fn kib(pid: i32, figure: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    text.lines()
        .filter(|line| line.split_once(':').is_some_and(|(name, _)| name == figure))
        .map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap())
        .sum()
}

// A figure for people, with `HULL_RUNTIME` a released build: no timing decides a test.
#[tokio::test]
#[ignore = "a measurement"]
async fn how_long_a_life_takes() {
    for runtime in runtimes() {
        let mut lives = Vec::new();
        for _ in 0..60 {
            let mut world = World::new(&runtime, "").without_log();
            world.spec["process"]["args"] = serde_json::json!(["/bin/true"]);
            let begin = std::time::Instant::now();
            let task = world.spawn().await;
            let created = begin.elapsed();
            task.start().await.unwrap();
            task.wait().await;
            let exited = begin.elapsed();
            task.deleted().await;
            lives.push((begin.elapsed(), created, exited));
        }
        lives.sort();
        let (deleted, created, exited) = lives[lives.len() / 2];
        println!("{runtime}: created {created:?}, exited {exited:?}, deleted {deleted:?} (median of 60)");
    }
}
