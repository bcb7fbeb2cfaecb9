//! Ids that LiveKit assigns: of a room, of a participant's session, of a track, of an ingress and of an egress.
//!
//! LiveKit's ids are taken as they are, without validation. Each kind is a type of its own, because the texts look
//! alike (`RM_…`, `PA_…`, `TR_…`) and one in place of another would match nothing.

use std::{fmt, sync::Arc};

use serde::Serialize;

macro_rules! sid {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the id as LiveKit writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

sid! {
    /// LiveKit's id of a room. A room that is created again under the same name has another one.
    RoomSid
}
sid! {
    /// LiveKit's id of one session of a participant. An identity that reconnects from scratch has another one.
    ParticipantSid
}
sid! {
    /// LiveKit's id of a published track.
    TrackSid
}
sid! {
    /// LiveKit's id of an ingress.
    IngressId
}
sid! {
    /// LiveKit's id of an egress. It is also the identity of the participant that records.
    EgressId
}
