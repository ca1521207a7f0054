//! A build by an engine that has no routes of Hull's: the context as a tar to `POST /build`.

use super::run::{Source, Wanted};
use super::show::Form;
use super::{context, input};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::progress::{self, Target};
use crate::session::Session;
use crate::streams;
use bytes::Bytes;
use hull_api_types::JsonMessage;
use hull_api_types::build::{BuildOptions, BuildPlace, ContextFile};
use hull_archive::{Entry, EntryKind, Writer};
use hull_client::Method;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use tokio::sync::mpsc;

/// The name that a Dockerfile from elsewhere has in the tar.
const DOCKERFILE: &str = ".dockerfile.hull";

pub async fn build(
    session: &Session,
    matches: &Matches,
    wanted: &Wanted,
    options: &BuildOptions,
    form: Form,
) -> Result<(), Failure> {
    refuse(matches)?;
    let client = session.client().await?;
    let inside = wanted.dockerfile.is_none() || !wanted.dockerfile_name.starts_with(['/', '.']);
    let name = if inside { wanted.dockerfile_name.clone() } else { DOCKERFILE.to_owned() };
    let json = |value: serde_json::Value| value.to_string();
    let remote = match &wanted.source {
        Source::Remote(remote) => remote.clone(),
        _ => String::new(),
    };
    let host = &options.host_config;
    let caches = images_of_caches(options)?;
    let call = client.request(Method::POST, "/build").query(|query| {
        query.text("dockerfile", &name).text("target", &options.target).text("platform", &options.platform);
        query.text("remote", &remote).text("networkmode", &options.network);
        query.flag("nocache", options.no_cache).flag("pull", options.pull).flag("rm", true);
        query.flag("q", form == Form::Quiet).text("version", "1");
        for tag in &options.tags {
            query.add("t", tag);
        }
        for host in host.extra_hosts.iter().flatten() {
            query.add("extrahosts", host);
        }
        query.text("buildargs", &json(serde_json::json!(options.args)));
        query.text("labels", &json(serde_json::json!(options.labels)));
        let limits = &host.resources;
        if let Some(ulimits) = &limits.ulimits {
            query.text("ulimits", &json(serde_json::json!(ulimits)));
        }
        if !caches.is_empty() {
            query.text("cachefrom", &json(serde_json::json!(caches)));
        }
        for (name, number) in [
            ("shmsize", host.shm_size),
            ("memory", limits.memory),
            ("memswap", limits.memory_swap),
            ("cpushares", limits.cpu_shares),
            ("cpuperiod", limits.cpu_period),
            ("cpuquota", limits.cpu_quota),
        ] {
            if number != 0 {
                query.text(name, &number.to_string());
            }
        }
        query.text("cpusetcpus", &limits.cpuset_cpus).text("cpusetmems", &limits.cpuset_mems);
        query.text("cgroupparent", &limits.cgroup_parent);
    });
    let registries = serde_json::to_vec(&options.auth).unwrap_or_default();
    let header = {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE.encode(registries)
    };
    let call = call.header("x-registry-config", &header);
    let call = call.stream("application/x-tar", body(wanted, &name)?);
    let mut stream = call.send().await?.messages::<JsonMessage>();
    let mut image = String::new();
    progress::show(&mut stream, Target::Output, |aux| {
        if let Some(id) = aux.get("ID").and_then(|id| id.as_str()) {
            image = id.to_owned();
        }
    })
    .await?;
    match matches.text("iidfile") {
        "" => Ok(()),
        path => std::fs::write(path, &image).map_err(|error| Failure::new(format!("{path}: {error}"))),
    }
}

/// The context as the request's body.
fn body(wanted: &Wanted, name: &str) -> Result<mpsc::Receiver<io::Result<Bytes>>, Failure> {
    let extra = wanted.dockerfile.clone().map(|text| (name.to_owned(), text));
    let (root, files) = match &wanted.source {
        Source::Input => return Ok(input::stream(wanted.head.clone())),
        Source::Directory(root) => {
            let ignore = context::ignore(root, wanted.dockerfile_path.as_deref())?;
            let walked = context::walk(root, &ignore)?;
            (walked.root, walked.manifest.files)
        }
        Source::Nothing => Default::default(),
        // The engine gets the files, and a Dockerfile from here has no place among them.
        Source::Remote(_) if extra.is_some() => {
            return Err("this engine takes a context from elsewhere only with the Dockerfile in it".into());
        }
        Source::Remote(_) => return Ok(mpsc::channel(1).1),
    };
    let (sender, receiver) = mpsc::channel(8);
    std::thread::spawn(move || {
        let mut pieces = Pieces { sender, buffer: Vec::new() };
        let written = write(&root, &files, extra, &mut pieces);
        if let Err(error) = written.and_then(|()| pieces.flush()) {
            let _ = pieces.sender.blocking_send(Err(error));
        }
    });
    Ok(receiver)
}

/// The names in `--cache-from`: the classic builder has caches in images alone.
fn images_of_caches(options: &BuildOptions) -> Result<Vec<String>, Failure> {
    let name = |place: &BuildPlace| match (place.kind.as_str(), place.attributes.get("ref")) {
        ("registry", Some(name)) => Ok(name.clone()),
        _ => Err(Failure::new(format!(
            "--cache-from of type {} needs Hull's daemon: this engine has its classic builder only",
            place.kind
        ))),
    };
    options.cache_from.iter().map(name).collect()
}

/// What only Hull's own routes do.
fn refuse(matches: &Matches) -> Result<(), Failure> {
    let beyond = [
        "secret",
        "ssh",
        "output",
        "build-context",
        "no-cache-filter",
        "check",
        "call",
        "allow",
        "metadata-file",
        "verify",
        "annotation",
        "attest",
        "provenance",
        "sbom",
        "cache-to",
        "push",
    ];
    match beyond.iter().find(|name| matches.changed(name)) {
        Some(name) => Err(Failure::new(format!(
            "--{name} needs Hull's daemon: this engine has its classic builder only"
        ))),
        None => {
            streams::complain("this engine is not Hull's: its classic builder is used");
            Ok(())
        }
    }
}

fn write(
    root: &std::path::Path,
    files: &[ContextFile],
    extra: Option<(String, String)>,
    to: &mut impl Write,
) -> io::Result<()> {
    let mut writer = Writer::new(to);
    let failed = |error: hull_archive::Error| io::Error::other(error.to_string());
    for ContextFile(path, kind, mode, size, text) in files {
        if extra.as_ref().is_some_and(|(name, _)| name == path) {
            continue;
        }
        let kind = match kind {
            'd' => EntryKind::Directory,
            'l' => EntryKind::Symlink,
            _ => EntryKind::File,
        };
        let mut entry = Entry::new(path.as_bytes(), kind, *mode);
        if kind == EntryKind::Symlink {
            entry.link = text.clone().into_bytes();
        }
        entry.size = *size;
        writer.entry(&entry).map_err(failed)?;
        if kind == EntryKind::File {
            let place: PathBuf = root.join(path);
            let mut reader = io::Read::take(File::open(place)?, *size);
            let mut buffer = vec![0; 64 << 10];
            loop {
                match io::Read::read(&mut reader, &mut buffer)? {
                    0 => break,
                    read => writer.contents(&buffer[..read]).map_err(failed)?,
                }
            }
        }
    }
    if let Some((name, text)) = extra {
        let mut entry = Entry::new(name, EntryKind::File, 0o644);
        entry.size = text.len() as u64;
        writer.entry(&entry).map_err(failed)?;
        writer.contents(text.as_bytes()).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    Ok(())
}

struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= 256 << 10 {
            self.flush()?;
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.buffer);
        self.sender.blocking_send(Ok(piece.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
