//! The floor F2: the smallest loop that has the same shape as the engine.
//!
//! Channels by index, a version per channel, one map of updates per task, tasks against one
//! snapshot, updates applied in task order. An edge is a channel as any other: what a task leads to
//! stands in its map, and a node runs when its channel has a version that it has not seen. (With
//! edges in a table beside the maps nobody reads the versions, and most maps stay empty: that is a
//! loop over a list, not the model.) No streams, no checkpoints, no failures, no answers: what it
//! costs is what the execution model itself costs.

use std::{any::Any, collections::BTreeMap, sync::Arc};

use futures::future::BoxFuture;
use tokio::task::JoinSet;

/// A value of a channel.
pub(crate) type Value = Arc<dyn Any + Send + Sync>;
/// The values of all channels, by index.
pub(crate) type Values = Vec<Value>;
/// What a task gives: a value per channel, of the state and of the nodes that it leads to.
pub(crate) type Update = BTreeMap<usize, Value>;
/// A node: from the snapshot, or from the argument of a send, to an update.
pub(crate) type Node =
    Arc<dyn Fn(Arc<Values>, Option<Value>) -> BoxFuture<'static, Update> + Send + Sync>;
/// Combines a channel's value with an update of it.
pub(crate) type Reducer = fn(Value, Value) -> Value;

/// Says which nodes follow.
pub(crate) type Router = Box<dyn Fn(&Values) -> Vec<usize> + Send + Sync>;

/// What follows a node.
pub(crate) enum Next {
    /// These nodes.
    Nodes(Vec<usize>),
    /// What the function says of the new state.
    Route(Router),
    /// This join gets an arrival.
    Join(usize),
}

/// Whether tasks run in place or on the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spawn {
    /// One after the other, in place.
    Never,
    /// Each as a task of the runtime.
    Always,
}

/// A graph.
pub(crate) struct Loop {
    pub(crate) nodes: Vec<(Node, Next)>,
    pub(crate) reducers: Vec<Option<Reducer>>,
    /// Number of sources, and target.
    pub(crate) joins: Vec<(usize, usize)>,
    pub(crate) spawn: Spawn,
}

/// A due task: a node, and the argument of its send.
pub(crate) type Task = (usize, Option<Value>);

impl Loop {
    /// The channel whose new version makes a node run. They come after those of the state.
    fn trigger(&self, node: usize) -> usize {
        self.reducers.len() + node
    }

    /// Runs from these tasks to the end and returns the values.
    pub(crate) async fn run(&self, values: Values, mut due: Vec<Task>) -> Values {
        let led: Value = Arc::new(());
        let mut values = Arc::new(values);
        let mut versions = vec![0_u64; self.reducers.len() + self.nodes.len()];
        let mut seen = vec![0_u64; self.nodes.len()];
        let mut version = 0;
        let mut arrived = vec![0_usize; self.joins.len()];
        let mut triggered = Vec::new();
        while !due.is_empty() {
            let mut updates = self.tasks(&values, &due).await;
            for ((node, _), update) in due.iter().zip(&mut updates) {
                match &self.nodes[*node].1 {
                    Next::Nodes(nodes) => {
                        let leads = nodes.iter().map(|node| (self.trigger(*node), led.clone()));
                        update.extend(leads);
                    }
                    Next::Join(join) => {
                        arrived[*join] += 1;
                        let (sources, target) = self.joins[*join];
                        if arrived[*join] == sources {
                            arrived[*join] = 0;
                            update.insert(self.trigger(target), led.clone());
                        }
                    }
                    Next::Route(_) => {}
                }
            }
            version += 1;
            let channels = Arc::make_mut(&mut values);
            for (channel, value) in updates.into_iter().flatten() {
                versions[channel] = version;
                match self.reducers.get(channel) {
                    Some(Some(reduce)) => {
                        let current = std::mem::replace(&mut channels[channel], Arc::new(()));
                        channels[channel] = reduce(current, value);
                    }
                    Some(None) => channels[channel] = value,
                    None => triggered.push(channel),
                }
            }
            // A route sees the new state.
            for (node, _) in &due {
                if let Next::Route(route) = &self.nodes[*node].1 {
                    for trigger in route(&values).into_iter().map(|node| self.trigger(node)) {
                        versions[trigger] = version;
                        triggered.push(trigger);
                    }
                }
            }
            due.clear();
            for trigger in triggered.drain(..) {
                let node = trigger - self.reducers.len();
                if versions[trigger] > seen[node] {
                    seen[node] = versions[trigger];
                    due.push((node, None));
                }
            }
            due.sort_by_key(|(node, _)| *node);
        }
        Arc::unwrap_or_clone(values)
    }

    async fn tasks(&self, values: &Arc<Values>, due: &[Task]) -> Vec<Update> {
        let start = |(node, arg): &Task| (self.nodes[*node].0)(Arc::clone(values), arg.clone());
        let mut updates = Vec::with_capacity(due.len());
        match self.spawn {
            Spawn::Never => {
                for task in due {
                    updates.push(start(task).await);
                }
            }
            Spawn::Always => {
                let mut running = JoinSet::new();
                for (position, task) in due.iter().enumerate() {
                    let task = start(task);
                    running.spawn(async move { (position, task.await) });
                }
                updates.resize_with(due.len(), Update::new);
                while let Some(ended) = running.join_next().await {
                    if let Ok((position, update)) = ended {
                        updates[position] = update;
                    }
                }
            }
        }
        updates
    }
}
