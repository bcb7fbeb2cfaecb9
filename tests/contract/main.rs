//! One suite for the store and one for rooms, run on every backend.

#[path = "../support/mod.rs"]
mod support;

mod histories;
mod model;
mod redis;
mod rooms;
mod store;
mod world;
