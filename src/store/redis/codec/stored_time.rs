//! A time in a participant's JSON.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

use crate::domain::Timestamp;

/// Milliseconds since 1970 as a text, which the scripts write, or as a number.
#[derive(Clone, Copy)]
pub(super) struct StoredTime(pub(super) Timestamp);

impl Default for StoredTime {
    fn default() -> Self {
        Self(Timestamp::from_millis(0))
    }
}

impl<'de> Deserialize<'de> for StoredTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Milliseconds)
    }
}

struct Milliseconds;

impl de::Visitor<'_> for Milliseconds {
    type Value = StoredTime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("milliseconds since 1970")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<StoredTime, E> {
        text.parse().map(|ms| StoredTime(Timestamp::from_millis(ms))).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, ms: i64) -> Result<StoredTime, E> {
        Ok(StoredTime(Timestamp::from_millis(ms)))
    }

    fn visit_u64<E: de::Error>(self, ms: u64) -> Result<StoredTime, E> {
        i64::try_from(ms).map(|ms| StoredTime(Timestamp::from_millis(ms))).map_err(E::custom)
    }
}
