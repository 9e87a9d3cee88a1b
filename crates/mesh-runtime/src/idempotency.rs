//! Requests that may come twice and are done once.
//!
//! A client that does not know whether its request arrived sends it again under the same key. The
//! key is written in the transaction that makes what was asked for, with the id of what was made:
//! whatever happens to the process, either both are there or neither is. Nothing of the answer is
//! kept; it is made again of what the id leads to.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, Runtime, Tx};

/// How long a key is remembered.
pub const KEY_KEPT: Duration = Duration::from_hours(24);

/// Keys that one transaction forgets, at most.
const KEY_BATCH: usize = 500;

/// What a request under a key has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Made {
    /// An assistant.
    Assistant(Uuid),
    /// A cron.
    Cron(Uuid),
    /// Runs, in the order in which they were asked for.
    Runs(Vec<Uuid>),
    /// A thread.
    Thread(String),
}

/// A key under which a request was sent: it is its sender's alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Whose it is; empty where nobody has to say who they are.
    pub principal: String,
    /// The key itself.
    pub text: String,
}

/// What is remembered under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Digest of the request, by which another one under the same key is known.
    pub request: [u8; 32],
    /// What it made.
    pub made: Made,
    /// False while more has to be done to what was made.
    pub is_whole: bool,
}

/// Keys, within one transaction.
pub trait KeyRows {
    /// What is remembered under a key at this time, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    fn key(&mut self, key: &Key, now_ms: i64) -> Result<Option<Kept>, Error>;

    /// Remembers something under a key until `expires_ms`. False, and nothing changes, if
    /// something is remembered under it at `now_ms`.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn put_key(
        &mut self,
        key: &Key,
        kept: &Kept,
        now_ms: i64,
        expires_ms: i64,
    ) -> Result<bool, Error>;

    /// Nothing more has to be done to what was made under a key.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn settle_key(&mut self, key: &Key) -> Result<(), Error>;

    /// Forgets a key.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn remove_key(&mut self, key: &Key) -> Result<(), Error>;

    /// Forgets keys whose time is up, and says how many.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn forget_keys(&mut self, now_ms: i64, limit: usize) -> Result<usize, Error>;
}

/// A key that the next creation is to be remembered under.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    key: Key,
    request: [u8; 32],
    now_ms: i64,
    is_whole: bool,
}

impl Claim {
    /// Nothing more has to be done to what was made.
    pub(crate) fn settle(&self, tx: &mut dyn Tx) -> Result<(), Error> {
        tx.settle_key(&self.key)
    }
}

/// Writes down what was made, in the transaction that makes it. Without a key nothing is done.
///
/// # Errors
/// [`Error::KeyInUse`] when another request was faster; [`Error::Storage`].
pub(crate) fn remember(
    tx: &mut dyn Tx,
    claim: Option<&Claim>,
    made: impl FnOnce() -> Made,
) -> Result<(), Error> {
    let Some(claim) = claim else { return Ok(()) };
    let kept = Kept { request: claim.request, made: made(), is_whole: claim.is_whole };
    let expires = claim.now_ms.saturating_add(KEY_KEPT.as_millis() as i64);
    if tx.put_key(&claim.key, &kept, claim.now_ms, expires)? {
        Ok(())
    } else {
        Err(Error::KeyInUse)
    }
}

impl Runtime {
    /// A handle for one request that came under a key: what is created with it is remembered
    /// under the key, or not created, with [`Error::KeyInUse`], if something is already.
    #[must_use]
    pub fn keyed(&self, key: Key, request: [u8; 32]) -> Self {
        let now_ms = self.env().now_ms();
        self.with_claim(Some(Arc::new(Claim { key, request, now_ms, is_whole: true })))
    }

    /// As this handle, but what is created with it is not whole before
    /// [`Runtime::settle_key`]: until then a repeated request begins anew.
    #[must_use]
    pub fn in_parts(&self) -> Self {
        let claim = self.claim().map(|claim| Claim { is_whole: false, ..Claim::clone(claim) });
        self.with_claim(claim.map(Arc::new))
    }

    /// What is remembered under a key.
    ///
    /// # Errors
    /// What storage reports.
    pub async fn key(&self, key: &Key) -> Result<Option<Kept>, Error> {
        let (key, now_ms) = (key.clone(), self.env().now_ms());
        self.ledger().read(move |tx| tx.key(&key, now_ms)).await
    }

    /// Nothing more has to be done to what was created under this handle's key.
    ///
    /// # Errors
    /// What storage reports.
    ///
    /// # Cancel safety
    /// A dropped future may or may not have taken effect.
    pub async fn settle_key(&self) -> Result<(), Error> {
        match self.claim().cloned() {
            Some(claim) => self.ledger().write(move |tx| tx.settle_key(&claim.key)).await,
            None => Ok(()),
        }
    }

    /// Forgets this handle's key, since what was created under it is gone again.
    ///
    /// # Errors
    /// What storage reports.
    ///
    /// # Cancel safety
    /// A dropped future may or may not have taken effect.
    pub async fn drop_key(&self) -> Result<(), Error> {
        match self.claim().cloned() {
            Some(claim) => self.ledger().write(move |tx| tx.remove_key(&claim.key)).await,
            None => Ok(()),
        }
    }

    /// Forgets keys whose time is up: one batch. Says whether there may be more.
    ///
    /// # Errors
    /// What storage reports.
    pub async fn sweep_keys(&self) -> Result<bool, Error> {
        let now_ms = self.env().now_ms();
        let gone = self.ledger().write(move |tx| tx.forget_keys(now_ms, KEY_BATCH)).await?;
        Ok(gone == KEY_BATCH)
    }
}
