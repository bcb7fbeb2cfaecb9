//! One suite for the store and one for rooms, run on every backend.

#[path = "../support/mod.rs"]
mod support;

mod crashes;
mod histories;
mod locks;
mod model;
mod mortal;
mod reconciling;
mod redis;
mod requests;
mod rooms;
mod store;
mod world;
