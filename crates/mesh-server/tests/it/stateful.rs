//! Graphs whose threads have something to look at, and runs of them beside the server.

use mesh_graph::{
    App, Ctx, Goto, Graph, NodeError, NodeResult, Resume, START, Send, Sharing, State, Step,
    Untyped, View,
};
use mesh_server::Assistant;
use serde_json::{Value as Json, json};

use crate::kept::Kept;

#[derive(State)]
struct S {
    #[state(append)]
    log: Vec<String>,
    topic: Option<String>,
    #[state(sensitive)]
    key: Option<String>,
}

#[derive(State)]
struct Inner {
    #[state(append)]
    log: Vec<String>,
    child: Option<String>,
}

async fn a(_: View<S>, _: Ctx) -> NodeResult<SUpdate> {
    Ok(S::update().push_log("a"))
}

async fn b(_: View<S>, _: Ctx) -> NodeResult<SUpdate> {
    Ok(S::update().push_log("b"))
}

async fn ask(_: View<S>, ctx: Ctx) -> NodeResult<SUpdate> {
    let answer: Json = ctx.interrupt("really", &json!({ "really": "?" }))?;
    Ok(S::update().push_log(answer.to_string()))
}

async fn ask_for_a_day(_: View<S>, ctx: Ctx) -> NodeResult<SUpdate> {
    let schema = json!({
        "type": "object",
        "required": ["day"],
        "properties": { "day": { "type": "string", "format": "date" } },
    });
    let answer: Json = ctx.interrupt_schema("day", &json!("which day?"), schema)?;
    Ok(S::update().push_log(answer.to_string()))
}

#[derive(Debug, thiserror::Error)]
#[error("Boo!")]
struct Boo;

async fn fail(_: View<S>, _: Ctx) -> NodeResult<SUpdate> {
    Err(NodeError::coded("CustomError", Boo))
}

async fn split(_: View<S>, _: Ctx) -> NodeResult<Step<S>> {
    let send = |word: &str| Goto::from(Send::state("work", S::update().push_log(word)));
    Ok(Step::none().goto(send("one")).goto(send("two")))
}

async fn work(state: View<S>, ctx: Ctx) -> NodeResult<SUpdate> {
    let word = state.log.join("");
    if word == "two" {
        let _: Json = ctx.interrupt("two", &json!("two?"))?;
    }
    Ok(S::update().push_log(word))
}

async fn below(_: View<Inner>, ctx: Ctx) -> NodeResult<InnerUpdate> {
    let answer: String = ctx.interrupt("below", &json!("below?"))?;
    Ok(Inner::update().push_log(answer).child(Some("done".to_owned())))
}

fn built(name: &str, build: impl FnOnce(&mut Graph<S>)) -> App<Untyped> {
    let mut graph = Graph::<S>::new(name);
    build(&mut graph);
    graph.compile().unwrap().app(()).untyped()
}

/// `chain`: a, b. `both`: a and b at once. `asking`: one question. `exacting`: one with a schema.
/// `failing`: fails. `fan`: two tasks of `work`, one of which asks. `nested`: a, then a mounted
/// graph whose node asks.
fn graph(name: &str) -> App<Untyped> {
    built(name, |g| match name {
        "chain" => {
            g.node("a", a);
            g.node("b", b);
            g.edge(START, "a").edge("a", "b");
        }
        "both" => {
            g.node("a", a);
            g.node("b", b);
            g.edge(START, "a").edge(START, "b");
        }
        "asking" => {
            g.node("ask", ask);
            g.edge(START, "ask");
        }
        "exacting" => {
            g.node("ask", ask_for_a_day);
            g.edge(START, "ask");
        }
        "failing" => {
            g.node("fail", fail);
            g.edge(START, "fail");
        }
        "fan" => {
            g.node("split", split);
            g.node("work", work);
            g.edge(START, "split");
        }
        _ => {
            let mut child = Graph::<Inner>::new("child");
            child.node("below", below);
            child.edge(START, "below");
            let child = child.compile().unwrap();
            g.node("a", a);
            g.mount_shared("sub", &child, Sharing::Writes);
            g.edge(START, "a").edge("a", "sub");
        }
    })
}

fn assistants() -> Vec<Assistant> {
    ["chain", "both", "asking", "exacting", "failing", "fan", "nested"]
        .map(|name| Assistant::new(name, graph(name)))
        .to_vec()
}

/// A server of these graphs.
pub(crate) async fn serve() -> Kept {
    Kept::serving(assistants).await
}

impl Kept {
    fn app(&self, name: &str) -> App<Untyped> {
        graph(name).checkpointer(self.database.checkpointer())
    }

    /// Runs a graph on a thread, as far as it goes. Null goes on with what is unfinished.
    pub(crate) async fn run(&self, name: &str, thread: &str, input: Json) {
        let app = self.app(name);
        let run = if input.is_null() { app.resume() } else { app.run_json(input) };
        // An error is what some of these graphs are for.
        let _ = run.thread(thread).invoke().await;
    }

    /// Answers the question of a graph on a thread and gives the values that it ends with.
    pub(crate) async fn answer(&self, name: &str, thread: &str, answer: Json) -> Json {
        let run = self.app(name).answer(Resume::Only(answer)).thread(thread);
        let _ = run.invoke().await;
        self.get(&format!("/threads/{thread}/state")).await.good()["values"].take()
    }
}
