//! The floor F2: the smallest loop that has the same shape as the engine.
//!
//! Channels by index, a version per channel, one map of updates per task, tasks against one
//! snapshot, updates applied in task order. No streams, no checkpoints, no failures, no answers:
//! what it costs is what the execution model itself costs.

use std::{any::Any, collections::BTreeMap, sync::Arc};

use futures::future::BoxFuture;
use tokio::task::JoinSet;

/// A value of a channel.
pub(crate) type Value = Arc<dyn Any + Send + Sync>;
/// The values of all channels, by index.
pub(crate) type Values = Vec<Value>;
/// What a task gives: a value per channel.
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
    /// Runs from these tasks to the end and returns the values.
    pub(crate) async fn run(&self, values: Values, mut due: Vec<Task>) -> Values {
        let mut values = Arc::new(values);
        let mut versions = vec![0_u64; values.len()];
        let mut version = 0;
        let mut arrived = vec![0_usize; self.joins.len()];
        while !due.is_empty() {
            let updates = self.tasks(&values, &due).await;
            let channels = Arc::make_mut(&mut values);
            version += 1;
            for update in updates {
                for (channel, value) in update {
                    channels[channel] = match self.reducers[channel] {
                        Some(reduce) => {
                            let current = std::mem::replace(&mut channels[channel], Arc::new(()));
                            reduce(current, value)
                        }
                        None => value,
                    };
                    versions[channel] = version;
                }
            }
            let mut next: Vec<Task> = Vec::new();
            for (node, _) in &due {
                match &self.nodes[*node].1 {
                    Next::Nodes(nodes) => next.extend(nodes.iter().map(|node| (*node, None))),
                    Next::Route(route) => {
                        next.extend(route(&values).into_iter().map(|node| (node, None)));
                    }
                    Next::Join(join) => {
                        arrived[*join] += 1;
                        let (sources, target) = self.joins[*join];
                        if arrived[*join] == sources {
                            arrived[*join] = 0;
                            next.push((target, None));
                        }
                    }
                }
            }
            next.sort_by_key(|(node, _)| *node);
            next.dedup_by_key(|(node, _)| *node);
            due = next;
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
