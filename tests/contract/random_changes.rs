//! Random changes of a stream, as proptest strategies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod egresses;
mod ingresses;

use std::time::Duration;

use livestream_orchestrator::domain::{
    Attributes, AudienceMode, BlockReason, Change, DisplayName, Identity, InitialAudience, Metadata,
    MetadataUpdate, ParticipantKind, ParticipantMetadata, ParticipantSid, ParticipantUpdate, Removal, Role,
    Session, StopReason, StreamId, Timestamp, TokenMark, Track, TrackSource, Tracks,
};
use proptest::{prelude::*, sample::select};

/// Id of the stream of every history.
pub fn stream_id() -> StreamId {
    "01960000-0000-7000-8000-000000000001".parse().unwrap()
}

fn who() -> impl Strategy<Value = String> {
    select(vec!["ann", "bob", "cé \"/", "new\nline:\u{0}"]).prop_map(str::to_owned)
}

fn sid() -> impl Strategy<Value = ParticipantSid> {
    (1..6u8).prop_map(|n| format!("PA_{n}").into())
}

fn metadata() -> impl Strategy<Value = Metadata> {
    // The last one is in those events only that change it.
    let large = format!(r#"{{"a":"{}"}}"#, "é".repeat(600));
    let texts = ["{}", r#"{"a":[]}"#, r#"{"a":{"b":9007199254740993}}"#].map(str::to_owned);
    select(texts.into_iter().chain([large]).collect::<Vec<_>>())
        .prop_map(|text| Metadata::parse(&text).unwrap())
}

fn role() -> impl Strategy<Value = Role> {
    select(vec![Role::Host, Role::Viewer])
}

fn name() -> impl Strategy<Value = Option<DisplayName>> {
    select(vec![None, Some("Ann"), Some("\u{1F600} /\\\"")])
        .prop_map(|name| name.map(|n| DisplayName::parse(n).unwrap()))
}

fn track() -> impl Strategy<Value = Track> {
    let source = select(&TrackSource::ALL[..]);
    (1..5u8, source, any::<bool>()).prop_map(|(n, source, muted)| Track {
        sid: if n == 1 { "T;\n %".into() } else { format!("TR_{n}").into() },
        source,
        muted,
    })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let entry = (select(vec!["a", "b \""]), select(vec!["", "1", "\n"]));
    let entries = prop::collection::vec(entry, 0..3);
    entries.prop_map(|entries| {
        Attributes::reported(entries.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())))
    })
}

/// A kind of participant, and whether LiveKit hides it.
fn kind() -> impl Strategy<Value = (ParticipantKind, bool)> {
    let kind = prop_oneof![3 => Just(ParticipantKind::Standard), 2 => select(&ParticipantKind::ALL[..])];
    (kind, prop::bool::weighted(0.15))
}

fn reported_metadata() -> impl Strategy<Value = ParticipantMetadata> {
    select(vec!["{}", r#"{"a":1.0,"a":2}"#, "words\n", "[1]", "{"]).prop_map(ParticipantMetadata::reported)
}

fn tracks() -> impl Strategy<Value = Tracks> {
    prop::collection::vec(track(), 0..3).prop_map(Tracks::new)
}

fn past() -> impl Strategy<Value = Option<Timestamp>> {
    prop::option::of((1..5i64).prop_map(|n| Timestamp::from_millis(n * 1_000)))
}

/// Changes of listings and of webhooks about tracks.
fn listing() -> impl Strategy<Value = Change> {
    let lose = (who(), sid(), any::<bool>()).prop_map(|(who, sid, old)| Change::Lose {
        identity: Identity::reported(who).unwrap(),
        sid,
        before: Timestamp::from_millis(if old { i64::MAX / 2_000_000 } else { 0 }),
    });
    let publish = (who(), sid(), track()).prop_map(|(who, sid, track)| Change::Publish {
        identity: Identity::reported(who).unwrap(),
        sid,
        track,
        by: None,
    });
    let unpublish = (who(), sid(), track()).prop_map(|(who, sid, track)| Change::Unpublish {
        identity: Identity::reported(who).unwrap(),
        sid,
        track: track.sid,
    });
    prop_oneof![3 => lose, 4 => publish, 2 => unpublish]
}

/// Sessions reported by webhooks and listings.
fn connect() -> impl Strategy<Value = Change> {
    let session = (
        select(vec!["RM_1", "RM_1", "RM_1", "RM_2"]),
        sid(),
        who(),
        name(),
        prop::option::of(role()),
        past(),
    );
    let listed = prop::option::weighted(0.5, any::<bool>());
    let mark = prop::option::of((0..3u32).prop_map(|removals| TokenMark::new(stream_id(), removals)));
    let attributes = (attributes(), mark);
    (session, prop::option::of(reported_metadata()), tracks(), attributes, kind(), listed).prop_map(
        |(
            (room_sid, sid, who, name, role, joined_at),
            metadata,
            tracks,
            (attributes, mark),
            (kind, hidden),
            listed,
        )| {
            let identity = Identity::reported(who).unwrap();
            let session = Session {
                room_sid: room_sid.into(),
                sid,
                identity,
                name,
                role,
                metadata,
                attributes,
                mark,
                kind,
                hidden,
                joined_at,
                tracks,
            };
            // A listing that is newer than all records, or older.
            match listed {
                None => Change::Connect(session),
                Some(true) => {
                    Change::Observe { session, before: Timestamp::from_millis(i64::MAX / 2_000_000) }
                }
                Some(false) => Change::Observe { session, before: Timestamp::from_millis(0) },
            }
        },
    )
}

fn update_participant() -> impl Strategy<Value = Change> {
    let expected = select(vec!["{}", r#"{"a":[]}"#, "words\n"]).prop_map(ParticipantMetadata::reported);
    let update = (expected, metadata()).prop_map(|(expected, new)| MetadataUpdate { expected, new });
    let by = prop::option::of(who());
    (who(), prop::option::of(role()), name(), prop::option::of(update), by).prop_map(
        |(who, role, name, metadata, by)| {
            Change::UpdateParticipant(ParticipantUpdate {
                identity: Identity::reported(who).unwrap(),
                role,
                name,
                metadata,
                by: by.map(|by| Identity::reported(by).unwrap()),
            })
        },
    )
}

fn set_hand() -> impl Strategy<Value = Change> {
    (who(), prop::bool::weighted(0.7), prop::option::of(who())).prop_map(|(who, is_raised, by)| {
        Change::SetHand {
            identity: Identity::reported(who).unwrap(),
            is_raised,
            by: by.map(|by| Identity::reported(by).unwrap()),
        }
    })
}

fn removal() -> impl Strategy<Value = Change> {
    let step = select(vec![Change::BeginRemoval, Change::CancelRemoval, Change::Remove, Change::Remove]);
    (step, who(), prop::option::weighted(0.8, sid()), prop::option::of(who())).prop_map(
        |(step, who, sid, by)| {
            let by = by.map(|by| Identity::reported(by).unwrap());
            step(Removal { identity: Identity::reported(who).unwrap(), sid, by })
        },
    )
}

fn block() -> impl Strategy<Value = Change> {
    let reason = prop::option::of(select(vec!["spam", "\u{1F600} \\\""]));
    let expires_in = select(vec![None, Some(Duration::ZERO), Some(Duration::from_secs(3_600))]);
    (who(), any::<bool>(), reason, expires_in, prop::option::of(who())).prop_map(
        |(who, is_blocked, reason, expires_in, by)| {
            let (identity, by) =
                (Identity::reported(who).unwrap(), by.map(|by| Identity::reported(by).unwrap()));
            let reason = reason.map(|reason| BlockReason::parse(reason).unwrap());
            match is_blocked {
                true => Change::Block { identity, reason, expires_in, by },
                false => Change::Unblock { identity, by },
            }
        },
    )
}

fn set_backstage() -> impl Strategy<Value = Change> {
    (any::<bool>(), prop::option::of(who())).prop_map(|(backstage, by)| Change::SetBackstage {
        backstage,
        by: by.map(|by| Identity::reported(by).unwrap()),
    })
}

fn change() -> impl Strategy<Value = Change> {
    let ttl = select(vec![Duration::ZERO, Duration::from_secs(3_600)]);
    let attributes = prop::option::of(attributes());
    let issue = (who(), name(), prop::option::of(role()), prop::option::of(metadata()), attributes, ttl)
        .prop_map(|(who, name, role, metadata, attributes, joining_ttl)| Change::IssueToken {
            identity: Identity::reported(who).unwrap(),
            name,
            role,
            metadata,
            attributes,
            joining_ttl,
        });
    let disconnect = (who(), prop::option::of(sid()), past()).prop_map(|(who, sid, at)| Change::Disconnect {
        identity: Identity::reported(who).unwrap(),
        sid,
        at,
        reason: None,
    });
    let reasons = vec![StopReason::Requested, StopReason::RoomFinished, StopReason::Idle];
    let begin = (select(reasons), select(vec![None, Some("RM_1"), Some("RM_2")]))
        .prop_map(|(reason, room)| Change::BeginStop { reason, room_sid: room.map(Into::into) });
    prop_oneof![
        9 => listing(),
        2 => Just(Change::Activate { room_sid: "RM_1".into() }),
        8 => connect(),
        5 => issue,
        5 => disconnect,
        2 => Just(Change::ExpireJoining),
        1 => Just(Change::TellCounts),
        2 => set_backstage(),
        8 => ingresses::ingress(),
        14 => egresses::egress(),
        4 => update_participant(),
        5 => set_hand(),
        6 => removal(),
        4 => block(),
        1 => Just(Change::ExpireBlocks),
        2 => (metadata(), metadata()).prop_map(|(expected, metadata)| Change::SetMetadata { expected, metadata }),
        1 => begin,
        1 => Just(Change::Close),
        1 => Just(Change::AcquireLock),
        1 => Just(Change::ReleaseLock { until: Timestamp::from_millis(1) }),
        1 => Just(Change::RenewLock { until: Timestamp::from_millis(1) }),
        1 => Just(Change::Fail { reason: "broken".to_owned() }),
    ]
}

/// A change with an optional expected version and an optional deduplication key.
fn step() -> impl Strategy<Value = (Change, Option<u64>, Option<String>)> {
    let once = prop::option::weighted(0.3, (1..8u8).prop_map(|n| format!("EV_{n}")));
    (change(), prop::option::weighted(0.2, 1..12u64), once)
}

/// A stream's settings and the changes to it.
#[derive(Debug, Clone)]
pub struct History {
    pub max_participants: Option<u32>,
    pub idle_after: Option<Duration>,
    pub audience: InitialAudience,
    pub backstage: bool,
    /// Zero tells each change of the counts at once, an hour only with other events.
    pub count_interval: Duration,
    pub steps: Vec<(Change, Option<u64>, Option<String>)>,
}

pub fn history() -> impl Strategy<Value = History> {
    let idle = select(vec![None, Some(Duration::ZERO), Some(Duration::from_secs(3_600))]);
    let start = Just((Change::Activate { room_sid: "RM_1".into() }, None, None));
    let mode = select(&AudienceMode::ALL[..]);
    // With four identities, a bound of 1 is often exceeded.
    let audience = (mode, 0..2u32).prop_map(|(mode, listed_max)| mode.begin(listed_max));
    let count_interval = select(vec![Duration::ZERO, Duration::from_secs(3_600)]);
    let backstage = prop::bool::weighted(0.2);
    let stream = (prop::option::of(1..3u32), idle, audience, backstage, count_interval);
    (stream, start, prop::collection::vec(step(), 1..40)).prop_map(
        |((max_participants, idle_after, audience, backstage, count_interval), start, mut steps)| {
            // One case in eight begins without a room.
            if steps.len() % 8 != 0 {
                steps.insert(0, start);
            }
            History { max_participants, idle_after, audience, backstage, count_interval, steps }
        },
    )
}
