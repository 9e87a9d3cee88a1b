//! The text of one section: short quotations with a footnote mark after every sentence.

use serde::{Deserialize, Serialize};

use super::{
    SECTION_SENTENCES_MIN,
    allocation::{Allocation, Run, SectionExtracts},
    corpus::{Corpus, SentenceRef, SourceId},
    wording,
};
use crate::{
    source::Document,
    text::{language::Language, sentence::rendered},
};

/// Where one sentence of a draft is copied from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The sentence as the draft shows it: the source's bytes with every run of white space as one
    /// space.
    pub text: String,
    /// The source.
    pub source: SourceId,
    /// First byte of the sentence in [`Document::text`].
    pub start: usize,
    /// First byte after it.
    pub end: usize,
}

/// A written section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// The id of the section in the outline.
    pub id: String,
    /// Markdown below the heading. Footnote labels are source ids until [`super::assemble`].
    pub content: String,
    /// Where every sentence is from, in reading order; empty if there was too little material.
    pub evidence: Vec<Evidence>,
}

/// Writes one section; `None` if the allocation has no section of that id.
///
/// A section with fewer than three sentences says so and lists the sources instead, except the
/// closing one, which has one sentence per section and is empty when there is none.
pub fn section(
    corpus: &Corpus,
    allocation: &Allocation,
    section_id: &str,
    language: Language,
) -> Option<Section> {
    let extracts = allocation.sections.iter().find(|extracts| extracts.id == section_id)?;
    if extracts.closing {
        return Some(closing(corpus, extracts));
    }
    if extracts.sentences_len() < SECTION_SENTENCES_MIN {
        return Some(too_little(corpus, extracts, language));
    }
    let mut quotations: Vec<String> = Vec::new();
    let mut proof = Vec::new();
    for run in &extracts.runs {
        let (text, found) = quotation(corpus, run);
        quotations.push(text);
        proof.extend(found);
    }
    Some(Section { id: extracts.id.clone(), content: quotations.join("\n\n"), evidence: proof })
}

/// The sentences of a run as one quotation, and where each is from.
pub(super) fn quotation(corpus: &Corpus, run: &Run) -> (String, Vec<Evidence>) {
    let mut text = String::from(">");
    let mut proof = Vec::new();
    for &sentence in &run.sentences {
        let Some(found) = evidence(corpus, &run.source, sentence) else { continue };
        text.push(' ');
        text.push_str(&found.text);
        text.push_str(&mark(&run.source));
        proof.push(found);
    }
    (text, proof)
}

fn closing(corpus: &Corpus, extracts: &SectionExtracts) -> Section {
    let mut lines = Vec::new();
    let mut proof = Vec::new();
    for point in &extracts.points {
        let Some(found) = evidence(corpus, &point.source, point.sentence) else { continue };
        lines.push(format!("- **{}**: {}{}", point.section, found.text, mark(&point.source)));
        proof.push(found);
    }
    Section { id: extracts.id.clone(), content: lines.join("\n"), evidence: proof }
}

fn too_little(corpus: &Corpus, extracts: &SectionExtracts, language: Language) -> Section {
    let links: Vec<String> = extracts
        .related
        .iter()
        .filter_map(|id| Some(format!("- {}", link(corpus.document(id)?))))
        .collect();
    let content = format!("{}\n\n{}", wording::of(language).too_little, links.join("\n"));
    Section { id: extracts.id.clone(), content, evidence: Vec::new() }
}

/// The evidence of a sentence; `None` if the reference is not of this corpus and source.
pub(super) fn evidence(
    corpus: &Corpus,
    source: &SourceId,
    sentence: SentenceRef,
) -> Option<Evidence> {
    let number = sentence.0 as usize;
    let entry = corpus.sentences.get(number)?;
    (corpus.sources.get(entry.source)?.id == *source).then(|| Evidence {
        text: rendered(corpus.sentence_text(number)),
        source: source.clone(),
        start: entry.range.start,
        end: entry.range.end,
    })
}

/// The footnote mark of a source in a draft.
pub(super) fn mark(source: &SourceId) -> String {
    format!("[^{source}]")
}

/// A source as a link if it has an address, else as its name.
pub(super) fn link(document: &Document) -> String {
    let name = document.title.as_deref().map(str::trim).filter(|title| !title.is_empty());
    let name = escaped(name.unwrap_or(&document.location));
    let address = &document.location;
    if is_web_address(address) { format!("[{name}](<{address}>)") } else { name }
}

/// A source in a footnote: title, then location.
pub(in crate::blogger) fn footnote(document: &Document) -> String {
    let location = if is_web_address(&document.location) {
        format!("<{}>", document.location)
    } else {
        escaped(&document.location)
    };
    match document.title.as_deref().map(str::trim).filter(|title| !title.is_empty()) {
        Some(title) => format!("{} — {location}", escaped(title)),
        None => location,
    }
}

/// Only addresses that Markdown can hold between angle brackets.
fn is_web_address(location: &str) -> bool {
    (location.starts_with("https://") || location.starts_with("http://"))
        && !location
            .contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>'))
}

/// One line whose marks mean nothing to Markdown: titles come from strangers.
pub(in crate::blogger) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in rendered(text).chars() {
        if matches!(character, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|') {
            shown.push('\\');
        }
        shown.push(character);
    }
    shown
}
