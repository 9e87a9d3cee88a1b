//! From the entries of a log to the events of the protocol.
//!
//! An event's number is made of its entry's and of its place among the events of that entry, so it
//! is the same for everybody, after every restart, and grows with the log. What an entry becomes
//! depends on the entries of its run before it, so translation always begins where a run begins.

use std::sync::Arc;

use mesh_graph::v3::{End, Envelope, Item, Protocol};
use mesh_runtime::{
    Error,
    log::{Entry, Kind},
    run::RunStatus,
};
use serde::Deserialize;
use uuid::Uuid;

/// Numbers that an entry has for its events: 2^20. A model's whole message has about three events
/// per block, and an entry never comes near; and clients whose numbers are floating-point ones
/// count to 2^53 exactly, which leaves a thread more than eight billion entries.
const EVENT_BITS: u32 = 20;

/// The number before the first event of an entry.
pub(super) fn before(entry: u64) -> u64 {
    entry << EVENT_BITS
}

/// The entry that an event with this number comes from.
pub(super) fn entry_of(seq: u64) -> u64 {
    seq >> EVENT_BITS
}

/// How a run ended, as far as it is told.
#[derive(Deserialize)]
struct Ended {
    status: RunStatus,
    #[serde(default)]
    unfinished: bool,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    message: String,
}

/// Methods of events.
const METHODS: [&str; 9] = [
    "values",
    "updates",
    "messages",
    "tools",
    "custom",
    "lifecycle",
    "input.requested",
    "tasks",
    "checkpoints",
];

/// Translates the entries of one thread, in order.
#[derive(Debug)]
pub(super) struct Translator {
    /// The run that is going on, as far as it was read.
    open: Option<(Uuid, Protocol)>,
    /// Methods that somebody listens for.
    methods: Vec<&'static str>,
    /// The namespace that was told of last, and its parts.
    ns: (Arc<str>, Arc<[String]>),
}

impl Translator {
    /// At the beginning of a log, or of one of its runs.
    pub(super) fn new(wants: impl Fn(&str) -> bool) -> Self {
        let methods = METHODS.into_iter().filter(|method| wants(method)).collect();
        Self { open: None, methods, ns: (Arc::from(""), Arc::from([])) }
    }

    /// Makes only events of these methods from now on.
    pub(super) fn only(&mut self, wants: impl Fn(&str) -> bool) {
        self.methods = METHODS.into_iter().filter(|method| wants(method)).collect();
        if let Some((_, protocol)) = &mut self.open {
            protocol.only(|method| self.methods.contains(&method));
        }
    }

    /// Forgets what it was in the middle of.
    pub(super) fn restart(&mut self) {
        self.open = None;
    }

    /// What the next entry becomes.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub(super) fn translate(&mut self, entry: &Entry) -> Result<Vec<Envelope>, Error> {
        let is_open = self.open.as_ref().is_some_and(|(run, _)| *run == entry.run);
        if entry.kind == Kind::Begun && !is_open {
            self.open = Some((entry.run, self.protocol(entry.run)));
        }
        if entry.kind == Kind::Ended {
            return self.end(entry);
        }
        let ns = match entry.kind.mode() {
            Some(_) => self.namespace(&entry.ns),
            None => Arc::from([]),
        };
        // What is told without a beginning is of a run that was removed from the log in part.
        let Some((_, protocol)) = self.open.as_mut().filter(|(run, _)| *run == entry.run) else {
            return Ok(Vec::new());
        };
        protocol.number(before(entry.seq) + 1..before(entry.seq + 1));
        let Some(mode) = entry.kind.mode() else {
            return Ok(match entry.kind {
                Kind::Begun => protocol.begin(entry.node.as_deref(), entry.at_ms),
                _ => Vec::new(),
            });
        };
        let text = text(&entry.data)?;
        let node = entry.node.as_ref();
        let item = Item::kept(mode, ns, entry.step, node, entry.at_ms, text);
        let item = if entry.kind == Kind::Returned { item.returned() } else { item };
        Ok(protocol.take(&item))
    }

    /// The end of a run. One that never began and was cancelled says so only where no other is
    /// going on: to those who listen it would be the end of that one.
    fn end(&mut self, entry: &Entry) -> Result<Vec<Envelope>, Error> {
        let mut protocol = match self.open.take_if(|(run, _)| *run == entry.run) {
            Some((_, protocol)) => protocol,
            None if self.open.is_some() => return Ok(Vec::new()),
            None => self.protocol(entry.run),
        };
        let damaged =
            |error: serde_json::Error| Error::Damaged { what: "log entry", source: error.into() };
        let ended: Ended = serde_json::from_slice(&entry.data).map_err(damaged)?;
        let message = ended.error.map(|error| error.message).unwrap_or_default();
        let end = match ended.status {
            RunStatus::Success if !ended.unfinished => End::Completed,
            RunStatus::Error | RunStatus::Timeout => End::Failed(&message),
            _ => End::Interrupted,
        };
        protocol.number(before(entry.seq) + 1..before(entry.seq + 1));
        Ok(protocol.end(entry.node.as_deref(), end, entry.at_ms))
    }

    fn protocol(&self, run: Uuid) -> Protocol {
        let mut protocol = Protocol::new(&run.to_string(), 0);
        protocol.only(|method| self.methods.contains(&method));
        protocol
    }

    /// A namespace in its parts.
    fn namespace(&mut self, joined: &Arc<str>) -> Arc<[String]> {
        if self.ns.0 != *joined {
            let parts: Arc<[String]> = match &**joined {
                "" => Arc::from([]),
                joined => joined.split('|').map(str::to_owned).collect(),
            };
            self.ns = (Arc::clone(joined), parts);
        }
        Arc::clone(&self.ns.1)
    }
}

/// The data of an entry.
fn text(data: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(data)
        .map_err(|error| Error::Damaged { what: "log entry", source: error.into() })
}

#[cfg(test)]
mod tests;
