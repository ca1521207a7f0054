//! One member of an archive, whatever header form carried it.

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file; its contents follow.
    File,
    /// A hard link to an earlier member.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// Something else, by its type flag; it may have contents.
    Other(u8),
}

/// A moment: seconds since the epoch and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Time {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// What comes next of a file's contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// These bytes.
    Data(&'a [u8]),
    /// So many zeros that the archive doesn't have.
    Hole(u64),
}

/// A member's description. Names are bytes as the archive has them: neither cleaned nor checked for `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The member's name.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// What a hard or symbolic link leads to.
    pub link: Vec<u8>,
    /// How many bytes the contents have, holes counted; 0 for what can have none.
    pub size: u64,
    /// Of a sparse file: where in it the bytes belong that the archive has, ascending. All else is zeros.
    pub extents: Option<Box<[Extent]>>,
    /// Permission bits with set-id and sticky, 0 to 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time.
    pub mtime: Time,
    /// Access time, where the archive has one.
    pub atime: Option<Time>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    /// An entry owned by root with nothing in it.
    pub fn new(name: impl Into<Vec<u8>>, kind: EntryKind, mode: u32) -> Self {
        Self {
            name: name.into(),
            kind,
            link: Vec::new(),
            size: 0,
            extents: None,
            mode,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            atime: None,
            device: (0, 0),
            xattrs: Vec::new(),
        }
    }
}
