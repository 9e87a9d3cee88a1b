//! K. Streaming: the event protocol, version 3.

use std::sync::Arc;

use expect_test::expect;
use mesh_graph::{
    App, Ctx, Graph, MemoryCheckpointer, NodeError, NodeResult, Outcome, Resume, Run, START, State,
    View,
    env::CountingEnv,
    v3::{self, Envelope, Subscription},
};
use serde_json::{Map, Value as Json, json};

use crate::streams::sorted;

#[derive(State)]
struct Talk {
    #[state(append, messages)]
    messages: Vec<Json>,
}

fn chunk(content: &Json, calls: &Json, end: bool) -> Json {
    json!({
        "type": "AIMessageChunk", "id": "m1", "content": content, "tool_call_chunks": calls,
        "additional_kwargs": {}, "response_metadata": {},
        "chunk_position": if end { json!("last") } else { Json::Null },
    })
}

/// A reply with a thought, a text and a tool call, in pieces.
async fn reply(ctx: &Ctx) -> NodeResult<Json> {
    let mut facts = Map::new();
    facts.insert("ls_provider".to_owned(), json!("scripted"));
    let thought = json!([{"type": "reasoning", "reasoning": "hm", "index": 0}]);
    let calls = [
        json!([{"name": "search", "args": "", "id": "tc-1", "index": 0}]),
        json!([{"name": null, "args": "{\"q\":", "id": null, "index": 0}]),
        json!([{"name": null, "args": "\"x\"}", "id": null, "index": 0}]),
    ];
    ctx.message(&chunk(&thought, &json!([]), false), &facts).await?;
    for text in ["Hello", ", world"] {
        ctx.message(&chunk(&json!(text), &json!([]), false), &facts).await?;
    }
    for call in calls {
        ctx.message(&chunk(&json!(""), &call, false), &facts).await?;
    }
    let mut usage = chunk(&json!(""), &json!([]), false);
    usage["usage_metadata"] = json!({"input_tokens": 3, "output_tokens": 5, "total_tokens": 8});
    ctx.message(&usage, &facts).await?;
    let mut last = chunk(&json!(""), &json!([]), true);
    last["response_metadata"] = json!({"finish_reason": "tool_calls"});
    ctx.message(&last, &facts).await?;
    Ok(json!({
        "type": "ai", "id": "m1", "content": "Hello, world", "additional_kwargs": {},
        "response_metadata": {}, "invalid_tool_calls": [],
        "tool_calls": [{"type": "tool_call", "name": "search", "args": {"q": "x"}, "id": "tc-1"}],
    }))
}

/// A node that reports and then a graph in which a model speaks and somebody asks.
fn app() -> App<Talk> {
    let mut child = Graph::<Talk>::new("inner");
    child.node("speak", |_: View<Talk>, ctx: Ctx| async move {
        Ok(Talk::update().push_messages(reply(&ctx).await?))
    });
    child.node("ask", |_: View<Talk>, ctx: Ctx| async move {
        let answer: String = ctx.interrupt("q", "Are we good?")?;
        Ok(Talk::update().push_messages(json!({"type": "human", "content": answer})))
    });
    child.edge(START, "speak").edge("speak", "ask");
    let child = child.compile().unwrap();
    let mut graph = Graph::<Talk>::new("outer");
    graph.node("report", |_: View<Talk>, ctx: Ctx| async move {
        ctx.emit(&json!({"name": "progress", "phase": "start"})).await
    });
    graph.mount(
        "sub",
        &child,
        |_| Talk::update(),
        |c| Talk::update().extend_messages(c.messages.iter().cloned()),
    );
    graph.edge(START, "report").edge("report", "sub");
    graph
        .compile()
        .unwrap()
        .app(())
        .checkpointer(Arc::new(MemoryCheckpointer::encoding()))
        .env(Arc::new(CountingEnv::default()))
}

async fn recorded<S>(
    run: Run<S>,
    after: u64,
) -> (Vec<Envelope>, Result<Outcome<S>, mesh_graph::Error>) {
    let mut events = run.start_v3(after).unwrap();
    let mut recorded = Vec::new();
    while let Some(envelope) = events.next().await {
        recorded.push(envelope);
    }
    (recorded, events.finish().await)
}

/// `seq method ns data`, long data left out.
fn lines(envelopes: &[Envelope]) -> String {
    let line = |envelope: &Envelope| {
        let ns: Vec<&str> = envelope.ns.iter().map(|l| l.split(':').next().unwrap()).collect();
        let data = match envelope.method {
            "checkpoints" => json!({"step": envelope.data["step"]}),
            "tasks" => {
                let part = if envelope.data.get("result").is_some() { "result" } else { "start" };
                json!({ part: envelope.data["name"] })
            }
            "lifecycle" => json!({
                "event": envelope.data["event"], "graph_name": envelope.data["graph_name"],
            }),
            "input.requested" => json!({"payload": envelope.data["payload"]}),
            _ => envelope.data.clone(),
        };
        let asked = if envelope.interrupts.is_empty() { "" } else { " +interrupts" };
        let data = sorted(&data);
        format!("{} {} [{}] {data}{asked}", envelope.seq, envelope.method, ns.join(","))
    };
    envelopes.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn t232_a_run_with_child_tokens_and_a_question_as_protocol_events() {
    let app = app();
    let (first, outcome) = recorded(app.run(Talk::update()).thread("t").run_id("r1"), 0).await;
    expect![[r#"
        1 lifecycle [] {"event":"running","graph_name":"outer"}
        2 checkpoints [] {"step":-1}
        3 checkpoints [] {"step":0}
        4 values [] {"messages":[]}
        5 tasks [] {"start":"report"}
        6 custom [] {"name":"progress","phase":"start"}
        7 updates [] {"report":null}
        8 tasks [] {"result":"report"}
        9 checkpoints [] {"step":1}
        10 tasks [] {"start":"sub"}
        11 lifecycle [sub] {"event":"started","graph_name":"inner"}
        12 checkpoints [sub] {"step":-1}
        13 checkpoints [sub] {"step":0}
        14 values [sub] {"messages":[]}
        15 tasks [sub] {"start":"speak"}
        16 messages [sub] {"event":"message-start","id":"m1","metadata":{"provider":"scripted"},"role":"ai","run_id":"r1"}
        17 messages [sub] {"content":{"reasoning":"","type":"reasoning"},"event":"content-block-start","id":"m1","index":0,"run_id":"r1"}
        18 messages [sub] {"delta":{"reasoning":"hm","type":"reasoning-delta"},"event":"content-block-delta","id":"m1","index":0,"run_id":"r1"}
        19 messages [sub] {"content":{"text":"","type":"text"},"event":"content-block-start","id":"m1","index":1,"run_id":"r1"}
        20 messages [sub] {"delta":{"text":"Hello","type":"text-delta"},"event":"content-block-delta","id":"m1","index":1,"run_id":"r1"}
        21 messages [sub] {"delta":{"text":", world","type":"text-delta"},"event":"content-block-delta","id":"m1","index":1,"run_id":"r1"}
        22 messages [sub] {"content":{"args":"","id":"tc-1","index":0,"name":"search","type":"tool_call_chunk"},"event":"content-block-start","id":"m1","index":2,"run_id":"r1"}
        23 messages [sub] {"delta":{"args":"{\"q\":","type":"tool-call-delta"},"event":"content-block-delta","id":"m1","index":2,"run_id":"r1"}
        24 messages [sub] {"delta":{"args":"\"x\"}","type":"tool-call-delta"},"event":"content-block-delta","id":"m1","index":2,"run_id":"r1"}
        25 messages [sub] {"content":{"reasoning":"hm","type":"reasoning"},"event":"content-block-finish","id":"m1","index":0,"run_id":"r1"}
        26 messages [sub] {"content":{"text":"Hello, world","type":"text"},"event":"content-block-finish","id":"m1","index":1,"run_id":"r1"}
        27 messages [sub] {"content":{"args":{"q":"x"},"id":"tc-1","name":"search","type":"tool_call"},"event":"content-block-finish","id":"m1","index":2,"run_id":"r1"}
        28 messages [sub] {"event":"message-finish","id":"m1","metadata":{"finish_reason":"tool_calls"},"run_id":"r1","usage":{"input_tokens":3,"output_tokens":5,"total_tokens":8}}
        29 updates [sub] {"speak":{"messages":[{"content":"Hello, world","id":"m1","tool_calls":[{"args":{"q":"x"},"id":"tc-1","name":"search","type":"tool_call"}],"type":"ai"}]}}
        30 tasks [sub] {"result":"speak"}
        31 checkpoints [sub] {"step":1}
        32 values [sub] {"messages":[{"content":"Hello, world","id":"m1","tool_calls":[{"args":{"q":"x"},"id":"tc-1","name":"search","type":"tool_call"}],"type":"ai"}]}
        33 tasks [sub] {"start":"ask"}
        34 updates [sub] {}
        35 input.requested [sub] {"payload":"Are we good?"}
        36 tasks [sub] {"result":"ask"}
        37 values [sub] {"messages":[{"content":"Hello, world","id":"m1","tool_calls":[{"args":{"q":"x"},"id":"tc-1","name":"search","type":"tool_call"}],"type":"ai"}]} +interrupts
        38 lifecycle [sub] {"event":"interrupted","graph_name":"inner"}
        39 updates [] {}
        40 tasks [] {"result":"sub"}
        41 values [] {"messages":[]} +interrupts
        42 lifecycle [] {"event":"interrupted","graph_name":"outer"}"#]].assert_eq(&lines(&first));
    let numbers: Vec<u64> = first.iter().map(|envelope| envelope.seq).collect();
    assert_eq!(numbers, (1..=first.len() as u64).collect::<Vec<_>>());
    let asked = outcome.unwrap().interrupts;
    assert_eq!(first.last().unwrap().data["event"], "interrupted");
    let values = first.iter().rev().find(|envelope| envelope.method == "values").unwrap();
    assert_eq!(values.interrupts, [asked[0].to_json()]);

    let run = app.answer(Resume::Only(json!("yes"))).thread("t").run_id("r2");
    let (second, outcome) = recorded(run, first.len() as u64).await;
    expect![[r#"
        43 lifecycle [] {"event":"running","graph_name":"outer"}
        44 checkpoints [] {"step":1}
        45 values [] {"messages":[]}
        46 tasks [] {"start":"sub"}
        47 lifecycle [sub] {"event":"started","graph_name":"inner"}
        48 checkpoints [sub] {"step":1}
        49 values [sub] {"messages":[{"content":"Hello, world","id":"m1","tool_calls":[{"args":{"q":"x"},"id":"tc-1","name":"search","type":"tool_call"}],"type":"ai"}]}
        50 tasks [sub] {"start":"ask"}
        51 updates [sub] {"ask":{"messages":[{"content":"yes","type":"human"}]}}
        52 tasks [sub] {"result":"ask"}
        53 checkpoints [sub] {"step":2}
        54 values [sub] {"messages":[{"content":"Hello, world","id":"m1","tool_calls":[{"args":{"q":"x"},"id":"tc-1","name":"search","type":"tool_call"}],"type":"ai"},{"content":"yes","type":"human"}]}
        55 lifecycle [sub] {"event":"completed","graph_name":"inner"}
        56 updates [] {"sub":{"messages":[{"content":"Hello, world","id":"m1","tool_calls":[{"args":{"q":"x"},"id":"tc-1","name":"search","type":"tool_call"}],"type":"ai"},{"content":"yes","type":"human"}]}}
        57 tasks [] {"result":"sub"}
        58 checkpoints [] {"step":2}
        59 values [] {"messages":[{"content":"Hello, world","id":"m1","tool_calls":[{"args":{"q":"x"},"id":"tc-1","name":"search","type":"tool_call"}],"type":"ai"},{"content":"yes","type":"human"}]}
        60 lifecycle [] {"event":"completed","graph_name":"outer"}"#]].assert_eq(&lines(&second));
    outcome.unwrap();
    let mut ids: Vec<&str> = first.iter().chain(&second).map(|e| &*e.event_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), first.len() + second.len(), "ids are unique over runs");
}

#[tokio::test]
async fn t233_a_reader_that_comes_back_gets_what_it_missed() {
    let (all, _) = recorded(app().run(Talk::update()).thread("t").run_id("r1"), 10).await;
    for known in [0, 10, 11, 17, 10 + all.len() as u64, 1000] {
        let missed = v3::after(&all, known);
        let first = known.max(10) + 1;
        let numbers: Vec<u64> = missed.iter().map(|envelope| envelope.seq).collect();
        assert_eq!(numbers, (first..=10 + all.len() as u64).collect::<Vec<_>>());
        assert!(all.ends_with(missed), "the same envelopes, byte for byte");
    }
}

#[tokio::test]
async fn an_envelope_reads_as_clients_expect() {
    let (all, _) = recorded(app().run(Talk::update()).thread("t").run_id("r1"), 0).await;
    let custom = all.iter().find(|envelope| envelope.method == "custom").unwrap();
    assert_eq!(
        custom.to_json(),
        json!({
            "type": "event", "event_id": format!("r1:{}", custom.seq), "seq": custom.seq,
            "method": "custom",
            "params": {
                "namespace": [], "timestamp": custom.at_ms, "node": "report",
                "data": {"name": "progress", "phase": "start"},
            },
        })
    );
    assert_eq!(custom.channel(), "custom:progress");
}

#[tokio::test]
async fn a_subscription_is_a_choice_of_channels_and_places() {
    let (all, _) = recorded(app().run(Talk::update()).thread("t").run_id("r1"), 0).await;
    let heard = |channels: &[&str], namespaces: &[&[&str]], depth: Option<usize>, since: u64| {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let wanted = Subscription {
            channels: owned(channels),
            namespaces: namespaces.iter().map(|names| owned(names)).collect(),
            depth,
            since,
        };
        all.iter().filter(|envelope| wanted.wants(envelope)).count()
    };
    let count = |method: &str, depth: usize| {
        all.iter().filter(|e| e.method == method && e.ns.len() == depth).count()
    };
    assert_eq!(heard(&["custom"], &[], None, 0), 1);
    assert_eq!(heard(&["custom:progress"], &[], None, 0), 1);
    assert_eq!(heard(&["custom:other"], &[], None, 0), 0);
    assert_eq!(heard(&["input"], &[], None, 0), 1);
    assert_eq!(heard(&["values"], &[&[]], Some(0), 0), count("values", 0));
    assert_eq!(heard(&["values"], &[&["sub"]], None, 0), count("values", 1));
    assert_eq!(heard(&["values"], &[&["sub:other"]], None, 0), 0);
    assert_eq!(heard(&["values"], &[], None, all.len() as u64), 0);
}

#[tokio::test]
async fn a_failed_run_ends_its_messages_and_says_why_it_failed() {
    let app = || {
        let mut graph = Graph::<Talk>::new("failing");
        graph.node("a", |_: View<Talk>, ctx: Ctx| async move {
            ctx.message(&chunk(&json!("Hel"), &json!([]), false), &Map::new()).await?;
            Err::<(), _>(NodeError::msg("Boo!"))
        });
        graph.edge(START, "a");
        graph.compile().unwrap().app(())
    };
    let (all, outcome) = recorded(app().run(Talk::update()).run_id("r"), 0).await;
    expect![[r#"
        1 lifecycle [] {"event":"running","graph_name":"failing"}
        2 values [] {"messages":[]}
        3 tasks [] {"start":"a"}
        4 messages [] {"event":"message-start","id":"m1","role":"ai","run_id":"r"}
        5 messages [] {"content":{"text":"","type":"text"},"event":"content-block-start","id":"m1","index":0,"run_id":"r"}
        6 messages [] {"delta":{"text":"Hel","type":"text-delta"},"event":"content-block-delta","id":"m1","index":0,"run_id":"r"}
        7 messages [] {"event":"error","id":"m1","message":"the call failed","run_id":"r"}
        8 tasks [] {"result":"a"}
        9 lifecycle [] {"event":"failed","graph_name":"failing"}"#]].assert_eq(&lines(&all));
    assert_eq!(all.last().unwrap().data["error"], "node `a` failed: Boo!");
    assert!(outcome.is_err());
    // For strangers the words are left out.
    let mut handle = app().run(Talk::update()).stream(v3::MODES).subgraphs().start().unwrap();
    let mut protocol = v3::Protocol::new("r", 0).public();
    let mut text = String::new();
    while let Some(event) = handle.next().await {
        for envelope in protocol.take(&v3::Item::of(&event)) {
            text.push_str(&envelope.to_json().to_string());
        }
    }
    assert!(text.contains("failed") && !text.contains("Boo!"), "{text}");
    assert!(protocol.flush().is_empty());
}

#[tokio::test]
async fn a_message_that_was_not_streamed_and_a_call_that_cannot_be_read() {
    let mut graph = Graph::<Talk>::new("whole");
    graph.node("a", |_: View<Talk>, ctx: Ctx| async move {
        let whole = json!({
            "type": "ai", "id": "m1",
            "content": [{"type": "text", "text": "Hi"}, {"type": "image", "url": "u"}],
            "tool_calls": [{"name": "search", "args": {"q": "x"}, "id": "tc-1"}],
        });
        ctx.message(&whole, &Map::new()).await?;
        let broken = json!([{"name": "search", "args": "{\"q", "id": "tc-2", "index": 0}]);
        let mut piece = chunk(&json!(""), &broken, true);
        piece["id"] = json!("m2");
        ctx.message(&piece, &Map::new()).await?;
        let tool = json!({"type": "tool", "id": "t1", "content": "x", "tool_call_id": "tc-1"});
        ctx.message(&tool, &Map::new()).await?;
        Ok(Talk::update().push_messages(tool))
    });
    graph.edge(START, "a");
    let app = graph.compile().unwrap().app(());
    let (all, _) = recorded(app.run(Talk::update()).run_id("r"), 0).await;
    let messages: Vec<Envelope> =
        all.into_iter().filter(|envelope| envelope.method == "messages").collect();
    expect![[r#"
        4 messages [] {"event":"message-start","id":"m1","role":"ai","run_id":"r"}
        5 messages [] {"content":{"text":"","type":"text"},"event":"content-block-start","id":"m1","index":0,"run_id":"r"}
        6 messages [] {"delta":{"text":"Hi","type":"text-delta"},"event":"content-block-delta","id":"m1","index":0,"run_id":"r"}
        7 messages [] {"content":{"type":"image","url":"u"},"event":"content-block-start","id":"m1","index":1,"run_id":"r"}
        8 messages [] {"content":{"args":"","id":"tc-1","index":0,"name":"search","type":"tool_call_chunk"},"event":"content-block-start","id":"m1","index":2,"run_id":"r"}
        9 messages [] {"delta":{"args":"{\"q\":\"x\"}","type":"tool-call-delta"},"event":"content-block-delta","id":"m1","index":2,"run_id":"r"}
        10 messages [] {"content":{"text":"Hi","type":"text"},"event":"content-block-finish","id":"m1","index":0,"run_id":"r"}
        11 messages [] {"content":{"type":"image","url":"u"},"event":"content-block-finish","id":"m1","index":1,"run_id":"r"}
        12 messages [] {"content":{"args":{"q":"x"},"id":"tc-1","name":"search","type":"tool_call"},"event":"content-block-finish","id":"m1","index":2,"run_id":"r"}
        13 messages [] {"event":"message-finish","id":"m1","run_id":"r"}
        14 messages [] {"event":"message-start","id":"m2","role":"ai","run_id":"r"}
        15 messages [] {"content":{"args":"","id":"tc-2","index":0,"name":"search","type":"tool_call_chunk"},"event":"content-block-start","id":"m2","index":0,"run_id":"r"}
        16 messages [] {"delta":{"args":"{\"q","type":"tool-call-delta"},"event":"content-block-delta","id":"m2","index":0,"run_id":"r"}
        17 messages [] {"content":{"args":"{\"q","error":"EOF while parsing a string at line 1 column 3","id":"tc-2","name":"search","type":"invalid_tool_call"},"event":"content-block-finish","id":"m2","index":0,"run_id":"r"}
        18 messages [] {"event":"message-finish","id":"m2","run_id":"r"}"#]].assert_eq(&lines(&messages));
}
