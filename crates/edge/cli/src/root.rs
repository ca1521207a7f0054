//! All commands: one list per group, each in the group's own module.

use crate::command::Entry;
use crate::{build, buildx, container, context, image, manifest, network, registry, system, volume};

const LISTS: &[&[Entry]] = &[
    container::COMMANDS,
    image::COMMANDS,
    build::COMMANDS,
    buildx::COMMANDS,
    manifest::COMMANDS,
    network::COMMANDS,
    volume::COMMANDS,
    system::COMMANDS,
    context::COMMANDS,
    registry::COMMANDS,
];

/// The commands right under the program's name.
pub fn entries() -> impl Iterator<Item = &'static Entry> + Clone {
    LISTS.iter().flat_map(|list| list.iter())
}
