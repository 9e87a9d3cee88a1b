//! Reading, changing and going back in the state of a thread: with the graph that the thread is of,
//! outside of any run.

use mesh_graph::{App, CheckpointId, Patch, StateSnapshot, Untyped, checkpointer::Filter};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::{
    Thread,
    rows::Change,
    shown::{Settled, checkpoint, shown, shown_empty},
};
use crate::{
    Error, Runtime, Scope, Tx,
    containment::contains,
    graphs::{Purpose, Request},
    ledger::{Ride, Rider},
    log::{Entry, Kind},
    runs::{Told, check_state},
};

/// Checkpoints that are read at a time when a history is filtered by what is inside of entries.
const HISTORY_PAGE: usize = 100;

/// Supersteps that one request may add to a thread.
pub const SUPERSTEPS_MAX: usize = 1000;

/// A place in a thread, as clients name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct At {
    /// The namespace of a mounted graph; empty for the root.
    pub ns: String,
    /// The checkpoint; the newest one without. What is no id names a checkpoint that is not there.
    pub checkpoint: Option<String>,
}

/// Which checkpoints of a thread to show, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// The place; with a checkpoint only that one.
    pub at: At,
    /// Only those that are older than this one.
    pub before: Option<CheckpointId>,
    /// At most so many.
    pub limit: usize,
    /// Only those whose metadata contains this.
    pub metadata: Map<String, Json>,
}

/// A change to the state of a thread.
#[derive(Debug, Clone, Default)]
pub struct StateChange {
    /// Where: on top of which checkpoint of which graph.
    pub at: At,
    /// What, and as the result of which node.
    pub patch: Patch,
}

/// Refuses every write of a change once a run is on the thread, or the thread is gone: a change and
/// a run cannot both go on from one checkpoint.
struct Quiet(String);

impl Rider for Quiet {
    fn board(&self) -> Box<dyn Ride> {
        Box::new(Self(self.0.clone()))
    }
}

impl Ride for Quiet {
    fn write(&mut self, tx: &mut dyn Tx) -> Result<(), Error> {
        refuse_in_flight(tx, &self.0)
    }

    fn ended(self: Box<Self>, _: bool) {}
}

/// Makes sure that a thread is there and that none of its runs is open.
fn refuse_in_flight(tx: &mut dyn Tx, thread: &str) -> Result<(), Error> {
    let head = tx.head(thread)?.ok_or_else(|| Error::NoThread(thread.to_owned()))?;
    if head.open == 0 {
        return Ok(());
    }
    let runs = tx.open_runs(thread)?.into_iter().map(|run| run.id).collect();
    Err(Error::InFlight { thread: thread.to_owned(), runs })
}

/// An error of the graph, or the one of ours that made it.
fn unwrapped(error: mesh_graph::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(one) = cause {
        match one.downcast_ref::<Error>() {
            Some(Error::InFlight { thread, runs }) => {
                return Error::InFlight { thread: thread.clone(), runs: runs.clone() };
            }
            Some(Error::NoThread(thread)) => return Error::NoThread(thread.clone()),
            _ => cause = one.source(),
        }
    }
    error.into()
}

/// A thread with its graph.
struct Opened {
    thread: Thread,
    app: App<Untyped>,
}

impl Runtime {
    /// The graph that a thread is of, without storage; none for a thread that has no graph yet.
    fn graph_of(&self, thread: &Thread) -> Result<Option<App<Untyped>>, Error> {
        let Some(graph) = thread.metadata.get("graph_id").and_then(Json::as_str) else {
            return Ok(None);
        };
        let configurable = match thread.config.get("configurable") {
            Some(Json::Object(configurable)) => configurable.clone(),
            _ => Map::new(),
        };
        let app = self.served(graph)?.app(&Request { purpose: Purpose::State, configurable });
        let app = app.map_err(|message| Error::NotMade { graph: graph.to_owned(), message })?;
        Ok(Some(app.env(std::sync::Arc::clone(self.env()))))
    }

    async fn outline(&self, scope: &Scope, thread: &str) -> Result<Thread, Error> {
        let (scope, id) = (scope.clone(), thread.to_owned());
        let found = self.ledger().look(move |tx| tx.thread_outline(&id, &scope)).await?;
        found.ok_or_else(|| Error::NoThread(thread.to_owned()))
    }

    async fn opened(&self, scope: &Scope, thread: &str) -> Result<Option<Opened>, Error> {
        let thread = self.outline(scope, thread).await?;
        let app = self.graph_of(&thread)?;
        let checkpointer = self.ledger().checkpointer();
        Ok(app.map(|app| Opened { thread, app: app.checkpointer(checkpointer) }))
    }

    /// The state of a thread as clients see it; with `subgraphs` also the states of the graphs
    /// mounted in its tasks. Where there is no checkpoint it is empty.
    ///
    /// # Errors
    /// [`Error::NoThread`], [`Error::NoGraph`], [`Error::NotMade`], and what storage reports.
    pub async fn thread_state(
        &self,
        scope: &Scope,
        thread: &str,
        at: &At,
        subgraphs: bool,
    ) -> Result<Json, Error> {
        let empty = || shown_empty(thread, &at.ns, at.checkpoint.as_deref());
        let Some(Opened { thread, app }) = self.opened(scope, thread).await? else {
            return Ok(empty());
        };
        let id = match at.checkpoint.as_deref().map(str::parse::<CheckpointId>) {
            Some(Err(_)) => return Ok(empty()),
            Some(Ok(id)) => Some(id),
            None => None,
        };
        let thread = &*thread.id;
        let snapshot = if at.ns.is_empty() {
            match (id, subgraphs) {
                (_, true) => app.state_tree(thread, id).await,
                (Some(id), false) => app.state_at(thread, id).await,
                (None, false) => app.state(thread).await,
            }
        } else {
            match app.inside(&at.ns) {
                Ok(inside) => match (id, subgraphs) {
                    (_, true) => inside.state_tree(thread, id).await,
                    (Some(id), false) => inside.state_at(thread, id).await,
                    (None, false) => inside.state(thread).await,
                },
                // A graph that a node calls by itself is known to that node alone.
                Err(mesh_graph::Error::UnknownNamespace { .. }) => return Ok(empty()),
                Err(error) => Err(error),
            }
        }?;
        Ok(if snapshot.checkpoint.is_none() { empty() } else { shown(thread, &snapshot) })
    }

    /// The states of a thread at its checkpoints, newest first. Empty for one without a graph.
    ///
    /// # Errors
    /// As [`Runtime::thread_state`].
    pub async fn thread_history(
        &self,
        scope: &Scope,
        thread: &str,
        asked: &History,
    ) -> Result<Vec<Json>, Error> {
        let Some(Opened { thread, app }) = self.opened(scope, thread).await? else {
            return Ok(Vec::new());
        };
        let mut filter = Filter { before: asked.before, ..Filter::default() };
        if let Some(id) = &asked.at.checkpoint {
            let Ok(id) = id.parse() else { return Ok(Vec::new()) };
            filter.branch = Some(id);
        }
        let mut inner = Map::new();
        for (key, wanted) in &asked.metadata {
            match (&**key, wanted) {
                // Not stored: it is the thread's own.
                ("thread_id", wanted) if *wanted != *thread.id => return Ok(Vec::new()),
                ("thread_id", _) => {}
                ("parents", _) | (_, Json::Object(_) | Json::Array(_) | Json::Number(_)) => {
                    inner.insert(key.clone(), wanted.clone());
                }
                _ => {
                    filter.metadata.insert(key.clone(), wanted.clone());
                }
            }
        }
        let inner = Json::Object(inner);
        let limit = if asked.at.checkpoint.is_some() { asked.limit.min(1) } else { asked.limit };
        let mut found = Vec::new();
        loop {
            let looks_inside = inner.as_object().is_some_and(|inner| !inner.is_empty());
            let page = if looks_inside && filter.branch.is_none() { HISTORY_PAGE } else { limit };
            filter.limit = Some(page);
            let snapshots = page_of(&app, &thread.id, &asked.at.ns, &filter).await?;
            let last = snapshots.len() < page || filter.branch.is_some();
            filter.before = snapshots.last().and_then(|oldest| oldest.checkpoint);
            for snapshot in snapshots {
                let shown = shown(&thread.id, &snapshot);
                if contains(&shown["metadata"], &inner) {
                    found.push(shown);
                }
                if found.len() == limit {
                    return Ok(found);
                }
            }
            if last {
                return Ok(found);
            }
        }
    }

    /// Changes the state of a thread and says which checkpoint it has now, as clients name it.
    /// What the thread's row says of its state follows, and its log tells it.
    ///
    /// # Errors
    /// [`Error::InFlight`] while a run is on the thread; [`Error::NoGraphYet`]; [`Error::Graph`]
    /// for a change that does not fit; and as [`Runtime::thread_state`].
    ///
    /// # Cancel safety
    /// A dropped future may have changed the state without the row and the log.
    pub async fn change_state(
        &self,
        scope: &Scope,
        thread: &str,
        change: StateChange,
    ) -> Result<Json, Error> {
        let Opened { thread, app } = self.quiet(scope, thread).await?;
        let id = &*thread.id;
        let mut patch = change.patch;
        if let Some(text) = &change.at.checkpoint {
            let at = text.parse().map_err(|_| Error::NoCheckpoint(text.clone()))?;
            patch = patch.at(at);
        }
        let changed = if change.at.ns.is_empty() {
            let at = app.update_state(id, patch).await.map_err(unwrapped)?;
            app.state_at(id, at).await?
        } else {
            let inside = app.inside(&change.at.ns)?;
            let at = inside.update_state(id, patch).await.map_err(unwrapped)?;
            inside.state_at(id, at).await?
        };
        self.settle(&thread, &app).await?;
        let made = changed.checkpoint.ok_or_else(|| Error::NoThread(id.to_owned()))?;
        Ok(checkpoint(id, &changed, made))
    }

    /// Adds supersteps of changes to a thread, one list of changes per superstep.
    ///
    /// # Errors
    /// As [`Runtime::change_state`]; [`Error::Invalid`] for more than [`SUPERSTEPS_MAX`].
    ///
    /// # Cancel safety
    /// As [`Runtime::change_state`]; some of the supersteps may have been added.
    pub async fn add_supersteps(
        &self,
        scope: &Scope,
        thread: &str,
        supersteps: Vec<Vec<Patch>>,
    ) -> Result<(), Error> {
        if supersteps.len() > SUPERSTEPS_MAX {
            let count = supersteps.len();
            return Err(Error::Invalid {
                pointer: "/supersteps".to_owned(),
                message: format!("/supersteps: {count} supersteps, at most {SUPERSTEPS_MAX}"),
            });
        }
        let Opened { thread, app } = self.quiet(scope, thread).await?;
        app.bulk_update(&thread.id, None, supersteps).await.map_err(unwrapped)?;
        self.settle(&thread, &app).await
    }

    /// A thread that can be changed, with its graph, whose every write makes sure that it still
    /// can be.
    async fn quiet(&self, scope: &Scope, thread: &str) -> Result<Opened, Error> {
        let (scope, id, policy) = (scope.clone(), thread.to_owned(), *self.policy());
        let thread = self
            .ledger()
            .read(move |tx| {
                let thread = tx.thread_outline(&id, &scope)?.ok_or(Error::NoThread(id))?;
                refuse_in_flight(tx, &thread.id)?;
                let head = tx.head(&thread.id)?;
                head.map_or(Ok(()), |head| check_state(&head, &policy))?;
                Ok(thread)
            })
            .await;
        let thread = self.noted(thread)?;
        let app = self.graph_of(&thread)?;
        let app = app.ok_or_else(|| Error::NoGraphYet { thread: thread.id.clone() })?;
        let rider = std::sync::Arc::new(Quiet(thread.id.clone()));
        let app = app.checkpointer(self.ledger().checkpointer_with(rider));
        Ok(Opened { thread, app })
    }

    /// Makes the row of a thread say what its newest state is, and its log tell that it changed.
    async fn settle(&self, thread: &Thread, app: &App<Untyped>) -> Result<(), Error> {
        let snapshot = app.state(&thread.id).await?;
        let settled = Settled::of(&snapshot);
        let entry = Entry::of_run(
            Uuid::nil(),
            Kind::Updated,
            self.env().now_ms(),
            &shown(&thread.id, &snapshot),
        );
        let (id, at) = (thread.id.clone(), self.stamp());
        let entries = self
            .ledger()
            .write(move |tx| {
                let mut entries = vec![entry];
                let head = tx.head(&id)?.ok_or_else(|| Error::NoThread(id.clone()))?;
                // A run that began meanwhile settles the thread when it ends.
                if head.open == 0 {
                    let change = Change {
                        of_state: true,
                        status: Some(settled.status),
                        values: Some(settled.values),
                        interrupts: Some(settled.interrupts),
                        error: Some(None),
                        ..Change::at(at)
                    };
                    tx.change_thread(&id, &change)?;
                }
                tx.append(&id, Uuid::nil(), 0, &mut entries)?;
                Ok(entries)
            })
            .await?;
        self.tell(&Told { entries: vec![(thread.id.clone(), entries)], ..Told::default() });
        Ok(())
    }
}

async fn page_of(
    app: &App<Untyped>,
    thread: &str,
    ns: &str,
    filter: &Filter,
) -> Result<Vec<StateSnapshot<Untyped>>, Error> {
    if ns.is_empty() {
        return Ok(app.history(thread, filter).await?);
    }
    match app.inside(ns) {
        Ok(inside) => Ok(inside.history(thread, filter).await?),
        Err(mesh_graph::Error::UnknownNamespace { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}
