//! Another quotation for a section, after somebody turned one down.

use super::{
    allocation::{self, SectionExtracts},
    corpus::{Corpus, SourceId},
    outline::{Outline, Request},
    section::{Section, quotation},
    topic::Topic,
};

/// The best quotation that the first section of `outline` does not have yet, of about
/// `request.words` words at most.
///
/// `taken` are places that are not to be quoted again: a source's id and the first byte of the
/// sentence in its text. `None` if nothing else fits the section.
pub fn another(
    corpus: &Corpus,
    outline: &Outline,
    request: &Request,
    taken: &[(String, usize)],
) -> Option<Section> {
    let planned = outline.sections.first()?;
    let mut topic =
        Topic::new(corpus, &Request { language: Some(outline.language), ..request.clone() });
    topic.sentences.retain(|&number| {
        corpus.sentences.get(number).is_some_and(|sentence| {
            let id = corpus.sources.get(sentence.source).map(|source| &source.id);
            let is_taken = |(source, start): &(String, usize)| {
                *start == sentence.range.start && id.map(SourceId::as_str) == Some(source.as_str())
            };
            !taken.iter().any(is_taken)
        })
    });
    let allocation = allocation::allocate_for(corpus, &topic, outline, request);
    let SectionExtracts { runs, .. } = allocation.sections.into_iter().next()?;
    let (content, evidence) = quotation(corpus, runs.first()?);
    (!evidence.is_empty()).then(|| Section { id: planned.id.clone(), content, evidence })
}
