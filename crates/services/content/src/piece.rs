//! The way of a blob's bytes from who brings them to the disk and to who reads them: by blocks of memory that go round.
//!
//! ```text
//!   bytes ─► Writer: block ─► disk, past the page cache ─► Recent ─► Follow ─► Pool
//!     ▲                                                                         │
//!     └──────────────────────────── an empty block ◄────────────────────────────┘
//! ```

use hull_sys::direct::Aligned;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// A block's bytes: a write large enough for the disk, small enough for the processor's cache.
pub(crate) const BLOCK: usize = 256 << 10;
/// How many blocks a reader may be behind before writers wait for it.
pub(crate) const AHEAD: usize = 6;

/// A block that was written.
pub(crate) struct Block {
    pub(crate) offset: u64,
    pub(crate) memory: Aligned,
    pub(crate) length: usize,
}

impl Block {
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.length as u64
    }
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

/// What a reader will read next, still in memory.
pub(crate) type Recent = VecDeque<Block>;

/// Blocks that nobody uses at the moment: memory that was touched before is much faster than new one.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Vec<Aligned>>);

impl Pool {
    pub(crate) fn take(&self) -> Aligned {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| Aligned::new(BLOCK))
    }
    pub(crate) fn give(&self, memory: Aligned) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
    }
    /// Gives the memory back, when nothing comes in any more.
    pub(crate) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Vec::new();
    }
}
