//! The graphs of the JavaScript suites.

use std::time::Duration;

use mesh_fixtures::Suite;
use mesh_graph::{Mode, Status, Store};
use mesh_runtime::graphs::Purpose;
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use crate::kit::{Bench, graphs, request, stream, texts, with_config};

fn says(text: &str) -> Json {
    json!({"messages": [{"role": "human", "content": text}]})
}

#[tokio::test]
async fn the_agent_calls_its_tool_once_and_ends() {
    let bench = Bench::new(Suite::Js, "agent");
    let run = bench.app.run_json(says("foo")).thread("t");
    let done = with_config(run, json!({"user_id": "ann"}), Json::Null).invoke().await.unwrap();
    let done = done.json().unwrap();
    assert_eq!(texts(&done["messages"]), ["foo", "begin", "tool_call__begin", "end"]);
    assert_eq!(done["messages"][2]["tool_call_id"], "tool_call_id");
    assert_eq!(done["interrupt"], false);
    assert_eq!(done["sharedStateFromStoreConfig"], json!({"id": "ann"}));
    assert_ne!(done["messages"][1]["id"], done["messages"][3]["id"]);
    let stored = bench.store.get(&["sharedState", "data"], "user_id").await.unwrap().unwrap();
    assert_eq!(json!(stored.value), json!({"id": "ann"}));
}

#[tokio::test]
async fn the_agent_streams_letter_by_letter_under_one_id_per_reply() {
    let bench = Bench::new(Suite::Js, "agent");
    let told = stream(bench.app.run_json(says("should_end")).thread("t"), Mode::Messages).await;
    let letters: Vec<&str> = told.iter().map(|told| told[0]["content"].as_str().unwrap()).collect();
    assert_eq!(letters, ["b", "e", "g", "i", "n"]);
    assert!(told[..4].iter().all(|told| told[0]["chunk_position"].is_null()));
    assert_eq!(told[4][0]["chunk_position"], "last");
    assert!(told.iter().all(|told| told[0]["type"] == "AIMessageChunk"));
    let ids: std::collections::HashSet<_> =
        told.iter().map(|told| told[0]["id"].to_string()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(told[0][1]["ls_model_type"], "chat");
}

#[tokio::test]
async fn the_agent_goes_where_the_first_message_says() {
    let bench = Bench::new(Suite::Js, "agent");
    let error = bench.fails(says("___check_state_value")).await;
    assert_eq!(error.failure().unwrap().message, "Value is not true");
    bench.store.put(&["inputtedState", "data"], "my_key", json!({"isTrue": true})).await.unwrap();
    let done = bench.app.run_json(says("___check_state_value")).thread("u").invoke().await.unwrap();
    assert_eq!(done.status, Status::Done);
}

#[tokio::test]
async fn the_agent_asks_when_it_is_told_to() {
    let bench = Bench::new(Suite::Js, "agent");
    let mut input = says("foo");
    input["interrupt"] = json!(true);
    let outcome = bench.app.run_json(input).thread("t").invoke().await.unwrap();
    assert_eq!(outcome.interrupts[0].value, json!("i want to interrupt"));
}

#[tokio::test(start_paused = true)]
async fn the_agent_sleeps_before_it_answers_a_person() {
    let bench = Bench::new(Suite::Js, "agent");
    let mut input = says("foo");
    input["sleep"] = json!(1.5);
    let start = Instant::now();
    bench.run(input).await;
    assert_eq!(start.elapsed().as_millis() / 100, 15);

    let mut input = says("foo");
    input["sleep"] = json!({"steps": 2, "ms": 10});
    let told = stream(bench.app.run_json(input).thread("u"), Mode::Custom).await;
    assert_eq!(told, [json!({"type": "sleep", "step": 0}), json!({"type": "sleep", "step": 1})]);

    let mut input = says("foo");
    input["sleep"] = json!(-1);
    let error = bench.fails(input).await;
    assert_eq!(error.failure().unwrap().message, "sleep: -1, expected seconds from 0");
}

#[tokio::test]
async fn the_simple_agent_sends_its_last_message_to_the_tool() {
    let bench = Bench::new(Suite::Js, "agent_simple");
    let done = bench.run(says("foo")).await;
    assert_eq!(texts(&done["messages"]), ["foo", "begin", "tool_call__begin", "end\u{2028}"]);
    assert_eq!(done.as_object().unwrap().len(), 1);
    let item = bench.store.get(&["ALL"], "key_one").await.unwrap().unwrap();
    assert_eq!(json!(item.value), json!({"text": "foo"}));
}

#[tokio::test]
async fn the_simple_agent_answers_with_a_header_and_keeps_items_by_caller() {
    let bench = Bench::new(Suite::Js, "agent_simple");
    let settings = json!({"x-configurable-header": "extra-client"});
    let run = with_config(bench.app.run_json(says("foo")).thread("t"), settings, Json::Null);
    let done = run.invoke().await.unwrap().json().unwrap();
    assert_eq!(texts(&done["messages"]), ["foo", "end: extra-client"]);

    let settings = json!({"langgraph_auth_user": {"identity": "ann"}});
    let run = with_config(bench.app.run_json(says("bar")).thread("u"), settings, Json::Null);
    run.invoke().await.unwrap();
    assert!(bench.store.get(&["ann"], "key_one").await.unwrap().is_some());
    assert!(bench.store.get(&["ALL"], "key_one").await.unwrap().is_none());
}

#[tokio::test]
async fn nested_graphs_hand_their_whole_list_up() {
    let bench = Bench::new(Suite::Js, "nested");
    let done = bench.run(json!({"messages": []})).await;
    let entered: Vec<&str> =
        done["messages"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert_eq!(entered[0], "Entered gp_one node");
    assert_eq!(entered.last(), Some(&"Entered c_two node"));
    let told =
        |node| entered.iter().filter(|text| **text == format!("Entered {node} node")).count();
    assert_eq!(["gp_one", "p_one", "c_one", "c_two"].map(told), [3, 2, 1, 1]);
}

#[tokio::test]
async fn the_weather_stops_below_and_goes_on_there() {
    let bench = Bench::new(Suite::Js, "weather");
    let outcome = bench.app.run_json(says("SF")).thread("t").invoke().await.unwrap();
    assert_eq!((outcome.status, outcome.interrupts.len()), (Status::Interrupted, 0));
    let state = bench.app.state_tree("t", None).await.unwrap();
    assert_eq!(state.next, ["weather_graph"]);
    let below = state.tasks[0].child.as_ref().unwrap();
    assert_eq!(below.next, ["weather_node"]);
    assert_eq!(below.json().unwrap()["city"], "San Francisco");

    let updates = stream(bench.app.resume().thread("t").subgraphs(), Mode::Updates).await;
    assert_eq!(texts(&updates[0]["weather_node"]["messages"]), ["It's sunny in San Francisco!"]);
    let root = updates[1]["weather_graph"].as_object().unwrap();
    assert_eq!(root.keys().collect::<Vec<_>>(), ["messages"]);
    let values = bench.values().await;
    assert_eq!(texts(&values["messages"]), ["SF", "It's sunny in San Francisco!"]);
    assert_eq!(values["route"], "weather");
}

#[tokio::test]
async fn the_stop_below_is_told_once_here_and_once_there() {
    let bench = Bench::new(Suite::Js, "weather");
    let run = bench.app.run_json(says("SF")).thread("t").subgraphs();
    let updates = stream(run, Mode::Updates).await;
    let stops = updates.iter().filter(|update| **update == json!({"__interrupt__": []})).count();
    assert_eq!(stops, 2, "{updates:?}");
}

#[tokio::test(start_paused = true)]
async fn the_error_has_a_name_and_a_message() {
    let bench = Bench::new(Suite::Js, "error");
    let start = Instant::now();
    let error = bench.fails(says("foo")).await;
    let failure = error.failure().unwrap();
    assert_eq!((failure.code.as_deref(), &*failure.message), (Some("CustomError"), "Boo!"));
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn the_delay_is_as_long_as_it_says() {
    let bench = Bench::new(Suite::Js, "delay");
    let start = Instant::now();
    let done = bench.run(json!({"messages": [], "delay": 12000})).await;
    assert_eq!(texts(&done["messages"]), ["finished after 12000ms"]);
    assert!(start.elapsed() >= Duration::from_secs(12));
}

#[tokio::test]
async fn the_dynamic_graph_has_the_node_that_its_settings_name() {
    let graphs = graphs(Suite::Js, None);
    let served = graphs.get("dynamic").unwrap();
    for (settings, node) in [(json!({}), "default"), (json!({"nodeName": "runtime"}), "runtime")] {
        let bench = Bench::with(served.app(&request(Purpose::Run, settings)).unwrap());
        let done = bench.run(json!({"messages": ["input"]})).await;
        assert_eq!(done, json!({"node": node, "messages": ["input", node]}));
        let patch = mesh_graph::Patch::values(json!({"messages": "update"})).as_node(node);
        bench.app.update_state("t", patch).await.unwrap();
        let values = bench.values().await;
        assert_eq!(values["messages"], json!(["input", node, "update"]));
    }
    let refused = served.app(&request(Purpose::Run, json!({"nodeName": 7}))).unwrap_err();
    assert_eq!(refused, "configurable.nodeName: expected a text");
    let refused = served.app(&request(Purpose::Run, json!({"nodeName": "__end__"}))).unwrap_err();
    assert!(refused.contains("__end__"), "{refused}");
}

#[tokio::test]
async fn the_runtime_graph_gives_back_the_model_of_its_context() {
    let bench = Bench::new(Suite::Js, "simple_runtime");
    for model in ["anthropic", "openai", "unknown"] {
        let run = bench.app.run_json(says("input")).thread(model);
        let run = with_config(run, json!({}), json!({"model": model}));
        assert_eq!(run.invoke().await.unwrap().json().unwrap(), json!({"model": model}));
    }
    assert_eq!(bench.run(says("input")).await, json!({}));
    let run = bench.app.run_json(says("input")).thread("t");
    let error = with_config(run, json!({}), json!({"model": "abacus"})).invoke().await.err();
    let message = error.unwrap().failure().unwrap().message.clone();
    assert!(message.starts_with("context.model: unknown variant `abacus`"), "{message}");
    let schema = bench.app.context_schema().unwrap();
    let model = json!({"type": "string", "enum": ["anthropic", "openai", "unknown"]});
    assert_eq!(schema["properties"]["model"]["type"], model["type"]);
    assert_eq!(schema["properties"]["model"]["enum"], model["enum"]);
}

#[tokio::test]
async fn only_what_calls_itself_messages_is_marked_in_schemas() {
    let properties = |id: &str| Bench::new(Suite::Js, id).app.state_schema()["properties"].clone();
    let marked = properties("state_schema_graph");
    assert_eq!(marked["messages"]["langgraph_type"], "messages");
    assert!(marked["count"].is_object());
    let marked = properties("zod_registry_graph");
    assert_eq!(marked["messages"]["langgraph_type"], "messages");
    assert!(marked["status"].is_object());
    let plain = properties("plain_zod_graph");
    assert!(plain.as_object().unwrap().values().all(|key| key.get("langgraph_type").is_none()));

    let done = Bench::new(Suite::Js, "state_schema_graph").run(json!({})).await;
    assert_eq!(texts(&done["messages"]), ["Response 1"]);
    let done = Bench::new(Suite::Js, "zod_registry_graph").run(json!({})).await;
    assert_eq!(done, json!({"messages": ["Message 1"], "count": 1, "status": "processing"}));
    let done = Bench::new(Suite::Js, "plain_zod_graph").run(json!({})).await;
    assert_eq!(done, json!({"items": ["Item 1"], "counter": 1, "label": "processed"}));
}

#[tokio::test]
async fn the_agent_with_tools_tells_of_its_tool() {
    let bench = Bench::new(Suite::Js, "agent_with_tools");
    let told = stream(bench.app.run_json(says("SF?")).thread("t"), Mode::Tools).await;
    let kinds: Vec<&Json> = told.iter().map(|told| &told["event"]).collect();
    assert_eq!(kinds, ["tool-started", "tool-finished"]);
    assert_eq!(told[0]["tool_call_id"], "call_embed_1");
    assert_eq!(told[1]["output"]["content"], "It's 60 degrees and foggy.");
    let values = bench.values().await;
    assert_eq!(texts(&values["messages"]), ["SF?", "", "It's 60 degrees and foggy.", "Done."]);
}

#[tokio::test]
async fn the_agent_with_stats_counts_at_its_end() {
    let bench = Bench::new(Suite::Js, "agent_with_stats");
    for _ in 0..2 {
        let told = stream(bench.app.run_json(says("SF?")).thread("t"), Mode::Custom).await;
        let expected = [
            json!({"name": "toolCallCount", "payload": 1}),
            json!({"name": "totalTokens", "payload": 0}),
        ];
        assert_eq!(told, expected);
    }
}
