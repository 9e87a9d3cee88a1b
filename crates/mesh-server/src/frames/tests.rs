//! Entries in, frames out.

use std::sync::Arc;

use axum::body::Bytes;
use expect_test::{Expect, expect};
use mesh_graph::{Ctx, Graph, Mode, Modes, NodeResult, START, State, View};
use mesh_runtime::log::{Entry, Kind};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::{Frame, Renderer, Wanted};

const RUN: Uuid = Uuid::from_u128(7);

/// A log that grows by one entry per call.
#[derive(Default)]
struct Log(Vec<Entry>);

impl Log {
    fn begun() -> Self {
        Self::default().add(Kind::Begun, "", json!({ "run_id": RUN, "attempt": 1 }))
    }

    fn add(mut self, kind: Kind, ns: &str, data: Json) -> Self {
        let seq = self.0.len() as u64 + 1;
        self.0.push(Entry {
            seq,
            run: RUN,
            kind,
            ns: Arc::from(ns),
            step: 1,
            node: None,
            at_ms: 1_795_333_573_499,
            data: Bytes::from(data.to_string()),
            text_at: None,
        });
        self
    }

    fn event(self, mode: Mode, data: Json) -> Self {
        self.add(Kind::Event(mode), "", data)
    }

    fn ended(self) -> Self {
        self.add(Kind::Ended, "", json!({ "status": "success" }))
    }
}

fn wanted(modes: &str) -> Wanted {
    Wanted::named(modes.split(' '))
}

fn render(log: &[Entry], modes: &str, subgraphs: bool) -> Vec<Frame> {
    let mut renderer = Renderer::new(RUN, wanted(modes), subgraphs);
    let mut frames = Vec::new();
    for entry in log {
        renderer.take(entry, &mut frames);
    }
    frames
}

fn written(frames: &[Frame]) -> String {
    let mut bytes = Vec::new();
    for frame in frames {
        let data = Bytes::from(sorted(&frame.data));
        Frame { data, ..frame.clone() }.write(frame.id, &mut bytes);
    }
    String::from_utf8(bytes).unwrap()
}

/// JSON with its members in order, whatever serde_json is told by other crates of the build.
fn sorted(data: &[u8]) -> String {
    let mut data: Json = serde_json::from_slice(data).unwrap();
    data.sort_all_objects();
    data.to_string()
}

/// The stream of a log, a line per frame.
fn check(log: &Log, modes: &str, expected: Expect) {
    check_with(log, modes, true, expected);
}

fn check_with(log: &Log, modes: &str, subgraphs: bool, expected: Expect) {
    let lines: Vec<String> = render(&log.0, modes, subgraphs)
        .iter()
        .map(|frame| {
            let bar = if frame.ns.is_empty() { "" } else { "|" };
            let data = sorted(&frame.data);
            format!("{} {}{bar}{} {data}\n", frame.id, frame.name, frame.ns)
        })
        .collect();
    expected.assert_eq(&lines.concat());
}

#[test]
fn a_frame_has_its_event_its_data_its_number_and_an_empty_line() {
    let log = Log::begun().event(Mode::Values, json!({ "x": "a\nb" })).ended();
    expect![[r#"
        event: metadata
        data: {"attempt":1,"run_id":"00000000-0000-0000-0000-000000000007"}
        id: 0

        event: values
        data: {"x":"a\nb"}
        id: 1

    "#]]
    .assert_eq(&written(&render(&log.0, "values", false)));
}

#[test]
fn only_what_was_asked_for_is_told_and_numbers_have_no_gaps() {
    let log = Log::begun()
        .event(Mode::Values, json!({ "x": 1 }))
        .event(Mode::Custom, json!("said"))
        .event(Mode::Updates, json!({ "a": { "x": 2 } }))
        .event(Mode::Values, json!({ "x": 2 }))
        .ended();
    check(
        &log,
        "updates custom",
        expect![[r#"
            0 metadata {"attempt":1,"run_id":"00000000-0000-0000-0000-000000000007"}
            1 custom "said"
            2 updates {"a":{"x":2}}
        "#]],
    );
}

#[test]
fn frames_of_a_mounted_graph_say_where_it_is_and_are_absent_unless_asked_for() {
    let log = Log::begun().add(Kind::Event(Mode::Values), "inner:1|deep:2", json!({})).ended();
    check(
        &log,
        "values",
        expect![[r#"
            0 metadata {"attempt":1,"run_id":"00000000-0000-0000-0000-000000000007"}
            1 values|inner:1|deep:2 {}
        "#]],
    );
    check_with(
        &log,
        "values",
        false,
        expect![[r#"
            0 metadata {"attempt":1,"run_id":"00000000-0000-0000-0000-000000000007"}
        "#]],
    );
}

#[test]
fn a_breakpoint_is_told_among_values_at_the_end_and_an_error_is_the_last_frame() {
    let stopped = Log::begun()
        .event(Mode::Values, json!({ "x": 1 }))
        .event(Mode::Updates, json!({ "__interrupt__": [] }))
        .add(Kind::Ended, "", json!({ "status": "success", "breakpoint": true }));
    check(
        &stopped,
        "values updates",
        expect![[r#"
            0 metadata {"attempt":1,"run_id":"00000000-0000-0000-0000-000000000007"}
            1 values {"x":1}
            2 updates {"__interrupt__":[]}
            3 values {"__interrupt__":[]}
        "#]],
    );
    let failed = Log::begun().add(
        Kind::Ended,
        "",
        json!({ "status": "error", "error": { "error": "CustomError", "message": "Boo!" } }),
    );
    check(
        &failed,
        "updates",
        expect![[r#"
            0 metadata {"attempt":1,"run_id":"00000000-0000-0000-0000-000000000007"}
            1 error {"error":"CustomError","message":"Boo!"}
        "#]],
    );
    let cancelled = Log::begun().add(Kind::Ended, "", json!({ "status": "interrupted" }));
    assert_eq!(render(&cancelled.0, "values", true).len(), 1);
}

#[test]
fn tasks_begin_without_questions_and_debug_wraps_them() {
    let log = Log::begun()
        .event(
            Mode::Checkpoints,
            json!({
                "config": { "configurable": { "thread_id": "t", "checkpoint_ns": "",
                    "checkpoint_id": "2" } },
                "parent_config": { "configurable": { "thread_id": "t", "checkpoint_ns": "",
                    "checkpoint_id": "1" } },
                "values": {},
            }),
        )
        .event(
            Mode::Tasks,
            json!({ "id": "t1", "name": "a", "input": {}, "triggers": ["x"], "metadata": {} }),
        )
        .event(
            Mode::Tasks,
            json!({ "id": "t1", "name": "a", "error": null, "result": {}, "interrupts": [] }),
        )
        .ended();
    check(
        &log,
        "tasks debug",
        expect![[r#"
            0 metadata {"attempt":1,"run_id":"00000000-0000-0000-0000-000000000007"}
            1 debug {"payload":{"checkpoint":{"checkpoint_id":"2","checkpoint_ns":"","thread_id":"t"},"config":{"configurable":{"checkpoint_id":"2","checkpoint_ns":"","thread_id":"t"}},"parent_checkpoint":{"checkpoint_id":"1","checkpoint_ns":"","thread_id":"t"},"parent_config":{"configurable":{"checkpoint_id":"1","checkpoint_ns":"","thread_id":"t"}},"values":{}},"step":1,"timestamp":"2026-11-22T07:46:13.499000+00:00","type":"checkpoint"}
            2 tasks {"id":"t1","input":{},"interrupts":[],"metadata":{},"name":"a","triggers":["x"]}
            3 debug {"payload":{"id":"t1","input":{},"interrupts":[],"metadata":{},"name":"a","triggers":["x"]},"step":1,"timestamp":"2026-11-22T07:46:13.499000+00:00","type":"task"}
            4 tasks {"error":null,"id":"t1","interrupts":[],"name":"a","result":{}}
            5 debug {"payload":{"error":null,"id":"t1","interrupts":[],"name":"a","result":{}},"step":1,"timestamp":"2026-11-22T07:46:13.499000+00:00","type":"task_result"}
        "#]],
    );
}

fn piece(content: &str, position: Option<&str>) -> Json {
    json!([
        { "type": "AIMessageChunk", "id": "m1", "content": content, "tool_call_chunks": [],
          "chunk_position": position, "additional_kwargs": {}, "response_metadata": {} },
        { "langgraph_node": "a" },
    ])
}

fn talk() -> Log {
    let human = json!({ "type": "human", "id": "h1", "content": "hi" });
    let reply = json!({ "type": "ai", "id": "m1", "content": "Hello" });
    Log::begun()
        .event(Mode::Values, json!({ "messages": [human] }))
        .event(Mode::Messages, piece("Hel", None))
        .event(Mode::Messages, piece("lo", Some("last")))
        .event(Mode::Values, json!({ "messages": [human, reply] }))
        .ended()
}

#[test]
fn messages_grow_and_are_complete_when_the_state_has_them() {
    check(
        &talk(),
        "messages",
        expect![[r#"
            0 metadata {"attempt":1,"run_id":"00000000-0000-0000-0000-000000000007"}
            1 messages/complete [{"content":"hi","id":"h1","type":"human"}]
            2 messages/metadata {"m1":{"metadata":{"langgraph_node":"a"}}}
            3 messages/partial [{"additional_kwargs":{},"content":"Hel","id":"m1","invalid_tool_calls":[],"response_metadata":{},"tool_calls":[],"type":"ai"}]
            4 messages/partial [{"additional_kwargs":{},"content":"Hello","id":"m1","invalid_tool_calls":[],"response_metadata":{},"tool_calls":[],"type":"ai"}]
            5 messages/complete [{"content":"Hello","id":"m1","type":"ai"}]
        "#]],
    );
}

#[test]
fn tuples_are_passed_on_and_win_over_messages_that_grow() {
    check(
        &talk(),
        "messages messages-tuple",
        expect![[r#"
            0 metadata {"attempt":1,"run_id":"00000000-0000-0000-0000-000000000007"}
            1 messages [{"additional_kwargs":{},"chunk_position":null,"content":"Hel","id":"m1","response_metadata":{},"tool_call_chunks":[],"type":"AIMessageChunk"},{"langgraph_node":"a"}]
            2 messages [{"additional_kwargs":{},"chunk_position":"last","content":"lo","id":"m1","response_metadata":{},"tool_call_chunks":[],"type":"AIMessageChunk"},{"langgraph_node":"a"}]
        "#]],
    );
}

#[test]
fn the_arguments_of_a_call_are_shown_as_far_as_they_came() {
    let call = |args: &str, first: bool| {
        json!([
            { "type": "AIMessageChunk", "id": "m1", "content": "", "tool_call_chunks": [{
                "index": 0, "args": args, "type": "tool_call_chunk",
                "id": first.then_some("c1"), "name": first.then_some("search"),
            }] },
            {},
        ])
    };
    let log = Log::begun()
        .event(Mode::Messages, call("{\"q\": \"a", true))
        .event(Mode::Messages, call("b\"}", false))
        .ended();
    let frames = render(&log.0, "messages", false);
    let calls: Vec<Json> = frames
        .iter()
        .filter(|frame| frame.name == "messages/partial")
        .map(|frame| serde_json::from_slice::<Json>(&frame.data).unwrap()[0]["tool_calls"].clone())
        .collect();
    assert_eq!(
        calls[0],
        json!([{ "name": "search", "args": { "q": "a" }, "id": "c1", "type": "tool_call" }])
    );
    assert_eq!(calls[1][0]["args"], json!({ "q": "ab" }));
}

#[test]
fn tools_are_told_with_their_names_from_start_to_end() {
    let log = Log::begun()
        .event(
            Mode::Tools,
            json!({ "event": "tool-started", "tool_call_id": "c1", "tool_name": "search",
                    "input": { "q": 1 } }),
        )
        .event(
            Mode::Tools,
            json!({ "event": "tool-finished", "tool_call_id": "c1", "output": "found" }),
        )
        .ended();
    check(
        &log,
        "tools",
        expect![[r#"
            0 metadata {"attempt":1,"run_id":"00000000-0000-0000-0000-000000000007"}
            1 tools {"event":"on_tool_start","input":{"q":1},"name":"search","toolCallId":"c1"}
            2 tools {"event":"on_tool_end","name":"search","output":"found","toolCallId":"c1"}
        "#]],
    );
}

#[test]
fn callbacks_have_a_chain_per_task_and_a_model_per_message() {
    let log = Log::begun()
        .event(
            Mode::Tasks,
            json!({ "id": "t1", "name": "a", "input": {}, "triggers": ["x"], "metadata": {} }),
        )
        .event(Mode::Messages, piece("Hello", Some("last")))
        .event(
            Mode::Tasks,
            json!({ "id": "t1", "name": "a", "error": null, "result": { "x": 1 },
                    "interrupts": [] }),
        )
        .event(Mode::Values, json!({ "x": 1 }))
        .ended();
    let told: Vec<String> = render(&log.0, "events", false)
        .iter()
        .skip(1)
        .map(|frame| serde_json::from_slice::<Json>(&frame.data).unwrap())
        .map(|mut data| {
            // Whatever serde_json is told by other crates of the build.
            data.sort_all_objects();
            let (event, name) = (data["event"].as_str().unwrap(), data["name"].as_str().unwrap());
            format!("{event} {name} {}\n", data["data"])
        })
        .collect();
    expect![[r#"
        on_chain_start LangGraph {}
        on_chain_start a {"input":{}}
        on_chat_model_start ChatModel {"input":{}}
        on_chat_model_stream ChatModel {"chunk":{"additional_kwargs":{},"chunk_position":"last","content":"Hello","id":"m1","response_metadata":{},"tool_call_chunks":[],"type":"AIMessageChunk"}}
        on_chat_model_end ChatModel {"output":{"additional_kwargs":{},"content":"Hello","id":"m1","invalid_tool_calls":[],"response_metadata":{},"tool_calls":[],"type":"ai"}}
        on_chain_stream a {"chunk":{"x":1}}
        on_chain_end a {"output":{"x":1}}
        on_chain_end LangGraph {"output":{"x":1}}
    "#]]
    .assert_eq(&told.concat());
}

#[test]
fn a_filter_takes_what_belongs_to_its_modes_and_every_error() {
    let taken = |modes: &str| -> Vec<&str> {
        let wanted = wanted(modes);
        ["metadata", "values", "messages", "messages/partial", "updates", "error"]
            .into_iter()
            .filter(|name| wanted.takes(&Frame { name, ..Frame::error("", "") }))
            .collect()
    };
    assert_eq!(taken("updates"), ["updates", "error"]);
    assert_eq!(taken("messages"), ["messages", "messages/partial", "error"]);
    assert_eq!(taken("messages-tuple values"), ["values", "messages", "error"]);
}

#[derive(State)]
struct S {
    #[state(append)]
    log: Vec<String>,
}

async fn say(_: View<S>, ctx: Ctx<()>) -> NodeResult<SUpdate> {
    ctx.emit(&json!({ "step": 1 })).await?;
    ctx.message(&piece("Hi", Some("last"))[0], &Map::new()).await?;
    Ok(S::update().push_log("said"))
}

/// What a real graph tells, as its log would have it.
async fn log_of_a_graph(modes: Modes) -> Vec<Entry> {
    let mut graph = Graph::<S>::new("g");
    graph.node("a", say);
    graph.node("b", say);
    graph.edge(START, "a").edge("a", "b");
    let app = graph.compile().unwrap().app(()).untyped();
    let mut run = app.run_json(json!({ "log": [] })).stream(modes.iter()).start().unwrap();
    let mut log = Log::begun();
    while let Some(event) = run.next().await {
        log = log.add(Kind::Event(event.mode), &event.ns.join("|"), event.data());
    }
    log.ended().0
}

#[tokio::test]
async fn a_graph_is_told_in_the_order_of_its_supersteps() {
    let modes: Modes = [Mode::Values, Mode::Updates, Mode::Custom, Mode::Messages, Mode::Tasks]
        .into_iter()
        .collect();
    let log = log_of_a_graph(modes).await;
    let names: Vec<&str> = render(&log, "values updates custom messages-tuple tasks", false)
        .iter()
        .map(|frame| frame.name)
        .collect();
    assert_eq!(
        names,
        [
            "metadata", "values", "tasks", "custom", "messages", "updates", "tasks", "values",
            "tasks", "custom", "messages", "updates", "tasks", "values",
        ]
    );
}

#[tokio::test]
async fn whoever_reads_again_gets_the_same_bytes() {
    let modes: Modes = [Mode::Values, Mode::Updates, Mode::Custom, Mode::Messages, Mode::Tasks]
        .into_iter()
        .collect();
    let log = log_of_a_graph(modes).await;
    let all = "values updates custom messages tasks debug events";
    assert_eq!(written(&render(&log, all, true)), written(&render(&log, all, true)));
}
