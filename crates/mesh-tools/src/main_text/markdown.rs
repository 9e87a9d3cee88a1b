//! A page's tree as blocks of Markdown.
//!
//! The tree is only read. Emphasis is dropped, because marks inside words make quoting and
//! searching worse and say little; characters that Markdown would read as markup are escaped, so
//! that text of a page never becomes HTML, a link or a heading of the page that quotes it.

use trafilatura::dom::{Document as Page, NodeId};

use super::region;

/// Elements below this depth are left out: no text that people wrote is nested like that.
const DEPTH_MAX: usize = 200;

/// Columns of one table; the cells beyond are left out.
const TABLE_COLUMNS_MAX: usize = 64;

/// What kind of block it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A heading.
    Heading,
    /// A paragraph.
    Paragraph,
    /// First paragraph of a list item.
    Item,
    /// A code block.
    Code,
    /// A table.
    Table,
}

/// One block of Markdown.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) kind: Kind,
    /// Markdown without the indentation of lists and quotes around it.
    pub(super) text: String,
    /// What its first line begins with: list marker, quote marks, indentation.
    first: String,
    /// What its other lines begin with.
    rest: String,
    /// The level of a heading.
    pub(super) level: u8,
}

/// Whether tables of contents are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    /// Left out: they repeat the headings.
    Left,
    /// Kept, for pages that are nothing else.
    Kept,
}

/// The blocks of a subtree, in reading order.
pub(super) fn blocks(page: &Page, node: NodeId, contents: Contents) -> Vec<Block> {
    let mut writer = Writer {
        page,
        contents,
        blocks: Vec::new(),
        line: String::new(),
        prefix: String::new(),
        marker: None,
        heading: 0,
        cell: false,
    };
    writer.children(node, 0);
    writer.flush();
    writer.blocks
}

/// Markdown of the blocks: an empty line between them, none between short list items.
pub(super) fn render(blocks: &[Block]) -> String {
    let mut out = String::new();
    for (index, block) in blocks.iter().enumerate() {
        if let Some(previous) = index.checked_sub(1).and_then(|before| blocks.get(before)) {
            let tight = previous.kind == Kind::Item && block.kind == Kind::Item;
            if !tight {
                // A quote that goes on keeps its mark on the empty line.
                out.push_str(shared_quote(&previous.rest, &block.first));
                out.push('\n');
            }
        }
        for (number, line) in block.text.lines().enumerate() {
            let start = if number == 0 { &block.first } else { &block.rest };
            if line.is_empty() {
                out.push_str(start.trim_end());
            } else {
                out.push_str(start);
            }
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

fn shared_quote<'a>(previous: &'a str, next: &str) -> &'a str {
    let end = previous
        .bytes()
        .zip(next.bytes())
        .take_while(|(left, right)| left == right && matches!(left, b'>' | b' '))
        .count();
    previous[..end].trim_end()
}

/// The start of a list item.
struct Marker {
    /// What the item's first line begins with.
    first: String,
    /// Prefix of the list that the item is in.
    outside: String,
    /// What explains a term: it belongs to the term's item and has no mark of its own.
    explains: bool,
}

struct Writer<'a> {
    page: &'a Page,
    contents: Contents,
    blocks: Vec<Block>,
    /// Text of the block that is being written, already escaped except for its line starts.
    line: String,
    /// Indentation and quote marks of the place we are at.
    prefix: String,
    /// The list item whose first block is still to come.
    marker: Option<Marker>,
    /// Level of the heading we are in, or 0.
    heading: u8,
    /// Inside a table cell, where every block is one line.
    cell: bool,
}

impl Writer<'_> {
    fn children(&mut self, node: NodeId, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        for child in self.page.child_nodes(node) {
            self.node(child, depth + 1);
        }
    }

    fn node(&mut self, node: NodeId, depth: usize) {
        let page = self.page;
        if page.is_text(node) {
            self.push_text(&page.text_content(node));
            return;
        }
        if region::is_left_out(page, node)
            || (self.contents == Contents::Left && region::is_contents(page, node))
        {
            return;
        }
        match page.tag_name(node) {
            "" => {}
            tag @ ("h1" | "h2" | "h3" | "h4" | "h5" | "h6") => {
                let level = tag.as_bytes()[1] - b'0';
                self.flush();
                self.heading = level;
                if region::has_name(page, node, &["code-header"]) {
                    self.code_span(node, depth); // rustdoc: a method's signature
                } else {
                    self.children(node, depth);
                }
                self.flush();
                self.heading = 0;
            }
            "br" => {
                let end = self.line.trim_end_matches(' ').len();
                self.line.truncate(end);
                if !self.line.is_empty() {
                    self.line.push(if self.cell || self.heading > 0 { ' ' } else { '\n' });
                }
            }
            "hr" => self.flush(),
            "pre" | "listing" | "xmp" | "plaintext" => self.code_block(node, depth),
            "code" | "kbd" | "samp" | "tt" => self.code_span(node, depth),
            "ul" | "ol" | "menu" | "dir" if self.cell => self.children(node, depth),
            tag @ ("ul" | "ol" | "menu" | "dir") => self.list(node, tag == "ol", depth),
            "dl" => self.definitions(node, depth),
            "blockquote" if !self.cell => {
                self.flush();
                let outside = self.prefix.clone();
                // A quote inside an item that has no text yet takes the item's marker.
                if let Some(marker) = &mut self.marker {
                    marker.first.push_str("> ");
                }
                self.prefix.push_str("> ");
                self.children(node, depth);
                self.flush();
                self.prefix = outside;
                self.marker = None;
            }
            "table" => self.table(node, depth),
            "a" if self.heading > 0 && !has_words(&page.text_content(node)) => {
                // The mark that links to the heading itself: ¶, #, §.
            }
            "sup" => self.superscript(node, depth),
            "q" => {
                self.line.push('“');
                self.children(node, depth);
                self.line.push('”');
            }
            "math" => match page.get_attribute(node, "alttext") {
                Some(spoken) => self.push_text(&spoken),
                None => self.children(node, depth),
            },
            // javadoc: a member's signature
            "div" if region::has_name(page, node, &["member-signature", "type-signature"]) => {
                self.code_block(node, depth);
            }
            tag if is_block(tag) => {
                self.flush();
                self.children(node, depth);
                self.flush();
            }
            _ => self.children(node, depth),
        }
    }

    /// Appends running text: white space collapsed, Markdown's marks escaped.
    fn push_text(&mut self, text: &str) {
        let mut previous = self.line.chars().next_back().unwrap_or(' ');
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            // Invisible hints where a word may be broken, and byte order marks.
            if matches!(character, '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{feff}') {
                continue;
            }
            if character.is_whitespace() || character.is_control() {
                if !self.line.is_empty() && !previous.is_whitespace() {
                    self.line.push(' ');
                    previous = ' ';
                }
                continue;
            }
            let next = characters.peek().copied();
            if is_mark(previous, character, next) || (self.cell && character == '|') {
                self.line.push('\\');
            }
            self.line.push(character);
            previous = character;
        }
    }

    /// Ends the block that is being written.
    fn flush(&mut self) {
        if self.cell {
            if !self.line.is_empty() && !self.line.ends_with(' ') {
                self.line.push(' ');
            }
            return;
        }
        let line = std::mem::take(&mut self.line);
        let text = line.trim();
        if text.is_empty() {
            return;
        }
        if self.heading > 0 {
            let text = format!("{} {text}", "#".repeat(usize::from(self.heading)));
            self.emit(Kind::Heading, text);
        } else {
            let mut out = String::with_capacity(text.len());
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                if !out.is_empty() {
                    out.push('\n');
                }
                push_escaped_start(&mut out, line);
            }
            let kind = match &self.marker {
                Some(marker) if !marker.explains => Kind::Item,
                _ => Kind::Paragraph,
            };
            self.emit(kind, out);
        }
    }

    fn emit(&mut self, kind: Kind, text: String) {
        let first = self.marker.take().map_or_else(|| self.prefix.clone(), |marker| marker.first);
        let level = if kind == Kind::Heading { self.heading } else { 0 };
        self.blocks.push(Block { kind, text, first, rest: self.prefix.clone(), level });
    }

    fn list(&mut self, node: NodeId, ordered: bool, depth: usize) {
        self.flush();
        let page = self.page;
        let items: Vec<NodeId> = page.children(node);
        // Items with headings are a page's sections written as a list.
        let headings = ["h1", "h2", "h3", "h4", "h5", "h6"];
        if items.iter().any(|item| !page.iter_descendants(*item, &headings).is_empty()) {
            for item in items {
                self.children(item, depth + 1);
                self.flush();
            }
            return;
        }
        let outside = self.list_prefix();
        let inside = self.prefix.clone();
        let start = page.get_attribute(node, "start").and_then(|text| text.trim().parse().ok());
        let mut number: u32 = start.unwrap_or(1);
        for item in items {
            if page.tag_name(item) != "li" {
                self.node(item, depth + 1);
                self.flush();
                continue;
            }
            if region::is_left_out(page, item) {
                continue;
            }
            let marker = if ordered { format!("{number}. ") } else { "- ".to_owned() };
            self.item(&outside, &marker, false, |writer| writer.children(item, depth + 1));
            number = number.saturating_add(1);
        }
        self.prefix = inside;
        self.marker = None;
    }

    fn definitions(&mut self, node: NodeId, depth: usize) {
        self.flush();
        if self.cell {
            self.children(node, depth);
            return;
        }
        let page = self.page;
        let outside = self.list_prefix();
        let inside = self.prefix.clone();
        // Pairs may be grouped in `div`.
        let mut parts = Vec::new();
        for child in page.children(node) {
            if page.tag_name(child) == "div" {
                parts.extend(page.children(child));
            } else {
                parts.push(child);
            }
        }
        let mut has_term = false;
        for part in parts {
            if region::is_left_out(page, part) {
                continue;
            }
            let explains = page.tag_name(part) != "dt" && has_term;
            let marker = if explains { "  " } else { "- " };
            has_term = true;
            self.item(&outside, marker, explains, |writer| writer.children(part, depth + 1));
        }
        self.prefix = inside;
        self.marker = None;
    }

    /// Where a list begins: an item that begins with a list is that list.
    fn list_prefix(&mut self) -> String {
        match self.marker.take() {
            Some(marker) if !marker.explains => marker.outside,
            _ => self.prefix.clone(),
        }
    }

    fn item(&mut self, outside: &str, marker: &str, explains: bool, write: impl FnOnce(&mut Self)) {
        self.flush();
        let first = format!("{outside}{marker}");
        self.marker = Some(Marker { first, outside: outside.to_owned(), explains });
        self.prefix = format!("{outside}{}", " ".repeat(marker.len()));
        write(self);
        self.flush();
        self.marker = None;
    }

    fn superscript(&mut self, node: NodeId, depth: usize) {
        let text = self.page.text_content(node);
        let text = text.trim();
        let linked = !self.page.iter_descendants(node, &["a"]).is_empty();
        let is_number = !text.is_empty()
            && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '−'));
        if linked && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '[' | ']')) {
            return; // a footnote's mark
        }
        if is_number {
            self.line.push('^'); // 2 to the power of 10 is not 210
        }
        self.children(node, depth);
    }

    fn code_span(&mut self, node: NodeId, depth: usize) {
        let page = self.page;
        if page.iter_descendants(node, &["pre", "p", "div", "table", "ul", "ol"]).is_empty() {
            let mut text = String::new();
            raw_text(page, node, &mut text, depth);
            text.retain(|c| !matches!(c, '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{feff}'));
            let mut code = text.split_whitespace().collect::<Vec<_>>().join(" ");
            if self.cell {
                code = code.replace('|', "\\|");
            }
            if code.is_empty() {
                return;
            }
            if text.starts_with(char::is_whitespace) {
                self.push_text(" ");
            }
            let fence = "`".repeat(longest_run(&code, '`') + 1);
            let padding = if code.starts_with('`') || code.ends_with('`') { " " } else { "" };
            // Two spans that touch would become one.
            if self.line.ends_with('`') {
                self.line.push(' ');
            }
            self.line.push_str(&fence);
            self.line.push_str(padding);
            self.line.push_str(&code);
            self.line.push_str(padding);
            self.line.push_str(&fence);
            if text.ends_with(char::is_whitespace) {
                self.push_text(" ");
            }
        } else {
            self.children(node, depth);
        }
    }

    fn code_block(&mut self, node: NodeId, depth: usize) {
        let page = self.page;
        let mut code = String::new();
        raw_text(page, node, &mut code, depth);
        let code: String = code
            .replace("\r\n", "\n")
            .replace('\u{a0}', " ")
            .chars()
            .filter(|c| matches!(c, '\n' | '\t') || !c.is_control())
            .collect();
        let code = code.trim_start_matches('\n').trim_end();
        if code.trim().is_empty() {
            return;
        }
        if self.cell {
            let joined = code.split_whitespace().collect::<Vec<_>>().join(" ");
            self.push_text(&joined);
            return;
        }
        self.flush();
        let fence = "`".repeat(longest_run(code, '`').max(2) + 1);
        let language = language(page, node).unwrap_or_default();
        self.emit(Kind::Code, format!("{fence}{language}\n{code}\n{fence}"));
    }

    fn table(&mut self, node: NodeId, depth: usize) {
        let page = self.page;
        let mut rows = Vec::new();
        let mut captions = Vec::new();
        table_rows(page, node, &mut rows, &mut captions, 0);
        let widest = rows.iter().map(|row| page.children(*row).len()).max().unwrap_or(0);
        let holds_blocks = !page
            .iter_descendants(
                node,
                &["table", "pre", "ul", "ol", "dl", "blockquote", "h1", "h2", "h3", "h4", "h5"],
            )
            .is_empty();
        let is_layout = page
            .get_attribute(node, "role")
            .is_some_and(|role| matches!(role.as_str(), "presentation" | "none"));
        if self.cell || holds_blocks || is_layout || rows.len() < 2 || widest < 2 {
            self.flush();
            for part in captions.into_iter().chain(rows) {
                if region::is_left_out(page, part) {
                    continue;
                }
                if page.tag_name(part) == "caption" {
                    self.children(part, depth + 1);
                    self.flush();
                    continue;
                }
                for cell in page.children(part) {
                    if !region::is_left_out(page, cell) {
                        self.children(cell, depth + 2);
                        self.flush();
                    }
                }
            }
            return;
        }
        self.flush();
        for caption in captions {
            self.children(caption, depth + 1);
            self.flush();
        }
        let mut out = String::new();
        let mut columns = 0;
        for row in rows {
            if region::is_left_out(page, row) {
                continue;
            }
            let cells = self.table_cells(row, depth + 1);
            if cells.iter().all(String::is_empty) {
                continue;
            }
            if columns == 0 {
                columns = widest.max(cells.len()).min(TABLE_COLUMNS_MAX);
                let is_header = page.children(row).iter().all(|cell| page.tag_name(*cell) == "th");
                let header = if is_header { cells.clone() } else { Vec::new() };
                push_row(&mut out, &header, columns);
                push_row(&mut out, &vec!["---".to_owned(); columns], columns);
                if is_header {
                    continue;
                }
            }
            push_row(&mut out, &cells, cells.len().min(columns));
        }
        if has_words(&out) {
            self.emit(Kind::Table, out.trim_end().to_owned());
        }
    }

    fn table_cells(&mut self, row: NodeId, depth: usize) -> Vec<String> {
        let page = self.page;
        let mut cells = Vec::new();
        for cell in page.children(row) {
            if cells.len() >= TABLE_COLUMNS_MAX {
                break;
            }
            self.cell = true;
            if !region::is_left_out(page, cell) {
                self.children(cell, depth + 1);
            }
            self.cell = false;
            let line = std::mem::take(&mut self.line);
            cells.push(line.trim().replace('\n', " "));
            // A cell over several columns keeps its neighbours in theirs.
            let span: usize = page
                .get_attribute(cell, "colspan")
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(1);
            for _ in 1..span.min(TABLE_COLUMNS_MAX) {
                cells.push(String::new());
            }
        }
        cells.truncate(TABLE_COLUMNS_MAX);
        cells
    }
}

fn push_row(out: &mut String, cells: &[String], columns: usize) {
    out.push('|');
    for column in 0..columns {
        out.push(' ');
        out.push_str(cells.get(column).map_or("", String::as_str));
        out.push_str(" |");
    }
    out.push('\n');
}

/// Rows and captions of a table, without those of tables inside its cells.
fn table_rows(
    page: &Page,
    node: NodeId,
    rows: &mut Vec<NodeId>,
    captions: &mut Vec<NodeId>,
    depth: usize,
) {
    for child in page.children(node) {
        match page.tag_name(child) {
            "tr" => rows.push(child),
            "caption" => captions.push(child),
            // thead, tbody, tfoot; more levels are not HTML
            "thead" | "tbody" | "tfoot" if depth < 2 => {
                table_rows(page, child, rows, captions, depth + 1);
            }
            _ => {}
        }
    }
}

/// Text of a code block as written, with the line breaks that its elements stand for.
fn raw_text(page: &Page, node: NodeId, out: &mut String, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    let mut codes = 0;
    for child in page.child_nodes(node) {
        if page.is_text(child) {
            out.push_str(&page.text_content(child));
            continue;
        }
        if region::is_left_out(page, child) {
            continue;
        }
        let is_line = match page.tag_name(child) {
            "br" => {
                out.push('\n');
                continue;
            }
            "code" => {
                codes += 1;
                codes > 1
            }
            "div" | "p" | "li" | "tr" => true,
            _ => false,
        };
        if is_line && !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        raw_text(page, child, out, depth + 1);
        if is_line && page.tag_name(child) != "code" && !out.ends_with('\n') {
            out.push('\n');
        }
    }
}

/// The language that a code block's classes name.
fn language(page: &Page, node: NodeId) -> Option<String> {
    let mut places: Vec<NodeId> = page.iter_descendants(node, &["code"]);
    places.truncate(1);
    let mut ancestor = Some(node);
    for _ in 0..4 {
        let Some(place) = ancestor else { break };
        places.push(place);
        ancestor = page.parent(place);
    }
    for place in places {
        let classes = page.get_attribute(place, "class").unwrap_or_default().to_lowercase();
        let mut classes = classes.split_whitespace();
        while let Some(class) = classes.next() {
            let named = class
                .strip_prefix("language-")
                .or_else(|| class.strip_prefix("lang-"))
                .or_else(|| class.strip_prefix("highlight-source-"))
                .or_else(|| class.strip_prefix("highlight-"))
                .or_else(|| class.strip_prefix("src-"))
                .or_else(|| (class == "sourcecode").then(|| classes.next()).flatten())
                .or_else(|| (class == "rust").then_some(class));
            let language = match named {
                Some("python3" | "ipython3" | "ipython" | "pycon") => "python",
                Some("default" | "none" | "text" | "plaintext" | "source") | None => continue,
                Some(language) => language,
            };
            let is_name = language.len() <= 20
                && language.bytes().all(|b| b.is_ascii_alphanumeric() || b"+#-_".contains(&b));
            if is_name {
                return Some(language.to_owned());
            }
        }
    }
    None
}

fn is_block(tag: &str) -> bool {
    matches!(
        tag,
        "address"
            | "article"
            | "aside"
            | "blockquote"
            | "body"
            | "caption"
            | "center"
            | "dd"
            | "details"
            | "div"
            | "dt"
            | "fieldset"
            | "figcaption"
            | "figure"
            | "header"
            | "hgroup"
            | "html"
            | "li"
            | "main"
            | "p"
            | "section"
            | "summary"
            | "td"
            | "th"
            | "tr"
    )
}

/// Whether Markdown would read `character` as markup between its neighbours.
fn is_mark(previous: char, character: char, next: Option<char>) -> bool {
    match character {
        '`' => true,
        '\\' => next.is_none_or(|next| next.is_ascii_punctuation()),
        '*' => !(previous.is_whitespace() && next.is_some_and(char::is_whitespace)),
        // Inside a word an underscore is a letter.
        '_' => !(previous.is_alphanumeric() && next.is_some_and(char::is_alphanumeric)),
        '<' => next.is_none_or(|next| next.is_alphabetic() || matches!(next, '/' | '!' | '?')),
        '&' => next.is_some_and(|next| next.is_alphanumeric() || next == '#'),
        '[' => next.is_none_or(|next| next == '^') || previous == '!' || previous == ']',
        '(' | ':' => previous == ']',
        '~' => previous == '~' || next == Some('~'),
        _ => false,
    }
}

/// Appends a line of running text whose start Markdown must not read as a block.
fn push_escaped_start(out: &mut String, line: &str) {
    let first = line.chars().next().unwrap_or(' ');
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let after = line[digits..].chars().next();
    if digits > 0 && digits < 10 && matches!(after, Some('.' | ')')) {
        let then = line[digits + 1..].chars().next();
        if then.is_none_or(char::is_whitespace) {
            out.push_str(&line[..digits]);
            out.push('\\');
            out.push_str(&line[digits..]);
            return;
        }
    }
    let second = line.chars().nth(1);
    let is_block = match first {
        '>' => true,
        '=' => line.bytes().all(|b| b == b'='),
        '#' => {
            let level = line.bytes().take_while(|b| *b == b'#').count();
            level <= 6 && line[level..].chars().next().is_none_or(char::is_whitespace)
        }
        '-' => second.is_none_or(|c| c.is_whitespace() || c == '-'),
        '+' | '*' => second.is_none_or(char::is_whitespace),
        '~' => line.starts_with("~~~"),
        _ => false,
    };
    if is_block {
        out.push('\\');
    }
    out.push_str(line);
}

fn longest_run(text: &str, of: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for character in text.chars() {
        run = if character == of { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

fn has_words(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}
