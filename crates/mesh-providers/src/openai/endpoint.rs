//! From a base URL as people write it to the address of chat completions. Pure.

use url::{Host, Url};

use super::ConfigError;

/// Where requests go.
///
/// | base URL | requests go to |
/// | --- | --- |
/// | no path, with or without slash | `/v1/chat/completions` |
/// | a path, with or without slash at its end | that path + `/chat/completions` |
/// | a path that ends in `/chat/completions` | that path |
///
/// A query (Azure's `api-version`) is kept, a fragment is dropped.
pub(crate) fn chat_url(base: &Url) -> Result<Url, ConfigError> {
    if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
        return Err(ConfigError::BaseUrl { expected: "an http or https address" });
    }
    if !base.username().is_empty() || base.password().is_some() {
        return Err(ConfigError::BaseUrl { expected: "no user name and no password in it" });
    }
    let path = base.path().trim_end_matches('/');
    let path = match path {
        "" => "/v1/chat/completions".to_owned(),
        path if path.ends_with("/chat/completions") => path.to_owned(),
        path => format!("{path}/chat/completions"),
    };
    let mut url = base.clone();
    url.set_path(&path);
    url.set_fragment(None);
    Ok(url)
}

/// Whether the server is this machine, where a proxy has no business.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_common_form_of_a_base_url_works() {
        for (base, expected) in [
            ("https://api.openai.com", "https://api.openai.com/v1/chat/completions"),
            ("https://api.openai.com/", "https://api.openai.com/v1/chat/completions"),
            ("https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"),
            ("https://api.openai.com/v1/", "https://api.openai.com/v1/chat/completions"),
            ("http://localhost:11434", "http://localhost:11434/v1/chat/completions"),
            ("https://api.groq.com/openai/v1", "https://api.groq.com/openai/v1/chat/completions"),
            ("http://h/v1/chat/completions/", "http://h/v1/chat/completions"),
            ("http://h/d?api-version=1#x", "http://h/d/chat/completions?api-version=1"),
        ] {
            assert_eq!(chat_url(&base.parse().unwrap()).unwrap().as_str(), expected);
        }
    }

    #[test]
    fn other_schemes_and_passwords_are_refused() {
        for base in ["file:///etc", "ftp://h/v1", "http://user:pw@h/v1", "http://user@h/v1"] {
            assert!(chat_url(&base.parse().unwrap()).is_err(), "{base}");
        }
    }

    #[test]
    fn this_machine_is_known_by_all_its_names() {
        for (url, expected) in [
            ("http://localhost:1", true),
            ("http://127.0.0.1:1", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:1", true),
            ("http://10.0.0.1", false),
            ("http://localhost.example.org", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
