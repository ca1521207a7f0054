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
    eventually("the record says so", 30, || {
        plugged.docker("buildx history ls").ok().contains("Canceled").then_some(())
    });
    let left = || {
        let names = ["exec/containers", "exec/runtime"].map(|name| plugged.world.directory().join(name));
        names.iter().map(|path| std::fs::read_dir(path).map_or(0, Iterator::count)).sum::<usize>()
    };
    eventually("all of it is gone", 30, || (left() == 0).then_some(()));
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

#[test]
fn builders_are_made_used_and_removed() {
    let plugged = Plugged::start();
    plugged.project("app", &[("Dockerfile", "FROM busybox\nRUN echo of-ci\n")]);
    // As setup-buildx does it.
    let made = plugged
        .docker("buildx create --name ci --driver docker-container --driver-opt network=host --use")
        .expect_code(0);
    assert_eq!(made.stdout.trim(), "ci");
    assert!(made.stderr.contains("driver option network is noted, but has no meaning"), "{}", made.stderr);
    let said = plugged.docker("buildx inspect --bootstrap").ok();
    assert!(said.starts_with("Name:   ci\nDriver: hull\n"), "{said}");
    let endpoint = format!("Endpoint:         unix://{}", plugged.world.socket().display());
    for line in [
        "Name:             ci0",
        &endpoint,
        "Driver Options:   network=\"host\"",
        "Status:           running",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let listed = plugged.docker("buildx ls").ok();
    assert!(listed.contains("ci*") && listed.contains(" \\_ ci0"), "{listed}");
    plugged.docker("buildx build -q @app").ok();
    plugged.docker("buildx build -q --builder ci @app").ok();
    let said = plugged.docker("buildx build --builder cy @app").expect_code(1).stderr;
    assert!(said.contains("ERROR: no builder \"cy\" found"), "{said}");
    for (line, why) in [
        ("create --name ci", "existing instance for \"ci\" but no append mode"),
        ("create --name default", "default is a reserved name"),
        ("create --name 1x", "invalid builder instance name"),
        ("create --driver kubernetes", "the driver \"kubernetes\" is not available"),
        ("create --append --name ci", "--append is not available"),
        ("create nowhere", "neither a context nor an engine's address"),
        ("rm default", "context builder cannot be removed"),
        ("rm nope", "no builder \"nope\" found"),
        ("dial-stdio", "does not speak BuildKit's protocol"),
        ("history export", "buildx history export is not available"),
    ] {
        let said = plugged.docker(&format!("buildx {line}")).expect_code(1).stderr;
        assert!(said.contains(why), "{line}: {said}");
    }
    plugged.docker("buildx create --name away unix://@nothing.sock").ok();
    assert!(plugged.docker("buildx inspect away").ok().contains("Error:"));
    plugged.docker("buildx inspect --bootstrap away").expect_code(1);
    plugged.docker("buildx use away").ok();
    plugged.docker("buildx build @app").expect_code(1);
    plugged.docker("buildx use default").ok();
    assert!(plugged.docker("buildx ls").expect_code(0).stdout.contains("default*"));
    assert_eq!(plugged.docker("buildx rm --all-inactive -f").ok(), "away removed");
    plugged.docker("buildx stop ci").ok();
    assert_eq!(plugged.docker("buildx rm ci").ok(), "ci removed");
    assert!(!plugged.docker("buildx ls").ok().contains("ci"));
    plugged.world.stop();
}

#[test]
fn builds_are_remembered() {
    let plugged = Plugged::start();
    plugged
        .project("app", &[("Dockerfile", "FROM busybox\nARG WHO=x\nRUN echo hello from $WHO\nRUN true\n")]);
    plugged.project("bad", &[("Dockerfile", "FROM busybox AS one\nRUN echo about to && exit 3\n")]);
    plugged.docker("buildx build -q --metadata-file @meta.json --build-arg WHO=ci -t app @app").ok();
    plugged.docker("buildx build --target one @bad").expect_code(1);
    let meta = std::fs::read_to_string(plugged.world.directory().join("meta.json")).unwrap();
    let meta: serde_json::Value = serde_json::from_str(&meta).unwrap();
    let reference = meta["buildx.build.ref"].as_str().unwrap();
    let listed = plugged.docker("buildx history ls").ok();
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].starts_with("BUILD ID") && lines[0].ends_with("DURATION"), "{listed}");
    assert!(lines[1].contains("bad (one)") && lines[1].contains("Error"), "{listed}");
    assert!(lines[2].contains(" app ") && lines[2].contains("Completed"), "{listed}");
    let said = plugged.docker(&format!("buildx history inspect {reference}")).ok();
    for line in ["Name:       app", "Build Steps: 4/4 (", "BUILD ARG   VALUE", "WHO         ci"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let document = plugged.docker("buildx history inspect --format json ^1").ok();
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!((document["Status"].as_str(), &document["NumTotalSteps"]), (Some("completed"), &4.into()));
    let failed = plugged.docker("buildx history inspect --format {{.Status}}").ok();
    assert_eq!(failed, "failed");
    let log = plugged.docker("buildx history logs ^1").expect_code(0).stderr;
    assert!(log.contains("[2/3] RUN echo hello from $WHO") && log.contains("hello from ci"), "{log}");
    let log = plugged.docker("buildx history logs").expect_code(0).stderr;
    assert!(log.contains("about to") && log.contains(">>> RUN echo about to && exit 3"), "{log}");
    // The classic builder's are, too; and they are there after the daemon is not.
    let mut command = plugged.command("build -t classic @app");
    command.env("DOCKER_BUILDKIT", "0");
    plugged.world.run(command, None).ok();
    plugged.world.kill_daemon();
    plugged.world.start_daemon();
    let rows = plugged.docker("buildx history ls --format json").ok();
    assert_eq!(rows.lines().count(), 3, "{rows}");
    let newest: serde_json::Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
    assert_eq!(newest["total_steps"], newest["completed_steps"]);
    plugged.docker("buildx history rm ^2").ok();
    let said = plugged.docker(&format!("buildx history logs {reference}")).expect_code(1).stderr;
    assert!(said.contains("no record found for ref"), "{said}");
    plugged.docker("buildx history rm --all").ok();
    let said = plugged.docker("buildx history inspect").expect_code(1).stderr;
    assert!(said.contains("no records found"), "{said}");
    plugged.world.stop();
}

const OFFERING: &str = "# TAG which release\nARG TAG=latest\n\n# base what all start from\nFROM busybox:$TAG AS base\nARG WHO=you\n\
    RUN --mount=type=secret,id=token,required true\n\n# app the program\nFROM base AS app\nENV A=$PATH$TYPO\nCOPY left-out /x\n";

#[test]
fn what_a_dockerfile_offers_is_asked() {
    let plugged = Plugged::start();
    plugged.project("app", &[("Dockerfile", OFFERING), (".dockerignore", "left-*\n"), ("left-out", "")]);
    let outline = "TARGET:      app\nDESCRIPTION: the program\n\nBUILD ARG   VALUE    DESCRIPTION\nTAG         latest   which release\n\
                   WHO         me       \n\nSECRET   REQUIRED\ntoken    true";
    let asked = "--progress plain --build-arg WHO=me";
    assert_eq!(plugged.docker(&format!("build --call=outline {asked} @app")).ok(), outline);
    assert_eq!(plugged.docker(&format!("buildx build --call=outline {asked} @app")).ok(), outline);
    let targets = "TARGET        DESCRIPTION\nbase          what all start from\napp (default) the program";
    assert_eq!(plugged.docker("build --call targets @app").ok(), targets);
    let json = plugged.docker("build --call targets,format=json @app").ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["targets"][0]["base"], "busybox:$TAG");
    // The base image's variables are known once it is here.
    plugged.docker("pull -q busybox").ok();
    let said = plugged.docker("build --check @app").expect_code(1).stdout;
    assert!(said.starts_with("Check complete, 2 warnings have been found!"), "{said}");
    assert!(said.contains("Usage of undefined variable '$TYPO'") && !said.contains("'$PATH'"), "{said}");
    assert!(
        said.contains("Attempting to Copy file \"left-out\" that is excluded by .dockerignore"),
        "{said}"
    );
    plugged.docker("build --call=check,ignorestatus=true @app").expect_code(0);
    let json = plugged.docker("build --call=check,format=json @app").expect_code(1).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let rules: Vec<_> =
        json["warnings"].as_array().unwrap().iter().map(|one| one["ruleName"].clone()).collect();
    assert_eq!(rules, ["UndefinedVar", "CopyIgnoredFile"]);
    let root = plugged.world.directory().display();
    let bake = format!(
        "target \"default\" {{\n description = \"both\"\n context = \"{root}/app\"\n}}\ntarget \"two\" {{ context = \"{root}/app\" }}\n"
    );
    plugged.project("bake", &[("b.hcl", &bake)]);
    let said = plugged.docker("buildx bake -f @bake/b.hcl --call targets default two").ok();
    assert_eq!(said, format!("default\nboth\n\n{targets}\n\ntwo\n\n{targets}"));
    let json =
        plugged.docker("buildx bake -f @bake/b.hcl --call check,format=json two").expect_code(1).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["target"]["two"]["check"]["warnings"].as_array().unwrap().len(), 2);
    for (line, near) in [
        ("build --call outlin @app", "did you mean outline?"),
        ("build --taget x @app", "unknown flag: --taget (did you mean --target?)"),
        ("buildx bake --prin", "did you mean --print?"),
        ("buildx build --target bas @app", "did you mean base?"),
        ("buildx build --progress plian @app", "did you mean plain?"),
        ("buildx build -o type=tra,dest=x @app", "did you mean tar?"),
        ("buildx build --cache-from type=locl,src=x @app", "did you mean local?"),
        ("buildx build --attest type=sbmo @app", "did you mean sbom?"),
    ] {
        let said = plugged.docker(line);
        assert!(said.code != 0 && said.stderr.contains(near), "{line}: {}", said.stderr);
    }
    assert_eq!(plugged.docker("images -q --filter dangling=true").ok(), "");
    plugged.world.stop();
}
