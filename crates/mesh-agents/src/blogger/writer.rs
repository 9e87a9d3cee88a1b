//! Sections written by a model: sentences with evidence, checked where they enter.

use std::fmt::Write;

use mesh_graph::{Ctx, NodeResult};
use mesh_model::{ChatRequest, Message, Problem, StructuredError, structured_with};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    deps::{Blogger, Role},
    error::{BlogError, fail},
    prompts,
    state::{Evidence, Passage, Relation, Section, SectionJob},
};
use crate::tokens::Tokens;

/// Begins the label of a mark that stands for evidence, until the post numbers them. Labels that a
/// model or a piece of code writes cannot be taken for one.
pub(super) const MARK: &str = "source-";

/// Follows a statement that nothing supports.
pub(super) const FLAG: &str = " *(no source)*";

/// The writer's answer.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
struct WrittenSection {
    /// The section's blocks in reading order.
    blocks: Vec<Block>,
}

/// One block of a section.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Block {
    /// What it is.
    form: Form,
    /// Its sentences; for a list one per item, for a quote the quoted words.
    #[serde(default)]
    sentences: Vec<Sentence>,
    /// Rows of a table, the head first.
    #[serde(default)]
    rows: Vec<Vec<String>>,
    /// Text of a code block.
    #[serde(default)]
    code: String,
    /// Language of a code block.
    #[serde(default)]
    language: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Form {
    Paragraph,
    List,
    Quote,
    Table,
    Code,
}

/// One sentence.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Sentence {
    /// The sentence, with inline Markdown.
    text: String,
    /// What it claims.
    kind: Claim,
    /// Ids of the passages that support it, such as `p1`.
    #[serde(default)]
    evidence: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Claim {
    Fact,
    Opinion,
    Transition,
}

fn request(role: &Role, ctx: &Ctx<Blogger>, system: &str, user: String) -> ChatRequest {
    ChatRequest::new(vec![Message::system(system), Message::user(user)])
        .temperature(role.temperature)
        .max_tokens(role.max_tokens)
        .reply_id(ctx.info().task_id.to_string())
}

/// Writes a section from its passages.
///
/// A model that cannot keep to the form is not the end of the post: its last answer is taken as it
/// is, and every statement without evidence is marked.
pub(super) async fn researched_section(
    job: &SectionJob,
    passages: &[Passage],
    ctx: &Ctx<Blogger>,
) -> NodeResult<Section> {
    let deps = ctx.deps();
    let Some(models) = &deps.models else { return Err(fail(BlogError::NoModel)) };
    let role = &models.executor;
    let asked = request(role, ctx, prompts::WRITER, prompts::section(job, passages));
    let tokens = Tokens::new(ctx, &*role.model);
    let call = structured_with::<WrittenSection>(
        &*role.model,
        asked,
        "section",
        |written| problems(written, passages),
        tokens.observer(),
    );
    // A slot is held while the model works, not while a slow reader takes its tokens.
    let call = async {
        let _slot = deps.slots.acquire().await;
        call.await
    };
    let written = match tokens.forward(call).await? {
        Ok(answer) => answer.value,
        Err(StructuredError::Unusable { text, json, .. }) => {
            json.and_then(|json| serde_json::from_value(json).ok()).unwrap_or_else(|| plain(&text))
        }
        Err(error) => return Err(fail(BlogError::asking("a section")(error))),
    };
    Ok(render(&job.section, &written, passages))
}

/// Writes a section from the finished ones.
pub(super) async fn final_section(job: &SectionJob, ctx: &Ctx<Blogger>) -> NodeResult<Section> {
    let deps = ctx.deps();
    let Some(models) = &deps.models else { return Err(fail(BlogError::NoModel)) };
    let role = &models.executor;
    let asked = request(role, ctx, prompts::CLOSER, prompts::closing(job));
    let tokens = Tokens::new(ctx, &*role.model);
    let mut observe = tokens.observer();
    let call = async {
        let _slot = deps.slots.acquire().await;
        role.model.complete_observed(asked, &mut |delta| observe(0, delta)).await
    };
    let reply = tokens.forward(call).await?.map_err(|source| {
        fail(BlogError::Model { task: "a final section", source: Box::new(source) })
    })?;
    let mut section = job.section.clone();
    section.content = unmarked(without_heading(&reply.text()));
    Ok(section)
}

/// What a person asks of the model.
pub(super) struct Rewriting<'a> {
    /// What is to be different.
    pub(super) instruction: &'a str,
    /// The one sentence to write again; none for the whole section.
    pub(super) sentence: Option<&'a str>,
}

/// Writes a section, or one sentence of it, again. The result holds the new text alone.
///
/// The outer error ends the run; the inner one is the model's, and leaves the section as it is.
pub(super) async fn rewritten_section(
    job: &SectionJob,
    passages: &[Passage],
    asked: &Rewriting<'_>,
    ctx: &Ctx<Blogger>,
) -> NodeResult<Result<Section, BlogError>> {
    let deps = ctx.deps();
    let Some(models) = &deps.models else { return Ok(Err(BlogError::NoModel)) };
    let role = &models.executor;
    let planned = Section {
        content: String::new(),
        evidence: Vec::new(),
        change: None,
        ..job.section.clone()
    };
    let change = prompts::change(&job.section, asked.instruction, asked.sentence);
    let tokens = Tokens::new(ctx, &*role.model);
    if !job.section.research {
        let prompt = format!("{}\n\n{change}", prompts::closing(job));
        let request = request(role, ctx, prompts::CLOSER, prompt);
        let mut observe = tokens.observer();
        let call = async {
            let _slot = deps.slots.acquire().await;
            role.model.complete_observed(request, &mut |delta| observe(0, delta)).await
        };
        return Ok(match tokens.forward(call).await? {
            Ok(reply) => {
                Ok(Section { content: unmarked(without_heading(&reply.text())), ..planned })
            }
            Err(source) => {
                Err(BlogError::Model { task: "a final section", source: Box::new(source) })
            }
        });
    }
    let prompt = format!("{}\n{change}", prompts::section(job, passages));
    let call = structured_with::<WrittenSection>(
        &*role.model,
        request(role, ctx, prompts::WRITER, prompt),
        "section",
        |written| problems(written, passages),
        tokens.observer(),
    );
    let call = async {
        let _slot = deps.slots.acquire().await;
        call.await
    };
    let mut written = match tokens.forward(call).await? {
        Ok(answer) => answer.value,
        Err(StructuredError::Unusable { text, json, .. }) => {
            json.and_then(|json| serde_json::from_value(json).ok()).unwrap_or_else(|| plain(&text))
        }
        Err(error) => return Ok(Err(BlogError::asking("a section")(error))),
    };
    if asked.sentence.is_some() {
        // It takes the place of a sentence inside a block.
        written.blocks.truncate(1);
        for block in written.blocks.iter_mut().filter(|block| block.form != Form::Quote) {
            block.form = Form::Paragraph;
        }
    }
    let mut section = render(&planned, &written, passages);
    if asked.sentence.is_some()
        && let Some(bare) = section.content.strip_prefix("> ")
    {
        section.content = bare.to_owned();
    }
    Ok(Ok(section))
}

/// What a written section must be besides fitting its schema. The messages are read by the model.
fn problems(written: &WrittenSection, passages: &[Passage]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if written.blocks.is_empty() {
        problems.push(Problem::new("/blocks", "must hold at least one block"));
    }
    // Without passages no fact can have evidence, and asking again changes nothing.
    if passages.is_empty() {
        return problems;
    }
    for (at, block) in written.blocks.iter().enumerate() {
        for (position, sentence) in block.sentences.iter().enumerate() {
            let place = format!("/blocks/{at}/sentences/{position}");
            let cited: Vec<&Passage> = sentence
                .evidence
                .iter()
                .filter_map(|id| passages.iter().find(|passage| passage.id == *id))
                .collect();
            if let Some(unknown) =
                sentence.evidence.iter().find(|id| passages.iter().all(|p| p.id != **id))
            {
                let message =
                    format!("`{unknown}` is no passage; they are p1 to p{}", passages.len());
                problems.push(Problem::new(format!("{place}/evidence"), message));
            }
            if sentence.kind == Claim::Fact && cited.is_empty() {
                problems.push(Problem::new(
                    format!("{place}/evidence"),
                    "a fact needs the id of a passage that says so; leave the sentence out otherwise",
                ));
                continue;
            }
            if block.form == Form::Quote && !cited.iter().any(|p| contains(&p.text, &sentence.text))
            {
                problems.push(Problem::new(
                    format!("{place}/text"),
                    "a quote has to be copied word for word from its passage",
                ));
            }
            if sentence.kind == Claim::Fact
                && let Some(number) = missing_number(&sentence.text, &cited)
            {
                problems.push(Problem::new(
                    format!("{place}/text"),
                    format!("`{number}` does not occur in the cited passages"),
                ));
            }
        }
    }
    problems
}

/// An answer that is no JSON, as paragraphs whose statements nothing supports.
fn plain(text: &str) -> WrittenSection {
    let blocks = without_heading(text)
        .split("\n\n")
        .map(str::trim)
        .filter(|paragraph| !paragraph.is_empty())
        .map(|paragraph| Block {
            form: Form::Paragraph,
            sentences: vec![Sentence {
                text: paragraph.to_owned(),
                kind: Claim::Fact,
                evidence: Vec::new(),
            }],
            rows: Vec::new(),
            code: String::new(),
            language: String::new(),
        })
        .collect();
    WrittenSection { blocks }
}

/// The text without headings of its own at the top: the outline has given it one.
fn without_heading(text: &str) -> &str {
    let mut rest = text.trim();
    while is_heading(rest) {
        rest = rest.split_once('\n').map_or("", |(_, below)| below).trim_start();
    }
    rest
}

/// Whether the text begins with an ATX heading; `#1 reason` is none.
fn is_heading(text: &str) -> bool {
    let rest = text.trim_start_matches('#');
    (1..=6).contains(&(text.len() - rest.len()))
        && (rest.is_empty() || rest.starts_with([' ', '\n']))
}

/// Text of a model without footnote marks of its own: only marks that stand for evidence count.
fn unmarked(text: &str) -> String {
    text.replace("[^", "\\[^")
}

/// Markdown with a footnote after every supported sentence, and the evidence beside it.
fn render(planned: &Section, written: &WrittenSection, passages: &[Passage]) -> Section {
    let mut evidence = Vec::new();
    let mut blocks = Vec::new();
    for block in &written.blocks {
        let sentences: Vec<String> = block
            .sentences
            .iter()
            // Code says nothing: what a model claims beside it has no place in the text.
            .filter(|sentence| block.form != Form::Code && !sentence.text.trim().is_empty())
            .map(|sentence| marked(sentence, block.form, passages, &mut evidence))
            .collect();
        let text = match block.form {
            Form::Quote if quoted(block, passages) => format!("> {}", sentences.join(" ")),
            // Words that are in no cited passage are no quotation, whatever the model calls them.
            Form::Paragraph | Form::Quote => sentences.join(" "),
            Form::List => {
                sentences.iter().map(|item| format!("- {item}")).collect::<Vec<_>>().join("\n")
            }
            Form::Table => {
                let supported =
                    block.sentences.iter().any(|sentence| !sentence.evidence.is_empty());
                if !block.rows.is_empty() && !supported {
                    evidence.push(unsupported("a table".to_owned()));
                }
                join_rows(&block.rows, &sentences)
            }
            Form::Code => fenced(block),
        };
        if !text.trim().is_empty() {
            blocks.push(text);
        }
    }
    Section { content: blocks.join("\n\n"), evidence, ..planned.clone() }
}

fn marked(
    sentence: &Sentence,
    form: Form,
    passages: &[Passage],
    evidence: &mut Vec<Evidence>,
) -> String {
    // One line: a line break in a sentence could begin a heading or a list.
    let shown = sentence.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text = unmarked(&shown);
    let cited: Vec<&Passage> = sentence
        .evidence
        .iter()
        .filter_map(|id| passages.iter().find(|passage| passage.id == *id))
        .collect();
    let mut marks: Vec<&str> = Vec::new();
    for passage in &cited {
        let quoted = form == Form::Quote && contains(&passage.text, &shown);
        if form == Form::Quote && !quoted {
            continue;
        }
        evidence.push(Evidence {
            sentence: shown.clone(),
            relation: if quoted { Relation::Quoted } else { Relation::Supported },
            source: Some(passage.source.clone()),
            start: passage.start,
            end: passage.end,
        });
        if !marks.contains(&passage.source.as_str()) {
            marks.push(&passage.source);
            let _ = write!(text, "[^{MARK}{}]", passage.source);
        }
    }
    let invented = form == Form::Quote && !cited.iter().any(|p| contains(&p.text, &shown));
    if invented || (cited.is_empty() && sentence.kind == Claim::Fact) {
        text.push_str(FLAG);
        evidence.push(unsupported(shown));
    }
    text
}

/// Whether every sentence of a quotation is in a passage it cites.
fn quoted(block: &Block, passages: &[Passage]) -> bool {
    block.sentences.iter().all(|sentence| {
        let mut cited = passages.iter().filter(|passage| sentence.evidence.contains(&passage.id));
        cited.any(|passage| contains(&passage.text, &sentence.text))
    })
}

fn unsupported(sentence: String) -> Evidence {
    Evidence { sentence, relation: Relation::Unsupported, source: None, start: 0, end: 0 }
}

fn join_rows(rows: &[Vec<String>], captions: &[String]) -> String {
    let Some((head, body)) = rows.split_first().filter(|(head, _)| !head.is_empty()) else {
        return captions.join(" ");
    };
    let cell = |text: &String| {
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        unmarked(&line.replace('\\', "\\\\").replace('|', "\\|"))
    };
    let line = |row: &[String]| {
        let cells: Vec<String> =
            (0..head.len()).map(|at| row.get(at).map(cell).unwrap_or_default()).collect();
        format!("| {} |", cells.join(" | "))
    };
    let mut lines = vec![line(head), format!("|{}", " --- |".repeat(head.len()))];
    lines.extend(body.iter().map(|row| line(row)));
    if !captions.is_empty() {
        lines.extend([String::new(), captions.join(" ")]);
    }
    lines.join("\n")
}

fn fenced(block: &Block) -> String {
    let longest = block.code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let language: String = block
        .language
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "+-#.".contains(*c))
        .collect();
    format!("{fence}{language}\n{}\n{fence}", block.code.trim_end())
}

/// Whether `text` holds `words`, spaces, quotation marks and dashes aside.
pub(super) fn contains(text: &str, words: &str) -> bool {
    let words = normalized(words);
    !words.is_empty() && normalized(text).contains(&words)
}

/// A character as quotations are compared.
pub(super) fn plain_char(c: char) -> char {
    match c {
        '“' | '”' | '„' | '«' | '»' => '"',
        '‘' | '’' | '‚' => '\'',
        '–' | '—' | '−' => '-',
        c if c.is_whitespace() => ' ',
        c => c,
    }
}

/// A text as quotations are compared: one kind of quotation mark, of dash and of space.
pub(super) fn normalized(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    for c in text.chars().map(plain_char) {
        if c != ' ' || !normal.ends_with(' ') {
            normal.push(c);
        }
    }
    normal.trim().to_owned()
}

/// The first number of `sentence` that no cited passage has.
pub(super) fn missing_number(sentence: &str, cited: &[&Passage]) -> Option<String> {
    numbers(sentence)
        .into_iter()
        .find(|number| !cited.iter().any(|passage| numbers(&passage.text).contains(number)))
}

/// Numbers with more than one digit, and their dots and commas: `1.5`, `2024`, `10,000`.
pub(super) fn numbers(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_ascii_digit() || (matches!(c, '.' | ',') && !current.is_empty()) {
            current.push(c);
            continue;
        }
        let number = current.trim_end_matches(['.', ',']);
        if number.len() > 1 {
            found.push(number.to_owned());
        }
        current.clear();
    }
    found
}
