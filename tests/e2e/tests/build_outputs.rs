//! What becomes of a build: outputs, caches, attestations, platforms. Read back by skopeo, dockerd, podman and python.
#![allow(clippy::unwrap_used)] // helpers of tests

use hull_e2e::{Client, Output, World};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A directory with these files.
fn project(world: &World, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let root = world.directory().join(name);
    for (path, text) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

fn build(world: &World, root: &Path, flags: &str) -> Output {
    let mut command = world.client_command(Client::Hull, &["build", "--progress", "plain"]);
    command.args(flags.split_whitespace()).arg(root);
    world.run(command, None)
}

fn json(world: &World, line: &str) -> Value {
    serde_json::from_str(&world.sh(line).ok()).unwrap()
}

/// A registry that takes pushes, on 127.0.0.1:5001; it ends with what is returned.
struct Registry(std::process::Child);

impl Registry {
    fn start(world: &World) -> Self {
        let (config, storage) = (world.directory().join("own.yml"), world.directory().join("own-registry"));
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"127.0.0.1:5001\"}}\n",
            storage.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = world.command("docker-registry");
        command.arg("serve").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        hull_e2e::eventually("the registry answers", 10, || {
            (world.sh("curl -s -o /dev/null http://127.0.0.1:5001/v2/").code == 0).then_some(())
        });
        Self(child)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const PLAIN: &str = "FROM busybox\nCOPY a /a\nRUN echo b > /b\n";

#[test]
fn outputs_are_what_others_read() {
    let world = World::start();
    world.start_dockerd();
    let _registry = Registry::start(&world);
    let at = world.directory().display().to_string();
    let root = project(&world, "plain", &[("Dockerfile", PLAIN), ("a", "a\n")]);

    // Several at once; none of the files is the daemon's.
    let flags = format!(
        "-t 127.0.0.1:5001/own/app:1 -t 127.0.0.1:5001/own/app:2 --push --load --iidfile {at}/iid --metadata-file {at}/meta \
         -o type=oci,dest={at}/oci.tar -o type=docker,dest={at}/docker.tar -o type=oci,tar=false,dest={at}/layout \
         -o type=local,dest={at}/tree -o type=tar,dest={at}/files.tar -o type=oci,dest={at}/zstd.tar,compression=zstd \
         --annotation manifest:note=here"
    );
    build(&world, &root, &flags).ok();
    assert_eq!(std::fs::read_to_string(format!("{at}/tree/b")).unwrap(), "b\n");
    let script =
        "import tarfile,sys; t=tarfile.open(sys.argv[1]); print(t.extractfile('a').read().decode(), end='')";
    assert_eq!(world.sh(&format!("python3 -c \"{script}\" {at}/files.tar")).ok(), "a");

    // At the registry: an index of the image and of what is attested of it, under both names.
    let index = json(&world, "skopeo inspect --tls-verify=false --raw docker://127.0.0.1:5001/own/app:2");
    assert_eq!(index["manifests"][0]["platform"]["architecture"], "amd64");
    let attested = &index["manifests"][1];
    assert_eq!(attested["platform"]["os"], "unknown");
    assert_eq!(attested["annotations"]["vnd.docker.reference.type"], "attestation-manifest");
    assert_eq!(attested["annotations"]["vnd.docker.reference.digest"], index["manifests"][0]["digest"]);
    let meta: Value = serde_json::from_str(&std::fs::read_to_string(format!("{at}/meta")).unwrap()).unwrap();
    let raw = world
        .sh("skopeo inspect --tls-verify=false --raw docker://127.0.0.1:5001/own/app:1 | sha256sum")
        .ok();
    assert_eq!(meta["containerimage.digest"], format!("sha256:{}", raw.split(' ').next().unwrap()));
    assert_eq!(meta["image.name"], "127.0.0.1:5001/own/app:1,127.0.0.1:5001/own/app:2");
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let manifest = json(
        &world,
        &format!("skopeo inspect --tls-verify=false --raw docker://127.0.0.1:5001/own/app@{digest}"),
    );
    assert_eq!(manifest["annotations"]["note"], "here");
    let id = meta["containerimage.config.digest"].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(format!("{at}/iid")).unwrap(), id);

    // Every engine makes the same image of it, and it runs there.
    let dockerd =
        |words: &str| world.sh(&format!("docker -H unix://{} {words}", world.dockerd_socket().display()));
    dockerd("pull -q 127.0.0.1:5001/own/app:1").ok();
    assert_eq!(dockerd("inspect -f '{{.Id}}' 127.0.0.1:5001/own/app:1").ok(), id);
    assert!(dockerd(&format!("load -i {at}/docker.tar")).ok().contains("own/app:1"));
    world.sh(&format!("skopeo copy -q oci-archive:{at}/zstd.tar:1 dir:{at}/read")).ok();
    let zstd = json(&world, &format!("skopeo inspect --raw dir:{at}/read"));
    let kinds: Vec<&str> =
        zstd["layers"].as_array().unwrap().iter().map(|layer| layer["mediaType"].as_str().unwrap()).collect();
    assert!(
        kinds[0].ends_with("gzip") && kinds[1].ends_with("zstd") && kinds[2].ends_with("zstd"),
        "{kinds:?}"
    );
    world.sh(&format!("cd {at}/layout && umoci ls --layout . && test -f oci-layout")).ok();

    // Here it is one image with both names; pushed again, it is what it was.
    assert_eq!(world.hull(&["inspect", "-f", "{{.Id}}", "127.0.0.1:5001/own/app:2"]).ok(), id);
    let first = world.hull(&["push", "127.0.0.1:5001/own/app:1"]).ok();
    assert!(first.contains(meta["containerimage.digest"].as_str().unwrap()), "{first}");

    // What is attested of it is told, and goes out and in with it.
    let api = |path: &str| {
        let curl =
            format!("curl -sg --unix-socket {} 'http://x/v1.51/images/{path}'", world.socket().display());
        json(&world, &curl)
    };
    let attested = || api("own/app:1/attestations?statement=1");
    let told = api("127.0.0.1:5001/own/app:1/attestations");
    assert_eq!(told[0]["PredicateType"], "https://slsa.dev/provenance/v0.2");
    assert_eq!(told[0]["Descriptor"]["mediaType"], "application/vnd.in-toto+json");
    assert!(told[0].get("Statement").is_none());
    assert_eq!(
        api("127.0.0.1:5001/own/app:1/attestations?type=https://spdx.dev/Document"),
        Value::Array(vec![])
    );
    let manifests = &api("127.0.0.1:5001/own/app:1/json?manifests=1")["Manifests"];
    assert_eq!((&manifests[0]["Kind"], &manifests[1]["Kind"]), (&"image".into(), &"attestation".into()));
    assert_eq!(manifests[1]["AttestationData"]["For"], manifests[0]["ID"]);
    assert_eq!(manifests[1]["Available"], true);
    world.hull(&["tag", "127.0.0.1:5001/own/app:1", "own/app:1"]).ok();
    let before = attested();
    let subject = &before[0]["Statement"]["subject"][0]["digest"]["sha256"];
    assert_eq!(format!("sha256:{}", subject.as_str().unwrap()), digest);
    world.hull(&["save", "-o", &format!("{at}/all.tar"), "own/app:1"]).ok();
    world.hull(&["rmi", "-f", id]).ok();
    world.hull(&["load", "-q", "-i", &format!("{at}/all.tar")]).ok();
    assert_eq!(attested(), before);
    assert!(dockerd(&format!("load -i {at}/all.tar")).ok().contains("own/app:1"));
    world.hull(&["pull", "-q", "127.0.0.1:5001/own/app:2"]).ok();

    // The stock client's tree, and ours.
    let plain =
        format!("-H unix://{} image ls --tree | sed 's/\\x1b\\[[0-9;]*m//g'", world.socket().display());
    let stock = world.sh(&format!("docker {plain}")).ok();
    assert!(stock.contains("└─ linux/amd64"), "{stock}");
    assert_eq!(world.sh(&format!("{} {plain}", world.program(Client::Hull).display())).ok(), stock);

    // Standard output, and what cannot be.
    let piped = format!(
        "{} -H unix://{} build -q -o - {} | tar t",
        world.program(Client::Hull).display(),
        world.socket().display(),
        root.display()
    );
    assert!(world.sh(&piped).ok().contains("bin/busybox"));
    for (flags, why) in [
        ("-o type=nope", "unsupported output type"),
        ("-o type=oci", "dest is required"),
        ("-o type=oci,dest=x,colour=blue", "colour"),
        ("--push", "tag is needed"),
        ("--provenance=nope -t a", "provenance"),
        ("--annotation index:a=b -o type=docker,dest=x", "index annotations"),
    ] {
        let said = build(&world, &root, flags).expect_code(1).stderr;
        assert!(said.contains(why), "{flags}: {said}");
    }
}

#[test]
fn a_hostile_tree_stays_in_its_directory() {
    let world = World::start();
    let at = world.directory().display().to_string();
    let links = format!("FROM busybox\nRUN ln -s {at}/outside /escape\n");
    let files = [
        ("links/Dockerfile", links.as_str()),
        ("files/Dockerfile", "FROM scratch\nCOPY x /escape/y\nCOPY x /all/x\n"),
        ("files/x", "x"),
    ];
    let root = project(&world, "hostile", &files);
    std::fs::create_dir_all(format!("{at}/outside")).unwrap();
    std::fs::create_dir_all(format!("{at}/out")).unwrap();
    // A link that is there already is not followed, nor one that the image before brought.
    std::os::unix::fs::symlink(format!("{at}/outside"), format!("{at}/out/all")).unwrap();
    build(&world, &root.join("links"), &format!("-o {at}/out")).ok();
    assert!(std::fs::read_link(format!("{at}/out/escape")).is_ok());
    build(&world, &root.join("files"), &format!("-o {at}/out")).ok();
    assert_eq!(std::fs::read_dir(format!("{at}/outside")).unwrap().count(), 0);
    assert!(Path::new(&format!("{at}/out/escape/y")).is_file());
}

#[test]
fn the_same_on_every_driver_and_verified() {
    let root_of = |world: &World| {
        project(
            world,
            "same",
            &[
                ("Dockerfile", PLAIN),
                ("a", "a\n"),
                (
                    "bad/Dockerfile",
                    "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /stamp; echo x > /x\n",
                ),
            ],
        )
    };
    let digest = |world: &World| {
        let (at, root) = (world.directory().display(), root_of(world));
        // The mirror's name is no part of it.
        build(
            world,
            &root,
            &format!(
                "-t app --metadata-file {at}/m --provenance=mode=max --sbom=true -o type=oci,dest={at}/o"
            ),
        )
        .ok();
        let meta: Value = serde_json::from_str(&std::fs::read_to_string(format!("{at}/m")).unwrap()).unwrap();
        meta["containerimage.digest"].as_str().unwrap().to_owned()
    };
    let mirror = ["--registry-mirror", "http://127.0.0.1:5000"];
    let erofs = World::with_flags(&[&mirror[..], &["--storage-driver", "erofs"]].concat());
    let overlay = World::with_flags(&[&mirror[..], &["--storage-driver", "overlay2"]].concat());
    assert_eq!(digest(&erofs), digest(&overlay));

    // Every layer made here is as old as SOURCE_DATE_EPOCH says, at most.
    let at = erofs.directory().display();
    let dated = "--build-arg SOURCE_DATE_EPOCH=1000000000 -o type=oci,rewrite-timestamp=true,compression=uncompressed,tar=false";
    build(&erofs, &root_of(&erofs), &format!("{dated},dest={at}/dated")).ok();
    let script = format!(
        "import glob, json, tarfile\nlate = 0\nfor blob in glob.glob('{at}/dated/blobs/sha256/*'):\n  try: names = tarfile.open(blob).getmembers()\n  except tarfile.ReadError: continue\n  \
         late += 'bin/busybox' not in [n.name for n in names] and sum(n.mtime > 1000000000 for n in names)\nprint(late)"
    );
    assert_eq!(erofs.sh(&format!("python3 -c \"{script}\"")).ok(), "0");

    // Verified: what is the same, and the first file that is not.
    let root = root_of(&erofs);
    let said = build(&erofs, &root, "--verify -t ok").ok();
    drop(said);
    let said = build(&erofs, &root.join("bad"), "--verify -t bad").expect_code(1).stderr;
    assert!(said.contains("/stamp differs"), "{said}");
}

#[test]
fn what_is_attested_says_what_is_in_it_and_no_secrets() {
    let world = World::start();
    let at = world.directory().display().to_string();
    let dockerfile = "FROM busybox\nARG TOKEN\nRUN --mount=type=secret,id=key cat /run/secrets/key | wc -c > /n\n\
        COPY node_modules /app/node_modules\nCOPY installed /lib/apk/db/installed\n";
    let files = [
        ("Dockerfile", dockerfile),
        ("key", "hush-hush"),
        ("node_modules/left-pad/package.json", r#"{"name":"left-pad","version":"1.3.0"}"#),
        ("installed", "P:musl\nV:1.2.4\nA:x86_64\n"),
        (".dockerignore", "key\n"),
    ];
    let root = project(&world, "attested", &files);
    let key = root.join("key").display().to_string();
    let statements = |flags: &str, name: &str| -> Vec<Value> {
        let flags = format!(
            "{flags} --build-arg TOKEN=tell-tale --secret id=key,src={key} -t a/b:1 -o type=oci,tar=false,dest={at}/{name}"
        );
        build(&world, &root, &flags).ok();
        let read = |digest: &Value| -> Value {
            let path = format!(
                "{at}/{name}/blobs/sha256/{}",
                digest.as_str().unwrap().strip_prefix("sha256:").unwrap()
            );
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
        };
        let layout: Value =
            serde_json::from_str(&std::fs::read_to_string(format!("{at}/{name}/index.json")).unwrap())
                .unwrap();
        let root = read(&layout["manifests"][0]["digest"]);
        let Some(entries) = root["manifests"].as_array() else { return Vec::new() };
        let attested = read(&entries[1]["digest"]);
        attested["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| {
                assert_eq!(layer["mediaType"], "application/vnd.in-toto+json");
                let statement = read(&layer["digest"]);
                assert_eq!(statement["predicateType"], layer["annotations"]["in-toto.io/predicate-type"]);
                assert_eq!(
                    format!("sha256:{}", statement["subject"][0]["digest"]["sha256"].as_str().unwrap()),
                    entries[0]["digest"].as_str().unwrap()
                );
                statement
            })
            .collect()
    };
    // The least by default, of what leaves the machine.
    let least = statements("", "least");
    assert_eq!(least.len(), 1);
    let predicate = &least[0]["predicate"];
    assert!(least[0]["predicateType"].as_str().unwrap().starts_with("https://slsa.dev/provenance/"));
    let material = predicate["materials"][0]["uri"].as_str().unwrap();
    assert!(material.starts_with("pkg:docker/busybox@latest?digest=sha256:"), "{material}");
    assert!(!predicate.to_string().contains("tell-tale"));
    // All of it.
    let all = statements("--provenance=mode=max,builder-id=urn:me --attest type=sbom", "all");
    assert_eq!(all.len(), 2);
    let text = format!("{all:?}");
    assert!(!text.contains("hush-hush"));
    let sbom = all.iter().find(|one| one["predicateType"] == "https://spdx.dev/Document").unwrap();
    let packages = sbom["predicate"]["packages"].to_string();
    assert!(
        packages.contains("pkg:npm/left-pad@1.3.0") && packages.contains("pkg:apk/alpine/musl@1.2.4"),
        "{packages}"
    );
    let provenance = all.iter().find(|one| one["predicateType"] != "https://spdx.dev/Document").unwrap();
    assert_eq!(provenance["predicate"]["builder"]["id"], "urn:me");
    assert_eq!(provenance["predicate"]["invocation"]["parameters"]["args"]["build-arg:TOKEN"], "tell-tale");
    assert_eq!(provenance["predicate"]["metadata"]["https://mobyproject.org/buildkit@v1#hermetic"], false);
    // The other form of it: all that its specification requires is there.
    let first = &statements("--provenance=mode=max,version=v1,builder-id=urn:me,reproducible=true", "v1")[0];
    assert_eq!(first["_type"], "https://in-toto.io/Statement/v0.1");
    assert_eq!(first["predicateType"], "https://slsa.dev/provenance/v1");
    let (definition, details) = (&first["predicate"]["buildDefinition"], &first["predicate"]["runDetails"]);
    assert!(definition["buildType"].as_str().unwrap().starts_with("https://"));
    let parameters = &definition["externalParameters"];
    assert_eq!(parameters["configSource"]["path"], "Dockerfile");
    assert_eq!(parameters["request"]["args"]["build-arg:TOKEN"], "tell-tale");
    assert_eq!(definition["internalParameters"]["builderPlatform"], "linux/amd64");
    let dependency = &definition["resolvedDependencies"][0];
    assert!(dependency["uri"].as_str().unwrap().starts_with("pkg:docker/busybox@latest"));
    assert_eq!(dependency["digest"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(details["builder"]["id"], "urn:me");
    assert_eq!(details["metadata"]["buildkit_completeness"]["request"], true);
    assert_eq!(details["metadata"]["buildkit_reproducible"], true);
    assert!(!first.to_string().contains("hush-hush"));
    // SPDX 2.3: required fields, and every relationship is between what the document has.
    let document = &sbom["predicate"];
    for field in ["spdxVersion", "dataLicense", "SPDXID", "name", "documentNamespace", "creationInfo"] {
        assert!(!document[field].is_null(), "{field}");
    }
    let ids = document["packages"].as_array().unwrap().iter().map(|package| {
        assert!(package["name"].is_string() && package["downloadLocation"].is_string(), "{package}");
        package["SPDXID"].as_str().unwrap()
    });
    let ids: std::collections::BTreeSet<&str> = ids.chain(["SPDXRef-DOCUMENT"]).collect();
    for relation in document["relationships"].as_array().unwrap() {
        for end in ["spdxElementId", "relatedSpdxElement"] {
            assert!(ids.contains(relation[end].as_str().unwrap()), "{relation}");
        }
    }
    let said = build(&world, &root, "--sbom=generator=some/scanner").expect_code(1).stderr;
    assert!(said.contains("cannot be run") && said.contains("--sbom=true"), "{said}");
    assert!(statements("--provenance=false", "none").is_empty());
}

#[test]
fn caches_travel_and_hostile_ones_do_no_harm() {
    let first = World::start();
    let registry = Registry::start(&first);
    let dockerfile = "FROM busybox AS made\nRUN cat /proc/sys/kernel/random/uuid > /stamp\nFROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /own\nCOPY --from=made /stamp /stamp\nRUN true\n";
    let root = project(&first, "cached", &[("Dockerfile", dockerfile)]);
    let at = first.directory().display().to_string();
    let flags = format!(
        "-t 127.0.0.1:5001/inline:1 --push --cache-to type=inline --cache-to type=registry,ref=127.0.0.1:5001/cache:max,mode=max \
         --cache-to type=local,dest={at}/cache,mode=max -o {at}/files"
    );
    build(&first, &root, &flags).ok();
    let stamp = std::fs::read_to_string(format!("{at}/files/own")).unwrap();
    let manifest = json(&first, "skopeo inspect --tls-verify=false --raw docker://127.0.0.1:5001/cache:max");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.buildkit.cacheconfig.v0");

    // A machine that has built nothing: everything comes from each kind of cache.
    let again = |flags: &str, forget: bool| -> (String, String) {
        if forget {
            first.hull(&["rmi", "-f", "127.0.0.1:5001/inline:1"]);
            first.hull(&["builder", "prune", "-af"]).ok();
            let _ = std::fs::remove_dir_all(format!("{at}/again"));
        }
        let said = build(&first, &root, &format!("{flags} -o {at}/again")).ok();
        let _ = said;
        (std::fs::read_to_string(format!("{at}/again/own")).unwrap(), said)
    };
    assert_eq!(again("--cache-from type=registry,ref=127.0.0.1:5001/cache:max", true).0, stamp);
    // It is not everybody's from then on: who names no cache takes nothing of it.
    assert_ne!(again("", false).0, stamp);
    assert_eq!(again(&format!("--cache-from type=local,src={at}/cache"), true).0, stamp);
    assert_eq!(again("--cache-from 127.0.0.1:5001/inline:1", true).0, stamp);
    // What is damaged, missing or no cache at all is no failure, and is not used.
    for blob in std::fs::read_dir(format!("{at}/cache/blobs/sha256")).unwrap() {
        let path = blob.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    assert_ne!(again(&format!("--cache-from type=local,src={at}/cache"), true).0, stamp);
    for nothing in ["127.0.0.1:5001/none:1", "127.0.0.1:1/refused:1", "busybox"] {
        assert_ne!(again(&format!("--cache-from {nothing}"), true).0, stamp, "{nothing}");
    }
    drop(registry);
}

#[test]
fn several_platforms_make_an_index() {
    let world = World::start();
    let _registry = Registry::start(&world);
    let at = world.directory().display().to_string();
    // A base for both: nothing in it has to run.
    let base = project(
        &world,
        "base",
        &[(
            "Dockerfile",
            "FROM scratch\nARG TARGETPLATFORM TARGETARCH BUILDPLATFORM\nCOPY <<EOF /platform\n$TARGETPLATFORM $TARGETARCH $BUILDPLATFORM\nEOF\n",
        )],
    );
    build(
        &world,
        &base,
        "--platform linux/amd64,linux/arm64 -t 127.0.0.1:5001/base:1 --push --annotation index:note=both",
    )
    .ok();
    let index = json(&world, "skopeo inspect --tls-verify=false --raw docker://127.0.0.1:5001/base:1");
    let manifests = index["manifests"].as_array().unwrap();
    assert_eq!(index["annotations"]["note"], "both");
    let architectures: Vec<&str> =
        manifests.iter().map(|one| one["platform"]["architecture"].as_str().unwrap()).collect();
    assert_eq!(architectures, ["amd64", "arm64", "unknown", "unknown"]);

    let dockerfile = "FROM --platform=$BUILDPLATFORM busybox AS cross\nARG TARGETARCH\nRUN echo made for $TARGETARCH > /out\n\
        FROM 127.0.0.1:5001/base:1\nCOPY --from=cross /out /out\n";
    let root = project(&world, "cross", &[("Dockerfile", dockerfile)]);
    build(&world, &root, &format!("--platform linux/amd64,linux/arm64 -t cross:1 --load -o type=local,dest={at}/both -o type=oci,dest={at}/both.tar")).ok();
    let read = |path: &str| std::fs::read_to_string(format!("{at}/both/{path}")).unwrap();
    assert_eq!(read("linux_arm64/out"), "made for arm64\n");
    assert_eq!(read("linux_arm64/platform"), "linux/arm64 arm64 linux/amd64\n");
    assert_eq!(read("linux_amd64/platform"), "linux/amd64 amd64 linux/amd64\n");
    world.sh(&format!("skopeo copy -q --override-arch arm64 oci-archive:{at}/both.tar:1 dir:{at}/arm")).ok();
    // Here it is this machine's; the name of the base still is, too.
    let architecture = |name: &str| world.hull(&["inspect", "-f", "{{.Architecture}}", name]).ok();
    assert_eq!(architecture("cross:1"), "amd64");
    assert_eq!(architecture("127.0.0.1:5001/base:1"), "amd64");

    // A step that this machine cannot run says what is missing.
    let run = project(&world, "run", &[("Dockerfile", "FROM 127.0.0.1:5001/base:1\nRUN true\n")]);
    let said = build(&world, &run, "--platform linux/arm64").expect_code(1).stderr;
    assert!(said.contains("binfmt_misc") && said.contains("arm64"), "{said}");
    let said =
        build(&world, &base, &format!("--platform linux/amd64,linux/arm64 -o type=docker,dest={at}/x"))
            .expect_code(1)
            .stderr;
    assert!(said.contains("manifest lists"), "{said}");
}
