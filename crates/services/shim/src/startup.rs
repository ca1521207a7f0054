//! From exec to the created container.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use hull_dns::Resolver;
use hull_sys::signal::SignalSet;
use hull_sys::{LayerMounts, rustix};
use hull_task::protocol::{
    Call, CreateOptions, Decoder, Failure, FailureKind, Message, Reply, Request, encode,
};
use rustix::fs::{Mode, OFlags};

use crate::log::Log;
use crate::process::Process;
use crate::runtime::Runtime;
use crate::server::Server;

const SIGCHLD: i32 = 17;

/// Why the shim ended before there was a container.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot {act}: {source}")]
    SetUp { act: &'static str, source: io::Error },
    #[error("the first message is not a creation: {0}")]
    FirstMessage(String),
    #[error("{0}")]
    Create(String),
}

fn failed<E: Into<io::Error>>(act: &'static str) -> impl FnOnce(E) -> Error {
    move |source| Error::SetUp { act, source: source.into() }
}

pub(crate) fn serve() -> Result<(), Error> {
    let (first, listener) = take_descriptors()?;
    let children = leave_daemon()?;
    let (id, options, layers) = read_create(&first)?;
    rustix::io::ioctl_fionbio(&first, true).map_err(failed("set up the first connection"))?;
    let mut reply = Vec::new();
    match create(&options, layers) {
        Ok((runtime, init, resolver)) => {
            let created = Reply::Created { pid: init.pid.unwrap_or_default() };
            encode_reply(&mut reply, id, Ok(created));
            let mut server = Server::new(options, runtime, init, listener, children, resolver);
            server.adopt_first(first, reply);
            server.run().map_err(failed("wait for events"))
        }
        Err(failure) => {
            let message = failure.message.clone();
            encode_reply(&mut reply, id, Err(failure));
            let _ = rustix::io::write(&first, &reply);
            Err(Error::Create(message))
        }
    }
}

fn encode_reply(out: &mut Vec<u8>, id: u64, result: Result<Reply, Failure>) {
    // A short reply always has a JSON form.
    let _ = encode(&Message::Reply { id, result }, out);
}

// Descriptors 0 and 1 become ours, close-on-exec and out of the way of standard streams; nothing else that may
// have been inherited survives an exec.
fn take_descriptors() -> Result<(OwnedFd, OwnedFd), Error> {
    let act = "take the inherited descriptors";
    hull_sys::process::close_on_exec_from(3).map_err(failed(act))?;
    let first = io::stdin().as_fd().try_clone_to_owned().map_err(failed(act))?;
    let listener = io::stdout().as_fd().try_clone_to_owned().map_err(failed(act))?;
    let null = rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let null = null.map_err(failed("open /dev/null"))?;
    rustix::stdio::dup2_stdin(&null).map_err(failed(act))?;
    rustix::stdio::dup2_stdout(&null).map_err(failed(act))?;
    rustix::io::ioctl_fionbio(&listener, true).map_err(failed(act))?;
    Ok((first, listener))
}

// A session of its own, the reaper of what the container leaves behind, and word of every child's end.
fn leave_daemon() -> Result<OwnedFd, Error> {
    rustix::process::setsid().map_err(failed("begin a session"))?;
    hull_sys::process::set_child_subreaper().map_err(failed("become a reaper"))?;
    rustix::process::chdir(c"/").map_err(failed("leave the working directory"))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let children = SignalSet::of(&[SIGCHLD]);
    children.block().map_err(failed("block SIGCHLD"))?;
    children.descriptor().map_err(failed("watch for SIGCHLD"))
}

fn read_create(first: &OwnedFd) -> Result<(u64, CreateOptions, LayerMounts), Error> {
    let mut descriptors = Vec::new();
    let mut decoder = Decoder::default();
    let mut buffer = [0; 4096];
    let call: Call = loop {
        let read = hull_sys::socket::read(first, &mut buffer, &mut descriptors);
        let read = read.map_err(failed("read the first message"))?;
        if read == 0 {
            return Err(Error::FirstMessage("the connection was closed".into()));
        }
        decoder.push(&buffer[..read]);
        match decoder.decode(Call::read) {
            Ok(Some(call)) => break call,
            Ok(None) => {}
            Err(error) => return Err(Error::FirstMessage(error.to_string())),
        }
    };
    match call.request {
        Request::Create(options) => {
            let layers = layers(&options, descriptors);
            Ok((call.id, *options, layers))
        }
        _ => Err(Error::FirstMessage("it asks for something else".into())),
    }
}

// Without all of them nobody knows which they are: the layers are mounted for this container alone then.
fn layers(options: &CreateOptions, descriptors: Vec<OwnedFd>) -> LayerMounts {
    if descriptors.len() != options.mounted.len() {
        return LayerMounts::default();
    }
    options.mounted.iter().cloned().zip(descriptors.into_iter().map(Arc::new)).collect()
}

fn create(
    options: &CreateOptions,
    layers: LayerMounts,
) -> Result<(Runtime, Process, Option<Resolver>), Failure> {
    // The log first: a container whose output cannot be kept is not begun.
    let log =
        Log::open(&options.log).map_err(|error| Failure::new(FailureKind::Failed, error.to_string()))?;
    let mut init = Process::init(options, log);
    let stdio = init.streams.open(options.stdin_open, options.terminal, false)?;
    let mut runtime = Runtime::new(options, &layers)?;
    let made = runtime.create(options, layers, stdio)?;
    init.begin(made)?;
    if let Some(size) = options.console_size {
        init.streams.resize(size)?;
    }
    let resolver = options.resolver.as_deref().map(|settings| resolver(settings, init.pid)).transpose();
    match resolver {
        Ok(resolver) => Ok((runtime, init, resolver)),
        Err(failure) => {
            let _ = runtime.delete();
            Err(failure)
        }
    }
}

/// The resolver of the container whose first process that is.
pub(crate) fn resolver(settings: &Path, pid: Option<i32>) -> Result<Resolver, Failure> {
    Resolver::open(settings, pid.unwrap_or_default())
        .map_err(|error| Failure::new(FailureKind::Failed, format!("the container's resolver: {error}")))
}
