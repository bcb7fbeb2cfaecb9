//! LiveKit access tokens: verification of callers' tokens and of the tokens that sign LiveKit's webhooks.

mod claims;
mod error;
mod verifier;

use secrecy::SecretString;

pub use self::{
    error::{TokenError, WebhookError},
    verifier::{LEEWAY, SignedHash, TokenVerifier},
};
use super::Grants;
use crate::domain::Timestamp;

/// LiveKit API key with its secret.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// Name of the key, which tokens have as `iss`.
    pub key: String,
    /// Secret of the HMAC that signs tokens.
    pub secret: SecretString,
}

/// Content of a verified access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedToken {
    /// `iss`: the API key whose secret signed the token.
    pub issuer: String,
    /// `sub`, or `jti` if the token has no `sub`; empty if it has neither.
    pub identity: String,
    /// `video`: the grants.
    pub grants: Grants,
    /// `exp` plus [`LEEWAY`]; `None` for a token without `exp`.
    pub expires_at: Option<Timestamp>,
}
