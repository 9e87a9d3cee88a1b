//! The events of a thread as they come about.

use mesh_graph::v3::Envelope;
use mesh_runtime::{Error, Follow, Runtime, Scope, Tx, log::Entry};

use super::translator::{Translator, before, entry_of};

/// Whether the caller may see the thread. That changes only with its first entry, or when it is
/// deleted and made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// It may.
    Seen,
    /// It is somebody else's, and looks like one that is not there.
    Hidden,
    /// It is not there yet.
    Unknown,
}

/// The events of one thread, from run to run.
#[derive(Debug)]
pub(super) struct Feed {
    runtime: Runtime,
    scope: Scope,
    thread: String,
    follow: Follow,
    sight: Sight,
    /// An entry that was taken and not translated yet.
    entry: Option<Entry>,
    /// Events up to this number are not told.
    past: u64,
    /// See [`Feed::end`].
    end: u64,
    /// The last entry that was translated.
    at: u64,
    translator: Translator,
    /// Nothing was told of a thread that is new under this name.
    is_new: bool,
}

/// What an entry became.
#[derive(Debug)]
pub(super) struct Told {
    /// When the entry was made, milliseconds since 1970 (UTC).
    pub(super) at_ms: i64,
    /// Its events; there may be none.
    pub(super) events: Vec<Envelope>,
    /// Numbers begin anew with it: the thread was deleted, and there is a new one of its name.
    pub(super) is_new: bool,
}

impl Feed {
    /// The events of a thread after `since`; beyond its end, those that come from now on. The
    /// thread need not be there yet, and one that the caller may not see never tells anything.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub(super) async fn open(
        runtime: &Runtime,
        scope: &Scope,
        thread: &str,
        since: u64,
    ) -> Result<Self, Error> {
        let (name, who) = (thread.to_owned(), scope.clone());
        let (sight, after, end) = runtime
            .ledger()
            .read(move |tx| {
                let last = tx.last_seq(&name)?;
                let after = Self::begin(tx, &name, since.min(before(last + 1)))?;
                let sight = if tx.thread_outline(&name, &who)?.is_some() {
                    Sight::Seen
                } else if tx.thread_outline(&name, &Scope::All)?.is_some() {
                    Sight::Hidden
                } else {
                    Sight::Unknown
                };
                Ok((sight, after, before(last + 1)))
            })
            .await?;
        let past = since.min(end);
        Ok(Self {
            runtime: runtime.clone(),
            scope: scope.clone(),
            thread: thread.to_owned(),
            follow: runtime.follow_thread(thread, after),
            sight,
            entry: None,
            past,
            end,
            at: entry_of(past).saturating_sub(1),
            translator: Translator::new(|_| true),
            is_new: false,
        })
    }

    /// The entry after which reading has to begin to tell what comes after `since`.
    pub(super) fn begin(tx: &mut dyn Tx, thread: &str, since: u64) -> Result<u64, Error> {
        let begin = match since {
            0 => None,
            since => tx.begin_upto(thread, entry_of(since))?,
        };
        Ok(begin.map_or(0, |begin| begin.saturating_sub(1)))
    }

    /// The number that no event had when this was opened, and all later ones exceed.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Makes only events of these methods from now on.
    pub(super) fn only(&mut self, wants: impl Fn(&str) -> bool) {
        self.translator.only(wants);
    }

    /// The last entry that was read, or that needs not be.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Events up to this number were given, or are not told.
    pub(super) fn reached(&self) -> u64 {
        self.past.max(before(self.at + 1))
    }

    /// Waits for the next entry and gives what it became.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Told, Error> {
        loop {
            let is_new = self.is_new;
            if self.entry.is_none() {
                self.entry = self.follow.next().await?;
            }
            let Some(entry) = &self.entry else {
                self.is_new = true;
                self.follow = self.runtime.follow_thread(&self.thread, 0);
                (self.sight, self.past, self.at) = (Sight::Unknown, 0, 0);
                self.translator.restart();
                continue;
            };
            if self.sight == Sight::Unknown {
                let (name, scope) = (self.thread.clone(), self.scope.clone());
                let seen =
                    self.runtime.ledger().look(move |tx| tx.thread_outline(&name, &scope)).await?;
                self.sight = if seen.is_some() { Sight::Seen } else { Sight::Hidden };
            }
            self.at = self.at.max(entry.seq);
            let at_ms = entry.at_ms;
            let Some(entry) = self.entry.take() else { continue };
            let mut events = match self.sight {
                Sight::Seen => self.translator.translate(&entry)?,
                Sight::Hidden | Sight::Unknown => Vec::new(),
            };
            if events.first().is_some_and(|first| first.seq <= self.past) {
                events.retain(|event| event.seq > self.past);
            }
            self.is_new = false;
            return Ok(Told { at_ms, events, is_new });
        }
    }
}
