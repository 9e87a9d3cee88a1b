use mesh_graph::{Ctx, Graph, NodeResult, State};

#[derive(State)]
struct Blog {
    topic: String,
}

async fn plan(state: Blog, _: Ctx) -> NodeResult<BlogUpdate> {
    Ok(Blog::update().topic(state.topic))
}

fn main() {
    let mut graph = Graph::<Blog>::new("blog");
    graph.node("plan", plan);
}
