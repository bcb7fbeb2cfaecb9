//! Moderation: who has access to a stream, in every store and with a fake LiveKit.

mod backstage;
mod backstage_in_livekit;
mod blocks;
mod blocks_in_livekit;
mod hands;
mod mute;
mod removal;
mod removal_in_livekit;
mod role;
mod role_in_livekit;
mod room;
