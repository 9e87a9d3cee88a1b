//! What handlers of requests do with runs.

use uuid::Uuid;

use super::{
    Cancelled, Created, Ids, NewRun, REAP_BATCH, RunQuery, Selection, Told, cancel, claim, create,
    reap,
};
use crate::{
    Error, Run, Runtime, Scope,
    idempotency::{Made, remember},
    run::CancelAction,
};

impl Runtime {
    /// Makes a run and offers it to a worker that has room for it.
    ///
    /// # Errors
    /// As [`create()`](create()); [`Error::KeyInUse`]; [`Error::DiskFull`].
    ///
    /// # Cancel safety
    /// A dropped future may or may not have made it, and if it was claimed, nobody executes it
    /// until its lease has passed.
    pub async fn create_run_for(
        &self,
        scope: &Scope,
        new: NewRun,
        claim: Option<claim::Claim>,
    ) -> Result<Created, Error> {
        self.check_writes()?;
        let (scope, now, ids) = (scope.clone(), self.now(), self.new_ids());
        let (key, policy) = (self.claim().cloned(), *self.policy());
        let new = NewRun { under_key: key.is_some(), ..new };
        let created = self
            .ledger()
            .write(move |tx| {
                let created = create(tx, now, &scope, ids, new, claim, &policy)?;
                remember(tx, key.as_deref(), || Made::Runs(vec![created.run.id]))?;
                Ok(created)
            })
            .await;
        let created = self.noted(created)?;
        self.watchers().touched(&created.run.thread);
        self.tell(&created.told);
        Ok(created)
    }

    /// Makes runs: all of them or none.
    ///
    /// # Errors
    /// As [`create()`](create()) of the first one that cannot be made; [`Error::DiskFull`].
    ///
    /// # Cancel safety
    /// A dropped future may or may not have made them.
    pub async fn create_runs(&self, scope: &Scope, new: Vec<NewRun>) -> Result<Vec<Run>, Error> {
        self.check_writes()?;
        let (scope, key, policy) = (scope.clone(), self.claim().cloned(), *self.policy());
        let under_key = key.is_some();
        let new: Vec<_> = new
            .into_iter()
            .map(|new| (self.now(), self.new_ids(), NewRun { under_key, ..new }))
            .collect();
        let made = self
            .ledger()
            .write(move |tx| {
                let (mut runs, mut told) = (Vec::with_capacity(new.len()), Told::default());
                for (now, ids, new) in new {
                    let created = create(tx, now, &scope, ids, new, None, &policy)?;
                    runs.push(created.run);
                    told.add(created.told);
                }
                remember(tx, key.as_deref(), || {
                    Made::Runs(runs.iter().map(|run| run.id).collect())
                })?;
                Ok((runs, told))
            })
            .await;
        let (runs, told) = self.noted(made)?;
        for run in &runs {
            self.watchers().touched(&run.thread);
        }
        self.tell(&told);
        Ok(runs)
    }

    /// A run; of the thread, if one is given.
    ///
    /// # Errors
    /// [`Error::NoRun`]; [`Error::Damaged`]; [`Error::Storage`].
    pub async fn run(&self, scope: &Scope, thread: Option<&str>, id: Uuid) -> Result<Run, Error> {
        let (scope, thread) = (scope.clone(), thread.map(str::to_owned));
        self.ledger().look(move |tx| cancel::find(tx, &scope, thread.as_deref(), id)).await
    }

    /// Runs of a thread, newest first.
    ///
    /// # Errors
    /// [`Error::NoThread`]; [`Error::Damaged`]; [`Error::Storage`].
    pub async fn runs(
        &self,
        scope: &Scope,
        thread: &str,
        query: &RunQuery,
    ) -> Result<Vec<Run>, Error> {
        let (scope, thread, query) = (scope.clone(), thread.to_owned(), query.clone());
        self.ledger()
            .read(move |tx| match tx.head(&thread)? {
                Some(head) if scope.sees(head.owner.as_deref()) => tx.runs(&thread, &query),
                _ => Err(Error::NoThread(thread)),
            })
            .await
    }

    /// Cancels runs; see [`cancel()`](cancel()). All that are open are cancelled in several
    /// transactions.
    ///
    /// # Errors
    /// [`Error::DiskFull`]; [`Error::Damaged`]; [`Error::Storage`].
    ///
    /// # Cancel safety
    /// A dropped future may have cancelled some of them.
    pub async fn cancel(
        &self,
        scope: &Scope,
        selection: &Selection,
        action: CancelAction,
    ) -> Result<Cancelled, Error> {
        let mut all = Cancelled::default();
        // Runs that are made while this goes on are not meant.
        let begun = self.now();
        loop {
            let (scope, selection) = (scope.clone(), selection.clone());
            let now = super::Now { at: begun.at, ms: self.now().ms };
            let some =
                self.ledger().write(move |tx| cancel(tx, now, &scope, &selection, action)).await?;
            self.tell(&some.told);
            all.known += some.known;
            all.runs.extend(some.runs);
            // Every batch has ended or marked all that it found, so the next one finds others.
            if !some.more {
                return Ok(all);
            }
        }
    }

    /// Removes a run with its checkpoints; one that has not ended is cancelled.
    ///
    /// # Errors
    /// [`Error::NoRun`]; [`Error::DiskFull`]; [`Error::Damaged`]; [`Error::Storage`].
    ///
    /// # Cancel safety
    /// A dropped future may or may not have removed it.
    pub async fn delete_run(
        &self,
        scope: &Scope,
        thread: Option<&str>,
        id: Uuid,
    ) -> Result<(), Error> {
        let (scope, thread, now) = (scope.clone(), thread.map(str::to_owned), self.now());
        let told = self
            .ledger()
            .write(move |tx| cancel::remove(tx, now, &scope, thread.as_deref(), id))
            .await?;
        self.tell(&told);
        Ok(())
    }

    /// Looks after running runs that are over their lease or their deadline, each in a transaction
    /// of its own. Returns how many there were; at most [`REAP_BATCH`].
    ///
    /// # Errors
    /// [`Error::DiskFull`]; [`Error::Damaged`]; [`Error::Storage`].
    pub async fn reap(&self) -> Result<usize, Error> {
        let now = self.now();
        let runs = self.ledger().read(move |tx| tx.overdue_runs(now, REAP_BATCH)).await?;
        for id in &runs {
            let (id, now) = (*id, self.now());
            let told = self.ledger().write(move |tx| reap(tx, now, id)).await?;
            self.tell(&told);
        }
        Ok(runs.len())
    }

    /// Looks after what another process has left behind. To be done before anything is served.
    ///
    /// # Errors
    /// [`Error::DiskFull`]; [`Error::Damaged`]; [`Error::Storage`].
    pub async fn settle_after_start(&self) -> Result<(), Error> {
        loop {
            let now = self.now();
            let (count, told) =
                self.ledger().write(move |tx| reap::settle_after_start(tx, now)).await?;
            self.tell(&told);
            if count < REAP_BATCH {
                self.set_settled();
                return Ok(());
            }
        }
    }

    pub(crate) fn new_ids(&self) -> Ids {
        let id = || Uuid::from_u128(self.env().new_id());
        Ids { run: id(), thread: id() }
    }
}
