//! CRIU's command lines. Pure.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What both directions have: the names are runc's options.
#[derive(Debug, Clone, Default)]
pub struct CriuOptions {
    /// The program; empty for `criu` in the `PATH`.
    pub program: PathBuf,
    /// Where the image is.
    pub image_path: PathBuf,
    /// Where logs go; the image's directory if it is empty.
    pub work_path: PathBuf,
    /// The image before this one, relative to this one, whose pages need not be written again.
    pub parent_path: Option<PathBuf>,
    /// Let the container run on.
    pub leave_running: bool,
    /// Only write memory, and let the container run on.
    pub pre_dump: bool,
    /// Keep established TCP connections.
    pub tcp_established: bool,
    /// Leave out connections that are being made.
    pub tcp_skip_in_flight: bool,
    /// Link unlinked files back.
    pub link_remap: bool,
    /// Let unix sockets have their other end outside.
    pub ext_unix_sk: bool,
    /// The container is a shell's job.
    pub shell_job: bool,
    /// Take pages when they are used.
    pub lazy_pages: bool,
    /// A descriptor that gets a byte when the pages can be taken.
    pub status_fd: Option<i32>,
    /// `address:port` of a server that pages are sent to.
    pub page_server: Option<String>,
    /// Keep file locks.
    pub file_locks: bool,
    /// `soft`, `full`, `strict` or `ignore`; `soft` if it is empty.
    pub manage_cgroups_mode: String,
    /// Namespaces that are made without what was in them: `network`.
    pub empty_ns: Vec<String>,
    /// Pages are kept once.
    pub auto_dedup: bool,
    /// `TYPE:NAME` of a security module's profile at restore.
    pub lsm_profile: Option<String>,
    /// A security label of mounts at restore.
    pub lsm_mount_context: Option<String>,
}

impl CriuOptions {
    pub(super) fn program(&self) -> &Path {
        if self.program.as_os_str().is_empty() { Path::new("criu") } else { &self.program }
    }

    pub(super) fn work(&self) -> &Path {
        if self.work_path.as_os_str().is_empty() { &self.image_path } else { &self.work_path }
    }

    /// What is wrong with them.
    pub(super) fn check(&self) -> Result<(), String> {
        if !matches!(self.manage_cgroups_mode.as_str(), "" | "soft" | "full" | "strict" | "ignore") {
            return Err(format!("invalid manage-cgroups-mode {:?}", self.manage_cgroups_mode));
        }
        if let Some(other) = self.empty_ns.iter().find(|kind| *kind != "network") {
            return Err(format!("namespace {other:?} is not supported by --empty-ns: only network is"));
        }
        let is_server =
            |text: &String| text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if let Some(server) = self.page_server.as_ref().filter(|server| !is_server(server)) {
            return Err(format!("--page-server {server:?} is no ADDRESS:PORT"));
        }
        Ok(())
    }

    /// What both directions say.
    fn both(&self, command: &str, log: &str, cgroup: &str) -> Words {
        let mut words = Words(vec![command.into()]);
        words.pair("--images-dir", &self.image_path);
        words.pair("--work-dir", self.work());
        words.pair("--log-file", log);
        words.0.push("-v4".into());
        let mode = if self.manage_cgroups_mode.is_empty() { "soft" } else { &self.manage_cgroups_mode };
        words.0.push(format!("--manage-cgroups={mode}").into());
        words.pair("--cgroup-root", cgroup);
        let switches = [
            ("--tcp-established", self.tcp_established),
            ("--link-remap", self.link_remap),
            ("--ext-unix-sk", self.ext_unix_sk),
            ("--shell-job", self.shell_job),
            ("--lazy-pages", self.lazy_pages),
            ("--file-locks", self.file_locks),
            ("--auto-dedup", self.auto_dedup),
        ];
        words.0.extend(switches.iter().filter(|(_, on)| *on).map(|(word, _)| OsString::from(word)));
        if !self.empty_ns.is_empty() {
            words.pair("--empty-ns", "net");
        }
        words
    }

    /// `criu dump` or `pre-dump` of a process and all below it.
    pub(super) fn dump(&self, pid: i32, cgroup: &str, external: &[String]) -> Vec<OsString> {
        let mut words = self.both(if self.pre_dump { "pre-dump" } else { "dump" }, "dump.log", cgroup);
        words.pair("--tree", pid.to_string());
        external.iter().for_each(|name| words.pair("--external", name));
        if self.leave_running && !self.pre_dump {
            words.0.push("--leave-running".into());
        }
        if self.tcp_skip_in_flight {
            words.0.push("--skip-in-flight".into());
        }
        if self.pre_dump || self.parent_path.is_some() {
            words.0.push("--track-mem".into());
        }
        if let Some(parent) = &self.parent_path {
            words.pair("--prev-images-dir", parent);
        }
        if let Some(fd) = self.status_fd {
            words.pair("--status-fd", fd.to_string());
        }
        if let Some((address, port)) = self.page_server.as_ref().and_then(|server| server.rsplit_once(':')) {
            words.0.push("--page-server".into());
            words.pair("--address", address);
            words.pair("--port", port);
        }
        words.0
    }

    /// `criu restore` as a child of the caller's.
    pub(super) fn restore(
        &self,
        cgroup: &str,
        root: &Path,
        pid_file: &Path,
        external: &[String],
        inherited: &[(i32, String)],
    ) -> Vec<OsString> {
        let mut words = self.both("restore", "restore.log", cgroup);
        words.0.extend(["--restore-detached", "--restore-sibling"].map(OsString::from));
        words.pair("--root", root);
        words.pair("--pidfile", pid_file);
        external.iter().for_each(|name| words.pair("--external", name));
        for (fd, name) in inherited {
            words.pair("--inherit-fd", format!("fd[{fd}]:{name}"));
        }
        if let Some(profile) = &self.lsm_profile {
            words.pair("--lsm-profile", profile);
        }
        if let Some(context) = &self.lsm_mount_context {
            words.pair("--lsm-mount-context", context);
        }
        words.0
    }
}

struct Words(Vec<OsString>);

impl Words {
    fn pair(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.push(name.into());
        self.0.push(value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: Vec<OsString>) -> String {
        words.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn options_become_words() {
        let plain = CriuOptions { image_path: "/i".into(), ..CriuOptions::default() };
        assert_eq!(
            line(plain.dump(7, "/c", &["mnt[/x]:/x".into()])),
            "dump --images-dir /i --work-dir /i --log-file dump.log -v4 --manage-cgroups=soft --cgroup-root /c --tree 7 \
             --external mnt[/x]:/x"
        );
        let all = CriuOptions {
            work_path: "/w".into(),
            parent_path: Some("../before".into()),
            leave_running: true,
            tcp_established: true,
            tcp_skip_in_flight: true,
            link_remap: true,
            ext_unix_sk: true,
            shell_job: true,
            lazy_pages: true,
            status_fd: Some(3),
            page_server: Some("::1:99".into()),
            file_locks: true,
            manage_cgroups_mode: "full".into(),
            empty_ns: vec!["network".into()],
            auto_dedup: true,
            ..plain.clone()
        };
        all.check().unwrap();
        assert_eq!(
            line(all.dump(7, "/c", &[])),
            "dump --images-dir /i --work-dir /w --log-file dump.log -v4 --manage-cgroups=full --cgroup-root /c \
             --tcp-established --link-remap --ext-unix-sk --shell-job --lazy-pages --file-locks --auto-dedup \
             --empty-ns net --tree 7 --leave-running --skip-in-flight --track-mem --prev-images-dir ../before \
             --status-fd 3 --page-server --address ::1 --port 99"
        );
        let first = CriuOptions { pre_dump: true, leave_running: true, ..plain.clone() };
        assert!(line(first.dump(7, "/c", &[])).starts_with("pre-dump "));
        assert!(line(first.dump(7, "/c", &[])).ends_with("--tree 7 --track-mem"));
        let labelled = CriuOptions {
            lsm_profile: Some("selinux:x".into()),
            lsm_mount_context: Some("y".into()),
            ..plain
        };
        let inherited = [(0, "file[1:2]".to_owned()), (7, "hull-network".to_owned())];
        assert_eq!(
            line(labelled.restore(
                "/d",
                Path::new("/r"),
                Path::new("/p"),
                &["mnt[/x]:/src".into()],
                &inherited
            )),
            "restore --images-dir /i --work-dir /i --log-file restore.log -v4 --manage-cgroups=soft --cgroup-root /d \
             --restore-detached --restore-sibling --root /r --pidfile /p --external mnt[/x]:/src \
             --inherit-fd fd[0]:file[1:2] --inherit-fd fd[7]:hull-network --lsm-profile selinux:x --lsm-mount-context y"
        );
    }

    #[test]
    fn wrong_words_are_refused() {
        let with = |change: fn(&mut CriuOptions)| {
            let mut options = CriuOptions::default();
            change(&mut options);
            options.check().unwrap_err()
        };
        assert!(with(|o| o.manage_cgroups_mode = "hard".into()).contains("hard"));
        assert!(with(|o| o.empty_ns = vec!["mount".into()]).contains("mount"));
        assert!(with(|o| o.page_server = Some("there".into())).contains("there"));
    }
}
