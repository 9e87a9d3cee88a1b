//! `/store`: items kept across threads, by namespace and key.

use std::num::NonZeroUsize;

use axum::{Json, http::StatusCode};
use mesh_graph::store::{self as kept, Error, Filter, Indexing, Lifetime, Op, RESERVED_ROOTS};
use mesh_protocol::store::{
    FoundItem, FoundItems, Indexing as WireIndexing, Item, ItemDelete, ItemPut, ItemSearch,
    NamespaceList, NamespaceSearch,
};
use mesh_runtime::Stamp;
use serde_json::{Value, json};

use super::{
    Kept, Operation, Tag,
    params::Params,
    search::{window, window_or},
};
use crate::{
    auth::{Action, Caller},
    extract::JsonBody,
    refusal::Refusal,
};

pub(super) const TAG: Tag =
    Tag { name: "Store", description: "Items kept across threads, by namespace and key." };

/// Namespaces that a listing gives when it does not say.
const NAMESPACES: u32 = 100;

/// What can be asked about the store.
pub(super) fn operations() -> Vec<Operation> {
    let bad = "The namespace is empty";
    vec![
        Operation::put("/store/items", "put_item", put)
            .summary("Writes an item")
            .body::<ItemPut>()
            .gives_nothing(204, "It is written")
            .refuses(400, bad),
        Operation::get("/store/items", "get_item", get)
            .summary("Gives an item, or null")
            .query("namespace", json!({ "type": "string" }), "Its labels, joined by periods")
            .query("key", json!({ "type": "string" }), "Its name there")
            .query("refresh_ttl", json!({ "type": "boolean" }), "Whether its time starts anew")
            .gives::<Option<Item>>("The item; null if there is none")
            .refuses(400, "There is no namespace or no key"),
        Operation::delete("/store/items", "delete_item", delete)
            .summary("Removes an item")
            .body::<ItemDelete>()
            .gives_nothing(204, "It is not there any more")
            .refuses(400, bad),
        Operation::post("/store/items/search", "search_items", search)
            .summary("Finds items")
            .body::<ItemSearch>()
            .gives::<FoundItems>("The items; closest to the query first, else written last first")
            .refuses(400, "The filter has an operator that is none"),
        Operation::post("/store/namespaces", "list_namespaces", namespaces)
            .summary("Lists namespaces that have items, sorted")
            .body::<NamespaceSearch>()
            .gives::<NamespaceList>("The namespaces"),
    ]
}

async fn put(
    Kept(runtime): Kept,
    caller: Caller,
    JsonBody(body): JsonBody<ItemPut>,
) -> Result<StatusCode, Refusal> {
    check(&body.namespace)?;
    caller.namespace_scope(Action::PutItem, &body.namespace)?;
    let put = kept::Put {
        namespace: body.namespace,
        key: body.key,
        value: Some(body.value),
        index: match body.index {
            None | Some(WireIndexing::Switch(true)) => Indexing::Default,
            Some(WireIndexing::Switch(false)) => Indexing::Off,
            Some(WireIndexing::Paths(paths)) => Indexing::Paths(paths),
        },
        ttl: body.ttl.map_or(Lifetime::Default, Lifetime::Minutes),
    };
    runtime.store().batch(vec![Op::Put(put)]).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn get(
    Kept(runtime): Kept,
    caller: Caller,
    params: Params,
) -> Result<Json<Option<Item>>, Refusal> {
    let key = params.text("key").filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| Refusal::bad_request("no_key", "Key is required"))?;
    let namespace: Vec<String> = match params.text("namespace") {
        None | Some("") => Vec::new(),
        Some(text) => text.split('.').map(str::to_owned).collect(),
    };
    check(&namespace)?;
    caller.namespace_scope(Action::GetItem, &namespace)?;
    let get = kept::Get { namespace, key: key.to_owned(), refresh: params.flag("refresh_ttl")? };
    match runtime.store().batch(vec![Op::Get(get)]).await.map_err(refused)?.pop() {
        Some(kept::Reply::Item(item)) => Ok(Json(item.map(wire))),
        _ => Err(Refusal::Internal),
    }
}

async fn delete(
    Kept(runtime): Kept,
    caller: Caller,
    JsonBody(body): JsonBody<ItemDelete>,
) -> Result<StatusCode, Refusal> {
    let namespace = body.namespace.unwrap_or_default();
    check(&namespace)?;
    caller.namespace_scope(Action::DeleteItem, &namespace)?;
    let namespace: Vec<&str> = namespace.iter().map(String::as_str).collect();
    runtime.store().delete(&namespace, &body.key).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn search(
    Kept(runtime): Kept,
    caller: Caller,
    JsonBody(body): JsonBody<ItemSearch>,
) -> Result<Json<FoundItems>, Refusal> {
    let prefix = body.namespace_prefix.unwrap_or_default();
    check_labels(&prefix, false)?;
    let label = caller.below(Action::SearchItems, &prefix)?;
    let window = window(body.limit, body.offset)?;
    let search = kept::Search {
        prefix,
        label,
        filter: match body.filter {
            Some(filter) => Filter::new(&Value::Object(filter)).map_err(refused)?,
            None => Filter::default(),
        },
        query: body.query.filter(|query| !query.is_empty()),
        limit: window.limit,
        offset: window.offset,
        refresh: body.refresh_ttl,
    };
    let found = runtime.store().search(search).await.map_err(refused)?;
    let items =
        found.into_iter().map(|found| FoundItem { item: wire(found.item), score: found.score });
    Ok(Json(FoundItems { items: items.collect() }))
}

async fn namespaces(
    Kept(runtime): Kept,
    caller: Caller,
    JsonBody(body): JsonBody<NamespaceSearch>,
) -> Result<Json<NamespaceList>, Refusal> {
    let (prefix, suffix) = (body.prefix.unwrap_or_default(), body.suffix.unwrap_or_default());
    let labels: Vec<&String> = prefix.iter().chain(&suffix).collect();
    let label = caller.below(Action::ListNamespaces, &labels)?;
    check_labels(&prefix, false)?;
    check_labels(&suffix, false)?;
    let window = window_or(body.limit, body.offset, NAMESPACES)?;
    let max_depth = match body.max_depth {
        None => None,
        Some(depth) => Some(NonZeroUsize::new(depth as usize).ok_or_else(|| {
            let detail = "/max_depth: 0, expected 1 or more";
            Refusal::invalid(Some("/max_depth".to_owned()), detail)
        })?),
    };
    let asked = kept::Namespaces {
        prefix,
        suffix,
        label,
        max_depth,
        limit: window.limit,
        offset: window.offset,
    };
    let namespaces = runtime.store().list_namespaces(asked).await.map_err(refused)?;
    Ok(Json(NamespaceList { namespaces }))
}

/// Refuses namespaces that no item is in.
fn check(namespace: &[String]) -> Result<(), Refusal> {
    if namespace.is_empty() {
        return Err(Refusal::bad_request("empty_namespace", "Namespace cannot be empty."));
    }
    check_labels(namespace, true)
}

/// Refuses labels that no namespace has; reserved ones only where something is named exactly.
fn check_labels(labels: &[String], whole: bool) -> Result<(), Refusal> {
    if let Some(label) = labels.iter().find(|label| label.is_empty() || label.contains('.')) {
        let detail =
            format!("Namespace label '{label}' must be a non-empty string without periods");
        return Err(Refusal::told(StatusCode::UNPROCESSABLE_ENTITY, "invalid_namespace", detail));
    }
    match labels.first() {
        Some(root) if whole && RESERVED_ROOTS.contains(&root.as_str()) => {
            let detail = format!("Namespace root '{root}' is reserved");
            Err(Refusal::told(StatusCode::UNPROCESSABLE_ENTITY, "reserved_namespace", detail))
        }
        _ => Ok(()),
    }
}

/// What a client is told about what a store does not do.
fn refused(error: Error) -> Refusal {
    match error {
        Error::UnknownOperator { .. } | Error::Operand { .. } => {
            Refusal::bad_request("invalid_filter", error.to_string())
        }
        Error::Namespace { .. }
        | Error::NotAnObject { .. }
        | Error::Path { .. }
        | Error::Ttl { .. }
        | Error::TooManyParts { .. } => Refusal::invalid(None, error.to_string()),
        error => mesh_runtime::Error::Store(error).into(),
    }
}

/// An item as the wire has it.
fn wire(item: kept::Item) -> Item {
    let time = |ms: i64| Stamp(ms.saturating_mul(1000)).to_string();
    Item {
        namespace: item.namespace,
        key: item.key,
        value: item.value,
        created_at: time(item.created_at_ms),
        updated_at: time(item.updated_at_ms),
        ttl: item.ttl_ms.map(|ms| ms as f64 / 60_000.0),
    }
}
