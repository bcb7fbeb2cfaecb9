//! Relay: delivers published events to the clients of this instance.
//!
//! The feed (Pub/Sub) delivers at most once. The relay turns it into exactly-once, in-order delivery for each client:
//!
//! - **Handover from log to feed.** A client subscribes to a channel at a known position. It reads the log from its own
//!   cursor up to that position and skips, by cursor, events that both the log and the feed contain.
//! - **Gap detection.** Every event carries the cursor of its predecessor. An event whose predecessor is not the last
//!   delivered event is a gap. The relay then reads the channel's log once for all clients of the channel.
//! - **Reset.** Where the log cannot prove that it is complete, every client of the channel gets a snapshot (`reset`).
//! - **Connection loss.** The hub replaces a broken connection and reads every log from the last delivered event. A
//!   probe message and a comparison of the logs' tails detect a silently dead connection.
//! - **Backpressure.** Each client has a bounded queue. A client whose queue overflows is disconnected, and delivery to
//!   other clients never waits for it. What waits in the whole instance has a budget, above which stalled clients are
//!   disconnected.

mod access;
mod budget;
mod channel;
mod client_states;
mod frame;
mod handle;
mod hub;
mod hub_handle;
mod jitter;
mod lifetime;
mod local_fanout;
mod log_reader;
mod options;
mod pieces;
mod queue;
mod readiness;
mod rendering;
mod reset;
mod snapshots;
mod state_updates;
mod stream_readings;
mod subscriber;
mod subscriber_metrics;
mod subscription;
mod transport;

pub use self::{
    budget::{Budget, Charge, Eviction},
    client_states::ClientStates,
    frame::{EventFrame, WireForm},
    handle::Relay,
    lifetime::Lifetime,
    local_fanout::{DirectSink, DirectWrite, EventEncoder, LocalSubscription},
    options::{Options, Start},
    reset::{PartContent, ResetFrame, ResetPart, ResetParts},
    snapshots::SharedSnapshot,
    state_updates::{EncodeState, StateFrame},
    subscriber::{Client, Delivery, Ended},
    subscription::Subscription,
    transport::{MAX_UNSENT_BYTES, Transport},
};
