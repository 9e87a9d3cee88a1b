//! The settings as text: for `config show`, for programs, and for the handbook.

use std::fmt::Write;

use serde_json::{Value, json};

use super::kind::printable;
use super::layers::{Layers, Reader};
use super::origin::Origin;
use super::{Flags, Settings, Surroundings, table};

/// Characters of a value in the table of `config show`; `--json` has all of it.
const VALUE_CHARS_MAX: usize = 60;

/// One setting as text. Of a secret it holds `***` or nothing.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// Name in the settings file, dotted.
    pub name: &'static str,
    /// What the setting is for, in one or two sentences.
    pub help: &'static str,
    /// Flag with its dashes, if there is one.
    pub flag: Option<&'static str>,
    /// Environment variables, the one that wins first.
    pub variables: &'static [&'static str],
    /// The bounds in words.
    pub accepts: String,
    /// The default in words, as Markdown; empty if the setting is unset by default.
    pub default: String,
    /// Whether values stay out of reports.
    pub secret: bool,
    /// The value for programs; `null` if unset.
    pub json: Value,
    /// The value for people; empty if unset.
    pub text: String,
    /// Where the value came from.
    pub origin: Origin,
}

impl Settings {
    /// The table of `config show`: name, value, origin, one line each, `-` for an unset value.
    pub fn to_table(&self) -> String {
        let mut lines = vec![["SETTING".to_owned(), "VALUE".to_owned(), "ORIGIN".to_owned()]];
        for row in &self.rows {
            let value =
                if row.text.is_empty() { "-".to_owned() } else { cut(&printable(&row.text)) };
            lines.push([row.name.to_owned(), value, printable(&row.origin.to_string())]);
        }
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
        let (names, values) = (width(0).unwrap_or(0), width(1).unwrap_or(0));
        lines.iter().fold(String::new(), |mut table, [name, value, origin]| {
            // Writing to a `String` does not fail.
            let _ = writeln!(table, "{name:<names$}  {value:<values$}  {origin}");
            table
        })
    }

    /// The same as data: `{"file", "settings": [{"name", "value", "secret", "origin",
    /// "variables"}], "warnings"}`.
    pub fn to_json(&self) -> Value {
        let settings: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "name": row.name,
                    "value": row.json,
                    "secret": row.secret,
                    "origin": row.origin.to_json(),
                    "variables": row.variables,
                })
            })
            .collect();
        let warnings: Vec<String> = self.warnings.iter().map(ToString::to_string).collect();
        json!({
            "file": self.file.as_ref().map(|path| path.to_string_lossy()),
            "settings": settings,
            "warnings": warnings,
        })
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= VALUE_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(VALUE_CHARS_MAX - 1).chain(['…']).collect()
}

/// Every setting with its default, in the order of the table; nothing is read for it.
pub fn table_rows() -> Vec<Row> {
    let surroundings = Surroundings {
        flags: Flags::none(),
        environment: std::collections::BTreeMap::new(),
        working_directory: std::path::PathBuf::new(),
        data_dir: None,
    };
    let layers = Layers::default();
    let mut reader = Reader::new(&layers, Vec::new());
    table::read(&mut reader, &surroundings);
    reader.finish().rows
}

/// The table of settings for the handbook, as a Markdown table that ends in a newline.
pub fn markdown_table() -> String {
    let mut markdown = String::from(
        "| Setting | Set by | Default | Accepts | What it is for |\n| --- | --- | --- | --- | --- |\n",
    );
    for row in table_rows() {
        let set_by: Vec<String> =
            row.flag.iter().chain(row.variables).map(|name| format!("`{name}`")).collect();
        let default = if row.default.is_empty() { "none" } else { &row.default };
        let cells = [
            format!("`{}`", row.name),
            set_by.join(", "),
            default.to_owned(),
            row.accepts,
            row.help.to_owned(),
        ];
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        markdown.extend(["| ", &cells.join(" | "), " |\n"]);
    }
    markdown
}
