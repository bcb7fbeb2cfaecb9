//! Reading single settings, with every problem kept.

use std::time::Duration;

use url::Url;

/// Collects problems while it reads. A problem names the setting, never its value: a value may be a secret.
pub(super) struct Reader {
    pub(super) problems: Vec<String>,
}

impl Reader {
    pub(super) fn problem<T>(&mut self, setting: &str, rule: &str) -> Option<T> {
        self.problems.push(format!("{setting} {rule}"));
        None
    }

    pub(super) fn required<T>(&mut self, setting: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.problems.push(format!("{setting} is required"));
        }
        value
    }

    pub(super) fn duration(&mut self, setting: &str, text: Option<&String>, default: Duration) -> Duration {
        let Some(text) = text else { return default };
        match humantime::parse_duration(text) {
            Ok(duration) if !duration.is_zero() => duration,
            _ => self.problem(setting, "must be a duration like 30s, 5m or 24h").unwrap_or(default),
        }
    }

    /// A duration; none for `0`.
    pub(super) fn duration_or_never(
        &mut self,
        setting: &str,
        text: Option<&String>,
        default: Duration,
    ) -> Option<Duration> {
        if text.is_some_and(|text| text == "0") {
            return None;
        }
        Some(self.duration(setting, text, default))
    }

    pub(super) fn port(&mut self, setting: &str, text: Option<&String>, default: u16) -> u16 {
        let Some(text) = text else { return default };
        text.parse().ok().or_else(|| self.problem(setting, "must be a port, 0 to 65535")).unwrap_or(default)
    }

    /// What a PEM file holds.
    pub(super) fn file(&mut self, setting: &str, path: Option<&String>) -> Option<Vec<u8>> {
        let path = path?;
        match std::fs::read(path) {
            Ok(bytes) if bytes.starts_with(b"-----BEGIN ") => Some(bytes),
            Ok(_) => self.problem(setting, "must be a PEM file"),
            Err(error) => self.problem(setting, &format!("cannot be read: {}", error.kind())),
        }
    }

    pub(super) fn livekit_url(&mut self, setting: &str, text: &str) -> Option<Url> {
        let known = |url: &Url| ["ws", "wss", "http", "https"].contains(&url.scheme()) && url.has_host();
        match Url::parse(text) {
            Ok(url) if known(&url) => Some(url),
            _ => self.problem(setting, "must be a URL with ws, wss, http or https"),
        }
    }
}
