//! User, groups and capabilities.

use crate::failure::{During, Step};
use hull_sys::capability::{self, SYS_ADMIN, Set, Sets};
use hull_sys::process;
use hull_types::oci::runtime::{Capabilities, Process};

/// Who the process is; the capabilities are narrowed to their final sets at the end only.
pub(crate) struct Identity {
    last: Sets,
    ambient: Set,
    /// Whether `CAP_SYS_ADMIN` was kept for the filter.
    kept_admin: bool,
}

impl Identity {
    /// Names in the configuration that no capability has.
    pub(crate) fn unknown_capabilities(process: &Process) -> Vec<String> {
        let Some(sets) = &process.capabilities else { return Vec::new() };
        let all = [&sets.bounding, &sets.effective, &sets.permitted, &sets.inheritable, &sets.ambient];
        let mut unknown: Vec<String> = Vec::new();
        for name in all.iter().flat_map(|names| Set::of(names.iter()).1) {
            if !unknown.iter().any(|known| known == name) {
                unknown.push(name.to_owned());
            }
        }
        unknown
    }

    /// Becomes the user, with the capabilities that are left after it in force, and those for the last steps kept.
    pub(crate) fn take(process: &Process, filtered: bool) -> Step<Self> {
        let none = Capabilities::default();
        let asked = process.capabilities.as_ref().unwrap_or(&none);
        let held = capability::get().during("cannot read capabilities")?.permitted;
        // What the runtime itself does not have it cannot give.
        let set = |names: &[String]| Set(Set::of(names.iter()).0.0 & held.0);
        capability::limit_bounding(set(&asked.bounding)).during("cannot limit the bounding set")?;
        capability::keep_over_user_change(true).during("cannot keep capabilities")?;
        become_user(process)?;
        capability::keep_over_user_change(false).during("cannot clear keep capabilities")?;

        let last = Sets {
            effective: set(&asked.effective),
            permitted: set(&asked.permitted),
            inheritable: set(&asked.inheritable),
        };
        let kept_admin = filtered && !process.no_new_privileges && held.holds(SYS_ADMIN);
        let permitted = if kept_admin { last.permitted.with(SYS_ADMIN) } else { last.permitted };
        capability::set(Sets { permitted, ..last }).during("cannot set capabilities")?;
        Ok(Self { last, ambient: set(&asked.ambient), kept_admin })
    }

    /// What loading a filter needs.
    pub(crate) fn raise_for_filter(&self) -> Step<()> {
        if !self.kept_admin {
            return Ok(());
        }
        let sets = Sets {
            effective: self.last.effective.with(SYS_ADMIN),
            permitted: self.last.permitted.with(SYS_ADMIN),
            inheritable: self.last.inheritable,
        };
        capability::set(sets).during("cannot raise CAP_SYS_ADMIN for the seccomp filter")
    }

    /// The sets as the configuration has them.
    pub(crate) fn make_final(&self) -> Step<()> {
        if self.kept_admin {
            capability::set(self.last).during("cannot set capabilities")?;
        }
        if self.ambient.0 == 0 {
            return Ok(());
        }
        capability::set_ambient(self.ambient).during("cannot set ambient capabilities")
    }
}

fn become_user(process: &Process) -> Step<()> {
    let user = &process.user;
    if may_set_groups() {
        process::set_groups(&user.additional_gids).during("cannot set supplementary groups")?;
    }
    process::set_group(user.gid).during(format_args!("cannot set group {}", user.gid))?;
    process::set_user(user.uid).during(format_args!("cannot set user {}", user.uid))
}

/// An unprivileged user's namespace may forbid it; then there are none to set.
fn may_set_groups() -> bool {
    match process::set_groups(&[]) {
        Err(error) => error.raw_os_error() != Some(1),
        Ok(()) => true,
    }
}
