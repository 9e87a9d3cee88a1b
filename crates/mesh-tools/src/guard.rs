//! The address rule: which URLs and addresses a guarded request may reach.
//!
//! Addresses are judged twice, because neither place sees everything: [`Guard::check`] judges a
//! URL (and with it every address written literally), and [`GuardedResolver`] judges what a name
//! resolves to at the moment of connecting, so that an answer that changes between check and use
//! changes nothing. This module never opens a connection and never asks DNS by itself except
//! inside the resolver that the HTTP client calls.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mesh_agents::source::SourceError;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

#[cfg(test)]
mod tests;

/// Addresses taken from one DNS answer; a page needs one, and a name with hundreds is an attack.
const ADDRESSES_PER_NAME_MAX: usize = 32;

/// IPv4 networks that are not the public Internet: IANA's special-purpose registry, plus
/// multicast and the reserved block.
const IPV4_REFUSED: [Ipv4Net; 16] = [
    v4(0, 0, 0, 0, 8),       // "this network", unspecified
    v4(10, 0, 0, 0, 8),      // private
    v4(100, 64, 0, 0, 10),   // carrier-grade NAT
    v4(127, 0, 0, 0, 8),     // loopback
    v4(169, 254, 0, 0, 16),  // link-local, with the clouds' metadata service
    v4(172, 16, 0, 0, 12),   // private
    v4(192, 0, 0, 0, 24),    // IETF protocol assignments
    v4(192, 0, 2, 0, 24),    // documentation
    v4(192, 31, 196, 0, 24), // AS112
    v4(192, 52, 193, 0, 24), // AMT
    v4(192, 88, 99, 0, 24),  // 6to4 relays
    v4(192, 168, 0, 0, 16),  // private
    v4(198, 18, 0, 0, 15),   // benchmarking
    v4(198, 51, 100, 0, 24), // documentation
    v4(203, 0, 113, 0, 24),  // documentation
    v4(224, 0, 0, 0, 3),     // multicast, reserved, broadcast
];

/// The only IPv6 block given out for the public Internet. Everything outside it is refused as a
/// whole: loopback, unspecified, v4-mapped and v4-compatible, NAT64 (`64:ff9b::/96` and
/// `64:ff9b:1::/48`), discard-only, unique local, link-local, site-local, multicast.
const IPV6_PUBLIC: Ipv6Net = v6(0x2000, 0, 3);

/// What is still not public inside [`IPV6_PUBLIC`].
const IPV6_REFUSED: [Ipv6Net; 4] = [
    v6(0x2001, 0, 23),      // IETF assignments: Teredo, benchmarking, ORCHID
    v6(0x2001, 0x0db8, 32), // documentation
    v6(0x2002, 0, 16),      // 6to4: carries any IPv4 address
    v6(0x3fff, 0, 20),      // documentation
];

/// Ports from 1024 up that speak something else than HTTP: the WHATWG Fetch standard's list of
/// bad ports, so that a page cannot make us talk to a mail, chat or file server.
const PORTS_REFUSED: [u16; 20] = [
    1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669,
    6679, 6697, 10080, 11211,
];

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(first: u16, second: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), prefix)
}

/// Why the rule refuses a URL. None of them repeats the address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Forbidden {
    /// Neither `http` nor `https`.
    #[error("only http and https addresses are read, not {scheme}")]
    Scheme {
        /// The scheme that was given.
        scheme: String,
    },
    /// A user name or password inside the URL.
    #[error("addresses with a user name or password are not read")]
    Credentials,
    /// No host.
    #[error("the address names no host")]
    NoHost,
    /// A port of another protocol.
    #[error("port {port} is not read: only 80, 443 and ports from 1024 that speak HTTP")]
    Port {
        /// The port that was given.
        port: u16,
    },
    /// The host is, or resolves only to, an address outside the public Internet.
    #[error("the host is not on the public Internet")]
    NotPublic,
}

impl From<Forbidden> for SourceError {
    fn from(forbidden: Forbidden) -> Self {
        Self::Refused { reason: forbidden.to_string() }
    }
}

/// Public addresses only, plus the networks that the operator names.
///
/// Ports: 80, 443 and everything from 1024 up that is no other protocol's well-known port; the
/// low ports belong to mail, login and name services. The rule for ports is the same for the
/// extra networks.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    extra: Arc<[IpNet]>,
}

impl Guard {
    /// The rule without exceptions.
    pub fn public_only() -> Self {
        Self::default()
    }

    /// The rule with exceptions, such as an intranet. Each network is allowed as written: an
    /// IPv4 network does not include its IPv6-mapped spelling.
    pub fn with_networks(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self { extra: networks.into_iter().collect() }
    }

    /// Judges a URL: scheme, credentials, port, and the host if it is an address.
    ///
    /// A name passes here and is judged by [`GuardedResolver`] when it is resolved.
    ///
    /// # Errors
    /// [`Forbidden`] names the first rule that is broken.
    pub fn check(&self, url: &Url) -> Result<(), Forbidden> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Forbidden::Scheme { scheme: url.scheme().to_owned() });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Forbidden::Credentials);
        }
        let port = url.port_or_known_default().unwrap_or(0);
        if !matches!(port, 80 | 443 | 1024..) || PORTS_REFUSED.contains(&port) {
            return Err(Forbidden::Port { port });
        }
        let literal = match url.host() {
            None => return Err(Forbidden::NoHost),
            Some(Host::Domain(_)) => return Ok(()),
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
        };
        if self.permits(literal) { Ok(()) } else { Err(Forbidden::NotPublic) }
    }

    /// Whether a connection to this address may be opened.
    pub fn permits(&self, address: IpAddr) -> bool {
        if self.extra.iter().any(|network| network.contains(&address)) {
            return true;
        }
        match address {
            IpAddr::V4(address) => !IPV4_REFUSED.iter().any(|network| network.contains(&address)),
            IpAddr::V6(address) => {
                IPV6_PUBLIC.contains(&address)
                    && !IPV6_REFUSED.iter().any(|network| network.contains(&address))
            }
        }
    }
}

/// Resolves names with the system's resolver and keeps only the answers that [`Guard`] permits.
#[derive(Debug, Clone)]
pub struct GuardedResolver {
    guard: Guard,
}

impl GuardedResolver {
    /// A resolver under this rule.
    pub fn new(guard: Guard) -> Self {
        Self { guard }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.guard.clone();
        Box::pin(async move {
            // Port 0 is replaced by the URL's port when the connection is made.
            let answers = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(keep_permitted(&guard, answers)?)
        })
    }
}

/// The permitted ones among a name's addresses, in the resolver's order.
fn keep_permitted(
    guard: &Guard,
    answers: impl Iterator<Item = SocketAddr>,
) -> Result<Addrs, Forbidden> {
    let permitted: Vec<SocketAddr> =
        answers.filter(|answer| guard.permits(answer.ip())).take(ADDRESSES_PER_NAME_MAX).collect();
    if permitted.is_empty() {
        return Err(Forbidden::NotPublic);
    }
    Ok(Box::new(permitted.into_iter()))
}
