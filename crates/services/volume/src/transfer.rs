//! Volumes as a whole: out as a tar, in from one, copied, under another name.
//!
//! What is inside is never believed: links stay links, and no member of an archive lands outside of the volume.

use std::fs::{File, Permissions};
use std::io::{self, Cursor, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::Path;

use hull_api_types::{Map, Volume, VolumeCreateOptions};
use hull_archive::{Archive, Decompressor, EntryKind, PackOptions, UnpackOptions};
use hull_store::Durability;
use hull_sys::{mount, namespace};
use rustix::fs::{CWD, Mode, OFlags};

use crate::{Error, Record, Result, Volumes, failed, local, mounting, name};

impl Volumes {
    /// Writes a volume's files as a tar, the volume's own directory as `./` first. It may be in use meanwhile.
    pub fn export<W: Write + Send>(&self, name: &str, writer: W) -> Result<()> {
        let record = self.record(name)?;
        self.within(&record, |_| {
            let options = PackOptions { all_xattrs: true };
            let folder = self.open_folder(name)?;
            hull_archive::pack(folder.as_fd(), Path::new("/_data/."), &options, writer)
                .map_err(|source| Error::Transfer { act: "export", name: name.into(), source })
        })
    }

    /// The same, compressed by zstd.
    pub fn export_zstd<W: Write + Send>(&self, name: &str, writer: W) -> Result<()> {
        let failed =
            |error: io::Error| Error::Archive { act: "export", name: name.into(), reason: error.to_string() };
        let mut encoder = zstd::Encoder::new(writer, 3).map_err(failed)?;
        self.export(name, &mut encoder)?;
        encoder.finish().map(drop).map_err(failed)
    }

    /// Whether [`Self::export`] could begin: the volume is there and has files to give.
    pub fn check_exportable(&self, name: &str) -> Result<()> {
        has_files(&self.record(name)?)
    }

    /// Puts a tar's members into a volume, which is made if it is not there. The tar may be compressed by gzip or zstd.
    pub fn import<R: Read + Send>(&self, name: &str, reader: R) -> Result<Volume> {
        let made = match self.record(name) {
            Err(Error::NotFound(_)) => {
                self.create(VolumeCreateOptions { name: name.into(), ..VolumeCreateOptions::default() })?;
                true
            }
            other => other.map(|_| false)?,
        };
        let record = self.record(name)?;
        let imported = self.within(&record, |_| self.unpack(name, reader));
        match imported {
            Ok(()) => self.get(name),
            Err(error) => {
                if made {
                    let _ = self.remove(name, true);
                }
                Err(error)
            }
        }
    }

    fn unpack<R: Read>(&self, name: &str, reader: R) -> Result<()> {
        let transfer = |source| Error::Transfer { act: "import into", name: name.into(), source };
        let read = |error: io::Error| Error::Archive {
            act: "import into",
            name: name.into(),
            reason: error.to_string(),
        };
        let plain = Decompressor::detect(reader).map_err(read)?;
        // The first member may be the volume's own directory; it is read twice.
        let mut recorder = Recorder { source: plain, seen: Vec::new() };
        let first = Archive::new(&mut recorder).next_entry().map_err(transfer)?;
        let Recorder { source, seen } = recorder;
        let folder = self.open_folder(name)?;
        let options = UnpackOptions::default();
        hull_archive::unpack(folder.as_fd(), Path::new("/_data"), Cursor::new(seen).chain(source), &options)
            .map_err(transfer)?;
        let is_root = |name: &[u8]| matches!(name, b"./" | b".");
        if let Some(entry) = first.filter(|entry| entry.kind == EntryKind::Directory && is_root(&entry.name))
        {
            let path = self.data(name);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let data = rustix::fs::openat(CWD, &path, flags, Mode::empty())
                .map_err(|error| failed("open", &path)(error.into()))?;
            let data = File::from(data);
            fchown(&data, Some(entry.uid), Some(entry.gid)).map_err(failed("change the owner of", &path))?;
            data.set_permissions(Permissions::from_mode(entry.mode))
                .map_err(failed("set the mode of", &path))?;
        }
        Ok(())
    }

    /// Makes a volume with another's labels and files. Where the file system can, the files share their blocks until
    /// one of them is written.
    pub fn copy(&self, from: &str, to: &str) -> Result<Volume> {
        let source = self.record(from)?;
        has_files(&source)?;
        if !source.options.is_empty() {
            return Err(Error::Refused(format!(
                "clone {from}: its files are on a device of its own: export it and import that"
            )));
        }
        if self.record(to).is_ok() {
            return Err(Error::Exists { name: to.into(), different: "files of its own" });
        }
        let labels: Map<String> =
            source.labels.into_iter().filter(|(key, _)| key != crate::ANONYMOUS_LABEL).collect();
        name::check(to)?;
        let volume =
            self.create(VolumeCreateOptions { name: to.into(), labels, ..VolumeCreateOptions::default() })?;
        let copied = self.open_folder(from).and_then(|folder| {
            let into = self.open_folder(to)?;
            let data = hull_sys::InRoot::new(into);
            let data = data.open_path("_data").map_err(failed("open", &self.data(to)))?;
            hull_archive::copy_tree(folder.as_fd(), Path::new("/_data"), data.as_fd())
                .map_err(|source| Error::Transfer { act: "clone", name: from.into(), source })
        });
        match copied {
            Ok(_) => Ok(volume),
            Err(error) => {
                let _ = self.remove(to, true);
                Err(error)
            }
        }
    }

    /// Gives a volume that nobody uses another name.
    pub fn rename(&self, from: &str, to: &str) -> Result<Volume> {
        let uses = self.uses();
        let record = self.record(from)?;
        name::check(to)?;
        if let Some(users) = uses.get(from) {
            return Err(Error::InUse {
                act: "rename",
                name: from.into(),
                users: users.iter().cloned().collect(),
            });
        }
        if self.record(to).is_ok() {
            return Err(Error::Exists { name: to.into(), different: "files of its own" });
        }
        let mut labels = record.labels.clone();
        labels.remove(crate::ANONYMOUS_LABEL);
        let renamed = Record { name: to.into(), labels, renamed_from: Some(from.into()), ..record };
        // The row first, then the directory: whoever opens the volumes after a crash in between finishes it.
        self.inner.store.transaction(Durability::Process, |tx| {
            tx.put(&self.inner.table, to, &renamed)?;
            tx.remove(&self.inner.table, from).map(drop)
        })?;
        let renamed = self.finish_rename(renamed)?;
        self.publish("rename", to, Map::from([("oldName".to_owned(), from.to_owned())]));
        Ok(self.volume(&renamed))
    }

    /// Moves the directory of a volume whose row has its new name already.
    pub(crate) fn finish_rename(&self, mut record: Record) -> Result<Record> {
        let Some(old) = record.renamed_from.take() else { return Ok(record) };
        let (old, new) = (self.inner.root.join(old), self.inner.root.join(&record.name));
        if old.symlink_metadata().is_ok() && new.symlink_metadata().is_err() {
            std::fs::rename(&old, &new).map_err(failed("rename", &old))?;
        }
        self.inner.table.put(&record.name, &record)?;
        Ok(record)
    }

    /// Runs `act` while the volume's files are at its directory: where they have to be mounted for it, in a mount
    /// namespace that ends with it.
    fn within<T: Send>(&self, record: &Record, act: impl FnOnce(&Path) -> Result<T> + Send) -> Result<T> {
        let data = self.data(&record.name);
        has_files(record)?;
        if record.options.is_empty() || mounting::is_mounted(&data) {
            return act(&data);
        }
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let act_failed = |act| failed(act, &data);
                namespace::unshare(namespace::MOUNT).map_err(act_failed("make a mount namespace for"))?;
                mount::set_root_propagation(mount::Propagation::Private, true)
                    .map_err(act_failed("make a mount namespace for"))?;
                mounting::mount(record, &data)?;
                act(&data)
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The volume's folder, in which `_data` is.
    fn open_folder(&self, name: &str) -> Result<OwnedFd> {
        let path = self.inner.root.join(name);
        local::directory(&self.data(name), 0o755)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, &path, flags, Mode::empty())
            .map_err(|error| failed("open", &path)(error.into()))
    }
}

/// A file system in memory has files only while it is mounted.
fn has_files(record: &Record) -> Result<()> {
    match record.options.get("type").map(String::as_str) {
        Some("tmpfs" | "ramfs") => Err(Error::Refused(format!(
            "volume {} is in memory: it has files only while a container runs that has it",
            record.name
        ))),
        _ => Ok(()),
    }
}

struct Recorder<R> {
    source: R,
    seen: Vec<u8>,
}

impl<R: Read> Read for Recorder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        self.seen.extend_from_slice(&buffer[..length]);
        Ok(length)
    }
}
