//! No input makes the reader panic or slow. Deterministic: the same inputs at each run. `HULL_FUZZ_SECONDS=600` goes on
//! with further ones for that long.

#![allow(clippy::unwrap_used)]

use hull_dockerfile::lint::{Facts, lint};
use hull_dockerfile::{Dockerfile, Expander, Ignore, Mode, Mount};
use hull_types::Glob;

const SEEDS: [&str; 4] = [
    "# syntax=x\n# escape=`\nARG V=${A:-b}\nFROM --platform=$BUILDPLATFORM a:${V} AS b\nRUN --mount=type=cache,target=/x \\\n  # c\n\n a <<EOF <<-'X'\n$x\nEOF\n\tX\nCOPY --from=b --chown=a:b --exclude=**/x --chmod=u+x ./*.c <<F /d/\nf\nF\n",
    "FROM scratch\nENV a=\"b c\" d='e' f=\\ g\nLABEL x y\nEXPOSE 80/TCP\nHEALTHCHECK --interval=1m CMD [\"a\"]\nONBUILD RUN <<E\nq\nE\nVOLUME [\"/a\"]\nSHELL [\"a\"]\nCMD [\"a\", 1]\n",
    "\u{feff}from a as B\r\nadd --checksum=x https://a/b#c:d /e\r\nuser ${u:-${v%%.*}}\r\nworkdir x${y//a/b}\r\n",
    "*.log\n!keep[a-z]\n**/x/**\n\\*\n[^a]b",
];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

fn mutate(seed: &str, random: &mut Random) -> String {
    const INTERESTING: [&str; 22] = [
        "$", "{", "}", "\\", "`", "\"", "'", "<<", "<<EOF", "\n", "\r\n", "#", "=", "--", "[", "]", "*",
        "**/", ":", "\0", "ü", "/",
    ];
    let mut letters: Vec<char> = seed.chars().collect();
    for _ in 0..=random.below(6) {
        let at = random.below(letters.len());
        match random.below(4) {
            0 => drop(letters.drain(at..(at + random.below(9)).min(letters.len()))),
            1 => {
                let piece: Vec<char> = INTERESTING[random.below(INTERESTING.len())].chars().collect();
                letters.splice(at..at, piece);
            }
            2 => {
                let to = random.below(letters.len());
                let piece = letters[at.min(to)..(at.max(to)).min(at.min(to) + 30)].to_vec();
                letters.splice(at..at, piece);
            }
            _ if !letters.is_empty() => letters[at] = INTERESTING[random.below(12)].chars().next().unwrap(),
            _ => {}
        }
    }
    letters.into_iter().collect()
}

#[test]
fn mutated_files_are_read_or_refused() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut read = 0;
    let seconds = std::env::var("HULL_FUZZ_SECONDS").map_or(0, |text| text.parse().unwrap());
    let end = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    let rounds = (0..).take_while(|round| *round < 20_000 || std::time::Instant::now() < end);
    for round in rounds {
        let text = mutate(SEEDS[round % SEEDS.len()], &mut random);
        match Dockerfile::parse("Dockerfile", &text) {
            Ok(file) => {
                read += 1;
                lint(&file, &Facts::default());
            }
            Err(error) => {
                let lines = text.split('\n').count() as u32;
                assert!((1..=lines).contains(&error.position.line), "{error:?} in {text:?}");
                error.excerpt(&text);
            }
        }
        let _ = Expander::new('\\').expand(&text, &|name| (name.len() % 2 == 0).then(|| name.into()));
        let _ = Mount::parse(&text).is_ok() | Mode::parse(&text).is_ok();
        if let Ok(ignore) = Ignore::parse(&text) {
            ignore.ignores("a/b/c.log");
            ignore.skips_directory("a/b");
        }
        if let Ok(glob) = Glob::new(&text) {
            glob.matches("a/b/c/d/e/f.log");
        }
    }
    assert!(
        read > 1000,
        "only {read} of the files were Dockerfiles: the mutations are too wild to test anything"
    );
}
