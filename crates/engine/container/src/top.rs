//! The processes of a container, as `ps` shows them.

use crate::error::{Error, Result};
use hull_api_types::ContainerTopResponse;
use hull_sys::local_time::Zone;
use hull_types::Timestamp;
use std::collections::HashMap;
use std::fs;
use std::process::Stdio;

const TITLES: [&str; 8] = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];
/// USER_HZ.
const HERTZ: u64 = 100;
/// What `ps` may say at most.
const OUTPUT_LIMIT: usize = 4 << 20;

pub(crate) async fn top(pids: Vec<i32>, arguments: &str) -> Result<ContainerTopResponse> {
    if matches!(arguments.trim(), "" | "-ef") {
        return crate::engine::blocking(move || Ok(native(&pids))).await;
    }
    let output = tokio::process::Command::new("ps")
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(Error::io("run ps for other columns than the default ones"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::invalid(format!("error running ps: {said}")));
    }
    let end = output.stdout.len().min(OUTPUT_LIMIT);
    select(&String::from_utf8_lossy(&output.stdout[..end]), &pids)
}

/// The rows of `ps` that are about these processes.
fn select(output: &str, pids: &[i32]) -> Result<ContainerTopResponse> {
    let mut lines = output.lines();
    let titles: Vec<String> =
        lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let column = titles.iter().position(|title| title == "PID");
    let column = column.ok_or_else(|| Error::invalid("Couldn't find PID field in ps output"))?;
    let mut processes = Vec::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let fields = fields_of(line, titles.len());
        let pid = fields.get(column).and_then(|field| field.parse::<i32>().ok());
        if pid.is_some_and(|pid| pids.contains(&pid)) {
            processes.push(fields);
        }
    }
    Ok(ContainerTopResponse { titles, processes })
}

/// So many fields; the last holds the rest, blanks included.
fn fields_of(line: &str, count: usize) -> Vec<String> {
    let mut fields = Vec::with_capacity(count);
    let mut rest = line.trim_start();
    while fields.len() + 1 < count && !rest.is_empty() {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        fields.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    fields.push(rest.trim_end().to_owned());
    fields
}

/// `ps -ef` without `ps`.
fn native(pids: &[i32]) -> ContainerTopResponse {
    let users = users(&fs::read_to_string("/etc/passwd").unwrap_or_default());
    let boot = boot_time(&fs::read_to_string("/proc/stat").unwrap_or_default());
    let now = Timestamp::now().seconds.max(0) as u64;
    let mut pids = pids.to_vec();
    pids.sort_unstable();
    let processes = pids.iter().filter_map(|pid| row(*pid, &users, boot, now)).collect();
    ContainerTopResponse { titles: TITLES.map(str::to_owned).to_vec(), processes }
}

fn users(passwd: &str) -> HashMap<u32, String> {
    let parse = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        Some((fields.nth(1)?.parse().ok()?, name))
    };
    passwd.lines().filter_map(parse).collect()
}

fn boot_time(stat: &str) -> u64 {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_default()
}

/// One process; none when it ended meanwhile.
fn row(pid: i32, users: &HashMap<u32, String>, boot: u64, now: u64) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let process = Process::parse(&stat)?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let uid: u32 = uid?.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let started = boot + process.start / HERTZ;
    let used = (process.user + process.system) / HERTZ;
    let lived = now.saturating_sub(started).max(1);
    let command = match arguments.is_empty() {
        true => format!("[{}]", process.name),
        false => {
            let words = arguments.split(|byte| *byte == 0).map(String::from_utf8_lossy);
            words.collect::<Vec<_>>().join(" ").trim_end().to_owned()
        }
    };
    let user = users.get(&uid).filter(|name| name.len() <= 8).cloned();
    Some(vec![
        user.unwrap_or_else(|| uid.to_string()),
        pid.to_string(),
        process.parent.to_string(),
        (used * 100 / lived).min(99).to_string(),
        start_text(local(started), local(now)),
        terminal(process.terminal),
        format!("{:02}:{:02}:{:02}", used / 3600, used / 60 % 60, used % 60),
        command,
    ])
}

struct Process<'a> {
    name: &'a str,
    parent: i32,
    terminal: i32,
    user: u64,
    system: u64,
    start: u64,
}

impl<'a> Process<'a> {
    /// The fields of `/proc/<pid>/stat`; the name in parentheses may hold anything.
    fn parse(stat: &'a str) -> Option<Self> {
        let (open, close) = (stat.find('(')?, stat.rfind(')')?);
        let fields: Vec<&str> = stat.get(close + 1..)?.split_ascii_whitespace().collect();
        Some(Self {
            name: stat.get(open + 1..close)?,
            parent: fields.get(1)?.parse().ok()?,
            terminal: fields.get(4)?.parse().ok()?,
            user: fields.get(11)?.parse().ok()?,
            system: fields.get(12)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }
}

fn local(seconds: u64) -> Timestamp {
    let time = Timestamp { seconds: seconds as i64, nanoseconds: 0 };
    Zone::at(time.seconds).clock(time)
}

/// `14:05` today, `Nov19` on other days of this year, `2025` before: two local times.
fn start_text(started: Timestamp, now: Timestamp) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, date) = started.date();
    match now.date() {
        today if today == (year, month, date) => {
            let second = started.seconds.rem_euclid(86_400);
            format!("{:02}:{:02}", second / 3600, second / 60 % 60)
        }
        (this, ..) if this == year => {
            format!("{}{date:02}", MONTHS.get(month.saturating_sub(1) as usize).unwrap_or(&"???"))
        }
        _ => year.to_string(),
    }
}

fn terminal(number: i32) -> String {
    let number = number as u32;
    let (major, minor) = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xfff00));
    match major {
        0 => "?".into(),
        136..=143 => format!("pts/{}", minor + (major - 136) * 256),
        4 => format!("tty{minor}"),
        _ => "?".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_ps_are_chosen_by_pid() {
        let output = "  PID COMMAND\n    7 sh -c a  b\n   77 other\n";
        let top = select(output, &[7]).unwrap();
        assert_eq!(top.titles, ["PID", "COMMAND"]);
        assert_eq!(top.processes, [["7", "sh -c a  b"]]);
        assert_eq!(select("A B\n", &[]).unwrap_err().to_string(), "Couldn't find PID field in ps output");
    }

    #[test]
    fn start_times_are_as_of_ps() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        for (started, text) in [
            ("2026-11-20T00:00:00Z", "00:00"),
            ("2026-11-20T14:05:59Z", "14:05"),
            ("2026-11-19T23:59:00Z", "Nov19"),
            ("2026-01-02T14:05:59Z", "Jan02"),
            ("2025-12-31T14:05:59Z", "2025"),
        ] {
            assert_eq!(start_text(time(started), time("2026-11-20T14:06:00Z")), text);
        }
    }

    #[test]
    fn own_process() {
        let top = native(&[std::process::id() as i32]);
        assert_eq!(top.processes.len(), 1);
        assert_eq!(top.processes[0].len(), TITLES.len());
    }

    #[test]
    fn names_may_hold_anything() {
        let stat = "5 (a) b (c) S 1 5 5 34816 5 0 0 0 0 0 100 200 0 0 20 0 1 0 777 0 0";
        let process = Process::parse(stat).unwrap();
        assert_eq!((process.name, process.parent, process.user, process.system), ("a) b (c", 1, 100, 200));
        assert_eq!((process.start, terminal(process.terminal)), (777, "pts/0".to_owned()));
    }
}
