//! Reasons for which tokens are rejected.

/// Reason for which a token is rejected. No message contains a part of the token.
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
    /// `exp` has passed, leeway included.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is in the future, leeway included.
    #[error("the token is not valid yet: its `nbf` is in the future")]
    NotYetValid,
}

impl TokenError {
    /// Returns the label value in metrics.
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

/// Reason for which a webhook's signature is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// `Authorization` is absent or empty.
    #[error("the webhook has no token in its Authorization header")]
    Missing,
    /// The token is rejected.
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
    /// Returns the label value in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => TokenError::Missing.as_str(),
            Self::Token(error) => error.as_str(),
            Self::BodyHashMissing => "body_hash_missing",
            Self::BodyHashMismatch => "body_hash_mismatch",
        }
    }
}
