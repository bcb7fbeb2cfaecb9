//! Requests about participants: each type parses itself and describes itself for the OpenAPI document.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::json;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use crate::{
    domain::{
        Attributes, DisplayName, Identity, Metadata, MetadataPatch, ParticipantState, Role, ids::NameError,
    },
    http::{
        extract::{BodyFields, FromBody, FromQuery, QueryFields, impl_into_params},
        list_page::PageQuery,
    },
    store::{KindFilter, UnknownKind},
};

/// Names of the field with the participant's identity.
const IDENTITY: [&str; 3] = ["participantName", "userId", "identity"];

/// Query of `GET /streams/{id}/participants`.
pub struct ListParticipants {
    pub(super) state: Option<ParticipantState>,
    pub(super) kind: Option<KindFilter>,
    pub(super) page: PageQuery,
}

impl FromQuery for ListParticipants {
    fn read(fields: &mut QueryFields) -> Self {
        Self {
            state: fields.choice(
                "state",
                "Only participants in this state.",
                "must be joining, active or disconnected",
            ),
            kind: fields.choice(
                "kind",
                "Only participants of this kind. Recorders and hidden participants are listed only if `kind` selects \
                 them. Hidden ones need `roomAdmin` or `roomList`.",
                &UnknownKind.to_string(),
            ),
            page: PageQuery::read(fields),
        }
    }
}

impl_into_params!(ListParticipants);

/// Body of `POST /streams/{id}/join`.
pub struct Join {
    pub(super) identity: Identity,
    pub(super) name: Option<DisplayName>,
    pub(super) role: Option<Role>,
    pub(super) metadata: Option<Metadata>,
    pub(super) attributes: Option<Attributes>,
}

impl FromBody for Join {
    fn read(fields: &mut BodyFields) -> Option<Self> {
        let identity = fields.required_name(
            &IDENTITY,
            "1 to 256 bytes of UTF-8 without control characters, not `.` or `..`.",
            Identity::parse_joining,
        );
        let name = fields.name(&["name"], "Name as shown to other participants.", DisplayName::parse);
        let role = fields.choice(
            "role",
            "Default: the recorded role of the identity, or `host`. Upper and lower case are equal.",
            "must be host or viewer",
        );
        let metadata =
            fields.metadata("metadata", "At most 60,000 bytes. The token contains it as JSON text.");
        let attributes = fields.attributes(
            "attributes",
            "LiveKit attributes, at most 60,000 bytes in keys and values together. The token contains them.",
        );
        Some(Self { identity: identity?, name, role, metadata, attributes })
    }
}

impl PartialSchema for Join {
    fn schema() -> RefOr<Schema> {
        BodyFields::describe(Self::read)
            .description(Some(
                "The participant that joins. `identity`, `userId` and `participantName` are one required field.",
            ))
            .examples([json!({"identity": "ann", "name": "Ann", "role": "host"})])
            .into()
    }
}

impl ToSchema for Join {
    fn name() -> Cow<'static, str> {
        "Joining".into()
    }
}

/// Path of a participant.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ParticipantPath {
    /// The stream's id or room name.
    pub(super) id: String,
    /// Identity of the participant, percent-encoded.
    pub(super) identity: String,
}

/// Body of `PATCH /streams/{id}/participants/{identity}`.
pub struct ParticipantPatch {
    pub(super) role: Option<Role>,
    pub(super) name: Option<DisplayName>,
    pub(super) metadata: Option<MetadataPatch>,
}

impl FromBody for ParticipantPatch {
    fn read(fields: &mut BodyFields) -> Option<Self> {
        Some(Self {
            role: fields.choice(
                "role",
                "Holds for every token of the identity, also for earlier ones. Upper and lower case are equal.",
                "must be host or viewer",
            ),
            name: fields.name(&["name"], "Name as shown to other participants.", DisplayName::parse),
            metadata: fields.metadata_patch("metadata", "A JSON Merge Patch (RFC 7396): null removes a key."),
        })
    }
}

impl PartialSchema for ParticipantPatch {
    fn schema() -> RefOr<Schema> {
        BodyFields::describe(Self::read)
            .description(Some("A change of a participant."))
            .examples([json!({"role": "host"})])
            .into()
    }
}

impl ToSchema for ParticipantPatch {}

/// Body of `POST /streams/{id}/leave`.
pub struct Leave {
    /// Not yet validated as an identity, because a participant that LiveKit has reported may leave under any identity.
    pub(super) identity: Identity,
}

impl FromBody for Leave {
    fn read(fields: &mut BodyFields) -> Option<Self> {
        let parse = |text| Identity::reported(text).ok_or(NameError::Empty);
        Some(Self { identity: fields.required_name(&IDENTITY, "Identity of the participant.", parse)? })
    }
}

impl PartialSchema for Leave {
    fn schema() -> RefOr<Schema> {
        BodyFields::describe(Self::read)
            .description(Some(
                "The participant that leaves. `identity`, `userId` and `participantName` are one required field.",
            ))
            .examples([json!({"identity": "ann"})])
            .into()
    }
}

impl ToSchema for Leave {
    fn name() -> Cow<'static, str> {
        "Leaving".into()
    }
}
