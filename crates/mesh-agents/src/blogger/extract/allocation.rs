//! Which sentence goes where: every sentence at most once in the post, within the limits per
//! section and per source.
//!
//! What is chosen are *runs*: one to four neighbouring sentences of one paragraph, because
//! scattered single sentences do not read. The limits, as this file reads them:
//!
//! - A section takes at most 40 % of its planned words from one source, if more than one source
//!   has something to say about it. With two sources a section may so stay shorter than planned.
//! - The post takes at most 15 % of a source's words, or 300 words if that is more; words are those
//!   of its paragraphs and list items. So a short source still gives a useful post.
//! - A sentence that repeats one already taken is not taken.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{
    Error, POST_SENTENCES_MIN, SECTION_SENTENCES_MIN, closing,
    corpus::{Corpus, SentenceRef, SourceId},
    dependence, heading,
    outline::{
        DIRECTNESS_MIN, Outline, OutlineSection, Request, is_same_name, name_stems, too_little,
    },
    topic::{Query, Topic, vector},
    wording,
};
use crate::text::{
    markdown::BlockKind,
    mmr,
    near_duplicate::{common, jaccard},
    sentence::rendered,
    tfidf::Vector,
    words::TermId,
};

/// Share of the planned words of a section that one of several sources may give.
const SOURCE_SHARE_OF_SECTION: f64 = 0.4;
/// Share of a source's words that the post may copy …
const SHARE_OF_SOURCE: f64 = 0.15;
/// … or so many words, if that is more.
const WORDS_OF_SOURCE: usize = 300;
/// Share of the post's words, and of each source's, that is left to the closing parts.
const CLOSING_SHARE: f64 = 0.15;
/// Planned words of a section at least.
const SECTION_WORDS_MIN: usize = 60;

/// Sentences of one run.
const RUN_SENTENCES_MAX: usize = 4;
/// Words of one run.
const RUN_WORDS_MAX: usize = 110;
/// Words of a run at least: a shorter one says too little for a quotation of its own.
const RUN_WORDS_MIN: usize = 16;
/// Runs per section that are compared with each other.
const RUNS_CONSIDERED: usize = 200;

/// Parts of a sentence's score.
const MATCH_SHARE: f64 = 0.5;
const RANK_SHARE: f64 = 0.35;
const POSITION_SHARE: f64 = 0.15;

/// How well a run of 1, 2, 3 or 4 sentences reads.
const LENGTH_FACTOR: [f64; RUN_SENTENCES_MAX] = [0.72, 0.95, 1.0, 1.0];
/// What a run gains by opening its paragraph.
const OPENING_BONUS: f64 = 0.12;
/// What a run gains by closing its paragraph.
const CLOSING_BONUS: f64 = 0.05;
/// What a run gains by opening with what the topic, or the section, is.
const DEFINITION_BONUS: f64 = 0.25;
/// What is left of a run's value if it is a list item or explains a label.
const LIST_FACTOR: f64 = 0.55;
/// What is left of a run's value if it opens with *the* thing that nobody has named here.
const VAGUE_FACTOR: f64 = 0.8;
/// What is left of a run's value if it opens with an instruction: a step without its list.
const INSTRUCTION_FACTOR: f64 = 0.75;
/// Content words of an opening in which that thing is named.
const OPENING_TERMS: usize = 3;
/// Words of a run at least that is a list item: a short one is a step or a name.
const LIST_WORDS_MIN: usize = 24;
/// Value, relative to the section's best run, below which a run only fills space.
const VALUE_MIN: f64 = 0.57;

/// Match with a section, relative to the section's best passage, that a run must have.
const MATCH_MIN: f64 = 0.4;
/// The same for a section that is not the one the passage fits best.
const MATCH_ELSEWHERE_MIN: f64 = 0.6;

/// What a passage has for sure if it stands under a heading of the section's name.
const SAME_HEADING_SHARE: f64 = 0.5;

/// Share of equal words from which two sentences say the same.
const REPEAT_JACCARD: f64 = 0.7;
/// Share of the shorter sentence's words from which it is contained in the longer one.
const REPEAT_CONTAINED: f64 = 0.85;
/// Different content words from which containment means anything.
const REPEAT_TERMS_MIN: usize = 5;
/// Likeness of two runs from which the second adds nothing.
const REPEAT_COSINE: f64 = 0.6;

/// Weights of the words of a section's query.
const NAME_WEIGHT: f64 = 1.0;
const DESCRIPTION_WEIGHT: f64 = 0.35;
const TOPIC_WEIGHT: f64 = 0.35;
const POINT_WEIGHT: f64 = 0.5;

/// What each section may quote, and what the closing parts do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// One entry per section of the outline, in its order.
    pub sections: Vec<SectionExtracts>,
    /// Sentences that are explained terms, by term.
    pub terms: Vec<Term>,
    /// Sentences that state a number with a unit, in reading order.
    pub figures: Vec<Figure>,
}

/// What one section may quote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionExtracts {
    /// The section's id.
    pub id: String,
    /// Whether it is the closing section.
    pub closing: bool,
    /// Runs in reading order; empty for the closing section.
    pub runs: Vec<Run>,
    /// The best sentence per research section; only in the closing section.
    pub points: Vec<Point>,
    /// Sources that have something to say here, best first, for a section without enough material.
    pub related: Vec<SourceId>,
}

/// Neighbouring sentences of one paragraph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Where they are from.
    pub source: SourceId,
    /// The sentences, in the source's order.
    pub sentences: Vec<SentenceRef>,
}

/// One point of the closing section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Name of the section that it sums up.
    pub section: String,
    /// Where it is from.
    pub source: SourceId,
    /// The sentence.
    pub sentence: SentenceRef,
}

/// One entry of the glossary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// The term as the sentence writes it.
    pub term: String,
    /// Where it is from.
    pub source: SourceId,
    /// The sentence that explains it.
    pub sentence: SentenceRef,
}

/// One row of the table of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// Number and unit as the sentence writes them.
    pub value: String,
    /// Where it is from.
    pub source: SourceId,
    /// The sentence that states it.
    pub sentence: SentenceRef,
}

impl SectionExtracts {
    /// How many sentences the section may quote.
    pub fn sentences_len(&self) -> usize {
        self.runs.iter().map(|run| run.sentences.len()).sum::<usize>() + self.points.len()
    }
}

/// Decides which sentences each section takes.
///
/// # Errors
/// [`Error::TooLittleMaterial`] if fewer than three sentences about the topic may be quoted.
pub fn allocate(
    corpus: &Corpus,
    outline: &Outline,
    request: &Request,
) -> Result<Allocation, Error> {
    let language = Some(outline.language);
    let topic = Topic::new(corpus, &Request { language, ..request.clone() });
    if topic.sentences.len() < POST_SENTENCES_MIN {
        return Err(too_little(corpus, topic.sentences.len()));
    }
    let allocation = allocate_for(corpus, &topic, outline, request);
    let taken: usize = allocation.sections.iter().map(SectionExtracts::sentences_len).sum();
    if taken < POST_SENTENCES_MIN {
        return Err(too_little(corpus, taken));
    }
    Ok(allocation)
}

/// As [`allocate`], for a topic that was already read.
pub(super) fn allocate_for(
    corpus: &Corpus,
    topic: &Topic,
    outline: &Outline,
    request: &Request,
) -> Allocation {
    let closing_at = closing_section(outline);
    let drafts: Vec<&OutlineSection> = outline
        .sections
        .iter()
        .enumerate()
        .filter(|&(at, _)| Some(at) != closing_at)
        .map(|(_, section)| section)
        .collect();
    let mut ledger = Ledger::new(corpus);
    let available: usize = topic_words(corpus, topic, &ledger);
    let per_section = |words: usize| {
        let words = words as f64 * (1.0 - CLOSING_SHARE) / drafts.len().max(1) as f64;
        (words as usize).max(SECTION_WORDS_MIN)
    };
    let section_words = SectionWords {
        asked: per_section(request.words),
        material: per_section(request.words.min(available)),
    };
    let mut sections: Vec<Open> = drafts
        .iter()
        .map(|section| Open::new(corpus, topic, request, section, section_words))
        .collect();
    claim_passages(&mut sections);
    for section in &mut sections {
        section.gather(corpus, topic);
    }
    // In turns, one run each, so that no section eats what a source may give.
    for round in [Round::Own, Round::Any] {
        let mut going = true;
        while going {
            going = false;
            for section in &mut sections {
                going |= section.take_one(corpus, &mut ledger, round);
            }
        }
    }

    let scored: Vec<closing::Scored<'_>> = sections
        .iter()
        .zip(&drafts)
        .map(|(section, draft)| closing::Scored {
            name: &draft.name,
            scores: &section.sentence_scores,
            passage_scores: &section.passage_scores,
            owns: &section.owns,
            singles: section.singles(),
        })
        .collect();
    let found = if closing_at.is_some() {
        closing::points(corpus, topic, &scored, &mut ledger)
    } else {
        Vec::new()
    };
    let mut points = Vec::new();
    for point in found {
        if point.quoted {
            sections[point.section].give_up(point.number);
        }
        points.push(Point {
            section: drafts[point.section].name.clone(),
            source: closing::source_of(corpus, point.number),
            sentence: SentenceRef(point.number as u32),
        });
    }
    let terms = closing::terms(corpus, topic, &mut ledger);
    let figures = closing::figures(corpus, topic, &mut ledger);

    let mut filled = sections.into_iter().map(|section| section.finish(corpus));
    let mut points = Some(points);
    let sections = outline
        .sections
        .iter()
        .enumerate()
        .map(|(at, section)| {
            let all_related = || drafts_related(corpus, topic);
            let empty = || SectionExtracts {
                id: section.id.clone(),
                closing: Some(at) == closing_at,
                runs: Vec::new(),
                points: Vec::new(),
                related: Vec::new(),
            };
            if Some(at) == closing_at {
                let related = all_related();
                SectionExtracts { points: points.take().unwrap_or_default(), related, ..empty() }
            } else {
                let (runs, related) = filled.next().unwrap_or_default();
                let related = if related.is_empty() { all_related() } else { related };
                SectionExtracts { runs, related, ..empty() }
            }
        })
        .collect();
    Allocation { sections, terms, figures }
}

/// The section that sums up: the last one that needs no research. Others of that kind, such as an
/// introduction, are filled like any section.
fn closing_section(outline: &Outline) -> Option<usize> {
    let last = outline.sections.iter().rposition(|section| !section.research)?;
    let any_before = outline.sections[..last].iter().any(|section| section.research);
    any_before.then_some(last)
}

/// Words that all limits together would let the topic's sentences give.
fn topic_words(corpus: &Corpus, topic: &Topic, ledger: &Ledger) -> usize {
    let mut per_source = vec![0; corpus.sources.len()];
    for &number in &topic.sentences {
        let sentence = &corpus.sentences[number];
        per_source[sentence.source] += sentence.words;
    }
    per_source.iter().zip(&ledger.left).map(|(have, left)| have.min(left)).sum()
}

fn drafts_related(corpus: &Corpus, topic: &Topic) -> Vec<SourceId> {
    let mut seen = Vec::new();
    for &passage in &topic.passages {
        let source = corpus.passages[passage].source;
        if !seen.contains(&source) {
            seen.push(source);
        }
    }
    seen.into_iter().take(RELATED_MAX).map(|at| corpus.sources[at].id.clone()).collect()
}

/// Sources that a section without material names.
const RELATED_MAX: usize = 5;

/// What was taken, and what each source may still give.
pub(super) struct Ledger {
    left: Vec<usize>,
    /// Part of `left` that only the closing parts may use.
    reserved: Vec<usize>,
    taken: Vec<bool>,
    /// Sorted different terms of every sentence taken.
    said: Vec<Vec<TermId>>,
    /// Of every run taken.
    vectors: Vec<Vector>,
}

impl Ledger {
    fn new(corpus: &Corpus) -> Self {
        let left: Vec<usize> = corpus
            .sources
            .iter()
            .map(|source| ((source.words as f64 * SHARE_OF_SOURCE) as usize).max(WORDS_OF_SOURCE))
            .collect();
        let reserved = left.iter().map(|left| (*left as f64 * CLOSING_SHARE) as usize).collect();
        Self {
            left,
            reserved,
            taken: vec![false; corpus.sentences.len()],
            said: Vec::new(),
            vectors: Vec::new(),
        }
    }

    /// Whether a sentence may still be taken: free, within its source's limit, not said yet.
    pub(super) fn is_free(&self, corpus: &Corpus, number: usize) -> bool {
        let sentence = &corpus.sentences[number];
        !self.taken[number]
            && sentence.words <= self.left[sentence.source]
            && !self.repeats(&different(&sentence.terms))
    }

    /// Takes a sentence unless something speaks against it; says whether it did.
    pub(super) fn take_if_free(&mut self, corpus: &Corpus, number: usize) -> bool {
        let free = self.is_free(corpus, number);
        if free {
            self.take(corpus, number);
        }
        free
    }

    fn take(&mut self, corpus: &Corpus, number: usize) {
        let sentence = &corpus.sentences[number];
        self.taken[number] = true;
        self.left[sentence.source] = self.left[sentence.source].saturating_sub(sentence.words);
        self.said.push(different(&sentence.terms));
    }

    fn repeats(&self, terms: &[TermId]) -> bool {
        self.said.iter().any(|said| says_the_same(said, terms))
    }
}

fn different(terms: &[TermId]) -> Vec<TermId> {
    let mut different = terms.to_vec();
    different.sort_unstable();
    different.dedup();
    different
}

fn says_the_same(a: &[TermId], b: &[TermId]) -> bool {
    let shorter = a.len().min(b.len());
    jaccard(a, b) >= REPEAT_JACCARD
        || shorter >= REPEAT_TERMS_MIN && common(a, b) as f64 >= REPEAT_CONTAINED * shorter as f64
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    /// From passages that fit this section best.
    Own,
    /// From any passage that fits it well.
    Any,
}

/// A candidate: sentences `first..first + len` of the corpus.
struct Candidate {
    first: usize,
    len: usize,
    source: usize,
    words: usize,
    value: f64,
    /// Whether it opens with what the topic or the section is.
    defines: bool,
    own: bool,
    vector: Vector,
}

/// How long a section may become.
#[derive(Clone, Copy)]
struct SectionWords {
    /// As far as the request goes; shares are shares of this.
    asked: usize,
    /// As far as the material goes, too.
    material: usize,
}

/// A section while it is being filled.
struct Open {
    words: usize,
    /// Words that one of several sources may give.
    words_of_source: usize,
    words_taken: usize,
    /// Per passage, relative to the best: how well it fits this section.
    passage_scores: Vec<f64>,
    /// Whether the passage fits this section better than any other.
    owns: Vec<bool>,
    /// Per sentence of the corpus: 0 outside the topic.
    sentence_scores: Vec<f64>,
    query: Query,
    /// Whether it is the one section over everything.
    is_unnamed: bool,
    /// Words of the name and of the topic.
    core: Vec<TermId>,
    candidates: Vec<Candidate>,
    likeness: Vec<f64>,
    sources_len: usize,
    taken_by_source: Vec<usize>,
    chosen: Vec<usize>,
}

impl Open {
    fn new(
        corpus: &Corpus,
        topic: &Topic,
        request: &Request,
        section: &OutlineSection,
        words: SectionWords,
    ) -> Self {
        let mut query = Query::default();
        query.add(corpus, &section.name, topic.language, NAME_WEIGHT);
        let named: Vec<TermId> = query.terms.iter().map(|&(term, _)| term).collect();
        query.add(corpus, &section.description, topic.language, DESCRIPTION_WEIGHT);
        for point in &request.must_cover {
            let terms = corpus.vocabulary.known_terms(point, topic.language);
            if terms.iter().any(|term| named.contains(term)) {
                query.add(corpus, point, topic.language, POINT_WEIGHT);
            }
        }
        // What the name and the description say must occur, unless they say nothing: a section
        // about volcanoes is not filled with tides because the topic is tides.
        let anchors: Vec<TermId> = query.terms.iter().map(|&(term, _)| term).collect();
        let is_open = heading::is_general(&section.name)
            || section.name == wording::of(topic.language).from_the_sources
            || !heading::is_name(&section.name, topic.language) && section.description.is_empty();
        for &(term, weight) in &topic.query.terms {
            query.add_term(term, weight * TOPIC_WEIGHT);
        }
        let mut passage_scores = corpus.passage_index.scores(&query.terms);
        let passages = corpus.passages.iter().zip(&topic.passage_scores);
        for (score, (passage, topic_score)) in passage_scores.iter_mut().zip(passages) {
            let anchored = is_open || passage.terms.iter().any(|term| anchors.contains(term));
            *score *= if anchored && *topic_score > 0.0 { 0.5 + 0.5 * topic_score } else { 0.0 };
        }
        scale(&mut passage_scores);
        let name = name_stems(&section.name, topic.language);
        for (score, passage) in passage_scores.iter_mut().zip(&corpus.passages) {
            let source = &corpus.sources[passage.source];
            let heading = passage.heading.and_then(|at| source.headings.get(at));
            let same = heading.is_some_and(|heading| {
                is_same_name(&name_stems(&heading.text, topic.language), &name)
            });
            if same && *score > 0.0 {
                *score = SAME_HEADING_SHARE + (1.0 - SAME_HEADING_SHARE) * *score;
            }
        }
        Self {
            words: words.material,
            words_of_source: (words.asked as f64 * SOURCE_SHARE_OF_SECTION) as usize,
            words_taken: 0,
            owns: vec![false; passage_scores.len()],
            passage_scores,
            sentence_scores: Vec::new(),
            core: named.into_iter().chain(topic.core.iter().copied()).collect(),
            is_unnamed: section.name == wording::of(topic.language).from_the_sources,
            query,
            candidates: Vec::new(),
            likeness: Vec::new(),
            sources_len: 0,
            taken_by_source: vec![0; corpus.sources.len()],
            chosen: Vec::new(),
        }
    }

    /// Scores the topic's sentences for this section and lists the runs that it may take.
    fn gather(&mut self, corpus: &Corpus, topic: &Topic) {
        let mut matches = corpus.sentence_index.scores(&self.query.terms);
        let in_topic = {
            let mut in_topic = vec![false; matches.len()];
            topic.sentences.iter().for_each(|&number| in_topic[number] = true);
            in_topic
        };
        for (score, inside) in matches.iter_mut().zip(&in_topic) {
            if !inside {
                *score = 0.0;
            }
        }
        scale(&mut matches);
        self.sentence_scores = vec![0.0; matches.len()];
        for &number in &topic.sentences {
            let sentence = &corpus.sentences[number];
            let matched = 0.5 * matches[number] + 0.5 * self.passage_scores[sentence.passage];
            self.sentence_scores[number] = MATCH_SHARE * matched
                + RANK_SHARE * topic.sentence_ranks[number]
                + POSITION_SHARE / (1.0 + f64::from(sentence.depth));
        }
        for &first in &topic.sentences {
            self.add_runs_from(corpus, topic, &in_topic, first);
        }
        self.candidates.sort_by(by_value);
        self.candidates.truncate(RUNS_CONSIDERED);
        let top = self.candidates.first().map_or(1.0, |candidate| candidate.value);
        for candidate in &mut self.candidates {
            candidate.value /= top;
        }
        self.candidates.retain(|candidate| candidate.value >= VALUE_MIN);
        // After the threshold: a definition goes first, it does not make others worse.
        for candidate in self.candidates.iter_mut().filter(|candidate| candidate.defines) {
            candidate.value += DEFINITION_BONUS;
        }
        self.candidates.sort_by(by_value);
        self.likeness = vec![0.0; self.candidates.len()];
        let mut sources: Vec<usize> = self.candidates.iter().map(|c| c.source).collect();
        sources.sort_unstable();
        sources.dedup();
        self.sources_len = sources.len();
    }

    /// Whether a sentence says what something is that the topic or the section names.
    fn defines(&self, corpus: &Corpus, topic: &Topic, number: usize) -> bool {
        let shown = rendered(corpus.sentence_text(number));
        let Some(term) = closing::defined_term(&shown, topic.language) else { return false };
        let terms = corpus.vocabulary.known_terms(&term, topic.language);
        !terms.is_empty() && terms.iter().all(|term| self.core.contains(term))
    }

    fn add_runs_from(&mut self, corpus: &Corpus, topic: &Topic, in_topic: &[bool], first: usize) {
        let start = &corpus.sentences[first];
        let fit = self.passage_scores[start.passage];
        let own = self.owns[start.passage];
        if start.leans || fit < if own { MATCH_MIN } else { MATCH_ELSEWHERE_MIN } {
            return;
        }
        let named = |term: &TermId| self.query.terms.iter().any(|(known, _)| known == term);
        let vague = dependence::opens_with_the(corpus.sentence_text(first))
            && !start.terms.iter().take(OPENING_TERMS).any(named);
        if vague && !start.first {
            return;
        }
        let defines = self.defines(corpus, topic, first);
        let is_instruction = dependence::instructs(corpus.sentence_text(first));
        // Nothing but the topic holds together what stands under no heading.
        if self.is_unnamed && topic.directness[first] < DIRECTNESS_MIN {
            return;
        }
        let mut words = 0;
        let mut sum = 0.0;
        let mut terms = Vec::new();
        for len in 1..=RUN_SENTENCES_MAX {
            let number = first + len - 1;
            let Some(sentence) = corpus.sentences.get(number) else { break };
            let joined = sentence.source == start.source && sentence.block == start.block;
            words += sentence.words;
            if !joined || !in_topic[number] || words > RUN_WORDS_MAX {
                break;
            }
            sum += self.sentence_scores[number];
            terms.extend_from_slice(&sentence.terms);
            let is_item = start.block_kind == BlockKind::ListItem;
            if words < RUN_WORDS_MIN || !self.is_about(&terms, is_item) {
                continue;
            }
            let mut value = sum / len as f64 * LENGTH_FACTOR[len - 1];
            if start.first {
                value += OPENING_BONUS;
            }
            if sentence.last {
                value += CLOSING_BONUS;
            }
            if vague {
                value *= VAGUE_FACTOR;
            }
            if is_instruction {
                value *= INSTRUCTION_FACTOR;
            }
            if is_item || start.entry {
                if words < LIST_WORDS_MIN {
                    continue;
                }
                value *= LIST_FACTOR;
            }
            self.candidates.push(Candidate {
                first,
                len,
                source: start.source,
                words,
                value,
                defines,
                own,
                vector: vector(corpus, &terms),
            });
        }
    }

    /// Whether a run names the section or the topic, or speaks of two things that the section's
    /// description names. A passage that fits as a whole may still wander off.
    /// Items of a list wander most, so they must name it.
    fn is_about(&self, terms: &[TermId], is_item: bool) -> bool {
        terms.iter().any(|term| self.core.contains(term))
            || !is_item
                && self.query.terms.iter().filter(|(term, _)| terms.contains(term)).nth(1).is_some()
    }

    /// Takes the best run that fits every limit; `false` if there is none.
    fn take_one(&mut self, corpus: &Corpus, ledger: &mut Ledger, round: Round) -> bool {
        let share = if self.sources_len > 1 { self.words_of_source } else { self.words };
        let scores: Vec<f64> = self.candidates.iter().map(|candidate| candidate.value).collect();
        let found = mmr::next(&scores, &self.likeness, |at| {
            let candidate = &self.candidates[at];
            (candidate.own || round == Round::Any)
                && self.words_taken + candidate.words <= self.words
                && self.taken_by_source[candidate.source] + candidate.words <= share
                && is_open(corpus, ledger, candidate)
        });
        let Some(at) = found else { return false };
        let candidate = &self.candidates[at];
        self.words_taken += candidate.words;
        self.taken_by_source[candidate.source] += candidate.words;
        for number in candidate.first..candidate.first + candidate.len {
            ledger.take(corpus, number);
        }
        ledger.vectors.push(candidate.vector.clone());
        for (other, like) in self.candidates.iter().zip(&mut self.likeness) {
            *like = like.max(other.vector.cosine(&candidate.vector));
        }
        self.chosen.push(at);
        true
    }

    /// Sentences that are quoted alone, if the section has enough without any one of them.
    fn singles(&self) -> Vec<usize> {
        let chosen = || self.chosen.iter().map(|&at| &self.candidates[at]);
        let sentences: usize = chosen().map(|candidate| candidate.len).sum();
        if sentences <= SECTION_SENTENCES_MIN {
            return Vec::new();
        }
        chosen().filter(|candidate| candidate.len == 1).map(|candidate| candidate.first).collect()
    }

    fn give_up(&mut self, number: usize) {
        let candidates = &self.candidates;
        self.chosen.retain(|&at| candidates[at].len != 1 || candidates[at].first != number);
    }

    /// Runs in reading order, and the sources behind the section.
    ///
    /// Runs of one source stay together. The source with the best run comes first, then by date,
    /// undated last, then in the order given; inside a source by position.
    fn finish(self, corpus: &Corpus) -> (Vec<Run>, Vec<SourceId>) {
        let lead = self.chosen.iter().min().map(|&at| self.candidates[at].source);
        let mut chosen: Vec<&Candidate> =
            self.chosen.iter().map(|&at| &self.candidates[at]).collect();
        chosen.sort_by_key(|candidate| {
            let published = corpus.sources[candidate.source].document.published;
            let is_lead = Some(candidate.source) == lead;
            (!is_lead, published.is_none(), published, candidate.source, candidate.first)
        });
        let mut runs: Vec<Run> = Vec::new();
        let mut end = None;
        for candidate in chosen {
            let numbers = candidate.first..candidate.first + candidate.len;
            let sentences = numbers.clone().map(|number| SentenceRef(number as u32));
            let block = |number: usize| corpus.sentences.get(number).map(|s| (s.source, s.block));
            match runs.last_mut() {
                Some(run)
                    if end == Some(candidate.first)
                        && block(candidate.first) == block(candidate.first.saturating_sub(1)) =>
                {
                    run.sentences.extend(sentences);
                }
                _ => runs.push(Run {
                    source: corpus.sources[candidate.source].id.clone(),
                    sentences: sentences.collect(),
                }),
            }
            end = Some(numbers.end);
        }

        let mut order: Vec<usize> =
            (0..self.passage_scores.len()).filter(|&at| self.passage_scores[at] > 0.0).collect();
        order.sort_by(|&a, &b| {
            self.passage_scores[b].total_cmp(&self.passage_scores[a]).then(a.cmp(&b))
        });
        let mut related: Vec<SourceId> = Vec::new();
        for passage in order {
            let id = &corpus.sources[corpus.passages[passage].source].id;
            if !related.contains(id) {
                related.push(id.clone());
            }
            if related.len() == RELATED_MAX {
                break;
            }
        }
        (runs, related)
    }
}

/// Best first; ties in corpus order, longer before shorter.
fn by_value(a: &Candidate, b: &Candidate) -> Ordering {
    b.value.total_cmp(&a.value).then(a.first.cmp(&b.first)).then(b.len.cmp(&a.len))
}

/// Gives every passage to the section that it fits best; ties to the earlier section.
fn claim_passages(sections: &mut [Open]) {
    let passages = sections.first().map_or(0, |section| section.passage_scores.len());
    for passage in 0..passages {
        let mut best: Option<(f64, usize)> = None;
        for (at, section) in sections.iter().enumerate() {
            let score = section.passage_scores[passage];
            if score > 0.0 && best.is_none_or(|(top, _)| score > top) {
                best = Some((score, at));
            }
        }
        if let Some((_, at)) = best {
            sections[at].owns[passage] = true;
        }
    }
}

/// Whether a run may still be taken: within its source's limit, and new in the post.
fn is_open(corpus: &Corpus, ledger: &Ledger, candidate: &Candidate) -> bool {
    let numbers = candidate.first..candidate.first + candidate.len;
    let source = candidate.source;
    candidate.words + ledger.reserved[source] <= ledger.left[source]
        && numbers.clone().all(|number| ledger.is_free(corpus, number))
        && ledger.vectors.iter().all(|taken| taken.cosine(&candidate.vector) < REPEAT_COSINE)
        && !repeats_itself(corpus, numbers)
}

fn repeats_itself(corpus: &Corpus, numbers: std::ops::Range<usize>) -> bool {
    let said: Vec<Vec<TermId>> =
        numbers.map(|number| different(&corpus.sentences[number].terms)).collect();
    said.iter().enumerate().any(|(at, a)| said[..at].iter().any(|b| says_the_same(a, b)))
}

/// Divides by the greatest, so that the best is 1.
fn scale(scores: &mut [f64]) {
    let top = scores.iter().copied().fold(0.0, f64::max);
    if top > 0.0 {
        for score in scores {
            *score /= top;
        }
    }
}
