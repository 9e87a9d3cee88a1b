//! What a request is about, in the words of a corpus: which passages fit the topic and how well.

use std::collections::BTreeMap;

use super::{
    POST_SENTENCES_MIN, Request,
    corpus::{Corpus, SentenceEntry},
    heading,
};
use crate::text::{
    language::Language,
    logarithm::ln,
    rank::{keyphrases, sentence_ranks},
    tfidf::Vector,
    words::{TermId, is_stop_word, lower_words},
};

/// Passages that are considered for one post.
const FITTING_PASSAGES_MAX: usize = 400;
/// Sentences in the graph of sentences: its cost grows with the square.
const RANKED_SENTENCES_MAX: usize = 1_500;
/// Passages from which the topic's own vocabulary is learnt.
const FEEDBACK_PASSAGES: usize = 12;
/// Keyphrases that widen the query.
const FEEDBACK_PHRASES: usize = 8;
/// Weight of a word that was learnt, beside a word of the topic.
const FEEDBACK_WEIGHT: f64 = 0.2;
/// Score, relative to the best passage, from which a passage fits: the first step that gives
/// [`FIT_WORDS_FACTOR`] times the words asked for, else the last.
const FIT_STEPS: [f64; 4] = [0.5, 0.4, 0.3, 0.22];
/// Words that may be quoted per word asked for, so that there is something to choose from.
const FIT_WORDS_FACTOR: usize = 4;
/// Weight of two words side by side, beside that of one word.
const PAIR_WEIGHT: f64 = 1.5;
/// Words from one word of a pair to the other, in the topic.
const PAIR_WORDS: usize = 3;
/// Content words within which a pair that is not side by side must meet.
const PAIR_TERMS: usize = 3;
/// Share of the topic's words, by their rarity, that a passage names at least, relative to the
/// passage that names most: one that only names what every page names is not about the topic.
const WORDS_COVERED_MIN: f64 = 0.25;
/// What a word weighs in that share beside its rarity.
const WORD_WEIGHT: f64 = 0.5;
/// Share of passages above which a word of the topic tells nothing …
const COMMON_FREQUENCY: f64 = 0.5;
/// … in a corpus of so many passages; in a few notes on one matter every word is common.
const MANY_PASSAGES: usize = 60;
/// Content words with which a sentence opens.
const OPENING_TERMS: usize = 2;
/// What a sentence gains that opens its paragraph with a word of the topic.
const OPENING_FACTOR: f64 = 1.3;
/// What is left of the score of a passage in a record of changes: it tells what was new once.
const NEWS_FACTOR: f64 = 0.6;
/// Share of a passage's score that its whole document decides.
const DOCUMENT_SHARE: f64 = 0.25;
/// Weight of a topic word that no heading and few passages use: *dangerous* beside *rebase*.
const ASIDE_WEIGHT: f64 = 0.45;
/// Share of passages below which a topic word is said aside.
const ASIDE_FREQUENCY: f64 = 0.03;
/// How a passage's score is made of its BM25 score: a part that is always left, and parts for the
/// share of the topic that the passage, its best sentence and its headings name.
const COVERAGE: [f64; 4] = [0.15, 0.3, 0.25, 0.3];
/// A rarer word than this counts no more for how much of the topic a passage covers.
const RARITY_MAX: f64 = 3.0;

/// A weighted query; terms in the order in which they were added.
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    pub(super) terms: Vec<(TermId, f64)>,
}

impl Query {
    /// Adds the content words of a text; a word that is there keeps its greater weight.
    pub(super) fn add(&mut self, corpus: &Corpus, text: &str, language: Language, weight: f64) {
        for word in lower_words(text) {
            if is_filler(&word, language) {
                continue;
            }
            if let Some(term) = corpus.vocabulary.known_term(&word, language) {
                self.add_term(term, weight);
            }
        }
    }

    pub(super) fn add_term(&mut self, term: TermId, weight: f64) {
        match self.terms.iter_mut().find(|(known, _)| *known == term) {
            Some((_, known)) => *known = known.max(weight),
            None => self.terms.push((term, weight)),
        }
    }
}

/// Two words that belong together in the topic. A passage that has them apart covers less of it.
struct Pair {
    first: TermId,
    second: TermId,
    /// Whether they stand side by side, as *row level* in *Row level security*. Others, as in
    /// *recover after a crash*, also meet as *crash recovery*.
    adjacent: bool,
    weight: f64,
}

impl Pair {
    fn is_in(&self, terms: &[TermId]) -> bool {
        if self.adjacent {
            return terms.windows(2).any(|near| near == [self.first, self.second]);
        }
        terms.windows(PAIR_TERMS).any(|near| {
            let other = match near[0] {
                term if term == self.first => self.second,
                term if term == self.second => self.first,
                _ => return false,
            };
            near.contains(&other)
        })
    }
}

/// Pairs of neighbouring words of the topic, with at most two empty words between them.
fn pairs(corpus: &Corpus, topic: &str, language: Language) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    let mut before: Option<(usize, TermId)> = None;
    for (at, word) in lower_words(topic).enumerate() {
        if is_filler(&word, language) {
            continue;
        }
        let Some(second) = corpus.vocabulary.known_term(&word, language) else {
            // A word of meaning that no source knows stands between its neighbours.
            if !is_stop_word(&word, language) {
                before = None;
            }
            continue;
        };
        let Some((place, first)) = before.replace((at, second)) else { continue };
        if first == second || at - place > PAIR_WORDS {
            continue;
        }
        let mut pair = Pair { first, second, adjacent: at - place == 1, weight: 0.0 };
        let frequency = corpus.passages.iter().filter(|p| pair.is_in(&p.terms)).count();
        if frequency > 0 {
            let rarity = ln(1.0 + corpus.passages.len() as f64 / frequency as f64);
            pair.weight = PAIR_WEIGHT * rarity.min(RARITY_MAX);
            pairs.push(pair);
        }
    }
    pairs
}

/// A request read against a corpus.
pub(super) struct Topic {
    pub(super) language: Language,
    /// Words of the topic and of the points that must be covered.
    pub(super) query: Query,
    /// Per passage 0..=1; 0 for those that do not fit.
    pub(super) passage_scores: Vec<f64>,
    /// Passages that fit, best first.
    pub(super) passages: Vec<usize>,
    /// Usable sentences of fitting passages, in corpus order.
    pub(super) sentences: Vec<usize>,
    /// Words of the topic that tell its passages from the rest of the corpus.
    pub(super) core: Vec<TermId>,
    /// Per sentence of the corpus 0..=1: how directly it answers the topic. 0 outside the pool.
    pub(super) directness: Vec<f64>,
    /// Per sentence of the corpus 0..=1: how much the others lean on it. 0 outside the pool.
    pub(super) sentence_ranks: Vec<f64>,
}

impl Topic {
    pub(super) fn new(corpus: &Corpus, request: &Request) -> Self {
        let language = language_of(corpus, request);
        let mut query = Query::default();
        query.add(corpus, &request.topic, language, 1.0);
        for point in &request.must_cover {
            query.add(corpus, point, language, 0.7);
        }
        for (term, weight) in &mut query.terms {
            let in_headings = corpus.heading_frequency.get(*term as usize).copied().unwrap_or(0);
            let frequency = corpus.passage_index.frequency(*term) as f64;
            if in_headings == 0 && frequency < ASIDE_FREQUENCY * corpus.passages.len() as f64 {
                *weight *= ASIDE_WEIGHT;
            }
        }

        let pairs = pairs(corpus, &request.topic, language);
        let first = passage_scores(corpus, &query, &query, &pairs, language);
        let best = sorted_by_score(&first);
        let feedback: Vec<usize> = best.iter().copied().take(FEEDBACK_PASSAGES).collect();
        let phrases = keyphrases(usable_texts(corpus, &feedback), language, FEEDBACK_PHRASES);
        let mut wider = query.clone();
        for phrase in &phrases {
            wider.add(corpus, &phrase.text, language, FEEDBACK_WEIGHT);
        }

        let mut scores = passage_scores(corpus, &wider, &query, &pairs, language);
        let mut passages = sorted_by_score(&scores);
        let top = passages.first().map_or(0.0, |&at| scores[at]);
        let usable_words = |at: usize| -> usize {
            let sentences = corpus.passages[at].sentences.clone();
            sentences.map(|n| &corpus.sentences[n]).filter(|s| s.usable).map(|s| s.words).sum()
        };
        let mut len = 0;
        for step in FIT_STEPS {
            len = passages.iter().take_while(|&&at| scores[at] >= step * top).count();
            let words: usize = passages[..len].iter().map(|&at| usable_words(at)).sum();
            if words >= FIT_WORDS_FACTOR * request.words {
                break;
            }
        }
        // Whoever gives three short notes wants all of what they say about the topic.
        let all: usize = passages.iter().map(|&at| usable_words(at)).sum();
        if all <= request.words {
            len = passages.len();
        }
        passages.truncate(len.min(FITTING_PASSAGES_MAX));
        let mut fits = vec![false; scores.len()];
        for &at in &passages {
            fits[at] = true;
        }
        for (at, score) in scores.iter_mut().enumerate() {
            *score = if fits[at] { *score / top } else { 0.0 };
        }

        let mut in_passages = passages.clone();
        in_passages.sort_unstable();
        let sentences: Vec<usize> = in_passages
            .iter()
            .flat_map(|&at| corpus.passages[at].sentences.clone())
            .filter(|&number| corpus.sentences[number].usable)
            .collect();
        let sentence_ranks = ranks(corpus, &passages);
        let core = core(corpus, &query);
        let directness = directness(corpus, &query, &pairs, &core, &sentences);
        Self {
            language,
            query,
            passage_scores: scores,
            passages,
            sentences,
            core,
            directness,
            sentence_ranks,
        }
    }
}

/// The TF-IDF vector of terms, by rarity among passages.
pub(super) fn vector(corpus: &Corpus, terms: &[TermId]) -> Vector {
    Vector::new(terms, |term| corpus.passage_index.rarity(term))
}

/// Words of the query without those that nearly every passage uses, such as the name of the
/// product in its own manual; all of them if nothing else is left.
fn core(corpus: &Corpus, query: &Query) -> Vec<TermId> {
    let index = &corpus.passage_index;
    let all = || query.terms.iter().map(|&(term, _)| term);
    let tells = |term: &TermId| {
        index.len() < MANY_PASSAGES
            || index.frequency(*term) as f64 <= COMMON_FREQUENCY * index.len() as f64
    };
    let telling: Vec<TermId> = all().filter(tells).collect();
    if telling.is_empty() { all().collect() } else { telling }
}

/// How much of the topic each sentence of the pool names by itself, relative to the best. One that
/// opens its paragraph with a word of the topic, as a definition does, counts more.
fn directness(
    corpus: &Corpus,
    query: &Query,
    pairs: &[Pair],
    core: &[TermId],
    sentences: &[usize],
) -> Vec<f64> {
    let mut direct = vec![0.0; corpus.sentences.len()];
    for &number in sentences {
        let sentence = &corpus.sentences[number];
        let words = query.terms.iter().filter(|(term, _)| sentence.terms.contains(term));
        let words: f64 = words
            .map(|&(term, weight)| {
                weight * (WORD_WEIGHT + corpus.passage_index.rarity(term).min(RARITY_MAX))
            })
            .sum();
        let together: f64 =
            pairs.iter().filter(|pair| pair.is_in(&sentence.terms)).map(|pair| pair.weight).sum();
        let opens = sentence.first
            && !sentence.leans
            && sentence.terms.iter().take(OPENING_TERMS).any(|term| core.contains(term));
        direct[number] = (words + together) * if opens { OPENING_FACTOR } else { 1.0 };
    }
    let top = direct.iter().copied().fold(0.0, f64::max);
    if top > 0.0 {
        for value in &mut direct {
            *value /= top;
        }
    }
    direct
}

/// How many usable sentences each language has, and the one to write in.
fn language_of(corpus: &Corpus, request: &Request) -> Language {
    let mut usable: BTreeMap<Language, usize> = BTreeMap::new();
    for SentenceEntry { source, usable: is_usable, .. } in &corpus.sentences {
        if *is_usable {
            *usable.entry(corpus.sources[*source].language).or_default() += 1;
        }
    }
    let enough =
        |language: &Language| usable.get(language).is_some_and(|&n| n >= POST_SENTENCES_MIN);
    let wanted = request.language.or_else(|| Language::detect_reliably(&request.topic));
    if let Some(language) = wanted.filter(enough) {
        return language;
    }
    // The first of equals in the order of `Language::ALL`.
    let mut most = (0, Language::default());
    for language in Language::ALL {
        let count = usable.get(&language).copied().unwrap_or(0);
        if count > most.0 {
            most = (count, language);
        }
    }
    most.1
}

/// Scores of all passages for a topic, before any threshold; 0 for what is in another language,
/// holds nothing to quote, or has no word of `core`.
fn passage_scores(
    corpus: &Corpus,
    wide: &Query,
    core: &Query,
    pairs: &[Pair],
    language: Language,
) -> Vec<f64> {
    let index = &corpus.passage_index;
    let wide_scores = index.scores(&wide.terms);
    let weigh = |term: TermId, weight: f64| weight * index.rarity(term).min(RARITY_MAX);
    let whole: f64 = core.terms.iter().map(|&(term, weight)| weigh(term, weight)).sum::<f64>()
        + pairs.iter().map(|pair| pair.weight).sum::<f64>();
    // Per passage, the words of the topic that it names, by rarity.
    let words_covered: Vec<f64> = corpus
        .passages
        .iter()
        .map(|passage| {
            let named = core.terms.iter().filter(|(term, _)| passage.terms.contains(term));
            named
                .map(|&(term, weight)| weight * (WORD_WEIGHT + index.rarity(term).min(RARITY_MAX)))
                .sum()
        })
        .collect();
    let words_covered_min = WORDS_COVERED_MIN * words_covered.iter().copied().fold(0.0, f64::max);

    let mut scores: Vec<f64> = corpus
        .passages
        .iter()
        .enumerate()
        .map(|(at, passage)| {
            let source = &corpus.sources[passage.source];
            let speaks = corpus.sources[passage.source].speaks == passage.source;
            if !speaks || source.language != language || words_covered[at] < words_covered_min {
                return 0.0;
            }
            let covered = |terms: &[TermId]| -> f64 {
                let named = core.terms.iter().filter(|(term, _)| terms.contains(term));
                let together = pairs.iter().filter(|pair| pair.is_in(terms));
                named.map(|&(term, weight)| weigh(term, weight)).sum::<f64>()
                    + together.map(|pair| pair.weight).sum::<f64>()
            };
            let in_passage = covered(&passage.terms);
            if in_passage <= 0.0 || whole <= 0.0 {
                return 0.0;
            }
            let in_sentence = corpus.sentences[passage.sentences.clone()]
                .iter()
                .filter(|sentence| sentence.usable)
                .map(|sentence| covered(&sentence.terms))
                .fold(0.0, f64::max);
            let in_headings = covered(&passage.terms[..passage.heading_terms_len]);
            let [always, passage_share, sentence_share, heading_share] = COVERAGE;
            let named = passage_share * in_passage
                + sentence_share * in_sentence
                + heading_share * in_headings;
            let title = source.document.title.as_deref().unwrap_or_default();
            let kind = if heading::is_news(title) { NEWS_FACTOR } else { 1.0 };
            kind * wide_scores[at] * (always + named / whole)
        })
        .collect();
    let top = scores.iter().copied().fold(0.0, f64::max);

    // A page about the topic keeps talking about it without naming it in every paragraph.
    let of_source: Vec<f64> = corpus
        .sources
        .iter()
        .map(|source| {
            let mut own: Vec<f64> = scores[source.passages.clone()].to_vec();
            own.sort_by(|a, b| b.total_cmp(a));
            own.iter().zip([1.0, 0.6, 0.4]).map(|(score, share)| score * share).sum::<f64>()
        })
        .collect();
    let top_source = of_source.iter().copied().fold(0.0, f64::max);
    if top > 0.0 && top_source > 0.0 {
        for (score, passage) in scores.iter_mut().zip(&corpus.passages) {
            if *score > 0.0 {
                *score = (1.0 - DOCUMENT_SHARE) * *score / top
                    + DOCUMENT_SHARE * of_source[passage.source] / top_source;
            }
        }
    }
    scores
}

/// Positions with a score, best first; ties in corpus order.
fn sorted_by_score(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).filter(|&at| scores[at] > 0.0).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    order
}

fn usable_texts<'a>(corpus: &'a Corpus, passages: &'a [usize]) -> impl Iterator<Item = &'a str> {
    passages
        .iter()
        .flat_map(|&at| corpus.passages[at].sentences.clone())
        .filter(|&number| corpus.sentences[number].usable)
        .take(RANKED_SENTENCES_MAX)
        .map(|number| corpus.sentence_text(number))
}

fn ranks(corpus: &Corpus, passages: &[usize]) -> Vec<f64> {
    let pool: Vec<usize> = passages
        .iter()
        .flat_map(|&at| corpus.passages[at].sentences.clone())
        .filter(|&number| corpus.sentences[number].usable)
        .take(RANKED_SENTENCES_MAX)
        .collect();
    let vectors: Vec<Vector> =
        pool.iter().map(|&number| vector(corpus, &corpus.sentences[number].terms)).collect();
    let mut ranks = vec![0.0; corpus.sentences.len()];
    for (number, rank) in pool.into_iter().zip(sentence_ranks(&vectors)) {
        ranks[number] = rank;
    }
    ranks
}

/// Words that ask instead of naming a subject: *how does it work*, *a guide to*.
pub(super) fn is_filler(word: &str, language: Language) -> bool {
    let list: &[&str] = match language {
        Language::English => &[
            "work",
            "works",
            "working",
            "guide",
            "introduction",
            "overview",
            "tutorial",
            "explain",
            "explained",
            "understand",
            "understanding",
            "learn",
            "learning",
            "mean",
            "means",
            "happen",
            "happens",
            "does",
            "explainer",
            "basics",
            "handle",
            "handles",
            "right",
            "good",
            "best",
            "practice",
            "practices",
            "thing",
            "things",
            "important",
        ],
        Language::German => &[
            "funktioniert",
            "funktionieren",
            "arbeitet",
            "einführung",
            "überblick",
            "anleitung",
            "erklärt",
            "verstehen",
            "bedeutet",
            "passiert",
            "geschieht",
            "grundlagen",
        ],
        Language::French => &[
            "fonctionne",
            "fonctionnent",
            "marche",
            "guide",
            "introduction",
            "aperçu",
            "comprendre",
            "signifie",
            "passe",
            "bases",
        ],
        Language::Spanish => &[
            "funciona",
            "funcionan",
            "guía",
            "introducción",
            "resumen",
            "entender",
            "significa",
            "ocurre",
            "sucede",
            "bases",
        ],
        Language::Hindi => &["काम", "कैसे", "परिचय", "मतलब", "अर्थ"],
        Language::Other => &[],
    };
    list.contains(&word)
}
