//! K. Streaming.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use expect_test::expect;
use mesh_graph::{
    Ctx, Durability, EVENT_BUFFER, Framing, Graph, MemoryCheckpointer, Mode, Outcome, REDACTED,
    Run, START, State, Step, ToolEvent, View,
};
use serde_json::{Map, Value as Json, json};

use crate::kit::{Bench, Deps, Lab, S, asks, at, empty, events, fails_once};

/// All events of a run, one per line: number, step, namespace, mode, node, payload.
async fn told(run: Run<S>) -> (String, Result<Outcome<S>, mesh_graph::Error>) {
    let mut handle = run.start().unwrap();
    let mut lines = String::new();
    let mut seq = 0;
    while let Some(event) = handle.next().await {
        seq += 1;
        assert_eq!(event.seq, seq, "numbers have no gaps");
        let ns: Vec<&str> = event.ns.iter().map(|level| level.split(':').next().unwrap()).collect();
        let (mode, node) = (event.mode.name(), event.node().unwrap_or("-"));
        let ns = if ns.is_empty() { "/".to_owned() } else { ns.join("|") };
        let data = sorted(&event.data());
        writeln!(lines, "{seq} {} {ns} {mode} {node} {data}", event.step).unwrap();
    }
    (lines, handle.finish().await)
}

/// JSON text with sorted keys, whatever features other crates give serde_json.
pub(crate) fn sorted(json: &Json) -> String {
    match json {
        Json::Object(object) => {
            let ordered: BTreeMap<_, _> = object.iter().collect();
            let entries = ordered.iter().map(|(key, value)| format!("{key:?}:{}", sorted(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        Json::Array(items) => {
            format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

/// `a` says something on every stream; `b` asks.
fn talkative() -> Bench {
    Lab::new("S -> a; a -> b")
        .with("a", |_, ctx| async move {
            ctx.emit(&json!({"progress": 0.5})).await?;
            let mut facts = Map::new();
            facts.insert("tags".to_owned(), json!(["draft"]));
            ctx.message(&json!({"type": "ai", "content": "Hel"}), &facts).await?;
            Ok(S::update().push_log("a"))
        })
        .with("b", asks("q", json!("go on?")))
        .app()
}

async fn both_runs(mode: Mode) -> String {
    let bench = talkative();
    let (first, _) = told(bench.run(S::update().x(Some(1))).run_id("r1").stream([mode])).await;
    let answer = mesh_graph::Resume::Only(json!("yes"));
    let run = bench.app.answer(answer).thread("t").run_id("r2").stream([mode]);
    let (second, _) = told(run).await;
    format!("{first}-- answer\n{second}")
}

#[tokio::test]
async fn t221_each_stream_alone_shows_its_part_before_and_after_an_answer() {
    values_show_the_state_after_every_step_that_changed_it().await;
    updates_show_every_task_and_every_question().await;
    custom_shows_what_nodes_send().await;
    tasks_show_every_start_and_every_result().await;
    checkpoints_show_each_one_with_the_tasks_that_are_next().await;
    debug_shows_checkpoints_and_tasks_with_step_and_time().await;
    lifecycle_shows_begin_and_end().await;
    tools_show_what_a_node_says_of_its_tools().await;
    messages_come_with_the_facts_of_their_task().await;
}

async fn values_show_the_state_after_every_step_that_changed_it() {
    expect![[r#"
        1 0 / values - {"log":[],"x":1}
        2 1 / values - {"log":["a"],"x":1}
        3 1 / values - {"__interrupt__":[{"id":"764ce73bf83f182ba35c32c9e9cf9e88","response_schema":null,"value":"go on?"}],"log":["a"],"x":1}
        -- answer
        1 1 / values - {"log":["a"],"x":1}
        2 2 / values - {"log":["a","yes"],"x":1}
    "#]].assert_eq(&both_runs(Mode::Values).await);
}

async fn updates_show_every_task_and_every_question() {
    expect![[r#"
        1 1 / updates a {"a":{"log":["a"]}}
        2 2 / updates b {"__interrupt__":[{"id":"764ce73bf83f182ba35c32c9e9cf9e88","response_schema":null,"value":"go on?"}]}
        -- answer
        1 2 / updates b {"b":{"log":["yes"]}}
    "#]].assert_eq(&both_runs(Mode::Updates).await);
}

async fn custom_shows_what_nodes_send() {
    expect![[r#"
        1 1 / custom a {"progress":0.5}
        -- answer
    "#]]
    .assert_eq(&both_runs(Mode::Custom).await);
}

async fn tasks_show_every_start_and_every_result() {
    expect![[r#"
        1 1 / tasks a {"id":"63507ecb-1a8c-1b26-3690-22ad8254097a","input":{"log":[],"x":1},"metadata":{},"name":"a","triggers":["branch:to:a"]}
        2 1 / tasks a {"error":null,"id":"63507ecb-1a8c-1b26-3690-22ad8254097a","interrupts":[],"name":"a","result":{"log":["a"]}}
        3 2 / tasks b {"id":"b3b2a57c-8cae-d21c-8a0c-e44954eff9db","input":{"log":["a"],"x":1},"metadata":{},"name":"b","triggers":["branch:to:b"]}
        4 2 / tasks b {"error":null,"id":"b3b2a57c-8cae-d21c-8a0c-e44954eff9db","interrupts":[{"id":"764ce73bf83f182ba35c32c9e9cf9e88","response_schema":null,"value":"go on?"}],"name":"b","result":{}}
        -- answer
        1 2 / tasks b {"id":"b3b2a57c-8cae-d21c-8a0c-e44954eff9db","input":{"log":["a"],"x":1},"metadata":{},"name":"b","triggers":["branch:to:b"]}
        2 2 / tasks b {"error":null,"id":"b3b2a57c-8cae-d21c-8a0c-e44954eff9db","interrupts":[],"name":"b","result":{"log":["yes"]}}
    "#]].assert_eq(&both_runs(Mode::Tasks).await);
}

async fn checkpoints_show_each_one_with_the_tasks_that_are_next() {
    expect![[r#"
        1 -1 / checkpoints - {"config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000002","checkpoint_ns":"","thread_id":"t"}},"metadata":{"parents":{},"source":"input","step":-1},"next":["__start__"],"parent_config":null,"tasks":[{"id":"01bfdcdc-ceaf-417e-32d1-3773f5b1710a","interrupts":[],"name":"__start__","state":null}],"values":{"log":[]}}
        2 0 / checkpoints - {"config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000003","checkpoint_ns":"","thread_id":"t"}},"metadata":{"parents":{},"source":"loop","step":0},"next":["a"],"parent_config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000002","checkpoint_ns":"","thread_id":"t"}},"tasks":[{"id":"63507ecb-1a8c-1b26-3690-22ad8254097a","interrupts":[],"name":"a","state":null}],"values":{"log":[],"x":1}}
        3 1 / checkpoints - {"config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000004","checkpoint_ns":"","thread_id":"t"}},"metadata":{"parents":{},"source":"loop","step":1},"next":["b"],"parent_config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000003","checkpoint_ns":"","thread_id":"t"}},"tasks":[{"id":"b3b2a57c-8cae-d21c-8a0c-e44954eff9db","interrupts":[],"name":"b","state":null}],"values":{"log":["a"],"x":1}}
        -- answer
        1 1 / checkpoints - {"config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000004","checkpoint_ns":"","thread_id":"t"}},"metadata":{"parents":{},"source":"loop","step":1},"next":["b"],"parent_config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000003","checkpoint_ns":"","thread_id":"t"}},"tasks":[{"id":"b3b2a57c-8cae-d21c-8a0c-e44954eff9db","interrupts":[{"id":"764ce73bf83f182ba35c32c9e9cf9e88","response_schema":null,"value":"go on?"}],"name":"b","state":null}],"values":{"log":["a"],"x":1}}
        2 2 / checkpoints - {"config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000006","checkpoint_ns":"","thread_id":"t"}},"metadata":{"parents":{},"source":"loop","step":2},"next":[],"parent_config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000004","checkpoint_ns":"","thread_id":"t"}},"tasks":[],"values":{"log":["a","yes"],"x":1}}
    "#]].assert_eq(&both_runs(Mode::Checkpoints).await);
}

async fn debug_shows_checkpoints_and_tasks_with_step_and_time() {
    expect![[r#"
        1 -1 / debug - {"payload":{"config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000002","checkpoint_ns":"","thread_id":"t"}},"metadata":{"parents":{},"source":"input","step":-1},"next":["__start__"],"parent_config":null,"tasks":[{"id":"01bfdcdc-ceaf-417e-32d1-3773f5b1710a","interrupts":[],"name":"__start__","state":null}],"values":{"log":[]}},"step":-1,"timestamp":"1970-01-01T00:00:00.001Z","type":"checkpoint"}
        2 0 / debug - {"payload":{"config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000003","checkpoint_ns":"","thread_id":"t"}},"metadata":{"parents":{},"source":"loop","step":0},"next":["a"],"parent_config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000002","checkpoint_ns":"","thread_id":"t"}},"tasks":[{"id":"63507ecb-1a8c-1b26-3690-22ad8254097a","interrupts":[],"name":"a","state":null}],"values":{"log":[],"x":1}},"step":0,"timestamp":"1970-01-01T00:00:00.003Z","type":"checkpoint"}
        3 1 / debug a {"payload":{"id":"63507ecb-1a8c-1b26-3690-22ad8254097a","input":{"log":[],"x":1},"metadata":{},"name":"a","triggers":["branch:to:a"]},"step":1,"timestamp":"1970-01-01T00:00:00.004Z","type":"task"}
        4 1 / debug a {"payload":{"error":null,"id":"63507ecb-1a8c-1b26-3690-22ad8254097a","interrupts":[],"name":"a","result":{"log":["a"]}},"step":1,"timestamp":"1970-01-01T00:00:00.005Z","type":"task_result"}
        5 1 / debug - {"payload":{"config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000004","checkpoint_ns":"","thread_id":"t"}},"metadata":{"parents":{},"source":"loop","step":1},"next":["b"],"parent_config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000003","checkpoint_ns":"","thread_id":"t"}},"tasks":[{"id":"b3b2a57c-8cae-d21c-8a0c-e44954eff9db","interrupts":[],"name":"b","state":null}],"values":{"log":["a"],"x":1}},"step":1,"timestamp":"1970-01-01T00:00:00.007Z","type":"checkpoint"}
        6 2 / debug b {"payload":{"id":"b3b2a57c-8cae-d21c-8a0c-e44954eff9db","input":{"log":["a"],"x":1},"metadata":{},"name":"b","triggers":["branch:to:b"]},"step":2,"timestamp":"1970-01-01T00:00:00.008Z","type":"task"}
        7 2 / debug b {"payload":{"error":null,"id":"b3b2a57c-8cae-d21c-8a0c-e44954eff9db","interrupts":[{"id":"764ce73bf83f182ba35c32c9e9cf9e88","response_schema":null,"value":"go on?"}],"name":"b","result":{}},"step":2,"timestamp":"1970-01-01T00:00:00.009Z","type":"task_result"}
        -- answer
        1 1 / debug - {"payload":{"config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000004","checkpoint_ns":"","thread_id":"t"}},"metadata":{"parents":{},"source":"loop","step":1},"next":["b"],"parent_config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000003","checkpoint_ns":"","thread_id":"t"}},"tasks":[{"id":"b3b2a57c-8cae-d21c-8a0c-e44954eff9db","interrupts":[{"id":"764ce73bf83f182ba35c32c9e9cf9e88","response_schema":null,"value":"go on?"}],"name":"b","state":null}],"values":{"log":["a"],"x":1}},"step":1,"timestamp":"1970-01-01T00:00:00.010Z","type":"checkpoint"}
        2 2 / debug b {"payload":{"id":"b3b2a57c-8cae-d21c-8a0c-e44954eff9db","input":{"log":["a"],"x":1},"metadata":{},"name":"b","triggers":["branch:to:b"]},"step":2,"timestamp":"1970-01-01T00:00:00.011Z","type":"task"}
        3 2 / debug b {"payload":{"error":null,"id":"b3b2a57c-8cae-d21c-8a0c-e44954eff9db","interrupts":[],"name":"b","result":{"log":["yes"]}},"step":2,"timestamp":"1970-01-01T00:00:00.012Z","type":"task_result"}
        4 2 / debug - {"payload":{"config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000006","checkpoint_ns":"","thread_id":"t"}},"metadata":{"parents":{},"source":"loop","step":2},"next":[],"parent_config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000004","checkpoint_ns":"","thread_id":"t"}},"tasks":[],"values":{"log":["a","yes"],"x":1}},"step":2,"timestamp":"1970-01-01T00:00:00.014Z","type":"checkpoint"}
    "#]].assert_eq(&both_runs(Mode::Debug).await);
}

async fn lifecycle_shows_begin_and_end() {
    expect![[r#"
        1 -2 / lifecycle - {"event":"started","graph_name":"lab","namespace":[]}
        2 1 / lifecycle - {"event":"interrupted","graph_name":"lab","namespace":[]}
        -- answer
        1 -2 / lifecycle - {"event":"started","graph_name":"lab","namespace":[]}
        2 2 / lifecycle - {"event":"completed","graph_name":"lab","namespace":[]}
    "#]]
    .assert_eq(&both_runs(Mode::Lifecycle).await);
}

async fn tools_show_what_a_node_says_of_its_tools() {
    let bench = Lab::new("S -> a")
        .with("a", |_, ctx| async move {
            let (input, output) = (json!({"q": "x"}), json!({"type": "tool", "content": "y"}));
            let tool_call_id = "tc-1";
            ctx.tool(ToolEvent::Started { tool_call_id, tool_name: "search", input: &input })
                .await?;
            ctx.tool(ToolEvent::OutputDelta { tool_call_id, delta: &json!("y") }).await?;
            ctx.tool(ToolEvent::Finished { tool_call_id, output: &output }).await?;
            ctx.tool(ToolEvent::Error { tool_call_id: "tc-2", message: "no", code: None }).await?;
            Ok(())
        })
        .app();
    let (lines, _) = told(bench.run(empty()).stream([Mode::Tools])).await;
    expect![[r#"
        1 1 / tools a {"event":"tool-started","input":{"q":"x"},"tool_call_id":"tc-1","tool_name":"search"}
        2 1 / tools a {"delta":"y","event":"tool-output-delta","tool_call_id":"tc-1"}
        3 1 / tools a {"event":"tool-finished","output":{"content":"y","type":"tool"},"tool_call_id":"tc-1"}
        4 1 / tools a {"event":"tool-error","message":"no","tool_call_id":"tc-2"}
    "#]].assert_eq(&lines);
}

async fn messages_come_with_the_facts_of_their_task() {
    expect![[r#"
        1 1 / messages a [{"content":"Hel","type":"ai"},{"checkpoint_ns":"a:63507ecb-1a8c-1b26-3690-22ad8254097a","langgraph_checkpoint_ns":"a:63507ecb-1a8c-1b26-3690-22ad8254097a","langgraph_node":"a","langgraph_path":["__pregel_pull","a"],"langgraph_step":1,"langgraph_triggers":["branch:to:a"],"run_id":"r1","tags":["draft"],"thread_id":"t"}]
        -- answer
    "#]].assert_eq(&both_runs(Mode::Messages).await);
}

#[tokio::test]
async fn t222_items_of_one_stream_or_several_are_framed_as_asked_for() {
    several_modes_share_one_numbered_stream().await;
    items_are_framed_as_clients_of_both_versions_expect().await;
    invoke_gives_the_value_or_the_list_of_items().await;
}

async fn several_modes_share_one_numbered_stream() {
    let bench = talkative();
    let run = bench.run(S::update().x(Some(1))).stream(Mode::ALL);
    let (lines, _) = told(run).await;
    // Checkpoint, starts, what the node says, its update and result, values; and so on.
    let order: Vec<String> = lines
        .lines()
        .map(|line| line.split(' ').skip(3).take(2).collect::<Vec<_>>().join(" "))
        .collect();
    expect![[r#"
        lifecycle -
        checkpoints -
        debug -
        values -
        checkpoints -
        debug -
        tasks a
        debug a
        custom a
        messages a
        updates a
        tasks a
        debug a
        values -
        checkpoints -
        debug -
        tasks b
        debug b
        updates b
        tasks b
        debug b
        values -
        lifecycle -"#]]
    .assert_eq(&order.join("\n"));
}

async fn items_are_framed_as_clients_of_both_versions_expect() {
    let lab = || {
        let bench = with_child();
        bench.run(empty()).stream([Mode::Updates, Mode::Values])
    };
    for (framing, subgraphs) in [
        (Framing::V1 { list: false, subgraphs: false }, false),
        (Framing::V1 { list: true, subgraphs: false }, false),
        (Framing::V1 { list: false, subgraphs: true }, true),
        (Framing::V1 { list: true, subgraphs: true }, true),
        (Framing::V2, true),
    ] {
        let run = if subgraphs { lab().subgraphs() } else { lab() };
        let mut handle = run.start().unwrap();
        let mut seen = Vec::new();
        while let Some(event) = handle.next().await {
            let (ns, mode, data) = (json!(*event.ns), json!(event.mode.name()), event.data());
            seen.push(event.mode);
            let expected = match framing {
                Framing::V1 { list: false, subgraphs: false } => data,
                Framing::V1 { list: true, subgraphs: false } => json!([mode, data]),
                Framing::V1 { list: false, subgraphs: true } => json!([ns, data]),
                Framing::V1 { list: true, subgraphs: true } => json!([ns, mode, data]),
                _ if event.mode == Mode::Values => {
                    let mut state = data;
                    let asked = state.as_object_mut().unwrap().remove("__interrupt__");
                    let interrupts = asked.unwrap_or_else(|| json!([]));
                    json!({"type": mode, "ns": ns, "data": state, "interrupts": interrupts})
                }
                _ => json!({"type": mode, "ns": ns, "data": data}),
            };
            assert_eq!(framing.frame(&event), expected);
        }
        assert!(seen.contains(&Mode::Updates) && seen.contains(&Mode::Values));
    }
}

async fn invoke_gives_the_value_or_the_list_of_items() {
    let v1 = Framing::V1 { list: false, subgraphs: false };
    let run = || talkative().run(S::update().x(Some(1)));
    let value = run().invoke_as(v1).await.unwrap();
    assert_eq!(
        (&value["log"], &value["__interrupt__"][0]["value"]),
        (&json!(["a"]), &json!("go on?"))
    );
    assert_eq!(run().stream([Mode::Values]).invoke_as(v1).await.unwrap(), value);
    let value = run().invoke_as(Framing::V2).await.unwrap();
    assert_eq!(value["value"], json!({"x": 1, "log": ["a"]}));
    assert_eq!(value["interrupts"][0]["value"], "go on?");
    let items = run().stream([Mode::Custom]).invoke_as(v1).await.unwrap();
    assert_eq!(items, json!([{"progress": 0.5}]));
    let items = run().stream([Mode::Custom]).invoke_as(Framing::V2).await.unwrap();
    assert_eq!(items, json!([{"type": "custom", "ns": [], "data": {"progress": 0.5}}]));
    let list = Framing::V1 { list: true, subgraphs: false };
    let items = run().stream([Mode::Values]).invoke_as(list).await.unwrap();
    assert_eq!(items[0], json!(["values", {"x": 1, "log": []}]));
}

#[tokio::test]
async fn t223_an_unknown_mode_is_named() {
    let error = "nope".parse::<Mode>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown stream mode `nope`; the modes are values, updates, custom, messages, tasks, \
         checkpoints, debug, lifecycle, tools"
    );
    for mode in Mode::ALL {
        assert_eq!(mode.name().parse(), Ok(mode));
    }
}

/// `p`, which says something on every stream, before `ok` and `bad`, which fails once.
fn fails_late() -> Bench {
    Lab::new("S -> p; p -> ok, bad")
        .with("p", |_, ctx| async move {
            ctx.emit("said").await?;
            ctx.message(&json!({"type": "ai", "content": "Hel"}), &Map::new()).await?;
            let (tool_call_id, delta) = ("tc-1", &json!("y"));
            ctx.tool(ToolEvent::OutputDelta { tool_call_id, delta }).await?;
            Ok(S::update().push_log("p"))
        })
        .with("bad", fails_once())
        .app()
}

#[tokio::test]
async fn t224_what_happened_before_an_error_is_told_before_it_in_every_stream() {
    let mut all = String::new();
    for mode in Mode::ALL {
        let run = fails_late().run(empty()).run_id("r").stream([mode]);
        let (lines, outcome) = told(run).await;
        // What a checkpoint looks like stands above; what it waits for is enough here.
        let seen: Vec<String> = match mode {
            Mode::Checkpoints | Mode::Debug => lines
                .lines()
                .map(|line| {
                    let data: Json =
                        serde_json::from_str(line.splitn(6, ' ').nth(5).unwrap()).unwrap();
                    let kind = data.get("type").map_or("", |kind| kind.as_str().unwrap());
                    let payload = data.get("payload").unwrap_or(&data);
                    let part = ["next", "error", "input"].map(|key| payload.get(key));
                    let shown = part.into_iter().flatten().next().unwrap();
                    let head: Vec<&str> = line.split(' ').take(5).collect();
                    format!("{} {kind} {}", head.join(" "), sorted(shown)).replace("  ", " ")
                })
                .collect(),
            _ => lines.lines().map(str::to_owned).collect(),
        };
        writeln!(all, "{}", seen.join("\n")).unwrap();
        assert_eq!(outcome.unwrap_err().to_string(), "node `bad` failed: once");
    }
    expect![[r#"
        1 0 / values - {"log":[]}
        2 1 / values - {"log":["p"]}
        1 1 / updates p {"p":{"log":["p"]}}
        2 2 / updates ok {"ok":{"log":["ok"]}}
        1 1 / custom p "said"
        1 1 / messages p [{"content":"Hel","type":"ai"},{"checkpoint_ns":"p:ccdfde46-aa02-c439-c5ac-dcfbc5fa24b2","langgraph_checkpoint_ns":"p:ccdfde46-aa02-c439-c5ac-dcfbc5fa24b2","langgraph_node":"p","langgraph_path":["__pregel_pull","p"],"langgraph_step":1,"langgraph_triggers":["branch:to:p"],"run_id":"r","thread_id":"t"}]
        1 1 / tasks p {"id":"ccdfde46-aa02-c439-c5ac-dcfbc5fa24b2","input":{"log":[]},"metadata":{},"name":"p","triggers":["branch:to:p"]}
        2 1 / tasks p {"error":null,"id":"ccdfde46-aa02-c439-c5ac-dcfbc5fa24b2","interrupts":[],"name":"p","result":{"log":["p"]}}
        3 2 / tasks bad {"id":"453aaefe-ec0e-c8cb-2c42-8dadb69260d0","input":{"log":["p"]},"metadata":{},"name":"bad","triggers":["branch:to:bad"]}
        4 2 / tasks ok {"id":"db0931b6-0bc9-6133-a436-0fd4e68a04c9","input":{"log":["p"]},"metadata":{},"name":"ok","triggers":["branch:to:ok"]}
        5 2 / tasks bad {"error":{"error":"node","message":"once"},"id":"453aaefe-ec0e-c8cb-2c42-8dadb69260d0","interrupts":[],"name":"bad","result":{}}
        6 2 / tasks ok {"error":null,"id":"db0931b6-0bc9-6133-a436-0fd4e68a04c9","interrupts":[],"name":"ok","result":{"log":["ok"]}}
        1 -1 / checkpoints - ["__start__"]
        2 0 / checkpoints - ["p"]
        3 1 / checkpoints - ["bad","ok"]
        1 -1 / debug - checkpoint ["__start__"]
        2 0 / debug - checkpoint ["p"]
        3 1 / debug p task {"log":[]}
        4 1 / debug p task_result null
        5 1 / debug - checkpoint ["bad","ok"]
        6 2 / debug bad task {"log":["p"]}
        7 2 / debug ok task {"log":["p"]}
        8 2 / debug bad task_result {"error":"node","message":"once"}
        9 2 / debug ok task_result null
        1 -2 / lifecycle - {"event":"started","graph_name":"lab","namespace":[]}
        2 1 / lifecycle - {"error":"node `bad` failed: once","event":"failed","graph_name":"lab","namespace":[]}
        1 1 / tools p {"delta":"y","event":"tool-output-delta","tool_call_id":"tc-1"}
    "#]].assert_eq(&all);
    let lab = fails_late;
    // Who is not to see causes sees the kind alone.
    let mut handle = lab().run(empty()).stream([Mode::Tasks, Mode::Lifecycle]).start().unwrap();
    let mut public = Vec::new();
    while let Some(event) = handle.next().await {
        assert_eq!(event.public_data().get("name"), event.data().get("name"));
        if let Some(error) = event.public_data().get("error").filter(|error| !error.is_null()) {
            public.push(error.clone());
        }
    }
    assert_eq!(public, [json!({"error": "node", "message": "failed"}), json!("failed")]);
    // Resumed, only what did not finish is told again.
    let bench = lab();
    bench.run(empty()).invoke().await.unwrap_err();
    let modes = [Mode::Checkpoints, Mode::Updates];
    let (lines, outcome) = told(bench.app.resume().thread("t").stream(modes)).await;
    expect![[r#"
        1 1 / checkpoints - {"config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000005","checkpoint_ns":"","thread_id":"t"}},"metadata":{"parents":{},"source":"loop","step":1},"next":["bad","ok"],"parent_config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000004","checkpoint_ns":"","thread_id":"t"}},"tasks":[{"error":{"error":"node","message":"once"},"id":"5fdaedbd-bf65-d518-cf84-fd947c93a880","interrupts":[],"name":"bad","state":null},{"id":"4dfb222b-0e52-0737-9650-236e48a32e8c","interrupts":[],"name":"ok","result":{"log":["ok"]},"state":null}],"values":{"log":["p"]}}
        2 2 / updates bad {"bad":{"log":["bad"]}}
        3 2 / checkpoints - {"config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000008","checkpoint_ns":"","thread_id":"t"}},"metadata":{"parents":{},"source":"loop","step":2},"next":[],"parent_config":{"configurable":{"checkpoint_id":"00000000-0000-0000-0000-000000000005","checkpoint_ns":"","thread_id":"t"}},"tasks":[],"values":{"log":["p","bad","ok"]}}
    "#]].assert_eq(&lines);
    assert!(outcome.is_ok());
}

fn with_child() -> Bench {
    let child = Lab::new("S -> c; c -> ask")
        .with("c", |_, ctx| async move {
            ctx.emit("from the child").await?;
            assert!(!ctx.wants_messages());
            Ok(S::update().push_log("c"))
        })
        .with("ask", asks("q", json!("child?")))
        .compile();
    let mut graph = Graph::<S, Deps>::new("parent");
    graph.mount("sub", &child, |_| S::update(), |c| S::update().extend_log(c.log.iter().cloned()));
    graph.edge(START, "sub");
    Bench::new(&graph.compile().unwrap())
}

/// A graph that says something on its own streams, and a parent that mounts or calls it.
fn heard_through(called: bool) -> Bench {
    let child = Lab::new("S -> c")
        .with("c", |_, ctx| async move {
            ctx.emit("from the child").await?;
            ctx.message(&json!({"type": "AIMessageChunk", "content": "Hel"}), &Map::new()).await?;
            Ok(S::update().push_log("c"))
        })
        .compile();
    if called {
        return Lab::new("S -> sub")
            .with("sub", move |_, ctx| {
                let child = child.clone();
                async move {
                    ctx.emit("from the parent").await?;
                    let done = ctx.call(&child, S::update()).await?;
                    Ok(S::update().extend_log(done.log.iter().cloned()))
                }
            })
            .app();
    }
    let mut graph = Graph::<S, Deps>::new("parent");
    graph.mount("sub", &child, |_| S::update(), |c| S::update().extend_log(c.log.iter().cloned()));
    graph.edge(START, "sub");
    Bench::new(&graph.compile().unwrap())
}

#[tokio::test]
async fn t227_children_are_heard_only_when_asked_for() {
    let modes = [Mode::Updates, Mode::Custom, Mode::Messages];
    let mut all = String::new();
    for (called, subgraphs) in [(false, false), (false, true), (true, false), (true, true)] {
        let run = heard_through(called).run(empty()).stream(modes);
        let mut handle = if subgraphs { run.subgraphs() } else { run }.start().unwrap();
        writeln!(all, "called: {called}, subgraphs: {subgraphs}").unwrap();
        while let Some(event) = handle.next().await {
            let ns: Vec<&str> = event.ns.iter().map(|l| l.split(':').next().unwrap()).collect();
            let data = event.data();
            let data = data.get(0).filter(|_| event.mode == Mode::Messages).unwrap_or(&data);
            let (mode, node) = (event.mode.name(), event.node().unwrap());
            writeln!(all, "  [{}] {mode} {node} {}", ns.join("|"), sorted(data)).unwrap();
        }
        handle.finish().await.unwrap();
    }
    expect![[r#"
        called: false, subgraphs: false
          [] updates sub {"sub":{"log":["c"]}}
        called: false, subgraphs: true
          [sub] custom c "from the child"
          [sub] messages c {"content":"Hel","type":"AIMessageChunk"}
          [sub] updates c {"c":{"log":["c"]}}
          [] updates sub {"sub":{"log":["c"]}}
        called: true, subgraphs: false
          [] custom sub "from the parent"
          [] updates sub {"sub":{"log":["c"]}}
        called: true, subgraphs: true
          [] custom sub "from the parent"
          [sub] custom c "from the child"
          [sub] messages c {"content":"Hel","type":"AIMessageChunk"}
          [sub] updates c {"c":{"log":["c"]}}
          [] updates sub {"sub":{"log":["c"]}}
    "#]]
    .assert_eq(&all);
}

#[tokio::test]
async fn a_childs_question_is_told_at_every_level_that_is_heard() {
    let modes = [Mode::Updates, Mode::Custom];
    for subgraphs in [false, true] {
        let bench = with_child();
        let with = |run: Run<S>| if subgraphs { run.subgraphs() } else { run };
        let (first, outcome) = told(with(bench.run(empty()).stream(modes))).await;
        let id = outcome.unwrap().interrupts[0].id.to_string();
        let answer = mesh_graph::Resume::Only(json!("yes"));
        let (second, _) = told(with(bench.app.answer(answer).thread("t").stream(modes))).await;
        let lines = format!("{first}-- answer\n{second}").replace(&id, "ID");
        if subgraphs {
            // The child's question is told in its own namespace and in the root's.
            expect![[r#"
                1 1 sub custom c "from the child"
                2 1 sub updates c {"c":{"log":["c"]}}
                3 2 sub updates ask {"__interrupt__":[{"id":"ID","response_schema":null,"value":"child?"}]}
                4 1 / updates sub {"__interrupt__":[{"id":"ID","response_schema":null,"value":"child?"}]}
                -- answer
                1 2 sub updates ask {"ask":{"log":["yes"]}}
                2 1 / updates sub {"sub":{"log":["c","yes"]}}
            "#]].assert_eq(&lines);
        } else {
            expect![[r#"
                1 1 / updates sub {"__interrupt__":[{"id":"ID","response_schema":null,"value":"child?"}]}
                -- answer
                1 1 / updates sub {"sub":{"log":["c","yes"]}}
            "#]].assert_eq(&lines);
        }
    }
}

#[tokio::test]
async fn t228_a_question_of_a_child_has_one_id_everywhere() {
    let bench = with_child();
    let mut handle = bench.run(empty()).stream([Mode::Updates]).subgraphs().start().unwrap();
    let mut ids = Vec::new();
    while let Some(event) = handle.next().await {
        if let Some(asked) = event.data().get("__interrupt__") {
            ids.push((event.ns.len(), asked[0]["id"].as_str().unwrap().to_owned()));
        }
    }
    let id = handle.finish().await.unwrap().interrupts[0].id.to_string();
    assert_eq!(ids, [(1, id.clone()), (0, id)]);
}

#[tokio::test]
async fn t229_a_step_that_changes_nothing_shows_no_values() {
    let bench = Lab::new("S -> a; a -> b")
        .with("a", |_, _| async { Ok(()) })
        .with("b", |_, _| async { Ok(S::update().x(Some(2))) })
        .app();
    let (values, _) = events(bench.run(S::update().x(Some(1))), Mode::Values).await;
    assert_eq!(values, [json!({"x": 1, "log": []}), json!({"x": 2, "log": []})]);
}

/// `a` writes `x` twice and the log once; `b` the log alone.
fn writes_x_and_log() -> Bench {
    Lab::new("S -> a; a -> b")
        .with("a", |_, _| async { Ok(S::update().x(Some(1)).push_log("a")) })
        .app()
}

#[tokio::test]
async fn t230_output_keys_cut_values_updates_and_the_result() {
    let modes = [Mode::Values, Mode::Updates];
    let run = writes_x_and_log().run(empty()).output_keys(["x"]).stream(modes);
    let (lines, outcome) = told(run).await;
    expect![[r#"
        1 0 / values - {}
        2 1 / updates a {"a":{"x":1}}
        3 1 / values - {"x":1}
        4 2 / updates b {"b":null}
    "#]]
    .assert_eq(&lines);
    assert_eq!(outcome.unwrap().json().unwrap(), json!({"x": 1}));
    let run = writes_x_and_log().run(empty()).output_keys("x").stream(modes);
    let (lines, outcome) = told(run).await;
    expect![[r#"
        1 0 / values - null
        2 1 / updates a {"a":1}
        3 1 / values - 1
        4 2 / updates b {"b":null}
    "#]]
    .assert_eq(&lines);
    assert_eq!(outcome.unwrap().json().unwrap(), json!(1));
    let outcome = writes_x_and_log().run(empty()).output_keys("log").invoke().await.unwrap();
    assert_eq!(outcome.json().unwrap(), json!(["a", "b"]));
    let error = writes_x_and_log().run(empty()).output_keys("y").invoke().await.unwrap_err();
    assert_eq!(error.to_string(), "output_keys: `y` is no key of the state");
}

#[tokio::test]
async fn questions_are_told_with_one_key_too() {
    let bench = || Lab::new("S -> b").with("b", asks("q", json!("go on?"))).app();
    let run = bench().run(S::update().x(Some(1))).output_keys("x").stream([Mode::Values]);
    let (lines, outcome) = told(run).await;
    expect![[r#"
        1 0 / values - 1
        2 0 / values - {"__interrupt__":[{"id":"1916b207e0fa364c59aa6cf28144917f","response_schema":null,"value":"go on?"}]}
    "#]].assert_eq(&lines);
    let shown = outcome.unwrap().json().unwrap();
    assert_eq!(shown["__interrupt__"][0]["value"], "go on?");
    assert_eq!(shown.as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn t231_several_updates_of_one_task_are_a_list_and_writes() {
    let bench = Lab::new("S -> a")
        .with("a", |_, _| async {
            let two = Step::update(S::update().push_log("1"));
            Ok(two.and(S::update().push_log("2").x(Some(2))))
        })
        .app();
    let (lines, _) = told(bench.run(empty()).stream([Mode::Updates, Mode::Tasks])).await;
    expect![[r#"
        1 1 / tasks a {"id":"eea6cd5e-bd0c-3372-be91-4d60e36be002","input":{"log":[]},"metadata":{},"name":"a","triggers":["branch:to:a"]}
        2 1 / updates a {"a":[{"log":["1"]},{"log":["2"],"x":2}]}
        3 1 / tasks a {"error":null,"id":"eea6cd5e-bd0c-3372-be91-4d60e36be002","interrupts":[],"name":"a","result":{"log":{"$writes":[["1"],["2"]]},"x":2}}
    "#]].assert_eq(&lines);
}

#[derive(State)]
struct Account {
    #[state(sensitive)]
    secret: String,
    #[state(append, sensitive)]
    keys: Vec<String>,
    name: String,
}

#[tokio::test]
async fn a_sensitive_key_is_shown_in_no_stream_and_kept_everywhere_else() {
    let mut graph = Graph::<Account>::new("account");
    graph.node("a", |state: View<Account>, _: Ctx| async move {
        assert_eq!(*state.secret, "swordfish");
        Ok(Account::update().push_keys("swordfish-2").name("Ann"))
    });
    graph.edge(START, "a");
    let checkpointer = Arc::new(MemoryCheckpointer::encoding());
    let app = graph.compile().unwrap().app(()).checkpointer(checkpointer);
    let mut handle = app
        .run(Account::update().secret("swordfish").push_keys("swordfish-1"))
        .thread("t")
        .stream(Mode::ALL)
        .start()
        .unwrap();
    let mut shown = 0;
    while let Some(event) = handle.next().await {
        let text = event.data().to_string();
        assert!(!text.contains("swordfish"), "{text}");
        shown += text.matches(REDACTED).count();
    }
    assert!(shown > 5, "keys are redacted, not left out");
    let outcome = handle.finish().await.unwrap();
    assert_eq!(outcome.json().unwrap()["secret"], "swordfish");
    assert_eq!(app.state("t").await.unwrap().state().keys.len(), 2);
}

#[tokio::test]
async fn with_exit_durability_only_stored_checkpoints_are_told() {
    let bench = Lab::new("S -> a; a -> b; b -> c").app();
    let run = bench.run(empty()).durability(Durability::Exit).stream([Mode::Checkpoints]);
    let mut handle = run.start().unwrap();
    let mut told = Vec::new();
    while let Some(event) = handle.next().await {
        told.push(event.data());
    }
    let id = handle.finish().await.unwrap().checkpoint.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["config"]["configurable"]["checkpoint_id"], id.to_string());
    assert_eq!(told[0]["values"], json!({"log": ["a", "b", "c"]}));
}

#[tokio::test]
async fn checkpoints_are_told_at_breakpoints_and_at_the_recursion_limit() {
    for stop in ["before", "after", "limit"] {
        let bench = Lab::new("S -> a; a -> b").app();
        let run = bench.run(empty()).stream([Mode::Checkpoints]);
        let run = match stop {
            "before" => run.break_before(at(&["b"])),
            "after" => run.break_after(at(&["a"])),
            _ => run.recursion_limit(1),
        };
        let mut handle = run.start().unwrap();
        let mut steps = Vec::new();
        while let Some(event) = handle.next().await {
            let data = event.data();
            steps.push((event.step, data["next"].to_string()));
        }
        let _ = handle.finish().await;
        let expected = [(-1, r#"["__start__"]"#), (0, r#"["a"]"#), (1, r#"["b"]"#)];
        assert_eq!(steps, expected.map(|(step, next)| (step, next.to_owned())), "{stop}");
    }
}

#[tokio::test]
async fn a_run_without_checkpointer_tells_tasks_but_no_checkpoints() {
    let bench = Bench::unsaved(&Lab::new("S -> a").compile());
    let (lines, _) = told(bench.run(empty()).stream([Mode::Debug, Mode::Checkpoints])).await;
    let kinds: Vec<&str> = lines.lines().map(|l| l.split(' ').nth(3).unwrap()).collect();
    assert_eq!(kinds, ["debug", "debug"]);
}

#[tokio::test]
async fn t235_a_slow_reader_holds_the_run_back_and_gets_everything() {
    const TOKENS: usize = 10_000;
    static SENT: AtomicUsize = AtomicUsize::new(0);
    let bench = Lab::new("S -> a")
        .with("a", |_, ctx| async move {
            for number in 0..TOKENS {
                ctx.emit(&number).await?;
                SENT.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        })
        .app();
    let mut handle =
        bench.run(empty()).stream([Mode::Custom, Mode::Values, Mode::Updates]).start().unwrap();
    let mut got = Vec::new();
    let mut others = Vec::new();
    while let Some(event) = handle.next().await {
        // Whatever the runtime does, the run is never further ahead than its buffer.
        let ahead = SENT.load(Ordering::SeqCst).saturating_sub(got.len());
        assert!(ahead <= EVENT_BUFFER, "{ahead} events are held");
        match event.mode {
            Mode::Custom => got.push(event.data().as_u64().unwrap() as usize),
            mode => others.push(mode),
        }
        if event.seq % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(got, (0..TOKENS).collect::<Vec<_>>());
    assert_eq!(others, [Mode::Values, Mode::Updates]);
    handle.finish().await.unwrap();
}

#[tokio::test]
async fn tokens_of_one_message_may_be_merged_instead_and_nothing_is_lost() {
    const TOKENS: usize = 10_000;
    static FINISHED: AtomicUsize = AtomicUsize::new(0);
    let bench = Lab::new("S -> a; a -> b")
        .with("a", |_, ctx| async move {
            let say = async |id: &str, text: &str| {
                let chunk = json!({
                    "type": "AIMessageChunk", "id": id, "content": text,
                    "tool_call_chunks": [], "chunk_position": null,
                });
                ctx.message(&chunk, &Map::new()).await
            };
            for number in 0..TOKENS {
                say("m1", &format!("{number} ")).await?;
                if number % 1000 == 0 {
                    say("m2", &format!("{number} ")).await?;
                }
            }
            FINISHED.store(1, Ordering::SeqCst);
            ctx.emit("said").await?;
            Ok(())
        })
        .app();
    let modes = [Mode::Messages, Mode::Custom, Mode::Values, Mode::Updates];
    let run = bench.run(empty()).stream(modes).merge_tokens();
    let mut handle = run.start().unwrap();
    // The model is not held up, though nobody reads.
    while FINISHED.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let (mut texts, mut others) = (BTreeMap::<String, String>::new(), Vec::new());
    while let Some(event) = handle.next().await {
        assert!(event.seq < 2 * EVENT_BUFFER as u64, "tokens were merged");
        let data = event.data();
        match event.mode {
            Mode::Messages => {
                let text = texts.entry(data[0]["id"].as_str().unwrap().to_owned()).or_default();
                text.push_str(data[0]["content"].as_str().unwrap());
                assert!(others.is_empty() || others == [Mode::Values]);
            }
            mode => others.push(mode),
        }
    }
    let all = |step: usize| {
        (0..TOKENS).step_by(step).fold(String::new(), |mut text, number| {
            write!(text, "{number} ").unwrap();
            text
        })
    };
    assert_eq!(texts, [("m1".to_owned(), all(1)), ("m2".to_owned(), all(1000))].into());
    let state = [Mode::Values, Mode::Custom, Mode::Updates, Mode::Updates, Mode::Values];
    assert_eq!(others, state);
    handle.finish().await.unwrap();
}

#[tokio::test]
async fn a_run_whose_handle_is_dropped_ends() {
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let bench = Lab::new("S -> a")
        .with("a", move |_, _| {
            let held = Arc::clone(&held);
            async move {
                std::future::pending::<()>().await;
                drop(held);
                Ok(())
            }
        })
        .app();
    let handle = bench.run(empty()).stream([Mode::Values]).start().unwrap();
    while Arc::strong_count(&alive) < 3 {
        tokio::task::yield_now().await;
    }
    drop(handle);
    while Arc::strong_count(&alive) > 2 {
        tokio::task::yield_now().await;
    }
}
