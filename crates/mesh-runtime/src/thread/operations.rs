//! What can be done with threads as a whole.

use mesh_graph::checkpointer::Retention;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::{
    Thread, ThreadStatus, Ttl, TtlStrategy,
    rows::{Change, Filter, Search, Sizes},
};
use crate::{
    Error, Runtime, Scope, Tx,
    assistant::IfExists,
    idempotency::{Made, remember},
    page::Page,
    run::{CancelAction, RunStatus},
    runs::{Cause, Now, Told, transition},
};

/// Rows of removed threads that one transaction takes away, so that others get their turn.
pub const GRAVE_ROWS: usize = 500;

/// Threads that one transaction looks after when they are removed by the number.
pub const THREADS_BATCH: usize = 100;

/// A thread that is to be made.
#[derive(Debug, Clone, Default)]
pub struct NewThread {
    /// Its id; else a new one.
    pub id: Option<Uuid>,
    /// Its free entries; `graph_id` names the graph of its state.
    pub metadata: Map<String, Json>,
    /// How long it is kept: minutes, and what happens then.
    pub ttl: Option<(f64, TtlStrategy)>,
    /// What happens when the id is taken.
    pub if_exists: IfExists,
}

impl Runtime {
    /// Makes a thread, and says whether it is new.
    ///
    /// # Errors
    /// [`Error::Exists`], and what storage reports.
    ///
    /// # Cancel safety
    /// A dropped future may or may not have made it.
    pub async fn create_thread(
        &self,
        scope: &Scope,
        owner: Option<&str>,
        new: NewThread,
    ) -> Result<(Thread, bool), Error> {
        let id = new.id.unwrap_or_else(|| Uuid::from_u128(self.env().new_id()));
        let now = self.stamp();
        let thread = Thread {
            metadata: new.metadata,
            ttl: new
                .ttl
                .or(self.policy().thread_ttl)
                .map(|(minutes, strategy)| Ttl::from(now, minutes, strategy)),
            owner: owner.map(str::to_owned),
            ..Thread::new(id.to_string(), now)
        };
        let (scope, if_exists) = (scope.clone(), new.if_exists);
        let key = self.claim().cloned();
        let made = self
            .ledger()
            .write(move |tx| {
                let made = match tx.insert_thread(&thread) {
                    Ok(()) => (thread, true),
                    Err(taken @ Error::Exists { .. }) if if_exists == IfExists::DoNothing => {
                        (tx.thread(&thread.id, &scope)?.ok_or(taken)?, false)
                    }
                    Err(error) => return Err(error),
                };
                remember(tx, key.as_deref(), || Made::Thread(made.0.id.clone()))?;
                if let (Some(claim), false) = (&key, made.1) {
                    // Nothing is done to what was there before.
                    claim.settle(tx)?;
                }
                Ok(made)
            })
            .await?;
        self.watchers().touched(&made.0.id);
        Ok(made)
    }

    /// A thread.
    ///
    /// # Errors
    /// [`Error::NoThread`], and what storage reports.
    pub async fn thread(&self, scope: &Scope, id: &str) -> Result<Thread, Error> {
        let (scope, id) = (scope.clone(), id.to_owned());
        self.ledger().look(move |tx| tx.thread(&id, &scope)?.ok_or(Error::NoThread(id))).await
    }

    /// Adds entries to the metadata of a thread, or replaces those of the same keys, and changes
    /// how long it is kept, if that is given.
    ///
    /// # Errors
    /// [`Error::NoThread`], and what storage reports.
    ///
    /// # Cancel safety
    /// A dropped future may or may not have changed it.
    pub async fn patch_thread(
        &self,
        scope: &Scope,
        id: &str,
        metadata: Map<String, Json>,
        ttl: Option<(f64, TtlStrategy)>,
    ) -> Result<Thread, Error> {
        let (scope, id, now) = (scope.clone(), id.to_owned(), self.stamp());
        let changed = self
            .ledger()
            .write(move |tx| {
                let gone = || Error::NoThread(id.clone());
                let mut all = tx.thread_outline(&id, &scope)?.ok_or_else(gone)?.metadata;
                all.extend(metadata);
                let change = Change {
                    metadata: Some(all),
                    ttl: ttl.map(|(minutes, strategy)| Ttl::from(now, minutes, strategy)),
                    ..Change::at(now)
                };
                tx.change_thread(&id, &change)?;
                tx.thread(&id, &scope)?.ok_or_else(gone)
            })
            .await?;
        self.watchers().touched(&changed.id);
        Ok(changed)
    }

    /// Removes a thread with its runs, checkpoints and log. Runs that are on it are cancelled.
    ///
    /// # Errors
    /// [`Error::NoThread`], and what storage reports.
    ///
    /// # Cancel safety
    /// A dropped future may or may not have removed it; it is never removed in part for anybody
    /// who asks.
    pub async fn delete_thread(&self, scope: &Scope, id: &str) -> Result<(), Error> {
        let (scope, owned, now) = (scope.clone(), id.to_owned(), self.now());
        let told = self.ledger().write(move |tx| bury(tx, now, &scope, &owned)).await?;
        self.tell(&told.ok_or_else(|| Error::NoThread(id.to_owned()))?);
        // The rest of a large one is left to the housekeeping.
        self.clear_graves().await?;
        Ok(())
    }

    /// Removes the threads whose metadata name this assistant, and says how many there were.
    ///
    /// # Errors
    /// What storage reports; some may have been removed.
    pub async fn delete_threads_of(&self, scope: &Scope, assistant: Uuid) -> Result<usize, Error> {
        let name = ("assistant_id".to_owned(), Json::from(assistant.to_string()));
        let filter = Filter { metadata: Map::from_iter([name]), ..Filter::all(scope.clone()) };
        self.delete_threads_where(filter).await
    }

    /// Removes the threads that a filter lets through, and says how many there were.
    ///
    /// # Errors
    /// What storage reports; some may have been removed.
    pub(crate) async fn delete_threads_where(&self, filter: Filter) -> Result<usize, Error> {
        let mut gone = 0;
        loop {
            let (scope, filter, now) = (filter.scope.clone(), filter.clone(), self.now());
            let (count, told) = self
                .ledger()
                .write(move |tx| {
                    let ids = tx.thread_ids(&filter, THREADS_BATCH)?;
                    let mut told = Told::default();
                    for id in &ids {
                        told.add(bury(tx, now, &scope, id)?.unwrap_or_default());
                    }
                    Ok((ids.len(), told))
                })
                .await?;
            self.tell(&told);
            gone += count;
            // Every round takes a batch away, so this ends with the last one.
            if count < THREADS_BATCH {
                return Ok(gone);
            }
        }
    }

    /// Removes a part of what deleted threads have left, and says whether there may be more.
    ///
    /// # Errors
    /// What storage reports.
    pub async fn clear_graves(&self) -> Result<bool, Error> {
        let removed = self.ledger().write(|tx| tx.clear_graves(GRAVE_ROWS)).await?;
        Ok(removed == GRAVE_ROWS)
    }

    /// Copies a thread with its checkpoints, values and open questions, without its runs and its
    /// log. `sign` is given the metadata of the copy.
    ///
    /// # Errors
    /// [`Error::NoThread`], and what storage reports.
    ///
    /// # Cancel safety
    /// A dropped future may or may not have made the copy.
    pub async fn copy_thread(
        &self,
        scope: &Scope,
        owner: Option<&str>,
        id: &str,
        sign: impl FnOnce(&mut Map<String, Json>),
    ) -> Result<Thread, Error> {
        let (now, new) = (self.stamp(), Uuid::from_u128(self.env().new_id()));
        let mut signed = Map::new();
        sign(&mut signed);
        let owner = owner.map(str::to_owned);
        let (scope, id) = (scope.clone(), id.to_owned());
        let key = self.claim().cloned();
        let copy = self
            .ledger()
            .write(move |tx| {
                let source = tx.thread(&id, &scope)?.ok_or_else(|| Error::NoThread(id.clone()))?;
                let waits = source.interrupts.as_ref().is_some_and(|open| !open.is_empty());
                let status = match source.status {
                    // The run that it is busy with is not copied.
                    ThreadStatus::Busy if waits => ThreadStatus::Interrupted,
                    ThreadStatus::Busy => ThreadStatus::Idle,
                    status => status,
                };
                let mut copy = Thread {
                    id: new.to_string(),
                    created_at: now,
                    updated_at: now,
                    state_updated_at: now,
                    status,
                    next_seq: 1,
                    ttl: source.ttl.map(|ttl| ttl.renewed(now)),
                    owner,
                    ..source
                };
                copy.metadata.extend(signed);
                tx.insert_thread(&copy)?;
                tx.copy_checkpoints(&id, &copy.id)?;
                remember(tx, key.as_deref(), || Made::Thread(copy.id.clone()))?;
                Ok(copy)
            })
            .await?;
        self.watchers().touched(&copy.id);
        Ok(copy)
    }

    /// Removes threads, or all their checkpoints but the newest, and says how many of them there
    /// were.
    ///
    /// # Errors
    /// What storage reports; some may have been pruned.
    pub async fn prune_threads(
        &self,
        scope: &Scope,
        ids: &[String],
        strategy: TtlStrategy,
    ) -> Result<usize, Error> {
        let mut pruned = 0;
        for id in ids {
            let done = match strategy {
                TtlStrategy::Delete => self.delete_thread(scope, id).await,
                TtlStrategy::KeepLatest => self.prune_thread(scope, id).await,
            };
            match done {
                Ok(()) => pruned += 1,
                Err(Error::NoThread(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(pruned)
    }

    async fn prune_thread(&self, scope: &Scope, id: &str) -> Result<(), Error> {
        let (scope, owned) = (scope.clone(), id.to_owned());
        let found = self.ledger().look(move |tx| tx.thread_outline(&owned, &scope)).await?;
        found.ok_or_else(|| Error::NoThread(id.to_owned()))?;
        self.ledger().checkpointer().prune(id, Retention::Heads).await?;
        Ok(())
    }

    /// A page of threads.
    ///
    /// # Errors
    /// What storage reports.
    pub async fn search_threads(&self, search: Search) -> Result<Page<Thread>, Error> {
        self.ledger().read(move |tx| tx.search_threads(&search)).await
    }

    /// How many threads there are of a kind.
    ///
    /// # Errors
    /// What storage reports.
    pub async fn count_threads(&self, filter: Filter) -> Result<u64, Error> {
        self.ledger().read(move |tx| tx.count_threads(&filter)).await
    }

    /// What the checkpoints of a thread take.
    ///
    /// # Errors
    /// [`Error::NoThread`], and what storage reports.
    pub async fn thread_sizes(&self, scope: &Scope, id: &str) -> Result<Sizes, Error> {
        let (scope, id) = (scope.clone(), id.to_owned());
        self.ledger()
            .read(move |tx| match tx.thread_outline(&id, &scope)? {
                Some(_) => tx.checkpoint_sizes(&id),
                None => Err(Error::NoThread(id)),
            })
            .await
    }

    /// Looks after threads whose time is up, [`THREADS_BATCH`] at most, and says whether there may
    /// be more.
    ///
    /// # Errors
    /// What storage reports.
    pub async fn sweep_threads(&self) -> Result<bool, Error> {
        let now = self.now();
        let (count, keep, told) = self
            .ledger()
            .write(move |tx| {
                let expired = tx.expired_threads(now.at, THREADS_BATCH)?;
                let (count, mut keep, mut told) = (expired.len(), Vec::new(), Told::default());
                for (id, strategy) in expired {
                    match strategy {
                        TtlStrategy::Delete => {
                            told.add(bury(tx, now, &Scope::All, &id)?.unwrap_or_default());
                        }
                        TtlStrategy::KeepLatest => {
                            // From here on nothing happens to it until somebody uses it again.
                            tx.let_rest(&id)?;
                            keep.push(id);
                        }
                    }
                }
                Ok((count, keep, told))
            })
            .await?;
        self.tell(&told);
        for id in keep {
            match self.prune_thread(&Scope::All, &id).await {
                Ok(()) | Err(Error::NoThread(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count == THREADS_BATCH)
    }
}

/// Takes a thread away and ends the runs that are on it. None if it is not there.
fn bury(tx: &mut dyn Tx, now: Now, scope: &Scope, id: &str) -> Result<Option<Told>, Error> {
    let Some(thread) = tx.thread_outline(id, scope)? else { return Ok(None) };
    let mut told = Told { buried: vec![(thread.id, thread.owner)], ..Told::default() };
    for mut run in tx.open_runs(id)? {
        let running = run.status == RunStatus::Running;
        run.cancel_at.get_or_insert(now.at);
        run.cancel_action = CancelAction::Interrupt;
        let cause = Cause::Cancelled { state: None, forced: running };
        told.add(transition(tx, now, &mut run, &cause, Vec::new())?);
        told.owners.extend(running.then_some(run.id));
    }
    tx.bury_thread(id)?;
    Ok(Some(told))
}
