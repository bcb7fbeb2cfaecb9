//! A state, then what follows it: a change between the two is neither lost nor doubled.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
