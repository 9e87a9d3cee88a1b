//! What a reader has to know of a thread before it follows its log.

use uuid::Uuid;

use crate::{Error, Runtime, Scope, Thread, Tx};

/// How a thread and its log are, read together.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// The thread; its values only if they were asked for. They are those after entry
    /// [`Outlook::settled`].
    pub thread: Thread,
    /// The number of the oldest entry that is kept; none when there is none.
    pub oldest: Option<u64>,
    /// The number of the last entry; 0 before the first one.
    pub last: u64,
    /// The number of the last entry before the run that is going on, or of the last one: what the
    /// thread's row says was true then.
    pub settled: u64,
    /// Name of the log: another one when the thread is deleted and made again, and in another
    /// database. Numbers mean something within one log alone.
    pub log: String,
}

impl Runtime {
    /// When the database was made, in milliseconds since 1970.
    ///
    /// # Errors
    /// What storage reports.
    pub async fn incarnation(&self) -> Result<u64, Error> {
        self.ledger().look(|tx| tx.incarnation()).await
    }

    /// How a thread and its log are now.
    ///
    /// # Errors
    /// [`Error::NoThread`], and what storage reports.
    pub async fn outlook(
        &self,
        scope: &Scope,
        thread: &str,
        with_values: bool,
    ) -> Result<Outlook, Error> {
        let (scope, id) = (scope.clone(), thread.to_owned());
        self.ledger()
            .look(move |tx| {
                let thread = if with_values {
                    tx.thread(&id, &scope)?
                } else {
                    tx.thread_outline(&id, &scope)?
                };
                let thread = thread.ok_or_else(|| Error::NoThread(id.clone()))?;
                let last = tx.last_seq(&id)?;
                let settled = begun(tx, &id)?.map_or(last, |first| first.saturating_sub(1));
                let log = format!("{}-{}", tx.incarnation()?, thread.created_at.0);
                Ok(Outlook { oldest: tx.oldest_seq(&id)?, last, settled, log, thread })
            })
            .await
    }

    /// A number before the first entry of a run: where whoever follows its thread gets all of it.
    ///
    /// # Errors
    /// What storage reports.
    pub async fn before_run(&self, thread: &str, run: Uuid) -> Result<u64, Error> {
        let thread = thread.to_owned();
        self.ledger()
            .look(move |tx| match tx.run_entries(&thread, run, 0, 1)?.first() {
                Some(first) => Ok(first.seq.saturating_sub(1)),
                None => tx.last_seq(&thread),
            })
            .await
    }
}

/// The number of the first entry of the run that is going on.
fn begun(tx: &mut dyn Tx, thread: &str) -> Result<Option<u64>, Error> {
    let going = tx.open_runs(thread)?.into_iter().find(|run| run.started_at.is_some());
    let Some(run) = going else { return Ok(None) };
    Ok(tx.run_entries(thread, run.id, 0, 1)?.first().map(|entry| entry.seq))
}
