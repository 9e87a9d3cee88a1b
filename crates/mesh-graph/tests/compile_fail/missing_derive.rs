use mesh_graph::Graph;

struct Blog {
    topic: String,
}

fn main() {
    let _ = Graph::<Blog>::new("blog");
    let _ = Blog { topic: String::new() }.topic;
}
