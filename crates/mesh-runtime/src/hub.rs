//! What was just added to logs, in memory, for everybody who follows one.
//!
//! A thread that something happens on has a feed: the last entries of its log, shared by all its
//! followers, who each know how far they are. A follower that is slower than the feed remembers
//! goes back to the log itself; nobody waits for a follower, and a thousand that stand still cost
//! as much memory as one.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    early::{Early, Growth, News, Place, Said, Told},
    ledger::Listener,
    log::{Entry, Kind},
};

/// Entries that a feed remembers. Older ones are read from the log.
pub(crate) const FEED_ENTRIES: usize = 256;

/// Bytes of data that a feed remembers. Older entries are read from the log.
pub(crate) const FEED_BYTES: usize = 1 << 20;

/// Feeds of threads on which nothing is going on that are remembered, for those who ask right
/// after the end of a run. The quietest go first.
pub(crate) const QUIET_FEEDS: usize = 1024;

/// Bytes of data that quiet feeds remember together. The quietest go first.
pub(crate) const QUIET_BYTES: usize = 32 << 20;

/// All feeds.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    feeds: Mutex<Feeds>,
}

#[derive(Debug, Default)]
struct Feeds {
    by_thread: HashMap<String, Arc<Feed>>,
    /// Threads whose last entry was an end, quietest first, with the bytes that they had then.
    quiet: VecDeque<(String, usize)>,
    quiet_bytes: usize,
}

/// The last entries of one thread's log.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    recent: Mutex<Recent>,
    grown: Notify,
}

#[derive(Debug, Default)]
struct Recent {
    /// Consecutive.
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The number of the newest entry; none before the first one of this process.
    last: Option<u64>,
    /// How often the log began anew: its thread was deleted and made again.
    begun: u32,
    /// Followers, and the teller if there is one.
    followers: usize,
    /// Followers that are told text early.
    early: usize,
    /// Text that is not on the log yet.
    growth: Growth,
    /// Who may tell text: the number of the last one that began to.
    tellers: u64,
    /// How often it stands among the quiet ones.
    quiet: usize,
}

/// What a feed has for a follower.
#[derive(Debug)]
pub(crate) enum Fed {
    /// These, and how far the follower is with them.
    Entries(Vec<Entry>, u64),
    /// Nothing that is newer.
    Nothing,
    /// Something that it does not remember any more: it is in the log.
    Behind,
    /// This is not the log that was followed.
    Gone,
}

/// Entries that a follower takes at a time.
const TAKEN: usize = 64;

impl Hub {
    /// The feed of a thread, which remembers what is added from now on.
    pub(crate) fn follow(self: &Arc<Self>, thread: &str) -> Follower {
        let mut feeds = locked(&self.feeds);
        let feed = feeds.feed(thread);
        let mut recent = locked(&feed.recent);
        recent.followers += 1;
        let begun = recent.begun;
        drop(recent);
        Follower { hub: Arc::clone(self), thread: thread.to_owned(), feed, begun, early: None }
    }

    /// Lets an execution tell text before it is on the log of its thread.
    pub(crate) fn tell(self: &Arc<Self>, thread: &str) -> Telling {
        let follower = self.follow(thread);
        let mut recent = locked(&follower.feed.recent);
        let number = recent.next_teller();
        drop(recent);
        Telling { follower, number }
    }
}

impl Hub {
    /// A thread was deleted: nothing more comes of this log.
    pub(crate) fn gone(&self, thread: &str) {
        let feeds = locked(&self.feeds);
        if let Some(feed) = feeds.by_thread.get(thread) {
            feed.begin_anew();
        }
    }
}

impl Listener for Hub {
    fn added(&self, thread: &str, entries: &[Entry]) {
        let Some(last) = entries.last() else { return };
        let mut feeds = locked(&self.feeds);
        let quiet = matches!(last.kind, Kind::Ended | Kind::Updated);
        let bytes = feeds.feed(thread).add(entries, quiet);
        if quiet {
            feeds.quiet_down(thread, bytes);
        }
    }
}

impl Feeds {
    fn feed(&mut self, thread: &str) -> Arc<Feed> {
        if let Some(feed) = self.by_thread.get(thread) {
            return Arc::clone(feed);
        }
        let feed = Arc::new(Feed::default());
        self.by_thread.insert(thread.to_owned(), Arc::clone(&feed));
        feed
    }

    /// Nothing goes on there for now. Lets go of what has been quiet for longest.
    fn quiet_down(&mut self, thread: &str, bytes: usize) {
        self.quiet.push_back((thread.to_owned(), bytes));
        self.quiet_bytes += bytes;
        while self.quiet.len() > QUIET_FEEDS || self.quiet_bytes > QUIET_BYTES {
            let Some((thread, bytes)) = self.quiet.pop_front() else { break };
            self.quiet_bytes -= bytes;
            if let Some(feed) = self.by_thread.get(&thread) {
                locked(&feed.recent).quiet -= 1;
            }
            self.drop_idle(&thread);
        }
    }

    /// Forgets a feed that nobody follows, unless something goes on there or it is remembered for
    /// a while.
    fn drop_idle(&mut self, thread: &str) {
        let idle = self.by_thread.get(thread).is_some_and(|feed| {
            let recent = locked(&feed.recent);
            let last = recent.entries.back();
            let rests = last.is_none_or(|last| matches!(last.kind, Kind::Ended | Kind::Updated));
            recent.followers == 0 && recent.quiet == 0 && rests
        });
        if idle {
            self.by_thread.remove(thread);
        }
    }
}

impl Recent {
    /// Lets nobody tell text here but who gets this number.
    fn next_teller(&mut self) -> u64 {
        self.tellers += 1;
        self.growth.clear();
        self.tellers
    }
}

impl Feed {
    /// What comes from now on is of another log.
    fn begin_anew(&self) {
        let mut recent = locked(&self.recent);
        recent.begun += 1;
        recent.last = None;
        recent.entries.clear();
        recent.bytes = 0;
        recent.next_teller();
        drop(recent);
        self.grown.notify_waiters();
    }

    /// Adds entries; returns the bytes that it remembers.
    fn add(&self, entries: &[Entry], quiet: bool) -> usize {
        let mut recent = locked(&self.recent);
        recent.quiet += usize::from(quiet);
        for entry in entries {
            if recent.last.is_some_and(|last| entry.seq <= last) {
                recent.begun += 1;
                recent.next_teller();
            }
            if recent.last.is_none_or(|last| entry.seq != last + 1) {
                recent.entries.clear();
                recent.bytes = 0;
            }
            recent.last = Some(entry.seq);
            recent.bytes += entry.data.len();
            recent.growth.settle(entry);
            recent.entries.push_back(entry.clone());
        }
        while recent.entries.len() > FEED_ENTRIES || recent.bytes > FEED_BYTES {
            let Some(oldest) = recent.entries.pop_front() else { break };
            recent.bytes -= oldest.data.len();
        }
        let bytes = recent.bytes;
        drop(recent);
        self.grown.notify_waiters();
        bytes
    }
}

/// One follower of a feed.
#[derive(Debug)]
pub(crate) struct Follower {
    hub: Arc<Hub>,
    thread: String,
    feed: Arc<Feed>,
    begun: u32,
    /// What it was told early, and by which execution; none for one that reads the log alone.
    early: Option<(u64, Told)>,
}

/// Where an execution tells text that is not on the log yet.
#[derive(Debug)]
pub(crate) struct Telling {
    follower: Follower,
    number: u64,
}

impl Telling {
    /// Who reads: somebody who is told text early, and somebody who waits for the log.
    pub(crate) fn readers(&self) -> (bool, bool) {
        let recent = locked(&self.follower.feed.recent);
        // One of the followers is this.
        (recent.early > 0, recent.followers > recent.early + 1)
    }

    /// Tells text; see [`Growth::add`]. Readers learn of it by [`Telling::wake`].
    pub(crate) fn add(&self, said: &Arc<Said>, from: Place, text: &str, behind: u64) {
        let mut recent = locked(&self.follower.feed.recent);
        // Another execution, or another log, has nothing to do with this text.
        if recent.tellers == self.number {
            recent.growth.add(said, from, text, behind);
        }
    }

    /// Wakes the readers.
    pub(crate) fn wake(&self) {
        self.follower.feed.grown.notify_waiters();
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        let mut recent = locked(&self.follower.feed.recent);
        if recent.tellers == self.number {
            recent.growth.clear();
        }
    }
}

impl Follower {
    /// Entries after `after`; of one run only, if one is given.
    pub(crate) fn after(&self, after: u64, run: Option<Uuid>) -> Fed {
        let recent = locked(&self.feed.recent);
        if recent.begun != self.begun {
            return Fed::Gone;
        }
        match (recent.last, recent.entries.front()) {
            (None, _) => Fed::Nothing,
            (Some(last), _) if last <= after => Fed::Nothing,
            (Some(_), Some(oldest)) if oldest.seq <= after + 1 => {
                let skipped = usize::try_from(after + 1 - oldest.seq).unwrap_or(usize::MAX);
                let new = recent.entries.iter().skip(skipped).take(TAKEN);
                let mut upto = after;
                let mut wanted = Vec::new();
                for entry in new {
                    upto = entry.seq;
                    if run.is_none_or(|run| run == entry.run) {
                        wanted.push(entry.clone());
                    }
                }
                Fed::Entries(wanted, upto)
            }
            (Some(_), _) => Fed::Behind,
        }
    }

    /// Is told text early from now on.
    pub(crate) fn listen(&mut self) {
        if self.early.is_none() {
            self.early = Some((0, Told::default()));
            locked(&self.feed.recent).early += 1;
        }
    }

    /// Text that is not on the log and was not told to this follower, who has everything up to
    /// `after`; of one run only, if one is given.
    pub(crate) fn early(&mut self, after: u64, run: Option<Uuid>) -> Option<Early> {
        let (teller, told) = self.early.as_mut()?;
        let recent = locked(&self.feed.recent);
        // Who has read more of the log than the feed knows of may have this text as well: it is on
        // the log before it is gone from here.
        if recent.begun != self.begun || recent.last.unwrap_or(0) != after {
            return None;
        }
        if *teller != recent.tellers {
            *teller = recent.tellers;
            told.clear();
        }
        recent.growth.next(after, run, told)
    }

    /// What an entry of the log is to this follower.
    pub(crate) fn news(&mut self, entry: Entry) -> News {
        match &mut self.early {
            Some((_, told)) => told.take(entry),
            None => News::Entry(entry),
        }
    }

    /// Where the run begins, if its first entry is remembered.
    pub(crate) fn beginning(&self, run: Uuid) -> Option<u64> {
        let recent = locked(&self.feed.recent);
        let first =
            |entry: &&Entry| entry.run == run && entry.kind == Kind::Begun && entry.step == 1;
        recent.entries.iter().find(first).map(|entry| entry.seq)
    }

    /// What tells of new things.
    pub(crate) fn ear(&self) -> Ear {
        Ear(Arc::clone(&self.feed))
    }
}

/// Hears of what is added to a feed.
pub(crate) struct Ear(Arc<Feed>);

impl Ear {
    /// Ready once something was added after this was called.
    pub(crate) fn grown(&self) -> tokio::sync::futures::Notified<'_> {
        self.0.grown.notified()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut feeds = locked(&self.hub.feeds);
        let mut recent = locked(&self.feed.recent);
        recent.followers -= 1;
        recent.early -= usize::from(self.early.is_some());
        let last_one = recent.followers == 0;
        drop(recent);
        if last_one {
            feeds.drop_idle(&self.thread);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use mesh_graph::{Mode, PieceFrame};
    use serde_json::{Map, Value as Json, json};
    use uuid::Uuid;

    use super::Hub;
    use crate::{
        early::{Place, Said},
        ledger::Listener,
        log::{Entry, Kind},
    };

    const RUN: Uuid = Uuid::from_u128(7);

    fn entry(seq: u64, kind: Kind) -> Entry {
        Entry { seq, ..Entry::of_run(RUN, kind, 0, &Json::Null) }
    }

    #[test]
    fn who_read_more_than_the_feed_knows_of_gets_no_text_twice() {
        let hub = Arc::new(Hub::default());
        let telling = hub.tell("thread");
        hub.added("thread", &[entry(1, Kind::Begun)]);
        let piece = json!({ "type": "AIMessageChunk", "id": "m", "content": "" });
        let frame = Arc::new(PieceFrame::new(&piece, Map::new()).unwrap());
        let said = Arc::new(Said { frame, entry: entry(0, Kind::Event(Mode::Messages)) });
        let mut follower = hub.follow("thread");
        follower.listen();
        telling.add(&said, Place::default(), "Hello", 1);

        // It is the second entry of the log, which this one has read there, and nobody was told yet.
        assert!(follower.early(2, None).is_none());
        let mut data = Vec::new();
        said.frame.write("Hello", &mut data);
        let text = entry(2, Kind::Event(Mode::Messages));
        hub.added("thread", &[Entry { data: Bytes::from(data), text_at: Some(0), ..text }]);
        assert!(follower.early(2, None).is_none());

        telling.add(&said, Place::default().plus("Hello"), ", you", 1);
        let early = follower.early(2, None).unwrap();
        assert_eq!((early.at, &*early.text), (5, ", you"));
    }
}
