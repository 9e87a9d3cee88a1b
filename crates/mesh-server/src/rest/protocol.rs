//! `/threads/{thread_id}/commands` and `/threads/{thread_id}/stream/events`: the event protocol
//! over HTTP. Its socket is in [`crate::protocol`].

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use mesh_protocol::{
    ErrorBody,
    event::{Answer, Command as WireCommand, Event, Filter},
};
use mesh_runtime::Error;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Kept, Operation, Tag,
    runs::stream::{self, Tail},
};
use crate::{
    auth::{Action, Caller},
    extract::{JsonBody, OfThread, PathId, PathText},
    protocol::{
        Flaw,
        command::{Command, Desk, Fault, NO_COMMAND, answer, envelope},
        subscription,
        tail::Tail as Events,
    },
    refusal::Refusal,
    server::Shared,
};

pub(super) const TAG: Tag = Tag {
    name: "Event protocol",
    description: "What happens on a thread as one numbered stream of events, and commands. The \
                  path of the events is a WebSocket, too.",
};

const EVENTS: &str = "text/event-stream";

/// What is no command is refused in the words of the protocol, what is no JSON in those of all
/// others.
fn no_command(generator: &mut SchemaGenerator) -> Schema {
    let words = [generator.subschema_for::<Answer>(), generator.subschema_for::<ErrorBody>()];
    json_schema!({ "anyOf": words })
}

/// What can be asked of the protocol over HTTP.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::post("/threads/{thread_id}/commands", "send_command", command)
            .summary("Carries out a command")
            .description(
                "Answers 200 whether the command was carried out or not; what is no command at \
                 all is refused.",
            )
            .body::<WireCommand>()
            .gives::<Answer>("What came of it")
            .refuses_as(400, no_command, "It is no command"),
        Operation::post("/threads/{thread_id}/stream/events", "stream_events", events)
            .summary("Streams the events of a thread")
            .description(
                "Begins with what happened before, after the number `since`, and stays open from \
                 run to run. The thread need not be there yet.",
            )
            .body::<Filter>()
            .gives_as(
                EVENTS,
                SchemaGenerator::subschema_for::<Event>,
                "Frames of `event`, `data` and `id`; the schema is that of the data of one",
            )
            .refuses(400, "The filter has no channels, or ones that there are not"),
    ]
}

/// The body as JSON.
fn json_of(body: Result<JsonBody<Value>, Refusal>) -> Result<Value, Refusal> {
    match body {
        Ok(JsonBody(json)) => Ok(json),
        Err(Refusal::MalformedJson) => {
            Err(Refusal::bad_request("invalid_json", "Invalid JSON body"))
        }
        Err(refusal) => Err(refusal),
    }
}

async fn command(
    State(shared): State<Arc<Shared>>,
    Kept(runtime): Kept,
    caller: Caller,
    PathText(thread): PathText<String>,
    headers: HeaderMap,
    body: Result<JsonBody<Value>, Refusal>,
) -> Result<Response, Refusal> {
    let command = match Command::read(json_of(body)?) {
        Ok(command) => command,
        Err(id) => {
            let answer = envelope(&id, Err(Fault::invalid(NO_COMMAND)), 0);
            return Ok((StatusCode::BAD_REQUEST, Json(answer)).into_response());
        }
    };
    let answered = match PathId::<OfThread>::parse(&thread) {
        Ok(thread) => answer(&Desk { shared, runtime, caller, headers, thread }, &command).await,
        Err(refusal) => {
            Err(Fault::new("unknown_error", format!("{}: {refusal}", refusal.status().as_u16())))
        }
    };
    // Events may be on their way on other connections that this client does not have yet.
    Ok(Json(envelope(&command.id, answered, 0)).into_response())
}

async fn events(
    State(shared): State<Arc<Shared>>,
    Kept(runtime): Kept,
    caller: Caller,
    thread: PathId<OfThread>,
    body: Result<JsonBody<Value>, Refusal>,
) -> Result<Response, Refusal> {
    let scope = caller.scope(Action::ReadThread)?;
    let params = match json_of(body)? {
        Value::Object(params) => params,
        _ => serde_json::Map::new(),
    };
    let wants = subscription(&params).map_err(refusal)?;
    let thread: Uuid = *thread;
    let thread = thread.to_string();
    let events = Events::open(&shared, &runtime, &scope, &thread, Uuid::nil(), wants).await?;
    Ok(stream::response(&shared, SseTail(events), None))
}

fn refusal(flaw: Flaw) -> Refusal {
    let detail = match flaw {
        Flaw::NoChannels => "channels is required and must be a non-empty array".to_owned(),
        Flaw::Unknown(names) => format!(
            "channels contains unsupported entries: {}. Allowed: values, updates, messages, \
             tools, custom, lifecycle, input, tasks, or any `custom:<name>`.",
            names.join(", "),
        ),
        Flaw::TooMany { member, max } => format!("{member}: expected at most {max}"),
    };
    Refusal::bad_request("invalid_filter", detail)
}

/// Events as server-sent ones.
struct SseTail(Events);

impl Tail for SseTail {
    async fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, Error> {
        if out.is_empty() {
            self.0.passed();
        }
        if let Some(event) = self.0.next().await? {
            let json: Value = event.to_json();
            out.extend_from_slice(
                format!("event: {}\ndata: {json}\nid: {}\n\n", event.method, event.seq).as_bytes(),
            );
        }
        Ok(true)
    }
}
