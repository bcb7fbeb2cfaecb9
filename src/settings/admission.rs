//! Settings of admission control: authentication, rate limits and limits on open feeds.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use clap::Args;
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};

use super::reader::Reader;
use crate::{
    access::token::ApiKey,
    admission::{RateLimits, is_host_name},
    store::RateLimit,
};

/// Minimum of the default of MAX_CONNECTIONS, for small values of MAX_FEEDS.
const MIN_DEFAULT_CONNECTIONS: usize = 4_096;
const DEFAULT_MAX_FEEDS: u32 = 20_000;
const DEFAULT_MAX_FEEDS_PER_CALLER: u32 = 1_000;

/// Authentication and limits, validated.
#[derive(Clone, Debug)]
pub struct AdmissionSettings {
    /// Requires an access token of every caller; if false, the API is open.
    pub authenticates: bool,
    /// Rate limits of each caller.
    pub limits: RateLimits,
    /// Proxies whose `X-Forwarded-For` is used.
    pub trusted_proxies: Vec<IpNet>,
    /// Host names that an API without authentication accepts besides `localhost`, in lower case.
    pub allowed_hosts: Vec<String>,
    /// Maximum open connections of this instance, if the limit of files suffices.
    pub max_connections: usize,
    /// Maximum open connections of one address at one port; `None` for a share of all.
    pub max_connections_per_address: Option<usize>,
    /// Maximum open feeds of this instance.
    pub max_feeds: usize,
    /// Maximum open feeds of one caller at this instance.
    pub max_feeds_per_caller: usize,
}

/// Authentication and limits as given, not yet parsed. The doc comments are the texts of `--help`.
#[derive(Clone, Debug, Default, Args)]
pub struct AdmissionArguments {
    /// Authorization: livekit for the grants of LiveKit access tokens, off to allow every call [default: livekit; in
    /// dev mode off]
    #[arg(long, env = "AUTH")]
    pub auth: Option<String>,
    /// Allow AUTH=off and weak secrets on an address that is not loopback: true or false [default: false]
    #[arg(long, env = "ALLOW_INSECURE")]
    pub allow_insecure: Option<String>,
    /// Further LiveKit keys whose tokens and webhooks are accepted, one a line: `key: secret`. For key rotation
    #[arg(long, env = "LIVEKIT_API_KEYS", hide_env_values = true)]
    pub livekit_api_keys: Option<SecretString>,
    /// Rate limit of one caller's reads: N/s, N/m, N/h or off [default: 600/m]
    #[arg(long, env = "RATE_LIMIT_READ")]
    pub rate_limit_read: Option<String>,
    /// Rate limit of one caller's changes: N/s, N/m, N/h or off [default: 120/m]
    #[arg(long, env = "RATE_LIMIT_WRITE")]
    pub rate_limit_write: Option<String>,
    /// Rate limit of one caller's join tokens: N/s, N/m, N/h or off [default: 120/m]
    #[arg(long, env = "RATE_LIMIT_JOIN")]
    pub rate_limit_join: Option<String>,
    /// Proxies whose X-Forwarded-For is used: addresses or CIDR, separated by commas [default: none]
    #[arg(long, env = "TRUSTED_PROXIES")]
    pub trusted_proxies: Option<String>,
    /// With AUTH=off, names that Host may have besides localhost and IP addresses, separated by commas [default: none]
    #[arg(long, env = "ALLOWED_HOSTS")]
    pub allowed_hosts: Option<String>,
    /// Maximum open connections of this instance [default: twice MAX_FEEDS, at least 4096, and at most what nofile allows]
    #[arg(long, env = "MAX_CONNECTIONS")]
    pub max_connections: Option<String>,
    /// Maximum open connections of one address at one port, except of TRUSTED_PROXIES [default: a quarter of all]
    #[arg(long, env = "MAX_CONNECTIONS_PER_ADDRESS")]
    pub max_connections_per_address: Option<String>,
    /// Maximum open feeds (SSE, WebSocket, gRPC) of this instance [default: 20000]
    #[arg(long, env = "MAX_FEEDS")]
    pub max_feeds: Option<String>,
    /// Maximum open feeds of one caller at this instance [default: 1000]
    #[arg(long, env = "MAX_FEEDS_PER_CALLER")]
    pub max_feeds_per_caller: Option<String>,
}

impl AdmissionArguments {
    /// Unsets empty variables.
    pub(super) fn drop_empty(&mut self) {
        for text in [
            &mut self.auth,
            &mut self.allow_insecure,
            &mut self.rate_limit_read,
            &mut self.rate_limit_write,
            &mut self.rate_limit_join,
            &mut self.trusted_proxies,
            &mut self.allowed_hosts,
            &mut self.max_connections,
            &mut self.max_connections_per_address,
            &mut self.max_feeds,
            &mut self.max_feeds_per_caller,
        ] {
            text.take_if(|text| text.is_empty());
        }
        self.livekit_api_keys.take_if(|keys| keys.expose_secret().trim().is_empty());
    }

    pub(super) fn validate(&self, dev: bool, reader: &mut Reader) -> AdmissionSettings {
        let per_caller = self.max_feeds_per_caller.as_ref();
        let max_feeds = reader.count("MAX_FEEDS", self.max_feeds.as_ref(), DEFAULT_MAX_FEEDS);
        AdmissionSettings {
            max_connections: self.max_connections(max_feeds, reader),
            max_connections_per_address: self.max_connections_per_address(reader),
            authenticates: self.authenticates(dev, reader),
            limits: self.limits(reader),
            trusted_proxies: self.trusted_proxies(reader),
            allowed_hosts: self.allowed_hosts(reader),
            max_feeds,
            max_feeds_per_caller: reader.count(
                "MAX_FEEDS_PER_CALLER",
                per_caller,
                DEFAULT_MAX_FEEDS_PER_CALLER,
            ),
        }
    }

    fn authenticates(&self, dev: bool, reader: &mut Reader) -> bool {
        match self.auth.as_deref() {
            None => !dev,
            Some("livekit") => true,
            Some("off") => false,
            Some(_) => reader.problem("AUTH", "must be livekit or off").unwrap_or(true),
        }
    }

    pub(super) fn allows_insecure(&self, reader: &mut Reader) -> bool {
        match self.allow_insecure.as_deref() {
            Some("true") => true,
            None | Some("false") => false,
            Some(_) => reader.problem("ALLOW_INSECURE", "must be true or false").unwrap_or_default(),
        }
    }

    fn limits(&self, reader: &mut Reader) -> RateLimits {
        let per_minute = |count| RateLimit { count, period: Duration::from_secs(60) };
        RateLimits {
            read: limit(reader, "RATE_LIMIT_READ", self.rate_limit_read.as_ref(), per_minute(600)),
            write: limit(reader, "RATE_LIMIT_WRITE", self.rate_limit_write.as_ref(), per_minute(120)),
            join: limit(reader, "RATE_LIMIT_JOIN", self.rate_limit_join.as_ref(), per_minute(120)),
        }
    }

    /// Parses LIVEKIT_API_KEYS, whose lines are those of `keys` in LiveKit's configuration.
    pub(super) fn further_keys(&self, reader: &mut Reader) -> Vec<ApiKey> {
        let text = self.livekit_api_keys.as_ref().map(ExposeSecret::expose_secret).unwrap_or_default();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let keys: Option<Vec<_>> = lines.map(parse_key).collect();
        keys.or_else(|| reader.problem("LIVEKIT_API_KEYS", "must be lines of `key: secret`"))
            .unwrap_or_default()
    }

    fn trusted_proxies(&self, reader: &mut Reader) -> Vec<IpNet> {
        let entries = self.trusted_proxies.as_deref().unwrap_or_default().split(',').map(str::trim);
        let networks: Option<Vec<_>> = entries.filter(|entry| !entry.is_empty()).map(parse_network).collect();
        let rule = "must be addresses or networks like 10.0.0.0/8, separated by commas";
        networks.or_else(|| reader.problem("TRUSTED_PROXIES", rule)).unwrap_or_default()
    }

    /// Returns the maximum of connections: by default one for each feed and one for other requests.
    fn max_connections(&self, max_feeds: usize, reader: &mut Reader) -> usize {
        let given = reader.optional_count("MAX_CONNECTIONS", self.max_connections.as_ref());
        given.unwrap_or_else(|| max_feeds.saturating_mul(2).max(MIN_DEFAULT_CONNECTIONS))
    }

    fn max_connections_per_address(&self, reader: &mut Reader) -> Option<usize> {
        let given = self.max_connections_per_address.as_ref();
        reader.optional_count("MAX_CONNECTIONS_PER_ADDRESS", given)
    }

    fn allowed_hosts(&self, reader: &mut Reader) -> Vec<String> {
        let entries = self.allowed_hosts.as_deref().unwrap_or_default().split(',').map(str::trim);
        let hosts: Vec<_> = entries.filter(|entry| !entry.is_empty()).map(str::to_ascii_lowercase).collect();
        if !hosts.iter().all(|host| is_host_name(host)) {
            let rule = "must be host names like live.example.com without ports, separated by commas";
            reader.problem::<()>("ALLOWED_HOSTS", rule);
        }
        hosts
    }
}

/// Parses `key: secret`. The secret may contain colons.
fn parse_key(line: &str) -> Option<ApiKey> {
    let (key, secret) = line.split_once(':')?;
    let (key, secret) = (key.trim(), secret.trim());
    let is_complete = !key.is_empty() && !secret.is_empty();
    is_complete.then(|| ApiKey { key: key.to_owned(), secret: secret.into() })
}

/// Parses a network, or an address as the network of that address alone.
fn parse_network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| Some(IpNet::from(text.parse::<IpAddr>().ok()?)))
}

/// Parses a rate limit; `off` becomes `None`.
fn limit(reader: &mut Reader, setting: &str, text: Option<&String>, default: RateLimit) -> Option<RateLimit> {
    match text.map(String::as_str) {
        None => Some(default),
        Some("off") => None,
        Some(text) => {
            parse_limit(text).or_else(|| reader.problem(setting, "must be like 10/s, 600/m or 100/h, or off"))
        }
    }
}

/// Parses `N/s`, `N/m` or `N/h`, with N above 0.
fn parse_limit(text: &str) -> Option<RateLimit> {
    let (count, unit) = text.split_once('/')?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return None,
    };
    Some(RateLimit { count: count.parse::<NonZeroU32>().ok()?.get(), period: Duration::from_secs(seconds) })
}
