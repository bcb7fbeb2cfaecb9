//! Moderation: who has access to a stream, and the removal of participants without access.
//!
//! The store records an action first. LiveKit follows it by a call of the same request, and the webhook processor and
//! the reconciler repeat the call when LiveKit shows that it was lost.
//!
//! Import direction; this file only declares:
//! ```text
//! access ← backstage, participant ← mute, hands
//! ```

mod access;
mod backstage;
mod hands;
mod mute;
mod participant;

pub use self::{
    mute::{MuteAll, MuteRequest},
    participant::{ChangedParticipant, ParticipantPatch},
};
