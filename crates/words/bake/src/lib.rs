//! Bake files: what `hull bake` and `docker buildx bake` are to build.
//!
//! ```text
//!   *.hcl  ─┐                                      --set, names asked for
//!   *.json ─┼─▶ Definition ─▶ World (lazy values) ─▶ targets, matrix ─▶ merge, inherit ─▶ Plan
//!   *.yaml ─┘   (unevaluated)                                                             (= --print)
//! ```
//!
//! A definition is HCL as buildx reads it: `variable`, `function`, `group` and `target` blocks and global attributes.
//! JSON is the same in HCL's JSON form: strings are templates. A compose file's services with a `build` become targets.
//! Files are merged in their order, later ones winning attribute by attribute.
//!
//! # Invariants
//! * Nothing here reads a file or the environment: texts and a look-up of variables come in, a plan goes out.
//! * A value is evaluated when it is first asked for, once; what refers to itself is an error that names the circle.
//!
//! Of buildx's functions `bcrypt`, `md5` and `rsadecrypt` are missing: no build should need them.

mod arguments;
mod compose;
mod definition;
mod dotenv;
mod error;
mod evaluate;
mod functions;
mod names;
mod resolve;
mod target;

pub use arguments::Entry;
pub use error::{Error, Result};
pub use resolve::{Listed, Plan, list, load};
pub use target::{Group, Target};

/// One bake or compose file. What it is follows from its name's end; without one that says it, from its text.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// As it is called in messages.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// What a plan depends on besides the files.
pub struct Options<'a> {
    /// Names of targets and groups, `default` where there are none.
    pub targets: &'a [String],
    /// `--set`: `target.key=value`, `target.key.name=value`, `target.key+=value`; targets may be patterns.
    pub overrides: &'a [String],
    /// `--var` first, then the environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// What `BAKE_LOCAL_PLATFORM` says, such as `linux/amd64`.
    pub platform: &'a str,
    /// What `BAKE_CMD_CONTEXT` says: where the command was given.
    pub command_context: &'a str,
    /// The text of `.env`, whose variables compose files see where the environment does not have them.
    pub dotenv: &'a str,
}

/// The names of files that are read, as far as they are there, when none are given; in this order.
pub const DEFAULT_FILES: &[&str] = &[
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "docker-bake.json",
    "docker-bake.hcl",
    "docker-bake.override.json",
    "docker-bake.override.hcl",
];

#[cfg(test)]
mod tests;
