use mesh_graph::State;

#[derive(State)]
struct Blog {
    #[state(add)]
    topic: bool,
}

fn main() {}
