//! Validation of all settings together.

use std::io::IsTerminal;

use super::{Arguments, Settings, SettingsError, reader::Reader};
use crate::telemetry::logging::LogFormat;

impl Arguments {
    /// Validates all settings.
    ///
    /// # Errors
    /// [`SettingsError`] with every problem.
    pub fn validate(mut self) -> Result<Settings, SettingsError> {
        self.drop_empty();
        let mut reader = Reader::default();
        let settings = self.settings(&mut reader);
        reader.finish(settings)
    }

    /// Returns `None` only with a recorded problem. Every setting is parsed, so that all problems are recorded.
    fn settings(&self, reader: &mut Reader) -> Option<Settings> {
        let livekit = self.parse_livekit(reader);
        let redis = self.parse_redis(reader);
        let http = self.parse_http(reader);
        let relay = self.parse_relay(reader);
        let admission = self.admission.validate(self.dev, reader);
        self.check_exposure(admission.authenticates, reader);
        let egress = self.egress.validate(reader);
        let policy = self.parse_policy(&egress, reader);
        let database = self.parse_database(reader);
        let retention = self.parse_retention(&policy, database.is_some(), reader);
        let history_retention = self.parse_history_retention(reader);
        let webhooks = self.parse_webhooks(reader);
        let log_format = self.log_format(reader);
        Some(Settings {
            dev: self.dev,
            jobs: true,
            livekit: livekit?,
            redis,
            admission,
            http: http?,
            relay,
            policy,
            retention,
            database,
            history_retention,
            egress,
            webhooks,
            log_format,
        })
    }

    fn log_format(&self, reader: &mut Reader) -> LogFormat {
        match self.log_format.as_deref() {
            Some("pretty") => LogFormat::Pretty,
            Some("json") => LogFormat::Json,
            None if std::io::stderr().is_terminal() => LogFormat::Pretty,
            None => LogFormat::Json,
            Some(_) => reader.problem("LOG_FORMAT", "must be pretty or json").unwrap_or(LogFormat::Json),
        }
    }
}
