//! The log: one line an event on standard error, as text on a terminal and as JSON elsewhere.
//!
//! Lines go through a bounded queue (`queue.rs`), so that a reader of the log that stalls does not stall requests.

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

/// Shown without `RUST_LOG`: this service's lines from `info` up and those of libraries from `warn` up.
const DEFAULT_FILTER: &str = "warn,livestream_orchestrator=info";
/// How long the end of the process waits for a log reader that does not read.
const FLUSH_AT_EXIT: Duration = Duration::from_secs(2);
/// How long a thread that panics waits for its lines to be written.
const FLUSH_AT_PANIC: Duration = Duration::from_millis(200);

/// How log lines look.
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

/// Starts logging for the whole process, and routes panic messages into the log. `RUST_LOG` filters; without it, this
/// service's lines from `info` up and those of libraries from `warn` up are shown. A second call changes nothing but the
/// panic hook.
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
        tracing::debug!("logging was started before");
    }
    log_panics(queue.clone());
    Ok(LogGuard(queue))
}

/// The filter of `RUST_LOG`; the default one where it is unset, empty (as for every other setting) or wrong.
/// [`EnvFilter`] takes a lock whenever a span is entered, so it is used only for directives that need it.
fn filter(wanted: Option<String>) -> Box<dyn Layer<Registry> + Send + Sync> {
    let wanted = wanted.filter(|wanted| EnvFilter::try_new(wanted).is_ok_and(|_| !wanted.is_empty()));
    let wanted = wanted.unwrap_or_else(|| DEFAULT_FILTER.to_owned());
    match wanted.parse::<Targets>() {
        Ok(targets) => targets.boxed(),
        Err(_) => EnvFilter::new(wanted).boxed(),
    }
}

/// Panic messages become log lines. The default hook writes to standard error itself, between the lines of JSON.
fn log_panics(queue: Arc<LogQueue>) {
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let location = panic.location().map(ToString::to_string);
        // Empty unless RUST_BACKTRACE asks for it.
        let backtrace = Backtrace::capture();
        let backtrace =
            (backtrace.status() == std::backtrace::BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(location, backtrace, "panic: {message}");
        queue.flush(FLUSH_AT_PANIC);
    }));
}
