//! `/threads`: made, changed, found, copied, pruned and removed.

use serde_json::{Value as Json, json};

use crate::{kept::Kept, stateful::serve};

const ID: &str = "2a0f6d0e-77e4-4f2c-9a2e-0f3f1f6b7c11";
const OTHER: &str = "2a0f6d0e-77e4-4f2c-9a2e-0f3f1f6b7c12";

fn members(object: &Json) -> Vec<&str> {
    let mut members: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    members
}

/// Makes a thread and gives its id.
async fn made(kept: &Kept, body: Json) -> String {
    let thread = kept.post("/threads", body).await.good();
    thread["thread_id"].as_str().unwrap().to_owned()
}

/// Makes a thread of `chain` with a state that `a` has left.
async fn with_state(kept: &Kept) -> String {
    let id = made(kept, json!({ "metadata": { "graph_id": "chain" } })).await;
    let update = json!({ "values": { "log": ["x"], "topic": "t" }, "as_node": "a" });
    kept.post(&format!("/threads/{id}/state"), update).await.good();
    id
}

#[tokio::test]
async fn a_fresh_thread_has_these_members_and_no_state() {
    let kept = serve().await;
    let thread = kept.post("/threads", json!({ "metadata": { "graph_id": "chain" } })).await.good();
    let created = thread["created_at"].as_str().unwrap();
    assert!(created.ends_with("+00:00") && created.len() == 32, "{created}");
    let id = thread["thread_id"].as_str().unwrap();
    let wanted = json!({
        "thread_id": id,
        "created_at": created,
        "updated_at": created,
        "state_updated_at": created,
        "metadata": { "graph_id": "chain" },
        "status": "idle",
        "config": {},
        "values": null,
    });
    assert_eq!(thread, wanted);
    assert_eq!(kept.get(&format!("/threads/{id}")).await.good(), wanted);
}

#[tokio::test]
async fn a_thread_whose_state_was_changed_shows_it() {
    let kept = serve().await;
    let id = with_state(&kept).await;
    let thread = kept.get(&format!("/threads/{id}")).await.good();
    assert_eq!(thread["values"], json!({ "log": ["x"], "topic": "t" }));
    assert_eq!(thread["status"], "interrupted");
    assert_eq!((&thread["error"], &thread["interrupts"]), (&Json::Null, &json!({})));
    assert!(members(&thread).contains(&"error"));
    let (updated, created) = (&thread["state_updated_at"], &thread["created_at"]);
    assert!(updated.as_str() > created.as_str());
    assert_eq!(thread["updated_at"], *updated);
}

#[tokio::test]
async fn an_id_is_taken_once() {
    let kept = serve().await;
    let body = json!({ "thread_id": ID, "metadata": { "n": 1 } });
    let first = kept.post("/threads", body.clone()).await.good();
    assert_eq!(first["thread_id"], ID);
    let taken = format!("Thread with ID {ID} already exists");
    assert_eq!(kept.post("/threads", body).await.refusal(), (409, taken));
    let again = json!({ "thread_id": ID, "metadata": { "n": 2 }, "if_exists": "do_nothing" });
    assert_eq!(kept.post("/threads", again).await.good(), first);
    let wrong = kept.post("/threads", json!({ "thread_id": "mine" })).await;
    assert_eq!(wrong.refusal(), (422, "Invalid thread ID: must be a UUID".to_owned()));
    let wrong = kept.post("/threads", json!({ "if_exists": "perhaps" })).await;
    assert_eq!(wrong.status, 422);
}

#[tokio::test]
async fn what_is_not_there_is_told_in_the_words_of_the_wire() {
    let kept = serve().await;
    let missing = (404, format!("Thread with ID {ID} not found"));
    for (method, path) in [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/state"),
        ("GET", "/state/x"),
        ("POST", "/state"),
        ("POST", "/state/checkpoint"),
        ("GET", "/history"),
        ("POST", "/history"),
        ("GET", "/storage"),
    ] {
        let path = format!("/threads/{ID}{path}");
        let answer = match method {
            "GET" => kept.get(&path).await,
            "DELETE" => kept.delete(&path).await,
            "PATCH" => kept.patch(&path, json!({})).await,
            _ => kept.post(&path, json!({})).await,
        };
        assert_eq!(answer.refusal(), missing, "{method} {path}");
    }
    let copy = kept.post(&format!("/threads/{ID}/copy"), json!({})).await;
    assert_eq!(copy.refusal(), (409, missing.1));
    let no_id = (422, "Invalid thread ID: must be a UUID".to_owned());
    assert_eq!(kept.get("/threads/mine").await.refusal(), no_id);
    assert_eq!(kept.get("/threads/mine/state").await.refusal(), no_id);
    let wrong = kept.patch(&format!("/threads/{ID}/state"), json!({})).await;
    assert_eq!(wrong.refusal(), (405, "Method Not Allowed".to_owned()));
}

#[tokio::test]
async fn metadata_are_merged_and_null_is_an_entry() {
    let kept = serve().await;
    let id = made(&kept, json!({ "metadata": { "a": 1, "b": { "c": 1 } } })).await;
    let path = format!("/threads/{id}");
    let before = kept.get(&path).await.good();
    let body = json!({ "metadata": { "a": null, "b": { "d": 2 }, "e": 3 } });
    let after = kept.patch(&path, body).await.good();
    assert_eq!(after["metadata"], json!({ "a": null, "b": { "d": 2 }, "e": 3 }));
    assert!(after["updated_at"].as_str() > before["updated_at"].as_str());
    assert_eq!(after["state_updated_at"], before["state_updated_at"]);
    assert_eq!((&after["status"], &after["values"]), (&before["status"], &before["values"]));
    let body = r#"{"metadata":{"f":4}}"#;
    let headers = format!(
        "Prefer: return=minimal\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    let request = format!(
        "PATCH {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n{body}",
        kept.mesh.address
    );
    let minimal = crate::kit::Http::parse(&kept.mesh.raw(request.as_bytes()).await);
    assert_eq!((minimal.status, &*minimal.body), (204, ""));
    assert_eq!(kept.get(&path).await.good()["metadata"]["f"], 4);
}

#[tokio::test]
async fn how_long_a_thread_is_kept_shows_when_asked_for() {
    let kept = serve().await;
    let id = made(&kept, json!({ "ttl": { "ttl": 90, "strategy": "keep_latest" } })).await;
    let path = format!("/threads/{id}");
    assert_eq!(kept.get(&path).await.good().get("ttl"), None);
    let thread = kept.get(&format!("{path}?include=ttl")).await.good();
    assert_eq!(members(&thread["ttl"]), ["expires_at", "strategy", "ttl_minutes"]);
    assert_eq!(thread["ttl"]["strategy"], "keep_latest");
    assert_eq!(thread["ttl"]["ttl_minutes"], 90.0);
    assert!(thread["ttl"]["expires_at"].as_str() > thread["created_at"].as_str());
    let listed = kept.get(&format!("{path}?include=%5B%22ttl%22%5D")).await.good();
    let before = listed["ttl"]["expires_at"].as_str().unwrap().to_owned();
    kept.patch(&path, json!({ "metadata": { "a": 1 } })).await.good();
    let later = kept.get(&format!("{path}?include=ttl")).await.good();
    assert!(later["ttl"]["expires_at"].as_str() > Some(&before), "used, so kept longer");
    kept.patch(&path, json!({ "ttl": 5 })).await.good();
    let changed = kept.get(&format!("{path}?include=ttl")).await.good();
    assert_eq!(changed["ttl"]["ttl_minutes"], 5.0);
    assert_eq!(changed["ttl"]["strategy"], "delete");
    for ttl in [json!(0), json!(-1), json!(1e300), json!({ "ttl": "x" })] {
        let refused = kept.post("/threads", json!({ "ttl": ttl })).await;
        assert_eq!(refused.status, 422, "{ttl}");
    }
}

#[tokio::test]
async fn a_removed_thread_is_gone_with_all_that_was_on_it() {
    let kept = serve().await;
    let id = with_state(&kept).await;
    let path = format!("/threads/{id}");
    assert_eq!(kept.delete(&path).await.status, 204);
    let missing = (404, format!("Thread with ID {id} not found"));
    assert_eq!(kept.delete(&path).await.refusal(), missing);
    assert_eq!(kept.get(&format!("{path}/state")).await.refusal(), missing);
    let body = json!({ "thread_id": id, "metadata": { "graph_id": "chain" } });
    kept.post("/threads", body).await.good();
    assert_eq!(kept.get(&format!("{path}/history")).await.good(), json!([]));
    assert_eq!(kept.get(&format!("{path}/storage")).await.good()["total_bytes"], 0);
}

#[tokio::test]
async fn threads_are_found_by_metadata_values_status_and_ids() {
    let kept = serve().await;
    let state = with_state(&kept).await;
    let body = json!({ "thread_id": ID, "metadata": { "graph_id": "chain", "tags": ["a", "b"] } });
    made(&kept, body).await;
    made(&kept, json!({ "thread_id": OTHER, "metadata": { "n": { "m": 1 } } })).await;
    for (asked, found) in [
        (json!({}), vec![OTHER, ID, &state]),
        (json!({ "metadata": null, "limit": null }), vec![OTHER, ID, &state]),
        (json!({ "metadata": { "graph_id": "chain" } }), vec![ID, &state]),
        (json!({ "metadata": { "tags": ["b"] } }), vec![ID]),
        (json!({ "metadata": { "n": {} } }), vec![OTHER]),
        (json!({ "metadata": { "n": { "m": 2 } } }), vec![]),
        (json!({ "values": { "topic": "t" } }), vec![&*state]),
        (json!({ "values": { "log": ["x"] } }), vec![&*state]),
        (json!({ "values": { "log": ["y"] } }), vec![]),
        (json!({ "status": "interrupted" }), vec![&*state]),
        (json!({ "status": "idle" }), vec![OTHER, ID]),
        (json!({ "ids": [ID] }), vec![ID]),
        (json!({ "ids": [] }), vec![]),
        (json!({ "limit": 2 }), vec![OTHER, ID]),
        (json!({ "limit": 2, "offset": 2 }), vec![&*state]),
        (json!({ "sort_by": "created_at", "sort_order": "asc" }), vec![&*state, ID, OTHER]),
        (
            json!({ "sort_by": "thread_id", "sort_order": "asc", "ids": [ID, OTHER] }),
            vec![ID, OTHER],
        ),
    ] {
        let rows = kept.post("/threads/search", asked.clone()).await.good();
        let ids: Vec<&str> =
            rows.as_array().unwrap().iter().map(|row| row["thread_id"].as_str().unwrap()).collect();
        assert_eq!(ids, found, "{asked}");
        if asked.get("limit").is_none_or(Json::is_null) && asked.get("ids").is_none() {
            let count = kept.post("/threads/count", asked.clone()).await.good();
            assert_eq!(count, found.len(), "{asked}");
        }
    }
    let page = kept.post("/threads/search", json!({ "limit": 2 })).await;
    assert_eq!(page.header("x-pagination-next"), Some("2"));
    assert_eq!(page.header("x-pagination-total"), Some("3"));
    let last = kept.post("/threads/search", json!({ "limit": 2, "offset": 2 })).await;
    assert_eq!(last.header("x-pagination-next"), None);
    assert_eq!(last.header("x-pagination-total"), Some("3"));
    for wrong in [
        json!({ "limit": 0 }),
        json!({ "limit": 1001 }),
        json!({ "offset": -1 }),
        json!({ "status": "asleep" }),
        json!({ "sort_by": "values" }),
        json!({ "sort_order": "up" }),
        json!({ "ids": ["mine"] }),
        json!({ "select": ["secret"] }),
        json!({ "metadata": [] }),
    ] {
        assert_eq!(kept.post("/threads/search", wrong.clone()).await.status, 422, "{wrong}");
    }
}

#[tokio::test]
async fn a_search_gives_the_members_and_parts_that_it_names() {
    let kept = serve().await;
    let id = with_state(&kept).await;
    let asked = json!({
        "select": ["thread_id", "status"],
        "extract": { "last": "values.log[-1]", "graph": "metadata.graph_id", "none": "values.z[*]" },
    });
    let rows = kept.post("/threads/search", asked).await.good();
    let extracted = json!({ "last": "x", "graph": "chain", "none": null });
    let wanted = json!([{ "thread_id": id, "status": "interrupted", "extracted": extracted }]);
    assert_eq!(rows, wanted);
    let rows = kept.post("/threads/search", json!({ "select": ["values"] })).await.good();
    assert_eq!(rows, json!([{ "values": { "log": ["x"], "topic": "t" } }]));
    let wrong = json!({ "extract": { "a": "status" } });
    let text = "Extract path 'status' must start with one of: config, interrupts, metadata, values";
    assert_eq!(kept.post("/threads/search", wrong).await.refusal(), (422, text.to_owned()));
    let many: serde_json::Map<String, Json> =
        (0..11).map(|n| (n.to_string(), json!("values.x"))).collect();
    let many = kept.post("/threads/search", json!({ "extract": many })).await;
    assert_eq!(many.status, 422);
}

#[tokio::test]
async fn supersteps_build_the_history_that_a_run_would_have_left() {
    let kept = serve().await;
    let step =
        |node: &str, values: Json| json!({ "updates": [{ "values": values, "as_node": node }] });
    let input = json!({ "topic": "t" });
    let id = made(
        &kept,
        json!({
            "metadata": { "graph_id": "chain" },
            "supersteps": [
                step("__input__", input.clone()),
                step("__start__", input.clone()),
                step("a", json!({ "log": ["a"] })),
                step("b", json!([["log", ["b"]]])),
            ],
        }),
    )
    .await;
    let seen = |history: &Json| -> Vec<Json> {
        let states = history.as_array().unwrap().iter();
        states.map(|state| json!([state["next"], state["values"]])).collect()
    };
    let history = kept.get(&format!("/threads/{id}/history")).await.good();
    let ran = made(&kept, json!({ "metadata": { "graph_id": "chain" } })).await;
    kept.run("chain", &ran, input).await;
    let original = kept.get(&format!("/threads/{ran}/history")).await.good();
    assert_eq!(seen(&history), seen(&original));
    assert_eq!(seen(&history).len(), 4);
    let thread = kept.get(&format!("/threads/{id}")).await.good();
    assert_eq!(thread["status"], "idle");
    assert_eq!(thread["values"], json!({ "topic": "t", "log": ["a", "b"] }));
}

#[tokio::test]
async fn a_superstep_may_be_a_command() {
    let kept = serve().await;
    let command = json!({ "update": { "log": ["c"] }, "goto": ["b"] });
    let supersteps = json!([{ "updates": [{ "command": command, "as_node": "b" }] }]);
    let body = json!({ "metadata": { "graph_id": "chain" }, "supersteps": supersteps });
    let id = made(&kept, body).await;
    let state = kept.get(&format!("/threads/{id}/state")).await.good();
    assert_eq!(state["values"]["log"], json!(["c"]));
    assert_eq!(state["next"], json!(["b"]));
}

#[tokio::test]
async fn a_thread_is_made_with_all_its_supersteps_or_not_at_all() {
    let kept = serve().await;
    for (metadata, node, refused) in [
        (json!({ "graph_id": "chain" }), "nobody", (400, "Node nobody does not exist")),
        (json!({ "graph_id": "none" }), "a", (404, "Graph 'none' not found")),
        (json!({}), "a", (400, "has no assigned graph ID")),
    ] {
        let supersteps = json!([{ "updates": [{ "values": {}, "as_node": node }] }]);
        let body = json!({ "thread_id": ID, "metadata": metadata, "supersteps": supersteps });
        let (status, detail) = kept.post("/threads", body).await.refusal();
        assert_eq!(status, refused.0, "{detail}");
        assert!(detail.contains(refused.1), "{detail}");
        assert_eq!(kept.get(&format!("/threads/{ID}")).await.status, 404);
    }
}

#[tokio::test]
async fn more_supersteps_than_one_request_may_add_are_the_requests_mistake() {
    let kept = serve().await;
    let superstep = json!({ "updates": [{ "values": {}, "as_node": "a" }] });
    let body = json!({
        "thread_id": ID, "metadata": { "graph_id": "chain" }, "supersteps": vec![superstep; 1001],
    });
    let refused = kept.post("/threads", body).await;
    assert_eq!(refused.json()["pointer"], "/supersteps");
    let told = "/supersteps: 1001 supersteps, at most 1000".to_owned();
    assert_eq!(refused.refusal(), (422, told));
    assert_eq!(kept.get(&format!("/threads/{ID}")).await.status, 404);
}

/// A state without what tells one thread from another.
fn anonymous(state: &Json, id: &str) -> String {
    state.to_string().replace(id, "-")
}

#[tokio::test]
async fn a_copy_has_the_state_and_history_and_goes_its_own_way() {
    let kept = serve().await;
    let id = made(&kept, json!({ "metadata": { "graph_id": "asking", "a": 1 } })).await;
    kept.run("asking", &id, json!({})).await;
    // By hand, so that the row knows of the question.
    let copy_of = json!({ "as_node": "__copy__" });
    kept.post(&format!("/threads/{id}/state"), copy_of).await.good();
    kept.run("asking", &id, Json::Null).await;
    let copy = kept.post(&format!("/threads/{id}/copy"), json!({})).await.good();
    let new = copy["thread_id"].as_str().unwrap();
    assert_ne!(new, id);
    assert_eq!(copy["metadata"], json!({ "graph_id": "asking", "a": 1 }));
    let source = kept.get(&format!("/threads/{id}")).await.good();
    for same in ["values", "status", "interrupts", "config"] {
        assert_eq!(copy[same], source[same], "{same}");
    }
    for path in ["state?subgraphs=true", "history?limit=100"] {
        let (ours, theirs) = (
            kept.get(&format!("/threads/{id}/{path}")).await.good(),
            kept.get(&format!("/threads/{new}/{path}")).await.good(),
        );
        assert_eq!(anonymous(&ours, &id), anonymous(&theirs, new));
        assert!(theirs.to_string().contains(new) && !theirs.to_string().contains(&id));
    }
    let answered = kept.answer("asking", new, json!("yes")).await;
    assert_eq!(answered["log"], json!(["\"yes\""]));
    let waiting = kept.get(&format!("/threads/{id}/state")).await.good();
    assert_eq!(waiting["next"], json!(["ask"]));
}

#[tokio::test]
async fn pruning_keeps_the_newest_checkpoint_or_nothing() {
    let kept = serve().await;
    let (first, second) = (with_state(&kept).await, with_state(&kept).await);
    for id in [&first, &second] {
        let update = json!({ "values": { "log": ["y"] }, "as_node": "a" });
        kept.post(&format!("/threads/{id}/state"), update).await.good();
    }
    let asked = json!({ "thread_ids": [first, ID], "strategy": "keep_latest" });
    assert_eq!(kept.post("/threads/prune", asked).await.good(), json!({ "pruned_count": 1 }));
    let history = kept.get(&format!("/threads/{first}/history")).await.good();
    assert_eq!(history.as_array().unwrap().len(), 1);
    assert_eq!(history[0]["values"]["log"], json!(["x", "y"]));
    let asked = json!({ "thread_ids": [first, second] });
    assert_eq!(kept.post("/threads/prune", asked).await.good(), json!({ "pruned_count": 2 }));
    assert_eq!(kept.get(&format!("/threads/{first}")).await.status, 404);
    let wrong = json!({ "thread_ids": [ID], "strategy": "some" });
    assert_eq!(kept.post("/threads/prune", wrong).await.status, 422);
    assert_eq!(kept.post("/threads/prune", json!({})).await.status, 422);
}

#[tokio::test]
async fn storage_says_what_a_thread_takes() {
    let kept = serve().await;
    let id = with_state(&kept).await;
    let storage = kept.get(&format!("/threads/{id}/storage")).await.good();
    assert_eq!(
        members(&storage),
        ["channel_values", "checkpoints", "pending_writes", "thread_id", "total_bytes"]
    );
    assert_eq!(storage["thread_id"], *id);
    assert_eq!(storage["checkpoints"]["count"], 1);
    let values = &storage["channel_values"];
    assert_eq!(members(values), ["by_channel", "bytes", "count"]);
    assert_eq!(members(&values["by_channel"]), ["log", "topic"]);
    assert_eq!(members(&values["by_channel"]["log"]), ["bytes", "versions"]);
    assert_eq!(values["by_channel"]["log"]["versions"], 1);
    assert_eq!(values["count"], 2);
    let bytes = |json: &Json| json["bytes"].as_u64().unwrap();
    let all = bytes(values) + bytes(&storage["checkpoints"]) + bytes(&storage["pending_writes"]);
    assert_eq!(storage["total_bytes"], all);
    assert!(bytes(values) > 0);
}

#[tokio::test]
async fn threads_and_their_states_survive_a_restart() {
    let kept = serve().await;
    let id = with_state(&kept).await;
    let path = format!("/threads/{id}");
    let before = (kept.get(&path).await.good(), kept.get(&format!("{path}/history")).await.good());
    let kept = kept.again().await;
    let after = (kept.get(&path).await.good(), kept.get(&format!("{path}/history")).await.good());
    assert_eq!(before, after);
}
