//! `state`, `list` and `ps`.

use super::{Global, Outcome, text};
use crate::arguments::{Arguments, Flag, short, switch, value};
use hull_oci_runtime::Listed;
use std::ffi::OsString;

const FORMAT: Flag = short("f", value("format"));

pub(super) fn state(global: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &[], false)?;
    let state = hull_oci_runtime::state(&global.root, arguments.id()?).map_err(text)?;
    say!("{}", serde_json::to_string_pretty(&state).map_err(text)?);
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

/// The state, and what the list has beside it.
fn as_json(listed: &Listed) -> Result<String, String> {
    let quote = |value: &str| serde_json::to_string(value).map_err(text);
    let state = serde_json::to_string(&listed.state).map_err(text)?;
    let (rootfs, created) = (quote(&listed.rootfs.display().to_string())?, quote(&listed.created)?);
    let open = state.strip_suffix('}').unwrap_or(&state);
    Ok(format!("{open},\"rootfs\":{rootfs},\"created\":{created},\"owner\":\"root\"}}"))
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
        "table" => {
            say!("{:<10} {:>7} {:>7} CMD", "UID", "PID", "PPID");
            pids.iter().for_each(|pid| print_process(*pid));
        }
        _ => return Err("invalid format option".into()),
    }
    Ok(0)
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
