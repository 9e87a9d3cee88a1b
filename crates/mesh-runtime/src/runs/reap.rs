//! What becomes of runs whose worker does not end them.

use uuid::Uuid;

use super::{
    Now, Told,
    transition::{Cause, transition},
};
use crate::{Error, Tx, run::RunStatus};

/// Runs that are looked for at a time.
pub const REAP_BATCH: usize = 100;

/// Looks after one running run: ends it if it is over its deadline, or if it was to be cancelled
/// and its worker's time for that is over; and if its worker is gone, hands it to the next one or
/// gives it up. Any other run stays as it is.
///
/// # Errors
/// [`Error::Damaged`]; [`Error::Storage`].
pub fn reap(tx: &mut dyn Tx, now: Now, id: Uuid) -> Result<Told, Error> {
    let Some(mut run) = tx.run(id)?.filter(|run| run.status == RunStatus::Running) else {
        return Ok(Told::default());
    };
    let is_expired = run.lease_until.is_none_or(|until| until <= now.ms);
    let is_overdue = run.deadline.is_some_and(|deadline| deadline <= now.at);
    let cause = match (is_expired, is_overdue) {
        (true, _) if run.cancel_at.is_some() => Cause::Cancelled { state: None, forced: true },
        (_, true) => Cause::Overdue,
        (true, false) => Cause::Lost,
        (false, false) => return Ok(Told::default()),
    };
    let mut told = transition(tx, now, &mut run, &cause, Vec::new())?;
    // One that waits again may have its next execution before this is told, and that is not meant.
    // Whoever lost it hears so when it prolongs its claims, or when it writes.
    if run.status.is_final() {
        told.owners.push(id);
    }
    Ok(told)
}

/// Looks after the running runs that another process has left behind, at most [`REAP_BATCH`];
/// none of their workers is there any more. Returns how many there were: fewer than the most means
/// that all are settled.
///
/// # Errors
/// [`Error::Damaged`]; [`Error::Storage`].
pub fn settle_after_start(tx: &mut dyn Tx, now: Now) -> Result<(usize, Told), Error> {
    // The claims are by the clock of a process that is no more: they have passed, all of them.
    let now = Now { ms: i64::MAX, ..now };
    let runs = tx.overdue_runs(now, REAP_BATCH)?;
    let mut told = Told::default();
    for id in &runs {
        told.add(reap(tx, now, *id)?);
    }
    Ok((runs.len(), told))
}
