//! `context export` and `context import`: a tar of `meta.json` and the TLS files in `tls/docker/`.

use super::store::{self, Context};
use crate::command::{Action, Arguments, Command};
use crate::failure::{Failure, file_error};
use crate::matches::Matches;
use crate::session::Session;
use crate::streams;
use hull_archive::{Archive, Entry, EntryKind, Writer};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// More than any certificate; an archive from elsewhere is not trusted to be small.
const LARGEST: u64 = 10 << 20;

pub static EXPORT: Command = Command {
    usage: "[OPTIONS] CONTEXT [FILE|-]",
    about: "Export a context to a tar archive FILE or a tar stream on STDOUT.",
    names: &[],
    flags: &[],
    arguments: Arguments::Between(1, 2),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(export(session, matches))),
};

async fn export(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let name = matches.argument(0);
    store::check_name(name)?;
    let config = &session.config().directory;
    let context = store::read(config, name)?;
    let bytes = pack(config, &context)?;
    let target = match matches.argument(1) {
        "" => format!("{name}.dockercontext"),
        given => given.to_owned(),
    };
    if target == "-" {
        if streams::is_terminal(rustix::stdio::stdout()) {
            return Err("cowardly refusing to export to a terminal, specify a file path".into());
        }
        streams::print_bytes(&bytes);
        return Ok(());
    }
    use std::os::unix::fs::OpenOptionsExt as _;
    let created = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target);
    let mut file = created.map_err(|error| Failure::new(file_error("open", &target, &error)))?;
    file.write_all(&bytes).map_err(|error| Failure::new(file_error("write", &target, &error)))?;
    streams::complain(&format!("Written file {target:?}"));
    Ok(())
}

fn pack(config: &Path, context: &Context) -> Result<Vec<u8>, Failure> {
    let mut members = vec![("meta.json".to_owned(), context.document.to_string().into_bytes())];
    let directory = store::tls_directory(config, &context.name).join("docker");
    for name in store::TLS_FILES {
        if let Ok(bytes) = std::fs::read(directory.join(name)) {
            members.push((format!("tls/docker/{name}"), bytes));
        }
    }
    let failed = |error: hull_archive::Error| Failure::new(format!("cannot write the archive: {error}"));
    let mut writer = Writer::new(Vec::new());
    for (name, bytes) in &members {
        let mut entry = Entry::new(name.as_bytes(), EntryKind::File, 0o600);
        entry.size = bytes.len() as u64;
        writer.entry(&entry).and_then(|()| writer.contents(bytes)).map_err(failed)?;
    }
    writer.entry(&Entry::new(&b"tls"[..], EntryKind::Directory, 0o700)).map_err(failed)?;
    writer.finish().map_err(failed)
}

pub static IMPORT: Command = Command {
    usage: "CONTEXT FILE|-",
    about: "Import a context from a tar or zip file",
    names: &[],
    flags: &[],
    arguments: Arguments::Exactly(2),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(import(session, matches))),
};

async fn import(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let (name, source) = (matches.argument(0), matches.argument(1));
    store::check_name(name)?;
    let config = &session.config().directory;
    if store::exists(config, name) {
        return Err(Failure::new(format!("context {name:?} already exists")));
    }
    let reader: Box<dyn Read> = match source {
        "-" => Box::new(std::io::stdin()),
        path => Box::new(File::open(path).map_err(|error| Failure::new(file_error("open", path, &error)))?),
    };
    let (mut context, files) = unpack(reader.take(LARGEST))?;
    context.name = name.to_owned();
    context.document["Name"] = name.into();
    for (file, bytes) in files {
        store::write_tls(config, name, file, &bytes)?;
    }
    store::write(config, &context)?;
    streams::print_line(name);
    streams::complain(&format!("Successfully imported context {name:?}"));
    Ok(())
}

/// TLS files by name.
type TlsFiles = Vec<(&'static str, Vec<u8>)>;

/// The context and its TLS files; other members are refused, so that no archive writes anywhere else.
fn unpack(source: impl Read) -> Result<(Context, TlsFiles), Failure> {
    let failed = |error: hull_archive::Error| Failure::new(format!("invalid context archive: {error}"));
    let mut archive = Archive::new(source);
    let (mut context, mut files) = (None, Vec::new());
    while let Some(entry) = archive.next_entry().map_err(failed)? {
        let name = String::from_utf8_lossy(&entry.name).trim_end_matches('/').to_owned();
        if entry.kind.is_directory() {
            continue;
        }
        let mut bytes = Vec::new();
        loop {
            let piece = archive.contents().map_err(failed)?;
            if piece.is_empty() {
                break;
            }
            bytes.extend_from_slice(piece);
        }
        let tls = name
            .strip_prefix("tls/docker/")
            .and_then(|file| store::TLS_FILES.into_iter().find(|known| *known == file));
        match (name.as_str(), tls) {
            ("meta.json", _) => {
                let document = serde_json::from_slice(&bytes)
                    .map_err(|error| Failure::new(format!("invalid context archive: meta.json: {error}")))?;
                context = Some(Context { name: String::new(), document });
            }
            (_, Some(file)) => files.push((file, bytes)),
            _ => return Err(Failure::new(format!("invalid context archive: unexpected member {name:?}"))),
        }
    }
    let context = context.ok_or_else(|| Failure::new("invalid context: no metadata found"))?;
    Ok((context, files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_goes_there_and_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut context = Context::new("sea");
        context.document["Endpoints"]["docker"]["Host"] = "tcp://1.2.3.4:5".into();
        store::write_tls(folder.path(), "sea", "ca.pem", b"certificate").unwrap();
        let bytes = pack(folder.path(), &context).unwrap();
        let (back, files) = unpack(&bytes[..]).unwrap();
        assert_eq!(back.document, context.document);
        assert_eq!(files, [("ca.pem", b"certificate".to_vec())]);
    }

    #[test]
    fn an_archive_brings_nothing_else() {
        let mut writer = Writer::new(Vec::new());
        let mut entry = Entry::new(&b"tls/docker/../../../evil"[..], EntryKind::File, 0o600);
        entry.size = 1;
        writer.entry(&entry).and_then(|()| writer.contents(b"x")).unwrap();
        let bytes = writer.finish().unwrap();
        assert!(unpack(&bytes[..]).unwrap_err().message.contains("unexpected member"));
        assert!(unpack(&b""[..]).is_err());
    }
}
