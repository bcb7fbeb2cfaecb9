//! What must not be reachable from other machines: an open API, and secrets that can be found.

use secrecy::{ExposeSecret, SecretString};

use super::{Arguments, arguments::DEV_SECRET, reader::Reader};

/// The shortest secret for HS256 (RFC 7518, section 3.2): a shorter one can be found by trial from any token.
const MIN_SECRET_BYTES: usize = 32;

/// The rule that a secret breaks where strangers can send tokens.
fn weakness(secret: &SecretString) -> Option<&'static str> {
    let secret = secret.expose_secret();
    if secret == DEV_SECRET {
        return Some("must not be LiveKit's development secret, which is public; or set ALLOW_INSECURE=true");
    }
    let short = "must have at least 32 bytes, or tokens can be forged by trial; or set ALLOW_INSECURE=true";
    (secret.len() < MIN_SECRET_BYTES).then_some(short)
}

impl Arguments {
    /// Refuses an open API and weak secrets on an address that is not loopback, unless ALLOW_INSECURE is true.
    pub(super) fn check_exposure(&self, authenticates: bool, reader: &mut Reader) {
        let allowed = self.admission.allows_insecure(reader);
        // A HOST that is not an address is reported by `http`.
        let loopback = self.host(&mut Reader { problems: Vec::new() }).is_none_or(|host| host.is_loopback());
        if loopback || allowed || self.dev {
            return;
        }
        if !authenticates {
            let rule = "opens the API to every client that reaches HOST; listen on loopback, or set ALLOW_INSECURE=true";
            reader.problem::<()>("AUTH=off", rule);
        }
        self.check_secrets(reader);
    }

    fn check_secrets(&self, reader: &mut Reader) {
        if let Some(rule) = self.livekit_api_secret.as_ref().and_then(weakness) {
            reader.problem::<()>("LIVEKIT_API_SECRET", rule);
        }
        // Lines that are not `key: secret` are reported by `livekit`.
        let others = self.admission.keys(&mut Reader { problems: Vec::new() });
        if let Some(rule) = others.iter().find_map(|key| weakness(&key.secret)) {
            reader.problem::<()>("LIVEKIT_API_KEYS", rule);
        }
    }
}
