//! Volumes as a whole: out as a tar, in from one, copied, under another name.
//!
//! What is inside is never believed: links stay links, and no member of an archive lands outside of the volume.

use std::fs::{File, Permissions};
use std::io::{self, Cursor, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use hull_api_types::{Map, Volume, VolumeCreateOptions};
use hull_archive::{Archive, Decompressor, EntryKind, PackOptions, UnpackOptions};
use hull_store::Durability;
use rustix::fs::{CWD, Mode, OFlags};

use crate::{Error, Record, Result, Volumes, failed, limit, name};

/// A volume's files while the engine itself reads or writes them: neither removed nor unmounted meanwhile.
#[derive(Debug)]
pub(crate) struct Held {
    volumes: Volumes,
    name: String,
    user: String,
    pub(crate) data: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.volumes.unmount(&self.name, &self.user);
        self.volumes.release(&self.name, &self.user);
    }
}

/// A volume that is about to be exported.
#[derive(Debug)]
pub struct Export(Held);

impl Export {
    /// Writes the files as a tar, the volume's own directory as `./` first.
    pub fn write<W: Write>(&self, writer: W) -> Result<()> {
        let (volumes, name) = (&self.0.volumes, &self.0.name);
        let folder = volumes.open_folder(name)?;
        let options = PackOptions { all_xattrs: true };
        hull_archive::pack(folder.as_fd(), Path::new("/_data/."), &options, writer)
            .map_err(|source| Error::Transfer { act: "export", name: name.clone(), source })
    }

    /// The same, compressed by zstd.
    pub fn write_zstd<W: Write>(&self, writer: W) -> Result<()> {
        let failed = |error: io::Error| Error::Archive {
            act: "export",
            name: self.0.name.clone(),
            reason: error.to_string(),
        };
        let mut encoder = zstd::Encoder::new(writer, 3).map_err(failed)?;
        self.write(&mut encoder)?;
        encoder.finish().map(drop).map_err(failed)
    }
}

impl Volumes {
    /// Takes a volume to be exported: its files are there until this is dropped. Containers may use them meanwhile.
    pub fn export(&self, name: &str) -> Result<Export> {
        self.hold(name, "export").map(Export)
    }

    pub(crate) fn hold(&self, name: &str, act: &str) -> Result<Held> {
        let number = self.inner.held.fetch_add(1, Ordering::Relaxed);
        let user = format!("{act}-{number}");
        self.acquire(name, &user)?;
        let mut held =
            Held { volumes: self.clone(), name: name.into(), user: user.clone(), data: PathBuf::new() };
        held.data = self.mount_for(name, &user, false)?;
        Ok(held)
    }

    /// Puts a tar's members into a volume, which is made if it is not there. The tar may be compressed by gzip or zstd.
    pub fn import<R: Read>(&self, name: &str, reader: R) -> Result<Volume> {
        let made = match self.record(name) {
            Err(Error::NotFound(_)) => {
                self.create(VolumeCreateOptions { name: name.into(), ..VolumeCreateOptions::default() })?;
                true
            }
            other => other.map(|_| false)?,
        };
        let held = self.hold(name, "import")?;
        let imported = limit::within(&self.record(name)?, || self.unpack(name, reader));
        drop(held);
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

    /// Makes a volume with another's labels, files and size; one of a device's files is an ordinary one. Where the file
    /// system can, the files share their blocks until one of them is written.
    pub fn copy(&self, from: &str, to: &str) -> Result<Volume> {
        let _held = self.hold(from, "clone")?;
        let source = self.record(from)?;
        if self.record(to).is_ok() {
            return Err(Error::Exists(to.into()));
        }
        let labels: Map<String> = source
            .labels
            .iter()
            .filter(|(key, _)| *key != crate::ANONYMOUS_LABEL)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let driver_opts = if source.has_device() { Map::new() } else { source.options };
        name::check(to)?;
        let volume = self.create(VolumeCreateOptions {
            name: to.into(),
            labels,
            driver_opts,
            ..VolumeCreateOptions::default()
        })?;
        let copied = self.fill(from, to);
        match copied {
            Ok(()) => Ok(volume),
            Err(error) => {
                let _ = self.remove(to, true);
                Err(error)
            }
        }
    }

    fn fill(&self, from: &str, to: &str) -> Result<()> {
        let _held = self.hold(to, "clone")?;
        let folder = self.open_folder(from)?;
        let data = hull_sys::InRoot::new(self.open_folder(to)?);
        let data = data.open_path("_data").map_err(failed("open", &self.data(to)))?;
        limit::within(&self.record(to)?, || {
            hull_archive::copy_tree(folder.as_fd(), Path::new("/_data"), data.as_fd())
                .map(drop)
                .map_err(|source| Error::Transfer { act: "clone", name: from.into(), source })
        })
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
            return Err(Error::Exists(to.into()));
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

    /// The volume's folder, in which `_data` is.
    fn open_folder(&self, name: &str) -> Result<OwnedFd> {
        let path = self.inner.root.join(name);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, &path, flags, Mode::empty())
            .map_err(|error| failed("open", &path)(error.into()))
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
