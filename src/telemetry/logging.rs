//! The log: one line an event on standard error, for people on a terminal and for machines elsewhere.

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Starts logging for the whole process. `RUST_LOG` filters; without it, this service's own lines from `info` up and
/// others' from `warn` up are shown. A second call changes nothing.
pub fn start(format: LogFormat) {
    // Set to nothing it is not set, as every other setting.
    let wanted = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = wanted.and_then(|filter| EnvFilter::try_new(filter).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new("warn,livestream_orchestrator=info"));
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        LogFormat::Pretty => registry.with(fmt::layer().with_writer(std::io::stderr).compact()).try_init(),
        LogFormat::Json => {
            let layer = fmt::layer().json().flatten_event(true).with_span_list(false);
            registry.with(layer.with_writer(std::io::stderr)).try_init()
        }
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}
