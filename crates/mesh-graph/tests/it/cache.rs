//! L. The node cache.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mesh_graph::{
    App, Arg, CacheKey, CachePolicy, Ctx, Graph, MemoryCache, Mode, NodeCache, NodeError, Send,
    State, Step, View,
    env::{CountingEnv, Env},
    error::BoxError,
};
use serde_json::json;

use crate::kit::{Deps, S, SUpdate, appends, empty, events, log};

/// A clock that stands still until it is moved.
#[derive(Default)]
struct HandClock {
    now_ms: AtomicI64,
    rest: CountingEnv,
}

#[async_trait]
impl Env for HandClock {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    fn new_id(&self) -> u128 {
        self.rest.new_id()
    }

    fn random(&self) -> u64 {
        self.rest.random()
    }

    async fn sleep(&self, time: Duration) {
        self.rest.sleep(time).await;
    }
}

struct Bench {
    app: App<S>,
    trace: Deps,
    clock: Arc<HandClock>,
}

impl Bench {
    fn new(graph: Graph<S, Deps>, cache: Option<Arc<dyn NodeCache>>) -> Self {
        let (trace, clock) = (Deps::default(), Arc::new(HandClock::default()));
        let mut app = graph.compile().unwrap().app(Arc::clone(&trace)).env(clock.clone());
        if let Some(cache) = cache {
            app = app.cache(cache);
        }
        Self { app, trace, clock }
    }

    async fn run(&self, x: i64) -> Vec<String> {
        log(&self.app.run(S::update().x(Some(x))).invoke().await.unwrap())
    }
}

/// One node `a` that appends its name, with this policy.
fn cached(policy: CachePolicy) -> Graph<S, Deps> {
    let mut graph = Graph::new("cached");
    graph.node("a", appends()).cache(policy);
    graph.edge(mesh_graph::START, "a");
    graph
}

fn memory() -> Arc<dyn NodeCache> {
    Arc::new(MemoryCache::default())
}

#[tokio::test]
async fn t215_an_input_is_worked_on_once_until_the_cache_is_cleared() {
    let bench = Bench::new(cached(CachePolicy::new()), Some(memory()));
    for _ in 0..2 {
        assert_eq!(bench.run(1).await, ["a"]);
    }
    assert_eq!(bench.trace.runs("a"), 1);
    bench.app.clear_cache(Some(&["b"])).await.unwrap();
    bench.run(1).await;
    assert_eq!(bench.trace.runs("a"), 1);
    bench.app.clear_cache(Some(&["a"])).await.unwrap();
    bench.run(1).await;
    assert_eq!(bench.trace.runs("a"), 2);
    bench.run(2).await;
    assert_eq!(bench.trace.runs("a"), 3);
    bench.app.clear_cache(None).await.unwrap();
    bench.run(2).await;
    assert_eq!(bench.trace.runs("a"), 4);
}

#[tokio::test]
async fn t216_a_constant_key_fits_every_input_until_it_expires() {
    let policy = CachePolicy::new().key(|_| json!("one")).ttl(Duration::from_secs(1));
    let bench = Bench::new(cached(policy), Some(memory()));
    bench.run(1).await;
    bench.clock.now_ms.store(999, Ordering::Relaxed);
    bench.run(2).await;
    assert_eq!(bench.trace.runs("a"), 1);
    bench.clock.now_ms.store(1100, Ordering::Relaxed);
    bench.run(1).await;
    assert_eq!(bench.trace.runs("a"), 2);
}

#[tokio::test]
async fn t217_a_policy_without_a_cache_is_ignored() {
    let bench = Bench::new(cached(CachePolicy::new()), None);
    bench.run(1).await;
    bench.run(1).await;
    assert_eq!(bench.trace.runs("a"), 2);
}

#[tokio::test]
async fn t218_an_error_is_not_cached() {
    let mut graph = Graph::new("cached");
    graph
        .node("a", |_: View<S>, ctx: Ctx<Deps>| {
            ctx.deps().start("a");
            std::future::ready(match ctx.deps().runs("a") {
                1 => Err(NodeError::msg("once")),
                _ => Ok(S::update().push_log("a")),
            })
        })
        .cache(CachePolicy::new());
    graph.edge(mesh_graph::START, "a");
    let bench = Bench::new(graph, Some(memory()));
    bench.app.run(S::update().x(Some(1))).invoke().await.unwrap_err();
    assert_eq!(bench.run(1).await, ["a"]);
    assert_eq!(bench.trace.runs("a"), 2);
    assert_eq!(bench.run(1).await, ["a"]);
    assert_eq!(bench.trace.runs("a"), 2);
}

/// `a` goes to `b` and sends to `w`.
fn sends() -> Graph<S, Deps> {
    let mut graph = Graph::<S, Deps>::new("cached");
    let worker = graph
        .node("w", |Arg(job): Arg<String>, ctx: Ctx<Deps>| async move {
            ctx.deps().start("w");
            Ok::<SUpdate, NodeError>(S::update().push_log(format!("w {job}")))
        })
        .id();
    graph
        .node("a", move |_: View<S>, ctx: Ctx<Deps>| {
            ctx.deps().start("a");
            let send = Send::to(&worker, "job".to_owned());
            std::future::ready(Ok::<_, NodeError>(
                Step::<S>::update(S::update().push_log("a")).goto(send).goto("b"),
            ))
        })
        .cache(CachePolicy::new());
    graph.node("b", appends());
    graph.edge(mesh_graph::START, "a");
    graph
}

#[tokio::test]
async fn t219_where_a_cached_node_went_is_gone_to_again() {
    let bench = Bench::new(sends(), Some(memory()));
    for _ in 0..2 {
        assert_eq!(bench.run(1).await, ["a", "b", "w job"]);
    }
    let runs = ["a", "b", "w"].map(|node| bench.trace.runs(node));
    assert_eq!(runs, [1, 2, 2]);
}

#[tokio::test]
async fn t220_a_hit_is_told_as_one() {
    let bench = Bench::new(cached(CachePolicy::new()), Some(memory()));
    let told = async |mode| {
        let (events, outcome) = events(bench.app.run(S::update().x(Some(1))), mode).await;
        outcome.unwrap();
        events
    };
    assert_eq!(told(Mode::Updates).await, [json!({"a": {"log": ["a"]}})]);
    assert_eq!(
        told(Mode::Updates).await,
        [json!({"a": {"log": ["a"]}, "__metadata__": {"cached": true}})]
    );
    let tasks = told(Mode::Tasks).await;
    assert_eq!(tasks.len(), 2);
    assert_eq!(tasks[1]["result"], json!({"log": ["a"]}));
    assert_eq!(tasks[1]["cached"], json!(true));
}

#[tokio::test]
async fn a_node_that_asked_is_not_cached() {
    let mut graph = Graph::<S, Deps>::new("cached");
    graph
        .node("a", |_: View<S>, ctx: Ctx<Deps>| async move {
            ctx.deps().start("a");
            let answer: String = ctx.interrupt("q", "who?")?;
            Ok::<SUpdate, NodeError>(S::update().push_log(answer))
        })
        .cache(CachePolicy::new());
    graph.edge(mesh_graph::START, "a");
    let bench = Bench::new(graph, Some(memory()));
    let app = bench.app.clone().checkpointer(Arc::new(mesh_graph::MemoryCheckpointer::encoding()));
    for (thread, answer) in [("t", "Ann"), ("u", "Bob")] {
        app.run(empty()).thread(thread).invoke().await.unwrap();
        let resume = mesh_graph::Resume::Only(json!(answer));
        let outcome = app.answer(resume).thread(thread).invoke().await.unwrap();
        assert_eq!(log(&outcome), [answer]);
    }
}

#[tokio::test]
async fn a_policy_of_the_graph_holds_for_nodes_without_their_own() {
    let mut graph = Graph::<S, Deps>::new("cached");
    graph.node("a", appends());
    graph.node("b", appends()).cache(CachePolicy::new().ttl(Duration::ZERO));
    graph.edge(mesh_graph::START, "a").edge("a", "b").default_cache(CachePolicy::new());
    let bench = Bench::new(graph, Some(memory()));
    bench.run(1).await;
    bench.run(1).await;
    assert_eq!((bench.trace.runs("a"), bench.trace.runs("b")), (1, 2));
}

/// A part of the state without the log.
#[derive(State)]
#[state(part_of = S)]
struct OnlyX {
    x: Option<i64>,
}

#[tokio::test]
async fn the_key_is_made_of_what_the_node_sees() {
    let mut graph = Graph::<S, Deps>::new("cached");
    graph
        .node("a", |_: View<OnlyX>, ctx: Ctx<Deps>| {
            ctx.deps().start("a");
            std::future::ready(Ok::<SUpdate, NodeError>(S::update().push_log("a")))
        })
        .cache(CachePolicy::new());
    graph.edge(mesh_graph::START, "a");
    let bench = Bench::new(graph, Some(memory()));
    for entry in ["first", "second"] {
        let input = S::update().x(Some(1)).push_log(entry);
        assert_eq!(log(&bench.app.run(input).invoke().await.unwrap()), [entry, "a"]);
    }
    assert_eq!(bench.trace.runs("a"), 1);
}

#[tokio::test]
async fn another_version_of_a_node_is_another_node() {
    let cache = memory();
    for version in ["1", "2"] {
        let bench = Bench::new(cached(CachePolicy::new().version(version)), Some(cache.clone()));
        bench.run(1).await;
        assert_eq!(bench.trace.runs("a"), 1);
    }
    let bench = Bench::new(cached(CachePolicy::new().version("1")), Some(cache));
    bench.run(1).await;
    assert_eq!(bench.trace.runs("a"), 0);
}

/// A backend that is down.
struct Down;

#[async_trait]
impl NodeCache for Down {
    async fn get(&self, _: &CacheKey, _: i64) -> Result<Option<Vec<u8>>, BoxError> {
        Err("down".into())
    }

    async fn put(&self, _: CacheKey, _: Vec<u8>, _: Option<i64>) -> Result<(), BoxError> {
        Err("down".into())
    }

    async fn clear(&self, _: &str, _: Option<&[&str]>) -> Result<(), BoxError> {
        Err("down".into())
    }
}

#[tokio::test]
async fn a_cache_that_fails_costs_nothing_but_the_work() {
    let bench = Bench::new(cached(CachePolicy::new()), Some(Arc::new(Down)));
    for _ in 0..2 {
        assert_eq!(bench.run(1).await, ["a"]);
    }
    assert_eq!(bench.trace.runs("a"), 2);
}

/// What a test asks a cache for.
async fn kept(cache: &MemoryCache, node: &str) -> bool {
    cache.get(&key(node), 0).await.unwrap().is_some()
}

fn key(node: &str) -> CacheKey {
    let input = format!("{:032x}", 1).parse().unwrap();
    CacheKey { graph: "g".to_owned(), node: node.to_owned(), version: String::new(), input }
}

#[tokio::test]
async fn a_full_cache_forgets_what_was_not_used_for_longest() {
    let cache = MemoryCache::bounded(2, 10);
    for node in ["a", "b"] {
        cache.put(key(node), vec![0; 4], None).await.unwrap();
    }
    assert!(kept(&cache, "a").await);
    cache.put(key("c"), vec![0; 2], None).await.unwrap();
    assert!(kept(&cache, "a").await && !kept(&cache, "b").await && kept(&cache, "c").await);
    // By bytes: 4 and 7 are too many, and `a` is the older one.
    cache.put(key("c"), vec![0; 7], None).await.unwrap();
    assert!(!kept(&cache, "a").await && kept(&cache, "c").await);
    // What is larger than everything allowed is not kept, and pushes nothing out.
    cache.put(key("d"), vec![0; 11], None).await.unwrap();
    assert_eq!(cache.len(), 1);
}
