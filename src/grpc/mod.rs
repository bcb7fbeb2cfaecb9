//! gRPC: the states of streams and their events, on a port of its own.

mod body;
mod calls;
mod connection;
mod convert;
mod deadline;
mod egress;
mod encoder;
mod event;
mod feed;
mod ingress;
mod interceptor;
mod known_states;
mod participant_list;
mod past_states;
pub mod proto;
mod request_body;
mod server;
mod service;
mod status;
mod update;

pub use self::{server::serve, service::Service};
