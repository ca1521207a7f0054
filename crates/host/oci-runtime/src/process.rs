//! What a process becomes before it runs its program: the same for the first one and for those of `exec`.
//!
//! ```text
//!   before the root changes:  oom_score_adj, security label (they need the host's /proc)
//!   settle:  limits, scheduling, directory, user, capabilities; the program is looked up
//!   launch:  filter, final capabilities, execve
//! ```

mod identity;
mod limits;
mod listener;
mod memory_policy;
mod program;
mod streams;

pub(crate) use identity::Identity;
pub(crate) use limits::{before_root_changes, set_initial_affinity};
pub(crate) use listener::{Listener, connect};
pub(crate) use memory_policy::{parse as parse_memory_policy, set as set_memory_policy};
pub(crate) use streams::{give_streams, open_console};

use crate::failure::{During, Failure, Step};
use hull_sys::filter::SockFilter;
use hull_sys::{InRoot, filter, process};
use hull_types::oci::runtime::Process;
use std::ffi::CString;
use std::fs::File;
use std::io::Write;

/// The words of `linux.memoryPolicy.mode`, for `features`.
pub fn memory_policy_modes() -> Vec<String> {
    memory_policy::MODES.iter().map(|word| (*word).to_owned()).collect()
}

/// The words of `linux.memoryPolicy.flags`, for `features`.
pub fn memory_policy_flags() -> Vec<String> {
    memory_policy::FLAGS.iter().map(|(word, _)| (*word).to_owned()).collect()
}

/// A system call filter that is ready to be loaded.
#[derive(Default)]
pub(crate) struct Filter {
    pub instructions: Vec<SockFilter>,
    pub flags: u32,
    /// Who gets the notification descriptor.
    pub listener: Option<Listener>,
}

impl Filter {
    fn load(&self) -> Step<()> {
        match &self.listener {
            _ if self.instructions.is_empty() => Ok(()),
            Some(listener) => listener.load(self),
            None => match filter::load(&self.instructions, self.flags) {
                Ok(None) => Ok(()),
                Ok(Some(_)) => Err(Failure("seccomp: SCMP_ACT_NOTIFY needs a listenerPath".into())),
                Err(error) => Err(error).during("cannot load the seccomp filter"),
            },
        }
    }
}

/// A process that needs only its word to become its program.
pub(crate) struct Settled {
    identity: Identity,
    path: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    no_new_privileges: bool,
    label: Option<(File, String)>,
}

/// Opens what sets the program's security label at its execve: `/proc` is the host's now, and may be anything later.
pub(crate) fn open_label(process: &Process) -> Step<Option<(File, String)>> {
    let has_apparmor = std::path::Path::new("/proc/self/attr/apparmor").exists();
    let profile = &process.apparmor_profile;
    let (path, text) = if !profile.is_empty() && (has_apparmor || profile != "unconfined") {
        ("/proc/self/attr/apparmor/exec", format!("exec {}", process.apparmor_profile))
    } else if !process.selinux_label.is_empty() {
        ("/proc/self/attr/exec", process.selinux_label.clone())
    } else {
        return Ok(None);
    };
    let file = std::fs::OpenOptions::new().write(true).open(path);
    let file = file.during(format_args!("cannot apply the security label {text:?}: {path}"))?;
    Ok(Some((file, text)))
}

/// Everything but the last steps. The calling process's root is the container's.
pub(crate) fn settle(
    process: &Process,
    root: &InRoot,
    label: Option<(File, String)>,
    keep_fds: u32,
    filtered: bool,
) -> Step<Settled> {
    let environment = program::environment(process, root);
    limits::set(process)?;
    program::enter_directory(process, root)?;
    process::close_on_exec_from(3 + keep_fds).during("cannot mark descriptors close-on-exec")?;
    let identity = Identity::take(process, filtered)?;
    let path = program::look_up(&process.args, &environment)?;
    let c_strings = |texts: &[String]| -> Step<Vec<CString>> {
        let all = texts.iter().map(|text| CString::new(text.as_str()));
        all.collect::<Result<_, _>>().map_err(|_| Failure("an argument or variable contains NUL".into()))
    };
    Ok(Settled {
        identity,
        path,
        arguments: c_strings(&process.args)?,
        environment: c_strings(&environment)?,
        no_new_privileges: process.no_new_privileges,
        label,
    })
}

impl Settled {
    /// The last steps. Returns only with what went wrong.
    pub(crate) fn launch(self, filter: &Filter) -> Failure {
        let error = match self.last_steps(filter) {
            Ok(()) => process::execve(&self.path, &self.arguments, &self.environment),
            Err(failure) => return failure,
        };
        let path = self.path.to_string_lossy();
        Failure(format!("exec {path}: {}", crate::failure::reason(&error)))
    }

    /// A filter needs `CAP_SYS_ADMIN`, or no-new-privileges: the first is had before the last capabilities are
    /// dropped, the second is set at the very end.
    fn last_steps(&self, filter: &Filter) -> Step<()> {
        if let Some((file, text)) = &self.label {
            let mut file = file;
            file.write_all(text.as_bytes()).during("cannot apply the security label")?;
        }
        if !self.no_new_privileges {
            self.identity.raise_for_filter()?;
            filter.load()?;
        }
        self.identity.make_final()?;
        if self.no_new_privileges {
            process::set_no_new_privileges().during("cannot set no_new_privs")?;
            filter.load()?;
        }
        Ok(())
    }
}
