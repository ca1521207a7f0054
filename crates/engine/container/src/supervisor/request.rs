//! What a supervisor is asked.

use crate::error::Result;
use crate::options::RemoveOptions;
use hull_api_types::{ContainerUpdateRequest, ContainerUpdateResponse, EndpointSettings, Health};
use hull_task::AttachOptions;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T>>;

/// A client that waits for the process to attach to.
#[derive(Debug)]
pub(crate) struct PendingAttach {
    pub options: AttachOptions,
    pub stream: oneshot::Sender<UnixStream>,
}

/// A request to a container's supervisor.
#[derive(Debug)]
pub(crate) enum Request {
    Start(Reply<()>),
    Stop {
        signal: Option<i32>,
        timeout: Option<i64>,
        reply: Reply<()>,
    },
    Restart {
        signal: Option<i32>,
        timeout: Option<i64>,
        reply: Reply<()>,
    },
    Kill {
        signal: i32,
        reply: Reply<()>,
    },
    Pause(Reply<()>),
    Unpause(Reply<()>),
    Rename {
        name: String,
        reply: Reply<()>,
    },
    Update {
        request: Box<ContainerUpdateRequest>,
        reply: Reply<ContainerUpdateResponse>,
    },
    Remove {
        options: RemoveOptions,
        reply: Reply<()>,
    },
    Attach(PendingAttach),
    Resize {
        height: u32,
        width: u32,
        reply: Reply<()>,
    },
    Connect {
        network: String,
        settings: Box<EndpointSettings>,
        reply: Reply<()>,
    },
    Disconnect {
        network: String,
        force: bool,
        reply: Reply<()>,
    },
    /// A legacy link goes.
    Unlink {
        alias: String,
        reply: Reply<()>,
    },
    /// The health check of the process `of` found something.
    Health {
        of: i32,
        health: Health,
    },
    /// The daemon came up: find out what became of the container.
    Adopt(Reply<()>),
    /// All containers were adopted: finish removals, apply the restart policy.
    Boot {
        reply: Reply<()>,
    },
    /// The daemon leaves; the container goes on.
    Leave,
}
