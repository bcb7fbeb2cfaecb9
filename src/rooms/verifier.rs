//! Checking the access tokens that callers show: those that `lk token create` and LiveKit's server SDKs make.

use std::time::Duration;

use livekit_api::access_token::{Claims, TokenVerifier, VideoGrants};
use secrecy::ExposeSecret;

use super::tokens::ApiKey;
use crate::{
    access::{Grants, Token},
    domain::Timestamp,
};

/// By how much the clocks of who makes tokens and of this machine may differ. (LiveKit's own verifier has a minute, which
/// is long for a token that was made to lapse.)
const LEEWAY: Duration = Duration::from_secs(5);

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is none.
    #[error("an access token is required")]
    Missing,
    /// It was not made with a key that is known here, or is not a token at all.
    #[error("the access token is not signed with a key that is known here")]
    Forged,
    /// Its time is over.
    #[error("the access token has expired")]
    Expired,
    /// Its time has not come yet.
    #[error("the access token is not good yet")]
    Early,
}

impl Refused {
    /// The word used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Forged => "forged",
            Self::Expired => "expired",
            Self::Early => "early",
        }
    }
}

/// Checks access tokens.
#[derive(Clone)]
pub struct Verifier {
    keys: Vec<TokenVerifier>,
}

impl Verifier {
    /// Takes what is signed with any of `keys`.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a ApiKey>) -> Self {
        let verifier = |key: &ApiKey| TokenVerifier::with_api_key(&key.key, key.secret.expose_secret());
        Self { keys: keys.into_iter().map(verifier).collect() }
    }

    /// Checks signature (HS256 and nothing else), issuer and times, as of `now`.
    ///
    /// # Errors
    /// [`Refused`] says which of them is wrong.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Token, Refused> {
        let claims = self.keys.iter().find_map(|key| key.verify(token).ok());
        let claims = claims.ok_or_else(|| why(token, now))?;
        let expires_at = millis(claims.exp).plus(LEEWAY);
        if expires_at <= now {
            return Err(Refused::Expired);
        }
        if millis(claims.nbf).minus(LEEWAY) > now {
            return Err(Refused::Early);
        }
        Ok(Token { issuer: claims.iss, identity: claims.sub, grants: grants(claims.video), expires_at })
    }
}

/// What is wrong with a token that no key takes. The signature of one that says it has expired is not known to be good; it
/// is refused either way, and its owner is told what to do.
fn why(token: &str, now: Timestamp) -> Refused {
    let late = |claims: &Claims| millis(claims.exp) < now;
    match Claims::from_unverified(token) {
        Ok(claims) if late(&claims) => Refused::Expired,
        _ => Refused::Forged,
    }
}

/// A time as tokens have it, in seconds.
fn millis(seconds: usize) -> Timestamp {
    Timestamp::from_millis(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000))
}

fn grants(video: VideoGrants) -> Grants {
    Grants {
        room_create: video.room_create,
        room_list: video.room_list,
        room_admin: video.room_admin,
        room_join: video.room_join,
        room: video.room,
    }
}
