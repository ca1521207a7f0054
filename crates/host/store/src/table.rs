//! One table: rows of one type under text keys.

use std::marker::PhantomData;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Damaged, Durability, Error, Result, Store};

/// A table of `T`s. Cheap to clone; clones and tables of the same name are the same table.
pub struct Table<T> {
    store: Store,
    name: &'static str,
    rows: PhantomData<fn() -> T>,
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self::new(self.store.clone(), self.name)
    }
}

impl<T> std::fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("store", &self.store).field("name", &self.name).finish()
    }
}

impl<T> Table<T> {
    pub(crate) fn new(store: Store, name: &'static str) -> Self {
        Self { store, name, rows: PhantomData }
    }

    /// The table's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Removes a row; whether it was there. A damaged row is removed too: this is the way to be rid of one.
    pub fn remove(&self, key: &str) -> Result<bool> {
        self.store.transaction(Durability::Process, |tx| tx.remove(self, key))
    }

    /// All keys in order, those of damaged rows included.
    pub fn keys(&self) -> Result<Vec<String>> {
        let reader = self.store.reader();
        let read = |source| Error::Read { table: self.name, key: "*".into(), source };
        let mut statement =
            reader.prepare_cached("select key from rows where tbl = ?1 order by key").map_err(read)?;
        let keys = statement.query_map([self.name], |row| row.get(0)).map_err(read)?;
        keys.collect::<rusqlite::Result<_>>().map_err(read)
    }
}

impl<T: DeserializeOwned> Table<T> {
    /// The row, `None` when there is none.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is there and does not parse.
    pub fn get(&self, key: &str) -> Result<Option<T>> {
        let text = read_text(&self.store.reader(), self.name, key)?;
        text.map(|text| self.parse(key, text)).transpose().map_err(Error::from)
    }

    /// All rows in the order of their keys; each that does not parse as [`Damaged`].
    pub fn list(&self) -> Result<Vec<(String, Result<T, Damaged>)>> {
        let texts = self.texts()?;
        Ok(texts
            .into_iter()
            .map(|(key, text)| {
                let row = self.parse(&key, text);
                (key, row)
            })
            .collect())
    }

    fn texts(&self) -> Result<Vec<(String, String)>> {
        let reader = self.store.reader();
        let read = |source| Error::Read { table: self.name, key: "*".into(), source };
        let mut statement =
            reader.prepare_cached("select key, value from rows where tbl = ?1 order by key").map_err(read)?;
        let rows = statement.query_map([self.name], |row| Ok((row.get(0)?, row.get(1)?))).map_err(read)?;
        rows.collect::<rusqlite::Result<_>>().map_err(read)
    }

    fn parse(&self, key: &str, text: String) -> Result<T, Damaged> {
        serde_json::from_str(&text).map_err(|error| Damaged {
            table: self.name,
            key: key.into(),
            text,
            reason: error.to_string(),
        })
    }
}

impl<T: Serialize> Table<T> {
    /// Writes a row, over the one of that key if there is one. Committed when it returns; survives `kill -9`.
    pub fn put(&self, key: &str, value: &T) -> Result<()> {
        self.store.transaction(Durability::Process, |tx| tx.put(self, key, value))
    }
}

pub(crate) fn read_text(connection: &Connection, table: &'static str, key: &str) -> Result<Option<String>> {
    connection
        .prepare_cached("select value from rows where tbl = ?1 and key = ?2")
        .and_then(|mut statement| statement.query_row(params![table, key], |row| row.get(0)).optional())
        .map_err(|source| Error::Read { table, key: key.into(), source })
}
