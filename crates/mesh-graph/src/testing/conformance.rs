//! What every checkpointer has to do, one behaviour per function.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a conformance suite fails by panicking, as tests do"
)]

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc, time::Duration};

use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

use crate::{
    CheckpointId, Checkpointer, Failure, FailureKind, InputHash, Interrupt, InterruptId, Retryable,
    StepName, StepRecord, TaskId,
    checkpoint::{
        Blob, ChannelEntry, Checkpoint, FORMAT, ForkedFrom, Payload, Pending, PendingInput,
        PendingSend, Place, SNAPSHOT_EVERY, Source, StoredWrite, TaskCommit, TaskPath, TaskRecord,
    },
    checkpointer::{Commit, Error, Filter, Head, Loaded, Retention},
};

type Subject = Arc<dyn Checkpointer>;

/// Runs the whole suite. Every behaviour gets a checkpointer of its own from `make`, without any
/// thread in it.
///
/// # Panics
/// When a behaviour is not as it has to be.
pub async fn check_checkpointer<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn Checkpointer>>,
{
    a_thread_that_was_never_written_has_nothing(make().await).await;
    what_was_put_is_loaded_whole(make().await).await;
    putting_a_checkpoint_again_changes_nothing(make().await).await;
    a_put_on_another_head_is_refused_and_leaves_nothing(make().await).await;
    a_branch_starts_under_any_head(make().await).await;
    the_head_is_the_largest_id(make().await).await;
    the_first_commit_of_a_task_stays(make().await).await;
    questions_answers_and_the_error_are_replaced(make().await).await;
    an_error_without_a_commit_withdraws_the_commit(make().await).await;
    steps_are_added_and_take_nothing_away(make().await).await;
    a_task_may_be_stored_before_its_checkpoint(make().await).await;
    records_that_come_with_a_put_are_merged(make().await).await;
    records_are_in_apply_order(make().await).await;
    values_are_found_where_they_were_written(make().await).await;
    deltas_are_rebuilt_from_their_chain(make().await).await;
    a_fork_from_the_middle_of_a_chain_leaves_the_trunk_alone(make().await).await;
    checkpoints_are_listed_newest_first(make().await).await;
    a_list_can_be_filtered(make().await).await;
    namespaces_and_threads_are_apart(make().await).await;
    any_text_names_a_thread(make().await).await;
    a_deleted_thread_is_gone_with_its_namespaces(make().await).await;
    of_concurrent_puts_one_wins(make().await).await;
    many_threads_write_at_once(make().await).await;
    a_large_value_comes_back(make().await).await;
    an_unknown_format_is_refused(make().await).await;
    a_missing_value_names_the_checkpoint(make().await).await;
    a_chain_without_end_names_the_checkpoint(make().await).await;
    one_line_of_the_tree_can_be_listed(make().await).await;
    a_copied_thread_is_the_same_and_goes_its_own_way(make().await).await;
    a_thread_is_not_copied_over_another(make().await).await;
    pruning_keeps_what_it_is_told_to(make().await).await;
    pruning_keeps_what_values_are_rebuilt_from(make().await).await;
    pruning_keeps_open_questions(make().await).await;
    pruning_keeps_what_a_mounted_graph_stands_under(make().await).await;
    pruning_drops_mounted_graphs_with_their_task(make().await).await;
    pruning_keeps_where_graphs_of_the_thread_stand(make().await).await;
    pruning_keeps_what_a_fork_looks_at(make().await).await;
    the_checkpoints_of_a_run_can_be_deleted(make().await).await;
}

fn id(number: u128) -> CheckpointId {
    CheckpointId(number)
}

fn place(thread: &str) -> Place {
    Place { thread: thread.to_owned(), ns: String::new() }
}

fn t() -> Place {
    place("t")
}

fn checkpoint(number: u128, parent: Option<u128>) -> Checkpoint {
    Checkpoint {
        v: FORMAT,
        id: id(number),
        parent: parent.map(id),
        at_ms: 1_700_000_000_000,
        step: number as i64,
        source: Source::Loop,
        run_id: None,
        run_steps: 0,
        version: 1,
        channels: Vec::new(),
        updated: Vec::new(),
        ran: Vec::new(),
        pending: Pending::default(),
        parents: Arc::default(),
        metadata: Arc::default(),
        caller: None,
        instances: BTreeMap::new(),
    }
}

/// A checkpoint on top of `parent`, which has to be the head.
fn commit(place: Place, number: u128, parent: Option<u128>) -> Commit {
    Commit {
        place: Arc::new(place),
        checkpoint: Box::new(checkpoint(number, parent)),
        blobs: Vec::new(),
        tasks: Vec::new(),
        expected_head: Head::Is(parent.map(id)),
    }
}

fn entry(key: &str, at: u128, depth: u32) -> ChannelEntry {
    ChannelEntry { key: key.into(), version: at as u64, at: id(at), depth }
}

fn record(task: u128, node: &str) -> TaskRecord {
    TaskRecord::new(TaskId(task), node, TaskPath::Pull(node.into()))
}

fn done(goto: &str) -> TaskCommit {
    TaskCommit { nodes: vec![goto.into()], ..TaskCommit::default() }
}

fn failed(message: &str) -> Failure {
    Failure {
        kind: FailureKind::BadValue { key: "k".to_owned() },
        code: Some("coded".to_owned()),
        message: message.to_owned(),
        chain: vec!["because".to_owned()],
        retryable: Retryable::After(Duration::from_millis(1500)),
        attempt: 2,
    }
}

fn question(number: u128, key: Option<&str>) -> Interrupt {
    Interrupt {
        value: json!({"ask": number as u64, "nothing": null}),
        id: InterruptId(number),
        response_schema: Some(json!({"type": "object"})),
        key: key.map(str::to_owned),
    }
}

async fn head(subject: &Subject, place: &Place) -> Option<CheckpointId> {
    subject.load(place, None).await.unwrap().map(|loaded| loaded.checkpoint.id)
}

async fn only_task(subject: &Subject, number: u128) -> TaskRecord {
    let tasks = subject.load(&t(), Some(id(number))).await.unwrap().unwrap().tasks;
    assert_eq!(tasks.len(), 1, "one record");
    tasks.into_iter().next().unwrap()
}

async fn values(subject: &Subject, number: u128) -> Vec<Vec<Blob>> {
    subject.load(&t(), Some(id(number))).await.unwrap().unwrap().values
}

fn ids(listed: &[Loaded]) -> Vec<u128> {
    listed.iter().map(|loaded| loaded.checkpoint.id.0).collect()
}

async fn a_thread_that_was_never_written_has_nothing(subject: Subject) {
    assert!(subject.load(&t(), None).await.unwrap().is_none());
    assert!(subject.load(&t(), Some(id(1))).await.unwrap().is_none());
    assert!(subject.list(&t(), &Filter::default()).await.unwrap().is_empty());
}

async fn what_was_put_is_loaded_whole(subject: Subject) {
    let send = PendingSend { node: "w".into(), arg: vec![0, 255, 1].into(), timeout: None };
    let write =
        StoredWrite { key: "κλειδί".into(), overwrite: true, value: vec![1, 0].into() };
    let whole = Checkpoint {
        step: -1,
        source: Source::Fork,
        run_id: Some(Arc::from("run 'one'")),
        run_steps: u32::MAX,
        version: u64::MAX >> 1,
        channels: vec![entry("a", 2, 3), entry("b", 2, 0)],
        updated: vec!["a".into()],
        ran: vec!["n".into()],
        pending: Pending {
            input: Some(PendingInput {
                writes: vec![write.clone()],
                nodes: vec!["n".into()],
                sends: vec![send.clone()],
                absent: vec!["b".into()],
            }),
            nodes: vec!["n".into()],
            sends: vec![send.clone(), send.clone()],
            joins: BTreeMap::from([("join:a+b:c".into(), vec!["a".into()])]),
            absent: BTreeMap::from([("join:a+b:c".into(), vec!["b".into()])]),
            fired: vec!["join:a+b:d".into()],
            deferred: vec!["d".into()],
        },
        parents: Arc::new(BTreeMap::from([
            (String::new(), id(7)),
            ("x:1".to_owned(), id(u128::MAX)),
        ])),
        metadata: Arc::new(BTreeMap::from([
            ("deep".to_owned(), json!({"list": [1, -2, 0.5, null, true, "ü"]})),
            ("null".to_owned(), Json::Null),
        ])),
        caller: Some(TaskId(u128::MAX)),
        instances: BTreeMap::from([("a|b".to_owned(), id(3))]),
        ..checkpoint(2, Some(1))
    };
    let update = |byte: u8| Payload::from(vec![byte; 3]);
    let blobs = vec![
        ("a".into(), Blob::Delta { base: None, updates: vec![update(1), update(2)] }),
        ("b".into(), Blob::Full(vec![9].into())),
    ];
    let task = TaskRecord {
        commit: Some(TaskCommit {
            updates: vec![vec![write.clone()], Vec::new()],
            nodes: vec!["n".into()],
            joins: vec!["join:a+b:c".into()],
            sends: vec![send],
            absent: vec!["b".into()],
            instances: BTreeMap::from([("a".to_owned(), id(9))]),
            empty_fan_out: true,
        }),
        forked_from: Some(ForkedFrom { task: TaskId(5), ns: "n:5".to_owned() }),
        interrupts: vec![question(1, Some("key")), question(2, None)],
        answers: BTreeMap::from([(InterruptId(1), Json::Null), (InterruptId(2), json!([1]))]),
        error: Some(failed("nearly")),
        path: TaskPath::Push(3),
        ..record(u128::MAX, "n")
    };
    subject.put(commit(t(), 1, None)).await.unwrap();
    let put = Commit {
        checkpoint: Box::new(whole.clone()),
        blobs: blobs.clone(),
        tasks: vec![task.clone()],
        ..commit(t(), 2, Some(1))
    };
    subject.put(put).await.unwrap();
    let loaded = subject.load(&t(), None).await.unwrap().unwrap();
    assert_eq!(loaded.checkpoint, whole);
    let expected: Vec<Vec<Blob>> = blobs.into_iter().map(|(_, blob)| vec![blob]).collect();
    assert_eq!(loaded.values, expected);
    assert!(loaded.tasks.is_empty(), "the records belong to the parent");
    assert_eq!(only_task(&subject, 1).await, task);
}

async fn putting_a_checkpoint_again_changes_nothing(subject: Subject) {
    let mut put = commit(t(), 1, None);
    put.checkpoint.channels = vec![entry("a", 1, 0)];
    put.blobs = vec![("a".into(), Blob::Full(vec![1].into()))];
    subject.put(put.clone()).await.unwrap();
    subject.put(commit(t(), 2, Some(1))).await.unwrap();
    // The head has moved on, and still this is no conflict: it is stored already.
    put.blobs = vec![("a".into(), Blob::Full(vec![2].into()))];
    put.checkpoint.step = 99;
    subject.put(put).await.unwrap();
    let loaded = subject.load(&t(), Some(id(1))).await.unwrap().unwrap();
    assert_eq!(loaded.checkpoint.step, 1);
    assert_eq!(loaded.values, [[Blob::Full(vec![1].into())]]);
    assert_eq!(ids(&subject.list(&t(), &Filter::default()).await.unwrap()), [2, 1]);
}

async fn a_put_on_another_head_is_refused_and_leaves_nothing(subject: Subject) {
    let refused = subject.put(commit(t(), 5, Some(4))).await;
    assert!(matches!(refused, Err(Error::HeadMoved { thread }) if thread == "t"));
    assert!(subject.load(&t(), None).await.unwrap().is_none());

    subject.put(commit(t(), 1, None)).await.unwrap();
    subject.put(commit(t(), 2, Some(1))).await.unwrap();
    for wrong in [None, Some(1)] {
        let mut put = commit(t(), 3, wrong);
        put.checkpoint.parent = Some(id(2));
        put.tasks = vec![TaskRecord { commit: Some(done("x")), ..record(1, "n") }];
        put.blobs = vec![("a".into(), Blob::Full(vec![1].into()))];
        assert!(matches!(subject.put(put).await, Err(Error::HeadMoved { .. })));
    }
    let loaded = subject.load(&t(), None).await.unwrap().unwrap();
    assert_eq!((loaded.checkpoint.id, loaded.tasks.len()), (id(2), 0));
    assert!(subject.load(&t(), Some(id(3))).await.unwrap().is_none());
}

async fn a_branch_starts_under_any_head(subject: Subject) {
    subject.put(commit(t(), 1, None)).await.unwrap();
    subject.put(commit(t(), 2, Some(1))).await.unwrap();
    let branch = Commit { expected_head: Head::Any, ..commit(t(), 3, Some(1)) };
    subject.put(branch).await.unwrap();
    let loaded = subject.load(&t(), None).await.unwrap().unwrap();
    assert_eq!((loaded.checkpoint.id, loaded.checkpoint.parent), (id(3), Some(id(1))));
}

async fn the_head_is_the_largest_id(subject: Subject) {
    // Ids are unsigned: the first bit is no sign, and order is that of numbers.
    let sorted = [1, 255, 256, 1 << 64, 1 << 127, u128::MAX];
    for number in [sorted[3], sorted[0], sorted[5], sorted[2], sorted[4], sorted[1]] {
        let put = Commit { expected_head: Head::Any, ..commit(t(), number, None) };
        subject.put(put).await.unwrap();
    }
    assert_eq!(head(&subject, &t()).await, Some(id(u128::MAX)));
    let mut newest_first = sorted;
    newest_first.reverse();
    assert_eq!(ids(&subject.list(&t(), &Filter::default()).await.unwrap()), newest_first);
}

async fn the_first_commit_of_a_task_stays(subject: Subject) {
    subject.put(commit(t(), 1, None)).await.unwrap();
    for goto in ["first", "second"] {
        let record = TaskRecord { commit: Some(done(goto)), ..record(1, "n") };
        subject.put_task(&t(), id(1), record).await.unwrap();
    }
    assert_eq!(only_task(&subject, 1).await.commit, Some(done("first")));
    // A record that knows of no commit, and of no error either, takes nothing away.
    subject.put_task(&t(), id(1), record(1, "n")).await.unwrap();
    assert_eq!(only_task(&subject, 1).await.commit, Some(done("first")));
}

async fn questions_answers_and_the_error_are_replaced(subject: Subject) {
    subject.put(commit(t(), 1, None)).await.unwrap();
    let asked = TaskRecord { interrupts: vec![question(1, Some("q"))], ..record(1, "n") };
    subject.put_task(&t(), id(1), asked.clone()).await.unwrap();
    let answered = TaskRecord {
        answers: BTreeMap::from([(InterruptId(1), json!("yes"))]),
        error: Some(failed("first")),
        ..asked
    };
    subject.put_task(&t(), id(1), answered.clone()).await.unwrap();
    assert_eq!(only_task(&subject, 1).await, answered);
    let finished = TaskRecord { commit: Some(done("x")), error: None, ..answered };
    subject.put_task(&t(), id(1), finished.clone()).await.unwrap();
    assert_eq!(only_task(&subject, 1).await, finished);
}

async fn an_error_without_a_commit_withdraws_the_commit(subject: Subject) {
    subject.put(commit(t(), 1, None)).await.unwrap();
    let finished = TaskRecord { commit: Some(done("x")), ..record(1, "n") };
    subject.put_task(&t(), id(1), finished).await.unwrap();
    let withdrawn = TaskRecord { error: Some(failed("conflict")), ..record(1, "n") };
    subject.put_task(&t(), id(1), withdrawn.clone()).await.unwrap();
    assert_eq!(only_task(&subject, 1).await, withdrawn);
    let again = TaskRecord { commit: Some(done("y")), ..record(1, "n") };
    subject.put_task(&t(), id(1), again.clone()).await.unwrap();
    assert_eq!(only_task(&subject, 1).await, again);
}

async fn steps_are_added_and_take_nothing_away(subject: Subject) {
    let step = |key: &str, value: &[u8]| StepRecord {
        path: vec![StepName::Call(key.to_owned()), StepName::Nth(3)],
        what: "charge".to_owned(),
        input: InputHash(7),
        value: value.to_vec().into(),
    };
    let with = |steps: &[StepRecord]| TaskRecord { steps: steps.to_vec(), ..record(1, "n") };
    let (a, b) = (step("a", &[0, 255]), step("b", &[]));
    subject.put(commit(t(), 1, None)).await.unwrap();
    subject.put_task(&t(), id(1), with(std::slice::from_ref(&a))).await.unwrap();
    let asked =
        TaskRecord { interrupts: vec![question(1, Some("q"))], ..with(std::slice::from_ref(&a)) };
    subject.put_task(&t(), id(1), asked.clone()).await.unwrap();
    // A step may arrive late, and again with another result: the first one stays.
    subject.put_task(&t(), id(1), with(&[step("a", &[1]), b.clone()])).await.unwrap();
    assert_eq!(
        only_task(&subject, 1).await,
        TaskRecord { steps: vec![a.clone(), b.clone()], ..asked }
    );
    let withdrawn = TaskRecord { error: Some(failed("conflict")), ..record(1, "n") };
    subject.put_task(&t(), id(1), withdrawn.clone()).await.unwrap();
    assert_eq!(only_task(&subject, 1).await, TaskRecord { steps: vec![a, b], ..withdrawn });
}

async fn a_task_may_be_stored_before_its_checkpoint(subject: Subject) {
    let early = TaskRecord { commit: Some(done("x")), ..record(1, "n") };
    subject.put_task(&t(), id(1), early.clone()).await.unwrap();
    assert!(subject.load(&t(), None).await.unwrap().is_none());
    subject.put(commit(t(), 1, None)).await.unwrap();
    assert_eq!(only_task(&subject, 1).await, early);
}

async fn records_that_come_with_a_put_are_merged(subject: Subject) {
    subject.put(commit(t(), 1, None)).await.unwrap();
    let first = TaskRecord { commit: Some(done("first")), ..record(1, "n") };
    subject.put_task(&t(), id(1), first).await.unwrap();
    let mut put = commit(t(), 2, Some(1));
    put.tasks = vec![
        TaskRecord { commit: Some(done("second")), ..record(1, "n") },
        TaskRecord { commit: Some(done("other")), ..record(2, "o") },
    ];
    subject.put(put).await.unwrap();
    let tasks = subject.load(&t(), Some(id(1))).await.unwrap().unwrap().tasks;
    let commits: Vec<_> = tasks.into_iter().map(|task| task.commit).collect();
    assert_eq!(commits, [Some(done("first")), Some(done("other"))]);
}

async fn records_are_in_apply_order(subject: Subject) {
    subject.put(commit(t(), 1, None)).await.unwrap();
    let push = |task, index| TaskRecord { path: TaskPath::Push(index), ..record(task, "w") };
    let shuffled =
        [push(1, 10), record(9, "b"), push(8, 2), record(2, "a"), push(4, 0), record(3, "b")];
    for record in shuffled {
        subject.put_task(&t(), id(1), record).await.unwrap();
    }
    let tasks = subject.load(&t(), None).await.unwrap().unwrap().tasks;
    let order: Vec<u128> = tasks.iter().map(|task| task.id.0).collect();
    assert_eq!(order, [2, 3, 9, 4, 8, 1], "nodes by name, then sends by index, then by id");
}

async fn values_are_found_where_they_were_written(subject: Subject) {
    let mut first = commit(t(), 1, None);
    first.checkpoint.channels = vec![entry("a", 1, 0), entry("b", 1, 0)];
    first.blobs =
        vec![("a".into(), Blob::Full(vec![1].into())), ("b".into(), Blob::Full(vec![2].into()))];
    subject.put(first).await.unwrap();
    let mut second = commit(t(), 2, Some(1));
    // Order of the entries is that of the checkpoint, not that of the keys.
    second.checkpoint.channels = vec![entry("b", 2, 0), entry("a", 1, 0)];
    second.blobs = vec![("b".into(), Blob::Full(Vec::new().into()))];
    subject.put(second).await.unwrap();
    assert_eq!(
        values(&subject, 2).await,
        [[Blob::Full(Vec::new().into())], [Blob::Full(vec![1].into())]]
    );
    assert_eq!(
        values(&subject, 1).await,
        [[Blob::Full(vec![1].into())], [Blob::Full(vec![2].into())]]
    );
}

fn delta(base: Option<u128>, byte: u8) -> Blob {
    Blob::Delta { base: base.map(id), updates: vec![Payload::from(vec![byte])] }
}

/// A thread with the list `a`: one update per checkpoint from 1 to `length`.
async fn chain_of(subject: &Subject, length: u128) {
    for number in 1..=length {
        let parent = (number > 1).then(|| number - 1);
        let mut put = commit(t(), number, parent);
        put.checkpoint.channels = vec![entry("a", number, number as u32)];
        put.blobs = vec![("a".into(), delta(parent, number as u8))];
        subject.put(put).await.unwrap();
    }
}

async fn deltas_are_rebuilt_from_their_chain(subject: Subject) {
    let longest = u128::from(SNAPSHOT_EVERY);
    chain_of(&subject, longest).await;
    let expected: Vec<Blob> =
        (1..=longest).map(|number| delta((number > 1).then(|| number - 1), number as u8)).collect();
    assert_eq!(values(&subject, longest).await, [expected]);
    assert_eq!(values(&subject, 2).await, [[delta(None, 1), delta(Some(1), 2)]]);

    // A full value ends the chain.
    let mut full = commit(t(), longest + 1, Some(longest));
    full.checkpoint.channels = vec![entry("a", longest + 1, 0)];
    full.blobs = vec![("a".into(), Blob::Full(vec![7].into()))];
    subject.put(full).await.unwrap();
    let mut next = commit(t(), longest + 2, Some(longest + 1));
    next.checkpoint.channels = vec![entry("a", longest + 2, 1)];
    next.blobs = vec![("a".into(), delta(Some(longest + 1), 8))];
    subject.put(next).await.unwrap();
    let expected = [Blob::Full(vec![7].into()), delta(Some(longest + 1), 8)];
    assert_eq!(values(&subject, longest + 2).await, [expected]);
}

async fn a_fork_from_the_middle_of_a_chain_leaves_the_trunk_alone(subject: Subject) {
    chain_of(&subject, 4).await;
    let mut fork = Commit { expected_head: Head::Any, ..commit(t(), 5, Some(2)) };
    fork.checkpoint.channels = vec![entry("a", 5, 3)];
    fork.blobs = vec![("a".into(), delta(Some(2), 50))];
    subject.put(fork).await.unwrap();
    let branch = [delta(None, 1), delta(Some(1), 2), delta(Some(2), 50)];
    assert_eq!(values(&subject, 5).await, [branch]);
    let trunk = [delta(None, 1), delta(Some(1), 2), delta(Some(2), 3), delta(Some(3), 4)];
    assert_eq!(values(&subject, 4).await, [trunk]);
}

async fn checkpoints_are_listed_newest_first(subject: Subject) {
    chain_of(&subject, 5).await;
    let listed = subject.list(&t(), &Filter::default()).await.unwrap();
    assert_eq!(ids(&listed), [5, 4, 3, 2, 1]);
    assert_eq!(listed[0].values[0].len(), 5, "with their values");
    let filter = Filter { before: Some(id(4)), limit: Some(2), ..Filter::default() };
    assert_eq!(ids(&subject.list(&t(), &filter).await.unwrap()), [3, 2]);
    let nothing = Filter { limit: Some(0), ..Filter::default() };
    assert!(subject.list(&t(), &nothing).await.unwrap().is_empty());
    let nothing = Filter { before: Some(id(1)), ..Filter::default() };
    assert!(subject.list(&t(), &nothing).await.unwrap().is_empty());
}

async fn a_list_can_be_filtered(subject: Subject) {
    for number in 1..=6_u128 {
        let mut put = commit(t(), number, (number > 1).then(|| number - 1));
        let checkpoint = &mut put.checkpoint;
        checkpoint.source = if number == 1 { Source::Input } else { Source::Loop };
        checkpoint.run_id = Some(Arc::from(if number < 4 { "one" } else { "two" }));
        Arc::make_mut(&mut checkpoint.metadata).insert("odd".to_owned(), json!(number % 2 == 1));
        subject.put(put).await.unwrap();
    }
    let found = async |filter: Filter| ids(&subject.list(&t(), &filter).await.unwrap());
    let where_ = |entries: &[(&str, Json)]| Filter {
        metadata: entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        ..Filter::default()
    };
    assert_eq!(found(where_(&[("source", json!("input"))])).await, [1]);
    assert_eq!(found(where_(&[("step", json!(3))])).await, [3]);
    assert_eq!(found(where_(&[("run_id", json!("two"))])).await, [6, 5, 4]);
    assert_eq!(found(where_(&[("odd", json!(true)), ("run_id", json!("one"))])).await, [3, 1]);
    assert!(found(where_(&[("unheard", json!(1))])).await.is_empty());
    // The limit counts what was found, not what was looked at.
    let two = Filter { limit: Some(2), ..where_(&[("odd", json!(true))]) };
    assert_eq!(found(two).await, [5, 3]);
}

async fn namespaces_and_threads_are_apart(subject: Subject) {
    let child = Place { ns: "sub:1".to_owned(), ..t() };
    for place in [t(), child.clone(), place("u")] {
        subject.put(commit(place.clone(), 1, None)).await.unwrap();
        subject.put_task(&place, id(1), record(1, &place.thread)).await.unwrap();
    }
    subject.put(commit(child.clone(), 2, Some(1))).await.unwrap();
    assert_eq!(head(&subject, &t()).await, Some(id(1)));
    assert_eq!(head(&subject, &child).await, Some(id(2)));
    let other = subject.load(&place("u"), None).await.unwrap().unwrap();
    assert_eq!(other.tasks, [record(1, "u")]);
}

async fn any_text_names_a_thread(subject: Subject) {
    let long = "x".repeat(10_000);
    let names =
        ["", " ", "it's; DROP TABLE", "a\0b", "a\0c", "ünïcode ☃", "%", "_", "A", "a", &long];
    for (number, name) in names.iter().enumerate() {
        let at = Place { thread: (*name).to_owned(), ns: (*name).to_owned() };
        subject.put(commit(at, number as u128 + 1, None)).await.unwrap();
    }
    for (number, name) in names.iter().enumerate() {
        let at = Place { thread: (*name).to_owned(), ns: (*name).to_owned() };
        assert_eq!(head(&subject, &at).await, Some(id(number as u128 + 1)), "{name:?}");
    }
}

async fn a_deleted_thread_is_gone_with_its_namespaces(subject: Subject) {
    let child = Place { ns: "sub:1".to_owned(), ..t() };
    for place in [t(), child.clone(), place("tt")] {
        let mut put = commit(place.clone(), 1, None);
        put.checkpoint.channels = vec![entry("a", 1, 0)];
        put.blobs = vec![("a".into(), Blob::Full(vec![1].into()))];
        subject.put(put).await.unwrap();
        subject.put_task(&place, id(1), record(1, "n")).await.unwrap();
    }
    subject.delete_thread("t").await.unwrap();
    subject.delete_thread("t").await.unwrap();
    assert_eq!(head(&subject, &t()).await, None);
    assert_eq!(head(&subject, &child).await, None);
    assert_eq!(head(&subject, &place("tt")).await, Some(id(1)));
    // Nothing of it shows when the name is used again.
    subject.put(commit(t(), 1, None)).await.unwrap();
    let again = subject.load(&t(), None).await.unwrap().unwrap();
    assert_eq!((again.values.len(), again.tasks.len()), (0, 0));
}

async fn of_concurrent_puts_one_wins(subject: Subject) {
    subject.put(commit(t(), 1, None)).await.unwrap();
    let mut puts = JoinSet::new();
    for number in 2..18 {
        let subject = Arc::clone(&subject);
        puts.spawn(async move { (number, subject.put(commit(t(), number, Some(1))).await) });
    }
    let mut won = Vec::new();
    while let Some(put) = puts.join_next().await {
        match put.unwrap() {
            (number, Ok(())) => won.push(number),
            (_, Err(error)) => assert!(matches!(error, Error::HeadMoved { .. }), "{error}"),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(ids(&subject.list(&t(), &Filter::default()).await.unwrap()), [won[0], 1]);
}

async fn many_threads_write_at_once(subject: Subject) {
    let mut threads = JoinSet::new();
    for thread in 0..16 {
        let subject = Arc::clone(&subject);
        threads.spawn(async move {
            let place = place(&format!("t{thread}"));
            for number in 1..=8_u128 {
                let parent = (number > 1).then(|| number - 1);
                subject.put(commit(place.clone(), number, parent)).await.unwrap();
                subject.put_task(&place, id(number), record(1, "n")).await.unwrap();
                let loaded = subject.load(&place, None).await.unwrap().unwrap();
                assert_eq!((loaded.checkpoint.id, loaded.tasks.len()), (id(number), 1));
            }
        });
    }
    while let Some(ended) = threads.join_next().await {
        ended.unwrap();
    }
}

async fn a_large_value_comes_back(subject: Subject) {
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut put = commit(t(), 1, None);
    put.checkpoint.channels = vec![entry("a", 1, 0)];
    put.blobs = vec![("a".into(), Blob::Full(large.clone().into()))];
    subject.put(put).await.unwrap();
    assert_eq!(values(&subject, 1).await, [[Blob::Full(large.into())]]);
}

async fn an_unknown_format_is_refused(subject: Subject) {
    let mut newer = commit(t(), 1, None);
    newer.checkpoint.v = FORMAT + 1;
    subject.put(newer).await.unwrap();
    let refused = |error: Error| {
        assert!(
            matches!(error, Error::Format { id: found, found: v } if found == id(1) && v == FORMAT + 1),
            "{error}"
        );
    };
    refused(subject.load(&t(), None).await.unwrap_err());
    refused(subject.list(&t(), &Filter::default()).await.unwrap_err());
}

async fn a_missing_value_names_the_checkpoint(subject: Subject) {
    let mut put = commit(t(), 3, None);
    put.checkpoint.channels = vec![entry("a", 3, 2)];
    put.blobs = vec![("a".into(), delta(Some(2), 1))];
    subject.put(put).await.unwrap();
    let error = subject.load(&t(), None).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { id: found, .. } if found == id(3)), "{error}");
}

async fn a_chain_without_end_names_the_checkpoint(subject: Subject) {
    let mut put = commit(t(), 3, None);
    put.checkpoint.channels = vec![entry("a", 3, 2)];
    put.blobs = vec![("a".into(), delta(Some(3), 1))];
    subject.put(put).await.unwrap();
    let error = subject.load(&t(), None).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { id: found, .. } if found == id(3)), "{error}");
}

async fn listed(subject: &Subject, place: &Place) -> Vec<u128> {
    ids(&subject.list(place, &Filter::default()).await.unwrap())
}

/// Two branches of a list: 1-2-3-4 and 1-2-5-6.
async fn tree(subject: &Subject) {
    chain_of(subject, 4).await;
    for (number, parent) in [(5_u128, 2_u128), (6, 5)] {
        let mut put = Commit { expected_head: Head::Any, ..commit(t(), number, Some(parent)) };
        put.checkpoint.channels = vec![entry("a", number, number as u32)];
        put.checkpoint.run_id = Some(Arc::from("second"));
        put.blobs = vec![("a".into(), delta(Some(parent), number as u8))];
        put.tasks = vec![TaskRecord { commit: Some(done("x")), ..record(number, "n") }];
        subject.put(put).await.unwrap();
    }
}

fn trunk() -> [Blob; 4] {
    [delta(None, 1), delta(Some(1), 2), delta(Some(2), 3), delta(Some(3), 4)]
}

fn branch() -> [Blob; 4] {
    [delta(None, 1), delta(Some(1), 2), delta(Some(2), 5), delta(Some(5), 6)]
}

async fn one_line_of_the_tree_can_be_listed(subject: Subject) {
    tree(&subject).await;
    let of = |branch: u128| Filter { branch: Some(id(branch)), ..Filter::default() };
    let found = async |filter: Filter| ids(&subject.list(&t(), &filter).await.unwrap());
    assert_eq!(found(of(4)).await, [4, 3, 2, 1]);
    assert_eq!(found(of(6)).await, [6, 5, 2, 1]);
    assert_eq!(found(of(2)).await, [2, 1]);
    assert!(found(of(9)).await.is_empty());
    assert_eq!(found(Filter { before: Some(id(5)), limit: Some(1), ..of(6) }).await, [2]);
    let second = BTreeMap::from([("run_id".to_owned(), json!("second"))]);
    assert_eq!(found(Filter { metadata: second, ..of(6) }).await, [6, 5]);
}

async fn a_copied_thread_is_the_same_and_goes_its_own_way(subject: Subject) {
    tree(&subject).await;
    let child = |thread: &str| Place { ns: "sub:1".to_owned(), ..place(thread) };
    subject.put(commit(child("t"), 1, None)).await.unwrap();
    subject.copy_thread("t", "u").await.unwrap();
    let whole = async |thread: &str| {
        let listed = subject.list(&place(thread), &Filter::default()).await.unwrap();
        listed.into_iter().map(|l| (l.checkpoint, l.values, l.tasks)).collect::<Vec<_>>()
    };
    assert_eq!(whole("u").await, whole("t").await);
    assert_eq!(listed(&subject, &child("u")).await, [1]);
    // Each goes on by itself; what is new in the source can be copied later.
    subject.put(commit(t(), 7, Some(6))).await.unwrap();
    assert_eq!(head(&subject, &place("u")).await, Some(id(6)));
    subject.copy_thread("t", "u").await.unwrap();
    assert_eq!(head(&subject, &place("u")).await, Some(id(7)));
    subject.delete_thread("t").await.unwrap();
    let kept = subject.load(&place("u"), Some(id(6))).await.unwrap().unwrap();
    assert_eq!(kept.values, [branch()]);
    subject.copy_thread("unheard", "v").await.unwrap();
    assert_eq!(head(&subject, &place("v")).await, None);
}

async fn a_thread_is_not_copied_over_another(subject: Subject) {
    subject.put(commit(t(), 1, None)).await.unwrap();
    subject.put(commit(place("u"), 2, None)).await.unwrap();
    let refused = subject.copy_thread("t", "u").await;
    assert!(matches!(refused, Err(Error::Occupied { thread }) if thread == "u"));
    assert_eq!(listed(&subject, &place("u")).await, [2]);
    subject.copy_thread("t", "t").await.unwrap();
    assert_eq!(listed(&subject, &t()).await, [1]);
}

async fn pruning_keeps_what_it_is_told_to(subject: Subject) {
    let mut cases = Vec::new();
    for (thread, keep, stays) in [
        ("all", Retention::All, vec![6, 5, 4, 3, 2, 1]),
        ("one", Retention::LastPerBranch(NonZeroUsize::MIN), vec![6, 4]),
        (
            "three",
            Retention::LastPerBranch(NonZeroUsize::MIN.saturating_add(2)),
            vec![6, 5, 4, 3, 2],
        ),
        ("late", Retention::Since { at_ms: 1_700_000_000_003 }, vec![6, 5, 4, 3]),
        ("future", Retention::Since { at_ms: i64::MAX }, vec![6]),
        ("heads", Retention::Heads, vec![6]),
    ] {
        for (number, parent) in
            [(1, None), (2, Some(1)), (3, Some(2)), (4, Some(3)), (5, Some(2)), (6, Some(5))]
        {
            let mut put =
                Commit { expected_head: Head::Any, ..commit(place(thread), number, parent) };
            put.checkpoint.at_ms += number as i64;
            put.tasks = vec![record(number, "n")];
            subject.put(put).await.unwrap();
        }
        cases.push((thread, keep, stays));
    }
    for (thread, keep, stays) in &cases {
        let gone = subject.prune(thread, *keep).await.unwrap();
        assert_eq!(
            (&listed(&subject, &place(thread)).await, gone),
            (stays, 6 - stays.len()),
            "{thread}"
        );
        assert_eq!(subject.prune(thread, *keep).await.unwrap(), 0, "{thread}: again");
    }
    let heads = place("heads");
    let loaded = subject.load(&heads, None).await.unwrap().unwrap();
    assert_eq!(loaded.checkpoint.parent, Some(id(5)), "a checkpoint is never edited");
    assert!(subject.load(&heads, Some(id(5))).await.unwrap().is_none());
    // The thread goes on.
    subject.put(commit(heads.clone(), 7, Some(6))).await.unwrap();
    assert_eq!(listed(&subject, &heads).await, [7, 6]);
    assert_eq!(subject.prune("unheard", Retention::Heads).await.unwrap(), 0);
}

async fn pruning_keeps_what_values_are_rebuilt_from(subject: Subject) {
    tree(&subject).await;
    assert_eq!(subject.prune("t", Retention::LastPerBranch(NonZeroUsize::MIN)).await.unwrap(), 4);
    assert_eq!(values(&subject, 4).await, [trunk()]);
    assert_eq!(values(&subject, 6).await, [branch()]);
    assert_eq!(subject.prune("t", Retention::Heads).await.unwrap(), 1);
    assert_eq!(values(&subject, 6).await, [branch()]);
    let mut next = commit(t(), 7, Some(6));
    next.checkpoint.channels = vec![entry("a", 7, 5)];
    next.blobs = vec![("a".into(), delta(Some(6), 7))];
    subject.put(next).await.unwrap();
    assert_eq!(values(&subject, 7).await[0].len(), 5);
}

async fn pruning_keeps_open_questions(subject: Subject) {
    chain_of(&subject, 4).await;
    let asked = TaskRecord { interrupts: vec![question(1, None)], ..record(1, "n") };
    subject.put_task(&t(), id(1), asked.clone()).await.unwrap();
    subject.put_task(&t(), id(2), asked.clone()).await.unwrap();
    let answered = TaskRecord {
        answers: BTreeMap::from([(InterruptId(1), json!(1))]),
        commit: Some(done("x")),
        ..asked.clone()
    };
    subject.put_task(&t(), id(2), answered).await.unwrap();
    subject.prune("t", Retention::Heads).await.unwrap();
    assert_eq!(listed(&subject, &t()).await, [4, 1]);
    assert_eq!(only_task(&subject, 1).await, asked);
}

/// A checkpoint of the graph mounted at `ns`, below these checkpoints of its ancestors.
async fn mounted(subject: &Subject, ns: &str, number: u128, below: &[(&str, u128)], busy: bool) {
    let at = Place { ns: ns.to_owned(), ..t() };
    let parent = head(subject, &at).await.map(|id| id.0);
    let mut put = commit(at, number, parent);
    let below = below.iter().map(|(ns, number)| ((*ns).to_owned(), id(*number)));
    put.checkpoint.parents = Arc::new(below.collect());
    if busy {
        put.checkpoint.pending.nodes.push("n".into());
    }
    subject.put(put).await.unwrap();
}

async fn pruning_keeps_what_a_mounted_graph_stands_under(subject: Subject) {
    chain_of(&subject, 5).await;
    // A child of 2 has not ended, nor has the grandchild of 3; the child of 4 has.
    mounted(&subject, "sub:a", 10, &[("", 2)], true).await;
    mounted(&subject, "sub:b", 11, &[("", 3)], false).await;
    mounted(&subject, "sub:b|in:c", 12, &[("", 3), ("sub:b", 11)], true).await;
    mounted(&subject, "sub:b", 13, &[("", 3)], false).await;
    mounted(&subject, "sub:d", 14, &[("", 4)], false).await;
    subject.prune("t", Retention::Heads).await.unwrap();
    assert_eq!(listed(&subject, &t()).await, [5, 3, 2]);
    let in_ = |ns: &str| Place { ns: ns.to_owned(), ..t() };
    assert_eq!(listed(&subject, &in_("sub:a")).await, [10]);
    assert_eq!(listed(&subject, &in_("sub:b")).await, [13, 11]);
    assert_eq!(listed(&subject, &in_("sub:b|in:c")).await, [12]);
    assert!(listed(&subject, &in_("sub:d")).await.is_empty());
}

async fn pruning_drops_mounted_graphs_with_their_task(subject: Subject) {
    chain_of(&subject, 3).await;
    mounted(&subject, "sub:a", 10, &[("", 1)], false).await;
    mounted(&subject, "sub:a|in:b", 11, &[("", 1), ("sub:a", 10)], false).await;
    mounted(&subject, "sub:c", 12, &[("", 3)], false).await;
    let gone = subject.prune("t", Retention::LastPerBranch(NonZeroUsize::MIN)).await.unwrap();
    let in_ = |ns: &str| Place { ns: ns.to_owned(), ..t() };
    assert_eq!(listed(&subject, &t()).await, [3]);
    assert!(listed(&subject, &in_("sub:a")).await.is_empty());
    assert!(listed(&subject, &in_("sub:a|in:b")).await.is_empty());
    assert_eq!(listed(&subject, &in_("sub:c")).await, [12]);
    assert_eq!(gone, 2 + 2);
}

async fn pruning_keeps_where_graphs_of_the_thread_stand(subject: Subject) {
    for (ns, numbers) in [("kept", [20, 21, 22, 23]), ("kept|deep", [30, 31, 32, 33])] {
        for number in numbers {
            let at = Place { ns: ns.to_owned(), ..t() };
            let mut put = commit(at.clone(), number, head(&subject, &at).await.map(|id| id.0));
            if ns == "kept" {
                let deep = ("kept|deep".to_owned(), id(number + 10));
                put.checkpoint.instances = BTreeMap::from([deep]);
            }
            subject.put(put).await.unwrap();
        }
    }
    for (number, parent) in [(1_u128, None), (2, Some(1)), (3, Some(2))] {
        let mut put = commit(t(), number, parent);
        put.checkpoint.instances = BTreeMap::from([("kept".to_owned(), id(19 + number))]);
        subject.put(put).await.unwrap();
    }
    // A task that finished beside the head has moved on.
    let instances = BTreeMap::from([("kept".to_owned(), id(23))]);
    let commit = Some(TaskCommit { instances, ..done("x") });
    subject.put_task(&t(), id(3), TaskRecord { commit, ..record(1, "n") }).await.unwrap();
    subject.prune("t", Retention::Heads).await.unwrap();
    let in_ = |ns: &str| Place { ns: ns.to_owned(), ..t() };
    assert_eq!(listed(&subject, &t()).await, [3]);
    assert_eq!(listed(&subject, &in_("kept")).await, [23, 22]);
    assert_eq!(listed(&subject, &in_("kept|deep")).await, [33, 32]);
}

async fn pruning_keeps_what_a_fork_looks_at(subject: Subject) {
    chain_of(&subject, 3).await;
    mounted(&subject, "sub:a", 10, &[("", 1)], false).await;
    mounted(&subject, "sub:a", 11, &[("", 1)], false).await;
    mounted(&subject, "sub:b", 12, &[("", 1)], false).await;
    let forked_from = Some(ForkedFrom { task: TaskId(7), ns: "sub:a".to_owned() });
    subject.put_task(&t(), id(3), TaskRecord { forked_from, ..record(1, "sub") }).await.unwrap();
    subject.prune("t", Retention::Heads).await.unwrap();
    let in_ = |ns: &str| Place { ns: ns.to_owned(), ..t() };
    assert_eq!(listed(&subject, &in_("sub:a")).await, [11, 10]);
    assert!(listed(&subject, &in_("sub:b")).await.is_empty());
}

async fn the_checkpoints_of_a_run_can_be_deleted(subject: Subject) {
    tree(&subject).await;
    mounted(&subject, "sub:a", 10, &[("", 5)], true).await;
    let runs = |run: &str| [run.to_owned(), "unheard".to_owned()];
    assert_eq!(subject.delete_for_runs("t", &runs("none")).await.unwrap(), 0);
    assert_eq!(subject.delete_for_runs("u", &runs("second")).await.unwrap(), 0);
    assert_eq!(subject.delete_for_runs("t", &runs("second")).await.unwrap(), 3);
    assert_eq!(listed(&subject, &t()).await, [4, 3, 2, 1]);
    assert!(listed(&subject, &Place { ns: "sub:a".to_owned(), ..t() }).await.is_empty());
    assert_eq!(values(&subject, 4).await, [trunk()]);
    // A run in the middle: what came after it stays whole.
    for (number, run) in [(5, "middle"), (6, "last")] {
        let mut put = commit(t(), number, Some(number - 1));
        put.checkpoint.channels = vec![entry("a", number, number as u32)];
        put.checkpoint.run_id = Some(Arc::from(run));
        put.blobs = vec![("a".into(), delta(Some(number - 1), number as u8))];
        subject.put(put).await.unwrap();
    }
    assert_eq!(subject.delete_for_runs("t", &runs("middle")).await.unwrap(), 1);
    assert_eq!(listed(&subject, &t()).await, [6, 4, 3, 2, 1]);
    assert_eq!(values(&subject, 6).await[0].len(), 6);
    let line = Filter { branch: Some(id(6)), ..Filter::default() };
    assert_eq!(ids(&subject.list(&t(), &line).await.unwrap()), [6], "its parent is gone");
}
