//! The table of what may follow what, and the one place that writes it.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::{
    Now, Told,
    claim::Claim,
    rows::{Change, Left, Letter, State},
    shown,
};
use crate::{
    Error, Run, Stamp, Tx,
    idempotency::KEY_KEPT,
    log::{Entry, Kind},
    run::{CancelAction, RunStatus},
    thread::ThreadStatus,
};

/// Executions of a run that may be lost with their workers, one after the other and without a step
/// in between, before it is given up.
pub const ATTEMPTS_MAX: u32 = 3;

/// How long the thread of a run that has it for itself stays readable for those who still follow
/// the run, in milliseconds.
pub const TEMPORARY_GRACE_MS: i64 = 10_000;

/// Why a run changes.
#[derive(Debug, Clone, PartialEq)]
pub enum Cause {
    /// A worker takes it.
    Claimed(Claim),
    /// It came to its end, or to a question.
    Done(State),
    /// It failed: `{"error", "message"}`.
    Failed {
        /// Why.
        error: Json,
        /// What it leaves, where that is known.
        state: Option<State>,
    },
    /// It was cancelled.
    Cancelled {
        /// What it leaves, where that is known.
        state: Option<State>,
        /// Its worker is not asked.
        forced: bool,
    },
    /// It took longer than it may.
    Overdue,
    /// Its worker is gone.
    Lost,
    /// Its worker is about to stop and hands it over at the end of a step.
    Drained,
}

/// What a run's worker has to know before it writes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Go on.
    Held,
    /// Go on to the end of what is under way; it is to end like this.
    Ending(CancelAction),
}

/// Whether a run is still its worker's. To be asked at the beginning of every transaction of a
/// worker.
///
/// # Errors
/// [`Error::Fenced`]: it is not, and nothing may be written; [`Error::Storage`].
pub fn guard(tx: &mut dyn Tx, run: Uuid, epoch: u64) -> Result<Guard, Error> {
    match tx.standing(run)? {
        Some(standing) if standing.status == RunStatus::Running && standing.epoch == epoch => {
            Ok(standing.cancel.map_or(Guard::Held, |(_, action)| Guard::Ending(action)))
        }
        _ => Err(Error::Fenced { run }),
    }
}

/// Ends the execution of a run by its worker, whose `run` still has the status and the epoch that
/// it was claimed with. `told` is what it told that is not on the log yet; it comes before the end.
///
/// A run that is to be cancelled ends as that, unless it was [`Cause::Done`] first, or by itself
/// in the step that it was to end after; with [`CancelAction::Rollback`] it is removed in any case.
///
/// # Errors
/// [`Error::Fenced`]: it is not this worker's any more, and nothing was written;
/// [`Error::Storage`].
pub fn finish(
    tx: &mut dyn Tx,
    now: Now,
    run: &mut Run,
    cause: Cause,
    told: Vec<Entry>,
) -> Result<Told, Error> {
    let standing = tx.standing(run.id)?.ok_or(Error::Fenced { run: run.id })?;
    run.attempt = standing.attempt;
    run.cancel_at = standing.cancel.map(|(at, _)| at);
    let action = standing.cancel.map(|(_, action)| action);
    run.cancel_action = action.unwrap_or_default();
    let cause = match (action, cause) {
        (None, cause)
        | (Some(CancelAction::Interrupt), cause @ Cause::Done(_))
        | (Some(CancelAction::AfterStep), cause @ (Cause::Done(_) | Cause::Failed { .. })) => cause,
        (Some(_), Cause::Done(state)) => Cause::Cancelled { state: Some(state), forced: false },
        (Some(_), Cause::Failed { state, .. } | Cause::Cancelled { state, .. }) => {
            Cause::Cancelled { state, forced: false }
        }
        (Some(_), _) => Cause::Cancelled { state: None, forced: false },
    };
    transition(tx, now, run, &cause, told)
}

/// Changes a run, which has to be as it is stored. If it ends: adds `told` and the last entry to
/// the log of its thread, settles the thread and writes to its webhook; if it ends by being rolled
/// back, it is removed with its checkpoints. If it does not end, only `told` is added.
///
/// # Errors
/// [`Error::Fenced`]: it was changed meanwhile, or this may not become of it; nothing was written.
/// [`Error::Storage`].
pub fn transition(
    tx: &mut dyn Tx,
    now: Now,
    run: &mut Run,
    cause: &Cause,
    mut told: Vec<Entry>,
) -> Result<Told, Error> {
    let (status, epoch) = (run.status, run.epoch);
    if !step(run, now, cause) {
        return Err(Error::Fenced { run: run.id });
    }
    let rolled_back = matches!(cause, Cause::Cancelled { .. })
        && run.cancel_action == CancelAction::Rollback
        && run.status == RunStatus::Interrupted;
    // Also before it is removed: whether it was as expected is checked here.
    if !tx.update_run(Change { run, status, epoch })? {
        return Err(Error::Fenced { run: run.id });
    }
    let mut tell = Told { due: run.status == RunStatus::Pending, ..Told::default() };
    if run.status.is_final() {
        told.push(ending(run, now, cause));
    }
    if !told.is_empty() {
        tx.append(&run.thread, run.id, run.epoch, &mut told)?;
        tell.entries.push((run.thread.clone(), told));
    }
    if !run.status.is_final() {
        return Ok(tell);
    }
    if let Some(target) = &run.kwargs.webhook {
        let body = shown::letter(run, now, cause.state());
        let letter = Letter { id: run.id, run: run.id, target: target.clone(), body, at: now.at };
        tx.post(&letter)?;
    }
    if rolled_back {
        tx.delete_run(run.id)?;
        if status == RunStatus::Running || run.started_at.is_some() {
            tx.forget_checkpoints(&run.thread, run.id)?;
        }
    }
    let left = Left {
        rest: if rolled_back { None } else { rest(run, status, cause) },
        state: cause.state().filter(|_| !rolled_back),
        error: run.error.as_ref(),
        expires_at: run.kwargs.temporary.then(|| expiry(run, now.at)),
    };
    tell.due |= tx.leave(&run.thread, now.at, left)?;
    Ok(tell)
}

/// When the thread goes that a run has for itself. Under a key the same answer is given for as long
/// as the key is remembered, and that is made of what is on the thread.
fn expiry(run: &Run, now: Stamp) -> Stamp {
    let soon = now.plus_ms(TEMPORARY_GRACE_MS);
    if run.kwargs.under_key {
        soon.max(run.created_at.plus_ms(KEY_KEPT.as_millis() as i64))
    } else {
        soon
    }
}

impl Cause {
    fn state(&self) -> Option<&State> {
        match self {
            Self::Done(state) => Some(state),
            Self::Failed { state, .. } | Self::Cancelled { state, .. } => state.as_ref(),
            _ => None,
        }
    }
}

/// The table: what becomes of a run. False, and nothing changed, if that may not become of it.
pub(super) fn step(run: &mut Run, now: Now, cause: &Cause) -> bool {
    use RunStatus::{Error as Failed, Interrupted, Pending, Running, Success, Timeout};
    let to = match (run.status, cause) {
        (Pending, Cause::Claimed(_)) => Running,
        (Pending | Running, Cause::Cancelled { .. }) => Interrupted,
        (Running, Cause::Done(_)) => Success,
        (Running, Cause::Overdue) => Timeout,
        (Running, Cause::Drained) => Pending,
        (Running, Cause::Lost) if run.attempt < ATTEMPTS_MAX => Pending,
        (Running, Cause::Failed { .. } | Cause::Lost) => Failed,
        _ => return false,
    };
    match cause {
        Cause::Claimed(claim) => {
            run.epoch += 1;
            run.attempt += 1;
            run.lease_owner = Some(claim.worker);
            run.lease_until = Some(now.ms.saturating_add(claim.lease_ms));
            run.started_at.get_or_insert(now.at);
            if let Some(limit) = claim.time_limit_ms {
                run.deadline.get_or_insert(now.at.plus_ms(limit));
            }
        }
        // Whoever has it does not know: it may write nothing any more.
        Cause::Lost | Cause::Overdue | Cause::Cancelled { forced: true, .. } => run.epoch += 1,
        // Being drained is not the run's fault.
        Cause::Drained => run.attempt = run.attempt.saturating_sub(1),
        _ => {}
    }
    run.error = match (cause, to) {
        (Cause::Failed { error, .. }, _) => Some(error.clone()),
        (Cause::Lost, Failed) => Some(failure(
            "WorkerLost",
            &format!("the run was given up: {ATTEMPTS_MAX} workers were lost with it"),
        )),
        (Cause::Overdue, _) => Some(failure("TimeoutError", "the run took longer than it may")),
        _ => None,
    };
    if to != Running {
        run.lease_owner = None;
        run.lease_until = None;
    }
    if to.is_final() {
        run.ended_at = Some(now.at);
    }
    run.updated_at = now.at;
    run.status = to;
    true
}

fn failure(error: &str, message: &str) -> Json {
    json!({ "error": error, "message": message })
}

/// What a thread is after a run that had this status before it ended. Nothing for a run that was
/// never executed: it changed nothing.
fn rest(run: &Run, before: RunStatus, cause: &Cause) -> Option<ThreadStatus> {
    Some(match run.status {
        RunStatus::Success => match cause.state() {
            Some(State { unfinished: true, .. }) => ThreadStatus::Interrupted,
            _ => ThreadStatus::Idle,
        },
        RunStatus::Error | RunStatus::Timeout => ThreadStatus::Error,
        _ if before == RunStatus::Pending && run.started_at.is_none() => return None,
        _ => match cause.state() {
            // It was cancelled after its last step.
            Some(State { unfinished: false, .. }) => ThreadStatus::Idle,
            _ => ThreadStatus::Interrupted,
        },
    })
}

/// The last entry of a run.
fn ending(run: &Run, now: Now, cause: &Cause) -> Entry {
    let mut data = Map::new();
    data.insert("status".to_owned(), json!(run.status));
    if let Some(error) = &run.error {
        data.insert("error".to_owned(), error.clone());
    }
    if let Cause::Done(State { breakpoint: true, .. }) = cause {
        data.insert("breakpoint".to_owned(), json!(true));
    }
    if let Cause::Done(State { unfinished: true, .. }) = cause {
        data.insert("unfinished".to_owned(), json!(true));
    }
    let entry = Entry::of_run(run.id, Kind::Ended, now.at.ms(), &Json::Object(data));
    Entry { node: Some(Arc::from(run.graph.as_str())), ..entry }
}

/// Whether the time for a run has come.
pub(super) fn is_due(run: &Run, at: Stamp) -> bool {
    run.not_before.is_none_or(|not_before| not_before <= at)
}
