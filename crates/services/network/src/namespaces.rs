//! Network namespaces for containers, some of them made ahead.
//!
//! A namespace costs 0.4 ms of a start. A few are kept ready; after one is taken a thread makes up for it, a moment
//! later so that it isn't in the way of the start that took it, and ends. A daemon at rest has no such thread, and
//! one that never started a container has made no namespace.

use std::fs;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hull_netlink::{RouteSocket, link};
use hull_sys::netns;

use crate::{Error, Result};

/// A start takes less; see above.
const OUT_OF_THE_WAY: Duration = Duration::from_millis(25);

/// A namespace with its loopback up and nothing else in it.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub fd: OwnedFd,
    /// A socket that lives in it.
    pub route: RouteSocket,
}

#[derive(Debug, Default)]
struct Pool {
    ready: Vec<Namespace>,
    filling: bool,
}

/// The namespaces made ahead.
#[derive(Debug, Clone)]
pub(crate) struct Namespaces {
    pool: Arc<Mutex<Pool>>,
    target: usize,
}

impl Namespaces {
    /// Keeps `target` ready, once the first was asked for.
    pub fn new(target: usize) -> Self {
        Self { pool: Arc::default(), target }
    }

    /// A namespace, from those ready or made now.
    pub fn take(&self) -> Result<Namespace> {
        let taken = {
            let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = pool.ready.pop();
            if pool.ready.len() < self.target && !pool.filling {
                pool.filling = self.start_filling();
            }
            taken
        };
        taken.map_or_else(create, Ok)
    }

    /// Whether the thread runs.
    fn start_filling(&self) -> bool {
        let (pool, target) = (Arc::clone(&self.pool), self.target);
        let thread = std::thread::Builder::new().name("netns-pool".into()).stack_size(256 << 10);
        thread.spawn(move || fill(&pool, target)).is_ok()
    }
}

fn fill(pool: &Mutex<Pool>, target: usize) {
    loop {
        std::thread::sleep(OUT_OF_THE_WAY);
        let made = create();
        let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
        // Where it fails, the next start tries by itself, and has the reason to tell.
        let failed = made.is_err();
        pool.ready.extend(made);
        if failed || pool.ready.len() >= target {
            pool.filling = false;
            return;
        }
    }
}

fn create() -> Result<Namespace> {
    let failed = |source| Error::Namespace { act: "create", source };
    let prepare = || {
        // Before any interface but the loopback is there, which keeps its ::1.
        // No IPv6 where the network has none: neither by autoconfiguration nor by what a neighbour advertises.
        // A kernel without IPv6 has no such file.
        for (name, value) in [("accept_ra", "0"), ("disable_ipv6", "1")] {
            let written = fs::write(format!("/proc/sys/net/ipv6/conf/default/{name}"), value);
            written.or_else(ignore_missing)?;
        }
        // Where a container reaches its neighbour by a published port, the host would tell it of a shorter way, which
        // bypasses the rewriting of addresses and leads nowhere.
        for interfaces in ["all", "default"] {
            fs::write(format!("/proc/sys/net/ipv4/conf/{interfaces}/accept_redirects"), "0")
                .or_else(ignore_missing)?;
        }
        // Docker's defaults: a container's processes may use low ports and ping without being root.
        fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0").or_else(ignore_missing)?;
        fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647").or_else(ignore_missing)?;
        RouteSocket::open().map_err(std::io::Error::other)
    };
    let (fd, mut route) = netns::create(prepare).map_err(failed)?;
    let kernel = |source| Error::Kernel { network: "loopback".into(), source };
    if let Some(loopback) = route.link_by_name("lo").map_err(kernel)? {
        route.run(link::set_up(loopback.index, true)).map_err(kernel)?;
    }
    Ok(Namespace { fd, route })
}

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
