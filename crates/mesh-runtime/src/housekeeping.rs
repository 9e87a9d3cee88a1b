//! What has to be done from time to time: threads whose time is up, what removed threads have
//! left, logs that nobody can ask for any more, items of the store that have expired, letters that
//! have arrived. And crons fire.
//!
//! Every chore is done in batches, each of which is one short transaction, so that requests get
//! their turn in between.

use std::time::Duration;

use mesh_graph::store::Options;

use crate::{Error, Runtime};

/// How often threads are looked for whose time is up, unless it is said otherwise.
pub const THREADS_EVERY: Duration = Duration::from_mins(1);

/// How often rows are looked for that removed threads have left.
pub const GRAVES_EVERY: Duration = Duration::from_secs(5);

/// How often entries of logs are looked for that are older than [`LOG_KEPT`].
pub const LOGS_EVERY: Duration = Duration::from_mins(5);

/// How long what a run told is kept after it ended.
pub const LOG_KEPT: Duration = Duration::from_hours(24);

/// Entries of logs that one transaction removes, about.
const LOG_BATCH: usize = 500;

/// How often expired items of the store are looked for, unless it is said otherwise.
pub const ITEMS_EVERY: Duration = Duration::from_mins(5);

/// How often idempotency keys are looked for whose time is up.
pub const KEYS_EVERY: Duration = Duration::from_mins(5);

/// How often letters are looked for that are done with.
pub const LETTERS_EVERY: Duration = Duration::from_mins(5);

/// Batches of one chore before it waits for its next time.
const BATCHES_MAX: usize = 10_000;

impl Runtime {
    /// Does all chores, each at its intervals, until it is dropped.
    ///
    /// # Cancel safety
    /// A batch is done or not done; what is left is done the next time.
    pub async fn keep_house(&self) {
        futures::join!(
            self.every(self.policy().threads_swept_every, "threads", || self.sweep_threads()),
            self.every(GRAVES_EVERY, "removed threads", || self.clear_graves()),
            self.every(LOGS_EVERY, "logs", || self.sweep_logs()),
            self.every(self.policy().items_swept_every, "store", || self.sweep_items()),
            self.every(LETTERS_EVERY, "letters", || self.sweep_letters()),
            self.every(KEYS_EVERY, "idempotency keys", || self.sweep_keys()),
            self.run_crons(),
        );
    }

    /// Does a chore again and again: as long as it says that there is more, and then after a while.
    async fn every<F>(&self, interval: Duration, chore: &'static str, batch: impl Fn() -> F)
    where
        F: Future<Output = Result<bool, Error>>,
    {
        loop {
            self.env().sleep(interval).await;
            for _ in 0..BATCHES_MAX {
                match batch().await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        let error: &dyn std::error::Error = &error;
                        tracing::warn!(error, chore, "a chore failed; it is tried again");
                        break;
                    }
                }
            }
        }
    }

    /// Forgets what runs told that ended longer than [`LOG_KEPT`] ago: one batch. Says whether
    /// there may be more.
    ///
    /// # Errors
    /// What storage reports.
    pub async fn sweep_logs(&self) -> Result<bool, Error> {
        let kept = i64::try_from(LOG_KEPT.as_millis()).unwrap_or(i64::MAX);
        let before = self.env().now_ms().saturating_sub(kept);
        let gone = self.ledger().write(move |tx| tx.forget_entries(before, LOG_BATCH)).await?;
        Ok(gone > 0)
    }

    async fn sweep_items(&self) -> Result<bool, Error> {
        let options = Options::default().env(std::sync::Arc::clone(self.env()));
        let swept = self.ledger().store(options).sweep().await;
        swept.map_err(|error| Error::Storage(Box::new(error)))?;
        // It goes through all of them by itself.
        Ok(false)
    }
}
