//! Cache and memory bandwidth allocation (`linux.intelRdt`) through the kernel's resctrl file system.
//!
//! A class of service is a directory there: limits are lines of its `schemata`, its processes are in `tasks`. One that
//! the configuration makes is removed with the container; one that was there before stays.

use crate::{Error, Result};
use hull_types::oci::runtime::IntelRdt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What a container has to give back, as its record keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Made {
    /// Directories that were made for it, the inner one first.
    pub directories: Vec<PathBuf>,
}

/// Where resctrl is mounted on this host.
pub(crate) fn mount_point() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").ok()?;
    find(&text)
}

fn find(mountinfo: &str) -> Option<PathBuf> {
    let line = mountinfo.lines().find(|line| line.contains(" - resctrl "))?;
    line.split(' ').nth(4).map(PathBuf::from)
}

/// What is wrong with a configuration, wherever it runs.
pub(crate) fn check(wanted: &IntelRdt) -> std::result::Result<(), &'static str> {
    let id = wanted.clos_id.as_str();
    if id == "." || id == ".." || id.contains(['/', '\n', '\0']) {
        return Err("linux.intelRdt.closID is no plain name");
    }
    if lines(wanted).any(|line| line.contains('\n')) {
        return Err("linux.intelRdt: a schema is one line");
    }
    Ok(())
}

fn lines(wanted: &IntelRdt) -> impl Iterator<Item = &String> {
    let older = [&wanted.l3_cache_schema, &wanted.mem_bw_schema];
    wanted.schemata.iter().chain(older.into_iter().filter(|line| !line.is_empty()))
}

/// Puts a process into its class of service; what was made until an error is told all the same.
pub(crate) fn apply(
    root: Option<&Path>,
    wanted: &IntelRdt,
    id: &str,
    pid: i32,
    made: &mut Made,
) -> Result<()> {
    let Some(root) = root else {
        let text = "linux.intelRdt needs a resctrl file system, which is not mounted on this host";
        return Err(Error::InvalidConfig(text.into()));
    };
    let has_lines = lines(wanted).next().is_some();
    let class = match (wanted.clos_id.is_empty(), has_lines) {
        // No class and no limits: the root's class, where only a monitoring group is made.
        (true, false) => root.to_path_buf(),
        (true, true) => root.join(id),
        (false, _) => root.join(&wanted.clos_id),
    };
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source: io::Error| Error::Resctrl { path, source }
    };
    match fs::create_dir(&class) {
        Ok(()) if !has_lines => {
            let _ = fs::remove_dir(&class);
            return Err(failed(&class)(io::ErrorKind::NotFound.into()));
        }
        Ok(()) => made.directories.push(class.clone()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(&class)(error)),
    }
    // Each line by a write of its own: the kernel's answer is for that line then.
    for line in lines(wanted) {
        let path = class.join("schemata");
        put(&path, &format!("{line}\n")).map_err(failed(&path))?;
    }
    let tasks = class.join("tasks");
    put(&tasks, &pid.to_string()).map_err(failed(&tasks))?;
    if wanted.enable_monitoring {
        let group = class.join("mon_groups").join(id);
        fs::create_dir(&group).map_err(failed(&group))?;
        made.directories.insert(0, group.clone());
        let tasks = group.join("tasks");
        put(&tasks, &pid.to_string()).map_err(failed(&tasks))?;
    }
    Ok(())
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    fs::OpenOptions::new().append(true).open(path)?.write_all(text.as_bytes())
}

/// Other limits for a container's own class.
pub(crate) fn update(root: Option<&Path>, made: &Made, l3: &str, bandwidth: &str) -> Result<()> {
    let class = made.directories.last().filter(|_| root.is_some());
    let Some(class) = class else {
        let text = "the container has no class of service of its own: Intel RDT is not in use";
        return Err(Error::InvalidConfig(text.into()));
    };
    let path = class.join("schemata");
    for line in [l3, bandwidth].into_iter().filter(|line| !line.is_empty()) {
        put(&path, &format!("{line}\n")).map_err(|source| Error::Resctrl { path: path.clone(), source })?;
    }
    Ok(())
}

impl Made {
    /// Removes what was made. The kernel moves what is left of processes to the class above.
    pub(crate) fn remove(&self) {
        for directory in &self.directories {
            // One that is gone already is as good.
            let _ = fs::remove_dir(directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that looks like resctrl as far as files go; the kernel fills a new class by itself.
    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        class(root.path());
        class(&root.path().join("gold"));
        root
    }

    fn class(path: &Path) {
        fs::create_dir_all(path.join("mon_groups")).unwrap();
        fs::write(path.join("schemata"), "").unwrap();
        fs::write(path.join("tasks"), "").unwrap();
    }

    fn read(path: PathBuf) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_class_that_is_there_is_joined_and_kept() {
        let root = tree();
        let wanted = IntelRdt {
            clos_id: "gold".into(),
            schemata: vec!["L3:0=f".into(), "MB:0=50".into()],
            l3_cache_schema: "L3:0=3".into(),
            ..IntelRdt::default()
        };
        let mut made = Made::default();
        apply(Some(root.path()), &wanted, "c1", 77, &mut made).unwrap();
        assert_eq!(read(root.path().join("gold/schemata")), "L3:0=f\nMB:0=50\nL3:0=3\n");
        assert_eq!(read(root.path().join("gold/tasks")), "77");
        assert_eq!(made, Made::default(), "it is not ours to remove");
        update(Some(root.path()), &made, "L3:0=1", "").unwrap_err();
    }

    #[test]
    fn a_class_that_is_not_there_is_no_class() {
        let root = tree();
        let mut made = Made::default();
        let wanted = IntelRdt { clos_id: "silver".into(), ..IntelRdt::default() };
        let error = apply(Some(root.path()), &wanted, "c1", 77, &mut made).unwrap_err();
        assert!(error.to_string().contains("silver"), "{error}");
        assert!(!root.path().join("silver").exists());
        let error = apply(None, &wanted, "c1", 77, &mut made).unwrap_err();
        assert!(error.to_string().contains("not mounted"), "{error}");
    }

    #[test]
    fn monitoring_alone_is_in_the_class_that_is_there() {
        let root = tree();
        let wanted = IntelRdt { enable_monitoring: true, ..IntelRdt::default() };
        let mut made = Made::default();
        let result = apply(Some(root.path()), &wanted, "c1", 77, &mut made);
        // An ordinary directory does not grow its files by itself.
        assert!(result.unwrap_err().to_string().contains("mon_groups/c1/tasks"));
        assert_eq!(read(root.path().join("tasks")), "77");
        assert_eq!(made.directories, [root.path().join("mon_groups/c1")]);
        made.remove();
        assert!(!root.path().join("mon_groups/c1").exists());
    }

    #[test]
    fn names_and_lines_are_checked() {
        let named = |name: &str| check(&IntelRdt { clos_id: name.into(), ..IntelRdt::default() });
        named("gold").unwrap();
        for bad in ["..", "a/b", "a\nb"] {
            named(bad).unwrap_err();
        }
        let line = IntelRdt { schemata: vec!["L3:0=f\nMB:0=1".into()], ..IntelRdt::default() };
        check(&line).unwrap_err();
        let text = "25 1 0:22 / /sys/fs/resctrl rw - resctrl resctrl rw\n";
        assert_eq!(find(text), Some("/sys/fs/resctrl".into()));
    }
}
