//! RUN: a process on the layers so far, and what it changed as a layer.

use super::State;
use super::devices;
use super::steps::Done;
use super::text;
use crate::build::{Build, Cached, blocking, new_id};
use crate::commit;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::mounts::Mounts;
use crate::progress::Event;
use hull_api_types::{ContainerConfig, DeviceRequest, HostConfig};
use hull_container::{Step, StepOutput};
use hull_dockerfile::{Run, scope};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc;

type Expand<'a> = &'a (dyn Fn(&str) -> Result<String> + Sync);

/// A RUN with everything known that it depends on.
struct Prepared {
    words: Vec<String>,
    environment: Vec<String>,
    arguments: Vec<(String, String)>,
    script: Option<(String, Vec<u8>)>,
    host_config: HostConfig,
    /// Where devices mount something.
    device_targets: Vec<String>,
}

pub(super) async fn run(
    build: &Arc<Build>,
    index: usize,
    state: &State,
    run: &Run,
    expand: Expand<'_>,
    step: usize,
) -> Result<(String, Done)> {
    let prepared = prepare(build, state, run, expand)?;
    if prepared.host_config.network_mode != "none" {
        build.note_network();
    }
    let mut mounts = Mounts::resolve(build, index, state, run, expand, step).await?;
    let text = text::run(&prepared.words, &prepared.arguments);
    let key = key_of(state, run, &prepared, &mounts);
    let turn = match build.cached(index, &key, state.top.as_ref()).await {
        Cached::Here(done) => return Ok((text, done)),
        Cached::Missing(turn) => turn,
    };
    crate::emulation::check(&state.platform)?;
    if let Some((name, content)) = &prepared.script {
        mounts.add_script(build, name, content)?;
    }
    let id = new_id()?;
    let placed = mounts.place(build, &id, state, prepared.device_targets.clone()).await?;
    build.progress.tell(Event::Running { step, id: id.clone() }).await;
    let code = execute(build, &id, state, &prepared, &placed, step).await;
    let left_out = placed.traces();
    drop(placed);
    let code = code?;
    let (own, parent, epoch) = (Arc::clone(build), state.top.clone(), state.epoch);
    if code != 0 {
        let builder = Arc::clone(&build.builder);
        let mut left = state.clone();
        let image = blocking(move || {
            let image = match own.request.debug {
                true => diff(&own, &id, parent.as_ref(), epoch, &BTreeSet::new()).and_then(|made| {
                    left.note("what a step left that failed".into(), made);
                    own.image_to_look_at(left, &id).map(Some)
                }),
                false => Ok(None),
            };
            builder.snapshotter.remove(&id)?;
            image
        });
        return Err(Error::Command { command: prepared.words.join(" "), code, image: image.await? });
    }
    let named = text.clone();
    let made = blocking(move || {
        let snapshotter = &own.builder.snapshotter;
        let made = match left_out.is_empty() {
            true => diff(&own, &id, parent.as_ref(), epoch, &BTreeSet::new()),
            false => traces_without_use(&own, &id, left_out)
                .and_then(|left_out| diff(&own, &id, parent.as_ref(), epoch, &left_out)),
        };
        snapshotter.remove(&id)?;
        let made = made?;
        own.remember(&key, made.clone(), &named);
        Ok(made)
    })
    .await?;
    drop(turn);
    Ok((text, Done { made, cached: false }))
}

fn diff(
    build: &Build,
    id: &str,
    parent: Option<&hull_types::ChainId>,
    epoch: i64,
    left_out: &BTreeSet<Vec<u8>>,
) -> Result<Option<crate::Made>> {
    let snapshotter = build.builder.snapshotter.as_ref();
    commit::commit(&build.making, parent, |to| {
        std::thread::scope(|scope| {
            let (reader, mut writer) = std::io::pipe().map_err(Error::io("make a pipe"))?;
            let differ = scope.spawn(move || snapshotter.diff(id, &mut writer));
            let clamped =
                commit::clamp(std::io::BufReader::with_capacity(256 << 10, reader), epoch, left_out, to);
            match differ.join() {
                Ok(Err(error)) if clamped.is_ok() => Err(error.into()),
                Ok(_) => clamped,
                Err(_) => Err(Error::io("write a layer")(std::io::Error::other("the writing thread broke"))),
            }
        })
    })
}

/// Of the places that mounts made for themselves, those in which nothing else came to be.
fn traces_without_use(build: &Build, id: &str, traces: BTreeSet<Vec<u8>>) -> Result<BTreeSet<Vec<u8>>> {
    let changes = build.builder.snapshotter.changes(id)?;
    let used: Vec<&str> = changes
        .iter()
        .map(|change| change.path.trim_start_matches('/'))
        .filter(|path| !traces.contains(path.as_bytes()))
        .collect();
    let mut without = traces;
    without.retain(|trace| {
        let below = [trace.as_slice(), b"/"].concat();
        !used.iter().any(|path| path.as_bytes().starts_with(&below))
    });
    Ok(without)
}

fn prepare(build: &Build, state: &State, run: &Run, expand: Expand<'_>) -> Result<Prepared> {
    let mut script = None;
    let mut words = run.command.words.clone();
    if let Some(first) = run.command.heredocs.first() {
        let Some(line) = words.first().filter(|_| run.command.shell).cloned() else {
            return Err(Error::invalid("a RUN in JSON form has no here-documents"));
        };
        let alone = hull_dockerfile::Heredoc::parse(&line).is_some();
        if alone && first.content.starts_with("#!") {
            let name = first.name.clone();
            script = Some((name.clone(), first.text().into_bytes()));
            words = vec![format!("/dev/pipes/{name}")];
        } else if alone {
            words = vec![first.text()];
        } else {
            // The shell reads them itself.
            let mut whole = line;
            for document in &run.command.heredocs {
                whole.push_str(&format!("\n{}{}", document.content, document.name));
            }
            words = vec![whole];
        }
    }
    if run.command.shell && script.is_none() {
        words = state.shell().into_iter().chain(words).collect();
    }
    let arguments: Vec<(String, String)> = state
        .scope
        .args
        .iter()
        .filter_map(|(name, value)| {
            let value = state
                .scope
                .env
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value)
                .or(value.as_ref())?;
            Some((name.clone(), value.clone()))
        })
        .collect();
    let set = |name: &str| state.scope.env.iter().any(|(known, _)| known == name);
    let mut environment = state.scope.environment();
    environment.extend(
        arguments.iter().filter(|(name, _)| !set(name)).map(|(name, value)| format!("{name}={value}")),
    );
    for name in scope::PROXIES {
        if let Some(value) = build.request.args.get(name)
            && !environment.iter().any(|entry| entry.split('=').next() == Some(name))
        {
            environment.push(format!("{name}={value}"));
        }
    }
    let (host_config, device_targets) = host_config(build, run, expand)?;
    Ok(Prepared { words, environment, arguments, script, host_config, device_targets })
}

fn host_config(build: &Build, run: &Run, expand: Expand<'_>) -> Result<(HostConfig, Vec<String>)> {
    let mut host = build.request.host_config.clone();
    let allowed = |right: &str| build.request.entitlements.iter().any(|given| given == right);
    let asked = run.network.as_deref().map(expand).transpose()?;
    host.network_mode = match asked.as_deref() {
        None | Some("default" | "") => build.request.network.clone(),
        Some("none") => "none".into(),
        Some("host") if allowed("network.host") => "host".into(),
        Some("host") => {
            return Err(Error::invalid(
                "granting entitlement network.host is not allowed by build options: --allow network.host",
            ));
        }
        Some(other) => return Err(Error::Invalid(format!("unsupported network mode {other:?}"))),
    };
    match run.security.as_deref().map(expand).transpose()?.as_deref() {
        None | Some("sandbox" | "") => {}
        Some("insecure") if allowed("security.insecure") => host.privileged = true,
        Some("insecure") => {
            return Err(Error::invalid(
                "granting entitlement security.insecure is not allowed by build options: --allow security.insecure",
            ));
        }
        Some(other) => return Err(Error::Invalid(format!("security {other:?} is not valid"))),
    }
    let devices: Vec<String> = run.devices.iter().map(|device| expand(device)).collect::<Result<_>>()?;
    let known = || build.builder.containers.named_devices();
    let devices = devices::find(&devices, &build.request.entitlements, known)?;
    let targets = devices.iter().flat_map(|device| device.targets().map(str::to_owned)).collect();
    if !devices.is_empty() {
        let names = devices.into_iter().map(|device| device.name).collect();
        let request =
            DeviceRequest { driver: "cdi".into(), device_ids: Some(names), ..DeviceRequest::default() };
        host.resources.device_requests.get_or_insert_default().push(request);
    }
    Ok((host, targets))
}

fn key_of(state: &State, run: &Run, prepared: &Prepared, mounts: &Mounts) -> String {
    let mut key = Key::new("run");
    key.add(state.top.as_ref().map_or("", |top| top.0.as_str()));
    key.add_all(&prepared.words);
    // A proxy that was not declared is nothing that the result depends on.
    let declared = |entry: &&String| {
        let name = entry.split('=').next().unwrap_or_default();
        !scope::PROXIES.contains(&name) || state.scope.get(name).is_some()
    };
    let mut environment: Vec<&String> = prepared.environment.iter().filter(declared).collect();
    environment.sort();
    key.add_all(environment);
    key.add(&state.config.config.user);
    key.add(&state.config.config.working_dir);
    key.add_all(mounts.definitions());
    let script = prepared.script.as_ref();
    key.add(script.map_or(&[][..], |(_, content)| content));
    key.add(format!("{:?}{:?}{:?}", run.network, run.security, run.devices));
    // Which of them were there.
    let devices = prepared.host_config.resources.device_requests.iter().flatten();
    key.add_all(devices.flat_map(|request| request.device_ids.iter().flatten()));
    key.add(state.epoch.to_string());
    key.add(state.platform.to_string());
    key.finish()
}

async fn execute(
    build: &Arc<Build>,
    id: &str,
    state: &State,
    prepared: &Prepared,
    placed: &crate::mounts::Placed,
    step: usize,
) -> Result<i64> {
    let working_dir = match state.config.config.working_dir.as_str() {
        "" => "/".to_owned(),
        path => path.to_owned(),
    };
    let environment = prepared.environment.iter().chain(&placed.environment).cloned().collect();
    let config = ContainerConfig {
        user: state.config.config.user.clone(),
        env: Some(environment),
        cmd: Some(prepared.words.clone()),
        entrypoint: Some(Vec::new()),
        working_dir,
        hostname: build.request.args.get("BUILDKIT_SANDBOX_HOSTNAME").cloned().unwrap_or_default(),
        ..ContainerConfig::default()
    };
    let wanted = Step {
        id: id.to_owned(),
        top: state.top.clone(),
        config,
        host_config: prepared.host_config.clone(),
        mounts: placed.mounts.clone(),
    };
    let (sender, mut output) = mpsc::channel::<StepOutput>(32);
    let progress = build.progress.clone();
    let secrets = placed.secrets.clone();
    let told = async move {
        while let Some(StepOutput { stderr, bytes }) = output.recv().await {
            let bytes = crate::mounts::masked(bytes, &secrets);
            progress.tell(Event::Output { step, stderr, bytes }).await;
        }
    };
    let (exit, ()) = tokio::join!(build.builder.containers.run_step(wanted, sender), told);
    let exit = exit?;
    if exit.oom_killed {
        tracing::info!(step = id, "a step of a build ran out of memory");
    }
    Ok(exit.code)
}
