//! `create` and `run`.

use super::{Global, Outcome, text};
use crate::arguments::{Arguments, Flag, short, switch, value};
use crate::foreground;
use hull_oci_runtime::{CreateOptions, Created};
use std::ffi::OsString;
use std::path::PathBuf;

const FLAGS: [Flag; 11] = [
    short("b", value("bundle")),
    value("console-socket"),
    value("pidfd-socket"),
    value("pid-file"),
    switch("no-pivot"),
    switch("no-new-keyring"),
    value("preserve-fds"),
    short("d", switch("detach")),
    switch("keep"),
    switch("no-subreaper"),
    switch("no-mount-fallback"),
];

fn options(global: &Global, arguments: &Arguments) -> Result<CreateOptions, String> {
    let path = |name| arguments.get(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    // LISTEN_FDS: what systemd hands over is handed on.
    let listen: u32 = std::env::var("LISTEN_FDS").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok(CreateOptions {
        id: arguments.id()?.into(),
        bundle: path("bundle").unwrap_or_else(|| PathBuf::from(".")),
        state_root: global.root.clone(),
        console_socket: path("console-socket"),
        pidfd_socket: path("pidfd-socket"),
        pid_file: path("pid-file"),
        systemd_cgroup: global.systemd_cgroup,
        rootless: global.rootless,
        no_pivot: arguments.is_set("no-pivot"),
        no_new_keyring: arguments.is_set("no-new-keyring"),
        preserve_fds: arguments.number("preserve-fds")?.unwrap_or(0) + listen,
        ..CreateOptions::default()
    })
}

fn make(global: &Global, options: CreateOptions) -> Result<Created, String> {
    let created = hull_oci_runtime::create(options).map_err(text)?;
    for warning in &created.warnings {
        global.log.warning(warning);
    }
    Ok(created)
}

/// A terminal must have someone who holds its other end.
fn check_terminal(detached: bool, options: &CreateOptions) -> Result<(), String> {
    let config = std::fs::read(options.bundle.join("config.json")).unwrap_or_default();
    let spec: hull_types::oci::runtime::Spec = hull_types::document::from_json(&config).unwrap_or_default();
    let terminal = spec.process.is_some_and(|process| process.terminal);
    match (detached, terminal, options.console_socket.is_some()) {
        (true, true, false) => {
            Err("cannot allocate tty if the runtime will detach without setting console socket".into())
        }
        (false, _, true) | (_, false, true) => {
            Err("cannot use console socket if the runtime will not detach or allocate tty".into())
        }
        _ => Ok(()),
    }
}

pub(super) fn create(global: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &FLAGS, false)?;
    let options = options(global, &arguments)?;
    check_terminal(true, &options)?;
    make(global, options)?;
    Ok(0)
}

pub(super) fn run(global: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &FLAGS, false)?;
    let options = options(global, &arguments)?;
    let detached = arguments.is_set("detach");
    check_terminal(detached, &options)?;
    let (root, id) = (options.state_root.clone(), options.id.clone());
    if !detached && !arguments.is_set("no-subreaper") {
        hull_sys::process::set_child_subreaper().map_err(text)?;
    }
    let created = make(global, options)?;
    if let Err(error) = hull_oci_runtime::start(&root, &id) {
        let _ = hull_oci_runtime::delete(&root, &id, true);
        return Err(text(error));
    }
    if detached {
        return Ok(0);
    }
    let status = foreground::wait(created.pid, created.console);
    if !arguments.is_set("keep") {
        let warnings = hull_oci_runtime::delete(&root, &id, true).map_err(text)?;
        warnings.iter().for_each(|warning| global.log.warning(warning));
    }
    status.map_err(text)
}
