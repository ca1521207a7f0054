//! Paths that the container cannot read, or cannot write.

use super::Init;
use super::mounts::{Mounted, make_read_only};
use crate::failure::{During, Failure, Step};
use hull_sys::mount::{self, Attributes, Change, FileSystem};
use hull_sys::{InRoot, rustix};
use rustix::fs::FileType;
use std::io;
use std::os::fd::OwnedFd;

impl Init<'_> {
    /// The last changes to the mounts: what is masked, read-only, and the root's own state.
    pub(super) fn guard_paths(&self, root: &InRoot, mounted: &Mounted) -> Step<()> {
        if let Some(dev) = &mounted.read_only_dev {
            let change = Change { set: Attributes::MOUNT_ATTR_RDONLY, ..Change::default() };
            mount::change(dev, change, false).during("cannot make /dev read-only")?;
        }
        for path in &self.linux.readonly_paths {
            match mounted.open_guarded(root, path) {
                Err(error) if is_missing(&error) => {}
                result => {
                    result.and_then(make_read_only).during(format_args!("cannot make {path:?} read-only"))?
                }
            }
        }
        let mut covers = Covers::default();
        for path in &self.linux.masked_paths {
            covers.mask(root, mounted, path).during(format_args!("cannot mask {path:?}"))?;
        }
        self.finish_root(root)
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// What is put over masked paths.
#[derive(Default)]
struct Covers {
    null: Option<OwnedFd>,
    /// One empty tmpfs, copied for each directory.
    empty: Option<OwnedFd>,
}

impl Covers {
    fn mask(&mut self, root: &InRoot, mounted: &Mounted, path: &str) -> Step<()> {
        let target = match mounted.open_guarded(root, path) {
            Err(error) if is_missing(&error) => return Ok(()),
            result => result.during("open")?,
        };
        let stat = rustix::fs::fstat(&target).during("stat")?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return self.mask_directory(&target);
        }
        let null = match &self.null {
            Some(null) => null,
            None => self.null.insert(open_null(root)?),
        };
        let copy = mount::clone_tree_at(null, false).during("copy /dev/null")?;
        mount::attach(copy, &target).during("mount")
    }

    fn mask_directory(&mut self, target: &OwnedFd) -> Step<()> {
        if let Some(empty) = &self.empty {
            let copy = mount::clone_tree_at(empty, false).during("copy an empty directory")?;
            return mount::attach(copy, target).during("mount");
        }
        let context = FileSystem::open("tmpfs").during("tmpfs")?;
        context.set("source", "tmpfs").and_then(|()| context.set("nr_blocks", "1")).during("tmpfs")?;
        let empty = context.mount(Attributes::MOUNT_ATTR_RDONLY).during("tmpfs")?;
        mount::attach(&empty, target).during("mount")?;
        self.empty = Some(empty);
        Ok(())
    }
}

/// The container's `/dev/null`, and nothing that only stands in its place (CVE-2025-31133): bound over a masked
/// path, another file could be written through it.
fn open_null(root: &InRoot) -> Step<OwnedFd> {
    let null = root.open_path_nofollow("/dev/null").during("open /dev/null")?;
    let stat = rustix::fs::fstat(&null).during("stat /dev/null")?;
    let numbers = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice || numbers != (1, 3) {
        return Err(Failure("/dev/null is not the null device".into()));
    }
    Ok(null)
}
