#![allow(clippy::unwrap_used)]

use std::{
    io,
    sync::{Arc, Mutex},
};

use proptest::{prop_assert_eq, proptest};
use serde_json::{Value, json};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::{
    fmt::{self as format, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use super::*;

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Output {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Output {
    /// Parses the lines and removes their timestamps.
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for line in &mut lines {
            let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
            assert!(chrono::DateTime::parse_from_rfc3339(time.as_str().unwrap()).is_ok(), "{time}");
        }
        lines
    }
}

/// Logs of this thread, formatted by this module and by tracing-subscriber.
fn both() -> (Output, Output, DefaultGuard) {
    let (own, stock) = (Output::default(), Output::default());
    let stock_layer = format::layer().json().flatten_event(true).with_span_list(false);
    let guard = tracing_subscriber::registry()
        .with(format::layer().event_format(JsonLine).fmt_fields(JsonMembers).with_writer(own.clone()))
        .with(stock_layer.with_writer(stock.clone()))
        .set_default();
    (own, stock, guard)
}

#[test]
fn line_with_every_kind_of_field_equals_that_of_tracing_subscriber() {
    let (own, stock, _guard) = both();
    let error: &(dyn std::error::Error + 'static) = &io::Error::other("\"broken\"");
    tracing::info!(yes = true, less = -1, more = u64::MAX, part = 0.1, "a {} message", "formatted");
    tracing::warn!(infinite = f64::INFINITY, none = None::<u8>, r#type = "raw", error, debug = ?Some("\"\n"));
    tracing::error!(big = 1e300, small = 1e-7, whole = 3.0, error = %error);
    let span = tracing::info_span!("request", id = "one", late = tracing::field::Empty);
    span.record("late", "two");
    span.in_scope(|| tracing::info!("in a span"));
    tracing::info!(parent: &span, "outside of its span");
    tracing::info_span!("bare").in_scope(|| tracing::info!("in a span without fields"));
    assert_eq!(own.lines().len(), 6);
    assert_eq!(own.lines(), stock.lines());
}

#[test]
fn log_crate_record_has_its_own_target_and_no_log_prefixed_fields() {
    let (own, _, _guard) = both();
    log::warn!(target: "a_library", "a message of a library");
    let line = json!({"level": "WARN", "message": "a message of a library", "target": "a_library"});
    assert_eq!(own.lines(), [line]);
}

proptest! {
    #[test]
    fn text_of_any_characters_is_preserved(text: String, control in 0..0x20_u8) {
        let text = format!("{text}{}", char::from(control));
        let (own, _, _guard) = both();
        let span = tracing::info_span!("request", id = text);
        span.in_scope(|| tracing::info!(field = text, "{text}"));
        let line = &own.lines()[0];
        prop_assert_eq!(&line["message"], &text);
        prop_assert_eq!(&line["field"], &text);
        prop_assert_eq!(&line["span"]["id"], &text);
    }
}
