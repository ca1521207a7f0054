//! `cp` by the stock client on Hull and on dockerd: the same words, the same end, the same files.
#![allow(clippy::unwrap_used)]

use hull_e2e::{Output, World};

fn docker(world: &World, ours: bool, words: &str) -> Output {
    let socket = if ours { world.socket() } else { world.dockerd_socket() };
    let at = world.directory().join(if ours { "ours" } else { "theirs" });
    world.sh(&format!(
        "cd {} && DOCKER_API_VERSION=1.41 && export DOCKER_API_VERSION && {}",
        at.display(),
        words.replace("docker ", &format!("docker -H unix://{} ", socket.display()))
    ))
}

/// What is in both containers: files, a link to a file, one to a directory, one to nowhere, a volume.
const INSIDE: &str = "mkdir -p /w/dir/sub /w/empty && echo file > /w/file && echo inner > /w/dir/inner && echo deep > /w/dir/sub/deep && \
    ln -s file /w/tofile && ln -s dir /w/todir && ln -s /w/dir /w/abs && ln -s nowhere /w/broken && ln -s / /w/root && \
    chmod 640 /w/file && chown 7:8 /w/file && chmod 2750 /w/dir && touch -d @1000000000 /w/file /w/dir/inner && echo vol > /v/file";
/// The same on this side.
const OUTSIDE: &str = "mkdir -p h/dir/sub h/empty h/into && echo hfile > h/file && echo hinner > h/dir/inner && echo hdeep > h/dir/sub/deep && \
    ln -s file h/tofile && ln -s dir h/todir && ln -s nowhere h/broken && chmod 604 h/file && chown 9:10 h/file && \
    touch -d @1100000000 h/file && tar -C h -cf in.tar file dir && gzip -c in.tar > in.tgz && echo no > notar";

const CASES: &[&str] = &[
    // Out.
    "docker cp C:/w/file h/into",
    "docker cp C:/w/file h/new",
    "docker cp C:/w/file h/file",
    "docker cp C:/w/file h/into/",
    "docker cp C:/w/file h/nodir/",
    "docker cp C:/w/file h/nodir/x",
    "docker cp C:/w/dir h/into",
    "docker cp C:/w/dir h/new",
    "docker cp C:/w/dir/. h/into",
    "docker cp C:/w/dir/. h/new",
    "docker cp C:/w/dir h/file",
    "docker cp C:/w/dir/ h/new",
    "docker cp C:/w/tofile h/new",
    "docker cp -L C:/w/tofile h/new",
    "docker cp C:/w/todir h/new",
    "docker cp -L C:/w/todir h/new",
    "docker cp C:/w/todir/ h/new",
    "docker cp C:/w/todir/. h/new",
    "docker cp C:/w/abs/inner h/new",
    "docker cp C:/w/broken h/new",
    "docker cp -L C:/w/broken h/new",
    "docker cp -a C:/w/file h/new",
    "docker cp C:/nope h/new",
    "docker cp C:/w/file/ h/new",
    "docker cp C:/w/file/x h/new",
    "docker cp C:w/file h/new",
    "docker cp C:/w/../w/./file h/new",
    "docker cp C:/v/file h/new",
    "docker cp C:/v h/new",
    "docker cp C:/w/empty h/new",
    "docker cp C:/w/root/w/file h/new",
    "docker cp nobody:/x h/new",
    "docker cp C:/w/dir - | tar -tv --numeric-owner | sed 's/ [^ ]* [^ ]* d/ d/'",
    "docker cp C:/w/file - | tar -xO",
    "docker cp C:/w/tofile - | tar -t",
    "docker cp -L C:/w/tofile - | tar -t",
    "docker cp C:/w/dir/. - | tar -t | sort",
    "docker cp C: h/new",
    "docker cp h/file h/new",
    "docker cp C:/w/file C:/w/copy",
    // In.
    "docker cp h/file C:/w",
    "docker cp h/file C:/w/new",
    "docker cp h/file C:/w/file",
    "docker cp h/file C:/w/nodir/",
    "docker cp h/file C:/w/nodir/x",
    "docker cp h/file C:/w/dir",
    "docker cp h/file C:/w/todir",
    "docker cp h/file C:/w/tofile",
    "docker cp h/file C:/w/broken",
    "docker cp h/dir C:/w",
    "docker cp h/dir C:/w/new",
    "docker cp h/dir/. C:/w/empty",
    "docker cp h/dir/. C:/w/new",
    "docker cp h/dir C:/w/file",
    "docker cp h/dir C:/w/todir",
    "docker cp h/dir/. C:/w/todir",
    "docker cp h/tofile C:/w/new",
    "docker cp -L h/tofile C:/w/new",
    "docker cp h/todir C:/w/new",
    "docker cp -L h/todir C:/w/new",
    "docker cp h/broken C:/w/new",
    "docker cp -L h/broken C:/w/new",
    "docker cp -a h/file C:/w/new",
    "docker cp -a h/dir C:/w/new",
    "docker cp h/file C:/v",
    "docker cp h/dir C:/v/sub",
    "docker cp h/file C:/v/file",
    "docker cp h/nope C:/w",
    "docker cp - C:/w/empty < in.tar",
    "docker cp - C:/w/empty < in.tgz",
    "docker cp - C:/w/file < in.tar",
    "docker cp - C:/nope < in.tar",
    "docker cp - C:/w/empty < notar",
    "docker cp - C:/w/todir < in.tar",
    "docker cp h/file C:/proc/x",
    "docker cp h/file C:",
];

/// Where the two say it in other words, or see another thing; docs/COMPARISON.md has the reasons. The end is the same.
const EXPLAINED: &[&str] = &[
    "docker cp C:/w/file/ h/new",
    "docker cp C:/w/file/x h/new",
    "docker cp C: h/new",
    "docker cp - C:/w/empty < notar",
    "docker cp h/file C:/proc/x",
];

#[test]
fn copies_end_as_dockerds_do() {
    let world = World::start();
    world.start_dockerd();
    for side in ["ours", "theirs"] {
        std::fs::create_dir(world.directory().join(side)).unwrap();
    }
    for ours in [true, false] {
        docker(&world, ours, "docker pull -q busybox").ok();
        for (name, command) in [("live", "sleep 1000"), ("dead", "true")] {
            docker(
                &world,
                ours,
                &format!("docker run -d --name {name} --network none -v vol-{name}:/v busybox {command}"),
            )
            .ok();
        }
        docker(&world, ours, "docker wait dead").ok();
        docker(&world, ours, &format!("docker exec live sh -c '{INSIDE}'")).ok();
    }
    let mut wrong = Vec::new();
    for name in ["live", "dead"] {
        // A stopped container's files are reached by another way; what the rules are does not change.
        // A part of them in a day's run; HULL_COPY_ALL=1 for all.
        let all = std::env::var_os("HULL_COPY_ALL").is_some();
        let step = match (name, all) {
            ("live", true) => 1,
            ("live", false) => 6,
            (_, true) => 4,
            (_, false) => 25,
        };
        for case in CASES.iter().step_by(step).filter(|case| !EXPLAINED.contains(case)) {
            let ends: Vec<String> =
                [true, false].into_iter().map(|ours| end(&world, ours, name, case)).collect();
            if ends[0] != ends[1] {
                wrong.push(format!("{case} ({name})\n--- Hull\n{}\n--- dockerd\n{}", ends[0], ends[1]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), 2 * CASES.len(), wrong.join("\n\n"));
    for name in ["live", "dead"] {
        docker(&world, false, &format!("docker rm -f -v {name}")).ok();
    }
    world.stop_dockerd();
    world.stop();
}

// One case on one engine, from the same beginning: how it ended, what it said, and the files on both sides.
fn end(world: &World, ours: bool, name: &str, case: &str) -> String {
    // A stopped container's files are set up through a tar, since nothing can run in it.
    let reset = match name {
        "live" => format!("docker exec live sh -c 'rm -rf /w /v/*; {INSIDE}'"),
        _ => "docker exec live sh -c 'rm -rf /w /v/* ; true' ; docker cp - dead:/ < state.tar".to_owned(),
    };
    if name == "dead" {
        let at = world.directory().join(if ours { "ours" } else { "theirs" });
        if !at.join("state.tar").exists() {
            docker(
                world,
                ours,
                &format!("docker exec live sh -c 'rm -rf /w /v/*; {INSIDE}; tar -C / -cf - w v' > state.tar"),
            )
            .ok();
        }
        // A new one each time: what the case before left is gone with it.
        docker(world, ours, "docker rm -f -v dead; docker volume rm -f vol-dead; docker create --name dead --network none -v vol-dead:/v busybox true").ok();
    }
    docker(world, ours, &reset).ok();
    docker(world, ours, &format!("rm -rf h in.tar in.tgz && {OUTSIDE}")).ok();
    let output = docker(world, ours, &case.replace("C:", &format!("{name}:")).replace(" C ", name));
    let inside = format!(
        "docker cp -a {name}:/w - | tar -tv --numeric-owner --full-time | sort -k6; docker cp -a {name}:/v - | tar -tv --numeric-owner | sort -k6; docker cp {name}:/w/. - | tar -xO 2>&1 | sort"
    );
    let outside = "find h -printf '%p %y %m %U:%G %s %l\\n' | sort; find h -type f -exec cat {} + | sort";
    let blot = |text: &str| {
        let times = text.lines().filter(|line| !line.contains("level=error")).map(|line| {
            // Times are compared for what the case did not make itself.
            let words: Vec<&str> = line.split_whitespace().collect();
            let is_date = |word: &str| word.starts_with("202") && word.contains('-');
            let is_time =
                |word: &str| word.get(2..3) == Some(":") && word.starts_with(|c: char| c.is_ascii_digit());
            let kept = words.iter().filter(|word| !is_date(word) && !is_time(word));
            kept.copied().collect::<Vec<_>>().join(" ")
        });
        let ids = times.map(|line| {
            line.split(' ')
                .map(
                    |w| if w.trim_matches(|c: char| !c.is_ascii_hexdigit()).len() == 64 { "<id>" } else { w },
                )
                .collect::<Vec<_>>()
                .join(" ")
        });
        ids.collect::<Vec<_>>().join("\n").replace("/ours", "/<dir>").replace("/theirs", "/<dir>")
    };
    format!(
        "ended {}\n{}\n{}\n{}\n{}",
        output.code,
        blot(&output.stdout),
        blot(&output.stderr),
        blot(&docker(world, ours, &inside).stdout),
        blot(&docker(world, ours, outside).stdout)
    )
}
