//! Transactions over any number of tables.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::table::read_text;
use crate::{Damaged, Error, Result, Table};

/// What a commit must outlive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The death of the process (the data is in the kernel when the commit returns).
    #[default]
    Process,
    /// The loss of power (the data is on the disk when the commit returns).
    Power,
}

/// A transaction under way; see [`crate::Store::transaction`].
pub struct Transaction<'a> {
    inner: rusqlite::Transaction<'a>,
}

impl Transaction<'_> {
    /// Writes a row, over the one of that key if there is one.
    pub fn put<T: Serialize>(&self, table: &Table<T>, key: &str, value: &T) -> Result<()> {
        let name = table.name();
        let text = serde_json::to_string(value).map_err(|source| Error::Encode {
            table: name,
            key: key.into(),
            source,
        })?;
        self.inner
            .prepare_cached("insert or replace into rows (tbl, key, value) values (?1, ?2, ?3)")
            .and_then(|mut statement| statement.execute(params![name, key, text]))
            .map_err(|source| Error::Write { table: name, key: key.into(), source })?;
        Ok(())
    }

    /// Removes a row; whether it was there.
    pub fn remove<T>(&self, table: &Table<T>, key: &str) -> Result<bool> {
        let name = table.name();
        let removed = self
            .inner
            .prepare_cached("delete from rows where tbl = ?1 and key = ?2")
            .and_then(|mut statement| statement.execute(params![name, key]))
            .map_err(|source| Error::Write { table: name, key: key.into(), source })?;
        Ok(removed > 0)
    }

    /// The row as this transaction sees it, with its own writes; `None` when there is none.
    pub fn get<T: DeserializeOwned>(&self, table: &Table<T>, key: &str) -> Result<Option<T>> {
        let Some(text) = read_text(&self.inner, table.name(), key)? else { return Ok(None) };
        let parsed = serde_json::from_str(&text).map_err(|error| Damaged {
            table: table.name(),
            key: key.into(),
            text,
            reason: error.to_string(),
        })?;
        Ok(Some(parsed))
    }
}

pub(crate) fn run<R>(
    connection: &mut Connection,
    path: &Path,
    durability: Durability,
    act: impl FnOnce(&Transaction<'_>) -> Result<R>,
) -> Result<R> {
    let failed = |source| Error::Commit { path: path.into(), source };
    if durability == Durability::Process {
        return commit(connection, path, act);
    }
    // In WAL mode FULL differs from NORMAL by the fsync of the log after each commit. It can only be changed
    // between transactions.
    connection.pragma_update(None, "synchronous", "full").map_err(failed)?;
    let result = commit(connection, path, act);
    connection.pragma_update(None, "synchronous", "normal").map_err(failed)?;
    result
}

fn commit<R>(
    connection: &mut Connection,
    path: &Path,
    act: impl FnOnce(&Transaction<'_>) -> Result<R>,
) -> Result<R> {
    let failed = |source| Error::Commit { path: path.into(), source };
    let inner = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let transaction = Transaction { inner };
    // An error drops the transaction, which rolls it back.
    let value = act(&transaction)?;
    transaction.inner.commit().map_err(failed)?;
    Ok(value)
}
