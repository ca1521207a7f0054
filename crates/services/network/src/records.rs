//! Live endpoints on disk: `<exec_root>/network/endpoints/<container id>.json`. The directory is in memory and goes
//! at a reboot, as the namespaces do that the files tell of.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::endpoint::Sandbox;
use crate::{Error, Result};

#[derive(Debug, Clone)]
pub(crate) struct Records {
    directory: PathBuf,
}

impl Records {
    pub fn open(directory: PathBuf) -> Result<Self> {
        for name in ["endpoints", "names", "resolvers"] {
            let path = directory.join(name);
            fs::create_dir_all(&path).map_err(|source| Error::File { act: "create", path, source })?;
        }
        Ok(Self { directory })
    }

    /// A fact about this boot of the machine that has to outlive the daemon.
    pub fn note(&self, name: &str) -> Result<()> {
        let path = self.directory.join(name);
        fs::write(&path, "").map_err(|source| Error::File { act: "write", path, source })
    }

    pub fn is_noted(&self, name: &str) -> bool {
        self.directory.join(name).exists()
    }

    fn path(&self, container_id: &str) -> PathBuf {
        self.directory.join("endpoints").join(format!("{container_id}.json"))
    }

    /// Writes a container's record in place of the one before.
    pub fn put(&self, sandbox: &Sandbox) -> Result<()> {
        let path = self.path(&sandbox.container_id);
        let failed = |source| Error::File { act: "write", path: path.clone(), source };
        let text = serde_json::to_vec(sandbox).map_err(|error| failed(io::Error::other(error)))?;
        let new = path.with_extension("new");
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(failed)
    }

    pub fn remove(&self, container_id: &str) -> Result<()> {
        let path = self.path(container_id);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::File { act: "remove", path, source })
            }
            _ => Ok(()),
        }
    }

    /// All records. One that can't be read is left where it is and told of.
    pub fn list(&self) -> Result<Vec<Sandbox>> {
        let path = self.directory.join("endpoints");
        let failed = |source| Error::File { act: "read", path: path.clone(), source };
        let mut records = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text =
                fs::read(&path).map_err(|source| Error::File { act: "read", path: path.clone(), source })?;
            match serde_json::from_slice(&text) {
                Ok(sandbox) => records.push(sandbox),
                Err(error) => tracing::warn!(path = %path.display(), %error, "damaged endpoint record"),
            }
        }
        Ok(records)
    }
}

/// `N` random bytes as hexadecimal digits.
pub(crate) fn random_hex<const N: usize>() -> Result<String> {
    hull_sys::random::hex::<N>().map_err(Error::Random)
}
