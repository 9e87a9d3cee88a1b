//! Pictures of graphs.

use expect_test::expect;
use mesh_graph::{
    App, Breakpoints, Compiled, Ctx, END, Graph, Lint, NodeResult, START, State, View, Xray,
};

#[derive(State)]
struct S {
    x: i64,
}

async fn nothing(_: View<S>, _: Ctx) -> NodeResult<()> {
    Ok(())
}

fn mount(graph: &mut Graph<S>, name: &str, child: &Compiled<S>) {
    graph.mount::<S>(name, child, |s| S::update().x(*s.x), |s| S::update().x(*s.x));
}

/// A label map, a join, a deferred node, gotos, a mounted graph and two breakpoints.
fn everything() -> App<S> {
    let mut child = Graph::<S>::new("child");
    child.node("s1", nothing);
    child.node("s2", nothing);
    child.edge(START, "s1").edge("s1", "s2");
    let child = child.compile().unwrap();

    let mut graph = Graph::<S>::new("everything");
    graph.node("a", nothing);
    graph.node("b", nothing);
    graph.node("c", nothing).targets(["d", END]);
    graph.node("d", nothing).defer().metadata("team", "x");
    graph.node("j", nothing);
    mount(&mut graph, "sub", &child);
    graph.edge(START, "a");
    graph.route("a", |_| "left").labels([("left", "b"), ("right", "c"), ("c", "c"), ("stop", END)]);
    graph.join(["b", "d"], "j").edge("j", "sub");
    let app = graph.compile().unwrap().app(());
    let app = app.break_before(Breakpoints::At(vec!["b".to_owned()])).unwrap();
    app.break_after(Breakpoints::At(vec!["j".to_owned()])).unwrap()
}

#[test]
fn t254_a_drawing_shows_all_that_is_declared() {
    let app = everything();
    let json = serde_json::to_string_pretty(&app.draw(Xray::Closed)).unwrap();
    expect![[r#"
        {
          "nodes": [
            {
              "id": "__start__",
              "type": "runnable",
              "data": {
                "id": [
                  "mesh_graph",
                  "Node"
                ],
                "name": "__start__"
              }
            },
            {
              "id": "a",
              "type": "runnable",
              "data": {
                "id": [
                  "mesh_graph",
                  "Node"
                ],
                "name": "a"
              }
            },
            {
              "id": "b",
              "type": "runnable",
              "data": {
                "id": [
                  "mesh_graph",
                  "Node"
                ],
                "name": "b"
              },
              "metadata": {
                "__interrupt": "before"
              }
            },
            {
              "id": "c",
              "type": "runnable",
              "data": {
                "id": [
                  "mesh_graph",
                  "Node"
                ],
                "name": "c"
              }
            },
            {
              "id": "d",
              "type": "runnable",
              "data": {
                "id": [
                  "mesh_graph",
                  "Node"
                ],
                "name": "d"
              },
              "metadata": {
                "defer": true,
                "team": "x"
              }
            },
            {
              "id": "j",
              "type": "runnable",
              "data": {
                "id": [
                  "mesh_graph",
                  "Node"
                ],
                "name": "j"
              },
              "metadata": {
                "__interrupt": "after"
              }
            },
            {
              "id": "sub",
              "type": "runnable",
              "data": {
                "id": [
                  "mesh_graph",
                  "Graph"
                ],
                "name": "sub"
              }
            },
            {
              "id": "__end__"
            }
          ],
          "edges": [
            {
              "source": "__start__",
              "target": "a"
            },
            {
              "source": "a",
              "target": "__end__",
              "data": "stop",
              "conditional": true
            },
            {
              "source": "a",
              "target": "b",
              "data": "left",
              "conditional": true
            },
            {
              "source": "a",
              "target": "c",
              "conditional": true
            },
            {
              "source": "a",
              "target": "c",
              "data": "right",
              "conditional": true
            },
            {
              "source": "b",
              "target": "j"
            },
            {
              "source": "c",
              "target": "__end__",
              "conditional": true
            },
            {
              "source": "c",
              "target": "d",
              "conditional": true
            },
            {
              "source": "d",
              "target": "j"
            },
            {
              "source": "j",
              "target": "sub"
            },
            {
              "source": "sub",
              "target": "__end__"
            }
          ]
        }"#]]
    .assert_eq(&json);
    expect![[r#"
        ---
        config:
          flowchart:
            curve: linear
        ---
        graph TD;
        	__start__([<p>__start__</p>]):::first
        	a(a)
        	b(b<hr/><small><em>__interrupt = before</em></small>)
        	c(c)
        	d(d<hr/><small><em>defer = true
        team = x</em></small>)
        	j(j<hr/><small><em>__interrupt = after</em></small>)
        	sub(sub)
        	__end__([<p>__end__</p>]):::last
        	__start__ --> a;
        	a -. &nbsp;stop&nbsp; .-> __end__;
        	a -. &nbsp;left&nbsp; .-> b;
        	a -.-> c;
        	a -. &nbsp;right&nbsp; .-> c;
        	b --> j;
        	c -.-> __end__;
        	c -.-> d;
        	d --> j;
        	j --> sub;
        	sub --> __end__;
        	classDef default fill:#f2f0ff,line-height:1.2
        	classDef first fill-opacity:0
        	classDef last fill:#bfb6fc
    "#]]
    .assert_eq(&app.draw(Xray::Closed).mermaid());
    expect![[r#"
        ---
        config:
          flowchart:
            curve: linear
        ---
        graph TD;
        	__start__([<p>__start__</p>]):::first
        	a(a)
        	b(b<hr/><small><em>__interrupt = before</em></small>)
        	c(c)
        	d(d<hr/><small><em>defer = true
        team = x</em></small>)
        	j(j<hr/><small><em>__interrupt = after</em></small>)
        	__end__([<p>__end__</p>]):::last
        	__start__ --> a;
        	a -. &nbsp;stop&nbsp; .-> __end__;
        	a -. &nbsp;left&nbsp; .-> b;
        	a -.-> c;
        	a -. &nbsp;right&nbsp; .-> c;
        	b --> j;
        	c -.-> __end__;
        	c -.-> d;
        	d --> j;
        	j --> sub\3as1;
        	sub\3as2 --> __end__;
        	subgraph sub
        	sub\3as1(s1)
        	sub\3as2(s2)
        	sub\3as1 --> sub\3as2;
        	end
        	classDef default fill:#f2f0ff,line-height:1.2
        	classDef first fill-opacity:0
        	classDef last fill:#bfb6fc
    "#]]
    .assert_eq(&app.draw(Xray::Open).mermaid());
}

#[test]
fn t255_mounted_graphs_open_level_by_level() {
    let mut z = Graph::<S>::new("z");
    z.node("leaf", nothing);
    z.edge(START, "leaf");
    let mut y = Graph::<S>::new("y");
    mount(&mut y, "z", &z.compile().unwrap());
    y.edge(START, "z");
    let mut x = Graph::<S>::new("x");
    mount(&mut x, "y", &y.compile().unwrap());
    x.edge(START, "y");
    let x = x.compile().unwrap();
    let nodes = |xray| -> Vec<String> {
        let ids = x.draw(xray).nodes.into_iter().map(|node| node.id);
        ids.filter(|id| id != START && id != END).collect()
    };
    assert_eq!(nodes(Xray::Closed), ["y"]);
    assert_eq!(nodes(Xray::Depth(1)), ["y:z"]);
    assert_eq!(nodes(Xray::Depth(2)), ["y:z:leaf"]);
    assert_eq!(nodes(Xray::Open), ["y:z:leaf"]);
    expect![[r#"
        ---
        config:
          flowchart:
            curve: linear
        ---
        graph TD;
        	__start__([<p>__start__</p>]):::first
        	__end__([<p>__end__</p>]):::last
        	__start__ --> y\3az\3aleaf;
        	y\3az\3aleaf --> __end__;
        	subgraph y
        	subgraph z
        	y\3az\3aleaf(leaf)
        	end
        	end
        	classDef default fill:#f2f0ff,line-height:1.2
        	classDef first fill-opacity:0
        	classDef last fill:#bfb6fc
    "#]]
    .assert_eq(&x.draw(Xray::Open).mermaid());
}

#[test]
fn t256_a_router_that_may_go_anywhere_is_drawn_to_the_end() {
    let mut graph = Graph::<S>::new("open");
    graph.node("a", nothing);
    graph.node("b", nothing);
    graph.edge(START, "a");
    graph.route("a", |_| "b");
    let graph = graph.compile().unwrap();
    let edges = graph.draw(Xray::Closed).edges;
    let edges: Vec<(&str, &str)> =
        edges.iter().map(|edge| (edge.source.as_str(), edge.target.as_str())).collect();
    assert_eq!(edges, [(START, "a"), ("a", END)]);
    assert_eq!(graph.lint(), [Lint::OpenRoute { node: "a".into() }]);
}

#[test]
fn mounted_graphs_are_listed_by_their_paths_with_their_schemas() {
    #[derive(State)]
    struct Other {
        y: Option<String>,
    }

    async fn other(_: View<Other>, _: Ctx) -> NodeResult<()> {
        Ok(())
    }

    let mut innermost = Graph::<Other>::new("innermost");
    innermost.node("only", other);
    innermost.edge(START, "only");
    let innermost = innermost.compile().unwrap();
    let mut child = Graph::<S>::new("child");
    child.node("n", nothing);
    child.mount::<Other>("deep", &innermost, |_| Other::update(), |_| S::update());
    child.edge(START, "n").edge("n", "deep");
    let child = child.compile().unwrap();
    let mut graph = Graph::<S>::new("parent");
    graph.node("z", nothing);
    mount(&mut graph, "two", &child);
    mount(&mut graph, "one", &child);
    graph.edge(START, "z").edge("z", "two").edge("two", "one");
    let app = graph.compile().unwrap().app(());

    let mounted = app.mounted();
    let found: Vec<(&str, &str)> = mounted.iter().map(|one| (&*one.path, &*one.name)).collect();
    assert_eq!(
        found,
        [("two", "child"), ("two|deep", "innermost"), ("one", "child"), ("one|deep", "innermost")]
    );
    assert_eq!(mounted[0].input_schema, app.input_schema());
    assert!(mounted[1].state_schema["properties"]["y"].is_object());
    assert_eq!(app.untyped().mounted(), mounted);
}
