use super::*;

fn graph(edges: &[(&str, &str)]) -> (Vec<DrawnNode>, Vec<DrawnEdge>) {
    let mut names: Vec<&str> = Vec::new();
    for (source, target) in edges {
        for name in [source, target] {
            if !names.contains(name) {
                names.push(name);
            }
        }
    }
    let node = |id: &&str| DrawnNode {
        id: (*id).to_owned(),
        kind: "runnable".to_owned(),
        data: None,
        metadata: None,
    };
    let edge = |(source, target): &(&str, &str)| DrawnEdge {
        source: (*source).to_owned(),
        target: (*target).to_owned(),
        data: None,
        conditional: false,
    };
    (names.iter().map(node).collect(), edges.iter().map(edge).collect())
}

fn laid(edges: &[(&str, &str)]) -> GraphLayout {
    let (nodes, edges) = graph(edges);
    of(&nodes, &edges)
}

fn at<'a>(layout: &'a GraphLayout, id: &str) -> &'a Placed {
    layout.nodes.iter().chain(&layout.groups).find(|it| it.id == id).unwrap()
}

fn meet(a: &Placed, b: &Placed) -> bool {
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
}

#[test]
fn what_leads_to_a_node_is_above_it_and_nothing_overlaps() {
    let edges = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("a", "d"), ("d", "e")];
    let layout = laid(&edges);
    for (source, target) in edges {
        assert!(at(&layout, source).y < at(&layout, target).y, "{source} {target}");
    }
    for (place, a) in layout.nodes.iter().enumerate() {
        assert!(a.x >= 0 && a.x + a.width <= layout.width && a.y + a.height <= layout.height);
        assert!(layout.nodes[place + 1..].iter().all(|b| !meet(a, b)), "{a:?}");
    }
}

#[test]
fn edges_go_from_border_to_border_also_back_and_to_themselves() {
    let layout = laid(&[("a", "b"), ("b", "a"), ("b", "b")]);
    let (a, b) = (at(&layout, "a"), at(&layout, "b"));
    let ends = |edge: usize| {
        let points = &layout.edges[edge].points;
        (points[0], *points.last().unwrap())
    };
    assert_eq!(ends(0).0[1], a.y + a.height);
    assert_eq!(ends(0).1[1], b.y);
    assert_eq!(ends(1).0[1], b.y);
    assert_eq!(ends(1).1[1], a.y + a.height);
    assert_eq!(layout.edges[2].points[0][0], b.x + b.width);
    assert!(layout.edges[2].points.iter().all(|point| point[0] <= layout.width));
}

#[test]
fn a_mounted_graph_is_a_box_around_its_own_nodes() {
    let layout = laid(&[("a", "m:x"), ("m:x", "m:y"), ("m:y", "b"), ("a", "b")]);
    let group = at(&layout, "m");
    for inner in ["m:x", "m:y"] {
        let node = at(&layout, inner);
        assert!(node.x > group.x && node.x + node.width < group.x + group.width);
        assert!(node.y > group.y && node.y + node.height < group.y + group.height);
    }
    assert!(!meet(group, at(&layout, "a")) && !meet(group, at(&layout, "b")));
}

#[test]
fn a_long_edge_passes_beside_the_nodes_between() {
    let layout = laid(&[("a", "b"), ("b", "c"), ("a", "c")]);
    let b = at(&layout, "b");
    let crosses = layout.edges[2]
        .points
        .iter()
        .any(|[x, y]| (b.x..=b.x + b.width).contains(x) && (b.y..=b.y + b.height).contains(y));
    assert!(!crosses, "{:?}", layout.edges[2]);
}

#[test]
fn two_thousand_nodes_in_a_ring_with_spokes_are_laid_out() {
    let names: Vec<String> = (0..2_000).map(|at| format!("n{at}")).collect();
    let mut edges: Vec<(&str, &str)> =
        names.windows(2).map(|pair| (&*pair[0], &*pair[1])).collect();
    edges.push((&names[1_999], &names[0]));
    edges.extend(names.iter().step_by(3).map(|name| (&*names[0], &**name)));
    let layout = laid(&edges);
    assert_eq!(layout.nodes.len(), 2_000);
    assert_eq!(layout, laid(&edges));
}

#[test]
fn an_edge_of_a_small_node_beside_a_box_does_not_cross_the_box() {
    let layout = laid(&[
        ("a", "m:x"),
        ("m:x", "m:y"),
        ("m:y", "m:z"),
        ("m:z", "b"),
        ("a", "c"),
        ("c", "end"),
        ("b", "end"),
    ]);
    let group = at(&layout, "m");
    let within = |value: i32, from: i32, size: i32| value > from && value < from + size;
    let crosses = layout.edges[5]
        .points
        .iter()
        .any(|[x, y]| within(*x, group.x, group.width) && within(*y, group.y, group.height));
    assert!(!crosses, "{:?} {group:?}", layout.edges[5]);
}
