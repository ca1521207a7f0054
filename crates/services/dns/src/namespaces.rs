//! Acts in the container's network namespace.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use hull_sys::netns;

use crate::{Error, Result};

/// A container's network namespace, from outside.
#[derive(Debug)]
pub(crate) struct Inside {
    namespace: OwnedFd,
}

impl Inside {
    pub(crate) fn of_process(pid: i32) -> Result<Self> {
        let namespace = netns::of_process(pid).map_err(|source| Error::Namespace { pid, source })?;
        Ok(Self { namespace })
    }

    /// Runs `act` there.
    pub(crate) fn run<T>(&self, act: impl FnOnce() -> T) -> io::Result<T> {
        netns::visit(self.namespace.as_fd(), act)
    }
}
