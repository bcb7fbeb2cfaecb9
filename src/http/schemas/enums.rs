//! Schemas of enumerations, made from the values that the domain serialises.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

use crate::{
    domain::{
        Audience, AudienceMode, EgressPreset, EgressStatus, EventKind, IngressKind, IngressStatus,
        ParticipantKind, ParticipantState, Role, RtmpStatus, StreamStatus, TrackSource,
    },
    store::KindFilter,
};

fn string_enum(about: &str, values: impl IntoIterator<Item = &'static str>) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).description(Some(about)).enum_values(Some(values)).into()
}

/// Implements utoipa's traits for an enumeration: its name in the document, its description and its values.
macro_rules! string_enums {
    ($($type:ty, $name:literal, $about:literal, $values:expr;)+) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                string_enum($about, $values)
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                $name.into()
            }
        }
    )+};
}

string_enums! {
    StreamStatus, "StreamStatus",
    "Status of a stream: `creating → active → stopping → stopped`, or `error` from `creating` and `stopping`.",
    StreamStatus::ALL.map(StreamStatus::as_str);

    Audience, "Audience",
    "How the changes of viewers are told. `listed`: each one is an event. `counted`: only their number is told.",
    Audience::ALL.map(Audience::as_str);

    AudienceMode, "AudienceMode",
    "Audience of a new stream. `auto`: listed at first, counted for good once more viewers than a bound are active.",
    AudienceMode::ALL.map(AudienceMode::as_str);

    Role, "Role",
    "Permissions of a participant: a host publishes, a viewer only subscribes.",
    [Role::Host, Role::Viewer].map(Role::as_str);

    ParticipantState, "ParticipantState",
    "Connection state of a participant. `joining`: a token was issued. `active`: connected. `disconnected`: left.",
    [ParticipantState::Joining, ParticipantState::Active, ParticipantState::Disconnected]
        .map(ParticipantState::as_str);

    TrackSource, "TrackSource",
    "Source of a track.",
    TrackSource::ALL.map(TrackSource::as_str);

    // Documents omit the kind of a standard participant.
    ParticipantKind, "ParticipantKind",
    "LiveKit's kind of a participant.",
    ParticipantKind::ALL.into_iter().filter(|kind| *kind != ParticipantKind::Standard).map(ParticipantKind::as_str);

    KindFilter, "KindFilter",
    "Kinds of participants in a list.",
    ParticipantKind::ALL.into_iter().map(KindFilter::Kind).chain([KindFilter::Hidden]).map(KindFilter::as_str);

    IngressKind, "IngressType",
    "Protocol of an ingress. `unknown`: one of another tool that this version does not know.",
    IngressKind::ALL.map(IngressKind::as_str);

    IngressStatus, "IngressStatus",
    "State of an ingress. `publishing`: its participant is in the stream.",
    IngressStatus::ALL.map(IngressStatus::as_str);

    EgressStatus, "EgressStatus",
    "State of a recording or a broadcast. `ending`: stopped, its outputs are being completed. `aborted`: stopped \
     before media flowed. `limit_reached`: ended at a limit of LiveKit's egress service, with complete outputs.",
    EgressStatus::ALL.map(EgressStatus::as_str);

    EgressPreset, "EgressPreset",
    "Size and rate of the encoded video, by LiveKit's names. LiveKit's default is `H264_720P_30`.",
    EgressPreset::ALL.map(EgressPreset::as_str);

    RtmpStatus, "RtmpStatus",
    "State of an RTMP output. `starting`: LiveKit was asked for it and has not reported it yet.",
    RtmpStatus::ALL.map(RtmpStatus::as_str);

    EventKind, "EventType",
    "Type of an event.",
    EventKind::ALL.map(EventKind::as_str);
}
