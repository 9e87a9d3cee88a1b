use mesh_graph::State;

#[derive(State)]
struct Blog {
    topic: String,
}

fn main() {
    let _ = Blog::update().titel("Rust");
}
