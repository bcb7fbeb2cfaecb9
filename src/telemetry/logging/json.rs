//! JSON format of log lines: one object for each event.
//!
//! The lines equal those of tracing-subscriber's JSON formatter (flattened, with the current span). That formatter
//! parses the span's fields again for each line and allocates several times for a line; docs/DECISIONS.md has the
//! measurement.

use std::{
    cell::RefCell,
    fmt::{self, Debug, Write},
};

use chrono::Utc;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::Record,
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    registry::LookupSpan,
};

/// Formats an event as one line.
pub struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str("{\"timestamp\":\"")?;
        write_time(&mut writer)?;
        writer.write_str("\",\"level\":\"")?;
        writer.write_str(event.metadata().level().as_str())?;
        writer.write_char('"')?;
        let mut members = Members::after_other_members(&mut writer);
        event.record(&mut members);
        let target = members.finish()?;
        writer.write_str(",\"target\":")?;
        write_text(&mut writer, target.as_deref().unwrap_or_else(|| event.metadata().target()))?;
        write_span(context, event, &mut writer)?;
        writer.write_str("}\n")
    }
}

/// Writes the time in UTC with microseconds.
///
/// Each thread caches the text of the current second, because formatting a date takes as long as the rest of a line's
/// start.
fn write_time(writer: &mut Writer<'_>) -> fmt::Result {
    thread_local! {
        static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    let now = Utc::now();
    let micros = now.timestamp_subsec_micros().min(999_999);
    let is_written = SECOND.try_with(|second| {
        let (second, text) = &mut *second.try_borrow_mut().ok()?;
        if *second != now.timestamp() {
            (*second, *text) = (now.timestamp(), now.format("%Y-%m-%dT%H:%M:%S").to_string());
        }
        Some(write!(writer, "{text}.{micros:06}Z"))
    });
    match is_written {
        Ok(Some(result)) => result,
        // The thread-local is destroyed or already borrowed.
        _ => write!(writer, "{}", now.format("%Y-%m-%dT%H:%M:%S%.6fZ")),
    }
}

/// Writes the event's span with its fields, which were formatted when the span was created.
fn write_span<S, N>(context: &FmtContext<'_, S, N>, event: &Event<'_>, writer: &mut Writer<'_>) -> fmt::Result
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let Some(span) = event.parent().and_then(|id| context.span(id)).or_else(|| context.lookup_current())
    else {
        return Ok(());
    };
    writer.write_str(",\"span\":{")?;
    if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
        && !fields.is_empty()
    {
        writer.write_str(fields)?;
        writer.write_char(',')?;
    }
    writer.write_str("\"name\":")?;
    write_text(writer, span.name())?;
    writer.write_char('}')
}

/// Formats a span's fields as members of a JSON object, without braces.
pub struct JsonMembers;

impl<'a> FormatFields<'a> for JsonMembers {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'a>, fields: R) -> fmt::Result {
        let mut members = Members { writer: &mut writer, is_first: true, target: None, result: Ok(()) };
        fields.record(&mut members);
        members.finish().map(drop)
    }

    fn add_fields(&self, current: &'a mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        let is_first = current.is_empty();
        let mut writer = current.as_writer();
        let mut members = Members { writer: &mut writer, is_first, target: None, result: Ok(()) };
        fields.record(&mut members);
        members.finish().map(drop)
    }
}

/// Visitor that writes fields as members of a JSON object.
struct Members<'a> {
    writer: &'a mut dyn Write,
    is_first: bool,
    /// The target of a record of the `log` crate, which is a field of its event.
    target: Option<String>,
    result: fmt::Result,
}

impl<'a> Members<'a> {
    fn after_other_members(writer: &'a mut dyn Write) -> Self {
        Self { writer, is_first: false, target: None, result: Ok(()) }
    }

    fn finish(self) -> Result<Option<String>, fmt::Error> {
        self.result.map(|()| self.target)
    }

    fn member(&mut self, field: &Field, write: impl FnOnce(&mut dyn Write) -> fmt::Result) {
        // Fields that the bridge of the `log` crate adds: file, line and module.
        if self.result.is_err() || field.name().starts_with("log.") {
            return;
        }
        self.result = self.write_name(field.name()).and_then(|()| write(self.writer));
        self.is_first = false;
    }

    fn write_name(&mut self, name: &str) -> fmt::Result {
        self.writer.write_str(if self.is_first { "\"" } else { ",\"" })?;
        self.writer.write_str(name.strip_prefix("r#").unwrap_or(name))?;
        self.writer.write_str("\":")
    }
}

impl Visit for Members<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.member(field, |writer| match value.is_finite() {
            true => write!(writer, "{value:?}"),
            false => writer.write_str("null"),
        });
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |writer| writer.write_str(if value { "true" } else { "false" }));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            self.target = Some(value.to_owned());
        }
        self.member(field, |writer| write_text(writer, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.member(field, |writer| {
            writer.write_char('"')?;
            write!(Escaped(writer), "{value:?}")?;
            writer.write_char('"')
        });
    }
}

fn write_text(writer: &mut dyn Write, text: &str) -> fmt::Result {
    writer.write_char('"')?;
    Escaped(writer).write_str(text)?;
    writer.write_char('"')
}

/// Writer that escapes text for a JSON string.
struct Escaped<'a>(&'a mut dyn Write);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
            let (plain, special) = rest.split_at(at);
            self.0.write_str(plain)?;
            let (special, after) = special.split_at(1);
            match special {
                "\"" | "\\" => write!(self.0, "\\{special}")?,
                "\n" => self.0.write_str("\\n")?,
                _ => write!(self.0, "\\u{:04x}", special.as_bytes().first().copied().unwrap_or_default())?,
            }
            rest = after;
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests;
