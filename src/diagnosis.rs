//! What `check` finds out about what the service depends on, in words for whoever operates it.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// It works, and will hurt one day.
    Doubtful,
    /// It does not work.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How bad it is.
    pub verdict: Verdict,
    /// What was looked at: Redis, LiveKit.
    pub about: &'static str,
    /// What was found, and what to do where it is not fine.
    pub words: String,
}

impl Finding {
    /// As it should be.
    pub fn fine(about: &'static str, words: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fine, about, words: words.into() }
    }

    /// It works, and will hurt one day.
    pub fn doubtful(about: &'static str, words: impl Into<String>) -> Self {
        Self { verdict: Verdict::Doubtful, about, words: words.into() }
    }

    /// It does not work.
    pub fn wrong(about: &'static str, words: impl Into<String>) -> Self {
        Self { verdict: Verdict::Wrong, about, words: words.into() }
    }

    /// How far another machine's clock is off, in milliseconds. Tokens are good from a moment on, so a minute is too much.
    pub fn of_clock(about: &'static str, off: i64) -> Self {
        let seconds = off.unsigned_abs() as f64 / 1_000.0;
        let words = format!("its clock is {seconds:.1} s {}", if off < 0 { "behind" } else { "ahead" });
        match off.unsigned_abs() {
            0..2_000 => Self::fine(about, "its clock agrees with this machine's"),
            2_000..60_000 => Self::doubtful(about, words),
            _ => Self::wrong(
                about,
                format!("{words}; tokens are refused or last too long: set the clocks right"),
            ),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.verdict {
            Verdict::Fine => "ok  ",
            Verdict::Doubtful => "warn",
            Verdict::Wrong => "FAIL",
        };
        write!(f, "{mark} {}: {}", self.about, self.words)
    }
}
