//! A horizontally scalable, Redis-backed, stateless API that orchestrates LiveKit livestreams.
//!
//! The map, from the inside out; nothing points from left to right:
//!
//! [`domain`] ← [`access`], [`store`], [`rooms`] ← [`orchestrator`], [`relay`], [`admission`] ← [`http`], [`grpc`] ← [`app`]
//!
//! - [`domain`]: what a stream is and how it may change. Pure.
//! - [`access`]: who may do what. Pure.
//! - [`store`]: where streams are kept, and the feed of what happens to them.
//! - [`rooms`]: LiveKit, or a simulation of it.
//! - [`admission`]: the door that every call passes: who is asking, and how often they may.
//! - [`orchestrator`]: the use cases over these.
//! - [`relay`]: this instance's clients: one feed in, many bounded queues out.
//! - [`http`]: routes, server-sent events, the pages.
//! - [`grpc`]: the state of streams and their events over gRPC.
//! - [`app`]: the composition root, and [`settings`] for it.
//! - [`check`]: the commands `check` and `healthcheck`.
//! - [`telemetry`]: log lines and metrics, for all of them.

pub mod access;
pub mod admission;
pub mod app;
pub mod check;
pub mod domain;
pub mod error_mapping;
pub mod grpc;
pub mod http;
pub mod orchestrator;
pub mod relay;
pub mod rooms;
pub mod settings;
pub mod store;
pub mod telemetry;
