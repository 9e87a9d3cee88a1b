//! Q. The store, case by case in memory; the suite holds every store to the same.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use async_trait::async_trait;
use mesh_graph::{
    Ctx, Graph, MemoryStore, NodeResult, START, State, Store, View,
    env::{CountingEnv, Env},
    error::BoxError,
    store::{
        Embed, Error, Found, Get, Index, Indexing, Lifetime, Namespaces, Object, Op, Options, Put,
        Reply, Search, keep_swept,
    },
    testing::check_store,
};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn the_memory_store_passes_the_suite() {
    check_store(|options| async { Arc::new(MemoryStore::new(options)) as Arc<dyn Store> }).await;
}

fn object(json: Json) -> Object {
    serde_json::from_value(json).unwrap()
}

async fn filled(items: &[(&str, Json)]) -> MemoryStore {
    let store = MemoryStore::default();
    for (key, value) in items {
        store.put(&["n"], key, value.clone()).await.unwrap();
    }
    store
}

async fn keys(store: &MemoryStore, filter: Json) -> Vec<String> {
    let found = store.search(Search::under(&["n"]).filter(&filter).unwrap()).await.unwrap();
    let mut keys: Vec<String> = found.into_iter().map(|found| found.item.key).collect();
    keys.sort();
    keys
}

/// A label that is a number cannot even be written down: labels are texts.
#[tokio::test]
async fn t245_bad_namespaces_are_refused() {
    let store = MemoryStore::default();
    for bad in [&[][..], &["langgraph"], &["mesh"], &["a.b"], &["a", ""]] {
        let refused = store.put(bad, "k", json!({})).await;
        assert!(matches!(refused, Err(Error::Namespace { .. })), "{bad:?}");
    }
    assert!(store.list_namespaces(Namespaces::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn t246_filters_compare_values() {
    let store = filled(&[
        ("one", json!({"k": 1, "m": {"a": "x"}})),
        ("two", json!({"k": 2, "m": {"a": "y", "b": 1}})),
        ("three", json!({"k": 3})),
    ])
    .await;
    assert_eq!(keys(&store, json!({"k": 2})).await, ["two"]);
    assert_eq!(keys(&store, json!({"m": {"a": "y"}})).await, ["two"]);
    assert_eq!(keys(&store, json!({"k": {"$gt": 1}})).await, ["three", "two"]);
    assert_eq!(keys(&store, json!({"k": {"$gte": 2, "$lt": 3}})).await, ["two"]);
    assert_eq!(keys(&store, json!({"k": {"$ne": 2}})).await, ["one", "three"]);
    assert_eq!(keys(&store, json!({"k": {"$in": [1, 3]}})).await, ["one", "three"]);
    let unknown = Search::under(&["n"]).filter(&json!({"k": {"$like": 1}}));
    assert!(matches!(unknown, Err(Error::UnknownOperator { operator }) if operator == "$like"));
}

#[test]
fn mistakes_in_filters_are_told() {
    let refused = |filter: Json| Search::under(&["n"]).filter(&filter).unwrap_err();
    for filter in [json!({"k": {"$near": 1}}), json!({"m": {"k": {"$near": 1}}})] {
        let error = refused(filter);
        assert!(matches!(error, Error::UnknownOperator { operator } if operator == "$near"));
    }
    let mixed = refused(json!({"k": {"$gt": 1, "a": 1}}));
    assert!(matches!(mixed, Error::UnknownOperator { operator } if operator == "a"));
    for (filter, told) in [
        (json!({"k": {"$in": 1}}), "$in"),
        (json!({"k": {"$exists": 1}}), "$exists"),
        (json!([1]), "filter"),
    ] {
        assert!(matches!(refused(filter), Error::Operand { operator, .. } if operator == told));
    }
}

#[tokio::test]
async fn t247_a_filter_on_a_missing_key_matches_nothing() {
    let store = filled(&[("with", json!({"k": 1})), ("without", json!({}))]).await;
    for filter in [json!({"k": {"$gte": 0}}), json!({"k": {"$ne": 9}}), json!({"k": 1})] {
        assert_eq!(keys(&store, filter).await, ["with"]);
    }
    assert!(keys(&store, json!({"k": {"$gt": "text"}})).await.is_empty());
}

#[tokio::test]
async fn t248_namespaces_are_listed_by_prefix_suffix_and_depth() {
    let store = MemoryStore::default();
    for namespace in [&["a", "b", "c"], &["a", "b", "d"], &["x", "b", "c"]] {
        store.put(namespace, "k", json!({})).await.unwrap();
    }
    let labels = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect();
    let list = async |asked: Namespaces| {
        let listed = store.list_namespaces(asked).await.unwrap();
        listed.iter().map(|namespace| namespace.concat()).collect::<Vec<_>>()
    };
    let all = Namespaces::default;
    assert_eq!(list(Namespaces { prefix: labels(&["a"]), ..all() }).await, ["abc", "abd"]);
    assert_eq!(list(Namespaces { suffix: labels(&["c"]), ..all() }).await, ["abc", "xbc"]);
    assert_eq!(list(Namespaces { prefix: labels(&["*", "b"]), ..all() }).await.len(), 3);
    assert_eq!(list(Namespaces { max_depth: NonZeroUsize::new(2), ..all() }).await, ["ab", "xb"]);
    assert_eq!(list(Namespaces { limit: 1, offset: 1, ..all() }).await, ["abd"]);
}

#[tokio::test]
async fn t249_a_batch_reads_the_old_value_and_the_last_put_wins() {
    let store = filled(&[("k", json!({"v": 1}))]).await;
    let put = |v: i64| Op::Put(Put::new(&["n"], "k", object(json!({ "v": v }))));
    let get = Op::Get(Get::new(&["n"], "k"));
    let replies = store.batch(vec![put(2), get, put(3)]).await.unwrap();
    assert!(matches!(&replies[1], Reply::Item(Some(item)) if item.value["v"] == 1));
    assert_eq!((&replies[0], &replies[2]), (&Reply::Done, &Reply::Done));
    assert_eq!(store.get(&["n"], "k").await.unwrap().unwrap().value["v"], 3);
}

#[tokio::test]
async fn t250_a_second_put_keeps_the_time_of_creation() {
    let store = MemoryStore::new(Options::default().env(Arc::new(CountingEnv::default())));
    store.put(&["n"], "k", json!({})).await.unwrap();
    store.put(&["n"], "k", json!({})).await.unwrap();
    let item = store.get(&["n"], "k").await.unwrap().unwrap();
    assert!(item.created_at_ms < item.updated_at_ms, "{item:?}");
}

/// The letters a, b and c of a text.
struct Letters;

#[async_trait]
impl Embed for Letters {
    async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, BoxError> {
        let count = |text: &str, letter| text.matches(letter).count() as f32;
        Ok(texts.iter().map(|text| ['a', 'b', 'c'].map(|l| count(text, l)).to_vec()).collect())
    }
}

fn shown(found: &[Found]) -> Vec<(&str, Option<f64>)> {
    found.iter().map(|found| (found.item.key.as_str(), found.score)).collect()
}

#[tokio::test]
async fn t251_a_query_orders_by_score_and_unembedded_items_come_last() {
    let store = MemoryStore::new(Options::default().index(Index::new(3, Arc::new(Letters))));
    let put = |key: &str, value, index| Op::Put(Put { index, ..Put::new(&["n"], key, value) });
    let path = Indexing::Paths(vec!["2[*].3".to_owned()]);
    let ops = vec![
        put("whole", object(json!({"1": "a b"})), Indexing::Default),
        put("off", object(json!({"1": "a"})), Indexing::Off),
        put("part", object(json!({"1": "b", "2": [{"3": "a"}, {"3": "c"}]})), path),
        put("other", object(json!({"1": "c"})), Indexing::Default),
    ];
    store.batch(ops).await.unwrap();
    let search = |limit| Search { limit, ..Search::under(&["n"]).query("a") };
    let found = store.search(search(10)).await.unwrap();
    let half = found[1].score.unwrap();
    assert!((half - 0.5_f64.sqrt()).abs() < 1e-6);
    let expected =
        [("part", Some(1.0)), ("whole", Some(half)), ("other", Some(0.0)), ("off", None)];
    assert_eq!(shown(&found), expected);
    assert_eq!(shown(&store.search(search(1)).await.unwrap()), expected[..1]);
}

#[tokio::test]
async fn t252_without_an_index_a_query_is_a_plain_listing() {
    let store = filled(&[("a", json!({"t": "a"})), ("b", json!({"t": "b"}))]).await;
    let found = store.search(Search::under(&["n"]).query("a")).await.unwrap();
    assert_eq!(shown(&found), [("b", None), ("a", None)]);
}

#[tokio::test(start_paused = true)]
async fn t253_an_expired_item_is_invisible_and_swept_later() {
    let env = Arc::new(CountingEnv::default());
    let store =
        Arc::new(MemoryStore::new(Options::default().env(Arc::clone(&env) as Arc<dyn Env>)));
    let minute_thousandth = Lifetime::Minutes(0.001); // 60 ticks of the counting clock
    let put = |key| Put { ttl: minute_thousandth, ..Put::new(&["n"], key, Object::new()) };
    store.batch(vec![Op::Put(put("read")), Op::Put(put("left"))]).await.unwrap();
    for _ in 0..70 {
        // Every read starts the time of this one anew.
        assert!(store.get(&["n"], "read").await.unwrap().is_some());
    }
    assert_eq!(store.get(&["n"], "left").await.unwrap(), None);
    let cancel = CancellationToken::new();
    let sweeping = keep_swept(Arc::clone(&store) as _, env, Duration::from_mins(1), cancel.clone());
    let stop = async {
        tokio::time::sleep(Duration::from_secs(90)).await;
        cancel.cancel();
    };
    tokio::join!(sweeping, stop);
    assert_eq!(store.sweep().await.unwrap(), 0, "the sweeper was there before");
}

#[tokio::test]
async fn a_full_store_refuses_new_items_until_there_is_room() {
    let store = MemoryStore::default().items_max(2);
    let put = |key: &str| Op::Put(Put::new(&["n"], key, Object::new()));
    store.batch(vec![put("a"), put("b")]).await.unwrap();
    let refused = store.batch(vec![put("a"), put("c")]).await;
    assert!(matches!(refused, Err(Error::Full { limit: 2 })));
    store.batch(vec![put("a")]).await.unwrap();
    store.batch(vec![put("c"), Op::Put(Put::delete(&["n"], "a"))]).await.unwrap();
    assert_eq!(keys(&store, json!({})).await, ["b", "c"]);
}

#[derive(State)]
struct Guest {
    name: String,
    visits: i64,
}

async fn greet(guest: View<Guest>, ctx: Ctx) -> NodeResult<GuestUpdate> {
    let store = ctx.store()?;
    let known = store.get(&["guests"], &guest.name).await?;
    let visits = known.and_then(|item| item.value["visits"].as_i64()).unwrap_or(0) + 1;
    store.put(&["guests"], &guest.name, json!({ "visits": visits })).await?;
    Ok(Guest::update().visits(visits))
}

#[tokio::test]
async fn nodes_of_every_thread_and_of_mounted_graphs_reach_the_store() {
    let mut child = Graph::<Guest>::new("child");
    child.node("greet", greet);
    child.edge(START, "greet");
    let child = child.compile().unwrap();
    let mut graph = Graph::<Guest>::new("guests");
    graph.mount(
        "sub",
        &child,
        |guest| Guest::update().name(guest.name.clone()),
        |child| Guest::update().visits(*child.visits),
    );
    graph.edge(START, "sub");
    let without = graph.compile().unwrap().app(());
    let error = without.run(Guest::update().name("ann")).invoke().await.unwrap_err();
    assert!(format!("{:?}", error.root_cause()).contains("App::store"), "{error:?}");
    let app = without.store(Arc::new(MemoryStore::default()));
    for visits in 1..=3 {
        let outcome = app.run(Guest::update().name("ann")).invoke().await.unwrap();
        assert_eq!(outcome.state().visits, visits);
    }
}
