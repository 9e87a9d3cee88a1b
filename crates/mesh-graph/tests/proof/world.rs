//! The engine's side: builds the graph that a case describes, makes its calls, and watches.
//!
//! Nothing waits for real time: nodes sleep on a paused clock, which jumps to the next one that is
//! due, so tasks end in the order that the seed says.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mesh_graph::{
    App, Arg, Breakpoints, CheckpointId, Checkpointer, Command, Compiled, Ctx, Durability, END,
    Error, FailureKind, Goto, Graph, MemoryCheckpointer, Mode, NodeError, NodeResult, Outcome,
    Patch, Resume, Route, Run, Send, State, StateSnapshot, Status, Step, TaskId, View, Warning,
    checkpoint::{Place, TaskRecord},
    checkpointer::{self, Commit, Filter},
    env::Env,
    testing::{Around, Fault, Writes},
};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use crate::{
    model,
    observed::{self, Observed, Told},
    random_graph::{Ask, Call, Case, Flow, Node, Work},
    script::{self, Given, Job, Script, Way, Write},
};

/// The state of all random graphs: one key for every way of taking writes.
#[derive(State)]
pub(crate) struct S {
    tag: String,
    #[state(append)]
    log: Vec<String>,
    #[state(add)]
    sum: i64,
    #[state(add)]
    spent: i64,
    last: Option<i64>,
    #[state(any)]
    any: Option<i64>,
    #[state(ephemeral)]
    passing: Option<i64>,
    #[state(merge)]
    marks: BTreeMap<String, i64>,
}

/// What is noticed while nodes run.
#[derive(Default)]
pub(crate) struct Watch {
    order: u64,
    seen: Mutex<Noticed>,
}

#[derive(Default)]
struct Noticed {
    /// Starts by what was started, and by task.
    starts: BTreeMap<String, u32>,
    total: usize,
    executions: HashMap<TaskId, u32>,
    routed: HashMap<(String, u64), u32>,
    /// Tasks whose result is stored.
    finished: HashSet<TaskId>,
    /// What must never happen.
    faults: Vec<String>,
}

type Deps = Arc<Watch>;

impl Watch {
    fn noticed(&self) -> std::sync::MutexGuard<'_, Noticed> {
        self.seen.lock().unwrap()
    }

    /// Whether more was started than is worth its time: the run had better fail.
    pub(crate) fn is_too_large(&self) -> bool {
        self.noticed().total > STARTS_MAX
    }

    /// Notes a start; returns the number of executions of the task so far.
    fn start(&self, place: &str, task: TaskId) -> u32 {
        let mut noticed = self.noticed();
        noticed.total += 1;
        *noticed.starts.entry(place.to_owned()).or_default() += 1;
        if noticed.finished.contains(&task) {
            let fault = format!("{place} was stored as finished and ran again");
            noticed.faults.push(fault);
        }
        let count = noticed.executions.entry(task).or_default();
        *count += 1;
        *count
    }

    fn routed(&self, router: &str, seen: &Json) -> u32 {
        let mut noticed = self.noticed();
        let key = (router.to_owned(), script::digest(&script::canonical(seen)));
        let calls = noticed.routed.entry(key).or_default();
        *calls += 1;
        *calls
    }

    fn stored(&self, record: &TaskRecord) {
        let mut noticed = self.noticed();
        if record.commit.is_some() {
            noticed.finished.insert(record.id);
        } else if record.error.is_some() {
            // The superstep took the result back: it cannot stand beside another.
            noticed.finished.remove(&record.id);
        }
    }
}

/// Starts of one case that are worth its time.
const STARTS_MAX: usize = 3_000;

/// Ids that count, and waits that are long: the engine's patience outlasts every node.
#[derive(Default)]
struct Slow {
    ids: AtomicU64,
}

/// Longer than any chain of nodes takes, for a wait of the engine's shortest.
const STRETCH: u32 = 1_000_000;

#[async_trait]
impl Env for Slow {
    fn now_ms(&self) -> i64 {
        0
    }

    fn new_id(&self) -> u128 {
        u128::from(self.ids.fetch_add(1, Ordering::Relaxed)) + 1
    }

    fn random(&self) -> u64 {
        0
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time * STRETCH).await;
    }
}

fn see(view: &View<S>) -> Json {
    json!({
        "tag": *view.tag, "log": *view.log, "sum": *view.sum, "spent": *view.spent, "last": *view.last,
        "any": *view.any, "passing": *view.passing, "marks": *view.marks,
    })
}

fn number(value: &Json) -> Option<i64> {
    value.as_i64()
}

fn update(writes: &[Write]) -> SUpdate {
    writes.iter().fold(S::update(), |update, Write { key, overwrite, value }| {
        let lines = || -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
        match (*key, overwrite) {
            ("log", false) => update.extend_log(lines()),
            ("log", true) => update.set_log(lines()),
            ("sum", false) => update.sum(value.as_i64().unwrap()),
            ("sum", true) => update.set_sum(value.as_i64().unwrap()),
            ("spent", _) => update.spent(value.as_i64().unwrap()),
            ("last", _) => update.last(number(value)),
            ("any", _) => update.any(number(value)),
            ("passing", _) => update.passing(number(value)),
            ("marks", _) => update.marks(serde_json::from_value(value.clone()).unwrap()),
            (other, _) => unreachable!("no script writes {other}"),
        }
    })
}

fn goto(way: Way) -> Goto {
    match way {
        Way::End => Goto::from(END),
        Way::Node(name) => Goto::from(name),
        Way::Job(node, job) => Goto::from(Send::json(&node, serde_json::to_value(job).unwrap())),
        Way::State(node, arg) => Goto::from(Send::json(&node, arg)),
    }
}

/// One execution of a scripted node.
async fn work(node: Arc<(String, Script)>, seen: Json, ctx: Ctx<Deps>) -> NodeResult<Step<S>> {
    let (name, script) = &*node;
    let info = ctx.info();
    let place = observed::place(script::tag_of(&seen), name, info.step);
    let count = ctx.deps().start(&place, info.task_id);
    let delay = observed::delay(ctx.deps().order, &place, count);
    tokio::time::sleep(Duration::from_millis(delay)).await;
    if ctx.deps().is_too_large() {
        return Err(NodeError::msg("the case is too large"));
    }
    if count <= script.fails {
        assert!(!script.panics, "as the script says");
        return Err(NodeError::msg("as the script says"));
    }
    let ask = |name: &String| script::question(&seen, &node.0, info.step, name);
    let names = script.asks.names();
    let answers = match &script.asks {
        script::Asks::Together(_) => {
            let questions: Vec<(&str, Json)> =
                names.iter().map(|name| (name.as_str(), ask(name))).collect();
            ctx.interrupt_all(&questions)?
        }
        script::Asks::Places(_) => {
            names.iter().map(|name| ctx.interrupt_next(&ask(name))).collect::<NodeResult<_>>()?
        }
        _ => names.iter().map(|name| ctx.interrupt(name, &ask(name))).collect::<NodeResult<_>>()?,
    };
    let Given { updates, ways } = script.perform(name, &seen, &answers);
    let step = updates.iter().fold(Step::none(), |step, writes| step.and(update(writes)));
    Ok(ways.into_iter().fold(step, |step, way| step.goto(goto(way))))
}

/// The graph that a description describes.
fn build(flow: &Flow, watch: &Deps) -> Compiled<S, Deps> {
    let mut graph = Graph::<S, Deps>::new("random");
    for node in &flow.nodes {
        add(&mut graph, node, watch);
    }
    for (from, to) in &flow.edges {
        graph.edge(from.clone(), to.clone());
    }
    for (sources, to) in &flow.joins {
        graph.join(sources.iter().cloned(), to.clone());
    }
    let mut nth_of: HashMap<&str, usize> = HashMap::new();
    for route in &flow.routes {
        let nth = nth_of.entry(&route.from).or_default();
        // Routers are numbered over the whole graph, as the model numbers them.
        *nth = flow.routes.iter().position(|other| std::ptr::eq(other, route)).unwrap();
        let (nth, watch, rule) = (*nth, Arc::clone(watch), route.clone());
        graph.route(route.from.clone(), move |view| -> Route {
            let seen = see(view);
            if watch.routed(&format!("{}?{nth}", rule.from), &seen) <= rule.fails {
                return Route::from(None::<Goto>);
            }
            Route::from(rule.choose(&seen, nth).into_iter().map(goto).collect::<Vec<_>>())
        });
    }
    for fan in &flow.fans {
        let (to, rule) = (fan.to.clone(), fan.clone());
        graph.route(fan.from.clone(), move |view| -> Route {
            let jobs = rule.jobs(&see(view));
            match (&rule.if_empty, jobs.is_empty()) {
                (Some(other), true) => Route::from(other.as_str()),
                (None, true) => Route::end(),
                _ => Route::from(
                    jobs.into_iter().map(|job| goto(Way::Job(to.clone(), job))).collect::<Vec<_>>(),
                ),
            }
        });
    }
    graph.compile().unwrap()
}

fn add(graph: &mut Graph<S, Deps>, node: &Node, watch: &Deps) {
    let name = &*node.name;
    let into = name.to_owned();
    let output = |child: &View<S>| {
        S::update()
            .extend_log(child.log.clone())
            .sum(child.sum.rem_euclid(7))
            .spent(1)
            .marks(child.marks.clone())
    };
    match (&node.work, node.takes) {
        (Work::Script(script), false) => {
            let script = Arc::new((into, script.clone()));
            let run =
                move |view: View<S>, ctx: Ctx<Deps>| work(Arc::clone(&script), see(&view), ctx);
            let options = graph.node(name, run);
            if node.defer {
                options.defer();
            }
        }
        (Work::Script(script), true) => {
            let script = Arc::new((into, script.clone()));
            let run = move |Arg(job): Arg<Job>, ctx: Ctx<Deps>| {
                let seen =
                    model::seen_in(&json!({ "sum": job.n, "spent": job.spent, "tag": job.tag }));
                work(Arc::clone(&script), seen, ctx)
            };
            let options = graph.node(name, run);
            if node.defer {
                options.defer();
            }
        }
        (Work::Mount(child), false) => {
            let child = build(child, watch);
            let input = move |view: &View<S>| {
                S::update()
                    .tag(format!("{}/{into}.{}", *view.tag, *view.spent))
                    .sum(*view.sum)
                    .spent(*view.spent)
            };
            let options = graph.mount(name, &child, input, output);
            if node.defer {
                options.defer();
            }
        }
        (Work::Mount(child), true) => {
            let child = build(child, watch);
            let input = move |job: &Job| {
                S::update()
                    .tag(format!("{}/{into}.{}", job.tag, job.spent))
                    .sum(job.n)
                    .spent(job.spent)
            };
            let options = graph.mount_send(name, &child, input, output);
            if node.defer {
                options.defer();
            }
        }
    }
}

/// Keeps checkpoints in memory, watches what is stored, and goes wrong at one write if told to.
struct Storage {
    inner: MemoryCheckpointer,
    watch: Deps,
    plan: Mutex<(usize, Option<(usize, Fault)>)>,
    stopped: Mutex<CancellationToken>,
    /// Takes its time, as the seed says.
    slow: bool,
}

impl Storage {
    /// Counts a write, and says what goes wrong with it.
    async fn next(&self) -> Option<Fault> {
        let (number, fault) = {
            let mut plan = self.plan.lock().unwrap();
            plan.0 += 1;
            (plan.0, plan.1.filter(|(at, _)| *at == plan.0).map(|(_, fault)| fault))
        };
        if self.slow {
            let delay = observed::delay(self.watch.order, "storage", number as u32) / 4;
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        fault
    }

    async fn through(
        &self,
        write: impl Future<Output = Result<(), checkpointer::Error>>,
        records: &[TaskRecord],
    ) -> Result<(), checkpointer::Error> {
        let fault = self.next().await;
        let failed = || Err(checkpointer::Error::Storage("as the case says".into()));
        let stop = async || -> Result<(), checkpointer::Error> {
            self.stopped.lock().unwrap().cancel();
            std::future::pending().await
        };
        match fault {
            Some(Fault::FailBefore) => return failed(),
            Some(Fault::StopBefore) => return stop().await,
            _ => write.await?,
        }
        for record in records {
            self.watch.stored(record);
        }
        match fault {
            Some(Fault::FailAfter) => failed(),
            Some(_) => stop().await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Writes for Storage {
    fn inner(&self) -> &dyn Checkpointer {
        &self.inner
    }

    async fn put(&self, commit: Commit) -> Result<(), checkpointer::Error> {
        let records = commit.tasks.clone();
        self.through(self.inner.put(commit), &records).await
    }

    async fn put_task(
        &self,
        place: &Place,
        checkpoint: CheckpointId,
        record: TaskRecord,
    ) -> Result<(), checkpointer::Error> {
        let records = [record.clone()];
        self.through(self.inner.put_task(place, checkpoint, record), &records).await
    }
}

/// A case's graph with its thread.
pub(crate) struct World {
    app: App<S>,
    storage: Arc<Around<Storage>>,
    watch: Deps,
    mounts: BTreeSet<String>,
    stored: bool,
}

impl World {
    /// `order` decides in which order tasks end; with `slow`, storage takes time as well.
    pub(crate) fn new(case: &Case, order: u64, slow: bool) -> Self {
        let watch = Arc::new(Watch { order, ..Watch::default() });
        let storage = Arc::new(Around(Storage {
            inner: MemoryCheckpointer::default(),
            watch: Arc::clone(&watch),
            plan: Mutex::default(),
            stopped: Mutex::default(),
            slow,
        }));
        let graph = build(&case.flow, &watch);
        let mut app = graph.app(Arc::clone(&watch)).env(Arc::new(Slow::default()));
        if case.stored {
            app = app.checkpointer(Arc::clone(&storage) as Arc<dyn Checkpointer>);
        }
        let mounts = case.flow.nodes.iter().filter(|node| matches!(node.work, Work::Mount(_)));
        let mounts = mounts.map(|node| node.name.clone()).collect();
        Self { app, storage, watch, mounts, stored: case.stored }
    }

    /// From now on, the write with this number (from 1) goes wrong.
    pub(crate) fn cut(&self, at: usize, fault: Fault) {
        *self.storage.0.plan.lock().unwrap() = (0, Some((at, fault)));
        *self.storage.0.stopped.lock().unwrap() = CancellationToken::new();
    }

    /// Nothing goes wrong any more. Returns how many writes there were since [`World::cut`].
    pub(crate) fn mend(&self) -> usize {
        std::mem::take(&mut *self.storage.0.plan.lock().unwrap()).0
    }

    /// Fires when a write has stopped for ever.
    pub(crate) fn stopped(&self) -> CancellationToken {
        self.storage.0.stopped.lock().unwrap().clone()
    }

    pub(crate) fn starts(&self) -> BTreeMap<String, u32> {
        self.watch.noticed().starts.clone()
    }

    pub(crate) fn is_too_large(&self) -> bool {
        self.watch.is_too_large()
    }

    /// What happened that must never happen.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.watch.noticed().faults.clone()
    }

    pub(crate) async fn snapshot(&self) -> StateSnapshot<S> {
        self.app.state("t").await.unwrap()
    }

    /// One call, and what it gave.
    pub(crate) async fn call(&self, call: &Call) -> Observed {
        let mut at = None;
        if let Some(nth) = call.at {
            let mut ids: Vec<CheckpointId> = self.checkpoints().await;
            ids.reverse();
            at = ids.get(nth % ids.len().max(1)).copied();
        }
        let run = match &call.ask {
            Ask::Input(input) => self.app.run_json(input.clone()),
            Ask::Resume => self.app.resume(),
            Ask::AnswerAll | Ask::AnswerFirst | Ask::AnswerOnly => {
                self.app.answer(self.answers(&call.ask).await)
            }
            Ask::Command { update, goto } => self.app.command(Command {
                update: update.clone(),
                goto: goto.iter().map(|node| Goto::from(node.as_str())).collect(),
                ..Command::default()
            }),
            Ask::Update { as_node, values } => {
                let patch = values.clone().map_or_else(Patch::none, Patch::values);
                let patch = patch.as_node(as_node);
                let patch = match at {
                    Some(at) => patch.at(at),
                    None => patch,
                };
                let end = match self.app.update_state("t", patch).await {
                    Ok(_) => "updated".to_owned(),
                    Err(error) => format!("error {}", told(&error)),
                };
                return Observed { end, ..Observed::default() };
            }
        };
        let run = match at {
            Some(at) => run.at(at),
            None => run,
        };
        self.watched(options(run, call, self.stored)).await
    }

    async fn answers(&self, ask: &Ask) -> Resume {
        let mut open = self.snapshot().await.interrupts;
        if matches!(ask, Ask::AnswerFirst) {
            open.truncate(1);
        }
        match (ask, &open[..]) {
            (Ask::AnswerOnly, [first, ..]) => Resume::Only(script::answer(&first.value)),
            (_, []) => Resume::Only(json!(0)),
            _ => Resume::ById(
                open.iter()
                    .map(|open| (open.id.to_string(), script::answer(&open.value)))
                    .collect(),
            ),
        }
    }

    async fn watched(&self, run: Run<S>) -> Observed {
        let run = run.stream([Mode::Values, Mode::Updates]).subgraphs();
        let mut handle = match run.start() {
            Ok(handle) => handle,
            Err(error) => {
                return Observed { end: format!("error {}", told(&error)), ..Observed::default() };
            }
        };
        let mut events = Vec::new();
        while let Some(event) = handle.next().await {
            let mode = event.mode.name();
            let data = interrupts_bare(event.data());
            events.push(Told { ns: event.ns.join("|"), mode, data, time: 0 });
        }
        let mut observed = match handle.finish().await {
            Ok(outcome) => ended(&outcome),
            Err(error) => {
                Observed { end: format!("error {}", told(&error)), ..Observed::default() }
            }
        };
        observed.events = events;
        observed
    }

    async fn checkpoints(&self) -> Vec<CheckpointId> {
        let history = self.app.history("t", &Filter::default()).await.unwrap();
        history.iter().filter_map(|snapshot| snapshot.checkpoint).collect()
    }

    /// The thread now.
    pub(crate) async fn state(&self) -> String {
        let snapshot = self.snapshot().await;
        if snapshot.checkpoint.is_none() {
            return "no thread".to_owned();
        }
        let open: Vec<Json> = snapshot.interrupts.iter().map(|open| open.value.clone()).collect();
        observed::state_line(&snapshot.next, &snapshot.json().unwrap(), &open)
    }

    /// The checkpoints of the root graph, oldest first; notes versions and ids that shrink.
    pub(crate) async fn history(&self) -> Vec<String> {
        let mut history = self.app.history("t", &Filter::default()).await.unwrap();
        history.reverse();
        let ids: Vec<Option<CheckpointId>> =
            history.iter().map(|snapshot| snapshot.checkpoint).collect();
        let mut lines = Vec::new();
        for snapshot in &history {
            let parent =
                snapshot.parent.and_then(|parent| ids.iter().position(|id| *id == Some(parent)));
            if let Some(parent) = parent {
                self.check_growth(&history[parent], snapshot);
            }
            let mut tasks = Vec::new();
            for task in &snapshot.tasks {
                let asked: Vec<Json> = if self.mounts.contains(&task.name) {
                    Vec::new()
                } else {
                    task.interrupts.iter().map(|interrupt| interrupt.value.clone()).collect()
                };
                let error = task.error.as_ref().map(|failure| kind(&failure.kind));
                let result = task.result.clone().unwrap_or_default();
                tasks.push(observed::task_line(&task.name, error.as_deref(), &asked, &result));
            }
            let mut updated = snapshot.updated.clone();
            updated.sort();
            updated.dedup();
            lines.push(observed::checkpoint_line(
                snapshot.step.unwrap_or_default(),
                &snapshot.source.map(|source| source.to_string()).unwrap_or_default(),
                parent,
                &snapshot.next,
                &updated,
                &snapshot.json().unwrap(),
                &tasks,
            ));
        }
        lines
    }

    fn check_growth(&self, parent: &StateSnapshot<S>, child: &StateSnapshot<S>) {
        let mut faults = Vec::new();
        if parent.checkpoint >= child.checkpoint {
            faults.push(format!("{:?} is older than its parent", child.checkpoint));
        }
        for (key, version) in &child.versions {
            if parent.versions.get(key).is_some_and(|before| before > version) {
                faults.push(format!("the version of {key} shrank at {:?}", child.checkpoint));
            }
        }
        self.watch.noticed().faults.extend(faults);
    }
}

fn options(run: Run<S>, call: &Call, stored: bool) -> Run<S> {
    let at = |names: &[String]| {
        if names.is_empty() { Breakpoints::None } else { Breakpoints::At(names.to_vec()) }
    };
    let run = if stored { run.thread("t") } else { run };
    run.durability(call.durability)
        .recursion_limit(call.limit)
        .break_before(at(&call.before))
        .break_after(at(&call.after))
}

fn ended(outcome: &Outcome<S>) -> Observed {
    let end = match outcome.status {
        Status::Done => "done".to_owned(),
        Status::Interrupted => "interrupted".to_owned(),
        Status::Cancelled | Status::Drained => "stopped from outside".to_owned(),
    };
    let mut warnings: Vec<String> = outcome
        .warnings
        .iter()
        .map(|warning| match warning {
            Warning::EmptyFanOut { node } => format!("empty fan-out after {node}"),
            Warning::PartialJoin { target, missing } => {
                format!("join of {target} misses {missing:?}")
            }
            other => format!("{other:?}"),
        })
        .collect();
    warnings.sort();
    let values = interrupts_bare(outcome.json().unwrap());
    Observed { end, values, warnings, events: Vec::new() }
}

/// Questions without their ids, which nobody outside can foretell.
fn interrupts_bare(mut data: Json) -> Json {
    if let Some(interrupts) = data.get_mut("__interrupt__").and_then(Json::as_array_mut) {
        for interrupt in interrupts {
            *interrupt = interrupt["value"].take();
        }
    }
    data
}

/// An error as the model names it.
fn told(error: &Error) -> String {
    match error {
        Error::EmptyInput => "empty input".to_owned(),
        Error::NothingToResume => "nothing to resume".to_owned(),
        Error::AmbiguousResume { .. } => "ambiguous resume".to_owned(),
        Error::RecursionLimit { .. } => "recursion limit".to_owned(),
        Error::InvalidStateUpdate(failure) => kind(&failure.kind),
        Error::Task(task) => {
            let inner = task.inner.as_ref().map(|inner| told(inner));
            format!("{}:{}", task.node, inner.unwrap_or_else(|| kind(&task.failure.kind)))
        }
        other => other.to_string(),
    }
}

fn kind(kind: &FailureKind) -> String {
    match kind {
        FailureKind::Node => "node".to_owned(),
        FailureKind::Panic => "panic".to_owned(),
        FailureKind::InvalidRoute => "invalid_route".to_owned(),
        FailureKind::Child => "child".to_owned(),
        FailureKind::ConcurrentUpdate { key, nodes } => {
            format!("concurrent update of {key} by {}", nodes.join(","))
        }
        other => format!("{other:?}"),
    }
}

/// The state that a run is judged by after it was cut: what depends on nothing but the graph.
pub(crate) fn final_state(snapshot: &StateSnapshot<S>) -> String {
    script::canonical(&snapshot.json().unwrap())
}

/// How a call that takes a run to its end is made.
pub(crate) fn plainly(ask: Ask, durability: Durability) -> Call {
    Call { ask, at: None, durability, limit: 13, before: Vec::new(), after: Vec::new() }
}
