use std::sync::Arc;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{Merged, Object, merge, metadata_of_new_thread};
use crate::{
    Assistant, Error, Stamp,
    runs::{NewRun, Target},
};

fn object(value: Json) -> Object {
    value.as_object().unwrap().clone()
}

fn new() -> NewRun {
    let assistant = Assistant {
        id: Uuid::from_u128(5),
        graph: "agent".to_owned(),
        config: object(json!({
            "tags": ["a"],
            "recursion_limit": 10,
            "configurable": { "model": "assistant", "a": 1 },
        })),
        context: json!({ "model": "assistant", "a": 1 }),
        metadata: object(json!({ "from": "assistant", "a": 1 })),
        name: "agent".to_owned(),
        description: None,
        created_at: Stamp(0),
        updated_at: Stamp(0),
        version: 1,
        owner: None,
    };
    NewRun::new(Arc::new(assistant), Target::Own { keep: true })
}

fn merged(new: &NewRun, thread_metadata: Json, thread_config: Json) -> Merged {
    let thread_config = object(thread_config);
    merge(new, Uuid::from_u128(7), "t", object(thread_metadata), &thread_config).unwrap()
}

#[test]
fn metadata_are_the_assistants_the_threads_and_the_requests_and_name_the_graph() {
    let mut new = new();
    new.metadata = object(json!({ "from": "request", "r": 3, "graph_id": "forged" }));
    let merged = merged(&new, json!({ "from": "thread", "t": 2 }), json!({}));
    let id = new.assistant.id;
    let all = json!({
        "from": "request", "a": 1, "t": 2, "r": 3, "graph_id": "agent", "assistant_id": id,
    });
    assert_eq!(Json::Object(merged.metadata), all);
    assert_eq!(merged.config["metadata"], all);
    let of_thread = json!({ "from": "thread", "t": 2, "graph_id": "agent", "assistant_id": id });
    assert_eq!(Json::Object(merged.thread_metadata), of_thread);
    let of_new_thread = json!({
        "from": "request", "r": 3, "graph_id": "forged", "assistant_id": id,
    });
    assert_eq!(Json::Object(metadata_of_new_thread(&new)), of_new_thread);
}

#[test]
fn configurable_is_merged_and_what_the_server_grants_wins() {
    let mut new = new();
    new.config = object(json!({
        "tags": ["r"],
        "configurable": { "model": "request", "user_id": "forged", "run_id": "forged" },
    }));
    new.granted = object(json!({ "user_id": "alice" }));
    let merged = merged(&new, json!({}), json!({ "configurable": { "model": "thread", "t": 2 } }));
    assert_eq!(merged.config["tags"], json!(["r"]), "tags are replaced");
    assert_eq!(merged.config["recursion_limit"], 10);
    let configurable = json!({
        "model": "request", "a": 1, "t": 2, "user_id": "alice",
        "run_id": Uuid::from_u128(7), "thread_id": "t", "graph_id": "agent",
        "assistant_id": new.assistant.id,
    });
    assert_eq!(merged.config["configurable"], configurable);
    let kept = json!({ "model": "thread", "a": 1, "t": 2 });
    assert_eq!(merged.thread_config["configurable"], kept, "what the thread has wins there");
    assert_eq!(merged.context["model"], "request", "graphs that read the one see the other");
}

#[test]
fn context_and_configurable_mirror_each_other_and_are_not_given_both() {
    let mut new = new();
    new.context = Some(json!({ "model": "request" }));
    let merged = merged(&new, json!({}), json!({}));
    assert_eq!(merged.context, json!({ "model": "request", "a": 1 }));
    assert_eq!(merged.config["configurable"]["model"], "request");
    new.config = object(json!({ "configurable": {} }));
    assert!(merge(&new, Uuid::nil(), "t", Object::new(), &Object::new()).is_ok());
    new.config = object(json!({ "configurable": { "x": 1 } }));
    let refused = merge(&new, Uuid::nil(), "t", Object::new(), &Object::new());
    let Err(Error::Invalid { message, .. }) = refused else { panic!("it was taken") };
    assert!(message.starts_with("Cannot specify both configurable and context"), "{message}");
}

#[test]
fn a_checkpoint_may_be_named_in_either_place() {
    let reference = json!({ "checkpoint_id": "1f", "checkpoint_ns": "" });
    let mut by_field = new();
    by_field.checkpoint = Some(reference.clone());
    let mut by_config = new();
    by_config.config = object(json!({ "configurable": reference }));
    for new in [by_field, by_config] {
        let merged = merged(&new, json!({}), json!({}));
        assert_eq!(merged.checkpoint.as_ref(), Some(&reference));
        assert_eq!(merged.config["configurable"]["checkpoint_id"], "1f");
    }
    assert_eq!(merged(&new(), json!({}), json!({})).checkpoint, None);
}
