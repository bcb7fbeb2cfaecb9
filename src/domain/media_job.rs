//! Media jobs: what LiveKit's ingress service does for a stream.

use std::{fmt, str::FromStr};

use uuid::Uuid;

use super::{StreamId, Timestamp, name::UnknownName};

/// Id of a media job that a request has asked for: the same in each attempt of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(Uuid);

impl JobId {
    /// Returns a new id.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl JobId {
    /// Returns the time at which the id was made, in milliseconds; 1970 for an id that no instance has made.
    pub fn created_at(self) -> Timestamp {
        let (seconds, nanos) = self.0.get_timestamp().map_or((0, 0), |time| time.to_unix());
        let millis = i64::try_from(seconds).unwrap_or_default().saturating_mul(1_000);
        Timestamp::from_millis(millis.saturating_add(i64::from(nanos / 1_000_000)))
    }
}

impl From<StreamId> for JobId {
    /// Makes an id of the UUID that was reserved for a request.
    fn from(reserved: StreamId) -> Self {
        Self(reserved.as_uuid())
    }
}

impl FromStr for JobId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// Mark of a job in LiveKit, by which a later attempt of its request and the reconciler find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobMark {
    /// Stream of the job.
    pub stream: StreamId,
    /// The job.
    pub job: JobId,
}

/// Prefix of all marks.
const PREFIX: &str = "livestream-orchestrator/";

impl fmt::Display for JobMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}/{}", self.stream, self.job)
    }
}

impl FromStr for JobMark {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let ids = text.strip_prefix(PREFIX).and_then(|ids| ids.split_once('/')).ok_or(UnknownName)?;
        let (Ok(stream), Ok(job)) = (ids.0.parse(), ids.1.parse()) else { return Err(UnknownName) };
        Ok(Self { stream, job })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_parses_from_its_text() {
        let mark = JobMark { stream: StreamId::generate(), job: JobId::generate() };
        assert_eq!(mark.to_string().parse(), Ok(mark));
        for text in ["", "a name", "livestream-orchestrator/a/b", &format!("{PREFIX}{}", mark.stream)] {
            assert_eq!(text.parse::<JobMark>(), Err(UnknownName), "{text:?}");
        }
    }

    #[test]
    fn job_has_the_time_of_its_id() {
        let job: JobId = "019ac000-0000-7000-8000-000000000001".parse().unwrap();
        assert_eq!(job.created_at(), Timestamp::from_millis(0x019a_c000_0000));
    }

    #[test]
    fn job_of_a_reserved_id_is_equal_in_each_attempt() {
        let reserved = StreamId::generate();
        assert_eq!(JobId::from(reserved), JobId::from(reserved));
        assert_eq!(JobId::from(reserved).to_string(), reserved.to_string());
    }
}
