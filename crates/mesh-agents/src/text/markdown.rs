//! The block structure of a Markdown text, by byte range.
//!
//! This is a reader for text that came out of a page or a file, not a full CommonMark parser: it
//! answers what is prose, what is a heading and what must not be quoted. Inline markup stays as
//! it is. It never fails; an odd line is a paragraph.

use std::ops::Range;

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// A heading of level 1 to 6, written with `#` or underlined.
    Heading(u8),
    /// Running text.
    Paragraph,
    /// The text of one list item, or a further paragraph inside it.
    ListItem,
    /// Somebody else's words, marked with `>`.
    Quote,
    /// Fenced or indented code, fences included.
    Code,
    /// A pipe table.
    Table,
    /// HTML, front matter, link and footnote definitions: nothing to read.
    Other,
}

/// One block and where its text stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What it is.
    pub kind: BlockKind,
    /// Bytes of its text in the document: without the heading's `#` or the item's marker, and
    /// without the line break at the end.
    pub range: Range<usize>,
}

/// Splits a Markdown text into blocks, in order and without overlap. Blank lines and rules are in
/// no block.
pub fn blocks(text: &str) -> Vec<Block> {
    let lines = lines(text);
    let mut blocks = Vec::new();
    let mut at = front_matter(text, &lines, &mut blocks);
    let mut list_indent: Option<usize> = None;
    while let Some(line) = lines.get(at) {
        let raw = &text[line.clone()];
        let trimmed = raw.trim();
        if trimmed.is_empty() {
            at += 1;
            continue;
        }
        let indent = indent_of(raw);
        if indent == 0 && marker_len(trimmed).is_none() {
            list_indent = None;
        }
        if let Some(fence) = fence_of(trimmed) {
            let end = (at + 1..lines.len())
                .find(|&n| closes_fence(&text[lines[n].clone()], fence))
                .unwrap_or(lines.len() - 1);
            blocks.push(Block { kind: BlockKind::Code, range: line.start..lines[end].end });
            at = end + 1;
            continue;
        }
        let code_indent = list_indent.map_or(4, |content| content + 4);
        if indent >= code_indent && marker_len(trimmed).is_none() {
            let end = run_of(&lines, at, |n| {
                let next = &text[lines[n].clone()];
                !next.trim().is_empty() && indent_of(next) >= 4
            });
            blocks.push(Block { kind: BlockKind::Code, range: line.start..lines[end - 1].end });
            at = end;
            continue;
        }
        if let Some((level, content)) = heading_of(text, line) {
            blocks.push(Block { kind: BlockKind::Heading(level), range: content });
            list_indent = None;
            at += 1;
            continue;
        }
        if is_rule(trimmed) {
            at += 1;
            continue;
        }
        if let Some((end, kind)) = opaque(text, &lines, at, trimmed) {
            blocks.push(Block { kind, range: line.start..lines[end - 1].end });
            at = end;
            continue;
        }
        let start = line.start + (raw.len() - raw.trim_start().len());
        let (kind, content_start) = if let Some(length) = marker_len(trimmed) {
            list_indent = Some(indent + length);
            (BlockKind::ListItem, start + length)
        } else if list_indent.is_some_and(|_| indent >= 2) {
            (BlockKind::ListItem, start)
        } else {
            (BlockKind::Paragraph, start)
        };
        let end = run_of(&lines, at + 1, |n| continues(text, &lines, n));
        // An underlined heading is a one-line paragraph with a rule of `=` or `-` below it.
        let underline = lines.get(end).map(|next| text[next.clone()].trim()).unwrap_or_default();
        if kind == BlockKind::Paragraph
            && end == at + 1
            && let Some(level) = underline_level(underline)
        {
            blocks.push(Block {
                kind: BlockKind::Heading(level),
                range: trim(text, start..line.end),
            });
            at = end + 1;
            continue;
        }
        let range = trim(text, content_start.min(line.end)..lines[end - 1].end);
        if !range.is_empty() {
            blocks.push(Block { kind, range });
        }
        at = end;
    }
    blocks
}

/// Byte ranges of lines without their line breaks.
fn lines(text: &str) -> Vec<Range<usize>> {
    let mut start = 0;
    text.split_inclusive('\n')
        .map(|line| {
            let range = start..start + line.trim_end_matches(['\n', '\r']).len();
            start += line.len();
            range
        })
        .collect()
}

/// First line after `from` for which `belongs` is false.
fn run_of(lines: &[Range<usize>], from: usize, belongs: impl Fn(usize) -> bool) -> usize {
    (from..lines.len()).find(|&n| !belongs(n)).unwrap_or(lines.len())
}

fn front_matter(text: &str, lines: &[Range<usize>], blocks: &mut Vec<Block>) -> usize {
    let fence = lines.first().map(|line| text[line.clone()].trim_end()).unwrap_or_default();
    if fence != "---" && fence != "+++" {
        return 0;
    }
    let Some(end) = (1..lines.len()).find(|&n| text[lines[n].clone()].trim_end() == fence) else {
        return 0;
    };
    blocks.push(Block { kind: BlockKind::Other, range: lines[0].start..lines[end].end });
    end + 1
}

/// Blocks that are taken whole because nothing in them is prose: first line after, and kind.
fn opaque(
    text: &str,
    lines: &[Range<usize>],
    at: usize,
    trimmed: &str,
) -> Option<(usize, BlockKind)> {
    let until_blank = || run_of(lines, at, |n| !text[lines[n].clone()].trim().is_empty());
    if trimmed.starts_with('|') || next_is_table_rule(text, lines, at) {
        return Some((until_blank(), BlockKind::Table));
    }
    if is_quote(trimmed) {
        return Some((until_blank(), BlockKind::Quote));
    }
    if is_html(trimmed) {
        return Some((until_blank(), BlockKind::Other));
    }
    is_definition(trimmed).then_some((at + 1, BlockKind::Other))
}

/// Whether line `n` goes on with the paragraph before it.
fn continues(text: &str, lines: &[Range<usize>], n: usize) -> bool {
    let raw = &text[lines[n].clone()];
    let trimmed = raw.trim();
    !(trimmed.is_empty()
        || fence_of(trimmed).is_some()
        || heading_of(text, &lines[n]).is_some()
        || underline_level(trimmed).is_some()
        || is_rule(trimmed)
        || marker_len(trimmed).is_some_and(|length| interrupts(trimmed, length))
        || trimmed.starts_with('|')
        || is_quote(trimmed)
        || next_is_table_rule(text, lines, n))
}

/// A number in running text may open a line ("… in\n1995. Then …"); only `1.` starts a list there.
fn interrupts(trimmed: &str, marker_length: usize) -> bool {
    let marker = trimmed[..marker_length].trim_end();
    !marker.starts_with(|c: char| c.is_ascii_digit()) || marker.len() <= 3
}

fn indent_of(raw: &str) -> usize {
    raw.bytes()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .map(|b| if b == b'\t' { 4 } else { 1 })
        .sum()
}

fn trim(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let start = range.start + (part.len() - part.trim_start().len());
    start..start + part.trim().len()
}

fn fence_of(trimmed: &str) -> Option<&str> {
    let mark = trimmed.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let length = trimmed.len() - trimmed.trim_start_matches(mark).len();
    // A line of inline code that starts with three backticks closes them again.
    (length >= 3 && !trimmed[length..].contains('`')).then(|| &trimmed[..length])
}

fn closes_fence(raw: &str, fence: &str) -> bool {
    let trimmed = raw.trim();
    trimmed.starts_with(fence) && trimmed.trim_start_matches(&fence[..1]).is_empty()
}

fn heading_of(text: &str, line: &Range<usize>) -> Option<(u8, Range<usize>)> {
    let raw = &text[line.clone()];
    if indent_of(raw) > 3 {
        return None;
    }
    let trimmed = raw.trim();
    let level = trimmed.len() - trimmed.trim_start_matches('#').len();
    let rest = trimmed.get(level..)?;
    if !(1..=6).contains(&level) || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return None;
    }
    let content_length = rest.trim_end().trim_end_matches('#').trim_end().len();
    let start = line.start + (raw.len() - raw.trim_start().len()) + level;
    Some((level as u8, trim(text, start..start + content_length)))
}

fn underline_level(trimmed: &str) -> Option<u8> {
    let only = |mark: char| trimmed.len() >= 3 && trimmed.chars().all(|c| c == mark);
    if only('=') {
        Some(1)
    } else if only('-') {
        Some(2)
    } else {
        None
    }
}

fn is_rule(trimmed: &str) -> bool {
    ['-', '*', '_'].into_iter().any(|mark| {
        trimmed.chars().filter(|&c| c == mark).count() >= 3
            && trimmed.chars().all(|c| c == mark || c == ' ')
    })
}

/// Bytes of a list marker and the space after it.
fn marker_len(trimmed: &str) -> Option<usize> {
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let length = match trimmed.as_bytes().first()? {
        b'-' | b'*' | b'+' => 1,
        _ if (1..=9).contains(&digits) => match trimmed.as_bytes().get(digits)? {
            b'.' | b')' => digits + 1,
            _ => return None,
        },
        _ => {
            let bullet = trimmed.chars().next().filter(|c| matches!(c, '•' | '‣' | '◦' | '▪'))?;
            bullet.len_utf8()
        }
    };
    let spaces = trimmed[length..].bytes().take_while(|b| matches!(b, b' ' | b'\t')).count();
    (spaces > 0).then_some(length + spaces)
}

fn is_quote(trimmed: &str) -> bool {
    trimmed.strip_prefix('>').is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '>']))
}

fn is_html(trimmed: &str) -> bool {
    let Some(name) = trimmed.strip_prefix('<') else { return false };
    let name = name.trim_start_matches('/');
    // `<https://…>` is a link in running text, `<name>` in a manual is a placeholder.
    name.starts_with('!')
        || HTML_BLOCKS.iter().any(|block| {
            name.get(..block.len()).is_some_and(|start| start.eq_ignore_ascii_case(block))
                && !name[block.len()..].starts_with(|c: char| c.is_alphanumeric() || c == ':')
        })
}

const HTML_BLOCKS: &[&str] = &[
    "a", "article", "aside", "br", "button", "center", "details", "div", "dl", "figure", "footer",
    "form", "header", "hr", "iframe", "img", "nav", "ol", "p", "picture", "pre", "script",
    "section", "style", "table", "ul",
];

/// `[label]: target` and `[^label]: text`.
fn is_definition(trimmed: &str) -> bool {
    trimmed.starts_with('[')
        && trimmed.find("]:").is_some_and(|end| !trimmed[1..end].contains(['[', ']']))
}

fn next_is_table_rule(text: &str, lines: &[Range<usize>], at: usize) -> bool {
    text[lines[at].clone()].contains('|')
        && lines.get(at + 1).is_some_and(|next| {
            let rule = text[next.clone()].trim();
            rule.contains('|')
                && rule.contains("--")
                && rule.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '))
        })
}
