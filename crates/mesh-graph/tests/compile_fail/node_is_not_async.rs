use mesh_graph::{Ctx, Graph, NodeResult, State, View};

#[derive(State)]
struct Blog {
    topic: String,
}

fn plan(_: View<Blog>, _: Ctx) -> NodeResult<BlogUpdate> {
    Ok(Blog::update())
}

fn main() {
    let mut graph = Graph::<Blog>::new("blog");
    graph.node("plan", plan);
}
