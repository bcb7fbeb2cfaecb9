//! Hosts and origins from which an API without authentication (`AUTH=off`) accepts requests.
//!
//! Any page in a browser can send requests to this machine's addresses. Two rules keep such a page from using the API:
//! the host of a request must be an address or a configured name, which excludes a page whose own name resolves to this
//! machine (DNS rebinding), and a change must not come from a page of another origin.

use std::net::{IpAddr, Ipv6Addr};

use url::{Host, Origin, Url};

/// Hosts and origins that an open API accepts.
#[derive(Clone, Debug, Default)]
pub struct HostPolicy {
    /// Accepted host names besides `localhost`, in lower case.
    pub allowed_hosts: Vec<String>,
    /// Origins besides the request's own host whose pages may make changes: serialized origins, or `*`.
    pub allowed_origins: Vec<String>,
}

/// Host and port of a `Host` header or an `:authority`.
struct Authority<'a> {
    host: Host<&'a str>,
    port: Option<u16>,
}

impl HostPolicy {
    /// Reports whether requests for this host, with any port, are accepted: `localhost`, an IP address or an allowed
    /// name.
    ///
    /// An address cannot be the name of a foreign page, because a browser sends the name that it has resolved.
    pub fn allows_host(&self, authority: &str) -> bool {
        match Authority::parse(authority).map(|authority| authority.host) {
            Some(Host::Domain(name)) => {
                name.eq_ignore_ascii_case("localhost")
                    || self.allowed_hosts.iter().any(|allowed| name.eq_ignore_ascii_case(allowed))
            }
            Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
            None => false,
        }
    }

    /// Reports whether a change, or a WebSocket, may be requested with these values of `Origin` and `Sec-Fetch-Site`.
    /// `authority` is the request's `Host`.
    ///
    /// A request without both headers is accepted, because it comes from no page.
    pub fn allows_origin(
        &self,
        authority: Option<&str>,
        origin: Option<&str>,
        fetch_site: Option<&str>,
    ) -> bool {
        if origin.is_some_and(|origin| self.is_listed(origin)) {
            return true;
        }
        // `same-site` is another port or another subdomain, which may be another application.
        let is_own_page = fetch_site.is_none_or(|site| site == "same-origin" || site == "none");
        is_own_page && origin.is_none_or(|origin| is_origin_of(origin, authority))
    }

    fn is_listed(&self, origin: &str) -> bool {
        self.allowed_origins.iter().any(|allowed| allowed == "*" || allowed == origin)
    }
}

/// Reports whether an `Origin` has this host and port. Either scheme counts, because a proxy may terminate TLS.
fn is_origin_of(origin: &str, authority: Option<&str>) -> bool {
    let Some(authority) = authority.and_then(Authority::parse) else { return false };
    let Ok(Origin::Tuple(scheme, host, port)) = Url::parse(origin).map(|url| url.origin()) else {
        return false;
    };
    let default_port = if scheme == "https" { 443 } else { 80 };
    let has_same_host = match (&host, authority.host) {
        (Host::Domain(one), Host::Domain(other)) => one.eq_ignore_ascii_case(other),
        (Host::Ipv4(one), Host::Ipv4(other)) => *one == other,
        (Host::Ipv6(one), Host::Ipv6(other)) => *one == other,
        _ => false,
    };
    has_same_host && port == authority.port.unwrap_or(default_port)
}

impl<'a> Authority<'a> {
    /// Parses `host`, `host:port`, `[address]` or `[address]:port`; `None` for anything else, such as user information.
    fn parse(text: &'a str) -> Option<Self> {
        let end =
            if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
        let (host, port) = text.split_at(end);
        let port = match port {
            "" => None,
            _ => Some(port.strip_prefix(':')?.parse().ok()?),
        };
        Some(Self { host: parse_host(host)?, port })
    }
}

/// Parses a host. A name may end in the dot of the root zone.
fn parse_host(text: &str) -> Option<Host<&str>> {
    if let Some(address) = text.strip_prefix('[') {
        return address.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(Host::Ipv6);
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    match name.parse() {
        Ok(IpAddr::V4(address)) => Some(Host::Ipv4(address)),
        // Without brackets it is not a host.
        Ok(IpAddr::V6(_)) => None,
        Err(_) => is_host_name(name).then_some(Host::Domain(name)),
    }
}

/// Reports whether a text has the characters of a host name.
pub fn is_host_name(text: &str) -> bool {
    let is_valid = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    !text.is_empty() && text.bytes().all(is_valid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> HostPolicy {
        HostPolicy {
            allowed_hosts: vec!["live.example.com".to_owned()],
            allowed_origins: vec!["https://app.example.com".to_owned()],
        }
    }

    #[test]
    #[rustfmt::skip]
    fn host_is_accepted_if_it_is_localhost_an_address_or_an_allowed_name() {
        for host in [
            "localhost", "LocalHost:3000", "localhost.", "127.0.0.1", "127.8.9.10:80", "[::1]", "[::1]:3000",
            "192.0.2.7:3000", "[2001:db8::1]:3000", "live.example.com", "LIVE.example.com.:8443",
        ] {
            assert!(policy().allows_host(host), "{host}");
        }
        for host in [
            "", ":3000", "evil.example", "evil.example:3000", "localhost.evil.example", "evil-localhost",
            "127.0.0.1.evil.example", "evil@127.0.0.1", "127.0.0.1@evil.example", "::1", "[::1", "[::1]x",
            "[localhost]", "2130706433", "0x7f.1", "127.1", "localhost:port", "localhost:99999", "localhost:1:2",
            "sub.live.example.com", "localhost ", "localhost,evil.example", "localhost/", "[fe80::1%25eth0]",
        ] {
            assert!(!policy().allows_host(host), "{host}");
        }
    }

    #[test]
    fn change_is_accepted_from_own_host_listed_origins_and_clients_without_origin() {
        let allows = |host, origin, site| policy().allows_origin(host, origin, site);
        let own = Some("localhost:3000");
        for (host, origin, site) in [
            (own, None, None),
            (None, None, None),
            (own, None, Some("same-origin")),
            (own, None, Some("none")),
            (own, Some("http://localhost:3000"), None),
            (own, Some("http://localhost:3000"), Some("same-origin")),
            (Some("LOCALHOST:3000"), Some("https://localhost:3000"), None),
            (Some("live.example.com"), Some("https://live.example.com"), Some("same-origin")),
            (Some("live.example.com:443"), Some("https://live.example.com"), None),
            (Some("[::1]:3000"), Some("http://[::1]:3000"), None),
            (own, Some("https://app.example.com"), Some("cross-site")),
        ] {
            assert!(allows(host, origin, site), "{host:?} {origin:?} {site:?}");
        }
        for (host, origin, site) in [
            (own, Some("https://evil.example"), None),
            (own, Some("http://localhost:5173"), Some("same-site")),
            (own, Some("http://127.0.0.1:3000"), None),
            (own, Some("http://localhost:3000"), Some("cross-site")),
            (own, Some("null"), None),
            (own, Some(""), None),
            (own, Some("http://localhost:3000.evil.example"), None),
            (own, Some("https://app.example.com.evil.example"), None),
            (own, None, Some("cross-site")),
            (own, None, Some("same-site")),
            (None, Some("http://localhost:3000"), None),
            (Some("evil@localhost:3000"), Some("http://localhost:3000"), None),
            (Some("live.example.com:80"), Some("https://live.example.com"), None),
        ] {
            assert!(!allows(host, origin, site), "{host:?} {origin:?} {site:?}");
        }
        let open = HostPolicy { allowed_origins: vec!["*".to_owned()], ..policy() };
        assert!(open.allows_origin(own, Some("null"), Some("cross-site")));
        assert!(!open.allows_origin(own, None, Some("cross-site")), "no origin is listed");
    }

    proptest! {
        #[test]
        fn foreign_name_is_refused_with_any_port_and_case(
            name in "[a-zA-Z0-9-]{1,20}\\.[a-zA-Z]{2,10}",
            port in any::<u16>(),
        ) {
            let authority = format!("{name}:{port}");
            prop_assert!(!policy().allows_host(&authority));
            prop_assert!(!policy().allows_host(&name));
            let origin = format!("http://{name}");
            prop_assert!(!policy().allows_origin(Some("localhost:3000"), Some(&origin), None));
        }

        #[test]
        fn every_address_is_accepted_and_is_its_own_origin(address in any::<IpAddr>(), port in any::<u16>()) {
            let authority = std::net::SocketAddr::new(address, port).to_string();
            prop_assert!(policy().allows_host(&authority));
            let origin = format!("http://{authority}");
            prop_assert!(policy().allows_origin(Some(&authority), Some(&origin), None));
            prop_assert!(!policy().allows_origin(Some("localhost:3000"), Some(&origin), None));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            policy().allows_host(&text);
            policy().allows_origin(Some(&text), Some(&text), Some(&text));
        }
    }
}
