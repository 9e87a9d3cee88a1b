//! The nodes that research and write one section.

use std::sync::Arc;

use mesh_graph::{Caught, Ctx, NodeError, NodeResult, Retryable, View};
use mesh_model::{ChatRequest, Message, structured_with};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    collect::{self, Gathered},
    deps::{Blogger, blocking},
    error::{BlogError, NO_SEARCH, fail},
    extract, extractive, prompts,
    state::{Generation, Passage, Research, ResearchUpdate, Section, SectionJob, Source},
    writer,
};
use crate::{source::Problem, tokens::Tokens};

/// Tokens of passages that one section is written from, estimated.
const PASSAGE_TOKENS_MAX: usize = 3_000;
/// How much of them one source may give.
const SHARE_PER_SOURCE: f64 = 0.4;
/// Pages that one section reads.
const PAGES_PER_SECTION: usize = 6;
/// Characters of one query.
const QUERY_CHARS_MAX: usize = 200;

/// The planner's answer for one section.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Queries {
    /// Web searches, as one would type them.
    queries: Vec<String>,
}

/// Decides what to search for. Extracts need nothing: their sources were read before the outline.
pub(super) async fn generate_queries(
    research: View<Research>,
    ctx: Ctx<Blogger>,
) -> NodeResult<ResearchUpdate> {
    let job = &research.job;
    ctx.emit(&json!({
        "type": "section.started", "section": job.section.id, "name": job.section.name,
    }))
    .await?;
    let deps = ctx.deps();
    let searches = job.request.sources.search && !deps.search.is_empty();
    let models = deps.models.as_ref().filter(|_| job.generation == Generation::Model && searches);
    let Some(models) = models else { return Ok(Research::update()) };
    let planner = &models.planner;
    let wanted = deps.queries;
    let request = ChatRequest::new(vec![
        Message::system(prompts::PLANNER),
        Message::user(prompts::queries(job, wanted)),
    ])
    .temperature(planner.temperature)
    .max_tokens(planner.max_tokens)
    .reply_id(ctx.info().task_id.to_string());
    let tokens = Tokens::new(&ctx, &*planner.model);
    let asked = structured_with::<Queries>(
        &*planner.model,
        request,
        "search_queries",
        |answer| {
            if answer.queries.iter().any(|query| !query.trim().is_empty()) {
                return Vec::new();
            }
            vec![mesh_model::Problem::new("/queries", "must hold at least one query")]
        },
        tokens.observer(),
    );
    // A slot is held while the model works, not while a slow reader takes its tokens.
    let asked = async {
        let _slot = deps.slots.acquire().await;
        asked.await
    };
    let answer =
        tokens.forward(asked).await?.map_err(BlogError::asking("the queries")).map_err(fail)?;
    let queries = answer
        .value
        .queries
        .iter()
        .map(|query| query.trim().chars().take(QUERY_CHARS_MAX).collect::<String>())
        .filter(|query| !query.is_empty())
        .take(wanted)
        .collect();
    Ok(Research::update().queries(queries))
}

/// Searches, and chooses the pages to read. A search that failed is a problem beside the others;
/// when none was answered, the node failed, so that it is tried again.
pub(super) async fn search_web(
    research: View<Research>,
    ctx: Ctx<Blogger>,
) -> NodeResult<ResearchUpdate> {
    if research.queries.is_empty() {
        return Ok(Research::update());
    }
    let wanted = &research.job.request.sources;
    let found = collect::search(&ctx, wanted, &research.queries, PAGES_PER_SECTION).await?;
    if !found.answered && !found.problems.is_empty() {
        let again = if found.passing { Retryable::Yes } else { Retryable::No };
        return Err(fail(BlogError::NoSearch { problems: found.problems }).retryable(again));
    }
    let known =
        |url: &url::Url| research.job.sources.iter().any(|source| source.location == url.as_str());
    let pages = found.pages.into_iter().filter(|url| !known(url)).collect();
    Ok(Research::update().pages(pages).extend_problems(found.problems))
}

/// Notes that no search was answered, attempt after attempt: the section is written from what was
/// read before, and the post says so. Other errors stay errors.
pub(super) async fn search_failed(
    research: View<Research>,
    caught: Caught,
    _: Ctx<Blogger>,
) -> NodeResult<ResearchUpdate> {
    let failure = caught.failure;
    if failure.code.as_deref() != Some(NO_SEARCH) {
        return Err(NodeError::msg(failure.message));
    }
    let subject = format!("searches for {}", research.job.section.name);
    Ok(Research::update().push_problems(Problem { subject, reason: failure.message }))
}

/// Reads the chosen pages.
pub(super) async fn fetch(
    research: View<Research>,
    ctx: Ctx<Blogger>,
) -> NodeResult<ResearchUpdate> {
    if research.pages.is_empty() {
        return Ok(Research::update());
    }
    // The limit of pages is the whole post's: every researched section gets an equal part of what
    // the named pages left of it.
    let job = &research.job;
    let sections = job.outline.iter().filter(|section| section.research).count().max(1);
    let left = ctx.deps().pages_max.saturating_sub(job.request.sources.urls.len());
    let mut share = left / sections;
    let mut gathered = Gathered::default();
    let wanted = &job.request.sources;
    collect::fetch_pages(&ctx, wanted, research.pages.clone(), &mut share, &mut gathered).await?;
    let prefix = format!("{}-", research.job.section.id);
    let sources = collect::shelve(&ctx, &prefix, gathered.documents).await?;
    Ok(Research::update().extend_sources(sources).extend_problems(gathered.problems))
}

/// Chooses the passages that a model may write from. Extracts were allocated with the outline.
pub(super) async fn select_passages(
    research: View<Research>,
    ctx: Ctx<Blogger>,
) -> NodeResult<ResearchUpdate> {
    let job = &research.job;
    if job.generation == Generation::Extractive {
        return Ok(Research::update());
    }
    let sources: Vec<Source> = job.sources.iter().chain(research.sources.iter()).cloned().collect();
    let corpus = ctx.deps().corpus(&sources).await.map_err(fail)?;
    let passages = passages(corpus, job, "").await.map_err(fail)?;
    ctx.emit(&json!({
        "type": "section.passages", "section": job.section.id, "passages": passages.len(),
    }))
    .await?;
    Ok(Research::update().passages(passages))
}

/// The passages that a section is written from, best first; words of `also` count, too.
pub(super) async fn passages(
    corpus: Arc<extract::Corpus>,
    job: &SectionJob,
    also: &str,
) -> Result<Vec<Passage>, BlogError> {
    let Section { name, description, .. } = &job.section;
    let query = format!("{name} {description} {} {also}", job.request.topic);
    blocking(move || {
        extract::select_passages(&corpus, query.trim_end(), PASSAGE_TOKENS_MAX, SHARE_PER_SOURCE)
            .into_iter()
            .filter_map(|passage| corpus.passage(passage))
            .enumerate()
            .map(|(at, view)| Passage {
                id: format!("p{}", at + 1),
                source: view.source.to_string(),
                start: view.range.start,
                end: view.range.end,
                heading: view.heading_path.join(" › "),
                text: view.text.to_owned(),
            })
            .collect()
    })
    .await
}

/// Writes the section.
pub(super) async fn write_section(
    research: View<Research>,
    ctx: Ctx<Blogger>,
) -> NodeResult<ResearchUpdate> {
    let job = &research.job;
    let section = match job.generation {
        Generation::Extractive => extractive::section(job, ctx.deps()).await.map_err(fail)?,
        Generation::Model => writer::researched_section(job, &research.passages, &ctx).await?,
    };
    ctx.emit(&json!({
        "type": "section.done", "section": section.id, "name": section.name,
        "sentences": section.evidence.len(),
    }))
    .await?;
    Ok(Research::update().section(section))
}
