//! What every post is checked for, without a model.

use std::collections::{BTreeMap, BTreeSet};

use mesh_graph::{Ctx, NodeResult, View};
use serde_json::json;

use super::{
    deps::Blogger,
    error::{BlogError, fail},
    revision::{now, person},
    state::{
        Acceptance, Accepted, Blog, BlogUpdate, Check, Evidence, Finding, Generation, Level,
        Passage, Relation, newest,
    },
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
/// Statements without a source that a finding quotes.
const NAMED_MAX: usize = 5;
/// Characters of a reason that are kept.
const REASON_CHARS_MAX: usize = 500;

/// Checks the draft and notes what it finds. Where changes are asked for, they come first.
pub(super) async fn run_checks(blog: View<Blog>, ctx: Ctx<Blogger>) -> NodeResult<BlogUpdate> {
    if !blog.revisions.is_empty() {
        return Ok(Blog::update().set_refusals(Vec::new()));
    }
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
        quotation(evidence, &texts, &mut findings);
    }
    numbers(&blog.evidence, &texts, &mut findings);
    if blog.mode.generation == Generation::Extractive {
        copied(&blog, &texts, &mut findings);
    }
    for section in blog.sections.iter() {
        let written = newest(&blog.completed_sections, &section.id);
        // Extracts may have nothing to sum up; a model was asked for every section.
        let needed = section.research || blog.mode.generation == Generation::Model;
        if needed && written.is_none_or(|written| written.content.trim().is_empty()) {
            findings.push(Finding {
                check: Check::K10,
                level: Level::Blocking,
                section: Some(section.id.clone()),
                message: format!("the section \"{}\" is empty", section.name),
                accepted: None,
            });
        }
    }
    diversity(&blog, &mut findings);
    accept(&blog, &ctx, &mut findings);
    for finding in &findings {
        ctx.emit(&json!({ "type": "check.finding", "finding": finding })).await?;
    }
    let update = Blog::update().findings(findings);
    Ok(if blog.accepting.is_empty() { update } else { update.accepting(Vec::new()) })
}

/// Notes what a person accepted: what stands with the findings of before, and what is said now.
fn accept(blog: &View<Blog>, ctx: &Ctx<Blogger>, findings: &mut [Finding]) {
    for finding in findings {
        let is_same = |check, section: &Option<String>, message: &str| {
            check == finding.check && *section == finding.section && message == finding.message
        };
        let said = blog
            .accepting
            .iter()
            .rev()
            .find(|said| is_same(said.check, &said.section, &said.message));
        let before = || blog.findings.iter().find(|it| is_same(it.check, &it.section, &it.message));
        finding.accepted = match said {
            None => before().and_then(|finding| finding.accepted.clone()),
            Some(Acceptance { reason, .. }) => {
                let reason = reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
                reason.map(|reason| Accepted {
                    reason: reason.chars().take(REASON_CHARS_MAX).collect(),
                    by: person(ctx),
                    at: now(ctx),
                })
            }
        };
    }
}

fn coverage(evidence: &[Evidence], findings: &mut Vec<Finding>) {
    let facts: BTreeSet<&str> = evidence.iter().map(|evidence| &*evidence.sentence).collect();
    let mut unsupported: Vec<&str> = Vec::new();
    for it in evidence.iter().filter(|it| it.relation == Relation::Unsupported) {
        if !unsupported.contains(&&*it.sentence) {
            unsupported.push(&it.sentence);
        }
    }
    let covered = 1.0 - unsupported.len() as f64 / facts.len().max(1) as f64;
    if !unsupported.is_empty() {
        let mut named: Vec<String> =
            unsupported.iter().take(NAMED_MAX).map(|sentence| format!("\"{sentence}\"")).collect();
        if unsupported.len() > NAMED_MAX {
            named.push(format!("and {} more", unsupported.len() - NAMED_MAX));
        }
        findings.push(Finding {
            check: Check::K01,
            level: if covered < COVERAGE_MIN { Level::Blocking } else { Level::Warning },
            section: None,
            message: format!(
                "{} of {} facts {} no source: {}",
                unsupported.len(),
                facts.len(),
                if unsupported.len() == 1 { "has" } else { "have" },
                named.join(", ")
            ),
            accepted: None,
        });
    }
}

type Texts = BTreeMap<String, std::sync::Arc<str>>;

/// The passage of a source that a statement rests on.
fn passage<'a>(evidence: &Evidence, texts: &'a Texts) -> &'a str {
    let text = evidence.source.as_ref().and_then(|source| texts.get(source));
    text.and_then(|text| text.get(evidence.start..evidence.end)).unwrap_or_default()
}

/// K02: quoted words stand in their source.
fn quotation(evidence: &Evidence, texts: &Texts, findings: &mut Vec<Finding>) {
    if evidence.relation == Relation::Quoted
        && !writer::contains(passage(evidence, texts), &evidence.sentence)
    {
        findings.push(Finding {
            check: Check::K02,
            level: Level::Blocking,
            section: None,
            message: format!("these words are not in their source: \"{}\"", evidence.sentence),
            accepted: None,
        });
    }
}

/// K03: every number of a statement stands in one of the passages that support it.
fn numbers(evidence: &[Evidence], texts: &Texts, findings: &mut Vec<Finding>) {
    let mut cited: BTreeMap<&str, Vec<Passage>> = BTreeMap::new();
    for evidence in evidence.iter().filter(|e| e.relation == Relation::Supported) {
        cited.entry(&evidence.sentence).or_default().push(Passage {
            id: String::new(),
            source: evidence.source.clone().unwrap_or_default(),
            start: evidence.start,
            end: evidence.end,
            heading: String::new(),
            text: passage(evidence, texts).to_owned(),
        });
    }
    for (sentence, passages) in cited {
        let passages: Vec<&Passage> = passages.iter().collect();
        if let Some(number) = writer::missing_number(sentence, &passages) {
            findings.push(Finding {
                check: Check::K03,
                level: Level::Blocking,
                section: None,
                message: format!("`{number}` is not in its sources: \"{sentence}\""),
                accepted: None,
            });
        }
    }
}

fn copied(blog: &View<Blog>, texts: &Texts, findings: &mut Vec<Finding>) {
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
                accepted: None,
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
            accepted: None,
        });
    }
}

/// Where a source was found: its id means nothing to a reader.
fn location<'a>(blog: &'a View<Blog>, id: &'a str) -> &'a str {
    blog.sources.iter().find(|source| source.id == id).map_or(id, |source| &source.location)
}
