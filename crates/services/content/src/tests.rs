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

fn many(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at.wrapping_mul(2_654_435_761) >> 7) as u8).collect()
}

#[test]
fn a_blob_is_read_while_it_comes_in_out_of_order() {
    let (_directory, content) = open();
    let bytes = many(300_000);
    let digest = digest_of(&bytes);
    let partial = content.partial(&digest, bytes.len() as u64).unwrap();
    let mut follow = partial.follow();
    let reading = std::thread::spawn(move || {
        let mut head = vec![0; 1000];
        follow.read_exact(&mut head).unwrap();
        (head, follow.digest().unwrap())
    });
    for (from, to) in [(200_000, 250_000), (250_000, 300_000), (100_000, 150_000), (0, 100_000)] {
        partial.write_at(from as u64, &bytes[from..to]).unwrap();
    }
    assert_eq!(partial.ready(), 150_000);
    partial.write_at(140_000, &bytes[140_000..200_000]).unwrap();
    assert_eq!(partial.ready(), 300_000);
    let (head, actual) = reading.join().unwrap();
    assert_eq!(head, bytes[..1000]);
    assert!(!content.has(&digest));
    partial.commit(&actual).unwrap();
    assert_eq!(content.read(&digest, 1 << 20).unwrap(), bytes);
    assert!(partial.write_at(299_999, b"ab").is_err());
}

#[test]
fn half_a_blob_outlives_the_daemon() {
    let (directory, content) = open();
    let bytes = many(500_000);
    let digest = digest_of(&bytes);
    let partial = content.partial(&digest, bytes.len() as u64).unwrap();
    partial.write_at(0, &bytes[..123_456]).unwrap();
    // What came after a gap is not counted on, nor is the block before the gap: the daemon is killed here.
    partial.write_at(400_000, &bytes[400_000..450_000]).unwrap();
    std::mem::forget(partial);
    drop(content);
    let content = Content::open(directory.path()).unwrap();
    let partial = content.partial(&digest, bytes.len() as u64).unwrap();
    let ready = partial.ready();
    assert!((100_000..=123_456).contains(&ready), "{ready}");
    partial.write_at(ready, &bytes[ready as usize..200_000]).unwrap();
    drop(partial);
    let partial = content.partial(&digest, bytes.len() as u64).unwrap();
    assert_eq!(partial.ready(), 200_000);
    partial.write_at(200_000, &bytes[200_000..]).unwrap();
    let actual = partial.follow().digest().unwrap();
    partial.commit(&actual).unwrap();
    drop(partial);
    assert_eq!(content.read(&digest, 1 << 20).unwrap(), bytes);
    assert_eq!(fs::read_dir(directory.path().join("ingest")).unwrap().count(), 0);
}

#[test]
fn a_wrong_half_is_not_kept() {
    let (directory, content) = open();
    let digest = digest_of(b"right");
    let partial = content.partial(&digest, 5).unwrap();
    partial.write_at(0, b"wrong").unwrap();
    let actual = partial.follow().digest().unwrap();
    assert!(matches!(partial.commit(&actual), Err(ContentError::Mismatch { .. })));
    drop(partial);
    assert!(!content.has(&digest));
    assert_eq!(fs::read_dir(directory.path().join("ingest")).unwrap().count(), 0);
}

#[test]
fn readers_hear_that_nothing_more_comes() {
    let (_directory, content) = open();
    let partial = content.partial(&digest_of(b"abc"), 3).unwrap();
    partial.write_at(0, b"a").unwrap();
    let follow = partial.follow();
    let reading = std::thread::spawn(move || follow.digest());
    partial.give_up();
    assert_eq!(reading.join().unwrap().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn halves_are_swept_unless_they_are_being_written() {
    let (directory, content) = open();
    let busy = content.partial(&digest_of(b"busy"), 4).unwrap();
    busy.write_at(0, b"bu").unwrap();
    let left = content.partial(&digest_of(b"left"), 4).unwrap();
    left.write_at(0, b"le").unwrap();
    drop(left);
    let other = content.ingest(None).unwrap();
    assert!(content.sweep_partials().unwrap() > 0);
    assert_eq!(fs::read_dir(directory.path().join("ingest")).unwrap().count(), 2);
    drop((busy, other));
}
