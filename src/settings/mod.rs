//! Settings: each is an environment variable and a flag of the same name.
//!
//! The settings are validated as a whole. An error names every invalid setting and never a value, which may be a
//! secret.

mod admission;
mod arguments;
mod command;
mod database;
mod egress;
mod egress_storage;
mod error;
mod exposure;
mod http;
mod lifetimes;
mod livekit;
mod reader;
mod redis;
#[cfg(test)]
mod tests;
mod validation;
mod webhooks;

use std::time::Duration;

pub use self::{
    admission::{AdmissionArguments, AdmissionSettings},
    arguments::Arguments,
    command::{Command, CommandLine},
    egress::{EgressArguments, EgressSettings},
    error::SettingsError,
    http::HttpSettings,
    livekit::LiveKitSettings,
    redis::RedisSettings,
    webhooks::WebhookSettings,
};
use crate::{
    history::DatabaseAddress, orchestrator::Policy, relay, store::Retention, telemetry::logging::LogFormat,
};

/// All settings of an instance, validated.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Enables dev mode: simulated rooms if no LiveKit server answers.
    pub dev: bool,
    /// Enables the reconciler and the sweeper. Only the temporary instance of `check` runs without them.
    pub jobs: bool,
    /// Address and keys of LiveKit.
    pub livekit: LiveKitSettings,
    /// Address of Redis; `None` keeps state in memory, in dev mode only.
    pub redis: Option<RedisSettings>,
    /// Authentication and limits.
    pub admission: AdmissionSettings,
    /// Listening addresses, CORS origins and shutdown.
    pub http: HttpSettings,
    /// Delivery of events to clients.
    pub relay: relay::Options,
    /// Timeouts and intervals of the use cases.
    pub policy: Policy,
    /// Lifetimes of what the store keeps.
    pub retention: Retention,
    /// Database of the history; `None` without a history.
    pub database: Option<DatabaseAddress>,
    /// Time for which the history keeps an ended stream; `None` for no limit.
    pub history_retention: Option<Duration>,
    /// Recordings and broadcasts.
    pub egress: EgressSettings,
    /// Outbound webhooks.
    pub webhooks: WebhookSettings,
    /// Format of log lines.
    pub log_format: LogFormat,
}
