//! The outline: from the headings of the sources, or from the planner.

use mesh_graph::{Ctx, NodeResult, View};
use mesh_model::{ChatRequest, Message, Problem, structured_with};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    deps::Blogger,
    error::{BlogError, fail},
    extractive, prompts,
    state::{Blog, BlogUpdate, Generation, Section},
};
use crate::text::language::Language;
use crate::tokens::Tokens;

/// Sections that an outline may have.
pub const SECTIONS_MAX: usize = 12;
/// Characters of a title and of a section's name.
const NAME_CHARS_MAX: usize = 120;
/// Characters of a section's description.
const DESCRIPTION_CHARS_MAX: usize = 600;

/// The planner's answer.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct PlannedPost {
    /// Title of the post, at most 60 characters if possible.
    title: String,
    /// The sections in reading order.
    sections: Vec<PlannedSection>,
}

/// One section of the planner's answer.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct PlannedSection {
    /// Heading of the section.
    name: String,
    /// What the section covers, in one or two sentences.
    description: String,
    /// Whether facts have to be looked up for it. Introduction and conclusion: false.
    research: bool,
}

/// Makes the outline.
pub(super) async fn generate_blog_plan(
    blog: View<Blog>,
    ctx: Ctx<Blogger>,
) -> NodeResult<BlogUpdate> {
    let (title, language, sections) = match blog.mode.generation {
        Generation::Extractive => {
            let outline = extractive::outline(&blog.request, &blog.sources, ctx.deps())
                .await
                .map_err(fail)?;
            let sections = outline
                .sections
                .into_iter()
                .map(|section| Section {
                    id: section.id,
                    name: section.name,
                    description: section.description,
                    research: section.research,
                    ..Section::default()
                })
                .collect();
            (outline.title, outline.language.tag().to_owned(), sections)
        }
        Generation::Model => {
            let (title, sections) = plan_with_model(&blog, &ctx).await?;
            let detected = || Language::detect(&blog.request.topic).tag().to_owned();
            (title, blog.request.language.clone().unwrap_or_else(detected), sections)
        }
    };
    let names: Vec<&str> = sections.iter().map(|section: &Section| &*section.name).collect();
    ctx.emit(&json!({ "type": "outline.ready", "title": title, "sections": names })).await?;
    Ok(Blog::update().title(title).language(language).sections(sections))
}

async fn plan_with_model(
    blog: &View<Blog>,
    ctx: &Ctx<Blogger>,
) -> NodeResult<(String, Vec<Section>)> {
    let Some(models) = &ctx.deps().models else { return Err(fail(BlogError::NoModel)) };
    let planner = &models.planner;
    let messages = vec![
        Message::system(prompts::PLANNER),
        Message::user(prompts::plan(&blog.request, &blog.sources, &ctx.deps().structure)),
    ];
    let request = ChatRequest::new(messages)
        .temperature(planner.temperature)
        .max_tokens(planner.max_tokens)
        .reply_id(ctx.info().task_id.to_string());
    let tokens = Tokens::new(ctx, &*planner.model);
    let asked = structured_with::<PlannedPost>(
        &*planner.model,
        request,
        "blog_plan",
        check,
        tokens.observer(),
    );
    let plan =
        tokens.forward(asked).await?.map_err(BlogError::asking("the outline")).map_err(fail)?;
    let sections = plan
        .value
        .sections
        .into_iter()
        .enumerate()
        .map(|(at, section)| Section {
            id: format!("s{}", at + 1),
            name: section.name.trim().to_owned(),
            description: section.description.trim().to_owned(),
            research: section.research,
            ..Section::default()
        })
        .collect();
    Ok((plan.value.title.trim().to_owned(), sections))
}

/// What a plan must be besides fitting its schema. An empty one passes: the graph says what that
/// means.
fn check(plan: &PlannedPost) -> Vec<Problem> {
    let mut problems = Vec::new();
    let one_line = |text: &str| {
        (1..=NAME_CHARS_MAX).contains(&text.trim().chars().count()) && !text.trim().contains('\n')
    };
    let expected = format!("must be one line of 1 to {NAME_CHARS_MAX} characters");
    if !one_line(&plan.title) {
        problems.push(Problem::new("/title", expected.clone()));
    }
    if plan.sections.len() > SECTIONS_MAX {
        problems.push(Problem::new(
            "/sections",
            format!("has {} sections, expected at most {SECTIONS_MAX}", plan.sections.len()),
        ));
    }
    for (at, section) in plan.sections.iter().enumerate() {
        if !one_line(&section.name) {
            problems.push(Problem::new(format!("/sections/{at}/name"), expected.clone()));
        }
        if section.description.chars().count() > DESCRIPTION_CHARS_MAX {
            problems.push(Problem::new(
                format!("/sections/{at}/description"),
                format!("must have at most {DESCRIPTION_CHARS_MAX} characters"),
            ));
        }
    }
    problems
}
