//! Extract mode as the graph's nodes call it: the steps of [`super::extract`] on stored sources.

use mesh_graph::View;

use super::{
    deps::{Blogger, blocking},
    error::BlogError,
    extract::{self, Outline, OutlineSection},
    request::Request,
    state::{Blog, Evidence, Relation, Section, SectionJob, Source, newest},
};
use crate::text::language::Language;

/// The request as extraction sees it.
fn request(request: &Request) -> extract::Request {
    extract::Request {
        topic: request.topic.trim().to_owned(),
        must_cover: request.must_cover.clone(),
        sections: Vec::new(),
        words: request.words.target,
        language: request.language.as_deref().map(Language::from_tag),
    }
}

/// The outline of extracts, from the headings of the sources.
pub(super) async fn outline(
    asked: &Request,
    sources: &[Source],
    deps: &Blogger,
) -> Result<Outline, BlogError> {
    let corpus = deps.corpus(sources).await?;
    let request = request(asked);
    Ok(blocking(move || extract::outline(&corpus, &request)).await??)
}

/// The outline again, from what the state holds of it.
fn outline_of(title: &str, language: &str, sections: &[Section]) -> Outline {
    Outline {
        title: title.to_owned(),
        language: Language::from_tag(language),
        sections: sections
            .iter()
            .map(|section| OutlineSection {
                id: section.id.clone(),
                name: section.name.clone(),
                description: section.description.clone(),
                research: section.research,
            })
            .collect(),
    }
}

/// Writes one section of extracts.
pub(super) async fn section(job: &SectionJob, deps: &Blogger) -> Result<Section, BlogError> {
    let outline = outline_of(&job.title, &job.language, &job.outline);
    let (corpus, allocation) =
        deps.allocation(&job.sources, &outline, &request(&job.request)).await?;
    let written = extract::section(&corpus, &allocation, &job.section.id, outline.language);
    let mut section = job.section.clone();
    if let Some(written) = written {
        section.content = written.content;
        section.evidence = written.evidence.into_iter().map(quoted).collect();
    }
    Ok(section)
}

/// The text of a post of extracts, and where every sentence of it comes from.
pub(super) async fn assemble(
    blog: &View<Blog>,
    banner: &str,
    deps: &Blogger,
) -> Result<(String, Vec<Evidence>), BlogError> {
    let outline = outline_of(&blog.title, &blog.language, &blog.sections);
    let (corpus, allocation) =
        deps.allocation(&blog.sources, &outline, &request(&blog.request)).await?;
    let written = || {
        let newest = |planned: &Section| newest(&blog.completed_sections, &planned.id);
        let written = blog.sections.iter().filter_map(newest);
        written.filter(|section| !section.content.trim().is_empty())
    };
    let sections: Vec<extract::Section> = written()
        .map(|section| extract::Section {
            id: section.id.clone(),
            content: section.content.clone(),
            evidence: section.evidence.iter().filter_map(as_extract).collect(),
        })
        .collect();
    let appendices = extract::appendices(&corpus, &allocation, outline.language);
    let post = extract::assemble(&corpus, &outline, &sections, &appendices, banner);
    // The sections' own evidence, because it may hold statements that nothing supports.
    let own = written().flat_map(|section| section.evidence.iter().cloned());
    let closing = appendices.iter().filter(|appendix| !appendix.content.trim().is_empty());
    let closing = closing.flat_map(|appendix| appendix.evidence.iter().cloned().map(quoted));
    Ok((post.markdown, own.chain(closing).collect()))
}

/// Another quotation for a section, instead of `words` words of it: none of `taken`, which are
/// places in sources that the post quotes already or that were turned down.
pub(super) async fn another(
    job: &SectionJob,
    taken: Vec<(String, usize)>,
    words: usize,
    deps: &Blogger,
) -> Result<Option<(String, Vec<Evidence>)>, BlogError> {
    let corpus = deps.corpus(&job.sources).await?;
    let asked = extract::Request { words, ..request(&job.request) };
    let outline = outline_of(&job.title, &job.language, std::slice::from_ref(&job.section));
    let found = blocking(move || extract::another(&corpus, &outline, &asked, &taken)).await?;
    Ok(found.map(|found| (found.content, found.evidence.into_iter().map(quoted).collect())))
}

fn quoted(evidence: extract::Evidence) -> Evidence {
    Evidence {
        sentence: evidence.text,
        relation: Relation::Quoted,
        source: Some(evidence.source.into()),
        start: evidence.start,
        end: evidence.end,
    }
}

fn as_extract(evidence: &Evidence) -> Option<extract::Evidence> {
    Some(extract::Evidence {
        text: evidence.sentence.clone(),
        source: extract::SourceId::new(evidence.source.as_deref()?).ok()?,
        start: evidence.start,
        end: evidence.end,
    })
}
