//! The grammar of the command line.
//!
//! Flags that stand for settings stay text here: their bounds, defaults and help come from the
//! table of settings, so they are checked and described in one place. This module decides
//! nothing and prints nothing.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use url::Url;

use crate::settings::{self, Flags};
use crate::{PRODUCT, VERSION};

/// What a person asked for.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "genesis-mesh",
    about = PRODUCT,
    long_about = format!(
        "{PRODUCT}\n\nWithout a command, serves agents over HTTP and WebSockets until it is stopped."
    ),
    version = VERSION,
    after_long_help = AFTER_HELP,
)]
#[non_exhaustive]
pub struct Cli {
    /// What to do; `None` serves.
    #[command(subcommand)]
    pub command: Option<Command>,

    // The help of flags that are settings is added from the table in `command()`.
    #[arg(long, value_name = "HOST", global = true)]
    host: Option<OsString>,
    #[arg(long, value_name = "PORT", allow_negative_numbers = true, global = true)]
    port: Option<OsString>,
    #[arg(long, value_name = "FORMAT")]
    error_format: Option<OsString>,
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<OsString>,
    #[arg(long, value_name = "FILTER", global = true)]
    log: Option<OsString>,
    /// Settings file to read in place of ./genesis-mesh.toml [env: GENESIS_MESH_CONFIG]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Examples:
  genesis-mesh
  genesis-mesh --host 127.0.0.1 --port 9000
  genesis-mesh blog new \"How does a run survive a crash?\"
  genesis-mesh config show

Settings come from the first of: flag, environment, .env, genesis-mesh.toml, default.
`genesis-mesh config show` lists all of them with their origin.

Exit codes:
  0  done
  1  failed while running
  2  wrong usage or configuration; nothing was started";

/// A command.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Serve, as without a command
    #[command(after_long_help = "\
Examples:
  genesis-mesh serve
  genesis-mesh serve --fixtures --port 9000")]
    Serve(Serve),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look for damage in the data directory of a mesh that is not running
    ///
    /// Prints what is broken, a line each, and exits with 1 if anything is: rules about threads and
    /// runs, and secrets that are stored. Changes nothing.
    #[command(after_long_help = "\
Examples:
  genesis-mesh doctor
  genesis-mesh doctor --data-dir /srv/mesh
  genesis-mesh doctor --accepted runs.txt")]
    Doctor(Doctor),
    /// Write blog posts from sources
    #[command(subcommand)]
    Blog(BlogCommand),
    /// Make, list and revoke keys for programs that use the server
    ///
    /// Works while the server runs. Once there is a key, the server asks everybody for one.
    #[command(subcommand)]
    Keys(KeysCommand),
}

/// `doctor`.
#[derive(Debug, Clone, Default, Args)]
#[non_exhaustive]
pub struct Doctor {
    /// File with the ids of runs that were accepted, one on each line: all have to be there
    #[arg(long, value_name = "FILE")]
    pub accepted: Option<PathBuf>,
}

/// A command about API keys.
#[derive(Debug, Clone, Subcommand)]
pub enum KeysCommand {
    /// Make a key and print it, this once
    #[command(after_long_help = "\
Examples:
  genesis-mesh keys create --identity alice
  genesis-mesh keys create --identity ci --scope threads:* --expires-days 30
  genesis-mesh keys create --identity operator --admin

Scopes: `*` (everything), `me` (threads, runs, store and crons), or resource:verb, such as
threads:read, assistants:write, store:* or threads:create_run.")]
    Create(KeysCreate),
    /// Print all keys, without their secrets
    List(KeysList),
    /// Take a key back, for ever
    Revoke(KeysRevoke),
}

/// `keys create`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct KeysCreate {
    /// Whose things the holder sees; several keys may be one identity's
    #[arg(long, value_name = "NAME")]
    pub identity: String,
    /// A name for people, such as what the key is for
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// What the holder may do; may be repeated [default: *]
    #[arg(long, value_name = "SCOPE", conflicts_with = "admin")]
    pub scope: Vec<String>,
    /// Allow everything, with everybody's things
    #[arg(long)]
    pub admin: bool,
    /// Days until the key is worthless; without it, it lasts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub expires_days: Option<u32>,
}

/// `keys list`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct KeysList {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `keys revoke`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct KeysRevoke {
    /// The part of the key between `gm_` and the next `_`
    #[arg(value_name = "ID")]
    pub id: String,
}

/// `serve`.
#[derive(Debug, Clone, Default, Args)]
#[non_exhaustive]
pub struct Serve {
    /// Serve graphs for test suites and measurements, too, and the switches that those need; not
    /// for production
    ///
    /// The suites of both languages have a graph `agent`, and mean different ones: SUITE says
    /// which.
    #[cfg(feature = "fixtures")]
    #[arg(long, value_name = "SUITE", value_enum, num_args = 0..=1, default_missing_value = "python")]
    pub fixtures: Option<Suite>,
    /// Folder that fixture graphs may write files to
    #[cfg(feature = "fixtures")]
    #[arg(long, value_name = "DIR", requires = "fixtures")]
    pub fixtures_dir: Option<PathBuf>,
}

/// Whose graph `agent` is served.
#[cfg(feature = "fixtures")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// That of the Python client's suite
    Python,
    /// That of the JavaScript client's suites
    Js,
}

/// A command about the configuration.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Print every setting, its value and where the value came from
    ///
    /// Secrets are shown as ***. Long values are cut in the table; --json has all of them.
    #[command(after_long_help = "\
Examples:
  genesis-mesh config show
  genesis-mesh config show --json
  genesis-mesh config show --config /etc/genesis-mesh.toml")]
    Show(ConfigShow),
}

/// `config show`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct ConfigShow {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A command of the blog agent.
#[derive(Debug, Clone, Subcommand)]
pub enum BlogCommand {
    /// Write a post about a topic; progress on stderr, the post on stdout
    #[command(after_long_help = "\
Examples:
  genesis-mesh blog new \"How does a run survive a crash?\"
  genesis-mesh blog new \"Packaging policy\" --files /usr/share/doc/debian-policy --out post.md
  genesis-mesh blog new \"WebSocket limits\" --url https://www.rfc-editor.org/rfc/rfc6455 --json
  genesis-mesh blog new \"Release notes\" --files notes --files changelog --mode extractive

Without --files, --url and a search service, the post is written from the handbook built into
this program.")]
    New(BlogNew),
}

/// `blog new`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct BlogNew {
    /// What the post is about, 5 to 500 characters
    #[arg(value_name = "TOPIC")]
    pub topic: String,
    /// Folder of documents to write from (Markdown, text, HTML); may be repeated
    #[arg(long, value_name = "DIR")]
    pub files: Vec<PathBuf>,
    /// Web page to write from; may be repeated
    #[arg(long, value_name = "URL", value_parser = page_url)]
    pub url: Vec<Url>,
    /// Who writes: a model, or nobody (sentences copied from the sources)
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    pub mode: Mode,
    /// Length to aim at, in words
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub words: Option<u32>,
    /// Write the post to this file and nothing to stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Give the whole result as JSON in place of the post
    #[arg(long)]
    pub json: bool,
}

/// Who writes a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// A model if one is configured, else extracts
    Auto,
    /// A model; an error if none is configured
    Model,
    /// Nobody: sentences copied from the sources
    Extractive,
}

impl Cli {
    /// Parses a command line, the program's name first.
    ///
    /// # Errors
    /// What clap found wrong, or the text for `--help` and `--version`; it knows its stream and
    /// exit code.
    pub fn parse_from_args<I, T>(args: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString> + Clone,
    {
        let mut command = command();
        let matches = command.try_get_matches_from_mut(args)?;
        let cli = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        // An accepted option does something: nothing listens while a post is written.
        let deaf = match cli.command {
            Some(Command::Blog(_)) => Some("blog"),
            Some(Command::Keys(_)) => Some("keys"),
            Some(Command::Doctor(_)) => Some("doctor"),
            Some(Command::Config(_) | Command::Serve(_)) | None => None,
        };
        if let Some(deaf) = deaf {
            for (flag, given) in [("--host", cli.host.is_some()), ("--port", cli.port.is_some())] {
                if given {
                    let message = format!("{flag} is for serving; `{deaf}` does not listen");
                    return Err(command.error(ErrorKind::ArgumentConflict, message));
                }
            }
        }
        Ok(cli)
    }

    /// The values of the flags that are settings, and the settings file.
    pub fn flags(&self) -> Flags {
        Flags::none()
            .with("--host", self.host.clone())
            .with("--port", self.port.clone())
            .with("--error-format", self.error_format.clone())
            .with("--data-dir", self.data_dir.clone())
            .with("--log", self.log.clone())
            .with_config(self.config.clone())
    }
}

/// The grammar with the help of every flag that is a setting.
pub fn command() -> clap::Command {
    let mut command = Cli::command();
    for row in settings::table_rows() {
        let Some(flag) = row.flag else { continue };
        let default = row.default.replace('`', "");
        let help = format!("{} [default: {default}] [env: {}]", row.help, row.variables.join(", "));
        command =
            command.mut_arg(flag.trim_start_matches('-').replace('-', "_"), |arg| arg.help(help));
    }
    command
}

/// An address of a page: http or https with a host, without credentials.
fn page_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("expected an http or https URL with a host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("expected a URL without user and password".to_owned());
    }
    Ok(url)
}
