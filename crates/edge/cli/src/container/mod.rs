//! Commands about containers: the group `container`, and most of them under the program's name as well.
//!
//! The tables are here; what each command does is in the module named in its `action`.

mod api_socket;
mod copy;
mod create;
mod exec;
pub mod hijacked;
mod lifecycle;
mod list;
mod logs;
pub mod options;
pub mod ports;
mod run;
mod show;
mod start;
mod stats;
mod update;

pub use create::pull;
pub use logs::body_reader;
pub use show::{check_output, check_output_place, save};

use crate::check;
use crate::command::{Action, Arguments, Command, Entry, Flag, FlagKind, Section};

/// The group, and those commands that stand right under the program's name.
pub const COMMANDS: &[Entry] = &[
    Entry::new("container", &GROUP).section(Section::Management),
    Entry::new("attach", &ATTACH),
    Entry::new("commit", &COMMIT),
    Entry::new("cp", &CP),
    Entry::new("create", &CREATE),
    Entry::new("diff", &DIFF),
    Entry::new("exec", &EXEC).section(Section::Common(1)),
    Entry::new("export", &EXPORT),
    Entry::new("kill", &KILL),
    Entry::new("logs", &LOGS),
    Entry::new("ps", &LS).section(Section::Common(2)),
    Entry::new("pause", &PAUSE),
    Entry::new("port", &PORT),
    Entry::new("rename", &RENAME),
    Entry::new("restart", &RESTART),
    Entry::new("rm", &RM),
    Entry::new("run", &RUN).section(Section::Common(0)),
    Entry::new("start", &START),
    Entry::new("stats", &STATS),
    Entry::new("stop", &STOP),
    Entry::new("top", &TOP),
    Entry::new("unpause", &UNPAUSE),
    Entry::new("update", &UPDATE),
    Entry::new("wait", &WAIT),
];

static GROUP: Command = Command {
    usage: "",
    about: "Manage containers",
    names: &[],
    flags: &[],
    arguments: Arguments::Any,
    interspersed: false,
    action: Action::Group(ENTRIES),
};

const ENTRIES: &[Entry] = &[
    Entry::new("attach", &ATTACH),
    Entry::new("commit", &COMMIT),
    Entry::new("cp", &CP),
    Entry::new("create", &CREATE),
    Entry::new("diff", &DIFF),
    Entry::new("exec", &EXEC),
    Entry::new("export", &EXPORT),
    Entry::new("inspect", &INSPECT),
    Entry::new("kill", &KILL),
    Entry::new("logs", &LOGS),
    Entry::new("ls", &LS).aliases(&["list", "ps"]),
    Entry::new("pause", &PAUSE),
    Entry::new("port", &PORT),
    Entry::new("prune", &PRUNE),
    Entry::new("rename", &RENAME),
    Entry::new("restart", &RESTART),
    Entry::new("rm", &RM).aliases(&["remove"]),
    Entry::new("run", &RUN),
    Entry::new("start", &START),
    Entry::new("stats", &STATS),
    Entry::new("stop", &STOP),
    Entry::new("top", &TOP),
    Entry::new("unpause", &UNPAUSE),
    Entry::new("update", &UPDATE),
    Entry::new("wait", &WAIT),
];

static ATTACH: Command = Command {
    usage: "[OPTIONS] CONTAINER",
    about: "Attach local standard input, output, and error streams to a running container",
    names: &["container attach", "attach"],
    flags: &[
        Flag::text("detach-keys", "string", "Override the key sequence for detaching a container"),
        Flag::switch("no-stdin", "Do not attach STDIN"),
        Flag::switch("sig-proxy", "Proxy all received signals to the process").default("true"),
    ],
    arguments: Arguments::Exactly(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(start::attach(session, matches))),
};

static COMMIT: Command = Command {
    usage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    about: "Create a new image from a container's changes",
    names: &["container commit", "commit"],
    flags: &[
        Flag::text("author", "string", "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")")
            .short('a'),
        Flag::list("change", "list", "Apply Dockerfile instruction to the created image").short('c'),
        Flag::text("message", "string", "Commit message").short('m'),
        Flag::switch("pause", "Pause container during commit").short('p').default("true"),
    ],
    arguments: Arguments::Between(1, 2),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(show::commit(session, matches))),
};

static CP: Command = Command {
    usage: "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\t{program} cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    about: "Copy files/folders between a container and the local filesystem\n\nUse '-' as the source to read a tar archive from stdin\nand extract it to a directory destination in a container.\nUse '-' as the destination to stream a tar archive of a\ncontainer source to stdout.",
    names: &["container cp", "cp"],
    flags: &[
    Flag::switch("archive", "Archive mode (copy all uid/gid information)").short('a'),
    Flag::switch("follow-link", "Always follow symbol link in SRC_PATH").short('L'),
    Flag::switch("quiet", "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached").short('q'),
    ],
    arguments: Arguments::Exactly(2),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(copy::copy(session, matches))),
};

static DIFF: Command = Command {
    usage: "CONTAINER",
    about: "Inspect changes to files or directories on a container's filesystem",
    names: &["container diff", "diff"],
    flags: &[],
    arguments: Arguments::Exactly(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(show::diff(session, matches))),
};

static EXEC: Command = Command {
    usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
    about: "Execute a command in a running container",
    names: &["container exec", "exec"],
    flags: &[
        Flag::switch("detach", "Detached mode: run command in the background").short('d'),
        Flag::text("detach-keys", "string", "Override the key sequence for detaching a container"),
        Flag::list("env", "list", "Set environment variables").short('e').check(options::variables::check),
        Flag::list("env-file", "list", "Read in a file of environment variables"),
        Flag::switch("interactive", "Keep STDIN open even if not attached").short('i'),
        Flag::switch("privileged", "Give extended privileges to the command"),
        Flag::switch("tty", "Allocate a pseudo-TTY").short('t'),
        Flag::text("user", "string", "Username or UID (format: \"<name|uid>[:<group|gid>]\")").short('u'),
        Flag::text("workdir", "string", "Working directory inside the container").short('w'),
    ],
    arguments: Arguments::AtLeast(2),
    interspersed: false,
    action: Action::Run(|session, matches| Box::pin(exec::exec(session, matches))),
};

static EXPORT: Command = Command {
    usage: "[OPTIONS] CONTAINER",
    about: "Export a container's filesystem as a tar archive",
    names: &["container export", "export"],
    flags: &[Flag::text("output", "string", "Write to a file, instead of STDOUT").short('o')],
    arguments: Arguments::Exactly(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(show::export(session, matches))),
};

static INSPECT: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Display detailed information on one or more containers",
    names: &[],
    flags: &[crate::list::INSPECT_FLAG, Flag::switch("size", "Display total file sizes").short('s')],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(show::inspect(session, matches))),
};

static KILL: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Kill one or more running containers",
    names: &["container kill", "kill"],
    flags: &[Flag::text("signal", "string", "Signal to send to the container").short('s')],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(lifecycle::kill(session, matches))),
};

static LOGS: Command = Command {
    usage: "[OPTIONS] CONTAINER",
    about: "Fetch the logs of a container",
    names: &["container logs", "logs"],
    flags: &[
        Flag::switch("details", "Show extra details provided to logs"),
        Flag::switch("follow", "Follow log output").short('f'),
        Flag::text(
            "since",
            "string",
            "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)",
        ),
        Flag::text("tail", "string", "Number of lines to show from the end of the logs")
            .short('n')
            .default("all"),
        Flag::switch("timestamps", "Show timestamps").short('t'),
        Flag::text(
            "until",
            "string",
            "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)",
        ),
    ],
    arguments: Arguments::Exactly(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(logs::logs(session, matches))),
};

static LS: Command = Command {
    usage: "[OPTIONS]",
    about: "List containers",
    names: &["container ls", "container list", "container ps", "ps"],
    flags: &[
        Flag::switch("all", "Show all containers (default shows just running)").short('a'),
        Flag::list("filter", "filter", "Filter output based on conditions provided")
            .short('f')
            .check(check::filter),
        crate::list::LIST_FLAG,
        Flag::text("last", "int", "Show n last created containers (includes all states)")
            .short('n')
            .check(check::integer)
            .default("-1"),
        Flag::switch("latest", "Show the latest created container (includes all states)").short('l'),
        Flag::switch("no-trunc", "Don't truncate output"),
        Flag::switch("quiet", "Only display container IDs").short('q'),
        Flag::switch("size", "Display total file sizes").short('s'),
    ],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(list::list(session, matches))),
};

static PAUSE: Command = Command {
    usage: "CONTAINER [CONTAINER...]",
    about: "Pause all processes within one or more containers",
    names: &["container pause", "pause"],
    flags: &[],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(lifecycle::pause(session, matches))),
};

static PORT: Command = Command {
    usage: "CONTAINER [PRIVATE_PORT[/PROTO]]",
    about: "List port mappings or a specific mapping for the container",
    names: &["container port", "port"],
    flags: &[],
    arguments: Arguments::Between(1, 2),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(ports::port(session, matches))),
};

static PRUNE: Command = Command {
    usage: "[OPTIONS]",
    about: "Remove all stopped containers",
    names: &[],
    flags: &[
        Flag::list("filter", "filter", "Provide filter values (e.g. \"until=<timestamp>\")")
            .check(check::filter),
        Flag::switch("force", "Do not prompt for confirmation").short('f'),
    ],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(lifecycle::prune(session, matches))),
};

static RENAME: Command = Command {
    usage: "CONTAINER NEW_NAME",
    about: "Rename a container",
    names: &["container rename", "rename"],
    flags: &[],
    arguments: Arguments::Exactly(2),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(lifecycle::rename(session, matches))),
};

static RESTART: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Restart one or more containers",
    names: &["container restart", "restart"],
    flags: &[
        Flag::text("signal", "string", "Signal to send to the container").short('s'),
        Flag::text("timeout", "int", "Seconds to wait before killing the container")
            .short('t')
            .check(check::integer),
        Flag::alias("time", "timeout", FlagKind::Text).deprecated("use --timeout instead"),
    ],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(lifecycle::restart(session, matches))),
};

static RM: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Remove one or more containers",
    names: &["container rm", "container remove", "rm"],
    flags: &[
        Flag::switch("force", "Force the removal of a running container (uses SIGKILL)").short('f'),
        Flag::switch("link", "Remove the specified link").short('l'),
        Flag::switch("volumes", "Remove anonymous volumes associated with the container").short('v'),
    ],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(lifecycle::remove(session, matches))),
};

static START: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Start one or more stopped containers",
    names: &["container start", "start"],
    flags: &[
        Flag::switch("attach", "Attach STDOUT/STDERR and forward signals").short('a'),
        Flag::text("checkpoint", "string", "Restore from this checkpoint"),
        Flag::text("checkpoint-dir", "string", "Use a custom checkpoint storage directory"),
        Flag::text("detach-keys", "string", "Override the key sequence for detaching a container"),
        Flag::switch("interactive", "Attach container's STDIN").short('i'),
    ],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(start::start(session, matches))),
};

static STATS: Command = Command {
    usage: "[OPTIONS] [CONTAINER...]",
    about: "Display a live stream of container(s) resource usage statistics",
    names: &["container stats", "stats"],
    flags: &[
        Flag::switch("all", "Show all containers (default shows just running)").short('a'),
        crate::list::LIST_FLAG,
        Flag::switch("no-stream", "Disable streaming stats and only pull the first result"),
        Flag::switch("no-trunc", "Do not truncate output"),
    ],
    arguments: Arguments::Any,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(stats::stats(session, matches))),
};

static STOP: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Stop one or more running containers",
    names: &["container stop", "stop"],
    flags: &[
        Flag::text("signal", "string", "Signal to send to the container").short('s'),
        Flag::text("timeout", "int", "Seconds to wait before killing the container")
            .short('t')
            .check(check::integer),
        Flag::alias("time", "timeout", FlagKind::Text).deprecated("use --timeout instead"),
    ],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(lifecycle::stop(session, matches))),
};

static TOP: Command = Command {
    usage: "CONTAINER [ps OPTIONS]",
    about: "Display the running processes of a container",
    names: &["container top", "top"],
    flags: &[],
    arguments: Arguments::AtLeast(1),
    interspersed: false,
    action: Action::Run(|session, matches| Box::pin(show::top(session, matches))),
};

static UNPAUSE: Command = Command {
    usage: "CONTAINER [CONTAINER...]",
    about: "Unpause all processes within one or more containers",
    names: &["container unpause", "unpause"],
    flags: &[],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(lifecycle::unpause(session, matches))),
};

static UPDATE: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Update configuration of one or more containers",
    names: &["container update", "update"],
    flags: &[
        Flag::text(
            "blkio-weight",
            "uint16",
            "Block IO (relative weight), between 10 and 1000, or 0 to disable",
        )
        .check(check::uint16)
        .shown("0"),
        Flag::text("cpu-period", "int", "Limit CPU CFS (Completely Fair Scheduler) period")
            .check(check::integer),
        Flag::text("cpu-quota", "int", "Limit CPU CFS (Completely Fair Scheduler) quota")
            .check(check::integer),
        Flag::text("cpu-rt-period", "int", "Limit the CPU real-time period in microseconds")
            .check(check::integer),
        Flag::text("cpu-rt-runtime", "int", "Limit the CPU real-time runtime in microseconds")
            .check(check::integer),
        Flag::text("cpu-shares", "int", "CPU shares (relative weight)").short('c').check(check::integer),
        Flag::text("cpus", "decimal", "Number of CPUs").check(check::cpus),
        Flag::text("cpuset-cpus", "string", "CPUs in which to allow execution (0-3, 0,1)"),
        Flag::text("cpuset-mems", "string", "MEMs in which to allow execution (0-3, 0,1)"),
        Flag::text("memory", "bytes", "Memory limit").short('m').check(check::bytes),
        Flag::text("memory-reservation", "bytes", "Memory soft limit").check(check::bytes),
        Flag::text(
            "memory-swap",
            "bytes",
            "Swap limit equal to memory plus swap: -1 to enable unlimited swap",
        )
        .check(check::memory_swap),
        Flag::text("pids-limit", "int", "Tune container pids limit (set -1 for unlimited)")
            .check(check::integer),
        Flag::text("restart", "string", "Restart policy to apply when a container exits"),
        Flag::text("kernel-memory", "bytes", "Kernel memory limit (deprecated)").check(check::bytes).hidden(),
    ],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(show::update(session, matches))),
};

static WAIT: Command = Command {
    usage: "CONTAINER [CONTAINER...]",
    about: "Block until one or more containers stop, then print their exit codes",
    names: &["container wait", "wait"],
    flags: &[],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(lifecycle::wait(session, matches))),
};

/// Also another group's: `image run`.
pub static RUN: Command = Command {
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    about: "Create and run a new container from an image",
    names: &["container run", "run"],
    flags: &options::flags::RUN,
    arguments: Arguments::AtLeast(1),
    interspersed: false,
    action: Action::Run(|session, matches| Box::pin(run::run(session, matches))),
};

static CREATE: Command = Command {
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    about: "Create a new container",
    names: &["container create", "create"],
    flags: &options::flags::CREATE,
    arguments: Arguments::AtLeast(1),
    interspersed: false,
    action: Action::Run(|session, matches| Box::pin(create::create(session, matches))),
};
