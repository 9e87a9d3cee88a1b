//! `/store`.

use serde_json::{Value as Json, json};

use crate::kept::Kept;

async fn put(kept: &Kept, namespace: &[&str], key: &str, value: Json) {
    let item = json!({ "namespace": namespace, "key": key, "value": value });
    let answer = kept.put("/store/items", item).await;
    assert_eq!((answer.status, &*answer.body), (204, ""), "{answer:?}");
}

fn keys(found: &Json) -> Vec<&str> {
    found["items"].as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_item_is_written_read_overwritten_and_removed() {
    let kept = Kept::start().await;
    let path = "/store/items?namespace=a.b&key=k%20%C3%A9";
    assert_eq!(kept.get(path).await.good(), Json::Null);
    put(&kept, &["a", "b"], "k é", json!({ "n": 1 })).await;
    let first = kept.get(path).await.good();
    assert_eq!(first["namespace"], json!(["a", "b"]));
    assert_eq!(first["key"], "k é");
    assert_eq!(first["value"], json!({ "n": 1 }));
    assert_eq!(first["created_at"], first["updated_at"]);
    put(&kept, &["a", "b"], "k é", json!({ "n": 2 })).await;
    let second = kept.get(path).await.good();
    assert_eq!(second["value"], json!({ "n": 2 }));
    assert_eq!(second["created_at"], first["created_at"]);
    assert!(second["updated_at"].as_str() > first["updated_at"].as_str(), "{second}");
    for _ in 0..2 {
        let gone = json!({ "namespace": ["a", "b"], "key": "k é" });
        assert_eq!(kept.mesh.send("DELETE", "/store/items", &gone).await.status, 204);
    }
    assert_eq!(kept.get(path).await.good(), Json::Null);
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_in_the_words_of_the_wire() {
    let kept = Kept::start().await;
    let with = |namespace: Json| json!({ "namespace": namespace, "key": "k", "value": {} });
    let refused = async |namespace| kept.put("/store/items", with(namespace)).await.refusal();
    assert_eq!(refused(json!([])).await, (400, "Namespace cannot be empty.".to_owned()));
    let text = "Namespace label 'a.b' must be a non-empty string without periods";
    assert_eq!(refused(json!(["x", "a.b"])).await, (422, text.to_owned()));
    let text = "Namespace label '' must be a non-empty string without periods";
    assert_eq!(refused(json!([""])).await, (422, text.to_owned()));
    assert_eq!(refused(json!(["langgraph", "x"])).await.0, 422);
    assert_eq!(refused(json!("a")).await.0, 422);
    let gone = json!({ "namespace": [], "key": "k" });
    assert_eq!(kept.mesh.send("DELETE", "/store/items", &gone).await.status, 400);
    let no_key = kept.get("/store/items?namespace=a").await.refusal();
    assert_eq!(no_key, (400, "Key is required".to_owned()));
    assert_eq!(kept.get("/store/items?key=k").await.status, 400);
    assert_eq!(kept.get("/store/items?namespace=a..b&key=k").await.status, 422);
    for wrong in [
        json!({ "namespace": ["a"], "key": "k", "value": 1 }),
        json!({ "namespace": ["a"], "value": {} }),
        json!({ "namespace": ["a"], "key": "k", "value": {}, "ttl": -1 }),
        json!({ "namespace": ["a"], "key": "k", "value": {}, "index": 7 }),
        json!({ "namespace": ["a"], "key": "k\u{0}", "value": {} }),
    ] {
        assert_eq!(kept.put("/store/items", wrong.clone()).await.status, 422, "{wrong}");
    }
    for fine in [json!(false), json!(["a.b"]), Json::Null] {
        let item = json!({
            "namespace": ["a"], "key": "k", "value": {}, "index": fine, "ttl": 1.5,
        });
        assert_eq!(kept.put("/store/items", item).await.status, 204);
    }
}

#[tokio::test]
async fn a_search_goes_by_whole_labels_filters_and_pages() {
    let kept = Kept::start().await;
    put(&kept, &["users", "a"], "one", json!({ "n": 1, "s": "x", "o": { "p": 1 } })).await;
    put(&kept, &["users", "ab"], "two", json!({ "n": 2.0, "s": "y" })).await;
    put(&kept, &["users", "a", "deep"], "three", json!({ "s": "z", "l": [1] })).await;
    put(&kept, &["others"], "four", json!({ "n": 10 })).await;
    let search = async |body: Json| kept.post("/store/items/search", body).await;
    for (asked, expected) in [
        (json!({}), vec!["four", "three", "two", "one"]),
        (json!({ "namespace_prefix": [] }), vec!["four", "three", "two", "one"]),
        (json!({ "namespace_prefix": ["users", "a"] }), vec!["three", "one"]),
        (json!({ "namespace_prefix": ["langgraph"] }), vec![]),
        (json!({ "filter": { "n": 2 } }), vec!["two"]),
        (json!({ "filter": { "n": { "$eq": 1 } } }), vec!["one"]),
        (json!({ "filter": { "n": { "$ne": 1 } } }), vec!["four", "two"]),
        (json!({ "filter": { "n": { "$gt": 1 } } }), vec!["four", "two"]),
        (json!({ "filter": { "n": { "$gte": 1, "$lt": 10 } } }), vec!["two", "one"]),
        (json!({ "filter": { "n": { "$lte": 2 }, "s": "x" } }), vec!["one"]),
        (json!({ "filter": { "o": { "p": 1 } } }), vec!["one"]),
        (json!({ "filter": { "l": [1] } }), vec!["three"]),
        (json!({ "limit": 2, "offset": 1 }), vec!["three", "two"]),
        (
            json!({ "query": "anything", "filter": null, "refresh_ttl": true, "limit": 1 }),
            vec!["four"],
        ),
    ] {
        assert_eq!(keys(&search(asked.clone()).await.good()), expected, "{asked}");
    }
    let one = &search(json!({ "filter": { "s": "x" } })).await.good()["items"][0];
    assert_eq!(one["score"], Json::Null);
    assert_eq!(one["namespace"], json!(["users", "a"]));
    let (status, text) = search(json!({ "filter": { "n": { "$near": 1 } } })).await.refusal();
    assert_eq!(status, 400);
    assert!(text.contains("$near"), "{text}");
    for wrong in
        [json!({ "namespace_prefix": ["a.b"] }), json!({ "limit": 0 }), json!({ "filter": [] })]
    {
        assert_eq!(search(wrong.clone()).await.status, 422, "{wrong}");
    }
}

#[tokio::test]
async fn namespaces_are_listed_once_by_both_ends_and_to_a_depth() {
    let kept = Kept::start().await;
    for namespace in [&["a", "b", "c"][..], &["a", "b", "d"], &["a", "x", "c"], &["z"]] {
        put(&kept, namespace, "k", json!({})).await;
        put(&kept, namespace, "l", json!({})).await;
    }
    let gone = json!({ "namespace": ["z"], "key": "k" });
    kept.mesh.send("DELETE", "/store/items", &gone).await;
    let gone = json!({ "namespace": ["z"], "key": "l" });
    kept.mesh.send("DELETE", "/store/items", &gone).await;
    for (asked, expected) in [
        (json!({}), json!([["a", "b", "c"], ["a", "b", "d"], ["a", "x", "c"]])),
        (json!({ "prefix": ["a", "b"] }), json!([["a", "b", "c"], ["a", "b", "d"]])),
        (json!({ "prefix": ["a", "*", "c"] }), json!([["a", "b", "c"], ["a", "x", "c"]])),
        (json!({ "suffix": ["c"] }), json!([["a", "b", "c"], ["a", "x", "c"]])),
        (json!({ "suffix": ["*", "d"] }), json!([["a", "b", "d"]])),
        (json!({ "max_depth": 2 }), json!([["a", "b"], ["a", "x"]])),
        (json!({ "max_depth": 1, "limit": 5 }), json!([["a"]])),
        (json!({ "limit": 1, "offset": 1 }), json!([["a", "b", "d"]])),
        (json!({ "prefix": ["nothing"] }), json!([])),
    ] {
        let listed = kept.post("/store/namespaces", asked.clone()).await.good();
        assert_eq!(listed, json!({ "namespaces": expected }), "{asked}");
    }
    assert_eq!(kept.post("/store/namespaces", json!({ "max_depth": 0 })).await.status, 422);
}
