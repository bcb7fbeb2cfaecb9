//! Tests of the settings as a whole.

use std::time::Duration;

use super::*;
use crate::domain::AudienceMode;

/// A secret of the minimum length for public addresses.
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
fn auth_off_on_public_address_needs_allow_insecure() {
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
        arguments.validate().map_err(|error| error.0.len())
    };
    assert!(with("127.0.0.1", None, "secret").is_ok());
    assert!(with("::1", Some("false"), "secret").is_ok());
    assert!(with("0.0.0.0", Some("true"), "secret").is_ok());
    assert_eq!(with("0.0.0.0", Some("false"), STRONG).err(), Some(1), "AUTH");
    assert_eq!(with("0.0.0.0", None, "secret").err(), Some(2), "AUTH, and the secret");
    assert_eq!(with("0.0.0.0", Some("perhaps"), STRONG).err(), Some(2), "AUTH, and the invalid value");
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
        arguments.validate().map(|_| ()).map_err(|error| error.0)
    };
    assert_eq!(STRONG.len(), 32);
    assert_eq!(with(None, None, STRONG, Some(format!("next: {STRONG}"))), Ok(()));
    assert_eq!(with(Some("127.0.0.1"), None, short, None), Ok(()));
    assert_eq!(with(None, Some("true"), short, Some("next: short".to_owned())), Ok(()));
    let refused = with(None, None, short, None).unwrap_err();
    assert!(refused.len() == 1 && refused[0].starts_with("LIVEKIT_API_SECRET must have at least 32 bytes"));
    let refused = with(Some("0.0.0.0"), None, STRONG, Some(format!("next: {short}"))).unwrap_err();
    assert!(refused.len() == 1 && refused[0].starts_with("LIVEKIT_API_KEYS must have at least 32 bytes"));
    assert!(!refused.concat().contains(short));
}

/// Checks production settings with changed admission arguments.
fn admission(change: impl FnOnce(&mut AdmissionArguments)) -> Result<Settings, SettingsError> {
    let mut arguments = production();
    change(&mut arguments.admission);
    arguments.validate()
}

#[test]
fn authentication_is_on_by_default_and_off_in_dev_mode() {
    let auth = |auth: Option<&str>| {
        admission(|arguments| {
            arguments.auth = auth.map(str::to_owned);
            arguments.allow_insecure = Some("true".to_owned());
        })
        .map(|settings| settings.admission.authenticates)
    };
    assert!(auth(None).unwrap() && auth(Some("livekit")).unwrap() && !auth(Some("off")).unwrap());
    assert_eq!(auth(Some("basic")).unwrap_err().0, ["AUTH must be livekit or off"]);
    let dev = Arguments { dev: true, ..Arguments::default() }.validate().unwrap();
    assert!(!dev.admission.authenticates);
}

#[test]
fn rate_limit_of_every_unit_is_parsed() {
    let limit = |text: &str| {
        admission(|arguments| arguments.rate_limit_read = Some(text.to_owned()))
            .map(|settings| settings.admission.limits.read.map(|limit| (limit.count, limit.period.as_secs())))
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
fn api_keys_of_several_lines_are_parsed() {
    let lines = format!("\n one: {STRONG} \n\ntwo:second:{STRONG}\n");
    let settings = admission(|arguments| arguments.livekit_api_keys = Some(lines.as_str().into())).unwrap();
    let keys: Vec<_> = settings.livekit.keys.iter().map(|key| key.key.as_str()).collect();
    assert_eq!(keys, ["key", "one", "two"]);
    let mut alone = production();
    (alone.livekit_api_key, alone.livekit_api_secret) = (None, None);
    alone.admission.livekit_api_keys = Some(lines.into());
    let settings = alone.validate().unwrap();
    assert_eq!((settings.livekit.key.key.as_str(), settings.livekit.keys.len()), ("one", 2));
    let wrong = admission(|arguments| arguments.livekit_api_keys = Some("hunter2".into())).unwrap_err().0;
    assert_eq!(wrong, ["LIVEKIT_API_KEYS must be lines of `key: secret`"]);
}

#[test]
fn trusted_proxies_are_addresses_and_networks() {
    let proxies = |text: &str| {
        admission(|arguments| arguments.trusted_proxies = Some(text.to_owned()))
            .map(|settings| settings.admission.trusted_proxies.len())
    };
    assert_eq!(proxies("10.0.0.0/8, 192.0.2.1,2001:db8::/32").unwrap(), 3);
    assert!(proxies("10.0.0.0/40").unwrap_err().0[0].starts_with("TRUSTED_PROXIES must be"));
}

#[test]
fn allowed_hosts_are_names_without_ports() {
    let hosts = |text: &str| {
        admission(|arguments| arguments.allowed_hosts = Some(text.to_owned()))
            .map(|settings| settings.admission.allowed_hosts)
    };
    assert_eq!(hosts("Live.example.com, nginx,").unwrap(), ["live.example.com", "nginx"]);
    for wrong in ["live.example.com:443", "https://live.example.com", "*", "a b"] {
        assert!(hosts(wrong).unwrap_err().0[0].starts_with("ALLOWED_HOSTS must be"), "{wrong}");
    }
}

#[test]
fn dev_mode_needs_no_setting_and_stays_on_loopback() {
    let settings = Arguments { dev: true, ..Arguments::default() }.validate().unwrap();
    assert!(settings.redis.is_none() && settings.http.address.ip().is_loopback());
    assert!(matches!(settings.database, Some(DatabaseAddress::Sqlite(_))) && settings.retention.keeps_visits);
    assert_eq!(settings.livekit.public_url, "ws://localhost:7880");
    let exposed = Arguments { dev: true, host: Some("0.0.0.0".to_owned()), ..Arguments::default() };
    assert_eq!(exposed.validate().unwrap_err().0, ["HOST must be a loopback address in dev mode"]);
}

#[test]
fn defaults_are_those_of_the_reference() {
    let settings = production().validate().unwrap();
    assert_eq!(settings.livekit.public_url, "wss://livekit.example.com");
    assert_eq!(settings.http.address.to_string(), "0.0.0.0:3000");
    assert_eq!(settings.policy.idle_timeout, Some(Duration::from_secs(300)));
    assert_eq!((settings.policy.audience, settings.policy.audience_listed_max), (AudienceMode::Auto, 200));
    assert_eq!(settings.retention.live, Duration::from_secs(86_400));
    assert_eq!(settings.relay.max_age, Some(Duration::from_secs(3_600)));
    assert!(settings.database.is_none() && !settings.retention.keeps_visits);
    assert_eq!(settings.history_retention, Some(Duration::from_secs(90 * 86_400)));
    assert_eq!(settings.redis.unwrap().prefix, "lso");
}

#[test]
fn audience_is_a_mode_and_a_whole_number() {
    let with = |mode: &str, max: &str| {
        let [audience, audience_listed_max] = [mode, max].map(|text| Some(text.to_owned()));
        let arguments = Arguments { audience, audience_listed_max, ..production() };
        let policy = arguments.validate().map(|settings| settings.policy).map_err(|error| error.0)?;
        Ok::<_, Vec<String>>((policy.audience, policy.audience_listed_max))
    };
    assert_eq!(with("listed", "0"), Ok((AudienceMode::Listed, 0)));
    assert_eq!(
        with("both", "-1").unwrap_err(),
        ["AUDIENCE must be listed, counted or auto", "AUDIENCE_LISTED_MAX must be a whole number"]
    );
}

#[test]
fn log_bounds_have_minima_and_end_with_the_stream() {
    let with = |retention: Option<&str>, stopped: Option<&str>, events: Option<&str>, bytes: Option<&str>| {
        let [log_retention, stopped_ttl, log_max_events, log_max_bytes] =
            [retention, stopped, events, bytes].map(|text| text.map(str::to_owned));
        let arguments =
            Arguments { log_retention, stopped_ttl, log_max_events, log_max_bytes, ..production() };
        arguments.validate().map(|settings| settings.retention.log).map_err(|error| error.0)
    };
    let log = with(None, None, None, None).unwrap();
    assert_eq!((log.retention, log.min_events), (Duration::from_secs(120), 1_000));
    assert_eq!((log.max_events, log.max_bytes), (20_000, 4_000_000));
    let of_all = log.of_all_streams();
    assert_eq!(
        (of_all.min_events, of_all.max_events, of_all.max_bytes),
        (crate::store::ALL_LOG_LENGTH, 200_000, 64_000_000)
    );
    assert_eq!(with(None, Some("1m"), None, None).unwrap().retention, Duration::from_secs(60));
    let log = with(Some("5m"), None, Some("1000"), Some("1000000")).unwrap();
    assert_eq!((log.retention, log.max_events, log.max_bytes), (Duration::from_secs(300), 1_000, 1_000_000));
    assert_eq!(
        with(Some("6m"), None, Some("999"), Some("4MB")).unwrap_err(),
        [
            "LOG_RETENTION must not exceed STOPPED_TTL",
            "LOG_MAX_EVENTS must be a whole number from 1000",
            "LOG_MAX_BYTES must be a whole number from 1000000",
        ]
    );
}

#[test]
fn every_problem_is_named_at_once_without_its_value() {
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
        database_url: Some("mysql://hunter2".into()),
        history_retention: Some("90 moons".to_owned()),
        ..Arguments::default()
    };
    let SettingsError(problems) = arguments.validate().unwrap_err();
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
        "DATABASE_URL",
        "HISTORY_RETENTION",
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
fn redis_url_of_every_deployment_is_accepted() {
    let with = |url: &str, ca: Option<&str>| {
        let (redis_url, redis_ca_file) = (Some(url.into()), ca.map(str::to_owned));
        Arguments { redis_url, redis_ca_file, ..production() }.validate().map_err(|error| error.0)
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
fn empty_variable_is_unset_and_zero_timeout_is_off() {
    let arguments = Arguments {
        port: Some(String::new()),
        idle_timeout: Some("0".to_owned()),
        connection_max_age: Some("0".to_owned()),
        livekit_host: Some("ws://x".to_owned()),
        ..production()
    };
    let settings = arguments.validate().unwrap();
    assert_eq!((settings.http.address.port(), settings.policy.idle_timeout), (3000, None));
    assert_eq!(settings.relay.max_age, None);
}

#[test]
fn debug_output_has_no_secrets() {
    let shown = format!("{:?} {:?}", production(), production().validate().unwrap());
    assert!(!shown.contains("very-secret-value") && !shown.contains("hunter2"));
}
