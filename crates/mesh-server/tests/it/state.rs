//! `/threads/…/state` and `/history`.

use mesh_protocol::state::{StateUpdated, ThreadState};
use serde_json::{Value as Json, json};

use crate::{idempotency::under, kept::Kept, stateful::serve};

/// A thread of a graph, with its path.
async fn thread(kept: &Kept, graph: &str) -> (String, String) {
    let body = json!({ "metadata": { "graph_id": graph } });
    let made = kept.post("/threads", body).await.good();
    let id = made["thread_id"].as_str().unwrap().to_owned();
    let path = format!("/threads/{id}");
    (id, path)
}

/// The state at a path: it has exactly the members of a state.
async fn state(kept: &Kept, path: &str) -> Json {
    exact(kept.get(path).await.good())
}

fn exact(state: Json) -> Json {
    let read: ThreadState = serde_json::from_value(state.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), state);
    state
}

async fn history(kept: &Kept, path: &str) -> Vec<Json> {
    let states = kept.get(&format!("{path}/history?limit=100")).await.good();
    states.as_array().unwrap().iter().cloned().map(exact).collect()
}

/// Changes the state, which works, and gives the id of the new checkpoint.
async fn update(kept: &Kept, path: &str, body: Json) -> String {
    let made = kept.post(&format!("{path}/state"), body).await.good();
    let read: StateUpdated = serde_json::from_value(made.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), made);
    assert_eq!(read.checkpoint, read.configurable);
    assert_eq!(read.checkpoint.checkpoint_id, read.checkpoint_id);
    read.checkpoint_id
}

fn empty() -> Json {
    json!({
        "values": {}, "next": [], "tasks": [], "metadata": null, "created_at": null,
        "checkpoint": null, "parent_checkpoint": null, "interrupts": [], "checkpoint_id": null,
        "parent_checkpoint_id": null,
    })
}

#[tokio::test]
async fn a_thread_without_checkpoints_has_an_empty_state() {
    let kept = serve().await;
    let (id, path) = thread(&kept, "chain").await;
    let bare = kept.post("/threads", json!({})).await.good();
    let bare = format!("/threads/{}", bare["thread_id"].as_str().unwrap());
    for path in [&path, &bare] {
        assert_eq!(state(&kept, &format!("{path}/state")).await, empty());
        assert_eq!(kept.get(&format!("{path}/history")).await.good(), json!([]));
        assert_eq!(kept.post(&format!("{path}/history"), json!({})).await.good(), json!([]));
    }
    for unknown in ["1f1e0000-0000-6000-8000-000000000000", "nothing"] {
        let checkpoint = json!({ "thread_id": id, "checkpoint_ns": "", "checkpoint_id": unknown });
        let mut wanted = empty();
        wanted["checkpoint"] = checkpoint.clone();
        wanted["checkpoint_id"] = unknown.into();
        assert_eq!(state(&kept, &format!("{path}/state/{unknown}")).await, wanted);
        let asked = json!({ "checkpoint": checkpoint });
        let posted = kept.post(&format!("{path}/state/checkpoint"), asked).await.good();
        assert_eq!(exact(posted), wanted);
    }
}

#[tokio::test]
async fn a_state_shows_values_tasks_and_where_it_comes_from() {
    let kept = serve().await;
    let (id, path) = thread(&kept, "chain").await;
    let first =
        update(&kept, &path, json!({ "values": { "topic": "t" }, "as_node": "__input__" })).await;
    let second = update(&kept, &path, json!({ "values": { "log": ["x"] }, "as_node": "a" })).await;
    let shown = state(&kept, &format!("{path}/state")).await;
    let checkpoint =
        |id_of: &str| json!({ "thread_id": id, "checkpoint_ns": "", "checkpoint_id": id_of });
    let created = shown["created_at"].as_str().unwrap();
    assert!(created.ends_with("+00:00"), "{created}");
    let task = &shown["tasks"][0];
    assert_eq!(
        shown,
        json!({
            "values": { "log": ["x"] },
            "next": ["b"],
            "tasks": [{
                "id": task["id"], "name": "b", "path": ["__pregel_pull", "b"], "error": null,
                "interrupts": [], "checkpoint": null, "state": null, "result": null,
            }],
            "metadata": { "thread_id": id, "source": "update", "step": 0, "parents": {} },
            "created_at": created,
            "checkpoint": checkpoint(&second),
            "parent_checkpoint": checkpoint(&first),
            "interrupts": [],
            "checkpoint_id": second,
            "parent_checkpoint_id": first,
        })
    );
    let before = state(&kept, &format!("{path}/state/{first}")).await;
    assert_eq!(before["next"], json!(["__start__"]));
    assert_eq!(before["metadata"]["source"], "input");
    assert_eq!(before["metadata"]["step"], -1);
    assert_eq!(before["parent_checkpoint"], Json::Null);
    let named = json!({ "checkpoint": checkpoint(&first) });
    let posted = kept.post(&format!("{path}/state/checkpoint"), named).await.good();
    assert_eq!(posted, before);
    // What clients send for the newest one.
    for latest in [json!({}), json!({ "checkpoint": { "thread_id": id, "checkpoint_map": null } })]
    {
        let posted = kept.post(&format!("{path}/state/checkpoint"), latest).await.good();
        assert_eq!(posted, shown);
    }
}

#[tokio::test]
async fn a_state_in_the_past_shows_what_its_tasks_gave() {
    let kept = serve().await;
    let (id, path) = thread(&kept, "chain").await;
    kept.run("chain", &id, json!({ "topic": "t" })).await;
    let history = history(&kept, &path).await;
    let steps: Vec<(&Json, &Json, &Json)> = history
        .iter()
        .map(|state| {
            (&state["metadata"]["step"], &state["metadata"]["source"], &state["tasks"][0]["result"])
        })
        .collect();
    let (a, b) = (json!({ "log": ["a"] }), json!({ "log": ["b"] }));
    let input = json!({ "topic": "t" });
    assert_eq!(
        steps,
        [
            (&json!(2), &json!("loop"), &Json::Null),
            (&json!(1), &json!("loop"), &b),
            (&json!(0), &json!("loop"), &a),
            (&json!(-1), &json!("input"), &input),
        ]
    );
    assert_eq!(history[3]["values"], json!({ "log": [] }));
}

#[tokio::test]
async fn a_question_is_at_its_task_at_the_top_and_on_the_thread() {
    let kept = serve().await;
    let (id, path) = thread(&kept, "asking").await;
    kept.run("asking", &id, json!({ "topic": "t" })).await;
    let shown = state(&kept, &format!("{path}/state")).await;
    let asked = &shown["tasks"][0]["interrupts"];
    let question = asked[0]["id"].as_str().unwrap();
    assert_eq!(question.len(), 32);
    assert_eq!(*asked, json!([{ "id": question, "value": { "really": "?" } }]));
    assert_eq!(shown["interrupts"], *asked);
    // A change that leaves the task as it is.
    update(&kept, &path, json!({ "values": { "topic": "u" }, "as_node": "__start__" })).await;
    let thread = kept.get(&path).await.good();
    assert_eq!(thread["status"], "interrupted");
    kept.run("asking", &id, Json::Null).await;
    let values = kept.answer("asking", &id, json!("yes")).await;
    assert_eq!(values["log"], json!(["\"yes\""]));
    let answered = history(&kept, &path).await;
    assert_eq!(answered[0]["interrupts"], json!([]));
    assert_eq!(answered[1]["tasks"][0]["result"], json!({ "log": ["\"yes\""] }));
}

#[tokio::test]
async fn an_answer_that_does_not_fit_its_question_is_refused_and_the_question_stays() {
    let kept = serve().await;
    let (_, path) = thread(&kept, "exacting").await;
    let runs = format!("{path}/runs/wait");
    let run = |body: Json| kept.post(&runs, body);
    run(json!({ "assistant_id": "exacting", "input": { "topic": "t" } })).await.good();
    let asked = state(&kept, &format!("{path}/state")).await["interrupts"][0].clone();
    let day = &asked["response_schema"]["properties"]["day"];
    assert_eq!(*day, json!({ "type": "string", "format": "date" }));
    let question = asked["id"].as_str().unwrap();
    let answer =
        |resume: Json| run(json!({ "assistant_id": "exacting", "command": { "resume": resume } }));
    for (resume, pointer) in [
        (json!({ "day": "tomorrow" }), "/command/resume/day".to_owned()),
        (json!({}), "/command/resume".to_owned()),
        (json!({ question: { "day": 1 } }), format!("/command/resume/{question}/day")),
    ] {
        let refused = answer(resume).await;
        assert_eq!((refused.status, refused.json()["pointer"].as_str()), (422, Some(&*pointer)));
    }
    assert_eq!(kept.get(&path).await.good()["status"], "interrupted");
    assert_eq!(kept.get(&format!("{path}/runs")).await.good().as_array().unwrap().len(), 1);
    let done = answer(json!({ question: { "day": "2026-03-31" } })).await.good();
    assert_eq!(done["log"], json!([r#"{"day":"2026-03-31"}"#]));
}

#[tokio::test]
async fn an_error_is_shown_at_its_task_by_name_and_message() {
    let kept = serve().await;
    let (id, path) = thread(&kept, "failing").await;
    kept.run("failing", &id, json!({ "topic": "t" })).await;
    let shown = state(&kept, &format!("{path}/state")).await;
    assert_eq!(shown["next"], json!(["fail"]));
    assert_eq!(shown["tasks"][0]["error"], "CustomError('Boo!')");
}

#[tokio::test]
async fn tasks_of_their_own_have_their_index_and_finished_ones_their_result() {
    let kept = serve().await;
    let (id, path) = thread(&kept, "fan").await;
    kept.run("fan", &id, json!({ "topic": "t" })).await;
    let shown = state(&kept, &format!("{path}/state")).await;
    let tasks = shown["tasks"].as_array().unwrap();
    let paths: Vec<&Json> = tasks.iter().map(|task| &task["path"]).collect();
    assert_eq!(paths, [&json!(["__pregel_push", 0]), &json!(["__pregel_push", 1])]);
    assert_eq!(tasks[0]["result"], json!({ "log": ["one"] }));
    assert_eq!(tasks[1]["interrupts"][0]["value"], "two?");
    assert_eq!(shown["next"], json!(["work"]));
    assert_eq!(shown["values"]["log"], json!(["one"]));
}

#[tokio::test]
async fn the_state_of_a_mounted_graph_is_in_its_task_or_at_its_namespace() {
    let kept = serve().await;
    let (id, path) = thread(&kept, "nested").await;
    kept.run("nested", &id, json!({ "topic": "t" })).await;
    let flat = state(&kept, &format!("{path}/state")).await;
    let task = &flat["tasks"][0];
    let ns = format!("sub:{}", task["id"].as_str().unwrap());
    assert_eq!(task["checkpoint"], json!({ "thread_id": id, "checkpoint_ns": ns }));
    assert_eq!(task["state"], Json::Null);
    assert_eq!(task["interrupts"][0]["value"], "below?");

    let deep = state(&kept, &format!("{path}/state?subgraphs=True")).await;
    let below = &deep["tasks"][0]["state"];
    assert_eq!(deep["tasks"][0]["checkpoint"], Json::Null);
    assert_eq!(below["next"], json!(["below"]));
    assert_eq!(below["tasks"][0]["interrupts"], flat["interrupts"]);
    let (root, own) = (&flat["checkpoint_id"], &below["checkpoint"]["checkpoint_id"]);
    let checkpoint = json!({
        "thread_id": id, "checkpoint_ns": ns, "checkpoint_id": own,
        "checkpoint_map": { "": root, &*ns: own },
    });
    assert_eq!(below["checkpoint"], checkpoint);
    assert_eq!(below["metadata"]["parents"], json!({ "": root }));

    let named = json!({ "checkpoint": { "checkpoint_ns": ns } });
    let inside = exact(kept.post(&format!("{path}/state/checkpoint"), named).await.good());
    for member in ["values", "next", "tasks", "metadata", "checkpoint"] {
        assert_eq!(inside[member], below[member], "{member}");
    }
    assert_eq!(inside["interrupts"], flat["interrupts"]);
    let by_map =
        json!({ "checkpoint": { "checkpoint_ns": ns, "checkpoint_map": { "": root, &*ns: own } } });
    let same = kept.post(&format!("{path}/state/checkpoint"), by_map).await.good();
    assert_eq!(same["checkpoint_id"], *own);
    let asked = json!({ "limit": 1, "checkpoint": { "checkpoint_ns": ns } });
    let histories = kept.post(&format!("{path}/history"), asked).await.good();
    assert_eq!(histories[0]["checkpoint"], checkpoint);

    // Nobody is mounted there, so nothing is shown.
    let nowhere = json!({ "checkpoint": { "checkpoint_ns": "tools:x" } });
    let nothing = kept.post(&format!("{path}/state/checkpoint"), nowhere.clone()).await.good();
    assert_eq!(nothing, empty());
    let nothing = kept.post(&format!("{path}/history"), nowhere).await.good();
    assert_eq!(nothing, json!([]));

    let body = json!({
        "values": { "log": ["by hand"] }, "as_node": "below", "checkpoint": { "checkpoint_ns": ns },
    });
    let made = kept.post(&format!("{path}/state"), body).await.good();
    assert_eq!(made["checkpoint"]["checkpoint_ns"], *ns);
    let named = json!({ "checkpoint": { "checkpoint_ns": ns } });
    let inside = kept.post(&format!("{path}/state/checkpoint"), named).await.good();
    assert_eq!(inside["next"], json!([]));
    let thread = kept.get(&path).await.good();
    assert_eq!(thread["values"]["log"], json!(["a"]), "the values of the root");
    kept.run("nested", &id, Json::Null).await;
    let ended = state(&kept, &format!("{path}/state")).await;
    assert_eq!(ended["next"], json!([]));
    assert_eq!(ended["values"]["log"], json!(["a", "by hand"]));
}

#[tokio::test]
async fn an_update_without_a_node_is_an_input_first_and_then_of_the_last_node() {
    let kept = serve().await;
    let (_, path) = thread(&kept, "chain").await;
    update(&kept, &path, json!({ "values": { "topic": "t" } })).await;
    let first = state(&kept, &format!("{path}/state")).await;
    assert_eq!(first["next"], json!(["a"]));
    update(&kept, &path, json!({ "values": { "log": ["x"] }, "as_node": "a" })).await;
    update(&kept, &path, json!({ "values": { "log": ["y"] } })).await;
    let last = state(&kept, &format!("{path}/state")).await;
    assert_eq!(last["next"], json!(["b"]));
    assert_eq!(last["values"]["log"], json!(["x", "y"]));
    assert_eq!(last["metadata"]["source"], "update");
}

#[tokio::test]
async fn values_may_be_an_object_pairs_or_a_list_and_may_overwrite() {
    let kept = serve().await;
    let (_, path) = thread(&kept, "chain").await;
    for (values, log) in [
        (json!({ "log": ["1"] }), json!(["1"])),
        (json!([["log", ["2"]], ["log", ["3"]]]), json!(["1", "2", "3"])),
        (json!([{ "log": ["4"] }, { "log": ["5"] }]), json!(["1", "2", "3", "4", "5"])),
        (json!({ "log": { "__overwrite__": ["6"] } }), json!(["6"])),
        (json!({ "log": { "type": "__overwrite__", "value": ["7"] } }), json!(["7"])),
        (Json::Null, json!(["7"])),
    ] {
        update(&kept, &path, json!({ "values": values, "as_node": "a" })).await;
        let shown = state(&kept, &format!("{path}/state")).await;
        assert_eq!(shown["values"]["log"], log, "{values}");
    }
}

#[tokio::test]
async fn as_the_end_nothing_is_left_and_as_a_copy_there_are_two() {
    let kept = serve().await;
    let (_, path) = thread(&kept, "chain").await;
    let first = update(&kept, &path, json!({ "values": { "log": ["x"] }, "as_node": "a" })).await;
    let copy = update(&kept, &path, json!({ "as_node": "__copy__" })).await;
    let copied = state(&kept, &format!("{path}/state")).await;
    assert_eq!(copied["checkpoint_id"], *copy);
    assert_eq!(copied["metadata"]["source"], "fork");
    assert_eq!(copied["next"], json!(["b"]));
    assert_ne!(copy, first);
    update(&kept, &path, json!({ "values": null, "as_node": "__end__" })).await;
    let ended = state(&kept, &format!("{path}/state")).await;
    assert_eq!((&ended["next"], &ended["values"]), (&json!([]), &copied["values"]));
    assert_eq!(kept.get(&path).await.good()["status"], "idle");
}

#[tokio::test]
async fn a_branch_goes_on_from_an_older_checkpoint_and_becomes_the_newest() {
    let kept = serve().await;
    let (id, path) = thread(&kept, "chain").await;
    kept.run("chain", &id, json!({ "topic": "t" })).await;
    let before = history(&kept, &path).await;
    let older = &before[1];
    let body = json!({
        "values": { "log": ["branch"] }, "as_node": "a", "checkpoint": older["checkpoint"],
    });
    let made = update(&kept, &path, body).await;
    let now = state(&kept, &format!("{path}/state")).await;
    assert_eq!(now["checkpoint_id"], *made);
    assert_eq!(now["parent_checkpoint_id"], older["checkpoint_id"]);
    assert_eq!(now["metadata"]["step"], 2);
    assert_eq!(now["values"]["log"], json!(["a", "branch"]));
    assert_eq!(now["next"], json!(["b"]));
    assert_eq!(kept.get(&path).await.good()["values"]["log"], json!(["a", "branch"]));
    // By the id alone, and at the newest one, which is no branch.
    let body = json!({ "values": { "log": ["on"] }, "as_node": "b", "checkpoint_id": made });
    update(&kept, &path, body).await;
    let on = state(&kept, &format!("{path}/state")).await;
    assert_eq!(on["parent_checkpoint_id"], *made);
    assert_eq!(history(&kept, &path).await.len(), before.len() + 2);
}

#[tokio::test]
async fn a_change_that_does_not_fit_is_refused_and_changes_nothing() {
    let kept = serve().await;
    let (_, path) = thread(&kept, "both").await;
    let both = json!({ "values": { "topic": "t" }, "as_node": "__start__" });
    update(&kept, &path, both).await;
    let bare = kept.post("/threads", json!({})).await.good();
    let bare = bare["thread_id"].as_str().unwrap().to_owned();
    let unknown = "1f1e0000-0000-6000-8000-000000000000";
    let before = state(&kept, &format!("{path}/state")).await;
    for (body, status, words) in [
        (json!({ "values": {}, "as_node": "zz" }), 400, "Node zz does not exist"),
        (json!({ "values": { "nope": 1 }, "as_node": "a" }), 400, "nope"),
        (json!({ "values": { "log": 7 }, "as_node": "a" }), 400, "log"),
        (json!({ "values": "text", "as_node": "a" }), 400, "object"),
        (json!({ "values": { "log": [] }, "as_node": "__end__" }), 400, "__end__"),
        (json!({ "values": {}, "checkpoint_id": unknown }), 404, unknown),
        (json!({ "values": {}, "checkpoint_id": "x" }), 404, "Checkpoint x not found"),
        (json!({ "values": {}, "checkpoint": { "checkpoint_ns": "a:b" } }), 404, "a:b"),
        (json!({ "values": {}, "as_node": 7 }), 422, "/as_node"),
    ] {
        let (found, detail) = kept.post(&format!("{path}/state"), body.clone()).await.refusal();
        assert_eq!(found, status, "{body}: {detail}");
        assert!(detail.contains(words), "{body}: {detail}");
    }
    assert_eq!(state(&kept, &format!("{path}/state")).await, before);
    let (status, detail) =
        kept.post(&format!("/threads/{bare}/state"), json!({ "values": {} })).await.refusal();
    assert_eq!(status, 400);
    assert!(detail.starts_with(&format!("Thread '{bare}' has no assigned graph ID")), "{detail}");
}

#[tokio::test]
async fn an_update_that_could_be_of_several_nodes_is_refused() {
    let kept = serve().await;
    let (id, path) = thread(&kept, "both").await;
    kept.run("both", &id, json!({ "topic": "t" })).await;
    let answer = kept.post(&format!("{path}/state"), json!({ "values": { "topic": "u" } })).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn a_history_is_cut_and_filtered() {
    let kept = serve().await;
    let (id, path) = thread(&kept, "chain").await;
    let posted = format!("{path}/history");
    for n in 0..12 {
        update(&kept, &path, json!({ "values": { "log": [n.to_string()] }, "as_node": "a" })).await;
    }
    let all = history(&kept, &path).await;
    assert_eq!(all.len(), 12);
    let ids = |states: &Json| -> Vec<String> {
        let states = states.as_array().unwrap().iter();
        states.map(|state| state["checkpoint_id"].as_str().unwrap().to_owned()).collect()
    };
    let every = ids(&Json::from(all.clone()));
    assert!(every.is_sorted_by(|newer, older| newer > older));
    assert_eq!(ids(&kept.get(&posted).await.good()), every[..10]);
    let third = &all[2]["checkpoint"];
    let third_id = third["checkpoint_id"].as_str().unwrap();
    for before in [third_id.into(), third.clone(), json!({ "configurable": third })] {
        let asked = json!({ "limit": 2, "before": before });
        assert_eq!(ids(&kept.post(&posted, asked).await.good()), every[3..5], "{before}");
    }
    let got = kept.get(&format!("{posted}?limit=1&before={third_id}")).await.good();
    assert_eq!(ids(&got), every[3..4]);
    let asked = json!({ "limit": 5, "before": { "thread_id": id } });
    assert_eq!(ids(&kept.post(&posted, asked).await.good()), every[..5]);
    for (metadata, found) in [
        (json!({ "source": "update" }), 10),
        (json!({ "source": "loop" }), 0),
        (json!({ "step": 3 }), 1),
        (json!({ "parents": {} }), 10),
        (json!({ "thread_id": id }), 10),
        (json!({ "thread_id": "other" }), 0),
    ] {
        let states = kept.post(&posted, json!({ "metadata": metadata })).await.good();
        assert_eq!(states.as_array().unwrap().len(), found, "{metadata}");
    }
    let only = json!({ "checkpoint": third });
    assert_eq!(ids(&kept.post(&posted, only).await.good()), [third_id]);
    for wrong in [json!({ "limit": 0 }), json!({ "limit": 1001 }), json!({ "before": "x" })] {
        assert_eq!(kept.post(&posted, wrong.clone()).await.status, 422, "{wrong}");
    }
    assert_eq!(kept.get(&format!("{posted}?limit=x")).await.status, 422);
}

#[tokio::test]
async fn keys_that_are_secret_are_not_shown() {
    let kept = serve().await;
    let (_, path) = thread(&kept, "chain").await;
    update(&kept, &path, json!({ "values": { "key": "s3cret" }, "as_node": "a" })).await;
    update(&kept, &path, json!({ "values": { "log": ["x"] }, "as_node": "b" })).await;
    let shown = state(&kept, &format!("{path}/state")).await;
    assert_eq!(shown["values"]["key"], "[redacted]");
    for path in [path.clone(), format!("{path}/state"), format!("{path}/history")] {
        let text = kept.get(&path).await.body;
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[tokio::test]
async fn a_thread_that_another_graph_goes_on_with_shows_what_that_graph_knows() {
    let kept = serve().await;
    let (_, path) = thread(&kept, "asking").await;
    let wait = format!("{path}/runs/wait");
    let run = async |graph: &str, input: Json| {
        let body = json!({ "assistant_id": graph, "input": input });
        under(&kept.mesh, &format!("{graph} {input}"), &wait, &body).await.good()
    };
    run("asking", json!({})).await;
    assert_eq!(state(&kept, &format!("{path}/state")).await["next"], json!(["ask"]));

    // There is nothing that it could go on with.
    let refused = run("chain", Json::Null).await;
    assert_eq!(refused["__error__"]["error"], "EmptyInputError");
    assert_eq!(state(&kept, &format!("{path}/state")).await["next"], json!([]));
    let values = run("chain", json!({ "topic": "t" })).await;
    assert_eq!(values["log"], json!(["a", "b"]));
    let shown = history(&kept, &path).await;
    assert_eq!(shown[0]["values"]["log"], json!(["a", "b"]));
    assert!(shown.len() > 5, "what both have saved");
}

#[tokio::test]
async fn a_history_gives_only_the_members_that_are_asked_for() {
    let kept = serve().await;
    let (_, path) = thread(&kept, "chain").await;
    update(&kept, &path, json!({ "values": { "log": ["x"] }, "as_node": "a" })).await;
    let asked = json!({ "select": ["next", "checkpoint_id"] });
    let states = kept.post(&format!("{path}/history"), asked).await.good();
    let whole = kept.post(&format!("{path}/history"), json!({})).await.good();
    let expected: Vec<Json> = whole
        .as_array()
        .unwrap()
        .iter()
        .map(|state| json!({ "next": state["next"], "checkpoint_id": state["checkpoint_id"] }))
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(states, json!(expected));
    let refused = kept.post(&format!("{path}/history"), json!({ "select": ["size"] })).await;
    assert_eq!(refused.status, 422);
}
