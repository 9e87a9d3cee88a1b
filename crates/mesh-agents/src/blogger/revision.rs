//! Changes that a person asks for after the draft: a text of their own, a section or a sentence
//! written again, another extract.
//!
//! A change is written into `revisions` together with a goto to `run_checks`, which sends each to
//! `revise_section`. What cannot be changed stays as it is, and says why: a refusal never ends the
//! run, because the post that is there is good.

use mesh_graph::{Arg, Ctx, NodeResult, View};
use serde_json::json;

use super::{
    deps::{Blogger, blocking},
    error::{BlogError, fail},
    extract, extractive, graph, research, revised,
    state::{
        Blog, BlogUpdate, Change, ChangeKind, Evidence, Generation, Refusal, Relation, Revision,
        RevisionJob, Section, newest,
    },
    writer,
};

/// Changes that are made in one round; more than an outline has sections is no use.
const REVISIONS_MAX: usize = super::plan::SECTIONS_MAX;
/// Characters of a section's text from a person.
const TEXT_CHARS_MAX: usize = 40_000;
/// Characters of an instruction.
const INSTRUCTION_CHARS_MAX: usize = 2_000;
/// Words that an exchanged quotation may have at least, however short the old one was.
const EXCHANGED_WORDS_MIN: usize = 60;

/// Who asked for this run, as the server knows them.
pub(super) fn person(ctx: &Ctx<Blogger>) -> Option<String> {
    let user = ctx.config().configurable.get("langgraph_auth_user_id")?.as_str()?;
    (!user.is_empty()).then(|| user.to_owned())
}

/// Now, as RFC 3339.
pub(super) fn now(ctx: &Ctx<Blogger>) -> String {
    jiff::Timestamp::from_millisecond(ctx.now_ms()).unwrap_or_default().to_string()
}

/// The tasks of the changes that are asked for. Of two changes of one section the last counts.
pub(super) fn jobs(blog: &View<Blog>) -> impl Iterator<Item = RevisionJob> {
    let asked = blog.revisions.iter().enumerate().filter(|(at, revision)| {
        blog.revisions[at + 1..].iter().all(|later| later.section() != revision.section())
    });
    asked.take(REVISIONS_MAX).map(|(_, revision)| {
        let id = revision.section();
        let others = blog.sections.iter().filter(|section| section.id != id);
        let others = others.filter_map(|section| newest(&blog.completed_sections, &section.id));
        let earlier = blog.completed_sections.iter().filter(|section| section.id == id);
        let elsewhere =
            others.chain(earlier).flat_map(|section| section.evidence.iter().cloned()).collect();
        let mut job = graph::jobs(blog, |section| section.id == id).next().unwrap_or_default();
        if let Some(written) = newest(&blog.completed_sections, id) {
            job.section = written.clone();
        }
        if job.section.id.is_empty() {
            // No section of that id: the task says so.
            id.clone_into(&mut job.section.id);
        }
        let mut versions = blog.completed_sections.iter().filter(|section| section.id == id);
        let earlier = match revision {
            Revision::Restore { version, .. } => versions.nth(*version).cloned(),
            _ => None,
        };
        RevisionJob { job, revision: Some(revision.clone()), elsewhere, earlier }
    })
}

/// Makes one change.
pub(super) async fn revise_section(
    Arg(job): Arg<RevisionJob>,
    ctx: Ctx<Blogger>,
) -> NodeResult<BlogUpdate> {
    let before = &job.job.section;
    ctx.emit(&json!({ "type": "section.started", "section": before.id, "name": before.name }))
        .await?;
    let (kind, instruction) = match &job.revision {
        Some(Revision::Rewrite { instruction, .. }) => {
            (ChangeKind::Rewritten, Some(instruction.trim().to_owned()))
        }
        Some(Revision::Exchange { .. }) => (ChangeKind::Exchanged, None),
        Some(Revision::Restore { .. }) => (ChangeKind::Restored, None),
        _ => (ChangeKind::Edited, None),
    };
    let made = match &job.revision {
        _ if before.name.is_empty() => Err(Refused::new("the outline has no such section")),
        Some(Revision::Text { text, .. }) => edit(&job, text, &ctx).await?,
        Some(Revision::Rewrite { sentence, instruction, .. }) => {
            rewrite(&job, sentence.as_deref(), instruction.trim(), &ctx).await?
        }
        Some(Revision::Exchange { sentence, .. }) => exchange(&job, sentence, &ctx).await?,
        Some(Revision::Restore { version, .. }) => job.earlier.clone().ok_or_else(|| {
            Refused::new(format!("the section has no version {version}, counted from 0"))
        }),
        None => Err(Refused::new("nothing is asked for")),
    };
    match made {
        Ok(mut section) => {
            section.change = Some(Change { kind, instruction, by: person(&ctx), at: now(&ctx) });
            let event = json!({
                "type": "section.done", "section": section.id, "name": section.name,
                "sentences": section.evidence.len(),
            });
            ctx.emit(&event).await?;
            Ok(Blog::update().push_completed_sections(section))
        }
        Err(Refused { reason }) => {
            let event =
                json!({ "type": "section.refused", "section": before.id, "reason": reason });
            ctx.emit(&event).await?;
            Ok(Blog::update().push_refusals(Refusal { section: before.id.clone(), reason }))
        }
    }
}

/// Why a change is not made.
struct Refused {
    reason: String,
}

impl Refused {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

type Made = Result<Section, Refused>;

/// A text of a person's own, with every sentence held against the sources.
async fn edit(job: &RevisionJob, text: &str, ctx: &Ctx<Blogger>) -> NodeResult<Made> {
    let characters = text.chars().count();
    if characters > TEXT_CHARS_MAX {
        let reason = format!("text: {characters} characters, expected at most {TEXT_CHARS_MAX}");
        return Ok(Err(Refused { reason }));
    }
    if let Some(heading) = revised::heading_too_high(text) {
        let reason =
            format!("text: `{heading}` is a heading of the post, expected level 3 or deeper");
        return Ok(Err(Refused { reason }));
    }
    let corpus = ctx.deps().corpus(&job.job.sources).await.map_err(fail)?;
    let (job, text) = (job.job.clone(), text.to_owned());
    let made = blocking(move || revised::section(&job, &text, &corpus)).await.map_err(fail)?;
    Ok(Ok(made))
}

/// A section, or one sentence of it, written again by the model.
async fn rewrite(
    job: &RevisionJob,
    sentence: Option<&str>,
    instruction: &str,
    ctx: &Ctx<Blogger>,
) -> NodeResult<Made> {
    let job = &job.job;
    if job.generation == Generation::Extractive {
        let reason = "this post is made of extracts: nothing in it can be reworded, only exchanged";
        return Ok(Err(Refused::new(reason)));
    }
    let characters = instruction.chars().count();
    if !(1..=INSTRUCTION_CHARS_MAX).contains(&characters) {
        let reason =
            format!("instruction: {characters} characters, expected 1 to {INSTRUCTION_CHARS_MAX}");
        return Ok(Err(Refused { reason }));
    }
    let place = match sentence.map(|sentence| revised::place_of(&job.section.content, sentence)) {
        Some(None) => return Ok(Err(Refused::new("the section has no such sentence any more"))),
        Some(place) => place,
        None => None,
    };
    let passages = if job.section.research {
        let corpus = ctx.deps().corpus(&job.sources).await.map_err(fail)?;
        research::passages(corpus, job, instruction).await.map_err(fail)?
    } else {
        Vec::new()
    };
    let asked = writer::Rewriting { instruction, sentence };
    let written = match writer::rewritten_section(job, &passages, &asked, ctx).await? {
        Ok(written) => written,
        Err(error @ (BlogError::Model { .. } | BlogError::Answer { .. } | BlogError::NoModel)) => {
            return Ok(Err(Refused { reason: told(&error) }));
        }
        Err(error) => return Err(fail(error)),
    };
    if written.content.trim().is_empty() {
        return Ok(Err(Refused::new("the model gave no text")));
    }
    let Some(place) = place else { return Ok(Ok(written)) };
    // The rest of the section stays byte for byte.
    let mut section = job.section.clone();
    section.content.replace_range(place, written.content.trim());
    let old = sentence.unwrap_or_default();
    section.evidence = replaced(&job.section.evidence, |it| it.sentence == old, written.evidence);
    Ok(Ok(section))
}

/// An error with its causes, for a person.
fn told(error: &BlogError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// The evidence with that of the new text where that of the old one stood.
fn replaced(
    evidence: &[Evidence],
    is_old: impl Fn(&Evidence) -> bool,
    new: Vec<Evidence>,
) -> Vec<Evidence> {
    let at = evidence.iter().position(&is_old).unwrap_or(evidence.len());
    let rest = evidence[at..].iter().filter(|it| !is_old(it)).cloned();
    evidence[..at].iter().cloned().chain(new).chain(rest).collect()
}

/// Another quotation instead of the one that holds this sentence.
async fn exchange(job: &RevisionJob, sentence: &str, ctx: &Ctx<Blogger>) -> NodeResult<Made> {
    let section = &job.job.section;
    if job.job.generation == Generation::Model {
        let reason = "this post is written by a model: a sentence is written again, not exchanged";
        return Ok(Err(Refused::new(reason)));
    }
    if !section.research {
        let reason = "this section repeats the others: an extract is exchanged where it stands";
        return Ok(Err(Refused::new(reason)));
    }
    let Some(block) = revised::block_of(&section.content, sentence) else {
        return Ok(Err(Refused::new("the section has no such sentence any more")));
    };
    let quoted = section.content[block.clone()].to_owned();
    let is_old = |it: &Evidence| {
        it.relation == Relation::Quoted && revised::place_of(&quoted, &it.sentence).is_some()
    };
    let places = section.evidence.iter().chain(&job.elsewhere);
    let taken = places.filter_map(|it| Some((it.source.clone()?, it.start))).collect();
    // Room for one quotation, however many sections share the words of the post.
    let words = quoted.split_whitespace().count().max(EXCHANGED_WORDS_MIN) * 2;
    let found = match extractive::another(&job.job, taken, words, ctx.deps()).await {
        Ok(found) => found,
        Err(BlogError::Extract(extract::Error::TooLittleMaterial { .. })) => None,
        Err(error) => return Err(fail(error)),
    };
    let Some((content, evidence)) = found else {
        return Ok(Err(Refused::new("the sources hold no other extract that fits this section")));
    };
    let mut made = section.clone();
    made.content.replace_range(block, &content);
    made.evidence = replaced(&section.evidence, is_old, evidence);
    Ok(Ok(made))
}
