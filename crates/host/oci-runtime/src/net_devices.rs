//! Network interfaces of the runtime's namespace that are given to the container (`linux.netDevices`).

use crate::{Error, Result};
use hull_netlink::address::Address;
use hull_netlink::{RouteSocket, address, link};
use hull_sys::{namespace, process};
use hull_types::oci::runtime::NetDevice;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

/// What an interface may be called (the kernel's `dev_valid_name`).
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |b: u8| !b.is_ascii_whitespace() && b != b'/' && b != b':';
    !name.is_empty() && name.len() <= link::NAME_MAX && name != "." && name != ".." && name.bytes().all(plain)
}

/// An interface on its way.
struct Moved<'a> {
    name: &'a str,
    addresses: Vec<Address>,
}

/// Moves interfaces into a network namespace, under their new names, and sets them up there with the addresses that
/// they had: those that were set for good and hold everywhere.
pub(crate) fn give(devices: &BTreeMap<String, NetDevice>, namespace: &OwnedFd) -> Result<()> {
    let mut here = RouteSocket::open().map_err(|error| failed("", error))?;
    let all = here.addresses().map_err(|error| failed("", error))?;
    let mut moved = Vec::with_capacity(devices.len());
    for (name, device) in devices {
        let found = here.link_by_name(name).map_err(|error| failed(name, error))?;
        let Some(found) = found else { return Err(failed(name, "no such network device")) };
        let new = if device.name.is_empty() { name } else { &device.name };
        here.run(link::move_to(found.index, namespace.as_fd(), new)).map_err(|error| failed(name, error))?;
        let kept = |address: &&Address| address.index == found.index && address.is_permanent_and_global;
        moved.push(Moved { name: new, addresses: all.iter().filter(kept).copied().collect() });
    }
    let mut there = socket_in(namespace)?;
    moved.iter().try_for_each(|device| set_up(&mut there, device))
}

fn set_up(there: &mut RouteSocket, device: &Moved<'_>) -> Result<()> {
    let failed = |error| failed(device.name, error);
    let found = there.link_by_name(device.name).map_err(failed)?;
    let Some(found) = found else { return Err(Error::NetDevice(device.name.into(), "it went away".into())) };
    let mut requests: Vec<_> =
        device.addresses.iter().map(|kept| address::add(found.index, kept.address, kept.prefix)).collect();
    requests.push(link::set_up(found.index, true));
    there.execute(&requests).map_err(failed)
}

/// A socket stays in the namespace that it was opened in: the caller is there for one moment only.
fn socket_in(target: &OwnedFd) -> Result<RouteSocket> {
    let own = File::open("/proc/self/ns/net").map_err(|error| failed("", error))?;
    namespace::join(target, namespace::NETWORK).map_err(|error| failed("", error))?;
    let socket = RouteSocket::open();
    if namespace::join(&own, namespace::NETWORK).is_err() {
        // What the caller does next would happen in the container.
        process::exit(255);
    }
    socket.map_err(|error| failed("", error))
}

fn failed(name: &str, why: impl std::fmt::Display) -> Error {
    Error::NetDevice(name.into(), why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_kernels() {
        for good in ["eth0", "a.b-c_d", "123456789012345"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "1234567890123456"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
