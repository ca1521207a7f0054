//! A snapshot's root file system as one detached mount.
//!
//! A layer that is an image is mounted once where many use it: two mounts of one image would be two file systems to the
//! kernel, each with inodes and cached pages of its own. [`LayerMounts`] are such mounts; overlayfs takes private copies
//! of them, which share all of that.

use crate::mount::{Attributes, Change, FileSystem, change, clone_tree, clone_tree_at};
use hull_types::{Lower, Rootfs};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Layers that are mounted already, by their images' files. The mounts are detached, and go with their last descriptor.
#[derive(Debug, Clone, Default)]
pub struct LayerMounts(BTreeMap<PathBuf, Arc<OwnedFd>>);

impl LayerMounts {
    /// The mount of an image.
    pub fn get(&self, image: &Path) -> Option<BorrowedFd<'_>> {
        self.0.get(image).map(|mount| mount.as_fd())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Arc<OwnedFd>)> {
        self.0.iter().map(|(image, mount)| (image.as_path(), mount))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(PathBuf, Arc<OwnedFd>)> for LayerMounts {
    fn from_iter<T: IntoIterator<Item = (PathBuf, Arc<OwnedFd>)>>(mounts: T) -> Self {
        let mut all = Self::default();
        all.extend(mounts);
        all
    }
}

impl Extend<(PathBuf, Arc<OwnedFd>)> for LayerMounts {
    fn extend<T: IntoIterator<Item = (PathBuf, Arc<OwnedFd>)>>(&mut self, mounts: T) {
        self.0.extend(mounts);
    }
}

impl IntoIterator for LayerMounts {
    type Item = (PathBuf, Arc<OwnedFd>);
    type IntoIter = std::collections::btree_map::IntoIter<PathBuf, Arc<OwnedFd>>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A detached mount of a snapshot's root file system: with an upper layer an overlay, else read-only.
///
/// The mount is in no namespace until it is attached, and goes with its last descriptor. Layers that `layers` has not
/// are mounted for this root alone.
pub fn mount_rootfs(rootfs: &Rootfs, layers: &LayerMounts) -> io::Result<OwnedFd> {
    if rootfs.lowers.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a root file system needs a layer"));
    }
    if rootfs.upper.is_none()
        && let [only] = rootfs.lowers.as_slice()
    {
        let kept = layers.get(only.path());
        // Before Linux 6.15 a detached mount cannot be copied.
        return kept.and_then(|mount| clone_tree_at(mount, false).ok()).map_or_else(|| mount_lower(only), Ok);
    }
    overlay(rootfs, layers)
}

/// A detached, read-only mount of one layer.
pub fn mount_lower(lower: &Lower) -> io::Result<OwnedFd> {
    match lower {
        Lower::Directory(path) => {
            let mount = clone_tree(path, false)?;
            let read_only = Change { set: Attributes::MOUNT_ATTR_RDONLY, ..Change::default() };
            change(&mount, read_only, false)?;
            Ok(mount)
        }
        Lower::Erofs { index, data } => mount_erofs(index, data),
    }
}

/// A detached mount of an EROFS image in a file, without a loop device: Linux 6.12 and newer.
fn mount_erofs(index: &Path, data: &[PathBuf]) -> io::Result<OwnedFd> {
    let erofs = FileSystem::open("erofs")?;
    erofs.set("source", index)?;
    data.iter().try_for_each(|file| erofs.set("device", file.as_path()))?;
    erofs.set_flag("ro")?;
    erofs.mount(Attributes::MOUNT_ATTR_RDONLY).map_err(|error| {
        io::Error::new(error.kind(), format!("mount the image {}: {error}", index.display()))
    })
}

/// How an overlay's layers are told to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One `lowerdir+` each, by paths of any length: Linux 6.7 and newer.
    Each,
    /// One `lowerdir` for all, which older kernels cut at 255 characters: by descriptors, as their names are short.
    List,
}

fn overlay(rootfs: &Rootfs, layers: &LayerMounts) -> io::Result<OwnedFd> {
    match overlay_by(rootfs, layers, Form::Each) {
        // An older kernel says only at the end that it does not know the option.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => overlay_by(rootfs, layers, Form::List),
        result => result,
    }
}

fn overlay_by(rootfs: &Rootfs, layers: &LayerMounts, form: Form) -> io::Result<OwnedFd> {
    let overlay = FileSystem::open("overlay")?;
    overlay.set("source", "overlay")?;
    // Open until the mount is made: layers are named by these descriptors, or live by them.
    let mut held = Vec::new();
    match form {
        Form::Each => rootfs.lowers.iter().try_for_each(|lower| match lower {
            Lower::Directory(path) => overlay.set("lowerdir+", path.as_path()),
            // By descriptor: Linux 6.13 and newer.
            Lower::Erofs { index, data } => {
                if let Some(mount) = layers.get(index) {
                    return overlay.set_fd("lowerdir+", mount);
                }
                let mount = mount_erofs(index, data)?;
                overlay.set_fd("lowerdir+", &mount)?;
                held.push(mount);
                Ok(())
            }
        })?,
        Form::List => {
            let names: io::Result<Vec<String>> =
                rootfs.lowers.iter().map(|lower| short_name(lower, &mut held)).collect();
            let list = names?.join(":");
            if list.len() > 255 {
                let text = format!("{} layers at once need Linux 6.7 or newer", rootfs.lowers.len());
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            }
            overlay.set("lowerdir", list.as_str())?;
        }
    }
    if let (Some(upper), Some(work)) = (&rootfs.upper, &rootfs.work) {
        overlay.set("upperdir", upper.as_path())?;
        overlay.set("workdir", work.as_path())?;
    }
    // A layer's own redirects are never believed: they could name what the image does not hold.
    overlay.set("redirect_dir", "nofollow")?;
    overlay.set("metacopy", "off")?;
    overlay.set("index", "off")?;
    overlay.mount(Attributes::empty())
}

/// A name of at most 20 characters for a directory, good while its descriptor in `held` is open.
fn short_name(lower: &Lower, held: &mut Vec<OwnedFd>) -> io::Result<String> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let Lower::Directory(path) = lower else {
        let text = "layers that are images need Linux 6.13 or newer";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    };
    let directory = rustix::fs::open(path, flags, rustix::fs::Mode::empty())?;
    let name = format!("/proc/self/fd/{}", directory.as_raw_fd());
    held.push(directory);
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// On kernels before 6.7 the first way fails, and [`overlay`] has to find the second by itself.
    fn stacks(mount: impl Fn(&Rootfs) -> io::Result<OwnedFd>) {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            // Long, as layers' names are: several of them are more than one old option holds.
            let path = folder.path().join(format!("{name}-{}", "0".repeat(100)));
            fs::create_dir(&path).unwrap();
            path
        };
        let lowers: Vec<_> = ["top", "middle", "bottom"].map(make).to_vec();
        for (number, lower) in lowers.iter().enumerate() {
            fs::write(lower.join("shared"), format!("{number}")).unwrap();
            fs::write(lower.join(format!("own-{number}")), "x").unwrap();
        }
        let rootfs = Rootfs {
            lowers: lowers.into_iter().map(Lower::Directory).collect(),
            upper: Some(make("upper")),
            work: Some(make("work")),
        };
        let tree = crate::InRoot::new(mount(&rootfs).unwrap());
        assert_eq!(tree.read("shared", 10).unwrap(), b"0");
        for number in 0..3 {
            assert_eq!(tree.read(format!("own-{number}"), 10).unwrap(), b"x");
        }
        tree.create_file("written", rustix::fs::Mode::from_raw_mode(0o644)).unwrap();
        assert!(rootfs.upper.unwrap().join("written").exists());
    }

    #[test]
    fn layers_are_stacked_on_this_kernel() {
        stacks(|rootfs| mount_rootfs(rootfs, &LayerMounts::default()));
    }

    #[test]
    fn layers_are_stacked_as_older_kernels_want_them() {
        stacks(|rootfs| overlay_by(rootfs, &LayerMounts::default(), Form::List));
    }
}
