use mesh_graph::State;

#[derive(State)]
struct Blog {
    #[state(append, any)]
    sections: Vec<String>,
}

fn main() {}
