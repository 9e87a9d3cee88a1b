//! Parts of a state: what single nodes read, private keys, and keys that are declared twice.

use std::sync::{Arc, Mutex};

use mesh_graph::{
    CompileError, Ctx, FailureKind, Graph, MemoryCheckpointer, Mistake, Mode, NodeResult, START,
    Send, State, Step, View,
};
use serde_json::{Value as Json, json};

#[derive(State)]
struct All {
    #[state(input)]
    q: String,
    #[state(output)]
    a: String,
    mid: String,
}

#[derive(State)]
#[state(part_of = All)]
struct In {
    q: String,
}

#[derive(State)]
#[state(part_of = All)]
struct Private {
    secret: String,
}

type Seen = Arc<Mutex<Vec<Json>>>;

async fn n1(state: View<In>, ctx: Ctx<Seen>) -> NodeResult<Step<All>> {
    ctx.deps().lock().unwrap().push(json!({"q": *state.q}));
    let secret = Private::update().secret(format!("{}!", *state.q));
    Ok(Step::update(All::update().mid("m")).and_part::<Private>(secret))
}

async fn n2(state: View<Private>, ctx: Ctx<Seen>) -> NodeResult<()> {
    ctx.deps().lock().unwrap().push(json!({"secret": *state.secret}));
    Ok(())
}

async fn n3(state: View<All>, ctx: Ctx<Seen>) -> NodeResult<AllUpdate> {
    ctx.deps().lock().unwrap().push(json!({"q": *state.q, "a": *state.a, "mid": *state.mid}));
    Ok(All::update().a("done"))
}

fn secretive() -> Graph<All, Seen> {
    let mut graph = Graph::<All, Seen>::new("secretive");
    graph.node("n1", n1);
    graph.node("n2", n2);
    graph.node("n3", n3);
    graph.sequence([START, "n1", "n2", "n3"]);
    graph
}

#[tokio::test]
async fn t009_a_node_sees_the_part_it_names_and_the_result_is_the_output() {
    let seen = Seen::default();
    let app = secretive().compile().unwrap().app(Arc::clone(&seen));
    let outcome = app.run(All::update().q("why")).invoke().await.unwrap();
    assert_eq!(outcome.json().unwrap(), json!({"a": "done"}));
    assert_eq!(
        *seen.lock().unwrap(),
        [json!({"q": "why"}), json!({"secret": "why!"}), json!({"q": "why", "a": "", "mid": "m"})]
    );
    // A private key is no input either.
    let error = app.run_json(json!({"secret": "s"})).invoke().await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::UnknownKey { key: "secret".into() }));
}

#[tokio::test]
async fn t010_state_and_values_show_private_keys_too() {
    let whole = json!({"q": "why", "a": "done", "mid": "m", "secret": "why!"});
    let app = secretive().compile().unwrap().app(Seen::default());
    let app = app.checkpointer(Arc::new(MemoryCheckpointer::encoding()));
    let run = app.run(All::update().q("why")).thread("t").stream([Mode::Values]);
    let mut handle = run.start().unwrap();
    let mut last = Json::Null;
    while let Some(event) = handle.next().await {
        last = event.data();
    }
    assert_eq!(last, whole);
    assert_eq!(app.state("t").await.unwrap().json().unwrap(), whole);
}

#[derive(State)]
struct Numbers {
    #[state(reducer = most)]
    n: i64,
    list: Vec<i64>,
}

fn most(a: i64, b: i64) -> i64 {
    a.max(b)
}

fn least(a: i64, b: i64) -> i64 {
    a.min(b)
}

#[derive(State)]
#[state(part_of = Numbers)]
struct Least {
    #[state(reducer = least)]
    n: i64,
}

#[derive(State)]
#[state(part_of = Numbers)]
struct Text {
    list: String,
}

#[test]
fn t011_two_rules_or_two_types_for_one_key_are_a_conflict() {
    let mut graph = Graph::<Numbers>::new("numbers");
    graph.node("a", |_: View<Least>, _: Ctx| async { Ok(()) });
    graph.node("b", |_: View<Text>, _: Ctx| async { Ok(()) });
    graph.edge(START, "a");
    let Err(CompileError { mistakes, .. }) = graph.compile() else { panic!("it compiles") };
    let keys: Vec<&str> = mistakes
        .iter()
        .map(|mistake| match mistake {
            Mistake::ChannelConflict { key, .. } => key.as_str(),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(keys, ["n", "list"]);
    assert!(mistakes[1].to_string().contains("Vec<i64>"), "{}", mistakes[1]);
}

#[derive(State)]
#[state(part_of = Numbers)]
struct Growing {
    n: i64,
    #[state(append)]
    list: Vec<i64>,
}

#[tokio::test]
async fn t012_a_reducer_wins_over_a_plain_declaration_wherever_it_stands() {
    let mut graph = Graph::<Numbers>::new("numbers");
    for (name, n) in [("a", 7), ("b", 3)] {
        // `n` is plain here and `list` is plain there.
        graph.node(name, move |_: View<Growing>, _: Ctx| async move {
            Ok(Growing::update().n(n).push_list(n))
        });
        graph.edge(START, name);
    }
    let app = graph.compile().unwrap().app(());
    let outcome = app.run(Numbers::update().n(1)).invoke().await.unwrap();
    assert_eq!(outcome.json().unwrap(), json!({"n": 7, "list": [7, 3]}));
}

#[tokio::test]
async fn a_part_that_nobody_reads_has_to_be_added_before_it_can_be_written() {
    let build = |known: bool| {
        let mut graph = Graph::<All>::new("lonely");
        graph.node("a", |_: View<All>, _: Ctx| async { Ok(Private::update().secret("s")) });
        graph.edge(START, "a");
        if known {
            graph.part::<Private>();
        }
        graph.compile().unwrap().app(())
    };
    let error = build(false).run(All::update()).invoke().await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::InvalidUpdate));
    assert!(error.to_string().contains("Graph::part"), "{error}");
    let outcome = build(true).run(All::update()).invoke().await.unwrap();
    assert_eq!(outcome.json().unwrap(), json!({}));
}

#[tokio::test]
async fn a_send_may_carry_a_part() {
    let seen = Seen::default();
    let mut graph = Graph::<All, Seen>::new("sending");
    graph.node("n2", n2);
    graph.route(START, |_| Send::state("n2", Private::update().secret("sent")));
    let app = graph.compile().unwrap().app(Arc::clone(&seen));
    app.run(All::update().q("q")).invoke().await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [json!({"secret": "sent"})]);
}

#[derive(State)]
struct Topics {
    #[state(topic)]
    news: Vec<i64>,
    #[state(topic(accumulate))]
    all: Vec<i64>,
    #[state(append)]
    seen: Vec<String>,
}

async fn look(state: View<Topics>, _: Ctx) -> NodeResult<TopicsUpdate> {
    Ok(Topics::update().push_seen(format!("{:?} {:?}", *state.news, *state.all)))
}

#[tokio::test]
async fn a_topic_lasts_a_superstep_and_an_accumulating_one_stays() {
    let mut graph = Graph::<Topics>::new("topics");
    for (name, n) in [("a", 1), ("b", 2)] {
        graph.node(name, move |_: View<Topics>, _: Ctx| async move {
            Ok(Topics::update().push_news(n).push_all(n))
        });
        graph.edge(START, name).edge(name, "c");
    }
    graph.node("c", |state: View<Topics>, ctx: Ctx| async move {
        Ok(Step::update(look(state, ctx).await?).and(Topics::update().push_news(3).push_all(3)))
    });
    graph.node("d", look);
    graph.node("e", look);
    graph.sequence(["c", "d", "e"]);
    // A router sees the superstep's own topic: what its task wrote, not what was there before.
    graph.route("c", |state| {
        assert_eq!((&**state.news, &**state.all), (&[3][..], &[1, 2, 3][..]));
        mesh_graph::END
    });
    let app = graph.compile().unwrap().app(());
    let app = app.checkpointer(Arc::new(MemoryCheckpointer::encoding()));
    let outcome = app.run(Topics::update()).thread("t").invoke().await.unwrap();
    assert_eq!(outcome.state().seen, ["[1, 2] [1, 2]", "[3] [1, 2, 3]", "[] [1, 2, 3]"]);
    let stored = app.state("t").await.unwrap().json().unwrap();
    assert_eq!(stored, outcome.json().unwrap());
    assert_eq!((stored.get("news"), &stored["all"]), (None, &json!([1, 2, 3])));
}

#[derive(State)]
struct Counted {
    #[state(remaining_steps)]
    left: u32,
    #[state(is_last_step)]
    last: bool,
    #[state(append)]
    seen: Vec<String>,
}

async fn count(state: View<Counted>, _: Ctx) -> NodeResult<CountedUpdate> {
    Ok(Counted::update().push_seen(format!("{} {}", *state.left, *state.last)))
}

#[tokio::test]
async fn t077_managed_keys_are_computed_and_an_input_cannot_set_them() {
    let mut graph = Graph::<Counted>::new("counted");
    graph.node("a", count);
    graph.edge(START, "a");
    graph.route("a", |state| if *state.last { mesh_graph::END } else { "a" });
    let app = graph.compile().unwrap().app(());
    assert!(app.input_schema()["properties"].get("left").is_none());
    let app = app.checkpointer(Arc::new(MemoryCheckpointer::encoding()));
    let run = app.run_json(json!({"left": 99, "last": true})).thread("t").recursion_limit(3);
    let outcome = run.invoke().await.unwrap();
    let seen = json!({"seen": ["3 false", "2 false", "1 true"]});
    assert_eq!(outcome.json().unwrap(), seen);
    assert_eq!(app.state("t").await.unwrap().json().unwrap(), seen);
}

#[tokio::test]
async fn a_part_is_handed_over_to_the_parent_by_its_keys() {
    let mut child = Graph::<All, Seen>::new("child");
    child.node("c", |_: View<All>, _: Ctx<Seen>| async {
        let secret = Private::update().secret("up");
        Ok(Step::<All>::none().and_part::<Private>(secret).goto("n2").parent::<All>())
    });
    child.edge(START, "c");
    let child = child.compile().unwrap();
    let seen = Seen::default();
    let mut graph = Graph::<All, Seen>::new("parent");
    graph.node("n2", n2);
    graph.mount("child", &child, |_| All::update(), |_| All::update());
    graph.edge(START, "child");
    let app = graph.compile().unwrap().app(Arc::clone(&seen));
    app.run(All::update()).invoke().await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [json!({"secret": "up"})]);
}
