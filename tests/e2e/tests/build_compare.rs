//! Dockerfiles of real projects, built by Hull, by Debian's dockerd (its classic builder) and by buildah: the files of
//! the images, with what is in them, and their configurations are the same. Those with compilers are built where the
//! registry has these (`tests/images DIR golang rust`).
#![allow(clippy::unwrap_used)] // helpers of tests

use hull_e2e::World;
use serde_json::Value;
use std::path::{Path, PathBuf};

type Project = (&'static str, &'static [(&'static str, &'static str)]);

const PROJECTS: &[Project] = &[
    (
        "python-wheel",
        &[
            (
                "pyproject.toml",
                "[project]\nname = \"greet\"\nversion = \"1.0\"\n[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n",
            ),
            (
                "backend.py",
                "import zipfile\nNAME = 'greet-1.0-py3-none-any.whl'\ndef build_wheel(directory, config_settings=None, metadata_directory=None):\n    with zipfile.ZipFile(directory + '/' + NAME, 'w') as z:\n        def put(name, text):\n            z.writestr(zipfile.ZipInfo(name), text)\n        put('greet.py', open('greet.py').read())\n        i = 'greet-1.0.dist-info/'\n        put(i + 'METADATA', 'Metadata-Version: 2.1\\nName: greet\\nVersion: 1.0\\n')\n        put(i + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: own\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n        put(i + 'RECORD', '')\n    return NAME\n",
            ),
            ("greet.py", "def hello():\n    return 'hello'\n"),
            (
                "Dockerfile",
                "FROM python AS build\nWORKDIR /src\nCOPY . .\nRUN mkdir /wheels && python3 -B -c \"import backend; backend.build_wheel('/wheels')\"\n\
FROM python\nENV PYTHONDONTWRITEBYTECODE=1\nCOPY --from=build /wheels /wheels\nRUN for w in /wheels/*.whl; do python3 -m zipfile -e $w /usr/lib/python3/dist-packages; done && python3 -c 'import greet'\nUSER 1000:1000\nCMD [\"python\", \"-c\", \"import greet; print(greet.hello())\"]\n",
            ),
            (".dockerignore", "**/*.pyc\n.git\n"),
        ],
    ),
    (
        "nginx-site",
        &[
            ("site/index.html", "<h1>hello</h1>\n"),
            ("site/css/a.css", "h1 { color: red }\n"),
            ("site/draft.tmp", "no\n"),
            ("default.conf", "server { listen 8080; root /usr/share/nginx/html; }\n"),
            (".dockerignore", "**/*.tmp\n"),
            (
                "Dockerfile",
                "ARG BASE=nginx\nFROM ${BASE}\nLABEL org.opencontainers.image.title=\"site\" version=1\nRUN rm -rf /usr/share/nginx/html/*\nCOPY site/ /usr/share/nginx/html/\nCOPY default.conf /etc/nginx/conf.d/\nEXPOSE 8080\nHEALTHCHECK --interval=5s --retries=2 CMD curl -f http://localhost:8080/ || exit 1\nSTOPSIGNAL SIGQUIT\n",
            ),
        ],
    ),
    (
        "node-service",
        &[
            (
                "package.json",
                "{\"name\":\"service\",\"version\":\"1.0.0\",\"dependencies\":{\"left\":\"file:./left\"}}\n",
            ),
            (
                "package-lock.json",
                "{\"name\":\"service\",\"version\":\"1.0.0\",\"lockfileVersion\":3,\"requires\":true,\"packages\":{\"\":{\"name\":\"service\",\"version\":\"1.0.0\",\"dependencies\":{\"left\":\"file:./left\"}},\"left\":{\"version\":\"1.0.0\"},\"node_modules/left\":{\"resolved\":\"left\",\"link\":true}}}\n",
            ),
            ("left/package.json", "{\"name\":\"left\",\"version\":\"1.0.0\",\"main\":\"i.js\"}\n"),
            ("left/i.js", "module.exports = 1\n"),
            ("index.js", "console.log(require('left'))\n"),
            (
                "Dockerfile",
                "FROM node\nWORKDIR /srv/app\nCOPY package*.json ./\nCOPY left left\nRUN node -e \"const l = require('./package-lock.json').packages; for (const [k, v] of Object.entries(l)) if (v.link) { require('fs').mkdirSync('node_modules', {recursive: true}); require('fs').symlinkSync('../' + v.resolved, k) }\"\nCOPY index.js .\nENV NODE_ENV=production PORT=3000\nEXPOSE 3000\nENTRYPOINT [\"node\"]\nCMD [\"index.js\"]\n",
            ),
        ],
    ),
    (
        "debian-package",
        &[
            (
                "pkg/DEBIAN/control",
                "Package: hello-hull\nVersion: 1.0\nArchitecture: all\nMaintainer: me <me@example.com>\nDescription: hello\n",
            ),
            ("pkg/usr/bin/hello-hull", "#!/bin/sh\necho hello\n"),
            (
                "Dockerfile",
                "FROM debian AS build\nARG SOURCE_DATE_EPOCH\nCOPY pkg /pkg\nRUN chmod -R go-w /pkg && chmod 755 /pkg/usr/bin/hello-hull && dpkg-deb --build --root-owner-group /pkg /hello.deb\nFROM debian\nCOPY --from=build --chown=33:33 /hello.deb /tmp/x/\nRUN dpkg -i /tmp/x/hello.deb && rm -rf /tmp/x /var/log/dpkg.log /var/cache/debconf/* /var/lib/dpkg/*-old\nVOLUME [\"/data\"]\nONBUILD RUN hello-hull\nRUN hello-hull > /said\n",
            ),
        ],
    ),
    (
        "go-service",
        &[
            ("go.mod", "module example.com/service\n\ngo 1.19\n\nrequire example.com/greet v1.0.0\n"),
            ("vendor/modules.txt", "# example.com/greet v1.0.0\n## explicit; go 1.19\nexample.com/greet\n"),
            (
                "vendor/example.com/greet/greet.go",
                "package greet\n\nfunc Hello() string { return \"hello\" }\n",
            ),
            (
                "main.go",
                "package main\n\nimport (\n\t\"fmt\"\n\n\t\"example.com/greet\"\n)\n\nvar version = \"none\"\n\nfunc main() { fmt.Println(greet.Hello(), version) }\n",
            ),
            ("main_test.go", "package main\n\nimport \"testing\"\n\nfunc TestMain(t *testing.T) {}\n"),
            (
                "Dockerfile",
                "FROM golang AS build\nWORKDIR /src\nENV CGO_ENABLED=0 GOFLAGS=-mod=vendor GOCACHE=/tmp/cache\nCOPY go.mod ./\nCOPY vendor vendor\nCOPY *.go ./\nARG VERSION=v1\nRUN go vet ./... && go build -trimpath -ldflags \"-s -w -X main.version=${VERSION}\" -o /out/service .\n\
FROM busybox\nCOPY --from=build /out/service /usr/local/bin/service\nRUN service > /said\nUSER nobody\nEXPOSE 8080/tcp\nENTRYPOINT [\"/usr/local/bin/service\"]\n",
            ),
            (".dockerignore", "**/*_test.go\n"),
        ],
    ),
    (
        "rust-service",
        &[
            (
                "Cargo.toml",
                "[package]\nname = \"service\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\ngreet = { path = \"greet\" }\n\n[profile.release]\nstrip = true\n",
            ),
            (
                "Cargo.lock",
                "version = 3\n\n[[package]]\nname = \"greet\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"service\"\nversion = \"0.1.0\"\ndependencies = [\n \"greet\",\n]\n",
            ),
            ("greet/Cargo.toml", "[package]\nname = \"greet\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
            ("greet/src/lib.rs", "pub fn hello() -> &'static str {\n    \"hello\"\n}\n"),
            ("src/main.rs", "fn main() {\n    println!(\"{}\", greet::hello());\n}\n"),
            (
                "Dockerfile",
                "FROM rust AS build\nWORKDIR /src\nCOPY Cargo.toml Cargo.lock ./\nCOPY greet greet\nCOPY src src\nRUN cargo build --release --offline --locked\n\
FROM debian\nCOPY --from=build --chown=1000:1000 /src/target/release/service /opt/service\nRUN /opt/service > /said\nWORKDIR /opt\nCMD [\"./service\"]\n",
            ),
            (".dockerignore", "target\n"),
        ],
    ),
    (
        "small-things",
        &[
            ("a b.txt", "a\n"),
            ("d/e/f", "f\n"),
            (
                "Dockerfile",
                "FROM busybox AS tools\nRUN mkdir -p /t/x && echo 1 > /t/x/1 && ln -s x /t/link && chmod 2755 /t/x\nFROM busybox\n\
# a comment\nARG WHO=world\nARG EMPTY\nENV A=1 \\\n    B=\"$A two\" C=${WHO}\nENV OLD style value\nWORKDIR w\nWORKDIR v\nCOPY [\"a b.txt\", \"/x y/\"]\nCOPY d /d2\nCOPY d/e/* /d3/\nADD d/e/f /d4/g\nCOPY --from=tools /t /t\n\
RUN echo \"$A $B $C $EMPTY\" > /vars && ln -s /d2 /l2\nCOPY a* /l2/\nRUN rm -r /t/x && mkdir /t/x && touch /t/x/new\nUSER nobody\nSHELL [\"/bin/ash\", \"-ec\"]\nCMD echo \"$A\"\nMAINTAINER me\n",
            ),
        ],
    ),
];

fn docker(world: &World, socket: &Path, words: &[&str]) -> String {
    let mut command = world.command("docker");
    command.env("DOCKER_BUILDKIT", "0").arg("-H").arg(format!("unix://{}", socket.display())).args(words);
    world.run(command, None).ok()
}

/// One of the three who build.
enum Engine {
    Docker(PathBuf),
    Buildah,
}

impl Engine {
    fn build(&self, world: &World, name: &str, root: &Path) {
        let root = root.to_str().unwrap();
        match self {
            Self::Docker(socket) => {
                docker(world, socket, &["build", "-q", "-t", name, "--build-arg", "WHO=you", root]);
            }
            Self::Buildah => {
                // In the format that has a place for HEALTHCHECK, ONBUILD and SHELL.
                let flags = "bud -q --format docker --isolation chroot --network host --identity-label=false";
                buildah(world, &format!("{flags} --build-arg WHO=you -t {name} {root}"));
            }
        }
    }

    /// What is in the image, as [`LIST`] says it; without what an engine puts there itself.
    fn files(&self, world: &World, name: &str) -> Vec<String> {
        let tar = world.directory().join("files.tar");
        match self {
            Self::Docker(socket) => {
                let container = docker(world, socket, &["create", name, "true"]);
                docker(world, socket, &["export", "-o", tar.to_str().unwrap(), &container]);
                docker(world, socket, &["rm", "-v", &container]);
            }
            Self::Buildah => {
                // By podman, which has the same store: a container of buildah's would do what ONBUILD says.
                let folder = world.directory().display();
                let podman = format!("cd {folder} && podman --tmpdir {folder}/podman-tmp {}", stores(world));
                let at = world.sh(&format!("{podman} image mount {name}")).ok();
                world.sh(&format!("tar -C {at} -cf {} .", tar.display())).ok();
                world.sh(&format!("{podman} image unmount {name}")).ok();
            }
        }
        let listed = world.sh(&format!("python3 -c \"{LIST}\" {}", tar.display())).ok();
        // The place of a volume, which dockerd makes with the container, is among them.
        const OWN: [&str; 11] = [
            "data",
            "run",
            ".dockerenv",
            "dev",
            "etc",
            "etc/hosts",
            "etc/hostname",
            "etc/resolv.conf",
            "etc/mtab",
            "proc",
            "sys",
        ];
        let own = |line: &&str| {
            let name = line.split(' ').next().unwrap();
            OWN.contains(&name) || name.starts_with("dev/")
        };
        let mut lines: Vec<String> = listed.lines().filter(|line| !own(line)).map(str::to_owned).collect();
        lines.sort();
        lines
    }

    fn config(&self, world: &World, name: &str) -> Value {
        let parsed = |text: String| serde_json::from_str::<Value>(&text).unwrap();
        let full = match self {
            Self::Docker(socket) => {
                parsed(docker(world, socket, &["image", "inspect", "-f", "{{json .Config}}", name]))
            }
            Self::Buildah => {
                parsed(buildah(world, &format!("inspect --type image {name}")))["Docker"]["config"].take()
            }
        };
        let kept = [
            "User",
            "ExposedPorts",
            "Env",
            "Cmd",
            "Healthcheck",
            "Volumes",
            "WorkingDir",
            "Entrypoint",
            "OnBuild",
            "Labels",
            "StopSignal",
            "Shell",
        ];
        let empty = |value: &Value| {
            value.is_null()
                || value.as_str() == Some("")
                || value.as_array().is_some_and(Vec::is_empty)
                || value.as_object().is_some_and(serde_json::Map::is_empty)
        };
        let kept = kept
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), full.get(*key).filter(|v| !empty(v))?.clone())));
        Value::Object(kept.collect())
    }
}

/// Name, type, mode, owner and content of every file of a tar; two names of one file are two files of that content.
const LIST: &str = "
import hashlib, sys, tarfile
seen = {}
with tarfile.open(sys.argv[1]) as tar:
    for m in tar:
        name = m.name[2:] if m.name.startswith('./') else m.name
        if m.isreg():
            said = seen[name] = 'file ' + hashlib.sha256(tar.extractfile(m).read()).hexdigest()
        elif m.islnk():
            said = seen[name] = seen[m.linkname[2:] if m.linkname.startswith('./') else m.linkname]
        elif m.issym():
            said = 'link ' + m.linkname
        else:
            said = str(m.type)
        if name != '.':
            print(name, oct(m.mode & 0o7777), '%d:%d' % (m.uid, m.gid), said)
";

fn stores(world: &World) -> String {
    let at = world.directory().display();
    format!("--root {at}/buildah --runroot {at}/buildah-run --storage-driver overlay")
}

/// buildah with stores of its own, in this world's folder; `docker.io` is the registry here.
fn buildah(world: &World, words: &str) -> String {
    let at = world.directory().display();
    let conf = world.directory().join("registries.conf");
    let text = "unqualified-search-registries = [\"docker.io\"]\n[[registry]]\nlocation = \"docker.io\"\n\
                [[registry.mirror]]\nlocation = \"127.0.0.1:5000\"\ninsecure = true\n";
    std::fs::write(&conf, text).unwrap();
    world
        .sh(&format!(
            "cd {at} && export TMPDIR={at} && unset DOCKER_CONFIG && buildah {} --registries-conf {} {words}",
            stores(world),
            conf.display()
        ))
        .ok()
}

/// What both know of a project's base images.
fn is_built(world: &World, name: &str) -> bool {
    match name {
        "go-service" => world.serves("golang"),
        "rust-service" => world.serves("rust"),
        _ => true,
    }
}

fn write(world: &World, name: &str, list: &[(&str, &str)]) -> PathBuf {
    let root = world.directory().join(name);
    for (path, text) in list {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    // Modes are content, and whatever the umask is they are these.
    world.sh(&format!("chmod -R u=rwX,go=rX {}", root.display())).ok();
    root
}

#[test]
fn images_of_real_projects_are_dockerds_and_buildahs() {
    let world = World::start();
    world.start_dockerd_with(&["--bip", "172.31.0.1/16"]);
    let hull = Engine::Docker(world.socket());
    let others = [("dockerd", Engine::Docker(world.dockerd_socket())), ("buildah", Engine::Buildah)];
    let mut differences = Vec::new();
    for (name, list) in PROJECTS {
        if !is_built(&world, name) {
            continue;
        }
        let root = write(&world, name, list);
        hull.build(&world, name, &root);
        let ours = (hull.files(&world, name), hull.config(&world, name));
        for (who, other) in &others {
            other.build(&world, name, &root);
            let theirs = (other.files(&world, name), other.config(&world, name));
            let (mut our_config, mut their_config) = (ours.1.clone(), theirs.1);
            if *who == "buildah" && our_config["Shell"].is_array() {
                // A CMD in shell form is not given to SHELL's program by buildah 1.28.
                our_config["Cmd"].take();
                their_config["Cmd"].take();
            }
            if our_config != their_config {
                differences
                    .push(format!("{name}: configuration\n  hull {our_config}\n  {who} {their_config}"));
            }
            for line in ours.0.iter().filter(|line| !theirs.0.contains(line)) {
                differences.push(format!("{name}: only Hull, not {who}, has {line}"));
            }
            for line in theirs.0.iter().filter(|line| !ours.0.contains(line)) {
                differences.push(format!("{name}: only {who} has {line}"));
            }
        }
    }
    world.stop_dockerd();
    // buildah leaves its stores mounted.
    let at = world.directory().display();
    world.sh(&format!("umount -l {at}/buildah/overlay; rm -rf {at}/buildah {at}/buildah-run"));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    world.stop();
}

/// The digest of each project's image, by daemons that are not alike in anything but the base images.
#[test]
fn digests_of_real_projects_are_the_same_on_every_machine() {
    let mirror = ["--registry-mirror", "http://127.0.0.1:5000"];
    let digests = |umask: u32, driver: &str, flags: &[&str]| -> Vec<(String, String)> {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        let world = World::with_flags(&[&mirror[..], &["--storage-driver", driver]].concat());
        let mut found = Vec::new();
        for (name, list) in PROJECTS.iter().filter(|(name, _)| is_built(&world, name)) {
            let root = write(&world, name, list);
            let mut words = vec!["build", "-q", "-t", name];
            words.extend(flags);
            words.push(root.to_str().unwrap());
            found.push(((*name).to_owned(), world.hull(&words).ok()));
        }
        world.stop();
        found
    };
    // dpkg-deb writes the time of day into what it packs, unless it is given another.
    let timeless = |mut found: Vec<(String, String)>| {
        found.retain(|(name, _)| name != "debian-package");
        found
    };
    let first = timeless(digests(0o022, "erofs", &[]));
    assert_eq!(first, timeless(digests(0o077, "overlay2", &["--no-cache"])));
    let dated = ["--build-arg", "SOURCE_DATE_EPOCH=1600000000"];
    let dated = [digests(0o002, "overlay2", &dated), digests(0o022, "erofs", &dated)];
    assert_eq!(dated[0], dated[1]);
    assert!(first.iter().zip(&dated[0]).all(|(plain, dated)| plain != dated));
}
