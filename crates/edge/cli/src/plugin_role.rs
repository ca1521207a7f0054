//! Hull as a plugin of the docker CLI: the executable under the name `docker-buildx`.
//!
//! ```text
//!  docker ── docker-cli-plugin-metadata ─► what this is, as JSON
//!         ── [its global flags] buildx WORDS…     docker build, docker bake, docker builder prune come so too
//!         └─ DOCKER_CLI_PLUGIN_SOCKET: a socket whose end says that the user wants no more of it
//! ```
//!
//! Called by hand it takes buildx's words alone (`docker-buildx build .`).

use crate::command::{Action, Command};
use crate::config::ConfigFile;
use crate::endpoint;
use crate::failure::Failure;
use crate::root;
use crate::session::Globals;
use std::io::Read;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

/// The version of buildx whose command line this is; programs ask for a version that is at least so and so.
pub const VERSION: &str = concat!("v0.24.0+hull.", env!("CARGO_PKG_VERSION"));

/// Exit code of a build that was called off, as a shell has it for an interrupt.
const CALLED_OFF: i32 = 130;

/// Whether a program of this name is the plugin.
pub fn is_name(name: &str) -> bool {
    name.rsplit('/').next() == Some("docker-buildx")
}

/// What docker's CLI asks of a plugin before all else, or what shells ask to complete a line.
pub fn answer(words: &[String]) -> Option<String> {
    match words.first().map(String::as_str) {
        Some("docker-cli-plugin-metadata") => {
            let metadata = serde_json::json!({
                "SchemaVersion": "0.1.0",
                "Vendor": "Hull",
                "Version": VERSION,
                "ShortDescription": "Docker Buildx, served by Hull",
                "URL": "https://docs.docker.com/build/",
            });
            Some(format!("{metadata:#}\n"))
        }
        Some("__complete") => Some(complete(&words[1..], true)),
        Some("__completeNoDesc") => Some(complete(&words[1..], false)),
        // No hook of the CLI's is asked for; one that calls nevertheless hears nothing.
        Some("docker-cli-plugin-hooks") => Some(String::new()),
        _ => None,
    }
}

/// The words of a command line of Docker's: called by hand, the command's name is the program's.
pub fn words(given: Vec<String>) -> Vec<String> {
    let by_docker = std::env::var_os("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND").is_some();
    match by_docker || given.first().is_some_and(|word| word == "buildx") {
        true => given,
        false => std::iter::once("buildx".to_owned()).chain(given).collect(),
    }
}

/// Where docker's CLI finds an engine when nobody names one.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// The engine that docker's CLI means where nobody names one.
pub fn complete_globals(globals: &mut Globals) {
    let config = ConfigFile::read(ConfigFile::directory(&globals.config)).ok();
    let name = config.map(|config| endpoint::context_name(globals, &config)).unwrap_or_default();
    let default = name.is_empty() || name == endpoint::DEFAULT_CONTEXT;
    if default && globals.hosts.is_empty() && endpoint::host_variable().is_none() {
        globals.hosts.push(DEFAULT_HOST.to_owned());
        globals.context.clear();
    }
}

/// Ends when docker's CLI wants the plugin to end; never where nothing says so.
pub async fn called_off() -> Failure {
    let Some(mut socket) = socket() else { return std::future::pending().await };
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        // Nothing is ever said on it: it ends.
        while matches!(socket.read(&mut buffer), Ok(read) if read > 0) {}
        let _ = sender.send(());
    });
    let _ = receiver.await;
    Failure::new("ERROR: failed to build: failed to solve: Canceled: context canceled").with_code(CALLED_OFF)
}

fn socket() -> Option<UnixStream> {
    let name = std::env::var("DOCKER_CLI_PLUGIN_SOCKET").ok().filter(|name| !name.is_empty())?;
    match name.strip_prefix('@') {
        Some(name) => UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).ok()?).ok(),
        None => UnixStream::connect(name).ok(),
    }
}

/// Lines for a shell's completion: commands, or flags where a dash has been typed. The last line says that no file
/// names are to be added, or that they are.
fn complete(words: &[String], described: bool) -> String {
    const FILES: &str = ":0\n";
    const NO_FILES: &str = ":4\n";
    let Some((typed, path)) = words.split_last() else { return NO_FILES.into() };
    let mut command: Option<&'static Command> = None;
    for word in path.iter().filter(|word| !word.starts_with('-')) {
        let next = match command.map(|command| &command.action) {
            None => root::entries().find(|entry| entry.answers_to(word)),
            Some(Action::Group(entries)) => entries.iter().find(|entry| entry.answers_to(word)),
            Some(Action::Run(_)) => None,
        };
        match next {
            Some(entry) => command = Some(entry.command),
            None => break,
        }
    }
    let Some(command) = command else { return NO_FILES.into() };
    let line = |name: String, about: &str| match described {
        true => format!("{name}\t{}\n", about.lines().next().unwrap_or_default()),
        false => format!("{name}\n"),
    };
    if typed.starts_with('-') {
        let flags = command.flags.iter().filter(|flag| !flag.hidden);
        let fitting = flags.map(|flag| (format!("--{}", flag.name), flag.help));
        let lines = fitting.filter(|(name, _)| name.starts_with(typed.as_str()));
        return lines.map(|(name, about)| line(name, about)).collect::<String>() + NO_FILES;
    }
    let Action::Group(entries) = command.action else { return FILES.into() };
    let fitting = entries.iter().filter(|entry| entry.name.starts_with(typed.as_str()));
    fitting.map(|entry| line(entry.name.to_owned(), entry.command.about)).collect::<String>() + NO_FILES
}

/// The command line that makes this the plugin of docker's CLI.
pub fn how_to_install() -> String {
    let own = std::env::current_exe().map_or_else(|_| "hull".to_owned(), |path| path.display().to_string());
    format!("mkdir -p ~/.docker/cli-plugins && ln -sf {own} ~/.docker/cli-plugins/docker-buildx\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_of(line: &str) -> Vec<String> {
        line.split(' ').map(Into::into).collect()
    }

    #[test]
    fn docker_is_told_what_this_is() {
        let text = answer(&words_of("docker-cli-plugin-metadata")).unwrap();
        let metadata: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(metadata["SchemaVersion"], "0.1.0");
        assert!(metadata["Version"].as_str().unwrap().starts_with("v0."));
        assert_eq!(answer(&words_of("buildx build .")), None);
    }

    #[test]
    fn lines_are_completed() {
        assert_eq!(complete(&words_of("buildx ba"), false), "bake\n:4\n");
        assert!(complete(&words_of("buildx ve"), true).starts_with("version\tShow"));
        assert_eq!(complete(&words_of("buildx build --iid"), false), "--iidfile\n:4\n");
        assert_eq!(complete(&words_of("buildx build Do"), false), ":0\n");
    }
}
