use super::{
    super::script_keys::{SHARED_KEYS, STREAM_KEYS},
    *,
};

#[test]
fn channel_of_a_log_parses_to_its_topic() {
    let keys = Keys::new("lso");
    for topic in [Topic::All, Topic::Stream(StreamId::generate())] {
        assert_eq!(keys.topic(&keys.log(topic)), Some(topic));
    }
    assert_eq!(Keys::new("other").topic(&keys.log(Topic::All)), None);
    assert_eq!(keys.topic("{lso}:probe:x"), None);
}

/// Keys that no other code names, because only the scripts of changes access them.
const ONLY_IN_CHANGES: [&str; 6] =
    ["joining", "tombstones", "agents", "roles", "blocks_expiring", "raisings"];

#[test]
fn keys_that_scripts_make_are_those_of_the_methods() {
    let (keys, id) = (Keys::new("lso"), StreamId::generate());
    let made = STREAM_KEYS.iter().filter(|(name, _)| !ONLY_IN_CHANGES.contains(name));
    let made: Vec<_> = made.map(|(_, suffix)| keys.stream(id) + suffix).collect();
    let order = |state| keys.order(id, state);
    let own = [
        keys.participants(id),
        order(ParticipantState::Joining),
        order(ParticipantState::Active),
        order(ParticipantState::Disconnected),
        keys.recorder_order(id),
        keys.hidden_order(id),
        keys.log(Topic::Stream(id)),
        keys.unlisted(id),
        keys.blocks(id),
        keys.blocks_order(id),
        keys.ingresses(id),
        keys.ingress_plans(id),
        keys.egresses(id),
        keys.egress_plans(id),
        keys.egress_addresses(id),
    ];
    assert_eq!(made, own);
    let status = |status| keys.streams_in(status);
    let shared = [
        keys.log(Topic::All),
        keys.events_bytes(),
        keys.events_kept_after(),
        keys.visits(),
        keys.tail(),
        keys.all_streams(),
        keys.live_streams(),
        status(StreamStatus::Creating),
        status(StreamStatus::Active),
        status(StreamStatus::Stopping),
        status(StreamStatus::Stopped),
        status(StreamStatus::Error),
        keys.ended_streams(),
        keys.participant_total(),
        keys.participant_counts(),
        keys.scheduled(),
        keys.scheduled_counts(),
        keys.closed_rooms(),
        keys.clock_floor(),
        keys.absent(),
    ];
    assert_eq!(SHARED_KEYS.map(|(_, rest)| keys.prefix() + rest), shared);
}
