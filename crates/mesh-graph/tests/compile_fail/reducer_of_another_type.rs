use mesh_graph::State;

fn longest(current: &String, update: &String) -> String {
    if current.len() > update.len() { current.clone() } else { update.clone() }
}

#[derive(State)]
struct Blog {
    #[state(reducer = longest)]
    topic: String,
}

fn main() {}
