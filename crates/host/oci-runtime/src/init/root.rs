//! The root: mounted, and made the root.

use super::Init;
use crate::failure::{During, Failure, Step};
use hull_sys::mount::{self, Attributes, Change, Propagation};
use hull_sys::{InRoot, OFlags, rustix};
use std::os::fd::OwnedFd;

/// The propagation type of a word of the configuration.
fn propagation(word: &str) -> Step<Propagation> {
    match word.strip_prefix('r').unwrap_or(word) {
        "private" => Ok(Propagation::Private),
        "slave" => Ok(Propagation::Slave),
        "shared" => Ok(Propagation::Shared),
        "unbindable" => Ok(Propagation::Unbindable),
        _ => Err(Failure(format!("invalid rootfsPropagation {word:?}"))),
    }
}

impl Init<'_> {
    /// Attaches the container's root over the old one, where nobody sees it: paths of the host still start below.
    pub(super) fn attach_root(&self) -> Step<InRoot> {
        let outer = match self.linux.rootfs_propagation.as_str() {
            // Unmounts of the host's still come in until the old root is let go, but nothing goes out.
            "" => Propagation::Slave,
            word => match propagation(word)? {
                // Of what cannot be copied there would be no root to make.
                Propagation::Unbindable => Propagation::Private,
                other => other,
            },
        };
        mount::set_root_propagation(outer, true).during("cannot set the propagation of the old root")?;
        let tree = self.root_mount()?;
        if outer == Propagation::Shared {
            // What is mounted on a shared mount would appear on the host.
            mount::set_root_propagation(Propagation::Private, false)
                .during("cannot make the old root private")?;
        }
        let private = Change { propagation: Some(Propagation::Private), ..Change::default() };
        mount::change(&tree, private, false).during("cannot make the root private")?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let old = rustix::fs::open(c"/", flags, rustix::fs::Mode::empty());
        mount::attach(&tree, old.during("cannot open the old root")?).during("cannot attach the root")?;
        Ok(InRoot::new(tree))
    }

    fn root_mount(&self) -> Step<OwnedFd> {
        if let Some(mounted) = &self.mounted {
            return mounted.try_clone().during("cannot copy the root's descriptor");
        }
        if let Some(rootfs) = &self.options.rootfs {
            return hull_sys::mount_rootfs(rootfs, &self.options.layers)
                .during("cannot mount the root file system");
        }
        let path = self.spec.root.as_ref().map(|root| self.bundle.join(&root.path)).unwrap_or_default();
        let tree =
            mount::clone_tree(&path, true).during(format_args!("cannot open the root {}", path.display()))?;
        let stat = rustix::fs::fstat(&tree).during("cannot look at the root")?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::Directory {
            return Err(Failure(format!("the root {} is not a directory", path.display())));
        }
        Ok(tree)
    }

    /// Makes the root read-only and sets its propagation, as configured.
    pub(super) fn finish_root(&self, root: &InRoot) -> Step<()> {
        if !self.linux.rootfs_propagation.is_empty() {
            let wanted = propagation(&self.linux.rootfs_propagation)?;
            let change = Change { propagation: Some(wanted), ..Change::default() };
            let recursive = self.linux.rootfs_propagation.starts_with('r');
            mount::change(root.as_fd(), change, recursive).during("cannot set the root's propagation")?;
        }
        if self.spec.root.as_ref().is_some_and(|root| root.readonly) {
            let change = Change { set: Attributes::MOUNT_ATTR_RDONLY, ..Change::default() };
            mount::change(root.as_fd(), change, false).during("cannot make the root read-only")?;
        }
        Ok(())
    }
}

/// Makes the attached root the process's and its namespace's root; the host's files are out of reach then.
pub(super) fn change_root(root: &InRoot, no_pivot: bool) -> Step<()> {
    if !no_pivot {
        return mount::pivot_into(root.as_fd()).during("cannot pivot_root");
    }
    // An initramfs cannot be pivoted away from: the root, which covers it already, becomes the process's.
    let enter = || -> rustix::io::Result<()> {
        rustix::process::fchdir(root.as_fd())?;
        rustix::process::chroot(c".")?;
        rustix::process::chdir(c"/")
    };
    enter().during("cannot change the root")
}
