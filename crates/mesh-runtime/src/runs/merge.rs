//! What a run is configured by: assistant, thread and request, in this order, the last one wins.

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::create::NewRun;
use crate::Error;

type Object = Map<String, Json>;

/// What a run gets, and what its thread gets from it.
pub(super) struct Merged {
    pub(super) metadata: Object,
    pub(super) config: Object,
    pub(super) context: Json,
    pub(super) checkpoint: Option<Json>,
    pub(super) thread_metadata: Object,
    pub(super) thread_config: Object,
}

/// Members of a checkpoint reference.
const CHECKPOINT: [&str; 3] = ["checkpoint_id", "checkpoint_ns", "checkpoint_map"];

/// Merges for a run on a thread that has this metadata and configuration.
///
/// # Errors
/// [`Error::Invalid`] if both context and `configurable` are given.
pub(super) fn merge(
    new: &NewRun,
    id: Uuid,
    thread: &str,
    thread_metadata: Object,
    thread_config: &Object,
) -> Result<Merged, Error> {
    let assistant = &*new.assistant;
    let ids = object([("graph_id", json!(assistant.graph)), ("assistant_id", json!(assistant.id))]);
    let metadata = join([&assistant.metadata, &thread_metadata, &new.metadata, &ids]);

    let asked = member(&new.config, "configurable");
    let context = new.context.as_ref().and_then(Json::as_object);
    let asked = match context {
        Some(context) if asked.is_empty() => context,
        Some(context) if !context.is_empty() => {
            return Err(Error::Invalid {
                pointer: "/context".to_owned(),
                message: "Cannot specify both configurable and context. Prefer setting context \
                          alone."
                    .to_owned(),
            });
        }
        _ => asked,
    };
    let empty = Object::new();
    let context = join([assistant.context.as_object().unwrap_or(&empty), asked]);

    let given = new.checkpoint.as_ref().and_then(Json::as_object);
    let given = given.filter(|given| !given.is_empty());
    // Some clients name the checkpoint as graphs see it.
    let checkpoint: Object = given.cloned().unwrap_or_else(|| {
        let named = CHECKPOINT.iter().filter_map(|name| asked.get_key_value(*name));
        named.map(|(name, value)| (name.clone(), value.clone())).collect()
    });
    let own = object([
        ("run_id", json!(id)),
        ("thread_id", json!(thread)),
        ("graph_id", json!(assistant.graph)),
        ("assistant_id", json!(assistant.id)),
    ]);
    let mut configurable = join([
        member(&assistant.config, "configurable"),
        member(thread_config, "configurable"),
        asked,
        &checkpoint,
        &new.granted,
        &own,
    ]);
    // Graphs find it in any case; where nobody has to say who they are, clients may.
    configurable.entry("user_id").or_insert_with(|| json!(""));
    let told =
        join([member(&assistant.config, "metadata"), member(&new.config, "metadata"), &metadata]);
    let mut config = join([&assistant.config, &new.config]);
    config.insert("configurable".to_owned(), Json::Object(configurable));
    config.insert("metadata".to_owned(), Json::Object(told));

    let kept =
        join([member(&assistant.config, "configurable"), member(thread_config, "configurable")]);
    let mut kept_config = join([&assistant.config, thread_config]);
    kept_config.insert("configurable".to_owned(), Json::Object(kept));
    Ok(Merged {
        metadata,
        config,
        context: Json::Object(context),
        checkpoint: checkpoint.get("checkpoint_id").is_some().then_some(Json::Object(checkpoint)),
        thread_metadata: join([&thread_metadata, &ids]),
        thread_config: kept_config,
    })
}

/// Metadata of a thread that a run makes.
pub(super) fn metadata_of_new_thread(new: &NewRun) -> Object {
    let ids = object([
        ("graph_id", json!(new.assistant.graph)),
        ("assistant_id", json!(new.assistant.id)),
    ]);
    join([&ids, &new.metadata])
}

fn object<const N: usize>(members: [(&str, Json); N]) -> Object {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A member that is an object; else an empty one.
fn member<'a>(object: &'a Object, name: &str) -> &'a Object {
    static EMPTY: std::sync::LazyLock<Object> = std::sync::LazyLock::new(Object::new);
    object.get(name).and_then(Json::as_object).unwrap_or(&EMPTY)
}

fn join<const N: usize>(objects: [&Object; N]) -> Object {
    let mut joined = Object::new();
    for object in objects {
        joined.extend(object.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    joined
}

#[cfg(test)]
mod tests;
