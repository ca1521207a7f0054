//! EROFS images that give a layer's tar the shape of a file system, without copying its contents.
//!
//! ```text
//!  tar ──▶ Archive ──▶ Builder::add(entry, place) … ──▶ Builder::write ──▶ image
//!   ▲                                                                        │ names, attributes, chunk indexes
//!   └──────────────── contents, by the device slot ◀─────────────────────────┘
//! ```
//! The kernel mounts the image with the tar as its further device. What stands in a tar begins at a multiple of 512,
//! so that is the image's block size. The stream is read once; the image is written when it has ended.
//!
//! # Layout of an image
//! ```text
//! 0       zeros
//! 1024    superblock, 128 bytes; the device slot, 128 bytes
//! 1536    what sparse files hold, holes left out as holes of the image's file
//!         inodes, the root first, each at a multiple of 32 (its nid is its place / 32), with its attributes, its chunk
//!         indexes, and the end of what it holds (a directory's last block, a link's text) where that fits in its block
//!         attributes that several inodes have
//!         whole blocks: directories' first ones, long links
//! ```
//! Files' contents are chunk-based, one chunk as a rule. A sparse member's are copied into the image: the parts that
//! its map tells of may begin and end anywhere, and a small one of a large file would make millions of chunks. Directories' blocks hold sorted entries, as the kernel's
//! binary search wants them. An inode is compact (32 bytes) when its time is the image's build time, which is the time
//! that most have, else extended. The same tar makes the same image, its UUID included.
//!
//! # Invariants
//! * A layer's whiteouts are what overlayfs knows: a removed name is a character device 0/0, a directory that hides
//!   what is beneath has `trusted.overlay.opaque=y`. No other attribute of overlayfs's is ever written.
//! * A stranger's tar gives the tree that [`hull_archive::apply`] unpacks from it, or an error as there; names never
//!   lead out of the root. What is held in memory is bounded ([`Limits`]).
//!
//! The format is that of Linux's `fs/erofs/erofs_fs.h`. This crate must not know images, layers' names or mounts.

mod attributes;
mod format;
mod image;
mod layout;
mod read;
mod tree;

pub use image::Summary;
pub use read::{Root, root};
pub use tree::{Builder, Contents, Limits};

use hull_archive::{Archive, Result};
use std::io::{Read, Seek, Write};

/// Reads a tar to its end and writes its image.
pub fn index(tar: impl Read, image: &mut (impl Write + Seek), builder: Builder) -> Result<Summary> {
    let mut builder = builder;
    let mut archive = Archive::new(tar);
    while let Some(entry) = archive.next_entry()? {
        let place = match entry.extents {
            None => Contents::Tar(archive.offset()),
            Some(_) => Contents::Image(builder.expand(&entry, &mut archive, image)?),
        };
        builder.add(&entry, place)?;
    }
    let length = archive.offset();
    archive.drain()?;
    builder.write(length, image)
}
