//! K. Streaming: the `messages` stream.

use std::sync::Arc;

use expect_test::expect;
use mesh_graph::{
    Ctx, Graph, MemoryCheckpointer, Mode, NodeResult, Resume, Run, START, State, View,
};
use serde_json::{Map, Value as Json, json};

#[derive(State)]
struct Talk {
    #[state(append, messages)]
    talk: Vec<Json>,
    #[state(messages, sensitive)]
    secret: Option<Json>,
}

fn ai(id: &str, content: &str) -> Json {
    json!({"type": "ai", "id": id, "content": content})
}

fn chunk(id: &str, content: &str) -> Json {
    json!({"type": "AIMessageChunk", "id": id, "content": content, "chunk_position": null})
}

fn tags<const N: usize>(tags: [&str; N]) -> Map<String, Json> {
    let mut facts = Map::new();
    facts.insert("tags".to_owned(), json!(tags.as_slice()));
    facts
}

/// Streams `a streamed reply` under the id `m1` and returns it.
async fn speaks(ctx: &Ctx, facts: &Map<String, Json>) -> NodeResult<Json> {
    for piece in ["a streamed", " reply"] {
        ctx.message(&chunk("m1", piece), facts).await?;
    }
    let mut last = chunk("m1", "");
    last["chunk_position"] = json!("last");
    ctx.message(&last, facts).await?;
    Ok(ai("m1", "a streamed reply"))
}

/// `node type id content [last]` of every message.
async fn shown<S>(run: Run<S>) -> String {
    let mut handle = run.stream([Mode::Messages]).start().unwrap();
    let mut lines = Vec::new();
    while let Some(event) = handle.next().await {
        let data = event.data();
        let [message, facts] = [&data[0], &data[1]];
        let text = |key: &str| message[key].as_str().unwrap_or("-").to_owned();
        let last = if message["chunk_position"] == "last" { " last" } else { "" };
        let node = facts["langgraph_node"].as_str().unwrap();
        let depth = ">".repeat(event.ns.len());
        lines.push(format!(
            "{depth}{node} {} {} {:?}{last}",
            text("type"),
            text("id"),
            text("content")
        ));
    }
    handle.finish().await.unwrap();
    lines.join("\n")
}

fn graph(build: impl FnOnce(&mut Graph<Talk>)) -> mesh_graph::App<Talk> {
    let mut graph = Graph::<Talk>::new("talk");
    build(&mut graph);
    let checkpointer = Arc::new(MemoryCheckpointer::encoding());
    graph.compile().unwrap().app(()).checkpointer(checkpointer)
}

#[tokio::test]
async fn t225_a_streamed_message_is_not_shown_again_and_a_plain_one_is() {
    let app = graph(|graph| {
        graph.node("a", |_: View<Talk>, ctx: Ctx| async move {
            Ok(Talk::update().push_talk(speaks(&ctx, &Map::new()).await?))
        });
        graph.node("b", |state: View<Talk>, _: Ctx| async move {
            // What was there already is returned as well, and shown no more.
            let old = state.talk.clone();
            let tool = json!({"type": "tool", "id": "t1", "tool_call_id": "c", "content": "done"});
            let removed = json!({"type": "remove", "id": "m1", "content": ""});
            Ok(Talk::update().extend_talk(old).push_talk(tool).push_talk(removed))
        });
        graph.node("c", |_: View<Talk>, _: Ctx| async move {
            Ok(Talk::update()
                .push_talk(ai("m2", "plain"))
                .push_talk(json!({"type": "ai", "content": "without an id"}))
                .push_talk(json!("no message"))
                .secret(Some(ai("s1", "not for streams"))))
        });
        graph.edge(START, "a").sequence(["a", "b", "c"]);
    });
    let asked = json!({"type": "human", "id": "h1", "content": "Hello"});
    let run = app.run(Talk::update().push_talk(asked)).thread("t");
    expect![[r#"
        a AIMessageChunk m1 "a streamed"
        a AIMessageChunk m1 " reply"
        a AIMessageChunk m1 "" last
        b tool t1 "done"
        c ai m2 "plain"
        c ai - "without an id""#]]
    .assert_eq(&shown(run).await);
    // The next turn knows what the thread holds. Without an id nothing can be known.
    let run = app.run(Talk::update()).thread("t");
    expect![[r#"
        a AIMessageChunk m1 "a streamed"
        a AIMessageChunk m1 " reply"
        a AIMessageChunk m1 "" last
        b ai - "without an id"
        c ai - "without an id""#]]
    .assert_eq(&shown(run).await);
}

#[tokio::test]
async fn a_message_that_is_said_piece_by_piece_reads_as_its_pieces_do() {
    async fn told(saying: bool, tag: &'static str) -> Vec<Json> {
        let app = graph(|graph| {
            graph.node("a", move |_: View<Talk>, ctx: Ctx| async move {
                let facts = tags([tag]);
                let said = ctx.saying(&chunk("m1", "whatever"), &facts)?;
                for piece in ["a streamed", " \"reply\"", ""] {
                    if saying {
                        said.say(piece).await;
                    } else {
                        ctx.message(&chunk("m1", piece), &facts).await?;
                    }
                }
                Ok(Talk::update().push_talk(ai("m1", "a streamed \"reply\"")))
            });
            graph.edge(START, "a");
        });
        let run = app.run(Talk::update()).thread("t").run_id("r");
        let mut handle = run.stream([Mode::Messages]).start().unwrap();
        let mut all = Vec::new();
        while let Some(event) = handle.next().await {
            // As values and as text, down to the order of their members.
            assert_eq!(event.public_text(), event.data().to_string());
            let mut data = event.data();
            // Tasks of two runs have ids of their own.
            for key in ["langgraph_checkpoint_ns", "checkpoint_ns"] {
                data[1][key] = Json::Null;
            }
            all.push(data);
        }
        handle.finish().await.unwrap();
        all
    }
    let said = told(true, "draft").await;
    assert_eq!(said.len(), 3);
    assert_eq!(said, told(false, "draft").await);
    assert_eq!(told(true, "nostream").await, told(false, "nostream").await);
}

#[tokio::test]
async fn only_a_piece_of_text_begins_a_message_that_is_said() {
    let wrong = [
        ai("m1", "x"),
        json!({"type": "AIMessageChunk", "content": "x"}),
        json!({"type": "AIMessageChunk", "id": "m1", "content": []}),
    ];
    for piece in wrong {
        let app = graph(|graph| {
            graph.node("a", move |_: View<Talk>, ctx: Ctx| {
                let piece = piece.clone();
                async move {
                    ctx.saying(&piece, &Map::new())?;
                    NodeResult::Ok(())
                }
            });
            graph.edge(START, "a");
        });
        let handle = app.run(Talk::update()).thread("t").stream([Mode::Messages]).start().unwrap();
        let error = handle.finish().await.unwrap_err().to_string();
        assert!(error.contains("an AIMessageChunk"), "{error}");
    }
}

#[tokio::test]
async fn t226_with_nostream_only_the_final_message_is_shown() {
    let of_call = graph(|graph| {
        graph.node("a", |_: View<Talk>, ctx: Ctx| async move {
            Ok(Talk::update().push_talk(speaks(&ctx, &tags(["nostream"])).await?))
        });
        graph.edge(START, "a");
    });
    let of_node = graph(|graph| {
        graph
            .node("a", |_: View<Talk>, ctx: Ctx| async move {
                Ok(Talk::update().push_talk(speaks(&ctx, &tags(["draft"])).await?))
            })
            .tag("nostream");
        graph.edge(START, "a");
    });
    for app in [of_call, of_node] {
        let run = app.run(Talk::update()).thread("t");
        expect![[r#"a ai m1 "a streamed reply""#]].assert_eq(&shown(run).await);
    }
}

#[tokio::test]
async fn a_hidden_node_is_shown_in_no_stream_but_its_questions_are() {
    let app = graph(|graph| {
        graph
            .node("a", |_: View<Talk>, ctx: Ctx| async move {
                ctx.emit("hidden").await?;
                assert!(!ctx.wants_messages());
                let answer: String = ctx.interrupt("q", "go on?")?;
                Ok(Talk::update().push_talk(ai("m1", &answer)))
            })
            .tag("langsmith:hidden");
        graph.edge(START, "a");
    });
    let modes = [Mode::Updates, Mode::Custom, Mode::Messages, Mode::Tasks, Mode::Debug];
    let runs = [app.run(Talk::update()), app.answer(Resume::Only(json!("yes")))];
    let mut told = Vec::new();
    for run in runs {
        let mut handle = run.thread("t").stream(modes).start().unwrap();
        while let Some(event) = handle.next().await {
            let data = event.data();
            if data["type"] != "checkpoint" {
                told.push(data["__interrupt__"][0]["value"].clone());
            }
        }
    }
    assert_eq!(told, [json!("go on?")]);
}

#[tokio::test]
async fn what_a_child_says_is_shown_once() {
    let child = {
        let mut graph = Graph::<Talk>::new("child");
        graph.node("speak", |_: View<Talk>, ctx: Ctx| async move {
            Ok(Talk::update().push_talk(speaks(&ctx, &Map::new()).await?))
        });
        graph.edge(START, "speak");
        graph.compile().unwrap()
    };
    let parent = || {
        graph(|graph| {
            graph.mount(
                "sub",
                &child,
                |_| Talk::update(),
                |c| Talk::update().extend_talk(c.talk.iter().cloned()),
            );
            graph.edge(START, "sub");
        })
    };
    let run = parent().run(Talk::update()).thread("t");
    expect![[r#"sub ai m1 "a streamed reply""#]].assert_eq(&shown(run).await);
    let run = parent().run(Talk::update()).thread("t").subgraphs();
    expect![[r#"
        >speak AIMessageChunk m1 "a streamed"
        >speak AIMessageChunk m1 " reply"
        >speak AIMessageChunk m1 "" last"#]]
    .assert_eq(&shown(run).await);
}

#[tokio::test]
async fn run_node_and_call_say_what_stands_beside_a_message() {
    let app = graph(|graph| {
        graph
            .node("a", |_: View<Talk>, ctx: Ctx| async move {
                let mut facts = tags(["draft"]);
                facts.insert("ls_provider".to_owned(), json!("scripted"));
                ctx.message(&ai("m1", "x"), &facts).await?;
                Ok(())
            })
            .tag("writer")
            .metadata("owner", "Ann");
        graph.edge(START, "a");
    });
    let run = app.run(Talk::update()).thread("t").metadata("user", json!("Bob"));
    let mut handle = run.stream([Mode::Messages, Mode::Tasks]).start().unwrap();
    let start = handle.next().await.unwrap().data();
    assert_eq!(start["metadata"], json!({"owner": "Ann"}));
    let facts = handle.next().await.unwrap().data()[1].clone();
    assert_eq!(facts["tags"], json!(["writer", "draft"]));
    let given = ["owner", "user", "ls_provider", "langgraph_step"].map(|key| facts[key].clone());
    assert_eq!(given, [json!("Ann"), json!("Bob"), json!("scripted"), json!(1)]);
}
