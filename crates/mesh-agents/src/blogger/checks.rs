//! What every post is checked for, without a model.

use std::collections::BTreeMap;

use mesh_graph::{Ctx, NodeResult, View};
use serde_json::json;

use super::{
    deps::Blogger,
    error::{BlogError, fail},
    state::{Blog, BlogUpdate, Check, Evidence, Finding, Generation, Level, Passage, Relation},
    writer,
};

/// Share of the facts that need evidence.
const COVERAGE_MIN: f64 = 0.95;
/// Words that may be copied from one source whatever its length.
const COPIED_WORDS_MIN: usize = 300;
/// Share of a source's words that may be copied beyond that.
const COPIED_SHARE_MAX: f64 = 0.15;
/// Share of the evidence that may come from one source.
const ONE_SOURCE_MAX: f64 = 0.4;

/// Checks the draft and notes what it finds.
pub(super) async fn run_checks(blog: View<Blog>, ctx: Ctx<Blogger>) -> NodeResult<BlogUpdate> {
    let mut texts = BTreeMap::new();
    for source in blog.sources.iter() {
        let text = ctx.deps().shelf.get(&source.text).await.map_err(|error| {
            fail(BlogError::LostText { location: source.location.clone(), source: error })
        })?;
        texts.insert(source.id.clone(), text);
    }
    let mut findings = Vec::new();
    coverage(&blog.evidence, &mut findings);
    for evidence in blog.evidence.iter() {
        one_statement(evidence, &texts, &mut findings);
    }
    if blog.mode.generation == Generation::Extractive {
        copied(&blog, &texts, &mut findings);
    }
    for section in blog.sections.iter() {
        let written = blog.completed_sections.iter().find(|written| written.id == section.id);
        if section.research && written.is_none_or(|written| written.content.trim().is_empty()) {
            findings.push(Finding {
                check: Check::K10,
                level: Level::Blocking,
                section: Some(section.id.clone()),
                message: format!("the section \"{}\" is empty", section.name),
            });
        }
    }
    diversity(&blog, &mut findings);
    for finding in &findings {
        ctx.emit(&json!({ "type": "check.finding", "finding": finding })).await?;
    }
    Ok(Blog::update().findings(findings))
}

fn coverage(evidence: &[Evidence], findings: &mut Vec<Finding>) {
    let unsupported =
        evidence.iter().filter(|evidence| evidence.relation == Relation::Unsupported).count();
    let mut facts: Vec<&str> = evidence.iter().map(|evidence| &*evidence.sentence).collect();
    facts.dedup();
    let covered = 1.0 - unsupported as f64 / facts.len().max(1) as f64;
    if unsupported > 0 {
        findings.push(Finding {
            check: Check::K01,
            level: if covered < COVERAGE_MIN { Level::Blocking } else { Level::Warning },
            section: None,
            message: format!("{unsupported} of {} facts have no source", facts.len()),
        });
    }
}

fn one_statement(
    evidence: &Evidence,
    texts: &BTreeMap<String, std::sync::Arc<str>>,
    findings: &mut Vec<Finding>,
) {
    let Some(source) = &evidence.source else { return };
    let passage = texts.get(source).and_then(|text| text.get(evidence.start..evidence.end));
    let found = match evidence.relation {
        Relation::Quoted => (!passage
            .is_some_and(|passage| writer::contains(passage, &evidence.sentence)))
        .then(|| (Check::K02, "these words are not in their source".to_owned())),
        Relation::Supported => {
            let cited = Passage {
                id: String::new(),
                source: source.clone(),
                start: evidence.start,
                end: evidence.end,
                heading: String::new(),
                text: passage.unwrap_or_default().to_owned(),
            };
            writer::missing_number(&evidence.sentence, &[&cited])
                .map(|number| (Check::K03, format!("`{number}` is not in its source")))
        }
        Relation::Unsupported => None,
    };
    if let Some((check, reason)) = found {
        findings.push(Finding {
            check,
            level: Level::Blocking,
            section: None,
            message: format!("{reason}: \"{}\"", evidence.sentence),
        });
    }
}

fn copied(
    blog: &View<Blog>,
    texts: &BTreeMap<String, std::sync::Arc<str>>,
    findings: &mut Vec<Finding>,
) {
    let mut words: BTreeMap<&str, usize> = BTreeMap::new();
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for evidence in blog.evidence.iter() {
        if let Some(source) = evidence.source.as_deref()
            && !counted.contains(&(source, evidence.start))
        {
            counted.push((source, evidence.start));
            *words.entry(source).or_default() += evidence.sentence.split_whitespace().count();
        }
    }
    for (source, copied) in words {
        let all = texts.get(source).map_or(0, |text| text.split_whitespace().count());
        let allowed = COPIED_WORDS_MIN.max((all as f64 * COPIED_SHARE_MAX) as usize);
        if copied > allowed {
            findings.push(Finding {
                check: Check::K09,
                level: Level::Blocking,
                section: None,
                message: format!(
                    "{copied} words are copied from {}, expected at most {allowed}",
                    location(blog, source)
                ),
            });
        }
    }
}

fn diversity(blog: &View<Blog>, findings: &mut Vec<Finding>) {
    let mut by_source: BTreeMap<&str, usize> = BTreeMap::new();
    for source in blog.evidence.iter().filter_map(|evidence| evidence.source.as_deref()) {
        *by_source.entry(source).or_default() += 1;
    }
    let all: usize = by_source.values().sum();
    if let Some((source, most)) = by_source.iter().max_by_key(|(_, count)| **count)
        && *most as f64 > all as f64 * ONE_SOURCE_MAX
    {
        findings.push(Finding {
            check: Check::K17,
            level: Level::Warning,
            section: None,
            message: format!("{most} of {all} statements come from {}", location(blog, source)),
        });
    }
}

/// Where a source was found: its id means nothing to a reader.
fn location<'a>(blog: &'a View<Blog>, id: &'a str) -> &'a str {
    blog.sources.iter().find(|source| source.id == id).map_or(id, |source| &source.location)
}
