//! The instructions, each with its own type.

use crate::directive::Directives;
use crate::heredoc::Heredoc;
use crate::position::Span;

/// A whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// Its name, as the client gives it.
    pub name: String,
    /// Its text.
    pub source: String,
    /// The directives at its top.
    pub directives: Directives,
    /// The arguments before the first stage.
    pub arguments: Vec<Step>,
    /// The stages.
    pub stages: Vec<Stage>,
}

/// `FROM`, and the steps up to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The name behind AS, in lower case.
    pub name: Option<String>,
    /// The image or stage it starts from, not yet expanded.
    pub base: String,
    /// `--platform`, not yet expanded.
    pub platform: Option<String>,
    /// FROM as a step of its own: its text, words and place.
    pub from: Step,
    /// What follows.
    pub steps: Vec<Step>,
}

/// An instruction, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The lines.
    pub span: Span,
    /// The instruction's word as written.
    pub word: String,
    /// The whole instruction with its continuations joined, without heredocs.
    pub text: String,
    /// The comments right above it.
    pub comments: Vec<String>,
    /// The first empty line among its continuations.
    pub empty_continuation: Option<u32>,
    /// What it says.
    pub instruction: Instruction,
}

/// What an instruction says; arguments are not yet expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// ADD.
    Add(Transfer),
    /// ARG.
    Arg(Vec<Argument>),
    /// CMD.
    Cmd(CommandLine),
    /// COPY.
    Copy(Transfer),
    /// ENTRYPOINT.
    Entrypoint(CommandLine),
    /// ENV.
    Env(Pairs),
    /// EXPOSE.
    Expose(Vec<String>),
    /// FROM, with all its words as written.
    From(Vec<String>),
    /// HEALTHCHECK.
    Healthcheck(Healthcheck),
    /// LABEL.
    Label(Pairs),
    /// MAINTAINER.
    Maintainer(String),
    /// ONBUILD: the instruction that waits, with its heredocs.
    OnBuild(String),
    /// RUN.
    Run(Run),
    /// SHELL.
    Shell(Vec<String>),
    /// STOPSIGNAL.
    StopSignal(String),
    /// USER.
    User(String),
    /// VOLUME.
    Volume(Vec<String>),
    /// WORKDIR.
    Workdir(String),
}

/// The instructions' words.
pub const WORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// `name` or `name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its default.
    pub default: Option<String>,
}

/// `key=value …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs {
    /// Keys and values in order.
    pub pairs: Vec<(String, String)>,
    /// Whether it was written `key value`.
    pub legacy: bool,
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandLine {
    /// One text for a shell, or the words of the JSON form.
    pub words: Vec<String>,
    /// Whether a shell comes before it.
    pub shell: bool,
    /// Its here-documents.
    pub heredocs: Vec<Heredoc>,
}

/// RUN's flags and command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Run {
    /// What runs.
    pub command: CommandLine,
    /// The values of `--mount`, not yet expanded ([`crate::Mount::parse`] reads them then).
    pub mounts: Vec<String>,
    /// `--network`: default, none or host.
    pub network: Option<String>,
    /// `--security`: sandbox or insecure.
    pub security: Option<String>,
    /// The values of `--device`.
    pub devices: Vec<String>,
}

/// COPY and ADD.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transfer {
    /// Paths, patterns, and for ADD URLs and git references.
    pub sources: Vec<String>,
    /// Files whose content stands in the Dockerfile.
    pub inline: Vec<Heredoc>,
    /// Where to.
    pub destination: String,
    /// `--from`.
    pub from: Option<String>,
    /// `--chown`.
    pub chown: Option<String>,
    /// `--chmod`.
    pub chmod: Option<String>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`.
    pub exclude: Vec<String>,
    /// `--keep-git-dir`.
    pub keep_git_dir: bool,
    /// `--checksum`.
    pub checksum: Option<String>,
    /// `--unpack`, where it is given.
    pub unpack: Option<bool>,
}

/// HEALTHCHECK; durations in nanoseconds, zero where not given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", text]`.
    pub test: Vec<String>,
    /// `--interval`.
    pub interval: i64,
    /// `--timeout`.
    pub timeout: i64,
    /// `--start-period`.
    pub start_period: i64,
    /// `--start-interval`.
    pub start_interval: i64,
    /// `--retries`.
    pub retries: i64,
}
