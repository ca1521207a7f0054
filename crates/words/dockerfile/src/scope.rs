//! Which variables an instruction sees: ARG and ENV of its stage, and what is predefined.

use crate::instruction::{Argument, Dockerfile, Instruction};
use std::collections::BTreeMap;

/// Proxy settings: a RUN gets them without ARG, and neither history nor cache key knows them.
pub const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// The arguments that say for what is built.
pub const PLATFORM: [&str; 9] = [
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDOSVERSION",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETARCH",
    "TARGETVARIANT",
];

/// Arguments that the builder itself reads.
pub const BUILDER: [&str; 10] = [
    "BUILDKIT_BUILD_NAME",
    "BUILDKIT_CACHE_MOUNT_NS",
    "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
    "BUILDKIT_DOCKERFILE_CHECK",
    "BUILDKIT_INLINE_CACHE",
    "BUILDKIT_MULTI_PLATFORM",
    "BUILDKIT_SANDBOX_HOSTNAME",
    "BUILDKIT_SYNTAX",
    "SOURCE_DATE_EPOCH",
    "TARGETSTAGE",
];

/// The values of arguments that stand before the first FROM, and those that are predefined.
#[derive(Debug, Clone, Default)]
pub struct Globals {
    /// Predefined: platforms and the stage's name.
    pub predefined: BTreeMap<String, String>,
    /// What the client gave.
    pub given: BTreeMap<String, String>,
    /// What the file declares, with the value that holds.
    pub declared: BTreeMap<String, Option<String>>,
}

/// The variables at one point of a stage.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// ENV in order, the base image's included.
    pub env: Vec<(String, String)>,
    /// ARG in the order of their declaration, with the value that holds.
    pub args: Vec<(String, Option<String>)>,
}

impl Globals {
    /// Evaluates the arguments before the first FROM.
    pub fn of(
        file: &Dockerfile,
        given: &BTreeMap<String, String>,
        predefined: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        let mut globals =
            Self { predefined: predefined.clone(), given: given.clone(), declared: BTreeMap::new() };
        let expander = crate::Expander::new(file.directives.escape);
        for step in &file.arguments {
            let Instruction::Arg(arguments) = &step.instruction else { continue };
            for argument in arguments {
                let value = match (globals.given.get(&argument.name), &argument.default) {
                    (Some(value), _) => Some(value.clone()),
                    (None, Some(text)) => Some(expander.expand(text, &|name| globals.get(name))?.text),
                    (None, None) => globals.predefined.get(&argument.name).cloned(),
                };
                globals.declared.insert(argument.name.clone(), value);
            }
        }
        Ok(globals)
    }

    /// What FROM and the like see.
    pub fn get(&self, name: &str) -> Option<String> {
        match self.declared.get(name) {
            Some(value) => value.clone(),
            None => self.predefined.get(name).cloned(),
        }
    }
}

impl Scope {
    /// The beginning of a stage on an image with this environment (`NAME=value`).
    pub fn new(env: &[String]) -> Self {
        let mut scope = Self::default();
        for entry in env {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            scope.set_env(name, value);
        }
        scope
    }

    /// ENV goes before ARG.
    pub fn get(&self, name: &str) -> Option<String> {
        let env = self.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        env.or_else(|| self.args.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.clone()))
    }

    /// ENV.
    pub fn set_env(&mut self, name: &str, value: &str) {
        match self.env.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value.to_owned(),
            None => self.env.push((name.to_owned(), value.to_owned())),
        }
    }

    /// ARG: its value is the client's, or the default, or the one before the first FROM.
    pub fn declare(
        &mut self,
        argument: &Argument,
        default: Option<String>,
        globals: &Globals,
    ) -> Option<String> {
        let name = &argument.name;
        let value = globals
            .given
            .get(name)
            .cloned()
            .or(default)
            .or_else(|| globals.declared.get(name).cloned().flatten())
            .or_else(|| globals.predefined.get(name).cloned());
        self.args.retain(|(known, _)| known != name);
        self.args.push((name.clone(), value.clone()));
        value
    }

    /// The environment as `NAME=value`.
    pub fn environment(&self) -> Vec<String> {
        self.env.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }
}
