//! How many files a process may have open (`RLIMIT_NOFILE`).
//!
//! A daemon with many connections, logs and mounts of layers wants more than a session's usual 1,024. What it starts
//! gets what the daemon was given itself, since programs that select(2), or that close every number up to the limit,
//! go wrong with many.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use std::io;
use std::sync::OnceLock;

/// What a daemon wants at least: the most that the kernel allows unless it is told otherwise (`fs.nr_open`).
const WANTED: u64 = 1 << 20;

static GIVEN: OnceLock<Rlimit> = OnceLock::new();

/// Raises the calling process's limit to [`WANTED`], or as far as it may. What it was given is kept for its children.
pub fn raise() -> io::Result<()> {
    let given = GIVEN.get_or_init(|| getrlimit(Resource::Nofile));
    let (Some(soft), hard) = (given.current, given.maximum) else { return Ok(()) };
    let at_most = |limit: u64| hard.map_or(limit, |hard| limit.max(hard));
    let most = Rlimit { current: Some(at_most(WANTED)), maximum: hard.map(|_| at_most(WANTED)) };
    if setrlimit(Resource::Nofile, most).is_ok() || hard == Some(soft) {
        return Ok(());
    }
    // Only root raises the second number.
    Ok(setrlimit(Resource::Nofile, Rlimit { current: hard.or(Some(WANTED)), maximum: hard })?)
}

/// Gives a child that was just started, and what it will start, the limit that this process was given.
pub fn give_back(child: u32) -> io::Result<()> {
    let (Some(given), Some(child)) = (GIVEN.get(), i32::try_from(child).ok().and_then(Pid::from_raw)) else {
        return Ok(());
    };
    prlimit(Some(child), Resource::Nofile, *given)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    // Each test is a process of its own.
    #[test]
    fn children_get_what_the_process_was_given() {
        let before = Rlimit { current: Some(500), maximum: getrlimit(Resource::Nofile).maximum };
        setrlimit(Resource::Nofile, before).unwrap();
        raise().unwrap();
        let raised = getrlimit(Resource::Nofile);
        assert!(raised.current > before.current && raised.current >= before.maximum, "{raised:?}");
        let mut child = Command::new("sh")
            .args(["-c", "read go; ulimit -Sn; ulimit -Hn"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        give_back(child.id()).unwrap();
        drop(child.stdin.take());
        let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let hard = before.maximum.map_or("unlimited".into(), |hard| hard.to_string());
        assert_eq!(said, format!("500\n{hard}\n"));
        assert_eq!(getrlimit(Resource::Nofile), raised, "only the child's");
    }
}
