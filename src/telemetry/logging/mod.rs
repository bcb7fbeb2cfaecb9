//! Logging: one line for each log event on standard error, as text on a terminal and as JSON elsewhere.
//!
//! Lines go through a bounded queue (`queue.rs`), so that a stalled reader of standard error does not stall requests.

mod json;
mod queue;

use std::{backtrace::Backtrace, sync::Arc, time::Duration};

use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

use self::{
    json::{JsonLine, JsonMembers},
    queue::{LogQueue, QueueWriter},
};

/// Filter without `RUST_LOG`: this service's events from `info` up, and those of libraries from `warn` up.
const DEFAULT_FILTER: &str = "warn,livestream_orchestrator=info";
/// Maximum wait for queued lines at the end of the process.
const FLUSH_AT_EXIT: Duration = Duration::from_secs(2);
/// Maximum wait of a panicking thread for queued lines.
const FLUSH_AT_PANIC: Duration = Duration::from_millis(200);

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text, for terminals.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Writes the queued lines when it is dropped; waits for at most two seconds.
#[must_use = "lines that are still queued are lost when the process ends without this"]
pub struct LogGuard(Arc<LogQueue>);

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.0.flush(FLUSH_AT_EXIT);
    }
}

/// Starts logging for the whole process, and routes panic messages into the log.
///
/// `RUST_LOG` sets the filter. A second call replaces only the panic hook.
///
/// # Errors
/// The writer's thread cannot be started.
pub fn start(format: LogFormat) -> std::io::Result<LogGuard> {
    let registry = tracing_subscriber::registry().with(filter(std::env::var("RUST_LOG").ok()));
    let queue = LogQueue::start(std::io::stderr())?;
    let writer = QueueWriter(queue.clone());
    let started = match format {
        LogFormat::Pretty => registry.with(fmt::layer().with_writer(writer).compact()).try_init(),
        LogFormat::Json => {
            let layer = fmt::layer().event_format(JsonLine).fmt_fields(JsonMembers);
            registry.with(layer.with_writer(writer)).try_init()
        }
    };
    if started.is_err() {
        tracing::debug!("logging is already started");
    }
    log_panics(queue.clone());
    Ok(LogGuard(queue))
}

/// Returns the filter of `RUST_LOG`, or the default filter if the variable is unset, empty or invalid.
///
/// [`EnvFilter`] takes a lock whenever a span is entered, so it is used only for directives that [`Targets`] cannot
/// parse.
fn filter(directives: Option<String>) -> Box<dyn Layer<Registry> + Send + Sync> {
    let directives = directives.filter(|text| EnvFilter::try_new(text).is_ok_and(|_| !text.is_empty()));
    let directives = directives.unwrap_or_else(|| DEFAULT_FILTER.to_owned());
    match directives.parse::<Targets>() {
        Ok(targets) => targets.boxed(),
        Err(_) => EnvFilter::new(directives).boxed(),
    }
}

/// Logs panic messages. The default hook would write to standard error directly, between the lines of JSON.
fn log_panics(queue: Arc<LogQueue>) {
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let location = panic.location().map(ToString::to_string);
        // Captured only if RUST_BACKTRACE is set.
        let backtrace = Backtrace::capture();
        let backtrace =
            (backtrace.status() == std::backtrace::BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(location, backtrace, "panic: {message}");
        queue.flush(FLUSH_AT_PANIC);
    }));
}
