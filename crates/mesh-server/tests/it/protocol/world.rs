//! Servers that speak the event protocol, and clients that listen.

use mesh_server::auth::{Auth, TokenKeys, TokenRules};
use secrecy::SecretString;
use serde_json::{Map, Value as Json, json};

use crate::runner::{Answer, MADE, Made, Open, Runner, Sent, frames};

/// Shorter than a moment: what it is for is seen in a test with a clock of its own.
const AT_ONCE: Made =
    Made { limits: |limits| limits.pause_hold = std::time::Duration::ZERO, ..MADE };

pub(super) async fn world() -> Runner {
    Runner::of(AT_ONCE).await
}

pub(super) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A server that asks who is there.
pub(super) async fn guarded() -> Runner {
    let server = |server: mesh_server::Server| {
        let rules = TokenRules {
            keys: TokenKeys::Secret(SecretString::from(SECRET)),
            issuer: None,
            audiences: Vec::new(),
            subjects: [].into(),
        };
        server.auth(Auth::default().tokens(rules).unwrap())
    };
    Runner::of(Made { server, ..AT_ONCE }).await
}

pub(super) const THREAD: &str = "11111111-1111-7111-8111-111111111111";

/// Sends a command and gives the whole answer.
pub(super) async fn tell(mesh: &Runner, thread: &str, method: &str, params: Json) -> Json {
    let body = json!({ "id": 7, "method": method, "params": params });
    let answer: Answer = mesh.post(&format!("/threads/{thread}/commands"), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(answer["id"], 7);
    assert_eq!(answer["meta"]["applied_through_seq"], 0);
    answer
}

/// Sends a command that is carried out and gives its result.
pub(super) async fn done(mesh: &Runner, thread: &str, method: &str, params: Json) -> Json {
    let answer = tell(mesh, thread, method, params).await;
    assert_eq!(answer["type"], "success", "{answer}");
    answer["result"].clone()
}

/// Sends a command that is refused and gives code and message.
pub(super) async fn refused(mesh: &Runner, thread: &str, method: &str, params: Json) -> String {
    let answer = tell(mesh, thread, method, params).await;
    assert_eq!(answer["type"], "error", "{answer}");
    format!("{}: {}", answer["error"].as_str().unwrap(), answer["message"].as_str().unwrap())
}

/// All channels.
pub(super) fn all() -> Json {
    json!({ "channels": [
        "values", "updates", "messages", "tools", "custom", "lifecycle", "input", "tasks",
        "checkpoints",
    ]})
}

/// Opens a stream of events.
pub(super) async fn listen(mesh: &Runner, thread: &str, filter: &Json) -> Open {
    let path = format!("/threads/{thread}/stream/events");
    let open = mesh.open("POST", &path, &[], Some(filter)).await;
    assert_eq!(open.header("content-type"), Some("text/event-stream; charset=utf-8"));
    open
}

/// What has come until root graphs ended so many times.
pub(super) async fn until_ended(open: &mut Open, times: usize) -> Vec<Sent> {
    open.until_ends(times).await;
    frames(&open.so_far())
}

/// What there is of a thread whose runs have ended so many times.
pub(super) async fn told(mesh: &Runner, thread: &str, filter: &Json, times: usize) -> Vec<Sent> {
    let mut open = listen(mesh, thread, filter).await;
    until_ended(&mut open, times).await
}

/// Whether this is the end of a run.
pub(crate) fn is_end(event: &Json) -> bool {
    event["method"] == "lifecycle"
        && event["params"]["namespace"] == json!([])
        && matches!(
            event["params"]["data"]["event"].as_str(),
            Some("completed" | "failed" | "interrupted")
        )
}

/// `method [ns] data` per event, with what is new in every run left out.
pub(super) fn lines(events: &[Json]) -> String {
    let line = |event: &Json| {
        let params = &event["params"];
        let ns: Vec<&str> = params["namespace"]
            .as_array()
            .unwrap()
            .iter()
            .map(|part| part.as_str().unwrap().split(':').next().unwrap())
            .collect();
        let method = event["method"].as_str().unwrap();
        let data = match method {
            "checkpoints" => json!({ "step": params["data"]["step"] }),
            "tasks" => {
                let part = if params["data"].get("result").is_some() { "result" } else { "start" };
                json!({ part: params["data"]["name"] })
            }
            "lifecycle" => {
                let mut data = params["data"].clone();
                for key in ["namespace", "trigger_call_id"] {
                    data.as_object_mut().unwrap().remove(key);
                }
                data
            }
            "input.requested" => json!({ "payload": params["data"]["payload"] }),
            "messages" => {
                let mut data = params["data"].clone();
                data.as_object_mut().unwrap().remove("run_id");
                data
            }
            _ => params["data"].clone(),
        };
        format!("{method} [{}] {}", ns.join(","), sorted(&data))
    };
    events.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// With the members of objects in order.
pub(super) fn sorted(json: &Json) -> Json {
    match json {
        Json::Object(members) => {
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort();
            keys.into_iter()
                .map(|key| (key.clone(), sorted(&members[key])))
                .collect::<Map<_, _>>()
                .into()
        }
        Json::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// The events in frames.
pub(super) fn events(sent: &[Sent]) -> Vec<Json> {
    sent.iter().map(Sent::json).collect()
}

/// The ids of the questions that were asked.
pub(super) fn questions(sent: &[Sent]) -> Vec<String> {
    let asked = events(sent);
    let asked = asked.iter().filter(|event| event["method"] == "input.requested");
    asked
        .map(|event| event["params"]["data"]["interrupt_id"].as_str().unwrap().to_owned())
        .collect()
}
