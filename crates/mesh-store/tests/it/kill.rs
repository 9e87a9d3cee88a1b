//! kill -9: a process that runs a graph is killed, and a new one goes on from what was committed.
//!
//! The child is this test binary again, running the ignored test [`child`]. It tells on stderr
//! which node starts, and appends the same to a file that outlives it.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
    sync::Arc,
};

use mesh_graph::{App, Ctx, Durability, Graph, NodeResult, Resume, START, State, Status, View};
use mesh_store::Sqlite;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

const DIRECTORY: &str = "MESH_STORE_KILL_DIRECTORY";
const PART: &str = "MESH_STORE_KILL_PART";

#[derive(State)]
struct Work {
    #[state(append)]
    log: Vec<String>,
    #[state(add)]
    sum: i64,
}

struct Deps {
    journal: PathBuf,
    /// Nodes wait for a line on stdin.
    held: bool,
}

async fn work(_: View<Work>, ctx: Ctx<Arc<Deps>>) -> NodeResult<WorkUpdate> {
    let node = ctx.info().node;
    let mut journal =
        std::fs::File::options().create(true).append(true).open(&ctx.deps().journal)?;
    writeln!(journal, "{node}")?;
    writeln!(std::io::stderr(), "start {node}")?;
    if ctx.deps().held {
        tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    }
    Ok(Work::update().push_log(node).sum(1))
}

async fn ask(_: View<Work>, ctx: Ctx<Arc<Deps>>) -> NodeResult<WorkUpdate> {
    let answer: String = ctx.interrupt("name", "who?")?;
    Ok(Work::update().push_log(answer))
}

/// A chain, or `a`, then three side by side, then `e` and `f`.
fn app(part: &str, deps: Deps, database: &Sqlite) -> App<Work> {
    let mut graph = Graph::<Work, Arc<Deps>>::new("killed");
    for node in ["a", "b", "c", "d", "e", "f"] {
        graph.node(node, work);
    }
    match part {
        "chain" | "held" => {
            graph.edge(START, "a").sequence(["a", "b", "c", "d", "e", "f"]);
        }
        "ask" | "answer" => {
            graph.node("ask", ask);
            graph.edge(START, "a").sequence(["a", "ask", "b"]);
        }
        _ => {
            graph.edge(START, "a").edge("a", "b").edge("a", "c").edge("a", "d");
            graph.join(["b", "c", "d"], "e").edge("e", "f");
        }
    }
    graph.compile().unwrap().app(Arc::new(deps)).checkpointer(database.checkpointer())
}

#[tokio::test]
#[ignore = "a part of the other tests, in a process of its own"]
async fn child() {
    let directory = PathBuf::from(std::env::var_os(DIRECTORY).expect("run by another test"));
    let part = std::env::var(PART).expect("run by another test");
    let database = Sqlite::open(directory.join("x.db")).await.unwrap();
    let deps = Deps { journal: directory.join("journal"), held: part == "held" };
    let app = app(&part, deps, &database);
    let known = app.state("t").await.unwrap().checkpoint.is_some();
    let run = match &part[..] {
        "answer" => app.answer(Resume::Only(json!("Ann"))),
        _ if known => app.resume(),
        _ => app.run(Work::update().push_log("in")),
    };
    let outcome = run.thread("t").durability(Durability::Sync).invoke().await.unwrap();
    let mut told = std::io::stderr();
    if outcome.status == Status::Interrupted {
        writeln!(told, "asked").unwrap();
        // Stays until it is killed.
        std::io::stdin().read_line(&mut String::new()).unwrap();
    }
    writeln!(told, "end {}", outcome.json().unwrap()).unwrap();
}

/// A child process; killed when dropped.
struct Process {
    child: Child,
    told: BufReader<ChildStderr>,
}

impl Process {
    fn start(directory: &Path, part: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child", "--ignored", "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, directory)
            .env(PART, part)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let told = BufReader::new(child.stderr.take().unwrap());
        Self { child, told }
    }

    /// The next line, or none when the process has ended.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        (self.told.read_line(&mut line).unwrap() > 0).then(|| line.trim_end().to_owned())
    }

    fn go(&mut self) {
        writeln!(self.child.stdin.as_mut().unwrap(), "go").unwrap();
    }

    fn kill(mut self) {
        // SIGKILL on Unix.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it run to its end and gives the final state.
    fn end(mut self) -> Json {
        let mut told = Vec::new();
        while let Some(line) = self.line() {
            if let Some(json) = line.strip_prefix("end ") {
                self.child.wait().unwrap();
                return serde_json::from_str(json).unwrap();
            }
            told.push(line);
        }
        panic!("the child did not come to its end: {told:#?}");
    }
}

/// How often each node was started.
fn starts(directory: &TempDir) -> BTreeMap<String, usize> {
    let mut starts = BTreeMap::new();
    let journal = std::fs::read_to_string(directory.path().join("journal")).unwrap_or_default();
    for node in journal.lines() {
        *starts.entry(node.to_owned()).or_default() += 1;
    }
    starts
}

const NODES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn complete() -> Json {
    json!({"log": ["in", "a", "b", "c", "d", "e", "f"], "sum": 6})
}

#[test]
fn a_chain_killed_inside_any_node_goes_on_with_that_node() {
    for (position, inside) in NODES.iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let mut process = Process::start(directory.path(), "held");
        for node in &NODES[..=position] {
            assert_eq!(process.line().unwrap(), format!("start {node}"));
            if node != inside {
                process.go();
            }
        }
        process.kill();
        assert_eq!(Process::start(directory.path(), "chain").end(), complete());
        for (node, runs) in starts(&directory) {
            // The checkpoint before a node is durable when the node starts.
            assert_eq!(runs, if node == *inside { 2 } else { 1 }, "{node}, killed in {inside}");
        }
    }
}

#[test]
fn a_graph_killed_at_any_moment_loses_nothing_and_repeats_no_finished_step() {
    for lines in 0..=7 {
        let directory = tempfile::tempdir().unwrap();
        let mut process = Process::start(directory.path(), "wide");
        for _ in 0..lines {
            if process.line().is_none() {
                break;
            }
        }
        // Somewhere between this line and the next, wherever the process is by now.
        process.kill();
        let before = starts(&directory);
        assert_eq!(Process::start(directory.path(), "wide").end(), complete(), "{lines} lines");
        let after = starts(&directory);
        for (node, runs) in &after {
            assert!(*runs <= 2, "{node} ran {runs} times, killed after {lines} lines");
        }
        let finished: &[&str] = if before.contains_key("f") {
            &["a", "b", "c", "d", "e"]
        } else if before.contains_key("e") {
            &["a", "b", "c", "d"]
        } else if ["b", "c", "d"].iter().any(|node| before.contains_key(*node)) {
            &["a"]
        } else {
            &[]
        };
        for node in finished {
            assert_eq!(after[*node], 1, "{node} was finished, killed after {lines} lines");
        }
    }
}

#[test]
fn t132_a_question_outlives_the_process_that_asked_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::start(directory.path(), "ask");
    while process.line().expect("it asks") != "asked" {}
    process.kill();
    let end = Process::start(directory.path(), "answer").end();
    assert_eq!(end, json!({"log": ["in", "a", "Ann", "b"], "sum": 2}));
    assert_eq!(starts(&directory)["a"], 1);
}
