//! Text of a page or file as Markdown: what a reader came for, without navigation.
//!
//! HTML takes two decisions that are made apart. *Which* text is main is declared by the page
//! (`main`, `article`, the containers of documentation generators) or, where nothing is declared,
//! found by trafilatura in its precise mode. *How* it becomes Markdown is always decided here,
//! from the page's own tree: trafilatura's rebuilt tree moves words inside code blocks and loses
//! headings of sections (measured on pages of DocBook, Sphinx, rustdoc and javadoc), and a tool
//! whose readers quote sources must not reorder a source. When trafilatura keeps less than
//! [`PROSE_KEPT_MIN`] of the page's prose, its choice is not believed and the whole region is
//! taken.
//!
//! Links lose their targets and keep their words, pictures go, headings, lists, tables, quotes
//! and code stay. Nothing here fetches, and no text is invented or reordered.

use std::collections::HashSet;

use mesh_agents::source::SourceError;
use tokio::sync::Semaphore;
use trafilatura::{ExtractionFocus, HtmlDateMode, Options, dom::Document as Page};
use url::Url;

mod about;
mod cost;
mod markdown;
mod plain;
mod region;

use markdown::{Block, Kind};

/// Bytes of HTML that are worth converting; the largest single-page manuals stay below it.
pub const HTML_BYTES_MAX: usize = 2_000_000;

/// Conversions at the same time in one process. They are work for the processor, and a page that
/// is made to be large takes up to 400 MB while it lasts.
const CONVERSIONS_MAX: usize = 4;

static CONVERSIONS: Semaphore = Semaphore::const_new(CONVERSIONS_MAX);

/// Sum over a page's nodes of their depth. An ordinary page has under 1 million; the conversion
/// copies a node at most once per level, so this bounds its memory and time.
const PAGE_WEIGHT_MAX: usize = 4_000_000;

/// Share of a page's prose that trafilatura must keep for its choice to be believed.
const PROSE_KEPT_MIN: f64 = 0.5;

/// Words from which a block counts as prose: shorter ones are labels as often as sentences.
const PROSE_WORDS_MIN: usize = 12;

/// Share of a block's word triples that must be in trafilatura's text for the block to count as
/// chosen. It drops inline elements now and then, so that equality would be too strict.
const TRIPLES_KEPT_MIN: f64 = 0.5;

/// How a text is written, so that it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Markup {
    /// HTML or XHTML.
    Html,
    /// Markdown, possibly with front matter.
    Markdown,
    /// Plain text, with reStructuredText's underlined titles read as headings.
    Plain,
    /// AsciiDoc: plain text whose `==` lines are headings.
    AsciiDoc,
}

/// The main text and what the page says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MainText {
    /// Title, one line.
    pub title: Option<String>,
    /// Author, one line.
    pub author: Option<String>,
    /// Date of publication as the page declares it; never guessed from the running text.
    pub published: Option<jiff::civil::Date>,
    /// Main text as Markdown, ending with one line break. Never empty.
    pub markdown: String,
}

/// Why a text gives no main text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoText {
    /// More than [`HTML_BYTES_MAX`].
    #[error("{bytes} bytes of HTML, expected at most {HTML_BYTES_MAX}")]
    TooLarge {
        /// Bytes that were given.
        bytes: usize,
    },
    /// So many elements, or so deeply nested, that converting them would cost too much.
    #[error("its markup has too many parts, or too many inside each other")]
    TooComplex,
    /// No words.
    #[error("it holds no text")]
    Empty,
}

impl From<NoText> for SourceError {
    fn from(reason: NoText) -> Self {
        match reason {
            NoText::TooLarge { .. } => {
                Self::TooLarge { limit: format!("{} MB of HTML", HTML_BYTES_MAX / 1_000_000) }
            }
            NoText::TooComplex | NoText::Empty => Self::Unreadable { reason: reason.to_string() },
        }
    }
}

/// The main text of `text`, computed on the blocking pool: a page takes 5 to 200 ms.
///
/// `url` is only used to read a date from its path.
///
/// # Errors
/// [`SourceError::TooLarge`] and [`SourceError::Unreadable`]; a panic of the extractor is the
/// latter, because a page must not end the process.
///
/// # Cancel safety
/// Dropping the future gives up the result; the conversion that has begun ends by itself.
pub async fn extract(
    markup: Markup,
    text: String,
    url: Option<Url>,
) -> Result<MainText, SourceError> {
    // Never closed, so there is always a turn.
    let turn = CONVERSIONS.acquire().await.ok();
    let read = tokio::task::spawn_blocking(move || {
        // Held until the work ends, also when nobody waits for it any more.
        let _turn = turn;
        extract_now(markup, &text, url.as_ref())
    });
    match read.await {
        Ok(main_text) => Ok(main_text?),
        Err(_panic) => {
            Err(SourceError::Unreadable { reason: "its text could not be extracted".to_owned() })
        }
    }
}

/// The main text of `text`, on the calling thread.
///
/// # Errors
/// See [`NoText`].
pub fn extract_now(markup: Markup, text: &str, url: Option<&Url>) -> Result<MainText, NoText> {
    let main_text = match markup {
        Markup::Html => from_html(text, url)?,
        Markup::Markdown => plain::from_markdown(text),
        Markup::Plain => plain::from_plain(text),
        Markup::AsciiDoc => plain::from_asciidoc(text),
    };
    if main_text.markdown.chars().any(char::is_alphanumeric) {
        Ok(main_text)
    } else {
        Err(NoText::Empty)
    }
}

fn from_html(html: &str, url: Option<&Url>) -> Result<MainText, NoText> {
    if html.len() > HTML_BYTES_MAX {
        return Err(NoText::TooLarge { bytes: html.len() });
    }
    if !cost::is_affordable(html, PAGE_WEIGHT_MAX) {
        return Err(NoText::TooComplex);
    }
    let page = Page::parse(html);
    // Once more on the finished tree: repairs may have moved whole branches deeper.
    if weight(&page) > PAGE_WEIGHT_MAX {
        return Err(NoText::TooComplex);
    }
    let found = region::find(&page);
    let mut blocks = markdown::blocks(&page, found.node, markdown::Contents::Left);
    if !blocks.iter().any(|block| block.kind != Kind::Heading) {
        // A page that is nothing but a table of contents: that is its text.
        blocks = markdown::blocks(&page, found.node, markdown::Contents::Kept);
    }
    let about = about::read(&page, &blocks, found.declared, url);
    if !found.documentation {
        choose(&page, &mut blocks);
    }
    Ok(MainText {
        title: about.title,
        author: about.author,
        published: about.published,
        markdown: markdown::render(&blocks),
    })
}

/// Sum of the depth of all nodes, or more than [`PAGE_WEIGHT_MAX`] when that is exceeded.
fn weight(page: &Page) -> usize {
    let mut open = vec![(page.root(), 1_usize)];
    let mut sum = 0;
    while let Some((node, depth)) = open.pop() {
        sum += depth;
        if sum > PAGE_WEIGHT_MAX {
            break;
        }
        open.extend(page.child_nodes(node).into_iter().map(|child| (child, depth + 1)));
    }
    sum
}

/// Keeps the blocks that trafilatura chose, with the headings, code and tables between them.
fn choose(page: &Page, blocks: &mut Vec<Block>) {
    let options = Options::default()
        .with_focus(ExtractionFocus::FavorPrecision)
        .with_fallback(true)
        .with_exclude_comments(true)
        .with_html_date_mode(HtmlDateMode::Disabled);
    let Ok(chosen) = trafilatura::extract_document(page.clone_document(), &options) else {
        return;
    };
    let chosen_words = words(&chosen.content_text);
    let triples: HashSet<&[String]> = chosen_words.windows(3).collect();

    // Some(kept) for prose, None for what follows its neighbours.
    let mut prose_words = 0;
    let mut prose_words_kept = 0;
    let verdicts: Vec<Option<bool>> = blocks
        .iter()
        .map(|block| {
            if !matches!(block.kind, Kind::Paragraph | Kind::Item) {
                return None;
            }
            let block_words = words(&block.text);
            if block_words.len() < 4 {
                return None;
            }
            let found = block_words.windows(3).filter(|triple| triples.contains(triple)).count();
            let share = found as f64 / (block_words.len() - 2) as f64;
            let kept = share >= TRIPLES_KEPT_MIN;
            if block_words.len() >= PROSE_WORDS_MIN {
                prose_words += block_words.len();
                prose_words_kept += if kept { block_words.len() } else { 0 };
            }
            Some(kept)
        })
        .collect();
    if (prose_words_kept as f64) < PROSE_KEPT_MIN * prose_words as f64
        || !verdicts.contains(&Some(true))
    {
        return;
    }

    let mut after = vec![false; blocks.len()];
    let mut next = false;
    for index in (0..blocks.len()).rev() {
        next = verdicts[index].unwrap_or(next);
        after[index] = next;
    }
    let mut before = false;
    let mut index = 0;
    blocks.retain(|block| {
        let kept = match (verdicts[index], block.kind) {
            (Some(kept), _) => kept,
            (None, Kind::Heading) => after[index],
            (None, Kind::Code | Kind::Table) => before || after[index],
            (None, Kind::Paragraph | Kind::Item) => before && after[index],
        };
        before = verdicts[index].unwrap_or(before);
        index += 1;
        kept
    });
}

/// Runs of letters and digits in lower case.
fn words(text: &str) -> Vec<String> {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}
