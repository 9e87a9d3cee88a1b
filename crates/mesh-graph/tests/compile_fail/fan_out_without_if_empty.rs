#![deny(unused_must_use)]

use mesh_graph::{Arg, Ctx, Graph, NodeResult, START, State};

#[derive(State)]
struct Blog {
    topic: String,
}

async fn write(_: Arg<String>, _: Ctx) -> NodeResult<BlogUpdate> {
    Ok(Blog::update())
}

fn main() {
    let mut graph = Graph::<Blog>::new("blog");
    let write = graph.node("write", write).id();
    graph.fan_out(START, &write, |state| vec![state.topic.clone()]);
}
