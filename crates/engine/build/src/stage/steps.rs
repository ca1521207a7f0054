//! A stage's steps in order.

use super::configuration::{self, working_directory};
use super::{State, copy, run};
use crate::build::Build;
use crate::cache::Made;
use crate::error::{Error, Result};
use crate::plan::Base;
use crate::progress::{Event, StepInfo};
use crate::time;
use futures::future::BoxFuture;
use hull_dockerfile::{Expander, Instruction, Scope, Step, trigger};
use hull_types::Platform;
use std::sync::Arc;

/// What a step did to the files.
pub(crate) struct Done {
    pub(crate) made: Option<Made>,
    pub(crate) cached: bool,
}

impl Done {
    pub(crate) const NOTHING: Self = Self { made: None, cached: false };
}

/// Makes a stage.
pub(crate) fn make(build: Arc<Build>, index: usize) -> BoxFuture<'static, Result<State>> {
    Box::pin(async move {
        let stage = &build.file.stages[index];
        let from = build.step_info(index, None, &stage.from);
        let id = from.id;
        build.progress.tell(Event::Begin(from)).await;
        let base = base(&build, index, id).await;
        let mut state = ended(&build, id, &stage.from, base, true).await?;
        let triggers = state.config.config.on_build.take().unwrap_or_default();
        let mut position = 1;
        for text in &triggers {
            let step = trigger("ONBUILD", text).map_err(|error| {
                let excerpt = error.excerpt(text);
                Error::Parse { error, excerpt }
            })?;
            one(&build, index, &mut state, &step, None, &mut position).await?;
        }
        for (number, step) in stage.steps.iter().enumerate() {
            one(&build, index, &mut state, step, Some(number), &mut position).await?;
        }
        Ok(state)
    })
}

async fn ended<T>(build: &Build, id: usize, step: &Step, result: Result<T>, cached: bool) -> Result<T>
where
    T: AsRef<State>,
{
    match result {
        Ok(state) => {
            let end = Event::End { step: id, cached, id: build.id_so_far(state.as_ref()) };
            build.progress.tell(end).await;
            Ok(state)
        }
        Err(error) => Err(failed(build, id, step, error).await),
    }
}

async fn failed(build: &Build, id: usize, step: &Step, error: Error) -> Error {
    build.progress.tell(Event::Failed { step: id, error: error.to_string() }).await;
    match error {
        // A stage that this step needs has said where it failed.
        Error::Step { .. } | Error::Cancelled => error,
        error => Error::Step {
            file: build.file.name.clone(),
            span: step.span,
            text: step.text.clone(),
            source: Box::new(error),
        },
    }
}

impl AsRef<State> for State {
    fn as_ref(&self) -> &State {
        self
    }
}

/// The state that a stage begins with.
async fn base(build: &Arc<Build>, index: usize, step: usize) -> Result<State> {
    let planned = &build.plan.stages[index];
    let platform = match &planned.platform {
        Some(text) => text.parse::<Platform>().map_err(|error| Error::Invalid(error.to_string()))?,
        None => build.target_platform(),
    };
    let mut state = match &planned.base {
        Base::Scratch => State::scratch(platform, build.epoch.unwrap_or(time::EARLIEST)),
        Base::Stage(stage) => (*build.stage(*stage).await?).clone(),
        Base::Image(name) => build.image_state(name, platform, step).await?,
    };
    state.command_set = false;
    if planned.base == Base::Scratch {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        state.scope.set_env("PATH", path);
        state.config.config.env = state.scope.environment();
        state.config.config.working_dir = "/".into();
    }
    Ok(state)
}

async fn one(
    build: &Arc<Build>,
    index: usize,
    state: &mut State,
    step: &Step,
    number: Option<usize>,
    position: &mut usize,
) -> Result<()> {
    let visible = is_visible(step);
    *position += usize::from(visible);
    let mut info: StepInfo = build.step_info(index, number, step);
    if visible {
        info.name = build.step_name(index, *position, &shown(step));
    }
    let id = info.id;
    build.progress.tell(Event::Begin(info)).await;
    match perform(build, index, state, step, id).await {
        Ok(cached) => {
            let end = Event::End { step: id, cached, id: build.id_so_far(state) };
            build.progress.tell(end).await;
            Ok(())
        }
        Err(error) => Err(failed(build, id, step, error).await),
    }
}

/// Whether a step does something to files.
pub(crate) fn is_visible(step: &Step) -> bool {
    use Instruction::{Add, Copy, Run, Workdir};
    matches!(step.instruction, Add(_) | Copy(_) | Run(_) | Workdir(_))
}

fn shown(step: &Step) -> String {
    match &step.instruction {
        Instruction::Run(run) => {
            let flags = step.text.find(run.command.words.first().map_or("", String::as_str)).unwrap_or(0);
            let before = if run.command.shell { step.text.get(..flags).unwrap_or("RUN ") } else { "RUN " };
            format!("{before}{}", super::text::summary(&run.command))
        }
        _ => step.text.clone(),
    }
}

async fn perform(
    build: &Arc<Build>,
    index: usize,
    state: &mut State,
    step: &Step,
    id: usize,
) -> Result<bool> {
    let expander = Expander::new(build.file.directives.escape);
    let scope: Scope = state.scope.clone();
    let expand = |text: &str| -> Result<String> {
        expander.expand(text, &|name| scope.get(name)).map(|expanded| expanded.text).map_err(Error::Invalid)
    };
    let (text, done) = match &step.instruction {
        Instruction::Run(command) => run::run(build, index, state, command, &expand, id).await?,
        Instruction::Copy(transfer) => copy::copy(build, index, state, transfer, &expand, id).await?,
        Instruction::Add(transfer) => copy::add(build, index, state, transfer, &expand, id).await?,
        Instruction::Workdir(path) => {
            let path = working_directory(state, &expand(path)?);
            let done = copy::directory(build, index, state, &path).await?;
            state.config.config.working_dir.clone_from(&path);
            (format!("WORKDIR {path}"), done)
        }
        Instruction::Arg(list) => {
            let mut texts = Vec::new();
            for argument in list {
                let scope = state.scope.clone();
                let default = argument.default.as_deref();
                let default = default.map(|text| expander.expand(text, &|name| scope.get(name)));
                let default = default.transpose().map_err(Error::Invalid)?.map(|expanded| expanded.text);
                let value = state.scope.declare(argument, default, &build.globals);
                texts.push(match value {
                    Some(value) => format!("{}={value}", argument.name),
                    None => argument.name.clone(),
                });
            }
            (format!("ARG {}", texts.join(" ")), Done::NOTHING)
        }
        other => match configuration::apply(state, other, &expand)? {
            Some(text) => (text, Done { made: None, cached: true }),
            None => return Err(Error::Invalid(format!("{} cannot stand here", step.word))),
        },
    };
    let cached = done.cached;
    state.note(text, done.made);
    Ok(cached)
}
