use mesh_graph::{Ctx, Graph, NodeResult, State, View};

#[derive(State)]
struct Blog {
    topic: String,
}

#[derive(State)]
struct Research {
    found: String,
}

async fn plan(_: View<Blog>, _: Ctx) -> NodeResult<ResearchUpdate> {
    Ok(Research::update())
}

fn main() {
    let mut graph = Graph::<Blog>::new("blog");
    graph.node("plan", plan);
}
