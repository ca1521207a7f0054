//! Commands of the group `manifest`: lists of images for several platforms, put together here and pushed.
//!
//! These talk to registries by themselves, as Docker's do: no engine is asked. The lists under way are files in
//! `<configuration>/manifests`, in Docker's own layout, so that both programs can work on one.

mod annotate;
mod create;
mod image_tools;
mod inspect;
mod push;
mod registry;
mod remove;
mod store;

pub use image_tools::GROUP as IMAGE_TOOLS;

use crate::command::{Action, Arguments, Command, Entry, Section};
use crate::failure::Failure;
use hull_types::ImageRef;

/// The group's commands.
pub const COMMANDS: &[Entry] = &[Entry::new("manifest", &GROUP).section(Section::Management)];

static GROUP: Command = Command {
    usage: "COMMAND",
    about: "Manage Docker image manifests and manifest lists",
    names: &[],
    flags: &[],
    arguments: Arguments::Any,
    interspersed: true,
    action: Action::Group(&[
        Entry::new("annotate", &annotate::ANNOTATE),
        Entry::new("create", &create::CREATE),
        Entry::new("inspect", &inspect::INSPECT),
        Entry::new("push", &push::PUSH),
        Entry::new("rm", &remove::REMOVE),
    ]),
};

/// The name that a person means, with `latest` where no tag is given.
fn name(text: &str) -> Result<ImageRef, Failure> {
    let name: ImageRef = text.parse().map_err(|error| Failure::new(format!("{error}")))?;
    Ok(name.or_latest())
}

/// The whole name, registry and tag included, as it is kept.
fn full(name: &ImageRef) -> String {
    let suffix = match (name.tag(), name.digest()) {
        (_, Some(digest)) => format!("@{digest}"),
        (Some(tag), None) => format!(":{tag}"),
        (None, None) => String::new(),
    };
    format!("{}{suffix}", name.repository())
}
