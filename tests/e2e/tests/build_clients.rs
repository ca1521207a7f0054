//! Builds by clients that know nothing of Hull: the stock docker CLI's classic builder, docker-py, docker-compose 1.29;
//! and Hull's client with an engine that is not Hull.
#![allow(clippy::unwrap_used)] // helpers of tests

use hull_e2e::{Client, Output, World, eventually};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn project(world: &World, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let root = world.directory().join(name);
    for (path, text) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

fn inside(world: &World, image: &str, line: &str) -> String {
    world.docker(&["run", "--rm", "--network", "none", image, "sh", "-c", line]).ok()
}

/// The stock CLI's classic builder; `@` stands for the world's directory.
fn classic(world: &World, line: &str, input: Option<&str>) -> Output {
    let line = line.replace('@', &format!("{}/", world.directory().display()));
    let words: Vec<&str> = line.split(' ').collect();
    let mut command = world.client_command(Client::Docker, &words);
    command.env("DOCKER_BUILDKIT", "0");
    world.run(command, input)
}

const DOCKERFILE: &str = "FROM busybox AS base\nARG WHO=nobody\nRUN echo $WHO > /who\n\
    RUN grep there /etc/hosts > /hosts; df -k /dev/shm | tail -n1 | awk '{print $2}' > /shm; ls /sys/class/net > /net; \
    ulimit -n > /files\nCOPY . /c\nFROM base AS wanted\nFROM base AS unwanted\nRUN false\n";

#[test]
fn the_classic_builder_has_its_flags() {
    let world = World::start();
    project(&world, "app", &[("Dockerfile", "FROM nope\n"), ("a", "a\n")]);
    project(&world, "elsewhere", &[("Other", DOCKERFILE)]);
    let flags = "--build-arg WHO=docker --label made=by-hand --target wanted --network none --add-host there:10.1.2.3 \
                 --shm-size 32m --ulimit nofile=77:99 --memory 64m --cpuset-cpus 0 --cpu-shares 512 --cache-from busybox \
                 --no-cache --rm --force-rm --platform linux/amd64";
    let said =
        classic(&world, &format!("build -t app:1 -t app:2 -f @elsewhere/Other {flags} @app"), None).ok();
    assert!(said.contains("Step 1/") && said.contains("Successfully tagged app:2"), "{said}");
    let line = "cat /who /hosts /shm /net /files; ls /c";
    assert_eq!(inside(&world, "app:1", line), "docker\n10.1.2.3\tthere\n32768\nlo\n77\nDockerfile\na");
    let label = world.docker(&["image", "inspect", "-f", "{{.Config.Labels.made}}", "app:2"]).ok();
    assert_eq!(label, "by-hand");
    let quiet = classic(&world, "build -q -", Some("FROM app:1\nENV A=b\n")).ok();
    assert!(quiet.starts_with("sha256:"), "{quiet}");
    classic(&world, "build -q --iidfile @id -f - @app", Some("FROM app:1\nCOPY a /here\n")).ok();
    assert!(std::fs::read_to_string(world.directory().join("id")).unwrap().starts_with("sha256:"));
    let said = classic(&world, "build -", Some("FROM app:1\nRUN echo said; exit 7\n")).expect_code(7);
    assert!(said.stderr.contains("returned a non-zero code: 7") && said.stdout.contains("said"), "{said:?}");
    let said = classic(&world, "build -", Some("FROM app:1\nRUM x\n")).expect_code(1).stderr;
    assert!(said.contains("unknown instruction: RUM (did you mean RUN?)"), "{said}");
    let said = classic(&world, "build --squash @app", None).expect_code(1).stderr;
    assert!(said.contains("squash"), "{said}");
    world.stop();
}

#[test]
fn docker_py_builds_with_all_arguments() {
    let world = World::start();
    let web =
        project(&world, "web", &[("Dockerfile", "FROM py:1\nCOPY web /web\n"), ("web", "over the web\n")]);
    world.sh(&format!("tar -C {0} -czf {0}/../context.tar.gz . && mkdir {0}/../served {0}/../empty && mv {0}/../context.tar.gz {0}/../served", web.display())).ok();
    let mut server = world.command("python3");
    server.args(["-m", "http.server", "8098", "--bind", "127.0.0.1", "--directory"]);
    server
        .arg(world.directory().join("served"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .stdin(Stdio::null());
    let mut server = server.spawn().unwrap();
    eventually("the server answers", 30, || {
        (world.sh("curl -sf http://127.0.0.1:8098/ -o /dev/null").code == 0).then_some(())
    });
    let mut command = world.command("/usr/bin/python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/docker_py_build.py")).arg(world.socket());
    command.arg(world.directory().join("empty")).arg("http://127.0.0.1:8098/context.tar.gz");
    let said = world.run(command, None);
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(said.ok(), "done");
    world.stop();
}

const COMPOSED: &str = r#"
services:
  app:
    image: composed
    build:
      context: ./app
      dockerfile: Dockerfile.app
      args: {WHO: compose}
      labels: {made: "by compose"}
      target: wanted
      cache_from: [busybox]
      shm_size: 32m
      network: none
      extra_hosts: ["there:10.1.2.3"]
  plain:
    build: ./plain
"#;

#[test]
fn compose_builds_by_itself_and_through_docker() {
    let world = World::start();
    project(&world, "composed", &[("docker-compose.yml", COMPOSED), ("app/Dockerfile.app", DOCKERFILE)]);
    project(&world, "composed", &[("plain/Dockerfile", "FROM composed\nENTRYPOINT [\"cat\", \"/who\"]\n")]);
    let plugins = world.directory().join("with-plugin/cli-plugins");
    std::fs::create_dir_all(&plugins).unwrap();
    std::os::unix::fs::symlink(world.program(Client::Hull), plugins.join("docker-buildx")).unwrap();
    let compose = |by_docker: bool, config: &str, words: &[&str]| {
        let mut command: Command = world.command("/usr/bin/docker-compose");
        command.env("DOCKER_HOST", format!("unix://{}", world.socket().display()));
        command.env("DOCKER_CONFIG", world.directory().join(config));
        command.env("COMPOSE_DOCKER_CLI_BUILD", if by_docker { "1" } else { "0" });
        command.env("DOCKER_BUILDKIT", if config == "with-plugin" { "1" } else { "0" });
        command.args(["-p", "sea", "--project-directory"]).arg(world.directory().join("composed"));
        command.arg("-f").arg(world.directory().join("composed/docker-compose.yml")).args(words);
        world.run(command, None)
    };
    for (by_docker, config) in [(false, "none"), (true, "none"), (true, "with-plugin")] {
        compose(by_docker, config, &["build", "--no-cache", "app"]).ok();
        compose(by_docker, config, &["build", "plain"]).ok();
        // What docker's command line takes of a service is compose's own choice.
        let shm = if by_docker { "65536" } else { "32768" };
        let wanted = format!("compose\n10.1.2.3\tthere\n{shm}\nlo");
        assert_eq!(inside(&world, "composed", "cat /who /hosts /shm /net"), wanted, "{config}");
        let label = world.docker(&["image", "inspect", "-f", "{{.Config.Labels.made}}", "composed"]).ok();
        assert_eq!(label, "by compose");
        let said = compose(by_docker, config, &["run", "--rm", "plain"]).ok();
        assert_eq!(said.lines().last(), Some("compose"), "{config}");
        compose(by_docker, config, &["down"]).ok();
        world.docker(&["rmi", "-f", "composed", "sea_plain"]).ok();
    }
    project(&world, "composed", &[("plain/Dockerfile", "FROM busybox\nRUN exit 5\n")]);
    let said = compose(false, "none", &["build", "plain"]).expect_code(1).stderr;
    assert!(said.contains("returned a non-zero code: 5"), "{said}");
    world.stop();
}

#[test]
fn hulls_client_builds_with_a_plain_engine() {
    let world = World::start();
    world.start_dockerd_with(&["--bip", "172.30.0.1/16"]);
    let socket = format!("unix://{}", world.dockerd_socket().display());
    let app = project(
        &world,
        "app",
        &[("Dockerfile", "FROM nope\n"), ("a", "a\n"), ("b", "b\n"), (".dockerignore", "b\n")],
    );
    let other = project(&world, "elsewhere", &[("Other", DOCKERFILE)]).join("Other");
    let run = |words: &[&str], path: &Path, input: Option<&str>| {
        let mut command = world.command(world.program(Client::Hull));
        command.args(["-H", &socket]).args(words).arg(path);
        world.run(command, input)
    };
    let flags = "--build-arg WHO=hull --label made=here --target wanted --network none --add-host there:10.1.2.3 --shm-size \
                 32m --ulimit nofile=77:99 --cpu-shares 512 --cache-from busybox -t app:1 -t app:2";
    let mut words: Vec<&str> = vec!["build", "-f", other.to_str().unwrap()];
    words.extend(flags.split_whitespace());
    let said = run(&words, &app, None).expect_code(0);
    assert!(said.stderr.contains("its classic builder is used"), "{said:?}");
    let inspect = run(&["image", "inspect", "-f", "{{.Config.Labels.made}}"], Path::new("app:2"), None).ok();
    assert_eq!(inspect, "here");
    let look = "FROM app:1\nRUN cat /who /hosts /shm /net /files && ls -A /c\n";
    let said = run(&["build", "--no-cache"], Path::new("-"), Some(look)).ok();
    for line in ["hull", "10.1.2.3\tthere", "32768", "77", ".dockerignore", "a"] {
        assert!(said.lines().any(|one| one == line), "{line}: {said}");
    }
    assert!(!said.lines().any(|one| one == "b"), "{said}");
    // More than is read to see that it is an archive.
    std::fs::write(other.parent().unwrap().join("large"), vec![b'x'; 3 << 20]).unwrap();
    let tar = format!(
        "tar -C {} -c Other large | {} -H {socket} build -q -f Other --target base -",
        other.parent().unwrap().display(),
        world.program(Client::Hull).display()
    );
    assert!(world.sh(&tar).ok().starts_with("sha256:"));
    let said = run(&["build"], Path::new("-"), Some("FROM app:1\nRUN exit 7\n")).expect_code(7).stderr;
    assert!(said.contains("returned a non-zero code: 7"), "{said}");
    std::fs::write(world.directory().join("token"), "s3cret").unwrap();
    let secret = format!("id=t,src={}", world.directory().join("token").display());
    for (flag, value) in
        [("--secret", secret.as_str()), ("--output", "type=tar,dest=x"), ("--call", "outline")]
    {
        let said = run(&["build", flag, value], &app, None).expect_code(1).stderr;
        assert!(said.contains(&format!("{flag} needs Hull's daemon")), "{said}");
    }
    world.stop_dockerd();
    world.stop();
}

/// Lists the keys of an agent by its protocol, as `ssh-add -l` does.
const AGENT: &str = "FROM python\nRUN --mount=type=ssh,required=true python3 <<E > /keys\n\
    import os, socket, struct\n\
    s = socket.socket(socket.AF_UNIX)\ns.connect(os.environ['SSH_AUTH_SOCK'])\ns.sendall(b'\\\\0\\\\0\\\\0\\\\1\\\\x0b')\n\
    n, = struct.unpack('>I', s.recv(4, socket.MSG_WAITALL))\nbody = s.recv(n, socket.MSG_WAITALL)\n\
    count, size = struct.unpack('>II', body[1:9])\n\
    comment = body[9 + size + 4:]\nprint(count, comment.decode())\nE\n\
    RUN test -z \"$SSH_AUTH_SOCK\" && ! ls /run/buildkit 2>/dev/null\n";

#[test]
fn an_ssh_agent_is_reached_from_a_step() {
    let world = World::start();
    let at = world.directory().display().to_string();
    let mut agent = world.command("ssh-agent");
    agent.args(["-D", "-a", &format!("{at}/agent")]).stdout(Stdio::null()).stdin(Stdio::null());
    let mut agent = agent.spawn().unwrap();
    world.sh(&format!("ssh-keygen -q -t ed25519 -N '' -C the-builders-key -f {at}/key")).ok();
    eventually("the agent has the key", 30, || {
        (world.sh(&format!("SSH_AUTH_SOCK={at}/agent ssh-add -q {at}/key")).code == 0).then_some(())
    });
    let root = project(&world, "app", &[("Dockerfile", AGENT)]);
    let build = |flags: &[&str]| {
        let mut command =
            world.client_command(Client::Hull, &["build", "--progress", "plain", "-t", "agent"]);
        command.env("SSH_AUTH_SOCK", format!("{at}/agent")).args(flags).arg(&root);
        world.run(command, None)
    };
    build(&["--ssh", "default"]).ok();
    assert_eq!(inside(&world, "agent", "cat /keys"), "1 the-builders-key");
    build(&["--no-cache", "--ssh", &format!("default={at}/agent")]).ok();
    let said = build(&["--no-cache"]).expect_code(1).stderr;
    assert!(said.contains("ssh"), "{said}");
    let said = build(&["--ssh", &format!("default={at}/nothing"), "--no-cache"]).expect_code(1).stderr;
    assert!(said.contains("nothing"), "{said}");
    agent.kill().unwrap();
    agent.wait().unwrap();
    world.stop();
}

#[test]
fn secrets_come_from_files_variables_and_pipes_up_to_a_size() {
    let world = World::start();
    let dockerfile = "FROM busybox\nRUN --mount=type=secret,id=a --mount=type=secret,id=b,env=B --mount=type=secret,id=c \
                      cat /run/secrets/a /run/secrets/c | md5sum > /sum; echo -n $B | md5sum >> /sum\n";
    let root = project(&world, "app", &[("Dockerfile", dockerfile), ("a", "one")]);
    std::fs::write(world.directory().join("large"), vec![b'x'; (500 << 10) + 1]).unwrap();
    let (hull, at) = (world.program(Client::Hull).display().to_string(), root.display().to_string());
    let build = |flags: &str| {
        let socket = world.socket().display().to_string();
        world.sh(&format!(
            "cd {at} && printf two | B=three {hull} -H unix://{socket} build -t secret {flags} ."
        ))
    };
    build("--secret id=a,src=a --secret id=b,env=B --secret id=c,src=/dev/stdin").ok();
    let wanted = world.sh("printf onetwo | md5sum; printf three | md5sum").ok();
    assert_eq!(inside(&world, "secret", "cat /sum"), wanted);
    for (flags, why) in [
        ("--secret id=a,src=../large", "invalid secret size over 500KB: a"),
        ("--secret id=a,src=nope", "secret a: open nope: no such file or directory"),
        ("--secret id=a,env=NOPE", "the variable NOPE is not set"),
        ("--secret id=a,scr=x", "unexpected key 'scr' in 'scr=x' (did you mean src?)"),
        ("--secret src=a", "secret missing \"id\""),
    ] {
        let said = build(flags).expect_code(1).stderr;
        assert!(said.contains(why), "{flags}: {said}");
    }
    world.stop();
}
