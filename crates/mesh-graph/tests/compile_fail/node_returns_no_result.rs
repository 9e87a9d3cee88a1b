use mesh_graph::{Ctx, Graph, State, View};

#[derive(State)]
struct Blog {
    topic: String,
}

async fn plan(_: View<Blog>, _: Ctx) -> BlogUpdate {
    Blog::update()
}

fn main() {
    let mut graph = Graph::<Blog>::new("blog");
    graph.node("plan", plan);
}
