//! What a container is to be, read from flags: argv → [`ContainerCreateRequest`]. Nothing here talks to an engine;
//! files are read where a flag names one.
//!
//! Each kind of value has a module that reads it, with Docker's words for what is wrong. [`flags`] calls the checks
//! while the command line is read (a wrong value then is a wrong flag, code 125 with the usage line); [`request`]
//! puts the whole together.

pub mod csv;
pub mod devices;
pub mod flags;
pub mod mounts;
pub mod names;
pub mod networks;
pub mod ports;
pub mod request;
pub mod security;
pub mod ulimits;
pub mod variables;
pub mod volumes;

pub use request::{Plan, read};

#[cfg(doc)]
use hull_api_types::ContainerCreateRequest;
