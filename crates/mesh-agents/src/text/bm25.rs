//! Okapi BM25 over an inverted index.

use super::{
    logarithm::ln,
    words::{TermId, counts},
};

/// How soon repeating a word stops helping.
const K1: f64 = 1.2;
/// How much a long text is held against it.
const B: f64 = 0.75;

/// An index of texts by their terms. Texts are numbered in the order given.
#[derive(Debug, Default)]
pub struct Index {
    /// Per term: texts that hold it with their count, in text order.
    postings: Vec<Vec<(u32, u32)>>,
    lengths: Vec<u32>,
    length_average: f64,
}

impl Index {
    /// Indexes texts given as terms; every id is below `terms_len`, others are ignored.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a [TermId]>, terms_len: usize) -> Self {
        let mut postings = vec![Vec::new(); terms_len];
        let mut lengths = Vec::new();
        let mut total: u64 = 0;
        for (number, terms) in texts.into_iter().enumerate() {
            for (term, count) in counts(terms) {
                if let Some(list) = postings.get_mut(term as usize) {
                    list.push((number as u32, count));
                }
            }
            total += terms.len() as u64;
            lengths.push(terms.len() as u32);
        }
        let length_average =
            if lengths.is_empty() { 0.0 } else { total as f64 / lengths.len() as f64 };
        Self { postings, lengths, length_average }
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// In how many texts a term occurs.
    pub fn frequency(&self, term: TermId) -> usize {
        self.postings.get(term as usize).map_or(0, Vec::len)
    }

    /// How rare a term is: at least 0, and never negative as in the classic formula.
    pub fn rarity(&self, term: TermId) -> f64 {
        let with = self.frequency(term) as f64;
        ln(1.0 + (self.len() as f64 - with + 0.5) / (with + 0.5))
    }

    /// The score of every text for a weighted query, in text order; 0 where nothing matches.
    ///
    /// Terms are added in the order of the query, so equal input gives equal bits.
    pub fn scores(&self, query: &[(TermId, f64)]) -> Vec<f64> {
        let mut scores = vec![0.0; self.len()];
        for &(term, weight) in query {
            let rarity = self.rarity(term);
            for &(text, count) in self.postings.get(term as usize).into_iter().flatten() {
                let count = f64::from(count);
                let length = f64::from(self.lengths[text as usize]) / self.length_average.max(1.0);
                let saturation = count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length));
                scores[text as usize] += weight * rarity * saturation;
            }
        }
        scores
    }
}
