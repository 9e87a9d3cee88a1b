use mesh_graph::State;

#[derive(State)]
struct Blog {
    #[state(apend)]
    sections: Vec<String>,
}

fn main() {}
