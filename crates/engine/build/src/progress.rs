//! What a build tells while it goes on.

use bytes::Bytes;
use hull_api_types::JsonMessage;
use hull_dockerfile::Span;
use hull_dockerfile::lint::Finding;
use tokio::sync::mpsc;

/// A step, as its teller knows it from its beginning.
#[derive(Debug, Clone)]
pub struct StepInfo {
    /// Unique within the build, from 0 on.
    pub id: usize,
    /// `[stage 2/5] RUN make`, as BuildKit names it; empty for a step that only changes the configuration.
    pub name: String,
    /// Which of all steps of the Dockerfile that are needed, from 1 on, and of how many.
    pub number: (usize, usize),
    /// The step as it is written, with its continuations joined.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The Dockerfile was read: these rules found something.
    Findings(Vec<Finding>),
    /// A step begins.
    Begin(StepInfo),
    /// A command runs in a container of this id.
    Running {
        /// The step.
        step: usize,
        /// The container's id.
        id: String,
    },
    /// A piece of a command's output.
    Output {
        /// The step.
        step: usize,
        /// Whether it came by standard error.
        stderr: bool,
        /// The piece.
        bytes: Bytes,
    },
    /// The progress of a pull or download.
    Status {
        /// The step.
        step: usize,
        /// As `POST /images/create` tells it.
        message: JsonMessage,
    },
    /// A step ended well.
    End {
        /// The step.
        step: usize,
        /// Whether its result was there.
        cached: bool,
        /// The digest of the image's configuration up to here.
        id: String,
    },
    /// The result is kept by this id.
    Kept(String),
    /// A step failed.
    Failed {
        /// The step.
        step: usize,
        /// Why.
        error: String,
    },
}

/// Where a build tells it. A listener that is slow holds the build up; one that is gone is not told.
#[derive(Debug, Clone)]
pub struct Progress(mpsc::Sender<Event>);

impl Progress {
    /// Tells this listener.
    pub fn new(sender: mpsc::Sender<Event>) -> Self {
        Self(sender)
    }
    pub(crate) async fn tell(&self, event: Event) {
        let _ = self.0.send(event).await;
    }
}
