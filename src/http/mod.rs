//! HTTP interface: routes, handlers, event streams and pages. Requests are parsed and validated here only.

mod app_state;
mod backstage;
mod blocks;
mod broadcasts;
mod cors;
mod docs;
mod egresses;
mod events;
mod extract;
mod framing;
mod health;
mod hijack;
mod history;
mod ingresses;
mod job_record;
mod list_page;
mod middleware;
mod openapi;
mod pages;
mod participants;
mod path;
pub mod problem;
mod recordings;
mod request_record;
mod routes;
mod schemas;
mod server;
mod sliced_body;
mod sse;
mod streams;
mod webhook_endpoints;
mod webhook_signature;
mod webhooks;
mod websocket;

pub use self::{
    app_state::{AppState, InstanceInfo},
    openapi::openapi,
    routes::table,
    server::{ServerOptions, serve, serve_metrics},
    webhook_signature::MAX_WAITING_WEBHOOK_BYTES,
};
