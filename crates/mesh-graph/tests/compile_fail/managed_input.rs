use mesh_graph::State;

#[derive(State)]
struct Counted {
    #[state(remaining_steps, input)]
    left: u32,
}

fn main() {}
