//! The graph engine: typed state, supersteps, checkpoints, streams.
//!
//! A [`Graph`] is built from async functions over a state that `#[derive(State)]` describes,
//! compiled, given its dependencies as an [`App`], and run. All tasks of a superstep see the same
//! snapshot; what they return is applied at once, in an order that does not depend on timing.
//!
//! This crate knows no models, no HTTP, no SQL. Time and ids come from an [`env::Env`].
//!
//! ```
//! use mesh_graph::{Ctx, END, Graph, NodeResult, START, State, View};
//!
//! #[derive(State)]
//! struct Essay {
//!     #[state(append)]
//!     drafts: Vec<String>,
//! }
//!
//! async fn write(essay: View<Essay>, _: Ctx) -> NodeResult<EssayUpdate> {
//!     Ok(Essay::update().push_drafts(format!("draft {}", essay.drafts.len() + 1)))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut graph = Graph::<Essay>::new("essay");
//! graph.node("write", write);
//! graph.edge(START, "write");
//! graph
//!     .route("write", |essay| if essay.drafts.len() < 3 { "write" } else { END })
//!     .targets(["write"]);
//! let outcome = graph.compile()?.app(()).run(Essay::update()).invoke().await?;
//! assert_eq!(outcome.state().drafts, ["draft 1", "draft 2", "draft 3"]);
//! # Ok(())
//! # }
//! ```
//!
//! # What is where
//!
//! In the order in which a reader needs it; each name leads to its own page.
//!
//! **Building.** [`Graph`] collects nodes and edges. A node is an async function from a [`View`]
//! of the state, or from the [`Arg`] of a [`Send`], and a [`Ctx`], to a [`NodeResult`] of an
//! update or a [`Step`]; what else it may be is said by [`NodeOptions`]. [`Graph::compile`] reports
//! every [`Mistake`] by name, [`Compiled::lint`] gives hints ([`Lint`]), and [`Compiled::draw`]
//! pictures ([`Drawing`]); [`App::mounted`] lists what is inside ([`Mounted`]). [`Graph::untyped`] is the same over [`Keys`] and JSON.
//!
//! **Running.** [`Compiled::app`] adds the dependencies, [`App`] holds what runs share, and [`Run`]
//! is one run with its options and the [`Config`] that its nodes read. It ends in an [`Outcome`] with a [`Status`] and [`Warning`]s, or
//! in an [`Error`]. [`Control`] stops it between supersteps; [`Observer`]s hear when it pauses.
//!
//! **State.** [`State`] says what a field may be, [`Part`] what a node may see of it, [`channel`]
//! how a key takes writes, [`reducer`] how several become one, [`value`] what can be stored.
//! [`Migrate`] brings values of an older version along.
//!
//! **Control flow.** [`Graph::edge`], [`Graph::join`] with its [`JoinOptions`], [`Graph::route`] to
//! a [`Route`], [`Graph::fan_out`], and gotos of a node ([`Step::goto`]). [`NodeOptions::defer`]
//! waits for everything else.
//!
//! **Graphs in graphs.** [`Graph::mount`] maps states, [`Graph::mount_shared`] shares keys as
//! [`Sharing`] says, [`Ctx::call`] runs a graph inside a node. [`Step::parent`] speaks to the graph
//! above, [`Compiled::per_thread`] keeps a graph's state, and [`Inside`] looks into it.
//!
//! **Interrupts.** [`Ctx::interrupt`] asks, [`App::answer`] answers with a [`Resume`], and
//! [`Breakpoints`] stop at nodes. An [`Interrupt`] is what was asked.
//!
//! **Checkpoints.** [`Checkpointer`] is what a store of threads has to do, [`checkpointer`] and
//! [`checkpoint`] are its types, [`Durability`] says how long a run waits for it. [`App::state`],
//! [`App::history`] and [`App::update_state`] read and change threads; [`Run::at`] goes back.
//!
//! **Failures.** A [`NodeError`] becomes a [`Failure`] with a [`FailureKind`]. [`Retry`] tries again,
//! [`Timeout`] gives up, an [`ErrorHandler`] says what happens [`Then`], and [`SiblingPolicy`] what
//! becomes of the others. [`Ctx::step`] keeps what is done. [`CachePolicy`] saves doing it again.
//!
//! **Streams.** A [`Mode`] chooses what [`Run::start`] tells as [`Event`]s; [`Framing`] is how other
//! programs read them, [`v3`] the event protocol.
//!
//! **Store.** A [`Store`] keeps items across threads: [`Ctx::store`] and [`store`].
//!
//! **Functional API.** An [`Entrypoint`] is one async function with [`Task`]s that are stored as
//! they finish.
//!
//! **Testing.** [`env`](mod@env) gives time and ids that count; the feature `testing` adds the suites that
//! every checkpointer and store has to pass.

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
mod config;
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
pub use config::Config;
pub use context::{Ctx, Info, Saying};
pub use control::Control;
pub use entrypoint::{Entrypoint, Final, Flow, FlowCtx, FlowView, Started, Task};
pub use error::{CompileError, Error, Failure, FailureKind, Mistake, NodeError, NodeResult};
pub use graph::{
    Compiled, Drawing, DrawnEdge, DrawnNode, FanOut, Graph, Lint, Mounted, NodeOptions,
    RouteOptions, Xray,
};
pub use ids::Ids;
pub use inside::Inside;
pub use interrupt::{Interrupt, InterruptId, Misfit, Resume, check_answer};
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
    EVENT_BUFFER, Event, Events, Framing, Mode, Modes, ORDERED_HELD_MAX, OutputKeys, PieceFrame,
    REDACTED, ToolEvent, UnknownStreamMode, v3,
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
