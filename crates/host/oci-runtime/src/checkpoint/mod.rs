//! `checkpoint` and `restore`: a container's processes as files, and back, by CRIU where it is installed.
//!
//! ```text
//!   checkpoint ─ descriptors.json ─ criu dump ─────────────────────────────▶ image directory; the container goes
//!   restore    ─ state dir, cgroup ─ clone3 ─ root at a path of its own ─ criu restore ─▶ state.json: running
//! ```
//!
//! What the container has of the host is told to CRIU as external: bind mounts by their destination, joined network
//! namespaces, and the three streams, which `restore` has anew. Groups are dumped relative to the container's own, so
//! that it may come back under another id. A terminal's other end is in another process: it cannot be kept.

mod arguments;
mod dump;
mod restore;

pub use arguments::CriuOptions;
pub use dump::checkpoint;
pub use restore::{RestoreOptions, restore};

use crate::{Error, Result};
use hull_types::oci::runtime::{Linux, Spec};
use std::fs;
use std::path::Path;

/// The name under which a joined network namespace is known in an image.
const NETWORK: &str = "hull-network";
/// The streams' names in an image, as a list.
const DESCRIPTORS: &str = "descriptors.json";

/// Destinations and sources of the bind mounts.
fn bind_mounts<'a>(spec: &'a Spec, bundle: &Path) -> Vec<(&'a str, String)> {
    let is_bind = |options: &[String]| options.iter().any(|word| word == "bind" || word == "rbind");
    let bound = spec.mounts.iter().filter(|mount| mount.kind == "bind" || is_bind(&mount.options));
    let place = |source: &str| bundle.join(source).display().to_string();
    bound.map(|mount| (mount.destination.as_str(), place(&mount.source))).collect()
}

/// The path of a network namespace that was joined.
fn joined_network(linux: &Linux) -> Option<&str> {
    let network = linux.namespaces.iter().find(|namespace| namespace.kind == "network")?;
    Some(network.path.as_str()).filter(|path| !path.is_empty())
}

/// What CRIU said of its failure: the last error of its log.
fn failure(act: &'static str, log: &Path, status: i32) -> Error {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    // Raising its own limits is tried, and done without.
    let errors = text.lines().filter(|line| line.contains("Error (") && !line.contains("rlimit:"));
    let said: Vec<&str> = errors.map(|line| line.split_once("): ").map_or(line, |(_, said)| said)).collect();
    let reason = match said.as_slice() {
        [] => format!("it ended with status {status}"),
        [.., last] if said.len() == 1 => (*last).to_owned(),
        [first, .., last] => format!("{first}; {last}"),
        [only] => (*only).to_owned(),
    };
    Error::Criu { act, reason, log: log.into() }
}

fn check_terminal(spec: &Spec) -> Result<()> {
    if spec.process.as_ref().is_some_and(|process| process.terminal) {
        let text =
            "a container with a terminal cannot be checkpointed: its other end is not in the container";
        return Err(Error::InvalidConfig(text.into()));
    }
    Ok(())
}
