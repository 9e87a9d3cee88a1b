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
use mesh_graph::{EVENT_BUFFER, Graph, Mode, Outcome, Run, START};
use serde_json::{Map, Value as Json, json};

use crate::kit::{Bench, Deps, Lab, S, asks, empty, events, fails_once};

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
fn sorted(json: &Json) -> String {
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
async fn t221_values_show_the_state_after_every_step_that_changed_it() {
    expect![[r#"
        1 0 / values - {"log":[],"x":1}
        2 1 / values - {"log":["a"],"x":1}
        3 1 / values - {"__interrupt__":[{"id":"57b189d8109d1d01fbc434f1aeb04c08","response_schema":null,"value":"go on?"}],"log":["a"],"x":1}
        -- answer
        1 1 / values - {"log":["a"],"x":1}
        2 2 / values - {"log":["a","yes"],"x":1}
    "#]].assert_eq(&both_runs(Mode::Values).await);
}

#[tokio::test]
async fn t221_updates_show_every_task_and_every_question() {
    expect![[r#"
        1 1 / updates a {"a":{"log":["a"]}}
        2 2 / updates - {"__interrupt__":[{"id":"57b189d8109d1d01fbc434f1aeb04c08","response_schema":null,"value":"go on?"}]}
        -- answer
        1 2 / updates b {"b":{"log":["yes"]}}
    "#]].assert_eq(&both_runs(Mode::Updates).await);
}

#[tokio::test]
async fn t221_custom_shows_what_nodes_send() {
    expect![[r#"
        1 1 / custom a {"progress":0.5}
        -- answer
    "#]]
    .assert_eq(&both_runs(Mode::Custom).await);
}

#[tokio::test]
async fn t225_messages_come_with_the_facts_of_their_task() {
    expect![[r#"
        1 1 / messages a [{"content":"Hel","type":"ai"},{"langgraph_checkpoint_ns":"a:4a3995a6-d9b2-1acb-01b6-9764e14de959","langgraph_node":"a","langgraph_path":["__pregel_pull","a"],"langgraph_step":1,"langgraph_triggers":["branch:to:a"],"run_id":"r1","tags":["draft"]}]
        -- answer
    "#]].assert_eq(&both_runs(Mode::Messages).await);
}

#[tokio::test]
async fn t222_several_modes_share_one_numbered_stream() {
    let bench = talkative();
    let run = bench.run(S::update().x(Some(1))).stream(Mode::ALL);
    let (lines, _) = told(run).await;
    let order: Vec<String> = lines
        .lines()
        .map(|line| line.split(' ').skip(3).take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        order,
        ["values -", "custom a", "messages a", "updates a", "values -", "updates -", "values -"]
    );
}

#[tokio::test]
async fn t223_an_unknown_mode_is_named() {
    let error = "nope".parse::<Mode>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown stream mode `nope`; the modes are values, updates, custom, messages"
    );
    for mode in Mode::ALL {
        assert_eq!(mode.name().parse(), Ok(mode));
    }
}

#[tokio::test]
async fn t224_what_happened_before_an_error_is_told_before_it() {
    let lab = || Lab::new("S -> p; p -> ok, bad").with("bad", fails_once()).app();
    let (lines, outcome) = told(lab().run(empty()).stream([Mode::Updates])).await;
    expect![[r#"
        1 1 / updates p {"p":{"log":["p"]}}
        2 2 / updates ok {"ok":{"log":["ok"]}}
    "#]]
    .assert_eq(&lines);
    assert_eq!(outcome.unwrap_err().to_string(), "node `bad` failed: once");
    let (lines, outcome) = told(lab().run(empty()).stream([Mode::Values])).await;
    expect![[r#"
        1 0 / values - {"log":[]}
        2 1 / values - {"log":["p"]}
    "#]]
    .assert_eq(&lines);
    assert!(outcome.is_err());
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

#[tokio::test]
async fn t227_children_are_heard_only_when_asked_for() {
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
            // T228: the child's question is told in its own namespace and in the root's.
            expect![[r#"
                1 1 sub custom c "from the child"
                2 1 sub updates c {"c":{"log":["c"]}}
                3 2 sub updates - {"__interrupt__":[{"id":"ID","response_schema":null,"value":"child?"}]}
                4 1 / updates - {"__interrupt__":[{"id":"ID","response_schema":null,"value":"child?"}]}
                -- answer
                1 2 sub updates ask {"ask":{"log":["yes"]}}
                2 1 / updates sub {"sub":{"log":["c","yes"]}}
            "#]].assert_eq(&lines);
        } else {
            expect![[r#"
                1 1 / updates - {"__interrupt__":[{"id":"ID","response_schema":null,"value":"child?"}]}
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
