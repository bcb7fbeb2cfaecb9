//! JSON Web Tokens with arbitrary headers and claims, which no SDK produces.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use livekit_api::access_token::VideoGrants;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::servers::{KEY, SECRET};

/// Seconds for which LiveKit and this service accept a token after its `exp`.
pub const LEEWAY_SECONDS: i64 = 60;

/// Signs header and claims with HMAC-SHA256 (RFC 2104), whatever algorithm the header names.
pub fn sign(header: &str, claims: &str, secret: &str) -> String {
    let text = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let mut pads = [[0x36; 64], [0x5c; 64]];
    for pad in &mut pads {
        pad.iter_mut().zip(secret.bytes()).for_each(|(pad, byte)| *pad ^= byte);
    }
    let inner = Sha256::digest([&pads[0][..], text.as_bytes()].concat());
    let signature = Sha256::digest([&pads[1][..], &inner[..]].concat());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// As [`sign`], with a header that names `algorithm`.
pub fn jwt(claims: &Value, algorithm: &str, secret: &str) -> String {
    sign(&json!({"alg": algorithm, "typ": "JWT"}).to_string(), &claims.to_string(), secret)
}

/// Returns a token that is accepted for `life`. Its `exp` may be past, because the leeway is part of `life`.
pub fn accepted_for(life: Duration, identity: &str, grants: &VideoGrants) -> String {
    let life = i64::try_from(life.as_secs()).unwrap();
    let exp = chrono::Utc::now().timestamp() + life - LEEWAY_SECONDS;
    jwt(&json!({"iss": KEY, "sub": identity, "exp": exp, "video": grants}), "HS256", SECRET)
}
