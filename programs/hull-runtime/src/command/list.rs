//! `state`, `list` and `ps`.

use super::{Global, Outcome, text};
use crate::arguments::{Arguments, Flag, short, switch, value};
use hull_oci_runtime::Listed;
use hull_sys::program::{self, Program};
use std::ffi::OsString;
use std::os::fd::AsFd;

const FORMAT: Flag = short("f", value("format"));

pub(super) fn state(global: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &[], false)?;
    let listed = hull_oci_runtime::listed(&global.root, arguments.id()?).map_err(text)?;
    let members = members(&listed)?;
    let lines: Vec<String> = members.iter().map(|(key, value)| format!("  \"{key}\": {value}")).collect();
    say!("{{\n{}\n}}", lines.join(",\n"));
    Ok(0)
}

pub(super) fn list(global: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &[FORMAT, short("q", switch("quiet"))], false)?;
    let all = hull_oci_runtime::list(&global.root).map_err(text)?;
    if arguments.is_set("quiet") {
        all.iter().for_each(|listed| say!("{}", listed.state.id));
        return Ok(0);
    }
    match arguments.get("format").unwrap_or("table") {
        "table" => table(&all),
        "json" => {
            let rows = all.iter().map(as_json).collect::<Result<Vec<_>, _>>()?;
            say!("[{}]", rows.join(","));
        }
        _ => return Err("invalid format option".into()),
    }
    Ok(0)
}

/// The state as the specification has it, and what runc tells beside it, in runc's order.
fn members(listed: &Listed) -> Result<Vec<(&'static str, String)>, String> {
    let quote = |value: &str| serde_json::to_string(value).map_err(text);
    let Listed { state, rootfs, created } = listed;
    let mut members = vec![
        ("ociVersion", quote(&state.oci_version)?),
        ("id", quote(&state.id)?),
        ("pid", state.pid.to_string()),
        ("status", quote(&state.status)?),
        ("bundle", quote(&state.bundle)?),
        ("rootfs", quote(&rootfs.display().to_string())?),
        ("created", quote(created)?),
    ];
    if !state.annotations.is_empty() {
        members.push(("annotations", serde_json::to_string(&state.annotations).map_err(text)?));
    }
    members.push(("owner", quote("root")?));
    Ok(members)
}

fn as_json(listed: &Listed) -> Result<String, String> {
    let members: Vec<String> =
        members(listed)?.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    Ok(format!("{{{}}}", members.join(",")))
}

fn table(all: &[Listed]) {
    let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let mut rows = vec![header];
    for Listed { state, created, .. } in all {
        let pid = state.pid.to_string();
        rows.push(
            [&state.id, &pid, &state.status, &state.bundle, created, "root"].map(|cell| cell.to_owned()),
        );
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0).max(9) + 3;
    let widths: Vec<usize> = (0..5).map(width).collect();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        say!("{}{}", cells.concat(), row[5]);
    }
}

pub(super) fn ps(global: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &[FORMAT], true)?;
    let pids = hull_oci_runtime::ps(&global.root, arguments.id()?).map_err(text)?;
    match arguments.get("format").unwrap_or("table") {
        "json" => say!("{pids:?}"),
        "table" if !print_as_ps(&pids, arguments.words.get(1..).unwrap_or_default())? => {
            say!("{:<10} {:>7} {:>7} CMD", "UID", "PID", "PPID");
            pids.iter().for_each(|pid| print_process(*pid));
        }
        "table" => {}
        _ => return Err("invalid format option".into()),
    }
    Ok(0)
}

/// Lets the host's `ps` tell of these processes; false where there is none.
fn print_as_ps(pids: &[i32], words: &[String]) -> Result<bool, String> {
    let run = || {
        let mut program = Program::new("ps")?;
        if words.is_empty() {
            program.argument("-ef")?;
        }
        for word in words {
            program.argument(word)?;
        }
        program.stream(2, std::io::stderr().as_fd().try_clone_to_owned()?);
        let output = program.record(1)?;
        program.run()?;
        program::said(output)
    };
    let output = match run() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        result => result.map_err(|error| format!("cannot run ps: {error}"))?,
    };
    let output = String::from_utf8_lossy(&output);
    let mut lines = output.lines();
    let header = lines.next().unwrap_or_default();
    let Some(column) = header.split_whitespace().position(|word| word == "PID") else {
        return Err("couldn't find PID field in ps output".into());
    };
    say!("{header}");
    for line in lines {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        if pid.is_some_and(|pid| pids.contains(&pid)) {
            say!("{line}");
        }
    }
    Ok(true)
}

/// A process's line; one that has ended meanwhile has none.
fn print_process(pid: i32) {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return };
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()).unwrap_or("?").to_owned()
    };
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).trim_end_matches('\0').replace('\0', " ");
    let command = if command.is_empty() { format!("[{}]", field("Name:")) } else { command };
    say!("{:<10} {pid:>7} {:>7} {command}", field("Uid:"), field("PPid:"));
}
