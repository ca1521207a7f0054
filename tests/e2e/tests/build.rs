//! Builds, through `hull build` and the stock docker CLI's classic builder.
#![allow(clippy::unwrap_used)] // helpers of tests

use hull_e2e::{Client, Output, World, eventually, with_each_client};
use std::path::{Path, PathBuf};

/// A directory with these files.
fn project(world: &World, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let root = world.directory().join(name);
    for (path, text) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

fn build(world: &World, client: Client, root: &Path, flags: &[&str]) -> Output {
    let mut command = world.client_command(client, &["build"]);
    if client == Client::Docker {
        command.env("DOCKER_BUILDKIT", "0");
    }
    command.args(flags).arg(root);
    world.run(command, None)
}

/// What `sh -c` says in an image.
fn inside(world: &World, image: &str, line: &str) -> String {
    world.docker(&["run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", image, "-c", line]).ok()
}

fn id(world: &World, image: &str) -> String {
    world.docker(&["image", "inspect", "-f", "{{.Id}}", image]).ok()
}

#[test]
fn the_modern_language_works_in_both_clients() {
    with_each_client(|world, client| {
        let dockerfile = "# syntax=docker/dockerfile:1\nARG TAG=latest\nFROM busybox:${TAG} AS base\n\
            ARG NAME=world\nENV GREETING=\"hello ${NAME%d}\"\nWORKDIR /app\n\
            COPY --chown=1000:1001 --chmod=u=rwX,go= a.txt sub ./\n\
            COPY --parents deep/./x/**/*.c /parents/\nCOPY --exclude=*.log logs /logs\n\
            COPY <<EOF /etc/motd\n$GREETING\nEOF\n\
            RUN <<EOF\nset -e\nif true; then echo multi > /multi; fi\nEOF\n\
            RUN <<EOF cat > /mixed\n$GREETING\nEOF\n\
            FROM base AS unused\nRUN false\n\
            FROM busybox\nCOPY --from=base --link / /all/\nCOPY --from=0 /app /app\nONBUILD USER 0\nONBUILD RUN touch /triggered\n\
            RUN --mount=from=base,target=/b --mount=type=tmpfs,target=/t --mount=type=cache,target=/c \\\n  cat /b/multi > /m\n\
            USER 7:8\nVOLUME /data\nSTOPSIGNAL SIGINT\nHEALTHCHECK --interval=3s CMD true\nLABEL a=b\n\
            SHELL [\"/bin/ash\", \"-c\"]\nEXPOSE 80-81/udp\nENTRYPOINT [\"echo\"]\nCMD shell form\n";
        let files = [
            ("Dockerfile", dockerfile),
            ("a.txt", "a\n"),
            ("sub/b.txt", "b\n"),
            ("deep/x/y/z.c", "c\n"),
            ("deep/x/y/z.h", "h\n"),
            ("logs/a.log", "l\n"),
            ("logs/keep", "k\n"),
        ];
        let root = project(world, "modern", &files);
        build(world, client, &root, &["-t", "modern", "--build-arg", "NAME=hulld"]).ok();
        let line = "stat -c '%n %a %u:%g' /app /app/a.txt /app/b.txt; find /all/parents /all/logs -type f; cat /all/etc/motd /all/multi \
                    /all/mixed /m; ls -d /b /t /c; id -u; id -g";
        let said = inside(world, "modern", &format!("{line} 2>/dev/null"));
        let expected = "/app 755 0:0\n/app/a.txt 600 1000:1001\n/app/b.txt 600 1000:1001\n/all/parents/x/y/z.c\n/all/logs/keep\nhello hull\n\
                        multi\nhello hull\nmulti\n7\n8";
        assert_eq!(said, expected, "{client:?}");
        let config = world.docker(&["image", "inspect", "-f", "{{json .Config}}", "modern"]).ok();
        let config: serde_json::Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["Cmd"], serde_json::json!(["/bin/ash", "-c", "shell form"]));
        assert_eq!(config["Entrypoint"], serde_json::json!(["echo"]));
        assert_eq!(config["User"], "7:8");
        assert_eq!(config["StopSignal"], "SIGINT");
        assert_eq!(config["Healthcheck"]["Interval"], 3_000_000_000_i64);
        assert!(config["ExposedPorts"]["81/udp"].is_object() && config["Volumes"]["/data"].is_object());
        let child = project(world, "child", &[("Dockerfile", "FROM modern\n")]);
        build(world, client, &child, &["-t", "child"]).expect_code(0);
        inside(world, "child", "ls /triggered");
    });
}

#[test]
fn steps_are_cached_by_content_and_over_restarts() {
    let world = World::start();
    let dockerfile = "FROM busybox\nCOPY a /a\nRUN cat /proc/sys/kernel/random/uuid > /u1\nCOPY b /b\nRUN cat /proc/sys/kernel/random/uuid > /u2\n";
    let root = project(&world, "cached", &[("Dockerfile", dockerfile), ("a", "1"), ("b", "1")]);
    let built = |tag: &str, client: Client| {
        build(&world, client, &root, &["-t", tag]).ok();
        (id(&world, tag), inside(&world, tag, "cat /u1 /u2"))
    };
    let first = built("c1", Client::Hull);
    // Another time is no other content; another client is no other build.
    world.sh(&format!("touch -d 2001-01-01 {}/a", root.display())).ok();
    assert_eq!(built("c2", Client::Docker), first);
    world.kill_daemon();
    world.start_daemon();
    assert_eq!(built("c3", Client::Hull), first);
    std::fs::write(root.join("b"), "2").unwrap();
    let second = built("c4", Client::Hull);
    let (one, two) = (first.1.split_once('\n').unwrap(), second.1.split_once('\n').unwrap());
    assert!(one.0 == two.0 && one.1 != two.1, "{one:?} {two:?}");
    // A changed mode counts.
    world.sh(&format!("chmod 600 {}/a", root.display())).ok();
    assert_ne!(built("c5", Client::Hull).1, second.1);
    let size = world.docker(&["system", "df", "--format", "{{.Type}} {{.Size}}"]).ok();
    assert!(!size.contains("Build Cache 0B"), "{size}");
    world.hull(&["builder", "prune", "-af"]).ok();
    assert!(
        world.docker(&["system", "df", "--format", "{{.Type}} {{.Size}}"]).ok().contains("Build Cache 0B")
    );
    // What images need stayed.
    assert_eq!(inside(&world, "c1", "cat /u1 /u2"), first.1);
    world.stop();
}

#[test]
fn the_same_inputs_give_the_same_digest() {
    let world = World::start();
    let dockerfile =
        "FROM busybox\nWORKDIR /w\nCOPY . .\nRUN mkdir -p d && echo x > d/y && touch z && sleep 0.01\n";
    let root = project(&world, "same", &[("Dockerfile", dockerfile), ("f/g", "1")]);
    build(&world, Client::Hull, &root, &["-t", "s1", "--verify"]).ok();
    let first = id(&world, "s1");
    world.hull(&["builder", "prune", "-af"]).ok();
    world.sh(&format!("find {} -exec touch -d 2010-10-10 {{}} +", root.display())).ok();
    build(&world, Client::Docker, &root, &["-t", "s2", "--no-cache"]).ok();
    assert_eq!(id(&world, "s2"), first);
    build(&world, Client::Hull, &root, &["-t", "s3", "--build-arg", "SOURCE_DATE_EPOCH=1000000000"]).ok();
    assert_eq!(inside(&world, "s3", "stat -c %Y /w/f/g /w/d/y"), "1000000000\n1000000000");
    let random = project(
        &world,
        "random",
        &[("Dockerfile", "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /u\n")],
    );
    let said = build(&world, Client::Hull, &random, &["--verify"]).expect_code(1);
    assert!(said.stderr.contains("/u differs"), "{}", said.stderr);
    world.stop();
}

#[test]
fn secrets_reach_the_step_and_nothing_else() {
    let world = World::start();
    let dockerfile = "FROM busybox\nRUN --mount=type=secret,id=s,target=/k/s --mount=type=secret,id=e,env=E \\\n  \
                      stat -c '%a %u' /k/s && wc -c < /k/s && test \"${#E}\" = 14 && cat /k/s && cp /k/s /dev/null && touch /done\n";
    let root = project(&world, "secret", &[("Dockerfile", dockerfile), ("s.txt", "top-secret-4711")]);
    let file = format!("id=s,src={}/s.txt", root.display());
    let mut command = world.client_command(Client::Hull, &["build", "--progress", "plain", "-t", "sec"]);
    command.args(["--secret", &file, "--secret", "id=e,env=OTHER"]).env("OTHER", "other-secret-9").arg(&root);
    let ignore = project(&world, "secret", &[(".dockerignore", "s.txt\n")]);
    assert_eq!(ignore, root);
    let said = world.run(command, None);
    said.clone().ok();
    assert!(said.stderr.contains("400 0") && !said.stderr.contains("top-secret-4711"), "{}", said.stderr);
    let archive = world.directory().join("sec.tar");
    world.docker(&["save", "-o", archive.to_str().unwrap(), "sec"]).ok();
    for secret in ["top-secret-4711", "other-secret-9"] {
        let found =
            world.sh(&format!("grep -rlaF {secret} {} {}", archive.display(), world.data_root().display()));
        assert_eq!(found.stdout, "", "the secret {secret} was kept");
    }
    assert_eq!(inside(&world, "sec", "ls -d /k 2>&1 || true"), "ls: /k: No such file or directory");
    // Another secret is no other step; none at all fails where it is required.
    std::fs::write(root.join("s.txt"), "changed-secret-1").unwrap();
    let mut command = world.client_command(Client::Hull, &["build", "--progress", "plain"]);
    command.args(["--secret", &file, "--secret", "id=e,env=OTHER"]).env("OTHER", "x").arg(&root);
    assert!(world.run(command, None).expect_code(0).stderr.contains("CACHED"));
    let required = project(
        &world,
        "required",
        &[("Dockerfile", "FROM busybox\nRUN --mount=type=secret,id=q,required true\n")],
    );
    let said = build(&world, Client::Hull, &required, &[]).expect_code(1);
    assert!(said.stderr.contains("secret q: not found"), "{}", said.stderr);
    world.stop();
}

#[test]
fn a_build_whose_client_goes_leaves_nothing() {
    // Killed, or interrupted at its terminal.
    for (client, signal) in [(Client::Hull, "KILL"), (Client::Docker, "KILL"), (Client::Hull, "INT")] {
        let world = World::start();
        let root = project(
            &world,
            "long",
            &[("Dockerfile", "FROM busybox\nRUN --mount=type=cache,target=/c sleep 4711\n")],
        );
        let mut command = world.client_command(client, &["build"]);
        let mut child = command.env("DOCKER_BUILDKIT", "0").arg(&root).spawn().unwrap();
        let running = || !world.sh("pgrep -f 'slee[p] 4711'").stdout.is_empty();
        eventually("the step runs", 20, || running().then_some(()));
        world.sh(&format!("kill -{signal} {}", child.id())).ok();
        assert!(!child.wait().unwrap().success());
        eventually("the step ended", 10, || (!running()).then_some(()));
        let left = || {
            let names = ["exec/containers", "data/build/mounts", "exec/build", "exec/runtime"];
            let count =
                |name: &str| std::fs::read_dir(world.directory().join(name)).map_or(0, Iterator::count);
            names.into_iter().map(count).sum::<usize>()
        };
        eventually("all of it is gone", 10, || (left() == 0).then_some(()));
        // Its cache is not in use for ever.
        world.hull(&["builder", "prune", "-af"]).ok();
        world.stop();
    }
}

#[test]
fn failures_name_the_place_the_output_and_the_code() {
    let world = World::start();
    let bad =
        project(&world, "bad", &[("Dockerfile", "FROM busybox\nENV A=1\nRUN echo before && \\\n  exit 7\n")]);
    let said = build(&world, Client::Hull, &bad, &[]).expect_code(1).stderr;
    for part in [
        "#3 [1/2] FROM busybox",
        "before",
        "ERROR: ",
        " > [2/2] RUN echo before &&   exit 7:",
        "Dockerfile:3\n",
        "   3 | >>> RUN echo before && \\\n   4 | >>>   exit 7",
        "did not complete successfully: exit code: 7",
    ] {
        assert!(said.contains(part), "{part:?} is missing in {said}");
    }
    let said = build(&world, Client::Docker, &bad, &[]).expect_code(7);
    assert!(said.stdout.contains("Step 3/3 : RUN echo before &&   exit 7"), "{}", said.stdout);
    assert!(
        said.stderr.contains("The command '/bin/sh -c echo before &&   exit 7' returned a non-zero code: 7"),
        "{}",
        said.stderr
    );
    let typo = project(&world, "typo", &[("Dockerfile", "FROM busybox\nRUN x\nCPOY a b\n")]);
    for client in [Client::Hull, Client::Docker] {
        let said = build(&world, client, &typo, &[]).expect_code(1).stderr;
        assert!(
            said.contains("dockerfile parse error on line 3: unknown instruction: CPOY (did you mean COPY?)"),
            "{said}"
        );
    }
    let missing = project(&world, "missing", &[("Dockerfile", "FROM busybox\nCOPY nothing /\n")]);
    for client in [Client::Hull, Client::Docker] {
        let said = build(&world, client, &missing, &[]).expect_code(1).stderr;
        assert!(said.contains("file not found in build context or excluded by .dockerignore: stat nothing: file does not exist"), "{said}");
    }
    let lint = project(&world, "lint", &[("Dockerfile", "FROM busybox\nMAINTAINER me\n")]);
    let said = world.hull(&["build", "--check", lint.to_str().unwrap()]).expect_code(1);
    assert!(said.stdout.contains("WARNING: MaintainerDeprecated - https://docs.docker.com/go/dockerfile/rule/maintainer-deprecated/"), "{}", said.stdout);
    assert!(
        said.stdout.contains("suggested: LABEL org.opencontainers.image.authors=\"me\""),
        "{}",
        said.stdout
    );
    world.stop();
}

#[test]
fn files_come_out_as_directory_tar_and_archive() {
    let world = World::start();
    let root = project(&world, "out", &[("Dockerfile", "FROM scratch\nCOPY a /d/a\n"), ("a", "1")]);
    let out = world.directory().join("o");
    build(&world, Client::Hull, &root, &["-o", out.to_str().unwrap()]).ok();
    assert_eq!(std::fs::read_to_string(out.join("d/a")).unwrap(), "1");
    let listed = std::fs::read_dir(&out).unwrap().count();
    assert_eq!(listed, 1, "only the image's own files");
    let tar = world.directory().join("o.tar");
    build(&world, Client::Hull, &root, &["-o", &format!("type=tar,dest={}", tar.display())]).ok();
    assert!(world.sh(&format!("tar tf {}", tar.display())).ok().contains("d/a"));
    let archive = world.directory().join("o.oci");
    build(&world, Client::Hull, &root, &["-t", "o:1", "-o", &format!("type=oci,dest={}", archive.display())])
        .ok();
    assert!(world.sh(&format!("tar tf {}", archive.display())).ok().contains("oci-layout"));
    let named = world.directory().join("id");
    build(&world, Client::Hull, &root, &["-t", "o:2", "--iidfile", named.to_str().unwrap()]).ok();
    assert_eq!(std::fs::read_to_string(named).unwrap(), id(&world, "o:2"));
    let quiet = build(&world, Client::Hull, &root, &["-q"]);
    assert_eq!((quiet.stderr.as_str(), quiet.stdout.trim()), ("", id(&world, "o:2").as_str()));
    world.stop();
}

#[test]
fn only_changed_files_are_sent() {
    let world = World::start();
    let root = project(
        &world,
        "inc",
        &[
            ("Dockerfile", "FROM busybox\nCOPY . /x\n"),
            ("a", "1"),
            ("d/b", "22"),
            ("skip", "3"),
            (".dockerignore", "skip\n"),
        ],
    );
    let sent = |said: Output| {
        let said = said.expect_code(0).stderr;
        let line = said.lines().find(|line| line.contains("files: ")).unwrap().to_owned();
        line.split("transferring ").nth(1).unwrap().to_owned()
    };
    let first = sent(build(&world, Client::Hull, &root, &["-t", "inc"]));
    assert!(first.starts_with("4 files"), "{first}");
    assert_eq!(sent(build(&world, Client::Hull, &root, &["-t", "inc"])), "0 files: 0B");
    std::fs::write(root.join("a"), "changed").unwrap();
    assert_eq!(sent(build(&world, Client::Hull, &root, &["-t", "inc"])), "1 files: 7B");
    assert_eq!(inside(&world, "inc", "cat /x/a /x/d/b; ls /x"), "changed22Dockerfile\na\nd");
    world.stop();
}

#[test]
fn add_takes_archives_apart_and_verifies_what_it_downloads() {
    let world = World::start();
    let dockerfile = "FROM busybox\nADD a.tgz b.tar.bz2 c.tar.xz d.tar plain.gz /x/\nADD --unpack=false d.tar /y/\n\
                      ADD --checksum=sha256:SUM --chmod=644 http://127.0.0.1:8099/served/f.txt /z/\nCOPY d.tar /w\n";
    let root = project(&world, "add", &[("served/f.txt", "from the web\n"), ("t/e", "e"), ("plain", "p")]);
    world
        .sh(&format!(
            "cd {} && for n in 'a.tgz z' 'b.tar.bz2 j' 'c.tar.xz J' 'd.tar '; do set -- $n; mkdir -p t && echo $1 > t/$1.txt && tar -c$2f $1 t/$1.txt; done && \
             gzip -k plain && mkdir s && mv served s/",
            root.display()
        ))
        .ok();
    let sum = world.sh(&format!("sha256sum {}/s/served/f.txt", root.display())).ok();
    std::fs::write(root.join("Dockerfile"), dockerfile.replace("SUM", &sum[..64])).unwrap();
    let mut command = world.command("python3");
    command.args(["-m", "http.server", "8099", "--bind", "127.0.0.1", "--directory"]).arg(root.join("s"));
    let mut server =
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    eventually("the files are served", 10, || {
        (world.sh("curl -sf -o /dev/null http://127.0.0.1:8099/served/f.txt").code == 0).then_some(())
    });
    let good = build(&world, Client::Hull, &root, &["-t", "add"]);
    std::fs::write(root.join("Dockerfile"), dockerfile.replace("SUM", &"0".repeat(64))).unwrap();
    let bad = build(&world, Client::Hull, &root, &[]);
    server.kill().unwrap();
    server.wait().unwrap();
    good.ok();
    let said = inside(
        &world,
        "add",
        "cd /x && ls . t; ls /y; cat /z/f.txt; stat -c %a /z/f.txt; test -f /w && echo file",
    );
    assert_eq!(
        said,
        ".:\nplain.gz\nt\n\nt:\na.tgz.txt\nb.tar.bz2.txt\nc.tar.xz.txt\nd.tar.txt\nd.tar\nfrom the web\n644\nfile"
    );
    assert!(bad.expect_code(1).stderr.contains("digest mismatch"));
    world.stop();
}

#[test]
fn a_killed_daemons_step_ends_with_the_next_daemon() {
    let world = World::start();
    let root = project(&world, "killed", &[("Dockerfile", "FROM busybox\nRUN sleep 4712\n")]);
    let mut command = world.client_command(Client::Hull, &["build", "--progress", "quiet"]);
    let mut child = command.arg(&root).stderr(std::process::Stdio::null()).spawn().unwrap();
    let running = || !world.sh("pgrep -f 'slee[p] 4712'").stdout.is_empty();
    eventually("the step runs", 20, || running().then_some(()));
    world.kill_daemon();
    child.wait().unwrap();
    assert!(running(), "what runs does not end with the daemon");
    world.start_daemon();
    eventually("the step ended", 10, || (!running()).then_some(()));
    for name in ["exec/containers", "exec/runtime", "data/build/mounts"] {
        let left = || std::fs::read_dir(world.directory().join(name)).map_or(0, Iterator::count);
        eventually(&format!("{name} is empty"), 10, || (left() == 0).then_some(()));
    }
    world.stop();
}
