//! Change of a participant at a caller's request.

use super::{DisplayName, Identity, Metadata, ParticipantMetadata, Role};

/// Change of a participant at a caller's request. `None` keeps a value.
#[derive(Clone, Debug, PartialEq)]
pub struct ParticipantUpdate {
    /// Identity of the participant.
    pub identity: Identity,
    /// New role. It holds for every token of the identity.
    pub role: Option<Role>,
    /// New display name.
    pub name: Option<DisplayName>,
    /// New metadata.
    pub metadata: Option<MetadataUpdate>,
    /// Identity of the caller, if its token has one.
    pub by: Option<Identity>,
}

/// Replacement of a participant's metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataUpdate {
    /// Metadata that the caller has read. Other current metadata rejects the change.
    pub expected: ParticipantMetadata,
    /// New metadata.
    pub new: Metadata,
}
