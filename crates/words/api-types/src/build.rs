//! Builds by Hull's own routes, which no Docker engine has: only files that the daemon lacks are sent, and what goes on
//! is told step by step.
//!
//! ```text
//!  POST /hull/contexts       ContextManifest ─► ContextAnswer: an id, and which files' contents are missing
//!  POST /hull/contexts/{id}  the missing contents, one after the other, in the manifest's order
//!  POST /hull/build          BuildOptions ─► BuildMessages, one a line; the last is `done` or `error`
//!  DELETE /hull/builds/{id}  a result that was kept is needed no more
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
    /// Only the lint rules are applied.
    pub check_only: bool,
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
