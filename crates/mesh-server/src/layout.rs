//! Where the nodes of a drawn graph go: layers from top to bottom, few crossings, mounted graphs as
//! boxes around their own nodes. Whoever draws the graph then shows the same picture.
//!
//! Pure: the same drawing gives the same layout. It knows no screen and no letters; widths follow
//! from the number of characters of a name.

mod layers;

use std::collections::BTreeMap;

use mesh_protocol::assistant::{DrawnEdge, DrawnNode, GraphLayout, Placed, PlacedEdge};

use layers::{Area, Point};

/// Height of a node.
const NODE_HEIGHT: i32 = 44;
/// Width of a node besides its name: its mark and its margins.
const NODE_MARGIN: usize = 46;
/// Width of a character of a name.
const CHAR_WIDTH: usize = 8;
/// A node is neither narrower nor wider.
const NODE_WIDTHS: (usize, usize) = (128, 320);
/// Width and height of the beginning and the end.
const END_SIZE: (i32, i32) = (72, 28);
/// Space inside the box of a mounted graph, and the one at its top for its name.
const BOX_MARGIN: i32 = 16;
const BOX_HEAD: i32 = 34;
/// Space around everything.
const MARGIN: i32 = 12;
/// Mounted graphs within each other that are drawn as boxes; deeper ones are drawn flat.
const DEPTH_MAX: usize = 8;

/// Where the parts of a graph are, from its own corner.
#[derive(Default)]
struct Part {
    width: i32,
    height: i32,
    nodes: Vec<(usize, Area)>,
    groups: Vec<(String, Area)>,
    edges: Vec<(usize, Vec<Point>)>,
}

/// An edge by its number and the numbers of its ends.
#[derive(Clone, Copy)]
struct Edge {
    number: usize,
    source: usize,
    target: usize,
}

/// The places of these nodes and edges, in the order given. An edge between nodes that are not
/// there has no points.
pub(crate) fn of(nodes: &[DrawnNode], edges: &[DrawnEdge]) -> GraphLayout {
    let ids: Vec<&str> = nodes.iter().map(|node| &*node.id).collect();
    let numbers: BTreeMap<&str, usize> = ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    let known = edges.iter().enumerate().filter_map(|(number, edge)| {
        let end = |name: &String| numbers.get(&**name).copied();
        Some(Edge { number, source: end(&edge.source)?, target: end(&edge.target)? })
    });
    let known: Vec<Edge> = known.collect();
    let all: Vec<usize> = (0..ids.len()).collect();
    let mut part = part(&ids, &all, &known, "", 0);
    part.nodes.sort_by_key(|(node, _)| *node);
    let mut drawn = vec![PlacedEdge::default(); edges.len()];
    for (number, points) in part.edges {
        drawn[number].points = points.into_iter().map(|[x, y]| [x + MARGIN, y + MARGIN]).collect();
    }
    let placed = |id: String, at: Area| Placed {
        id,
        x: at.x + MARGIN,
        y: at.y + MARGIN,
        width: at.width,
        height: at.height,
    };
    GraphLayout {
        width: part.width + 2 * MARGIN,
        height: part.height + 2 * MARGIN,
        nodes: part.nodes.iter().map(|(node, at)| placed(ids[*node].to_owned(), *at)).collect(),
        edges: drawn,
        groups: part.groups.into_iter().map(|(id, at)| placed(id, at)).collect(),
    }
}

/// Places the nodes whose names begin with `prefix`, and what is mounted among them.
fn part(ids: &[&str], members: &[usize], edges: &[Edge], prefix: &str, depth: usize) -> Part {
    // What is placed here: nodes, and mounted graphs as one box each, in order of appearance.
    let mut items: Vec<(String, Vec<usize>)> = Vec::new();
    let mut item_of: BTreeMap<usize, usize> = BTreeMap::new();
    let mut mounts: BTreeMap<&str, usize> = BTreeMap::new();
    for &node in members {
        let own = &ids[node][prefix.len()..];
        match own.split_once(':') {
            Some((mount, _)) if depth < DEPTH_MAX => {
                let item = *mounts.entry(mount).or_insert_with(|| {
                    items.push((format!("{prefix}{mount}"), Vec::new()));
                    items.len() - 1
                });
                items[item].1.push(node);
                item_of.insert(node, item);
            }
            _ => {
                item_of.insert(node, items.len());
                items.push((String::new(), vec![node]));
            }
        }
    }
    let mut inside: Vec<Vec<Edge>> = vec![Vec::new(); items.len()];
    let mut between = Vec::new();
    for &edge in edges {
        let (Some(&source), Some(&target)) = (item_of.get(&edge.source), item_of.get(&edge.target))
        else {
            continue;
        };
        let is_mount = !items[source].0.is_empty();
        if source == target && is_mount {
            inside[source].push(edge);
        } else {
            between.push((edge.number, source, target));
        }
    }
    let parts: Vec<Option<Part>> = items
        .iter()
        .zip(&inside)
        .map(|((name, members), edges)| {
            let below = || part(ids, members, edges, &format!("{name}:"), depth + 1);
            (!name.is_empty()).then(below)
        })
        .collect();
    let sizes: Vec<(i32, i32)> = items
        .iter()
        .zip(&parts)
        .map(|((_, members), part)| match part {
            Some(part) => (part.width + 2 * BOX_MARGIN, part.height + BOX_HEAD + BOX_MARGIN),
            None => size(&ids[members[0]][prefix.len()..]),
        })
        .collect();
    let ends: Vec<(usize, usize)> =
        between.iter().map(|(_, source, target)| (*source, *target)).collect();
    let placed = layers::place(&sizes, &ends);

    let mut whole = Part { width: placed.width, height: placed.height, ..Part::default() };
    for (((name, members), part), at) in items.into_iter().zip(parts).zip(&placed.areas) {
        let Some(part) = part else {
            whole.nodes.push((members[0], *at));
            continue;
        };
        let (x, y) = (at.x + BOX_MARGIN, at.y + BOX_HEAD);
        let moved = |area: Area| Area { x: area.x + x, y: area.y + y, ..area };
        whole.groups.push((name, *at));
        whole.groups.extend(part.groups.into_iter().map(|(name, at)| (name, moved(at))));
        whole.nodes.extend(part.nodes.into_iter().map(|(node, at)| (node, moved(at))));
        whole.edges.extend(part.edges.into_iter().map(|(number, points)| {
            (number, points.into_iter().map(|[px, py]| [px + x, py + y]).collect())
        }));
    }
    whole.edges.extend(between.iter().map(|(number, ..)| *number).zip(placed.edges));
    whole
}

/// Width and height of a node with this name.
fn size(name: &str) -> (i32, i32) {
    if name == mesh_graph::START || name == mesh_graph::END {
        return END_SIZE;
    }
    let width = name.chars().count().saturating_mul(CHAR_WIDTH).saturating_add(NODE_MARGIN);
    let width = width.clamp(NODE_WIDTHS.0, NODE_WIDTHS.1);
    (i32::try_from(width).unwrap_or(i32::MAX), NODE_HEIGHT)
}

#[cfg(test)]
mod tests;
