//! Groups below a container's own, and what happens in it.

use crate::host::Hierarchy;
use crate::{Cgroup, Error, Result};
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

impl Cgroup {
    /// The group in which a further process is to be: `[<controller>[,<controller>…]:]<path>`, each below this one. A
    /// path without controllers is for all hierarchies. The groups must be there.
    pub fn below(&self, places: &[String]) -> Result<Self> {
        let mut group = self.clone();
        for place in places {
            let (controllers, path) = match place.split_once(':') {
                Some((controllers, path)) => (controllers.split(',').collect(), path),
                None => (Vec::new(), place.as_str()),
            };
            let relative = relative(path)?;
            if controllers.is_empty() {
                for hierarchy in &mut group.directories {
                    hierarchy.mount_point.push(relative);
                }
                // Beside version 1's the unified one has groups of its own.
                group.unified = group.unified.map(|own| match own.join(relative) {
                    below if self.is_unified() || below.is_dir() => below,
                    _ => own,
                });
                continue;
            }
            for controller in controllers {
                let has =
                    |hierarchy: &&mut Hierarchy| hierarchy.controllers.iter().any(|name| name == controller);
                let Some(hierarchy) = group.directories.iter_mut().find(has) else {
                    let file = place.clone();
                    return Err(Error::NoController { controller: controller.into(), file });
                };
                if !hierarchy.mount_point.ends_with(relative) {
                    hierarchy.mount_point.push(relative);
                }
            }
        }
        if let Some(missing) = group.all().find(|directory| !directory.is_dir()) {
            return Err(Error::Read { path: missing.into(), source: std::io::ErrorKind::NotFound.into() });
        }
        Ok(group)
    }

    /// A descriptor that becomes readable when the group runs out of memory; on version 2, whenever its counts of
    /// such events change.
    pub fn out_of_memory(&self) -> Result<OwnedFd> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::Read { path, source }
        };
        if let (true, Some(unified)) = (self.is_unified(), &self.unified) {
            let path = unified.join("memory.events");
            return hull_sys::event_descriptor::watch_file(&path).map_err(failed(&path));
        }
        let missing =
            || Error::NoController { controller: "memory".into(), file: "memory.oom_control".into() };
        let directory = self.directory("memory").ok_or_else(missing)?;
        let path = directory.join("memory.oom_control");
        let control = fs::File::open(&path).map_err(failed(&path))?;
        let counter = hull_sys::event_descriptor::counter().map_err(failed(&path))?;
        let line = format!("{} {}", counter.as_raw_fd(), control.as_raw_fd());
        let path = directory.join("cgroup.event_control");
        fs::write(&path, line).map_err(failed(&path))?;
        Ok(counter)
    }
}

/// A path that stays below.
fn relative(path: &str) -> Result<&Path> {
    let inner = Path::new(path.trim_start_matches('/'));
    if inner.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
        return Err(Error::InvalidPath(path.into()));
    }
    Ok(inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Host;

    #[test]
    fn places_are_below() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for name in ["cpu/c/a", "cpu/c/b", "memory/c/a", "unified/c"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        let hierarchy = |name: &str| Hierarchy { controllers: vec![name.into()], mount_point: at(name) };
        let host =
            Host { hierarchies: vec![hierarchy("cpu"), hierarchy("memory")], unified: Some(at("unified")) };
        let group = Cgroup::on(&host, "/c").unwrap();
        let below =
            |places: &[&str]| group.below(&places.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>());
        let all = below(&["a"]).unwrap();
        assert_eq!(all.directories()[1].mount_point, at("memory/c/a"));
        assert_eq!(all.unified(), Some(at("unified/c").as_path()));
        let one = below(&["cpu:/b"]).unwrap();
        assert_eq!(one.directories()[0].mount_point, at("cpu/c/b"));
        assert_eq!(one.directories()[1].mount_point, at("memory/c"));
        for bad in ["../x", "a/../../x", "nope", "pids:a", "memory:b"] {
            below(&[bad]).unwrap_err();
        }
    }
}
