//! A client that leaves, and takes its run with it.

use std::sync::Arc;

use mesh_runtime::{Run, Runtime, Scope, run::CancelAction, runs::Selection};

use crate::server::Shared;

/// Cancels a run when this is dropped before it was let go: the connection that it belongs to was
/// closed by its client. A server that stops closes connections, too, and cancels nothing by that.
pub(crate) struct Leaving {
    inner: Option<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    runtime: Runtime,
    scope: Scope,
    selection: Selection,
}

impl Leaving {
    pub(crate) fn new(shared: &Arc<Shared>, runtime: &Runtime, scope: &Scope, run: &Run) -> Self {
        let selection = Selection::Runs { thread: Some(run.thread.clone()), ids: vec![run.id] };
        Self {
            inner: Some(Inner {
                shared: Arc::clone(shared),
                runtime: runtime.clone(),
                scope: scope.clone(),
                selection,
            }),
        }
    }

    /// The run has ended, or may go on without its client.
    pub(crate) fn let_go(mut self) {
        self.inner = None;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let Some(Inner { shared, runtime, scope, selection }) = self.inner.take() else { return };
        if shared.stop.is_cancelled() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let tasks = shared.tasks.clone();
        tasks.spawn(async move {
            if let Err(error) = runtime.cancel(&scope, &selection, CancelAction::Interrupt).await {
                tracing::warn!(%error, "cannot cancel the run of a client that left");
            }
        });
    }
}
