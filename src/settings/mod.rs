//! Every setting, an environment variable and a flag of the same name, checked as a whole: every problem is named at
//! once.

mod admission;
mod arguments;
mod command;
mod exposure;
mod reader;

use std::{fmt, net::SocketAddr, time::Duration};

use ipnet::IpNet;
use url::Url;

pub use self::{
    admission::AdmissionArguments,
    arguments::Arguments,
    command::{Command, CommandLine},
};
use crate::{
    admission::Limits,
    orchestrator::Policy,
    relay,
    rooms::tokens::ApiKey,
    store::{Retention, redis::Address},
    telemetry::logging::LogFormat,
};

/// Where LiveKit is and how to speak to it.
#[derive(Clone, Debug)]
pub struct LiveKitSettings {
    /// Where this service reaches it.
    pub url: Url,
    /// What clients connect to, `ws` or `wss`, without a slash at the end.
    pub public_url: String,
    /// The key that tokens are signed with.
    pub key: ApiKey,
    /// Keys whose tokens and webhooks are taken: that one and any others.
    pub keys: Vec<ApiKey>,
}

/// Who may call, and how often.
#[derive(Clone, Debug)]
pub struct AdmissionSettings {
    /// Whether callers need a token; otherwise the API is open.
    pub authenticates: bool,
    /// How often a caller may call.
    pub limits: Limits,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How many feeds may be open at this instance.
    pub max_feeds: usize,
    /// How many of them may be one caller's.
    pub max_feeds_per_caller: usize,
}

/// Where Redis is and what belongs to this service in it.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// How to reach it.
    pub address: Address,
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
    /// Whether this instance does what nobody asks for: reconciling, and what is due. Only `check` has one that does not.
    pub jobs: bool,
    /// LiveKit.
    pub livekit: LiveKitSettings,
    /// Redis; none keeps state in memory, which only dev mode allows.
    pub redis: Option<RedisSettings>,
    /// Who may call, and how often.
    pub admission: AdmissionSettings,
    /// Listening.
    pub http: HttpSettings,
    /// How clients are served what happens.
    pub relay: relay::Options,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As long as a secret on a public address must be.
    const STRONG: &str = "very-secret-value-of-32-bytes-ok";

    fn production() -> Arguments {
        Arguments {
            livekit_url: Some("https://livekit.example.com/".to_owned()),
            livekit_api_key: Some("key".to_owned()),
            livekit_api_secret: Some(STRONG.into()),
            redis_url: Some("redis://user:hunter2@redis:6379/1".into()),
            ..Arguments::default()
        }
    }

    #[test]
    fn what_is_open_to_everybody_stays_on_loopback_unless_it_is_allowed() {
        let with = |host: &str, allow: Option<&str>, secret: &str| {
            let admission = AdmissionArguments {
                auth: Some("off".to_owned()),
                allow_insecure: allow.map(str::to_owned),
                ..AdmissionArguments::default()
            };
            let arguments = Arguments {
                host: Some(host.to_owned()),
                admission,
                livekit_api_secret: Some(secret.into()),
                ..production()
            };
            arguments.check().map_err(|error| error.0.len())
        };
        assert!(with("127.0.0.1", None, "secret").is_ok());
        assert!(with("::1", Some("false"), "secret").is_ok());
        assert!(with("0.0.0.0", Some("true"), "secret").is_ok());
        assert_eq!(with("0.0.0.0", Some("false"), STRONG).err(), Some(1), "AUTH");
        assert_eq!(with("0.0.0.0", None, "secret").err(), Some(2), "AUTH, and the secret");
        assert_eq!(with("0.0.0.0", Some("perhaps"), STRONG).err(), Some(2), "and what is no answer");
    }

    #[test]
    fn secret_shorter_than_32_bytes_needs_loopback_or_allow_insecure() {
        let short = &STRONG[..31];
        let with = |host: Option<&str>, allow: Option<&str>, secret: &str, lines: Option<String>| {
            let mut arguments = production();
            arguments.host = host.map(str::to_owned);
            arguments.livekit_api_secret = Some(secret.into());
            arguments.admission.allow_insecure = allow.map(str::to_owned);
            arguments.admission.livekit_api_keys = lines.map(Into::into);
            arguments.check().map(|_| ()).map_err(|error| error.0)
        };
        assert_eq!(STRONG.len(), 32);
        assert_eq!(with(None, None, STRONG, Some(format!("next: {STRONG}"))), Ok(()));
        assert_eq!(with(Some("127.0.0.1"), None, short, None), Ok(()));
        assert_eq!(with(None, Some("true"), short, Some("next: short".to_owned())), Ok(()));
        let refused = with(None, None, short, None).unwrap_err();
        assert!(
            refused.len() == 1 && refused[0].starts_with("LIVEKIT_API_SECRET must have at least 32 bytes")
        );
        let refused = with(Some("0.0.0.0"), None, STRONG, Some(format!("next: {short}"))).unwrap_err();
        assert!(refused.len() == 1 && refused[0].starts_with("LIVEKIT_API_KEYS must have at least 32 bytes"));
        assert!(!refused.concat().contains(short));
    }

    /// Settings with these about admission.
    fn admission(change: impl FnOnce(&mut AdmissionArguments)) -> Result<Settings, SettingsError> {
        let mut arguments = production();
        change(&mut arguments.admission);
        arguments.check()
    }

    #[test]
    fn authentication_is_on_unless_it_is_turned_off() {
        let auth = |auth: Option<&str>| {
            admission(|arguments| {
                arguments.auth = auth.map(str::to_owned);
                arguments.allow_insecure = Some("true".to_owned());
            })
            .map(|settings| settings.admission.authenticates)
        };
        assert!(auth(None).unwrap() && auth(Some("livekit")).unwrap() && !auth(Some("off")).unwrap());
        assert_eq!(auth(Some("basic")).unwrap_err().0, ["AUTH must be livekit or off"]);
        let dev = Arguments { dev: true, ..Arguments::default() }.check().unwrap();
        assert!(!dev.admission.authenticates);
    }

    #[test]
    fn limits_are_read_as_they_are_written() {
        let limit = |text: &str| {
            admission(|arguments| arguments.rate_limit_read = Some(text.to_owned())).map(|settings| {
                settings.admission.limits.read.map(|limit| (limit.count, limit.period.as_secs()))
            })
        };
        assert_eq!(limit("5/s").unwrap(), Some((5, 1)));
        assert_eq!(limit("600/m").unwrap(), Some((600, 60)));
        assert_eq!(limit("1/h").unwrap(), Some((1, 3_600)));
        assert_eq!(limit("off").unwrap(), None);
        for wrong in ["0/s", "5", "5/d", "-1/s", "5/s/m", "many/s"] {
            assert!(limit(wrong).unwrap_err().0[0].starts_with("RATE_LIMIT_READ must be"), "{wrong}");
        }
    }

    #[test]
    fn keys_can_be_several_and_proxies_are_networks() {
        let lines = format!("\n one: {STRONG} \n\ntwo:second:{STRONG}\n");
        let settings =
            admission(|arguments| arguments.livekit_api_keys = Some(lines.as_str().into())).unwrap();
        let keys: Vec<_> = settings.livekit.keys.iter().map(|key| key.key.as_str()).collect();
        assert_eq!(keys, ["key", "one", "two"]);
        let mut alone = production();
        (alone.livekit_api_key, alone.livekit_api_secret) = (None, None);
        alone.admission.livekit_api_keys = Some(lines.into());
        let settings = alone.check().unwrap();
        assert_eq!((settings.livekit.key.key.as_str(), settings.livekit.keys.len()), ("one", 2));
        let wrong = admission(|arguments| arguments.livekit_api_keys = Some("hunter2".into())).unwrap_err().0;
        assert_eq!(wrong, ["LIVEKIT_API_KEYS must be lines of `key: secret`"]);

        let proxies = |text: &str| {
            admission(|arguments| arguments.trusted_proxies = Some(text.to_owned()))
                .map(|settings| settings.admission.trusted_proxies.len())
        };
        assert_eq!(proxies("10.0.0.0/8, 192.0.2.1,2001:db8::/32").unwrap(), 3);
        assert!(proxies("10.0.0.0/40").unwrap_err().0[0].starts_with("TRUSTED_PROXIES must be"));
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
        assert_eq!(settings.relay.max_age, Some(Duration::from_secs(3_600)));
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
            connection_max_age: Some("1".to_owned()),
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
            "CONNECTION_MAX_AGE",
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
    fn redis_may_be_deployed_in_more_than_one_way() {
        let with = |url: &str, ca: Option<&str>| {
            let (redis_url, redis_ca_file) = (Some(url.into()), ca.map(str::to_owned));
            Arguments { redis_url, redis_ca_file, ..production() }.check().map_err(|error| error.0)
        };
        for url in [
            "rediss://ann:word@redis.example:6380/1",
            "redis+sentinel://one,two,three/the-master/0",
            "rediss+cluster://ann:word@one,two",
        ] {
            assert!(with(url, None).is_ok(), "{url}");
        }
        let refused = with("redis+sentinel://one,two", None).unwrap_err();
        assert!(refused.len() == 1 && refused[0].starts_with("REDIS_URL must be redis://"), "{refused:?}");
        let refused = with("redis+cluster://one/1", None).unwrap_err();
        assert_eq!(refused, ["REDIS_URL must not name a database of a cluster: there is only 0"]);
        let pem = std::env::temp_dir().join(format!("{}.pem", uuid::Uuid::new_v4()));
        std::fs::write(&pem, "-----BEGIN CERTIFICATE-----").unwrap();
        let refused = with("redis+sentinel://one/the-master", pem.to_str());
        std::fs::remove_file(&pem).unwrap();
        assert_eq!(refused.unwrap_err(), ["REDIS_CA_FILE and REDIS_CERT_FILE are for rediss only"]);
    }

    #[test]
    fn empty_variables_are_unset_and_zero_turns_idling_off() {
        let arguments = Arguments {
            port: Some(String::new()),
            idle_timeout: Some("0".to_owned()),
            connection_max_age: Some("0".to_owned()),
            livekit_host: Some("ws://x".to_owned()),
            ..production()
        };
        let settings = arguments.check().unwrap();
        assert_eq!((settings.http.address.port(), settings.policy.idle_timeout), (3000, None));
        assert_eq!(settings.relay.max_age, None);
    }

    #[test]
    fn secrets_do_not_show() {
        let shown = format!("{:?} {:?}", production(), production().check().unwrap());
        assert!(!shown.contains("very-secret-value") && !shown.contains("hunter2"));
    }
}
