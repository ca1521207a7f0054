//! Contexts that clients send file by file: what was sent once is not sent again.
//!
//! ```text
//!  <root>/contexts/<name>/index      rows of 56 bytes: SHA-256, segment, offset, size
//!                        /boot       the boot that they were written in
//!                        /<n>.data   what one upload brought
//! ```
//! Nothing is synced: after a loss of power, when contents may be missing, the boot is another one and the context is
//! forgotten. A context that is mostly dead is forgotten too, and sent anew.

use crate::build::{lock, new_id};
use crate::error::{Error, Result};
use crate::files::{Content, Context, Facts, raw_of};
use hull_api_types::build::{ContextAnswer, ContextFile, ContextManifest};
use hull_archive::EntryKind;
use hull_content::Hasher;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

type Digest = [u8; 32];

/// How many contexts may wait for their contents or their build.
const WAITING: usize = 64;
/// How long one that waits is kept from being pruned.
const PATIENCE: Duration = Duration::from_secs(600);
/// How much may be dead before a context is sent anew.
const SLACK: u64 = 64 << 20;
const ROW: usize = 56;
const MOST_SEGMENTS: u64 = 64;

/// The contexts that are here.
#[derive(Debug)]
pub struct Contexts {
    root: PathBuf,
    limit: u64,
    waiting: Mutex<Vec<Waiting>>,
    whole: Mutex<Vec<(String, Context)>>,
    indices: Mutex<()>,
}

#[derive(Debug)]
struct Waiting {
    id: String,
    name: String,
    since: Instant,
    files: Arc<Vec<ContextFile>>,
    missing: Vec<u32>,
    spans: Spans,
}

type Spans = HashMap<Digest, Span>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    segment: u64,
    offset: u64,
    size: u64,
}

/// A file that goes unless it becomes whole.
struct Partial(Option<PathBuf>);

impl Partial {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Contexts {
    /// Keeps contexts below `root`, at most about `limit` bytes.
    pub fn new(root: &Path, limit: u64) -> Self {
        let root = root.join("contexts");
        Self { root, limit, waiting: Mutex::default(), whole: Mutex::default(), indices: Mutex::default() }
    }

    /// Takes a manifest; says what is missing.
    pub fn offer(&self, manifest: ContextManifest) -> Result<ContextAnswer> {
        if !hull_types::is_full_id(&manifest.name) {
            return Err(Error::invalid("a context's name is 64 hexadecimal digits"));
        }
        self.keep_to_limit(&manifest.name);
        let mut spans = self.load(&manifest.name);
        let mut live = 0;
        let mut missing = Vec::new();
        let mut asked: HashMap<Digest, u64> = HashMap::new();
        for (index, ContextFile(path, kind, _, size, text)) in manifest.files.iter().enumerate() {
            if *kind != 'f' {
                continue;
            }
            let digest =
                parse(text).ok_or_else(|| Error::Invalid(format!("{path}: {text:?} is no SHA-256")))?;
            match spans.get(&digest) {
                Some(span) if span.size == *size => live += size,
                _ if asked.insert(digest, *size).is_none() => missing.push(index as u32),
                _ => {}
            }
        }
        let held: u64 = spans.values().map(|span| span.size).sum();
        if held > 2 * live + SLACK && !self.is_awaited(&manifest.name) {
            self.forget(&manifest.name);
            spans.clear();
            missing = first_of_each(&manifest.files);
        }
        let id = new_id()?;
        let answer = ContextAnswer { id: id.clone(), missing: missing.clone() };
        let files = Arc::new(manifest.files);
        let mut waiting = lock(&self.waiting);
        if waiting.len() >= WAITING {
            waiting.remove(0);
        }
        waiting.push(Waiting { id, name: manifest.name, since: Instant::now(), files, missing, spans });
        Ok(answer)
    }

    /// Takes the missing contents, one after the other. Where that fails nothing of them stays, and nobody waits for
    /// the context any more.
    pub fn fill(&self, id: &str, reader: impl Read) -> Result<()> {
        let filled = self.receive(id, reader);
        if filled.is_err() {
            lock(&self.waiting).retain(|waiting| waiting.id != id);
        }
        filled
    }

    fn receive(&self, id: &str, mut reader: impl Read) -> Result<()> {
        let (name, files, missing) = {
            let waiting = lock(&self.waiting);
            let found = waiting.iter().find(|waiting| waiting.id == id).ok_or_else(|| unknown(id))?;
            (found.name.clone(), Arc::clone(&found.files), found.missing.clone())
        };
        let directory = self.root.join(&name);
        let failed = || Error::io(format!("keep the context {}", directory.display()));
        private(&directory)?;
        let segment = (0..).find(|number| !directory.join(format!("{number}.data")).exists()).unwrap_or(0);
        let place = directory.join(format!("{segment}.data"));
        let file = File::options().write(true).create_new(true).open(&place).map_err(failed())?;
        let partial = Partial(Some(place));
        let mut writer = std::io::BufWriter::with_capacity(1 << 20, file);
        let (mut offset, mut added) = (0, Spans::new());
        let mut buffer = vec![0; 256 << 10];
        for index in &missing {
            let Some(ContextFile(path, _, _, size, text)) = files.get(*index as usize) else { continue };
            let mut hasher = Hasher::like(None);
            let mut left = *size;
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                let read = reader.read(&mut buffer[..most]).map_err(Error::io("receive the context"))?;
                if read == 0 {
                    return Err(Error::invalid("the context ended early"));
                }
                hasher.update(&buffer[..read]);
                writer.write_all(&buffer[..read]).map_err(failed())?;
                left -= read as u64;
            }
            let digest = raw_of(hasher);
            if Some(digest) != parse(text) {
                return Err(Error::Invalid(format!("{path} changed while it was sent: build again")));
            }
            added.insert(digest, Span { segment, offset, size: *size });
            offset += size;
        }
        writer.flush().map_err(failed())?;
        self.add(&name, &added)?;
        partial.keep();
        let mut waiting = lock(&self.waiting);
        if let Some(found) = waiting.iter_mut().find(|waiting| waiting.id == id) {
            found.spans.extend(added);
            found.missing.clear();
        }
        Ok(())
    }

    /// Keeps a context that came in one piece until its build takes it; its id.
    pub fn keep(&self, context: Context) -> Result<String> {
        let id = new_id()?;
        let mut whole = lock(&self.whole);
        if whole.len() >= WAITING {
            whole.remove(0);
        }
        whole.push((id.clone(), context));
        Ok(id)
    }

    /// The context, whole; it is given once.
    pub fn take(&self, id: &str) -> Result<Context> {
        {
            let mut whole = lock(&self.whole);
            if let Some(place) = whole.iter().position(|(known, _)| known == id) {
                return Ok(whole.remove(place).1);
            }
        }
        // Until its files are open nobody removes it.
        let _one = lock(&self.indices);
        let found = {
            let mut waiting = lock(&self.waiting);
            let index = waiting.iter().position(|waiting| waiting.id == id).ok_or_else(|| unknown(id))?;
            waiting.remove(index)
        };
        if !found.missing.is_empty() {
            return Err(Error::invalid("the context's files were not all sent"));
        }
        let mut open: HashMap<u64, Arc<File>> = HashMap::new();
        let mut entries = Vec::with_capacity(found.files.len());
        for ContextFile(path, kind, mode, size, text) in found.files.iter() {
            let kind = match kind {
                'f' => EntryKind::File,
                'd' => EntryKind::Directory,
                'l' => EntryKind::Symlink,
                other => return Err(Error::Invalid(format!("{path}: no kind of file is {other:?}"))),
            };
            let mut facts = Facts::plain(kind, mode & 0o7777);
            let (mut content, mut digest) = (None, [0; 32]);
            if kind == EntryKind::File {
                facts.size = *size;
                digest = parse(text).unwrap_or_default();
                let span = found.spans.get(&digest).copied();
                let span = span.ok_or_else(|| Error::Invalid(format!("{path} was not sent")))?;
                let file = match open.get(&span.segment) {
                    Some(file) => Arc::clone(file),
                    None => {
                        let path = self.root.join(&found.name).join(format!("{}.data", span.segment));
                        let file =
                            File::open(&path).map_err(Error::io(format!("open {}", path.display())))?;
                        Arc::clone(open.entry(span.segment).or_insert(Arc::new(file)))
                    }
                };
                content = Some(Content::Span { file, offset: span.offset });
            } else if kind == EntryKind::Symlink {
                facts.link = text.clone().into_bytes();
            }
            entries.push((path.clone().into_bytes(), facts, content, digest));
        }
        Context::from_entries(entries)
    }

    /// Forgets all contexts that no build waits for; how many bytes that freed.
    pub fn prune(&self) -> u64 {
        let _one = lock(&self.indices);
        let mut freed = 0;
        for (name, size, _) in self.sizes() {
            if !self.is_awaited(&name) && std::fs::remove_dir_all(self.root.join(&name)).is_ok() {
                freed += size;
            }
        }
        freed
    }

    /// Whether a build is about to take the context.
    fn is_awaited(&self, name: &str) -> bool {
        lock(&self.waiting).iter().any(|waiting| waiting.name == name && waiting.since.elapsed() < PATIENCE)
    }

    /// Bytes of all contexts.
    pub fn size(&self) -> u64 {
        self.sizes().iter().map(|(_, size, _)| size).sum()
    }

    fn sizes(&self) -> Vec<(String, u64, SystemTime)> {
        let Ok(entries) = std::fs::read_dir(&self.root) else { return Vec::new() };
        let of = |path: PathBuf| {
            let (mut size, mut used) = (0, SystemTime::UNIX_EPOCH);
            for file in std::fs::read_dir(path).into_iter().flatten().flatten() {
                if let Ok(data) = file.metadata() {
                    size += data.len();
                    used = used.max(data.modified().unwrap_or(used));
                }
            }
            (size, used)
        };
        entries
            .flatten()
            .map(|entry| {
                let (size, used) = of(entry.path());
                (entry.file_name().to_string_lossy().into_owned(), size, used)
            })
            .collect()
    }

    fn keep_to_limit(&self, but: &str) {
        let mut sizes = self.sizes();
        sizes.sort_by_key(|(_, _, used)| *used);
        let mut total: u64 = sizes.iter().map(|(_, size, _)| size).sum();
        for (name, size, _) in sizes {
            if total > self.limit && name != but && !self.is_awaited(&name) {
                self.forget(&name);
                total -= size;
            }
        }
    }

    fn forget(&self, name: &str) {
        let _one = lock(&self.indices);
        let _ = std::fs::remove_dir_all(self.root.join(name));
    }

    fn load(&self, name: &str) -> Spans {
        let _one = lock(&self.indices);
        let directory = self.root.join(name);
        let rows = std::fs::read(directory.join("index")).unwrap_or_default();
        let same_boot = std::fs::read_to_string(directory.join("boot")).is_ok_and(|text| text == boot());
        let spans = if same_boot && rows.len().is_multiple_of(ROW) { rows_of(&rows) } else { Spans::new() };
        let segments = spans.values().map(|span| span.segment).max().unwrap_or(0);
        if spans.is_empty() || segments >= MOST_SEGMENTS {
            // Another build of it may be sending what it lacks.
            if !self.is_awaited(name) {
                let _ = std::fs::remove_dir_all(&directory);
            }
            return Spans::new();
        }
        spans
    }

    fn add(&self, name: &str, added: &Spans) -> Result<()> {
        let _one = lock(&self.indices);
        let directory = self.root.join(name);
        let failed = || Error::io(format!("write the index of {}", directory.display()));
        let mut spans = rows_of(&std::fs::read(directory.join("index")).unwrap_or_default());
        spans.extend(added);
        let mut rows = Vec::with_capacity(spans.len() * ROW);
        for (digest, Span { segment, offset, size }) in &spans {
            rows.extend_from_slice(digest);
            [segment, offset, size].iter().for_each(|number| rows.extend_from_slice(&number.to_le_bytes()));
        }
        std::fs::write(directory.join("boot"), boot()).map_err(failed())?;
        std::fs::write(directory.join("index.new"), rows).map_err(failed())?;
        std::fs::rename(directory.join("index.new"), directory.join("index")).map_err(failed())
    }
}

fn rows_of(rows: &[u8]) -> Spans {
    let number = |row: &[u8], at: usize| {
        row.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
    };
    rows.chunks_exact(ROW)
        .filter_map(|row| {
            let digest: Digest = row[..32].try_into().ok()?;
            let span = Span { segment: number(row, 32), offset: number(row, 40), size: number(row, 48) };
            Some((digest, span))
        })
        .collect()
}

fn first_of_each(files: &[ContextFile]) -> Vec<u32> {
    let mut seen = std::collections::HashSet::new();
    let files = files.iter().enumerate().filter(|(_, file)| file.1 == 'f');
    files.filter(|(_, file)| seen.insert(&file.4)).map(|(index, _)| index as u32).collect()
}

fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

fn parse(hex: &str) -> Option<Digest> {
    let mut digest = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (byte, index) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&hex[index..index + 2], 16).ok()?;
    }
    Some(digest)
}

fn unknown(id: &str) -> Error {
    Error::NotFound(format!("no such context: {id}"))
}

fn private(directory: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(directory);
    made.map_err(Error::io(format!("make {}", directory.display())))
}
