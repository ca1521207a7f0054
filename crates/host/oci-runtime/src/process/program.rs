//! The program: its environment, its directory and its file.

use crate::failure::{During, Failure, Step, reason};
use hull_sys::rustix;
use hull_sys::{InRoot, Mode};
use hull_types::oci::runtime::Process;
use rustix::fs::{Access, AtFlags, FileType};
use std::ffi::CString;

/// No `/etc/passwd` is read further than this.
const PASSWD_LIMIT: u64 = 1 << 20;

/// The environment; of a name that is there twice the last counts, and `HOME` is the user's if it is not there.
pub(crate) fn environment(process: &Process, root: &InRoot) -> Vec<String> {
    let name = |pair: &str| pair.split_once('=').map_or(pair, |(name, _)| name).to_owned();
    let mut variables: Vec<(String, &String)> = Vec::with_capacity(process.env.len() + 1);
    for pair in &process.env {
        let name = name(pair);
        variables.retain(|(known, _)| *known != name);
        variables.push((name, pair));
    }
    let mut all: Vec<String> = variables.iter().map(|(_, pair)| (*pair).clone()).collect();
    if !all.iter().any(|pair| pair.strip_prefix("HOME=").is_some_and(|home| !home.is_empty())) {
        all.retain(|pair| pair != "HOME=");
        all.push(format!("HOME={}", home(process.user.uid, root)));
    }
    all
}

/// The home directory of a user id in the container's `/etc/passwd`, or `/`.
fn home(uid: u32, root: &InRoot) -> String {
    let text = root.read("/etc/passwd", PASSWD_LIMIT).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let fields = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut users = fields.filter(|fields| fields.len() >= 6 && fields[2].parse() == Ok(uid));
    let home = users.next().map(|fields| fields[5].to_owned());
    home.filter(|home| home.starts_with('/') && !home.contains('\0')).unwrap_or_else(|| "/".into())
}

/// Goes to the process's directory, which is made if it is missing.
///
/// It is opened inside the root and without magic links: a directory of the host that some descriptor leads to
/// (`/proc/self/fd/7`, CVE-2024-21626) is none.
pub(crate) fn enter_directory(process: &Process, root: &InRoot) -> Step<()> {
    let umask = Mode::from_raw_mode(process.user.umask.unwrap_or(0o022));
    let what = format!("cannot enter the directory {:?}", process.cwd);
    let directory = root.mkdir_all(&process.cwd, Mode::from_raw_mode(0o755)).during(&what)?;
    rustix::process::fchdir(&directory).during(&what)?;
    // The kernel marks a directory that cannot be reached from the root.
    let path = rustix::process::getcwd(Vec::new()).during(&what)?;
    if path.to_bytes().first() != Some(&b'/') {
        return Err(Failure(format!(
            "{what}: current working directory is outside of container mount namespace root"
        )));
    }
    rustix::process::umask(umask);
    Ok(())
}

/// Finds the program inside the root, as the process's user, with the words that Go's `exec.LookPath` has.
pub(crate) fn look_up(arguments: &[String], environment: &[String]) -> Step<CString> {
    let Some(name) = arguments.first() else { return Err(Failure("no program to run".into())) };
    let failed = |why: String| Failure(format!("exec: {name:?}: {why}"));
    if name.contains('/') {
        check(name).map_err(failed)?;
        return CString::new(name.as_str()).map_err(|_| failed("invalid argument".into()));
    }
    let path = environment.iter().find_map(|pair| pair.strip_prefix("PATH=")).unwrap_or_default();
    for directory in path.split(':').filter(|directory| directory.starts_with('/')) {
        let candidate = format!("{}/{name}", directory.trim_end_matches('/'));
        if !name.is_empty() && check(&candidate).is_ok() {
            return CString::new(candidate).map_err(|_| failed("invalid argument".into()));
        }
    }
    Err(failed("executable file not found in $PATH".into()))
}

/// Whether a path is a file that the calling process may execute.
fn check(path: &str) -> Result<(), String> {
    let stat = rustix::fs::stat(path).map_err(|error| format!("stat {path}: {}", reason(&error.into())))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err("is a directory".into());
    }
    if stat.st_mode & 0o111 == 0 {
        return Err("permission denied".into());
    }
    let access = rustix::fs::accessat(rustix::fs::CWD, path, Access::EXEC_OK, AtFlags::empty());
    access.map_err(|error| reason(&error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hull_types::oci::runtime::User;

    fn process(env: &[&str], uid: u32) -> Process {
        let env = env.iter().map(|pair| (*pair).to_owned()).collect();
        Process { env, user: User { uid, ..User::default() }, ..Process::default() }
    }

    #[test]
    fn home_comes_from_the_containers_passwd() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("etc")).unwrap();
        let passwd = "root:x:0:0::/root:/bin/sh\nbad\nu:x:7:7::/home/u:/bin/sh\nw:x:8:8::relative:\n";
        std::fs::write(directory.path().join("etc/passwd"), passwd).unwrap();
        let root = InRoot::open_dir(directory.path()).unwrap();
        assert_eq!(environment(&process(&["A=1", "A=2"], 7), &root), ["A=2", "HOME=/home/u"]);
        assert_eq!(environment(&process(&["HOME=/x"], 7), &root), ["HOME=/x"]);
        assert_eq!(environment(&process(&[], 8), &root), ["HOME=/"]);
        assert_eq!(environment(&process(&[], 99), &root), ["HOME=/"]);
    }

    #[test]
    fn a_missing_program_is_named_as_docker_does() {
        let find = |name: &str| look_up(&[name.to_owned()], &["PATH=/usr/bin:/bin".to_owned()]);
        let text = |name: &str| find(name).unwrap_err().0;
        assert_eq!(text("nope"), r#"exec: "nope": executable file not found in $PATH"#);
        assert_eq!(text("/nope"), r#"exec: "/nope": stat /nope: no such file or directory"#);
        assert_eq!(text("/etc"), r#"exec: "/etc": is a directory"#);
        assert_eq!(text("/etc/passwd"), r#"exec: "/etc/passwd": permission denied"#);
        assert!(find("sh").unwrap().to_bytes().ends_with(b"/sh"));
    }
}
