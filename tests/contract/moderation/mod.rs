//! Moderation: who has access to a stream, in every store and with a fake LiveKit.

mod backstage;
mod put_out;
