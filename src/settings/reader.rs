//! Parsing of single settings.

use std::{num::NonZeroU32, time::Duration};

use url::Url;

use super::SettingsError;
use crate::domain::{AudienceMode, Partitioning, partition::MAX_PARTITIONS};

/// Parses settings and collects their problems.
///
/// A problem names the setting and what is accepted, never the value, which may be a secret. Methods that return a
/// default in place of an invalid value have recorded a problem, so that the default is never used.
#[derive(Default)]
pub(super) struct Reader {
    problems: Vec<String>,
}

impl Reader {
    /// Records a problem. Returns `None` of any type, so that it can end a chain of options.
    pub(super) fn problem<T>(&mut self, setting: &str, rule: &str) -> Option<T> {
        self.problems.push(format!("{setting} {rule}"));
        None
    }

    /// Returns the value if it exists and no setting has a problem.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, SettingsError> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(SettingsError(self.problems)),
        }
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

    /// Parses a duration; `0` becomes `None`, which means no limit.
    pub(super) fn duration_or_unlimited(
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

    /// Parses a number above 0; `None` if it is not given.
    pub(super) fn optional_count(&mut self, setting: &str, text: Option<&String>) -> Option<usize> {
        text.map(|_| self.count(setting, text, 1))
    }

    pub(super) fn count(&mut self, setting: &str, text: Option<&String>, default: u32) -> usize {
        let count = text.map_or(Some(default), |text| text.parse::<NonZeroU32>().ok().map(NonZeroU32::get));
        let count =
            count.or_else(|| self.problem(setting, "must be a whole number above 0")).unwrap_or(default);
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// Parses a whole number, which may be 0.
    pub(super) fn number(&mut self, setting: &str, text: Option<&String>, default: u32) -> u32 {
        let Some(text) = text else { return default };
        text.parse().ok().or_else(|| self.problem(setting, "must be a whole number")).unwrap_or(default)
    }

    /// Parses a number of partitions.
    pub(super) fn partitioning(&mut self, setting: &str, text: Option<&String>) -> Partitioning {
        let Some(text) = text else { return Partitioning::SINGLE };
        let parsed = text.parse().ok().and_then(Partitioning::new);
        let rule = format!("must be a whole number from 1 to {MAX_PARTITIONS}");
        parsed.or_else(|| self.problem(setting, &rule)).unwrap_or(Partitioning::SINGLE)
    }

    /// Parses the audience of new streams.
    pub(super) fn audience(&mut self, setting: &str, text: Option<&String>) -> AudienceMode {
        let Some(text) = text else { return AudienceMode::default() };
        let mode = text.parse().ok().or_else(|| self.problem(setting, "must be listed, counted or auto"));
        mode.unwrap_or_default()
    }

    /// Parses a whole number of at least `least`; `None` for an unset or invalid one.
    pub(super) fn at_least(&mut self, least: u32, setting: &str, text: Option<&String>) -> Option<usize> {
        let number = text?.parse::<u32>().ok().filter(|number| *number >= least);
        let number =
            number.or_else(|| self.problem(setting, &format!("must be a whole number from {least}")));
        number.and_then(|number| usize::try_from(number).ok())
    }

    /// Reads a PEM file.
    pub(super) fn pem_file(&mut self, setting: &str, path: Option<&String>) -> Option<Vec<u8>> {
        let path = path?;
        match std::fs::read(path) {
            Ok(bytes) if bytes.starts_with(b"-----BEGIN ") => Some(bytes),
            Ok(_) => self.problem(setting, "must be the path of a PEM file"),
            Err(error) => self.problem(setting, &format!("cannot be read: {}", error.kind())),
        }
    }

    pub(super) fn livekit_url(&mut self, setting: &str, text: &str) -> Option<Url> {
        let is_accepted =
            |url: &Url| ["ws", "wss", "http", "https"].contains(&url.scheme()) && url.has_host();
        match Url::parse(text) {
            Ok(url) if is_accepted(&url) => Some(url),
            _ => self.problem(setting, "must be a URL with ws, wss, http or https"),
        }
    }
}
