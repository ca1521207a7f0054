//! The builder's rows of the classes of vulnerabilities, each by its CVE.
#![allow(clippy::unwrap_used)] // helpers of tests

use hull_e2e::{Output, World};

fn build(world: &World, dockerfile: &str, flags: &[&str]) -> Output {
    let root = world.directory().join("context");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join("Dockerfile"), dockerfile).unwrap();
    let mut command = world.client_command(hull_e2e::Client::Hull, &["build", "--progress", "plain"]);
    command.args(flags).arg(&root);
    world.run(command, None)
}

/// Posts an archive that a shell line makes as the context of a classic build.
fn post(world: &World, make: &str) -> String {
    let socket = world.socket();
    world
        .sh(&format!("cd {} && {make} | curl -s --unix-socket {} -X POST -H 'Content-Type: application/x-tar' --data-binary @- http://d/build", world.directory().display(), socket.display()))
        .stdout
}

#[test]
fn contexts_do_not_reach_outside_themselves() {
    let world = World::start();
    std::fs::write(world.directory().join("outside"), "the host's\n").unwrap();
    std::fs::create_dir_all(world.directory().join("c")).unwrap();
    std::fs::write(world.directory().join("c/Dockerfile"), "FROM busybox\nCOPY l /x\n").unwrap();
    let said = post(&world, "tar -C c -c Dockerfile ../outside --absolute-names 2>/dev/null");
    assert!(said.contains("leads outside of it"), "{said}");
    let said = post(&world, "ln -sf /etc/passwd c/l; tar -C c -c Dockerfile l");
    assert!(said.contains("file not found in build context"), "{said}");
    let said = post(&world, "ln -sf ../outside c/l; tar -C c -c Dockerfile l");
    assert!(said.contains("file not found in build context"), "{said}");
    let said = post(&world, "head -c 100000 /dev/urandom");
    assert!(said.contains("message"), "{said}");
    // An archive that ADD takes apart is a context of its own.
    let make = "printf 'FROM busybox\\nADD a.tar /x/\\n' > c/Dockerfile; tar -c -f c/a.tar --absolute-names --transform 's,^,../../,' outside; \
                tar -C c -c Dockerfile a.tar";
    let said = post(&world, make);
    assert!(said.contains("leads outside of it"), "{said}");
    world.stop();
}

#[test]
fn cve_2024_23651_and_9675_a_cache_does_not_lead_out() {
    let world = World::start();
    let marked = world.directory().join("marked");
    std::fs::write(&marked, "the host's\n").unwrap();
    let plant = format!(
        "FROM busybox\nRUN --mount=type=cache,id=p,target=/c ln -s / /c/root; ln -s {} /c/up\n",
        world.directory().display()
    );
    build(&world, &plant, &[]).ok();
    let take = "FROM busybox\nRUN --mount=type=cache,id=p,source=root,target=/m ls -a /m > /seen; ls /m/marked && exit 9; cat /seen\n";
    let said = build(&world, take, &[]).expect_code(0).stderr;
    assert!(said.contains("up"), "the link leads to the cache's own root: {said}");
    let said = build(&world, "FROM busybox\nRUN --mount=type=cache,id=p,source=up,target=/m true\n", &[])
        .expect_code(1)
        .stderr;
    assert!(said.contains("not found"), "{said}");
    build(&world, "FROM busybox\nRUN --mount=type=cache,id=../../../../marked,target=/m touch /m/x\n", &[])
        .ok();
    build(&world, "FROM busybox\nRUN --mount=type=cache,id=q,source=../../..,target=/m touch /m/y\n", &[])
        .ok();
    assert!(!world.directory().join("y").exists() && marked.is_file());
    world.stop();
}

#[test]
fn cve_2024_23652_places_of_mounts_are_taken_away_without_touching_the_host() {
    let world = World::start();
    let victim = world.directory().join("victim");
    std::fs::create_dir_all(victim.join("b")).unwrap();
    let dockerfile = format!(
        "FROM busybox\nRUN --mount=type=tmpfs,target=/a/b umount /a/b; rm -rf /a; ln -s {} /a; true\nRUN ls -ld /a\n",
        victim.display()
    );
    let _ = build(&world, &dockerfile, &[]);
    assert!(victim.join("b").is_dir());
    world.stop();
}

#[test]
fn cve_2024_23653_rights_are_not_given_unasked() {
    let world = World::start();
    let dockerfile = "FROM busybox\nRUN --security=insecure true\n";
    let said = build(&world, dockerfile, &[]).expect_code(1).stderr;
    assert!(said.contains("security.insecure is not allowed"), "{said}");
    build(&world, dockerfile, &["--allow", "security.insecure"]).ok();
    let said = build(&world, "FROM busybox\nRUN --network=host true\n", &[]).expect_code(1).stderr;
    assert!(said.contains("network.host is not allowed"), "{said}");
    world.stop();
}

#[test]
fn cve_2024_24557_the_cache_cannot_be_poisoned() {
    let world = World::start();
    // Steps that differ in what classic builders left out of the key.
    for (index, lines) in ["ENV A=1", "ENV A=2", "USER 5", "WORKDIR /w", "ARG A=3"].iter().enumerate() {
        let dockerfile = format!("FROM busybox\n{lines}\nRUN echo $A; id -u; pwd\nRUN true # {index}\n");
        let said = build(&world, &dockerfile, &[]).expect_code(0).stderr;
        let step = said.lines().filter(|line| line.contains("CACHED")).count();
        assert!(!said.contains("echo $A; id -u; pwd\n#4 CACHED") && step <= 2, "{said}");
    }
    // From scratch: the same layers with another configuration are another image.
    build(&world, "FROM scratch\nCOPY Dockerfile /\nHEALTHCHECK CMD a\n", &["-t", "one"]).ok();
    build(&world, "FROM scratch\nCOPY Dockerfile /\nONBUILD RUN b\n", &["-t", "two"]).ok();
    let of =
        |name: &str| world.docker(&["image", "inspect", "-f", "{{json .Config.Healthcheck}}", name]).ok();
    assert!(of("one").contains("CMD-SHELL") && of("two") == "null", "{} {}", of("one"), of("two"));
    world.stop();
}

#[test]
fn cve_2024_1753_9407_11218_2025_4953_binds_stay_in_their_tree_and_nothing_is_written_back() {
    let world = World::start();
    let dockerfile = "FROM busybox AS s\nRUN ln -s /../../../.. /up && mkdir /d && echo s > /d/f\nFROM busybox\n\
        RUN --mount=from=s,source=/up,target=/m ls /m/d/f\n\
        RUN --mount=from=s,source=../../../..,target=/m ls /m/d/f\n\
        RUN --mount=from=s,source=/d,target=/m ! touch /m/x\n\
        RUN --mount=target=/m,rw echo changed > /m/Dockerfile\n\
        RUN --mount=from=s,source=/d,target=/m,rw echo changed > /m/f\n\
        RUN --mount=from=s,source=/d,target=/m grep -qx s /m/f\n";
    build(&world, dockerfile, &[]).ok();
    let kept = std::fs::read_to_string(world.directory().join("context/Dockerfile")).unwrap();
    assert_eq!(kept, dockerfile);
    let said =
        build(&world, "FROM busybox\nRUN --mount=type=bind,target=/m,bind-propagation=shared true\n", &[]);
    assert!(said.expect_code(1).stderr.contains("unexpected key 'bind-propagation'"));
    world.stop();
}

#[test]
fn cve_2020_10696_copies_stay_in_the_stage() {
    let world = World::start();
    let victim = world.directory().join("victim");
    std::fs::create_dir_all(&victim).unwrap();
    let dockerfile = format!(
        "FROM busybox\nRUN ln -s {0} /out && ln -s ../../../../../..{0} /up\nCOPY Dockerfile /out/\nCOPY Dockerfile /up/\nWORKDIR /out/w\n\
         RUN ls {0}/Dockerfile {0}/w -d\n",
        victim.display()
    );
    build(&world, &dockerfile, &[]).ok();
    assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 0, "something was written on the host");
    world.stop();
}

#[test]
fn cve_2021_3602_the_daemons_environment_stays_its_own() {
    let world = World::start();
    let said = build(&world, "FROM busybox\nRUN env; cat /proc/1/environ | tr '\\0' '\\n'\n", &[])
        .expect_code(0)
        .stderr;
    assert!(said.contains("PATH=") && !said.contains("HULL_"), "{said}");
    world.stop();
}

#[test]
fn cve_2019_13139_git_references_are_no_options() {
    let world = World::start();
    let marker = world.directory().join("marker");
    let reference = format!("git@localhost:x.git#--upload-pack=touch {};", marker.display());
    let said = world.hull(&["build", &reference]).expect_code(1).stderr;
    assert!(said.contains("invalid revision"), "{said}");
    assert!(!marker.exists());
    world.stop();
}
