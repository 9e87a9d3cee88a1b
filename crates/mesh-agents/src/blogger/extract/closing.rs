//! The parts that close a post: the best sentence per section, explained terms, numbers.
//!
//! Each is written only when there is material for it.

use super::{
    allocation::{Allocation, Figure, Ledger, Term},
    corpus::{Corpus, SentenceRef, SourceId},
    dependence,
    section::{Evidence, evidence, mark},
    topic::Topic,
    wording,
};
use crate::text::{
    language::Language,
    markdown::BlockKind,
    sentence::rendered,
    words::{self, TermId, lower_words},
};

/// Words of a closing sentence: long enough to say something, short enough for a list.
const POINT_WORDS: std::ops::RangeInclusive<usize> = 9..=32;
/// Score, relative to the best sentence of the section, below which what is left is no summary.
const POINT_SCORE_MIN: f64 = 0.68;
/// Share of the topic, relative to the most direct sentence, that a closing sentence names.
const POINT_DIRECTNESS_MIN: f64 = 0.2;
/// Words at the beginning of a closing sentence in which no number stands.
const POINT_OPENING_WORDS: usize = 4;
/// Points below which there is no closing section; it also needs one for half of the sections.
const POINTS_MIN: usize = 2;
/// Match of its passage with the section, relative to the best, that a closing sentence must have.
const POINT_MATCH_MIN: f64 = 0.55;
/// Entries of the glossary.
const TERMS_MAX: usize = 8;
/// Entries below which there is no glossary.
const TERMS_MIN: usize = 2;
/// Rows of the table of numbers.
const FIGURES_MAX: usize = 8;
/// Rows below which there is no table.
const FIGURES_MIN: usize = 3;
/// Words of a sentence that still reads in a table.
const FIGURE_WORDS_MAX: usize = 32;
/// Topic score of the passage that a term or a number must come from.
const SCORE_MIN: f64 = 0.4;
/// Sentences about the topic that use a term worth explaining.
const TERM_USES_MIN: usize = 4;
/// Words of a term that is explained.
const TERM_WORDS_MAX: usize = 4;

/// A research section as the closing section sees it.
pub(super) struct Scored<'a> {
    pub(super) name: &'a str,
    /// Per sentence of the corpus.
    pub(super) scores: &'a [f64],
    /// Per passage of the corpus, relative to the section's best.
    pub(super) passage_scores: &'a [f64],
    /// Per passage, whether it fits this section better than any other.
    pub(super) owns: &'a [bool],
    /// Sentences that the section quotes alone and can spare.
    pub(super) singles: Vec<usize>,
}

/// A sentence that sums up a section.
pub(super) struct Found {
    /// Which of the sections given.
    pub(super) section: usize,
    /// Number of the sentence.
    pub(super) number: usize,
    /// Whether the section quotes it and must give it up.
    pub(super) quoted: bool,
}

/// What an [`Appendix`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendixKind {
    /// Sentences that explain a term.
    Terms,
    /// Sentences that state a number with a unit.
    Figures,
}

/// A part after the last section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appendix {
    /// What it holds.
    pub kind: AppendixKind,
    /// Its heading.
    pub name: String,
    /// Markdown below the heading, with the source's id as footnote label.
    pub content: String,
    /// Where every sentence is from, in reading order.
    pub evidence: Vec<Evidence>,
}

/// The glossary and the table of numbers, as far as there is material.
pub fn appendices(corpus: &Corpus, allocation: &Allocation, language: Language) -> Vec<Appendix> {
    let wording = wording::of(language);
    let mut appendices = Vec::new();
    if !allocation.terms.is_empty() {
        let mut lines = Vec::new();
        let mut proof = Vec::new();
        for Term { term, source, sentence } in &allocation.terms {
            let Some(found) = evidence(corpus, source, *sentence) else { continue };
            lines.push(format!("- **{term}**: {}{}", found.text, mark(source)));
            proof.push(found);
        }
        appendices.push(Appendix {
            kind: AppendixKind::Terms,
            name: wording.terms.to_owned(),
            content: lines.join("\n"),
            evidence: proof,
        });
    }
    if !allocation.figures.is_empty() {
        let head = format!("| {} | {} |", wording.figure_column, wording.source_column);
        let mut lines = vec![head, "| --- | --- |".to_owned()];
        let mut proof = Vec::new();
        for Figure { value, source, sentence } in &allocation.figures {
            let Some(found) = evidence(corpus, source, *sentence) else { continue };
            lines.push(format!("| {value} | {}{} |", found.text, mark(source)));
            proof.push(found);
        }
        appendices.push(Appendix {
            kind: AppendixKind::Figures,
            name: wording.figures.to_owned(),
            content: lines.join("\n"),
            evidence: proof,
        });
    }
    appendices
}

/// One sentence per section that can stand alone, at most; none at all if too few have one.
///
/// A quotation of a single sentence is taken out of its section: scattered among longer ones it
/// reads badly, in a list it reads well. Without one, a good sentence is taken that the section
/// had no room for.
pub(super) fn points(
    corpus: &Corpus,
    topic: &Topic,
    sections: &[Scored<'_>],
    ledger: &mut Ledger,
) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for (section, scored) in sections.iter().enumerate() {
        let name = corpus.vocabulary.known_terms(scored.name, topic.language);
        let score = |number: usize| scored.scores.get(number).copied().unwrap_or(0.0);
        let top = scored.scores.iter().copied().fold(0.0, f64::max);
        let quoted = scored.singles.iter().copied().filter(|&n| sums_up(corpus, topic, &name, n));
        let quoted = quoted.map(|number| Found { section, number, quoted: true });
        let left = topic.sentences.iter().copied().filter(|&number| {
            let passage = corpus.sentences[number].passage;
            scored.owns[passage]
                && scored.passage_scores[passage] >= POINT_MATCH_MIN
                && score(number) >= POINT_SCORE_MIN * top
                && found.iter().all(|other| other.number != number)
                && sums_up(corpus, topic, &name, number)
                && ledger.is_free(corpus, number)
        });
        let left = left.map(|number| Found { section, number, quoted: false });
        // The first of equals, and any quoted one before any other.
        let mut best: Option<Found> = None;
        for candidate in quoted.chain(left) {
            let better = best.as_ref().is_none_or(|best| {
                candidate.quoted == best.quoted && score(candidate.number) > score(best.number)
            });
            if better {
                best = Some(candidate);
            }
        }
        found.extend(best);
    }
    if found.len() < POINTS_MIN.max(sections.len().div_ceil(2)) {
        return Vec::new();
    }
    // Two sections may have found sentences that say the same: the later one goes without.
    found.retain(|point| point.quoted || ledger.take_if_free(corpus, point.number));
    found
}

/// Whether a sentence can stand for a section: alone, short, a statement, about the topic.
fn sums_up(corpus: &Corpus, topic: &Topic, name: &[TermId], number: usize) -> bool {
    let sentence = &corpus.sentences[number];
    !sentence.leans
        && sentence.first
        && !sentence.entry
        && sentence.block_kind != BlockKind::ListItem
        && POINT_WORDS.contains(&sentence.words)
        && topic.query.terms.iter().any(|(term, _)| sentence.terms.contains(term))
        && (name.is_empty() || name.iter().any(|term| sentence.terms.contains(term)))
        && topic.directness[number] >= POINT_DIRECTNESS_MIN
        && !is_conditional(corpus.sentence_text(number))
        && !dependence::instructs(corpus.sentence_text(number))
        && corpus.sentence_text(number).starts_with(char::is_alphabetic)
        && !opens_with_number(corpus.sentence_text(number))
}

/// *In version 2.4 and earlier, …* tells what was, not what matters.
fn opens_with_number(raw: &str) -> bool {
    raw.split_whitespace().take(POINT_OPENING_WORDS).any(|word| word.contains(char::is_numeric))
}

/// A condition, an instruction or a remark says too little as the sum of a section.
fn is_conditional(raw: &str) -> bool {
    const OPENINGS: &[&str] = &[
        "If",
        "When",
        "Unless",
        "To",
        "Note",
        "For",
        "Use",
        "Set",
        "Make",
        "Mark",
        "Run",
        "You",
        "Starting",
        "Wenn",
        "Falls",
        "Um",
        "Si",
        "Quand",
        "Lorsque",
        "Pour",
        "Para",
        "Cuando",
        "यदि",
        "अगर",
    ];
    raw.split_whitespace().next().is_some_and(|first| OPENINGS.contains(&first))
}

/// Sentences that explain a term of the topic's vocabulary, best first in the choice and by term
/// in the result.
pub(super) fn terms(corpus: &Corpus, topic: &Topic, ledger: &mut Ledger) -> Vec<Term> {
    let mut found: Vec<(f64, usize, String, Vec<TermId>)> = Vec::new();
    for &number in &topic.sentences {
        let sentence = &corpus.sentences[number];
        let score = topic.passage_scores[sentence.passage];
        if sentence.leans || score < SCORE_MIN || sentence.words > FIGURE_WORDS_MAX + 8 {
            continue;
        }
        let shown = rendered(corpus.sentence_text(number));
        let Some(term) = defined_term(&shown, topic.language) else { continue };
        let terms = corpus.vocabulary.known_terms(&term, topic.language);
        // A term is worth explaining if headings name it and the topic keeps using it.
        let in_headings =
            |term: &TermId| corpus.heading_frequency.get(*term as usize).copied().unwrap_or(0) > 0;
        let uses = || {
            let all = topic.sentences.iter().map(|&number| &corpus.sentences[number].terms);
            all.filter(|said| said.windows(terms.len()).any(|near| near == terms)).count()
        };
        if !terms.is_empty() && terms.iter().all(in_headings) && uses() >= TERM_USES_MIN {
            found.push((score + topic.sentence_ranks[number], number, term, terms));
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut chosen: Vec<(Term, Vec<TermId>)> = Vec::new();
    for (_, number, term, terms) in found {
        let again = chosen.iter().any(|(_, other)| *other == terms);
        if !again && chosen.len() < TERMS_MAX && ledger.is_free(corpus, number) {
            let source = source_of(corpus, number);
            let sentence = SentenceRef(number as u32);
            chosen.push((Term { term, source, sentence }, terms));
        }
    }
    if chosen.len() < TERMS_MIN {
        return Vec::new();
    }
    let mut terms: Vec<Term> = chosen.into_iter().map(|(term, _)| term).collect();
    terms.retain(|term| ledger.take_if_free(corpus, term.sentence.0 as usize));
    if terms.len() < TERMS_MIN {
        return Vec::new();
    }
    terms.sort_by_key(|term| (term.term.to_lowercase(), term.sentence));
    terms
}

/// Sentences that state a number with a unit.
pub(super) fn figures(corpus: &Corpus, topic: &Topic, ledger: &mut Ledger) -> Vec<Figure> {
    let mut found: Vec<(f64, usize, String)> = Vec::new();
    for &number in &topic.sentences {
        let sentence = &corpus.sentences[number];
        let score = topic.passage_scores[sentence.passage];
        // *The valid range is …*: a row of a table has no text around it that says of what.
        let is_about = sentence.terms.iter().any(|term| topic.core.contains(term));
        if sentence.leans || !is_about || score < SCORE_MIN || sentence.words > FIGURE_WORDS_MAX {
            continue;
        }
        let shown = rendered(corpus.sentence_text(number));
        if shown.contains('|') {
            continue;
        }
        if let Some(value) = value_with_unit(&shown) {
            found.push((score + topic.sentence_ranks[number], number, value));
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut chosen: Vec<(usize, String)> = Vec::new();
    let mut trial = Vec::new();
    for (_, number, value) in found {
        if chosen.len() < FIGURES_MAX && ledger.is_free(corpus, number) && !trial.contains(&value) {
            trial.push(value.clone());
            chosen.push((number, value));
        }
    }
    if chosen.len() < FIGURES_MIN {
        return Vec::new();
    }
    chosen.sort_unstable_by_key(|&(number, _)| number);
    // Two rows of one source may together be over its limit: the later one is left out.
    chosen.retain(|&(number, _)| ledger.take_if_free(corpus, number));
    if chosen.len() < FIGURES_MIN {
        return Vec::new();
    }
    let figure = |(number, value): (usize, String)| Figure {
        value,
        source: source_of(corpus, number),
        sentence: SentenceRef(number as u32),
    };
    chosen.into_iter().map(figure).collect()
}

pub(super) fn source_of(corpus: &Corpus, number: usize) -> SourceId {
    corpus.sources[corpus.sentences[number].source].id.clone()
}

/// The term that a sentence explains: *A checkpoint is a …*, *Ein Index ist eine …*.
pub(super) fn defined_term(shown: &str, language: Language) -> Option<String> {
    let (articles, verbs): (&[&str], &[&str]) = match language {
        Language::English => (
            &["a ", "an ", "the "],
            &[
                " is a ",
                " is one ",
                " is an ",
                " is the ",
                " are the ",
                " refers to ",
                " means that ",
                " stands for ",
            ],
        ),
        Language::German => (
            &["ein ", "eine ", "der ", "die ", "das "],
            &[
                " ist ein ",
                " ist eine ",
                " ist der ",
                " ist die ",
                " ist das ",
                " bezeichnet ",
                " sind die ",
            ],
        ),
        Language::French => (
            &["un ", "une ", "le ", "la ", "les ", "l'", "l’"],
            &[" est un ", " est une ", " est le ", " est la ", " désigne ", " sont des "],
        ),
        Language::Spanish => (
            &["un ", "una ", "el ", "la ", "los ", "las "],
            &[" es un ", " es una ", " es el ", " es la ", " son los ", " son las "],
        ),
        Language::Hindi => (&[], &[" एक ऐसा ", " एक ऐसी ", " एक "]),
        Language::Other => return None,
    };
    let at = verbs.iter().filter_map(|verb| shown.find(verb)).min()?;
    let subject = &shown[..at];
    let lower = subject.to_lowercase();
    let article = articles.iter().find(|article| lower.starts_with(*article));
    let term = subject.get(article.map_or(0, |article| article.len())..)?.trim();
    let plain = term.chars().all(|c| {
        c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '`' | '\'' | '.') || !c.is_ascii()
    });
    let count = words::count(term);
    let all_content = lower_words(term).all(|word| !words::is_stop_word(&word, language));
    (plain && all_content && (1..=TERM_WORDS_MAX).contains(&count)).then(|| term.to_owned())
}

/// The first number with a unit, as it is written: `16 MB`, `five minutes`, `40 %`.
fn value_with_unit(shown: &str) -> Option<String> {
    let pieces: Vec<&str> = shown.split(' ').collect();
    for (at, piece) in pieces.iter().enumerate() {
        let number = piece.trim_start_matches(['(', '"', '“', '~']);
        let bare = number.trim_end_matches(['.', ',', ';', ')', '"', '”', ':']);
        if !is_number_start(bare) {
            continue;
        }
        let digits = bare.trim_end_matches(|c: char| !c.is_ascii_digit());
        let suffix = &bare[digits.len()..];
        if is_number(digits)
            && is_unit(suffix)
            && bare.len() == number.trim_end_matches(['.', ',', ';', ')', '"', '”', ':']).len()
        {
            return Some(bare.to_owned());
        }
        if is_number(bare)
            && number == bare
            && let Some(next) = pieces.get(at + 1)
        {
            let unit = next.trim_end_matches(['.', ',', ';', ')', '"', '”', ':']);
            if is_unit(unit) {
                return Some(format!("{bare} {unit}"));
            }
        }
    }
    None
}

fn is_number_start(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

fn is_number(text: &str) -> bool {
    is_number_start(text)
        && text.ends_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b',' | b'-'))
}

fn is_unit(text: &str) -> bool {
    const UNITS: &[&str] = &[
        "%",
        "percent",
        "kB",
        "KB",
        "MB",
        "GB",
        "TB",
        "PB",
        "KiB",
        "MiB",
        "GiB",
        "TiB",
        "kb",
        "mb",
        "gb",
        "byte",
        "bytes",
        "bit",
        "bits",
        "kilobytes",
        "megabytes",
        "gigabytes",
        "terabytes",
        "kilobyte",
        "megabyte",
        "gigabyte",
        "terabyte",
        "ns",
        "µs",
        "ms",
        "s",
        "sec",
        "min",
        "second",
        "seconds",
        "millisecond",
        "milliseconds",
        "microseconds",
        "minute",
        "minutes",
        "hour",
        "hours",
        "day",
        "days",
        "week",
        "weeks",
        "month",
        "months",
        "year",
        "years",
        "pages",
        "rows",
        "columns",
        "connections",
        "threads",
        "Hz",
        "kHz",
        "MHz",
        "GHz",
        "km",
        "m",
        "cm",
        "mm",
        "kg",
        "g",
        "W",
        "kW",
        "kWh",
        "°C",
        "K",
        "EUR",
        "€",
        "USD",
        "Prozent",
        "Sekunden",
        "Minuten",
        "Stunden",
    ];
    const MORE: &[&str] = &[
        "Tage",
        "Tagen",
        "Jahre",
        "Jahren",
        "Wochen",
        "Monate",
        "secondes",
        "heures",
        "jours",
        "segundos",
        "minutos",
        "horas",
        "días",
        "प्रतिशत",
        "दिन",
    ];
    UNITS.contains(&text) || MORE.contains(&text)
}
