//! Boxes in layers: each below all that lead to it, in an order with few crossings, and as near
//! above and below its neighbours as that order allows.

/// Space between layers, for the edges.
const LAYER_GAP: i32 = 36;
/// Space between neighbours of a layer.
const BOX_GAP: i32 = 24;
/// Space for an edge that passes a layer.
const LANE_WIDTH: i32 = 12;
/// Rounds in which layers are put in order, and in which they are moved sideways. More of them
/// change nothing that a person would see.
const ORDER_ROUNDS: usize = 12;
const MOVE_ROUNDS: usize = 12;
/// Places in layers that long edges may take up together. Beyond it they are drawn straight, which
/// keeps the time of a huge graph in proportion to its size.
const LANES_MAX: usize = 20_000;
/// How much more an edge that passes wants to be straight than a box wants to be in the middle.
const LANE_WEIGHT: f64 = 4.0;
/// How far the loop of a box to itself reaches out.
const LOOP: i32 = 18;

/// A point: x to the right, y down.
pub(super) type Point = [i32; 2];

/// A box with a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) width: i32,
    pub(super) height: i32,
}

/// What [`place`] has found.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) width: i32,
    pub(super) height: i32,
    /// In the order of the sizes.
    pub(super) areas: Vec<Area>,
    /// In the order of the edges, each from its source to its target.
    pub(super) edges: Vec<Vec<Point>>,
}

/// Something that takes a place in a layer: a box, or a lane of an edge that passes.
struct Slot {
    width: i32,
    weight: f64,
    layer: usize,
    /// Neighbours in the layers above and below.
    above: Vec<usize>,
    below: Vec<usize>,
    /// Its middle.
    x: f64,
}

/// Places boxes of these widths and heights.
pub(super) fn place(sizes: &[(i32, i32)], edges: &[(usize, usize)]) -> Placed {
    let turned = turned(sizes.len(), edges);
    let down = |at: usize| {
        let (source, target) = edges[at];
        if turned[at] { (target, source) } else { (source, target) }
    };
    let layer_of = layered(sizes.len(), edges, &turned);
    let mut slots: Vec<Slot> = sizes
        .iter()
        .zip(&layer_of)
        .map(|(size, layer)| Slot {
            width: size.0,
            weight: 1.0,
            layer: *layer,
            above: Vec::new(),
            below: Vec::new(),
            x: 0.0,
        })
        .collect();
    let lanes: usize = (0..edges.len())
        .map(|at| layer_of[down(at).1].saturating_sub(layer_of[down(at).0] + 1))
        .fold(0, usize::saturating_add);
    let has_lanes = lanes <= LANES_MAX;
    // The slots that each edge goes through, from the top.
    let mut ways: Vec<Vec<usize>> = Vec::with_capacity(edges.len());
    for at in 0..edges.len() {
        let (top, bottom) = down(at);
        let mut way = vec![top];
        if has_lanes && top != bottom {
            for layer in layer_of[top] + 1..layer_of[bottom] {
                way.push(slots.len());
                slots.push(Slot {
                    width: LANE_WIDTH,
                    weight: LANE_WEIGHT,
                    layer,
                    above: Vec::new(),
                    below: Vec::new(),
                    x: 0.0,
                });
            }
        }
        way.push(bottom);
        for pair in way.windows(2) {
            if slots[pair[0]].layer + 1 == slots[pair[1]].layer {
                slots[pair[0]].below.push(pair[1]);
                slots[pair[1]].above.push(pair[0]);
            }
        }
        ways.push(way);
    }
    let mut layers: Vec<Vec<usize>> = Vec::new();
    for (at, slot) in slots.iter().enumerate() {
        if layers.len() <= slot.layer {
            layers.resize_with(slot.layer + 1, Vec::new);
        }
        layers[slot.layer].push(at);
    }
    order(&mut layers, &slots);
    shift(&layers, &mut slots);
    drawn(sizes, edges, &turned, &layers, &slots, &ways)
}

/// Which edges have to be turned so that no way leads back to where it came from.
fn turned(boxes: usize, edges: &[(usize, usize)]) -> Vec<bool> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        No,
        Open,
        Done,
    }
    let mut leaving: Vec<Vec<usize>> = vec![Vec::new(); boxes];
    for (at, (source, _)) in edges.iter().enumerate() {
        leaving[*source].push(at);
    }
    let mut seen = vec![Seen::No; boxes];
    let mut turned = vec![false; edges.len()];
    for first in 0..boxes {
        if seen[first] != Seen::No {
            continue;
        }
        seen[first] = Seen::Open;
        // A stack of our own: a graph may be deeper than a thread's.
        let mut stack = vec![(first, 0)];
        while let Some((current, next)) = stack.pop() {
            let Some(&edge) = leaving[current].get(next) else {
                seen[current] = Seen::Done;
                continue;
            };
            stack.push((current, next + 1));
            let target = edges[edge].1;
            match seen[target] {
                Seen::No => {
                    seen[target] = Seen::Open;
                    stack.push((target, 0));
                }
                Seen::Open => turned[edge] = target != current,
                Seen::Done => {}
            }
        }
    }
    turned
}

/// The layer of each box: below all that lead to it, and what nothing leads to right above what it
/// leads to.
fn layered(boxes: usize, edges: &[(usize, usize)], turned: &[bool]) -> Vec<usize> {
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); boxes];
    let mut waiting = vec![0_usize; boxes];
    for ((source, target), turned) in edges.iter().zip(turned) {
        let (top, bottom) = if *turned { (*target, *source) } else { (*source, *target) };
        if top != bottom {
            below[top].push(bottom);
            waiting[bottom] += 1;
        }
    }
    let has_above: Vec<bool> = waiting.iter().map(|count| *count > 0).collect();
    let mut ready: Vec<usize> = (0..boxes).filter(|at| !has_above[*at]).collect();
    let mut layer = vec![0_usize; boxes];
    let mut next = 0;
    while let Some(&current) = ready.get(next) {
        next += 1;
        for &target in &below[current] {
            layer[target] = layer[target].max(layer[current] + 1);
            waiting[target] -= 1;
            if waiting[target] == 0 {
                ready.push(target);
            }
        }
    }
    for at in 0..boxes {
        if !has_above[at]
            && let Some(nearest) = below[at].iter().map(|target| layer[*target]).min()
        {
            layer[at] = nearest.saturating_sub(1);
        }
    }
    layer
}

/// Puts each layer in the order of the mean places of its neighbours, down and up again.
fn order(layers: &mut [Vec<usize>], slots: &[Slot]) {
    let mut place = vec![0.0_f64; slots.len()];
    let settle = |layer: &[usize], place: &mut Vec<f64>| {
        for (at, slot) in layer.iter().enumerate() {
            place[*slot] = as_f64(at);
        }
    };
    for layer in layers.iter() {
        settle(layer, &mut place);
    }
    for round in 0..ORDER_ROUNDS {
        let is_down = round % 2 == 0;
        let count = layers.len();
        for step in 0..count {
            let layer = &mut layers[if is_down { step } else { count - 1 - step }];
            let mut keyed: Vec<(f64, usize)> = layer
                .iter()
                .map(|slot| {
                    let from = if is_down { &slots[*slot].above } else { &slots[*slot].below };
                    (mean(from.iter().map(|it| place[*it])).unwrap_or(place[*slot]), *slot)
                })
                .collect();
            // Stable: what wants the same place keeps its order.
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            *layer = keyed.into_iter().map(|(_, slot)| slot).collect();
            settle(layer, &mut place);
        }
    }
}

/// Moves slots sideways, each towards the middle of its neighbours.
fn shift(layers: &[Vec<usize>], slots: &mut [Slot]) {
    for layer in layers {
        let mut x = 0.0;
        for (at, slot) in layer.iter().enumerate() {
            if at > 0 {
                x += apart(&slots[layer[at - 1]], &slots[*slot]);
            }
            slots[*slot].x = x;
        }
        let middle = x / 2.0;
        for slot in layer {
            slots[*slot].x -= middle;
        }
    }
    for round in 0..MOVE_ROUNDS {
        // The last round goes up, so that chains end up straight.
        let is_down = round % 2 == 0;
        let count = layers.len();
        for step in 0..count {
            let layer = &layers[if is_down { step } else { count - 1 - step }];
            let wanted: Vec<f64> = layer
                .iter()
                .map(|at| {
                    let slot = &slots[*at];
                    let above = mean(slot.above.iter().map(|it| slots[*it].x));
                    let below = mean(slot.below.iter().map(|it| slots[*it].x));
                    (if is_down { above } else { below }).unwrap_or(slot.x)
                })
                .collect();
            for (slot, x) in layer.iter().zip(spread(layer, slots, &wanted)) {
                slots[*slot].x = x;
            }
        }
    }
}

/// The places nearest to the wanted ones that keep the order and the gaps: neighbours that would
/// be too near are pooled around their common middle.
fn spread(layer: &[usize], slots: &[Slot], wanted: &[f64]) -> Vec<f64> {
    struct Pool {
        sum: f64,
        weight: f64,
        count: usize,
    }
    let mut offset = 0.0;
    let mut offsets = Vec::with_capacity(layer.len());
    let mut pools: Vec<Pool> = Vec::new();
    for (at, slot) in layer.iter().enumerate() {
        if at > 0 {
            offset += apart(&slots[layer[at - 1]], &slots[*slot]);
        }
        offsets.push(offset);
        let weight = slots[*slot].weight;
        let mut pool = Pool { sum: (wanted[at] - offset) * weight, weight, count: 1 };
        while let Some(last) = pools.pop() {
            if last.sum / last.weight <= pool.sum / pool.weight {
                pools.push(last);
                break;
            }
            pool = Pool {
                sum: pool.sum + last.sum,
                weight: pool.weight + last.weight,
                count: pool.count + last.count,
            };
        }
        pools.push(pool);
    }
    let pooled =
        pools.iter().flat_map(|pool| std::iter::repeat_n(pool.sum / pool.weight, pool.count));
    pooled.zip(offsets).map(|(place, offset)| place + offset).collect()
}

/// Least distance between the middles of neighbours.
fn apart(left: &Slot, right: &Slot) -> f64 {
    f64::from(left.width + right.width) / 2.0 + f64::from(BOX_GAP)
}

fn drawn(
    sizes: &[(i32, i32)],
    edges: &[(usize, usize)],
    turned: &[bool],
    layers: &[Vec<usize>],
    slots: &[Slot],
    ways: &[Vec<usize>],
) -> Placed {
    let left = slots.iter().map(|it| it.x - f64::from(it.width) / 2.0).fold(f64::MAX, f64::min);
    let x_of = |slot: usize| rounded(slots[slot].x - left);
    let mut tops = Vec::with_capacity(layers.len());
    let mut bottom = 0;
    for layer in layers {
        let height = layer.iter().filter_map(|slot| sizes.get(*slot)).map(|it| it.1).max();
        let height = height.unwrap_or(0);
        tops.push((bottom, height));
        bottom += height + LAYER_GAP;
    }
    let areas: Vec<Area> = sizes
        .iter()
        .enumerate()
        .map(|(at, (width, height))| {
            let (top, tallest) = tops[slots[at].layer];
            let y = top + (tallest - height) / 2;
            Area { x: x_of(at) - width / 2, y, width: *width, height: *height }
        })
        .collect();
    let mut width = areas.iter().map(|it| it.x + it.width).max().unwrap_or(0);
    let drawn = ways.iter().enumerate().map(|(edge, way)| {
        let (source, target) = edges[edge];
        if source == target {
            let Area { x, y, width: own, height } = areas[source];
            let (right, middle) = (x + own, y + height / 2);
            width = width.max(right + LOOP);
            let (upper, lower) = (middle - height / 4, middle + height / 4);
            return vec![
                [right, upper],
                [right + LOOP, upper],
                [right + LOOP, lower],
                [right, lower],
            ];
        }
        let mut points = Vec::with_capacity(2 * way.len());
        for (place, slot) in way.iter().enumerate() {
            let x = x_of(*slot);
            let (top, height) = tops[slots[*slot].layer];
            // Straight through the whole height of a layer: beside it may be a taller box.
            let (from, to) = match areas.get(*slot) {
                Some(area) if place == 0 => (area.y + area.height, top + height),
                Some(area) => (top, area.y),
                None => (top, top + height),
            };
            points.push([x, from]);
            if to != from {
                points.push([x, to]);
            }
        }
        if turned[edge] {
            points.reverse();
        }
        points
    });
    let edges = drawn.collect();
    let height = (bottom - LAYER_GAP).max(0);
    Placed { width, height, areas, edges }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

/// A place in a layer as a number to compute with; layers are far shorter than what it holds.
fn as_f64(place: usize) -> f64 {
    u32::try_from(place).map_or(f64::MAX, f64::from)
}

#[expect(clippy::cast_possible_truncation, reason = "a cast of floats saturates")]
fn rounded(value: f64) -> i32 {
    value.round() as i32
}
