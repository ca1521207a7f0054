//! Exec: a further process in a running container. Kept in memory only: it ends with its container.

use crate::attach_stream::AttachStream;
use crate::bundle;
use crate::engine::{Engine, blocking, lock};
use crate::error::{Error, Result};
use crate::machine::new_id;
use crate::options::Attachment;
use crate::record::{ContainerSpec, Phase};
use crate::supervisor::{Published, hostname_of, user_in};
use crate::user::User;
use bytes::Bytes;
use hull_api_types::{ExecCreateRequest, ExecInspect, ExecProcessConfig, ExecStartRequest, IdResponse};
use hull_sys::in_root::InRoot;
use hull_task::{AttachOptions, ConsoleSize, ExecOptions, Task};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long an ended exec can be inspected.
const KEEP: Duration = Duration::from_secs(300);

/// All execs by id.
#[derive(Default)]
pub(crate) struct Execs {
    map: Mutex<HashMap<String, Arc<Exec>>>,
}

struct Exec {
    id: String,
    container: String,
    request: ExecCreateRequest,
    progress: Mutex<Progress>,
    /// Told once it is known how it ended.
    over: Notify,
}

impl Exec {
    /// Its output ends a moment before its end is known: whoever asks in between waits for that.
    async fn settle(&self) {
        loop {
            let over = self.over.notified();
            tokio::pin!(over);
            over.as_mut().enable();
            let (running, pid) = {
                let progress = lock(&self.progress);
                (progress.running, progress.pid)
            };
            if !running || !is_ending(pid) {
                return;
            }
            over.await;
        }
    }
}

/// Whether a process has begun to end, or is gone.
fn is_ending(pid: i32) -> bool {
    const PF_EXITING: u64 = 4;
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // Behind the name, in which anything can stand: state, parent, group, session, terminal, its group, flags.
    let mut words = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let is_dead = words.next().is_some_and(|state| matches!(state, "Z" | "X"));
    is_dead
        || words
            .nth(5)
            .and_then(|flags| flags.parse::<u64>().ok())
            .is_some_and(|flags| flags & PF_EXITING != 0)
}

#[derive(Default)]
struct Progress {
    started: bool,
    running: bool,
    pid: i32,
    exit_code: Option<i64>,
    ended: Option<Instant>,
    task: Option<Task>,
    /// Rows and columns, told before it runs.
    size: Option<(u32, u32)>,
}

impl Execs {
    fn add(&self, exec: Exec) {
        let mut map = lock(&self.map);
        map.retain(|_, known| lock(&known.progress).ended.is_none_or(|ended| ended.elapsed() < KEEP));
        map.insert(exec.id.clone(), Arc::new(exec));
    }

    fn get(&self, id: &str) -> Result<Arc<Exec>> {
        lock(&self.map).get(id).cloned().ok_or_else(|| Error::NoSuchExec(id.to_owned()))
    }

    /// A removed container's are gone.
    pub(crate) fn forget_container(&self, container: &str) {
        lock(&self.map).retain(|_, exec| exec.container != container);
    }

    /// The ids of a container's running execs.
    pub(crate) fn running(&self, container: &str) -> Vec<String> {
        let map = lock(&self.map);
        let of = map.values().filter(|exec| exec.container == container && lock(&exec.progress).running);
        of.map(|exec| exec.id.clone()).collect()
    }
}

/// The task of a container that can run an exec now.
fn runnable(published: &Published) -> Result<&Task> {
    let id = &published.spec.id;
    match published.state.phase {
        Phase::Paused => {
            Err(Error::conflict(format!("container {id} is paused, unpause the container before exec")))
        }
        Phase::Restarting => {
            Err(Error::conflict(format!("container {id} is restarting, wait until the container is running")))
        }
        _ => published.task.as_ref().ok_or_else(|| Error::conflict(format!("container {id} is not running"))),
    }
}

pub(crate) fn create(engine: &Engine, name: &str, request: ExecCreateRequest) -> Result<IdResponse> {
    let published = engine.published(name)?;
    runnable(&published)?;
    let command = request.cmd.clone().unwrap_or_default();
    if command.is_empty() {
        return Err(Error::invalid("No exec command specified"));
    }
    if command.iter().chain(request.env.iter().flatten()).any(|word| word.contains('\0')) {
        return Err(Error::invalid("invalid exec command: it contains a NUL byte"));
    }
    if !request.working_dir.is_empty() && !request.working_dir.starts_with('/') {
        return Err(Error::invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            request.working_dir
        )));
    }
    let id = new_id()?;
    let progress = Progress {
        size: request.console_size.filter(|[height, width]| *height > 0 && *width > 0).map(|[h, w]| (h, w)),
        ..Progress::default()
    };
    event(engine, &published.spec, &format!("exec_create: {}", command.join(" ")), &id, &[]);
    engine.execs.add(Exec {
        id: id.clone(),
        container: published.spec.id.clone(),
        request,
        progress: Mutex::new(progress),
        over: Notify::new(),
    });
    Ok(IdResponse { id })
}

fn event(engine: &Engine, spec: &ContainerSpec, action: &str, id: &str, more: &[(&str, String)]) {
    let mut attributes = vec![("execID", id.to_owned())];
    attributes.extend(more.iter().cloned());
    engine.event(spec, action, &attributes);
}

pub(crate) async fn start(
    engine: &Arc<Engine>,
    id: &str,
    request: ExecStartRequest,
) -> Result<Option<Attachment>> {
    let exec = engine.execs.get(id)?;
    let published = engine.published(&exec.container)?;
    let task = runnable(&published)?.clone();
    {
        let mut progress = lock(&exec.progress);
        if progress.started {
            let word = if progress.running { "is already running" } else { "has already run" };
            return Err(Error::conflict(format!("exec command {id} {word}")));
        }
        progress.started = true;
        if let Some([height, width]) =
            request.console_size.filter(|[height, width]| *height > 0 && *width > 0)
        {
            progress.size = Some((height, width));
        }
    }
    match launch(engine, &exec, &published, &task, request.detach).await {
        Ok(stream) => Ok(stream.map(|stream| Attachment {
            tty: exec.request.tty,
            replay: Bytes::new(),
            stream: Some(stream),
            stdin: exec.request.attach_stdin,
            detach_keys: Some(exec.request.detach_keys.clone()).filter(|keys| !keys.is_empty()),
        })),
        Err(error) => {
            let mut progress = lock(&exec.progress);
            progress.exit_code = Some(match &error {
                Error::Start { exit_code, .. } => *exit_code,
                _ => 126,
            });
            progress.ended = Some(Instant::now());
            Err(error)
        }
    }
}

async fn launch(
    engine: &Arc<Engine>,
    exec: &Arc<Exec>,
    published: &Arc<Published>,
    task: &Task,
    detach: bool,
) -> Result<Option<AttachStream>> {
    let user = user_of(published, task, &exec.request.user).await?;
    let spec = &published.spec;
    let mut request = exec.request.clone();
    request.console_size = lock(&exec.progress).size.map(|(height, width)| [height, width]);
    let config = &engine.config();
    let process = bundle::exec_process(
        spec,
        &request,
        &user,
        &hostname_of(engine, spec),
        &engine.machine.grantable,
        (&config.default_ulimits, config.no_new_privileges),
    );
    let options =
        ExecOptions { exec_id: exec.id.clone(), process, stdin: request.attach_stdin && !detach, detach };
    task.exec_create(options).await.map_err(|error| exec_error(&error))?;
    let stream = match attach_and_run(task, exec, detach).await {
        Ok((stream, pid)) => {
            let mut progress = lock(&exec.progress);
            progress.running = true;
            progress.pid = pid;
            progress.task = Some(task.clone());
            stream
        }
        Err(error) => {
            let _ = task.exec_delete(&exec.id).await;
            return Err(error);
        }
    };
    let command = request.cmd.unwrap_or_default().join(" ");
    event(engine, spec, &format!("exec_start: {command}"), &exec.id, &[]);
    tokio::spawn(wait(Arc::clone(engine), Arc::clone(exec), Arc::clone(published), task.clone()));
    Ok(stream.map(AttachStream::from))
}

async fn attach_and_run(
    task: &Task,
    exec: &Exec,
    detach: bool,
) -> Result<(Option<tokio::net::UnixStream>, i32)> {
    let stream = if detach {
        None
    } else {
        let options = AttachOptions {
            exec_id: Some(exec.id.clone()),
            stdin: exec.request.attach_stdin,
            stdout: exec.request.attach_stdout,
            stderr: exec.request.attach_stderr,
        };
        Some(task.attach(options).await.map_err(|error| exec_error(&error))?)
    };
    let pid = task.exec_start(&exec.id).await.map_err(|error| exec_error(&error))?;
    Ok((stream, pid))
}

/// Who the process runs as, by the running container's own files.
pub(crate) async fn user_of(published: &Arc<Published>, task: &Task, name: &str) -> Result<User> {
    let (published, task, name) = (Arc::clone(published), task.clone(), name.to_owned());
    blocking(move || {
        let spec = &published.spec;
        let failed = Error::io(format!("open the files of container {}", spec.id));
        let root = InRoot::open_dir(format!("/proc/{}/root", task.pid())).map_err(failed)?;
        if task.exit().is_some() {
            // The number may be another process's by now.
            return Err(Error::conflict(format!("container {} is not running", spec.id)));
        }
        let name = if name.is_empty() { &spec.config.user } else { &name };
        user_in(&root, name, spec.host_config.group_add.as_deref().unwrap_or_default())
    })
    .await
}

async fn wait(engine: Arc<Engine>, exec: Arc<Exec>, published: Arc<Published>, task: Task) {
    let code = match task.exec_wait(&exec.id).await {
        Ok(exit) => i64::from(exit.code),
        Err(error) => {
            tracing::warn!(exec = %exec.id, %error, "cannot learn how an exec ended");
            255
        }
    };
    {
        let mut progress = lock(&exec.progress);
        progress.running = false;
        progress.exit_code = Some(code);
        progress.ended = Some(Instant::now());
        progress.task = None;
    }
    exec.over.notify_waiters();
    let _ = task.exec_delete(&exec.id).await;
    event(&engine, &published.spec, "exec_die", &exec.id, &[("exitCode", code.to_string())]);
}

/// Docker's words about an exec that could not be started.
fn exec_error(error: &hull_task::Error) -> Error {
    let message = match error {
        hull_task::Error::Refused(failure) => failure.message.clone(),
        other => return Error::Start { message: other.to_string(), exit_code: 126 },
    };
    let message = if message.starts_with("OCI runtime") {
        message
    } else {
        format!("OCI runtime exec failed: {message}")
    };
    let message = if message.ends_with(": unknown") { message } else { format!("{message}: unknown") };
    let exit_code = match crate::supervisor::exit_code_of(&message) {
        128 => 126,
        code => code,
    };
    Error::Start { message, exit_code }
}

pub(crate) async fn resize(engine: &Engine, id: &str, height: u32, width: u32) -> Result<()> {
    let exec = engine.execs.get(id)?;
    let task = {
        let mut progress = lock(&exec.progress);
        progress.size = Some((height, width));
        progress.task.clone()
    };
    let Some(task) = task else { return Ok(()) };
    let limited = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    let size = ConsoleSize { width: limited(width), height: limited(height) };
    task.resize(Some(id), size).await.map_err(Error::service)
}

pub(crate) async fn inspect(engine: &Engine, id: &str) -> Result<ExecInspect> {
    let exec = engine.execs.get(id)?;
    exec.settle().await;
    let progress = lock(&exec.progress);
    let command = exec.request.cmd.clone().unwrap_or_default();
    Ok(ExecInspect {
        id: exec.id.clone(),
        running: progress.running,
        exit_code: progress.exit_code,
        process_config: ExecProcessConfig {
            tty: exec.request.tty,
            entrypoint: command.first().cloned().unwrap_or_default(),
            arguments: command.iter().skip(1).cloned().collect(),
            privileged: exec.request.privileged,
            user: exec.request.user.clone(),
        },
        open_stdin: exec.request.attach_stdin,
        open_stderr: exec.request.attach_stderr,
        open_stdout: exec.request.attach_stdout,
        can_remove: false,
        container_id: exec.container.clone(),
        detach_keys: Some(exec.request.detach_keys.clone()),
        pid: progress.pid.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(pid: i32) -> Arc<Exec> {
        let progress = Progress { started: true, running: true, pid, ..Progress::default() };
        let (id, container, request) = (String::new(), String::new(), ExecCreateRequest::default());
        Arc::new(Exec { id, container, request, progress: Mutex::new(progress), over: Notify::new() })
    }

    #[tokio::test]
    async fn the_end_of_an_ending_process_is_waited_for() {
        // One that lives on, whatever its output does, is running.
        exec(std::process::id() as i32).settle().await;
        // A dead one that nobody has asked after yet.
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id() as i32;
        while !is_ending(pid) {
            tokio::task::yield_now().await;
        }
        let exec = exec(pid);
        let asked = tokio::spawn({
            let exec = Arc::clone(&exec);
            async move {
                exec.settle().await;
                lock(&exec.progress).exit_code
            }
        });
        tokio::task::yield_now().await;
        assert!(!asked.is_finished());
        {
            let mut progress = lock(&exec.progress);
            (progress.running, progress.exit_code) = (false, Some(2));
        }
        exec.over.notify_waiters();
        assert_eq!(asked.await.unwrap(), Some(2));
        child.wait().unwrap();
        assert!(is_ending(pid));
    }
}
