//! Images whose `VOLUME` and `WORKDIR` lead through links and `..`: nothing of the host is read, made or changed.
#![allow(clippy::unwrap_used)]

use hull_e2e::{World, with_each_client};

/// A root file system with links towards `secret`, a directory of the host, and an image of it with these changes.
fn import(world: &World, secret: &std::path::Path, name: &str, changes: &[&str]) {
    let folder = world.directory().join(format!("root-{name}"));
    world
        .sh(&format!(
            "mkdir -p {0}/bin {0}/real && cp /bin/busybox {0}/bin/busybox && cd {0}/bin
             for name in sh ls cat pwd stat touch find mount grep true; do ln -s busybox $name; done; cd ..
             ln -s {1} absolute; ln -s ../../../../../../../..{1} upwards; ln -s absolute twice
             ln -s /real inside; echo own >real/file; tar -cf ../{2}.tar .",
            folder.display(),
            secret.display(),
            name
        ))
        .ok();
    let archive = world.directory().join(format!("{name}.tar")).display().to_string();
    let mut words = vec!["import"];
    words.extend(changes.iter().flat_map(|change| ["-c", change]));
    words.extend([archive.as_str(), name]);
    world.docker(&words).ok();
}

/// A directory of the host that nobody may touch, and what it looks like.
struct Canary {
    directory: std::path::PathBuf,
}

impl Canary {
    fn new(world: &World) -> Self {
        let directory = world.directory().join("secret");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("key"), "of the host\n").unwrap();
        Self { directory }
    }

    fn state(&self, world: &World) -> String {
        world
            .sh(&format!(
                "cd {} && find . | xargs stat -c '%n %a %u %s %Y %Z'; cat key",
                self.directory.display()
            ))
            .ok()
    }
}

#[test]
fn cve_2022_23648_volumes_through_links_copy_nothing_of_the_host() {
    with_each_client(|world, client| {
        let canary = Canary::new(world);
        let before = canary.state(world);
        for (name, path) in [
            ("va", "/absolute"),
            ("vb", "/upwards"),
            ("vc", "/twice"),
            ("vd", "/real/../../../../../../absolute"),
            ("ve", "/real/../upwards"),
        ] {
            import(world, &canary.directory, name, &[&format!("VOLUME {path}"), "CMD [\"sh\"]"]);
            let seen = world.client(client, &["run", "--rm", name, "find", "/", "-xdev", "-name", "key"]);
            assert!(!seen.stdout.contains("key"), "{path}: {}", seen.stdout);
            // What the volume got, wherever it is mounted.
            let named = world
                .client(client, &["run", "--name", "kept", "-v", &format!("{name}-v:{path}"), name, "true"]);
            assert!(named.code == 0 || !named.stderr.is_empty(), "{path}");
            let volumes = world.data_root().join("volumes");
            let got = world.sh(&format!("grep -rl 'of the host' {} || true", volumes.display())).ok();
            assert_eq!(got, "", "{path}");
            world.client(client, &["rm", "-f", "-v", "kept"]);
        }
        assert_eq!(canary.state(world), before, "the host's directory is as it was");
        // A link that stays inside is followed there, as Docker does.
        import(world, &canary.directory, "vi", &["VOLUME /inside", "CMD [\"sh\"]"]);
        assert_eq!(world.client(client, &["run", "--rm", "vi", "cat", "/inside/file"]).ok(), "own");
    });
}

#[test]
fn cve_2014_9356_working_directories_and_files_through_links_stay_inside() {
    with_each_client(|world, client| {
        let canary = Canary::new(world);
        let before = canary.state(world);
        for (name, path) in [
            ("wa", "/absolute/made"),
            ("wb", "/upwards/made"),
            ("wc", "/twice/../made"),
            ("wd", "/real/../../../../../../absolute/made"),
        ] {
            let full = format!("WORKDIR {path}");
            import(world, &canary.directory, name, &[&full, "CMD [\"sh\"]"]);
            let seen =
                world.client(client, &["run", "--rm", name, "sh", "-c", "pwd; ls -a; cat ../key; touch new"]);
            assert!(!seen.stdout.contains("of the host"), "{path}: {}", seen.stdout);
            let archive = world.directory().join("real.tar").display().to_string();
            world
                .sh(&format!(
                    "tar -C {} -cf {archive} real",
                    world.directory().join(format!("root-{name}")).display()
                ))
                .ok();
            world.client(client, &["create", "--name", "copied", name, "true"]).ok();
            // Copies into it go through the same links, before it has ever run.
            let file = world.directory().join(format!("root-{name}/real/file")).display().to_string();
            world.client(client, &["cp", &file, &format!("copied:{path}")]);
            world.client(client, &["cp", &file, "copied:/absolute/key"]);
            world.client(client, &["cp", &file, "copied:/upwards/key"]);
            world.client(client, &["rm", "-f", "copied"]).ok();
        }
        assert_eq!(canary.state(world), before, "the host's directory is as it was");
    });
}
