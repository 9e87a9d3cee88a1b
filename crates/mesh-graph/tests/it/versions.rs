//! F. States that change their shape between builds.

use std::sync::Arc;

use mesh_graph::{
    App, Checkpointer, Ctx, Error, Graph, MemoryCheckpointer, NodeResult, OnPending, Part, Patch,
    START, State, View, checkpointer::Filter, error::BoxError, value::CodecError,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::kit::{Bench, Lab, asks, empty};

/// What was sold, as the first build had it.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
struct Sale {
    euros: i64,
}

#[derive(State)]
struct Till {
    #[state(append)]
    sales: Vec<Sale>,
    total: i64,
    clerk: String,
}

/// The same as this build has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
struct SaleInCents {
    cents: i64,
}

#[derive(State)]
#[state(version = 3, migrate = to_cents)]
struct TillInCents {
    #[state(append)]
    sales: Vec<SaleInCents>,
    total: i64,
    clerk: String,
}

fn to_cents(from: u32, key: &str, value: Json) -> Result<Json, BoxError> {
    Ok(match (from, key) {
        (1, "sales") => {
            let sales = value.as_array().ok_or("expected a list")?;
            let cents = |sale: &Json| Some(json!({"cents": sale["euros"].as_i64()? * 100}));
            Json::Array(sales.iter().map(cents).collect::<Option<_>>().ok_or("expected euros")?)
        }
        (1, "total") => json!(value.as_i64().ok_or("expected a number")? * 100),
        (2, "total") => return Err("version 2 was never given out".into()),
        _ => value,
    })
}

async fn sell(_: View<Till>, _: Ctx) -> NodeResult<TillUpdate> {
    Ok(Till::update().push_sales(Sale { euros: 2 }).total(2).clerk("ann"))
}

async fn sell_in_cents(till: View<TillInCents>, _: Ctx) -> NodeResult<TillInCentsUpdate> {
    let total = *till.total + 150;
    Ok(TillInCents::update().push_sales(SaleInCents { cents: 150 }).total(total))
}

fn old(checkpointer: &Arc<dyn Checkpointer>) -> App<Till> {
    let mut graph = Graph::<Till>::new("till");
    graph.node("sell", sell);
    graph.edge(START, "sell");
    graph.compile().unwrap().app(()).checkpointer(Arc::clone(checkpointer))
}

fn new(checkpointer: &Arc<dyn Checkpointer>) -> App<TillInCents> {
    let mut graph = Graph::<TillInCents>::new("till");
    graph.node("sell", sell_in_cents);
    graph.edge(START, "sell");
    graph.compile().unwrap().app(()).checkpointer(Arc::clone(checkpointer))
}

#[tokio::test]
async fn what_an_older_build_stored_is_brought_to_this_ones_shape() {
    let checkpointer: Arc<dyn Checkpointer> = Arc::new(MemoryCheckpointer::encoding());
    old(&checkpointer).run(Till::update()).thread("t").invoke().await.unwrap();
    let app = new(&checkpointer);
    let state = app.state("t").await.unwrap();
    assert_eq!(state.state().sales, [SaleInCents { cents: 200 }]);
    assert_eq!((*state.state().total, state.state().clerk.as_str()), (200, "ann"));

    // The list is now rebuilt from parts of both versions.
    for turn in 1..=3 {
        app.run(TillInCents::update()).thread("t").invoke().await.unwrap();
        let state = app.state("t").await.unwrap();
        assert_eq!(*state.state().total, 200 + 150 * turn);
        assert_eq!(state.state().sales.len(), 1 + turn as usize);
        assert_eq!(state.state().sales[0], SaleInCents { cents: 200 });
    }
    // History is migrated as well, with what its tasks gave.
    let history = app.history("t", &Filter::default()).await.unwrap();
    let tasks = history.iter().flat_map(|s| &s.tasks).filter(|task| task.name != START);
    let results: Vec<&Json> = tasks.filter_map(|task| task.result.as_ref()).collect();
    let first = json!({"sales": [{"cents": 200}], "total": 200, "clerk": "ann"});
    assert_eq!(*results.last().copied().unwrap(), first);
}

#[tokio::test]
async fn an_older_build_refuses_what_a_newer_one_stored() {
    let checkpointer: Arc<dyn Checkpointer> = Arc::new(MemoryCheckpointer::encoding());
    new(&checkpointer).run(TillInCents::update()).thread("t").invoke().await.unwrap();
    let Err(error) = old(&checkpointer).state("t").await else { panic!("it was read") };
    let Error::UnreadableCheckpoint { source, .. } = error else { panic!("{error}") };
    assert!(matches!(source.source, CodecError::Format { .. }), "{source}");
}

#[derive(State)]
#[state(version = 2)]
struct Second {
    total: i64,
}

#[derive(State)]
#[state(version = 3, migrate = to_cents)]
struct Third {
    total: i64,
}

fn passing<S: State + Part<S>>(checkpointer: &Arc<dyn Checkpointer>) -> App<S> {
    let mut graph = Graph::<S>::new("till");
    graph.node("pass", |_: View<S>, _: Ctx| async { Ok(()) });
    graph.edge(START, "pass");
    graph.compile().unwrap().app(()).checkpointer(Arc::clone(checkpointer))
}

#[tokio::test]
async fn a_migration_that_fails_names_the_key_and_the_versions() {
    let checkpointer: Arc<dyn Checkpointer> = Arc::new(MemoryCheckpointer::encoding());
    passing::<Second>(&checkpointer)
        .run(Second::update().total(1))
        .thread("t")
        .invoke()
        .await
        .unwrap();
    let Err(error) = passing::<Third>(&checkpointer).state("t").await else {
        panic!("it was read")
    };
    let Error::UnreadableCheckpoint { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.key, "total");
    let told = source.source.to_string();
    assert!(told.contains("migration from version 2: version 2 was never given out"), "{told}");

    // And a newer version is told as that.
    passing::<Third>(&checkpointer)
        .run(Third::update().total(1))
        .thread("u")
        .invoke()
        .await
        .unwrap();
    let Err(error) = passing::<Second>(&checkpointer).state("u").await else {
        panic!("it was read")
    };
    let Error::UnreadableCheckpoint { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.source, CodecError::Version { found: 3, supported: 2 });
}

#[tokio::test]
async fn what_waits_for_a_node_of_another_graph_can_be_read_and_a_new_input_goes_on_from_it() {
    let checkpointer: Arc<dyn Checkpointer> = Arc::new(MemoryCheckpointer::encoding());
    let lab = Lab::new("S -> a; a -> b").with("b", asks("q", json!("which?")));
    let before = Bench::on(&lab.compile(), Arc::clone(&checkpointer));
    before.invoke(empty()).await;
    assert_eq!(before.next().await, ["b"]);

    let bench = Bench::on(&Lab::new("S -> c").compile(), checkpointer);
    assert_eq!((bench.log().await, bench.next().await), (vec!["a".to_owned()], vec![]));
    let history = bench.app.history("t", &Filter::default()).await.unwrap();
    assert!(history.iter().all(|state| state.next.iter().all(|next| next == START)));
    for run in [bench.app.resume(), bench.app.run(empty()).on_pending(OnPending::Reject)] {
        let error = run.thread("t").invoke().await.unwrap_err();
        assert!(matches!(&error, Error::UnknownStoredNode { node, .. } if node == "b"), "{error}");
    }
    let error =
        bench.app.update_state("t", Patch::values(json!({ "log": ["x"] }))).await.unwrap_err();
    assert!(matches!(&error, Error::UnknownStoredNode { .. }), "{error}");
    assert_eq!(bench.trace.runs("c"), 0);

    bench.invoke(empty()).await;
    assert_eq!(bench.log().await, ["a", "c"]);
    assert_eq!(bench.next().await, Vec::<String>::new());
}
