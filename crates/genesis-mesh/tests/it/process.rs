//! The real binary in a folder of its own.

use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A folder to run the binary in; nothing of this machine's environment reaches it.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), variables: Vec::new() }
    }

    pub(crate) fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_genesis-mesh"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        Run(self.command(arguments).output().unwrap())
    }
}

pub(crate) struct Run(Output);

impl Run {
    pub(crate) fn code(&self) -> i32 {
        self.0.status.code().unwrap()
    }

    pub(crate) fn stdout(&self) -> &str {
        std::str::from_utf8(&self.0.stdout).unwrap()
    }

    pub(crate) fn stderr(&self) -> &str {
        std::str::from_utf8(&self.0.stderr).unwrap()
    }

    /// Value and origin of one line of `config show`.
    pub(crate) fn row(&self, name: &str) -> (String, String) {
        let line =
            self.stdout().lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        let mut cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).skip(1);
        (cells.next().unwrap().to_owned(), cells.next().unwrap().to_owned())
    }
}
