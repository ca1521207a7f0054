//! What a process becomes before it runs its program: the same for the first one and for those of `exec`.
//!
//! ```text
//!   before the root changes:  oom_score_adj, security label (they need the host's /proc)
//!   settle:  limits, scheduling, directory, user, capabilities; the program is looked up
//!   launch:  filter, final capabilities, execve
//! ```

mod identity;
mod limits;
mod program;
mod streams;

pub(crate) use identity::Identity;
pub(crate) use limits::{before_root_changes, set_initial_affinity};
pub(crate) use streams::{give_streams, open_console};

use crate::failure::{During, Failure, Step};
use hull_sys::filter::SockFilter;
use hull_sys::{InRoot, filter, process};
use hull_types::oci::runtime::{Process, Seccomp};
use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixStream;

/// A system call filter that is ready to be loaded.
#[derive(Default)]
pub(crate) struct Filter {
    pub instructions: Vec<SockFilter>,
    pub flags: u32,
    /// Who gets the notification descriptor, and what is sent along with it.
    pub listener: Option<(UnixStream, Vec<u8>)>,
}

impl Filter {
    /// Connects to the profile's listener, while the host's files can still be reached.
    pub(crate) fn listener(seccomp: &Seccomp, state: Vec<u8>) -> Step<Option<(UnixStream, Vec<u8>)>> {
        if seccomp.listener_path.is_empty() {
            return Ok(None);
        }
        let path = &seccomp.listener_path;
        let stream =
            UnixStream::connect(path).during(format_args!("cannot connect to seccomp listener {path:?}"))?;
        Ok(Some((stream, state)))
    }

    fn load(&self) -> Step<()> {
        if self.instructions.is_empty() {
            return Ok(());
        }
        let listener =
            filter::load(&self.instructions, self.flags).during("cannot load the seccomp filter")?;
        match (listener, &self.listener) {
            (Some(fd), Some((stream, state))) => {
                use std::os::fd::AsFd;
                hull_sys::socket::send(stream, state, &[fd.as_fd()])
                    .during("cannot send the seccomp listener")
            }
            (Some(_), None) => Err(Failure("seccomp: SCMP_ACT_NOTIFY needs a listenerPath".into())),
            (None, _) => Ok(()),
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
    let (path, text) = if !process.apparmor_profile.is_empty() {
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
