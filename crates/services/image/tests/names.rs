//! Names, filters, conflicts: what tag, rmi, images and prune do, with Docker's texts.
#![allow(clippy::unwrap_used)]

mod registry;

use hull_api_types::{Filters, ImageListOptions};
use hull_archive::{Entry, EntryKind, Writer};
use hull_errors::{HasKind, Kind};
use hull_image::ImagesConfig;
use hull_registry_client::Config;
use hull_types::Digest;
use registry::Engine;
use std::path::Path;

// Images without a registry: `hello`, out of programs that differ.
async fn engine(root: &Path) -> (Engine, Digest) {
    let program = root.join("program");
    std::fs::write(&program, b"one").unwrap();
    let config = ImagesConfig { builtin_hello: program, ..ImagesConfig::default() };
    let engine = Engine::open_with(&root.join("data"), Config::default(), config);
    let id = engine.must_pull("hello").await;
    (engine, id)
}
async fn another(engine: &Engine, root: &Path, content: &str) -> Digest {
    std::fs::write(root.join("program"), content).unwrap();
    engine.must_pull("hello").await
}
fn filters(entries: &[(&str, &str)]) -> Filters {
    entries.iter().map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()])).collect()
}
fn listed(engine: &Engine, entries: &[(&str, &str)]) -> Vec<Vec<String>> {
    let options = ImageListOptions { filters: filters(entries), ..ImageListOptions::default() };
    engine.images.list(&options).unwrap().into_iter().map(|image| image.repo_tags).collect()
}
fn gone(engine: &Engine, name: &str, force: bool) -> Vec<String> {
    let items = engine.images.remove(name, force, false).unwrap();
    let text = |deleted: String, untagged: String| {
        if deleted.is_empty() { format!("Untagged: {untagged}") } else { format!("Deleted: {deleted}") }
    };
    items.into_iter().map(|item| text(item.deleted, item.untagged)).collect()
}
fn refused(engine: &Engine, name: &str, force: bool) -> (String, Kind) {
    let error = engine.images.remove(name, force, false).unwrap_err();
    (error.to_string(), error.kind())
}

#[tokio::test]
async fn names_ids_and_prefixes() {
    let root = tempfile::tempdir().unwrap();
    let (engine, id) = engine(root.path()).await;
    let digest = engine.images.inspect("hello", false).unwrap().repo_digests[0].clone();
    for name in [
        "hello",
        "hello:latest",
        "docker.io/library/hello",
        id.as_str(),
        id.hex(),
        &id.hex()[..12],
        &id.hex()[..4],
        &id.as_str()[..20],
        &digest,
        &digest.replace("@", ":latest@"),
    ] {
        assert_eq!(engine.images.resolve(name, None).unwrap().id, id, "{name}");
    }
    for (name, text, kind) in [
        ("nope", "No such image: nope:latest", Kind::NotFound),
        ("nope:1", "No such image: nope:1", Kind::NotFound),
        ("a/b", "No such image: a/b:latest", Kind::NotFound),
        (
            "a/Nope",
            "invalid reference format: repository name (a/Nope) must be lowercase",
            Kind::InvalidParameter,
        ),
        ("a b", "invalid reference format", Kind::InvalidParameter),
        ("", "invalid reference format", Kind::InvalidParameter),
    ] {
        let error = engine.images.resolve(name, None).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind()), (text, kind));
    }
    let unknown = format!("sha256:{}", "0".repeat(64));
    assert_eq!(
        engine.images.resolve(&unknown, None).unwrap_err().to_string(),
        format!("No such image: {unknown}")
    );
    // Of seventeen ids two begin alike.
    let mut ids = vec![id];
    for number in 0..16 {
        ids.push(another(&engine, root.path(), &number.to_string()).await);
    }
    let first = |id: &Digest| id.hex()[..1].to_owned();
    let shared = ids.iter().map(first).find(|c| ids.iter().filter(|id| first(id) == *c).count() > 1).unwrap();
    let error = engine.images.resolve(&shared, None).unwrap_err();
    assert!(error.to_string().contains("ambiguous") && error.kind() == Kind::InvalidParameter, "{error}");
    // A name wins over an id that begins like it.
    engine.images.tag("hello", &shared, "").unwrap();
    assert_eq!(engine.images.resolve(&shared, None).unwrap().id, ids[16]);
}

#[tokio::test]
async fn tags_come_and_go() {
    let root = tempfile::tempdir().unwrap();
    let (engine, id) = engine(root.path()).await;
    engine.images.tag("hello", "localhost:5000/team/app", "1.0").unwrap();
    engine.images.tag(id.hex(), "second", "").unwrap();
    assert_eq!(
        engine.images.inspect("second", false).unwrap().repo_tags,
        ["hello:latest", "second:latest", "localhost:5000/team/app:1.0"]
    );
    assert!(!engine.images.inspect("second", false).unwrap().metadata.last_tag_time.is_zero());
    let digest = engine.images.inspect("hello", false).unwrap().repo_digests[0].clone();
    assert_eq!(
        engine.images.tag("hello", &digest, "").unwrap_err().to_string(),
        "refusing to create a tag with a digest reference"
    );
    assert_eq!(engine.images.tag("hello", "x", "-").unwrap_err().kind(), Kind::InvalidParameter);
    assert_eq!(engine.images.tag("nope", "x", "").unwrap_err().kind(), Kind::NotFound);

    assert_eq!(gone(&engine, "second", false), ["Untagged: second:latest"]);
    assert_eq!(
        gone(&engine, "hello", false),
        ["Untagged: hello:latest".to_owned(), format!("Untagged: {digest}")]
    );
    let last = gone(&engine, "localhost:5000/team/app:1.0", false);
    assert_eq!(last.len(), 3);
    assert_eq!(last[1], format!("Deleted: {id}"));
    assert_eq!(engine.content.list().unwrap(), []);
    let actions: Vec<String> = engine.actions().into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["pull", "tag", "tag", "untag", "untag", "untag", "untag", "delete"]);
    assert_eq!(engine.actions()[1].1, "localhost:5000/team/app:1.0");
}

#[tokio::test]
async fn an_id_removes_all_names_of_one_repository_and_no_more() {
    let root = tempfile::tempdir().unwrap();
    let (engine, id) = engine(root.path()).await;
    engine.images.tag("hello", "other", "").unwrap();
    let short = &id.hex()[..12];
    assert_eq!(
        refused(&engine, short, false),
        (
            format!(
                "conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
            ),
            Kind::Conflict
        )
    );
    let all = gone(&engine, short, true);
    assert_eq!(all.iter().filter(|line| line.starts_with("Untagged")).count(), 3, "{all:?}");
    assert_eq!(engine.images.count(), 0);
    let second = another(&engine, root.path(), "two").await;
    assert_eq!(gone(&engine, second.as_str(), false).len(), 4);
}

#[tokio::test]
async fn containers_keep_their_images() {
    let root = tempfile::tempdir().unwrap();
    let (engine, id) = engine(root.path()).await;
    let (container, short) = ("c".repeat(64), id.hex()[..12].to_owned());
    let image = engine.images.resolve("hello", None).unwrap();
    engine.images.uses().set(&container, &id, true);
    engine.snapshotter.prepare(&container, image.top.as_ref()).unwrap();
    assert_eq!(engine.images.list(&ImageListOptions::default()).unwrap()[0].containers, 1);

    let by_name = "conflict: unable to remove repository reference \"hello\" (must force) - container cccccccccccc is using its referenced image ";
    assert_eq!(refused(&engine, "hello", false), (format!("{by_name}{short}"), Kind::Conflict));
    let running = format!(
        "conflict: unable to delete {short} (cannot be forced) - image is being used by running container cccccccccccc"
    );
    assert_eq!(refused(&engine, &short, false).0, running);
    assert_eq!(refused(&engine, &short, true).0, running);
    engine.images.uses().set(&container, &id, false);
    let stopped = format!(
        "conflict: unable to delete {short} (must be forced) - image is being used by stopped container cccccccccccc"
    );
    assert_eq!(refused(&engine, &short, false).0, stopped);
    assert_eq!(engine.images.prune(&filters(&[("dangling", "false")])).unwrap().images_deleted, None);

    // By force the image goes; what the container stands on stays until the container is gone.
    assert_eq!(gone(&engine, "hello", true).last().unwrap(), &format!("Deleted: {id}"));
    assert!(engine.images.resolve(id.as_str(), None).is_err() && engine.images.count() == 0);
    drop(engine);
    let engine = Engine::open(&root.path().join("data"));
    engine.images.uses().set(&container, &id, false);
    engine.images.sweep();
    engine.images.release().unwrap();
    assert_eq!(engine.images.of_container(&id).unwrap().top, image.top);
    assert_eq!(engine.images.make().layers_of(id.as_str()).unwrap().len(), 1);
    assert!(engine.images.list(&ImageListOptions::default()).unwrap().is_empty());
    engine.snapshotter.remove(&container).unwrap();
    engine.images.uses().clear(&container);
    engine.images.release().unwrap();
    assert!(engine.snapshotter.layers().is_empty() && engine.content.list().unwrap().is_empty());
}

/// Between a build's step and the row that keeps it, with a prune in between.
#[test]
fn what_is_being_made_is_not_pruned() {
    for driver in ["overlay", "erofs"] {
        let root = tempfile::tempdir_in("/var/tmp").unwrap();
        let engine = Engine::open_on(driver, root.path());
        let making = engine.images.make();
        let mut tar = Writer::new(Vec::new());
        tar.entry(&Entry::new("file", EntryKind::File, 0o600)).unwrap();
        let added = making.add(None, &mut &tar.finish().unwrap()[..]).unwrap();
        let there = || (engine.snapshotter.has(&added.chain), engine.content.has(&added.diff_id.0));
        engine.images.prune(&filters(&[("dangling", "false")])).unwrap();
        engine.images.forget_cached();
        assert_eq!(there(), (true, true), "{driver}");
        // Another who takes it over keeps it.
        let other = engine.images.make();
        other.kept(&added.chain, &added.diff_id).unwrap();
        drop(making);
        engine.images.forget_cached();
        assert_eq!(there(), (true, true), "{driver}");
        drop(other);
        engine.images.forget_cached();
        assert_eq!(there(), (false, false), "{driver}");
        assert!(engine.images.make().kept(&added.chain, &added.diff_id).is_err());
    }
}

#[tokio::test]
async fn a_running_containers_image_can_lose_its_name_by_force_only() {
    let root = tempfile::tempdir().unwrap();
    let (engine, id) = engine(root.path()).await;
    engine.images.uses().set("c1", &id, true);
    assert!(gone(&engine, "hello", true).iter().all(|line| line.starts_with("Untagged")));
    assert_eq!(listed(&engine, &[("dangling", "true")]), [Vec::<String>::new()]);
    // An image with no name at all can be named again by its id.
    engine.images.tag(id.as_str(), "again", "").unwrap();
    assert_eq!(engine.images.resolve("again", None).unwrap().id, id);
}

#[tokio::test]
async fn filters_are_dockers() {
    let root = tempfile::tempdir().unwrap();
    let (engine, _) = engine(root.path()).await;
    engine.images.tag("hello", "kept", "1").unwrap();
    let second = another(&engine, root.path(), "two").await;
    // The first image is `hello` by its digest still; only names that fit are shown.
    let mut by_pattern = listed(&engine, &[("reference", "hell*")]);
    by_pattern.sort();
    assert_eq!(by_pattern, [vec![], vec!["hello:latest".to_owned()]]);
    assert_eq!(listed(&engine, &[("reference", "kept")]), [["kept:1".to_owned()]]);
    assert_eq!(listed(&engine, &[("reference", "kept:2")]).len(), 0);
    assert_eq!(listed(&engine, &[("dangling", "true")]).len(), 0);
    assert_eq!(listed(&engine, &[("dangling", "false")]).len(), 2);
    assert_eq!(listed(&engine, &[("label", "x")]).len(), 0);
    assert_eq!(listed(&engine, &[("until", "2000-01-01")]).len(), 0);
    assert_eq!(
        listed(&engine, &[("before", second.hex())]).len() + listed(&engine, &[("since", "hello")]).len(),
        {
            let created = |name| engine.images.inspect(name, false).unwrap().created;
            usize::from(created("kept:1") < created("hello"))
                + usize::from(created("kept:1") > created("hello"))
        }
    );
    for (entries, text) in [
        ([("nope", "1")], "invalid filter 'nope'"),
        ([("dangling", "maybe")], "invalid filter 'dangling=[maybe]'"),
        ([("reference", "[")], "invalid filter 'reference=[': syntax error in pattern"),
        ([("before", "nope")], "No such image: nope:latest"),
    ] {
        let options = ImageListOptions { filters: filters(&entries), ..ImageListOptions::default() };
        assert_eq!(engine.images.list(&options).unwrap_err().to_string(), text);
    }
}

#[tokio::test]
async fn prune_takes_the_dangling_or_all_the_unused() {
    let root = tempfile::tempdir().unwrap();
    let (engine, first) = engine(root.path()).await;
    // `hello` moves on; its digest alone is left of the first.
    another(&engine, root.path(), "two").await;
    engine.images.tag("hello", "kept", "1").unwrap();
    let pruned = engine.images.prune(&Filters::new()).unwrap();
    let deleted: Vec<String> = pruned.images_deleted.unwrap().into_iter().map(|item| item.deleted).collect();
    assert!(deleted.contains(&first.to_string()), "{deleted:?}");
    assert_eq!((engine.images.count(), pruned.space_reclaimed), (1, 3));
    assert_eq!(engine.images.prune(&Filters::new()).unwrap().images_deleted, None);
    let error = engine.images.prune(&filters(&[("reference", "x")])).unwrap_err();
    assert_eq!(error.to_string(), "invalid filter 'reference'");
    let all = engine.images.prune(&filters(&[("dangling", "false")])).unwrap();
    assert_eq!(all.images_deleted.unwrap().iter().filter(|item| !item.untagged.is_empty()).count(), 3);
    assert_eq!(engine.images.count(), 0);
    assert_eq!(engine.content.list().unwrap(), []);
}

#[tokio::test]
async fn a_damaged_row_keeps_everything() {
    let root = tempfile::tempdir().unwrap();
    let (engine, id) = engine(root.path()).await;
    engine.store.table::<String>("images").put("sha256:nonsense", &"no row".into()).unwrap();
    let blobs = engine.content.list().unwrap().len();
    drop(engine);
    let engine = Engine::open(&root.path().join("data"));
    assert_eq!(engine.images.resolve("hello", None).unwrap().id, id);
    gone(&engine, "hello", false);
    assert_eq!(engine.content.list().unwrap().len(), blobs);
    assert_eq!(engine.snapshotter.layers().len(), 1);
}
