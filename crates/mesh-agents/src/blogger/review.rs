//! A person's say on the outline, before anything is written.

use mesh_graph::{Ctx, NodeResult, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    deps::Blogger,
    state::{Blog, BlogUpdate, Section},
};

/// The answer to the question that `approve_plan` asks. It is checked before anything runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PlanDecision {
    /// The outline is good.
    Approve,
    /// This outline is better.
    Edit {
        /// Another title; none keeps the one there is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1, max = 120))]
        title: Option<String>,
        /// The sections in reading order.
        #[schemars(length(min = 1, max = 12))]
        sections: Vec<EditedSection>,
    },
}

/// A section of an edited outline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EditedSection {
    /// Its heading: one line.
    #[schemars(length(min = 1, max = 120), regex(pattern = r"^[^\n]*\S[^\n]*$"))]
    pub name: String,
    /// What it covers.
    #[serde(default)]
    #[schemars(length(max = 600))]
    pub description: String,
    /// Whether facts have to be looked up for it.
    #[serde(default)]
    pub research: bool,
}

/// Asks whether the outline is good: `{"type": "plan", "title", "sections": [{"name",
/// "description", "research"}]}`, answered by a [`PlanDecision`].
pub(super) async fn approve_plan(blog: View<Blog>, ctx: Ctx<Blogger>) -> NodeResult<BlogUpdate> {
    let sections: Vec<EditedSection> = blog
        .sections
        .iter()
        .map(|section| EditedSection {
            name: section.name.clone(),
            description: section.description.clone(),
            research: section.research,
        })
        .collect();
    let question = json!({ "type": "plan", "title": *blog.title, "sections": sections });
    match ctx.interrupt_checked::<PlanDecision>("plan", &question)? {
        PlanDecision::Approve => Ok(Blog::update()),
        PlanDecision::Edit { title, sections } => {
            let sections = sections.into_iter().zip(1..).map(|(section, number)| Section {
                id: format!("s{number}"),
                name: section.name.trim().to_owned(),
                description: section.description.trim().to_owned(),
                research: section.research,
                ..Section::default()
            });
            let update = Blog::update().sections(sections.collect());
            Ok(match title {
                Some(title) => update.title(title.trim()),
                None => update,
            })
        }
    }
}
