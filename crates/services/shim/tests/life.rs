//! Whole lives of containers, for each runtime: output, exit, execs, signals, terminals.
#![allow(clippy::unwrap_used)] // helpers of tests

mod world;

use hull_task::protocol::{ConsoleSize, ExecCreate, Status};
use hull_task::{Error, Task};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::{World, all, exec, process, read_frames, runtimes};

#[tokio::test]
async fn output_is_logged_and_the_exit_recorded() {
    for runtime in runtimes() {
        let world = World::new(&runtime, "echo out; echo err >&2; printf unfinished; exit 7");
        let task = world.spawn().await;
        assert_eq!(task.state().await.unwrap().status, Status::Created);
        assert_eq!(task.exit(), None);
        task.start().await.unwrap();
        let exit = task.wait().await;
        assert_eq!((exit.code, exit.lost, exit.oom_killed), (7, false, false), "{runtime}");
        // It was recorded before it was told.
        assert_eq!(hull_task::client::read_exit(world.bundle()).unwrap(), Some(exit));
        let mut log = world.log();
        log.sort();
        let line = |stream: &str, text: &str| (stream.to_owned(), text.to_owned());
        assert_eq!(log, [line("stderr", "err\n"), line("stdout", "out\n"), line("stdout", "unfinished")]);
        world.assert_clean(&task).await;
        assert!(
            matches!(Task::connect(world.bundle()).await, Err(Error::Gone { exit: Some(e), .. }) if e == exit)
        );
    }
}

#[tokio::test]
async fn attached_streams_carry_everything_and_half_a_close_ends_input_only() {
    for runtime in runtimes() {
        let world = World::new(&runtime, "cat; echo bye; echo error >&2").with_stdin(true).without_log();
        let task = world.spawn().await;
        let mut stream = task.attach(all()).await.unwrap();
        task.start().await.unwrap();
        let text = "x".repeat(300_000);
        let (mut reader, mut writer) = stream.split();
        let write = async {
            writer.write_all(text.as_bytes()).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let read = async {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).await.unwrap();
            bytes
        };
        let ((), bytes) = tokio::join!(write, read);
        let (out, err) = split(&bytes);
        assert_eq!((out.len(), &out[300_000..], err.as_str()), (300_004, "bye\n", "error\n"), "{runtime}");
        assert_eq!(task.wait().await.code, 0);
        world.assert_clean(&task).await;
    }
}

fn split(mut bytes: &[u8]) -> (String, String) {
    let (mut out, mut err) = (String::new(), String::new());
    while let Some((header, rest)) = bytes.split_first_chunk::<8>() {
        let length = u32::from_be_bytes(header[4..].try_into().unwrap()) as usize;
        let text = std::str::from_utf8(&rest[..length]).unwrap();
        if header[0] == 1 {
            out.push_str(text)
        } else {
            err.push_str(text)
        }
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty());
    (out, err)
}

#[tokio::test]
async fn open_input_outlives_its_clients() {
    for runtime in runtimes() {
        let world = World::new(&runtime, "read a; read b; echo $a$b").with_stdin(false);
        let task = world.spawn().await;
        task.start().await.unwrap();
        for text in ["one\n", "two\n"] {
            let mut stream = task.attach(all()).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
        assert_eq!(task.wait().await.code, 0);
        assert_eq!(world.log(), [("stdout".to_owned(), "onetwo\n".to_owned())], "{runtime}");
        world.assert_clean(&task).await;
    }
}

#[tokio::test]
async fn a_terminal_is_raw_and_resizable() {
    for runtime in runtimes() {
        let world = World::new(&runtime, "read line; stty size; echo got $line; exit 3").with_terminal();
        let task = world.spawn().await;
        let mut stream = task.attach(all()).await.unwrap();
        task.start().await.unwrap();
        task.resize(None, ConsoleSize { width: 101, height: 33 }).await.unwrap();
        stream.write_all(b"hello\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.contains("33 101\r\n") && text.contains("got hello\r\n"), "{runtime}: {text:?}");
        assert_eq!(task.wait().await.code, 3);
        assert!(world.log().contains(&("stdout".into(), "got hello\r\n".into())));
        world.assert_clean(&task).await;
    }
}

#[tokio::test]
async fn execs_run_beside_and_end_with_the_container() {
    for runtime in runtimes() {
        let world = World::new(&runtime, "trap 'exit 9' TERM; while :; do sleep 0.05; done");
        let task = world.spawn().await;
        task.start().await.unwrap();
        let create = |id: &str, script: &str| ExecCreate {
            exec_id: id.into(),
            process: process(script),
            stdin: true,
            detach: false,
        };
        task.exec_create(create("a", "cat; echo failed >&2; exit 5")).await.unwrap();
        assert!(task.exec_create(create("a", "true")).await.is_err());
        let mut stream = task.attach(exec("a")).await.unwrap();
        assert!(task.exec_start("a").await.unwrap() > 1);
        stream.write_all(b"through").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(read_frames(&mut stream).await, ("through".into(), "failed\n".into()));
        assert_eq!(task.exec_wait("a").await.unwrap().code, 5, "{runtime}");
        task.exec_delete("a").await.unwrap();
        assert!(matches!(task.exec_wait("a").await, Err(Error::NoSuchExec(_))));
        // One is signalled, one ends with the container.
        for id in ["b", "c"] {
            task.exec_create(create(id, "sleep 1000")).await.unwrap();
            task.exec_start(id).await.unwrap();
        }
        assert!(task.pids().await.unwrap().len() >= 3);
        task.exec_kill("b", 9).await.unwrap();
        assert_eq!(task.exec_wait("b").await.unwrap().code, 137);
        task.kill(15, false).await.unwrap();
        assert_eq!(task.wait().await.code, 9);
        assert_eq!(task.exec_wait("c").await.unwrap().code, 137);
        world.assert_clean(&task).await;
    }
}

#[tokio::test]
async fn an_exec_gets_a_terminal() {
    for runtime in runtimes() {
        let world = World::new(&runtime, "while :; do sleep 0.05; done");
        let task = world.spawn().await;
        task.start().await.unwrap();
        let mut spec = process("read line; stty size; echo got $line; exit 4");
        spec.terminal = true;
        let create = ExecCreate { exec_id: "tty".into(), process: spec, stdin: true, detach: false };
        task.exec_create(create).await.unwrap();
        let mut stream = task.attach(exec("tty")).await.unwrap();
        task.exec_start("tty").await.unwrap();
        task.resize(Some("tty"), ConsoleSize { width: 90, height: 20 }).await.unwrap();
        stream.write_all(b"hi\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.contains("20 90\r\n") && text.contains("got hi\r\n"), "{runtime}: {text:?}");
        assert_eq!(task.exec_wait("tty").await.unwrap().code, 4);
        task.kill(9, false).await.unwrap();
        assert_eq!(task.wait().await.code, 137);
        world.assert_clean(&task).await;
    }
}

#[tokio::test]
async fn paused_containers_stand_still_and_can_be_killed() {
    for runtime in runtimes() {
        let world = World::new(&runtime, "while :; do echo tick; sleep 0.01; done");
        let task = world.spawn().await;
        assert!(task.pause().await.is_err());
        task.start().await.unwrap();
        let mut stream = task.attach(all()).await.unwrap();
        stream.read_u8().await.unwrap();
        task.pause().await.unwrap();
        assert_eq!(task.state().await.unwrap().status, Status::Paused, "{runtime}");
        task.resume().await.unwrap();
        task.pause().await.unwrap();
        task.kill(9, false).await.unwrap();
        assert_eq!(task.wait().await.code, 137);
        drop(stream);
        world.assert_clean(&task).await;
    }
}

#[tokio::test]
async fn shared_process_ids_leave_nobody_behind() {
    for runtime in runtimes() {
        let world = World::new(&runtime, "sleep 1000 & sleep 1001 & echo $!; exit 2").with_host_pids();
        let task = world.spawn().await;
        task.start().await.unwrap();
        assert_eq!(task.wait().await.code, 2, "{runtime}");
        let pid = world.log()[0].1.trim().to_owned();
        assert!(!std::path::Path::new("/proc").join(pid).exists());
        world.assert_clean(&task).await;
    }
}

#[tokio::test]
async fn want_of_memory_is_told() {
    for runtime in runtimes() {
        let script = "head -c 200000000 /proc/self/mem >/dev/null; a=x; while :; do a=$a$a; done";
        let world = World::new(&runtime, script);
        let task = world.spawn().await;
        task.start().await.unwrap();
        let exit = task.wait().await;
        assert_eq!((exit.code, exit.oom_killed), (137, true), "{runtime}");
        world.assert_clean(&task).await;
    }
}

#[tokio::test]
async fn what_cannot_be_created_says_why_and_leaves_nothing() {
    for runtime in runtimes() {
        let mut world = World::new(&runtime, "");
        world.spec["process"]["args"] = serde_json::json!(["nope"]);
        let error = match world.try_spawn().await {
            Err(error @ Error::Create { .. }) => error.to_string(),
            Err(error) => panic!("{runtime}: {error}"),
            // Some runtimes find out at the start.
            Ok(task) => {
                let error = task.start().await.unwrap_err().to_string();
                task.shutdown().await.unwrap();
                task.wait().await;
                error
            }
        };
        assert!(
            error.contains("executable file") && error.contains("not found in $PATH"),
            "{runtime}: {error}"
        );
        assert!(!world.folder.path().join("state").join(&world.id).exists());
    }
}

#[tokio::test]
async fn a_created_container_can_be_thrown_away() {
    for runtime in runtimes() {
        let world = World::new(&runtime, "echo never");
        let task = world.spawn().await;
        task.shutdown().await.unwrap();
        assert_eq!(task.wait().await.code, 137, "{runtime}");
        assert!(world.log().is_empty());
        world.assert_clean(&task).await;
    }
}
