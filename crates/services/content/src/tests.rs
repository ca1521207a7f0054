use super::*;

fn open() -> (tempfile::TempDir, Content) {
    let directory = tempfile::tempdir().unwrap();
    let content = Content::open(directory.path()).unwrap();
    (directory, content)
}

#[test]
fn a_blob_is_what_it_hashes_to() {
    let (_directory, content) = open();
    let digest = content.put(b"abc").unwrap();
    assert_eq!(digest.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(content.read(&digest, 3).unwrap(), b"abc");
    assert_eq!(content.size(&digest).unwrap(), 3);
    assert!(matches!(content.read(&digest, 2), Err(ContentError::TooLarge { size: 3, limit: 2, .. })));
    assert_eq!(content.list().unwrap(), std::slice::from_ref(&digest));
    assert!(content.remove(&digest).unwrap());
    assert!(!content.remove(&digest).unwrap());
    assert!(matches!(content.read(&digest, 3), Err(ContentError::NotFound(_))));
}

#[test]
fn sha512_is_verified_too() {
    let (_directory, content) = open();
    let expected: Digest = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
         2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        .parse()
        .unwrap();
    let mut ingest = content.ingest(Some(&expected)).unwrap();
    ingest.write_all(b"abc").unwrap();
    ingest.commit(&expected).unwrap();
    assert_eq!(content.read(&expected, 10).unwrap(), b"abc");
}

#[test]
fn what_does_not_hash_to_its_name_never_appears() {
    let (directory, content) = open();
    let wrong = digest_of(b"other");
    let mut ingest = content.ingest(Some(&wrong)).unwrap();
    ingest.write_all(b"abc").unwrap();
    assert!(matches!(ingest.commit(&wrong), Err(ContentError::Mismatch { .. })));
    assert!(!content.has(&wrong));
    assert_eq!(fs::read_dir(directory.path().join("ingest")).unwrap().count(), 0);
}

#[test]
fn a_damaged_blob_is_found_out_and_replaced() {
    let (_directory, content) = open();
    let digest = content.put(b"abc").unwrap();
    fs::write(content.path(&digest), b"abd").unwrap();
    assert!(matches!(content.read(&digest, 3), Err(ContentError::Mismatch { .. })));
    content.put(b"abc").unwrap();
    assert_eq!(content.read(&digest, 3).unwrap(), b"abc");
}

#[test]
fn a_transfer_can_start_again() {
    let (_directory, content) = open();
    let mut ingest = content.ingest(None).unwrap();
    ingest.write_all(b"garbage").unwrap();
    ingest.restart().unwrap();
    assert_eq!(ingest.offset(), 0);
    ingest.write_all(b"abc").unwrap();
    assert_eq!(ingest.finish().unwrap(), digest_of(b"abc"));
}

#[test]
fn leftovers_of_a_killed_daemon_are_swept() {
    let (directory, content) = open();
    let mut ingest = content.ingest(None).unwrap();
    ingest.write_all(b"half").unwrap();
    std::mem::forget(ingest);
    drop(content);
    let content = Content::open(directory.path()).unwrap();
    assert_eq!(fs::read_dir(directory.path().join("ingest")).unwrap().count(), 0);
    assert!(content.list().unwrap().is_empty());
}

#[test]
fn only_the_unleased_and_unreferenced_is_collected() {
    let (_directory, content) = open();
    let old = content.put(b"old").unwrap();
    let root = content.put(b"root").unwrap();
    let held = content.put(b"held").unwrap();
    let lease = content.lease();
    lease.protect(&held);
    let new = content.put(b"new").unwrap();
    let freed = content.gc(|| HashSet::from([root.clone()])).unwrap();
    assert_eq!(freed, 3);
    assert!(!content.has(&old));
    assert!(content.has(&root) && content.has(&held) && content.has(&new));
    drop(lease);
    content.collect(std::slice::from_ref(&new), HashSet::new).unwrap();
    assert!(!content.has(&new) && content.has(&held));
}

#[test]
fn foreign_files_among_the_blobs_stay() {
    let (directory, content) = open();
    fs::write(directory.path().join("blobs/sha256/README"), b"mine").unwrap();
    content.gc(HashSet::new).unwrap();
    assert!(directory.path().join("blobs/sha256/README").exists());
}
