//! Everything a person can set, as one typed value.
//!
//! Each setting is looked up in five layers; the first that has it wins: command line,
//! process environment, `.env` in the working directory, `genesis-mesh.toml`, default. The list
//! of settings is one table (`settings/table.rs`): reading, `config show`, the table in the
//! handbook, the flags' help and every error message come from it. To add a setting, add its
//! entry there and the field it fills here; the compiler asks for the one that is missing.
//!
//! This module reads two small files and nothing else. It never changes the process
//! environment, never creates a file, and never prints: warnings are handed back in
//! [`Settings::warnings`]. A secret leaves it only through
//! [`secrecy::ExposeSecret`], never through `Debug`, an error, a warning or a report.

mod kind;
mod layers;
mod origin;
mod problem;
mod report;
mod table;
mod warning;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use etcetera::BaseStrategy;
use ipnet::IpNet;
use mesh_runtime::thread::TtlStrategy;
use secrecy::SecretString;
use url::Url;

use layers::{Layers, Reader};

pub use kind::LogFormat;
pub use mesh_server::ErrorFormat;
pub use origin::Origin;
pub use problem::{LoadError, Problem};
pub use report::{Row, markdown_table, table_rows};
pub use warning::Warning;

/// Name of the settings file looked for in the working directory.
pub const FILE_NAME: &str = "genesis-mesh.toml";

/// Environment variable that names another settings file; `--config` goes before it.
pub const FILE_VARIABLE: &str = "GENESIS_MESH_CONFIG";

/// Name of the file of variables looked for in the working directory.
pub const DOT_ENV_NAME: &str = ".env";

/// All settings, checked: a value of this type is within every bound of the table.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Where and how the mesh listens.
    pub server: Server,
    /// Absolute path of the folder that holds all the mesh writes. It may not exist yet.
    pub data_dir: PathBuf,
    /// Who may ask.
    pub auth: Auth,
    /// What is logged, and how.
    pub log: Log,
    /// The OpenAI-compatible model service.
    pub openai: OpenAi,
    /// The blog agent.
    pub blogger: Blogger,
    /// Web search through a SearXNG instance.
    pub searxng: Searxng,
    /// Limits of reading web pages.
    pub fetch: Fetch,
    /// Telling others how runs end.
    pub webhooks: Webhooks,
    /// How long threads are kept.
    pub thread_ttl: ThreadTtl,
    /// How long items of the store are kept.
    pub item_ttl: ItemTtl,
    /// What a person should know before this configuration is used, in a fixed order.
    pub warnings: Vec<Warning>,
    /// Every setting as text, in the order of the table.
    rows: Vec<Row>,
    /// The settings file that was read, as it was named.
    file: Option<PathBuf>,
}

/// Where and how the mesh listens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Server {
    /// Name or address to listen on; an IPv6 address has no brackets here.
    pub host: String,
    /// Port to listen on; 0 takes any free port.
    pub port: u16,
    /// Origins (`https://app.example`, lower case, no path) whose pages may open a socket,
    /// besides the server's own.
    pub allowed_origins: Vec<String>,
    /// `Host` headers (`name` or `name:port`, lower case) that are answered, besides the
    /// server's own.
    pub allowed_hosts: Vec<String>,
    /// Lets the pages of every origin use the server.
    pub unsafe_any_origin: bool,
    /// Form of the bodies of HTTP errors.
    pub error_format: ErrorFormat,
    /// Largest message accepted from a client, in bytes.
    pub message_bytes_max: usize,
    /// Connections held at once.
    pub connections_max: usize,
    /// Connections that one caller may have busy at once.
    pub connections_of_caller_max: usize,
    /// Runs of one caller that may wait for their turn.
    pub pending_runs_max: usize,
    /// Bytes of a thread's state above which nothing is added to it.
    pub state_bytes_max: usize,
    /// How long running work may finish after a stop signal.
    pub drain_timeout: Duration,
    /// How long the event protocol holds back the news that a run paused or ended.
    pub pause_hold: Duration,
}

/// Who may ask.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Auth {
    /// Asks nobody who they are, whatever else is set.
    pub unsafe_no_authentication: bool,
    /// Secret that bearer tokens are signed with (HS256).
    pub jwt_secret: Option<SecretString>,
    /// Address of the key set that bearer tokens are signed with.
    pub jwks_url: Option<Url>,
    /// File with such a key set; absolute.
    pub jwks_file: Option<PathBuf>,
    /// The issuer of tokens.
    pub issuer: Option<String>,
    /// The audiences of tokens; one has to be named by each.
    pub audiences: Vec<String>,
    /// The subjects of tokens that are let in; empty for all.
    pub subjects: Vec<String>,
}

impl Settings {
    /// The secrets among the settings, by name.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static str, &SecretString)> {
        let secrets = [
            ("auth.jwt_secret", &self.auth.jwt_secret),
            ("openai.api_key", &self.openai.api_key),
            ("webhooks.secret", &self.webhooks.secret),
        ];
        secrets.into_iter().filter_map(|(name, secret)| Some((name, secret.as_ref()?)))
    }

    /// The switches that were set against good advice, by name.
    pub fn unsafe_settings(&self) -> Vec<&'static str> {
        let switches = [
            ("auth.unsafe_no_authentication", self.auth.unsafe_no_authentication),
            ("server.unsafe_any_origin", self.server.unsafe_any_origin),
        ];
        switches.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name).collect()
    }
}

/// What is logged, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Log {
    /// A filter that `tracing_subscriber::EnvFilter` has accepted.
    pub filter: String,
    /// Lines for people or for machines.
    pub format: LogFormat,
}

/// The OpenAI-compatible model service.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenAi {
    /// Address before `/chat/completions`; http or https, without credentials or query.
    pub base_url: Url,
    /// The key, if the service wants one.
    pub api_key: Option<SecretString>,
    /// Model of every role that names none of its own.
    pub model: Option<String>,
}

/// The blog agent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Blogger {
    /// The structure a post gets unless the request names one, 1 to 500 characters.
    pub blog_structure: String,
    /// Search queries per section, 1 to 3.
    pub number_of_queries: usize,
    /// Sections worked on at once, 1 to 16.
    pub parallel_sections: usize,
    /// The model that plans posts and queries.
    pub planner: Role,
    /// The model that writes sections.
    pub executor: Role,
}

/// One role of an agent and the model that plays it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Role {
    /// Name of the model; `openai.model` when the role names none of its own.
    pub llm: Option<String>,
    /// Longest answer asked for, in tokens.
    pub max_tokens: u32,
    /// Sampling temperature, 0 to 1.
    pub temperature: f64,
}

/// Web search through a SearXNG instance.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Searxng {
    /// Address of the instance; without one there is no web search.
    pub base_url: Option<Url>,
    /// Path of its search page below [`Searxng::base_url`], with a leading slash.
    pub search_path: String,
    /// Engines to ask; empty leaves the choice to the instance.
    pub engines: Vec<String>,
    /// Results with a lower score are left out. SearXNG's scores may exceed 1.
    pub min_score: f64,
}

/// Limits of reading web pages.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Fetch {
    /// Pages read in one run.
    pub pages_max: usize,
    /// Largest page read, in bytes, after decompression.
    pub page_bytes_max: usize,
    /// Longest time for one page, redirects included.
    pub timeout: Duration,
    /// Networks that may be fetched from although they are not public.
    pub allowed_networks: Vec<IpNet>,
}

/// Telling others how runs end.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Webhooks {
    /// What letters are signed with.
    pub secret: Option<SecretString>,
}

/// How long threads are kept whose makers do not say so.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ThreadTtl {
    /// What happens to a thread whose time is up.
    pub strategy: TtlStrategy,
    /// Minutes after its last use; for ever without.
    pub default_ttl: Option<f64>,
    /// How often threads are looked for whose time is up.
    pub sweep_interval: Duration,
}

/// How long items of the store are kept whose writers do not say so.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ItemTtl {
    /// Minutes after it was written, or read if that counts; for ever without.
    pub default_ttl: Option<f64>,
    /// Whether reading an item starts its time anew.
    pub refresh_on_read: bool,
    /// How often items are looked for whose time is up.
    pub sweep_interval: Duration,
}

/// The models of the two roles of the blog agent, both present.
#[derive(Debug, Clone, Copy)]
pub struct BloggerModels<'a> {
    /// Name of the planner's model.
    pub planner: &'a str,
    /// Name of the executor's model.
    pub executor: &'a str,
}

/// Values given on the command line, by flag (`--port`), not yet checked.
///
/// They stay text so that a bound is written once, in the table, and a wrong value is
/// described alike wherever it came from.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    config: Option<PathBuf>,
    values: BTreeMap<&'static str, OsString>,
}

impl Flags {
    /// No flag given.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds the value of `flag`, written with its dashes; `None` means it was not given.
    pub fn with(mut self, flag: &'static str, value: Option<impl Into<OsString>>) -> Self {
        if let Some(value) = value {
            self.values.insert(flag, value.into());
        }
        self
    }

    /// Names the settings file (`--config`), which then must exist.
    pub fn with_config(mut self, file: Option<PathBuf>) -> Self {
        self.config = file;
        self
    }
}

/// All that [`Settings::load`] depends on, as a value, so that tests need no real environment.
/// Without `Debug`: the environment holds secrets, ours and others'.
#[derive(Clone)]
pub struct Surroundings {
    /// What the command line said.
    pub flags: Flags,
    /// The process environment; values need not be UTF-8.
    pub environment: BTreeMap<String, OsString>,
    /// Absolute folder in which `.env` and `genesis-mesh.toml` are looked for, and to which
    /// relative paths in settings refer.
    pub working_directory: PathBuf,
    /// Data folder by the platform's rules; `None` when no home folder is known.
    pub data_dir: Option<PathBuf>,
}

impl Surroundings {
    /// Reads the surroundings of this process.
    ///
    /// Variables whose *name* is not UTF-8 are left out: no setting has such a name.
    ///
    /// # Errors
    /// The working directory was removed or may not be read.
    pub fn of_process(flags: Flags) -> io::Result<Self> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect();
        let data_dir = etcetera::base_strategy::choose_native_strategy()
            .ok()
            .map(|strategy| strategy.data_dir().join("genesis-mesh"));
        Ok(Self { flags, environment, working_directory: std::env::current_dir()?, data_dir })
    }
}

impl Settings {
    /// Reads, joins and checks all layers.
    ///
    /// A setting takes the first layer that has it: flag, environment, `.env`,
    /// `genesis-mesh.toml`, default. Within the environment and within `.env` the variable that
    /// the table lists first wins; an empty variable counts as not set. Of a variable that
    /// stands twice in `.env`, the later line counts.
    ///
    /// # Errors
    /// [`LoadError`] lists every problem found, not only the first.
    pub fn load(surroundings: &Surroundings) -> Result<Self, LoadError> {
        let mut problems = Vec::new();
        let layers = Layers::read(surroundings, &mut problems);
        let mut reader = Reader::new(&layers, problems);
        let mut settings = table::read(&mut reader, surroundings);
        let finished = reader.finish();
        if !finished.problems.is_empty() {
            return Err(LoadError { problems: finished.problems });
        }
        settings.rows = finished.rows;
        settings.file = layers.file_name().map(PathBuf::from);
        settings.warnings = warning::find(&settings, finished.unknown_variables);
        Ok(settings)
    }

    /// Every setting with its value as text and its origin, in the order of the table.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Where the setting called `name` (`server.port`) got its value, or `None` if there is no
    /// setting of that name.
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        self.rows.iter().find(|row| row.name == name).map(|row| &row.origin)
    }

    /// The models of the blog agent, or `None` when it has to work without.
    ///
    /// Both roles need a name: there is no default model, because a name that the service does
    /// not know would fail only after the run began. A key is not needed: local services have
    /// none.
    pub fn blogger_models(&self) -> Option<BloggerModels<'_>> {
        let planner = self.blogger.planner.llm.as_deref()?;
        let executor = self.blogger.executor.llm.as_deref()?;
        Some(BloggerModels { planner, executor })
    }

    /// The warnings about configured addresses that lead back to this server when it listens
    /// on `port`.
    ///
    /// [`Settings::warnings`] already holds them for `server.port`; whoever listens on port 0
    /// asks again once the real port is known.
    pub fn self_url_warnings(&self, port: u16) -> Vec<Warning> {
        warning::self_urls(self, port)
    }
}

#[cfg(test)]
mod tests;
