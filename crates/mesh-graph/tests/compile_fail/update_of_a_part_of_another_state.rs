use mesh_graph::{Ctx, Graph, NodeResult, State, View};

#[derive(State)]
struct Blog {
    topic: String,
}

#[derive(State)]
struct Talk {
    speaker: String,
}

#[derive(State)]
#[state(part_of = Talk)]
struct Stage {
    light: String,
}

async fn plan(_: View<Blog>, _: Ctx) -> NodeResult<StageUpdate> {
    Ok(Stage::update())
}

fn main() {
    let mut graph = Graph::<Blog>::new("blog");
    graph.node("plan", plan);
}
