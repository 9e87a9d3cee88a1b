//! The layers a setting is looked up in, and the reader that walks them for one entry of the
//! table at a time.
//!
//! `.env` is read with `dotenvy`'s iterator, which leaves the process environment alone. The
//! settings file is read with `toml`'s spanned tree, because every value and every unknown key
//! has to be reported with its line; libraries that merge layers keep only the file's name.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::kind::{Kind, Raw, printable};
use super::origin::Origin;
use super::problem::Problem;
use super::report::Row;
use super::warning::UnknownVariable;
use super::{DOT_ENV_NAME, FILE_NAME, FILE_VARIABLE, Surroundings};

/// Largest settings file or `.env`; both are written by hand.
pub(super) const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Depth to which tables are looked into. No setting is nested deeper than three, so a deeper
/// key is unknown whatever it is called.
const TABLE_DEPTH_MAX: usize = 4;

/// Variables that only this program reads, by prefix: a misspelt one is worth a warning.
/// `OPENAI_*` and `SEARXNG_*` belong to others as well.
const OWN_PREFIXES: [&str; 2] = ["GENESIS_MESH_", "BLOGGER_"];

/// One entry of the table, without kind and default.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) flag: Option<&'static str>,
    pub(super) variables: &'static [&'static str],
    pub(super) default_words: Option<&'static str>,
}

/// Begins an entry: `name` in the settings file, and what the setting is for.
pub(super) fn entry(name: &'static str, help: &'static str) -> Entry {
    Entry { name, help, flag: None, variables: &[], default_words: None }
}

impl Entry {
    /// The flag, with its dashes.
    pub(super) fn flag(self, flag: &'static str) -> Self {
        Self { flag: Some(flag), ..self }
    }

    /// The variables, the one that wins first.
    pub(super) fn variables(self, variables: &'static [&'static str]) -> Self {
        Self { variables, ..self }
    }

    /// What documentation says instead of the default, where that depends on the machine.
    pub(super) fn default_words(self, words: &'static str) -> Self {
        Self { default_words: Some(words), ..self }
    }
}

/// A value of the settings file. Like the types beside it without `Debug`: it may be a secret.
struct Leaf {
    raw: Raw,
    line: usize,
}

/// An assignment of `.env`.
struct Assignment {
    value: String,
    line: usize,
}

/// All layers but the default.
#[derive(Default)]
pub(super) struct Layers {
    flags: BTreeMap<&'static str, OsString>,
    environment: BTreeMap<String, OsString>,
    dot_env: BTreeMap<String, Assignment>,
    file: BTreeMap<String, Leaf>,
    file_name: Option<PathBuf>,
}

impl Layers {
    /// Reads the files; what is wrong with them goes to `problems`, and the rest is kept.
    pub(super) fn read(surroundings: &Surroundings, problems: &mut Vec<Problem>) -> Self {
        let mut layers = Self {
            flags: surroundings.flags.values.clone(),
            environment: surroundings.environment.clone(),
            ..Self::default()
        };
        let folder = &surroundings.working_directory;
        match read_text(folder, Path::new(DOT_ENV_NAME), None) {
            Ok(Some(text)) => match dot_env(&text) {
                Ok(assignments) => layers.dot_env = assignments,
                Err(problem) => problems.push(problem),
            },
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
        let by_flag = surroundings.flags.config.clone().map(|path| (path, Some("--config")));
        let by_variable = || layers.named_file().map(|path| (path, Some(FILE_VARIABLE)));
        let (path, named_by) =
            by_flag.or_else(by_variable).unwrap_or_else(|| (PathBuf::from(FILE_NAME), None));
        match read_text(folder, &path, named_by) {
            Ok(Some(text)) => {
                match settings_file(&path, &text) {
                    Ok(leaves) => layers.file = leaves,
                    Err(problem) => problems.push(problem),
                }
                layers.file_name = Some(path);
            }
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
        layers
    }

    /// The settings file, if there is one, as it was named.
    pub(super) fn file_name(&self) -> Option<&Path> {
        self.file_name.as_deref()
    }

    /// The file that a variable names.
    fn named_file(&self) -> Option<PathBuf> {
        match self.variable(FILE_VARIABLE)?.0 {
            Raw::Native(path) => Some(PathBuf::from(path)),
            Raw::Text(path) => Some(PathBuf::from(path.trim())),
            _ => None,
        }
    }

    /// A variable that is set and not empty, from the environment or else from `.env`.
    fn variable(&self, name: &str) -> Option<(Raw, Origin)> {
        self.environment_variable(name).or_else(|| self.dot_env_variable(name))
    }

    fn environment_variable(&self, name: &str) -> Option<(Raw, Origin)> {
        let raw = native(self.environment.get(name)?.clone());
        let origin = Origin::Environment { variable: name.to_owned() };
        if is_blank(&raw) { None } else { Some((raw, origin)) }
    }

    fn dot_env_variable(&self, name: &str) -> Option<(Raw, Origin)> {
        let Assignment { value, line } = self.dot_env.get(name)?;
        let raw = Raw::Text(value.clone());
        let origin = Origin::DotEnv { variable: name.to_owned(), line: *line };
        if is_blank(&raw) { None } else { Some((raw, origin)) }
    }

    /// The first layer that has the setting.
    fn find(&self, entry: &Entry) -> Option<(Raw, Origin)> {
        let from_flag = || {
            let flag = entry.flag?;
            let value = self.flags.get(flag)?;
            Some((native(value.clone()), Origin::Flag { flag }))
        };
        let from_file = || {
            let Leaf { raw, line } = self.file.get(entry.name)?;
            let path = self.file_name.clone().unwrap_or_default();
            Some((raw.clone(), Origin::File { path, line: *line }))
        };
        from_flag()
            .or_else(|| entry.variables.iter().find_map(|name| self.environment_variable(name)))
            .or_else(|| entry.variables.iter().find_map(|name| self.dot_env_variable(name)))
            .or_else(from_file)
    }
}

fn native(value: OsString) -> Raw {
    match value.into_string() {
        Ok(text) => Raw::Text(text),
        Err(value) => Raw::Native(value),
    }
}

fn is_blank(raw: &Raw) -> bool {
    matches!(raw, Raw::Text(text) if text.trim().is_empty())
}

/// The text of `path` (relative to `folder`) without byte order mark; `None` if it is absent
/// and nobody named it.
fn read_text(
    folder: &Path,
    path: &Path,
    named_by: Option<&'static str>,
) -> Result<Option<String>, Problem> {
    let unreadable = |cause| Problem::Unreadable { path: path.to_owned(), named_by, cause };
    let file = match File::open(folder.join(path)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && named_by.is_none() => {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(error)),
    };
    let mut text = String::new();
    // One byte over the bound tells "too large" from "just fits".
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Problem::TooLarge { path: path.to_owned(), bytes_max: FILE_BYTES_MAX });
    }
    Ok(Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)))
}

/// A reader that hands out at most one line per call, so that `lines` always tells how far
/// the parser behind it has got.
struct LineByLine<'a> {
    rest: &'a [u8],
    lines: &'a Cell<usize>,
}

impl Read for LineByLine<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let line =
            self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |n| n + 1);
        let count = line.min(buffer.len());
        let (now, later) = self.rest.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.rest = later;
        if now.ends_with(b"\n") {
            self.lines.set(self.lines.get() + 1);
        }
        Ok(count)
    }
}

/// The assignments of a `.env` file; of a repeated one, the last.
fn dot_env(text: &str) -> Result<BTreeMap<String, Assignment>, Problem> {
    // The parser takes trailing space on a last line without newline for an open value.
    let text = format!("{text}\n");
    let lines = Cell::new(0);
    let parser = dotenvy::Iter::new(LineByLine { rest: text.as_bytes(), lines: &lines });
    let mut assignments = BTreeMap::new();
    let mut done = 0;
    for parsed in parser {
        // An entry in quotes may span lines; it begins after what cannot belong to it.
        let skipped = text.lines().skip(done).take_while(|line| {
            let line = line.trim_start();
            line.is_empty() || line.starts_with('#')
        });
        let line = done + skipped.count() + 1;
        done = lines.get();
        // The parser's own error repeats the line, which may hold a secret.
        let (name, value) = parsed.map_err(|_| Problem::DotEnvSyntax { line })?;
        assignments.insert(name, Assignment { value, line });
    }
    Ok(assignments)
}

/// The values of a settings file by dotted name.
fn settings_file(path: &Path, text: &str) -> Result<BTreeMap<String, Leaf>, Problem> {
    let document = DeTable::parse(text).map_err(|error| Problem::FileSyntax {
        path: path.to_owned(),
        line: line_at(text, error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    })?;
    let mut leaves = BTreeMap::new();
    flatten(document.get_ref(), "", 1, text, &mut leaves);
    Ok(leaves)
}

fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

fn flatten(
    table: &DeTable<'_>,
    prefix: &str,
    depth: usize,
    text: &str,
    leaves: &mut BTreeMap<String, Leaf>,
) {
    for (key, value) in table {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let part = key.get_ref();
        // Quoted as TOML would: `"server.port"` is not `server.port`.
        let part = if !part.is_empty() && part.chars().all(bare) {
            part.to_string()
        } else {
            format!("\"{}\"", printable(part))
        };
        let name = if prefix.is_empty() { part } else { format!("{prefix}.{part}") };
        match value.get_ref() {
            DeValue::Table(inner) if depth < TABLE_DEPTH_MAX && !inner.is_empty() => {
                flatten(inner, &name, depth + 1, text, leaves);
            }
            other => {
                let line = line_at(text, key.span().start);
                leaves.insert(name, Leaf { raw: raw(other), line });
            }
        }
    }
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or(Raw::Other("number too large"), Raw::Integer),
        DeValue::Float(number) => {
            number.as_str().parse().map_or(Raw::Other("number too large"), Raw::Float)
        }
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Array(items) => {
            Raw::List(items.iter().map(|item| raw_item(item.get_ref())).collect())
        }
        DeValue::Datetime(_) => Raw::Other("date"),
        DeValue::Table(_) => Raw::Other("table"),
    }
}

/// An item of a list; lists in lists are in no setting.
fn raw_item(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::Array(_) => Raw::Other("list in a list"),
        other => raw(other),
    }
}

/// Reads entries of the table from the layers and notes what was found.
pub(super) struct Reader<'a> {
    layers: &'a Layers,
    rows: Vec<Row>,
    problems: Vec<Problem>,
}

/// What a reader has noted.
pub(super) struct Finished {
    pub(super) rows: Vec<Row>,
    pub(super) problems: Vec<Problem>,
    pub(super) unknown_variables: Vec<UnknownVariable>,
}

impl<'a> Reader<'a> {
    /// A reader with the `problems` found so far.
    pub(super) fn new(layers: &'a Layers, problems: Vec<Problem>) -> Self {
        Self { layers, rows: Vec::new(), problems }
    }

    /// The value of one entry: the first layer's if it fits, else a noted problem and `default`.
    pub(super) fn read<K: Kind>(&mut self, entry: Entry, kind: K, default: K::Value) -> K::Value {
        let default_shown = kind.show(&default);
        let (value, origin) = match self.layers.find(&entry) {
            None => (default, Origin::Default),
            Some((raw, origin)) => match kind.parse(&raw) {
                Ok(value) => (value, origin),
                Err(given) => {
                    let (given_as, place) = written(entry.name, &origin);
                    self.problems.push(Problem::Refused {
                        setting: entry.name,
                        given_as,
                        place,
                        given: given.0,
                        expected: kind.accepts(),
                    });
                    (default, origin)
                }
            },
        };
        let shown = kind.show(&value);
        self.rows.push(Row {
            name: entry.name,
            help: entry.help,
            flag: entry.flag,
            variables: entry.variables,
            accepts: kind.accepts(),
            default: entry.default_words.map_or_else(
                || {
                    if default_shown.text.is_empty() {
                        String::new()
                    } else {
                        format!("`{}`", default_shown.text)
                    }
                },
                str::to_owned,
            ),
            secret: kind.is_secret(),
            json: shown.json,
            text: shown.text,
            origin,
        });
        value
    }

    /// Notes that the setting called `name`, which nobody set, takes the value of `other`.
    pub(super) fn inherit(&mut self, name: &'static str, other: &'static str) {
        let Some(from) = self.rows.iter().find(|row| row.name == other).cloned() else { return };
        if let Some(row) = self.rows.iter_mut().find(|row| row.name == name) {
            row.json = from.json;
            row.text = from.text;
            row.origin = Origin::Setting { name: other };
        }
    }

    /// Where an entry read before got its value.
    pub(super) fn origin(&self, name: &str) -> Option<&Origin> {
        self.rows.iter().find(|row| row.name == name).map(|row| &row.origin)
    }

    /// Notes a problem that is not one of a single value.
    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Call after the last entry: what stands in a layer and was not asked for is unknown.
    pub(super) fn finish(mut self) -> Finished {
        let names: BTreeSet<&'static str> = self.rows.iter().map(|row| row.name).collect();
        let groups: BTreeSet<&'static str> = names
            .iter()
            .flat_map(|name| name.match_indices('.').map(|(end, _)| &name[..end]))
            .collect();
        for (key, Leaf { raw, line }) in &self.layers.file {
            if names.contains(key.as_str()) {
                continue;
            }
            let path = self.layers.file_name.clone().unwrap_or_default();
            let (key, line) = (key.clone(), *line);
            if !groups.contains(key.as_str()) {
                let nearest = nearest_key(&key, &self.rows, &groups).to_owned();
                self.problems.push(Problem::UnknownKey { path, line, key, nearest });
            } else if *raw != Raw::Other("table") {
                self.problems.push(Problem::NotATable { path, line, key });
            }
        }
        let unknown_variables = self.unknown_variables();
        Finished { rows: self.rows, problems: self.problems, unknown_variables }
    }

    fn unknown_variables(&self) -> Vec<UnknownVariable> {
        let known: BTreeSet<&str> = self
            .rows
            .iter()
            .flat_map(|row| row.variables.iter().copied())
            .chain([FILE_VARIABLE])
            .collect();
        let environment = self.layers.environment.keys().map(|name| (name, None));
        let dot_env = self.layers.dot_env.iter().map(|(name, entry)| (name, Some(entry.line)));
        environment
            .chain(dot_env)
            .filter(|(name, _)| OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
            .filter(|(name, _)| !known.contains(name.as_str()))
            .map(|(name, line)| UnknownVariable {
                name: printable(name),
                line,
                nearest: known
                    .iter()
                    .min_by_key(|other| strsim::damerau_levenshtein(name, other))
                    .copied()
                    .unwrap_or(FILE_VARIABLE),
            })
            .collect()
    }
}

/// What the person wrote to set `setting`, and where.
fn written(setting: &'static str, origin: &Origin) -> (String, String) {
    match origin {
        Origin::Flag { flag } => ((*flag).to_owned(), "the command line".to_owned()),
        Origin::Environment { variable } => (variable.clone(), "the environment".to_owned()),
        Origin::DotEnv { variable, line } => (variable.clone(), format!(".env line {line}")),
        Origin::File { path, line } => {
            (setting.to_owned(), format!("{} line {line}", path.display()))
        }
        Origin::Setting { name } => (setting.to_owned(), (*name).to_owned()),
        Origin::Default => (setting.to_owned(), "default".to_owned()),
    }
}

/// The setting or group most like `key`: by its whole name, by its last part (a forgotten
/// table) or by one of its variables (the name known from elsewhere).
fn nearest_key(key: &str, rows: &[Row], groups: &BTreeSet<&'static str>) -> &'static str {
    let key = key.replace('"', "").to_ascii_lowercase();
    let as_variable = key.replace('.', "_");
    let distance = strsim::damerau_levenshtein;
    let settings = rows.iter().flat_map(|row| {
        let last = row.name.rsplit('.').next().unwrap_or(row.name);
        let names = [distance(&key, row.name), distance(&key, last)];
        let variables =
            row.variables.iter().map(|name| distance(&as_variable, &name.to_ascii_lowercase()));
        names.into_iter().chain(variables).map(|distance| (distance, row.name))
    });
    let groups = groups.iter().map(|group| (distance(&key, group), *group));
    settings.chain(groups).min_by_key(|(distance, _)| *distance).map_or("", |(_, name)| name)
}
