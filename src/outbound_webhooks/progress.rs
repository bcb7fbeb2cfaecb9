//! What the store keeps of the deliveries to one endpoint in one partition: a position, and one for each stream that is
//! behind.

use std::{collections::BTreeMap, str::FromStr};

use serde::{Deserialize, Serialize};

use super::backlog::{Behind, ResetAttempts, Waiting};
use crate::{
    delivery::{Answer, Failure},
    domain::{Cursor, StreamId, Timestamp},
    store::FollowerRecord,
};

/// Field with the position in the log of all streams.
pub(super) const POSITION: &str = "position";
/// Prefix of the fields with the positions of streams that are behind.
const STREAM: &str = "stream:";

/// No pending reset.
const NO_RESET: ResetAttempts =
    ResetAttempts { waiting: Waiting { attempts: 0, due: Timestamp::from_millis(0) }, cursor: None };

/// The last answer of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastAnswer {
    /// HTTP status, or why there was none.
    pub result: Result<u16, Failure>,
    /// When it arrived.
    pub at: Timestamp,
}

impl LastAnswer {
    /// Records an answer.
    pub const fn new(answer: Answer, at: Timestamp) -> Self {
        let result = match answer {
            Answer::Status { status, .. } => Ok(status),
            Answer::Failed(failure) => Err(failure),
        };
        Self { result, at }
    }
}

/// State of the deliveries to one endpoint in one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Position in the log of all streams.
    pub position: Cursor,
    /// Streams that are behind.
    pub behind: BTreeMap<StreamId, Behind>,
    /// Attempts at a reset of all streams.
    pub reset: ResetAttempts,
    /// Number of events after the position, and of others that are not delivered.
    pub lag_events: u64,
    /// Number of events of the log of all streams that were not read.
    pub unread: u64,
    /// Time of the first event that is not delivered.
    pub oldest: Option<Timestamp>,
    /// The last answer.
    pub last_answer: Option<LastAnswer>,
    /// Since when an attempt at a delivery has failed and not succeeded.
    pub failing_since: Option<Timestamp>,
    /// Since when the endpoint was enabled in this state. The failures of another time do not count.
    pub enabled_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PositionFields {
    cursor: String,
    reset_attempts: u32,
    reset_due: i64,
    /// Absent while no reset of all streams is pending, and in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reset_cursor: Option<String>,
    lag_events: u64,
    unread: u64,
    oldest: Option<i64>,
    last_status: Option<u16>,
    last_failure: Option<String>,
    last_at: Option<i64>,
    failing_since: Option<i64>,
    enabled_at: i64,
}

impl Progress {
    /// Begins after a position.
    pub const fn at(position: Cursor, enabled_at: Timestamp) -> Self {
        Self {
            position,
            behind: BTreeMap::new(),
            reset: NO_RESET,
            lag_events: 0,
            unread: 0,
            oldest: None,
            last_answer: None,
            failing_since: None,
            enabled_at,
        }
    }

    /// Parses a record; `None` for an invalid one.
    pub fn parse(record: &FollowerRecord) -> Option<Self> {
        let fields: PositionFields = serde_json::from_str(record.fields.get(POSITION)?).ok()?;
        let time = Timestamp::from_millis;
        let failure = fields.last_failure.as_deref().and_then(Failure::parse);
        let result = fields.last_status.map(Ok).or(failure.map(Err));
        let last_at = fields.last_at.map(time);
        let waiting = Waiting { attempts: fields.reset_attempts, due: time(fields.reset_due) };
        let cursor = fields.reset_cursor.map(|text| text.parse()).transpose().ok()?;
        let streams =
            record.fields.iter().filter_map(|(name, text)| Some((name.strip_prefix(STREAM)?, text)));
        let behind = streams.map(|(id, text)| Some((id.parse().ok()?, parse_behind(text)?)));
        Some(Self {
            position: fields.cursor.parse().ok()?,
            behind: behind.collect::<Option<_>>()?,
            reset: ResetAttempts { waiting, cursor },
            lag_events: fields.lag_events,
            unread: fields.unread,
            oldest: fields.oldest.map(time),
            last_answer: result.zip(last_at).map(|(result, at)| LastAnswer { result, at }),
            failing_since: fields.failing_since.map(time),
            enabled_at: time(fields.enabled_at),
        })
    }

    /// Permits the next attempt at everything at once, as the first one.
    pub fn forget_failures(&mut self, now: Timestamp) {
        let waiting = Waiting { attempts: 0, due: now };
        self.behind.values_mut().for_each(|behind| behind.waiting = waiting);
        (self.reset.waiting, self.failing_since) = (waiting, None);
    }

    /// Returns the fields that differ from those of a record. The position is the last one, because events before it
    /// are delivered only if their streams' positions are written.
    pub fn changes_to(&self, saved: &BTreeMap<String, String>) -> Vec<(String, String)> {
        let streams = self.behind.iter().map(|(id, behind)| (format!("{STREAM}{id}"), behind_text(behind)));
        let streams: BTreeMap<_, _> = streams.collect();
        let is_gone = |name: &&String| name.starts_with(STREAM) && !streams.contains_key(*name);
        let gone = saved.keys().filter(is_gone).map(|name| (name.clone(), String::new()));
        let mut changes: Vec<_> = gone.collect();
        changes.extend(streams.into_iter().filter(|(name, text)| saved.get(name) != Some(text)));
        changes.push((POSITION.to_owned(), self.position_text()));
        changes
    }

    fn position_text(&self) -> String {
        let millis = |time: Timestamp| time.as_millis();
        let result = self.last_answer.map(|answer| answer.result);
        let fields = PositionFields {
            cursor: self.position.to_string(),
            reset_attempts: self.reset.waiting.attempts,
            reset_due: self.reset.waiting.due.as_millis(),
            reset_cursor: self.reset.cursor.map(|cursor| cursor.to_string()),
            lag_events: self.lag_events,
            unread: self.unread,
            oldest: self.oldest.map(millis),
            last_status: result.and_then(Result::ok),
            last_failure: result.and_then(Result::err).map(|failure| failure.as_str().to_owned()),
            last_at: self.last_answer.map(|answer| answer.at.as_millis()),
            failing_since: self.failing_since.map(millis),
            enabled_at: self.enabled_at.as_millis(),
        };
        serde_json::to_string(&fields).unwrap_or_default()
    }
}

fn behind_text(behind: &Behind) -> String {
    let Behind { after, waiting: Waiting { attempts, due }, reset, undelivered, oldest } = behind;
    let reset = reset.map(|cursor| format!(" {cursor}")).unwrap_or_default();
    format!("{after} {attempts} {} {undelivered} {}{reset}", due.as_millis(), oldest.as_millis())
}

fn parse_behind(text: &str) -> Option<Behind> {
    let mut parts = text.split(' ');
    let after = next(&mut parts)?;
    let waiting = Waiting { attempts: next(&mut parts)?, due: Timestamp::from_millis(next(&mut parts)?) };
    let (undelivered, oldest) = (next(&mut parts)?, Timestamp::from_millis(next(&mut parts)?));
    let reset = parts.next().map(str::parse).transpose().ok()?;
    Some(Behind { after, waiting, reset, undelivered, oldest })
}

fn next<'a, T: FromStr>(parts: &mut impl Iterator<Item = &'a str>) -> Option<T> {
    parts.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        let at = Timestamp::from_millis;
        let behind = Behind {
            after: Cursor::new(3, 1),
            waiting: Waiting { attempts: 2, due: at(9) },
            reset: Some(Cursor::new(6, 4)),
            undelivered: 4,
            oldest: at(5),
        };
        Progress {
            behind: [(StreamId::generate(), behind)].into(),
            reset: ResetAttempts {
                waiting: Waiting { attempts: 1, due: at(8) },
                cursor: Some(Cursor::new(8, 3)),
            },
            lag_events: 7,
            unread: 3,
            oldest: Some(at(5)),
            last_answer: Some(LastAnswer { result: Err(Failure::Timeout), at: at(6) }),
            failing_since: Some(at(4)),
            ..Progress::at(Cursor::new(7, 2), at(7))
        }
    }

    fn record(progress: &Progress) -> FollowerRecord {
        let fields = progress.changes_to(&BTreeMap::new()).into_iter().collect();
        FollowerRecord { generation: 1, fields }
    }

    #[test]
    fn progress_parses_from_its_record() {
        let progress = progress();
        assert_eq!(Progress::parse(&record(&progress)), Some(progress));
        assert_eq!(Progress::parse(&FollowerRecord::default()), None);
    }

    #[test]
    fn changes_have_only_what_differs_and_the_position_last() {
        let mut progress = progress();
        let saved = record(&progress).fields;
        assert_eq!(progress.changes_to(&saved).len(), 1);
        let (gone, _) = progress.behind.pop_first().unwrap();
        let changes = progress.changes_to(&saved);
        assert_eq!(changes[0], (format!("{STREAM}{gone}"), String::new()));
        assert_eq!((changes.len(), changes[1].0.as_str()), (2, POSITION));
    }
}
