use mesh_graph::{Ctx, Graph, NodeResult, State, View};

#[derive(State)]
struct Blog {
    topic: String,
}

#[derive(State)]
struct Other {
    topic: String,
}

async fn read(_: View<Other>, _: Ctx) -> NodeResult<()> {
    Ok(())
}

fn main() {
    Graph::<Blog>::new("blog").node("read", read);
}
