//! Address of a client behind trusted proxies, and what limits count it under.

use std::net::IpAddr;

use ipnet::IpNet;

fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// Parses an entry of `X-Forwarded-For`. Some proxies append a port.
fn parse(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let bare = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(address, _)| address);
    let without_port =
        || entry.rsplit_once(':').and_then(|(address, _)| address.parse::<std::net::Ipv4Addr>().ok());
    let parsed = bare.unwrap_or(entry).parse().ok();
    parsed.or_else(|| without_port().map(IpAddr::V4)).map(|address| address.to_canonical())
}

/// Returns the address of the client whose connection, or whose proxy's connection, comes from `peer`.
///
/// Each trusted proxy appends the address of its own client to `forwarded`, the values of `X-Forwarded-For` in order.
/// The first address from the right that is not a trusted proxy's is the client's; entries left of it may be forged.
pub fn client_address<'a>(
    trusted: &[IpNet],
    peer: IpAddr,
    forwarded: impl DoubleEndedIterator<Item = &'a str>,
) -> IpAddr {
    // A dual-stack socket reports an IPv4 peer as an IPv6 address.
    let mut address = peer.to_canonical();
    for entry in forwarded.rev().flat_map(|value| value.rsplit(',')) {
        if !is_trusted(trusted, address) {
            break;
        }
        let Some(next) = parse(entry) else { break };
        address = next;
    }
    address
}

/// Returns the limit key of an address.
pub fn address_key(address: IpAddr) -> String {
    let network = address_network(address);
    match network {
        IpAddr::V4(_) => format!("address:{network}"),
        IpAddr::V6(_) => format!("address:{network}/64"),
    }
}

/// Returns the network that limits count under: an IPv4 address itself, and the /64 network of an IPv6 address, because
/// one customer has all of its addresses.
pub fn address_network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(peer: &str, forwarded: &[&str]) -> String {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "2001:db8::/32"].map(|net| net.parse().unwrap()).into();
        client_address(&trusted, peer.parse().unwrap(), forwarded.iter().copied()).to_string()
    }

    #[test]
    fn forwarded_address_is_used_from_trusted_proxies_only() {
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

    #[test]
    fn addresses_of_one_ipv6_network_have_one_key() {
        let key = |text: &str| address_key(text.parse().unwrap());
        assert_eq!(key("192.0.2.1"), "address:192.0.2.1");
        assert_eq!(key("2001:db8:1:2:3::4"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    }
}
