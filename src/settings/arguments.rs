//! What a caller gives, as it was given, and the checks that make settings of it.

use std::{
    io::IsTerminal,
    iter,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{
    AdmissionArguments, HttpSettings, LiveKitSettings, RedisSettings, Settings, SettingsError, reader::Reader,
};
use crate::{
    orchestrator::Policy,
    relay,
    rooms::tokens::ApiKey,
    store::{Retention, redis::Address},
    telemetry::logging::LogFormat,
};

/// LiveKit's own development key and secret (`livekit-server --dev`).
const DEV_KEY: &str = "devkey";
pub(super) const DEV_SECRET: &str = "secret";
/// LiveKit's lists lag by up to 5 s (its `num_participants`), and webhooks need a moment.
const LISTING_GRACE: Duration = Duration::from_secs(10);
/// For how much longer than it says LiveKit may take a token for good: clocks differ.
const TOKEN_LEEWAY: Duration = Duration::from_secs(60);
const DEFAULT_PORT: u16 = 3000;
const DEV_LIVEKIT_URL: &str = "ws://localhost:7880";

/// Every setting, as it was given.
#[derive(Clone, Debug, Default, Args)]
pub struct Arguments {
    /// Run with nothing else needed: state in memory, LiveKit's development key, loopback only. Not for production.
    #[arg(long)]
    pub dev: bool,
    /// Where this service reaches LiveKit: ws, wss, http or https. Required outside dev mode.
    #[arg(long, env = "LIVEKIT_URL", hide_env_values = true)]
    pub livekit_url: Option<String>,
    /// Another name for LIVEKIT_URL.
    #[arg(long, env = "LIVEKIT_HOST", hide_env_values = true)]
    pub livekit_host: Option<String>,
    /// What LiveKit's clients connect to [default: as LIVEKIT_URL]
    #[arg(long, env = "LIVEKIT_PUBLIC_URL", hide_env_values = true)]
    pub livekit_public_url: Option<String>,
    /// LiveKit API key. Required outside dev mode.
    #[arg(long, env = "LIVEKIT_API_KEY", hide_env_values = true)]
    pub livekit_api_key: Option<String>,
    /// The key's secret. Required outside dev mode. Better given as an environment variable.
    #[arg(long, env = "LIVEKIT_API_SECRET", hide_env_values = true)]
    pub livekit_api_secret: Option<SecretString>,
    /// Where Redis is: redis://user:password@host:port/database, redis+sentinel://user:password@host:port,…/master/database
    /// or redis+cluster://user:password@host:port,…; rediss for TLS. Required outside dev mode.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<SecretString>,
    /// For rediss, a PEM file with who may vouch for Redis [default: the roots of this machine]
    #[arg(long, env = "REDIS_CA_FILE")]
    pub redis_ca_file: Option<String>,
    /// For rediss, a PEM file with this service's own certificate, where Redis asks for one
    #[arg(long, env = "REDIS_CERT_FILE")]
    pub redis_cert_file: Option<String>,
    /// For rediss, a PEM file with the key of REDIS_CERT_FILE
    #[arg(long, env = "REDIS_KEY_FILE")]
    pub redis_key_file: Option<String>,
    /// What stands in front of every key and channel [default: lso]
    #[arg(long, env = "REDIS_PREFIX")]
    pub redis_prefix: Option<String>,
    /// The address to listen on [default: 0.0.0.0; in dev mode 127.0.0.1]
    #[arg(long, env = "HOST")]
    pub host: Option<String>,
    /// The port to listen on; 0 for any that is free [default: 3000]
    #[arg(long, env = "PORT")]
    pub port: Option<String>,
    /// The port for gRPC; 0 for any that is free [default: the HTTP port + 1]
    #[arg(long, env = "GRPC_PORT")]
    pub grpc_port: Option<String>,
    /// An address of its own for /metrics [default: none, /metrics is on PORT]
    #[arg(long, env = "METRICS_ADDR")]
    pub metrics_addr: Option<String>,
    /// Who may call, and how often.
    #[command(flatten)]
    pub admission: AdmissionArguments,
    /// How long a join token may be used to connect [default: 10m]
    #[arg(long, env = "TOKEN_TTL")]
    pub token_ttl: Option<String>,
    /// How long a token that nobody used counts as joining [default: 60s]
    #[arg(long, env = "JOINING_TTL")]
    pub joining_ttl: Option<String>,
    /// How long a stream may have nobody in it before it is stopped; 0 for ever [default: 5m]
    #[arg(long, env = "IDLE_TIMEOUT")]
    pub idle_timeout: Option<String>,
    /// How long a stopped stream can still be read [default: 5m]
    #[arg(long, env = "STOPPED_TTL")]
    pub stopped_ttl: Option<String>,
    /// The rolling life of a live stream's keys [default: 24h]
    #[arg(long, env = "STREAM_TTL")]
    pub stream_ttl: Option<String>,
    /// How often what is recorded is compared with LiveKit [default: 30s]
    #[arg(long, env = "RECONCILE_INTERVAL")]
    pub reconcile_interval: Option<String>,
    /// Origins that browsers may call from: a list with commas, or * [default: none]
    #[arg(long, env = "CORS_ORIGINS")]
    pub cors_origins: Option<String>,
    /// How long a client's connection may last before it is told to come back, give or take; 0 for ever [default: 1h]
    #[arg(long, env = "CONNECTION_MAX_AGE")]
    pub connection_max_age: Option<String>,
    /// From SIGTERM to exit at most [default: 20s]
    #[arg(long, env = "DRAIN_TIMEOUT")]
    pub drain_timeout: Option<String>,
    /// How log lines look: pretty or json [default: pretty on a terminal, else json]
    #[arg(long, env = "LOG_FORMAT")]
    pub log_format: Option<String>,
}

/// `http` becomes `ws`, `https` becomes `wss`; no slash at the end.
fn websocket_url(url: &Url) -> String {
    let text = url.as_str().trim_end_matches('/');
    if text.starts_with("http") { text.replacen("http", "ws", 1) } else { text.to_owned() }
}

impl Arguments {
    /// Checks everything.
    ///
    /// # Errors
    /// [`SettingsError`] with every problem there is.
    pub fn check(mut self) -> Result<Settings, SettingsError> {
        self.drop_empty();
        let mut reader = Reader { problems: Vec::new() };
        let livekit = self.livekit(&mut reader);
        let redis = self.redis(&mut reader);
        let http = self.http(&mut reader);
        let max_age = self.connection_max_age.as_ref();
        let max_age = reader.duration_or_never("CONNECTION_MAX_AGE", max_age, Duration::from_secs(3600));
        let relay = relay::Options { repair: true, max_age };
        let admission = self.admission.check(self.dev, &mut reader);
        self.check_exposure(admission.authenticates, &mut reader);
        let policy = self.policy(&mut reader);
        let retention = Retention {
            tokens: policy.token_ttl + TOKEN_LEEWAY,
            live: reader.duration("STREAM_TTL", self.stream_ttl.as_ref(), Duration::from_secs(24 * 3600)),
            stopped: reader.duration("STOPPED_TTL", self.stopped_ttl.as_ref(), Duration::from_secs(300)),
        };
        let log_format = self.log_format(&mut reader);
        match (livekit, http) {
            (Some(livekit), Some(http)) if reader.problems.is_empty() => Ok(Settings {
                dev: self.dev,
                jobs: true,
                livekit,
                redis,
                admission,
                http,
                relay,
                policy,
                retention,
                log_format,
            }),
            _ => Err(SettingsError(reader.problems)),
        }
    }

    /// Where the instance with these settings listens, whatever the other settings are.
    ///
    /// # Errors
    /// [`SettingsError`] for what is wrong with HOST and PORT.
    pub fn address(mut self) -> Result<SocketAddr, SettingsError> {
        self.drop_empty();
        let mut reader = Reader { problems: Vec::new() };
        let host = self.host(&mut reader);
        let port = reader.port("PORT", self.port.as_ref(), DEFAULT_PORT);
        match host {
            Some(host) if reader.problems.is_empty() => Ok(SocketAddr::new(host, port)),
            _ => Err(SettingsError(reader.problems)),
        }
    }

    pub(super) fn host(&self, reader: &mut Reader) -> Option<IpAddr> {
        let default = if self.dev { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        match &self.host {
            None => Some(IpAddr::V4(default)),
            Some(text) => text.parse().ok().or_else(|| reader.problem("HOST", "must be an IP address")),
        }
    }

    /// A variable that is set to nothing is not set: compose files and `.env` make such.
    fn drop_empty(&mut self) {
        self.admission.drop_empty();
        for text in [
            &mut self.livekit_url,
            &mut self.livekit_host,
            &mut self.livekit_public_url,
            &mut self.livekit_api_key,
            &mut self.redis_prefix,
            &mut self.redis_ca_file,
            &mut self.redis_cert_file,
            &mut self.redis_key_file,
            &mut self.host,
            &mut self.port,
            &mut self.grpc_port,
            &mut self.metrics_addr,
            &mut self.token_ttl,
            &mut self.joining_ttl,
            &mut self.idle_timeout,
            &mut self.stopped_ttl,
            &mut self.stream_ttl,
            &mut self.cors_origins,
            &mut self.reconcile_interval,
            &mut self.connection_max_age,
            &mut self.drain_timeout,
            &mut self.log_format,
        ] {
            text.take_if(|text| text.is_empty());
        }
        for secret in [&mut self.livekit_api_secret, &mut self.redis_url] {
            secret.take_if(|secret| secret.expose_secret().is_empty());
        }
    }

    fn livekit(&self, reader: &mut Reader) -> Option<LiveKitSettings> {
        let given = self.livekit_url.as_ref().or(self.livekit_host.as_ref()).map(String::as_str);
        let url = given.or(self.dev.then_some(DEV_LIVEKIT_URL));
        let url =
            reader.required("LIVEKIT_URL", url).and_then(|text| reader.livekit_url("LIVEKIT_URL", text));
        let public = self.livekit_public_url.as_ref();
        let public = public.map(|text| reader.livekit_url("LIVEKIT_PUBLIC_URL", text));
        let more = self.admission.keys(reader);
        let key = self.key_pair(&more, reader);
        let url = url?;
        let public = public.unwrap_or_else(|| Some(url.clone()))?;
        let key = key?;
        let others = more.into_iter().filter(|other| other.key != key.key);
        let keys = iter::once(key.clone()).chain(others).collect();
        Some(LiveKitSettings { public_url: websocket_url(&public), url, key, keys })
    }

    /// The key that signs: the single pair, or else the first of the others.
    fn key_pair(&self, more: &[ApiKey], reader: &mut Reader) -> Option<ApiKey> {
        if let (None, None, Some(first)) = (&self.livekit_api_key, &self.livekit_api_secret, more.first()) {
            return Some(first.clone());
        }
        let key = self.livekit_api_key.clone().or_else(|| self.dev.then(|| DEV_KEY.to_owned()));
        let key = reader.required("LIVEKIT_API_KEY", key);
        let secret = self.livekit_api_secret.clone().or_else(|| self.dev.then(|| DEV_SECRET.into()));
        let secret = reader.required("LIVEKIT_API_SECRET", secret);
        Some(ApiKey { key: key?, secret: secret? })
    }

    fn redis(&self, reader: &mut Reader) -> Option<RedisSettings> {
        let prefix = self.redis_prefix.clone().unwrap_or_else(|| "lso".to_owned());
        if prefix.contains(['{', '}']) || prefix.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return reader
                .problem("REDIS_PREFIX", "must not contain braces, white space or control characters");
        }
        if self.dev && self.redis_url.is_none() {
            return None;
        }
        let url = reader.required("REDIS_URL", self.redis_url.clone())?;
        let text = url.expose_secret();
        let tls = Address::is_tls(text);
        if let Err(rule) = Address::check(text) {
            return reader.problem("REDIS_URL", rule);
        }
        let ca = reader.file("REDIS_CA_FILE", self.redis_ca_file.as_ref());
        let certificate = reader.file("REDIS_CERT_FILE", self.redis_cert_file.as_ref());
        let key = reader.file("REDIS_KEY_FILE", self.redis_key_file.as_ref());
        let text = |key| {
            String::from_utf8(key).ok().or_else(|| reader.problem("REDIS_KEY_FILE", "must be a PEM file"))
        };
        let key = key.and_then(text).map(SecretString::from);
        if !tls && (ca.is_some() || certificate.is_some()) {
            return reader.problem("REDIS_CA_FILE", "and REDIS_CERT_FILE are for rediss only");
        }
        if self.redis_cert_file.is_some() != self.redis_key_file.is_some() {
            return reader.problem("REDIS_CERT_FILE", "and REDIS_KEY_FILE go together");
        }
        Some(RedisSettings { address: Address { url, ca, identity: certificate.zip(key) }, prefix })
    }

    fn http(&self, reader: &mut Reader) -> Option<HttpSettings> {
        let host = self.host(reader);
        if self.dev && host.is_some_and(|host| !host.is_loopback()) {
            reader.problem::<()>("HOST", "must be a loopback address in dev mode");
        }
        let metrics_address = self.metrics_addr.as_ref().and_then(|text| {
            text.parse().ok().or_else(|| reader.problem("METRICS_ADDR", "must be an address and a port"))
        });
        let origins = self.cors_origins.as_deref().unwrap_or_default().split(',').map(str::trim);
        let cors_origins: Vec<_> = origins.filter(|origin| !origin.is_empty()).map(str::to_owned).collect();
        let is_origin = |text: &String| {
            text == "*" || Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == *text)
        };
        if !cors_origins.iter().all(is_origin) {
            reader.problem::<()>("CORS_ORIGINS", "must be * or origins like https://app.example.com");
        }
        let port = reader.port("PORT", self.port.as_ref(), DEFAULT_PORT);
        let drain_timeout =
            reader.duration("DRAIN_TIMEOUT", self.drain_timeout.as_ref(), Duration::from_secs(20));
        // Any free port has no next one.
        let next = if port == 0 { 0 } else { port.checked_add(1).unwrap_or_default() };
        let grpc_port = reader.port("GRPC_PORT", self.grpc_port.as_ref(), next);
        let (address, grpc_address) = (SocketAddr::new(host?, port), SocketAddr::new(host?, grpc_port));
        Some(HttpSettings { address, grpc_address, metrics_address, cors_origins, drain_timeout })
    }

    fn policy(&self, reader: &mut Reader) -> Policy {
        let idle = self.idle_timeout.as_ref();
        let idle_timeout = reader.duration_or_never("IDLE_TIMEOUT", idle, Duration::from_secs(300));
        Policy {
            token_ttl: reader.duration("TOKEN_TTL", self.token_ttl.as_ref(), Duration::from_secs(600)),
            joining_ttl: reader.duration("JOINING_TTL", self.joining_ttl.as_ref(), Duration::from_secs(60)),
            idle_timeout,
            reconcile_interval: reader.duration(
                "RECONCILE_INTERVAL",
                self.reconcile_interval.as_ref(),
                Duration::from_secs(30),
            ),
            listing_grace: LISTING_GRACE,
        }
    }

    fn log_format(&self, reader: &mut Reader) -> LogFormat {
        match self.log_format.as_deref() {
            Some("pretty") => LogFormat::Pretty,
            Some("json") => LogFormat::Json,
            None if std::io::stderr().is_terminal() => LogFormat::Pretty,
            None => LogFormat::Json,
            Some(_) => reader.problem("LOG_FORMAT", "must be pretty or json").unwrap_or(LogFormat::Json),
        }
    }
}
