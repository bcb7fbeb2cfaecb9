//! Verifier of HS256 tokens: access tokens, as `lk token create` and LiveKit's server SDKs create them, and the tokens
//! of LiveKit's webhooks.
//!
//! Accepts every token that LiveKit's server accepts (livekit/protocol, `auth/verifier.go`): HS256 only, `iss` is the
//! API key, `exp` and `nbf` are optional and have a minute of leeway, `aud` and `iat` are not checked, header members
//! except `alg` are ignored. livekit-api's own verifier is not used, because it decodes all claims strictly.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hmac::{Hmac, Mac};
use secrecy::ExposeSecret;
use sha2::Sha256;

use super::{
    ApiKey, TokenError, VerifiedToken, WebhookError,
    claims::{Claims, algorithm},
};
use crate::domain::Timestamp;

/// Tolerated difference between the clocks of the token's issuer and of this machine; LiveKit's value.
pub const LEEWAY: std::time::Duration = std::time::Duration::from_secs(60);

/// Base64 as Go's `RawURLEncoding` decodes it: without padding, unused bits of the last character ignored.
const SEGMENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// SHA-256 hash of a webhook's body in base64, as LiveKit has signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHash(String);

impl SignedHash {
    /// Compares it with the SHA-256 hash of the received body.
    ///
    /// # Errors
    /// [`WebhookError::BodyHashMismatch`].
    pub fn verify(&self, body_hash: &[u8]) -> Result<(), WebhookError> {
        // The sender knows both hashes, so the timing of the comparison reveals no secret.
        let matches = self.0 == STANDARD.encode(body_hash);
        matches.then_some(()).ok_or(WebhookError::BodyHashMismatch)
    }
}

/// Verifies tokens that are signed with the secret of any of its API keys.
#[derive(Clone)]
pub struct TokenVerifier {
    keys: Vec<(String, Hmac<Sha256>)>,
}

impl TokenVerifier {
    /// Returns a verifier for tokens of any of `keys`. Several keys may have one name.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a ApiKey>) -> Self {
        // HMAC accepts secrets of any length, so no key is skipped.
        let signer = |key: &ApiKey| Hmac::new_from_slice(key.secret.expose_secret().as_bytes()).ok();
        let keyed = |key: &'a ApiKey| Some((key.key.clone(), signer(key)?));
        Self { keys: keys.into_iter().filter_map(keyed).collect() }
    }

    /// Verifies an access token, as of `now`.
    ///
    /// # Errors
    /// [`TokenError`]: the first applicable one in the order of its variants.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<VerifiedToken, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        let claims = self.claims(token, now)?;
        let expires_at = claims.expires_at.map(|at| at.plus(LEEWAY));
        Ok(VerifiedToken {
            issuer: claims.issuer,
            identity: claims.identity,
            grants: claims.grants,
            expires_at,
        })
    }

    /// Verifies the `Authorization` value of a webhook, with or without `Bearer `, as of `now`, before its body is read.
    /// Returns the hash that the body must have.
    ///
    /// # Errors
    /// [`WebhookError`]: the first applicable one in the order of its variants.
    pub fn verify_webhook(&self, authorization: &str, now: Timestamp) -> Result<SignedHash, WebhookError> {
        let token = webhook_token(authorization);
        if token.is_empty() {
            return Err(WebhookError::Missing);
        }
        let signed_hash = self.claims(token, now)?.sha256;
        if signed_hash.is_empty() {
            return Err(WebhookError::BodyHashMissing);
        }
        Ok(SignedHash(signed_hash))
    }

    /// Verifies the signature and the times, and returns the claims.
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

    /// Compares the signature in constant time (`verify_slice`).
    fn check_signature(&self, issuer: &str, signed: &str, signature: &[u8]) -> Result<(), TokenError> {
        if issuer.is_empty() {
            return Err(TokenError::NoIssuer);
        }
        let mut keys = self.keys.iter().filter(|(key, _)| key == issuer).peekable();
        keys.peek().ok_or(TokenError::UnknownIssuer)?;
        let matches = |(_, mac): &(String, Hmac<Sha256>)| {
            mac.clone().chain_update(signed).verify_slice(signature).is_ok()
        };
        keys.any(matches).then_some(()).ok_or(TokenError::Signature)
    }
}

/// Returns the token of a webhook. LiveKit sends it without a scheme; proxies and test tools may add `Bearer `.
fn webhook_token(authorization: &str) -> &str {
    authorization.strip_prefix("Bearer ").unwrap_or(authorization).trim()
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

/// Decodes one part of a token. Line breaks are skipped, as in Go.
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
