//! Where contexts come from: standard input, git, the web; through `hull build`.
#![allow(clippy::unwrap_used)] // helpers of tests

use hull_e2e::{Client, Output, World, eventually};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// `hull` as a word of a shell line.
fn hull(world: &World) -> String {
    format!("{} -H unix://{}", world.program(Client::Hull).display(), world.socket().display())
}

fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

#[test]
fn contexts_come_by_standard_input() {
    let world = World::start();
    let root = world.directory().join("app");
    let files = [
        ("Dockerfile", "FROM busybox\nCOPY . /c\n"),
        ("ci/Other", "FROM busybox\nCOPY a /other\n"),
        ("a", "hello\n"),
        ("left/out", "no\n"),
        (".dockerignore", "left\n"),
    ];
    write(&root, &files);
    let (hull, at) = (hull(&world), root.display());
    let mut ids = Vec::new();
    for pack in ["cat", "gzip", "bzip2", "xz", "zstd -q"] {
        ids.push(world.sh(&format!("tar -C {at} -c . | {pack} | {hull} build -q -")).ok());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "the same files are the same image: {ids:?}");
    let said = world.hull(&["run", "--rm", "--network", "none", &ids[0], "ls", "/c"]).ok();
    assert_eq!(said, "Dockerfile\na\nci");
    world.sh(&format!("tar -C {at} -c . | {hull} build -q -t other -f ci/Other -")).ok();
    let text = |words: &[&str], text: &str| world.client_with_input(Client::Hull, words, text);
    text(&["build", "-q", "-t", "alone", "-"], "FROM other\nRUN cat /other > /alone\n").ok();
    text(&["build", "-q", "-t", "here", "-f", "-", root.to_str().unwrap()], "FROM other\nCOPY a /here\n")
        .ok();
    let said = text(&["build", "-f", "-", "-"], "FROM busybox\n").expect_code(1).stderr;
    assert!(said.contains("can't use stdin for both build context and dockerfile"), "{said}");
    let said = text(&["build", "-f", "x", "-"], "FROM busybox\n").expect_code(1).stderr;
    assert!(said.contains("ambiguous Dockerfile source"), "{said}");
    let said = world.sh(&format!("head -c 3000 /dev/zero | {hull} build -")).expect_code(1).stderr;
    assert!(said.contains("neither an archive nor a Dockerfile"), "{said}");
    let said = world.sh(&format!("tar -C {at} -c a | {hull} build -")).expect_code(1).stderr;
    assert!(said.contains("Cannot locate specified Dockerfile: Dockerfile"), "{said}");
    let line = format!("cd {at} && touch ../outside && tar -Pc Dockerfile ../outside | {hull} build -");
    let said = world.sh(&line).expect_code(1).stderr;
    assert!(said.contains("leads outside of it"), "{said}");
    world.stop();
}

/// A repository with a submodule, served by git's own program and as plain files.
struct Served<'a> {
    world: &'a World,
    servers: [Child; 2],
    /// Two commits: of the tag and of the branch.
    commits: [String; 2],
}

const REPOSITORY: &str = r#"
set -e
export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t
git config --global protocol.file.allow always
git init -q -b main lib && cd lib && echo library > word && git add -A && git commit -qm lib && cd ..
mkdir git && git clone -q --bare lib git/lib.git
git init -q -b main work && cd work
printf 'FROM scratch\nCOPY . /\n' > Dockerfile && echo main > word
mkdir -p sub/dir && cp Dockerfile sub/dir && echo below > sub/dir/word
ln -s /etc out
git submodule --quiet add "$HOME/git/lib.git" lib && git config -f .gitmodules submodule.lib.url ../lib.git
git add -A && git commit -qm one && git tag v1 && git rev-parse HEAD
git checkout -qb feature/x && echo feature > word && git commit -qam two && git rev-parse HEAD
git checkout -q -b asked v1 && echo asked > word && git commit -qam three && git update-ref refs/pull/7/head HEAD
git checkout -q main && git branch -qD asked && cd ..
git clone -q --mirror work git/app.git
for one in lib app; do git -C git/$one.git update-server-info; done
tar -C work/sub/dir -czf git/app.tar.gz .
printf 'FROM scratch\nCOPY <<-E /word\n\tweb\n\tE\n' > git/Dockerfile.web
"#;

impl<'a> Served<'a> {
    fn start(world: &'a World) -> Self {
        let place = world.directory().join("repositories");
        std::fs::create_dir_all(&place).unwrap();
        let said = world.sh(&format!("cd {} {REPOSITORY}", place.display())).ok();
        let commits: Vec<String> = said.lines().map(str::to_owned).collect();
        let spawn = |program: &str, words: &[&str]| {
            let mut command = world.command(program);
            command.args(words).arg(place.join("git")).current_dir(&place);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        };
        let daemon = "/usr/lib/git-core/git-daemon";
        let base = format!("--base-path={}", place.join("git").display());
        let servers = [
            spawn(daemon, &["--export-all", "--listen=127.0.0.1", "--reuseaddr", &base]),
            spawn("python3", &["-m", "http.server", "8099", "--bind", "127.0.0.1", "--directory"]),
        ];
        for port in [9418, 8099] {
            eventually("the server answers", 30, || {
                (world.sh(&format!("bash -c '</dev/tcp/127.0.0.1/{port}'")).code == 0).then_some(())
            });
        }
        Self { world, servers, commits: commits.try_into().unwrap() }
    }

    fn build(&self, reference: &str, flags: &[&str]) -> Output {
        let _ = std::fs::remove_dir_all(self.out());
        let output = format!("type=local,dest={}", self.out().display());
        let mut words = vec!["build", "--progress", "plain", "-o", &output];
        words.extend(flags);
        words.push(reference);
        self.world.hull(&words)
    }

    fn out(&self) -> PathBuf {
        self.world.directory().join("out")
    }

    /// What a file of the result says.
    #[track_caller]
    fn word(&self, reference: &str, path: &str) -> String {
        self.build(reference, &[]).ok();
        std::fs::read_to_string(self.out().join(path)).unwrap().trim_end().to_owned()
    }

    fn stop(mut self) {
        for server in &mut self.servers {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }
}

#[test]
fn contexts_come_from_git_and_the_web() {
    let world = World::start();
    let served = Served::start(&world);
    let [tagged, branched] = &served.commits;
    let http = "http://127.0.0.1:8099";
    // A server of git's own, and one of plain files that knows neither depth nor single commits.
    for server in ["git://127.0.0.1", http] {
        let at = |rest: &str| format!("{server}/app.git{rest}");
        assert_eq!(served.word(&at(""), "word"), "main");
        assert_eq!(
            std::fs::read_to_string(served.out().join("lib/word")).unwrap(),
            "library\n",
            "a submodule"
        );
        assert!(!served.out().join(".git").exists());
        assert_eq!(served.word(&at("#feature/x"), "word"), "feature");
        assert_eq!(served.word(&at("#v1"), "word"), "main");
        assert_eq!(served.word(&at(&format!("#{branched}")), "word"), "feature");
        assert_eq!(served.word(&at(&format!("#{}", &branched[..10])), "word"), "feature");
        assert_eq!(served.word(&at("#pull/7/head"), "word"), "asked");
        assert_eq!(served.word(&at("#refs/pull/7/head"), "word"), "asked");
        assert_eq!(served.word(&at("#feature/x:sub/dir"), "word"), "below");
        assert_eq!(served.word(&at("?ref=v1&subdir=sub/dir"), "word"), "below");
        let keep = ["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1"];
        served.build(&at(&format!("#{tagged}")), &keep).ok();
        let head = std::fs::read_to_string(served.out().join(".git/HEAD")).unwrap();
        assert_eq!(head.trim_end(), tagged);
        let said = served.build(&at("#nope"), &[]).expect_code(1).stderr;
        assert!(said.contains("does not contain ref nope"), "{said}");
    }
    let git = "git://127.0.0.1/app.git";
    let from = format!("FROM scratch\nCOPY --from=named word /named\nADD {git}#feature/x:sub /added\n");
    let other = world.directory().join("other");
    write(&other, &[("Dockerfile", &from)]);
    served.build(other.to_str().unwrap(), &["--build-context", &format!("named={git}#feature/x")]).ok();
    assert_eq!(std::fs::read_to_string(served.out().join("named")).unwrap(), "feature\n");
    assert_eq!(std::fs::read_to_string(served.out().join("added/dir/word")).unwrap(), "below\n");
    assert_eq!(served.word(&format!("{http}/app.tar.gz"), "word"), "below");
    assert_eq!(served.word(&format!("{http}/Dockerfile.web"), "word"), "web");
    hostile(&served, git);
    bake_from_elsewhere(&served, git);
    served.stop();
    world.stop();
}

/// No reference is taken for an option, and none leads out of the repository.
fn hostile(served: &Served<'_>, git: &str) {
    let marker = served.world.directory().join("marker");
    for (reference, why) in [
        (format!("{git}#--upload-pack=touch${{IFS}}{}", marker.display()), "invalid revision"),
        (format!("{git}#-f"), "invalid revision"),
        (format!("{git}#main:../.."), "invalid directory"),
        (format!("{git}#main:out"), "the context has no directory out"),
        (format!("git://-oProxyCommand=touch{}/x.git", marker.display()), "unable to look up"),
        ("git://127.0.0.1/../../etc.git".to_owned(), "git fetch"),
        (format!("ext::sh -c touch% {}", marker.display()), "not found"),
        ("file:///etc/app.git".to_owned(), "neither a URL nor a git reference"),
    ] {
        let said = served.build(&reference, &[]).expect_code(1).stderr;
        assert!(said.contains(why), "{reference}: {said}");
        assert!(!marker.exists(), "{reference}");
    }
}

/// Bake files of a repository, whose paths are in it.
fn bake_from_elsewhere(served: &Served<'_>, git: &str) {
    let world = served.world;
    let at = world.directory().display().to_string();
    let file = format!(
        "variable \"CTX\" {{ default = BAKE_CMD_CONTEXT }}\ntarget \"default\" {{\n output = [\"type=local,dest={at}/baked\"]\n}}\n\
         target \"below\" {{\n inherits = [\"default\"]\n context = \"sub/dir\"\n}}\n\
         target \"here\" {{\n inherits = [\"default\"]\n context = \"cwd://{at}/local\"\n}}\n"
    );
    let line = format!(
        "cd {at}/repositories/work && printf '%s' '{file}' > docker-bake.hcl && export HOME={at}/repositories && \
         git add -A && git -c user.name=t -c user.email=t@t commit -qm bake && git push -q {at}/repositories/git/app.git main"
    );
    world.sh(&line).ok();
    write(
        &world.directory().join("local"),
        &[("Dockerfile", "FROM scratch\nCOPY word /\n"), ("word", "local\n")],
    );
    let word = || std::fs::read_to_string(world.directory().join("baked/word")).unwrap();
    for (target, wanted) in [("default", "main\n"), ("below", "below\n"), ("here", "local\n")] {
        world.hull(&["bake", "--progress", "plain", git, target]).ok();
        assert_eq!(word(), wanted, "{target}");
    }
    let printed = world.hull(&["bake", "--print", &format!("{git}#main"), "below"]).ok();
    assert!(printed.contains(&format!("\"context\": \"{git}#main:sub/dir\"")), "{printed}");
    let listed = world.hull(&["bake", "--list=variables", git]).ok();
    assert!(listed.contains("cwd://"), "{listed}");
    let said = world.hull(&["bake", "-f", "nope.hcl", git]).expect_code(1).stderr;
    assert!(said.contains("has no file nope.hcl"), "{said}");
}
