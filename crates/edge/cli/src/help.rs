//! Help texts in Docker's layout.

use crate::command::{Action, Command, Entry, Flag, FlagKind, Section};
use crate::matches::go_quoted;
use std::fmt::Write;

/// The help's shortest column of command names.
const NAME_WIDTH: usize = 11;
/// Where standard input is no terminal that could say.
const WIDTH: usize = 80;

/// The width that help is broken to: one less than the terminal's.
fn width() -> usize {
    let columns = rustix::termios::tcgetwinsize(rustix::stdio::stdin()).map(|size| usize::from(size.ws_col));
    columns.ok().filter(|columns| *columns > 0).unwrap_or(WIDTH) - 1
}

/// `hull container ls [OPTIONS]`; `path` begins with the program's name.
pub fn usage_line(path: &str, command: &Command) -> String {
    let program = path.split(' ').next().unwrap_or_default();
    let usage = command.usage.replace("{program}", program);
    if usage.is_empty() { path.to_owned() } else { format!("{path} {usage}") }
}

/// A command's help.
pub fn command(path: &str, command: &Command) -> String {
    let program = path.split(' ').next().unwrap_or_default();
    let mut out = String::new();
    let group = matches!(command.action, Action::Group(_));
    let usage = if group { format!("{path} COMMAND") } else { usage_line(path, command) };
    let _ = writeln!(out, "Usage:  {usage}\n\n{}", command.about);
    if !command.names.is_empty() {
        let names: Vec<_> = command.names.iter().map(|name| format!("{program} {name}")).collect();
        let _ = writeln!(out, "\nAliases:\n  {}", names.join(", "));
    }
    if let Action::Group(entries) = command.action {
        list(&mut out, "Commands", entries.iter());
        let _ = writeln!(out, "\nRun '{path} COMMAND --help' for more information on a command.");
        return out;
    }
    if command.flags.iter().any(|flag| !flag.hidden) {
        let _ = write!(out, "\nOptions:\n{}", flags(command.flags, width(), ""));
    }
    out
}

/// The program's help. `config` is the configuration's directory, which some defaults are in.
pub fn root<'a>(
    program: &str,
    entries: impl Iterator<Item = &'a Entry> + Clone,
    globals: &[Flag],
    config: &str,
) -> String {
    let mut out =
        format!("Usage:  {program} [OPTIONS] COMMAND\n\nA self-sufficient runtime for containers\n");
    let mut common: Vec<_> =
        entries.clone().filter(|entry| matches!(entry.section, Section::Common(_))).collect();
    common.sort_by_key(|entry| if let Section::Common(order) = entry.section { order } else { 0 });
    list(&mut out, "Common Commands", common.into_iter());
    for (title, section) in [
        ("Management Commands", Section::Management),
        ("Swarm Commands", Section::Swarm),
        ("Commands", Section::Plain),
    ] {
        let mut chosen: Vec<_> = entries.clone().filter(|entry| entry.section == section).collect();
        chosen.sort_by_key(|entry| entry.name);
        list(&mut out, title, chosen.into_iter());
    }
    let _ = write!(out, "\nGlobal Options:\n{}", flags(globals, width(), config));
    let _ = writeln!(out, "\nRun '{program} COMMAND --help' for more information on a command.");
    out
}

fn list<'a>(out: &mut String, title: &str, entries: impl Iterator<Item = &'a Entry>) {
    let shown: Vec<_> = entries.filter(|entry| entry.section != Section::Hidden).collect();
    if shown.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{title}:");
    let width = shown.iter().map(|entry| entry.name.len()).max().unwrap_or(0).max(NAME_WIDTH);
    for entry in shown {
        let about = entry.command.about.lines().next().unwrap_or_default();
        let _ = writeln!(out, "  {:width$} {about}", entry.name);
    }
}

/// The lines of flags, as `pflag` lays them out.
fn flags(flags: &[Flag], width: usize, config: &str) -> String {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut shown: Vec<_> = flags.iter().filter(|flag| !flag.hidden).collect();
    shown.sort_by_key(|flag| flag.name);
    for flag in shown {
        let mut left = match flag.short {
            '\0' => format!("      --{}", flag.name),
            letter => format!("  -{letter}, --{}", flag.name),
        };
        if !flag.value_name.is_empty() {
            let _ = write!(left, " {}", flag.value_name);
        }
        let mut right = flag.help.to_owned();
        let default =
            if flag.shown.is_empty() { flag.default } else { flag.shown }.replace("{config}", config);
        if !default.is_empty() {
            let quoted = flag.kind == FlagKind::Text && flag.value_name == "string";
            let default = if quoted { go_quoted(&default) } else { default };
            let _ = write!(right, " (default {default})");
        }
        rows.push((left, right));
    }
    let indent = rows.iter().map(|(left, _)| left.len()).max().unwrap_or(0) + 3;
    rows.iter().fold(String::new(), |mut out, (left, right)| {
        let _ = writeln!(out, "{left:indent$}{}", wrap(indent, width, right));
        out
    })
}

// pflag's rules: a line is broken at white space, the last words may stand out a little rather than be orphans.
fn wrap(indent: usize, width: usize, text: &str) -> String {
    const SLOP: usize = 5;
    const NARROW: usize = 24;
    let (mut indent, mut room) = (indent, width.saturating_sub(indent));
    let mut out = String::new();
    if room < NARROW {
        indent = 16;
        room = width.saturating_sub(indent);
        out = format!("\n{}", " ".repeat(indent));
    }
    let margin = format!("\n{}", " ".repeat(indent));
    if room < NARROW {
        return text.replace('\n', &margin);
    }
    let room = room - SLOP;
    let mut rest = text;
    loop {
        let (line, tail) = split_line(room, SLOP, rest);
        out.push_str(&line.replace('\n', &margin));
        rest = tail;
        if rest.is_empty() {
            return out;
        }
        out.push_str(&margin);
    }
}

fn split_line(room: usize, slop: usize, text: &str) -> (&str, &str) {
    if room + slop > text.len() || !text.is_char_boundary(room) {
        return (text, "");
    }
    let Some(blank) = text[..room].rfind([' ', '\t', '\n']).filter(|at| *at > 0) else { return (text, "") };
    let at = match text[..room].rfind('\n') {
        Some(newline) if newline > 0 && newline < blank => newline,
        _ => blank,
    };
    (&text[..at], &text[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_as_pflags_do() {
        let text =
            "Name of the context to use to connect to the daemon (overrides DOCKER_HOST env var and default)";
        let wrapped = wrap(27, 79, text);
        let lines: Vec<_> = wrapped.lines().map(str::trim_start).collect();
        assert_eq!(lines[0], "Name of the context to use to connect to the");
        assert!(wrapped.lines().skip(1).all(|line| line.starts_with(&" ".repeat(27))));
    }
}
