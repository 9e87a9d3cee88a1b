//! The graphs of the Python suite.

use mesh_fixtures::Suite;
use mesh_graph::{Event, Mode, Resume, Status};
use mesh_runtime::graphs::Purpose;
use serde_json::{Value as Json, json};

use crate::kit::{Bench, events, graphs, request, stream, texts};

fn input() -> Json {
    json!({"messages": [], "value": "init", "items": []})
}

#[tokio::test]
async fn the_agent_asks_and_goes_on_with_the_answer() {
    let bench = Bench::new(Suite::Python, "agent");
    let outcome = bench.app.run_json(input()).thread("t").invoke().await.unwrap();
    assert_eq!(outcome.status, Status::Interrupted);
    assert_eq!(outcome.interrupts[0].value, json!("Are we good?"));
    let values = bench.values().await;
    assert_eq!((&values["value"], &values["items"]), (&json!("x"), &json!(["streamed", "tool"])));

    let done = bench.app.answer(Resume::Only(json!("yes"))).thread("t").invoke().await.unwrap();
    let done = done.json().unwrap();
    assert_eq!(done["items"], json!(["streamed", "tool", "asked", "sub"]));
    let said = ["Hello, world!", "", "result for 'v3'", "Human said: yes", "from subgraph"];
    assert_eq!(texts(&done["messages"]), said);
    let call =
        json!([{"name": "search", "args": {"query": "v3"}, "id": "tc-1", "type": "tool_call"}]);
    assert_eq!(done["messages"][1]["tool_calls"], call);
    let ids = [1, 3, 4].map(|at: usize| done["messages"][at]["id"].clone());
    assert_eq!(ids, ["ai-msg-2", "ai-msg-3", "sub-msg-1"]);
}

#[tokio::test]
async fn the_agent_reports_its_progress_up_to_the_question() {
    let bench = Bench::new(Suite::Python, "agent");
    let told = stream(bench.app.run_json(input()).thread("t"), Mode::Custom).await;
    let steps: Vec<String> = told
        .iter()
        .map(|told| format!("{} {}", told["step"], told["phase"]).replace('"', ""))
        .collect();
    let expected = [
        "stream_message start",
        "stream_message end",
        "call_tool start",
        "call_tool end",
        "ask_human start",
    ];
    assert_eq!(steps, expected);
    assert!(told.iter().all(|told| told["name"] == "progress"));

    let told = stream(bench.app.answer(Resume::Only(json!("yes"))).thread("t"), Mode::Custom).await;
    let end = json!({"name": "progress", "step": "ask_human", "phase": "end", "answer": "yes"});
    assert_eq!(told[1], end);
}

#[tokio::test]
async fn the_agent_streams_two_pieces_and_shows_the_hand_made_messages_whole() {
    let bench = Bench::new(Suite::Python, "agent");
    let told = stream(bench.app.run_json(input()).thread("t"), Mode::Messages).await;
    let told: Vec<[&Json; 3]> =
        told.iter().map(|t| [&t[0]["type"], &t[0]["content"], &t[0]["chunk_position"]]).collect();
    let expected = json!([
        ["AIMessageChunk", "Hello,", null],
        ["AIMessageChunk", " world!", null],
        ["AIMessageChunk", "", "last"],
        ["ai", "", null],
        ["tool", "result for 'v3'", null]
    ]);
    assert_eq!(json!(told), expected);
}

#[tokio::test]
async fn the_tools_agent_runs_its_tool_once_and_tells_of_it() {
    let bench = Bench::new(Suite::Python, "tools_agent");
    let run = bench.app.run_json(json!({"messages": [{"role": "human", "content": "go"}]}));
    let events = events(run.thread("t"), [Mode::Tools, Mode::Values]).await;
    let tools: Vec<Json> =
        events.iter().filter(|event| event.mode == Mode::Tools).map(Event::data).collect();
    let started = json!({"event": "tool-started", "tool_call_id": "tc-1", "tool_name": "search",
                         "input": {"query": "v3"}});
    assert_eq!(tools[0], started);
    assert_eq!(tools[1]["event"], "tool-finished");
    let output = ["status", "content", "name"].map(|key| tools[1]["output"][key].clone());
    assert_eq!(output, ["success", "result for 'v3'", "search"]);
    assert_eq!(tools.len(), 2);
    let last = events.last().unwrap().data();
    assert_eq!(texts(&last["messages"]), ["go", "", "result for 'v3'", "done."]);
    assert_eq!(last["messages"][1]["id"], "ai-tools-call");
    assert_eq!(last.as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn the_deep_agent_runs_its_researcher_below_the_tool() {
    let bench = Bench::new(Suite::Python, "deep_agent");
    let run = bench.app.run_json(json!({"messages": [{"role": "user", "content": "research"}]}));
    let events = events(run.thread("t").subgraphs(), [Mode::Lifecycle, Mode::Values]).await;
    let started =
        events.iter().filter(|event| event.mode == Mode::Lifecycle && event.ns.len() == 1);
    let started: Vec<Json> = started.map(Event::data).collect();
    assert_eq!(started[0]["event"], "started");
    assert_eq!(started[0]["graph_name"], "researcher");
    assert!(started[0]["namespace"][0].as_str().unwrap().starts_with("tools:"));
    let last = events.iter().rfind(|event| event.mode == Mode::Values && event.ns.is_empty());
    let last = last.unwrap().data();
    let found = "v3 streaming is event-typed and thread-centric.";
    assert_eq!(texts(&last["messages"]), ["research", "", found, "Research complete."]);
    assert_eq!(last["messages"][2]["tool_call_id"], "tc-task-1");
}

#[tokio::test]
async fn the_factory_agent_says_why_it_was_made() {
    let graphs = graphs(Suite::Python, None);
    for (purpose, access, runs) in [
        (Purpose::Run, "threads.create_run", true),
        (Purpose::State, "threads.read", false),
        (Purpose::Describe, "assistants.read", false),
    ] {
        let app = graphs.get("factory_agent").unwrap().app(&request(purpose, json!({})));
        let done = Bench::with(app.unwrap()).run(json!({"text": "hi"})).await;
        let expected =
            json!({"text": "hi echoed", "access_context": access, "is_for_execution": runs});
        assert_eq!(done, expected);
    }
}
