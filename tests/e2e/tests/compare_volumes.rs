//! The same volumes and mounts by the stock docker CLI on Hull and on Debian's dockerd: codes, outputs and what the
//! containers see. What differs on purpose is in docs/COMPARISON.md.
#![allow(clippy::unwrap_used)]

use hull_e2e::World;
use hull_e2e::comparison::{Engine, blot, docker};

/// Commands that stay different, each a heading of docs/COMPARISON.md.
const EXPLAINED: &[&str] = &include!("explained_volumes.in");

/// One command in a line; `'…'` is one word, `@` the directory of binds. Lines follow one another on each engine.
const COMMANDS: &str = include_str!("volume_commands.txt");

/// The words of a line.
fn words(line: &str, binds: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.replace('@', binds));
        } else {
            words.extend(part.split_whitespace().map(|word| word.replace('@', binds)));
        }
    }
    words
}

/// A root file system with directories of different owners, modes, links and attributes, and volumes of its own.
fn image(world: &World) {
    world
        .sh(&format!(
            "cd {} && mkdir -p root/data/sub root/odd root/bin && cp $(command -v busybox || echo /bin/busybox) root/bin/busybox
             echo text >root/data/file && chown 7:8 root/data root/data/sub && chmod 2750 root/data && chmod 4711 root/data/file
             ln -s file root/data/link && ln root/data/file root/data/hard && mkfifo root/data/fifo
             chmod 1777 root/odd && setfattr -n user.colour -v red root/data/file 2>/dev/null
             for name in sh ls stat cat mount grep sort touch true id find sleep awk echo; do ln -s busybox root/bin/$name; done
             find root -exec touch -h -d 2020-02-02 {{}} +
             tar --xattrs -C root -cf image.tar .",
            world.directory().display()
        ))
        .ok();
}

#[test]
fn volumes_and_mounts_are_as_dockerds() {
    let world = World::start();
    world.start_dockerd();
    image(&world);
    let archive = world.directory().join("image.tar").display().to_string();
    let binds = world.directory().join("binds").display().to_string();
    let mut found = Vec::new();
    let [mut first, mut second] = [Engine::Hull, Engine::Dockerd].map(|engine| {
        let import = ["import", "-c", "VOLUME /data", "-c", "CMD [\"sh\"]", &archive, "vols"];
        docker(&world, engine, &import).ok();
        let root = match engine {
            Engine::Hull => world.data_root(),
            Engine::Dockerd => world.directory().join("dockerd"),
        };
        let _ = std::fs::remove_dir_all(&binds);
        std::fs::create_dir_all(format!("{binds}/dir/below")).unwrap();
        std::fs::write(format!("{binds}/file"), "bound\n").unwrap();
        let mut outputs = Vec::new();
        for line in COMMANDS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let words = words(line, &binds);
            let output = docker(&world, engine, &words.iter().map(String::as_str).collect::<Vec<_>>());
            let clean = |text: &str| blot(&world, &text.replace(root.to_str().unwrap(), "<root>"));
            let (stdout, stderr) = (clean(&output.stdout), clean(&output.stderr));
            // Listings have no order of their own; dockerd's of mounts is a Go map's.
            let mut lines: Vec<&str> = stdout.lines().collect();
            if line.contains("inspect") || line.contains(" ls") || line.contains("prune") {
                lines.sort_unstable();
            }
            let text = format!("code {}\n{}\n--- stderr\n{stderr}", output.code, lines.join("\n"));
            outputs.push((line, text));
        }
        outputs.into_iter()
    });
    while let (Some((line, hull)), Some((_, dockerd))) = (first.next(), second.next()) {
        if hull != dockerd {
            found.push(format!("docker {line}:\n  on Hull: {hull}\n  on dockerd: {dockerd}"));
        }
    }
    world.stop_dockerd();
    let document = include_str!("../../../docs/COMPARISON.md");
    for key in EXPLAINED {
        assert!(document.contains(key), "docs/COMPARISON.md does not explain {key:?}");
    }
    let unexplained: Vec<&String> =
        found.iter().filter(|line| !EXPLAINED.iter().any(|key| line.starts_with(key))).collect();
    assert!(
        unexplained.is_empty(),
        "{} differences that docs/COMPARISON.md does not explain:\n{}",
        unexplained.len(),
        unexplained.iter().map(|text| text.as_str()).collect::<Vec<_>>().join("\n")
    );
}
