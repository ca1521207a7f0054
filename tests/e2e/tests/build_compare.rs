//! Dockerfiles of real projects, built by Hull and by Debian's dockerd (its classic builder): the files of the images and
//! their configurations are the same.
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
                "FROM debian AS build\nCOPY pkg /pkg\nRUN chmod -R go-w /pkg && chmod 755 /pkg/usr/bin/hello-hull && dpkg-deb --build --root-owner-group /pkg /hello.deb\nFROM debian\nCOPY --from=build --chown=33:33 /hello.deb /tmp/x/\nRUN dpkg -i /tmp/x/hello.deb && rm -rf /tmp/x /var/log/dpkg.log /var/cache/debconf/* /var/lib/dpkg/*-old\nVOLUME [\"/data\"]\nONBUILD RUN hello-hull\nRUN hello-hull > /said\n",
            ),
        ],
    ),
    (
        "small-things",
        &[
            ("a b.txt", "a\n"),
            ("d/e/f", "f\n"),
            ("tree.tar", ""),
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

/// Type, mode, owner, size and name of every file, and where links lead; without what an engine puts there itself.
fn files(world: &World, socket: &Path, image: &str) -> Vec<String> {
    let container = docker(world, socket, &["create", image, "true"]);
    let tar = world.directory().join("files.tar");
    docker(world, socket, &["export", "-o", tar.to_str().unwrap(), &container]);
    docker(world, socket, &["rm", "-v", &container]);
    let listed = world.sh(&format!("tar --numeric-owner --full-time -tvf {}", tar.display())).ok();
    // The place of a volume, which dockerd makes with the container, is among them.
    let own = [
        "data/",
        ".dockerenv",
        "dev/",
        "etc/hosts",
        "etc/hostname",
        "etc/resolv.conf",
        "etc/mtab",
        "proc/",
        "sys/",
        "etc/",
    ];
    let mut lines: Vec<String> = listed
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let name = words[5..].join(" ");
            let bare = name.trim_start_matches("./").to_owned();
            if own.iter().any(|path| bare == *path || (path.starts_with("dev") && bare.starts_with("dev/")))
                || bare.is_empty()
            {
                return None;
            }
            // Two names of one file: which of them comes first is each engine's own.
            let size = if words[0].starts_with('h') { "-" } else { words[2] };
            Some(format!("{} {} {size} {bare}", words[0].trim_start_matches('h'), words[1]))
        })
        .collect();
    lines.sort();
    lines
}

fn config(world: &World, socket: &Path, image: &str) -> Value {
    let text = docker(world, socket, &["image", "inspect", "-f", "{{json .Config}}", image]);
    let full: Value = serde_json::from_str(&text).unwrap();
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

#[test]
fn images_of_real_projects_are_dockerds() {
    let world = World::start();
    world.start_dockerd_with(&["--bip", "172.31.0.1/16"]);
    let mut differences = Vec::new();
    for (name, list) in PROJECTS {
        let root: PathBuf = world.directory().join(name);
        for (path, text) in *list {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        if root.join("tree.tar").exists() {
            std::fs::remove_file(root.join("tree.tar")).unwrap();
        }
        let both = [world.socket(), world.dockerd_socket()];
        let [ours, theirs] = both.map(|socket| {
            docker(
                &world,
                &socket,
                &["build", "-q", "-t", name, "--build-arg", "WHO=you", root.to_str().unwrap()],
            );
            (files(&world, &socket, name), config(&world, &socket, name))
        });
        if ours.1 != theirs.1 {
            differences.push(format!("{name}: configuration\n  hull {}\n  dockerd {}", ours.1, theirs.1));
        }
        for line in ours.0.iter().filter(|line| !theirs.0.contains(line)) {
            differences.push(format!("{name}: only Hull has {line}"));
        }
        for line in theirs.0.iter().filter(|line| !ours.0.contains(line)) {
            differences.push(format!("{name}: only dockerd has {line}"));
        }
    }
    world.stop_dockerd();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    world.stop();
}
