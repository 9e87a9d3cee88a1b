//! Graphs that have something to tell, and clients that listen.

use std::sync::Arc;

use mesh_graph::{App, Ctx, Graph, NodeError, NodeResult, START, State, ToolEvent, Untyped, View};
use mesh_server::{
    Assistant,
    auth::{Auth, TokenKeys, TokenRules},
};
use secrecy::SecretString;
use serde_json::{Map, Value as Json, json};

use crate::{
    kit::Probe,
    runner::{Answer, Deps, Made, Open, Runner, Sent, frames},
};

#[derive(State)]
pub(super) struct S {
    #[state(append)]
    log: Vec<String>,
    #[state(append, messages)]
    messages: Vec<Json>,
}

fn piece(content: &str, position: Option<&str>) -> Json {
    json!({
        "type": "AIMessageChunk", "id": "reply", "content": content, "tool_call_chunks": [],
        "chunk_position": position, "additional_kwargs": {}, "response_metadata": {},
    })
}

/// Streams a message and returns it, with one that no model made.
async fn speak(_: View<S>, ctx: Ctx<Deps>) -> NodeResult<SUpdate> {
    for (text, position) in [("Hel", None), ("lo", None), ("", Some("last"))] {
        ctx.message(&piece(text, position), &Map::new()).await?;
    }
    let reply = json!({ "type": "ai", "id": "reply", "content": "Hello" });
    let made = json!({ "type": "ai", "id": "made", "content": "by hand" });
    Ok(S::update().extend_messages([reply, made]).push_log("spoke"))
}

async fn report(_: View<S>, ctx: Ctx<Deps>) -> NodeResult<SUpdate> {
    ctx.emit(&json!({ "name": "progress", "phase": "start" })).await?;
    ctx.emit(&json!({ "unnamed": true })).await?;
    let input = json!({ "q": "x" });
    ctx.tool(ToolEvent::Started { tool_call_id: "tc-1", tool_name: "search", input: &input })
        .await?;
    let output = json!({ "type": "tool", "content": "found" });
    ctx.tool(ToolEvent::Finished { tool_call_id: "tc-1", output: &output }).await?;
    Ok(S::update().push_log("reported"))
}

async fn ask(_: View<S>, ctx: Ctx<Deps>) -> NodeResult<SUpdate> {
    let answer: Json = ctx.interrupt("q", "really?")?;
    Ok(S::update().push_log(answer.to_string()))
}

async fn ask_too(_: View<S>, ctx: Ctx<Deps>) -> NodeResult<SUpdate> {
    let answer: Json = ctx.interrupt("q", "and you?")?;
    Ok(S::update().push_log(answer.to_string()))
}

async fn wait(_: View<S>, ctx: Ctx<Deps>) -> NodeResult<SUpdate> {
    ctx.deps().started.add_permits(1);
    tokio::select! {
        () = ctx.cancelled().cancelled() => return Err(NodeError::msg("cancelled")),
        () = Probe::wait_for(&ctx.deps().go) => {}
    }
    Ok(S::update().push_log("waited"))
}

#[derive(Debug, thiserror::Error)]
#[error("Boo!")]
struct Boo;

async fn fail(_: View<S>, _: Ctx<Deps>) -> NodeResult<SUpdate> {
    Err(NodeError::coded("CustomError", Boo))
}

fn graph(name: &str, probe: &Deps, build: impl FnOnce(&mut Graph<S, Deps>)) -> App<Untyped> {
    let mut graph = Graph::<S, Deps>::new(name);
    build(&mut graph);
    graph.compile().unwrap().app(Arc::clone(probe)).untyped()
}

fn assistants(probe: &Deps) -> Vec<Assistant> {
    let of = |name: &str, build: &dyn Fn(&mut Graph<S, Deps>)| {
        Assistant::new(name, graph(name, probe, |graph| build(graph)))
    };
    let mut inner = Graph::<S, Deps>::new("inner");
    inner.node("speak", speak);
    inner.node("ask", ask);
    inner.edge(START, "speak").edge("speak", "ask");
    let inner = inner.compile().unwrap();
    vec![
        of("outer", &|graph| {
            graph.node("report", report);
            graph.mount(
                "sub",
                &inner,
                |_| S::update(),
                |child| S::update().extend_log(child.log.iter().cloned()),
            );
            graph.edge(START, "report").edge("report", "sub");
        }),
        of("asks", &|graph| {
            graph.node("ask", ask);
            graph.edge(START, "ask");
        }),
        of("asks-two", &|graph| {
            graph.node("ask", ask);
            graph.node("ask_too", ask_too);
            graph.edge(START, "ask").edge(START, "ask_too");
        }),
        of("talks", &|graph| {
            graph.node("speak", speak);
            graph.edge(START, "speak");
        }),
        of("fails", &|graph| {
            graph.node("fail", fail);
            graph.edge(START, "fail");
        }),
        of("slow", &|graph| {
            graph.node("wait", wait);
            graph.edge(START, "wait");
        }),
    ]
}

/// Shorter than a moment: what it is for is seen in a test with a clock of its own.
const MADE: Made = Made {
    assistants,
    server: |server| server,
    limits: |limits| limits.pause_hold = std::time::Duration::ZERO,
};

pub(super) async fn world() -> Runner {
    Runner::of(MADE).await
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
    Runner::of(Made { server, ..MADE }).await
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
