//! Graphs that have something to tell.

use std::sync::Arc;

use mesh_graph::{App, Ctx, Graph, NodeError, NodeResult, START, State, ToolEvent, Untyped, View};
use mesh_server::Assistant;
use serde_json::{Map, Value as Json, json};

use crate::{kit::Probe, runner::Deps};

#[derive(State)]
struct S {
    topic: Option<String>,
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

/// Streams a message and returns it.
async fn talk(_: View<S>, ctx: Ctx<Deps>) -> NodeResult<SUpdate> {
    for (text, position) in [("Hel", None), ("lo", None), ("", Some("last"))] {
        ctx.message(&piece(text, position), &Map::new()).await?;
    }
    let reply = json!({ "type": "ai", "id": "reply", "content": "Hello" });
    Ok(S::update().extend_messages([reply]).push_log("talked"))
}

async fn say(_: View<S>, _: Ctx<Deps>) -> NodeResult<SUpdate> {
    Ok(S::update().push_log("said"))
}

async fn again(_: View<S>, ctx: Ctx<Deps>) -> NodeResult<SUpdate> {
    ctx.emit(&json!({ "step": "again" })).await?;
    Ok(S::update().push_log("again"))
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
    Ok(S::update().push_log(answer.as_str().map_or_else(|| answer.to_string(), str::to_owned)))
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

pub(crate) fn assistants(probe: &Deps) -> Vec<Assistant> {
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
        of("steps", &|graph| {
            graph.node("say", say);
            graph.node("again", again);
            graph.edge(START, "say").edge("say", "again");
        }),
        of("talks", &|graph| {
            graph.node("talk", talk);
            graph.edge(START, "talk");
        }),
        of("speaks", &|graph| {
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
