//! How a worker gets runs, and keeps them.

use uuid::Uuid;

use super::{
    Now,
    rows::Prolonged,
    transition::{Cause, is_due, transition},
};
use crate::{
    Error, Run, Tx,
    run::{CancelAction, RunStatus},
};

/// How a worker takes a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The worker: an id that is new at every start of a process.
    pub worker: Uuid,
    /// How long the claim holds unless it is renewed.
    pub lease_ms: i64,
    /// How long a run may take from its first claim on; for ever without.
    pub time_limit_ms: Option<i64>,
}

/// What a renewal found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The claim holds on.
    Held,
    /// The run is to end, like this, and its worker may bring it to that. The claim ends at its
    /// time, except with [`CancelAction::AfterStep`]: then it holds on.
    Ending(CancelAction),
    /// The run is not this worker's any more.
    Lost,
}

/// Takes runs whose turn has come, oldest first, at most `max`. Of a thread, a run that has begun
/// before goes first: what it has saved is the newest that the thread has.
///
/// # Errors
/// [`Error::Damaged`]; [`Error::Storage`].
pub fn claim(tx: &mut dyn Tx, now: Now, claim: Claim, max: usize) -> Result<Vec<Run>, Error> {
    let mut runs = tx.due_runs(now.at, max)?;
    for run in &mut runs {
        transition(tx, now, run, &Cause::Claimed(claim), Vec::new())?;
    }
    Ok(runs)
}

/// Takes the oldest run of a thread whose turn has come, if there is one. For a worker that has
/// just ended another one of this thread, this is less to look at than [`claim()`].
///
/// # Errors
/// [`Error::Damaged`]; [`Error::Storage`].
pub fn claim_run(
    tx: &mut dyn Tx,
    now: Now,
    claim: Claim,
    thread: &str,
) -> Result<Option<Run>, Error> {
    let runs = tx.open_runs(thread)?;
    if runs.iter().any(|run| run.status == RunStatus::Running) {
        return Ok(None);
    }
    let begun = runs.iter().position(|run| run.started_at.is_some());
    let turn = begun.or_else(|| runs.iter().position(|run| is_due(run, now.at)));
    let Some(mut run) = turn.and_then(|turn| runs.into_iter().nth(turn)) else { return Ok(None) };
    transition(tx, now, &mut run, &Cause::Claimed(claim), Vec::new())?;
    Ok(Some(run))
}

/// Prolongs the claims on runs, each given with its epoch, to `lease_ms` from now on. A run that
/// is to end now is not prolonged; one that is to end after its step is.
///
/// # Errors
/// [`Error::Storage`].
pub fn renew(
    tx: &mut dyn Tx,
    now: Now,
    lease_ms: i64,
    held: &[(Uuid, u64)],
) -> Result<Vec<Renewal>, Error> {
    let until = now.ms.saturating_add(lease_ms);
    let renewed = held.iter().map(|&(id, epoch)| {
        match tx.prolong(id, epoch, until)? {
            Some(Prolonged { ends_after_step: false }) => return Ok(Renewal::Held),
            Some(Prolonged { ends_after_step: true }) => {
                return Ok(Renewal::Ending(CancelAction::AfterStep));
            }
            None => {}
        }
        Ok(match super::guard(tx, id, epoch) {
            Ok(super::Guard::Ending(action)) => Renewal::Ending(action),
            // It cannot be held here: then it would have been prolonged.
            Ok(super::Guard::Held) | Err(Error::Fenced { .. }) => Renewal::Lost,
            Err(error) => return Err(error),
        })
    });
    renewed.collect()
}
