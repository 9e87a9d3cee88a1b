//! What has to be told to others: webhooks.
//!
//! A letter is written in the transaction that ends its run, so none is lost. It is sent apart from
//! the run, at least once, with an id and a body that stay the same; a failure is tried again with
//! growing pauses for a day. What then still has not arrived is kept as dead and not sent again.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use uuid::Uuid;

use crate::{Error, Runtime, Stamp, runs::Letter};

/// Letters that are under way at once.
pub const LETTERS_AT_ONCE: usize = 16;

/// The pause after the first failure; each further one is twice as long.
pub const RETRY_FIRST: Duration = Duration::from_secs(5);

/// The longest pause between two attempts.
pub const RETRY_LONGEST: Duration = Duration::from_hours(1);

/// How long a letter is tried before it is dead.
pub const RETRY_FOR: Duration = Duration::from_hours(24);

/// How long delivered and dead letters are remembered.
pub const LETTERS_KEPT: Duration = Duration::from_hours(7 * 24);

/// How often letters are looked for when nothing else says that there are some.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// A letter that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The letter.
    pub letter: Letter,
    /// Attempts so far.
    pub attempts: u32,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrived.
    Delivered,
    /// It is tried again then.
    Again(Stamp),
    /// It is not tried any more.
    Dead,
}

/// The rows of letters.
pub trait OutboxRows {
    /// Letters whose time has come, the earliest first.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    fn due_letters(&mut self, until: Stamp, limit: usize) -> Result<Vec<Due>, Error>;

    /// When the next letter is due.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn next_letter(&mut self) -> Result<Option<Stamp>, Error>;

    /// Notes what became of an attempt.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn settle_letter(&mut self, id: Uuid, fate: Fate) -> Result<(), Error>;

    /// Forgets letters that were delivered or died and are older than this. Returns how many.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn forget_letters(&mut self, before: Stamp, limit: usize) -> Result<usize, Error>;
}

/// Carries letters. Implemented where there is an HTTP client.
#[async_trait]
pub trait Courier: Send + Sync {
    /// Whether letters can go to this address at all. Resolves its name.
    ///
    /// # Errors
    /// Why not, for the client that gave the address.
    async fn check(&self, target: &str) -> Result<(), String>;

    /// Hands a letter over.
    ///
    /// # Errors
    /// Why it did not arrive, for the log.
    async fn deliver(&self, letter: &Letter) -> Result<(), String>;
}

/// The pause after so many failed attempts.
pub fn pause_after(attempts: u32) -> Duration {
    let doubled = RETRY_FIRST
        .saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(RETRY_LONGEST)
}

/// What becomes of a letter after an attempt at `now`.
pub fn fate(due: &Due, arrived: bool, now: Stamp) -> Fate {
    if arrived {
        return Fate::Delivered;
    }
    let pause = i64::try_from(pause_after(due.attempts + 1).as_millis()).unwrap_or(i64::MAX);
    let next = now.plus_ms(pause);
    let end = due.letter.at.plus_ms(i64::try_from(RETRY_FOR.as_millis()).unwrap_or(i64::MAX));
    if next > end { Fate::Dead } else { Fate::Again(next) }
}

impl Runtime {
    /// Delivers letters as they become due, until it is dropped.
    ///
    /// # Cancel safety
    /// A letter that was under way is sent again by the next process.
    pub async fn deliver_letters(&self, courier: Arc<dyn Courier>) {
        loop {
            let next = match self.deliver_due(&*courier).await {
                Ok(next) => next,
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "letters cannot be looked for");
                    None
                }
            };
            let wait = next.map_or(LOOK_EVERY, |next| {
                let ms = next.ms().saturating_sub(self.env().now_ms());
                Duration::from_millis(u64::try_from(ms).unwrap_or(0)).min(LOOK_EVERY)
            });
            tokio::select! {
                () = self.env().sleep(wait) => {}
                () = self.until_posted() => {}
            }
        }
    }

    /// Tries every letter that is due once, and says when the next one will be.
    ///
    /// # Errors
    /// [`Error::Storage`] and the like.
    ///
    /// # Cancel safety
    /// As [`Runtime::deliver_letters`].
    pub async fn deliver_due(&self, courier: &dyn Courier) -> Result<Option<Stamp>, Error> {
        loop {
            let now = self.stamp();
            let due = self.ledger().read(move |tx| tx.due_letters(now, LETTERS_AT_ONCE)).await?;
            if due.is_empty() {
                return self.ledger().read(|tx| tx.next_letter()).await;
            }
            let mut under_way = stream::iter(due)
                .map(|due| self.attempt(courier, due))
                .buffer_unordered(LETTERS_AT_ONCE);
            while let Some(settled) = under_way.next().await {
                settled?;
            }
        }
    }

    async fn attempt(&self, courier: &dyn Courier, due: Due) -> Result<(), Error> {
        let tried = courier.deliver(&due.letter).await;
        let fate = fate(&due, tried.is_ok(), self.stamp());
        if let Err(reason) = tried {
            tracing::warn!(
                run = %due.letter.run,
                letter = %due.letter.id,
                attempt = due.attempts + 1,
                given_up = fate == Fate::Dead,
                reason,
                "a webhook was not delivered"
            );
        }
        let id = due.letter.id;
        self.ledger().write(move |tx| tx.settle_letter(id, fate)).await
    }

    /// Forgets letters that are done with: one batch. Says whether there may be more.
    ///
    /// # Errors
    /// [`Error::Storage`] and the like.
    pub async fn sweep_letters(&self) -> Result<bool, Error> {
        const BATCH: usize = 500;
        let kept = i64::try_from(LETTERS_KEPT.as_millis()).unwrap_or(i64::MAX);
        let before = self.stamp().plus_ms(-kept);
        let gone = self.ledger().write(move |tx| tx.forget_letters(before, BATCH)).await?;
        Ok(gone == BATCH)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{Due, Fate, fate, pause_after};
    use crate::{Stamp, runs::Letter};

    #[test]
    fn pauses_double_up_to_an_hour() {
        let seconds: Vec<u64> = [1, 2, 3, 10, 11, 40, u32::MAX]
            .map(|attempts| pause_after(attempts).as_secs())
            .to_vec();
        assert_eq!(seconds, [5, 10, 20, 2560, 3600, 3600, 3600]);
    }

    #[test]
    fn a_letter_is_dead_after_a_day() {
        let letter = Letter {
            id: Uuid::nil(),
            run: Uuid::nil(),
            target: String::new(),
            body: Vec::new(),
            at: Stamp(0),
        };
        let due = Due { letter, attempts: 0 };
        assert_eq!(fate(&due, true, Stamp(0)), Fate::Delivered);
        assert_eq!(fate(&due, false, Stamp(0)), Fate::Again(Stamp(5_000_000)));
        let day = 24 * 3600 * 1_000_000;
        assert_eq!(fate(&due, false, Stamp(day)), Fate::Dead);
    }
}
