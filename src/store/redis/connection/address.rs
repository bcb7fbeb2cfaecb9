//! Where Redis is, as `REDIS_URL` says it: one server, a master that Sentinel names, or a cluster.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use redis::{Client, ClientTlsConfig, RedisError, TlsCertificates};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded;

use super::node::Node;

/// What `REDIS_URL` has to look like.
const RULE: &str = "must be redis:// or rediss://, user:password@host:port/database; \
                    redis+sentinel:// or rediss+sentinel://, user:password@host:port,host:port/master-name/database; \
                    or redis+cluster:// or rediss+cluster://, user:password@host:port,host:port";
/// Where Redis listens unless told otherwise, and where Sentinel does.
const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
/// Sentinel's own user and password, in the query of the address.
const SENTINEL_USER: &str = "sentinel-user";
const SENTINEL_PASSWORD: &str = "sentinel-password";

/// How to reach Redis.
#[derive(Clone, Debug)]
pub struct Address {
    /// `redis://`, `redis+sentinel://`, `redis+cluster://`, or those with `rediss`, with credentials.
    pub url: SecretString,
    /// For `rediss`: who is trusted to vouch for Redis, as PEM; none for the roots of this machine.
    pub ca: Option<Vec<u8>>,
    /// For `rediss`: this service's own certificate and its key, as PEM.
    pub identity: Option<(Vec<u8>, SecretString)>,
}

impl Address {
    /// Whether the address can be understood. Nothing is looked up.
    ///
    /// # Errors
    /// The rule that it breaks. It never repeats the address, which holds a password.
    pub fn check(url: &str) -> Result<(), &'static str> {
        let (deployment, access) = parse(url)?;
        let nodes = match deployment {
            Deployment::One(node) => vec![node],
            Deployment::Sentinel { sentinels, .. } => sentinels,
            Deployment::Cluster(nodes) => nodes,
        };
        let understood =
            |node: &Node| redis::IntoConnectionInfo::into_connection_info(access.url(node)).is_ok();
        if nodes.iter().all(understood) { Ok(()) } else { Err(RULE) }
    }

    /// Whether certificates have a meaning.
    pub fn is_tls(url: &str) -> bool {
        url.starts_with("rediss:") || url.starts_with("rediss+")
    }

    /// What there is, and the way in.
    ///
    /// # Errors
    /// The rule that the address breaks.
    pub(super) fn read(&self) -> Result<(Deployment, Access), &'static str> {
        let (deployment, mut access) = parse(self.url.expose_secret())?;
        access.ca.clone_from(&self.ca);
        access.identity.clone_from(&self.identity);
        Ok((deployment, access))
    }
}

/// How Redis is deployed.
#[derive(Clone, Debug)]
pub(super) enum Deployment {
    /// One address, whoever answers there.
    One(Node),
    /// The master that Sentinel names.
    Sentinel {
        /// Where the Sentinels are.
        sentinels: Vec<Node>,
        /// What they call the master.
        master: String,
        /// The way in to a Sentinel, if that is another than the way in to Redis.
        access: Access,
    },
    /// The node of a cluster that has the slot of our keys.
    Cluster(Vec<Node>),
}

/// What a node wants to know of us, whichever node it is.
#[derive(Clone, Debug)]
pub(super) struct Access {
    tls: bool,
    /// `user:password@`, percent-encoded, or nothing.
    credentials: SecretString,
    /// What follows host and port: the database, and options of the client library.
    rest: String,
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, SecretString)>,
}

impl Access {
    fn new(tls: bool, credentials: &str, rest: &str) -> Self {
        let credentials = SecretString::from(credentials.to_owned());
        Self { tls, credentials, rest: rest.to_owned(), ca: None, identity: None }
    }

    fn url(&self, node: &Node) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        format!("{scheme}://{}{node}{}", self.credentials.expose_secret(), self.rest)
    }

    /// With the certificates of another.
    pub(super) fn with_certificates_of(self, other: &Self) -> Self {
        Self { ca: other.ca.clone(), identity: other.identity.clone(), ..self }
    }

    /// A client for one node. Nothing is opened.
    ///
    /// # Errors
    /// For certificates that cannot be understood.
    pub(super) fn client(&self, node: &Node) -> Result<Client, RedisError> {
        // redis-rs takes the process's provider, and there is none unless somebody chooses. It may have been chosen
        // already, by another instance in this process or by livekit-api: all choose the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let identity = self.identity.clone().map(|(certificate, key)| ClientTlsConfig {
            client_cert: certificate,
            client_key: key.expose_secret().as_bytes().to_vec(),
        });
        let certificates = TlsCertificates { client_tls: identity, root_cert: self.ca.clone() };
        if self.ca.is_none() && certificates.client_tls.is_none() {
            return Client::open(self.url(node));
        }
        Client::build_with_tls(self.url(node), certificates)
    }
}

fn parse(url: &str) -> Result<(Deployment, Access), &'static str> {
    let (scheme, rest) = url.split_once("://").ok_or(RULE)?;
    let (tls, kind) = match scheme.split_once('+') {
        Some((base, kind)) => (base, kind),
        None => (scheme, ""),
    };
    let tls = match tls {
        "redis" => false,
        "rediss" => true,
        _ => return Err(RULE),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let at = authority.rfind('@').map_or(0, |at| at + 1);
    let (credentials, hosts) = authority.split_at(at);
    match kind {
        "" => {
            let node = Node::parse(hosts, REDIS_PORT).ok_or(RULE)?;
            Ok((Deployment::One(node), Access::new(tls, credentials, path)))
        }
        "sentinel" => sentinel(tls, credentials, &nodes(hosts, SENTINEL_PORT)?, path),
        "cluster" if ["", "/", "/0"].contains(&path) => {
            Ok((Deployment::Cluster(nodes(hosts, REDIS_PORT)?), Access::new(tls, credentials, "")))
        }
        "cluster" => Err("must not name a database of a cluster: there is only 0"),
        _ => Err(RULE),
    }
}

fn nodes(hosts: &str, port: u16) -> Result<Vec<Node>, &'static str> {
    hosts.split(',').map(|host| Node::parse(host.trim(), port).ok_or(RULE)).collect()
}

fn sentinel(
    tls: bool,
    credentials: &str,
    sentinels: &[Node],
    path: &str,
) -> Result<(Deployment, Access), &'static str> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = path.strip_prefix('/').unwrap_or_default();
    let (master, database) = path.split_once('/').unwrap_or((path, ""));
    if master.is_empty() || !database.chars().all(|c| c.is_ascii_digit()) {
        return Err(RULE);
    }
    let (mut user, mut password) = (String::new(), String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            SENTINEL_USER => user = encoded(&value),
            SENTINEL_PASSWORD => password = encoded(&value),
            _ => return Err("must have no other options than sentinel-user and sentinel-password"),
        }
    }
    let own = if password.is_empty() { String::new() } else { format!("{user}:{password}@") };
    let deployment = Deployment::Sentinel {
        sentinels: sentinels.to_vec(),
        master: percent_encoding::percent_decode_str(master).decode_utf8_lossy().into_owned(),
        access: Access::new(tls, &own, ""),
    };
    let database = if database.is_empty() { "0" } else { database };
    Ok((deployment, Access::new(tls, credentials, &format!("/{database}"))))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(text: &str) -> (Vec<String>, String) {
        let (deployment, access) = parse(text).unwrap();
        let node = Node { host: "10.0.0.9".to_owned(), port: 7000 };
        let (nodes, access_to_them) = match deployment {
            Deployment::One(node) => (vec![node], access.clone()),
            Deployment::Sentinel { sentinels, access, .. } => (sentinels, access),
            Deployment::Cluster(nodes) => (nodes, access.clone()),
        };
        (nodes.iter().map(|node| access_to_them.url(node)).collect(), access.url(&node))
    }

    #[test]
    fn every_kind_of_address_is_read() {
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
    fn what_cannot_be_meant_is_refused() {
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
}
