//! Durable steps inside a node: the result is stored with the task the moment the step ends, and
//! given back on every later execution of that task.
//!
//! A node starts again from its top after an interrupt, a retry or a crash; a step does not. The
//! functional interface keeps the results of its calls by the same means.
//! LangGraph has this for functional tasks only, and matches them by position alone.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    canonical::InputHash,
    checkpoint::{Name, TaskId, TaskPath, TaskRecord},
    context::{Ctx, TaskContext},
    error::{Failure, FailureKind, NodeError, NodeResult},
    interrupt::first_128,
    payload::Payload,
    run::Durability,
    stored,
    superstep::Cause,
};

/// Steps and calls of one task. One more is the error [`FailureKind::TooManySteps`]: the results
/// are kept together in the task's record, so they have to stay a reasonable whole.
pub const STEPS_MAX: usize = 1024;

/// The name of a step inside its task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepName {
    /// A step with a key.
    Key(String),
    /// The step at this place among those without a key, from 0.
    Nth(u32),
    /// The question for the time at this place, from 0.
    Now(u32),
    /// The call with a key.
    Call(String),
    /// The call at this place among those without a key, from 0.
    NthCall(u32),
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) | Self::Call(key) => f.write_str(key),
            Self::Nth(place) => write!(f, "step {place}"),
            Self::Now(place) => write!(f, "now {place}"),
            Self::NthCall(place) => write!(f, "call {place}"),
        }
    }
}

/// The stored result of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its name; inside a call, the name of the call first.
    pub path: Vec<StepName>,
    /// What was called: the name of a functional task, empty for a step.
    pub what: String,
    /// The hash of its input.
    pub input: InputHash,
    /// The result, encoded.
    pub value: Payload,
}

/// The steps of a task, as its executions and their calls share them.
#[derive(Default)]
pub(crate) struct Steps {
    log: Arc<Log>,
    /// The call these belong to; empty for the task's own.
    scope: Vec<StepName>,
    claims: Mutex<Claims>,
}

/// Results by name. They outlive an execution.
#[derive(Default)]
struct Log(Mutex<BTreeMap<Vec<StepName>, StepRecord>>);

/// The names that one execution has used.
#[derive(Default)]
struct Claims {
    keys: HashSet<StepName>,
    steps: u32,
    clocks: u32,
    calls: u32,
    draws: u32,
}

/// A name taken by this execution, and what it stands for.
pub(crate) struct Claim {
    pub(crate) path: Vec<StepName>,
    what: String,
    input: InputHash,
}

/// Which name a step asks for.
#[derive(Clone, Copy)]
pub(crate) enum Wanted<'a> {
    Key(&'a str),
    Next,
    Now,
    Call(Option<&'a str>),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(counter: &mut u32) -> u32 {
    let place = *counter;
    *counter = counter.saturating_add(1);
    place
}

fn broken(kind: FailureKind, message: String) -> NodeError {
    NodeError::refused(Failure::new(kind, message))
}

impl Steps {
    /// The steps that storage has of a task.
    pub(crate) fn stored(records: &[StepRecord]) -> Self {
        let log = records.iter().map(|record| (record.path.clone(), record.clone())).collect();
        Self { log: Arc::new(Log(Mutex::new(log))), ..Self::default() }
    }

    /// The steps inside one of this task's calls.
    pub(crate) fn inside(&self, call: &[StepName]) -> Self {
        Self { log: Arc::clone(&self.log), scope: call.to_vec(), claims: Mutex::default() }
    }

    /// All results so far, by name.
    pub(crate) fn records(&self) -> Vec<StepRecord> {
        lock(&self.log.0).values().cloned().collect()
    }

    /// Takes a name for this execution.
    pub(crate) fn claim(
        &self,
        wanted: Wanted<'_>,
        what: &str,
        input: InputHash,
    ) -> NodeResult<Claim> {
        let mut claims = lock(&self.claims);
        let name = match wanted {
            Wanted::Key(key) => StepName::Key(key.to_owned()),
            Wanted::Next => StepName::Nth(take(&mut claims.steps)),
            Wanted::Now => StepName::Now(take(&mut claims.clocks)),
            Wanted::Call(Some(key)) => StepName::Call(key.to_owned()),
            Wanted::Call(None) => StepName::NthCall(take(&mut claims.calls)),
        };
        if !claims.keys.insert(name.clone()) {
            let step = name.to_string();
            let message = format!("step `{step}`: the task used this key before");
            return Err(broken(FailureKind::DuplicateStep { step }, message));
        }
        if claims.keys.len() > STEPS_MAX {
            let message = format!("expected at most {STEPS_MAX} steps and calls in one task");
            return Err(broken(FailureKind::TooManySteps, message));
        }
        let path = self.scope.iter().cloned().chain([name]).collect();
        Ok(Claim { path, what: what.to_owned(), input })
    }

    /// The result stored under a claimed name, if the step ran before.
    pub(crate) fn known<T: DeserializeOwned>(&self, claim: &Claim) -> NodeResult<Option<T>> {
        let log = lock(&self.log.0);
        let Some(known) = log.get(&claim.path) else { return Ok(None) };
        let step = claim.to_string();
        let mismatch = |message| broken(FailureKind::StepMismatch { step: step.clone() }, message);
        if known.what != claim.what {
            let message = format!(
                "step `{step}`: its stored result is of `{}`, but the task asked for `{}`",
                known.what, claim.what
            );
            return Err(mismatch(message));
        }
        if known.input != claim.input {
            let message = format!(
                "step `{step}`: its stored result is of another input ({}, now {})",
                known.input, claim.input
            );
            return Err(mismatch(message));
        }
        match known.value.bytes().and_then(stored::decode) {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                Err(mismatch(format!("step `{step}`: its stored result cannot be read: {error}")))
            }
        }
    }
}

impl Claim {
    /// The claimed place among those of its kind; 0 for a key.
    pub(crate) fn place(&self) -> u32 {
        match self.path.last() {
            Some(StepName::Nth(place) | StepName::Now(place) | StepName::NthCall(place)) => *place,
            Some(StepName::Key(_) | StepName::Call(_)) | None => 0,
        }
    }

    /// The id of the functional task that `caller` starts under this name.
    pub(crate) fn task_id(&self, caller: TaskId) -> TaskId {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"call").update(&caller.0.to_be_bytes());
        for name in &self.path {
            let kind: &[u8] = match name {
                StepName::Key(_) => b"k",
                StepName::Nth(_) => b"n",
                StepName::Now(_) => b"t",
                StepName::Call(_) => b"c",
                StepName::NthCall(_) => b"i",
            };
            let name = name.to_string();
            hasher.update(kind).update(&(name.len() as u64).to_be_bytes()).update(name.as_bytes());
        }
        TaskId(first_128(&hasher.finalize()).max(1))
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (level, name) in self.path.iter().enumerate() {
            if level > 0 {
                f.write_str("/")?;
            }
            fmt::Display::fmt(name, f)?;
        }
        Ok(())
    }
}

/// The hash of a step's input.
pub(crate) fn hash<I: Serialize + ?Sized>(input: &I) -> NodeResult<InputHash> {
    Ok(InputHash::of(&serde_json::to_value(input)?))
}

impl TaskContext {
    pub(crate) fn steps(&self) -> &Steps {
        self.0.steps.get_or_init(Steps::default)
    }

    /// Gives back what a claimed step gave before, or does its work and keeps the result.
    pub(crate) async fn run_step<T, E>(
        &self,
        claim: NodeResult<Claim>,
        work: impl Future<Output = Result<T, E>>,
    ) -> NodeResult<T>
    where
        T: Serialize + DeserializeOwned,
        E: Into<NodeError>,
    {
        let claim = claim?;
        if let Some(known) = self.steps().known(&claim)? {
            return Ok(known);
        }
        let value = work.await.map_err(Into::into)?;
        let stored = stored::encode(&value)?;
        self.keep_step(claim, stored).await?;
        Ok(value)
    }

    /// Stores a step's result, durably unless the run stores nothing before its end.
    ///
    /// Nobody is given a result that is not stored: what follows may depend on it.
    pub(crate) async fn keep_step(&self, claim: Claim, value: Vec<u8>) -> NodeResult<()> {
        let Claim { path, what, input } = claim;
        let record = StepRecord { path, what, input, value: value.into() };
        let shared = &*self.0;
        let run = &shared.run;
        if let (Some(checkpointer), Some(place)) = (&run.checkpointer, &run.place)
            && run.limits.durability != Durability::Exit
        {
            // Brings this step and nothing else, so that it may arrive at any time.
            let mut part = self.record();
            part.steps.push(record.clone());
            checkpointer.put_task(place, shared.base, part).await?;
        }
        lock(&self.steps().log.0).entry(record.path.clone()).or_insert(record);
        Ok(())
    }

    /// An empty record of the task that storage knows this execution by.
    fn record(&self) -> TaskRecord {
        let shared = &*self.0;
        if let Some(call) = &shared.call {
            return call.caller.record();
        }
        if let Some(rescue) = &shared.rescue {
            let caught = &rescue.caught;
            return TaskRecord::new(caught.task_id, &caught.node, rescue.path.clone());
        }
        let path = match &shared.cause {
            Cause::Push(index) => TaskPath::Push(*index),
            _ => TaskPath::Pull(Name::from(&**self.node_name())),
        };
        TaskRecord::new(self.id(), self.node_name(), path)
    }

    /// The next number of this execution that looks random, from the task's own id: the task's
    /// next execution draws the same ones, another task others.
    fn draw(&self, purpose: &[u8]) -> u128 {
        let place = take(&mut lock(&self.steps().claims).draws);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.id().0.to_be_bytes()).update(purpose).update(&place.to_be_bytes());
        first_128(&hasher.finalize())
    }
}

impl<D: Send + Sync + 'static> Ctx<D> {
    /// Does `work` once for this task, however often the node is executed: its result is stored
    /// with the task as soon as it is there, and given back after an interrupt, a retry or a crash.
    ///
    /// `key` names the step inside its task; `input` is what the result depends on. A failed step
    /// is not stored. `work` is not started when there is a result. With
    /// [`crate::Durability::Exit`] results are stored at the run's end, like everything else.
    /// Questions belong beside steps, not into them.
    ///
    /// ```
    /// # use mesh_graph::{Ctx, NodeResult, State, View};
    /// # #[derive(State)] struct Order { item: String, receipt: String }
    /// # async fn charge(item: &str) -> Result<String, std::io::Error> { Ok(format!("paid {item}")) }
    /// async fn pay(order: View<Order>, ctx: Ctx) -> NodeResult<OrderUpdate> {
    ///     let receipt = ctx.step("charge", &*order.item, charge(&order.item)).await?;
    ///     let sure: bool = ctx.interrupt("ship", &receipt)?;
    ///     Ok(Order::update().receipt(if sure { receipt } else { "held back".to_owned() }))
    /// }
    /// ```
    ///
    /// # Errors
    /// What `work` says; a key used twice in one task ([`FailureKind::DuplicateStep`]); an input
    /// that is not the one of the stored result ([`FailureKind::StepMismatch`]); more than
    /// [`STEPS_MAX`] steps; storage that fails.
    ///
    /// # Cancel safety
    /// Dropped before its end, the step is not stored, or stored already: then it is not repeated.
    pub fn step<T, E>(
        &self,
        key: &str,
        input: &(impl Serialize + ?Sized),
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> impl Future<Output = NodeResult<T>> + Send
    where
        T: Serialize + DeserializeOwned + Send,
        E: Into<NodeError>,
    {
        self.begin_step(Wanted::Key(key), input, work)
    }

    /// A step known by its place alone: the first without a key, the second, and so on.
    ///
    /// # Errors
    /// As [`Ctx::step`].
    ///
    /// # Cancel safety
    /// As [`Ctx::step`].
    pub fn step_next<T, E>(
        &self,
        input: &(impl Serialize + ?Sized),
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> impl Future<Output = NodeResult<T>> + Send
    where
        T: Serialize + DeserializeOwned + Send,
        E: Into<NodeError>,
    {
        self.begin_step(Wanted::Next, input, work)
    }

    /// The name is taken at the call, not at the first poll: places must not depend on timing.
    fn begin_step<T, E>(
        &self,
        wanted: Wanted<'_>,
        input: &(impl Serialize + ?Sized),
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> impl Future<Output = NodeResult<T>> + Send
    where
        T: Serialize + DeserializeOwned + Send,
        E: Into<NodeError>,
    {
        let task = self.task();
        let claim = hash(input).and_then(|input| task.steps().claim(wanted, "", input));
        task.run_step(claim, work)
    }

    /// Milliseconds since 1970 (UTC) when this was first asked at this place of the task; later
    /// executions of the task are told the same. [`Ctx::now_ms`] is the clock itself.
    ///
    /// # Errors
    /// As [`Ctx::step`].
    ///
    /// # Cancel safety
    /// As [`Ctx::step`].
    pub fn now(&self) -> impl Future<Output = NodeResult<i64>> + Send {
        let now = async { Ok::<_, NodeError>(self.now_ms()) };
        self.begin_step(Wanted::Now, "now", now)
    }

    /// A number from 0 (included) to 1 (excluded), anew at every call. Later executions of the task
    /// draw the same numbers in the same order; a fork of the thread draws others.
    ///
    /// Nothing is stored for it: the numbers follow from the task's id, which the run's own source
    /// of ids made.
    pub fn random(&self) -> f64 {
        // The 53 bits that a float between 0 and 1 can hold.
        (self.task().draw(b"random") >> (128 - 53)) as f64 / (1_u64 << 53) as f64
    }

    /// A new id in the form of a UUID, anew at every call. Later executions of the task are given
    /// the same ids in the same order, which makes them keys for effects that must happen once; a
    /// fork of the thread is given others. Nothing is stored for it, as in [`Ctx::random`].
    pub fn new_id(&self) -> String {
        let bytes = self.task().draw(b"id").to_be_bytes();
        uuid::Builder::from_custom_bytes(bytes).into_uuid().hyphenated().to_string()
    }
}
