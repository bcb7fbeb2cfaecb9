use super::*;

/// The URLs of the configured nodes, and of a node found by a lookup.
fn urls(text: &str) -> (Vec<String>, String) {
    let (deployment, options) = parse(text).unwrap();
    let node = Node { host: "10.0.0.9".to_owned(), port: 7000 };
    let (nodes, own_options) = match deployment {
        Deployment::Standalone(node) => (vec![node], options.clone()),
        Deployment::Sentinel { sentinels, options, .. } => (sentinels, options),
        Deployment::Cluster(nodes) => (nodes, options.clone()),
    };
    (nodes.iter().map(|node| own_options.url(node)).collect(), options.url(&node))
}

#[test]
fn address_of_each_deployment_yields_urls_of_its_nodes() {
    let (nodes, _) = urls("redis://ann:p%40ss@redis.example/3?protocol=resp2");
    assert_eq!(nodes, ["redis://ann:p%40ss@redis.example:6379/3?protocol=resp2"]);
    let (nodes, master) = urls("redis+sentinel://ann:p%40ss@one,two:1,[::1]:2/the-master/3");
    assert_eq!(nodes, ["redis://one:26379", "redis://two:1", "redis://[::1]:2"]);
    assert_eq!(master, "redis://ann:p%40ss@10.0.0.9:7000/3");
    let (nodes, master) =
        urls("rediss+sentinel://:word@one/the-master?sentinel-user=bob&sentinel-password=a%2Bb");
    assert_eq!(nodes, ["rediss://bob:a%2Bb@one:26379"]);
    assert_eq!(master, "rediss://:word@10.0.0.9:7000/0");
    let (nodes, owner) = urls("redis+cluster://ann:word@one:7001,two:7002/");
    assert_eq!(nodes, ["redis://ann:word@one:7001", "redis://ann:word@two:7002"]);
    assert_eq!(owner, "redis://ann:word@10.0.0.9:7000");
}

#[test]
fn addresses_in_a_list_are_separated_by_commas() {
    for (list, addresses) in [
        ("redis://one", vec!["redis://one"]),
        ("redis://:a,b@redis,redis://two/1", vec!["redis://:a,b@redis", "redis://two/1"]),
        (
            "redis+sentinel://redis,two/the-master/0, rediss://three",
            vec!["redis+sentinel://redis,two/the-master/0", "rediss://three"],
        ),
        ("redis+cluster://one,redis", vec!["redis+cluster://one,redis"]),
    ] {
        assert_eq!(split(list), addresses);
        assert!(Address::is_tls(list) == list.contains("rediss"), "{list}");
    }
    for wrong in ["redis://one,redis://one", "redis://one,redis+cluster://two", "redis://one,redis://"] {
        assert!(Address::check(wrong).is_err(), "{wrong}");
    }
    assert!(Address::check("redis://one/0,redis://one/1,redis+sentinel://three/the-master").is_ok());
}

#[test]
fn address_with_invalid_form_is_refused() {
    for wrong in [
        "hunter2",
        "http://one",
        "redis+sentinel://one",
        "redis+sentinel://one/",
        "redis+sentinel://one/the-master/x",
        "redis+sentinel://one/the-master?password=x",
        "redis+sentinel://one:port/the-master",
        "redis+sentinel:///the-master",
        "redis+cluster://one,/",
        "redis+cluster://one/1",
        "redis+elsewhere://one",
        "redis://one/database",
    ] {
        assert!(Address::check(wrong).is_err(), "{wrong}");
    }
    assert!(Address::check("rediss+cluster://one").is_ok());
}
