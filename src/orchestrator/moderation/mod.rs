//! Moderation: who has access to a stream, and the removal of participants without access.
//!
//! LiveKit follows what is recorded by a call of the same request, and the webhook processor and the reconciler repeat
//! the call when LiveKit shows that it was lost.
//!
//! Import direction; this file only declares:
//! ```text
//! access ← backstage, blocks, participant ← mute, hands, removal
//! ```

mod access;
mod backstage;
mod blocks;
mod hands;
mod mute;
mod participant;
mod removal;

pub(super) use self::access::Arrival;
pub use self::{
    blocks::{BlockRequest, BlockTerms},
    mute::{MuteAll, MuteRequest},
    participant::{ChangedParticipant, JoiningTerms, ParticipantPatch},
};
