//! Volumes: directories that outlive containers.
//!
//! ```text
//!  create ─▶ row in the store ─▶ acquire(name, container) ─▶ VolumeMount ─▶ the container's mounts
//!                                release(name, container)       copy_up: the image's files into an empty volume
//! ```
//!
//! # On disk
//! `<root>/<name>/_data`: a volume's files; `<root>` is 0701, `<name>` 0701 as Docker has them, `_data` 0755 or
//! what the image's directory has. Rows of table `volumes` are [`Record`]s under the volume's name. A volume whose
//! row is missing or damaged is not touched.
//!
//! # Invariants
//! * A volume that a container refers to is never removed. Who refers to what is told by the container engine at
//!   its start and kept in memory only: containers' rows are the truth of it.
//! * The row is written before the directory is used and removed after the directory is.
//! * No link inside of a volume or an image is ever followed out of it.
//!
//! Only the `local` driver exists. A volume with `type`, `device` and `o` is mounted at its `_data` on the host while a
//! container runs that has it, or while it is read or written as a whole: all see one file system, and whatever its type
//! a part of it can be bound. A volume with `size` has a project of the file system's quotas, see `limit`.
//!
//! This crate must not know containers but by their ids, nor HTTP.

mod active;
mod copy_up;
mod error;
mod filter;
mod limit;
mod local;
mod mounting;
mod name;
mod transfer;

use active::Active;
pub use error::{Error, Result};
pub use local::anonymous_name;
pub use transfer::Export;

use filter::Filter;
use hull_api_types::{EventMessage, Filters, Map, Volume, VolumeCreateOptions, VolumesPruneResponse};
use hull_events::EventBus;
use hull_store::{Store, Table};
use hull_types::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Marks volumes that nobody named.
pub const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";

/// A volume's row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The volume's name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its labels.
    #[serde(default)]
    pub labels: Map<String>,
    /// The local driver's options.
    #[serde(default)]
    pub options: Map<String>,
    /// Its directory still has to be moved here from this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
    /// The project that its files count for, where its size is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<u32>,
}

impl Record {
    /// Whether its files are on a file system that is mounted for it.
    fn has_device(&self) -> bool {
        self.options.contains_key("device")
    }

    /// Whether that file system begins empty each time.
    fn is_in_memory(&self) -> bool {
        matches!(self.options.get("type").map(String::as_str), Some("tmpfs" | "ramfs"))
    }
}

/// The volumes. Clones share them; all calls block for a few file operations, [`Volumes::copy_up`] for as long as
/// the image's files take.
#[derive(Clone, Debug)]
pub struct Volumes {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    store: Store,
    table: Table<Record>,
    events: EventBus,
    // Who uses which volume. Held while one is created or removed, so that neither crosses an acquire.
    uses: Mutex<BTreeMap<String, BTreeSet<String>>>,
    active: Active,
    // How often the engine itself has used a volume, so that each time has a name.
    held: AtomicU64,
}

impl Volumes {
    /// Opens the volumes under `root` (`<data_root>/volumes`).
    pub fn open(root: &Path, store: Store, events: EventBus) -> Result<Self> {
        local::directory(root, 0o701)?;
        let table = store.table("volumes");
        let (uses, active, held) = (Mutex::default(), Active::default(), AtomicU64::default());
        let inner = Inner { root: root.into(), store, table, events, uses, active, held };
        let volumes = Self { inner: Arc::new(inner) };
        for record in volumes.records()?.into_iter().filter(|record| record.renamed_from.is_some()) {
            volumes.finish_rename(record)?;
        }
        Ok(volumes)
    }

    /// Creates a volume, or gives the one of that name as it is. Without a name it gets a random one and the label of
    /// anonymous volumes.
    pub fn create(&self, options: VolumeCreateOptions) -> Result<Volume> {
        let _uses = self.uses();
        self.create_locked(options)
    }

    fn create_locked(&self, mut options: VolumeCreateOptions) -> Result<Volume> {
        if options.name.is_empty() {
            options.name =
                anonymous_name().map_err(failed("read random bytes from", Path::new("/dev/urandom")))?;
            options.labels.insert(ANONYMOUS_LABEL.into(), String::new());
        }
        let name = options.name.clone();
        name::check(&name)?;
        if !matches!(options.driver.as_str(), "" | "local") {
            return Err(Error::Driver { name, driver: options.driver });
        }
        if let Some(record) = self.inner.table.get(&name)? {
            // Whatever labels and options it was to have, as Docker has it.
            return Ok(self.volume(&record));
        }
        local::check_options(&name, &options.driver_opts)?;
        let project = match limit::size(&options.driver_opts) {
            None => None,
            Some(_) => {
                let taken = self.records()?.iter().filter_map(|record| record.project).collect();
                let refused = |error| Error::Options { name: name.clone(), reason: limit::words(&error) };
                Some(limit::allot(&self.inner.root, &taken).map_err(refused)?)
            }
        };
        let record = Record {
            name,
            created_at: Timestamp::now(),
            labels: options.labels,
            options: options.driver_opts,
            renamed_from: None,
            project,
        };
        self.make_directory(&record).inspect_err(|_| local::remove_empty(&self.inner.root, &record.name))?;
        self.inner.table.put(&record.name, &record)?;
        self.publish("create", &record.name, Map::new());
        Ok(self.volume(&record))
    }

    /// The volume of that name.
    pub fn get(&self, name: &str) -> Result<Volume> {
        self.record(name).map(|record| self.volume(&record))
    }

    /// The volumes that match all filters (`dangling`, `name`, `driver`, `label`), sorted by name.
    pub fn list(&self, filters: &Filters) -> Result<Vec<Volume>> {
        let filter = Filter::listing(filters)?;
        let uses = self.uses();
        let mut volumes = Vec::new();
        for record in self.records()? {
            if filter.matches(&record, uses.contains_key(&record.name)) {
                volumes.push(self.volume(&record));
            }
        }
        Ok(volumes)
    }

    /// Removes a volume and its files. `force` makes a missing one no error; one in use stays all the same.
    pub fn remove(&self, name: &str, force: bool) -> Result<()> {
        let uses = self.uses();
        let record = match self.record(name) {
            Err(Error::NotFound(_)) if force => return Ok(()),
            other => other?,
        };
        if let Some(users) = uses.get(name) {
            return Err(Error::InUse {
                act: "remove",
                name: name.into(),
                users: users.iter().cloned().collect(),
            });
        }
        self.remove_unused(&record)
    }

    /// The volume's directory as it has to be; it may be there, or somebody may have removed it by hand.
    fn make_directory(&self, record: &Record) -> Result<PathBuf> {
        let data = self.data(&record.name);
        local::directory(&self.inner.root.join(&record.name), 0o701)?;
        if !mounting::is_mounted(&data) {
            local::directory(&data, 0o755)?;
        }
        if let (Some(project), Some(bytes)) = (record.project, limit::size(&record.options)) {
            let failed = |error| Error::Mount { path: data.clone(), reason: limit::words(&error) };
            limit::apply(&data, project, bytes).map_err(failed)?;
        }
        Ok(data)
    }

    fn remove_unused(&self, record: &Record) -> Result<()> {
        local::remove(&self.inner.root, &record.name)?;
        if let Some(project) = record.project {
            limit::lift(&self.inner.root, project);
        }
        self.inner.table.remove(&record.name)?;
        self.publish("destroy", &record.name, Map::new());
        Ok(())
    }

    /// Removes the volumes that nobody uses and that match the filters (`label`, `label!`, `all`): the anonymous
    /// ones, with `all=true` also those that have a name (API 1.42; for older clients the edge adds it).
    pub fn prune(&self, filters: &Filters) -> Result<VolumesPruneResponse> {
        let filter = Filter::pruning(filters)?;
        let uses = self.uses();
        let mut response = VolumesPruneResponse { volumes_deleted: Some(Vec::new()), space_reclaimed: 0 };
        for record in self.records()? {
            // What was made with options stays until somebody names it, as Docker has it.
            if uses.contains_key(&record.name)
                || !filter.matches(&record, false)
                || !record.options.is_empty()
            {
                continue;
            }
            let size = self.size(&record.name);
            match self.remove_unused(&record) {
                Ok(()) => {
                    response.space_reclaimed += size;
                    response.volumes_deleted.get_or_insert_default().push(record.name);
                }
                Err(error) => tracing::warn!("could not prune volume {}: {error}", record.name),
            }
        }
        let reclaimed = Map::from([("reclaimed".to_owned(), response.space_reclaimed.to_string())]);
        self.inner.events.publish(EventMessage::now("volume", "prune", "", reclaimed));
        Ok(response)
    }

    /// The volume's data directory.
    pub fn mountpoint(&self, name: &str) -> Result<PathBuf> {
        self.record(name).map(|record| self.data(&record.name))
    }

    /// Records that a container refers to the volume. At its start the container engine calls this for every container
    /// that there is.
    pub fn acquire(&self, name: &str, container_id: &str) -> Result<()> {
        let mut uses = self.uses();
        self.record(name)?;
        uses.entry(name.into()).or_default().insert(container_id.into());
        Ok(())
    }

    /// [`Self::create`] and [`Self::acquire`] as one: no removal gets in between.
    pub fn create_for(&self, options: VolumeCreateOptions, container_id: &str) -> Result<Volume> {
        let mut uses = self.uses();
        let volume = self.create_locked(options)?;
        uses.entry(volume.name.clone()).or_default().insert(container_id.into());
        Ok(volume)
    }

    /// The volume's files for a container that starts, or that runs since a daemon before this one: mounted, if the
    /// volume has a file system of its own, until [`Self::unmount`].
    pub fn mount(&self, name: &str, container_id: &str) -> Result<PathBuf> {
        self.mount_for(name, container_id, true)
    }

    /// `may_begin` is whether a file system in memory may begin with this.
    fn mount_for(&self, name: &str, user: &str, may_begin: bool) -> Result<PathBuf> {
        let record = self.record(name)?;
        let data = self.make_directory(&record)?;
        if record.has_device() {
            self.inner.active.with(name, |users| -> Result<()> {
                if !mounting::is_mounted(&data) {
                    if !may_begin && record.is_in_memory() {
                        return Err(Error::Refused(format!(
                            "volume {name} is in memory: it has files only while a container runs that has it"
                        )));
                    }
                    mounting::mount(&record, &data)?;
                }
                users.insert(user.into());
                Ok(())
            })?;
        }
        Ok(data)
    }

    /// The container has ended; the last one's end unmounts.
    pub fn unmount(&self, name: &str, container_id: &str) {
        self.inner.active.with(name, |users| {
            if users.remove(container_id) && users.is_empty() {
                mounting::unmount(&self.data(name));
            }
        });
    }

    /// The volume's files for the calling thread, which has a mount namespace of its own.
    pub fn mount_here(&self, name: &str) -> Result<PathBuf> {
        let (record, data) = (self.record(name)?, self.data(name));
        if record.has_device() && !mounting::is_mounted(&data) {
            mounting::mount(&record, &data)?;
        }
        Ok(data)
    }

    /// Once every running container has its volumes: unmounts what a daemon that was killed left mounted.
    pub fn sweep(&self) -> Result<()> {
        for record in self.records()?.iter().filter(|record| record.has_device()) {
            self.inner.active.with(&record.name, |users| {
                if users.is_empty() {
                    mounting::unmount(&self.data(&record.name));
                }
            });
        }
        Ok(())
    }

    /// Records that a container no longer refers to the volume.
    pub fn release(&self, name: &str, container_id: &str) {
        let mut uses = self.uses();
        if let Some(users) = uses.get_mut(name) {
            users.remove(container_id);
            if users.is_empty() {
                uses.remove(name);
            }
        }
    }

    /// The ids of the containers that refer to the volume.
    pub fn users(&self, name: &str) -> Vec<String> {
        self.uses().get(name).into_iter().flatten().cloned().collect()
    }

    /// Tells of a container's mount of the volume.
    pub fn mounted(
        &self,
        name: &str,
        container_id: &str,
        destination: &str,
        read_write: bool,
        propagation: &str,
    ) {
        let attributes = Map::from([
            ("container".to_owned(), container_id.to_owned()),
            ("destination".to_owned(), destination.to_owned()),
            ("propagation".to_owned(), propagation.to_owned()),
            ("read/write".to_owned(), read_write.to_string()),
        ]);
        self.publish("mount", name, attributes);
    }

    /// Tells of its end.
    pub fn unmounted(&self, name: &str, container_id: &str) {
        self.publish("unmount", name, Map::from([("container".to_owned(), container_id.to_owned())]));
    }

    /// If the volume is empty, copies into it what the image has in the directory `path`, and gives it that
    /// directory's owner, mode and times. `rootfs` is the image's tree, such as a detached mount; links in `path`
    /// are followed inside of it. That the image has nothing there is no error. One in memory
    /// is left alone: it would be empty again at the start.
    pub fn copy_up(&self, name: &str, rootfs: BorrowedFd<'_>, path: &Path) -> Result<()> {
        let record = self.record(name)?;
        if record.is_in_memory() {
            return Ok(());
        }
        let held = self.hold(name, "copy-up")?;
        limit::within(&record, || copy_up::copy_up(name, &held.data, rootfs, path))
    }

    /// How many bytes the volume's files take; 0 when they can't be counted.
    pub fn size(&self, name: &str) -> u64 {
        hull_archive::measure(&self.data(name)).map_or(0, |measure| measure.size)
    }

    fn uses(&self) -> MutexGuard<'_, BTreeMap<String, BTreeSet<String>>> {
        self.inner.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn data(&self, name: &str) -> PathBuf {
        self.inner.root.join(name).join("_data")
    }

    fn record(&self, name: &str) -> Result<Record> {
        self.inner.table.get(name)?.ok_or_else(|| Error::NotFound(name.into()))
    }

    fn records(&self) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for (name, row) in self.inner.table.list()? {
            match row {
                Ok(record) => records.push(record),
                Err(damaged) => tracing::warn!("volume {name}: {damaged}"),
            }
        }
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(records)
    }

    fn volume(&self, record: &Record) -> Volume {
        let created = Timestamp { nanoseconds: 0, ..record.created_at };
        Volume {
            created_at: created.to_string(),
            driver: "local".into(),
            labels: (!record.labels.is_empty()).then(|| record.labels.clone()),
            mountpoint: self.data(&record.name).to_string_lossy().into_owned(),
            name: record.name.clone(),
            options: (!record.options.is_empty()).then(|| record.options.clone()),
            scope: "local".into(),
            status: None,
            usage_data: None,
        }
    }

    fn publish(&self, action: &str, name: &str, mut attributes: Map<String>) {
        attributes.insert("driver".into(), "local".into());
        self.inner.events.publish(EventMessage::now("volume", action, name, attributes));
    }
}

fn failed(act: &'static str, path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Path { act, path: path.clone(), source }
}
