//! The blogger's two graphs.
//!
//! Outer: `validate → collect_sources → generate_blog_plan → build_section_with_web_research ×n →
//! gather_completed_sections → write_final_sections ×m → assemble → run_checks →
//! compile_final_blog`, and back from `run_checks` over `revise_section ×k` to `assemble` while a
//! person asks for changes. A plan without sections fails, one without researched sections goes to
//! `gather_completed_sections` at once, one without open sections from there to `assemble`.
//! Sections are numbered, so the post has them in order of the outline whatever finishes first.

use std::fmt::Write;

use mesh_graph::{
    Arg, CompileError, Compiled, Ctx, END, Graph, NodeResult, Retry, Route, START, Then, View,
};
use serde_json::json;

use super::{
    checks, collect,
    deps::Blogger,
    error::{BlogError, fail},
    extractive, plan, post,
    request::Mode,
    research, review, revision,
    state::{Blog, BlogUpdate, Generation, Method, Research, Section, SectionJob, newest},
    writer,
};

/// The blogger, ready for `app(Blogger)`.
///
/// # Errors
/// [`CompileError`] would be a mistake in this crate.
pub fn graph() -> Result<Compiled<Blog, Blogger>, CompileError> {
    build(false)
}

/// The blogger that asks a person about its outline: `approve_plan` stands behind
/// `generate_blog_plan` and is answered by a [`super::PlanDecision`]. Such a run needs a
/// checkpointer to go on.
///
/// # Errors
/// [`CompileError`] would be a mistake in this crate.
pub fn reviewed_graph() -> Result<Compiled<Blog, Blogger>, CompileError> {
    build(true)
}

fn build(reviewed: bool) -> Result<Compiled<Blog, Blogger>, CompileError> {
    let research = research_graph()?;
    let mut graph = Graph::<Blog, Blogger>::new("blogger");
    let validate = graph.node("validate", validate).id();
    let collect = graph.node("collect_sources", collect::collect_sources).id();
    let plan = graph.node("generate_blog_plan", plan::generate_blog_plan).id();
    let empty = graph.node("fail", empty_plan).id();
    let section = graph
        .mount_send(
            "build_section_with_web_research",
            &research,
            |job: &SectionJob| Research::update().job(job.clone()),
            |written| {
                let mut update = Blog::update().push_completed_sections(written.section.clone());
                if !written.sources.is_empty() {
                    update = update.extend_sources(written.sources.iter().cloned());
                }
                if !written.problems.is_empty() {
                    update = update.extend_problems(written.problems.iter().cloned());
                }
                update
            },
        )
        .id();
    let gather = graph.node("gather_completed_sections", gather_completed_sections).id();
    let finals = graph.node("write_final_sections", write_final_sections).id();
    let assemble = graph.node("assemble", post::assemble).id();
    let checks = graph.node("run_checks", checks::run_checks).id();
    let compile = graph.node("compile_final_blog", post::compile_final_blog).id();

    graph.edge(START, &validate).edge(&validate, &collect).edge(&collect, &plan);
    let planned = if reviewed {
        let approve = graph.node("approve_plan", review::approve_plan).id();
        graph.edge(&plan, &approve);
        approve
    } else {
        plan
    };
    let (to_gather, to_fail, to_section) = (gather.clone(), empty.clone(), section.clone());
    graph
        .route(&planned, move |blog| {
            if blog.sections.is_empty() {
                return Route::from(&to_fail);
            }
            let jobs: Vec<_> = jobs(blog, |section| section.research)
                .map(|job| mesh_graph::Send::to(&to_section, job))
                .collect();
            if jobs.is_empty() { Route::from(&to_gather) } else { Route::from(jobs) }
        })
        .targets([empty.name(), gather.name(), section.name()]);
    graph.edge(&section, &gather);
    graph
        .fan_out(&gather, &finals, |blog| jobs(blog, |section| !section.research).collect())
        .if_empty(&assemble);
    graph.edge(&finals, &assemble).edge(&assemble, &checks);
    let revise = graph.node("revise_section", revision::revise_section).id();
    let (to_revise, to_compile) = (revise.clone(), compile.clone());
    graph
        .route(&checks, move |blog| {
            let jobs: Vec<_> =
                revision::jobs(blog).map(|job| mesh_graph::Send::to(&to_revise, job)).collect();
            if jobs.is_empty() { Route::from(&to_compile) } else { Route::from(jobs) }
        })
        .targets([revise.name(), compile.name()]);
    graph.edge(&revise, &assemble).edge(&compile, END);
    graph.compile()
}

fn research_graph() -> Result<Compiled<Research, Blogger>, CompileError> {
    let mut graph = Graph::<Research, Blogger>::new("build_section_with_web_research");
    let queries = graph.node("generate_queries", research::generate_queries).id();
    let search = graph
        .node("search_web", research::search_web)
        .retry(Retry::default())
        .on_error(research::search_failed, Then::Follow)
        .id();
    let fetch = graph.node("fetch", research::fetch).id();
    let select = graph.node("select_passages", research::select_passages).id();
    let write = graph.node("write_section", research::write_section).id();
    graph.edge(START, &queries).sequence([&queries, &search, &fetch, &select, &write]);
    graph.edge(&write, END);
    graph.compile()
}

/// The tasks of the sections that `wanted` says.
pub(super) fn jobs(
    blog: &View<Blog>,
    wanted: impl Fn(&Section) -> bool,
) -> impl Iterator<Item = SectionJob> {
    blog.sections.iter().filter(move |section| wanted(section)).map(|section| SectionJob {
        section: section.clone(),
        request: blog.request.clone(),
        generation: blog.mode.generation,
        title: blog.title.clone(),
        language: blog.language.clone(),
        outline: blog.sections.clone(),
        sources: blog.sources.clone(),
        digest: blog.digest.clone(),
    })
}

/// Checks the request and decides how the post is made, and says so before anything else happens.
async fn validate(blog: View<Blog>, ctx: Ctx<Blogger>) -> NodeResult<BlogUpdate> {
    blog.request.check().map_err(fail)?;
    let method = method(&blog, ctx.deps()).map_err(fail)?;
    ctx.emit(&json!({
        "type": "run.mode",
        "mode": method.generation,
        "reason": method.reason,
        "handbook": method.handbook,
    }))
    .await?;
    let mut update = Blog::update().mode(method);
    // A later turn of one thread is a post of its own: what the turn before read and wrote goes.
    if !blog.sources.is_empty() {
        update = update.set_sources(Vec::new());
    }
    if !blog.problems.is_empty() {
        update = update.set_problems(Vec::new());
    }
    if !blog.completed_sections.is_empty() {
        update = update.set_completed_sections(Vec::new());
    }
    if !blog.findings.is_empty() {
        update = update.findings(Vec::new());
    }
    if !blog.refusals.is_empty() {
        update = update.set_refusals(Vec::new());
    }
    Ok(update)
}

fn method(blog: &View<Blog>, deps: &Blogger) -> Result<Method, BlogError> {
    let (generation, reason) = match (blog.request.mode, &deps.models) {
        (Mode::Model, None) => return Err(BlogError::NoModel),
        (Mode::Model, Some(_)) => (Generation::Model, "the request asks for a model"),
        (Mode::Extractive, _) => (Generation::Extractive, "the request asks for extracts"),
        (Mode::Auto, Some(_)) => (Generation::Model, "a model is configured"),
        (Mode::Auto, None) => (Generation::Extractive, "no model is configured"),
    };
    let wanted = &blog.request.sources;
    let searches = wanted.search && !deps.search.is_empty();
    let material = searches
        || !wanted.urls.is_empty()
        || !wanted.notes.is_empty()
        || !deps.collections.is_empty();
    let handbook = (!material).then(|| {
        "no search provider, page, folder or note was given, so the source is the built-in handbook"
            .to_owned()
    });
    Ok(Method { generation, reason: reason.to_owned(), handbook })
}

async fn empty_plan(_: View<Blog>, _: Ctx<Blogger>) -> NodeResult<()> {
    Err(fail(BlogError::EmptyPlan))
}

/// Puts the researched sections in order of the outline, for those that are written after them.
async fn gather_completed_sections(blog: View<Blog>, _: Ctx<Blogger>) -> NodeResult<BlogUpdate> {
    let mut digest = String::new();
    for section in blog.sections.iter().filter(|section| section.research) {
        if let Some(written) = newest(&blog.completed_sections, &section.id) {
            let _ = write!(digest, "## {}\n\n{}\n\n", section.name, written.content.trim());
        }
    }
    Ok(Blog::update().digest(digest.trim_end()))
}

/// Writes one section that needs no research: an introduction, a conclusion.
async fn write_final_sections(
    Arg(job): Arg<SectionJob>,
    ctx: Ctx<Blogger>,
) -> NodeResult<BlogUpdate> {
    let section = match job.generation {
        Generation::Extractive => extractive::section(&job, ctx.deps()).await.map_err(fail)?,
        Generation::Model => writer::final_section(&job, &ctx).await?,
    };
    ctx.emit(&json!({
        "type": "section.done", "section": section.id, "name": section.name,
        "sentences": section.evidence.len(), "empty": section.content.trim().is_empty(),
    }))
    .await?;
    Ok(Blog::update().push_completed_sections(section))
}
