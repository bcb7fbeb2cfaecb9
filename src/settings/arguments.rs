//! The settings as given in flags and environment variables.

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use super::{AdmissionArguments, EgressArguments};

/// All settings as given, not yet parsed. The doc comments are the texts of `--help`.
#[derive(Clone, Debug, Default, Args)]
pub struct Arguments {
    /// Run without any other setting: state in memory, LiveKit's development key, loopback only. Not for production
    #[arg(long)]
    pub dev: bool,
    /// Address at which this service reaches LiveKit: ws, wss, http or https. Required outside dev mode
    #[arg(long, env = "LIVEKIT_URL", hide_env_values = true)]
    pub livekit_url: Option<String>,
    /// Alias of LIVEKIT_URL
    #[arg(long, env = "LIVEKIT_HOST", hide_env_values = true)]
    pub livekit_host: Option<String>,
    /// Address at which clients reach LiveKit [default: as LIVEKIT_URL]
    #[arg(long, env = "LIVEKIT_PUBLIC_URL", hide_env_values = true)]
    pub livekit_public_url: Option<String>,
    /// LiveKit API key. Required outside dev mode
    #[arg(long, env = "LIVEKIT_API_KEY", hide_env_values = true)]
    pub livekit_api_key: Option<String>,
    /// Secret of LIVEKIT_API_KEY. Required outside dev mode. Preferably set as an environment variable
    #[arg(long, env = "LIVEKIT_API_SECRET", hide_env_values = true)]
    pub livekit_api_secret: Option<SecretString>,
    /// Address of Redis: redis://user:password@host:port/database,
    /// redis+sentinel://user:password@host:port,…/master/database or redis+cluster://user:password@host:port,…;
    /// rediss for TLS. Several of the first two, separated by commas, share the partitions. Required outside dev mode
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<SecretString>,
    /// For rediss: PEM file with the CA certificates for Redis's certificate [default: this machine's roots]
    #[arg(long, env = "REDIS_CA_FILE")]
    pub redis_ca_file: Option<String>,
    /// For rediss: PEM file with this service's client certificate [default: none]
    #[arg(long, env = "REDIS_CERT_FILE")]
    pub redis_cert_file: Option<String>,
    /// For rediss: PEM file with the private key of REDIS_CERT_FILE [default: none]
    #[arg(long, env = "REDIS_KEY_FILE")]
    pub redis_key_file: Option<String>,
    /// Prefix of every key and channel in Redis [default: lso]
    #[arg(long, env = "REDIS_PREFIX")]
    pub redis_prefix: Option<String>,
    /// Number of parts into which streams are divided, up to 256; fixed for a deployment [default: 1]
    #[arg(long, env = "REDIS_PARTITIONS")]
    pub redis_partitions: Option<String>,
    /// IP address to listen on [default: 0.0.0.0; in dev mode 127.0.0.1]
    #[arg(long, env = "HOST")]
    pub host: Option<String>,
    /// HTTP port; 0 for any free port [default: 3000]
    #[arg(long, env = "PORT")]
    pub port: Option<String>,
    /// gRPC port; 0 for any free port [default: the HTTP port + 1]
    #[arg(long, env = "GRPC_PORT")]
    pub grpc_port: Option<String>,
    /// Separate address and port for /metrics [default: none, /metrics is on PORT]
    #[arg(long, env = "METRICS_ADDR")]
    pub metrics_addr: Option<String>,
    /// Authentication and limits.
    #[command(flatten)]
    pub admission: AdmissionArguments,
    /// Recordings and broadcasts.
    #[command(flatten)]
    pub egress: EgressArguments,
    /// Time for which a join token can be used to connect [default: 10m]
    #[arg(long, env = "TOKEN_TTL")]
    pub token_ttl: Option<String>,
    /// Time for which an unused join token counts as joining [default: 60s]
    #[arg(long, env = "JOINING_TTL")]
    pub joining_ttl: Option<String>,
    /// Time after which a stream without participants is stopped; 0 for no limit [default: 5m]
    #[arg(long, env = "IDLE_TIMEOUT")]
    pub idle_timeout: Option<String>,
    /// Audience of a stream whose creator names none: listed, counted or auto [default: auto]
    #[arg(long, env = "AUDIENCE")]
    pub audience: Option<String>,
    /// Active viewers above which a stream with the audience auto becomes counted [default: 200]
    #[arg(long, env = "AUDIENCE_LISTED_MAX")]
    pub audience_listed_max: Option<String>,
    /// Time for which a stopped stream can still be read [default: 5m]
    #[arg(long, env = "STOPPED_TTL")]
    pub stopped_ttl: Option<String>,
    /// Time for which every event is kept for resuming, at most STOPPED_TTL [default: 2m]
    #[arg(long, env = "LOG_RETENTION")]
    pub log_retention: Option<String>,
    /// Maximum number of events in a stream's log, at least 1000; ten times as many of all streams [default: 20000]
    #[arg(long, env = "LOG_MAX_EVENTS")]
    pub log_max_events: Option<String>,
    /// Maximum bytes of a stream's log, at least 1000000; 16 times as many of all streams [default: 4000000]
    #[arg(long, env = "LOG_MAX_BYTES")]
    pub log_max_bytes: Option<String>,
    /// Lifetime of a live stream's keys, renewed by every change [default: 24h]
    #[arg(long, env = "STREAM_TTL")]
    pub stream_ttl: Option<String>,
    /// Postgres database of the history: postgres://user:password@host:port/database [default: none, no history]
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<SecretString>,
    /// Time for which the history keeps a stream after its end; 0 for no limit [default: 90d]
    #[arg(long, env = "HISTORY_RETENTION")]
    pub history_retention: Option<String>,
    /// JSON file with webhook endpoints, besides those that the API creates [default: none]
    #[arg(long, env = "WEBHOOK_ENDPOINTS_FILE")]
    pub webhook_endpoints_file: Option<String>,
    /// Allow webhook endpoints at loopback and private addresses: true or false [default: false; in dev mode true]
    #[arg(long, env = "WEBHOOK_ALLOW_PRIVATE")]
    pub webhook_allow_private: Option<String>,
    /// Interval between two reconciliations with LiveKit [default: 30s]
    #[arg(long, env = "RECONCILE_INTERVAL")]
    pub reconcile_interval: Option<String>,
    /// Origins that browsers may call from, separated by commas, or * [default: none]
    #[arg(long, env = "CORS_ORIGINS")]
    pub cors_origins: Option<String>,
    /// Maximum age of a feed's connection, which ends at a random time after half of it; 0 for no limit [default: 1h]
    #[arg(long, env = "CONNECTION_MAX_AGE")]
    pub connection_max_age: Option<String>,
    /// Maximum time from SIGTERM to exit [default: 20s]
    #[arg(long, env = "DRAIN_TIMEOUT")]
    pub drain_timeout: Option<String>,
    /// Format of log lines: pretty or json [default: pretty on a terminal, else json]
    #[arg(long, env = "LOG_FORMAT")]
    pub log_format: Option<String>,
}

impl Arguments {
    /// Unsets empty variables, which compose files and `.env` files produce for unset ones.
    pub(super) fn drop_empty(&mut self) {
        self.admission.drop_empty();
        self.egress.drop_empty();
        for text in [
            &mut self.livekit_url,
            &mut self.livekit_host,
            &mut self.livekit_public_url,
            &mut self.livekit_api_key,
            &mut self.redis_prefix,
            &mut self.redis_partitions,
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
            &mut self.audience,
            &mut self.audience_listed_max,
            &mut self.stopped_ttl,
            &mut self.log_retention,
            &mut self.log_max_events,
            &mut self.log_max_bytes,
            &mut self.stream_ttl,
            &mut self.history_retention,
            &mut self.webhook_endpoints_file,
            &mut self.webhook_allow_private,
            &mut self.cors_origins,
            &mut self.reconcile_interval,
            &mut self.connection_max_age,
            &mut self.drain_timeout,
            &mut self.log_format,
        ] {
            text.take_if(|text| text.is_empty());
        }
        for secret in [&mut self.livekit_api_secret, &mut self.redis_url, &mut self.database_url] {
            secret.take_if(|secret| secret.expose_secret().is_empty());
        }
    }
}
