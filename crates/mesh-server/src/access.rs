//! Who may ask: the `Host` and `Origin` headers.
//!
//! A browser sends requests for any page that it shows. A foreign page must not reach a mesh on
//! the reader's own machine: neither directly (its `Origin` tells) nor by a name that its owner
//! points at the loopback address (the `Host` tells). Programs that are no browsers send what
//! they like, and are none of this module's business.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use crate::refusal::Refusal;

/// Names under which a server answers and pages that may use it, besides its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// `Host` headers to answer, `name` (with any port) or `name:port`, lower case, IPv6
    /// addresses in brackets. Loopback names and the address that a connection came in on are
    /// answered anyway.
    pub hosts: Vec<String>,
    /// Origins whose pages may use the server, such as `https://app.example`: lower case, no
    /// path. The server's own pages may anyway.
    pub origins: Vec<String>,
    /// Lets the pages of every origin use the server. Unsafe where anything that the server
    /// keeps, or runs, is not for everybody whom a reader of foreign pages may be.
    pub any_origin: bool,
}

impl Access {
    /// Checks a request that came in on `local`. Gives the origin of the page that sent it, if
    /// a page did.
    pub(crate) fn check(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        local: IpAddr,
    ) -> Result<Option<HeaderValue>, Refusal> {
        let host = single(headers, &header::HOST)
            .and_then(|host| host.ok_or(()))
            .map_err(|()| Refusal::BadHost)?
            .to_ascii_lowercase();
        let (name, port) = split_port(&host).ok_or(Refusal::BadHost)?;
        // A request line with a whole address has to agree with the header.
        if uri.authority().is_some_and(|own| !own.as_str().eq_ignore_ascii_case(&host)) {
            return Err(Refusal::BadHost);
        }
        if !self.answers(&host, name, local) {
            return Err(Refusal::HostNotAllowed { host });
        }
        match single(headers, &header::ORIGIN) {
            Ok(None) => Ok(None),
            Ok(Some(origin)) => {
                let origin = origin.to_ascii_lowercase();
                let own = is_same_origin(&origin, name, port);
                if own || self.any_origin || self.origins.contains(&origin) {
                    Ok(headers.get(header::ORIGIN).cloned())
                } else {
                    Err(Refusal::OriginNotAllowed { origin })
                }
            }
            Err(()) => Err(Refusal::OriginNotAllowed { origin: "several".to_owned() }),
        }
    }

    /// Whether this server is meant by `name`. Ports do not matter for the names that are always
    /// answered: a tunnel or a container changes them.
    fn answers(&self, host: &str, name: &str, local: IpAddr) -> bool {
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        let always = match address {
            Some(address) => {
                let address = address.to_canonical();
                address.is_loopback() || address == local.to_canonical()
            }
            // Browsers resolve these to their own machine without asking anybody.
            None => name == "localhost" || name.ends_with(".localhost"),
        };
        always || self.hosts.iter().any(|allowed| allowed == host || allowed == name)
    }
}

/// The header's value if it is there; an error if there are several, or it is no text.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// Name (an IPv6 address in its brackets) and port of a `Host` header.
fn split_port(host: &str) -> Option<(&str, Option<u16>)> {
    let end = if host.starts_with('[') {
        host.find(']')? + 1
    } else {
        host.find(':').unwrap_or(host.len())
    };
    let (name, rest) = host.split_at(end);
    let port = match rest.strip_prefix(':') {
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => Some(port.parse().ok()?),
        None if rest.is_empty() => None,
        Some(_) | None => return None,
    };
    (!name.is_empty()).then_some((name, port))
}

/// Whether a page of `origin` was served under this name and port. The scheme may be either: a
/// proxy may add encryption.
fn is_same_origin(origin: &str, name: &str, port: Option<u16>) -> bool {
    let (authority, usual) = if let Some(authority) = origin.strip_prefix("http://") {
        (authority, 80)
    } else if let Some(authority) = origin.strip_prefix("https://") {
        (authority, 443)
    } else {
        return false;
    };
    split_port(authority).is_some_and(|(origin_name, origin_port)| {
        origin_name == name && origin_port.unwrap_or(usual) == port.unwrap_or(usual)
    })
}

#[cfg(test)]
mod tests;
