//! Reading what a post is made from, before it is planned.
//!
//! Order is fixed: collections, pages, notes, search results. A source that fails is a problem in
//! the state and a line at the end of the post, never the end of the run.

use std::sync::Arc;

use futures::{StreamExt, stream};
use mesh_graph::{Ctx, NodeResult, View};
use serde_json::json;
use url::Url;

use super::{
    deps::Blogger,
    error::{BlogError, fail},
    request::{Request, Sources},
    state::{Blog, BlogUpdate, Generation, Source},
};
use crate::source::{Document, FetchedBy, Problem, SourceError, address_of};

/// Pages that are fetched at once for one step.
const FETCH_WIDTH: usize = 4;
/// Hits that one search may give.
const HITS_MAX: usize = 10;

/// What one step read.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) documents: Vec<Document>,
    pub(super) problems: Vec<Problem>,
}

/// What one step's searches gave.
#[derive(Default)]
pub(super) struct Found {
    /// The pages to read, best first.
    pub(super) pages: Vec<Url>,
    /// Searches that failed.
    pub(super) problems: Vec<Problem>,
    /// Whether some search was answered, be it without a hit.
    pub(super) answered: bool,
    /// Whether a search that failed may be answered next time.
    pub(super) passing: bool,
}

/// Reads everything that the outline may be made from.
pub(super) async fn collect_sources(blog: View<Blog>, ctx: Ctx<Blogger>) -> NodeResult<BlogUpdate> {
    let deps = ctx.deps();
    let request = &blog.request;
    let wanted = &request.sources;
    let mut gathered = Gathered::default();
    let handbook = blog.mode.handbook.is_some().then_some(&deps.handbook);
    let collections: Vec<_> = deps.collections.iter().chain(handbook).collect();
    let question = query(request);
    // What was named one by one comes before what a collection holds.
    let named = (wanted.urls.len() + wanted.notes.len()).min(wanted.max);
    let share = (wanted.max - named).div_ceil(collections.len().max(1));
    for collection in collections {
        // What is left out makes room for the next best.
        let share = share.max(1);
        match collection.read(&question, share + wanted.exclude.len()).await {
            Ok(mut collected) => {
                collected.documents.retain(|document| !wanted.leaves_out(&document.location));
                collected.documents.truncate(share);
                let chosen = collected.documents.len();
                let considered = collected.considered;
                ctx.emit(&json!({
                    "type": "source.collection", "name": collection.name(),
                    "considered": considered, "chosen": chosen,
                }))
                .await?;
                gathered.documents.extend(collected.documents);
                gathered.problems.extend(collected.problems);
            }
            Err(error) => gathered.problems.push(error.into_problem(collection.name())),
        }
    }
    let mut pages_left = deps.pages_max;
    fetch_pages(&ctx, wanted, wanted.urls.clone(), &mut pages_left, &mut gathered).await?;
    let notes = wanted.notes.iter().enumerate().map(note);
    gathered.documents.extend(notes.filter(|note| !wanted.leaves_out(&note.location)));
    // An outline of extracts comes from the sources, so they have to be found before it; a model
    // plans first, and each section searches for itself.
    if blog.mode.generation == Generation::Extractive {
        let mut queries = vec![request.topic.trim().to_owned()];
        queries.extend(request.must_cover.iter().map(|point| point.trim().to_owned()));
        let left = wanted.max.saturating_sub(gathered.documents.len()).min(pages_left);
        let found = search(&ctx, wanted, &queries, left).await?;
        gathered.problems.extend(found.problems);
        fetch_pages(&ctx, wanted, found.pages, &mut pages_left, &mut gathered).await?;
    }
    for document in gathered.documents.split_off(wanted.max.min(gathered.documents.len())) {
        gathered.problems.push(Problem {
            subject: document.location,
            reason: format!("over the limit: {} documents per post", wanted.max),
        });
    }
    if gathered.documents.is_empty() && blog.mode.generation == Generation::Extractive {
        return Err(fail(BlogError::NoSources { problems: gathered.problems }));
    }
    let sources = shelve(&ctx, "", gathered.documents).await?;
    Ok(Blog::update().extend_sources(sources).extend_problems(gathered.problems))
}

/// The words that a post's sources have to fit.
pub(super) fn query(request: &Request) -> String {
    let mut query = request.topic.trim().to_owned();
    for point in &request.must_cover {
        query.push(' ');
        query.push_str(point.trim());
    }
    query
}

fn note((at, text): (usize, &String)) -> Document {
    Document {
        location: format!("note {}", at + 1),
        fetched_by: FetchedBy::Note,
        title: None,
        author: None,
        published: None,
        media_type: "text/markdown".to_owned(),
        text: Arc::from(text.as_str()),
        bytes_hash: address_of(text),
    }
}

/// Asks every provider every query, and gives the pages by merged rank: a page that several lists
/// name early comes first.
pub(super) async fn search(
    ctx: &Ctx<Blogger>,
    wanted: &Sources,
    queries: &[String],
    pages_max: usize,
) -> NodeResult<Found> {
    /// Damping of reciprocal rank fusion, as published with the method.
    const RANK_OFFSET: f64 = 60.0;
    let deps = ctx.deps();
    if !wanted.search || pages_max == 0 {
        return Ok(Found::default());
    }
    let mut found = Found::default();
    let mut pages: Vec<(Url, f64)> = Vec::new();
    for provider in &deps.search {
        for query in queries {
            match provider.search(query, HITS_MAX).await {
                Ok(hits) => {
                    found.answered = true;
                    ctx.emit(&json!({
                        "type": "source.found", "provider": provider.name(),
                        "query": query, "hits": hits.len(),
                    }))
                    .await?;
                    for (rank, hit) in hits.into_iter().enumerate() {
                        if hit.url.host_str().is_some_and(|host| wanted.excludes(host))
                            || wanted.leaves_out(hit.url.as_str())
                        {
                            continue;
                        }
                        let score = 1.0 / (RANK_OFFSET + rank as f64 + 1.0);
                        match pages.iter_mut().find(|(url, _)| *url == hit.url) {
                            Some((_, sum)) => *sum += score,
                            None => pages.push((hit.url, score)),
                        }
                    }
                }
                Err(error) => {
                    found.passing |= error.passes();
                    let subject = format!("{}: {query}", provider.name());
                    found.problems.push(error.into_problem(subject));
                }
            }
        }
    }
    pages.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.as_str().cmp(b.0.as_str())));
    found.pages = pages.into_iter().map(|(url, _)| url).take(pages_max).collect();
    Ok(found)
}

/// Reads pages, several at once, and keeps them in the order given.
///
/// `pages_left` is what the post may still fetch; it goes down by what is asked for here.
pub(super) async fn fetch_pages(
    ctx: &Ctx<Blogger>,
    wanted: &Sources,
    mut urls: Vec<Url>,
    pages_left: &mut usize,
    gathered: &mut Gathered,
) -> NodeResult<()> {
    let Some(fetch) = ctx.deps().fetch.clone() else {
        gathered.problems.extend(urls.into_iter().map(|url| Problem {
            subject: url.to_string(),
            reason: "pages cannot be read: no page reader is configured".to_owned(),
        }));
        return Ok(());
    };
    for url in urls.split_off((*pages_left).min(urls.len())) {
        let reason = format!("over the limit: {} pages per post", ctx.deps().pages_max);
        gathered.problems.push(Problem { subject: url.to_string(), reason });
    }
    *pages_left -= urls.len();
    let mut pages = stream::iter(urls)
        .map(|url| {
            let fetch = Arc::clone(&fetch);
            async move {
                let fetched = fetch.fetch(&url).await;
                (url, fetched)
            }
        })
        .buffered(FETCH_WIDTH);
    while let Some((url, fetched)) = pages.next().await {
        // A redirect may lead to a host or a page that the request leaves out.
        let refusal = |location: &str| {
            let landed = Url::parse(location).ok();
            if landed.as_ref().and_then(Url::host_str).is_some_and(|host| wanted.excludes(host)) {
                return Some("the request leaves out this host");
            }
            wanted.leaves_out(location).then_some("the request leaves out this page")
        };
        let fetched = fetched.and_then(|document| {
            match refusal(url.as_str()).or_else(|| refusal(&document.location)) {
                Some(reason) => Err(SourceError::Refused { reason: reason.to_owned() }),
                None => Ok(document),
            }
        });
        match fetched {
            Ok(document) => {
                ctx.emit(&json!({
                    "type": "source.fetched", "location": document.location,
                    "title": document.title,
                }))
                .await?;
                gathered.documents.push(document);
            }
            Err(error) => {
                let problem = error.into_problem(url.to_string());
                ctx.emit(&json!({
                    "type": "source.skipped", "location": problem.subject,
                    "reason": problem.reason,
                }))
                .await?;
                gathered.problems.push(problem);
            }
        }
    }
    Ok(())
}

/// Puts texts on the shelf and names the sources: `1`, `2` …, after `prefix`.
pub(super) async fn shelve(
    ctx: &Ctx<Blogger>,
    prefix: &str,
    documents: Vec<Document>,
) -> NodeResult<Vec<Source>> {
    let mut sources: Vec<Source> = Vec::with_capacity(documents.len());
    for document in documents {
        if sources.iter().any(|known| known.location == document.location) {
            continue;
        }
        let text = ctx
            .deps()
            .shelf
            .put(&document.text)
            .await
            .map_err(|error| fail(BlogError::Shelf(error)))?;
        sources.push(Source::of(format!("{prefix}{}", sources.len() + 1), &document, text));
    }
    Ok(sources)
}
