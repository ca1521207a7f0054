//! The Dockerfile language: a text in, instructions with their places out.
//!
//! ```text
//!  text ─lines─► logical lines (continuations, comments, heredocs) ─parse─► Dockerfile { stages { steps } }
//!                                                                              │        │
//!                             lint ◄── rules, each with its place and a fix ◄──┘        └─► hull-build: plan
//!  word + variables ─Expander─► text       Scope, Globals: which variables an instruction sees
//!  .dockerignore ─Ignore─► what of a context is left out       Glob: patterns of COPY and of .dockerignore
//! ```
//!
//! All of the language as BuildKit's Dockerfile frontend 1.20 has it: directives, here-documents, every instruction
//! and flag, every `${…}` form. Texts of errors and names and texts of lint rules are BuildKit's, since clients match
//! them; each error says its file, line, column, and what was expected, and names the nearest valid word.
//!
//! Invariants: nothing here touches a file, a clock or the environment; no input makes it panic, and none makes it
//! slow (patterns are matched with all states at once, substitutions nest to a bound); a step is kept as written:
//! expansion is the caller's, with a [`Scope`].
//!
//! It must not know images, build caches or how a step is executed.

mod arguments;
mod directive;
mod error;
mod expand;
mod flags;
mod heredoc;
mod ignore;
mod instruction;
mod lines;
pub mod lint;
mod mode;
mod mount;
mod parse;
mod pattern;
mod position;
pub mod scope;
mod suggest;

pub use directive::{Check, Directives};
pub use error::{ParseError, Result, excerpt};
pub use expand::{Expanded, Expander, Lookup};
pub use heredoc::Heredoc;
pub use ignore::Ignore;
pub use instruction::{
    Argument, CommandLine, Dockerfile, Healthcheck, Instruction, Pairs, Run, Stage, Step, Transfer, WORDS,
};
pub use mode::{Clause, Mode};
pub use mount::{Mount, MountKind, Sharing};
pub use parse::trigger;
pub use position::{Position, Span};
pub use scope::{Globals, Scope};
pub use suggest::{hint, nearest};
