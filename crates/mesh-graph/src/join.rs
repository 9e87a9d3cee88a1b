//! Joins: edges that wait for several nodes.
//!
//! What a join waits for, and how far it has come. Pure: sources that arrived or will not come go
//! in, whether the target runs comes out; the order within one superstep never matters.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use smallvec::SmallVec;

use crate::{
    graph::{Graph, NodeId},
    live::insert,
    node::Named,
};

/// A join of a graph under construction.
pub(crate) struct JoinDraft {
    pub(crate) sources: Vec<Arc<str>>,
    pub(crate) to: Arc<str>,
    /// How many sources have to arrive; none stands for all.
    pub(crate) needed: Option<usize>,
    pub(crate) optional: Vec<Arc<str>>,
}

/// Options of a join that was just added. What it says last counts.
///
/// It stands for the graph as well, so that edges may follow in one chain.
///
/// ```
/// # use mesh_graph::{Ctx, Graph, NodeResult, START, State, View};
/// # #[derive(State)] struct Search { query: String }
/// # async fn ask(_: View<Search>, _: Ctx) -> NodeResult<()> { Ok(()) }
/// # let mut graph = Graph::<Search>::new("search");
/// # for name in ["web", "wiki", "mail", "answer", "report"] { graph.node(name, ask); }
/// # for name in ["web", "wiki", "mail"] { graph.edge(START, name); }
/// // Two answers of three are enough.
/// graph.join(["web", "wiki", "mail"], "answer").n_of(2).edge("answer", "report");
/// # graph.compile().unwrap();
/// ```
pub struct JoinOptions<'a, S, D> {
    pub(crate) graph: &'a mut Graph<S, D>,
    pub(crate) at: usize,
}

impl<S, D> JoinOptions<'_, S, D> {
    /// The target runs once the first of the sources has arrived. The others are ignored until
    /// each of them has arrived too, or a new input starts: then the join waits for a first one
    /// again.
    pub fn any(self) -> Self {
        self.n_of(1)
    }

    /// The target runs once `k` of the sources have arrived, and the others are ignored as with
    /// [`JoinOptions::any`]. `compile` refuses a `k` of zero and one above the number of sources.
    pub fn n_of(self, k: usize) -> Self {
        self.graph.joins[self.at].needed = Some(k);
        self
    }

    /// These sources need not come: a router, or a goto of a node, may say so
    /// ([`crate::Route::without`], [`crate::Goto::NotComing`]), and the join waits for them no
    /// longer in this round. It fires as soon as all the others have arrived; when nobody is left
    /// to come, with those that did, and not at all without one.
    pub fn optional<N: Named>(self, sources: impl IntoIterator<Item = N>) -> Self {
        let optional = sources.into_iter().map(|source| source.node_name()).collect();
        self.graph.joins[self.at].optional = optional;
        self
    }
}

impl<S, D> Deref for JoinOptions<'_, S, D> {
    type Target = Graph<S, D>;
    fn deref(&self) -> &Graph<S, D> {
        self.graph
    }
}

impl<S, D> DerefMut for JoinOptions<'_, S, D> {
    fn deref_mut(&mut self) -> &mut Graph<S, D> {
        self.graph
    }
}

/// A join of a compiled graph.
pub(crate) struct JoinSpec {
    /// `join:a+b:j`, as streams show it and checkpoints store it.
    pub(crate) name: Arc<str>,
    pub(crate) sources: Vec<NodeId>,
    pub(crate) target: NodeId,
    /// How many sources have to arrive.
    pub(crate) needed: usize,
    /// The sources that may be said not to come.
    pub(crate) optional: Vec<NodeId>,
}

impl JoinSpec {
    /// Whether it may fire before all of its sources have arrived.
    pub(crate) fn is_loose(&self) -> bool {
        self.needed < self.sources.len() || !self.optional.is_empty()
    }
}

/// How far a join has come since it last began to wait.
#[derive(Clone, Default)]
pub(crate) struct Gathering {
    /// Sources that arrived, ascending.
    pub(crate) arrived: SmallVec<[NodeId; 4]>,
    /// Sources that were said not to come, ascending.
    pub(crate) absent: SmallVec<[NodeId; 2]>,
    /// Its target ran for those that came first: the rest is only counted.
    pub(crate) fired: bool,
}

/// What becomes of a join after a superstep.
pub(crate) enum Settled {
    /// It waits on.
    Waits,
    /// Its target is to run.
    Fires,
}

impl Gathering {
    /// Notes an arrival, and says whether all sources have arrived.
    pub(crate) fn arrive(&mut self, spec: &JoinSpec, source: NodeId) -> bool {
        insert(&mut self.arrived, source);
        self.arrived.len() == spec.sources.len()
    }

    /// Notes that a source will not arrive.
    pub(crate) fn miss(&mut self, source: NodeId) {
        insert(&mut self.absent, source);
    }

    /// The sources of which nothing is known yet.
    pub(crate) fn missing<'a>(&'a self, spec: &'a JoinSpec) -> impl Iterator<Item = NodeId> + 'a {
        let unknown = |source: &NodeId| {
            self.arrived.binary_search(source).is_err()
                && self.absent.binary_search(source).is_err()
        };
        spec.sources.iter().copied().filter(unknown)
    }

    /// Whether a join that is not complete, though somebody came, waits for others.
    pub(crate) fn is_partial(&self, spec: &JoinSpec) -> bool {
        !self.arrived.is_empty()
            && !self.fired
            && self.arrived.len() < spec.needed
            && self.missing(spec).next().is_some()
    }

    /// Decides a loose join, once everything that one superstep brings has been noted.
    pub(crate) fn settle(&mut self, spec: &JoinSpec) -> Settled {
        let nobody_left = self.missing(spec).next().is_none();
        if !self.fired
            && !self.arrived.is_empty()
            && (self.arrived.len() >= spec.needed || nobody_left)
        {
            return Settled::Fires;
        }
        if nobody_left {
            self.clear();
        }
        Settled::Waits
    }

    /// The target ran: begins anew, or counts those that are still to come.
    pub(crate) fn fire(&mut self, spec: &JoinSpec) {
        if spec.is_loose() && self.missing(spec).next().is_some() {
            self.fired = true;
        } else {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.arrived.clear();
        self.absent.clear();
        self.fired = false;
    }
}
