//! Signatures of Standard Webhooks 1.0: HMAC-SHA256 of id, timestamp and body.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// Prefix of a secret, which is base64 behind it.
const PREFIX: &str = "whsec_";
/// Length of a generated key in bytes: that of the hash, as RFC 2104 recommends.
const KEY_BYTES: usize = 32;
/// Lengths of keys that the specification permits, in bytes.
const PERMITTED_KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The text is not a secret of Standard Webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be whsec_ and 24 to 64 bytes in base64")]
pub struct InvalidSecret;

/// Generates a secret.
///
/// # Errors
/// The operating system gives no random numbers.
pub fn generate_secret() -> Result<SecretString, getrandom::Error> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key)?;
    Ok(format!("{PREFIX}{}", STANDARD.encode(key)).into())
}

/// Returns the key of a secret.
///
/// # Errors
/// [`InvalidSecret`] for text without the prefix, that is not base64, or with another number of bytes.
pub fn key_of(secret: &SecretString) -> Result<Vec<u8>, InvalidSecret> {
    let encoded = secret.expose_secret().strip_prefix(PREFIX).ok_or(InvalidSecret)?;
    let key = STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
    Some(key).filter(|key| PERMITTED_KEY_BYTES.contains(&key.len())).ok_or(InvalidSecret)
}

/// Returns the value of `webhook-signature`: one signature for each secret. A secret that does not parse is left out.
pub fn sign<'a>(
    secrets: impl IntoIterator<Item = &'a SecretString>,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> String {
    let keys = secrets.into_iter().filter_map(|secret| key_of(secret).ok());
    let signatures: Vec<_> = keys.filter_map(|key| signature(&key, id, timestamp, body)).collect();
    signatures.join(" ")
}

fn signature(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_equals_the_one_of_the_specification() {
        // From the reference libraries of Standard Webhooks.
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = br#"{"test": 2432232314}"#;
        let signed = sign([&secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_secret_signs() {
        let secrets = [generate_secret().unwrap(), generate_secret().unwrap()];
        let both = sign(&secrets, "msg", 1, b"{}");
        let each = secrets.iter().map(|secret| sign([secret], "msg", 1, b"{}"));
        assert_eq!(both, each.collect::<Vec<_>>().join(" "));
    }

    #[test]
    fn secret_of_another_form_is_refused() {
        for text in ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!"] {
            assert_eq!(key_of(&SecretString::from(text)), Err(InvalidSecret), "{text:?}");
        }
        assert_eq!(key_of(&generate_secret().unwrap()).unwrap().len(), KEY_BYTES);
    }
}
