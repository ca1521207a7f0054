//! The Open Container Initiative's documents as Rust values.

pub mod image;
pub mod runtime;
