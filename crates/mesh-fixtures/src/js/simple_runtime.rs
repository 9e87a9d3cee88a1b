//! `simple_runtime`: gives back what its run's context says.

use mesh_graph::{Ctx, Graph, NodeResult, START, State, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Built;

#[derive(State)]
struct Simple {
    message: String,
    model: Model,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Model {
    Anthropic,
    Openai,
    #[default]
    Unknown,
}

#[derive(Deserialize, JsonSchema)]
struct Context {
    #[serde(default)]
    #[schemars(with = "Model")]
    model: Option<Model>,
}

pub(crate) fn graph() -> Built {
    let mut graph = Graph::<Simple>::new("simple_runtime");
    graph.lenient_input().context::<Context>();
    graph.node("use_context", use_context);
    graph.edge(START, "use_context");
    Ok(graph.compile()?.app(()).untyped())
}

async fn use_context(_: View<Simple>, ctx: Ctx) -> NodeResult<SimpleUpdate> {
    let Context { model } = ctx.context()?;
    Ok(match model {
        Some(model) => Simple::update().model(model),
        None => Simple::update(),
    })
}
