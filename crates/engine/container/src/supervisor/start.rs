//! Starting: endpoint and bundle, task, clients that wait, process. Each step that leaves something notes its undoing.

use super::links;
use super::prepare::{self, Prepared};
use super::undo::Undo;
use super::{Live, Supervisor};
use crate::bundle::{self, Join, NamespacePlan, Resolved};
use crate::engine::{Engine, blocking};
use crate::error::{Error, Result};
use crate::options::RemoveOptions;
use crate::record::{ContainerSpec, NetworkState, Phase};
use crate::spec;
use hull_api_types::{BYPASS_HOST_FIREWALL, OBEY_HOST_FIREWALL};
use hull_network::{AttachRequest, Attachment};
use hull_task::protocol::CreateOptions;
use hull_task::{ConsoleSize, JsonLog, LogTarget, RuntimeKind, SpawnOptions, Task};
use hull_types::Timestamp;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Supervisor {
    /// A start that a client asked for.
    pub(super) async fn start_by_hand(&mut self) -> Result<()> {
        match self.phase() {
            Phase::Running | Phase::Restarting => return Err(Error::NotModified(self.spec.id.clone())),
            Phase::Paused => {
                return Err(Error::conflict("cannot start a paused container, try unpause instead"));
            }
            Phase::Removing | Phase::Dead => {
                return Err(Error::conflict("container is marked for removal and cannot be started"));
            }
            Phase::Created | Phase::Exited => {}
        }
        self.state.restart_count = 0;
        self.state.manually_stopped = false;
        self.backoff = Default::default();
        self.start().await
    }

    /// The restart policy's start. When it fails the container stays exited: the next try is a person's.
    pub(super) async fn restart_now(&mut self) {
        if let Err(error) = self.start().await {
            tracing::warn!(container = %self.spec.id, %error, "cannot restart the container");
        }
    }

    pub(super) async fn start(&mut self) -> Result<()> {
        let mut undo = Undo::default();
        match self.try_start(&mut undo).await {
            Ok(()) => Ok(()),
            Err(error) => {
                undo.run(&self.spec.id).await;
                self.failed_start(&error).await;
                Err(error)
            }
        }
    }

    async fn failed_start(&mut self, error: &Error) {
        self.live = None;
        self.attaching.clear();
        self.state.error = error.to_string();
        self.state.exit_code = match error {
            Error::Start { exit_code, .. } => *exit_code,
            _ => 128,
        };
        if self.state.phase != Phase::Created {
            self.state.phase = Phase::Exited;
        }
        self.state.pid = 0;
        self.state.network = NetworkState::default();
        self.last_exit = (self.state.exit_code, self.state.error.clone());
        self.record();
        if self.spec.host_config.auto_remove {
            let options = RemoveOptions { force: true, volumes: true, link: false };
            if let Err(error) = self.remove_now(options).await {
                tracing::warn!(container = %self.spec.id, %error, "cannot remove a container that could not start");
            }
        }
    }

    async fn try_start(&mut self, undo: &mut Undo) -> Result<()> {
        if let Some(ending) = self.ending.take() {
            // Cgroup and runtime state of the last run go by this id too.
            ending.deleted().await;
        }
        let (attachment, mut prepared) = self.find_out(undo).await?;
        let held = std::mem::take(&mut prepared.held);
        let (engine, spec, console) = (Arc::clone(&self.engine), Arc::clone(&self.spec), self.console_size());
        let (attachment, options) = blocking(move || {
            let options = write_bundle(&engine, &spec, &attachment, prepared, console)?;
            Ok((attachment, options))
        })
        .await?;
        let task = Task::spawn(options).await.map_err(|error| start_error(&error))?;
        drop(held);
        let spawned = task.clone();
        undo.push("stop the shim", async move {
            spawned.shutdown().await.map_err(|error| error.to_string())?;
            spawned.deleted().await;
            Ok(())
        });
        let live = Live::new(task.clone());
        self.attach_waiting(&task).await;
        task.start().await.map_err(|error| start_error(&error))?;
        self.started(live, attachment);
        Ok(())
    }

    /// Attaches to the networks, and meanwhile looks at everything else.
    async fn find_out(&mut self, undo: &mut Undo) -> Result<(Attachment, Prepared)> {
        let request = if self.spec.host_config.network_mode.starts_with("container:") {
            None
        } else {
            let links = links::of(&self.engine, &self.spec)?;
            Some(AttachRequest { links, ..attach_request(&self.spec) })
        };
        let (engine, spec) = (Arc::clone(&self.engine), Arc::clone(&self.spec));
        undo.push("unmount the volumes", async move {
            prepare::unmount_volumes(&engine, &spec);
            Ok(())
        });
        let networks = self.engine.networks.clone();
        let attaching = blocking(move || match request {
            None => Ok(Attachment::default()),
            Some(request) => networks.attach(&request).map_err(Error::service),
        });
        let (engine, spec) = (Arc::clone(&self.engine), Arc::clone(&self.spec));
        let preparing = blocking(move || prepare::prepare(&engine, &spec));
        let (attachment, prepared) = tokio::join!(attaching, preparing);
        if attachment.is_ok() {
            let (networks, id) = (self.engine.networks.clone(), self.spec.id.clone());
            undo.push("release the endpoint", async move {
                let release = tokio::task::spawn_blocking(move || networks.release(&id));
                release.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
            });
        }
        if prepared.is_ok() && self.spec.host_config.ipc_mode == "shareable" {
            let (engine, id) = (Arc::clone(&self.engine), self.spec.id.clone());
            undo.push("unmount /dev/shm", async move {
                prepare::unmount_shm(&engine, &id);
                Ok(())
            });
        }
        Ok((attachment?, prepared?))
    }

    fn console_size(&self) -> Option<(u32, u32)> {
        let [height, width] = self.spec.host_config.console_size;
        self.console.or((height > 0 && width > 0).then_some((height, width)))
    }

    fn started(&mut self, mut live: Live, attachment: Attachment) {
        let state = &mut self.state;
        state.phase = Phase::Running;
        state.pid = live.task.pid();
        state.exit_code = 0;
        state.error.clear();
        state.oom_killed = false;
        state.started_at = Timestamp::now();
        state.network = NetworkState {
            sandbox_id: attachment.sandbox_id,
            endpoints: attachment.endpoints.into_iter().collect(),
            ports: attachment.ports,
        };
        self.begin_health(&mut live);
        self.live = Some(live);
        self.engine.images.uses().set(&self.spec.id, &self.spec.image, true);
        self.record();
        let published = Arc::clone(&self.published.borrow());
        links::follow(&self.engine, &published);
        for mount in self.spec.mounts.iter().filter(|mount| mount.kind == spec::MountKind::Volume) {
            let (name, destination) = (&mount.source, &mount.destination);
            self.engine.volumes.mounted(
                name,
                &self.spec.id,
                destination,
                !mount.read_only,
                &mount.propagation,
            );
        }
        self.engine.event(&self.spec, "start", &[]);
    }

    /// Starts the health check of a process, if the container has one.
    pub(super) fn begin_health(&mut self, live: &mut Live) {
        self.state.health = None;
        let (Some(check), Some(sender)) = (crate::health::check_of(&self.spec), self.sender.upgrade()) else {
            return;
        };
        self.state.health = Some(hull_api_types::Health {
            status: "starting".into(),
            failing_streak: 0,
            log: Some(Vec::new()),
        });
        let engine = Arc::clone(&self.engine);
        let spec = Arc::clone(&self.spec);
        let monitor = crate::health::monitor(engine, spec, check, live.task.clone(), sender.downgrade());
        live.health = Some(tokio::spawn(monitor));
    }
}

/// What the networks have to know, but for the links: those are to containers that run.
pub(crate) fn attach_request(spec: &ContainerSpec) -> AttachRequest {
    let host = &spec.host_config;
    let list = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let note =
        |name| host.annotations.as_ref().and_then(|notes| notes.get(name)).cloned().unwrap_or_default();
    AttachRequest {
        container_id: spec.id.clone(),
        name: spec.name.clone(),
        hostname: spec.config.hostname.clone(),
        domainname: spec.config.domainname.clone(),
        network_mode: host.network_mode.clone(),
        endpoints: spec.networks.iter().map(|(name, settings)| (name.clone(), settings.clone())).collect(),
        ports: host.port_bindings.clone(),
        exposed: spec.config.exposed_ports.iter().flat_map(|set| set.keys().cloned()).collect(),
        publish_all: host.publish_all_ports,
        obey: note(OBEY_HOST_FIREWALL),
        bypass: note(BYPASS_HOST_FIREWALL),
        dns: list(&host.dns),
        dns_search: list(&host.dns_search),
        dns_options: list(&host.dns_options),
        extra_hosts: list(&host.extra_hosts),
        links: Vec::new(),
    }
}

/// The namespace of another, running container.
fn join_other(engine: &Engine, spec: &ContainerSpec, mode: &str, what: &str, file: &str) -> Result<Join> {
    if mode == "host" {
        return Ok(Join::Host);
    }
    let Some(name) = mode.strip_prefix("container:") else { return Ok(Join::Own) };
    let other = engine.published(name)?;
    if other.spec.id == spec.id {
        return Err(Error::invalid(format!("cannot join own {what} namespace")));
    }
    if !other.state.phase.is_live() {
        return Err(Error::conflict(format!(
            "cannot join {what} namespace of a non running container: container {} is {}",
            other.spec.id,
            other.state.phase.word()
        )));
    }
    Ok(Join::Path(format!("/proc/{}/ns/{file}", other.state.pid)))
}

/// Writes the bundle, and says what the shim needs.
pub(super) fn write_bundle(
    engine: &Engine,
    spec: &ContainerSpec,
    attachment: &Attachment,
    prepared: Prepared,
    console: Option<(u32, u32)>,
) -> Result<SpawnOptions> {
    let directory = engine.bundle(&spec.id);
    let failed = || Error::io(format!("write the bundle {}", directory.display()));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(failed())?;
    let (rootfs, layers) = (prepared.rootfs.clone(), prepared.layers.clone());
    let sources = prepared.sources.clone();
    let runtime = runtime_kind(engine, spec)?;
    if runtime != RuntimeKind::Hull {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory.join("rootfs"))
            .map_err(failed())?;
    }
    let resolved = resolved(engine, spec, attachment, prepared, console, &directory)?;
    let mut document = bundle::oci_spec(spec, &resolved);
    if runtime != RuntimeKind::Hull {
        // What is in it is of 1.0; older runtimes refuse a later number whatever is in it.
        document.oci_version = "1.0.2".into();
    }
    let text = serde_json::to_vec(&document).map_err(|error| failed()(std::io::Error::other(error)))?;
    std::fs::write(directory.join("config.json"), text).map_err(failed())?;
    let own_pid_namespace = resolved.namespaces.pid == Join::Own;
    let create = CreateOptions {
        id: spec.id.clone(),
        bundle: directory,
        state_root: engine.runtime_state(),
        rootfs: Some(rootfs),
        mounted: Vec::new(),
        sources,
        log: log_target(engine, spec)?,
        runtime,
        terminal: spec.config.tty,
        console_size: console
            .map(|(height, width)| ConsoleSize { width: width as u16, height: height as u16 }),
        stdin_open: spec.config.open_stdin,
        stdin_once: spec.config.stdin_once,
        own_pid_namespace,
        resolver: attachment.resolver.clone(),
        no_pivot: false,
    };
    Ok(SpawnOptions { runtime_binary: engine.config().runtime_binary.clone(), create, layers })
}

fn resolved(
    engine: &Engine,
    spec: &ContainerSpec,
    attachment: &Attachment,
    prepared: Prepared,
    console: Option<(u32, u32)>,
    directory: &Path,
) -> Result<Resolved> {
    let host = &spec.host_config;
    let hostname = super::hostname_of(engine, spec);
    let network = match &attachment.netns {
        // The descriptor is the daemon's until the runtime has joined; only the privileged can follow this path.
        Some(netns) => Join::Path(format!("/proc/{}/fd/{}", std::process::id(), netns.as_raw_fd())),
        None => join_other(engine, spec, &host.network_mode, "network", "net")?,
    };
    let pid = join_other(engine, spec, &host.pid_mode, "PID", "pid")?;
    let init = host.init.unwrap_or(engine.config().init) && pid == Join::Own;
    Ok(Resolved {
        user: prepared.user,
        namespaces: NamespacePlan {
            network,
            pid,
            ipc: join_other(engine, spec, &host.ipc_mode, "IPC", "ipc")?,
        },
        mounts: prepared.mounts,
        network_files: network_files(engine, spec, attachment, &hostname, directory)?,
        hostname,
        shm: prepared.shm,
        devices: prepared.devices.nodes,
        device_rules: prepared.devices.rules,
        device_edits: prepared.devices.edits,
        block_devices: prepared.block_devices,
        seccomp: prepared.seccomp.map(|filter| (*filter).clone()),
        security: prepared.security,
        grantable: engine.machine.grantable.clone(),
        masked_here: engine.machine.masked.clone(),
        default_ulimits: engine.config().default_ulimits.clone(),
        no_new_privileges: engine.config().no_new_privileges,
        cgroups_path: engine.cgroup(spec),
        link_environment: links::environment(engine, spec)?,
        init: init.then(|| engine.config().runtime_binary.clone()),
        console_size: console,
    })
}

/// `/etc/resolv.conf`, `/etc/hostname` and `/etc/hosts`: written here, or another container's.
fn network_files(
    engine: &Engine,
    spec: &ContainerSpec,
    attachment: &Attachment,
    hostname: &str,
    directory: &Path,
) -> Result<[PathBuf; 3]> {
    let names = ["resolv.conf", "hostname", "hosts"];
    if let Some(other) = spec.host_config.network_mode.strip_prefix("container:") {
        let other = engine.published(other)?;
        return Ok(names.map(|name| engine.bundle(&other.spec.id).join(name)));
    }
    let files = names.map(|name| directory.join(name));
    let contents = [attachment.resolv_conf.clone(), format!("{hostname}\n"), attachment.hosts.clone()];
    for (path, content) in files.iter().zip(contents) {
        std::fs::write(path, content).map_err(Error::io(format!("write {}", path.display())))?;
    }
    Ok(files)
}

fn runtime_kind(engine: &Engine, spec: &ContainerSpec) -> Result<RuntimeKind> {
    Ok(match spec::runtime_of(&spec.host_config.runtime, &engine.config())? {
        None => RuntimeKind::Hull,
        Some(runtime) => RuntimeKind::Command {
            path: runtime.path.clone(),
            options: runtime.args.clone(),
            root: engine.config().exec_root.join("runtime-command").join(&spec.host_config.runtime),
        },
    })
}

fn log_target(engine: &Engine, spec: &ContainerSpec) -> Result<LogTarget> {
    let log = &spec.host_config.log_config;
    let driver = hull_logs::parse_options(&log.kind, &log.config).map_err(Error::service)?;
    let hull_logs::Driver::JsonFile { max_size, max_file, labels, env } = driver else {
        return Ok(LogTarget::None);
    };
    let home = engine.home(&spec.id);
    let failed = Error::io(format!("make {}", home.display()));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&home).map_err(failed)?;
    let chosen_labels =
        labels.iter().filter_map(|name| Some((name.clone(), spec.config.labels.get(name)?.clone())));
    let variables = spec.config.env.iter().flatten().filter_map(|entry| entry.split_once('='));
    let chosen_env = variables.filter(|(name, _)| env.iter().any(|wanted| wanted == name));
    let attrs =
        chosen_labels.chain(chosen_env.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect();
    Ok(LogTarget::JsonFile(JsonLog { path: engine.log_path(&spec.id), max_size, max_file, attrs }))
}

/// Docker's words about a process that could not be started, and its exit code: clients match on both.
pub(crate) fn start_error(error: &hull_task::Error) -> Error {
    let runtime = match error {
        hull_task::Error::Create { message, .. } => message.clone(),
        hull_task::Error::Refused(failure) => failure.message.clone(),
        other => return Error::Start { message: other.to_string(), exit_code: 128 },
    };
    let message = if runtime.starts_with("OCI runtime") {
        format!("failed to create task for container: failed to create shim task: {runtime}")
    } else {
        format!(
            "failed to create task for container: failed to create shim task: OCI runtime create failed: {runtime}"
        )
    };
    let message = if message.ends_with(": unknown") { message } else { format!("{message}: unknown") };
    let exit_code = exit_code_of(&message);
    let hint = "Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists \
                and is the expected type";
    let message = if message.to_lowercase().contains("not a directory") {
        format!("{message}: {hint}")
    } else {
        message
    };
    Error::Start { message, exit_code }
}

/// 127 for a command that is not there, 126 for one that can't be run, 128 for any other failure.
pub(crate) fn exit_code_of(message: &str) -> i64 {
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["permission denied", "is a directory"]) {
        126
    } else if says(&["executable file not found", "no such file or directory", "not a directory"]) {
        127
    } else {
        128
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_the_words() {
        for (message, code) in [
            ("exec: \"nope\": executable file not found in $PATH: unknown", 127),
            ("exec: \"/nope\": stat /nope: no such file or directory", 127),
            ("exec: \"/etc/passwd\": permission denied", 126),
            ("exec: \"/etc\": is a directory", 126),
            ("cgroup: no space left on device", 128),
        ] {
            assert_eq!(exit_code_of(message), code, "{message}");
        }
    }
}
