//! The kinds of values a setting may have: how each is read, bounded and shown.

use std::ffi::OsString;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use mesh_runtime::thread::TtlStrategy;
use mesh_server::ErrorFormat;
use secrecy::SecretString;
use serde_json::Value;
use tracing_subscriber::EnvFilter;
use url::{Host, Url};

/// Entries of one list setting.
const LIST_ITEMS_MAX: usize = 64;

/// Characters of a refused value that an error repeats.
const GIVEN_CHARS_MAX: usize = 80;

/// A value as a layer holds it, before its setting's kind has looked at it. Without `Debug`,
/// because it may be a secret.
#[derive(Clone, PartialEq)]
pub(super) enum Raw {
    Text(String),
    /// A flag or variable that is not UTF-8; only paths may be.
    Native(OsString),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    List(Vec<Raw>),
    /// A TOML value that no setting takes, by its type.
    Other(&'static str),
}

/// A refused value, described so that it can stand in an error.
#[derive(Debug)]
pub(super) struct Given(pub(super) String);

impl Raw {
    /// The value as an error may repeat it: one line, printable, of bounded length.
    fn given(&self) -> Given {
        Given(match self {
            Self::Text(text) if text.is_empty() => "an empty text".to_owned(),
            Self::Text(text) => printable(text),
            Self::Native(_) => "a text that is not UTF-8".to_owned(),
            Self::Integer(number) => number.to_string(),
            // With a fraction even if it is zero, which is why a whole number was refused.
            Self::Float(number) => format!("{number:?}"),
            Self::Boolean(value) => value.to_string(),
            Self::List(_) => "a list".to_owned(),
            Self::Other(name) => format!("a {name}"),
        })
    }

    /// Text without the spaces around it, which environment files collect.
    fn text(&self) -> Result<&str, Given> {
        match self {
            Self::Text(text) => Ok(text.trim()),
            _ => Err(self.given()),
        }
    }
}

/// `text` on one line, without control characters, cut to [`GIVEN_CHARS_MAX`].
pub(super) fn printable(text: &str) -> String {
    let mut line = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == GIVEN_CHARS_MAX {
            line.push('…');
            break;
        }
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// A value as reports show it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shown {
    /// For programs.
    pub(super) json: Value,
    /// For people; what a person could write in the environment to get this value.
    pub(super) text: String,
}

impl Shown {
    fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { json: Value::from(text.clone()), text }
    }
}

/// What values a setting takes.
pub(super) trait Kind {
    /// The checked value.
    type Value;

    /// The bounds in words, after "expected".
    fn accepts(&self) -> String;

    /// Reads one value; `Err` describes what was found instead.
    fn parse(&self, raw: &Raw) -> Result<Self::Value, Given>;

    /// Shows a value; never more of a secret than that it is set.
    fn show(&self, value: &Self::Value) -> Shown;

    /// Whether values must stay out of reports.
    fn is_secret(&self) -> bool {
        false
    }
}

/// Free text, its length in characters (Unicode scalar values), not bytes.
pub(super) struct Text {
    pub(super) chars: RangeInclusive<usize>,
}

impl Kind for Text {
    type Value = String;

    fn accepts(&self) -> String {
        format!("{} to {} characters", self.chars.start(), self.chars.end())
    }

    fn parse(&self, raw: &Raw) -> Result<String, Given> {
        let text = raw.text()?;
        if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            return Err(Given("a text with control characters".to_owned()));
        }
        let count = text.chars().count();
        if self.chars.contains(&count) {
            Ok(text.to_owned())
        } else {
            Err(Given(format!("{count} characters")))
        }
    }

    fn show(&self, value: &String) -> Shown {
        Shown::text(value)
    }
}

/// A whole number within bounds that the value's type can hold.
pub(super) struct Integer<T> {
    pub(super) range: RangeInclusive<T>,
}

impl<T> Kind for Integer<T>
where
    T: Copy + PartialOrd + Display + TryFrom<i128> + Into<Value>,
{
    type Value = T;

    fn accepts(&self) -> String {
        format!("{} to {}", self.range.start(), self.range.end())
    }

    fn parse(&self, raw: &Raw) -> Result<T, Given> {
        let number = match raw {
            Raw::Integer(number) => Some(*number),
            _ => raw.text()?.parse::<i128>().ok(),
        };
        number
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| self.range.contains(number))
            .ok_or_else(|| raw.given())
    }

    fn show(&self, value: &T) -> Shown {
        Shown { json: (*value).into(), text: value.to_string() }
    }
}

/// A finite number within bounds.
pub(super) struct Decimal {
    pub(super) range: RangeInclusive<f64>,
}

impl Kind for Decimal {
    type Value = f64;

    fn accepts(&self) -> String {
        format!("{} to {}", self.range.start(), self.range.end())
    }

    fn parse(&self, raw: &Raw) -> Result<f64, Given> {
        let number = match raw {
            Raw::Float(number) => Some(*number),
            Raw::Integer(number) => Some(*number as f64),
            _ => raw.text()?.parse::<f64>().ok(),
        };
        // NaN is in no range.
        number.filter(|number| self.range.contains(number)).ok_or_else(|| raw.given())
    }

    fn show(&self, value: &f64) -> Shown {
        Shown { json: Value::from(*value), text: value.to_string() }
    }
}

/// Units of [`Bytes`], largest first so that the longest exact one is shown.
const BYTE_UNITS: [(&str, usize); 4] =
    [("MiB", 1024 * 1024), ("MB", 1_000_000), ("KiB", 1024), ("kB", 1000)];

/// A number of bytes, with or without a unit.
pub(super) struct Bytes {
    pub(super) range: RangeInclusive<usize>,
}

impl Bytes {
    fn words(bytes: usize) -> String {
        BYTE_UNITS
            .iter()
            .find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size))
            .map_or_else(|| bytes.to_string(), |(unit, size)| format!("{} {unit}", bytes / size))
    }

    fn read(text: &str) -> Option<usize> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim();
        let size = match unit {
            "" | "B" => 1,
            _ => BYTE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
        };
        number.parse::<usize>().ok()?.checked_mul(size)
    }
}

impl Kind for Bytes {
    type Value = usize;

    fn accepts(&self) -> String {
        format!("{} to {}", Self::words(*self.range.start()), Self::words(*self.range.end()))
    }

    fn parse(&self, raw: &Raw) -> Result<usize, Given> {
        let bytes = match raw {
            Raw::Integer(number) => usize::try_from(*number).ok(),
            _ => Self::read(raw.text()?),
        };
        bytes.filter(|bytes| self.range.contains(bytes)).ok_or_else(|| raw.given())
    }

    fn show(&self, value: &usize) -> Shown {
        Shown { json: Value::from(*value), text: Self::words(*value) }
    }
}

/// A time in seconds, fractions allowed, with or without the unit `s`.
pub(super) struct Seconds {
    pub(super) range: RangeInclusive<u64>,
}

impl Kind for Seconds {
    type Value = Duration;

    fn accepts(&self) -> String {
        format!("{} s to {} s", self.range.start(), self.range.end())
    }

    fn parse(&self, raw: &Raw) -> Result<Duration, Given> {
        let seconds = match raw {
            Raw::Integer(number) => Some(*number as f64),
            Raw::Float(number) => Some(*number),
            _ => {
                let text = raw.text()?;
                text.strip_suffix('s').unwrap_or(text).trim_end().parse::<f64>().ok()
            }
        };
        let bounds = *self.range.start() as f64..=*self.range.end() as f64;
        seconds
            .filter(|seconds| bounds.contains(seconds))
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .ok_or_else(|| raw.given())
    }

    fn show(&self, value: &Duration) -> Shown {
        let seconds = value.as_secs_f64();
        let json =
            if value.subsec_nanos() == 0 { value.as_secs().into() } else { Value::from(seconds) };
        Shown { json, text: format!("{seconds} s") }
    }
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line, for machines.
    Json,
}

/// `text` or `json`.
pub(super) struct LineFormat;

impl Kind for LineFormat {
    type Value = LogFormat;

    fn accepts(&self) -> String {
        "text or json".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<LogFormat, Given> {
        match raw.text()?.to_ascii_lowercase().as_str() {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(raw.given()),
        }
    }

    fn show(&self, value: &LogFormat) -> Shown {
        Shown::text(match value {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        })
    }
}

/// `true` or `false`.
pub(super) struct Switch;

impl Kind for Switch {
    type Value = bool;

    fn accepts(&self) -> String {
        "true or false".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<bool, Given> {
        match raw {
            Raw::Boolean(value) => Ok(*value),
            _ => match raw.text()?.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Ok(true),
                "false" | "0" | "no" | "off" => Ok(false),
                _ => Err(raw.given()),
            },
        }
    }

    fn show(&self, value: &bool) -> Shown {
        Shown { json: (*value).into(), text: value.to_string() }
    }
}

/// `json` or `text`, for the bodies of errors.
pub(super) struct BodyFormat;

impl Kind for BodyFormat {
    type Value = ErrorFormat;

    fn accepts(&self) -> String {
        "json or text".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<ErrorFormat, Given> {
        match raw.text()?.to_ascii_lowercase().as_str() {
            "json" => Ok(ErrorFormat::Json),
            "text" => Ok(ErrorFormat::Text),
            _ => Err(raw.given()),
        }
    }

    fn show(&self, value: &ErrorFormat) -> Shown {
        Shown::text(match value {
            ErrorFormat::Json => "json",
            ErrorFormat::Text => "text",
        })
    }
}

/// What happens to a thread whose time is up.
pub(super) struct Strategy;

impl Kind for Strategy {
    type Value = TtlStrategy;

    fn accepts(&self) -> String {
        "delete or keep_latest".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<TtlStrategy, Given> {
        TtlStrategy::named(&raw.text()?.to_ascii_lowercase()).ok_or_else(|| raw.given())
    }

    fn show(&self, value: &TtlStrategy) -> Shown {
        Shown::text(value.name())
    }
}

/// A number of minutes, in the wire's words for an interval.
pub(super) struct Minutes {
    pub(super) range: RangeInclusive<u64>,
}

impl Kind for Minutes {
    type Value = Duration;

    fn accepts(&self) -> String {
        format!("{} to {}", self.range.start(), self.range.end())
    }

    fn parse(&self, raw: &Raw) -> Result<Duration, Given> {
        let minutes = Integer { range: self.range.clone() }.parse(raw)?;
        Ok(Duration::from_secs(minutes * 60))
    }

    fn show(&self, value: &Duration) -> Shown {
        let minutes = value.as_secs() / 60;
        Shown { json: minutes.into(), text: minutes.to_string() }
    }
}

/// A log filter that `tracing_subscriber` understands.
pub(super) struct LogFilter;

impl Kind for LogFilter {
    type Value = String;

    fn accepts(&self) -> String {
        "a level or a filter such as info,mesh_server=debug".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<String, Given> {
        let text = raw.text()?;
        if text.is_empty() || EnvFilter::builder().parse(text).is_err() {
            return Err(raw.given());
        }
        Ok(text.to_owned())
    }

    fn show(&self, value: &String) -> Shown {
        Shown::text(value)
    }
}

/// A key: printable ASCII without spaces, because it travels in an HTTP header.
pub(super) struct Secret;

/// Characters of a secret; the longest tokens in use are a few thousand.
const SECRET_CHARS_MAX: usize = 8192;

impl Kind for Secret {
    type Value = SecretString;

    fn accepts(&self) -> String {
        format!("1 to {SECRET_CHARS_MAX} printable ASCII characters without spaces")
    }

    fn parse(&self, raw: &Raw) -> Result<SecretString, Given> {
        // Never `Raw::given`: it would repeat the value.
        let Raw::Text(text) = raw else {
            return Err(Given("a value that is no text (not shown)".to_owned()));
        };
        let text = text.trim();
        if text.is_empty() || text.len() > SECRET_CHARS_MAX {
            return Err(Given(format!("{} characters (not shown)", text.chars().count())));
        }
        if !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err(Given("a text with other characters (not shown)".to_owned()));
        }
        Ok(SecretString::from(text))
    }

    fn show(&self, _: &SecretString) -> Shown {
        Shown::text("***")
    }

    fn is_secret(&self) -> bool {
        true
    }
}

/// The base address of a service.
///
/// Credentials and queries are refused, not hidden: they would end up in logs and in error
/// texts of every library the address is handed to.
pub(super) struct HttpUrl;

impl Kind for HttpUrl {
    type Value = Url;

    fn accepts(&self) -> String {
        "an http or https URL with a host, without user, password, query or fragment".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<Url, Given> {
        let text = raw.text()?;
        let refused = || {
            if text.contains(['@', '?', '#']) {
                Given("a URL with more than a host and a path (not shown)".to_owned())
            } else {
                raw.given()
            }
        };
        let url = Url::parse(text).map_err(|_| refused())?;
        let fits = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if fits { Ok(url) } else { Err(refused()) }
    }

    fn show(&self, value: &Url) -> Shown {
        Shown::text(value.as_str())
    }
}

/// The path part of an address.
pub(super) struct UrlPath;

/// Characters of a path.
const URL_PATH_CHARS_MAX: usize = 200;

impl Kind for UrlPath {
    type Value = String;

    fn accepts(&self) -> String {
        format!("a path that begins with /, at most {URL_PATH_CHARS_MAX} characters, no query")
    }

    fn parse(&self, raw: &Raw) -> Result<String, Given> {
        let text = raw.text()?;
        let fits = text.starts_with('/')
            && text.chars().count() <= URL_PATH_CHARS_MAX
            && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "?#".contains(c));
        if fits { Ok(text.to_owned()) } else { Err(raw.given()) }
    }

    fn show(&self, value: &String) -> Shown {
        Shown::text(value)
    }
}

/// A name or address to listen on.
pub(super) struct ListenHost;

impl Kind for ListenHost {
    type Value = String;

    fn accepts(&self) -> String {
        "a host name or an IP address, without scheme and port".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<String, Given> {
        let text = raw.text()?;
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<std::net::IpAddr>() {
            return Ok(address.to_string());
        }
        match Host::parse(text) {
            Ok(Host::Domain(name)) => Ok(name),
            // A dotted number such as `127.1` is an address only to URL parsers.
            _ => Err(raw.given()),
        }
    }

    fn show(&self, value: &String) -> Shown {
        Shown::text(value)
    }
}

/// The origin of a web page, as browsers send it.
pub(super) struct WebOrigin;

impl Kind for WebOrigin {
    type Value = String;

    fn accepts(&self) -> String {
        "an origin such as https://app.example (scheme, host, port if unusual, no path)".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<String, Given> {
        let url = HttpUrl.parse(raw)?;
        if url.path() != "/" {
            return Err(raw.given());
        }
        Ok(url.origin().ascii_serialization())
    }

    fn show(&self, value: &String) -> Shown {
        Shown::text(value)
    }
}

/// The value of a `Host` header.
pub(super) struct HostHeader;

impl Kind for HostHeader {
    type Value = String;

    fn accepts(&self) -> String {
        "a host such as mesh.example or mesh.example:8080".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<String, Given> {
        let text = raw.text()?;
        let (host, port) = match text.rsplit_once(':') {
            // The colons of an IPv6 address stand before its closing bracket.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let host = Host::parse(host).map_err(|_| raw.given())?;
        match port.map(str::parse::<u16>) {
            None => Ok(host.to_string()),
            Some(Ok(port)) => Ok(format!("{host}:{port}")),
            Some(Err(_)) => Err(raw.given()),
        }
    }

    fn show(&self, value: &String) -> Shown {
        Shown::text(value)
    }
}

/// An IP network.
pub(super) struct Network;

impl Kind for Network {
    type Value = IpNet;

    fn accepts(&self) -> String {
        "a network such as 10.20.0.0/16 or fd00:1::/64".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<IpNet, Given> {
        let network: IpNet = raw.text()?.parse().map_err(|_| raw.given())?;
        Ok(network.trunc())
    }

    fn show(&self, value: &IpNet) -> Shown {
        Shown::text(value.to_string())
    }
}

/// A file; relative ones are below the working directory.
pub(super) struct OneFile {
    pub(super) working_directory: PathBuf,
}

impl Kind for OneFile {
    type Value = PathBuf;

    fn accepts(&self) -> String {
        "a file (~ is not expanded)".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<PathBuf, Given> {
        Folder { working_directory: self.working_directory.clone() }.parse(raw)
    }

    fn show(&self, value: &PathBuf) -> Shown {
        Shown::text(value.to_string_lossy())
    }
}

/// A folder; relative ones are below the working directory.
pub(super) struct Folder {
    pub(super) working_directory: PathBuf,
}

impl Kind for Folder {
    type Value = PathBuf;

    fn accepts(&self) -> String {
        "a folder (~ is not expanded)".to_owned()
    }

    fn parse(&self, raw: &Raw) -> Result<PathBuf, Given> {
        let path = match raw {
            Raw::Native(path) => PathBuf::from(path),
            _ => PathBuf::from(raw.text()?),
        };
        // A folder really called `~` is never meant.
        let first = path.components().next().map(|part| part.as_os_str().as_encoded_bytes());
        if first.is_none_or(|first| first.starts_with(b"~") || first.contains(&0)) {
            return Err(raw.given());
        }
        Ok(self.working_directory.join(path))
    }

    fn show(&self, value: &PathBuf) -> Shown {
        Shown::text(value.to_string_lossy())
    }
}

/// A setting that may be left unset.
pub(super) struct Optional<K>(pub(super) K);

impl<K: Kind> Kind for Optional<K> {
    type Value = Option<K::Value>;

    fn accepts(&self) -> String {
        self.0.accepts()
    }

    fn parse(&self, raw: &Raw) -> Result<Option<K::Value>, Given> {
        self.0.parse(raw).map(Some)
    }

    fn show(&self, value: &Option<K::Value>) -> Shown {
        match value {
            Some(value) => self.0.show(value),
            None => Shown { json: Value::Null, text: String::new() },
        }
    }

    fn is_secret(&self) -> bool {
        self.0.is_secret()
    }
}

/// Several values: a list in the file, a comma list elsewhere.
pub(super) struct List<K>(pub(super) K);

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;

    fn accepts(&self) -> String {
        format!("at most {LIST_ITEMS_MAX} of: {}", self.0.accepts())
    }

    fn parse(&self, raw: &Raw) -> Result<Vec<K::Value>, Given> {
        let items = match raw {
            Raw::List(items) => items.clone(),
            _ => raw
                .text()?
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| Raw::Text(item.to_owned()))
                .collect(),
        };
        if items.len() > LIST_ITEMS_MAX {
            return Err(Given(format!("{} items", items.len())));
        }
        items.iter().map(|item| self.0.parse(item)).collect()
    }

    fn show(&self, value: &Vec<K::Value>) -> Shown {
        let items: Vec<Shown> = value.iter().map(|item| self.0.show(item)).collect();
        let text = items.iter().map(|item| item.text.as_str()).collect::<Vec<_>>().join(", ");
        Shown { json: items.into_iter().map(|item| item.json).collect(), text }
    }

    fn is_secret(&self) -> bool {
        self.0.is_secret()
    }
}
