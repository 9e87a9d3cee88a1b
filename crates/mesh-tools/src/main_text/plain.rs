//! Markdown and plain text: front matter and comments removed, titles found.

use std::fmt::Write as _;

use super::{
    MainText,
    about::{date, one_line, unescaped},
};

/// Front matter ends within this many lines, or there is none.
const FRONT_MATTER_LINES_MAX: usize = 200;

/// A plain text's first line is its title up to this length; a longer one is a paragraph.
const TITLE_CHARS_MAX: usize = 120;

/// Styles of underlined titles in one text; reStructuredText has as many levels as headings.
const HEADING_LEVELS_MAX: usize = 6;

/// Cleans Markdown; the text between is kept byte for byte.
pub(super) fn from_markdown(text: &str) -> MainText {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let (mut about, body) = front_matter(&text);
    let body = without_comments(body);
    let first = about.title.take().or_else(|| first_heading(&body));
    about.title = first;
    about.markdown = trimmed(&body);
    about
}

/// Plain text as Markdown paragraphs, with underlined titles as headings.
pub(super) fn from_plain(text: &str) -> MainText {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let lines: Vec<&str> = text.lines().collect();
    let mut styles: Vec<(char, bool)> = Vec::new();
    let mut out = String::with_capacity(text.len());
    let mut title = None;
    let mut index = 0;
    while index < lines.len() {
        let line = lines[index];
        // A title may have a line of marks above it as well.
        let over = adornment(line).filter(|mark| {
            lines.get(index + 2).and_then(|under| adornment(under)) == Some(*mark)
                && lines.get(index + 1).is_some_and(|line| is_title(line))
        });
        let under = lines.get(index + 1).and_then(|under| adornment(under)).filter(|_| {
            let length = lines[index + 1].trim_end().chars().count();
            is_title(line) && length + 2 >= line.trim().chars().count()
        });
        if let Some(mark) = over {
            push_heading(&mut out, lines[index + 1], level(&mut styles, (mark, true)));
            title = title.or_else(|| one_line(lines[index + 1]));
            index += 3;
        } else if let Some(mark) = under {
            push_heading(&mut out, line, level(&mut styles, (mark, false)));
            title = title.or_else(|| one_line(line));
            index += 2;
        } else {
            push_line(&mut out, line);
            index += 1;
        }
    }
    let title = title.or_else(|| first_line(&lines));
    MainText { title, markdown: trimmed(&out), ..MainText::default() }
}

/// AsciiDoc as Markdown paragraphs, with `==` lines as headings and attributes removed.
pub(super) fn from_asciidoc(text: &str) -> MainText {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut main_text = MainText::default();
    let mut out = String::with_capacity(text.len());
    let mut in_listing = false;
    for line in text.lines() {
        if line.len() >= 4 && line.bytes().all(|b| b == b'-') {
            in_listing = !in_listing;
            out.push_str("```\n");
            continue;
        }
        if in_listing {
            out.push_str(line);
            out.push('\n');
            continue;
        }
        let level = line.bytes().take_while(|b| *b == b'=').count();
        let heading = line.get(level..).and_then(|rest| rest.strip_prefix(' '));
        if let (1..=6, Some(heading)) = (level, heading) {
            main_text.title = main_text.title.take().or_else(|| one_line(heading));
            push_heading(&mut out, heading, level);
        } else if let Some((name, value)) = attribute(line) {
            match name {
                "author" => main_text.author = one_line(value),
                "revdate" | "docdate" => main_text.published = date(value),
                _ => {}
            }
        } else if !line.starts_with("//") {
            push_line(&mut out, line);
        }
    }
    if in_listing {
        out.push_str("```\n");
    }
    let lines: Vec<&str> = text.lines().collect();
    main_text.title = main_text.title.take().or_else(|| first_line(&lines));
    main_text.markdown = trimmed(&out);
    main_text
}

/// `:name: value` of AsciiDoc.
fn attribute(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix(':')?.split_once(':')?;
    let is_name = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'!'));
    if is_name { Some((name, value.trim())) } else { None }
}

/// What the front matter says, and the text after it.
fn front_matter(text: &str) -> (MainText, &str) {
    let mut main_text = MainText::default();
    let Some(fence @ ("---" | "+++")) = text.lines().next().map(str::trim_end) else {
        return (main_text, text);
    };
    let mut offset = 0;
    let mut list_of = None;
    for (number, line) in text.split_inclusive('\n').take(FRONT_MATTER_LINES_MAX).enumerate() {
        offset += line.len();
        let line = line.trim_end();
        if number == 0 {
            continue;
        }
        if line == fence || (fence == "---" && line == "...") {
            return (main_text, &text[offset..]);
        }
        let separator = if fence == "---" { ':' } else { '=' };
        if let (Some("author" | "authors"), Some(item)) =
            (list_of, line.trim_start().strip_prefix("- "))
        {
            main_text.author = main_text.author.take().or_else(|| scalar(item));
            continue;
        }
        let Some((key, value)) = line.split_once(separator) else { continue };
        if key.starts_with(char::is_whitespace) {
            continue; // a field of something nested
        }
        let key = key.trim();
        list_of = Some(key);
        match key {
            "title" => main_text.title = scalar(value),
            "author" | "authors" => main_text.author = scalar(value),
            "date" | "published" | "pubDate" | "publishDate" => {
                main_text.published = scalar(value).as_deref().and_then(date);
            }
            _ => {}
        }
    }
    // Without an end it was a rule or a list of settings: part of the text.
    (MainText::default(), text)
}

/// A value of one line: quotes, and the brackets of a list, removed.
fn scalar(value: &str) -> Option<String> {
    let value = value.trim();
    let value = value.strip_prefix('[').and_then(|v| v.strip_suffix(']')).unwrap_or(value);
    let parts: Vec<&str> = value
        .split(if value.starts_with(['"', '\'']) { "\", \"" } else { "\0" })
        .map(|part| part.trim().trim_matches(['"', '\'']))
        .collect();
    one_line(&parts.join(", "))
}

/// Removes HTML comments outside code blocks. One that never ends is kept.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut fence: Option<(char, usize)> = None;
    let mut comment: Option<String> = None;
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        if comment.is_none() {
            let start = line.trim_start();
            let mark = start.chars().next().unwrap_or(' ');
            let run = start.chars().take_while(|c| *c == mark).count();
            match fence {
                Some((open, length)) => {
                    if mark == open && run >= length && start.trim_end().len() == run {
                        fence = None;
                    }
                    out.push_str(line);
                    continue;
                }
                None if matches!(mark, '`' | '~') && run >= 3 => {
                    fence = Some((mark, run));
                    out.push_str(line);
                    continue;
                }
                None => {}
            }
        }
        loop {
            if let Some(held) = &mut comment {
                let Some(end) = rest.find("-->") else {
                    held.push_str(rest);
                    break;
                };
                rest = &rest[end + 3..];
                comment = None;
            }
            let Some(start) = rest.find("<!--") else {
                out.push_str(rest);
                break;
            };
            out.push_str(&rest[..start]);
            comment = Some("<!--".to_owned());
            rest = &rest[start + 4..];
        }
    }
    if let Some(held) = comment {
        out.push_str(&held);
    }
    out
}

/// The first heading of Markdown, outside code.
fn first_heading(text: &str) -> Option<String> {
    let mut in_code = false;
    let mut previous = "";
    for line in text.lines() {
        let start = line.trim_start();
        if start.starts_with("```") || start.starts_with("~~~") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let level = line.bytes().take_while(|b| *b == b'#').count();
        if (1..=6).contains(&level) && line[level..].starts_with([' ', '\t']) {
            return one_line(unescaped(line).trim_end_matches(['#', ' ']));
        }
        let is_rule = !line.is_empty()
            && (line.bytes().all(|b| b == b'=') || line.bytes().all(|b| b == b'-'));
        if is_rule && is_title(previous) {
            return one_line(&unescaped(previous));
        }
        previous = line;
    }
    let lines: Vec<&str> = text.lines().collect();
    first_line(&lines)
}

fn first_line(lines: &[&str]) -> Option<String> {
    let line = lines.iter().find(|line| line.chars().any(char::is_alphanumeric))?;
    if line.trim().chars().count() > TITLE_CHARS_MAX { None } else { one_line(line) }
}

/// The mark of a line that is nothing but at least three of one mark.
fn adornment(line: &str) -> Option<char> {
    let line = line.trim_end();
    let mark = line.chars().next()?;
    let is_adornment =
        line.len() >= 3 && "=-`:.'\"~^_*+#".contains(mark) && line.chars().all(|c| c == mark);
    // Three backticks or tildes open a code block where people write Markdown in plain files.
    if is_adornment && !(line.len() == 3 && matches!(mark, '`' | '~')) { Some(mark) } else { None }
}

fn is_title(line: &str) -> bool {
    line.chars().any(char::is_alphanumeric)
        && line.trim().chars().count() <= TITLE_CHARS_MAX
        && !line.starts_with(['#', '\t'])
        && !line.starts_with("    ")
}

/// Level by order of appearance, as in reStructuredText.
fn level(styles: &mut Vec<(char, bool)>, style: (char, bool)) -> usize {
    if let Some(known) = styles.iter().position(|other| *other == style) {
        return known + 1;
    }
    if styles.len() < HEADING_LEVELS_MAX {
        styles.push(style);
    }
    styles.len()
}

fn push_heading(out: &mut String, text: &str, level: usize) {
    if !out.is_empty() && !out.ends_with("\n\n") {
        out.push('\n');
    }
    // Writing to a String cannot fail.
    let _ = write!(out, "{} {}\n\n", "#".repeat(level), text.trim());
}

/// Appends a line of plain text that Markdown must not read as HTML or as an endless code block;
/// of several empty lines one is kept.
fn push_line(out: &mut String, line: &str) {
    let line = line.trim_end();
    if line.is_empty() && (out.is_empty() || out.ends_with("\n\n")) {
        return;
    }
    let is_code = line.starts_with("    ") || line.starts_with('\t');
    if !is_code && line.trim_start().starts_with("~~~") {
        out.push('\\');
        out.push_str(line.trim_start());
    } else if is_code {
        out.push_str(line);
    } else {
        let mut characters = line.chars().peekable();
        let mut in_span = false;
        while let Some(character) = characters.next() {
            in_span ^= character == '`';
            let opens = character == '<'
                && !in_span
                && characters.peek().is_some_and(|c| c.is_ascii_alphabetic() || "/!?".contains(*c));
            if opens {
                out.push('\\');
            }
            out.push(character);
        }
    }
    out.push('\n');
}

/// Without empty lines around, and with one line break at the end.
fn trimmed(text: &str) -> String {
    let start = text.trim_start_matches(['\n', ' ']);
    // Keep the indentation of the first line: it may be code.
    let from = text.len() - start.len();
    let line_start = text[..from].rfind('\n').map_or(0, |position| position + 1);
    let mut out = text[line_start..].trim_end().to_owned();
    out.push('\n');
    out
}
