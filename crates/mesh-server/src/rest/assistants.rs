//! `/assistants`: graphs with a named, versioned configuration.

use axum::{Json, extract::Path, http::StatusCode, response::Response};
use mesh_protocol::assistant::{
    Assistant, AssistantCount, AssistantCreate, AssistantLatest, AssistantPatch, AssistantSearch,
    AssistantSelect, AssistantSortBy, AssistantVersion, AssistantVersionSearch, IfExists,
};
use mesh_runtime::assistant::{self as kept, AssistantFilter, AssistantOrder, AssistantSort};

use super::{
    Kept, Operation, Tag,
    search::{direction, paged, window},
};
use crate::{
    auth::{Action, Caller},
    extract::JsonBody,
    refusal::Refusal,
};

pub(super) const TAG: Tag = Tag {
    name: "Assistants",
    description: "A graph with a named, versioned configuration. Every graph has one of itself, \
                  and its name can stand for that one's id.",
};

/// What can be asked about assistants.
pub(super) fn operations() -> Vec<Operation> {
    let missing = "There is no such assistant";
    vec![
        Operation::post("/assistants", "create_assistant", create)
            .summary("Makes an assistant")
            .body::<AssistantCreate>()
            .gives::<Assistant>("The assistant, version 1")
            .refuses(400, "Both a context and `config.configurable` are given")
            .refuses(404, "There is no such graph")
            .refuses(409, "There is one with this id already"),
        Operation::post("/assistants/search", "search_assistants", search)
            .summary("Finds assistants")
            .body::<AssistantSearch>()
            .gives::<Vec<Assistant>>("The assistants; only the chosen members of each")
            .paged(),
        Operation::post("/assistants/count", "count_assistants", count)
            .summary("Counts assistants")
            .body::<AssistantCount>()
            .gives::<u64>("How many there are"),
        Operation::get("/assistants/{assistant_id}", "get_assistant", get)
            .summary("Gives an assistant")
            .gives::<Assistant>("The assistant")
            .refuses(404, missing),
        Operation::patch("/assistants/{assistant_id}", "update_assistant", patch)
            .summary("Changes an assistant")
            .description(
                "Every change makes a version. Entries of the metadata are merged, all \
                          else is replaced.",
            )
            .body::<AssistantPatch>()
            .gives::<Assistant>("The assistant in its new version")
            .refuses(400, "Both a context and `config.configurable` are given")
            .refuses(404, "There is no such assistant or graph"),
        Operation::delete("/assistants/{assistant_id}", "delete_assistant", delete)
            .summary("Removes an assistant with its versions")
            .gives_nothing(204, "It is removed")
            .refuses(404, missing),
        Operation::post("/assistants/{assistant_id}/versions", "list_assistant_versions", versions)
            .summary("Gives the versions of an assistant, the newest first")
            .body::<AssistantVersionSearch>()
            .gives::<Vec<AssistantVersion>>("The versions")
            .paged()
            .refuses(404, missing),
        Operation::post("/assistants/{assistant_id}/latest", "set_latest_assistant", latest)
            .summary("Makes an assistant be as one of its versions")
            .body::<AssistantLatest>()
            .gives::<Assistant>("The assistant")
            .refuses(404, "There is no such assistant or version"),
    ]
}

async fn create(
    Kept(runtime): Kept,
    caller: Caller,
    JsonBody(body): JsonBody<AssistantCreate>,
) -> Result<Json<Assistant>, Refusal> {
    let scope = caller.scope(Action::CreateAssistant)?;
    let mut metadata = body.metadata.unwrap_or_default();
    caller.sign(&mut metadata);
    let new = kept::NewAssistant {
        graph: body.graph_id,
        id: body.assistant_id,
        config: body.config,
        context: body.context,
        metadata: Some(metadata),
        name: body.name,
        description: body.description,
        if_exists: match body.if_exists.unwrap_or_default() {
            IfExists::Raise => kept::IfExists::Raise,
            IfExists::DoNothing => kept::IfExists::DoNothing,
        },
    };
    // The caller owns what it makes, also where it may see everything.
    let made = runtime.create_assistant(&scope, caller.owner(), new).await?;
    Ok(Json(wire(made)))
}

async fn get(
    Kept(runtime): Kept,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Assistant>, Refusal> {
    let scope = caller.scope(Action::ReadAssistant)?;
    Ok(Json(wire(runtime.assistant(&scope, &id).await?)))
}

async fn patch(
    Kept(runtime): Kept,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<AssistantPatch>,
) -> Result<Json<Assistant>, Refusal> {
    let scope = caller.scope(Action::UpdateAssistant)?;
    let mut metadata = body.metadata.unwrap_or_default();
    caller.keep_owner(&mut metadata);
    let patch = kept::AssistantPatch {
        graph: body.graph_id,
        config: body.config,
        context: body.context,
        metadata: Some(metadata),
        name: body.name,
        description: body.description,
    };
    Ok(Json(wire(runtime.update_assistant(&scope, &id, patch).await?)))
}

async fn delete(
    Kept(runtime): Kept,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let scope = caller.scope(Action::DeleteAssistant)?;
    runtime.remove_assistant(&scope, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn search(
    Kept(runtime): Kept,
    caller: Caller,
    JsonBody(body): JsonBody<AssistantSearch>,
) -> Result<Response, Refusal> {
    let scope = caller.scope(Action::SearchAssistants)?;
    let window = window(body.limit, body.offset)?;
    let filter = AssistantFilter { metadata: body.metadata, graph: body.graph_id, name: body.name };
    let by = match body.sort_by {
        Some(AssistantSortBy::AssistantId) => AssistantSort::Id,
        Some(AssistantSortBy::GraphId) => AssistantSort::Graph,
        Some(AssistantSortBy::Name) => AssistantSort::Name,
        Some(AssistantSortBy::CreatedAt) | None => AssistantSort::CreatedAt,
        Some(AssistantSortBy::UpdatedAt) => AssistantSort::UpdatedAt,
    };
    let order = AssistantOrder { by, direction: direction(body.sort_order) };
    let page = runtime.search_assistants(&scope, filter, order, window).await?;
    Ok(paged(window, page, wire, body.select.as_deref()))
}

async fn count(
    Kept(runtime): Kept,
    caller: Caller,
    JsonBody(body): JsonBody<AssistantCount>,
) -> Result<Json<u64>, Refusal> {
    let scope = caller.scope(Action::SearchAssistants)?;
    let filter = AssistantFilter { metadata: body.metadata, graph: body.graph_id, name: body.name };
    Ok(Json(runtime.count_assistants(&scope, filter).await?))
}

async fn versions(
    Kept(runtime): Kept,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<AssistantVersionSearch>,
) -> Result<Response, Refusal> {
    let scope = caller.scope(Action::ReadAssistant)?;
    let window = window(body.limit, body.offset)?;
    let metadata = body.metadata.unwrap_or_default();
    let page = runtime.assistant_versions(&scope, &id, metadata, window).await?;
    Ok(paged(window, page, wire_version, None::<&[AssistantSelect]>))
}

async fn latest(
    Kept(runtime): Kept,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<AssistantLatest>,
) -> Result<Json<Assistant>, Refusal> {
    let scope = caller.scope(Action::UpdateAssistant)?;
    Ok(Json(wire(runtime.set_latest_assistant(&scope, &id, body.version).await?)))
}

/// An assistant as the wire has it.
fn wire(assistant: kept::Assistant) -> Assistant {
    Assistant {
        assistant_id: assistant.id,
        graph_id: assistant.graph,
        config: assistant.config,
        context: assistant.context,
        created_at: assistant.created_at.to_string(),
        updated_at: assistant.updated_at.to_string(),
        metadata: assistant.metadata,
        version: assistant.version,
        name: assistant.name,
        description: assistant.description,
    }
}

fn wire_version(version: kept::Assistant) -> AssistantVersion {
    AssistantVersion {
        assistant_id: version.id,
        graph_id: version.graph,
        config: version.config,
        context: version.context,
        created_at: version.created_at.to_string(),
        metadata: version.metadata,
        version: version.version,
        name: version.name,
        description: version.description,
    }
}
