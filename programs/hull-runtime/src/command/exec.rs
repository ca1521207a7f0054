//! `exec`.

use super::{Global, Outcome, text};
use crate::arguments::{Arguments, Flag, short, switch, value};
use crate::foreground;
use hull_oci_runtime::ExecOptions;
use hull_types::document::from_json;
use hull_types::oci::runtime::{Capabilities, ConsoleSize, Process};
use std::ffi::OsString;
use std::path::PathBuf;

const FLAGS: [Flag; 19] = [
    value("console-socket"),
    value("pidfd-socket"),
    value("cwd"),
    short("e", value("env")),
    short("t", switch("tty")),
    short("u", value("user")),
    short("g", value("additional-gids")),
    short("p", value("process")),
    short("d", switch("detach")),
    value("pid-file"),
    value("process-label"),
    value("apparmor"),
    switch("no-new-privs"),
    short("c", value("cap")),
    value("preserve-fds"),
    value("cgroup"),
    switch("ignore-paused"),
    switch("no-subreaper"),
    short("i", switch("interactive")),
];

/// `<uid>[:<gid>]`, digits only: no sign, no name, nothing that another parser would read as root.
pub(crate) fn parse_user(given: &str) -> Result<(u32, Option<u32>), String> {
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let parsed = digits.then(|| part.parse::<u32>().ok()).flatten();
        parsed
            .filter(|id| *id <= i32::MAX as u32)
            .ok_or_else(|| format!("invalid user {given:?}: not a uid[:gid]"))
    };
    match given.split_once(':') {
        Some((uid, gid)) => Ok((number(uid)?, Some(number(gid)?))),
        None => Ok((number(given)?, None)),
    }
}

fn process(global: &Global, arguments: &Arguments) -> Result<Process, String> {
    if let Some(path) = arguments.get("process") {
        let content = std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))?;
        return from_json(&content).map_err(|error| format!("cannot parse {path}: {error}"));
    }
    let mut process = hull_oci_runtime::process_of(&global.root, arguments.id()?).map_err(text)?;
    process.args = arguments.words.get(1..).unwrap_or_default().to_vec();
    if process.args.is_empty() {
        return Err("process args cannot be empty".into());
    }
    if let Some(cwd) = arguments.get("cwd") {
        process.cwd = cwd.into();
    }
    process.terminal = arguments.is_set("tty");
    process.env.extend(arguments.all("env").map(str::to_owned));
    if arguments.is_set("no-new-privs") {
        process.no_new_privileges = true;
    }
    if let Some(user) = arguments.get("user") {
        let (uid, gid) = parse_user(user)?;
        process.user.uid = uid;
        process.user.gid = gid.unwrap_or(process.user.gid);
    }
    for gid in arguments.all("additional-gids") {
        process.user.additional_gids.push(parse_user(gid)?.0);
    }
    if let Some(label) = arguments.get("process-label") {
        process.selinux_label = label.into();
    }
    if let Some(profile) = arguments.get("apparmor") {
        process.apparmor_profile = profile.into();
    }
    add_capabilities(&mut process, arguments);
    Ok(process)
}

fn add_capabilities(process: &mut Process, arguments: &Arguments) {
    for name in arguments.all("cap") {
        let sets = process.capabilities.get_or_insert_with(Capabilities::default);
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            if !set.iter().any(|known| known == name) {
                set.push(name.into());
            }
        }
    }
}

pub(super) fn exec(global: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &FLAGS, true)?;
    let detached = arguments.is_set("detach");
    let path = |name| arguments.get(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    let mut process = process(global, &arguments)?;
    let console_socket = path("console-socket");
    if detached && process.terminal && console_socket.is_none() {
        return Err("cannot allocate tty if the runtime will detach without setting console socket".into());
    }
    if process.terminal && process.console_size.is_none() {
        process.console_size = foreground::own_size().map(|(width, height)| ConsoleSize { width, height });
    }
    if !detached && !arguments.is_set("no-subreaper") {
        hull_sys::process::set_child_subreaper().map_err(text)?;
    }
    let started = hull_oci_runtime::exec(ExecOptions {
        id: arguments.id()?.into(),
        state_root: global.root.clone(),
        process,
        console_socket,
        pidfd_socket: path("pidfd-socket"),
        pid_file: path("pid-file"),
        preserve_fds: arguments.number("preserve-fds")?.unwrap_or(0),
        ignore_paused: arguments.is_set("ignore-paused"),
        cgroups: arguments.all("cgroup").map(str::to_owned).collect(),
        ..ExecOptions::default()
    })
    .map_err(text)?;
    if detached {
        return Ok(0);
    }
    foreground::wait(started.pid, started.console).map_err(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_digits() {
        assert_eq!(parse_user("1").unwrap(), (1, None));
        assert_eq!(parse_user("1000:100").unwrap(), (1000, Some(100)));
        assert_eq!(parse_user("0").unwrap(), (0, None));
        for bad in [
            "",
            "+1",
            "-1",
            " 1",
            "1 ",
            "0x1",
            "root",
            "1:",
            ":1",
            "4294967296",
            "2147483648",
            "1:2:3",
            "1\n",
        ] {
            assert!(parse_user(bad).is_err(), "{bad:?}");
        }
    }
}
