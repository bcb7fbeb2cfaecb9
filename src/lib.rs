//! A horizontally scalable, Redis-backed, stateless API that orchestrates LiveKit livestreams.
//!
//! `tests/api/imports.rs` lists which module may name items of which others, and checks it.
//!
//! - [`domain`]: streams, participants and the rules of their changes. Pure: no clock, no I/O, no framework.
//! - [`access`]: permissions of callers. Pure.
//! - [`store`]: storage of streams, and the feed of their events.
//! - [`livekit_client`]: calls of LiveKit's API.
//! - [`rooms`]: LiveKit, or a simulation of it.
//! - [`media`]: media jobs of LiveKit (ingresses and egresses), or a simulation of them.
//! - [`admission`]: admission control, applied to every request: authentication, rate limits, limits on open feeds.
//! - [`orchestrator`]: use cases over the store and the rooms.
//! - [`relay`]: delivery of events to the clients of this instance.
//! - [`delivery`]: one delivery to a webhook endpoint: checked addresses, signatures, HTTP.
//! - [`followers`]: what background jobs that follow the log of all streams share.
//! - [`history`]: every event and every stream, in a database that outlives Redis.
//! - [`outbound_webhooks`]: webhook endpoints, and the sender that delivers events to them.
//! - [`error_mapping`]: the error table, with the status of each error over HTTP, gRPC and WebSocket.
//! - [`http`]: the HTTP API, server-sent events, WebSockets, the pages.
//! - [`grpc`]: states and events of streams over gRPC.
//! - [`app`]: the composition root; [`settings`] parses its settings.
//! - [`check`]: the commands `check` and `healthcheck`.
//! - [`telemetry`]: log lines and metrics.

pub mod access;
pub mod admission;
pub mod app;
pub mod check;
pub mod delivery;
pub mod domain;
pub mod error_mapping;
pub mod followers;
pub mod grpc;
pub mod history;
pub mod http;
pub mod livekit_client;
pub mod media;
pub mod orchestrator;
pub mod outbound_webhooks;
pub mod relay;
pub mod rooms;
pub mod settings;
pub mod store;
pub mod telemetry;
