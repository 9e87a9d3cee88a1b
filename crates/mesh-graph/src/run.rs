//! Running a graph: what a run may be asked, what its tasks share, how it ends.
//!
//! Everything that decides lives in `superstep`; the modules below only act. A run that is dropped
//! or fails leaves its thread as the last checkpoint says.

mod attempt;
mod begin;
mod cached;
mod child;
mod driver;
mod noted;
mod observing;
mod running;
mod saving;
mod slot;
mod task;
mod telling;

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value as Json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    cache::NodeCache,
    channel::Values,
    checkpoint::{CheckpointId, Place},
    checkpointer::Checkpointer,
    config::Config,
    control::Control,
    env::Env,
    error::{Error, Failure},
    graph::{Core, NodeId, START_ID},
    interrupt::{Interrupt, InterruptId, Resume},
    live::StartInput,
    observer::Observer,
    parent::ToParent,
    permits::LimitTable,
    state::Write,
    store::Store,
    stream::Sink,
    timeout::Progress,
};

use self::begin::Begun;
pub(crate) use self::{
    child::{Above, Below, CallName, Instances, drive_child, is_edit_of, without_tasks},
    driver::Driver,
    saving::Written,
    task::effect_of,
};

/// How long tasks of a cancelled run may take to end by themselves before they are dropped.
pub const CANCEL_GRACE: Duration = Duration::from_millis(250);

/// How long the siblings of a failed task may go on, so that work already paid for is kept.
pub const SIBLING_GRACE: Duration = Duration::from_secs(30);

/// What happens to the other tasks of a superstep when one has failed for good. The failure is
/// told at once in both cases; a task that is dropped has no error and runs again on resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiblingPolicy {
    /// They may go on for this long, so that work already paid for is kept.
    Finish {
        /// Then they are dropped.
        grace: Duration,
    },
    /// They are dropped now.
    Cancel,
}

impl Default for SiblingPolicy {
    fn default() -> Self {
        Self::Finish { grace: SIBLING_GRACE }
    }
}

/// Node supersteps of one invocation before [`Error::RecursionLimit`], unless the run says
/// otherwise.
pub const RECURSION_LIMIT: u32 = 10_007;

/// When a checkpoint has to be durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// Before the next superstep starts.
    Sync,
    /// While the next superstep runs; at most one checkpoint is on its way.
    #[default]
    Async,
    /// Only at the end of the run, at an interrupt or at a failure.
    Exit,
}

/// What becomes of a thread's unfinished superstep when a new input arrives.
///
/// Its unfinished tasks never run again, and where its finished ones lead is forgotten: the new
/// input starts from START. It is about the thread as it stands; a run from an older checkpoint
/// leaves what came after it alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnPending {
    /// The writes of its finished tasks are dropped as well. LangGraph always does this.
    #[default]
    Discard,
    /// The input is refused with [`Error::PendingTasks`].
    Reject,
    /// The writes of its finished tasks are kept in the state that the input finds.
    KeepFinished,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Nothing is left to run.
    Done,
    /// It waits for answers, or stopped at a breakpoint.
    Interrupted,
    /// It was cancelled; unfinished tasks run again on resume.
    Cancelled,
    /// It was asked to stop before its next superstep, by [`crate::Control::request_drain`].
    Drained,
}

/// Something a run wants to be known although it did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The run ended because a router returned an empty list.
    EmptyFanOut {
        /// The node that was routed from.
        node: String,
    },
    /// The run ended while a join was waiting.
    PartialJoin {
        /// The join's target.
        target: String,
        /// The sources that never came.
        missing: Vec<String>,
    },
    /// Events in task order were asked for, and more had to be held back than
    /// [`crate::ORDERED_HELD_MAX`]: some were told as they came.
    OrderGivenUp {
        /// How many were held back then.
        held: usize,
    },
    /// An answer was given to a question that the node did not ask again.
    StaleAnswer {
        /// The node.
        node: String,
        /// The interrupt.
        id: InterruptId,
    },
}

/// Where breakpoints are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Breakpoints {
    /// Nowhere.
    #[default]
    None,
    /// At every node.
    All,
    /// At these nodes.
    At(Vec<String>),
}

impl Breakpoints {
    /// # Errors
    /// [`Failure`] names a node that the graph does not have.
    pub(crate) fn check(&self, core: &Core) -> Result<(), Failure> {
        match self {
            Self::At(names) => match names.iter().find(|name| core.find(name).is_none()) {
                Some(name) => Err(Failure::unknown_target(name)),
                None => Ok(()),
            },
            Self::None | Self::All => Ok(()),
        }
    }

    pub(crate) fn matches(&self, core: &Core, nodes: impl IntoIterator<Item = NodeId>) -> bool {
        let mut nodes = nodes.into_iter().filter(|node| *node != START_ID);
        match self {
            Self::None => false,
            Self::All => nodes.next().is_some(),
            Self::At(names) => {
                nodes.any(|node| names.iter().any(|name| **name == *core.node(node).name))
            }
        }
    }
}

/// What a run was asked to do.
pub(crate) enum Request {
    /// Begin with this input.
    Input(StartInput),
    /// Go on with unfinished work.
    Continue,
    /// Answer, update or go somewhere.
    Command { resume: Option<Resume>, start: StartInput },
    /// Begin with this input although the place has checkpoints: they are of other branches.
    Anew(StartInput),
    /// Begin as a copy of this checkpoint, with this run's answers in place of those given there.
    Reanswer { from: Place, at: CheckpointId },
}

/// What all tasks of one graph in one run share.
pub(crate) struct RunShared {
    pub(crate) core: Arc<Core>,
    pub(crate) deps: Arc<dyn Any + Send + Sync>,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) checkpointer: Option<Arc<dyn Checkpointer>>,
    /// What nodes remember across threads.
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) cache: Option<Arc<dyn NodeCache>>,
    /// Where checkpoints go; none without a checkpointer.
    pub(crate) place: Option<Arc<Place>>,
    pub(crate) ns: Arc<[String]>,
    pub(crate) ns_text: Arc<str>,
    pub(crate) run_id: Arc<str>,
    /// Stands in for a checkpoint in task ids when nothing is stored.
    pub(crate) unsaved: CheckpointId,
    pub(crate) sink: Sink,
    pub(crate) cancel: CancellationToken,
    pub(crate) slots: Option<Arc<Semaphore>>,
    pub(crate) limit_table: Arc<LimitTable>,
    pub(crate) control: Control,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// Progress of the task that the graph is mounted in.
    pub(crate) progress: Option<Arc<Progress>>,
    pub(crate) limits: Limits,
    /// Answers given to this run, for the children that asked.
    pub(crate) answers: Mutex<Arc<BTreeMap<InterruptId, Json>>>,
    pub(crate) parents: Arc<BTreeMap<String, CheckpointId>>,
    pub(crate) metadata: Arc<BTreeMap<String, Json>>,
    /// What its nodes read; none when the run was given none.
    pub(crate) config: Option<Arc<Config>>,
    pub(crate) warnings: Arc<Mutex<Vec<Warning>>>,
    pub(crate) above: Above,
}

/// The options of a run that its children inherit, and those they do not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    pub(crate) recursion: u32,
    pub(crate) durability: Durability,
    pub(crate) before: Breakpoints,
    pub(crate) after: Breakpoints,
    pub(crate) on_pending: OnPending,
    pub(crate) siblings: SiblingPolicy,
    /// It goes on for an execution of the same run that was lost: no breakpoint was passed by it.
    pub(crate) takes_over: bool,
    /// Of one superstep; mounted graphs have none of their own.
    pub(crate) step_timeout: Option<Duration>,
}

/// In what form a task's result is needed besides memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Nothing is stored.
    Nothing,
    /// The checkpointer keeps values as they are.
    Values,
    /// The checkpointer keeps bytes: what cannot be encoded fails the task that wrote it.
    Bytes,
}

impl RunShared {
    pub(crate) fn keep(&self) -> Keep {
        match (&self.checkpointer, &self.place) {
            (Some(checkpointer), Some(_)) if checkpointer.keeps_values() => Keep::Values,
            (Some(_), Some(_)) => Keep::Bytes,
            _ => Keep::Nothing,
        }
    }

    pub(super) fn answers(&self) -> Arc<BTreeMap<InterruptId, Json>> {
        Arc::clone(&self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn warn(&self, warning: Warning) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
    }
}

/// A run that ended without failing.
pub(crate) struct Finished {
    pub(crate) status: Status,
    pub(crate) values: Arc<Values>,
    pub(crate) interrupts: Vec<Interrupt>,
    pub(crate) checkpoint: Option<CheckpointId>,
    /// The graph gave up with a command to its parent.
    pub(crate) to_parent: Option<ToParent>,
    /// The writes since the input, if the parent watches them.
    pub(crate) made: Vec<Write>,
    /// Where per-thread graphs below it stand since its input.
    pub(crate) instances: Instances,
    /// Questions whose answers it took in this run.
    pub(crate) answered: Vec<(Interrupt, Json)>,
    /// Why it was drained.
    pub(crate) drained: Option<String>,
}

/// Runs a graph until it is done, interrupted, cancelled or failed.
pub(crate) async fn drive(
    shared: Arc<RunShared>,
    request: Request,
    at: Option<CheckpointId>,
) -> Result<Finished, Error> {
    let mut driver = Driver::new(shared);
    driver.tell_started().await;
    let result = match driver.begin(request, at).await {
        Ok(Begun::Idle) => driver.idle().await,
        Ok(Begun::Ready) => driver.run().await,
        Err(error) => Err(error),
    };
    // Whatever the end: what was being saved is saved before the caller hears of it.
    let end = match (driver.settle().await, result) {
        (Ok(()), result) => result,
        (Err(storage), Ok(_)) => Err(storage),
        (Err(_), Err(error)) => Err(error),
    };
    if driver.shared.ns.is_empty() {
        // Tasks that were dropped may have left something unsaid.
        driver.shared.sink.flush().await;
    }
    driver.tell_ended(&end).await;
    if let Ok(finished) = &end
        && finished.status == Status::Interrupted
    {
        driver.observe(|observer, pause| observer.on_interrupt(pause), || &finished.interrupts[..]);
    }
    end
}
