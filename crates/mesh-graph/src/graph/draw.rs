//! A picture of a graph, as data and as Mermaid.
//!
//! Nodes stand in the order in which they were added, edges are sorted by source and target. Joins
//! are drawn as plain edges. What only a running graph knows is not drawn: a router without
//! declared targets leads to END alone (and [`super::Lint`] says so).
//! Shapes: LangGraph's `get_graph().to_json()` and `draw_mermaid()`.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use crate::{
    mount::Mount,
    names::{END, START},
    run::Breakpoints,
};

use super::core::{Core, NodeId, START_ID, Target};

/// How far mounted graphs are drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Xray {
    /// A mounted graph is one node.
    #[default]
    Closed,
    /// Mounted graphs are replaced by their nodes down to this depth; 1 opens one level.
    Depth(usize),
    /// All of them are.
    Open,
}

impl Xray {
    /// Whether the graph mounted at `path` is opened.
    fn opens(self, path: &str) -> bool {
        match self {
            Self::Closed => false,
            Self::Depth(depth) => path.matches(':').count() < depth,
            Self::Open => true,
        }
    }
}

/// A drawn graph.
///
/// Serialized, it is the JSON that LangGraph's clients draw from:
/// `{"nodes": [{"id", "type", "data": {"id", "name"}, "metadata"?}], "edges": [{"source",
/// "target", "data"?, "conditional"?}]}`. END has only an id.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drawing {
    /// The nodes.
    pub nodes: Vec<DrawnNode>,
    /// The edges.
    pub edges: Vec<DrawnEdge>,
}

/// A node of a [`Drawing`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrawnNode {
    /// The node's name; below a mount `mount:name`.
    pub id: String,
    /// `runnable`; none for END.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// `{"id": […], "name"}`; none for END.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Json>,
    /// The node's metadata, with `__interrupt` for breakpoints and `defer`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Json>,
}

/// An edge of a [`Drawing`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DrawnEdge {
    /// Where it begins.
    pub source: String,
    /// Where it leads.
    pub target: String,
    /// The router's label, when it is not the name of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Whether something decides if it is followed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub conditional: bool,
}

impl Core {
    /// Draws the graph with these breakpoints.
    pub(crate) fn draw(&self, xray: Xray, before: &Breakpoints, after: &Breakpoints) -> Drawing {
        self.draw_where(&|path| xray.opens(path), before, after)
    }

    /// The same, with those mounted graphs opened whose paths (`mount:mount`) are wanted.
    pub(crate) fn draw_where(
        &self,
        opens: &dyn Fn(&str) -> bool,
        before: &Breakpoints,
        after: &Breakpoints,
    ) -> Drawing {
        self.draw_below("", opens, before, after)
    }

    fn draw_below(
        &self,
        above: &str,
        opens: &dyn Fn(&str) -> bool,
        before: &Breakpoints,
        after: &Breakpoints,
    ) -> Drawing {
        let edges = self.drawn_edges();
        let mut ids: Vec<NodeId> = (0..self.nodes.len() as NodeId).collect();
        ids.sort_by_key(|id| self.node(*id).declared);
        let mut nodes: Vec<DrawnNode> =
            ids.iter().map(|id| self.drawn_node(*id, before, after)).collect();
        if edges.iter().any(|edge| edge.target == END) {
            nodes.push(DrawnNode {
                id: END.to_owned(),
                kind: None,
                data: None,
                metadata: Map::new(),
            });
        }
        let mut drawing = Drawing { nodes, edges };
        for id in ids {
            let name = &self.node(id).name;
            let child = self.node(id).run.as_ref().and_then(|run| run.mount()).map(Mount::core);
            let Some(child) = child else { continue };
            let path = if above.is_empty() { name.to_string() } else { format!("{above}:{name}") };
            if opens(&path) {
                let none = Breakpoints::None;
                drawing.open(name, child.draw_below(&path, opens, &none, &none));
            }
        }
        drawing
    }

    fn drawn_node(&self, id: NodeId, before: &Breakpoints, after: &Breakpoints) -> DrawnNode {
        let spec = self.node(id);
        let mut metadata = spec.metadata.clone();
        let stops: Vec<&str> = [(before, "before"), (after, "after")]
            .into_iter()
            .filter(|(at, _)| at.matches(self, [id]))
            .map(|(_, word)| word)
            .collect();
        if !stops.is_empty() {
            metadata.insert("__interrupt".to_owned(), json!(stops.join(",")));
        }
        if spec.defer {
            metadata.insert("defer".to_owned(), json!(true));
        }
        // One drawing for one graph, whatever features other crates give serde_json.
        metadata.sort_keys();
        metadata.values_mut().for_each(Json::sort_all_objects);
        let mounted = spec.run.as_ref().is_some_and(|run| run.mount().is_some());
        let of = if mounted { "Graph" } else { "Node" };
        DrawnNode {
            id: spec.name.to_string(),
            kind: Some("runnable"),
            data: Some(json!({ "id": ["mesh_graph", of], "name": &*spec.name })),
            metadata,
        }
    }

    /// All edges that are known before a run, sorted, each once.
    fn drawn_edges(&self) -> Vec<DrawnEdge> {
        let name = |target: Target| match target {
            Target::Node(id) => self.node(id).name.to_string(),
            Target::End => END.to_owned(),
        };
        let mut edges = Vec::new();
        let mut reached = vec![false; self.nodes.len()];
        let mut open = vec![START_ID];
        while let Some(id) = open.pop() {
            if std::mem::replace(&mut reached[id as usize], true) {
                continue;
            }
            let first = edges.len();
            let spec = self.node(id);
            let mut draw = |target: Target, label: Option<&str>, conditional: bool| {
                open.extend(target.node());
                let target = name(target);
                edges.push(DrawnEdge {
                    source: spec.name.to_string(),
                    data: label.filter(|label| *label != target).map(str::to_owned),
                    target,
                    conditional,
                });
            };
            for target in &spec.exits.edges {
                draw(Target::Node(*target), None, false);
            }
            for join in &spec.exits.joins {
                draw(Target::Node(self.joins[*join as usize].target), None, false);
            }
            for target in &spec.targets {
                draw(*target, None, true);
            }
            if let Some(handler) = spec.policies.as_ref().and_then(|policies| policies.handler) {
                draw(Target::Node(handler.node), Some("error"), true);
            }
            for router in &spec.exits.routers {
                for target in router.closed.iter().flatten() {
                    draw(*target, None, true);
                }
                for (label, target) in router.labels.iter().flatten() {
                    draw(*target, Some(label), true);
                }
                if let Some(target) = router.empty {
                    draw(target, None, true);
                }
            }
            if edges.len() == first {
                let source = spec.name.to_string();
                let target = END.to_owned();
                edges.push(DrawnEdge { source, target, data: None, conditional: false });
            }
        }
        edges.sort_unstable();
        edges.dedup();
        edges
    }
}

impl Drawing {
    /// Replaces the node `name` by the nodes of the graph that is mounted there. Its START and END
    /// go where one edge alone leaves or reaches them.
    fn open(&mut self, name: &str, mut child: Self) {
        let only = |edges: Vec<&DrawnEdge>, end: fn(&DrawnEdge) -> &str| match edges[..] {
            [edge] if !edge.conditional => Some(end(edge).to_owned()),
            _ => None,
        };
        let entry = only(child.edges.iter().filter(|e| e.source == START).collect(), |e| &e.target);
        let exit = only(child.edges.iter().filter(|e| e.target == END).collect(), |e| &e.source);
        if entry.is_some() {
            child.edges.retain(|edge| edge.source != START);
            child.nodes.retain(|node| node.id != START);
        }
        if exit.is_some() {
            child.edges.retain(|edge| edge.target != END);
            child.nodes.retain(|node| node.id != END);
        }
        let below = |id: &str| format!("{name}:{id}");
        let (entry, exit) =
            (below(entry.as_deref().unwrap_or(START)), below(exit.as_deref().unwrap_or(END)));
        self.nodes.retain(|node| node.id != name);
        for edge in &mut self.edges {
            if edge.source == name {
                edge.source.clone_from(&exit);
            }
            if edge.target == name {
                edge.target.clone_from(&entry);
            }
        }
        self.nodes.extend(child.nodes.into_iter().map(|mut node| {
            node.id = below(&node.id);
            if let Some(data) = &mut node.data {
                data["name"] = json!(node.id);
            }
            node
        }));
        self.edges.extend(child.edges.into_iter().map(|edge| DrawnEdge {
            source: below(&edge.source),
            target: below(&edge.target),
            ..edge
        }));
    }

    /// The picture as a Mermaid flow chart.
    pub fn mermaid(&self) -> String {
        let mut text =
            String::from("---\nconfig:\n  flowchart:\n    curve: linear\n---\ngraph TD;\n");
        for node in self.nodes.iter().filter(|node| !node.id.contains(':')) {
            write_node(&mut text, node, &node.id);
        }
        // An edge belongs to the innermost mount that holds both of its ends.
        let mut groups: BTreeMap<&str, (Vec<&DrawnNode>, Vec<&DrawnEdge>)> = BTreeMap::new();
        for edge in &self.edges {
            let group = groups.entry(common_mount(&edge.source, &edge.target)).or_default();
            group.1.push(edge);
        }
        for node in &self.nodes {
            if let Some((mount, _)) = node.id.rsplit_once(':') {
                groups.entry(mount).or_default().0.push(node);
            }
        }
        if let Some((_, edges)) = groups.get("") {
            for edge in edges {
                write_edge(&mut text, edge);
            }
        }
        write_groups(&mut text, &groups, "");
        text.push_str("\tclassDef default fill:#f2f0ff,line-height:1.2\n");
        text.push_str("\tclassDef first fill-opacity:0\n\tclassDef last fill:#bfb6fc\n");
        text
    }
}

/// The path of mounts that two ids share.
fn common_mount<'a>(a: &'a str, b: &str) -> &'a str {
    let mut end = 0;
    for (position, _) in a.match_indices(':') {
        if b.len() > position && b.as_bytes()[position] == b':' && a[..position] == b[..position] {
            end = position;
        }
    }
    &a[..end]
}

fn write_groups(
    text: &mut String,
    groups: &BTreeMap<&str, (Vec<&DrawnNode>, Vec<&DrawnEdge>)>,
    above: &str,
) {
    let directly_below = |mount: &str| {
        let own = if above.is_empty() {
            Some(mount)
        } else {
            mount.strip_prefix(above).and_then(|own| own.strip_prefix(':'))
        };
        own.is_some_and(|own| !own.is_empty() && !own.contains(':'))
    };
    // A mount without nodes of its own still holds the mounts in it.
    let mut mounts: Vec<&str> = Vec::new();
    for mount in groups.keys().filter(|mount| mount.len() > above.len()) {
        let start = if above.is_empty() { 0 } else { above.len() + 1 };
        let end = mount[start..].find(':').map_or(mount.len(), |end| start + end);
        let first = &mount[..end];
        if directly_below(first) && mount.starts_with(above) && !mounts.contains(&first) {
            mounts.push(first);
        }
    }
    for mount in mounts {
        let own = mount.rsplit(':').next().unwrap_or(mount);
        let _ = writeln!(text, "\tsubgraph {own}");
        if let Some((nodes, edges)) = groups.get(mount) {
            for node in nodes {
                let own = node.id.rsplit(':').next().unwrap_or(&node.id);
                write_node(text, node, own);
            }
            for edge in edges {
                write_edge(text, edge);
            }
        }
        write_groups(text, groups, mount);
        text.push_str("\tend\n");
    }
}

/// An id as Mermaid takes it.
fn escaped(id: &str) -> String {
    id.chars().fold(String::new(), |mut text, letter| {
        if letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.') {
            text.push(letter);
        } else {
            let _ = write!(text, "\\{:x}", u32::from(letter));
        }
        text
    })
}

fn write_node(text: &mut String, node: &DrawnNode, name: &str) {
    let id = escaped(&node.id);
    let _ = match name {
        START => writeln!(text, "\t{id}([<p>{name}</p>]):::first"),
        END => writeln!(text, "\t{id}([<p>{name}</p>]):::last"),
        _ if node.metadata.is_empty() => writeln!(text, "\t{id}({name})"),
        _ => {
            let facts: Vec<String> = node
                .metadata
                .iter()
                .map(|(key, value)| match value {
                    Json::String(value) => format!("{key} = {value}"),
                    other => format!("{key} = {other}"),
                })
                .collect();
            let facts = facts.join("\n");
            writeln!(text, "\t{id}({name}<hr/><small><em>{facts}</em></small>)")
        }
    };
}

fn write_edge(text: &mut String, edge: &DrawnEdge) {
    let (source, target) = (escaped(&edge.source), escaped(&edge.target));
    let _ = match (&edge.data, edge.conditional) {
        (Some(label), true) => {
            writeln!(text, "\t{source} -. &nbsp;{label}&nbsp; .-> {target};")
        }
        (Some(label), false) => writeln!(text, "\t{source} -- &nbsp;{label}&nbsp; --> {target};"),
        (None, true) => writeln!(text, "\t{source} -.-> {target};"),
        (None, false) => writeln!(text, "\t{source} --> {target};"),
    };
}
