//! The server itself: what it counts, and what it says about its operations.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use crate::{kept::Kept, kit::Mesh};

#[tokio::test]
async fn ok_can_ask_the_database() {
    let kept = Kept::start().await;
    assert_eq!(kept.get("/ok?check_db=1").await.good(), json!({ "ok": true }));
    assert_eq!(kept.get("/ok?check_db=0").await.good(), json!({ "ok": true }));
    assert_eq!(kept.get("/ok?check_db=perhaps").await.status, 422);
}

#[tokio::test]
async fn info_has_what_clients_of_langgraph_look_for() {
    let kept = Kept::start().await;
    let info = kept.get("/info").await.good();
    let flags = json!({
        "assistants": true, "crons": true, "langsmith": false, "langsmith_tracing_replicas": false,
    });
    assert_eq!(info["flags"], flags);
    assert_eq!(info["host"]["kind"], "self-hosted");
    assert_eq!(info["host"]["tenant_id"], Json::Null);
    assert_eq!(info["version"], "1.2.3");
    assert_eq!(info.get("langgraph_py_version"), Some(&Json::Null));
}

fn value(metrics: &Json, name: &str, label: Option<(&str, &str)>) -> u64 {
    let metric = metrics.as_array().unwrap().iter().find(|metric| metric["name"] == name).unwrap();
    let of_label = |sample: &&Json| label.is_none_or(|(key, of)| sample["labels"][key] == of);
    metric["samples"].as_array().unwrap().iter().find(of_label).unwrap()["value"].as_u64().unwrap()
}

#[tokio::test]
async fn metrics_count_what_happened_in_both_forms() {
    let kept = Kept::start().await;
    for _ in 0..3 {
        assert_eq!(kept.get("/nothing").await.status, 404);
    }
    let thread = kept.post("/threads", json!({})).await.good();
    let metrics = kept.get("/metrics?format=json").await.good();
    assert_eq!(value(&metrics, "mesh_http_answers_total", Some(("class", "4xx"))), 3);
    assert_eq!(value(&metrics, "mesh_http_answers_total", Some(("class", "2xx"))), 1);
    assert_eq!(value(&metrics, "mesh_connections_total", None), 5);
    assert!(value(&metrics, "mesh_connections", None) >= 1);
    assert_eq!(value(&metrics, "mesh_runs", Some(("status", "pending"))), 0);
    assert_eq!(value(&metrics, "mesh_runs_ended_total", Some(("status", "success"))), 0);
    drop(thread);
    let text = kept.get("/metrics").await;
    assert_eq!(text.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(text.body.contains("# TYPE mesh_http_answers_total counter\n"), "{}", text.body);
    assert!(text.body.contains("mesh_http_answers_total{class=\"4xx\"} 3\n"), "{}", text.body);
    assert!(text.body.contains("mesh_info{version=\"1.2.3\"} 1\n"), "{}", text.body);
    assert_eq!(kept.get("/metrics?format=xml").await.status, 422);
    // A server that keeps nothing has no numbers of runs.
    let bare = Mesh::bare().await.http("GET", "/metrics", "").await;
    assert!(!bare.body.contains("mesh_runs{"), "{}", bare.body);
}

fn references<'a>(json: &'a Json, found: &mut BTreeSet<&'a str>) {
    match json {
        Json::Object(members) => {
            for (key, member) in members {
                match (key.as_str(), member) {
                    ("$ref", Json::String(reference)) => {
                        found.insert(reference);
                    }
                    _ => references(member, found),
                }
            }
        }
        Json::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_is_complete_in_itself() {
    let kept = Kept::start().await;
    let document = kept.get("/openapi.json").await.good();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 10, "{found:?}");
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference}"));
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        let reference = format!("#/components/schemas/{name}");
        assert!(found.contains(&*reference), "{name} is used");
    }
    let mut ids = BTreeSet::new();
    let tags: BTreeSet<&str> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].as_str().unwrap())
        .collect();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{at}");
            assert!(tags.contains(operation["tags"][0].as_str().unwrap()), "{at}");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{at}");
            let parameters = path.matches('{').count();
            let empty = Vec::new();
            let described = operation["parameters"].as_array().unwrap_or(&empty);
            let in_path = described.iter().filter(|one| one["in"] == "path").count();
            assert_eq!(in_path, parameters, "{at}");
            let responses = operation["responses"].as_object().unwrap();
            let good = responses.keys().any(|status| status.starts_with(['1', '2']));
            assert!(good && responses.contains_key("default"), "{at}");
        }
    }
}

#[tokio::test]
async fn the_reference_loads_only_its_own_files() {
    let mesh = Mesh::start().await;
    let page = mesh.http("GET", "/docs", "").await;
    assert_eq!(page.status, 200);
    for (path, kind) in [
        ("/docs/style.css", "text/css"),
        ("/docs/script.js", "text/javascript"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        assert!(page.body.contains(&format!("\"{}\"", &path[1..])), "{path} is used");
        let file = mesh.http("GET", path, "").await;
        assert_eq!(file.status, 200);
        assert!(file.header("content-type").unwrap().starts_with(kind));
        assert!(!file.body.contains("innerHTML"), "{path} sets text, never markup");
    }
    assert!(!page.body.contains("http://") && !page.body.contains("https://"));
    assert!(!page.body.contains(" style=") && !page.body.contains(" onclick="));
}

#[tokio::test]
async fn what_is_kept_can_be_removed_on_a_server_for_development_alone() {
    let everything = json!({
        "runs": true, "threads": true, "assistants": true, "checkpointer": true, "store": true,
    });
    let kept = Kept::start().await;
    assert_eq!(kept.post("/internal/truncate", everything.clone()).await.status, 404);
    assert!(!kept.get("/openapi.json").await.body.contains("/internal/"));

    let kept = Kept::start_for_development().await;
    assert!(kept.get("/openapi.json").await.body.contains("/internal/truncate"));
    let new = json!({ "graph_id": "plain" });
    let made = kept.post("/assistants", new).await.good();
    let assistant = format!("/assistants/{}", made["assistant_id"].as_str().unwrap());
    let thread = kept.post("/threads", json!({})).await.good();
    let thread = format!("/threads/{}", thread["thread_id"].as_str().unwrap());
    let item = json!({ "namespace": ["a"], "key": "k", "value": {} });
    assert_eq!(kept.put("/store/items", item).await.status, 204);
    let item = "/store/items?namespace=a&key=k";

    let done = kept.post("/internal/truncate", json!({ "runs": true, "checkpointer": true })).await;
    assert_eq!(done.good(), json!({ "ok": true }));
    assert_eq!(kept.post("/internal/truncate", json!({})).await.good(), json!({ "ok": true }));
    assert_eq!(kept.get(&assistant).await.status, 200);
    assert_eq!(kept.get(&thread).await.status, 200);
    assert!(kept.get(item).await.good().is_object());

    kept.post("/internal/truncate", everything).await.good();
    assert_eq!(kept.get(&assistant).await.status, 404);
    assert_eq!(kept.get(&thread).await.status, 404);
    assert_eq!(kept.get(item).await.good(), Json::Null);
    assert_eq!(kept.post("/assistants/count", json!({})).await.good(), 2);
}
