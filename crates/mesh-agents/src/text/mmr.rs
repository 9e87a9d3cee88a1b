//! Maximal marginal relevance: good items that do not repeat each other.

/// Share of the item's own score; the rest is held against likeness to what was taken.
pub const LAMBDA: f64 = 0.7;

/// Next item to take, or `None` if none is left.
///
/// `scores[i]` is the item's own score in 0..=1, `likeness[i]` its greatest likeness to anything
/// taken so far in 0..=1, and `open` says whether the item may still be taken. Ties go to the
/// smaller index.
pub fn next(scores: &[f64], likeness: &[f64], open: impl Fn(usize) -> bool) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (item, (score, like)) in scores.iter().zip(likeness).enumerate() {
        if !open(item) {
            continue;
        }
        let value = LAMBDA * score - (1.0 - LAMBDA) * like;
        if best.is_none_or(|(_, top)| value > top) {
            best = Some((item, value));
        }
    }
    best.map(|(item, _)| item)
}

/// Up to `take` items in the order in which they were chosen. `like(a, b)` is in 0..=1.
pub fn select(scores: &[f64], take: usize, like: impl Fn(usize, usize) -> f64) -> Vec<usize> {
    let mut likeness = vec![0.0_f64; scores.len()];
    let mut taken = vec![false; scores.len()];
    let mut chosen = Vec::new();
    while chosen.len() < take
        && let Some(item) = next(scores, &likeness, |i| !taken[i])
    {
        taken[item] = true;
        chosen.push(item);
        for (other, most) in likeness.iter_mut().enumerate() {
            if !taken[other] {
                *most = most.max(like(item, other));
            }
        }
    }
    chosen
}
