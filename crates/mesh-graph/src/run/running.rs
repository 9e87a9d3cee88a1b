//! The tasks of a superstep while they run.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{FutureExt, future::BoxFuture};
use tokio::task::JoinSet;

use super::task::{Execution, TaskEnd};

/// The tasks that are running. A single one runs in place; several run side by side on the
/// runtime's threads. Dropping it ends them.
pub(super) enum Running {
    One(Option<(usize, Job)>),
    Many(JoinSet<(usize, TaskEnd)>),
}

/// An execution, or one with something before and after it. Its panics are failures, wherever in
/// it user code runs: also where values are copied or serialized.
pub(super) enum Job {
    Plain(Execution),
    Around(BoxFuture<'static, TaskEnd>),
}

impl Future for Job {
    type Output = TaskEnd;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<TaskEnd> {
        let polled = catch_unwind(AssertUnwindSafe(|| match self.get_mut() {
            Self::Plain(execution) => Pin::new(execution).poll(context),
            Self::Around(task) => task.as_mut().poll(context),
        }));
        polled.unwrap_or_else(|panic| Poll::Ready(TaskEnd::panicked(&*panic)))
    }
}

impl Running {
    pub(super) fn new(many: bool) -> Self {
        if many { Self::Many(JoinSet::new()) } else { Self::One(None) }
    }

    pub(super) fn add(&mut self, position: usize, job: Job) {
        match self {
            Self::One(slot) => *slot = Some((position, job)),
            Self::Many(set) => {
                set.spawn(job.map(move |end| (position, end)));
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

    /// The next task that ends. Never ready when none is left.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<(usize, TaskEnd)> {
        match self {
            Self::One(slot) => {
                let Some((position, job)) = slot else { return Poll::Pending };
                let ended = (*position, ready!(Pin::new(job).poll(context)));
                *slot = None;
                Poll::Ready(ended)
            }
            Self::Many(set) => loop {
                match ready!(set.poll_join_next(context)) {
                    Some(Ok(ended)) => return Poll::Ready(ended),
                    // Panics are caught inside; an aborted task has nobody waiting for it.
                    Some(Err(_)) => {}
                    None => return Poll::Pending,
                }
            },
        }
    }
}
