//! Settings of Redis: address, TLS files, key prefix and partitions.

use secrecy::{ExposeSecret, SecretString};

use super::{Arguments, reader::Reader};
use crate::{domain::Partitioning, store::redis::Address};

const DEFAULT_PREFIX: &str = "lso";

/// Address of Redis, prefix of this service's keys and its partitions.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// Address, credentials and certificates.
    pub address: Address,
    /// Prefix of every key and channel.
    pub prefix: String,
    /// Partitions of the deployment.
    pub partitioning: Partitioning,
}

impl Arguments {
    /// Parses the Redis settings. Returns `None` with a recorded problem, and without one in dev mode if REDIS_URL is
    /// unset.
    pub(super) fn parse_redis(&self, reader: &mut Reader) -> Option<RedisSettings> {
        let prefix = self.redis_prefix.clone().unwrap_or_else(|| DEFAULT_PREFIX.to_owned());
        if prefix.contains(['{', '}']) || prefix.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return reader
                .problem("REDIS_PREFIX", "must not contain braces, white space or control characters");
        }
        let partitioning = reader.partitioning("REDIS_PARTITIONS", self.redis_partitions.as_ref());
        if self.dev && self.redis_url.is_none() {
            return None;
        }
        let url = reader.required("REDIS_URL", self.redis_url.clone())?;
        if let Err(rule) = Address::check(url.expose_secret()) {
            return reader.problem("REDIS_URL", rule);
        }
        if Address::servers_in(url.expose_secret()) > usize::from(partitioning.count()) {
            return reader.problem("REDIS_PARTITIONS", "must be at least the number of servers in REDIS_URL");
        }
        Some(RedisSettings { address: self.redis_address(url, reader)?, prefix, partitioning })
    }

    fn redis_address(&self, url: SecretString, reader: &mut Reader) -> Option<Address> {
        let ca = reader.pem_file("REDIS_CA_FILE", self.redis_ca_file.as_ref());
        let certificate = reader.pem_file("REDIS_CERT_FILE", self.redis_cert_file.as_ref());
        let key = reader.pem_file("REDIS_KEY_FILE", self.redis_key_file.as_ref());
        let text = |key| {
            let text = String::from_utf8(key).ok();
            text.or_else(|| reader.problem("REDIS_KEY_FILE", "must be the path of a PEM file"))
        };
        let key = key.and_then(text).map(SecretString::from);
        if !Address::is_tls(url.expose_secret()) && (ca.is_some() || certificate.is_some()) {
            return reader.problem("REDIS_CA_FILE", "and REDIS_CERT_FILE are for rediss only");
        }
        if self.redis_cert_file.is_some() != self.redis_key_file.is_some() {
            return reader.problem("REDIS_CERT_FILE", "and REDIS_KEY_FILE must be set together");
        }
        Some(Address { url, ca, identity: certificate.zip(key) })
    }
}
