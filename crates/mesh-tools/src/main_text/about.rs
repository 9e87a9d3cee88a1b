//! What a page says about itself: title, author, date of publication.
//!
//! Only declarations count. A date or a name in the running text is about something else more
//! often than not, and a wrong one is worse than none; trafilatura's own guesses took example
//! dates from SQL statements and a chapter "The authors field" for an author.

use jiff::civil::Date;
use serde_json::Value;
use trafilatura::dom::Document as Page;
use url::Url;

use super::markdown::{Block, Kind};

/// Letters of a title or an author that are kept; longer ones are mistakes of the page.
const LINE_CHARS_MAX: usize = 300;

/// Years that a date of publication on the web can have.
const YEARS: std::ops::RangeInclusive<i16> = 1990..=2100;

/// Levels of a page's JSON-LD that are searched.
const JSON_DEPTH_MAX: usize = 8;

/// Names of `meta` tags that hold the date of publication, in the order they are believed.
const DATE_NAMES: &[&str] = &[
    "article:published_time",
    "og:article:published_time",
    "citation_publication_date",
    "citation_date",
    "datepublished",
    "date_published",
    "publish-date",
    "publishdate",
    "publication_date",
    "pubdate",
    "parsely-pub-date",
    "sailthru.date",
    "dc.date.issued",
    "dcterms.issued",
    "dc.date",
    "dcterms.date",
    "date",
];

/// Names of `meta` tags that hold the author.
const AUTHOR_NAMES: &[&str] = &[
    "author",
    "article:author",
    "citation_author",
    "parsely-author",
    "sailthru.author",
    "dc.creator",
    "dcterms.creator",
];

/// What is known about a page.
pub(super) struct About {
    pub(super) title: Option<String>,
    pub(super) author: Option<String>,
    pub(super) published: Option<Date>,
}

/// Reads the page's head, its structured data and its headings.
pub(super) fn read(page: &Page, blocks: &[Block], declared: bool, url: Option<&Url>) -> About {
    let structured: Vec<Value> = page
        .scripts_with_type(&["application/ld+json"])
        .into_iter()
        .filter_map(|node| serde_json::from_str(&page.text_content(node)).ok())
        .collect();
    About {
        title: title(page, blocks, declared),
        author: author(page, &structured),
        published: published(page, &structured, url),
    }
}

/// The heading that the page's `title` repeats, else the first top heading of a declared main
/// region, else `og:title`, else the `title` itself.
fn title(page: &Page, blocks: &[Block], declared: bool) -> Option<String> {
    let root = page.root();
    let head = page.query_selector(root, "head > title").map(|node| page.text_content(node));
    let head = head.as_deref().and_then(one_line);
    let first = blocks.iter().find(|block| block.kind == Kind::Heading);
    let heading = first.and_then(|block| one_line(&unescaped(&block.text)));
    if let Some(heading) = &heading {
        let repeats = head.as_ref().is_some_and(|head| letters(head).contains(&letters(heading)));
        let is_top = first.is_some_and(|block| block.level == 1);
        if !letters(heading).is_empty() && (repeats || (declared && is_top)) {
            return Some(heading.clone());
        }
    }
    meta(page, "og:title").as_deref().and_then(one_line).or(head).or(heading)
}

fn author(page: &Page, structured: &[Value]) -> Option<String> {
    // Some sites put the address of a profile where the name belongs.
    let name = |text: &str| one_line(text).filter(|line| !line.contains("://"));
    structured
        .iter()
        .find_map(|value| find_in(value, "author", &|author| names(author, 0), 0))
        .as_deref()
        .and_then(name)
        .or_else(|| AUTHOR_NAMES.iter().find_map(|tag| meta(page, tag).as_deref().and_then(name)))
}

/// The names in an author field of JSON-LD: a name, an object with a name, or a list of them.
fn names(author: &Value, depth: usize) -> Option<String> {
    if depth > JSON_DEPTH_MAX {
        return None;
    }
    match author {
        Value::String(name) => Some(name.clone()),
        Value::Object(fields) => fields.get("name").and_then(|name| names(name, depth + 1)),
        Value::Array(items) => {
            let all: Vec<String> = items.iter().filter_map(|item| names(item, depth + 1)).collect();
            if all.is_empty() { None } else { Some(all.join(", ")) }
        }
        _ => None,
    }
}

fn published(page: &Page, structured: &[Value], url: Option<&Url>) -> Option<Date> {
    let root = page.root();
    let read = |value: &Value| value.as_str().and_then(date);
    let structured = structured.iter().find_map(|value| find_in(value, "datePublished", &read, 0));
    let declared =
        || DATE_NAMES.iter().find_map(|name| meta(page, name).and_then(|text| date(&text)));
    let marked = || {
        let selector = "[itemprop=datePublished], time[pubdate], article header time, \
                        .entry-date[datetime], time.published, time.dt-published";
        page.query_selector_all(root, selector).into_iter().find_map(|node| {
            let text = page
                .get_attribute(node, "datetime")
                .or_else(|| page.get_attribute(node, "content"))?;
            date(&text)
        })
    };
    structured.or_else(declared).or_else(marked).or_else(|| url.and_then(path_date))
}

/// The first field of this name, in the page's own object or in the graph it describes, that
/// `read` makes something of.
fn find_in<T>(
    value: &Value,
    field: &str,
    read: &impl Fn(&Value) -> Option<T>,
    depth: usize,
) -> Option<T> {
    if depth > JSON_DEPTH_MAX {
        return None;
    }
    let deeper = |value: &Value| find_in(value, field, read, depth + 1);
    match value {
        Value::Array(items) => items.iter().find_map(deeper),
        Value::Object(fields) => fields
            .get(field)
            .and_then(read)
            .or_else(|| fields.get("@graph").and_then(deeper))
            .or_else(|| fields.get("mainEntity").and_then(deeper)),
        _ => None,
    }
}

/// The content of the `meta` tag with this name or property, whatever its case.
fn meta(page: &Page, name: &str) -> Option<String> {
    let named = |node, attribute| {
        page.get_attribute(node, attribute).is_some_and(|text| text.eq_ignore_ascii_case(name))
    };
    page.query_selector_all(page.root(), "meta[content]")
        .into_iter()
        .filter(|node| named(*node, "name") || named(*node, "property"))
        .find_map(|node| page.get_attribute(node, "content"))
}

/// A date in the path, as blogs write it: `/2024/05/31/` or `/2024-05-31-`.
fn path_date(url: &Url) -> Option<Date> {
    let segments: Vec<&str> = url.path_segments()?.collect();
    let split = segments.windows(3).find_map(|window| {
        let [year, month, day] = window else { return None };
        let is_date = year.len() == 4 && month.len() <= 2 && day.len() <= 2;
        if is_date { date(&format!("{year}-{month:0>2}-{day:0>2}")) } else { None }
    });
    split.or_else(|| segments.iter().find_map(|segment| date(segment)))
}

/// A date at the beginning of `text`: ISO 8601, with slashes, without separators, or the date of
/// a mail header.
pub(super) fn date(text: &str) -> Option<Date> {
    let text = text.trim();
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    let parsed = if digits.len() == 8 {
        from_parts(&digits[..4], &digits[4..6], &digits[6..])
    } else if digits.len() == 4 {
        let mut parts = text.split(|c: char| !c.is_ascii_digit());
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        let separator = text.as_bytes().get(4).copied();
        if matches!(separator, Some(b'-' | b'/' | b'.')) {
            from_parts(year, month, day)
        } else {
            None
        }
    } else {
        jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.date())
    };
    parsed.filter(|date| YEARS.contains(&date.year()))
}

fn from_parts(year: &str, month: &str, day: &str) -> Option<Date> {
    if month.len() > 2 || day.len() > 2 {
        return None;
    }
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}

/// The text on one line, without the marks that link to a heading, or nothing.
pub(super) fn one_line(text: &str) -> Option<String> {
    let visible: String = text
        .chars()
        .filter(|c| !matches!(c, '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{feff}' | '¶'))
        .collect();
    let line = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().take(LINE_CHARS_MAX).collect();
    if line.chars().any(char::is_alphanumeric) { Some(line) } else { None }
}

/// A heading's Markdown as plain text.
pub(super) fn unescaped(markdown: &str) -> String {
    let text = markdown.trim_start_matches('#').trim();
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.peek().is_some_and(char::is_ascii_punctuation) => {
                out.extend(characters.next());
            }
            '`' => {}
            other => out.push(other),
        }
    }
    out
}

/// Letters and digits alone, in lower case, for comparing titles.
fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
