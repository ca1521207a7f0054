//! Which driver keeps a data root's layers: chosen at its first start, recorded, and the same ever after.
//!
//! Images and containers are rows that name layers, and a driver only has the layers that it made. Another driver on
//! the same data root is therefore refused with what to do, where Docker silently shows no images.

use crate::config::StorageDriver;
use anyhow::{Context, Result, bail};
use hull_snapshot::Snapshotter;
use hull_snapshot::erofs::{self, Erofs};
use hull_snapshot::overlay::Overlay;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;

const RECORD: &str = "storage-driver";

/// Opens the data root's driver, or chooses it.
pub fn open(data_root: &Path, asked: Option<StorageDriver>) -> Result<Arc<dyn Snapshotter>> {
    let driver = match (recorded(data_root)?, asked) {
        (Some(recorded), Some(asked)) if recorded != asked => bail!(
            "the images and containers in {} are kept by the storage driver {}, not {}: start with \
             --storage-driver={} or with another --data-root",
            data_root.display(),
            recorded.name(),
            asked.name(),
            recorded.name(),
        ),
        (Some(recorded), _) => {
            check(data_root, recorded)?;
            recorded
        }
        (None, Some(asked)) => {
            check(data_root, asked)?;
            asked
        }
        (None, None) => best(data_root),
    };
    record(data_root, driver)
        .with_context(|| format!("record the storage driver in {}", data_root.display()))?;
    Ok(match driver {
        StorageDriver::Erofs => Arc::new(Erofs::open(&data_root.join("erofs"))?),
        StorageDriver::Overlay => Arc::new(Overlay::open(&data_root.join("overlay"))?),
    })
}

fn recorded(data_root: &Path) -> Result<Option<StorageDriver>> {
    let path = data_root.join(RECORD);
    match std::fs::read_to_string(&path) {
        Ok(name) => match StorageDriver::named(name.trim()) {
            Some(driver) => Ok(Some(driver)),
            None => bail!(
                "{} names the storage driver {:?}, which Hull does not have",
                path.display(),
                name.trim()
            ),
        },
        // Of a time when there was no other.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let unpacked = data_root.join("overlay").join("layers");
            Ok(unpacked.exists().then_some(StorageDriver::Overlay))
        }
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

fn record(data_root: &Path, driver: StorageDriver) -> std::io::Result<()> {
    let (new, place) = (data_root.join(format!("{RECORD}.new")), data_root.join(RECORD));
    if std::fs::read_to_string(&place).is_ok_and(|name| name.trim() == driver.name()) {
        return Ok(());
    }
    let mut file = std::fs::File::create(&new)?;
    file.write_all(driver.name().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(new, place)?;
    std::fs::File::open(data_root)?.sync_all()
}

fn check(data_root: &Path, driver: StorageDriver) -> Result<()> {
    if driver == StorageDriver::Erofs {
        erofs::works(data_root).with_context(|| {
            format!(
                "the storage driver erofs does not work on {}: it needs a kernel that mounts EROFS from files and \
                 stacks them by descriptor (Linux 6.13 and newer), and a file system on a disk",
                data_root.display()
            )
        })?;
    }
    Ok(())
}

fn best(data_root: &Path) -> StorageDriver {
    match erofs::works(data_root) {
        Ok(()) => StorageDriver::Erofs,
        Err(error) => {
            tracing::info!("layers are unpacked, since the storage driver erofs does not work here: {error}");
            StorageDriver::Overlay
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_root_keeps_its_driver() {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        let root = directory.path();
        let first = open(root, Some(StorageDriver::Overlay)).unwrap();
        assert_eq!(first.name(), "overlay2");
        drop(first);
        assert_eq!(open(root, None).unwrap().name(), "overlay2");
        let refused = open(root, Some(StorageDriver::Erofs)).err().unwrap().to_string();
        assert!(refused.contains("--storage-driver=overlay2"), "{refused}");
        // Of a daemon that recorded nothing yet.
        std::fs::remove_file(root.join(RECORD)).unwrap();
        assert_eq!(open(root, None).unwrap().name(), "overlay2");
        std::fs::write(root.join(RECORD), "zfs").unwrap();
        assert!(open(root, None).is_err());
    }

    #[test]
    fn the_best_that_works_is_chosen_and_others_are_refused() {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        let works = erofs::works(directory.path()).is_ok();
        let chosen = open(directory.path(), None).unwrap();
        assert_eq!(chosen.name(), if works { "erofs" } else { "overlay2" });
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        assert!(open(memory.path(), Some(StorageDriver::Erofs)).is_err());
        assert!(!memory.path().join(RECORD).exists());
        assert_eq!(open(memory.path(), None).unwrap().name(), "overlay2");
    }
}
