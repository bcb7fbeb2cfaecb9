//! Verifies tokens: access tokens of callers, as `lk token create` and LiveKit's server SDKs make them, and the tokens of
//! LiveKit's webhooks.
//!
//! A token that LiveKit's server accepts is accepted (livekit/protocol, `auth/verifier.go`): HS256 only, `iss` is the API
//! key, `exp` and `nbf` are optional and have a minute of leeway, `aud` and `iat` are not checked, header members except
//! `alg` are ignored. livekit-api's own verifier is not used, because it decodes all claims strictly.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hmac::{Hmac, Mac};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::{
    claims::{Claims, algorithm},
    tokens::ApiKey,
};
use crate::{access::Token, domain::Timestamp};

/// By how much the clock of a token's maker and this machine's may differ: as in LiveKit.
pub const LEEWAY: std::time::Duration = std::time::Duration::from_secs(60);

/// Base64 as Go's `RawURLEncoding` decodes it: no padding, any bits after the last byte.
const SEGMENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// Why a token is refused. No message has a part of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The request has no token.
    #[error("an access token is required")]
    Missing,
    /// Not three parts of base64url with JSON objects in the first two.
    #[error("the token is not a JSON Web Token")]
    Malformed,
    /// A claim that this service reads has the wrong type.
    #[error("the token's claim `{0}` has the wrong type")]
    Claim(&'static str),
    /// `alg` is absent, or not HS256.
    #[error("the token is not signed with HS256, the only algorithm that LiveKit accepts")]
    Algorithm,
    /// `iss` is absent or empty.
    #[error("the token has no issuer: `iss` must be the API key")]
    NoIssuer,
    /// `iss` is not a configured API key.
    #[error("the token's issuer is not an API key of this service")]
    UnknownIssuer,
    /// The signature does not match the key's secret.
    #[error("the token's signature is wrong: it has another secret, or the token was changed")]
    Signature,
    /// `exp` is over, leeway included.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is ahead, leeway included.
    #[error("the token is not valid yet: its `nbf` is in the future")]
    NotYetValid,
}

impl TokenError {
    /// The label value in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed | Self::Claim(_) => "malformed",
            Self::Algorithm => "algorithm",
            Self::NoIssuer => "issuer_missing",
            Self::UnknownIssuer => "issuer_unknown",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
        }
    }
}

/// Why a webhook's signature is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// `Authorization` is absent or empty.
    #[error("the webhook has no token in its Authorization header")]
    Missing,
    /// The token is refused.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token has no `sha256`.
    #[error("the webhook's token has no `sha256`, the hash of the body")]
    BodyHashMissing,
    /// The token's `sha256` is the hash of another body.
    #[error("the webhook's body does not match the `sha256` of its token")]
    BodyHashMismatch,
}

impl WebhookError {
    /// The label value in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => TokenError::Missing.as_str(),
            Self::Token(error) => error.as_str(),
            Self::BodyHashMissing => "body_hash_missing",
            Self::BodyHashMismatch => "body_hash_mismatch",
        }
    }
}

/// Verifies tokens of any of its API keys.
#[derive(Clone)]
pub struct Verifier {
    keys: Vec<(String, Hmac<Sha256>)>,
}

impl Verifier {
    /// Accepts tokens signed with any of `keys`.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a ApiKey>) -> Self {
        // HMAC takes secrets of any length, so no key is dropped here.
        let signer = |key: &ApiKey| Hmac::new_from_slice(key.secret.expose_secret().as_bytes()).ok();
        let keyed = |key: &'a ApiKey| Some((key.key.clone(), signer(key)?));
        Self { keys: keys.into_iter().filter_map(keyed).collect() }
    }

    /// Verifies an access token, as of `now`.
    ///
    /// # Errors
    /// [`TokenError`]; of several, the first in its order of variants.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Token, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        let claims = self.claims(token, now)?;
        let expires_at = claims.expires_at.map(|at| at.plus(LEEWAY));
        Ok(Token { issuer: claims.issuer, identity: claims.identity, grants: claims.grants, expires_at })
    }

    /// Verifies the `Authorization` of a webhook, with or without `Bearer `, for its raw body, as of `now`.
    ///
    /// # Errors
    /// [`WebhookError`]; of several, the first in its order of variants.
    pub fn verify_webhook(
        &self,
        authorization: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), WebhookError> {
        let token = authorization.strip_prefix("Bearer ").unwrap_or(authorization).trim();
        if token.is_empty() {
            return Err(WebhookError::Missing);
        }
        let claims = self.claims(token, now)?;
        if claims.sha256.is_empty() {
            return Err(WebhookError::BodyHashMissing);
        }
        // Both hashes are known to the sender, so there is no secret for the comparison's timing to reveal.
        let matches = claims.sha256 == STANDARD.encode(Sha256::digest(body));
        matches.then_some(()).ok_or(WebhookError::BodyHashMismatch)
    }

    /// Whether the `Authorization` of a webhook has a token of a known key, before its body is read.
    pub fn knows_webhook(&self, authorization: &str, now: Timestamp) -> bool {
        let token = authorization.strip_prefix("Bearer ").unwrap_or(authorization).trim();
        self.claims(token, now).is_ok()
    }

    fn claims(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let [header, claims, signature] = [decode(header)?, decode(claims)?, decode(signature)?];
        if algorithm(&header)?.as_deref() != Some("HS256") {
            return Err(TokenError::Algorithm);
        }
        let claims = Claims::read(&claims)?;
        self.check_signature(&claims.issuer, signed, &signature)?;
        check_times(&claims, now)?;
        Ok(claims)
    }

    /// The library compares in constant time.
    fn check_signature(&self, issuer: &str, signed: &str, signature: &[u8]) -> Result<(), TokenError> {
        if issuer.is_empty() {
            return Err(TokenError::NoIssuer);
        }
        let mut keys = self.keys.iter().filter(|(key, _)| key == issuer).peekable();
        keys.peek().ok_or(TokenError::UnknownIssuer)?;
        let good = |(_, mac): &(String, Hmac<Sha256>)| {
            mac.clone().chain_update(signed).verify_slice(signature).is_ok()
        };
        keys.any(good).then_some(()).ok_or(TokenError::Signature)
    }
}

fn check_times(claims: &Claims, now: Timestamp) -> Result<(), TokenError> {
    if claims.expires_at.is_some_and(|at| at.plus(LEEWAY) <= now) {
        return Err(TokenError::Expired);
    }
    if claims.not_before.is_some_and(|at| at.minus(LEEWAY) > now) {
        return Err(TokenError::NotYetValid);
    }
    Ok(())
}

/// Decodes one part of a token. Go skips line breaks in base64.
fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    let decoded = if part.contains(['\r', '\n']) {
        SEGMENT.decode(part.replace(['\r', '\n'], ""))
    } else {
        SEGMENT.decode(part)
    };
    decoded.map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;
