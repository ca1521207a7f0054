//! Namespaces: joined, and given what new ones lack.

use super::Init;
use crate::config::Namespaces;
use crate::failure::{During, Failure, Step};
use crate::{Error, Result};
use hull_sys::{namespace, process, rustix};
use std::ffi::CString;
use std::fs::File;
use std::os::fd::OwnedFd;

/// A namespace that is to be joined.
pub(crate) struct Joined {
    pub kind: String,
    pub flag: u64,
    pub fd: OwnedFd,
}

/// Opens the namespaces that are to be joined.
pub(crate) fn open_joined(namespaces: &Namespaces) -> Result<Vec<Joined>> {
    let open = |(kind, flag, path): &(String, u64, String)| match File::open(path) {
        Ok(file) => Ok(Joined { kind: kind.clone(), flag: *flag, fd: file.into() }),
        Err(source) => Err(Error::JoinNamespace { kind: kind.clone(), path: path.clone(), source }),
    };
    namespaces.joined.iter().map(open).collect()
}

/// Whether a new time namespace is made after the fork, so that its clocks can be set before it is entered.
pub(crate) fn has_time_offsets(namespaces: &Namespaces) -> bool {
    namespaces.makes(namespace::TIME)
}

/// The number of an execution domain.
pub(crate) fn personality(domain: &str) -> Option<u32> {
    match domain {
        "LINUX" => Some(0),
        "LINUX32" => Some(8),
        _ => None,
    }
}

/// A session keyring of the container's own, so that it does not hold the host's keys. Kernels may have none.
pub(crate) fn join_keyring(id: &str) {
    if let Ok(name) = CString::new(format!("_ses.{id}")) {
        let _ = process::new_session_keyring(&name);
    }
}

impl Init<'_> {
    /// Joins those that are given, waits for the user namespace's maps, and sets up the new ones.
    pub(super) fn enter_namespaces(&self) -> Step<()> {
        // The user namespace first: it may own the others. The pid namespace was the parent's to join.
        let (owner, others): (Vec<&Joined>, Vec<&Joined>) =
            self.joined.iter().partition(|joined| joined.flag == namespace::USER);
        for target in owner.into_iter().chain(others).filter(|joined| joined.flag != namespace::PID) {
            namespace::join(&target.fd, target.flag)
                .during(format_args!("cannot join the {} namespace", target.kind))?;
        }
        if self.namespaces.makes(namespace::USER) && !self.options.rootless {
            self.channel.await_maps()?;
        }
        if self.namespaces.has(namespace::USER) {
            process::set_group(0).during("cannot become the user namespace's root")?;
            process::set_user(0).during("cannot become the user namespace's root")?;
        }
        if self.namespaces.makes(namespace::TIME) {
            self.make_time_namespace()?;
        }
        if self.namespaces.makes(namespace::NETWORK) {
            process::loopback_up().during("cannot bring up the loopback interface")?;
        }
        self.set_names()
    }

    fn set_names(&self) -> Step<()> {
        let (host, domain) = (&self.spec.hostname, &self.spec.domainname);
        if !host.is_empty() {
            let what = format_args!("sethostname {host:?}");
            rustix::system::sethostname(host.as_bytes()).during(what)?;
        }
        if !domain.is_empty() {
            let what = format_args!("setdomainname {domain:?}");
            rustix::system::setdomainname(domain.as_bytes()).during(what)?;
        }
        Ok(())
    }

    /// The clocks of a time namespace can be set only while no process is in it: it is made for children, set, and
    /// then entered.
    fn make_time_namespace(&self) -> Step<()> {
        namespace::unshare(namespace::TIME).during("cannot make a time namespace")?;
        let mut lines = String::new();
        for (clock, offset) in &self.linux.time_offsets {
            if clock != "monotonic" && clock != "boottime" {
                return Err(Failure(format!("invalid time namespace clock {clock:?}")));
            }
            lines.push_str(&format!("{clock} {} {}\n", offset.secs, offset.nanosecs));
        }
        // In a user namespace the files of an undumpable process are not its own. Nobody is in the container yet.
        process::set_dumpable(true).during("cannot become dumpable")?;
        if !lines.is_empty() {
            std::fs::write("/proc/self/timens_offsets", lines)
                .during("cannot set the time namespace's clocks")?;
        }
        let own = File::open("/proc/self/ns/time_for_children").during("cannot open the time namespace")?;
        process::set_dumpable(false).during("cannot become undumpable")?;
        namespace::join(own, namespace::TIME).during("cannot enter the time namespace")
    }
}
