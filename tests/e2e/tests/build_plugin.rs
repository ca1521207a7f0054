//! The stock docker CLI with Hull as its plugin.
#![allow(clippy::unwrap_used)] // helpers of tests

use hull_e2e::{Client, Output, World, eventually};
use std::path::PathBuf;
use std::process::Command;

/// A world whose docker CLI has a plugin.
struct Plugged {
    world: World,
}

impl Plugged {
    fn start() -> Self {
        let world = World::start();
        let plugins = world.directory().join("docker/cli-plugins");
        std::fs::create_dir_all(&plugins).unwrap();
        std::os::unix::fs::symlink(world.program(Client::Hull), plugins.join("docker-buildx")).unwrap();
        Self { world }
    }

    /// A directory with these files.
    fn project(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = self.world.directory().join(name);
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    /// `@` stands for the world's directory.
    fn command(&self, line: &str) -> Command {
        let line = line.replace('@', &format!("{}/", self.world.directory().display()));
        let words: Vec<&str> = line.split(' ').collect();
        let mut command = self.world.client_command(Client::Docker, &words);
        command.env("DOCKER_CONFIG", self.world.directory().join("docker"));
        command.env_remove("DOCKER_BUILDKIT");
        command
    }

    fn docker(&self, line: &str) -> Output {
        self.world.run(self.command(line), None)
    }
}

#[test]
fn docker_build_is_served() {
    let plugged = Plugged::start();
    let version = plugged.docker("buildx version").ok();
    assert!(version.starts_with("hull/buildx v0."), "{version}");
    plugged.project("secret", &[("token", "s3cret")]);
    let dockerfile = "FROM busybox AS base\nRUN --mount=type=secret,id=t --mount=type=cache,target=/c \\\n  \
                      wc -c < /run/secrets/t > /count && echo said so\nFROM scratch AS files\nCOPY --from=base /count /\n\
                      FROM base\nCMD [\"cat\", \"/count\"]\n";
    plugged.project("app", &[("Dockerfile", dockerfile)]);
    let said =
        plugged.docker("build -t app --secret id=t,src=@secret/token --progress plain @app").expect_code(0);
    assert!(
        said.stderr.contains("said so") && said.stderr.contains("#1 [internal] load build"),
        "{}",
        said.stderr
    );
    assert_eq!(plugged.docker("run --rm --network none app").ok(), "6");
    plugged.docker("buildx build --target files --secret id=t,src=@secret/token -o @out @app").ok();
    assert_eq!(std::fs::read_to_string(plugged.world.directory().join("out/count")).unwrap(), "6\n");
    // As it went wrong, so docker says and ends.
    plugged.project("bad", &[("Dockerfile", "FROM busybox\nRUN echo about to && exit 3\n")]);
    let said = plugged.docker("image build @bad").expect_code(1);
    assert!(said.stderr.contains(">>> RUN echo about to && exit 3"), "{}", said.stderr);
    assert!(said.stderr.contains("did not complete successfully: exit code: 3"), "{}", said.stderr);
    let said = plugged.docker("build --nope @app").expect_code(125);
    assert!(said.stderr.contains("unknown flag: --nope"), "{}", said.stderr);
    builders_and_cache(&plugged);
    plugged.world.stop();
}

fn builders_and_cache(plugged: &Plugged) {
    let listed = plugged.docker("buildx ls").ok();
    assert!(listed.contains("default*") && listed.contains("running"), "{listed}");
    plugged.docker("buildx inspect default").ok();
    let said = plugged.docker("buildx create --use").expect_code(1);
    assert!(said.stderr.contains("there is none to create"), "{}", said.stderr);
    let used = plugged.docker("buildx du --verbose").ok();
    assert!(used.contains("Description:") && used.contains("said so"), "{used}");
    let kept = plugged.docker("buildx prune -af --reserved-space 1gb").ok();
    assert_eq!(kept, "Total:\t0B");
    let gone = plugged.docker("builder prune -af").ok();
    assert!(gone.contains("RECLAIMABLE") && gone.contains("Total:"), "{gone}");
    assert!(plugged.docker("buildx du").ok().ends_with("Total:\t\t0B"));
    let image = plugged.docker("buildx imagetools inspect 127.0.0.1:5000/library/busybox:latest").ok();
    assert!(image.starts_with("Name:      127.0.0.1:5000/library/busybox:latest"), "{image}");
}

#[test]
fn a_build_ends_with_dockers_patience() {
    let plugged = Plugged::start();
    plugged.project("slow", &[("Dockerfile", "FROM busybox\nRUN echo now; sleep 98765\n")]);
    let mut command = plugged.command("build @slow");
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let running = || plugged.world.sh("pgrep -fx 'sleep 98765'").code == 0;
    eventually("the step runs", 60, || running().then_some(()));
    // Not a terminal's interrupt, which the plugin would get too: docker is told alone.
    plugged.world.sh(&format!("kill -INT {}", child.id())).ok();
    assert!(!child.wait().unwrap().success());
    eventually("the step ended", 30, || (!running()).then_some(()));
    plugged.world.stop();
}

const BAKE: &str = r#"
variable "TAG" { default = "v1" }
group "default" { targets = ["app", "tool"] }
target "base" {
  context = "@app"
  dockerfile-inline = "FROM busybox\nENV WHO=base\nRUN echo from-base > /base"
}
target "app" {
  context = "@app"
  contexts = { start = "target:base" }
  args = { NAME = "app" }
  tags = ["baked-app:${TAG}"]
}
target "tool" {
  context = "@app"
  contexts = { start = "target:base" }
  args = { NAME = "tool" }
  tags = ["baked-tool:${TAG}"]
}
"#;

#[test]
fn bake_builds_what_files_describe() {
    let plugged = Plugged::start();
    let root = format!("{}/", plugged.world.directory().display());
    let dockerfile = "FROM start\nARG NAME\nCOPY --from=start /base /copied\nRUN echo $NAME $WHO > /name\n";
    plugged.project("app", &[("Dockerfile", dockerfile)]);
    plugged.project("bake", &[("bake.hcl", &BAKE.replace('@', &root))]);
    let printed = plugged.docker("buildx bake -f @bake/bake.hcl --print app --var TAG=v9").ok();
    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["target"]["app"]["tags"][0], "baked-app:v9");
    let listed = plugged.docker("buildx bake -f @bake/bake.hcl --list=variables").ok();
    assert!(listed.contains("TAG") && listed.contains("v1"), "{listed}");
    plugged
        .docker("bake -f @bake/bake.hcl --metadata-file @meta.json --progress plain --set tool.args.NAME=set")
        .ok();
    assert_eq!(
        plugged.docker("run --rm --network none baked-app:v1 cat /name /copied").ok(),
        "app base\nfrom-base"
    );
    assert_eq!(plugged.docker("run --rm --network none baked-tool:v1 cat /name").ok(), "set base");
    let document = std::fs::read_to_string(plugged.world.directory().join("meta.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert!(document["app"]["containerimage.digest"].as_str().unwrap().starts_with("sha256:"));
    assert!(document["base"].is_null() && document["app"]["hull.kept"].is_null(), "{document}");
    // What only others started from is no image.
    assert_eq!(plugged.docker("images -q --filter dangling=true").ok(), "");
    let said = plugged.docker("bake -f @bake/bake.hcl nope").expect_code(1);
    assert!(said.stderr.contains("failed to find target nope"), "{}", said.stderr);
    plugged.project("bake", &[("net.hcl", "target \"default\" { network = \"host\" }\n")]);
    let said = plugged.docker("bake -f @bake/net.hcl").expect_code(1);
    assert!(said.stderr.contains("--allow=network.host"), "{}", said.stderr);
    plugged.world.stop();
}

#[test]
fn what_a_failed_step_left_is_looked_at() {
    let plugged = Plugged::start();
    plugged.project(
        "bad",
        &[("Dockerfile", "FROM busybox\nENV A=b\nWORKDIR /w\nRUN echo kept > trace && exit 7\n")],
    );
    let command = plugged.command("buildx build --debug --progress plain @bad");
    let said = plugged.world.run(command, Some("echo $A; cat trace; exit 5\n")).expect_code(1);
    assert_eq!(said.stdout, "b\nkept\n", "{}", said.stderr);
    assert!(said.stderr.contains("exit code: 7"), "{}", said.stderr);
    assert_eq!(plugged.docker("images -q --filter dangling=true").ok(), "");
    assert_eq!(plugged.docker("ps -aq").ok(), "");
    plugged.world.stop();
}

#[test]
fn a_terminal_shows_a_tree() {
    let plugged = Plugged::start();
    plugged.project("ok", &[("Dockerfile", "FROM busybox\nRUN echo seen; sleep 1\n")]);
    let mut terminal = hull_e2e::Terminal::run(&plugged.command("build @ok"), 30, 90);
    terminal.expect(" => => # seen");
    assert_eq!(terminal.wait(), 0);
    let screen = terminal.screen();
    assert!(screen.contains("[+] Building") && screen.contains("FINISHED"), "{screen}");
    plugged.world.stop();
}
