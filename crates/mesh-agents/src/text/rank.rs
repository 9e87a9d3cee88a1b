//! What a set of texts is about: sentences and phrases ranked by how the others lean on them.
//!
//! Both ranks are the stationary weights of a random walk (PageRank) on an undirected weighted
//! graph: sentences joined by likeness, words joined by standing near each other.

use std::collections::BTreeMap;

use unicode_segmentation::UnicodeSegmentation as _;

use super::{
    language::Language,
    tfidf::Vector,
    words::{is_stop_word, stem},
};

/// Share of the walk that follows an edge.
const DAMPING: f64 = 0.85;
/// Change of the weights, summed, at which the walk counts as settled.
const SETTLED: f64 = 1e-6;
/// Rounds at most; 0.85^90 is below [`SETTLED`], so this is only a guard.
const ROUNDS_MAX: usize = 120;
/// Likeness below which two sentences have nothing to do with each other.
const SENTENCE_COSINE_MIN: f64 = 0.1;
/// Content words at this distance or nearer stand near each other.
const NEAR_WORDS: usize = 3;
/// Words of a phrase at most.
const PHRASE_WORDS_MAX: usize = 3;
/// Times that a phrase must occur to be one.
const PHRASE_COUNT_MIN: usize = 2;

/// A phrase that stands for a set of texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Keyphrase {
    /// The form in which it occurs most often.
    pub text: String,
    /// Stems of its words.
    pub stems: Vec<String>,
    /// Rank; only its order means anything.
    pub score: f64,
    /// How often it occurs.
    pub count: usize,
}

/// Rank of every sentence among all, scaled so that the best has 1. Memory and time grow with the
/// square of `sentences.len()` at worst: the caller bounds it.
pub fn sentence_ranks(sentences: &[Vector]) -> Vec<f64> {
    let mut by_term: BTreeMap<u32, Vec<(usize, f64)>> = BTreeMap::new();
    let mut edges: Vec<Vec<(usize, f64)>> = vec![Vec::new(); sentences.len()];
    let mut dots = vec![0.0; sentences.len()];
    for (at, sentence) in sentences.iter().enumerate() {
        dots[..at].fill(0.0);
        for &(term, weight) in sentence.weights() {
            let list = by_term.entry(term).or_default();
            for &(other, other_weight) in list.iter() {
                dots[other] += weight * other_weight;
            }
            list.push((at, weight));
        }
        for other in 0..at {
            let lengths = sentence.length() * sentences[other].length();
            if lengths > 0.0 && dots[other] / lengths >= SENTENCE_COSINE_MIN {
                edges[at].push((other, dots[other] / lengths));
                edges[other].push((at, dots[other] / lengths));
            }
        }
    }
    let mut ranks = walk(&edges);
    let best = ranks.iter().copied().fold(0.0, f64::max);
    if best > 0.0 {
        for rank in &mut ranks {
            *rank /= best;
        }
    }
    ranks
}

/// The phrases that stand for `texts` best, best first, at most `take`.
///
/// A phrase is a run of one to three content words without a stop word or a mark between them that
/// occurs at least twice. One whose words are all part of a better one is left out.
pub fn keyphrases<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    language: Language,
    take: usize,
) -> Vec<Keyphrase> {
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut weights: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    let mut phrases: BTreeMap<Vec<usize>, Vec<String>> = BTreeMap::new();
    for text in texts {
        for run in runs_of_content(text, language) {
            let words: Vec<usize> = run
                .iter()
                .map(|word| {
                    let next = numbers.len();
                    *numbers.entry(stem(&word.to_lowercase(), language)).or_insert(next)
                })
                .collect();
            for (at, &word) in words.iter().enumerate() {
                for &other in words.iter().skip(at + 1).take(NEAR_WORDS) {
                    if word != other {
                        let key = (word.min(other), word.max(other));
                        *weights.entry(key).or_default() += 1.0;
                    }
                }
            }
            for length in 1..=PHRASE_WORDS_MAX.min(words.len()) {
                for (stems, shown) in words.windows(length).zip(run.windows(length)) {
                    phrases.entry(stems.to_vec()).or_default().push(shown.join(" "));
                }
            }
        }
    }
    let mut edges: Vec<Vec<(usize, f64)>> = vec![Vec::new(); numbers.len()];
    for (&(one, other), &weight) in &weights {
        edges[one].push((other, weight));
        edges[other].push((one, weight));
    }
    let ranks = walk(&edges);
    let mut stems = vec![String::new(); numbers.len()];
    for (stem, number) in numbers {
        stems[number] = stem;
    }

    let mut ranked: Vec<(Vec<usize>, Keyphrase)> = phrases
        .into_iter()
        .filter(|(_, shown)| shown.len() >= PHRASE_COUNT_MIN)
        .map(|(words, shown)| {
            // A phrase is worth its words, but a long one must also be said often.
            let sum: f64 = words.iter().map(|&word| ranks[word]).sum();
            let count = shown.len();
            let score = sum * (count.min(8) as f64) / (words.len() as f64).sqrt();
            let stems = words.iter().map(|&word| stems[word].clone()).collect();
            (words, Keyphrase { text: most_frequent(shown), stems, score, count })
        })
        .collect();
    ranked.sort_by(|(a_words, a), (b_words, b)| {
        b.score.total_cmp(&a.score).then_with(|| a_words.cmp(b_words))
    });
    let mut kept: Vec<(Vec<usize>, Keyphrase)> = Vec::new();
    for (words, phrase) in ranked {
        if kept.len() == take {
            break;
        }
        let covered = |(other, _): &(Vec<usize>, Keyphrase)| {
            words.iter().all(|w| other.contains(w)) || other.iter().all(|w| words.contains(w))
        };
        if !kept.iter().any(covered) {
            kept.push((words, phrase));
        }
    }
    kept.into_iter().map(|(_, phrase)| phrase).collect()
}

/// Runs of content words that no stop word, number or mark interrupts, as they are written.
fn runs_of_content(text: &str, language: Language) -> Vec<Vec<&str>> {
    let mut runs = Vec::new();
    let mut run: Vec<&str> = Vec::new();
    for piece in text.split_word_bounds() {
        if piece.chars().all(char::is_whitespace) {
            continue;
        }
        let is_word = piece.chars().filter(|c| c.is_alphabetic()).count() >= 3
            && !is_stop_word(&piece.to_lowercase(), language);
        if is_word {
            run.push(piece);
        } else if piece != "-" && !run.is_empty() {
            runs.push(std::mem::take(&mut run));
        }
    }
    if !run.is_empty() {
        runs.push(run);
    }
    runs
}

/// The form that occurs most often; ties go to the bytewise greatest, which prefers lower case.
fn most_frequent(mut shown: Vec<String>) -> String {
    shown.sort_unstable();
    let mut best = (0, String::new());
    for same in shown.chunk_by(|a, b| a == b) {
        if same.len() >= best.0 {
            best = (same.len(), same[0].clone());
        }
    }
    best.1
}

/// Stationary weights of the walk, in node order. A node without edges keeps the base weight.
fn walk(edges: &[Vec<(usize, f64)>]) -> Vec<f64> {
    let nodes = edges.len();
    if nodes == 0 {
        return Vec::new();
    }
    let base = (1.0 - DAMPING) / nodes as f64;
    let out: Vec<f64> = edges.iter().map(|list| list.iter().map(|&(_, w)| w).sum()).collect();
    let mut ranks = vec![1.0 / nodes as f64; nodes];
    for _ in 0..ROUNDS_MAX {
        let next: Vec<f64> = edges
            .iter()
            .map(|list| {
                let inflow: f64 =
                    list.iter().map(|&(from, weight)| ranks[from] * weight / out[from]).sum();
                base + DAMPING * inflow
            })
            .collect();
        let change: f64 = ranks.iter().zip(&next).map(|(old, new)| (old - new).abs()).sum();
        ranks = next;
        if change < SETTLED {
            break;
        }
    }
    ranks
}
