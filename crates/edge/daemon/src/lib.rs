//! The daemon: configuration, wiring, listeners, signals. What it serves is the `api` crate's.
//!
//! ```text
//!   flags ─┐
//!          ├─► settings ─► config ─┬─► lock, pidfile ─► listeners (unix, tcp, tls, systemd) ─► hull_api::serve
//!   file ──┘   (by name)  (types)  └─► wiring: every service, the lowest first ─► hull_api::router ┘
//! ```
//!
//! # Invariants
//! * Everything the daemon touches follows from its configuration: sockets, bridge, nftables table and cgroups have
//!   names made from the exec-root, so daemons with different roots do not meet. One exec-root and one data-root
//!   belong to one daemon, by a lock that the kernel drops with the process.
//! * It is disposable: when it leaves, by signal, crash or kill, containers go on.
//! * `wiring` alone names all services.
//!
//! On disk: `<data-root>` 0710 (`hull.db`, `engine-id`, `content`, `overlay`, `volumes`, `containers`),
//! `<exec-root>` 0710 of the socket's group (`hull.sock`, `hulld.pid`, `hulld.lock`, what services keep for this boot).
//!
//! It must not know HTTP, nor how any service works.

mod config;
mod facts;
mod hosts;
mod idle;
mod listeners;
mod lock;
mod logging;
mod options;
mod reload;
mod settings;
mod storage;
mod tls;
mod wiring;

use anyhow::{Context, Result};
use config::Config;
use listeners::{Listener, Serving};
use lock::{Lock, Pidfile};
use logging::SetLevel;
use reload::Source;
use std::ffi::OsString;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};

/// How long connections may take to finish their request when the daemon leaves. Streams never end by themselves.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs the daemon with the words after its name, until it is told to leave. Returns the exit code.
pub fn main(arguments: Vec<OsString>) -> i32 {
    let words = arguments.into_iter().map(|word| word.to_string_lossy().into_owned());
    match start(words) {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{}", hull_api::status::text_of(error.as_ref()));
            1
        }
    }
}

fn start(words: impl Iterator<Item = String>) -> Result<()> {
    let line = settings::command_line(words)?;
    let mut output = std::io::stdout();
    if line.help {
        write!(output, "{}", options::help())?;
        return Ok(());
    }
    if line.version {
        writeln!(output, "Hull version {}, build {}", facts::VERSION, facts::commit())?;
        return Ok(());
    }
    let validate = line.settings.contains_key("validate");
    let (config, source) = reload::configure(line.settings)?;
    if validate {
        writeln!(output, "configuration OK")?;
        return Ok(());
    }
    adopt_proxies(&config)?;
    let set_level = logging::start(&config);
    hull_sys::open_files::raise().context("raise the limit of open files")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(64)
        .thread_keep_alive(Duration::from_secs(2))
        .thread_name("hulld")
        .enable_all()
        .build()
        .context("start the async runtime")?;
    let result = runtime.block_on(run(config, source, set_level));
    // Blocking work that still runs (a log being followed) must not hold the daemon up.
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

async fn run(mut config: Config, mut source: Source, set_level: SetLevel) -> Result<()> {
    let group = listeners::gid(config.group.as_deref())?;
    lock::directory(&config.exec_root, 0o710)?;
    std::os::unix::fs::chown(&config.exec_root, None, Some(group))
        .with_context(|| format!("give {} to group {group}", config.exec_root.display()))?;
    lock::directory(&config.data_root, 0o710)?;
    let _locks = (Lock::take(&config.exec_root)?, Lock::take(&config.data_root)?);
    let _pidfile = Pidfile::write(&config.pidfile)?;
    // Signals first: one that comes early is not lost. Sockets next: who connects waits until the daemon is ready.
    let mut signals = Signals::new()?;
    let mut hangup = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
    let mut sockets: Vec<Listener> = Vec::new();
    for host in &config.hosts {
        sockets.extend(listeners::listen(host, config.tls.as_ref(), config.group.as_deref())?);
    }
    let opened = tokio::select! {
        opened = wiring::open(&config) => opened,
        () = signals.leave() => return Ok(()),
    };
    let (services, running) = opened.context("failed to start daemon")?;
    for warning in services.facts.borrow().info.warnings.iter().flatten() {
        tracing::warn!("{warning}");
    }
    let (containers, events) = (services.containers.clone(), services.events.clone());
    let router = Arc::new(hull_api::router(services));
    let (leave, shutdown) = watch::channel(false);
    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    let connections = Arc::new(Notify::new());
    let serving = Serving { router, shutdown, alive, connections: connections.clone() };
    let accepting: Vec<_> =
        sockets.into_iter().map(|socket| tokio::spawn(listeners::accept(socket, serving.clone()))).collect();
    drop(serving);
    for host in &config.hosts {
        tracing::info!("API listen on {host}");
    }
    tracing::info!("Daemon has completed initialization");
    notify("READY=1");
    let reloads = async {
        while hangup.recv().await.is_some() {
            reload::reload(&mut source, &mut config, &running);
            set_level(&config);
        }
    };
    tokio::select! {
        () = signals.leave() => {}
        () = reloads => {}
        () = idle::watch(&connections, &events) => {}
    }
    tracing::info!("leaving; containers go on");
    notify("STOPPING=1");
    let _ = leave.send(true);
    for task in accepting {
        let _ = task.await;
    }
    let _ = tokio::time::timeout(LAST_WORDS, all_gone.recv()).await;
    let limit = u64::try_from(config.shutdown_timeout).unwrap_or(u64::MAX >> 32);
    let _ = tokio::time::timeout(Duration::from_secs(limit), containers.shutdown()).await;
    Ok(())
}

/// Proxies of the configuration become the environment's, which who speaks to registries reads: by starting anew
/// with them, since no process can safely change its own environment.
fn adopt_proxies(config: &Config) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let wanted = [
        ("HTTP_PROXY", &config.http_proxy),
        ("HTTPS_PROXY", &config.https_proxy),
        ("NO_PROXY", &config.no_proxy),
    ];
    let set: Vec<_> = wanted.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
    if set.iter().all(|(name, value)| std::env::var(name).is_ok_and(|now| now == *value)) {
        return Ok(());
    }
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let mut again = std::process::Command::new("/proc/self/exe");
    // Programs read the lower-case names as well, and some read those first.
    let lower = set.iter().map(|(name, value)| (name.to_ascii_lowercase(), *value));
    again.arg0(name).args(words).envs(lower).envs(set.iter().copied());
    Err(again.exec()).context("start anew with the configured proxies")
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    user: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            user: listen(SignalKind::user_defined1())?,
        })
    }

    /// Waits for SIGTERM or SIGINT.
    async fn leave(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.user.recv() => tracing::info!("SIGUSR1: nothing to dump"),
            }
        }
    }
}

/// Tells systemd, where it listens (sd_notify(3)).
fn notify(state: &str) {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::debug!("tell systemd {state}: {error}");
    }
}
