//! The process: what, as whom, where, with which variables.

use super::{Resolved, capabilities};
use crate::record::ContainerSpec;
use crate::spec::{self, ULIMITS};
use crate::user::User;
use hull_api_types::{ExecCreateRequest, Ulimit};
use hull_types::oci::runtime as oci;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The container's first process.
pub fn first_process(spec: &ContainerSpec, resolved: &Resolved) -> oci::Process {
    let (config, host) = (&spec.config, &spec.host_config);
    let words = spec.words().cloned();
    let args = match resolved.init {
        Some(_) => ["/sbin/docker-init".to_owned(), "--".to_owned()].into_iter().chain(words).collect(),
        None => words.collect(),
    };
    oci::Process {
        terminal: config.tty,
        console_size: resolved
            .console_size
            .filter(|_| config.tty)
            .map(|(height, width)| oci::ConsoleSize { height: height.into(), width: width.into() }),
        user: oci_user(&resolved.user),
        args,
        env: with_links(spec, resolved),
        cwd: working_directory(&config.working_dir),
        capabilities: Some(capabilities::capability_sets(
            host,
            host.privileged,
            resolved.user.uid,
            &resolved.grantable,
        )),
        rlimits: rlimits(host.resources.ulimits.as_deref().unwrap_or_default(), &resolved.default_ulimits),
        no_new_privileges: resolved.security.no_new_privileges.unwrap_or(resolved.no_new_privileges),
        apparmor_profile: apparmor(resolved),
        oom_score_adj: Some(host.oom_score_adj as i32),
        ..oci::Process::default()
    }
}

// `unconfined` is what a process has without a profile.
fn apparmor(resolved: &Resolved) -> String {
    resolved.security.apparmor.clone().filter(|name| name != "unconfined").unwrap_or_default()
}

fn oci_user(user: &User) -> oci::User {
    oci::User { uid: user.uid, gid: user.gid, additional_gids: user.groups.clone(), ..oci::User::default() }
}

fn working_directory(path: &str) -> String {
    if path.is_empty() { "/".into() } else { spec::clean(path) }
}

/// The variables, and those about linked containers that are not the container's own.
fn with_links(spec: &ContainerSpec, resolved: &Resolved) -> Vec<String> {
    let mut env = environment(spec, &resolved.hostname, spec.config.tty, &resolved.user.home, &[]);
    for entry in &resolved.link_environment {
        let name = entry.split('=').next();
        if !env.iter().any(|known| known.split('=').next() == name) {
            env.push(entry.clone());
        }
    }
    env
}

/// The variables: Docker's, then the container's, then `more`, each replacing those before. An entry without `=`
/// takes a variable away.
pub fn environment(
    spec: &ContainerSpec,
    hostname: &str,
    tty: bool,
    home: &str,
    more: &[String],
) -> Vec<String> {
    let mut env = vec![PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if tty {
        env.push("TERM=xterm".into());
    }
    for entry in spec.config.env.iter().flatten().chain(more) {
        let (name, set) = entry.split_once('=').map_or((entry.as_str(), false), |(name, _)| (name, true));
        let place = env.iter().position(|known| known.split('=').next() == Some(name));
        match (place, set) {
            (Some(index), true) => env[index] = entry.clone(),
            (Some(index), false) => {
                env.remove(index);
            }
            (None, true) => env.push(entry.clone()),
            (None, false) => {}
        }
    }
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={home}"));
    }
    env
}

/// The container's limits, then the daemon's of names that it doesn't set.
fn rlimits(own: &[Ulimit], defaults: &[Ulimit]) -> Vec<oci::Rlimit> {
    let value = |number: i64| if number < 0 { u64::MAX } else { number as u64 };
    let defaults = defaults.iter().filter(|limit| !own.iter().any(|set| set.name == limit.name));
    own.iter()
        .chain(defaults)
        .filter_map(|limit| {
            let (_, kind) = ULIMITS.iter().find(|(name, _)| *name == limit.name)?;
            Some(oci::Rlimit { kind: (*kind).into(), hard: value(limit.hard), soft: value(limit.soft) })
        })
        .collect()
}

/// A further process: as the container's first one, but for what the request says.
pub fn exec_process(
    spec: &ContainerSpec,
    request: &ExecCreateRequest,
    user: &User,
    hostname: &str,
    grantable: &[String],
    defaults: (&[Ulimit], bool),
) -> oci::Process {
    let host = &spec.host_config;
    let security = spec::parse_security_options(host).unwrap_or_default();
    let cwd = if request.working_dir.is_empty() { &spec.config.working_dir } else { &request.working_dir };
    let size =
        request.console_size.filter(|_| request.tty).filter(|[height, width]| *height > 0 && *width > 0);
    oci::Process {
        terminal: request.tty,
        console_size: size
            .map(|[height, width]| oci::ConsoleSize { height: height.into(), width: width.into() }),
        user: oci_user(user),
        args: request.cmd.clone().unwrap_or_default(),
        env: environment(spec, hostname, request.tty, &user.home, request.env.as_deref().unwrap_or_default()),
        cwd: working_directory(cwd),
        capabilities: Some(capabilities::capability_sets(
            host,
            request.privileged || host.privileged,
            user.uid,
            grantable,
        )),
        rlimits: rlimits(host.resources.ulimits.as_deref().unwrap_or_default(), defaults.0),
        no_new_privileges: security.no_new_privileges.unwrap_or(defaults.1),
        apparmor_profile: security.apparmor.filter(|name| name != "unconfined").unwrap_or_default(),
        oom_score_adj: Some(host.oom_score_adj as i32),
        ..oci::Process::default()
    }
}
