//! Rules for public addresses: an open API and weak secrets need ALLOW_INSECURE.

use secrecy::{ExposeSecret, SecretString};

use super::{Arguments, livekit::DEV_SECRET, reader::Reader};

/// The shortest secret for HS256 (RFC 7518, section 3.2). A shorter one can be found by trial from any token.
const MIN_SECRET_BYTES: usize = 32;

/// Returns the rule that a secret violates; `None` for a strong secret.
fn weakness(secret: &SecretString) -> Option<&'static str> {
    let secret = secret.expose_secret();
    if secret == DEV_SECRET {
        return Some("must not be LiveKit's development secret, which is public; or set ALLOW_INSECURE=true");
    }
    let short = "must have at least 32 bytes, because a shorter one can be found by trial; or set ALLOW_INSECURE=true";
    (secret.len() < MIN_SECRET_BYTES).then_some(short)
}

impl Arguments {
    /// Refuses an open API and weak secrets on an address that is not loopback, unless ALLOW_INSECURE is true.
    pub(super) fn check_exposure(&self, authenticates: bool, reader: &mut Reader) {
        let is_allowed = self.admission.allows_insecure(reader);
        // A problem of HOST is reported by `http`.
        let is_loopback = self.host(&mut Reader::default()).is_none_or(|host| host.is_loopback());
        if is_loopback || is_allowed || self.dev {
            return;
        }
        if !authenticates {
            let rule = "opens the API to every client that reaches HOST; listen on loopback, or set \
                        ALLOW_INSECURE=true";
            reader.problem::<()>("AUTH=off", rule);
        }
        self.check_secrets(reader);
    }

    fn check_secrets(&self, reader: &mut Reader) {
        if let Some(rule) = self.livekit_api_secret.as_ref().and_then(weakness) {
            reader.problem::<()>("LIVEKIT_API_SECRET", rule);
        }
        // A problem of LIVEKIT_API_KEYS is reported by `livekit`.
        let further_keys = self.admission.further_keys(&mut Reader::default());
        if let Some(rule) = further_keys.iter().find_map(|key| weakness(&key.secret)) {
            reader.problem::<()>("LIVEKIT_API_KEYS", rule);
        }
    }
}
