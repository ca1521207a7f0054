//! The container's view of its cgroups.

use super::Init;
use crate::failure::{During, Step};
use crate::mount_options::MountOptions;
use hull_sys::mount::{self, Change, FileSystem};
use hull_sys::rustix::fs::Mode as RawMode;
use hull_sys::{InRoot, Mode, rustix};
use hull_types::oci::runtime::Mount;

impl Init<'_> {
    /// Mounts the container's own group, and nothing above it: on version 2 the group itself, on version 1 a tmpfs
    /// with the group of each hierarchy. A copy of the group's directory shows the same as a mount made inside a
    /// cgroup namespace, and needs none.
    pub(super) fn mount_cgroup(&self, root: &InRoot, mount: &Mount, options: &MountOptions) -> Step<()> {
        // The directories are the parent's to make; it makes them meanwhile.
        self.await_go()?;
        let target =
            root.mkdir_all(&mount.destination, Mode::from_raw_mode(0o755)).during("create mountpoint")?;
        // One who is not root may have no group at all; the empty tmpfs then covers the host's.
        if let (true, Some(group)) = (self.cgroup.is_unified(), self.cgroup.unified()) {
            let tree = mount::clone_tree(group, false).during(group.display())?;
            mount::change(&tree, options.own, false).during("set attributes")?;
            return mount::attach(&tree, &target).during("mount");
        }
        let context = FileSystem::open("tmpfs").during("tmpfs")?;
        context.set("source", "tmpfs").and_then(|()| context.set("mode", "755")).during("tmpfs")?;
        let writable = options.own.set - mount::Attributes::MOUNT_ATTR_RDONLY;
        let tmpfs = context.mount(writable).during("tmpfs")?;
        mount::attach(&tmpfs, &target).during("mount")?;
        for hierarchy in self.cgroup.directories() {
            self.mount_hierarchy(&tmpfs, hierarchy, options)?;
        }
        if options.is_read_only() {
            let change = Change { set: mount::Attributes::MOUNT_ATTR_RDONLY, ..Change::default() };
            mount::change(&tmpfs, change, false).during("set read-only")?;
        }
        Ok(())
    }

    fn mount_hierarchy(
        &self,
        tmpfs: &std::os::fd::OwnedFd,
        hierarchy: &hull_cgroup::Hierarchy,
        options: &MountOptions,
    ) -> Step<()> {
        let group = &hierarchy.mount_point;
        // The hierarchy's name is what its mount point on the host is called.
        let depth = self.cgroup.path().split('/').filter(|part| !part.is_empty()).count();
        let name = group.ancestors().nth(depth).and_then(|host| host.file_name()).unwrap_or_default();
        let mode = RawMode::from_raw_mode(0o755);
        let made = rustix::fs::mkdirat(tmpfs, name, mode);
        made.during(format_args!("mkdir {}", name.display()))?;
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        let place = rustix::fs::openat(tmpfs, name, flags, RawMode::empty());
        let place = place.during("open mountpoint")?;
        let tree = mount::clone_tree(group, false).during(group.display())?;
        mount::change(&tree, options.own, false).during("set attributes")?;
        mount::attach(&tree, place).during("mount")?;
        for controller in hierarchy.controllers.iter().filter(|_| hierarchy.controllers.len() > 1) {
            let controller = controller.strip_prefix("name=").unwrap_or(controller);
            match rustix::fs::symlinkat(name, tmpfs, controller) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error).during(format_args!("symlink {controller}")),
            }
        }
        Ok(())
    }
}
