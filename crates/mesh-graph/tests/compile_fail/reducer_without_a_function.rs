use mesh_graph::State;

#[derive(State)]
struct Blog {
    #[state(reducer)]
    topic: String,
}

fn main() {}
