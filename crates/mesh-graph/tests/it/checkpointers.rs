//! F. What checkpointers do: the suites on the memory checkpointer, and cases of their own.

use std::sync::Arc;

use mesh_graph::{
    CheckpointId, Checkpointer, Error, Interrupt, InterruptId, MemoryCheckpointer, Patch, Resume,
    TaskId,
    checkpoint::{Blob, Checkpoint, Place, TaskCommit, TaskPath, TaskRecord},
    checkpointer::{self, Commit, Filter, Head, Retention},
    stored,
    testing::{check_checkpointer, check_cuts},
};
use serde_json::json;

use crate::kit::{Bench, Lab, S, asks, empty, log, values};

#[tokio::test]
async fn the_memory_checkpointer_passes_the_suite() {
    check_checkpointer(|| async {
        Arc::new(MemoryCheckpointer::encoding()) as Arc<dyn Checkpointer>
    })
    .await;
}

#[tokio::test]
async fn t150_a_run_cut_at_any_write_ends_like_an_uncut_one() {
    check_cuts(Arc::new(MemoryCheckpointer::encoding())).await;
}

fn root() -> Place {
    Place { thread: "t".to_owned(), ns: String::new() }
}

#[tokio::test]
async fn t140_the_first_writes_of_a_task_stay_and_control_entries_are_replaced() {
    let checkpointer = Arc::new(MemoryCheckpointer::encoding());
    let bench = Bench::on(&Lab::new("S -> a").compile(), Arc::clone(&checkpointer) as _);
    let head = bench.invoke(empty()).await.checkpoint.unwrap();
    let put = async |task: u128, node: &str, change: &dyn Fn(&mut TaskRecord)| {
        let mut record = TaskRecord::new(TaskId(task), node, TaskPath::Pull(node.into()));
        change(&mut record);
        checkpointer.put_task(&root(), head, record).await.unwrap();
    };
    let to = |goto: &str| Some(TaskCommit { nodes: vec![goto.into()], ..TaskCommit::default() });
    let asks = |what: &str| {
        let value = json!(what);
        vec![Interrupt {
            value,
            id: "01".parse::<InterruptId>().unwrap(),
            response_schema: None,
            key: None,
        }]
    };
    put(2, "b", &|record| record.commit = to("first")).await;
    put(2, "b", &|record| record.commit = to("second")).await;
    put(3, "a", &|record| record.interrupts = asks("first")).await;
    put(3, "a", &|record| record.interrupts = asks("second")).await;
    put(1, "b", &|_| {}).await;
    let tasks = checkpointer.load(&root(), None).await.unwrap().unwrap().tasks;
    let order: Vec<u128> = tasks.iter().map(|task| task.id.0).collect();
    assert_eq!(order, [3, 1, 2], "by path, then by task");
    assert_eq!(tasks[0].interrupts, asks("second"));
    assert_eq!(tasks[2].commit, to("first"));
}

#[tokio::test]
async fn t147_history_is_filtered_by_metadata_and_place() {
    let bench = Lab::new("S -> a; a -> b").app();
    for (user, tags) in [("ann", json!(["x"])), ("bob", json!(["y"]))] {
        let run = bench.run(empty()).metadata("user", json!(user)).metadata("tags", tags);
        run.run_id(user).invoke().await.unwrap();
    }
    let steps = async |filter: Filter| {
        let history = bench.app.history("t", &filter).await.unwrap();
        history.iter().map(|snapshot| snapshot.step.unwrap()).collect::<Vec<_>>()
    };
    let of = |key: &str, value| Filter {
        metadata: [(key.to_owned(), value)].into(),
        ..Filter::default()
    };
    assert_eq!(steps(of("user", json!("ann"))).await, [2, 1, 0, -1]);
    assert_eq!(steps(of("user", json!("bob"))).await, [6, 5, 4, 3]);
    assert_eq!(steps(of("source", json!("input"))).await, [3, -1]);
    assert_eq!(steps(of("tags", json!(["x"]))).await, [2, 1, 0, -1]);
    assert!(steps(of("user", json!("eve"))).await.is_empty());
    let at = bench.app.history("t", &of("step", json!(5))).await.unwrap()[0].checkpoint;
    let before = Filter { before: at, limit: Some(2), ..Filter::default() };
    assert_eq!(steps(before.clone()).await, [4, 3]);
    assert_eq!(steps(Filter { limit: None, ..before }).await, [4, 3, 2, 1, 0, -1]);
}

#[tokio::test]
async fn one_line_of_a_threads_history_can_be_listed() {
    let bench = Lab::new("S -> a; a -> b").app();
    let trunk = bench.invoke(empty()).await.checkpoint;
    let history = bench.app.history("t", &Filter::default()).await.unwrap();
    let patch = Patch::values(values(&["fork"])).as_node("a").at(history[1].checkpoint.unwrap());
    bench.app.update_state("t", patch).await.unwrap();
    let branch = bench.resume().await.checkpoint;
    let line = async |branch| {
        let filter = Filter { branch, ..Filter::default() };
        let line = bench.app.history("t", &filter).await.unwrap();
        line.iter().map(|snapshot| snapshot.state().log.join("")).collect::<Vec<_>>()
    };
    assert_eq!(line(trunk).await, ["ab", "a", "", ""]);
    assert_eq!(line(branch).await, ["aforkb", "afork", "a", "", ""]);
}

#[tokio::test]
async fn t148_threads_are_copied_pruned_and_deleted_and_lists_stay_whole() {
    let checkpointer: Arc<dyn Checkpointer> = Arc::new(MemoryCheckpointer::encoding());
    let graph = Lab::new("S -> a; a -> b").with("b", asks("q", json!(1))).compile();
    let bench = Bench::on(&graph, Arc::clone(&checkpointer));
    for answer in ["one", "two", "three"] {
        bench.invoke(empty()).await;
        bench.answer(json!(answer)).await.unwrap();
    }
    bench.invoke(empty()).await;
    checkpointer.copy_thread("t", "u").await.unwrap();
    assert!(checkpointer.prune("t", Retention::Heads).await.unwrap() > 10);
    assert_eq!(bench.history().await.lines().count(), 1);
    assert_eq!(bench.log().await, ["a", "one", "a", "two", "a", "three", "a"]);
    assert_eq!(bench.next().await, ["b"], "the question is still open");
    bench.answer(json!("four")).await.unwrap();
    assert_eq!(bench.log().await.last().unwrap(), "four");
    // The copy did not go on, and can still be looked at as it was at any time.
    checkpointer.delete_thread("t").await.unwrap();
    assert!(bench.app.state("t").await.unwrap().checkpoint.is_none());
    let copy = bench.app.history("u", &Filter::default()).await.unwrap();
    assert_eq!((copy.len(), copy[0].state().log.len(), copy[0].next.len()), (15, 7, 1));
    let answer = bench.app.answer(Resume::Only(json!("other"))).thread("u").invoke().await;
    assert_eq!(log(&answer.unwrap()).last().unwrap(), "other");
}

#[tokio::test]
async fn t151_what_this_build_cannot_read_is_told_and_nothing_runs() {
    let checkpointer: Arc<dyn Checkpointer> = Arc::new(MemoryCheckpointer::encoding());
    let bench = Bench::on(&Lab::new("S -> a").compile(), Arc::clone(&checkpointer));
    bench.invoke(S::update().push_log("in")).await;
    let head = checkpointer.load(&root(), None).await.unwrap().unwrap().checkpoint;
    let mut next = head.id.0;
    let mut put = async |change: &dyn Fn(&mut Commit)| {
        next += 1;
        let id = CheckpointId(next);
        let mut checkpoint = Box::new(Checkpoint { id, parent: Some(head.id), ..head.clone() });
        checkpoint.pending.nodes = vec!["a".into()];
        for entry in &mut checkpoint.channels {
            (entry.at, entry.depth) = (id, 0);
        }
        let (place, expected_head) = (Arc::new(root()), Head::Any);
        let blobs = vec![("log".into(), Blob::Full(stored::encode(&["in"]).unwrap().into()))];
        let mut commit = Commit { place, checkpoint, blobs, tasks: Vec::new(), expected_head };
        change(&mut commit);
        checkpointer.put(commit).await.unwrap();
        bench.app.resume().thread("t").invoke().await
    };
    // A value of another format, of another type, and cut short.
    for bytes in [vec![stored::FORMAT + 1, 0], stored::encode(&"text").unwrap(), vec![]] {
        let value = |commit: &mut Commit| commit.blobs[0].1 = Blob::Full(bytes.clone().into());
        let error = put(&value).await.unwrap_err();
        assert!(
            matches!(&error, Error::UnreadableCheckpoint { source, .. } if source.key == "log")
        );
    }
    let error = put(&|commit| commit.checkpoint.v += 1).await.unwrap_err();
    assert!(
        matches!(error, Error::CheckpointFailed(checkpointer::Error::Format { .. })),
        "{error}"
    );
    let renamed = |commit: &mut Commit| commit.checkpoint.pending.nodes = vec!["gone".into()];
    let error = put(&renamed).await.unwrap_err();
    assert!(matches!(&error, Error::UnknownStoredNode { node, .. } if node == "gone"), "{error}");
    assert_eq!(bench.trace.runs("a"), 1, "only the first run");
    put(&|_| {}).await.unwrap();
    assert_eq!(bench.log().await, ["in", "a"]);
}

#[test]
fn ids_are_stored_as_bytes_and_read_as_the_text_of_older_builds_too() {
    let id = CheckpointId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    assert_eq!(stored::encode(&id).unwrap().len(), 1 + 2 + 16);
    assert_eq!(stored::decode::<CheckpointId>(&stored::encode(&id).unwrap()).unwrap(), id);
    let text = stored::encode(&id.to_string()).unwrap();
    assert_eq!(stored::decode::<CheckpointId>(&text).unwrap(), id);
    assert_eq!(json!(id), json!("01234567-89ab-cdef-0123-456789abcdef"));
    let question: InterruptId = "00000000000000000000000000000abc".parse().unwrap();
    let text = stored::encode(&question.to_string()).unwrap();
    assert_eq!(stored::decode::<InterruptId>(&text).unwrap(), question);
    assert!(stored::decode::<TaskId>(&stored::encode(&[1_u8, 2]).unwrap()).is_err());
}
