//! The Open Container Initiative's documents as Rust values.

mod document;
pub mod image;
pub mod runtime;
