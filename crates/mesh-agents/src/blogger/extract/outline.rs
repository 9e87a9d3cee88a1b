//! The plan of a post: which sections, in which order, under which names.
//!
//! A given outline is taken as it is. Otherwise the headings of the sources, with the text under
//! them, are clustered, and the clusters that say most about the topic become sections.

use serde::{Deserialize, Serialize};

use super::{
    Error, POST_SENTENCES_MIN, SECTION_SENTENCES_MIN,
    allocation::{Allocation, SectionExtracts, allocate_for},
    corpus::Corpus,
    heading,
    topic::{Topic, vector},
    wording,
};
use crate::text::{
    language::Language,
    mmr,
    near_duplicate::{common, jaccard},
    rank::keyphrases,
    tfidf::Vector,
    words::{TermId, lower_words, stem},
};

/// Research sections at most.
const SECTIONS_MAX: usize = 7;
/// Research sections aimed at, at least; with little material there are fewer.
const SECTIONS_MIN: usize = 3;
/// Words that a research section is planned with when their number is chosen.
const SECTION_WORDS: usize = 190;
/// Units (headings with their text) that are clustered: the cost grows with the cube.
const UNITS_MAX: usize = 160;
/// Average likeness from which two clusters are one.
const CLUSTER_CUT: f64 = 0.35;
/// Words that may be quoted below which a cluster is no section.
const CLUSTER_WORDS_MIN: usize = 60;
/// What is left of the score of a list of options or terms.
const REFERENCE_FACTOR: f64 = 0.4;
/// Score, relative to the best cluster, below which a cluster is beside the topic.
const CLUSTER_SCORE_MIN: f64 = 0.28;
/// Plans that are tried until every section can be filled.
const PLANS_MAX: usize = 8;
/// Keyphrases named in a section's description.
const DESCRIPTION_PHRASES: usize = 4;

/// What is asked for, as far as extracts care.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The topic as given.
    pub topic: String,
    /// Points that must be covered; they steer what is chosen.
    pub must_cover: Vec<String>,
    /// A given outline; empty to have one made from the headings of the sources.
    pub sections: Vec<PlannedSection>,
    /// Words of the whole post.
    pub words: usize,
    /// Language of the post; `None` for that of the topic or of most sources.
    pub language: Option<Language>,
}

/// One section of a given outline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedSection {
    /// Its heading.
    pub name: String,
    /// What it is about; its words steer what is chosen.
    pub description: String,
    /// `false` for a closing section, which repeats the main points.
    pub research: bool,
}

/// The plan of a post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    /// The topic, cleaned.
    pub title: String,
    /// The language that is written in; sources in another one give no sentence.
    pub language: Language,
    /// Sections in reading order.
    pub sections: Vec<OutlineSection>,
}

/// One section of an [`Outline`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutlineSection {
    /// `s1`, `s2` … in reading order.
    pub id: String,
    /// Its heading. Names need not be unique.
    pub name: String,
    /// What it is about: the phrases that stand for it. Its words steer what is chosen.
    pub description: String,
    /// Whether it is filled from the sources; the others are written after these.
    pub research: bool,
}

/// Plans a post.
///
/// Passages that do not fit the topic are set aside first. The plan is checked against the
/// material: a section that could not be filled is not planned.
///
/// # Errors
/// [`Error::TooLittleMaterial`] if fewer than three sentences about the topic may be quoted.
pub fn outline(corpus: &Corpus, request: &Request) -> Result<Outline, Error> {
    let topic = Topic::new(corpus, request);
    if topic.sentences.len() < POST_SENTENCES_MIN {
        return Err(too_little(corpus, topic.sentences.len()));
    }
    if !request.sections.is_empty() {
        let sections = request.sections.iter().map(|planned| {
            (
                planned.name.trim().to_owned(),
                planned.description.trim().to_owned(),
                planned.research,
            )
        });
        return Ok(numbered(request, &topic, sections));
    }

    let mut clusters = clusters(corpus, &topic, request);
    let wanted = (request.words / SECTION_WORDS).clamp(SECTIONS_MIN, SECTIONS_MAX);
    for _ in 0..PLANS_MAX {
        let chosen = choose(&clusters, wanted);
        let mut ordered = chosen.clone();
        ordered.sort_by_key(|&at| clusters[at].reading_order);
        let sections = ordered
            .iter()
            .map(|&at| (clusters[at].name.clone(), clusters[at].description.clone(), true));
        let closing = (wording::of(topic.language).in_short.to_owned(), String::new(), false);
        let plan = numbered(request, &topic, sections.chain(std::iter::once(closing)));
        let allocation = allocate_for(corpus, &topic, &plan, request);
        let thin: Vec<usize> = ordered
            .iter()
            .zip(&allocation.sections)
            .filter(|(_, extracts)| extracts.sentences_len() < SECTION_SENTENCES_MIN)
            .map(|(&at, _)| at)
            .collect();
        if thin.is_empty() && !ordered.is_empty() {
            let one_heading =
                ordered.len() == 1 && holds_more(corpus, &topic, request, &allocation);
            return Ok(if one_heading { over_all(request, &topic) } else { plan });
        }
        // One at a time, the weakest: what it held back may fill the others.
        let Some(&weakest) = chosen.iter().rev().find(|at| thin.contains(at)) else { break };
        clusters.remove(weakest);
    }
    // Not even one heading has enough text of its own.
    Ok(over_all(request, &topic))
}

/// One section over everything that fits the topic.
fn over_all(request: &Request, topic: &Topic) -> Outline {
    let name = wording::of(topic.language).from_the_sources.to_owned();
    numbered(request, topic, std::iter::once((name, String::new(), true)))
}

/// Whether one section over everything would quote clearly more than a plan of one heading does:
/// short texts spread what they know over headings too small for a section.
fn holds_more(corpus: &Corpus, topic: &Topic, request: &Request, plan: &Allocation) -> bool {
    let sentences = |allocation: &Allocation| -> usize {
        allocation.sections.iter().map(SectionExtracts::sentences_len).sum()
    };
    let all = allocate_for(corpus, topic, &over_all(request, topic), request);
    sentences(&all) * 2 >= sentences(plan) * 3
}

pub(super) fn too_little(corpus: &Corpus, usable: usize) -> Error {
    Error::TooLittleMaterial { usable, sources: corpus.sources.len() }
}

fn numbered(
    request: &Request,
    topic: &Topic,
    sections: impl Iterator<Item = (String, String, bool)>,
) -> Outline {
    let sections = sections
        .enumerate()
        .map(|(at, (name, description, research))| OutlineSection {
            id: format!("s{}", at + 1),
            name,
            description,
            research,
        })
        .collect();
    Outline { title: title_of(&request.topic), language: topic.language, sections }
}

/// The topic as a heading: one line, no marks of Markdown at its ends, no full stop.
fn title_of(topic: &str) -> String {
    let line = topic.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.trim_matches(['#', '*', '_', '`', ' ']).trim_end_matches('.');
    let mut letters = line.chars();
    match letters.next() {
        Some(first)
            if first.is_lowercase()
                && line
                    .split(' ')
                    .next()
                    .is_some_and(|word| word.chars().all(char::is_lowercase)) =>
        {
            first.to_uppercase().chain(letters).collect()
        }
        _ => line.to_owned(),
    }
}

/// A heading of a source with the fitting text right under it.
struct Unit {
    source: usize,
    heading: Option<usize>,
    /// Sum of its best passages.
    score: f64,
    /// Words that may be quoted.
    words: usize,
    vector: Vector,
    sentences: Vec<usize>,
}

struct Cluster {
    name: String,
    description: String,
    score: f64,
    vector: Vector,
    /// Stems of the name.
    stems: Vec<String>,
    reading_order: (u8, usize, usize, usize),
}

fn clusters(corpus: &Corpus, topic: &Topic, request: &Request) -> Vec<Cluster> {
    let units = units(corpus, topic);
    let groups = average_link(&units);
    let source_order = source_order(corpus, &units);
    let mut clusters: Vec<Cluster> = groups
        .into_iter()
        .filter_map(|group| cluster(corpus, topic, request, &units, &group, &source_order))
        .collect();
    // Best first; the name breaks ties, and equal names are merged next.
    clusters.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.name.cmp(&b.name)));
    let mut distinct: Vec<Cluster> = Vec::new();
    for cluster in clusters {
        match distinct.iter_mut().find(|kept| is_same_name(&kept.stems, &cluster.stems)) {
            Some(kept) => {
                kept.vector = Vector::centroid([&kept.vector, &cluster.vector]);
                kept.score += 0.2 * cluster.score;
            }
            None => distinct.push(cluster),
        }
    }
    distinct
}

fn units(corpus: &Corpus, topic: &Topic) -> Vec<Unit> {
    let mut passages = topic.passages.clone();
    passages.sort_unstable();
    let mut units: Vec<Unit> = Vec::new();
    for same in passages.chunk_by(|&a, &b| {
        let (a, b) = (&corpus.passages[a], &corpus.passages[b]);
        a.source == b.source && a.heading == b.heading
    }) {
        let first = &corpus.passages[same[0]];
        let sentences: Vec<usize> = same
            .iter()
            .flat_map(|&at| corpus.passages[at].sentences.clone())
            .filter(|&number| corpus.sentences[number].usable)
            .collect();
        let words: usize = sentences.iter().map(|&number| corpus.sentences[number].words).sum();
        if sentences.is_empty() {
            continue;
        }
        let mut scores: Vec<f64> = same.iter().map(|&at| topic.passage_scores[at]).collect();
        scores.sort_by(|a, b| b.total_cmp(a));
        let mut score =
            scores.iter().zip([1.0, 0.5, 0.25]).map(|(score, share)| score * share).sum();
        let entries = sentences.iter().filter(|&&number| corpus.sentences[number].entry).count();
        if entries * 2 > sentences.len() {
            score *= REFERENCE_FACTOR;
        }
        let heading = first.heading.and_then(|at| corpus.sources[first.source].headings.get(at));
        let shown = heading.map(|heading| heading.text.as_str()).unwrap_or_default();
        let heading_terms = corpus.vocabulary.known_terms(shown, topic.language);
        let mut terms: Vec<TermId> =
            sentences.iter().flat_map(|&n| corpus.sentences[n].terms.iter().copied()).collect();
        terms.extend(std::iter::repeat_n(heading_terms, 2).flatten());
        units.push(Unit {
            source: first.source,
            heading: first.heading,
            score,
            words,
            vector: vector(corpus, &terms),
            sentences,
        });
    }
    let mut order: Vec<usize> = (0..units.len()).collect();
    order.sort_by(|&a, &b| units[b].score.total_cmp(&units[a].score).then(a.cmp(&b)));
    order.truncate(UNITS_MAX);
    order.sort_unstable();
    let mut keep = vec![false; units.len()];
    for at in order {
        keep[at] = true;
    }
    let mut at = 0;
    units.retain(|_| {
        at += 1;
        keep[at - 1]
    });
    units
}

/// Agglomerative clustering with average link: the two most alike groups are joined until none
/// are as alike as the cut. Ties go to the first pair.
fn average_link(units: &[Unit]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = (0..units.len()).map(|at| vec![at]).collect();
    let mut like: Vec<Vec<f64>> =
        units.iter().map(|a| units.iter().map(|b| a.vector.cosine(&b.vector)).collect()).collect();
    loop {
        let mut best: Option<(f64, usize, usize)> = None;
        for (a, row) in like.iter().enumerate() {
            for (b, &value) in row.iter().enumerate().skip(a + 1) {
                if value >= CLUSTER_CUT && best.is_none_or(|(top, _, _)| value > top) {
                    best = Some((value, a, b));
                }
            }
        }
        let Some((_, a, b)) = best else { return groups };
        let (size_a, size_b) = (groups[a].len() as f64, groups[b].len() as f64);
        let joined: Vec<f64> = like[a]
            .iter()
            .zip(&like[b])
            .map(|(to_a, to_b)| (size_a * to_a + size_b * to_b) / (size_a + size_b))
            .collect();
        for (row, &value) in like.iter_mut().zip(&joined) {
            row[a] = value;
        }
        like[a] = joined;
        let moved = groups.remove(b);
        groups[a].extend(moved);
        like.remove(b);
        for row in &mut like {
            row.remove(b);
        }
    }
}

/// Rank of every source for the topic: 0 is the one with the most fitting unit.
fn source_order(corpus: &Corpus, units: &[Unit]) -> Vec<usize> {
    let mut best = vec![0.0_f64; corpus.sources.len()];
    for unit in units {
        best[unit.source] = best[unit.source].max(unit.score);
    }
    let mut order: Vec<usize> = (0..best.len()).collect();
    order.sort_by(|&a, &b| best[b].total_cmp(&best[a]).then(a.cmp(&b)));
    let mut rank = vec![0; best.len()];
    for (place, source) in order.into_iter().enumerate() {
        rank[source] = place;
    }
    rank
}

fn cluster(
    corpus: &Corpus,
    topic: &Topic,
    request: &Request,
    units: &[Unit],
    group: &[usize],
    source_order: &[usize],
) -> Option<Cluster> {
    let members: Vec<&Unit> = group.iter().map(|&at| &units[at]).collect();
    let words: usize = members.iter().map(|unit| unit.words).sum();
    if words < CLUSTER_WORDS_MIN {
        return None;
    }
    let centroid = Vector::centroid(members.iter().map(|unit| &unit.vector));
    let mut by_score: Vec<f64> = members.iter().map(|unit| unit.score).collect();
    by_score.sort_by(|a, b| b.total_cmp(a));
    // Each further heading about the same matter adds less.
    let mut score = 0.0;
    let mut share = 1.0;
    for unit_score in by_score {
        score += share * unit_score;
        share *= 0.5;
    }
    score *= (words as f64 / 200.0).min(1.0);

    let texts =
        || members.iter().flat_map(|unit| unit.sentences.iter()).map(|&n| corpus.sentence_text(n));
    let phrases = keyphrases(texts(), topic.language, DESCRIPTION_PHRASES + 2);
    let (name, representative) = name_of(corpus, topic, &members, &centroid).or_else(|| {
        // One word alone is no name: *Files*, *Data*.
        let phrase = phrases.iter().find(|phrase| phrase.stems.len() > 1)?;
        Some((capitalised(&phrase.text), 0))
    })?;
    let stems = name_stems(&name, topic.language);
    let description = phrases
        .iter()
        .filter(|phrase| !phrase.stems.iter().all(|stem| stems.contains(stem)))
        .take(DESCRIPTION_PHRASES)
        .map(|phrase| phrase.text.clone())
        .collect::<Vec<_>>()
        .join(", ");
    let covers_point = request.must_cover.iter().any(|point| {
        let wanted = name_stems(point, topic.language);
        !wanted.is_empty() && common(&wanted, &stems) * 2 >= wanted.len()
    });
    if covers_point {
        score *= 2.0;
    }
    let unit = members.get(representative)?;
    // What only repeats the topic is about all of it and comes first.
    let is_topic = common(&stems, &name_stems(&request.topic, topic.language)) == stems.len();
    let bucket = if heading::is_caveat(&name) && !heading::is_caveat(&request.topic) {
        2
    } else {
        u8::from(!heading::is_general(&name) && !is_topic)
    };
    let reading_order = (
        bucket,
        source_order[unit.source],
        unit.source,
        unit.sentences.first().copied().unwrap_or(0),
    );
    Some(Cluster { name, description, score, vector: centroid, stems, reading_order })
}

/// The most central heading that can be a name, and its place among the members.
fn name_of(
    corpus: &Corpus,
    topic: &Topic,
    members: &[&Unit],
    centroid: &Vector,
) -> Option<(String, usize)> {
    let mut best: Option<(f64, String, usize)> = None;
    for (at, unit) in members.iter().enumerate() {
        let source = &corpus.sources[unit.source];
        let mut path = source.heading_path(unit.heading);
        let title = source.document.title.as_deref().map(heading::of_title).unwrap_or_default();
        // A heading of its own, else the nearest one above it that says something, else the title.
        path.insert(0, &title);
        let Some((climb, name)) = path
            .iter()
            .rev()
            .enumerate()
            .find(|(_, heading)| heading::is_name(heading, topic.language))
        else {
            continue;
        };
        let value =
            unit.vector.cosine(centroid) * (0.5 + unit.score) * 0.7_f64.powi(climb.min(3) as i32);
        if best.as_ref().is_none_or(|(top, _, _)| value > *top) {
            best = Some((value, (*name).to_owned(), at));
        }
    }
    best.map(|(_, name, at)| (name, at))
}

fn capitalised(phrase: &str) -> String {
    let mut letters = phrase.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Stems of the words of a name, sorted, without repetition.
pub(super) fn name_stems(name: &str, language: Language) -> Vec<String> {
    let mut stems: Vec<String> = lower_words(name)
        .filter(|word| !crate::text::words::is_stop_word(word, language))
        .map(|word| stem(&word, language))
        .collect();
    stems.sort_unstable();
    stems.dedup();
    stems
}

/// *Backups* and *Backup*, *Write-ahead logging* and *Write-Ahead Logging (WAL)*.
pub(super) fn is_same_name(a: &[String], b: &[String]) -> bool {
    let both = common(a, b);
    jaccard(a, b) >= 0.6 || both > 1 && both == a.len().min(b.len())
}

/// Clusters for `wanted` sections: good ones that differ, best first.
fn choose(clusters: &[Cluster], wanted: usize) -> Vec<usize> {
    let top = clusters.iter().map(|cluster| cluster.score).fold(0.0, f64::max);
    let good = clusters.iter().take_while(|cluster| cluster.score >= CLUSTER_SCORE_MIN * top);
    let scores: Vec<f64> = good.map(|cluster| cluster.score / top).collect();
    mmr::select(&scores, wanted, |a, b| clusters[a].vector.cosine(&clusters[b].vector))
}
