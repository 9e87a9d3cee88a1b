use mesh_graph::{Arg, Ctx, Graph, NodeResult, START, Send, State};

#[derive(State)]
struct Blog {
    topic: String,
}

async fn write(_: Arg<u32>, _: Ctx) -> NodeResult<BlogUpdate> {
    Ok(Blog::update())
}

fn main() {
    let mut graph = Graph::<Blog>::new("blog");
    let write = graph.node("write", write).id();
    graph.route(START, move |state| vec![Send::to(&write, state.topic.clone())]);
}
