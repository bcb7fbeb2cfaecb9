//! The keys that the scripts of changes make themselves.

/// A stream's keys as the scripts of changes name them (`KEY.log`), and what such a script appends to the key of the
/// stream's hash. Keys that the caller makes take more of Redis's time than those that a script makes when it needs
/// them.
pub(super) const STREAM_KEYS: [(&str, &str); 21] = [
    ("participants", ":participants"),
    ("joining", ":joining"),
    ("joining_order", ":order:joining"),
    ("active_order", ":order:active"),
    ("disconnected_order", ":order:disconnected"),
    ("recorder_order", ":order:recorders"),
    ("hidden_order", ":order:hidden"),
    ("tombstones", ":tombstones"),
    ("log", LOG_SUFFIX),
    ("unlisted", ":unlisted"),
    ("agents", ":agents"),
    ("roles", ":roles"),
    ("blocks", BLOCKS_SUFFIX),
    ("blocks_order", BLOCKS_ORDER_SUFFIX),
    ("blocks_expiring", ":blocks:expiring"),
    ("raisings", ":hands:raisings"),
    ("ingresses", INGRESSES_SUFFIX),
    ("ingress_plans", INGRESS_PLANS_SUFFIX),
    ("egresses", EGRESSES_SUFFIX),
    ("egress_plans", EGRESS_PLANS_SUFFIX),
    ("egress_addresses", EGRESS_ADDRESSES_SUFFIX),
];

/// As [`STREAM_KEYS`], for the keys that all streams share; the scripts append the name to the prefix.
pub(super) const SHARED_KEYS: [(&str, &str); 20] = [
    ("events", "events"),
    ("events_bytes", "events:bytes"),
    ("events_kept_after", "events:kept_after"),
    ("visits", "visits"),
    ("tail", "tail"),
    ("all_streams", "streams:all"),
    ("live_streams", "streams:live"),
    ("creating_streams", "streams:creating"),
    ("active_streams", "streams:active"),
    ("stopping_streams", "streams:stopping"),
    ("stopped_streams", "streams:stopped"),
    ("error_streams", "streams:error"),
    ("ended_streams", "streams:ended"),
    ("participant_total", "participants:total"),
    ("participant_counts", "participants:counts"),
    ("scheduled", "scheduled"),
    ("scheduled_counts", "scheduled:counts"),
    ("closed_rooms", "rooms:closed"),
    ("clock_floor", "clock_floor"),
    ("never", NEVER),
];

/// Suffix of the key of a stream's blocks.
pub(super) const BLOCKS_SUFFIX: &str = ":blocks";

/// Suffix of the key of the order of a stream's blocks.
pub(super) const BLOCKS_ORDER_SUFFIX: &str = ":order:blocks";

/// Suffix of the key of a stream's ingresses.
pub(super) const INGRESSES_SUFFIX: &str = ":ingresses";

/// Suffix of the key of a stream's intents to create ingresses.
pub(super) const INGRESS_PLANS_SUFFIX: &str = ":ingresses:plans";

/// Suffix of the key of a stream's recordings and broadcasts.
pub(super) const EGRESSES_SUFFIX: &str = ":egresses";

/// Suffix of the key of a stream's intents to start recordings and broadcasts.
pub(super) const EGRESS_PLANS_SUFFIX: &str = ":egresses:plans";

/// Suffix of the key of the addresses of a stream's RTMP targets.
pub(super) const EGRESS_ADDRESSES_SUFFIX: &str = ":egresses:addresses";

/// Suffix of the key of a stream's log.
pub(super) const LOG_SUFFIX: &str = ":log";

/// The key that never exists, without its prefix.
pub(super) const NEVER: &str = "never";
