//! Builds by Hull's own routes, which no Docker engine has: only files that the daemon lacks are sent, and what goes on
//! is told step by step.
//!
//! ```text
//!  POST /hull/contexts       ContextManifest ─► ContextAnswer: an id, and which files' contents are missing
//!  POST /hull/contexts/{id}  the missing contents, one after the other, in the manifest's order
//!  POST /hull/archives       a context as a tar, compressed or not ─► ContextAnswer
//!  POST /hull/files          some files of a place elsewhere, such as bake files: BuildFiles ─► texts by name
//!  POST /hull/build          BuildOptions ─► BuildMessages, one a line; the last is `done` or `error`
//!  DELETE /hull/builds/{id}  a result that was kept is needed no more
//!  GET  /hull/history        BuildRecords, the newest first
//!  GET  /hull/history/{ref}/log
//!                            what that build said: BuildLogLines, one a line
//!  DELETE /hull/history/{ref}
//!                            forgets it
//!  GET  /hull/tree?top=…     the files of a build without image, as one archive
//!  GET  /hull/results/{id}/{archives|caches}/{n}
//!                            an output or a cache as an OCI layout, for as long as the build's connection is there
//! ```

use crate::{AuthConfig, HostConfig, JsonMessage, Map};
use serde::{Deserialize, Serialize};

/// A directory's files, without their contents.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ContextManifest {
    /// What is the same for each build of the same directory: 64 hexadecimal digits.
    pub name: String,
    /// The files, parents before children.
    pub files: Vec<ContextFile>,
}

/// A file: path, kind (`f`, `d` or `l`), permission bits, size, and its contents' SHA-256 in hexadecimal digits, or
/// where a link leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextFile(pub String, pub char, pub u32, pub u64, pub String);

/// Files of a place elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildFiles {
    /// A URL or git reference.
    pub remote: String,
    /// Their names; one that is not there is left out of the answer. A place that is one file has the name `Dockerfile`.
    pub names: Vec<String>,
}

/// What is to be sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ContextAnswer {
    /// The context, for one build.
    pub id: String,
    /// Indices into the manifest, ascending.
    pub missing: Vec<u32>,
}

/// A build.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildOptions {
    /// The context's id; empty for one without files.
    pub context: String,
    /// A URL or git reference that the daemon gets in place of a context.
    pub remote: String,
    /// What the client calls the context, for the record of the build.
    pub origin: String,
    /// The Dockerfile's text; where empty it is the context's file of that name.
    pub dockerfile: String,
    /// What it is called.
    pub dockerfile_name: String,
    /// Named contexts: an id of a context, or `docker-image://…`, or `hull-build://…` for what another build
    /// came to, or a URL or git reference.
    pub contexts: Map<String>,
    /// The stage.
    pub target: String,
    /// Arguments.
    pub args: Map<String>,
    /// Labels.
    pub labels: Map<String>,
    /// Names.
    pub tags: Vec<String>,
    /// Nothing is cached.
    pub no_cache: bool,
    /// Nothing of these stages is.
    pub no_cache_filter: Vec<String>,
    /// Base images are pulled anew.
    pub pull: bool,
    /// For what is built.
    pub platform: String,
    /// The network of RUN steps.
    pub network: String,
    /// Their limits.
    pub host_config: HostConfig,
    /// Secrets, base64.
    pub secrets: Map<String>,
    /// Sockets of ssh agents on the daemon's machine.
    pub ssh: Map<String>,
    /// Rights.
    pub entitlements: Vec<String>,
    /// Credentials by registry.
    pub auth: Map<AuthConfig>,
    /// What is asked of the Dockerfile in place of a build: `check`, `outline` or `targets`; empty for a build.
    pub call: String,
    /// The `.dockerignore` that the context was sent by, for the lint rules.
    pub ignore: String,
    /// Only the layers are wanted.
    pub without_image: bool,
    /// The result is kept, for builds that have it as a context.
    pub keep: bool,
    /// What a command that failed left becomes an image, to look at.
    pub debug: bool,
    /// For what is built, where that is more than one.
    pub platforms: Vec<String>,
    /// What is made of it; where empty, the image (unless `without_image`).
    pub outputs: Vec<BuildPlace>,
    /// What is attested: `provenance` and `sbom` with their attributes (`mode=max,…`, `false`).
    pub attests: Map<String>,
    /// Where steps' results may be taken from: `registry` with `ref`, `local` with `src` and `context` (an id).
    pub cache_from: Vec<BuildPlace>,
    /// Where they are written to: `registry` with `ref`, `local`, `inline`.
    pub cache_to: Vec<BuildPlace>,
}

/// An output or a cache, as buildx's flags have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildPlace {
    /// `type`.
    pub kind: String,
    /// The others.
    pub attributes: Map<String>,
}

/// What a build came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildResult {
    /// By which outputs are got.
    pub id: String,
    /// By platform.
    pub platforms: Vec<BuildPlatform>,
    /// By output, in the order of [`BuildOptions::outputs`].
    pub outputs: Vec<BuildOutput>,
    /// How many caches are to be got.
    pub caches: usize,
    /// The build's record, where one is kept.
    pub reference: String,
}

/// A build that was, or that is under way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildRecord {
    /// What it is called by.
    pub reference: String,
    /// The context, as the client called it.
    pub context: String,
    /// The Dockerfile.
    pub dockerfile: String,
    /// The stage.
    pub target: String,
    /// The platforms, where they were named.
    pub platforms: Vec<String>,
    /// The image's names.
    pub tags: Vec<String>,
    /// Build arguments.
    pub args: Map<String>,
    /// Labels.
    pub labels: Map<String>,
    /// The network of RUN steps.
    pub network: String,
    /// Whether the cache was left aside.
    pub no_cache: bool,
    /// When it began.
    pub created: hull_types::Timestamp,
    /// When it ended.
    pub completed: Option<hull_types::Timestamp>,
    /// Why it failed; `canceled` is told apart by [`BuildRecord::cancelled`].
    pub error: String,
    /// Whether it was called off.
    pub cancelled: bool,
    /// How many steps began.
    pub steps: u32,
    /// How many ended well.
    pub done: u32,
    /// How many of these were in the cache.
    pub cached: u32,
    /// The image.
    pub image: String,
}

/// Something that a build said, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildLogLine {
    /// Nanoseconds after the build began.
    pub at: u64,
    /// What.
    pub message: BuildMessage,
}

/// One platform's result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildPlatform {
    /// For what.
    pub platform: String,
    /// The topmost layer's chain; empty for none.
    pub top: String,
    /// The configuration's digest.
    pub config: String,
}

/// What an output came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildOutput {
    /// Manifest or index; none for an image that is only here.
    pub descriptor: Option<hull_types::oci::image::Descriptor>,
    /// The digest of the (first) configuration.
    pub config: String,
    /// The names.
    pub names: Vec<String>,
}

/// What a build tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildMessage {
    /// A rule found something.
    Finding(BuildFinding),
    /// A step begins.
    Begin(BuildStep),
    /// A piece of its output.
    Output {
        /// The step.
        step: usize,
        /// Whether it came by standard error.
        stderr: bool,
        /// The text.
        text: String,
    },
    /// The progress of a pull or download.
    Status {
        /// The step.
        step: usize,
        /// As the engine tells it of pulls.
        message: JsonMessage,
    },
    /// A step ended.
    End {
        /// The step.
        step: usize,
        /// Whether its result was there.
        cached: bool,
    },
    /// A step failed; `error` follows.
    Failed {
        /// The step.
        step: usize,
        /// Why.
        error: String,
    },
    /// The result is kept: `hull-build://` and this id.
    Kept(String),
    /// The answer to [`BuildOptions::call`]: [`BuildChecked`], [`BuildOutline`] or [`BuildTargets`].
    Called(serde_json::Value),
    /// The build ended well.
    Done {
        /// The image's id; empty where none was wanted.
        image: String,
        /// The topmost layer's chain; empty for none.
        top: String,
        /// All of it.
        #[serde(default)]
        result: Box<BuildResult>,
    },
    /// The build failed.
    Error(BuildError),
}

/// A step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildStep {
    /// From 0 on.
    pub id: usize,
    /// `[stage 2/5] RUN make`; empty for a step that changes the configuration alone.
    pub name: String,
    /// As written.
    pub text: String,
    /// Its first line.
    pub line: u32,
    /// Its last line.
    pub end_line: u32,
}

/// What a lint rule found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildFinding {
    /// The rule.
    pub rule: String,
    /// What it is about.
    pub description: String,
    /// Where that is explained.
    pub url: String,
    /// What is wrong here.
    pub message: String,
    /// What to write instead.
    pub fix: String,
    /// The first line.
    pub line: u32,
    /// The last line.
    pub end_line: u32,
}

/// Why a build failed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildError {
    /// The text.
    pub message: String,
    /// The exit code of a command that failed; 0 for other failures.
    pub code: i64,
    /// The Dockerfile.
    pub file: String,
    /// The lines of the step, or of the mistake; 0 for none.
    pub line: u32,
    /// Its last line.
    pub end_line: u32,
    /// The lines with those around them.
    pub excerpt: String,
    /// The step as written.
    pub step: String,
    /// An image of what the command left; empty where none was asked for.
    pub image: String,
}

/// What the lint rules found; this and the other answers to calls are in the form of BuildKit's frontends.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildChecked {
    /// What they found.
    pub warnings: Vec<BuildWarning>,
    /// The Dockerfile.
    pub sources: Vec<BuildSource>,
}

/// A finding of a lint rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BuildWarning {
    /// The rule.
    pub rule_name: String,
    /// What it is about.
    pub description: String,
    /// Where that is explained.
    pub url: String,
    /// What is wrong here.
    pub detail: String,
    /// What to write instead: Hull's own field.
    pub fix: String,
    /// Where.
    pub location: BuildLocation,
}

/// A file that an answer speaks of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildSource {
    /// Its name.
    pub filename: String,
    /// `Dockerfile`.
    pub language: String,
    /// Its text, base64.
    pub data: String,
}

/// What a target takes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildOutline {
    /// The stage; empty for one without a name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The comment above it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its build arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<BuildArgument>,
    /// Its secrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<BuildNeed>,
    /// Its ssh agents.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ssh: Vec<BuildNeed>,
    /// The Dockerfile, base64.
    pub sources: Vec<String>,
}

/// A build argument.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildArgument {
    /// Its name.
    pub name: String,
    /// The comment above it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its value in this build.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// Where it is declared.
    pub location: BuildLocation,
}

/// A secret or an ssh agent that a step mounts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildNeed {
    /// Its id.
    pub name: String,
    /// Whether the step fails without it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// Where it is mounted.
    pub location: BuildLocation,
}

/// The stages of a Dockerfile.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildTargets {
    /// In the order of the file.
    pub targets: Vec<BuildTarget>,
    /// The Dockerfile, base64.
    pub sources: Vec<String>,
}

/// A stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildTarget {
    /// Its name, if it has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Whether it is built where nobody names one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    /// The comment above it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What it starts from, as written.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub base: String,
    /// Its platform, as written.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub platform: String,
    /// Where it begins.
    pub location: BuildLocation,
}

/// Lines of a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildLocation {
    /// One range.
    pub ranges: Vec<BuildRange>,
}

/// From one line to another.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildRange {
    /// The first.
    pub start: BuildLine,
    /// The last.
    pub end: BuildLine,
}

/// A line, counted from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildLine {
    /// Its number.
    pub line: u32,
}

impl BuildLocation {
    /// These lines.
    pub fn lines(first: u32, last: u32) -> Self {
        Self { ranges: vec![BuildRange { start: BuildLine { line: first }, end: BuildLine { line: last } }] }
    }

    /// The first and the last line; 0 where there is none.
    pub fn span(&self) -> (u32, u32) {
        self.ranges.first().map_or((0, 0), |range| (range.start.line, range.end.line))
    }
}
