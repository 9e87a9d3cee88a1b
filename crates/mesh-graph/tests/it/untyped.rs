//! Graphs over a state that is described by a value: what is theirs alone. That they run as typed
//! graphs do is in `fronts`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use mesh_graph::{
    App, Breakpoints, Command, Compiled, Ctx, Error, FailureKind, Goto, Graph, JsonStep, JsonView,
    Key, Keys, MemoryCheckpointer, Mistake, Mode, NodeResult, Patch, Resume, START, Send, Untyped,
    channel::Managed, env::CountingEnv,
};
use serde_json::{Value as Json, json};

/// What nodes saw, in order.
type Seen = Arc<Mutex<Vec<Json>>>;

fn keys() -> Keys {
    Keys::new().key(Key::new("x")).key(Key::new("log").append())
}

/// A graph of one node that returns `step`.
fn returning(step: impl Fn() -> JsonStep + std::marker::Send + Sync + 'static) -> App<Untyped> {
    let mut graph = Graph::<Untyped>::untyped("one", keys());
    graph.node_json("a", move |_, _: Ctx| {
        let step = step();
        async move { Ok(step) }
    });
    graph.node_json("b", |_, _: Ctx| async { Ok(json!({"log": ["b"]})) });
    graph.edge(START, "a");
    ready(&graph.compile().unwrap())
}

fn ready(graph: &Compiled<Untyped>) -> App<Untyped> {
    graph
        .app(())
        .checkpointer(Arc::new(MemoryCheckpointer::encoding()))
        .env(Arc::new(CountingEnv::default()))
}

async fn state_after(app: &App<Untyped>, input: Json) -> Result<Json, Error> {
    Ok(app.run_json(input).thread("t").invoke().await?.json().unwrap())
}

fn mistakes(build: impl FnOnce(&mut Graph<Untyped>)) -> Vec<String> {
    let mut graph = Graph::<Untyped>::untyped("wrong", keys());
    graph.node_json("a", |_, _: Ctx| async { Ok(()) });
    graph.edge(START, "a");
    build(&mut graph);
    let error = graph.compile().err().expect("the graph is wrong");
    error.mistakes.iter().map(Mistake::to_string).collect()
}

#[tokio::test]
async fn t041_what_is_no_object_is_no_update() {
    let nested = || JsonStep::List(vec![JsonStep::List(Vec::new()), Command::default().into()]);
    let answer = || Command { resume: Some(Resume::Only(json!(1))), ..Command::default() };
    let wrong: [fn() -> JsonStep; 9] = [
        || json!(5).into(),
        || json!("x").into(),
        || json!([1]).into(),
        || json!([{"x": 1}]).into(),
        || json!([["x", 1]]).into(),
        || vec![json!({"x": 1})].into(),
        || vec![JsonStep::from(json!(1)), Command::default().into()].into(),
        || Command { update: Some(json!(5)), ..Command::default() }.into(),
        || Command { update: Some(json!([["x"]])), ..Command::default() }.into(),
    ];
    let steps = wrong.into_iter().map(|step| step()).chain([nested(), answer().into()]);
    for step in steps {
        let shown = format!("{step:?}");
        let step = Mutex::new(Some(step));
        let app = returning(move || step.lock().unwrap().take().unwrap());
        let error = state_after(&app, json!({})).await.unwrap_err();
        assert_eq!(error.failure_kind(), Some(&FailureKind::InvalidUpdate), "{shown}: {error}");
        assert_eq!(app.state("t").await.unwrap().next, ["a"], "{shown}");
    }
}

#[tokio::test]
async fn t035_nobody_can_write_to_a_join_and_the_thread_stays_readable() {
    let mut graph = Graph::<Untyped>::untyped("joined", keys());
    graph.node_json("a", |_, _: Ctx| async { Ok(json!({"log": ["a"]})) });
    graph.node_json("b", |_, _: Ctx| async {
        // A join is no channel, so nothing can be made to arrive at it.
        Ok(json!({"join:a+b:j": "c"}))
    });
    graph.node_json("j", |_, _: Ctx| async { Ok(json!({"log": ["j"]})) });
    graph.edge(START, "a").edge(START, "b").join(["a", "b"], "j");
    let app = ready(&graph.compile().unwrap());
    let error = state_after(&app, json!({})).await.unwrap_err();
    let unknown = FailureKind::UnknownKey { key: "join:a+b:j".into() };
    assert_eq!(error.failure_kind(), Some(&unknown));
    let state = app.state("t").await.unwrap();
    assert_eq!(
        (&state.next[..], state.json().unwrap()),
        (&["b".to_owned()][..], json!({"log": ["a"]}))
    );
    // Nor from outside.
    let patch = Patch::values(json!({"join:a+b:j": ["a", "c"]})).as_node("b");
    let error = app.update_state("t", patch).await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&unknown));
    app.update_state("t", Patch::values(json!({"log": ["b"]})).as_node("b")).await.unwrap();
    let outcome = app.resume().thread("t").invoke().await.unwrap();
    assert_eq!(outcome.json().unwrap(), json!({"log": ["a", "b", "j"]}));
}

type Form = Box<dyn Fn() -> JsonStep + std::marker::Send + Sync>;

#[tokio::test]
async fn every_form_of_a_result_is_understood() {
    let update = |update: Json| Command { update: Some(update), ..Command::default() };
    let goto = || Command { goto: vec![Goto::from("b")], ..Command::default() };
    let send = |x: i64| Send::json("b", json!({"x": x}));
    let forms: Vec<(Form, Json)> = vec![
        (Box::new(|| ().into()), json!({"log": []})),
        (Box::new(|| json!(null).into()), json!({"log": []})),
        (Box::new(|| json!({"x": 1}).into()), json!({"x": 1, "log": []})),
        (Box::new(|| json!({"x": null}).into()), json!({"x": null, "log": []})),
        (Box::new(move || update(json!({"x": 1})).into()), json!({"x": 1, "log": []})),
        (
            Box::new(move || update(json!([["log", ["p"]], ["log", ["q"]], ["x", 2]])).into()),
            json!({"x": 2, "log": ["p", "q"]}),
        ),
        (Box::new(move || goto().into()), json!({"log": ["b"]})),
        (Box::new(move || send(1).into()), json!({"log": ["b"]})),
        (Box::new(move || vec![send(1), send(2)].into()), json!({"log": ["b", "b"]})),
        (Box::new(|| Vec::<Send>::new().into()), json!({"log": []})),
        (
            Box::new(move || {
                let first = update(json!({"log": ["c"]})).into();
                JsonStep::List(vec![first, json!({"log": ["o"]}).into(), goto().into()])
            }),
            json!({"log": ["c", "o", "b"]}),
        ),
        (Box::new(|| json!({"log": {"__overwrite__": ["only"]}}).into()), json!({"log": ["only"]})),
    ];
    for (position, (form, expected)) in forms.into_iter().enumerate() {
        let app = returning(form);
        assert_eq!(state_after(&app, json!({})).await.unwrap(), expected, "form {position}");
    }
}

#[tokio::test]
async fn a_list_of_updates_is_streamed_as_a_list() {
    let app = returning(|| {
        let update = Command { update: Some(json!({"x": 1})), ..Command::default() };
        JsonStep::List(vec![update.into(), json!({"log": ["o"]}).into()])
    });
    let mut run = app.run_json(json!({})).thread("t").stream([Mode::Updates]).start().unwrap();
    let first = run.next().await.unwrap().data();
    assert_eq!(first, json!({"a": [{"x": 1}, {"log": ["o"]}]}));
    run.finish().await.unwrap();
}

#[tokio::test]
async fn an_unknown_key_of_a_result_is_an_error() {
    let app = returning(|| json!({"zzz": 1}).into());
    let error = state_after(&app, json!({})).await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::UnknownKey { key: "zzz".into() }));
    let app = returning(|| json!({"log": "no list"}).into());
    let error = state_after(&app, json!({})).await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::BadValue { key: "log".into() }));
    assert!(error.to_string().contains("expected a list: found a string"), "{error}");
}

#[tokio::test]
async fn a_command_to_the_parent_has_none_at_the_root() {
    let app = returning(|| Command { to_parent: true, ..Command::default() }.into());
    let error = state_after(&app, json!({})).await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::NoParent));
}

async fn sees(state: JsonView, ctx: Ctx<Seen>) -> NodeResult<()> {
    ctx.deps().lock().unwrap().push(state.to_json());
    Ok(())
}

#[tokio::test]
async fn a_node_reads_the_keys_it_names_and_private_ones_stay_inside() {
    let mut graph = Graph::<Untyped, Seen>::untyped(
        "secretive",
        Keys::new()
            .key(Key::new("q").input_only())
            .key(Key::new("a").output_only())
            .key(Key::new("mid").private()),
    );
    graph.keys(Keys::from_iter([Key::new("secret").private()]));
    graph.node_json_reading("n1", ["q"], |state: JsonView, ctx: Ctx<Seen>| async move {
        ctx.deps().lock().unwrap().push(state.to_json());
        Ok(json!({"secret": "s", "mid": "m"}))
    });
    graph.node_json_reading("n2", ["secret"], sees);
    graph.node_json_reading("n3", ["q", "a", "mid"], |state: JsonView, ctx| async move {
        sees(state, ctx).await?;
        Ok(json!({"a": "done"}))
    });
    graph.sequence([START, "n1", "n2", "n3"]);
    let seen = Seen::default();
    let app = graph.compile().unwrap().app(Arc::clone(&seen));
    let app = app.checkpointer(Arc::new(MemoryCheckpointer::encoding()));
    let outcome = app.run_json(json!({"q": "why"})).thread("t").invoke().await.unwrap();
    assert_eq!(outcome.json().unwrap(), json!({"a": "done"}));
    assert_eq!(
        *seen.lock().unwrap(),
        [json!({"q": "why"}), json!({"secret": "s"}), json!({"q": "why", "mid": "m"})]
    );
    let whole = json!({"q": "why", "a": "done", "mid": "m", "secret": "s"});
    assert_eq!(app.state("t").await.unwrap().json().unwrap(), whole);
    let properties = |schema: Json| schema["properties"].as_object().unwrap().len();
    assert_eq!((properties(app.input_schema()), properties(app.output_schema())), (1, 1));
    let error = app.run_json(json!({"secret": 1})).thread("t").invoke().await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::UnknownKey { key: "secret".into() }));
}

#[test]
fn two_schemas_may_not_contradict_each_other() {
    let twice = mistakes(|graph| {
        graph.keys(Keys::new().key(Key::new("log").merge()).key(Key::new("log")));
    });
    assert_eq!(twice.len(), 1);
    assert!(twice[0].starts_with("key `log` is declared twice"), "{twice:?}");
    let functions = mistakes(|graph| {
        let longest =
            |a: Json, b: Json| if a.to_string().len() > b.to_string().len() { a } else { b };
        graph.keys(Keys::new().key(Key::new("y").reduce(longest)));
        graph.keys(Keys::new().key(Key::new("y").reduce(|_, b| b)));
    });
    assert!(functions[0].starts_with("key `y` is declared twice"), "{functions:?}");
}

#[tokio::test]
async fn a_plain_key_takes_the_rule_it_has_elsewhere() {
    let mut graph = Graph::<Untyped>::untyped("wins", Keys::from_iter([Key::new("log")]));
    graph.keys(keys()).keys(Keys::from_iter([Key::new("log"), Key::new("log").append()]));
    for name in ["a", "b"] {
        graph.node_json(name, move |_, _: Ctx| async move { Ok(json!({"log": [name]})) });
        graph.edge(START, name);
    }
    let app = ready(&graph.compile().unwrap());
    assert_eq!(state_after(&app, json!({})).await.unwrap(), json!({"log": ["a", "b"]}));
}

#[test]
fn t013_a_managed_key_is_no_part_of_input_or_output() {
    let left = || Key::new("left").managed(Managed::RemainingSteps);
    for key in [left(), left().input_only(), left().output_only()] {
        let found = mistakes(|graph| {
            graph.keys(Keys::from_iter([key]));
        });
        let expected = "key `left` is managed and cannot be part of the input or the output";
        assert_eq!(found, [expected]);
    }
}

#[test]
fn wrong_keys_are_named_with_what_is_wrong() {
    let found = mistakes(|graph| {
        graph.keys(
            Keys::new()
                .define("longest", |a, _| a)
                .key(Key::new(""))
                .key(Key::new("__interrupt__"))
                .key(Key::new("|made|"))
                .key(Key::new("r").reducer("shortest"))
                .key(Key::new("s").schema(json!({"type": 5})))
                .key(Key::new("d").append().default(json!("no list")))
                .key(Key::new("e").ephemeral().default(json!(1))),
        );
        graph.node_json_reading("n", ["zzz"], |_, _: Ctx| async { Ok(()) });
    });
    let starts = [
        "key `` cannot be the name of a key",
        "key `__interrupt__` cannot be the name of a key",
        "key `|made|` cannot be the name of a key",
        "key `r` names the reducer `shortest`; the reducers are append, merge, add, longest",
        "key `s` has no valid JSON Schema: ",
        "key `d` has a default that is wrong: expected a list: found a string",
        "key `e` has a default, but does not keep its value",
        "node `n` names the key `zzz`, which the state does not have",
    ];
    assert_eq!(found.len(), starts.len(), "{found:?}");
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found}");
    }
}

#[tokio::test]
async fn reducers_start_from_their_empty_value_a_default_or_the_first_write() {
    let joined =
        |a: Json, b: Json| json!(format!("{}{}", a.as_str().unwrap(), b.as_str().unwrap()));
    let mut graph = Graph::<Untyped, Seen>::untyped(
        "reduced",
        Keys::new()
            .define("joined", joined)
            .key(Key::new("list").append())
            .key(Key::new("map").reducer("merge"))
            .key(Key::new("sum").add())
            .key(Key::new("raw").reducer("joined"))
            .key(Key::new("given").reduce(joined).default(json!("<")))
            .key(Key::new("last").default(json!("l")))
            .key(Key::new("absent")),
    );
    graph.node_json("a", sees);
    let write = |_: JsonView, _: Ctx<Seen>| async {
        Ok(json!({"raw": "r", "given": "g", "sum": 1.5, "map": {"k": 1}, "list": [1]}))
    };
    graph.node_json("b", write);
    graph.node_json("c", write);
    graph.sequence([START, "a", "b", "c"]);
    let seen = Seen::default();
    let app = graph.compile().unwrap().app(Arc::clone(&seen));
    let outcome = app.run_json(json!({"sum": 2})).invoke().await.unwrap();
    let start = json!({"list": [], "map": {}, "sum": 2, "given": "<", "last": "l"});
    assert_eq!(*seen.lock().unwrap(), [start]);
    assert_eq!(
        outcome.json().unwrap(),
        json!({"list": [1, 1], "map": {"k": 1}, "sum": 5.0, "raw": "rr", "given": "<gg", "last": "l"})
    );
}

#[tokio::test]
async fn a_value_has_to_fit_the_schema_of_its_key() {
    let number = json!({"type": "integer"});
    let keys = Keys::new()
        .key(Key::new("n").schema(number.clone()))
        .key(Key::new("t").accumulating_topic().schema(number));
    let mut graph = Graph::<Untyped>::untyped("checked", keys);
    graph.node_json(
        "a",
        |state: JsonView, _: Ctx| async move { Ok(json!({"t": state["n"].clone()})) },
    );
    graph.edge(START, "a");
    let app = ready(&graph.compile().unwrap());
    assert_eq!(state_after(&app, json!({"n": 1})).await.unwrap(), json!({"n": 1, "t": [1]}));
    assert_eq!(app.input_schema()["properties"]["t"]["items"]["type"], "integer");
    for wrong in [json!({"n": "one"}), json!({"t": [1, "one"]}), json!({"n": null})] {
        let error = state_after(&app, wrong).await.unwrap_err();
        let kind = error.failure_kind();
        assert!(matches!(kind, Some(FailureKind::BadValue { .. })), "{error}");
        assert!(error.to_string().contains("JSON Schema"), "{error}");
    }
    // A node that copies what it was not given writes null, which does not fit either.
    let error = app.run_json(json!({})).thread("new").invoke().await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::BadValue { key: "t".into() }));
}

#[tokio::test]
async fn channels_of_every_kind_live_as_long_as_they_should() {
    let mut graph = Graph::<Untyped, Seen>::untyped(
        "kinds",
        Keys::new()
            .key(Key::new("e").ephemeral())
            .key(Key::new("t").topic())
            .key(Key::new("ta").accumulating_topic())
            .key(Key::new("u").untracked())
            .key(Key::new("av").any()),
    );
    let writes = |av: i64| {
        move |_: JsonView, _: Ctx<Seen>| async move {
            Ok(if av == 1 {
                json!({"e": 1, "t": "x", "ta": "x", "u": 1, "av": 1})
            } else {
                json!({"av": av})
            })
        }
    };
    graph.node_json("a", writes(1));
    graph.node_json("a2", writes(2));
    graph.node_json("b", |state: JsonView, ctx: Ctx<Seen>| async move {
        sees(state, ctx).await?;
        Ok(json!({"ta": ["y", "z"]}))
    });
    graph.node_json("c", sees);
    graph.edge(START, "a").edge(START, "a2").sequence(["a", "b", "c"]);
    let seen = Seen::default();
    let app = graph.compile().unwrap().app(Arc::clone(&seen));
    let app = app.checkpointer(Arc::new(MemoryCheckpointer::encoding()));
    app.run_json(json!({})).thread("t").invoke().await.unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [
            json!({"e": 1, "t": ["x"], "ta": ["x"], "u": 1, "av": 2}),
            json!({"ta": ["x", "y", "z"], "u": 1})
        ]
    );
    let stored = app.state("t").await.unwrap().json().unwrap();
    assert_eq!(stored, json!({"ta": ["x", "y", "z"]}));
}

#[tokio::test]
async fn a_guarded_key_takes_one_write_and_an_unguarded_one_the_last() {
    let conflict = |key: Key| async {
        let mut graph = Graph::<Untyped>::untyped("guarded", Keys::from_iter([key]));
        for name in ["a", "b"] {
            graph.node_json(name, move |_, _: Ctx| async move { Ok(json!({"k": name})) });
            graph.edge(START, name);
        }
        state_after(&ready(&graph.compile().unwrap()), json!({})).await
    };
    for guarded in [Key::new("k").ephemeral(), Key::new("k").untracked(), Key::new("k")] {
        let error = conflict(guarded).await.unwrap_err();
        let kind = error.failure_kind();
        assert!(matches!(kind, Some(FailureKind::ConcurrentUpdate { .. })), "{error}");
    }
    for open in [Key::new("k").ephemeral().unguarded(), Key::new("k").untracked().unguarded()] {
        assert_eq!(conflict(open).await.unwrap(), json!({"k": "b"}));
    }
}

#[tokio::test]
async fn managed_keys_are_read_by_nodes_and_routers_and_ignore_writes() {
    let keys = Keys::new()
        .key(Key::new("left").managed(Managed::RemainingSteps).private())
        .key(Key::new("last").managed(Managed::IsLastStep).private())
        .key(Key::new("log").append());
    let mut graph = Graph::<Untyped>::untyped("counted", keys);
    graph.node_json("a", |state: JsonView, _: Ctx| async move {
        Ok(json!({"left": 99, "log": [state["left"].clone(), state["last"].clone()]}))
    });
    graph.edge(START, "a");
    graph.route_json("a", |state| if state["last"] == true { mesh_graph::END } else { "a" });
    let app = graph.compile().unwrap().app(());
    let run = app.run_json(json!({"left": 5})).recursion_limit(2);
    let outcome = run.invoke().await.unwrap();
    assert_eq!(outcome.json().unwrap(), json!({"log": [2, false, 1, true]}));
}

#[tokio::test]
async fn an_argument_is_seen_as_it_was_sent_and_stored_without_untracked_keys() {
    let mut graph = Graph::<Untyped, Seen>::untyped(
        "sends",
        Keys::new().key(Key::new("x")).key(Key::new("token").untracked()),
    );
    graph.node_json("w", |state: JsonView, ctx: Ctx<Seen>| async move {
        assert_eq!(state.argument(), Some(&state.to_json()));
        sees(state, ctx).await
    });
    let arg = json!({"token": "secret", "x": 1, "outside": [2]});
    let sent = arg.clone();
    graph
        .route_json(START, move |_| vec![Send::json("w", sent.clone()), Send::json("w", json!(7))]);
    let seen = Seen::default();
    let app = graph.compile().unwrap().app(Arc::clone(&seen));
    let app = app.checkpointer(Arc::new(MemoryCheckpointer::encoding()));
    app.run_json(json!({"x": 0})).thread("whole").invoke().await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [arg, json!(7)]);
    // A run that stops before the sends and is loaded again has what was stored.
    seen.lock().unwrap().clear();
    let stopped = app.run_json(json!({"x": 0})).thread("t");
    stopped.break_before(Breakpoints::All).invoke().await.unwrap();
    app.resume().thread("t").invoke().await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [json!({"x": 1, "outside": [2]}), json!(7)]);
}

#[tokio::test]
async fn a_fan_out_sends_items_and_says_what_follows_none() {
    let mut graph = Graph::<Untyped>::untyped("fan", keys().key(Key::new("items")));
    graph.node_json("w", |state: JsonView, _: Ctx| async move {
        Ok(json!({"log": [state.argument().unwrap().clone()]}))
    });
    graph.node_json("none", |_, _: Ctx| async { Ok(json!({"log": ["none"]})) });
    let items = |state: &JsonView| state["items"].as_array().cloned().unwrap_or_default();
    graph.fan_out_json(START, "w", items).if_empty("none");
    let app = ready(&graph.compile().unwrap());
    for (items, log) in [(json!([1, {"a": 2}]), json!([1, {"a": 2}])), (json!([]), json!(["none"]))]
    {
        let run = app.run_json(json!({"items": items, "log": {"__overwrite__": []}}));
        assert_eq!(run.thread("t").invoke().await.unwrap().json().unwrap()["log"], log);
    }
    let unsaid = mistakes(|graph| {
        let _ = graph.fan_out_json("a", "a", |_| Vec::new());
    });
    assert_eq!(unsaid.len(), 1);
}

#[tokio::test]
async fn an_input_may_be_lenient() {
    let mut graph = Graph::<Untyped>::untyped("lenient", keys().key(Key::new("p").private()));
    graph.node_json("a", |_, _: Ctx| async { Ok(()) });
    graph.edge(START, "a").lenient_input();
    let app = ready(&graph.compile().unwrap());
    let outcome = state_after(&app, json!({"x": 1, "zzz": 2, "p": 3})).await.unwrap();
    assert_eq!(outcome, json!({"x": 1, "log": []}));
    assert_eq!(app.state("t").await.unwrap().json().unwrap().get("p"), None);
    // What is known still has to fit, and an input is still an object.
    for wrong in [json!({"log": 5}), json!(5)] {
        assert!(state_after(&app, wrong).await.is_err());
    }
    // Nodes are not lenient, and neither is a state update.
    let patch = Patch::values(json!({"zzz": 1}));
    assert!(app.update_state("t", patch).await.is_err());
}

#[tokio::test]
async fn a_view_tells_an_absent_key_from_a_null_one() {
    let view: Arc<Mutex<BTreeMap<&str, bool>>> = Arc::default();
    let kept = Arc::clone(&view);
    let mut graph = Graph::<Untyped>::untyped("nulls", keys().key(Key::new("y")));
    graph.node_json("a", move |state: JsonView, _: Ctx| {
        let known = ["x", "y", "zzz"].map(|key| (key, state.get(key).is_some()));
        kept.lock().unwrap().extend(known);
        assert!(state["x"].is_null() && state["y"].is_null() && state["zzz"].is_null());
        async { Ok(()) }
    });
    graph.edge(START, "a");
    state_after(&ready(&graph.compile().unwrap()), json!({"x": null})).await.unwrap();
    assert_eq!(*view.lock().unwrap(), [("x", true), ("y", false), ("zzz", false)].into());
}

#[test]
fn the_schema_of_a_state_says_which_keys_hold_messages_and_has_private_ones() {
    let keys = Keys::new()
        .key(Key::new("messages").append().of_messages())
        .key(Key::new("plain").append())
        .key(Key::new("own").private())
        .key(Key::new("passing").untracked());
    let mut graph = Graph::<Untyped>::untyped("keyed", keys);
    graph.node_json("n", |_, _: Ctx| async { Ok(json!({})) });
    graph.edge(START, "n");
    let schema = graph.compile().unwrap().app(()).state_schema();
    let properties = &schema["properties"];
    assert_eq!(properties["messages"]["langgraph_type"], "messages");
    assert!(properties["plain"].get("langgraph_type").is_none());
    assert!(properties["own"].is_object() || properties["own"].is_boolean());
    assert!(properties.get("passing").is_none());
}
