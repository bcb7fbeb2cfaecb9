//! LiveKit servers.

use std::{path::PathBuf, sync::OnceLock};

use super::{
    ports::{free_port, wait_for_port},
    process::{ChildProcess, keep_until_exit, start},
    redis::Redis,
};
use crate::support::instance::signal;

/// A LiveKit server.
pub struct LiveKit {
    pub port: u16,
    config: String,
    running: Option<ChildProcess>,
}

/// API key of all LiveKit servers.
pub const KEY: &str = "devkey";
/// Secret of [`KEY`].
pub const SECRET: &str = "secret";

fn livekit_binary() -> String {
    let cache = || {
        let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let base = base.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
        base.join("livestream-orchestrator/livekit-server-v1.13.5").to_string_lossy().into_owned()
    };
    std::env::var("LIVEKIT_SERVER").unwrap_or_else(|_| cache())
}

impl LiveKit {
    /// Starts a server that posts its webhooks to `webhook_url`, if there is one.
    pub fn start(webhook_url: Option<&str>) -> Self {
        let mut livekit = Self::configured(webhook_url);
        livekit.restart();
        livekit
    }

    fn configured(webhook_url: Option<&str>) -> Self {
        let (port, tcp, udp) = (free_port(), free_port(), free_port());
        let urls = webhook_url.map(|url| format!("\"{url}\"")).unwrap_or_default();
        let config = format!(
            "port: {port}\nbind_addresses: [127.0.0.1]\nkeys: {{{KEY}: {SECRET}}}\n\
             rtc: {{tcp_port: {tcp}, udp_port: {udp}, use_external_ip: false, node_ip: 127.0.0.1, \
             enable_loopback_candidate: true}}\nwebhook: {{api_key: {KEY}, urls: [{urls}]}}\n"
        );
        Self { port, config, running: None }
    }

    /// Starts a server with its own Redis, as ingress and egress require. `rtmp_port` is the port that ingresses name.
    pub fn start_with_redis(webhook_url: Option<&str>, redis: &Redis, rtmp_port: u16) -> Self {
        let mut livekit = Self::configured(webhook_url);
        livekit.config += &format!(
            "redis: {{address: \"127.0.0.1:{}\"}}\n\
             ingress: {{rtmp_base_url: \"rtmp://127.0.0.1:{rtmp_port}/live\", \
             whip_base_url: \"http://127.0.0.1:{rtmp_port}/whip\"}}\n",
            redis.port
        );
        livekit.restart();
        livekit
    }

    /// Starts a server that refuses every token, because its key has another secret.
    pub fn start_with_other_secret() -> Self {
        let mut livekit = Self::start(None);
        livekit.kill();
        livekit.config = livekit.config.replace(&format!("{KEY}: {SECRET}"), &format!("{KEY}: not-{SECRET}"));
        livekit.restart();
        livekit
    }

    /// Starts the server on the same ports, after [`Self::kill`].
    pub fn restart(&mut self) {
        self.running = Some(start(&livekit_binary(), &["--dev", "--config-body", &self.config]));
        wait_for_port(self.port);
    }

    /// Stops the process without ending it: it accepts connections and does not answer.
    pub fn pause(&self) {
        signal(self.running.as_ref().expect("the server runs").pid(), "STOP");
    }

    pub fn kill(&mut self) {
        self.running.take().expect("the server runs").kill();
    }

    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }
}

/// URL of a LiveKit server without webhooks that tests share. They must not stop it.
pub fn shared_livekit() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        keep_until_exit(|| {
            let mut livekit = LiveKit::start(None);
            (livekit.url(), livekit.running.take().unwrap())
        })
    })
}

/// URL of a LiveKit server with Redis and without workers and webhooks that tests share. They must not stop it.
pub fn shared_livekit_with_redis() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        keep_until_exit(|| {
            let redis = Redis::start();
            let mut livekit = LiveKit::start_with_redis(None, &redis, free_port());
            (livekit.url(), (redis, livekit.running.take().unwrap()))
        })
    })
}
