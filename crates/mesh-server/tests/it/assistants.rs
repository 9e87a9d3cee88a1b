//! `/assistants`.

use serde_json::{Value as Json, json};

use crate::kept::Kept;

/// The id that clients compute for the graph `plain`.
const PLAIN: &str = "8b184351-3358-5cdd-b03b-9a70de2251e5";

fn names(list: &Json) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_graph_has_an_assistant_of_itself_by_its_name_and_by_its_id() {
    let kept = Kept::start().await;
    let own = kept.get("/assistants/plain").await.good();
    let id = own["assistant_id"].as_str().unwrap();
    assert_eq!(own["graph_id"], "plain");
    assert_eq!(own["name"], "plain");
    assert_eq!(own["metadata"], json!({ "created_by": "system" }));
    assert_eq!(own["version"], 1);
    assert_eq!((&own["config"], &own["context"]), (&json!({}), &json!({})));
    assert_eq!(kept.get(&format!("/assistants/{id}")).await.good(), own);
    assert_eq!(id, PLAIN);
}

#[tokio::test]
async fn an_assistant_is_given_back_as_it_was_made() {
    let kept = Kept::start().await;
    let made = kept
        .post(
            "/assistants",
            json!({
                "graph_id": "plain", "config": { "tags": ["a"], "recursion_limit": 7 },
                "context": { "model": "m" }, "metadata": { "team": "x" }, "name": null,
                "if_exists": null, "nobody_knows": 1,
            }),
        )
        .await
        .good();
    assert_eq!(made["name"], "Untitled");
    assert_eq!(made["description"], Json::Null);
    assert_eq!(made["version"], 1);
    assert_eq!(made["context"], json!({ "model": "m" }));
    let config = json!({ "tags": ["a"], "recursion_limit": 7, "configurable": { "model": "m" } });
    assert_eq!(made["config"], config);
    let id = made["assistant_id"].as_str().unwrap();
    assert_eq!(id.as_bytes()[14], b'4', "a random id: {id}");
    assert_eq!(kept.get(&format!("/assistants/{id}")).await.good(), made);
    let kept = kept.again().await;
    assert_eq!(kept.get(&format!("/assistants/{id}")).await.good(), made);
}

#[tokio::test]
async fn what_cannot_be_made_is_refused_in_the_words_of_the_wire() {
    let kept = Kept::start().await;
    let id = "2a0f6d0e-77e4-4f2c-9a2e-0f3f1f6b7c11";
    let new = json!({ "graph_id": "plain", "assistant_id": id, "name": "first" });
    let made = kept.post("/assistants", new.clone()).await.good();
    let again = kept.post("/assistants", new).await;
    assert_eq!(again.refusal(), (409, format!("Assistant {id} already exists")));
    let other = json!({
        "graph_id": "nested", "assistant_id": id, "name": "second", "if_exists": "do_nothing",
    });
    assert_eq!(kept.post("/assistants", other).await.good(), made);
    let unknown = kept.post("/assistants", json!({ "graph_id": "x" })).await;
    let text = "Graph 'x' not found. Expected one of: ['nested', 'plain']";
    assert_eq!(unknown.refusal(), (404, text.to_owned()));
    let both = json!({
        "graph_id": "plain", "context": { "a": 1 }, "config": { "configurable": { "a": 1 } },
    });
    let (status, text) = kept.post("/assistants", both).await.refusal();
    assert_eq!(status, 400);
    assert!(text.starts_with("Cannot specify both configurable and context"), "{text}");
    for wrong in [
        json!({}),
        json!({ "graph_id": 1 }),
        json!({ "graph_id": "plain", "assistant_id": "no-uuid" }),
        json!({ "graph_id": "plain", "if_exists": "perhaps" }),
        json!({ "graph_id": "plain", "metadata": [] }),
        json!([]),
    ] {
        assert_eq!(kept.post("/assistants", wrong.clone()).await.status, 422, "{wrong}");
    }
    for missing in ["/assistants/nobody", "/assistants/2a0f6d0e-77e4-4f2c-9a2e-0f3f1f6b7c12"] {
        let refusal = kept.get(missing).await.refusal();
        assert_eq!(refusal, (404, "Assistant not found".to_owned()));
        assert_eq!(kept.patch(missing, json!({})).await.refusal(), refusal);
        assert_eq!(kept.delete(missing).await.refusal(), refusal);
        let versions = kept.post(&format!("{missing}/versions"), json!({})).await;
        assert_eq!(versions.refusal(), refusal);
        for part in ["graph", "schemas", "subgraphs"] {
            assert_eq!(kept.get(&format!("{missing}/{part}")).await.refusal(), refusal, "{part}");
        }
    }
}

#[tokio::test]
async fn every_change_makes_a_version_and_any_version_can_come_back() {
    let kept = Kept::start().await;
    let new = json!({
        "graph_id": "plain", "metadata": { "a": 1, "b": 1 },
        "config": { "configurable": { "n": 1 } },
    });
    let first = kept.post("/assistants", new).await.good();
    let path = format!("/assistants/{}", first["assistant_id"].as_str().unwrap());
    let second = json!({
        "metadata": { "b": 2, "c": null }, "name": "two", "config": { "configurable": { "n": 2 } },
    });
    let second = kept.patch(&path, second).await.good();
    assert_eq!(second["version"], 2);
    assert_eq!(second["metadata"], json!({ "a": 1, "b": 2, "c": null }));
    assert_eq!(second["context"], json!({ "n": 2 }));
    assert_eq!(second["created_at"], first["created_at"]);
    assert!(second["updated_at"].as_str() > first["updated_at"].as_str());
    let third = kept.patch(&path, json!({ "graph_id": "nested" })).await.good();
    assert_eq!((&third["version"], &third["name"]), (&json!(3), &json!("two")));
    assert_eq!(kept.patch(&path, json!({ "graph_id": "x" })).await.status, 404);

    let back = kept.post(&format!("{path}/latest"), json!({ "version": 1 })).await.good();
    let mut expected = first.clone();
    expected["updated_at"] = back["updated_at"].clone();
    assert_eq!(back, expected);
    assert!(back["updated_at"].as_str() > third["updated_at"].as_str());
    assert_eq!(kept.get(&path).await.good(), back);
    let missing = kept.post(&format!("{path}/latest"), json!({ "version": 9 })).await;
    let id = first["assistant_id"].as_str().unwrap();
    let text = format!("Version 9 not found for assistant {id}");
    assert_eq!(missing.refusal(), (404, text));
    let fourth = kept.patch(&path, json!({})).await.good();
    assert_eq!((&fourth["version"], &fourth["graph_id"]), (&json!(4), &json!("plain")));

    let all = kept.post(&format!("{path}/versions"), json!({})).await.good();
    let numbers: Vec<&Json> = all.as_array().unwrap().iter().map(|one| &one["version"]).collect();
    assert_eq!(numbers, [4, 3, 2, 1]);
    assert_eq!(all[3]["metadata"], first["metadata"]);
    assert!(all[0].get("updated_at").is_none());
    let some = json!({ "metadata": { "b": 2 }, "limit": 1 });
    let some = kept.post(&format!("{path}/versions"), some).await;
    assert_eq!(some.header("x-pagination-next"), Some("1"));
    assert_eq!(some.good()[0]["version"], 3);
}

#[tokio::test]
async fn a_removed_assistant_is_gone_with_its_versions() {
    let kept = Kept::start().await;
    let made = kept.post("/assistants", json!({ "graph_id": "plain" })).await.good();
    let path = format!("/assistants/{}", made["assistant_id"].as_str().unwrap());
    let gone = kept.delete(&path).await;
    assert_eq!((gone.status, &*gone.body), (204, ""));
    assert_eq!(kept.get(&path).await.status, 404);
    assert_eq!(kept.delete(&path).await.status, 404);
    assert_eq!(kept.post(&format!("{path}/versions"), json!({})).await.status, 404);
}

#[tokio::test]
async fn the_threads_of_a_removed_assistant_go_with_it_if_that_is_asked() {
    let kept = Kept::start().await;
    let mut paths = Vec::new();
    for _ in 0..2 {
        let made = kept.post("/assistants", json!({ "graph_id": "plain" })).await.good();
        let id = made["assistant_id"].as_str().unwrap().to_owned();
        let thread = json!({ "metadata": { "assistant_id": id, "graph_id": "plain" } });
        let thread = kept.post("/threads", thread).await.good();
        paths.push((id, format!("/threads/{}", thread["thread_id"].as_str().unwrap())));
    }
    let [(first, of_first), (second, of_second)] = &paths[..] else { panic!("two") };
    assert_eq!(kept.delete(&format!("/assistants/{first}?delete_threads=true")).await.status, 204);
    assert_eq!(kept.get(of_first).await.status, 404);
    assert_eq!(kept.get(of_second).await.status, 200);
    assert_eq!(
        kept.delete(&format!("/assistants/{second}?delete_threads=false")).await.status,
        204
    );
    assert_eq!(kept.get(of_second).await.status, 200);
}

#[tokio::test]
async fn the_own_assistant_of_a_graph_comes_back_at_a_start_and_keeps_its_changes() {
    let kept = Kept::start().await;
    assert_eq!(kept.delete("/assistants/nested").await.status, 204);
    let changed = kept.patch("/assistants/plain", json!({ "name": "mine" })).await.good();
    let kept = kept.again().await;
    assert_eq!(kept.get("/assistants/nested").await.good()["version"], 1);
    assert_eq!(kept.get("/assistants/plain").await.good(), changed);
}

#[tokio::test]
async fn a_search_filters_sorts_pages_and_selects() {
    let kept = Kept::start().await;
    for (name, graph, metadata) in [
        ("Ant", "plain", json!({ "n": 1, "deep": { "x": [1, 2] } })),
        ("bee", "nested", json!({ "n": 2, "deep": { "x": [2] } })),
        ("Cat", "plain", json!({ "n": 2.0 })),
    ] {
        let new = json!({ "graph_id": graph, "name": name, "metadata": metadata });
        kept.post("/assistants", new).await.good();
    }
    let search = async |body: Json| kept.post("/assistants/search", body).await;
    let all = search(json!({})).await;
    assert_eq!(names(&all.good())[..3], ["Cat", "bee", "Ant"]);
    assert_eq!(all.header("x-pagination-next"), None);
    assert_eq!(all.header("x-pagination-total"), Some("5"));
    for (filter, expected) in [
        (json!({ "metadata": { "n": 2 } }), vec!["Cat", "bee"]),
        (json!({ "metadata": { "deep": { "x": [2] } } }), vec!["bee", "Ant"]),
        (
            json!({ "metadata": { "created_by": "system" }, "sort_by": "name" }),
            vec!["plain", "nested"],
        ),
        (
            json!({ "name": "A", "sort_by": "name", "sort_order": "asc" }),
            vec!["Ant", "Cat", "plain"],
        ),
        (json!({ "graph_id": "nested", "sort_by": "graph_id" }), vec!["nested", "bee"]),
        (json!({ "metadata": { "n'; DROP TABLE assistants; --": 1 } }), vec![]),
        (json!({ "name": "%" }), vec![]),
        (json!({ "graph_id": "nothing" }), vec![]),
    ] {
        let found = search(filter.clone()).await.good();
        let mut found = names(&found);
        let mut expected = expected;
        if filter.get("sort_by") == Some(&json!("graph_id")) {
            // Equal ones are in the order of ids, of which one is random.
            found.sort_unstable();
            expected.sort_unstable();
        }
        assert_eq!(found, expected, "{filter}");
        let count = kept.post("/assistants/count", filter.clone()).await.good();
        assert_eq!(count, expected.len(), "{filter}");
    }
    let page = search(json!({ "limit": 2, "offset": 1, "select": ["name", "version"] })).await;
    assert_eq!(page.header("x-pagination-next"), Some("3"));
    assert_eq!(page.header("x-pagination-total"), Some("4"));
    let expected = json!([{ "name": "bee", "version": 1 }, { "name": "Ant", "version": 1 }]);
    assert_eq!(page.good(), expected);
    for wrong in [
        json!({ "limit": 0 }),
        json!({ "limit": 1001 }),
        json!({ "offset": -1 }),
        json!({ "sort_by": "owner" }),
        json!({ "sort_order": "up" }),
        json!({ "select": ["owner"] }),
    ] {
        assert_eq!(search(wrong.clone()).await.status, 422, "{wrong}");
    }
    for (name, sort) in [("limit", Json::Null), ("select", Json::Null), ("metadata", Json::Null)] {
        assert_eq!(search(json!({ name: sort })).await.status, 200);
    }
}

#[tokio::test]
async fn a_drawing_has_places_when_they_are_asked_for() {
    let kept = Kept::start().await;
    let plain = kept.get("/assistants/nested/graph?xray=true").await.good();
    assert!(plain.get("layout").is_none());
    let mut placed = kept.get("/assistants/nested/graph?xray=true&layout=true").await.good();
    let layout = placed.as_object_mut().unwrap().remove("layout").unwrap();
    assert_eq!(placed, plain);
    let count = |list: &Json| list.as_array().unwrap().len();
    assert_eq!(count(&layout["nodes"]), count(&plain["nodes"]));
    assert_eq!(count(&layout["edges"]), count(&plain["edges"]));
    for (node, place) in
        plain["nodes"].as_array().unwrap().iter().zip(layout["nodes"].as_array().unwrap())
    {
        assert_eq!(place["id"], node["id"]);
    }
    assert_eq!(kept.get("/assistants/nested/graph?layout=perhaps").await.status, 422);
}

#[tokio::test]
async fn a_graph_is_drawn_closed_or_with_what_is_mounted_in_it() {
    let kept = Kept::start().await;
    let closed = kept.get("/assistants/nested/graph").await.good();
    let ids = |drawn: &Json| -> Vec<(String, String)> {
        let text = |json: &Json| json.as_str().unwrap().to_owned();
        drawn["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| (text(&n["id"]), text(&n["type"])))
            .collect()
    };
    let pair = |id: &str, kind: &str| (id.to_owned(), kind.to_owned());
    let expected = [
        pair("__start__", "schema"),
        pair("first", "runnable"),
        pair("second", "runnable"),
        pair("__end__", "schema"),
    ];
    assert_eq!(ids(&closed), expected);
    assert!(closed["nodes"][0]["data"]["properties"]["topic"].is_object(), "{closed}");
    assert_eq!(closed["nodes"][1]["data"]["name"], "first");
    assert_eq!(closed["nodes"][1]["metadata"], json!({}));
    assert_eq!(closed["nodes"][3], json!({ "id": "__end__", "type": "schema" }));
    let edges = json!([
        { "source": "__start__", "target": "first" },
        { "source": "first", "target": "second" },
        { "source": "second", "target": "__end__" },
    ]);
    assert_eq!(closed["edges"], edges);
    assert_eq!(kept.get("/assistants/nested/graph?xray=false").await.good(), closed);
    for opened in ["true", "1", "7"] {
        let opened = kept.get(&format!("/assistants/nested/graph?xray={opened}")).await.good();
        assert!(ids(&opened).contains(&pair("second:inner", "runnable")), "{opened}");
        assert!(!ids(&opened).contains(&pair("second", "runnable")), "{opened}");
    }
    let named = kept.get("/assistants/nested/graph?open=second").await.good();
    assert_eq!(named, kept.get("/assistants/nested/graph?xray=1").await.good());
    for none in ["", "second:inner", "third,first"] {
        let drawn = kept.get(&format!("/assistants/nested/graph?xray=true&open={none}")).await;
        assert_eq!(drawn.good(), closed, "{none}");
    }
    let many: Vec<String> = (0..257).map(|at| format!("m{at}")).collect();
    let many = kept.get(&format!("/assistants/nested/graph?open={}", many.join(","))).await;
    let told = "open: expected at most 256 mounted graphs".to_owned();
    assert_eq!(many.refusal(), (422, told));
    for wrong in ["0", "-1", "deep", "1.5"] {
        let refused = kept.get(&format!("/assistants/nested/graph?xray={wrong}")).await;
        assert_eq!(refused.refusal(), (422, "Invalid xray value".to_owned()));
    }
}

#[tokio::test]
async fn schemas_are_those_of_the_graph_and_of_what_is_mounted_in_it() {
    let kept = Kept::start().await;
    let schemas = kept.get("/assistants/nested/schemas").await.good();
    assert_eq!(schemas["graph_id"], "nested");
    for of in ["input_schema", "output_schema", "state_schema"] {
        assert_eq!(schemas[of]["type"], "object", "{of}");
        assert_eq!(schemas[of]["properties"]["log"]["type"], "array", "{of}");
    }
    assert_eq!(schemas["channels"][0], json!({ "key": "log", "rule": "append" }));
    assert_eq!(schemas["context_schema"]["title"], "Context");
    assert_eq!(schemas["config_schema"], schemas["context_schema"]);
    let plain = kept.get("/assistants/plain/schemas").await.good();
    assert_eq!(plain["context_schema"], Json::Null);

    let mounted = kept.get("/assistants/nested/subgraphs").await.good();
    assert_eq!(mounted.as_object().unwrap().keys().collect::<Vec<_>>(), ["second"]);
    let second = &mounted["second"];
    assert_eq!(second["graph_id"], "child");
    assert!(second["state_schema"]["properties"]["child"].is_object());
    for of in ["input", "output", "state", "config"] {
        assert_eq!(second[of], second[format!("{of}_schema")], "{of}");
    }
    for path in ["second", "second?recurse=true", "second%3A61f3a"] {
        let one = kept.get(&format!("/assistants/nested/subgraphs/{path}")).await.good();
        assert_eq!(one, mounted, "{path}");
    }
    for path in ["third", "sec", "second%7Cinner"] {
        let none = kept.get(&format!("/assistants/nested/subgraphs/{path}")).await.good();
        assert_eq!(none, json!({}), "{path}");
    }
    assert_eq!(kept.get("/assistants/plain/subgraphs?recurse=1").await.good(), json!({}));
}
