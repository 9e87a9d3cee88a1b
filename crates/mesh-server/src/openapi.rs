//! The OpenAPI 3.1 document, made of the operations that the routes are made of and of the JSON
//! Schemas of the wire's types.

use std::collections::BTreeMap;

use mesh_protocol::{
    ErrorBody,
    socket::{SUBPROTOCOL, SUBPROTOCOL_MSGPACK},
};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value as Json, json};

use crate::{
    idempotency::KEY_CHARS_MAX,
    rest::{self, Operation},
    server::Shared,
};

/// Where schemas that have a name are.
const SCHEMAS: &str = "#/components/schemas/";

/// The document of this server.
pub(crate) fn document(shared: &Shared) -> Json {
    let mut schemas = Schemas::new();
    let mut paths: BTreeMap<&str, Map<String, Json>> = BTreeMap::new();
    let mut tags = Vec::new();
    for (tag, operations) in rest::operations(shared.development) {
        tags.push(json!({ "name": tag.name, "description": tag.description }));
        for operation in operations {
            let method = operation.method.as_str().to_ascii_lowercase();
            let item = paths.entry(operation.path).or_default();
            item.insert(method, described(&operation, tag.name, &mut schemas));
        }
    }
    tags.push(json!({ "name": "Sockets", "description": "Runs over WebSockets." }));
    paths.entry("/ws").or_default().insert("get".to_owned(), native_socket());
    paths.entry("/ws/{assistant}").or_default().insert("get".to_owned(), socket(shared));
    schemas.gives.subschema_for::<ErrorBody>();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": shared.about.name,
            "description": shared.about.description,
            "version": shared.about.version,
        },
        "tags": tags,
        "paths": paths,
        "components": {
            "responses": { "Error": error_response("Refused, or failed") },
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "api_key": { "type": "apiKey", "in": "header", "name": "x-api-key" },
            },
        },
        // Who runs the server decides whether it asks who asks.
        "security": [{}, { "bearer": [] }, { "api_key": [] }],
    });
    schemas.finish(&mut document);
    document
}

/// Schemas of what is sent and of what is given. A member that has a default may be left out of
/// the one and is always in the other, so that one type can have two schemas.
struct Schemas {
    takes: SchemaGenerator,
    gives: SchemaGenerator,
}

/// Marks references to schemas of what is sent until all names are known.
const TAKEN: &str = "#/taken/";

impl Schemas {
    fn new() -> Self {
        let at = |path: &str| {
            let path = path.trim_end_matches('/').trim_start_matches('#').to_owned();
            SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = path.into())
        };
        Self {
            takes: at(TAKEN).for_deserialize().into_generator(),
            gives: at(SCHEMAS).for_serialize().into_generator(),
        }
    }

    /// Adds all schemas that have a name. Where a name is that of two different ones, the one of
    /// what is sent is called `…Input`.
    fn finish(mut self, document: &mut Json) {
        let mut all = self.gives.take_definitions(true);
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        let taken = self.takes.take_definitions(true);
        for (name, schema) in &taken {
            let mut settled = schema.clone();
            rename(&mut settled, &|name| name.to_owned());
            let differs = all.get(name).is_some_and(|given| *given != settled);
            let settled = if differs { format!("{name}Input") } else { name.clone() };
            names.insert(name.clone(), settled);
        }
        let settled = |name: &str| names.get(name).cloned().unwrap_or_else(|| name.to_owned());
        for (name, mut schema) in taken {
            rename(&mut schema, &settled);
            all.insert(settled(&name), schema);
        }
        rename(document, &settled);
        all.sort_keys();
        document["components"]["schemas"] = Json::Object(all);
    }
}

/// Points references at where schemas are, under their final names.
fn rename(json: &mut Json, name: &dyn Fn(&str) -> String) {
    match json {
        Json::Object(members) => {
            if let Some(Json::String(reference)) = members.get_mut("$ref")
                && let Some(taken) = reference.strip_prefix(TAKEN)
            {
                *reference = format!("{SCHEMAS}{}", name(taken));
            }
            members.values_mut().for_each(|member| rename(member, name));
        }
        Json::Array(items) => items.iter_mut().for_each(|item| rename(item, name)),
        _ => {}
    }
}

/// One operation as the document has it.
fn described(operation: &Operation, tag: &str, schemas: &mut Schemas) -> Json {
    let mut parameters: Vec<Json> = path_parameters(operation.path).collect();
    parameters.extend(operation.query.iter().cloned());
    if operation.again.is_some() {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header",
            "schema": { "type": "string", "minLength": 1, "maxLength": KEY_CHARS_MAX },
            "description": "Printable ASCII. The same request under the same key makes nothing \
                            more for 24 hours: it gets the answer of what the first one made.",
        }));
    }
    let mut responses = Map::new();
    for answer in &operation.answers {
        let mut response = json!({ "description": answer.description });
        if !answer.body.is_empty() {
            let content = answer.body.iter().map(|(kind, schema)| {
                ((*kind).to_owned(), json!({ "schema": schema(&mut schemas.gives) }))
            });
            response["content"] = Json::Object(content.collect());
        }
        if !answer.headers.is_empty() {
            let headers = answer.headers.iter().map(|(name, description)| {
                let header = json!({ "description": description, "schema": { "type": "string" } });
                ((*name).to_owned(), header)
            });
            response["headers"] = Json::Object(headers.collect());
        }
        responses.insert(answer.status.to_string(), response);
    }
    for (status, when) in &operation.refusals {
        responses.insert(status.to_string(), error_response(when));
    }
    if operation.again.is_some() {
        let busy = "A request with the same idempotency key is being handled";
        responses.entry("409").or_insert_with(|| error_response(busy));
        let other = "The body or the idempotency key is not what it has to be";
        responses.entry("422").or_insert_with(|| error_response(other));
    }
    if operation.body.is_some() && !responses.contains_key("422") {
        responses.insert("422".to_owned(), error_response("The body is not what it has to be"));
    }
    responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Error" }));
    let mut described = json!({
        "operationId": operation.id,
        "tags": [tag],
        "summary": operation.summary,
        "responses": responses,
    });
    if !operation.description.is_empty() {
        described["description"] = operation.description.into();
    }
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if let Some(schema) = operation.body {
        described["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": schema(&mut schemas.takes) } },
        });
    }
    if operation.open {
        described["security"] = json!([]);
    }
    described
}

/// The parameters of a path.
fn path_parameters(path: &str) -> impl Iterator<Item = Json> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| {
        let (schema, description) = match name {
            "assistant_id" => {
                (json!({ "type": "string" }), "Id of an assistant, or name of a graph")
            }
            "namespace" => (json!({ "type": "string" }), "Path of mounted graphs, with `|`"),
            "checkpoint_id" => (json!({ "type": "string" }), "Id of a checkpoint"),
            _ => (json!({ "type": "string", "format": "uuid" }), "An id"),
        };
        json!({
            "name": name, "in": "path", "required": true, "schema": schema,
            "description": description,
        })
    })
}

fn error_response(description: &str) -> Json {
    json!({
        "description": description,
        "content": { "application/json": { "schema": { "$ref": format!("{SCHEMAS}ErrorBody") } } },
    })
}

/// The request that opens the native socket.
fn native_socket() -> Json {
    json!({
        "operationId": "open_native_socket",
        "tags": ["Sockets"],
        "summary": "Opens a WebSocket for everything",
        "description": "Many threads on one connection: calls that start, answer, cancel, change \
            and follow, each answered under its id; events under the numbers of their thread's \
            log, so that a client comes back where it was. The handbook describes the frames, \
            with a JSON Schema.",
        "parameters": [{
            "name": "Sec-WebSocket-Protocol",
            "in": "header",
            "schema": { "enum": [SUBPROTOCOL, SUBPROTOCOL_MSGPACK] },
            "description": "How frames are written",
        }],
        "responses": {
            "101": { "description": "The WebSocket is open" },
            "default": { "$ref": "#/components/responses/Error" },
        },
    })
}

/// OpenAPI has no WebSockets; this is the request that opens one.
fn socket(shared: &Shared) -> Json {
    let query = |name: &str, schema: Json, description: &str| json!({ "name": name, "in": "query", "schema": schema, "description": description });
    let assistants: Vec<&String> = shared.assistants.keys().collect();
    json!({
            "operationId": "open_socket",
            "tags": ["Sockets"],
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
                "default": { "$ref": "#/components/responses/Error" },
            },
    })
}
