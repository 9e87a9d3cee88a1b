//! Runs as they are executed, and what their followers read, on real databases.

mod chores;
mod crashes;
mod rerouted;
mod stopping;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use expect_test::{Expect, expect};
use mesh_graph::{Ctx, Graph, NodeError, NodeResult, START, State, View, env::SystemEnv};
use mesh_runtime::{
    Error, Follow, Graphs, Ledger, Run, Runtime, Scope, Start, WorkOptions,
    graphs::Served,
    log::{Entry, Kind},
    run::{CancelAction, RunStatus},
    runs::{NewRun, Selection},
};
use mesh_store::Sqlite;
use serde_json::{Value as Json, json};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::runs::on;

#[derive(State)]
pub(crate) struct Trail {
    #[state(append)]
    trail: Vec<String>,
}

/// What nodes did, and what they wait for.
#[derive(Default)]
pub(crate) struct Stage {
    runs: Mutex<BTreeMap<&'static str, usize>>,
    gates: Mutex<BTreeMap<&'static str, Arc<Semaphore>>>,
    /// Counts the arrivals at gates.
    reached: Arrivals,
}

struct Arrivals(Semaphore);

impl Default for Arrivals {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Stage {
    /// The node stops there from now on, until it is let through.
    pub(crate) fn close(&self, node: &'static str) {
        self.gates.lock().unwrap().insert(node, Arc::new(Semaphore::new(0)));
    }

    pub(crate) fn open(&self, node: &str) {
        if let Some(gate) = self.gates.lock().unwrap().get(node) {
            gate.add_permits(1000);
        }
    }

    /// Waits until a node has come to its gate.
    pub(crate) async fn reached(&self) {
        self.reached.0.acquire().await.unwrap().forget();
    }

    pub(crate) fn count(&self, node: &str) -> usize {
        self.runs.lock().unwrap().get(node).copied().unwrap_or(0)
    }

    async fn pass(&self, node: &'static str) {
        *self.runs.lock().unwrap().entry(node).or_default() += 1;
        let gate = self.gates.lock().unwrap().get(node).cloned();
        if let Some(gate) = gate {
            self.reached.0.add_permits(1);
            gate.acquire().await.unwrap().forget();
        }
    }
}

/// `a`, then `b` and `c` side by side, then `d`. `b` asks if the trail begins with `ask`, and
/// fails if it begins with `fail`.
pub(crate) fn graphs(stage: &Arc<Stage>) -> Graphs {
    let mut graph = Graph::<Trail>::new("agent");
    for name in ["a", "b", "c", "d"] {
        let stage = Arc::clone(stage);
        graph.node(name, move |state: View<Trail>, ctx: Ctx| {
            let stage = Arc::clone(&stage);
            async move {
                stage.pass(name).await;
                let first = state.trail.first().cloned().unwrap_or_default();
                if name == "b" && first == "ask" {
                    let answer: String = ctx.interrupt("which", &json!("which?"))?;
                    return Ok(Trail::update().push_trail(format!("b:{answer}")));
                }
                if name == "b" && first == "fail" {
                    return Err(NodeError::coded("CustomError", "Boo!"));
                }
                NodeResult::Ok(Trail::update().push_trail(name.to_owned()))
            }
        });
    }
    graph.edge(START, "a").edge("a", "b").edge("a", "c").join(["b", "c"], "d");
    let app = graph.compile().unwrap().app(()).untyped();
    let mut graphs = Graphs::default();
    graphs.insert("agent", Served::fixed(app));
    graphs
}

/// A server without its doors, on a file that outlives it.
pub(crate) struct House {
    pub(crate) runtime: Runtime,
    pub(crate) stop: CancellationToken,
    working: JoinSet<Result<(), Error>>,
    database: Sqlite,
}

impl House {
    pub(crate) async fn open(path: PathBuf, stage: &Arc<Stage>) -> Self {
        let database = Sqlite::open(path).await.unwrap();
        Self::on(database.clone(), database.ledger(), stage)
    }

    /// One that keeps nothing longer than it stands.
    fn in_memory(stage: &Arc<Stage>) -> Self {
        let database = Sqlite::in_memory().unwrap();
        Self::on(database.clone(), database.ledger(), stage)
    }

    pub(crate) fn on(database: Sqlite, ledger: Arc<dyn Ledger>, stage: &Arc<Stage>) -> Self {
        let runtime = Runtime::new(ledger, graphs(stage), Arc::new(SystemEnv));
        let stop = CancellationToken::new();
        let mut working = JoinSet::new();
        working.spawn({
            let (runtime, stop) = (runtime.clone(), stop.clone());
            async move { runtime.work(WorkOptions::default(), stop).await }
        });
        Self { runtime, stop, working, database }
    }

    /// Ends it in good order.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        self.working.join_next().await.unwrap().unwrap().unwrap();
        self.database.close().await;
    }

    /// Ends it as a crash would: nothing that it holds is brought to an end.
    pub(crate) async fn crash(mut self) {
        self.working.shutdown().await;
        self.database.close().await;
    }

    pub(crate) async fn create(&self, new: NewRun) -> Run {
        self.runtime.create_run(&Scope::All, new).await.unwrap()
    }

    pub(crate) async fn follow(&self, run: &Run, start: Start) -> Follow {
        self.runtime.follow_run(&run.thread, run.id, start).await.unwrap()
    }

    pub(crate) async fn all(&self, run: &Run) -> Vec<Entry> {
        read(self.follow(run, Start::Beginning).await).await
    }

    pub(crate) async fn status(&self, run: &Run) -> RunStatus {
        self.runtime.run(&Scope::All, None, run.id).await.unwrap().status
    }

    /// The whole log of a thread.
    pub(crate) async fn log(&self, thread: &str) -> Vec<Entry> {
        let thread = thread.to_owned();
        self.runtime.ledger().read(move |tx| tx.entries(&thread, 0, 10_000)).await.unwrap()
    }
}

/// Everything to the end.
pub(crate) async fn read(mut follow: Follow) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some(entry) = follow.next().await.unwrap() {
        entries.push(entry);
    }
    entries
}

pub(crate) fn asked(input: &[&str], modes: &[&str]) -> NewRun {
    NewRun {
        input: json!({ "trail": input }),
        stream_mode: modes.iter().map(|mode| (*mode).to_owned()).collect(),
        ..on("t")
    }
}

/// One line per entry: number, kind, step, node, data without what differs from run to run.
pub(crate) fn shown(entries: &[Entry]) -> String {
    let mut lines = String::new();
    for entry in entries {
        let mut data: Json = serde_json::from_slice(&entry.data).unwrap();
        if let Some(run) = data.get_mut("run_id") {
            *run = json!("…");
        }
        if let Some(asked) = data.pointer_mut("/__interrupt__") {
            *asked = json!(asked.as_array().unwrap().len());
        }
        // Whatever serde_json is told by other crates of the build.
        data.sort_all_objects();
        let node = entry.node.as_deref().unwrap_or("-");
        let (seq, kind, step) = (entry.seq, entry.kind.name(), entry.step);
        writeln!(lines, "{seq} {kind} {step} {node} {data}").unwrap();
    }
    lines
}

/// The numbers are 1, 2, 3 …, and each run has one beginning per execution and one end, which is
/// its last entry.
pub(crate) fn check_log(entries: &[Entry]) {
    let numbers: Vec<u64> = entries.iter().map(|entry| entry.seq).collect();
    assert_eq!(numbers, (1..=entries.len() as u64).collect::<Vec<_>>());
    let runs: std::collections::BTreeSet<Uuid> = entries.iter().map(|entry| entry.run).collect();
    for run in runs {
        let own: Vec<_> = entries.iter().filter(|entry| entry.run == run).collect();
        let ends = own.iter().filter(|entry| entry.kind == Kind::Ended).count();
        assert_eq!(ends, 1, "one end");
        assert_eq!(own.last().unwrap().kind, Kind::Ended, "the end is last");
    }
}

async fn check(new: NewRun, expected: Expect) {
    let directory = tempfile::tempdir().unwrap();
    let in_file = House::open(directory.path().join("runs.db"), &Arc::default()).await;
    for house in [in_file, House::in_memory(&Arc::default())] {
        let run = house.create(new.clone()).await;
        let entries = house.all(&run).await;
        expected.assert_eq(&shown(&entries));
        assert_eq!(house.log("t").await, entries, "followers read the log");
        check_log(&entries);
        house.stop().await;
    }
}

#[tokio::test]
async fn a_run_is_on_the_log_from_its_beginning_to_its_end() {
    check(
        asked(&["x"], &["values", "updates"]),
        expect![[r#"
            1 begun 1 agent {"attempt":1,"run_id":"…"}
            2 values 0 - {"trail":["x"]}
            3 updates 1 a {"a":{"trail":["a"]}}
            4 values 1 - {"trail":["x","a"]}
            5 updates 2 b {"b":{"trail":["b"]}}
            6 updates 2 c {"c":{"trail":["c"]}}
            7 values 2 - {"trail":["x","a","b","c"]}
            8 updates 3 d {"d":{"trail":["d"]}}
            9 values 3 - {"trail":["x","a","b","c","d"]}
            10 ended 0 agent {"status":"success"}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_run_that_asks_ends_with_its_question() {
    check(
        asked(&["ask"], &["values"]),
        expect![[r#"
            1 begun 1 agent {"attempt":1,"run_id":"…"}
            2 values 0 - {"trail":["ask"]}
            3 values 1 - {"trail":["ask","a"]}
            4 values 1 - {"__interrupt__":1,"trail":["ask","a"]}
            5 ended 0 agent {"status":"success","unfinished":true}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_run_that_fails_says_why_in_the_nodes_words() {
    check(
        asked(&["fail"], &["updates"]),
        expect![[r#"
            1 begun 1 agent {"attempt":1,"run_id":"…"}
            2 updates 1 a {"a":{"trail":["a"]}}
            3 updates 2 c {"c":{"trail":["c"]}}
            4 ended 0 agent {"error":{"error":"CustomError","message":"Boo!"},"status":"error"}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_run_that_takes_too_many_steps_fails_with_the_name_that_clients_know() {
    let mut new = asked(&["x"], &["values"]);
    new.config.insert("recursion_limit".to_owned(), json!(1));
    check(new, expect![[r#"
        1 begun 1 agent {"attempt":1,"run_id":"…"}
        2 values 0 - {"trail":["x"]}
        3 values 1 - {"trail":["x","a"]}
        4 ended 0 agent {"error":{"error":"GraphRecursionError","message":"recursion limit of 1 supersteps reached without finishing"},"status":"error"}
    "#]]).await;
}

#[tokio::test]
async fn a_breakpoint_ends_a_run_and_is_no_question() {
    let new = NewRun { interrupt_before: Some(json!(["d"])), ..asked(&["x"], &["values"]) };
    check(
        new,
        expect![[r#"
            1 begun 1 agent {"attempt":1,"run_id":"…"}
            2 values 0 - {"trail":["x"]}
            3 values 1 - {"trail":["x","a"]}
            4 values 2 - {"trail":["x","a","b","c"]}
            5 ended 0 agent {"breakpoint":true,"status":"success","unfinished":true}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn nothing_to_go_on_with_is_an_error() {
    let new = NewRun { input: Json::Null, ..asked(&[], &["values"]) };
    check(new, expect![[r#"
        1 begun 1 agent {"attempt":1,"run_id":"…"}
        2 ended 0 agent {"error":{"error":"EmptyInputError","message":"nothing to run: the input is empty and the thread has no unfinished work"},"status":"error"}
    "#]]).await;
}

#[tokio::test]
async fn an_answer_goes_on_where_the_question_was_asked() {
    let directory = tempfile::tempdir().unwrap();
    let stage = Arc::default();
    let house = House::open(directory.path().join("runs.db"), &stage).await;
    let run = house.create(asked(&["ask"], &["values"])).await;
    let end = house.runtime.ended("t", run.id).await.unwrap();
    assert_eq!(end.status, RunStatus::Success);
    let values: Json = serde_json::from_slice(&end.values.unwrap()).unwrap();
    assert_eq!(values["__interrupt__"][0]["value"], json!("which?"));
    let answer = json!({ "resume": "this", "goto": ["nowhere", "__end__"] });
    let run = house.create(NewRun { command: Some(answer), ..asked(&[], &["values"]) }).await;
    let end = house.runtime.ended("t", run.id).await.unwrap();
    let values: Json = serde_json::from_slice(&end.values.unwrap()).unwrap();
    assert_eq!(values, json!({ "trail": ["ask", "a", "b:this", "c", "d"] }));
    assert_eq!(stage.count("a"), 1);
    check_log(&house.log("t").await);
    house.stop().await;
}

#[tokio::test]
async fn followers_read_the_same_wherever_they_start() {
    let directory = tempfile::tempdir().unwrap();
    let stage: Arc<Stage> = Arc::default();
    stage.close("b");
    let house = House::open(directory.path().join("runs.db"), &stage).await;
    let run = house.create(asked(&["x"], &["values", "updates", "tasks", "checkpoints"])).await;
    let early = house.follow(&run, Start::Beginning).await;
    stage.reached().await;
    let mut late = house.follow(&run, Start::Now).await;
    let again = house.follow(&run, Start::After(3)).await;
    let whole = house.runtime.follow_thread("t", 0);
    stage.open("b");
    let early = read(early).await;
    check_log(&early);
    assert_eq!(read(again).await, early[3..]);
    let first = late.next().await.unwrap().unwrap();
    let rest = read(late).await;
    assert_eq!(first.seq, early.last().unwrap().seq - rest.len() as u64);
    assert_eq!(rest, early[early.len() - rest.len()..]);
    assert_eq!(house.all(&run).await, early, "also after the end");
    assert!(read(house.follow(&run, Start::Now).await).await.is_empty(), "nothing more comes");
    let mut whole = whole;
    for entry in &early {
        assert_eq!(whole.next().await.unwrap().as_ref(), Some(entry));
    }
    house.stop().await;
}

#[tokio::test]
async fn a_run_that_is_stopped_after_its_step_keeps_all_of_it_and_begins_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let stage: Arc<Stage> = Arc::default();
    stage.close("b");
    let house = House::open(directory.path().join("runs.db"), &stage).await;
    let run = house.create(asked(&["x"], &["values"])).await;
    stage.reached().await;
    let selection = Selection::Runs { thread: None, ids: vec![run.id] };
    house.runtime.cancel(&Scope::All, &selection, CancelAction::AfterStep).await.unwrap();
    stage.open("b");
    let end = house.runtime.ended("t", run.id).await.unwrap();
    assert_eq!(end.status, RunStatus::Interrupted);
    let values: Json = serde_json::from_slice(&end.values.unwrap()).unwrap();
    assert_eq!(values, json!({ "trail": ["x", "a", "b", "c"] }));
    assert_eq!(stage.count("d"), 0);
    check_log(&house.log("t").await);
    house.stop().await;
}

#[tokio::test]
async fn a_cancelled_run_ends_as_interrupted_and_keeps_what_it_did() {
    let directory = tempfile::tempdir().unwrap();
    let stage: Arc<Stage> = Arc::default();
    stage.close("d");
    let house = House::open(directory.path().join("runs.db"), &stage).await;
    let run = house.create(asked(&["x"], &["values"])).await;
    stage.reached().await;
    let selection = Selection::Runs { thread: None, ids: vec![run.id] };
    house.runtime.cancel(&Scope::All, &selection, CancelAction::Interrupt).await.unwrap();
    let end = house.runtime.ended("t", run.id).await.unwrap();
    assert_eq!(end.status, RunStatus::Interrupted);
    let values: Json = serde_json::from_slice(&end.values.unwrap()).unwrap();
    assert_eq!(values, json!({ "trail": ["x", "a", "b", "c"] }));
    check_log(&house.log("t").await);
    house.stop().await;
}
