//! Findings of `check`: a subject, a severity and a message for operators.

use std::fmt;

/// Difference between two clocks from which a finding is a warning, in milliseconds.
const CLOCK_WARNING_MS: u64 = 2_000;
/// Difference between two clocks from which a finding is a failure, in milliseconds. Tokens carry the times at which
/// their validity begins and ends.
const CLOCK_FAILURE_MS: u64 = 60_000;

/// Severity of a finding; a later variant is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Works as required.
    Ok,
    /// Works, with a risk.
    Warning,
    /// Does not work.
    Failure,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Redis,
    Database,
    LiveKit,
    Ingress,
    Egress,
    Webhooks,
    Endpoints,
}

/// One result of `check`. Displayed as one line: severity, subject, message.
#[derive(Clone, Debug)]
pub struct Finding {
    pub(super) severity: Severity,
    subject: Subject,
    message: String,
}

impl Subject {
    /// Creates a finding of severity [`Severity::Ok`].
    pub(super) fn ok(self, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Ok, subject: self, message: message.into() }
    }

    /// Creates a finding of severity [`Severity::Warning`]; the message says what to change.
    pub(super) fn warning(self, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Warning, subject: self, message: message.into() }
    }

    /// Creates a finding of severity [`Severity::Failure`]; the message says what to do.
    pub(super) fn failure(self, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Failure, subject: self, message: message.into() }
    }

    /// Rates how far the subject's clock is ahead of this machine's, in milliseconds; negative if it is behind.
    pub(super) fn clock(self, ahead_ms: i64) -> Finding {
        let (off_ms, direction) = (ahead_ms.unsigned_abs(), if ahead_ms < 0 { "behind" } else { "ahead" });
        let message = format!("the clock is {:.1} s {direction}", off_ms as f64 / 1_000.0);
        if off_ms < CLOCK_WARNING_MS {
            self.ok("the clock agrees with this machine's")
        } else if off_ms < CLOCK_FAILURE_MS {
            self.warning(message)
        } else {
            self.failure(format!("{message}: tokens are refused or last too long; correct the clocks"))
        }
    }
}

impl Finding {
    /// Names the part of the subject that the finding is about; `None` for the whole.
    pub(super) fn about(self, part: Option<&str>) -> Self {
        let message = part.map_or_else(|| self.message.clone(), |part| format!("{part}: {}", self.message));
        Self { message, ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Ok => "ok  ",
            Severity::Warning => "warn",
            Severity::Failure => "FAIL",
        };
        write!(f, "{severity} {:?}: {}", self.subject, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_difference_of_2_s_is_a_warning_and_of_60_s_a_failure() {
        for (ahead_ms, line) in [
            (1_999, "ok   Redis: the clock agrees with this machine's"),
            (-2_000, "warn Redis: the clock is 2.0 s behind"),
            (59_900, "warn Redis: the clock is 59.9 s ahead"),
            (
                60_000,
                "FAIL Redis: the clock is 60.0 s ahead: tokens are refused or last too long; correct the clocks",
            ),
        ] {
            assert_eq!(Subject::Redis.clock(ahead_ms).to_string(), line);
        }
    }
}
