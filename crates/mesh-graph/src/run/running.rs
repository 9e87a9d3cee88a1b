//! The tasks of a superstep while they run.

use std::panic::AssertUnwindSafe;

use futures::{FutureExt, future::BoxFuture};
use tokio::task::JoinSet;

use crate::{
    error::{Failure, FailureKind},
    reducer::panic_message,
};

use super::task::TaskEnd;

/// The tasks that are running. A single one runs in place; several run side by side on the
/// runtime's threads. Dropping it ends them.
pub(super) enum Running {
    One(Option<(usize, BoxFuture<'static, TaskEnd>)>),
    Many(JoinSet<(usize, TaskEnd)>),
}

impl Running {
    pub(super) fn new(many: bool) -> Self {
        if many { Self::Many(JoinSet::new()) } else { Self::One(None) }
    }

    pub(super) fn add(
        &mut self,
        position: usize,
        task: impl Future<Output = TaskEnd> + Send + 'static,
    ) {
        match self {
            Self::One(slot) => *slot = Some((position, Box::pin(caught(task)))),
            Self::Many(set) => {
                set.spawn(caught(task).map(move |end| (position, end)));
            }
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        match self {
            Self::One(task) => task.is_some(),
            Self::Many(set) => !set.is_empty(),
        }
    }

    /// Drops what is still running, and waits until it is gone: nothing of this run may write once
    /// the run has ended. Only code that blocks its thread is not waited for beyond `patience`.
    pub(super) async fn stop(self, patience: BoxFuture<'static, ()>) {
        if let Self::Many(mut set) = self {
            set.abort_all();
            let gone = async { while set.join_next().await.is_some() {} };
            tokio::select! {
                biased;
                () = gone => {}
                () = patience => {}
            }
        }
    }

    /// The next task that ends. Never returns when none is left.
    pub(super) async fn next(&mut self) -> (usize, TaskEnd) {
        match self {
            Self::One(slot) => {
                let Some((position, task)) = slot else { return std::future::pending().await };
                let ended = (*position, task.await);
                *slot = None;
                ended
            }
            Self::Many(set) => loop {
                match set.join_next().await {
                    Some(Ok(ended)) => return ended,
                    // Panics are caught inside; an aborted task has nobody waiting for it.
                    Some(Err(_)) => {}
                    None => return std::future::pending().await,
                }
            },
        }
    }
}

/// A task whose panics are failures, wherever in it user code runs: also where values are copied
/// or serialized. Built from adaptors: an async function would move the whole task once more.
pub(super) fn caught(
    task: impl Future<Output = TaskEnd> + Send,
) -> impl Future<Output = TaskEnd> + Send {
    AssertUnwindSafe(task).catch_unwind().map(|ended| {
        ended.unwrap_or_else(|panic| {
            let message = format!("panicked: {}", panic_message(&*panic));
            TaskEnd::failed(Failure::new(FailureKind::Panic, message))
        })
    })
}
