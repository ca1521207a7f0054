//! A process on a prepared snapshot, without a container's record: what a step of a build is. No row, no log, no
//! event of a container's; what is left when it ends is what it wrote into its snapshot.

use super::{prepare, start};
use crate::engine::{Engine, blocking, lock};
use crate::error::{Error, Result};
use crate::machine;
use crate::record::ContainerSpec;
use crate::spec;
use crate::step::{Step, StepExit, StepOutput};
use hull_api_types::ContainerCreateRequest;
use hull_network::Attachment;
use hull_task::client::{AttachOptions, remove_leftovers};
use hull_task::{Exit, Task};
use hull_types::oci::image::Execution;
use hull_types::{Timestamp, short_id};
use std::sync::{Arc, Mutex};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

pub(crate) async fn run(
    engine: &Arc<Engine>,
    step: Step,
    output: mpsc::Sender<StepOutput>,
) -> Result<StepExit> {
    let end = End { engine: Arc::clone(engine), id: step.id.clone(), task: Arc::default(), done: false };
    let result = drive(engine, step, output, &end).await;
    match result.is_ok() {
        // Its process ended: what it wrote can be looked at while the rest is taken away.
        true => drop(tokio::spawn(end.clean_up(true))),
        false => end.clean_up(false).await,
    }
    result
}

/// What has to go when a step ended, also when nobody waits for it any more.
struct End {
    engine: Arc<Engine>,
    id: String,
    task: Arc<Mutex<Option<Task>>>,
    done: bool,
}

impl End {
    async fn clean_up(mut self, keep_snapshot: bool) {
        self.done = true;
        let task = lock(&self.task).take();
        clean_up(Arc::clone(&self.engine), self.id.clone(), task, keep_snapshot).await;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.done {
            let task = lock(&self.task).take();
            tokio::spawn(clean_up(Arc::clone(&self.engine), self.id.clone(), task, false));
        }
    }
}

async fn clean_up(engine: Arc<Engine>, id: String, task: Option<Task>, keep_snapshot: bool) {
    if let Some(task) = task {
        if task.exit().is_none() {
            let _ = task.shutdown().await;
        }
        task.deleted().await;
        if task.exit().is_none_or(|exit| exit.lost) {
            let left = remove_leftovers(&engine.config().runtime_binary, &engine.runtime_state(), &id).await;
            if let Err(error) = left {
                tracing::warn!(step = %id, %error, "cannot remove what a step of a build left");
            }
        }
    }
    let _ = blocking(move || {
        if let Err(error) = engine.networks.release(&id) {
            tracing::warn!(step = %id, %error, "cannot release the network of a step of a build");
        }
        let _ = std::fs::remove_dir_all(engine.bundle(&id));
        if !keep_snapshot {
            // There may be none: the step failed before.
            let _ = engine.snapshotter.remove(&id);
        }
        Ok(())
    })
    .await;
}

async fn drive(
    engine: &Arc<Engine>,
    step: Step,
    output: mpsc::Sender<StepOutput>,
    end: &End,
) -> Result<StepExit> {
    let own = Arc::clone(engine);
    let options = blocking(move || {
        let (spec, mounts) = spec_of(&own, step)?;
        own.snapshotter.prepare(&spec.id, spec.top.as_ref()).map_err(Error::service)?;
        let attachment: Attachment =
            own.networks.attach(&start::attach_request(&spec)).map_err(Error::service)?;
        let prepared = prepared(&own, &spec, mounts)?;
        let options = start::write_bundle(&own, &spec, &attachment, prepared, None)?;
        // The namespace lives by the attachment's descriptor until the process is in it.
        Ok((options, attachment))
    })
    .await?;
    let (options, attachment) = options;
    let task = spawn(options, end).await?;
    drop(attachment);
    let streams = AttachOptions { exec_id: None, stdin: false, stdout: true, stderr: true };
    let stream = task.attach(streams).await.map_err(Error::service)?;
    task.start().await.map_err(|error| start::start_error(&error))?;
    copy_output(stream, output).await;
    let Exit { code, oom_killed, .. } = task.wait().await;
    Ok(StepExit { code: code.into(), oom_killed })
}

// A task that nobody waits for any more is still told to the one who cleans up.
async fn spawn(options: hull_task::SpawnOptions, end: &End) -> Result<Task> {
    let place = Arc::clone(&end.task);
    let task = Task::spawn(options).await.map_err(|error| start::start_error(&error))?;
    *lock(&place) = Some(task.clone());
    Ok(task)
}

fn spec_of(engine: &Engine, step: Step) -> Result<(ContainerSpec, Vec<crate::bundle::ResolvedMount>)> {
    let Step { id, top, config, mut host_config, mounts } = step;
    host_config.log_config.kind = "none".into();
    if host_config.ipc_mode.is_empty() {
        host_config.ipc_mode = "private".into();
    }
    let request = ContainerCreateRequest { config, host_config, ..Default::default() };
    let planned =
        spec::plan(request, &Execution::default(), Vec::new(), &engine.config(), &engine.machine.host)?;
    let mut config = planned.config;
    if config.hostname.is_empty() {
        config.hostname = match planned.host_config.network_mode.as_str() {
            "host" => engine.machine.host.hostname.clone(),
            _ => short_id(&id).to_owned(),
        };
    }
    let spec = ContainerSpec {
        name: format!("build-{}", short_id(&id)),
        created: Timestamp::now(),
        image_name: String::new(),
        image: hull_types::Digest::sha256(&[0; 32]),
        top,
        config,
        host_config: planned.host_config,
        networks: planned.networks,
        mounts: planned.mounts,
        id,
    };
    Ok((spec, mounts))
}

fn prepared(
    engine: &Engine,
    spec: &ContainerSpec,
    mounts: Vec<crate::bundle::ResolvedMount>,
) -> Result<prepare::Prepared> {
    let rootfs = engine.snapshotter.rootfs(&spec.id).map_err(Error::service)?;
    let layers = engine.snapshotter.mounts(&rootfs);
    let security = spec::parse_security_options(&spec.host_config)?;
    Ok(prepare::Prepared {
        user: prepare::first_user(engine, spec, &rootfs, &layers)?,
        mounts,
        devices: machine::devices(&spec.host_config, &engine.config().cdi_spec_dirs)?,
        block_devices: machine::block_devices(&spec.host_config)?,
        seccomp: prepare::filter(engine, spec, &security)?,
        security,
        shm: crate::bundle::ShmSource::Own,
        held: prepare::Held::default(),
        sources: Vec::new(),
        layers,
        rootfs,
    })
}

/// Takes the frames apart until the last writer is gone.
async fn copy_output(mut stream: UnixStream, output: mpsc::Sender<StepOutput>) {
    let mut head = [0; 8];
    while stream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let mut bytes = vec![0; length];
        if stream.read_exact(&mut bytes).await.is_err() {
            return;
        }
        // Without a listener it is read all the same: the process must not wait for it.
        let _ = output.send(StepOutput { stderr: head[0] == 2, bytes: bytes.into() }).await;
    }
}
