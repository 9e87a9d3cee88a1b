use mesh_graph::State;

#[derive(State)]
enum Blog {
    Draft,
}

fn main() {}
