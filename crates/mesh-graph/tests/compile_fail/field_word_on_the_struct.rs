use mesh_graph::State;

#[derive(State)]
#[state(append)]
struct Blog {
    sections: Vec<String>,
}

fn main() {}
