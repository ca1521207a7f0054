//! The filter's notification descriptor on its way to the profile's listener (`linux.seccomp.listenerPath`).
//!
//! From the moment the filter is loaded any system call of the process may wait for the listener, which does not have
//! the descriptor yet: the process cannot send it. A helper without the filter, with which the process shares its table
//! of descriptors, does that.

use super::Filter;
use crate::failure::{During, Failure, Step};
use hull_sys::process::{self, Forked};
use hull_sys::{filter, socket};
use hull_types::oci::runtime::State;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Who gets the descriptor, and what is sent along with it.
pub(crate) struct Listener {
    stream: UnixStream,
    message: Vec<u8>,
}

/// Connects, while the host's files can still be reached. An empty path is no listener.
pub(crate) fn connect(path: &str) -> Step<Option<UnixStream>> {
    if path.is_empty() {
        return Ok(None);
    }
    let what = format_args!("cannot connect to the seccomp listener {path:?}");
    UnixStream::connect(path).during(what).map(Some)
}

impl Listener {
    /// With the specification's "Container Process State".
    pub(crate) fn new(stream: UnixStream, metadata: &str, state: &State, pid: i32) -> Self {
        let version = &state.oci_version;
        let state = serde_json::to_string(state).unwrap_or_default();
        let metadata = serde_json::to_string(metadata).unwrap_or_default();
        let message = format!(
            r#"{{"ociVersion":"{version}","fds":["seccompFd"],"pid":{pid},"metadata":{metadata},"state":{state}}}"#
        );
        Self { stream, message: message.into_bytes() }
    }

    /// Loads the filter and sees its descriptor on its way.
    pub(super) fn load(&self, filter: &Filter) -> Step<()> {
        let what = "cannot send the seccomp listener";
        // The lowest free number is where the kernel will put the descriptor. It is kept while the helper is made.
        let place = self.stream.try_clone().during(what)?;
        let number = place.as_raw_fd();
        match process::clone3(process::SHARE_DESCRIPTORS, None).during(what)? {
            Forked::Child => {
                let sent = self.send_when_there(number);
                process::exit(i32::from(sent.is_err()))
            }
            Forked::Parent { pidfd, .. } => {
                drop(place);
                let loaded = filter::load(&filter.instructions, filter.flags);
                let there = match loaded {
                    Ok(there) => there,
                    Err(error) => {
                        let _ = process::pidfd_send_signal(&pidfd, 9);
                        let _ = process::reap(&pidfd);
                        return Err(error).during("cannot load the seccomp filter");
                    }
                };
                finish(&pidfd, there)
            }
        }
    }

    fn send_when_there(&self, number: RawFd) -> std::io::Result<()> {
        process::set_parent_death_signal(9)?;
        while !filter::is_listener(number) {
            std::thread::sleep(Duration::from_micros(50));
        }
        // It belongs to the process beside this one, which closes it.
        let descriptor = std::mem::ManuallyDrop::new(process::adopt_fd(number)?);
        socket::send(&self.stream, &self.message, &[descriptor.as_fd()])
    }
}

/// Waits for the helper. The listener answers what it is asked from here on; a filter that refuses the waiting leaves
/// an ended child to the program, and no more.
fn finish(helper: &OwnedFd, descriptor: Option<OwnedFd>) -> Step<()> {
    let status = process::reap(helper.as_fd());
    drop(descriptor);
    match status {
        Ok(0) | Err(_) => Ok(()),
        Ok(_) => Err(Failure("cannot send the seccomp listener: the other side hung up".into())),
    }
}
