//! A change as the call of its script, and the script's answer as what came of it.

use redis::Script;

use super::{RedisStore, codec, corrupt};
use crate::{
    domain::{
        Attributes, Change, Identity, ParticipantKind, ParticipantSid, Rejection, Session, StreamId,
        StreamStatus, Timestamp, TrackSid, change::Effect, track::encode_sid,
    },
    store::{Applied, Guard, StoreError},
};

impl RedisStore {
    pub(super) fn change_args(&self, id: StreamId, guard: &Guard, own: Vec<String>) -> Vec<String> {
        let mut args = vec![
            id.to_string(),
            text(guard.version),
            text(guard.once.as_ref().map(|once| once.remembered().as_secs())),
            self.retention.live.as_millis().to_string(),
            self.retention.stopped.as_millis().to_string(),
            text(guard.lease.as_ref().map(|lease| &lease.token)),
            self.retention.tokens.as_millis().to_string(),
            fastrand::u32(..).to_string(),
        ];
        args.extend(own);
        args
    }

    /// The script of a change and its own arguments.
    pub(super) fn script_of(&self, change: Change) -> (&'static str, &Script, Vec<String>) {
        let scripts = &self.scripts;
        match change {
            Change::Activate { room_sid } => ("activate", &scripts.activate, vec![room_sid.to_string()]),
            Change::BeginStop { reason, room_sid } => {
                ("begin_stop", &scripts.begin_stop, vec![reason.to_string(), text(room_sid)])
            }
            Change::Claim => ("claim", &scripts.claim, Vec::new()),
            Change::Release { until } => ("release", &scripts.release, vec![until.as_millis().to_string()]),
            Change::RenewLock { until } => {
                ("renew_lock", &scripts.renew_lock, vec![until.as_millis().to_string()])
            }
            Change::Close => {
                ("close", &scripts.close, vec![StreamStatus::Stopped.to_string(), String::new()])
            }
            Change::Fail { reason } => {
                ("close", &scripts.close, vec![StreamStatus::Error.to_string(), reason])
            }
            Change::IssueToken { identity, name, role, metadata, attributes, joining_ttl } => {
                let metadata = text(metadata.as_ref().map(|metadata| metadata.as_text()));
                let attributes =
                    attributes.map(|attributes| attributes.as_text().to_owned()).unwrap_or_default();
                let (role, ttl) = (role.as_str().to_owned(), joining_ttl.as_millis().to_string());
                let own = vec![identity.to_string(), text(name), role, metadata, ttl, attributes];
                ("issue_token", &scripts.issue_token, own)
            }
            Change::Connect(session) => ("connect", &scripts.connect, session_args(session, None)),
            Change::Observe { session, before } => {
                ("connect", &scripts.connect, session_args(session, Some(before)))
            }
            Change::Disconnect { identity, sid, at } => {
                let at = text(at.map(Timestamp::as_millis));
                ("disconnect", &scripts.disconnect, vec![identity.to_string(), text(sid), at, String::new()])
            }
            Change::Lose { identity, sid, before } => {
                let own = vec![
                    identity.to_string(),
                    sid.to_string(),
                    String::new(),
                    before.as_millis().to_string(),
                ];
                ("disconnect", &scripts.disconnect, own)
            }
            Change::Publish { identity, sid, track } => {
                let own = track_args(&identity, &sid, &track.sid, track.to_string());
                ("tracks", &scripts.tracks, own)
            }
            Change::Unpublish { identity, sid, track } => {
                ("tracks", &scripts.tracks, track_args(&identity, &sid, &track, String::new()))
            }
            Change::ExpireJoining => ("expire_joining", &scripts.expire_joining, Vec::new()),
            Change::SetMetadata { expected, metadata } => {
                let own = vec![expected.as_text().to_owned(), metadata.as_text().to_owned()];
                ("set_metadata", &scripts.set_metadata, own)
            }
        }
    }
}

fn track_args(identity: &Identity, sid: &ParticipantSid, track: &TrackSid, text: String) -> Vec<String> {
    vec![identity.to_string(), sid.to_string(), encode_sid(track).to_string(), text]
}

fn session_args(session: Session, before: Option<Timestamp>) -> Vec<String> {
    vec![
        session.room_sid.to_string(),
        session.sid.to_string(),
        session.identity.to_string(),
        text(session.name),
        text(session.role.map(|role| role.as_str())),
        session.metadata.unwrap_or_default().as_stored(),
        text(session.joined_at.map(Timestamp::as_millis)),
        session.tracks.to_string(),
        text(before.map(Timestamp::as_millis)),
        text(Some(&session.attributes).filter(|attributes| !attributes.is_empty()).map(Attributes::as_text)),
        text(
            Some(session.kind).filter(|kind| *kind != ParticipantKind::Standard).map(ParticipantKind::as_str),
        ),
        text(session.hidden.then_some(1)),
    ]
}

/// An optional argument; scripts read the empty text as none.
pub(super) fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// What a script of a change answered.
pub(super) fn applied(answer: &[String]) -> Result<Applied, StoreError> {
    let answer: Vec<&str> = answer.iter().map(String::as_str).collect();
    let effect = match answer[..] {
        ["missing"] => return Err(StoreError::NotFound),
        ["fenced"] => return Err(StoreError::Fenced),
        ["rejected", why, detail] => return Err(rejection(why, detail)?.into()),
        ["changed", ..] => Effect::Changed,
        ["unchanged", ..] => Effect::Unchanged,
        ["partial", ..] => Effect::Partial,
        ["duplicate", ..] => Effect::Duplicate,
        _ => return Err(corrupt("a script's answer")),
    };
    let [_, stream, participant] = answer[..] else { return Err(corrupt("a script's answer")) };
    Ok(Applied {
        effect,
        stream: codec::stream_from_json(stream)?,
        participant: codec::participant(participant)?,
    })
}

fn rejection(why: &str, detail: &str) -> Result<Rejection, StoreError> {
    let status = |text: &str| text.parse().map_err(|()| corrupt("status"));
    let number = || detail.parse().map_err(|_| corrupt("a rejection's number"));
    Ok(match why {
        "transition" => {
            let (to, from) = detail.split_once(' ').ok_or_else(|| corrupt("transition"))?;
            Rejection::InvalidTransition { from: status(from)?, to: status(to)? }
        }
        "not_active" => Rejection::NotActive { status: status(detail)? },
        "full" => Rejection::Full { max: detail.parse().map_err(|_| corrupt("full"))? },
        "version" => Rejection::VersionMismatch { current: number()? },
        "metadata" => Rejection::MetadataChanged,
        _ => return Err(corrupt("a rejection")),
    })
}
