//! Docker's CLI plugins: programs named `docker-NAME` in certain directories, which are commands of their own
//! (`docker-compose`, `docker-buildx`).

use crate::config::ConfigFile;
use crate::endpoint;
use crate::failure::{Failure, file_error};
use crate::session::{Globals, Session};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

const DIRECTORIES: [&str; 6] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
    "/usr/local/lib/hull/cli-plugins",
    "/usr/lib/hull/cli-plugins",
];

/// The plugin's file, if there is one of this name.
pub fn find(globals: &Globals, name: &str) -> Option<PathBuf> {
    // The name becomes part of a path.
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return None;
    }
    let own = ConfigFile::directory(&globals.config).join("cli-plugins");
    let all = std::iter::once(own).chain(DIRECTORIES.iter().map(PathBuf::from));
    all.map(|directory| directory.join(format!("docker-{name}"))).find(|path| path.is_file())
}

/// Becomes the plugin. It finds the engine by the environment, so Hull's default is put there.
pub fn become_plugin(session: &Session, name: &str, words: &[String]) -> Failure {
    let Some(path) = find(&session.globals, name) else {
        return Failure::new(format!("plugin {name} is gone"));
    };
    let mut command = Command::new(&path);
    command.args(words).env("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", session.program);
    if session.globals.hosts.is_empty()
        && endpoint::context_name(&session.globals, session.config()) == endpoint::DEFAULT_CONTEXT
    {
        let host =
            endpoint::host_variable().unwrap_or_else(|| format!("unix://{}", endpoint::DEFAULT_SOCKET));
        command.env("DOCKER_HOST", host);
    }
    let error = command.exec();
    Failure::new(file_error("exec", &path, &error))
}
