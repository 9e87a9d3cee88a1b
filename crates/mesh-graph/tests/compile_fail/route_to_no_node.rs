use mesh_graph::{Graph, START, State};

#[derive(State)]
struct Blog {
    topic: String,
}

fn main() {
    let mut graph = Graph::<Blog>::new("blog");
    graph.route(START, |state| state.topic.len());
}
