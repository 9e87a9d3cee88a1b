//! What a person should know about a configuration that can be used all the same.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use super::Settings;

/// Something probably not meant, or not safe. The text says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// A variable with one of our prefixes that no setting reads.
    UnknownVariable(UnknownVariable),
    /// The address of a service is that of this server.
    SelfUrl {
        /// The setting that holds the address.
        setting: &'static str,
        /// The address.
        url: Url,
    },
    /// Other machines can reach a server that asks nobody who they are.
    OpenHost {
        /// The address listened on.
        host: String,
    },
    /// A switch was set that makes the server less safe.
    UnsafeSetting {
        /// The setting.
        setting: &'static str,
    },
    /// A key, but no model to use it with.
    KeyWithoutModel,
    /// The service behind the default address wants a key.
    ModelWithoutKey,
    /// One role of the blog agent has a model, another has none.
    RoleWithoutModel {
        /// The setting that is missing.
        setting: &'static str,
    },
}

/// A misspelt or outdated variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVariable {
    /// The variable.
    pub name: String,
    /// Its line in `.env`; `None` if it stands in the process environment.
    pub line: Option<usize>,
    /// The most similar variable that is read.
    pub nearest: &'static str,
}

impl Warning {
    /// Whether this matters only to a command that listens.
    pub fn concerns_serving_only(&self) -> bool {
        matches!(self, Self::OpenHost { .. } | Self::UnsafeSetting { .. })
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownVariable(UnknownVariable { name, line, nearest }) => {
                match line {
                    Some(line) => write!(f, ".env line {line}: ")?,
                    None => write!(f, "environment: ")?,
                }
                write!(f, "{name} is not a variable this program reads; the nearest is {nearest}")
            }
            Self::SelfUrl { setting, url } => write!(
                f,
                "{setting} ({url}) is the address of this server itself: change {setting}, or \
                 listen elsewhere with --port"
            ),
            Self::OpenHost { host } => write!(
                f,
                "listening on {host}: other machines can reach this server, and it asks nobody who \
                 they are, so anyone who can connect can use it"
            ),
            Self::UnsafeSetting { setting } => {
                write!(f, "{setting} is on: the server is less safe than it would be without")
            }
            Self::KeyWithoutModel => write!(
                f,
                "openai.api_key is set but no model is named: the blogger works without a model \
                 until openai.model (OPENAI_LLM_NAME) is set"
            ),
            Self::ModelWithoutKey => write!(
                f,
                "a model is named but openai.api_key (OPENAI_API_KEY) is not set: \
                 api.openai.com will refuse requests"
            ),
            Self::RoleWithoutModel { setting } => write!(
                f,
                "{setting} is not set: the blogger works without a model until it, or \
                 openai.model, is set"
            ),
        }
    }
}

/// All warnings about `settings`.
pub(super) fn find(settings: &Settings, unknown: Vec<UnknownVariable>) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = unknown.into_iter().map(Warning::UnknownVariable).collect();
    if settings.server.port != 0 {
        warnings.extend(self_urls(settings, settings.server.port));
    }
    for setting in settings.unsafe_settings() {
        warnings.push(Warning::UnsafeSetting { setting });
    }
    if !is_loopback(&settings.server.host) && settings.auth.unsafe_no_authentication {
        warnings.push(Warning::OpenHost { host: settings.server.host.clone() });
    }
    let (planner, executor) = (&settings.blogger.planner.llm, &settings.blogger.executor.llm);
    match (planner, executor) {
        (None, None) if settings.openai.api_key.is_some() => {
            warnings.push(Warning::KeyWithoutModel);
        }
        (None, None) => {}
        (None, Some(_)) => {
            warnings.push(Warning::RoleWithoutModel { setting: "blogger.planner.llm" });
        }
        (Some(_), None) => {
            warnings.push(Warning::RoleWithoutModel { setting: "blogger.executor.llm" });
        }
        (Some(_), Some(_)) => {
            let public = settings.openai.base_url.host_str() == Some("api.openai.com");
            if public && settings.openai.api_key.is_none() {
                warnings.push(Warning::ModelWithoutKey);
            }
        }
    }
    warnings
}

/// The configured addresses that lead to this server when it listens on `port`.
pub(super) fn self_urls(settings: &Settings, port: u16) -> Vec<Warning> {
    let openai = Some(("openai.base_url", &settings.openai.base_url));
    let searxng = settings.searxng.base_url.as_ref().map(|url| ("searxng.base_url", url));
    [openai, searxng]
        .into_iter()
        .flatten()
        .filter(|(_, url)| leads_back(settings, url, port))
        .map(|(setting, url)| Warning::SelfUrl { setting, url: url.clone() })
        .collect()
}

/// Whether `url` reaches this server, directly on `port` or by a name it is known under (which
/// may be that of a proxy in front of it, with the proxy's port).
fn leads_back(settings: &Settings, url: &Url, port: u16) -> bool {
    let Some(url_port) = url.port_or_known_default() else { return false };
    let (bare, bracketed) = match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_owned();
            (name.clone(), name)
        }
        Some(Host::Ipv4(address)) => (address.to_string(), address.to_string()),
        Some(Host::Ipv6(address)) => (address.to_string(), format!("[{address}]")),
        None => return false,
    };
    let own = &settings.server.host;
    let is_direct = bare == *own || (is_local(own) && is_local(&bare));
    let is_known = settings.server.allowed_hosts.iter().any(|allowed| {
        *allowed == format!("{bracketed}:{url_port}")
            || (*allowed == bracketed && (url.port().is_none() || url_port == port))
    });
    is_known || (is_direct && url_port == port)
}

fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Loopback, or "all addresses", which connects to this machine as well.
fn is_local(host: &str) -> bool {
    is_loopback(host) || host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
}
