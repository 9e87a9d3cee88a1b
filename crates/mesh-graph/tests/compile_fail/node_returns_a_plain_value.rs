use mesh_graph::{Ctx, Graph, NodeResult, State, View};

#[derive(State)]
struct Blog {
    topic: String,
}

async fn plan(state: View<Blog>, _: Ctx) -> NodeResult<String> {
    Ok(state.topic.clone())
}

fn main() {
    let mut graph = Graph::<Blog>::new("blog");
    graph.node("plan", plan);
}
