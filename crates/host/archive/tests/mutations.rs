//! Archives with bytes changed, cut and repeated at random: the reader ends, gives no more than there is, and never panics.
//! `HULL_MUTATIONS=1000000` tries more of them; the numbers are the same each time.
#![allow(clippy::unwrap_used)]

mod support;

use hull_archive::{Archive, Entry, EntryKind};
use support::Tar;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

fn seed() -> Vec<u8> {
    let long = "n".repeat(300);
    let mut odd = Entry::new("odd", EntryKind::File, 0o4755);
    odd.uid = 4_000_000_000;
    odd.mtime.nanoseconds = 5;
    odd.xattrs = vec![(b"user.a".to_vec(), b"b=c\nd".to_vec())];
    Tar::new()
        .dir("d")
        .file("d/f", "contents")
        .symlink("l", &long)
        .hard_link("h", "d/f")
        .file(&long, "x")
        .entry(odd)
        .bytes()
}

// A header whose sum is right again gets further than one that is refused for it.
fn mend(tar: &mut [u8], at: usize) {
    let Some(block) = tar.get_mut(at / 512 * 512..at / 512 * 512 + 512) else { return };
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[test]
fn changed_archives_do_no_harm() {
    let rounds = std::env::var("HULL_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let (seed, mut random, mut read) = (seed(), Random(0x2545_f491_4f6c_dd1d), 0);
    for round in 0..rounds {
        let mut tar = seed.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(tar.len());
            match random.below(6) {
                0 => tar.truncate(at),
                1 => tar[at] = random.below(256) as u8,
                2 => tar[at] ^= 1 << random.below(8),
                3 => drop(tar.splice(at / 512 * 512..at / 512 * 512, seed[..512].to_vec())),
                // A digit of a size, a type flag, a magic: where it matters most.
                4 => {
                    let field = [124, 135, 156, 257, 263, 345][random.below(6)];
                    let at = at / 512 * 512 + field;
                    if let Some(byte) = tar.get_mut(at) {
                        *byte = b"0123456789LKxgSVM\x80\xff\0"[random.below(20)];
                    }
                }
                _ => {}
            }
            mend(&mut tar, at);
            if tar.is_empty() {
                break;
            }
        }
        let mut archive = Archive::new(&tar[..]);
        let mut total = 0;
        while let Ok(Some(entry)) = archive.next_entry() {
            read += 1;
            let mut own = 0;
            while let Ok(piece @ [_, ..]) = archive.contents() {
                own += piece.len() as u64;
            }
            assert!(own <= entry.size, "round {round}: more contents than the size says");
            total += own;
        }
        assert!(total <= tar.len() as u64, "round {round}: more contents than bytes");
        assert!(archive.offset() <= tar.len() as u64, "round {round}");
    }
    assert!(read > rounds, "the mutants were mostly refused at once: {read} members in {rounds}");
}
