//! The engine's face: each call finds the container, asks its supervisor or reads what it published.

use crate::attach_stream::AttachStream;
use crate::commit::CommitOptions;
use crate::config::ContainersConfig;
use crate::engine::{Engine, blocking};
use crate::error::{Error, Result};
use crate::options::{
    AttachOptions, Attachment, ListOptions, LogOptions, LogStream, RemoveOptions, WaitCondition,
};
use crate::record::Phase;
use crate::supervisor::{PendingAttach, Request};
use crate::wait::WaitHandle;
use crate::{boot, cdi, commit, create, exec, inspect, list, logs, stats, top, tree};
use bytes::Bytes;
use hull_api_types::{
    ContainerCreateRequest, ContainerCreateResponse, ContainerInspect, ContainerPathStat, ContainerStats,
    ContainerSummary, ContainerTopResponse, ContainerUpdateRequest, ContainerUpdateResponse,
    ContainersPruneResponse, ExecCreateRequest, ExecInspect, ExecStartRequest, FilesystemChange, Filters,
    IdResponse, NetworkConnectRequest, NetworkDisconnectRequest,
};
use hull_cgroup::Cgroup;
use hull_errors::{HasKind, Kind};
use hull_events::EventBus;
use hull_image::Images;
use hull_network::Networks;
use hull_snapshot::Snapshotter;
use hull_store::Store;
use hull_types::{Platform, signal};
use hull_volume::Volumes;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;

/// All containers. Cheap to clone.
#[derive(Clone)]
pub struct Containers {
    engine: Arc<Engine>,
}

/// How many containers there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Running, not paused.
    pub running: usize,
    /// Paused.
    pub paused: usize,
    /// Neither.
    pub stopped: usize,
}

fn signal_number(text: Option<&str>) -> Result<Option<i32>> {
    let given = text.filter(|text| !text.is_empty());
    let parse = |text| signal::parse(text).ok_or_else(|| Error::invalid(format!("invalid signal: {text}")));
    given.map(parse).transpose()
}

impl Containers {
    /// Loads the rows, adopts live containers, applies the exits that nobody saw, and restart policies.
    #[allow(clippy::too_many_arguments)]
    pub async fn open(
        config: ContainersConfig,
        store: Store,
        images: Images,
        snapshotter: Arc<dyn Snapshotter>,
        networks: Networks,
        volumes: Volumes,
        events: EventBus,
    ) -> Result<Self> {
        let engine = Arc::new(Engine::new(config, store, images, snapshotter, networks, volumes, events));
        boot::boot(&engine).await?;
        Ok(Self { engine })
    }

    /// The devices that can be asked for by name.
    pub fn named_devices(&self) -> BTreeMap<String, cdi::Device> {
        cdi::devices(&self.engine.config().cdi_spec_dirs)
    }

    /// Creates a container, which does not run yet.
    pub async fn create(
        &self,
        name: Option<&str>,
        platform: Option<Platform>,
        request: ContainerCreateRequest,
    ) -> Result<ContainerCreateResponse> {
        let (engine, name) = (Arc::clone(&self.engine), name.map(str::to_owned));
        blocking(move || create::create(&engine, name.as_deref(), platform, request)).await
    }

    /// Runs a step of a build to its end. A step that fails to start, or that nobody waits for any more, leaves
    /// nothing; of one that ended its snapshot stays.
    pub async fn run_step(
        &self,
        step: crate::step::Step,
        output: mpsc::Sender<crate::step::StepOutput>,
    ) -> Result<crate::step::StepExit> {
        crate::supervisor::step::run(&self.engine, step, output).await
    }

    /// Starts it; kind `NotModified` where it runs.
    pub async fn start(&self, name: &str) -> Result<()> {
        self.engine.find(name)?.ask(Request::Start).await
    }

    /// Stops it; kind `NotModified` where it doesn't run. `timeout` in seconds; negative waits for ever.
    pub async fn stop(&self, name: &str, signal: Option<&str>, timeout: Option<i64>) -> Result<()> {
        let signal = signal_number(signal)?;
        self.engine.find(name)?.ask(|reply| Request::Stop { signal, timeout, reply }).await
    }

    /// Stops it if it runs, then starts it.
    pub async fn restart(&self, name: &str, signal: Option<&str>, timeout: Option<i64>) -> Result<()> {
        let signal = signal_number(signal)?;
        self.engine.find(name)?.ask(|reply| Request::Restart { signal, timeout, reply }).await
    }

    /// Sends a signal, `KILL` by default.
    pub async fn kill(&self, name: &str, signal: Option<&str>) -> Result<()> {
        let signal = signal_number(signal)?.unwrap_or(rustix::process::Signal::KILL.as_raw());
        let told = |error: Error| match error.kind() {
            Kind::Conflict => Error::Conflict(format!("cannot kill container: {name}: {error}")),
            Kind::NotFound => Error::NotFound(format!("cannot kill container: {name}: {error}")),
            _ => error,
        };
        let handle = self.engine.find(name).map_err(told)?;
        handle.ask(|reply| Request::Kill { signal, reply }).await.map_err(told)
    }

    /// Freezes it.
    pub async fn pause(&self, name: &str) -> Result<()> {
        self.engine.find(name)?.ask(Request::Pause).await
    }

    /// Thaws it.
    pub async fn unpause(&self, name: &str) -> Result<()> {
        self.engine.find(name)?.ask(Request::Unpause).await
    }

    /// Begins a wait: the name is resolved at once.
    pub async fn wait(&self, name: &str, condition: WaitCondition) -> Result<WaitHandle> {
        Ok(WaitHandle::new(&self.engine.find(name)?, condition))
    }

    /// Makes an image of it.
    pub async fn commit(&self, name: &str, options: CommitOptions) -> Result<IdResponse> {
        commit::commit(&self.engine, &self.engine.find(name)?, options).await
    }

    /// Gives it another name.
    pub async fn rename(&self, name: &str, new_name: &str) -> Result<()> {
        if name.is_empty() || new_name.is_empty() {
            return Err(Error::invalid("Neither old nor new names may be empty"));
        }
        let handle = self.engine.find(name)?;
        let name = crate::spec::check_name(new_name)?.to_owned();
        handle.ask(|reply| Request::Rename { name, reply }).await
    }

    /// Changes limits and the restart policy, of a running container too.
    pub async fn update(
        &self,
        name: &str,
        request: ContainerUpdateRequest,
    ) -> Result<ContainerUpdateResponse> {
        let request = Box::new(request);
        self.engine.find(name)?.ask(|reply| Request::Update { request, reply }).await
    }

    /// Removes it.
    pub async fn remove(&self, name: &str, options: RemoveOptions) -> Result<()> {
        let handle = self.engine.find(name)?;
        if options.link {
            let Some((own, alias)) = name.trim_start_matches('/').rsplit_once('/') else {
                return Err(Error::conflict(
                    "Conflict, cannot remove the default link name of the container".to_owned(),
                ));
            };
            let alias = alias.to_owned();
            return self.engine.find(own)?.ask(|reply| Request::Unlink { alias, reply }).await;
        }
        if handle.published().state.phase == Phase::Removing {
            return Err(Error::conflict(format!("removal of container {name} is already in progress")));
        }
        handle.ask(|reply| Request::Remove { options, reply }).await
    }

    /// Removes all that don't run.
    pub async fn prune(&self, filters: &Filters) -> Result<ContainersPruneResponse> {
        let mut response = ContainersPruneResponse::default();
        for one in self.engine.all() {
            let idle = matches!(one.state.phase, Phase::Created | Phase::Exited | Phase::Dead);
            if !list::prunable(filters, &one)? || !idle {
                continue;
            }
            let size =
                self.engine.snapshotter.usage(&one.spec.id).map(|usage| usage.size).unwrap_or_default();
            let Ok(handle) = self.engine.find(&one.spec.id) else { continue };
            // What was started meanwhile is refused, and stays.
            if handle.ask(|reply| Request::Remove { options: tree::PRUNED, reply }).await.is_ok() {
                response.containers_deleted.get_or_insert_default().push(one.spec.id.clone());
                response.space_reclaimed += size;
            }
        }
        Ok(response)
    }

    /// Lists containers, the newest first.
    pub async fn list(&self, options: ListOptions) -> Result<Vec<ContainerSummary>> {
        let engine = Arc::clone(&self.engine);
        if options.size {
            // Counting files takes its time.
            return blocking(move || list::list(&engine, &options)).await;
        }
        list::list(&engine, &options)
    }

    /// All about one.
    pub async fn inspect(&self, name: &str, size: bool) -> Result<ContainerInspect> {
        let published = self.engine.published(name)?;
        if !size {
            return Ok(inspect::inspect(&self.engine, &published, false));
        }
        let engine = Arc::clone(&self.engine);
        blocking(move || Ok(inspect::inspect(&engine, &published, true))).await
    }

    /// Its processes.
    pub async fn top(&self, name: &str, ps_args: &str) -> Result<ContainerTopResponse> {
        let published = self.engine.published(name)?;
        let id = &published.spec.id;
        if published.state.phase == Phase::Restarting {
            return Err(Error::conflict(format!(
                "container {id} is restarting, wait until the container is running"
            )));
        }
        let task = published.task.as_ref();
        let task = task.ok_or_else(|| Error::conflict(format!("container {id} is not running")))?;
        let pids = task.pids().await.map_err(Error::service)?;
        let answer = top::top(pids, ps_args).await?;
        self.engine.event(&published.spec, "top", &[]);
        Ok(answer)
    }

    /// What it changed of its image's files.
    pub async fn changes(&self, name: &str) -> Result<Vec<FilesystemChange>> {
        tree::changes(&self.engine, &self.engine.find(name)?).await
    }

    /// One sample; zeros for a container that doesn't run. `precpu_stats` is empty: who wants two samples asks twice,
    /// whatever `one_shot` says.
    pub async fn stats(&self, name: &str, one_shot: bool) -> Result<ContainerStats> {
        let _ = one_shot;
        let (engine, published) = (Arc::clone(&self.engine), self.engine.published(name)?);
        blocking(move || stats::sample(&engine, &published)).await
    }

    /// The terminal's size; remembered where the container doesn't run yet.
    pub async fn resize(&self, name: &str, height: u32, width: u32) -> Result<()> {
        self.engine.find(name)?.ask(|reply| Request::Resize { height, width, reply }).await
    }

    /// Reads its log.
    pub async fn logs(&self, name: &str, options: LogOptions) -> Result<LogStream> {
        if !options.stdout && !options.stderr {
            return Err(Error::invalid("Bad parameters: you must choose at least one stream"));
        }
        logs::open(&self.engine, &self.engine.find(name)?, options)
    }

    /// Connects to its streams; before it is started too.
    pub async fn attach(&self, name: &str, options: AttachOptions) -> Result<Attachment> {
        let handle = self.engine.find(name)?;
        let published = handle.published();
        let id = &published.spec.id;
        match published.state.phase {
            Phase::Paused => {
                return Err(Error::conflict(format!(
                    "container {id} is paused, unpause the container before attach"
                )));
            }
            Phase::Restarting => {
                return Err(Error::conflict(format!(
                    "container {id} is restarting, wait until the container is running"
                )));
            }
            _ => {}
        }
        let replay = if options.logs { self.replay(name, &options).await? } else { Bytes::new() };
        let stdin = options.stdin && published.spec.config.open_stdin;
        let stream = if options.stream {
            let (sender, stream) = AttachStream::pending();
            let wanted = hull_task::AttachOptions {
                exec_id: None,
                stdin,
                stdout: options.stdout,
                stderr: options.stderr,
            };
            handle.tell(Request::Attach(PendingAttach { options: wanted, stream: sender })).await;
            Some(stream)
        } else {
            None
        };
        self.engine.event(&published.spec, "attach", &[]);
        Ok(Attachment {
            tty: published.spec.config.tty,
            replay,
            stream,
            stdin,
            detach_keys: options.detach_keys.filter(|keys| !keys.is_empty()),
        })
    }

    async fn replay(&self, name: &str, options: &AttachOptions) -> Result<Bytes> {
        let wanted = LogOptions { stdout: options.stdout, stderr: options.stderr, ..LogOptions::default() };
        match self.logs(name, wanted).await {
            Ok(stream) => Ok(logs::replay(stream).await),
            // A container without a log has nothing to replay.
            Err(error) if matches!(error.kind(), Kind::NotImplemented | Kind::InvalidParameter) => {
                Ok(Bytes::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Notes a further process; it does not run yet.
    pub async fn exec_create(&self, name: &str, request: ExecCreateRequest) -> Result<IdResponse> {
        exec::create(&self.engine, name, request)
    }

    /// Starts it; `None` when detached.
    pub async fn exec_attach_start(
        &self,
        exec_id: &str,
        request: ExecStartRequest,
    ) -> Result<Option<Attachment>> {
        exec::start(&self.engine, exec_id, request).await
    }

    /// Its terminal's size.
    pub async fn exec_resize(&self, exec_id: &str, height: u32, width: u32) -> Result<()> {
        exec::resize(&self.engine, exec_id, height, width).await
    }

    /// All about it.
    pub async fn exec_inspect(&self, exec_id: &str) -> Result<ExecInspect> {
        exec::inspect(&self.engine, exec_id).await
    }

    /// What a path in the container is.
    pub async fn archive_stat(&self, name: &str, path: &str) -> Result<ContainerPathStat> {
        tree::stat(&self.engine, &self.engine.find(name)?, path).await.map_err(|error| error.calling(name))
    }

    /// A path of the container's as a tar stream.
    pub async fn archive_get(
        &self,
        name: &str,
        path: &str,
    ) -> Result<(ContainerPathStat, mpsc::Receiver<io::Result<Bytes>>)> {
        tree::get(&self.engine, &self.engine.find(name)?, path).await.map_err(|error| error.calling(name))
    }

    /// Unpacks a tar stream into a directory of the container's.
    pub async fn archive_put(
        &self,
        name: &str,
        path: &str,
        no_overwrite_dir_non_dir: bool,
        copy_uid_gid: bool,
        body: impl io::Read + Send + 'static,
    ) -> Result<()> {
        let handle = self.engine.find(name)?;
        let put = tree::put(&self.engine, &handle, path, no_overwrite_dir_non_dir, copy_uid_gid, body);
        put.await.map_err(|error| error.calling(name))
    }

    /// The whole file system as a tar stream, without what is mounted in it.
    pub async fn export(&self, name: &str) -> Result<mpsc::Receiver<io::Result<Bytes>>> {
        tree::export(&self.engine, &self.engine.find(name)?).await
    }

    /// Connects a container, running or not, to a network.
    pub async fn network_connect(&self, network: &str, request: NetworkConnectRequest) -> Result<()> {
        let handle = self.engine.find(&request.container)?;
        let settings = Box::new(request.endpoint_config.unwrap_or_default());
        let network = network.to_owned();
        handle.ask(|reply| Request::Connect { network, settings, reply }).await
    }

    /// Disconnects it.
    pub async fn network_disconnect(&self, network: &str, request: NetworkDisconnectRequest) -> Result<()> {
        let handle = self.engine.find(&request.container)?;
        let (network, force) = (network.to_owned(), request.force);
        handle.ask(|reply| Request::Disconnect { network, force, reply }).await
    }

    /// How many there are.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for one in self.engine.all() {
            match one.state.phase {
                Phase::Running => counts.running += 1,
                Phase::Paused => counts.paused += 1,
                _ => counts.stopped += 1,
            }
        }
        counts
    }

    /// Bytes of a container's log files, rotated ones included.
    pub fn log_size(&self, id: &str) -> u64 {
        let files = std::fs::read_dir(self.engine.home(id)).into_iter().flatten().flatten();
        files
            .filter_map(|file| file.metadata().ok())
            .filter(|data| data.is_file())
            .map(|data| data.len())
            .sum()
    }

    /// Ids of containers whose rows can't be read, with the reason. Their data is kept.
    pub fn damaged(&self) -> Vec<(String, String)> {
        self.engine.index().damaged.iter().map(|(id, reason)| (id.clone(), reason.clone())).collect()
    }

    /// Takes from this configuration what a running daemon can change: the runtimes, and the defaults of containers
    /// that are made from now on.
    pub fn reconfigure(&self, new: ContainersConfig) {
        self.engine.reconfigure(|config| {
            config.runtimes = new.runtimes;
            config.default_runtime = new.default_runtime;
            config.default_shm_size = new.default_shm_size;
            config.default_ipc_mode = new.default_ipc_mode;
            config.default_cgroupns_mode = new.default_cgroupns_mode;
        });
    }

    /// The daemon leaves: supervisors end, containers go on.
    pub async fn shutdown(&self) {
        let handles: Vec<_> = self.engine.index().handles.values().cloned().collect();
        for handle in handles {
            handle.tell(Request::Leave).await;
        }
        // With no container left in it, the parent of their cgroups is nobody's.
        if let Ok(parent) = Cgroup::load(&self.engine.config().cgroup_parent) {
            parent.remove_if_empty();
        }
    }
}
