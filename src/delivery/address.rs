//! Which addresses deliveries may connect to: globally reachable unicast ones, so that an endpoint's URL cannot reach
//! services beside this one (server-side request forgery).
//!
//! The networks are those of IANA's special-purpose address registries that are not globally reachable.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Networks that `WEBHOOK_ALLOW_PRIVATE` opens: loopback and private ones (RFC 1918, RFC 4193).
const PRIVATE_V4: [Ipv4Net; 4] =
    [v4([127, 0, 0, 0], 8), v4([10, 0, 0, 0], 8), v4([172, 16, 0, 0], 12), v4([192, 168, 0, 0], 16)];
const PRIVATE_V6: [Ipv6Net; 2] = [v6([0, 0, 0, 0, 0, 0, 0, 1], 128), v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7)];

/// Networks to which no delivery connects: link-local, multicast, reserved and documentation ones, transition
/// mechanisms, and addresses of metadata services of clouds.
const FORBIDDEN_V4: [Ipv4Net; 11] = [
    v4([0, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([169, 254, 0, 0], 16),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 3),
    // Azure's platform services, which are reachable from virtual machines only.
    v4([168, 63, 129, 16], 32),
];
const FORBIDDEN_V6: [Ipv6Net; 8] = [
    // IETF protocol assignments, Teredo and ORCHID among them.
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    // 6to4, which embeds an IPv4 address.
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
    // Metadata services of AWS, Google Cloud, Oracle Cloud and Scaleway, within the private network.
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32),
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0], 32),
    v6([0xfd00, 0xc1, 0, 0, 0, 0, 0, 0], 32),
    v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0], 32),
];
/// Global unicast addresses (RFC 4291, section 2.4).
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
/// Well-known prefix of NAT64 (RFC 6052), in front of an IPv4 address.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

const fn v4(octets: [u8; 4], length: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(segments: [u16; 8], length: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length)
}

/// Which addresses deliveries may connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Permits loopback and private addresses too.
    pub allows_private: bool,
}

impl AddressPolicy {
    /// Reports whether a delivery may connect to the address.
    pub fn permits(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.permits_v4(address),
            IpAddr::V6(address) => match embedded_v4(address) {
                Some(address) => self.permits_v4(address),
                None => self.permits_v6(address),
            },
        }
    }

    fn permits_v4(self, address: Ipv4Addr) -> bool {
        let is_private = PRIVATE_V4.iter().any(|network| network.contains(&address));
        let is_forbidden = FORBIDDEN_V4.iter().any(|network| network.contains(&address));
        !is_forbidden && (self.allows_private || !is_private)
    }

    fn permits_v6(self, address: Ipv6Addr) -> bool {
        let is_private = PRIVATE_V6.iter().any(|network| network.contains(&address));
        let is_forbidden = FORBIDDEN_V6.iter().any(|network| network.contains(&address));
        !is_forbidden && (GLOBAL_V6.contains(&address) || (self.allows_private && is_private))
    }
}

/// Returns the IPv4 address to which a mapped address (RFC 4291, section 2.5.5.2) or a NAT64 address leads.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = address.octets();
    let of_nat64 = NAT64.contains(&address).then(|| Ipv4Addr::new(a, b, c, d));
    address.to_ipv4_mapped().or(of_nat64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC_ONLY: AddressPolicy = AddressPolicy { allows_private: false };
    const WITH_PRIVATE: AddressPolicy = AddressPolicy { allows_private: true };

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn public_address_is_permitted() {
        for text in
            ["1.1.1.1", "172.32.0.1", "192.169.0.1", "2606:4700::1111", "2a00:1450::1", "::ffff:1.1.1.1"]
        {
            assert!(PUBLIC_ONLY.permits(address(text)) && WITH_PRIVATE.permits(address(text)), "{text}");
        }
        assert!(PUBLIC_ONLY.permits(address("64:ff9b::101:101")));
    }

    #[test]
    fn private_address_is_permitted_only_by_the_setting() {
        for text in ["127.0.0.1", "127.9.9.9", "10.1.2.3", "172.31.255.255", "192.168.0.1", "::1", "fc00::1"]
        {
            assert!(!PUBLIC_ONLY.permits(address(text)) && WITH_PRIVATE.permits(address(text)), "{text}");
        }
        for text in ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"] {
            assert!(!PUBLIC_ONLY.permits(address(text)), "{text}");
        }
    }

    #[test]
    fn link_local_metadata_and_reserved_addresses_are_never_permitted() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "169.254.169.254",
            "169.254.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "198.19.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "fd00:42::42",
            "2001:db8::1",
            "2002:7f00:1::",
            "2001::1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "::127.0.0.1",
        ] {
            assert!(!WITH_PRIVATE.permits(address(text)) && !PUBLIC_ONLY.permits(address(text)), "{text}");
        }
    }
}
