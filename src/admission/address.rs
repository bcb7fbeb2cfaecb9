//! Whose call it is, behind proxies.

use std::net::IpAddr;

use ipnet::IpNet;

fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// An IPv4 address that a socket for both families shows as IPv6.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// An entry of `X-Forwarded-For`, which some proxies write with a port.
fn parse(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let bare = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(address, _)| address);
    let without_port =
        || entry.rsplit_once(':').and_then(|(address, _)| address.parse::<std::net::Ipv4Addr>().ok());
    let parsed = bare.unwrap_or(entry).parse().ok();
    parsed.or_else(|| without_port().map(IpAddr::V4)).map(plain)
}

/// The address of a client that reaches this service from `peer`. Each trusted proxy says at the end of `forwarded`
/// (the values of `X-Forwarded-For`, in order) who reached it; what stands further left is only a claim.
pub fn client_address<'a>(
    trusted: &[IpNet],
    peer: IpAddr,
    forwarded: impl DoubleEndedIterator<Item = &'a str>,
) -> IpAddr {
    let mut address = plain(peer);
    for entry in forwarded.rev().flat_map(|value| value.rsplit(',')) {
        if !is_trusted(trusted, address) {
            break;
        }
        let Some(further) = parse(entry) else { break };
        address = further;
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(peer: &str, forwarded: &[&str]) -> String {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "2001:db8::/32"].map(|net| net.parse().unwrap()).into();
        client_address(&trusted, peer.parse().unwrap(), forwarded.iter().copied()).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        for (peer, forwarded, expected) in [
            ("192.0.2.9", &["198.51.100.1"][..], "192.0.2.9"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["nonsense"], "10.0.0.1"),
            ("10.0.0.1", &["nonsense, 10.0.0.2"], "10.0.0.2"),
            ("::ffff:10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("2001:db8::1", &["[2001:4860::8]:443"], "2001:4860::8"),
        ] {
            assert_eq!(found(peer, forwarded), expected, "{peer} {forwarded:?}");
        }
    }
}
