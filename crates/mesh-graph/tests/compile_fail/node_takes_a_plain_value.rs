use mesh_graph::{Ctx, Graph, NodeResult, State};

#[derive(State)]
struct Blog {
    topic: String,
}

async fn plan(_: String, _: Ctx) -> NodeResult<BlogUpdate> {
    Ok(Blog::update())
}

fn main() {
    let mut graph = Graph::<Blog>::new("blog");
    graph.node("plan", plan);
}
