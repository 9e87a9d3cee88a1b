//! Following a run or a thread: from the log as long as there is something to catch up with, then
//! from the feed.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use mesh_graph::Mode;
use serde_json::Value as Json;
use tokio_util::sync::ReusableBoxFuture;
use uuid::Uuid;

use crate::{
    Error, Run, Runtime,
    early::{Early, News},
    hub::{Fed, Follower},
    log::{Entry, Kind},
    run::RunStatus,
};

/// Entries that a follower reads ahead at most. It begins with few and reads twice as many each
/// time that it needs all of them.
const AHEAD: usize = 64;

/// Entries that a follower reads first. A thousand that stand still right then hold as many times
/// this.
const AHEAD_FIRST: usize = 16;

/// Entries that are read at least for one that takes few at a time.
const AHEAD_MIN: usize = 4;

/// How often a follower looks into the log although it heard of nothing new.
pub const LOOK_EVERY: Duration = Duration::from_secs(15);

/// Where following a run starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the run's first entry.
    Beginning,
    /// With what comes next. Of a run that has ended nothing comes.
    Now,
    /// With the first entry after this number.
    After(u64),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct RunEnd {
    /// One of the final ones.
    pub status: RunStatus,
    /// `{"error", "message"}` of a run that failed.
    pub error: Option<Json>,
    /// Whether it stopped at a breakpoint rather than with a question.
    pub breakpoint: bool,
    /// Whether it stopped with work left, at a breakpoint or with a question.
    pub unfinished: bool,
    /// The last root values that it told, one JSON text, with `__interrupt__` when it ended with
    /// questions; if it told none and was not cancelled, those of its thread.
    pub values: Option<Bytes>,
}

/// What is told next to a reader that is told text early.
#[derive(Debug, Clone)]
pub enum Told {
    /// An entry of the log. Of a piece of a message whose text was told early in part, it has the
    /// rest of the text.
    Entry(Entry),
    /// An entry of the log with text that was told early. Only its number is news.
    Number(Entry),
    /// Text that is not on the log yet.
    Early(Early),
}

/// A run or a thread that is followed: every entry once, in order, however slow the reader is.
#[derive(Debug)]
pub struct Follow {
    runtime: Runtime,
    thread: String,
    run: Option<Uuid>,
    follower: Follower,
    /// Everything up to here was given, or was not asked for.
    after: u64,
    ready: VecDeque<Entry>,
    /// How many of them there were.
    read: usize,
    /// How many are read next.
    ahead: usize,
    /// The log has to be looked into, whatever the feed says.
    look: bool,
    /// When it is looked into although nothing new was heard of; made when somebody waits.
    look_at: Option<ReusableBoxFuture<'static, ()>>,
    ended: bool,
}

impl Runtime {
    /// Follows a run on its thread to its end.
    ///
    /// # Errors
    /// [`Error::NoRun`]; [`Error::Storage`].
    pub async fn follow_run(&self, thread: &str, run: Uuid, start: Start) -> Result<Follow, Error> {
        // First, so that nothing is missed between the log and the feed.
        let follower = self.hub().follow(thread);
        let mut follow = Follow::new(self, thread, Some(run), follower);
        if start == Start::Beginning
            && let Some(first) = follow.follower.beginning(run)
        {
            follow.after = first - 1;
            return Ok(follow);
        }
        let name = thread.to_owned();
        let (standing, last, any) = self
            .ledger()
            .read(move |tx| {
                let standing = tx.standing(run)?;
                let any = standing.is_some() || !tx.run_entries(&name, run, 0, 1)?.is_empty();
                Ok((standing, tx.last_seq(&name)?, any))
            })
            .await?;
        if !any {
            return Err(Error::NoRun(run));
        }
        let over = standing.is_none_or(|standing| standing.status.is_final());
        match start {
            Start::Now => {
                follow.after = last;
                follow.ended = over;
            }
            Start::Beginning => follow.look = true,
            Start::After(seq) => {
                follow.after = seq;
                follow.look = true;
            }
        }
        Ok(follow)
    }

    /// Follows a run that was just made, from its beginning. The log of a temporary thread begins
    /// with its run, so nothing has to be looked up.
    ///
    /// # Errors
    /// As [`Runtime::follow_run`].
    pub async fn follow_new(&self, run: &Run) -> Result<Follow, Error> {
        if !run.kwargs.temporary {
            return self.follow_run(&run.thread, run.id, Start::Beginning).await;
        }
        let follower = self.hub().follow(&run.thread);
        Ok(Follow::new(self, &run.thread, Some(run.id), follower))
    }

    /// Follows a thread, which need not be there yet, from the first entry after `after` on.
    /// Ends only when the thread is deleted.
    pub fn follow_thread(&self, thread: &str, after: u64) -> Follow {
        let follower = self.hub().follow(thread);
        let mut follow = Follow::new(self, thread, None, follower);
        follow.after = after;
        follow.look = true;
        follow
    }

    /// Waits for the end of a run.
    ///
    /// # Errors
    /// [`Error::NoRun`]; [`Error::Storage`].
    ///
    /// # Cancel safety
    /// Waiting has no effect.
    pub async fn ended(&self, thread: &str, run: Uuid) -> Result<RunEnd, Error> {
        let follow = self.follow_run(thread, run, Start::Beginning).await?;
        self.end_of(thread, run, follow).await
    }

    /// Waits for the end of a run that was just made.
    ///
    /// # Errors
    /// As [`Runtime::ended`].
    ///
    /// # Cancel safety
    /// Waiting has no effect.
    pub async fn ended_new(&self, run: &Run) -> Result<RunEnd, Error> {
        let follow = self.follow_new(run).await?;
        self.end_of(&run.thread, run.id, follow).await
    }

    async fn end_of(&self, thread: &str, run: Uuid, mut follow: Follow) -> Result<RunEnd, Error> {
        let mut end = RunEnd {
            status: RunStatus::Pending,
            error: None,
            breakpoint: false,
            unfinished: false,
            values: None,
        };
        while let Some(entry) = follow.next().await? {
            match entry.kind {
                Kind::Event(Mode::Values) if entry.ns.is_empty() => end.values = Some(entry.data),
                Kind::Ended => end.take(&entry.data)?,
                _ => {}
            }
        }
        if end.status.is_final() && (end.values.is_some() || end.status == RunStatus::Interrupted) {
            return Ok(end);
        }
        // The log does not go back that far, or values were not asked for.
        let thread = thread.to_owned();
        self.ledger()
            .read(move |tx| {
                if !end.status.is_final() {
                    let found = tx.run(run)?.ok_or(Error::NoRun(run))?;
                    end.status = found.status;
                    end.error = found.error;
                }
                if end.status != RunStatus::Interrupted {
                    let found = tx.thread(&thread, &crate::Scope::All)?;
                    let values = found.and_then(|found| found.values);
                    end.values = values.map(|values| Bytes::from(values.to_string()));
                }
                Ok(end)
            })
            .await
    }
}

impl RunEnd {
    /// What the last entry of a run says; its values stand elsewhere in the log.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn of(data: &[u8]) -> Result<Self, Error> {
        let mut end = Self {
            status: RunStatus::Pending,
            error: None,
            breakpoint: false,
            unfinished: false,
            values: None,
        };
        end.take(data)?;
        Ok(end)
    }

    fn take(&mut self, data: &[u8]) -> Result<(), Error> {
        let damaged = |source| Error::Damaged { what: "log entry", source };
        let data: Json = serde_json::from_slice(data).map_err(|error| damaged(error.into()))?;
        let status = data.get("status").cloned().unwrap_or_default();
        self.status = serde_json::from_value(status).map_err(|error| damaged(error.into()))?;
        self.error = data.get("error").cloned();
        self.breakpoint = data.get("breakpoint") == Some(&Json::Bool(true));
        self.unfinished = data.get("unfinished") == Some(&Json::Bool(true));
        Ok(())
    }
}

impl Follow {
    fn new(runtime: &Runtime, thread: &str, run: Option<Uuid>, follower: Follower) -> Self {
        Self {
            runtime: runtime.clone(),
            thread: thread.to_owned(),
            run,
            follower,
            after: 0,
            ready: VecDeque::new(),
            read: 0,
            ahead: AHEAD_FIRST,
            look: false,
            look_at: None,
            ended: false,
        }
    }

    /// Is told text of messages before it is on the log, by [`Follow::told`].
    #[must_use]
    pub fn early(mut self) -> Self {
        self.follower.listen();
        self
    }

    /// The next entry, or none after the last one of a run that is followed.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    ///
    /// # Cancel safety
    /// No entry is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            match self.told().await? {
                Some(Told::Entry(entry)) => return Ok(Some(entry)),
                // Not of a reader that asked for the log alone.
                Some(Told::Number(_) | Told::Early(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// What comes next: with [`Follow::early`] also text that is not on the log yet. Every
    /// character of a message comes once, in its order, and text never before what was told before
    /// it. Text of an execution that breaks off may never come to stand on the log.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn told(&mut self) -> Result<Option<Told>, Error> {
        loop {
            if let Some(told) = self.at_hand() {
                return Ok(Some(told));
            }
            if self.ended {
                return Ok(None);
            }
            if self.look {
                self.read().await?;
                continue;
            }
            // Once more, now that nothing that comes goes unheard.
            let ear = self.follower.ear();
            let mut grown = std::pin::pin!(ear.grown());
            grown.as_mut().enable();
            if let Some(told) = self.at_hand() {
                return Ok(Some(told));
            }
            if self.look || self.ended {
                continue;
            }
            let look_at = self.look_at.get_or_insert_with(|| {
                let env = Arc::clone(self.runtime.env());
                ReusableBoxFuture::new(async move { env.sleep(LOOK_EVERY).await })
            });
            tokio::select! {
                biased;
                () = grown => {}
                () = std::future::poll_fn(|context| look_at.poll(context)) => {
                    self.look_at = None;
                    self.look = true;
                }
            }
        }
    }

    /// As [`Follow::told`], if that is there without waiting: none does not mean that nothing more
    /// comes.
    pub fn at_hand(&mut self) -> Option<Told> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                if self.run.is_some() && entry.kind == Kind::Ended {
                    self.ended = true;
                    self.ready.clear();
                }
                return Some(match self.follower.news(entry) {
                    News::Entry(entry) => Told::Entry(entry),
                    News::Number(entry) => Told::Number(entry),
                });
            }
            if self.ended || self.look {
                return None;
            }
            match self.follower.after(self.after, self.run) {
                Fed::Entries(entries, upto) => {
                    self.after = upto;
                    self.read = entries.len();
                    self.ready = entries.into();
                }
                Fed::Behind => self.look = true,
                Fed::Gone => self.ended = true,
                Fed::Nothing => {
                    return self.follower.early(self.after, self.run).map(Told::Early);
                }
            }
        }
    }

    /// Whether entries were read ahead.
    pub fn is_ahead(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Lets go of what was read ahead, for a reader that takes nothing for now: it is read again
    /// when it is wanted, as much as was taken of it.
    pub fn let_go(&mut self) {
        if let Some(next) = self.ready.front() {
            self.after = next.seq - 1;
            self.ahead = self.read.saturating_sub(self.ready.len()).clamp(AHEAD_MIN, AHEAD);
        }
        self.ready = VecDeque::new();
    }

    /// Reads on in the log.
    async fn read(&mut self) -> Result<(), Error> {
        let (thread, run, after, ahead) = (self.thread.clone(), self.run, self.after, self.ahead);
        let (entries, last, over) = self
            .runtime
            .ledger()
            .read(move |tx| {
                let (entries, over) = match run {
                    Some(run) => {
                        let over = tx.standing(run)?.is_none_or(|run| run.status.is_final());
                        (tx.run_entries(&thread, run, after, ahead)?, over)
                    }
                    None => (tx.entries(&thread, after, ahead)?, false),
                };
                Ok((entries, tx.last_seq(&thread)?, over))
            })
            .await?;
        if run.is_none() && last < after {
            // The thread was deleted, or this never was its log.
            self.ended = true;
            return Ok(());
        }
        let newest = entries.last().map_or(after, |entry| entry.seq);
        if entries.len() < ahead {
            // What is between is of other runs.
            self.after = newest.max(last);
            self.look = false;
            self.ended = over && entries.is_empty();
        } else {
            self.after = newest;
        }
        self.ahead = (2 * ahead).min(AHEAD);
        self.read = entries.len();
        self.ready = entries.into();
        Ok(())
    }
}
