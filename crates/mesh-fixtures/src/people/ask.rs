//! `ask`: asks what it is told to, all at once, with whatever schema; and keeps the answers.

use mesh_graph::{Arg, Ctx, END, Graph, NodeResult, START, State, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::Built;

/// Something to ask.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Question {
    /// What is asked: a text, or anything else.
    value: Json,
    /// JSON Schema that the answer has to fit; any will do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schema: Option<Json>,
}

/// Questions, and what people said.
#[derive(State)]
struct Asked {
    /// What is asked, by a task each.
    #[state(input)]
    questions: Vec<Question>,
    /// The answers, in order of the questions.
    #[state(append)]
    answers: Vec<Json>,
}

pub(crate) fn graph() -> Built {
    let mut graph = Graph::<Asked>::new("ask");
    graph.node("begin", |_: View<Asked>, _: Ctx| async { NodeResult::Ok(()) });
    let person = graph.node("ask_person", ask_person).id();
    graph.edge(START, "begin");
    graph.fan_out("begin", &person, |asked| asked.questions.clone()).if_empty(END);
    Ok(graph.compile()?.app(()).untyped())
}

async fn ask_person(Arg(question): Arg<Question>, ctx: Ctx) -> NodeResult<AskedUpdate> {
    let answer: Json = match &question.schema {
        Some(schema) => ctx.interrupt_schema("question", &question.value, schema.clone())?,
        None => ctx.interrupt("question", &question.value)?,
    };
    Ok(Asked::update().push_answers(answer))
}
