//! Who may call, and how often: as it was given, and checked.

use std::{num::NonZeroU32, time::Duration};

use clap::Args;
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};

use super::{AdmissionSettings, reader::Reader};
use crate::{admission::Limits, rooms::tokens::ApiKey, store::Limit};

/// Feeds at an instance, and of one caller at it, unless set otherwise.
const DEFAULT_FEEDS: u32 = 20_000;
const DEFAULT_FEEDS_OF_ONE: u32 = 1_000;

/// Who may call, and how often.
#[derive(Clone, Debug, Default, Args)]
pub struct AdmissionArguments {
    /// Who may do what: livekit for the grants of LiveKit access tokens, off for everybody everything [default: livekit; in
    /// dev mode off]
    #[arg(long, env = "AUTH")]
    pub auth: Option<String>,
    /// Whether what is open to everybody may listen on an address that is not loopback: true or false [default: false]
    #[arg(long, env = "ALLOW_INSECURE")]
    pub allow_insecure: Option<String>,
    /// More LiveKit keys whose tokens and webhooks are taken, a line each: `key: secret`. For changing keys
    #[arg(long, env = "LIVEKIT_API_KEYS", hide_env_values = true)]
    pub livekit_api_keys: Option<SecretString>,
    /// How often one caller may read: N/s, N/m, N/h or off [default: 600/m]
    #[arg(long, env = "RATE_LIMIT_READ")]
    pub rate_limit_read: Option<String>,
    /// How often one caller may change something: N/s, N/m, N/h or off [default: 120/m]
    #[arg(long, env = "RATE_LIMIT_WRITE")]
    pub rate_limit_write: Option<String>,
    /// How often one caller may have a join token made: N/s, N/m, N/h or off [default: 120/m]
    #[arg(long, env = "RATE_LIMIT_JOIN")]
    pub rate_limit_join: Option<String>,
    /// Whose X-Forwarded-For counts: addresses or CIDR, with commas [default: none]
    #[arg(long, env = "TRUSTED_PROXIES")]
    pub trusted_proxies: Option<String>,
    /// How many feeds (SSE, WebSocket, gRPC) may be open at this instance [default: 20000]
    #[arg(long, env = "MAX_FEEDS")]
    pub max_feeds: Option<String>,
    /// How many of them one caller may have [default: 1000]
    #[arg(long, env = "MAX_FEEDS_PER_CALLER")]
    pub max_feeds_per_caller: Option<String>,
}

impl AdmissionArguments {
    /// A variable that is set to nothing is not set.
    pub(super) fn drop_empty(&mut self) {
        for text in [
            &mut self.auth,
            &mut self.allow_insecure,
            &mut self.rate_limit_read,
            &mut self.rate_limit_write,
            &mut self.rate_limit_join,
            &mut self.trusted_proxies,
            &mut self.max_feeds,
            &mut self.max_feeds_per_caller,
        ] {
            text.take_if(|text| text.is_empty());
        }
        self.livekit_api_keys.take_if(|keys| keys.expose_secret().trim().is_empty());
    }

    pub(super) fn check(&self, dev: bool, reader: &mut Reader) -> AdmissionSettings {
        let per_minute = |count| Limit { count, period: Duration::from_secs(60) };
        let limits = Limits {
            read: limit(reader, "RATE_LIMIT_READ", self.rate_limit_read.as_ref(), per_minute(600)),
            write: limit(reader, "RATE_LIMIT_WRITE", self.rate_limit_write.as_ref(), per_minute(120)),
            join: limit(reader, "RATE_LIMIT_JOIN", self.rate_limit_join.as_ref(), per_minute(120)),
        };
        AdmissionSettings {
            authenticates: self.authenticates(dev, reader),
            limits,
            trusted_proxies: self.trusted_proxies(reader),
            max_feeds: count(reader, "MAX_FEEDS", self.max_feeds.as_ref(), DEFAULT_FEEDS),
            max_feeds_per_caller: count(
                reader,
                "MAX_FEEDS_PER_CALLER",
                self.max_feeds_per_caller.as_ref(),
                DEFAULT_FEEDS_OF_ONE,
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

    /// Whether somebody has said that they know.
    pub(super) fn allows_insecure(&self, reader: &mut Reader) -> bool {
        match self.allow_insecure.as_deref() {
            Some("true") => true,
            None | Some("false") => false,
            Some(_) => reader.problem("ALLOW_INSECURE", "must be true or false").unwrap_or_default(),
        }
    }

    /// The keys beside the single pair, in LiveKit's own form.
    pub(super) fn keys(&self, reader: &mut Reader) -> Vec<ApiKey> {
        let text = self.livekit_api_keys.as_ref().map(ExposeSecret::expose_secret).unwrap_or_default();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let key = |line: &str| {
            let (key, secret) = line.split_once(':')?;
            let (key, secret) = (key.trim(), secret.trim());
            let whole = !key.is_empty() && !secret.is_empty();
            whole.then(|| ApiKey { key: key.to_owned(), secret: secret.into() })
        };
        let keys: Option<Vec<_>> = lines.map(key).collect();
        keys.or_else(|| reader.problem("LIVEKIT_API_KEYS", "must be lines of `key: secret`"))
            .unwrap_or_default()
    }

    fn trusted_proxies(&self, reader: &mut Reader) -> Vec<IpNet> {
        let entries = self.trusted_proxies.as_deref().unwrap_or_default().split(',').map(str::trim);
        let network = |text: &str| {
            text.parse().ok().or_else(|| Some(IpNet::from(text.parse::<std::net::IpAddr>().ok()?)))
        };
        let networks: Option<Vec<_>> = entries.filter(|entry| !entry.is_empty()).map(network).collect();
        let rule = "must be addresses or networks like 10.0.0.0/8, with commas";
        networks.or_else(|| reader.problem("TRUSTED_PROXIES", rule)).unwrap_or_default()
    }
}

/// `N/s`, `N/m` or `N/h`; none for `off`.
fn limit(reader: &mut Reader, setting: &str, text: Option<&String>, default: Limit) -> Option<Limit> {
    let Some(text) = text else { return Some(default) };
    if text == "off" {
        return None;
    }
    let parsed = text.split_once('/').and_then(|(count, unit)| {
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return None,
        };
        let count = count.parse::<NonZeroU32>().ok()?.get();
        Some(Limit { count, period: Duration::from_secs(seconds) })
    });
    Some(
        parsed
            .or_else(|| reader.problem(setting, "must be like 10/s, 600/m or 100/h, or off"))
            .unwrap_or(default),
    )
}

fn count(reader: &mut Reader, setting: &str, text: Option<&String>, default: u32) -> usize {
    let parsed = text.map(|text| text.parse::<NonZeroU32>().ok().map(NonZeroU32::get));
    let count = match parsed {
        None => default,
        Some(Some(count)) => count,
        Some(None) => reader.problem(setting, "must be a whole number above 0").unwrap_or(default),
    };
    usize::try_from(count).unwrap_or(usize::MAX)
}
