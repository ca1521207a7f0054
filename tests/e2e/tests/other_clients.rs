//! Clients that are neither `hull` nor the docker CLI: docker-py 5.0 and docker-compose 1.29, both Debian's.

use hull_e2e::{World, eventually};

#[test]
fn docker_py_finds_what_it_expects() {
    let world = World::start();
    // Debian's Python, which has Debian's docker-py.
    let mut command = world.command("/usr/bin/python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/docker_py.py")).arg(world.socket());
    assert_eq!(world.run(command, None).ok(), "done");
    world.stop();
}

#[test]
fn compose_brings_a_project_up_and_down() {
    let world = World::start();
    let file = world.directory().join("docker-compose.yml");
    let project = r#"
version: "3"
services:
  web: {image: nginx, ports: ["8090:80"], volumes: ["data:/srv"]}
  job: {image: busybox, command: "sh -c 'echo job done'", depends_on: [web]}
volumes: {data: {}}
"#;
    std::fs::write(&file, project).expect("the project's file");
    let compose = |words: &[&str]| {
        let mut command = world.command("/usr/bin/docker-compose");
        command.env("DOCKER_HOST", format!("unix://{}", world.socket().display()));
        command.args(["-p", "sea", "-f"]).arg(&file).args(words);
        world.run(command, None)
    };
    compose(&["up", "-d"]).ok();
    eventually("the web service answers", 10, || {
        world.sh("curl -s http://127.0.0.1:8090/").stdout.contains("Welcome to nginx").then_some(())
    });
    eventually("the job is done", 10, || compose(&["logs", "job"]).ok().contains("job done").then_some(()));
    assert!(compose(&["ps"]).ok().contains("0.0.0.0:8090->80/tcp"));
    assert_eq!(compose(&["exec", "-T", "web", "echo", "inside"]).ok(), "inside");
    compose(&["up", "-d", "--scale", "job=2"]).ok();
    compose(&["restart", "-t", "1", "web"]).ok();
    compose(&["down", "-v", "-t", "1"]).ok();
    assert_eq!(world.hull(&["ps", "-aq"]).ok(), "");
    assert_eq!(world.hull(&["volume", "ls", "-q"]).ok(), "");
    assert_eq!(world.hull(&["network", "ls", "-q"]).ok().lines().count(), 3);
    world.stop();
}
