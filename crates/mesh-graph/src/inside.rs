//! The state of graphs below the root: looked at and changed at their own place in a thread.
//!
//! Only mounted graphs are found here; a graph that is called inside a node is known to that node
//! alone. Semantics: LangGraph's state API with a checkpoint namespace.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::BoxFuture;

use crate::{
    app::{App, Patch, Untyped},
    checkpoint::{Checkpoint, CheckpointId, Place, TaskId, TaskRecord},
    checkpointer::{Checkpointer, Filter, Loaded},
    error::Error,
    graph::Core,
    interrupt::InterruptId,
    mount::Mount,
    run::{RunShared, is_edit_of},
    snapshot::{self, StateSnapshot, TaskSnapshot},
    update::{self, Resolution},
};

/// A graph that is mounted somewhere below an app's graph, at one namespace.
///
/// ```
/// # use mesh_graph::{App, Error, Untyped};
/// # async fn show(app: &App<Untyped>) -> Result<(), Error> {
/// let parent = app.state("thread").await?;
/// for ns in parent.tasks.iter().filter_map(|task| task.child_ns.as_deref()) {
///     println!("{ns}: {:?}", app.inside(ns)?.state("thread").await?.next);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Inside {
    app: App<Untyped>,
    seat: Seat,
    ns: String,
}

/// A mounted graph without its place in a thread.
struct Seat {
    core: Arc<Core>,
    /// The channels whose writes the parent replays.
    watched: Option<Arc<[bool]>>,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.core.name)
    }
}

impl Inside {
    pub(crate) fn of(app: App<Untyped>, ns: &str) -> Result<Self, Error> {
        let mut seat = Seat { core: app.core(), watched: None };
        for level in ns.split('|') {
            seat = below(&seat.core, level)
                .ok_or_else(|| Error::UnknownNamespace { ns: ns.to_owned() })?;
        }
        Ok(Self { app, seat, ns: ns.to_owned() })
    }

    fn place(&self, thread: &str) -> Place {
        Place { thread: thread.to_owned(), ns: self.ns.clone() }
    }

    /// The graph's state now, as [`App::state`] shows it for the root.
    ///
    /// # Errors
    /// As [`App::state`].
    pub async fn state(&self, thread: &str) -> Result<StateSnapshot<Untyped>, Error> {
        self.snapshot(thread, None).await
    }

    /// The graph's state at one of its own checkpoints.
    ///
    /// # Errors
    /// As [`App::state`].
    pub async fn state_at(
        &self,
        thread: &str,
        checkpoint: CheckpointId,
    ) -> Result<StateSnapshot<Untyped>, Error> {
        self.snapshot(thread, Some(checkpoint)).await
    }

    async fn snapshot(
        &self,
        thread: &str,
        at: Option<CheckpointId>,
    ) -> Result<StateSnapshot<Untyped>, Error> {
        let place = self.place(thread);
        match self.app.storage()?.load(&place, at).await? {
            Some(loaded) => snapshot::of(&self.seat.core, &place, &loaded, at.is_none()),
            None => Ok(snapshot::empty(&self.seat.core)),
        }
    }

    /// The graph's state now, or at one of its own checkpoints, with the states of the graphs
    /// mounted in its tasks, as [`App::state_tree`] shows them for the root.
    ///
    /// # Errors
    /// As [`App::state`].
    pub async fn state_tree(
        &self,
        thread: &str,
        at: Option<CheckpointId>,
    ) -> Result<StateSnapshot<Untyped>, Error> {
        let mut snapshot = self.snapshot(thread, at).await?;
        let StateSnapshot { tasks, instances, .. } = &mut snapshot;
        fill(&**self.app.storage()?, &self.seat.core, thread, tasks, instances).await?;
        Ok(snapshot)
    }

    /// The graph's checkpoints in this namespace, newest first.
    ///
    /// # Errors
    /// As [`App::state`].
    pub async fn history(
        &self,
        thread: &str,
        filter: &Filter,
    ) -> Result<Vec<StateSnapshot<Untyped>>, Error> {
        let place = self.place(thread);
        let loaded = self.app.storage()?.list(&place, filter).await?;
        let core = &self.seat.core;
        loaded.iter().map(|loaded| snapshot::of(core, &place, loaded, false)).collect()
    }

    /// Changes the graph's state, as [`App::update_state`] does for the root. Questions that the
    /// graph was waiting with are gone, so resuming the root makes it go on from the new state.
    ///
    /// # Errors
    /// As [`App::update_state`]; [`Error::UnknownCheckpoint`] when the graph never ran here.
    pub async fn update_state(&self, thread: &str, patch: Patch) -> Result<CheckpointId, Error> {
        let (shared, head) = self.shared(thread).await?;
        let (at, update) = patch.for_state(&self.seat.core.schema)?;
        let done = update::bulk_update(shared, at, vec![vec![update]]).await?;
        let asked = head.tasks.iter().flat_map(TaskRecord::open_interrupts);
        self.forget(&head.checkpoint, asked.map(|interrupt| interrupt.id).collect(), thread)
            .await?;
        Ok(done)
    }

    /// Gives the result of one pending task of the graph, as [`App::resolve_task`] does for the
    /// root.
    ///
    /// # Errors
    /// As [`App::resolve_task`]; [`Error::UnknownCheckpoint`] when the graph never ran here.
    pub async fn resolve_task(
        &self,
        thread: &str,
        task: TaskId,
        resolution: Resolution,
    ) -> Result<(), Error> {
        let (shared, head) = self.shared(thread).await?;
        update::resolve_task(shared, task, resolution).await?;
        let records = head.tasks.iter().filter(|record| record.id == task);
        let asked = records.flat_map(TaskRecord::open_interrupts);
        self.forget(&head.checkpoint, asked.map(|interrupt| interrupt.id).collect(), thread).await
    }

    /// What a change of the graph's state needs, and the checkpoint it changes.
    async fn shared(&self, thread: &str) -> Result<(Arc<RunShared>, Loaded), Error> {
        let place = self.place(thread);
        let Some(head) = self.app.storage()?.load(&place, None).await? else {
            return Err(Error::UnknownNamespace { ns: self.ns.clone() });
        };
        let mut shared = self.app.shared(thread)?;
        shared.core = Arc::clone(&self.seat.core);
        shared.ns = self.ns.split('|').map(str::to_owned).collect();
        shared.ns_text = Arc::from(self.ns.as_str());
        shared.parents = Arc::clone(&head.checkpoint.parents);
        shared.above.caller = head.checkpoint.caller;
        shared.above.watched.clone_from(&self.seat.watched);
        shared.place = Some(Arc::new(place));
        Ok((Arc::new(shared), head))
    }

    /// Takes questions that the graph no longer asks from the tasks of its ancestors, which would
    /// go on waiting for their answers.
    async fn forget(
        &self,
        changed: &Checkpoint,
        asked: Vec<InterruptId>,
        thread: &str,
    ) -> Result<(), Error> {
        let storage = self.app.storage()?;
        let mut below = changed.clone();
        while let Some(caller) = below.caller {
            // Namespaces of ancestors begin each other, so the nearest one is the longest.
            let nearest = below.parents.iter().max_by_key(|(ns, _)| ns.len());
            let Some((ns, at)) = nearest else { break };
            let place = Place { thread: thread.to_owned(), ns: ns.clone() };
            let Some(parent) = storage.load(&place, Some(*at)).await? else { break };
            let record = parent.tasks.into_iter().find(|record| record.id == caller);
            if let Some(mut record) = record
                && record.commit.is_none()
            {
                let before = record.interrupts.len();
                record.interrupts.retain(|interrupt| !asked.contains(&interrupt.id));
                if record.interrupts.len() < before {
                    storage.put_task(&place, *at, record).await?;
                }
            }
            below = parent.checkpoint;
        }
        Ok(())
    }
}

/// The graph mounted in `core` under this level of a namespace.
fn below(core: &Core, level: &str) -> Option<Seat> {
    let name = level.split_once(':').map_or(level, |(name, _)| name);
    let mounts = || core.nodes.iter().filter_map(|node| Some((node, node.run.as_ref()?.mount()?)));
    let mount = mounts()
        .find(|(_, mount)| mount.instance() == Some(name))
        .or_else(|| mounts().find(|(node, _)| *node.name == *name))?
        .1;
    Some(seat(core, mount))
}

fn seat(core: &Core, mount: &Mount) -> Seat {
    Seat { core: Arc::clone(mount.core()), watched: mount.watched(&core.schema) }
}

/// Fills in the states of the graphs mounted in the tasks of a snapshot, level by level.
/// `instances` say where the per-thread ones stand.
pub(crate) fn fill<'a>(
    storage: &'a dyn Checkpointer,
    core: &'a Arc<Core>,
    thread: &'a str,
    tasks: &'a mut [TaskSnapshot],
    instances: &'a BTreeMap<String, CheckpointId>,
) -> BoxFuture<'a, Result<(), Error>> {
    Box::pin(async move {
        for task in tasks {
            let Some(ns) = task.child_ns.clone() else { continue };
            let node = core.find(&task.name).and_then(|id| core.node(id).run.as_ref());
            let Some(mount) = node.and_then(|run| run.mount()) else { continue };
            let place = Place { thread: thread.to_owned(), ns };
            let Some(mut loaded) = storage.load(&place, None).await? else { continue };
            if mount.per_thread() && loaded.checkpoint.caller != Some(task.id) {
                // Nothing of this task yet: the graph stands where its last one left it.
                let Some(at) = instances.get(&place.ns) else { continue };
                if !is_edit_of(storage, &place, &loaded.checkpoint, *at).await? {
                    match storage.load(&place, Some(*at)).await? {
                        Some(older) => loaded = older,
                        None => continue,
                    }
                }
            }
            let child = mount.core();
            let mut below = snapshot::of::<Untyped>(child, &place, &loaded, true)?;
            let StateSnapshot { tasks, instances, .. } = &mut below;
            fill(storage, child, thread, tasks, instances).await?;
            task.child = Some(Arc::new(below));
        }
        Ok(())
    })
}
