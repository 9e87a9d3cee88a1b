//! The graph engine: typed state, supersteps, checkpoints, streams.
//!
//! A [`Graph`] is built from async functions over a state that `#[derive(State)]` describes,
//! compiled, given its dependencies as an [`App`], and run. All tasks of a superstep see the same
//! snapshot; what they return is applied at once, in an order that does not depend on timing.
//!
//! This crate knows no models, no HTTP, no SQL. Time and ids come from an [`env::Env`].

#![allow(
    clippy::result_large_err,
    reason = "an error ends a run: it is made once and moved a few times, never in a loop"
)]

mod app;
mod cache;
mod call;
mod canonical;
pub mod channel;
pub mod checkpoint;
pub mod checkpointer;
mod command;
mod context;
mod control;
mod entrypoint;
pub mod env;
pub mod error;
mod graph;
mod ids;
mod inside;
mod interrupt;
mod join;
mod keys;
mod live;
mod made;
mod mount;
mod names;
mod node;
mod observer;
mod parent;
mod payload;
mod permits;
mod policy;
pub mod reducer;
mod rescue;
mod retry;
mod run;
mod shared;
mod snapshot;
mod state;
mod step;
pub mod store;
pub mod stored;
mod stream;
mod superstep;
#[cfg(feature = "testing")]
pub mod testing;
mod timeout;
mod untyped;
mod update;
pub mod value;
mod version;

pub use update::Resolution;

pub use mesh_graph_macros::State;

pub use app::{App, Command, Outcome, Patch, Run, RunHandle, Untyped};
pub use cache::{CACHE_BYTES, CACHE_ENTRIES, CacheKey, CachePolicy, MemoryCache, NodeCache};
pub use call::Call;
pub use canonical::InputHash;
pub use checkpoint::{CheckpointId, TaskId};
pub use checkpointer::{Checkpointer, MemoryCheckpointer};
pub use command::{Goto, IntoRoute, IntoStep, Route, Send, Step};
pub use context::{Ctx, Info};
pub use control::Control;
pub use entrypoint::{Entrypoint, Final, Flow, FlowCtx, FlowView, Started, Task};
pub use error::{CompileError, Error, Failure, FailureKind, Mistake, NodeError, NodeResult};
pub use graph::{
    Compiled, Drawing, DrawnEdge, DrawnNode, FanOut, Graph, Lint, NodeOptions, RouteOptions, Xray,
};
pub use ids::Ids;
pub use inside::Inside;
pub use interrupt::{Interrupt, InterruptId, Resume};
pub use join::JoinOptions;
pub use keys::{Key, Keys};
pub use names::{COPY, DEFAULT_ERROR_HANDLER, END, ERROR_HANDLER, INPUT, INTERRUPT, START};
pub use node::{
    Arg, Handler, Named, Node, NodeFuture, NodeInput, NodeOutput, PartSchema, StepOutput, TaskInput,
};
pub use observer::{Observer, Pause};
pub use rescue::{Caught, ErrorHandler, Then};
pub use retry::{Classify, FailedAttempt, Retry, Retryable};
pub use run::{
    Breakpoints, CANCEL_GRACE, Durability, OnPending, RECURSION_LIMIT, SIBLING_GRACE,
    SiblingPolicy, Status, Warning,
};
pub use shared::Sharing;
pub use snapshot::{StateSnapshot, TaskSnapshot};
pub use state::{Part, Reader, Shared, State, Update, View};
pub use step::{STEPS_MAX, StepName, StepRecord};
pub use store::{MemoryStore, Store};
pub use stream::{
    EVENT_BUFFER, Event, Framing, Mode, Modes, ORDERED_HELD_MAX, OutputKeys, REDACTED, ToolEvent,
    UnknownStreamMode, v3,
};
pub use timeout::{RefreshOn, Timeout, TimeoutKind};
pub use untyped::{JsonStep, JsonView};
pub use version::Migrate;

// The derive writes `::mesh_graph::…`; this lets the crate's own tests use it.
extern crate self as mesh_graph;

/// The pages of the handbook that teach the engine: their code is compiled and run as it stands.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/graphs/first-graph.md")]
#[doc = include_str!("../../../docs/src/graphs/when-a-graph.md")]
#[doc = include_str!("../../../docs/src/graphs/interrupts.md")]
#[doc = include_str!("../../../docs/src/graphs/durable-steps.md")]
#[doc = include_str!("../../../docs/src/graphs/time-travel.md")]
#[doc = include_str!("../../../docs/src/graphs/graphs-in-graphs.md")]
mod handbook {}
