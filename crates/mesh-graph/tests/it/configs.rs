//! What a run is started with, and what nodes, messages and checkpoints see of it.

use std::sync::Arc;

use mesh_graph::{
    App, Config, Ctx, Graph, MemoryCheckpointer, Mode, NodeResult, START, State, View,
};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

#[derive(State)]
struct Seen {
    #[state(append)]
    seen: Vec<Json>,
    #[state(append, messages)]
    talk: Vec<Json>,
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    limits: Option<Limits>,
}

#[derive(Deserialize)]
struct Limits {
    words: u32,
}

fn object(json: Json) -> Map<String, Json> {
    json.as_object().unwrap().clone()
}

fn config() -> Arc<Config> {
    Arc::new(Config {
        tags: vec!["nightly".to_owned()],
        configurable: object(json!({"user_id": "ann", "model": 3})),
        metadata: object(json!({"graph_id": "g", "assistant_id": "a"})),
        context: json!({"model": "small", "limits": {"words": 7}}),
    })
}

async fn look(_: View<Seen>, ctx: Ctx) -> NodeResult<SeenUpdate> {
    let Config { tags, configurable, metadata, context } = ctx.config();
    let seen = json!([tags, configurable, metadata, context]);
    Ok(Seen::update().push_seen(seen))
}

async fn read(_: View<Seen>, ctx: Ctx) -> NodeResult<SeenUpdate> {
    let wanted: Wanted = ctx.context()?;
    let words = wanted.limits.map(|limits| limits.words);
    Ok(Seen::update().push_seen(json!([wanted.model, words])))
}

fn graph(build: impl FnOnce(&mut Graph<Seen>)) -> App<Seen> {
    let mut graph = Graph::<Seen>::new("seen");
    build(&mut graph);
    graph.compile().unwrap().app(()).checkpointer(Arc::new(MemoryCheckpointer::encoding()))
}

#[tokio::test]
async fn a_node_reads_what_the_run_was_started_with() {
    let app = graph(|graph| {
        graph.node("look", look);
        graph.node("read", read);
        graph.edge(START, "look");
        graph.edge("look", "read");
    });
    let outcome = app.run(Seen::update()).thread("t").config(config()).invoke().await.unwrap();
    let Config { tags, configurable, metadata, context } = &*config();
    let seen = [json!([tags, configurable, metadata, context]), json!(["small", 7])];
    assert_eq!(outcome.state().seen, seen);

    let outcome = app.run(Seen::update()).thread("u").invoke().await.unwrap();
    assert_eq!(outcome.state().seen, [json!([[], {}, {}, null]), json!([null, null])]);
}

#[tokio::test]
async fn graphs_below_read_the_config_of_their_run() {
    let mut child = Graph::<Seen>::new("child");
    child.node("look", look);
    child.edge(START, "look");
    let child = child.compile().unwrap();
    let app = graph(|graph| {
        graph.mount(
            "mounted",
            &child,
            |_| Seen::update(),
            |below| Seen::update().extend_seen(below.seen.iter().cloned()),
        );
        let child = child.clone();
        graph.node("calls", move |_: View<Seen>, ctx: Ctx| {
            let child = child.clone();
            async move {
                let below = ctx.call(&child, Seen::update()).await?;
                Ok(Seen::update().extend_seen(below.seen.iter().cloned()))
            }
        });
        graph.edge(START, "mounted");
        graph.edge("mounted", "calls");
    });
    let outcome = app.run(Seen::update()).thread("t").config(config()).invoke().await.unwrap();
    let seen = &outcome.state().seen;
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|seen| seen[3] == config().context), "{seen:?}");
}

#[tokio::test]
async fn a_context_that_does_not_fit_fails_the_node_with_the_name_of_the_field() {
    let app = graph(|graph| {
        graph.node("read", read);
        graph.edge(START, "read");
    });
    for (context, problem) in [
        (
            json!({"limits": {"words": "many"}}),
            "context.limits.words: invalid type: string \"many\", expected u32",
        ),
        (json!(7), "context: invalid type: integer `7`, expected struct Wanted"),
    ] {
        let config = Arc::new(Config { context, ..Config::default() });
        let run = app.run(Seen::update()).thread("t").config(config);
        let error = run.invoke().await.err().unwrap();
        let failure = error.failure().unwrap();
        let told = (failure.code.as_deref(), failure.message.as_str());
        assert_eq!(told, (Some("InvalidConfig"), problem));
    }
}

#[test]
fn settings_are_read_as_a_type_or_refused_by_name() {
    #[derive(Deserialize, Debug)]
    struct Settings {
        user_id: String,
    }
    let config = config();
    assert_eq!(config.configurable::<Settings>().unwrap().user_id, "ann");
    let error = config.configurable::<Wanted>().err().unwrap();
    assert_eq!(
        error.to_string(),
        "configurable.model: invalid type: integer `3`, expected a string"
    );
}

#[tokio::test]
async fn metadata_stands_beside_messages_and_in_checkpoints_context_in_neither() {
    let app = graph(|graph| {
        graph
            .node("speak", |_: View<Seen>, _: Ctx| async move {
                let message = json!({"type": "ai", "id": "m1", "content": "hi"});
                Ok(Seen::update().push_talk(message))
            })
            .tag("writer");
        graph.edge(START, "speak");
    });
    let run = app.run(Seen::update()).thread("t").run_id("r").config(config());
    let mut handle =
        run.metadata("assistant_id", json!("b")).stream([Mode::Messages]).start().unwrap();
    let facts = handle.next().await.unwrap().data()[1].clone();
    handle.finish().await.unwrap();
    assert_eq!(facts["tags"], json!(["nightly", "writer"]));
    let given = ["graph_id", "assistant_id", "thread_id", "run_id"].map(|key| facts[key].clone());
    assert_eq!(given, ["g", "b", "t", "r"].map(Json::from));
    assert_eq!(facts["checkpoint_ns"], facts["langgraph_checkpoint_ns"]);
    let missing = ["user_id", "model", "context"].map(|key| facts.get(key));
    assert_eq!(missing, [None; 3]);

    let snapshot = app.state("t").await.unwrap();
    let stored: Vec<_> = snapshot.metadata.iter().map(|(key, value)| (&**key, value)).collect();
    assert_eq!(stored, [("assistant_id", &json!("b")), ("graph_id", &json!("g"))]);
}

#[tokio::test]
async fn a_run_tagged_nostream_shows_whole_messages_only() {
    let app = graph(|graph| {
        graph.node("speak", |_: View<Seen>, ctx: Ctx| async move {
            let piece = json!({"type": "AIMessageChunk", "id": "m1", "content": "h"});
            ctx.message(&piece, &Map::new()).await?;
            let message = json!({"type": "ai", "id": "m1", "content": "hi"});
            Ok(Seen::update().push_talk(message))
        });
        graph.edge(START, "speak");
    });
    let config = Arc::new(Config { tags: vec!["nostream".to_owned()], ..Config::default() });
    let run = app.run(Seen::update()).thread("t").config(config).stream([Mode::Messages]);
    let mut handle = run.start().unwrap();
    let mut kinds = Vec::new();
    while let Some(event) = handle.next().await {
        kinds.push(event.data()[0]["type"].clone());
    }
    assert_eq!(kinds, ["ai"]);
}
