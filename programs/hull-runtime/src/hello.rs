//! The program of the built-in image: a first container that says what just happened, and what it sees from inside.

use hull_sys::rustix;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::ExitCode;

pub(crate) fn run() -> ExitCode {
    let host = rustix::system::uname();
    let address = match address() {
        Some(address) => format!("my address is {address}"),
        None => "I have no network but my own loopback".into(),
    };
    say!("\nHello from Hull!\n\nYour first container runs. This is how it came to be:");
    say!(" 1. The client asked the engine to create a container of the image \"hello\".");
    say!(" 2. The engine had the image at hand, or fetched it, and prepared its layers.");
    say!(" 3. A shim was started beside the container; it keeps what I print and how I end.");
    say!(" 4. The runtime put me in namespaces and a cgroup of my own, and started me.");
    say!("\nWhat I see from in here:");
    say!(
        " - my host name is {}, I am process {}, and {address};",
        host.nodename().to_string_lossy(),
        std::process::id()
    );
    say!(" - {} visible, {};", processes(), memory_limit());
    say!(" - I hold {} of {} capabilities, {}.", held_capabilities(), last_capability() + 1, filter());
    say!("\nFor something bigger, try:  hull run -it --rm alpine sh\n");
    ExitCode::SUCCESS
}

/// The address that would be used to reach the outside; nothing is sent to learn it.
fn address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

fn processes() -> String {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numeric = |name: &std::ffi::OsStr| name.to_string_lossy().bytes().all(|b| b.is_ascii_digit());
    match entries.filter(|entry| numeric(&entry.file_name())).count() {
        1 => "mine is the only process".into(),
        count => format!("{count} processes are"),
    }
}

fn memory_limit() -> String {
    let files = ["/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"];
    let text = files.iter().find_map(|file| fs::read_to_string(file).ok()).unwrap_or_default();
    match text.trim().parse::<u64>() {
        // Version 1 shows "no limit" as a number near 2⁶³.
        Ok(bytes) if bytes < 1 << 60 => format!("my memory ends at {} MiB", bytes >> 20),
        _ => "my memory has no limit but the machine's".into(),
    }
}

fn status(field: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix(field)).map(|value| value.trim().to_owned())
}

fn held_capabilities() -> u32 {
    status("CapEff:").and_then(|text| u64::from_str_radix(&text, 16).ok()).unwrap_or(0).count_ones()
}

fn last_capability() -> u32 {
    let text = fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap_or_default();
    text.trim().parse().unwrap_or(40)
}

fn filter() -> &'static str {
    match status("Seccomp:").as_deref() {
        Some("2") => "and a filter watches my system calls",
        _ => "and no filter watches my system calls",
    }
}
