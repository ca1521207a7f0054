//! The store as its users see it, across processes and deaths.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hull_store::{Durability, Error, SCHEMA_VERSION, Store, Table};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row {
    name: String,
    number: u32,
}

fn row(number: u32) -> Row {
    Row { name: format!("name-{number}"), number }
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hull.db");
    (folder, path)
}

fn rows(store: &Store) -> Table<Row> {
    store.table("rows-of-tests")
}

#[test]
fn rows_are_put_listed_and_removed() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    let table = rows(&store);
    assert!(table.list().unwrap().is_empty());
    for number in [2, 1, 3] {
        table.put(&number.to_string(), &row(number)).unwrap();
    }
    table.put("2", &row(20)).unwrap();
    store.table::<Row>("another").put("2", &row(99)).unwrap();
    assert_eq!(table.get("2").unwrap(), Some(row(20)));
    assert_eq!(table.get("4").unwrap(), None);
    assert!(table.remove("1").unwrap() && !table.remove("1").unwrap());
    let listed: Vec<_> =
        table.list().unwrap().into_iter().map(|(key, row)| (key, row.unwrap().number)).collect();
    assert_eq!(listed, [("2".into(), 20), ("3".into(), 3)]);
    drop((table, store));
    let again = Store::open(&path).unwrap();
    assert_eq!(rows(&again).keys().unwrap(), ["2", "3"]);
}

#[test]
fn a_transaction_is_all_or_nothing() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    let (table, other) = (rows(&store), store.table::<Row>("another"));
    table.put("old", &row(0)).unwrap();
    let failed = store.transaction(Durability::Power, |tx| {
        tx.put(&table, "a", &row(1))?;
        tx.remove(&table, "old")?;
        assert_eq!((tx.get(&table, "a")?, tx.get(&table, "old")?), (Some(row(1)), None));
        // Nobody else sees it yet.
        assert_eq!(table.keys()?, ["old"]);
        Err::<(), _>(Error::InUse { path: "any".into() })
    });
    assert!(failed.is_err());
    assert_eq!(table.keys().unwrap(), ["old"]);
    for durability in [Durability::Power, Durability::Process] {
        let removed = store.transaction(durability, |tx| {
            tx.put(&table, "a", &row(1))?;
            tx.put(&other, "b", &row(2))?;
            tx.remove(&table, "old")
        });
        assert_eq!(removed.unwrap(), durability == Durability::Power);
    }
    assert_eq!((table.keys().unwrap(), other.keys().unwrap()), (vec!["a".into()], vec!["b".into()]));
}

#[test]
fn damaged_rows_are_kept_and_told() {
    let (_folder, path) = folder();
    drop(Store::open(&path).unwrap());
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute("insert into rows values ('rows-of-tests', 'bad', '{\"name\":')", []).unwrap();
    drop(raw);
    let store = Store::open(&path).unwrap();
    let table = rows(&store);
    table.put("good", &row(1)).unwrap();
    let listed = table.list().unwrap();
    let damaged = listed[0].1.as_ref().unwrap_err();
    assert_eq!((damaged.key.as_str(), damaged.text.as_str()), ("bad", "{\"name\":"));
    assert_eq!(listed[1].1, Ok(row(1)));
    assert!(matches!(table.get("bad"), Err(Error::Damaged(_))));
    assert!(table.remove("bad").unwrap());
}

#[test]
fn newer_stores_are_refused_untouched() {
    let (_folder, path) = folder();
    drop(Store::open(&path).unwrap());
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
    drop(raw);
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, Error::Newer { .. }));
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[test]
fn what_is_no_database_is_refused() {
    let (_folder, path) = folder();
    std::fs::write(&path, "something else entirely, and long enough to be looked at as a header").unwrap();
    assert!(matches!(Store::open(&path), Err(Error::Open { .. })));
}

#[test]
fn one_process_at_a_time() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }));
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    let clone = store.clone();
    drop(store);
    assert!(Store::open(&path).is_err());
    drop(clone);
    Store::open(&path).unwrap();
}

#[test]
fn only_the_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = folder();
    let store = Store::open(&path).unwrap();
    rows(&store).put("a", &row(1)).unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
    }
}

#[test]
fn many_threads_write_and_read_at_once() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let table = rows(&store);
            scope.spawn(move || {
                for number in 0..100 {
                    let key = format!("{thread}-{number}");
                    table.put(&key, &row(number)).unwrap();
                    assert_eq!(table.get(&key).unwrap(), Some(row(number)));
                }
            });
        }
    });
    assert_eq!(rows(&store).keys().unwrap().len(), 400);
}

const PATH: &str = "HULL_STORE_TEST_PATH";

// Not a test: the process that is killed. It says each number after its commit.
#[test]
#[ignore = "started by a test"]
fn doomed_writer() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let store = Store::open(Path::new(&path)).unwrap();
    let table = rows(&store);
    for number in table.keys().unwrap().len() as u32.. {
        store
            .transaction(Durability::Process, |tx| {
                tx.put(&table, &format!("{number:09}"), &row(number))?;
                tx.put(&table, "last", &row(number))
            })
            .unwrap();
        std::io::Write::write_all(&mut std::io::stderr(), &number.to_le_bytes()).unwrap();
    }
}

#[test]
fn what_was_committed_survives_kill_nine() {
    use std::io::Read;
    let (_folder, path) = folder();
    for round in 1..=6 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "doomed_writer", "--ignored", "--nocapture"])
            .env(PATH, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = writer.stderr.take().unwrap();
        let mut number = [0; 4];
        for _ in 0..round * 7 {
            said.read_exact(&mut number).unwrap();
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        let mut rest = Vec::new();
        said.read_to_end(&mut rest).unwrap();
        if let Some(last) = rest.chunks_exact(4).last() {
            number.copy_from_slice(last);
        }
        let store = Store::open(&path).unwrap();
        let table = rows(&store);
        let last = table.get("last").unwrap().unwrap();
        assert!(last.number >= u32::from_le_bytes(number));
        // Both rows of the last transaction are there, and nothing of a later one.
        assert_eq!(table.get(&format!("{:09}", last.number)).unwrap(), Some(last.clone()));
        assert_eq!(table.get(&format!("{:09}", last.number + 1)).unwrap(), None);
    }
}

#[test]
fn compacting_gives_the_disk_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("hull.db")).unwrap();
    let table = store.table::<String>("texts");
    for number in 0..2000 {
        table.put(&number.to_string(), &"x".repeat(2000)).unwrap();
    }
    for number in 1..2000 {
        table.remove(&number.to_string()).unwrap();
    }
    let size = || -> u64 {
        std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| !entry.file_name().to_string_lossy().ends_with("-shm"))
            .map(|entry| entry.metadata().unwrap().len())
            .sum()
    };
    assert!(size() > 1 << 20);
    store.compact().unwrap();
    assert!(size() < 64 << 10, "{}", size());
    assert_eq!(table.get("0").unwrap().unwrap().len(), 2000);
}
