//! Parses `REDIS_URL`: one server, a master behind Sentinel, or a cluster; or several of the first two.

use std::collections::HashSet;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use redis::{Client, ClientTlsConfig, RedisError, TlsCertificates};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded;

use super::node::Node;

/// The forms of `REDIS_URL`, as an error message.
const FORMS: &str = "must be redis:// or rediss://, user:password@host:port/database; \
                    redis+sentinel:// or rediss+sentinel://, user:password@host:port,host:port/master-name/database; \
                    or redis+cluster:// or rediss+cluster://, user:password@host:port,host:port; \
                    or several of the first two, separated by commas";
/// The rule for several addresses.
const NO_CLUSTER_IN_LIST: &str =
    "must have no other address beside that of a cluster, whose masters share the partitions";
/// The default port of Redis.
const REDIS_PORT: u16 = 6379;
/// The default port of Sentinel.
const SENTINEL_PORT: u16 = 26379;
/// The query parameter with the user for the Sentinels.
const SENTINEL_USER: &str = "sentinel-user";
/// The query parameter with the password for the Sentinels.
const SENTINEL_PASSWORD: &str = "sentinel-password";

/// The configured address of Redis, with credentials and certificates.
#[derive(Clone, Debug)]
pub struct Address {
    /// `redis://`, `redis+sentinel://`, `redis+cluster://`, or those with `rediss`, with credentials. Several of the
    /// first two, separated by commas, are servers that share the partitions.
    pub url: SecretString,
    /// For `rediss`: the trusted CA certificates as PEM. `None` trusts the machine's root certificates.
    pub ca: Option<Vec<u8>>,
    /// For `rediss`: the client certificate and its key, as PEM.
    pub identity: Option<(Vec<u8>, SecretString)>,
}

impl Address {
    /// Validates the form of an address, without DNS or connections.
    ///
    /// # Errors
    /// The rule that the address breaks. The message never repeats the address, because it holds a password.
    pub fn check(url: &str) -> Result<(), &'static str> {
        let urls = split(url);
        let (mut known, count) = (HashSet::new(), urls.len());
        for url in urls {
            check_one(url, count)?;
            if !known.insert(url) {
                return Err("must name each server once");
            }
        }
        Ok(())
    }

    /// The number of servers, or of masters behind Sentinels, that share the partitions. A cluster counts as one.
    pub fn servers_in(url: &str) -> usize {
        split(url).len()
    }

    /// The addresses of the servers that share the partitions.
    pub(in crate::store::redis) fn servers(&self) -> Vec<Self> {
        let urls = split(self.url.expose_secret()).into_iter();
        urls.map(|url| Self { url: url.into(), ca: self.ca.clone(), identity: self.identity.clone() })
            .collect()
    }

    /// Whether the address uses TLS, so that certificates apply.
    pub fn is_tls(url: &str) -> bool {
        split(url).iter().any(|url| url.starts_with("rediss:") || url.starts_with("rediss+"))
    }

    /// Parses the address into the deployment and the options for connections to its Redis servers.
    ///
    /// # Errors
    /// The rule that the address breaks, without the address.
    pub(super) fn parse(&self) -> Result<(Deployment, ConnectOptions), &'static str> {
        let (deployment, mut options) = parse(self.url.expose_secret())?;
        options.ca.clone_from(&self.ca);
        options.identity.clone_from(&self.identity);
        Ok((deployment, options))
    }
}

/// How Redis is deployed.
#[derive(Clone, Debug)]
pub(super) enum Deployment {
    /// One server.
    Standalone(Node),
    /// A master and its replicas, monitored by Sentinels.
    Sentinel {
        /// The addresses of the Sentinels.
        sentinels: Vec<Node>,
        /// The name under which the Sentinels monitor the master.
        master_name: String,
        /// The options for connections to Sentinels, whose credentials are their own.
        options: ConnectOptions,
    },
    /// A cluster, by some of its nodes.
    Cluster(Vec<Node>),
}

/// The options for a connection to any node: TLS, credentials and database.
#[derive(Clone, Debug)]
pub(super) struct ConnectOptions {
    tls: bool,
    /// `user:password@`, percent-encoded, or empty.
    credentials: SecretString,
    /// The part of the URL behind host and port: the database, and options of redis-rs.
    path: String,
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, SecretString)>,
}

impl ConnectOptions {
    fn new(tls: bool, credentials: &str, path: &str) -> Self {
        let credentials = SecretString::from(credentials.to_owned());
        Self { tls, credentials, path: path.to_owned(), ca: None, identity: None }
    }

    fn url(&self, node: &Node) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        format!("{scheme}://{}{node}{}", self.credentials.expose_secret(), self.path)
    }

    /// Replaces the certificates by those of `other`.
    pub(super) fn with_certificates_of(self, other: &Self) -> Self {
        Self { ca: other.ca.clone(), identity: other.identity.clone(), ..self }
    }

    /// A client for one node; opens no connection.
    ///
    /// # Errors
    /// Invalid certificates.
    pub(super) fn client(&self, node: &Node) -> Result<Client, RedisError> {
        // redis-rs uses the process's default provider, which must be installed. Another instance in this process or
        // livekit-api may have installed it already; all install the same one.
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

/// Splits a list of addresses. A comma begins another address only in front of a scheme, because the hosts of one
/// address are separated by commas too.
fn split(url: &str) -> Vec<&str> {
    let is_scheme = |scheme: &str| parse_scheme(scheme).is_ok() && !scheme.contains([',', '/', '@']);
    let begins =
        |at: &usize| url[at + 1..].split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme.trim()));
    let commas = url.match_indices(',').map(|(at, _)| at).filter(begins);
    let mut starts: Vec<_> = std::iter::once(0).chain(commas.map(|at| at + 1)).collect();
    starts.push(url.len() + 1);
    starts.windows(2).map(|pair| url[pair[0]..pair[1] - 1].trim()).collect()
}

/// Validates one of `count` addresses.
fn check_one(url: &str, count: usize) -> Result<(), &'static str> {
    let (deployment, options) = parse(url)?;
    let nodes = match deployment {
        Deployment::Standalone(node) => vec![node],
        Deployment::Sentinel { sentinels, .. } => sentinels,
        Deployment::Cluster(_) if count > 1 => return Err(NO_CLUSTER_IN_LIST),
        Deployment::Cluster(nodes) => nodes,
    };
    let is_valid = |node: &Node| redis::IntoConnectionInfo::into_connection_info(options.url(node)).is_ok();
    if nodes.iter().all(is_valid) { Ok(()) } else { Err(FORMS) }
}

fn parse(url: &str) -> Result<(Deployment, ConnectOptions), &'static str> {
    let (scheme, rest) = url.split_once("://").ok_or(FORMS)?;
    let (tls, kind) = parse_scheme(scheme)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let at = authority.rfind('@').map_or(0, |at| at + 1);
    let (credentials, hosts) = authority.split_at(at);
    match kind {
        "" => {
            let node = Node::parse(hosts, REDIS_PORT).ok_or(FORMS)?;
            Ok((Deployment::Standalone(node), ConnectOptions::new(tls, credentials, path)))
        }
        "sentinel" => parse_sentinel(tls, credentials, parse_nodes(hosts, SENTINEL_PORT)?, path),
        "cluster" if ["", "/", "/0"].contains(&path) => {
            let nodes = parse_nodes(hosts, REDIS_PORT)?;
            Ok((Deployment::Cluster(nodes), ConnectOptions::new(tls, credentials, "")))
        }
        "cluster" => Err("must not name a database of a cluster: there is only 0"),
        _ => Err(FORMS),
    }
}

/// Splits a scheme into the use of TLS and the kind of deployment, which is empty for one server.
fn parse_scheme(scheme: &str) -> Result<(bool, &str), &'static str> {
    let (base, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
    match base {
        "redis" => Ok((false, kind)),
        "rediss" => Ok((true, kind)),
        _ => Err(FORMS),
    }
}

fn parse_nodes(hosts: &str, port: u16) -> Result<Vec<Node>, &'static str> {
    hosts.split(',').map(|host| Node::parse(host.trim(), port).ok_or(FORMS)).collect()
}

/// Parses what follows the hosts of a Sentinel address:
/// `/master-name/database?sentinel-user=…&sentinel-password=…`.
fn parse_sentinel(
    tls: bool,
    credentials: &str,
    sentinels: Vec<Node>,
    path: &str,
) -> Result<(Deployment, ConnectOptions), &'static str> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = path.strip_prefix('/').unwrap_or_default();
    let (master_name, database) = path.split_once('/').unwrap_or((path, ""));
    if master_name.is_empty() || !database.chars().all(|c| c.is_ascii_digit()) {
        return Err(FORMS);
    }
    let deployment = Deployment::Sentinel {
        sentinels,
        master_name: percent_encoding::percent_decode_str(master_name).decode_utf8_lossy().into_owned(),
        options: ConnectOptions::new(tls, &parse_sentinel_credentials(query)?, ""),
    };
    let database = if database.is_empty() { "0" } else { database };
    Ok((deployment, ConnectOptions::new(tls, credentials, &format!("/{database}"))))
}

/// The Sentinels' credentials as `user:password@`; empty without a password.
fn parse_sentinel_credentials(query: &str) -> Result<String, &'static str> {
    let (mut user, mut password) = (String::new(), String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            SENTINEL_USER => user = percent_encoded(&value),
            SENTINEL_PASSWORD => password = percent_encoded(&value),
            _ => return Err("must have no other options than sentinel-user and sentinel-password"),
        }
    }
    Ok(if password.is_empty() { String::new() } else { format!("{user}:{password}@") })
}

fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests;
