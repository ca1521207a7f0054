//! Go's `text/template` language over JSON values: what `--format` takes.
//!
//! `Template::parse(text)?.execute(&value)`: actions, pipelines, variables, `if`/`with`/`range` with `else`, `break` and
//! `continue`, `define`/`template`/`block`, comments and trim markers, Go's built-in functions and docker's
//! (`json split join title lower upper pad truncate`). Error texts are Go's, since people search for them.
//!
//! Values are JSON, so what Go tells by type is told by shape: a map is an object, a struct is one too. A field that an
//! object lacks is an error ([`Missing::Error`], as for Go's structs) or `<no value>` ([`Missing::NoValue`], as for its
//! maps).
//!
//! Must not know: what the values are about, or where the text goes.

mod execute;
mod format;
mod functions;
mod lexer;
mod parser;

use serde_json::Value;

/// A failure to parse or to execute; the text is Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is no template.
    #[error("template: :{line}: {message}")]
    Parse {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// The template can't be carried out on this value.
    #[error("template: :{line}:{column}: executing \"\" at <{at}>: {message}")]
    Execute {
        /// The line, from 1.
        line: usize,
        /// The column, from 0, as Go counts it.
        column: usize,
        /// The part of the template that failed.
        at: String,
        /// Why.
        message: String,
    },
}

/// What a field that an object does not have means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// An error, as for a Go struct or with `missingkey=error`.
    #[default]
    Error,
    /// The text `<no value>`, as for a Go map.
    NoValue,
}

/// A parsed template.
#[derive(Debug, Clone)]
pub struct Template {
    root: Vec<parser::Node>,
    defined: std::collections::BTreeMap<String, Vec<parser::Node>>,
    missing: Missing,
}

impl Template {
    /// Parses a template's text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let parsed = parser::parse(text)?;
        Ok(Self { root: parsed.root, defined: parsed.defined, missing: Missing::default() })
    }

    /// The same template, with this meaning of missing fields.
    pub fn missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }

    /// Carries the template out with `value` as the dot.
    pub fn execute(&self, value: &Value) -> Result<String, Error> {
        execute::Execution::new(&self.defined, self.missing, value).run(&self.root)
    }
}

#[cfg(test)]
mod tests;
