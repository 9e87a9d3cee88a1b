//! What can be wrong with a configuration, said so that a person can mend it.

use std::io;
use std::path::PathBuf;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct LoadError {
    /// Every problem found, at least one: files first, then settings in the table's order.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong. No message repeats a secret or a line of a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A value is outside its bounds or of another kind.
    #[error("{given_as} (from {place}): {given}, expected {expected}")]
    Refused {
        /// The setting in the table.
        setting: &'static str,
        /// What the person wrote: a flag, a variable or a name in the file.
        given_as: String,
        /// Where it was written.
        place: String,
        /// What was found, cut and made printable; for secrets only a description.
        given: String,
        /// The bounds in words.
        expected: String,
    },
    /// The settings file has a key that no setting has.
    #[error("{} line {line}: unknown key {key}; the nearest known key is {nearest}", .path.display())]
    UnknownKey {
        /// The file as it was named.
        path: PathBuf,
        /// Line of the key, from 1.
        line: usize,
        /// The key with its tables, as TOML would write it.
        key: String,
        /// The most similar setting.
        nearest: String,
    },
    /// The settings file has a plain value where settings are grouped.
    #[error("{} line {line}: {key} is a group of settings, expected a table [{key}]", .path.display())]
    NotATable {
        /// The file as it was named.
        path: PathBuf,
        /// Line of the key, from 1.
        line: usize,
        /// The group.
        key: String,
    },
    /// The settings file is not TOML.
    #[error("{} line {line}: not valid TOML: {message}", .path.display())]
    FileSyntax {
        /// The file as it was named.
        path: PathBuf,
        /// Line of the mistake, from 1.
        line: usize,
        /// What the parser expected; never the line itself, which may hold a secret.
        message: String,
    },
    /// `.env` has a line that is no assignment.
    #[error(
        ".env line {line}: not of the form NAME=value (a value with spaces or quotes needs \
         quotes around it)"
    )]
    DotEnvSyntax {
        /// Line on which the entry begins, from 1.
        line: usize,
    },
    /// A file cannot be read.
    #[error("cannot read {}{}: {cause}", .path.display(), named(.named_by.as_ref()))]
    Unreadable {
        /// The file as it was named.
        path: PathBuf,
        /// The flag or variable that named it; `None` for a file with a fixed name.
        named_by: Option<&'static str>,
        /// Why not. Part of the message, not a source: a list of problems has no chain.
        cause: io::Error,
    },
    /// A file is far larger than a person would write.
    #[error("cannot read {}: larger than {bytes_max} bytes", .path.display())]
    TooLarge {
        /// The file as it was named.
        path: PathBuf,
        /// The bound.
        bytes_max: u64,
    },
    /// There is no folder to write to.
    #[error(
        "data_dir: no home folder is known on this system; give one with --data-dir or \
         GENESIS_MESH_DATA_DIR"
    )]
    NoDataDir,
}

fn named(by: Option<&&'static str>) -> String {
    by.map(|by| format!(" (named by {by})")).unwrap_or_default()
}
