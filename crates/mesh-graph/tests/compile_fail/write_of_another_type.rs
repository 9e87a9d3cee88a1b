use mesh_graph::State;

#[derive(State)]
struct Blog {
    words: u32,
}

fn main() {
    let _ = Blog::update().words("seven");
}
