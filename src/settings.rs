//! Every setting, an environment variable and a flag of the same name, checked as a whole: every problem is named at
//! once.

use std::{
    fmt,
    io::IsTerminal,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use clap::Parser;
use secrecy::SecretString;
use url::Url;

use crate::{orchestrator::Policy, rooms::tokens::ApiKey, store::Retention, telemetry::logging::LogFormat};

/// LiveKit's own development key and secret (`livekit-server --dev`).
const DEV_KEY: &str = "devkey";
const DEV_SECRET: &str = "secret";
const DEV_LIVEKIT_URL: &str = "ws://localhost:7880";

/// A stateless API that orchestrates LiveKit livestreams.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "livestream-orchestrator", version, disable_help_subcommand = true)]
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
    /// Where Redis is: redis://user:password@host:port/database. Required outside dev mode.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<SecretString>,
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
    /// Origins that browsers may call from: a list with commas, or * [default: none]
    #[arg(long, env = "CORS_ORIGINS")]
    pub cors_origins: Option<String>,
    /// From SIGTERM to exit at most [default: 20s]
    #[arg(long, env = "DRAIN_TIMEOUT")]
    pub drain_timeout: Option<String>,
    /// How log lines look: pretty or json [default: pretty on a terminal, else json]
    #[arg(long, env = "LOG_FORMAT")]
    pub log_format: Option<String>,
}

/// Where LiveKit is and how to speak to it.
#[derive(Clone, Debug)]
pub struct LiveKitSettings {
    /// Where this service reaches it.
    pub url: Url,
    /// What clients connect to, `ws` or `wss`, without a slash at the end.
    pub public_url: String,
    /// The key that tokens and webhooks are signed with.
    pub key: ApiKey,
}

/// Where Redis is and what belongs to this service in it.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// The address, with credentials.
    pub url: SecretString,
    /// What stands in front of every key and channel.
    pub prefix: String,
}

/// Where and how to listen.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// The address of the API.
    pub address: SocketAddr,
    /// The address of gRPC.
    pub grpc_address: SocketAddr,
    /// An address of its own for `/metrics`.
    pub metrics_address: Option<SocketAddr>,
    /// Origins that browsers may call from.
    pub cors_origins: Vec<String>,
    /// From SIGTERM to exit at most.
    pub drain_timeout: Duration,
}

/// All settings, valid.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether rooms may be simulated.
    pub dev: bool,
    /// LiveKit.
    pub livekit: LiveKitSettings,
    /// Redis; none keeps state in memory, which only dev mode allows.
    pub redis: Option<RedisSettings>,
    /// Listening.
    pub http: HttpSettings,
    /// How long things may take.
    pub policy: Policy,
    /// How long things are kept.
    pub retention: Retention,
    /// How log lines look.
    pub log_format: LogFormat,
}

/// What is wrong with the settings; all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError(pub Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the settings are not valid:")?;
        for problem in &self.0 {
            writeln!(f, "  - {problem}")?;
        }
        write!(f, "run with --help for all settings, or with --dev to try the service without any")
    }
}

impl std::error::Error for SettingsError {}

/// Collects problems while it reads. A problem names the setting, never its value: a value may be a secret.
struct Reader {
    problems: Vec<String>,
}

impl Reader {
    fn problem<T>(&mut self, setting: &str, rule: &str) -> Option<T> {
        self.problems.push(format!("{setting} {rule}"));
        None
    }

    fn required<T>(&mut self, setting: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.problems.push(format!("{setting} is required"));
        }
        value
    }

    fn duration(&mut self, setting: &str, text: Option<&String>, default: Duration) -> Duration {
        let Some(text) = text else { return default };
        match humantime::parse_duration(text) {
            Ok(duration) if !duration.is_zero() => duration,
            _ => self.problem(setting, "must be a duration like 30s, 5m or 24h").unwrap_or(default),
        }
    }

    fn port(&mut self, setting: &str, text: Option<&String>, default: u16) -> u16 {
        let Some(text) = text else { return default };
        text.parse().ok().or_else(|| self.problem(setting, "must be a port, 0 to 65535")).unwrap_or(default)
    }

    fn livekit_url(&mut self, setting: &str, text: &str) -> Option<Url> {
        let known = |url: &Url| ["ws", "wss", "http", "https"].contains(&url.scheme()) && url.has_host();
        match Url::parse(text) {
            Ok(url) if known(&url) => Some(url),
            _ => self.problem(setting, "must be a URL with ws, wss, http or https"),
        }
    }
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
        let policy = self.policy(&mut reader);
        let retention = Retention {
            live: reader.duration("STREAM_TTL", self.stream_ttl.as_ref(), Duration::from_secs(24 * 3600)),
            stopped: reader.duration("STOPPED_TTL", self.stopped_ttl.as_ref(), Duration::from_secs(300)),
        };
        let log_format = self.log_format(&mut reader);
        match (livekit, http) {
            (Some(livekit), Some(http)) if reader.problems.is_empty() => {
                Ok(Settings { dev: self.dev, livekit, redis, http, policy, retention, log_format })
            }
            _ => Err(SettingsError(reader.problems)),
        }
    }

    /// A variable that is set to nothing is not set: compose files and `.env` make such.
    fn drop_empty(&mut self) {
        for text in [
            &mut self.livekit_url,
            &mut self.livekit_host,
            &mut self.livekit_public_url,
            &mut self.livekit_api_key,
            &mut self.redis_prefix,
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
            &mut self.drain_timeout,
            &mut self.log_format,
        ] {
            text.take_if(|text| text.is_empty());
        }
        for secret in [&mut self.livekit_api_secret, &mut self.redis_url] {
            secret.take_if(|secret| secrecy::ExposeSecret::expose_secret(secret).is_empty());
        }
    }

    fn livekit(&self, reader: &mut Reader) -> Option<LiveKitSettings> {
        let given = self.livekit_url.as_ref().or(self.livekit_host.as_ref()).map(String::as_str);
        let url = given.or(self.dev.then_some(DEV_LIVEKIT_URL));
        let url =
            reader.required("LIVEKIT_URL", url).and_then(|text| reader.livekit_url("LIVEKIT_URL", text));
        let public = self.livekit_public_url.as_ref();
        let public = public.map(|text| reader.livekit_url("LIVEKIT_PUBLIC_URL", text));
        let key = self.livekit_api_key.clone().or_else(|| self.dev.then(|| DEV_KEY.to_owned()));
        let key = reader.required("LIVEKIT_API_KEY", key);
        let secret = self.livekit_api_secret.clone().or_else(|| self.dev.then(|| DEV_SECRET.into()));
        let secret = reader.required("LIVEKIT_API_SECRET", secret);
        let url = url?;
        let public = public.unwrap_or_else(|| Some(url.clone()))?;
        Some(LiveKitSettings {
            public_url: websocket_url(&public),
            url,
            key: ApiKey { key: key?, secret: secret? },
        })
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
        let text = secrecy::ExposeSecret::expose_secret(&url);
        let understood = redis::IntoConnectionInfo::into_connection_info(text).is_ok();
        if !understood || Url::parse(text).map_or(true, |url| url.scheme() != "redis") {
            return reader.problem("REDIS_URL", "must be redis://user:password@host:port/database");
        }
        Some(RedisSettings { url, prefix })
    }

    fn http(&self, reader: &mut Reader) -> Option<HttpSettings> {
        let default = if self.dev { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let host = match &self.host {
            None => Some(IpAddr::V4(default)),
            Some(text) => text.parse().ok().or_else(|| reader.problem("HOST", "must be an IP address")),
        };
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
        let port = reader.port("PORT", self.port.as_ref(), 3000);
        let drain_timeout =
            reader.duration("DRAIN_TIMEOUT", self.drain_timeout.as_ref(), Duration::from_secs(20));
        // Any free port has no next one.
        let next = if port == 0 { 0 } else { port.checked_add(1).unwrap_or_default() };
        let grpc_port = reader.port("GRPC_PORT", self.grpc_port.as_ref(), next);
        let (address, grpc_address) = (SocketAddr::new(host?, port), SocketAddr::new(host?, grpc_port));
        Some(HttpSettings { address, grpc_address, metrics_address, cors_origins, drain_timeout })
    }

    fn policy(&self, reader: &mut Reader) -> Policy {
        let never = self.idle_timeout.as_deref() == Some("0");
        let idle = self.idle_timeout.as_ref().filter(|_| !never);
        let idle = reader.duration("IDLE_TIMEOUT", idle, Duration::from_secs(300));
        Policy {
            token_ttl: reader.duration("TOKEN_TTL", self.token_ttl.as_ref(), Duration::from_secs(600)),
            joining_ttl: reader.duration("JOINING_TTL", self.joining_ttl.as_ref(), Duration::from_secs(60)),
            idle_timeout: (!never).then_some(idle),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn production() -> Arguments {
        Arguments {
            livekit_url: Some("https://livekit.example.com/".to_owned()),
            livekit_api_key: Some("key".to_owned()),
            livekit_api_secret: Some("very-secret-value".into()),
            redis_url: Some("redis://user:hunter2@redis:6379/1".into()),
            ..Arguments::default()
        }
    }

    #[test]
    fn dev_needs_nothing_and_stays_on_loopback() {
        let settings = Arguments { dev: true, ..Arguments::default() }.check().unwrap();
        assert!(settings.redis.is_none() && settings.http.address.ip().is_loopback());
        assert_eq!(settings.livekit.public_url, "ws://localhost:7880");
        let exposed = Arguments { dev: true, host: Some("0.0.0.0".to_owned()), ..Arguments::default() };
        assert_eq!(exposed.check().unwrap_err().0, ["HOST must be a loopback address in dev mode"]);
    }

    #[test]
    fn defaults_are_those_of_the_table() {
        let settings = production().check().unwrap();
        assert_eq!(settings.livekit.public_url, "wss://livekit.example.com");
        assert_eq!(settings.http.address.to_string(), "0.0.0.0:3000");
        assert_eq!(settings.policy.idle_timeout, Some(Duration::from_secs(300)));
        assert_eq!(settings.retention.live, Duration::from_secs(86_400));
        assert_eq!(settings.redis.unwrap().prefix, "lso");
    }

    #[test]
    fn every_problem_is_named_at_once_and_no_value() {
        let arguments = Arguments {
            livekit_url: Some("ftp://hunter2".to_owned()),
            redis_url: Some("hunter2".into()),
            host: Some("hunter2".to_owned()),
            port: Some("99999".to_owned()),
            token_ttl: Some("ten".to_owned()),
            idle_timeout: Some("-5s".to_owned()),
            cors_origins: Some("example.com/path".to_owned()),
            log_format: Some("xml".to_owned()),
            metrics_addr: Some("9090".to_owned()),
            ..Arguments::default()
        };
        let SettingsError(problems) = arguments.check().unwrap_err();
        let named = [
            "LIVEKIT_URL",
            "LIVEKIT_API_KEY",
            "LIVEKIT_API_SECRET",
            "REDIS_URL",
            "HOST",
            "METRICS_ADDR",
            "CORS_ORIGINS",
            "PORT",
            "IDLE_TIMEOUT",
            "TOKEN_TTL",
            "LOG_FORMAT",
        ];
        assert_eq!(problems.len(), named.len(), "{problems:?}");
        for name in named {
            assert!(
                problems.iter().any(|problem| problem.starts_with(&format!("{name} "))),
                "{name}: {problems:?}"
            );
        }
        assert!(!problems.concat().contains("hunter2"));
    }

    #[test]
    fn empty_variables_are_unset_and_zero_turns_idling_off() {
        let arguments = Arguments {
            port: Some(String::new()),
            idle_timeout: Some("0".to_owned()),
            livekit_host: Some("ws://x".to_owned()),
            ..production()
        };
        let settings = arguments.check().unwrap();
        assert_eq!((settings.http.address.port(), settings.policy.idle_timeout), (3000, None));
    }

    #[test]
    fn secrets_do_not_show() {
        let shown = format!("{:?} {:?}", production(), production().check().unwrap());
        assert!(!shown.contains("very-secret-value") && !shown.contains("hunter2"));
    }
}
