//! Programs that the runtime starts and waits for: hooks, `newuidmap`, `ps`, `criu`, another runtime.
//!
//! The standard library's `Command` is ten times the size, which counts in the static runtime.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::process::{self, Forked};

/// A program to be run, in a process of this environment unless another one is given, with `/dev/null` for the streams
/// that it is not given.
///
/// As with [`process::clone3`] the caller has one thread only, or the child, which allocates nothing, must be content
/// with what locks it finds.
pub struct Program {
    file: CString,
    arguments: Vec<CString>,
    environment: Option<Vec<CString>>,
    streams: [Option<OwnedFd>; 3],
}

impl Program {
    /// The program of a path, or, without a slash in it, of a name that is looked for in `PATH`.
    pub fn new(file: impl AsRef<OsStr>) -> io::Result<Self> {
        let file = text(file.as_ref())?;
        Ok(Self { arguments: vec![file.clone()], file, environment: None, streams: [None, None, None] })
    }

    /// Under this name, in place of that of its file.
    pub fn name(&mut self, name: impl AsRef<OsStr>) -> io::Result<()> {
        self.arguments[0] = text(name.as_ref())?;
        Ok(())
    }

    /// One more argument.
    pub fn argument(&mut self, argument: impl AsRef<OsStr>) -> io::Result<()> {
        self.arguments.push(text(argument.as_ref())?);
        Ok(())
    }

    /// One more `NAME=value` of an environment that begins empty.
    pub fn variable(&mut self, pair: impl AsRef<OsStr>) -> io::Result<()> {
        self.environment.get_or_insert_default().push(text(pair.as_ref())?);
        Ok(())
    }

    /// An environment that begins empty, with or without [`Self::variable`].
    pub fn without_environment(&mut self) {
        self.environment = Some(Vec::new());
    }

    /// What it gets for a standard stream: 0, 1 or 2.
    pub fn stream(&mut self, number: usize, descriptor: OwnedFd) {
        self.streams[number] = Some(descriptor);
    }

    /// A file in memory for a standard stream, to be read with [`said`].
    pub fn record(&mut self, number: usize) -> io::Result<File> {
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        let file = File::from(rustix::fs::memfd_create(c"program", flags)?);
        self.streams[number] = Some(file.try_clone()?.into());
        Ok(file)
    }

    /// Starts it. An error is that of its start too: no such file, not executable.
    pub fn start(mut self) -> io::Result<Started> {
        if self.streams.iter().any(Option::is_none) {
            let null = File::options().read(true).write(true).open("/dev/null")?;
            for stream in self.streams.iter_mut().filter(|stream| stream.is_none()) {
                *stream = Some(null.try_clone()?.into());
            }
        }
        let (failure, told) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let call = self.prepared();
        match process::clone3(0, None)? {
            Forked::Child => {
                // All of them are above 2: a Rust program's own three are open.
                let streams = (0..).zip(self.streams.iter().flatten());
                let error =
                    streams.map(|(number, stream)| process::set_stream(number, stream)).find_map(Result::err);
                crate::signal::reset_all();
                let error = error.unwrap_or_else(|| call.execute());
                let _ = rustix::io::write(&told, &error.raw_os_error().unwrap_or(libc::EINVAL).to_ne_bytes());
                process::exit(127)
            }
            Forked::Parent { pid, pidfd } => {
                drop(told);
                let mut code = [0; 4];
                if rustix::io::retry_on_intr(|| rustix::io::read(&failure, &mut code))? == code.len() {
                    let _ = process::reap(&pidfd);
                    return Err(io::Error::from_raw_os_error(i32::from_ne_bytes(code)));
                }
                Ok(Started { pid, pidfd })
            }
        }
    }

    /// Runs it to its end.
    pub fn run(self) -> io::Result<ExitStatus> {
        self.start()?.wait()
    }

    /// Makes it this process's program, with this process's streams. Returns only when that fails.
    pub fn replace_this(self) -> io::Error {
        self.prepared().execute()
    }

    fn prepared(&self) -> Call<'_> {
        let mut files = Vec::new();
        if self.file.as_bytes().contains(&b'/') {
            files.push(self.file.clone());
        } else {
            let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
            for folder in path.as_bytes().split(|byte| *byte == b':') {
                let folder = if folder.is_empty() { b"." } else { folder };
                files.extend(CString::new([folder, b"/", self.file.as_bytes()].concat()));
            }
        }
        let arguments = process::pointers(&self.arguments);
        let environment = self.environment.as_deref().map(process::pointers);
        Call { files, arguments, environment, _program: self }
    }
}

/// All that an exec needs, so that nothing is allocated between fork and exec.
struct Call<'a> {
    files: Vec<CString>,
    arguments: Vec<*const libc::c_char>,
    environment: Option<Vec<*const libc::c_char>>,
    // Whose texts those are.
    _program: &'a Program,
}

impl Call<'_> {
    fn execute(&self) -> io::Error {
        unsafe extern "C" {
            static environ: *const *const libc::c_char;
        }
        // SAFETY: nobody changes the environment: that is an unsafe function, which Hull has nowhere.
        let own = unsafe { environ };
        let environment = self.environment.as_ref().map_or(own, |variables| variables.as_ptr());
        let mut refused = None;
        for file in &self.files {
            // SAFETY: all are C strings, the arrays end with null, and all outlive the call.
            unsafe { libc::execve(file.as_ptr(), self.arguments.as_ptr(), environment) };
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) => {}
                Some(libc::EACCES) => refused = Some(error),
                _ => return error,
            }
        }
        refused.unwrap_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }
}

/// A program that runs.
pub struct Started {
    pid: i32,
    pidfd: OwnedFd,
}

impl Started {
    /// Waits for its end, at most so many milliseconds. Whether it has ended.
    pub fn ends_within(&self, milliseconds: i64) -> bool {
        process::wait_exited(&self.pidfd, milliseconds)
    }

    /// Ends it.
    pub fn kill(self) {
        let _ = process::pidfd_send_signal(&self.pidfd, libc::SIGKILL);
        let _ = process::reap(&self.pidfd);
    }

    /// Waits for its end.
    pub fn wait(self) -> io::Result<ExitStatus> {
        let mut status = 0;
        loop {
            // SAFETY: status is a valid place for an int.
            if unsafe { libc::waitpid(self.pid, &raw mut status, 0) } == self.pid {
                return Ok(ExitStatus::from_raw(status));
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

/// All that was written to a recorded stream.
pub fn said(mut record: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    record.rewind()?;
    record.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "nul byte found in provided data"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        let mut program = Program::new("sh").unwrap();
        program.argument("-c").unwrap();
        program.argument(script).unwrap();
        program
    }

    #[test]
    fn a_program_is_found_run_and_heard() {
        let mut program = shell("echo to $0 $NAME; echo wrong >&2; read nothing || exit 7");
        program.argument("first").unwrap();
        program.variable("NAME=value").unwrap();
        let (out, err) = (program.record(1).unwrap(), program.record(2).unwrap());
        let status = program.run().unwrap();
        assert_eq!(status.to_string(), "exit status: 7");
        assert_eq!(
            (said(out).unwrap(), said(err).unwrap()),
            (b"to first value\n".to_vec(), b"wrong\n".to_vec())
        );
    }

    #[test]
    fn the_environment_is_this_ones_unless_another_is_given() {
        let mut program = shell("echo ${PATH:+set}");
        let out = program.record(1).unwrap();
        assert!(program.run().unwrap().success());
        assert_eq!(said(out).unwrap(), b"set\n");
        let mut program = Program::new("/usr/bin/env").unwrap();
        program.without_environment();
        let out = program.record(1).unwrap();
        assert!(program.run().unwrap().success());
        assert_eq!(said(out).unwrap(), b"");
    }

    #[test]
    fn what_cannot_be_started_says_so() {
        let failed = |file: &str| Program::new(file).unwrap().start().err().unwrap().kind();
        assert_eq!(failed("no-such-program-of-hull"), io::ErrorKind::NotFound);
        assert_eq!(failed("/no/such/program"), io::ErrorKind::NotFound);
        assert_eq!(failed("/etc/passwd"), io::ErrorKind::PermissionDenied);
        assert!(Program::new("a\0b").is_err());
    }

    #[test]
    fn one_that_takes_too_long_is_ended() {
        let started = shell("exec sleep 1000").start().unwrap();
        assert!(!started.ends_within(10));
        started.kill();
        assert_eq!(shell("kill -9 $$").run().unwrap().signal(), Some(9));
    }
}
