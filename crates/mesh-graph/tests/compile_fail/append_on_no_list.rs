use mesh_graph::State;

#[derive(State)]
struct Blog {
    #[state(append)]
    title: String,
}

fn main() {}
