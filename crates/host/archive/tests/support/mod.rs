//! What the tests share: trees as comparable facts, and tars made entry by entry.
#![allow(dead_code, clippy::unwrap_used)]

use hull_archive::{Entry, EntryKind, Writer};
use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The rounds of a race: a few, or as many as go into what `HULL_RACE_SECONDS` says.
pub struct Rounds {
    left: usize,
    until: Option<Instant>,
}

impl Rounds {
    pub fn new(few: usize) -> Self {
        let seconds = std::env::var("HULL_RACE_SECONDS").ok().and_then(|text| text.parse().ok());
        Self { left: few, until: seconds.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds)) }
    }
    pub fn more(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.until.map_or(self.left > 0, |until| Instant::now() < until)
    }
}

/// What is at each path under `root`, as text.
pub fn facts(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(path) = todo.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let kind = metadata.file_type();
        let contents = if kind.is_symlink() {
            format!("-> {}", path.read_link().unwrap().display())
        } else if kind.is_file() {
            let data = std::fs::read(&path).unwrap();
            format!("{} bytes, sum {}", data.len(), sum(&data))
        } else if kind.is_char_device() || kind.is_block_device() {
            format!("device {:x}", metadata.rdev())
        } else {
            String::new()
        };
        if kind.is_dir() {
            todo.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let links = if kind.is_dir() { 0 } else { metadata.nlink() };
        let text = format!(
            "{:o} {}:{} links {links} at {}.{:09} {contents} {:?}",
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            xattrs(&path),
        );
        all.insert(path.strip_prefix(root).unwrap().to_owned(), text);
    }
    all
}

pub fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut list = vec![0_u8; 65536];
    let length = rustix::fs::llistxattr(path, &mut list[..]).unwrap();
    let mut all = Vec::new();
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0_u8; 65536];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
        all.push((String::from_utf8_lossy(name).into_owned(), value[..length].to_vec()));
    }
    all.sort();
    all
}

fn sum(data: &[u8]) -> u64 {
    data.iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// A tar made entry by entry.
pub struct Tar(Writer<Vec<u8>>);

impl Tar {
    pub fn new() -> Self {
        Self(Writer::new(Vec::new()))
    }
    pub fn entry(mut self, entry: Entry) -> Self {
        self.0.entry(&entry).unwrap();
        self
    }
    pub fn file(mut self, name: &str, contents: &str) -> Self {
        let entry = Entry { size: contents.len() as u64, ..Entry::new(name, EntryKind::File, 0o644) };
        self.0.entry(&entry).unwrap();
        self.0.contents(contents.as_bytes()).unwrap();
        self
    }
    pub fn dir(self, name: &str) -> Self {
        self.entry(Entry::new(format!("{name}/"), EntryKind::Directory, 0o755))
    }
    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(Entry { link: target.into(), ..Entry::new(name, EntryKind::Symlink, 0o777) })
    }
    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(Entry { link: target.into(), ..Entry::new(name, EntryKind::HardLink, 0o644) })
    }
    pub fn bytes(self) -> Vec<u8> {
        self.0.finish().unwrap()
    }
}

/// Runs a program and gives what it wrote; it must succeed.
pub fn output(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new(program)
        .args(arguments)
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feed = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    feed.join().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

/// Archives that try to change what is in `canary`, a sibling of the root with a file `secret`.
pub fn evil(canary: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let outside = canary.to_str().unwrap();
    let secret = format!("{outside}/secret");
    let wide = |name: &str| Entry { uid: 1, ..Entry::new(name, EntryKind::Directory, 0o777) };
    let null = |name: &str| Entry { device: (1, 3), ..Entry::new(name, EntryKind::CharDevice, 0o666) };
    let tar = Tar::new;
    vec![
        ("dotdot", tar().file("../canary/secret", "evil").bytes()),
        ("inner dotdot", tar().dir("a").file("a/../../canary/secret", "evil").bytes()),
        ("absolute", tar().file(&secret, "evil").bytes()),
        ("link then file", tar().symlink("l", outside).file("l/secret", "evil").bytes()),
        ("relative link", tar().symlink("l", "../canary").file("l/secret", "evil").bytes()),
        ("link chain", tar().symlink("a", "b").symlink("b", "../canary").file("a/secret", "e").bytes()),
        ("file over link", tar().symlink("l", &secret).file("l", "evil").bytes()),
        ("directory over link", tar().symlink("l", outside).entry(wide("l/")).file("l/secret", "e").bytes()),
        ("hard link out", tar().hard_link("h", "../canary/secret").file("h", "evil").bytes()),
        ("hard link absolute", tar().hard_link("h", &secret).bytes()),
        ("hard link via link", tar().symlink("l", outside).hard_link("h", "l/secret").file("h", "e").bytes()),
        ("hard link to a link", tar().symlink("l", &secret).hard_link("h", "l").file("h", "evil").bytes()),
        ("whiteout via link", tar().symlink("l", outside).file("l/.wh.secret", "").bytes()),
        ("whiteout of dotdot", tar().dir("a").file("a/.wh...", "").bytes()),
        ("whiteout out", tar().file("../canary/.wh.secret", "").bytes()),
        ("opaque via link", tar().symlink("l", outside).file("l/.wh..wh..opq", "").bytes()),
        ("opaque out", tar().file("../canary/.wh..wh..opq", "").bytes()),
        ("device via link", tar().symlink("l", outside).entry(null("l/dev")).bytes()),
        ("magic link", tar().symlink("l", "/proc/self/cwd").file("l/evil", "evil").bytes()),
        ("link loop", tar().symlink("a", "b").symlink("b", "a").file("a/x", "evil").bytes()),
        ("the root as a link", tar().symlink("./", outside).file("secret", "evil").bytes()),
        ("very deep", tar().file(&format!("{}f", "d/".repeat(3000)), "").bytes()),
        ("late times via link", tar().dir("d").file("d/x", "").symlink("d", outside).bytes()),
    ]
}

/// Files with holes in every place, under `directory`, and how GNU tar packs them: each form, and its tar.
pub fn sparse_archives(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let script = r#"
        set -e; cd "$1"; l=$(printf 'l%.0s' $(seq 140)); mkdir d
        truncate -s 3M middle; printf middle | dd of=middle bs=1 seek=1500000 conv=notrunc status=none
        printf begin > begin; truncate -s 1234567 begin
        truncate -s 1M end; printf end >> end
        truncate -s 5M all; printf whole > whole; : > empty
        for i in $(seq 0 99); do echo "part $i" | dd of=d/many bs=1 seek=$((i * 20000)) conv=notrunc status=none; done
        cp --sparse=always d/many d/$l; ln d/many hard
        chmod 4711 middle; touch -d @1600000000 middle begin end all whole empty d/* d .
    "#;
    output("bash", &["-c", script, "sparse", directory.to_str().unwrap()], b"");
    let forms = [
        ["--format=gnu", "--sparse"],
        ["--format=oldgnu", "--sparse"],
        ["--format=posix", "--sparse-version=0.0"],
        ["--format=posix", "--sparse-version=0.1"],
        ["--format=posix", "--sparse-version=1.0"],
    ];
    let pack = |[format, version]: [&str; 2], detection: &str| {
        let from = ["-C", directory.to_str().unwrap(), "--sort=name", "-cf", "-", "."];
        output("tar", &[&["--sparse", detection, format, version][..], &from].concat(), b"")
    };
    let mut all = Vec::new();
    for form in forms {
        for detection in ["--hole-detection=seek", "--hole-detection=raw"] {
            all.push((format!("{} {detection}", form.join(" ")), pack(form, detection)));
        }
    }
    all
}
