//! `/assistants`: graphs with a named, versioned configuration.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures::future::BoxFuture;
use mesh_graph::Xray;
use mesh_protocol::assistant::{
    Assistant, AssistantCount, AssistantCreate, AssistantLatest, AssistantPatch, AssistantSearch,
    AssistantSelect, AssistantSortBy, AssistantVersion, AssistantVersionSearch, ChannelRule,
    DrawnEdge, DrawnGraph, DrawnNode, GraphSchemas, IfExists, SubgraphSchemas,
};
use mesh_runtime::assistant::{
    self as kept, AssistantFilter, AssistantOrder, AssistantSort, Description,
};
use mesh_runtime::idempotency::Made;
use serde_json::json;

use super::{
    Kept, Operation, Tag,
    params::Params,
    search::{direction, paged, window},
};
use crate::{
    auth::{Action, Caller},
    extract::{JsonBody, PathText},
    idempotency::Repeat,
    layout,
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
            .once(again)
            .summary("Makes an assistant")
            .body::<AssistantCreate>()
            .gives::<Assistant>("The assistant, version 1")
            .refuses(400, "Both a context and `config.configurable` are given")
            .refuses(404, "There is no such graph")
            .refuses(409, "There is one with this id already"),
        Operation::post("/assistants/search", "search_assistants", search)
            .summary("Finds assistants")
            .body::<AssistantSearch>()
            .gives_chosen::<Assistant>("The assistants; only the chosen members of each")
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
            .query(
                "delete_threads",
                json!({ "type": "boolean" }),
                "Also the threads whose metadata name it as `assistant_id`",
            )
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
        Operation::get("/assistants/{assistant_id}/graph", "get_assistant_graph", graph)
            .summary("Draws the graph of an assistant")
            .query(
                "xray",
                json!({ "oneOf": [{ "type": "boolean" }, { "type": "integer", "minimum": 1 }] }),
                "Whether mounted graphs are drawn, too, or down to which depth",
            )
            .query(
                "open",
                json!({ "type": "string" }),
                "Mounted graphs that are drawn open, `mount` or `mount:mount` each, separated by \
                 commas; in place of `xray`. One that is closed hides those in it",
            )
            .query("layout", json!({ "type": "boolean" }), "Whether places are given, too")
            .gives::<DrawnGraph>("Nodes and edges")
            .refuses(404, missing)
            .refuses(422, "`xray` is neither true or false nor a depth, or `open` is too long"),
        Operation::get("/assistants/{assistant_id}/schemas", "get_assistant_schemas", schemas)
            .summary("Gives JSON Schemas of what an assistant takes and gives")
            .gives::<GraphSchemas>("JSON Schemas")
            .refuses(404, missing),
        Operation::get("/assistants/{assistant_id}/subgraphs", "list_subgraphs", subgraphs)
            .summary("Gives JSON Schemas of the graphs mounted in an assistant's")
            .query("recurse", json!({ "type": "boolean" }), "Those mounted in them as well")
            .gives::<BTreeMap<String, SubgraphSchemas>>("JSON Schemas by path")
            .refuses(404, missing),
        Operation::get(
            "/assistants/{assistant_id}/subgraphs/{namespace}",
            "get_subgraph",
            subgraph,
        )
        .summary("Gives JSON Schemas of one graph mounted in an assistant's")
        .query("recurse", json!({ "type": "boolean" }), "Those mounted in it as well")
        .gives::<BTreeMap<String, SubgraphSchemas>>("JSON Schemas by path")
        .refuses(404, missing),
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

/// The answer for an assistant that was made before.
fn again(repeat: Repeat) -> BoxFuture<'static, Result<Response, Refusal>> {
    Box::pin(async move {
        let scope = repeat.caller.scope(Action::CreateAssistant)?;
        let Made::Assistant(id) = repeat.made else { return Err(Refusal::Internal) };
        let made = repeat.runtime.assistant(&scope, &id.to_string()).await?;
        Ok(Json(wire(made)).into_response())
    })
}

async fn get(
    Kept(runtime): Kept,
    caller: Caller,
    PathText(id): PathText<String>,
) -> Result<Json<Assistant>, Refusal> {
    let scope = caller.scope(Action::ReadAssistant)?;
    Ok(Json(wire(runtime.assistant(&scope, &id).await?)))
}

async fn patch(
    Kept(runtime): Kept,
    caller: Caller,
    PathText(id): PathText<String>,
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
    PathText(id): PathText<String>,
    params: Params,
) -> Result<StatusCode, Refusal> {
    let scope = caller.scope(Action::DeleteAssistant)?;
    let threads = match params.flag("delete_threads")? {
        Some(true) => Some(caller.scope(Action::DeleteThread)?),
        Some(false) | None => None,
    };
    let id = runtime.remove_assistant(&scope, &id).await?;
    if let Some(scope) = threads {
        runtime.delete_threads_of(&scope, id).await?;
    }
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
    PathText(id): PathText<String>,
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
    PathText(id): PathText<String>,
    JsonBody(body): JsonBody<AssistantLatest>,
) -> Result<Json<Assistant>, Refusal> {
    let scope = caller.scope(Action::UpdateAssistant)?;
    Ok(Json(wire(runtime.set_latest_assistant(&scope, &id, body.version).await?)))
}

async fn graph(
    Kept(runtime): Kept,
    caller: Caller,
    PathText(id): PathText<String>,
    params: Params,
) -> Result<Json<DrawnGraph>, Refusal> {
    let scope = caller.scope(Action::ReadAssistant)?;
    let xray = xray(params.text("xray"))?;
    let description = runtime.describe_assistant(&scope, &id).await?;
    let drawing = match opened(&params)? {
        Some(opened) => description.app.draw_where(&|path| opened.contains(path)),
        None => description.app.draw(xray),
    };
    let nodes = drawing.nodes.into_iter().map(|node| drawn_node(node, &description));
    let nodes: Vec<DrawnNode> = nodes.collect();
    let edges = drawing.edges.into_iter().map(|edge| DrawnEdge {
        source: edge.source,
        target: edge.target,
        data: edge.data,
        conditional: edge.conditional,
    });
    let edges: Vec<DrawnEdge> = edges.collect();
    let layout = params.flag("layout")?.unwrap_or(false).then(|| layout::of(&nodes, &edges));
    Ok(Json(DrawnGraph { nodes, edges, layout }))
}

/// Mounted graphs that one drawing opens by their names, at most.
const OPENED_MAX: usize = 256;

/// The mounted graphs that are to be opened, if they are named.
fn opened(params: &Params) -> Result<Option<BTreeSet<&str>>, Refusal> {
    let Some(text) = params.text("open") else { return Ok(None) };
    let opened: BTreeSet<&str> = text.split(',').filter(|path| !path.is_empty()).collect();
    if opened.len() > OPENED_MAX {
        let problem = format!("open: expected at most {OPENED_MAX} mounted graphs");
        return Err(Refusal::invalid(None, problem));
    }
    Ok(Some(opened))
}

/// How far a drawing opens mounted graphs.
fn xray(text: Option<&str>) -> Result<Xray, Refusal> {
    match text.map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "false") => Ok(Xray::Closed),
        Some("true") => Ok(Xray::Open),
        Some(depth) => match depth.parse() {
            Ok(depth @ 1..) => Ok(Xray::Depth(depth)),
            _ => Err(Refusal::invalid(None, "Invalid xray value")),
        },
    }
}

/// A node as clients draw it: the two ends are schemas, all others something that runs.
fn drawn_node(node: mesh_graph::DrawnNode, of: &Description) -> DrawnNode {
    let own = node.id.rsplit(':').next().unwrap_or_default();
    let (is_start, is_end) = (own == mesh_graph::START, own == mesh_graph::END);
    let is_whole = own == node.id;
    let data = match (is_start && is_whole, is_end) {
        (true, _) => Some(of.request_schema.clone()),
        (_, true) => None,
        _ => node.data,
    };
    DrawnNode {
        id: node.id,
        kind: if is_start || is_end { "schema" } else { "runnable" }.to_owned(),
        data,
        metadata: (!is_start && !is_end).then_some(node.metadata),
    }
}

async fn schemas(
    Kept(runtime): Kept,
    caller: Caller,
    PathText(id): PathText<String>,
) -> Result<Json<GraphSchemas>, Refusal> {
    let scope = caller.scope(Action::ReadAssistant)?;
    let description = runtime.describe_assistant(&scope, &id).await?;
    let channels = description.app.channels();
    Ok(Json(GraphSchemas {
        graph_id: description.graph,
        input_schema: Some(description.request_schema),
        output_schema: Some(description.app.output_schema()),
        state_schema: Some(description.app.state_schema()),
        config_schema: description.context_schema.clone(),
        context_schema: description.context_schema,
        channels: channels
            .into_iter()
            .map(|channel| ChannelRule {
                key: channel.key.to_string(),
                rule: channel.rule.to_owned(),
            })
            .collect(),
    }))
}

async fn subgraphs(
    Kept(runtime): Kept,
    caller: Caller,
    PathText(id): PathText<String>,
    params: Params,
) -> Result<Json<BTreeMap<String, SubgraphSchemas>>, Refusal> {
    let scope = caller.scope(Action::ReadAssistant)?;
    let recurse = params.flag("recurse")?.unwrap_or(false);
    let description = runtime.describe_assistant(&scope, &id).await?;
    let wanted = |path: &str| recurse || !path.contains('|');
    Ok(Json(mounted(&description, wanted)))
}

async fn subgraph(
    Kept(runtime): Kept,
    caller: Caller,
    PathText((id, namespace)): PathText<(String, String)>,
    params: Params,
) -> Result<Json<BTreeMap<String, SubgraphSchemas>>, Refusal> {
    let scope = caller.scope(Action::ReadAssistant)?;
    let recurse = params.flag("recurse")?.unwrap_or(false);
    let description = runtime.describe_assistant(&scope, &id).await?;
    // A namespace of a run names tasks as well: `node:task|node:task`.
    let names: Vec<&str> =
        namespace.split('|').map(|part| part.split(':').next().unwrap_or_default()).collect();
    let namespace = names.join("|");
    let wanted = |path: &str| {
        let below = path.strip_prefix(&*namespace);
        below.is_some_and(|below| below.is_empty() || (recurse && below.starts_with('|')))
    };
    Ok(Json(mounted(&description, wanted)))
}

/// What is mounted at the paths that are wanted.
fn mounted(
    description: &Description,
    wanted: impl Fn(&str) -> bool,
) -> BTreeMap<String, SubgraphSchemas> {
    let context = &description.context_schema;
    let all = description.app.mounted().into_iter().filter(|mounted| wanted(&mounted.path));
    all.map(|mounted| {
        let schemas = SubgraphSchemas {
            graph_id: mounted.name,
            input_schema: Some(mounted.input_schema.clone()),
            input: Some(mounted.input_schema),
            output_schema: Some(mounted.output_schema.clone()),
            output: Some(mounted.output_schema),
            state_schema: Some(mounted.state_schema.clone()),
            state: Some(mounted.state_schema),
            config_schema: context.clone(),
            config: context.clone(),
            context_schema: context.clone(),
        };
        (mounted.path, schemas)
    })
    .collect()
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
