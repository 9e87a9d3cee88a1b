//! The whole post: title, banner, first paragraph, sections, closing parts, footnotes.

use super::{
    closing::Appendix,
    corpus::{Corpus, SourceId},
    outline::Outline,
    section::{Evidence, Section, footnote},
    wording,
};

/// A finished post without front matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// CommonMark with footnotes and tables.
    pub markdown: String,
    /// Sources that are cited: the first has footnote 1.
    pub cited: Vec<SourceId>,
    /// Where every sentence is from, in reading order.
    pub evidence: Vec<Evidence>,
}

/// A draft whose footnotes have numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedFootnotes {
    /// The draft with `[^1]`, `[^2]` … in order of first use.
    pub markdown: String,
    /// The source behind each number, from 1.
    pub cited: Vec<SourceId>,
}

/// Joins what was written, in the order of the outline.
///
/// `sections` may come in any order; one that is missing or empty is left out with its heading.
/// `banner` is the notice that no model wrote this, as one line of Markdown, shown under the title.
pub fn assemble(
    corpus: &Corpus,
    outline: &Outline,
    sections: &[Section],
    appendices: &[Appendix],
    banner: &str,
) -> Post {
    let mut parts: Vec<String> = Vec::new();
    let mut evidence: Vec<Evidence> = Vec::new();
    for planned in &outline.sections {
        let written = sections.iter().find(|section| section.id == planned.id);
        if let Some(section) = written.filter(|section| !section.content.trim().is_empty()) {
            parts.push(format!("## {}\n\n{}", planned.name, section.content.trim()));
            evidence.extend(section.evidence.iter().cloned());
        }
    }
    for appendix in appendices.iter().filter(|appendix| !appendix.content.trim().is_empty()) {
        parts.push(format!("## {}\n\n{}", appendix.name, appendix.content.trim()));
        evidence.extend(appendix.evidence.iter().cloned());
    }
    let known: Vec<SourceId> = corpus.sources().map(|(id, _)| id.clone()).collect();
    let NumberedFootnotes { markdown: body, cited } = number_footnotes(&parts.join("\n\n"), &known);

    let mut months: Vec<String> = cited
        .iter()
        .filter_map(|id| corpus.document(id)?.published)
        .map(|date| format!("{:04}-{:02}", date.year(), date.month()))
        .collect();
    months.sort_unstable();
    let dates =
        months.first().zip(months.last()).map(|(first, last)| (first.as_str(), last.as_str()));
    let opening = wording::of(outline.language).first_paragraph(&outline.title, cited.len(), dates);

    let mut pieces = vec![format!("# {}", outline.title)];
    pieces.extend(Some(banner.trim().to_owned()).filter(|banner| !banner.is_empty()));
    pieces.push(opening);
    pieces.push(body);
    let footnotes: Vec<String> = cited
        .iter()
        .enumerate()
        .filter_map(|(at, id)| Some(format!("[^{}]: {}", at + 1, footnote(corpus.document(id)?))))
        .collect();
    pieces.push(footnotes.join("\n"));
    pieces.retain(|piece| !piece.is_empty());
    let markdown = format!("{}\n", pieces.join("\n\n"));
    Post { markdown, cited, evidence }
}

/// Replaces footnote marks that name a source by numbers in order of first use. Marks that name
/// none of `known` stay as they are.
pub fn number_footnotes(draft: &str, known: &[SourceId]) -> NumberedFootnotes {
    let mut cited: Vec<SourceId> = Vec::new();
    let mut markdown = String::with_capacity(draft.len());
    let mut rest = draft;
    while let Some(open) = rest.find("[^") {
        let (before, from) = rest.split_at(open);
        markdown.push_str(before);
        let label = from.find(']').and_then(|close| from.get(2..close));
        let cites = label.and_then(|label| known.iter().find(|id| id.as_str() == label));
        let Some(id) = cites else {
            markdown.push_str("[^");
            rest = &from[2..];
            continue;
        };
        let number = cited.iter().position(|other| other == id).unwrap_or_else(|| {
            cited.push(id.clone());
            cited.len() - 1
        });
        markdown.push_str("[^");
        markdown.push_str(&(number + 1).to_string());
        markdown.push(']');
        rest = &from[2 + id.as_str().len() + 1..];
    }
    markdown.push_str(rest);
    NumberedFootnotes { markdown, cited }
}
