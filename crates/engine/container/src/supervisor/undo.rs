//! Compensations: what to do, last step first, when a later step fails.

use futures::future::BoxFuture;

/// A stack of named steps.
#[derive(Default)]
pub(super) struct Undo {
    steps: Vec<(&'static str, BoxFuture<'static, Result<(), String>>)>,
}

impl Undo {
    /// Notes how to undo what was just done.
    pub(super) fn push(
        &mut self,
        name: &'static str,
        step: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        self.steps.push((name, Box::pin(step)));
    }

    /// Undoes everything, the last first; a step that fails does not keep the others from running.
    pub(super) async fn run(self, container: &str) {
        for (name, step) in self.steps.into_iter().rev() {
            if let Err(error) = step.await {
                tracing::warn!(container, step = name, %error, "could not undo a step of a failed start");
            }
        }
    }
}
