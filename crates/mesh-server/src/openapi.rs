//! The OpenAPI 3.1 document: small, and about the paths that programs use.

use serde_json::{Map, Value as Json, json};

use crate::server::Shared;

/// The document of this server.
pub(crate) fn document(shared: &Shared) -> Json {
    let mut paths = Map::new();
    paths.insert("/ok".to_owned(), get("Whether the server is ready", ok_schema()));
    paths.insert("/info".to_owned(), get("Who this is, and what it serves", info_schema()));
    paths.insert("/openapi.json".to_owned(), get("This document", json!({ "type": "object" })));
    paths.insert("/ws/{assistant}".to_owned(), socket(shared));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": shared.about.name,
            "description": shared.about.description,
            "version": shared.about.version,
        },
        "paths": paths,
        "components": { "schemas": { "Error": error_schema() } },
    })
}

fn get(summary: &str, schema: Json) -> Json {
    json!({
        "get": {
            "summary": summary,
            "responses": {
                "200": {
                    "description": summary,
                    "content": { "application/json": { "schema": schema } },
                },
                "default": error_response(),
            },
        },
    })
}

fn error_response() -> Json {
    json!({
        "description": "Refused, or failed",
        "content": {
            "application/json": { "schema": { "$ref": "#/components/schemas/Error" } },
        },
    })
}

fn error_schema() -> Json {
    json!({
        "type": "object",
        "required": ["detail", "code", "request_id"],
        "properties": {
            "detail": { "type": "string", "description": "For people" },
            "code": { "type": "string", "description": "Stable, for programs" },
            "pointer": {
                "type": "string",
                "description": "JSON Pointer to what is wrong in the request",
            },
            "request_id": {
                "type": "string",
                "description": "Also in x-request-id; where the server's log says more",
            },
        },
    })
}

fn ok_schema() -> Json {
    json!({ "type": "object", "properties": { "ok": { "const": true } }, "required": ["ok"] })
}

fn info_schema() -> Json {
    json!({
        "type": "object",
        "required": ["name", "description", "version", "uptime_s", "assistants", "limits"],
        "properties": {
            "name": { "type": "string" },
            "description": { "type": "string" },
            "version": { "type": "string" },
            "uptime_s": { "type": "integer", "minimum": 0 },
            "assistants": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "description", "socket", "keeps_threads", "input_schema"],
                    "properties": {
                        "name": { "type": "string" },
                        "description": { "type": "string" },
                        "socket": { "type": "string", "description": "Path of its WebSocket" },
                        "keeps_threads": { "type": "boolean" },
                        "input_schema": { "description": "JSON Schema of a request" },
                    },
                },
            },
            "limits": { "type": "object", "additionalProperties": { "type": "number" } },
        },
    })
}

/// OpenAPI has no WebSockets; this is the request that opens one.
fn socket(shared: &Shared) -> Json {
    let query = |name: &str, schema: Json, description: &str| json!({ "name": name, "in": "query", "schema": schema, "description": description });
    let assistants: Vec<&String> = shared.assistants.keys().collect();
    json!({
        "get": {
            "summary": "Opens a WebSocket for one run",
            "description": "Send the request as one text frame of JSON, read frames until the \
                server closes with 1000. An error is one frame with `error`, then a close with \
                1008 (the request), 1011 (the server) or a code for what was violated.",
            "parameters": [
                {
                    "name": "assistant",
                    "in": "path",
                    "required": true,
                    "schema": { "type": "string", "enum": assistants },
                },
                query(
                    "stream_mode",
                    json!({
                        "type": "array",
                        "items": { "enum": mesh_graph::Mode::ALL.map(mesh_graph::Mode::name) },
                    }),
                    "Streams to follow, separated by commas; makes each frame \
                     `{\"event\", \"data\", \"seq\"}`",
                ),
                query(
                    "subgraphs",
                    json!({ "type": "boolean", "default": false }),
                    "Everything of mounted graphs as well; messages, custom and tools always are",
                ),
                query(
                    "thread_id",
                    json!({
                        "type": "string",
                        "minLength": 1,
                        "maxLength": crate::THREAD_ID_CHARS_MAX,
                    }),
                    "Keeps the run on this thread; the request `null` resumes it",
                ),
                query(
                    "on_disconnect",
                    json!({ "enum": ["cancel", "continue"], "default": "cancel" }),
                    "What becomes of the run when the client leaves",
                ),
            ],
            "responses": {
                "101": { "description": "The WebSocket is open" },
                "default": error_response(),
            },
        },
    })
}
