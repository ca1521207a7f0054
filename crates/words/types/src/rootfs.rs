//! What a container's root file system is made of: the value that a snapshot driver hands to the runtime.

use crate::document;
use crate::document::{Choice, Document, Field, Member, Slot};
use serde::Serialize;
use std::path::PathBuf;

/// A root file system to mount: read-only lowers, and an upper directory where the container may write.
///
/// With an `upper` it is an overlay. Without one it is read-only: the single lower, or an overlay of several.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rootfs {
    /// The lower layers, the topmost first. Never empty.
    pub lowers: Vec<Lower>,
    /// Where writes go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upper: Option<PathBuf>,
    /// Overlayfs's working directory, on the same file system as `upper`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work: Option<PathBuf>,
}

impl Rootfs {
    /// The type, in a bundle's configuration, of a mount whose `source` is such a value as JSON: Hull's own, of which
    /// other runtimes don't know.
    pub const MOUNT_TYPE: &'static str = "hull.rootfs";
}

/// One read-only layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lower {
    /// A directory with the layer unpacked in overlayfs's own form.
    Directory(PathBuf),
    /// A file system image that the kernel mounts from files.
    Erofs {
        /// The EROFS image: names, attributes, and where the contents are.
        index: PathBuf,
        /// What its further devices are, in their order: files with contents.
        data: Vec<PathBuf>,
    },
}

impl Lower {
    /// The path that tells of the layer where one is shown: the directory, or the image's file.
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::Directory(path) | Self::Erofs { index: path, .. } => path,
        }
    }
}

impl Default for Lower {
    fn default() -> Self {
        Self::Directory(PathBuf::new())
    }
}

document!(Rootfs {
    "lowers" => lowers,
    "upper" => upper,
    "work" => work,
});

impl Choice for Lower {
    fn choose(&mut self, name: &str) -> Option<Slot<'_>> {
        *self = match name {
            "directory" => Self::default(),
            "erofs" => Self::Erofs { index: PathBuf::new(), data: Vec::new() },
            _ => return None,
        };
        Some(match self {
            Self::Directory(path) => path.slot(),
            Self::Erofs { .. } => Slot::Document(self),
        })
    }
}

/// What an image is made of.
impl Document for Lower {
    fn field(&mut self, name: &str) -> Option<Slot<'_>> {
        match (self, name) {
            (Self::Erofs { index, .. }, "index") => Some(index.slot()),
            (Self::Erofs { data, .. }, "data") => Some(data.slot()),
            _ => None,
        }
    }
}

impl Field for Lower {
    fn slot(&mut self) -> Slot<'_> {
        Slot::Choice(self)
    }
}

impl Member for Lower {}
