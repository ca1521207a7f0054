//! `build`, and what is kept for the next: `builder prune`.
//!
//! ```text
//!  flags ─options─► BuildOptions        directory ─context─► manifest ─send─► what the daemon lacks
//!        └──────────────► POST /hull/build ─► messages ─► show: plain, rawjson, quiet
//!  an engine without that route: a tar to POST /build (classic)
//! ```

mod call;
mod classic;
mod context;
mod debug;
mod hashes;
mod input;
mod options;
mod output;
mod places;
mod prune;
mod run;
mod send;
mod show;
mod verify;

pub use call::Call;
pub use places::fields;
pub use prune::{PRUNE, prune_cache};
pub use run::{ANSWER, Extra, KEPT, one};
pub use show::{Form, Show};

use crate::buildx;
use crate::command::{Action, Arguments, Command, Entry, Flag, Section};

pub const COMMANDS: &[Entry] = &[
    Entry::new("build", &BUILD).section(Section::Common(4)),
    Entry::new("builder", &BUILDER).section(Section::Management),
];

static BUILDER: Command = Command {
    usage: "COMMAND",
    about: "Manage builds",
    names: &[],
    flags: &[],
    arguments: Arguments::Any,
    interspersed: true,
    action: Action::Group(&[
        Entry::new("build", &BUILD),
        Entry::new("du", &buildx::DISK_USAGE),
        Entry::new("prune", &PRUNE),
    ]),
};

pub static BUILD: Command = Command {
    usage: "[OPTIONS] PATH | URL | -",
    about: "Build an image from a Dockerfile",
    names: &["image build", "build", "builder build"],
    flags: FLAGS,
    arguments: Arguments::Exactly(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(run::build(session, matches))),
};

const FLAGS: &[Flag] = &[
    Flag::list("add-host", "list", "Add a custom host-to-IP mapping (format: \"host:ip\")"),
    Flag::list(
        "allow",
        "stringArray",
        "Allow extra privileged entitlement (e.g., \"network.host\", \"security.insecure\")",
    ),
    Flag::list("annotation", "stringArray", "Add annotation to the image"),
    Flag::list("attest", "stringArray", "Attestation parameters (format: \"type=sbom\")"),
    Flag::list("build-arg", "stringArray", "Set build-time variables"),
    buildx::BUILDER,
    Flag::list("build-context", "stringArray", "Additional build contexts (e.g., name=path)"),
    Flag::list(
        "cache-from",
        "stringArray",
        "External cache sources (e.g., \"user/app:cache\", \"type=local,src=path/to/dir\")",
    ),
    Flag::list(
        "cache-to",
        "stringArray",
        "Cache export destinations (e.g., \"user/app:cache\", \"type=local,dest=path/to/dir\")",
    ),
    Flag::text(
        "call",
        "string",
        "Set method for evaluating build (\"build\", \"check\", \"outline\", \"targets\")",
    )
    .default("build"),
    Flag::text("cgroup-parent", "string", "Set the parent cgroup for the \"RUN\" instructions during build"),
    Flag::switch("check", "Shorthand for \"--call=check\""),
    Flag::switch("compress", "Compress the build context using gzip: it is not sent as an archive").hidden(),
    Flag::text("cpu-period", "int", "Limit the CPU CFS (Completely Fair Scheduler) period")
        .check(crate::check::integer),
    Flag::text("cpu-quota", "int", "Limit the CPU CFS (Completely Fair Scheduler) quota")
        .check(crate::check::integer),
    Flag::text("cpu-shares", "int", "CPU shares (relative weight)").short('c').check(crate::check::integer),
    Flag::text("cpuset-cpus", "string", "CPUs in which to allow execution (0-3, 0,1)"),
    Flag::text("cpuset-mems", "string", "MEMs in which to allow execution (0-3, 0,1)"),
    Flag::switch("debug", "Open a shell in what a step left that failed").short('D'),
    Flag::text("file", "string", "Name of the Dockerfile (Default is \"PATH/Dockerfile\")").short('f'),
    Flag::switch("force-rm", "Always remove intermediate containers").hidden(),
    Flag::text("iidfile", "string", "Write the image ID to the file"),
    Flag::text("isolation", "string", "Container isolation technology").hidden(),
    Flag::list("label", "stringArray", "Set metadata for an image"),
    Flag::switch("load", "Shorthand for \"--output=type=docker\""),
    Flag::text("memory", "bytes", "Memory limit").short('m'),
    Flag::text("memory-swap", "bytes", "Swap limit equal to memory plus swap: -1 to enable unlimited swap"),
    Flag::text("metadata-file", "string", "Write build result metadata to a file"),
    Flag::text("network", "string", "Set the networking mode for the \"RUN\" instructions during build")
        .default("default"),
    Flag::switch("no-cache", "Do not use cache when building the image"),
    Flag::list("no-cache-filter", "stringArray", "Do not cache specified stages"),
    Flag::list("output", "stringArray", "Output destination (format: \"type=local,dest=path\")").short('o'),
    Flag::list("platform", "stringArray", "Set target platform for build"),
    Flag::text(
        "progress",
        "string",
        "Set type of progress output (\"auto\", \"plain\", \"quiet\", \"rawjson\")",
    )
    .default("auto"),
    Flag::text("provenance", "string", "Shorthand for \"--attest=type=provenance\""),
    Flag::switch("pull", "Always attempt to pull all referenced images"),
    Flag::switch("push", "Shorthand for \"--output=type=registry\""),
    Flag::switch("quiet", "Suppress the build output and print image ID on success").short('q'),
    Flag::switch("rm", "Remove intermediate containers after a successful build").default("true").hidden(),
    Flag::text("sbom", "string", "Shorthand for \"--attest=type=sbom\""),
    Flag::list(
        "secret",
        "stringArray",
        "Secret to expose to the build (format: \"id=mysecret[,src=/local/secret]\")",
    ),
    Flag::text("shm-size", "bytes", "Shared memory size for build containers"),
    Flag::list(
        "ssh",
        "stringArray",
        "SSH agent socket to expose to the build (format: \"default|<id>[=<socket>]\")",
    ),
    Flag::list("tag", "stringArray", "Image identifier (format: \"[registry/]repository[:tag]\")").short('t'),
    Flag::text("target", "string", "Set the target build stage to build"),
    Flag::list("ulimit", "ulimit", "Ulimit options").check(crate::container::options::ulimits::check),
    Flag::switch("verify", "Build again without cache, and name the first file that differs"),
];
