//! TF-IDF vectors and their cosine.

use super::{
    logarithm::ln,
    words::{TermId, counts},
};

/// A sparse vector: weights by term, sorted by term, without zeros.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vector {
    weights: Vec<(TermId, f64)>,
    length: f64,
}

impl Vector {
    /// The vector of a text: `(1 + ln count) * rarity` per term.
    pub fn new(terms: &[TermId], rarity: impl Fn(TermId) -> f64) -> Self {
        let weights = counts(terms)
            .into_iter()
            .map(|(term, count)| (term, (1.0 + ln(f64::from(count))) * rarity(term)))
            .filter(|&(_, weight)| weight > 0.0)
            .collect();
        Self::from_weights(weights)
    }

    /// The sum of vectors, each scaled to length 1 first.
    pub fn centroid<'a>(vectors: impl IntoIterator<Item = &'a Vector>) -> Self {
        let mut all: Vec<(TermId, f64)> = Vec::new();
        for vector in vectors {
            if vector.length > 0.0 {
                all.extend(vector.weights.iter().map(|&(term, w)| (term, w / vector.length)));
            }
        }
        // A stable sort: equal terms stay in the order of the vectors, and so does their sum.
        all.sort_by_key(|&(term, _)| term);
        let mut weights: Vec<(TermId, f64)> = Vec::new();
        for (term, weight) in all {
            match weights.last_mut() {
                Some((last, sum)) if *last == term => *sum += weight,
                _ => weights.push((term, weight)),
            }
        }
        Self::from_weights(weights)
    }

    /// Cosine of the angle to another vector, 0 to 1; 0 if either is empty.
    pub fn cosine(&self, other: &Self) -> f64 {
        if self.length <= 0.0 || other.length <= 0.0 {
            return 0.0;
        }
        let mut dot = 0.0;
        let (mut left, mut right) =
            (self.weights.iter().peekable(), other.weights.iter().peekable());
        while let (Some(&&(a, x)), Some(&&(b, y))) = (left.peek(), right.peek()) {
            match a.cmp(&b) {
                std::cmp::Ordering::Less => drop(left.next()),
                std::cmp::Ordering::Greater => drop(right.next()),
                std::cmp::Ordering::Equal => {
                    dot += x * y;
                    left.next();
                    right.next();
                }
            }
        }
        dot / (self.length * other.length)
    }

    /// Whether no term has a weight.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// Terms and weights, sorted by term.
    pub fn weights(&self) -> &[(TermId, f64)] {
        &self.weights
    }

    /// Euclidean length.
    pub fn length(&self) -> f64 {
        self.length
    }

    fn from_weights(weights: Vec<(TermId, f64)>) -> Self {
        let square: f64 = weights.iter().map(|&(_, weight)| weight * weight).sum();
        Self { weights, length: square.sqrt() }
    }
}
