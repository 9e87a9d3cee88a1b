//! Joining the sections to a post, and the post's front matter.

use std::fmt::Write;

use mesh_graph::{Ctx, NodeResult, View};

use super::{
    deps::Blogger,
    error::{BlogError, fail},
    extract::{SourceId, escaped, footnote, number_footnotes},
    extractive,
    revised::without_flags,
    state::{Blog, BlogUpdate, Check, Evidence, Generation, Level, Relation, Source, newest},
    writer::MARK,
};

/// Unread sources that a post names.
const PROBLEMS_SHOWN: usize = 10;

/// Joins the sections in order of the outline.
pub(super) async fn assemble(blog: View<Blog>, ctx: Ctx<Blogger>) -> NodeResult<BlogUpdate> {
    let banner = banner(&blog, ctx.deps());
    let (draft, evidence) = match blog.mode.generation {
        Generation::Extractive => {
            extractive::assemble(&blog, &banner, ctx.deps()).await.map_err(fail)?
        }
        Generation::Model => written(&blog, &banner).map_err(fail)?,
    };
    let update = Blog::update().draft(draft).evidence(evidence);
    // What was asked for is made now.
    Ok(if blog.revisions.is_empty() { update } else { update.revisions(Vec::new()) })
}

/// One line under the title that says how the post was made.
fn banner(blog: &View<Blog>, deps: &Blogger) -> String {
    let mode = &blog.mode;
    let handbook = mode.handbook.as_deref().map(|why| format!(" Here {why}.")).unwrap_or_default();
    if let (Generation::Model, Some(models)) = (mode.generation, &deps.models) {
        return format!(
            "> **Written by a model** (`{}`), because {}. Footnotes lead to the sources.{handbook}",
            models.executor.model.info().name,
            mode.reason,
        );
    }
    let own = blog.sections.iter().any(|planned| {
        newest(&blog.completed_sections, &planned.id).is_some_and(|section| {
            section.evidence.iter().any(|it| it.relation == Relation::Unsupported)
        })
    });
    let own = if own { " A person added sentences of their own." } else { "" };
    format!(
        "> **Extracts**, because {}. No model wrote this: every quoted sentence is copied word for \
         word from the source that its mark leads to.{own}{handbook}",
        mode.reason,
    )
}

fn written(blog: &View<Blog>, banner: &str) -> Result<(String, Vec<Evidence>), BlogError> {
    let mut body = String::new();
    let mut evidence = Vec::new();
    for planned in blog.sections.iter() {
        let Some(section) = newest(&blog.completed_sections, &planned.id) else { continue };
        let _ = write!(body, "## {}\n\n{}\n\n", planned.name, section.content.trim());
        evidence.extend(section.evidence.iter().cloned());
    }
    // Two sections may have read one page: it is one source of the post.
    let first_of = |source: &Source| {
        blog.sources.iter().find(|other| other.location == source.location).map(|s| s.id.clone())
    };
    for source in blog.sources.iter() {
        if let Some(first) = first_of(source).filter(|first| *first != source.id) {
            body = body.replace(&format!("[^{MARK}{}]", source.id), &format!("[^{MARK}{first}]"));
        }
    }
    let known = blog
        .sources
        .iter()
        .map(|source| SourceId::new(format!("{MARK}{}", source.id)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(BlogError::SourceId)?;
    let numbered = number_footnotes(&body, &known);
    let mut draft = format!("# {}\n\n{banner}\n\n{}\n\n", blog.title, numbered.markdown.trim_end());
    for (at, id) in numbered.cited.iter().enumerate() {
        let id = id.as_str().strip_prefix(MARK);
        if let Some(source) = blog.sources.iter().find(|source| Some(&*source.id) == id) {
            let shown = footnote(&source.document(std::sync::Arc::from("")));
            let _ = writeln!(draft, "[^{}]: {shown}", at + 1);
        }
    }
    Ok((draft, evidence))
}

/// Puts the front matter in front, and what could not be read at the end.
pub(super) async fn compile_final_blog(
    blog: View<Blog>,
    _: Ctx<Blogger>,
) -> NodeResult<BlogUpdate> {
    let generation = match blog.mode.generation {
        Generation::Extractive => "extractive",
        Generation::Model => "model",
    };
    let open = || blog.findings.iter().filter(|finding| finding.accepted.is_none());
    let blocking = open().filter(|finding| finding.level == Level::Blocking).count();
    let accepted = blog.findings.len() - open().count();
    let mut post = String::from("---\n");
    let mut field = |name: &str, value: &str| {
        // A JSON string is a YAML string, whatever it holds.
        let _ = writeln!(post, "{name}: {}", serde_json::Value::from(value));
    };
    field("title", &blog.title);
    field("language", &blog.language);
    field("generation", generation);
    field("generation_reason", &blog.mode.reason);
    if let Some(handbook) = &blog.mode.handbook {
        field("sources_reason", handbook);
    }
    let _ = writeln!(post, "sources_read: {}", blog.sources.len());
    let _ = writeln!(post, "checks_blocking: {blocking}");
    let _ = writeln!(post, "checks_warning: {}", open().count() - blocking);
    if accepted > 0 {
        let _ = writeln!(post, "checks_accepted: {accepted}");
    }
    // Whoever accepts statements without a source does not want each of them to say so.
    let unmarked = blog.findings.iter().any(|it| it.check == Check::K01 && it.accepted.is_some());
    let draft = if unmarked { without_flags(&blog.draft) } else { blog.draft.to_string() };
    let _ = write!(post, "---\n\n{}\n", draft.trim_end());
    if !blog.problems.is_empty() {
        post.push_str("\n---\n\nNot read:\n\n");
        for problem in blog.problems.iter().take(PROBLEMS_SHOWN) {
            let (subject, reason) = (escaped(&problem.subject), escaped(&problem.reason));
            let _ = writeln!(post, "- {subject}: {reason}");
        }
        if blog.problems.len() > PROBLEMS_SHOWN {
            let _ = writeln!(post, "- and {} more", blog.problems.len() - PROBLEMS_SHOWN);
        }
    }
    Ok(Blog::update().final_blog(post))
}
