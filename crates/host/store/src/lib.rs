//! The metadata store: named tables of JSON rows in one SQLite file.
//!
//! ```text
//!  containers ─┐ Table<T>::put ──▶ writer ──▶ hull.db-wal ──▶ hull.db
//!  networks   ─┤ Table<T>::get ◀── reader ◀──────┘
//!  volumes …  ─┘ transaction(Durability, |tx| …)   all or nothing, over any tables
//! ```
//!
//! # On disk
//! * `<path>`, `<path>-wal`, `<path>-shm`: a SQLite database in WAL mode. One table,
//!   `rows(tbl TEXT, key TEXT, value TEXT, PRIMARY KEY (tbl, key)) WITHOUT ROWID`: a new Hull table needs no
//!   migration of the schema, and `sqlite3 hull.db 'select * from rows'` shows everything. `PRAGMA user_version`
//!   is the version of this layout.
//! * `<path>.lock`: locked (flock) while a process has the store open.
//!
//! # Invariants
//! * A commit survives `kill -9` of the process; with [`Durability::Power`] it survives the loss of power too,
//!   and so does every commit before it.
//! * One process at a time. Within it one writer at a time; readers never wait for a writer's disk.
//! * A row that does not parse is [`Damaged`]: it is reported with its text and never removed by itself.
//!
//! This crate must not know what the rows mean.

mod error;
mod table;
mod transaction;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags};

pub use error::{Damaged, Error, Result};
pub use table::Table;
pub use transaction::{Durability, Transaction};

/// The version of the layout that this build reads and writes.
pub const SCHEMA_VERSION: i64 = 1;

/// An open store. Clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    writer: Mutex<Connection>,
    // A second connection: what is read is the last commit, even while a writer waits for the disk.
    reader: Mutex<Connection>,
    // Declared last: the lock is let go only after both connections are closed.
    _lock: File,
}

impl Store {
    /// Opens the store at `path` and creates it if it is not there.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process has it open, [`Error::Newer`] when a newer Hull wrote it.
    pub fn open(path: &Path) -> Result<Self> {
        let lock = lock(path)?;
        let open = |source| Error::Open { path: path.into(), source };
        let writer = Connection::open_with_flags(path, flags()).map_err(open)?;
        prepare(&writer, path)?;
        let reader = Connection::open_with_flags(path, flags()).map_err(open)?;
        reader.pragma_update(None, "query_only", true).map_err(open)?;
        let inner =
            Inner { path: path.into(), writer: Mutex::new(writer), reader: Mutex::new(reader), _lock: lock };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The table of that name, whose rows are `T`s. Nothing is created until a row is put.
    pub fn table<T>(&self, name: &'static str) -> Table<T> {
        Table::new(self.clone(), name)
    }

    /// Runs `act` in one transaction: all that it puts and removes is committed together when it returns `Ok`,
    /// and nothing of it otherwise. `act` must not use the store but through `tx`.
    pub fn transaction<R>(
        &self,
        durability: Durability,
        act: impl FnOnce(&Transaction<'_>) -> Result<R>,
    ) -> Result<R> {
        let mut writer = self.writer();
        transaction::run(&mut writer, &self.inner.path, durability, act)
    }

    /// Gives back the disk that removed rows and the log of commits hold: worth it after a prune.
    pub fn compact(&self) -> Result<()> {
        let failed = |source| Error::Commit { path: self.inner.path.clone(), source };
        let writer = self.writer();
        writer.execute_batch("vacuum").map_err(failed)?;
        // A reader under way keeps the log; the next commits use it again then.
        writer.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(())).map_err(failed)
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock was held has rolled its transaction back: the connection is sound.
        self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        self.inner.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.inner.path).finish()
    }
}

fn flags() -> OpenFlags {
    // The mutexes here do what SQLite's own would.
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn lock(path: &Path) -> Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let failed = |source| Error::Lock { path: lock_path.clone(), source };
    let file = private_file(&lock_path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::InUse { path: path.into() }),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn private_file(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().create(true).write(true).truncate(false).mode(0o600).open(path)
}

fn prepare(connection: &Connection, path: &Path) -> Result<()> {
    let open = |source| Error::Open { path: path.into(), source };
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(open)?;
    if version > SCHEMA_VERSION {
        return Err(Error::Newer { path: path.into(), found: version, known: SCHEMA_VERSION });
    }
    restrict(path)?;
    connection.pragma_update(None, "journal_mode", "wal").map_err(open)?;
    connection.pragma_update(None, "synchronous", "normal").map_err(open)?;
    if version == 0 {
        let schema = format!(
            "begin immediate;
             create table if not exists rows (
                 tbl text not null, key text not null, value text not null, primary key (tbl, key)
             ) without rowid;
             pragma user_version = {SCHEMA_VERSION};
             commit;"
        );
        connection.execute_batch(&schema).map_err(open)?;
    }
    Ok(())
}

// SQLite gives the -wal and -shm files the mode of the database itself.
fn restrict(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|source| Error::Lock { path: path.into(), source })
}
