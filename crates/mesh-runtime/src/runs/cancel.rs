//! How runs are ended by others than their worker.

use uuid::Uuid;

use super::{
    Now, Told,
    rows::{Change, Left},
    transition::{Cause, transition},
};
use crate::{
    Error, Run, Scope, Tx,
    run::{CancelAction, RunStatus},
};

/// Runs that one transaction cancels at most, when they are not given one by one.
pub const CANCEL_BATCH: usize = 500;

/// How long the worker of a run has to bring it to its end, in milliseconds.
pub const CANCEL_GRACE_MS: i64 = 10_000;

/// Which runs to cancel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// These.
    Runs {
        /// The thread that they have to be on; any without.
        thread: Option<String>,
        /// Their ids.
        ids: Vec<Uuid>,
    },
    /// All that are pending or running, or both; the oldest [`CANCEL_BATCH`] at a time.
    Open(Option<RunStatus>),
}

/// What was cancelled.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cancelled {
    /// The runs that ended, or are to end, by this.
    pub runs: Vec<Uuid>,
    /// How many of those given are there at all.
    pub known: usize,
    /// Whether there may be more of them than one transaction cancels.
    pub more: bool,
    /// What others wait for.
    pub told: Told,
}

/// Cancels runs: a pending one ends at once, a running one is left to its worker for
/// [`CANCEL_GRACE_MS`], or with [`CancelAction::AfterStep`] until its step has ended, unless that
/// is gone. Those that have ended are passed over.
///
/// # Errors
/// [`Error::Damaged`]; [`Error::Storage`].
pub fn cancel(
    tx: &mut dyn Tx,
    now: Now,
    scope: &Scope,
    selection: &Selection,
    action: CancelAction,
) -> Result<Cancelled, Error> {
    let mut cancelled = Cancelled::default();
    let (thread, ids) = match selection {
        Selection::Runs { thread, ids } => (thread.as_deref(), ids.clone()),
        Selection::Open(status) => {
            (None, tx.open_ids(*status, scope.owner(), now.at, action, CANCEL_BATCH)?)
        }
    };
    cancelled.more = matches!(selection, Selection::Open(_)) && ids.len() == CANCEL_BATCH;
    for id in ids {
        let Some(mut run) = tx.run(id)?.filter(|run| is_seen(run, scope, thread)) else { continue };
        cancelled.known += 1;
        if !run.status.is_final() {
            cancelled.told.add(cancel_run(tx, now, &mut run, action)?);
            cancelled.runs.push(id);
        }
    }
    Ok(cancelled)
}

/// Cancels one run that has not ended.
pub(super) fn cancel_run(
    tx: &mut dyn Tx,
    now: Now,
    run: &mut Run,
    action: CancelAction,
) -> Result<Told, Error> {
    // Who asked for less cannot take back what another one asked for.
    if run.cancel_at.is_none() || action > run.cancel_action {
        run.cancel_action = action;
    }
    run.cancel_at.get_or_insert(now.at);
    let running = run.status == RunStatus::Running;
    if running && run.lease_until.is_some_and(|until| until > now.ms) {
        let after_step = run.cancel_action == CancelAction::AfterStep;
        let grace = now.ms.saturating_add(CANCEL_GRACE_MS);
        // A claim on a run that is to end now is not prolonged: when it has passed, the run is
        // ended without its worker.
        if !after_step {
            run.lease_until = run.lease_until.map(|until| until.min(grace));
        }
        run.updated_at = now.at;
        let change = Change { run, status: run.status, epoch: run.epoch };
        if !tx.update_run(change)? {
            return Err(Error::Fenced { run: run.id });
        }
        let told = Told::default();
        return Ok(if after_step {
            Told { stopping: vec![run.id], ..told }
        } else {
            Told { owners: vec![run.id], ..told }
        });
    }
    let cause = Cause::Cancelled { state: None, forced: running };
    let mut told = transition(tx, now, run, &cause, Vec::new())?;
    told.owners.extend(running.then_some(run.id));
    Ok(told)
}

/// Removes a run with its checkpoints. One that has not ended is cancelled first, and its worker
/// is not asked.
///
/// # Errors
/// [`Error::NoRun`]; [`Error::Damaged`]; [`Error::Storage`].
pub fn remove(
    tx: &mut dyn Tx,
    now: Now,
    scope: &Scope,
    thread: Option<&str>,
    id: Uuid,
) -> Result<Told, Error> {
    let mut run = find(tx, scope, thread, id)?;
    if run.status.is_final() {
        tx.delete_run(id)?;
        tx.forget_checkpoints(&run.thread, id)?;
        let left = Left { rest: None, state: None, error: None, expires_at: None };
        tx.leave(&run.thread, now.at, left)?;
        return Ok(Told::default());
    }
    let running = run.status == RunStatus::Running;
    run.cancel_at.get_or_insert(now.at);
    run.cancel_action = CancelAction::Rollback;
    let cause = Cause::Cancelled { state: None, forced: running };
    let mut told = transition(tx, now, &mut run, &cause, Vec::new())?;
    told.owners.extend(running.then_some(id));
    Ok(told)
}

/// A run that the caller sees.
pub(super) fn find(
    tx: &mut dyn Tx,
    scope: &Scope,
    thread: Option<&str>,
    id: Uuid,
) -> Result<Run, Error> {
    tx.run(id)?.filter(|run| is_seen(run, scope, thread)).ok_or(Error::NoRun(id))
}

fn is_seen(run: &Run, scope: &Scope, thread: Option<&str>) -> bool {
    scope.sees(run.owner.as_deref()) && thread.is_none_or(|thread| run.thread == thread)
}
