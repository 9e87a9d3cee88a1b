//! Threads as rows: found, changed, searched and taken away.

use mesh_graph::{
    App, Ctx, Graph, NodeResult, Patch, START, State, View, checkpoint::Place,
    checkpointer::Filter as Checkpoints,
};
use mesh_runtime::{
    Error, Ledger, Scope, Stamp, Thread,
    log::{Entry, Kind},
    page::{Direction, Window},
    thread::{
        ThreadStatus, Ttl, TtlStrategy,
        rows::{Change, Filter, Search, SortBy},
    },
};
use mesh_store::Sqlite;
use serde_json::{Map, Value as Json, json};
use tempfile::TempDir;
use uuid::Uuid;

struct Kept {
    ledger: std::sync::Arc<dyn Ledger>,
    _directory: TempDir,
}

async fn open() -> Kept {
    let directory = tempfile::tempdir().unwrap();
    let database = Sqlite::open(directory.path().join("threads.db")).await.unwrap();
    Kept { ledger: database.ledger(), _directory: directory }
}

fn object(json: Json) -> Map<String, Json> {
    json.as_object().unwrap().clone()
}

fn thread(id: &str, at: i64) -> Thread {
    Thread::new(id, Stamp(at))
}

impl Kept {
    async fn insert(&self, thread: Thread) {
        self.ledger.write(move |tx| tx.insert_thread(&thread)).await.unwrap();
    }

    async fn get(&self, id: &str) -> Option<Thread> {
        let id = id.to_owned();
        self.ledger.read(move |tx| tx.thread(&id, &Scope::All)).await.unwrap()
    }

    async fn change(&self, id: &str, change: Change) -> Result<(), Error> {
        let id = id.to_owned();
        self.ledger.write(move |tx| tx.change_thread(&id, &change)).await
    }

    /// The ids on a page, and whether there are more.
    async fn found(&self, search: Search) -> (Vec<String>, bool) {
        let page = self.ledger.read(move |tx| tx.search_threads(&search)).await.unwrap();
        (page.rows.into_iter().map(|thread| thread.id).collect(), page.next.is_some())
    }

    async fn ids(&self, filter: Filter) -> String {
        let search = Search { direction: Direction::Ascending, ..newest(filter) };
        let counted = search.filter.clone();
        let ids = self.found(search).await.0;
        let count = self.ledger.read(move |tx| tx.count_threads(&counted)).await.unwrap();
        assert_eq!(count, ids.len() as u64, "counting and searching agree");
        ids.join(" ")
    }
}

fn newest(filter: Filter) -> Search {
    Search {
        filter,
        by: SortBy::CreatedAt,
        direction: Direction::Descending,
        window: Window { limit: 10, offset: 0 },
        with_values: false,
    }
}

fn all() -> Filter {
    Filter::all(Scope::All)
}

#[tokio::test]
async fn a_thread_comes_back_as_it_was_stored() {
    let kept = open().await;
    let mut stored = thread("t", 7);
    stored.metadata = object(json!({ "graph_id": "agent", "n": null }));
    stored.config = object(json!({ "configurable": { "a": 1 } }));
    stored.values = Some(json!({ "messages": ["hello"] }));
    stored.interrupts = Some(object(json!({ "task": [{ "id": "x", "value": 1 }] })));
    stored.error = Some(json!({ "error": "CustomError", "message": "Boo!" }));
    stored.status = ThreadStatus::Error;
    stored.ttl = Some(Ttl::from(Stamp(7), 0.5, TtlStrategy::KeepLatest));
    stored.owner = Some("ada".to_owned());
    kept.insert(stored.clone()).await;
    assert_eq!(kept.get("t").await, Some(stored.clone()));
    let outline = kept.ledger.read(|tx| tx.thread_outline("t", &Scope::All)).await.unwrap();
    assert_eq!(outline, Some(Thread { values: None, ..stored.clone() }));
    let again = kept.ledger.write(move |tx| tx.insert_thread(&stored)).await;
    assert!(matches!(again, Err(Error::Exists { what: "thread", id }) if id == "t"));
}

#[tokio::test]
async fn a_thread_of_somebody_else_is_not_there() {
    let kept = open().await;
    let (ada, bob) = (Scope::Owner("ada".to_owned()), Scope::Owner("bob".to_owned()));
    kept.insert(Thread { owner: Some("ada".to_owned()), ..thread("hers", 1) }).await;
    kept.insert(thread("nobodys", 2)).await;
    for (scope, seen) in [(&ada, "hers"), (&bob, ""), (&Scope::All, "hers nobodys")] {
        assert_eq!(kept.ids(Filter::all(scope.clone())).await, seen, "{scope:?}");
        let scope = scope.clone();
        let found =
            kept.ledger.read(move |tx| Ok(tx.thread("hers", &scope)?.is_some())).await.unwrap();
        assert_eq!(found, seen.contains("hers"));
    }
}

#[tokio::test]
async fn a_change_changes_what_it_names_and_begins_the_time_to_live_anew() {
    let kept = open().await;
    let mut before = thread("t", 0);
    before.metadata = object(json!({ "a": 1 }));
    before.ttl = Some(Ttl::from(Stamp(0), 1.0, TtlStrategy::Delete));
    kept.insert(before.clone()).await;

    kept.change("t", Change::at(Stamp(5))).await.unwrap();
    let renewed = before.ttl.map(|ttl| ttl.renewed(Stamp(5)));
    assert_eq!(renewed.unwrap().expires_at, Stamp(60_000_005));
    let touched = Thread { updated_at: Stamp(5), ttl: renewed, ..before };
    assert_eq!(kept.get("t").await, Some(touched.clone()));

    let of_state = Change {
        of_state: true,
        status: Some(ThreadStatus::Interrupted),
        values: Some(json!({ "x": 2 })),
        interrupts: Some(Map::new()),
        error: Some(Some(json!({ "error": "E" }))),
        ..Change::at(Stamp(9))
    };
    kept.change("t", of_state).await.unwrap();
    let changed = kept.get("t").await.unwrap();
    assert_eq!((changed.updated_at, changed.state_updated_at), (Stamp(9), Stamp(9)));
    assert_eq!(changed.metadata, touched.metadata);
    assert_eq!(changed.values, Some(json!({ "x": 2 })));
    assert_eq!(changed.error, Some(json!({ "error": "E" })));

    let cleared = Change { error: Some(None), ..Change::at(Stamp(10)) };
    kept.change("t", cleared).await.unwrap();
    assert_eq!(kept.get("t").await.unwrap().error, None);
    let gone = kept.change("u", Change::at(Stamp(11))).await;
    assert!(matches!(gone, Err(Error::NoThread(id)) if id == "u"));
}

#[tokio::test]
async fn a_search_filters_sorts_and_pages() {
    use Direction::{Ascending, Descending};

    let kept = open().await;
    for (n, id) in (0..).zip(["a", "b", "c", "d", "e"]) {
        let mut one = thread(id, n);
        one.metadata = object(json!({ "graph_id": "agent", "n": n, "tags": [id, "all"] }));
        one.values = (n % 2 == 0).then(|| json!({ "topic": { "name": id, "n": n } }));
        one.status = if n < 2 { ThreadStatus::Busy } else { ThreadStatus::Idle };
        kept.insert(one).await;
    }
    kept.change("b", Change::at(Stamp(100))).await.unwrap();

    let first = Window { limit: 3, offset: 0 };
    let search = |by, direction| Search { by, direction, window: first, ..newest(all()) };
    let page = kept.found(search(SortBy::CreatedAt, Descending)).await;
    assert_eq!(page, (vec!["e".into(), "d".into(), "c".into()], true));
    let last =
        Search { window: Window { limit: 3, offset: 3 }, ..search(SortBy::CreatedAt, Descending) };
    assert_eq!(kept.found(last).await, (vec!["b".into(), "a".into()], false));
    let latest = kept.found(search(SortBy::UpdatedAt, Descending)).await;
    assert_eq!(latest.0, ["b", "e", "d"]);
    let ids = kept.found(search(SortBy::Id, Ascending)).await;
    assert_eq!(ids.0, ["a", "b", "c"]);
    let statuses = kept.found(search(SortBy::Status, Ascending)).await;
    assert_eq!(statuses.0, ["a", "b", "c"]);
    let changes = kept.found(search(SortBy::StateUpdatedAt, Descending)).await;
    assert_eq!(changes.0, ["e", "d", "c"]);

    let metadata = |part| Filter { metadata: object(part), ..all() };
    assert_eq!(kept.ids(metadata(json!({ "graph_id": "agent" }))).await, "a b c d e");
    assert_eq!(kept.ids(metadata(json!({ "n": 2 }))).await, "c");
    assert_eq!(kept.ids(metadata(json!({ "n": 2.0 }))).await, "c");
    assert_eq!(kept.ids(metadata(json!({ "tags": ["d"] }))).await, "d");
    assert_eq!(kept.ids(metadata(json!({ "graph_id": "other" }))).await, "");
    assert_eq!(kept.ids(metadata(json!({ "x\" OR 1=1 --": "y" }))).await, "");
    let values = |part| Filter { values: object(part), ..all() };
    assert_eq!(kept.ids(values(json!({ "topic": { "name": "e" } }))).await, "e");
    assert_eq!(kept.ids(values(json!({ "topic": {} }))).await, "a c e");
    let busy = Filter { status: Some(ThreadStatus::Busy), ..all() };
    assert_eq!(kept.ids(busy).await, "a b");
    let some = Filter { ids: Some(vec!["e".into(), "a".into(), "z".into()]), ..all() };
    assert_eq!(kept.ids(some).await, "a e");
    let none = Filter { ids: Some(Vec::new()), ..all() };
    assert_eq!(kept.ids(none).await, "");
    let two = kept.ledger.read(move |tx| tx.thread_ids(&all(), 2)).await.unwrap();
    assert_eq!(two.len(), 2);
}

#[tokio::test]
async fn values_are_read_only_for_a_search_that_asks_for_them() {
    let kept = open().await;
    kept.insert(Thread { values: Some(json!({ "x": 1 })), ..thread("t", 1) }).await;
    for (with_values, values) in [(false, None), (true, Some(json!({ "x": 1 })))] {
        let search = Search { with_values, ..newest(all()) };
        let page = kept.ledger.read(move |tx| tx.search_threads(&search)).await.unwrap();
        assert_eq!(page.rows[0].values, values);
    }
}

#[tokio::test]
async fn a_thread_expires_when_nothing_happened_on_it_for_its_time() {
    let kept = open().await;
    for (id, minutes, status) in [
        ("first", 1.0, ThreadStatus::Idle),
        ("later", 2.0, ThreadStatus::Idle),
        ("busy", 1.0, ThreadStatus::Busy),
    ] {
        let ttl = Some(Ttl::from(Stamp(0), minutes, TtlStrategy::Delete));
        kept.insert(Thread { ttl, status, ..thread(id, 0) }).await;
    }
    kept.insert(thread("for ever", 0)).await;
    let expired = |at| kept.ledger.read(move |tx| tx.expired_threads(Stamp(at), 10));
    assert_eq!(expired(59_999_999).await.unwrap(), []);
    let first = ("first".to_owned(), TtlStrategy::Delete);
    assert_eq!(expired(60_000_000).await.unwrap(), std::slice::from_ref(&first));
    let later = ("later".to_owned(), TtlStrategy::Delete);
    assert_eq!(expired(120_000_000).await.unwrap(), [first, later.clone()]);
    kept.change("first", Change::at(Stamp(119_000_000))).await.unwrap();
    assert_eq!(expired(120_000_000).await.unwrap(), [later]);
}

#[derive(State)]
struct Sum {
    #[state(add)]
    n: i64,
    #[state(append)]
    log: Vec<String>,
}

async fn add(_: View<Sum>, _: Ctx) -> NodeResult<SumUpdate> {
    Ok(Sum::update().n(1))
}

fn sum(ledger: &dyn Ledger) -> App {
    let mut graph = Graph::<Sum>::new("sum");
    graph.node("add", add);
    graph.edge(START, "add");
    graph.compile().unwrap().app(()).untyped().checkpointer(ledger.checkpointer())
}

#[tokio::test]
async fn a_buried_thread_is_gone_at_once_and_its_rows_go_in_groups() {
    let kept = open().await;
    let app = sum(&*kept.ledger);
    for id in ["t", "u"] {
        kept.insert(Thread { values: Some(json!({})), ..thread(id, 1) }).await;
        for n in 0..5 {
            let patch = Patch::values(json!({ "n": n, "log": ["x"] })).as_node("add");
            app.update_state(id, patch).await.unwrap();
        }
        let entry = Entry::of_run(Uuid::nil(), Kind::Updated, 0, &json!({}));
        for _ in 0..20 {
            let mut told = vec![entry.clone()];
            kept.ledger.write(move |tx| tx.append(id, Uuid::nil(), 0, &mut told)).await.unwrap();
        }
    }
    let kept_before = kept.ledger.read(|tx| tx.checkpoint_sizes("u")).await.unwrap();

    assert!(kept.ledger.write(|tx| tx.bury_thread("t")).await.unwrap());
    assert!(!kept.ledger.write(|tx| tx.bury_thread("t")).await.unwrap());
    assert_eq!(kept.get("t").await, None);
    assert_eq!(kept.ids(all()).await, "u");
    assert!(app.history("t", &Checkpoints::default()).await.unwrap().is_empty());
    kept.insert(thread("t", 2)).await;
    assert_eq!(kept.ledger.read(|tx| tx.last_seq("t")).await.unwrap(), 0);

    let mut removed = Vec::new();
    loop {
        match kept.ledger.write(|tx| tx.clear_graves(7)).await.unwrap() {
            0 => break,
            count => removed.push(count),
        }
    }
    assert!(removed.iter().all(|count| *count <= 7), "{removed:?}");
    // 20 pages of the log, 5 checkpoints, 10 values, the place and the thread; task records besides.
    assert!(removed.iter().sum::<usize>() >= 37, "{removed:?}");
    assert_eq!(kept.ids(all()).await, "u t");
    let kept_after = kept.ledger.read(|tx| tx.checkpoint_sizes("u")).await.unwrap();
    assert_eq!(kept_after, kept_before);
    assert_eq!(kept.ledger.read(|tx| tx.last_seq("u")).await.unwrap(), 20);
}

#[tokio::test]
async fn sizes_count_checkpoints_values_by_channel_and_results() {
    let kept = open().await;
    let app = sum(&*kept.ledger);
    let empty = kept.ledger.read(|tx| tx.checkpoint_sizes("t")).await.unwrap();
    assert_eq!(empty, mesh_runtime::thread::rows::Sizes::default());
    for _ in 0..3 {
        app.update_state("t", Patch::values(json!({ "n": 1 })).as_node("add")).await.unwrap();
    }
    let sizes = kept.ledger.read(|tx| tx.checkpoint_sizes("t")).await.unwrap();
    assert_eq!(sizes.checkpoints.count, 3);
    assert!(sizes.checkpoints.bytes > 0);
    assert_eq!(sizes.channels["n"].count, 3);
    assert_eq!(sizes.channels.keys().collect::<Vec<_>>(), ["n"]);
    let place = Place { thread: "t".to_owned(), ns: String::new() };
    let stored = kept.ledger.checkpointer().list(&place, &Checkpoints::default()).await.unwrap();
    let records: usize = stored.iter().map(|loaded| loaded.tasks.len()).sum();
    assert_eq!(sizes.tasks.count, records as u64);
}
