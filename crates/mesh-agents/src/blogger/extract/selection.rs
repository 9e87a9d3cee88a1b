//! Passages for a reader with a limited memory, such as a model.

use super::{
    corpus::{Corpus, PassageRef},
    topic::{Query, vector},
};
use crate::text::{mmr, tfidf::Vector};

/// Passages that are compared with each other for one selection.
const CONSIDERED_MAX: usize = 200;

/// Tokens that a text costs a model, estimated: a token has about four bytes of English, three of
/// anything, so the greater of both guesses is taken. No tokenizer is asked.
pub fn estimated_tokens(text: &str) -> usize {
    let characters = text.chars().count();
    // Scripts beyond Latin cost about a token per character and a half.
    let beyond_latin = text.chars().filter(|c| *c > '\u{24f}').count();
    (characters - beyond_latin).div_ceil(4) + (beyond_latin * 2).div_ceil(3)
}

/// Passages that answer `query` without repeating each other, in order of choice, within
/// `tokens_max` estimated tokens.
///
/// BM25 over heading and text, then MMR (λ 0.7). At most `share_per_source` (0 to 1) of the budget
/// comes from one source, if more than one source answers. Passages that share no word with the
/// query are never taken; near-duplicate sources are represented once.
pub fn select_passages(
    corpus: &Corpus,
    query: &str,
    tokens_max: usize,
    share_per_source: f64,
) -> Vec<PassageRef> {
    let mut words = Query::default();
    let mut languages: Vec<_> = corpus.sources.iter().map(|source| source.language).collect();
    languages.sort_unstable();
    languages.dedup();
    for language in languages {
        words.add(corpus, query, language, 1.0);
    }
    let scores = corpus.passage_index.scores(&words.terms);
    let mut order: Vec<usize> = (0..scores.len())
        .filter(|&at| {
            let source = corpus.passages[at].source;
            scores[at] > 0.0
                && !corpus.passages[at].boilerplate
                && corpus.sources[source].speaks == source
        })
        .collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    order.truncate(CONSIDERED_MAX);
    let Some(&best) = order.first() else { return Vec::new() };
    let several =
        order.iter().any(|&at| corpus.passages[at].source != corpus.passages[best].source);
    let share = if several { share_per_source.clamp(0.0, 1.0) } else { 1.0 };
    let source_max = (tokens_max as f64 * share) as usize;

    let own: Vec<f64> = order.iter().map(|&at| scores[at] / scores[best]).collect();
    let vectors: Vec<Vector> =
        order.iter().map(|&at| vector(corpus, &corpus.passages[at].terms)).collect();
    let tokens: Vec<usize> = order
        .iter()
        .map(|&at| {
            let view = corpus.passage(PassageRef(at as u32));
            view.map_or(usize::MAX, |view| estimated_tokens(view.text))
        })
        .collect();
    let mut likeness = vec![0.0_f64; order.len()];
    let mut taken = vec![false; order.len()];
    let mut by_source = vec![0; corpus.sources.len()];
    let mut total = 0;
    let mut chosen = Vec::new();
    while let Some(item) = mmr::next(&own, &likeness, |item| {
        let source = corpus.passages[order[item]].source;
        !taken[item]
            && tokens[item] <= tokens_max - total
            && by_source[source] + tokens[item] <= source_max
    }) {
        taken[item] = true;
        total += tokens[item];
        by_source[corpus.passages[order[item]].source] += tokens[item];
        chosen.push(PassageRef(order[item] as u32));
        for (other, like) in likeness.iter_mut().enumerate() {
            *like = like.max(vectors[other].cosine(&vectors[item]));
        }
    }
    chosen
}
