//! Messages in their short form, as the protocol shows them inside the state.

use serde_json::{Map, Value as Json};

/// The value with every message that is an item of a list in its short form.
pub(super) fn shortened(mut json: Json) -> Json {
    shorten_in(&mut json);
    json
}

fn shorten_in(json: &mut Json) {
    match json {
        Json::Array(items) => {
            for item in items {
                match short(item) {
                    Some(short) => *item = short,
                    None => shorten_in(item),
                }
            }
        }
        Json::Object(object) => object.values_mut().for_each(shorten_in),
        _ => {}
    }
}

/// The short form of a message; none for anything else.
fn short(item: &Json) -> Option<Json> {
    let message = item.as_object()?;
    let kind = match message.get("type")?.as_str()? {
        "assistant" | "ai" => "ai",
        "user" | "human" => "human",
        kind @ ("system" | "tool") => kind,
        _ => return None,
    };
    let mut short = Map::new();
    short.insert("type".to_owned(), Json::from(kind));
    short.insert("content".to_owned(), message.get("content")?.clone());
    let filled = |value: &Json| match value {
        Json::Null => false,
        Json::Array(items) => !items.is_empty(),
        Json::Object(entries) => !entries.is_empty(),
        _ => true,
    };
    let mut keep = |key: &str, even_empty: bool| {
        if let Some(value) = message.get(key).filter(|value| even_empty || filled(value)) {
            short.insert(key.to_owned(), value.clone());
        }
    };
    for key in ["id", "name", "response_metadata"] {
        keep(key, false);
    }
    match kind {
        "ai" => {
            keep("tool_calls", false);
            keep("invalid_tool_calls", false);
        }
        "tool" => {
            keep("tool_call_id", false);
            keep("status", false);
            keep("artifact", true);
        }
        _ => {}
    }
    Some(Json::Object(short))
}
