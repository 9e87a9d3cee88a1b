//! The runtime: the ledger, the graphs and the machine that executes runs, as one handle.

use std::sync::Arc;

use mesh_graph::env::Env;

use crate::{Graphs, Ledger, Stamp, stamp::Stamps};

/// Everything that handlers of requests need. Cloning is cheap.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    ledger: Arc<dyn Ledger>,
    graphs: Graphs,
    env: Arc<dyn Env>,
    stamps: Stamps,
}

impl Runtime {
    /// A runtime over a ledger that serves these graphs.
    pub fn new(ledger: Arc<dyn Ledger>, graphs: Graphs, env: Arc<dyn Env>) -> Self {
        Self { inner: Arc::new(Inner { ledger, graphs, env, stamps: Stamps::default() }) }
    }

    /// Where everything is kept.
    pub fn ledger(&self) -> &dyn Ledger {
        &*self.inner.ledger
    }

    /// The graphs that are served.
    pub fn graphs(&self) -> &Graphs {
        &self.inner.graphs
    }

    /// Clock, ids and chance.
    pub fn env(&self) -> &Arc<dyn Env> {
        &self.inner.env
    }

    /// The time of a change: now, and later than every one given before.
    pub fn stamp(&self) -> Stamp {
        self.inner.stamps.next(&*self.inner.env)
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("graphs", &self.inner.graphs).finish_non_exhaustive()
    }
}
