//! Tests of the limits on connections.

use proptest::prelude::*;

use super::*;

fn limiter(limits: ConnectionLimits) -> ConnectionLimiter {
    let proxies = ["10.0.0.0/8".parse().unwrap()];
    ConnectionLimiter::new(limits, &proxies, Arc::new(Metrics::new().unwrap()))
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn connection_over_limit_of_its_address_is_refused_until_a_permit_is_dropped() {
    let limiter = limiter(ConnectionLimits { total: 100, of_port: 90, of_address: 2 });
    let open = |client: &str| limiter.open(Port::Http, address(client));
    let (first, _second) = (open("192.0.2.1").unwrap(), open("::ffff:192.0.2.1").unwrap());
    assert!(open("192.0.2.1").is_none(), "the mapped address is the same client");
    assert!(limiter.open(Port::Grpc, address("192.0.2.1")).is_some(), "each port has its own count");
    assert!(open("192.0.2.2").is_some());
    let _network = [open("2001:db8::1").unwrap(), open("2001:db8::2").unwrap()];
    assert!(open("2001:db8::3").is_none(), "a network of IPv6 is one client");
    let proxied: Vec<_> = (0..10).map(|_| open("10.1.2.3").unwrap()).collect();
    drop((first, proxied));
    assert!(open("192.0.2.1").is_some());
    let refused = limiter.0.metrics.connections_refused.with_label_values(&["http", "address"]).get();
    assert_eq!(refused, 2);
}

#[test]
fn full_port_leaves_connections_to_the_other_port_and_to_this_machine() {
    let limiter = limiter(ConnectionLimits { total: 80, of_port: 70, of_address: 80 });
    let fill = |port, client: &str| {
        std::iter::from_fn(|| limiter.open(port, address(client))).take(1_000).collect::<Vec<_>>()
    };
    let grpc = fill(Port::Grpc, "192.0.2.1");
    assert_eq!(grpc.len(), 70 - LOCAL_RESERVE);
    let local = fill(Port::Grpc, "127.0.0.1");
    assert_eq!(local.len(), LOCAL_RESERVE);
    let http = fill(Port::Http, "127.0.0.1");
    assert_eq!(http.len(), 10, "the rest of the total");
    let scrapers: Vec<_> = (1..=9).map(|client| fill(Port::Metrics, &format!("192.0.2.{client}"))).collect();
    assert_eq!(scrapers[0].len(), MAX_METRICS / ADDRESS_SHARE, "one address does not exclude the others");
    assert_eq!(scrapers.iter().map(Vec::len).sum::<usize>(), MAX_METRICS * 3 / 4);
    assert_eq!(fill(Port::Metrics, "127.0.0.1").len(), MAX_METRICS / 4, "the reserve of this machine");
    drop((grpc, local, http, scrapers));
    assert_eq!(limiter.lock().of_address.len(), 0, "clients without connections have no entry");
    assert_eq!(limiter.0.metrics.connections.with_label_values(&["grpc"]).get(), 0);
}

#[test]
fn limits_leave_files_to_redis_livekit_and_the_other_port() {
    assert_eq!(
        ConnectionLimits::new(400, 2, 40_000, None),
        ConnectionLimits { total: 238, of_port: 209, of_address: 59 }
    );
    let large = ConnectionLimits::new(1 << 20, 8, 40_000, Some(500));
    assert_eq!(large, ConnectionLimits { total: 40_000, of_port: 35_000, of_address: 500 });
    assert_eq!(large.remote(), 35_000 - LOCAL_RESERVE);
    assert_eq!(ConnectionLimits::new(64, 8, 40_000, None).total, MIN_CONNECTIONS);
}

proptest! {
    #[test]
    fn limits_are_below_the_files_and_never_zero(
        open_files in 400_usize..2_000_000,
        threads in 1_usize..16,
        wanted in 1_usize..100_000,
    ) {
        let limits = ConnectionLimits::new(open_files, threads, wanted, None);
        let accepted = limiter(limits).accepted_by_worker(Port::Http, threads) * threads;
        prop_assert!(accepted > limits.of_port, "the workers can hold all connections of the port");
        prop_assert!(accepted + limits.total - limits.of_port + MAX_METRICS < open_files);
        prop_assert!(limits.total <= wanted && limits.remote() >= limits.of_port * 3 / 4);
        prop_assert!((1..=limits.total).contains(&limits.of_port) && (1..=limits.of_port).contains(&limits.of_address));
    }
}
