//! The plan of a post: which sections, in which order, under which names.
//!
//! A given outline is taken as it is. Otherwise the headings of the sources, with the text under
//! them, are clustered, and the clusters that say most about the topic become sections.

use std::{cmp::Reverse, collections::BTreeMap};

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
/// Words that may be quoted below which a cluster is no section …
const CLUSTER_WORDS_MIN: usize = 60;
/// … where the topic has so many times as much; with less, short headings are sections too.
const CLUSTER_WORDS_SHARE: usize = 12;
/// Words below which a cluster is no section, however little there is.
const CLUSTER_WORDS_FEW: usize = 25;
/// Words that may be quoted from which a cluster loses nothing for being short.
const CLUSTER_WORDS_FULL: usize = 200;
/// What each further passage under a heading, and each further heading about the same matter, adds
/// to the score of the best: sections are chosen by how well they fit, not by how long they are.
const FURTHER_SHARES: [f64; 3] = [0.2, 0.1, 0.05];
/// What each further source that speaks of the same matter adds, up to [`FURTHER_SOURCES_MAX`].
const FURTHER_SOURCE_BONUS: f64 = 0.12;
const FURTHER_SOURCES_MAX: usize = 3;
/// Share of the topic, relative to the most direct sentence, that the best sentence of a section
/// names at least.
pub(super) const DIRECTNESS_MIN: f64 = 0.25;
/// Share of a section's words in sentences that name the topic from which it is all about it …
const NAMING_SHARE_FULL: f64 = 0.4;
/// … and what is left of the score of one that never names it.
const NAMING_FACTOR_MIN: f64 = 0.4;
/// Share of the sections that may come mainly from one source, if others have some to offer.
const MAIN_SOURCE_SHARE: f64 = 0.4;
/// What a section's directness gains if its name says that it is about all of the topic.
const GENERAL_FACTOR: f64 = 2.0;
/// Sources from which one alone is too much; two may well be one page and a remark on it.
const SEVERAL_SOURCES: usize = 3;
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
        let drafted = |ordered: &[usize]| {
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
            (plan, allocation, thin)
        };
        let (mut plan, mut allocation, thin) = drafted(&ordered);
        if thin.is_empty() && !ordered.is_empty() {
            // What answers the topic most directly is read first, if that leaves nothing thin.
            let first = most_direct(&clusters, &ordered, &allocation, &topic);
            ordered[..=first].rotate_right(1);
            let (other_plan, other_allocation, other_thin) = drafted(&ordered);
            if first > 0 && other_thin.is_empty() {
                (plan, allocation) = (other_plan, other_allocation);
            }
            let one_heading =
                ordered.len() == 1 && holds_more(corpus, &topic, request, &allocation);
            return Ok(if one_heading { over_all(request, &topic) } else { plan });
        }
        // One at a time, the weakest: what it held back may fill the others.
        let Some(&weakest) = chosen.iter().rev().find(|at| thin.contains(at)) else { break };
        clusters.remove(weakest);
    }
    // Not even one heading has enough text of its own.
    let plan = over_all(request, &topic);
    let allocation = allocate_for(corpus, &topic, &plan, request);
    let quoted: usize = allocation.sections.iter().map(SectionExtracts::sentences_len).sum();
    if quoted < POST_SENTENCES_MIN { Err(too_little(corpus, quoted)) } else { Ok(plan) }
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
    /// The source that most of its words are from.
    main_source: usize,
    /// What the directness of its sentences counts for, if it is to be read first.
    opens_well: f64,
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
        let mut score = with_further(&scores);
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
    let all: usize = units.iter().map(|unit| unit.words).sum();
    let words_min = (all / CLUSTER_WORDS_SHARE).clamp(CLUSTER_WORDS_FEW, CLUSTER_WORDS_MIN);
    if words < words_min {
        return None;
    }
    let centroid = Vector::centroid(members.iter().map(|unit| &unit.vector));
    let mut by_score: Vec<f64> = members.iter().map(|unit| unit.score).collect();
    by_score.sort_by(|a, b| b.total_cmp(a));
    let sentences = || members.iter().flat_map(|unit| unit.sentences.iter().copied());
    // Text under a heading, or in a page, of the topic's words need not repeat them.
    let is_headed = members.iter().any(|unit| is_headed_by_topic(corpus, topic, unit));
    if !is_headed && sentences().all(|number| topic.directness[number] < DIRECTNESS_MIN) {
        return None;
    }
    let mut score = with_further(&by_score);
    let words_full = CLUSTER_WORDS_FULL * words_min / CLUSTER_WORDS_MIN;
    score *= (words as f64 / words_full as f64).min(1.0);
    let mut by_source: BTreeMap<usize, usize> = BTreeMap::new();
    for unit in &members {
        *by_source.entry(unit.source).or_default() += unit.words;
    }
    // A heading that names the topic above a text that does not is about something else.
    let names =
        |number: usize| corpus.sentences[number].terms.iter().any(|term| topic.core.contains(term));
    let naming: usize =
        sentences().filter(|&n| names(n)).map(|number| corpus.sentences[number].words).sum();
    let share = if is_headed { 1.0 } else { naming as f64 / words as f64 / NAMING_SHARE_FULL };
    score *= NAMING_FACTOR_MIN + (1.0 - NAMING_FACTOR_MIN) * share.min(1.0);
    let further = (by_source.len() - 1).min(FURTHER_SOURCES_MAX);
    score *= 1.0 + FURTHER_SOURCE_BONUS * further as f64;
    let main_source = by_source
        .iter()
        .max_by_key(|&(&source, &words)| (words, Reverse(source)))
        .map(|(s, _)| *s)?;

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
    let opens_well = match bucket {
        0 => GENERAL_FACTOR,
        1 => 1.0,
        _ => 0.0,
    };
    let vector = centroid;
    Some(Cluster {
        name,
        description,
        score,
        vector,
        stems,
        main_source,
        opens_well,
        reading_order,
    })
}

/// Whether title and headings above a unit name at least half of the topic, and more than one word
/// of it: a single word also heads pages about something else.
fn is_headed_by_topic(corpus: &Corpus, topic: &Topic, unit: &Unit) -> bool {
    let source = &corpus.sources[unit.source];
    let title = source.document.title.as_deref().unwrap_or_default();
    let mut terms = corpus.vocabulary.known_terms(title, topic.language);
    for heading in source.heading_path(unit.heading) {
        terms.extend(corpus.vocabulary.known_terms(heading, topic.language));
    }
    let named = topic.core.iter().filter(|term| terms.contains(term)).count();
    named > 1 && named * 2 >= topic.core.len()
}

/// The best of some scores, best first, with a part of the next ones.
fn with_further(scores: &[f64]) -> f64 {
    let further = scores.iter().skip(1).zip(FURTHER_SHARES).map(|(score, share)| score * share);
    scores.first().copied().unwrap_or(0.0) + further.sum::<f64>()
}

/// Place of the section that quotes the most direct answer.
fn most_direct(
    clusters: &[Cluster],
    ordered: &[usize],
    allocation: &Allocation,
    topic: &Topic,
) -> usize {
    let mut best = (0.0, 0);
    for (place, (&at, extracts)) in ordered.iter().zip(&allocation.sections).enumerate() {
        let sentences = extracts.runs.iter().flat_map(|run| &run.sentences);
        let direct =
            sentences.map(|sentence| topic.directness[sentence.0 as usize]).fold(0.0, f64::max);
        if direct * clusters[at].opens_well > best.0 {
            best = (direct * clusters[at].opens_well, place);
        }
    }
    best.1
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
///
/// One source is the main one of at most [`MAIN_SOURCE_SHARE`] of them, unless fewer than
/// [`SECTIONS_MIN`] would be left.
fn choose(clusters: &[Cluster], wanted: usize) -> Vec<usize> {
    let top = clusters.iter().map(|cluster| cluster.score).fold(0.0, f64::max);
    let good = clusters.iter().take_while(|cluster| cluster.score >= CLUSTER_SCORE_MIN * top);
    let scores: Vec<f64> = good.map(|cluster| cluster.score / top).collect();
    let mut sources: Vec<usize> =
        clusters.iter().take(scores.len()).map(|cluster| cluster.main_source).collect();
    sources.sort_unstable();
    sources.dedup();
    let of_one_source_max = if sources.len() < SEVERAL_SOURCES {
        wanted
    } else {
        ((wanted as f64 * MAIN_SOURCE_SHARE) as usize).max(1)
    };
    let mut likeness = vec![0.0_f64; scores.len()];
    let mut chosen: Vec<usize> = Vec::new();
    for share_matters in [true, false] {
        let enough = if share_matters { wanted } else { SECTIONS_MIN.min(wanted) };
        while chosen.len() < enough {
            let of_one_source = |source: usize| {
                chosen.iter().filter(|&&at| clusters[at].main_source == source).count()
            };
            let found = mmr::next(&scores, &likeness, |at| {
                !chosen.contains(&at)
                    && (!share_matters
                        || of_one_source(clusters[at].main_source) < of_one_source_max)
            });
            let Some(next) = found else { break };
            chosen.push(next);
            for (like, cluster) in likeness.iter_mut().zip(clusters) {
                *like = like.max(cluster.vector.cosine(&clusters[next].vector));
            }
        }
    }
    chosen
}
