//! A graph mounted in a node, run below the node's task.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;

use crate::{
    checkpoint::{CheckpointId, Place},
    context::TaskContext,
    error::Error,
    graph::Core,
    live::StartInput,
    state::Update,
};

use super::{Breakpoints, Finished, Limits, Request, RunShared, drive};

/// Runs a mounted graph below a task.
pub(crate) async fn drive_child(
    core: Arc<Core>,
    task: &TaskContext,
    input: Update,
) -> Result<Finished, Error> {
    let parent = &task.0.run;
    let ns = task.namespace();
    let ns_text: Arc<str> = Arc::from(ns.join("|"));
    let place = parent
        .place
        .as_ref()
        .map(|place| Place { thread: place.thread.clone(), ns: ns_text.to_string() });
    let mut parents = parent.parents.clone();
    parents.insert(parent.ns_text.to_string(), task.0.base);
    let stored = match (&parent.checkpointer, &place) {
        (Some(checkpointer), Some(place)) => checkpointer.load(place, None).await?.is_some(),
        _ => false,
    };
    let shared = Arc::new(RunShared {
        core,
        deps: Arc::clone(&parent.deps),
        env: Arc::clone(&parent.env),
        checkpointer: parent.checkpointer.clone(),
        store: parent.store.clone(),
        place,
        ns,
        ns_text,
        run_id: Arc::clone(&parent.run_id),
        unsaved: CheckpointId(task.id().0),
        sink: parent.sink.for_child(),
        cancel: task.0.cancel.clone(),
        slots: parent.slots.clone(),
        limits: Limits {
            before: Breakpoints::None,
            after: Breakpoints::None,
            ..parent.limits.clone()
        },
        answers: Mutex::new(parent.answers()),
        parents,
        metadata: parent.metadata.clone(),
        warnings: Arc::clone(&parent.warnings),
    });
    let request = if stored {
        // The task was started before: its graph goes on where it stopped.
        Request::Continue
    } else {
        Request::Input(StartInput { update: input, ..StartInput::default() })
    };
    // Boxed: a graph may be mounted in itself through any number of levels.
    let run: BoxFuture<'_, _> = Box::pin(drive(shared, request, None));
    run.await
}
