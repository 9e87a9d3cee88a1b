//! Where a value came from.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Value, json};

/// Where the value of a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag {
        /// The flag with its dashes.
        flag: &'static str,
    },
    /// The process environment.
    Environment {
        /// The variable that was used.
        variable: String,
    },
    /// The file `.env` in the working directory.
    DotEnv {
        /// The variable that was used.
        variable: String,
        /// Line on which its entry begins, from 1.
        line: usize,
    },
    /// The settings file.
    File {
        /// The file as it was named; relative to the working directory.
        path: PathBuf,
        /// Line of the value, from 1.
        line: usize,
    },
    /// Nobody set it; the value is that of another setting.
    Setting {
        /// The other setting.
        name: &'static str,
    },
    /// Nobody set it.
    Default,
}

impl Origin {
    /// The same as data: `{"from": "dotenv", "variable": …, "line": …}`.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Flag { flag } => json!({"from": "flag", "flag": flag}),
            Self::Environment { variable } => json!({"from": "environment", "variable": variable}),
            Self::DotEnv { variable, line } => {
                json!({"from": "dotenv", "variable": variable, "line": line})
            }
            Self::File { path, line } => {
                json!({"from": "file", "path": path.to_string_lossy(), "line": line})
            }
            Self::Setting { name } => json!({"from": "setting", "setting": name}),
            Self::Default => json!({"from": "default"}),
        }
    }
}

/// As `config show` prints it: `.env line 3: OPENAI_MODEL`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag { flag } => write!(f, "flag {flag}"),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::DotEnv { variable, line } => write!(f, ".env line {line}: {variable}"),
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Setting { name } => write!(f, "setting {name}"),
            Self::Default => write!(f, "default"),
        }
    }
}
